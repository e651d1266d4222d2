"""One look at the hot process that owns a tape: its heartbeat page, the end of its tape, what /proc says."""

from pathlib import Path

from ext.tape import TapeCorrupt, TapeReader
from node.beat import read_pulse, state_of
from node.slow.watch import Signs

RECORDS = 65_536  # of one look: more is known to have come, whatever else there is


class Looker:
    """`look()` whenever a sign is wanted. A tape that cannot be read is a tape that does not grow: the page
    still speaks for the node."""

    def __init__(self, directory: Path):
        self.directory = directory
        self._reader: TapeReader | None = None
        self._grown = 0

    def look(self) -> Signs:
        pulse = read_pulse(self.directory)
        if pulse is None:
            return Signs()
        state, started = state_of(pulse.pid)
        if started != pulse.started:
            state = ""  # another process has that id now
        owner = (pulse.pid, pulse.started)
        return Signs(owner, pulse.beat_ns, self._tape(), state, pulse.ended)

    def _tape(self) -> int:
        """Grows with the tape."""
        try:
            if self._reader is None:
                self._reader = TapeReader(str(self.directory), follow=True)
                self._reader._skip_to_last()
            self._grown += len(self._reader.poll(RECORDS))
        except (TapeCorrupt, OSError, ValueError):
            self._reader = None
        return self._grown

"""What of its own tape holds a node back: nothing new is risked that might not be recorded.

A look costs microseconds: a thread prepares the tape, and here is only asked how it stands.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from ext.records import Latch
from ext.tape import TapeError, TapeWriter
from node.synced import NAME as SYNCED
from node.synced import read_synced

SLOW_NS = 1_000_000_000  # no turn of preparation for so long: the disk does not answer
LOOK_NS = 100_000_000  # what one look may add to that: this process may have stood still, and not the disk
ENOUGH = 2  # times the room below which nothing new is risked: then it goes on
SUSPECT = "suspect.json"
NOT_SAFE = "it may not survive a power cut, a flush to its disk failed; look at the disk"
PUT_BACK = (
    "this node writes on where nobody finds it; put the directory back there, or end the node "
    "(`kill {pid}` ends it in order)"
)
MAKE_ROOM = "make room there, or let the archive keep less"
CALM_NS = 250_000_000  # files beside the tape are looked for so often


class TapeWatch:
    """Call `look` from a timer. `latch(which, on)` holds new risk or lets it go on, `tell(line, text)` is for
    a person, `note(fields)` for the tape. Causes that pass (a full disk, a slow one) are taken back by
    themselves, and a suspect tape when a person has removed what says so; a tape that is full stays so until
    the next start."""

    def __init__(
        self,
        directory: Path,
        latch: Callable[[int, bool], None],
        tell: Callable[[str, str], None],
        note: Callable[[dict], None],
    ):
        self.directory, self.latch, self.tell, self.note = directory, latch, tell, note
        self.causes: dict[str, str] = {}
        self._turns, self._waited_ns, self._last_ns = -1, 0, 0
        self._asked_ns = 0
        self._beside: dict[str, str] = {}
        self._home: tuple[int, int] | None = None  # device and number of the directory
        self._segment: tuple[int, tuple[int, int] | None] = (-1, None)  # index, device and number of its file

    def look(self, tape: TapeWriter, now_ns: int) -> None:
        """`now_ns`: monotonic."""
        before, self.causes = self.causes, dict(self._causes(tape, now_ns))
        for kind in self.causes.keys() - before.keys():
            self.tell("tape", f"{self.causes[kind]}: no new orders from here on")
            self.note({"event": "tape", "cause": kind, "text": self.causes[kind]})
        for kind in before.keys() - self.causes.keys():
            self.tell("tape", f"passed: {before[kind]}")
            self.note({"event": "tape passed", "cause": kind})
        if bool(before) != bool(self.causes):
            self.latch(int(Latch.LATCH_TAPE), bool(self.causes))

    def _causes(self, tape: TapeWriter, now_ns: int) -> Iterator[tuple[str, str]]:
        try:
            tape.prepare()
        except TapeError as error:
            yield "growth", str(error)
        if tape.full:
            yield "full", f"{self.directory}: the tape is full"
        enough = tape.min_free * (ENOUGH if "room" in self.causes else 1)
        if 0 <= tape.free < enough:
            yield (
                "room",
                f"{self.directory}: less than {tape.min_free >> 20} MB are free on its disk; {MAKE_ROOM}",
            )
        if self._is_slow(tape, now_ns) and not tape.full:
            yield "slow", f"{self.directory}: its disk has not answered for {SLOW_NS // 10**9} s"
        if now_ns - self._asked_ns >= CALM_NS:
            self._asked_ns, self._beside = now_ns, dict(self._asked(tape.index))
        yield from self._beside.items()

    def _is_slow(self, tape: TapeWriter, now_ns: int) -> bool:
        since_ns, self._last_ns = min(now_ns - self._last_ns, LOOK_NS), now_ns
        self._waited_ns = self._waited_ns + since_ns if tape.turns == self._turns else 0
        self._turns = tape.turns
        return self._waited_ns > SLOW_NS

    def _asked(self, index: int) -> Iterator[tuple[str, str]]:
        """What the file system says, which may take longer."""
        try:
            if gone := self._gone(index):
                yield "gone", f"{gone}: {PUT_BACK.format(pid=os.getpid())}"
            if told := self._suspected():
                yield "suspect", f"{self.directory}: {NOT_SAFE}, then remove {' and '.join(told)} there"
        except OSError as error:
            yield "suspect", f"{self.directory}: its disk does not answer: {error.strerror}"

    def _gone(self, index: int) -> str:
        """Is what is written in still found by its path? A mapping outlives the name of its file: nothing
        fails, and whoever looks for the record, or for the node, finds nothing or another one."""
        home, segment = _number(self.directory), self.directory / f"{index:08d}.tape"
        self._home = self._home or home
        if home is None or home != self._home:
            return f"{self.directory}: the tape's directory was moved or removed"
        found = _number(segment)
        if self._segment[0] != index and found is not None:
            self._segment = index, found
        if found is None or found != self._segment[1]:
            return f"{segment}: the segment that is being written was moved or removed"
        return ""

    def _suspected(self) -> list[str]:
        """Whoever flushes the tape to the disk says when a flush failed: what was written since may not be
        there after a power cut, whatever a second flush says."""
        page = read_synced(self.directory)
        told = [SUSPECT] if (self.directory / SUSPECT).exists() else []
        return [*told, SYNCED] if page is not None and page.suspect else told


def _number(path: Path) -> tuple[int, int] | None:
    """What tells this file or directory from another of its name; None where there is none."""
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stat.st_dev, stat.st_ino

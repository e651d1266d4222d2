"""Does the hot process still turn? Two signs of life, its page and its tape, and what the system says of it.

A node is silent when neither its heartbeat page (`node.beat`) nor its tape moves. One sign alone is no alarm:
a full tape takes no records while the loop turns on. Nor is time in which this process itself did not look
(both stood still: a frozen machine), nor a process that waits for its disk: that one is given
`DISK_PATIENCE` times as long.
"""

from dataclasses import dataclass
from enum import Enum

DISK_PATIENCE = 4
LOOK_NS = 50_000_000  # how often to look
LATE_NS = 4 * LOOK_NS  # a look later than this saw nothing of the time before


class Verdict(Enum):
    """What is known of the node that owns a tape."""

    NONE = "there is no node"
    WELL = "running"
    SILENT = "silent, not long enough to act"
    STOPPED = "stopped"
    HUNG = "hung"
    GONE = "gone"
    ENDED = "ended in good order"


ACT = (Verdict.STOPPED, Verdict.HUNG, Verdict.GONE)


@dataclass(frozen=True, slots=True)
class Signs:
    """One look. `state`: of the process as /proc tells it, "" = there is none; `tape`: anything that changes
    when the tape grows; `owner`: anything that tells one run of a node from the next, None = no run."""

    owner: tuple[int, int] | None = None
    beat: int = 0
    tape: int = 0
    state: str = ""
    ended: bool = False


class Watch:
    """`look` every LOOK_NS; `silent_ns` is how long nothing has moved."""

    def __init__(self, stall_ns: int):
        self.stall_ns = stall_ns
        self.silent_ns = 0
        self._last: Signs | None = None
        self._looked_ns = 0
        self._waited_for_disk = False

    def look(self, signs: Signs, now_ns: int) -> Verdict:
        """`now_ns`: monotonic."""
        passed_ns = now_ns - self._looked_ns
        last, self._last, self._looked_ns = self._last, signs, now_ns
        if signs.owner is None:
            return Verdict.NONE
        if signs.ended:
            return Verdict.ENDED
        if last is None or (last.owner, last.beat, last.tape) != (signs.owner, signs.beat, signs.tape):
            self.silent_ns, self._waited_for_disk = 0, False
        elif passed_ns <= LATE_NS:
            self.silent_ns += passed_ns
        self._waited_for_disk |= signs.state == "D"
        return self._judge(signs.state)

    def _judge(self, state: str) -> Verdict:
        patience_ns = self.stall_ns
        if self._waited_for_disk and state not in ("", "Z", "X", "T", "t"):
            patience_ns *= DISK_PATIENCE
        if self.silent_ns < patience_ns:
            return Verdict.SILENT if self.silent_ns > 2 * LATE_NS else Verdict.WELL
        if state in ("", "Z", "X"):
            return Verdict.GONE
        return Verdict.STOPPED if state in ("T", "t") else Verdict.HUNG

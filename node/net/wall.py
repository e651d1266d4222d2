"""The wall clock against the one that never steps. Nothing in the node lasts by the wall clock: all that a
step means is that stamps of before and behind it do not compare, and that whoever set it may know better."""

import time
from collections.abc import Callable

STEP_NS = 50_000_000  # less between two looks is drift, which the venues' clocks are measured for anyway


class Wall:
    """`stepped()` says by how much the wall clock was set since the last look, 0 where it was not."""

    def __init__(
        self,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        steady_ns: Callable[[], int] = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME),
    ):
        self.wall_ns, self.steady_ns = wall_ns, steady_ns
        self.steps = 0
        self._offset_ns = self._offset()

    def _offset(self) -> int:
        """Between two readings of the steady clock, as narrow as a few tries make it: who is not on the CPU
        in between measures a step that was none."""
        best = (1 << 62, 0)
        for _ in range(3):
            before = self.steady_ns()
            wall = self.wall_ns()
            behind = self.steady_ns()
            best = min(best, (behind - before, wall - (before + behind) // 2))
        return best[1]

    def stepped(self) -> int:
        offset_ns = self._offset()
        step_ns, self._offset_ns = offset_ns - self._offset_ns, offset_ns
        if abs(step_ns) <= STEP_NS:
            return 0
        self.steps += 1
        return step_ns

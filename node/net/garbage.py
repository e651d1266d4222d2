"""Python's garbage collector, kept out of the way: what lives as long as the node is never looked at, and
each pause that it still takes is measured."""

import gc
import time
from collections.abc import Callable

WARM_S = 20.0  # by then books, orders and what the venues answered first are there
LONG_NS = 10_000_000  # a pause that a person should know of
THRESHOLD = (50_000, 20, 20)  # the hot path makes no garbage; the little that the rest makes can wait


class Garbage:
    """`begin` before the first frame, `warmed` when the node has been up for WARM_S, `end` behind it all.
    `pauses`, `longest_ns` and `trouble()` tell what was measured."""

    def __init__(self, *, monotonic_ns: Callable[[], int] = time.monotonic_ns):
        self.monotonic_ns = monotonic_ns
        self.pauses = self.longest_ns = self.worst_ns = 0
        self._began_ns = 0
        self._before: tuple[int, ...] = ()

    def begin(self) -> None:
        gc.collect()
        gc.freeze()
        self._before = gc.get_threshold()
        gc.set_threshold(*THRESHOLD)
        gc.callbacks.append(self._look)

    def warmed(self) -> None:
        """What came up since the start lives on as well."""
        gc.collect()
        gc.freeze()
        self.longest_ns = 0  # of this very collection nobody needs to hear

    def end(self) -> None:
        if self._look in gc.callbacks:
            gc.callbacks.remove(self._look)
            gc.set_threshold(*self._before)
            gc.unfreeze()

    def _look(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began_ns = self.monotonic_ns()
            return
        took_ns = self.monotonic_ns() - self._began_ns
        self.pauses += 1
        self.longest_ns = max(self.longest_ns, took_ns)
        self.worst_ns = max(self.worst_ns, took_ns)

    def trouble(self) -> str:
        """Of the longest pause since the last look, where it was long."""
        took_ns, self.longest_ns = self.longest_ns, 0
        return f"garbage collection took {took_ns / 1e6:.0f} ms" if took_ns > LONG_NS else ""

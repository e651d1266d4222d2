"""Ends a call into a strategy that lasts too long: a timer signal looks in and raises there."""

import signal
import time
from collections.abc import Callable, Sequence
from types import FrameType

from ext.strategy import Strategy, StrategyTimeout

EVERY_S = 0.05  # how often it looks
LEAST_MS, MOST_MS = 10, 10_000
HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: native classes are built into their module instead


class Watchdog:
    """`start` before the loop runs, `stop` behind it; the main thread only. A call that is still the same one
    after `timeout_ms` is interrupted: StrategyTimeout is raised in the strategy, again with every look until
    the call is over.

    Python looks at signals between two steps of its own code and when a system call is interrupted. So
    this ends loops and sleeps of strategies written in Python, and nothing of the node itself: where no
    strategy is inside, nothing is raised. Native code that never returns is not reached: the guard sees a
    node that stands still.
    """

    def __init__(
        self,
        strategies: Sequence[Strategy],
        timeout_ms: int,
        *,
        every_s: float = EVERY_S,
        monotonic: Callable[[], float] = time.monotonic,
    ):
        if not LEAST_MS <= timeout_ms <= MOST_MS:
            raise ValueError(f"strategy_timeout_ms {timeout_ms}: must be {LEAST_MS} to {MOST_MS}")
        self.strategies = [x for x in strategies if is_python(x)]
        self.timeout_ms, self.every_s, self.monotonic = timeout_ms, min(every_s, timeout_ms / 2000), monotonic
        self.seen: tuple[Strategy | None, int] = (None, 0)
        self.since_s = 0.0
        self.looks = self.ended = 0
        self._before: Callable[[int, FrameType | None], object] | int | None = None

    def start(self) -> None:
        """Nothing where no strategy is written in Python: the built-in ones pay nothing."""
        if self.strategies:
            self._before = signal.signal(signal.SIGALRM, self.look)
            signal.setitimer(signal.ITIMER_REAL, self.every_s, self.every_s)

    def stop(self) -> None:
        if self.strategies:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL if self._before is None else self._before)

    def look(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Raises StrategyTimeout where a call into a strategy lasts longer than `timeout_ms`."""
        self.looks += 1
        for strategy in self.strategies:
            if strategy.inside:
                self._judge(strategy, strategy.calls)
                return
        self.seen = (None, 0)

    def _judge(self, strategy: Strategy, call: int) -> None:
        now_s = self.monotonic()
        if self.seen != (strategy, call):
            self.seen, self.since_s = (strategy, call), now_s
        elif now_s - self.since_s >= self.timeout_ms / 1000:
            self.ended += 1
            raise StrategyTimeout(f"no answer within {self.timeout_ms} ms")


def is_python(strategy: Strategy) -> bool:
    """Was its class made by a class statement of Python?"""
    return bool(type(strategy).__flags__ & HEAP_TYPE)

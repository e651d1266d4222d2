"""Every line is down: this machine is offline, not one venue. A state of its own, told once, left in order.

While it lasts the lines that orders and reports go by try more often than the feeds, and the feeds wait for
them: what is open at the venues is found out before there is a new book to trade on.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

FEED = "feed"
ORDERS_S = 2.0  # while offline, lines of orders and reports try at least so often
HEAD_START_S = 5.0  # ... and feeds so much later than they would: orders are first but for long outages
SPREAD_S = 0.2  # lines that waited come back within this time, not in one instant
Tell = Callable[[str, str], None]


class Outage:
    """`turned` is told of every line; `rest` is how long a line waits before it tries again."""

    def __init__(self, tell: Tell, note: Callable[[dict[str, Any]], None], seed: int = 0):
        self.tell, self.note = tell, note
        self.up: set[int] = set()
        self.since_s = 0.0  # 0 = not offline
        self.times = 0
        self._random = Random(f"outage {seed}")
        self._online = asyncio.Event()

    @property
    def is_offline(self) -> bool:
        return self.since_s > 0

    def turned(self, line: int, up: bool) -> None:
        now_s = asyncio.get_running_loop().time()
        if up:
            self.up.add(line)
            if self.is_offline:
                self._heal(now_s)
        elif line in self.up:
            self.up.discard(line)
            if not self.up:
                self.since_s, self.times = now_s, self.times + 1
                self._online.clear()
                self.tell("node", "offline: every line is down; no new risk before the venues are asked anew")
                self.note({"event": "offline"})

    def _heal(self, now_s: float) -> None:
        took_s, self.since_s = now_s - self.since_s, 0.0
        self._online.set()
        self.tell("node", f"online again after {took_s:.1f} s")
        self.note({"event": "online", "after_s": round(took_s, 3)})

    async def rest(self, role: str, delay_s: float) -> None:
        """Wait before the next attempt of a line of `role`: `delay_s` as ever, unless offline."""
        if not self.is_offline:
            await asyncio.sleep(delay_s)
        elif role != FEED:
            await asyncio.sleep(min(delay_s, ORDERS_S * (0.5 + self._random.random() / 2)))
        else:
            try:
                await asyncio.wait_for(self._online.wait(), delay_s + HEAD_START_S)
                await asyncio.sleep(SPREAD_S * self._random.random())
            except TimeoutError:
                return

"""How often this machine may try to connect to an address: one budget for all lines that go there.

Venues count connection attempts by IP and ban who makes too many: just when a venue restarts and every line
comes back at once. Each attempt waits here for its turn. Lines of orders go first, then those that tell of
them, then feeds; and the last part of a budget is kept for the former.
"""

import asyncio
import heapq
from collections import deque
from dataclasses import dataclass

RANKS = {"orders": 0, "private": 1, "feed": 2}
KEPT = 10  # a budget has ten parts: feeds leave two of them to others, private lines leave one


@dataclass(frozen=True, slots=True)
class Pace:
    """No more than `most` attempts in any `within_s`."""

    most: int
    within_s: float


class Governor:
    """`await admit(host, pace, role)` returns when one attempt may be made."""

    def __init__(self) -> None:
        self._gates: dict[str, _Gate] = {}

    async def admit(self, host: str, pace: Pace, role: str) -> None:
        """One attempt to connect to `host` (name and port). Roles as in RANKS; ValueError for others."""
        if role not in RANKS:
            raise ValueError(f"role {role!r}: must be one of {', '.join(RANKS)}")
        await self._gates.setdefault(host, _Gate(pace)).wait(RANKS[role])

    def attempts(self, host: str) -> int:
        """Attempts that were admitted so far."""
        return self._gates[host].admitted if host in self._gates else 0


class _Gate:
    """The budget of one address: the times of the attempts that still count, and who waits."""

    def __init__(self, pace: Pace):
        self.pace = pace
        self.admitted = 0
        self._times: deque[float] = deque()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, rank: int) -> None:
        self._number += 1
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (rank, self._number, turn))
        self._admit()
        await turn

    def _admit(self) -> None:
        """Let through whom the budget takes now; look again when it takes another one."""
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._times and now_s >= self._times[0] + self.pace.within_s:
            self._times.popleft()
        while self._waiting:
            rank, _, turn = self._waiting[0]
            if turn.done():  # whoever waited was told to stop
                heapq.heappop(self._waiting)
                continue
            over = len(self._times) - (self.pace.most - rank * self.pace.most // KEPT)
            if over >= 0:
                self._timer = loop.call_at(self._times[over] + self.pace.within_s, self._admit)
                return
            heapq.heappop(self._waiting)
            self._times.append(now_s)
            self.admitted += 1
            turn.set_result(None)

"""What may go wrong with the process itself, looked at once a second beside everything else.

Memory that runs out and a wall clock that is set are acted upon; what gets tight or slow is told. None of it
is ever waited for.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from node.errors import HeldBack
from node.net.descriptors import Descriptors
from node.net.garbage import WARM_S, Garbage
from node.net.memory import Memory
from node.net.tls import bundle_trouble
from node.net.wall import Wall

EVERY_S = 1.0
AGAIN_S = 60.0  # the same slowness is told so often
DAY_S = 86_400.0
SLOW_NS = 5_000_000  # the loop should not wait for the disk for longer
Tell = Callable[[str, str], None]


class Vigil:
    """`begin`, then `look` every EVERY_S, `end`. `fail(error)` ends the node in order; `stepped(ns)`: the
    wall clock was set; `note(fields)` is for the tape; `is_secure`: some venue is spoken to by TLS."""

    def __init__(
        self,
        tell: Tell,
        note: Callable[[dict[str, Any]], None],
        fail: Callable[[BaseException], None],
        stepped: Callable[[int], None],
        *,
        memory_mb: int,
        is_secure: bool,
        descriptors: Descriptors,
        wall: Wall | None = None,
        memory: Memory | None = None,
    ):
        self.tell, self.note, self.fail, self.on_step = tell, note, fail, stepped
        self.memory_mb, self.is_secure, self.descriptors = memory_mb, is_secure, descriptors
        self.memory = memory or Memory(memory_mb)
        self.wall, self.garbage = wall or Wall(), Garbage()
        self.slow: dict[str, int] = {}  # what was waited for -> longest, in ns, since it was told
        self._told_s: dict[str, float] = {}
        self._warm_s = self._day_s = 0.0

    def begin(self) -> None:
        self.garbage.begin()
        now_s = asyncio.get_running_loop().time()
        self._warm_s, self._day_s = now_s + WARM_S, now_s + DAY_S
        self._bundle()  # now, as nothing waits yet: it takes 10 ms and more
        if lowered := self.memory.lowered(self.memory_mb):
            self.tell("config", f"warning: {lowered}")

    def end(self) -> None:
        self.garbage.end()

    def timed(self, what: str, work: Callable[[], None]) -> None:
        """Do `work`, which may wait for the disk, and remember where that was long."""
        began_ns = time.monotonic_ns()
        try:
            work()
        finally:
            took_ns = time.monotonic_ns() - began_ns
            if took_ns > SLOW_NS:
                self.slow[what] = max(self.slow.get(what, 0), took_ns)

    def look(self) -> None:
        now_s = asyncio.get_running_loop().time()
        self._memory()
        self._wall()
        for text in (self.garbage.trouble(), self.descriptors.trouble()):
            if text:
                self._say("node", text, now_s)
        for what, took_ns in list(self.slow.items()):
            del self.slow[what]
            self._say(what, f"the loop waited {took_ns / 1e6:.0f} ms for it: a slow disk?", now_s)
        if self._warm_s and now_s >= self._warm_s:
            self._warm_s = 0.0
            self.garbage.warmed()
        if now_s >= self._day_s:
            self._day_s = now_s + DAY_S
            self._bundle()

    def _bundle(self) -> None:
        if self.is_secure and (text := bundle_trouble()):
            self.tell("config", f"warning: {text}")

    def _say(self, where: str, text: str, now_s: float) -> None:
        """Not more often than once a minute for each kind of thing."""
        kind = f"{where} {text[:12]}"
        if now_s - self._told_s.get(kind, -AGAIN_S) >= AGAIN_S:
            self._told_s[kind] = now_s
            self.tell(where, text)
            self.note({"event": "slow or tight", "where": where, "text": text})

    def _memory(self) -> None:
        try:
            text = self.memory.trouble()
        except OSError as error:
            text = "" if self.memory.most else f"memory: cannot be measured: {error}"
            self.memory.most = self.memory.most or 1
            if text:
                self.tell("node", text)
            return
        if text:
            self.note({"event": "out of memory", "text": text})
            self.fail(HeldBack(f"{text}: stopped in order before the system does it"))

    def _wall(self) -> None:
        step_ns = self.wall.stepped()
        if step_ns:
            text = f"the wall clock was set by {step_ns / 1e9:+.3f} s"
            self.tell("node", f"{text}: no new risk until the venues' clocks are measured anew")
            self.note({"event": "wall clock stepped", "step_ns": step_ns})
            self.on_step(step_ns)

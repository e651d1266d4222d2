"""The guard as it runs: looks at the node, and when that stands still latches it and clears the venues.

The latch is on the disk before the first request, so that a node that goes on cannot be faster. Each market
has a task of its own: a venue that is dead does not hold up the others. What is done is told on stderr and in
`guard.jsonl` beside the tape. The guard does not start a node again: it leaves a safe account and a latch,
and who resumes is a person.
"""

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ext.instruments import Instruments
from ext.wire import Wire
from node.beat import read_pulse, state_of
from node.config import Config, GuardConfig, KeyConfig, VenueConfig
from node.credentials import read_parts
from node.errors import cause
from node.guarded import LOCK
from node.latch import Latched, write_latch
from node.phrases import count, resting, resume_command, stops_text
from node.slow.exchange import WINDOW_MS, Exchange, Refused
from node.slow.guard import Case, Do, Step, Trouble
from node.slow.guard_trouble import Lasting
from node.slow.signs import Looker
from node.slow.watch import ACT, LOOK_NS, Verdict, Watch

JOURNAL = "guard.jsonl"
RECHECK_NS = 10_000_000_000  # while the node stands still, how often the venues are looked at again
SURELY = 2  # refusals of the lock: the node looks at it for an instant, to see whether a guard watches
STEP_S = 30.0  # no step takes longer, whatever its requests do
WARM_S = 600.0  # markets and the venue's clock are read again so often
OPEN_S, OPEN_MAX_S = 1.0, 60.0
Tell = Callable[[str, str], None]


@dataclass
class Post:
    """One market under guard."""

    venue: VenueConfig
    exchange: Exchange
    case: Case | None = None
    task: asyncio.Task | None = None
    is_open: bool = False
    trouble: Lasting = field(default_factory=Lasting)

    @property
    def is_busy(self) -> bool:
        return self.task is not None and not self.task.done()


class Journal:
    """`guard.jsonl`: one line for each thing that happened. A disk that takes no more stops nothing."""

    def __init__(self, path: Path):
        self.path = path

    def write(self, event: str, **fields: Any) -> None:
        line = orjson.dumps({"at_ns": time.time_ns(), "event": event, **fields}) + b"\n"
        with contextlib.suppress(OSError):
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            try:
                os.write(fd, line)
                os.fsync(fd)
            finally:
                os.close(fd)


class Guarding:
    """`await run(stop)`. `node_pid`: the node that started this guard, 0 = whichever owns the tape, for ever.
    With it, the guard ends when that node is gone and nothing is left to do. Raises UserError."""

    def __init__(self, config: Config, tell: Tell, node_pid: int = 0):
        assert config.guard is not None
        self.config, self.guard, self.tell = config, config.guard, tell
        self.node_pid = node_pid
        self.directory = Path(config.tape)
        self.journal = Journal(self.directory / JOURNAL)
        self.watch = Watch(self.guard.stall_ms * 1_000_000)
        self.looker = Looker(self.directory)
        self.posts = [_post(config, self.guard, x) for x in config.venue if x.orders]
        self._whose = Wire(Instruments(1), 0, config.deployment, 0).whose
        self.verdict = Verdict.NONE
        self.acted_ns = 0  # when this outage was first acted on; 0 = none is
        self.reported = True
        self.checking: tuple[int, int] | None = None  # the ended run whose orders are being looked for
        self.checked: tuple[int, int] | None = None  # ... were

    def is_ours(self, client_id: str) -> bool:
        return client_id.isascii() and self._whose(client_id)[0] > 0

    # ---- running ----

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, or, with a node of its own, until that is gone and all is done."""
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = await self._lock(stop)
        if lock < 0:
            return
        opening = [asyncio.ensure_future(self._open(x)) for x in self.posts]
        self.tell("guard", f"watches {self.directory}: {self.guard.on_stall} after {self.guard.stall_ms} ms")
        self.journal.write("watching", pid=os.getpid(), node_pid=self.node_pid)
        try:
            while not stop.is_set() and not self._is_over():
                self._turn()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_NS / 1e9)
        finally:
            for task in [*opening, *[x.task for x in self.posts if x.task is not None]]:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            for post in self.posts:
                await post.exchange.close()
            os.close(lock)

    async def _lock(self, stop: asyncio.Event) -> int:
        """One guard for a tape; a second one waits until it is needed. -1: it never was."""
        fd = os.open(self.directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        refused = 0
        while not stop.is_set():
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return fd
            refused += 1
            if refused == SURELY:
                self.tell(
                    "guard", f"another guard watches {self.directory}: this one waits until that is gone"
                )
            if self.node_pid and not _is_alive(self.node_pid):
                break  # the other one sees that too
            await asyncio.sleep(0.2)
        os.close(fd)
        return -1

    async def _open(self, post: Post) -> None:
        """Have markets and clock ready before they are needed, and keep them so."""
        wait_s = OPEN_S
        while True:
            try:
                async with asyncio.timeout(STEP_S):
                    await post.exchange.open()
                post.trouble.end()
                if not post.is_open:
                    post.is_open, wait_s = True, OPEN_S
                    if all(x.is_open for x in self.posts):
                        self.journal.write("ready")
                await asyncio.sleep(WARM_S)
            except (Refused, TimeoutError) as error:
                self._troubled(post, f"cannot read its markets: {error or 'no answer'}")
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, OPEN_MAX_S)

    def _is_over(self) -> bool:
        """With a node of its own: is that one gone, and nothing left to do?"""
        if not self.node_pid or _is_alive(self.node_pid) or any(x.is_busy for x in self.posts):
            return False
        pulse = read_pulse(self.directory)
        if pulse is None or pulse.pid != self.node_pid:
            return True  # it never had the tape, or another node has it, with a guard of its own
        return self.checked is not None if pulse.ended else self.acted_ns > 0 and self.reported

    def _is_clear(self) -> bool:
        return all(x.case is not None and x.case.is_done for x in self.posts)

    # ---- one turn ----

    def _turn(self) -> None:
        signs = self.looker.look()
        before = self.verdict
        self.verdict = self.watch.look(signs, time.monotonic_ns())
        is_begun = signs.owner is not None and signs.owner[0] == self.node_pid
        if self.node_pid and not is_begun and _is_alive(self.node_pid):
            return  # what an earlier run left is for the new one
        if self.verdict in ACT:
            self._act()
        elif self.verdict is Verdict.ENDED and self.checked != signs.owner:
            self._check_ended(signs.owner)
        elif self.verdict is Verdict.WELL and before is not Verdict.WELL:
            self._came_back()
        self._report()

    def _act(self) -> None:
        """The node stands still: latch it, then clear every market, and look again while it does."""
        now_ns = time.monotonic_ns()
        if not self.acted_ns:
            self.acted_ns, self.reported = now_ns, False
            reason = f"the node is {self.verdict.value}: silent for {self.watch.silent_ns // 1_000_000} ms"
            self._latch(reason)
            self.tell("guard", f"{reason}: {self.guard.on_stall}")
            self.journal.write(
                "act", verdict=self.verdict.name, silent_ns=self.watch.silent_ns, policy=self.guard.on_stall
            )
            for post in self.posts:
                self._clear(post, self.guard.on_stall == "flatten", self.guard.keep_stops)
            return
        if (
            now_ns - self.acted_ns > RECHECK_NS
            and self._is_clear()
            and not any(x.is_busy for x in self.posts)
        ):
            self.acted_ns = now_ns
            for post in self.posts:
                assert post.case is not None
                post.case.look_again(now_ns)
                post.task = asyncio.ensure_future(self._work(post, post.case))

    def _latch(self, reason: str) -> None:
        latched = Latched("guard", self.guard.on_stall == "flatten", reason, time.time_ns())
        try:
            write_latch(self.directory, latched)
        except OSError as error:  # the orders matter more: a node that goes on is latched by its own gap
            self.tell("guard", f"the latch cannot be written: {cause(error)}")
            self.journal.write("latch failed", why=str(error.strerror))

    def _clear(self, post: Post, flatten: bool, keep_stops: bool) -> None:
        if post.is_busy and post.task is not None:
            post.task.cancel()
        post.case = None
        post.task = asyncio.ensure_future(self._make_and_work(post, flatten, keep_stops))

    def _check_ended(self, owner: tuple[int, int] | None) -> None:
        """A node that ended in good order left nothing: look once."""
        if any(x.is_busy for x in self.posts) or not all(x.is_open for x in self.posts):
            return
        if self.checking != owner:
            self.checking, self.acted_ns = owner, 0
            for post in self.posts:
                self._clear(post, flatten=False, keep_stops=True)  # it left them on purpose
            return
        if self._is_clear():
            self.checked = owner
            left = sum(len(x.case.tally.cancelled) for x in self.posts if x.case is not None)
            orders = f"{count(left, 'order')} of it {'was' if left == 1 else 'were'} still open"
            kept = self._kept()
            stops = f"; {stops_text(kept)}" if kept else ""
            self.tell("guard", f"the node ended in good order; {orders}{stops}")
            self.journal.write("ended", cancelled=left, protective_stops=kept)

    def _came_back(self) -> None:
        """The node goes on, or there is a new one: the latch holds it. The next outage is a new one."""
        if self.checking is not None and self.checking != self.checked:
            self._let_be()  # what is open now is of a new run
        self.checking = None
        if self.acted_ns:
            self.acted_ns = 0
            until = resume_command(self.directory)
            self.tell("guard", f"a node has the tape and turns again: it is latched until {until}")
            self.journal.write("back")

    def _let_be(self) -> None:
        for post in self.posts:
            if post.task is not None:
                post.task.cancel()

    def _report(self) -> None:
        """Once every market is clear: how long it took."""
        if self.reported or not self._is_clear():
            return
        self.reported = True
        rows = {x.venue.market: _row(x.case) for x in self.posts if x.case is not None}
        cancelled = sum(x["cancelled"] for x in rows.values())
        self.tell(
            "guard",
            f"every market is clear: {resting(0, self._kept())}; {count(cancelled, 'order')} cancelled; the "
            f"node is latched until {resume_command(self.directory)}",
        )
        self.journal.write("clear", markets=rows, protective_stops=self._kept())

    def _kept(self) -> int:
        """Stops that the last lists showed and that stay."""
        return sum(x.case.tally.kept for x in self.posts if x.case is not None)

    def _troubled(self, post: Post, text: str) -> None:
        """A person is told of what lasts later and later: nobody reads a word every few seconds."""
        now_ns = time.monotonic_ns()
        if post.trouble.note(now_ns):
            self.tell(post.venue.market, post.trouble.text(text, os.getpid(), now_ns))
            self.journal.write("trouble", market=post.venue.market, text=text, attempts=post.trouble.attempts)

    # ---- one market ----

    async def _make_and_work(self, post: Post, flatten: bool, keep_stops: bool) -> None:
        while not post.is_open:
            await asyncio.sleep(LOOK_NS / 1e9)
        post.case = Case(
            is_ours=self.is_ours,
            symbols=post.exchange.held(),
            flatten=flatten,
            keep_stops=keep_stops,
            foreign=self.guard.foreign,
            confirm_ns=max(post.venue.window_ms, 1_000) * 1_000_000,
            window_ns=WINDOW_MS * 1_000_000,
        )
        await self._work(post, post.case)

    async def _work(self, post: Post, case: Case) -> None:
        """Until the case is done, however long the venue does not answer."""
        while not case.is_done:
            step = case.next(time.monotonic_ns())
            if step is None:
                await asyncio.sleep(max(case.due_ns - time.monotonic_ns(), 0) / 1e9 + 0.001)
                continue
            try:
                async with asyncio.timeout(STEP_S):
                    await self._do(post, case, step)
                continue
            except Refused as error:
                trouble = error.trouble
            except TimeoutError:
                trouble = Trouble(f"no answer within {STEP_S:.0f} s")
            case.on_trouble(trouble, time.monotonic_ns())
            self._troubled(post, trouble.text)
        if post.trouble.words > 1:
            self.tell(post.venue.market, "guard: the venue answers again: clear")
        post.trouble.end()

    async def _do(self, post: Post, case: Case, step: Step) -> None:
        exchange = post.exchange
        if step.do is Do.LIST:
            rows = await exchange.orders(whole=step.whole)
            case.on_orders(rows, time.monotonic_ns())
        elif step.do is Do.CANCEL:
            await exchange.cancel(step)
            case.on_cancelled(time.monotonic_ns())
        elif step.do is Do.POSITIONS:
            held = await exchange.positions()
            case.on_positions(held, time.monotonic_ns())
        else:
            assert step.held is not None
            number = f"{self.config.deployment}G{time.time_ns() // 1_000_000}{step.number % 1000:03d}"
            filled = await exchange.exit(step.held, self.guard.slippage_bps, number)
            said = f"exit of {step.held.symbol}: {step.held.size}, filled {filled}"
            self.journal.write("exit", market=post.venue.market, text=said)
            case.on_exit(filled, time.monotonic_ns())


def _row(case: Case) -> dict[str, Any]:
    tally = case.tally
    counts = {x: getattr(tally, x) for x in ("foreign", "kept", "exits", "requests", "troubles")}
    return {"cancelled": len(tally.cancelled), **counts, "zero_monotonic_ns": tally.zero_ns}


def _post(config: Config, guard: GuardConfig, venue: VenueConfig) -> Post:
    key: KeyConfig | None = guard.key.get(venue.market, venue.key)
    assert key is not None  # node.config has looked
    place = f"guard: key: {venue.market}" if venue.market in guard.key else f"venue {venue.market}"
    symbols = [x.symbol for x in config.instrument if x.market == venue.market]
    return Post(venue, Exchange(venue.market, venue.rest, symbols, read_parts(key, place)))


def _is_alive(pid: int) -> bool:
    return state_of(pid)[0] not in ("", "Z", "X")

"""A node and simulated venues in one process and one virtual time: no socket, no clock, every run decided by
its seed.

The node's own parts run here as they do live - engine, sessions, keeper, encoders and decoders - against the
same fakes that
`tickgate sim` serves. What lies between them is this file: a queue of events in virtual time, with seeded
latencies, in order on each connection, and a network that can drop, delay, cut and refuse (`px.*` of the
venue's faults).
"""

import heapq
import importlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import orjson

from ext.crash import at as crash_at
from ext.engine import LineKind, Recorder
from ext.records import Latch
from ext.strategy import Strategy
from ext.tape import RecordType
from ext.wire import Verdict
from node.assembly import MARKET_NAMES, Assembly, LineSpec, epoch_of, path_of, unlisted
from node.config import MARKETS as MARKET_NUMBERS
from node.config import Config
from node.control import Control
from node.errors import UserError
from node.recall import Recalled
from node.restore import restore_counts, restore_floors, restore_pauses, take_orders
from node.sim.market import Market
from node.sim.serve import VENUES
from node.truth.desk import Ask
from node.truth.keeper import Keeper
from node.truth.said import report_of, said_of
from node.venues.depth import data_steps
from node.venues.fakes import Connection, FakeVenue, Listing, Refused
from node.venues.keys import Key
from node.venues.ledger import Account
from node.venues.markets import MARKETS
from node.venues.values import (
    AccountNews,
    Down,
    InstrumentRow,
    Ready,
    Relist,
    Replace,
    Reply,
    Request,
    Resync,
    Send,
)  # fmt: skip

MS, SEC = 1_000_000, 1_000_000_000
START_NS = 1_790_000_000 * SEC  # a day in 2026
VENUE_NS = 10 * MS
STILL_NS = 20 * MS  # of venues whose market stands still: most of what a tick looks at cannot have changed
ENGINE_NS = 20 * MS
KEEPER_NS = 50 * MS
SESSION_NS = 250 * MS
RELIST_NS, RELIST_CALM_NS = 60 * SEC, 500 * MS
STIR_NS = 200 * MS
BACKOFF_FIRST_NS, BACKOFF_MOST_NS = 200 * MS, 20 * SEC
ANSWER_NS = 10 * SEC
STOP_NS = 8 * SEC


@dataclass
class Wired:
    """One line of the node and its connection, if it has one. `generation` tells frames of old connections
    apart."""

    spec: LineSpec
    fake: FakeVenue
    session: Any = None
    connection: Connection | None = None
    generation: int = 0
    backoff_ns: int = BACKOFF_FIRST_NS
    in_ns: int = 0  # when the last frame to the node arrives: the next one is not earlier
    out_ns: int = 0
    free_ns: dict[str, int] = field(
        default_factory=dict
    )  # by way: when a slow network has passed on what it has
    frames: int = 0
    told: int = 0  # reports on a private line so far
    retry: bool = True


class World:
    """Venues as `tickgate sim` makes them, and one node with `config`. `run_for` lets time pass.

    `beside`: a node that lives on the same venues, which it drives; both are run in turns;
    `options`: venue -> keyword arguments of its fake; `faults`: script rows, as of a fault file;
    `latency_ns`: least and most of one way. `epoch`: what client ids carry, 0 = by the start's time;
    `skew_ns`: the venues' clocks minus ours; `control_at`: where a latch file is obeyed and an operator's
    `control` keeps it.
    """

    def __init__(
        self,
        config: Config,
        *,
        seed: int = 1,
        start_ns: int = START_NS,
        latency_ns: tuple[int, int] = (200_000, 3 * MS),
        options: dict[str, dict] | None = None,
        faults: list[dict] | None = None,
        tape: Any = None,
        moving: bool = True,
        settings: dict[str, Any] | None = None,
        keep_fakes: "World | None" = None,
        beside: "World | None" = None,
        keys: dict[int, Key] | None = None,
        strategy: Strategy | None = None,
        recalled: Recalled | None = None,
        epoch: int = 0,
        first_id: int = 1,
        skew_ns: int = 0,
        control_at: Path | None = None,
    ):
        self.config, self.seed, self.now_ns, self.latency_ns = config, seed, start_ns, latency_ns
        self.random = Random(f"memory {seed}")
        self.events: list[tuple[int, int, Callable[[], None]]] = []
        self.number = self.stirs = self.stirred_ns = 0
        self.epoch, self.skew_ns, self.control_at, self.first_id = epoch, skew_ns, control_at, first_id
        self.told: list[tuple[float, str, str]] = []
        self.notes: list[dict] = []
        self.requests = 0
        self.market: Market
        self.relisting: set[int] = set()  # markets whose filters will be asked for
        self.cut_rest: set[int] = set()  # markets whose REST does not answer (tests)
        self.fakes: dict[str, FakeVenue] = {}
        self.peers: list[World] = []  # other nodes on the same venues
        self.venue_of: dict[int, str] = {
            MARKET_NUMBERS[x.market]: x.market.split("-")[0] for x in config.venue
        }
        if beside is not None:
            self.fakes, self.market, self.moving = beside.fakes, beside.market, moving
            self.now_ns = beside.now_ns
            self.peers, beside.peers = [beside, *beside.peers], [*beside.peers, self]
        elif keep_fakes is None:
            self._make_venues(options or {}, moving)
        else:
            self.fakes, self.market, self.moving = keep_fakes.fakes, keep_fakes.market, moving
            self.now_ns = max(keep_fakes.now_ns, start_ns) if start_ns != START_NS else keep_fakes.now_ns
            self.number, self.events = keep_fakes.number, list(keep_fakes.events)
        self.recalled = recalled or Recalled()
        self._make_node(tape, settings or {}, keys, strategy)
        if keep_fakes is not None:
            keep_fakes.events = []
        for name, fake in self.fakes.items() if keep_fakes is None and beside is None else ():
            # only now: what a node must know before it is one was asked without a network
            fake.faults.load([x for x in faults or [] if x.get("venue", name) == name], name, self.venue_ns)
        for every_ns, work in (
            (VENUE_NS if moving else STILL_NS, self._venues if beside is None else self.drain),
            (ENGINE_NS, self._engine),
            (KEEPER_NS, self._keep),
            (SESSION_NS, self._sessions),
            (RELIST_NS, self._relist_all),
        ):
            self._every(every_ns, work)

    # ---- building ----

    def _make_venues(self, options: dict[str, dict], moving: bool) -> None:
        listings = {
            name: [Listing(**x) for x in VENUES[name].listings]
            for name in sorted(set(self.venue_of.values()))
        }
        for name, rows in listings.items():
            make = getattr(importlib.import_module(VENUES[name].module), VENUES[name].fake)
            told = dict(VENUES[name].options) | options.get(name, {})
            self.fakes[name] = make(rows, seed=self.seed, **told)
        self.market = Market([x for rows in listings.values() for x in rows], self.seed, self.venue_ns)
        for fake in self.fakes.values():
            fake.disturb = self.market.disturb
        self.moving = moving
        self.market.step(self.venue_ns)
        for fake in self.fakes.values():
            fake.disturb = self.market.disturb

    def _make_node(
        self, tape: Any, settings: dict[str, Any], keys: dict[int, Key] | None, strategy: Strategy | None
    ) -> None:
        rows, steps = self._instruments()
        self.epoch = self.epoch or max(epoch_of(self.now_ns), self.recalled.last_epoch + 1)
        if keys is None:
            keys = {m: simulated_key(self.fakes[v]) for m, v in self.venue_of.items()}
        self.outlet = Recorder(self._write)
        self.desk = Assembly(
            self.config,
            rows,
            steps,
            keys,
            tape=tape,
            epoch=self.epoch,
            outlet=self.outlet,
            strategy=strategy,
            now_ns=self.now_ns,
            first_id=self.first_id,
        )
        self.engine = self.desk.engine
        self.control: Control | None = None
        self.engine.ask_resync = self._resync
        self.engine.strategy_failed = lambda number, text, now_ns: self.tell(f"strategy {number}", text)
        self.engine.ask_relist = lambda market: self._at(150 * MS, partial(self._relist, market))
        self.lines: dict[int, Wired] = {}
        for spec in self.desk.lines:
            self.lines[spec.line] = Wired(spec, self.fakes[self.venue_of[spec.market]])
        self.rest_of = {line: market for market, line in self.desk.rest_lines.items()}
        self.keeper: Keeper | None = None
        if self.desk.rest:
            self.keeper = self.desk.keeper(
                self.tell,
                note=self.notes.append,
                refresh=self._refresh,
                recycle=self._recycle,
                seed=self.seed,
                **settings,
            )
        if tape is not None:
            tape.append(RecordType.CONFIG, 0, self.now_ns, orjson.dumps(self.desk.describe()))
        self.desk.price_coins(self.now_ns)
        if self.keeper is not None:
            self._start(self.keeper)
        for line in self.rest_of:
            self.engine.on_line(line, True, self.now_ns)
        for wired in self.lines.values():
            self._at(self._delay(), partial(self._connect, wired))

    def _start(self, keeper: Keeper) -> None:
        """What earlier runs knew is known again, and the truth room begins."""
        self.desk.restore(self.recalled, self.now_ns)
        restore_counts(self.desk, self.recalled, self.now_ns)
        for told in take_orders(self.desk, self.recalled, self.now_ns):
            self.tell("tape", told)
        if self.control_at is not None:
            self.control = Control(
                self.desk, self.control_at, self.tell, self.notes.append, started_ns=self.now_ns
            )
            self.control.release = keeper.release
            self.control.look_now, self.control.listed = keeper.look_now, keeper.listed
            self.control.begin(self.recalled, self.now_ns)
        known = self.recalled
        keeper.begin(
            self.now_ns,
            known.last_ns,
            flows_from_ns=known.peak_ns,
            known=known.known,
            tape_ns=known.begun_ns,
        )
        restore_floors(self.desk, known, keeper)
        for told in restore_pauses(self.desk, known, keeper, self.now_ns):
            self.tell("tape", told)
        for market, states in self.desk.states().items():
            keeper.on_news(market, AccountNews(tuple(states)), self.now_ns)

    def _instruments(self) -> tuple[dict, dict]:
        rows: dict[tuple[int, str], InstrumentRow] = {}
        steps: dict[tuple[int, str], tuple[str, str]] = {}
        for market in self.venue_of:
            wanted = [x.symbol for x in self.config.instrument if MARKET_NUMBERS[x.market] == market]
            found = {x.symbol: x for x in self._listed(market, wanted)}
            for symbol in wanted:
                if symbol not in found:
                    raise UserError(f"{MARKET_NAMES[market]} does not list {symbol!r}")
                rows[market, symbol] = found[symbol]
                request_of = MARKETS[market].snapshot
                steps[market, symbol] = ("", "")
                if request_of is not None:
                    answer = self._call(market, request_of(market, symbol))
                    steps[market, symbol] = data_steps(answer.body, found[symbol].tick, found[symbol].lot)
        return rows, steps

    def _listed(self, market: int, wanted: list[str]) -> list[InstrumentRow]:
        requests = MARKETS[market].instruments(market, wanted) if wanted else []
        return [row for x in requests for row in MARKETS[market].read(market, self._call(market, x).body)]

    def _call(self, market: int, request: Request) -> Any:
        """A REST request without a way there and back: only for building."""
        fake = self.fakes[self.venue_of[market]]
        return fake.request(
            request.method, request.target, dict(request.headers), request.body, self.venue_ns
        )

    # ---- time ----

    @property
    def venue_ns(self) -> int:
        """What time it is at the venues."""
        return self.now_ns + self.skew_ns

    def _at(self, in_ns: int, work: Callable[[], None]) -> None:
        self.number += 1
        heapq.heappush(self.events, (self.now_ns + max(in_ns, 0), self.number, work))

    def _every(self, every_ns: int, work: Callable[[], None]) -> None:
        def again() -> None:
            work()
            self._at(every_ns, again)

        self._at(every_ns, again)

    def _delay(self) -> int:
        return self.random.randint(*self.latency_ns)

    def run_for(self, time_ns: int) -> None:
        """Let so much time pass."""
        end_ns = self.now_ns + time_ns
        while self.events and self.events[0][0] <= end_ns:
            self.now_ns, _, work = heapq.heappop(self.events)
            work()
        self.now_ns = end_ns

    def run_until(
        self, condition: Callable[[], Any], within_ns: int = 120 * SEC, step_ns: int = 10 * MS
    ) -> Any:
        """Let time pass until `condition()` is true; its value. TimeoutError where it is not within
        `within_ns`."""
        end_ns = self.now_ns + within_ns
        while not (answer := condition()):
            if self.now_ns >= end_ns:
                raise TimeoutError(f"not within {within_ns / 1e9:g} s of venue time")
            self.run_for(step_ns)
        return answer

    def tell(self, where: str, text: str) -> None:
        self.told.append(((self.now_ns - START_NS) / 1e9, where, text))

    # ---- what happens regularly ----

    def _venues(self) -> None:
        if self.moving:
            self.market.step(self.venue_ns)
        elif self.now_ns - self.stirred_ns >= STIR_NS:
            self._stir()
        for fake in self.fakes.values():
            fake.tick(self.venue_ns)
        self.drain()

    def _stir(self) -> None:
        """A market that stands still still speaks: one level far away changes its size, so that books stay
        alive."""
        self.stirred_ns = self.now_ns
        self.stirs += 1
        for fake in self.fakes.values():
            for listing in fake.listings.values():
                bid = listing.engine.best(0)
                if bid is not None:
                    listing.engine.set_level(0, bid[0] - bid[0] // 50, 1 + self.stirs % 2)

    def _engine(self) -> None:
        self.engine.on_time(self.now_ns)
        self.desk.start_quoting(self.now_ns)

    def _keep(self) -> None:
        if self.control is not None:
            for line in self.control.poll(self.now_ns):
                self.tell("control", line)
        if self.keeper is None:
            return
        for ask in self.keeper.tick(self.now_ns):
            self._send_rest(ask.desk.market, ask.request, partial(self._answered, ask))
        for wired in self.lines.values():
            if wired.session is not None:
                wired.session.offset_ns = self.desk.wires[wired.spec.market].offset_ns
            line = self.engine.lines[wired.spec.line]
            told = line.frames - line.not_mine - line.bad
            if wired.spec.role == "private" and told != wired.told:
                wired.told = told
                self.keeper.on_probe(wired.spec.market, self.now_ns)

    def _answered(self, ask: Ask, reply: Reply | None) -> None:
        assert self.keeper is not None
        self.keeper.on_reply(ask, reply, self.now_ns)

    def _sessions(self) -> None:
        for wired in self.lines.values():
            if wired.connection is None or wired.session is None:
                continue
            frames = self.engine.lines[wired.spec.line].frames
            if frames != wired.frames:  # once topics have spoken, frames on a line stand for all of them
                wired.frames = frames
                names = (
                    getattr(wired.session, "streams", None) or getattr(wired.session, "topics", None) or ()
                )
                for topic in list(names):
                    wired.session.data(topic, self.now_ns)
            self._do(wired, wired.session.tick(self.now_ns))
            self._keep_alive(wired)

    def _keep_alive(self, wired: Wired) -> None:
        request_of = getattr(wired.session, "keepalive_request", None)
        request = request_of(self.now_ns) if request_of is not None else None
        if request is None:
            return
        session = wired.session

        def then(reply: Reply | None) -> None:
            if wired.session is session:
                self._do(wired, session.keepalive_reply(reply, self.now_ns))

        self._send_rest(wired.spec.market, request, then)

    def _relist_all(self) -> None:
        for market in self.desk.rest:
            self._relist(market)

    def _relist(self, market: int) -> None:
        """Ask for the filters again, once, however often it is wanted meanwhile."""
        if market not in self.relisting:
            self.relisting.add(market)
            self._at(RELIST_CALM_NS, partial(self._ask_filters, market))

    def _ask_filters(self, market: int) -> None:
        self.relisting.discard(market)
        if self.keeper is not None and self.keeper.is_paused(market, self.now_ns):
            return
        wanted = [x.symbol for x in self.config.instrument if MARKET_NUMBERS[x.market] == market]
        requests = MARKETS[market].instruments(market, wanted)
        for request in requests:  # of several answers, none alone says who is missing
            of = wanted if len(requests) == 1 else []
            self._send_rest(market, request, partial(self._relisted, market, of))

    def _relisted(self, market: int, wanted: list[str], reply: Reply | None) -> None:
        try:
            rows = [] if reply is None else MARKETS[market].read(market, reply.body)
        except ValueError as error:
            self.tell(MARKET_NAMES[market], f"instruments: {error}")
            return
        states = self.desk.relist(market, rows, self.tell, self.now_ns)
        if reply is not None and reply.status == 200 and wanted:
            states += unlisted(market, wanted, rows)
        if self.keeper is not None and states:
            self.keeper.on_news(market, AccountNews(tuple(states)), self.now_ns)

    # ---- lines ----

    def _connect(self, wired: Wired) -> None:
        if wired.connection is not None or not wired.retry:
            return
        wired.generation += 1
        wired.free_ns.clear()
        about = {"path": wired.spec.role, "stream": "ws"}
        faults = wired.fake.faults
        if faults.standing("px.refuse", self.venue_ns, **about) or any(
            faults.standing("px.blackhole", self.venue_ns, way=way, **about) for way in ("in", "out")
        ):  # refused, or a handshake that nobody answers
            self._later(wired)
            return
        if wired.spec.asks is None:
            wired.session = wired.spec.session
            self._open(wired)
            return
        if self.keeper is not None and self.keeper.is_paused(wired.spec.market, self.now_ns):
            self._later(wired)  # what it asks for first is a request too
            return
        generation = wired.generation

        def then(reply: Reply | None) -> None:
            if wired.generation != generation or wired.connection is not None:
                return
            try:
                assert wired.spec.opened is not None
                if reply is None:
                    raise ValueError("no answer")
                wired.session = wired.spec.opened(reply)
            except ValueError as error:
                self.tell(wired.spec.name, f"cannot connect: {error}")
                self._later(wired)
            else:
                self._open(wired)

        self._send_rest(wired.spec.market, wired.spec.asks(), then)

    def _open(self, wired: Wired) -> None:
        try:
            wired.connection = wired.fake.open(path_of(wired.session, wired.spec.market), self.venue_ns)
        except Refused as error:
            self.tell(wired.spec.name, f"cannot connect: {error}")
            self._later(wired)
            return
        wired.in_ns = wired.out_ns = self.now_ns
        if wired.spec.up_at_once:
            self._turn(wired, True)
        self._do(wired, wired.session.start(self.now_ns))
        self.drain()

    def _later(self, wired: Wired) -> None:
        self._at(int(wired.backoff_ns * (0.5 + self.random.random())), partial(self._connect, wired))
        wired.backoff_ns = min(2 * wired.backoff_ns, BACKOFF_MOST_NS)

    def _turn(self, wired: Wired, up: bool) -> None:
        self.engine.on_line(wired.spec.line, up, self.now_ns)
        if self.keeper is None or wired.spec.role == "feed":
            return
        kinds = [LineKind.ORDER_LINE] if wired.spec.role == "orders" else [LineKind.PRIVATE_LINE]
        if wired.spec.role == "orders" and MARKETS[wired.spec.market].orders_tell_all:
            kinds.append(LineKind.PRIVATE_LINE)
        for kind in kinds:
            self.keeper.on_line(int(kind), wired.spec.market, up, self.now_ns)

    def cut(self, wired: Wired, why: str = "connection lost") -> None:
        """The connection is gone, on both sides at once."""
        if wired.connection is None:
            return
        if wired.connection.number in wired.fake.connections:
            wired.fake.close(wired.connection)
        wired.connection = None
        wired.generation += 1
        self.tell(wired.spec.name, why)
        if self.engine.lines[wired.spec.line].up:
            self._turn(wired, False)
        if wired.retry:
            self._later(wired)

    def line(self, market: int, role: str) -> Wired:
        """The first line of a market with this role."""
        return next(x for x in self.lines.values() if x.spec.market == market and x.spec.role == role)

    def _refresh(self, market: int) -> None:
        role = "orders" if MARKETS[market].orders_tell_all else "private"
        self._renew(market, role, "not trusted any more")

    def _recycle(self, market: int) -> None:
        self._renew(market, "orders", "refused an order for want of access")

    def _renew(self, market: int, role: str, why: str) -> None:
        for wired in self.lines.values():
            if wired.spec.market == market and wired.spec.role == role:
                self.cut(wired, why)

    def drain(self) -> None:
        """What the venues have said so far sets out for the node."""
        for fake in self.fakes.values():
            frames = fake.take()
            if not frames:
                continue
            owners = {id(x.connection): x for x in self.lines.values() if x.connection is not None}
            for to, text in frames:
                wired = owners.get(id(to))
                if wired is not None and wired.connection is to:
                    self._towards(wired, text)
                for peer in self.peers:
                    peer.hand_over(to, text)
        for wired in list(self.lines.values()):
            connection = wired.connection
            if connection is None:
                continue
            if connection.dropped:
                self.cut(wired, "connection reset")
            elif connection.closing is not None:
                self._at(
                    max(wired.in_ns - self.now_ns, 0) + MS, partial(self._hung_up, wired, wired.generation)
                )

    def hand_over(self, to: Connection, text: str) -> None:
        """A frame that another node on these venues found; ours, if the connection is."""
        for wired in self.lines.values():
            if wired.connection is to:
                self._towards(wired, text)

    def _hung_up(self, wired: Wired, generation: int) -> None:
        if wired.generation == generation:
            assert wired.connection is not None
            self.cut(wired, f"closed by the venue: {wired.connection.closing}")

    def _network(self, wired: Wired, way: str, size: int) -> int | None:
        """ns that the network takes now for `size` bytes, None where it swallows what is written."""
        faults, about = wired.fake.faults, {"way": way, "path": wired.spec.role, "stream": "ws"}
        if faults.any_of("px.rst") and faults.hit("px.rst", self.venue_ns, **about):
            self._at(0, partial(self._reset, wired, wired.generation))
            return None
        if faults.any_of("px.blackhole") and faults.standing("px.blackhole", self.venue_ns, **about):
            return None
        late = faults.standing("px.delay", self.venue_ns, **about) if faults.any_of("px.delay") else None
        delay_ns = self._delay() + (0 if late is None else late.ns("delay"))
        slow = faults.standing("px.rate", self.venue_ns, **about) if faults.any_of("px.rate") else None
        if slow is not None:  # one behind the other
            takes_ns = size * SEC // max(int(slow.get("bytes_per_s", 10_000)), 1)
            free_ns, end_ns = max(wired.free_ns.get(way, 0), self.now_ns) + takes_ns, slow.end_ns()
            wired.free_ns[way] = free_ns if end_ns is None else min(free_ns, end_ns - self.skew_ns)
        return max(delay_ns, wired.free_ns.get(way, 0) - self.now_ns)

    def _reset(self, wired: Wired, generation: int) -> None:
        if wired.generation == generation:
            self.cut(wired, "connection reset")

    def _towards(self, wired: Wired, text: str) -> None:
        """A frame of the venue's, in order behind those before it."""
        delay_ns = self._network(wired, "out", len(text))
        if delay_ns is None:
            return
        wired.in_ns = max(wired.in_ns + 1, self.now_ns + delay_ns)
        self._at(wired.in_ns - self.now_ns, partial(self._deliver, wired, wired.generation, text))

    def _deliver(self, wired: Wired, generation: int, text: str) -> None:
        if wired.generation != generation:
            return
        verdict = self.engine.on_bytes(wired.spec.line, text.encode(), self.now_ns)
        if verdict == Verdict.NOT_MINE:
            self._do(wired, wired.session.receive(text, self.now_ns))
        elif verdict == Verdict.BAD:
            self.tell(  # never the frame itself: a private one may carry a listen key
                wired.spec.name, f"bad frame: {self.engine.lines[wired.spec.line].last_error}"
            )

    def _out(self, wired: Wired, text: str) -> None:
        """A frame of ours, in order behind those before it. Nobody tells us what became of it."""
        if wired.connection is None:
            return
        delay_ns = self._network(wired, "in", len(text))
        if delay_ns is None:
            return
        wired.out_ns = max(wired.out_ns + 1, self.now_ns + delay_ns)
        self._at(wired.out_ns - self.now_ns, partial(self._arrive, wired, wired.generation, text))

    def _arrive(self, wired: Wired, generation: int, text: str) -> None:
        connection = wired.connection
        if wired.generation == generation and connection is not None and connection.closing is None:
            wired.fake.hear(connection, text, self.venue_ns)
            self.drain()

    def _write(self, line: int, frame: bytes) -> None:
        """What the engine's outlet was given."""
        if line in self.lines:
            self._out(self.lines[line], frame.decode())
        else:
            self._order_by_rest(self.rest_of[line], frame)

    def _order_by_rest(self, market: int, frame: bytes) -> None:
        rest, client_id, action = self.desk.rest[market], *named_in(frame)
        request = rest.from_frame(frame)
        sequence, epoch = self.desk.wires[market].whose(client_id)

        def then(reply: Reply | None) -> None:
            said = said_of(rest, request, reply)
            order = self.engine.orders.order(self.engine.orders.whose(sequence, epoch))
            self.engine.on_evidence(report_of(order, action, said), self.now_ns)

        self._send_rest(market, request, then)

    def _do(self, wired: Wired, actions: list[Any]) -> None:
        for action in actions:
            if isinstance(action, Send):
                self._out(wired, action.text)
            elif isinstance(action, Ready):
                wired.backoff_ns = BACKOFF_FIRST_NS
                if not wired.spec.up_at_once:
                    self._turn(wired, True)
            elif isinstance(action, Resync):
                self._resync(self.desk.numbers.get((wired.spec.market, action.symbol), -1), action.reason)
            elif isinstance(action, AccountNews):
                if self.keeper is not None:
                    self.keeper.on_news(wired.spec.market, action, self.now_ns)
            elif isinstance(action, Relist):
                self._relist(wired.spec.market)
            elif isinstance(action, Down | Replace):
                wired.retry = wired.retry and getattr(action, "retry", True)
                self.cut(wired, action.reason)

    # ---- requests ----

    def _send_rest(self, market: int, request: Request, then: Callable[[Reply | None], None]) -> None:
        """Sign, send, answer: each a while after the other. No answer where the network swallows one of the
        two."""
        fake = self.fakes[self.venue_of[market]]
        rest, stamp_ns = self.desk.rest.get(market), self.now_ns + self.desk.wires[market].offset_ns
        if rest is not None:
            request = rest.sign(request, stamp_ns // MS)
        self.requests += 1
        about = {"path": request.target, "stream": "rest"}
        if market in self.cut_rest or fake.faults.standing("px.blackhole", self.venue_ns, way="in", **about):
            self._at(ANSWER_NS, partial(then, None))
            return
        if fake.faults.standing("px.refuse", self.venue_ns, **about):
            self._at(self._delay(), partial(then, None))
            return
        self._at(self._delay(), partial(self._serve_rest, fake, request, then))

    def _serve_rest(self, fake: FakeVenue, request: Request, then: Callable[[Reply | None], None]) -> None:
        answer = fake.request(
            request.method, request.target, dict(request.headers), request.body, self.venue_ns
        )
        self.drain()
        if answer.again_ns:
            self._at(answer.again_ns, partial(self._serve_rest, fake, request, then))
            return
        lost = fake.faults.standing(
            "px.blackhole", self.venue_ns, way="out", path=request.target, stream="rest"
        )
        if answer.drop or lost or answer.delay_ns > ANSWER_NS:
            self._at(ANSWER_NS if not answer.drop else self._delay(), partial(then, None))
            return
        reply = Reply(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.body)
        self._at(self._delay() + answer.delay_ns, partial(then, reply))

    def _resync(self, instrument: int, reason: str) -> None:
        if instrument < 0:
            return
        market, symbol = self.desk.instruments.market(instrument), self.desk.instruments.symbol(instrument)
        if instrument in self.desk.snapshots:
            self._at(150 * MS, partial(self._snapshot, instrument, market, symbol))
            return
        for wired in self.lines.values():
            if wired.spec.role == "feed" and wired.spec.market == market and wired.connection is not None:
                self._do(wired, wired.session.resync(symbol, self.now_ns))
                return

    def _snapshot(self, instrument: int, market: int, symbol: str) -> None:
        request_of = MARKETS[market].snapshot
        assert request_of is not None
        if self.keeper is not None and self.keeper.is_paused(market, self.now_ns):
            return

        def then(reply: Reply | None) -> None:
            if reply is not None and reply.status == 200:
                self.engine.on_bytes(self.desk.snapshots[instrument], reply.body, self.now_ns)

        self._send_rest(market, request_of(market, symbol), then)

    # ---- the end ----

    def stop(self, within_ns: int = STOP_NS) -> None:
        """A clean stop, as `node.net.live` does it: no new risk, everything is cancelled, and what remains
        is noted."""
        crash_at("stop_requested")
        self.engine.quiet(self.now_ns)
        self.engine.latch(int(Latch.LATCH_STOPPING), True, self.now_ns)
        for order_id in self.engine.orders.open_orders():
            if not self.engine.protects(order_id):
                self.engine.want_cancel(order_id, self.now_ns)
        end_ns = self.now_ns + within_ns
        while self.now_ns < end_ns and self.engine.orders.open_orders():
            self.run_for(ENGINE_NS)
        crash_at("stop_cancelled")
        self.engine.mark_now(self.now_ns)
        crash_at("stop_flushed")

    def kill(self, down_ns: int = 0) -> None:
        """kill -9, and the venues live on for `down_ns` without a node. What was written still arrives
        there; what was on its way here is lost, and so is everything that the node had in memory. The next
        `World` is made with `keep_fakes`."""
        arriving: list[tuple[int, int, Callable[[], None]]] = []
        for at_ns, number, work in self.events:
            if isinstance(work, partial) and work.func == self._serve_rest:
                fake, request, _ = work.args
                arriving.append((at_ns, number, partial(self._serve_rest, fake, request, _nobody)))
            elif isinstance(work, partial) and work.func == self._arrive:
                arriving.append((at_ns, number, work))
        self.events = arriving
        heapq.heapify(self.events)
        for wired in self.lines.values():
            if wired.connection is not None:
                self._at(wired.out_ns + 1 - self.now_ns, partial(self._bury, wired.fake, wired.connection))
        self.live_on(down_ns)

    def live_on(self, down_ns: int) -> None:
        """So much time passes for the venues, without a node."""
        self.drain = self._drop  # type: ignore[method-assign]
        end_ns = self.now_ns + down_ns
        while self.now_ns < end_ns:
            self.run_for(min(VENUE_NS, end_ns - self.now_ns))
            self._venues()
        self.drain = lambda: None  # type: ignore[method-assign]

    def _bury(self, fake: FakeVenue, connection: Connection) -> None:
        if connection.number in fake.connections:
            fake.close(connection)

    def _drop(self) -> None:
        for fake in self.fakes.values():
            fake.take()

    # ---- the judge ----

    def account(self, market: int) -> Account:
        """The node's account at the venue of a market."""
        return self.fakes[self.venue_of[market]].accounts[1]

    def differences(self) -> list[str]:
        """Where the venues' ledgers and the node do not agree, one line each; [] = they do."""
        from node.sim.judge import differences

        return differences(self)


def simulated_key(fake: FakeVenue) -> Key:
    """The well-known credentials of account 1 of a simulated venue."""
    key = next(iter(fake.accounts[1].keys))
    return Key(key.api_key, key.secret, key.passphrase)


def _nobody(reply: Reply | None) -> None:
    """Who asked is dead."""


def named_in(frame: bytes) -> tuple[str, int]:
    """(client order id, records.Action) in the request id of an order frame."""
    request = orjson.loads(frame)
    name = str(request.get("reqId") or request.get("id"))
    return name[1:22], "ncar".index(name[0])


__all__ = ["World", "named_in", "replace", "simulated_key"]

"""A running node: instruments from the venues, the engine, its lines, its timers, and an orderly end."""

import asyncio
import os
import re
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson

from ext import build_id
from ext.crash import arm_text
from ext.crash import at as crash_at
from ext.dials import Dial, DialMismatch, Dials
from ext.engine import LineKind
from ext.link import Link, Spinner
from ext.records import Outcome
from ext.strategy import DIALS
from ext.tape import RecordType, TapeError, TapeFull, TapeWriter
from node.amounts import amount_text
from node.assembly import MARKET_NAMES, Assembly, LineSpec, path_of, unlisted
from node.beat import Beat
from node.config import MARKETS as MARKET_NUMBERS
from node.config import Config, VenueConfig, load, warnings
from node.control import Control
from node.credentials import read_key
from node.errors import Failed, HeldBack, Unreachable, UserError, cause, of_place
from node.limits import LooserLimits, changes
from node.linestats import line_rows
from node.net.blind import cancel_ours
from node.net.connection import Connection
from node.net.console import Console
from node.net.descriptors import Descriptors
from node.net.governor import Governor, Pace
from node.net.http import Http
from node.net.names import Names
from node.net.outage import Outage
from node.net.rotation import Rotation
from node.net.taking import taken
from node.net.tapewatch import TapeWatch
from node.net.vigil import EVERY_S, Vigil
from node.net.watchdog import Watchdog
from node.phrases import RELEASED, count, latch_name, resume_command, stops_text
from node.recall import Recalled
from node.restarts import BUDGET, Restarts, is_looping
from node.restore import (
    next_epoch,
    pause_text,
    paused,
    refuse_gone,
    refuse_others,
    restore_counts,
    restore_floors,
    restore_pauses,
    take_orders,
)
from node.states import recall_fast
from node.strategies import strategy_class
from node.synced import read_synced
from node.truth.desk import Ask
from node.truth.keeper import Keeper
from node.truth.said import report_of, said_of
from node.venues.depth import data_steps
from node.venues.markets import MARKETS
from node.venues.values import AccountNews, InstrumentRow, Reply, Request, Said

TIMER_S = 0.02
KEEPER_S = 0.05
LINES_S = 60.0  # what each feed was good for goes on the tape so often
PREPARE_S = 0.04
RELIST_S = 60.0  # filters are asked for again so often, and when the venue says that they changed
RELIST_CALM_S = 0.5  # ... this much later, so that one question is for all that is said at once
WINDOWS_S = 3600.0  # time rules are renewed so often: the gate holds those of a month and more
TAPE_AHEAD = 1 << 20  # bytes of tape that are ready to be written: more than 20 MB/s for PREPARE_S
WAIT_NS = 60 * 10**9  # a pause is waited out in steps: the wall clock may be set meanwhile
PAUSED_S = 0.5  # between two looks whether a pause is over
RECALL_NS = 23 * 3600 * 10**9  # Binance lists trades by time for 24 h
STOP_WAIT_S = 8.0  # at the end: for orders to be confirmed as closed, and a last look at the trades
LOST_WAIT_S = 2.0  # ... where no venue can be reached any more
SHOWN = 5
ANSWER_MOST = (
    16_384  # bytes of an answer that are kept: lists of instruments are long, and asked for again and again
)
HIDDEN = re.compile(r"\b(signature|listenKey|apiKey)=[^&]*")
HIDDEN_IN_JSON = re.compile(rb'"(listenKey|apiKey|api_key|secret)":\s*"[^"]*"')
CRASH_AT = "TICKGATE_CRASH_AT"  # label:nth, see ext/crash.pxd


def make_dials() -> list[Dial]:
    """The dials of a node, as the slow side and the hot side must both define them."""
    return [Dial(name, neutral, low, high) for name, neutral, low, high in DIALS]


@dataclass(frozen=True, slots=True)
class Left:
    """How a node ended: orders that are not known to be closed, and latches that hold the next start too."""

    orders: int = 0
    latches: tuple[str, ...] = ()


class Unreadable(UserError):
    """What a venue answered cannot be read: no mistake of a person's."""


class Node:
    """Build with a config, `await run(stop)`. `tell(line, text)` is called with what a person should know.
    `path`: the config's
    file, for paths in it and for `tickgate limits`; `accept_limits`: limits may be much looser than in the
    last run;
    `show(node)` is called when the limits in force are known, `ready()` when the config, its strategy, its
    symbols and its tape were found to be good, before any line is up. Raises UserError for a strategy or a
    key that cannot be used.

    What `node.net.recording`, which listens as a node does, takes over or does otherwise has names without an
    underscore: `load_instruments`, `build`, `add_connection`, `turned`, `resync`, `failed`, `spawn`,
    `end_tasks`."""

    def __init__(
        self,
        config: Config,
        tell: Callable[[str, str], None],
        *,
        path: Path | None = None,
        accept_limits: bool = False,
        show: Callable[["Node"], None] | None = None,
        ready: Callable[[], None] = lambda: None,
    ):
        self.config, self.tell = config, tell
        self.path, self.accept_limits, self.show, self.ready = path, accept_limits, show, ready
        self.folder = None if path is None else path.parent
        strategy_class(config.strategy, self.folder)  # before a venue is asked for anything
        self.venues: dict[int, VenueConfig] = {MARKET_NUMBERS[x.market]: x for x in config.venue}
        self.keys = {
            market: read_key(x.key, f"venue {x.market}")
            for market, x in self.venues.items()
            if x.key is not None
        }
        self.connections: list[Connection] = []
        self.recalled = Recalled()  # what the tape of earlier runs tells
        self.tasks: dict[asyncio.Task, Callable[[], bool]] = {}
        self.is_leaving = False  # what is cancelled from then on is so by us
        self.tape: TapeWriter | None = None
        self.dials: Dials | None = None
        self.keeper: Keeper | None = None
        self.governor = Governor()
        self.turns: dict[int, asyncio.Lock] = {}  # by market: held while a line is replaced
        self.relisting: set[int] = set()  # markets whose filters are being asked for
        self.heard: dict[int, int] = {}  # private line -> frames that the decoder took
        self.failure: BaseException | None = None
        self.is_done = False  # it ended because it was told to
        self.beat: Beat | None = None  # shows whoever watches that the loop turns
        self.left = Left()  # after `run`
        self.latches = 0  # of the gate, as last told

    # ---- instruments ----

    async def load_instruments(self) -> None:
        """Ask each venue for its instruments and keep the configured ones."""
        self.rows: dict[tuple[int, str], InstrumentRow] = {}
        self.steps: dict[tuple[int, str], tuple[str, str]] = {}
        for market, venue in self.venues.items():
            wanted = [x.symbol for x in self.config.instrument if x.market == venue.market]
            for row in await self._listed(market, wanted):
                key = (market, row.symbol)
                if row.symbol in wanted and key not in self.rows:
                    self.rows[key], self.steps[key] = row, await self._steps(venue, market, row)
            for symbol in wanted:
                if (market, symbol) not in self.rows:
                    raise UserError(f"{venue.market} does not list {symbol!r} ({venue.rest})")
        order = [(MARKET_NUMBERS[x.market], x.symbol) for x in self.config.instrument]
        self.rows = {
            key: self.rows[key] for key in sorted(self.rows, key=lambda k: _venue_order(self, k, order))
        }

    async def _listed(self, market: int, wanted: list[str]) -> list[InstrumentRow]:
        rest = self.venues[market].rest
        rows: list[InstrumentRow] = []
        for request in MARKETS[market].instruments(market, wanted) if wanted else []:
            reply = await self.http.fetch(rest, request)
            try:
                rows += MARKETS[market].read(market, reply)
            except ValueError as error:
                raise Unreadable(f"{rest}{request.target}: {error}") from None
        return rows

    async def _steps(self, venue: VenueConfig, market: int, row: InstrumentRow) -> tuple[str, str]:
        """Books hold orders from before a tick or lot was made coarser: a look at the book tells how fine the
        data must be read."""
        request_of = MARKETS[market].snapshot
        if request_of is None:
            return "", ""
        reply = await self.http.fetch(venue.rest, request_of(market, row.symbol))
        try:
            return data_steps(reply, row.tick, row.lot)
        except ValueError as error:
            raise Unreadable(f"{venue.rest}: depth of {row.symbol}: {error}") from None

    def _relist_soon(self, market: int) -> None:
        """Ask for the filters again, once, however often it is wanted meanwhile: venues tell of changes in
        storms."""
        if market not in self.relisting:
            self.relisting.add(market)
            self.spawn(self._relist(market))

    async def _relist(self, market: int) -> None:
        await asyncio.sleep(RELIST_CALM_S)
        self.relisting.discard(market)  # what is said from here on may be news to the answer
        await self._take_filters(market)

    async def _take_filters(self, market: int) -> None:
        """Take over the venue's filters as they are now; a symbol whose increments no longer fit stops."""
        if self._is_paused(market):
            return  # the next round asks
        wanted = [x.symbol for x in self.config.instrument if MARKET_NUMBERS[x.market] == market]
        try:
            rows = await self._listed(market, wanted)
        except (Unreachable, UserError) as error:
            self.tell(MARKET_NAMES[market], f"instruments: {error}")
            return
        now_ns = self.link.now_ns()
        states = self.desk.relist(market, rows, self.tell, now_ns) + unlisted(market, wanted, rows)
        if self.keeper is not None and states:
            self.keeper.on_news(market, AccountNews(tuple(states)), now_ns)

    # ---- one start after the other ----

    def _arm_crash(self) -> None:
        """Tests kill a simulated node where it hurts; nobody can do that to another one."""
        text = os.environ.get(CRASH_AT, "") if self.config.mode == "sim" else ""
        try:
            if text:
                arm_text(text)
        except ValueError as error:
            raise UserError(f"{CRASH_AT}: {error}") from None

    async def _waited_out(self, stop: asyncio.Event) -> bool:
        """A venue that wants no request yet is asked for nothing, not even for its instruments; False where
        the node was stopped meanwhile. Waiting is no bad start."""
        self.recalled = self._recall()
        for market, until_ns in paused(self.recalled, self.config, time.time_ns()).items():
            self.tell("tape", pause_text(market, until_ns))
            while (left_ns := until_ns - time.time_ns()) > 0:
                if not await _unless(stop, asyncio.sleep(min(left_ns, WAIT_NS) / 1e9)):
                    return False
        return True

    async def _count_start(self) -> None:
        """Three starts without a good end: this one is safe. Where that one died too, nothing is tried any
        more. Raises HeldBack."""
        directory = Path(self.config.tape)
        self.restarts = Restarts(directory)
        try:
            bad = self.restarts.begin(time.time_ns())
        except OSError as error:
            raise of_place(f"tape {directory}", error) from None
        if self.restarts.broken:
            self.tell(
                "tape", f"{self.restarts.path} cannot be read: counted as {BUDGET} starts that ended badly"
            )
        self.looping = is_looping(bad)
        if is_looping(bad - 1):
            await self._give_up(f"{bad} starts in a row ended badly, the safe one too")

    async def _give_up(self, why: str) -> None:
        """Passive for good: what carries our name is cancelled, and a person must look. Raises HeldBack."""
        count = await cancel_ours(self.config, self.keys, self.http, self.tell)
        self.restarts.take_back()
        raise HeldBack(
            f"{why}: {count} open orders asked to be cancelled, nothing else done; find out why it ended, "
            f"then delete {self.restarts.path}"
        )

    async def _loaded(self, stop: asyncio.Event) -> bool:
        """Instruments, or False where the node was stopped meanwhile. A person's mistake or a venue that
        cannot be reached is no crash."""
        whole = False
        try:
            if not await _unless(stop, self.load_instruments()):
                self.restarts.take_back()
            else:
                whole = True
        except Unreadable:
            raise
        except (UserError, Unreachable):
            self.restarts.take_back()
            self.looping = False
            raise
        finally:
            if self.looping and not whole and not stop.is_set():
                await self._give_up("one start after the other ends badly, this one before it began")
        return whole

    # ---- building ----

    def build(self) -> None:
        """Tape, engine, lines and keeper, of the instruments that were loaded. Raises UserError, Failed."""
        config = self.config
        if not self.recalled.next_sequence:
            self.recalled = self._recall()
        refuse_others(self.recalled, config)
        refuse_gone(self.recalled, config)
        self.tape = self._open_tape()
        self._nobody_wrote_between()
        now_ns = time.time_ns()
        self.desk = Assembly(
            config,
            self.rows,
            self.steps,
            self.keys,
            tape=self.tape,
            epoch=next_epoch(now_ns, self.recalled),
            first_id=1 + (secrets.randbits(12) << 31),  # two started in the same moment have other ids
            folder=self.folder,
            now_ns=now_ns,
        )
        self._compare_limits()
        self.engine, self.instruments = self.desk.engine, self.desk.instruments
        self.link = Link(self.engine)
        self.link.failed = self.failed
        self.vigil = self._vigil()
        self.outage = Outage(self.tell, self._note)
        self.engine.strategy_failed = self._strategy_failed
        self.link.thawed = self._thawed
        self.engine.ask_resync = self.resync
        self.engine.ask_relist = self._relist_soon
        for spec in self.desk.lines:
            self.add_connection(spec)
        for market, line in self.desk.rest_lines.items():
            self.link.by_rest(line, partial(self._by_rest, market))
        if self.desk.rest:
            self.keeper = self.desk.keeper(
                self.tell,
                note=self._note,
                refresh=self._refresh_private,
                recycle=self._recycle,
                **({"keep_old": False} if self.looping else {}),
            )
        if config.dials:
            try:
                self.dials = Dials(config.dials, make_dials())
            except (OSError, DialMismatch) as error:
                raise UserError(f"dials {config.dials}: {error}") from None

    def _vigil(self) -> Vigil:
        return Vigil(
            self.tell,
            self._note,
            self.failed,
            self._wall_stepped,
            memory_mb=self.config.memory_mb,
            is_secure=any(x.rest.startswith("https:") for x in self.config.venue),
            descriptors=self.descriptors,
        )

    def _wall_stepped(self, step_ns: int) -> None:
        if self.keeper is not None:
            self.keeper.clock_stepped(self.link.now_ns())

    def _compare_limits(self) -> None:
        """Limits that a person should look at twice. Raises LooserLimits."""
        last, now = self.recalled.limits, self.desk.effective.tables
        self.looser = [] if last is None else [x for x in changes(last, now) if x.is_much_looser]
        if self.show is not None:
            self.show(self)
        if self.looser and not self.accept_limits:
            raise LooserLimits(self.looser)

    def _control(self, stop: asyncio.Event) -> None:
        """What held earlier runs back holds before any line is up, and from here on operators are listened
        to."""
        directory = Path(self.config.tape)
        self.control = Control(
            self.desk,
            directory,
            self.tell,
            self._note,
            started_ns=self.link.now_ns(),
            reread=None if self.path is None else partial(load, self.path),
            stop=stop.set,
            file=self.path,
        )
        for line in warnings(self.config):
            self.tell("config", f"warning: {line}")
        self.control.resumed = self.restarts.clear
        if self.keeper is not None:
            self.control.release = self.keeper.release
            self.control.look_now, self.control.listed = self.keeper.look_now, self.keeper.listed
        self.control.tape_causes = lambda: list(self.tape_watch.causes.values())
        for line in self.control.begin(self.recalled, self.link.now_ns(), looping=self.looping):
            self.tell("control", line)
        if self.looser:
            self._note({"event": "limits accepted", "changes": [x.to_json() for x in self.looser]})
        self.console = Console(self.control, directory, self.link.now_ns)

    def _restore(self) -> None:
        """Go on where the tape ends. On spot nothing but the tape knows a position, however old it is."""
        if self.keeper is None:
            return
        now_ns = self.link.now_ns()
        restore_counts(self.desk, self.recalled, now_ns)
        for line in take_orders(self.desk, self.recalled, now_ns, keep=not self.looping):
            self.tell("tape", line)
        if self.recalled.last_ns and now_ns - self.recalled.last_ns > RECALL_NS:
            self.tell(
                "tape", "its last trade is more than 23 h old: trades before that are not asked for again"
            )
        for line in self.desk.restore(self.recalled, now_ns):
            self.tell("tape", f"position as last counted: {line}")

    def _recall(self) -> Recalled:
        """What the tape of earlier runs tells."""
        try:
            recalled, notes = recall_fast(Path(self.config.tape))
        except OSError as error:
            raise UserError(f"tape {self.config.tape}: it cannot be read: {cause(error)}") from None
        for note in notes:
            self.tell("tape", note)
        return recalled

    def _nobody_wrote_between(self) -> None:
        """The tape was read before it was ours. Where another node wrote to it until then, its latches and
        orders are read too. Where less is there than was durable once, a person should know: a backup was
        restored, or something was taken away."""
        assert self.tape is not None
        first = self.tape.sequence
        if self.recalled.next_sequence not in (0, first):
            self.recalled = self._recall()
            refuse_others(self.recalled, self.config)
            refuse_gone(self.recalled, self.config)
        page = read_synced(Path(self.config.tape))
        if page is not None and max(page.sequence, page.archived) >= first:
            last = max(page.sequence, page.archived)
            self.tell(
                "tape",
                f"its records {first} to {last} were durable and are gone: was a backup restored? The venues "
                "are asked for what happened since; an archive that has those records keeps them, and goes "
                "on in a fork",
            )

    def _open_tape(self) -> TapeWriter:
        directory = Path(self.config.tape)
        try:
            tape = taken(directory, self._tape_writer)
            tape.prepare_by_thread()
            self.beat = Beat(directory, time.monotonic_ns())
            self.tape_watch = TapeWatch(directory, self._latch, self.tell, self._note)
            return tape
        except TapeFull as error:
            raise Failed(f"tape {error}") from None
        except TapeError as error:
            raise UserError(f"tape {error}") from None
        except OSError as error:
            raise of_place(f"tape {directory}", error) from None
        except ValueError as error:
            raise UserError(f"tape {directory}: {error}") from None

    def _tape_writer(self) -> TapeWriter:
        return TapeWriter(
            self.config.tape, now_ns=time.time_ns(), segment_size=self.config.segment_mb << 20,
            ahead=TAPE_AHEAD, min_free=_bytes(self.config.tape_min_free_mb),
            session=os.urandom(6).hex().encode(), build=build_id().encode(),
        )  # fmt: skip

    def add_connection(self, spec: LineSpec) -> None:
        """A line's connection; it runs when its task is spawned."""

        def resync(symbol: str, reason: str) -> None:
            self.resync(self.desk.numbers.get((spec.market, symbol), -1), reason)

        self.connections.append(
            Connection(
                self.link,
                spec.line,
                spec.name,
                spec.url,
                spec.session,
                "" if spec.session is None else path_of(spec.session, spec.market),
                up_at_once=spec.up_at_once,
                fresh=None if spec.asks is None else partial(self._fresh, spec),
                topic=MARKETS[spec.market].topic if spec.role == "feed" else None,
                tell=self.tell,
                resync=resync,
                news=partial(self._on_news, spec.market),
                relist=partial(self._relist_soon, spec.market),
                turned=partial(self.turned, spec),
                ask=partial(self._ask, spec.market),
                names=self.names,
                rest=partial(self.outage.rest, spec.role),
                spare=self.descriptors.handed_over if spec.role == "orders" else None,
                rotation=self._rotation(spec),
                admit=partial(self.governor.admit, host_of(spec.url), pace_of(spec.market), spec.role),
            )
        )

    def _rotation(self, spec: LineSpec) -> Rotation | None:
        """How a feed is replaced while it goes on: one of a venue after the other."""
        if spec.spare < 0 or spec.again is None:
            return None
        return Rotation(spec.spare, spec.again, self.turns.setdefault(spec.market, asyncio.Lock()))

    async def _fresh(self, spec: LineSpec):
        """A session that needs something from REST first (a listen key), and its path."""
        assert spec.asks is not None
        assert spec.opened is not None
        while self._is_paused(spec.market):
            await asyncio.sleep(PAUSED_S)
        reply = await self.http.send(self.venues[spec.market].rest, spec.asks())
        session = spec.opened(reply)
        return session, path_of(session, spec.market)

    # ---- what the lines tell ----

    def turned(self, spec: LineSpec, up: bool) -> None:
        """A line went up or down."""
        if not self.is_leaving:
            self.outage.turned(spec.line, up)
        if self.keeper is None or spec.role == "feed":
            return
        now_ns = self.link.now_ns()
        kinds = [LineKind.ORDER_LINE] if spec.role == "orders" else [LineKind.PRIVATE_LINE]
        if spec.role == "orders" and MARKETS[spec.market].orders_tell_all:
            kinds.append(LineKind.PRIVATE_LINE)
        for kind in kinds:
            self.keeper.on_line(int(kind), spec.market, up, now_ns)

    def _on_news(self, market: int, news: AccountNews) -> None:
        if self.keeper is not None:
            self.keeper.on_news(market, news, self.link.now_ns())

    def _refresh_private(self, market: int) -> None:
        """The keeper does not trust the private stream of a market any more: connect it anew."""
        self._renew(market, "orders" if MARKETS[market].orders_tell_all else "private")

    def _recycle(self, market: int) -> None:
        """An order was refused for want of access: log in anew."""
        self._renew(market, "orders")

    def _renew(self, market: int, role: str) -> None:
        for spec, connection in zip(self.desk.lines, self.connections, strict=True):
            if spec.market == market and spec.role == role:
                connection.hang_up()

    # ---- requests ----

    async def _ask(self, market: int, request: Request) -> Reply | None:
        """Sign at the moment of writing; None where no answer came. Never more than one attempt."""
        rest, now_ns = self.desk.rest.get(market), self.link.now_ns()
        if rest is not None:
            request = rest.sign(request, (now_ns + self.desk.wires[market].offset_ns) // 1_000_000)
        try:
            reply = await self.http.send(self.venues[market].rest, request)
        except Unreachable as error:
            self.tell(MARKET_NAMES[market], str(error))
            reply = None
        self._record_answer(market, request, reply)
        return reply

    def _record_answer(self, market: int, request: Request, reply: Reply | None) -> None:
        """ANSWER on the tape: what the venue said when it was asked, or that it said nothing. What was
        decided by it stands behind it; no replay needs it. Keys and signatures are left out."""
        if self.tape is None or self.tape.full:
            return
        told = {"market": MARKET_NAMES[market], "method": request.method}
        told |= {"target": HIDDEN.sub(r"\1=***", request.target)}
        body = b""
        if reply is not None:
            told |= {"status": reply.status, "bytes": len(reply.body)}
            body = HIDDEN_IN_JSON.sub(rb'"\1":"***"', reply.body)[:ANSWER_MOST]
        head = orjson.dumps(told)
        self.tape.append(RecordType.ANSWER, 0, self.link.now_ns(), head + b"\n" + body)

    async def _answer(self, ask: Ask) -> None:
        assert self.keeper is not None
        reply = await self._ask(ask.desk.market, ask.request)
        self.keeper.on_reply(ask, reply, self.link.now_ns())

    def _by_rest(self, market: int, order_id: int, action: int, frame: bytes) -> None:
        """Orders of a REST line: each is sent once, and what is not answered is of unknown fate."""
        self.spawn(self._order(market, order_id, action, frame))

    async def _order(self, market: int, order_id: int, action: int, frame: bytes) -> None:
        rest = self.desk.rest[market]
        try:
            request = rest.from_frame(frame)
        except ValueError as error:
            self.tell(MARKET_NAMES[market], f"order by REST: {error}: not sent")
            refused = Said(int(Outcome.REFUSED), text=str(error))
            self.engine.on_evidence(
                report_of(self.engine.orders.order(order_id), action, refused), self.link.now_ns()
            )
            return
        said = said_of(rest, request, await self._ask(market, request))
        if said is not None and said.outcome == Outcome.UNCERTAIN:
            self.tell(
                MARKET_NAMES[market], f"order by REST: {said.code} {said.text}: its fate will be asked for"
            )
        reports = report_of(self.engine.orders.order(order_id), action, said)
        self.engine.on_evidence(reports, self.link.now_ns())

    # ---- running ----

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. Raises UserError, Unreachable, Failed where a task was lost, HeldBack where
        memory ran out, or what broke an invariant of the engine."""
        self._arm_crash()
        self.descriptors, self.names = Descriptors(sockets_of(self.config)), Names(self.tell)
        try:
            await self._run(stop)
        finally:
            self.names.close()
            self.descriptors.close()

    async def _run(self, stop: asyncio.Event) -> None:
        async with Http(self.names, self.descriptors.pool) as http:
            self.http = http
            if not await self._waited_out(stop):
                return
            await self._count_start()
            if not await self._loaded(stop):
                return
            try:
                self.build()
            except (UserError, LooserLimits):
                self.restarts.take_back()
                if self.tape is not None:
                    self.tape.close(time.time_ns())
                if self.beat is not None:
                    self.beat.end()  # it never began
                raise
            assert self.tape is not None
            self.tape.append(RecordType.CONFIG, 0, self.link.now_ns(), orjson.dumps(self.desk.describe()))
            self._restore()
            self._control(stop)
            self.desk.record_limits(self.link.now_ns())
            self.desk.price_coins(self.link.now_ns())
            for line in self.desk.rest_lines.values():
                self.engine.on_line(line, True, self.link.now_ns())
            spinner = Spinner(asyncio.get_running_loop()) if self.config.loop == "spin" else None
            watchdog = Watchdog(self.engine.strategies, self.config.strategy_timeout_ms)
            watchdog.start()
            try:
                await self.console.start()
                self.ready()
                await self._work(stop)
                self.is_done = True
            finally:
                watchdog.stop()
                if spinner is not None:
                    spinner.stop()
                try:
                    await self._end()
                finally:
                    self.console.close()

    def _pin(self) -> None:
        if self.config.cpu is None or not hasattr(os, "sched_setaffinity"):
            return
        try:
            os.sched_setaffinity(0, {self.config.cpu})
        except OSError as error:
            raise UserError(f"cpu {self.config.cpu}: {error.strerror}; there are {os.cpu_count()}") from None

    async def _work(self, stop: asyncio.Event) -> None:
        self._pin()
        if self.keeper is not None:
            known = self.recalled
            now_ns = self.link.now_ns()
            since_ns = max(known.last_ns, now_ns - RECALL_NS) if known.last_ns else 0
            self.keeper.begin(
                now_ns,
                since_ns,
                flows_from_ns=known.peak_ns,
                known=known.known,
                tape_ns=known.begun_ns,
            )
            restore_floors(self.desk, known, self.keeper)
            for told in restore_pauses(self.desk, known, self.keeper, now_ns):
                self.tell("tape", told)
            for market, states in self.desk.states().items():
                self.keeper.on_news(market, AccountNews(tuple(states)), now_ns)
        for connection in self.connections:
            self.spawn(connection.run(), f"connection {connection.name}", connection.is_wanted)
        self.vigil.begin()
        loop = asyncio.get_running_loop()
        due_s = {self._prepare: 0.0, self._keep: 0.0, self._relist_all: loop.time() + RELIST_S}
        due_s[self._renew_windows] = loop.time() + WINDOWS_S
        every_s = {self._prepare: PREPARE_S, self._keep: KEEPER_S, self._relist_all: RELIST_S}
        every_s[self._renew_windows] = WINDOWS_S
        due_s[self.vigil.look], every_s[self.vigil.look] = 0.0, EVERY_S
        due_s[self._note_lines], every_s[self._note_lines] = loop.time() + LINES_S, LINES_S
        while not stop.is_set() and self.failure is None:
            self._tick(self._read_dials())
            self.desk.start_quoting(self.link.now_ns())
            self.desk.weigh(self.tell)
            for work, at_s in due_s.items():
                if loop.time() >= at_s:
                    due_s[work] = loop.time() + every_s[work]
                    work()
            await asyncio.sleep(TIMER_S)
        if self.failure is not None:
            raise self.failure

    def _tick(self, dials: list[int] | None = None) -> None:
        """A turn of the loop: time passes for the engine, and whoever watches sees that it does."""
        self.link.tick(dials)
        if self.beat is not None:
            self.beat.beat(self.link.monotonic_ns())

    def _thawed(self, gap_ns: int) -> None:
        """The process stood still: before anything else, has the guard taken over meanwhile? Then nothing
        that was known before counts."""
        self._poll_latch()
        if gap_ns <= self.link.still_ns:
            return  # late, not gone: data is stale until it is fresh again, and everybody still knows us
        self.tell(
            "node", f"stood still for {gap_ns / 1e9:.3f} s: no new risk until everything is proven anew"
        )
        if self.keeper is not None:
            self.keeper.thawed(self.link.now_ns())

    def _poll_latch(self) -> None:
        """A latch that the guard or a person left beside the tape holds here too."""
        for line in self.control.poll(self.link.now_ns()):
            self.tell("control", line)

    def _tell_latches(self) -> None:
        """A stop over everything latches in the event that crosses its limit: a person should not find it by
        chance."""
        before, self.latches = self.latches, self.engine.risk.latches
        for latch in RELEASED:
            if self.latches & ~before & 1 << int(latch):
                held = self.control.described(int(latch), self.link.now_ns())
                self.tell("risk", f"latched: {held}: nothing new until {resume_command(self.config.tape)}")

    def _renew_windows(self) -> None:
        self.desk.renew_windows(self.link.now_ns())

    def _keep(self) -> None:
        """Let the keeper look, and carry out what it asks for; and look for the latch file."""
        self._poll_latch()
        self._tell_latches()
        if self.keeper is None:
            return
        for ask in self.keeper.tick(self.link.now_ns()):
            self.spawn(self._answer(ask))
        for spec, connection in zip(self.desk.lines, self.connections, strict=True):
            if connection.session is not None:
                connection.session.offset_ns = self.desk.wires[spec.market].offset_ns
            if spec.role == "private":
                self._probe(spec)

    def _probe(self, spec: LineSpec) -> None:
        """Reports on a private stream show that it delivers."""
        assert self.keeper is not None
        line = self.engine.lines[spec.line]
        told = line.frames - line.not_mine - line.bad
        if told != self.heard.get(spec.line, 0):
            self.heard[spec.line] = told
            self.keeper.on_probe(spec.market, self.link.now_ns())

    def _is_paused(self, market: int) -> bool:
        return self.keeper is not None and self.keeper.is_paused(market, self.link.now_ns())

    def _relist_all(self) -> None:
        for market in self.desk.rest:
            self._relist_soon(market)

    def _read_dials(self) -> list[int] | None:
        if self.dials is None:
            return None
        return [values[0] for values in self.dials.values(self.link.monotonic_ns())]

    def _prepare(self) -> None:
        """Is the next stretch of tape ready, and room for more? If not, nothing new is risked."""
        assert self.tape is not None
        self.vigil.timed("tape", partial(self.tape_watch.look, self.tape, self.link.monotonic_ns()))

    def _latch(self, which: int, on: bool) -> None:
        self.engine.latch(which, on, self.link.now_ns())

    def spawn(self, work: Coroutine, name: str = "", is_wanted: Callable[[], bool] = lambda: False) -> None:
        """All tasks of the node, held here. `is_wanted()`: this one may not end by itself now."""
        task = asyncio.create_task(work, name=name or getattr(work, "__qualname__", ""))
        self.tasks[task] = is_wanted
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task) -> None:
        """A task that ends with an error, that somebody else cancelled, or that ends and should not, is a
        fault of ours: it stops the node instead of vanishing."""
        is_wanted = self.tasks.pop(task)
        if self.is_leaving:
            return
        if task.cancelled():
            self.failed(Failed(f"task lost: {task.get_name()} was cancelled, and not by the node"))
        elif (error := task.exception()) is not None:
            self.failed(error)
        elif is_wanted():
            self.failed(Failed(f"task lost: {task.get_name()} ended by itself"))

    def failed(self, error: BaseException | None) -> None:
        """Something broke that must not: nothing more is sent, and the loop ends with it."""
        if self.failure is None:
            self.failure = error
            self.engine.latch(4, True, self.link.now_ns())
            self.tell("engine", f"stopped: {type(error).__name__}: {error}")

    def _strategy_failed(self, number: int, text: str, now_ns: int) -> None:
        """A strategy raised, hung or proposed nonsense: nothing else was harmed, but a person should know."""
        name = type(self.engine.strategies[number]).__name__
        self.tell(f"strategy {name}", text)
        self._note({"event": "strategy failed", "strategy": number, "name": name, "text": text})

    def resync(self, instrument: int, reason: str) -> None:
        """The engine wants a fresh book: by request where the venue works so, else by subscribing again."""
        if instrument < 0:
            return
        market, symbol = self.instruments.market(instrument), self.instruments.symbol(instrument)
        self.tell(f"{MARKET_NAMES[market]} {symbol}", f"resync: {reason}")
        if instrument in self.desk.snapshots:
            self.spawn(self._fetch_snapshot(instrument, market, symbol))
            return
        for connection in self.connections:
            row = self.engine.lines[connection.line]
            if row.kind == LineKind.MARKET_LINE and row.wire.market == market and row.up:
                connection.resubscribe(symbol)
                return

    async def _fetch_snapshot(self, instrument: int, market: int, symbol: str) -> None:
        request_of = MARKETS[market].snapshot
        assert request_of is not None
        await asyncio.sleep(0.15)  # let a few updates arrive first, so that the snapshot joins them
        if self._is_paused(market):
            return  # the engine asks again while it has no book
        try:
            reply = await self.http.fetch(self.venues[market].rest, request_of(market, symbol))
        except OSError as error:
            self.tell(symbol, f"snapshot: {error}")
            return
        self.link.bytes_in(self.desk.snapshots[instrument], reply)

    # ---- the end ----

    async def _end(self) -> None:
        """Cancel what is open, wait for the venues to say so, close the tape. A kill needs none of this."""
        crash_at("stop_requested")
        self.engine.quiet(self.link.now_ns())
        held = tuple(latch_name(x) for x in RELEASED if self.engine.risk.latches >> int(x) & 1)
        self.engine.latch(5, True, self.link.now_ns())
        try:
            await self._cancel_all()
            crash_at("stop_cancelled")
        finally:
            self.left = Left(len(self._to_close()), held)
            await self._let_go()

    async def _cancel_all(self) -> None:
        """Every order of ours but the stops that protect a position: those outlive the node. The keeper goes
        on asking about those that are not confirmed."""
        loop = asyncio.get_running_loop()
        deadline_s, keep_s, looked_ns = loop.time() + STOP_WAIT_S, 0.0, 0
        lost_s = loop.time() + LOST_WAIT_S
        asked: set[int] = set()
        while (left := self._to_close()) or not self._has_looked(looked_ns):
            for order_id in set(left) - asked:
                asked.add(order_id)
                self.engine.want_cancel(order_id, self.link.now_ns())
            if self._reaches_a_venue():
                lost_s = loop.time() + LOST_WAIT_S
            if loop.time() >= min(deadline_s, lost_s):
                break
            self._tick()
            if not left and not looked_ns and self.keeper is not None:
                looked_ns = self.link.now_ns()
                self.keeper.look_now(looked_ns)
            if loop.time() >= keep_s:
                keep_s = loop.time() + KEEPER_S
                self._keep()
            await asyncio.sleep(TIMER_S)
        kept = self._protecting()
        stops = f"; {stops_text(len(kept))}" if kept else ""
        self.tell(
            "node",
            f"stopping: {count(len(asked), 'order')} asked to be cancelled, {len(left)} not known to be "
            f"closed{stops}",
        )
        self._say_end(left, looked_ns)
        self._note_lines()
        names = [self._order_name(x)[1] for x in left]
        self._note(
            {
                "event": "stop",
                "open_orders": len(left),
                "protecting": len(kept),
                "left": names,
                "unreached": self._unreached(),
            }
        )
        for order_id in kept:
            where, name = self._order_name(order_id)
            self.tell(where, f"stop order {name} goes on protecting the position at the venue")

    def _protecting(self) -> list[int]:
        return [x for x in self.engine.orders.open_orders() if self.engine.protects(x)]

    def _to_close(self) -> list[int]:
        return [x for x in self.engine.orders.open_orders() if not self.engine.protects(x)]

    def _order_name(self, order_id: int) -> tuple[str, str]:
        """Where an order is, and what it is called there."""
        row = self.engine.orders.order(order_id)
        market = self.instruments.market(row["instrument"])
        name = self.desk.wires[market].client_id(row["sequence"], row["epoch"])
        return f"{MARKET_NAMES[market]} {self.instruments.symbol(row['instrument'])}", name

    def _unreached(self) -> list[str]:
        return [x.name for x in self.engine.lines if x.kind == LineKind.ORDER_LINE and not x.up]

    def _reaches_a_venue(self) -> bool:
        return any(x.up for x in self.engine.lines if x.kind == LineKind.ORDER_LINE)

    def _has_looked(self, since_ns: int) -> bool:
        """Trades that no stream told of are known too. A node that is broken does not wait for them, and for
        one that wrote no order there are none."""
        return (
            self.keeper is None
            or self.failure is not None
            or self.link.written == 0
            or (since_ns > 0 and self.keeper.has_looked(since_ns))
        )

    def _say_end(self, left: list[int], looked_ns: int) -> None:
        """What a person must look after, and what the node leaves behind."""
        for order_id in left[:SHOWN]:
            where, name = self._order_name(order_id)
            state = self.engine.orders.order(order_id)["state"]
            self.tell(where, f"order {name} is {state}: look at the venue; the next start asks for it too")
        if len(left) > SHOWN:
            self.tell("node", f"... and {len(left) - SHOWN} more orders")
        if not left and not self._has_looked(looked_ns):
            self.tell("node", "the venues' trades could not be listed once more: the next start does it")
        for number in range(self.instruments.count if self.keeper is not None else 0):
            here = self.engine.account.position(number)
            where = f"{MARKET_NAMES[self.instruments.market(number)]} {self.instruments.symbol(number)}"
            held = amount_text(self.instruments, number, here["lots"])
            self.tell(where, f"position {held}, {count(here['fills'], 'trade')}")

    async def _let_go(self) -> None:
        """Lines, tasks, tape."""
        self.is_leaving = True
        self.engine.mark_now(self.link.now_ns())
        crash_at("stop_flushed")
        await self.end_tasks()
        self.vigil.end()
        assert self.tape is not None
        if not self.tape.full:
            self.tape.close(self.link.now_ns())
        if self.is_done and not self._to_close():
            self.restarts.clear()
            if self.beat is not None:
                self.beat.end()

    async def end_tasks(self) -> None:
        """Connections, and all that goes on beside the loop."""
        for connection in self.connections:
            connection.close()
        for task in list(self.tasks):
            task.cancel()
        if self.tasks:
            await asyncio.wait(list(self.tasks))

    def _note_lines(self) -> None:
        """What each redundant line was good for, on the tape."""
        self._note({"event": "feeds", "lines": line_rows(self.engine)})

    def _note(self, fields: dict) -> None:
        """NOTE on the tape: something a person may want to read later."""
        if self.tape is not None and not self.tape.full:
            self.tape.append(RecordType.NOTE, 0, self.link.now_ns(), orjson.dumps(fields))


def host_of(url: str) -> str:
    """Name and port: what a venue's budget of connection attempts is for."""
    return url.partition("://")[2].partition("/")[0]


def pace_of(market: int) -> Pace:
    """How often that venue lets one machine try to connect."""
    most, within_ns = MARKETS[market].attempts
    return Pace(most, within_ns / 1e9)


def sockets_of(config: Config) -> int:
    """WebSockets that the config comes to, at most: a second one for each address of Binance USD-M, and one
    for each venue that goes up before another one goes."""
    return sum(2 * len(x.streams) + 1 + (3 if x.orders else 0) for x in config.venue)


def _venue_order(node: Node, key: tuple[int, str], order: Iterable[tuple[int, str]]) -> tuple[int, int]:
    """Instruments are numbered by venue as configured, and in the order of the config within one."""
    return list(node.venues).index(key[0]), list(order).index(key)


def _bytes(megabytes: int | None) -> int | None:
    return None if megabytes is None else megabytes << 20


async def _unless(stop: asyncio.Event, work: Coroutine) -> bool:
    """Do `work` unless told to stop first; whether it was done."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        working.cancel()
        await asyncio.wait((working,))
        return False
    working.result()
    return True

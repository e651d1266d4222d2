"""A running node: instruments from the venues, the engine, its lines, its timers, and an orderly end."""

import asyncio
import gc
import os
import time
from collections.abc import Callable, Coroutine
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path

import orjson

from ext import build_id
from ext.dials import Dial, DialMismatch, Dials
from ext.engine import Engine, LineKind
from ext.instruments import Instruments
from ext.link import Link, Spinner
from ext.records import Market
from ext.strategies.drill import Drill
from ext.strategies.quoter import Quoter
from ext.strategy import DIALS
from ext.tape import RecordType, TapeFull, TapeLocked, TapeWriter
from node.config import DEPTHS, Config, InstrumentConfig, Quote, VenueConfig
from node.config import MARKETS as MARKET_NUMBERS
from node.errors import UserError
from node.net.connection import Connection
from node.net.depth import data_steps
from node.net.http import Http
from node.net.markets import MARKETS, listen_key_session, make_wire
from node.net.strategies import make_strategy
from node.venues.values import InstrumentRow

NOT_IN_TABLE = ("market", "symbol", "tick", "lot", "max_leverage", "status")
MARKET_NAMES = {number: name for name, number in MARKET_NUMBERS.items()}
TIMER_S = 0.02
PREPARE_S = 0.04
TAPE_AHEAD = 1 << 20  # bytes of tape that are ready to be written: more than 20 MB/s for PREPARE_S
EPOCH_NS = (
    100_000_000  # client ids carry when the node started, in tenths of a second: nothing restarts faster
)
EPOCH_ZERO_NS = 1_577_836_800 * 10**9  # ... since 2020-01-01: their 35 bits last until 2128
STOP_WAIT_S = 2.0


def make_dials() -> list[Dial]:
    """The dials of a node, as the slow side and the hot side must both define them."""
    return [Dial(name, neutral, low, high) for name, neutral, low, high in DIALS]


class Node:
    """Build with a config, `await run(stop)`. `tell(line, text)` is called with what a person should know."""

    def __init__(self, config: Config, tell: Callable[[str, str], None]):
        self.config, self.tell = config, tell
        self.connections: list[Connection] = []
        self.instruments = Instruments(max(len(config.instrument), 1))
        self.numbers: dict[tuple[int, str], int] = {}
        self.snapshots: dict[int, int] = {}  # instrument -> its SNAPSHOT_LINE
        self.tasks: set[asyncio.Task] = set()
        self.tape: TapeWriter | None = None
        self.dials: Dials | None = None
        self.quoter: Quoter | None = None
        self.failure: BaseException | None = None

    # ---- building ----

    async def _load_instruments(self, http: Http) -> None:
        """Ask each venue for its instruments and keep the configured ones."""
        for venue in self.config.venue:
            market = MARKET_NUMBERS[venue.market]
            wanted = {x.symbol: x for x in self.config.instrument if x.market == venue.market}
            for request in MARKETS[market].instruments(market, list(wanted)) if wanted else []:
                reply = await http.fetch(venue.rest, request)
                try:
                    rows = MARKETS[market].read(market, reply)
                except ValueError as error:
                    raise UserError(f"{venue.rest}{request.target}: {error}") from None
                for row in rows:
                    if row.symbol in wanted and (market, row.symbol) not in self.numbers:
                        await self._add_instrument(http, venue, market, row)
            for symbol in wanted:
                if (market, symbol) not in self.numbers:
                    raise UserError(f"{venue.market} does not list {symbol!r} ({venue.rest})")

    async def _add_instrument(self, http: Http, venue: VenueConfig, market: int, row: InstrumentRow) -> None:
        """Put one instrument into the table. Books hold orders from before a tick or lot was made coarser: a
        look at the book tells how fine the data must be read."""
        fields = {f: getattr(row, f) for f in row.__slots__ if f not in NOT_IN_TABLE}
        request_of = MARKETS[market].snapshot
        if request_of is not None:
            reply = await http.fetch(venue.rest, request_of(market, row.symbol))
            try:
                fields["data_tick"], fields["data_lot"] = data_steps(reply, row.tick, row.lot)
            except ValueError as error:
                raise UserError(f"{venue.rest}: depth of {row.symbol}: {error}") from None
        try:
            self.numbers[market, row.symbol] = self.instruments.add(
                market, row.symbol, row.tick, row.lot, **fields
            )
        except ValueError as error:
            raise UserError(f"{venue.rest}: {error}") from None

    def _build(self) -> None:
        config = self.config
        self.tape = self._open_tape()
        self.engine = Engine(self.instruments, tape=self.tape)
        self.link = Link(self.engine)
        self.link.failed = self._failed
        self.engine.ask_resync = self._resync
        epoch = (time.time_ns() - EPOCH_ZERO_NS) // EPOCH_NS
        self._lines(epoch)
        self._limits()
        self._strategies()
        if config.dials:
            try:
                self.dials = Dials(config.dials, make_dials())
            except (OSError, DialMismatch) as error:
                raise UserError(f"dials {config.dials}: {error}") from None

    def _open_tape(self) -> TapeWriter:
        directory = Path(self.config.tape)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            return TapeWriter(
                str(directory), now_ns=time.time_ns(), segment_size=self.config.segment_mb << 20,
                ahead=TAPE_AHEAD,
                build=build_id().encode(),
            )  # fmt: skip
        except TapeLocked:
            raise UserError(
                f"tape {directory}: another node is writing it; stop it or name another `tape`"
            ) from None
        except (OSError, ValueError) as error:
            raise UserError(f"tape {directory}: {error}") from None

    def _lines(self, epoch: int) -> None:
        """Feeds of all venues first: the arbiter tells only the lowest numbers apart."""
        used = [x for x in self.config.venue if any(row.market == x.market for row in self.config.instrument)]
        wires = [
            make_wire(self.instruments, MARKET_NUMBERS[x.market], self.config.deployment, epoch) for x in used
        ]
        try:
            for venue, wire in zip(used, wires, strict=True):
                self._feeds(venue, wire)
            for venue, wire in zip(used, wires, strict=True):
                self._snapshots(venue, wire)
                if venue.orders:
                    self._orders(venue, wire.market, wire)
        except ValueError as error:
            raise UserError(f"{venue.market}: {error}") from None

    def _snapshots(self, venue: VenueConfig, wire) -> None:
        """A line for the snapshots of each instrument whose book starts from one."""
        for (market, symbol), number in self.numbers.items():
            if market == wire.market and MARKETS[market].snapshot:
                name = f"{venue.market} snapshot {symbol}"
                self.snapshots[number] = self.engine.add_line(name, LineKind.SNAPSHOT_LINE, wire, number)

    def _feeds(self, venue: VenueConfig, wire) -> None:
        market = wire.market
        rows = [x for x in self.config.instrument if x.market == venue.market]
        depths = {x.symbol: DEPTHS[x.market][0] if x.depth is None else x.depth for x in rows}
        for symbol, depth in depths.items():
            self.engine.follow(self.numbers[market, symbol], depth)
        for i, url in enumerate(venue.streams):
            sessions = MARKETS[market].feeds(market, list(depths), depths, venue.trades)
            for j, session in enumerate(sessions):
                name = f"{venue.market} feed {chr(ord('A') + i)}" + (f".{j + 1}" if len(sessions) > 1 else "")
                line = self.engine.add_line(name, LineKind.MARKET_LINE, wire)
                self._connection(line, name, url, session, market, up_at_once=True)

    def _orders(self, venue: VenueConfig, market: int, wire) -> None:
        name = f"{venue.market} orders"
        line = self.engine.add_line(name, LineKind.ORDER_LINE, wire)
        self._connection(line, name, venue.orders, MARKETS[market].orders(market), market, up_at_once=False)
        private, listen_key = MARKETS[market].private, MARKETS[market].listen_key
        if private is None and listen_key is None:
            return
        name = f"{venue.market} private"
        line = self.engine.add_line(name, LineKind.PRIVATE_LINE, wire)
        if private is not None:
            self._connection(line, name, venue.orders, private(market), market, up_at_once=False)
            return

        async def fresh():
            assert listen_key is not None
            reply = await self.http.fetch(venue.rest, listen_key("POST", "simulated"))
            session = listen_key_session(market, reply)
            return session, session.path

        self._connection(line, name, venue.streams[0], None, market, up_at_once=True, fresh=fresh)

    def _connection(
        self, line: int, name: str, url: str, session, market: int, *, up_at_once: bool, fresh=None
    ) -> None:
        path = "" if session is None else _path(session, market)

        def resync(symbol: str, reason: str) -> None:
            self._resync(self.numbers.get((market, symbol), -1), reason)

        self.connections.append(
            Connection(
                self.link,
                line,
                name,
                url,
                session,
                path,
                up_at_once=up_at_once,
                fresh=fresh,
                topic=MARKETS[market].topic if up_at_once and session is not None else None,
                tell=self.tell,
                resync=resync,
            )
        )

    def _limits(self) -> None:
        self.engine.risk.set_rate(self.config.rate.orders, self.config.rate.window_ms * 1_000_000)
        for x in self.config.instrument:
            if x.limits is None:
                continue
            number = self.numbers[MARKET_NUMBERS[x.market], x.symbol]
            try:
                self.engine.risk.set_limits(
                    number,
                    max_size_lots=self._lots(number, x, "max_size", x.limits.max_size),
                    max_position_lots=self._lots(number, x, "max_position", x.limits.max_position),
                    max_notional_e8=int(_decimal(x, "max_notional", x.limits.max_notional).scaleb(8)),
                    collar_ppm=x.limits.collar_bps * 100,
                    stale_ns=x.limits.stale_ms * 1_000_000,
                    max_open_orders=x.limits.max_open_orders,
                    duplicate_ns=x.limits.duplicate_ms * 1_000_000,
                )
            except (ValueError, OverflowError) as error:
                raise UserError(f"{x.market} {x.symbol}: limits: {error}") from None
            if x.quote is not None:
                self._check_quote(number, x, x.quote)

    def _check_quote(self, number: int, x: InstrumentConfig, quote: Quote) -> None:
        """A quote that could not be placed as it stands is an error now, not a refusal for each of its
        orders."""
        grid, lot_step = self.instruments.size_grid(number), self.instruments.row(number)["lot_step"]
        step = Decimal(lot_step * grid.mantissa).scaleb(-grid.decimals)
        if _decimal(x, "size", quote.size) % step:
            raise UserError(f"{x.market} {x.symbol}: quote: size {quote.size}: must be a multiple of {step}")

    def _lots(self, number: int, x: InstrumentConfig, key: str, text: str) -> int:
        """A size in base coins or contracts, as the venue counts it, in whole lots (rounded down: a
        limit)."""
        grid = self.instruments.size_grid(number)
        return (
            int(_decimal(x, key, text).scaleb(grid.decimals).to_integral_value(ROUND_FLOOR)) // grid.mantissa
        )

    def _strategies(self) -> None:
        strategy = make_strategy(self.config.strategy)
        if strategy is not None:
            self.engine.add_strategy(strategy)
        self.quoter = strategy if isinstance(strategy, Quoter) else None
        if self.config.drill_after_ms:
            self.engine.add_strategy(Drill(self.config.drill_after_ms * 1_000_000))

    def _quote(self) -> None:
        """Quoting parameters are relative to the price, so they are set when the first book is there."""
        self._unquoted = {
            self.numbers[MARKET_NUMBERS[x.market], x.symbol]: x
            for x in self.config.instrument
            if x.quote is not None
        }

    def _start_quoting(self, quoter: Quoter) -> None:
        for number, x in list(self._unquoted.items()):
            bid, ask = quoter.best(number)
            if not (bid and ask) or x.quote is None:
                continue
            mid_ticks = (bid[0] + ask[0]) // 2
            quoter.quote(
                number,
                half_spread_ticks=max(mid_ticks * x.quote.half_spread_ppm // 1_000_000, 1),
                requote_ticks=max(mid_ticks * x.quote.requote_ppm // 1_000_000, 1),
                size_lots=self._lots(number, x, "size", x.quote.size),
                lean_lots=self._lots(number, x, "lean", x.quote.lean),
                wait_ns=x.quote.wait_ms * 1_000_000,
            )
            del self._unquoted[number]

    # ---- running ----

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. Raises UserError, Unreachable, or what broke an invariant of the engine."""
        async with Http() as http:
            self.http = http
            if not await _unless(stop, self._load_instruments(http)):
                return
            try:
                self._build()
            except UserError:
                if self.tape is not None:
                    self.tape.close(time.time_ns())
                raise
            self._describe()
            self._quote()
            spinner = Spinner(asyncio.get_running_loop()) if self.config.loop == "spin" else None
            try:
                await self._work(stop)
            finally:
                if spinner is not None:
                    spinner.stop()
                await self._end()

    async def _work(self, stop: asyncio.Event) -> None:
        if self.config.cpu is not None and hasattr(os, "sched_setaffinity"):
            try:
                os.sched_setaffinity(0, {self.config.cpu})
            except OSError as error:
                raise UserError(
                    f"cpu {self.config.cpu}: {error.strerror}; there are {os.cpu_count()}"
                ) from None
        for connection in self.connections:
            self._spawn(connection.run())
        gc.collect()
        gc.freeze()  # what is alive now lives as long as the node: never look at it again
        gc.set_threshold(
            50_000, 20, 20
        )  # the hot path makes no garbage; the little that the rest makes can wait
        next_prepare_s = 0.0
        loop = asyncio.get_running_loop()
        while not stop.is_set() and self.failure is None:
            self.link.tick(self._read_dials())
            if self.quoter is not None and self._unquoted:
                self._start_quoting(self.quoter)
            if loop.time() >= next_prepare_s:
                next_prepare_s = loop.time() + PREPARE_S
                self._prepare()
            await asyncio.sleep(TIMER_S)
        if self.failure is not None:
            raise self.failure

    def _read_dials(self) -> list[int] | None:
        if self.dials is None:
            return None
        return [values[0] for values in self.dials.values(self.link.monotonic_ns())]

    def _prepare(self) -> None:
        """Have the next stretch of tape ready. A full disk stops new risk; what is recorded stays."""
        assert self.tape is not None
        try:
            self.tape.prepare()
        except TapeFull as error:
            if not self.engine.risk.latched:
                self.engine.risk.latch(2)
                self.tell("tape", f"{error}: no new orders from here on")

    def _spawn(self, work) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task) -> None:
        """A task that ends with an error is a fault of ours: it stops the node instead of vanishing."""
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failed(task.exception())

    def _failed(self, error: BaseException | None) -> None:
        if self.failure is None:
            self.failure = error
            self.engine.risk.latch(4)
            self.tell("engine", f"stopped: {type(error).__name__}: {error}")

    def _resync(self, instrument: int, reason: str) -> None:
        """The engine wants a fresh book: by request where the venue works so, else by subscribing again."""
        if instrument < 0:
            return
        market, symbol = self.instruments.market(instrument), self.instruments.symbol(instrument)
        self.tell(f"{MARKET_NAMES[market]} {symbol}", f"resync: {reason}")
        if instrument in self.snapshots:
            self._spawn(self._fetch_snapshot(instrument, market, symbol))
            return
        for connection in self.connections:
            row = self.engine.lines[connection.line]
            if row.kind == LineKind.MARKET_LINE and row.wire.market == market and row.up:
                connection.resubscribe(symbol)
                return

    async def _fetch_snapshot(self, instrument: int, market: int, symbol: str) -> None:
        request_of = MARKETS[market].snapshot
        venue = next(x for x in self.config.venue if MARKET_NUMBERS[x.market] == market)
        assert request_of is not None
        await asyncio.sleep(0.15)  # let a few updates arrive first, so that the snapshot joins them
        try:
            reply = await self.http.fetch(venue.rest, request_of(market, symbol))
        except OSError as error:
            self.tell(symbol, f"snapshot: {error}")
            return
        self.link.bytes_in(self.snapshots[instrument], reply)

    # ---- the end ----

    async def _end(self) -> None:
        """Cancel what is open, wait for the venues to say so, close the tape. A kill needs none of this."""
        self.engine.stopping = True
        self.engine.risk.latch(5)
        try:
            await self._cancel_all()
        finally:
            await self._let_go()

    async def _cancel_all(self) -> None:
        deadline_s = asyncio.get_running_loop().time() + STOP_WAIT_S
        asked: set[int] = set()
        while (left := self.engine.orders.open_orders()) and asyncio.get_running_loop().time() < deadline_s:
            for number in left:
                if number not in asked and self.engine.withdraw(number, self.link.now_ns()):
                    asked.add(number)  # else its line is down: it may come back before the time is up
            await asyncio.sleep(0.02)
        self.tell(
            "node", f"stopping: {len(asked)} orders asked to be cancelled, {len(left)} not known to be closed"
        )
        self._note({"event": "stop", "open_orders": len(left)})

    async def _let_go(self) -> None:
        """Lines, tasks, tape."""
        self.engine.mark_now(self.link.now_ns())
        for connection in self.connections:
            connection.close()
        for task in list(self.tasks):
            task.cancel()
        if self.tasks:
            await asyncio.wait(list(self.tasks))
        assert self.tape is not None
        if not self.tape.full:
            self.tape.close(self.link.now_ns())

    # ---- the tape's own words ----

    def _describe(self) -> None:
        """CONFIG on the tape: what a reader needs to make sense of the rest."""
        assert self.tape is not None
        payload = {
            "build": build_id(),
            "config": {f: getattr(self.config, f) for f in ("mode", "strategy", "deployment", "loop")},
            "instruments": [
                {
                    "market": Market(self.instruments.market(i)).name.lower().replace("_", "-"),
                    "symbol": self.instruments.symbol(i),
                    "tick": self.instruments.price_grid(i).step,
                    "lot": self.instruments.size_grid(i).step,
                    "money_mul": self.instruments.row(i)["money_mul"],
                    "money_div": self.instruments.row(i)["money_div"],
                }
                for i in range(self.instruments.count)
            ],
            "lines": [{"name": x.name, "kind": int(x.kind)} for x in self.engine.lines],
        }
        self.tape.append(RecordType.CONFIG, 0, self.link.now_ns(), orjson.dumps(payload))

    def _note(self, fields: dict) -> None:
        """NOTE on the tape: something a person may want to read later."""
        if self.tape is not None and not self.tape.full:
            self.tape.append(RecordType.NOTE, 0, self.link.now_ns(), orjson.dumps(fields))


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


def _decimal(x: InstrumentConfig, key: str, text: str) -> Decimal:
    try:
        value = Decimal(text)
    except ArithmeticError:
        value = Decimal(-1)
    if not value.is_finite() or value < 0:
        raise UserError(f"{x.market} {x.symbol}: {key} {text!r}: must be a plain number, not negative")
    return value


def _path(session, market: int) -> str:
    path = getattr(session, "path", None)
    if path is not None:
        return path
    if session.kind == "public":
        return "/v5/public/spot" if market == Market.BYBIT_SPOT else "/v5/public/linear"
    return f"/v5/{session.kind}"

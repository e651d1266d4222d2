"""A config and the venues' instruments -> engine, lines, limits, strategies: a node without its sockets.

`node.net.live` gives the lines sockets and a real clock, `node.sim.memory` gives them venues in memory and a
virtual one.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from ext import build_id
from ext.digest import VERSION as HASH_VERSION
from ext.engine import Engine, LineKind
from ext.instruments import Instruments
from ext.limits import LimitTable
from ext.records import LegKind, Market
from ext.strategies.drill import Drill
from ext.strategies.quoter import Quoter
from ext.strategy import DIALS, Strategy
from ext.tape import TapeWriter
from node.amounts import amount_text, base_per_lot
from node.compliance import Profile, profile_of
from node.config import DEPTHS, Config, InstrumentConfig, Quote, VenueConfig
from node.config import MARKETS as MARKET_NUMBERS
from node.credentials import accounts_of
from node.errors import UserError
from node.limits import Effective, apply, apply_stops, effective_limits, lots_of
from node.linestats import SPARE
from node.recall import Recalled
from node.regrid import Counted, is_exact, regrid
from node.strategies import make_strategy
from node.tracked import Place
from node.truth.desk import Product, VenueDesk
from node.truth.halts import Tell
from node.truth.keeper import Keeper
from node.truth.settings import SEC, Settings
from node.venues.keys import Key
from node.venues.markets import MARKETS, make_wire
from node.venues.values import InstrumentRow, Reply, Request, StatusRow

MARKET_NAMES = {number: name for name, number in MARKET_NUMBERS.items()}
NOT_IN_TABLE = ("market", "symbol", "tick", "lot", "max_leverage", "status", "ends_ns")
RECONCILED_NS = (
    50 * SEC
)  # beyond one round of order lists: no new risk without a pass that agreed for so long
CLOCK_NS = 120 * SEC
WATCHED_NS = SEC  # no new risk where the stops were not looked at for so long
# What an engine of this build makes itself, for a replay to compare.
OUTPUTS = (
    "VERDICT",
    "ORDER_OUT",
    "FILL",
    "REPORT",
    "STOP",
    "MARK",
    "EQUITY",
    "HASH",
    "DECISION",
    "SIGNAL",
    "DOOR",
)
EPOCH_NS = (
    100_000_000  # client ids carry when the node started, in tenths of a second: nothing restarts faster
)
ALIKE = 5  # an order's limit in coins and the one in money may differ so much before somebody is asked
EPOCH_ZERO_NS = 1_577_836_800 * 10**9  # ... since 2020-01-01: their 35 bits last until 2128


@dataclass
class LineSpec:
    """What one line connects to. `session` is None where each connection needs one made from a reply: then
    `asks` is the request (signed by the caller) and `opened` makes the session of the reply."""

    line: int
    name: str
    market: int
    role: str  # feed, orders, private
    url: str
    session: Any
    asks: Callable[[], Request] | None = None
    opened: Callable[[Reply], Any] | None = None
    books: tuple[int, ...] = ()  # of a feed: instruments whose depth it carries
    spare: int = -1  # of a feed: number for a connection that is to replace it while it goes on; -1 = none
    again: Callable[[], Any] | None = None  # of a feed: a session like this one

    @property
    def up_at_once(self) -> bool:
        """Does the line count as up as soon as its socket is open?"""
        return self.role == "feed" or self.asks is not None


class Assembly:
    """Everything of a node that needs no socket. Raises UserError where config and venues do not fit.

    `rows`: the venues' instruments, `steps` how fine the data is where it is finer than the increments of
    orders; `keys` by market number. `strategy` is used instead of the one that the config names. `folder`:
    what paths in the config are relative to; `first_id`: of its orders; `now_ns`: from when on time rules are
    needed; `profile`: the compliance profile, where it is not to be read from its file; `spares`: each feed
    has a second number, as far as numbers go."""

    def __init__(
        self,
        config: Config,
        rows: dict[tuple[int, str], InstrumentRow],
        steps: dict[tuple[int, str], tuple[str, str]],
        keys: dict[int, Key],
        *,
        tape: TapeWriter | None,
        epoch: int,
        outlet: Any = None,
        strategy: Strategy | None = None,
        folder: Path | None = None,
        now_ns: int = 0,
        profile: Profile | None = None,
        first_id: int = 1,
        spares: bool = True,
    ):
        self.first_id, self.has_spares = first_id, spares
        self.config, self.rows, self.keys, self.epoch, self.folder = config, rows, keys, epoch, folder
        self.steps, self.began_ns, self.given_profile = steps, now_ns, profile
        self.strategy = strategy
        self.listed: dict[int, tuple[InstrumentRow, bool]] = {}  # by instrument: what a list last said of it
        self.buckets: dict[str, dict[tuple[str, int], Any]] = {}  # by venue: what it counts of all its desks
        self.instruments = Instruments(max(len(rows), 1))
        self.numbers: dict[tuple[int, str], int] = {}
        for key, row in rows.items():
            self.numbers[key] = self._add(row, steps.get(key, ("", "")))
        self.engine = Engine(
            self.instruments,
            first_order_id=first_id,
            tape=tape,
            outlet=outlet,
            ack_timeout_ns=config.ack_timeout_ms * 1_000_000,
        )
        self.snapshots: dict[int, int] = {}  # instrument -> its SNAPSHOT_LINE
        self.wires: dict[int, Any] = {}
        self.frames: dict[int, str] = {}  # by market: which frames are recorded
        self.rest: dict[int, Any] = {}  # the signed REST half of each market that trades
        self.rest_lines: dict[int, int] = {}  # market -> its REST_LINE
        self.lines: list[LineSpec] = []
        self.hedged = {MARKET_NUMBERS[x.market] for x in config.venue if x.hedge}
        self._build_lines()
        self.effective = self.effective_of(config)
        self._limits(now_ns)
        self._strategies(strategy or make_strategy(config.strategy, folder))

    def _add(self, row: InstrumentRow, steps: tuple[str, str]) -> int:
        told = {f.name: getattr(row, f.name) for f in fields(row) if f.name not in NOT_IN_TABLE}
        try:
            return self.instruments.add(
                row.market, row.symbol, row.tick, row.lot, data_tick=steps[0], data_lot=steps[1], **told
            )
        except ValueError as error:
            raise UserError(f"{MARKET_NAMES[row.market]}: {error}") from None

    def refresh(self, number: int, row: InstrumentRow, now_ns: int) -> bool:
        """Take over a venue's filters as they are now; False where its increments do not fit the grid any
        more. What is as it was told last is not told again."""
        last = self.listed.get(number)
        if last is not None and last[0] == row:
            return last[1]
        skip = (*NOT_IN_TABLE, "contract", "is_perpetual", "inst_code", "base", "quote")
        told = {f.name: getattr(row, f.name) for f in fields(row) if f.name not in skip}
        fits = self.engine.refresh(number, row.tick, row.lot, told, now_ns)
        self.listed[number] = row, fits
        return fits

    def relist(self, market: int, rows: Iterable[InstrumentRow], tell: Tell, now_ns: int) -> list[StatusRow]:
        """Take over the filters of a market's list: what may be traded of those that are ours. A symbol whose
        increments no longer fit is told of, and stops."""
        states = []
        for row in rows:
            number = self.numbers.get((market, row.symbol))
            if number is None:
                continue
            if not self.refresh(number, row, now_ns):
                where = f"{MARKET_NAMES[market]} {row.symbol}"
                tell(where, "its increments changed: restart to trade it again")
            states.append(_state(market, row))
        return states

    def states(self) -> dict[int, list[StatusRow]]:
        """What the venues said of each symbol before the start, by market that trades."""
        out: dict[int, list[StatusRow]] = {market: [] for market in self.rest}
        for (market, _), row in self.rows.items():
            if market in out and row.status != "trading":
                out[market].append(_state(market, row))
        return out

    def restore(self, recalled: Recalled, now_ns: int) -> list[str]:
        """Positions as earlier runs counted them, in the grids of now, and the trades that they are made of:
        those are not counted again. Returns one line for each position. Raises UserError where one does not
        fit any more."""
        told, counted = [], []
        for place in recalled.positions:
            number = self.numbers.get(place)
            if number is None:
                continue
            text = self._restore(number, place, recalled, now_ns)
            told.append(f"{MARKET_NAMES[place[0]]} {place[1]}: {text}")
            counted += [
                (number, side, high, low) for where, side, high, low in recalled.trades if where == place
            ]
        self.engine.remember(counted, now_ns)
        return told

    def _restore(self, number: int, place: Place, recalled: Recalled, now_ns: int) -> str:
        """One position; what there is to say of it."""
        now = (self.instruments.price_grid(number).step, self.instruments.size_grid(number).step)
        before = recalled.grids.get(place, now)
        held = self._held(number, place, recalled)
        for leg, was in held.items():
            lots, cash, cost = regrid(was, before, now)
            try:
                self.engine.set_position(number, lots, cash, now_ns, leg=leg, cost=cost)
            except ValueError as error:
                name = f"{MARKET_NAMES[place[0]]} {place[1]}"
                raise UserError(
                    f"tape {self.config.tape}: {name}: the position of the last run does not fit the "
                    f"increments of now, {now[0]} and {now[1]}: {error}"
                ) from None
        text = amount_text(self.instruments, number, self.engine.account.sums(number)[0])
        if all(is_exact(lots, before, now) for lots, _, _ in held.values()):
            return text
        return f"{text}, rounded up: it was counted in lots of {before[1]}, and a lot is {now[1]} now"

    def _held(self, number: int, place: Place, recalled: Recalled) -> dict[int, Counted]:
        """By leg. What was counted in one-way mode is of no leg: the venue says what there is."""
        legs, (lots, cash) = recalled.legs.get(place, {}), recalled.positions[place]
        if place[0] in self.hedged and self.instruments.row(number)["is_perpetual"]:
            return {leg: held for leg, held in legs.items() if leg}
        net = legs.get(int(LegKind.NET), (0, 0, 0))
        # what is open, without what was realised before
        return {int(LegKind.NET): net if net[0] == lots else (lots, cash, -cash if lots else 0)}

    # ---- lines ----

    def _build_lines(self) -> None:
        """Feeds of all venues first: the arbiter tells only the lowest numbers apart."""
        used = [x for x in self.config.venue if any(row.market == x.market for row in self.config.instrument)]
        for venue in used:
            market = MARKET_NUMBERS[venue.market]
            wire = make_wire(self.instruments, market, self.config.deployment, self.epoch)
            self.frames[market] = venue.record_frames
            wire.window(venue.window_ms)
            wire.set_codes(MARKETS[market].codes)
            wire.set_hedge(venue.hedge)
            self.engine.risk.set_hedge(market, venue.hedge)
            wire.stp = "expire_" + venue.stp  # type: ignore[attr-defined]  # each venue's own property
            self.wires[market] = wire
        for venue in used:
            self._try(venue, self._feeds)
        if self.has_spares:
            self._spares()
        for venue in used:
            self._try(venue, self._snapshots)
            if venue.orders:
                self._try(venue, self._orders)

    def _try(self, venue: VenueConfig, build: Callable[[VenueConfig, int], None]) -> None:
        try:
            build(venue, MARKET_NUMBERS[venue.market])
        except ValueError as error:
            raise UserError(f"{venue.market}: {error}") from None

    def _line(self, name: str, kind: int, market: int, context: int = -1) -> int:
        line = self.engine.add_line(name, kind, self.wires[market], context)
        if kind in (LineKind.MARKET_LINE, LineKind.SNAPSHOT_LINE):
            self.engine.lines[line].recorded = self.frames[market] == "all"
        return line

    def _feeds(self, venue: VenueConfig, market: int) -> None:
        rows = [x for x in self.config.instrument if x.market == venue.market]
        depths = {x.symbol: DEPTHS[x.market][0] if x.depth is None else x.depth for x in rows}
        for symbol, depth in depths.items():
            self.engine.follow(self.numbers[market, symbol], depth)
        for i, url in enumerate(venue.streams):
            sessions = MARKETS[market].feeds(market, list(depths), depths, venue.trades)
            for j, session in enumerate(sessions):
                name = f"{venue.market} feed {chr(ord('A') + i)}" + (f".{j + 1}" if len(sessions) > 1 else "")
                line = self._line(name, LineKind.MARKET_LINE, market)
                again = partial(_nth_feed, j, market, list(depths), depths, venue.trades)
                # the first connection has the books
                books = tuple(self.numbers[market, x] for x in depths) if j == 0 else ()
                self.lines.append(
                    LineSpec(line, name, market, "feed", url, session, books=books, again=again)
                )
                for number in books:
                    self.engine.expect(line, number)

    def _spares(self) -> None:
        """A second number for each feed, as far as the arbiter tells them apart: a new connection is up on
        it before the old one goes."""
        for spec in self.lines:
            try:
                spec.spare = self._line(spec.name + SPARE, LineKind.MARKET_LINE, spec.market)
            except ValueError:
                return
            for number in spec.books:
                self.engine.expect(spec.spare, number)

    def _snapshots(self, venue: VenueConfig, market: int) -> None:
        """A line for the snapshots of each instrument whose book starts from one."""
        for (of, symbol), number in self.numbers.items():
            if of == market and MARKETS[market].snapshot:
                name = f"{venue.market} snapshot {symbol}"
                self.snapshots[number] = self._line(name, LineKind.SNAPSHOT_LINE, market, number)

    def _orders(self, venue: VenueConfig, market: int) -> None:
        row, key = MARKETS[market], self.keys.get(market)
        name = f"{venue.market} orders"
        line = self._line(name, LineKind.ORDER_LINE, market)
        self.lines.append(LineSpec(line, name, market, "orders", venue.orders, row.orders(market, key)))
        if key is not None:
            if hasattr(self.wires[market], "signer") and not key.is_ed25519:
                self.wires[market].signer(key.secret(), key.api_key)
            self.rest[market] = row.rest(market, key, venue.window_ms)
            if hasattr(self.rest[market], "hedge"):
                self.rest[market].hedge = venue.hedge  # what its trades say of legs depends on it
            self.rest_lines[market] = self._line(f"{venue.market} rest", LineKind.REST_LINE, market)
        for rule in row.budgets(market):
            self.engine.risk.budgets.set_rule(market, *rule[:3], by_instrument=rule[3])
        self._private(venue, market, key)

    def _private(self, venue: VenueConfig, market: int, key: Key | None) -> None:
        row = MARKETS[market]
        for i, (url, session) in enumerate(row.private(market, key)):
            name = f"{venue.market} private" + (f".{i + 1}" if i else "")
            line = self._line(name, LineKind.PRIVATE_LINE, market)
            where = venue.private or (venue.streams[0] if url == "streams" else venue.orders)
            spec = LineSpec(line, name, market, "private", where, session)
            if session is None:
                assert row.listen_key is not None
                spec.asks, spec.opened = row.listen_key(market, "" if key is None else key.api_key, key)
            self.lines.append(spec)

    # ---- limits and strategies ----

    def effective_of(self, config: Config) -> Effective:
        """The limits that `config` comes to on these instruments. Raises UserError naming instrument and
        key."""
        profile = self.given_profile or profile_of(config.compliance, "config", self.folder)
        known = {(MARKET_NUMBERS[x.market], x.symbol) for x in config.instrument}
        if known != set(self.numbers):
            raise UserError("limits: instruments cannot come or go while the node runs: restart it")
        return effective_limits(config, profile, self.rows, self.instruments, self.numbers)

    def _limits(self, now_ns: int) -> None:
        apply(self.effective, self.engine.risk, self.instruments, self.numbers, now_ns)
        apply_stops(self.effective, self.engine, self.numbers)
        for x in self.config.instrument:
            if x.quote is not None and x.limits is not None:
                self._check_quote(self.numbers[MARKET_NUMBERS[x.market], x.symbol], x, x.quote)
        self._unweighed = {
            self.numbers[MARKET_NUMBERS[x.market], x.symbol]: x
            for x in self.config.instrument
            if x.limits is not None
        }

    def tighten(self, new: Effective, now_ns: int) -> int:
        """Limits that are tighter than those in force, from here on, on the tape. What rests beyond them is
        cancelled; returns how many orders that is. Raises UserError."""
        beyond = self._put_limits(new, now_ns)
        self.effective = new
        return beyond

    def renew_windows(self, now_ns: int) -> None:
        """Time rules of the profile that have come within the gate's reach. To be called every hour or so."""
        profile = self.effective.profile
        if profile is not None and (profile.no_new or profile.flat_by):
            self._put_limits(self.effective, now_ns)

    def _put_limits(self, effective: Effective, now_ns: int) -> int:
        """All limits at once, in front of the next intent, so that a replay checks what was checked."""
        table = LimitTable(self.instruments.count, self.engine.orders.capacity)
        table.unpack(self.engine.risk.pack())
        apply(effective, table, self.instruments, self.numbers, now_ns)
        return len(self.engine.set_limits(table.pack(), now_ns))

    def record_limits(self, now_ns: int) -> None:
        """Put the limits that a run begins with on the tape."""
        self._put_limits(self.effective, now_ns)

    def price_coins(self, now_ns: int) -> None:
        """The prices of coins that no book here has, in front of the first fee in one."""
        for x in self.config.coin:
            self.engine.set_coin_price(x.name, int(Decimal(x.price_quote).scaleb(8)), now_ns)

    def weigh(self, tell: Tell) -> None:
        """When a first book is there: tell where the limits of an order in coins and in money mean very
        different things. Cheap to
        call again and again."""
        for number, x in list(self._unweighed.items()):
            bids = self.engine.books[number].bids(1)
            if not bids:
                continue
            del self._unweighed[number]
            price = bids[0][0] * Decimal(self.instruments.price_grid(number).step)
            told = self.effective.tables[f"{x.market} {x.symbol}"]
            value, most = Decimal(told["max_order_base"]) * price, Decimal(told["max_order_quote"])
            if not most / ALIKE <= value <= most * ALIKE:
                tell(
                    f"{x.market} {x.symbol}",
                    f"limits: max_order_base {told['max_order_base']} is worth {value:.2f}, "
                    f"max_order_quote is {most:f}: "
                    "the smaller one counts; is one of them a slip?",
                )

    def base_text(self, number: int, lots: int) -> str:
        """Lots as base coins, in plain digits."""
        return f"{lots * base_per_lot(self.instruments, number):f}"

    def _check_quote(self, number: int, x: InstrumentConfig, quote: Quote) -> None:
        """A quote that could not be placed as it stands is an error now, not a refusal for each of its
        orders."""
        step = base_per_lot(self.instruments, number) * self.instruments.row(number)["lot_step"]
        if Decimal(quote.size_base) % step:
            raise UserError(
                f"{x.market} {x.symbol}: quote: size_base {quote.size_base}: must be a multiple of {step:f}"
            )

    def _strategies(self, strategy: Strategy | None) -> None:
        if self.config.account is not None:
            self.engine.strategy_faults_max = self.config.account.max_strategy_faults
        if strategy is not None:
            self.engine.add_strategy(strategy)
        self.quoter = strategy if isinstance(strategy, Quoter) else None
        if self.config.drill_after_ms:
            after_ns = self.config.drill_after_ms * 1_000_000
            self.engine.add_strategy(Drill(after_ns, behind_others=self.quoter is not None))
        # quoting parameters are relative to the price, so they are set when the first book is there
        self._unquoted = {
            self.numbers[MARKET_NUMBERS[x.market], x.symbol]: x
            for x in self.config.instrument
            if x.quote is not None and self.quoter is not None
        }

    def start_quoting(self, now_ns: int) -> None:
        """Set the quotes of instruments whose first book has come. Cheap to call again and again."""
        for number, x in list(self._unquoted.items()):
            assert self.quoter is not None
            bid, ask = self.quoter.best(number)
            if not (bid and ask) or x.quote is None:
                continue
            mid_ticks = (bid[0] + ask[0]) // 2
            values = {
                "instrument": number,
                "half_spread_ticks": max(mid_ticks * x.quote.half_spread_ppm // 1_000_000, 1),
                "requote_ticks": max(mid_ticks * x.quote.requote_ppm // 1_000_000, 1),
                "size_lots": lots_of(self.instruments, number, x.quote.size_base),
                "lean_lots": lots_of(self.instruments, number, x.quote.lean_base),
                "wait_ns": x.quote.wait_ms * 1_000_000,
            }
            self.engine.configure(self.quoter.number, values, now_ns)
            del self._unquoted[number]

    # ---- what proves that the venues agree ----

    def keeper(
        self,
        tell: Tell,
        *,
        note: Callable[[dict], None],
        refresh: Callable[[int], None],
        recycle: Callable[[int], None],
        seed: int = 0,
        **settings: Any,
    ) -> Keeper:
        """The keeper over all markets that trade, and the proofs that risk wants of it from now on."""
        told = self.config.reconcile
        chosen = Settings(
            tape=self.config.tape,
            orders_every_ns=told.orders_s * SEC,
            positions_every_ns=told.positions_s * SEC,
            balances_every_ns=told.balances_s * SEC,
            foreign=told.foreign,
            keep_old=told.keep_old,
            keep_stops=self.config.stops is not None and self.config.stops.protect_bps > 0,
            flat_before_ns=(30 if self.config.stops is None else self.config.stops.delisting_flat_min)
            * 60
            * SEC,
        )
        desks = [self._desk(x) for x in self.config.venue if MARKET_NUMBERS[x.market] in self.rest]
        self.engine.risk.require(
            reconcile_ns=RECONCILED_NS + told.orders_s * SEC,
            clock_ns=CLOCK_NS,
            private=True,
            max_unacked=self.config.max_unacked,
            watched_ns=WATCHED_NS,
        )
        return Keeper(
            self.engine,
            desks,
            replace(chosen, **settings),
            tell,
            seed,
            note=note,
            refresh=refresh,
            recycle=recycle,
        )

    def _desk(self, venue: VenueConfig) -> VenueDesk:
        market = MARKET_NUMBERS[venue.market]
        products = {
            x.symbol: Product(
                self.numbers[market, x.symbol],
                base=self.rows[market, x.symbol].base,
                quote=self.rows[market, x.symbol].quote,
                is_perpetual=self.rows[market, x.symbol].is_perpetual,
                leverage="" if x.leverage is None else str(x.leverage),
            )
            for x in self.config.instrument
            if x.market == venue.market
        }
        return VenueDesk(
            market,
            self.rest[market],
            self.wires[market],
            products,
            name=venue.market,
            wallet=venue.wallet,
            hedge=venue.hedge,
            account=venue.account,
            buckets=self.buckets.setdefault(venue.market.partition("-")[0], {}),
        )

    # ---- the tape's first words ----

    def describe(self) -> dict:
        """CONFIG on the tape: what a reader needs to make sense of the rest, and all that
        `node.backtest.rebuild` needs to make this assembly again, without the venues and without their
        secrets."""
        return {
            "build": build_id(),
            "hash": HASH_VERSION,
            "records": list(OUTPUTS),
            "epoch": self.epoch,
            "now_ns": self.began_ns,
            "first_id": self.first_id,
            "accounts": accounts_of(self.config, self.keys),
            "config": _shown(self.config),
            "profile": msgspec.to_builtins(self.effective.profile),
            "strategy": None if self.strategy is None else _name_of(self.strategy),
            "strategies": [_name_of(x) for x in self.engine.strategies],
            "keys": {MARKET_NAMES[m]: self._key(m, key) for m, key in self.keys.items()},
            "instruments": [self._instrument(i) for i in range(self.instruments.count)],
            # by strategy number: its name, and what its signals are called
            "signals": [
                {"strategy": type(x).__name__, "kinds": {str(k): v for k, v in x.signals.items()}}
                for x in self.engine.strategies
            ],
            "dials": [[name, neutral] for name, neutral, *_ in DIALS],
            "lines": [{"name": x.name, "kind": int(x.kind)} for x in self.engine.lines],
            # by the number that EQUITY records name: as the keeper counts them
            "purses": list(
                dict.fromkeys(
                    x.wallet or x.market for x in self.config.venue if MARKET_NUMBERS[x.market] in self.rest
                )
            ),
            "limits": self.effective.tables,
        }

    def _key(self, market: int, key: Key) -> dict:
        """Which kind it is, and whether each order frame is signed with it."""
        signs = hasattr(self.wires.get(market), "signer") and not key.is_ed25519
        return {"ed25519": key.is_ed25519, "signs": signs}

    def _instrument(self, i: int) -> dict:
        market, symbol = self.instruments.market(i), self.instruments.symbol(i)
        return {
            "market": MARKET_NAMES[market],
            "symbol": symbol,
            "tick": self.instruments.price_grid(i).step,
            "lot": self.instruments.size_grid(i).step,
            "money_mul": self.instruments.row(i)["money_mul"],
            "money_div": self.instruments.row(i)["money_div"],
            "row": asdict(self.rows[market, symbol]),
            "steps": list(self.steps.get((market, symbol), ("", ""))),
        }


def _shown(config: Config) -> dict:
    """A config as JSON can hold it, without secrets: where they are is told, what they are is not."""
    told = _plain(config) | {f: getattr(config, f) for f in ("mode", "strategy", "deployment", "loop")}
    keys = [x["key"] for x in told["venue"] if "key" in x]
    keys += told.get("guard", {}).get("key", {}).values()
    for key in keys:
        for name, text in key.items():
            if text.startswith("plain:"):
                key[name] = "plain:***"
    return told


def _plain(value: Any) -> Any:
    """A struct as JSON can hold it, without what is left at its default: some defaults are no values one may
    give."""
    if isinstance(value, msgspec.Struct):
        told = {x.name: (getattr(value, x.name), x) for x in msgspec.structs.fields(value)}
        return {name: _plain(v) for name, (v, x) in told.items() if not _is_default(v, x)}
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(x) for x in value] if isinstance(value, list | tuple) else value


def _is_default(value: Any, of: msgspec.structs.FieldInfo) -> bool:
    if of.default_factory is not msgspec.NODEFAULT:
        return value == of.default_factory()
    return of.default is not msgspec.NODEFAULT and value == of.default


def _name_of(strategy: Strategy) -> str:
    """What `make_strategy` would find it by."""
    return f"{type(strategy).__module__}:{type(strategy).__qualname__}"


def _nth_feed(number: int, market: int, symbols: list[str], depths: dict[str, int], trades: bool) -> Any:
    """A session of one of the connections that a market's feed takes."""
    return MARKETS[market].feeds(market, symbols, depths, trades)[number]


def _state(market: int, row: InstrumentRow) -> StatusRow:
    return StatusRow(market, row.symbol, row.status, at_ns=row.ends_ns)


def unlisted(market: int, wanted: Iterable[str], rows: Iterable[InstrumentRow]) -> list[StatusRow]:
    """Symbols that a complete list of instruments leaves out: nobody can trade them now."""
    return [
        StatusRow(market, x, "halt", "by not listing it")
        for x in sorted({*wanted} - {y.symbol for y in rows})
    ]


def epoch_of(now_ns: int) -> int:
    """The epoch of a process that starts at `now_ns`."""
    return (now_ns - EPOCH_ZERO_NS) // EPOCH_NS


def path_of(session: Any, market: int) -> str:
    """The path that a session connects to."""
    path = getattr(session, "path", None)
    if path is not None:
        return path
    if session.kind == "public":
        return "/v5/public/spot" if market == Market.BYBIT_SPOT else "/v5/public/linear"
    return f"/v5/{session.kind}"

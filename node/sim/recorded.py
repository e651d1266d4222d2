"""A recording as the market of the simulated venues: its instruments become their listings.

The recording is read twice. The first pass (`node.backtest.instruments`) learns instruments, grids and
depth channels; here at most LISTINGS_MAX of them are chosen and their first whole books are looked for. The
second pass runs with the simulation: frames are decoded by the venue's own `Wire`, a `Book` says by the
venue's own rules which depth messages count (those before a Binance snapshot are spliced onto it), and only
what counted reaches the matching engines.

Markets that the recording does not cover keep their synthetic instruments, around the recorded price where
they share the base asset. All listings have a book from the start: one whose own snapshot comes later shows
it early. A listing's tick and lot are those that its levels are read with: the stated ones, or finer where
the book holds older orders that are off them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from ext.book import Applied, Book, BookState
from ext.instruments import Instruments
from ext.records import DepthKind, Market
from ext.wire import ListSink, Verdict
from node.backtest.instruments import (
    BINANCE,
    NO_INST_CODE,
    NOT_FRAMES,
    SKIP,
    WIRES,
    Key,
    Route,
    Sighting,
    Survey,
    instrument_id,
    plain,
    read_given,
    survey,
    traits,
    url_symbol,
)
from node.backtest.sources import VENUES as MARKET_NAMES
from node.backtest.sources import Line, Recording, frame_bytes
from node.errors import UserError
from node.sim import market as synthetic
from node.sim.serve import VENUES, SimConfig, VenueRow
from node.venues.fakes import BUY, SELL, Listing
from node.venues.values import InstrumentRow

LISTINGS_MAX = 4
FIRST_INST_CODE = 1_000_000  # of OKX instruments whose recording does not tell theirs
PRICE_MAX = 2**48 - 1  # ticks that both a book and a matching engine take
SIZE_MAX = 2**50  # lots: thousands of such levels stay below what a matching engine holds
DOLLARS = ("USDT", "USDC", "USD")
QUOTES = (*DOLLARS, "BTC", "ETH", "EUR")
ORDER_VALUE = {
    "BTC": Decimal("0.005"),
    "ETH": Decimal("0.1"),
}  # by quote currency, what an order is to be worth
ORDER_VALUE_DOLLARS = Decimal(300)
LEAST_SHARE = 60  # the venue's smallest order is worth this part of it

Levels = list[tuple[int, int]]
Sides = tuple[Levels, Levels]  # bids, asks; (price_ticks, size_lots)
Event = tuple[int, Key, str, Any]  # as `market.Record`, with the key in place of the listing
Tell = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Chosen:
    """An instrument that becomes a listing: how it was seen, its row, and its first whole book."""

    seen: Sighting
    row: InstrumentRow
    first: Sides


class Recorded:
    """An opened recording. `chosen` by key, in the order of their frames, most first."""

    def __init__(self, recording: Recording, found: Survey, chosen: dict[Key, Chosen]):
        self.recording, self.found, self.chosen = recording, found, chosen

    def listings(self, market: int) -> tuple[dict, ...]:
        """The listings of a market, as keyword arguments of `Listing`; none where the recording has none."""
        return tuple(_listing(i, x.row) for i, x in enumerate(self.chosen.values()) if x.row.market == market)

    def venues(self, table: dict[str, VenueRow] | None = None) -> dict[str, VenueRow]:
        """A table of venues in which recorded listings take the place of all others of their market."""
        covered = {market for market, _ in self.chosen}
        out = {}
        for name, row in (VENUES if table is None else table).items():
            kept = tuple(x for x in row.listings if x["market"] not in covered)
            mine = tuple(x for m in sorted(covered) if _venue(m) == name for x in self.listings(m))
            out[name] = replace(row, listings=mine + kept)
        return out

    def check(self, config: SimConfig) -> None:
        """Raises UserError where none of the venues that the recording is of is simulated."""
        wanted = {_venue(market) for market, _ in self.chosen}
        if not wanted & set(config.venues):
            raise UserError(
                f"{self.recording.path}: is of {', '.join(sorted(wanted))}, which the config leaves out"
            )

    def prices(self) -> dict[str, str]:
        """Base asset -> first mid price in dollars, of the instrument with most frames."""
        out: dict[str, str] = {}
        for x in self.chosen.values():
            base, quote = _pair(x.row.symbol)
            (bid, _), (ask, _) = x.first[BUY][0], x.first[SELL][0]
            if quote in DOLLARS:
                out.setdefault(base, _short(Decimal(bid + ask) / 2 * Decimal(x.row.tick)))
        return out

    def events(self, keys: Iterable[Key]) -> Iterator[Event]:
        """What happened to the books of these instruments, as the venue's own rules have it. Depth and trades
        begin with an instrument's first whole book."""
        return _Pass(self.recording, self.found, {k: self.chosen[k].row for k in keys}).events()


class RecordedAndSynthetic:
    """Moves all listings: the recorded ones by the recording, the others by a synthetic market. When the
    recording is over, `tell` is called once and its books stand still."""

    def __init__(self, recorded: Recorded, listings: Iterable[Listing], seed: int, start_ns: int, tell: Tell):
        by_key = {(x.market, x.symbol): x for x in listings}
        mine = {k: x for k, x in by_key.items() if k in recorded.chosen}
        for key, listing in mine.items():
            for side in (BUY, SELL):
                for price_ticks, size_lots in recorded.chosen[key].first[side]:
                    listing.engine.set_level(side, price_ticks, size_lots)
        others = [x for k, x in by_key.items() if k not in mine]
        self.synthetic = _synthetic(others, seed, start_ns, recorded.prices())
        self.source, self.mine = recorded, mine
        self.tell, self.is_told = tell, False
        self.rewind(start_ns)

    def rewind(self, now_ns: int) -> None:
        """The recording begins (again) at `now_ns`: its first book replaces what is there."""
        mine = self.mine
        records = ((t, mine[key], kind, what) for t, key, kind, what in self.source.events(mine))
        self.recorded = synthetic.RecordedMarket(records, now_ns)
        self.recorded.step(now_ns)

    def step(self, now_ns: int) -> int:
        """Everything due up to `now_ns`; returns how much that was."""
        count = self.synthetic.step(now_ns) + self.recorded.step(now_ns)
        if self.recorded.finished and not self.is_told:
            self.is_told = True
            self.tell("the recording is over: its books stand still from here")
        return count


def open_recording(path: Path, instruments: Path | None = None) -> Recorded:
    """Open a recording of any form that `tickgate replay` takes. `instruments`: a file of ticks and lots.

    Raises UserError where a file is missing or wrong, and where no spot pair or linear perpetual in it ever
    has a whole book.
    """
    given = read_given(instruments) if instruments is not None else None
    recording = Recording(path)
    found = survey([recording], given, instruments)
    rows = {
        x.key: x.finish() for x in sorted(found.seen.values(), key=lambda x: -x.frames) if _is_eligible(x)
    }
    if not rows:
        raise UserError(
            f"{path}: no order book of a spot pair or a linear perpetual in it: nothing to trade against"
        )
    firsts = _first_books(_Pass(recording, found, rows))
    chosen = {k: Chosen(found.seen[k], rows[k], firsts[k]) for k in rows if k in firsts}
    if not chosen:
        raise UserError(f"{path}: no book in it ever becomes whole: is this the second part of a recording?")
    return Recorded(recording, found, dict(list(chosen.items())[:LISTINGS_MAX]))


def size_hint(listing: Listing) -> tuple[str, str] | None:
    """(size in base coins, value) of an order of the demo: some 300 dollars in whole lots, one lot at
    least. None
    where the listing has no price yet."""
    best = listing.engine.best(BUY) or listing.engine.best(SELL)
    if best is None:
        return None
    lot = Decimal(listing.lot) * Decimal(listing.contract)
    price = best[0] * Decimal(listing.tick)
    lots = max(1, int(order_value(listing.quote) / (price * lot)))
    return plain(f"{lots * lot:f}"), plain(f"{lots * lot * price:f}")


def order_value(quote: str) -> Decimal:
    """What an order of the demo is to be worth, in its quote currency."""
    return ORDER_VALUE.get(quote, ORDER_VALUE_DOLLARS)


# ---- which instruments, and as what ----


def _is_eligible(seen: Sighting) -> bool:
    """It has a book, and is a spot pair or a linear perpetual."""
    return seen.depth() >= 0 and traits(*seen.key)[0]


def _listing(index: int, row: InstrumentRow) -> dict:
    base, quote = _pair(row.symbol)
    has_code = row.inst_code not in (-1, NO_INST_CODE)
    code = row.inst_code if has_code or row.market != Market.OKX else FIRST_INST_CODE + index
    return {
        "market": row.market,
        "symbol": row.symbol,
        "tick": plain(row.tick),
        "lot": plain(row.lot),
        "base": base,
        "quote": quote,
        "contract": plain(row.contract),
        "inst_code": code,
        "is_perpetual": row.is_perpetual,
        "min_notional": _short(order_value(quote) / LEAST_SHARE),
    }


def _pair(symbol: str) -> tuple[str, str]:
    """(base, quote) of a symbol."""
    if "-" in symbol:
        base, quote = symbol.split("-")[:2]
        return base, quote
    if symbol.endswith("PERP"):
        return symbol.removesuffix("PERP"), "USDC"
    quote = next((x for x in QUOTES if symbol.endswith(x) and x != symbol), "USDT")
    return symbol.removesuffix(quote), quote


def _venue(market: int) -> str:
    """The simulated venue that serves a market."""
    return MARKET_NAMES[market].partition("-")[0]


def _short(value: Decimal) -> str:
    """Plain decimal text with at most 8 decimals."""
    return plain(f"{value:.8f}")


def _synthetic(listings: list[Listing], seed: int, start_ns: int, prices: dict[str, str]) -> synthetic.Market:
    try:
        return synthetic.Market(listings, seed, start_ns, prices)
    except ValueError:  # a recorded price that is too low for a synthetic tick: two markets then
        return synthetic.Market(listings, seed, start_ns)


# ---- the second pass ----


def _first_books(reading: "_Pass") -> dict[Key, Sides]:
    """The first whole book of each instrument that has one with two sides."""
    out: dict[Key, Sides] = {}
    for _, key, kind, what in reading.events():
        if kind == "snapshot" and key not in out and what[BUY] and what[SELL]:
            out[key] = what
            if len(out) == len(reading.rows):
                break
    return out


class _Pass:
    """One reading of a recording for the instruments in `rows`, in the order of the decoders' table."""

    def __init__(self, recording: Recording, found: Survey, rows: dict[Key, InstrumentRow]):
        self.recording, self.found, self.rows = recording, found, rows
        self.keys = list(rows)
        self.seen = [found.seen[k] for k in self.keys]
        self.table = Instruments(max(len(rows), 1))
        for row in rows.values():
            try:
                self.table.add(row.market, row.symbol, row.tick, row.lot, row.contract)
            except ValueError as error:
                raise UserError(f"{instrument_id((row.market, row.symbol))}: {error}") from None
        self.wires = {m: WIRES[m](self.table, m) for m in {market for market, _ in rows}}
        self.books = [Book(i, market in BINANCE) for i, (market, _) in enumerate(self.keys)]
        self.depths = [x.depth() for x in self.seen]
        self.now_ns = 0

    def events(self) -> Iterator[Event]:
        nameless = iter(self.found.files[0].snapshots)
        for batch in self.recording.batches():
            for line in batch:
                route = self.found.routes.get(line.venue, {}).get(line.channel, SKIP)
                if line.dir == "send" or route.kind in NOT_FRAMES or route.kind == "unknown":
                    continue
                context = -1
                if route.kind == "snapshot":
                    symbol = url_symbol(line.url)
                    key = (route.market, symbol) if symbol else next(nameless, None)
                    if key not in self.rows:
                        continue
                    context = self.keys.index(key)
                elif not self._is_wanted(route):
                    continue
                yield from self._frame(route, line, context)

    def _is_wanted(self, route: Route) -> bool:
        """Can a frame of this route hold depth or trades of ours? One without an instrument can."""
        if route.seen is None:
            return route.market in self.wires
        return route.seen.key in self.rows and route.kind not in ("quote", "mark")

    def _frame(self, route: Route, line: Line, context: int) -> Iterator[Event]:
        sink = ListSink()
        verdict = self.wires[route.market].read(frame_bytes(line), sink, 0, context)
        if verdict == Verdict.RESYNC and route.seen is not None:
            self.books[self.keys.index(route.seen.key)].reset()
        for event in sink.events:
            if event["type"] in ("depth", "trade"):
                self.now_ns = line.t if line.t is not None else max(self.now_ns, event["event_ns"])
                found = self._depth(event) if event["type"] == "depth" else self._trade(event)
                if found is not None:
                    yield self.now_ns, self.keys[event["instrument"]], *found

    def _depth(self, event: dict) -> tuple[str, Sides] | None:
        """What a depth message changed, the whole book where it is new, None where it does not count."""
        index, kind = event["instrument"], event["kind"]
        if kind != DepthKind.SEED and event["depth"] != self.depths[index]:
            return None
        book = self.books[index]
        was_synced = book.state == BookState.SYNCED
        levels = _sound(event["bids"]), _sound(event["asks"])
        done = book.feed(
            kind, event["rule"], *levels, event["first_id"], event["last_id"], event["prev_id"], self.now_ns
        )
        if book.state != BookState.SYNCED:
            return None
        if kind == DepthKind.SNAPSHOT or not was_synced:
            return "snapshot", (book.bids(), book.asks())
        return ("depth", levels) if done == Applied.APPLIED and any(levels) else None

    def _trade(self, event: dict) -> tuple[str, tuple[int, int, int]] | None:
        """A trade, unless it is told twice (Binance: singly and aggregated) or there is no book yet."""
        index, price, size = event["instrument"], event["price_ticks"], event["size_lots"]
        is_double = (
            event["aggregate"] and "trade" in self.seen[index].kinds and self.keys[index][0] in BINANCE
        )
        if is_double or self.books[index].state != BookState.SYNCED or not _sound([(price, max(size, 1))]):
            return None
        return ("trade", (event["side"], price, size)) if size else None


def _sound(levels: Levels) -> Levels:
    """Levels that a matching engine takes; the others have numbers beyond any sense."""
    return [(p, s) for p, s in levels if 0 < p <= PRICE_MAX and s <= SIZE_MAX]

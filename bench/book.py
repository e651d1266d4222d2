"""The `book` benchmark: depth frame bytes -> updated book, on real frames, every check on.

Ours is the whole engine path: arbiter, decoder, sequence rules, book, crossing check (no strategy, no tape).
It is compared with `orjson.loads` of the same bytes, which leaves no book behind, and with what is usually
written: orjson and a SortedDict per side (`naive.Book`). All see the same frames, in turn; each turn is three
passes in a row, so that the best ones find the frames in the cache as their own last pass left it.

The answer is checked: at the end our book must equal `ExactBook`, which is built from the text of the numbers
without floats, level by level, and the naive one in best prices and level counts.
"""

import gzip
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import orjson

from bench.conditions import (
    BenchError,
    Progress,
    Watch,
    best_and_median,
    recordings_dir,
    silent,
    take_turns,
    watching,
)
from bench.naive import Book as NaiveBook
from bench.wire import load_frames
from ext.book import BookState
from ext.engine import Engine, LineKind
from ext.instruments import Instruments
from ext.records import Market
from ext.venues.binance import BinanceWire
from ext.venues.bybit import BybitWire
from ext.venues.okx import OkxWire

BUDGET_NS_PER_LEVEL = 15.0
BUDGET_RATIO_ORJSON = 4.0
NOW_NS = 1_723_161_256_000_000_000
WIRES = {Market.BINANCE_USDM: BinanceWire, Market.BYBIT_LINEAR: BybitWire, Market.OKX: OkxWire}


@dataclass
class Update:
    """One depth message, as any JSON reader sees it. A level is [price text, size text, ...]."""

    symbol: str
    bids: list[list[str]]
    asks: list[list[str]]
    replaces: bool = False  # a snapshot: the book becomes exactly this


@dataclass
class Capture:
    """Depth frames of one market. `seed`: the reply to a snapshot request, where the venue needs one.

    What the frames say is read anew whenever it is asked for: a million small objects kept alive would
    scatter what orjson allocates, and slow it down.
    """

    market: Market
    source: str
    frames: list[bytes]
    read: Callable[[dict], Update]
    seed: bytes = b""

    def __post_init__(self) -> None:
        self.levels = 0  # in the frames; those of the seed are not timed
        self.symbols: list[str] = []
        for frame in self.frames:
            update = self.read(orjson.loads(frame))
            self.levels += len(update.bids) + len(update.asks)
            if update.symbol not in self.symbols:
                self.symbols.append(update.symbol)

    def updates(self) -> Iterator[Update]:
        """The seed, where there is one, then every frame."""
        if self.seed:
            levels = orjson.loads(self.seed)
            yield Update(self.symbols[0], levels["bids"], levels["asks"], replaces=True)
        for frame in self.frames:
            yield self.read(orjson.loads(frame))


# ---- captures ----------------------------------------------------------------------------------------------


def binance_update(message: dict) -> Update:
    data = message["data"]
    return Update(data["s"], data["b"], data["a"])


def bybit_update(message: dict) -> Update:
    data = message["data"]
    return Update(data["s"], data["b"], data["a"], message["type"] == "snapshot")


def okx_update(message: dict) -> Update:
    (data,) = message["data"]
    return Update(message["arg"]["instId"], data["bids"], data["asks"], message["action"] == "snapshot")


@dataclass(frozen=True)
class Source:
    """Where a venue's frames are, and how to read one."""

    path: str
    channel: str
    market: Market
    read: Callable[[dict], Update]


# Measured beside the headline, where the captures are there.
SOURCES = {
    "bybit-linear": Source(
        "bybit/linear-2026-08-09-with-rest.jsonl.gz", "orderbook.200.", Market.BYBIT_LINEAR, bybit_update
    ),
    "okx": Source("okx/multi-2021-07-22-conn1.jsonl.gz", "books-l2-tbt:", Market.OKX, okx_update),
}


def binance_capture(frames: int | None = None) -> Capture:
    """`frames` frames (None: all) of the capture that the budget names; synthetic where it is absent."""
    seed, texts, source = load_frames(frames)
    raw = [text.encode() for text in texts]
    return Capture(Market.BINANCE_USDM, source, raw, binance_update, seed.encode())


def venue_capture(source: Source, frames: int | None = None) -> Capture | None:
    """The first `frames` depth frames (None: all) of a source; None where the recordings are absent."""
    path = recordings_dir() / source.path
    if not path.is_file():
        return None
    raw = depth_frames(path, source.channel)[:frames]
    return Capture(source.market, f"recorded: {source.path}", raw, source.read)


def depth_frames(path: Path, channel: str) -> list[bytes]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = (json.loads(line) for line in lines if channel in line)
        return [row["raw"].encode() for row in rows if row["channel"].startswith(channel)]


# ---- the book that is right --------------------------------------------------------------------------------


class ExactBook:
    """Levels of one symbol as exact decimals: slow, plain, and independent of everything under test."""

    def __init__(self) -> None:
        self.bids: dict[Decimal, Decimal] = {}
        self.asks: dict[Decimal, Decimal] = {}

    def take(self, update: Update) -> None:
        for side, levels in ((self.bids, update.bids), (self.asks, update.asks)):
            if update.replaces:
                side.clear()
            for price, size, *_ in levels:
                side[Decimal(price)] = Decimal(size)

    def levels(self, tick: Decimal, lot: Decimal) -> list[list[tuple[int, int]]]:
        """Both sides in ticks and lots, best first, empty levels left out."""
        pairs = ((self.bids, True), (self.asks, False))
        return [
            [(int(p / tick), int(side[p] / lot)) for p in sorted(side, reverse=down) if side[p]]
            for side, down in pairs
        ]


def exact_books(capture: Capture) -> dict[str, ExactBook]:
    books = {symbol: ExactBook() for symbol in capture.symbols}
    for update in capture.updates():
        books[update.symbol].take(update)
    return books


def grids(capture: Capture) -> dict[str, tuple[Decimal, Decimal]]:
    """(tick, lot) per symbol: the finest decimal seen, which is all that a captured stream can tell."""
    places = {symbol: [0, 0] for symbol in capture.symbols}
    for update in capture.updates():
        row = places[update.symbol]
        for level in update.bids + update.asks:
            row[0], row[1] = max(row[0], decimals(level[0])), max(row[1], decimals(level[1]))
    return {symbol: (Decimal(1).scaleb(-p), Decimal(1).scaleb(-s)) for symbol, (p, s) in places.items()}


def decimals(text: str) -> int:
    return len(text.partition(".")[2].rstrip("0"))


# ---- the passes --------------------------------------------------------------------------------------------


class EnginePass:
    """Our side: one engine, whose books start anew for every pass, as they do after a resync."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self.grids = grids(capture)
        instruments = Instruments(len(self.grids))
        for symbol, (tick, lot) in self.grids.items():
            instruments.add(capture.market, symbol, f"{tick:f}", f"{lot:f}")
        wire = WIRES[capture.market](instruments, capture.market)
        self.engine = Engine(instruments)
        self.market_line = self.engine.add_line("market", LineKind.MARKET_LINE, wire)
        self.seed_line = self.engine.add_line("seed", LineKind.SNAPSHOT_LINE, wire, 0)
        for line in (self.market_line, self.seed_line):
            self.engine.on_line(line, True, NOW_NS)
        self.frames_taken = 0

    def __call__(self) -> int:
        """One timed pass over all frames; BenchError where one is not taken."""
        for book in self.engine.books:
            book.reset()
        if self.capture.seed:
            self.engine.on_bytes(self.seed_line, self.capture.seed, NOW_NS)
        began_ns = time.perf_counter_ns()
        handled = self.engine.on_many(self.market_line, self.capture.frames, NOW_NS)
        taken_ns = time.perf_counter_ns() - began_ns
        self.frames_taken += handled
        if handled != len(self.capture.frames):
            line = self.engine.lines[self.market_line]
            raise BenchError(
                f"book: {handled} of {len(self.capture.frames)} frames taken ({line.last_error})"
            )
        return taken_ns

    def check(self) -> None:
        """Every book synced, no gap, never crossed, and equal to the exact one level by level."""
        exact = exact_books(self.capture)
        for (symbol, grid), book in zip(self.grids.items(), self.engine.books, strict=True):
            if (book.state, book.gaps, book.crossings) != (BookState.SYNCED, 0, 0):
                state = BookState(book.state).name
                raise BenchError(f"book: {symbol} {state}, {book.gaps} gaps, {book.crossings} crossings")
            if [book.bids(), book.asks()] != exact[symbol].levels(*grid):
                raise BenchError(f"book: {symbol} differs from the exact book")


class NaivePass:
    """What is usually written. The snapshot is read before the clock starts, as for ours."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self.book = NaiveBook(orjson.loads(capture.seed))

    def __call__(self) -> int:
        self.book = NaiveBook(orjson.loads(self.capture.seed))
        update = self.book.update
        began_ns = time.perf_counter_ns()
        for frame in self.capture.frames:
            update(orjson.loads(frame)["data"])
        return time.perf_counter_ns() - began_ns

    def check(self, ours: EnginePass) -> None:
        """Best prices and level counts as in our book."""
        (book,), ((tick, _),) = ours.engine.books, ours.grids.values()
        bid, ask = (side[0][0] * tick for side in (book.bids(1), book.asks(1)))
        expected = (float(bid), float(ask), book.bid_levels, book.ask_levels)
        found = (
            self.book.bids.peekitem(-1)[0],
            self.book.best_ask(),
            len(self.book.bids),
            len(self.book.asks),
        )
        if found != expected:
            raise BenchError(f"book: best bid, best ask and level counts are {expected}, naively {found}")


def orjson_pass(capture: Capture) -> Callable[[], int]:
    """`orjson.loads` of every frame and nothing else: the loop itself is native too."""

    def one() -> int:
        began_ns = time.perf_counter_ns()
        deque(map(orjson.loads, capture.frames), maxlen=0)
        return time.perf_counter_ns() - began_ns

    return one


# ---- the run -----------------------------------------------------------------------------------------------


def run(rounds: int = 8, frames: int | None = None, progress: Progress = silent) -> dict:
    """The headline figures, and a row per further venue. `frames`: at most so many of each capture."""
    progress("reading frames")
    capture = binance_capture(frames)
    ours, naive = EnginePass(capture), NaivePass(capture)
    result, watch = measure(capture, {"ours": ours, "naive": naive}, rounds, progress)
    ours.check()
    naive.check(ours)
    within = result["ns_per_level"] <= BUDGET_NS_PER_LEVEL and result["ratio_orjson"] >= BUDGET_RATIO_ORJSON
    return result | {
        "budget_ns_per_level": BUDGET_NS_PER_LEVEL,
        "budget_ratio_orjson": BUDGET_RATIO_ORJSON,
        "within_budget": within,
        "rounds": rounds,
        **watch.report(),
        "venues": venues(rounds, frames, progress),
    }


def venues(rounds: int, frames: int | None, progress: Progress) -> dict:
    """The other venues' rows; empty where the recordings are absent."""
    rows = {}
    for name, source in SOURCES.items():
        capture = venue_capture(source, frames)
        if capture is not None:
            ours = EnginePass(capture)
            row, _ = measure(capture, {"ours": ours}, rounds, progress)
            ours.check()
            rows[name] = row | {"checksums_per_frame": round(ours.engine.checksums / ours.frames_taken, 2)}
    return rows


def measure(
    capture: Capture, passes: dict[str, Callable[[], int]], rounds: int, progress: Progress
) -> tuple[dict, Watch]:
    """ns per level of each pass and of orjson, fastest and median, and what disturbed them."""
    with watching() as watch:
        taken = take_turns({**passes, "orjson": orjson_pass(capture)}, rounds, watch, progress, in_a_row=3)
    levels = capture.levels
    out: dict = {"frames_from": capture.source}
    for name, prefix in (("ours", ""), ("orjson", "orjson_"), ("naive", "naive_")):
        if name in taken:
            best, median = best_and_median(taken[name], levels)
            out |= {f"{prefix}ns_per_level": best, f"{prefix}ns_per_level_median": median}
            if name == "ours":
                out["ns_per_frame"] = best_and_median(taken[name], len(capture.frames))[0]
            else:
                out[f"ratio_{name}"] = round(min(taken[name]) / min(taken["ours"]), 2)
    sizes = {"frames": len(capture.frames), "levels": levels, "bytes": sum(map(len, capture.frames))}
    return out | sizes, watch

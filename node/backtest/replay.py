"""`tickgate replay FILE...`: recordings through the same engine as live.

Two passes. The first (`instruments.Survey`) learns instruments, grids and depth channels; the second feeds
every frame to one engine, file after file, with a market-data line per market, a snapshot line per Binance
instrument whose REST snapshot is in the recordings, and the order desk of a paper venue (`paper`). A file
that continues the one before goes on with its books; one that does not begins with empty ones; neither counts
as a gap.

Time is the recording's own: receive times, the event time where there is none, never backwards. The engine's
timer fires every 100 ms of it. Nothing else is an input, so two runs give the same books and the same orders.

What is quoted: each tradable instrument, from the frame at which its book is first synced and two-sided. Half
spread is one basis point of the mid, at least a tick; size is the smallest that the instrument allows (here:
one lot where nothing states a minimum); a quote is moved once it is off by its half spread.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path

from ext.book import Book, BookState
from ext.engine import Engine, LineKind, Recorder
from ext.instruments import Instruments
from ext.records import Market
from ext.sequence import Order as Place
from ext.sequence import place
from ext.strategies.quoter import Quoter
from ext.wire import Verdict
from node.backtest.instruments import (
    BESIDE,
    NO_INST_CODE,
    NOT_FRAMES,
    SKIP,
    WIRES,
    BadRecording,
    FileSurvey,
    Key,
    Route,
    Sighting,
    Survey,
    deepest,
    instrument_id,
    plain,
    read_given,
    survey,
    url_symbol,
)
from node.backtest.paper import Paper
from node.backtest.report import Bar, FileResult, InstrumentResult, Result
from node.backtest.sources import VENUES, Line, Recording, check_market, describe, frame_bytes
from node.errors import UserError
from node.venues.values import InstrumentRow

MS = 1_000_000
TIMER_NS = 100 * MS
IDLE_MAX_NS = 60_000 * MS  # the timer does not fire through a longer silence: the recorder was off
TIME_MAX_NS = 9 * 10**18  # the year 2255: what the decoders take, and what fits
STRATEGIES = ("quoter", "none")
FIRST_INST_CODE = 1_000_000  # of OKX instruments whose recording does not tell theirs
SNAPSHOT_LINES = 200  # the engine has 256 lines
EVENT_TIME = re.compile(r'"(?:E|cts|ts|T)"\s*:\s*"?(\d{13,16})\b')
HANDLED = int(Verdict.HANDLED)


def replay_command(
    files: list[Path], *, instruments: Path | None = None, market: str | None = None, at: int | None = None,
    progress: bool = False, strategy: str = "quoter",
) -> Result:  # fmt: skip
    """Replay `files` in order; files of instruments that the recorder wrote beside are read with their
    recordings, and may be among them. `instruments`: a file of ticks and lots (see `instruments`). `market`:
    product of raw recordings that do not show it. `at`: dump all books after so many frames, and stop.
    `strategy`: "quoter" or "none".

    Of several files, one that cannot be read is left out, and `Result.refused` says why. Raises UserError for
    whatever else is wrong with the input.
    """
    files = [x for x in files if not x.name.endswith(BESIDE)]
    if not files:
        raise UserError("no recordings named")
    if at is not None and at < 1:
        raise UserError(f"--at {at}: must be at least 1")
    if strategy not in STRATEGIES:
        raise UserError(f"strategy {strategy!r}: must be one of {', '.join(STRATEGIES)}")
    given = read_given(instruments) if instruments is not None else None
    refused: list[str] = []
    recordings = _opened(files, market, refused)
    with Bar(recordings, progress) as bar:
        look = partial(
            survey, given=given, given_path=instruments, on_file=partial(bar.reading, what="survey")
        )
        found = _surveyed(recordings, look, refused)
        total = sum(x.frames for x in found.files)
        if at is not None and at > total:
            raise UserError(f"--at {at}: the recordings have {total} frames")
        run = Run(found, is_quoting=strategy == "quoter", stop_at=at or 0)
        for recording, of_file in zip(recordings, found.files, strict=True):
            bar.reading(recording, "replay")
            run.file(recording, of_file)
            if run.is_stopped:
                break
    notes = [*found.notes(), *(note for x in recordings for note in x.notes)]
    dump = run.dump() if at is not None else None
    return Result(run.results, dump, notes, run.paper_counts(), refused)


def _opened(files: list[Path], market: str | None, refused: list[str]) -> list[Recording]:
    """Those of the files that are recordings; why the others are not goes into `refused`. Raises UserError
    where none is."""
    check_market(market)
    out = []
    for path in files:
        try:
            out.append(Recording(path, market))
        except UserError as error:
            refused.append(str(error))
    if not out:
        raise UserError("; ".join(refused))
    return out


def _surveyed(
    recordings: list[Recording], look: Callable[[list[Recording]], Survey], refused: list[str]
) -> Survey:
    """The survey of all that can be read to their ends. One that cannot is taken out of `recordings`, and the
    others are looked through anew: nothing of it is left in what was learnt. Raises UserError where none is
    left."""
    while True:
        try:
            return look(recordings)
        except BadRecording as error:
            refused.append(str(error))
            recordings.remove(error.recording)
            if not recordings:
                raise UserError("; ".join(refused)) from None


@dataclass(eq=False, slots=True)
class Counters:
    """What is counted per instrument, as of some moment."""

    levels: int
    trades: int
    gaps: int
    resyncs: int
    compared: int
    different: int
    crossed: int


class Run:
    """The second pass: one engine over all files of a survey."""

    def __init__(self, found: Survey, *, is_quoting: bool = True, stop_at: int = 0):
        self.survey = found
        self.sightings = list(found.seen.values())
        for index, seen in enumerate(self.sightings):
            seen.index = index
        self.rows = [_engine_row(i, x.finish()) for i, x in enumerate(self.sightings)]
        self.table = Instruments(len(self.rows))
        for row in self.rows:
            _add(self.table, row)
        self.engine = Engine(self.table, order_capacity=_power_of_two(8 * len(self.rows)))
        self.paper = Paper(self.rows)
        self.quoter = Quoter()
        self.unquoted: set[int] = {i for i, x in enumerate(self.rows) if x.tradable} if is_quoting else set()
        self.stop_at, self.is_stopped = stop_at, False
        self.results: list[FileResult] = []
        self.bad = self.not_mine = self.received = 0
        # owners of the file's nameless snapshots that are to come
        self.snapshots: Iterator[Key | None] = iter(())
        self.shift_ns: int | None = None  # by which the file's times are moved; None before its first frame
        self.now_ns = 0
        self.next_timer_ns = 0
        self.is_started = False
        self._join()
        self.line_bad = [0] * len(self.engine.lines)
        self.line_resyncs = [0] * len(self.engine.lines)

    # ---- putting it together ----

    def _join(self) -> None:
        """Lines, in an order that depends on the recordings alone; what each book follows; the strategy and
        its rate."""
        engine, table = self.engine, self.table
        self.market_lines = {
            market: engine.add_line(VENUES[market], LineKind.MARKET_LINE, WIRES[market](table, market))
            for market in sorted({row.market for row in self.rows})
        }
        owners = [x for x in self.sightings if "snapshot" in x.kinds]
        if len(owners) > SNAPSHOT_LINES:
            raise UserError(
                f"snapshots of {len(owners)} instruments: one run takes {SNAPSHOT_LINES}, split the files"
            )
        self.snapshot_lines = {
            seen.key: engine.add_line(
                f"{instrument_id(seen.key)} snapshot",
                LineKind.SNAPSHOT_LINE,
                WIRES[seen.key[0]](table, seen.key[0]),
                seen.index,
            )
            for seen in owners
        }
        self.followed: dict[int, int] = {}  # instrument -> depth channel, which may differ from file to file
        for seen in self.sightings:
            engine.follow(seen.index, seen.depth())
        for routes in self.survey.routes.values():
            for route in routes.values():
                is_stream = route.kind not in ("snapshot", "unknown", *NOT_FRAMES)
                route.line = self.market_lines.get(route.market, -1) if is_stream else -1
        engine.add_strategy(self.quoter)
        engine.risk.set_rate(90, 10_000 * MS)  # within every venue's order limits

    def _start(self, now_ns: int) -> None:
        """The first frame's time is known: lines come up."""
        self.is_started = True
        for line in self.market_lines.values():
            self.engine.on_line(line, True, now_ns)
        self.paper.join(self.engine, now_ns)

    # ---- one file ----

    def file(self, recording: Recording, of_file: FileSurvey) -> None:
        """Replay one file behind those before."""
        before = [self._counters(i) for i in range(len(self.rows))]
        self._suspend(of_file)
        for seen in self.sightings:
            seen.handled = 0
        self.bad = self.not_mine = 0
        self.next_timer_ns = 0
        recorder = Recorder(self.paper.taker)
        self.engine.outlet = recorder
        self.snapshots = iter(of_file.snapshots)
        self.shift_ns = None
        for batch in recording.batches():
            if self._lines(batch):
                break
        self._finish(recording, before, recorder)

    def _lines(self, batch: list[Line]) -> bool:
        """Feed lines to the engine; True where the run stops. The loop of the second pass: it is flat for
        speed."""
        routes, on_bytes, pump, paper = self.survey.routes, self.engine.on_bytes, self._pump, self.paper
        for line in batch:
            try:
                route = routes[line.venue][line.channel]
            except KeyError:
                route = SKIP
            if route.kind in NOT_FRAMES or line.dir == "send":
                continue
            now_ns = (line.t if line.t is not None else self._event_ns(line)) + (self.shift_ns or 0)
            if now_ns > self.now_ns:
                self.now_ns = now_ns
            if self.now_ns >= self.next_timer_ns or self.shift_ns is None:
                self._timers(now_ns)
            if route.line < 0:
                self._on_other(route, line)
            else:
                raw = frame_bytes(line)
                if on_bytes(route.line, raw, self.now_ns) != HANDLED:
                    self._on_refused(route)
                elif route.seen is None:
                    self._on_shared(route, line, raw)
                else:
                    route.seen.handled += 1
                    if route.kind != "quote":
                        self._handled(route.kind, route.seen, raw)
            if paper.queue:
                pump()
            self.received += 1
            if self.received == self.stop_at:
                self.is_stopped = True
                return True
        return False

    def _suspend(self, of_file: FileSurvey) -> None:
        """A new file. Where ids tell, say at once whether it continues a book; else the first update does."""
        for seen in self.sightings:
            book = self.engine.books[seen.index]
            span = of_file.spans.get(seen.key)
            depth = deepest(of_file.depths.get(seen.key, set()))
            if depth >= 0 and depth != self.followed.get(seen.index, depth):
                self.engine.restart(seen.index)  # another channel: its ids are of another kind
            if depth >= 0:
                self.followed[seen.index] = depth
                self.engine.follow(seen.index, depth)
            if book.state != BookState.SYNCED or (span is not None and not _continues(span, book.last_id)):
                self.engine.restart(seen.index)
            elif span is None:
                book.suspend()

    def _on_refused(self, route: Route) -> None:
        """The engine made nothing of a frame. (RESYNC is something: the venue's own order to begin anew.)"""
        line = self.engine.lines[route.line]
        refused = line.bad - self.line_bad[route.line]
        self.line_bad[route.line] = line.bad
        if refused:
            self.bad += 1
        elif line.resyncs > self.line_resyncs[route.line]:
            self.line_resyncs[route.line] = line.resyncs
            if route.seen is not None:
                route.seen.handled += 1
        else:
            self.not_mine += 1

    def _on_shared(self, route: Route, line: Line, raw: bytes) -> None:
        """A frame of a channel whose name does not tell the instrument: the frame does."""
        shape = describe(route.market, line.raw)
        seen = self.survey.seen.get((route.market, shape.symbol))
        if seen is not None:
            seen.handled += 1
            self._handled(shape.kind, seen, raw)

    def _on_other(self, route: Route, line: Line) -> None:
        """A snapshot, or a frame that is for no decoder."""
        symbol = url_symbol(line.url)
        key: Key | None = None
        if route.kind == "snapshot":
            key = (route.market, symbol) if symbol else next(self.snapshots)
        if key is None:
            self.not_mine += 1
            return
        verdict = self.engine.on_bytes(self.snapshot_lines[key], frame_bytes(line), self.now_ns)
        self.bad += verdict == Verdict.BAD
        self.not_mine += verdict == Verdict.NOT_MINE
        if verdict == HANDLED:
            self.survey.seen[key].handled += 1
            self._handled("depth", self.survey.seen[key], b"")

    def _handled(self, kind: str, seen: Sighting, raw: bytes) -> None:
        """A frame was used: begin to quote, or fill what a trade prints through."""
        if kind == "depth":
            if seen.index in self.unquoted:
                self._quote(seen.index)
        elif (kind == "trade" or (kind == "aggregate" and "trade" not in seen.kinds)) and self.paper.rests(
            seen.index
        ):
            self.paper.on_trades(seen.key[0], raw, self.engine.on_bytes, self.now_ns)

    def _pump(self) -> None:
        self.paper.pump(self.engine.on_bytes, self.now_ns)

    # ---- time ----

    def _event_ns(self, line: Line) -> int:
        """Time of a frame without a receive time: its event time, else a moment after the one before."""
        found = EVENT_TIME.search(line.raw)
        if found is None:
            return self.now_ns + 1
        stamp = int(found[1])
        ns = stamp * 1000 if stamp >= 10**14 else stamp * MS
        return ns if ns < TIME_MAX_NS else self.now_ns + 1

    def _timers(self, now_ns: int) -> None:
        """Fire the timer for every 100 ms that passed, but not through a long silence.

        A file from before the one it follows is moved to begin where that ended: time stood still otherwise.
        """
        if self.shift_ns is None:
            self.shift_ns = self.now_ns - now_ns if self.now_ns - now_ns > IDLE_MAX_NS else 0
        if not self.is_started:
            self._start(self.now_ns)
        if not 0 < self.now_ns - self.next_timer_ns < IDLE_MAX_NS:
            self.next_timer_ns = self.now_ns
        while self.next_timer_ns <= self.now_ns:
            self.engine.on_time(self.next_timer_ns)
            self.paper.pump(self.engine.on_bytes, self.next_timer_ns)
            self.next_timer_ns += TIMER_NS

    # ---- quoting ----

    def _quote(self, index: int) -> None:
        """Begin to quote an instrument, once its book is synced and has two sides."""
        book = self.engine.books[index]
        if book.state != BookState.SYNCED or not (book.bid_levels and book.ask_levels):
            return
        self.unquoted.discard(index)
        mid2 = book.bids(1)[0][0] + book.asks(1)[0][0]
        half = max(mid2 // 20_000, 1)
        lots = self._size_lots(index, mid2)
        money = self.table.money(index, mid2, 4 * lots)
        try:
            self.engine.risk.set_limits(
                index,
                max_size_lots=lots,
                max_notional_e8=money,
                max_position_lots=8 * lots,
                collar_ppm=10_000,
                stale_ns=10_000 * MS,
                max_open_orders=4,
            )
        except ValueError:
            return  # a number beyond any sense: market data only
        self.quoter.quote(
            index,
            half_spread_ticks=half,
            size_lots=lots,
            requote_ticks=half,
            lean_lots=8 * lots,
            wait_ns=250 * MS,
        )

    def _size_lots(self, index: int, mid2: int) -> int:
        """The smallest size that may be ordered, twice its minimum value so that a falling price does not
        stop it; in steps of the lot that is stated, where levels are read in finer ones."""
        row, one = self.table.row(index), self.table.money(index, mid2, 1)  # a lot's value, twice
        lots = max(row["min_size_lots"], 1)
        if one > 0:
            lots = max(lots, -(-4 * row["min_notional_e8"] // one))
        seen = self.sightings[index]
        step = int(Decimal(seen.row.lot) / Decimal(self.rows[index].lot)) if seen.source != "inferred" else 1
        return -(-lots // step) * step

    # ---- results ----

    def _counters(self, index: int) -> Counters:
        book = self.engine.books[index]
        return Counters(
            book.levels,
            self.engine.trade_count(index),
            book.gaps,
            book.resyncs,
            book.compared,
            book.different,
            book.crossings,
        )

    def _finish(self, recording: Recording, before: list[Counters], recorder: Recorder) -> None:
        rows = [self._result(i, before[i]) for i in range(len(self.rows)) if self.sightings[i].handled]
        self.results.append(FileResult(str(recording.path), rows, self.bad, self.not_mine, recorder.hash()))

    def _result(self, index: int, was: Counters) -> InstrumentResult:
        now, book = self._counters(index), self.engine.books[index]
        is_synced = book.state == BookState.SYNCED
        bids, asks = self._levels(index) if is_synced else ([], [])
        bid, bid_size = bids[0] if bids else (None, None)
        ask, ask_size = asks[0] if asks else (None, None)
        return InstrumentResult(
            id=instrument_id(self.sightings[index].key),
            frames=self.sightings[index].handled,
            levels=now.levels - was.levels,
            trades=now.trades - was.trades,
            gaps=now.gaps - was.gaps,
            resyncs=now.resyncs - was.resyncs,
            synced=is_synced,
            bid=bid,
            ask=ask,
            bid_size=bid_size,
            ask_size=ask_size,
            bid_levels=len(bids),
            ask_levels=len(asks),
            bbo_compared=now.compared - was.compared,
            bbo_different=now.different - was.different,
            crossed=now.crossed - was.crossed,
            book_hash=book_hash(bids, asks),
            tick=self._stated(index, "tick"),
            lot=self._stated(index, "lot"),
        )

    def _stated(self, index: int, name: str) -> str:
        """Tick or lot: of the orders where a source states it, else of the levels."""
        seen = self.sightings[index]
        return plain(getattr(self.rows[index] if seen.source == "inferred" else seen.row, name))

    def _levels(self, index: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Both sides as (price, size) in decimals without padding, best first."""
        book, price, size = (
            self.engine.books[index],
            self.table.price_grid(index),
            self.table.size_grid(index),
        )
        bids, asks = (
            [(price.format(p), size.format(s)) for p, s in side] for side in (book.bids(), book.asks())
        )
        return bids, asks

    def dump(self) -> dict:
        """All books as they are now, in full; of one that is not synced, what is left of it."""
        books = []
        for seen in self.sightings:
            book: Book = self.engine.books[seen.index]
            bids, asks = self._levels(seen.index)
            state = BookState(book.state).name.lower()
            books.append({"id": instrument_id(seen.key), "state": state, "bids": bids, "asks": asks})
        return {"frames": self.received, "books": books}

    def paper_counts(self) -> dict[str, int]:
        return self.paper.counts()


def book_hash(bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> str:
    """blake2b over `b PRICE SIZE` and `a PRICE SIZE` lines, best first, decimals without padding. That of no
    levels for a book that is not synced."""
    text = "".join([f"b {p} {s}\n" for p, s in bids] + [f"a {p} {s}\n" for p, s in asks])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _continues(span: list[dict], last_id: int) -> bool:
    """Do these first and last updates of a file take a book at `last_id` further? (They may overlap.)"""
    first, last = span
    where = place(first["rule"], first["first_id"], first["last_id"], first["prev_id"], last_id)
    return where == Place.NEXT or (where == Place.OLD and last["last_id"] > last_id)


def _engine_row(index: int, row: InstrumentRow) -> InstrumentRow:
    """OKX instruments whose code is not known get one of their own: it only ever goes to the paper venue."""
    if row.market == Market.OKX and row.inst_code in (-1, NO_INST_CODE):
        return replace(row, inst_code=FIRST_INST_CODE + index)
    return row


def _add(table: Instruments, row: InstrumentRow) -> None:
    """Add a row; one whose numbers do not fit together is read all the same, and not traded."""
    limits = {
        name: getattr(row, name)
        for name in ("min_price", "max_price", "min_size", "max_size", "min_notional")
    }
    try:
        table.add(
            row.market,
            row.symbol,
            row.tick,
            row.lot,
            row.contract,
            tradable=row.tradable,
            is_perpetual=row.is_perpetual,
            inst_code=row.inst_code,
            **limits,
        )
    except ValueError as error:
        raise UserError(f"{instrument_id((row.market, row.symbol))}: {error}") from None


def _power_of_two(n: int) -> int:
    return 1 << max(n - 1, 15).bit_length()

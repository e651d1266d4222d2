"""Real captures served on two lines of one engine, each with its own losses, lags, repeats and breaks; the
truth is the same capture on one whole line. Times are the recording's own."""

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random

from ext.book import BookState
from ext.engine import Engine, LineKind
from ext.records import Market
from ext.wire import Verdict
from node.backtest.instruments import WIRES, survey
from node.backtest.replay import Run
from node.backtest.sources import VENUES, Recording, frame_bytes

MS = 1_000_000
STARTS = 12  # places of a capture at which a window may begin
SNAPSHOT = 3  # the line that requested snapshots come on, behind those of the feed


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of the feed as it was received. `instrument`: -1 for a requested snapshot."""

    ns: int
    raw: bytes
    instrument: int


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole book behind the update `last_id`, in ticks and lots, best first."""

    last_id: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class Desk:
    """An engine with `lines` market lines and nothing else but books."""

    def __init__(self, capture: "Capture", lines: int):
        self.engine = Engine(capture.table, order_capacity=16)
        market = capture.market
        for number in range(lines):
            wire = WIRES[market](capture.table, market)
            assert self.engine.add_line(VENUES[market], LineKind.MARKET_LINE, wire) == number
            for index in range(len(capture.symbols)):
                self.engine.expect(number, index)
        self.snapshot = {
            i: self.engine.add_line(
                "snapshot", LineKind.SNAPSHOT_LINE, WIRES[market](capture.table, market), i
            )
            for i in range(len(capture.symbols))
        }
        self.asked: list[int] = []
        self.engine.ask_resync = lambda instrument, reason: self.asked.append(instrument)
        for index, depth in enumerate(capture.depths):
            self.engine.follow(index, depth)

    def whole(self, instrument: int) -> Whole | None:
        """The book, or None where it cannot be used."""
        book = self.engine.books[instrument]
        if book.state != BookState.SYNCED:
            return None
        return Whole(book.last_id, book.bids(), book.asks())


class Capture:
    """The depth frames of one recording, and whole books at some places of it."""

    def __init__(self, path: Path):
        recording = Recording(path)
        found = survey([recording], None, None)
        run = Run(found, is_quoting=False)
        self.table, self.depths = run.table, [x.depth() for x in run.sightings]
        self.market, self.symbols = run.rows[0].market, [x.symbol for x in run.rows]
        self.by_request = self.market in (Market.BINANCE_SPOT, Market.BINANCE_USDM)
        self.frames: list[Frame] = []
        for batch in recording.batches():
            for line in batch:
                route = found.routes.get(line.venue, {}).get(line.channel)
                if route is not None and line.dir != "send" and route.kind in ("depth", "snapshot"):
                    last = self.frames[-1].ns if self.frames else 10**18
                    ns = line.t if line.t is not None else last + 20 * MS
                    number = route.seen.index if route.seen is not None else -1
                    self.frames.append(Frame(max(ns, last), frame_bytes(line), number))
        self.starts: list[tuple[int, list[Whole]]] = []
        self._find_starts()

    def _find_starts(self) -> None:
        """Whole books all over the recording, as one whole line shows them."""
        desk = Desk(self, 1)
        desk.engine.on_line(0, True, self.frames[0].ns)
        every = max(len(self.frames) // STARTS, 1)
        due = 0
        for at, frame in enumerate(self.frames):
            line = 0 if frame.instrument >= 0 else desk.snapshot[0]
            assert desk.engine.on_bytes(line, frame.raw, frame.ns) == Verdict.HANDLED
            books = [desk.whole(i) for i in range(len(self.symbols))] if at >= due else []
            if books and all(books):
                self.starts.append((at + 1, books))
                due = at + every
        assert desk.asked == [] or self.by_request

    def give_snapshot(self, desk: Desk, line: int, instrument: int, book: Whole, now_ns: int) -> None:
        """The whole book as its venue would send it: on `line`, or as the answer to a request."""
        bids, asks = (
            [
                [self.table.price_grid(instrument).format(p), self.table.size_grid(instrument).format(s)]
                for p, s in side
            ]
            for side in (book.bids, book.asks)
        )
        symbol = self.symbols[instrument]
        if self.by_request:
            line = desk.snapshot[instrument]
            told = {"lastUpdateId": book.last_id, "bids": bids, "asks": asks}
        elif self.market == Market.OKX:
            rows = {"asks": [[*x, "0", "1"] for x in asks], "bids": [[*x, "0", "1"] for x in bids]}
            data = rows | {"ts": str(now_ns // MS), "checksum": 0, "prevSeqId": -1, "seqId": book.last_id}
            told = {"arg": {"channel": "books", "instId": symbol}, "action": "snapshot", "data": [data]}
        else:
            data = {"s": symbol, "b": bids, "a": asks, "u": book.last_id, "seq": 1}
            topic = f"orderbook.{self.depths[instrument]}.{symbol}"
            told = {"topic": topic, "type": "snapshot", "ts": now_ns // MS, "data": data}
        assert desk.engine.on_bytes(line, json.dumps(told).encode(), now_ns) == Verdict.HANDLED


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a line brings: a frame of the window, or that it went "up" or "down"."""

    ns: int
    line: int
    what: str
    frame: int


@dataclass
class Verdicts:
    """What came of a window."""

    is_complete: bool
    wrong: int = 0
    back: int = 0
    shown: int = 0
    resyncs: int = 0
    unsynced_at_end: int = 0
    healed: int = 0


class Window:
    """Some frames of a capture on two lines, from a place where all books are whole."""

    def __init__(self, capture: Capture, rng: Random, size: int = 120):
        self.capture, self.rng = capture, rng
        self.at, self.books = rng.choice([x for x in capture.starts if x[0] < len(capture.frames)])
        self.frames = [x for x in capture.frames[self.at : self.at + size] if x.instrument >= 0]
        self._learn()

    def _learn(self) -> None:
        """The truth behind each frame, and by the id of each update of each book."""
        desk = Desk(self.capture, 1)
        now_ns = self.frames[0].ns - MS
        desk.engine.on_line(0, True, now_ns)
        for index, book in enumerate(self.books):
            self.capture.give_snapshot(desk, 0, index, book, now_ns)
        self.truth = [{} for _ in self.books]
        self.behind: list[Whole | None] = []
        for index, book in enumerate(self.books):
            self.truth[index][book.last_id] = book
        for frame in self.frames:
            desk.engine.on_bytes(0, frame.raw, frame.ns)
            book = desk.whole(frame.instrument)
            self.behind.append(book)
            assert book is not None
            self.truth[frame.instrument][book.last_id] = book

    def arrivals(self, loss: float, lag_ms: int, again: float, breaks: float) -> list[Arrival]:
        """In the order of time, each line in its own order."""
        out, rng = [], self.rng
        for line in (0, 1):
            lag, ns, down_until = rng.randrange(lag_ms + 1) * MS, 0, 0
            share = rng.choice((0.0, loss, loss / 4))
            for number, frame in enumerate(self.frames):
                ns = max(ns, frame.ns + lag + rng.randrange(5 * MS))
                if number < down_until:
                    continue
                if down_until and number == down_until:
                    out.append(Arrival(ns, line, "up", number))
                    continue
                if rng.random() < breaks:
                    down_until = number + rng.randrange(2, 10)
                    out.append(Arrival(ns, line, "down", number))
                elif rng.random() >= share:
                    out += [Arrival(ns, line, "frame", number)] * (1 + (rng.random() < again))
        return sorted(out, key=lambda x: x.ns)

    def is_complete(self, rows: list[Arrival]) -> bool:
        """Every frame came on one line at least, and no line broke."""
        came = {x.frame for x in rows if x.what == "frame"}
        return len(came) == len(self.frames) and all(x.what == "frame" for x in rows)

    def run(self, **faults) -> Verdicts:
        rows = self.arrivals(**faults)
        out, desk, capture = Verdicts(self.is_complete(rows)), Desk(self.capture, 2), self.capture
        now_ns = self.frames[0].ns - MS
        for line in (0, 1):
            desk.engine.on_line(line, True, now_ns)
            for index, book in enumerate(self.books):
                if not capture.by_request or line == 1:
                    capture.give_snapshot(desk, line, index, book, now_ns)
        desk.asked.clear()
        last: list[int] = [book.last_id for book in self.books]
        for row in rows:
            while now_ns + 50 * MS < row.ns:
                now_ns += 50 * MS
                desk.engine.on_time(now_ns)
            now_ns = max(now_ns, row.ns)
            if row.what == "frame":
                desk.engine.on_bytes(row.line, self.frames[row.frame].raw, now_ns)
            else:
                desk.engine.on_line(row.line, row.what == "up", now_ns)
                if row.what == "up" and not capture.by_request:
                    self._welcome(desk, row, now_ns)
            self._look(desk, out, last)
            self._answer(desk, row, now_ns, out)
            self._look(desk, out, last)
        out.healed = sum(x["healed"] for x in desk.engine.arbiter.stats().values())
        out.unsynced_at_end = sum(desk.whole(i) is None for i in range(len(self.books)))
        return out

    def _state(self, instrument: int, frame: int) -> Whole:
        """The book of an instrument behind a frame of the window."""
        for number in range(frame, -1, -1):
            if self.frames[number].instrument == instrument:
                return self.behind[number]
        return self.books[instrument]

    def _welcome(self, desk: Desk, row: Arrival, now_ns: int) -> None:
        """A line that subscribed is sent each book as it is."""
        for index in range(len(self.books)):
            self.capture.give_snapshot(desk, row.line, index, self._state(index, row.frame), now_ns)

    def _answer(self, desk: Desk, row: Arrival, now_ns: int, out: Verdicts) -> None:
        """The cold side's part: a book that asks is given the venue's own, as it is where this line is."""
        asked, desk.asked = set(desk.asked), []
        desk.engine.ask_resync = lambda instrument, reason: desk.asked.append(instrument)
        for index in sorted(asked):
            out.resyncs += 1
            self.capture.give_snapshot(desk, row.line, index, self._state(index, row.frame), now_ns)

    def _look(self, desk: Desk, out: Verdicts, last: list[int]) -> None:
        for index in range(len(self.books)):
            book = desk.whole(index)
            if book is None:
                last[index] = -1  # what comes behind a gap may be a little older: another line brings it
            if book is None or book.last_id == last[index]:
                continue
            out.shown += 1
            out.wrong += book != self.truth[index].get(book.last_id)
            out.back += book.last_id < last[index]
            last[index] = book.last_id

"""Hostile bytes for every native entry point: seeded mutations of samples, and what must hold of each answer.

`python tests/fuzz.py --count 20000` runs all entries, `--only okx --seed 7 --round 12` one round of one of
them again. A round is ROUND cases on fresh state, all of them decided by (entry, seed, round), so that what a
case left behind for the next one comes again too. `make sanitize` runs this under AddressSanitizer.
"""

import json
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[1]
for _part in ("conformance", "ext/venues", "."):
    sys.path.insert(0, str(ROOT / "tests" / _part))
sys.path.insert(0, str(ROOT))

import samples  # noqa: E402  (only now: the tests' folders are on the path)
import typer  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import Progress  # noqa: E402

from ext import records  # noqa: E402
from ext.book import BookState  # noqa: E402
from ext.dials import Dial, DialMismatch, Dials, DialWriter  # noqa: E402
from ext.engine import Engine, LineKind, Recorder  # noqa: E402
from ext.records import ReportKind  # noqa: E402
from ext.segments import crc32c  # noqa: E402
from ext.tape import TapeCorrupt, TapeMissing, TapeReader, TapeWriter, inspect, verify  # noqa: E402
from ext.text import Grid, read_int, skip_value  # noqa: E402
from ext.wire import ListSink, Verdict  # noqa: E402
from node.config import MARKETS  # noqa: E402

ROUND = 200
SECOND = 10**9
NOW = 1_790_000_000 * SECOND
PRICE_MOST = (1 << 48) - 1  # a book's key
STEPS_MOST = 1 << 62
SILENT = (Verdict.BAD, Verdict.NOT_MINE)  # verdicts that push nothing


# ---- mutations ----

TOKENS = [
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b'""', b"[]", b"{}", b'\\"', b"\\u0000", b'":"', b'","',
    b"null", b"true", b"false", b"-", b".", b"e", b"0", b"-1", b"1e309", b"9" * 20, b"0" * 20,
    b"0." + b"0" * 30, b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808",
    b" ", b"\n", b"\0", b"\x1f", b"\x7f", b"\x80", b"\xff", b"\xc3\xa9", b"\xed\xa0\x80",
    b"[" * 70, b'{"a":' * 70, b'"' * 70, b"x" * 300, b'["1","1"],' * 40, b'"' + b"y" * 5000 + b'"',
    b'"s":"BTCUSDT"', b'"instId":"BTC-USDT"', b'"data":', b'"id":""', b'"b":[["1","1"]]', b'["0.1","0"]',
]  # fmt: skip
NUMBERS = (0, 1, 31, 32, 33, 63, 64, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def _insert(draw: Random, raw: bytearray, other: bytes) -> None:
    at = draw.randint(0, len(raw))
    raw[at:at] = draw.choice(TOKENS)


def _delete(draw: Random, raw: bytearray, other: bytes) -> None:
    at = draw.randint(0, len(raw))
    del raw[at : at + draw.choice((1, 1, 2, 5, 20, 200))]


def _splice(draw: Random, raw: bytearray, other: bytes) -> None:
    raw[draw.randint(0, len(raw)) :] = other[draw.randint(0, len(other)) :]


def _borrow(draw: Random, raw: bytearray, other: bytes) -> None:
    at, there = draw.randint(0, len(raw)), draw.randint(0, len(other))
    raw[at : at + draw.randint(0, 20)] = other[there : there + draw.randint(1, 60)]


def _change(draw: Random, raw: bytearray, other: bytes) -> None:
    for _ in range(draw.randint(1, 4) if raw else 0):
        raw[draw.randrange(len(raw))] = draw.randrange(256)


def _digit(draw: Random, raw: bytearray, other: bytes) -> None:
    """Another digit for one that stands there: what stays well-formed goes deepest."""
    at = draw.randint(0, len(raw))
    for i in range(at, min(at + 40, len(raw))):
        if 48 <= raw[i] <= 57:
            raw[i] = 48 + draw.randrange(10)
            return


def _truncate(draw: Random, raw: bytearray, other: bytes) -> None:
    del raw[draw.randint(0, len(raw)) :]


def _repeat(draw: Random, raw: bytearray, other: bytes) -> None:
    at = draw.randint(0, len(raw))
    raw[at:at] = raw[at : at + draw.randint(1, 80)] * draw.choice((1, 1, 2, 30))


def _whole_number(draw: Random, raw: bytearray, other: bytes) -> None:
    """A length or a count, in the binary formats."""
    size = draw.choice((2, 4, 8))
    if len(raw) >= size:
        at = draw.randrange(0, len(raw) - size + 1, 2)
        raw[at : at + size] = draw.choice(NUMBERS).to_bytes(8, "little")[:size]


MUTATIONS = (_insert, _delete, _splice, _borrow, _change, _digit, _digit, _truncate, _repeat, _whole_number)


def mutated(draw: Random, corpus: list[bytes]) -> bytes:
    """A sample with one to four mutations; now and then as it is."""
    raw, other = bytearray(draw.choice(corpus)), draw.choice(corpus)
    for _ in range(draw.choice((0, 1, 1, 1, 1, 2, 2, 3, 4))):
        draw.choice(MUTATIONS)(draw, raw, other)
    return bytes(raw)


# ---- entries ----


@dataclass(frozen=True)
class Entry:
    """`corpus`: samples to start from. `target(folder)` makes fresh state and returns what takes one case; it
    gives a word for what became of it, and raises AssertionError where something does not hold.
    `weight`: how many cases it gets for each one that is asked for, for what is slow or what is not."""

    name: str
    corpus: Callable[[], list[bytes]]
    target: Callable[[Path], Callable[[Random, bytes], str]]
    weight: float = 1


# decoders


def check_event(event: dict, instruments: int) -> None:
    """What holds of every record that any frame may give."""
    kind = event["type"]
    if kind == "budget":
        assert min(event["used"], event["limit"]) >= -1, event
        return
    least = -1 if kind == "report" else 0
    assert least <= event["instrument"] < instruments, event
    if kind == "depth":
        for side in ("bids", "asks"):
            assert all(0 <= p <= PRICE_MOST and 0 <= q <= STEPS_MOST for p, q in event[side]), event
    elif kind in ("trade", "report"):
        assert 0 <= event["price_ticks"] <= PRICE_MOST, event
        assert 0 <= event["size_lots"] <= STEPS_MOST, event
        assert event["side"] in ((0, 1) if kind == "trade" else (-1, 0, 1)), event
    elif kind == "quote":
        assert all(0 <= event[f"{x}_ticks"] <= PRICE_MOST for x in ("bid", "ask")), event
        assert all(0 <= event[f"{x}_lots"] <= STEPS_MOST for x in ("bid", "ask")), event
    if kind == "report":
        ReportKind(event["kind"])
        assert len(event["venue_id"]) <= 40, event
        assert -1 <= event["leg"] <= 2, event


def frames(market: str) -> list[bytes]:
    """All samples of the venue: those of its other market are not this decoder's, or look as if they were."""
    venue = market.partition("-")[0]
    return [x.raw for name in samples.MARKETS if name.startswith(venue) for x in samples.of(name)]


def decoder(market: str) -> Callable[[Path], Callable[[Random, bytes], str]]:
    """A decoder that is used on and on must say what a fresh one says: what a frame left in its scratch
    space is no part of the next one."""

    def target(folder: Path) -> Callable[[Random, bytes], str]:
        used, fresh = (samples.of(market)[0].wire for _ in range(2))
        count = used.instruments.count

        def take(draw: Random, raw: bytes) -> str:
            context = draw.choice((-1, -1, 0, count - 1))
            sink = ListSink()
            verdict = Verdict(used.read(raw, sink, NOW, context))
            assert not (verdict in SILENT and sink.events), (verdict.name, sink.events)
            assert verdict != Verdict.BAD or used.error()
            for event in sink.events:
                check_event(event, count)
            if sink.events and draw.random() < 0.1:
                fresh.read(draw.choice(SCRATCH), ListSink(), NOW, context)
                again = ListSink()
                assert (fresh.read(raw, again, NOW, context), again.events) == (verdict, sink.events)
            return verdict.name

        return take

    return target


SCRATCH = (b"", b"{", b'{"s":"', b'{"b":[["1","1"],["2","2"]],"a":[["9","9"]]}', b'"' * 5000)


# books and orders, by a decoder


def _levels(draw: Random, base: int, away: int, far: str) -> list[list[str]]:
    """Levels at whole dollars from `base` on, and now and then where a book is at its end."""
    prices = [
        str(base + away * draw.choice((draw.randrange(40), draw.randrange(base - 1)))) for _ in range(4)
    ]
    return [[x, draw.choice(("0", "1", "2.5"))] for x in (*prices, far) if draw.random() < 0.7]


def _binance_book(last: int, whole: bool, sides: dict) -> dict:
    if whole:
        return {"lastUpdateId": last, "bids": sides["b"], "asks": sides["a"]}
    return {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": last, "u": last, "pu": last - 1, **sides}


def _bybit_book(last: int, whole: bool, sides: dict) -> dict:
    data = {"s": "BTCUSDT", **sides, "u": last, "seq": last}
    return {"topic": "orderbook.50.BTCUSDT", "type": "snapshot" if whole else "delta", "ts": 1, "data": data}


def _okx_book(last: int, whole: bool, sides: dict) -> dict:
    rows = {k: [[*x, "0", "1"] for x in sides[k[0]]] for k in ("asks", "bids")}
    row = {**rows, "ts": "1", "prevSeqId": -1 if whole else last - 1, "seqId": last}
    head = {"channel": "books", "instId": "BTC-USDT"}
    return {"arg": head, "action": "snapshot" if whole else "update", "data": [row]}


BOOKS = {"binance": _binance_book, "bybit": _bybit_book, "okx": _okx_book}
DEPTHS = {"binance": 0, "bybit": 50, "okx": 400}


class Desk:
    """An engine of one market with an order of ours for each id that the samples name, and a feed that goes
    on from where the book is: levels of mutated frames reach it only where their numbers continue."""

    def __init__(self, market: str):
        found = samples.of(market)
        self.market, self.venue = market, market.partition("-")[0]
        self.wire = found[0].wire
        table, number = self.wire.instruments, int(MARKETS[market])
        self.place = table.index(number, "BTC-USDT" if self.venue == "okx" else "BTCUSDT")
        self.engine = Engine(table, outlet=Recorder())
        self.engine.ask_resync = lambda instrument, reason: None
        self.engine.follow(self.place, DEPTHS[self.venue])
        for name in ("feed", "twin"):
            self.engine.add_line(name, LineKind.MARKET_LINE, self.wire)
        self.engine.add_line("rest", LineKind.SNAPSHOT_LINE, self.wire, self.place)
        self.engine.add_line("orders", LineKind.ORDER_LINE, self.wire)
        self.engine.add_line("private", LineKind.PRIVATE_LINE, self.wire)
        self.now = NOW
        for line in range(5):
            self.engine.on_line(line, True, self.now)
        self.orders = sorted({self.adopt(x) for sample in found for x in self.named(sample)})
        self.book = self.engine.books[self.place]
        self.last = 1000

    def named(self, sample: Any) -> Iterator[dict]:
        """The reports of a sample that are of an order of ours, with the instrument it is said of."""
        sink = ListSink()
        sample.wire.read(sample.raw, sink, NOW, sample.context)
        for event in sink.events:
            if event["type"] == "report" and event["order_id"]:
                yield event

    def adopt(self, event: dict) -> int:
        place, side, ticks = (max(event[x], 0) for x in ("instrument", "side", "order_ticks"))
        return self.engine.adopt(
            place, event["epoch"], event["order_id"], side, 0, 0, ticks or 1, STEPS_MOST >> 20, 0, False,
            event["venue_id"], self.now,
        )  # fmt: skip

    def take(self, draw: Random, raw: bytes) -> str:
        self.now += draw.choice((0, 1, 10**6, 10**9))
        line = draw.randrange(5)
        if draw.random() < 0.5:
            line, raw = self.goes_on(draw, raw)
        verdict = self.engine.on_bytes(line, raw, self.now)
        if draw.random() < 0.05:
            self.engine.on_time(self.now)
        if draw.random() < 0.01:
            self.engine.on_line(draw.randrange(5), draw.random() < 0.7, self.now)
        self.check_book(self.book)
        for number in self.orders:
            self.check_order(self.engine.orders.order(number))
        return Verdict(verdict).name

    def goes_on(self, draw: Random, raw: bytes) -> tuple[int, bytes]:
        """The next message of the book, or a new start, on the line it comes on; every third one mutated."""
        whole = self.book.state != BookState.SYNCED and draw.random() < 0.5
        self.last += not (whole and self.venue == "binance")
        sides = {"b": _levels(draw, 60_000, -1, "1"), "a": _levels(draw, 60_001, 1, "2814749767106")}
        frame = json.dumps(BOOKS[self.venue](self.last, whole, sides)).encode()
        if draw.random() < 0.3:
            out = bytearray(frame)
            draw.choice(MUTATIONS)(draw, out, raw)
            frame = bytes(out)
        return 2 if whole and self.venue == "binance" else 0, frame

    def check_book(self, book: Any) -> None:
        bids, asks = book.bids(), book.asks()
        assert book.bid_levels == len(bids)
        assert book.ask_levels == len(asks)
        assert bids == sorted(bids, reverse=True)
        assert asks == sorted(asks)
        assert all(0 <= p <= PRICE_MOST and 0 < q <= STEPS_MOST for p, q in bids + asks)
        if book.state == BookState.SYNCED and bids and asks:
            assert bids[0] < asks[0], (bids[0], asks[0])

    def check_order(self, row: dict | None) -> None:
        if row is not None:
            assert row["filled_lots"] >= 0, row
            exposure = self.engine.orders.reserved(row["instrument"])
            assert min(exposure["buy_lots"], exposure["sell_lots"]) >= 0, exposure


def desk(market: str) -> Callable[[Path], Callable[[Random, bytes], str]]:
    return lambda folder: Desk(market).take


# text


def texts() -> list[bytes]:
    plain = [b"0", b"1", b"61234.50", b"0.00000001", b"123456789.12345678", b"-5", b"1e5"]
    values = [b"null", b'"a\\"b"', b'{"a":[1,2,{"b":"c"}],"d":-1.5e3}', b"[[[]],{}]", b'"' + b"x" * 70 + b'"']
    ids = [x.client_id(7).encode() for x in (samples.of(m)[0].wire for m in samples.MARKETS)]
    return plain * 2 + values + [x.raw for x in samples.of("okx")[:3]] + ids


def scanners(folder: Path) -> Callable[[Random, bytes], str]:
    """Numbers, values and client ids on their own."""
    grids = [Grid(x) for x in ("0.10", "0.00000001", "1", "0.25", "250")]
    wire = samples.of("okx")[0].wire

    def take(draw: Random, raw: bytes) -> str:
        text = raw.decode("latin-1")
        size, number = skip_value(raw), read_int(raw)
        assert size is None or 0 < size <= len(raw)
        assert number is None or (0 < number[1] <= len(raw) and int(raw[: number[1]]) == number[0])
        grid = draw.choice(grids)
        steps = {parse(text) for parse in (_steps(grid.parse), _steps(grid.parse_slow))}
        assert len(steps) == 1 or not text.isascii(), steps
        order, epoch = wire.whose(text)
        assert not order or (epoch and wire.client_id(order, epoch) == text) or wire.client_id(order) == text
        return "refused" if size is None else "taken"

    return take


def _steps(parse: Callable[[str], int]) -> Callable[[str], int | None]:
    def steps(text: str) -> int | None:
        try:
            return parse(text)
        except ValueError:
            return None

    return steps


# the tape


def _tape(folder: Path) -> list[Path]:
    writer = TapeWriter(folder, now_ns=1, segment_size=4096, session=b"specimen")
    for i in range(60):
        writer.append(1 + i % 19, i % 9, i, bytes([i]) * (i * 37 % 400))
    writer.close(2)
    return sorted(folder.glob("*.tape"))


def segments() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return [x.read_bytes() for x in _tape(Path(folder))]


def healed(raw: bytes) -> bytes:
    """The same bytes with checksums that fit, so that what stands behind them is reached."""
    out = bytearray(raw)
    if len(out) >= 64:
        out[60:64] = struct.pack("<I", crc32c(bytes(out[:60])))
    at = 64
    while at + 32 <= len(out):
        size = struct.unpack_from("<I", out, at + 28)[0]
        if at + 32 + size > len(out):
            break
        out[at + 4 : at + 8] = struct.pack("<I", crc32c(bytes(out[at + 8 : at + 32 + size])))
        at += (32 + size + 63) // 64 * 64
    return bytes(out)


def reader(folder: Path) -> Callable[[Random, bytes], str]:
    """One segment of a tape is damaged: what is read is what was written up to there, or it is said."""
    whole = {int(x.name[:8]): x.read_bytes() for x in _tape(folder / "tape")}
    written = list(TapeReader(folder / "tape"))
    (folder / "empty").mkdir()

    def take(draw: Random, raw: bytes) -> str:
        index, heal, away = draw.choice(sorted(whole)), draw.random() < 0.3, draw.random() < 0.9
        raw = healed(raw) if heal else raw
        got: list = []
        told = "read"
        try:
            if away:
                held = whole | {index: raw}
                got.extend(TapeReader(folder / "empty", from_index=0, archived=held.get))
            else:
                path = folder / "tape" / f"{index:08d}.tape"
                path.write_bytes(raw)
                inspect(path)
                verify(folder / "tape")
                got.extend(TapeReader(folder / "tape"))
        except (TapeCorrupt, TapeMissing):
            told = "refused"
        finally:
            if not away:
                path.write_bytes(whole[index])
        assert heal or got == written[: len(got)], "a record that nobody wrote"
        return told

    return take


ROWS = [
    records.verdict_row, records.decision_row, records.signal_row, records.fill_row, records.report_row,
    records.stop_row, records.state_row, records.equity_row, records.evidence_rows, records.door_row,
    records.hash_row, records.sent_row,
]  # fmt: skip


def payloads() -> list[bytes]:
    report = {"kind": 1, "instrument": 0, "venue_id": "12345", "fee_coin": "USDT"}
    packed = records.pack_reports([report])
    return [packed, packed * 3, *(bytes(size) for size in (32, 48, 64, 96, 128, 160, 224, 256, 264))]


def rows(folder: Path) -> Callable[[Random, bytes], str]:
    """A record's payload, of another layout or written by somebody else: a row, or ValueError."""
    sizes: dict[Any, int] = {}
    for read in ROWS:
        for size in range(2000):
            with suppress(ValueError):
                read(bytes(size))
                sizes[read] = size
                break

    def take(draw: Random, raw: bytes) -> str:
        read = draw.choice(ROWS)
        if draw.random() < 0.8:
            raw = raw.ljust(sizes[read], b"\xff")[: sizes[read]]
        try:
            read(raw)
        except ValueError:
            return "refused"
        return "read"

    return take


# the dials

DIALS = (Dial("pair", (5, -5), (0, -100), (100, 0)), Dial("one", 7, -10, 10))


def pages() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page"
        writer = DialWriter(path, DIALS)
        writer.set(0, (10, -20), NOW, SECOND)
        writer.set(1, (3,), NOW, SECOND)
        return [path.read_bytes()]


def dials(folder: Path) -> Callable[[Random, bytes], str]:
    """Whatever is on the page: values inside their bounds, or the page is refused."""
    path = folder / "page"
    head = pages()[0][:64]

    def take(draw: Random, raw: bytes) -> str:
        raw = head + raw[64:].ljust(128, b"\x80")[:128] if draw.random() < 0.7 else raw
        path.write_bytes(raw)
        try:
            (a, b), (c,) = Dials(path, DIALS).values(NOW + draw.choice((-SECOND, 0, 1, SECOND, 1 << 60)))
        except DialMismatch:
            return "refused"
        assert 0 <= a <= 100
        assert -100 <= b <= 0
        assert -10 <= c <= 10
        return "read"

    return take


ENTRIES = [
    *(Entry(x, lambda x=x: frames(x), decoder(x)) for x in samples.MARKETS),
    *(Entry(f"{x}, books and orders", lambda x=x: frames(x), desk(x), 0.5) for x in samples.MARKETS),
    Entry("text", texts, scanners),
    Entry("tape", segments, reader, 0.25),
    Entry("rows", payloads, rows),
    Entry("dials", pages, dials, 0.25),
]


# ---- runs ----


class Finding(AssertionError):
    """Something does not hold; its text says how to have it again."""


def play(entry: Entry, corpus: list[bytes], seed: int, number: int, count: int = ROUND) -> Counter[str]:
    """One round. Raises Finding with the case, for whatever a case raises that is no answer."""
    draw = Random(f"{entry.name} {seed} {number}")
    told: Counter[str] = Counter()
    failed: list[str] = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda x: failed.append(repr(x.exc_value))
    try:
        with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
            take = entry.target(Path(folder))
            for case in range(count):
                raw = mutated(draw, corpus)
                try:
                    told[take(draw, raw)] += 1
                    assert not failed, failed[0]
                except Exception as error:  # whatever it is, it is a finding
                    again = f"--only {entry.name!r} --seed {seed} --round {number}"
                    raise Finding(f"{again}, case {case}: {error!r}\n{raw!r}") from error
    finally:
        sys.unraisablehook = hook
    return told


def rounds(entry: Entry, count: int) -> list[int]:
    """How many cases each round of an entry has."""
    cases = max(1, round(count * entry.weight))
    return [min(ROUND, cases - at) for at in range(0, cases, ROUND)]


def main(
    count: int = 20_000, seed: int = 1, only: str = "", round: int = -1, where: Path | None = None
) -> None:
    """Fuzz. `only`: an entry, or how its name begins; `round`: only that one; `where`: a file that always
    names the round that is being played, for what ends the process."""
    chosen = [x for x in ENTRIES if x.name.startswith(only)]
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as progress, ExitStack() as stack:
        note = stack.enter_context(where.open("w")) if where else None
        for entry in chosen:
            corpus, told = entry.corpus(), Counter[str]()
            planned = list(enumerate(rounds(entry, count))) if round < 0 else [(round, ROUND)]
            for number, cases in progress.track(planned, description=entry.name):
                if note:
                    note.seek(0)
                    note.write(f"--only {entry.name!r} --seed {seed} --round {number}\n")
                    note.truncate()
                    note.flush()
                told += play(entry, corpus, seed, number, cases)
            became = ", ".join(f"{n:,} {word.lower()}" for word, n in told.most_common())
            print(f"{entry.name}: {told.total():,} cases ({became})", flush=True)


if __name__ == "__main__":
    try:
        typer.run(main)
    except Finding as finding:
        print(f"fuzz: {finding}", file=sys.stderr)
        raise SystemExit(1) from None

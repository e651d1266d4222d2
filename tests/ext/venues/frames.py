"""Helpers for decoder tests: captures, samples cut and flipped, a reader as loose as the decoders."""

import gzip
import json
import os
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import orjson
import pytest

from bench import book as captures
from ext.engine import Engine, LineKind
from ext.instruments import Instruments
from ext.records import DepthKind
from ext.wire import ListSink, SecondLine, Verdict

NOW_NS = 1_723_161_256_000_000_000

ROOT = Path(__file__).parents[3]
RECORDINGS = Path(os.environ.get("TICKGATE_RECORDINGS", ROOT.parent / "shared" / "recordings"))


SPACE = " \n\t\r"
ENDS = SPACE + ",}]"


def recording(name: str) -> Path:
    """Path of a real capture; the test is skipped where captures are absent."""
    path = RECORDINGS / name
    if not path.exists():
        pytest.skip(f"no recording {name} below {RECORDINGS} (set TICKGATE_RECORDINGS)")
    return path


def rows(name: str, most: int = 2**60) -> Iterator[dict]:
    """The first `most` lines of a capture."""
    with gzip.open(recording(name)) as file:
        for i, line in enumerate(file):
            if i == most:
                return
            yield json.loads(line)


def read(wire, raw: bytes, context: int = -1) -> tuple[int, list[dict]]:
    """(verdict, events) of one frame."""
    sink = ListSink()
    verdict = wire.read(raw, sink, 0, context)
    return verdict, sink.events


def strict_loads(raw: bytes):
    """JSON; ValueError where it is malformed or repeats a key. Numbers that are no integers stay text."""

    def pairs(items):
        if len({k for k, _ in items}) != len(items):
            raise ValueError("repeated key")
        return dict(items)

    text = raw.decode("latin-1")
    try:
        return json.loads(text, object_pairs_hook=pairs, parse_float=str)
    except json.JSONDecodeError:  # an escape that is none: our reader compares such text as it stands
        return json.loads(text.replace("\\", "\\\\"), object_pairs_hook=pairs, parse_float=str)


def is_complete(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except ValueError:
        return False
    return True


def check_cuts(wire, raw: bytes, context: int = -1) -> None:
    """Every prefix of a frame is BAD or NOT_MINE and pushes nothing, unless it is a whole value already."""
    for size in range(len(raw)):
        cut = raw[:size]
        verdict, events = read(wire, cut, context)
        if not is_complete(cut):
            assert verdict in (Verdict.BAD, Verdict.NOT_MINE), cut
            assert events == [], cut


def check_flips(
    wire, raw: bytes, twin: Callable[[object, list[dict]], list[dict]], context: int = -1
) -> None:
    """Every single bit flipped: no crash, and numbers that come out are those the flipped text spells.

    `twin(message, events)` gives, for each event, what it must contain. Where the flipped text is no strict
    JSON any more the flip sits in something ignored, so the events must be those of the sample itself.
    """
    _, original = read(wire, raw, context)
    assert original, "a sample must give events"
    for at in range(len(raw)):
        for bit in range(8):
            flipped = bytearray(raw)
            flipped[at] ^= 1 << bit
            verdict, events = read(wire, bytes(flipped), context)
            if verdict in (Verdict.BAD, Verdict.NOT_MINE):
                assert events == [], bytes(flipped)
                continue
            try:
                message = strict_loads(bytes(flipped))
            except ValueError:
                assert events == original, bytes(flipped)
                continue
            for event, expected in zip(events, twin(message, events), strict=True):
                assert expected.items() <= event.items(), bytes(flipped)


def lines(name: str) -> list[dict]:
    """All lines of one recording."""
    with gzip.open(recording(name)) as stream:
        return [orjson.loads(x) for x in stream]


def cuts(frame: bytes) -> Iterator[bytes]:
    """The frame cut at every byte, the whole one left out."""
    for i in range(len(frame)):
        yield frame[:i]


def flips(frame: bytes) -> Iterator[bytes]:
    """The frame with every single bit flipped, one at a time."""
    for i in range(len(frame)):
        for bit in range(8):
            yield frame[:i] + bytes([frame[i] ^ 1 << bit]) + frame[i + 1 :]


class Loose:
    """JSON as the decoders take it: strings keep their escapes, scalars stay text, what is ignored may be
    odd.

    `Loose(frame).value` is made of dicts (the last of repeated keys), lists, `str` for strings and `Scalar`
    for the rest. Raises ValueError where no decoder could go on.
    """

    def __init__(self, frame: bytes):
        self.text, self.at = frame.decode("latin-1"), 0
        self.value = self._value()
        if self._peek():
            raise ValueError("something behind the value")

    def _peek(self) -> str:
        while self.at < len(self.text) and self.text[self.at] in SPACE:
            self.at += 1
        return self.text[self.at] if self.at < len(self.text) else ""

    def _take(self, want: str) -> None:
        if self._peek() != want:
            raise ValueError(f"{want} expected at {self.at}")
        self.at += 1

    def _value(self) -> object:
        first = self._peek()
        if first == "{":
            return dict(self._members("{", "}", self._member))
        if first == "[":
            return list(self._members("[", "]", self._value))
        return self._string() if first == '"' else self._scalar()

    def _members(self, opener: str, closer: str, one) -> Iterator[object]:
        self._take(opener)
        more = self._peek() != closer
        while more:
            yield one()
            more = self._peek() == ","
            self.at += more
        self._take(closer)

    def _member(self) -> tuple[str, object]:
        key = self._string()
        self._take(":")
        return key, self._value()

    def _string(self) -> str:
        self._take('"')
        start = self.at
        while self.at < len(self.text) and self.text[self.at] != '"':
            self.at += 2 if self.text[self.at] == "\\" else 1
        if self.at >= len(self.text):
            raise ValueError("a string without an end")
        self.at += 1
        return self.text[start : self.at - 1]

    def _scalar(self) -> "Scalar":
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in ENDS:
            self.at += 1
        if start == self.at:
            raise ValueError("no value")
        return Scalar(self.text[start : self.at])


class Scalar(str):
    """A number, true, false or null, as spelled."""


# ---- a second line: what a look at the ids of a frame says, and what it spares -----------------------------

FOREIGN = (
    *("7", '"7"', "-1", "007", "1e3", "null", "true", "[]", "{}", "[[]]", '"]"', '"}"', '"a:b"', '"\\\\"'),
    *('{"u":9,"seq":9}', '[{"seqId":9,"prevSeqId":8}]', '[["1","2"]]', '{"U":1,"u":2,"pu":1,"b":[],"a":[]}'),
    *('"],\\"u\\":9"', '"],"', '"[\\"', '[{"a":[]},{"x":[', ']}],"data":[{"x":[', "[1],[", "}", "]", "\\"),
)


def check_look(wire, raw: bytes) -> bool:
    """On a second line a frame gives what it gives on the only one; and where the decoder asks whether the
    taker has it, what it names is what the whole frame says, unless that is BAD. True where it asked."""
    verdict, events = read(wire, raw)
    winner, loser = SecondLine(has=False), SecondLine(has=True)
    assert (wire.read(raw, winner), winner.events) == (verdict, events), raw
    copy = wire.read(raw, loser)
    assert loser.looks == winner.looks, raw
    if not loser.looks:
        assert (copy, loser.events) == (verdict, events), raw
        return False
    (look,) = loser.looks
    assert (copy, loser.events, look["kind"]) == (Verdict.HANDLED, [], DepthKind.UPDATE), raw
    if verdict != Verdict.BAD:
        assert verdict == Verdict.HANDLED, raw
        (event,) = events
        assert look.items() <= event.items(), raw
    return True


def check_newer_is_not_looked_at(wire, raw: bytes) -> None:
    """A taker that has less than this update is given it unasked, and one that has it is asked."""
    (event,) = read(wire, raw)[1]
    for have, looks, events in ((event["last_id"], 1, []), (event["last_id"] - 1, 0, [event])):
        sink = SecondLine(has=True, have=have)
        assert wire.read(raw, sink) == Verdict.HANDLED
        assert (len(sink.looks), sink.events) == (looks, events)


def check_looks_at_mutants(wire, raw: bytes) -> int:
    """`check_look` of the frame cut at each byte, with each bit flipped, and with each byte replaced by, and
    followed by, what means something in JSON. Returns how many of them were looked at."""
    assert check_look(wire, raw), "a sample must be looked at"
    mutants = [*cuts(raw), *flips(raw)]
    for at in range(len(raw)):
        for text in (b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"0", b'"u":7,', b'"x":[{},'):
            mutants += [raw[:at] + text + raw[at + 1 :], raw[:at] + text + raw[at:]]
    return sum(check_look(wire, mutant) for mutant in mutants)


def with_foreign_members(rng: random.Random, members: list[str], keys: Sequence[str]) -> str:
    """An object of these members, or of most of them, and of members that do not belong there."""
    out = list(members)
    if rng.random() < 0.5:
        for _ in range(rng.choice((1, 1, 2, 3))):
            out.insert(rng.randrange(len(out) + 1), f'"{rng.choice(keys)}":{rng.choice(FOREIGN)}')
        if rng.random() < 0.2:
            del out[rng.randrange(len(out))]
        if rng.random() < 0.1:
            rng.shuffle(out)
    return "{" + ",".join(out) + "}"


def captured(name: str, most: int) -> tuple[object, list[bytes], bytes]:
    """Decoder, depth frames and requested snapshot of a capture that the book benchmark reads; the test is
    skipped where it is absent."""
    source = captures.SOURCES.get(name)
    capture = captures.venue_capture(source, most) if source else captures.binance_capture(most)
    if capture is None:
        pytest.skip(f"no recording {source.path} below {RECORDINGS} (set TICKGATE_RECORDINGS)")
    table = Instruments(len(capture.symbols))
    for symbol, (tick, lot) in captures.grids(capture).items():
        table.add(capture.market, symbol, f"{tick:f}", f"{lot:f}")
    return captures.WIRES[capture.market](table, capture.market), capture.frames, capture.seed


def two_line_engine(wire, lines: int = 2) -> Engine:
    """An engine with market lines 0 and 1, and behind them one for answers to a snapshot request."""
    engine = Engine(wire.instruments)
    for i in range(lines):
        engine.add_line(f"market {i}", LineKind.MARKET_LINE, wire)
    engine.add_line("seed", LineKind.SNAPSHOT_LINE, wire, 0)
    for i in range(lines + 1):
        engine.on_line(i, True, NOW_NS)
    return engine


def check_second_line(wire, frames: list[bytes], seed: bytes = b"") -> None:
    """Over two lines, each ahead at times, with copies whose levels are garbage, the books are those of one
    line; and each line's counts are those of an engine that reads every copy in full."""
    one, two, full = two_line_engine(wire, 1), two_line_engine(wire), two_line_engine(wire)
    assert (one.redundant, two.redundant) == (False, True)
    full.redundant = False
    rng, now_ns = random.Random(7), NOW_NS
    if seed:
        assert one.on_bytes(1, seed, NOW_NS) == two.on_bytes(2, seed, NOW_NS) == Verdict.HANDLED
        assert full.on_bytes(2, seed, NOW_NS) == Verdict.HANDLED
    for i, frame in enumerate(frames):
        now_ns += 1_000_000
        first = rng.randrange(2)
        settled = i > len(frames) // 2
        assert one.on_bytes(0, frame, now_ns) == Verdict.HANDLED
        for engine in (two, full):
            copy = garbled(frame) if settled and engine is two else frame
            assert engine.on_bytes(first, frame, now_ns) == Verdict.HANDLED
            assert engine.on_bytes(1 - first, copy, now_ns + 10_000) == Verdict.HANDLED
    for number, book in enumerate(one.books):
        for other in (two.books[number], full.books[number]):
            assert (other.bids(), other.asks(), other.gaps) == (book.bids(), book.asks(), book.gaps)
    assert two.arbiter.stats() == full.arbiter.stats()
    assert sum(row["late"] for row in two.arbiter.stats().values()) == len(frames)
    assert any(len(book.bids()) > 1 for book in two.books)


def garbled(frame: bytes) -> bytes:
    """The frame with a word in the place of each price; a frame without levels as it is."""
    out = re.sub(rb'\["[0-9.]+"', b'["garbage"', frame)
    assert out != frame or b'[["' not in frame
    return out

"""Helpers for decoder tests: captures, samples cut and flipped, a reader as loose as the decoders."""

import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from ext.wire import ListSink, Verdict

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

"""What tests of decoders share: recordings, cut and flipped frames, a reader as loose as the decoders are."""

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

ROOT = Path(__file__).parents[3]
SPACE = " \n\t\r"
ENDS = SPACE + ",}]"


def recordings() -> Path:
    """The folder of real captures; skips the test where it is absent."""
    path = ROOT / os.environ.get("TICKGATE_RECORDINGS", "../shared/recordings")
    if not path.is_dir():
        pytest.skip(f"no recordings at {path}")
    return path


def lines(name: str) -> list[dict]:
    """All lines of one recording."""
    path = recordings() / name
    if not path.is_file():
        pytest.skip(f"no recording at {path}")
    with gzip.open(path) as stream:
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

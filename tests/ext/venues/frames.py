"""Helpers for decoder tests: real captures, and samples cut at every byte and flipped in every bit."""

import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ext.wire import ListSink, Verdict

ROOT = Path(__file__).parents[3]
RECORDINGS = Path(os.environ.get("TICKGATE_RECORDINGS", ROOT.parent / "shared" / "recordings"))


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

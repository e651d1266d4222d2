"""Redundant feeds on real captures: two lines that lose, lag, repeat and break give the true book or none."""

import os
from functools import cache
from pathlib import Path
from random import Random

import pytest
from redundant import Capture, Window

RECORDINGS = Path(os.environ.get("TICKGATE_RECORDINGS", Path(__file__).parents[3] / "shared" / "recordings"))
FILES = {
    "usdm": "binance-usdm/ethusdt-2024-07-18.jsonl.gz",
    "spot": "binance-spot/nexousdt-2024-07-23.jsonl.gz",
    "bybit": "bybit/linear-2026-08-09-with-rest.jsonl.gz",
    "okx": "okx/btcusdt-books-2026-08-24.jsonl.gz",
}
DENSE = ("usdm", "bybit")  # messages come closer than lines lag: losses make holes
pytestmark = pytest.mark.skipif(not RECORDINGS.is_dir(), reason=f"no recordings in {RECORDINGS}")


@cache
def capture(name):
    return Capture(RECORDINGS / FILES[name])


def window(name, seed):
    return Window(capture(name), Random(f"{name} {seed}"))


def lossy(name, seed):
    found = window(name, seed).run(loss=0.08, lag_ms=150, again=0.05, breaks=0.0)
    assert (found.wrong, found.back) == (0, 0), seed
    if found.is_complete:
        assert (found.resyncs, found.unsynced_at_end) == (0, 0)
    return found


@pytest.mark.parametrize("name", FILES)
def test_what_two_lines_hold_together_is_the_true_book_at_every_step_without_a_resync(name):
    found = [lossy(name, seed) for seed in range(12)]
    assert sum(x.is_complete for x in found) >= 3
    if name in DENSE:
        assert sum(x.healed for x in found) > 12
    assert sum(x.shown for x in found) > 12


@pytest.mark.parametrize("name", FILES)
def test_lines_that_break_show_the_true_book_or_none_and_never_an_older_one(name):
    for seed in range(12):
        found = window(name, f"breaks {seed}").run(loss=0.08, lag_ms=150, again=0.05, breaks=0.02)
        assert (found.wrong, found.back) == (0, 0), seed


@pytest.mark.soak
@pytest.mark.parametrize("name", FILES)
def test_a_thousand_seeds_of_two_bad_lines(name):
    found = [lossy(name, seed) for seed in range(1000)]
    assert sum(x.is_complete for x in found) >= 200
    for seed in range(1000):
        broken = window(name, f"breaks {seed}").run(loss=0.08, lag_ms=150, again=0.05, breaks=0.02)
        assert (broken.wrong, broken.back) == (0, 0), seed

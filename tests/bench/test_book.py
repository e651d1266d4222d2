"""The book benchmark, small: figures come out, and a wrong book is an error."""

import json
from decimal import Decimal

import pytest
from frames import recording

from bench import book
from bench.conditions import BenchError

FRAMES = 60


@pytest.fixture
def no_recordings(monkeypatch, tmp_path):
    monkeypatch.setenv("TICKGATE_RECORDINGS", str(tmp_path))


def changed(capture: book.Capture, at: int, change) -> book.Capture:
    """The capture with one frame changed."""
    message = json.loads(capture.frames[at])
    change(message["data"])
    capture.frames[at] = json.dumps(message, separators=(",", ":")).encode()
    return capture


def test_a_small_run_has_every_figure_and_says_that_the_frames_are_synthetic(no_recordings):
    found = book.run(rounds=2, frames=FRAMES)
    assert found["frames_from"] == "synthetic, seed 1 (recordings absent)"
    assert found["venues"] == {}
    assert 0 < found["ns_per_level"] <= found["ns_per_level_median"]
    assert found["orjson_ns_per_level"] > 0
    assert found["naive_ns_per_level"] > 0
    ratio = found["orjson_ns_per_level"] / found["ns_per_level"]
    assert found["ratio_orjson"] == pytest.approx(ratio, rel=0.01)
    assert found["frames"] == FRAMES
    assert found["within_budget"] in (True, False)
    assert {"preempted", "quiet"} <= set(found)


def test_recorded_frames_of_all_venues_are_measured():
    recording(book.SOURCES["okx"].path)
    found = book.run(rounds=1, frames=FRAMES)
    assert found["frames_from"] == "recorded: binance-usdm/btcusdt-2024-08-08.jsonl.gz"
    assert set(found["venues"]) == {"bybit-linear", "okx"}
    assert found["venues"]["okx"]["checksums_per_frame"] == 1.0
    assert found["venues"]["bybit-linear"]["checksums_per_frame"] == 0
    assert all(row["ns_per_level"] > 0 and row["frames"] == FRAMES for row in found["venues"].values())


def test_levels_are_counted_from_the_frames(no_recordings):
    capture = book.binance_capture(FRAMES)
    events = [json.loads(frame)["data"] for frame in capture.frames]
    assert capture.levels == sum(len(event["b"]) + len(event["a"]) for event in events)


def test_a_level_that_is_wrong_in_our_book_is_an_error(no_recordings):
    capture = changed(book.binance_capture(FRAMES), 50, lambda data: data["b"].append(["100.10", "0.005"]))
    ours = book.EnginePass(capture)
    ours()
    ours.check()
    ours.capture = book.binance_capture(FRAMES)  # what was really sent
    with pytest.raises(BenchError, match="BTCUSDT differs from the exact book"):
        ours.check()


def test_a_gap_is_an_error(no_recordings):
    ours = book.EnginePass(changed(book.binance_capture(FRAMES), 50, lambda data: data.update(pu=7)))
    ours()
    with pytest.raises(BenchError, match="BTCUSDT GAP, 1 gaps"):
        ours.check()


def test_a_frame_that_is_not_taken_is_an_error(no_recordings):
    ours = book.EnginePass(changed(book.binance_capture(FRAMES), 50, lambda data: data.update(u="x")))
    with pytest.raises(BenchError, match=r"59 of 60 frames taken \(u: "):
        ours()


def test_a_naive_book_that_differs_is_an_error(no_recordings):
    capture = book.binance_capture(FRAMES)
    ours, naive = book.EnginePass(capture), book.NaivePass(capture)
    ours()
    naive()
    naive.check(ours)
    naive.book.asks.popitem(0)
    with pytest.raises(BenchError, match="best bid, best ask and level counts"):
        naive.check(ours)


def test_every_pass_starts_from_the_seed(no_recordings):
    ours = book.EnginePass(book.binance_capture(FRAMES))
    for _ in range(3):
        ours()
    ours.check()
    assert ours.frames_taken == 3 * FRAMES


def test_grids_are_the_finest_decimals_seen():
    events = [
        {"s": "X", "b": [["10.50", "1"]], "a": [["11.25", "0.100"]]},
        {"s": "Y", "b": [], "a": [["7", "3"]]},
    ]
    frames = [json.dumps({"data": event}).encode() for event in events]
    found = book.grids(book.Capture(book.Market.BINANCE_USDM, "", frames, book.binance_update))
    assert found == {"X": (Decimal("0.01"), Decimal("0.1")), "Y": (Decimal(1), Decimal(1))}


def test_the_engine_takes_frames(benchmark, no_recordings):
    ours = book.EnginePass(book.binance_capture(FRAMES))
    assert benchmark(ours) > 0
    ours.check()

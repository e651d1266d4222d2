"""The stop benchmark, small: what it times is a stop that did what it should; the crash ends in its bound."""

import pytest

from bench import stop
from bench.conditions import BenchError


def test_a_small_run_has_its_figures_for_every_market_and_a_crash_within_its_bound():
    found = stop.run(trials=5, orders=3)
    assert set(found["markets"]) == {"binance-usdm", "bybit-linear", "okx"}
    for row in found["markets"].values():
        assert 0 < row["exit"]["p50_us"] <= row["exit"]["p99_us"] <= row["exit"]["max_us"]
        assert row["exit"]["p50_us"] < row["last_cancel"]["p50_us"]
    assert found["exit_us_p99"] == max(x["exit"]["p99_us"] for x in found["markets"].values())
    assert found["within_budget"] in (True, False)
    for row in found["crash"]["venues"].values():
        assert row["left_lots"] == 0
        assert row["stop"] <= row["loss_at_stop"]
        assert row["loss"] <= row["bound"]


def test_a_stop_that_does_not_fire_is_an_error(monkeypatch):
    real = stop.Bench._limit

    def never(self):
        real(self)
        self.engine.risk.set_limits(
            0,
            max_size_lots=10**6,
            max_notional_e8=10**14,
            max_position_lots=10**6,
            collar_ppm=50_000,
            stale_ns=10**12,
            max_open_orders=100,
        )

    monkeypatch.setattr(stop.Bench, "_limit", never)
    with pytest.raises(BenchError, match="0 frames and 0 exits where 1 exit and 3 cancels"):
        stop.measure("okx", 1, 3, None, stop.silent)


def test_a_crash_whose_exit_is_beyond_the_bound_is_an_error(monkeypatch):
    monkeypatch.setattr(stop, "crash_run", lambda make: {"beyond_bound": ["okx: 1 where the bound is 2"]})
    with pytest.raises(BenchError, match="beyond its bound: okx: 1"):
        stop.run(trials=1, orders=1)

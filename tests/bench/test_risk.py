"""The risk benchmark, small: every market has a desk where an order passes, and a refusal is an error."""

import pytest

from bench import risk
from bench.conditions import BenchError
from ext.records import Side


def test_a_small_run_has_its_figure_and_budget():
    found = risk.run(rounds=3, count=50)
    assert 0 < found["ns_per_order"] <= found["ns_per_order_median"]
    assert found["budget_ns"] == 150
    assert found["within_budget"] in (True, False)


@pytest.mark.parametrize("name", list(risk.PRODUCTS))
@pytest.mark.parametrize(("side", "price_ticks"), [(Side.BUY, risk.BID_TICKS), (Side.SELL, risk.ASK_TICKS)])
def test_an_order_passes_on_every_market(name, side, price_ticks):
    engine = risk.desk(risk.PRODUCTS[name])
    assert engine.risk.try_order(0, side, price_ticks, 1000, risk.NOW_NS)[0] == "OK"


def test_a_refused_order_is_an_error(monkeypatch):
    real = risk.desk

    def latched(product):
        engine = real(product)
        engine.risk.latch()
        return engine

    monkeypatch.setattr(risk, "desk", latched)
    with pytest.raises(BenchError, match="50 of 50 orders refused"):
        risk.run(rounds=1, count=50)


def test_checks(benchmark):
    engine = risk.desk(risk.PRODUCTS["binance-usdm"])
    assert benchmark(engine.risk.check_many, 100, 0, Side.BUY, risk.BID_TICKS, 10, risk.NOW_NS) == 100

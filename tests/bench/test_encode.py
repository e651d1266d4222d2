"""The encode benchmark, small: the frames spell the order, and nothing can be sent on the way."""

import json

import pytest

from bench import encode, risk
from bench.conditions import BenchError
from ext.engine import Recorder
from ext.records import Side


def test_a_small_run_has_a_new_and_a_cancel_of_every_market():
    found = encode.run(rounds=2, count=20)
    assert set(found["markets"]) == set(risk.PRODUCTS)
    for row in found["markets"].values():
        assert 0 < row["new_ns"] <= row["new_ns_median"]
        assert 0 < row["cancel_ns"] <= row["cancel_ns_median"]
    assert found["ns_per_order"] == max(
        max(row["new_ns"], row["cancel_ns"]) for row in found["markets"].values()
    )
    assert found["budget_ns"] == 200


@pytest.mark.parametrize("cancel", [False, True])
def test_nothing_is_sent_and_the_order_is_closed(cancel):
    engine = risk.desk(risk.PRODUCTS["binance-usdm"])
    engine.outlet = Recorder()
    engine.on_line(0, True, risk.NOW_NS)
    size, frame = engine.encode_many(3, 0, Side.BUY, 618_000, 5, risk.NOW_NS, cancel=cancel)
    assert size == 3 * len(frame)
    assert json.loads(frame)["method"] == ("order.cancel" if cancel else "order.place")
    assert engine.outlet.orders == 0
    assert engine.orders.state_counts()["REJECTED"] == 1
    assert engine.orders.open_orders() == []
    assert engine.orders.reserved(0)["buy_lots"] == 0


def test_a_refused_order_is_not_encoded():
    engine = risk.desk(risk.PRODUCTS["binance-usdm"])
    engine.risk.latch()
    with pytest.raises(ValueError, match="refused by risk"):
        engine.encode_many(1, 0, Side.BUY, 618_000, 5, risk.NOW_NS)


def test_request_ids_differ_from_frame_to_frame():
    engine = risk.desk(risk.PRODUCTS["okx"])
    ids = {
        json.loads(engine.encode_many(1, 0, Side.BUY, 618_000 - n, 5, risk.NOW_NS + n)[1])["id"]
        for n in range(50)
    }
    assert len(ids) == 50


def test_a_frame_without_the_price_is_an_error():
    engine = risk.desk(risk.PRODUCTS["bybit-linear"])
    _, frame = engine.encode_many(1, 0, Side.BUY, 618_000, encode.SIZE_LOTS, risk.NOW_NS)
    encode.check(engine, frame, 618_000, cancel=False)
    with pytest.raises(BenchError, match=r"61799\.9 is not in the frame"):
        encode.check(engine, frame, 617_999, cancel=False)


def test_a_frame_of_another_order_is_an_error():
    engine = risk.desk(risk.PRODUCTS["bybit-linear"])
    _, frame = engine.encode_many(1, 0, Side.BUY, 618_000, encode.SIZE_LOTS, risk.NOW_NS)
    engine.encode_many(1, 0, Side.BUY, 618_000, encode.SIZE_LOTS, risk.NOW_NS + 5)
    with pytest.raises(BenchError, match=r"tckg.* is not in the frame"):
        encode.check(engine, frame, 618_000, cancel=True)


def test_frames(benchmark):
    engine = risk.desk(risk.PRODUCTS["binance-usdm"])
    turn = iter(range(10**9))
    one = lambda: engine.encode_many(100, 0, Side.BUY, 618_000, 5, risk.NOW_NS + next(turn))  # noqa: E731
    assert benchmark(one)[0] > 0

"""The encode benchmark, small: the frames spell the order, and nothing can be sent on the way."""

import json

import pytest

from bench import encode, risk
from bench.conditions import BenchError
from ext.engine import Recorder
from ext.records import Side


def test_a_small_run_has_every_request_of_every_market():
    found = encode.run(rounds=2, count=20)
    assert {name: set(rows) for name, rows in found["markets"].items()} == {
        "binance-usdm": {"new", "cancel", "amend"},
        "binance-spot": {"new", "cancel", "amend", "replace"},
        "bybit-linear": {"new", "cancel", "amend", "batch"},
        "bybit-spot": {"new", "cancel", "amend", "batch"},
        "okx": {"new", "cancel", "amend", "batch"},
    }
    rows = [row for rows in found["markets"].values() for row in rows.values()]
    assert all(0 < row["ns"] <= row["ns_median"] for row in rows)
    assert found["ns_per_order"] == max(row["ns"] for row in rows)
    assert found["budget_ns"] == 200


def test_signed_frames_are_figures_of_their_own():
    found = encode.run(rounds=2, count=20)
    assert {name: set(rows) for name, rows in found["signed"].items()} == {
        name: set(found["markets"][name]) for name in ("binance-usdm", "binance-spot")
    }
    assert found["signed_ns_per_order"] == encode.slowest(found["signed"])


METHODS = {"new": "order.place", "cancel": "order.cancel", "amend": "order.modify"}


@pytest.mark.parametrize("what", list(METHODS))
def test_nothing_is_sent_and_the_order_is_closed(what):
    engine = risk.desk(risk.PRODUCTS["binance-usdm"])
    engine.outlet = Recorder()
    engine.on_line(0, True, risk.NOW_NS)
    size, frame = engine.encode_many(3, 0, Side.BUY, 618_000, 5, risk.NOW_NS, action=encode.ACTIONS[what])
    assert size == 3 * len(frame)
    assert json.loads(frame)["method"] == METHODS[what]
    assert_closed(engine, 1)


def test_a_batch_and_a_replacement_leave_nothing_either():
    engine = risk.desk(risk.PRODUCTS["okx"])
    engine.encode_many(2, 0, Side.BUY, 618_000, 5, risk.NOW_NS, batch=3)
    assert_closed(engine, 3)
    engine = risk.desk(risk.PRODUCTS["binance-spot"])
    engine.encode_many(2, 0, Side.BUY, 618_000, 900, risk.NOW_NS, action=encode.ACTIONS["replace"])
    assert_closed(engine, 2)


def assert_closed(engine, count):
    assert engine.outlet is None or engine.outlet.orders == 0
    assert engine.orders.state_counts()["REJECTED"] == count
    assert engine.orders.open_orders() == []
    exposure = engine.orders.reserved(0)
    assert (exposure["buy_lots"], exposure["open_orders"], exposure["unacked"]) == (0, 0, 0)


@pytest.mark.parametrize("batch", [0, 21])
def test_a_batch_that_is_none_is_an_error(batch):
    engine = risk.desk(risk.PRODUCTS["okx"])
    with pytest.raises(ValueError, match="batch"):
        engine.encode_many(1, 0, Side.BUY, 618_000, 5, risk.NOW_NS, batch=batch)


def test_a_request_that_the_market_does_not_have_is_an_error_and_leaves_nothing():
    engine = risk.desk(risk.PRODUCTS["okx"])
    with pytest.raises(ValueError, match="cancel-and-replace"):
        engine.encode_many(1, 0, Side.BUY, 618_000, 5, risk.NOW_NS, action=encode.ACTIONS["replace"])
    assert_closed(engine, 2)


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
    encode.check(engine, frame, "new", 618_000)
    with pytest.raises(BenchError, match=r"61799\.9 is not in the frame"):
        encode.check(engine, frame, "new", 617_999)


def test_a_frame_of_another_order_is_an_error():
    engine = risk.desk(risk.PRODUCTS["bybit-linear"])
    _, frame = engine.encode_many(1, 0, Side.BUY, 618_000, encode.SIZE_LOTS, risk.NOW_NS)
    engine.encode_many(1, 0, Side.BUY, 618_000, encode.SIZE_LOTS, risk.NOW_NS + 5)
    with pytest.raises(BenchError, match=r"tckg.* is not in the frame"):
        encode.check(engine, frame, "cancel", 618_000)


def test_a_wrong_signature_is_an_error():
    engine = encode.signing(risk.desk(risk.PRODUCTS["binance-usdm"]), "signed")
    _, frame = engine.encode_many(1, 0, Side.BUY, 618_000, encode.SIZE_LOTS, risk.NOW_NS)
    encode.check(engine, frame, "new", 618_000)
    with pytest.raises(BenchError, match="the signature does not fit"):
        encode.check(engine, frame.replace(b'"side":"BUY"', b'"side":"SELL"'), "new", 618_000)


def test_frames(benchmark):
    engine = risk.desk(risk.PRODUCTS["binance-usdm"])
    turn = iter(range(10**9))
    one = lambda: engine.encode_many(100, 0, Side.BUY, 618_000, 5, risk.NOW_NS + next(turn))  # noqa: E731
    assert benchmark(one)[0] > 0

"""Take profit, stop loss, trailing stop: made by the venue, following the position."""

import pytest

from node.venues.fakes import BUY, SELL

STOP = {"category": "linear", "symbol": "BTCUSDT", "positionIdx": 0}


@pytest.fixture
def long(venue):
    """A venue where we hold 1 BTC."""
    venue.order(orderType="Market", qty="1")
    return venue


def waiting(venue):
    rows = venue.get("order/realtime", category="linear", symbol="BTCUSDT", orderFilter="StopOrder")["list"]
    return sorted((x["stopOrderType"], float(x["triggerPrice"]), x["qty"], x["side"]) for x in rows)


def test_exits_of_a_whole_position_are_stop_orders_that_have_its_size(long):
    long.post("position/trading-stop", **STOP, tpslMode="Full", takeProfit="10500", stopLoss="9800")
    assert waiting(long) == [("StopLoss", 9800.0, "1", "Sell"), ("TakeProfit", 10500.0, "1", "Sell")]
    assert (long.position()["takeProfit"], long.position()["stopLoss"]) == ("10500", "9800")
    long.order(orderType="Market", qty="1")
    assert [x[2] for x in waiting(long)] == ["2", "2"]
    long.post("position/trading-stop", **STOP, tpslMode="Full", takeProfit="10600")
    assert waiting(long)[1][1] == 10600.0
    long.post("position/trading-stop", 34040, **STOP, tpslMode="Full", takeProfit="10600")
    long.post("position/trading-stop", **STOP, tpslMode="Full", takeProfit="0")
    assert [x[0] for x in waiting(long)] == ["StopLoss"]


def test_exits_end_with_the_position(long):
    long.post("position/trading-stop", **STOP, tpslMode="Full", takeProfit="10500", stopLoss="9800")
    ids = [x["orderId"] for x in long.get("order/realtime", category="linear", symbol="BTCUSDT")["list"]]
    long.order(side="Sell", orderType="Market", qty="1", reduceOnly=True)
    assert waiting(long) == []
    assert {(long.row(x)["orderStatus"], long.row(x)["cancelType"]) for x in ids} == {
        ("Deactivated", "CancelByTpSlTsClear")
    }


def test_a_stop_loss_that_is_reached_closes_the_position(long):
    long.post("position/trading-stop", **STOP, tpslMode="Full", stopLoss="9995")
    long.linear.engine.trade(SELL, 99_940, 10**6)
    for i in range(40):
        long.linear.engine.set_level(BUY, 99_940 - i, 5000)
    long.pass_time()
    assert long.position()["size"] == "0"
    (row,) = long.get("position/closed-pnl", category="linear")["list"]
    assert (row["side"], row["closedSize"], row["orderType"]) == ("Sell", "1.000", "Market")
    assert float(row["closedPnl"]) < 0
    order = long.row(row["orderId"])
    assert (order["createType"], order["reduceOnly"], order["closeOnTrigger"]) == (
        "CreateByStopLoss",
        True,
        True,
    )


def test_parts_are_closed_in_pairs_of_which_one_ends_the_other(long):
    wish = {
        "tpslMode": "Partial",
        "takeProfit": "10004",
        "stopLoss": "9800",
        "tpSize": "0.4",
        "slSize": "0.4",
    }
    long.post("position/trading-stop", **STOP, **wish)
    assert [x[0] for x in waiting(long)] == ["PartialStopLoss", "PartialTakeProfit"]
    loss = next(
        x["orderId"]
        for x in long.get("order/realtime", category="linear", symbol="BTCUSDT")["list"]
        if x["stopOrderType"] == "PartialStopLoss"
    )
    long.linear.engine.trade(BUY, 100_045, 10**6)
    long.pass_time()
    assert (long.position()["size"], waiting(long)) == ("0.6", [])
    assert long.row(loss)["cancelType"] == "CancelByOCOSlCanceledByTpTriggered"
    long.post("position/trading-stop", 110058, **STOP, **wish | {"tpSize": "5", "slSize": "5"})
    long.post("position/trading-stop", 10001, **STOP, **wish | {"tpSize": "0.1", "slSize": "0.2"})


def test_a_trailing_stop_goes_with_the_price_and_not_back(long):
    long.post("position/trading-stop", **STOP, tpslMode="Full", trailingStop="3")
    assert long.position()["trailingStop"] == "3"
    long.linear.engine.trade(BUY, 100_030, 10**6)
    long.pass_time()
    assert waiting(long)[0][1] == pytest.approx(9997.0, abs=3.1)
    trigger = next(iter(long.fake._stop_orders.values())).trigger_ticks
    assert trigger == long.linear.last_ticks - 30
    long.linear.engine.set_level(BUY, 100_010, 5000)
    long.linear.engine.trade(SELL, 100_010, 100)
    long.pass_time()
    assert next(iter(long.fake._stop_orders.values())).trigger_ticks == trigger


def test_an_order_brings_its_exits_along(venue):
    venue.order(price="10000.1", qty="1", takeProfit="10500", stopLoss="9800", orderLinkId="p")
    assert [x[0] for x in waiting(venue)] == ["StopLoss", "TakeProfit"]
    rows = venue.get("order/realtime", category="linear", symbol="BTCUSDT")["list"]
    assert {x["parentOrderLinkId"] for x in rows} == {"p"}
    spot = venue.order(category="spot", price="10000.1", qty="1", takeProfit="10500", stopLoss="9800")
    assert venue.row(spot, "spot")["orderStatus"] == "Filled"
    rows = venue.get("order/realtime", category="spot", symbol="BTCUSDT", orderFilter="tpslOrder")["list"]
    assert [(x["stopOrderType"], x["side"], x["qty"]) for x in rows] == [("tpslOrder", "Sell", "0.999")] * 2


def test_exits_need_a_position_and_the_right_side_of_the_price(venue):
    venue.post("position/trading-stop", 10001, **STOP, tpslMode="Full", takeProfit="10500")
    venue.order(orderType="Market", qty="1")
    venue.post("position/trading-stop", 10001, **STOP, tpslMode="Full", takeProfit="9500")
    venue.post("position/trading-stop", 10001, **STOP, tpslMode="Full", stopLoss="10500")
    venue.post("position/trading-stop", 34040, **STOP, tpslMode="Full")
    venue.post(
        "position/trading-stop", 10001, category="linear", symbol="BTCUSDT", positionIdx=1, takeProfit="10500"
    )

"""Requests for orders: read, checked, refused with the code of the market."""

import pytest

LINEAR_REFUSALS = [
    ({"category": "inverse"}, 10001),
    ({"symbol": "NOPE"}, 10001),
    ({"side": "buy"}, 10001),
    ({"orderType": "Stop"}, 10001),
    ({"timeInForce": "GTX"}, 10001),
    ({"timeInForce": "RPI"}, 110119),
    ({"qty": "0"}, 10001),
    ({"qty": "0.0001"}, 10001),
    ({"qty": 1}, 10001),
    ({"price": "0"}, 110003),
    ({"price": "9900.05"}, 110003),
    ({"price": "2000000.0"}, 110003),
    ({"price": "100", "qty": "0.001"}, 110094),
    ({"qty": "100000"}, 110007),
    ({"positionIdx": 1}, 10001),
    ({"reduceOnly": True}, 110017),
    ({"reduceOnly": "true"}, 10001),
    ({"smpType": "Cancel"}, 10001),
    ({"orderLinkId": "a b"}, 10001),
    ({"triggerPrice": "9000"}, 10001),
    ({"triggerPrice": "9000", "triggerDirection": 1}, 110092),
    ({"triggerPrice": "11000", "triggerDirection": 2}, 110093),
    ({"triggerPrice": "9000", "triggerDirection": 2, "triggerBy": "Best"}, 10001),
    ({"takeProfit": "9800"}, 10001),
    ({"stopLoss": "9950"}, 10001),
    ({"takeProfit": "9950", "tpslMode": "Full", "tpOrderType": "Limit"}, 10001),
    ({"orderType": "Market", "slippageToleranceType": "TickSize", "slippageTolerance": "10001"}, 110108),
    ({"orderType": "Market", "slippageToleranceType": "Percent", "slippageTolerance": "10.01"}, 110109),
]
SPOT_REFUSALS = [
    ({"symbol": "NOPE"}, 170121),
    ({"side": "buy"}, 170117),
    ({"orderType": "Stop"}, 170116),
    ({"timeInForce": "GTX"}, 170115),
    ({"timeInForce": "RPI"}, 170355),
    ({"qty": "0.0000001"}, 170137),
    ({"qty": "0"}, 170136),
    ({"price": "9900.05"}, 170134),
    ({"price": "0"}, 170132),
    ({"price": "100", "qty": "0.01"}, 170140),
    ({"qty": "5000"}, 170131),
    ({"side": "Sell", "price": "11000", "qty": "20000"}, 170131),
    ({"price": "10100"}, 170193),
    ({"side": "Sell", "price": "9900"}, 170194),
    ({"orderFilter": "Other"}, 170201),
    ({"orderFilter": "StopOrder"}, 170202),
    ({"orderType": "Market", "qty": "4"}, 170140),
    ({"orderType": "Market", "marketUnit": "lots"}, 170130),
]


@pytest.mark.parametrize(("changes", "code"), LINEAR_REFUSALS)
def test_every_refusal_on_linear_has_its_code(venue, changes, code):
    venue.order(code, **changes)
    assert venue.fake.orders == {}


@pytest.mark.parametrize(("changes", "code"), SPOT_REFUSALS)
def test_every_refusal_on_spot_has_its_code(venue, changes, code):
    venue.order(code, **{"category": "spot"} | changes)
    assert venue.fake.orders == {}


@pytest.mark.parametrize(("category", "code"), [("linear", 110072), ("spot", 170141)])
def test_a_client_id_is_unique_for_ever(venue, category, code):
    first = venue.order(category=category, orderLinkId="x-1")
    venue.post("order/cancel", category=category, symbol="BTCUSDT", orderId=first)
    venue.order(code, category=category, orderLinkId="x-1")
    if category == "linear":
        venue.order(code, symbol="ETHUSDT", orderLinkId="x-1")
    venue.order(category={"linear": "spot", "spot": "linear"}[category], orderLinkId="x-1")


def test_an_id_that_is_left_out_stays_empty_on_linear_and_is_made_on_spot(venue):
    assert venue.row(venue.order())["orderLinkId"] == ""
    assert venue.row(venue.order(category="spot"), "spot")["orderLinkId"].isdigit()


def test_too_aggressive_a_price_is_moved_on_linear_and_may_be_refused_instead(venue):
    order_id = venue.order(price="12000", qty="1000", timeInForce="GTC")
    assert float(venue.row(order_id)["price"]) == 10100.0
    venue.post("account/set-limit-px-action", category="linear", modifyEnable=False)
    assert venue.get("account/user-setting-config")["lpaPerp"] is True
    venue.order(30208, price="12000")
    venue.order(30209, side="Sell", price="8000")
    venue.post("account/set-limit-px-action", category="spot", modifyEnable=True)
    assert float(venue.row(venue.order(category="spot", price="12000"), "spot")["price"]) == 10050.0


def test_a_market_order_on_linear_is_an_order_at_a_protective_price(venue):
    row = venue.row(venue.order(orderType="Market", qty="6"))
    assert (row["orderType"], row["timeInForce"], row["orderStatus"]) == ("Market", "IOC", "Filled")
    assert float(row["price"]) == 10100.0
    assert 10000 < float(row["avgPrice"]) < 10001


def test_slippage_tolerance_is_a_limit_of_the_clients_own(venue):
    row = venue.row(
        venue.order(orderType="Market", qty="20", slippageToleranceType="TickSize", slippageTolerance="2")
    )
    assert (row["cumExecQty"], row["orderStatus"]) == ("15", "Cancelled")
    assert (row["slippageToleranceType"], row["slippageTolerance"]) == ("TickSize", "2")


def test_the_venue_picks_the_price_of_the_best_offer(venue):
    order_id = venue.order(price=None, bboSideType="Queue", bboLevel="2")
    assert float(venue.row(order_id)["price"]) == 9999.8
    venue.order(10001, price=None, bboSideType="Queue", bboLevel="6")


def test_a_spot_market_buy_is_by_value_and_a_sell_by_size_unless_told_otherwise(venue):
    buy = venue.row(venue.order(category="spot", orderType="Market", qty="100.005"), "spot")
    assert (buy["qty"], buy["cumExecQty"], buy["orderStatus"]) == (
        "100.005",
        "0.01",
        "PartiallyFilledCanceled",
    )
    assert buy["rejectReason"] == "EC_CancelForNoFullFill"
    assert float(buy["leavesValue"]) > 0
    sell = venue.row(venue.order(category="spot", side="Sell", orderType="Market", qty="0.01"), "spot")
    assert (sell["qty"], sell["cumExecQty"], sell["orderStatus"]) == ("0.01", "0.01", "Filled")
    base = venue.order(category="spot", orderType="Market", qty="0.02", marketUnit="baseCoin")
    assert venue.row(base, "spot")["cumExecQty"] == "0.02"
    quote = venue.order(category="spot", side="Sell", orderType="Market", qty="100", marketUnit="quoteCoin")
    assert venue.row(quote, "spot")["cumExecQty"] == "0.01"


def test_a_halted_symbol_takes_no_orders(venue):
    for status, linear, spot in (
        ("halt", 110074, 170151),
        ("cancel_only", 110066, 170151),
        ("delisted", 110074, 170151),
        ("reduce_only", 30228, 170151),
        ("auction", 110098, 170151),
        ("no_cancel", 110095, 170151),
        ("post_only", 110103, 170217),
    ):
        venue.linear.status = venue.spot.status = status
        venue.order(linear)
        venue.order(spot, category="spot")


def test_the_number_of_open_orders_is_limited(venue):
    venue.linear.max_orders, venue.linear.max_stop_orders = 2, 1
    venue.order(triggerPrice="9000", triggerDirection=2)
    venue.order(110009, triggerPrice="9000", triggerDirection=2)
    venue.order(), venue.order()
    venue.order(110020)


def test_a_tier_of_risk_limits_the_leverage(venue):
    venue.post(
        "position/set-leverage", category="linear", symbol="BTCUSDT", buyLeverage="60", sellLeverage="60"
    )
    venue.order(qty="190")
    venue.order(110086, qty="190")

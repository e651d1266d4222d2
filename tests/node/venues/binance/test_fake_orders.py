"""Spot orders: refusals with the venue's own codes, answers, cancel-replace, amend, queries."""

import pytest
from binance_venue import (
    NOW,
    SECOND,
    Rest,
    answer,
    api,
    ask,
    events,
    order,
    two_accounts,
    user_line,
    venue,
)

from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM
from node.venues.fakes import BUY, MS, SELL, Listing


@pytest.mark.parametrize(
    ("market", "change", "status", "code", "text"),
    [
        (BINANCE_SPOT, {"symbol": None}, 400, -1102, "symbol"),
        (BINANCE_SPOT, {"symbol": "X"}, 400, -1121, "Invalid symbol."),
        (BINANCE_SPOT, {"side": "UP"}, 400, -1117, "side"),
        (BINANCE_SPOT, {"type": "X"}, 400, -1116, "orderType"),
        (BINANCE_SPOT, {"timeInForce": "GTX"}, 400, -1115, "timeInForce"),
        (BINANCE_SPOT, {"timeInForce": None}, 400, -1102, "timeInForce"),
        (BINANCE_SPOT, {"type": "LIMIT_MAKER"}, 400, -1106, "timeInForce"),
        (BINANCE_SPOT, {"price": None}, 400, -1102, "price"),
        (BINANCE_SPOT, {"type": "MARKET", "timeInForce": None}, 400, -1106, "price"),
        (BINANCE_SPOT, {"price": "5990.001"}, 400, -1013, "Filter failure: PRICE_FILTER"),
        (BINANCE_SPOT, {"quantity": "0.000001"}, 400, -1013, "Filter failure: LOT_SIZE"),
        (BINANCE_SPOT, {"price": "5990.000000001"}, 400, -1111, "precision"),
        (BINANCE_SPOT, {"quantity": "1e-3"}, 400, -1100, "quantity"),
        (BINANCE_SPOT, {"quantity": "0"}, 400, -1013, "Invalid quantity."),
        (BINANCE_SPOT, {"quantity": "0.00100"}, 400, -1013, "Filter failure: NOTIONAL"),
        (BINANCE_SPOT, {"price": "1.00"}, 400, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
        (BINANCE_SPOT, {"quantity": "9000"}, 400, -2010, "insufficient balance"),
        (BINANCE_SPOT, {"selfTradePreventionMode": "X"}, 400, -1013, "self-trade prevention"),
        (BINANCE_SPOT, {"strategyType": 5}, 400, -1134, "strategyType"),
        (BINANCE_SPOT, {"quoteOrderQty": "5", "quantity": None}, 400, -1106, "quoteOrderQty"),
        (BINANCE_SPOT, {"icebergQty": "0.00001"}, 400, -1013, "ICEBERG_PARTS"),
        (
            BINANCE_SPOT,
            {"type": "STOP_LOSS_LIMIT", "stopPrice": "5990.00"},
            400,
            -2010,
            "trigger immediately",
        ),
        (BINANCE_USDM, {"positionSide": "LONG"}, 400, -4061, "position side"),
        (BINANCE_USDM, {"timeInForce": "GTD"}, 400, -1102, "goodTillDate"),
        (BINANCE_USDM, {"timeInForce": "GTD", "goodTillDate": NOW // MS}, 400, -5040, "goodTillDate"),
        (BINANCE_USDM, {"quantity": "9000"}, 400, -2027, "maximum allowable position"),
        (BINANCE_SPOT, {"newClientOrderId": "a b"}, 400, -1100, "newClientOrderId"),
        (BINANCE_SPOT, {"timestamp": None}, 400, -1102, "timestamp"),
        (BINANCE_SPOT, {"timestamp": NOW // MS - 5001}, 400, -1021, "recvWindow"),
        (BINANCE_SPOT, {"timestamp": NOW // MS + 1000}, 400, -1021, "ahead"),
        (
            BINANCE_SPOT,
            {"type": "LIMIT_MAKER", "timeInForce": None, "price": "6000.01"},
            400,
            -2010,
            "immediately match and take",
        ),
        (BINANCE_USDM, {"price": "59900.05"}, 400, -1111, "Precision"),
        (BINANCE_USDM, {"quantity": "0.0005"}, 400, -1111, "Precision"),
        (BINANCE_USDM, {"quantity": "0"}, 400, -4003, "Quantity"),
        (BINANCE_USDM, {"price": "0"}, 400, -4013, "Price"),
        (BINANCE_USDM, {"timeInForce": "GTX", "price": "60000.1"}, 400, -5022, "Post Only"),
        (BINANCE_USDM, {"timeInForce": "FOK", "quantity": "900"}, 400, -5021, "FOK"),
        (BINANCE_USDM, {"type": "STOP"}, 400, -4120, "Algo"),
        (BINANCE_USDM, {"newClientOrderId": "x" * 37}, 400, -4015, "36"),
        (BINANCE_USDM, {"price": "10.0"}, 400, -4164, "no smaller than 100"),
        (BINANCE_USDM, {"price": "10.0", "side": "SELL"}, 400, -4024, "lower than"),
        (BINANCE_USDM, {"price": "400000.0"}, 400, -4016, "higher than"),
        (BINANCE_USDM, {"quantity": "0.001"}, 400, -4164, "no smaller than 100"),
        (BINANCE_USDM, {"reduceOnly": "true"}, 400, -2022, "ReduceOnly"),
        (BINANCE_USDM, {"newOrderRespType": "FULL"}, 400, -1130, "newOrderRespType"),
    ],
)
def test_orders_are_refused_with_the_venues_own_codes(market, change, status, code, text):
    fake = venue(min_notional="100" if market == BINANCE_USDM else "10")
    (reply,) = ask(fake, api(fake, market), id="a", method="order.place", params=order(market, **change))
    assert (reply["status"], reply["error"]["code"]) == (status, code)
    assert text in reply["error"]["msg"]
    assert fake.open_orders() == []
    assert all(x["count"] == 0 for x in reply["rateLimits"] if x["rateLimitType"] == "ORDERS")


def test_a_tick_coarser_than_the_precision_has_its_own_code_on_usdm():
    listing = Listing("XUSDT", "0.5", "0.2", BINANCE_USDM)
    fake = venue_of(listing)
    line = api(fake, BINANCE_USDM)
    for change, code in (({"price": "100.2"}, -4014), ({"quantity": "0.3"}, -4023)):
        params = order(BINANCE_USDM, symbol="XUSDT", price="100.0", quantity="1") | change
        assert ask(fake, line, id="a", method="order.place", params=params)[0]["error"]["code"] == code


@pytest.mark.parametrize(("market", "code"), [(BINANCE_SPOT, -2010), (BINANCE_USDM, -4116)])
def test_a_client_id_is_unique_among_open_orders_only(market, code):
    fake = venue()
    line = api(fake, market)
    params = order(market, newClientOrderId="same")
    assert ask(fake, line, id="a", method="order.place", params=params)[0]["status"] == 200
    assert ask(fake, line, id="b", method="order.place", params=params)[0]["error"]["code"] == code
    cancel = {"symbol": "BTCUSDT", "origClientOrderId": "same", "timestamp": NOW // MS}
    assert ask(fake, line, id="c", method="order.cancel", params=cancel)[0]["result"]["status"] == "CANCELED"
    assert ask(fake, line, id="d", method="order.place", params=params)[0]["status"] == 200


def test_cancel_and_query_find_orders_by_either_id():
    fake = venue()
    line = api(fake, BINANCE_SPOT)
    (placed,) = ask(
        fake, line, id="a", method="order.place", params=order(BINANCE_SPOT, newClientOrderId="mine")
    )
    number = placed["result"]["orderId"]
    common = {"symbol": "BTCUSDT", "timestamp": NOW // MS}
    (found,) = ask(fake, line, id="s", method="order.status", params=common | {"orderId": number})
    assert (found["result"]["status"], found["result"]["clientOrderId"]) == ("NEW", "mine")
    for params, method, code in (
        (common, "order.cancel", -1102),
        (common | {"orderId": number + 1}, "order.cancel", -2011),
        (common | {"orderId": number, "origClientOrderId": "other"}, "order.cancel", -2039),
        (common | {"origClientOrderId": "other"}, "order.status", -2013),
        (common, "order.fly", -1020),
    ):
        assert ask(fake, line, id="c", method=method, params=params)[0]["error"]["code"] == code
    (done,) = ask(fake, line, id="c", method="order.cancel", params=common | {"orderId": number})
    assert (done["result"]["origClientOrderId"], done["result"]["clientOrderId"] != "mine") == ("mine", True)
    assert (
        ask(fake, line, id="c", method="order.cancel", params=common | {"orderId": number})[0]["error"][
            "code"
        ]
        == -2011
    )


@pytest.mark.parametrize("kind", ["ACK", "RESULT", "FULL", None])
def test_spot_answers_have_the_asked_detail(kind):
    fake = venue()
    params = order(BINANCE_SPOT, price="6000.01", newOrderRespType=kind)
    result = ask(fake, api(fake, BINANCE_SPOT), id="a", method="order.place", params=params)[0]["result"]
    assert ("status" in result) == (kind != "ACK")
    assert ("fills" in result) == (kind in ("FULL", None))
    if kind != "ACK":
        assert (result["status"], result["executedQty"]) == ("FILLED", "0.01000000")


def test_the_order_limit_answers_429():
    fake = venue()
    line = api(fake, BINANCE_SPOT)
    replies = [
        ask(fake, line, id="a", method="order.place", params=order(BINANCE_SPOT))[0] for _ in range(101)
    ]
    assert [x["status"] for x in replies] == [200] * 100 + [429]
    assert replies[-1]["error"]["code"] == -1015
    later = NOW + 10_000 * MS
    assert (
        ask(
            fake, line, later, id="a", method="order.place", params=order(BINANCE_SPOT, timestamp=later // MS)
        )[0]["status"]
        == 200
    )


def test_an_unfinished_fill_or_kill_order_expires_on_spot():
    fake = venue()
    line, _ = user_line(fake, BINANCE_SPOT)
    answer(fake, line, "order.place", **order(BINANCE_SPOT, timeInForce="FOK", price="6000.01", quantity="9"))
    replies = ask(
        fake,
        line,
        id="a",
        method="order.place",
        params=order(BINANCE_SPOT, timeInForce="FOK", price="6000.01", quantity="9"),
    )
    states = [x["event"]["X"] for x in replies if x.get("event", {}).get("e") == "executionReport"]
    assert states == ["NEW", "EXPIRED"]


# ---- cancel-replace: every combination of the venue's table ----


def replace(client, mode, old, **change):
    params = {k: str(v) for k, v in order(BINANCE_SPOT, **change).items() if k != "timestamp"}
    return client.post(
        "/api/v3/order/cancelReplace", cancelReplaceMode=mode, cancelOrderId=str(old), **params
    )


@pytest.mark.parametrize(
    ("mode", "old_lives", "new_is_good", "status", "code", "results", "open_after"),
    [
        ("STOP_ON_FAILURE", True, True, 200, None, ("SUCCESS", "SUCCESS"), 1),
        ("STOP_ON_FAILURE", False, True, 400, -2022, ("FAILURE", "NOT_ATTEMPTED"), 0),
        ("ALLOW_FAILURE", False, False, 400, -2022, ("FAILURE", "FAILURE"), 0),
        ("STOP_ON_FAILURE", True, False, 409, -2021, ("SUCCESS", "FAILURE"), 0),
        ("ALLOW_FAILURE", False, True, 409, -2021, ("FAILURE", "SUCCESS"), 1),
    ],
)
def test_cancel_replace_answers_each_leg(mode, old_lives, new_is_good, status, code, results, open_after):
    fake = venue()
    client = Rest(fake)
    number = client.place(BINANCE_SPOT)[1]["orderId"] if old_lives else 999
    change = {} if new_is_good else {"type": "LIMIT_MAKER", "timeInForce": None, "price": "6000.01"}
    got, body = replace(client, mode, number, **change)
    assert (got, body.get("code")) == (status, code)
    legs = body.get("data", body)
    assert (legs["cancelResult"], legs["newOrderResult"]) == results
    assert len(fake.open_orders()) == open_after
    if results[1] == "NOT_ATTEMPTED":
        assert legs["newOrderResponse"] is None
    if results[0] == "FAILURE":
        assert legs["cancelResponse"] == {"code": -2011, "msg": "Unknown order sent."}


@pytest.mark.parametrize(
    ("over", "status", "code", "lives"), [("DO_NOTHING", 429, -1015, 1), ("CANCEL_ONLY", 409, -2021, 0)]
)
def test_cancel_replace_beyond_the_order_limit(over, status, code, lives):
    fake = venue()
    client = Rest(fake)
    number = client.place(BINANCE_SPOT)[1]["orderId"]
    fake.faults.add("ratelimit", limiter="spot.orders", limit=0)
    params = {k: str(v) for k, v in order(BINANCE_SPOT).items() if k != "timestamp"}
    params |= {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": str(number)}
    got, body = client.post("/api/v3/order/cancelReplace", orderRateLimitExceededMode=over, **params)
    assert (got, body["code"], len(fake.open_orders())) == (status, code, lives)


# ---- amend ----


def test_an_amend_keeps_its_place_and_loses_its_client_id_unless_it_is_sent_again():
    fake = venue()
    line, _ = user_line(fake, BINANCE_SPOT)
    answer(fake, line, "order.place", **order(BINANCE_SPOT, newClientOrderId="first"))
    common = {"symbol": "BTCUSDT", "origClientOrderId": "first"}
    kept = answer(fake, line, "order.amend.keepPriority", newQty="0.008", newClientOrderId="first", **common)
    assert kept["result"]["amendedOrder"]["clientOrderId"] == "first"
    rows = ask(
        fake,
        line,
        id="a",
        method="order.amend.keepPriority",
        params=common | {"newQty": "0.00700", "timestamp": NOW // MS},
    )
    amended = rows[0]["result"]["amendedOrder"]
    assert (amended["qty"], amended["origClientOrderId"]) == ("0.00700000", "first")
    report = next(x["event"] for x in rows if x.get("event", {}).get("e") == "executionReport")
    assert (report["x"], report["C"], report["c"]) == ("REPLACED", "first", amended["clientOrderId"])
    assert report["c"] != "first"
    number = amended["orderId"]
    for new, code in (("0.007", -2038), ("0.009", -2038), ("0", -1013)):
        params = {"symbol": "BTCUSDT", "orderId": number, "newQty": new}
        assert answer(fake, line, "order.amend.keepPriority", **params)["error"]["code"] == code
    _, history = Rest(fake).get("/api/v3/order/amendments", symbol="BTCUSDT", orderId=number)
    assert [(x["origQty"], x["newQty"]) for x in history] == [
        ("0.01000000", "0.00800000"),
        ("0.00800000", "0.00700000"),
    ]


# ---- more of placing ----


def test_a_market_order_by_quote_buys_what_it_is_worth():
    fake = venue()
    status, body = Rest(fake).post(
        "/api/v3/order", symbol="BTCUSDT", side="BUY", type="MARKET", quoteOrderQty="100"
    )
    assert (status, body["status"], body["origQuoteOrderQty"]) == (200, "FILLED", "100.00000000")
    assert 99 < float(body["cummulativeQuoteQty"]) <= 100


def test_a_stop_order_waits_until_its_price_is_reached():
    fake = venue()
    line, _ = user_line(fake, BINANCE_SPOT)
    listing = fake.listings[BINANCE_SPOT, "BTCUSDT"]
    listing.engine.place(BUY, 600001, 1, "ioc")
    fake.tick(NOW)
    fake.take()
    params = order(BINANCE_SPOT, side="SELL", type="STOP_LOSS_LIMIT", price="5990.00", stopPrice="5999.00")
    number = answer(fake, line, "order.place", **params)["result"]["orderId"]
    row = Rest(fake).get("/api/v3/order", symbol="BTCUSDT", orderId=number)[1]
    assert (row["status"], row["stopPrice"], row["isWorking"]) == ("NEW", "5999.00000000", False)
    for i in range(200):
        listing.engine.set_level(BUY, 600000 - i, 0)
    listing.engine.set_level(BUY, 599800, 5000)
    listing.engine.place(SELL, 599800, 10, "ioc")
    fake.tick(NOW + 10 * MS)
    states = [(x["x"], x["X"], x["w"]) for x in events(fake) if x["e"] == "executionReport"]
    assert states[0] == ("NEW", "NEW", True)
    assert states[-1][:2] == ("TRADE", "FILLED")


def test_a_test_order_is_checked_and_not_placed():
    fake = venue()
    client = Rest(fake)
    params = {k: str(v) for k, v in order(BINANCE_SPOT).items() if k != "timestamp"}
    assert client.post("/api/v3/order/test", **params) == (200, {})
    _, body = client.post("/api/v3/order/test", computeCommissionRates="true", **params)
    assert body["standardCommissionForOrder"] == {"maker": "0.00100000", "taker": "0.00100000"}
    assert client.post("/api/v3/order/test", **params | {"price": "0.001"})[1]["code"] == -1013
    assert fake.orders == {}


@pytest.mark.parametrize(
    ("limit", "code"), [("ONLY_NEW", None), ("ONLY_PARTIALLY_FILLED", -2011), ("X", -1145)]
)
def test_a_cancel_may_be_restricted(limit, code):
    client = Rest(venue())
    number = client.place(BINANCE_SPOT)[1]["orderId"]
    _, body = client.delete("/api/v3/order", symbol="BTCUSDT", orderId=number, cancelRestrictions=limit)
    assert body.get("code") == code


def test_cancel_all_without_orders_is_an_error():
    client = Rest(venue())
    assert client.delete("/api/v3/openOrders", symbol="BTCUSDT") == (
        400,
        {"code": -2011, "msg": "Unknown order sent."},
    )
    client.place(BINANCE_SPOT)
    client.place(BINANCE_SPOT)
    assert [x["status"] for x in client.delete("/api/v3/openOrders", symbol="BTCUSDT")[1]] == ["CANCELED"] * 2


def test_an_old_order_without_fills_is_archived():
    fake = venue()
    client = Rest(fake)
    number = client.place(BINANCE_SPOT)[1]["orderId"]
    client.delete("/api/v3/order", symbol="BTCUSDT", orderId=number)
    client.now_ns = NOW + 91 * 86_400 * SECOND
    assert client.get("/api/v3/order", symbol="BTCUSDT", orderId=number)[1]["code"] == -2026
    assert client.get("/api/v3/order", symbol="BTCUSDT", orderId=number + 1)[1]["code"] == -2013


def test_accounts_do_not_see_each_others_orders():
    fake = venue(accounts=two_accounts())
    one, two = Rest(fake), Rest(fake, "second", "second")
    number = one.place(BINANCE_SPOT)[1]["orderId"]
    assert two.get("/api/v3/order", symbol="BTCUSDT", orderId=number)[1]["code"] == -2013
    assert two.delete("/api/v3/order", symbol="BTCUSDT", orderId=number)[1]["code"] == -2011
    assert two.get("/api/v3/openOrders")[1] == []
    assert len(one.get("/api/v3/allOrders", symbol="BTCUSDT")[1]) == 1


@pytest.mark.parametrize(
    ("mode", "states"),
    [
        ("EXPIRE_TAKER", ["NEW", "EXPIRED_IN_MATCH"]),
        ("EXPIRE_MAKER", ["EXPIRED_IN_MATCH", "NEW"]),
        ("EXPIRE_BOTH", ["EXPIRED_IN_MATCH"] * 2),
        ("DECREMENT", ["EXPIRED_IN_MATCH"] * 2),
    ],
)
def test_self_trade_prevention_follows_the_taker(mode, states):
    fake = venue()
    client = Rest(fake)
    maker = client.place(BINANCE_SPOT, price="6000.00", side="BUY")[1]["orderId"]
    for i in range(30):
        fake.listings[BINANCE_SPOT, "BTCUSDT"].engine.set_level(BUY, 600000 - i, 0)
    taker = client.place(BINANCE_SPOT, price="6000.00", side="SELL", selfTradePreventionMode=mode)[1][
        "orderId"
    ]
    got = [client.get("/api/v3/order", symbol="BTCUSDT", orderId=x)[1]["status"] for x in (maker, taker)]
    assert got == states
    (row,) = client.get("/api/v3/myPreventedMatches", symbol="BTCUSDT", orderId=taker)[1]
    assert (row["makerOrderId"], row["selfTradePreventionMode"]) == (maker, mode)


def test_order_lists_answer_that_there_are_none():
    client = Rest(venue())
    status, body = client.post("/api/v3/orderList/oco", symbol="BTCUSDT", side="BUY", quantity="1")
    assert (status, body["code"]) == (400, -1013)
    assert client.get("/api/v3/openOrderList")[1] == []


def venue_of(listing):
    from node.venues.binance.fake import BinanceFake

    return BinanceFake([listing])

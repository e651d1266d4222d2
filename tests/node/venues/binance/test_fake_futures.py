"""USD-M orders: answers, modify, batches, hedge mode, countdown, reduce-only."""

import pytest
from binance_venue import NOW, SECOND, Rest, order, venue

from node.venues.binance.rules import BINANCE_USDM
from node.venues.fakes import MS

ORDER = "/fapi/v1/order"


def params(**change):
    return {k: str(v) for k, v in order(BINANCE_USDM, **change).items() if k != "timestamp"}


def test_answers_have_no_average_price_and_queries_have_one():
    client = Rest(venue())
    placed = client.place(BINANCE_USDM, price="60000.1", newOrderRespType="RESULT")[1]
    assert (placed["status"], placed["cumQty"]) == ("FILLED", "0.010")
    assert not {"avgPrice", "cumQuote"} & set(placed)
    row = client.get(ORDER, symbol="BTCUSDT", orderId=placed["orderId"])[1]
    assert (row["avgPrice"], row["cumQuote"], row["status"]) == ("60000.1", "600.001", "FILLED")


def test_an_ack_says_new_whatever_became_of_it():
    placed = Rest(venue()).place(BINANCE_USDM, price="60000.1")[1]
    assert (placed["status"], placed["executedQty"]) == ("NEW", "0.000")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"price": None}, -1102),
        ({"quantity": None}, -1102),
        ({"price": "59900.0", "quantity": "0.010"}, -5027),
        ({"orderId": "999"}, -2013),
        ({"side": "SELL"}, -1117),
        ({"price": "59900.05"}, -1111),
        ({"quantity": "0.001", "price": "1000.0"}, -4164),
    ],
)
def test_a_modify_is_refused_and_the_order_stays(change, code):
    fake = venue(min_notional="100")
    client = Rest(fake)
    number = client.place(BINANCE_USDM)[1]["orderId"]
    new = {
        "symbol": "BTCUSDT",
        "orderId": str(number),
        "side": "BUY",
        "price": "59800.0",
        "quantity": "0.010",
    }
    body = client.put(ORDER, **{k: v for k, v in (new | change).items() if v is not None})[1]
    assert body["code"] == code
    (kept,) = fake.open_orders()
    assert (kept.price_ticks, kept.size_lots) == (599000, 10)


def test_a_modify_keeps_the_number_and_is_remembered():
    client = Rest(venue())
    number = client.place(BINANCE_USDM)[1]["orderId"]
    new = {"symbol": "BTCUSDT", "orderId": number, "side": "BUY", "price": "59800.0", "quantity": "0.020"}
    body = client.put(ORDER, **new)[1]
    assert (body["orderId"], body["price"], body["origQty"], body["status"]) == (
        number,
        "59800.0",
        "0.020",
        "NEW",
    )
    (row,) = client.get("/fapi/v1/orderAmendment", symbol="BTCUSDT")[1]
    assert row["amendment"]["price"] == {"before": "59900.0", "after": "59800.0"}


def test_a_post_only_order_that_a_modify_would_let_take_is_cancelled():
    fake = venue()
    client = Rest(fake)
    number = client.place(BINANCE_USDM, timeInForce="GTX")[1]["orderId"]
    new = {"symbol": "BTCUSDT", "orderId": number, "side": "BUY", "price": "60000.1", "quantity": "0.010"}
    assert client.put(ORDER, **new)[1]["status"] == "CANCELED"
    assert fake.open_orders() == []


def test_a_batch_answers_item_by_item():
    client = Rest(venue())
    items = [params(), params(timeInForce="GTX", price="60000.1"), params(symbol="X")]
    status, rows = client.post("/fapi/v1/batchOrders", batchOrders=items)
    assert (status, [x.get("code") for x in rows]) == (200, [None, -5022, -1121])
    number = rows[0]["orderId"]
    change = [{"symbol": "BTCUSDT", "orderId": number, "side": "BUY", "price": "59800.0", "quantity": "0.02"}]
    assert client.put("/fapi/v1/batchOrders", batchOrders=change)[1][0]["price"] == "59800.0"
    rows = client.delete("/fapi/v1/batchOrders", symbol="BTCUSDT", orderIdList=[number, 999])[1]
    assert (rows[0]["status"], rows[1]["code"]) == ("CANCELED", -2011)
    assert client.post("/fapi/v1/batchOrders", batchOrders=[params()] * 6)[1]["code"] == -4082
    assert client.post("/fapi/v1/batchOrders", batchOrders="x")[1]["code"] == -1130


def test_post_parameters_may_be_in_query_or_body():
    client = Rest(venue(credentials_required=True))
    assert client.call("POST", ORDER, in_body=True, **params())[0] == 200
    assert client.call("POST", ORDER, in_body=False, **params())[0] == 200


def test_hedge_mode_keeps_two_legs():
    client = Rest(venue())
    assert client.post("/fapi/v1/positionSide/dual", dualSidePosition="true")[1]["code"] == 200
    assert client.post("/fapi/v1/positionSide/dual", dualSidePosition="true")[1]["code"] == -4059
    assert client.place(BINANCE_USDM)[1]["code"] == -4061
    market = {"type": "MARKET", "timeInForce": None, "price": None}
    assert client.place(BINANCE_USDM, positionSide="LONG", **market)[0] == 200
    assert client.place(BINANCE_USDM, positionSide="SHORT", side="SELL", **market)[0] == 200
    rows = client.get("/fapi/v3/positionRisk", symbol="BTCUSDT")[1]
    assert [(x["positionSide"], x["positionAmt"]) for x in rows] == [("LONG", "0.010"), ("SHORT", "-0.010")]
    assert client.place(BINANCE_USDM, positionSide="LONG", reduceOnly="true")[1]["code"] == -4062
    assert client.place(BINANCE_USDM, positionSide="LONG", side="SELL", quantity="0.005", **market)[0] == 200
    assert client.post("/fapi/v1/positionSide/dual", dualSidePosition="false")[1]["code"] == -4068


def test_a_reduce_only_order_never_turns_a_position_round():
    client = Rest(venue())
    market = {"type": "MARKET", "timeInForce": None, "price": None}
    assert client.place(BINANCE_USDM, side="SELL", reduceOnly="true", **market)[1]["code"] == -2022
    client.place(BINANCE_USDM, **market)
    assert client.place(BINANCE_USDM, reduceOnly="true", **market)[1]["code"] == -2022
    assert client.place(BINANCE_USDM, side="SELL", quantity="5", reduceOnly="true", **market)[0] == 200
    assert client.get("/fapi/v3/positionRisk")[1] == []


def test_the_countdown_cancels_a_symbol_unless_it_is_set_again():
    fake = venue()
    client = Rest(fake)
    client.place(BINANCE_USDM)
    arm = "/fapi/v1/countdownCancelAll"
    assert client.post(arm, symbol="BTCUSDT", countdownTime=1000)[1] == {
        "symbol": "BTCUSDT",
        "countdownTime": "1000",
    }
    client.now_ns += 900 * MS
    client.post(arm, symbol="BTCUSDT", countdownTime=1000)
    fake.tick(NOW + 1500 * MS)
    assert len(fake.open_orders()) == 1
    fake.tick(NOW + 1900 * MS)
    assert fake.open_orders() == []
    client.place(BINANCE_USDM)
    client.post(arm, symbol="BTCUSDT", countdownTime=1000)
    client.post(arm, symbol="BTCUSDT", countdownTime=0)
    fake.tick(NOW + 20 * SECOND)
    assert len(fake.open_orders()) == 1


def test_a_good_till_date_order_ends_at_its_date():
    fake = venue()
    client = Rest(fake)
    until = NOW // MS + 700_000
    assert client.place(BINANCE_USDM, timeInForce="GTD", goodTillDate=until)[1]["goodTillDate"] == until
    fake.tick(NOW + 699 * SECOND)
    assert len(fake.open_orders()) == 1
    fake.tick(NOW + 701 * SECOND)
    assert [x.done for x in fake.orders.values()] == ["expired"]


@pytest.mark.parametrize(
    ("match", "price"), [("OPPONENT", "60000.1"), ("QUEUE_5", "59999.6"), ("QUEUE", "60000.0")]
)
def test_a_price_may_be_that_of_the_book(match, price):
    client = Rest(venue())
    assert client.place(BINANCE_USDM, price=None, priceMatch=match)[1]["price"] == price
    assert client.place(BINANCE_USDM, priceMatch=match)[1]["code"] == -1128


def test_cancel_all_is_accepted_whatever_there_is():
    client = Rest(venue())
    done = {"code": 200, "msg": "The operation of cancel all open order is done."}
    assert client.delete("/fapi/v1/allOpenOrders", symbol="BTCUSDT")[1] == done
    client.place(BINANCE_USDM)
    assert client.delete("/fapi/v1/allOpenOrders", symbol="BTCUSDT")[1] == done
    assert client.get("/fapi/v1/openOrders", symbol="BTCUSDT")[1] == []


def test_unfilled_orders_are_forgotten_after_three_days():
    client = Rest(venue())
    number = client.place(BINANCE_USDM)[1]["orderId"]
    assert client.delete(ORDER, symbol="BTCUSDT", orderId=number)[1]["clientOrderId"]
    client.now_ns += 2 * 86_400 * SECOND
    assert client.get(ORDER, symbol="BTCUSDT", orderId=number)[1]["status"] == "CANCELED"
    client.now_ns += 2 * 86_400 * SECOND
    assert client.get(ORDER, symbol="BTCUSDT", orderId=number)[1]["code"] == -2013


def test_margin_limits_what_can_be_opened():
    fake = venue()
    fake.accounts[1].balance("USDT", "usdm").total /= 100_000
    client = Rest(fake)
    assert client.place(BINANCE_USDM, quantity="0.1")[1]["code"] == -2019
    assert client.place(BINANCE_USDM, quantity="0.01")[0] == 200


@pytest.mark.parametrize(("fault", "rows", "live"), [({"code": "-2010"}, 2, 1), ({"missing": True}, 1, 2)])
def test_items_of_a_batch_may_fail_or_be_left_out(fault, rows, live):
    fake = venue()
    fake.faults.add("ack.batch", count=1, **fault)
    status, body = Rest(fake).post("/fapi/v1/batchOrders", batchOrders=[params(), params()])
    assert (status, len(body), len(fake.open_orders())) == (200, rows, live)
    assert fake.faults.counts["ack.batch"] == 1

"""Conditional USD-M orders: refused on the ordinary endpoint, apart from other orders, triggered by price."""

import pytest
from binance_venue import NOW, Rest, events, user_line, venue

from node.venues.binance.rules import BINANCE_USDM
from node.venues.fakes import BUY, MS, SELL

PATH = "/fapi/v1/algoOrder"


def stop(client, **change):
    params = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET"}
    params |= {"quantity": "0.010", "triggerPrice": "59990.0"}
    return client.post(PATH, **{k: v for k, v in (params | change).items() if v is not None})


def prices(fake, ticks, step=1):
    """Let the market trade at a price."""
    listing = fake.listings[BINANCE_USDM, "BTCUSDT"]
    for side in (BUY, SELL):
        for price, _ in listing.engine.levels(side, 1000):
            listing.engine.set_level(side, price, 0)
    listing.engine.set_level(BUY, ticks, 5000)
    listing.engine.set_level(SELL, ticks + 1, 5000)
    listing.engine.place(SELL, ticks, 1, "ioc")
    fake.tick(NOW + step * 10 * MS)


def test_a_conditional_type_is_refused_on_the_ordinary_endpoint():
    client = Rest(venue())
    body = client.post("/fapi/v1/order", symbol="BTCUSDT", side="SELL", type="STOP_MARKET", stopPrice="1")[1]
    assert body["code"] == -4120


def test_it_lives_apart_from_other_orders():
    client = Rest(venue())
    placed = stop(client, clientAlgoId="mine")[1]
    assert (placed["algoStatus"], placed["orderType"], placed["triggerPrice"]) == (
        "NEW",
        "STOP_MARKET",
        "59990.0",
    )
    assert client.get("/fapi/v1/openOrders")[1] == []
    assert client.delete("/fapi/v1/allOpenOrders", symbol="BTCUSDT")[1]["code"] == 200
    assert [x["algoId"] for x in client.get("/fapi/v1/openAlgoOrders")[1]] == [placed["algoId"]]
    assert client.get(PATH, clientAlgoId="mine")[1]["algoId"] == placed["algoId"]
    assert stop(client, clientAlgoId="mine")[1]["code"] == -4116
    done = client.delete(PATH, algoId=placed["algoId"])[1]
    assert (done["code"], done["msg"]) == ("200", "success")
    assert client.delete(PATH, algoId=placed["algoId"])[1]["code"] == -2011
    assert client.get("/fapi/v1/allAlgoOrders", symbol="BTCUSDT")[1][0]["algoStatus"] == "CANCELED"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"triggerPrice": "60010.0"}, -2021),
        ({"triggerPrice": None}, -1102),
        ({"type": "LIMIT"}, -1116),
        ({"closePosition": "true"}, -4136),
        ({"type": "TRAILING_STOP_MARKET", "triggerPrice": None, "callbackRate": "20"}, -2007),
        ({"type": "STOP"}, -1102),
        ({"positionSide": "LONG"}, -4061),
        ({"triggerPrice": "59990.05"}, -1111),
    ],
)
def test_wrong_ones_have_the_documented_codes(change, code):
    assert stop(Rest(venue()), **change)[1]["code"] == code


def test_a_trigger_makes_an_order_and_tells_each_step():
    fake = venue()
    user_line(fake, BINANCE_USDM)
    client = Rest(fake)
    placed = stop(client)[1]
    prices(fake, 599950)
    fake.take()
    prices(fake, 599890, 2)
    told = events(fake)
    states = [x["o"]["X"] for x in told if x["e"] == "ALGO_UPDATE"]
    assert states == ["TRIGGERING", "TRIGGERED", "FINISHED"]
    row = client.get(PATH, algoId=placed["algoId"])[1]
    order = client.get("/fapi/v1/order", symbol="BTCUSDT", orderId=row["actualOrderId"])[1]
    assert (row["algoStatus"], order["status"], order["side"]) == ("FINISHED", "FILLED", "SELL")
    assert client.get("/fapi/v3/positionRisk")[1][0]["positionAmt"] == "-0.010"


def test_close_position_closes_what_there_is_and_nothing_else():
    fake = venue()
    client = Rest(fake)
    client.post("/fapi/v1/order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.010")
    stop(client, closePosition="true", quantity=None)
    prices(fake, 599800)
    assert client.get("/fapi/v3/positionRisk")[1] == []
    placed = stop(client, closePosition="true", quantity=None, triggerPrice="59970.0")[1]
    prices(fake, 599600, 2)
    assert client.get(PATH, algoId=placed["algoId"])[1]["algoStatus"] == "EXPIRED"


def test_a_reduce_only_stop_without_a_position_is_rejected_when_it_triggers():
    fake = venue()
    client = Rest(fake)
    placed = stop(client, reduceOnly="true")[1]
    prices(fake, 599800)
    assert client.get(PATH, algoId=placed["algoId"])[1]["algoStatus"] == "REJECTED"


def test_a_trailing_stop_follows_the_best_price():
    fake = venue()
    client = Rest(fake)
    change = {"type": "TRAILING_STOP_MARKET", "triggerPrice": None, "callbackRate": "1"}
    placed = stop(client, **change)[1]
    for step, ticks in enumerate((600000, 606000, 599900), 1):
        prices(fake, ticks, step)
        state = client.get(PATH, algoId=placed["algoId"])[1]["algoStatus"]
        assert state == ("FINISHED" if step == 3 else "NEW")


def test_take_profit_waits_on_the_other_side():
    fake = venue()
    client = Rest(fake)
    change = {"type": "TAKE_PROFIT", "price": "60050.0", "triggerPrice": "60050.0", "timeInForce": "GTC"}
    placed = stop(client, **change)[1]
    prices(fake, 600400)
    assert client.get(PATH, algoId=placed["algoId"])[1]["algoStatus"] == "NEW"
    prices(fake, 600500, 2)
    assert client.get(PATH, algoId=placed["algoId"])[1]["algoStatus"] == "FINISHED"


def test_the_judge_sees_it_until_it_is_an_order():
    fake = venue()
    client = Rest(fake)
    stop(client, clientAlgoId="mine")
    (row,) = fake.truth()["open"]
    assert (row["client_id"], row["type"], row["waits"], row["filled_lots"]) == (
        "mine",
        "stop_market",
        True,
        0,
    )
    assert fake.truth()["orders"] == {"mine": 1}
    client.delete(PATH, clientAlgoId="mine")
    assert (fake.truth()["open"], fake.truth()["orders"]) == ([], {"mine": 1})


def test_what_is_over_may_be_forgotten():
    fake = venue()
    client = Rest(fake)
    done, kept = (stop(client)[1]["algoId"] for _ in range(2))
    client.delete(PATH, algoId=done)
    fake.forget_closed()
    assert client.get(PATH, algoId=done)[1]["code"] == -2013
    assert client.get(PATH, algoId=kept)[1]["algoStatus"] == "NEW"

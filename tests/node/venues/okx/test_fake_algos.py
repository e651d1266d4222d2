"""Algo orders: they wait, fire once, and close what they were meant to close."""

import pytest
from okx_client import BUSINESS, SWAP, Venue, rows_of

from node.venues.fakes import BUY, MS, SELL

STOP = {
    "instId": "BTC-USDT-SWAP",
    "tdMode": "cross",
    "side": "sell",
    "ordType": "conditional",
    "sz": "1",
    "slTriggerPx": "59900",
    "slOrdPx": "-1",
}


def put(venue: Venue, **change) -> dict:
    return venue.post("trade/order-algo", STOP | change)["data"][0]


def fall(venue: Venue, to_ticks: int = 598_000) -> None:
    """The market falls: the bids go, others come, and somebody sells."""
    for ticks, _ in venue.swap.engine.levels(BUY):
        venue.swap.engine.set_level(BUY, ticks, 0)
    venue.swap.engine.set_level(BUY, to_ticks, 10_000)
    venue.swap.engine.trade(SELL, to_ticks, 1)
    venue.fake.tick(venue.now)


def details(venue: Venue, number: str) -> dict:
    return venue.get(f"trade/order-algo?algoId={number}")[0]


@pytest.mark.parametrize(
    ("change", "want"),
    [
        ({"ordType": "iceberg"}, "51000"),
        ({"slTriggerPx": ""}, "50015"),
        ({"ordType": "oco"}, "50015"),
        ({"side": "up"}, "51000"),
        ({"tdMode": "cash"}, "51000"),
        ({"sz": "0"}, "51020"),
        ({"sz": "0.001"}, "51121"),
        ({"slTriggerPx": "1.05"}, "51150"),
        ({"slTriggerPxType": "best"}, "51000"),
        ({"algoClOrdId": "a-b"}, "51000"),
        ({"closeFraction": "0.5"}, "51000"),
        ({"instId": "NO-SUCH"}, "51001"),
        ({"ordType": "trigger", "triggerPx": "59900"}, "51000"),
    ],
)
def test_an_algo_order_that_cannot_be_is_refused(change, want):
    row = put(Venue(), **change)
    assert (row["sCode"], row["algoId"]) == (want, "")


def test_a_stop_waits_outside_the_book_and_fires_into_it():
    venue = Venue()
    connection, business = venue.private(), venue.open(BUSINESS)
    venue.subscribe(business, {"channel": "orders-algo", "instType": "ANY"})
    venue.order(connection, **SWAP, ordType="market", px=None, sz="1")
    number = put(venue, algoClOrdId="stop1", reduceOnly=True)["algoId"]
    assert venue.get("trade/orders-pending") == []
    (row,) = venue.get("trade/orders-algo-pending?ordType=conditional")
    assert (row["algoId"], row["algoClOrdId"], row["state"]) == (number, "stop1", "live")
    assert (row["slTriggerPx"], row["slTriggerPxType"], row["slOrdPx"]) == ("59900", "last", "-1")
    fall(venue)
    row = details(venue, number)
    assert (row["state"], row["actualSz"], row["actualSide"]) == ("effective", "1", "sl")
    assert venue.lots() == 0
    orders = [x for x in rows_of(venue.take(connection), "orders") if x["algoId"] == number]
    assert [x["state"] for x in orders] == ["live", "filled"]
    assert (orders[0]["ordId"], orders[0]["algoClOrdId"], orders[0]["clOrdId"]) == (row["ordId"], "stop1", "")
    assert [x["state"] for x in rows_of(venue.take(business), "orders-algo")] == ["live", "effective"]
    assert venue.get(f"trade/order?instId=BTC-USDT-SWAP&ordId={row['ordId']}")[0]["state"] == "filled"
    assert venue.ask("GET", "trade/order?instId=BTC-USDT-SWAP&clOrdId=stop1")[1]["code"] == "51603"


def test_of_two_prices_one_fires_and_the_other_goes():
    venue = Venue()
    venue.place(ordType="market")
    row = put(venue, ordType="oco", tpTriggerPx="61000", tpOrdPx="-1")
    assert len(venue.get("trade/orders-algo-pending?ordType=oco")) == 1
    fall(venue)
    venue.fake.tick(venue.now + 10 * MS)
    assert venue.get("trade/orders-algo-pending?ordType=oco") == []
    assert details(venue, row["algoId"])["state"] == "effective"
    assert venue.fake.open_orders() == []
    assert venue.lots() == 0


def test_a_trigger_order_may_rest_at_a_price():
    venue = Venue()
    row = put(venue, ordType="trigger", side="buy", triggerPx="59900", orderPx="59700")
    fall(venue)
    (order,) = venue.get("trade/orders-pending")
    assert (order["px"], order["side"], order["algoId"]) == ("59700", "buy", row["algoId"])
    assert venue.get("trade/orders-algo-history?ordType=trigger&state=effective")


def test_a_stop_without_a_position_fails_when_it_fires():
    venue = Venue()
    row = put(venue, closeFraction="1", sz="")
    assert row["sCode"] == "0"
    fall(venue)
    found = details(venue, row["algoId"])
    assert (found["state"], found["failCode"]) == ("order_failed", "51169")
    assert venue.get("trade/orders-history?instType=SWAP") == []


def test_a_stop_for_all_of_it_closes_all_of_it():
    venue = Venue()
    venue.place(ordType="market", sz="3")
    put(venue, closeFraction="1", sz="")
    fall(venue)
    assert venue.lots() == 0


def test_algo_orders_are_cancelled_and_amended_by_their_own_calls():
    venue = Venue()
    first = put(venue, algoClOrdId="a")["algoId"]
    second = put(venue, algoClOrdId="b")["algoId"]
    assert put(venue, algoClOrdId="b")["sCode"] == "51065"
    body = {
        "instId": "BTC-USDT-SWAP",
        "algoId": second,
        "newSlTriggerPx": "58000",
        "newSz": "2",
        "reqId": "r1",
    }
    answer = venue.post("trade/amend-algos", body)["data"][0]
    assert (answer["sCode"], answer["reqId"]) == ("0", "r1")
    assert (details(venue, second)["slTriggerPx"], details(venue, second)["sz"]) == ("58000", "2")
    cancel = [{"instId": "BTC-USDT-SWAP", "algoId": first}, {"instId": "BTC-USDT-SWAP", "algoClOrdId": "no"}]
    answer = venue.post("trade/cancel-algos", cancel)
    assert (answer["code"], [x["sCode"] for x in answer["data"]]) == ("2", ["0", "51400"])
    assert details(venue, first)["state"] == "canceled"
    assert venue.ask("GET", "trade/order-algo?algoId=5")[1]["code"] == "51603"
    assert venue.ask("GET", "trade/orders-algo-pending")[1]["code"] == "50014"
    assert venue.ask("GET", "trade/orders-algo-history?ordType=oco")[1]["code"] == "50015"


def test_what_is_attached_to_an_order_begins_when_it_is_filled():
    venue = Venue()
    attached = [{"slTriggerPx": "59900", "slOrdPx": "-1", "tpTriggerPx": "61000", "tpOrdPx": "-1"}]
    venue.place(px="60000", attachAlgoOrds=attached)
    assert venue.get("trade/orders-algo-pending?ordType=oco") == []
    venue.swap.engine.trade(SELL, 600_000, 100)
    venue.fake.tick(venue.now)
    venue.fake.tick(venue.now + 10 * MS)
    (row,) = venue.get("trade/orders-algo-pending?ordType=oco")
    assert (row["side"], row["sz"], row["reduceOnly"]) == ("sell", "1", "true")
    fall(venue)
    assert venue.lots() == 0
    assert venue.place(attachAlgoOrds=[{"slOrdPx": "-1"}])["sCode"] == "50015"


def test_cancelling_all_orders_leaves_algo_orders_where_they_are():
    venue = Venue()
    put(venue)
    venue.place()
    venue.strike("dms.fire")
    venue.fake.tick(venue.now + 100 * MS)
    assert venue.get("trade/orders-pending") == []
    assert len(venue.get("trade/orders-algo-pending?ordType=conditional")) == 1
    assert len(venue.fake.truth()["open"]) == 1, "the judge knows of it"


def test_an_algo_order_that_nobody_asked_for_is_listed_too():
    venue = Venue()
    venue.fake.faults.add("order.algo", count=1, now_ns=venue.now)
    venue.place()
    assert len(venue.get("trade/orders-algo-pending?ordType=conditional")) == 1

"""Look-ups, and the calls that act on many orders."""

import pytest
from okx_client import SWAP, Venue, rows_of

from node.venues.fakes import MS, SECOND, Faults

HOUR = 3600 * SECOND
SPOT = {"instId": "BTC-USDT", "tdMode": "cash"}


def code(venue: Venue, path: str) -> str:
    return venue.ask("GET", path)[1]["code"]


def test_an_order_is_found_by_either_id_and_a_reused_one_gives_the_latest():
    venue = Venue()
    first = venue.place(clOrdId="m1")["ordId"]
    venue.post("trade/cancel-order", {"instId": "BTC-USDT-SWAP", "clOrdId": "m1"})
    second = venue.place(clOrdId="m1")["ordId"]
    path = "trade/order?instId=BTC-USDT-SWAP"
    assert venue.get(f"{path}&clOrdId=m1")[0]["ordId"] == second
    assert venue.get(f"{path}&ordId={first}")[0]["state"] == "canceled"
    assert venue.get(f"{path}&ordId={first}&clOrdId=m1")[0]["ordId"] == first, "the venue's id wins"
    assert code(venue, f"{path}&clOrdId=nobody") == "51603"
    assert code(venue, path) == "51000"
    assert code(venue, "trade/order?clOrdId=m1") == "50014"
    assert code(venue, f"trade/order?instId=BTC-USDT&ordId={first}") == "51603"


def test_a_cancel_without_a_fill_is_forgotten_after_two_hours_and_a_fill_is_not():
    venue = Venue()
    venue.place(clOrdId="gone")
    venue.post("trade/cancel-order", {"instId": "BTC-USDT-SWAP", "clOrdId": "gone"})
    venue.place(clOrdId="kept", ordType="market")
    path = "trade/order?instId=BTC-USDT-SWAP&clOrdId="
    venue.now += 2 * HOUR - SECOND
    assert venue.get(f"{path}gone")[0]["state"] == "canceled"
    venue.now += 2 * SECOND
    assert code(venue, f"{path}gone") == "51603"
    assert venue.get(f"{path}kept")[0]["state"] == "filled"
    assert [x["clOrdId"] for x in venue.get("trade/orders-history?instType=SWAP")] == ["kept"]


def test_pending_orders_come_in_pages_newest_first():
    venue = Venue()
    ids = [venue.place(px=str(50000 + i))["ordId"] for i in range(5)]
    venue.place(**SPOT, px="50000", sz="0.1", ordType="post_only")
    pending = venue.get("trade/orders-pending?instType=SWAP")
    assert [x["ordId"] for x in pending] == ids[::-1]
    page = venue.get(f"trade/orders-pending?instType=SWAP&after={ids[3]}&limit=2")
    assert [x["ordId"] for x in page] == [ids[2], ids[1]]
    assert len(venue.get("trade/orders-pending")) == 6
    assert len(venue.get("trade/orders-pending?ordType=post_only,fok")) == 1
    assert venue.get("trade/orders-pending?instId=BTC-USDT&state=partially_filled") == []


@pytest.mark.parametrize("path", ["orders-history", "orders-history-archive"])
def test_history_wants_a_type_and_leaves_out_what_is_open(path):
    venue = Venue()
    venue.place(clOrdId="open")
    venue.place(clOrdId="done", ordType="market")
    assert code(venue, f"trade/{path}") == "51000"
    (row,) = venue.get(f"trade/{path}?instType=SWAP")
    assert (row["clOrdId"], row["state"], row["fillSz"], row["avgPx"]) == ("done", "filled", "1", "60000.1")
    assert venue.get(f"trade/{path}?instType=SPOT") == []
    assert venue.get(f"trade/{path}?instType=SWAP&end=5") == []


def test_an_unfilled_order_has_no_average_price_in_rest():
    venue = Venue()
    number = venue.place()["ordId"]
    (row,) = venue.get(f"trade/order?instId=BTC-USDT-SWAP&ordId={number}")
    assert (row["avgPx"], row["accFillSz"], row["tradeId"], row["fillPx"]) == ("", "0", "", "")


def test_fills_have_fees_signs_and_pages():
    venue = Venue()
    number = venue.place(ordType="market", sz="3")["ordId"]
    venue.place(**SPOT, px="60000.1", sz="0.000001", ordType="ioc")
    rows = venue.get(f"trade/fills?ordId={number}")
    assert [x["fillPx"] for x in rows] == ["60000.2", "60000.1"]
    assert all(x["fee"].startswith("-") and x["execType"] == "T" for x in rows)
    assert len(venue.get("trade/fills")) == 3
    assert len(venue.get("trade/fills-history?instType=SPOT")) == 1
    newest = venue.get("trade/fills?limit=1")[0]
    assert len(venue.get(f"trade/fills?after={newest['billId']}")) == 2
    begin = venue.now // MS
    assert len(venue.get(f"trade/fills?begin={begin}")) == 3
    assert venue.get(f"trade/fills?begin={begin + 1}") == []
    assert code(venue, "trade/fills?begin=x") == "51000"


def test_a_position_is_closed_at_market_and_pending_orders_stand_in_the_way():
    venue = Venue()
    body = {"instId": "BTC-USDT-SWAP", "mgnMode": "cross"}
    assert venue.post("trade/close-position", body)["code"] == "51023"
    venue.place(ordType="market")
    venue.place(side="sell", px="61000")
    assert venue.post("trade/close-position", body)["code"] == "51115"
    row = venue.post("trade/close-position", body | {"autoCxl": True, "clOrdId": "c1"})["data"][0]
    assert row == {"clOrdId": "c1", "instId": "BTC-USDT-SWAP", "posSide": "net", "tag": ""}
    assert venue.get("account/positions") == venue.get("trade/orders-pending") == []
    for change, want in (({"mgnMode": ""}, "51000"), ({"posSide": "long"}, "51000"), (SPOT, "51015")):
        assert venue.post("trade/close-position", body | change)["code"] == want


def test_a_timer_cancels_everything_one_by_one_and_can_be_put_off():
    venue = Venue()
    connection = venue.private()
    venue.order(connection, **SWAP, px="50000", clOrdId="a")
    venue.order(connection, clOrdId="b", tag="t1")
    (row,) = venue.post("trade/cancel-all-after", {"timeOut": "10"})["data"]
    assert int(row["triggerTime"]) - int(row["ts"]) == 10
    venue.wait(connection, 9 * SECOND, SECOND)
    venue.post("trade/cancel-all-after", {"timeOut": "10"})
    assert rows_of(venue.wait(connection, 9 * SECOND, SECOND), "orders") == []
    rows = rows_of(venue.wait(connection, 2 * SECOND, 10 * MS), "orders")
    assert [(x["clOrdId"], x["cancelSource"]) for x in rows] == [("a", "20"), ("b", "20")]


def test_a_timer_of_a_tag_is_for_orders_of_that_tag_and_zero_stops_it():
    venue = Venue()
    venue.place(clOrdId="a", tag="t1")
    venue.place(clOrdId="b")
    venue.post("trade/cancel-all-after", {"timeOut": "10", "tag": "t1"})
    venue.now += 11 * SECOND
    venue.fake.tick(venue.now)
    venue.fake.tick(venue.now + SECOND)
    assert [x.client_id for x in venue.fake.open_orders()] == ["b"]
    venue.post("trade/cancel-all-after", {"timeOut": "10"})
    assert venue.post("trade/cancel-all-after", {"timeOut": "0"})["data"][0]["triggerTime"] == "0"
    venue.now += 11 * SECOND
    venue.fake.tick(venue.now)
    assert len(venue.fake.open_orders()) == 1
    for body in ({}, {"timeOut": "5"}, {"timeOut": "121"}, {"timeOut": "10", "tag": "a b"}):
        assert venue.post("trade/cancel-all-after", body)["code"] == "51000"


def test_a_timer_that_fires_by_itself():
    venue = Venue()
    venue.place(clOrdId="a")
    venue.strike("dms.fire")
    venue.fake.tick(venue.now + SECOND)
    assert venue.fake.open_orders() == []


def test_what_is_not_for_this_account_says_so():
    venue = Venue()
    order = {"instId": "BTC-USDT-SWAP", "tdMode": "cross", "side": "buy", "ordType": "market", "sz": "1"}
    assert venue.post("trade/order-precheck", order)["code"] == "51010"
    assert venue.post("trade/mass-cancel", {"instType": "SWAP", "instFamily": "BTC-USDT"})["code"] == "51000"
    assert venue.post("trade/mass-cancel", {"instType": "OPTION", "instFamily": "X"})["data"] == [
        {"result": True}
    ]
    assert venue.get("trade/account-rate-limit")[0]["accRateLimit"] == "1000"


def test_a_deadline_in_the_header_is_kept():
    venue = Venue()
    order = {"instId": "BTC-USDT-SWAP", "tdMode": "cross", "side": "buy", "ordType": "market", "sz": "1"}
    for after_ms, want in ((-1, "50037"), (1000, "0")):
        headers = {"expTime": str(venue.now // MS + after_ms)}
        assert venue.ask("POST", "trade/order", order, headers)[1]["code"] == want
    assert venue.fake.counts["orders"] == 1


def test_a_query_may_be_behind_or_blind():
    faults = Faults(1)
    faults.add("rest.not_found_for", ms=1000, path="trade/order")
    venue = Venue(faults=faults)
    venue.place(clOrdId="m1")
    path = "trade/order?instId=BTC-USDT-SWAP&clOrdId=m1"
    assert code(venue, path) == "51603"
    venue.now += 2 * SECOND
    assert venue.get(path)[0]["state"] == "live"
    faults.clear()
    venue.fake.faults.add("rest.stale_by", ms=1500, now_ns=venue.now)
    venue.place(side="sell", ordType="market", sz="0.01")
    venue.post("trade/cancel-order", {"instId": "BTC-USDT-SWAP", "clOrdId": "m1"})
    assert venue.get(path)[0]["state"] == "live", "as it was"


def test_a_batch_by_rest_is_summed_up_and_has_at_most_twenty_elements():
    venue = Venue()
    order = {
        "instId": "BTC-USDT-SWAP",
        "tdMode": "cross",
        "side": "buy",
        "ordType": "limit",
        "px": "50000",
        "sz": "1",
    }
    answer = venue.post("trade/batch-orders", [order | {"clOrdId": "a"}, order | {"sz": "0"}])
    assert (answer["code"], [x["sCode"] for x in answer["data"]]) == ("2", ["0", "51020"])
    answer = venue.post(
        "trade/amend-batch-orders", [{"instId": "BTC-USDT-SWAP", "clOrdId": "a", "newSz": "2"}]
    )
    assert answer["code"] == "0"
    answer = venue.post(
        "trade/cancel-batch-orders", [{"instId": "BTC-USDT-SWAP", "clOrdId": x} for x in "ab"]
    )
    assert [x["sCode"] for x in answer["data"]] == ["0", "51400"]
    assert venue.post("trade/batch-orders", [order] * 21)["code"] == "51111"
    assert venue.post("trade/batch-orders", order)["code"] == "50002"
    assert venue.post("trade/order", [order])["code"] == "50002"
    assert venue.post("trade/order", order | {"sz": "0"})["code"] == "1"

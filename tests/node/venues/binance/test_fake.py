"""The simulated Binance as a whole: user events of every transition, listen keys, faults, the judge."""

import json
from decimal import Decimal

import pytest
from binance_venue import (
    MARKETS,
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
from node.venues.fakes import BUY, MS, SELL


def reports(fake):
    """Order events that wait to be written."""
    return [x for x in events(fake) if x["e"] in ("executionReport", "ORDER_TRADE_UPDATE")]


def test_a_crossing_post_only_order_may_expire_instead():
    fake = venue(post_only_expires=True)
    line, _ = user_line(fake, BINANCE_USDM)
    params = order(BINANCE_USDM, timeInForce="GTX", price="60000.1")
    fake.receive(line, json.dumps({"id": "a", "method": "order.place", "params": params}), NOW)
    told = [json.loads(x) for _, x in fake.take()]
    assert [x["o"]["X"] for x in told if "o" in x] == ["NEW", "EXPIRED"]
    assert told[0]["status"] == 200


def test_the_private_stream_honours_its_allow_list_and_its_key():
    fake = venue()
    line, _ = user_line(fake, BINANCE_USDM)
    key = next(iter(fake.listen_keys))
    only = fake.open(f"/private/stream?listenKey={key}&events=TRADE_LITE", NOW)
    deaf = fake.open("/private/ws?listenKey=nosuch", NOW)
    params = order(BINANCE_USDM, price="60000.1")
    fake.receive(line, json.dumps({"id": "a", "method": "order.place", "params": params}), NOW)
    frames = fake.take()
    assert [json.loads(x)["data"]["e"] for c, x in frames if c is only] == ["TRADE_LITE"]
    assert not [x for c, x in frames if c is deaf]
    fake.tick(NOW + 3600 * SECOND)
    assert "listenKeyExpired" in "".join(x for _, x in fake.take())
    assert fake.listen_keys == {}


def test_listen_keys_over_rest():
    fake = venue()
    client = Rest(fake)
    _, body = client.post("/fapi/v1/listenKey", sign_it=False)
    assert body["listenKey"] in fake.listen_keys
    assert client.post("/fapi/v1/listenKey", sign_it=False)[1] == body
    assert client.put("/fapi/v1/listenKey", sign_it=False)[0] == 200
    assert client.delete("/fapi/v1/listenKey", sign_it=False) == (200, {})
    assert client.put("/fapi/v1/listenKey", sign_it=False)[1]["code"] == -1125


@pytest.mark.parametrize("path", ["/private/stream", "/fstream/ws", "/private/ws"])
def test_a_listen_key_may_be_subscribed_like_a_stream(path):
    fake = venue()
    user_line(fake, BINANCE_USDM)
    key = next(iter(fake.listen_keys))
    line = fake.open(path, NOW)
    assert ask(fake, line, method="SUBSCRIBE", params=[key], id=1) == [{"result": None, "id": 1}]
    Rest(fake).place(BINANCE_USDM)
    assert [c for c, _ in fake.take() if c is line]


def test_spot_listen_keys_are_gone_unless_the_venue_is_told_to_keep_them():
    client = Rest(venue())
    assert client.post("/api/v3/userDataStream", sign_it=False)[0] == 410
    fake = venue(spot_listen_keys=True)
    client = Rest(fake)
    key = client.post("/api/v3/userDataStream", sign_it=False)[1]["listenKey"]
    line = fake.open(f"/ws/{key}", NOW)
    client.place(BINANCE_SPOT)
    assert json.loads(next(x for c, x in fake.take() if c is line))["e"] == "executionReport"


def test_a_shutdown_is_announced_in_three_shapes_and_a_day_is_the_end():
    fake = venue()
    for path, shape in (("/ws", "e"), ("/stream", "stream"), ("/ws-api/v3", "event")):
        line = fake.open(path, NOW)
        fake.shutdown(line, NOW)
        ((_, text),) = fake.take()
        assert next(iter(json.loads(text))) == shape
        assert line.closing
    line = fake.open("/ws", NOW)
    fake.tick(NOW + 24 * 3600 * SECOND)
    assert line.closing


# ---- user events ----


def test_spot_events_of_a_fill_carry_the_fee_and_the_balances():
    fake = venue()
    user_line(fake, BINANCE_SPOT)
    Rest(fake).place(BINANCE_SPOT, price="6000.01")
    told = events(fake)
    assert [x["e"] for x in told] == [
        "executionReport",
        "outboundAccountPosition",
        "executionReport",
        "outboundAccountPosition",
    ]
    new, trade = (x for x in told if x["e"] == "executionReport")
    assert (new["x"], new["t"], new["N"]) == ("NEW", -1, None)
    assert (trade["x"], trade["X"], trade["n"], trade["N"]) == ("TRADE", "FILLED", "0.00001000", "BTC")
    balances = {x["a"]: Decimal(x["f"]) for x in told[-1]["B"]}
    assert balances["BTC"] == Decimal("10000.00999")
    assert balances["USDT"] == Decimal(10_000_000) - Decimal("60.0001")


def test_an_open_spot_order_locks_what_it_may_cost():
    fake = venue()
    user_line(fake, BINANCE_SPOT)
    client = Rest(fake)
    number = client.place(BINANCE_SPOT)[1]["orderId"]
    (held,) = [x for x in events(fake) if x["e"] == "outboundAccountPosition"]
    assert held["B"] == [{"a": "USDT", "f": "9999940.10000000", "l": "59.90000000"}]
    client.delete("/api/v3/order", symbol="BTCUSDT", orderId=number)
    told = events(fake)
    assert (told[0]["x"], told[0]["C"] != "", told[0]["c"] != told[0]["C"]) == ("CANCELED", True, True)
    assert told[1]["B"][0]["l"] == "0.00000000"


def test_usdm_events_of_a_fill_come_lite_first_and_account_last():
    fake = venue()
    user_line(fake, BINANCE_USDM)
    Rest(fake).place(BINANCE_USDM, price="60000.1")
    told = events(fake)
    assert [x["e"] for x in told] == [
        "ORDER_TRADE_UPDATE",
        "TRADE_LITE",
        "ORDER_TRADE_UPDATE",
        "ACCOUNT_UPDATE",
    ]
    assert "n" not in told[0]["o"]
    assert (told[2]["o"]["n"], told[2]["o"]["N"], told[2]["o"]["t"]) == ("0.3000005", "USDT", told[1]["t"])
    assert told[3]["a"]["m"] == "ORDER"
    assert told[3]["a"]["P"][0] | {"up": ""} == {
        "s": "BTCUSDT",
        "pa": "0.010",
        "ep": "60000.1",
        "bep": "60000.1",
        "cr": "0",
        "up": "",
        "mt": "cross",
        "iw": "0",
        "ps": "BOTH",
    }


def test_an_amend_that_trades_tells_amendment_then_trade():
    fake = venue()
    user_line(fake, BINANCE_USDM)
    client = Rest(fake)
    number = client.place(BINANCE_USDM)[1]["orderId"]
    fake.take()
    change = {"symbol": "BTCUSDT", "orderId": number, "side": "BUY", "quantity": "0.02", "price": "60000.1"}
    assert client.put("/fapi/v1/order", modifyId=7, **change)[1]["status"] == "FILLED"
    told = reports(fake)
    assert [(x["o"]["x"], x["o"]["X"]) for x in told] == [("AMENDMENT", "NEW"), ("TRADE", "FILLED")]
    assert told[0]["o"]["M"] == 7


# ---- faults ----


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("live", [True, False])
def test_an_unknown_answer_leaves_the_order_live_or_not(market, live):
    fake = venue()
    fake.faults.add("ack.error", code="-1007", live=live, op="place" if live else None) if live else (
        fake.faults.add("ack.error", code="-1007", live=False)
    )
    reply = answer(fake, api(fake, market), "order.place", **order(market))
    assert fake.faults.counts["ack.error"] == 1
    assert reply["error"]["code"] == -1007
    assert len(fake.open_orders()) == live


@pytest.mark.parametrize(
    ("name", "market", "code"),
    [
        ("tick", BINANCE_SPOT, -1013),
        ("min_notional", BINANCE_SPOT, -1013),
        ("max_orders", BINANCE_SPOT, -1013),
        ("funds", BINANCE_SPOT, -2010),
        ("tick", BINANCE_USDM, -4014),
        ("min_notional", BINANCE_USDM, -4164),
        ("max_orders", BINANCE_USDM, -2025),
        ("funds", BINANCE_USDM, -2019),
        ("leverage", BINANCE_USDM, -2027),
    ],
)
def test_a_refusal_by_fault_has_the_venues_code(name, market, code):
    fake = venue()
    fake.faults.add("order.reject", filter=name)
    status, body = Rest(fake).place(market)
    assert (status, body["code"], fake.faults.counts["order.reject"]) == (400, code, 1)


@pytest.mark.parametrize("status", [403, 503])
@pytest.mark.parametrize("live", [True, False])
def test_rest_answers_may_be_spoiled(status, live):
    fake = venue()
    text = '{"code":-1001,"msg":"Unknown error, please check your request or try again later."}'
    fake.faults.add("rest.status", status=status, body=text, live=live)
    got, _ = Rest(fake).place(BINANCE_USDM)
    assert (got, len(fake.open_orders()), fake.faults.counts["rest.status"]) == (status, live, 1)


def test_a_fresh_order_may_be_invisible_to_queries():
    fake = venue()
    client = Rest(fake)
    number = client.place(BINANCE_USDM)[1]["orderId"]
    fake.faults.add("rest.not_found_for", ms=2000)
    ids = {"symbol": "BTCUSDT", "orderId": number}
    assert client.get("/fapi/v1/order", **ids)[1]["code"] == -2013
    assert client.get("/fapi/v1/openOrders", symbol="BTCUSDT")[1] == []
    client.now_ns += 3 * SECOND
    assert client.get("/fapi/v1/order", **ids)[1]["status"] == "NEW"


def test_a_query_may_show_the_past():
    fake = venue()
    client = Rest(fake)
    number = client.place(BINANCE_SPOT)[1]["orderId"]
    client.now_ns += SECOND
    client.delete("/api/v3/order", symbol="BTCUSDT", orderId=number)
    fake.faults.add("rest.stale_by", ms=500, count=1)
    client.now_ns += 100 * MS
    assert client.get("/api/v3/order", symbol="BTCUSDT", orderId=number)[1]["status"] == "NEW"
    assert client.get("/api/v3/order", symbol="BTCUSDT", orderId=number)[1]["status"] == "CANCELED"


def test_a_liquidation_is_an_order_of_the_venue():
    fake = venue()
    user_line(fake, BINANCE_USDM)
    Rest(fake).place(BINANCE_USDM, price="60000.1")
    fake.take()
    fake.strike(fake.faults.add("acct.liquidation", market=BINANCE_USDM), NOW)
    told = reports(fake)
    assert all(x["o"]["c"].startswith("autoclose-") for x in told)
    assert [x["o"]["x"] for x in told] == ["NEW", "CALCULATED"]
    assert Rest(fake).get("/fapi/v3/positionRisk")[1] == []
    assert len(Rest(fake).get("/fapi/v1/forceOrders")[1]) == 1


def test_funding_is_a_balance_and_no_trade():
    fake = venue()
    user_line(fake, BINANCE_USDM)
    client = Rest(fake)
    client.place(BINANCE_USDM, price="60000.1")
    fake.take()
    fake.strike(fake.faults.add("acct.funding", rate="0.0001"), NOW)
    (told,) = events(fake)
    assert (told["a"]["m"], told["a"]["P"]) == ("FUNDING_FEE", [])
    (row,) = client.get("/fapi/v1/income", incomeType="FUNDING_FEE")[1]
    assert Decimal(row["income"]) == -Decimal("0.0600000")


def test_a_deposit_is_a_delta_and_a_total():
    fake = venue()
    user_line(fake, BINANCE_SPOT)
    fake.strike(fake.faults.add("acct.deposit", coin="USDT", amount="100"), NOW)
    delta, total = events(fake)
    assert (delta["e"], delta["d"]) == ("balanceUpdate", "100.00000000")
    assert total["B"] == [{"a": "USDT", "f": "10000100.00000000", "l": "0.00000000"}]


def test_a_deposit_to_the_futures_purse_is_an_account_update():
    fake = venue()
    user_line(fake, BINANCE_USDM)
    fake.strike(fake.faults.add("acct.deposit", coin="USDT", amount="100", wallet="usdm"), NOW)
    (told,) = events(fake)
    assert (told["a"]["m"], told["a"]["P"]) == ("DEPOSIT", [])
    assert told["a"]["B"] == [
        {"a": "USDT", "wb": "10000100.00000000", "cw": "10000100.00000000", "bc": "100"}
    ]
    (row,) = Rest(fake).get("/fapi/v1/income")[1]
    assert (row["incomeType"], row["income"]) == ("TRANSFER", "100.00000000")


def test_a_change_of_leverage_outside_is_told():
    fake = venue()
    user_line(fake, BINANCE_USDM)
    fake.strike(fake.faults.add("acct.leverage", leverage=3), NOW)
    assert [x["ac"] for x in events(fake) if x["e"] == "ACCOUNT_CONFIG_UPDATE"] == [{"s": "BTCUSDT", "l": 3}]


def test_a_stop_that_nobody_asked_for_lives_where_cancel_all_does_not_look():
    fake = venue()
    client = Rest(fake)
    fake.faults.add("order.algo", count=1)
    client.place(BINANCE_USDM)
    assert client.delete("/fapi/v1/allOpenOrders", symbol="BTCUSDT")[0] == 200
    assert client.get("/fapi/v1/openOrders", symbol="BTCUSDT")[1] == []
    assert len(client.get("/fapi/v1/openAlgoOrders", symbol="BTCUSDT")[1]) == 1


def test_an_order_may_be_accepted_and_never_reported():
    fake = venue()
    line, _ = user_line(fake, BINANCE_SPOT)
    fake.faults.add("order.accept_silent")
    params = order(BINANCE_SPOT)
    fake.receive(line, json.dumps({"id": "a", "method": "order.place", "params": params}), NOW)
    assert reports(fake) == []
    assert len(fake.open_orders()) == 1


def test_a_client_id_may_change_under_an_amend():
    fake = venue()
    line, _ = user_line(fake, BINANCE_SPOT)
    answer(fake, line, "order.place", **order(BINANCE_SPOT, newClientOrderId="mine"))
    fake.faults.add("order.amend_id_change")
    common = {"symbol": "BTCUSDT", "origClientOrderId": "mine", "newClientOrderId": "mine"}
    reply = answer(fake, line, "order.amend.keepPriority", newQty="0.005", **common)
    assert reply["result"]["amendedOrder"]["clientOrderId"] != "mine"
    assert fake.faults.counts["order.amend_id_change"] == 1


# ---- the judge ----


def test_two_accounts_trade_with_each_other_and_the_books_agree():
    fake = venue(accounts=two_accounts())
    for market in MARKETS:
        listing = fake.listings[market, "BTCUSDT"]
        for i in range(30):
            listing.engine.set_level(BUY, 600000 - i, 0)
            listing.engine.set_level(SELL, 600001 + i, 0)
        one, two = Rest(fake), Rest(fake, "second", "second")
        price = "6000.00" if market == BINANCE_SPOT else "60000.0"
        assert one.place(market, price=price)[0] == 200
        status, body = two.place(market, price=price, side="SELL", newOrderRespType="RESULT")
        assert (status, body["status"]) == (200, "FILLED")
    maker, taker = (fake.truth(x) for x in (1, 2))
    assert set(maker["fills"]) == set(taker["fills"])
    assert [x["is_maker"] for x in maker["fills"].values()] == [True, True]
    name = f"{BINANCE_USDM}:BTCUSDT:net"
    assert maker["positions"][name]["lots"] == -taker["positions"][name]["lots"] == 10

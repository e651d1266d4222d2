"""Weights, order counts, bans and access."""

import pytest
from binance_venue import NOW, SECOND, Rest, answer, api, order, venue

from node.venues.binance.fake_gate import WEIGHT_LIMIT
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM
from node.venues.fakes import MS, Refused


def test_headers_tell_weight_and_order_counts():
    client = Rest(venue())
    client.get("/api/v3/account")
    assert client.headers["X-MBX-USED-WEIGHT-1M"] == "20"
    client.place(BINANCE_SPOT)
    assert client.headers["X-MBX-ORDER-COUNT-10S"] == "1"
    assert client.headers["X-MBX-ORDER-COUNT-1D"] == "1"
    client.place(BINANCE_USDM)
    assert client.headers["X-MBX-ORDER-COUNT-1M"] == "1"


def test_spot_orders_weigh_nothing_where_they_succeed():
    client = Rest(venue())
    client.place(BINANCE_SPOT)
    assert client.headers["X-MBX-USED-WEIGHT-1M"] == "0"
    client.place(BINANCE_SPOT, price="0.001")
    assert client.headers["X-MBX-USED-WEIGHT-1M"] == "1"


def test_weight_is_shared_by_transports_and_counted_by_address_and_minute():
    fake = venue()
    client = Rest(fake)
    answer(fake, api(fake, BINANCE_SPOT), "account.status")
    client.get("/api/v3/account")
    assert client.headers["X-MBX-USED-WEIGHT-1M"] == "42"  # 2 of them for connecting
    client.call("GET", "/api/v3/account", ip="10.0.0.9")
    assert client.headers["X-MBX-USED-WEIGHT-1M"] == "20"
    client.now_ns = (NOW // (60 * SECOND) + 1) * 60 * SECOND
    client.get("/api/v3/account")
    assert client.headers["X-MBX-USED-WEIGHT-1M"] == "20"


def test_too_much_weight_is_429_and_then_a_ban():
    fake = venue()
    client = Rest(fake)
    codes = []
    for _ in range(WEIGHT_LIMIT[BINANCE_SPOT] // 250 + 40):
        status, body = client.get("/api/v3/depth", symbol="BTCUSDT", limit=5000, sign_it=False)
        codes.append(status)
    assert codes[:24] == [200] * 24
    assert codes[24] == 429
    assert codes[-1] == 418
    assert body["code"] == -1003
    assert "banned until" in body["msg"]
    assert int(client.headers["Retry-After"]) > 60
    assert client.place(BINANCE_SPOT)[0] == 418


@pytest.mark.parametrize("market", [BINANCE_SPOT, BINANCE_USDM])
def test_the_websocket_api_says_when_to_come_back(market):
    fake = venue()
    line = api(fake, market)
    fake.faults.add(
        "ratelimit", retry_after_ms=1500, limiter="spot.weight" if market == BINANCE_SPOT else "usdm.weight"
    )
    reply = answer(fake, line, "ping")
    assert (reply["status"], reply["error"]["code"]) == (429, -1003)
    assert reply["error"]["data"] == {"serverTime": NOW // MS, "retryAfter": NOW // MS + 1500}


def test_a_ban_by_fault_ends():
    fake = venue()
    client = Rest(fake)
    fake.faults.add("ban", ban_s=120, count=1)
    assert client.get("/api/v3/time", sign_it=False)[0] == 418
    client.now_ns += 119 * SECOND
    assert client.get("/api/v3/time", sign_it=False)[0] == 418
    client.now_ns += 2 * SECOND
    assert client.get("/api/v3/time", sign_it=False)[0] == 200


@pytest.mark.parametrize(("market", "limit"), [(BINANCE_SPOT, 100), (BINANCE_USDM, 300)])
def test_too_many_orders_are_429_and_cancels_go_on(market, limit):
    fake = venue()
    fake.listings[market, "BTCUSDT"].max_orders = 1000
    client = Rest(fake)
    numbers = [client.place(market)[1]["orderId"] for _ in range(limit)]
    status, body = client.place(market)
    assert (status, body["code"], client.headers["Retry-After"]) == (429, -1015, "10")
    path = "/api/v3/order" if market == BINANCE_SPOT else "/fapi/v1/order"
    assert client.delete(path, symbol="BTCUSDT", orderId=numbers[0])[0] == 200
    client.now_ns += 10 * SECOND
    assert client.place(market)[0] == 200


@pytest.mark.parametrize(
    ("api_key", "secret", "status", "code"),
    [
        ("", "", 401, -2014),
        ("a b", "", 401, -2014),
        ("nosuch", "x", 401, -2015),
        ("simulated", "x", 400, -1022),
    ],
)
@pytest.mark.parametrize("path", ["/api/v3/account", "/fapi/v3/account", "/sapi/v1/capital/config/getall"])
def test_wrong_credentials_have_their_codes(path, api_key, secret, status, code):
    client = Rest(venue(credentials_required=True), api_key, secret)
    got, body = client.get(path)
    assert (got, body["code"]) == (status, code)


def test_a_signed_request_needs_time_and_signature():
    client = Rest(venue(credentials_required=True))
    assert client.get("/api/v3/account", sign_it=False)[1]["code"] == -1102
    client.now_ns -= 6 * SECOND
    fake_now = client.fake
    target = "/api/v3/account"
    status, _ = client.get(target)
    assert status == 200  # the venue's clock is the client's here
    assert fake_now.now_ns >= NOW


def test_without_required_credentials_who_names_no_key_acts_for_the_first_account():
    fake = venue()
    assert Rest(fake, "nosuch", "x").get("/api/v3/account")[1]["code"] == -2015
    assert Rest(fake, "", "x").place(BINANCE_SPOT)[0] == 200
    assert Rest(fake, "simulated", "wrong").get("/api/v3/account")[1]["code"] == -1022
    assert order(BINANCE_SPOT)["symbol"] == "BTCUSDT"


def test_connections_are_limited_by_address():
    fake = venue()
    for _ in range(300):
        fake.close(fake.open("/ws", NOW))
    with pytest.raises(Refused) as no:
        fake.open("/ws", NOW)
    assert no.value.status == 429
    fake.admit("/ws", NOW, "10.0.0.9")
    fake.open("/ws", NOW + 300 * SECOND)

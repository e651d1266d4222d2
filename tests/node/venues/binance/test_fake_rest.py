"""REST paths: unknown ones, every known one, what is asked of other hosts."""

import json

import pytest
from binance_venue import NOW, Rest, order, venue

from node.venues.binance.fake_rest import ROUTES
from node.venues.binance.rules import BINANCE_SPOT


def test_unknown_paths_get_the_venues_own_404():
    client = Rest(venue())
    assert client.get("/fapi/v1/nosuch") == (
        404,
        {"code": -5000, "msg": "Path /fapi/v1/nosuch, Method GET is invalid"},
    )
    status, text = client.get("/api/v3/nosuch")
    assert (status, "404 Not found" in text) == (404, True)
    assert client.headers["Content-Type"] == "text/html"
    assert client.post("/api/v3/time")[0] == 405


@pytest.mark.parametrize(("method", "path"), list(ROUTES), ids=" ".join)
def test_no_path_falls_over(method, path):
    """Without parameters, with some, with strange ones: an answer each time, errors as the venue shapes
    them."""
    some = {
        "symbol": "BTCUSDT",
        "pair": "BTCUSDT",
        "interval": "1m",
        "period": "5m",
        "contractType": "PERPETUAL",
    }
    strange = {"symbol": "BTCUSDT", "orderId": "x", "limit": "-1", "quantity": "1e5", "side": "\u00e9"}
    client = Rest(venue())
    for params in ({}, some, strange):
        for sign_it in (True, False):
            status, body = client.call(method, path, sign_it=sign_it, **params)
            assert status in (200, 400, 401, 410), (status, body)
            assert status == 200 or set(body) >= {"code", "msg"}


def test_public_requests_have_the_documented_shapes():
    client = Rest(venue())
    for prefix in ("/api/v3", "/fapi/v1"):
        assert client.get(f"{prefix}/ping", sign_it=False) == (200, {})
        assert client.get(f"{prefix}/time", sign_it=False) == (200, {"serverTime": NOW // 10**6})


def test_coin_m_lists_nothing():
    client = Rest(venue())
    assert client.get("/dapi/v1/exchangeInfo", sign_it=False)[1]["symbols"] == []
    assert client.get("/dapi/v1/ticker/24hr", sign_it=False) == (200, [])
    assert client.get("/dapi/v1/account")[0] == 404


def test_the_query_wins_over_the_body():
    fake = venue()
    params = {k: str(v) for k, v in order(BINANCE_SPOT).items()}
    body = "&".join(f"{k}={v}" for k, v in params.items()).encode()
    got = fake.request("POST", "/api/v3/order?price=5980.00", {}, body, NOW)
    assert (got.status, json.loads(got.body)["orderId"]) == (200, 1)
    assert fake.open_orders()[0].price_ticks == 598000


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a=%ff%00&=&&&", b"x" * 100_000])
def test_strange_bodies_are_answered(body):
    answer = venue().request("POST", "/api/v3/order", {"X-MBX-APIKEY": "simulated"}, body, NOW)
    assert answer.status in (400, 401)

"""Market data over REST: shapes, exact text, limits."""

from decimal import Decimal

import pytest
from binance_venue import NOW, Rest, venue

from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM
from node.venues.fakes import BUY, MS, SELL


def traded():
    fake = venue()
    for market in (BINANCE_SPOT, BINANCE_USDM):
        listing = fake.listings[market, "BTCUSDT"]
        listing.engine.place(BUY, 600001, 10, "ioc")
        listing.engine.place(SELL, 600000, 20, "ioc")
    fake.tick(NOW + 10 * MS)
    client = Rest(fake)
    client.now_ns = NOW + 20 * MS
    return fake, client


def get(client, path, **params):
    return client.call("GET", path, sign_it=False, **params)[1]


def test_spot_writes_eight_decimals_and_usdm_its_own():
    _, client = traded()
    spot = get(client, "/api/v3/depth", symbol="BTCUSDT", limit=1)
    usdm = get(client, "/fapi/v1/depth", symbol="BTCUSDT", limit=5)
    assert spot["asks"] == [["6000.01000000", "0.00990000"]]
    assert usdm["asks"][0] == ["60000.1", "0.990"]
    assert set(usdm) == {"lastUpdateId", "E", "T", "bids", "asks"}


@pytest.mark.parametrize("prefix", ["/api/v3", "/fapi/v1"])
def test_trades_candles_and_tickers_tell_one_story(prefix):
    _, client = traded()
    rows = get(client, f"{prefix}/trades", symbol="BTCUSDT")
    assert [x["isBuyerMaker"] for x in rows] == [False, True]
    aggregates = get(client, f"{prefix}/aggTrades", symbol="BTCUSDT")
    assert [x["a"] for x in aggregates] == [x["id"] for x in rows]
    (candle,) = get(client, f"{prefix}/klines", symbol="BTCUSDT", interval="1d", limit=1)
    volume = sum(Decimal(x["qty"]) for x in rows)
    assert (Decimal(candle[5]), candle[8], len(candle)) == (volume, 2, 12)
    ticker = get(client, f"{prefix}/ticker/24hr", symbol="BTCUSDT")
    assert (Decimal(ticker["volume"]), ticker["count"]) == (volume, 2)
    assert (ticker["openPrice"], ticker["lastPrice"]) == (rows[0]["price"], rows[1]["price"])
    assert get(client, f"{prefix}/ticker/price", symbol="BTCUSDT")["price"] == rows[1]["price"]
    assert len(get(client, f"{prefix}/klines", symbol="BTCUSDT", interval="1m", limit=7)) == 7
    later = get(client, f"{prefix}/aggTrades", symbol="BTCUSDT", fromId=rows[1]["id"])
    assert [x["a"] for x in later] == [rows[1]["id"]]


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("/api/v3/klines", {"symbol": "BTCUSDT"}, -1102),
        ("/api/v3/klines", {"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ("/api/v3/depth", {}, -1102),
        ("/api/v3/depth", {"symbol": "X"}, -1121),
        ("/api/v3/depth", {"symbol": "BTCUSDT", "limit": "x"}, -1100),
        ("/api/v3/depth", {"symbol": "BTCUSDT", "limit": 0}, -1100),
        ("/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": 7}, -4021),
        ("/fapi/v1/premiumIndex", {"symbol": "X"}, -1121),
        ("/api/v3/ticker", {}, -1128),
        ("/api/v3/ticker", {"symbol": "BTCUSDT", "windowSize": "60m"}, -1100),
        ("/api/v3/referencePrice", {"symbol": "BTCUSDT"}, -2043),
        ("/api/v3/exchangeInfo", {"symbols": "x"}, -1100),
    ],
)
def test_wrong_requests_have_the_documented_codes(path, params, code):
    assert get(Rest(venue()), path, **params)["code"] == code


def test_one_symbol_is_a_row_and_all_are_a_list():
    _, client = traded()
    for path in (
        "/api/v3/ticker/24hr",
        "/api/v3/ticker/price",
        "/api/v3/ticker/bookTicker",
        "/fapi/v1/premiumIndex",
    ):
        assert isinstance(get(client, path, symbol="BTCUSDT"), dict)
        assert isinstance(get(client, path), list)
    assert isinstance(get(client, "/api/v3/ticker/price", symbols=["BTCUSDT"]), list)
    assert set(get(client, "/api/v3/ticker/24hr", symbol="BTCUSDT", type="MINI")) == {
        *("symbol", "openPrice", "highPrice", "lowPrice", "lastPrice", "volume", "quoteVolume"),
        *("openTime", "closeTime", "firstId", "lastId", "count"),
    }


def test_usdm_extras():
    _, client = traded()
    mark = get(client, "/fapi/v1/premiumIndex", symbol="BTCUSDT")
    assert mark["markPrice"] == "60000.00000000"
    assert mark["nextFundingTime"] % (8 * 3600 * 1000) == 0
    rates = get(client, "/fapi/v1/fundingRate", symbol="BTCUSDT", limit=3)
    assert [x["fundingRate"] for x in rates] == ["0.00010000"] * 3
    assert get(client, "/fapi/v1/fundingInfo") == []
    client.place(BINANCE_USDM, type="MARKET", timeInForce=None, price=None)
    assert get(client, "/fapi/v1/openInterest", symbol="BTCUSDT")["openInterest"] == "0.010"
    history = get(client, "/futures/data/openInterestHist", symbol="BTCUSDT", period="5m", limit=2)
    assert len(history) == 2
    assert get(client, "/api/v3/avgPrice", symbol="BTCUSDT")["mins"] == 5
    for kind in ("markPriceKlines", "premiumIndexKlines"):
        assert len(get(client, f"/fapi/v1/{kind}", symbol="BTCUSDT", interval="1m", limit=2)) == 2
    assert len(get(client, "/fapi/v1/indexPriceKlines", pair="BTCUSDT", interval="1m", limit=2)) == 2

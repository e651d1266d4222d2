"""Market data by REST: documented shapes, limits, pages."""

import itertools
import json

import pytest

from node.venues.fakes import BUY

DAY_MS = 86_400_000
EVERYTHING = [
    ("time", {}),
    ("instruments-info", {"category": "linear"}),
    ("instruments-info", {"category": "spot"}),
    ("instruments-info", {"category": "inverse"}),
    ("instruments-info", {"category": "option", "baseCoin": "BTC"}),
    ("orderbook", {"category": "spot", "symbol": "BTCUSDT"}),
    ("rpi_orderbook", {"category": "spot", "symbol": "BTCUSDT", "limit": 5}),
    ("full_orderbook", {"category": "spot", "symbol": "BTCUSDT"}),
    ("tickers", {"category": "linear"}),
    ("tickers", {"category": "option", "baseCoin": "BTC"}),
    ("recent-trade", {"category": "linear", "symbol": "BTCUSDT"}),
    ("kline", {"symbol": "BTCUSDT", "interval": "D"}),
    ("mark-price-kline", {"symbol": "BTCUSDT", "interval": "5"}),
    ("index-price-kline", {"symbol": "BTCUSDT", "interval": "5"}),
    ("premium-index-price-kline", {"symbol": "BTCUSDT", "interval": "5"}),
    ("funding/history", {"category": "linear", "symbol": "BTCUSDT"}),
    ("open-interest", {"category": "linear", "symbol": "BTCUSDT", "intervalTime": "1h"}),
    ("account-ratio", {"category": "linear", "symbol": "BTCUSDT", "period": "1h"}),
    ("risk-limit", {"category": "linear"}),
    ("price-limit", {"symbol": "BTCUSDT"}),
    ("insurance", {}),
    ("adlAlert", {}),
    ("delivery-price", {"category": "linear"}),
    ("historical-volatility", {"category": "option"}),
    ("index-price-components", {"indexName": "BTCUSDT"}),
]


def public(venue, path, code=0, **query):
    text = "&".join(f"{name}={value}" for name, value in query.items())
    answer = venue.fake.request("GET", f"/v5/{path}?{text}", {}, b"", venue.now)
    body = json.loads(answer.body)
    assert (answer.status, body["retCode"]) == (200, code), body
    return body["result"]


@pytest.mark.parametrize(("path", "query"), EVERYTHING)
def test_every_endpoint_answers_without_a_key(venue, path, query):
    assert public(venue, f"market/{path}", **query)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("tickers", {"category": "linear", "symbol": "NOPE"}),
        ("tickers", {}),
        ("orderbook", {"category": "linear", "symbol": "BTCUSDT", "limit": 1001}),
        ("kline", {"symbol": "BTCUSDT", "interval": "7"}),
        ("kline", {"symbol": "BTCUSDT", "interval": "1", "start": "soon"}),
        ("funding/history", {"category": "linear", "symbol": "BTCUSDT", "startTime": 1}),
        ("funding/history", {"category": "spot", "symbol": "BTCUSDT"}),
        ("open-interest", {"category": "linear", "symbol": "BTCUSDT", "intervalTime": "7h"}),
        ("recent-trade", {"category": "spot", "symbol": "BTCUSDT", "limit": 61}),
    ],
)
def test_a_wrong_question_is_a_parameter_error(venue, path, query):
    public(venue, f"market/{path}", 10001, **query)


def test_instruments_are_listed_while_they_trade(venue):
    venue.eth.status = "halt"
    rows = public(venue, "market/instruments-info", category="linear")["list"]
    assert [x["symbol"] for x in rows] == ["BTCUSDT"]
    (row,) = public(venue, "market/instruments-info", category="linear", symbol="ETHUSDT")["list"]
    assert row["status"] == "Closed"
    venue.linear.tick_multiple = 10
    row = public(venue, "market/instruments-info", category="linear", symbol="BTCUSDT")["list"][0]
    assert row["priceFilter"]["tickSize"] == "1.00"
    venue.order(110003, price="9900.5")
    venue.order(price="9901.0")


def test_bars_follow_what_was_traded(venue):
    venue.linear.engine.trade(BUY, 100_002, 7_000)
    bar, before = public(venue, "market/kline", symbol="BTCUSDT", interval="1", limit=2)["list"]
    assert (bar[5], bar[4]) == ("7", "10000.20")
    assert bar[1] == before[4]
    assert int(bar[0]) - int(before[0]) == 60_000
    start = int(bar[0]) - 10 * 60_000
    page = public(venue, "market/kline", symbol="BTCUSDT", interval="1", start=start, limit=3)["list"]
    assert [int(x[0]) for x in page] == [start + 120_000, start + 60_000, start]
    (trade, *_) = public(venue, "market/recent-trade", category="linear", symbol="BTCUSDT")["list"]
    assert (trade["side"], trade["price"], trade["size"]) == ("Buy", "10000.20", "2.000")


def test_records_of_an_interval_come_in_pages(venue):
    query = {"category": "linear", "symbol": "BTCUSDT", "intervalTime": "1h", "limit": 3}
    first = public(venue, "market/open-interest", **query)
    second = public(venue, "market/open-interest", **query, cursor=first["nextPageCursor"])
    times = [int(x["timestamp"]) for x in first["list"] + second["list"]]
    assert times == [times[0] - i * 3_600_000 for i in range(6)]


def test_risk_tiers_deduct_so_that_margin_has_no_jumps(venue):
    rows = public(venue, "market/risk-limit", category="linear", symbol="BTCUSDT")["list"]
    for low, high in itertools.pairwise(rows):
        value = float(low["riskLimitValue"])
        margins = [value * float(x["maintenanceMargin"]) - float(x["mmDeduction"] or 0) for x in (low, high)]
        assert margins[0] == pytest.approx(margins[1])


def test_funding_rates_are_those_of_the_listing(venue):
    venue.linear.funding_rate = -venue.linear.funding_rate
    rows = public(venue, "market/funding/history", category="linear", symbol="BTCUSDT", limit=2)["list"]
    assert [x["fundingRate"] for x in rows] == ["-0.0001"] * 2
    ticker = public(venue, "market/tickers", category="linear", symbol="BTCUSDT")["list"][0]
    assert (ticker["fundingRate"], ticker["bid1Price"]) == ("-0.0001", "9999.90")

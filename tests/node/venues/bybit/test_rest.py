import json

import pytest
from frames import rows

from ext.instruments import Instruments
from node.venues.bybit import rest, rules
from node.venues.values import InstrumentRow, Request

LINEAR_ROW = {
    "symbol": "BTCUSDT",
    "contractType": "LinearPerpetual",
    "status": "Trading",
    "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
    "lotSizeFilter": {
        "maxOrderQty": "1190.000",
        "minOrderQty": "0.001",
        "qtyStep": "0.001",
        "maxMktOrderQty": "500.000",
        "minNotionalValue": "5",
    },
}
SPOT_ROW = {
    "symbol": "BTCUSDT",
    "status": "Trading",
    "lotSizeFilter": {
        "basePrecision": "0.000001",
        "quotePrecision": "0.0000001",
        "minOrderQty": "0.000011",
        "maxOrderQty": "83",
        "minOrderAmt": "5",
        "maxLimitOrderQty": "83",
        "maxMarketOrderQty": "41.5",
    },
    "priceFilter": {"tickSize": "0.1"},
}


def reply(*instruments, **result) -> bytes:
    return json.dumps({"retCode": 0, "retMsg": "OK", "result": {"list": instruments, **result}}).encode()


def changed(row: dict, path: str, value) -> dict:
    """A copy of a row with one member changed, or left out where the value is None."""
    out = json.loads(json.dumps(row))
    *groups, name = path.split(".")
    inner = out
    for group in groups:
        inner = inner[group]
    inner[name] = value
    if value is None:
        del inner[name]
    return out


def test_requests_name_market_page_and_symbol():
    assert rest.server_time() == Request("GET", "/v5/market/time")
    target = "/v5/market/instruments-info?category=linear&limit=1000"
    assert rest.instruments_info(rules.LINEAR).target == target
    assert rest.instruments_info(rules.LINEAR, "first%3D0GUSDT%26last%3DX").target == (
        target + "&cursor=first%3D0GUSDT%26last%3DX"
    )
    assert rest.instruments_info(rules.SPOT).target == "/v5/market/instruments-info?category=spot"
    assert rest.orderbook(rules.SPOT, "BTC&USDT", 50).target == (
        "/v5/market/orderbook?category=spot&symbol=BTC%26USDT&limit=50"
    )


@pytest.mark.parametrize("cursor", ["a b", "a\r\nHost: x", "a&category=spot", "a#b"])
def test_a_cursor_that_is_not_encoded_is_not_sent(cursor):
    with pytest.raises(ValueError, match="cursor"):
        rest.instruments_info(rules.LINEAR, cursor)


def test_an_instrument_keeps_the_venues_own_text():
    assert rest.instruments(reply(LINEAR_ROW)) == [
        InstrumentRow(
            rules.LINEAR,
            "BTCUSDT",
            "0.10",
            "0.001",
            is_perpetual=True,
            min_price="0.10",
            max_price="1999999.80",
            min_size="0.001",
            max_size="1190.000",
            min_notional="5",
        )
    ]
    assert rest.instruments(reply(SPOT_ROW)) == [
        InstrumentRow(rules.SPOT, "BTCUSDT", "0.1", "0.000001", max_size="83", min_notional="5")
    ]


@pytest.mark.parametrize(
    ("row", "tradable"),
    [
        (changed(LINEAR_ROW, "status", "PreLaunch"), False),
        (changed(LINEAR_ROW, "status", "Closed"), False),
        (changed(LINEAR_ROW, "contractType", "LinearFutures"), False),
        (changed(LINEAR_ROW, "contractType", "InversePerpetual"), False),
        (changed(LINEAR_ROW, "isPreListing", True), False),
        (changed(LINEAR_ROW, "isPreListing", False), True),
        (changed(SPOT_ROW, "status", "Delivering"), False),
    ],
)
def test_only_open_spot_pairs_and_linear_perpetuals_are_tradable(row, tradable):
    assert rest.instruments(reply(row))[0].tradable is tradable


@pytest.mark.parametrize("value", ["1e-3", "-0.1", "0", "0.0", "", "abc", 0.1, "1" * 41, "01", "٠.١", None])
@pytest.mark.parametrize("field", ["priceFilter.tickSize", "lotSizeFilter.qtyStep"])
def test_a_bad_step_is_refused_with_its_name(field, value):
    with pytest.raises(ValueError, match=f"BTCUSDT: {field}"):
        rest.instruments(reply(changed(LINEAR_ROW, field, value)))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not JSON"),
        (b"<html>403 Forbidden</html>", "not JSON"),
        (b"[]", "no retCode"),
        (b'{"result":{}}', "no retCode"),
        (b'{"retCode":10001,"retMsg":"Illegal category","result":{}}', "retCode 10001: Illegal category"),
        (b'{"retCode":0,"retMsg":"OK"}', "no result"),
        (b'{"retCode":0,"result":{"list":{}}}', "result.list"),
        (b'{"retCode":0,"result":{"list":[7]}}', "row is not an object"),
        (b'{"retCode":0,"result":{"list":[{}]}}', "symbol: missing"),
        (reply(changed(LINEAR_ROW, "status", None)), "BTCUSDT: status: missing"),
        (reply(changed(LINEAR_ROW, "priceFilter", None)), "BTCUSDT: priceFilter: missing"),
        (reply(changed(LINEAR_ROW, "lotSizeFilter", "x")), "BTCUSDT: lotSizeFilter: missing"),
        (
            reply(changed(LINEAR_ROW, "lotSizeFilter.minNotionalValue", "five")),
            "lotSizeFilter.minNotionalValue",
        ),
    ],
)
def test_a_bad_reply_is_refused_with_its_field(raw, why):
    with pytest.raises(ValueError, match=why):
        rest.instruments(raw)


def test_pages_are_followed_by_their_cursor():
    assert rest.next_cursor(reply(LINEAR_ROW, nextPageCursor="first%3D1")) == "first%3D1"
    assert rest.next_cursor(reply(SPOT_ROW)) == rest.next_cursor(reply(SPOT_ROW, nextPageCursor=None)) == ""
    with pytest.raises(ValueError, match="nextPageCursor"):
        rest.next_cursor(reply(nextPageCursor=5))


def test_time_and_book_are_read():
    time = b'{"retCode":0,"result":{"timeSecond":"1688639403","timeNano":"1688639403423213947"}}'
    assert rest.server_time_ns(time) == 1688639403423213947
    with pytest.raises(ValueError, match="timeNano"):
        rest.server_time_ns(b'{"retCode":0,"result":{"timeNano":"x"}}')
    book = {"s": "BTCUSDT", "b": [["27450.50", "1.5"]], "a": [], "u": 1234567, "seq": 9876543}
    raw = json.dumps({"retCode": 0, "result": book}).encode()
    assert rest.book(raw) == rest.BookReply("BTCUSDT", [("27450.50", "1.5")], [], 1234567, 9876543)
    for bad in ({"b": [["1e3", "1"]]}, {"a": 5}, {"u": "x"}, {"s": None}):
        with pytest.raises(ValueError, match="orderbook"):
            rest.book(json.dumps({"retCode": 0, "result": book | bad}).encode())


def test_the_recorded_list_of_the_venue_fills_the_instrument_table():
    line = next(rows("bybit/linear-2026-08-09-with-rest.jsonl.gz"))
    found = rest.instruments(line["raw"].encode())
    table = Instruments()
    for row in found:
        table.add(
            row.market,
            row.symbol,
            row.tick,
            row.lot,
            row.contract,
            tradable=row.tradable,
            is_perpetual=row.is_perpetual,
            min_price=row.min_price,
            max_price=row.max_price,
            min_size=row.min_size,
            max_size=row.max_size,
            min_notional=row.min_notional,
        )
    assert len(found) > 500
    btc = table.row(table.index(rules.LINEAR, "BTCUSDT"))
    assert (btc["tradable"], btc["is_perpetual"], btc["tick_mantissa"], btc["price_decimals"]) == (1, 1, 1, 1)
    assert sum(x.tradable for x in found) > 400


def test_every_instruments_reply_of_the_fixtures_is_read():
    names = []
    for line in rows("fixtures/bybit-nautilus.jsonl.gz"):
        if "http_get_instruments" in line["channel"]:
            found = rest.instruments(line["raw"].encode())
            names.append(line["channel"])
            assert found, line["channel"]
            is_traded = "spot" in line["channel"] or "linear" in line["channel"]
            assert all(x.tradable for x in found) == is_traded, line["channel"]
    assert len(names) == 8

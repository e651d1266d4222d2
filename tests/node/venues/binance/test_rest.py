"""Binance REST: requests as the venue documents them, and exchangeInfo read exactly."""

import json

import frames
import pytest

from ext.instruments import Instruments
from node.venues.binance import rest
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM
from node.venues.values import Reply, Request

TICK = {"filterType": "PRICE_FILTER", "minPrice": "0.10", "maxPrice": "1000000", "tickSize": "0.10"}
LOT = {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"}
ROW = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "contractType": "PERPETUAL",
    "pricePrecision": 2,
    "quantityPrecision": 3,
}
ROW |= {
    "filters": [
        TICK,
        LOT,
        {"filterType": "MIN_NOTIONAL", "notional": "100"},
        {"filterType": "BRAND_NEW", "x": [1]},
    ]
}
SPOT_ROW = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "baseAssetPrecision": 8,
    "quotePrecision": 8,
    "filters": [],
}


def info(*rows, **more) -> bytes:
    return json.dumps({"timezone": "UTC", "symbols": list(rows), **more}).encode()


def one(row, market=BINANCE_USDM):
    return rest.instruments(info(row), market)[0]


def test_requests_are_the_documented_ones():
    assert rest.ping(BINANCE_SPOT) == Request("GET", "/api/v3/ping")
    assert rest.time(BINANCE_USDM) == Request("GET", "/fapi/v1/time")
    assert rest.exchange_info(BINANCE_USDM, ("BTCUSDT",)).target == "/fapi/v1/exchangeInfo"
    expected = "/api/v3/exchangeInfo?symbols=%5B%22BTCUSDT%22%2C%22ETHBTC%22%5D"
    assert rest.exchange_info(BINANCE_SPOT, ("BTCUSDT", "ETHBTC")).target == expected
    assert rest.premium_index("BTCUSDT").target == "/fapi/v1/premiumIndex?symbol=BTCUSDT"
    assert rest.listen_key("PUT", "K") == Request("PUT", "/fapi/v1/listenKey", (("X-MBX-APIKEY", "K"),))
    with pytest.raises(ValueError, match="PATCH"):
        rest.listen_key("PATCH", "K")


def test_depth_limits_are_ones_the_venue_allows():
    assert rest.depth(BINANCE_SPOT, "BTCUSDT").target == "/api/v3/depth?symbol=BTCUSDT&limit=5000"
    assert rest.depth(BINANCE_SPOT, "BTCUSDT", 7).target.endswith("limit=7")
    assert rest.depth(BINANCE_USDM, "BTCUSDT").target == "/fapi/v1/depth?symbol=BTCUSDT&limit=1000"
    assert rest.depth(BINANCE_USDM, "BTCUSDT", 21).target.endswith("limit=50")
    for market, limit in ((BINANCE_SPOT, 5001), (BINANCE_USDM, 1001), (BINANCE_SPOT, -1)):
        with pytest.raises(ValueError, match="limit"):
            rest.depth(market, "BTCUSDT", limit)


def test_a_symbol_outside_ascii_is_percent_encoded():
    assert rest.depth(BINANCE_SPOT, "１２", 5).target == "/api/v3/depth?symbol=%EF%BC%91%EF%BC%92&limit=5"


def test_a_perpetual_gives_its_filters_and_unknown_filters_are_ignored():
    row = one(ROW)
    assert (row.tick, row.lot, row.min_notional, row.max_size) == ("0.10", "0.001", "100", "1000")
    assert (row.tradable, row.is_perpetual, row.market) == (True, True, BINANCE_USDM)


@pytest.mark.parametrize(
    "change",
    [
        {"contractType": "CURRENT_QUARTER"},
        {"contractType": "TRADIFI_PERPETUAL"},
        {"status": "SETTLING"},
        {"status": "CANCEL_ONLY"},
    ],
)
def test_only_trading_perpetuals_are_tradable(change):
    assert not one(ROW | change).tradable


def test_a_grid_that_misses_zero_is_not_traded():
    offset = TICK | {"minPrice": "0.15"}
    assert not one(ROW | {"filters": [offset, LOT]}).tradable


def test_spot_takes_the_larger_notional_and_asks_for_spot_permission():
    filters = [
        TICK,
        LOT,
        {"filterType": "NOTIONAL", "minNotional": "5.0"},
        {"filterType": "MIN_NOTIONAL", "minNotional": "10"},
    ]
    row = one(SPOT_ROW | {"filters": filters}, BINANCE_SPOT)
    assert (row.min_notional, row.tradable, row.is_perpetual) == ("10", True, False)
    assert not one(SPOT_ROW | {"filters": filters, "isSpotTradingAllowed": False}, BINANCE_SPOT).tradable


def test_a_disabled_tick_falls_back_to_the_precision():
    row = one(ROW | {"filters": [TICK | {"tickSize": "0.00000000"}, LOT | {"stepSize": "0"}]})
    assert (row.tick, row.lot) == ("0.01", "0.001")
    assert one(SPOT_ROW, BINANCE_SPOT).tick == "0.00000001"
    with pytest.raises(ValueError, match="BTCUSDT: tickSize is absent and quotePrecision is None"):
        one({k: v for k, v in SPOT_ROW.items() if k != "quotePrecision"}, BINANCE_SPOT)


def test_the_fine_grid_holds_everything_and_is_not_traded():
    (row,) = rest.instruments(info(ROW), fine=True)
    assert (row.tick, row.lot, row.tradable, row.min_notional) == ("0.01", "0.001", False, "100")


def test_limits_of_orders_are_read_beside_the_steps():
    filters = [
        TICK,
        LOT,
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "120", "stepSize": "0.001"},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500"},
    ]
    row = one(ROW | {"filters": filters, "baseAsset": "BTC", "quoteAsset": "USDT"})
    assert (row.base, row.quote, row.max_market_size, row.max_orders) == ("BTC", "USDT", "120", 200)
    assert (row.up_ppm, row.down_ppm, row.status) == (1_050_000, 950_000, "trading")


def test_of_two_price_bands_the_stricter_counts_rounded_to_the_inside():
    band = {"filterType": "PERCENT_PRICE_BY_SIDE", "bidMultiplierUp": "1.2", "bidMultiplierDown": "0.2"}
    band |= {"askMultiplierUp": "5.00000019", "askMultiplierDown": "0.80000011"}
    orders = {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200}
    notional = {"filterType": "NOTIONAL", "minNotional": "5", "maxNotional": "9000000"}
    row = one(SPOT_ROW | {"filters": [TICK, LOT, band, orders, notional]}, BINANCE_SPOT)
    assert (row.up_ppm, row.down_ppm, row.max_orders, row.max_notional) == (
        1_200_000,
        800_001,
        200,
        "9000000",
    )


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("TRADING", "trading"),
        ("HALT", "halt"),
        ("BREAK", "halt"),
        ("CANCEL_ONLY", "cancel_only"),
        ("SETTLING", "settling"),
        ("PRE_DELIVERING", "delisting"),
        ("BRAND_NEW", "halt"),
        (None, "halt"),
    ],
)
def test_the_status_of_a_symbol_is_in_the_words_of_all_venues(word, status):
    """failures.md row 70: a word that nobody knows is not "trading"."""
    row = one(ROW | {"status": word})
    assert (row.status, row.tradable) == (status, word == "TRADING")


@pytest.mark.parametrize("count", [-1, "200", True, None, 2**31, 1.5])
def test_a_count_that_is_none_is_refused(count):
    with pytest.raises(ValueError, match="MAX_NUM_ORDERS"):
        one(ROW | {"filters": [TICK, LOT, {"filterType": "MAX_NUM_ORDERS", "limit": count}]})


def test_a_listen_key_is_read_out_of_its_answer():
    assert rest.read_listen_key(Reply(200, {}, b'{"listenKey":"pqia91ma19a5s61cv6a81va65s"}')) == (
        "pqia91ma19a5s61cv6a81va65s"
    )
    for status, body in (
        (401, b'{"code":-2015}'),
        (200, b"{}"),
        (200, b'{"listenKey":"a&b=c"}'),
        (200, b"x"),
    ):
        with pytest.raises(ValueError, match=r"listenKey|reply"):
            rest.read_listen_key(Reply(status, {}, body))


@pytest.mark.parametrize("text", ["1e-5", "-1", "", "0x1", 0.1, None, "NaN", "9" * 40])
@pytest.mark.parametrize(
    ("number", "field"), [(0, "tickSize"), (0, "maxPrice"), (1, "stepSize"), (1, "minQty")]
)
def test_a_malformed_number_is_named(number, field, text):
    filters = [TICK, LOT]
    filters[number] = filters[number] | {field: text}
    if field in ("maxPrice", "minQty") and text == "9" * 40:
        return  # a limit may be absurdly high: the table caps it
    with pytest.raises(ValueError, match=f"BTCUSDT: {field}"):
        one(ROW | {"filters": filters})


@pytest.mark.parametrize(
    ("reply", "field"),
    [
        (b"", "reply"),
        (b"[]", "reply"),
        (b"{", "reply"),
        (b"{}", "symbols"),
        (b'{"code":-1121,"msg":"Invalid symbol."}', "Invalid"),
        (info(5), "symbol"),
        (info({"status": "TRADING"}), "symbol"),
        (info(ROW | {"symbol": 'A"B'}), "symbol"),
        (info({"symbol": "X"}), "filters"),
        (info({"symbol": "X", "filters": [5]}), "filters"),
    ],
)
def test_a_reply_that_is_no_exchange_info_is_refused(reply, field):
    with pytest.raises(ValueError, match=field):
        rest.instruments(reply, BINANCE_SPOT)


def test_the_market_of_a_reply_is_detected():
    assert rest.market_of(info(SPOT_ROW)) == BINANCE_SPOT
    assert rest.market_of(info(ROW)) == rest.market_of(info(futuresType="U_MARGINED")) == BINANCE_USDM
    with pytest.raises(ValueError, match="futuresType"):
        rest.market_of(info(futuresType="C_MARGINED"))


def test_server_time_is_read():
    assert rest.server_time_ms(b'{"serverTime":1499827319559}') == 1499827319559
    for reply in (b"{}", b'{"serverTime":"1"}', b'{"serverTime":true}', b"x"):
        with pytest.raises(ValueError, match=r"serverTime|reply"):
            rest.server_time_ms(reply)


@pytest.mark.parametrize(
    ("name", "market", "count"),
    [
        ("binance-spot/multi-2021-10-12-with-rest.jsonl.gz", BINANCE_SPOT, 1695),
        ("binance-usdm/multi-2021-07-22-with-rest.jsonl.gz", BINANCE_USDM, 122),
    ],
)
def test_real_replies_fill_the_table(name, market, count):
    reply = next(x["raw"] for x in frames.rows(name, 20) if "exchangeInfo" in x["channel"])
    for fine in (False, True):
        rows = rest.instruments(reply.encode(), fine=fine)
        assert {x.market for x in rows} == {market}
        table = Instruments()
        for row in rows:
            limits = {"max_price": row.max_price, "min_size": row.min_size, "min_notional": row.min_notional}
            table.add(row.market, row.symbol, row.tick, row.lot, **limits)
        assert table.count == count

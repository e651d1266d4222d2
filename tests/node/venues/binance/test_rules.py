"""Binance's table of facts: it agrees with the native decoder's short list, and routes are the venue's."""

import pytest

from ext.records import Outcome
from ext.venues.binance import BinanceWire, error_outcome
from node.venues.binance import rules
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM

TEXTS = ("", "Service Unavailable.", "Unknown error, please check your request or try again later.")


@pytest.mark.parametrize("market", [BINANCE_SPOT, BINANCE_USDM])
@pytest.mark.parametrize("status", [0, 200, 400, 401, 403, 408, 409, 418, 429, 500, 503, 504])
def test_the_native_short_list_agrees_with_the_table(market, status):
    for code in range(-6000, 1):
        assert error_outcome(market, status, code) == rules.outcome(market, status, code), code
    for text in TEXTS:
        assert error_outcome(market, status, 0, text) == rules.outcome(market, status, 0, text)


def test_the_same_code_means_different_things_on_the_two_products():
    for code in (-2021, -2022, -2026, -2028, -1001):
        assert rules.outcome(BINANCE_USDM, 400, code) == Outcome.REFUSED
        assert rules.outcome(BINANCE_SPOT, 400, code) == Outcome.UNCERTAIN


def test_unknown_outcomes_are_never_in_the_table_of_refusals():
    for market in (BINANCE_SPOT, BINANCE_USDM):
        assert not {-1000, -1006, -1007, -2011, -2013} & set(rules.ERRORS[market])


@pytest.mark.parametrize(
    ("stream", "route"),
    [
        ("btcusdt@bookTicker", "public"),
        ("!bookTicker", "public"),
        ("btcusdt@depth", "public"),
        ("btcusdt@depth@100ms", "public"),
        ("btcusdt@depth5@500ms", "public"),
        ("btcusdt@rpiDepth@500ms", "public"),
        ("btcusdt@aggTrade", "market"),
        ("btcusdt@markPrice@1s", "market"),
        ("!markPrice@arr@1s", "market"),
        ("btcusdt@kline_1m", "market"),
        ("btcusdt@forceOrder", "market"),
        ("!forceOrder@arr", "market"),
        ("!contractInfo", "market"),
        ("tradingSession", "market"),
    ],
)
def test_usdm_streams_have_a_route_and_spot_streams_none(stream, route):
    assert rules.stream_route(BINANCE_USDM, stream) == route
    assert rules.stream_route(BINANCE_SPOT, stream) == ""


def test_paths_names_and_weights_are_the_documented_ones():
    assert rules.stream_name("BTCUSDT", "depth@100ms") == "btcusdt@depth@100ms"
    assert rules.stream_path(BINANCE_SPOT, "", True) == "/stream"
    assert rules.stream_path(BINANCE_USDM, "market", False) == "/market/ws"
    assert [rules.depth_weight(BINANCE_SPOT, x) for x in (1, 100, 101, 500, 1000, 5000)] == [
        5,
        5,
        25,
        25,
        50,
        250,
    ]
    assert [rules.depth_weight(BINANCE_USDM, x) for x in (5, 50, 100, 500, 1000)] == [2, 2, 5, 10, 20]


def test_every_product_has_a_live_and_a_test_environment_over_tls():
    for market in (BINANCE_SPOT, BINANCE_USDM):
        for environment in ("live", "testnet"):
            hosts = rules.ENDPOINTS[market, environment]
            assert hosts.rest.startswith("https://")
            assert hosts.stream.startswith("wss://")
            assert hosts.api.startswith("wss://")


def test_the_receive_window_is_the_one_the_encoder_writes():
    from ext.instruments import Instruments

    table = Instruments()
    table.add(BINANCE_SPOT, "BTCUSDT", "0.01", "0.00001")
    frame = BinanceWire(table, BINANCE_SPOT).preview({"price_ticks": 1, "size_lots": 1}, 1, 0)
    assert f'"recvWindow":{rules.RECV_WINDOW_MS},'.encode() in frame

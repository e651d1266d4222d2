"""Binance's table of facts: each documented code says what it must; routes are the venue's."""

import pytest

from ext.instruments import Instruments
from ext.records import Action, ErrorGroup, Outcome
from ext.venues.binance import BinanceWire, error_words
from node.venues.binance import rules
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM

MARKETS = (BINANCE_SPOT, BINANCE_USDM)
ACTIONS = (Action.NEW, Action.CANCEL, Action.AMEND)
INTERNAL = "Internal error; unable to process your request. Please try again."
UNKNOWN = "Unknown error, please check your request or try again later."
REFUSED, UNCERTAIN = int(Outcome.REFUSED), int(Outcome.UNCERTAIN)


def fate(market, status, code, text="", action=Action.NEW):
    return rules.verdict(market, action, status, code, text)[0]


def group(market, code, text="", action=Action.NEW):
    return rules.verdict(market, action, 400, code, text)[1]


@pytest.mark.parametrize("market", MARKETS)
def test_the_native_table_gives_what_the_table_here_gives(market):
    wire = BinanceWire(Instruments(), market)
    assert wire.outcome(-2010) == (UNCERTAIN, ErrorGroup.GROUP_UNKNOWN)  # before it has a table
    wire.set_codes(rules.CODES[market])
    for code in range(-6000, 1):
        for action in ACTIONS:
            assert wire.outcome(code, action) == rules.verdict(market, action, 400, code), code


@pytest.mark.parametrize("market", MARKETS)
def test_no_code_is_there_twice_and_every_row_is_an_outcome_and_a_group(market):
    rows = rules.CODES[market]
    assert len({row[0] for row in rows}) == len(rows)
    for code, *fates, kind in rows:
        assert code < 0
        assert set(fates) <= {REFUSED, UNCERTAIN}
        assert ErrorGroup(kind) != ErrorGroup.GROUP_NONE


@pytest.mark.parametrize("market", MARKETS)
def test_a_code_that_is_not_listed_proves_nothing(market):
    listed = {row[0] for row in rules.CODES[market]}
    for code in set(range(-6000, 0)) - listed:
        for action in ACTIONS:
            assert fate(market, 400, code, action=action) == UNCERTAIN


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("code", [-1000, -1006, -1007])
@pytest.mark.parametrize("status", [400, 408, 500, 503, 504])
def test_an_answer_that_says_unknown_is_unknown(market, code, status):
    """failures.md row 30."""
    for action in ACTIONS:
        assert fate(market, status, code, "", action) == UNCERTAIN


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 520])
def test_on_spot_any_5xx_is_unknown(status):
    """failures.md row 31."""
    for code in (0, -1001, -1003, -1008, -1013, -1015, -2010, -2011):
        for text in ("", INTERNAL, UNKNOWN, "Service Unavailable."):
            assert fate(BINANCE_SPOT, status, code, text) == UNCERTAIN


@pytest.mark.parametrize(
    ("status", "code", "text", "expected"),
    [
        (503, 0, UNKNOWN, UNCERTAIN),
        (503, -1000, UNKNOWN, UNCERTAIN),
        (503, 0, "Service Unavailable.", REFUSED),
        (503, -1, "Service Unavailable.", REFUSED),
        (502, 0, "Service Unavailable.", UNCERTAIN),
        (503, 0, "service unavailable.", UNCERTAIN),
        (503, 0, "Service Unavailable. ", UNCERTAIN),
        (503, -1001, INTERNAL, REFUSED),
        (503, 0, INTERNAL, REFUSED),
        (500, -1001, "Internal error.", UNCERTAIN),
        (503, -1008, "Request throttled by system-level protection.", REFUSED),
        (503, -1008, "", REFUSED),
        (503, 0, "", UNCERTAIN),
        (503, 0, "<html>", UNCERTAIN),
        (503, -4131, "", UNCERTAIN),
    ],
)
def test_on_usdm_a_503_means_what_its_text_says(status, code, text, expected):
    """failures.md row 31: unknown text is unknown."""
    assert fate(BINANCE_USDM, status, code, text) == expected


@pytest.mark.parametrize("market", MARKETS)
def test_a_firewall_proves_nothing_and_a_rate_limit_is_definite(market):
    """failures.md rows 57 and 61."""
    assert fate(market, 403, 0, "<html>") == UNCERTAIN
    for status, code in ((429, -1003), (429, -1015), (418, -1003), (429, 0), (418, 0)):
        for action in ACTIONS:
            assert rules.verdict(market, action, status, code) == (REFUSED, ErrorGroup.GROUP_LIMIT)


def test_a_post_only_refusal_is_final():
    """failures.md row 45: it leaves no trace that could be found later."""
    assert rules.verdict(BINANCE_USDM, Action.NEW, 400, -5022) == (REFUSED, ErrorGroup.GROUP_POST_ONLY)
    text = "Order would immediately match and take."
    assert rules.verdict(BINANCE_SPOT, Action.NEW, 400, -2010, text) == (REFUSED, ErrorGroup.GROUP_POST_ONLY)


@pytest.mark.parametrize("code", [-4003, -4014, -4023, -4131, -4164, -4183, -2025, -1111])
def test_filters_of_usdm_are_told_as_such(code):
    """failures.md row 46."""
    assert rules.verdict(BINANCE_USDM, Action.NEW, 400, code) == (REFUSED, ErrorGroup.GROUP_FILTER)


@pytest.mark.parametrize("name", ["PRICE_FILTER", "LOT_SIZE", "NOTIONAL", "MAX_NUM_ORDERS"])
def test_filters_of_spot_are_told_as_such(name):
    """failures.md row 46."""
    assert rules.verdict(BINANCE_SPOT, Action.NEW, 400, -1013, f"Filter failure: {name}") == (
        REFUSED,
        ErrorGroup.GROUP_FILTER,
    )


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("code", [-2011, -2013])
def test_an_order_that_is_not_open_refuses_the_cancel_and_proves_nothing_of_a_new(market, code):
    """failures.md row 49."""
    for action in (Action.CANCEL, Action.AMEND):
        assert rules.verdict(market, action, 400, code) == (REFUSED, ErrorGroup.GROUP_NOT_OPEN)
    assert fate(market, 400, code) == UNCERTAIN


def test_the_same_code_means_different_things_on_the_two_products():
    """failures.md row 53: on spot -2021 and -2022 are a replace, and its legs decide."""
    for code in (-2021, -2022, -2026):
        assert fate(BINANCE_USDM, 400, code) == REFUSED
        assert fate(BINANCE_SPOT, 400, code) == UNCERTAIN
    assert group(BINANCE_USDM, -2028) == ErrorGroup.GROUP_FUNDS
    assert group(BINANCE_SPOT, -2028) == ErrorGroup.GROUP_ACCESS


def test_a_duplicate_id_is_no_proof_that_this_order_does_not_exist():
    assert rules.verdict(BINANCE_USDM, Action.NEW, 400, -4116) == (UNCERTAIN, ErrorGroup.GROUP_DUPLICATE)
    assert rules.verdict(BINANCE_SPOT, Action.NEW, 400, -2010, "Duplicate order sent.") == (
        UNCERTAIN,
        ErrorGroup.GROUP_DUPLICATE,
    )


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (-2010, "Account has insufficient balance for requested action.", "FUNDS"),
        (-2010, "Market is closed.", "MARKET"),
        (-2010, "This action is disabled on this account.", "ACCESS"),
        (-2010, "This symbol is not permitted for this account.", "MARKET"),
        (-2010, "Order would trigger immediately.", "OTHER"),
        (-2010, "Price * QTY is zero or less.", "FILTER"),
        (-2010, "some new words", "OTHER"),
        (-2011, "Unknown order sent.", "NOT_OPEN"),
        (-2011, "Order was not canceled due to cancel restrictions.", "OTHER"),
        (-1021, "Timestamp for this request is outside of the recvWindow.", "CLOCK"),
        (-1022, "", "ACCESS"),
        (-2015, "", "ACCESS"),
        (-1121, "Invalid symbol.", "MARKET"),
    ],
)
def test_a_refusal_says_what_it_is_about(code, text, expected):
    action = Action.CANCEL if code == -2011 else Action.NEW
    assert rules.verdict(BINANCE_SPOT, action, 400, code, text) == (REFUSED, ErrorGroup[f"GROUP_{expected}"])


def test_success_is_acceptance_and_an_error_inside_of_it_is_not():
    assert error_words(BINANCE_SPOT, 200, 0) == (Outcome.ACCEPTED, ErrorGroup.GROUP_NONE)
    assert fate(BINANCE_USDM, 200, -2011) == UNCERTAIN
    assert fate(BINANCE_USDM, 302, 0) == UNCERTAIN


def test_budgets_and_retention_are_the_documented_ones():
    weights = {m: [x.limit for x in rules.BUDGETS[m] if x.kind == rules.WEIGHT] for m in MARKETS}
    assert weights == {BINANCE_SPOT: [6000], BINANCE_USDM: [2400]}
    assert [x.interval_ns // rules.SECOND for x in rules.BUDGETS[BINANCE_USDM]] == [60, 10, 60]
    assert rules.RETENTION_NS[BINANCE_USDM] == 3 * 86_400 * rules.SECOND


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

import json

import pytest

from ext.instruments import Instruments
from ext.records import Action, BudgetKind, ErrorGroup, Outcome, ReportKind
from ext.venues.bybit import BybitWire
from ext.wire import ListSink
from node.venues.bybit import rules

UNLISTED = [1, 2, 9999, 10011, 10020, 110002, 110005, 170000, 170999, 2**31 - 1, -5]
OPS = {
    "order.create": ("create", Action.NEW, ReportKind.REPORT_REJECT),
    "order.cancel": ("cancel", Action.CANCEL, ReportKind.REPORT_CANCEL_REJECT),
    "order.amend": ("amend", Action.AMEND, ReportKind.REPORT_AMEND_REJECT),
}


@pytest.mark.parametrize("op", OPS)
def test_the_native_decoder_follows_the_error_table(op):
    """failures.md row 30: every code, and what is not listed proves nothing."""
    wire = BybitWire(Instruments(), rules.LINEAR)
    wire.set_codes(rules.CODES)
    name, action, refusal = OPS[op]
    for code in [*rules.ERRORS, *UNLISTED]:
        verdict = rules.verdict(code)
        outcome = getattr(verdict, name)
        sink = ListSink()
        wire.read(json.dumps({"op": op, "retCode": code, "reqId": "x", "data": {}}).encode(), sink)
        kind = refusal if outcome == Outcome.REFUSED else ReportKind.REPORT_UNCERTAIN
        assert [(x["kind"], x["group"]) for x in sink.events] == [(kind, verdict.group)], code
        assert wire.outcome(code, action) == (outcome, verdict.group)


@pytest.mark.parametrize("code", UNLISTED)
def test_a_code_that_is_not_listed_is_uncertain(code):
    assert rules.verdict(code) == rules.UNKNOWN
    assert rules.UNKNOWN.create == rules.UNKNOWN.cancel == rules.UNKNOWN.amend == Outcome.UNCERTAIN


def test_no_code_is_listed_twice():
    assert len(rules.CODES) == len(rules.ERRORS) > 150


@pytest.mark.parametrize(
    ("code", "create", "cancel", "group"),
    [
        (10006, Outcome.REFUSED, Outcome.REFUSED, ErrorGroup.GROUP_LIMIT),
        (10429, Outcome.UNCERTAIN, Outcome.REFUSED, ErrorGroup.GROUP_LIMIT),
        (10002, Outcome.REFUSED, Outcome.REFUSED, ErrorGroup.GROUP_CLOCK),
        (33004, Outcome.REFUSED, Outcome.REFUSED, ErrorGroup.GROUP_ACCESS),
        (110007, Outcome.REFUSED, Outcome.REFUSED, ErrorGroup.GROUP_FUNDS),
        (170131, Outcome.REFUSED, Outcome.REFUSED, ErrorGroup.GROUP_FUNDS),
        (110003, Outcome.REFUSED, Outcome.REFUSED, ErrorGroup.GROUP_FILTER),
        (170134, Outcome.REFUSED, Outcome.REFUSED, ErrorGroup.GROUP_FILTER),
        (30228, Outcome.REFUSED, Outcome.REFUSED, ErrorGroup.GROUP_MARKET),
        (170218, Outcome.REFUSED, Outcome.REFUSED, ErrorGroup.GROUP_POST_ONLY),
        (110001, Outcome.UNCERTAIN, Outcome.REFUSED, ErrorGroup.GROUP_NOT_OPEN),
        (110008, Outcome.UNCERTAIN, Outcome.REFUSED, ErrorGroup.GROUP_NOT_OPEN),
        (170139, Outcome.UNCERTAIN, Outcome.REFUSED, ErrorGroup.GROUP_NOT_OPEN),
        (170213, Outcome.UNCERTAIN, Outcome.REFUSED, ErrorGroup.GROUP_NOT_OPEN),
        (110079, Outcome.UNCERTAIN, Outcome.UNCERTAIN, ErrorGroup.GROUP_UNKNOWN),
        (40004, Outcome.UNCERTAIN, Outcome.UNCERTAIN, ErrorGroup.GROUP_UNKNOWN),
    ],
)
def test_codes_mean_what_the_venue_documents(code, create, cancel, group):
    """Reference sections 8.1 to 8.8; failures.md rows 46, 49, 51, 57."""
    verdict = rules.verdict(code)
    assert (verdict.create, verdict.cancel, verdict.group) == (create, cancel, group)


def test_words_tell_the_meanings_of_one_code_apart():
    assert rules.group(10001, "Qty invalid") == ErrorGroup.GROUP_FILTER
    assert rules.group(10001, "position idx not match position mode") == ErrorGroup.GROUP_OTHER
    assert rules.group(10003, "Too many sessions under the same UID") == ErrorGroup.GROUP_LIMIT
    assert rules.group(10003, "API key is invalid.") == ErrorGroup.GROUP_ACCESS


def test_the_venues_limits_are_rows_of_their_market():
    limits = {m: {x.kind: x.limit for x in rules.BUDGETS[m]} for m in rules.BUDGETS}
    kinds = (BudgetKind.BUDGET_ORDERS, BudgetKind.BUDGET_CANCELS, BudgetKind.BUDGET_AMENDS)
    assert [limits[rules.LINEAR][x] for x in kinds] == [10, 10, 10]
    assert [limits[rules.SPOT][x] for x in kinds] == [20, 20, 10]
    assert rules.RETENTION_NS == 24 * 3600 * rules.SECOND


@pytest.mark.parametrize("code", [10000, 10016, 10019, 170007, 170146, 170147, 20006, -1, 500000, 987654])
def test_what_the_venue_does_not_know_is_uncertain(code):
    assert rules.verdict(code).create == rules.verdict(code).cancel == Outcome.UNCERTAIN


@pytest.mark.parametrize("code", [10014, 110072, 170141])
def test_a_duplicate_never_proves_that_the_order_does_not_exist(code):
    assert rules.verdict(code).create == Outcome.UNCERTAIN


def test_hosts_of_an_environment_are_not_those_of_another():
    assert rules.ENDPOINTS["testnet"].private != rules.ENDPOINTS["production"].private
    assert rules.ENDPOINTS["demo"].trade == ""
    for endpoints in rules.ENDPOINTS.values():
        assert endpoints.rest.startswith("https://")
        assert endpoints.public.startswith("wss://")


def test_topics_are_spelled_as_the_venue_does():
    assert rules.public_topics("BTCUSDT", 200) == [
        "orderbook.200.BTCUSDT",
        "publicTrade.BTCUSDT",
        "tickers.BTCUSDT",
    ]
    assert rules.private_topics(rules.SPOT) == ["order.spot", "execution.spot", "wallet"]
    linear = ["order.linear", "execution.linear", "position.linear", "wallet"]
    assert rules.private_topics(rules.LINEAR) == linear
    assert [rules.has_category(x) for x in linear] == [True, True, True, False]
    with pytest.raises(ValueError, match="depth 500 does not exist"):
        rules.book_topic("BTCUSDT", 500)


def test_too_many_trade_connections_is_no_bad_key():
    assert rules.login_can_be_retried(10003, "Too many sessions under the same UID", True)
    assert not rules.login_can_be_retried(10003, "Invalid apikey", True)
    assert not rules.login_can_be_retried(10003, "", False)
    assert not rules.login_can_be_retried(10004, "error sign!", True)
    assert rules.login_can_be_retried(10016, "", True)
    assert rules.login_can_be_retried(10002, "", True)
    assert rules.login_can_be_retried(None, "Params Error", False)  # `expires` has passed: the clock
    assert not rules.login_can_be_retried(None, "", False)

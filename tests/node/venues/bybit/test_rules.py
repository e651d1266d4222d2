import json

import pytest

from ext.instruments import Instruments
from ext.records import Outcome, ReportKind
from ext.venues.bybit import BybitWire, refuses
from ext.wire import ListSink
from node.venues.bybit import rules

UNLISTED = [1, 2, 9999, 10011, 10020, 110002, 110005, 110043, 170000, 170999, 2**31 - 1, -5]
REPORTS = {
    Outcome.REFUSED: (ReportKind.REPORT_REJECT, ReportKind.REPORT_CANCEL_REJECT),
    Outcome.UNCERTAIN: (ReportKind.REPORT_UNCERTAIN, ReportKind.REPORT_UNCERTAIN),
}


def test_the_native_decoder_follows_the_error_table():
    wire = BybitWire(Instruments(), rules.LINEAR)
    for code in [*rules.ERRORS, *UNLISTED]:
        for is_cancel, op in enumerate(("order.create", "order.cancel")):
            verdict = rules.verdict(code)
            outcome = verdict.cancel if is_cancel else verdict.create
            sink = ListSink()
            wire.read(json.dumps({"op": op, "retCode": code, "reqId": "x", "data": {}}).encode(), sink)
            assert [x["kind"] for x in sink.events] == [REPORTS[outcome][is_cancel]], code
            assert refuses(code, bool(is_cancel)) == (outcome == Outcome.REFUSED)


def test_no_code_outside_the_table_proves_anything():
    listed = {x for x in range(-10, 4_000_000) if refuses(x) or refuses(x, True)}
    assert listed == {x for x, v in rules.ERRORS.items() if Outcome.REFUSED in (v.create, v.cancel)}


@pytest.mark.parametrize("code", [10000, 10016, 10019, 170007, 170146, 170147, 20006, -1, 500000, 987654])
def test_what_the_venue_does_not_know_is_uncertain(code):
    assert rules.verdict(code).create == rules.verdict(code).cancel == Outcome.UNCERTAIN


@pytest.mark.parametrize("code", [10014, 110072, 170141])
def test_a_duplicate_never_proves_that_the_order_does_not_exist(code):
    assert rules.verdict(code).create == Outcome.UNCERTAIN


def test_no_code_is_in_two_groups():
    codes = [int(x) for _, _, text in rules._GROUPS.values() for x in text.split()]
    assert len(codes) == len(set(codes)) == len(rules.ERRORS)


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
    assert rules.private_topics(rules.SPOT) == ["order.spot", "execution.spot"]
    with pytest.raises(ValueError, match="depth 500 does not exist"):
        rules.book_topic("BTCUSDT", 500)


def test_too_many_trade_connections_is_no_bad_key():
    assert rules.login_can_be_retried(10003, "Too many sessions under the same UID", True)
    assert not rules.login_can_be_retried(10003, "Invalid apikey", True)
    assert not rules.login_can_be_retried(10003, "", False)
    assert not rules.login_can_be_retried(10004, "error sign!", True)
    assert rules.login_can_be_retried(10016, "", True)
    assert not rules.login_can_be_retried(None, "Params Error", False)

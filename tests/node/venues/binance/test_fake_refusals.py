"""Codes and texts: none that the node's own table does not know as refused."""

import pytest
from binance_venue import MARKETS

from ext.records import Outcome
from node.venues.binance import rules
from node.venues.binance.fake_refusals import BY_CODE, REFUSALS, error_of, refusal
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM

NOT_OF_ORDERS = {"timeout", "unknown_order", "not_found", "archived", "restrictions"}
NEW = {-4108, -4045, -2038, -4001}  # documented; `rules` learns them with the client side


@pytest.mark.parametrize("market", MARKETS)
def test_a_refused_order_is_refused_to_the_node_too(market):
    for name in REFUSALS[market].keys() - NOT_OF_ORDERS:
        no = refusal(market, name)
        if no.code in NEW and no.code not in rules.ERRORS[market]:
            continue
        assert rules.outcome(market, no.status, no.code, no.text) == Outcome.REFUSED, (name, no.code)


def test_an_unknown_outcome_is_never_a_refusal():
    for market in MARKETS:
        for code in (-1006, -1007):
            no = error_of(market, code)
            assert rules.outcome(market, no.status, no.code, no.text) == Outcome.UNCERTAIN


def test_texts_say_the_limit_where_they_have_one():
    assert "smaller than 100" in refusal(BINANCE_USDM, "min_notional", 100).text
    assert refusal(BINANCE_SPOT, "nosuch").code == -2010


@pytest.mark.parametrize("code", [*BY_CODE, -2010, -2011, -4164, -9999])
def test_any_code_can_be_answered(code):
    no = error_of(BINANCE_USDM, code)
    assert (no.code, bool(no.text)) == (code, True)

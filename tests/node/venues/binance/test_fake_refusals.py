"""Codes and texts: none that the node's own table does not know as refused."""

import pytest
from binance_venue import MARKETS

from ext.records import Action, Outcome
from node.venues.binance import rules
from node.venues.binance.fake_refusals import BY_CODE, REFUSALS, error_of, refusal
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM

# the last: an order with the same id is open, perhaps this very one by another copy of the request
NOT_OF_ORDERS = {"timeout", "unknown_order", "not_found", "archived", "restrictions", "duplicate_id"}


@pytest.mark.parametrize("market", MARKETS)
def test_a_refused_order_is_refused_to_the_node_too(market):
    for name in REFUSALS[market].keys() - NOT_OF_ORDERS:
        no = refusal(market, name)
        assert rules.verdict(market, Action.NEW, no.status, no.code, no.text)[0] == Outcome.REFUSED, (
            name,
            no.code,
        )


def test_an_unknown_outcome_is_never_a_refusal():
    for market in MARKETS:
        for code in (-1006, -1007):
            no = error_of(market, code)
            assert rules.verdict(market, Action.NEW, no.status, no.code, no.text)[0] == Outcome.UNCERTAIN


def test_texts_say_the_limit_where_they_have_one():
    assert "smaller than 100" in refusal(BINANCE_USDM, "min_notional", 100).text
    assert refusal(BINANCE_SPOT, "nosuch").code == -2010


@pytest.mark.parametrize("code", [*BY_CODE, -2010, -2011, -4164, -9999])
def test_any_code_can_be_answered(code):
    no = error_of(BINANCE_USDM, code)
    assert (no.code, bool(no.text)) == (code, True)

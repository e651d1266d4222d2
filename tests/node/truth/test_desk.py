"""Desks: names, purses, costs."""

import pytest

from node.truth.desk import Ask, Product, Purpose, VenueDesk
from node.venues.values import Request


def test_a_desk_knows_its_symbols_purse_and_costs():
    desk = VenueDesk(3, None, None, {"BTCUSDT": Product(7)}, costs={"trades": 20})
    assert desk.symbol(7) == "BTCUSDT"
    assert (desk.title(), desk.purse()) == ("market 3", "market 3")
    with pytest.raises(KeyError):
        desk.symbol(8)
    asks = [
        Ask(desk, Request("GET", "/"), Purpose.REST, what, lambda reply, now_ns: None)
        for what in ("trades", "open")
    ]
    assert [x.cost for x in asks] == [20, 1]


def test_cancels_are_the_most_urgent():
    assert sorted(Purpose) == [Purpose.CANCEL, Purpose.UNKNOWN, Purpose.RECONCILE, Purpose.REST]

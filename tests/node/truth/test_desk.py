"""Desks: names, purses."""

import pytest

from node.truth.desk import Product, Purpose, VenueDesk


def test_a_desk_knows_its_symbols_and_its_purse():
    desk = VenueDesk(3, None, None, {"BTCUSDT": Product(7)})
    assert desk.symbol(7) == "BTCUSDT"
    assert (desk.title(), desk.purse()) == ("market 3", "market 3")
    with pytest.raises(KeyError):
        desk.symbol(8)


def test_cancels_are_the_most_urgent():
    assert sorted(Purpose) == [Purpose.CANCEL, Purpose.UNKNOWN, Purpose.RECONCILE, Purpose.REST]

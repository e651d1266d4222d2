"""Amounts in other increments: nothing is lost, and what does not come out even counts as the larger one."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.regrid import is_exact, is_same, regrid, scaled

GRID = ("0.1", "0.001")


def test_another_grid_counts_no_less_than_what_was_sent():
    assert scaled(15, "0.1", "0.1") == 15
    assert scaled(15, "0.1", "0.5") == 3
    assert scaled(16, "0.1", "0.5") == 4
    assert scaled(16, "0.1", "0.01") == 160


def test_grids_are_numbers_and_not_texts():
    assert is_same(("0.10", "0.00100000"), GRID)
    assert not is_same(("0.01", "0.001"), GRID)
    assert regrid((5, -300, 250), ("0.10", "0.00100000"), GRID) == (5, -300, 250)


@pytest.mark.parametrize(
    ("now", "held"),
    [
        (("0.01", "0.001"), (5, -3000, 2500)),
        (("0.1", "0.0001"), (50, -3000, 2500)),
        (("1", "0.001"), (5, -30, 25)),
        (("0.5", "0.005"), (1, -12, 10)),
        (("0.1", "0.002"), (3, -175, 150)),  # 2.5 lots of 50 each, bought at the same price
        (("0.1", "0.01"), (1, -55, 50)),
    ],
)
def test_a_position_keeps_its_amount_its_price_and_its_result(now, held):
    assert regrid((5, -300, 250), GRID, now) == held


def test_a_short_position_and_one_that_is_closed_are_no_smaller_either():
    assert regrid((-5, 300, -250), GRID, ("0.1", "0.002")) == (-3, 175, -150)
    assert regrid((0, -7, 0), GRID, ("0.1", "0.002")) == (0, -4, 0)
    assert not is_exact(-5, GRID, ("0.1", "0.002"))
    assert is_exact(-4, GRID, ("0.1", "0.002"))


STEPS = st.sampled_from(["0.001", "0.005", "0.01", "0.1", "0.25", "1"])
GRIDS = st.tuples(STEPS, STEPS)


@given(st.integers(-(10**6), 10**6), st.integers(-(10**9), 10**9), st.integers(1, 10**6), GRIDS, GRIDS)
def test_it_is_never_less_than_it_was_and_never_a_whole_lot_more(lots, realised, price, before, now):
    cost = lots * price
    more, cash, new_cost = regrid((lots, realised - cost, cost), before, now)
    was, held = abs(lots) * Fraction(before[1]), abs(more) * Fraction(now[1])
    assert was <= held < was + Fraction(now[1])
    assert (held == was) == is_exact(lots, before, now)
    assert more * lots >= 0
    unit = [Fraction(x) * Fraction(y) for x, y in (before, now)]
    assert realised * unit[0] - unit[1] < (cash + new_cost) * unit[1] <= realised * unit[0]
    if lots:
        assert abs(new_cost * unit[1] - price * Fraction(before[0]) * more * Fraction(now[1])) <= unit[1]

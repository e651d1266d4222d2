"""Positions and profit against exact fractions."""

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext.account import Account
from ext.instruments import Instruments
from ext.records import Market, Side

BUY, SELL = int(Side.BUY), int(Side.SELL)


class Twin:
    """Profit the long way: every lot has its own price, matched first in, first out."""

    def __init__(self):
        self.open, self.realised, self.fees = [], Fraction(0), 0

    def fill(self, side, ticks, lots, fee):
        sign = 1 if side == BUY else -1
        self.fees += fee
        while lots and self.open and self.open[0][0] == -sign:
            _, price, left = self.open[0]
            here = min(lots, left)
            self.realised += Fraction(here) * (price - ticks) * sign
            lots -= here
            self.open[0] = (-sign, price, left - here)
            if left == here:
                self.open.pop(0)
        if lots:
            self.open.append((sign, ticks, lots))

    def lots(self):
        return sum(sign * left for sign, _, left in self.open)

    def profit(self, bid, ask):
        return self.realised + sum(
            Fraction(left) * sign * ((bid if sign > 0 else ask) - price) for sign, price, left in self.open
        )


FILL = st.tuples(
    st.sampled_from((BUY, SELL)), st.integers(1, 10**7), st.integers(1, 10**6), st.integers(-(10**6), 10**6)
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(FILL, max_size=40), st.integers(1, 10**7), st.integers(0, 1000))
def test_profit_is_exactly_what_lot_by_lot_matching_gives(fills, bid, spread):
    account, twin = Account(1), Twin()
    for side, ticks, lots, fee in fills:
        account.fill(0, side, ticks, lots, fee)
        twin.fill(side, ticks, lots, fee)
        row = account.position(0)
        assert (row["lots"], row["fee_e8"]) == (twin.lots(), twin.fees)
        assert account.marked(0, bid, bid + spread) == twin.profit(bid, bid + spread)
    row = account.position(0)
    assert row["bought_lots"] - row["sold_lots"] == row["lots"]
    assert row["fills"] == len(fills)


def test_money_follows_exactly_from_ticks_and_lots_of_the_instrument():
    """Profit in tick * lot units times the instrument's own fraction is the quote amount, to the last
    digit."""
    instruments = Instruments()
    instruments.add(Market.OKX, "BTC-USDT-SWAP", "0.1", "1", "0.01", is_perpetual=True)
    account = Account(1)
    account.fill(0, BUY, 600_000, 5)  # five contracts at 60000.0
    account.fill(0, SELL, 600_015, 2)
    profit = account.marked(0, 600_030, 600_031)
    assert profit == 2 * 15 + 3 * 30
    row = instruments.row(0)
    assert (
        Fraction(profit * row["money_mul"], row["money_div"]) == Fraction(120) * Fraction(1, 10) / 100 * 10**8
    )


def test_a_long_is_valued_at_the_bid_and_a_short_at_the_ask():
    account = Account(2)
    account.fill(0, BUY, 100, 3)
    account.fill(1, SELL, 100, 3)
    assert account.marked(0, 90, 95) == -30
    assert account.marked(1, 90, 95) == 15
    account.fill(0, SELL, 90, 3)
    assert account.marked(0, 1, 2) == -30  # flat: the mark no longer matters


def test_instruments_do_not_mix():
    rng, account, twins = random.Random(3), Account(5), [Twin() for _ in range(5)]
    for _ in range(2000):
        i, side, ticks, lots = (
            rng.randrange(5),
            rng.randrange(2),
            rng.randrange(1, 1000),
            rng.randrange(1, 50),
        )
        account.fill(i, side, ticks, lots)
        twins[i].fill(side, ticks, lots, 0)
    for i, twin in enumerate(twins):
        assert account.marked(i, 500, 501) == twin.profit(500, 501)


def test_a_fee_in_another_coin_is_counted_and_not_added():
    account = Account(1)
    account.fill(0, BUY, 100, 1, 250, True)
    account.fill(0, BUY, 100, 1, -50, True)
    account.fill(0, BUY, 100, 1, 999, False)
    account.fill(0, BUY, 100, 1, 0, False)
    row = account.position(0)
    assert (row["fee_e8"], row["other_fees"], row["fills"]) == (200, 1, 4)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_value_beyond_64_bits_asserts_and_leaves_the_position_as_it_was(side):
    account = Account(1)
    account.fill(0, side, 2**30, 2**32)
    before = account.position(0)
    for ticks, lots in ((2**40, 2**40), (2**30, 2**32 + 1), (2**48 - 1, 2**62)):
        with pytest.raises(AssertionError, match="does not fit"):
            account.fill(0, side, ticks, lots)
        assert account.position(0) == before
    account.fill(0, 1 - side, 2**30, 2**32)
    assert account.position(0)["cash"] == 0


def test_a_mark_beyond_64_bits_is_no_wrong_number():
    account = Account(1)
    account.fill(0, BUY, 1, 2**40)
    assert account.marked(0, 2**40, 2**40) == 2**80 - 2**40


@pytest.mark.parametrize("instrument", [-1, 2, 2**30])
def test_an_instrument_beyond_the_account_is_an_index_error(instrument):
    account = Account(2)
    with pytest.raises(IndexError, match="the account has 2"):
        account.position(instrument)
    with pytest.raises(IndexError, match="the account has 2"):
        account.fill(instrument, BUY, 1, 1)
    with pytest.raises(IndexError, match="the account has 2"):
        account.marked(instrument, 1, 1)

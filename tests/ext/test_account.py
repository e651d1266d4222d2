"""Positions and profit against exact fractions."""

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext.account import Account
from ext.instruments import Instruments
from ext.records import LegKind, Market, Side

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


# ---- legs, average price, realised ----

NET, LONG, SHORT = int(LegKind.NET), int(LegKind.LONG_LEG), int(LegKind.SHORT_LEG)


class Average:
    """One leg the exact way: the average price is a fraction, and closing leaves it as it is."""

    def __init__(self):
        self.lots, self.cost, self.realised, self.trips, self.partial = 0, Fraction(0), Fraction(0), 0, 0

    def fill(self, side, ticks, lots):
        signed = lots if side == BUY else -lots
        closed = 0
        if self.lots * signed < 0:
            closed = signed if abs(signed) <= abs(self.lots) else -self.lots
            share = self.cost * -closed / self.lots
            self.realised += -closed * ticks - share
            self.cost -= share
            self.lots += closed
            self.partial += self.lots != 0
            self.trips += self.lots == 0
        self.lots += signed - closed
        self.cost += (signed - closed) * ticks


LEG_FILL = st.tuples(
    st.integers(0, 2), st.sampled_from((BUY, SELL)), st.integers(1, 10**7), st.integers(1, 10**6)
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(LEG_FILL, max_size=40))
def test_realised_and_open_cost_of_each_leg_make_its_cash_at_every_moment(fills):
    account, twins, cash = Account(1), [Average() for _ in range(3)], [0, 0, 0]
    for at, (leg, side, ticks, lots) in enumerate(fills):
        account.fill(0, side, ticks, lots, leg=leg, now_ns=at + 1)
        twins[leg].fill(side, ticks, lots)
        cash[leg] += ticks * (-lots if side == BUY else lots)
        row = account.position(0)
        assert (row["cash"], row["lots"]) == (sum(cash), sum(x.lots for x in twins))
        assert row["realised"] - row["cost"] == row["cash"]
        assert account.sums(0)[:3] == (row["lots"], row["cash"], at + 1)
        for got, twin, money in zip(row["legs"], twins, cash, strict=True):
            assert (got["lots"], got["trips"]) == (twin.lots, twin.trips)
            assert got["realised"] - got["cost"] == money
            assert abs(got["cost"] - twin.cost) <= twin.partial  # less than one unit for each partial close
            assert (got["cost"], got["lots"]) == got["average"]
            assert (got["began_ns"] == 0) == (twin.lots == 0)


def test_rounding_of_a_partial_close_stays_with_what_is_open():
    account = Account(1)
    account.fill(0, BUY, 101, 2)
    account.fill(0, BUY, 100, 1)  # 302 for three: 100 2/3 apiece
    account.fill(0, SELL, 110, 1)
    row = account.position(0)
    assert (row["realised"], row["average"]) == (110 - 100, (202, 2))
    account.fill(0, SELL, 110, 1)
    account.fill(0, SELL, 110, 1)
    row = account.position(0)
    assert (row["realised"], row["average"], row["cash"]) == (28, (0, 0), 28)


def test_a_short_leg_is_reduced_by_a_buy_and_the_long_leg_is_not_touched():
    account = Account(1)
    account.fill(0, BUY, 100, 5, leg=LONG)
    account.fill(0, SELL, 110, 4, leg=SHORT)
    account.fill(0, BUY, 105, 1, leg=SHORT)
    legs = account.position(0)["legs"]
    assert [x["lots"] for x in legs] == [0, 5, -3]
    assert legs[SHORT]["realised"] == 5
    assert legs[LONG]["average"] == (500, 5)
    assert account.position(0)["lots"] == 2


@pytest.mark.parametrize("leg", [-1, 3, -(2**31), 2**31 - 1])
def test_a_leg_that_nobody_said_is_the_net_position(leg):
    account = Account(2)
    account.fill(1, BUY, 100, 5, leg=leg)
    assert [x["lots"] for x in account.position(1)["legs"]] == [5, 0, 0]
    assert account.position(1)["bought_lots"] == 5
    assert account.position(0)["fills"] == 0


def test_a_flip_is_a_round_trip_and_the_new_position_begins_then():
    account = Account(1)
    account.fill(0, BUY, 100, 5, now_ns=10)
    account.fill(0, BUY, 100, 5, now_ns=20)
    assert account.position(0)["began_ns"] == 10
    account.fill(0, SELL, 103, 12, now_ns=30)
    row = account.position(0)
    assert (row["trips"], row["began_ns"], row["realised"], row["average"]) == (1, 30, 30, (-206, -2))
    account.fill(0, BUY, 103, 2, now_ns=40)
    row = account.position(0)
    assert (row["trips"], row["began_ns"], row["average"]) == (2, 0, (0, 0))


def test_fees_are_kept_by_coin_and_one_without_a_name_is_counted():
    account = Account(2)
    account.fill(0, BUY, 100, 1, 7, 0, fee_coin="BNB")
    account.fill(0, BUY, 100, 1, 5, 0, fee_coin="OKB")
    account.fill(0, BUY, 100, 1, -3, 0, fee_coin="BNB")
    account.fill(1, BUY, 100, 1, 11, 2)
    account.fill(1, BUY, 100, 1, 2, 0, fee_coin="BNB")
    assert account.position(0)["fees"] == {"BNB": 4, "OKB": 5}
    assert account.position(1)["fees"] == {"BNB": 2}
    assert account.position(1)["fee_base_e8"] == 11
    for name in ("", "A_NAME_TOO_LONG"):
        account.fee(0, 1, 0, name)
    assert account.position(0)["nameless_fees"] == 2
    for i in range(40):  # more coins than anybody pays fees in
        account.fee(0, 1, 0, f"C{i}")
    row = account.position(0)
    assert len(row["fees"]) == 16
    assert row["nameless_fees"] == 2 + 40 - 14


def test_funding_and_fees_beyond_64_bits_assert_and_change_nothing():
    account = Account(1)
    account.funding(0, 2**62)
    account.fee(0, 2**62)
    with pytest.raises(AssertionError, match="funding does not fit"):
        account.funding(0, 2**62)
    with pytest.raises(AssertionError, match="fees do not fit"):
        account.fee(0, 2**62)
    assert (account.position(0)["funding_e8"], account.position(0)["fee_e8"]) == (2**62, 2**62)


def test_a_correction_sets_a_leg_and_leaves_the_others():
    account = Account(1)
    account.fill(0, BUY, 100, 5, leg=LONG)
    account.set_position(0, -2, 210, leg=SHORT)
    row = account.position(0)
    assert (row["lots"], row["cash"]) == (3, -500 + 210)
    assert row["legs"][SHORT]["average"] == (-210, -2)
    account.set_position(0, 4, -380, cost=400)  # 20 of it were realised before
    row = account.position(0)
    assert (row["lots"], row["cash"], row["realised"], row["average"]) == (4, -380, 20, (400, 4))
    assert [x["lots"] for x in row["legs"]] == [4, 0, 0]
    with pytest.raises(ValueError, match="leg 3"):
        account.set_position(0, 1, 1, leg=3)
    with pytest.raises(AssertionError, match="costs nothing"):
        account.set_position(0, 0, 0, cost=5)
    with pytest.raises(AssertionError, match="does not fit"):
        account.set_position(0, 1, 2**62, cost=2**62)


def test_a_fill_behind_newer_ones_is_counted_until_the_leg_is_flat():
    """Average cost is a matter of order: what a list told of later may be averaged otherwise at the venue."""
    account = Account(1)
    account.fill(0, BUY, 100, 5, now_ns=10)
    account.fill(0, BUY, 110, 5, now_ns=10)  # two buys are the same in any order
    assert account.position(0)["legs"][0]["late"] == 0
    account.fill(0, SELL, 120, 2, now_ns=10)
    account.fill(0, BUY, 90, 5, now_ns=9)
    assert account.position(0)["legs"][0]["late"] == 2
    account.fill(0, SELL, 100, 13, now_ns=11)
    assert account.position(0)["legs"][0]["late"] == 0

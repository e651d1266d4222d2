"""First in, first out, exactly: against a slow twin, and against the cash that changed hands."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from ext.account import Account
from node.slow.lots import QUANTUM, Lots, share

D = Decimal
TRADES = st.lists(
    st.tuples(st.booleans(), st.integers(1, 50), st.integers(1, 10**6)), min_size=1, max_size=40
)


def test_what_was_bought_first_is_sold_first():
    lots = Lots()
    lots.trade(D(2), D(20), 1)
    lots.trade(D(3), D(60), 2)
    first, second = lots.trade(D(-4), D(100), 3)
    assert (first.closed.acquired_ns, first.quantity, first.lot_amount, first.realised) == (1, 2, 20, 30)
    assert (second.closed.acquired_ns, second.quantity, second.lot_amount, second.realised) == (2, 2, 40, 10)
    assert (lots.quantity, lots.cost, first.position, second.position) == (1, 20, 3, 1)


def test_a_short_sale_is_closed_by_buying_back_and_what_is_more_opens_a_lot():
    lots = Lots()
    lots.trade(D(-2), D(30), 1)
    close, opened = lots.trade(D(5), D(50), 2)
    assert (close.realised, close.lot_amount, close.amount) == (10, 30, 20)
    assert (opened.closed, opened.quantity, opened.amount, opened.position) == (None, 3, 30, 3)
    assert (lots.quantity, lots.cost) == (3, 30)


def test_a_share_that_cannot_be_divided_leaves_its_rest_with_the_lot():
    lots = Lots()
    lots.trade(D(3), D(10), 1)
    parts = [lots.trade(D(-1), D(4), 2)[0] for _ in range(3)]
    assert parts[0].lot_amount == D("3.333333333333333333")
    assert sum(x.lot_amount for x in parts) == 10
    assert (lots.quantity, lots.cost, len(lots.lots)) == (0, 0, 0)
    assert share(D(1), D(1), D(3)) % QUANTUM == 0


def test_a_correction_realises_nothing_and_what_comes_in_has_no_date():
    lots = Lots()
    lots.trade(D(4), D(40), 1)
    lots.correct(D(-1), D(0))
    assert (lots.quantity, lots.cost) == (3, 30)
    lots.correct(D(2), D(25))
    assert [(x.quantity, x.amount, x.acquired_ns) for x in lots.lots] == [(3, 30, 1), (2, 25, 0)]
    lots.correct(D(-7), D(9))  # through flat: what there was leaves, the rest is short
    assert [(x.quantity, x.amount, x.acquired_ns) for x in lots.lots] == [(-2, 9, 0)]


class Twin:
    """One coin at a time."""

    def __init__(self):
        self.queue, self.realised = [], D(0)

    def trade(self, sign, units, price):
        for _ in range(units):
            if self.queue and self.queue[0][0] != sign:
                _, paid = self.queue.pop(0)
                self.realised += (paid - price) * sign
            else:
                self.queue.append((sign, D(price)))


@given(TRADES)
@settings(max_examples=80, deadline=None)
def test_it_does_what_a_slow_twin_does_coin_by_coin(trades):
    lots, twin, realised = Lots(), Twin(), D(0)
    for at, (buys, units, price) in enumerate(trades):
        sign = 1 if buys else -1
        twin.trade(sign, units, price)
        realised += sum(x.realised for x in lots.trade(D(sign * units), D(units * price), at))
        assert lots.quantity == sum(s for s, _ in twin.queue)
    assert realised == twin.realised
    assert lots.cost == sum(s * p for s, p in twin.queue)


@given(TRADES, st.integers(1, 10**6))
@settings(max_examples=80, deadline=None)
def test_realised_and_open_together_are_the_cash_and_the_value_of_the_account(trades, mark):
    """The account goes by average cost, and calls another part of it realised; together it is the same."""
    account, lots, realised = Account(1), Lots(), D(0)
    for at, (buys, units, price) in enumerate(trades):
        account.fill(0, 0 if buys else 1, price, units)
        realised += sum(x.realised for x in lots.trade(D(units if buys else -units), D(units * price), at))
    row = account.position(0)
    assert lots.quantity == row["lots"]
    assert realised + lots.quantity * mark - lots.cost == row["cash"] + row["lots"] * mark

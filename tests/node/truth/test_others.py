"""Coins that nothing here trades: what two looks show counts, and one alone never does."""

from decimal import Decimal

import pytest

from node.truth.others import Others
from node.truth.settings import SEC, Settings


class Purse:
    """Looks of one coin, `at_s` each, which took 50 ms."""

    def __init__(self, *looks, dust="0"):
        self.others, self.dust = Others(Settings()), Decimal(dust)
        for at_s, value in looks:
            self.look(at_s, value)

    def look(self, at_s, value):
        left_ns = int(at_s * SEC)
        self.others.look(
            "BTC",
            Decimal(value or "0"),
            left_ns,
            left_ns + SEC // 20,
            is_named=value is not None,
            dust=self.dust,
        )

    @property
    def amount(self):
        return self.others.amounts().get("BTC")


def known(amount="10", **more):
    purse = Purse((0, amount), (2.1, amount), **more)
    assert purse.amount == Decimal(amount)
    assert not purse.others.is_open
    return purse


@pytest.mark.parametrize("lie", ["0", "1000", "-3"])
def test_one_answer_that_lies_never_counts(lie):
    purse = known()
    purse.look(60, lie)
    assert purse.amount == 10
    assert purse.others.is_open  # the second look is wanted at once
    purse.look(62.1, "10")
    assert purse.amount == 10
    assert not purse.others.is_open
    purse.look(122, lie)  # nor two that are not of one incident
    assert purse.amount == 10


@pytest.mark.parametrize("amount", ["7", "0", "12"])
def test_a_change_counts_when_a_second_look_a_settle_window_later_shows_it(amount):
    purse = known()
    purse.look(60, amount)
    purse.look(61, amount)  # too early to be another
    assert purse.amount == 10
    purse.look(62.1, amount)
    assert purse.amount == Decimal(amount)
    assert not purse.others.is_open


@pytest.mark.parametrize(
    ("first", "second", "amount"), [("7", "5", "7"), ("0", "9", "9"), ("12", "15", "12"), ("7", "12", "10")]
)
def test_of_two_that_differ_counts_what_both_show(first, second, amount):
    purse = known()
    purse.look(60, first)
    purse.look(62.1, second)
    assert purse.amount == Decimal(amount)


def test_at_a_start_two_looks_must_be_the_same_or_the_middle_one_of_three_counts():
    purse = Purse((0, "0"))
    assert purse.amount is None
    assert purse.others.is_learning
    purse.look(1, "0")  # too early to be another
    purse.look(2.1, "10")
    assert purse.amount is None
    purse.look(4.2, "10")
    assert purse.amount == 10
    assert not purse.others.is_learning
    assert Purse((0, "0"), (2.1, "11"), (4.2, "10")).amount == 10


def test_a_coin_that_is_left_out_is_gone_only_when_that_lasts():
    purse = known()
    for at_s in (60, 62.1, 110):
        purse.look(at_s, None)
        assert purse.amount == 10
        assert not purse.others.is_open
    purse.look(120.1, None)
    assert purse.amount == 0


def test_rounding_is_no_change():
    purse = known(dust="1e-8")
    purse.look(60, "10.00000001")
    assert not purse.others.is_open
    assert purse.amount == 10


def test_of_what_an_answer_may_mean_counts_what_is_nearest_to_what_is_known():
    values = [Decimal(x) for x in ("9.8", "10.1", "10.3")]
    assert known().others.nearest("BTC", values) == Decimal("10.1")
    assert Purse().others.nearest("BTC", values) == Decimal("10.3")

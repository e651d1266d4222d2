"""No window of a venue's holds more than our share; cancels do not wait for new orders; a ban is obeyed."""

import random

import pytest

from ext.budget import SHARE_PERCENT, Budgets
from ext.records import BudgetKind

ORDERS, CANCELS, AMENDS = BudgetKind.BUDGET_ORDERS, BudgetKind.BUDGET_CANCELS, BudgetKind.BUDGET_AMENDS
SEC = 10**9
NOW = 1_700_000_000 * SEC


def budgets(limit=100, window_s=10, **more):
    out = Budgets(2)
    out.set_rule(0, ORDERS, limit, window_s * SEC, **more)
    return out


@pytest.mark.parametrize("seed", range(20))
def test_no_window_anywhere_holds_more_than_the_share(seed):
    rng = random.Random(seed)
    out, now, sent = budgets(), NOW, []
    for _ in range(5000):
        now += rng.choice((1, 10_000_000, 50_000_000, 400_000_000))
        if out.wait(0, 0, ORDERS, now) == 0:
            out.spend(0, 0, ORDERS, now)
            sent.append(now)
    first = 0
    for last in range(len(sent)):
        while sent[last] - sent[first] >= 10 * SEC:
            first += 1
        assert last - first + 1 <= 100 * SHARE_PERCENT // 100
    assert len(sent) > 200  # and the share is used


def test_the_wait_that_is_told_is_exact():
    out = budgets()
    while out.wait(0, 0, ORDERS, NOW) == 0:
        out.spend(0, 0, ORDERS, NOW)
    wait = out.wait(0, 0, ORDERS, NOW)
    assert out.wait(0, 0, ORDERS, NOW + wait - 1) > 0
    assert out.wait(0, 0, ORDERS, NOW + wait) == 0


def test_cancels_other_markets_and_other_instruments_do_not_wait():
    out = budgets()
    out.set_rule(1, ORDERS, 60, 2 * SEC, by_instrument=True)
    for _ in range(200):
        out.spend(0, 0, ORDERS, NOW)
        out.spend(1, 0, ORDERS, NOW)
    assert out.wait(0, 0, ORDERS, NOW) > 0
    assert out.wait(1, 0, ORDERS, NOW) > 0
    assert out.wait(0, 0, CANCELS, NOW) == out.wait(1, 1, ORDERS, NOW) == out.wait(2, 0, ORDERS, NOW) == 0


def test_the_tightest_of_several_windows_decides():
    out = budgets(limit=10, window_s=1)
    out.set_rule(0, ORDERS, 20, 60 * SEC)
    now, sent = NOW, 0
    for _ in range(600):
        now += SEC // 10
        if out.wait(0, 0, ORDERS, now) == 0:
            out.spend(0, 0, ORDERS, now)
            sent += 1
    assert sent <= 14 + 1  # 70 percent of 20 in a minute; one more at its very end


def test_nothing_passes_before_the_time_the_venue_named_on_its_own_clock():
    out = budgets()
    out.tell(0, BudgetKind.BUDGET_WEIGHT, 0, -1, NOW, until_ns=NOW + 7 * SEC, offset_ns=2 * SEC)
    assert [out.wait(0, 0, kind, NOW) for kind in (ORDERS, CANCELS, AMENDS)] == [5 * SEC] * 3
    assert out.wait(0, 0, CANCELS, NOW + 5 * SEC) == 0
    out.block(0, NOW + SEC)  # an earlier time does not shorten it
    assert out.wait(0, 0, CANCELS, NOW) == 5 * SEC


def test_a_server_count_that_used_up_our_share_makes_us_wait():
    out = budgets()
    out.tell(0, ORDERS, 10 * SEC, 40, NOW)
    assert out.wait(0, 0, ORDERS, NOW) == 0  # somebody else's 40 leave room
    out.tell(0, ORDERS, 10 * SEC, 90, NOW)
    assert out.wait(0, 0, ORDERS, NOW) > SEC
    out.tell(0, ORDERS, 60 * SEC, 10**9, NOW + 60 * SEC)  # another window than ours
    assert out.wait(0, 0, ORDERS, NOW + 60 * SEC) == 0


@pytest.mark.parametrize(
    "rule",
    [
        (8, ORDERS, 10, SEC),
        (-1, ORDERS, 10, SEC),
        (0, 4, 10, SEC),
        (0, ORDERS, 2, SEC),
        (0, ORDERS, 10, 0),
        (0, ORDERS, 10, 10**18),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule):
    with pytest.raises(ValueError, match=r"budget rule|market"):
        Budgets(2).set_rule(*rule)

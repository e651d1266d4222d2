"""Requests: the share, the reserve, the order, and silence while the venue wants it."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ext.records import BudgetKind
from node.truth.budget import Budget
from node.truth.desk import Ask, Purpose
from node.truth.settings import SEC, Settings
from node.venues.values import Bucket, BudgetRow, Request

NOW = 1_700_000_000 * SEC
WEIGHT = int(BudgetKind.BUDGET_WEIGHT)
ONE: dict = {}  # the windows of the venue of every desk that names no other


@pytest.fixture(autouse=True)
def empty():
    ONE.clear()


def ask(purpose=Purpose.RECONCILE, buckets=(), shared=None):
    shared = ONE if shared is None else shared
    desk = SimpleNamespace(buckets=shared, rest=SimpleNamespace(buckets=lambda request: buckets))
    return Ask(desk, Request("GET", "/"), purpose, "open", lambda reply, now_ns: None)


def budget(limit=100, used=0, interval=60, **more):
    """A budget whose venue has said its limit."""
    out = Budget(Settings(in_flight=1000, **more))
    first = ask()
    out.put(first)
    out.take(NOW)
    out.done(first)
    out.on_answer(first, 200, [BudgetRow(WEIGHT, interval * SEC, used, limit)], 0, NOW)
    return out


def take(out, count, purpose=Purpose.RECONCILE, now=NOW + 1, **more):
    for _ in range(count):
        out.put(ask(purpose, **more))
    return len(out.take(now))


def test_half_of_the_limit_is_for_everything_and_the_reserve_for_what_is_urgent():
    out = budget(limit=100)
    assert take(out, 200) == 49
    assert take(out, 50, Purpose.UNKNOWN) == 14
    assert take(out, 50, Purpose.CANCEL) == 7  # which no question about their fate can take


def test_cancels_go_first_then_unknown_orders_then_the_rest():
    out = budget()
    for purpose in (Purpose.REST, Purpose.RECONCILE, Purpose.UNKNOWN, Purpose.CANCEL, Purpose.UNKNOWN):
        out.put(ask(purpose))
    assert [x.purpose for x in out.take(NOW + 1)] == [0, 1, 1, 2, 3]


def test_a_full_bucket_holds_back_its_own_requests_only():
    out = Budget(Settings(in_flight=1000))
    fills, bills = (Bucket("fills", 60, 2 * SEC),), (Bucket("bills", 10, 2 * SEC),)
    for _ in range(20):
        out.put(ask(buckets=bills))
    assert take(out, 40, buckets=fills) == 4 + 29  # 49 % of each: the rest is for what is urgent
    assert take(out, 40, Purpose.UNKNOWN, buckets=fills) == 8
    assert len(out.take(NOW + 2 * SEC)) == 0
    assert len(out.take(NOW + 2 * SEC + 1)) == 4 + 32  # the urgent ones first


def test_all_buckets_of_a_request_count_and_what_has_none_is_counted_carefully():
    out = Budget(Settings(in_flight=1000))
    both = (Bucket("address", 20, SEC), Bucket("fills", 60, SEC))
    assert take(out, 40, buckets=both) == 9
    assert take(out, 40, buckets=both[1:]) == 20
    assert take(out, 40) == 9


def test_requests_on_their_way_are_few_whatever_the_buckets_say():
    out = Budget(Settings(in_flight=6))
    assert take(out, 40, buckets=(Bucket("fills", 600, SEC),)) == 6


def test_what_the_venue_counted_counts_here():
    assert take(budget(limit=100, used=45), 200) == 4
    assert take(budget(limit=100, used=69), 5) == 0
    assert take(budget(limit=100, used=69), 5, Purpose.CANCEL) == 1


def test_a_window_ends():
    out = budget(limit=100, used=60)
    assert take(out, 5) == 0
    assert len(out.take(NOW + 61 * SEC)) == 5


def test_where_the_share_is_less_than_one_request_one_goes_alone():
    out = budget(limit=1)
    assert take(out, 2) == 1
    assert len(out.take(NOW + 61 * SEC)) == 1


def test_two_desks_at_one_venue_share_what_it_counts_by_address_and_those_at_others_do_not():
    address = (Bucket("address", 20, SEC),)
    spot, linear, other = (Budget(Settings(in_flight=1000)) for _ in range(3))
    bybit: dict = {}
    assert take(spot, 40, buckets=address, shared=bybit) == 9
    assert take(linear, 40, buckets=address, shared=bybit) == 0
    assert take(linear, 40, Purpose.CANCEL, buckets=address, shared=bybit) == 5  # the reserve is one, too
    assert take(spot, 40, Purpose.CANCEL, buckets=address, shared=bybit) == 0
    assert take(other, 40, buckets=address, shared={}) == 9
    assert len(linear.take(NOW + SEC + 1)) == 14


def test_nothing_leaves_on_a_path_that_is_closed_not_even_a_cancel():
    for status, wait in ((429, 10), (403, 60), (418, 120)):
        out = budget()
        first = ask(Purpose.CANCEL)
        out.on_answer(first, status, [], 0, NOW)
        assert take(out, 1, Purpose.CANCEL, NOW + (wait - 1) * SEC) == 0
        assert len(out.take(NOW + wait * SEC)) == 1


def test_the_venues_own_time_is_obeyed_on_its_own_clock():
    out = budget()
    rows = [BudgetRow(WEIGHT, until_ns=NOW + 30 * SEC)]
    assert out.on_answer(ask(), 429, rows, 4 * SEC, NOW) == NOW + 26 * SEC
    assert take(out, 1, now=NOW + 25 * SEC) == 0
    assert len(out.take(NOW + 26 * SEC)) == 1


def test_bans_in_a_row_grow_and_end_with_an_answer():
    out, waits = budget(), []
    for now in range(NOW, NOW + 8 * 10**15, 10**15):
        one = ask()
        one.left_ns = now - 1
        waits.append(out.on_answer(one, 429, [], 0, now) - now)
    assert [x // SEC for x in waits] == [10, 20, 40, 80, 160, 320, 600, 600]
    out.on_answer(ask(), 200, [], 0, NOW + 10**17)
    assert out.on_answer(ask(), 429, [], 0, NOW + 10**17) - NOW - 10**17 == 10 * SEC


def test_refusals_of_requests_that_were_under_way_together_are_one():
    out = budget()
    for i in range(6):
        one = ask()
        one.left_ns = NOW + i
        until = out.on_answer(one, 429, [], 0, NOW + 100)
    assert until == NOW + 100 + 10 * SEC


def test_a_pause_of_cancels_holds_cancels_only():
    out = budget()
    out.on_answer(
        ask(), 200, [BudgetRow(int(BudgetKind.BUDGET_CANCELS), SEC, until_ns=NOW + 5 * SEC)], 0, NOW
    )
    out.put(ask(Purpose.CANCEL))
    out.put(ask())
    assert [x.purpose for x in out.take(NOW + 1)] == [Purpose.RECONCILE]
    assert [x.purpose for x in out.take(NOW + 6 * SEC)] == [Purpose.CANCEL]


def test_cancels_that_used_up_a_limit_of_their_own_keep_no_question_waiting():
    out = budget()
    out.on_answer(ask(), 200, [BudgetRow(int(BudgetKind.BUDGET_CANCELS), SEC, 10, 10)], 0, NOW)
    for purpose in (Purpose.CANCEL, Purpose.CANCEL, Purpose.UNKNOWN, Purpose.RECONCILE):
        out.put(ask(purpose))
    assert [x.purpose for x in out.take(NOW + 1)] == [Purpose.UNKNOWN, Purpose.RECONCILE]
    assert [x.purpose for x in out.take(NOW + 2 * SEC)] == [Purpose.CANCEL, Purpose.CANCEL]


def test_only_so_many_are_in_flight_but_for_what_is_urgent():
    out = Budget(Settings(in_flight=2))
    assert take(out, 5) == 2
    assert take(out, 2, Purpose.CANCEL) == 2
    for late in out.late(NOW + 20 * SEC):
        assert late not in out.flying
    assert len(out.take(NOW + 20 * SEC)) == 2


def test_an_older_answer_never_lowers_the_count():
    out = budget(limit=100)
    one, two = ask(), ask()
    one.left_ns, two.left_ns = NOW + 1, NOW + 2
    out.on_answer(two, 200, [BudgetRow(WEIGHT, 60 * SEC, 60, 100)], 0, NOW + 3)
    out.on_answer(one, 200, [BudgetRow(WEIGHT, 60 * SEC, 20, 100)], 0, NOW + 4)
    assert take(out, 1, now=NOW + 5) == 0


@given(
    st.lists(st.tuples(st.sampled_from(list(Purpose)), st.integers(0, 3)), max_size=200), st.integers(1, 60)
)
def test_the_venues_window_is_never_over_the_share(steps, limit):
    """A venue that counts in aligned windows of a second, and says its count with each answer."""
    out = Budget(Settings(in_flight=1000, plain_limit=limit))
    now, used = NOW, {}
    for purpose, wait in steps:
        now += wait * SEC // 10
        out.put(ask(purpose))
        for one in out.take(now):
            second = now // SEC
            used[second] = used.get(second, 0) + 1
            out.done(one)
            out.on_answer(one, 200, [BudgetRow(WEIGHT, SEC, used[second], limit)], 0, now)
    assert all(count <= max(limit * 70 // 100, 1) for count in used.values())

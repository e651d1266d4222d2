"""Rates, ratios, repeated executions and day trades, each against a naive twin that remembers everything."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext.throttle import Moved, Throttle

SEC = 10**9
DAY = 86_400 * SEC
NOW = 20_000 * DAY
STEPS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=120)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(STEPS, st.integers(1, 6), st.integers(-1, 6), st.integers(-1, 6), st.integers(1, 100))
def test_rates_say_how_old_the_one_is_that_fills_the_window(steps, orders, amends, cancels, window):
    throttle, now = Throttle(1), NOW
    throttle.set_rate(orders, window, amends, cancels)
    seen = {"order": [], "amend": [], "cancel": []}
    for wait, kind in steps:
        now += wait
        name = ("order", "amend", "cancel", "cancel")[kind]
        if name == "cancel":
            throttle.cancel(now)
        else:
            throttle.order(now, amend=name == "amend")
        seen["order" if name == "amend" and amends < 0 else name].append(now)
        full = [since < window for since in throttle.since(now)]
        inside = {key: len([t for t in times if now - t < window]) for key, times in seen.items()}
        assert full[0] == (inside["order"] >= orders)
        assert full[1] == (full[0] if amends < 0 else amends == 0 or inside["amend"] >= amends)
        assert full[2] == (cancels >= 0 and inside["cancel"] > cancels)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 20_000), st.booleans()), max_size=80), st.integers(1, 50_000))
def test_cancels_and_fills_are_counted_in_buckets_of_the_window(steps, window):
    throttle, now, seen = Throttle(1), NOW, []
    throttle.set_flow(window)
    shift = max((window >> 6).bit_length() - 1, 0)
    for wait, fill in steps:
        now += wait
        if fill:
            throttle.fill(0, 0, 0, 0, now)
        else:
            throttle.cancel(now)
        seen.append((now, fill))
        inside = [f for t, f in seen if t >> shift >= (now - window) >> shift]
        assert throttle.ratio(now) == (inside.count(False), inside.count(True))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 2), st.integers(0, 1), st.booleans()), max_size=100
    ),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 80),
)
def test_so_many_fills_on_a_side_or_round_trips_in_a_window_are_too_many(steps, fills, trips, window):
    throttle, now, seen, turned = Throttle(1), NOW, [], []
    throttle.set_repeat(fills, trips, window)
    for wait, strategy, side, flat in steps:
        now += wait
        seen.append((now, strategy, side))
        if flat:
            turned.append((now, strategy))
        same = [t for t, s, d in seen if (s, d) == (strategy, side) and now - t < window]
        round_trips = [t for t, s in turned if s == strategy and now - t < window]
        expected = len(same) >= fills or (flat and len(round_trips) >= trips)
        assert throttle.fill(strategy, 0, side, int(flat), now) == expected


def test_what_no_strategy_sent_switches_none_off():
    throttle = Throttle(1)
    throttle.set_repeat(1, 1, SEC)
    for strategy in (-3, -2, -1, 64):
        assert not throttle.fill(strategy, 0, 0, 1, NOW)
    assert throttle.fill(63, 0, 0, 1, NOW)
    throttle.forgive(63)
    throttle.set_repeat(2, -1, SEC)
    assert not throttle.fill(63, 0, 0, 1, NOW)


def test_a_day_trade_is_opened_and_closed_on_one_utc_day():
    throttle = Throttle(2)
    throttle.set_span(3)
    throttle.fill(0, 0, 0, 0, NOW)
    throttle.fill(0, 0, 1, 1, NOW + DAY - 1)  # the same day
    assert throttle.day_trades == 1
    throttle.fill(0, 0, 0, 0, NOW + DAY - 1)
    throttle.fill(0, 0, 1, 1, NOW + DAY)  # over night
    assert throttle.day_trades == 1
    throttle.fill(0, 1, 0, 0, NOW + DAY)
    throttle.fill(0, 1, 1, 2, NOW + DAY + 1)  # turned: one closed, another opened
    throttle.fill(0, 1, 0, 1, NOW + DAY + 2)
    assert throttle.day_trades == 3
    assert throttle.day_trade_rows() == [(20_000, 1), (20_001, 2)]
    for day, left in ((2, 3), (3, 2), (4, 0)):
        throttle.fill(0, 0, 0, 0, NOW + day * DAY)
        assert throttle.day_trades == left


def test_what_is_left_open_hides_no_day_trade_and_each_closing_counts_once():
    throttle = Throttle(1)
    for _ in range(10):
        throttle.fill(0, 0, 0, Moved.GREW, NOW)
        throttle.fill(0, 0, 1, Moved.SHRANK, NOW)
        throttle.fill(0, 0, 1, Moved.SHRANK, NOW)  # the rest of the same closing
    assert throttle.day_trades == 10
    throttle.fill(0, 0, 1, Moved.FLAT_NOW, NOW)
    assert throttle.day_trades == 10
    throttle.fill(0, 0, 0, Moved.GREW, NOW)
    throttle.fill(0, 0, 1, Moved.SHRANK, NOW + DAY)  # of yesterday
    assert throttle.day_trades == 0


def test_a_fill_counts_on_the_day_on_which_it_was_made_however_late_it_is_heard_of():
    throttle = Throttle(1)
    throttle.set_span(2)
    throttle.fill(0, 0, 0, Moved.GREW, NOW + DAY - 2)
    throttle.fill(0, 0, 1, Moved.FLAT_NOW, NOW + DAY + 5, made_ns=NOW + DAY - 1)
    assert throttle.day_trade_rows() == [(20_000, 1)]
    throttle.fill(0, 0, 0, Moved.GREW, NOW + DAY + 6, made_ns=NOW + DAY - 1)
    throttle.fill(0, 0, 1, Moved.FLAT_NOW, NOW + DAY + 7)  # kept over night
    assert throttle.day_trades == 1
    throttle.fill(0, 0, 0, Moved.GREW, NOW + DAY + 8)
    throttle.fill(0, 0, 0, Moved.GREW, NOW + DAY + 9, made_ns=NOW + DAY - 1)  # older, and told later
    throttle.fill(0, 0, 1, Moved.SHRANK, NOW + DAY + 10)
    assert throttle.day_trade_rows() == [(20_000, 1), (20_001, 1)]
    throttle.fill(0, 0, 0, Moved.GREW, NOW + 40 * DAY, made_ns=NOW + 8 * DAY)
    throttle.fill(0, 0, 1, Moved.FLAT_NOW, NOW + 40 * DAY, made_ns=NOW + 8 * DAY)
    throttle.restore_day_trades(5, 20_040)
    throttle.restore_day_trades(7, 20_008)  # of the same slot, and over long since
    assert throttle.day_trade_rows() == [(20_040, 5)]


def test_the_legs_of_a_position_are_traded_apart_and_the_desk_closes_like_anybody():
    throttle = Throttle(1)
    throttle.fill(0, 0, 0, Moved.GREW, NOW, leg=1)
    throttle.fill(0, 0, 0, Moved.FLAT_NOW, NOW, leg=2)  # a short of another day
    assert throttle.day_trades == 0
    assert not throttle.fill(-2, 0, 1, Moved.FLAT_NOW, NOW, leg=1)
    assert (throttle.day_trades, throttle.day_fills) == (1, 3)


def test_day_trades_of_an_earlier_run_count_on():
    throttle = Throttle(1)
    throttle.set_span(5)
    throttle.restore_day_trades(2, 19_996)
    throttle.restore_day_trades(3, 19_995)  # five days ago: over
    throttle.fill(0, 0, 0, 0, NOW)
    assert throttle.day_trades == 2
    throttle.restore_day_trades(1, 20_000)
    assert throttle.day_trades == 3
    for wrong in ((-1, 5), (1, -1), (1, 10**6)):
        with pytest.raises(ValueError, match="day"):
            throttle.restore_day_trades(*wrong)


def test_a_change_of_the_rate_starts_with_a_full_window_and_none_with_nothing():
    throttle = Throttle(1)
    throttle.set_rate(2, 100, -1, -1)
    throttle.order(NOW)
    throttle.set_rate(2, 100, -1, -1)  # no change
    assert throttle.since(NOW + 1)[0] >= 100
    throttle.set_rate(3, 100, -1, -1)
    assert throttle.since(NOW + 99)[0] == 99
    assert throttle.since(NOW + 100)[0] == 100


def test_the_counts_of_a_day_begin_anew():
    throttle = Throttle(1)
    throttle.order(NOW)
    throttle.order(NOW, amend=True)
    throttle.fill(0, 0, 0, 0, NOW)
    assert (throttle.day_orders, throttle.day_fills) == (2, 1)
    throttle.order(NOW + DAY)
    assert (throttle.day_orders, throttle.day_fills, throttle.day) == (1, 0, 20_001)

"""Offsets from midpoints: never outside their own bounds, and never believed too early or too long."""

from hypothesis import given
from hypothesis import strategies as st

from node.truth.clock import ClockLevel, VenueClock
from node.truth.settings import MS, SEC, Settings

START = 1_700_000_000 * SEC


def clock(*samples, **more):
    """A clock that got samples (at s, offset ms, there ms, back ms)."""
    out = VenueClock(Settings(**more))
    for at, offset, there, back in samples:
        feed(out, at, offset, there, back)
    return out


def feed(out, at, offset, there=5, back=5):
    left = START + int(at * SEC)
    return out.on_sample(left, left + (there + offset) * MS, left + (there + back) * MS)


def test_the_midpoint_is_the_offset_where_both_ways_take_the_same():
    x = clock((0, 30, 5, 5), (1, 30, 5, 5), (2, 30, 5, 5))
    assert x.offset_ns(START + 2 * SEC) == 30 * MS
    assert x.level(START + 2 * SEC) == ClockLevel.OK


def test_the_shortest_round_trip_is_believed():
    x = clock((0, 30, 5, 5), (1, 30, 400, 5), (2, 30, 5, 300))
    assert x.offset_ns(START + 2 * SEC) == 30 * MS


@given(
    st.integers(-2000, 2000),
    st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 1500)), min_size=3, max_size=20),
)
def test_the_true_offset_is_always_inside_the_error(offset, trips):
    x = VenueClock(Settings())
    for i, (there, back) in enumerate(trips):
        feed(x, i, offset, there, back)
    now = START + len(trips) * SEC
    assert x.steps == 0
    assert abs(x.offset_ns(now) - offset * MS) <= x.error_ns(now)


def test_an_unknown_clock_stops_and_three_samples_settle_it():
    x = clock()
    assert x.level(START) == ClockLevel.STOP
    feed(x, 0, 0)
    feed(x, 1, 0)
    assert x.level(START + 2 * SEC) == ClockLevel.STOP
    feed(x, 2, 0)
    assert x.level(START + 2 * SEC) == ClockLevel.OK


def test_levels_follow_the_offset():
    for offset, level in (
        (200, ClockLevel.OK),
        (-300, ClockLevel.WARN),
        (900, ClockLevel.WARN),
        (1100, ClockLevel.STOP),
    ):
        x = clock(*[(i, offset, 5, 5) for i in range(3)])
        assert x.level(START + 3 * SEC) == level, offset


def test_a_step_starts_anew_and_is_not_believed_at_once():
    x = clock(*[(i, 0, 5, 5) for i in range(5)])
    feed(x, 5, 400)
    assert x.steps == 1
    assert x.level(START + 5 * SEC) == ClockLevel.STOP
    feed(x, 6, 400)
    feed(x, 7, 400)
    assert x.level(START + 7 * SEC) == ClockLevel.WARN
    assert x.offset_ns(START + 7 * SEC) == 400 * MS


def test_an_old_clock_is_an_unknown_one():
    x = clock(*[(i, 0, 5, 5) for i in range(5)])
    assert x.level(START + 60 * SEC) == ClockLevel.OK
    assert x.level(START + 130 * SEC) == ClockLevel.STOP


def test_when_the_best_sample_is_too_old_the_next_best_is_believed():
    x = clock((0, 30, 5, 5), (1, 30, 5, 5), (50, 40, 40, 40), (60, 20, 20, 20))
    told = [x.offset_ns(START + at * SEC) // MS for at in (61, 120, 122, 171)]
    assert told == [30, 30, 20, 20]
    assert x.offset_ns(START + 61 * SEC) == 30 * MS  # a clock of ours that goes back


def test_the_error_grows_with_age():
    x = clock(*[(i, 0, 5, 5) for i in range(5)])
    assert x.error_ns(START + 100 * SEC) >= x.error_ns(START + 5 * SEC) + 9 * MS


def test_slow_answers_and_times_before_the_request_say_nothing():
    x = clock()
    assert not x.on_sample(START, START, START + 5 * SEC)
    assert not x.on_sample(START, START, START - 1)
    assert not x.on_sample(START, 0, START + 1)

"""A difference counts when it was seen twice, and ends when two looks agree."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from node.truth.steady import Steady


def looks(steady, *rows):
    for value, left, read in rows:
        steady.look(value, left, read)
    return steady


def test_one_look_is_none():
    x = looks(Steady(10, 0), (5, 0, 1))
    assert x.drift is None
    assert x.is_open


def test_a_second_look_that_left_before_the_window_is_none():
    x = looks(Steady(10, 0), (5, 0, 1), (5, 10, 12))
    assert x.drift is None


def test_the_same_twice_counts_and_two_that_agree_end_it():
    x = looks(Steady(10, 0), (5, 0, 1), (5, 11, 12))
    assert x.drift == 5
    looks(x, (0, 30, 31))
    assert x.drift == 5
    looks(x, (0, 40, 41))
    assert x.drift is None
    assert not x.is_open


def test_two_different_differences_are_noise():
    x = looks(Steady(10, 0), (5, 0, 1), (6, 20, 21), (5, 40, 41), (6, 60, 61))
    assert x.drift is None


def test_a_base_is_learned_from_two_equal_looks():
    x = looks(Steady(10), (7, 0, 1), (8, 20, 21), (8, 40, 41))
    assert x.base == 8
    assert not x.is_open
    looks(x, (7, 60, 61), (7, 80, 81))
    assert x.drift == -1


def test_dust_is_no_difference():
    x = Steady(10, 0)
    for at in (0, 20, 40):
        x.look(1, at, at, dust=1)
    assert x.drift is None
    assert x.agreed_ns == 40


@given(st.lists(st.integers(0, 3), max_size=60))
def test_a_drift_is_always_a_value_that_was_seen_twice_in_a_row(values):
    x, before = Steady(10, 0), []
    for i, value in enumerate(values):
        x.look(value, 20 * i, 20 * i + 1)
        before.append(value)
        if x.drift:
            assert (x.drift, x.drift) in set(pairwise(before))
        if before[-2:] == [0, 0]:
            assert x.drift is None

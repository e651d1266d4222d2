"""Whether a guard watches: whoever holds the lock does, and its loss is told once."""

import fcntl
import os

import pytest

from node.guarded import LATE_NS, LOCK, LOOK_NS, Guarded, is_locked

START = 10**18


@pytest.fixture
def guard(tmp_path):
    """`guard(True)` takes the lock as a guard does, `guard(False)` dies."""
    held = []

    def turn(on):
        if on:
            held.append(os.open(tmp_path / LOCK, os.O_RDWR | os.O_CREAT))
            fcntl.flock(held[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            os.close(held.pop())

    yield turn
    for fd in held:
        os.close(fd)


def test_a_guard_watches_while_it_holds_the_lock_and_a_look_does_not_take_it_away(tmp_path, guard):
    assert not is_locked(tmp_path / LOCK)
    guard(True)
    assert is_locked(tmp_path / LOCK)
    guard(False)
    assert not is_locked(tmp_path / LOCK)
    guard(True)
    assert is_locked(tmp_path / LOCK)


def test_a_guard_that_is_gone_for_too_long_is_told_once_and_so_is_its_return(tmp_path, guard):
    guarded, now_ns, told = Guarded(tmp_path, START), START, []

    def look(seconds):
        nonlocal now_ns
        for _ in range(seconds):
            now_ns += LOOK_NS
            told.extend(guarded.look(now_ns))

    guard(True)
    look(60)
    assert (guarded.watches, told) == (True, [])
    guard(False)
    look(LATE_NS // LOOK_NS)
    assert (guarded.watches, guarded.is_missing(now_ns), told) == (False, False, [])
    look(60)
    assert guarded.is_missing(now_ns)
    assert len(told) == 1
    assert told[0].startswith("ALARM: no guard has watched this node for 11 s: ")
    guard(True)
    look(5)
    assert told[1:] == ["a guard watches this node again"]
    assert not guarded.is_missing(now_ns)


def test_one_that_never_came_is_missing_from_the_start_on(tmp_path):
    guarded = Guarded(tmp_path, START)
    assert guarded.look(START) == []
    assert guarded.look(START + LATE_NS + LOOK_NS)[0].startswith("ALARM: no guard")

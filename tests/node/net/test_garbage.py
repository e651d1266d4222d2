"""The collector never looks at what lives as long as the node, and its pauses are measured."""

import gc

import pytest

from node.net.garbage import THRESHOLD, Garbage


@pytest.fixture
def room():
    now = [0]
    out = Garbage(monotonic_ns=lambda: now[0])
    out.now = now
    yield out
    out.end()


def test_what_is_there_at_the_start_and_when_it_is_warm_is_never_looked_at_again(room):
    threshold, old = gc.get_threshold(), [[]]
    room.begin()
    assert gc.get_threshold() == THRESHOLD
    young = [[]]
    assert not any(x is old for x in gc.get_objects())
    assert any(x is young for x in gc.get_objects())
    room.warmed()
    assert not any(x is young for x in gc.get_objects())
    room.end()
    assert gc.get_threshold() == threshold
    assert any(x is old for x in gc.get_objects())
    room.end()  # twice is nothing


def test_a_long_pause_is_told_once_and_a_short_one_never(room):
    room.begin()
    for took_ns in (9_000_000, 250_000_000, 30_000_000):
        room._look("start", {})
        room.now[0] += took_ns
        room._look("stop", {})
    assert room.trouble() == "garbage collection took 250 ms"
    assert room.trouble() == ""
    assert (room.pauses, room.worst_ns) == (3, 250_000_000)
    room._look("start", {})
    room._look("stop", {})
    assert room.trouble() == ""

"""The private stream: proven by a pass behind its coming up, never by time."""

from types import SimpleNamespace

from node.truth.halts import Halts
from node.truth.private import Private


def private(has_private=True):
    engine = SimpleNamespace(private_proven=lambda market, ok, now_ns: calls.append(ok))
    calls, hurried, refreshed = [], [], []
    desk = SimpleNamespace(market=2, has_private=has_private, title=lambda: "x")
    out = Private(desk, engine, Halts(engine, lambda where, text: None), hurried.append)
    out.refresh = refreshed.append
    out.calls, out.hurried, out.refreshed = calls, hurried, refreshed
    return out


def test_a_pass_that_left_before_it_came_up_proves_nothing():
    x = private()
    x.swept(5, 6)
    x.on_line(True, 10)
    x.swept(9, 11)
    assert x.calls == [False]
    assert x.hurried == [10]
    x.swept(10, 12)
    assert x.calls == [False, True]
    x.on_line(False, 20)
    x.swept(21, 22)
    assert x.calls == [False, True, False]


def test_a_suspicion_is_told_once_and_ends_with_a_probe_or_a_new_connection():
    x = private()
    x.on_line(True, 1)
    x.swept(2, 3)
    x.suspect(5, 5)
    x.suspect(6, 6)
    assert x.refreshed == [2]
    x.swept(7, 8)
    assert not x.is_proven
    x.on_probe(9)
    x.swept(8, 10)
    assert not x.is_proven
    x.swept(9, 11)
    assert x.is_proven
    x.suspect(12, 12)
    x.on_line(True, 13)
    x.swept(14, 15)
    assert x.is_proven


def test_a_desk_without_a_private_stream_is_proven_by_its_passes():
    x = private(has_private=False)
    x.suspect(1, 1)
    x.swept(2, 3)
    assert x.is_proven


def test_a_stream_that_was_not_up_when_the_order_left_is_not_to_blame_for_its_silence():
    x = private()
    x.on_line(True, 10)
    x.swept(11, 12)
    x.suspect(20, 9)
    assert x.is_proven
    x.suspect(21, 10)
    assert not x.is_proven

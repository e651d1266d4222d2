"""The engine's halts are the sum of what the sources say."""

from ext.records import HaltReason
from node.truth.halts import REDUCE_ONLY, STOP, Halts

DRIFT = HaltReason.HALT_DRIFT


class Engine:
    def __init__(self):
        self.calls = []

    def halt(self, *row):
        self.calls.append(("halt", *row))

    def resume(self, *row):
        self.calls.append(("resume", *row))


def test_the_last_source_ends_it_and_the_strictest_decides():
    engine = Engine()
    halts = Halts(engine, lambda where, text: None)
    assert halts.hold(3, DRIFT, REDUCE_ONLY, "a", 1)
    assert not halts.hold(3, DRIFT, REDUCE_ONLY, "a", 2)
    assert halts.hold(3, DRIFT, STOP, "b", 3)
    assert halts.free(3, DRIFT, "b", 4)
    assert not halts.free(3, DRIFT, "b", 5)
    assert halts.has(3, DRIFT)
    assert halts.free(3, DRIFT, "a", 6)
    assert not halts.has(3, DRIFT)
    assert engine.calls == [
        ("halt", 3, int(DRIFT), 1, 1),
        ("halt", 3, int(DRIFT), 2, 3),
        ("halt", 3, int(DRIFT), 1, 4),
        ("resume", 3, int(DRIFT), 6),
    ]


def test_the_same_thing_is_told_once_a_minute():
    told = []
    halts = Halts(Engine(), lambda where, text: told.append(text))
    for second in range(0, 130, 5):
        halts.tell("x", "the same", second * 10**9)
    assert len(told) == 3

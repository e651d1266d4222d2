"""Whose orders carry our name."""

from types import SimpleNamespace

import pytest

from ext.records import Latch
from node.truth.halts import Halts
from node.truth.settings import SEC, Settings
from node.truth.twins import Twins

OURS, OLD, LOST = 50, 40, 45  # epochs: this run's, of one on the tape, of one that is not


class Engine:
    """As much of an engine as twins ask for."""

    def __init__(self):
        self.latched, self.cancelled = [], []
        self.orders = SimpleNamespace(
            epoch=OURS, next_id=7, whose=lambda sequence, epoch: int((epoch, sequence) == (OURS, 3)),
            open_orders=lambda instrument: [3, 4],
        )  # fmt: skip

    def latch(self, why, on, now_ns):
        self.latched.append((why, on))

    def protects(self, order_id):
        return order_id == 4

    def want_cancel(self, order_id, now_ns):
        self.cancelled.append(order_id)


@pytest.fixture
def seen():
    """(engine, twins, what people were told), one desk, a tape with one run of ten orders."""
    engine, told = Engine(), []
    halts = Halts(engine, lambda where, text: told.append(text))
    twins = Twins(engine, halts, Settings())
    engine.orders.next_id = 2
    twins.begin({OLD: 10}, ["desk"])
    engine.orders.next_id = 7
    return engine, twins, told


def test_orders_of_a_run_on_the_tape_and_our_own_are_nobody_elses(seen):
    engine, twins, told = seen
    twins.listed("desk", {(0, 0), (OLD, 10), (OLD, 1), (OURS, 3), (OURS, 6)}, SEC)
    twins.stray((OLD, 9), SEC)
    assert (engine.latched, told, twins.is_settling(SEC)) == ([], [], False)


def test_a_run_that_the_tape_does_not_know_makes_the_start_wait(seen):
    engine, twins, told = seen
    twins.listed("desk", {(LOST, 5), (OLD, 12)}, SEC)
    assert "older than the venue: restored from a backup?" in told[0]
    assert (engine.latched, len(told)) == ([], 1)
    assert twins.is_settling(SEC + Settings().stranger_ns - 1)
    assert not twins.is_settling(SEC + Settings().stranger_ns)
    twins.listed("desk", {(LOST, 4), (LOST, 5), (OLD, 12)}, 9 * SEC)
    twins.stray((LOST, 5), 9 * SEC)
    assert engine.latched == []


@pytest.mark.parametrize("key", [(LOST, 6), (OLD, 13), (OURS, 7), (OURS, 1), (OURS + 1, 1), (44, 1)])
def test_an_order_that_is_newer_than_the_first_lists_was_placed_by_somebody_who_lives(seen, key):
    engine, twins, told = seen
    twins.stray(key, SEC)  # before the lists are in it proves nothing
    assert engine.latched == []
    twins.listed("desk", {(LOST, 5), (OLD, 12)}, SEC)
    twins.stray(key, 2 * SEC)
    twins.stray((key[0], key[1] + 1), 2 * SEC)
    assert engine.latched == [(Latch.LATCH_TWIN, True)]
    assert engine.cancelled == [3]  # what protects a position stays
    assert sum("another node of this deployment" in x for x in told) == 1


def test_lists_of_one_desk_say_nothing_of_another(seen):
    engine, twins, _ = seen
    twins.begin({OLD: 10}, ["desk", "other"])
    twins.listed("desk", {(LOST, 5)}, SEC)
    twins.listed("other", {(LOST, 9)}, SEC)
    twins.stray((LOST, 8), SEC)
    assert engine.latched == []
    twins.listed("desk", {(LOST, 10)}, SEC)
    assert engine.latched == [(Latch.LATCH_TWIN, True)]

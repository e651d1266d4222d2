"""Halts that only a person ends: a word ends them where the cause is gone, and says why not elsewhere."""

from rig import PERP, World

from ext.records import HaltReason
from node.truth.settings import Settings

FILTER, FOREIGN, LIQUIDATION = (
    int(x) for x in (HaltReason.HALT_FILTER, HaltReason.HALT_FOREIGN, HaltReason.HALT_LIQUIDATION)
)


def test_what_the_filters_refused_ends_by_a_persons_word(world):
    world.settle()
    world.engine.halt(0, FILTER, 1, world.now)
    world.run(1)
    told = world.keeper.release(world.now)
    assert (told.ended, told.stays) == ([(0, FILTER)], {})
    world.run(1)
    assert world.halts(0) == {}


def test_a_liquidation_ends_when_all_was_seen_to_agree_behind_it(world):
    world.settle()
    world.engine.halt(1, LIQUIDATION, 2, world.now)
    world.run(0.1)
    told = world.keeper.release(world.now)
    assert told.ended == []
    assert "orders and positions must agree once behind it" in told.stays[1, LIQUIDATION]
    assert world.halts(1) == {"HALT_LIQUIDATION": 2}
    world.keeper.look_now(world.now)
    world.run(15)
    assert world.keeper.release(world.now).ended == [(1, LIQUIDATION)]
    world.run(1)
    assert world.halts(1) == {}


def test_somebody_elses_order_must_be_gone_first():
    world = World(settings=Settings(foreign="halt"))
    world.settle()
    world.venues[PERP].place("web_1", side=1, lots=30)
    world.run(12)
    assert world.halts(1) == {"HALT_FOREIGN": 2}
    told = world.keeper.release(world.now)
    assert told.ended == []
    assert "take it away; it is looked at every 10 s" in told.stays[1, FOREIGN]
    world.venues[PERP].change("web_1", state="canceled")
    world.run(12)
    assert world.halts(1) == {"HALT_FOREIGN": 2}  # it does not end by itself
    assert world.keeper.release(world.now).ended == [(1, FOREIGN)]
    assert world.halts(1) == {}


def test_what_is_not_held_is_not_ended(world):
    world.settle()
    world.engine.halt(0, int(HaltReason.HALT_MODE), 1, world.now)
    told = world.keeper.release(world.now)
    assert (told.ended, told.stays) == ([], {})

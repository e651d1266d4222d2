"""The venue's clock in the life of a desk."""

import pytest
from rig import PERP, SPOT

from node.truth.settings import MS, SEC


@pytest.mark.parametrize(("offset", "halts"), [(200, {}), (-600, {}), (2000, {"HALT_CLOCK": 1})])
def test_a_clock_too_far_off_makes_the_desk_reduce_only(world, offset, halts):
    world.venues[SPOT].offset_ns = offset * MS
    world.settle()
    assert world.halts(0) == halts
    assert world.halts(1) == {}
    assert abs(world.wires[SPOT].offset_ns - offset * MS) <= 20 * MS
    assert bool(world.heard("clock")) == (abs(offset) > 250)


def test_a_clock_that_is_set_is_measured_anew_and_ends_the_halt(world):
    world.settle()
    world.venues[SPOT].offset_ns = 5 * SEC
    assert world.run(15, lambda: "HALT_CLOCK" in world.halts(0))
    assert world.heard("was set")
    world.venues[SPOT].offset_ns = 0
    assert world.run(20, lambda: not world.halts(0))


def test_a_clock_that_cannot_be_asked_for_is_not_known_after_a_while(world):
    world.settle()
    world.venues[PERP].broken["time"] = "silent"
    world.run(100)
    assert world.halts(1) == {}
    world.run(60)
    assert world.halts(1) == {"HALT_CLOCK": 1}
    del world.venues[PERP].broken["time"]
    assert world.run(30, lambda: not world.halts(1))

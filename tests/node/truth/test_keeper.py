"""The whole room against a real engine: start, unknown orders, drift, and runs drawn from a seed."""

from rig import PERP, SPOT, START


def test_nothing_is_traded_before_a_complete_pass_agreed(world):
    world.keeper.begin(world.now)
    assert world.halts(0) == {"HALT_START": 2}
    world.venues[SPOT].broken["open"] = "silent"
    world.run(20)
    assert "HALT_START" in world.halts(0)
    assert "HALT_START" not in world.halts(1)
    del world.venues[SPOT].broken["open"]
    assert world.run(30, lambda: not world.halts(0))


def test_a_start_on_a_quiet_account_takes_less_than_three_seconds(world):
    world.keeper.begin(world.now)
    assert world.run(3, lambda: not world.halts(0) and not world.halts(1))
    assert world.run(10, world.keeper.is_settled)
    assert world.keeper.differences() == []

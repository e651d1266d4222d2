"""CONFIG tells all that an assembly is made of, and none of its secrets."""

import orjson
import pytest
from retaped import config_of, run

from ext.tape import TapeReader
from node.backtest.rebuild import NEEDED, rebuild, stand_in
from node.errors import UserError
from node.sim.memory import World
from node.soak import soak_config


def told_of(world: World) -> dict:
    return orjson.loads(orjson.dumps(world.desk.describe()))


@pytest.fixture(scope="module")
def world() -> World:
    return World(soak_config())


def test_what_is_rebuilt_describes_itself_as_what_was_recorded(world):
    told = told_of(world)
    desk = rebuild(told)
    again = orjson.loads(orjson.dumps(desk.describe()))
    assert told["accounts"].keys() == again["accounts"].keys()
    assert again | {"accounts": told["accounts"]} == told  # fingerprints of keys that are not here
    assert [desk.instruments.row(i) for i in range(6)] == [world.desk.instruments.row(i) for i in range(6)]
    assert desk.engine.risk.table.as_dict() == world.engine.risk.table.as_dict()


def test_no_secret_is_told(world):
    assert "simulated" not in orjson.dumps(world.desk.describe()).decode()


@pytest.mark.parametrize("missing", NEEDED)
def test_a_config_that_does_not_tell_enough_is_refused_by_name(world, missing):
    told = told_of(world)
    del told[missing]
    with pytest.raises(UserError, match=f"does not tell `{missing}`"):
        rebuild(told)


def test_a_config_of_another_layout_is_refused(world):
    told = told_of(world)
    told["config"]["never_heard_of"] = 1
    with pytest.raises(UserError, match="is of another layout"):
        rebuild(told)
    told = told_of(world)
    del told["instruments"][0]["row"]["tick"]
    with pytest.raises(UserError, match="is of another layout"):
        rebuild(told)


def test_a_run_without_its_market_data_is_refused(world):
    told = told_of(world)
    told["config"]["venue"][1]["record_frames"] = "private"
    with pytest.raises(UserError, match="binance-usdm: its market data was not recorded"):
        rebuild(told)


def test_a_build_that_would_open_other_lines_is_refused(world):
    told = told_of(world)
    told["lines"].pop()
    with pytest.raises(UserError, match="other lines"):
        rebuild(told)


@pytest.mark.parametrize("is_ed25519", [False, True])
def test_a_stand_in_is_a_key_of_the_same_kind(is_ed25519):
    key = stand_in({"ed25519": is_ed25519})
    assert key.is_ed25519 == is_ed25519


def test_a_profile_and_a_market_without_orders_are_rebuilt(tmp_path):
    rules = [{"days": ["mon"], "between": "10:00-11:00", "zone": "Europe/Berlin"}]
    compliance = {"profile": "retail", "no_new": rules, "venues": ["all"], "max_leverage_perpetual": 125}
    world = run(tmp_path, 0.1, config_of(compliance=compliance | {"products": ["spot", "perpetual"]}))
    told = orjson.loads(next(iter(TapeReader(str(tmp_path)))).payload)
    assert told["profile"]["no_new"] == rules
    desk = rebuild(told)
    assert desk.engine.risk.table.as_dict() == world.engine.risk.table.as_dict()

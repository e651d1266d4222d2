"""What would have been done: the run beside the same inputs with another strategy, parameters or limits."""

import io
import json
import sys

import pytest
from retaped import Taker, config_of, run
from rich.console import Console

from node import cli
from node.backtest.tapes import print_result, tapes_command
from node.backtest.whatif import settings_of
from node.errors import UserError

QUOTE = {"size_base": "0.01", "half_spread_ppm": 3, "requote_ppm": 3, "lean_base": "0.1", "wait_ms": 50}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A quoter on one venue."""
    out = tmp_path_factory.mktemp("taped")
    run(out, 15.0, config_of(strategy="quoter", quote=QUOTE), seed=4)
    return out


def beside(folder, *changes: str, strategy: str | None = None) -> tuple[dict, dict, dict]:
    """What the run did, what the other one would have done, what was not for it."""
    result = tapes_command([folder], settings=settings_of(strategy, list(changes)))
    told = result.tapes[0].runs[0].what_if
    return told["recorded"], told["other"], told["dropped"]


def test_the_same_parameters_on_the_same_inputs_quote_about_the_same(folder):
    recorded, other, dropped = beside(folder, strategy="quoter")
    assert recorded["orders"] > 10
    assert abs(other["orders"] - recorded["orders"]) < recorded["orders"] / 2
    assert other["fills"] > 0
    assert dropped["frames about orders"] > 0


def test_a_wider_quote_fills_less_and_a_closer_one_more(folder):
    fills = [beside(folder, f"strategy.half_spread_ticks={x}")[1]["fills"] for x in (1, 4000)]
    assert fills[0] > fills[1] == 0


def test_another_strategy_gets_the_same_inputs_and_none_of_the_parameters(folder):
    recorded, other, dropped = beside(folder, "strategy.lots=3", strategy="retaped:Taker")
    assert other["orders"] > 10
    assert other["fills"] == 0  # what takes finds nobody
    assert dropped["parameters of the recorded strategy"] == 1
    assert recorded == beside(folder, strategy="quoter")[0]


def test_tighter_limits_refuse_more(folder):
    plain = beside(folder, strategy="quoter")[1]
    _, other, _ = beside(folder, "limits.max_open_orders=1")
    assert other["refused"]["OPEN_ORDERS"] > 0
    assert "OPEN_ORDERS" not in plain["refused"]
    scoped = beside(folder, "limits.bybit-linear BTCUSDT.max_order_base=0.005")[1]
    assert scoped["refused"]["SIZE_MAX"] > 0
    assert beside(folder, "limits.account.max_total_quote=100")[1]["refused"]["TOTAL"] > 0
    by_default = beside(folder, "limits.account.max_leverage=0.0001")[1]  # in force, and in no config
    assert by_default["refused"]["LEVERAGE"] > 0


def test_a_parameter_of_a_python_strategy_is_set_by_name(tmp_path):
    run(tmp_path, 8.0, config_of(), seed=4, strategy=Taker())
    recorded, other, _ = beside(tmp_path, "strategy.every_ns=1200000000")
    assert 0 < other["orders"] < recorded["orders"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("strategy.nope=1", "the strategy has no such parameter; it has half_spread_ticks, .*wait_ns"),
        ("limits.nope=1", "the recorded run has no such limit"),
        ("limits.rate.nope=1", "the recorded run has no such limit; there are amends, .*window_ms"),
        ("nope=1", "must be strategy.NAME=VALUE"),
        ("strategy.lots", "must be strategy.NAME=VALUE"),
        ("strategy.half_spread_ticks=0", "must be at least 1"),
        ("strategy.half_spread_ticks=x", "an integer is required"),
        ("limits.collar_bps=0", "is of another layout"),
    ],
)
def test_a_change_that_cannot_be_is_one_clear_line(folder, change, told):
    with pytest.raises(UserError, match=told):
        beside(folder, change)


def test_strategies_that_do_nothing_or_are_not_there_are_refused(folder):
    for name in ("none", "nowhere:Nobody", "quoters"):
        with pytest.raises(UserError, match="strategy"):
            beside(folder, strategy=name)


def test_the_paper_venue_has_no_legs(tmp_path):
    posmode = {"name": "acct.posmode", "hedge": True}
    run(tmp_path, 0.5, config_of(venue={"hedge": True}), strategy=Taker(), faults=[posmode])
    with pytest.raises(UserError, match="the paper venue has no legs"):
        beside(tmp_path, "strategy.lots=3")


def test_both_sides_are_shown_with_what_they_are_worth(folder, monkeypatch, capsys):
    settings = settings_of(None, ["strategy.half_spread_ticks=1"])
    console = Console(record=True, width=100, file=io.StringIO())
    print_result(tapes_command([folder], settings=settings), console)
    text = console.export_text()
    assert "as recorded" in text
    assert "its fills are the paper venue's guess" in text
    monkeypatch.setattr(
        sys, "argv", ["tickgate", "replay", str(folder), "--set", "strategy.lean_lots=1", "--json"]
    )
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert json.loads(capsys.readouterr().out)["tapes"][0]["runs"][0]["what_if"]["other"]["orders"] > 0

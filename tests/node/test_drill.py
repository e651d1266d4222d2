"""The drill: small, for real, and what it leaves behind."""

import contextlib
import json
import signal
import time
from types import SimpleNamespace

import pytest
from screen import screen, tells

from node import drill
from node.errors import UserError


def drilled(processes, folder, *more):
    told = processes.run(
        "drill", "--orders", "10", "--variant", "stop", "--stall-ms", "600", "--keep", folder, "--json",
        *more,
        timeout_s=100,
    )  # fmt: skip
    assert told.code == 0, told.err
    result = json.loads(told.out)
    row = result["variants"]["stop"]
    assert (row["orders"], row["cancelled"], row["new_orders_after"]) == (10, 10, 0)
    assert row["latched"]
    assert row["guard_ended"]
    assert result["seconds_to_zero"] == {"stop": row["seconds_to_zero"]}
    assert row["detect_s"] > 0.6
    assert row["seconds_to_zero"] == pytest.approx(row["detect_s"] + row["cancel_s"], abs=0.01)
    said = (folder / "stop" / "node.log").read_text()
    assert "stood still for" in said
    processes.gone()
    return row, said


def test_ten_orders_of_a_stopped_node_are_cancelled_its_positions_closed_and_it_stays_latched(
    processes, tmp_path
):
    row, said = drilled(processes, tmp_path, "--flatten")
    assert row["positions"] == 4  # one on each perpetual
    assert row["exits"] == 4  # what filled is not tried again
    assert (row["flat"], row["trades_after"]) == (True, 0)
    assert row["worst_bps"] <= 60  # the guard's bound is 50 of the best price, and the market moves
    assert "by the guard" in said


@pytest.mark.soak
def test_a_guard_that_only_cancels_leaves_positions_alone(processes, tmp_path):
    row, said = drilled(processes, tmp_path)
    assert (row["positions"], row["exits"]) == (0, 0)
    assert "halt by the guard" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_drill_that_is_interrupted_leaves_nothing_behind(processes, tmp_path, number):
    drilling = processes.start("drill", "--orders", "5", "--variant", "stop", "--keep", tmp_path)
    processes.find("node.cli guard", 40)
    time.sleep(0.5)
    drilling.send_signal(number)
    drilling.wait(20)
    processes.gone(8)


def test_what_cannot_be_drilled_is_named(tickgate):
    with pytest.raises(UserError, match="--variant fall: must be one of stop, kill, hang"):
        drill.drill_command(orders=1, variants=["fall"], venues=[], stall_ms=500)
    assert tickgate("drill", "--venue", "nasdaq").code == 2


def test_a_guard_without_its_table_says_what_is_missing(tickgate, tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(
        'mode = "watch"\nstrategy = "none"\ninstrument = []\nvenue = []\n[rate]\norders = 1\nwindow_ms = 1\n'
    )
    told = tickgate("guard", path)
    assert told.code == 2


def test_a_drill_says_which_run_it_is_and_what_it_waits_for(monkeypatch, capsys):
    said = []
    bar = SimpleNamespace(
        add_task=lambda *_, **more: 0, update=lambda task, description: said.append(description)
    )
    monkeypatch.setattr(drill, "Progress", lambda *_, **more: contextlib.nullcontext(bar))
    monkeypatch.setattr(drill, "_prepare", lambda stage, *_: drill._until(stage, 1, lambda: True, "5 orders"))
    measured = {"seconds_to_zero": 1.0, "new_orders_after": 0}
    monkeypatch.setattr(drill, "_measure", lambda stage, name: measured)
    left = {"latched": True, "flat": True, "trades_after": 0}
    monkeypatch.setattr(drill, "_go_on", lambda stage, name: left)
    assert drill.drill_command(orders=5, variants=["kill", "hang"], venues=[], stall_ms=500)["passed"]
    assert said == [
        "drill 1 of 2, SIGKILL: waits for 5 orders",
        "drill 2 of 2, a busy loop: waits for 5 orders",
    ]


def test_the_table_is_read_at_80_columns():
    row = {"seconds_to_zero": 12.345, "detect_s": 11.345, "cancel_s": 11.0, "requests": 1234, "latched": True}
    row |= {"flat": True, "trades_after": 0, "positions": 12, "exits": 12, "new_orders_after": 0}
    result = {"orders": 50, "venues": list(drill.VENUES), "variants": dict.fromkeys(drill.VARIANTS, row)}
    text = screen(drill.print_drill, result)
    tells(text, "SIGSTOP", "a busy loop", "12.345", "1234", "12 closed in")
    result["variants"] = {"kill": row | {"latched": False}}
    assert "NOT LATCHED" in screen(drill.print_drill, result)

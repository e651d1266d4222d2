"""The suite: names, quick runs, tables."""

import io
import json

import pytest
from rich.console import Console

from bench import suite
from node.errors import UserError

WIRE = {
    "floor": {"p50_us": 10.0, "p99_us": 20.0, "p999_us": 30.0, "max_us": 40.0},
    "node": {"p50_us": 12.0, "p99_us": 50.0, "p999_us": 60.0, "max_us": 70.0},
    "ratio_p50": 1.2,
    "ratio_p99": 2.5,
    "ratio_p50_logon": None,
    "ratio_p99_logon": None,
    "second_line_p50_ratio": None,
    "second_line_p99_ratio": None,
    "conditions": {
        "quiet": True,
        "loops": dict.fromkeys(("floor", "node", "node_two_lines", "node_logon", "floor_plain"), "spin"),
        "order_entry": dict.fromkeys(
            ("floor", "node", "node_two_lines", "node_logon", "floor_plain"), "HMAC"
        ),
    },
}


def shown(result: dict) -> str:
    console = Console(file=io.StringIO(), width=200)
    suite.print_tables(result, console)
    return console.file.getvalue()


def test_an_unknown_name_says_which_there_are():
    with pytest.raises(
        UserError, match=r"^no benchmark bok; there are: book, risk, stop, encode, tape, wire$"
    ):
        suite.run(["risk", "bok"])


def test_named_benches_run_in_their_own_order_and_serialise():
    told: list[str] = []
    found = suite.run(["tape", "risk"], progress=told.append, quick=True)
    assert list(found) == ["risk", "tape", "conditions"]
    assert json.loads(json.dumps(found)) == found
    assert all(text.startswith(("risk: ", "tape: ")) for text in told)


def test_no_name_means_all_of_them(monkeypatch):
    asked: list[str] = []
    for name in suite.BENCHES:
        monkeypatch.setitem(
            suite.BENCHES, name, lambda name=name, **_: asked.append(name) or {"within_budget": True}
        )
    assert set(suite.run([])) == {*suite.BENCHES, "conditions"}
    assert asked == list(suite.BENCHES)


def test_the_node_reaches_the_wire_bench_and_its_ratios_are_held_against_the_budget(monkeypatch):
    given: dict = {}
    monkeypatch.setattr(suite.wire, "run", lambda **sizes: given.update(sizes) or {"wire": dict(WIRE)})
    argv = lambda port: ["node", str(port)]  # noqa: E731
    found = suite.run(["wire"], node=argv, node_options={"rest": {"/x": "{}"}})
    assert (given["node"], given["rest"]) == (argv, {"/x": "{}"})
    assert found["wire"]["within_budget"] is False
    assert "wire: OVER BUDGET" in shown(found)


def test_the_ratio_behind_a_log_on_is_held_against_the_budget_too(monkeypatch):
    both = WIRE | {"node_logon": WIRE["node"], "floor_plain": WIRE["floor"], "ratio_p99": 1.9}
    for ratio, within in ((1.4, True), (1.6, False)):
        told = both | {"ratio_p50_logon": ratio, "ratio_p99_logon": 1.0}
        monkeypatch.setattr(suite.wire, "run", lambda told=told, **_: {"wire": told})
        found = suite.run(["wire"])
        assert found["wire"]["within_budget"] is within
        assert "node_logon / floor_plain, p50" in shown(found)


@pytest.mark.parametrize(("ratio", "within"), [(1.09, True), (1.11, False)])
def test_a_second_line_is_held_against_its_target(monkeypatch, ratio, within):
    told = WIRE | {"node_two_lines": WIRE["node"], "ratio_p99": 1.9}
    told |= {"second_line_p50_ratio": ratio, "second_line_p99_ratio": 1.0}
    monkeypatch.setattr(suite.wire, "run", lambda **_: {"wire": told})
    found = suite.run(["wire"])
    assert found["wire"]["within_budget"] is within
    assert "node_two_lines / node, p50" in shown(found)


def test_without_a_node_nothing_is_held_against_the_wire_budget(monkeypatch):
    alone = {key: value for key, value in WIRE.items() if key != "node"} | {
        "ratio_p50": None,
        "ratio_p99": None,
    }
    monkeypatch.setattr(suite.wire, "run", lambda **_: {"wire": alone})
    found = suite.run(["wire"])
    assert found["wire"]["within_budget"] is None
    assert "wire: nothing to hold against the budget" in shown(found)


def test_tables_show_figures_budgets_and_conditions():
    found = suite.run(["book", "risk", "encode", "tape"], quick=True)
    text = shown(found)
    for name in ("book", "risk", "encode", "tape"):
        assert f"{name}: within budget" in text or f"{name}: OVER BUDGET" in text
    assert str(found["risk"]["ns_per_order"]) in text
    assert found["conditions"]["kernel"] in text


def test_a_noisy_run_says_so():
    assert suite.noise({"preempted": 99, "seconds": 1.0, "quiet": False}).startswith("  NOISY")
    assert suite.noise({"preempted": 0, "seconds": 1.0, "quiet": True}).startswith("  quiet")
    assert "NOISY" in suite.noise({"conditions": {"quiet": False}})

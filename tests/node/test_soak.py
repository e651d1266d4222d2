"""The soak: seeds that agree, a report that says so, and one that says so when they do not."""

import json

import pytest
from screen import screen, tells

from node import soak
from node.errors import Failed, UserError
from node.sim.memory import SEC
from node.soak import Outcome, read_faults, run_seed, soak_config, verdict


def test_a_short_run_under_all_faults_agrees_with_the_venues_to_the_last_trade(monkeypatch):
    monkeypatch.setattr("node.soak.CALM_NS", 20 * SEC)  # it waits on until nothing is in doubt
    outcome = run_seed(3, 60, read_faults(None))
    assert outcome.differences == []
    assert outcome.agreed
    assert outcome.orders > 60
    assert outcome.fills > 20
    assert sum(outcome.faults.values()) > 100
    for row in outcome.rows:
        assert (row["fills_venue"], row["lots_venue"]) == (row["fills_node"], row["lots_node"])
        assert row["unknown"] == 0


def test_the_same_seed_is_the_same_run_and_another_is_another(monkeypatch):
    monkeypatch.setattr("node.soak.CALM_NS", 5 * SEC)  # nothing is judged here but that it is the same
    monkeypatch.setattr("node.soak.CALM_MOST_NS", 5 * SEC)
    first, again, other = (run_seed(seed, 15, read_faults(None)) for seed in (1, 1, 2))
    assert first.orders > 0  # equity is known by now
    assert (first.rows, first.faults) == (again.rows, again.faults)
    assert first.rows != other.rows


def test_a_ledger_that_differs_is_told_and_fails(monkeypatch):
    def spoiled(world):
        world.engine.account.fill(0, 0, 100, 1)
        return "spoiled"

    monkeypatch.setattr(soak, "_settle", spoiled)
    outcome = run_seed(1, 5, [])
    assert any("position" in x for x in outcome.differences)
    with pytest.raises(Failed, match="seed 1"):
        verdict({"seeds": [{"seed": 1, "agreed": outcome.agreed}]})


def test_the_report_shows_both_sides_and_the_faults(tickgate, monkeypatch):
    outcomes = []

    def once(*args):  # two ways to tell of one run
        outcomes.extend([] if outcomes else [run_seed(*args)])
        return outcomes[0]

    monkeypatch.setattr(soak, "run_seed", once)
    monkeypatch.setattr(soak, "CALM_NS", 10 * SEC)  # nothing that takes longer is unknown behind six seconds
    told = tickgate("soak", "--minutes", "0.4", "--first-seed", "2")
    assert told.code == 0
    assert "venues and node agree" in told.out
    assert "faults that struck" in told.out
    assert "binance-usdm" in told.out
    told = tickgate("soak", "--minutes", "0.4", "--json")
    result = json.loads(told.out)
    assert result["agreed"] is True
    assert result["seeds"][0]["rows"][0]["market"] == "binance-spot"


@pytest.mark.parametrize(
    ("text", "said"),
    [('[[fault]]\nname = "ack.dorp"\n', "ack.dorp"),
     ("[[fault", "soak.toml"),
     ('[[fault]]\nname = "ack.drop"\nevery = 7\n', "every")],
)  # fmt: skip
def test_a_fault_script_that_cannot_be_is_one_line_with_its_place(tmp_path, tickgate, text, said):
    path = tmp_path / "soak.toml"
    path.write_text(text)
    told = tickgate("soak", "--faults", path)
    assert told.code == 2
    assert said in told.err
    assert told.err.count("\n") == 1
    with pytest.raises(UserError, match="cannot be read"):
        read_faults(tmp_path / "nowhere")


def test_the_config_quotes_on_every_market():
    assert {x.market for x in soak_config().instrument} == {
        "binance-spot", "binance-usdm", "bybit-spot", "bybit-linear", "okx",
    }  # fmt: skip


def test_the_report_is_read_at_80_columns():
    row = {"market": "binance-usdm", "symbol": "1000SHIBUSDT", "unknown": 12}
    row |= {"orders": 123456, "fills_venue": 123456, "fills_node": 123456, "lots_venue": -12345678}
    outcome = Outcome(1, 600, 1, rows=[row | {"lots_node": -12345678}])
    text = screen(soak.print_report, [outcome])
    tells(text, "1000SHIBUSDT", "unknown", "-12345678")


def test_faults_that_never_struck_are_named_without_a_count():
    outcome = soak.Outcome(1, 60.0, 1.0, faults={"ack.drop": 2, "me_stall": 0, "book.gap": 11})
    text = screen(soak.print_report, [outcome])
    tells(text, "faults that struck: 11 book.gap, 2 ack.drop\n", "in this time: me_stall\n")
    assert "0 me_stall" not in text


def test_a_run_too_short_to_trade_in_is_no_success():
    with pytest.raises(UserError, match=r"--minutes 0.1 was too short: nothing filled for seed 4"):
        verdict({"minutes": 0.1, "seeds": [{"seed": 4, "agreed": True, "fills": 0}]})
    assert "nothing filled" in screen(soak.print_report, [Outcome(4, 6, 1)])

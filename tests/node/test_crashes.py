"""Killed at every crash point, started again: node and venue agree. The whole campaign is `make soak`'s."""

from random import Random

import pytest
from screen import screen, tells

from ext.crash import labels
from ext.tape import TapeWriter
from node import crashes
from node.crashes import DIALECTS, Case, campaign, figures, run_case, share, verdict
from node.errors import Failed
from node.sim.memory import MS, SEC, World
from node.soak import read_faults

# one kill for each label in the fast run: dialects take turns
SAMPLE = [(label, list(DIALECTS)[i % len(DIALECTS)]) for i, label in enumerate(labels())]


FEW = ("journaled", "lease_checked", "written", "fill_applied", "segment_rotate", "stop_cancelled")


@pytest.mark.parametrize(("label", "dialect"), [x for x in SAMPLE if x[0] in FEW])
def test_106_behind_a_kill_node_and_venue_agree(label, dialect):
    case = run_case(label, dialect, 2, [])
    assert case.agreed, case
    assert case.struck or label == "segment_rotate"
    assert case.resolved_s is not None


LATE_MS = 1800  # lists may be two seconds behind


@pytest.mark.parametrize(
    ("dialect", "seed"),
    [("binance-usdm", 3), ("binance-spot", 6), ("binance-spot", 8), ("bybit", 3), ("okx", 6)],
)
def test_56_a_start_whose_lists_are_late_corrects_nothing_and_finds_every_trade(dialect, seed, tmp_path):
    tape = TapeWriter(str(tmp_path), now_ns=1, segment_size=crashes.SEGMENT)
    before = World(crashes.config_of(dialect), seed=seed, faults=[], tape=tape)
    before.run_until(lambda: crashes.is_armed(before), crashes.READY_NS, crashes.STEP_NS)
    draw = Random(f"{dialect}{seed}")
    before.run_for(draw.randint(6000, 20_000) * MS)
    before.kill(draw.randint(20, 2000) * MS)
    crashes._drop(before)
    del tape
    for fake in before.fakes.values():
        fake.faults.add("rest.stale_by", ms=LATE_MS, now_ns=before.now_ns)
    again, told = crashes.start(before, str(tmp_path)), []
    tell = again.keeper.halts.tell
    again.keeper.halts.tell = lambda where, text, *more: told.append(text) or tell(where, text, *more)
    again.run_for(10 * SEC)
    for fake in again.fakes.values():
        fake.faults.clear()
    again.run_for(20 * SEC)
    assert not [x for x in told if "taken from the venue" in x or "adopted" in x], told
    assert not any(again.engine.risk.halts(x) for x in again.desk.numbers.values()), told
    case = Case("late lists", dialect, seed)
    crashes._settle(again, case)
    assert case.differences == []
    again.engine.tape.close(again.now_ns)


@pytest.mark.parametrize(("label", "dialect"), [("encoded", "okx"), ("written", "bybit")])
def test_106_trades_that_cancel_each_other_just_before_the_restart_make_no_start_slow(label, dialect):
    """Which of them the first answer holds, its size does not say: a second one at the moment when lists
    count does, and nothing waits for a third."""
    case = crashes.run_case(label, dialect, 1, [])
    assert case.struck
    assert case.agreed
    assert case.armed_s
    assert max(case.armed_s.values()) < 3


@pytest.mark.soak
@pytest.mark.parametrize("dialect", list(DIALECTS))
@pytest.mark.parametrize("quiet", [True, False])
def test_106_the_campaign(dialect, quiet):
    cases = campaign(labels(), [dialect], range(1, 6), [] if quiet else read_faults(None))
    assert [x for x in cases if not x.agreed] == []
    told = figures(cases)
    assert told["struck"] > 0.9 * told["cases"]
    assert told["unresolved"] == 0


def test_what_went_wrong_is_told_with_the_command_that_shows_it():
    bad = {"label": "written", "dialect": "okx", "seed": 7}
    with pytest.raises(Failed, match="--crash --label written --first-seed 7"):
        verdict({"bad": [bad]})
    verdict({"bad": []})


def test_shares_are_of_what_there_is():
    assert share([], 99) is None
    assert share([1.0, 2.0, 3.0, 4.0], 50) == 2.0
    assert share([float(x) for x in range(1, 101)], 99) == 99.0
    case = Case("written", "okx", 1, armed_s={"okx BTC-USDT-SWAP": 1.0}, resolved_s=2.0)
    assert figures([case])["armed_p99_s"] == figures([case])["armed_perpetual_p99_s"] == 1.0
    assert crashes.figures([case])["agreed"] == 1


def test_the_table_of_a_campaign_is_read_at_80_columns():
    cases = [Case(x, "okx", 1, taken=12, armed_s={"okx X": 234.5}, resolved_s=345.6) for x in labels()]
    result = {"labels": {x.label: figures([x] * 100) for x in cases}}
    text = screen(crashes.print_table, cases, result)
    tells(text, *labels(), "1200", "234.50", "345.60", "resolved")

"""The demo: what it shows, and that nothing of it is left behind, however it ends."""

import json
import os
import signal
import time
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from ext.dials import DialWriter
from ext.tape import TapeReader, TapeWriter, verify
from node import demo as module
from node.config import load
from node.demo import QUOTED, config_text
from node.net.live import make_dials
from node.slow.summary import Summary

SIZES = {"tick": "0.1", "lot": "0.001", "size": "0.005", "value": "300", "recorded": False}
LISTENING = {
    venue: {
        "ws": "ws://127.0.0.1:1",
        "http": "http://127.0.0.1:1",
        "listings": [SIZES | {"market": m, "symbol": s} for m, s in QUOTED if m.startswith(venue)],
    }
    for venue in ("binance", "bybit", "okx")
}


def report(told) -> dict:
    """The JSON of a demo that ended well, looked at from all sides."""
    assert (told.code, told.err) == (0, "")
    result = json.loads(told.out)
    assert result["agreed"] is True
    assert [x["id"] for x in result["instruments"]] == [f"{market}:{symbol}" for market, symbol in QUOTED]
    for x in result["instruments"]:
        assert x["book"] == "synced"
        assert 0 < Decimal(x["bid"]) < Decimal(x["ask"])
        assert (x["gaps"], x["resyncs"]) == (0, 0)
        assert x["position"] == x["venue_position"]
        assert x["orders"] >= x["acked"] > 0
        assert x["trades"] > 0
    times = result["tick_to_order"]
    assert 0 < times["p50_us"] <= times["p99_us"] <= times["p999_us"] <= times["max_us"]
    assert 0 < times["count"] <= result["orders_sent"]
    assert result["fills"] == sum(x["fills"] for x in result["instruments"]) > 0
    drills = [x for x in result["refusals"] if x["reason"] == "SIZE_MAX"]
    assert [x["count"] for x in drills] == [1]
    assert "limit" in drills[0]["first"]
    cut = result["cut_line"]
    assert "feed" in cut["line"]
    assert 0 < cut["down_ms"] < 3000
    assert (cut["gaps"], cut["resyncs"]) == (0, 0)
    return result


def test_the_demo_as_everybody_runs_it_shows_what_it_is_for(processes):
    told = processes.run("demo")
    assert (told.code, told.err) == (0, "")
    for part in (
        "Tick to order: p50",
        "Refused 1 x SIZE_MAX",
        "was reset half way and was back after",
        "own ledgers agree",
    ):
        assert part in told.out
    assert "…" not in told.out
    processes.gone()


def test_the_shortest_demo_shows_the_same_and_keeps_what_it_was_told_to(processes, tmp_path):
    keep = tmp_path / 'kept "here" \\ [red]'
    keep.mkdir()
    (keep / "mine.txt").write_text("not of the demo")
    (keep / "tape").mkdir()
    TapeWriter(str(keep / "tape"), now_ns=1, segment_size=1 << 20).close(2)  # of an earlier demo
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "__init__.py").write_text(
        "raise SystemExit('a package of that name where it is run')"
    )
    told = processes.run("demo", "--seconds", "6", "--seed", "3", "--keep", keep.name, "--json", cwd=tmp_path)
    result = report(told)
    assert (result["seconds"], result["seed"]) == (6.0, 3)
    assert {x.name for x in keep.iterdir()} == {
        "dials",
        "mine.txt",
        "node.log",
        "node.toml",
        "sim.log",
        "sim.toml",
        "tape",
    }
    assert load(keep / "node.toml").deployment == "dm00"
    assert "ready" in (keep / "node.log").read_text()
    checked = verify(str(keep / "tape"))
    assert checked.ok
    assert checked.sealed
    summary = Summary()
    for record in TapeReader(str(keep / "tape")):
        summary.feed(record)
    assert summary.sent == result["orders_sent"]
    processes.gone()


def test_no_keys_and_no_network_are_used():
    config = tomllib.loads(config_text(LISTENING, Path("t"), Path("d"), 7))
    for venue in config["venue"]:
        assert len(venue["streams"]) == 2
        assert set(venue["key"].values()) == {
            "plain:simulated",
            "sim",
        }  # the well-known one of simulated venues
        assert all("//127.0.0.1:" in x for x in (*venue["streams"], venue["rest"], venue["orders"]))


def test_the_config_that_it_writes_is_one_that_loads_whatever_the_path(tmp_path):
    for name in ("plain", "with space", 'quo"te', "back\\slash", "ümläut", "new\nline", "{brace}"):
        path = tmp_path / "node.toml"
        path.write_text(config_text(LISTENING, tmp_path / name, tmp_path / "d", 2))
        assert load(path).tape == str(tmp_path / name)
        assert load(path).drill_after_ms == 250


# ---- what cannot work ----------------------------------------------------------------------------


def test_a_place_that_cannot_be_kept_in_is_one_line(tickgate, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    foreign = tmp_path / "foreign"
    (foreign / "tape").mkdir(parents=True)
    (foreign / "tape" / "photo.jpg").write_text("dear")
    for place, why in (
        (file, "is no directory"),
        (file / "below", "Not a directory"),
        (foreign, "tape/photo.jpg is not of a tape"),
    ):
        told = tickgate("demo", "--keep", place)
        assert (told.code, told.out) == (2, "")
        assert told.err.startswith(f"tickgate: --keep {place}: {why}")
        assert told.err.count("\n") == 1
    assert (foreign / "tape" / "photo.jpg").read_text() == "dear"


def test_a_place_where_another_demo_is_running_is_left_alone(tickgate, tmp_path):
    writer = DialWriter(str(tmp_path / "dials"), make_dials())
    (tmp_path / "tape").mkdir()
    (tmp_path / "tape" / "00000000.tape").write_text("in use")
    told = tickgate("demo", "--keep", tmp_path)
    assert (told.code, told.err) == (2, f"tickgate: --keep {tmp_path}: another demo is running there\n")
    assert (tmp_path / "tape" / "00000000.tape").read_text() == "in use"
    assert writer.slots


def test_venues_that_do_not_start_are_one_line_that_says_why(processes, tmp_path):
    told = processes.run("demo", "--recording", tmp_path / "missing", "--json")
    assert (told.code, told.out) == (2, "")
    assert str(tmp_path / "missing") in json.loads(told.err)["error"]
    assert told.err.count("\n") == 1
    processes.gone()


def test_a_node_that_does_not_start_is_one_line_that_says_why(tickgate, monkeypatch):
    monkeypatch.setattr(module, "HEAD", module.HEAD.replace('"quoter"', '"oracle"'))
    told = tickgate("demo", "--seconds", "6")
    assert told.code == 2
    assert "strategy 'oracle'" in told.err
    assert told.err.count("\n") == 1


def test_ledgers_that_do_not_agree_are_exit_code_1(tickgate, monkeypatch):
    monkeypatch.setattr(module, "_run", lambda *args: (Summary(), {}))
    told = tickgate("demo", "--json")
    assert told.code == 1
    assert json.loads(told.out)["agreed"] is False
    why = "the node's positions are not those in the venues' own ledgers"
    assert json.loads(told.err) == {"error": why, "code": 1}


# ---- processes that die --------------------------------------------------------------------------


def running(processes, *args):
    """A demo with its venues and its node at work: (demo, pid of the venues, pid of the node)."""
    demo = processes.start("demo", "--seconds", "60", *args)
    node = processes.find("node.cli run")
    tape = Path(f"/proc/{node}/cmdline").read_bytes().split(b"\0")
    config = Path(next(x for x in tape if x.endswith(b"node.toml")).decode())
    deadline_s = time.monotonic() + 10
    while not (config.parent / "tape" / "00000000.tape").exists() and time.monotonic() < deadline_s:
        time.sleep(0.02)
    time.sleep(0.3)
    return demo, processes.find("node.cli sim"), node, config.parent


@pytest.mark.parametrize("which", ["venues", "node"])
def test_a_process_that_is_killed_is_one_line_and_nothing_is_left(processes, which):
    demo, venues, node, folder = running(processes, "--json")
    os.kill(venues if which == "venues" else node, signal.SIGKILL)
    out, err = demo.communicate(timeout=30)
    what = "the simulated venues" if which == "venues" else "the node"
    assert (demo.returncode, out) == (1, "")
    assert json.loads(err) == {"error": f"{what} died: SIGKILL", "code": 1}
    processes.gone()
    assert not folder.exists()


def test_a_node_that_ends_by_itself_is_one_line(processes):
    demo, _, node, _ = running(processes)
    os.kill(node, signal.SIGTERM)
    _, err = demo.communicate(timeout=30)
    assert demo.returncode == 1
    assert "the node stopped before the end: " in err
    assert "Traceback" not in err
    processes.gone()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_demo_that_is_interrupted_leaves_nothing_behind_and_is_quiet(processes, number, code):
    demo, *_, folder = running(processes)
    if number == signal.SIGINT:
        os.killpg(demo.pid, number)  # as a terminal does: to everybody in the foreground
    else:
        demo.send_signal(number)
    _, err = demo.communicate(timeout=30)
    assert demo.returncode == code
    assert err == ""
    processes.gone()
    assert not folder.exists()


def test_a_demo_that_is_killed_takes_its_children_with_it(processes):
    demo, _, _, folder = running(processes)
    demo.kill()
    demo.wait()
    processes.gone(within_s=5)
    assert verify(str(folder / "tape")).sealed  # the node ended in order
    module.shutil.rmtree(folder)

"""The command line itself: usage, help, exit codes, and readers that go away."""

import asyncio
import errno
import json
import os
import re
import signal
import time
from types import SimpleNamespace

import pytest

from node import cli
from node.errors import Failed, UserError
from node.net.live import Node
from node.operate import NAMES
from node.slow.trades import Trades

CONTROL = ("status", "halt", "flatten", "resume", "stop", "limits")
COMMANDS = ("demo", "run", "sim", "replay", "bench", *CONTROL)


def recording(path, lines: int = 2000) -> None:
    """A small recording of Binance USD-M, with its snapshot."""
    with path.open("w") as file:

        def write(n, channel, raw):
            told = {
                "t": 1_700_000_000 * 10**9 + n * 10**6,
                "venue": "binance-usdm",
                "channel": channel,
                "raw": json.dumps(raw),
            }
            file.write(json.dumps(told) + "\n")

        snapshot = {
            "lastUpdateId": 100,
            "E": 1,
            "T": 1,
            "bids": [["60000.0", "1.000"]],
            "asks": [["60000.1", "1.000"]],
        }
        update = {"e": "depthUpdate", "E": 1, "T": 1, "s": "BTCUSDT", "a": []}
        for n in range(lines):
            first = 90 + 11 * n
            write(
                n,
                "depth",
                update
                | {"U": first, "u": first + 10, "pu": first - 1, "b": [[f"{59_999 - n % 1000}.0", "1.000"]]},
            )
            if n == 0:
                write(n, "rest:depth", snapshot)


def test_without_a_command_there_is_help_and_exit_code_2(tickgate):
    told = tickgate()
    assert told.code == 2
    for command in COMMANDS:
        assert command in told.out


@pytest.mark.parametrize("args", [["--help"], *([x, "--help"] for x in COMMANDS)])
def test_help_is_exit_code_0(tickgate, args):
    told = tickgate(*args)
    assert told.code == 0
    assert "Usage:" in told.out
    assert told.err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_json(tickgate, command):
    assert "--json" in tickgate(command, "--help").out


@pytest.mark.parametrize(
    "args",
    [
        ["nonsense"],
        ["--frob"],
        ["run"],
        ["run", "a.toml", "b.toml"],
        ["run", "a.toml", "--frob"],
        ["replay"],
        ["replay", "x", "--at", "0"],
        ["replay", "x", "--at", "many"],
        ["demo", "--seconds", "nan"],
        ["demo", "--seconds", "3"],
        ["demo", "--seconds", "4000"],
        ["demo", "--seed", "1.5"],
        ["demo", "extra"],
        ["sim", "--seed", "x"],
        ["halt"],
        ["resume", "."],
        ["resume", ".", "--reason", " "],
        ["run", "a.toml", "--accept"],
    ],
)
def test_bad_usage_is_exit_code_2_and_no_traceback(tickgate, args):
    told = tickgate(*args)
    assert told.code == 2
    assert told.out == ""
    assert "Traceback" not in told.err
    assert told.err.startswith("tickgate: ")
    assert told.err.count("\n") == 1


def test_files_that_are_missing_are_one_line_and_exit_code_2(tickgate, tmp_path):
    missing = tmp_path / "missing"
    for args in (["run", missing], ["sim", missing], ["replay", missing]):
        told = tickgate(*args)
        assert (told.code, told.out) == (2, "")
        assert told.err.startswith("tickgate: ")
        assert str(missing) in told.err
        assert told.err.count("\n") == 1


def test_a_bench_that_there_is_not_is_one_line_and_exit_code_2(tickgate):
    told = tickgate("bench", "nonsense")
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith("tickgate: ")
    assert "nonsense" in told.err
    assert told.err.count("\n") == 1


def test_a_replay_as_json_and_as_tables(processes, tmp_path):
    path = tmp_path / "small.jsonl"
    recording(path, 20)
    told = processes.run("replay", path, "--json")
    assert (told.code, told.err) == (0, "")
    assert json.loads(told.out)["files"][0]["instruments"][0]["id"] == "binance-usdm:BTCUSDT"
    told = processes.run("replay", path)
    assert told.code == 0
    assert "BTCUSDT" in told.out


def test_json_is_indented_and_keeps_its_order(capsys):
    cli.print_json({"b": 1, "a": [2]})
    assert capsys.readouterr().out == '{\n  "b": 1,\n  "a": [\n    2\n  ]\n}\n'


# ---- readers that go away, and interruptions ------------------------------------------------------


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_reader_that_has_seen_enough_is_no_error_to_talk_about(processes, tmp_path, more):
    """`tickgate replay FILE | head -1`, with head gone before the first byte is written."""
    path = tmp_path / "small.jsonl"
    recording(path, 20)
    process = processes.start("replay", path, *more)
    process.stdout.close()
    assert process.wait(20) == 1
    assert process.stderr.read() == ""


def test_help_into_a_closed_pipe_is_quiet_too(processes):
    process = processes.start("--help")
    process.stdout.close()
    assert process.wait(20) in (0, 1)
    assert process.stderr.read() == ""


def test_ctrl_c_in_the_middle_of_a_replay_is_quiet_and_exit_code_130(processes, tmp_path):
    path = tmp_path / "large.jsonl"
    recording(path, 300_000)
    process = processes.start("replay", path)
    time.sleep(0.8)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    processes.gone()


def test_several_lines_of_an_error_become_one(tickgate, monkeypatch):
    def fail(*args, **more):
        raise UserError("first\n   second")

    monkeypatch.setattr("node.backtest.replay.replay_command", fail)
    told = tickgate("replay", "x")
    assert (told.code, told.err) == (2, "tickgate: first second\n")


# ---- an operator's commands -----------------------------------------------------------------------


def test_without_a_node_each_command_is_one_line_and_halt_leaves_a_file_that_the_next_start_obeys(
    tickgate, tmp_path
):
    for name, more in (("status", []), ("stop", []), ("limits", []), ("resume", ["--reason", "x"])):
        told = tickgate(name, tmp_path, *more)
        assert (told.code, told.out) == (1, "")
        assert told.err == f"tickgate: {tmp_path}: not running: there is no tape in it; {NAMES}\n"
    told = tickgate("halt", tmp_path)
    assert told.code == 2
    assert told.err == f"tickgate: {tmp_path}: there is no tape in it: nothing to halt; {NAMES}\n"
    (tmp_path / "00000000.tape").touch()
    told = tickgate("halt", tmp_path, "--reason", "lunch")
    assert told.code == 0
    assert "its next start obeys it; nothing was cancelled or closed" in told.out
    assert json.loads((tmp_path / "latch.json").read_text())["reason"] == "lunch"
    for name in ("halt", "flatten"):  # what was to be waited for does not happen
        told = tickgate(name, tmp_path, "--wait")
        assert (told.code, told.out) == (1, "")
        assert "nothing was cancelled or closed by this command" in told.err
        told = tickgate(name, tmp_path, "--wait", "--json")
        assert (told.code, json.loads(told.out)["running"]) == (1, False)
    told = tickgate("flatten", tmp_path, "--json")
    assert json.loads(told.out)["running"] is False
    assert json.loads((tmp_path / "latch.json").read_text())["flatten"] is True


@pytest.mark.parametrize("name", CONTROL)
def test_a_config_that_is_not_there_is_named(tickgate, tmp_path, name):
    told = tickgate(name, tmp_path / "none.toml", *(["--reason", "x"] if name == "resume" else []))
    assert (told.code, told.out) == (2, "")
    assert f"{tmp_path / 'none.toml'}: cannot be read" in told.err


@pytest.mark.parametrize("name", ["run", "sim", "guard", "archive"])
def test_a_directory_in_the_place_of_a_config_is_told_as_such(tickgate, tmp_path, name):
    told = tickgate(name, tmp_path)
    assert (told.code, told.out) == (2, "")
    assert told.err == f"tickgate: {tmp_path}: cannot be read: Is a directory: name a config file (TOML)\n"


ANSWER = {"ok": False, "code": 3, "error": "not resumed: the loss is still there"}


@pytest.mark.parametrize("as_json", [False, True])
def test_what_a_safety_rule_refuses_is_exit_code_3(tickgate, tmp_path, monkeypatch, as_json):
    monkeypatch.setattr("node.operate.ask", lambda directory, request: dict(ANSWER))
    told = tickgate("resume", tmp_path, "--reason", "x", *(["--json"] if as_json else []))
    assert told.code == 3
    if as_json:
        assert json.loads(told.out) == ANSWER
    else:
        assert told.err == "tickgate: not resumed: the loss is still there\n"


def test_version_and_build_are_told(tickgate):
    told = tickgate("--version")
    assert told.code == 0
    assert re.fullmatch(r"tickgate \d+\.\d+\.\d+, build [0-9a-f]{12}\n", told.out)


@pytest.mark.parametrize(
    ("command", "text", "said"),
    [
        ("run", 'seed = 1\nvenues = ["okx"]\n', "a config of simulated venues: `tickgate sim "),
        ("sim", 'mode = "sim"\n[[venue]]\n', "a config of a node: `tickgate run "),
    ],
)
def test_the_config_of_the_other_command_is_said_to_be_that(tickgate, tmp_path, command, text, said):
    path = tmp_path / "it.toml"
    path.write_text(text)
    told = tickgate(command, path)
    assert told.code == 2
    assert f"{path}: this is {said}{path}`" in told.err


def test_a_csv_that_cannot_be_written_is_bad_usage_and_names_the_path(tickgate, tmp_path, monkeypatch):
    monkeypatch.setattr("node.slow.trades.trades_of", lambda tape, **_: Trades([], {}, [], "", ""))
    told = tickgate("trades", tmp_path, "--csv", tmp_path / "none" / "x.csv")
    assert told.code == 2
    assert told.err == f"tickgate: --csv {tmp_path / 'none' / 'x.csv'}: No such file or directory\n"


def test_a_start_on_a_full_disk_is_no_bad_usage(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "raw")

    monkeypatch.setattr("node.restarts.Restarts.begin", full)
    node = SimpleNamespace(config=SimpleNamespace(tape=str(tmp_path)))
    with pytest.raises(Failed, match=f"tape {tmp_path}: the disk is full: make room"):
        asyncio.run(Node._count_start(node))


def test_everything_that_the_recorder_wrote_can_be_named_for_a_replay(tickgate, tmp_path):
    recording(tmp_path / "small.jsonl", 20)
    row = {"market": "binance-usdm", "symbol": "BTCUSDT", "tick": "0.01", "lot": "0.001"}
    (tmp_path / "small.instruments.json").write_text(json.dumps({"instruments": [row]}))
    told = tickgate("replay", *sorted(tmp_path.iterdir()), "--json")
    assert told.code == 0
    assert [x["file"] for x in json.loads(told.out)["files"]] == [str(tmp_path / "small.jsonl")]
    told = tickgate("replay", tmp_path / "small.instruments.json")
    assert (told.code, told.err) == (2, "tickgate: no recordings named\n")

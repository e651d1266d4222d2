"""The command line itself: usage, help, exit codes, and readers that go away."""

import asyncio
import errno
import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import bench
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
        ["soak", "--label", "foo"],
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


def test_a_bench_says_how_its_tools_are_installed_and_a_wrong_name_is_told_without_them(
    tickgate, monkeypatch
):
    for name in [x for x in sys.modules if x.startswith(("bench.", "sortedcontainers"))]:
        monkeypatch.delitem(sys.modules, name)
    for name in [x for x in vars(bench) if isinstance(vars(bench)[x], ModuleType)]:
        monkeypatch.delattr(bench, name)  # else the package remembers what another test imported
    monkeypatch.setitem(sys.modules, "sortedcontainers", None)  # as if it were not installed
    told = tickgate("bench", "encode")
    assert (told.code, told.out, told.err.count("\n")) == (1, "", 1)
    assert "bench needs sortedcontainers, which is not installed: `make bench` installs" in told.err
    told = tickgate("bench", "nonsense")
    assert (told.code, told.err) == (
        2,
        "tickgate: no benchmark nonsense; there are: book, risk, stop, encode, tape, wire\n",
    )


def test_the_benches_that_are_named_are_those_that_there_are():
    from bench import suite

    assert tuple(suite.BENCHES) == bench.NAMES
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert f"which install its tools: {' '.join(bench.NAMES)}\n" in readme


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


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("run", "file itself"),
        ("sim", "file itself"),
        ("guard", "file itself"),
        ("archive", "config of its node"),
    ],
)
def test_a_directory_in_the_place_of_a_config_is_told_as_such(tickgate, tmp_path, name, fix):
    told = tickgate(name, tmp_path)
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith(f"tickgate: {tmp_path}: is a directory: name the {fix}")


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


# ---- each command with each thing that it cannot use -----------------------------------------------

# What stands in front of the file that is wrong.
OF_A_CONFIG = ("run", "record", "guard", "archive", "archive --once")
OF_A_TARGET = (
    *("status", "halt", "flatten", "resume --reason x", "stop", "limits", "replay", "audit", "trades"),
    *("tape list", "tape verify", "tape dump", "tape key"),
)
OF_OTHERS = ("sim", "sim --recording", "soak --faults", "record --from-tape")
KEEPS = ("demo --keep", "drill --keep")
EMPTY_IS_FINE = ("sim",)  # each of its keys has a default
BAD = {
    "empty.toml": b"",
    "other.toml": b'[[food]]\nname = "bread"\n',
    "binary.toml": bytes(range(256)) * 20,
    "broken.toml": b"mode = \n",
    "binary": bytes(range(256)) * 20,
    "some.json": b'{"a": 1}\n',
}
ALL = (*OF_A_CONFIG, *OF_A_TARGET, *OF_OTHERS)


@pytest.fixture(scope="module")
def unusable(tmp_path_factory):
    """Everything that no command can use, in one place."""
    out = tmp_path_factory.mktemp("usage")
    for name, data in BAD.items():
        (out / name).write_bytes(data)
    (out / "directory").mkdir()
    return out


def fails(told, place: Path, codes=(2,)) -> None:
    """One line that names the place."""
    assert told.code in codes, told
    assert told.out == ""
    assert told.err.startswith("tickgate: "), told
    assert told.err.count("\n") == 1
    assert str(place) in told.err
    assert "codec" not in told.err
    assert "Errno" not in told.err


@pytest.mark.parametrize("command", [*ALL, *KEEPS])
def test_a_command_without_what_it_needs_is_one_line(tickgate, command):
    told = tickgate(*(command.split() if command not in EMPTY_IS_FINE else [command, "--seed"]))
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("name", ["missing", "missing.toml", "missing/deeper.toml", *BAD])
@pytest.mark.parametrize("command", ALL)
def test_a_file_that_cannot_be_used_is_named_in_one_line(tickgate, unusable, command, name):
    if command in EMPTY_IS_FINE and name == "empty.toml":
        return
    fails(tickgate(*command.split(), unusable / name), unusable / name)


@pytest.mark.parametrize("command", ALL)
def test_a_directory_that_is_no_tape_is_named_in_one_line(tickgate, unusable, command):
    place = unusable / "directory"
    fails(tickgate(*command.split(), place), place, (1, 2))  # 1: it may be a tape, whose node does not run


@pytest.mark.parametrize("command", KEEPS)
def test_a_file_in_the_place_of_a_folder_is_named_in_one_line(tickgate, unusable, command):
    fails(tickgate(*command.split(), unusable / "binary"), unusable / "binary")


@pytest.mark.parametrize("command", ALL)
def test_a_file_that_may_not_be_read_is_named_with_the_reason(tickgate, unusable, monkeypatch, command):
    """As another user: whoever runs these tests may be root, whom nothing stops."""
    place = unusable / "locked.toml"
    place.write_bytes(b"")
    opened = Path.open

    def denied(path, *args, **more):
        if path == place:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *args, **more)

    monkeypatch.setattr(Path, "open", denied)
    monkeypatch.setattr(Path, "read_bytes", denied)
    monkeypatch.setattr(Path, "read_text", denied)
    told = tickgate(*command.split(), place)
    fails(told, place)
    if command != "record --from-tape":  # which wants a directory
        assert "ermission denied" in told.err


def test_a_directory_of_configs_is_answered_with_one_of_them(tickgate, tmp_path):
    (tmp_path / "mine.toml").touch()
    told = tickgate("run", tmp_path)
    assert told.err == (
        f"tickgate: {tmp_path}: is a directory: name the file itself, such as {tmp_path / 'mine.toml'}\n"
    )
    assert "name the config of its node" in tickgate("archive", tmp_path, "--once").err

"""Every command that the README shows is tried, in small."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from ext.strategy import Strategy
from node.config import load
from node.sim.memory import SEC, World

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TIMEOUT_S = 60
SHORTER = {"tickgate bench": "tickgate bench encode"}  # each bench has a test of its own
# Long ones are run once, by the test of theirs: here it is looked at that this is so.
RUN_BY = {
    "tickgate demo": ("node/test_demo.py", 'processes.run("demo")'),
    "tickgate demo --json --seconds 6": ("node/test_demo.py", '"demo", "--seconds", "6"'),
    "tickgate drill": ("node/test_drill.py", '"drill", "--orders", "10"'),
    "tickgate soak --minutes 1": ("node/test_soak.py", '"soak", "--minutes", "0.4"'),
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[str]:
    """Lines without comments and prompts; a line that ends with a backslash goes on."""
    lines = block.replace("\\\n", " ").splitlines()
    bare = (re.sub(r"(^|\s)#.*", "", line).removeprefix("$ ").strip() for line in lines)
    return [x for x in bare if x]


SHELL = [commands(x) for x in blocks("sh")]
TICKGATE = [[x for x in block if x.startswith("tickgate ")] for block in SHELL]


def free_port() -> str:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return str(sock.getsockname()[1])


@pytest.fixture
def folder(tmp_path) -> Path:
    """A place to run in: `deploy/` with ports of its own, and a recording called FILE..."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    ports: dict[str, str] = {}
    for path in (tmp_path / "deploy").glob("*.toml"):
        text = path.read_text()
        for port in re.findall(r"\b18[0-9]{3}\b", text):
            text = re.sub(rf"\b{port}\b", ports.setdefault(port, free_port()), text)
        path.write_text(text)
    snapshot = {
        "lastUpdateId": 100,
        "E": 1,
        "T": 1,
        "bids": [["60000.0", "1.000"]],
        "asks": [["60000.1", "1.000"]],
    }
    update = {
        "e": "depthUpdate",
        "E": 1,
        "T": 1,
        "s": "BTCUSDT",
        "U": 99,
        "u": 101,
        "pu": 98,
        "b": [],
        "a": [],
    }
    with (tmp_path / "FILE...").open("w") as file:
        for channel, raw in (("depth", update), ("rest:depth", snapshot)):
            told = {
                "t": 1_700_000_000 * 10**9,
                "venue": "binance-usdm",
                "channel": channel,
                "raw": json.dumps(raw),
            }
            file.write(json.dumps(told) + "\n")
    return tmp_path


def start(command: str, folder: Path) -> subprocess.Popen:
    argv = shlex.split(SHORTER.get(command, command))
    argv[:1] = [sys.executable, "-P", "-m", "node.cli"]
    env = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(argv, cwd=folder, env=env, text=True, **pipes)


def talks_to_a_node(command: str) -> bool:
    return command.split()[1] in ("status", "halt", "resume", "limits", "flatten", "stop")


def runs_until_stopped(command: str) -> bool:
    return command.split()[1] in ("run", "sim")


def needs_venues(command: str) -> bool:
    return command.split()[1] == "record"


def reads_a_tape(command: str) -> bool:
    return command.split()[1] in ("tape", "audit", "trades", "archive") or "tapes/" in command


def test_the_readme_shows_the_commands_that_there_are():
    shown = {x.split()[1] for block in TICKGATE for x in block}
    assert {"demo", "sim", "run", "replay", "bench"} <= shown
    assert any(x.startswith("make run") for block in SHELL for x in block)


KINDS = (runs_until_stopped, talks_to_a_node, needs_venues, reads_a_tape)
ONCE = [x for block in TICKGATE for x in block if not any(kind(x) for kind in KINDS)]
OF_TAPES = [x for block in TICKGATE for x in block if reads_a_tape(x)]


@pytest.mark.parametrize(("command", "where"), RUN_BY.items())
def test_a_long_command_that_is_shown_is_run_by_a_test_of_its_own(command, where):
    path, call = where
    assert command in ONCE
    assert call in (ROOT / "tests" / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [x for x in ONCE if x not in RUN_BY])
def test_a_command_that_is_shown_works(command, folder):
    with start(command, folder) as process:
        out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, f"{command}: {err}"
    assert out
    assert "Traceback" not in err
    if "--json" in command:
        json.loads(out)


def ends_well(command: str, folder: Path) -> None:
    with start(command, folder) as process:
        out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, bool(out)) == (0, True), f"{command}: {out}{err}"
    assert "Traceback" not in err


def begun(command: str, process: subprocess.Popen, folder: Path) -> None:
    """A person waits for what it says; here for what listens: the venues, or the node's control socket."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline_s:
        if command.split()[1] == "sim":
            ports = tomllib.loads((folder / "deploy" / "venues.toml").read_text())["ports"]
            is_there = all(is_taken(x) for both in ports.values() for x in both)
        else:
            is_there = (folder / "tapes" / "sim" / "control.sock").exists()
        if is_there:
            return
        time.sleep(0.05)


def is_taken(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    "block", [x for x in TICKGATE if any(map(runs_until_stopped, x))], ids=lambda x: x[0]
)
def test_commands_that_run_until_stopped_do_so_together_and_end_well(block, folder):
    """As in as many terminals, in the order in which they are shown."""
    running = []
    try:
        for command in filter(runs_until_stopped, block):
            running.append((command, start(command, folder)))
            begun(*running[-1], folder)
        for command, process in running:
            assert process.poll() is None, f"{command}: {process.communicate()}"
        for command in (x for x in block if talks_to_a_node(x) or needs_venues(x)):
            ends_well(command, folder)
        for command, process in reversed(running):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=30)
            assert process.returncode == 0, f"{command}: {out}{err}"
            assert "Traceback" not in err
            assert "cannot connect" not in err
        for command in OF_TAPES:
            ends_well(command, folder)
    finally:
        for _, process in running:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.communicate()


MAKE = [x for block in SHELL for x in block if re.match(r"(\w+=\S+ )?make\b", x)]
MAKE += re.findall(r"`((?:\w+=\S+ )?make [\w ]+)`", README)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("command", MAKE)
def test_a_verb_that_is_shown_is_one_of_the_makefile(command):
    """Not run: this suite is run by one of them, and the others set up an environment of their own."""
    targets = command.partition("make ")[2].split()
    told = subprocess.run(["make", "-n", *targets], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(targets) <= set(phony.group(1).split())


@pytest.mark.parametrize("block", blocks("python"))
def test_python_that_is_shown_runs_and_strategies_in_it_are_strategies(block):
    names: dict = {}
    exec(compile(block, "README.md", "exec"), names)
    assert any(isinstance(x, type) and issubclass(x, Strategy) and x is not Strategy for x in names.values())


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:ext|node|docs|deploy|tests|bench)/[\w./*{},-]+)`", README)))
)
def test_a_file_that_is_named_exists(path):
    options = re.match(r"(.*)\{(.*)\}(.*)", path)
    names = [f"{options[1]}{x}{options[3]}" for x in options[2].split(",")] if options else [path]
    for name in names:
        assert list(ROOT.glob(name)), name


def traded(strategy: Strategy | None) -> tuple[World, Counter]:
    """The example config on simulated venues for 40 s of venue time: the node, and what it refused."""
    world = World(load(ROOT / "deploy" / "sim.toml"), strategy=strategy)
    world.run_for(40 * SEC)
    return world, Counter({k: n for k, n in world.engine.risk.refusals().items() if n})


@pytest.mark.parametrize("block", [None, *blocks("python")], ids=["quoter", "shown"])
def test_the_example_config_trades_everywhere_with_the_built_in_strategy_and_the_one_that_is_shown(block):
    names: dict = {}
    if block is not None:
        exec(compile(block, "README.md", "exec"), names)
    kinds = [
        x for x in names.values() if isinstance(x, type) and issubclass(x, Strategy) and x is not Strategy
    ]
    world, refused = traded(kinds[0]() if kinds else None)
    for number in range(world.engine.instruments.count):
        assert world.engine.account.position(number)["fills"] > 0, number
    assert not refused.keys() & {"NOTIONAL_MIN", "SIZE_MIN", "PRICE_STEP", "SIZE_STEP"}, refused
    if block is None:  # the other one asks again in each book
        assert not refused["VENUE_RATE"], refused
    assert not any(map(world.engine.risk.off, range(len(world.engine.strategies))))

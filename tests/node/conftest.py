"""Fixtures for commands, in this process and as processes of their own, and for a node against simulated
venues."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from node import cli

ROOT = Path(__file__).parents[2]
TAG = "TICKGATE_TEST_TAG"


@pytest.fixture(autouse=True)
def signals():
    """A command is deaf to signals behind its end. Here there is more to come."""
    before = {x: signal.getsignal(x) for x in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@dataclass
class Told:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def tickgate(monkeypatch, capsys):
    """`tickgate("run", path)` runs a command in this process."""

    def run(*args) -> Told:
        monkeypatch.setattr(sys, "argv", ["tickgate", *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main()
        said = capsys.readouterr()
        return Told(left.value.code or 0, said.out, said.err)

    return run


class Processes:
    """Commands as processes of their own. Children carry a tag, so that one that outlives its parent is
    found."""

    def __init__(self) -> None:
        self.tag = uuid.uuid4().hex
        self.env = os.environ | {TAG: self.tag, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
        self.started: list[subprocess.Popen] = []

    def start(self, *args, **popen) -> subprocess.Popen:
        """`tickgate ARGS` in a session of its own, as a terminal would have it."""
        given = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "cwd": ROOT,
        }
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "node.cli", *map(str, args)],
            env=self.env,
            start_new_session=True,
            **(given | popen),
        )
        self.started.append(process)
        return process

    def run(self, *args, timeout_s: float = 60, **popen) -> Told:
        """To its end."""
        process = self.start(*args, **popen)
        out, err = process.communicate(timeout=timeout_s)
        return Told(process.returncode, out, err)

    def alive(self) -> dict[int, str]:
        """Everything that was started here, children of children included, and still runs: pid -> command
        line."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                if f"{TAG}={self.tag}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def find(self, text: str, within_s: float = 30) -> int:
        """Pid of the process whose command line contains `text`, once there is one."""
        return until(lambda: next((pid for pid, line in self.alive().items() if text in line), 0), within_s)

    def gone(self, within_s: float = 20) -> None:
        """Nothing is left; fails with what is."""
        with contextlib.suppress(TimeoutError):
            until(lambda: not self.alive(), within_s)
        assert self.alive() == {}

    def end(self) -> None:
        for pid in self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.started:
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()


def until(condition, within_s: float = 30):
    """The first true answer of `condition()`. Raises TimeoutError."""
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        if answer := condition():
            return answer
        time.sleep(0.02)
    raise TimeoutError(f"not within {within_s} s")


@pytest.fixture
def processes():
    started = Processes()
    yield started
    started.end()

"""Who may hold the lock of a tape while a node starts, and for how long."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import archives
import pytest

from ext.tape import TapeWriter
from node.beat import Beat
from node.errors import UserError
from node.net import taking


@pytest.fixture
def held(tmp_path):
    """The lock, held by somebody who does not sign it, as an archiver does."""
    fd = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    yield fd
    os.close(fd)


def take(tmp_path, sleep):
    return taking.taken(tmp_path, lambda: TapeWriter(tmp_path, now_ns=1, segment_size=archives.PAGE), sleep)


def dead():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.mark.parametrize("signed", ["", "dead", "alive, and no node"])
def test_a_start_waits_for_one_that_holds_the_lock_and_is_no_node(tmp_path, held, signed):
    text = {"": "", "dead": str(dead()), "alive, and no node": str(os.getpid())}[signed]
    os.pwrite(held, text.encode(), 0)
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            fcntl.flock(held, fcntl.LOCK_UN)

    take(tmp_path, sleep).close(2)
    assert len(slept) == 3


def test_a_node_is_refused_at_once_while_another_one_runs(tmp_path):
    first, slept = TapeWriter(tmp_path, now_ns=1, segment_size=archives.PAGE), []
    beat = Beat(tmp_path, 1)
    with pytest.raises(UserError, match=rf"another node \(process {os.getpid()}\) is writing it; stop it or"):
        take(tmp_path, slept.append)
    assert slept == []
    beat.end()
    first.close(2)


def test_a_node_that_runs_is_not_joined_because_its_lock_file_was_taken_away(tmp_path):
    """As `rsync --delete` of a backup does. Its heartbeat says that it is there."""
    code = "import sys, time; from pathlib import Path; from node.beat import Beat\n"
    code += "Beat(Path(sys.argv[1]), 1); print(flush=True); time.sleep(60)"
    root = str(Path(__file__).parents[3])
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=root, env=os.environ
    )
    try:
        other.stdout.readline()
        with pytest.raises(UserError, match=rf"another node \(process {other.pid}\) is writing it"):
            take(tmp_path, lambda seconds: None)
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    take(tmp_path, lambda seconds: None).close(2)


def test_a_lock_that_is_never_let_go_is_told_in_the_end_and_never_taken(tmp_path, held):
    slept = []
    with pytest.raises(UserError, match="holds its lock"):
        take(tmp_path, slept.append)
    assert sum(slept) == pytest.approx(taking.PATIENCE_S)
    assert not list(tmp_path.glob("*.tape"))

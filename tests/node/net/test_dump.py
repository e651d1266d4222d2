"""A crash in native code leaves a dump; the next start puts it aside and says so."""

import faulthandler
import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.net.dump import KEPT, NAME, Dump

ROOT = Path(__file__).parents[3]
DIE = "import os, sys; from pathlib import Path; from node.net.dump import Dump; d = Dump(); "
DIE += "d.begin(Path(sys.argv[1])); os.kill(os.getpid(), int(sys.argv[2]))"


@pytest.fixture
def restored():
    was = faulthandler.is_enabled()
    yield
    if was:
        faulthandler.enable()


def test_a_run_that_ends_by_itself_leaves_nothing(tmp_path, restored):
    dump = Dump()
    assert dump.begin(tmp_path) == []
    assert (tmp_path / NAME).exists()
    dump.end()
    assert list(tmp_path.iterdir()) == []
    dump.end()


def test_a_crash_leaves_where_every_thread_was_and_the_next_start_keeps_it(tmp_path, restored):
    done = subprocess.run([sys.executable, "-c", DIE, tmp_path, "6"], cwd=ROOT, check=False)
    assert done.returncode == -6
    assert 'File "<string>"' in (tmp_path / NAME).read_text()
    dump = Dump()
    [told] = dump.begin(tmp_path)
    [kept] = tmp_path.glob("crash-*.txt")
    assert told == f"the last run crashed in native code (Fatal Python error: Aborted): see {kept}"
    dump.end()
    assert list(tmp_path.iterdir()) == [kept]


def test_a_kill_leaves_no_dump_and_nothing_is_told(tmp_path, restored):
    (tmp_path / NAME).write_text("")
    dump = Dump()
    assert dump.begin(tmp_path) == []
    dump.end()


def test_so_many_are_kept(tmp_path, restored):
    for number in range(KEPT + 3):
        (tmp_path / NAME).write_text("Fatal Python error: x\n")
        os.utime(tmp_path / NAME, (number + 1, number + 1))
        dump = Dump()
        assert dump.begin(tmp_path)
        dump.end()
    kept = sorted(x.name for x in tmp_path.glob("crash-*.txt"))
    assert len(kept) == KEPT
    assert kept[-1].startswith(f"crash-19700101T0000{KEPT + 3:02}")


def test_a_folder_that_cannot_be_written_is_told_and_no_reason_not_to_run(tmp_path):
    dump = Dump()
    [told] = dump.begin(tmp_path / "none")
    assert told.endswith("No such file or directory: a crash would leave no dump")
    dump.end()

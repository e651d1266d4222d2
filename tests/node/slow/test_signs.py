"""What one look at a node shows, on real files and real processes."""

import os
import subprocess
import sys
import time

from ext.tape import RecordType, TapeWriter
from node.beat import LAYOUT, MAGIC, NAME, Beat
from node.slow.signs import Looker
from node.slow.watch import Signs


def test_no_page_is_no_node(tmp_path):
    assert Looker(tmp_path).look() == Signs()


def test_page_and_tape_are_two_signs(tmp_path):
    tape = TapeWriter(str(tmp_path), now_ns=1, segment_size=1 << 20)
    beat, looker = Beat(tmp_path, 1), Looker(tmp_path)
    first = looker.look()
    assert (first.owner[0], first.state, first.ended) == (os.getpid(), "R", False)
    beat.beat(2)
    second = looker.look()
    assert (second.beat > first.beat, second.tape == first.tape) == (True, True)
    tape.append(RecordType.TIMER, 0, 3, b"")
    third = looker.look()
    assert (third.beat == second.beat, third.tape > second.tape) == (True, True)
    beat.end()
    assert looker.look().ended
    tape.close(4)


def test_a_tape_that_cannot_be_read_does_not_hide_the_page(tmp_path):
    beat, looker = Beat(tmp_path, 1), Looker(tmp_path)
    (tmp_path / "00000000.tape").write_bytes(b"not a tape" * 100)
    first = looker.look()
    beat.beat(2)
    assert looker.look().beat > first.beat


def test_a_process_id_that_is_used_again_is_not_the_node(tmp_path):
    (tmp_path / NAME).write_bytes(LAYOUT.pack(MAGIC, os.getpid(), 1, 1, 0))
    assert Looker(tmp_path).look().state == ""


def test_a_process_that_is_gone_has_no_state(tmp_path):
    code = f"from node.beat import Beat; from pathlib import Path; Beat(Path({str(tmp_path)!r}), 1)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)
    looker = Looker(tmp_path)
    assert looker.look().owner is not None
    assert looker.look().state == ""
    assert time.monotonic_ns() > looker.look().beat

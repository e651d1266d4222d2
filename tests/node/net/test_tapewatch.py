"""What holds a node back on account of its tape: told once, held while it lasts, then taken back."""

import errno
import time
from pathlib import Path

import pytest

from ext.records import Latch
from ext.tape import TapeFull, TapeWriter
from node.net.tapewatch import SUSPECT, TapeWatch
from node.synced import SyncedPage

MS = 1_000_000


class Tape:
    """What a watch sees of a tape."""

    def __init__(self):
        self.full, self.free, self.min_free, self.turns, self.trouble = False, 100 << 20, 10 << 20, 0, None
        self.is_stuck, self.index = False, 0

    def prepare(self):
        self.turns += not self.is_stuck
        if self.trouble is not None:
            raise self.trouble


class Desk:
    def __init__(self, folder):
        self.tape, self.now_ns = Tape(), time.monotonic_ns()
        self.latched: list[tuple[int, bool]] = []
        self.told: list[str] = []
        self.noted: list[dict] = []
        self.watch = TapeWatch(
            folder,
            lambda which, on: self.latched.append((which, on)),
            lambda line, text: self.told.append(text),
            self.noted.append,
        )

    def look(self, times: int = 1, step_ns: int = 40 * MS) -> None:
        for _ in range(times):
            self.now_ns += step_ns
            self.watch.look(self.tape, self.now_ns)


@pytest.fixture
def desk(tmp_path):
    (tmp_path / "00000000.tape").touch()
    return Desk(tmp_path)


def test_a_tape_in_good_order_says_nothing(desk):
    desk.look(200)
    assert (desk.latched, desk.told, desk.noted) == ([], [], [])


def test_too_little_room_holds_until_there_is_twice_as_much(desk):
    desk.tape.free = (10 << 20) - 1
    desk.look(5)
    assert desk.latched == [(2, True)]
    assert "less than 10 MB are free on its disk" in desk.told[0]
    assert "no new orders from here on" in desk.told[0]
    assert [x["cause"] for x in desk.noted] == ["room"]
    desk.tape.free = 19 << 20
    desk.look(5)
    assert desk.latched == [(2, True)]
    desk.tape.free = 20 << 20
    desk.look(5)
    assert desk.latched == [(2, True), (2, False)]
    assert desk.told[1].startswith("passed: ")


def test_room_that_nobody_can_tell_holds_nothing(desk):
    desk.tape.free = -1
    desk.look(5)
    assert desk.latched == []


def test_a_segment_that_cannot_be_made_holds_while_it_lasts_and_a_full_tape_for_good(desk):
    desk.tape.trouble = TapeFull(28, "no room for another tape segment", "/t")
    desk.look(5)
    desk.tape.trouble = None
    desk.look(5)
    assert desk.latched == [(2, True), (2, False)]
    desk.tape.full = True
    desk.look(50)
    assert desk.latched[2:] == [(2, True)]
    assert len(desk.told) == 3


def test_two_causes_are_one_latch(desk, tmp_path):
    desk.tape.free = 0
    desk.look()
    (tmp_path / SUSPECT).write_text("{}")
    desk.look(10)
    desk.tape.free = 1 << 40
    desk.look(10)
    assert desk.latched == [(2, True)]
    (tmp_path / SUSPECT).unlink()
    desk.look(10)
    assert desk.latched == [(2, True), (2, False)]


def test_a_disk_that_does_not_answer_holds_but_a_process_that_stood_still_does_not(desk):
    desk.look(3)
    desk.tape.is_stuck = True
    desk.look(step_ns=60_000 * MS)  # frozen for a minute
    assert desk.latched == []
    desk.look(30)
    assert desk.latched == [(2, True)]
    assert "its disk has not answered for 1 s" in desk.told[0]
    desk.tape.is_stuck = False
    desk.look()
    assert desk.latched == [(2, True), (2, False)]


def test_a_flush_that_failed_makes_the_tape_suspect_whoever_says_so(desk, tmp_path):
    page = SyncedPage(tmp_path, 1, 2)
    desk.look(10)
    assert desk.latched == []
    page.set(2, suspect=1)
    desk.look(10)
    assert desk.latched == [(2, True)]
    assert "a flush to its disk failed; look at the disk, then remove synced.page there" in desk.told[0]
    page.set(3, suspect=0)
    desk.look(10)
    assert desk.latched == [(2, True), (2, False)]
    page.close()


def test_it_looks_at_a_real_tape(tmp_path):
    desk = Desk(tmp_path)
    desk.tape = TapeWriter(tmp_path, now_ns=1, segment_size=4096, min_free=1 << 62)
    desk.look(3)
    assert desk.latched == [(2, True)]
    desk.tape.close(1)


def test_a_disk_that_does_not_answer_a_look_holds_the_node_back_and_does_not_end_it(desk, monkeypatch):
    def refused(path):
        raise OSError(errno.EIO, "Input/output error", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", refused)
        desk.look(30)
    assert desk.latched == [(int(Latch.LATCH_TAPE), True)]
    assert desk.told[0].endswith("its disk does not answer: Input/output error: no new orders from here on")
    desk.look(30)
    assert desk.latched[-1] == (int(Latch.LATCH_TAPE), False)


@pytest.fixture
def kept(tmp_path):
    """A desk whose tape's directory can be moved."""
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "00000000.tape").touch()
    made = Desk(tmp_path / "two")
    made.look(10)
    assert made.latched == []
    return made


def test_a_directory_that_is_moved_away_holds_until_it_is_back(kept, tmp_path):
    (tmp_path / "two").rename(tmp_path / "two.moved")
    kept.look(10)
    assert kept.latched == [(int(Latch.LATCH_TAPE), True)]
    assert kept.told[0].startswith(f"{tmp_path / 'two'}: the tape's directory was moved or removed: ")
    assert "put the directory back there, or end the node (`kill " in kept.told[0]
    (tmp_path / "two").mkdir()  # not the one that is written in
    (tmp_path / "two" / "00000000.tape").touch()
    kept.look(10)
    assert kept.latched == [(int(Latch.LATCH_TAPE), True)]
    (tmp_path / "two" / "00000000.tape").unlink()
    (tmp_path / "two").rmdir()
    (tmp_path / "two.moved").rename(tmp_path / "two")
    kept.look(10)
    assert kept.latched[1:] == [(int(Latch.LATCH_TAPE), False)]


def test_a_segment_that_is_removed_or_replaced_while_it_is_written_holds(kept, tmp_path):
    (tmp_path / "two" / "00000000.tape").rename(tmp_path / "kept")
    (tmp_path / "two" / "00000000.tape").touch()
    kept.look(10)
    assert kept.latched == [(int(Latch.LATCH_TAPE), True)]
    assert "00000000.tape: the segment that is being written was moved or removed" in kept.told[0]


def test_the_next_segment_and_the_archive_of_an_old_one_hold_nothing(kept, tmp_path):
    (tmp_path / "two" / "00000001.tape").touch()
    kept.tape.index = 1
    (tmp_path / "two" / "00000000.tape").unlink()
    kept.look(10)
    assert kept.latched == []

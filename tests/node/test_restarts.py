"""Starts without a good end are counted, over any death of the process."""

import os
import stat
from pathlib import Path

import pytest

from node.restarts import BUDGET, NAME, WINDOW_NS, Restarts, is_looping

SEC = 10**9


def test_110_three_starts_without_a_good_end_make_the_next_one_safe(tmp_path):
    told = [Restarts(tmp_path).begin(100 * SEC + n * SEC) for n in range(5)]
    assert told == [0, 1, 2, 3, 4]
    assert [is_looping(x) for x in told] == [False, False, False, True, True]
    assert BUDGET == 3


def test_a_clean_stop_forgets_them_all_and_what_is_old_does_not_count(tmp_path):
    for n in range(3):
        Restarts(tmp_path).begin(n * SEC)
    Restarts(tmp_path).clear()
    assert Restarts(tmp_path).begin(4 * SEC) == 0
    assert Restarts(tmp_path).begin(4 * SEC + WINDOW_NS) == 0
    Restarts(tmp_path).clear()
    Restarts(tmp_path).clear()


def test_a_start_that_a_mistake_ended_takes_back_itself_only(tmp_path):
    Restarts(tmp_path).begin(1 * SEC)
    mistaken = Restarts(tmp_path)
    mistaken.begin(2 * SEC)
    mistaken.take_back()
    assert Restarts(tmp_path).begin(3 * SEC) == 1


def test_a_clock_that_went_back_does_not_make_a_loop_look_old(tmp_path):
    for n in range(3):
        Restarts(tmp_path).begin(1000 * SEC - n * 60 * SEC)
    assert is_looping(Restarts(tmp_path).begin(900 * SEC))


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"starts": "x"}', b'{"starts": [null]}'])
def test_110_a_file_that_cannot_be_read_makes_the_start_safe_and_is_whole_again(tmp_path, raw):
    (tmp_path / NAME).write_bytes(raw)
    first = Restarts(tmp_path)
    assert is_looping(first.begin(10 * SEC))
    assert first.broken
    second = Restarts(tmp_path)
    assert second.begin(11 * SEC) == BUDGET + 1
    assert not second.broken
    second.take_back()
    first.take_back()
    assert Restarts(tmp_path).begin(12 * SEC) == BUDGET
    Restarts(tmp_path).clear()
    assert Restarts(tmp_path).begin(13 * SEC) == 0


def test_110_a_start_is_on_the_disk_before_it_goes_on(tmp_path, monkeypatch):
    """What is in the file before its name, its name before anything else: a power cut loses no start."""
    done, fsync, replace = [], os.fsync, Path.replace

    def synced(fd):
        done.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else os.fstat(fd).st_size)
        fsync(fd)

    def replaced(path, target):
        done.append("name")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    Restarts(tmp_path).begin(7)
    assert done == [len('{"starts":[7]}\n'), "name", "folder"]


def test_a_folder_that_was_made_for_a_mistake_goes_with_it(tmp_path):
    mistaken = Restarts(tmp_path / "tape")
    mistaken.begin(1)
    mistaken.take_back()
    assert not (tmp_path / "tape").exists()
    Restarts(tmp_path / "tape").begin(1)
    again = Restarts(tmp_path / "tape")
    again.begin(2)
    again.take_back()
    assert (tmp_path / "tape" / NAME).exists()

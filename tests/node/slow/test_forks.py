"""Which history of an archive a tape is of."""

import shutil

import archives
import pytest

from ext.tape import TapeReader
from node.slow.forks import (
    history_of,
    is_beginning,
    is_cut,
    own_history,
    parting,
    parting_by_bytes,
    put_back,
    read_histories,
)
from node.slow.segments import LIVE, Damaged, indexed


@pytest.fixture
def tape(tmp_path):
    """100 records, all archived; the live directory is as it was at record 50."""
    tape, backup = tmp_path / "tape", tmp_path / "backup"
    archives.write(tape, 50, close=False)
    shutil.copytree(tape, backup)
    archives.write(tape, 50)
    archives.settle(archives.archive_of(tape, fold=None))
    for path in indexed(tape, LIVE).values():
        path.unlink()
    shutil.copytree(backup, tape, dirs_exist_ok=True)
    return tape


def live(tape):
    return indexed(tape, LIVE)


def test_a_tape_that_was_put_back_is_of_the_history_until_it_is_written_on(tape):
    (root,) = read_histories(tape / "archive")
    assert parting(root, live(tape)) == parting_by_bytes(root, live(tape)) == -1
    newest = max(live(tape))
    archives.write(tape, 30, size=10, now_ns=7)
    assert parting(root, live(tape)) == newest + 1, "by its header"
    assert parting_by_bytes(root, live(tape)) == newest, "it was sealed at another time"


def test_a_tape_that_was_put_back_ends_with_its_newest_live_segment(tape):
    (root,) = read_histories(tape / "archive")
    newest, path = max(live(tape)), live(tape)[max(live(tape))]
    assert max(root.segments) > newest
    assert put_back(root, live(tape)) == newest
    assert max(history_of(tape / "archive", live(tape)).segments) == newest
    line, packed = root.segments[newest], root.path(newest)
    assert is_beginning(path, line, packed)
    assert is_beginning(path, line, None)
    assert not is_beginning(path, root.segments[0], packed), "another header"
    assert not is_beginning(path, line, root.path(0)), "other bytes"
    archives.write(tape, 30, size=10, now_ns=7)
    assert put_back(root, live(tape)) == -1, "it was gone on with"


def test_a_live_directory_that_lost_its_newest_segments_was_not_put_back(tape):
    archives.write(tape, 100, size=10, now_ns=7)
    archives.settle(archives.archive_of(tape, fold=None))
    known = history_of(tape / "archive", live(tape)).segments
    (tape / f"{max(live(tape)):08d}.tape").unlink()
    assert is_cut(live(tape))
    history = history_of(tape / "archive", live(tape))
    assert (history.segments, put_back(history, live(tape))) == (known, -1)


def test_a_reader_sees_what_a_tape_that_was_put_back_goes_on_from_before_any_archiver_has_looked(tape):
    archives.write(tape, 30, size=10, now_ns=7)
    first = min(live(tape))
    (tape / f"{first:08d}.tape").unlink()  # only in the archive
    history = history_of(tape / "archive", live(tape))
    assert max(history.segments) < max(live(tape))
    assert history.unpacked(first) is not None
    assert history.unpacked(99) is None


def test_a_fork_has_the_segments_of_the_history_that_it_left_and_its_own(tape):
    archives.write(tape, 30, size=10, now_ns=7)
    archives.settle(archives.archive_of(tape, fold=None))
    root, fork = read_histories(tape / "archive")
    assert (root.name, fork.name, fork.parent) == ("", "fork-0001", root)
    assert list(fork.segments) == list(range(fork.begin)) + list(fork.chain.segments)
    assert fork.path(0) == tape / "archive" / "00000000.tape.zst"
    assert fork.path(fork.begin) == tape / "archive" / "fork-0001" / f"{fork.begin:08d}.tape.zst"
    assert fork.packed == {i: fork.path(i) for i in fork.segments}
    assert history_of(tape / "archive", live(tape)).name == "fork-0001"
    assert own_history(tape / "archive").segments == root.segments
    assert own_history(tape / "archive" / "fork-0001").segments == fork.segments


def test_a_live_segment_that_is_neither_what_was_archived_nor_whole_is_damaged(tape):
    archives.write(tape, 30, size=10, now_ns=7)
    (root,) = read_histories(tape / "archive")
    path = live(tape)[parting_by_bytes(root, live(tape))]
    archives.flip(path, 200)
    with pytest.raises(Damaged, match=path.name):
        parting_by_bytes(root, live(tape))


def test_the_live_records_are_all_of_the_history_that_is_read(tape):
    archives.write(tape, 30, size=10, now_ns=7)
    before = list(TapeReader(tape))
    archives.settle(archives.archive_of(tape))
    history = history_of(tape / "archive", live(tape))
    assert history.last.last == before[-1].sequence

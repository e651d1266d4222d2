"""Segment files as bytes."""

import hashlib
import os

import archives
import pytest

from ext.segments import inspect
from ext.tape import verify
from node.slow.segments import (
    LIVE,
    PACKED,
    Damaged,
    closed_ns,
    digest,
    indexed,
    newest_in_use,
    pack,
    read_header,
    restore,
    set_aside,
    unpack,
)


@pytest.fixture
def tape(tmp_path):
    archives.write(tmp_path)
    return tmp_path


def test_what_is_packed_unpacks_to_the_same_bytes(tape, tmp_path):
    source, packed = tape / "00000000.tape", tape / "00000000.tape.zst"
    end = inspect(source).end
    told = pack(source, end, packed)
    assert told == unpack(packed) == digest(source, end)
    assert told.sha256 == hashlib.sha256(source.read_bytes()[:end]).hexdigest()
    assert told.size == end


def test_a_restored_segment_is_the_one_that_was_archived_to_the_last_byte(tape, tmp_path):
    last = max(indexed(tape, LIVE).values())
    packed, back = tape / "x.zst", tape / "room"
    pack(last, inspect(last).end, packed)
    back.mkdir()
    restore(packed, back / last.name)
    assert (back / last.name).read_bytes() == last.read_bytes()
    assert verify(back, first_index=int(last.name[:8])).ok


def test_a_packed_file_that_was_cut_anywhere_or_goes_on_does_not_unpack(tape):
    source, packed = tape / "00000000.tape", tape / "x.zst"
    pack(source, inspect(source).end, packed)
    whole = packed.read_bytes()
    for size in (*range(0, len(whole), 9), len(whole) - 1):
        packed.write_bytes(whole[:size])
        with pytest.raises(Damaged):
            unpack(packed)
    packed.write_bytes(whole + b"\0")
    with pytest.raises(Damaged, match="after its end"):
        unpack(packed)


def test_a_header_says_what_its_writer_was_told(tape):
    first, second = (read_header(tape / f"0000000{i}.tape") for i in (0, 1))
    assert (first.index, first.first_sequence, first.opened_ns) == (0, 1, 1)
    assert (first.session, first.build, first.lines * 64) == ("one", "two", archives.PAGE)
    assert second.first_sequence == inspect(tape / "00000000.tape").last_sequence + 1


def test_what_was_prepared_and_never_started_has_no_header(tape):
    newest = newest_in_use(indexed(tape, LIVE))
    (tape / f"{newest + 1:08d}.tape").write_bytes(bytes(archives.PAGE))
    (tape / f"{newest + 2:08d}.tape").write_bytes(b"")
    assert read_header(tape / f"{newest + 1:08d}.tape") is None
    assert newest_in_use(indexed(tape, LIVE)) == newest


def test_the_time_of_a_seal_is_the_one_its_writer_was_told(tape):
    last = max(indexed(tape, LIVE).values())
    assert closed_ns(last, inspect(last).end) == 5000


def test_only_names_of_eight_digits_count(tmp_path):
    for name in (
        "1.tape",
        "00000001.tape",
        "000000012.tape",
        "00000001.tape.zst",
        "00000001.tape.new",
        "x.tape",
    ):
        (tmp_path / name).touch()
    assert list(indexed(tmp_path, LIVE)) == [1]
    assert list(indexed(tmp_path, PACKED)) == [1]
    assert indexed(tmp_path / "nowhere", LIVE) == {}


def test_what_is_no_file_has_no_header_and_holds_nobody(tape):
    newest = newest_in_use(indexed(tape, LIVE))
    os.mkfifo(tape / "00000098.tape")
    (tape / "00000099.tape").mkdir()
    assert read_header(tape / "00000098.tape") is None
    assert read_header(tape / "00000099.tape") is None
    assert newest_in_use(indexed(tape, LIVE)) == newest


def test_what_is_set_aside_never_takes_the_place_of_what_was(tmp_path):
    for content in ("one", "two", "three"):
        (tmp_path / "00000003.tape.zst").write_text(content)
        aside = set_aside(tmp_path / "00000003.tape.zst")
        assert aside.read_text() == content
    names = ("00000003.tape.zst.left", "00000003.tape.zst.left.2", "00000003.tape.zst.left.3")
    assert [(tmp_path / x).read_text() for x in names] == ["one", "two", "three"]
    assert indexed(tmp_path, PACKED) == {}

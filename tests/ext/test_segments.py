"""Reading segments: what is asked for comes out, all is checked, nothing of another tape is taken as ours."""

import gc
import os
import struct
from pathlib import Path

import pytest

from ext.segments import crc32c, inspect
from ext.tape import RecordType, TapeCorrupt, TapeMissing, TapeReader, TapeWriter, verify

PAGE = 4096


def make(directory: Path, count: int = 100, *, session: bytes = b"tape one", size: int = 100) -> list:
    """A closed tape of FRAME, TIMER, FILL in turn, in segments of one page; returns its records."""
    writer = TapeWriter(directory, now_ns=1, segment_size=PAGE, session=session)
    for i in range(count):
        writer.append(
            (RecordType.FRAME, RecordType.TIMER, RecordType.FILL)[i % 3], 0, i, bytes([i % 251]) * size
        )
    writer.close(2)
    return list(TapeReader(directory))


def archived(directory: Path, *indexes: int) -> dict[int, bytes]:
    """Take segments away, as the archive does; returns their bytes."""
    out = {}
    for index in indexes:
        path = directory / f"{index:08d}.tape"
        out[index] = path.read_bytes()
        path.unlink()
    return out


def rewrite_header(path: Path, offset: int, value: bytes) -> None:
    """Change a header and make its crc fit again."""
    data = bytearray(path.read_bytes())
    data[offset : offset + len(value)] = value
    data[60:64] = struct.pack("<I", crc32c(bytes(data[:60])))
    path.write_bytes(data)


# ---- types


def test_only_the_types_asked_for_come_out_with_their_own_numbers(tmp_path):
    everything = make(tmp_path)
    for types in ({RecordType.FILL}, {RecordType.FRAME, RecordType.TIMER}, {3000}, set()):
        assert list(TapeReader(tmp_path, types=types)) == [x for x in everything if x.type in types]


def test_a_type_that_no_record_has_is_refused(tmp_path):
    make(tmp_path)
    for kind in (0, -1, 65536):
        with pytest.raises(ValueError, match="no record is of type"):
            TapeReader(tmp_path, types={kind})


def test_damage_in_a_record_that_nobody_asked_for_is_found(tmp_path):
    make(tmp_path)
    path = tmp_path / "00000001.tape"
    data = bytearray(path.read_bytes())
    data[64 + 40] ^= 1
    path.write_bytes(data)
    with pytest.raises(TapeCorrupt, match="crc does not match"):
        list(TapeReader(tmp_path, types={3000}))


def test_a_follower_with_types_sees_what_comes_later(tmp_path):
    writer = TapeWriter(tmp_path, now_ns=1, segment_size=PAGE)
    reader = TapeReader(tmp_path, follow=True, types={RecordType.FILL})
    for i in range(200):
        writer.append(RecordType.FRAME, 0, i, b"x" * 50)
        if i % 70 == 0:
            writer.append(RecordType.FILL, 0, i, b"%d" % i)
            assert [x.payload for x in reader.poll()] == [b"%d" % i]
    assert reader.poll() == []
    assert reader.sequence == writer.sequence


# ---- where to begin


def test_reading_begins_at_the_segment_that_is_named(tmp_path):
    everything = make(tmp_path)
    for index in (0, 1, 4):
        reader = TapeReader(tmp_path, from_index=index)
        rows = list(reader)
        assert rows == everything[index * 20 :]
        assert reader.index == 4


def test_a_segment_to_begin_with_that_is_not_there_is_named(tmp_path):
    make(tmp_path)
    (tmp_path / "00000001.tape").unlink()
    for index in (1, 9):
        with pytest.raises(TapeMissing, match=f"segment {index:08d}.tape is missing"):
            list(TapeReader(tmp_path, from_index=index))
    assert TapeReader(tmp_path, follow=True, from_index=9).poll() == []
    with pytest.raises(TapeMissing):
        TapeReader(tmp_path, follow=True, from_index=1).poll()


# ---- segments that are elsewhere


def test_archived_segments_are_read_from_the_buffers_that_are_handed_in(tmp_path):
    everything = make(tmp_path)
    away = archived(tmp_path, 0, 1, 3)
    for wrap in (bytes, memoryview, bytearray):
        reader = TapeReader(
            tmp_path, from_index=0, archived=lambda i, wrap=wrap: wrap(away[i]) if i in away else None
        )
        assert list(reader) == everything
    assert list(TapeReader(tmp_path, from_index=3, archived=away.get)) == everything[60:]
    assert list(TapeReader(tmp_path, archived=away.get)) == everything[40:]  # the oldest that is here


def test_a_tape_may_be_in_the_archive_as_a_whole(tmp_path):
    everything = make(tmp_path)
    away = archived(tmp_path, *range(5))
    assert list(TapeReader(tmp_path, from_index=0, archived=away.get)) == everything
    with pytest.raises(TapeMissing):
        TapeReader(tmp_path, archived=away.get)


def test_a_follower_goes_on_when_what_it_has_not_read_is_archived_under_it(tmp_path):
    writer = TapeWriter(tmp_path, now_ns=1, segment_size=PAGE)
    away: dict[int, bytes] = {}
    reader = TapeReader(tmp_path, follow=True, archived=away.get)
    for i in range(100):
        writer.append(RecordType.FRAME, 0, i, b"x" * 100)
    assert len(reader.poll(limit=30)) == 30
    away |= archived(tmp_path, 0, 1, 2, 3)
    assert len(reader.poll()) == 70


def test_an_archived_segment_that_is_damaged_or_cut_is_found(tmp_path):
    make(tmp_path)
    away = archived(tmp_path, 1)
    whole = away[1]
    for bad, what in (
        (whole[:300] + b"\xff" + whole[301:], "crc does not match"),
        (whole[:1000], "with a segment in use after it"),
        (b"", "has no header"),
        (b"\x28\xb5\x2f\xfd" + bytes(500), "not a tape segment"),
    ):
        away[1] = bad
        with pytest.raises(TapeCorrupt, match=what):
            list(TapeReader(tmp_path, archived=away.get))


# ---- what is not ours


def test_a_foreign_file_named_like_a_segment_is_named_and_left_alone(tmp_path):
    make(tmp_path)
    foreign = tmp_path / "00000005.tape"
    foreign.write_bytes(b"#!/bin/sh\n" + b"echo hello\n" * 500)
    before = foreign.read_bytes()
    for use in (
        lambda: list(TapeReader(tmp_path)),
        lambda: TapeWriter(tmp_path, now_ns=1, segment_size=PAGE),
    ):
        with pytest.raises(TapeCorrupt, match=r"00000005.tape.*a file of something else"):
            use()
    assert foreign.read_bytes() == before
    assert "something else" in verify(tmp_path).problems[0].what


def test_what_is_not_a_file_does_not_hold_the_reader(tmp_path):
    for name, put in (("pipe", os.mkfifo), ("folder", os.mkdir)):
        make(tmp_path / name)
        put(tmp_path / name / "00000005.tape")
        with pytest.raises(TapeCorrupt, match="not a file"):
            list(TapeReader(tmp_path / name))
        assert not verify(tmp_path / name).ok


def test_a_segment_of_another_tape_is_found_even_where_numbers_fit(tmp_path):
    make(tmp_path / "a")
    make(tmp_path / "b", session=b"tape two")
    (tmp_path / "a" / "00000002.tape").write_bytes((tmp_path / "b" / "00000002.tape").read_bytes())
    with pytest.raises(TapeCorrupt, match=r"segment of another tape \(tape two, not tape one\)"):
        list(TapeReader(tmp_path / "a"))
    with pytest.raises(TapeCorrupt, match="another tape"):
        TapeWriter(tmp_path / "a", now_ns=1, segment_size=PAGE)
    assert {x.file for x in verify(tmp_path / "a").problems} == {"00000002.tape"}


def test_a_tape_keeps_its_name_whoever_writes_it_next(tmp_path):
    make(tmp_path)
    writer = TapeWriter(tmp_path, now_ns=1, segment_size=PAGE, session=b"another")
    writer.append(1, 0, 0, b"more")
    writer.close(2)
    assert verify(tmp_path).ok
    reader = TapeReader(tmp_path)
    assert len(list(reader)) == 101
    assert reader.session() == b"tape one".ljust(12, b"\0")


def test_another_layout_or_index_in_the_last_segment_is_refused_not_cut(tmp_path):
    for name, offset, value, what in (
        ("layout", 8, struct.pack("<I", 9), "layout version 9, this build reads 2"),
        ("index", 12, struct.pack("<I", 7), "says this is segment 7"),
    ):
        target = tmp_path / name
        make(target)
        rewrite_header(target / "00000004.tape", offset, value)
        before = (target / "00000004.tape").read_bytes()
        for use in (
            lambda t=target: list(TapeReader(t)),
            lambda t=target: TapeWriter(t, now_ns=1, segment_size=PAGE),
        ):
            with pytest.raises(TapeCorrupt, match=what):
                use()
        assert (target / "00000004.tape").read_bytes() == before


def test_readers_keep_no_file_and_no_memory_of_what_they_have_read(tmp_path):
    make(tmp_path)

    def held() -> tuple[int, int]:
        maps = Path("/proc/self/maps").read_text()
        return maps.count(str(tmp_path)), len(os.listdir("/proc/self/fd"))

    before = held()
    for _ in range(20):
        assert verify(tmp_path).ok
        assert len(list(TapeReader(tmp_path))) == 100
        assert len(TapeReader(tmp_path, follow=True).poll()) == 100
        TapeWriter(tmp_path, now_ns=1, segment_size=PAGE).close(1)
    assert held() == before


# ---- files that go away while they are read


def test_a_file_cut_while_it_is_read_is_an_error_and_not_a_crash(tmp_path):
    writer = TapeWriter(tmp_path, now_ns=1, segment_size=4 << 20)
    for i in range(1500):
        writer.append(RecordType.FRAME, 0, i, bytes(2000))
    writer.close(2)
    reader = TapeReader(tmp_path)
    assert len([next(reader) for _ in range(10)]) == 10
    os.truncate(tmp_path / "00000000.tape", 2 << 20)
    with pytest.raises(TapeCorrupt, match="cannot be read from here on"):
        list(reader)


def test_what_was_read_is_not_mapped_any_more(tmp_path):
    make(tmp_path, 60)

    def maps() -> int:
        return Path("/proc/self/maps").read_text().count(".tape")

    for _ in range(20):
        assert verify(tmp_path).ok
        assert inspect(tmp_path / "00000000.tape").end
        assert list(TapeReader(tmp_path))
    gc.collect()
    assert maps() == 0


def test_one_segment_is_inspected_by_itself(tmp_path):
    rows = make(tmp_path, 60)
    first, second = (inspect(tmp_path / f"0000000{i}.tape") for i in (0, 1))
    assert (first.first_sequence, first.reason, first.problems) == (1, 1, [])
    assert second.first_sequence == first.last_sequence + 1 == first.records + 1
    last = inspect(max(tmp_path.glob("*.tape")))
    assert (last.reason, last.last_sequence) == (0, len(rows))
    raw = bytearray((tmp_path / "00000000.tape").read_bytes())
    assert not any(raw[first.end :])
    assert any(raw[first.end - 64 : first.end])
    raw[100] ^= 1
    (tmp_path / "00000000.tape").write_bytes(raw)
    assert [x.offset for x in inspect(tmp_path / "00000000.tape").problems] == [64]
    with pytest.raises(FileNotFoundError):
        inspect(tmp_path / "00000099.tape")

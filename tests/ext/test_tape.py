"""The tape: what goes in comes out, in order, whatever is done to the files or the writer."""

import contextlib
import errno
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ext import tape
from ext.tape import (
    RecordType,
    TapeCorrupt,
    TapeError,
    TapeFull,
    TapeLocked,
    TapeMissing,
    TapeReader,
    TapeWriter,
    verify,
)

ROOT = Path(__file__).parents[2]
PAGE = 4096
HEADER = struct.Struct("<QIIQqI12s12sI")
RECORD = struct.Struct("<iIQqHHI")
TWIN_TABLE = []


def twin_crc(data: bytes) -> int:
    if not TWIN_TABLE:
        for i in range(256):
            for _ in range(8):
                i = (i >> 1) ^ (0x82F63B78 if i & 1 else 0)
            TWIN_TABLE.append(i)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ TWIN_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def twin_read(directory: Path) -> list[tuple]:
    """The naive reader: docs/TAPE.md in twenty lines of struct."""
    out, expected = [], 1
    for index, path in enumerate(sorted(directory.glob("*.tape"))):
        data = path.read_bytes()
        magic, layout, at_index, first, _opened, lines, _s, _b, crc = HEADER.unpack_from(data)
        if magic == 0:
            break
        assert data[:8] == b"TKGTAPE1"
        assert (layout, at_index, first, lines * 64) == (2, index, expected, len(data))
        assert crc == twin_crc(data[:60])
        offset = 64
        while (length := RECORD.unpack_from(data, offset)[0]) > 0:
            _, crc, sequence, now_ns, kind, line, size = RECORD.unpack_from(data, offset)
            assert length == size + 32
            assert sequence == expected
            assert crc == twin_crc(data[offset + 8 : offset + length])
            if kind == 0:
                break
            out.append((kind, line, sequence, now_ns, data[offset + 32 : offset + length]))
            offset += (length + 63) // 64 * 64
            expected += 1
    return out


def make(directory: Path, payloads, **options) -> list[tuple]:
    """A tape closed in good order; returns what should be read back."""
    writer = TapeWriter(directory, now_ns=1, segment_size=options.pop("segment_size", PAGE), **options)
    for i, payload in enumerate(payloads):
        writer.append(1 + i % 13, i % 5, 1000 + i, payload)
    writer.close(2)
    return [(1 + i % 13, i % 5, 1 + i, 1000 + i, p) for i, p in enumerate(payloads)]


def read(directory: Path) -> list[tuple]:
    return [tuple(r) for r in TapeReader(directory)]


def crash(directory: Path, payloads, segment_size=PAGE) -> None:
    """Leave a tape as kill -9 would: no seal."""
    writer = TapeWriter(directory, now_ns=1, segment_size=segment_size)
    for i, payload in enumerate(payloads):
        writer.append(1, 0, i, payload)
    del writer


def python(code: str, *args, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)], cwd=ROOT, text=True, **options
    )


@pytest.fixture
def memory_directory(tmp_path):
    """A directory that no write-back disturbs, where the machine has one."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


# ------------------------------------------------------------------ checksum


def test_the_checksum_gives_the_published_vectors():
    for table in (False, True):
        assert tape.crc32c(b"123456789", table=table) == 0xE3069283
        assert tape.crc32c(bytes(32), table=table) == 0x8A9136AA
        assert tape.crc32c(b"\xff" * 32, table=table) == 0x62A8AB43
        assert tape.crc32c(b"", table=table) == 0


def test_both_checksums_agree_at_every_length_and_alignment():
    data = random.Random(7).randbytes(40_000)
    for size in [*range(700), 1632, 4096, 12_287, 12_288, 12_289, 25_000, 39_990]:
        for start in (0, 1, 7):
            piece = data[start : start + size]
            assert tape.crc32c(piece) == tape.crc32c(piece, table=True)
    assert tape.crc32c(data[:999]) == twin_crc(data[:999])


# ------------------------------------------------------------------ round trips and layout


def test_records_come_back_as_they_went_in(tmp_path):
    payloads = [b"", b"x", bytes(32), bytes(33), os.urandom(1600), b"{}" * 500]
    wanted = make(tmp_path, payloads)
    assert read(tmp_path) == wanted
    assert twin_read(tmp_path) == wanted
    report = verify(tmp_path)
    assert report.ok
    assert report.sealed
    assert (report.records, report.first_sequence, report.last_sequence) == (6, 1, 6)


def test_record_types_have_their_documented_numbers():
    names = "FRAME TIMER INTENT VERDICT ORDER_OUT ACK FILL MARK CONFIG DIAL NOTE REPORT SESSION SENT "
    names += "EVIDENCE DOOR STOP EQUITY LIMITS HASH DECISION SIGNAL PARAM UNRECORDED ANSWER"
    assert " ".join(m.name for m in RecordType) == names
    assert [m.value for m in RecordType] == list(range(1, 26))


def test_the_bytes_on_disk_are_the_documented_ones(tmp_path):
    writer = TapeWriter(tmp_path, now_ns=77, segment_size=PAGE, session=b"s" * 12, build=b"abc")
    writer.append(RecordType.INTENT, 0xBEEF, -5, b"p" * 32)
    writer.append(RecordType.NOTE, 2, 6, b"q" * 33)
    data = (tmp_path / "00000000.tape").read_bytes()
    assert len(data) == PAGE
    assert HEADER.size == 64
    assert RECORD.size == 32
    assert HEADER.unpack_from(data)[1:8] == (2, 0, 1, 77, PAGE // 64, b"s" * 12, b"abc" + bytes(9))
    assert RECORD.unpack_from(data, 64)[0::2] == (64, 1, 3, 32)
    assert RECORD.unpack_from(data, 64)[3:6] == (-5, 3, 0xBEEF)
    assert data[96:128] == b"p" * 32
    assert RECORD.unpack_from(data, 128)[0] == 65
    assert data[160:] == b"q" * 33 + bytes(PAGE - 193)
    writer.close(0)


def documented(heading: str) -> dict[str, tuple[int, str]]:
    """The fields of a table of docs/TAPE.md: name (its first word) -> (offset, type)."""
    text = (ROOT / "docs" / "TAPE.md").read_text()
    section = text[text.index(heading) :].split("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| ([^|]*)\| (.*) \|$", section, re.M)
    return {re.match(r"\W*(\w*)", what)[1]: (int(offset), kind.strip()) for offset, kind, what in rows}


def field(table: dict, name: str, data: bytes, base: int = 0):
    """A field as the document says it lies."""
    offset, kind = table[name]
    if kind.endswith("bytes"):
        return data[base + offset : base + offset + int(kind.split()[0])]
    size = int(kind[1:]) // 8
    raw = data[base + offset : base + offset + size]
    return int.from_bytes(raw, "little", signed=kind[0] == "i")


def test_a_parser_made_from_the_document_reads_a_tape(tmp_path):
    payloads = [os.urandom(n) for n in (0, 1, 32, 33, 1600, 700, 64)]
    wanted = make(tmp_path, payloads * 5, session=b"named", build=b"b" * 12)
    head, row, found = documented("## Segment header"), documented("## Record"), []
    assert list(head) == [
        "magic",
        "layout",
        "segment",
        "sequence",
        "opened_ns",
        "file",
        "name",
        "build",
        "crc32c",
    ]
    assert list(row) == ["length", "crc32c", "sequence", "now_ns", "type", "line", "size", "payload"]
    version = int(re.search(r"^Layout version (\d+)\.", (ROOT / "docs" / "TAPE.md").read_text(), re.M)[1])
    for index, path in enumerate(sorted(tmp_path.glob("*.tape"))):
        data = path.read_bytes()
        assert field(head, "magic", data) == int.from_bytes(b"TKGTAPE1", "little")
        assert (field(head, "layout", data), field(head, "segment", data)) == (version, index)
        assert field(head, "file", data) * 64 == len(data)
        assert (field(head, "name", data), field(head, "build", data)) == (
            b"named".ljust(12, b"\0"),
            b"b" * 12,
        )
        assert field(head, "crc32c", data) == twin_crc(data[:60])
        expected, at = field(head, "sequence", data), 64
        assert expected == len(found) + 1
        while field(row, "type", data, at):
            length = field(row, "length", data, at)
            payload = data[at + row["payload"][0] : at + length]
            assert field(row, "size", data, at) == len(payload) == length - 32
            assert field(row, "crc32c", data, at) == twin_crc(data[at + 8 : at + length])
            names = ("type", "line", "sequence", "now_ns")
            found.append((*(field(row, name, data, at) for name in names), payload))
            at += (length + 63) // 64 * 64
        last = index == len(list(tmp_path.glob("*.tape"))) - 1
        assert field(row, "line", data, at) == (0 if last else 1)  # closed, rotated
        assert field(row, "sequence", data, at) == len(found) + 1
        assert not any(data[at + 64 :])
    assert found == wanted


def test_the_document_names_each_type_with_its_number():
    text = (ROOT / "docs" / "TAPE.md").read_text()
    assert [m.name for m in RecordType if not re.search(rf"\b{m.name} {m.value}\b", text)] == []
    known = {m.name: m.value for m in RecordType}
    for name, number in re.findall(r"\b([A-Z_]{3,}) (\d+)\b", text):
        assert known.get(name) == int(number), name


def test_records_fill_segments_and_go_on_in_the_next(tmp_path):
    wanted = make(tmp_path, [os.urandom(n % 300) for n in range(500)])
    assert len(list(tmp_path.glob("*.tape"))) > 20
    assert read(tmp_path) == wanted == twin_read(tmp_path)
    assert verify(tmp_path).ok


def test_the_largest_record_fills_a_segment_and_a_larger_one_is_refused(tmp_path):
    largest = PAGE - 64 - 64 - 32
    wanted = make(tmp_path, [b"a", b"b" * largest, b"c"])
    assert read(tmp_path) == wanted
    writer = TapeWriter(tmp_path, now_ns=0, segment_size=PAGE)
    with pytest.raises(ValueError, match="does not fit"):
        writer.append(1, 0, 0, b"b" * (largest + 1))
    assert writer.append(1, 0, 0, b"still works") == 4
    writer.close(0)


def test_bad_arguments_are_refused_and_write_nothing(tmp_path):
    writer = TapeWriter(tmp_path, now_ns=0, segment_size=PAGE)
    for kind, line in ((0, 0), (-1, 0), (65536, 0), (1, -1), (1, 65536)):
        with pytest.raises(AssertionError):
            writer.append(kind, line, 0, b"")
    writer.close(0)
    assert read(tmp_path) == []
    with pytest.raises(ValueError, match="closed"):
        writer.append(1, 0, 0, b"")
    for size in (0, 4095, 5000):
        with pytest.raises(ValueError, match="segment_size"):
            TapeWriter(tmp_path, now_ns=0, segment_size=size)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_sequence_of_writes_prepares_and_restarts_reads_like_a_list(tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("tape")
    model, writer, follower, seen = [], None, TapeReader(directory, follow=True), []
    for step in data.draw(st.lists(st.sampled_from("ppppprkcf"), max_size=40)):
        writer = writer or TapeWriter(directory, now_ns=0, segment_size=PAGE)
        if step == "p":
            payload = data.draw(st.binary(max_size=900))
            model.append((9, 3, writer.append(9, 3, len(model), payload), len(model), payload))
        elif step == "r":
            writer.prepare()
        elif step == "f":
            seen += follower.poll(limit=data.draw(st.integers(1, 5)))
        elif step == "c":
            writer.close(0)
            writer = None
        else:
            writer = None  # dropped as in a crash
    seen += follower.poll(limit=1000)
    assert [tuple(r) for r in seen] == model
    if model:
        assert read(directory) == model == twin_read(directory)
        assert verify(directory).ok


# ------------------------------------------------------------------ rotation and preparing


def test_a_prepared_segment_is_used_without_a_stall(tmp_path):
    writer = TapeWriter(tmp_path, now_ns=0, segment_size=2 << 20)
    steps = 1
    while not writer.prepare():
        steps += 1
    assert steps == 8  # of 256 KiB
    writer.put_many(40_000, bytes(32), 0)
    assert writer.index == 1
    assert writer.stalls == 0
    writer.put_many(40_000, bytes(32), 0)
    assert writer.stalls == 1
    writer.close(0)
    assert verify(tmp_path).records == 80_000


def test_closing_gives_back_the_prepared_segment(tmp_path):
    writer = TapeWriter(tmp_path, now_ns=0, segment_size=PAGE)
    assert writer.prepare()
    assert (tmp_path / "00000001.tape").exists()
    writer.close(0)
    writer.close(0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00000000.tape", "lock"]


def test_steady_state_does_not_fault_in_put(memory_directory):
    writer = TapeWriter(memory_directory, now_ns=0, segment_size=8 << 20, ahead=1 << 20)
    writer.put_many(100, bytes(1600), 0)
    faults = 0
    for _ in range(100):
        while not writer.prepare():
            pass
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        writer.put_many(300, bytes(1600), 0)
        faults += resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults < 600  # 12,000 pages were written; reclaim on a busy machine may take a few away
    assert writer.stalls == 0
    writer.close(0)


# ------------------------------------------------------------------ damage


def test_a_tail_cut_at_any_byte_loses_only_the_last_record(memory_directory):
    crash(memory_directory / "whole", [b"one", b"two" * 20, b"three" * 30])
    data = bytearray((memory_directory / "whole" / "00000000.tape").read_bytes())
    start, end = 64 + 64 + 128, 64 + 64 + 128 + 32 + 150
    for offset in range(start, end):
        for shorten in (False, True):
            target = memory_directory / "cut"
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
            body = data[:offset] if shorten else data[:offset] + bytes(len(data) - offset)
            (target / "00000000.tape").write_bytes(body)
            check_cut(target, torn=bytes(data[start:offset]).rstrip(b"\0"), shorten=shorten)


def check_cut(target: Path, torn: bytes, shorten: bool) -> None:
    reader = TapeReader(target)
    assert [r.payload for r in reader] == [b"one", b"two" * 20]
    assert reader.torn_bytes == len(torn)
    assert verify(target).ok == (not torn and not shorten)
    writer = TapeWriter(target, now_ns=5, segment_size=PAGE)
    assert writer.cut_bytes == len(torn)
    assert bool(writer.cut) == bool(torn)
    if torn:
        assert "offset 256" in writer.cut
        assert (target / "00000000.torn").read_bytes() == torn
    assert writer.append(11, 0, 9, b"after") == 3
    writer.close(0)
    assert [r.payload for r in TapeReader(target)] == [b"one", b"two" * 20, b"after"]
    assert verify(target).ok
    assert len(twin_read(target)) == 3


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_torn_tail_that_cannot_be_kept_aside_is_not_cut_and_a_later_start_cuts_it(
    tmp_path, monkeypatch, number
):
    writer = TapeWriter(tmp_path, now_ns=1, segment_size=4096)
    for i in range(5):
        writer.append(1, 0, i, b"x" * 100)
    del writer
    path = tmp_path / "00000000.tape"
    raw = bytearray(path.read_bytes())
    raw[64 + 4 * 192 + 40] ^= 1
    path.write_bytes(raw)

    def fails(fd):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(TapeError, match="what is there cannot be read or put in order: the ") as caught:
            TapeWriter(tmp_path, now_ns=2, segment_size=4096)
    assert isinstance(caught.value, TapeFull) == (number in (errno.ENOSPC, errno.EDQUOT))
    assert path.read_bytes() == raw
    writer = TapeWriter(tmp_path, now_ns=3, segment_size=4096)
    assert writer.sequence == 5
    writer.close(4)
    assert verify(tmp_path).ok


def test_a_segment_torn_at_birth_is_cut_too(tmp_path):
    for size in (0, 1, 8, 30, 63, 64):
        target = tmp_path / str(size)
        make(target, [b"old"])
        crash(target, [])
        path = target / "00000001.tape"
        path.write_bytes(path.read_bytes()[:size])
        writer = TapeWriter(target, now_ns=0, segment_size=PAGE)
        assert writer.append(1, 0, 0, b"new") == 2
        writer.close(0)
        assert [r.payload for r in TapeReader(target)] == [b"old", b"new"]
        assert verify(target).ok


def flips(directory: Path):
    for path in sorted(directory.glob("*.tape")):
        data = path.read_bytes()
        for bit in range(len(data) * 8):
            yield path, data, bit


def test_every_flipped_bit_of_a_closed_tape_is_found(memory_directory):
    make(memory_directory, [b"a" * 40, b"b" * 10])
    assert verify(memory_directory).ok
    path = memory_directory / "00000000.tape"
    with path.open("r+b", buffering=0) as file:
        for _, data, bit in flips(memory_directory):
            file.seek(bit // 8)
            file.write(bytes([data[bit // 8] ^ (1 << bit % 8)]))
            report = verify(memory_directory)
            assert not report.ok, f"bit {bit}"
            assert report.problems[0].file == "00000000.tape"
            file.seek(bit // 8)
            file.write(data[bit // 8 : bit // 8 + 1])
    assert verify(memory_directory).ok


def test_every_flipped_bit_before_the_tail_stops_reader_and_writer(memory_directory):
    make(memory_directory, [b"a" * 40, b"b" * 10, b"c"])
    path = memory_directory / "00000000.tape"
    data = path.read_bytes()
    for bit in range(64 * 8, 256 * 8):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        with pytest.raises(TapeCorrupt) as caught:
            list(TapeReader(memory_directory))
        assert caught.value.file.endswith("00000000.tape")
        assert caught.value.offset == (64 if bit < 192 * 8 else 192)
        assert caught.value.sequence == (1 if bit < 192 * 8 else 2)
        with pytest.raises(TapeCorrupt):
            TapeWriter(memory_directory, now_ns=0, segment_size=PAGE)


def many(tmp_path: Path) -> None:
    make(tmp_path, [bytes([i]) * 100 for i in range(200)])
    assert len(list(tmp_path.glob("*.tape"))) == 10  # 20 records of 192 bytes each


def test_a_missing_segment_is_named(tmp_path):
    for gone in (0, 3, 9):
        target = tmp_path / str(gone)
        many(target)
        (target / f"{gone:08d}.tape").unlink()
        report = verify(target)
        assert not report.ok
        assert any(p.file == f"{gone:08d}.tape" and "missing" in p.what for p in report.problems)
        if gone:
            with pytest.raises(TapeCorrupt, match=f"{gone:08d}.tape is missing"):
                list(TapeReader(target))


def test_archived_segments_may_be_gone_from_the_front(tmp_path):
    many(tmp_path)
    for gone in (0, 1):
        (tmp_path / f"{gone:08d}.tape").unlink()
    records = list(TapeReader(tmp_path))
    assert records[0].sequence == 41
    assert records[-1].sequence == 200
    assert verify(tmp_path, first_index=2).ok
    assert TapeWriter(tmp_path, now_ns=0, segment_size=PAGE).sequence == 201


def test_swapped_segments_are_found(tmp_path):
    many(tmp_path)
    one, two, spare = (tmp_path / n for n in ("00000001.tape", "00000002.tape", "x"))
    one.rename(spare)
    two.rename(one)
    spare.rename(two)
    assert {p.file for p in verify(tmp_path).problems} >= {"00000001.tape", "00000002.tape"}
    with pytest.raises(TapeCorrupt, match="header says this is segment 2"):
        list(TapeReader(tmp_path))


def test_swapped_records_are_found(tmp_path):
    many(tmp_path)
    path = tmp_path / "00000002.tape"
    data = path.read_bytes()
    path.write_bytes(data[:256] + data[448:640] + data[256:448] + data[640:])
    problem = verify(tmp_path).problems[0]
    assert (problem.file, problem.offset, problem.sequence) == ("00000002.tape", 256, 42)
    with pytest.raises(TapeCorrupt, match="sequence"):
        list(TapeReader(tmp_path))


def test_a_closed_segment_cut_short_is_not_a_torn_tail(tmp_path):
    many(tmp_path)
    os.truncate(tmp_path / "00000002.tape", 1000)
    assert not verify(tmp_path).ok
    for use in (
        lambda: list(TapeReader(tmp_path)),
        lambda: TapeWriter(tmp_path, now_ns=0, segment_size=PAGE),
    ):
        with pytest.raises(TapeCorrupt, match="segment in use after it"):
            use()


def test_an_unknown_layout_is_refused(tmp_path):
    make(tmp_path, [b"x"])
    path = tmp_path / "00000000.tape"
    head = bytearray(path.read_bytes())
    head[8] = 3
    head[60:64] = struct.pack("<I", twin_crc(bytes(head[:60])))
    path.write_bytes(head)
    with pytest.raises(TapeCorrupt, match="layout version 3"):
        list(TapeReader(tmp_path))


def test_a_directory_without_a_tape_is_refused_clearly(tmp_path):
    (tmp_path / "file").write_text("")
    for bad in (tmp_path / "nowhere", tmp_path / "file", tmp_path):
        for use in (TapeReader, verify):
            with pytest.raises(TapeMissing):
                use(bad)
    assert TapeReader(tmp_path, follow=True).poll() == []


# ------------------------------------------------------------------ processes


def test_a_second_writer_is_refused(tmp_path):
    writer = TapeWriter(tmp_path, now_ns=0, segment_size=PAGE)
    with pytest.raises(TapeLocked, match="another writer"):
        TapeWriter(tmp_path, now_ns=0, segment_size=PAGE)
    writer.close(0)
    TapeWriter(tmp_path, now_ns=0, segment_size=PAGE).close(0)


# Bounded (about 70 MB): should a reader never catch up, the test must not fill the machine's disk.
WRITE_A_LOT = """
    import sys
    from ext.tape import TapeWriter
    writer = TapeWriter(sys.argv[1], now_ns=0, segment_size=1 << 16)
    print("ready", flush=True)
    for i in range(1, 100_001):
        writer.append(1 + i % 13, i % 9, i, i.to_bytes(8, "little") * (i % 150))
        if i % 20 == 0: writer.prepare()
    sys.stdin.read()
"""


def check_numbered(records, first):
    for i, record in enumerate(records, first):
        assert (record.sequence, record.now_ns, record.type) == (i, i, 1 + i % 13)
        assert record.payload == i.to_bytes(8, "little") * (i % 150)
    return first + len(records)


def test_a_reader_follows_a_live_writer_through_its_death_and_return(tmp_path):
    child = python(WRITE_A_LOT, tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == "ready\n"
        reader, expected = TapeReader(tmp_path, follow=True), 1
        while expected < 10_000:
            expected = check_numbered(reader.poll(), expected)
        assert len(list(TapeReader(tmp_path))) >= expected - 1  # a second reader, on a living tape
        assert not [p for p in verify(tmp_path).problems if "torn" not in p.what]
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    while batch := reader.poll():
        expected = check_numbered(batch, expected)
    writer = TapeWriter(tmp_path, now_ns=0, segment_size=1 << 16)
    assert writer.sequence == expected
    writer.append(11, 0, 0, b"back")
    assert [r.payload for r in reader.poll()] == [b"back"]
    writer.close(0)
    assert verify(tmp_path).ok


def test_records_survive_kill_nine_again_and_again(tmp_path):
    code = """
        import os, random, signal, sys
        from ext.tape import TapeWriter
        writer = TapeWriter(sys.argv[1], now_ns=0, segment_size=1 << 14)
        for i in range(random.Random(int(sys.argv[2])).randrange(1, 400)):
            last = writer.append(2, 0, i, b"z" * (i * 7 % 500))
            if i % 16 == 0: writer.prepare()
        print(last, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    for seed in range(6):
        child = python(code, tmp_path, seed, stdout=subprocess.PIPE)
        out, _ = child.communicate()
        assert child.returncode == -signal.SIGKILL
        assert list(TapeReader(tmp_path))[-1].sequence == int(out)
    assert verify(tmp_path).ok


def test_a_half_written_record_is_waited_for_then_cut_under_a_live_reader(tmp_path):
    crash(tmp_path, [b"one", b"two"])
    path = tmp_path / "00000000.tape"
    with path.open("r+b") as file:
        file.seek(192)
        file.write(struct.pack("<i", -60) + b"half a record")
    reader = TapeReader(tmp_path, follow=True)
    assert len(reader.poll()) == 2
    assert reader.poll() == []
    writer = TapeWriter(tmp_path, now_ns=0, segment_size=PAGE)
    assert writer.cut_bytes == 17
    assert reader.poll() == []
    writer.append(1, 0, 0, b"three")
    assert [r.payload for r in reader.poll()] == [b"three"]


# ------------------------------------------------------------------ full disk


def test_a_file_size_limit_makes_the_tape_full_and_loses_nothing(tmp_path):
    code = """
        import resource, sys
        from ext.tape import TapeFull, TapeReader, TapeWriter, verify
        writer = TapeWriter(sys.argv[1], now_ns=0, segment_size=1 << 16)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 15, resource.RLIM_INFINITY))
        for _ in range(2):
            try: writer.prepare()
            except TapeFull as error: assert sys.argv[1] in str(error)
            else: raise SystemExit("prepare hid it")
        done = 0
        try:
            while True:
                writer.append(1, 0, 0, bytes(500)); done += 1
        except TapeFull as error:
            print(error)
        assert done > 100 and writer.full
        for size in (0, 500):
            try: writer.append(1, 0, 0, bytes(size))
            except TapeFull: pass
            else: raise SystemExit("a full tape took a record")
        writer.close(0)
        assert len(list(TapeReader(sys.argv[1]))) == done and verify(sys.argv[1]).ok
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert TapeWriter(sys.argv[1], now_ns=0, segment_size=1 << 16).append(1, 0, 0, b"") == done + 1
        print("good")
    """
    child = python(code, tmp_path, stdout=subprocess.PIPE)
    out, _ = child.communicate()
    assert out.endswith("good\n")
    assert str(tmp_path) in out


@contextlib.contextmanager
def tiny_disk(where: Path):
    where.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(where)], capture_output=True)
    if done.returncode:
        pytest.skip("mounting a tmpfs needs privileges this run does not have")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


@pytest.mark.skipif(not shutil.which("mount"), reason="no mount command")
def test_a_full_disk_is_told_before_it_hurts_and_never_crashes(tmp_path):
    with tiny_disk(tmp_path / "disk") as disk:
        writer, done, warned = TapeWriter(disk / "tape", now_ns=0, segment_size=1 << 18), 0, False
        while not warned:
            try:
                writer.prepare()
            except TapeFull:
                warned = True
            writer.append(1, 0, 0, bytes(1000))
            done += 1
        with contextlib.suppress(TapeFull):
            while writer.append(1, 0, 0, bytes(1000)):
                done += 1
        with pytest.raises(TapeFull, match="the tape is full"):
            writer.append(1, 0, 0, bytes(1000))
        assert writer.full
        with pytest.raises(TapeFull):
            writer.append(1, 0, 0, b"")
        writer.close(0)
        assert len(list(TapeReader(disk / "tape"))) == done
        assert verify(disk / "tape").ok


def test_a_disk_too_small_for_the_first_segment_is_refused_at_once(tmp_path):
    with tiny_disk(tmp_path / "disk") as disk:
        with pytest.raises(TapeFull, match="no room for another tape segment"):
            TapeWriter(disk / "tape", now_ns=0, segment_size=2 << 20)
        assert [p.name for p in (disk / "tape").iterdir()] == ["lock"]

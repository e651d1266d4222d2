"""Damage of every kind, at every place: found, and told where."""

import random
import shutil

import archives
import msgspec
import pytest

from ext.tape import TapeCorrupt, TapeMissing, TapeWriter
from node.slow.chain import CHAIN, CHECKPOINTS, append, read_chain, read_checkpoints
from node.slow.records import read
from node.slow.segments import LIVE, PACKED, indexed
from node.slow.signing import make_key, public_hex, read_key, sign
from node.slow.verifying import verify_all


def made(tape):
    """Two archived segments that are gone, two that are live too, one that was not closed."""
    archives.write(tape, 60)
    archives.settle(archives.archive_of(tape))
    archives.write(tape, 3, close=False)
    archives.settle(archives.archive_of(tape, hot_segments=3))
    assert verdict(tape).ok, verdict(tape)
    return tape


@pytest.fixture
def tape(tmp_path):
    return made(tmp_path / "tape")


def verdict(tape, **more):
    return verify_all(tape, tape / "archive", **more)


def files(tape):
    """Everything that verify vouches for, but the last segment: in a tape that was never closed, damage
    behind its last record looks like a torn tail."""
    live = list(indexed(tape, LIVE).values())
    folder = tape / "archive"
    return [*live[:-1], *indexed(folder, PACKED).values(), folder / CHAIN, folder / CHECKPOINTS]


@pytest.mark.parametrize("count", [40, pytest.param(10_000, marks=pytest.mark.soak)])
def test_every_flipped_bit_is_found_in_its_file(tape, count):
    every_flip_is_found(tape, files(tape), count)


def every_flip_is_found(tape, paths, count):
    rng, before = random.Random(count), verdict(tape)
    assert before.ok, before.problems
    for _ in range(count):
        path = rng.choice(paths)
        at, bit = rng.randrange(min(path.stat().st_size, archives.used(path) + 64)), rng.randrange(8)
        raw = archives.flip(path, at, bit)
        found = verdict(tape)
        assert path.name in {x.file.rpartition("/")[2] for x in found.problems}, (path, at, bit, found)
        path.write_bytes(raw)
    assert verdict(tape) == before


@pytest.mark.parametrize("step", [211, pytest.param(1, marks=pytest.mark.soak)])
def test_every_cut_is_found(tape, step):
    key = public_hex(read_key(tape / "archive" / "archive.key"))
    for path in files(tape):
        raw = path.read_bytes()
        for size in range(0, len(raw), step):
            if path.name == CHECKPOINTS and size and raw[size - 1 : size] == b"\n":
                continue  # fewer checkpoints sign less: only who kept the last one can tell
            path.write_bytes(raw[:size])
            assert not verdict(tape, key=key).ok, (path, size)
        path.write_bytes(raw)
    assert verdict(tape).ok


def test_a_missing_file_is_named(tape):
    key = public_hex(read_key(tape / "archive" / "archive.key"))
    for path in files(tape):
        raw = path.read_bytes()
        path.unlink()
        found = verdict(tape, key=key)
        live_and_archived = path.suffix == ".tape"
        assert found.ok == live_and_archived, path
        assert live_and_archived or path.name in found.problems[0].file
        path.write_bytes(raw)


def test_live_segments_that_were_swapped_are_named(tape):
    archives.write(tape, 40)
    first, second = list(indexed(tape, LIVE).values())[-3:-1]
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    assert {x.file for x in verdict(tape).problems} >= {first.name, second.name}


def test_archived_segments_that_were_swapped_are_named(tape):
    first, second = list(indexed(tape / "archive", PACKED).values())[:2]
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    assert [x.file for x in verdict(tape).problems] == [f"archive/{x.name}" for x in (first, second)]


def test_a_hole_between_archive_and_live_segments_is_named(tape):
    archives.write(tape, 60)
    victim = list(indexed(tape, LIVE))[-3]
    (tape / f"{victim:08d}.tape").unlink()
    found = verdict(tape)
    assert [x.file for x in found.problems] == [f"{victim:08d}.tape"]
    assert "neither live nor in the archive" in found.problems[0].what
    assert found.problems[0].sequence > 60


@pytest.mark.parametrize("raw", [random.Random(1).randbytes(5000), b"ten bytes.", bytes(4096), b""])
def test_a_foreign_file_far_behind_the_last_segment_is_named_and_no_gap_up_to_it(tape, raw):
    (tape / "00000099.tape").write_bytes(raw)
    found = verdict(tape)
    assert [x.file for x in found.problems] == ["00000099.tape"]
    assert "foreign file" in found.problems[0].what
    assert found.records == 63


def test_a_newest_segment_with_a_damaged_header_is_no_foreign_file(tape):
    archives.write(tape, 60)
    newest = tape / f"{max(indexed(tape, LIVE)):08d}.tape"
    newest.write_bytes(b"x" + newest.read_bytes()[1:])
    assert [(x.file, "foreign" in x.what) for x in verdict(tape).problems] == [(newest.name, False)]
    behind = tape / f"{int(newest.name[:8]) + 1:08d}.tape"
    behind.write_bytes(bytes(archives.PAGE))  # prepared
    assert not any("foreign" in x.what for x in verdict(tape).problems)
    newest.unlink()
    assert [(x.file, "missing" in x.what) for x in verdict(tape).problems] == [(newest.name, True)]


def test_the_loss_of_the_newest_segment_of_a_rotated_tape_is_named(tape):
    newest = max(indexed(tape, LIVE))
    archives.write(tape, 60)
    for index, path in indexed(tape, LIVE).items():
        if index > newest + 1:
            path.unlink()
    assert verdict(tape).problems[-1].file == f"{newest + 2:08d}.tape"


@pytest.mark.parametrize("records", [1, 60])
def test_a_live_segment_of_another_tape_is_named(tmp_path, records):
    """One that begins elsewhere, and one that only another name tells apart."""
    tape, other = tmp_path / "tape", tmp_path / "other"
    archives.write(tape)
    writer = TapeWriter(other, now_ns=1, segment_size=archives.PAGE, session=b"else", build=b"two")
    for i in range(150):
        writer.append(1, 0, 1000 + i, bytes([i]) * (90 + i % 7 if records == 60 else 30))
    writer.close(5000)
    shutil.copy(other / "00000001.tape", tape / "00000001.tape")
    told = [x.what for x in verdict(tape).problems if x.file == "00000001.tape"]
    assert any("another tape" in x for x in told)
    assert any("starts at sequence" in x for x in told) == (records == 1)


def test_a_chain_that_was_cut_at_a_line_is_found_by_what_was_signed(tape):
    path = tape / "archive" / CHAIN
    rows = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(rows[:-1]))
    found = verdict(tape)
    assert "was cut" in next(x.what for x in found.problems if x.file == CHECKPOINTS)


def test_a_chain_that_was_written_anew_is_found_by_what_was_signed(tape, tmp_path):
    other = tmp_path / "other"
    writer = TapeWriter(other, now_ns=1, segment_size=archives.PAGE)
    for i in range(60):
        writer.append(1, 0, i, b"forged" * 16)
    writer.close(9)
    archives.settle(archives.archive_of(other))
    shutil.copy(other / "archive" / CHAIN, tape / "archive" / CHAIN)
    assert any("not the one that was signed" in x.what for x in verdict(tape).problems)


def test_a_checkpoint_by_another_key_is_found(tape, tmp_path):
    theirs = public_hex(make_key(tmp_path / "theirs"))
    assert "by another key" in verdict(tape, key=theirs).problems[0].what
    ours = public_hex(read_key(tape / "archive" / "archive.key"))
    found = verdict(tape, key=ours)
    assert (found.ok, found.key, found.checkpoints > 0) == (True, ours, True)
    folder = tape / "archive"
    last = read_checkpoints(folder)
    line = sign(read_key(tmp_path / "theirs"), msgspec.structs.replace(last.lines[-1], previous=last.tail))
    append(folder / CHECKPOINTS, line)
    found = verdict(tape)
    assert [x.file for x in found.problems] == [CHECKPOINTS]
    assert "by another key" in found.problems[0].what


def test_an_archive_that_is_gone_is_damage_where_somebody_must_have_signed_and_else_a_note(tape):
    archives.write(tape, 60)
    archives.settle(archives.archive_of(tape))
    key = public_hex(read_key(tape / "archive" / "archive.key"))
    shutil.rmtree(tape / "archive")
    assert any("there is no archive here" in x for x in verdict(tape).notes)
    assert verdict(tape).ok, "it may be elsewhere"
    assert "nothing was signed" in verdict(tape, key=key).problems[0].what


def test_an_archive_is_verified_without_its_tape(tape):
    found = verify_all(None, tape / "archive")
    assert (found.ok, found.live, found.records) == (True, 0, 60)


def test_what_is_retired_is_not_missing(tape):
    archives.write(tape, 60)
    archives.settle(archives.archive_of(tape, keep_bytes=1, hot_segments=3))
    found = verdict(tape)
    assert found.retired > 0
    assert found.ok, found.problems


def test_a_file_that_an_archiver_is_just_writing_is_no_problem(tape):
    archives.write(tape, 60)

    def reached(label):
        if label == "renamed":
            raise archives.Killed

    archive = archives.archive_of(tape, reached=reached)
    archive.open(1)
    with pytest.raises(archives.Killed):
        archive.step(1)
    assert verdict(tape).ok, "the archiver is at it"
    archive.let_go()
    assert "not in the chain" in verdict(tape).problems[0].what, "it was killed"


def test_progress_is_told(tape):
    told = []
    verify_all(tape, tape / "archive", "", lambda done, of: told.append((done, of)))
    assert told[0][0] == 0
    assert told[-1] == (1, 1)
    assert len(told) > 3


def test_there_may_be_nothing(tmp_path):
    with pytest.raises(TapeMissing):
        verify_all(tmp_path, tmp_path / "archive")


# ---- a tape that was put back, and on which no node has started yet


def made_ahead(tape, records, is_prepared=True, close=True):
    """100 records, all archived but for what is being written; the live directory is as it was at
    `records`."""
    archives.write(tape, records, close=False)
    if is_prepared:
        (tape / f"{max(indexed(tape, LIVE)) + 1:08d}.tape").write_bytes(bytes(archives.PAGE))
    shutil.copytree(tape, tape.parent / "backup")
    archives.write(tape, 100 - records, close=close)
    archives.settle(archives.archive_of(tape, hot_segments=1))
    end = read_chain(tape / "archive").next_sequence - 1
    archives.put_back(tape, tape.parent / "backup")
    return end


@pytest.mark.parametrize("close", [True, False])
@pytest.mark.parametrize("is_prepared", [True, False])
@pytest.mark.parametrize("records", [20, 31, 62, 70])  # 31 to a segment
def test_an_archive_that_is_ahead_of_a_restored_tape_is_a_note_and_no_damage(
    tmp_path, records, is_prepared, close
):
    tape = tmp_path / "tape"
    end = made_ahead(tape, records, is_prepared, close)
    found = verdict(tape)
    assert found.ok, found.problems
    ahead = (
        f"{end - records} records, sequence {records + 1} to {end}" if end > records else "by a seal alone"
    )
    assert [x for x in found.notes if f"put back to an earlier state: {ahead}; the next start" in x]
    assert (found.records, found.last_sequence) == (end, records)
    assert len(list(read(tape))) == records, "a reader takes it as it is"


def test_a_restored_tape_whose_newest_segment_is_sealed_is_behind_the_archive_too(tmp_path):
    tape = tmp_path / "tape"
    archives.write(tape, 40)
    shutil.copytree(tape, tmp_path / "backup")
    archives.write(tape, 60)
    archives.settle(archives.archive_of(tape))
    archives.put_back(tape, tmp_path / "backup")
    found = verdict(tape)
    assert (found.ok, found.last_sequence) == (True, 40)
    assert any("60 records, sequence 41 to 100" in x for x in found.notes)
    assert len(list(read(tape))) == 40


def test_a_restored_tape_that_was_written_on_without_an_archiver_says_to_start_one(tmp_path):
    tape = tmp_path / "tape"
    made_ahead(tape, 40)
    archives.write(tape, 90, now_ns=9, size=80)  # another way than the archive has
    found = verdict(tape)
    said = [x for x in found.problems if x.what.startswith("was written on from an earlier state")]
    assert [x.file for x in said] == ["00000001.tape", "00000002.tape", "00000003.tape"]
    assert all("start it (`tickgate archive CONFIG`): it goes on in a fork" in x.what for x in said)
    assert not any("of another tape, or rolled back" in x.what for x in found.problems)
    archives.settle(archives.archive_of(tape, hot_segments=1))
    assert verdict(tape).ok


def test_newest_live_segments_that_are_only_in_the_archive_are_read_there_and_told(tmp_path):
    """No copy of a tape looks so: its newest segment says that another one was there. A start refuses it."""
    tape = tmp_path / "tape"
    archives.write(tape)
    archives.settle(archives.archive_of(tape, fold=None))
    for index in (2, 3):
        (tape / f"0000000{index}.tape").unlink()
    found = verdict(tape)
    assert (found.ok, found.last_sequence) == (True, 100)
    assert any("00000002.tape and what came behind it is in the archive alone" in x for x in found.notes)
    assert len(list(read(tape))) == 100
    with pytest.raises(TapeCorrupt, match=r"00000002\.tape is missing"):
        TapeWriter(tape, now_ns=1, segment_size=archives.PAGE)


def test_a_tape_that_was_put_back_into_a_history_before_a_fork_is_behind_it(tmp_path):
    tape = tmp_path / "tape"
    made_ahead(tape, 50)
    archives.write(tape, 100, size=31, now_ns=7)
    archives.settle(archives.archive_of(tape, fold=None))
    archives.put_back(tape, tmp_path / "backup")
    found = verdict(tape)
    assert found.ok, found.problems
    assert any("put back to an earlier state: 100 records, sequence 51 to 150" in x for x in found.notes)
    assert len(list(read(tape))) == 50


@pytest.mark.parametrize("count", [60, pytest.param(5000, marks=pytest.mark.soak)])
def test_every_flipped_bit_of_a_restored_tape_is_found_in_its_file(tmp_path, count):
    tape = tmp_path / "tape"
    made_ahead(tape, 50)
    folder, newest = tape / "archive", tape / "00000001.tape"
    every_flip_is_found(tape, [newest] * 4 + [*indexed(folder, PACKED).values(), folder / CHAIN], count)
    every_flip_is_found(tape, [newest, tape / "00000002.tape"], count // 4)


def test_a_restored_tape_with_other_records_than_the_archive_is_not_taken_for_its_beginning(tmp_path):
    """Its header is the same: only the bytes tell."""
    tape, other = tmp_path / "tape", tmp_path / "other"
    made_ahead(tape, 50, is_prepared=False)
    writer = TapeWriter(other, now_ns=1, segment_size=archives.PAGE, session=b"one", build=b"two")
    for i in range(40):
        writer.append(1, i % 3, 1000 + i, bytes([i]) * (90 + i % 7) if i < 31 else b"something else")
    del writer
    theirs, ours = other / "00000001.tape", tape / "00000001.tape"
    assert theirs.read_bytes()[:64] == ours.read_bytes()[:64]
    shutil.copy(theirs, ours)
    assert [x.file for x in verdict(tape).problems] == [ours.name]


def test_a_restored_tape_with_a_foreign_file_behind_it_is_told_of_that_file(tmp_path):
    tape = tmp_path / "tape"
    made_ahead(tape, 50, is_prepared=False)
    (tape / "00000099.tape").write_bytes(b"x" * 5000)
    assert [x.file for x in verdict(tape).problems] == ["00000099.tape"]

"""The archive, killed wherever it can be, on disks that take nothing, among foreign files."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager, suppress
from pathlib import Path

import archives
import pytest

from ext.tape import RecordType, TapeReader, TapeWriter
from node.errors import UserError
from node.slow import archive as archive_module
from node.slow import chain as chain_module
from node.slow.archive import Stuck, folder_of
from node.slow.chain import CHAIN, CHECKPOINTS, read_chain, read_checkpoints
from node.slow.records import read
from node.slow.segments import LIVE, PACKED, STATE, indexed, read_header
from node.slow.verifying import verify_all

ROOT = Path(__file__).parents[3]
LABELS = (
    "begun",
    "part",
    "renamed",
    "compared",
    "chained",
    "folded",
    "signed",
    "dropped",
    "retired",
    "removed",
)


@pytest.fixture
def tape(tmp_path):
    archives.write(tmp_path / "tape")
    return tmp_path / "tape"


def live(tape):
    return sorted(indexed(tape, LIVE))


def packed(tape):
    return sorted(indexed(tape / "archive", PACKED))


def verdict(tape):
    return verify_all(tape, tape / "archive")


def test_everything_that_is_closed_is_archived_and_what_is_old_is_deleted(tape):
    before, records = live(tape), list(TapeReader(tape))
    archives.settle(archives.archive_of(tape))
    assert packed(tape) == before
    assert live(tape) == before[-2:], "two segments stay hot"
    found = verdict(tape)
    assert (found.ok, found.records, found.archived) == (True, 100, len(before))
    assert list(read(tape)) == records


def test_a_segment_that_is_being_written_or_waits_for_its_seal_is_left_alone(tape):
    archives.write(tape, 30, close=False)
    archives.settle(archives.archive_of(tape))
    assert packed(tape) == live(tape)[:0] + list(range(max(live(tape)))), "all but the last"
    archives.write(tape, 1)  # the next run seals it
    archives.settle(archives.archive_of(tape))
    assert verdict(tape).ok
    assert packed(tape) == list(range(max(live(tape)) + 1))


def test_done_twice_it_changes_nothing(tape):
    archives.settle(archives.archive_of(tape))
    before = {x.name: x.read_bytes() for x in (tape / "archive").iterdir()}
    assert archives.settle(archives.archive_of(tape)) == 0
    assert {x.name: x.read_bytes() for x in (tape / "archive").iterdir()} == before


def test_nothing_live_is_deleted_without_a_state_file_behind_it(tape):
    before, told = live(tape), []
    archives.settle(archives.archive_of(tape, told=told, fold=None))
    assert (live(tape), packed(tape)) == (before, before)
    assert "no state file" in told[-1][1]
    archives.fold(tape, 2)
    archives.settle(archives.archive_of(tape, fold=None))
    assert live(tape) == before[2:], "a start reads from segment 2 on"


def test_a_state_file_that_is_no_good_lets_nothing_be_deleted(tape):
    before = live(tape)
    archives.settle(archives.archive_of(tape, is_state=lambda path: False))
    assert live(tape) == before


def test_state_files_go_with_the_segments_that_they_begin_with(tape):
    archives.settle(archives.archive_of(tape))
    first = live(tape)[0]
    assert sorted(indexed(tape, STATE))[0] >= first


def test_a_state_that_is_gone_or_no_good_any_more_is_made_from_the_archive(tape):
    archives.settle(archives.archive_of(tape))
    for path in indexed(tape, STATE).values():
        path.unlink()
    made = []

    def fold(directory, index, oldest, archived):
        made.append((index, oldest))
        assert bytes(archived(0)[:8]) == b"TKGTAPE1"
        assert archived(99) is None
        archives.fold(directory, index)

    archives.settle(archives.archive_of(tape, fold=fold))
    assert made == [(max(live(tape)), 0)]
    archives.settle(archives.archive_of(tape, fold=fold))
    assert len(made) == 1, "it is there"


def test_a_state_is_not_made_of_half_of_the_tape(tape):
    archives.settle(archives.archive_of(tape, keep_bytes=1))
    for path in indexed(tape, STATE).values():
        path.unlink()
    told = []
    archives.write(tape)
    before = live(tape)
    archives.settle(archives.archive_of(tape, told=told))
    assert live(tape) == before
    assert not indexed(tape, STATE)
    assert any("is retired" in x[1] for x in told)


def test_no_state_is_asked_for_of_a_segment_that_was_never_started(tape):
    newest, asked = max(live(tape)), []
    (tape / f"{newest + 1:08d}.tape").write_bytes(
        bytes(archives.PAGE)
    )  # prepared, and then the node was killed
    archives.settle(archives.archive_of(tape, fold=lambda directory, index, *more: asked.append(index)))
    assert asked == list(range(1, newest + 1))


def test_nothing_is_deleted_while_a_node_starts(tape):
    @contextmanager
    def busy():
        yield False

    before = live(tape)
    archives.settle(archives.archive_of(tape, quiet=busy))
    assert live(tape) == before


def test_nothing_live_is_deleted_whose_archived_file_has_changed(tape):
    archives.settle(archives.archive_of(tape, hot_segments=100))
    victim = tape / "archive" / "00000000.tape.zst"
    victim.write_bytes(victim.read_bytes() + b"x")
    with pytest.raises(Stuck, match="was changed since"):
        archives.settle(archives.archive_of(tape))
    assert live(tape)[0] == 0


@pytest.mark.parametrize("why", ["age", "size"])
def test_what_is_too_old_or_too_much_is_retired_and_said_to_be(tape, why):
    archives.settle(archives.archive_of(tape))
    count = len(packed(tape))
    bound = {"keep_ns": archives.DAY_NS} if why == "age" else {"keep_bytes": 1}
    archives.settle(archives.archive_of(tape, **bound), now_ns=2 * archives.DAY_NS)
    assert packed(tape) == list(range(count))[-2:], "the newest stay, whatever their age"
    chain = read_chain(tape / "archive")
    assert [x.why for x in chain.retired.values()] == [why] * (count - 2)
    found = verdict(tape)
    assert (found.ok, found.retired) == (True, count - 2)
    (tape / "archive" / f"{count - 2:08d}.tape.zst").unlink()
    assert "missing" in verdict(tape).problems[0].what


def test_what_is_live_is_not_retired(tape):
    archives.settle(archives.archive_of(tape, fold=None))
    archives.settle(archives.archive_of(tape, fold=None, keep_bytes=1))
    assert packed(tape) == live(tape)


def test_checkpoints_are_signed_by_number_by_time_and_at_the_end(tape):
    archives.settle(archives.archive_of(tape, checkpoint_segments=2))
    count = len(packed(tape))
    assert len(read_checkpoints(tape / "archive").lines) == 1 + -(-(count - 1) // 2)
    archives.write(tape, 1)
    archive = archives.archive_of(tape, checkpoint_segments=100, checkpoint_ns=50)
    with archives.opened(archive):
        before = archive.current.signed_lines
        while archive.step(20):
            pass
        assert archive.current.signed_lines == before, "neither many nor late"
        assert archive.step(70)
        assert archive.current.signed_lines > before
        archive.close(80)
    assert read_checkpoints(tape / "archive").lines[-1].at_ns == 70, "nothing new to sign at the end"


# ---- killed ----


@pytest.mark.parametrize("label", LABELS)
def test_killed_at_any_step_the_next_one_goes_on_and_all_is_whole(tape, label):
    records, hit = list(TapeReader(tape)), 0
    for number in (1, 1, 2, 2, 0):
        seen = []

        def reached(name, seen=seen, number=number):
            seen.append(name)
            if name == label and seen.count(label) == number:
                raise archives.Killed

        try:
            archives.settle(archives.archive_of(tape, reached=reached, keep_bytes=600))
        except archives.Killed:
            hit += 1
    assert hit, "the label was never reached"
    found = verdict(tape)
    assert found.ok, found.problems
    kept = list(read(tape))
    assert kept == records[-len(kept) :]
    assert not list((tape / "archive").glob("*.part"))


@pytest.mark.parametrize("numbers", [(7,), pytest.param(range(1, 60), marks=pytest.mark.soak)])
def test_a_real_kill_leaves_an_archive_that_goes_on(tape, numbers):
    """Each process dies at a change of the disk of its own: its number."""
    code = """
        import os, sys, pathlib
        import archives
        tape, number = pathlib.Path(sys.argv[1]), int(sys.argv[2])
        count = 0
        def reached(label):
            global count
            count += 1
            if count == number:
                os.kill(os.getpid(), 9)
        archives.settle(archives.archive_of(tape, reached=reached, keep_bytes=600))
    """
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    deaths = 0
    for number in numbers:
        argv = [sys.executable, "-c", textwrap.dedent(code), str(tape), str(number)]
        done = subprocess.run(argv, env=env, check=False)
        deaths += done.returncode == -signal.SIGKILL
    assert deaths
    archives.settle(archives.archive_of(tape))
    assert verdict(tape).ok


def files_of(tape):
    return [*indexed(tape, LIVE).values(), *indexed(tape, STATE).values()]


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("label", LABELS)
def test_killed_at_any_step_of_a_tape_that_is_then_put_back_the_next_one_goes_on(tmp_path, label, number):
    """From a backup of each age: of before, in and behind the segment that it was killed at. A node then
    writes something else."""
    for records in (5, 50, 90):
        tape, backup = tmp_path / f"{records}" / "tape", tmp_path / f"{records}" / "backup"
        archives.write(tape, records, close=False)
        shutil.copytree(tape, backup)
        archives.write(tape, 100 - records)
        old, seen = list(TapeReader(tape)), []

        def reached(name, seen=seen):
            seen.append(name)
            if name == label and seen.count(label) == number:
                raise archives.Killed

        with suppress(archives.Killed):
            archives.settle(archives.archive_of(tape, reached=reached, keep_bytes=600))
        for path in files_of(tape):
            path.unlink()
        for path in files_of(backup):
            shutil.copy(path, tape)
        lines = read_chain(tape / "archive").segments
        bare = [x.read_bytes() for i, x in indexed(tape / "archive", PACKED).items() if i not in lines]
        archives.write(tape, 60, size=31, now_ns=7)
        before = list(TapeReader(tape))
        archives.settle(archives.archive_of(tape, fold=None))
        assert list(read(tape))[-len(before) :] == before
        assert before[: records - 1] == old[: records - 1]
        found = verdict(tape)
        assert found.ok, found.problems
        kept = [x.read_bytes() for x in (tape / "archive").glob("*.zst*")]
        assert all(x in kept for x in bare), "taken over or set aside, and never lost"
        assert not list((tape / "archive").rglob("*.part"))


@pytest.mark.parametrize(("records", "name"), [(50, "00000001"), (20, "00000002")])
def test_a_file_without_a_line_is_set_aside_when_the_tape_was_put_back_before_it(tape, records, name):
    """In the place of the next segment, and in a history that is left for a fork. Killed on its way, it is
    done by the next one."""
    shutil.rmtree(tape)
    archives.write(tape, records, close=False)
    shutil.copytree(tape, tape.parent / "backup")
    archives.write(tape, 100 - records)

    def killed_at(label, number, told):
        seen = []

        def reached(what):
            seen.append(what)
            if what == label and seen.count(label) == number:
                raise archives.Killed

        with pytest.raises(archives.Killed):
            archives.settle(archives.archive_of(tape, reached=reached, fold=None, told=told))

    killed_at("renamed", int(name) + 1, [])
    orphan = (tape / "archive" / f"{name}.tape.zst").read_bytes()
    for path in files_of(tape):
        path.unlink()
    for path in files_of(tape.parent / "backup"):
        shutil.copy(path, tape)
    archives.write(tape, 60, size=31, now_ns=7)
    told = []
    killed_at("left", 1, told)
    archives.settle(archives.archive_of(tape, fold=None, told=told))
    assert sum(f"set aside as {name}.tape.zst.left" in x[1] for x in told) == 1
    assert (tape / "archive" / f"{name}.tape.zst.left").read_bytes() == orphan
    assert [x.name for x in (tape / "archive").glob("*.left*")] == [f"{name}.tape.zst.left"]
    assert verdict(tape).ok, verdict(tape).problems


# ---- bad disks and foreign files ----


def test_a_disk_that_is_full_leaves_no_half_made_file_and_the_next_try_goes_on(tape, monkeypatch):
    real = archive_module.pack

    def full(source, size, target):
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    archive = archives.archive_of(tape)
    with archives.opened(archive):
        monkeypatch.setattr(archive_module, "pack", full)
        with pytest.raises(OSError, match="No space"):
            archive.step(1)
        assert packed(tape) == []
        assert not list((tape / "archive").glob("*.part"))
        monkeypatch.setattr(archive_module, "pack", real)
        while archive.step(1):
            pass
    assert verdict(tape).ok


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("name", ["write", "fsync"])
def test_a_line_that_failed_twice_over_is_never_chained_behind(tape, monkeypatch, name, is_restarted):
    """The write fails, and then the cut back."""
    real, broken = {x: getattr(os, x) for x in ("write", "fsync", "ftruncate")}, [True]

    def fails(call):
        def instead(fd, *more):
            if broken[0] and os.readlink(f"/proc/self/fd/{fd}").endswith(".jsonl"):
                if call == "write":
                    real["write"](fd, more[0][:10])
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real[call](fd, *more)

        return instead

    for call in (name, "ftruncate"):
        monkeypatch.setattr(chain_module.os, call, fails(call))
    archive = archives.archive_of(tape)
    with archives.opened(archive):
        for _ in range(2):
            with pytest.raises(OSError, match="Input/output"):
                archive.step(1)
        broken[0] = False
        while not is_restarted and archive.step(1):
            pass
    archives.settle(archives.archive_of(tape))
    found = verdict(tape)
    assert (found.ok, found.records) == (True, 100), found.problems


def test_a_name_is_on_the_disk_before_its_line_is_also_where_an_archiver_was_killed_between(
    tape, monkeypatch
):
    folder, synced = tape / "archive", []

    def reached(label):
        if label == "renamed":
            raise archives.Killed

    with suppress(archives.Killed):
        archives.settle(archives.archive_of(tape, reached=reached))
    assert packed(tape) == [0]
    real = archive_module.append
    monkeypatch.setattr(archive_module, "sync_folder", lambda path: synced.append(path))
    archive = archives.archive_of(tape)
    with archives.opened(archive):
        assert {tape, folder} <= set(synced), "whatever the one before it left"
        synced.clear()
        appended = []

        def noted(path, line, at):
            appended.append((type(line).__name__, folder in synced))
            return real(path, line, at)

        monkeypatch.setattr(archive_module, "append", noted)
        archive.step(1)
    assert appended[-1] == ("Archived", True)


def test_a_file_that_does_not_read_back_as_it_was_written_does_not_count(tape, monkeypatch):
    real = archive_module.pack

    def rots(source, size, target):
        told = real(source, size, target)
        archives.flip(target, target.stat().st_size // 2)
        return told

    monkeypatch.setattr(archive_module, "pack", rots)
    with pytest.raises(Stuck, match="does not unpack"):
        archives.settle(archives.archive_of(tape))
    assert not read_chain(tape / "archive").segments
    assert live(tape)[0] == 0


def test_a_damaged_segment_is_not_archived_and_nothing_behind_it_is(tape):
    archives.flip(tape / "00000002.tape", 200)
    before = live(tape)
    with pytest.raises(Stuck, match=r"00000002\.tape: offset"):
        archives.settle(archives.archive_of(tape, hot_segments=1))
    assert packed(tape) == [0, 1]
    assert live(tape) == before


def test_a_hole_in_the_live_segments_is_told(tape):
    (tape / "00000001.tape").unlink()
    with pytest.raises(Stuck, match=r"00000001\.tape: is missing and was never archived"):
        archives.settle(archives.archive_of(tape))


def test_foreign_files_are_named_and_left_alone(tape):
    told = []
    (tape / "archive").mkdir()
    (tape / "archive" / "notes.txt").write_text("mine")
    archives.settle(archives.archive_of(tape, told=told))
    assert any("notes.txt" in x[1] for x in told)
    assert (tape / "archive" / "notes.txt").read_text() == "mine"
    found = verdict(tape)
    assert found.ok
    assert any("notes.txt" in x for x in found.notes)


def test_a_foreign_file_in_the_place_of_a_segment_is_set_aside_and_it_goes_on(tape):
    folder, told = tape / "archive", []
    folder.mkdir()
    (folder / "00000000.tape.zst").mkdir()
    (folder / "00000001.tape.zst").write_text("not mine")
    (folder / "00000001.tape.zst.left").write_text("set aside before")
    archives.settle(archives.archive_of(tape, told=told))
    assert (folder / "00000001.tape.zst.left.2").read_text() == "not mine"
    assert (folder / "00000001.tape.zst.left").read_text() == "set aside before"
    assert (folder / "00000000.tape.zst.left").is_dir()
    assert sum("set aside as 00000001.tape.zst.left.2" in x[1] for x in told) == 1
    assert not any("not of an archive" in x[1] for x in told)
    found = verdict(tape)
    assert (found.ok, found.records) == (True, 100), found.problems
    assert sum("set aside by an archiver" in x for x in found.notes) == 3


def test_a_chain_that_is_gone_is_not_begun_anew_where_segments_are_only_in_the_archive(tape):
    archives.settle(archives.archive_of(tape))
    (tape / "archive" / CHAIN).unlink()
    (tape / "archive" / CHECKPOINTS).unlink()
    before = bytes_of(tape / "archive")
    with pytest.raises(
        Stuck, match=r"chain\.jsonl: is missing, and 00000000\.tape\.zst is not live any more"
    ):
        archives.settle(archives.archive_of(tape))
    assert bytes_of(tape / "archive") == before


def test_a_chain_that_is_gone_is_made_again_where_every_segment_is_live(tape):
    archives.settle(archives.archive_of(tape, fold=None))
    before = (tape / "archive" / CHAIN).read_bytes()
    (tape / "archive" / CHAIN).unlink()
    (tape / "archive" / CHECKPOINTS).unlink()
    archives.settle(archives.archive_of(tape, fold=None))
    assert (tape / "archive" / CHAIN).read_bytes() == before


def test_two_archivers_of_one_archive_are_one_too_many(tape):
    with archives.opened(archives.archive_of(tape)), pytest.raises(Stuck, match="another archiver"):
        archives.archive_of(tape).open(1)


@pytest.mark.parametrize("records", [1, 100])
def test_a_chain_of_another_tape_is_refused(tape, tmp_path, records):
    archives.settle(archives.archive_of(tape))
    other = tmp_path / "other"
    writer = TapeWriter(other, now_ns=77, segment_size=archives.PAGE)
    for i in range(records):
        writer.append(RecordType.FRAME, 0, i, b"other" * 30)
    writer.close(3)
    before = (tape / "archive" / CHAIN).read_bytes()
    with pytest.raises(Stuck, match="another tape"):
        archives.settle(archives.archive_of(other, folder=tape / "archive"))
    assert (tape / "archive" / CHAIN).read_bytes() == before
    assert not verify_all(other, tape / "archive").ok


def test_a_segment_of_another_tape_is_not_taken_into_the_chain(tape, tmp_path):
    """Number and sequence fit; the name does not."""
    other = tmp_path / "other"
    writer = TapeWriter(other, now_ns=1, segment_size=archives.PAGE, session=b"else")
    for i in range(100):
        writer.append(1, 0, 1000 + i, bytes([i % 251]) * (90 + i % 7))
    writer.close(5)
    archives.settle(archives.archive_of(tape, fold=None))
    newest = max(live(tape))
    archives.write(tape, 1)
    (tape / f"{newest + 1:08d}.tape").unlink()
    archives.write(other, 1)
    (other / f"{newest + 1:08d}.tape").rename(tape / f"{newest + 1:08d}.tape")
    with pytest.raises(Stuck, match="another tape"):
        archives.settle(archives.archive_of(tape, fold=None))
    assert packed(tape)[-1] == newest


@contextmanager
def rolled_back(tape, records, close=True, **more):
    """An archiver that was opened over a tape of 100 records, all archived, of which the live directory was
    put back to what it was at `records`."""
    shutil.rmtree(tape)
    archives.write(tape, records, close=close)
    shutil.copytree(tape, tape.parent / "backup")
    archives.write(tape, 100 - records)
    archives.settle(archives.archive_of(tape, fold=None, **more))
    for path in indexed(tape, LIVE).values():
        path.unlink()
    for path in indexed(tape.parent / "backup", LIVE).values():
        shutil.copy(path, tape)
    with archives.opened(archives.archive_of(tape, hot_segments=1)) as archive:
        yield archive


def write_on(tape, sizes, session=b"one"):
    writer = TapeWriter(tape, now_ns=1, segment_size=archives.PAGE, session=session, build=b"two")
    for i, size in enumerate(sizes):
        writer.append(RecordType.FRAME, 0, 9000 + i, b"n" * size)
    writer.close(9000)


def stuck(archive, match):
    def steps():
        while archive.step(1):
            pass

    with pytest.raises(Stuck, match=match):
        steps()


def bytes_of(folder):
    return {x: x.read_bytes() for x in folder.iterdir() if x.is_file()}


@pytest.mark.parametrize("size", [0, 30, 900])
@pytest.mark.parametrize("close", [True, False])
@pytest.mark.parametrize("records", [20, 50, 95])
def test_after_a_roll_back_the_new_history_is_archived_beside_the_old_one(tape, records, close, size):
    """The archiver was there before the writer went on. Size 0: other records of the sizes that they had, so
    that every header is one that the chain has, and the sequences meet."""
    old = list(TapeReader(tape))
    with rolled_back(tape, records, close) as archive:
        write_on(tape, [size or 90 + i % 7 for i in range(100 - records)])
        write_on(tape, [size or 93] * 100)
        archives.fold(tape, max(live(tape)))
        before, kept = list(TapeReader(tape)), bytes_of(tape / "archive")
        while archive.step(1):
            pass
        archive.sign(2)
        assert {x: x.read_bytes() for x in kept} == kept, "what was archived is as it was"
    assert live(tape) == live(tape)[-1:], "what is archived twice over may go"
    assert list(read(tape)) == before
    assert len([*read(tape / "archive", archive=tape / "archive")]) == len(old), "and the old one is read too"
    found = verdict(tape)
    assert found.ok, found.problems
    assert [(x["name"], x["is_current"]) for x in found.histories] == [
        ("archive", False), ("archive/fork-0001", True)
    ]  # fmt: skip
    assert found.last_sequence == before[-1].sequence


def test_a_fork_is_gone_on_with_and_forked_again_and_left_for_the_history_that_comes_back(tape):
    with rolled_back(tape, 50):
        pass
    first = {x.name: x.read_bytes() for x in indexed(tape, LIVE).values()}

    def put_back(files):
        for path in indexed(tape, LIVE).values():
            path.unlink()
        for name, raw in files.items():
            (tape / name).write_bytes(raw)

    def run(size, records):
        write_on(tape, [size] * records)
        archives.settle(archives.archive_of(tape, fold=None))
        return list(TapeReader(tape))

    one = run(30, 40)
    second = {x.name: x.read_bytes() for x in indexed(tape, LIVE).values()}
    one = run(31, 40)
    put_back(second)
    two = run(300, 40)
    assert list(read(tape)) == two
    put_back(first)
    three = run(500, 20)
    assert [x["name"] for x in verdict(tape).histories if x["is_current"]] == ["archive/fork-0003"]
    assert [x["name"][-4:] for x in verdict(tape).histories] == ["hive", "0001", "0002", "0003"]
    for number, records in ((1, one), (2, two), (3, three)):
        fork = tape / "archive" / f"fork-{number:04d}"
        assert list(read(fork, archive=fork)) == records
    put_back(second)
    two = run(301, 3)
    assert [x["name"] for x in verdict(tape).histories if x["is_current"]] == ["archive/fork-0004"]
    assert verdict(tape).ok
    (tape / "archive" / "fork-0001" / "00000008.tape.zst").unlink(missing_ok=True)
    victim = next(iter(indexed(tape / "archive" / "fork-0001", PACKED).values()))
    victim.unlink()
    assert f"archive/fork-0001/{victim.name}" in [x.file for x in verdict(tape).problems]


def test_a_tape_that_is_put_back_before_anybody_writes_on_it_is_not_forked(tape):
    before = bytes_of(tape / "archive") if (tape / "archive").exists() else {}
    with rolled_back(tape, 50, close=False) as archive:
        before = bytes_of(tape / "archive")
        assert not archive.step(1)
    assert bytes_of(tape / "archive") == before
    assert not list((tape / "archive").glob("fork-*"))


@pytest.mark.parametrize("label", ["forked", "begun", "part", "renamed", "compared", "chained", "signed"])
def test_killed_while_it_forks_the_next_one_goes_on(tape, label):
    old = len(list(TapeReader(tape)))
    with rolled_back(tape, 50):
        pass
    write_on(tape, [31] * 100)
    before = list(TapeReader(tape))

    def reached(name):
        if name == label:
            raise archives.Killed

    with pytest.raises(archives.Killed):
        archives.settle(archives.archive_of(tape, reached=reached))
    if label == "forked":
        (tape / "archive" / "fork-0001" / CHAIN).write_bytes(b'{"kind":"fo')  # its first line was cut
        assert verdict(tape).histories == []
    archives.settle(archives.archive_of(tape, fold=None))
    assert list(read(tape)) == before
    assert len([*read(tape / "archive", archive=tape / "archive")]) == old
    assert verdict(tape).ok
    assert [x.name for x in sorted((tape / "archive").glob("fork-*"))] == ["fork-0001"]


def test_what_is_old_is_retired_in_every_history_and_the_newest_of_the_current_one_stay(tape):
    with rolled_back(tape, 50):
        pass
    write_on(tape, [31] * 100)
    archives.settle(archives.archive_of(tape, hot_segments=2))
    archives.settle(archives.archive_of(tape, hot_segments=2, keep_bytes=1))
    assert packed(tape) == []
    assert len(indexed(tape / "archive" / "fork-0001", PACKED)) == 2
    assert verdict(tape).ok, verdict(tape).problems


def test_a_fork_that_says_it_leaves_what_is_not_there_stops_the_archive(tape):
    with rolled_back(tape, 50):
        pass
    write_on(tape, [31] * 100)
    archives.settle(archives.archive_of(tape, fold=None))
    (tape / "archive" / CHAIN).unlink()
    (tape / "archive" / CHECKPOINTS).unlink()
    assert any("fork-0001" in x.file and "no such line" in x.what for x in verdict(tape).problems)
    archive = archives.archive_of(tape)
    with pytest.raises(Stuck, match="no such line"):
        archive.open(1)
    archive.let_go()
    chain = tape / "archive" / "fork-0001" / CHAIN
    chain.unlink()
    assert any("fork-0001" in x.file and "is missing" in x.what for x in verdict(tape).problems)
    with pytest.raises(Stuck, match="is missing"):
        archives.settle(archives.archive_of(tape))


def test_after_a_roll_back_into_the_last_archived_segment_the_next_is_not_taken_where_sequences_meet(tape):
    """Every header is one that the chain would take: only the bytes tell."""
    shutil.rmtree(tape)
    archives.write(tape, 60, close=False)
    backup = tape.parent / "backup"
    shutil.copytree(tape, backup)
    archives.write(tape, 1)  # seals, and goes on in one more
    archives.settle(archives.archive_of(tape, fold=None))
    end = read_chain(tape / "archive").next_sequence
    for path in indexed(tape, LIVE).values():
        path.unlink()
    for path in indexed(backup, LIVE).values():
        shutil.copy(path, tape)
    with archives.opened(archives.archive_of(tape, hot_segments=1)) as archive:
        write_on(tape, [90])
        write_on(tape, [93] * 100)
        archives.fold(tape, max(live(tape)))
        before, old = list(TapeReader(tape)), bytes_of(tape / "archive")
        assert any(read_header(x).first_sequence == end for x in indexed(tape, LIVE).values())
        while archive.step(1):
            pass
        assert {x: x.read_bytes() for x in old} == old
    assert list(read(tape)) == before
    assert verdict(tape).ok


def test_a_live_segment_that_is_not_what_was_archived_is_kept_though_its_header_is(tape):
    archives.settle(archives.archive_of(tape, hot_segments=100))
    archives.flip(tape / "00000000.tape", 200)
    before = live(tape)
    with pytest.raises(Stuck, match=r"00000000\.tape does not hold what was archived"):
        archives.settle(archives.archive_of(tape))
    assert live(tape) == before


def test_a_last_archived_segment_that_was_written_anew_lets_nothing_behind_it_in(tape):
    """Number, sequence and name of the next one fit: it would have been taken."""
    archives.settle(archives.archive_of(tape, fold=None))
    last = max(live(tape))
    with archives.opened(archives.archive_of(tape, fold=None)) as archive:
        archives.write(tape, 1)
        archives.flip(tape / f"{last:08d}.tape", 200)
        stuck(archive, "does not hold what was archived")
    assert packed(tape)[-1] == last


def test_a_line_that_does_not_fit_is_not_written(tape):
    with archives.opened(archives.archive_of(tape)) as archive:
        archive.step(1)
        before = (tape / "archive" / CHAIN).read_bytes()
        with pytest.raises(Stuck, match="another tape: segment 0 from sequence 1: must be segment 1"):
            archive._append(archive.current, archive.current.chain.segments[0])
        assert (tape / "archive" / CHAIN).read_bytes() == before


def test_a_chain_that_was_cut_behind_a_checkpoint_is_refused(tape):
    archives.settle(archives.archive_of(tape, fold=None))
    path = tape / "archive" / CHAIN
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(Stuck, match="not the chain that the last checkpoint signed"):
        archives.settle(archives.archive_of(tape))
    assert "was cut" in verdict(tape).problems[0].what


def test_last_lines_that_were_never_finished_are_cut(tape):
    told = []
    archives.settle(archives.archive_of(tape))
    before = {x: (tape / "archive" / x).read_bytes() for x in (CHAIN, CHECKPOINTS)}
    for name in before:
        with (tape / "archive" / name).open("ab") as file:
            file.write(b'{"kind":')
    assert len(verdict(tape).problems) == 2
    archives.settle(archives.archive_of(tape, told=told))
    assert {x: (tape / "archive" / x).read_bytes() for x in before} == before
    assert sum("never finished" in x[1] for x in told) == 2


def test_an_archive_whose_key_is_gone_is_not_signed_by_another(tape):
    archives.settle(archives.archive_of(tape))
    (tape / "archive" / "archive.key").unlink()
    with pytest.raises(Stuck, match="put it back"):
        archives.settle(archives.archive_of(tape))


def test_an_archive_is_not_signed_by_another_key_than_the_one_that_did(tape, tmp_path):
    """Also where a bit of the key rotted: it is a key all the same."""
    archives.settle(archives.archive_of(tape))
    before = bytes_of(tape / "archive")
    archives.write(tape, 1)
    key = tape / "archive" / "archive.key"
    raw = key.read_bytes()
    at = raw.index(b"\n") + 1 + 40  # in the seed
    key.write_bytes(raw[:at] + (b"B" if raw[at : at + 1] != b"B" else b"C") + raw[at + 1 :])
    with pytest.raises(Stuck, match="is not the key that signed"):
        archives.settle(archives.archive_of(tape))
    key.write_bytes(raw)
    assert bytes_of(tape / "archive") == before
    archives.settle(archives.archive_of(tape))
    assert verdict(tape).ok


def test_a_key_of_ones_own_is_used(tape, tmp_path):
    key = tmp_path / "elsewhere" / "my.pem"
    archives.settle(archives.archive_of(tape, key=key))
    assert key.exists()
    assert not (tape / "archive" / "archive.key").exists()
    assert verdict(tape).ok


def test_an_archive_elsewhere_is_found_from_the_tape(tape, tmp_path):
    target = tmp_path / "disk" / "archive"
    assert folder_of(tape, str(target)) == target
    archives.settle(archives.archive_of(tape, folder=target))
    assert verify_all(tape, tape / "archive").archived > 0
    assert folder_of(tape, str(tmp_path / "moved")) == tmp_path / "moved"
    assert (tape / "archive").readlink() == tmp_path / "moved"


def test_an_archive_that_is_there_already_is_not_left_behind(tape, tmp_path):
    archives.settle(archives.archive_of(tape))
    with pytest.raises(UserError, match="move it"):
        folder_of(tape, str(tmp_path / "disk"))


def test_it_waits_for_what_it_has_not_archived_yet(tape):
    archive = archives.archive_of(tape)
    with archives.opened(archive):
        archive.step(1)
        assert archive.waiting() == len(live(tape)) - 2, "one is archived, and the newest is not behind"
        with suppress(Stuck):
            while archive.step(1):
                pass
        assert archive.waiting() == 0


def test_a_segment_that_is_being_written_is_not_read_from_its_beginning_at_every_look(tape, monkeypatch):
    looked, real = [], archive_module.inspect
    monkeypatch.setattr(archive_module, "inspect", lambda path: looked.append(path.name) or real(path))
    writer = TapeWriter(tape, now_ns=9, segment_size=archives.PAGE, session=b"one")
    with archives.opened(archives.archive_of(tape)) as archive:
        while archive.step(1):
            pass
        looked.clear()
        for _ in range(5):
            writer.append(RecordType.FRAME, 0, 1, b"x")
            assert not archive.step(1)
        assert looked == []
        writer.close(10)
        assert archive.step(1)
        assert looked == [f"{max(live(tape)):08d}.tape"]
    assert packed(tape)[-1] == max(live(tape))

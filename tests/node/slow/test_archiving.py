"""The archiver as it runs: beside a node, after it, and in its way."""

import asyncio
import errno
import os
import re
import subprocess
import time
from types import SimpleNamespace

import archives
import pytest

from ext.tape import RecordType, TapeReader, TapeWriter
from node.beat import LAYOUT, MAGIC, NAME, started_of
from node.config import ArchiveConfig
from node.errors import Failed, UserError
from node.slow import archive as archive_module
from node.slow import archiving, syncing
from node.slow.archiving import Archiving
from node.slow.chain import read_chain
from node.slow.records import read
from node.slow.segments import LIVE, PACKED, indexed
from node.slow.verifying import verify_all
from node.synced import read_synced


@pytest.fixture
def node():
    """A process that does nothing."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def config(tape, **change):
    told = {"sync_ms": 1, "sync_max_ms": 50, "hot_segments": 2} | change
    return SimpleNamespace(tape=str(tape), archive=ArchiveConfig(**told))


def writer_of(tape):
    return TapeWriter(tape, now_ns=1, segment_size=archives.PAGE)


def fill(writer, records=60, kind=RecordType.FRAME):
    for i in range(records):
        writer.append(kind, 0, i, b"x" * 100)


def packed(tape):
    return list(indexed(tape / "archive", PACKED))


def play(tape, scenario, node_pid=0, told=None, **change):
    """`scenario(archiver, running)` while it runs; then it is stopped, if it still does."""
    said = [] if told is None else told

    async def main():
        stop = asyncio.Event()
        archiver = Archiving(config(tape, **change), lambda *x: said.append(x[1]), node_pid)
        running = asyncio.ensure_future(archiver.run(stop))
        async with asyncio.timeout(20):
            await scenario(archiver, running)
            stop.set()
            await running

    asyncio.run(main())


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def brisk(monkeypatch):
    monkeypatch.setattr(archiving, "IDLE_S", 0.01)
    monkeypatch.setattr(archiving, "LOOK_S", 0.01)
    monkeypatch.setattr(archiving, "TROUBLE_S", 0.02)


def test_it_follows_a_node_and_ends_with_it_when_all_is_archived(tmp_path, node):
    writer = writer_of(tmp_path)

    async def scenario(archiver, running):
        await until(lambda: read_synced(tmp_path) is not None)
        fill(writer, 60)
        fill(writer, 1, RecordType.NOTE)
        await until(lambda: read_synced(tmp_path).sequence == 61)
        await until(lambda: packed(tmp_path) == list(range(writer.index)))
        writer.close(9)
        node.kill()
        await running

    play(tmp_path, scenario, node.pid)
    found = verify_all(tmp_path, tmp_path / "archive")
    assert (found.ok, found.archived, found.checkpoints >= 2) == (True, found.segments, True)
    assert not found.notes or "behind the last checkpoint" not in str(found.notes)
    assert len(list(read(tmp_path))) == 61


def test_a_node_that_was_killed_leaves_its_last_segment_for_the_next_start(tmp_path, node):
    writer = writer_of(tmp_path)
    fill(writer)

    async def scenario(archiver, running):
        await until(lambda: packed(tmp_path))
        node.kill()
        await running

    play(tmp_path, scenario, node.pid)
    assert packed(tmp_path) == list(range(writer.index))
    assert read_synced(tmp_path).sequence == 60, "but it is durable"


def test_the_archiver_of_the_next_node_waits_for_that_of_the_last(tmp_path, node):
    archives.write(tmp_path)
    held = Archiving(config(tmp_path), lambda *x: None)
    lock = held._try_lock()

    async def scenario(archiver, running):
        for _ in range(5):
            await asyncio.sleep(0.01)
        assert packed(tmp_path) == []
        os.close(lock)
        await until(lambda: packed(tmp_path))
        node.kill()
        await running

    play(tmp_path, scenario, node.pid)


def test_a_second_one_that_was_started_by_hand_is_refused(tmp_path):
    archives.write(tmp_path)
    lock = Archiving(config(tmp_path), lambda *x: None)._try_lock()
    with pytest.raises(UserError, match="another archiver looks after"):
        asyncio.run(Archiving(config(tmp_path), lambda *x: None).run(asyncio.Event()))
    with pytest.raises(Failed, match=r"another archiver looks after .* --once is for a tape at rest"):
        Archiving(config(tmp_path), lambda *x: None).once()
    os.close(lock)


def test_an_archive_disk_that_takes_nothing_is_told_once_and_tried_again(tmp_path, monkeypatch):
    archives.write(tmp_path)
    told, real, tries = [], archive_module.pack, []

    def full(source, size, target):
        tries.append(target)
        if len(tries) > 3:
            return real(source, size, target)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    monkeypatch.setattr(archive_module, "pack", full)

    async def scenario(archiver, running):
        await until(lambda: len(packed(tmp_path)) == len(indexed(tmp_path, LIVE)))

    play(tmp_path, scenario, told=told)
    assert sum("ALARM" in x and "the disk is full: make room there" in x for x in told) == 1
    assert verify_all(tmp_path, tmp_path / "archive").ok


def test_a_slow_archive_is_told_and_does_not_hold_up_what_must_be_durable(tmp_path, monkeypatch):
    writer, told, real = writer_of(tmp_path), [], archive_module.pack
    gate = archiving.threading.Event()

    def slow(source, size, target):
        gate.wait(20)
        return real(source, size, target)

    monkeypatch.setattr(archive_module, "pack", slow)
    archives.write(tmp_path / "other", 1)

    async def scenario(archiver, running):
        fill(writer, 300)
        fill(writer, 1, RecordType.NOTE)
        await until(lambda: (page := read_synced(tmp_path)) is not None and page.sequence == 301)
        assert packed(tmp_path) == []
        gate.set()
        await until(lambda: any("caught up" in x for x in told))

    play(tmp_path, scenario, told=told)
    assert any("lags" in x for x in told)


def test_an_archive_that_is_of_another_tape_leaves_the_flushing_alone(tmp_path):
    archives.write(tmp_path / "one")
    archives.settle(archives.archive_of(tmp_path / "one"))
    writer, told = TapeWriter(tmp_path / "two", now_ns=99, segment_size=archives.PAGE), []

    async def scenario(archiver, running):
        fill(writer, 1, RecordType.NOTE)
        await until(lambda: (page := read_synced(tmp_path / "two")) is not None and page.sequence == 1)
        await until(lambda: any("another tape" in x for x in told))

    folder = str(tmp_path / "one" / "archive")
    play(tmp_path / "two", scenario, told=told, directory=folder)
    assert verify_all(tmp_path / "one", tmp_path / "one" / "archive").ok


@pytest.mark.parametrize("times", [1, 5])
def test_a_disk_that_answers_an_error_is_told_once_and_the_flushing_goes_on(tmp_path, monkeypatch, times):
    writer, told, tries, real = writer_of(tmp_path), [], [], syncing.indexed

    def fails(directory, pattern):
        tries.append(directory)
        if len(tries) > times:
            return real(directory, pattern)
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(directory))

    async def scenario(archiver, running):
        await until(lambda: read_synced(tmp_path) is not None)
        await until(lambda: packed(tmp_path) or any("looks after" in x for x in told))
        monkeypatch.setattr(syncing, "indexed", fails)
        fill(writer, 1, RecordType.NOTE)
        await until(lambda: read_synced(tmp_path).sequence == 1)
        assert not running.done()

    play(tmp_path, scenario, told=told)
    assert len(tries) > times
    assert (
        sum(
            "ALARM" in x and "the disk reports an I/O error: look at it: nothing more is made durable" in x
            for x in told
        )
        == 1
    )


def test_an_end_on_a_disk_that_answers_an_error_is_told(tmp_path, monkeypatch):
    archives.write(tmp_path)
    told = []

    def fails(self, now_ns):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(syncing.Syncer, "finish", fails)

    async def scenario(archiver, running):
        await until(lambda: len(packed(tmp_path)) == len(indexed(tmp_path, LIVE)))

    play(tmp_path, scenario, told=told)
    assert any(f"ALARM: {tmp_path}: the disk reports an I/O error" in x for x in told)


def test_a_fault_of_its_own_ends_it_so_that_another_is_started(tmp_path, monkeypatch):
    archives.write(tmp_path)
    monkeypatch.setattr(archive_module.Archive, "step", lambda self, now_ns: 1 / 0)

    async def scenario(archiver, running):
        with pytest.raises(ZeroDivisionError):
            await running
        raise LookupError

    with pytest.raises(LookupError):
        play(tmp_path, scenario)


def test_once_over_a_tape_at_rest_does_what_is_due(tmp_path):
    archives.write(tmp_path)
    count = len(indexed(tmp_path, LIVE))
    assert Archiving(config(tmp_path), lambda *x: None).once() == {
        "archived": count,
        "sequence": 100,
        "waiting": 0,
    }
    assert Archiving(config(tmp_path), lambda *x: None).once()["archived"] == 0
    assert [x.sequence for x in TapeReader(tmp_path)] == list(range(1, 101))


def test_once_says_what_it_could_not_do(tmp_path):
    with pytest.raises(UserError, match="no such tape"):
        Archiving(config(tmp_path / "nowhere"), lambda *x: None).once()
    archives.write(tmp_path)
    archives.flip(tmp_path / "00000001.tape", 100)
    with pytest.raises(Failed, match=r"00000001\.tape: offset 64"):
        Archiving(config(tmp_path), lambda *x: None).once()


CALLS = {  # of the archive, and of what file
    "fsync": r"\.zst\.part|/archive|\.jsonl",
    "write": r"\.jsonl",
    "rename": r"\.zst\.part",
    "unlink": r"0000000[0-9]\.tape",
}
WORDS = {
    errno.EIO: "the disk reports an I/O error",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "the disk is full",
}


def failing(monkeypatch, call, number, wanted):
    """`call` fails on files of these names; which it was asked for."""
    real, hit = getattr(os, call), []

    def instead(what, *more, **names):
        path = os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else str(what)
        if re.search(f"(?:{wanted})$", path):
            hit.append(path)
            raise OSError(number, os.strerror(number), None if isinstance(what, int) else path)
        return real(what, *more, **names)

    monkeypatch.setattr(os, call, instead)
    return hit


@pytest.mark.parametrize("number", WORDS, ids=errno.errorcode.get)
@pytest.mark.parametrize("call", CALLS)
def test_a_disk_that_fails_under_the_archive_is_named_and_when_it_works_again_all_is_archived(
    tmp_path, monkeypatch, call, number
):
    archives.write(tmp_path)
    before = {x.name: x.read_bytes() for x in tmp_path.glob("*.tape")}

    def make(*arguments, **more):
        return archive_module.Archive(*arguments, **(more | {"fold": archives.fold}))

    with monkeypatch.context() as patch:
        hit = failing(patch, call, number, CALLS[call])
        with pytest.raises(Failed, match=WORDS[number]):
            Archiving(config(tmp_path), lambda *x: None, make=make).once()
    assert hit
    assert {x.name: x.read_bytes() for x in tmp_path.glob("*.tape")} == before, "nothing live is gone"
    assert len(read_chain(tmp_path / "archive").segments) == (len(before) if call == "unlink" else 0)
    assert not list((tmp_path / "archive").glob("*.part"))
    Archiving(config(tmp_path), lambda *x: None, make=make).once()
    found = verify_all(tmp_path, tmp_path / "archive")
    assert (found.ok, found.records, found.archived) == (True, 100, len(before)), found.problems
    assert found.live == 2


def test_an_end_that_could_not_be_signed_is_no_good_end(tmp_path, monkeypatch):
    archives.write(tmp_path)
    failing(monkeypatch, "write", errno.ENOSPC, "checkpoints.jsonl")
    with pytest.raises(Failed, match="the disk is full"):
        Archiving(config(tmp_path), lambda *x: None).once()


def test_nothing_is_deleted_while_another_process_reads_the_tape_at_its_start(tmp_path, node):
    archives.write(tmp_path)
    archiver = Archiving(config(tmp_path), lambda *x: None)
    with archiver._quiet() as is_quiet:
        assert is_quiet, "nobody has the tape"
        with pytest.raises(OSError, match="writ"):
            writer_of(tmp_path)
    writer = writer_of(tmp_path)
    with archiver._quiet() as is_quiet:
        assert not is_quiet, "somebody has it, and did not say yet that it is past the start"
    row = LAYOUT.pack(MAGIC, node.pid, started_of(node.pid), time.monotonic_ns(), 0)
    (tmp_path / NAME).write_bytes(row)
    with archiver._quiet() as is_quiet:
        assert is_quiet
    writer.close(1)


def test_a_tape_that_was_restored_from_a_backup_is_archived_on_and_nothing_is_lost(tmp_path, tickgate):
    """The archiver as a person runs it, behind a node that went on."""
    tape = tmp_path / "tape"
    archives.write(tape, 40, close=False)
    backup = {x.name: x.read_bytes() for x in indexed(tape, LIVE).values()}
    archives.write(tape, 60)
    old = list(TapeReader(tape))
    archiver = Archiving(config(tape), lambda *x: None)
    archiver.once()
    for path in indexed(tape, LIVE).values():
        path.unlink()
    for name, raw in backup.items():
        (tape / name).write_bytes(raw)
    archives.write(tape, 50, size=120)
    new, said = list(TapeReader(tape)), []
    assert Archiving(config(tape), lambda *x: said.append(x[1])).once()["archived"] > 0
    assert any("put back to an earlier state" in x and "archive/fork-0001" in x for x in said)
    told = tickgate("tape", "verify", tape)
    assert told.code == 0, told.out
    assert "archive/fork-0001: the tape as it is" in told.out
    assert "note: archive: what came before it was put back" in told.out
    assert list(read(tape)) == new
    assert list(read(tape / "archive", archive=tape / "archive")) == old

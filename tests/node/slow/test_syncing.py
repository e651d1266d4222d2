"""What is flushed, when, and what becomes of a tape whose flush fails; time is handed in."""

import errno
import os

import archives
import pytest

from ext.records import Door, pack_reports
from ext.tape import RecordType, TapeWriter, verify
from node.slow import syncing
from node.slow.segments import LIVE, indexed
from node.slow.syncing import SUSPECT, Syncer, is_in_memory, is_lasting, read_suspect
from node.synced import DISK, MEMORY, read_synced

MS = 1_000_000
NOTE = b'{"event":"x"}'


class Disk:
    """Flushes of files, by name; `fails`: those that do not work; `during`: called while one is under way."""

    def __init__(self):
        self.flushed, self.fails, self.during = [], set(), lambda: None
        self.number = errno.EIO

    def flush(self, fd):
        name = os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))
        self.during()
        if name in self.fails:
            raise OSError(self.number, os.strerror(self.number))
        self.flushed.append(name)


class Room:
    """A tape that is being written, and who makes it durable."""

    def __init__(self, tape, sync_max_ms=1000):
        self.tape, self.disk, self.told, self.at = tape, Disk(), [], 100 * MS
        self.writer = TapeWriter(tape, now_ns=1, segment_size=archives.PAGE)
        self.syncer = Syncer(tape, sync_max_ms * MS, lambda *x: self.told.append(x[1]), self.disk.flush)
        self.syncer.level = DISK
        self.syncer.begin(self.at)
        self.disk.flushed.clear()

    def put(self, kind=RecordType.FRAME, payload=b"x"):
        return self.writer.append(kind, 0, 1, payload)

    def turn(self, ms=2):
        self.at += ms * MS
        self.syncer.turn(self.at)
        return read_synced(self.tape)


@pytest.fixture
def room(tmp_path):
    made = Room(tmp_path)
    yield made
    made.syncer.close()


def report(kind):
    return pack_reports([{"kind": kind, "venue_id": "1"}])


@pytest.mark.parametrize(
    ("kind", "payload", "lasts"),
    [
        (RecordType.FRAME, b"x", False),
        (RecordType.TIMER, b"", False),
        (RecordType.VERDICT, b"x", False),
        (RecordType.ORDER_OUT, b"12345678x", False),
        (RecordType.FILL, b"x", True),
        (RecordType.CONFIG, b"{}", True),
        (RecordType.DOOR, b"x", True),
        (RecordType.STOP, b"x", True),
        (RecordType.EVIDENCE, b"x", True),
        (RecordType.NOTE, NOTE, True),
        (RecordType.REPORT, report(0), False),
        (RecordType.REPORT, report(2), False),
        (RecordType.REPORT, report(1), True),
        (RecordType.REPORT, report(4), True),
        (RecordType.REPORT, report(7), True),
        (RecordType.REPORT, report(8), True),
        (RecordType.REPORT, b"of another layout", True),
    ],
)
def test_fills_ends_of_orders_latches_and_epochs_are_flushed_at_once_and_nothing_else(
    room, kind, payload, lasts
):
    sequence = room.put(kind, payload)
    page = room.turn()
    assert room.disk.flushed == ["00000000.tape"] * lasts
    assert page.sequence == (sequence if lasts else 0)
    assert page.lag_ns == 0


def test_a_latch_is_a_door():
    assert "DOOR_LATCH" in Door.__members__
    assert is_lasting(type("R", (), {"type": RecordType.DOOR}))


def test_what_came_together_is_flushed_together(room):
    for _ in range(50):
        room.put(RecordType.NOTE, NOTE)
        last = room.put()
    assert room.turn().sequence == last, "what stood before the flush is durable with it"
    assert len(set(room.disk.flushed)) == len(room.disk.flushed)


def test_everything_else_is_durable_at_the_latest_after_the_longest_time(room):
    last = room.put()
    for _ in range(499):
        room.turn()
    assert room.disk.flushed == []
    assert room.turn().sequence == last
    for _ in range(1000):
        room.turn()
    assert len(room.disk.flushed) == 1, "nothing new: nothing to flush"


def test_every_segment_that_was_written_is_flushed_and_none_for_ever(room):
    while room.writer.index < 3:
        last = room.put(RecordType.NOTE, NOTE)
    assert room.turn().sequence == last
    assert room.disk.flushed == [f"0000000{i}.tape" for i in range(4)]
    room.put(RecordType.NOTE, NOTE)
    room.turn()
    assert room.disk.flushed[4:] == ["00000003.tape"]


def test_what_an_earlier_run_left_is_flushed_at_the_start(tmp_path):
    archives.write(tmp_path, 100, close=False)
    disk = Disk()
    syncer = Syncer(tmp_path, MS, lambda *x: None, disk.flush)
    syncer.begin(1)
    assert disk.flushed == [x.name for x in indexed(tmp_path, LIVE).values()]
    assert read_synced(tmp_path).sequence == 0, "it has not read them yet"
    syncer.turn(2 * MS)
    assert read_synced(tmp_path).sequence == 100
    syncer.close()


def test_while_a_flush_is_under_way_the_page_says_that_something_waits(room):
    seen = []
    room.disk.during = lambda: seen.append(read_synced(room.tape))
    room.turn()
    sequence = room.put(RecordType.FILL)
    room.turn(7)
    assert (seen[0].lag_ns, seen[0].sequence < sequence) == (7 * MS, True)
    assert seen[0].age_ns(room.at + 500 * MS) == 507 * MS, "and the reader counts on"


def test_what_is_written_during_a_flush_is_not_taken_for_durable(room):
    first = room.put(RecordType.FILL)
    room.disk.during = lambda: room.put(RecordType.FILL)
    assert room.turn().sequence == first


def test_a_failed_flush_is_final_for_its_file_and_the_tape_is_suspect(room):
    room.put(RecordType.FILL)
    room.disk.fails = {"00000000.tape"}
    page = room.turn()
    assert (page.suspect, page.sequence) == (True, 0)
    assert read_suspect(room.tape) == {0}
    assert [x for x in room.told if "ALARM" in x and "00000000.tape" in x]
    room.disk.fails.clear()
    room.put(RecordType.FILL)
    assert (room.turn().sequence, room.disk.flushed) == (0, []), (
        "the second try would have worked, over a hole"
    )
    while room.writer.index < 1:
        room.put(RecordType.NOTE, NOTE)
    page = room.turn()
    assert room.disk.flushed == ["00000001.tape"], "the next file is flushed"
    assert page.sequence == 0, "there is a hole in front of it"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EIO, "the disk reports an I/O error"),
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "the file system is read-only"),
    ],
)
def test_whatever_a_flush_fails_of_is_named_and_believed(room, number, words):
    """A network disk and one that allocates late tell of their room only then."""
    room.put(RecordType.FILL)
    room.disk.fails, room.disk.number = {"00000000.tape"}, number
    assert room.turn().suspect
    assert any("00000000.tape cannot be made durable" in x and words in x for x in room.told)


def test_what_was_lost_counts_again_once_it_is_archived(room):
    room.disk.fails = {"00000000.tape"}
    while room.writer.index < 1:
        room.put(RecordType.NOTE, NOTE)
    room.turn()
    last = room.put(RecordType.NOTE, NOTE)
    room.syncer.archived(0, 40, 0, room.at)
    page = room.turn()
    assert (page.sequence, page.archived, page.suspect) == (last, 40, True)


def test_a_tape_stays_suspect_over_a_restart_until_a_person_has_looked(room):
    room.put(RecordType.FILL)
    room.disk.fails = {"00000000.tape"}
    room.turn()
    again = Syncer(room.tape, MS, lambda *x: None, Disk().flush)
    again.begin(room.at)
    assert read_synced(room.tape).suspect
    (room.tape / SUSPECT).unlink()
    again.turn(room.at + 1)
    assert not read_synced(room.tape).suspect
    again.close()


def test_a_disk_that_takes_not_even_the_mark_is_said_on_the_page(room, monkeypatch):
    room.put(RecordType.FILL)
    room.disk.fails = {"00000000.tape"}
    (room.tape / f"{SUSPECT}.part").mkdir()
    room.turn()
    assert room.turn().suspect


def test_a_second_failure_after_a_person_has_looked_is_suspect_again_though_no_mark_can_be_made(room):
    room.put(RecordType.FILL)
    room.disk.fails = {"00000000.tape", "00000001.tape"}
    assert room.turn().suspect
    (room.tape / SUSPECT).unlink()
    assert not room.turn().suspect
    (room.tape / f"{SUSPECT}.part").mkdir()  # the disk takes no file any more
    while room.writer.index < 1:
        room.put(RecordType.NOTE, NOTE)
    assert room.turn().suspect
    assert room.turn().suspect


def test_what_waits_behind_a_hole_goes_on_waiting_and_is_not_flushed_again_and_again(room):
    room.disk.fails = {"00000000.tape"}
    while room.writer.index < 1:
        room.put(RecordType.NOTE, NOTE)
    assert room.turn(5).lag_ns == 5 * MS
    assert room.turn(7).lag_ns == 12 * MS
    last = room.put(RecordType.NOTE, NOTE)
    assert room.turn(3).lag_ns == 15 * MS
    assert room.disk.flushed == ["00000001.tape"] * 2
    room.syncer.archived(0, 40, 0, room.at)
    page = room.turn(1000)
    assert (page.sequence, page.lag_ns) == (last, 0)


def test_a_mark_that_cannot_be_read_holds_back_what_counts_as_durable_until_a_person_has_looked(tmp_path):
    (tmp_path / SUSPECT).write_text("{")
    room = Room(tmp_path)
    last = room.put(RecordType.FILL)
    room.syncer.archived(5, 1, 0, room.at)  # which files it was about is not known
    page = room.turn(4)
    assert (page.suspect, page.sequence, page.lag_ns) == (True, 0, 4 * MS)
    (tmp_path / SUSPECT).unlink()
    page = room.turn(1000)
    assert (page.suspect, page.sequence, page.lag_ns) == (False, last, 0)
    room.syncer.close()


def test_a_directory_that_cannot_be_read_once_loses_no_record_that_must_be_flushed(room, monkeypatch):
    sequence = room.put(RecordType.FILL)

    def fails(directory, pattern):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(directory))

    with monkeypatch.context() as patch:
        patch.setattr(syncing, "indexed", fails)
        with pytest.raises(OSError, match="Input"):
            room.turn()
    assert read_synced(room.tape).sequence == 0
    page = room.turn()
    assert (page.sequence, page.lag_ns, room.disk.flushed) == (sequence, 0, ["00000000.tape"])


def test_a_mark_that_cannot_be_read_suspects_everything(tmp_path):
    (tmp_path / SUSPECT).write_text("{")
    assert read_suspect(tmp_path) == {-1}


def test_a_damaged_tape_is_suspect_and_told_once(room):
    room.put(RecordType.FILL)
    room.turn()
    first = room.put()
    for _ in range(3):
        room.put()
    archives.flip(room.tape / "00000000.tape", 64 + (first - 1) * 64 + 40)
    page = [room.turn() for _ in range(3)][-1]
    assert page.suspect
    assert sum("damaged" in x for x in room.told) == 1


def test_a_page_that_was_removed_comes_back(room):
    room.put(RecordType.FILL)
    room.turn()
    (room.tape / "synced.page").unlink()
    page = room.turn(1001)
    assert page.sequence > 0


def test_it_changes_nothing_of_the_tape(room):
    for _ in range(200):
        room.put(RecordType.NOTE, NOTE)
        room.turn()
    room.writer.close(9)
    assert verify(room.tape).ok


def test_it_is_known_which_file_systems_forget(tmp_path):
    mounts = "/dev/shm" if os.path.isdir("/dev/shm") else None
    if mounts is not None:
        assert is_in_memory(type(tmp_path)(mounts))
    assert not is_in_memory(type(tmp_path)("/proc"))


def test_a_tape_in_memory_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("node.slow.syncing.is_in_memory", lambda directory: True)
    told = []
    syncer = Syncer(tmp_path, MS, lambda *x: told.append(x[1]))
    syncer.begin(1)
    assert read_synced(tmp_path).level == MEMORY
    assert "nothing there survives a power cut" in told[0]
    syncer.close()

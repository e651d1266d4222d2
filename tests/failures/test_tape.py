"""Rows 90 to 94, 104 and 111 of the failure catalogue, as far as they are the tape's: torn, damaged, full,
failing and slow disks, no descriptor left, and two writers of one directory."""

import errno
import os
import random
import time
from pathlib import Path
from types import SimpleNamespace

import configs
import msgspec
import pytest
from disk import child, failing_disk, library, mounted, small_disk, told

from ext.engine import Engine
from ext.instruments import Instruments
from ext.records import Latch
from ext.tape import RecordType, TapeCorrupt, TapeError, TapeFull, TapeReader, TapeWriter, verify
from node.config import ArchiveConfig, Config
from node.errors import Failed, UserError
from node.net.live import Node
from node.net.tapewatch import TapeWatch
from node.recall import recall
from node.slow.archiving import Archiving
from node.slow.syncing import Syncer
from node.slow.verifying import verify_all
from node.synced import DISK, SyncedPage

OPERATOR = int(Latch.LATCH_OPERATOR)
SEGMENT = 1 << 16
NOTE = int(RecordType.NOTE)


@pytest.fixture(scope="module")
def failing(tmp_path_factory) -> Path:
    return library(tmp_path_factory.mktemp("inject"))


def engine_on(tape: TapeWriter) -> Engine:
    return Engine(Instruments(1), tape=tape)


def node_on(folder: Path) -> Node:
    """A node that never runs: for what it does when it opens its tape."""
    table = {
        "mode": "sim",
        "strategy": "none",
        "tape": str(folder),
        "segment_mb": 1,
        "venue": [configs.venue("bybit-linear")],
        "instrument": [configs.instrument("bybit-linear", "BTCUSDT")],
    } | configs.tables()
    return Node(msgspec.convert(table, Config), lambda line, text: None)


def watch_of(folder: Path, engine: Engine, said: list[str]) -> TapeWatch:
    def latch(which: int, on: bool) -> None:
        engine.latch(which, on, 1)

    return TapeWatch(folder, latch, lambda line, text: said.append(text), lambda fields: None)


# ---- 90: a torn tail


def test_row_90_a_torn_tail_is_cut_kept_aside_and_the_state_is_that_of_the_last_whole_record(tmp_path):
    tape = TapeWriter(tmp_path, now_ns=1, segment_size=SEGMENT)
    engine = engine_on(tape)
    engine.latch(OPERATOR, True, 1)
    whole = recall(tmp_path)
    engine.latch(OPERATOR, False, 2)
    del engine, tape  # as kill -9 leaves it
    assert (whole.latches, recall(tmp_path).latches) == ({OPERATOR}, set())
    path = tmp_path / "00000000.tape"
    data = path.read_bytes()
    used = len(data.rstrip(b"\0"))
    start = list(record_starts(data))[-1]
    assert used - start > 40
    for cut in range(start + 1, used):
        path.write_bytes(data[:cut] + bytes(len(data) - cut))
        assert recall(tmp_path).latches == {OPERATOR}, cut
    tape = TapeWriter(tmp_path, now_ns=3, segment_size=SEGMENT)
    torn = data[start : used - 1].rstrip(b"\0")
    assert tape.cut.startswith(f"{path}: cut {len(torn)} torn bytes at offset {start}, sequence 2; kept in")
    assert (tmp_path / "00000000.torn").read_bytes() == torn
    tape.close(4)
    assert recall(tmp_path).latches == {OPERATOR}
    assert verify(tmp_path).ok


def record_starts(data: bytes):
    at = 64
    while (length := int.from_bytes(data[at : at + 4], "little", signed=True)) > 0:
        yield at
        at += (length + 63) // 64 * 64


# ---- 91: corruption in the middle


def test_row_91_corruption_in_the_middle_stops_the_start_and_changes_nothing(tmp_path):
    tape = TapeWriter(tmp_path, now_ns=1, segment_size=1 << 20)
    engine = engine_on(tape)
    for now_ns in range(50):
        engine.latch(OPERATOR, now_ns % 2 == 0, now_ns)
    tape.close(60)
    path = tmp_path / "00000000.tape"
    data = bytearray(path.read_bytes())
    data[list(record_starts(data))[20] + 40] ^= 4
    path.write_bytes(data)
    before = {x.name: x.read_bytes() for x in tmp_path.iterdir() if x.name != "lock"}
    assert "00000000.tape: offset" in recall(tmp_path).damage
    with pytest.raises(
        UserError, match=r"00000000.tape: offset \d+, sequence \d+: .*crc does not match, with whole"
    ):
        node_on(tmp_path)._open_tape()
    assert {x.name: x.read_bytes() for x in tmp_path.iterdir() if x.name != "lock"} == before


# ---- 92: a full disk


def test_row_92_a_disk_that_fills_up_stops_new_risk_while_there_is_room_and_lets_it_go_on(tmp_path):
    with small_disk(tmp_path / "disk", "size=12m") as disk:
        tape = TapeWriter(disk / "tape", now_ns=1, segment_size=1 << 18)  # 16 segments: 4 MB
        engine, said = engine_on(tape), []
        watch = watch_of(disk / "tape", engine, said)
        for megabytes, held in ((0, False), (7, False), (8, True), (6, True), (0, False), (9, True)):
            (disk / "other").write_bytes(bytes(megabytes << 20))
            watch.look(tape, time.monotonic_ns())
            assert engine.risk.latched == (Latch.LATCH_TAPE if held else 0), megabytes
        assert "less than 4 MB are free on its disk; make room there" in said[0]
        assert len(said) == 3  # held, passed, held
        assert not tape.full
        tape.close(2)


@pytest.mark.parametrize("options", ["size=1m", "size=64m,nr_inodes=5"])
def test_row_92_a_disk_without_bytes_or_without_inodes_loses_nothing(tmp_path, options):
    with small_disk(tmp_path / "disk", options) as disk:
        tape, done = TapeWriter(disk / "tape", now_ns=1, segment_size=1 << 18), 0
        with pytest.raises(TapeFull, match=r"the disk is full.*; make room there") as caught:  # noqa: PT012
            while True:
                tape.append(1, 0, 1, bytes(500))
                done += 1
        assert caught.value.errno == errno.ENOSPC
        tape.close(2)
        assert len(list(TapeReader(disk / "tape"))) == done > 400
        assert verify(disk / "tape").ok
        with pytest.raises(Failed, match=r"the disk is full"):
            node_on(disk / "tape")._open_tape()  # of 1 MB each
        assert len(list(TapeReader(disk / "tape"))) == done


FAIL_EVERYWHERE = """
    import errno, sys
    from ext.tape import TapeError, TapeFull, TapeReader, TapeWriter, verify
    tape, done = TapeWriter(sys.argv[1], now_ns=0, segment_size=1 << 16), 0
    for call in ("open", "posix_fallocate", "mmap", "rename"):
        for name in ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EMFILE", "ENOMEM", "ELOOP"):
            number = getattr(errno, name)
            while True:     # until nothing is ready for the next segment
                try:
                    if not tape.prepare(): continue
                except OSError: continue
                index = tape.index
                while tape.index == index: tape.append(1, 0, 0, bytes(1000)); done += 1
                break
            inject(call, number)
            try: tape.prepare()
            except TapeError as error: print(call, name, type(error).__name__, error.errno == number, error)
            else: raise SystemExit(f"prepare hid {call} {name}")
            for _ in range(20): tape.append(1, 0, 0, bytes(1000)); done += 1
            inject(call, 0)
    tape.close(0)
    assert len(list(TapeReader(sys.argv[1]))) == done and verify(sys.argv[1]).ok
"""


def test_row_92_whatever_fails_under_the_next_segment_is_named_and_the_current_one_goes_on(tmp_path, failing):
    out = told(child(FAIL_EVERYWHERE, tmp_path / "tape", preload=failing))
    lines = out.splitlines()
    assert len(lines) == 4 * 7
    for name, kind, cause, fix in (
        ("ENOSPC", "TapeFull", "the disk is full", "make room there"),
        ("EDQUOT", "TapeFull", "the disk quota is used up", "raise it"),
        ("EIO", "TapeError", "the disk reports an I/O error", "look at the disk"),
        ("EROFS", "TapeError", "the file system is read-only", "mount it read-write"),
        ("EMFILE", "TapeError", "no file descriptor left", "raise `ulimit -n`"),
        ("ENOMEM", "TapeError", "no memory to map it", "raise `ulimit -v`"),
        ("ELOOP", "TapeError", "Too many levels", "look at the disk"),
    ):
        mine = [x for x in lines if x.split()[1] == name]
        assert len(mine) == 4
        for line in mine:
            assert line.split()[2:4] == [kind, "True"], line
            assert cause in line, line
            assert fix in line, line
            assert str(tmp_path) in line, line


USED_UP = """
    import errno, sys
    from ext.tape import TapeError, TapeReader, TapeWriter, verify
    name, done = getattr(errno, sys.argv[2]), 0
    tape = TapeWriter(sys.argv[1], now_ns=0, segment_size=1 << 16)
    inject("posix_fallocate", name)
    try:
        while True: tape.append(1, 0, 0, bytes(1000)); done += 1
    except TapeError as error: assert error.errno == name
    inject("posix_fallocate", 0)
    try: tape.append(1, 0, 0, b"")
    except TapeError as error: assert "the tape is full" in str(error)
    else: raise SystemExit("a record behind a hole")
    tape.close(0)
    assert done > 50 and len(list(TapeReader(sys.argv[1]))) == done and verify(sys.argv[1]).ok
"""


def test_row_92_a_tape_that_could_not_go_on_takes_nothing_more_and_ends_in_good_order(tmp_path, failing):
    running = [child(USED_UP, tmp_path / name, name, preload=failing) for name in ("EIO", "EDQUOT")]
    for process in running:
        told(process)


# ---- directories that cannot be a tape's


def test_what_cannot_be_the_directory_of_a_tape_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "held" / "lock").mkdir(parents=True)
    for bad, what in (
        (tmp_path / "file", "a file is in the way; name a directory"),
        (tmp_path / "file" / "tape", "a file is in the way; name a directory"),
        (Path("/dev/full"), "a file is in the way; name a directory"),
        (tmp_path / "held", "a directory is in the way"),
    ):
        with pytest.raises(TapeError, match=what):
            TapeWriter(bad, now_ns=1, segment_size=4096)
        with pytest.raises(UserError) as caught:
            node_on(bad)._open_tape()
        assert str(caught.value).startswith(f"tape {bad}: ")
        assert "\n" not in str(caught.value)
        assert "Errno" not in str(caught.value)


def test_a_read_only_file_system_is_named(tmp_path):
    make = TapeWriter(tmp_path / "tape", now_ns=1, segment_size=4096)
    make.append(1, 0, 1, b"x")
    make.close(2)
    (tmp_path / "seen").mkdir()
    with mounted(["--bind", "-o", "ro", str(tmp_path / "tape"), str(tmp_path / "seen")], tmp_path / "seen"):
        if os.access(tmp_path / "seen", os.W_OK):
            pytest.skip("a bind mount here cannot be read-only")
        with pytest.raises(TapeError, match="the file system is read-only; mount it read-write"):
            TapeWriter(tmp_path / "seen", now_ns=1, segment_size=4096)
        with pytest.raises(UserError, match="the file system is read-only"):
            node_on(tmp_path / "seen")._open_tape()
        assert len(list(TapeReader(tmp_path / "seen"))) == 1  # read it may be
    assert verify(tmp_path / "tape").ok


def test_a_directory_that_is_not_ours_is_named(tmp_path):
    folder = tmp_path / "tape"
    folder.mkdir(mode=0o500)
    code = """
        import os, sys
        from ext.tape import TapeError, TapeWriter
        if os.geteuid() == 0: os.seteuid(65534)
        try: TapeWriter(sys.argv[1], now_ns=0, segment_size=4096)
        except TapeError as error: print(error)
    """
    assert "no permission; give this user the right to write there" in told(child(code, folder))
    assert list(folder.iterdir()) == []


def test_a_tape_that_may_not_be_read_is_one_line(tmp_path, monkeypatch):
    def refused(_):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr("node.net.live.recall_fast", refused)
    with pytest.raises(UserError, match=rf"^tape {tmp_path}: it cannot be read: permission denied$"):
        node_on(tmp_path)._recall()


# ---- 93: a flush that failed


def test_row_93_a_failed_flush_makes_the_tape_suspect_and_stops_new_risk_for_good(tmp_path):
    tape = TapeWriter(tmp_path, now_ns=1, segment_size=SEGMENT)
    engine, said, now_ns = engine_on(tape), [], time.monotonic_ns()
    watch = watch_of(tmp_path, engine, said)
    page = SyncedPage(tmp_path, now_ns, DISK)
    watch.look(tape, now_ns)
    assert not engine.risk.latched
    page.set(now_ns, suspect=1)
    for step in range(50):
        page.set(now_ns + step, sequence=step)  # later flushes succeed: nobody believes them
        watch.look(tape, now_ns + step * 300_000_000)
    assert engine.risk.latched == Latch.LATCH_TAPE
    assert len(said) == 1
    assert "a flush to its disk failed" in said[0]
    assert tape.append(1, 0, 1, b"what happens is recorded on")
    page.close()
    tape.close(2)
    tape = TapeWriter(tmp_path, now_ns=3, segment_size=SEGMENT)  # the next start
    engine = engine_on(tape)
    watch_of(tmp_path, engine, said).look(tape, now_ns)
    assert engine.risk.latched == Latch.LATCH_TAPE
    tape.close(4)


def test_row_93_a_file_system_that_turns_read_only_under_a_node_stops_new_risk_and_loses_no_record(tmp_path):
    with failing_disk(tmp_path / "disk") as fail:
        folder, told = tmp_path / "disk" / "tape", []
        tape = TapeWriter(folder, now_ns=1, segment_size=1 << 18)
        syncer = Syncer(folder, 10**9, lambda line, text: told.append(text))
        syncer.begin(1)
        engine, said = engine_on(tape), []
        watch = watch_of(folder, engine, said)
        watch.look(tape, time.monotonic_ns())
        tape.append(NOTE, 0, 1, b"{}")
        syncer.turn(2 * 10**9)
        assert (syncer.sequence, engine.risk.latched) == (1, 0)
        fail()
        for _ in range(3):
            tape.append(NOTE, 0, 1, bytes(500))
        syncer.turn(4 * 10**9)
        watch.look(tape, time.monotonic_ns() + 10**9)
        assert syncer.sequence == 1
        assert any("00000000.tape cannot be made durable: the file system is read-only" in x for x in told)
        assert engine.risk.latched == Latch.LATCH_TAPE
        assert "a flush to its disk failed" in " ".join(said)
        with pytest.raises(UserError, match="the file system is read-only: mount it read-write"):
            Archiving(SimpleNamespace(tape=str(folder), archive=ArchiveConfig()), lambda *x: None).once()
        syncer.close()
        tape.close(2)  # in good order, though its lock can no longer be signed
        assert sum(x.type == NOTE for x in TapeReader(folder)) == 4
        with pytest.raises(UserError, match="the file system is read-only"):
            node_on(folder)._open_tape()


def test_row_92_an_archive_whose_disk_is_full_goes_on_when_there_is_room(tmp_path):
    tape = TapeWriter(tmp_path / "tape", now_ns=1, segment_size=SEGMENT)
    for i in range(400):
        tape.append(1, 0, i, random.Random(i).randbytes(500))
    tape.close(2)
    with small_disk(tmp_path / "disk", "size=256k") as disk:
        (disk / "other").write_bytes(bytes(160 << 10))
        settings = ArchiveConfig(directory=str(disk / "archive"), hot_segments=100)

        def once():
            return Archiving(
                SimpleNamespace(tape=str(tmp_path / "tape"), archive=settings), lambda *x: None
            ).once()

        with pytest.raises(Failed, match="the disk is full: make room there"):
            once()
        found = verify_all(tmp_path / "tape", disk / "archive")
        assert (found.ok, found.records, found.archived) == (True, 400, 1)
        (disk / "other").unlink()
        assert once()["waiting"] == 0
        assert verify_all(tmp_path / "tape", disk / "archive").archived == 4


def test_row_92_an_archive_above_the_file_size_limit_is_named_and_goes_on_with_a_higher_one(tmp_path):
    code = """
        import random, resource, sys
        from types import SimpleNamespace
        from ext.tape import TapeWriter
        from node.config import ArchiveConfig
        from node.errors import Failed
        from node.slow.archiving import Archiving
        tape = TapeWriter(sys.argv[1], now_ns=1, segment_size=1 << 16)
        for i in range(200): tape.append(1, 0, i, random.Random(i).randbytes(500))
        tape.close(2)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        config = SimpleNamespace(tape=sys.argv[1], archive=ArchiveConfig())
        try: Archiving(config, lambda *x: None).once()
        except Failed as error: print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        print(Archiving(config, lambda *x: None).once()["archived"])
    """
    out = told(child(code, tmp_path / "tape")).splitlines()
    assert "larger than files may be: raise `ulimit -f`" in out[0]
    assert out[1] == "2"
    assert verify_all(tmp_path / "tape", tmp_path / "tape" / "archive").ok


# ---- 94: a disk that does not answer

STUCK = """
    import sys, time
    from ext.engine import Engine
    from ext.instruments import Instruments
    from ext.tape import TapeReader, TapeWriter, verify
    from node.net.tapewatch import TapeWatch
    from pathlib import Path
    tape = TapeWriter(sys.argv[1], now_ns=0, segment_size=1 << 20, ahead=0, min_free=0)
    tape.prepare_by_thread(every_ms=1)
    def until(condition):
        end = time.monotonic() + 20
        while not condition():
            if time.monotonic() > end: raise SystemExit("it never came")
            time.sleep(0.001)
    until(tape.prepare)
    inject("posix_fallocate", -1)
    while tape.index == 0: tape.append(1, 0, 0, bytes(1000))        # the spare is used, another is due
    said, now_ns = [], 10**12
    engine = Engine(Instruments(1), tape=tape)
    watch = TapeWatch(Path(sys.argv[1]), lambda which, on: engine.latch(which, on, 1),
                      lambda line, text: said.append(text), lambda fields: None)
    until(stuck)
    turns = tape.turns
    for _ in range(40):
        now_ns += 40_000_000
        watch.look(tape, now_ns)
        for _ in range(10): tape.append(1, 0, 0, bytes(1000))       # nothing here waits for that disk
    assert tape.turns == turns and tape.stalls == 0
    assert engine.risk.latched == 2, engine.risk.latched
    assert "has not answered for 1 s" in said[0], said
    inject("posix_fallocate", 0)
    until(lambda: tape.turns > turns)
    watch.look(tape, now_ns)
    assert not engine.risk.latched
    until(tape.prepare)
    tape.close(0)
    assert verify(sys.argv[1]).ok
"""


def test_row_94_a_disk_that_hangs_holds_new_risk_and_never_the_writer(tmp_path, failing):
    told(child(STUCK, tmp_path / "tape", preload=failing))


# ---- 104: no file descriptor left


def test_row_104_without_a_descriptor_left_the_tape_still_gets_its_next_segments(tmp_path):
    code = """
        import contextlib, os, resource, sys
        from ext.tape import TapeError, TapeReader, TapeWriter, verify
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        tape, taken, done = TapeWriter(sys.argv[1], now_ns=0, segment_size=1 << 16), [], 0
        with contextlib.suppress(OSError):
            while True: taken.append(os.open("/dev/null", os.O_RDONLY))
        for _ in range(5):
            while not tape.prepare(): pass
            index = tape.index
            while tape.index == index: tape.append(1, 0, 0, bytes(1000)); done += 1
        assert tape.stalls == 0
        try: TapeWriter(sys.argv[1] + "2", now_ns=0, segment_size=1 << 16)
        except TapeError as error: print(error)
        for fd in taken: os.close(fd)
        tape.close(0)
        assert len(list(TapeReader(sys.argv[1]))) == done and verify(sys.argv[1]).ok
    """
    assert "this process has no file descriptor left; raise `ulimit -n`" in told(
        child(code, tmp_path / "tape")
    )


# ---- 111: two of them

OPEN = """
    import sys, time
    from ext.tape import TapeLocked, TapeWriter
    print("ready", flush=True)
    sys.stdin.readline()
    time.sleep(float(sys.argv[2]))
    try: tape = TapeWriter(sys.argv[1], now_ns=0, segment_size=1 << 16)
    except TapeLocked as error: print("locked", error.pid, flush=True)
    else:
        tape.append(1, 0, 0, b"mine")
        print("open", flush=True)
        sys.stdin.read()
"""


@pytest.mark.parametrize("apart_s", [0, 0.002, 0.5])
def test_row_111_of_two_started_together_one_writes_and_the_other_names_it(tmp_path, apart_s):
    both = [child(OPEN, tmp_path, delay) for delay in (0, apart_s)]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.stdout.readline().split() for process in both]
    assert sorted(x[0] for x in said) == ["locked", "open"]
    winner, loser = sorted(range(2), key=lambda i: said[i][0] != "open")
    assert said[loser][1] in (str(both[winner].pid), "None")  # in the same instant it has not signed yet
    if apart_s >= 0.5:
        assert said[loser][1] == str(both[winner].pid)
    with pytest.raises(
        UserError, match=rf"another node \(process {both[winner].pid}\) is writing it; stop it or"
    ):
        node_on(tmp_path)._open_tape()
    for process in both:
        told(process)
    assert len(list(TapeReader(tmp_path))) == 1


def test_row_111_the_lock_of_a_writer_that_was_killed_holds_nobody_back(tmp_path):
    process = child(OPEN, tmp_path, 0)
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "open\n"
    process.kill()
    process.wait()
    tape = TapeWriter(tmp_path, now_ns=1, segment_size=1 << 16)
    assert tape.sequence == 2
    tape.close(2)


# ---- files that are not this tape's


def test_files_that_are_not_this_tapes_stop_the_start_and_are_left_alone(tmp_path):
    for name in ("mine", "other"):
        tape = TapeWriter(tmp_path / name, now_ns=1, segment_size=4096, session=name.encode())
        for i in range(100):
            tape.append(1, 0, i, bytes(100))
        tape.close(2)
    target = tmp_path / "mine" / "00000003.tape"
    for text, what in (
        ((tmp_path / "other" / target.name).read_bytes(), "a segment of another tape"),
        (b"PK\x03\x04" + bytes(5000), "a file of something else; take it away"),
        ((tmp_path / "mine" / "00000002.tape").read_bytes(), "the header says this is segment 2"),
    ):
        target.write_bytes(text)
        with pytest.raises(UserError, match=what):
            node_on(tmp_path / "mine")._open_tape()
        assert target.read_bytes() == text
        with pytest.raises(TapeCorrupt, match=what):
            list(TapeReader(tmp_path / "mine"))

"""The next segment: in small steps or by a thread; what cannot be made is named, the current one goes on."""

import resource
import threading
import time
from pathlib import Path

import pytest

from ext.spare import Spare
from ext.tape import TapeFull, TapeReader, TapeWriter, verify

PAGE = 4096
SMALL = 1 << 16


def until(condition, limit_s: float = 20.0) -> None:
    """Wait for what a thread does; fails when it never does."""
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, "it never came"
        time.sleep(0.001)


def test_steps_are_small_and_keep_pace_with_what_is_written(tmp_path):
    writer = TapeWriter(tmp_path, now_ns=1, segment_size=8 << 20, ahead=0)
    writer.prepare()
    new = tmp_path / "00000001.tape.new"
    assert new.stat().st_size == 256 << 10
    writer.put_many(1000, bytes(2016), 1)  # 2 MB
    writer.prepare()
    assert new.stat().st_size == pytest.approx((256 << 10) + 2 * 1000 * 2048, abs=PAGE)
    writer.put_many(1000, bytes(2016), 1)
    assert writer.prepare()  # half a segment is written, and the next one is there
    assert writer.stalls == 0
    writer.close(1)


def test_a_thread_prepares_and_the_writer_never_waits(tmp_path):
    writer = TapeWriter(tmp_path, now_ns=1, segment_size=SMALL, ahead=0)
    writer.prepare_by_thread(every_ms=1)
    writer.prepare_by_thread(every_ms=1)  # once is enough
    assert threading.active_count() == 1  # none of the interpreter's
    for index in range(1, 6):
        until(writer.prepare)
        while writer.index < index:
            writer.append(1, 0, 1, bytes(1000))
    assert writer.stalls == 0
    assert writer.turns >= 5
    until(writer.prepare)
    writer.close(2)
    assert verify(tmp_path).ok
    assert sorted(p.name for p in tmp_path.iterdir())[-2:] == ["00000005.tape", "lock"]


def test_a_writer_that_is_faster_than_its_thread_makes_the_segment_itself(tmp_path):
    writer = TapeWriter(tmp_path, now_ns=1, segment_size=SMALL)
    writer.prepare_by_thread(every_ms=60_000)
    writer.put_many(5000, bytes(32), 1)
    assert writer.stalls == writer.index == 4
    writer.close(1)
    report = verify(tmp_path)
    assert report.ok
    assert report.records == 5000


def test_a_writer_that_is_dropped_ends_its_thread_and_leaves_a_crash(tmp_path):
    for _ in range(20):
        writer = TapeWriter(tmp_path, now_ns=1, segment_size=SMALL)
        writer.prepare_by_thread(every_ms=1)
        writer.append(1, 0, 1, b"x")
        del writer
    assert len(list(TapeReader(tmp_path))) == 20
    assert Path("/proc/self/task").is_dir() is False or len(list(Path("/proc/self/task").iterdir())) < 20


def test_free_space_is_told_and_too_little_of_it_is_low(tmp_path):
    writer = TapeWriter(tmp_path, now_ns=1, segment_size=PAGE)
    assert writer.min_free == 16 * PAGE
    assert writer.free > 0
    assert not writer.low
    writer.close(1)
    writer = TapeWriter(tmp_path, now_ns=1, segment_size=PAGE, min_free=1 << 62)
    writer.prepare()
    assert writer.low
    assert writer.append(1, 0, 1, b"still works") == 1
    writer.close(1)


def test_a_segment_that_cannot_be_made_is_tried_again_later(tmp_path):
    writer = TapeWriter(tmp_path, now_ns=1, segment_size=SMALL)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PAGE, before[1]))
    try:
        for _ in range(3):
            with pytest.raises(TapeFull, match=r"larger than files may be; raise `ulimit -f`"):
                writer.prepare()
        assert [p.name for p in tmp_path.glob("*.new")] == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    tries = 0
    while True:
        try:
            if writer.prepare():
                break
        except TapeFull:
            tries += 1
    assert 0 < tries <= 25
    writer.close(1)


def test_a_name_that_is_too_long_is_refused(tmp_path):
    with pytest.raises(ValueError, match="name is too long"):
        Spare("x" * 5000, 0, PAGE, 0, 0)

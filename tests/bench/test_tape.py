"""The tape benchmark, small: what was timed is on the tape, and nothing is left behind."""

import tempfile

import pytest

from bench import tape
from bench.conditions import BenchError, Watch
from ext.tape import TapeWriter


def test_a_small_run_has_figures_for_both_sizes_and_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(tape, "TMPFS", tmp_path / "absent")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = tape.run(batches=20, rounds=1, seconds=0.02)
    assert set(found["records"]) == {"64B", "1600B"}
    for row in found["records"].values():
        assert 0 < row["best_ns"] <= row["ns_per_record"] <= row["p99_ns"]
        assert row["records"] == 20 * row["batch"]
        assert row["single_p50_ns"] <= row["single_p99_ns"] <= row["single_p999_ns"] <= row["single_max_ns"]
        assert row["rotations"] >= 3
        assert row["rotation_max_ns"] <= row["single_max_ns"]
        assert row["rotation_stalls"] == 0
        assert row["skip_ns"] > 0
        assert row["read_ns"] > 0
    assert found["reader"]["records"] == 4001
    assert found["reader"]["late_p50_ms"] <= found["reader"]["late_p99_ms"]
    assert found["directory"].startswith(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_segments_change_without_a_stall(tmp_path):
    batches = 3 * tape.SEGMENT_SIZE // tape.BATCH_BYTES
    found = tape.one_size(tmp_path / "tape", 1600, 150.0, batches, Watch())
    assert found["stalls"] == 0


def test_a_tape_that_lacks_records_is_an_error(tmp_path):
    writer = TapeWriter(tmp_path / "tape", now_ns=1, segment_size=1 << 16)
    writer.put_many(5, b"x", 1)
    writer.close(2)
    tape.check(tmp_path / "tape", 5)
    with pytest.raises(BenchError, match="5 of 6 records"):
        tape.check(tmp_path / "tape", 6)


def test_too_little_room_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(tape, "ROOM_NEEDED", 1 << 62)
    with pytest.raises(BenchError, match=r"^tape: .* has less than \d+ MiB free$"), tape.tape_room():
        pass


def test_the_file_system_is_named():
    assert tape.file_system(tape.Path("/proc/self")) == "proc"


def test_records(benchmark, tmp_path):
    writer = TapeWriter(tmp_path / "tape", now_ns=1, segment_size=1 << 22)
    benchmark(writer.put_many, 100, bytes(32), 1)
    writer.close(2)

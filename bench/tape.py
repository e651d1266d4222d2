"""The `tape` benchmark: one record on the tape, in steady state, as the hot process writes it.

Three passes. Batches of equal records, with `prepare` between them (not in the figure, but reported): the
budget is held against their p50. Single records, timed one by one, in segments so small that more than
one in a thousand changes the segment: their p99.9 has the rotation in it. And a writer at 200,000 records
a second, with and without a second process that follows it: the slow side must keep up, and must not be
felt. What was written is read back and verified. It is on tmpfs where there is one, as `docs/TAPE.md`
advises; the result says where.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.conditions import ROOT, BenchError, Progress, Watch, percentile, silent, take_turns, watching
from ext.tape import RecordType, TapeReader, TapeWriter, verify

TMPFS = Path("/dev/shm")
RECORD_HEAD = 32
SEGMENT_SIZE = 8 << 20
ROOM_NEEDED = 64 << 20
BATCH_BYTES = 64 << 10  # a quarter of what `prepare` keeps ready ahead
# What the budgets are for: payload bytes and ns by name. 32 bytes of payload make a record of 64.
SIZES = {"64B": (32, 20.0), "1600B": (1600, 150.0)}
ROTATE_EVERY = 500  # single records to a segment: the p99.9 is in the two of a thousand that change it
SINGLES_BATCH = 100
RATE = 200_000  # records a second for the reader
AHEAD = 1 << 20  # as a node has it
LATE_MS = 200.0  # a reader that is later than this at the end did not keep up
NOW_NS = 1_723_161_256_000_000_000


def run(batches: int = 400, rounds: int = 3, seconds: float = 1.0, progress: Progress = silent) -> dict:
    """ns per record by size: p50, p99 and mean over the batches; of single records p50, p99, p99.9 and max,
    rotation included. `rounds` with and without a reader, each `seconds` long."""
    rows = {}
    with tape_room() as folder, watching() as watch:
        for name, (payload_size, budget_ns) in SIZES.items():
            progress(f"{name} records")
            rows[name] = one_size(folder / name, payload_size, budget_ns, batches, watch)
            progress(f"{name} records, one by one")
            rows[name] |= singles(folder / name, payload_size, batches * SINGLES_BATCH, watch)
        progress(f"a reader at {RATE} records a second")
        reader = with_reader(folder, rounds, seconds, progress)
    return {
        "records": rows,
        "reader": reader,
        "within_budget": all(row["within_budget"] for row in rows.values()) and reader["keeps_up"],
        "directory": f"{folder.parent} ({file_system(folder.parent)})",
        "segment_bytes": SEGMENT_SIZE,
        **watch.report(),
    }


@contextmanager
def tape_room() -> Iterator[Path]:
    """A directory of our own, gone afterwards: on tmpfs where that is writable and has room."""
    parent = Path(tempfile.gettempdir())
    with suppress(OSError):
        if shutil.disk_usage(TMPFS).free >= 2 * ROOM_NEEDED:
            tempfile.TemporaryDirectory(dir=TMPFS).cleanup()
            parent = TMPFS
    if shutil.disk_usage(parent).free < ROOM_NEEDED:
        raise BenchError(f"tape: {parent} has less than {ROOM_NEEDED >> 20} MiB free")
    with tempfile.TemporaryDirectory(prefix="tickgate-tape-", dir=parent) as folder:
        yield Path(folder)


def file_system(folder: Path) -> str:
    """Type of the file system that holds `folder`: the mount with the longest matching path."""
    best, found = "", "type not known"
    with suppress(OSError):
        for line in Path("/proc/mounts").read_text().splitlines():
            _, mount, kind, *_ = line.split()
            if folder.resolve().is_relative_to(mount) and len(mount) >= len(best):
                best, found = mount, kind
    return found


def payload_of(size: int) -> bytes:
    return (bytes(range(256)) * (size // 256 + 1))[:size]


# ---- batches ----


def one_size(folder: Path, payload_size: int, budget_ns: float, batches: int, watch: Watch) -> dict:
    """Writes `batches` batches of records with `payload_size` bytes each, then reads them all back."""
    payload = payload_of(payload_size)
    count = max(1, BATCH_BYTES // (RECORD_HEAD + payload_size))
    writer = TapeWriter(folder, now_ns=NOW_NS, segment_size=SEGMENT_SIZE)

    def prepare() -> int:
        began_ns = time.perf_counter_ns()
        writer.prepare()
        return time.perf_counter_ns() - began_ns

    def put() -> int:
        began_ns = time.perf_counter_ns()
        writer.put_many(count, payload, NOW_NS)
        return time.perf_counter_ns() - began_ns

    taken = take_turns({"prepare": prepare, "put": put}, batches, watch, silent)
    stalls = writer.stalls
    writer.close(NOW_NS)
    check(folder, batches * count)
    read_ns = reading(folder, batches * count, watch)
    shutil.rmtree(folder)
    return figures(taken["put"], taken["prepare"], count, budget_ns) | {
        "records": batches * count,
        "stalls": stalls,
        **read_ns,
    }


def figures(put_ns: list[int], prepare_ns: list[int], count: int, budget_ns: float) -> dict:
    ordered, prepares = sorted(put_ns), sorted(prepare_ns)
    p50 = round(percentile(ordered, 0.5) / count, 2)
    return {
        "ns_per_record": p50,
        "p99_ns": round(percentile(ordered, 0.99) / count, 2),
        "mean_ns": round(statistics.fmean(ordered) / count, 2),
        "best_ns": round(ordered[0] / count, 2),
        "budget_ns": budget_ns,
        "within_budget": p50 <= budget_ns,
        "prepare_p50_us": round(percentile(prepares, 0.5) / 1000, 2),
        "prepare_p99_us": round(percentile(prepares, 0.99) / 1000, 2),
        "batch": count,
    }


def reading(folder: Path, records: int, watch: Watch) -> dict:
    """ns to read and check a record that nobody asked for, and one that is handed out."""

    def one(types: set[int] | None) -> int:
        began_ns = time.perf_counter_ns()
        seen = sum(1 for _ in TapeReader(folder, types=types))
        taken_ns = time.perf_counter_ns() - began_ns
        if seen != (records if types is None else 0):
            raise BenchError(f"tape: {seen} of {records} records were read")
        return taken_ns

    skipped, handed = watch.measure(lambda: one(set())), watch.measure(lambda: one(None))
    return {"skip_ns": round(skipped / records, 2), "read_ns": round(handed / records, 2)}


def check(folder: Path, records: int) -> None:
    """Every record is there and whole."""
    report = verify(folder)
    if not report.ok or report.records != records:
        what = report.problems[0].what if report.problems else f"{report.records} of {records} records"
        raise BenchError(f"tape: what was written does not verify: {what}")


# ---- single records, rotation included ----


def singles(folder: Path, payload_size: int, count: int, watch: Watch) -> dict:
    """Each record timed by itself, less what timing nothing takes. The next segment is ready in time, as it
    is where a thread or a timer prepares it."""
    payload = payload_of(payload_size)
    room = (RECORD_HEAD + payload_size + 63) // 64 * 64
    segment_size = (ROTATE_EVERY * room + 128 + 4095) // 4096 * 4096
    writer = TapeWriter(folder, now_ns=NOW_NS, segment_size=segment_size, min_free=0)
    empty_ns = percentile(sorted(timed(writer, 0, payload) for _ in range(1000)), 0.5)
    taken: list[int] = []
    rotated: list[int] = []

    def batch() -> int:
        for _ in range(SINGLES_BATCH):
            index = writer.index
            taken_ns = max(0, timed(writer, 1, payload) - empty_ns)
            taken.append(taken_ns)
            if writer.index != index:
                rotated.append(taken_ns)
        return 0

    for _ in range(count // SINGLES_BATCH):
        while not writer.prepare():
            pass
        watch.measure(batch)
    stalls = writer.stalls
    writer.close(NOW_NS)
    check(folder, count)
    shutil.rmtree(folder)
    ordered, rotations = sorted(taken), sorted(rotated)
    return {
        "single_p50_ns": percentile(ordered, 0.5),
        "single_p99_ns": percentile(ordered, 0.99),
        "single_p999_ns": percentile(ordered, 0.999),
        "single_max_ns": ordered[-1],
        "rotations": len(rotations),
        "rotation_p50_ns": percentile(rotations, 0.5) if rotations else None,
        "rotation_max_ns": rotations[-1] if rotations else None,
        "rotation_stalls": stalls,
    }


def timed(writer: TapeWriter, count: int, payload: bytes) -> int:
    began_ns = time.perf_counter_ns()
    writer.put_many(count, payload, NOW_NS)
    return time.perf_counter_ns() - began_ns


# ---- a reader that follows ----


def with_reader(folder: Path, rounds: int, seconds: float, progress: Progress) -> dict:
    """The writer alone and followed, in turn, `seconds` each: p99.9 of its records both ways, and how late
    the reader was."""
    alone: list[int] = []
    followed: list[int] = []
    told: list[dict] = []
    for number in range(rounds):
        progress(f"reader: round {number + 1} of {rounds}")
        alone += at_rate(folder / "alone", seconds)
        shutil.rmtree(folder / "alone")
        told.append(one_followed(folder / "followed", seconds, followed))
    before, after = percentile(sorted(alone), 0.999), percentile(sorted(followed), 0.999)
    wanted = rounds * (int(seconds * RATE) + 1)
    if sum(x["records"] for x in told) != wanted:
        raise BenchError(f"tape: the reader saw {sum(x['records'] for x in told)} of {wanted} records")
    return {
        "rate": RATE,
        "records": wanted,
        "writer_p50_ns": percentile(sorted(alone), 0.5),
        "writer_p50_ns_followed": percentile(sorted(followed), 0.5),
        "writer_p999_ns": before,
        "writer_p999_ns_followed": after,
        "ratio_p999": round(after / max(before, 1), 2),
        "late_p50_ms": statistics.median(x["late_p50_ms"] for x in told),
        "late_p99_ms": statistics.median(x["late_p99_ms"] for x in told),
        "late_at_end_ms": statistics.median(x["end_ms"] for x in told),
        "late_budget_ms": LATE_MS,
        "reader_cpu_share": round(sum(x["cpu_s"] for x in told) / (rounds * seconds), 2),
        "keeps_up": statistics.median(x["end_ms"] for x in told) <= LATE_MS,
    }


def one_followed(folder: Path, seconds: float, taken: list[int]) -> dict:
    folder.mkdir()
    command = [sys.executable, "-m", "bench.following", str(folder)]
    with everywhere():
        reader = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    try:
        reader.stdout.readline()
        taken += at_rate(folder, seconds)
        ended_ns = time.monotonic_ns()
        line = reader.stdout.readline()
        late_ms = (time.monotonic_ns() - ended_ns) / 1e6
    finally:
        reader.kill()
        reader.wait()
        reader.stdout.close()
        shutil.rmtree(folder)
    if not line:
        raise BenchError("tape: the reader died")
    return json.loads(line) | {"end_ms": round(late_ms, 2)}


def at_rate(folder: Path, seconds: float) -> list[int]:
    """Records of 64 bytes, one every 5 us, for so long; ns of each. The last one is a NOTE."""
    writer = TapeWriter(folder, now_ns=NOW_NS, segment_size=SEGMENT_SIZE, ahead=AHEAD, min_free=0)
    with everywhere():
        writer.prepare_by_thread()
    payload, every_ns, count = payload_of(32), 10**9 // RATE, int(seconds * RATE)
    clock, taken = time.monotonic_ns, [0] * count
    due_ns = clock()
    for i in range(count):
        due_ns += every_ns
        now_ns = clock()
        while now_ns < due_ns:
            now_ns = clock()
        writer.put_many(1, payload, now_ns)
        taken[i] = clock() - now_ns
    writer.append(RecordType.NOTE, 0, clock(), b"")
    writer.close(clock())
    return taken


@contextmanager
def everywhere() -> Iterator[None]:
    """On any CPU: a thread that is made here is not bound to the one that is measured."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)

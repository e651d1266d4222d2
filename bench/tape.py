"""The `tape` benchmark: one record on the tape, in steady state, as the hot process writes it.

Batches of equal records, with `prepare` between them as its timer does in production (not in the figure, but
reported); segments change on the way. At the end the whole tape is read back and verified. It is on tmpfs
where there is one, as `docs/TAPE.md` advises, and the result says where it was.
"""

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.conditions import BenchError, Progress, Watch, percentile, silent, take_turns, watching
from ext.tape import TapeWriter, verify

TMPFS = Path("/dev/shm")
RECORD_HEAD = 32
SEGMENT_SIZE = 8 << 20
ROOM_NEEDED = 64 << 20
BATCH_BYTES = 64 << 10  # a quarter of what `prepare` keeps ready ahead
# What the budgets are for: payload bytes and ns by name. 32 bytes of payload make a record of 64.
SIZES = {"64B": (32, 20.0), "1600B": (1600, 150.0)}
NOW_NS = 1_723_161_256_000_000_000


def run(batches: int = 400, progress: Progress = silent) -> dict:
    """ns per record by size: p50, p99 and mean over the batches. The budget is held against the p50."""
    rows = {}
    with tape_room() as folder, watching() as watch:
        for name, (payload_size, budget_ns) in SIZES.items():
            progress(f"{name} records")
            rows[name] = one_size(folder / name, payload_size, budget_ns, batches, watch)
    return {
        "records": rows,
        "within_budget": all(row["within_budget"] for row in rows.values()),
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


def one_size(folder: Path, payload_size: int, budget_ns: float, batches: int, watch: Watch) -> dict:
    """Writes `batches` batches of records with `payload_size` bytes each, then reads them all back."""
    payload = (bytes(range(256)) * (payload_size // 256 + 1))[:payload_size]
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
    shutil.rmtree(folder)
    return figures(taken["put"], taken["prepare"], count, budget_ns) | {
        "records": batches * count,
        "stalls": stalls,
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


def check(folder: Path, records: int) -> None:
    """Every record is there and whole."""
    report = verify(folder)
    if not report.ok or report.records != records:
        what = report.problems[0].what if report.problems else f"{report.records} of {records} records"
        raise BenchError(f"tape: what was written does not verify: {what}")

"""The slow side of the tape benchmark, a process of its own: follows a tape and says how late it was.

`python -m bench.following DIRECTORY`: says "ready", follows until a NOTE, and prints one line of JSON:
how many records, how late they were read (ms, against CLOCK_MONOTONIC in their `now_ns`), CPU seconds
used.
"""

import json
import sys
import time

from bench.conditions import percentile
from ext.tape import RecordType, TapeReader

IDLE_S = 0.001
BATCH = 4096


def follow(directory: str) -> dict:
    """Reads every record, builds each, looks at its type: what any consumer does at least."""
    reader = TapeReader(directory, follow=True)
    late_ns: list[int] = []
    records = 0
    while True:
        batch = reader.poll(BATCH)
        if not batch:
            time.sleep(IDLE_S)
            continue
        late_ns.append(time.monotonic_ns() - batch[0].now_ns)
        records += len(batch)
        if batch[-1].type == RecordType.NOTE:
            return told(records, sorted(late_ns))


def told(records: int, late_ns: list[int]) -> dict:
    return {
        "records": records,
        "late_p50_ms": round(percentile(late_ns, 0.5) / 1e6, 3),
        "late_p99_ms": round(percentile(late_ns, 0.99) / 1e6, 3),
        "late_max_ms": round(late_ns[-1] / 1e6, 3),
        "cpu_s": round(time.process_time(), 3),
    }


if __name__ == "__main__":
    print("ready", flush=True)
    print(json.dumps(follow(sys.argv[1])), flush=True)

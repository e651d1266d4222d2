"""How much of a tape survives a power cut: a page beside it that the archiver writes and the node reads.

64 bytes, native byte order, each field aligned and stored at once, so that none is ever seen half written:

| offset | type | field |
|---|---|---|
| 0 | 8 bytes | `TKGSYNC1` |
| 8 | u64 | sequence: every record up to and including this one is durable; 0 = none is known to be |
| 16 | i64 | lag_ns: how long, at `at_ns`, the oldest record that must be durable had waited; 0 = none |
| 24 | u32 | suspect: 1 = an fsync of this tape failed, or the tape is damaged: nothing new should be risked |
| 28 | u32 | pid of the archiver |
| 32 | i64 | at_ns: CLOCK_MONOTONIC of the last change; stored last. It moves several times in `sync_ms` |
| 40 | i64 | when that process was started (clock ticks since boot: ids are used again) |
| 48 | u64 | archived: every record up to this one is in the archive, read back and compared |
| 56 | u32 | level: 1 = K, the tape is in memory (tmpfs) and no fsync makes it durable; 2 = F |
| 60 | u32 | waiting: closed segments that are not in the archive yet |

An archiver that stands still (its disk does not answer) cannot say so: whoever reads adds the age of `at_ns`
to `lag_ns`. A new archiver replaces the page whole: open it by name, and again when the pid in it is gone.
"""

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from node.beat import read_page, started_of, state_of

NAME = "synced.page"
MAGIC = b"TKGSYNC1"
LAYOUT = struct.Struct("=8sQqIIqqQII")
MEMORY, DISK = 1, 2  # levels
WORDS = {"sequence": 1, "lag_ns": 2, "at_ns": 4, "archived": 6}  # by number of 8 bytes
HALVES = {"suspect": 6, "level": 14, "waiting": 15}  # by number of 4 bytes


@dataclass(frozen=True, slots=True)
class Synced:
    """What the page says."""

    sequence: int
    lag_ns: int
    suspect: bool
    pid: int
    at_ns: int
    started: int
    archived: int
    level: int
    waiting: int

    def age_ns(self, now_ns: int) -> int:
        """How long, at `now_ns` (CLOCK_MONOTONIC), something may have been waiting: with an archiver that is
        gone or stands still, ever longer."""
        return self.lag_ns + max(now_ns - self.at_ns, 0)

    @property
    def is_alive(self) -> bool:
        """The archiver that wrote it still runs."""
        state, started = state_of(self.pid)
        return state not in ("", "Z", "X") and started == self.started


class SyncedPage:
    """The writer: one for each archiver. Raises OSError."""

    def __init__(self, directory: Path, now_ns: int, level: int):
        self.path = directory / NAME
        part = directory / f"{NAME}.part"
        pid = os.getpid()
        part.write_bytes(LAYOUT.pack(MAGIC, 0, 0, 0, pid, now_ns, started_of(pid), 0, level, 0))
        with part.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), LAYOUT.size)
        self._words = memoryview(self._map).cast("Q")
        self._signed = memoryview(self._map).cast("q")
        self._halves = memoryview(self._map).cast("I")
        part.replace(self.path)

    def set(self, now_ns: int, **fields: int) -> None:
        """Store fields by name: sequence, lag_ns, suspect, archived, waiting."""
        for name, value in fields.items():
            if name in HALVES:
                self._halves[HALVES[name]] = value
            elif name == "lag_ns":
                self._signed[WORDS[name]] = value
            else:
                self._words[WORDS[name]] = value
        self._signed[WORDS["at_ns"]] = now_ns

    def close(self) -> None:
        for view in (self._words, self._signed, self._halves):
            view.release()
        self._map.close()


def read_synced(directory: Path) -> Synced | None:
    """The page in `directory`; None where there is none, or one that cannot be read."""
    page = read_page(directory / NAME, LAYOUT, MAGIC)
    if page is None:
        return None
    sequence, lag_ns, suspect, pid, at_ns, started, archived, level, waiting = page
    return Synced(sequence, lag_ns, bool(suspect), pid, at_ns, started, archived, level, waiting)

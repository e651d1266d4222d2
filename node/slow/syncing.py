"""Makes a tape durable from outside the process that writes it: follows it, and has its file flushed soon
after each record that must survive a power cut, all such records of that moment at once (group commit).

An fsync from here flushes the pages that were dirtied through the node's mapping. One that fails is final:
Linux marks the lost pages clean, and the next fsync of the same file would succeed over a hole. So the file
is never flushed again, what it holds counts as durable only once it is in the archive, read back and
compared, and until a person has looked the tape is suspect.
"""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from ext.records import report_row
from ext.tape import Record, RecordType, TapeCorrupt, TapeReader
from node.errors import cause
from node.slow.segments import LIVE, indexed, name_of, newest_in_use, read_header, sync_folder
from node.synced import DISK, MEMORY, SyncedPage

SUSPECT = "suspect.json"
RECORDS = 8192  # of one look
PAGE_NS = 1_000_000_000  # between two looks for the page itself
TERMINAL = {"REPORT_REJECT", "REPORT_CANCELED", "REPORT_FILLED", "REPORT_EXPIRED"}
# What a start or a tax return cannot find out again: who was told to stop, what was traded and what ended.
# Everything else rides along, or is `sync_max_ms` late.
LASTING = (
    RecordType.CONFIG,  # its epoch
    RecordType.FILL,
    RecordType.EVIDENCE,
    RecordType.DOOR,  # latches and halts
    RecordType.STOP,
    RecordType.LIMITS,
    RecordType.NOTE,
)
MEMORY_SYSTEMS = {"tmpfs", "ramfs"}
Tell = Callable[[str, str], None]


def is_lasting(record: Record) -> bool:
    """Must it survive a power cut?"""
    if record.type != RecordType.REPORT:
        return record.type in LASTING
    try:
        return report_row(record.payload)["kind"] in TERMINAL
    except ValueError:  # another layout: better once too often
        return True


class Syncer:
    """`begin(now_ns)`, then `turn(now_ns)` again and again (`now_ns`: CLOCK_MONOTONIC). A flush that fails
    and a damaged tape are told, and the tape is suspect. Raises OSError where a directory cannot be read or a
    file not be opened: nothing is lost by that, and the next turn tries again."""

    def __init__(
        self, directory: Path, sync_max_ns: int, tell: Tell, flush: Callable[[int], None] = os.fdatasync
    ):
        self.directory, self.sync_max_ns, self.tell, self.flush = directory, sync_max_ns, tell, flush
        self.level = MEMORY if is_in_memory(directory) else DISK
        self.failed: set[int] = set()  # segments of which an fsync failed
        self.is_corrupt = self.is_noted = False
        self.sequence = 0  # durable
        self.archived_index = -1
        self._fds: dict[int, int] = {}
        self._since_ns = 0  # when the oldest record that waits may have been written; 0 = none does
        self._is_due = False  # a flush, for what was read since the last
        self._synced_ns = self._looked_ns = self._paged_ns = 0
        self._reader: TapeReader | None = None

    def begin(self, now_ns: int) -> None:
        self.page = SyncedPage(self.directory, now_ns, self.level)
        self.failed = read_suspect(self.directory)
        self.is_noted = bool(self.failed)  # a person takes the file away once it was looked at
        self._looked_ns = self._synced_ns = now_ns
        live = indexed(self.directory, LIVE)
        used = [i for i in live if read_header(live[i]) is not None]
        for index in used:
            self._open(index)
        types = [*LASTING, RecordType.REPORT]
        self._reader = TapeReader(
            str(self.directory), follow=True, types=types, from_index=max(used, default=None)
        )
        with contextlib.suppress(OSError):  # what keeps failing shows at the first flush
            for folder in (self.directory, self.directory.resolve().parent):
                sync_folder(folder)  # the last archiver may have been killed before it did
        self.commit(now_ns)
        self._publish(now_ns)
        if self.level == MEMORY:
            self.tell("tape", f"{self.directory} is in memory (tmpfs): nothing there survives a power cut")

    def turn(self, now_ns: int) -> None:
        """Look at what was written, and flush if something waits that must not, or the last flush is too
        old."""
        self._look()
        self._looked_ns = now_ns
        assert self._reader is not None
        has_more = self.is_corrupt or self._reader.sequence - 1 > self.sequence
        is_old = has_more and now_ns - self._synced_ns >= self.sync_max_ns
        if self._is_due or is_old:
            self._publish(now_ns)  # the flush may take long: who reads must see that something waits
            self.commit(now_ns)
        self._publish(now_ns)

    def finish(self, now_ns: int) -> None:
        """Flush whatever there is, and say so: there will be no next turn."""
        self.turn(now_ns)
        self.commit(now_ns)
        self._publish(now_ns)

    def _look(self) -> None:
        """Read on. A flush is due where there was a record that must be durable."""
        assert self._reader is not None
        try:
            while records := self._reader.poll(RECORDS):
                if any(map(is_lasting, records)):
                    self._is_due = True
                    self._since_ns = self._since_ns or self._looked_ns  # it came behind the last look
        except TapeCorrupt as error:
            if not self.is_corrupt:
                self.is_corrupt = True
                self._alarm(
                    f"the tape is damaged: {error}: nothing new is risked; see `tickgate tape verify`"
                )

    # ---- flushing ----

    def _open(self, index: int) -> None:
        path = self.directory / name_of(index)
        self._fds[index] = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe holds nobody

    def commit(self, now_ns: int) -> None:
        """Flush every segment in use. What was read before is durable then, wherever it lies."""
        assert self._reader is not None
        target = self._reader.sequence - 1
        self._follow()
        newest = max(self._fds, default=-1)
        for index in sorted(self._fds):
            if index not in self.failed:
                self._flush(index)
            if index < newest:  # never written again
                os.close(self._fds.pop(index))
        if not self._has_hole():
            self.sequence = max(self.sequence, target)
            self._since_ns = 0
        self._is_due, self._synced_ns = False, now_ns

    def _has_hole(self) -> bool:
        """Something that was lost may not be in the archive: nothing behind it counts as durable. Where it
        is not known which files it was (-1), that is so until a person has looked."""
        unknown = -1 in self.failed and not self._was_looked_at()
        return unknown or any(x > self.archived_index for x in self.failed - {-1})

    def _follow(self) -> None:
        """Open the segments that were started since. Their names must be on the disk too."""
        live = indexed(self.directory, LIVE)
        newest = newest_in_use(live)
        fresh = [i for i in live if max(self._fds, default=-1) < i <= newest]
        for index in fresh:
            self._open(index)
        if fresh:
            try:
                sync_folder(self.directory)
            except OSError as error:
                self._on_failed(fresh[0], error)

    def _flush(self, index: int) -> None:
        try:
            self.flush(self._fds[index])
        except OSError as error:
            self._on_failed(index, error)

    def _on_failed(self, index: int, error: OSError) -> None:
        """Final for this file."""
        self.failed.add(index)
        self.is_noted = False  # what was looked at was the last one
        self._alarm(
            f"ALARM: {name_of(index)} cannot be made durable: {cause(error)}; the tape is suspect, "
            f"nothing new is "
            f"risked; look at the disk and at `tickgate tape verify`, then remove {self.directory / SUSPECT}"
        )
        with contextlib.suppress(OSError):  # a disk that takes nothing more: the page says it
            write_suspect(self.directory, index, error)
            self.is_noted = True

    def _alarm(self, text: str) -> None:
        self.page.set(self._looked_ns, suspect=1)
        self.tell("tape", text)

    # ---- the page ----

    def _publish(self, now_ns: int) -> None:
        if now_ns - self._paged_ns >= PAGE_NS:
            self._paged_ns = now_ns
            if not self.page.path.exists():  # somebody who was told to look has removed it
                self.page = SyncedPage(self.directory, now_ns, self.level)
        lag_ns = now_ns - self._since_ns if self._since_ns else 0
        self.page.set(now_ns, sequence=self.sequence, lag_ns=lag_ns, suspect=int(self._is_suspect()))

    def _is_suspect(self) -> bool:
        return self.is_corrupt or bool(self.failed and not self._was_looked_at())

    def _was_looked_at(self) -> bool:
        return self.is_noted and not (self.directory / SUSPECT).exists()

    def archived(self, index: int, sequence: int, waiting: int, now_ns: int) -> None:
        """The archive has every segment up to `index`, every record up to `sequence`, on its own disk."""
        self.archived_index = index
        self.page.set(now_ns, archived=sequence, waiting=waiting)

    def close(self) -> None:
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()
        self.page.close()


def is_in_memory(directory: Path) -> bool:
    """Is this a file system that forgets? By the mount with the longest path that `directory` is in."""
    here, best, kind = str(directory.resolve()), "", ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, point, name, *_ = line.split(" ")
            point = point.replace("\\040", " ")
            inside = here == point or here.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best, kind = point, name
    return kind in MEMORY_SYSTEMS


def write_suspect(directory: Path, index: int, error: OSError) -> None:
    """Beside the tape, for the next start too. Raises OSError."""
    told = {
        "files": sorted({*read_suspect(directory), index}),
        "error": error.strerror,
        "at_ns": time.time_ns(),
    }
    part = directory / f"{SUSPECT}.part"
    with part.open("wb") as file:
        file.write(orjson.dumps(told) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(directory / SUSPECT)
    sync_folder(directory)


def read_suspect(directory: Path) -> set[int]:
    """Indexes of the segments of which an fsync failed. A file that cannot be read suspects everything:
    {-1}."""
    try:
        return {int(x) for x in orjson.loads((directory / SUSPECT).read_bytes())["files"]}
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, TypeError, KeyError):
        return {-1}

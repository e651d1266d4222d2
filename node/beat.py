"""The heartbeat of a hot process: a page beside its tape that it writes every turn of its loop.

The tape alone cannot tell a node that stands still from one whose tape is full, and it says nobody's name.
64 bytes, little-endian: magic, process id, when that process was started (clock ticks since boot, as
/proc tells it: ids are used again), the beat (monotonic ns), and 1 where the node ended in good order.
"""

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path

NAME = "beat"
MAGIC = b"TKGBEAT1"
LAYOUT = struct.Struct("<8sqqqq24x")
BEAT_AT, ENDED_AT = 24, 32
NUMBER = struct.Struct("<q")


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the page says: whose it is, its last beat, and whether it ended in good order."""

    pid: int
    started: int
    beat_ns: int
    ended: bool


class Beat:
    """The writer: one for each run of a node. A new page replaces the old one whole, so that a process that
    still holds the old page writes where nobody looks. Raises OSError."""

    def __init__(self, directory: Path, now_ns: int):
        part = directory / f"{NAME}.part"
        started = started_of(os.getpid())
        part.write_bytes(LAYOUT.pack(MAGIC, os.getpid(), started, now_ns, 0))
        with part.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), LAYOUT.size)
        part.replace(directory / NAME)

    def beat(self, now_ns: int) -> None:
        NUMBER.pack_into(self._page, BEAT_AT, now_ns)

    def end(self) -> None:
        """The node ended in good order: nobody needs to look after its orders."""
        NUMBER.pack_into(self._page, ENDED_AT, 1)
        self._page.close()


def read_pulse(directory: Path) -> Pulse | None:
    """The page in `directory`; None where there is none, or one that cannot be read."""
    page = read_page(directory / NAME, LAYOUT, MAGIC)
    if page is None:
        return None
    pid, started, beat_ns, ended = page
    return Pulse(pid, started, beat_ns, bool(ended))


def read_page(path: Path, layout: struct.Struct, magic: bytes) -> tuple[int, ...] | None:
    """The fields behind the magic of a page beside a tape; None where there is none, or another one."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    if len(raw) != layout.size:
        return None
    found, *fields = layout.unpack(raw)
    return tuple(fields) if found == magic else None


def state_of(pid: int) -> tuple[str, int]:
    """(state, start) of a process as /proc tells them; ("", 0) where there is none. The name in the middle
    may hold anything: what counts stands behind its last bracket."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return "", 0
    words = text.rpartition(")")[2].split()
    return (words[0], int(words[19])) if len(words) > 19 else ("", 0)


def started_of(pid: int) -> int:
    return state_of(pid)[1]

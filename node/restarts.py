"""How often a node was started lately without a good end: a crash loop ends in a safe state, not in one
more start.

`starts.json` beside the tape: the times of starts that nobody took back. A clean stop takes back all of
them, a start that a person's own mistake ended takes back itself; a kill takes back nothing. It is durable
before the start goes on. It is no record of money: where it is gone, the count begins anew. Where it cannot
be read, nobody knows how many there were: it counts as BUDGET starts without a good end, and the start is
safe.
"""

import contextlib
import os
from pathlib import Path

import orjson

NAME = "starts.json"
BUDGET = 3  # starts without a good end in WINDOW_NS: the next one is safe
WINDOW_NS = 300 * 10**9


class Restarts:
    """Of the node whose tape is in `directory`."""

    def __init__(self, directory: Path):
        self.path = directory / NAME
        self.own_ns, self.made = 0, False
        self.broken = False  # it could not be read

    def begin(self, now_ns: int) -> int:
        """A start: how many before it, lately, had no good end. A clock that went back makes none of them
        older. Raises OSError where it cannot be written down."""
        self.made = not self.path.parent.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        before = self._read()
        self.broken = before is None
        if before is None:
            before = [now_ns - 1 - n for n in range(BUDGET)]
        bad = [x for x in before if abs(now_ns - x) < WINDOW_NS][-64:]
        self.own_ns = now_ns
        self._write([*bad, now_ns])
        return len(bad)

    def take_back(self) -> None:
        """This start ended by a mistake of a person's, before it could do anything."""
        told = self._read()
        if told is not None:
            self._write([x for x in told if x != self.own_ns])
        if self.made:
            with contextlib.suppress(OSError):  # somebody else has put something there
                self.path.parent.rmdir()

    def clear(self) -> None:
        """A clean stop, or a person's word."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()  # one that comes back with a power cut makes the next start more careful

    def _read(self) -> list[int] | None:
        """None where it cannot be read: written whole or not at all by us."""
        try:
            told = orjson.loads(self.path.read_bytes())
            return [int(x) for x in told["starts"]]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError, KeyError):
            return None

    def _write(self, starts: list[int]) -> None:
        if not starts:
            self.clear()
            return
        part = self.path.with_suffix(".part")
        with part.open("wb") as file:
            file.write(orjson.dumps({"starts": starts}) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)
        self._sync_folder()

    def _sync_folder(self) -> None:
        """The name is on the disk too."""
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def is_looping(bad: int) -> bool:
    """Were so many starts bad that this one must be safe?"""
    return bad >= BUDGET

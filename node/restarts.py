"""How often a node was started lately without a good end: a crash loop ends in a safe state, not in one
more start.

`starts.json` beside the tape: the times of starts that nobody took back. A clean stop takes back all of
them, a start that a person's own mistake ended takes back itself; a kill takes back nothing. It is no
record of money: where it is lost, the count begins anew.
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

    def begin(self, now_ns: int) -> int:
        """A start: how many before it, lately, had no good end. A clock that went back makes none of them
        older. Raises OSError where it cannot be written down."""
        self.made = not self.path.parent.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        bad = [x for x in self._read() if abs(now_ns - x) < WINDOW_NS][-64:]
        self.own_ns = now_ns
        self._write([*bad, now_ns])
        return len(bad)

    def take_back(self) -> None:
        """This start ended by a mistake of a person's, before it could do anything."""
        left = [x for x in self._read() if x != self.own_ns]
        self._write(left)
        if self.made:
            with contextlib.suppress(OSError):  # somebody else has put something there
                self.path.parent.rmdir()

    def clear(self) -> None:
        """A clean stop, or a person's word."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    def _read(self) -> list[int]:
        try:
            told = orjson.loads(self.path.read_bytes())
            return [int(x) for x in told["starts"]]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError, KeyError):
            return []  # written whole or not at all by us: not our file

    def _write(self, starts: list[int]) -> None:
        if not starts:
            self.clear()
            return
        part = self.path.with_suffix(".part")
        part.write_bytes(orjson.dumps({"starts": starts}) + b"\n")
        os.replace(part, self.path)


def is_looping(bad: int) -> bool:
    """Were so many starts bad that this one must be safe?"""
    return bad >= BUDGET

"""The latch that the guard leaves beside a tape: a node that finds it takes no new risk until a person
resumes.

`latch.json`: {"latch": "guard", "flatten": bool, "reason": text, "at_ns": int, "behind": [...]}. It is on the
disk before the guard touches an order, so that a node that goes on, or starts again, cannot be faster. In
`behind`, in the same form: what an operator said before the guard did, or the guard before him.
"""

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

NAME = "latch.json"


@dataclass(frozen=True, slots=True)
class Latched:
    """Who latched, why, when (ns since 1970), and whether positions are being closed; and what another had
    said before."""

    latch: str
    flatten: bool
    reason: str
    at_ns: int
    behind: tuple["Latched", ...] = ()


def write_latch(directory: Path, latched: Latched) -> None:
    """Whole and on the disk, or not at all. Who only wants nothing new does not take back that everything
    was to be closed, and nobody takes back what another said. Raises OSError."""
    before = read_latch(directory)
    known = [] if before is None else [before, *before.behind]
    row = _row(latched) | {"flatten": latched.flatten or any(x.flatten for x in known)}
    if others := [_row(x) for x in known if x.latch != latched.latch]:
        row["behind"] = others
    part = directory / f"{NAME}.part"
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, orjson.dumps(row) + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    part.replace(directory / NAME)
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_latch(directory: Path) -> Latched | None:
    """The latch in `directory`; None where there is none. One that cannot be read holds as well: somebody
    wanted it."""
    try:
        raw = (directory / NAME).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        return Latched("guard", False, f"{NAME} cannot be read: {error.strerror}", 0)
    try:
        row = orjson.loads(raw)
        return replace(_latched(row), behind=tuple(_latched(x) for x in row.get("behind", [])))
    except (ValueError, TypeError, KeyError, AttributeError):
        return Latched("guard", False, f"{NAME} cannot be understood", 0)


def _row(latched: Latched) -> dict[str, Any]:
    return {x: getattr(latched, x) for x in ("latch", "flatten", "reason", "at_ns")}


def _latched(row: dict[str, Any]) -> Latched:
    return Latched(str(row["latch"]), bool(row["flatten"]), str(row["reason"]), int(row["at_ns"]))


def utc_text(at_ns: int) -> str:
    """A time (ns since 1970) as people write it, to the second."""
    return datetime.fromtimestamp(at_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

"""What a reader of the tape had come to at the start of a segment, on the disk: a start reads the rest.

`NNNNNNNN.state` beside the segments: one line of JSON, one line with its crc32c. It is derived and never
needed: one that is missing, cut, of another version or of another tape is passed over and costs time. Written
whole or not at all, by the slow side.
"""

import os
import struct
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import orjson

from ext.crash import at as crash_at
from ext.tape import crc32c
from node.recall import TRADES, Recalled, read_on
from node.tracked import Tracked

VERSION = 3  # of what is kept: a state of another version is passed over
HEADER = struct.Struct("<QIIQqI12s12sI")  # a segment's, docs/TAPE.md
SUFFIX = ".state"


def write_state(directory: Path, index: int, recalled: Recalled) -> Path:
    """Keep what `recalled` has come to: all records before segment `index`, none of it. Raises OSError, and
    ValueError where there is no such segment."""
    tape = identity(directory, index)
    if tape is None:
        raise ValueError(f"{directory}: there is no segment {index:08d}")
    body = orjson.dumps({"version": VERSION, "tape": tape, "state": plain(recalled)})
    path = directory / f"{index:08d}{SUFFIX}"
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(body[: len(body) // 2])
        file.flush()
        crash_at("snapshot_half")
        file.write(body[len(body) // 2 :] + f"\n{crc32c(body):08x}\n".encode())
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return path


def keep(
    directory: Path,
    index: int,
    oldest: int | None = None,
    archived: Callable[[int], Any] | None = None,
) -> Path | None:
    """Go on from the newest good state to the start of segment `index` and keep what is known there: what
    the archiver does behind each segment. Where no state is good: from segment `oldest` on; `archived`
    gives those that are not live any more. None where that is kept already, or the tape is damaged in front
    of it. Raises OSError, and ValueError where there is no such segment."""
    tape = identity(directory, index)
    if tape is None:
        raise ValueError(f"{directory}: there is no segment {index:08d}")
    recalled, begin, _ = newest_state(directory, index)
    if begin == index:
        return None
    read_on(recalled, directory, oldest if begin is None else begin, tape[0], archived)
    return None if recalled.damage else write_state(directory, index, recalled)


def is_good(path: Path) -> bool:
    """A start could begin with this state file."""
    try:
        read_state(path, identity(path.parent, int(path.stem)))
    except (ValueError, KeyError, TypeError, OSError):
        return False
    return True


def newest_state(directory: Path, most: int | None = None) -> tuple[Recalled, int | None, list[str]]:
    """(what the newest good state tells, the first segment that it does not hold, why others were passed
    over). Nothing and None where there is none. `most`: none of a later segment."""
    notes: list[str] = []
    for path in sorted(directory.glob(f"*{SUFFIX}"), reverse=True):
        try:
            index = int(path.stem)
            if most is None or index <= most:
                return read_state(path, identity(directory, index)), index, notes
        except (ValueError, KeyError, TypeError, OSError) as error:
            notes.append(f"{path.name}: passed over: {error}")
    return Recalled(), None, notes


def recall_fast(directory: Path) -> tuple[Recalled, list[str]]:
    """What the tape in `directory` tells, with the help of the newest good state; notes on those that are not
    good."""
    recalled, index, notes = newest_state(directory)
    read_on(recalled, directory, index)
    if index is None and (gone := _gone(directory)):
        recalled.damage = gone
    return recalled, notes


def _gone(directory: Path) -> str:
    """What of the tape only its archive still has, "" = nothing. (Where somebody took segments away without
    an archive, what is left is all there is.)"""
    first = min((int(x.stem) for x in directory.glob(f"{'[0-9]' * 8}.tape")), default=0)
    if not first or not (directory / "archive").exists():
        return ""
    return (
        f"segments before {first:08d} are in the archive only, and no state file tells what they came to: "
        "`tickgate archive CONFIG --once` makes one"
    )


def identity(directory: Path, index: int) -> list[int] | None:
    """What tells a segment from another one with its number: its first sequence, when it was opened, its
    header's crc. None where it is not there, or not in use."""
    try:
        with (directory / f"{index:08d}.tape").open("rb") as file:
            raw = file.read(HEADER.size)
    except FileNotFoundError:
        return None
    if len(raw) < HEADER.size:
        return None
    magic, _, _, first, opened_ns, _, _, _, crc = HEADER.unpack(raw)
    return [first, opened_ns, crc] if magic else None


def read_state(path: Path, tape: list[int] | None) -> Recalled:
    """Raises ValueError (or what reading it raises) where it is not whole, or not of this tape."""
    body, _, rest = path.read_bytes().partition(b"\n")
    if rest != f"{crc32c(body):08x}\n".encode():
        raise ValueError("it is not whole")
    told = orjson.loads(body)
    if told["version"] != VERSION:
        raise ValueError(f"version {told['version']}, this build reads {VERSION}")
    if told["tape"] != tape:
        raise ValueError("it is of another tape")
    return build(Recalled, told["state"])


# ---- plain values ----


def plain(what: Any) -> dict[str, Any]:
    """A dataclass as JSON can hold it: what has keys that are no text is a list of pairs."""
    return {x.name: _plain(getattr(what, x.name)) for x in fields(what)}


def _plain(value: Any) -> Any:
    if isinstance(value, Tracked):
        return plain(value)
    if isinstance(value, dict):
        return [[_plain(k), _plain(v)] for k, v in value.items()]
    if isinstance(value, set):
        return sorted(value)
    if isinstance(value, deque | list | tuple):
        return [_plain(x) for x in value]
    return msgspec.to_builtins(value)


def build(kind: type, told: dict[str, Any]) -> Any:
    """The other way. Raises ValueError, KeyError or TypeError where it does not fit."""
    hints = get_type_hints(kind)
    return kind(**{x.name: _built(hints[x.name], told[x.name]) for x in fields(kind)})


def _built(hint: Any, value: Any) -> Any:
    if hint is Tracked:
        return build(Tracked, value)
    kind = get_origin(hint)
    if kind is not None and isinstance(kind, type) and issubclass(kind, dict):
        keys, values = get_args(hint)
        pairs = ((_built(keys, k), _built(values, v)) for k, v in value)
        return OrderedDict(pairs) if issubclass(kind, OrderedDict) else dict(pairs)
    if kind is deque:
        return deque((msgspec.convert(x, get_args(hint)[0]) for x in value), maxlen=TRADES)
    if _is_maybe_dict(hint):
        return None if value is None else {k: dict(v) for k, v in value}
    return msgspec.convert(value, hint)


def _is_maybe_dict(hint: Any) -> bool:
    """The limits: scopes of limits, or nothing."""
    parts = get_args(hint)
    return type(None) in parts and any(get_origin(x) is dict for x in parts)

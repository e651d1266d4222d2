"""A tape as cold readers want it: every record in order, and what ended them."""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from ext.tape import Record, TapeCorrupt, TapeMissing, TapeReader
from node.errors import UserError
from node.slow.records import read

UNITS_NS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9}
TIME_MOST_NS = 1 << 62


class Records:
    """The records of a tape, archived or live, oldest first, of these `types`. Behind the last one,
    `torn` tells of a tail that was not used, and `damage` where the tape is corrupt: what was handed out
    before is good.

    Raises UserError where there is no tape, or nothing on it.
    """

    def __init__(self, directory: Path, types: Collection[int]):
        self.directory, self.types, self.torn, self.damage = directory, {*types}, "", ""

    def __iter__(self) -> Iterator[Record]:
        empty = True
        try:
            for record in read(self.directory, self.types, at_end=self._end):
                empty = False
                yield record
            if empty and next(read(self.directory), None) is None:
                raise UserError(f"{self.directory}: the tape is empty: no record was ever written")
        except TapeMissing as error:
            raise UserError(f"{self.directory}: {error.strerror}") from None
        except TapeCorrupt as error:
            self.damage = str(error)

    def _end(self, reader: TapeReader) -> None:
        self.torn = reader.torn


def parse_time(text: str, what: str, now_ns: int) -> int:
    """ns since 1970 of `2026-11-20`, `2026-11-20T16:09:36.5` (UTC where no zone is told), or so long before
    `now_ns`: `90s`, `15m`, `36h`, `7d`, `500ms`. Raises UserError."""
    for unit, size in UNITS_NS.items():
        digits = text.removesuffix(unit)
        if digits != text and digits.replace(".", "", 1).isdigit() and digits.isascii():
            return now_ns - int(Decimal(digits) * size)
    try:
        at = datetime.fromisoformat(text)
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        found = int(Decimal(f"{at.timestamp():.6f}") * 10**9)
    except (ValueError, OverflowError, InvalidOperation):
        found = -1
    if not 0 <= found < TIME_MOST_NS:
        raise UserError(
            f"{what} {text}: must be a time (2026-11-20, 2026-11-20T16:09:36, UTC) "
            "or a duration (90s, 15m, 36h, 7d)"
        )
    return found


def utc(ns: int, digits: int = 9) -> str:
    """A time in UTC, cut to `digits` decimals of a second; "" for 0."""
    if not ns:
        return ""
    seconds, rest = divmod(ns, 10**9)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:09d}"[: 20 + digits].rstrip(".") + "Z"

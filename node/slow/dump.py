"""Records as a person reads them: type, line and time by name, rows with their members, frames as text.

Members carry their units in their names (ticks, lots, e8, ns); of an instrument and a line, the CONFIG
record of the run says which they are.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from ext import records as rows
from ext.tape import Record, RecordType

SECOND_NS = 1_000_000_000
DOWN_UP = ("down", "up")
ORDER_ID = 8  # bytes in front of an order's frame
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAMES = {int(x): x.name for x in RecordType}
Row = dict[str, Any]


class Teller:
    """`tell(record)` in order: names are those of the run that a record is of."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.instruments: list[str] = []

    def tell(self, record: Record) -> Row:
        """{"sequence", "at", "now_ns", "type", "line", then what the record says}. A payload of another
        layout is told as hexadecimal digits, with what is wrong."""
        told: Row = {
            "sequence": record.sequence,
            "at": at_text(record.now_ns),
            "now_ns": record.now_ns,
            "type": type_name(record.type),
            "line": record.line,
        }
        if record.type in ON_LINES and record.line < len(self.lines):
            told["line_name"] = self.lines[record.line]
        try:
            told |= READERS.get(record.type, _hex)(record)
        except (ValueError, KeyError, TypeError) as error:
            told |= {"unreadable": str(error)} | _hex(record)
        if record.type == RecordType.CONFIG:
            self._config(told)
        self._name(told)
        return told

    def _config(self, told: Row) -> None:
        config = told.get("config_record")
        if isinstance(config, dict):
            self.lines = [x["name"] for x in config.get("lines", [])]
            self.instruments = [f"{x['market']} {x['symbol']}" for x in config.get("instruments", [])]

    def _name(self, told: Row) -> None:
        inner = told.get("intent") or told.get("report") or told
        number = inner.get("instrument", -1)
        if isinstance(number, int) and 0 <= number < len(self.instruments):
            told["instrument_name"] = self.instruments[number]


def type_name(number: int) -> str:
    """A type by name; one that this build does not know by number."""
    return NAMES.get(number, f"TYPE_{number}")


def type_of(name: str) -> int:
    """The number of a type. Raises ValueError naming those that there are."""
    known = {v: k for k, v in NAMES.items()}
    if name.upper() not in known:
        raise ValueError(f"type {name!r}: must be one of {', '.join(sorted(known))}")
    return known[name.upper()]


def at_text(now_ns: int) -> str:
    """Time since 1970 as UTC text, to the nanosecond."""
    try:
        whole = EPOCH + timedelta(seconds=now_ns // SECOND_NS)
    except OverflowError:
        return str(now_ns)
    return f"{whole:%Y-%m-%d %H:%M:%S}.{now_ns % SECOND_NS:09d}"


def _text(record: Record) -> Row:
    return {"text": record.payload.decode("utf-8", "backslashreplace")}


def _hex(record: Record) -> Row:
    return {"bytes": record.payload.hex()}


def _nothing(record: Record) -> Row:
    return {} if not record.payload else _hex(record)


def _json(name: str) -> Callable[[Record], Row]:
    return lambda record: {name: orjson.loads(record.payload)}


def _plain(read: Callable[[bytes], Row]) -> Callable[[Record], Row]:
    return lambda record: _named(dict(read(record.payload)))


def _named(row: Row) -> Row:
    """Numbers that stand for words as these words. What this build has no word for stays a number."""
    for name, value in row.items():
        if isinstance(value, dict):
            row[name] = _named(value)
        elif name in WORDS and isinstance(value, int) and value in set(WORDS[name]):
            row[name] = WORDS[name](value).name
    return {k: v for k, v in row.items() if k != "pad"}


def _door(record: Record) -> Row:
    """A door with an order has an intent; of any other it would be zeros. What `a` means, where it is a
    word."""
    row = rows.door_row(record.payload)
    if not any(row["intent"].values()):
        row["intent"] = None
    words = {"DOOR_LATCH": rows.Latch, "DOOR_HALT": rows.HaltReason, "DOOR_RESUME": rows.HaltReason}.get(
        row["door"]
    )
    if words is not None and row["a"] in set(words):
        row["why"] = words(row["a"]).name
    return _named(row)


def _hashes(record: Record) -> Row:
    return {k: f"{v:016x}" for k, v in rows.hash_row(record.payload).items()}


def _order_out(record: Record) -> Row:
    order_id = int.from_bytes(record.payload[:ORDER_ID], "little")
    return {"order_id": order_id, "text": record.payload[ORDER_ID:].decode("utf-8", "backslashreplace")}


def _session(record: Record) -> Row:
    return {"session": DOWN_UP[record.payload[0]]} if record.payload in (b"\0", b"\1") else _hex(record)


def _evidence(record: Record) -> Row:
    return {"reports": rows.evidence_rows(record.payload)}


def _dial(record: Record) -> Row:
    if len(record.payload) % 8:
        return _hex(record)
    values = [record.payload[i : i + 8] for i in range(0, len(record.payload), 8)]
    return {"values": [int.from_bytes(x, "little", signed=True) for x in values]}


WORDS: dict[str, Any] = {
    "action": rows.Action,
    "side": rows.Side,
    "type": rows.OrderType,
    "tif": rows.TimeInForce,
    "nature": rows.Nature,
    "group": rows.ErrorGroup,
    "leg": rows.LegKind,
}
ON_LINES = {int(x) for x in (RecordType.FRAME, RecordType.SESSION)}
READERS: dict[int, Callable[[Record], Row]] = {
    RecordType.FRAME: _text,
    RecordType.ANSWER: _text,
    RecordType.TIMER: _nothing,
    RecordType.VERDICT: _plain(rows.verdict_row),
    RecordType.ORDER_OUT: _order_out,
    RecordType.FILL: _plain(rows.fill_row),
    RecordType.MARK: _plain(rows.state_row),
    RecordType.CONFIG: _json("config_record"),
    RecordType.DIAL: _dial,
    RecordType.NOTE: _json("note"),
    RecordType.REPORT: _plain(rows.report_row),
    RecordType.SESSION: _session,
    RecordType.SENT: _plain(rows.sent_row),
    RecordType.EVIDENCE: _evidence,
    RecordType.DOOR: _door,
    RecordType.STOP: _plain(rows.stop_row),
    RecordType.EQUITY: _plain(rows.equity_row),
    RecordType.HASH: _hashes,
    RecordType.DECISION: _plain(rows.decision_row),
    RecordType.SIGNAL: _plain(rows.signal_row),
    RecordType.PARAM: _json("param"),
}

"""Where a replay and its run part, in words: the record, its place, and what each side has there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from ext import records
from ext.tape import Record, RecordType

Made = tuple[int, int, int, bytes]  # type, line, now_ns, payload
SHOWN = 400  # characters of a frame
HIDDEN = {"pad"}


@dataclass(frozen=True, slots=True)
class Difference:
    """`recorded` and `replayed`: only what differs of the two, or the whole of the one that there is."""

    sequence: int
    now_ns: int
    record: str
    place: str
    recorded: str
    replayed: str

    def __str__(self) -> str:
        return (
            f"record {self.sequence} ({self.record}{f', {self.place}' if self.place else ''}): "
            f"recorded {self.recorded}; replayed {self.replayed}"
        )


def contrast(record: Record | None, made: Made | None, sequence: int, names: list[str]) -> Difference:
    """The first thing that is not the same; at least one of the two is there."""
    ours = None if record is None else (record.type, record.line, record.now_ns, record.payload)
    both = [None if x is None else fields_of(x[0], x[3]) for x in (ours, made)]
    there = ours or made
    assert there is not None
    name = RecordType(there[0]).name if ours is None or made is None or ours[0] == made[0] else (
        f"{RecordType(ours[0]).name} against {RecordType(made[0]).name}"
    )  # fmt: skip
    told = next(x for x in both if x is not None)
    return Difference(sequence, there[2], name, _place(told, names), *_texts(ours, made, both))


def _texts(ours: Made | None, made: Made | None, both: list[dict[str, Any] | None]) -> tuple[str, str]:
    if ours is None or made is None or both[0] is None or both[1] is None:
        said = [_text(x) if x is not None else "nothing here" for x in both]
        return said[0], said[1]
    if ours[0] == made[0]:
        keys = [k for k in both[0] if both[0][k] != both[1].get(k)]
        extra: list[dict[str, Any]] = [{}, {}]
        for at, name in ((1, "line"), (2, "now_ns")):
            if ours[at] != made[at]:
                extra = [x | {name: y[at]} for x, y in zip(extra, (ours, made), strict=True)]
        if keys or extra[0]:
            return _text({k: both[0][k] for k in keys} | extra[0]), _text(
                {k: both[1].get(k) for k in keys} | extra[1]
            )
        return _text(both[0]) + ", in other bytes", _text(both[1]) + ", in other bytes"
    return _text(both[0]), _text(both[1])


def _text(told: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v}" for k, v in told.items())


def _place(told: dict[str, Any], names: list[str]) -> str:
    number = told.get("instrument", -1)
    where = names[number] if isinstance(number, int) and 0 <= number < len(names) else ""
    order = told.get("order_id")
    return " ".join(filter(None, (where, f"order {order}" if order else "")))


def fields_of(kind: int, payload: bytes) -> dict[str, Any]:
    """A record's payload as flat names and values, for a person."""
    try:
        return _flat(READERS[kind](payload)) if kind in READERS else {"bytes": payload[:SHOWN].hex()}
    except ValueError as error:
        return {"unreadable": str(error)}


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            out |= _flat(value)
        elif key not in HIDDEN:
            out[key] = value
    return out


def _verdict(payload: bytes) -> dict[str, Any]:
    row = records.verdict_row(payload)
    return row["intent"] | {k: row[k] for k in ("reason", "value", "limit", "order_id")}


def _order(payload: bytes) -> dict[str, Any]:
    return {
        "order_id": int.from_bytes(payload[:8], "little"),
        "frame": payload[8:].decode("utf-8", "replace"),
    }


def _param(payload: bytes) -> dict[str, Any]:
    told = orjson.loads(payload)
    return told if isinstance(told, dict) else {"value": told}


READERS: dict[int, Callable[[bytes], dict[str, Any]]] = {
    RecordType.VERDICT: _verdict,
    RecordType.ORDER_OUT: _order,
    RecordType.FILL: records.fill_row,
    RecordType.REPORT: records.report_row,
    RecordType.STOP: records.stop_row,
    RecordType.MARK: records.state_row,
    RecordType.EQUITY: records.equity_row,
    RecordType.DOOR: records.door_row,
    RecordType.HASH: records.hash_row,
    RecordType.PARAM: _param,
    RecordType.SESSION: lambda payload: {"up": payload != b"\0"},
}

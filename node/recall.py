"""What the tape of earlier runs still tells at start: positions as last counted, and which trades they are
made of."""

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ext.records import fill_row
from ext.tape import RecordType, TapeCorrupt, TapeMissing, TapeReader
from node.config import MARKETS

TRADES = 65_536  # what the order table remembers for certain
Place = tuple[int, str]  # market, symbol


@dataclass(slots=True)
class Recalled:
    """`positions`: (lots, cash in tick * lot) behind the last trade of each place; `trades`: the newest,
    oldest first;
    `last_ns`: of the last trade, 0 where there was none."""

    positions: dict[Place, tuple[int, int]] = field(default_factory=dict)
    # by records.LegKind: (lots, cash, what the open lots cost) of each leg that was ever traded
    legs: dict[Place, dict[int, tuple[int, int, int]]] = field(default_factory=dict)
    grids: dict[Place, tuple[str, str]] = field(default_factory=dict)  # tick and lot that they are counted in
    trades: deque[tuple[Place, int, int, int]] = field(default_factory=lambda: deque(maxlen=TRADES))
    last_ns: int = 0


def recall(directory: Path) -> Recalled:
    """Read the tape in `directory`. Nothing where there is none; of a damaged one, what is whole before the
    damage (whoever
    opens it for writing says what is wrong with it)."""
    out = Recalled()
    names: list[Place] = []
    try:
        for record in TapeReader(str(directory), follow=True):
            if record.type == RecordType.CONFIG:
                names = _names(record.payload, out)
            elif record.type == RecordType.FILL:
                _fill(out, names, record)
    except (TapeCorrupt, TapeMissing, ValueError, KeyError):
        return out
    return out


def _names(payload: bytes, out: Recalled) -> list[Place]:
    """The place of each instrument number of the run that this CONFIG begins."""
    names = []
    for row in orjson.loads(payload)["instruments"]:
        names.append((MARKETS[row["market"]], row["symbol"]))
        out.grids[names[-1]] = (row["tick"], row["lot"])
    return names


def _fill(out: Recalled, names: list[Place], record: Any) -> None:
    row = fill_row(record.payload)
    report = row["report"]
    if report["instrument"] < len(names):
        place = names[report["instrument"]]
        out.positions[place] = (row["position_lots"], row["cash"])
        leg = (row["leg_lots"], row["leg_cash"], row["leg_cost"])
        out.legs.setdefault(place, {})[row["leg"]] = leg
        out.trades.append((place, report["side"], report["trade_hi"], report["trade_lo"]))
        out.last_ns = record.now_ns

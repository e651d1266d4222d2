"""What the tape of earlier runs still tells at start: which trades were counted."""

from dataclasses import dataclass
from pathlib import Path

import orjson

from ext.records import fill_row
from ext.tape import RecordType, TapeCorrupt, TapeMissing, TapeReader
from node.config import MARKETS

TRADES = 65_536  # what the order table remembers for certain


@dataclass(frozen=True, slots=True)
class Counted:
    """One trade, as the venue identifies it."""

    market: int
    symbol: str
    side: int
    trade_hi: int
    trade_lo: int


def counted_trades(directory: Path) -> list[Counted]:
    """The newest trades on a tape, oldest first. [] where there is no tape; a corrupt one tells what is
    whole before the
    damage (whoever opens it for writing says what is wrong with it)."""
    out: list[Counted] = []
    names: list[tuple[int, str]] = []
    try:
        for record in TapeReader(str(directory), follow=True, only=(RecordType.CONFIG, RecordType.FILL)):
            if record.type == RecordType.CONFIG:
                names = _names(record.payload)
                continue
            report = fill_row(record.payload)["report"]
            if report["instrument"] < len(names):
                market, symbol = names[report["instrument"]]
                out.append(Counted(market, symbol, report["side"], report["trade_hi"], report["trade_lo"]))
    except (TapeCorrupt, TapeMissing, ValueError):
        return out[-TRADES:]
    return out[-TRADES:]


def _names(payload: bytes) -> list[tuple[int, str]]:
    """(market, symbol) of each instrument number of the run that this CONFIG begins."""
    return [(MARKETS[x["market"]], x["symbol"]) for x in orjson.loads(payload)["instruments"]]

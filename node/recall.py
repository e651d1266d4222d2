"""What the tape of earlier runs still tells at start: positions as last counted or taken over from the venue,
and which trades they are made of, orders that were not closed, what was latched and not resumed, how high the
equity was, and which limits were in force. A fold: the same records fed to what an earlier reader had kept
come to the same."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ext.records import (
    Action,
    HaltReason,
    Latch,
    LegKind,
    door_row,
    equity_row,
    fill_row,
    report_row,
    stop_row,
    verdict_row,
)
from ext.tape import RecordType, TapeCorrupt, TapeMissing, TapeReader
from node.config import MARKETS
from node.regrid import Counted, Grid, is_same, regrid
from node.tracked import Kept, Place, Tracked

DAY_NS = 86_400 * 10**9
LATE_NS = 30 * DAY_NS  # no notice of a fill comes later
MINUTE_NS = 60 * 10**9
TRADES = 65_536  # what the order table remembers for certain
EPOCHS = 4_096  # runs whose epochs are known one by one
MINUTES = 1_500  # of cancels and fills: more than a day
REASON_AT = slice(72, 76)  # in a VERDICT: 0 = approved; most were not, and nothing follows from those
# What a person or a loss stop held back stays so; what a run found out about itself or its venue is found
# out anew.
LASTING_LATCHES = {
    int(x)
    for x in (
        Latch.LATCH_OPERATOR,
        Latch.LATCH_STOP,
        Latch.LATCH_GUARD,
        Latch.LATCH_TWIN,
        Latch.LATCH_LOOP,
    )
}
LASTING_HALTS = {int(x) for x in (HaltReason.HALT_OPERATOR, HaltReason.HALT_STOP, HaltReason.HALT_MARGIN)}
LOSSES = ("POSITION_LOSS", "DAILY_LOSS", "DRAWDOWN")


@dataclass(slots=True)
class Recalled:
    """`positions`: (lots, cash in tick * lot) behind the last trade or correction of each place, in `grids`;
    `trades`: the newest, oldest first; `floors` (ns of the venue's clock): up to there trades are in the
    position that was taken over from the venue;
    `last_ns`: of the last trade, 0 where there was none. `latches`, `halts` (of a place, for a HaltReason:
    its level),
    `flattening` and `off` (strategies) are what nobody took back; `peak`: (peak e8, equity at the start of
    the day e8, that
    day), None where no equity was known; `limits`: of each scope that any run had, the last ones; None where
    there was no run; `damage`: what of the tape could not be read, "" = nothing."""

    positions: dict[Place, tuple[int, int]] = field(default_factory=dict)
    # by records.LegKind: (lots, cash, what the open lots cost) of each leg that was ever traded
    legs: dict[Place, dict[int, tuple[int, int, int]]] = field(default_factory=dict)
    grids: dict[Place, tuple[str, str]] = field(default_factory=dict)  # tick and lot that they are counted in
    floors: dict[Place, int] = field(default_factory=dict)
    pauses: dict[int, int] = field(default_factory=dict)  # by market: until when (ns) it wanted no request
    offsets: dict[int, int] = field(default_factory=dict)  # by market: its clock minus ours in this run, ns
    trades: deque[tuple[Place, int, int, int]] = field(default_factory=lambda: deque(maxlen=TRADES))
    last_ns: int = 0
    begun_ns: int = 0  # when the first run on this tape began
    latches: set[int] = field(default_factory=set)
    halts: dict[tuple[Place, int], int] = field(default_factory=dict)
    flattening: bool = False
    closing: set[Place] = field(default_factory=set)  # where a loss stop was closing the position
    off: dict[int, int] = field(default_factory=dict)  # strategy -> StrategyOff
    opened: dict[tuple[Place, int], int] = field(default_factory=dict)  # of a leg: the day it last grew
    day_trades: dict[int, int] = field(default_factory=dict)  # by day since 1970
    peak: tuple[int, int, int] | None = None
    peak_ns: int = 0  # when the equity was known last: what was paid in or out since moves the peak
    limits: dict[str, dict[str, Any]] | None = None  # by scope: the last that any run had
    tracked: Tracked = field(default_factory=Tracked)
    epochs: list[int] = field(default_factory=list)  # of the runs on this tape, the newest last
    strategy: str = ""  # that the last run's orders are of
    deployment: str = ""
    venues: dict[str, dict[str, str]] = field(default_factory=dict)  # of the last run: whose account
    counts: tuple[int, int, int] = (0, 0, 0)  # (day, orders and amends, fills of ours) of the last such day
    minutes: dict[int, list[int]] = field(default_factory=dict)  # minute since 1970 -> [cancels, fills]
    damage: str = ""
    next_sequence: int = field(default=0, compare=False)  # of the record that comes next; 0 = not known
    names: list[Place] = field(default_factory=list)  # of the run that is being read
    pending: set[int] = field(default_factory=set)  # orders of it, approved and not written yet

    def feed(self, record: Any) -> None:
        """One record behind those before it. ValueError or KeyError where it cannot be read."""
        if record.type in READERS:
            READERS[record.type](self, self.names, record)

    @property
    def known(self) -> dict[int, int]:
        """Of each run on the tape: the highest sequence that its client ids had."""
        return dict.fromkeys(self.epochs, 0) | self.tracked.newest

    @property
    def last_epoch(self) -> int:
        return max(self.epochs, default=0)


def recall(directory: Path) -> Recalled:
    """Read the tape in `directory`. Nothing where there is none; of a damaged one, what is whole before the
    damage, and `damage` says that there is more: what held a run back may be behind it."""
    return read_on(Recalled(), directory)


def read_on(
    out: Recalled,
    directory: Path,
    from_index: int | None = None,
    until: int | None = None,
    archived: Callable[[int], Any] | None = None,
) -> Recalled:
    """Feed what stands on the tape in `directory` from the start of segment `from_index` on (None: all there
    is), before record `until`. `archived`: as of TapeReader."""
    given = {"from_index": from_index, "archived": archived}
    out.next_sequence = 0
    try:
        reader = TapeReader(str(directory), follow=True, types=READERS, **given)
        for record in reader:
            if until is not None and record.sequence >= until:
                return out
            out.feed(record)
        out.next_sequence = reader.sequence
    except TapeMissing:
        return out
    except IndexError:
        out.damage = "its first records are of a run whose beginning was taken away with earlier segments"
    except (TapeCorrupt, ValueError, KeyError) as error:
        out.damage = str(error) if isinstance(error, TapeCorrupt) else f"a record cannot be read: {error}"
    return out


def _config(out: Recalled, names: list[Place], record: Any) -> None:
    """A run begins: its name for each instrument number, and who it was."""
    told = orjson.loads(record.payload)
    out.begun_ns = out.begun_ns or record.now_ns
    out.names = []
    for row in told["instruments"]:
        out.names.append((MARKETS[row["market"]], row["symbol"]))
        _regrid(out, out.names[-1], (row["tick"], row["lot"]))
    out.epochs = [*out.epochs, told.get("epoch", 0)][-EPOCHS:]
    for epoch in sorted(out.tracked.newest)[:-EPOCHS]:
        del out.tracked.newest[epoch]
    named = told.get("config", {})
    out.strategy, out.deployment = named.get("strategy", ""), named.get("deployment", out.deployment)
    out.venues = told.get("accounts", out.venues)
    out.tracked.begin()
    out.pending.clear()
    out.offsets.clear()
    _limits(out, told.get("limits"))


def _regrid(out: Recalled, place: Place, now: Grid) -> None:
    """The same position in the grid of the run that begins, as that run counts it."""
    before = out.grids.get(place, now)
    out.grids[place] = now
    if place not in out.positions or is_same(before, now):
        return
    legs, (lots, cash) = out.legs.get(place, {}), out.positions[place]
    if _whole(legs) != (lots, cash):  # how it is made up is not known
        legs = {int(LegKind.NET): (lots, cash, -cash if lots else 0)}
    out.legs[place] = {leg: regrid(held, before, now) for leg, held in legs.items()}
    out.positions[place] = _whole(out.legs[place])


def _whole(legs: dict[int, Counted]) -> tuple[int, int]:
    return sum(x[0] for x in legs.values()), sum(x[1] for x in legs.values())


def _limits(out: Recalled, told: dict[str, dict[str, Any]] | None) -> None:
    """A scope that a run leaves out keeps what it had: to come back looser, it must not be enough to go."""
    if told is not None:
        out.limits = (out.limits or {}) | told


def _verdict(out: Recalled, names: list[Place], record: Any) -> None:
    """Risk said yes: from here on there may be an order. Ids of the table are the sequences of the run's
    own ids."""
    if record.payload[REASON_AT] != b"\0\0\0\0":
        return
    row = verdict_row(record.payload)
    intent = row["intent"]
    if intent["action"] == Action.CANCEL:
        return
    key = (out.epochs[-1] if out.epochs else 0, row["order_id"])
    _count(out, record.now_ns, 1, 0)
    out.pending.add(row["order_id"])
    if intent["action"] == Action.AMEND:
        out.tracked.amended(key, intent["price_ticks"], intent["size_lots"], record.now_ns)
        return
    if intent["action"] == Action.REPLACE:
        _minute(out, record.now_ns, 0)
    place = names[intent["instrument"]]
    out.tracked.placed(key, kept(intent, place, out.grids[place], record.now_ns))


def kept(intent: dict[str, Any], place: Place, grid: tuple[str, str], now_ns: int) -> Kept:
    """An order as a record with its intent tells it."""
    return Kept(
        place,
        grid,
        intent["strategy"],
        intent["side"],
        intent["type"],
        intent["tif"],
        bool(intent["reduce_only"]),
        intent["leg"],
        intent["price_ticks"],
        intent["size_lots"],
        intent["trigger_ticks"],
        now_ns,
    )


def _order_out(out: Recalled, names: list[Place], record: Any) -> None:
    """A request's bytes: what was just approved, or a cancel."""
    order_id = int.from_bytes(record.payload[:8], "little")
    if order_id in out.pending:
        out.pending.discard(order_id)
    else:
        _minute(out, record.now_ns, 0)


def _report(out: Recalled, names: list[Place], record: Any) -> None:
    row = report_row(record.payload)
    if 0 <= row["instrument"] < len(names):
        out.tracked.report(names[row["instrument"]], row)
    elif row["order_id"]:
        out.tracked.report((0, ""), row)


def _adopt(out: Recalled, names: list[Place], row: dict[str, Any], now_ns: int) -> None:
    """An order of an earlier run was taken in. One that only a tape told of is of unknown fate still."""
    place = names[row["instrument"]]
    order = kept(row["intent"], place, out.grids[place], row["order_id"] or now_ns)
    order.filled_lots = order.told_lots = row["c"]
    order.is_live, order.venue_id = not row["order_id"], row.get("text", "")
    out.tracked.placed((row["a"], row["b"]), order)


def _absent(out: Recalled, names: list[Place], row: dict[str, Any], now_ns: int) -> None:
    """Tapes from before these doors named the order have its number in the run's own table."""
    key = (row["a"], row["b"]) if row["b"] else (out.epochs[-1] if out.epochs else 0, row["order_id"])
    out.tracked.absent(key)


def _count(out: Recalled, now_ns: int, orders: int, fills: int) -> None:
    day = now_ns // DAY_NS
    before = out.counts if out.counts[0] == day else (day, 0, 0)
    out.counts = (day, before[1] + orders, before[2] + fills)


def _minute(out: Recalled, now_ns: int, what: int) -> None:
    """One more cancel (0) or fill (1) in this minute."""
    minute = now_ns // MINUTE_NS
    out.minutes.setdefault(minute, [0, 0])[what] += 1
    while len(out.minutes) > MINUTES:
        del out.minutes[next(iter(out.minutes))]


def _fill(out: Recalled, names: list[Place], record: Any) -> None:
    row = fill_row(record.payload)
    report = row["report"]
    if report["instrument"] < len(names):
        place = names[report["instrument"]]
        if out.tracked.fill(place, report) is not None or report["order_id"]:
            _count(out, record.now_ns, 0, 1)
            _minute(out, record.now_ns, 1)
        out.positions[place] = (row["position_lots"], row["cash"])
        leg = (row["leg_lots"], row["leg_cash"], row["leg_cost"])
        before = out.legs.setdefault(place, {}).get(row["leg"], (0, 0, 0))[0]
        out.legs[place][row["leg"]] = leg
        made_ns, now_ns = report["event_ns"], record.now_ns
        made_ns = made_ns if 0 < made_ns <= now_ns <= made_ns + LATE_NS else now_ns
        _round_trip(out, (place, row["leg"]), before, leg[0], made_ns // DAY_NS)
        out.trades.append((place, report["side"], report["trade_hi"], report["trade_lo"]))
        out.last_ns = record.now_ns


def _round_trip(out: Recalled, leg: tuple[Place, int], before: int, after: int, day: int) -> None:
    """A day trade is a reduction of what grew on the same UTC day, once until it grows again."""
    grew, turned = before * after >= 0 and abs(after) > abs(before), before * after < 0
    if not grew and out.opened.get(leg) == day:
        out.day_trades[day] = out.day_trades.get(day, 0) + 1
        del out.opened[leg]
    if grew or turned:
        out.opened[leg] = max(day, out.opened.get(leg, day))


def _equity(out: Recalled, names: list[Place], record: Any) -> None:
    row = equity_row(record.payload)
    if row["purse"] == -1 and row["known"]:
        out.peak = (row["peak_e8"], row["day_e8"], row["day"])
        out.peak_ns = record.now_ns


def _note(out: Recalled, names: list[Place], record: Any) -> None:
    """Limits that an operator tightened while the node ran."""
    if b'"limits"' in record.payload:
        try:
            told = orjson.loads(record.payload)
        except ValueError:  # somebody's text
            return
        if isinstance(told, dict) and told.get("event") == "limits":
            _limits(out, told["limits"])


def _door(out: Recalled, names: list[Place], record: Any) -> None:
    row = door_row(record.payload)
    if row["door"] in DOORS:
        DOORS[row["door"]](out, names, row)
    elif row["door"] in TIMED_DOORS:
        TIMED_DOORS[row["door"]](out, names, row, record.now_ns)


def _position(out: Recalled, names: list[Place], row: dict[str, Any], now_ns: int) -> None:
    """A correction. A start puts back what was counted, which is nothing new: what was traded while nobody
    looked comes on top of it. Anything else the venue has told, with all that was traded until then."""
    if not 0 <= row["instrument"] < len(names):
        return
    place, net = names[row["instrument"]], int(LegKind.NET)
    leg, held = row["order_id"], (row["a"], row["b"], row["c"])
    before = out.positions.get(place, (0, 0))[0]
    legs = {} if leg == net else out.legs.get(place, {})
    if leg != net:
        before = legs.get(leg, (0, 0, 0))[0]
    out.legs[place] = {x: y for x, y in legs.items() if x != net} | {leg: held}
    out.positions[place] = _whole(out.legs[place])
    if held[0] != before:
        out.floors[place] = now_ns + out.offsets.get(place[0], 0)


def _pause(out: Recalled, names: list[Place], row: dict[str, Any]) -> None:
    out.pauses[row["instrument"]] = row["a"]


def _clock(out: Recalled, names: list[Place], row: dict[str, Any]) -> None:
    out.offsets[row["instrument"]] = row["a"]


def _latch(out: Recalled, names: list[Place], row: dict[str, Any]) -> None:
    if not row["b"]:
        out.latches = out.latches - {row["a"]} if row["a"] else set()
    elif row["a"] in LASTING_LATCHES:
        out.latches.add(row["a"])


def _halt(out: Recalled, names: list[Place], row: dict[str, Any]) -> None:
    if row["a"] in LASTING_HALTS and 0 <= row["instrument"] < len(names):
        out.halts[names[row["instrument"]], row["a"]] = row["b"]


def _resume(out: Recalled, names: list[Place], row: dict[str, Any]) -> None:
    if 0 <= row["instrument"] < len(names):
        out.halts.pop((names[row["instrument"]], row["a"]), None)
        if row["a"] == HaltReason.HALT_OPERATOR:
            out.flattening = False
        elif row["a"] == HaltReason.HALT_STOP:
            out.closing.discard(names[row["instrument"]])


def _stop(out: Recalled, names: list[Place], record: Any) -> None:
    """A stop that closes goes on closing, also where the price has come back meanwhile."""
    row = stop_row(record.payload)
    if row["policy"] == "STOP_FLATTEN" and row["reason"] in LOSSES:
        out.closing |= set(names if row["instrument"] < 0 else names[row["instrument"] :][:1])


def _flatten(out: Recalled, names: list[Place], row: dict[str, Any]) -> None:
    out.flattening |= row["instrument"] == -1 and row["a"] == HaltReason.HALT_OPERATOR


def _strategy(out: Recalled, names: list[Place], row: dict[str, Any]) -> None:
    """a = 0: off, for the reason b; 1: on again."""
    if row["a"] == 0:
        out.off[row["instrument"]] = row["b"]
    elif row["a"] == 1:
        out.off.pop(row["instrument"], None)


def _peak(out: Recalled, names: list[Place], row: dict[str, Any]) -> None:
    out.peak = (row["a"], row["b"], row["c"])


READERS: dict[int, Callable[[Recalled, list[Place], Any], None]] = {
    RecordType.CONFIG: _config,
    RecordType.VERDICT: _verdict,
    RecordType.ORDER_OUT: _order_out,
    RecordType.REPORT: _report,
    RecordType.FILL: _fill,
    RecordType.EQUITY: _equity,
    RecordType.NOTE: _note,
    RecordType.STOP: _stop,
    RecordType.DOOR: _door,
}
DOORS: dict[str, Callable[[Recalled, list[Place], dict[str, Any]], None]] = {
    "DOOR_LATCH": _latch,
    "DOOR_HALT": _halt,
    "DOOR_RESUME": _resume,
    "DOOR_FLATTEN": _flatten,
    "DOOR_STRATEGY": _strategy,
    "DOOR_PEAK": _peak,
    "DOOR_CLOCK": _clock,
    "DOOR_PAUSE": _pause,
}
TIMED_DOORS: dict[str, Callable[[Recalled, list[Place], dict[str, Any], int], None]] = {
    "DOOR_ADOPT": _adopt,
    "DOOR_ABSENT": _absent,
    "DOOR_POSITION": _position,
}

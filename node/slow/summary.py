"""What a tape tells, added up: books, orders, fills, refusals, latencies. Feeds live tables and reports.

Reads the tape only: whoever wants to know what a running node does looks at what it records.
"""

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

import orjson

from ext.records import (
    Action,
    HaltReason,
    Latch,
    Market,
    OrderType,
    Reason,
    Side,
    TimeInForce,
    equity_row,
    fill_row,
    report_row,
    sent_row,
    state_row,
    verdict_row,
)
from ext.tape import Record, RecordType
from ext.text import Grid

HOLDS = {Reason.LATCHED.name: Latch, Reason.HALTED.name: HaltReason, Reason.REDUCE_ONLY.name: HaltReason}
BOOK_STATES = ("empty", "buffering", "synced", "gap")
E8 = 100_000_000


@dataclass
class InstrumentTally:
    """One instrument as the tape tells it; prices in ticks, sizes in lots."""

    market: str
    symbol: str
    tick: Grid
    lot: Grid
    money_mul: int
    money_div: int
    state: dict = field(default_factory=dict)  # the last MARK
    orders: int = 0
    cancels: int = 0
    refused: int = 0
    acked: int = 0
    done: int = 0
    rejected: int = 0
    fills: int = 0

    @property
    def name(self) -> str:
        return f"{self.market}:{self.symbol}"

    @property
    def market_number(self) -> int:
        return int(Market[self.market.upper().replace("-", "_")])

    def price(self, ticks: int) -> str:
        return self.tick.format(ticks, keep_zeros=True)

    def size(self, lots: int) -> str:
        return ("-" if lots < 0 else "") + self.lot.format(abs(lots))

    def money(self, tick_lots: int) -> Decimal:
        """Quote currency of an amount in tick * lot units, exact."""
        return Decimal(tick_lots * self.money_mul) / self.money_div / E8

    def profit(self) -> Decimal:
        """Profit before fees, the position valued where it could be closed."""
        if not self.state:
            return Decimal(0)
        lots = self.state["position_lots"]
        return self.money(self.state["cash"] + lots * self.state["bid_ticks" if lots > 0 else "ask_ticks"])

    def fees(self) -> Decimal:
        return Decimal(self.state.get("fee_e8", 0)) / E8


@dataclass
class PurseTally:
    """One wallet of a venue, or everything; money in the account's currency, as the last mark told it."""

    name: str
    row: dict

    @property
    def known(self) -> bool:
        return bool(self.row["known"])

    def money(self, field: str) -> Decimal:
        return Decimal(self.row[f"{field}_e8"]) / E8

    def realised(self) -> Decimal:
        """Profit of what is closed, before fees and funding."""
        return self.money("profit") - self.money("open")

    def drawdown(self) -> Decimal | None:
        """Share of the peak that is gone; None where there is no peak (single purses have none)."""
        if not self.known or self.row["peak_e8"] <= 0:
            return None
        return Decimal(self.row["peak_e8"] - self.row["equity_e8"]) / self.row["peak_e8"]


@dataclass
class LineTally:
    name: str
    kind: int
    frames: int = 0
    ups: int = 0
    downs: int = 0
    down_ns: list[tuple[int, int]] = field(default_factory=list)  # (from, to); 0 = still down


class Summary:
    """`feed` it records in order."""

    def __init__(self) -> None:
        self.build = ""
        self.config: dict = {}
        self.instruments: list[InstrumentTally] = []
        self.lines: list[LineTally] = []
        self.refusals: Counter[str] = Counter()
        self.held_by: dict[str, Counter[int]] = {}  # of a reason in HOLDS: by the latch or halt that refused
        self.examples: dict[str, str] = {}  # reason -> the first order that met it, with value and limit
        self.tick_to_order_ns: list[int] = []
        self.records = self.frames = self.sent = 0
        self.first_ns = self.last_ns = 0
        self.notes: list[dict] = []
        self.purse_names: list[str] = []
        self.equity: dict[int, dict] = {}  # by purse, -1 = everything: the last EQUITY record of each
        self._new: dict[int, int] = {}  # order id -> instrument
        self._acked: set[int] = set()
        self._sent_once: set[int] = set()  # orders whose NEW has left; what follows for them is a cancel

    def feed(self, record: Record) -> None:
        """One record. Unknown types are counted and left alone: a newer node may write them."""
        self.records += 1
        self.first_ns = self.first_ns or record.now_ns
        self.last_ns = record.now_ns
        method = _METHODS.get(record.type)
        if method is not None:
            method(self, record)

    def _config(self, record: Record) -> None:
        told = orjson.loads(record.payload)
        self.build, self.config = told["build"], told["config"]
        self.instruments = [
            InstrumentTally(
                x["market"], x["symbol"], Grid(x["tick"]), Grid(x["lot"]), x["money_mul"], x["money_div"]
            )
            for x in told["instruments"]
        ]
        self.lines = [LineTally(x["name"], x["kind"]) for x in told["lines"]]
        self.purse_names, self.equity = told.get("purses", []), {}
        for known in (self._new, self._acked, self._sent_once):
            known.clear()  # order ids begin anew with each start of the node

    def _tally(self, instrument: int | None) -> InstrumentTally | None:
        """None where the tape did not tell of this instrument."""
        if instrument is None or not 0 <= instrument < len(self.instruments):
            return None
        return self.instruments[instrument]

    def _frame(self, record: Record) -> None:
        self.frames += 1
        if record.line < len(self.lines):
            self.lines[record.line].frames += 1

    def _session(self, record: Record) -> None:
        if record.line >= len(self.lines):
            return
        line = self.lines[record.line]
        if record.payload == b"\x01":
            line.ups += 1
            if line.down_ns and line.down_ns[-1][1] == 0:
                line.down_ns[-1] = (line.down_ns[-1][0], record.now_ns)
        else:
            line.downs += 1
            line.down_ns.append((record.now_ns, 0))

    def _verdict(self, record: Record) -> None:
        row = verdict_row(record.payload)
        intent = row["intent"]
        if row["reason"] == Reason.OK.name:
            if intent["action"] == Action.NEW:
                self._new[row["order_id"]] = intent["instrument"]
            return
        self.refusals[row["reason"]] += 1
        if row["reason"] in HOLDS:
            self.held_by.setdefault(row["reason"], Counter())[row["value"]] += 1
        is_cancel = intent["action"] == Action.CANCEL  # names its order only
        tally = self._tally(self._new.get(row["order_id"]) if is_cancel else intent["instrument"])
        if tally is not None:
            tally.refused += 1
        self.examples.setdefault(row["reason"], self._example(tally, intent, row))

    def _example(self, tally: InstrumentTally | None, intent: dict, row: dict) -> str:
        if intent["action"] == Action.CANCEL:
            return f"{tally.name + ' ' if tally else ''}cancel of order {row['order_id']}"
        if tally is None:
            return f"instrument {intent['instrument']}: value {row['value']}, limit {row['limit']}"
        kind = (
            "market"
            if intent["type"] == OrderType.MARKET
            else TimeInForce(intent["tif"]).name.lower().replace("_", "-")
        )
        value, limit = (_shown(tally, row["reason"], x) for x in (row["value"], row["limit"]))
        return (
            f"{tally.name} {Side(intent['side']).name.lower()} {tally.size(intent['size_lots'])} "
            f"at {tally.price(intent['price_ticks'])} {kind}: value {value}, limit {limit}"
        )

    def _order_out(self, record: Record) -> None:
        order_id = int.from_bytes(record.payload[:8], "little")
        tally = self._tally(self._new.get(order_id))
        if tally is None:
            return
        if order_id in self._sent_once:
            tally.cancels += 1
        else:
            self._sent_once.add(order_id)
            tally.orders += 1

    def _report(self, record: Record) -> None:
        row = report_row(record.payload)
        tally = self._tally(self._new.get(row["order_id"]))
        if tally is None:
            return
        if row["kind"] in ("REPORT_ACK", "REPORT_LIVE"):
            tally.acked += row["order_id"] not in self._acked
            self._acked.add(row["order_id"])
        elif row["kind"] == "REPORT_REJECT":
            tally.rejected += 1
        elif row["kind"] in ("REPORT_CANCELED", "REPORT_FILLED"):
            tally.done += 1

    def _fill(self, record: Record) -> None:
        row = fill_row(record.payload)
        tally = self._tally(row["report"]["instrument"])
        if tally is not None:
            tally.fills += 1

    def _mark(self, record: Record) -> None:
        row = state_row(record.payload)
        tally = self._tally(row["instrument"])
        if tally is not None:
            tally.state = row

    def _on_equity(self, record: Record) -> None:
        row = equity_row(record.payload)
        self.equity[row["purse"]] = row

    def purses(self) -> list[PurseTally]:
        """The wallets in the order of their numbers, and the total behind them."""
        out = []
        for number in sorted(x for x in self.equity if x >= 0):
            name = self.purse_names[number] if number < len(self.purse_names) else f"purse {number}"
            out.append(PurseTally(name, self.equity[number]))
        return out + ([PurseTally("total", self.equity[-1])] if -1 in self.equity else [])

    def _on_sent(self, record: Record) -> None:
        row = sent_row(record.payload)
        self.sent += 1
        if row["frame_ns"]:
            self.tick_to_order_ns.append(row["sent_ns"] - row["frame_ns"])

    def _note(self, record: Record) -> None:
        self.notes.append(orjson.loads(record.payload))


def _shown(tally: InstrumentTally, reason: str, amount: int) -> str:
    """The value or limit of a refusal in the unit of its check."""
    if reason in ("SIZE_MIN", "SIZE_MAX", "SIZE_STEP", "POSITION"):
        return tally.size(amount)
    if reason in ("NOTIONAL_MIN", "NOTIONAL_MAX"):
        return str(Decimal(amount) / E8)
    if reason in ("BOOK_STALE", "DUPLICATE", "ORDER_RATE"):
        return f"{amount / 1e6:.3f} ms"
    return f"{amount} ppm" if reason == "PRICE_COLLAR" else str(amount)


def percentiles_us(values_ns: list[int]) -> dict[str, float]:
    """p50, p99, p99.9 and max in microseconds, with the count; zeros where there is nothing."""
    ordered = sorted(values_ns)
    if not ordered:
        return {"count": 0, "p50_us": 0.0, "p99_us": 0.0, "p999_us": 0.0, "max_us": 0.0}
    last = len(ordered) - 1
    at = {"p50_us": 0.5, "p99_us": 0.99, "p999_us": 0.999, "max_us": 1.0}
    return {"count": len(ordered)} | {k: round(ordered[round(last * q)] / 1000, 2) for k, q in at.items()}


_METHODS = {
    RecordType.CONFIG: Summary._config,
    RecordType.FRAME: Summary._frame,
    RecordType.UNRECORDED: Summary._frame,
    RecordType.SESSION: Summary._session,
    RecordType.VERDICT: Summary._verdict,
    RecordType.ORDER_OUT: Summary._order_out,
    RecordType.REPORT: Summary._report,
    RecordType.FILL: Summary._fill,
    RecordType.MARK: Summary._mark,
    RecordType.SENT: Summary._on_sent,
    RecordType.EQUITY: Summary._on_equity,
    RecordType.NOTE: Summary._note,
}

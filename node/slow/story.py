"""Orders as a tape tells them: what each was decided on, every word that was said of it, and what became
of it.

`feed` takes the records in order. An order is known by the epoch and the sequence in its client id, so
that its story goes on through restarts, whoever adopted it. What the engine does without a record of its
own - it gives up waiting for an answer - is told by what it writes next.
"""

import re
from collections.abc import Callable
from typing import Any

from ext.records import (
    Action,
    Market,
    decision_row,
    door_row,
    fill_row,
    report_row,
    sent_row,
    signal_row,
    stop_row,
    verdict_row,
)
from ext.tape import Record, RecordType
from node.slow.told import CLOSED, DESKS, FOUND, Cause, Doubt, Event, Key, Order, Run, run_of

REQUEST = re.compile(rb'"([ncarNCAR])([0-9A-Za-z]{21})[0-9A-Za-z]{4,20}"')  # capitals: a batch
NAMELESS = (b"?", b"")
ACTIONS = {b"n": Action.NEW, b"c": Action.CANCEL, b"a": Action.AMEND, b"r": Action.REPLACE}
INPUTS = {
    RecordType.FRAME: "frame",
    RecordType.TIMER: "timer",
    RecordType.EVIDENCE: "answer",
    RecordType.SESSION: "line",
}
REOPENED = ("NEVER_EXISTED", "NOT_OPEN")  # evidence to the contrary opens these again
SAYS = {
    "REPORT_ACK": "ACKED",
    "REPORT_LIVE": "LIVE",
    "REPORT_AMENDED": "LIVE",
    "REPORT_REJECT": "REJECTED",
    "REPORT_CANCELED": "CANCELED",
    "REPORT_FILLED": "FILLED",
    "REPORT_EXPIRED": "EXPIRED",
    "REPORT_UNCERTAIN": "UNKNOWN",
}
RANK = {"INTENT": 1, "SENT": 2, "ACKED": 3, "LIVE": 4, "PARTIAL": 5}
ROUND = 16  # timers in which the engine looks at each row of its table once
TERMS = ("side", "type", "tif", "leg", "reduce_only", "price_ticks", "trigger_ticks", "size_lots")


class Stories:
    """All orders of a tape, by key, in the order in which they were first heard of. `keep(order)`: is its
    story told in full, or only what it came to?"""

    def __init__(self, keep: Callable[[Order], bool] = lambda order: True):
        self.keep = keep
        self.orders: dict[Key, Order] = {}
        self.runs: list[Run] = []
        self.dials: list[int] = []
        self.offsets: dict[int, int] = {}
        self.first_ns = self.last_ns = 0
        self.cause = Cause("nothing", 0, 0, 0, 0)
        self._ids: dict[int, Key] = {}  # of the engine's table in this run
        self._venue: dict[tuple[str, str], Key] = {}
        self._signal: dict[int, dict[str, Any]] = {}
        self._verdicts: list[Event] = []
        self._judged: Order | None = None
        self._frame = b""
        self._request: list[tuple[bytes, bytes]] = []
        self._in_batch = 0
        self._earlier: dict[Key, Order] = {}  # open when the last run ended, and not heard of in this one
        self._waiting: dict[Key, int] = {}  # written and not answered: timers since it is too late
        self._stop: dict[str, Any] | None = None

    def feed(self, record: Record) -> None:
        """One record. Unknown types, and records in front of the first CONFIG, are left alone."""
        self.first_ns = self.first_ns or record.now_ns
        self.last_ns = record.now_ns
        kind = INPUTS.get(record.type)
        if kind is not None:
            self.cause = Cause(
                kind, record.line, record.sequence, record.now_ns, len(record.payload), record.payload
            )
            self._signal.clear()
            self._stop = None
        method = METHODS.get(record.type)
        if method is not None and (self.runs or record.type == RecordType.CONFIG):
            method(self, record)

    @property
    def run(self) -> Run:
        return self.runs[-1]

    # ---- runs ----

    def _config(self, record: Record) -> None:
        self.runs.append(run_of(record, len(self.runs) + 1))
        self._ids, self._signal, self.dials, self.offsets, self._waiting = {}, {}, [], {}, {}
        self._earlier = {}
        for order in self.orders.values():
            if not order.is_closed and order.provenance != "foreign":
                self._add(order, record, "restart", {"run": self.run.number, "build": self.run.build})
                self._earlier[order.key] = order

    # ---- whose record is it? ----

    def _new(self, key: Key, provenance: str, record: Record, instrument: int) -> Order:
        order = Order(key, provenance, self.run, self.run.place(instrument), first_ns=record.now_ns,
                      last_ns=record.now_ns, sequence=record.sequence)  # fmt: skip
        if len(key) == 2:
            order.client_id = self.run.client_id(*key)
        self.orders[key] = order
        return order

    def _own(self, order_id: int, record: Record, instrument: int = -1) -> Order:
        """By its number in the engine's table. One that was adopted gets its name where a request tells
        it."""
        key = self._ids.setdefault(order_id, ("table", self.run.number, order_id))
        return self.orders.get(key) or self._new(key, "unknown", record, instrument)

    def _reported(self, row: dict[str, Any], record: Record) -> Order:
        place = self.run.place(row["instrument"])
        venue_id = (place.name if place else "", row["venue_id"])
        if row["order_id"]:
            key: Key = (row["epoch"] or self.run.epoch, row["order_id"])
        elif row["venue_id"] and venue_id in self._venue:
            key = self._venue[venue_id]
        else:
            key = ("venue", *venue_id)
        order = self.orders.get(key)
        if order is None:
            order = self._new(key, "unknown" if row["order_id"] else "foreign", record, row["instrument"])
            order.state, order.side = "LIVE", row["side"]
        if row["venue_id"]:
            order.venue_id = row["venue_id"]
            if order.place is not None:
                self._venue[order.place.name, row["venue_id"]] = key
        order.place = order.place or place
        return order

    def _merge(self, order_id: int, key: Key) -> None:
        """An order of the table turned out to be this one."""
        old = self._ids.get(order_id)
        if old == key:
            return
        self._ids[order_id] = key
        held = self.orders.pop(old, None) if old is not None and old[0] == "table" else None
        if held is None:
            return
        known = self.orders.get(key)
        if known is None:
            held.key, held.client_id = key, self.run.client_id(*key)
            self.orders[key] = held
            return
        known.events = sorted(known.events + held.events, key=lambda x: x.sequence)

    def _add(self, order: Order, record: Record, what: str, told: dict[str, Any]) -> Event:
        self._earlier.pop(order.key, None)
        event = Event(record.now_ns, record.sequence, what, told)
        order.last_ns = record.now_ns
        if self.keep(order):
            order.events.append(event)
        return event

    # ---- decisions ----

    def _verdict(self, record: Record) -> None:
        row = verdict_row(record.payload)
        intent, self._verdicts, self._judged = row["intent"], [], None
        told = {
            "reason": row["reason"],
            "value": row["value"],
            "limit": row["limit"],
            "action": Action(intent["action"]).name,
            "by": self.run.strategy(intent["strategy"]),
            "cause": self._told_cause(),
        }
        if intent["action"] in (Action.AMEND, Action.REPLACE):
            told |= {"price_ticks": intent["price_ticks"], "size_lots": intent["size_lots"]}
        old = None
        if intent["action"] != Action.NEW:
            old = self._own(intent["order_id"], record, intent["instrument"])
            self._verdicts.append(self._add(old, record, "asked", told))
        if intent["action"] in (Action.NEW, Action.REPLACE):
            order = self._decided(row, record)
            self._verdicts.append(self._add(order, record, "decided", told))
            if old is not None:
                old.links.append(("replaced by", order.key))
                order.links.append(("replaces", old.key))

    def _decided(self, row: dict[str, Any], record: Record) -> Order:
        intent, passed = row["intent"], row["reason"] == "OK"
        key: Key = (self.run.epoch, row["order_id"]) if passed else ("refused", record.sequence, 0)
        order = self._new(key, "decided" if passed else "refused", record, intent["instrument"])
        _set_terms(order, intent)
        order.decided_ns, order.strategy = record.now_ns, self.run.strategy(intent["strategy"])
        order.cause, order.signal = self._told_cause(), self._signal.get(intent["strategy"])
        order.dials = list(self.dials)
        order.reason, order.value, order.limit = "" if passed else row["reason"], row["value"], row["limit"]
        order.state = "INTENT" if passed else "REFUSED"
        if passed:
            self._ids[row["order_id"]] = key
        self._judged = order
        return order

    def _told_cause(self) -> dict[str, Any]:
        cause = self.cause
        told = {"what": cause.what, "sequence": cause.sequence, "bytes": cause.size}
        if cause.what in ("frame", "line"):
            told["line"] = self.run.line(cause.line)
        if cause.venue_ns:
            told["venue_ns"] = cause.venue_ns
            told["age_ns"] = cause.now_ns - cause.venue_ns
        if self._stop is not None:
            told["stop"] = self._stop
        return told

    def _decision(self, record: Record) -> None:
        row = decision_row(record.payload)
        for event in self._verdicts:
            event.told["decision"] = row
        if self._judged is not None:
            self._judged.decision = row

    def _on_signal(self, record: Record) -> None:
        row = signal_row(record.payload)
        kinds = (
            self.run.strategies[row["strategy"]]["kinds"]
            if row["strategy"] < len(self.run.strategies)
            else {}
        )
        self._signal[row["strategy"]] = row | {"named": kinds.get(str(row["kind"]))}

    def _dial(self, record: Record) -> None:
        raw = record.payload
        self.dials = [int.from_bytes(raw[i : i + 8], "little", signed=True) for i in range(0, len(raw), 8)]
        self.dials = self.dials[: len(self.run.dials) or None]

    def _on_stop(self, record: Record) -> None:
        self._stop = stop_row(record.payload)

    # ---- what left ----

    def _order_out(self, record: Record) -> None:
        order_id, frame = int.from_bytes(record.payload[:8], "little"), record.payload[8:]
        if frame:
            self._frame, self._request, self._in_batch = frame, REQUEST.findall(frame), 0
        else:
            self._in_batch += 1
        letter, name = self._request[0] if self._request else NAMELESS
        self._name(order_id, name)
        order = self._own(order_id, record)
        action = ACTIONS.get(letter.lower())
        if action in (Action.NEW, Action.REPLACE) and order.state == "INTENT":
            order.state, order.sent_ns, order.line = "SENT", record.now_ns, record.line
            order.offset_ns = self.offsets.get(self._market(order), 0)
            self._waiting[order.key] = 0
        elif action == Action.CANCEL:
            self._waited(order, record)
        told = {
            "action": action.name if action is not None else "?",
            "line": self.run.line(record.line),
            "bytes": self._frame,
            "batch": self._in_batch,
        }
        self._add(order, record, "written", told)

    def _name(self, order_id: int, name: bytes) -> None:
        """The client id in a request for an order that no verdict of this run made: it was adopted."""
        if (order_id in self._ids and self._ids[order_id][0] != "table") or self._in_batch:
            return
        sequence, epoch = self.run.wire().whose(name.decode())
        if sequence:
            self._merge(order_id, (epoch, sequence))

    def _waited(self, order: Order, record: Record) -> None:
        """The engine cancels what nobody answered in time: the first that the tape has of its giving up."""
        if order.state == "SENT" and self.cause.what == "timer" and self._is_late(order, record):
            self._doubt(order, record, f"no answer for {(record.now_ns - order.decided_ns) // 10**6} ms")

    def _is_late(self, order: Order, record: Record) -> bool:
        return record.now_ns - order.decided_ns > order.run.ack_timeout_ns

    def _timer(self, record: Record) -> None:
        """Where it cannot write that cancel, or has just written one, a whole round over its table says
        the same."""
        for key in list(self._waiting):
            order = self.orders.get(key)
            if order is None or order.state != "SENT":
                del self._waiting[key]
            elif self._is_late(order, record):
                self._waiting[key] += 1
                if self._waiting[key] > ROUND:
                    self._doubt(
                        order, record, f"no answer for {(record.now_ns - order.decided_ns) // 10**6} ms"
                    )

    def _doubt(self, order: Order, record: Record, why: str) -> None:
        order.state = "UNKNOWN"
        order.doubts.append(Doubt(record.now_ns, why))

    def _on_sent(self, record: Record) -> None:
        row = sent_row(record.payload)
        order = self._own(row["order_id"], record)
        if not order.frame_ns and order.state == "SENT":
            order.frame_ns, order.sent_ns = row["frame_ns"], row["sent_ns"]
        self._add(order, record, "left", {"frame_ns": row["frame_ns"], "sent_ns": row["sent_ns"]})

    def _session(self, record: Record) -> None:
        if record.payload != b"\0":
            return
        for order in self.orders.values():
            if order.state == "SENT" and order.line == record.line and order.run is self.run:
                self._doubt(order, record, f"{self.run.line(record.line)} went down unanswered")
                self._add(order, record, "line down", {"line": self.run.line(record.line)})

    # ---- what came back ----

    def _way(self) -> str:
        """How a report came."""
        return "asked the venue" if self.cause.what == "answer" else self.run.line(self.cause.line)

    def _report(self, record: Record) -> None:
        row = report_row(record.payload)
        order = self._reported(row, record)
        self._heard(order, row, record)
        self._add(order, record, "said", row | {"way": self._way()})

    def _fill(self, record: Record) -> None:
        row = fill_row(record.payload)
        report = row["report"]
        order = self._reported(report, record)
        order.filled_lots += report["size_lots"]
        order.worth += report["size_lots"] * report["price_ticks"]
        found = self.run.is_older(report["event_ns"])
        order.found_lots += report["size_lots"] if found else 0
        if not order.fill_ns:
            order.fill_ns, order.fill_venue_ns = record.now_ns, report["event_ns"]
        if self.keep(order):
            order.fills.append(report | {"at_ns": record.now_ns, "position_lots": row["position_lots"]})
        self._heard(order, report, record)
        told = {"way": self._way(), "position_lots": row["position_lots"], "note": FOUND if found else ""}
        self._add(order, record, "filled", report | told)

    def _heard(self, order: Order, row: dict[str, Any], record: Record) -> None:
        """What one report makes of an order's state: terminal states stay, and nothing falls back."""
        kind, before = row["kind"], order.state
        if kind == "REPORT_REJECT" and before == "INTENT":  # the engine's own word: its line was down
            order.state, order.reason = "NOT_SENT", "the line was down"
            return
        self._late_fee(order, row)
        if kind == "REPORT_AMENDED" or (row["order_lots"] > 0 and order.size_lots < 0):
            order.size_lots = row["order_lots"] if row["order_lots"] > 0 else order.size_lots
            order.price_ticks = row["order_ticks"] if row["order_ticks"] > 0 else order.price_ticks
            order.amended |= kind == "REPORT_AMENDED"
        if kind != "REPORT_CANCEL_REJECT" and not order.acked_ns and order.sent_ns:
            order.acked_ns, order.ack_venue_ns = record.now_ns, row["event_ns"]
        if kind == "REPORT_REJECT":
            order.reason = f"code {row['code']}"
        state = SAYS.get(kind, "")
        if kind == "REPORT_FILL" or (state in RANK and (order.filled_lots or order.missed_lots)):
            state = "PARTIAL"
        whole = order.filled_lots + order.missed_lots
        if state == "PARTIAL" and 0 < order.size_lots <= whole:
            state = "FILLED"
        if not state or (before in CLOSED and state not in CLOSED and before not in REOPENED):
            return
        if RANK.get(state, 9) >= RANK.get(before, 0) or before in ("UNKNOWN", *REOPENED):
            order.state = state
        self._resolve(
            order, record, f"{kind.removeprefix('REPORT_').lower().replace('_', ' ')} ({self._way()})"
        )
        if state == "UNKNOWN" and before != "UNKNOWN":
            order.doubts.append(Doubt(record.now_ns, "the venue does not know itself"))

    def _resolve(self, order: Order, record: Record, how: str) -> None:
        if order.state != "UNKNOWN" and order.doubts and not order.doubts[-1].until_ns:
            order.doubts[-1].until_ns, order.doubts[-1].how = record.now_ns, how

    def _late_fee(self, order: Order, row: dict[str, Any]) -> None:
        """A fee that came behind its fill, by trade id."""
        if row["kind"] != "REPORT_FILL" or row["fee_is_quote"] < 0:
            return
        for fill in order.fills:
            if fill["fee_is_quote"] < 0 and (fill["trade_hi"], fill["trade_lo"]) == (
                row["trade_hi"],
                row["trade_lo"],
            ):
                for name in ("fee_e8", "fee_is_quote", "fee_coin"):
                    fill[name] = row[name]

    # ---- what the cold side did ----

    def _door(self, record: Record) -> None:
        row = door_row(record.payload)
        name = row["door"].removeprefix("DOOR_").lower()
        if name == "clock":
            self.offsets[row["instrument"]] = row["a"]
        elif name == "adopt":
            self._adopt(row, record)
        elif name == "reconciled" and self._earlier:
            self._compared(row["instrument"], record)
        elif name in ("want_cancel", "absent", "withdraw", "settle", "unsent"):
            if name == "absent" and row["b"]:
                self._merge(row["order_id"], (row["a"], row["b"]))
            order = self._own(row["order_id"], record, row["instrument"])
            if name == "unsent" and order.state == "SENT" and not order.acked_ns:
                order.state, order.sent_ns = "INTENT", 0  # on the tape, and not taken by its socket
            elif name == "absent":
                order.state = "NEVER_EXISTED"
                self._resolve(order, record, "the proof of absence was complete")
            self._add(order, record, name, {})

    def _compared(self, instrument: int, record: Record) -> None:
        """A pass over this instrument agreed with the venue: what an earlier run left open, and nobody
        took in, is closed."""
        place = self.run.place(instrument)
        for order in list(self._earlier.values()):
            if order.place is None or place is None or order.place.name != place.name:
                continue
            del self._earlier[order.key]
            if not order.is_closed and order.state != "UNKNOWN":
                order.state = "NOT_OPEN"
                self._add(order, record, "compared", {"open at the venue": "no"})

    def _adopt(self, row: dict[str, Any], record: Record) -> None:
        key, intent = (row["a"], row["b"]), row["intent"]
        order = self.orders.get(key)
        if order is None:
            order = self._new(key, "adopted", record, row["instrument"])
            _set_terms(order, intent)
            order.strategy = DESKS[-1]
            order.missed_lots = row["c"]
        told = {"filled_lots": row["c"], "run": self.run.number}
        if row["order_id"]:  # it has no end on the tape of its run
            if order.state != "UNKNOWN":
                self._doubt(order, record, "its run ended, and what became of it was not told")
            self._add(order, record, "adopted", told | {"as": "of unknown fate"})
            return
        if not order.is_closed:
            order.state = "PARTIAL" if row["c"] else "LIVE"
        self._resolve(order, record, "found open at the venue")
        self._add(order, record, "adopted", told | {"as": "open"})

    def _market(self, order: Order) -> int:
        if order.place is None:
            return -1
        return int(Market[order.place.market.upper().replace("-", "_")])

    def finish(self) -> None:
        """The tape is at its end: what was decided and never written was not sent."""
        for order in self.orders.values():
            if order.state == "INTENT" and order.provenance == "decided":
                order.state = "NOT_SENT"


METHODS = {
    RecordType.CONFIG: Stories._config,
    RecordType.VERDICT: Stories._verdict,
    RecordType.DECISION: Stories._decision,
    RecordType.SIGNAL: Stories._on_signal,
    RecordType.TIMER: Stories._timer,
    RecordType.DIAL: Stories._dial,
    RecordType.STOP: Stories._on_stop,
    RecordType.ORDER_OUT: Stories._order_out,
    RecordType.SENT: Stories._on_sent,
    RecordType.SESSION: Stories._session,
    RecordType.REPORT: Stories._report,
    RecordType.FILL: Stories._fill,
    RecordType.DOOR: Stories._door,
}
TYPES = {*METHODS, *INPUTS}  # what a reader has to hand over


def _set_terms(order: Order, intent: dict[str, Any]) -> None:
    """What an order asks for, out of the intent of a record."""
    for name in TERMS:
        setattr(order, name, intent[name])

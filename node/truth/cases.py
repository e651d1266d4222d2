"""All orders of one desk whose fate is being found out: what is asked, what the answers change, who is
told."""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from ext.records import HaltReason, ReportKind
from node.truth.desk import Ask, Purpose, VenueDesk
from node.truth.evidence import OPEN, Owners, Reader
from node.truth.halts import REDUCE_ONLY, Difference, Halts
from node.truth.native import Native
from node.truth.said import said_of
from node.truth.settings import SEC, Settings
from node.truth.table import Key, Table
from node.truth.unknown import Case
from node.venues.values import OrderRow, Reply, Request, RestError, Said


class Cases:
    """`hurry(now_ns)` asks for a pass over open orders and trades; `suspect(now_ns, sent_ns)` says that the
    private stream kept an order back that left at `sent_ns`; `refused(what, said, now_ns)` hears of every
    refusal."""

    def __init__(
        self,
        desk: VenueDesk,
        native: Native,
        table: Table,
        reader: Reader,
        owners: Owners,
        halts: Halts,
        settings: Settings,
        rng: Random,
    ):
        self.desk, self.native, self.table, self.reader, self.owners = desk, native, table, reader, owners
        self.halts, self.settings, self.rng = halts, settings, rng
        self.cases: dict[int, Case] = {}
        self.absent = self.resurrected = 0
        self.is_starting = False  # orders of unknown fate that an earlier run left hold their symbol at once
        self.odd_ns: dict[int, int] = {}  # instrument -> when something was not understood last
        self.hurry: Callable[[int], None] = lambda now_ns: None
        self.suspect: Callable[[int, int], None] = lambda now_ns, sent_ns: None
        self.refused: Callable[[str, Said, int], None] = lambda what, said, now_ns: None

    def open(self, row: dict[str, Any], now_ns: int, *, missing: bool = False) -> Case:
        """Find out about an order, from now on or already."""
        case = self.cases.get(row["id"])
        if case is None:
            symbol = self.desk.symbol(row["instrument"])
            window_ns = int(self.desk.wire.window_ms) * 1_000_000
            client_id = self.table.client_id(self.table.key(row))
            case = Case(row, symbol, client_id, window_ns, self.settings, self.rng, now_ns)
            self.cases[row["id"]] = case
        if missing and row["state"] in ("LIVE", "PARTIAL"):
            case.is_missing = True
        return case

    def tick(self, troubled: list[dict[str, Any]], line_up: bool, error_ns: int, now_ns: int) -> list[Ask]:
        """One turn; `troubled` are this desk's rows of it, `error_ns` bounds our knowledge of the venue's
        clock."""
        for row in troubled:
            if row["id"] not in self.cases:
                self.open(row, now_ns)
        asks: list[Ask] = []
        for case in list(self.cases.values()):
            order = self.native.orders.order(case.id)
            if order is None or order["id"] != case.id or case.is_over(order):
                self._end(case, now_ns)
                continue
            case.heard(order)
            if not self._closed(case, order, error_ns, now_ns):
                asks += self._turn(case, order, line_up, now_ns)
        return asks

    def _turn(self, case: Case, row: dict[str, Any], line_up: bool, now_ns: int) -> list[Ask]:
        asks = []
        if case.wants_neutralising(row, now_ns):
            case.was_neutralised = True
            self.native.want_cancel(case.id, now_ns)
        if case.wants_rest_cancel(row, line_up, now_ns):
            asks.append(self._cancel(case, now_ns))
        if case.wants_query(row, now_ns):
            asks.append(self._query(case, now_ns))
        if case.wants_lists(now_ns) or row["behind_ns"]:
            self.hurry(now_ns)  # what is missing is in the lists
        self._age(case, row, now_ns)
        return asks

    def _age(self, case: Case, row: dict[str, Any], now_ns: int) -> None:
        """Reduce-only after a while, a person after a longer one; neither ends anything."""
        if not case.is_unknown(row):
            self.halts.free(case.instrument, HaltReason.HALT_UNKNOWN, f"order {case.id}", now_ns)
            return
        age_ns = now_ns - case.since_ns
        since = f"for {age_ns // SEC} s" if age_ns >= SEC else "since an earlier run"
        what = f"order {case.client_id} of unknown fate {since}"
        if (self.is_starting or age_ns >= self.settings.reduce_only_ns) and self.halts.hold(
            case.instrument, HaltReason.HALT_UNKNOWN, REDUCE_ONLY, f"order {case.id}", now_ns
        ):
            self.halts.tell(self.desk.place(case.symbol), f"{what}: reduce-only", now_ns)
        if age_ns >= self.settings.page_ns and not case.was_paged:
            case.was_paged = True
            self.halts.tell(
                self.desk.place(case.symbol),
                f"{what}: an operator must look; the symbol stays reduce-only",
                now_ns,
            )
        if case.is_beyond(self.desk.rest.retention_ns(), now_ns) and not case.was_late:
            case.was_late = True
            late = "longer than the venue remembers: its absence cannot be proven now, an operator must look"
            self.halts.tell(
                self.desk.place(case.symbol), f"order {case.client_id} of unknown fate for {late}", now_ns
            )

    # ---- questions ----

    def _cancel(self, case: Case, now_ns: int) -> Ask:
        case.is_canceling = True
        case.cancel.took(now_ns)
        done = partial(setattr, case, "is_canceling", False)
        return self.rest_cancel(case.symbol, case.client_id, done, is_algo=case.is_algo)

    def rest_cancel(
        self, symbol: str, client_id: str, done: Callable[[], None], *, is_algo: bool = False
    ) -> Ask:
        """A cancel by the other path. It can only help; what the answer does not show is asked for."""
        request = self.desk.rest.cancel(symbol, client_id, is_algo=is_algo)

        def then(reply: Reply | None, now_ns: int) -> None:
            done()
            said = said_of(self.desk.rest, request, reply)
            if said is None:
                return
            self.refused("cancel", said, now_ns)
            if said.row is not None:
                self.learn(said.row, ask.left_ns, now_ns)

        ask = Ask(self.desk, request, Purpose.CANCEL, "cancel", then)
        return ask

    def _query(self, case: Case, now_ns: int) -> Ask:
        case.query_left(now_ns)
        request = self._question(case)

        def then(reply: Reply | None, now_ns: int) -> None:
            case.is_asking = False
            if reply is not None:
                self._answer(case, reply, ask.left_ns, now_ns)

        ask = Ask(self.desk, request, Purpose.UNKNOWN, "order", then)
        return ask

    def _question(self, case: Case) -> Request:
        """For a stop, where the venue keeps stops; for one that triggered, the order that it made."""
        if case.made_id:
            return self.desk.rest.order(case.symbol, venue_id=case.made_id)
        return self.desk.rest.order(case.symbol, client_id=case.client_id, is_algo=case.is_algo)

    def _answer(self, case: Case, reply: Reply, left_ns: int, now_ns: int) -> None:
        try:
            row = self.desk.rest.read_order(reply)
        except RestError as error:
            self.refused("order", error.said, now_ns)
            return
        except ValueError as error:
            self.refused("order", Said(outcome=0, text=f"cannot be understood: {error}"), now_ns)
            return
        if row is None:
            self._not_found(case, left_ns, now_ns)
        elif row.state == "triggered":
            case.made_id, case.query.due_ns = row.venue_id, now_ns
        elif row.client_id and row.client_id != case.client_id and row.venue_id != case.made_id:
            self.halts.tell(
                self.desk.place(case.symbol),
                f"asked for {case.client_id}, was told of {row.client_id}",
                now_ns,
            )
        else:
            self._found(case, row, left_ns, now_ns)

    def _not_found(self, case: Case, left_ns: int, now_ns: int) -> None:
        """Not there, says one answer. An order that was live is missing from now on; the proof needs more."""
        case.not_found(left_ns)
        order = self.native.orders.order(case.id)
        if order is not None and order["state"] in ("LIVE", "PARTIAL") and order["heard_ns"] < left_ns:
            case.is_missing = True
            self.native.settle(case.id, now_ns)

    def _found(self, case: Case, row: OrderRow, left_ns: int, now_ns: int) -> None:
        case.found()
        before = self.native.orders.order(case.id)
        silent = before is not None and before["state"] in ("SENT", "ACKED", "UNKNOWN")
        if row.state in OPEN:
            case.is_missing = False
        self.learn(row, left_ns, now_ns, self.table.key(before) if before is not None else None)
        self.native.settle(case.id, now_ns)
        if silent and left_ns - case.asked_from_ns >= self.settings.report_due_ns:
            self.suspect(now_ns, case.asked_from_ns)
        if before is not None and row.state in OPEN and case.amend_is_lost(before, left_ns):
            self._end_amend(before, now_ns)

    def _end_amend(self, order: dict[str, Any], now_ns: int) -> None:
        """The amend came to nothing: long behind its deadline the venue shows the order without it."""
        epoch, sequence = self.table.key(order)
        after = self.native.orders.order(order["id"])
        if after is not None and after["amending"] and after["amend_ns"] == order["amend_ns"]:
            kind = int(ReportKind.REPORT_AMEND_REJECT)
            report = {"kind": kind, "instrument": order["instrument"], "order_id": sequence, "epoch": epoch}
            self.native.on_evidence([report], now_ns)

    # ---- what is learned ----

    def learn(self, row: OrderRow, left_ns: int, now_ns: int, key: Key | None = None) -> None:
        """The venue's word on an own order, in answer to a request that left at `left_ns`. What was heard
        later wins."""
        key = key or self.owners.key(row.client_id)
        order = self.table.find(key) if key[1] else None
        if order is None:
            return
        self.owners.learn(row.symbol, row.venue_id, key)
        if row.state == "triggered":
            self.hurry(now_ns)  # what became of the order that it made is in the lists
            return
        is_closed = order["state"] in ("FILLED", "CANCELED", "REJECTED", "EXPIRED")
        if row.state in OPEN and (is_closed or order["heard_ns"] >= left_ns):
            return  # older than what is known
        terms = order["heard_ns"] < left_ns and order["amend_ns"] < left_ns
        try:
            report = self.reader.order(row, key, terms=terms)
        except ValueError as error:
            self.odd(order["instrument"], f"order {row.client_id}: {error}", now_ns)
            return
        if row.state.startswith("odd:"):
            self.odd(order["instrument"], f"order {row.client_id} is {row.state[4:]!r}", now_ns)
        self.native.on_evidence([report], now_ns)
        if order["state"] == "NEVER_EXISTED":
            self.resurrect(order["id"], row.symbol, key, now_ns)
        if report["filled_lots"] > order["filled_lots"]:
            self.hurry(now_ns)  # the fills themselves are in the trades

    def resurrect(self, id: int, symbol: str, key: Key, now_ns: int) -> None:
        """An order that was proven absent is there after all: the evidence counts again, and it is
        cancelled."""
        self.resurrected += 1
        client_id = self.table.client_id(key)
        self.halts.tell(
            self.desk.place(symbol),
            f"order {client_id} was proven absent and is there: counted again, being cancelled",
            now_ns,
        )
        self.native.want_cancel(id, now_ns)
        row = self.native.orders.order(id)
        if row is not None:
            self.open(row, now_ns)

    def odd(self, instrument: int, why: str, now_ns: int) -> None:
        """The venue said something that nobody here understands: the symbol is held until two passes
        agree."""
        symbol = self.desk.symbol(instrument)
        self.odd_ns[instrument] = now_ns
        self.halts.hold(instrument, HaltReason.HALT_ODD, REDUCE_ONLY, "odd", now_ns)
        self.halts.tell(self.desk.place(symbol), why, now_ns)

    def listed(self, left_ns: int, present: set[Key]) -> None:
        """A complete list of open orders, asked for at `left_ns`."""
        for case, key in self._keys():
            case.listed(left_ns, key in present)

    def traded(self, symbol: str, left_ns: int, from_ns: int, present: set[Key]) -> None:
        """The complete trades of a symbol from `from_ns` (our clock) on."""
        for case, key in self._keys():
            if case.symbol == symbol:
                case.traded(left_ns, from_ns, key in present)

    def _keys(self) -> list[tuple[Case, Key]]:
        rows = ((case, self.native.orders.order(case.id)) for case in self.cases.values())
        return [(case, self.table.key(row)) for case, row in rows if row is not None]

    def trades_from_ns(self, symbol: str, now_ns: int) -> int:
        """From when on the trades of a symbol are wanted for a proof."""
        return min([now_ns, *(x.asked_from_ns for x in self.cases.values() if x.symbol == symbol)])

    # ---- the end of a case ----

    def _closed(self, case: Case, row: dict[str, Any], error_ns: int, now_ns: int) -> bool:
        """Close an order whose absence is proven: the only place where that is done."""
        retention_ns = self.desk.rest.retention_ns()
        proof = case.proof(row, retention_ns, now_ns) if now_ns > case.ripe_ns + error_ns else None
        if proof is None:
            return False
        self.absent += 1
        asked = ", ".join(str((x - case.sent_ns) // SEC) for x in proof.not_found_ns)
        what = f"not found {asked} s after it left, not listed, no trade"
        if not self.native.close_absent(case.id, now_ns):
            self._gone(row, now_ns)  # it was there once: what is left of it is not
        self.halts.tell(self.desk.place(case.symbol), f"order {case.client_id} is not there: {what}", now_ns)
        self._end(case, now_ns)
        return True

    def _gone(self, row: dict[str, Any], now_ns: int) -> None:
        """An order that the venue took and does not know any more, open nowhere and never traded: closed,
        without our hearing."""
        epoch, sequence = self.table.key(row)
        kind = int(ReportKind.REPORT_CANCELED)
        report = {
            "kind": kind,
            "instrument": row["instrument"],
            "order_id": sequence,
            "epoch": epoch,
            "filled_lots": 0,
        }
        self.native.on_evidence([report], now_ns)

    def _end(self, case: Case, now_ns: int) -> None:
        self.cases.pop(case.id, None)
        self.halts.free(case.instrument, HaltReason.HALT_UNKNOWN, f"order {case.id}", now_ns)

    def differences(self) -> list[Difference]:
        return [
            Difference(x.symbol, f"order {x.client_id}: fate not known", x.since_ns)
            for x in self.cases.values()
        ]

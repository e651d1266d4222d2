"""Open orders and trades as the venue lists them, against the engine's table.

Both lists are complete, or there is nothing to compare. What was heard of an order after the request left
is newer than the list. A row is evidence; the absence of one is only a reason to ask.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ext.records import HaltReason, Nature
from node.phrases import resume_command
from node.truth.cases import Cases
from node.truth.desk import Ask, VenueDesk
from node.truth.evidence import OPEN, TERMINAL, Owners, Reader
from node.truth.halts import REDUCE_ONLY, STOP, Difference, Halts
from node.truth.native import Native
from node.truth.settings import Settings
from node.truth.table import Key, Table
from node.venues.values import OrderRow, TradeRow

SEEN = 65_536
NOTHING: Mapping[int, int] = {}
TradeKey = tuple[str, int, int, int]


@dataclass(slots=True)
class Lists:
    """What one pass brought. `left_ns`: when its first request left; `from_ns`: by symbol, where its trades
    begin; `read_ns`: when the last of them were here (0: now)."""

    left_ns: int
    orders: list[OrderRow]
    trades: list[TradeRow]
    from_ns: dict[str, int] = field(default_factory=dict)
    read_ns: int = 0


@dataclass(slots=True)
class Zombie:
    """An order that is closed here and open there."""

    symbol: str
    client_id: str
    first_ns: int
    is_algo: bool = False
    was_told: bool = False


def trade_key(row: TradeRow) -> TradeKey:
    """Two orders of ours that met each other share a trade id."""
    return (f"{row.symbol}/{row.venue_id}/{row.client_id}", row.trade_hi, row.trade_lo, row.side)


class Reconciler:
    """Compares for one desk. `on_trade(row)` hears of each trade once."""

    def __init__(
        self,
        desk: VenueDesk,
        native: Native,
        table: Table,
        reader: Reader,
        owners: Owners,
        cases: Cases,
        halts: Halts,
        settings: Settings,
    ):
        self.desk, self.native, self.table, self.reader = desk, native, table, reader
        self.owners, self.cases, self.halts, self.settings = owners, cases, halts, settings
        self.seen: OrderedDict[TradeKey, None] = OrderedDict()
        self.net_lots = {p.instrument: 0 for p in desk.products.values()}  # of all trades listed so far
        self.floor_ns: dict[
            int, int
        ] = {}  # trades up to here (venue's clock) are inside a position that was set
        self.tape_ns = 0  # those up to here inside what was held before the tape
        self.older_lots: dict[int, int] = {}  # net, of those that were listed
        self.zombies: dict[Key, Zombie] = {}
        self.adopted = self.foreign_orders = 0
        self.too_new = 0  # orders that the last list did not show, and that were heard of too shortly before
        self.foreign_lots: dict[int, tuple[int, int]] = {}
        self.strangers: set[int] = (
            set()
        )  # instruments on which the last list showed an order of somebody else
        self.liquidated_ns = 0  # when the venue was last seen to close positions of ours
        self.named: Callable[[set[Key], int], None] = lambda keys, now_ns: (
            None
        )  # own orders, as lists name them
        self.on_trade: Callable[[TradeRow], None] = lambda row: None

    def unowned(self, trades: list[TradeRow], symbols: set[str]) -> list[tuple[str, str]]:
        """(symbol, venue's order id) of trades of which only the venue can tell whose they are, where
        that matters: on symbols with an order of unknown fate. The engine finds the others by the venue's
        id."""
        rows = (x for x in trades if x.symbol in symbols and self.owners.of_trade(x) is None)
        return sorted({(x.symbol, x.venue_id) for x in rows})

    def learn_owners(self, orders: list[OrderRow], instruments: list[int]) -> None:
        for row in orders:
            self.owners.learn(row.symbol, row.venue_id, self.owners.key(row.client_id))
        for instrument in instruments:
            for key, held in self.table.open(instrument).items():
                self.owners.learn(self.desk.symbol(instrument), held["venue_id"], key)

    def compare(self, lists: Lists, now_ns: int, known: Mapping[int, int] = NOTHING) -> set[int]:
        """Take over what the lists prove; returns the instruments on which nothing is left to explain.
        `known`: of runs whose end of each order is on the tape the last sequence, as long as lists may be
        older than that. Raises ValueError where the lists cannot be those of this desk, and has changed
        nothing then."""
        rows = self._mine(lists.orders)
        for trade in lists.trades:
            self.reader.instrument(trade.market, trade.symbol)
        self.named({*rows, *(self.owners.of_trade(x) or (0, 0) for x in lists.trades)}, now_ns)
        doubtful = self._adopt(rows, lists.trades, known, now_ns)
        self._trades(lists, now_ns)
        self._live(rows, lists.left_ns, now_ns)
        doubtful |= self._missing(rows, lists.left_ns, now_ns)
        doubtful |= self._foreign(lists.orders, lists.left_ns, now_ns)
        doubtful |= self._bury(rows, lists.left_ns, now_ns)
        self.cases.listed(lists.left_ns, set(rows))
        return {p.instrument for p in self.desk.products.values()} - doubtful

    def _mine(self, orders: list[OrderRow]) -> dict[Key, OrderRow]:
        """Own orders of traded symbols, by what their client id spells."""
        out = {}
        for row in orders:
            key = self.owners.key(row.client_id)
            if self.reader.instrument(row.market, row.symbol) is not None and key[1]:
                out[key] = row
        return out

    # ---- trades ----

    def _trades(self, lists: Lists, now_ns: int) -> None:
        """Each trade once; the engine knows by its id whether it has counted it."""
        reports, older, traded = [], [], set()
        for row in sorted(lists.trades, key=lambda x: (x.event_ns, x.trade_hi, x.trade_lo)):
            key = self.owners.of_trade(row) or (0, 0)
            traded.add(key)
            if row.symbol not in self.desk.products or trade_key(row) in self.seen:
                continue
            report = self._trade(row, key, now_ns)
            if report is not None and self._is_older(row):
                number, lots = report["instrument"], report["size_lots"]
                older.append((number, row.side, report["trade_hi"], report["trade_lo"]))
                self.older_lots[number] = self.older_lots.get(number, 0) + (-lots if row.side else lots)
            elif report is not None:
                self.net_lots[report["instrument"]] += report["size_lots"] * (1 if row.side == 0 else -1)
                reports.append(report)
        if older:
            self._leave_out(older, now_ns)
        if reports:
            self.native.on_evidence(reports, now_ns)
        self._revive(traded, now_ns)
        for symbol, from_ns in lists.from_ns.items():
            self.cases.traded(symbol, lists.left_ns, from_ns, traded)

    def _trade(self, row: TradeRow, key: Key, now_ns: int) -> dict[str, Any] | None:
        instrument = self.desk.products[row.symbol].instrument
        try:
            report = self.reader.trade(row, key)
        except ValueError as error:
            self.cases.odd(instrument, f"trade {row.trade_lo}: {error}", now_ns)
            return None
        self.seen[trade_key(row)] = None
        if len(self.seen) > SEEN:
            self.seen.popitem(last=False)
        self.on_trade(row)
        if row.event_ns <= self.floor_ns.get(instrument, 0):
            return None  # the position that was taken from the venue holds it already
        if row.nature in (Nature.LIQUIDATION, Nature.ADL):
            self.liquidated(row.symbol, now_ns)
        return report

    def _is_older(self, row: TradeRow) -> bool:
        """Of before the tape: what it made of a perpetual's position, nobody here can know without what was
        held before it. The venue's list of positions says what there is."""
        return self.desk.products[row.symbol].is_perpetual and row.event_ns <= self.tape_ns

    def _leave_out(self, trades: list[tuple[int, int, int, int]], now_ns: int) -> None:
        """(instrument, side, hi, lo) of trades that are not counted, by whatever way they come again."""
        self.native.remember(trades, now_ns)
        self.halts.tell(
            self.desk.title(),
            "trades from before this tape began are not counted: the venue's list of positions says what "
            "is held; it is asked for twice, and trading may begin some seconds later",
            now_ns,
        )

    def _revive(self, traded: set[Key], now_ns: int) -> None:
        """A trade of an order that was proven absent: the engine has opened it again."""
        for key in sorted(traded - {(0, 0)}):
            row = self.table.find(key)
            if row is not None and row["state"] == "NEVER_EXISTED":
                self.cases.resurrect(row["id"], self.desk.symbol(row["instrument"]), key, now_ns)

    def liquidated(self, symbol: str, now_ns: int) -> None:
        """The venue closes our positions: stop everything on this desk, until an operator says otherwise
        (`release`)."""
        self.liquidated_ns = now_ns
        for product in self.desk.products.values():
            self.halts.hold(product.instrument, HaltReason.HALT_LIQUIDATION, STOP, "liquidation", now_ns)
            for row in self.table.open(product.instrument).values():
                self.native.want_cancel(row["id"], now_ns)
        self.halts.tell(
            self.desk.place(symbol),
            "liquidated or deleveraged by the venue: stopped, everything is being cancelled; look at the "
            f"account, then {resume_command(self.settings.tape)}",
            now_ns,
        )

    # ---- own orders ----

    def _adopt(
        self, rows: dict[Key, OrderRow], trades: list[TradeRow], known: Mapping[int, int], now_ns: int
    ) -> set[int]:
        """Own orders that the table does not hold: counted from now on, and cancelled where the setting
        says so. One that is closed on the tape waits for a list that is newer than that."""
        doubtful = set()
        for key, row in rows.items():
            if row.state not in OPEN or self.table.find(key) is not None:
                continue
            instrument = self.desk.products[row.symbol].instrument
            if key[1] <= known.get(key[0], -1):
                doubtful.add(instrument)
                continue
            try:
                told = [self.reader.lots(instrument, x.size) for x in trades if self._new_trade_of(x, key)]
                filled = max(
                    self.reader.lots(instrument, row.filled) - sum(told), 0
                )  # the rest comes as evidence
                fields = self.reader.adoption(row, key, filled)
            except ValueError as error:
                self.cases.odd(instrument, f"order {row.client_id}: {error}", now_ns)
                doubtful.add(instrument)
                continue
            id = self.native.adopt(**fields, now_ns=now_ns)
            self.adopted += 1
            if not id:
                self.cases.odd(instrument, "the order table is full", now_ns)
                doubtful.add(instrument)
                continue
            self.halts.tell(self.desk.place(row.symbol), f"adopted order {row.client_id}", now_ns)
            protects = self.settings.keep_stops and row.kind == "stop_market" and fields["reduce_only"]
            if not protects and (not self.settings.keep_old or key[0] == self.desk.wire.epoch):
                self.native.want_cancel(id, now_ns)
        return doubtful

    def _new_trade_of(self, row: TradeRow, key: Key) -> bool:
        is_new = trade_key(row) not in self.seen and not self._is_older(row)
        return is_new and self.owners.of_trade(row) == key

    def _live(self, rows: dict[Key, OrderRow], left_ns: int, now_ns: int) -> None:
        for key, row in rows.items():
            order = self.table.find(key)
            if order is None or not self._says_more(order, row):
                continue
            self.cases.learn(row, left_ns, now_ns, key)

    def _says_more(self, order: dict[str, Any], row: OrderRow) -> bool:
        """Whether the list knows something that the table does not: evidence is not repeated every ten
        seconds."""
        if order["state"] not in ("LIVE", "PARTIAL") or row.state not in OPEN:
            return True
        try:
            told = (
                self.reader.lots(order["instrument"], row.filled),
                self.reader.lots(order["instrument"], row.size),
            )
            price = (
                self.reader.ticks(order["instrument"], row.price)
                if row.kind == "limit"
                else order["price_ticks"]
            )
        except ValueError:
            return True
        return told != (order["filled_lots"], order["size_lots"]) or price != order["price_ticks"]

    def _missing(self, rows: dict[Key, OrderRow], left_ns: int, now_ns: int) -> set[int]:
        """Open here, and not on the list: ask for each. News under way at the time does not count."""
        doubtful, self.too_new = set(), 0
        for product in self.desk.products.values():
            for key, order in self.table.open(product.instrument).items():
                newest_ns = max(order["heard_ns"], order["sent_ns"], order["intent_ns"])
                if key in rows or order["state"] == "UNKNOWN":
                    continue
                if newest_ns > left_ns - self.settings.settle_ns:
                    self.too_new += 1
                    continue
                self.cases.open(order, now_ns, missing=True)
                doubtful.add(product.instrument)
        return doubtful

    def _bury(self, rows: dict[Key, OrderRow], left_ns: int, now_ns: int) -> set[int]:
        """Closed here, and open there in two lists: what could still fill counts as foreign exposure, the
        symbol is held."""
        for key in [
            key for key in self.zombies if key not in rows or not self._is_zombie(key, rows[key], left_ns)
        ]:
            zombie = self.zombies.pop(key)
            self.halts.free(
                self.desk.products[zombie.symbol].instrument, HaltReason.HALT_DRIFT, zombie.client_id, now_ns
            )
        for key, row in rows.items():
            if not self._is_zombie(key, row, left_ns):
                continue
            zombie = self.zombies.setdefault(key, Zombie(row.symbol, row.client_id, now_ns, row.is_algo))
            if now_ns - zombie.first_ns >= self.settings.settle_ns and not zombie.was_told:
                zombie.was_told = True
                self.halts.hold(
                    self.desk.products[row.symbol].instrument,
                    HaltReason.HALT_DRIFT,
                    REDUCE_ONLY,
                    row.client_id,
                    now_ns,
                )
                self.halts.tell(
                    self.desk.place(row.symbol),
                    f"order {row.client_id} is closed here and open there",
                    now_ns,
                )
        return {self.desk.products[x.symbol].instrument for x in self.zombies.values()}

    def _is_zombie(self, key: Key, row: OrderRow, left_ns: int) -> bool:
        """An end that was heard of about when the list was asked for is only newer than the list."""
        order = self.table.find(key)
        return row.state in OPEN and order is not None and self._is_closed(order, left_ns)

    def _is_closed(self, order: dict[str, Any], left_ns: int) -> bool:
        return order["state"] in TERMINAL and order["heard_ns"] < left_ns - self.settings.settle_ns

    def zombie_cancels(self) -> list[Ask]:
        """One cancel for each order that is closed here and open there: it is ours."""
        told = [x for x in self.zombies.values() if x.was_told]
        return [self.cases.rest_cancel(x.symbol, x.client_id, lambda: None, is_algo=x.is_algo) for x in told]

    # ---- others ----

    def _foreign(self, orders: list[OrderRow], left_ns: int, now_ns: int) -> set[int]:
        """What orders that the table does not count could still do to the position."""
        lots = {p.instrument: [0, 0] for p in self.desk.products.values()}
        others, doubtful = 0, set()
        self.strangers.clear()
        for row in orders:
            instrument = self.reader.instrument(row.market, row.symbol)
            key = self.owners.key(row.client_id)
            mine = self.table.find(key) if key[1] else None
            if (
                instrument is None
                or (mine is not None and not self._is_closed(mine, left_ns))
                or row.state not in OPEN
            ):
                continue
            try:
                lots[instrument][row.side] += self.reader.lots(instrument, row.size) - self.reader.lots(
                    instrument, row.filled
                )
            except ValueError as error:
                self.cases.odd(instrument, f"order {row.venue_id}: {error}", now_ns)
                doubtful.add(instrument)
            others += not key[1]
            self._stranger(row, instrument, bool(key[1]), now_ns)
        self.foreign_orders = others
        for instrument, (buy, sell) in lots.items():
            if self.foreign_lots.get(instrument, (0, 0)) != (buy, sell):
                self.native.foreign(instrument, buy, sell, now_ns)
            self.foreign_lots[instrument] = (buy, sell)
        return doubtful

    def _stranger(self, row: OrderRow, instrument: int, is_ours: bool, now_ns: int) -> None:
        if is_ours or self.settings.foreign == "ignore":
            return
        self.strangers.add(instrument)
        if self.settings.foreign == "halt":
            self.halts.hold(instrument, HaltReason.HALT_FOREIGN, STOP, "foreign orders", now_ns)
        self.halts.tell(
            self.desk.place(row.symbol), f"an order that is not ours: {row.venue_id}, left alone", now_ns
        )

    def differences(self) -> list[Difference]:
        told = [x for x in self.zombies.values() if x.was_told]
        return [
            Difference(x.symbol, f"order {x.client_id}: closed here, open there", x.first_ns) for x in told
        ]

"""One desk watched: what is asked when, and what becomes of each answer."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any

from ext.records import ErrorGroup, HaltReason
from node.amounts import amount_text, lot
from node.phrases import latch_name, latches_of, resume_command, way_out
from node.truth.budget import Budget
from node.truth.cases import Cases
from node.truth.coins import Purse
from node.truth.desk import Purpose, VenueDesk
from node.truth.endings import Endings
from node.truth.evidence import LEGS, Owners, Reader
from node.truth.halts import REDUCE_ONLY, STOP, Difference, Halts
from node.truth.native import Native
from node.truth.positions import Positions
from node.truth.private import Private
from node.truth.pull import Pull, one_page
from node.truth.pulse import Pulse
from node.truth.reconcile import Lists, Reconciler
from node.truth.settings import MS, SEC, Settings
from node.truth.sweep import Sweep
from node.truth.table import Table
from node.truth.twins import Twins
from node.truth.unknown import Pace
from node.venues.values import CashRow, KeyRow, ModeRow, PositionRow, Said

HURRY_NS = 200 * MS
KEY_WARN_NS = 14 * 86_400 * SEC
VENUE_AGAIN_NS = 60 * SEC
RECYCLE_AGAIN_NS = 300 * SEC
QUIET = ("funding", "fee", "rebate")  # cash that comes by itself, every few hours or with every trade
HELD = {
    HaltReason.HALT_ACCESS: "access: the venue refused an order because of the key",
    HaltReason.HALT_VENUE: "the venue refused an order because of the market's state",
    HaltReason.HALT_PHASE: "the venue refused an order because of the market's phase",
    HaltReason.HALT_FILTER: "the venue's filters refused one order after the other: an operator must look",
}
ASKED = {  # what was asked for, in words
    "orders": "open orders and trades",
    "order": "fate of an order",
    "key": "rights of the key",
}
LEG_OF = {number: name for name, number in LEGS.items()}
ENDS = (HaltReason.HALT_ODD, HaltReason.HALT_ACCESS, HaltReason.HALT_VENUE, HaltReason.HALT_PHASE)


class Watch:
    """All state of one desk. `tick` fills `budget`'s queue; answers come back through the asks."""

    def __init__(
        self,
        desk: VenueDesk,
        native: Native,
        settings: Settings,
        halts: Halts,
        purse: Purse,
        rng: Random,
        twins: Twins,
        *,
        asks_balances: bool,
    ):
        self.desk, self.native, self.settings, self.halts, self.purse = desk, native, settings, halts, purse
        self.rng, self.asks_balances = rng, asks_balances
        self.lists_cash = bool(desk.rest.cash(0))
        self.budget = Budget(settings)
        self.pulse = Pulse(desk, native, self.budget, halts, settings)
        self.clock = self.pulse.clock
        self.private = Private(desk, native, halts, self.all_due)
        self.table, self.reader, self.owners = (
            Table(native, desk.wire),
            Reader(desk, native.instruments),
            Owners(desk.wire),
        )
        parts = (desk, native, self.table, self.reader, self.owners)
        self.cases = Cases(*parts, halts, settings, rng)
        self.cases.hurry, self.cases.suspect, self.cases.refused = (
            self.hurry,
            self.private.suspect,
            self.refused,
        )
        self.reconciler = Reconciler(*parts, self.cases, halts, settings)
        self.reconciler.on_trade = lambda row: purse.on_trade(desk.products[row.symbol], row)
        self.twins = twins
        self.reconciler.named = partial(twins.listed, desk.title())
        self.positions = Positions(desk, native, self.reader, halts, settings)
        self.endings = Endings(desk, native, halts, settings.flat_before_ns)
        self.stated: dict[int, str] = {}  # by instrument: what the venue last said of it
        self.ways: set[int] = set()  # lines that can carry a cancel now
        self.order_up_ns = self.thawed_ns = 0
        self.starting: set[int] = set()
        self.reopening: dict[
            int, int
        ] = {}  # held, and the venue says that it trades: updates of its book by then
        self.was_said: set[int] = set()  # of these the venue had said that they do not trade
        self.swept_ns = self.sweeps = 0
        self.mark_ns: dict[str, int] = {}  # by symbol: trades up to here were listed
        self.absent_ns: dict[
            str, int
        ] = {}  # by symbol: since when lists of positions do not name it, 0 = they do
        self.modes_of: set[str] = set()  # symbols of which it is known how they are set up
        self.cash_from_ns = self.begun_ns = self.started_ns = self.tape_ns = 0
        self.due = {"orders": 0, "positions": 0, "balances": 0, "modes": 0, "key": 0}
        self.retry = Pace(SEC, settings.orders_every_ns, rng, 0)
        self.sweep: Sweep | None = None
        self.pulls: dict[str, Pull] = {}
        self.early: Pull | None = None  # positions that were here before the pass that explains them
        self.odd: dict[int, int] = {}
        self.engine_held: dict[tuple[int, HaltReason], int] = {}
        self.recycle: Callable[[int], None] = lambda market: None
        self.recycled_ns = -RECYCLE_AGAIN_NS
        self._done_ns = 0

    def begin(self, since_ns: int, now_ns: int, tape_ns: int) -> None:
        """Start: nothing is traded before a complete pass agreed. `since_ns`: up to here the journal knew
        everything; `tape_ns`: when it began."""
        level = REDUCE_ONLY if self.settings.keep_old else STOP  # a stop cancels what is open
        for symbol, product in self.desk.products.items():
            self.starting.add(product.instrument)
            self.mark_ns[symbol] = since_ns - self.settings.start_overlap_ns + self.settings.overlap_ns
            self.halts.hold(product.instrument, HaltReason.HALT_START, level, "start", now_ns)
            self.positions.settle_within(product.instrument, self.settings.start_settle_ns)
        self.cases.is_starting = True
        self.cash_from_ns = since_ns - self.settings.start_overlap_ns
        self.begun_ns, self.started_ns, self.tape_ns = since_ns, now_ns, tape_ns
        self.due = dict.fromkeys(self.due, now_ns)

    # ---- a turn ----

    def tick(self, troubled: list[dict[str, Any]], now_ns: int) -> None:
        self.positions.sample(now_ns)
        self.endings.tick(self.clock.offset_ns(now_ns), now_ns)
        self._engine_halts(now_ns)
        for ask in self.cases.tick(troubled, bool(self.ways), self._clock_error_ns(now_ns), now_ns):
            self.budget.put(ask)
        self.pulse.tick(now_ns)
        if self.sweep is not None or self.pulls or now_ns >= min(self.due.values()):
            self._lists(now_ns)

    def _lists(self, now_ns: int) -> None:
        """Something is due, or under way. A position that differs is looked at again together with the trades
        that may explain it."""
        if now_ns >= self.due["positions"] and self._has_open_positions():
            self.due["orders"] = min(self.due["orders"], now_ns)
        self._orders(now_ns)
        self._list("positions", self.desk.rest.positions, self.desk.rest.read_positions, now_ns)
        if self.asks_balances:
            self._balances(now_ns)
        self._list("modes", self._mode_requests, one_page(self.desk.rest.read_modes), now_ns)
        self._list(
            "key", self.desk.rest.key_info, one_page(lambda x: [self.desk.rest.read_key_info(x)]), now_ns
        )

    def _clock_error_ns(self, now_ns: int) -> int:
        return min(self.clock.error_ns(now_ns), self.settings.absence_margin_ns)

    def hurry(self, now_ns: int) -> None:
        """Orders and trades as soon as it makes sense."""
        self.due["orders"] = min(self.due["orders"], max(now_ns, self._done_ns + HURRY_NS))

    def all_due(self, now_ns: int) -> None:
        self.hurry(now_ns)
        self.due |= {"positions": now_ns, "balances": now_ns}

    def thawed(self, now_ns: int) -> None:
        """What left before now proves nothing any more: orders, trades and clock are asked for anew."""
        self.thawed_ns = now_ns
        self.private.on_line(self.private.up, now_ns)
        self.pulse.hurry(now_ns)
        self.all_due(now_ns)

    # ---- orders and trades ----

    def _orders(self, now_ns: int) -> None:
        if self.sweep is None and now_ns >= self.due["orders"] and not self._awaits_lists(now_ns):
            self.due["orders"] = now_ns + self.settings.orders_every_ns
            from_ns = {x: self._trades_from_ns(x, now_ns) for x in self.desk.products}
            offset_ns, pages = self.clock.offset_ns(now_ns), self.settings.pages_max
            self.sweep = Sweep(self.desk, self.reconciler, self.owners, from_ns, offset_ns, pages)
        if self.sweep is None:
            return
        for ask in self.sweep.asks():
            self.budget.put(ask)
        if self.sweep.is_done:
            result, self.sweep, self._done_ns = self.sweep.result(), None, now_ns
            if isinstance(result, Said):
                self._again("orders", result, now_ns)
            else:
                self._swept(result, now_ns)

    def is_early(self, left_ns: int) -> bool:
        """At a start lists may still be of before it, and say of an earlier run less than its tape does."""
        return bool(self.starting) and left_ns < self.started_ns + self.settings.start_settle_ns

    def _awaits_lists(self, now_ns: int) -> bool:
        """The first pass of a start leaves behind the answers that count only with a pass behind them: else a
        second one would have to follow at once."""
        if self.sweeps or not self.starting or now_ns - self.started_ns > SEC:
            return False
        is_asked = self.started_ns < min(self.due["positions"], self.due["modes"])
        return not is_asked or any(not x.is_done for name, x in self.pulls.items() if name != "key")

    def _trades_from_ns(self, symbol: str, now_ns: int) -> int:
        mark_ns = self.mark_ns.get(symbol, now_ns) - self.settings.overlap_ns
        return max(min(mark_ns, self.cases.trades_from_ns(symbol, now_ns) - SEC), 0)

    def _again(self, what: str, said: Said, now_ns: int) -> None:
        """A list that failed says nothing: ask again, later and later."""
        self.refused(what, said, now_ns)
        self.retry.took(now_ns)
        self.due[what] = self.retry.due_ns

    def _swept(self, lists: Lists, now_ns: int) -> None:
        try:
            is_early = self.is_early(lists.left_ns)
            late_ns = self.clock.offset_ns(now_ns) + self._clock_error_ns(now_ns)
            self.reconciler.tape_ns = self.tape_ns + late_ns  # on the venue's clock
            agreed = self.reconciler.compare(lists, now_ns, self.twins.known if is_early else {})
        except ValueError as error:
            self._again("orders", Said(outcome=0, text=str(error)), now_ns)
            return
        self.retry.step_ns = SEC
        self.swept_ns, self.sweeps = lists.left_ns, self.sweeps + 1
        self.mark_ns |= dict.fromkeys(lists.from_ns, lists.left_ns)
        for ask in self.reconciler.zombie_cancels():
            self.budget.put(ask)
        early, self.early = self.early, None
        if self.starting and self.sweeps == 1:
            self._begin_history(now_ns)
        if early is not None:
            self._got_positions(early, now_ns)
        self.positions.compare_spot(self.reconciler.net_lots, lists.left_ns, lists.read_ns or now_ns, now_ns)
        if any(
            self.positions.is_open(p.instrument) for p in self.desk.products.values() if not p.is_perpetual
        ):
            self.due["orders"] = min(self.due["orders"], now_ns + self.settle_ns())
        if self.reconciler.too_new:
            self.due["orders"] = min(self.due["orders"], now_ns + self.settings.settle_ns)
        self.private.swept(lists.left_ns, now_ns)
        self._explain_costs(lists.left_ns, now_ns)
        if is_early:  # nothing is armed by it
            agreed = set()
            self._look_again(now_ns)
        self._accept(agreed, lists.left_ns, now_ns)

    def _look_again(self, now_ns: int) -> None:
        """Orders and trades as soon as lists count; positions at the same moment, where they must be seen
        again: with nothing on the tape, what was flat before the start may have been opened since; and of
        trades that cancel each other only an answer behind them says that it holds them."""
        again_ns = max(self.started_ns + self.settings.start_settle_ns + HURRY_NS // 4, now_ns)
        if self._has_open_positions():
            again_ns = max(again_ns, self.due["positions"])
        elif self._is_first() or self.purse.is_ambiguous(self._perpetuals(), self.clock.offset_ns(now_ns)):
            self.due["positions"] = min(self.due["positions"], again_ns)
        self.due["orders"] = min(self.due["orders"], again_ns)

    def _has_open_positions(self) -> bool:
        return any(
            self.positions.is_open(p.instrument) for p in self.desk.products.values() if p.is_perpetual
        )

    def _is_first(self) -> bool:
        """No run on the tape knows of any position: what the venue lists is all there is to know."""
        return self.tape_ns == self.started_ns

    def _begin_history(self, now_ns: int) -> None:
        """From the first pass on what we hold is what we held."""
        self.positions.forget(now_ns)
        if self.purse.capital is not None:
            self.purse.capital.forget({p.instrument for p in self.desk.products.values()}, now_ns)

    def _explain_costs(self, left_ns: int, now_ns: int) -> None:
        """With what the purse begins to count the profit of each perpetual, once the venue's clock and the
        trades around the answer are known."""
        instruments, offset_ns = self._perpetuals(), self.clock.offset_ns(now_ns)
        is_asked = "positions" in self.pulls and self.purse.is_ambiguous(instruments, offset_ns)
        if (
            self.clock.is_settled(now_ns)
            and not is_asked
            and self.purse.explain_costs(instruments, left_ns, offset_ns, self._held_still(left_ns))
        ):
            self.due["positions"] = now_ns
        due_ns = self.purse.costs_due_ns(instruments)
        if due_ns:
            self.due["orders"] = min(self.due["orders"], max(due_ns + HURRY_NS // 4, now_ns + HURRY_NS))

    def _perpetuals(self) -> set[int]:
        return {p.instrument for p in self.desk.products.values() if p.is_perpetual}

    def _held_still(self, left_ns: int) -> dict[int, dict[str, Decimal]]:
        """Of each perpetual what we hold, by leg, in the venue's unit, where that did not change since the
        trades were listed: it is made of all of them, and of no other."""
        out = {}
        for product in self.desk.products.values():
            if product.is_perpetual and self.positions.is_still(product.instrument, left_ns):
                unit = lot(self.native.instruments.row(product.instrument))
                out[product.instrument] = {
                    LEG_OF[leg]: self.positions.lots((product.instrument, leg)) * unit
                    for leg in self.desk.legs(product)
                }
        return out

    def settle_ns(self) -> int:
        """A look this much later leaves late enough to count."""
        return (self.settings.start_settle_ns if self.starting else self.settings.settle_ns) + HURRY_NS // 4

    def _accept(self, agreed: set[int], left_ns: int, now_ns: int) -> None:
        """A complete pass: tell the engine where everything agrees, and end what such a pass ends."""
        for product in self.desk.products.values():
            instrument = product.instrument
            self.halts.free(instrument, HaltReason.HALT_ACCESS, "refused", now_ns)
            self._end_odd(instrument, left_ns, now_ns)
            self._end_engine(instrument, left_ns, now_ns)
            if left_ns < self.thawed_ns:
                continue  # an answer from before the process stood still
            if instrument not in agreed or self.positions.differs(instrument):
                continue
            if instrument in self.starting and self.twins.is_settling(now_ns):
                self.due["orders"] = min(self.due["orders"], now_ns + self.settle_ns())
                continue
            if instrument in self.starting and not self._is_ready(product.instrument, now_ns):
                if self.positions.has_moved_since(instrument):
                    self.due["positions"] = min(self.due["positions"], now_ns + self.settle_ns())
                continue
            self.native.reconciled(instrument, now_ns)
            self._arm(instrument, now_ns)
            updates = self.reopening.get(instrument)
            if updates is not None and self.native.is_fresh(instrument, updates):
                self._reopen(instrument, now_ns)

    def reopens(self, instrument: int, was_said: bool, now_ns: int) -> None:
        """The venue says that a held symbol trades: believed when a pass agreed and its book is newer. Where
        it `was_said` that it does not, that counts against its refusals, too."""
        if was_said:
            self.was_said.add(instrument)
        if instrument not in self.reopening:
            self.reopening[instrument] = self.native.books[instrument].updates
            self.all_due(now_ns)
        self.native.renew(instrument)

    def _reopen(self, instrument: int, now_ns: int) -> None:
        del self.reopening[instrument]
        sources = ("status", "engine") if instrument in self.was_said else ("status",)
        self.was_said.discard(instrument)
        for reason in (HaltReason.HALT_VENUE, HaltReason.HALT_PHASE):
            for source in sources:
                self.halts.free(instrument, reason, source, now_ns)
            if "engine" in sources:
                self.engine_held.pop((instrument, reason), None)
        self.endings.withdraw(instrument, now_ns)

    def _engine_halts(self, now_ns: int) -> None:
        """What the engine held by itself, in answer to the venue's words: a person is told, and it ends by
        the
        same rules as what is held from here."""
        for product in self.desk.products.values():
            for name, level in self.native.risk.halts(product.instrument).items():
                if not self.halts.has(product.instrument, HaltReason[name]):
                    self._engine_halt(product.instrument, HaltReason[name], level, now_ns)

    def _engine_halt(self, instrument: int, reason: HaltReason, level: int, now_ns: int) -> None:
        symbol = self.desk.symbol(instrument)
        if reason == HaltReason.HALT_ODD:
            said = self.native.absurd_in(instrument)
            if said:
                said = f"the venue said what cannot be: {said}; its lists are asked"
            self.cases.odd(instrument, said or "the venue said something unknown on a stream", now_ns)
        elif reason == HaltReason.HALT_LIQUIDATION:
            self.reconciler.liquidated(symbol, now_ns)
        elif reason in HELD:
            self.halts.hold(instrument, reason, level, "engine", now_ns)
            if reason in ENDS:
                self.engine_held[instrument, reason] = now_ns
            what = "stopped" if level == STOP else "reduce-only"
            if reason == HaltReason.HALT_FILTER:
                what += f"; then {resume_command(self.settings.tape)}"
            self.halts.tell(symbol, f"{HELD[reason]}: {what}", now_ns)
            if reason == HaltReason.HALT_ACCESS:
                self._log_in_anew(now_ns)

    def _log_in_anew(self, now_ns: int) -> None:
        """A session may have ended: what the key may do is looked at on a new connection. Where that did not
        help, trying again
        at once would not either."""
        if now_ns - self.recycled_ns < RECYCLE_AGAIN_NS:
            return
        self.recycled_ns = now_ns
        self.halts.tell(self.desk.title(), "an order was refused for want of access: logging in anew", now_ns)
        self.recycle(self.desk.market)

    def _end_engine(self, instrument: int, left_ns: int, now_ns: int) -> None:
        """Access is back when the order line came up again; a refused market is tried again after a
        minute."""
        for key in [x for x in self.engine_held if x[0] == instrument]:
            held_ns = self.engine_held[key]
            ends_ns = self.order_up_ns if key[1] == HaltReason.HALT_ACCESS else held_ns + VENUE_AGAIN_NS
            if held_ns < ends_ns <= left_ns:
                del self.engine_held[key]
                self.halts.free(instrument, key[1], "engine", now_ns)

    def _end_odd(self, instrument: int, left_ns: int, now_ns: int) -> None:
        """What the venue said and nobody understood is over when two passes behind it agree."""
        if left_ns <= self.cases.odd_ns.get(instrument, now_ns):
            return
        self.odd[instrument] = self.odd.get(instrument, 0) + 1
        if self.odd[instrument] >= 2:
            del self.odd[instrument], self.cases.odd_ns[instrument]
            self.halts.free(instrument, HaltReason.HALT_ODD, "odd", now_ns)

    def _is_ready(self, instrument: int, now_ns: int) -> bool:
        product = self.desk.products[self.desk.symbol(instrument)]
        if product.is_perpetual and self.desk.symbol(instrument) not in self.modes_of:
            return False  # whether the account is set up as configured is not known yet
        if product.is_perpetual and self._is_first() and not self._is_baseline(instrument, now_ns):
            return False
        return self.private.up and self.positions.has_agreed(instrument) and self.purse.is_known(product)

    def _arm(self, instrument: int, now_ns: int) -> None:
        if instrument not in self.starting:
            return
        self.starting.discard(instrument)
        self.positions.settle_within(instrument, self.settings.settle_ns)
        self.cases.is_starting = bool(self.starting)
        if self.halts.free(instrument, HaltReason.HALT_START, "start", now_ns):
            self.halts.tell(
                f"{self.desk.title()} {self.desk.symbol(instrument)}",
                f"the venue and the node agree: {self._next()}{self._inventory(instrument)}",
                now_ns,
            )

    def _next(self) -> str:
        """What agreement with the venue allows: nothing, while a latch holds everything."""
        latches, place = self.native.risk.latches, self.settings.tape
        if not latches:
            return "trading may begin"
        names = ", ".join(latch_name(x) for x in latches_of(latches))
        return f"reconciled, but latched ({names}): {way_out(latches, place, place)}"

    def _inventory(self, instrument: int) -> str:
        """What a person must know of a spot position at start: a balance does not say what of it an earlier
        run bought."""
        product = self.desk.products[self.desk.symbol(instrument)]
        if product.is_perpetual:
            return ""
        lots, told = self.native.account.position(instrument)["lots"], self.purse.coin(product.base).told
        held = amount_text(self.native.instruments, instrument, lots)
        minutes = self.settings.start_overlap_ns // (60 * SEC)
        return (
            f"; the position starts at {held}, from the trades of the last {minutes} min,"
            f" and limits count from there (the account holds {told} {product.base})"
        )

    def on_orders(self, kind: int, up: bool, now_ns: int) -> None:
        """A line for requests went up or down."""
        if up and kind not in self.ways:
            self.order_up_ns = now_ns
        self.ways = self.ways | {kind} if up else self.ways - {kind}
        self.hurry(now_ns)

    # ---- positions, balances, keys ----

    def _list(
        self, what: str, requests: Callable[[], list[Any]], read: Callable[..., Any], now_ns: int
    ) -> None:
        """Run the list `what` when it is due, and hand over what came."""
        if what not in self.pulls and now_ns >= self.due[what]:
            self.due[what] = now_ns + getattr(self.settings, f"{what}_every_ns".replace("key_", "keys_"))
            self.pulls[what] = Pull(self.desk, what, requests(), read, self.settings.pages_max)
        pull = self.pulls.get(what)
        if pull is None:
            return
        for ask in pull.asks(Purpose.RECONCILE):
            self.budget.put(ask)
        if pull.is_done:
            del self.pulls[what]
            if pull.failure is not None:
                self._again(what, pull.failure, now_ns)
            elif pull.left_ns:
                getattr(self, f"_got_{what}")(pull, now_ns)

    def _got_positions(self, pull: Pull, now_ns: int) -> None:
        if (self.starting and not self.sweeps) or (
            self.sweep is not None and (self.starting or self._has_open_positions())
        ):
            self.early = pull  # the trades that explain it are not booked yet: they are on the way
            return
        rows: list[PositionRow] = pull.rows
        try:
            self.positions.compare(rows, pull.left_ns, self.swept_ns, now_ns)
            self.positions.modes(rows, now_ns)
        except ValueError as error:
            self._again("positions", Said(outcome=0, text=str(error)), now_ns)
            return
        held: dict[str, list[PositionRow]] = {}
        for row in rows:
            if row.size.strip("-0."):
                held.setdefault(row.symbol, []).append(row)
        named = {x.symbol for x in rows}
        for symbol, product in self.desk.products.items():
            if product.is_perpetual:
                self.absent_ns[symbol] = 0 if symbol in named else self.absent_ns.get(symbol) or now_ns
                self._got_position(symbol, held.get(symbol, []), pull, now_ns)
        if self._has_open_positions():
            self.due["positions"] = now_ns + self.settle_ns()
            self.hurry(now_ns)

    def _got_position(self, symbol: str, rows: list[PositionRow], pull: Pull, now_ns: int) -> None:
        """`rows`: what there is of it, by leg."""
        instrument = self.desk.products[symbol].instrument
        if instrument in self.starting and self.settings.set_at_start and self._is_said(symbol, now_ns):
            entries = {LEGS[x.leg] if self.desk.hedge else 0: x.entry for x in rows}
            if self.positions.take_over(symbol, entries, now_ns):
                self.reconciler.floor_ns[instrument] = pull.read_ns + self.clock.offset_ns(now_ns)
        if self.positions.has_agreed(instrument):
            try:
                held = [(x.leg, Decimal(x.size), x.entry) for x in rows]
                self.purse.set_cost(instrument, held, pull.left_ns, pull.read_ns)
            except ValueError:
                return  # no entry price yet: the purse waits
            if instrument in self.starting or self.purse.costs_due_ns({instrument}):
                self.hurry(now_ns)

    def _is_said(self, symbol: str, now_ns: int) -> bool:
        """The venue says what it holds: it names the symbol, or has left it out of every answer for so long
        that it is
        no incident. Absence is not zero."""
        since_ns = self.absent_ns[symbol]
        return not since_ns or now_ns - since_ns >= self.settings.absent_ns

    def _is_baseline(self, instrument: int, now_ns: int) -> bool:
        """Does the last list count as all there was before this tape? Not where it is of before the start.
        Where trades from before the tape do not come to nothing, one that leaves the symbol out may be an
        incident's: it counts only after a while, and a person is told how long that is."""
        if self.is_early(self.positions.compared_ns):
            return False
        symbol = self.desk.symbol(instrument)
        lots = self.reconciler.older_lots.get(instrument, 0)
        if not lots or self._is_said(symbol, now_ns):
            return True
        ends_ns = self.absent_ns[symbol] + self.settings.absent_ns
        at = datetime.fromtimestamp(ends_ns // SEC, UTC)
        self.halts.tell(
            self.desk.place(symbol),
            f"trades from before this tape come to {lots} lots, and the venue's list names no position: "
            f"nothing new before it does, or has named none until {at:%H:%M:%S} UTC; this ends by itself",
            now_ns,
            self.settings.absent_ns,
        )
        return False

    def _balances(self, now_ns: int) -> None:
        """Cash first: what it explains must be known when the balances are compared."""
        since_ns = max(self.cash_from_ns - self.settings.overlap_ns, 0)
        if not {"balances", "told"} & self.pulls.keys() and now_ns >= self.due["balances"]:
            requests = self.desk.rest.cash(since_ns + self.clock.offset_ns(now_ns))
            self.pulls["cash"] = Pull(
                self.desk, "cash", requests, self.desk.rest.read_cash, self.settings.pages_max
            )
        read = one_page(self.desk.rest.read_balances)
        if "told" not in self.pulls:  # a second list now would wait for cash that nobody asks for
            self._list("balances", lambda: [self.desk.rest.balances()], read, now_ns)
        cash = self.pulls.get("cash")
        for ask in cash.asks(Purpose.RECONCILE) if cash is not None else ():
            self.budget.put(ask)
        self._settle_balances(now_ns)

    def _settle_balances(self, now_ns: int) -> None:
        cash, balances = self.pulls.get("cash"), self.pulls.get("told")
        if cash is None or balances is None or not cash.is_done:
            return
        del self.pulls["cash"], self.pulls["told"]
        if cash.failure is not None:
            self._again("balances", cash.failure, now_ns)
            return
        try:
            for row in cash.rows:
                self.moved(row, now_ns)
            self.purse.put(balances.rows, balances.left_ns, balances.read_ns)
        except ValueError as error:
            self._again("balances", Said(outcome=0, text=str(error)), now_ns)
            return
        self.cash_from_ns = cash.left_ns or balances.left_ns
        self.hurry(now_ns)

    def moved(self, row: CashRow, now_ns: int) -> None:
        """Money moved without a trade: counted once, and told where it does not come by itself. What moved
        before
        the start is part of what was there."""
        is_new = self.purse.on_cash(row)
        if is_new and self.purse.capital is not None:
            self.purse.capital.on_cash(row, now_ns)
        if not is_new or 0 < row.event_ns < self.begun_ns:
            return
        if row.kind == "liquidation":
            self.reconciler.liquidated(row.symbol or self.desk.title(), now_ns)
        elif row.kind not in QUIET:
            self.halts.tell(self.desk.title(), f"{row.kind} of {row.amount} {row.coin}", now_ns)

    def _mode_requests(self) -> list[Any]:
        return self.desk.rest.modes([x for x, p in self.desk.products.items() if p.is_perpetual])

    def _got_modes(self, pull: Pull, now_ns: int) -> None:
        try:
            for row in pull.rows:
                self.positions.mode(row, now_ns)
        except ValueError as error:
            self._again("modes", Said(outcome=0, text=str(error)), now_ns)
            return
        self.modes_of |= {row.symbol for row in pull.rows}
        if self.starting:
            self.hurry(now_ns)

    def _got_balances(self, pull: Pull, now_ns: int) -> None:
        self.pulls["told"] = pull

    def _got_key(self, pull: Pull, now_ns: int) -> None:
        rows: list[KeyRow] = pull.rows
        for row in rows:
            self._key(row, now_ns)

    def _key(self, row: KeyRow, now_ns: int) -> None:
        title = self.desk.title()
        if row.can_withdraw:
            self.halts.tell(
                title,
                "the key may withdraw: use one that may not",
                now_ns,
                self.settings.balances_every_ns * 60,
            )
        if row.expires_ns and row.expires_ns - now_ns < KEY_WARN_NS:
            self.halts.tell(
                title, f"the key expires in {(row.expires_ns - now_ns) // (3600 * SEC)} hours", now_ns
            )
        if row.hedge is not None:
            self.positions.mode(ModeRow(self.desk.market, hedge=row.hedge), now_ns)
        if row.account and self.desk.account:
            text = f"the key is of account {row.account}, must be of {self.desk.account}"
            self._access("account", row.account != self.desk.account, text, now_ns)
        if row.can_trade is not None:
            self._access("key", not row.can_trade, "the key may not trade", now_ns)

    def refused(self, what: str, said: Said, now_ns: int) -> None:
        """What a refusal says beyond its request. Texts are the venue's: they hold no secret of ours."""
        if said.group == ErrorGroup.GROUP_ACCESS:
            self._access("refused", True, f"{ASKED.get(what, what)}: {_words(said)}", now_ns)
            return  # once is enough, whatever else is refused for the same reason
        if said.group == ErrorGroup.GROUP_CLOCK:
            self.pulse.hurry(now_ns)
        if said.until_ns:
            self.budget.pause(said.until_ns - self.clock.offset_ns(now_ns), now_ns)
        if what != "cancel" and (said.code or said.text):
            self.halts.tell(self.desk.title(), f"{ASKED.get(what, what)}: {_words(said)}", now_ns)

    def _access(self, source: str, bad: bool, text: str, now_ns: int) -> None:
        is_new = False
        for product in self.desk.products.values():
            if bad:
                is_new |= self.halts.hold(product.instrument, HaltReason.HALT_ACCESS, STOP, source, now_ns)
            else:
                self.halts.free(product.instrument, HaltReason.HALT_ACCESS, source, now_ns)
        if is_new:
            fix = "no orders until the venue takes the key; check its rights, IP list and expiry"
            self.halts.tell(self.desk.title(), f"access refused: {text}: {fix}", now_ns)

    # ---- state ----

    def is_settled(self, since_ns: int = 0) -> bool:
        """Nothing is being found out, nothing differs, and every list was asked for behind `since_ns`."""
        steady = any(x.is_open for x in self.positions.steady.values())
        oldest_ns = min(self.swept_ns, self.positions.compared_ns or self.swept_ns)
        return oldest_ns > since_ns and not (
            self.starting or self.cases.cases or self.reconciler.zombies or self.reconciler.too_new or steady
        )

    def differences(self) -> list[Difference]:
        out = [Difference(self.desk.symbol(x), "not reconciled yet", 0) for x in sorted(self.starting)]
        return out + self.cases.differences() + self.reconciler.differences() + self.positions.differences()


def _words(said: Said) -> str:
    """A refusal for people: the venue's code, where it has one, and its words."""
    words = said.text.partition(" origin_string")[0]  # Bybit repeats what was signed
    return f"{said.code or ''} {words[:120]}".strip()

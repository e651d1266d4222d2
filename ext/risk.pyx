"""Intent -> Approved, or refused with a reason, its value and its limit.

The only door to the wire: nothing else can make an `Approved`, and nothing but an `Approved` can be encoded. Checks run
in cost order, cheap and absolute ones first; the first that fails answers. Position is checked as worst case: as if
everything of ours that is not terminal - in flight, UNKNOWN and both sides of an amend included - filled on one side, and
what others have open on the account too. Cancels always pass.
"""

from cython cimport final
from libc.string cimport memset

from ext.book cimport SYNCED
from ext.checks cimport Case, lowest
from ext.equity cimport Equity
from ext.limits cimport STRATEGIES_MAX, Limits, LimitTable
from ext.orders cimport Order
from ext.records cimport (AMEND, AMENDING, BUDGET_AMENDS, BUDGET_CANCELS, BUDGET_ORDERS, BUY, CANCEL, DESK_ADOPTED,
                          DESK_EXIT, DESK_PROTECT, FILLED, FREE, HALTS, LATCHED, LATCHES, LATCH_OPERATOR, LIMIT, LIVE, MARKET, NEW, NOT_OWNER, OK,
                          PARTIAL, REASONS, REPLACE, SELL, SIZE_MIN, STOP_MARKET, TABLE_FULL, UNKNOWN_ORDER, Level, mint)
from ext.wire cimport BATCH_MAX
from ext.limits import check
from ext.records import HaltReason, Latch, Reason

cdef extern from "exact.h":
    bint tg_exceeds(int64_t a, int64_t b, int64_t c, int64_t d) noexcept nogil

cdef int64_t PPM = 1_000_000


@final
cdef class RiskGate(Checks):
    """The gate over all instruments: the checks, what they are set to, and the only hand that makes an Approved."""

    def __cinit__(self, Instruments instruments, Orders orders, Account account, list books, Equity equity=None,
                  Reference reference=None):
        self.approved = mint()
        self.pool = [mint() for i in range(BATCH_MAX)]

    # ---- configuration ----

    def set_limits(self, int instrument, **limits):
        """Set the limits of one instrument and allow it: `LimitTable.set_limits`."""
        self.table.set_limits(instrument, **limits)
        self._watch(instrument)

    def set_account(self, **limits):
        """Limits over everything: `LimitTable.set_account`."""
        self.table.set_account(**limits)

    def set_rate(self, orders, window_ns, amends=-1, cancels=-1):
        """At most `orders` new orders in any `window_ns`, so many amends and cancels (-1: amends count as orders, cancels not at
        all). A change starts with a full window: no second burst."""
        self.table.set_rate(orders, window_ns, amends, cancels)
        self._follow()

    def set_flow(self, **limits):
        """Cancels to fills, orders to trades: `LimitTable.set_flow`."""
        self.table.set_flow(**limits)
        self._follow()

    def set_repeat(self, **limits):
        """Repeated fills and round trips of a strategy: `LimitTable.set_repeat`."""
        self.table.set_repeat(**limits)
        self._follow()

    def set_windows(self, windows):
        """Time rules: `LimitTable.set_windows`."""
        self.table.set_windows(windows)

    def set_day_trades(self, max, days, below_e8):
        """Round trips within a day: `LimitTable.set_day_trades`."""
        self.table.set_day_trades(max, days, below_e8)
        self._follow()

    def allow(self, strategy, int instrument, bint allowed):
        """The list of a strategy: `LimitTable.allow`."""
        self.table.allow(strategy, instrument, allowed)

    def strategy_off(self, int strategy, int why):
        """Nothing new of this strategy for a StrategyOff, until a human calls `strategy_on`."""
        self._strategy(strategy)
        if not 0 < why < 64:
            raise ValueError(f"strategy {strategy}: off for {why}: must be a StrategyOff")
        self.why_off[strategy] = why

    def strategy_on(self, int strategy):
        """A human switched it on again."""
        self._strategy(strategy)
        self.why_off[strategy] = 0
        self.throttle.forgive(strategy)

    def off(self, int strategy) -> int:
        """The StrategyOff that holds, 0 = it is on."""
        self._strategy(strategy)
        return self.why_off[strategy]

    def _strategy(self, int strategy):
        if not 0 <= strategy < STRATEGIES_MAX:
            raise ValueError(f"strategy {strategy}: must be 0 to {STRATEGIES_MAX - 1}")

    @property
    def limits_version(self) -> int:
        """Grows with each change of a limit."""
        return self.table.version

    def pack(self) -> bytes:
        """All limits, for the LIMITS record of a tape."""
        return self.table.pack()

    def stamped(self, bytes packed) -> bytes:
        """Limits that another table packed, with the version that they will have here. ValueError as `unpack`."""
        cdef LimitTable other = LimitTable(self.instruments.count, self.orders.capacity)
        other.unpack(packed)
        other.version = self.table.version + 1
        return other.pack()

    def unpack(self, bytes packed):
        """Take over what `pack` made. ValueError where it is of another layout or instrument table."""
        self.table.unpack(packed)
        self._follow()
        for instrument in range(self.instruments.count):
            self._watch(instrument)

    def _watch(self, int instrument):
        """How far the reference looks back, and what margin a position binds."""
        row = &self.limits[instrument]
        self.reference.watch(instrument, walk_ns=row.walk_ns if row.walk_ppm >= 0 else 0,
                             range_ns=row.range_ns if row.range_ppm >= 0 else 0,
                             jump_ns=row.jump_ns if row.jump_ppm >= 0 else 0, jump_ppm=row.jump_ppm)
        if row.allowed and row.leverage:
            self.equity.set_row(instrument, row.leverage, row.maintenance_ppm)

    def _follow(self):
        """Let those who keep rings, windows and margins go by the limits in force."""
        flow = &self.table.flow
        self.throttle.set_rate(flow.orders, flow.window_ns, flow.amends, flow.cancels)
        self.throttle.set_flow(flow.cancel_ratio_ns if flow.cancel_ratio_milli >= 0 else 0)
        self.throttle.set_repeat(flow.same_side_fills, flow.round_trips, flow.repeat_ns)
        self.throttle.set_span(flow.day_trade_days if flow.day_trades >= 0 else 1)

    def require(self, *, int64_t reconcile_ns=0, int64_t clock_ns=0, bint private=False, int max_unacked=0,
                int64_t watched_ns=0):
        """What must be proven before risk is taken, where somebody is there to prove it: a reconciliation and a measurement of
        the venue's clock not older than so many ns, the private stream; at most `max_unacked` requests to a market without an
        answer; and that the stops were evaluated within `watched_ns`. 0 = not asked for."""
        if reconcile_ns < 0 or clock_ns < 0 or max_unacked < 0 or watched_ns < 0:
            raise ValueError("what is required must not be negative")
        self.reconcile_ns, self.clock_ns, self.watch_ns = reconcile_ns, clock_ns, watched_ns
        self.needs_private, self.max_unacked = private, max_unacked

    def set_exit(self, int64_t ppm):
        """How far exits of the desk may be from the reference, in millionths of it; -1 = as far as any order (its collar).
        ValueError above the ceiling of collars."""
        self.exit_ppm = check("exit: ", "collar_ppm", ppm, -1)

    def set_hedge(self, int market, bint hedge):
        """The position mode of a market's account: True where each perpetual has a long and a short leg. ValueError where there is
        no such market."""
        if not 0 <= market < 8:
            raise ValueError(f"market {market}: there is no such market")
        self.markets[market].hedge = hedge

    def restore_day_trades(self, int64_t count, int64_t day):
        """Day trades of an earlier run, on a day since 1970: `Throttle.restore_day_trades`."""
        self.throttle.restore_day_trades(count, day)

    def halt(self, int instrument, int why, int level):
        """Level 1: only what shrinks the position; 2: only cancels; for HaltReason `why`, until `resume` with the same."""
        self._check(instrument, why)
        if level not in (1, 2):
            raise ValueError(f"halt level {level}: must be 1 (reduce only) or 2 (stop)")
        self.guards[instrument].stop &= ~(1 << why)
        self.guards[instrument].reduce |= 1 << why
        if level == 2:
            self.guards[instrument].stop |= 1 << why

    def resume(self, int instrument, int why):
        """The reason is gone; others may still hold."""
        self._check(instrument, why)
        self.guards[instrument].stop &= ~(1 << why)
        self.guards[instrument].reduce &= ~(1 << why)

    def halts(self, int instrument) -> dict:
        """HaltReason name -> level, of one instrument."""
        self._check(instrument, 0)
        guard = self.guards[instrument]
        return {HaltReason(i).name: 2 if guard.stop >> i & 1 else 1 for i in range(1, <int>HALTS) if guard.reduce >> i & 1}

    def cooling_ns(self, int instrument, int64_t now_ns) -> int:
        """ns for which there is no new risk yet behind a stop that fired; 0 where none is waited for."""
        self._check(instrument, 0)
        return max(0, self.guards[instrument].cool_until_ns - now_ns)

    def _check(self, int instrument, int why):
        if not 0 <= instrument < self.instruments.count:
            raise ValueError(f"instrument {instrument}: the table has {self.instruments.count}")
        if not 0 <= why < HALTS:
            raise ValueError(f"halt reason {why}: must be below {<int>HALTS}")

    def latch(self, int why=<int>LATCH_OPERATOR):
        """Stop every new order for this Latch until `release`. Cancels still pass, and for most latches exits do."""
        if not 0 <= why < LATCHES:
            raise ValueError(f"latch {why}: must be below {<int>LATCHES}")
        self.latches |= 1 << (why or <int>LATCH_OPERATOR)

    def release(self, int why=0):
        """This latch is gone, or all of them (0)."""
        self.latches = self.latches & ~(1 << why) if why else 0

    @property
    def latched(self) -> int:
        """The lowest Latch that holds, 0 = none."""
        return lowest(self.latches)

    # ---- the door ----

    cdef Approved approve(self, const Intent* intent, int64_t now_ns, int* reason, Approved into=None):
        """Check, reserve exposure, and approve; None where refused (`reason`, `value`, `limit` say why). A REPLACE is a new
        order that names the one it takes the place of: both count until the venue has answered."""
        cdef Order* order
        cdef Order* old = NULL
        reason[0] = OK
        self.begin()
        if intent.action == REPLACE:
            old = self.orders.find(intent.order_id)
            if old == NULL or not FREE < old.state < FILLED:
                reason[0] = self.refuse(UNKNOWN_ORDER, <int64_t>intent.order_id, 0)
            elif (not self._may_touch(intent, old) or old.instrument != intent.instrument or old.side != intent.side
                    or old.leg != intent.leg):
                reason[0] = self.refuse(NOT_OWNER, old.strategy, intent.strategy)
            if reason[0] != OK:
                self._tally(reason[0])
                return None
        reason[0] = self.check(intent, now_ns)
        if reason[0] == OK:
            order = self.orders.reserve(intent, now_ns)
            if order != NULL:
                self.remember(intent, now_ns)
                if intent.type == MARKET:
                    self.orders.revalue(order, self._worst_ticks(intent))
                self.equity.recount(intent.instrument)
                self._spend(intent, False, now_ns)
                if old != NULL:
                    self.throttle.on_cancel(now_ns)
                order.limits_version = self.table.version
                into = self._grant(intent, order.id, now_ns, into)
                if old != NULL:
                    order.replaces = old.id
                    into.intent.order_id, into.intent.epoch = old.sequence, old.epoch
                return into
            reason[0] = self.refuse(TABLE_FULL, self.orders.capacity, self.orders.capacity)
        self._tally(reason[0])
        return None

    cdef int _tally(self, int reason) noexcept nogil:
        """One more refusal: of its reason, and where a latch refused, of that one (`value`, the lowest that is on)."""
        self.refused[reason] += 1
        if reason == LATCHED:
            self.refused_latched[self.value] += 1
        return 0

    cdef int64_t _worst_ticks(self, const Intent* intent) noexcept nogil:
        """The worst price that a market order would reach."""
        cdef int64_t price = 0, cost = 0
        (<Book>self.book_rows[intent.instrument]).fill(intent.side, intent.size_lots, &price, &cost)
        return price

    cdef int _spend(self, const Intent* intent, bint amend, int64_t now_ns) noexcept nogil:
        """One more request: in our own rate and in the venue's."""
        self.throttle.on_order(amend, now_ns)
        self.budgets.take(self.instruments.rows[intent.instrument].market, intent.instrument,
                          BUDGET_AMENDS if amend else BUDGET_ORDERS, now_ns)
        self.passed += 1
        return 0

    cdef Approved approve_amend(self, const Intent* intent, int64_t now_ns, int* reason):
        """Change price and whole size of a resting order: checked as what it adds, and until the venue has answered the larger of
        both sizes and of both prices counts. One at a time for each order."""
        cdef Order* order = self.orders.find(intent.order_id)
        cdef Intent more
        cdef Case case
        reason[0] = OK
        self.begin()
        if order == NULL or not LIVE <= order.state <= PARTIAL or order.final_state or order.cancel_wanted:
            reason[0] = self.refuse(UNKNOWN_ORDER, <int64_t>intent.order_id, 0)
        elif not self._may_touch(intent, order):
            reason[0] = self.refuse(NOT_OWNER, order.strategy, intent.strategy)
        elif order.amending:
            reason[0] = self.refuse(AMENDING, order.amend_ns, 0)
        elif intent.size_lots <= order.filled_lots:
            reason[0] = self.refuse(SIZE_MIN, intent.size_lots, order.filled_lots + 1)
        if reason[0] == OK:
            more = intent[0]
            more.instrument, more.side, more.type, more.tif = order.instrument, order.side, order.type, order.tif
            more.reduce_only, more.strategy, more.leg, more.action = order.reduce_only, order.strategy, order.leg, AMEND
            case.intent, case.now_ns, case.least_ticks = &more, now_ns, self.orders.price(order)
            case.lots = max(intent.size_lots, order.size_lots) - order.filled_lots
            case.own = order.strategy == DESK_EXIT or order.strategy == DESK_PROTECT
            case.risk = not order.reduce_only
            case.adds = case.risk and (intent.size_lots > order.size_lots or more.price_ticks > case.least_ticks)
            # its own size is reserved already: taken away while the whole is checked, and put back
            self.orders._count(order, -1)
            self.equity.recount(order.instrument)
            reason[0] = self._check_all(&case)
            self.orders._count(order, 1)
            self.equity.recount(order.instrument)
        if reason[0] != OK:
            self._tally(reason[0])
            return None
        self.orders.start_amend(order, intent.price_ticks, intent.size_lots, now_ns)
        self.equity.recount(order.instrument)
        order.limits_version = self.table.version
        self._spend(&more, True, now_ns)
        self._grant(&more, order.id, now_ns, None)
        self.approved.intent.order_id, self.approved.intent.epoch = order.sequence, order.epoch
        return self.approved

    cdef Approved approve_cancel(self, const Intent* intent, int64_t now_ns, int* reason, Approved into=None):
        """A cancel always passes, provided that it names an order of ours that is not terminal, and that a strategy names none of
        another or of the desk."""
        cdef Order* order = self.orders.find(intent.order_id)
        cdef Intent cancel
        reason[0] = OK
        self.begin()
        if order == NULL or not FREE < order.state < FILLED:
            reason[0] = self.refuse(UNKNOWN_ORDER, <int64_t>intent.order_id, 0)
        elif not self._may_touch(intent, order):
            reason[0] = self.refuse(NOT_OWNER, order.strategy, intent.strategy)
        if reason[0] != OK:
            self._tally(reason[0])
            return None
        memset(&cancel, 0, sizeof(cancel))
        cancel.action, cancel.instrument, cancel.order_id, cancel.epoch = CANCEL, order.instrument, order.sequence, order.epoch
        cancel.side, cancel.strategy, cancel.type = order.side, order.strategy, order.type
        order.cancel_asked += 1
        order.last_cancel_ns = now_ns
        self.throttle.on_cancel(now_ns)
        self.budgets.take(self.instruments.rows[order.instrument].market, order.instrument, BUDGET_CANCELS, now_ns)
        return self._grant(&cancel, order.id, now_ns, into)

    cdef bint _may_touch(self, const Intent* intent, const Order* order) noexcept nogil:
        """A strategy changes orders of its own only. What an earlier run left it may cancel, but for stops: they may be all that
        protects a position. The node itself (records.Desk) may touch everything."""
        if intent.strategy < 0 or intent.strategy == order.strategy:
            return True
        return intent.action == CANCEL and order.strategy == DESK_ADOPTED and order.type != STOP_MARKET

    cdef Approved _grant(self, const Intent* intent, uint64_t order_id, int64_t now_ns, Approved into):
        if into is None:
            into = self.approved
        into.intent = intent[0]
        into.order_id = order_id
        into.now_ns = now_ns
        into.live = True
        return into

    # ---- limits that change under resting orders ----

    def violations(self, int64_t now_ns) -> list:
        """Ids of open orders of strategies that the limits in force now would not allow: too large, too dear, too far from the
        reference, or, the newest of them, too many, worth too much together, or too much for the position."""
        out = []
        cdef int i
        for i in range(self.instruments.count):
            bad = [order_id for order_id in self.orders.open_orders(i) if self._violates(order_id, now_ns)]
            out += bad + self._too_many(i, set(bad))
        left = [order_id for order_id in self.orders.open_orders() if order_id not in set(out)]
        most = self.table.account.max_open_orders
        return sorted(out + (left[most:] if 0 <= most < len(left) else []))

    cdef bint _violates(self, uint64_t order_id, int64_t now_ns) except -1:
        """Is this order, by itself, beyond what is allowed now?"""
        cdef Order* order = self.orders.find(order_id)
        cdef Limits* limit = &self.limits[order.instrument]
        cdef int64_t low2 = 0, high2 = 0, price2 = 2 * order.price_ticks, notional
        if order.strategy <= DESK_EXIT or order.type == STOP_MARKET:
            return False
        notional = self.instruments.notional_e8(order.instrument, self.orders.price(order), order.size_lots)
        if not limit.allowed or order.size_lots > limit.max_size_lots or not 0 <= notional <= limit.max_notional_e8:
            return True
        if order.type != LIMIT or not self.reference.around(order.instrument, self._own2(<Book>self.book_rows[order.instrument]), now_ns, &low2, &high2):
            return False
        return (tg_exceeds(price2 - low2, PPM, low2, limit.collar_ppm) or tg_exceeds(high2 - price2, PPM, high2, limit.collar_ppm))

    cdef int64_t _own2(self, Book book) noexcept nogil:
        """Twice the mid of a book, 0 where it has none that may be used."""
        cdef Level bid, ask
        if book.state != SYNCED or not book.best_bid(&bid) or not book.best_ask(&ask):
            return 0
        return bid.price_ticks + ask.price_ticks

    def _too_many(self, int instrument, gone):
        """The newest orders of strategies whose end brings count, open notional and worst case back within the limits."""
        cdef Order* order
        limit, row = <object>self.limits[instrument], <object>self.instruments.rows[instrument]
        held = self.account.rows[instrument].lots
        count, worth, sides = 0, 0, [held, -held]
        out = []
        for order_id in self.orders.open_orders(instrument):        # oldest first: the newest go
            order = self.orders.find(order_id)
            if order_id in gone:
                continue
            more = int(self.orders.price(order)) * int(self.orders.leaves(order)) if order.type != STOP_MARKET else 0
            lots = 0 if order.reduce_only else self.orders.leaves(order)
            fits = (count < limit["max_open_orders"] and sides[order.side] + lots <= limit["max_position_lots"] or not lots)
            fits = fits and count < limit["max_open_orders"] and (
                limit["max_open_notional_e8"] < 0
                or (worth + more) * row["money_mul"] <= limit["max_open_notional_e8"] * row["money_div"])
            if not fits and order.strategy > DESK_EXIT:
                out.append(order_id)
                continue
            count, worth = count + 1, worth + more
            sides[order.side] += lots
        return out

    # ---- for Python: reports, tests ----

    def refusals(self) -> dict:
        """Refusals so far, by reason name."""
        return {Reason(i).name: self.refused[i] for i in range(<int>REASONS) if self.refused[i]}

    def latched_refusals(self) -> dict:
        """Refusals of the reason LATCHED so far, by the name of the latch that refused: of several the lowest."""
        return {x.name: self.refused_latched[<int>x] for x in Latch if x < LATCHES and self.refused_latched[<int>x]}

    def try_order(self, int instrument, int side, int64_t price_ticks, int64_t size_lots, int64_t now_ns, *, int tif=0,
                  int type=0, bint reduce_only=False, int64_t trigger=0, int leg=0, int strategy=0, int action=NEW,
                  uint64_t order_id=0) -> tuple:
        """Run an intent through `approve`; returns (reason name, value, limit, order id or 0). For tests and drills:
        a passed order has its exposure reserved but is not written anywhere."""
        cdef Intent intent
        cdef int reason = 0
        memset(&intent, 0, sizeof(intent))
        intent.instrument, intent.side, intent.price_ticks, intent.size_lots = instrument, side, price_ticks, size_lots
        intent.tif, intent.type, intent.reduce_only, intent.action = tif, type, reduce_only, action
        intent.trigger_ticks, intent.leg, intent.strategy, intent.order_id = trigger, leg, strategy, order_id
        if side not in (BUY, SELL):
            raise ValueError(f"side {side}: must be BUY or SELL")
        self.value = self.limit = 0
        approved = self.approve(&intent, now_ns, &reason)
        return Reason(reason).name, self.value, self.limit, approved.order_id if approved is not None else 0

    cdef int _owner(self, uint64_t order_id) noexcept:
        """The strategy of an order, -1 where there is none."""
        cdef Order* order = self.orders.find(order_id)
        return order.strategy if order != NULL else <int>DESK_ADOPTED

    def try_amend(self, uint64_t order_id, int64_t price_ticks, int64_t size_lots, int64_t now_ns, *, strategy=None) -> tuple:
        """Run an amend of a strategy (None: the order's own) through `approve_amend`: (reason name, value, limit). For tests; a
        passed one is in the air."""
        cdef Intent intent
        cdef int reason = 0
        memset(&intent, 0, sizeof(intent))
        intent.action, intent.order_id, intent.price_ticks, intent.size_lots = AMEND, order_id, price_ticks, size_lots
        intent.strategy = self._owner(order_id) if strategy is None else strategy
        self.value = self.limit = 0
        self.approve_amend(&intent, now_ns, &reason)
        return Reason(reason).name, self.value, self.limit

    def try_cancel(self, uint64_t order_id, int64_t now_ns, *, strategy=None) -> str:
        """Run a cancel of a strategy (None: the order's own) through `approve_cancel`: a Reason name. For tests."""
        cdef Intent intent
        cdef int reason = 0
        memset(&intent, 0, sizeof(intent))
        intent.action, intent.order_id = CANCEL, order_id
        intent.strategy = self._owner(order_id) if strategy is None else strategy
        self.approve_cancel(&intent, now_ns, &reason)
        return Reason(reason).name

    def fill(self, int strategy, int instrument, int side, int moved, int64_t now_ns, int leg=0) -> bool:
        """`on_fill` for tests."""
        return self.on_fill(strategy, instrument, leg, side, moved, now_ns, now_ns)

    def funding(self, int instrument, int64_t rate_e8, int64_t next_ns):
        """`on_funding` for Python callers."""
        self._check(instrument, 0)
        self.on_funding(instrument, rate_e8, next_ns)

    def cool_down(self, int instrument, int64_t until_ns):
        """`cool` for Python callers."""
        self._check(instrument, 0)
        self.cool(instrument, until_ns)

    def watched(self, int64_t now_ns):
        """The stops were evaluated now (the engine sets it itself)."""
        self.watched_ns = now_ns

    def lease(self, int64_t until_ns):
        """A lease that holds until then, -1 = none is asked for; for tests (the engine has a door)."""
        self.lease_ns = until_ns

    def prove(self, int instrument, int64_t now_ns):
        """Reconciled, clock measured, private stream proven; for tests (the engine has doors)."""
        self._check(instrument, 0)
        self.guards[instrument].reconciled_ns = now_ns
        self.markets[self.instruments.rows[instrument].market].clock_ns = now_ns
        self.markets[self.instruments.rows[instrument].market].private_ok = True

    def probe(self, int instrument, int side, int64_t price_ticks, int64_t size_lots, int64_t now_ns, *, int leg=0) -> str:
        """What the gate would say to a limit order now: a Reason name. Nothing is reserved and nothing counted."""
        cdef Intent intent
        memset(&intent, 0, sizeof(intent))
        intent.instrument, intent.side, intent.price_ticks, intent.size_lots = instrument, side, price_ticks, size_lots
        intent.leg = leg
        self.begin()
        return Reason(self.check(&intent, now_ns)).name

    def check_many(self, int count, int instrument, int side, int64_t price_ticks, int64_t size_lots,
                   int64_t now_ns) -> int:
        """Run all checks `count` times; returns how many passed. What the bench times."""
        cdef Intent intent
        cdef int i, passed = 0
        memset(&intent, 0, sizeof(intent))
        intent.instrument, intent.side, intent.price_ticks, intent.size_lots = instrument, side, price_ticks, size_lots
        with nogil:
            for i in range(count):
                intent.price_ticks = price_ticks - (i & 7)
                self.begin()
                passed += self.check(&intent, now_ns + i) == OK
        return passed

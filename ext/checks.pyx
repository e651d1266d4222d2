"""Every pre-trade check: may this order be sent? Answers with a reason, its value and its limit, and decides nothing else.

Checks run in cost order; the first that fails answers. Each writes down what it looks at before it compares (`note`), for the
DECISION record: in the raw, as the numbers stand there. Nothing is divided, rounded or allocated on the way of an order that
passes: products are compared in 128 bits, and only an explanation divides.

Three kinds of orders have more of a way out the nearer they are to it. New risk is held to everything. What a strategy marks
reduce-only skips proofs, caps of exposure and loss, and halts that allow reducing. Exits and protective orders of the desk itself
(records.Desk) skip halts, rates and a book that is unusable, too: they are bounded by the position, and in price by a reference.
Nothing skips the venue's own filters, the latches in NO_WAY_OUT, or the lease.

By coin, exposure is netted over venues; a "venue" is a purse: one wallet, and every market that is paid from it.
"""

from cython cimport final
from libc.stdint cimport int32_t, uint16_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from ext.book cimport SYNCED
from ext.equity cimport Pool, Worth
from ext.limits cimport AccountLimits, FlowLimits
from ext.orders cimport Exposure, tg_wide_lots
from ext.records cimport (ABOVE, AMEND, AMEND_RATE, AT_LEAST, AT_MOST, BELOW, BOOK_CROSSED, BOOK_ONE_SIDED, BOOK_STALE, BOOK_UNSYNCED, BUDGET_AMENDS,
                          BUDGET_ORDERS, BUY, CANCEL_RATE, CANCEL_RATIO, CLOCK, COIN, COOLDOWN, DAILY_LOSS, DAY_TRADES,
                          DESK_EXIT, DESK_PROTECT, DRAWDOWN, DUPLICATE, EQUITY_UNKNOWN, EXIT_PENDING, FOK, FUNDING_WINDOW,
                          HALTED, HALT_PHASE, INSTRUMENT, IOC, JUMP, LATCHED, LATCH_STOP, LATCH_STOPPING,
                          HOLDS, LEASE, LEG, LEVERAGE, LIMIT, LIQUIDATION_NEAR, LONG_LEG, MARGIN, MARKET, MULTIPLE, NOTIONAL_MAX,
                          LEGS, NET, NEW, NOTIONAL_MIN, NOT_ALLOWED, NO_REFERENCE, NUMBER, OFF_NOT, OK, OPEN_NOTIONAL, OPEN_ORDERS,
                          OPEN_TOTAL, OPEN_VENUE, ORDER_RATE, PHASE, POSITION, POSITION_LOSS, POST_ONLY, POST_ONLY_CROSS,
                          PRICE_COLLAR, PRICE_RANGE, PRICE_STEP, PRICE_WALK, PRIVATE_DOWN, RECONCILE_STALE, REDUCE_ONLY,
                          SELF_TRADE, SELL, SHORT_LEG, SIZE_MAX, SIZE_MIN, SIZE_STEP, SLIPPAGE, SPREAD, STOP_MARKET,
                          STRATEGY_OFF, TOTAL, TRADE_RATIO, TRIGGER, UNACKED, UNKNOWN_NOTIONAL, UNWATCHED, VENUE,
                          VENUE_RATE, VOLATILITY, WINDOW, CheckRow, DECISION_LEVELS, Level)
from ext.records import Reason, Sense
from ext.reference cimport Source

cdef extern from "exact.h":
    bint tg_exceeds(int64_t a, int64_t b, int64_t c, int64_t d) noexcept nogil
    int64_t tg_share(int64_t part, int64_t whole, int64_t of) noexcept nogil
    int64_t tg_plus(int64_t a, int64_t b) noexcept nogil
    bint tg_worth_more(tg_wide_lots worth, int64_t ticks, int64_t lots, int64_t mul, int64_t div, int64_t limit) noexcept nogil
    int64_t tg_worth_e8(tg_wide_lots worth, int64_t ticks, int64_t lots, int64_t mul, int64_t div) noexcept nogil
    int64_t tg_part(int64_t of, int64_t ppm) noexcept nogil
    int64_t tg_tick_lots(tg_wide_lots worth, int64_t ticks, int64_t lots) noexcept nogil
    bint tg_slips(tg_wide_lots cost, int64_t lots, int64_t mid2, int64_t ppm, int sign) noexcept nogil
    int64_t tg_slip_ppm(tg_wide_lots cost, int64_t lots, int64_t mid2, int sign) noexcept nogil
    bint tg_bound(int64_t equity, int64_t margin, int64_t leverage, int64_t more, int64_t ppm) noexcept nogil
    bint tg_near(int64_t equity, int64_t maintenance, int64_t gross, int64_t more, int64_t mppm, int64_t ppm) noexcept nogil
    int64_t tg_near_ppm(int64_t equity, int64_t maintenance, int64_t gross, int64_t more, int64_t mppm) noexcept nogil

# Latches that not even an exit passes: nobody would be there for its answer. A record that cannot be written, or a fault of ours in
# one place, is no reason to sit on a position in another.
cdef int NO_WAY_OUT = 1 << LATCH_STOPPING

cdef int64_t PPM = 1_000_000
cdef int64_t APART_PPM = 50_000          # two sources further apart than this: one of them is wrong, and nobody knows which
cdef int64_t MOST = <int64_t>1 << 47     # no price in ticks is larger
cdef enum:
    WALK_LEVELS = 64                     # of the book; what is behind them is valued at the order's own limit

cdef inline void note(CheckRow** at, int reason, int sense, int64_t value, int64_t limit, int64_t whole) noexcept nogil:
    """Write down a check that is about to be made. Each is made once at most of an order, so there is always room. The cursor is
    the caller's own: a counter in memory would make each of these wait for the one before it."""
    cdef CheckRow* row = at[0]
    row.value, row.limit, row.whole, row.reason, row.sense, row.pad = value, limit, whole, <uint16_t>reason, <uint16_t>sense, 0
    at[0] = row + 1



cdef class Checks:
    """What the gate knows and how it judges; `ext.risk` is the door. `books[i]` is the Book of instrument i (None where it has
    none). ValueError where there are more or fewer books than instruments."""

    def __cinit__(self, Instruments instruments, Orders orders, Account account, list books, Equity equity=None,
                  Reference reference=None):
        cdef int i, n = max(instruments.count, 1)
        if len(books) != instruments.count:
            raise ValueError(f"{len(books)} books for {instruments.count} instruments")
        self.instruments, self.orders, self.account = instruments, orders, account
        self.equity = Equity(instruments, orders, account) if equity is None else equity
        self.reference = Reference(instruments) if reference is None else reference
        self.lease_ns = -1
        self.books = [Book(i) if book is None else book for i, book in enumerate(books)]    # none: one never synced
        self.table = LimitTable(instruments.count, orders.capacity)
        self.limits = self.table.rows
        self.recent = <Recent*>calloc(2 * n, sizeof(Recent))
        self.book_rows = <void**>calloc(n, sizeof(void*))
        self.guards = <Guard*>calloc(n, sizeof(Guard))
        if not (self.recent and self.book_rows and self.guards):
            raise MemoryError()
        for i in range(instruments.count):
            self.book_rows[i] = <void*>self.books[i]
        self.budgets = Budgets(instruments.count)
        memset(self.markets, 0, sizeof(self.markets))
        self.throttle = Throttle(instruments.count)
        self.exit_ppm, self.window_kind, self.window_version = -1, -1, -1
        for i in range(instruments.count):
            orders.set_group(i, instruments.rows[i].market)

    def __dealloc__(self):
        free(self.recent)
        free(self.book_rows)
        free(self.guards)

    @final
    cdef bint may_send(self, const Intent* intent, int64_t now_ns) noexcept nogil:
        """The last look, at the socket: no latch that forbids it, and the lease still held."""
        cdef int latches = self.latches
        if intent.strategy <= DESK_EXIT:
            latches &= NO_WAY_OUT
        elif intent.reduce_only:
            latches &= ~(1 << LATCH_STOP)   # whether strategies may still reduce, the halts of that stop say
        return not latches and (self.lease_ns < 0 or now_ns < self.lease_ns)

    # ---- the checks ----

    @final
    cdef int begin(self) noexcept nogil:
        """Another intent: nothing was asked of it yet."""
        self.asked.count, self.asked.instrument, self.asked.low2, self.asked.high2 = 0, -1, 0, 0
        return 0

    @final
    cdef int explain(self, const Intent* intent, uint64_t order_id, DecisionRow* out) noexcept nogil:
        """What was asked of an intent, and the market that it met. To be read behind `out`: its checks, in `asked.rows`."""
        cdef Order* order
        memset(out, 0, sizeof(out[0]))
        out.order_id, out.checks = order_id, self.asked.count
        out.low2, out.high2, out.instrument = self.asked.low2, self.asked.high2, self.asked.instrument
        if out.instrument < 0:          # refused before any was looked at
            order = self.orders.find(intent.order_id) if intent.action != NEW else NULL
            out.instrument = order.instrument if order != NULL else intent.instrument
        if 0 <= out.instrument < self.instruments.count:
            self._show(<Book>self.book_rows[out.instrument], out)
        else:
            out.instrument = -1
        return self.begin()

    @final
    cdef int _show(self, Book book, DecisionRow* out) noexcept nogil:
        out.state, out.changed_ns, out.last_id = book.state, book.changed_ns, book.last_id
        out.bid_count = book.top(0, out.bids, DECISION_LEVELS)
        out.ask_count = book.top(1, out.asks, DECISION_LEVELS)
        return 0

    @final
    cdef int refuse(self, int reason, int64_t value, int64_t limit) noexcept nogil:
        """The check that was asked last says no, for this reason; its row tells the same."""
        cdef CheckRow* end = self.asked.rows + self.asked.count
        cdef CheckRow* last = end - 1
        self.value, self.limit = value, limit
        if self.asked.count and last.reason == reason:
            last.value, last.limit, last.whole = value, limit, 0
        else:
            note(&end, reason, HOLDS, value, limit, 0)
            self.asked.count += 1
        return reason

    @final
    cdef int check(self, const Intent* intent, int64_t now_ns) except -1 nogil:
        """All pre-trade checks on a new order; returns a Reason (OK = passed). Changes nothing but the explanation."""
        cdef Case case
        case.intent, case.now_ns, case.lots, case.least_ticks = intent, now_ns, intent.size_lots, 0
        case.own = intent.strategy == DESK_EXIT or intent.strategy == DESK_PROTECT
        case.risk = not intent.reduce_only
        case.adds = case.risk
        return self._check_all(&case)

    @final
    cdef int _check_all(self, Case* case) noexcept nogil:
        """In cost order; the first that fails answers."""
        cdef int reason
        case.at = self.asked.rows
        reason = self._check_may(case)
        if reason == OK:
            reason = self._check_guards(case)
        if reason == OK:
            reason = self._check_market(case, <Book>self.book_rows[case.intent.instrument])
        if reason == OK and case.risk:
            reason = self._check_calm(case)
        if reason == OK:
            reason = self._check_size(case)
        if reason == OK:
            reason = self._check_price(case)
        if reason == OK and not case.own:
            reason = self._check_open(case)
        if reason == OK:
            reason = self._check_position(case)
        if reason == OK and case.adds:
            reason = self._check_pools(case)
        if reason == OK and not case.own:
            reason = self._check_rate(case)
        if reason == OK:
            reason = self._check_venue(case)
        if reason == OK:
            self.asked.count = <int32_t>(case.at - self.asked.rows)
        return reason

    @final
    cdef int go(self, Case* case, CheckRow* at) noexcept nogil:
        """These checks say yes; the next ones write from here on."""
        case.at = at
        return OK

    @final
    cdef int stop(self, CheckRow* at, int reason, int64_t value, int64_t limit) noexcept nogil:
        """`refuse`, where what was asked so far ends at `at`."""
        self.asked.count = <int32_t>(at - self.asked.rows)
        return self.refuse(reason, value, limit)

    @final
    cdef int _check_may(self, Case* case) noexcept nogil:
        """Is it an order at all, and may anybody send it now?"""
        cdef CheckRow* at = case.at
        cdef const Intent* intent = case.intent
        note(&at, LATCHED, HOLDS, self.latches, 0, 0)
        if self.lease_ns >= 0:
            note(&at, LEASE, BELOW, case.now_ns - self.lease_ns, 0, 0)
        if not self.may_send(intent, case.now_ns):
            if self.latches:
                return self.stop(at, LATCHED, lowest(self.latches), 0)
            return self.stop(at, LEASE, case.now_ns - self.lease_ns, 0)
        if not 0 <= intent.instrument < self.instruments.count:
            return self.stop(at, INSTRUMENT, intent.instrument, self.instruments.count)
        self.asked.instrument = intent.instrument
        note(&at, NUMBER, HOLDS, intent.type, intent.tif, 0)
        if intent.side >> 1 or not 0 <= intent.type <= STOP_MARKET or intent.tif >> 2:  # no such thing
            return self.stop(at, NUMBER, intent.type, intent.tif)
        case.limit = &self.limits[intent.instrument]
        case.row = &self.instruments.rows[intent.instrument]
        note(&at, INSTRUMENT, HOLDS, case.limit.allowed, case.row.tradable, 0)
        if not (case.limit.allowed and case.row.tradable):
            return self.stop(at, INSTRUMENT, case.limit.allowed, case.row.tradable)
        if intent.strategy >= 0:
            note(&at, NOT_ALLOWED, HOLDS, intent.strategy, intent.instrument, 0)
            if not self.table.may_trade(intent.strategy, intent.instrument):
                return self.stop(at, NOT_ALLOWED, intent.strategy, intent.instrument)
            note(&at, STRATEGY_OFF, AT_MOST, self.why_off[intent.strategy], 0, 0)
            if self.why_off[intent.strategy] != OFF_NOT:
                return self.stop(at, STRATEGY_OFF, self.why_off[intent.strategy], 0)
        elif case.own and not (intent.reduce_only and (intent.type == STOP_MARKET if intent.strategy == DESK_PROTECT else
                                                       intent.type == LIMIT and (intent.tif == IOC or intent.tif == FOK))):
            return self.stop(at, NUMBER, intent.type, intent.tif)     # a way out is bounded in size and in price, always
        if intent.leg or self.markets[case.row.market].hedge:
            case.at = at
            return self._check_leg(case)
        return self.go(case, at)

    @final
    cdef int _check_leg(self, Case* case) noexcept nogil:
        """In hedge mode an order is of one leg, and one on the leg's closing side says that it reduces: which side closes is all
        that some venues go by. In one-way mode, and on spot, there are no legs."""
        cdef CheckRow* at = case.at
        cdef const Intent* intent = case.intent
        cdef bint opens
        note(&at, LEG, HOLDS, intent.leg, 0, 0)
        if not (self.markets[case.row.market].hedge and case.row.is_perpetual):
            return self.stop(at, LEG, intent.leg, 0) if intent.leg else self.go(case, at)
        if intent.leg != LONG_LEG and intent.leg != SHORT_LEG:
            return self.stop(at, LEG, intent.leg, SHORT_LEG)
        opens = (intent.side == BUY) == (intent.leg == LONG_LEG)
        return self.stop(at, LEG, intent.leg, SHORT_LEG) if opens == (intent.reduce_only != 0) else self.go(case, at)

    @final
    cdef int _check_guards(self, Case* case) noexcept nogil:
        """Is everything proven that must be: no halt, books reconciled, clock known, private stream alive, stops evaluated?"""
        cdef CheckRow* at = case.at
        cdef Guard* guard = &self.guards[case.intent.instrument]
        cdef MarketGuard* market = &self.markets[case.row.market]
        cdef int phase = 1 << HALT_PHASE
        if case.own:                    # immediate or cancel, or a stop: it would only be refused there
            note(&at, PHASE, AT_MOST, guard.reduce & phase, 0, 0)
            return self.stop(at, PHASE, 1 + (guard.stop & phase != 0), 0) if guard.reduce & phase else self.go(case, at)
        note(&at, HALTED, AT_MOST, guard.stop & ~phase, 0, 0)
        if guard.stop & ~phase:
            return self.stop(at, HALTED, lowest(guard.stop & ~phase), 0)
        if not guard.stop & phase and case.intent.type == LIMIT and case.intent.tif == POST_ONLY:
            phase = 0                   # makers may, where nobody else may
        note(&at, PHASE, AT_MOST, guard.reduce & phase, 0, 0)
        if guard.reduce & phase:
            return self.stop(at, PHASE, 1 + (guard.stop & phase != 0), 0)
        if not case.risk:
            return self.go(case, at)                   # a way out does not wait for proofs
        phase = guard.reduce & ~(1 << HALT_PHASE)
        note(&at, REDUCE_ONLY, AT_MOST, phase, 0, 0)
        if phase:
            return self.stop(at, REDUCE_ONLY, lowest(phase), 0)
        note(&at, COOLDOWN, AT_MOST, guard.cool_until_ns - case.now_ns, 0, 0)
        if case.now_ns < guard.cool_until_ns:
            return self.stop(at, COOLDOWN, guard.cool_until_ns - case.now_ns, 0)
        if self.reconcile_ns:
            note(&at, RECONCILE_STALE, AT_MOST, case.now_ns - guard.reconciled_ns, self.reconcile_ns, 0)
            if case.now_ns - guard.reconciled_ns > self.reconcile_ns:
                return self.stop(at, RECONCILE_STALE, case.now_ns - guard.reconciled_ns, self.reconcile_ns)
        if self.clock_ns:
            note(&at, CLOCK, AT_MOST, case.now_ns - market.clock_ns, self.clock_ns, 0)
            if case.now_ns - market.clock_ns > self.clock_ns:
                return self.stop(at, CLOCK, case.now_ns - market.clock_ns, self.clock_ns)
        if self.needs_private:
            note(&at, PRIVATE_DOWN, AT_LEAST, market.private_ok, 1, 0)
            if not market.private_ok:
                return self.stop(at, PRIVATE_DOWN, 0, 1)
        if self.watch_ns:
            note(&at, UNWATCHED, AT_MOST, case.now_ns - self.watched_ns, self.watch_ns, 0)
            if case.now_ns - self.watched_ns > self.watch_ns:
                return self.stop(at, UNWATCHED, case.now_ns - self.watched_ns, self.watch_ns)
        return self.go(case, at)

    @final
    cdef int _check_market(self, Case* case, Book book) noexcept nogil:
        """Is there a market that may be traded on, and what is a fair price? A way out needs a reference, not a book."""
        cdef CheckRow* at = case.at
        cdef Level bid, ask
        cdef int sources
        case.bid_ticks = case.ask_ticks = 0
        if not case.own:
            note(&at, BOOK_UNSYNCED, HOLDS, book.state, SYNCED, 0)
            note(&at, BOOK_STALE, AT_MOST, case.now_ns - book.changed_ns, case.limit.stale_ns, 0)
        if book.state != SYNCED:
            if not case.own:
                at -= 1        # how old it is was not asked
                return self.stop(at, BOOK_UNSYNCED, book.state, SYNCED)
        elif case.now_ns - book.changed_ns > case.limit.stale_ns:
            if not case.own:
                return self.stop(at, BOOK_STALE, case.now_ns - book.changed_ns, case.limit.stale_ns)
        elif book.bid.best < 0 or book.ask.best < 0:
            if not case.own:
                return self.stop(at, BOOK_ONE_SIDED, book.bid.count, book.ask.count)
        elif book.crossed():
            if not case.own:
                return self.stop(at, BOOK_CROSSED, 0, 0)
        else:
            book.best_bid(&bid)
            book.best_ask(&ask)
            case.bid_ticks, case.ask_ticks = bid.price_ticks, ask.price_ticks
            if not case.own:
                note(&at, BOOK_ONE_SIDED, HOLDS, book.bid.count, book.ask.count, 0)
                note(&at, BOOK_CROSSED, HOLDS, bid.price_ticks, ask.price_ticks, 0)
        sources = self.reference.around(case.intent.instrument, case.bid_ticks + case.ask_ticks, case.now_ns, &case.low2,
                                        &case.high2)
        note(&at, NO_REFERENCE, AT_LEAST, sources, 1, 0)
        if sources == 0:
            return self.stop(at, NO_REFERENCE, 0, 1)
        self.asked.low2, self.asked.high2 = case.low2, case.high2
        if case.low2 != case.high2 and not case.own:
            note(&at, NO_REFERENCE, AT_MOST, case.high2 - case.low2, APART_PPM, case.low2)
            if not tg_exceeds(case.high2 - case.low2, PPM, case.low2, APART_PPM):
                return self.go(case, at)
            return self.stop(at, NO_REFERENCE, tg_share(case.high2 - case.low2, case.low2, PPM), APART_PPM)
        return self.go(case, at)

    @final
    cdef int _check_calm(self, Case* case) noexcept nogil:
        """New risk in a quiet market only: spread, range, jumps, funding, time rules."""
        cdef CheckRow* at = case.at
        cdef const Limits* limit = case.limit
        cdef Source* row = &self.reference.rows[case.intent.instrument]
        cdef Guard* guard = &self.guards[case.intent.instrument]
        cdef int64_t mid2 = case.bid_ticks + case.ask_ticks, rate
        if limit.spread_ppm >= 0:
            note(&at, SPREAD, AT_MOST, 2 * (case.ask_ticks - case.bid_ticks), limit.spread_ppm, mid2)
            if tg_exceeds(2 * (case.ask_ticks - case.bid_ticks), PPM, mid2, limit.spread_ppm):
                return self.stop(at, SPREAD, tg_share(2 * (case.ask_ticks - case.bid_ticks), mid2, PPM), limit.spread_ppm)
        if limit.range_ppm >= 0:
            note(&at, VOLATILITY, AT_MOST, row.high2 - row.low2, limit.range_ppm, mid2)
            if tg_exceeds(row.high2 - row.low2, PPM, mid2, limit.range_ppm):
                return self.stop(at, VOLATILITY, tg_share(row.high2 - row.low2, mid2, PPM), limit.range_ppm)
        if limit.jump_ppm >= 0:
            note(&at, JUMP, AT_MOST, 0, limit.jump_ppm, 0)     # none that counts still
            if row.jumping or case.now_ns - row.jumped_ns < limit.jump_pause_ns:
                return self.stop(at, JUMP, tg_share(row.jumped_by2, row.jumped_from2, PPM), limit.jump_ppm)
        if limit.funding_ppm >= 0 and guard.funding_at_ns - limit.funding_ns <= case.now_ns < guard.funding_at_ns:
            rate = guard.funding_e8 if guard.funding_e8 > 0 else -guard.funding_e8
            note(&at, FUNDING_WINDOW, AT_MOST, rate, limit.funding_ppm, 100 * PPM)
            if rate > limit.funding_ppm * 100:
                return self.stop(at, FUNDING_WINDOW, (rate + 99) // 100, limit.funding_ppm)
        case.at = at
        return self._check_time(case)

    @final
    cdef int _check_time(self, Case* case) noexcept nogil:
        """Time rules, and round trips within a day."""
        cdef CheckRow* at = case.at
        cdef const FlowLimits* flow = &self.table.flow
        cdef int64_t trades
        if self.table.window_count:
            if self.window_version != self.table.version or case.now_ns >= self.window_until_ns:
                self.window_kind = self.table.window(case.now_ns, &self.window_until_ns)
                self.window_version = self.table.version
            note(&at, WINDOW, BELOW, self.window_kind, 0, 0)
            if self.window_kind >= 0:
                return self.stop(at, WINDOW, self.window_kind, 0)
        if flow.day_trades >= 0 and self._opens(case):
            self.throttle.roll(case.now_ns)
            trades = self.throttle.day_trades + self._trades_due(case)
            note(&at, DAY_TRADES, HOLDS, trades, flow.day_trades, 0)
            if trades > flow.day_trades and (
                    flow.day_trade_below_e8 < 0 or not self.equity.is_known()
                    or self.equity.equity_e8() < flow.day_trade_below_e8):
                return self.stop(at, DAY_TRADES, trades, flow.day_trades)
        return self.go(case, at)

    @final
    cdef bint _opens(self, Case* case) noexcept nogil:
        """May a position grow or turn by this order? Not where it closes, together with what else may on its side."""
        cdef const Exposure* open = &self.orders.exposure[case.intent.instrument]
        cdef int64_t lots = self.account.rows[case.intent.instrument].legs[<int>NET].lots
        if case.intent.leg != NET:      # in hedge mode, what closes says that it reduces
            return True
        if case.intent.side == BUY:
            return lots >= 0 or open.buy_lots - open.reduce_buy_lots + case.lots > -lots
        return lots <= 0 or open.sell_lots - open.reduce_sell_lots + case.lots > lots

    @final
    cdef int64_t _trades_due(self, Case* case) noexcept nogil:
        """Day trades to come, this order's included: all that was opened today, or that an open order may open, can be closed
        today, and nothing may keep it from that."""
        cdef int64_t due = 0
        cdef int i
        for i in range(self.instruments.count):
            due += self._due_of(case, i)
        return due

    @final
    cdef int64_t _due_of(self, Case* case, int instrument) noexcept nogil:
        """Of one instrument: each position counts one, and one that may be turned another one."""
        cdef const Exposure* open = &self.orders.exposure[instrument]
        cdef const int64_t* opened = self.throttle.opened + instrument * <int>LEGS
        cdef int64_t lots = self.account.rows[instrument].legs[<int>NET].lots
        cdef int64_t buys = open.buy_lots - open.reduce_buy_lots, sells = open.sell_lots - open.reduce_sell_lots
        cdef int own = case.intent.leg if instrument == case.intent.instrument else -1, leg, due = 0
        if own == NET and case.intent.side == BUY:
            buys += case.lots
        elif own == NET:
            sells += case.lots
        if self.markets[self.instruments.rows[instrument].market].hedge and self.instruments.rows[instrument].is_perpetual:
            for leg in range(<int>LONG_LEG, <int>LEGS):
                due += (own == leg or open.leg_lots[2 * leg + (BUY if leg == LONG_LEG else SELL)] > 0
                        or opened[leg] == self.throttle.day and self.account.rows[instrument].legs[leg].lots != 0)
            return due
        if lots > 0:
            return (opened[<int>NET] == self.throttle.day or buys > 0) + (sells > lots)
        if lots < 0:
            return (opened[<int>NET] == self.throttle.day or sells > 0) + (buys > -lots)
        return buys > 0 or sells > 0

    @final
    cdef int _check_size(self, Case* case) noexcept nogil:
        cdef CheckRow* at = case.at
        cdef const Instrument* row = case.row
        cdef int64_t size = case.intent.size_lots
        note(&at, SIZE_MIN, AT_LEAST, size, row.min_size_lots if row.min_size_lots > 1 else 1, 0)
        if size < 1 or size < row.min_size_lots:
            return self.stop(at, SIZE_MIN, size, row.min_size_lots if row.min_size_lots > 1 else 1)
        if not case.own:
            note(&at, SIZE_MAX, AT_MOST, size, case.limit.max_size_lots, 0)
            if size > case.limit.max_size_lots:
                return self.stop(at, SIZE_MAX, size, case.limit.max_size_lots)
        if row.max_size_lots:
            note(&at, SIZE_MAX, AT_MOST, size, row.max_size_lots, 0)
            if size > row.max_size_lots:
                return self.stop(at, SIZE_MAX, size, row.max_size_lots)
        if row.max_market_lots and case.intent.type != LIMIT:
            note(&at, SIZE_MAX, AT_MOST, size, row.max_market_lots, 0)
            if size > row.max_market_lots:
                return self.stop(at, SIZE_MAX, size, row.max_market_lots)
        if row.lot_step != 1:
            note(&at, SIZE_STEP, MULTIPLE, size, row.lot_step, 0)
            if size % row.lot_step:
                return self.stop(at, SIZE_STEP, size, row.lot_step)
        return self.go(case, at)

    @final
    cdef int _check_price(self, Case* case) noexcept nogil:
        """Venue's price filter, collar around the reference, slippage, notional. A market order is valued at the worst price that
        it would reach, and must find its size in the book."""
        cdef CheckRow* at = case.at
        cdef const Intent* intent = case.intent
        cdef const Instrument* row = case.row
        cdef int64_t price = intent.price_ticks, found, cost, mid2 = case.bid_ticks + case.ask_ticks
        cdef int reason
        if intent.type == STOP_MARKET:
            price = intent.trigger_ticks
            case.at = at
            if self._check_trigger(case):
                return TRIGGER
            at = case.at
        elif intent.type == MARKET:
            found = (<Book>self.book_rows[intent.instrument]).fill(intent.side, intent.size_lots, &price, &cost)
            note(&at, SIZE_MAX, AT_MOST, intent.size_lots, found, 0)
            if found < intent.size_lots:
                return self.stop(at, SIZE_MAX, intent.size_lots, found)
        note(&at, PRICE_RANGE, AT_LEAST, price, row.min_price_ticks if row.min_price_ticks > 1 else 1, 0)
        if price < 1 or price < row.min_price_ticks:
            return self.stop(at, PRICE_RANGE, price, row.min_price_ticks)
        note(&at, PRICE_RANGE, AT_MOST, price, row.max_price_ticks if row.max_price_ticks else MOST, 0)
        if price > (row.max_price_ticks if row.max_price_ticks else MOST):
            return self.stop(at, PRICE_RANGE, price, row.max_price_ticks)
        if row.tick_step != 1 and intent.type != MARKET:
            note(&at, PRICE_STEP, MULTIPLE, price, row.tick_step, 0)
            if price % row.tick_step:
                return self.stop(at, PRICE_STEP, price, row.tick_step)
        case.price_ticks = price
        if intent.type != STOP_MARKET:
            if row.up_ppm and intent.type == LIMIT:
                mid2 = mid2 if mid2 else case.low2
                note(&at, PRICE_RANGE, HOLDS, price, mid2 // 2, 0)
                if tg_exceeds(2 * price - mid2, PPM, mid2, row.up_ppm) or tg_exceeds(mid2 - 2 * price, PPM, mid2, row.down_ppm):
                    return self.stop(at, PRICE_RANGE, price, mid2 // 2)
            case.at = at
            reason = self._check_collar(case)
            if reason:
                return reason
            at = case.at
            if intent.tif == POST_ONLY:
                note(&at, POST_ONLY_CROSS, BELOW if intent.side == BUY else ABOVE, price,
                    case.ask_ticks if intent.side == BUY else case.bid_ticks, 0)
                if price >= case.ask_ticks if intent.side == BUY else price <= case.bid_ticks:
                    return self.stop(at, POST_ONLY_CROSS, price, case.ask_ticks if intent.side == BUY else case.bid_ticks)
            if case.limit.slippage_ppm >= 0 and not case.own and (
                    price >= case.ask_ticks if intent.side == BUY else price <= case.bid_ticks):
                case.at = at
                reason = self._check_slippage(case)
                if reason:
                    return reason
                at = case.at
        case.at = at
        return self._check_notional(case)

    @final
    cdef int _check_trigger(self, Case* case) noexcept nogil:
        """A stop protects: it only ever reduces, and its trigger is on the far side of the market, or it would fire at once.
        It is valued at its trigger."""
        cdef CheckRow* at = case.at
        cdef const Intent* intent = case.intent
        cdef int64_t bid = case.bid_ticks, ask = case.ask_ticks
        if bid == 0:                    # no book: the reference
            bid, ask = (case.low2 + 1) >> 1, case.high2 >> 1
        if not intent.reduce_only:
            return self.stop(at, TRIGGER, 0, 1)
        note(&at, TRIGGER, ABOVE if intent.side == BUY else BELOW, intent.trigger_ticks,
            ask if intent.side == BUY else bid, 0)
        if intent.trigger_ticks < 1 or (intent.trigger_ticks <= ask if intent.side == BUY else intent.trigger_ticks >= bid):
            return self.stop(at, TRIGGER, intent.trigger_ticks, ask if intent.side == BUY else bid)
        return self.go(case, at)

    @final
    cdef int _check_collar(self, Case* case) noexcept nogil:
        """How far from the reference, and from where it was a while ago. Of two sources an order must be near both; a way out
        near one of them."""
        cdef CheckRow* at = case.at
        cdef int64_t price2 = 2 * case.price_ticks, ppm = case.limit.collar_ppm, upper = case.low2, lower = case.high2, walk2
        if case.own:
            upper, lower = case.high2, case.low2
            ppm = self.exit_ppm if self.exit_ppm >= 0 else ppm
        note(&at, PRICE_COLLAR, AT_MOST, price2 - upper, ppm, upper)
        if tg_exceeds(price2 - upper, PPM, upper, ppm):
            return self.stop(at, PRICE_COLLAR, tg_share(price2 - upper, upper, PPM), ppm)
        note(&at, PRICE_COLLAR, AT_MOST, lower - price2, ppm, lower)
        if tg_exceeds(lower - price2, PPM, lower, ppm):
            return self.stop(at, PRICE_COLLAR, tg_share(lower - price2, lower, PPM), ppm)
        if case.limit.walk_ppm >= 0 and case.risk:
            walk2 = self.reference.rows[case.intent.instrument].walk2
            if walk2 == 0:
                return self.stop(at, NO_REFERENCE, 0, 1)
            upper = price2 - walk2 if price2 > walk2 else walk2 - price2
            note(&at, PRICE_WALK, AT_MOST, upper, case.limit.walk_ppm, walk2)
            if tg_exceeds(upper, PPM, walk2, case.limit.walk_ppm):
                return self.stop(at, PRICE_WALK, tg_share(upper, walk2, PPM), case.limit.walk_ppm)
        return self.go(case, at)

    @final
    cdef int _check_slippage(self, Case* case) noexcept nogil:
        """It would take: what does it pay on average, walking the book as it is now, against the reference?"""
        cdef CheckRow* at = case.at
        cdef Level levels[WALK_LEVELS]
        cdef tg_wide_lots cost = 0
        cdef int64_t left = case.lots, here, mid2
        cdef int i, side = case.intent.side, sign = 1 if side == BUY else -1
        cdef int count = (<Book>self.book_rows[case.intent.instrument]).top(1 - side, levels, WALK_LEVELS)
        for i in range(count):
            if left == 0 or (levels[i].price_ticks - case.price_ticks) * sign > 0:
                break
            here = min(left, levels[i].size_lots)
            cost += <tg_wide_lots>levels[i].price_ticks * here
            left -= here
        else:
            if count == WALK_LEVELS:
                cost += <tg_wide_lots>case.price_ticks * left
                left = 0
        mid2 = case.low2 if side == BUY else case.high2
        if case.lots > left:
            note(&at, SLIPPAGE, AT_MOST, tg_slip_ppm(cost, case.lots - left, mid2, sign), case.limit.slippage_ppm, 0)
            if tg_slips(cost, case.lots - left, mid2, case.limit.slippage_ppm, sign):
                return self.stop(at, SLIPPAGE, tg_slip_ppm(cost, case.lots - left, mid2, sign), case.limit.slippage_ppm)
        return self.go(case, at)

    @final
    cdef int _check_notional(self, Case* case) noexcept nogil:
        cdef CheckRow* at = case.at
        cdef const Instrument* row = case.row
        cdef int64_t notional = self.instruments.notional_e8(case.intent.instrument, case.price_ticks, case.intent.size_lots)
        if notional < 0:
            return self.stop(at, NUMBER, case.intent.size_lots, 0)
        if case.risk:
            note(&at, NOTIONAL_MIN, AT_LEAST, notional, row.min_notional_e8, 0)
            if notional < row.min_notional_e8:
                return self.stop(at, NOTIONAL_MIN, notional, row.min_notional_e8)
        if not case.own:
            note(&at, NOTIONAL_MAX, AT_MOST, notional, case.limit.max_notional_e8, 0)
            if notional > case.limit.max_notional_e8:
                return self.stop(at, NOTIONAL_MAX, notional, case.limit.max_notional_e8)
        if row.max_notional_e8:
            note(&at, NOTIONAL_MAX, AT_MOST, notional, row.max_notional_e8, 0)
            if notional > row.max_notional_e8:
                return self.stop(at, NOTIONAL_MAX, notional, row.max_notional_e8)
        case.notional_e8 = notional
        return self.go(case, at)

    # ---- against what there is of ours ----

    @final
    cdef int _check_open(self, Case* case) noexcept nogil:
        """Our own open orders: would it meet one, how many are there, and what are they worth?"""
        cdef CheckRow* at = case.at
        cdef const Intent* intent = case.intent
        cdef const Instrument* row = case.row
        cdef Exposure* exposure = &self.orders.exposure[intent.instrument]
        cdef int64_t other, most = self.table.account.max_open_orders, price = max(case.price_ticks, case.least_ticks)
        if intent.type != STOP_MARKET:
            other = self.orders.best(intent.instrument, 1 - intent.side)
            note(&at, SELF_TRADE, (BELOW if intent.side == BUY else ABOVE) if other else HOLDS, case.price_ticks, other, 0)
            if other and (case.price_ticks >= other if intent.side == BUY else case.price_ticks <= other):
                return self.stop(at, SELF_TRADE, case.price_ticks, other)
        if intent.action != AMEND:
            note(&at, OPEN_ORDERS, BELOW, exposure.open_orders, case.limit.max_open_orders, 0)
            if exposure.open_orders >= case.limit.max_open_orders:
                return self.stop(at, OPEN_ORDERS, exposure.open_orders, case.limit.max_open_orders)
            if most >= 0:
                note(&at, OPEN_TOTAL, BELOW, self.orders.open_total, most, 0)
            if 0 <= most <= self.orders.open_total:
                return self.stop(at, OPEN_TOTAL, self.orders.open_total, most)
        most = case.limit.max_open_notional_e8
        if most < 0 or not case.adds:
            return self.go(case, at)
        note(&at, OPEN_NOTIONAL, AT_MOST, tg_tick_lots(exposure.worth, price, case.lots), most, -1)
        if tg_worth_more(exposure.worth, price, case.lots, row.money_mul, row.money_div, most):
            return self.stop(at, OPEN_NOTIONAL, tg_worth_e8(exposure.worth, price, case.lots, row.money_mul, row.money_div), most)
        return self.go(case, at)

    @final
    cdef int _check_position(self, Case* case) noexcept nogil:
        """Position as if every order of ours on that side filled, this one included. Where the venue keeps reduce-only orders from
        turning a position, together they end at flat at most, and one may be as large as what the others leave."""
        cdef CheckRow* at = case.at
        cdef const Intent* intent = case.intent
        cdef Exposure* exposure = &self.orders.exposure[intent.instrument]
        cdef bint buys = intent.side == BUY
        cdef int64_t held = self.account.rows[intent.instrument].lots    # what this side takes from
        cdef int64_t most = case.limit.max_position_lots, others, reduce, exits, worst, before
        if not case.row.is_perpetual:
            case.at = at
            return self._check_spot(case)
        if intent.leg:
            held = self.account.rows[intent.instrument].legs[intent.leg].lots
        held = -held if buys else held
        exits = exposure.exit_buy_lots if buys else exposure.exit_sell_lots
        reduce = exposure.reduce_buy_lots if buys else exposure.reduce_sell_lots
        others = (exposure.buy_lots if buys else exposure.sell_lots) - reduce
        if intent.reduce_only:
            if intent.type == STOP_MARKET:      # protection rests beside other exits: one of them will find less left
                note(&at, POSITION, AT_MOST, case.lots - held, 0, 0)
                return self.stop(at, POSITION, case.lots - held, 0) if case.lots > held else self.go(case, at)
            note(&at, POSITION, AT_MOST, case.lots + exits - held, 0, 0)
            if case.lots + exits > held:
                if exits and case.own:
                    return self.stop(at - 1, EXIT_PENDING, case.lots, held - exits)
                return self.stop(at, POSITION, case.lots + exits - held, 0)
            if intent.leg:
                return self.go(case, at)
            before = others - held + min(reduce, held)
            worst = others - held + min(reduce + case.lots, held)
            note(&at, POSITION, HOLDS, worst, most, 0)
            return self.stop(at, POSITION, worst, most) if worst > most and worst > before else self.go(case, at)
        if not case.adds:
            return self.go(case, at)
        worst = others + case.lots + (exposure.foreign_buy_lots if buys else exposure.foreign_sell_lots)
        if intent.leg:                          # each leg has the limit, so that both together are within it whatever fills
            worst += -held
        else:
            worst += self.equity.taken(intent.instrument, intent.side) - held
        note(&at, POSITION, AT_MOST, worst, most, 0)
        return self.stop(at, POSITION, worst, most) if worst > most else self.go(case, at)

    @final
    cdef int _check_spot(self, Case* case) noexcept nogil:
        """Venues have no reduce-only on spot, so it is kept here: everything of ours on that side counts in full, stops too: two
        that both trigger would turn the position."""
        cdef CheckRow* at = case.at
        cdef const Intent* intent = case.intent
        cdef Exposure* exposure = &self.orders.exposure[intent.instrument]
        cdef bint buys = intent.side == BUY
        cdef int64_t lots = self.account.rows[intent.instrument].lots if buys else -self.account.rows[intent.instrument].lots
        cdef int64_t most = 0 if intent.reduce_only else case.limit.max_position_lots    # never through flat
        cdef int64_t worst = lots + case.lots
        if not case.risk or case.adds:
            worst += exposure.buy_lots if buys else exposure.sell_lots
            if case.risk:                       # what others have open here could fill too; our way out does not wait for it
                worst += exposure.foreign_buy_lots if buys else exposure.foreign_sell_lots
            note(&at, POSITION, AT_MOST, worst, most, 0)
            if worst > most:
                if case.own and intent.type != STOP_MARKET and lots + case.lots <= 0:
                    return self.stop(at - 1, EXIT_PENDING, case.lots, case.lots - worst)
                return self.stop(at, POSITION, worst, most)
        return self.go(case, at)

    @final
    cdef int _check_pools(self, Case* case) noexcept nogil:
        """Worst-case notional by coin, venue and in all, valued at the dearer of its price and the market's. An order that adds
        nothing to the worst case of its instrument adds nothing to a sum."""
        cdef CheckRow* at = case.at
        cdef const AccountLimits* account = &self.table.account
        cdef Worth* worth = &self.equity.rows[case.intent.instrument]
        cdef Pool* pool
        cdef int64_t price = max(max(case.price_ticks, case.least_ticks), worth.ticks), add, far, worst, more
        if price == case.price_ticks and case.lots == case.intent.size_lots:
            add = case.notional_e8
        else:
            add = self.instruments.notional_e8(case.intent.instrument, price, case.lots)
            if add < 0:
                return self.stop(at, NUMBER, case.lots, 0)
        add = self.equity._in_own(case.intent.instrument, add, 1)
        far = tg_plus(worth.long_e8, add) if case.intent.side == BUY else tg_plus(-worth.short_e8, add)
        more = add if case.intent.leg else tg_plus(max(far, worth.gross_e8), -worth.gross_e8)
        if account.max_coin_e8 >= 0:
            worst = far
            if worth.coin >= 0:
                pool = &self.equity.coins[worth.coin]
                worst = tg_plus(pool.long_e8 if case.intent.side == BUY else -pool.short_e8, add)
            note(&at, COIN, AT_MOST, worst, account.max_coin_e8, 0)
            if worst > account.max_coin_e8:
                return self.stop(at, COIN, worst, account.max_coin_e8)
        if more > 0:
            worst = tg_plus(self.equity.purses[worth.purse].gross_e8, more)
            if account.max_venue_e8 >= 0:
                note(&at, VENUE, AT_MOST, worst, account.max_venue_e8, 0)
            if 0 <= account.max_venue_e8 < worst:
                return self.stop(at, VENUE, worst, account.max_venue_e8)
            worst = tg_plus(self.equity.total.gross_e8, more)
            if account.max_total_e8 >= 0:
                note(&at, TOTAL, AT_MOST, worst, account.max_total_e8, 0)
            if 0 <= account.max_total_e8 < worst:
                return self.stop(at, TOTAL, worst, account.max_total_e8)
        case.at = at
        return self._check_equity(case, more)

    @final
    cdef int _check_equity(self, Case* case, int64_t more) noexcept nogil:
        """Losses, and what the account has for `more` worst-case notional (1e-8)."""
        cdef CheckRow* at = case.at
        cdef const AccountLimits* account = &self.table.account
        cdef int64_t most = case.limit.max_loss_e8, loss = -self.equity.rows[case.intent.instrument].open_e8, equity
        if most >= 0:
            note(&at, POSITION_LOSS, AT_MOST, loss, most, 0)
            if loss > most:
                return self.stop(at, POSITION_LOSS, loss, most)
        if (account.max_leverage_milli & account.margin_free_ppm & account.liquidation_ppm & account.max_daily_loss_e8
                & account.max_drawdown_ppm) == -1:
            return self.go(case, at)                           # -1 each: none of them is asked for
        note(&at, EQUITY_UNKNOWN, AT_LEAST, self.equity.is_known(), 1, 0)
        if not self.equity.is_known():
            return self.stop(at, EQUITY_UNKNOWN, 0, 1)
        equity = self.equity.equity_e8()
        most = account.max_daily_loss_e8
        if most >= 0:
            note(&at, DAILY_LOSS, AT_MOST, self.equity.day_e8 - equity, most, 0)
            if self.equity.day_e8 - equity > most:
                return self.stop(at, DAILY_LOSS, self.equity.day_e8 - equity, most)
        most = account.max_drawdown_ppm
        if most >= 0:
            note(&at, DRAWDOWN, AT_MOST, self.equity.peak_e8 - equity, most, max(self.equity.peak_e8, 1))
        if most >= 0 and tg_exceeds(self.equity.peak_e8 - equity, PPM, self.equity.peak_e8, most):
            return self.stop(at, DRAWDOWN, tg_share(self.equity.peak_e8 - equity, self.equity.peak_e8, PPM), most)
        if more <= 0:
            return self.go(case, at)
        most = account.max_leverage_milli
        if most >= 0:
            note(&at, LEVERAGE, AT_MOST, tg_plus(self.equity.total.gross_e8, more), most, max(equity, 1))
        if most >= 0 and tg_exceeds(tg_plus(self.equity.total.gross_e8, more), 1000, equity, most):
            return self.stop(at, LEVERAGE, tg_share(tg_plus(self.equity.total.gross_e8, more), equity, 1000), most)
        case.at = at
        return self._check_margin(case, more)

    @final
    cdef int _check_margin(self, Case* case, int64_t more) noexcept nogil:
        """Of the purse that it is paid from: equity that is not bound as margin, and the distance to liquidation."""
        cdef CheckRow* at = case.at
        cdef const AccountLimits* account = &self.table.account
        cdef Worth* worth = &self.equity.rows[case.intent.instrument]
        cdef Pool* pool = &self.equity.purses[worth.purse]
        cdef int64_t equity = self.equity.purse_e8(worth.purse), leverage = max(worth.leverage, 1), most
        most = account.margin_free_ppm
        if most >= 0:
            note(&at, MARGIN, AT_LEAST, equity - pool.margin_e8 - more // leverage, most, max(equity, 1))
        if most >= 0 and tg_bound(equity, pool.margin_e8, leverage, more, most):
            return self.stop(at, MARGIN, tg_share(equity - pool.margin_e8 - more // leverage, equity, PPM), most)
        most = account.liquidation_ppm
        if most < 0 or not case.row.is_perpetual:
            return self.go(case, at)
        note(&at, LIQUIDATION_NEAR, AT_LEAST, equity - pool.maintenance_e8 - tg_part(more, worth.maintenance_ppm), most,
            max(tg_plus(pool.perpetual_e8, more), 1))
        if tg_near(equity, pool.maintenance_e8, pool.perpetual_e8, more, worth.maintenance_ppm, most):
            return self.stop(at, LIQUIDATION_NEAR, tg_near_ppm(equity, pool.maintenance_e8, pool.perpetual_e8, more,
                                                             worth.maintenance_ppm), most)
        return self.go(case, at)

    # ---- how often ----

    @final
    cdef int _check_rate(self, Case* case) noexcept nogil:
        """Duplicate guard; the order that is as many back as the rate allows must be a whole window old. Too many cancels never
        hold back a cancel, but new risk."""
        cdef CheckRow* at = case.at
        cdef const Intent* intent = case.intent
        cdef const FlowLimits* flow = &self.table.flow
        cdef int64_t since
        if case.limit.duplicate_ns and intent.action != AMEND:
            since = self._since_same(intent, case.now_ns, case.limit.duplicate_ns)
            note(&at, DUPLICATE, AT_LEAST, since, case.limit.duplicate_ns, 0)
            if since < case.limit.duplicate_ns:
                return self.stop(at, DUPLICATE, since, case.limit.duplicate_ns)
        if intent.action == AMEND:
            since = self.throttle.since_amend(case.now_ns)
            note(&at, AMEND_RATE if flow.amends >= 0 else ORDER_RATE, AT_LEAST, since, flow.window_ns, 0)
            if since < flow.window_ns:
                return self.stop(at, AMEND_RATE if flow.amends >= 0 else ORDER_RATE, since, flow.window_ns)
        else:
            since = self.throttle.since_order(case.now_ns)
            note(&at, ORDER_RATE, AT_LEAST, since, flow.window_ns, 0)
            if since < flow.window_ns:
                return self.stop(at, ORDER_RATE, since, flow.window_ns)
        if not case.risk:
            return self.go(case, at)
        if flow.cancels >= 0:
            since = self.throttle.since_cancel(case.now_ns)
            note(&at, CANCEL_RATE, AT_LEAST, since, flow.window_ns, 0)
            if since < flow.window_ns:
                return self.stop(at, CANCEL_RATE, since, flow.window_ns)
        if flow.cancel_ratio_milli >= 0:
            self.throttle.advance(case.now_ns)
            note(&at, CANCEL_RATIO, AT_MOST, self.throttle.flow.ones, flow.cancel_ratio_milli, max(self.throttle.flow.twos, 1))
            if self.throttle.flow.ones * 1000 > flow.cancel_ratio_milli * max(self.throttle.flow.twos, 1):
                return self.stop(at, CANCEL_RATIO, self.throttle.flow.ones * 1000 // max(self.throttle.flow.twos, 1), flow.cancel_ratio_milli)
        if flow.trade_ratio_milli >= 0:
            self.throttle.roll(case.now_ns)
            note(&at, TRADE_RATIO, AT_MOST, self.throttle.day_orders + 1, flow.trade_ratio_milli,
                max(self.throttle.day_fills, 1))
            if (self.throttle.day_orders + 1) * 1000 > flow.trade_ratio_milli * max(self.throttle.day_fills, 1):
                return self.stop(at, TRADE_RATIO, (self.throttle.day_orders + 1) * 1000 // max(self.throttle.day_fills, 1),
                                   flow.trade_ratio_milli)
        return self.go(case, at)

    @final
    cdef int64_t _since_same(self, const Intent* intent, int64_t now_ns, int64_t within_ns) noexcept nogil:
        """How long ago an order of the same side, price and size passed, among the last few; `within_ns` where none did."""
        cdef Recent* last = &self.recent[2 * intent.instrument + intent.side]
        cdef int i, at
        for i in range(RECENT):
            at = (last.at - i) & (RECENT - 1)
            if not last.at_ns[at] or now_ns - last.at_ns[at] >= within_ns:
                break
            if last.price_ticks[at] == intent.price_ticks and last.size_lots[at] == intent.size_lots:
                return now_ns - last.at_ns[at]
        return within_ns

    @final
    cdef int remember(self, const Intent* intent, int64_t now_ns) noexcept nogil:
        """An order passed: the same again is a duplicate for a while."""
        cdef Recent* last = &self.recent[2 * intent.instrument + intent.side]
        last.at = (last.at + 1) & (RECENT - 1)
        last.price_ticks[last.at], last.size_lots[last.at], last.at_ns[last.at] = intent.price_ticks, intent.size_lots, now_ns
        return 0

    @final
    cdef int _check_venue(self, Case* case) noexcept nogil:
        """What the venue itself allows of requests in the air, open orders and requests in a time. A way out waits only where the
        venue said that it takes nothing, or has no room."""
        cdef CheckRow* at = case.at
        cdef const Intent* intent = case.intent
        cdef const Instrument* row = case.row
        cdef Exposure* exposure = &self.orders.exposure[intent.instrument]
        cdef int64_t wait
        if exposure.unknown_lots and case.risk:
            note(&at, UNKNOWN_NOTIONAL, AT_MOST, exposure.unknown_lots + case.lots, case.limit.max_size_lots, 0)
            if exposure.unknown_lots + case.lots > case.limit.max_size_lots:
                return self.stop(at, UNKNOWN_NOTIONAL, exposure.unknown_lots + case.lots, case.limit.max_size_lots)
        if self.max_unacked and not case.own:
            note(&at, UNACKED, BELOW, self.orders.unacked[row.market], self.max_unacked, 0)
            if self.orders.unacked[row.market] >= self.max_unacked:
                return self.stop(at, UNACKED, self.orders.unacked[row.market], self.max_unacked)
        if row.max_orders and intent.action != AMEND:
            note(&at, OPEN_VENUE, BELOW, exposure.open_orders, row.max_orders, 0)
            if exposure.open_orders >= row.max_orders:
                return self.stop(at, OPEN_VENUE, exposure.open_orders, row.max_orders)
        if case.own:
            wait = self.budgets.blocked_ns[row.market] - case.now_ns
        else:
            wait = self.budgets.wait_ns(row.market, intent.instrument, BUDGET_AMENDS if intent.action == AMEND
                                        else BUDGET_ORDERS, case.now_ns)
        note(&at, VENUE_RATE, AT_MOST, wait, 0, 0)
        if wait > 0:
            return self.stop(at, VENUE_RATE, wait, 0)
        return self.go(case, at)

    # ---- what the engine tells ----

    @final
    cdef bint on_fill(self, int strategy, int instrument, int leg, int side, int moved, int64_t made_ns,
                      int64_t now_ns) noexcept nogil:
        """An order of ours filled (Throttle.on_fill). True where its strategy must be switched off for that, and is not yet."""
        return (self.throttle.on_fill(strategy, instrument, leg, side, moved, made_ns, now_ns)
                and self.why_off[strategy] == OFF_NOT)

    @final
    cdef int on_funding(self, int instrument, int64_t rate_e8, int64_t next_ns) noexcept nogil:
        """The rate of a perpetual that is paid next, in 1e-8 of the notional, and when."""
        self.guards[instrument].funding_e8, self.guards[instrument].funding_at_ns = rate_e8, next_ns
        return 0

    @final
    cdef int cool(self, int instrument, int64_t until_ns) noexcept nogil:
        """A stop fired here: no new risk before this time."""
        self.guards[instrument].cool_until_ns = max(self.guards[instrument].cool_until_ns, until_ns)
        return 0

    # ---- for Python: tests ----

    def last_asked(self) -> list:
        """The checks that the last intent was asked, in order: {reason, sense, value, limit, whole} each (records.CheckRow)."""
        cdef int i
        cdef CheckRow* row
        out = []
        for i in range(self.asked.count):
            row = &self.asked.rows[i]
            out.append({"reason": Reason(row.reason).name, "sense": Sense(row.sense).name, "value": row.value,
                        "limit": row.limit, "whole": row.whole})
        return out

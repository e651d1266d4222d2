"""Intent -> Approved, or refused with a reason, its value and its limit.

The only door to the wire: nothing else can make an `Approved`, and nothing but an `Approved` can be encoded. Checks run
in cost order, cheap and absolute ones first; the first that fails answers. Position is checked as worst case: as if
everything of ours that is not terminal - in flight, UNKNOWN and both sides of an amend included - filled on one side, and
what others have open on the account too. Cancels always pass.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memset

from ext.book cimport SYNCED
from ext.limits cimport STRATEGIES_MAX
from ext.orders cimport Exposure
from ext.records cimport (AMEND, AMENDING, BOOK_CROSSED, BOOK_ONE_SIDED, BOOK_STALE, BOOK_UNSYNCED, BUDGET_AMENDS,
                          BUDGET_CANCELS, BUDGET_ORDERS, BUY, CANCEL, CLOCK, DESK_EXIT, DUPLICATE, FILLED, FREE, HALTED,
                          HALTS, INSTRUMENT, LATCHED, LATCHES, LATCH_ENCODE, LATCH_FAULT, LATCH_OPERATOR, LATCH_STOPPING,
                          LATCH_TAPE, LEASE, LEG, LIMIT, LIVE, LONG_LEG, MARKET, NEW, NOTIONAL_MAX, NOTIONAL_MIN, NUMBER, OK, OPEN_ORDERS,
                          OPEN_VENUE, ORDER_RATE, PARTIAL, POSITION, POST_ONLY, POST_ONLY_CROSS, PRICE_COLLAR, PRICE_RANGE,
                          PRICE_STEP, PRIVATE_DOWN, REASONS, RECONCILE_STALE, REDUCE_ONLY, REPLACE, SELL, SHORT_LEG, SIZE_MAX, SIZE_MIN,
                          SIZE_STEP, STOP_MARKET, TABLE_FULL, TRIGGER, UNACKED, UNKNOWN_NOTIONAL, UNKNOWN_ORDER,
                          VENUE_RATE, Level, mint)
from ext.wire cimport BATCH_MAX
from ext.records import HaltReason, Reason

# Latches that not even an exit passes: the record, our own code or the process itself is not to be trusted.
cdef int NO_WAY_OUT = 1 << LATCH_TAPE | 1 << LATCH_ENCODE | 1 << LATCH_FAULT | 1 << LATCH_STOPPING

cdef int64_t NEVER_NS = -(<int64_t>1 << 61)


cdef class RiskGate:
    """The gate over all instruments. `books[i]` is the Book of instrument i (None where it has none)."""

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
        self.approved = mint()
        self.pool = [mint() for i in range(BATCH_MAX)]
        self.budgets = Budgets(instruments.count)
        memset(self.markets, 0, sizeof(self.markets))
        self.rate_last_ns = NEVER_NS
        self.set_rate(0, 1)

    def __dealloc__(self):
        free(self.recent)
        free(self.book_rows)
        free(self.guards)
        free(self.rate_times)

    # ---- configuration ----

    def set_limits(self, int instrument, **limits):
        """Set the limits of one instrument and allow it: `LimitTable.set_limits`."""
        self.table.set_limits(instrument, **limits)

    def set_account(self, **limits):
        """Limits over everything: `LimitTable.set_account`."""
        self.table.set_account(**limits)

    def set_rate(self, orders, window_ns, amends=-1, cancels=-1):
        """At most `orders` new orders in any `window_ns`, so many amends and cancels (-1: amends count as orders, cancels not at
        all). A change starts with a full window: no second burst."""
        cdef int64_t i
        self.table.set_rate(orders, window_ns, amends, cancels)
        cdef int64_t* times = <int64_t*>calloc(max(orders, 1), sizeof(int64_t))
        if times == NULL:
            raise MemoryError()
        for i in range(orders):
            times[i] = self.rate_last_ns
        free(self.rate_times)
        self.rate_times, self.rate_orders, self.rate_window_ns, self.rate_at = times, orders, window_ns, 0

    def set_flow(self, **limits):
        """Cancels to fills, orders to trades: `LimitTable.set_flow`."""
        self.table.set_flow(**limits)

    def set_repeat(self, **limits):
        """Repeated fills and round trips of a strategy: `LimitTable.set_repeat`."""
        self.table.set_repeat(**limits)

    def set_windows(self, windows):
        """Time rules: `LimitTable.set_windows`."""
        self.table.set_windows(windows)

    def set_day_trades(self, max, days, below_e8):
        """Round trips within a day: `LimitTable.set_day_trades`."""
        self.table.set_day_trades(max, days, below_e8)

    def allow(self, strategy, int instrument, bint allowed):
        """The list of a strategy: `LimitTable.allow`."""
        self.table.allow(strategy, instrument, allowed)

    def strategy_off(self, int strategy, int why):
        """Nothing new of this strategy for a StrategyOff, until a human calls `strategy_on`."""
        self._strategy(strategy)
        if not 0 < why < 64:
            raise ValueError(f"strategy {strategy}: off for {why}: must be a StrategyOff")
        self.strategies_off |= <uint64_t>1 << strategy
        self.why_off[strategy] = why

    def strategy_on(self, int strategy):
        """A human switched it on again."""
        self._strategy(strategy)
        self.strategies_off &= ~(<uint64_t>1 << strategy)
        self.why_off[strategy] = 0

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

    def unpack(self, bytes packed):
        """Take over what `pack` made. ValueError where it is of another layout or instrument table."""
        self.table.unpack(packed)

    def require(self, *, int64_t reconcile_ns=0, int64_t clock_ns=0, bint private=False, int max_unacked=0,
                int64_t watched_ns=0):
        """What must be proven before risk is taken, where somebody is there to prove it: a reconciliation and a measurement of
        the venue's clock not older than so many ns, the private stream; at most `max_unacked` requests to a market without an
        answer; and that the stops were evaluated within `watched_ns`. 0 = not asked for."""
        if reconcile_ns < 0 or clock_ns < 0 or max_unacked < 0 or watched_ns < 0:
            raise ValueError("what is required must not be negative")
        self.reconcile_ns, self.clock_ns, self.watch_ns = reconcile_ns, clock_ns, watched_ns
        self.needs_private, self.max_unacked = private, max_unacked

    def set_hedge(self, int market, bint hedge):
        """The position mode of a market's account: True where each perpetual has a long and a short leg. ValueError where there is
        no such market."""
        if not 0 <= market < 8:
            raise ValueError(f"market {market}: there is no such market")
        self.markets[market].hedge = hedge

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
        return _lowest(self.latches)

    cdef bint may_send(self, const Intent* intent, int64_t now_ns) noexcept nogil:
        """The last look, at the socket: no latch that forbids it, and the lease still held."""
        cdef int latches = self.latches & NO_WAY_OUT if intent.strategy <= DESK_EXIT else self.latches
        return not latches and (self.lease_ns < 0 or now_ns < self.lease_ns)

    # ---- the checks ----

    cdef int refuse(self, int reason, int64_t value, int64_t limit) noexcept nogil:
        self.value, self.limit = value, limit
        return reason

    cdef int check(self, const Intent* intent, int64_t now_ns) except -1 nogil:
        """All pre-trade checks on a new order; returns a Reason (OK = passed). Changes nothing but the explanation."""
        cdef Limits* limit
        cdef Instrument* row
        cdef int reason
        if not self.may_send(intent, now_ns):
            if self.latches:
                return self.refuse(LATCHED, _lowest(self.latches), 0)
            return self.refuse(LEASE, now_ns - self.lease_ns, 0)
        if not 0 <= intent.instrument < self.instruments.count:
            return self.refuse(INSTRUMENT, intent.instrument, self.instruments.count)
        if intent.side >> 1 or not 0 <= intent.type <= STOP_MARKET or intent.tif >> 2:  # no such thing
            return self.refuse(NUMBER, intent.type, intent.tif)
        limit = &self.limits[intent.instrument]
        row = &self.instruments.rows[intent.instrument]
        if not (limit.allowed and row.tradable):
            return self.refuse(INSTRUMENT, limit.allowed, row.tradable)
        reason = self._check_leg(intent, row) if intent.leg or self.markets[row.market].hedge else OK
        if reason == OK:
            reason = self._check_guards(intent, row, now_ns)
        if reason == OK:
            reason = self._check_market(intent, limit, <Book>self.book_rows[intent.instrument], now_ns)
        if reason == OK:
            reason = self._check_size(intent, limit, row)
        if reason == OK:
            reason = self._check_price(intent, limit, row, <Book>self.book_rows[intent.instrument])
        if reason == OK:
            reason = self._check_exposure(intent, limit)
        if reason == OK:
            reason = self._check_rate(intent, limit, now_ns)
        if reason == OK:
            reason = self._check_venue(intent, limit, row, now_ns)
        return reason

    cdef int _check_guards(self, const Intent* intent, const Instrument* row, int64_t now_ns) noexcept nogil:
        """Is everything proven that must be: no halt, books reconciled, clock known, private stream alive?"""
        cdef Guard* guard = &self.guards[intent.instrument]
        cdef MarketGuard* market = &self.markets[row.market]
        if guard.stop:
            return self.refuse(HALTED, _lowest(guard.stop), 0)
        if intent.reduce_only:
            return OK                   # a way out does not wait for proofs
        if guard.reduce:
            return self.refuse(REDUCE_ONLY, _lowest(guard.reduce), 0)
        if self.reconcile_ns and now_ns - guard.reconciled_ns > self.reconcile_ns:
            return self.refuse(RECONCILE_STALE, now_ns - guard.reconciled_ns, self.reconcile_ns)
        if self.clock_ns and now_ns - market.clock_ns > self.clock_ns:
            return self.refuse(CLOCK, now_ns - market.clock_ns, self.clock_ns)
        if self.needs_private and not market.private_ok:
            return self.refuse(PRIVATE_DOWN, 0, 1)
        return OK

    cdef int _check_venue(self, const Intent* intent, const Limits* limit, const Instrument* row,
                          int64_t now_ns) noexcept nogil:
        """What the venue itself allows of requests in the air, open orders and requests in a time."""
        cdef int i, unacked = 0, open_orders = 0
        cdef int64_t wait, unknown = self.orders.exposure[intent.instrument].unknown_lots
        if unknown and unknown + intent.size_lots > limit.max_size_lots and not intent.reduce_only:
            return self.refuse(UNKNOWN_NOTIONAL, unknown + intent.size_lots, limit.max_size_lots)
        if self.max_unacked:
            for i in range(self.instruments.count):
                if self.instruments.rows[i].market == row.market:
                    unacked += self.orders.exposure[i].unacked
            if unacked >= self.max_unacked:
                return self.refuse(UNACKED, unacked, self.max_unacked)
        if row.max_orders and intent.action != AMEND:
            open_orders = self.orders.exposure[intent.instrument].open_orders
            if open_orders >= row.max_orders:
                return self.refuse(OPEN_VENUE, open_orders, row.max_orders)
        wait = self.budgets.wait_ns(row.market, intent.instrument, BUDGET_AMENDS if intent.action == AMEND
                                    else BUDGET_ORDERS, now_ns)
        if wait > 0:
            return self.refuse(VENUE_RATE, wait, 0)
        return OK

    cdef int _check_market(self, const Intent* intent, const Limits* limit, Book book, int64_t now_ns) noexcept nogil:
        """Is there a market that may be traded on at all?"""
        if book.state != SYNCED:
            return self.refuse(BOOK_UNSYNCED, book.state, SYNCED)
        if now_ns - book.changed_ns > limit.stale_ns:
            return self.refuse(BOOK_STALE, now_ns - book.changed_ns, limit.stale_ns)
        if book.bid.best < 0 or book.ask.best < 0:
            return self.refuse(BOOK_ONE_SIDED, book.bid.count, book.ask.count)
        if book.crossed():
            return self.refuse(BOOK_CROSSED, 0, 0)
        return OK

    cdef int _check_size(self, const Intent* intent, const Limits* limit, const Instrument* row) noexcept nogil:
        if intent.size_lots < 1 or intent.size_lots < row.min_size_lots:
            return self.refuse(SIZE_MIN, intent.size_lots, row.min_size_lots if row.min_size_lots > 1 else 1)
        if intent.size_lots > limit.max_size_lots:
            return self.refuse(SIZE_MAX, intent.size_lots, limit.max_size_lots)
        if row.max_size_lots and intent.size_lots > row.max_size_lots:
            return self.refuse(SIZE_MAX, intent.size_lots, row.max_size_lots)
        if row.max_market_lots and intent.type != LIMIT and intent.size_lots > row.max_market_lots:
            return self.refuse(SIZE_MAX, intent.size_lots, row.max_market_lots)
        if row.lot_step != 1 and intent.size_lots % row.lot_step:
            return self.refuse(SIZE_STEP, intent.size_lots, row.lot_step)
        return OK

    cdef int _check_price(self, const Intent* intent, const Limits* limit, const Instrument* row,
                          Book book) noexcept nogil:
        """Venue's price filter, collar around the mid, notional. A market order is valued at the worst price that it
        would reach, and must find its size in the book."""
        cdef Level bid, ask
        cdef int64_t price = intent.price_ticks, mid2, off, notional, found, cost
        book.best_bid(&bid)
        book.best_ask(&ask)
        if intent.type == STOP_MARKET:
            if self._check_trigger(intent, book, &price):
                return TRIGGER
        elif intent.type == MARKET:
            found = book.fill(intent.side, intent.size_lots, &price, &cost)
            if found < intent.size_lots:
                return self.refuse(SIZE_MAX, intent.size_lots, found)
        if price < 1 or price < row.min_price_ticks:
            return self.refuse(PRICE_RANGE, price, row.min_price_ticks)
        if price > (row.max_price_ticks if row.max_price_ticks else <int64_t>1 << 47):
            return self.refuse(PRICE_RANGE, price, row.max_price_ticks)
        if row.tick_step != 1 and intent.type != MARKET and price % row.tick_step:
            return self.refuse(PRICE_STEP, price, row.tick_step)
        mid2 = bid.price_ticks + ask.price_ticks
        if row.up_ppm and intent.type == LIMIT and (2 * price - mid2 > _part(mid2, row.up_ppm)
                                                    or mid2 - 2 * price > _part(mid2, row.down_ppm)):
            return self.refuse(PRICE_RANGE, price, mid2 // 2)
        off = 2 * price - mid2 if 2 * price > mid2 else mid2 - 2 * price
        if intent.type != STOP_MARKET and off > _part(mid2, limit.collar_ppm):
            return self.refuse(PRICE_COLLAR, off * 1_000_000 // mid2 if off < <int64_t>1 << 43 else off, limit.collar_ppm)
        if intent.tif == POST_ONLY and intent.type != STOP_MARKET and (price >= ask.price_ticks if intent.side == BUY else price <= bid.price_ticks):
            return self.refuse(POST_ONLY_CROSS, price, ask.price_ticks if intent.side == BUY else bid.price_ticks)
        notional = self.instruments.notional_e8(intent.instrument, price, intent.size_lots)
        if notional < 0:
            return self.refuse(NUMBER, intent.size_lots, 0)
        if notional < row.min_notional_e8 and not intent.reduce_only:
            return self.refuse(NOTIONAL_MIN, notional, row.min_notional_e8)
        if notional > limit.max_notional_e8:
            return self.refuse(NOTIONAL_MAX, notional, limit.max_notional_e8)
        if row.max_notional_e8 and notional > row.max_notional_e8:
            return self.refuse(NOTIONAL_MAX, notional, row.max_notional_e8)
        return OK

    cdef int _check_trigger(self, const Intent* intent, Book book, int64_t* price) noexcept nogil:
        """A stop protects: it only ever reduces, and its trigger is on the far side of the market, or it would fire at once.
        It is valued at its trigger."""
        cdef Level bid, ask
        book.best_bid(&bid)
        book.best_ask(&ask)
        price[0] = intent.trigger_ticks
        if not intent.reduce_only:
            return self.refuse(TRIGGER, 0, 1)
        if intent.trigger_ticks < 1 or (intent.trigger_ticks <= ask.price_ticks if intent.side == BUY
                                        else intent.trigger_ticks >= bid.price_ticks):
            return self.refuse(TRIGGER, intent.trigger_ticks, ask.price_ticks if intent.side == BUY else bid.price_ticks)
        return OK

    cdef int _check_leg(self, const Intent* intent, const Instrument* row) noexcept nogil:
        """In hedge mode an order is of one leg, and one on the leg's closing side says that it reduces: which side closes is all
        that some venues go by. In one-way mode, and on spot, there are no legs."""
        cdef bint opens
        if not (self.markets[row.market].hedge and row.is_perpetual):
            return self.refuse(LEG, intent.leg, 0) if intent.leg else OK
        if intent.leg != LONG_LEG and intent.leg != SHORT_LEG:
            return self.refuse(LEG, intent.leg, SHORT_LEG)
        opens = (intent.side == BUY) == (intent.leg == LONG_LEG)
        return self.refuse(LEG, intent.leg, SHORT_LEG) if opens == (intent.reduce_only != 0) else OK

    cdef int _check_legged(self, const Intent* intent, const Limits* limit) noexcept nogil:
        """The same for one leg: the limit is that of each leg, so that both together are within it whatever fills; and what closes
        a leg is never more than what it has, with everything else that closes it."""
        cdef int64_t held = self.account.rows[intent.instrument].legs[intent.leg].lots
        cdef Exposure* exposure = &self.orders.exposure[intent.instrument]
        cdef int64_t open_lots = exposure.leg_lots[2 * intent.leg + intent.side]
        cdef int64_t most = 0 if intent.reduce_only else limit.max_position_lots
        cdef int64_t worst
        held = held if intent.leg == LONG_LEG else -held
        if intent.type == STOP_MARKET:      # protection rests beside other exits
            worst = intent.size_lots - held
        elif intent.reduce_only:
            worst = open_lots + intent.size_lots - held
        else:
            worst = held + open_lots + intent.size_lots + (
                exposure.foreign_buy_lots if intent.side == BUY else exposure.foreign_sell_lots)
        return self.refuse(POSITION, worst, most) if worst > most else OK

    cdef int _check_exposure(self, const Intent* intent, const Limits* limit) noexcept nogil:
        """Position as if every order of ours on that side filled, this one included. Reduce-only ends at flat: spot
        venues have no such flag, so it is kept here."""
        cdef int64_t lots = self.account.rows[intent.instrument].lots
        cdef int64_t most = 0 if intent.reduce_only else limit.max_position_lots    # never through flat
        cdef int64_t worst
        cdef Exposure* exposure = &self.orders.exposure[intent.instrument]
        if intent.action != AMEND and exposure.open_orders >= limit.max_open_orders:
            return self.refuse(OPEN_ORDERS, exposure.open_orders, limit.max_open_orders)
        if intent.leg:
            return self._check_legged(intent, limit)
        if intent.side == BUY:
            worst = lots + exposure.buy_lots + intent.size_lots
        else:
            worst = -lots + exposure.sell_lots + intent.size_lots
        if not intent.reduce_only:          # what others have open here could fill too; our way out does not wait for it
            worst += exposure.foreign_buy_lots if intent.side == BUY else exposure.foreign_sell_lots
        if intent.type == STOP_MARKET:      # protection rests beside other exits: one of them will find less left
            worst = (lots if intent.side == BUY else -lots) + intent.size_lots
        if worst > most:
            return self.refuse(POSITION, worst, most)
        return OK

    cdef int _check_rate(self, const Intent* intent, const Limits* limit, int64_t now_ns) noexcept nogil:
        """Duplicate guard and the order rate: the order `rate_orders` ago must be a whole window old."""
        cdef Recent* last = &self.recent[2 * intent.instrument + intent.side]
        cdef int64_t since
        if (limit.duplicate_ns and last.at_ns and last.price_ticks == intent.price_ticks
                and last.size_lots == intent.size_lots and now_ns - last.at_ns < limit.duplicate_ns):
            return self.refuse(DUPLICATE, now_ns - last.at_ns, limit.duplicate_ns)
        since = now_ns - self.rate_times[self.rate_at] if self.rate_orders else 0
        if since < self.rate_window_ns:
            return self.refuse(ORDER_RATE, since, self.rate_window_ns)
        return OK

    # ---- the door ----

    cdef Approved approve(self, const Intent* intent, int64_t now_ns, int* reason, Approved into=None):
        """Check, reserve exposure, and approve; None where refused (`reason`, `value`, `limit` say why). A REPLACE is a new
        order that names the one it takes the place of: both count until the venue has answered."""
        cdef Order* order
        cdef Order* old = NULL
        cdef Recent* last
        if intent.action == REPLACE:
            old = self.orders.find(intent.order_id)
            if old == NULL or not FREE < old.state < FILLED:
                reason[0] = self.refuse(UNKNOWN_ORDER, <int64_t>intent.order_id, 0)
                self.refused[<int>UNKNOWN_ORDER] += 1
                return None
        reason[0] = self.check(intent, now_ns)
        if reason[0] == OK:
            order = self.orders.reserve(intent, now_ns)
            if order != NULL:
                last = &self.recent[2 * intent.instrument + intent.side]
                last.price_ticks, last.size_lots, last.at_ns = intent.price_ticks, intent.size_lots, now_ns
                self._spend(intent, BUDGET_ORDERS, now_ns)
                order.limits_version = self.table.version
                into = self._grant(intent, order.id, now_ns, into)
                if old != NULL:
                    order.replaces = old.id
                    into.intent.order_id, into.intent.epoch = old.sequence, old.epoch
                return into
            reason[0] = self.refuse(TABLE_FULL, self.orders.capacity, self.orders.capacity)
        self.refused[reason[0]] += 1
        return None

    cdef int _spend(self, const Intent* intent, int kind, int64_t now_ns) noexcept nogil:
        """One more request: in our own rate and in the venue's."""
        self.rate_times[self.rate_at] = self.rate_last_ns = now_ns
        self.rate_at = self.rate_at + 1 if self.rate_at + 1 < self.rate_orders else 0
        self.budgets.take(self.instruments.rows[intent.instrument].market, intent.instrument, kind, now_ns)
        self.passed += 1
        return 0

    cdef Approved approve_amend(self, const Intent* intent, int64_t now_ns, int* reason):
        """Change price and whole size of a resting order: checked as a new order of what the amend adds, and until the venue
        has answered the larger of both sizes counts. One at a time for each order."""
        cdef Order* order = self.orders.find(intent.order_id)
        cdef Intent more
        reason[0] = OK
        if order == NULL or not LIVE <= order.state <= PARTIAL or order.final_state or order.cancel_wanted:
            reason[0] = self.refuse(UNKNOWN_ORDER, <int64_t>intent.order_id, 0)
        elif order.amending:
            reason[0] = self.refuse(AMENDING, order.amend_ns, 0)
        elif intent.size_lots <= order.filled_lots:
            reason[0] = self.refuse(SIZE_MIN, intent.size_lots, order.filled_lots + 1)
        if reason[0] == OK:
            more = intent[0]
            more.instrument, more.side, more.type, more.tif = order.instrument, order.side, order.type, order.tif
            more.reduce_only, more.strategy, more.leg = order.reduce_only, order.strategy, order.leg
            # its own size is reserved already: taken away while the whole new size is checked, and put back
            self.orders._count(order, -1)
            try:
                reason[0] = self.check(&more, now_ns)
            finally:
                self.orders._count(order, 1)
        if reason[0] != OK:
            self.refused[reason[0]] += 1
            return None
        self.orders.start_amend(order, intent.price_ticks, intent.size_lots, now_ns)
        self._spend(&more, BUDGET_AMENDS, now_ns)
        self._grant(&more, order.id, now_ns, None)
        self.approved.intent.order_id, self.approved.intent.epoch = order.sequence, order.epoch
        return self.approved

    cdef Approved approve_cancel(self, const Intent* intent, int64_t now_ns, int* reason, Approved into=None):
        """A cancel always passes, provided that it names an order of ours that is not terminal."""
        cdef Order* order = self.orders.find(intent.order_id)
        cdef Intent cancel
        reason[0] = OK
        if order == NULL or not FREE < order.state < FILLED:
            reason[0] = self.refuse(UNKNOWN_ORDER, <int64_t>intent.order_id, 0)
            self.refused[<int>UNKNOWN_ORDER] += 1
            return None
        memset(&cancel, 0, sizeof(cancel))
        cancel.action, cancel.instrument, cancel.order_id, cancel.epoch = CANCEL, order.instrument, order.sequence, order.epoch
        cancel.side, cancel.strategy, cancel.type = order.side, order.strategy, order.type
        order.cancel_asked += 1
        order.last_cancel_ns = now_ns
        self.budgets.take(self.instruments.rows[order.instrument].market, order.instrument, BUDGET_CANCELS, now_ns)
        return self._grant(&cancel, order.id, now_ns, into)

    cdef Approved _grant(self, const Intent* intent, uint64_t order_id, int64_t now_ns, Approved into):
        if into is None:
            into = self.approved
        into.intent = intent[0]
        into.order_id = order_id
        into.now_ns = now_ns
        into.live = True
        return into

    # ---- for Python: reports, tests ----

    def refusals(self) -> dict:
        """Refusals so far, by reason name."""
        return {Reason(i).name: self.refused[i] for i in range(<int>REASONS) if self.refused[i]}

    def try_order(self, int instrument, int side, int64_t price_ticks, int64_t size_lots, int64_t now_ns, *, int tif=0,
                  int type=0, bint reduce_only=False, int64_t trigger=0, int leg=0) -> tuple:
        """Run an intent through `approve`; returns (reason name, value, limit, order id or 0). For tests and drills:
        a passed order has its exposure reserved but is not written anywhere."""
        cdef Intent intent
        cdef int reason = 0
        memset(&intent, 0, sizeof(intent))
        intent.instrument, intent.side, intent.price_ticks, intent.size_lots = instrument, side, price_ticks, size_lots
        intent.tif, intent.type, intent.reduce_only, intent.action = tif, type, reduce_only, NEW
        intent.trigger_ticks, intent.leg = trigger, leg
        if side not in (BUY, SELL):
            raise ValueError(f"side {side}: must be BUY or SELL")
        self.value = self.limit = 0
        approved = self.approve(&intent, now_ns, &reason)
        return Reason(reason).name, self.value, self.limit, approved.order_id if approved is not None else 0

    def probe(self, int instrument, int side, int64_t price_ticks, int64_t size_lots, int64_t now_ns, *, int leg=0) -> str:
        """What the gate would say to a limit order now: a Reason name. Nothing is reserved and nothing counted."""
        cdef Intent intent
        memset(&intent, 0, sizeof(intent))
        intent.instrument, intent.side, intent.price_ticks, intent.size_lots = instrument, side, price_ticks, size_lots
        intent.leg = leg
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
                passed += self.check(&intent, now_ns + i) == OK
        return passed


cdef inline int64_t _part(int64_t value, int64_t ppm) noexcept nogil:
    """`value` * ppm / 1,000,000 in two exact steps: the product does not fit at 2**49 * 200,000."""
    return value // 1_000_000 * ppm + value % 1_000_000 * ppm // 1_000_000


cdef inline int _lowest(int bits) noexcept nogil:
    """Number of the lowest bit that is set."""
    cdef int i
    for i in range(31):
        if bits >> i & 1:
            return i
    return 0

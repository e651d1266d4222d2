"""Intent -> Approved, or refused with a reason, its value and its limit.

The only door to the wire: nothing else can make an `Approved`, and nothing but an `Approved` can be encoded. Checks run
in cost order, cheap and absolute ones first; the first that fails answers. Position is checked as worst case: as if
everything of ours that is not terminal - in flight and UNKNOWN included - filled on one side. Cancels always pass.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memset

from ext.book cimport SYNCED
from ext.records cimport (BOOK_CROSSED, BOOK_ONE_SIDED, BOOK_STALE, BOOK_UNSYNCED, BUY, CANCEL, DUPLICATE, FILLED,
                          FREE, INSTRUMENT, LATCHED, MARKET, NEW, NOTIONAL_MAX, NOTIONAL_MIN, NUMBER, OK, OPEN_ORDERS,
                          ORDER_RATE, POSITION, POST_ONLY, POST_ONLY_CROSS, PRICE_COLLAR, PRICE_RANGE, PRICE_STEP, REASONS,
                          SELL, SIZE_MAX, SIZE_MIN, SIZE_STEP, TABLE_FULL, UNKNOWN_ORDER, Level, mint)
from ext.records import Reason

# No configuration can go above these (a typed-in zero too many must not become an order).
cdef int64_t CEILING_NOTIONAL_E8 = 10_000_000 * 100_000_000
cdef int64_t CEILING_COLLAR_PPM = 200_000
cdef int64_t CEILING_RATE = 1_000_000
cdef int64_t NEVER_NS = -(<int64_t>1 << 61)


cdef class RiskGate:
    """The gate over all instruments. `books[i]` is the Book of instrument i (None where it has none)."""

    def __cinit__(self, Instruments instruments, Orders orders, Account account, list books):
        cdef int i, n = max(instruments.count, 1)
        if len(books) != instruments.count:
            raise ValueError(f"{len(books)} books for {instruments.count} instruments")
        self.instruments, self.orders, self.account = instruments, orders, account
        self.books = [Book(i) if book is None else book for i, book in enumerate(books)]    # none: one never synced
        self.limits = <Limits*>calloc(n, sizeof(Limits))
        self.recent = <Recent*>calloc(2 * n, sizeof(Recent))
        self.book_rows = <void**>calloc(n, sizeof(void*))
        if not (self.limits and self.recent and self.book_rows):
            raise MemoryError()
        for i in range(instruments.count):
            self.book_rows[i] = <void*>self.books[i]
        self.approved = mint()
        self.rate_last_ns = NEVER_NS
        self.set_rate(0, 1)

    def __dealloc__(self):
        free(self.limits)
        free(self.recent)
        free(self.book_rows)
        free(self.rate_times)

    # ---- configuration ----

    def set_limits(self, int instrument, *, int64_t max_size_lots, int64_t max_notional_e8, int64_t max_position_lots,
                   int64_t collar_ppm, int64_t stale_ns, int max_open_orders, int64_t duplicate_ns=0):
        """Set the limits of one instrument and allow it. Raises ValueError above the compiled-in ceilings."""
        if not 0 <= instrument < self.instruments.count:
            raise ValueError(f"instrument {instrument}: the table has {self.instruments.count}")
        for name, value, ceiling in (("max_size_lots", max_size_lots, 2**47),
                                     ("max_notional_e8", max_notional_e8, CEILING_NOTIONAL_E8),
                                     ("max_position_lots", max_position_lots, 2**47),
                                     ("collar_ppm", collar_ppm, CEILING_COLLAR_PPM),
                                     ("stale_ns", stale_ns, 3600 * 10**9),
                                     ("max_open_orders", max_open_orders, self.orders.capacity),
                                     ("duplicate_ns", duplicate_ns, 3600 * 10**9)):
            if not 0 <= value <= ceiling:
                raise ValueError(f"{name} {value}: must be 0 to {ceiling}")
        cdef Limits* row = &self.limits[instrument]
        row.max_size_lots, row.max_notional_e8, row.max_position_lots = max_size_lots, max_notional_e8, max_position_lots
        row.collar_ppm, row.stale_ns, row.max_open_orders = collar_ppm, stale_ns, max_open_orders
        row.duplicate_ns, row.allowed = duplicate_ns, True

    def set_rate(self, int64_t orders, int64_t window_ns):
        """At most `orders` new orders in any `window_ns`. A change starts with a full window: no second burst."""
        cdef int64_t i
        if not 0 <= orders <= CEILING_RATE or not 0 < window_ns <= 3600 * 10**9:
            raise ValueError(f"order rate {orders} per {window_ns} ns: out of range")
        cdef int64_t* times = <int64_t*>calloc(max(orders, 1), sizeof(int64_t))
        if times == NULL:
            raise MemoryError()
        for i in range(orders):
            times[i] = self.rate_last_ns
        free(self.rate_times)
        self.rate_times, self.rate_orders, self.rate_window_ns, self.rate_at = times, orders, window_ns, 0

    def latch(self, int why=1):
        """Stop every new order until `release`. Cancels still pass."""
        self.latched = why or 1

    def release(self):
        self.latched = 0

    # ---- the checks ----

    cdef int refuse(self, int reason, int64_t value, int64_t limit) noexcept nogil:
        self.value, self.limit = value, limit
        return reason

    cdef int check(self, const Intent* intent, int64_t now_ns) except -1 nogil:
        """All pre-trade checks on a new order; returns a Reason (OK = passed). Changes nothing but the explanation."""
        cdef Limits* limit
        cdef Instrument* row
        cdef int reason
        if self.latched:
            return self.refuse(LATCHED, self.latched, 0)
        if not 0 <= intent.instrument < self.instruments.count:
            return self.refuse(INSTRUMENT, intent.instrument, self.instruments.count)
        if (intent.side | intent.type) >> 1 or intent.tif >> 2:     # no such side, type or time in force
            return self.refuse(NUMBER, intent.type, intent.tif)
        limit = &self.limits[intent.instrument]
        row = &self.instruments.rows[intent.instrument]
        if not (limit.allowed and row.tradable):
            return self.refuse(INSTRUMENT, limit.allowed, row.tradable)
        reason = self._check_market(intent, limit, <Book>self.book_rows[intent.instrument], now_ns)
        if reason == OK:
            reason = self._check_size(intent, limit, row)
        if reason == OK:
            reason = self._check_price(intent, limit, row, <Book>self.book_rows[intent.instrument])
        if reason == OK:
            reason = self._check_exposure(intent, limit)
        if reason == OK:
            reason = self._check_rate(intent, limit, now_ns)
        return reason

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
        if intent.type == MARKET:
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
        off = 2 * price - mid2 if 2 * price > mid2 else mid2 - 2 * price
        # mid2 * ppm // 1,000,000 in two exact steps: the product does not fit at 2**49 * 200,000
        if off > mid2 // 1_000_000 * limit.collar_ppm + mid2 % 1_000_000 * limit.collar_ppm // 1_000_000:
            return self.refuse(PRICE_COLLAR, off * 1_000_000 // mid2 if off < <int64_t>1 << 43 else off, limit.collar_ppm)
        if intent.tif == POST_ONLY and (price >= ask.price_ticks if intent.side == BUY else price <= bid.price_ticks):
            return self.refuse(POST_ONLY_CROSS, price, ask.price_ticks if intent.side == BUY else bid.price_ticks)
        notional = self.instruments.notional_e8(intent.instrument, price, intent.size_lots)
        if notional < 0:
            return self.refuse(NUMBER, intent.size_lots, 0)
        if notional < row.min_notional_e8 and not intent.reduce_only:
            return self.refuse(NOTIONAL_MIN, notional, row.min_notional_e8)
        if notional > limit.max_notional_e8:
            return self.refuse(NOTIONAL_MAX, notional, limit.max_notional_e8)
        return OK

    cdef int _check_exposure(self, const Intent* intent, const Limits* limit) noexcept nogil:
        """Position as if every order of ours on that side filled, this one included. Reduce-only ends at flat: spot
        venues have no such flag, so it is kept here."""
        cdef int64_t lots = self.account.rows[intent.instrument].lots
        cdef int64_t most = 0 if intent.reduce_only else limit.max_position_lots    # never through flat
        cdef int64_t worst
        if self.orders.exposure[intent.instrument].open_orders >= limit.max_open_orders:
            return self.refuse(OPEN_ORDERS, self.orders.exposure[intent.instrument].open_orders, limit.max_open_orders)
        if intent.side == BUY:
            worst = lots + self.orders.exposure[intent.instrument].buy_lots + intent.size_lots
        else:
            worst = -lots + self.orders.exposure[intent.instrument].sell_lots + intent.size_lots
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

    cdef Approved approve(self, const Intent* intent, int64_t now_ns, int* reason):
        """Check, reserve exposure, and approve; None where refused (`reason`, `value`, `limit` say why)."""
        cdef Order* order
        cdef Recent* last
        reason[0] = self.check(intent, now_ns)
        if reason[0] == OK:
            order = self.orders.reserve(intent, now_ns)
            if order != NULL:
                last = &self.recent[2 * intent.instrument + intent.side]
                last.price_ticks, last.size_lots, last.at_ns = intent.price_ticks, intent.size_lots, now_ns
                self.rate_times[self.rate_at] = self.rate_last_ns = now_ns
                self.rate_at = self.rate_at + 1 if self.rate_at + 1 < self.rate_orders else 0
                self.passed += 1
                return self._grant(intent, order.id, now_ns)
            reason[0] = self.refuse(TABLE_FULL, self.orders.capacity, self.orders.capacity)
        self.refused[reason[0]] += 1
        return None

    cdef Approved approve_cancel(self, const Intent* intent, int64_t now_ns, int* reason):
        """A cancel always passes, provided that it names an order of ours that is not terminal."""
        cdef Order* order = self.orders.find(intent.order_id)
        cdef Intent cancel
        reason[0] = OK
        if order == NULL or not FREE < order.state < FILLED:
            reason[0] = self.refuse(UNKNOWN_ORDER, <int64_t>intent.order_id, 0)
            self.refused[<int>UNKNOWN_ORDER] += 1
            return None
        memset(&cancel, 0, sizeof(cancel))
        cancel.action, cancel.instrument, cancel.order_id = CANCEL, order.instrument, order.id
        cancel.side, cancel.strategy = order.side, order.strategy
        order.cancel_asked += 1
        return self._grant(&cancel, order.id, now_ns)

    cdef Approved _grant(self, const Intent* intent, uint64_t order_id, int64_t now_ns):
        self.approved.intent = intent[0]
        self.approved.order_id = order_id
        self.approved.now_ns = now_ns
        self.approved.live = True
        return self.approved

    # ---- for Python: reports, tests ----

    def refusals(self) -> dict:
        """Refusals so far, by reason name."""
        return {Reason(i).name: self.refused[i] for i in range(<int>REASONS) if self.refused[i]}

    def try_order(self, int instrument, int side, int64_t price_ticks, int64_t size_lots, int64_t now_ns, *, int tif=0,
                  int type=0, bint reduce_only=False) -> tuple:
        """Run an intent through `approve`; returns (reason name, value, limit, order id or 0). For tests and drills:
        a passed order has its exposure reserved but is not written anywhere."""
        cdef Intent intent
        cdef int reason = 0
        memset(&intent, 0, sizeof(intent))
        intent.instrument, intent.side, intent.price_ticks, intent.size_lots = instrument, side, price_ticks, size_lots
        intent.tif, intent.type, intent.reduce_only, intent.action = tif, type, reduce_only, NEW
        if side not in (BUY, SELL):
            raise ValueError(f"side {side}: must be BUY or SELL")
        self.value = self.limit = 0
        approved = self.approve(&intent, now_ns, &reason)
        return Reason(reason).name, self.value, self.limit, approved.order_id if approved is not None else 0

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

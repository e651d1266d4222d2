"""Orders that close positions: one at a time, bounded in price, never more than the position.

What is to be closed is looked at anew before each order: side and size follow the position as the fills make it, so a fill that
comes late, or twice, or turns the position round, cannot make an exit wrong. The next order of a position leaves only when the
one before is closed by the venue's word or by a proof of absence; an order that nobody answered, or of unknown fate, holds the
next one back. A price bound is taken from the node's reference and kept: it is taken anew at most once in `retry_ns`, so that a
falling market is not chased, and each refusal or reject without a fill doubles that time, up to 30 s. Only limit orders, immediate
or cancel, reduce-only. No book is needed where the mark, the index or a peer says what a price is.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memset

from ext.orders cimport Order
from ext.records cimport BUY, DESK_EXIT, FILLED, INSTRUMENT, IOC, LEGS, LIMIT, NET, NEW, PHASE, REJECTED, SELL, Level

cdef extern from *:
    """
    /* a * b / (c * d), rounded down (or up), as far as 63 bits go. */
    static inline int64_t tg_ratio(int64_t a, int64_t b, int64_t c, int64_t d, int up) {
        unsigned __int128 above = (unsigned __int128)(uint64_t)a * (uint64_t)b;
        unsigned __int128 below = (unsigned __int128)(uint64_t)c * (uint64_t)d, out;
        if (!below) return 0;
        out = above / below + (up && above % below);
        return out > INT64_MAX ? INT64_MAX : (int64_t)out;
    }
    """
    int64_t tg_ratio(int64_t a, int64_t b, int64_t c, int64_t d, int up) noexcept nogil

cdef int64_t PPM = 1_000_000
cdef int64_t E8 = 100_000_000
cdef int64_t WAIT_NS = 30_000_000_000    # no refusal makes the next attempt wait longer than this, or than `retry_ns`
cdef int64_t MONEY_MOST = <int64_t>1 << 60


cdef class Outbox:
    cdef Intent* add(self) noexcept nogil:
        """A blank row, or NULL where there is no room."""
        if self.count == OUTBOX_MAX:
            self.full += 1
            return NULL
        memset(&self.rows[self.count], 0, sizeof(Intent))
        self.count += 1
        return &self.rows[self.count - 1]


cdef class Exits:
    """One row for each leg of each instrument of the table."""

    def __cinit__(self, Instruments instruments, Orders orders, Account account, Reference reference, list books,
                  Outbox outbox):
        cdef int i, n = max(instruments.count, 1)
        self.instruments, self.orders, self.account = instruments, orders, account
        self.reference, self.books, self.outbox = reference, books, outbox
        self.rows = <Exit*>calloc(n * <int>LEGS, sizeof(Exit))
        self.book_rows = <void**>calloc(n, sizeof(void*))
        if not (self.rows and self.book_rows):
            raise MemoryError()
        for i in range(instruments.count):
            self.book_rows[i] = <void*>books[i]

    def __dealloc__(self):
        free(self.rows)
        free(self.book_rows)

    def set(self, int64_t slippage_ppm, int64_t retry_ns):
        """Worst price in millionths of the reference, and how often it may be taken anew. ValueError out of range."""
        if not 0 <= slippage_ppm <= 200_000:
            raise ValueError(f"exit_slippage_ppm {slippage_ppm}: must be 0 to 200000 (the ceiling is compiled in)")
        if not 50_000_000 <= retry_ns <= 60_000_000_000:
            raise ValueError(f"exit_retry_ns {retry_ns}: must be 50000000 to 60000000000 (50 ms to 60 s)")
        self.slippage_ppm, self.retry_ns = slippage_ppm, retry_ns

    # ---- positions ----

    cdef int64_t lots(self, int instrument, int leg) noexcept nogil:
        """Signed position of one leg; what a spot venue kept as a fee was never there to be sold."""
        cdef Instrument* row = &self.instruments.rows[instrument]
        cdef int64_t lots = self.account.rows[instrument].legs[leg].lots
        cdef int64_t fee
        if row.is_perpetual or lots <= 0 or self.account.rows[instrument].fee_base_e8 <= 0:
            return lots
        fee = lots_up(row, self.account.rows[instrument].fee_base_e8)
        return lots - fee if lots > fee else 0

    cdef int64_t closable(self, int instrument, int leg, int64_t lots, int64_t ticks) noexcept nogil:
        """Of a position, without sign: what the venue would take an order for. 0: what is left is dust, and counts as flat.
        `ticks` values it, 0 = by size alone."""
        cdef Instrument* row = &self.instruments.rows[instrument]
        lots = lots if lots >= 0 else -lots
        lots -= lots % max(row.lot_step, 1)
        if lots < 1 or lots < row.min_size_lots:
            return 0
        if not row.is_perpetual and ticks > 0 and self.instruments.notional_e8(instrument, ticks, lots) < row.min_notional_e8:
            return 0
        return lots

    cdef bint is_flat(self, int instrument) noexcept nogil:
        """Is there nothing left that could be closed?"""
        cdef int leg
        cdef Level level
        cdef int64_t lots
        for leg in range(LEGS):
            lots = self.lots(instrument, leg)
            if lots:
                level.price_ticks = 0
                (<Book>self.book_rows[instrument]).best_bid(&level)
                if self.closable(instrument, leg, lots, level.price_ticks):
                    return False
        return True

    cdef bint is_busy(self, int instrument) noexcept nogil:
        """Is an exit on its way, or something above what may stay?"""
        cdef int leg
        cdef Exit* row
        cdef Order* last
        cdef int64_t lots
        for leg in range(LEGS):
            row = &self.rows[instrument * <int>LEGS + leg]
            last = self.orders.find(row.order_id)
            if row.asked or last != NULL and self.orders.is_open(last):
                return True
            lots = self.lots(instrument, leg)
            if row.whys and self.closable(instrument, leg, (lots if lots >= 0 else -lots) - row.leave_lots, 0):
                return True
        return False

    # ---- what is to be closed ----

    cdef int start(self, int instrument, int why) noexcept nogil:
        """Close everything, for a HaltReason, and keep it closed until `stop` with the same."""
        cdef int leg
        cdef Exit* row
        for leg in range(LEGS):
            row = &self.rows[instrument * <int>LEGS + leg]
            self.active += row.whys == 0
            row.whys |= 1 << why
            row.leave_lots = 0
        return 0

    cdef int halve(self, int instrument, int why) noexcept nogil:
        """Close half of what there is; a position that is closed altogether for another reason stays so."""
        cdef int leg
        cdef int64_t lots
        cdef Exit* row
        for leg in range(LEGS):
            row = &self.rows[instrument * <int>LEGS + leg]
            if row.whys & ~(1 << why):
                continue
            lots = self.lots(instrument, leg)
            self.active += row.whys == 0
            row.whys |= 1 << why
            lots = lots if lots >= 0 else -lots
            row.leave_lots = lots // 2 if self.closable(instrument, leg, lots - lots // 2, 0) else 0
        return 0

    cdef int stop(self, int instrument, int why) noexcept nogil:
        """This reason is gone (0: every reason). An order that is out stays out, and still holds back the next one.
        Returns how many legs it was a reason of."""
        cdef int leg, found = 0
        cdef Exit* row
        for leg in range(LEGS):
            row = &self.rows[instrument * <int>LEGS + leg]
            if not row.whys:
                continue
            if why == 0 or row.whys >> why & 1:
                found += 1
            row.whys = row.whys & ~(1 << why) if why else 0
            if not row.whys:
                row.anchor_ns, row.failures = 0, 0
                self.active -= 1
        return found

    # ---- the next order ----

    cdef int work(self, int instrument, int64_t now_ns) noexcept nogil:
        """Propose the next exit of each leg where one is due; returns how many."""
        cdef int leg, count = 0
        for leg in range(LEGS):
            if self.rows[instrument * <int>LEGS + leg].whys:
                count += self._next(instrument, leg, now_ns)
        return count

    cdef int _next(self, int instrument, int leg, int64_t now_ns) noexcept nogil:
        cdef Exit* row = &self.rows[instrument * <int>LEGS + leg]
        cdef Order* last = self.orders.find(row.order_id)
        cdef Intent* intent
        cdef int64_t size, lots = self.lots(instrument, leg)
        cdef int side = SELL if lots > 0 else BUY
        if row.asked or last != NULL and self.orders.is_open(last):
            self.unanswered += 1
            return 0
        self._judge(row, last)
        lots = (lots if lots > 0 else -lots) - row.leave_lots
        if not self.closable(instrument, leg, lots, 0) or not self._anchor(row, instrument, side, now_ns):
            return 0
        if row.tried and (last == NULL or last.state != FILLED):
            return 0                    # not all of it found a price: the next one is anchored anew
        if not self.closable(instrument, leg, lots, row.bound_ticks):
            return 0
        if not self._reachable(<Book>self.book_rows[instrument], side, row.bound_ticks, now_ns):
            return 0
        size = self._slice(instrument, side, lots, row.bound_ticks)
        intent = self.outbox.add() if size else NULL
        if intent == NULL:
            return 0
        intent.instrument, intent.strategy, intent.action = instrument, DESK_EXIT, NEW
        intent.side, intent.type, intent.tif, intent.reduce_only, intent.leg = side, LIMIT, IOC, True, leg
        intent.price_ticks, intent.size_lots = row.bound_ticks, size
        row.asked = row.tried = True
        self.proposed += 1
        return 1

    cdef int answered(self, const Intent* intent, uint64_t order_id, int reason) noexcept nogil:
        """What risk and the wire made of a proposal: an order with this id, or (0) a Reason."""
        cdef Exit* row = &self.rows[intent.instrument * <int>LEGS + intent.leg]
        cdef Order* last = self.orders.find(row.order_id)
        row.asked = False
        if order_id:
            row.order_id = order_id
            return 0
        if last == NULL or not self.orders.is_open(last):
            row.order_id = 0            # what was filled before it does not let the next one go at once
        self.refused += 1
        self.last_reason = reason
        row.failures += reason != PHASE and reason != INSTRUMENT    # not taken now: tried again as soon as it is
        return 0

    cdef int _judge(self, Exit* row, const Order* last) noexcept nogil:
        """What became of the last one, once. One that never left was not rejected by anybody: the line was down."""
        if last == NULL or row.judged_id == last.id:
            return 0
        row.judged_id = last.id
        if last.filled_lots:
            row.failures = 0
        elif last.state == REJECTED and last.sent_ns:
            row.failures += 1
        return 0

    cdef int64_t _wait(self, const Exit* row) noexcept nogil:
        """How long a bound is kept: twice as long after each failure but the first."""
        if row.failures < 2:
            return self.retry_ns
        return max(self.retry_ns, min(self.retry_ns << min(row.failures - 1, 16), WAIT_NS))

    cdef bint _anchor(self, Exit* row, int instrument, int side, int64_t now_ns) noexcept nogil:
        """Is there a bound for this side? Taken anew where it is old, or of the other side."""
        cdef int64_t bound
        if row.anchor_ns and row.side == side and now_ns - row.anchor_ns < self._wait(row):
            return True
        bound = self._bound(<Book>self.book_rows[instrument], instrument, side, now_ns)
        if not bound:
            self.unpriced += 1
            row.anchor_ns = 0
            return False
        row.side, row.bound_ticks, row.anchor_ns, row.tried = side, bound, max(now_ns, 1), False
        return True

    cdef int64_t _own2(self, Book book, int64_t now_ns) noexcept nogil:
        """Twice the mid of a book that can be gone by: synced, with two sides, and not old. 0 = it cannot."""
        cdef Level bid, ask
        if not book.usable() or now_ns - book.changed_ns > self.reference.fresh_ns:
            return 0
        return bid.price_ticks + ask.price_ticks if book.best_bid(&bid) and book.best_ask(&ask) else 0

    cdef int64_t _bound(self, Book book, int instrument, int side, int64_t now_ns) noexcept nogil:
        """The worst price: so far from the reference, on the order tick on its near side, inside the venue's own filters. Its own
        book is one of the reference's sources where it can be gone by, and not needed. 0 where there is none."""
        cdef Instrument* row = &self.instruments.rows[instrument]
        cdef int64_t mid2, bound, low2 = 0, high2 = 0, limit = self._own2(book, now_ns), step = max(row.tick_step, 1)
        cdef Level bid, ask
        if self.reference.around(instrument, limit, now_ns, &low2, &high2) == 0:
            if not book.usable() or not book.best_bid(&bid) or not book.best_ask(&ask):
                return 0
            low2 = high2 = bid.price_ticks + ask.price_ticks        # old, but all there is
        mid2 = (low2 + high2) >> 1
        limit = limit if limit else low2    # the venue's percent filter is around its own price: the book is the nearest to it
        if side == SELL:
            bound = (mid2 - part(mid2, self.slippage_ppm) + 1) // 2
            if row.up_ppm:
                bound = max(bound, (limit - part(limit, row.down_ppm) + 1) // 2)
            bound = max(bound, row.min_price_ticks, 1)
            bound = (bound + step - 1) // step * step
            return bound if not row.max_price_ticks or bound <= row.max_price_ticks else 0
        bound = (mid2 + part(mid2, self.slippage_ppm)) // 2
        if row.up_ppm:
            bound = min(bound, (limit + part(limit, row.up_ppm)) // 2)
        if row.max_price_ticks:
            bound = min(bound, row.max_price_ticks)
        bound -= bound % step
        return bound if bound >= max(row.min_price_ticks, 1) else 0

    cdef bint _reachable(self, Book book, int side, int64_t bound, int64_t now_ns) noexcept nogil:
        """Is there anybody within the bound? An order that cannot trade says nothing but where we are hurt. A book that cannot be
        gone by is not asked: the order is immediate or cancel, and no worse than its bound."""
        cdef Level level
        if not self._own2(book, now_ns) or not (book.best_bid(&level) if side == SELL else book.best_ask(&level)):
            return True
        if level.price_ticks < bound if side == SELL else level.price_ticks > bound:
            self.beyond += 1
            return False
        return True

    cdef int64_t _slice(self, int instrument, int side, int64_t lots, int64_t ticks) noexcept nogil:
        """Lots of the next order: what is free, no more than the venue takes at once, and no rest that could not be closed."""
        cdef Instrument* row = &self.instruments.rows[instrument]
        cdef int64_t step = max(row.lot_step, 1), least = max(row.min_size_lots, 1)
        cdef int64_t size = self._free(instrument, side, lots), notional
        if row.max_size_lots:
            size = min(size, row.max_size_lots)
        notional = self.instruments.notional_e8(instrument, ticks, size)
        if notional < 0 or row.max_notional_e8 and notional > row.max_notional_e8:
            size = _lots_for(row, row.max_notional_e8 if row.max_notional_e8 else MONEY_MOST, ticks)
        size -= size % step
        if 0 < lots - size < least and size - (least - (lots - size)) >= least:
            size -= least - (lots - size)
            size -= size % step
        if not self.closable(instrument, NET, size, ticks):
            self.blocked += 1
            return 0
        return size

    cdef int64_t _free(self, int instrument, int side, int64_t lots) noexcept nogil:
        """What no other order could close as well. Perpetuals have reduce-only orders: other exits alone count (stop orders rest
        beside them, what else rests is being cancelled). On spot all that sells is locked, others' too: the rest follows when
        the cancels are confirmed."""
        cdef int64_t others
        exposure = &self.orders.exposure[instrument]
        if self.instruments.rows[instrument].is_perpetual:
            others = exposure.exit_sell_lots if side == SELL else exposure.exit_buy_lots
        elif side == SELL:
            others = exposure.sell_lots + exposure.foreign_sell_lots
        else:
            others = exposure.buy_lots
        return lots - others if lots > others else 0

    # ---- for Python: reports, tests ----

    def row(self, int instrument, int leg=0) -> dict:
        """One leg's exit as a dict."""
        self.instruments._check(instrument)
        return <object>self.rows[instrument * <int>LEGS + leg]

    def state(self) -> dict:
        """{active, proposed, refused, last_reason, unanswered, unpriced, beyond, blocked, full}: how many positions are being
        closed, and how often an exit left, was refused by the gate, waited for an answer, found no price, nobody within the
        bound, or nothing that was free."""
        return {"active": self.active, "proposed": self.proposed, "refused": self.refused, "last_reason": self.last_reason,
                "unanswered": self.unanswered, "unpriced": self.unpriced, "beyond": self.beyond, "blocked": self.blocked,
                "full": self.outbox.full}


cdef int64_t part(int64_t value, int64_t ppm) noexcept nogil:
    """`value` * ppm / 1,000,000 in two exact steps: the product does not fit at 2**49 * 200,000."""
    return value // PPM * ppm + value % PPM * ppm // PPM


cdef int64_t ratio(int64_t a, int64_t b, int64_t c, int64_t d, bint up) noexcept nogil:
    """a * b / (c * d), rounded down or up; none may be negative."""
    return tg_ratio(a, b, c, d, up)


cdef int64_t lots_up(const Instrument* row, int64_t base_e8) noexcept nogil:
    """Base coins * 10**8 as lots of a spot instrument, rounded up."""
    cdef int i
    cdef int64_t scale = 1
    for i in range(row.size_decimals):
        scale *= 10
    return tg_ratio(base_e8, scale, E8, row.lot_mantissa, True)


cdef int64_t _lots_for(const Instrument* row, int64_t money_e8, int64_t ticks) noexcept nogil:
    """The most lots whose notional at `ticks` is not above `money_e8`."""
    return tg_ratio(money_e8, row.money_div, ticks, row.money_mul, False)

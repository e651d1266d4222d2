"""A simple two-sided market maker: one post-only quote a side around the mid, leaned against the position.

Built in so that the node has something true to run: it shows quoting, re-quoting, fills and refusals. It makes no claim
to earn anything. A quote is moved by cancelling it and placing a new one once the venue has said that it is gone, so
there is never more than one order a side.
"""

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

from ext.book cimport Book
from ext.orders cimport Order
from ext.records cimport BUY, FILLED, FREE, POST_ONLY, SELL, Level, mix


# A cancel may be lost or refused while its order lives on: it is repeated, ever more slowly, until the order is gone.
cdef int64_t CANCEL_AGAIN_NS = 500_000_000


WHYS = ("place", "move", "pull", "cancel again")     # by bit of Why: one turn may do several, one a side
SIGNALS = {why: (" and ".join([WHYS[i] for i in range(4) if why >> i & 1]), "fair:half_ticks", "bid:ticks", "ask:ticks",
                 "skew:ticks") for why in range(1, 16)}


cdef class Quoter(Strategy):
    """`quote(...)` enables an instrument; `attach` must have been called. Says why it quotes: fair price, where both quotes should
    stand, and how far they are shifted against the position."""

    signals = SIGNALS

    def __dealloc__(self):
        free(self.rows)

    def quote(self, int instrument, *, int64_t half_spread_ticks, int64_t size_lots, int64_t requote_ticks=1,
              int64_t lean_lots=0, int64_t wait_ns=50_000_000):
        """Quote an instrument: half spread and requote distance in ticks, size and lean in lots."""
        if self.instruments is None or not 0 <= instrument < self.instruments.count:
            raise ValueError(f"instrument {instrument}: not in the table")
        if half_spread_ticks < 1 or size_lots < 1 or requote_ticks < 1 or lean_lots < 0 or wait_ns < 0:
            raise ValueError("half_spread_ticks, size_lots and requote_ticks must be at least 1, the rest not negative")
        if self.rows == NULL:
            self.count = self.instruments.count
            self.rows = <Quoting*>calloc(self.count, sizeof(Quoting))
            if self.rows == NULL:
                raise MemoryError()
        cdef Quoting* row = &self.rows[instrument]
        row.half_spread_ticks, row.size_lots, row.requote_ticks = half_spread_ticks, size_lots, requote_ticks
        row.lean_lots, row.wait_ns, row.enabled = lean_lots, wait_ns, True

    def configure(self, **values):
        """`quote` as a parameter set on a running engine: {instrument, half_spread_ticks, size_lots, ...}."""
        self.quote(**values)

    cdef uint64_t digest(self, uint64_t hash) noexcept:
        cdef int i
        cdef Quoting* row
        for i in range(self.count):
            row = &self.rows[i]
            hash = mix(mix(mix(hash, row.enabled), row.half_spread_ticks), row.size_lots)
            hash = mix(mix(mix(hash, row.requote_ticks), row.lean_lots), row.wait_ns)
            hash = mix(mix(hash, row.order_id[0]), row.order_id[1])
            hash = mix(mix(hash, row.not_before_ns[0]), row.not_before_ns[1])
            hash = mix(mix(hash, row.cancel_again_ns[0]), row.cancel_again_ns[1])
        return hash

    cpdef int on_book(self, int instrument, int64_t now_ns) except -1:
        cdef Level bid, ask
        cdef Quoting* row
        cdef Book book
        cdef int64_t half, lean, size, position, want, buy, step
        if instrument >= self.count or not self.rows[instrument].enabled:
            return 0
        row = &self.rows[instrument]
        book = <Book>self.books[instrument]
        if not (book.best_bid(&bid) and book.best_ask(&ask)):
            return 0
        position = self.account.rows[instrument].lots
        half = max(row.half_spread_ticks * self.dial(0) // 1000, 1)
        size = row.size_lots * self.dial(1) // 1000
        lean = half * position // row.lean_lots if row.lean_lots else 0
        step = self.instruments.rows[instrument].tick_step
        size -= size % self.instruments.rows[instrument].lot_step
        want = min((bid.price_ticks + ask.price_ticks) // 2 - half - lean, ask.price_ticks - 1)
        buy = want - want % step
        self.why = 0
        self._side(instrument, BUY, buy, size, now_ns)
        want = max((bid.price_ticks + ask.price_ticks + 1) // 2 + half - lean, bid.price_ticks + 1) + step - 1
        self._side(instrument, SELL, want - want % step, size, now_ns)
        if self.why:
            self.signal(self.why, bid.price_ticks + ask.price_ticks, buy, want - want % step, -lean)
        return 0

    cpdef int on_order(self, int instrument, int side, uint64_t order_id, int64_t now_ns) except -1:
        if instrument < self.count:
            self.rows[instrument].order_id[side] = order_id
        return 0

    cdef int _side(self, int instrument, int side, int64_t want_ticks, int64_t size_lots, int64_t now_ns) except -1:
        """Keep one quote on one side: move it where it is too far off, place it where there is none."""
        cdef Quoting* row = &self.rows[instrument]
        cdef Order* order = self.orders.find(row.order_id[side])
        cdef int64_t off
        if order != NULL and FREE < order.state < FILLED:
            off = order.price_ticks - want_ticks
            if order.cancel_asked == 0 and not (off >= row.requote_ticks or -off >= row.requote_ticks or size_lots == 0):
                return 0
            if order.cancel_asked == 0 or now_ns >= row.cancel_again_ns[side]:
                row.cancel_again_ns[side] = now_ns + (CANCEL_AGAIN_NS << min(order.cancel_asked, 6))
                self.why |= WHY_AGAIN if order.cancel_asked else WHY_PULL if size_lots == 0 else WHY_MOVE
                self.withdraw(order.id)
            return 0
        if now_ns < row.not_before_ns[side] or want_ticks < 1 or size_lots < 1:
            return 0
        row.not_before_ns[side] = now_ns + row.wait_ns
        self.why |= WHY_PLACE
        self.place(instrument, side, want_ticks, size_lots, POST_ONLY)
        return 0

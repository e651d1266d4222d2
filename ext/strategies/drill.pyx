"""A drill, not a strategy: proposes one order that no limit allows, so that a run shows the gate refusing it."""

from libc.stdint cimport int64_t

from ext.book cimport Book
from ext.records cimport BUY, GTC, Level
from ext.orders cimport Orders
from ext.strategy cimport Strategy


cdef class Drill(Strategy):
    """On the first synced book after `after_ns` of running, tries to buy `size_lots` of it, once. `behind_others`: only where
    an order of another strategy rests, so that it is the limit that refuses, not a start that is not over."""
    cdef int64_t after_ns, size_lots, first_ns
    cdef bint behind_others
    cdef readonly bint done

    def __init__(self, int64_t after_ns, int64_t size_lots=1 << 40, bint behind_others=False):
        self.after_ns, self.size_lots, self.behind_others = after_ns, size_lots, behind_others

    cpdef int on_book(self, int instrument, int64_t now_ns) except -1:
        cdef Level bid
        if self.behind_others and not self.orders.exposure[instrument].open_orders:
            return 0
        if self.first_ns == 0:
            self.first_ns = now_ns
        if not self.done and now_ns - self.first_ns >= self.after_ns and (<Book>self.books[instrument]).best_bid(&bid):
            self.done = True
            self.place(instrument, BUY, bid.price_ticks, self.size_lots, GTC)
        return 0

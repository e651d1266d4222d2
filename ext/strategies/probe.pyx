"""One order for every book update: what the latency suite runs, to time the whole chain on every frame."""

from libc.stdint cimport int64_t

from ext.book cimport Book
from ext.records cimport BUY, IOC, Level
from ext.strategy cimport Strategy


cdef class Probe(Strategy):
    """Buys `size_lots` at the best ask, immediate-or-cancel, on every update of every synced book."""
    cdef int64_t size_lots
    cdef int64_t seen[64]       # updates of each book that were answered: answers to orders are no reason for another

    def __init__(self, int64_t size_lots=1):
        self.size_lots = size_lots

    cpdef int on_book(self, int instrument, int64_t now_ns) except -1:
        cdef Level ask
        cdef Book book = <Book>self.books[instrument]
        if book.updates == self.seen[instrument & 63]:
            return 0
        self.seen[instrument & 63] = book.updates
        if book.best_ask(&ask):
            self.place(instrument, BUY, ask.price_ticks, self.size_lots * self.instruments.rows[instrument].lot_step, IOC)
        return 0

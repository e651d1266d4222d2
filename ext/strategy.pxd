"""What a strategy is: it is told of books and fills, and proposes intents. Subclass it in Python or Cython."""

from libc.stdint cimport int64_t, uint64_t

from ext.account cimport Account
from ext.book cimport Book
from ext.instruments cimport Instruments
from ext.orders cimport Orders
from ext.records cimport Intent, Report, Trade

cdef enum:
    PROPOSALS_MAX = 32       # intents in one turn; more is a strategy gone wild and is refused


cdef class Strategy:
    cdef readonly int number
    cdef readonly Instruments instruments
    cdef readonly Orders orders
    cdef readonly Account account
    cdef list books
    cdef int64_t* dials              # values as last read, neutral where expired
    cdef int dial_count
    cdef Intent proposals[PROPOSALS_MAX]
    cdef int proposed
    cdef readonly int64_t dropped    # proposals beyond PROPOSALS_MAX

    cpdef int on_book(self, int instrument, int64_t now_ns) except -1
    cpdef int on_order(self, int instrument, int side, uint64_t order_id, int64_t now_ns) except -1
    cpdef int on_fill(self, int instrument, uint64_t order_id, int side, int64_t price_ticks, int64_t size_lots,
                      int64_t now_ns) except -1
    cpdef int on_timer(self, int64_t now_ns) except -1
    cdef int on_trade(self, const Trade* trade, int64_t now_ns) except -1
    cdef Intent* propose(self) noexcept nogil
    cdef int place(self, int instrument, int side, int64_t price_ticks, int64_t size_lots, int tif) noexcept nogil
    cdef int withdraw(self, uint64_t order_id) noexcept nogil
    cdef int change(self, uint64_t order_id, int64_t price_ticks, int64_t size_lots) noexcept nogil
    cdef int64_t dial(self, int index) noexcept nogil
    cdef int _check(self, int instrument) except -1

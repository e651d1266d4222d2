"""What a strategy is: it is told of books and fills, and proposes intents. Subclass it in Python or Cython."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from ext.account cimport Account
from ext.book cimport Book
from ext.instruments cimport Instruments
from ext.orders cimport Orders
from ext.records cimport Intent, Report, SignalRow, Trade

cdef enum:
    PROPOSALS_MAX = 32       # intents in one turn; more is a strategy gone wild and is refused

cdef enum What:
    TELL_BOOK
    TELL_LOST
    TELL_TRADE
    TELL_FILL
    TELL_ORDER
    TELL_TIMER

ctypedef struct Tell:
    # What a strategy is told: which of its methods, and with what.
    int32_t what             # What
    int32_t instrument
    int32_t side
    uint64_t order_id
    int64_t price_ticks
    int64_t size_lots
    const Trade* trade       # TELL_TRADE


cdef class OrdersView:
    cdef Orders _orders


cdef class AccountView:
    cdef Account _account


cdef class Strategy:
    cdef readonly int number
    cdef readonly Instruments instruments
    cdef Orders orders               # Python sees an OrdersView and an AccountView under these names
    cdef Account account
    cdef OrdersView _orders_view
    cdef AccountView _account_view
    cdef list books
    cdef int64_t* dials              # values as last read, neutral where expired
    cdef int dial_count
    cdef Intent proposals[PROPOSALS_MAX]
    cdef int proposed
    cdef SignalRow signal_row        # why: of this turn, where `signalled`
    cdef bint signalled
    cdef int about                   # instrument of what it was told last, -1 = a timer
    cdef readonly int64_t dropped    # proposals beyond PROPOSALS_MAX
    cdef int64_t dropped_told        # of these, what was counted as faults
    cdef readonly int64_t faults     # calls that failed and turns with nonsense in them, ever
    cdef readonly int64_t strikes    # of these, since it was last switched on
    cdef readonly str last_error
    cdef readonly int64_t calls
    cdef readonly bint inside        # one of its methods has not returned yet
    cdef readonly bint timed_out     # ... the last one never did
    cdef set interrupted             # for a replay: the calls that timed out when they were recorded

    cdef uint64_t digest(self, uint64_t hash) noexcept
    cdef bint call(self, const Tell* tell, int64_t now_ns) except -1
    cdef int _dispatch(self, const Tell* tell, int64_t now_ns) except -1
    cdef int strike(self, str why) except -1
    cdef int switch(self, bint on) noexcept
    cpdef int on_book_lost(self, int instrument, int64_t now_ns) except -1
    cpdef int on_book(self, int instrument, int64_t now_ns) except -1
    cpdef int on_order(self, int instrument, int side, uint64_t order_id, int64_t now_ns) except -1
    cpdef int on_fill(self, int instrument, uint64_t order_id, int side, int64_t price_ticks, int64_t size_lots,
                      int64_t now_ns) except -1
    cpdef int on_timer(self, int64_t now_ns) except -1
    cdef int on_trade(self, const Trade* trade, int64_t now_ns) except -1
    cpdef int signal(self, int kind, int64_t a=*, int64_t b=*, int64_t c=*, int64_t d=*) except -1
    cdef Intent* propose(self) noexcept nogil
    cdef int place(self, int instrument, int side, int64_t price_ticks, int64_t size_lots, int tif) noexcept nogil
    cdef int withdraw(self, uint64_t order_id) noexcept nogil
    cdef int change(self, uint64_t order_id, int64_t price_ticks, int64_t size_lots) noexcept nogil
    cdef int64_t dial(self, int index) noexcept nogil
    cdef int _check(self, int64_t instrument) except -1

"""Our orders: a preallocated table, a one-way state lattice, and the reserved exposure that follows from them."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from ext.records cimport Intent, Report

ctypedef struct Order:
    uint64_t id              # also in the client order id; low bits are the row
    int32_t state            # OrderState
    int32_t instrument
    int32_t strategy
    int32_t side
    int32_t type
    int32_t tif
    int32_t reduce_only
    int32_t cancel_asked     # cancels written for it
    int32_t reject_code
    int64_t price_ticks
    int64_t size_lots
    int64_t filled_lots      # from fills applied once each
    int64_t intent_ns
    int64_t sent_ns
    int64_t heard_ns         # last word from the venue

ctypedef struct Exposure:
    # What could still happen to the position of one instrument: everything not terminal, UNKNOWN included.
    int64_t buy_lots
    int64_t sell_lots
    int32_t open_orders

ctypedef struct TradeKey:
    int64_t hi
    int64_t lo
    uint64_t order_id        # 0 = free; two orders of ours that met each other share a trade id
    int64_t fee_due          # the fill came without its fee


cdef class Orders:
    cdef Order* rows
    cdef Exposure* exposure
    cdef readonly int capacity
    cdef readonly int instruments
    cdef uint64_t mask
    cdef readonly uint64_t next_id
    cdef TradeKey* seen[2]
    cdef int64_t seen_count
    cdef int seen_turn
    cdef bint fee_came               # the last report told the fee of a fill that had come without one
    cdef readonly int64_t duplicates, foreign, unexpected
    cdef int64_t counts[16]   # orders that reached each OrderState

    cdef Order* find(self, uint64_t id) noexcept nogil
    cdef Order* reserve(self, const Intent* intent, int64_t now_ns) noexcept nogil
    cdef int to_state(self, Order* order, int state, int64_t now_ns) except -1
    cdef int64_t on_report(self, const Report* report, int64_t now_ns) except -1
    cdef bint first_sight(self, const Report* report) noexcept nogil
    cdef int _finish(self, Order* order, int state, int64_t now_ns) except -1
    cdef int _closed(self, Order* order, int64_t filled_lots, int state, int64_t now_ns) except -1
    cdef int64_t _fill(self, Order* order, const Report* report, int64_t now_ns) except -1
    cdef bint is_open(self, const Order* order) noexcept nogil

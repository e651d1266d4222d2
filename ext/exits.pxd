"""Orders that close positions: one at a time, bounded in price, never more than the position."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from ext.account cimport Account
from ext.book cimport Book
from ext.instruments cimport Instruments
from ext.orders cimport Order, Orders
from ext.records cimport Instrument, Intent
from ext.reference cimport Reference

cdef enum:
    OUTBOX_MAX = 64

ctypedef struct Exit:
    # One position (a leg, or the net) that is to shrink.
    int32_t whys             # HaltReason bits: for as long as one is set, what is above `leave_lots` is closed
    int32_t side             # of the anchor
    int32_t asked            # proposed, and the engine has not said what became of it
    int32_t tried            # an order left under this anchor
    int32_t failures         # refusals and rejects since a fill
    int32_t pad
    int64_t leave_lots       # what may stay, without sign; 0 = nothing
    int64_t anchor_ns        # when the bound was taken, 0 = none is
    int64_t bound_ticks      # worst price
    uint64_t order_id        # the last exit, 0 = none yet
    uint64_t judged_id       # the last one of which `failures` knows


cdef class Outbox:
    """Proposals of one event, for the engine to take through risk."""
    cdef Intent rows[OUTBOX_MAX]
    cdef int count
    cdef readonly int64_t full       # proposals for which there was no room: made again with the next event

    cdef Intent* add(self) noexcept nogil


cdef class Exits:
    cdef readonly Instruments instruments
    cdef readonly Orders orders
    cdef readonly Account account
    cdef readonly Reference reference
    cdef readonly Outbox outbox
    cdef list books
    cdef void** book_rows            # borrowed from `books`
    cdef Exit* rows                  # [instrument * LEGS + leg]
    cdef readonly int active         # positions that are being closed
    cdef readonly int64_t slippage_ppm, retry_ns
    cdef readonly int64_t proposed, refused, unanswered, unpriced, beyond, blocked
    cdef readonly int last_reason    # Reason of the last refusal by the gate

    cdef int64_t lots(self, int instrument, int leg) noexcept nogil
    cdef int64_t closable(self, int instrument, int leg, int64_t lots, int64_t ticks) noexcept nogil
    cdef bint is_flat(self, int instrument) noexcept nogil
    cdef bint is_busy(self, int instrument) noexcept nogil
    cdef int start(self, int instrument, int why) noexcept nogil
    cdef int halve(self, int instrument, int why) noexcept nogil
    cdef int stop(self, int instrument, int why) noexcept nogil
    cdef int work(self, int instrument, int64_t now_ns) noexcept nogil
    cdef int answered(self, const Intent* intent, uint64_t order_id, int reason) noexcept nogil
    cdef int _next(self, int instrument, int leg, int64_t now_ns) noexcept nogil
    cdef bint _anchor(self, Exit* row, int instrument, int side, int64_t now_ns) noexcept nogil
    cdef int _judge(self, Exit* row, const Order* last) noexcept nogil
    cdef int64_t _wait(self, const Exit* row) noexcept nogil
    cdef int64_t _own2(self, Book book, int64_t now_ns) noexcept nogil
    cdef int64_t _bound(self, Book book, int instrument, int side, int64_t now_ns) noexcept nogil
    cdef bint _reachable(self, Book book, int side, int64_t bound, int64_t now_ns) noexcept nogil
    cdef int64_t _slice(self, int instrument, int side, int64_t lots, int64_t ticks) noexcept nogil
    cdef int64_t _free(self, int instrument, int side, int64_t lots) noexcept nogil


cdef int64_t part(int64_t value, int64_t ppm) noexcept nogil
cdef int64_t ratio(int64_t a, int64_t b, int64_t c, int64_t d, bint up) noexcept nogil
cdef int64_t lots_up(const Instrument* row, int64_t base_e8) noexcept nogil

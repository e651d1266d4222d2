"""How often: orders, amends and cancels in a time, cancels to fills, orders to trades, the same execution again and again."""

from libc.stdint cimport int32_t, int64_t

cpdef enum Moved:
    # What a fill did to its position, or its leg.
    GREW = 0
    FLAT_NOW = 1
    TURNED = 2
    SHRANK = 3

cdef enum:
    STRATEGIES = 64
    SLOTS = 256              # buckets of a window, at most: a power of two
    DAYS = 32                # of day trades

ctypedef struct Ring:
    # When the last `most` things happened.
    int64_t* times
    int64_t most             # -1 = not asked for
    int64_t window_ns
    int64_t at               # the oldest of them: where the next one goes
    int64_t last_ns          # the newest

ctypedef struct Counts:
    # Two counts over a window, in buckets of 2 ** shift ns: 64 to 128 of them.
    int32_t one[SLOTS]
    int32_t two[SLOTS]
    int64_t window_ns        # 0 = not asked for
    int64_t bucket           # the newest
    int64_t oldest           # the oldest that counts
    int64_t ones
    int64_t twos
    int32_t shift


cdef class Throttle:
    cdef Ring orders
    cdef Ring amends
    cdef Ring cancels                # one more than the limit: that many within the window are too many
    cdef Counts flow                 # cancels, fills
    cdef Ring repeats[3 * STRATEGIES]    # [3 * strategy + side], and of round trips [... + 2]
    cdef readonly int64_t repeat_fills, repeat_trips, repeat_ns
    cdef readonly int instruments
    cdef int64_t* opened             # by LEGS * instrument + LegKind: day on which it grew and was not reduced since, -1 = none
    cdef int64_t day_until_ns
    cdef readonly int64_t day        # since 1970
    cdef readonly int64_t day_orders, day_fills      # of today
    cdef int64_t trades[DAYS]        # day trades by day % DAYS
    cdef int64_t trade_days[DAYS]    # which day that is
    cdef readonly int64_t span_days
    cdef readonly int64_t day_trades # of the last `span_days` days, today included

    cdef int64_t since_order(self, int64_t now_ns) noexcept nogil
    cdef int64_t since_amend(self, int64_t now_ns) noexcept nogil
    cdef int64_t since_cancel(self, int64_t now_ns) noexcept nogil
    cdef int roll(self, int64_t now_ns) noexcept nogil
    cdef int advance(self, int64_t now_ns) noexcept nogil
    cdef int on_order(self, bint amend, int64_t now_ns) noexcept nogil
    cdef int on_cancel(self, int64_t now_ns) noexcept nogil
    cdef bint on_fill(self, int strategy, int instrument, int leg, int side, int moved, int64_t made_ns,
                      int64_t now_ns) noexcept nogil
    cdef int _move(self, int place, int moved, int64_t day) noexcept nogil
    cdef bint _again(self, Ring* ring, int64_t now_ns) noexcept nogil
    cdef int _trade(self, int64_t day, int64_t count) noexcept nogil
    cdef int _sum(self) noexcept nogil

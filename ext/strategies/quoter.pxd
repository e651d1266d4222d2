"""A simple two-sided market maker: one post-only quote a side around the mid, leaned against the position."""

from libc.stdint cimport int64_t, uint64_t

from ext.strategy cimport Strategy

ctypedef struct Quoting:
    int enabled
    int64_t half_spread_ticks
    int64_t size_lots
    int64_t requote_ticks        # how far a quote may stand from where it should before it is moved
    int64_t lean_lots            # position at which the quotes are shifted by one half spread
    int64_t wait_ns              # pause on a side after a quote was refused or taken away
    uint64_t order_id[2]
    int64_t not_before_ns[2]
    int64_t cancel_again_ns[2]   # when a cancel that nothing came of is repeated


cdef enum Why:
    WHY_PLACE = 1                # no quote stands on a side
    WHY_MOVE = 2                 # a quote stands too far from where it should
    WHY_PULL = 4                 # the dial says that nothing is to be quoted
    WHY_AGAIN = 8                # a cancel that nothing came of


cdef class Quoter(Strategy):
    cdef Quoting* rows
    cdef int count
    cdef int why                     # of this turn: bits of Why

    cdef uint64_t digest(self, uint64_t hash) noexcept
    cdef int _side(self, int instrument, int side, int64_t want_ticks, int64_t size_lots, int64_t now_ns) except -1

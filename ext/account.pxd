"""Positions and profit from fills, in exact integers."""

from libc.stdint cimport int64_t

ctypedef struct Position:
    int64_t lots             # signed
    int64_t cash             # quote, in tick * lot units: sold minus bought. Exact; profit = cash + lots * mark
    int64_t fee_e8           # fees in quote, paid is positive
    int64_t fee_base_e8      # fees in the base coin: on spot they were never received
    int64_t other_fees       # fills whose fee was in another coin (counted, not converted)
    int64_t bought_lots
    int64_t sold_lots
    int64_t fills


cdef class Account:
    cdef Position* rows
    cdef readonly int instruments

    cdef int on_fill(self, int instrument, int side, int64_t ticks, int64_t lots, int64_t fee_e8,
                     int fee_is_quote) except -1
    cdef int on_fee(self, int instrument, int64_t fee_e8, int fee_is_quote) except -1
    cdef int64_t profit(self, int instrument, int64_t bid_ticks, int64_t ask_ticks) noexcept nogil

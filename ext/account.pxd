"""Positions, profit, fees and funding from what the venues tell, in exact integers."""

from libc.stdint cimport int32_t, int64_t

cdef enum:
    THIRD_MAX = 16           # coins besides quote and base that fees were ever paid in
    THIRD_NAME = 12

ctypedef struct Leg:
    # One position of an instrument. Money is in tick * lot units; its cash is realised - cost, always.
    int64_t lots             # signed
    int64_t cost             # what the open lots were bought for; of a short: minus what they were sold for
    int64_t realised
    int64_t began_ns         # when the open position began, 0 = flat
    int64_t trips            # how often it became flat, or turned
    int64_t last_ns          # venue's time of the newest fill
    int32_t last_side
    int32_t late             # fills since it was flat that came behind newer ones: cost is not as the venue's then

ctypedef struct Position:
    int64_t lots             # signed, all legs together
    int64_t cash             # quote, in tick * lot units: sold minus bought. Exact; profit = cash + lots * mark
    int64_t fee_e8           # fees in quote, paid is positive
    int64_t fee_base_e8      # fees in the base coin: on spot they were never received
    int64_t other_fees       # fills whose fee was in another coin
    int64_t nameless_fees    # of these, how many did not say in which: nobody can value them
    int64_t funding_e8       # in quote, received is positive
    int64_t bought_lots
    int64_t sold_lots
    int64_t fills
    Leg legs[3]              # by records.LegKind


cdef class Account:
    cdef Position* rows
    cdef int64_t* third              # fees in other coins, 1e-8 of each: [instrument * THIRD_MAX + coin]
    cdef char third_names[THIRD_MAX][THIRD_NAME]
    cdef readonly int third_count
    cdef readonly int instruments

    cdef int on_fill(self, int instrument, int side, int leg, int64_t ticks, int64_t lots, int64_t now_ns) except -1
    cdef bint fits(self, int instrument, int side, int leg, int64_t ticks, int64_t lots) noexcept nogil
    cdef bint fee_fits(self, int instrument, int64_t fee_e8, int fee_is_quote, const char* coin) noexcept nogil
    cdef bint funding_fits(self, int instrument, int64_t amount_e8) noexcept nogil
    cdef bint leg_fits(self, int instrument, int leg, int64_t lots, int64_t cash, int64_t cost) noexcept nogil
    cdef int64_t* _fees_of(self, int instrument, int64_t fee_e8, int fee_is_quote, const char* coin) noexcept nogil
    cdef int on_fee(self, int instrument, int64_t fee_e8, int fee_is_quote, const char* coin) except -1
    cdef int on_funding(self, int instrument, int64_t amount_e8) except -1
    cdef int set_leg(self, int instrument, int leg, int64_t lots, int64_t cash, int64_t cost, int64_t now_ns) except -1
    cdef int64_t profit(self, int instrument, int64_t bid_ticks, int64_t ask_ticks) noexcept nogil
    cdef int _third(self, const char* coin) noexcept nogil

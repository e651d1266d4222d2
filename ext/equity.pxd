"""What the account is worth and what could still happen to it: mark-to-market, worst-case exposure, margin."""

from libc.stdint cimport int32_t, int64_t

from ext.account cimport Account
from ext.instruments cimport Instruments
from ext.orders cimport Orders
from ext.records cimport EquityRow

cdef enum:
    COINS_MAX = 256
    PURSES_MAX = 8

ctypedef struct Worth:
    # One instrument. Money is 1e-8 of the account's currency (a quote coin counts at the price it was given, 1 where none was).
    int32_t purse
    int32_t coin
    int32_t is_perpetual
    int32_t leverage             # configured; 1 = paid in full
    int32_t maintenance_ppm
    int64_t ticks                # what orders and positions are valued at; 0 = never marked
    int64_t marked_ns
    int64_t profit_e8            # of every fill so far; the open position at the worse of book and mark
    int64_t open_e8              # of that, what the open position has made against its average cost
    int64_t long_e8              # signed notional if every order that buys fills, and none that sells
    int64_t short_e8             # ... if every order that sells fills
    int64_t gross_e8             # the larger of both, without sign
    int64_t margin_e8            # initial margin of it
    int64_t maintenance_e8

ctypedef struct Pool:
    # Sums over a coin, a purse, or everything.
    int64_t profit_e8
    int64_t long_e8
    int64_t short_e8
    int64_t gross_e8
    int64_t margin_e8
    int64_t maintenance_e8
    int64_t perpetual_e8         # of gross, in perpetuals
    int64_t fees_e8
    int64_t funding_e8
    int64_t capital_e8
    int32_t known


cdef class Equity:
    cdef readonly Instruments instruments
    cdef readonly Orders orders
    cdef readonly Account account
    cdef Worth* rows
    cdef Pool coins[COINS_MAX]
    cdef Pool purses[PURSES_MAX]
    cdef Pool total
    cdef readonly int coin_count, purse_count
    cdef readonly int64_t peak_e8, day_e8, day
    cdef readonly int64_t overflows      # valuations that did not fit: counted as the largest number there is

    cdef int mark(self, int instrument, int64_t bid_ticks, int64_t ask_ticks, int64_t mark_e8, int64_t now_ns) noexcept nogil
    cdef int recount(self, int instrument) noexcept nogil
    cdef int64_t equity_e8(self) noexcept nogil
    cdef int64_t purse_e8(self, int purse) noexcept nogil
    cdef bint is_known(self) noexcept nogil
    cdef int roll(self, int64_t now_ns) noexcept nogil
    cdef int fill_row(self, int purse, EquityRow* out) noexcept nogil

"""What the account is worth and what could still happen to it: mark-to-market, worst-case exposure, margin."""

from libc.stdint cimport int32_t, int64_t

from ext.account cimport THIRD_MAX, Account
from ext.instruments cimport Instruments
from ext.orders cimport Orders
from ext.records cimport EquityRow

cdef enum:
    COINS_MAX = 256
    PURSES_MAX = 8
    MARKETS_MAX = 8

ctypedef struct Worth:
    # One instrument. Money is 1e-8 of the account's currency (a quote coin counts at the price it was given, 1 where none was).
    int32_t purse
    int32_t coin                 # number of its base coin, -1 where it has none
    int32_t quote                # number of its quote coin, -1 where it has none
    int32_t is_perpetual
    int32_t leverage             # configured; 1 = paid in full
    int32_t maintenance_ppm
    int32_t blind                # something of it cannot be valued: a position never marked, a fee in a coin without a price
    int32_t unmarked             # a position of it was never marked: its result is not known at all
    int64_t ticks                # what orders and positions are valued at: the dearest of book and mark; 0 = never marked
    int64_t marked_ns
    int64_t exit_bid_ticks       # where a long could be closed: the worst of book and mark price
    int64_t exit_ask_ticks       # where a short could be closed
    int64_t book_bid_ticks       # as last told, 0 = never
    int64_t book_ask_ticks
    int64_t mark_e8
    int64_t mark_low_ticks       # that mark price, down and up to a tick
    int64_t mark_high_ticks
    int64_t mark_far_ns          # since when the mark is an outlier to its own book, 0 = it is none
    int64_t peak_longs           # most lots that were long while an order that only reduces could sell, since the last pass that agreed
    int64_t past_longs           # ... and between that pass and the one before
    int64_t peak_shorts
    int64_t past_shorts
    # From here on sums: the same order as in Pool.
    int64_t profit_e8            # of every fill so far; the open position at the worse of book and mark
    int64_t long_e8              # signed notional if every order that buys fills, and none that sells
    int64_t short_e8             # ... if every order that sells fills
    int64_t gross_e8             # the larger of both, without sign; in hedge mode both legs
    int64_t margin_e8            # initial margin of it: gross / leverage
    int64_t maintenance_e8       # of the open position
    int64_t perpetual_e8
    int64_t fees_e8              # in any coin
    int64_t funding_e8
    int64_t open_e8              # of profit, what the open position has made against its average cost

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
    int64_t open_e8
    int64_t capital_e8           # purses and the total only
    int32_t known                # the capital was told, and nothing is blind
    int32_t blind                # instruments that something of cannot be valued
    int32_t unmarked             # instruments with a position that was never marked
    int32_t whole                # the capital was told, and all of it had a price once: stops can measure from here on


cdef class Equity:
    cdef readonly Instruments instruments
    cdef readonly Orders orders
    cdef readonly Account account
    cdef Worth* rows
    cdef Pool coins[COINS_MAX]
    cdef Pool purses[PURSES_MAX]
    cdef Pool total
    cdef void* wide                      # the sums behind the pools, too wide to overflow
    cdef int64_t* capital                # [purse * COINS_MAX + coin]: 1e-8 of each coin; the last coin is the account's currency
    cdef int32_t told[PURSES_MAX]
    cdef int32_t purse_of[MARKETS_MAX]
    cdef int64_t price_e8[COINS_MAX]     # in the account's currency, as last known; quote coins begin with 1, others without: 0
    cdef int32_t priced[COINS_MAX]       # that price is known now
    cdef char names[COINS_MAX][16]
    cdef int32_t third[THIRD_MAX]        # coin number of each of the account's other fee coins, -1 = not looked up
    cdef readonly int coin_count, purse_count
    cdef readonly int64_t peak_e8, day_e8, day
    cdef readonly bint has_peak
    cdef bint is_settled                 # the peak was measured against what all purses told
    cdef int64_t waiting_e8              # flows that came while the equity could not be measured: the peak does not count them yet
    cdef int64_t gone_peak_e8, gone_e8   # peak and equity in front of the flow that left nothing
    cdef readonly int64_t overflows      # valuations that did not fit: counted as the largest number there is
    cdef readonly int64_t unvalued       # instruments that something of cannot be valued now

    cdef int mark(self, int instrument, int64_t bid_ticks, int64_t ask_ticks, int64_t mark_e8, int64_t now_ns) noexcept nogil
    cdef int64_t taken(self, int instrument, int side) noexcept nogil
    cdef int64_t sure_e8(self, int purse) noexcept nogil
    cdef int64_t _sure(self, int instrument) noexcept nogil
    cdef int settle(self, int instrument) noexcept nogil
    cdef int recount(self, int instrument) noexcept nogil
    cdef int64_t equity_e8(self) noexcept nogil
    cdef int64_t purse_e8(self, int purse) noexcept nogil
    cdef bint is_known(self) noexcept nogil
    cdef bint is_measured(self, int purse) noexcept nogil
    cdef int roll(self, int64_t now_ns) noexcept nogil
    cdef int _settle_flows(self) noexcept nogil
    cdef int _move_peak(self, int64_t before, int64_t after) noexcept nogil
    cdef int fill_row(self, int purse, EquityRow* out) noexcept nogil
    cdef int coin_number(self, const char* name, Py_ssize_t size) noexcept nogil
    cdef int put_capital(self, int purse, int coin, int64_t amount_e8) noexcept nogil
    cdef int put_flow(self, int purse, int coin, int64_t amount_e8) noexcept nogil
    cdef int put_peak(self, int64_t peak_e8, int64_t day_e8, int64_t day) noexcept nogil
    cdef int put_coin(self, int coin, int64_t price_e8) noexcept nogil
    cdef int _prices(self, int instrument, int64_t bid_ticks, int64_t ask_ticks, int64_t mark_e8, int64_t now_ns) noexcept nogil
    cdef bint _is_far(self, Worth* row, int64_t bid_ticks, int64_t ask_ticks, int64_t now_ns) noexcept nogil
    cdef int64_t _profit(self, int instrument, int64_t longs, int64_t shorts, int64_t cash) noexcept nogil
    cdef int64_t _money(self, int instrument, int64_t lots, bint up) noexcept nogil
    cdef int64_t _in_own(self, int instrument, int64_t money, int up) noexcept nogil
    cdef int64_t _base_fee(self, int instrument) noexcept nogil
    cdef int64_t _third_fees(self, int instrument) noexcept nogil
    cdef int _fees(self, int instrument) noexcept nogil
    cdef int _sum(self, int instrument, const int64_t* before, int32_t blind, int32_t unmarked) noexcept nogil
    cdef int _capitals(self) noexcept nogil
    cdef int _known(self) noexcept nogil

"""Every limit of the gate: per instrument, over the account, of the flow of orders, and of time."""

from libc.stdint cimport int32_t, int64_t, uint64_t

cdef enum:
    STRATEGIES_MAX = 64      # one bit each
    WINDOWS_MAX = 64

ctypedef struct Limits:
    # Per instrument. 0 means "none allowed", not "no limit": a limit that was not set forbids. From `max_open_notional_e8` on,
    # -1 means "not asked for".
    int64_t max_size_lots
    int64_t max_notional_e8
    int64_t max_position_lots
    int64_t collar_ppm           # furthest price from the reference, in millionths of it
    int64_t stale_ns             # oldest book that may be traded on
    int64_t duplicate_ns         # same side, price and size again within this time is refused
    int64_t max_open_notional_e8     # of all open orders
    int64_t walk_ppm             # furthest price from where the reference was `walk_ns` ago
    int64_t walk_ns
    int64_t slippage_ppm         # what an order that takes may cost against the reference, walking the book
    int64_t spread_ppm           # widest spread, of the mid
    int64_t range_ppm            # widest range of the mid within `range_ns`
    int64_t range_ns
    int64_t jump_ppm             # furthest move of the mid within `jump_ns`
    int64_t jump_ns
    int64_t jump_pause_ns        # no new risk for so long after a jump
    int64_t max_loss_e8          # open loss of the position
    int64_t funding_ppm          # largest rate, either sign, to be paid within `funding_ns`
    int64_t funding_ns
    int64_t maintenance_ppm
    int32_t max_open_orders
    int32_t leverage             # 0 = 1 (spot)
    int32_t allowed
    int32_t pad

ctypedef struct AccountLimits:
    # Over everything; -1 = not asked for.
    int64_t max_open_orders
    int64_t max_coin_e8          # worst-case notional of one base coin over all venues
    int64_t max_venue_e8         # ... of one purse: a venue's wallet and every market that shares it
    int64_t max_total_e8
    int64_t max_leverage_milli   # worst-case notional to equity
    int64_t margin_free_ppm      # of the equity, must not be bound as initial margin
    int64_t liquidation_ppm      # (equity - maintenance margin) to worst-case notional of perpetuals, at least
    int64_t max_daily_loss_e8
    int64_t max_drawdown_ppm     # from the peak, in millionths of it

ctypedef struct FlowLimits:
    # How often; -1 = not asked for.
    int64_t orders               # in any `window_ns`; with amends where they have no limit of their own
    int64_t amends
    int64_t cancels
    int64_t window_ns
    int64_t cancel_ratio_milli   # cancels to fills (no fill counts as one) within `cancel_ratio_ns`
    int64_t cancel_ratio_ns
    int64_t trade_ratio_milli    # new orders and amends to trades (none counts as one) over the UTC day
    int64_t same_side_fills      # of one strategy in any `repeat_ns`: at so many it is switched off
    int64_t round_trips
    int64_t repeat_ns
    int64_t day_trades           # round trips within a UTC day, over `day_trade_days` days ...
    int64_t day_trade_days
    int64_t day_trade_below_e8   # ... while the equity is below this; -1 = whatever it is

ctypedef struct Window:
    # [from, until) since 1970; where `until_ns` is not above one day, every UTC day, and it may wrap around midnight.
    int64_t from_ns
    int64_t until_ns
    int32_t kind                 # WindowKind
    int32_t pad


cdef class LimitTable:
    cdef readonly int instruments
    cdef readonly int order_capacity
    cdef readonly int version        # grows with each change
    cdef Limits* rows
    cdef uint64_t* may               # by instrument: bit s = strategy s may trade it, where strategy s has a list
    cdef uint64_t listed             # bit s = strategy s has a list
    cdef AccountLimits account
    cdef FlowLimits flow
    cdef Window windows[WINDOWS_MAX]
    cdef readonly int window_count

    cdef bint may_trade(self, int strategy, int instrument) noexcept nogil
    cdef int window(self, int64_t now_ns, int64_t* until_ns) noexcept nogil

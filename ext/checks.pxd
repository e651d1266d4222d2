"""Every pre-trade check: may this order be sent? Answers with a reason, its value and its limit."""

from cython cimport final
from libc.stdint cimport int32_t, int64_t, uint64_t

from ext.account cimport Account
from ext.book cimport Book
from ext.budget cimport Budgets
from ext.equity cimport Equity
from ext.instruments cimport Instruments
from ext.limits cimport Limits, LimitTable
from ext.orders cimport Order, Orders
from ext.records cimport CheckRow, DecisionRow, Instrument, Intent
from ext.reference cimport Reference
from ext.throttle cimport Throttle

cdef enum:
    REASON_ROOM = 80         # records.REASONS
    RECENT = 8               # orders that the duplicate guard remembers, by instrument and side: a power of two

    ASKED_MAX = 128          # more checks than there are

ctypedef struct Asked:
    # Every check that was asked of the order at hand, for its DECISION record.
    int32_t count
    int32_t instrument       # -1 = none was looked at
    int64_t low2             # the reference then
    int64_t high2
    CheckRow rows[ASKED_MAX]

ctypedef struct Guard:
    # What must hold for an instrument before risk is taken, as the cold side keeps it.
    int64_t reconciled_ns        # last pass that agreed with the venue
    int64_t cool_until_ns        # a stop fired a short while ago: no new risk before
    int64_t funding_e8           # rate that is paid next, 1e-8 of the notional
    int64_t funding_at_ns        # when, 0 = not told
    int32_t stop                 # HaltReason bits: nothing but cancels
    int32_t reduce               # HaltReason bits: nothing but what shrinks the position

ctypedef struct MarketGuard:
    int64_t clock_ns             # when the venue's clock was last measured
    int32_t private_ok           # the private stream is proven
    int32_t hedge                # the account has a long and a short leg of each perpetual

ctypedef struct Recent:
    # The last orders that passed, by instrument and side.
    int64_t price_ticks[RECENT]
    int64_t size_lots[RECENT]
    int64_t at_ns[RECENT]
    int32_t at               # the newest

ctypedef struct Case:
    # One intent while it is checked.
    const Intent* intent
    const Instrument* row
    const Limits* limit
    CheckRow* at                 # where the next check is written down
    int64_t now_ns
    int64_t lots                 # that may still fill: of an amend the larger of both sizes, filled not included
    int64_t least_ticks          # AMEND: value it at this price at least
    int64_t bid_ticks            # of its own book, 0 = there is none that may be used
    int64_t ask_ticks
    int64_t low2                 # the reference, in half ticks: twice the same, but where there are two sources
    int64_t high2
    int64_t price_ticks          # what it is valued at
    int64_t notional_e8
    bint own                     # an exit or a protective order of the desk (records.Desk)
    bint risk                    # not reduce-only
    bint adds                    # risk, and more of it than there is


cdef inline int lowest(int bits) noexcept nogil:
    """Number of the lowest bit that is set."""
    cdef int i
    for i in range(31):
        if bits >> i & 1:
            return i
    return 0


cdef class Checks:
    cdef readonly Instruments instruments
    cdef readonly Orders orders
    cdef readonly Account account
    cdef readonly Equity equity
    cdef readonly Reference reference
    cdef readonly LimitTable table
    cdef readonly Throttle throttle
    cdef readonly Budgets budgets
    cdef list books
    cdef void** book_rows            # borrowed from `books`
    cdef Limits* limits              # of `table`
    cdef Recent* recent              # last approved orders, by instrument and side
    cdef Guard* guards
    cdef MarketGuard markets[8]
    cdef readonly int64_t reconcile_ns   # 0 = not asked for: replay, benches
    cdef readonly int64_t clock_ns
    cdef readonly bint needs_private
    cdef readonly int max_unacked    # requests without an answer, by market
    cdef readonly int64_t watch_ns   # oldest evaluation of the stops under which risk is taken; 0 = not asked for
    cdef readonly int64_t exit_ppm   # how far exits may be from the reference, -1 = as far as any order
    cdef readonly int latches        # bits by Latch: any of them stops every new order of a strategy
    cdef readonly int64_t lease_ns   # a lease that holds until then; -1 = none is asked for
    cdef readonly int64_t watched_ns # when the stops were last evaluated
    cdef int32_t why_off[64]         # by strategy: the StrategyOff that latches it off, 0 = it is on
    cdef int window_kind             # time rule that holds until `window_until_ns`, -1 = none
    cdef int window_version          # of the limits that it is from
    cdef int64_t window_until_ns
    cdef readonly int64_t value      # of the check that refused
    cdef readonly int64_t limit
    cdef Asked asked
    cdef int64_t refused[REASON_ROOM]
    cdef readonly int64_t passed

    @final
    cdef bint may_send(self, const Intent* intent, int64_t now_ns) noexcept nogil
    @final
    cdef int check(self, const Intent* intent, int64_t now_ns) except -1 nogil
    @final
    cdef int begin(self) noexcept nogil
    @final
    cdef int explain(self, const Intent* intent, uint64_t order_id, DecisionRow* out) noexcept nogil
    @final
    cdef int _show(self, Book book, DecisionRow* out) noexcept nogil
    @final
    cdef int refuse(self, int reason, int64_t value, int64_t limit) noexcept nogil
    @final
    cdef bint on_fill(self, int strategy, int instrument, int leg, int side, int moved, int64_t made_ns,
                      int64_t now_ns) noexcept nogil
    @final
    cdef int remember(self, const Intent* intent, int64_t now_ns) noexcept nogil
    @final
    cdef int64_t _since_same(self, const Intent* intent, int64_t now_ns, int64_t within_ns) noexcept nogil
    @final
    cdef int on_funding(self, int instrument, int64_t rate_e8, int64_t next_ns) noexcept nogil
    @final
    cdef int cool(self, int instrument, int64_t until_ns) noexcept nogil
    @final
    cdef int go(self, Case* case, CheckRow* at) noexcept nogil
    @final
    cdef int stop(self, CheckRow* at, int reason, int64_t value, int64_t limit) noexcept nogil
    @final
    cdef int _check_all(self, Case* case) noexcept nogil
    @final
    cdef int _check_may(self, Case* case) noexcept nogil
    @final
    cdef int _check_leg(self, Case* case) noexcept nogil
    @final
    cdef int _check_guards(self, Case* case) noexcept nogil
    @final
    cdef int _check_market(self, Case* case, Book book) noexcept nogil
    @final
    cdef int _check_calm(self, Case* case) noexcept nogil
    @final
    cdef int _check_time(self, Case* case) noexcept nogil
    @final
    cdef int64_t _trades_due(self, Case* case) noexcept nogil
    @final
    cdef int64_t _due_of(self, Case* case, int instrument) noexcept nogil
    @final
    cdef bint _opens(self, Case* case) noexcept nogil
    @final
    cdef int _check_size(self, Case* case) noexcept nogil
    @final
    cdef int _check_trigger(self, Case* case) noexcept nogil
    @final
    cdef int _check_price(self, Case* case) noexcept nogil
    @final
    cdef int _check_collar(self, Case* case) noexcept nogil
    @final
    cdef int _check_slippage(self, Case* case) noexcept nogil
    @final
    cdef int _check_notional(self, Case* case) noexcept nogil
    @final
    cdef int _check_open(self, Case* case) noexcept nogil
    @final
    cdef int _check_position(self, Case* case) noexcept nogil
    @final
    cdef int _check_spot(self, Case* case) noexcept nogil
    @final
    cdef int _check_pools(self, Case* case) noexcept nogil
    @final
    cdef int _check_equity(self, Case* case, int64_t more) noexcept nogil
    @final
    cdef int _check_margin(self, Case* case, int64_t more) noexcept nogil
    @final
    cdef int _check_rate(self, Case* case) noexcept nogil
    @final
    cdef int _check_venue(self, Case* case) noexcept nogil

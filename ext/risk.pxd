"""Intent -> Approved, or refused with a reason, its value and its limit."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from ext.account cimport Account
from ext.book cimport Book
from ext.budget cimport Budgets
from ext.equity cimport Equity
from ext.instruments cimport Instruments
from ext.limits cimport Limits, LimitTable
from ext.orders cimport Order, Orders
from ext.records cimport Approved, Instrument, Intent
from ext.reference cimport Reference

cdef enum:
    REASON_ROOM = 80         # records.REASONS

ctypedef struct Guard:
    # What must hold for an instrument before risk is taken, as the cold side keeps it.
    int64_t reconciled_ns        # last pass that agreed with the venue
    int32_t stop                 # HaltReason bits: nothing but cancels
    int32_t reduce               # HaltReason bits: nothing but what shrinks the position

ctypedef struct MarketGuard:
    int64_t clock_ns             # when the venue's clock was last measured
    int32_t private_ok           # the private stream is proven
    int32_t hedge                # the account has a long and a short leg of each perpetual

ctypedef struct Recent:
    int64_t price_ticks
    int64_t size_lots
    int64_t at_ns


cdef class RiskGate:
    cdef readonly Instruments instruments
    cdef readonly Orders orders
    cdef readonly Account account
    cdef readonly Equity equity
    cdef readonly Reference reference
    cdef list books
    cdef void** book_rows            # borrowed from `books`
    cdef readonly LimitTable table
    cdef Limits* limits              # of `table`
    cdef Recent* recent              # last approved order, by instrument and side
    cdef Approved approved           # the one for single requests: reused for each
    cdef readonly list pool          # those of a batch
    cdef Guard* guards
    cdef MarketGuard markets[8]
    cdef readonly Budgets budgets
    cdef readonly int64_t reconcile_ns   # 0 = not asked for: replay, benches
    cdef readonly int64_t clock_ns
    cdef readonly bint needs_private
    cdef readonly int max_unacked    # requests without an answer, by market
    cdef readonly int latches        # bits by Latch: any of them stops every new order of a strategy
    cdef readonly int64_t lease_ns   # a lease that holds until then; -1 = none is asked for
    cdef readonly int64_t watched_ns # when the stops were last evaluated
    cdef readonly int64_t watch_ns   # oldest evaluation of the stops under which risk is taken; 0 = not asked for
    cdef uint64_t strategies_off     # bit s = strategy s is latched off
    cdef int32_t why_off[64]         # StrategyOff
    cdef int64_t* rate_times         # when the last `rate_orders` orders passed, a ring
    cdef int64_t rate_orders
    cdef int64_t rate_window_ns
    cdef int64_t rate_at             # the oldest of them: where the next one goes
    cdef int64_t rate_last_ns        # the newest
    cdef readonly int64_t value      # of the check that refused
    cdef readonly int64_t limit
    cdef int64_t refused[REASON_ROOM]
    cdef readonly int64_t passed

    cdef bint may_send(self, const Intent* intent, int64_t now_ns) noexcept nogil
    cdef int check(self, const Intent* intent, int64_t now_ns) except -1 nogil
    cdef int refuse(self, int reason, int64_t value, int64_t limit) noexcept nogil
    cdef Approved approve(self, const Intent* intent, int64_t now_ns, int* reason, Approved into=*)
    cdef Approved approve_cancel(self, const Intent* intent, int64_t now_ns, int* reason, Approved into=*)
    cdef Approved approve_amend(self, const Intent* intent, int64_t now_ns, int* reason)
    cdef int _check_guards(self, const Intent* intent, const Instrument* row, int64_t now_ns) noexcept nogil
    cdef int _check_venue(self, const Intent* intent, const Limits* limit, const Instrument* row, int64_t now_ns) noexcept nogil
    cdef int _check_trigger(self, const Intent* intent, Book book, int64_t* price) noexcept nogil
    cdef int _check_market(self, const Intent* intent, const Limits* limit, Book book, int64_t now_ns) noexcept nogil
    cdef int _check_size(self, const Intent* intent, const Limits* limit, const Instrument* row) noexcept nogil
    cdef int _check_price(self, const Intent* intent, const Limits* limit, const Instrument* row,
                          Book book) noexcept nogil
    cdef int _check_leg(self, const Intent* intent, const Instrument* row) noexcept nogil
    cdef int _check_exposure(self, const Intent* intent, const Limits* limit) noexcept nogil
    cdef int _check_legged(self, const Intent* intent, const Limits* limit) noexcept nogil
    cdef int _check_rate(self, const Intent* intent, const Limits* limit, int64_t now_ns) noexcept nogil
    cdef Approved _grant(self, const Intent* intent, uint64_t order_id, int64_t now_ns, Approved into)
    cdef int _spend(self, const Intent* intent, int kind, int64_t now_ns) noexcept nogil

"""Loss stops, exits and protective orders: what must be done in the same event that crosses a line."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from ext.account cimport Account
from ext.equity cimport PURSES_MAX, Equity
from ext.exits cimport Exits, Outbox
from ext.instruments cimport Instruments
from ext.limits cimport LimitTable
from ext.orders cimport Orders
from ext.records cimport Intent, StopRow
from ext.reference cimport Reference
from ext.shields cimport Shields

cdef enum:
    FIRED_MAX = 32


cdef class Stops:
    cdef readonly Instruments instruments
    cdef readonly Orders orders
    cdef readonly Account account
    cdef readonly Equity equity
    cdef readonly Reference reference
    cdef readonly LimitTable table       # the lines themselves: max_loss_e8, max_daily_loss_e8, max_drawdown_ppm, liquidation_ppm
    cdef readonly Exits exits
    cdef readonly Shields shields
    cdef readonly Outbox outbox          # exits and protective orders (new, cancel): emptied by the engine through risk
    cdef StopRow fired[FIRED_MAX]        # what the engine must put on the tape, halt and cancel: emptied by it
    cdef int fired_count
    cdef bint window_over                # a time to be flat ended: the engine resumes
    cdef int32_t* lost                   # by instrument: the stop of its position fired, and nobody released it
    cdef int32_t margin[PURSES_MAX]
    cdef int32_t daily, drawdown, in_window
    cdef int64_t window_until_ns
    cdef int window_version              # of the limits that `window_until_ns` is from
    cdef readonly int on_position_loss, on_daily_loss, on_drawdown, on_margin    # StopPolicy
    cdef readonly int64_t cooldown_ns
    cdef readonly int64_t checks, looked_ns, crossed, flattened, halvings

    cdef int look(self, int instrument, int64_t now_ns) noexcept nogil
    cdef int _work(self, int instrument, int64_t now_ns) noexcept nogil
    cdef int turn(self, int64_t now_ns) noexcept nogil
    cdef int flatten(self, int instrument, int why, int64_t now_ns) noexcept nogil
    cdef int release(self, int instrument, int why) noexcept nogil
    cdef int answered(self, const Intent* intent, uint64_t order_id, int reason) noexcept nogil
    cdef int _cross(self, int reason, int instrument, int purse, int policy, int64_t value, int64_t limit) noexcept nogil
    cdef int _check_position(self, int instrument, int64_t now_ns) noexcept nogil
    cdef int _check_account(self, int64_t now_ns) noexcept nogil
    cdef int _check_margin(self, int purse, int64_t now_ns) noexcept nogil
    cdef int _overrun(self, const Intent* intent) noexcept nogil
    cdef int _relieve(self, int purse, int64_t now_ns) noexcept nogil
    cdef int64_t _notional(self, int instrument, int leg) noexcept nogil
    cdef int _all(self, int why, int64_t now_ns) noexcept nogil
    cdef int _window(self, int64_t now_ns) noexcept nogil

"""Intent -> Approved, or refused with a reason, its value and its limit."""

from libc.stdint cimport int64_t, uint64_t

from ext.account cimport Account
from ext.book cimport Book
from ext.checks cimport Checks
from ext.instruments cimport Instruments
from ext.orders cimport Order, Orders
from ext.records cimport LATCHES, Approved, Intent
from ext.reference cimport Reference


cdef class RiskGate(Checks):
    cdef Approved approved           # the one for single requests: reused for each
    cdef readonly list pool          # those of a batch
    cdef int64_t refused_latched[LATCHES]  # of the refusals for LATCHED: by the latch that refused
    cdef Approved approve(self, const Intent* intent, int64_t now_ns, int* reason, Approved into=*)
    cdef Approved approve_cancel(self, const Intent* intent, int64_t now_ns, int* reason, Approved into=*)
    cdef Approved approve_amend(self, const Intent* intent, int64_t now_ns, int* reason)
    cdef bint _may_touch(self, const Intent* intent, const Order* order) noexcept nogil
    cdef Approved _grant(self, const Intent* intent, uint64_t order_id, int64_t now_ns, Approved into)
    cdef int _spend(self, const Intent* intent, bint amend, int64_t now_ns) noexcept nogil
    cdef int _tally(self, int reason) noexcept nogil
    cdef int64_t _worst_ticks(self, const Intent* intent) noexcept nogil
    cdef bint _violates(self, uint64_t order_id, int64_t now_ns) except -1
    cdef int _owner(self, uint64_t order_id) noexcept
    cdef int64_t _own2(self, Book book) noexcept nogil

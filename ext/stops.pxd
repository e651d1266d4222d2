"""Loss stops, exits and protective orders: what must be done in the same event that crosses a line."""

from libc.stdint cimport int32_t, int64_t

from ext.account cimport Account
from ext.equity cimport Equity
from ext.instruments cimport Instruments
from ext.orders cimport Orders
from ext.records cimport Intent, StopRow
from ext.reference cimport Reference

cdef enum:
    FIRED_MAX = 16
    EXITS_MAX = 32


cdef class Stops:
    cdef readonly Instruments instruments
    cdef readonly Orders orders
    cdef readonly Account account
    cdef readonly Equity equity
    cdef readonly Reference reference
    cdef list books
    cdef StopRow fired[FIRED_MAX]        # what the engine must put on the tape, halt and cancel: emptied by it
    cdef int fired_count
    cdef Intent proposals[EXITS_MAX]     # exits and protective orders (new, cancel): emptied by the engine through risk
    cdef int proposed
    cdef readonly int64_t checks, looked_ns

    cdef int look(self, int instrument, int64_t now_ns) noexcept nogil
    cdef int turn(self, int64_t now_ns) noexcept nogil
    cdef int flatten(self, int instrument, int why, int64_t now_ns) noexcept nogil
    cdef int release(self, int instrument) noexcept nogil

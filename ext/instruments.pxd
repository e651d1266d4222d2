"""The instrument table: symbol text of one market -> exact tick, lot, contract size."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from ext.records cimport Instrument
from ext.text cimport tg_grid


cdef class Instruments:
    cdef Instrument* rows
    cdef tg_grid* price_grids      # the same numbers, in the form the decimal reader takes
    cdef tg_grid* size_grids
    cdef readonly int count
    cdef int capacity
    cdef int32_t* slots            # open addressing by (market, symbol); -1 = empty
    cdef uint64_t mask
    cdef list python_rows

    cdef int find(self, int market, const char* symbol, Py_ssize_t size) noexcept nogil
    cdef int64_t notional_e8(self, int instrument, int64_t ticks, int64_t lots) noexcept nogil

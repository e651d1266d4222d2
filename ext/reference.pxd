"""The node's own idea of a price: several sources, and where it was a while ago."""

from libc.stdint cimport int32_t, int64_t

from ext.instruments cimport Instruments
from ext.records cimport Mark


cdef class Reference:
    cdef readonly Instruments instruments

    cdef int on_book(self, int instrument, int64_t bid_ticks, int64_t ask_ticks, int64_t now_ns) noexcept nogil
    cdef int on_mark(self, const Mark* mark, int64_t now_ns) noexcept nogil
    cdef int64_t mid2(self, int instrument, int64_t now_ns) noexcept nogil

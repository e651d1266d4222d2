"""The node's own idea of a price: several sources, and where it was a while ago."""


cdef class Reference:
    """One row per instrument."""

    def __cinit__(self, Instruments instruments):
        self.instruments = instruments

    cdef int on_book(self, int instrument, int64_t bid_ticks, int64_t ask_ticks, int64_t now_ns) noexcept nogil:
        """The best prices of a synced book, after each frame that changed it."""
        return 0

    cdef int on_mark(self, const Mark* mark, int64_t now_ns) noexcept nogil:
        """Mark and index price as the venue tells them; only fields whose bit is set in `present` are new."""
        return 0

    cdef int64_t mid2(self, int instrument, int64_t now_ns) noexcept nogil:
        """Twice the reference price in ticks, 0 = there is none now."""
        return 0

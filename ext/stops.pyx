"""Loss stops, exits and protective orders: what must be done in the same event that crosses a line."""

from libc.string cimport memset


cdef class Stops:
    """`look` after each frame, `turn` with time: both leave rows in `fired` and intents in `proposals`."""

    def __cinit__(self, Instruments instruments, Orders orders, Account account, Equity equity, Reference reference,
                  list books):
        self.instruments, self.orders, self.account = instruments, orders, account
        self.equity, self.reference, self.books = equity, reference, books
        memset(self.fired, 0, sizeof(self.fired))

    cdef int look(self, int instrument, int64_t now_ns) noexcept nogil:
        """Prices, orders or fills of one instrument changed: is a line crossed that was not?"""
        return 0

    cdef int turn(self, int64_t now_ns) noexcept nogil:
        """Exits that are not finished, protective orders that are not in step, time rules."""
        return 0

    cdef int flatten(self, int instrument, int why, int64_t now_ns) noexcept nogil:
        """Close the position of one instrument (-1: all), bounded in price, until it is flat."""
        return 0

    cdef int release(self, int instrument) noexcept nogil:
        """An operator resumed: what fired there (-1: everywhere) may fire again."""
        return 0

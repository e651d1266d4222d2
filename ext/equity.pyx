"""What the account is worth and what could still happen to it: mark-to-market, worst-case exposure, margin."""

from libc.stdlib cimport calloc, free
from libc.string cimport memset


cdef class Equity:
    """Sums over all instruments, kept up to date by `mark` and `recount`; O(1) in the number of instruments."""

    def __cinit__(self, Instruments instruments, Orders orders, Account account):
        self.instruments, self.orders, self.account = instruments, orders, account
        self.rows = <Worth*>calloc(max(instruments.count, 1), sizeof(Worth))
        if self.rows == NULL:
            raise MemoryError()
        memset(self.coins, 0, sizeof(self.coins))
        memset(self.purses, 0, sizeof(self.purses))
        memset(&self.total, 0, sizeof(self.total))

    def __dealloc__(self):
        free(self.rows)

    cdef int mark(self, int instrument, int64_t bid_ticks, int64_t ask_ticks, int64_t mark_e8, int64_t now_ns) noexcept nogil:
        """New prices of one instrument (0 = none): profit, worst case, margin, and every sum they are in."""
        return 0

    cdef int recount(self, int instrument) noexcept nogil:
        """Orders, fills, fees or funding of one instrument changed."""
        return 0

    cdef int64_t equity_e8(self) noexcept nogil:
        return 0

    cdef int64_t purse_e8(self, int purse) noexcept nogil:
        return 0

    cdef bint is_known(self) noexcept nogil:
        """Was the capital of every purse told?"""
        return False

    cdef int roll(self, int64_t now_ns) noexcept nogil:
        """Peak, and the start of a new day (UTC)."""
        return 0

    cdef int fill_row(self, int purse, EquityRow* out) noexcept nogil:
        memset(out, 0, sizeof(EquityRow))
        out.purse = purse
        return 0

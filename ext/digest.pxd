"""The state hash: what each room decides by, as 64 bits, for the HASH record."""

from libc.stdint cimport uint64_t

from ext.account cimport Account
from ext.arbiter cimport Arbiter
from ext.checks cimport Checks
from ext.equity cimport Equity
from ext.orders cimport Orders
from ext.stops cimport Stops


cdef uint64_t mix_words(uint64_t hash, const void* at, Py_ssize_t count) noexcept nogil
cdef uint64_t of_books(list books, Arbiter arbiter) except? 0
cdef uint64_t of_orders(Orders orders) noexcept nogil
cdef uint64_t of_account(Account account) noexcept nogil
cdef uint64_t of_equity(Equity equity) noexcept nogil
cdef uint64_t of_risk(Checks risk, Stops stops, int strategies) except? 0
cdef uint64_t of_strategies(list strategies, Checks risk) except? 0

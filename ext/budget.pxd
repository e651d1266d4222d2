"""How many requests a venue will take: its own rules, kept below them, corrected by its own counters."""

from libc.stdint cimport int32_t, int64_t

from ext.records cimport Budget

cdef enum:
    MARKETS_MAX = 8
    RULES_MAX = 4            # windows of one kind in one market (Binance: 10 s and a day)

ctypedef struct Bucket:
    # A leaky bucket: in any window of `interval_ns` at most `capacity` requests pass.
    int64_t step_ns          # one request leaks in this time
    int64_t burst_ns         # how far ahead of time `level_ns` may be
    int64_t level_ns         # when the bucket is empty

ctypedef struct Rule:
    int32_t kind             # BudgetKind
    int32_t by_instrument    # a bucket for each instrument, not one for the market
    int64_t interval_ns
    int64_t limit
    int32_t first            # its buckets start here


cdef class Budgets:
    cdef readonly int instruments
    cdef Rule rules[MARKETS_MAX][RULES_MAX * 4]
    cdef int rule_count[MARKETS_MAX]
    cdef Bucket* buckets
    cdef int bucket_count
    cdef int64_t blocked_ns[MARKETS_MAX]    # our clock: nothing before this
    cdef readonly int64_t refused, told, blocks

    cdef int64_t wait_ns(self, int market, int instrument, int kind, int64_t now_ns) noexcept nogil
    cdef int take(self, int market, int instrument, int kind, int64_t now_ns) noexcept nogil
    cdef int on_budget(self, const Budget* budget, int64_t offset_ns, int64_t now_ns) noexcept nogil

"""How many requests a venue will take: its own rules, kept below them, corrected by its own counters.

Each published window (say 300 orders in 10 s) is a leaky bucket of which a share is used: half of the share at once, the
other half spread over the window, so that no window of that length, wherever it starts, holds more than the share.
Where the server tells its own count and it is higher than ours (another program on the account), the bucket is filled up to
it. After "too many requests" nothing passes until the time that the venue named.

Cancels have buckets of their own or none, and are never refused here for the sake of new orders: new orders get a share of
70 percent of what a venue publishes, and the rest is what cancels and queries live on where a venue counts all in one.
"""

from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from ext.records cimport BUDGET_KINDS

SHARE_PERCENT = 70          # of a published limit, for new orders and amends


cdef class Budgets:
    """Rules for up to 8 markets over `instruments` instruments."""

    def __cinit__(self, int instruments):
        self.instruments = max(instruments, 1)
        self.buckets = NULL

    def __dealloc__(self):
        free(self.buckets)

    def set_rule(self, int market, int kind, int64_t limit, int64_t interval_ns, *, bint by_instrument=False,
                 int share_percent=SHARE_PERCENT):
        """At most `limit` requests of a BudgetKind in any `interval_ns`, says the venue; use `share_percent` of it. ValueError
        where that leaves nothing, or there are too many rules."""
        cdef int count = self.instruments if by_instrument else 1
        cdef int64_t usable = limit * share_percent // 100
        cdef Rule* rule
        cdef Bucket* grown
        cdef int i
        if not 0 <= market < MARKETS_MAX or not 0 <= kind < BUDGET_KINDS:
            raise ValueError(f"budget rule for market {market}, kind {kind}: there is no such thing")
        if usable < 2 or not 0 < interval_ns <= 7 * 86400 * 10**9 or not 0 < share_percent <= 100:
            raise ValueError(f"budget rule of {limit} in {interval_ns} ns: too small, or no window")
        if self.rule_count[market] == RULES_MAX * 4:
            raise ValueError(f"market {market}: too many budget rules")
        grown = <Bucket*>realloc(self.buckets, (self.bucket_count + count) * sizeof(Bucket))
        if grown == NULL:
            raise MemoryError()
        self.buckets = grown
        rule = &self.rules[market][self.rule_count[market]]
        rule.kind, rule.by_instrument, rule.interval_ns, rule.limit = kind, by_instrument, interval_ns, limit
        rule.first = self.bucket_count
        for i in range(count):
            memset(&self.buckets[self.bucket_count + i], 0, sizeof(Bucket))
            # `usable` in any window: burst + what leaks in during the window
            self.buckets[self.bucket_count + i].step_ns = interval_ns // (usable - usable // 2)
            self.buckets[self.bucket_count + i].burst_ns = (usable // 2) * self.buckets[self.bucket_count + i].step_ns
        self.bucket_count += count
        self.rule_count[market] += 1

    cdef int64_t wait_ns(self, int market, int instrument, int kind, int64_t now_ns) noexcept nogil:
        """How long until one more request of this kind may leave; 0 = now."""
        cdef int64_t wait = self.blocked_ns[market] - now_ns
        cdef int64_t over
        cdef Rule* rule
        cdef Bucket* bucket
        cdef int i
        if wait < 0:
            wait = 0
        for i in range(self.rule_count[market]):
            rule = &self.rules[market][i]
            if rule.kind == kind:
                bucket = &self.buckets[rule.first + (instrument if rule.by_instrument else 0)]
                over = bucket.level_ns + bucket.step_ns - bucket.burst_ns - now_ns
                if over > wait:
                    wait = over
        return wait

    cdef int take(self, int market, int instrument, int kind, int64_t now_ns) noexcept nogil:
        """A request of this kind leaves now, whether it was asked for or not."""
        cdef Rule* rule
        cdef Bucket* bucket
        cdef int i
        for i in range(self.rule_count[market]):
            rule = &self.rules[market][i]
            if rule.kind == kind:
                bucket = &self.buckets[rule.first + (instrument if rule.by_instrument else 0)]
                if bucket.level_ns < now_ns:
                    bucket.level_ns = now_ns
                bucket.level_ns += bucket.step_ns
        return 0

    cdef int on_budget(self, const Budget* budget, int64_t offset_ns, int64_t now_ns) noexcept nogil:
        """The server's own count. `offset_ns`: its clock minus ours."""
        cdef Rule* rule
        cdef Bucket* bucket
        cdef int64_t share, level
        cdef int i
        self.told += 1
        if budget.until_ns and budget.until_ns - offset_ns > self.blocked_ns[budget.market]:
            self.blocked_ns[budget.market] = budget.until_ns - offset_ns
            self.blocks += 1
        if budget.used < 0:
            return 0
        for i in range(self.rule_count[budget.market]):
            rule = &self.rules[budget.market][i]
            if rule.kind != budget.kind or rule.by_instrument or rule.interval_ns != budget.interval_ns:
                continue
            bucket = &self.buckets[rule.first]
            # our whole share is used up, by us or by another program with this key: the excess must leak away first
            share = (bucket.burst_ns + rule.interval_ns) // bucket.step_ns
            if budget.used >= share:
                level = now_ns + bucket.burst_ns + min(budget.used - share, 4 * share) * bucket.step_ns
                if level > bucket.level_ns:
                    bucket.level_ns = level
        return 0

    # ---- for Python ----

    def block(self, int market, int64_t until_ns):
        """Nothing to this market before `until_ns` (our clock)."""
        if not 0 <= market < MARKETS_MAX:
            raise ValueError(f"market {market}: there is no such market")
        if until_ns > self.blocked_ns[market]:
            self.blocked_ns[market] = until_ns
            self.blocks += 1

    def wait(self, int market, int instrument, int kind, int64_t now_ns) -> int:
        """`wait_ns` for Python callers."""
        return self.wait_ns(market, instrument, kind, now_ns)

    def spend(self, int market, int instrument, int kind, int64_t now_ns):
        """`take` for Python callers."""
        self.take(market, instrument, kind, now_ns)

    def tell(self, int market, int kind, int64_t interval_ns, int64_t used, int64_t now_ns, *, int64_t until_ns=0,
             int64_t offset_ns=0):
        """`on_budget` for Python callers."""
        cdef Budget budget
        memset(&budget, 0, sizeof(budget))
        budget.market, budget.kind, budget.interval_ns, budget.used = market, kind, interval_ns, used
        budget.limit, budget.until_ns = -1, until_ns
        self.on_budget(&budget, offset_ns, now_ns)

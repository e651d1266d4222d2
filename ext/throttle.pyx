"""How often: orders, amends and cancels in a time, cancels to fills, orders to trades, the same execution again and again.

Rates are exact: a ring holds when the last so many happened, and the oldest of them must be a whole window old. Ratios are over
buckets of time. What repeats itself is counted by strategy: so many fills on one side, or so many round trips, within a time, and
`on_fill` says that it should be switched off. A day trade is a reduction of what grew on the same UTC day, once until it grows
again: what is left open does not hide it.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memset

from ext.records cimport LEGS

cdef int64_t DAY_NS = 86_400_000_000_000
cdef int64_t NEVER_NS = -(<int64_t>1 << 61)
cdef int64_t ENDLESS_NS = <int64_t>1 << 62


cdef class Throttle:
    """Nothing passes before `set_rate`; the rest is not asked for before it is set."""

    def __cinit__(self, int instruments):
        cdef int i
        self.instruments = instruments
        self.opened = <int64_t*>calloc(max(instruments, 1) * <int>LEGS, sizeof(int64_t))
        if self.opened == NULL:
            raise MemoryError()
        for i in range(instruments * <int>LEGS):
            self.opened[i] = -1
        for i in range(DAYS):
            self.trade_days[i] = -1
        self.orders.last_ns = self.amends.last_ns = self.cancels.last_ns = NEVER_NS
        self.repeat_fills = self.repeat_trips = -1
        self.span_days, self.day = 1, -1
        self.day_until_ns = NEVER_NS
        memset(&self.flow, 0, sizeof(self.flow))
        self.set_rate(0, 1, -1, -1)

    def __dealloc__(self):
        cdef int i
        free(self.opened)
        free(self.orders.times)
        free(self.amends.times)
        free(self.cancels.times)
        for i in range(3 * STRATEGIES):
            free(self.repeats[i].times)

    # ---- configuration: numbers that ext.limits has checked ----

    def set_rate(self, int64_t orders, int64_t window_ns, int64_t amends, int64_t cancels):
        """A change starts with a full window: no second burst."""
        if (self.orders.times != NULL and orders == self.orders.most and window_ns == self.orders.window_ns
                and amends == self.amends.most and cancels == (self.cancels.most - 1 if self.cancels.most > 0 else -1)):
            return
        _resize(&self.orders, orders, window_ns, self.orders.last_ns)
        _resize(&self.amends, amends, window_ns, max(self.amends.last_ns, self.orders.last_ns))
        _resize(&self.cancels, cancels + 1 if cancels >= 0 else -1, window_ns, NEVER_NS)

    def set_flow(self, int64_t cancel_ratio_ns):
        """The window of cancels to fills, 0 = not asked for."""
        if cancel_ratio_ns != self.flow.window_ns:
            memset(&self.flow, 0, sizeof(self.flow))
            self.flow.window_ns = cancel_ratio_ns
            self.flow.shift = max(int(cancel_ratio_ns >> 6).bit_length() - 1, 0)

    def set_repeat(self, int64_t fills, int64_t trips, int64_t window_ns):
        """So many fills on one side, or round trips, within a time; -1 = not asked for."""
        cdef int i
        if fills == self.repeat_fills and trips == self.repeat_trips and window_ns == self.repeat_ns:
            return
        self.repeat_fills, self.repeat_trips, self.repeat_ns = fills, trips, window_ns
        for i in range(3 * STRATEGIES):
            _resize(&self.repeats[i], trips if i % 3 == 2 else fills, window_ns, NEVER_NS)

    def set_span(self, int64_t days):
        """Over how many days day trades are counted, today included."""
        self.span_days = days
        self._count_day_trades()

    # ---- what is asked ----

    cdef int64_t since_order(self, int64_t now_ns) noexcept nogil:
        """How old the order is that is as many back as the rate allows: below the window = the window is full."""
        return now_ns - self.orders.times[self.orders.at] if self.orders.most > 0 else 0

    cdef int64_t since_amend(self, int64_t now_ns) noexcept nogil:
        """The same for amends; where they have no rate of their own, that of orders."""
        if self.amends.most < 0:
            return self.since_order(now_ns)
        return now_ns - self.amends.times[self.amends.at] if self.amends.most > 0 else 0

    cdef int64_t since_cancel(self, int64_t now_ns) noexcept nogil:
        """How old the first cancel is that was one too many, if it is within the window."""
        return now_ns - self.cancels.times[self.cancels.at] if self.cancels.most > 0 else ENDLESS_NS

    cdef int roll(self, int64_t now_ns) noexcept nogil:
        """A new UTC day begins with new counts."""
        if now_ns < self.day_until_ns:
            return 0
        self.day = now_ns // DAY_NS
        self.day_until_ns = (self.day + 1) * DAY_NS
        self.day_orders = self.day_fills = 0
        self._sum()
        return 1

    cdef int advance(self, int64_t now_ns) noexcept nogil:
        """Take out of the counts what the window has left behind."""
        cdef int64_t oldest = (now_ns - self.flow.window_ns) >> self.flow.shift, bucket = now_ns >> self.flow.shift
        cdef int at
        if bucket - self.flow.bucket >= SLOTS:
            memset(self.flow.one, 0, sizeof(self.flow.one))
            memset(self.flow.two, 0, sizeof(self.flow.two))
            self.flow.ones = self.flow.twos = 0
            self.flow.oldest, self.flow.bucket = oldest, bucket
        while self.flow.oldest < oldest:
            at = self.flow.oldest & (SLOTS - 1)
            self.flow.ones -= self.flow.one[at]
            self.flow.twos -= self.flow.two[at]
            self.flow.one[at] = self.flow.two[at] = 0
            self.flow.oldest += 1
        if bucket > self.flow.bucket:
            self.flow.bucket = bucket
        return 0

    # ---- what happened ----

    cdef int on_order(self, bint amend, int64_t now_ns) noexcept nogil:
        """A new order or an amend leaves."""
        self.roll(now_ns)
        self.day_orders += 1
        if amend and self.amends.most >= 0:
            return _put(&self.amends, now_ns)
        return _put(&self.orders, now_ns)

    cdef int on_cancel(self, int64_t now_ns) noexcept nogil:
        """A cancel leaves: never refused, always counted."""
        if self.flow.window_ns:
            self.advance(now_ns)
            self.flow.one[self.flow.bucket & (SLOTS - 1)] += 1
            self.flow.ones += 1
        return _put(&self.cancels, now_ns)

    cdef bint on_fill(self, int strategy, int instrument, int leg, int side, int moved, int64_t made_ns,
                      int64_t now_ns) noexcept nogil:
        """An order of ours filled, of a strategy or (below 0) of the desk, and its leg has `Moved`: at `made_ns`, of which
        we hear now. True where the strategy has
        repeated itself too often."""
        cdef bint again = False
        self.roll(now_ns)
        self.day_fills += 1
        if self.flow.window_ns:
            self.advance(now_ns)
            self.flow.two[self.flow.bucket & (SLOTS - 1)] += 1
            self.flow.twos += 1
        if 0 <= instrument < self.instruments and 0 <= leg < <int>LEGS:
            self._move(instrument * <int>LEGS + leg, moved, made_ns // DAY_NS)
        if 0 <= strategy < STRATEGIES:
            if self.repeat_fills >= 0:
                again = self._again(&self.repeats[3 * strategy + (side & 1)], now_ns)
            if self.repeat_trips >= 0 and (moved == FLAT_NOW or moved == TURNED):
                again |= self._again(&self.repeats[3 * strategy + 2], now_ns)
        return again

    cdef int _move(self, int place, int moved, int64_t day) noexcept nogil:
        """Day trades: a reduction of what grew on the same day counts once until it grows again."""
        if moved != GREW and self.opened[place] == day:
            self._trade(day, 1)
            self.opened[place] = -1
        if (moved == GREW or moved == TURNED) and day > self.opened[place]:
            self.opened[place] = day
        return 0

    cdef bint _again(self, Ring* ring, int64_t now_ns) noexcept nogil:
        """One more; True where so many are within the window."""
        _put(ring, now_ns)
        return now_ns - ring.times[ring.at] < ring.window_ns

    def forgive(self, int strategy):
        """A human switched the strategy on: it starts with nothing behind it."""
        cdef int i
        for i in range(3 * strategy, 3 * strategy + 3):
            _resize(&self.repeats[i], self.repeats[i].most, self.repeats[i].window_ns, NEVER_NS)

    cdef int _trade(self, int64_t day, int64_t count) noexcept nogil:
        cdef int at = day % DAYS
        if self.trade_days[at] > day:
            return 0                    # too long ago to count
        if self.trade_days[at] != day:
            self.trade_days[at], self.trades[at] = day, 0
        self.trades[at] += count
        return self._sum()

    cdef int _sum(self) noexcept nogil:
        cdef int i
        self.day_trades = 0
        for i in range(DAYS):
            if self.trade_days[i] >= 0 and self.day - self.span_days < self.trade_days[i]:
                self.day_trades += self.trades[i]
        return 0

    def _count_day_trades(self):
        self._sum()

    def restore_day_trades(self, int64_t count, int64_t day):
        """Day trades of an earlier run, on a day since 1970. ValueError where there is no such day, or it is too far ahead."""
        if count < 0 or not 0 <= day < 10**6:
            raise ValueError(f"{count} day trades on day {day}: is no count of a day since 1970")
        self._trade(day, count)

    def restore_counts(self, int64_t orders, int64_t fills, int64_t day, int64_t now_ns):
        """Orders and fills of an earlier run on `day`: another day than today's count nothing."""
        self.roll(now_ns)
        if day == self.day:
            self.day_orders += orders
            self.day_fills += fills

    def restore_ratio(self, int64_t cancels, int64_t fills, int64_t at_ns, int64_t now_ns):
        """Cancels and fills of an earlier run about `at_ns`, where that is still within the window."""
        cdef int64_t bucket = at_ns >> self.flow.shift
        if not self.flow.window_ns:
            return
        self.advance(now_ns)
        if self.flow.oldest <= bucket <= self.flow.bucket:
            self.flow.one[bucket & (SLOTS - 1)] += cancels
            self.flow.two[bucket & (SLOTS - 1)] += fills
            self.flow.ones += cancels
            self.flow.twos += fills

    def restore_opened(self, int instrument, int leg, int64_t day):
        """This leg grew on `day` and was not reduced since."""
        if 0 <= instrument < self.instruments and 0 <= leg < <int>LEGS:
            self.opened[instrument * <int>LEGS + leg] = day

    def day_trade_rows(self) -> list:
        """[(day since 1970, day trades)] that are still counted, oldest first: what `restore_day_trades` takes."""
        return sorted((self.trade_days[i], self.trades[i]) for i in range(DAYS)
                      if self.trade_days[i] >= 0 and self.trades[i] and self.day - self.span_days < self.trade_days[i])

    # ---- for Python: reports, tests ----

    def ratio(self, int64_t now_ns) -> tuple:
        """(cancels, fills) within the window."""
        self.advance(now_ns)
        return self.flow.ones, self.flow.twos

    def fill(self, int strategy, int instrument, int side, int moved, int64_t now_ns, int leg=0, int64_t made_ns=-1) -> bool:
        """`on_fill` for Python callers; `made_ns` -1: now."""
        return self.on_fill(strategy, instrument, leg, side, moved, now_ns if made_ns < 0 else made_ns, now_ns)

    def cancel(self, int64_t now_ns):
        """`on_cancel` for Python callers."""
        self.on_cancel(now_ns)

    def order(self, int64_t now_ns, bint amend=False):
        """`on_order` for Python callers."""
        self.on_order(amend, now_ns)

    def since(self, int64_t now_ns) -> tuple:
        """(orders, amends, cancels): how old the one is that fills the window."""
        return self.since_order(now_ns), self.since_amend(now_ns), self.since_cancel(now_ns)


cdef int _resize(Ring* ring, int64_t most, int64_t window_ns, int64_t from_ns) except -1:
    """An empty ring of this size, as if all of it had happened at `from_ns`."""
    cdef int64_t i
    cdef int64_t* times = <int64_t*>calloc(max(most, 1), sizeof(int64_t))
    if times == NULL:
        raise MemoryError()
    for i in range(max(most, 1)):
        times[i] = from_ns
    free(ring.times)
    ring.times, ring.most, ring.window_ns, ring.at = times, most, window_ns, 0
    return 0


cdef inline int _put(Ring* ring, int64_t now_ns) noexcept nogil:
    ring.times[ring.at] = ring.last_ns = now_ns
    ring.at = ring.at + 1 if ring.at + 1 < ring.most else 0
    return 0

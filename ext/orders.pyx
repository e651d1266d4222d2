"""Our orders: a preallocated table, a one-way state lattice, and the reserved exposure that follows from them.

Exposure is reserved when an intent is approved, not when the venue answers, and freed only by a terminal state that the
venue stated. States only ever rise in rank. A fill is applied once, keyed by the venue's trade id, whatever the order in
which ack, fill and terminal report arrive.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memset

from ext.records cimport (CANCELED, FILLED, FREE, INTENT, LIVE, PARTIAL, REJECTED, REPORT_ACK, REPORT_CANCELED,
                          REPORT_FILL, REPORT_FILLED, REPORT_LIVE, REPORT_REJECT, REPORT_UNCERTAIN, SENT, BUY, UNKNOWN)
from ext.records import OrderState

cdef int SEEN = 65536    # trade ids remembered: the newest 64 Ki for certain, up to twice that


cdef class Orders:
    """Table of `capacity` orders (a power of two) over `instruments` instruments."""

    def __cinit__(self, int capacity, int instruments, uint64_t first_id=1):
        if capacity < 1 or capacity & (capacity - 1):
            raise ValueError(f"order table of {capacity}: must be a power of two")
        self.capacity, self.instruments, self.mask = capacity, instruments, capacity - 1
        self.next_id = max(first_id, 1)
        self.rows = <Order*>calloc(capacity, sizeof(Order))
        self.exposure = <Exposure*>calloc(max(instruments, 1), sizeof(Exposure))
        self.seen[0] = <TradeKey*>calloc(2 * SEEN, sizeof(TradeKey))
        self.seen[1] = <TradeKey*>calloc(2 * SEEN, sizeof(TradeKey))
        if not (self.rows and self.exposure and self.seen[0] and self.seen[1]):
            raise MemoryError()

    def __dealloc__(self):
        free(self.rows)
        free(self.exposure)
        free(self.seen[0])
        free(self.seen[1])

    cdef Order* find(self, uint64_t id) noexcept nogil:
        """The order with this id, or NULL. A row that now holds another order is not a match."""
        cdef Order* order = &self.rows[id & self.mask]
        return order if id and order.id == id else NULL

    cdef bint is_open(self, const Order* order) noexcept nogil:
        """Not terminal: it may still fill."""
        return FREE < order.state < FILLED

    cdef Order* reserve(self, const Intent* intent, int64_t now_ns) noexcept nogil:
        """A new order in state INTENT with its exposure reserved, or NULL where every row is in use."""
        cdef Order* order
        cdef Exposure* exposure = &self.exposure[intent.instrument]
        cdef int tries
        for tries in range(self.capacity):
            order = &self.rows[self.next_id & self.mask]
            if not self.is_open(order):
                break
            self.next_id += 1           # a long-lived order sits on this row: the id is never used
        else:
            return NULL
        memset(order, 0, sizeof(Order))
        order.id = self.next_id
        self.next_id += 1
        order.state = INTENT
        order.instrument, order.strategy, order.side = intent.instrument, intent.strategy, intent.side
        order.type, order.tif, order.reduce_only = intent.type, intent.tif, intent.reduce_only
        order.price_ticks, order.size_lots, order.intent_ns = intent.price_ticks, intent.size_lots, now_ns
        if order.side == BUY:
            exposure.buy_lots += order.size_lots
        else:
            exposure.sell_lots += order.size_lots
        exposure.open_orders += 1
        self.counts[<int>INTENT] += 1
        return order

    cdef int to_state(self, Order* order, int state, int64_t now_ns) except -1:
        """Raise an open order to a later state; a lower rank is ignored. Terminal states free the exposure."""
        if not self.is_open(order):
            return 0
        if state >= FILLED:
            return self._finish(order, state, now_ns)
        # UNKNOWN is left by any word of the venue; otherwise rank only rises
        if state > order.state or order.state == UNKNOWN:
            order.state = state
            self.counts[state] += 1
        return 0

    cdef int _finish(self, Order* order, int state, int64_t now_ns) except -1:
        cdef Exposure* exposure = &self.exposure[order.instrument]
        cdef int64_t leaves = order.size_lots - order.filled_lots
        if order.side == BUY:
            exposure.buy_lots -= leaves
        else:
            exposure.sell_lots -= leaves
        exposure.open_orders -= 1
        assert exposure.buy_lots >= 0 and exposure.sell_lots >= 0 and exposure.open_orders >= 0, "exposure below zero"
        order.state = state
        order.heard_ns = now_ns
        self.counts[state] += 1
        return 0

    cdef int64_t on_report(self, const Report* report, int64_t now_ns) except -1:
        """Apply the venue's word on an order. Returns the lots newly filled (0 for anything but a new fill)."""
        cdef Order* order = self.find(report.order_id)
        cdef int64_t lots = 0
        self.fee_came = False
        if order == NULL:
            self.foreign += 1
            return 0
        order.heard_ns = now_ns
        if report.kind == REPORT_FILL:
            return self._fill(order, report, now_ns)
        if report.kind == REPORT_ACK or report.kind == REPORT_LIVE:
            self.to_state(order, PARTIAL if order.filled_lots else LIVE, now_ns)
        elif report.kind == REPORT_REJECT:
            order.reject_code = report.code
            self.to_state(order, REJECTED, now_ns)
        elif report.kind == REPORT_UNCERTAIN:
            if order.state == INTENT or order.state == SENT:
                order.state = UNKNOWN
                self.counts[<int>UNKNOWN] += 1
        elif report.kind == REPORT_CANCELED:
            self._closed(order, report.filled_lots, CANCELED, now_ns)
        elif report.kind == REPORT_FILLED:
            self._closed(order, order.size_lots, FILLED, now_ns)
        return lots

    cdef int _closed(self, Order* order, int64_t filled_lots, int state, int64_t now_ns) except -1:
        """A terminal report. Where it tells of fills that have not been seen yet, the order stays open for them:
        the size must not be freed before the fill that used it is counted."""
        if filled_lots > order.filled_lots and self.is_open(order):
            self.unexpected += 1
            order.size_lots, filled_lots = filled_lots, order.size_lots - filled_lots
            if order.side == BUY:
                self.exposure[order.instrument].buy_lots -= filled_lots
            else:
                self.exposure[order.instrument].sell_lots -= filled_lots
            return 0
        return self.to_state(order, state, now_ns)

    cdef int64_t _fill(self, Order* order, const Report* report, int64_t now_ns) except -1:
        cdef int64_t lots = report.size_lots
        cdef Exposure* exposure = &self.exposure[order.instrument]
        if lots <= 0:
            return 0
        if not self.first_sight(report):
            self.duplicates += 1
            return 0
        if self.is_open(order):
            if order.side == BUY:
                exposure.buy_lots -= min(lots, order.size_lots - order.filled_lots)
            else:
                exposure.sell_lots -= min(lots, order.size_lots - order.filled_lots)
        else:
            self.unexpected += 1        # a fill behind a terminal state still moves the position
        order.filled_lots += lots
        if order.filled_lots > order.size_lots:
            self.unexpected += 1
            order.size_lots = order.filled_lots
        if self.is_open(order):
            if order.filled_lots == order.size_lots:
                self._finish(order, FILLED, now_ns)
            else:
                self.to_state(order, PARTIAL, now_ns)
        return lots

    cdef bint first_sight(self, const Report* report) noexcept nogil:
        """True where this trade was not applied to its order before; remembers it. Two generations bound the memory."""
        cdef TradeKey* table
        cdef uint64_t at, start
        cdef int turn
        start = (<uint64_t>report.trade_lo * 0x9E3779B97F4A7C15U) ^ (<uint64_t>report.trade_hi * 0xC2B2AE3D27D4EB4FU)
        start = (start ^ (start >> 31)) + report.order_id
        for turn in range(2):
            table = self.seen[self.seen_turn ^ turn]
            at = start & (2 * SEEN - 1)
            while table[at].order_id:
                if (table[at].lo == report.trade_lo and table[at].hi == report.trade_hi
                        and table[at].order_id == report.order_id):
                    self.fee_came = table[at].fee_due and report.fee_is_quote >= 0
                    table[at].fee_due = table[at].fee_due and not self.fee_came
                    return False
                at = (at + 1) & (2 * SEEN - 1)
        if self.seen_count == SEEN:
            self.seen_turn ^= 1
            self.seen_count = 0
            memset(self.seen[self.seen_turn], 0, 2 * SEEN * sizeof(TradeKey))
        table = self.seen[self.seen_turn]
        at = start & (2 * SEEN - 1)
        while table[at].order_id:
            at = (at + 1) & (2 * SEEN - 1)
        table[at].lo, table[at].hi, table[at].order_id = report.trade_lo, report.trade_hi, report.order_id
        table[at].fee_due = report.fee_is_quote < 0
        self.seen_count += 1
        return True

    # ---- for Python: reports, tests, the cold side ----

    def order(self, uint64_t id) -> dict | None:
        """One order as a dict, with `state` as a name; None where it is not in the table."""
        cdef Order* order = self.find(id)
        if order == NULL:
            return None
        row = <object>order[0]
        row["state"] = OrderState(order.state).name
        return row

    def open_orders(self, int instrument=-1) -> list:
        """Ids of all orders that are not terminal, oldest first."""
        out = []
        cdef int i
        for i in range(self.capacity):
            if self.is_open(&self.rows[i]) and (instrument < 0 or self.rows[i].instrument == instrument):
                out.append(self.rows[i].id)
        return sorted(out)

    def reserved(self, int instrument) -> dict:
        """Lots that may still be bought and sold by what is not terminal."""
        if not 0 <= instrument < self.instruments:
            raise IndexError(f"instrument {instrument}: the table has {self.instruments}")
        return <object>self.exposure[instrument]

    def intend(self, int instrument, int side, int64_t price_ticks, int64_t size_lots, int64_t now_ns=0) -> int:
        """`reserve` for tests: returns the order id, 0 where the table is full."""
        cdef Intent intent
        memset(&intent, 0, sizeof(intent))
        intent.instrument, intent.side, intent.price_ticks, intent.size_lots = instrument, side, price_ticks, size_lots
        cdef Order* order = self.reserve(&intent, now_ns)
        return 0 if order == NULL else order.id

    def report(self, uint64_t order_id, int kind, int64_t size_lots=0, int64_t trade_lo=0, int64_t trade_hi=0,
               int64_t filled_lots=-1, int64_t now_ns=0) -> int:
        """`on_report` for tests."""
        cdef Report report
        memset(&report, 0, sizeof(report))
        report.order_id, report.kind, report.size_lots = order_id, kind, size_lots
        report.trade_lo, report.trade_hi, report.filled_lots = trade_lo, trade_hi, filled_lots
        return self.on_report(&report, now_ns)

    def state_counts(self) -> dict:
        """How many orders reached each state."""
        return {state.name: self.counts[state.value] for state in OrderState if self.counts[state.value]}

"""Our orders: a preallocated table, a one-way state lattice, and the reserved exposure that follows from them.

Exposure is reserved when an intent is approved, not when the venue answers, and freed only by a terminal state that the
venue stated or by a proof of absence. States only ever rise in rank, with one exception that money demands: an order that
was closed as absent or refused and turns out to exist is open again, and is to be cancelled. A fill is applied once, keyed
by the venue's trade id, whatever the order in which ack, fill and terminal report arrive, and whoever's it is.

An amend makes a range: until the venue says which price and size are in force, the larger size is what is reserved, and the
larger price what it is worth. Open orders of an instrument and side are linked in a list, whose best price is looked up lazily.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from ext.records cimport (ACKED, BUY, CANCELED, EXPIRED, FILLED, FREE, GTC, INTENT, LIMIT, LIVE, LONG_LEG, NEVER_EXISTED, PARTIAL,
                          POST_ONLY, REJECTED,
                          REPORT_ACK, REPORT_AMEND_REJECT, REPORT_AMENDED, REPORT_CANCEL_REJECT, REPORT_CANCELED,
                          REPORT_EXPIRED, REPORT_FILL, REPORT_FILLED, REPORT_LIVE, REPORT_ODD, REPORT_REJECT,
                          REPORT_UNCERTAIN, SENT, STOP_MARKET, UNKNOWN, mix)
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
        self.queues = <Queue*>calloc(2 * max(instruments, 1), sizeof(Queue))
        self.groups = <int32_t*>calloc(max(instruments, 1), sizeof(int32_t))
        self.seen[0] = <TradeKey*>calloc(2 * SEEN, sizeof(TradeKey))
        self.seen[1] = <TradeKey*>calloc(2 * SEEN, sizeof(TradeKey))
        if not (self.rows and self.exposure and self.queues and self.groups and self.seen[0] and self.seen[1]):
            raise MemoryError()
        for i in range(2 * max(instruments, 1)):
            self.queues[i].first = -1

    def __dealloc__(self):
        free(self.rows)
        free(self.exposure)
        free(self.queues)
        free(self.groups)
        free(self.seen[0])
        free(self.seen[1])

    # ---- looking up ----

    cdef Order* find(self, uint64_t id) noexcept nogil:
        """The order with this id, or NULL. A row that now holds another order is not a match."""
        cdef Order* order = &self.rows[id & self.mask]
        return order if id and order.id == id else NULL

    cdef Order* locate(self, const Report* report) noexcept nogil:
        """The order that a report is about: by the client id in it, else by the venue's id, or NULL."""
        cdef Order* order
        cdef int i
        if report.order_id and report.epoch == self.epoch:
            order = self.find(report.order_id)
            if order != NULL and order.epoch == self.epoch and order.sequence == report.order_id:
                return order
        if report.order_id and not self.adopted or not report.order_id and not report.venue_id_size:
            return NULL
        for i in range(self.capacity):
            order = &self.rows[i]
            if order.id == 0:
                continue
            if report.order_id:
                if order.sequence == report.order_id and order.epoch == report.epoch:
                    return order
            elif (order.venue_id_size == report.venue_id_size and order.instrument == report.instrument
                    and memcmp(order.venue_id, report.venue_id, report.venue_id_size) == 0):
                return order
        return NULL

    cdef bint is_open(self, const Order* order) noexcept nogil:
        """Not terminal: it may still fill."""
        return FREE < order.state < FILLED

    cdef int64_t leaves(self, const Order* order) noexcept nogil:
        """Lots that may still fill: of the larger size while an amend is in the air."""
        cdef int64_t size = order.amend_lots if order.amending and order.amend_lots > order.size_lots else order.size_lots
        return size - order.filled_lots if size > order.filled_lots and self.is_open(order) else 0

    # ---- exposure ----

    cdef int _count(self, const Order* order, int sign) except -1:
        """Add (1) or take away (-1) what an order reserves: around everything that changes one."""
        cdef Exposure* exposure = &self.exposure[order.instrument]
        self._shift(order, sign)
        assert exposure.buy_lots >= 0 and exposure.sell_lots >= 0 and exposure.open_orders >= 0, "exposure below zero"
        return 0

    cdef int _shift(self, const Order* order, int sign) noexcept nogil:
        cdef Exposure* exposure = &self.exposure[order.instrument]
        cdef int64_t lots = sign * self.leaves(order)
        if not self.is_open(order):
            return 0
        if order.side == BUY:
            exposure.buy_lots += lots
            exposure.reduce_buy_lots += lots if order.reduce_only else 0
            exposure.exit_buy_lots += lots if order.reduce_only and order.type != STOP_MARKET else 0
        else:
            exposure.sell_lots += lots
            exposure.reduce_sell_lots += lots if order.reduce_only else 0
            exposure.exit_sell_lots += lots if order.reduce_only and order.type != STOP_MARKET else 0
        if order.leg:
            exposure.leg_lots[2 * order.leg + order.side] += lots
        if order.type != STOP_MARKET:
            exposure.worth += <tg_wide_lots>self.price(order) * lots
        exposure.open_orders += sign
        self.open_total += sign
        if order.state == UNKNOWN:
            exposure.unknown_lots += lots
        if order.state == UNKNOWN or order.state < ACKED:      # that time went by is no answer
            exposure.unacked += sign
            self.unacked[self.groups[order.instrument]] += sign
        return self._quote(order, sign)

    cdef int _quote(self, const Order* order, int sign) noexcept nogil:
        """Keep the best price at which an order of this side may rest: while it is stale, it is still a bound."""
        cdef Queue* queue = &self.queues[2 * order.instrument + order.side]
        cdef int64_t ticks
        if not _rests(order):
            return 0
        ticks = _keenest(order)
        if queue.best_ticks == 0 or (ticks >= queue.best_ticks if order.side == BUY else ticks <= queue.best_ticks):
            queue.stale = sign < 0
            queue.best_ticks = ticks
        return 0

    cdef int64_t price(self, const Order* order) noexcept nogil:
        """What an order is valued at: its own price, of an amend in the air the larger one, else what risk valued it at."""
        cdef int64_t ticks = order.price_ticks if order.type == LIMIT else order.value_ticks
        return order.amend_ticks if order.amending and order.amend_ticks > ticks else ticks

    cdef int64_t best(self, int instrument, int side) noexcept nogil:
        """Best price at which an open order of ours on this side may rest, of all strategies; 0 = there is none."""
        cdef Queue* queue = &self.queues[2 * instrument + side]
        cdef Order* order
        cdef int32_t at = queue.first
        cdef int64_t ticks
        if not queue.stale:
            return queue.best_ticks
        queue.stale, queue.best_ticks = False, 0
        while at >= 0:
            order = &self.rows[at]
            at = order.after
            if _rests(order):
                ticks = _keenest(order)
                if queue.best_ticks == 0 or (ticks > queue.best_ticks if side == BUY else ticks < queue.best_ticks):
                    queue.best_ticks = ticks
        return queue.best_ticks

    cdef int revalue(self, Order* order, int64_t ticks) noexcept nogil:
        """What an order without a price of its own is worth."""
        self._shift(order, -1)
        order.value_ticks = ticks
        return self._shift(order, 1)

    cdef int set_group(self, int instrument, int group) noexcept nogil:
        """Count the unanswered requests of this instrument in a group."""
        self.unacked[self.groups[instrument]] -= self.exposure[instrument].unacked
        self.groups[instrument] = group & (GROUPS_MAX - 1)
        self.unacked[self.groups[instrument]] += self.exposure[instrument].unacked
        return 0

    cdef int _link(self, Order* order) noexcept nogil:
        cdef Queue* queue = &self.queues[2 * order.instrument + order.side]
        order.before, order.after = -1, queue.first
        if queue.first >= 0:
            self.rows[queue.first].before = <int32_t>(order.id & self.mask)
        queue.first = <int32_t>(order.id & self.mask)
        return 0

    cdef int _unlink(self, Order* order) noexcept nogil:
        cdef Queue* queue = &self.queues[2 * order.instrument + order.side]
        if order.before >= 0:
            self.rows[order.before].after = order.after
        else:
            queue.first = order.after
        if order.after >= 0:
            self.rows[order.after].before = order.before
        order.before = order.after = -1
        return 0

    cdef Order* reserve(self, const Intent* intent, int64_t now_ns) noexcept nogil:
        """A new order in state INTENT with its exposure reserved, or NULL where every row is in use."""
        cdef Order* order
        cdef int tries
        for tries in range(self.capacity):
            order = &self.rows[self.next_id & self.mask]
            if not self.is_open(order):
                break
            self.next_id += 1           # a long-lived order sits on this row: the id is never used
        else:
            return NULL
        memset(order, 0, sizeof(Order))
        order.id = order.sequence = self.next_id
        order.epoch = self.epoch
        self.next_id += 1
        order.state = INTENT
        order.instrument, order.strategy, order.side = intent.instrument, intent.strategy, intent.side
        order.type, order.tif, order.reduce_only, order.leg = intent.type, intent.tif, intent.reduce_only, intent.leg
        order.price_ticks, order.size_lots, order.trigger_ticks = intent.price_ticks, intent.size_lots, intent.trigger_ticks
        order.widest_ticks, order.widest_lots = intent.price_ticks, intent.size_lots
        order.intent_ns = order.state_ns = now_ns
        order.line = -1
        order.value_ticks = intent.trigger_ticks if intent.type == STOP_MARKET else intent.price_ticks
        self._link(order)
        self._shift(order, 1)
        self.counts[<int>INTENT] += 1
        return order

    cdef Order* adopt(self, const Intent* intent, uint64_t epoch, uint64_t sequence, int64_t filled_lots,
                      int64_t unsure_ns, int64_t now_ns) noexcept nogil:
        """An order of ours that the table does not have: of an earlier epoch, or of a record that was lost. It is LIVE, or,
        where only our own record of `unsure_ns` (not 0) tells of it, UNKNOWN; what it filled before is not counted again. NULL
        where every row is in use."""
        cdef Order* order = self.reserve(intent, now_ns)
        if order == NULL:
            return NULL
        self._shift(order, -1)
        order.epoch, order.sequence = epoch, sequence
        order.widest_ticks = 0          # what it asked for before nobody here knows
        order.filled_lots = order.told_lots = filled_lots
        if unsure_ns:
            order.state = UNKNOWN
            order.intent_ns = order.sent_ns = unsure_ns
            self.troubles += 1
        else:
            order.state = PARTIAL if filled_lots else LIVE
            order.heard_ns = now_ns
        self._shift(order, 1)
        self.counts[order.state] += 1
        self.adopted += 1
        return order

    cdef int want_cancel(self, Order* order) noexcept nogil:
        """From here on it is to be cancelled, until the venue says that it is closed."""
        if self.is_open(order) and not order.final_state:
            order.cancel_wanted = True
            self.troubles += 1
        return 0

    # ---- states ----

    cdef int _enter(self, Order* order, int state, int64_t now_ns) except -1:
        """Change the state, and with it what is reserved. The only place that does."""
        cdef bint was_open = self.is_open(order)
        self._count(order, -1)
        order.state, order.state_ns = state, now_ns
        if was_open != self.is_open(order):
            if was_open:
                self._unlink(order)
            else:
                self._link(order)
        if state >= FILLED:
            order.cancel_wanted = order.amending = order.final_state = 0
            order.behind_ns = 0
            order.heard_ns = now_ns
        self.troubles += state == UNKNOWN
        self._count(order, 1)
        self.counts[state] += 1
        self._remember(order)
        return 0

    cdef int _remember(self, const Order* order) noexcept nogil:
        """A change of state, in the running hash: what is not open any more counts in the state hash by this."""
        self.history = mix(mix(self.history, order.id), order.state)
        self.history = mix(mix(self.history, order.filled_lots), order.state_ns)
        return 0

    cdef int to_state(self, Order* order, int state, int64_t now_ns) except -1:
        """Raise an open order to a later state; a lower rank is ignored. Terminal states free the exposure."""
        if not self.is_open(order):
            return 0
        # UNKNOWN is left by any word of the venue; otherwise rank only rises
        if state > order.state or order.state == UNKNOWN:
            self._enter(order, state, now_ns)
        return 0

    cdef int widen(self, Order* order, int64_t price_ticks, int64_t size_lots) noexcept nogil:
        """A fill may have been made under any terms that the order ever had, however late its notice comes."""
        order.widest_lots = max(order.widest_lots, size_lots)
        if order.widest_ticks and price_ticks > 0:
            order.widest_ticks = (max(order.widest_ticks, price_ticks) if order.side == BUY
                                  else min(order.widest_ticks, price_ticks))
        return 0

    cdef int start_amend(self, Order* order, int64_t price_ticks, int64_t size_lots, int64_t now_ns) except -1:
        """An amend is about to be written: from here both sizes count."""
        self._count(order, -1)
        order.amending, order.amend_ns = True, now_ns
        order.amend_ticks, order.amend_lots = price_ticks, size_lots
        self.widen(order, price_ticks, size_lots)
        self._count(order, 1)
        self.troubles += 1
        return 0

    cdef int end_amend(self, Order* order, bint in_force, int64_t now_ns) except -1:
        """The amend in the air is in force, or came to nothing."""
        if not order.amending:
            return 0
        self._count(order, -1)
        order.amending = False
        if in_force:
            order.price_ticks, order.size_lots = order.amend_ticks, max(order.amend_lots, order.filled_lots)
        self._count(order, 1)
        return 0

    # ---- what the venue says ----

    cdef int64_t on_report(self, const Report* report, int64_t now_ns) except -1:
        """Apply the venue's word on an order; `hit` is that order, or NULL. Returns the lots newly filled (0 for anything
        but a new fill), of somebody else's orders on this account too."""
        return self.apply(self.locate(report), report, now_ns)

    cdef int64_t apply(self, Order* order, const Report* report, int64_t now_ns) except -1:
        """`on_report` where its order was looked up already (NULL: there is none)."""
        self.fee_came = False
        self.hit = order
        if report.kind == REPORT_FILL:
            return self._on_fill(order, report, now_ns)
        if order == NULL:
            self._stray(report)
            return 0
        # that a cancel or an amend found nothing, or that nobody knows, is no sign of life of the order
        if report.kind not in (REPORT_CANCEL_REJECT, REPORT_AMEND_REJECT, REPORT_UNCERTAIN):
            order.heard_ns = now_ns
        self._name(order, report)
        if report.kind == REPORT_ACK:
            if order.state == INTENT or order.state == SENT or order.state == UNKNOWN:
                order.acked_ns = now_ns
                self.to_state(order, PARTIAL if order.filled_lots else ACKED, now_ns)
                self.troubles += 1          # until a report says that it rests
        elif report.kind == REPORT_LIVE:
            self._alive(order, report, now_ns)
        elif report.kind == REPORT_REJECT:
            order.reject_code, order.group = report.code, report.group
            self._refused(order, now_ns)
        elif report.kind == REPORT_UNCERTAIN:
            order.reject_code, order.group = report.code, report.group
            if order.state == INTENT or order.state == SENT:
                self._enter(order, UNKNOWN, now_ns)
        elif report.kind == REPORT_CANCEL_REJECT:
            if self.is_open(order):
                order.doubt |= DOUBT_CANCEL
                self.troubles += 1
        elif report.kind == REPORT_AMENDED:
            self._amended(order, report, now_ns)
        elif report.kind == REPORT_AMEND_REJECT:
            self.end_amend(order, False, now_ns)
        elif report.kind == REPORT_ODD:
            self.odd += 1
            order.doubt |= DOUBT_ODD
            self.troubles += 1
        elif report.kind == REPORT_CANCELED:
            self._closed(order, report.filled_lots, CANCELED, now_ns)
        elif report.kind == REPORT_EXPIRED:
            self._closed(order, report.filled_lots, EXPIRED, now_ns)
        elif report.kind == REPORT_FILLED:
            self._closed(order, report.filled_lots if report.filled_lots >= 0 else order.size_lots, FILLED, now_ns)
        return 0

    cdef int _stray(self, const Report* report) noexcept nogil:
        """Nobody here placed it: somebody else did, or another node with our name."""
        if report.order_id:
            self.strays += 1
            self.stray_epoch, self.stray_sequence = report.epoch, report.order_id
        else:
            self.foreign += 1
        return 0

    cdef int _refused(self, Order* order, int64_t now_ns) except -1:
        """Refused: it never rested. One that was reported to rest keeps its exposure until the venue has said so twice, for
        the second time when it was asked."""
        if (order.state == LIVE or order.state == PARTIAL) and not order.doubt & DOUBT_REFUSED:
            order.doubt |= DOUBT_REFUSED
            self.troubles += 1
            return 0
        return self.to_state(order, REJECTED, now_ns)

    cdef int _alive(self, Order* order, const Report* report, int64_t now_ns) except -1:
        """It rests at the venue. A word from before its end does not open it again, unless its end was only inferred."""
        if order.state == NEVER_EXISTED or order.state == REJECTED:
            self._rise(order, now_ns)
        if not self.is_open(order) or order.final_state:
            return 0
        order.doubt &= ~(DOUBT_ODD | DOUBT_LINE | DOUBT_REFUSED)
        if report.order_lots >= 0 or report.order_ticks >= 0:
            self._amended(order, report, now_ns)
        self.to_state(order, PARTIAL if order.filled_lots or report.filled_lots > 0 else LIVE, now_ns)
        return self._told(order, report.filled_lots, now_ns)

    cdef int _amended(self, Order* order, const Report* report, int64_t now_ns) except -1:
        """Price and size in force, as the venue has them. What neither we asked for nor had is a change of the venue's own;
        what we had while an amend is in the air says nothing of the amend, and what is older than what is known (another
        connection was faster) says nothing at all."""
        cdef int64_t ticks = report.order_ticks if report.order_ticks > 0 else order.price_ticks
        cdef int64_t lots = report.order_lots if report.order_lots >= 0 else order.size_lots
        if not self.is_open(order) or 0 < report.event_ns < order.terms_ns:
            return 0                    # a word from before the one that is in force
        order.terms_ns = max(order.terms_ns, report.event_ns)
        if report.kind == REPORT_AMENDED and report.order_ticks < 0 and report.order_lots < 0:
            return self.end_amend(order, True, now_ns)
        if order.amending and ticks == order.amend_ticks and lots == order.amend_lots:
            return self.end_amend(order, True, now_ns)
        if ticks == order.price_ticks and lots == order.size_lots:
            return 0
        self._count(order, -1)
        if order.amending and report.kind == REPORT_AMENDED:
            order.amending = False      # something else is in force than was asked for
        order.price_ticks, order.size_lots = ticks, max(lots, order.filled_lots)
        self.widen(order, ticks, order.size_lots)
        self._count(order, 1)
        self.venue_changes += 1
        return 0

    cdef int _rise(self, Order* order, int64_t now_ns) except -1:
        """Evidence for an order that was closed without any: open it, and want it cancelled."""
        order.state = FREE              # not open: nothing is taken away
        self._enter(order, LIVE, now_ns)
        order.doubt |= DOUBT_RISEN
        order.cancel_wanted = True
        self.risen += 1
        self.troubles += 1
        return 0

    cdef int _told(self, Order* order, int64_t filled_lots, int64_t now_ns) except -1:
        """A cumulative quantity that runs ahead of the fills: one of them is missing, or on its way."""
        if filled_lots > order.told_lots:
            order.told_lots = filled_lots
        if order.told_lots > order.filled_lots:
            if not order.behind_ns:
                order.behind_ns = now_ns
                self.troubles += 1
        else:
            order.behind_ns = 0
        return 0

    cdef int _closed(self, Order* order, int64_t filled_lots, int state, int64_t now_ns) except -1:
        """A terminal report. Where it tells of fills that have not been seen yet, the order stays open for them:
        the size must not be freed before the fill that used it is counted."""
        if (order.state == NEVER_EXISTED or order.state == REJECTED) and filled_lots > order.filled_lots:
            self._rise(order, now_ns)
        if not self.is_open(order):
            return 0
        if filled_lots < 0:             # not said: what it told before still holds
            filled_lots = order.told_lots
        if filled_lots <= order.filled_lots:
            return self._enter(order, state, now_ns)
        self.unexpected += not order.final_state
        self._count(order, -1)
        order.amending = order.cancel_wanted = False
        order.final_state, order.size_lots = state, filled_lots
        self._count(order, 1)
        if order.state < LIVE or order.state == UNKNOWN:
            self._enter(order, LIVE, now_ns)
        return self._told(order, filled_lots, now_ns)

    # ---- fills ----

    cdef int64_t _on_fill(self, Order* order, const Report* report, int64_t now_ns) except -1:
        """A trade, whoever's order it was: counted once. One that cannot be named is parked until its order is known."""
        cdef int64_t lots = report.size_lots
        cdef int instrument = order.instrument if order != NULL else report.instrument
        cdef int side = order.side if order != NULL else report.side
        if lots <= 0 or not 0 <= instrument < self.instruments:
            self.foreign += order == NULL
            return 0
        if not self.first_sight(report, instrument, side):
            self.duplicates += 1
            return 0
        if order == NULL:
            self._stray(report)
            parked = &self.parked[self.parked_at]
            self.parked_at = (self.parked_at + 1) % PARKED_MAX
            memset(parked, 0, sizeof(Parked))
            parked.instrument, parked.side, parked.lots, parked.at_ns = instrument, side, lots, now_ns
            parked.price_ticks, parked.venue_id_size = report.price_ticks, report.venue_id_size
            memcpy(parked.venue_id, report.venue_id, report.venue_id_size)
            return lots
        order.heard_ns = now_ns
        self._name(order, report)
        self._fill(order, lots, now_ns)
        self._told(order, report.filled_lots, now_ns)
        return lots

    cdef int _fill(self, Order* order, int64_t lots, int64_t now_ns) except -1:
        if order.state == NEVER_EXISTED or order.state == REJECTED:
            self._rise(order, now_ns)
        elif not self.is_open(order):
            self.unexpected += 1        # a fill behind a terminal state still moves the position
        self._count(order, -1)
        order.filled_lots += lots
        if order.filled_lots > order.size_lots:
            self.unexpected += 1
            order.size_lots = order.filled_lots
        self._count(order, 1)
        if not self.is_open(order):
            return 0
        if order.filled_lots == order.size_lots and (not order.amending or order.amend_lots <= order.filled_lots):
            self._enter(order, order.final_state if order.final_state else FILLED, now_ns)
        else:
            self.to_state(order, PARTIAL, now_ns)
        return self._told(order, -1, now_ns)

    cdef int _name(self, Order* order, const Report* report) noexcept nogil:
        """Remember the venue's own id."""
        if report.venue_id_size > 0:
            order.venue_id_size = report.venue_id_size
            memcpy(order.venue_id, report.venue_id, report.venue_id_size)
        return 0

    cdef bint take_bound(self, Order* order, int64_t now_ns) except -1:
        """A parked fill that is this order's, now that the venue's id of it is known: applied to the order (the position has
        it already) and left in `bound`. Call until False."""
        cdef int i
        cdef Parked* parked
        if not order.venue_id_size:
            return False
        for i in range(PARKED_MAX):
            parked = &self.parked[i]
            if (parked.lots and parked.instrument == order.instrument and parked.venue_id_size == order.venue_id_size
                    and memcmp(parked.venue_id, order.venue_id, order.venue_id_size) == 0):
                self.bound = parked[0]
                parked.lots = 0
                self._fill(order, self.bound.lots, now_ns)
                return True
        return False

    cdef bint first_sight(self, const Report* report, int instrument, int side) noexcept nogil:
        """True where this trade was not applied before; remembers it. Two generations bound the memory."""
        cdef TradeKey* table
        cdef uint64_t at, start
        cdef int turn
        cdef int32_t place = 2 * instrument + side + 1
        start = (<uint64_t>report.trade_lo * 0x9E3779B97F4A7C15U) ^ (<uint64_t>report.trade_hi * 0xC2B2AE3D27D4EB4FU)
        start = (start ^ (start >> 31)) + place
        for turn in range(2):
            table = self.seen[self.seen_turn ^ turn]
            at = start & (2 * SEEN - 1)
            while table[at].place:
                if table[at].lo == report.trade_lo and table[at].hi == report.trade_hi and table[at].place == place:
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
        while table[at].place:
            at = (at + 1) & (2 * SEEN - 1)
        table[at].lo, table[at].hi, table[at].place = report.trade_lo, report.trade_hi, place
        table[at].fee_due = report.fee_is_quote < 0
        self.seen_count += 1
        return True

    # ---- for the cold side, reports and tests ----

    def remember(self, int instrument, int side, int64_t trade_hi, int64_t trade_lo) -> bool:
        """This trade was counted by an earlier run: it is not counted again. False where it was known already."""
        cdef Report report
        if not 0 <= instrument < self.instruments or side not in (0, 1):
            raise ValueError(f"instrument {instrument}, side {side}: there is no such place")
        memset(&report, 0, sizeof(report))
        report.trade_hi, report.trade_lo = trade_hi, trade_lo
        return self.first_sight(&report, instrument, side)

    def order(self, uint64_t id) -> dict | None:
        """One order as a dict, with `state` as a name; None where it is not in the table."""
        cdef Order held
        cdef Order* order = self.find(id)
        if order == NULL:
            return None
        held = order[0]
        held.venue_id[VENUE_ID_MAX - 1] = 0     # what makes a dict of it looks for the end of a text
        row = <object>held
        row["state"] = OrderState(order.state).name
        row["venue_id"] = order.venue_id[:order.venue_id_size].decode("ascii", "replace")
        row["leaves_lots"] = self.leaves(order)
        return row

    def open_orders(self, int instrument=-1) -> list:
        """Ids of all orders that are not terminal, oldest first."""
        out = []
        cdef int i
        for i in range(self.capacity):
            if self.is_open(&self.rows[i]) and (instrument < 0 or self.rows[i].instrument == instrument):
                out.append(self.rows[i].id)
        return sorted(out)

    def troubled(self, int64_t now_ns, int64_t report_due_ns=500_000_000) -> list:
        """Orders that somebody should ask the venue about, as dicts: of unknown fate, acknowledged but not reported within
        `report_due_ns`, with fills missing or an amend unanswered for so long, wanted cancelled, or in doubt. Nothing is
        looked at where there cannot be any."""
        cdef int i, left = 0
        cdef Order* order
        out = []
        if not self.troubles:
            return out
        for i in range(self.capacity):
            order = &self.rows[i]
            if not self.is_open(order):
                continue
            if not (order.state == UNKNOWN or order.state == ACKED or order.behind_ns or order.amending or order.doubt
                    or order.cancel_wanted):
                continue
            left += 1
            if (order.state == UNKNOWN or order.doubt or order.cancel_wanted
                    or order.state == ACKED and now_ns - order.acked_ns >= report_due_ns
                    or order.behind_ns and now_ns - order.behind_ns >= report_due_ns
                    or order.amending and now_ns - order.amend_ns >= report_due_ns):
                out.append(self.order(order.id))
        self.troubles = left
        return out

    def settle(self, uint64_t id):
        """The venue was asked about this order and what it said was applied: no doubt is left, but for a refusal of an order
        that rested, which must be said twice."""
        cdef Order* order = self.find(id)
        if order != NULL:
            order.doubt &= DOUBT_REFUSED

    def best_own(self, int instrument, int side) -> int:
        """`best` for tests."""
        self.reserved(instrument)
        return self.best(instrument, side)

    def listed(self, int instrument, int side) -> list:
        """Ids of the open orders of one instrument and side, newest first."""
        cdef int32_t at
        self.reserved(instrument)
        out = []
        at = self.queues[2 * instrument + side].first
        while at >= 0:
            out.append(self.rows[at].id)
            at = self.rows[at].after
        return out

    def reserved(self, int instrument) -> dict:
        """Lots that may still be bought and sold by what is not terminal."""
        if not 0 <= instrument < self.instruments:
            raise IndexError(f"instrument {instrument}: the table has {self.instruments}")
        row = <object>self.exposure[instrument]
        legs = row.pop("leg_lots")
        names = ("long_buy_lots", "long_sell_lots", "short_buy_lots", "short_sell_lots")
        return row | dict(zip(names, legs[2 * LONG_LEG:]))

    def whose(self, uint64_t sequence, uint64_t epoch) -> int:
        """Our id of the order with this client id; 0 where it is not in the table."""
        cdef Report report
        memset(&report, 0, sizeof(report))
        report.order_id, report.epoch = sequence, epoch
        cdef Order* order = self.locate(&report)
        return 0 if order == NULL else order.id

    def intend(self, int instrument, int side, int64_t price_ticks, int64_t size_lots, int64_t now_ns=0, *,
               bint reduce_only=False, int type=0, int tif=0, int strategy=0, int64_t trigger=0) -> int:
        """`reserve` for tests: returns the order id, 0 where the table is full."""
        cdef Intent intent
        memset(&intent, 0, sizeof(intent))
        intent.instrument, intent.side, intent.price_ticks, intent.size_lots = instrument, side, price_ticks, size_lots
        intent.reduce_only, intent.type, intent.tif, intent.strategy = reduce_only, type, tif, strategy
        intent.trigger_ticks = trigger
        cdef Order* order = self.reserve(&intent, now_ns)
        return 0 if order == NULL else order.id

    def amend(self, uint64_t order_id, int64_t price_ticks, int64_t size_lots, int64_t now_ns=0):
        """`start_amend` for tests."""
        self.start_amend(self.find(order_id), price_ticks, size_lots, now_ns)

    def report(self, uint64_t order_id, int kind, int64_t size_lots=0, int64_t trade_lo=0, int64_t trade_hi=0,
               int64_t filled_lots=-1, int64_t now_ns=0, *, int instrument=-1, int side=0, int64_t order_ticks=-1,
               int64_t order_lots=-1, uint64_t epoch=0, str venue_id="", int64_t price_ticks=0, int64_t event_ns=0) -> int:
        """`on_report` for tests; a parked fill that finds its order is applied as the engine does."""
        cdef Report report
        cdef bytes raw = venue_id.encode()
        cdef int64_t lots
        memset(&report, 0, sizeof(report))
        report.order_id, report.kind, report.size_lots = order_id, kind, size_lots
        report.trade_lo, report.trade_hi, report.filled_lots = trade_lo, trade_hi, filled_lots
        report.instrument, report.side, report.epoch, report.price_ticks = instrument, side, epoch, price_ticks
        report.order_ticks, report.order_lots, report.venue_id_size = order_ticks, order_lots, <int32_t>len(raw)
        report.event_ns = event_ns
        memcpy(report.venue_id, <const char*>raw, min(len(raw), VENUE_ID_MAX))
        lots = self.on_report(&report, now_ns)
        while self.hit != NULL and self.take_bound(self.hit, now_ns):
            pass
        return lots

    def state_counts(self) -> dict:
        """How many orders reached each state."""
        return {state.name: self.counts[state.value] for state in OrderState
                if state != OrderState.STATES and self.counts[state.value]}


cdef inline bint _rests(const Order* order) noexcept nogil:
    """May it stand in the book? What must fill at once never does."""
    return order.type == LIMIT and (order.tif == GTC or order.tif == POST_ONLY)


cdef inline int64_t _keenest(const Order* order) noexcept nogil:
    """The price nearest to the other side that may be in force."""
    if not order.amending:
        return order.price_ticks
    if order.side == BUY:
        return max(order.price_ticks, order.amend_ticks)
    return min(order.price_ticks, order.amend_ticks)

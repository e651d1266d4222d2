"""Protective stop orders that rest at the venue, one or a few for each open position, kept in step with it.

They are what is left when this process is not: a stop-market order, reduce-only, with its trigger at the average entry price
less (of a short: plus) so many millionths. Where position or entry move beyond a tolerance the new order is placed first, and
the old one cancelled when the venue reports the new one to rest: never without, never more than one too many. At most one
change a second for each order. A position above the largest order of the venue has as many as it takes, up to PARTS. When it is
flat they are cancelled.

A stop order of an earlier run on the right side counts. Of several the one that fits best is kept. The others are cancelled when a
comparison with the venue has agreed since they were taken in, the entry price is known, and those that are kept rest and cover
the position: until then each of them may be the one that is needed.
"""

from libc.stdint cimport INT64_MAX
from libc.stdlib cimport calloc, free

from ext.account cimport Position
from ext.exits cimport part, ratio
from ext.orders cimport Order
from ext.records cimport (BUY, CANCEL, DESK_ADOPTED, DESK_PROTECT, GTC, LEGS, LIVE, LONG_LEG, NET, NEW, PARTIAL, SELL, SHORT_LEG,
                          STOP_MARKET)

cdef int64_t PPM = 1_000_000
cdef int64_t CHANGE_NS = 1_000_000_000
cdef int64_t LONELY_NS = 60_000_000_000   # so long may a stop of an earlier run wait for its position
cdef int64_t SIZE_PPM = 20_000       # a position may be so much larger or smaller than its order
cdef int64_t TRIGGER_PPM = 50_000    # a trigger may be so far off, of its distance from the entry
cdef int RANK = 60                   # bit of `_misfit` above which its ranks stand


cdef class Shields:
    """PARTS rows for each leg of each instrument of the table."""

    def __cinit__(self, Instruments instruments, Orders orders, Account account, Exits exits, Outbox outbox):
        cdef int n = max(instruments.count, 1)
        self.instruments, self.orders, self.account = instruments, orders, account
        self.exits, self.outbox = exits, outbox
        self.rows = <Shield*>calloc(n * <int>LEGS * <int>PARTS, sizeof(Shield))
        self.ppm = <int64_t*>calloc(n, sizeof(int64_t))
        self.agreed_ns = <int64_t*>calloc(n, sizeof(int64_t))
        if not (self.rows and self.ppm and self.agreed_ns):
            raise MemoryError()

    def __dealloc__(self):
        free(self.rows)
        free(self.ppm)
        free(self.agreed_ns)

    def set(self, int instrument, int64_t ppm):
        """Protect the positions of a perpetual at `ppm` millionths from their entry; 0 = not. ValueError out of range, and for
        what is no perpetual."""
        self.instruments._check(instrument)
        if not 0 <= ppm <= 500_000:
            raise ValueError(f"protect {ppm} ppm: must be 0 to 500000")
        if ppm and not self.instruments.rows[instrument].is_perpetual:
            raise ValueError(f"protect {self.instruments.symbol(instrument)}: only positions of perpetuals can be protected")
        self.wanted = self.wanted or ppm > 0        # what was placed once is looked after
        self.ppm[instrument] = ppm

    cdef bint owns(self, uint64_t order_id) noexcept nogil:
        """Does this order protect a position now?"""
        cdef int i
        cdef Order* order = self.orders.find(order_id)
        if order == NULL or order.type != STOP_MARKET:
            return False
        for i in range(order.instrument * <int>LEGS * <int>PARTS, (order.instrument + 1) * <int>LEGS * <int>PARTS):
            if self.rows[i].ids[0] == order_id or self.rows[i].ids[1] == order_id:
                return True
        return False

    cdef bint may_own(self, const Order* order) noexcept nogil:
        """A stop order of an earlier run, where positions are protected: it may prove to protect one."""
        return (self.ppm[order.instrument] > 0 and order.type == STOP_MARKET and order.strategy == DESK_ADOPTED
                and order.reduce_only)

    cdef int agree(self, int instrument, int64_t now_ns) noexcept nogil:
        """Positions and orders were compared with the venue, and agree; 0 = what was known is in doubt again."""
        self.agreed_ns[instrument] = now_ns
        return 0

    cdef int work(self, int instrument, int64_t now_ns) noexcept nogil:
        """Bring the protection of each leg one step nearer to its position."""
        cdef int leg, count = 0
        for leg in range(LEGS):
            count += self._step(instrument, leg, now_ns)
        return count

    cdef int _step(self, int instrument, int leg, int64_t now_ns) noexcept nogil:
        """Each part has as much of the position as one order may, the last one the rest."""
        cdef Shield* rows = &self.rows[(instrument * <int>LEGS + leg) * <int>PARTS]
        cdef int64_t lots = self.exits.lots(instrument, leg), most = self._most(instrument), left
        cdef int64_t step = max(self.instruments.rows[instrument].lot_step, 1)
        cdef int part, count = 0, side = SELL if lots > 0 else BUY
        cdef bint busy = self._is_busy(rows), due = self._is_due(rows, now_ns), safe = True
        if not self.ppm[instrument] or not self.exits.closable(instrument, leg, lots, 0):
            return self._clear(rows, instrument, leg, due, now_ns)
        left = lots if lots > 0 else -lots
        for part in range(PARTS):
            lots = min(left, most) if most else left
            lots = self.exits.closable(instrument, leg, lots - lots % step, 0)
            if lots:
                count += self._keep(&rows[part], instrument, leg, side, lots, now_ns, due, &busy)
                safe = safe and self._covers(&rows[part], side, lots)
            elif safe:                  # what is not needed any more goes when the others rest
                count += self._drop(self._held(&rows[part], 0)) + self._drop(self._held(&rows[part], 1))
            left -= lots
        self.partly += left >= step
        if due:
            safe = safe and left < step and self._trigger(instrument, leg) > 0
            count += self._tidy(instrument, leg, side, safe, now_ns)
        return count

    cdef bint _is_due(self, Shield* rows, int64_t now_ns) noexcept nogil:
        """Are the orders of an earlier run to be looked at again?"""
        if not self.orders.adopted or now_ns - rows[0].looked_ns < CHANGE_NS:
            return False
        rows[0].looked_ns = now_ns
        return True

    cdef bint _is_busy(self, Shield* rows) noexcept nogil:
        """Is one of a leg's orders being replaced? One at a time: venues allow few stop orders."""
        cdef int part
        for part in range(PARTS):
            if self._held(&rows[part], 1) != NULL or (rows[part].asked and rows[part].ids[0]):
                return True
        return False

    cdef int _clear(self, Shield* rows, int instrument, int leg, bint due, int64_t now_ns) noexcept nogil:
        """Nothing is to be protected: what rests goes, and one of an earlier run that waited long enough for its position."""
        cdef int part, count = 0
        for part in range(PARTS):
            count += self._drop(self._held(&rows[part], 0)) + self._drop(self._held(&rows[part], 1))
        if due:
            count += self._tidy(instrument, leg, -1, False, now_ns)
        return count

    cdef int _tidy(self, int instrument, int leg, int side, bint safe, int64_t now_ns) noexcept nogil:
        """Cancel what is in no row: on the closing side (-1: there is none) where the position is `safe` without it, else when it
        has waited long enough. Nothing that the venue's lists have not been compared with."""
        cdef int each, count = 0
        cdef int32_t at
        cdef Order* order
        for each in range(2):
            at = self.orders.queues[2 * instrument + each].first
            while at >= 0:
                order = &self.orders.rows[at]
                at = order.after
                if not self._is_loose(order, leg) or self.agreed_ns[instrument] < order.intent_ns:
                    continue
                if safe if each == side else now_ns - order.intent_ns >= LONELY_NS:
                    count += self._drop(order)
        return count

    cdef bint _is_loose(self, const Order* order, int leg) noexcept nogil:
        """A protective stop order of this leg that is in no row."""
        return ((self.may_own(order) or order.strategy == DESK_PROTECT) and not order.cancel_wanted
                and self._leg_of(order) == leg and not self.owns(order.id))

    cdef int _leg_of(self, const Order* order) noexcept nogil:
        """The leg that it protects. One that does not say counts for the leg that it would reduce."""
        cdef Position* row = &self.account.rows[order.instrument]
        if order.leg != NET or row.legs[<int>NET].lots:
            return order.leg
        if order.side == SELL and row.legs[<int>LONG_LEG].lots > 0:
            return LONG_LEG
        return SHORT_LEG if order.side == BUY and row.legs[<int>SHORT_LEG].lots < 0 else NET

    cdef int _keep(self, Shield* row, int instrument, int leg, int side, int64_t lots, int64_t now_ns, bint due,
                   bint* busy) noexcept nogil:
        """Bring one part one step nearer to what it should be: `lots`."""
        cdef Order* old = self._held(row, 0)
        cdef Order* new = self._held(row, 1)
        cdef int64_t trigger = self._trigger(instrument, leg), entry = self._entry(instrument, leg)
        cdef bint may
        if old == NULL and new != NULL:
            row.ids[0], row.ids[1] = row.ids[1], 0
            old, new = new, NULL
        if new != NULL:
            if self._rests(new):
                self._drop(old)         # only now: never without
            return 0
        if row.asked:
            return 0
        may = trigger > 0 and now_ns - row.changed_ns >= CHANGE_NS
        if due or may and (old == NULL or not self._in_step(instrument, old, side, lots, trigger, entry)):
            old = self._choose(row, instrument, leg, side, lots, trigger, entry)
        if not may or old != NULL and (busy[0] or self._in_step(instrument, old, side, lots, trigger, entry)):
            return 0
        busy[0] = busy[0] or old != NULL
        return self._place(row, instrument, leg, side, lots, trigger, now_ns)

    cdef bint _rests(self, const Order* order) noexcept nogil:
        return (order.state == LIVE or order.state == PARTIAL) and not order.cancel_wanted

    cdef bint _covers(self, Shield* row, int side, int64_t lots) noexcept nogil:
        """Does one of a row's orders rest, on this side and large enough?"""
        cdef int place
        cdef Order* order
        for place in range(2):
            order = self._held(row, place)
            if (order != NULL and self._rests(order) and order.side == side
                    and lots - self.orders.leaves(order) <= part(lots, SIZE_PPM)):
                return True
        return False

    cdef Order* _held(self, Shield* row, int place) noexcept nogil:
        """The open order in a place of a row, or NULL: what is closed is forgotten."""
        cdef Order* order = self.orders.find(row.ids[place])
        if order == NULL or not self.orders.is_open(order):
            row.ids[place] = 0
            return NULL
        return order

    cdef Order* _choose(self, Shield* row, int instrument, int leg, int side, int64_t lots, int64_t trigger,
                        int64_t entry) noexcept nogil:
        """What a row holds from now on: of its own and all on the closing side that are in no row, the one that fits best."""
        cdef int32_t at = self.orders.queues[2 * instrument + side].first
        cdef Order* best = self._held(row, 0)
        cdef Order* order
        while at >= 0:
            order = &self.orders.rows[at]
            at = order.after
            if self._is_loose(order, leg) and (best == NULL or self._misfit(order, instrument, side, lots, trigger, entry)
                                               < self._misfit(best, instrument, side, lots, trigger, entry)):
                best = order
        if best != NULL and best.id != row.ids[0]:
            row.ids[0] = best.id
            self.adopted += best.strategy == DESK_ADOPTED
        return best

    cdef int64_t _misfit(self, const Order* order, int instrument, int side, int64_t lots, int64_t trigger,
                         int64_t entry) noexcept nogil:
        """How badly an order protects `lots`, 0 = as it should. Nothing is worse than one that does not reduce the position, or
        is being cancelled; then, one that nobody knows to rest; one that is too small, by what is missing; one in the wrong place
        (`trigger` 0: nobody knows the right one) or too large."""
        cdef int64_t off = order.trigger_ticks - trigger, less = lots - self.orders.leaves(order)
        cdef int64_t out = 0, most = (<int64_t>1 << RANK) - 1
        off = off if off >= 0 else -off
        if order.side != side or order.cancel_wanted:
            return INT64_MAX
        if not self._rests(order):
            out += <int64_t>4 << RANK
        if less > part(lots, SIZE_PPM):
            return out + (<int64_t>2 << RANK) + min(less, most)
        if trigger > 0 and self._in_step(instrument, order, side, lots, trigger, entry):
            return out + min(off, most)
        return out + (<int64_t>1 << RANK) + min(off if trigger > 0 else (less if less > 0 else -less), most)

    cdef int64_t _entry(self, int instrument, int leg) noexcept nogil:
        """Average entry price of the open position in ticks, rounded down."""
        cdef int64_t lots = self.account.rows[instrument].legs[leg].lots
        return self.account.rows[instrument].legs[leg].cost // lots if lots else 0

    cdef int64_t _trigger(self, int instrument, int leg) noexcept nogil:
        """Where it triggers: rounded towards the entry, so that it never triggers later than it was asked to."""
        cdef int64_t lots = self.account.rows[instrument].legs[leg].lots, cost = self.account.rows[instrument].legs[leg].cost
        cdef int64_t ticks, step = max(self.instruments.rows[instrument].tick_step, 1)
        if lots == 0 or (cost > 0) != (lots > 0):
            return 0                    # no entry price that makes sense
        if lots > 0:
            ticks = ratio(cost, PPM - self.ppm[instrument], lots, PPM, True) + step - 1
        else:
            ticks = ratio(-cost, PPM + self.ppm[instrument], -lots, PPM, False)
        return ticks - ticks % step

    cdef int64_t _most(self, int instrument) noexcept nogil:
        """The largest order of this kind that the venue takes, on its step; 0 = any."""
        row = &self.instruments.rows[instrument]
        cdef int64_t most = row.max_size_lots
        if row.max_market_lots and (not most or row.max_market_lots < most):
            most = row.max_market_lots
        return most - most % max(row.lot_step, 1)

    cdef bint _in_step(self, int instrument, const Order* order, int side, int64_t lots, int64_t trigger,
                       int64_t entry) noexcept nogil:
        cdef int64_t off = order.trigger_ticks - trigger, less = self.orders.leaves(order) - lots
        cdef int64_t reach = entry - trigger if entry > trigger else trigger - entry
        if order.side != side or order.cancel_wanted:
            return False
        off, less = (off if off >= 0 else -off), (less if less >= 0 else -less)
        return off <= max(part(reach, TRIGGER_PPM), self.instruments.rows[instrument].tick_step) and less <= part(lots, SIZE_PPM)

    cdef int _place(self, Shield* row, int instrument, int leg, int side, int64_t lots, int64_t trigger,
                    int64_t now_ns) noexcept nogil:
        cdef Intent* intent = self.outbox.add() if lots > 0 else NULL
        if intent == NULL:
            return 0
        intent.instrument, intent.strategy, intent.action = instrument, DESK_PROTECT, NEW
        intent.side, intent.type, intent.tif, intent.reduce_only, intent.leg = side, STOP_MARKET, GTC, True, leg
        intent.size_lots, intent.trigger_ticks = lots, trigger
        row.asked, row.changed_ns = True, now_ns
        self.proposed += 1
        return 1

    cdef int _drop(self, const Order* order) noexcept nogil:
        """Cancel it, once: the engine repeats what is not confirmed."""
        cdef Intent* intent
        if order == NULL or order.cancel_wanted:
            return 0
        intent = self.outbox.add()
        if intent == NULL:
            return 0
        intent.instrument, intent.strategy, intent.action, intent.order_id = order.instrument, DESK_PROTECT, CANCEL, order.id
        return 1

    cdef int answered(self, const Intent* intent, uint64_t order_id, int reason) noexcept nogil:
        """What risk and the wire made of a proposal: an order with this id, or (0) a Reason. Proposals are answered in order, so it
        is of the first part that waits."""
        cdef Shield* row = &self.rows[(intent.instrument * <int>LEGS + intent.leg) * <int>PARTS]
        cdef int part
        if intent.action == CANCEL:
            return 0
        for part in range(PARTS - 1):
            row += not row.asked
        row.asked = False
        if not order_id:
            self.refused += 1
            self.last_reason = reason
            return 0
        if row.ids[0]:
            row.ids[1] = order_id
            self.replaced += 1
        else:
            row.ids[0] = order_id
        return 0

    # ---- for Python: reports, tests ----

    def bare(self, int instrument) -> int:
        """Lots of an instrument's positions that no protective order covers though they are to be protected: on the way to rest,
        refused, or above the largest order that the venue takes. Raises IndexError."""
        cdef int leg, part, side
        cdef int64_t lots, out = 0
        cdef Order* order
        self.instruments._check(instrument)
        if not self.ppm[instrument]:
            return 0
        for leg in range(LEGS):
            lots = self.exits.lots(instrument, leg)
            side = SELL if lots > 0 else BUY
            lots = self.exits.closable(instrument, leg, lots, 0)
            for part in range(PARTS):
                order = self._held(&self.rows[(instrument * <int>LEGS + leg) * <int>PARTS + part], 0)
                if order != NULL and order.side == side and (order.state == LIVE or order.state == PARTIAL):
                    lots -= self.orders.leaves(order)
            out += max(lots, 0)
        return out

    def row(self, int instrument, int leg=0, int part=0) -> dict:
        """One part of a leg's protection as a dict: {order, next, changed_ns}; 0 = none."""
        self.instruments._check(instrument)
        row = &self.rows[(instrument * <int>LEGS + leg) * <int>PARTS + part]
        return {"order": row.ids[0], "next": row.ids[1], "changed_ns": row.changed_ns}

    def protecting(self, int instrument) -> list:
        """Ids of the orders that protect an instrument's positions."""
        self.instruments._check(instrument)
        first = instrument * <int>LEGS * <int>PARTS
        return [self.rows[i].ids[0] for i in range(first, first + <int>LEGS * <int>PARTS) if self.rows[i].ids[0]]

    def state(self) -> dict:
        """{wanted, proposed, refused, last_reason, replaced, adopted, partly}: was any protection asked for, orders asked for, and
        how often one was refused by the gate, took the place of another, was of an earlier run, or could not be all
        of the position."""
        return {"wanted": bool(self.wanted), "proposed": self.proposed, "refused": self.refused, "last_reason": self.last_reason,
                "replaced": self.replaced, "adopted": self.adopted, "partly": self.partly}

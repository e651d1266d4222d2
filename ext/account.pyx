"""Positions, profit, fees and funding from what the venues tell, in exact integers.

Profit needs no average price: what came in minus what went out, plus what the open position would bring at the side of the
book it would be closed on. The average price only splits that sum into realised and open: closing a part of a position takes
the same part of its cost, rounded towards zero, and what rounding leaves stays with what is open. So in each leg, and in all
of them together, cash = realised - cost holds to the last unit. Everything is in tick * lot units of the instrument.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset, strncmp

from ext.records cimport BUY, LEGS, NET

cdef extern from *:
    """
    static inline int tg_signed_add_product(int64_t *sum, int64_t a, int64_t b) {
        int64_t product;
        return __builtin_mul_overflow(a, b, &product) || __builtin_add_overflow(*sum, product, sum);
    }
    static inline int tg_signed_add(int64_t *sum, int64_t a) { return __builtin_add_overflow(*sum, a, sum); }
    /* The part of `cost` that `part` of `whole` lots have, rounded towards zero. part <= whole, so it always fits. */
    static inline int64_t tg_share(int64_t cost, int64_t part, int64_t whole) {
        return part == whole ? cost : (int64_t)((__int128)cost * part / whole);
    }
    """
    int tg_signed_add_product(int64_t* total, int64_t a, int64_t b) noexcept nogil
    int tg_signed_add(int64_t* total, int64_t a) noexcept nogil
    int64_t tg_share(int64_t cost, int64_t part, int64_t whole) noexcept nogil

cdef int64_t LOTS_MOST = <int64_t>1 << 47     # no position of any sense is larger


cdef inline int _trade(Leg* leg, int64_t signed, int64_t ticks, int64_t now_ns) noexcept nogil:
    """Book a trade of `signed` lots on a copy of a leg; not 0 where a number does not fit."""
    cdef int64_t closed = 0, share, proceeds = 0
    cdef int overflow = 0
    if leg.lots != 0 and (leg.lots > 0) != (signed > 0):
        closed = signed if (signed <= -leg.lots if leg.lots < 0 else signed >= -leg.lots) else -leg.lots
        share = tg_share(leg.cost, -closed if closed < 0 else closed, leg.lots if leg.lots > 0 else -leg.lots)
        overflow |= tg_signed_add_product(&proceeds, -closed, ticks)
        overflow |= tg_signed_add(&proceeds, -share)
        overflow |= tg_signed_add(&leg.realised, proceeds)
        leg.cost -= share
        leg.lots += closed
        if leg.lots == 0:
            leg.trips += 1
            leg.began_ns = 0
    if signed != closed:
        if leg.lots == 0:
            leg.began_ns = now_ns if now_ns > 0 else 1
        overflow |= tg_signed_add_product(&leg.cost, signed - closed, ticks)
        overflow |= tg_signed_add(&leg.lots, signed - closed)
    return overflow


cdef int _book(Position* row, int side, int leg, int64_t ticks, int64_t lots, int64_t now_ns) noexcept nogil:
    """Book a fill on a copy of a position; not 0 where a number does not fit."""
    cdef Leg* at = &row.legs[leg if 0 <= leg < <int>LEGS else NET]
    cdef int64_t signed = lots if side == BUY else -lots
    cdef int overflow = _trade(at, signed, ticks, now_ns)
    if at.lots == 0:
        at.late = 0                             # whatever the order was, all of it is realised now
    elif now_ns < at.last_ns or now_ns == at.last_ns and side != at.last_side:
        at.late += 1
    if now_ns >= at.last_ns:
        at.last_ns, at.last_side = now_ns, side
    overflow |= tg_signed_add_product(&row.cash, ticks, -signed)
    overflow |= tg_signed_add(&row.lots, signed)
    overflow |= tg_signed_add(&row.bought_lots if side == BUY else &row.sold_lots, lots)
    row.fills += 1
    return overflow


cdef int _correct(Position* row, int leg, int64_t lots, int64_t cash, int64_t cost, int64_t now_ns) noexcept nogil:
    """Set one leg of a copy of a position; not 0 where a number does not fit."""
    cdef Leg* other
    cdef int64_t realised = cash
    cdef int i, overflow = tg_signed_add(&realised, cost)
    if leg == NET:
        memset(row.legs, 0, sizeof(row.legs))
    row.lots, row.cash = lots, cash
    for i in range(LEGS):
        if i != leg:
            other = &row.legs[i]
            overflow |= tg_signed_add(&row.lots, other.lots)
            overflow |= tg_signed_add(&row.cash, other.realised - other.cost)
    row.legs[leg].lots, row.legs[leg].cost, row.legs[leg].realised = lots, cost, realised
    row.legs[leg].began_ns = 0 if lots == 0 else (now_ns if now_ns > 0 else 1)
    return overflow


cdef class Account:
    """One row per instrument."""

    def __cinit__(self, int instruments):
        self.instruments = instruments
        self.rows = <Position*>calloc(max(instruments, 1), sizeof(Position))
        self.third = <int64_t*>calloc(max(instruments, 1) * THIRD_MAX, sizeof(int64_t))
        if self.rows == NULL or self.third == NULL:
            raise MemoryError()
        memset(self.third_names, 0, sizeof(self.third_names))

    def __dealloc__(self):
        free(self.rows)
        free(self.third)

    cdef int on_fill(self, int instrument, int side, int leg, int64_t ticks, int64_t lots, int64_t now_ns) except -1:
        """Book one fill, once (the order table has removed duplicates, and who asked `fits` before knows that it does). `leg` -1:
        not said, so there is only one. In hedge mode a buy on the SHORT leg reduces it. `now_ns` is when the venue made it: one
        that comes behind newer ones is counted in `late`, because average cost is a matter of order, and cash is not."""
        cdef Position after = self.rows[instrument]
        assert not _book(&after, side, leg, ticks, lots, now_ns), "position value does not fit in 64 bits"
        self.rows[instrument] = after
        return 0

    cdef bint fits(self, int instrument, int side, int leg, int64_t ticks, int64_t lots) noexcept nogil:
        """Is there room for a fill, in lots and in money? What a venue says may be anything."""
        cdef Position after = self.rows[instrument]
        return not _book(&after, side, leg, ticks, lots, 0) and -LOTS_MOST <= after.lots <= LOTS_MOST

    cdef bint fee_fits(self, int instrument, int64_t fee_e8, int fee_is_quote, const char* coin) noexcept nogil:
        """Is there room for a fee in its sum?"""
        cdef int64_t* sum = self._fees_of(instrument, fee_e8, fee_is_quote, coin)
        cdef int64_t fees = 0 if sum == NULL else sum[0]
        return not tg_signed_add(&fees, fee_e8)

    cdef int64_t* _fees_of(self, int instrument, int64_t fee_e8, int fee_is_quote, const char* coin) noexcept nogil:
        """The sum that a fee goes into; NULL where it is not told, or nobody knows its coin."""
        cdef int at
        if fee_is_quote == 1:
            return &self.rows[instrument].fee_e8
        if fee_is_quote == 2:
            return &self.rows[instrument].fee_base_e8
        if fee_is_quote != 0 or not fee_e8:
            return NULL
        at = self._third(coin)
        return NULL if at < 0 else &self.third[instrument * THIRD_MAX + at]

    cdef int on_fee(self, int instrument, int64_t fee_e8, int fee_is_quote, const char* coin) except -1:
        """Book the fee of one fill; it may come behind the fill. `fee_is_quote` < 0: not told (yet); 0: in the coin named."""
        cdef Position* row = &self.rows[instrument]
        cdef int64_t* sum = self._fees_of(instrument, fee_e8, fee_is_quote, coin)
        cdef int64_t fees
        if fee_is_quote == 0 and fee_e8:
            row.other_fees += 1
            row.nameless_fees += sum == NULL
        if sum != NULL:
            fees = sum[0]
            assert not tg_signed_add(&fees, fee_e8), "fees do not fit in 64 bits"
            sum[0] = fees
        return 0

    cdef int _third(self, const char* coin) noexcept nogil:
        """The number of a coin besides quote and base, given at first sight; -1 for one without a name, or one too many."""
        cdef int i
        if coin == NULL or coin[0] == 0:
            return -1
        for i in range(self.third_count):
            if strncmp(self.third_names[i], coin, THIRD_NAME) == 0:
                return i
        if self.third_count == THIRD_MAX:
            return -1
        for i in range(THIRD_NAME):
            self.third_names[self.third_count][i] = coin[i]
            if coin[i] == 0:
                break
        self.third_count += 1
        return self.third_count - 1

    cdef int on_funding(self, int instrument, int64_t amount_e8) except -1:
        """Funding of a perpetual: received is positive. Of the instrument's quote coin."""
        cdef int64_t total = self.rows[instrument].funding_e8
        assert not tg_signed_add(&total, amount_e8), "funding does not fit in 64 bits"
        self.rows[instrument].funding_e8 = total
        return 0

    cdef int set_leg(self, int instrument, int leg, int64_t lots, int64_t cash, int64_t cost, int64_t now_ns) except -1:
        """A correction with evidence: this leg is `lots`, of which the open ones cost `cost`, with `cash` so far. NET: the other
        legs are nothing."""
        cdef Position after = self.rows[instrument]
        assert lots != 0 or cost == 0, "a position of nothing costs nothing"
        assert not _correct(&after, leg, lots, cash, cost, now_ns), "position value does not fit in 64 bits"
        self.rows[instrument] = after
        return 0

    cdef bint leg_fits(self, int instrument, int leg, int64_t lots, int64_t cash, int64_t cost) noexcept nogil:
        """Is there room for such a position?"""
        cdef Position after = self.rows[instrument]
        return not _correct(&after, leg, lots, cash, cost, 0) and -LOTS_MOST <= after.lots <= LOTS_MOST

    cdef bint funding_fits(self, int instrument, int64_t amount_e8) noexcept nogil:
        """Is there room for a payment in the sum of them?"""
        cdef int64_t total = self.rows[instrument].funding_e8
        return not tg_signed_add(&total, amount_e8)

    cdef int64_t profit(self, int instrument, int64_t bid_ticks, int64_t ask_ticks) noexcept nogil:
        """Profit before fees in tick * lot units, the position valued where it could be closed now. Wraps where a mark
        is beyond any sense; `marked` does not."""
        cdef Position* row = &self.rows[instrument]
        return row.cash + row.lots * (bid_ticks if row.lots > 0 else ask_ticks)

    def _check(self, int instrument):
        if not 0 <= instrument < self.instruments:
            raise IndexError(f"instrument {instrument}: the account has {self.instruments}")

    def position(self, int instrument) -> dict:
        """The row of one instrument as a dict. `average`: (numerator, lots) of what is open, in ticks; (0, 0) where nothing is.
        `fees`: other coins by name, 1e-8 of each. `legs`: one dict for each records.LegKind, with an `average` of its own."""
        cdef int i
        self._check(instrument)
        row = <object>self.rows[instrument]
        legs = row["legs"]
        for leg in legs:
            leg["average"] = (leg["cost"], leg["lots"])
        row["cost"] = sum(x["cost"] for x in legs)
        row["realised"] = sum(x["realised"] for x in legs)
        row["trips"] = sum(x["trips"] for x in legs)
        row["began_ns"] = min((x["began_ns"] for x in legs if x["began_ns"]), default=0)
        row["average"] = (row["cost"], row["lots"])
        row["fees"] = {}
        for i in range(self.third_count):
            if self.third[instrument * THIRD_MAX + i]:
                row["fees"][_name(self.third_names[i])] = self.third[instrument * THIRD_MAX + i]
        return row

    def sums(self, int instrument) -> tuple:
        """(lots, cash, fills, fees in quote, in base, fills with a fee in another coin): what a change shows in, without more."""
        self._check(instrument)
        row = &self.rows[instrument]
        return row.lots, row.cash, row.fills, row.fee_e8, row.fee_base_e8, row.other_fees

    def fill(self, int instrument, int side, int64_t ticks, int64_t lots, int64_t fee_e8=0, int fee_is_quote=1, *,
             int leg=0, str fee_coin="", int64_t now_ns=0):
        """`on_fill` and `on_fee` for Python callers."""
        self._check(instrument)
        self.on_fill(instrument, side, leg, ticks, lots, now_ns)
        self.fee(instrument, fee_e8, fee_is_quote, fee_coin)

    def fee(self, int instrument, int64_t fee_e8, int fee_is_quote=1, str coin=""):
        """`on_fee` for Python callers. A name that does not fit is as good as none."""
        cdef char name[THIRD_NAME]
        cdef bytes raw = coin.encode()
        self._check(instrument)
        memset(name, 0, sizeof(name))
        if len(raw) < THIRD_NAME:
            memcpy(name, <const char*>raw, len(raw))
        self.on_fee(instrument, fee_e8, fee_is_quote, name)

    def funding(self, int instrument, int64_t amount_e8):
        """`on_funding` for Python callers."""
        self._check(instrument)
        self.on_funding(instrument, amount_e8)

    def set_position(self, int instrument, int64_t lots, int64_t cash, *, int leg=0, cost=None, int64_t now_ns=0):
        """`set_leg` for Python callers; `cost` None: nothing of `cash` is realised."""
        self._check(instrument)
        if not 0 <= leg < <int>LEGS:
            raise ValueError(f"leg {leg}: there is no such leg")
        self.set_leg(instrument, leg, lots, cash, (-cash if lots else 0) if cost is None else cost, now_ns)

    def marked(self, int instrument, int64_t bid_ticks, int64_t ask_ticks) -> int:
        """`profit` for Python callers, in integers that cannot overflow."""
        self._check(instrument)
        lots, cash = self.rows[instrument].lots, self.rows[instrument].cash
        return cash + lots * (bid_ticks if lots > 0 else ask_ticks)


cdef str _name(const char* raw):
    return raw[:THIRD_NAME].split(b"\0")[0].decode("ascii", "replace")

"""What the account is worth and what could still happen to it: mark-to-market, worst-case exposure, margin.

Each instrument's numbers are computed anew from the account, the orders and two prices, and their changes are added to the
sums of its coin, its purse and of everything: a mark costs the same however many instruments there are, and the sums are
always what adding up would give (a test adds up). Every rounding goes against us: profit down, costs and notionals up.
Nothing wraps: a value that does not fit counts as the largest there is, and the sums are kept in 128 bits.

What cannot be valued is never counted as nothing: an open position or order that was never marked, a fee in a coin that has no
price (or did not say its coin) makes its instrument blind, and a purse with a blind instrument is not known. Who asks for
equity before taking risk is then refused; exits are not. The sums go on meanwhile, for the loss stops: a coin counts at the last
price it had, a fee that never had one is left out.

A mark price counts beside the book, whichever is worse. Where it is more than 5 % from the mid of a book that can be used, one of
both is wrong: it counts when it has stayed so for 5 s, longer than any venue takes to send the next two.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from ext.account cimport THIRD_NAME, Position
from ext.instruments cimport Instruments
from ext.orders cimport Exposure
from ext.records cimport BUY, SELL, LEGS, LONG_LEG, SHORT_LEG, Instrument

cdef extern from *:
    """
    typedef __int128 tg_wide;
    #define TG_WORTH_MAX (((int64_t)1 << 62) - 1)

    static inline int64_t tg_fit(tg_wide x, int64_t *overflows) {
        if (x > TG_WORTH_MAX) { *overflows += 1; return TG_WORTH_MAX; }
        if (x < -TG_WORTH_MAX) { *overflows += 1; return -TG_WORTH_MAX; }
        return (int64_t)x;
    }
    static inline int64_t tg_clamp(tg_wide x) {
        return x > INT64_MAX ? INT64_MAX : x < -INT64_MAX ? -INT64_MAX : (int64_t)x;
    }
    /* x * mul / div, rounded up or down; mul and div are not negative. */
    static inline int64_t tg_scale(tg_wide x, int64_t mul, int64_t div, int up, int64_t *overflows) {
        tg_wide p, q;
        if (mul == 0) return 0;
        if (x > INT64_MAX || x < -INT64_MAX) {
            tg_wide most = ((tg_wide)1 << 126) / mul;
            if (x > most || x < -most) return tg_fit(x > 0 ? (tg_wide)1 << 100 : -((tg_wide)1 << 100), overflows);
        }
        p = x * mul;
        if (div == 1) return tg_fit(p, overflows);
        if (p <= INT64_MAX && p >= -INT64_MAX) {
            int64_t n = (int64_t)p, w = n / div, r = n % div;
            return tg_fit(w + (r > 0 && up) - (r < 0 && !up), overflows);
        }
        q = p / div;
        p -= q * div;
        return tg_fit(q + (p > 0 && up) - (p < 0 && !up), overflows);
    }
    static inline tg_wide tg_times(int64_t a, int64_t b) { return (tg_wide)a * b; }
    static inline int64_t tg_satadd(int64_t a, int64_t b) { return tg_clamp((tg_wide)a + b); }
    static inline int64_t tg_worth(int64_t a, int64_t b, int64_t c, int64_t d) { return tg_clamp((tg_wide)a + b + c - d); }
    /* Replace `before` by `after` in ten sums; `shown` is what fits of each. */
    static inline void tg_move(void *sums, int pool, int64_t *shown, const int64_t *before, const int64_t *after) {
        tg_wide *wide = (tg_wide *)sums + pool * 10;
        for (int i = 0; i < 10; i++) {
            if (before[i] != after[i]) {
                wide[i] += (tg_wide)after[i] - before[i];
                shown[i] = tg_clamp(wide[i]);
            }
        }
    }
    """
    ctypedef long long tg_wide
    enum: TG_WORTH_MAX
    int64_t tg_clamp(tg_wide x) noexcept nogil
    int64_t tg_scale(tg_wide x, int64_t mul, int64_t div, int up, int64_t* overflows) noexcept nogil
    tg_wide tg_times(int64_t a, int64_t b) noexcept nogil
    int64_t tg_satadd(int64_t a, int64_t b) noexcept nogil
    int64_t tg_worth(int64_t a, int64_t b, int64_t c, int64_t d) noexcept nogil
    void tg_move(void* sums, int pool, int64_t* shown, const int64_t* before, const int64_t* after) noexcept nogil

cdef int SUMS = 10                       # of Worth and Pool, from profit_e8 on
cdef int WIDE = 16                       # bytes
cdef int64_t ONE = 100_000_000
cdef int64_t PPM = 1_000_000
cdef int64_t TICK_MAX = 1_000_000_000_000_000_000 // ONE        # so that a mark price is a fraction of 64-bit numbers
cdef int64_t DAY_NS = 86_400_000_000_000
cdef int64_t FAR_PPM = 50_000            # a mark price further from its own book's mid is an outlier ...
cdef int64_t FAR_NS = 5_000_000_000      # ... until it has been one for so long
cdef int OWN = COINS_MAX - 1             # the account's currency itself, as a coin


cdef class Equity:
    """Sums over all instruments, kept up to date by `mark` and `recount`; O(1) in the number of instruments. All instruments are
    of one purse until `set_purse` says otherwise."""

    def __cinit__(self, Instruments instruments, Orders orders, Account account):
        cdef int i
        self.instruments, self.orders, self.account = instruments, orders, account
        self.rows = <Worth*>calloc(max(instruments.count, 1), sizeof(Worth))
        self.wide = calloc((COINS_MAX + PURSES_MAX + 1) * SUMS, WIDE)
        self.capital = <int64_t*>calloc(PURSES_MAX * COINS_MAX, sizeof(int64_t))
        if self.rows == NULL or self.wide == NULL or self.capital == NULL:
            raise MemoryError()
        for i in range(THIRD_MAX):
            self.third[i] = -1
        self.price_e8[OWN], self.priced[OWN] = ONE, True
        for i in range(instruments.count):
            self._open_row(i)
        self._rebuild()

    def __dealloc__(self):
        free(self.rows)
        free(self.wide)
        free(self.capital)

    def _open_row(self, int instrument):
        cdef Worth* row = &self.rows[instrument]
        cdef Instrument* of = &self.instruments.rows[instrument]
        if of.tick_mantissa > TICK_MAX or of.price_decimals > 18:
            raise ValueError(f"{self.instruments.symbol(instrument)}: its tick cannot be valued")
        row.coin = self.coin_number(of.base, 16)
        row.quote = self.coin_number(of.quote, 16)
        if row.quote >= 0:
            self.price_e8[row.quote], self.priced[row.quote] = ONE, True
        row.is_perpetual, row.leverage = of.is_perpetual, 1

    def _rebuild(self):
        """All sums from nothing."""
        cdef int i
        memset(self.wide, 0, (COINS_MAX + PURSES_MAX + 1) * SUMS * WIDE)
        memset(self.coins, 0, sizeof(self.coins))
        memset(self.purses, 0, sizeof(self.purses))
        memset(&self.total, 0, sizeof(self.total))
        self.unvalued = 0
        self.purse_count = 1
        for i in range(self.instruments.count):
            memset(&self.rows[i].profit_e8, 0, SUMS * sizeof(int64_t))
            self.rows[i].blind = self.rows[i].unmarked = 0
            self.rows[i].purse = self.purse_of[self.instruments.rows[i].market & (MARKETS_MAX - 1)]
            self.purse_count = max(self.purse_count, self.rows[i].purse + 1)
        for i in range(self.instruments.count):
            self.recount(i)
        self._capitals()

    # ---- hot: one instrument ----

    cdef int mark(self, int instrument, int64_t bid_ticks, int64_t ask_ticks, int64_t mark_e8, int64_t now_ns) noexcept nogil:
        """New prices of one instrument (0 = none, the last ones stay): profit, worst case, margin, and every sum they are in."""
        self._prices(instrument, bid_ticks, ask_ticks, mark_e8, now_ns)
        if bid_ticks or ask_ticks or mark_e8:
            self.rows[instrument].marked_ns = now_ns
        return self.recount(instrument)

    cdef int _prices(self, int instrument, int64_t bid_ticks, int64_t ask_ticks, int64_t mark_e8, int64_t now_ns) noexcept nogil:
        """Where a position could be closed: the worst of what the book shows and what the venue marks it at. Liquidations go by
        the mark, closing by the book, and each can be wrong alone. A mark price that is an outlier has to stay to count."""
        cdef Worth* row = &self.rows[instrument]
        cdef Instrument* of = &self.instruments.rows[instrument]
        cdef int64_t pow10 = 1, low, high
        cdef int i
        if mark_e8 > 0 and mark_e8 != row.mark_e8:
            row.mark_e8 = mark_e8
            for i in range(of.price_decimals):
                pow10 *= 10
            row.mark_low_ticks = tg_scale(mark_e8, pow10, ONE * of.tick_mantissa, 0, &self.overflows)
            row.mark_high_ticks = tg_scale(mark_e8, pow10, ONE * of.tick_mantissa, 1, &self.overflows)
        if bid_ticks > 0:
            row.book_bid_ticks = bid_ticks
        if ask_ticks > 0:
            row.book_ask_ticks = ask_ticks
        low, high = row.book_bid_ticks, max(row.book_ask_ticks, row.book_bid_ticks)
        if row.book_ask_ticks and (low == 0 or row.book_ask_ticks < low):
            low = row.book_ask_ticks
        if row.mark_e8 and not self._is_far(row, bid_ticks, ask_ticks, now_ns):
            low = row.mark_low_ticks if high == 0 else min(low, row.mark_low_ticks)
            high = max(high, row.mark_high_ticks)
        row.exit_bid_ticks, row.exit_ask_ticks, row.ticks = low, high, high
        return 0

    cdef bint _is_far(self, Worth* row, int64_t bid_ticks, int64_t ask_ticks, int64_t now_ns) noexcept nogil:
        """Is the mark price an outlier, and has not been one for long? Only a book that can be used now says so."""
        cdef int64_t mid2 = bid_ticks + ask_ticks, apart = row.mark_low_ticks + row.mark_high_ticks - mid2
        if bid_ticks <= 0 or ask_ticks <= 0:
            return row.mark_far_ns and now_ns - row.mark_far_ns < FAR_NS
        if (apart if apart >= 0 else -apart) <= mid2 // PPM * FAR_PPM + mid2 % PPM * FAR_PPM // PPM:
            row.mark_far_ns = 0
            return False
        if row.mark_far_ns == 0:
            row.mark_far_ns = max(now_ns, 1)
        return now_ns - row.mark_far_ns < FAR_NS

    cdef int64_t taken(self, int instrument, int side) noexcept nogil:
        """Lots of the orders that only reduce, on one side of a perpetual, that count in its worst case. Venues keep them from
        turning a position: together they end at flat. But reports of several orders come in any order: they may have filled
        before others that were heard of since, when the position was the largest."""
        cdef Worth* row = &self.rows[instrument]
        cdef Exposure* open = &self.orders.exposure[instrument]
        cdef int64_t lots = open.reduce_buy_lots if side == BUY else open.reduce_sell_lots
        if open.unknown_lots:           # nobody knows since when, or from what
            return lots
        return min(lots, max(row.peak_shorts, row.past_shorts) if side == BUY else max(row.peak_longs, row.past_longs))

    cdef int64_t sure_e8(self, int purse) noexcept nogil:
        """The worst case of a purse's perpetuals where orders that only reduce end at flat, as venues keep them: `perpetual_e8`
        without what may have filled unheard. That is for the gate, which says no; a stop closes what there is."""
        cdef int64_t total = 0
        cdef int i
        for i in range(self.instruments.count):
            if self.rows[i].purse == purse and self.rows[i].is_perpetual:
                total = tg_satadd(total, self._sure(i))
        return total

    cdef int64_t _sure(self, int instrument) noexcept nogil:
        cdef Position* held = &self.account.rows[instrument]
        cdef Exposure* open = &self.orders.exposure[instrument]
        cdef int64_t longs = 0, shorts = 0, buys, sells, high, low
        cdef int i
        for i in range(LEGS):
            if held.legs[i].lots > 0:
                longs = tg_satadd(longs, held.legs[i].lots)
            else:
                shorts = tg_satadd(shorts, -held.legs[i].lots)
        buys = tg_satadd(open.buy_lots - max(open.reduce_buy_lots - shorts, 0), open.foreign_buy_lots)
        sells = tg_satadd(open.sell_lots - max(open.reduce_sell_lots - longs, 0), open.foreign_sell_lots)
        if longs and shorts or held.legs[<int>LONG_LEG].lots or held.legs[<int>SHORT_LEG].lots:
            return self._money(instrument, tg_satadd(tg_satadd(longs, shorts), tg_satadd(buys, sells)), True)
        high, low = tg_satadd(held.lots, buys), tg_satadd(-held.lots, sells)
        return self._money(instrument, max(high if high >= 0 else -high, low if low >= 0 else -low), True)

    cdef int settle(self, int instrument) noexcept nogil:
        """A complete pass agreed with the venue: what filled before the one before it was heard of."""
        cdef Worth* row = &self.rows[instrument]
        row.past_longs, row.past_shorts = row.peak_longs, row.peak_shorts
        row.peak_longs = row.peak_shorts = 0
        return self.recount(instrument)

    cdef int recount(self, int instrument) noexcept nogil:
        """Orders, fills, fees or funding of one instrument changed."""
        cdef Worth* row = &self.rows[instrument]
        cdef Position* held = &self.account.rows[instrument]
        cdef Exposure* open = &self.orders.exposure[instrument]
        cdef int64_t before[10]
        cdef int64_t longs = 0, shorts = 0, cost = 0, size, buys, sells
        cdef int i
        cdef int32_t blind = row.blind, unmarked = row.unmarked
        memcpy(before, &row.profit_e8, SUMS * sizeof(int64_t))
        for i in range(LEGS):
            cost = tg_satadd(cost, held.legs[i].cost)
            if held.legs[i].lots > 0:
                longs = tg_satadd(longs, held.legs[i].lots)
            else:
                shorts = tg_satadd(shorts, -held.legs[i].lots)
        size = tg_satadd(longs, shorts)
        buys, sells = open.buy_lots, open.sell_lots
        _keep_peak(&row.peak_longs, &row.past_longs, longs, open.reduce_sell_lots)
        _keep_peak(&row.peak_shorts, &row.past_shorts, shorts, open.reduce_buy_lots)
        if row.is_perpetual:
            buys -= open.reduce_buy_lots - self.taken(instrument, BUY)
            sells -= open.reduce_sell_lots - self.taken(instrument, SELL)
        buys = tg_satadd(buys, open.foreign_buy_lots)
        sells = tg_satadd(sells, open.foreign_sell_lots)
        row.profit_e8 = self._profit(instrument, longs, shorts, held.cash)
        row.open_e8 = self._profit(instrument, longs, shorts, -cost)
        row.long_e8 = self._money(instrument, tg_satadd(held.lots, buys), True)
        row.short_e8 = self._money(instrument, tg_satadd(held.lots, -sells), False)
        row.gross_e8 = max(row.long_e8 if row.long_e8 > 0 else -row.long_e8,
                           row.short_e8 if row.short_e8 > 0 else -row.short_e8)
        if longs and shorts or held.legs[<int>LONG_LEG].lots or held.legs[<int>SHORT_LEG].lots:
            # a buy may open the long leg or close the short one: which is not counted, so the worse
            row.gross_e8 = self._money(instrument, tg_satadd(size, tg_satadd(buys, sells)), True)
        row.margin_e8 = row.gross_e8 if row.leverage == 1 else (row.gross_e8 + row.leverage - 1) // row.leverage
        row.maintenance_e8 = 0
        if row.maintenance_ppm:
            row.maintenance_e8 = tg_scale(self._money(instrument, size, True), row.maintenance_ppm, PPM, 1, &self.overflows)
        row.perpetual_e8 = row.gross_e8 if row.is_perpetual else 0
        row.blind = row.ticks == 0 and (size != 0 or buys != 0 or sells != 0)
        row.unmarked = row.ticks == 0 and size != 0
        self._fees(instrument)
        return self._sum(instrument, before, blind, unmarked)

    cdef int64_t _profit(self, int instrument, int64_t longs, int64_t shorts, int64_t cash) noexcept nogil:
        """What is left when so many lots are closed, after `cash` (tick * lot)."""
        cdef Worth* row = &self.rows[instrument]
        cdef Instrument* of = &self.instruments.rows[instrument]
        cdef tg_wide made = tg_times(longs, row.exit_bid_ticks) - tg_times(shorts, row.exit_ask_ticks) + cash
        return self._in_own(instrument, tg_scale(made, of.money_mul, of.money_div, 0, &self.overflows), 0)

    cdef int64_t _money(self, int instrument, int64_t lots, bint up) noexcept nogil:
        """Signed notional of lots."""
        cdef Instrument* of = &self.instruments.rows[instrument]
        cdef int64_t money = tg_scale(tg_times(lots, self.rows[instrument].ticks), of.money_mul, of.money_div, up, &self.overflows)
        return self._in_own(instrument, money, up)

    cdef int64_t _in_own(self, int instrument, int64_t money, int up) noexcept nogil:
        """An amount of an instrument's quote coin in the account's currency."""
        cdef int quote = self.rows[instrument].quote
        if quote < 0 or self.price_e8[quote] == ONE:
            return money
        return tg_scale(money, self.price_e8[quote], ONE, up, &self.overflows)

    cdef int _fees(self, int instrument) noexcept nogil:
        """Fees of one instrument: quote, base at its own price, other coins at theirs."""
        cdef Worth* row = &self.rows[instrument]
        cdef Position* held = &self.account.rows[instrument]
        cdef int64_t fees = held.fee_e8
        if held.fee_base_e8:
            fees = tg_satadd(fees, self._base_fee(instrument))
            row.blind |= row.ticks == 0
        fees = self._in_own(instrument, fees, 1)
        row.funding_e8 = self._in_own(instrument, held.funding_e8, 0)
        row.blind |= row.quote >= 0 and not self.priced[row.quote]
        if held.other_fees:
            row.blind |= held.nameless_fees != 0
            fees = tg_satadd(fees, self._third_fees(instrument))
        row.fees_e8 = fees
        return 0

    cdef int64_t _base_fee(self, int instrument) noexcept nogil:
        """Fees in the base coin, as the quote coin's."""
        cdef Instrument* of = &self.instruments.rows[instrument]
        cdef int64_t pow10 = 1
        cdef int i
        for i in range(of.price_decimals):
            pow10 *= 10
        return tg_scale(tg_times(self.account.rows[instrument].fee_base_e8, self.rows[instrument].ticks), of.tick_mantissa, pow10,
                        1, &self.overflows)

    cdef int64_t _third_fees(self, int instrument) noexcept nogil:
        """Fees in coins that are neither: at the last price each was given; without one now, the instrument is blind."""
        cdef int64_t fees = 0, amount, price
        cdef int i
        for i in range(self.account.third_count):
            amount = self.account.third[instrument * THIRD_MAX + i]
            if amount:
                if self.third[i] < 0:
                    self.third[i] = self.coin_number(self.account.third_names[i], THIRD_NAME)
                price = self.price_e8[self.third[i]] if self.third[i] >= 0 else 0
                self.rows[instrument].blind |= self.third[i] < 0 or not self.priced[self.third[i]]
                fees = tg_satadd(fees, tg_scale(amount, price, ONE, 1, &self.overflows))
        return fees

    cdef int _sum(self, int instrument, const int64_t* before, int32_t blind, int32_t unmarked) noexcept nogil:
        """Bring the sums from what this instrument was to what it is."""
        cdef Worth* row = &self.rows[instrument]
        cdef const int64_t* after = &row.profit_e8
        if memcmp(before, after, SUMS * sizeof(int64_t)) != 0:
            if row.coin >= 0:
                tg_move(self.wide, row.coin, &self.coins[row.coin].profit_e8, before, after)
            tg_move(self.wide, COINS_MAX + row.purse, &self.purses[row.purse].profit_e8, before, after)
            tg_move(self.wide, COINS_MAX + PURSES_MAX, &self.total.profit_e8, before, after)
        self.purses[row.purse].unmarked += row.unmarked - unmarked
        self.total.unmarked += row.unmarked - unmarked
        if row.blind != blind:
            self.purses[row.purse].blind += row.blind - blind
            self.total.blind += row.blind - blind
            self.unvalued = self.total.blind
            self._known()
        return 0

    # ---- sums ----

    cdef int64_t equity_e8(self) noexcept nogil:
        """Everything: capital, profit, funding, less fees."""
        return tg_worth(self.total.capital_e8, self.total.profit_e8, self.total.funding_e8, self.total.fees_e8)

    cdef int64_t purse_e8(self, int purse) noexcept nogil:
        """Equity of one purse."""
        cdef Pool* pool = &self.purses[purse]
        return tg_worth(pool.capital_e8, pool.profit_e8, pool.funding_e8, pool.fees_e8)

    cdef bint is_known(self) noexcept nogil:
        """Was the capital of every purse told, and can everything be valued?"""
        return self.total.known

    cdef bint is_measured(self, int purse) noexcept nogil:
        """Can stops go by the equity of a purse (-1: of everything), known or not? Once its capital was told and all of it had a
        price: what is not known since counts as last known, or is left out. Never before a first price of what is held."""
        cdef Pool* pool = &self.total if purse < 0 else &self.purses[purse]
        return pool.whole and pool.unmarked == 0

    cdef int roll(self, int64_t now_ns) noexcept nogil:
        """Peak, and the start of a new day (UTC); 1 where one began. Nothing before equity is known."""
        cdef int64_t equity, day = now_ns // DAY_NS
        self._settle_flows()
        if not self.total.known:
            return 0
        equity = self.equity_e8()
        if not self.has_peak or equity > self.peak_e8:
            self.peak_e8 = equity
        if self.has_peak and day == self.day:
            return 0
        self.has_peak = True
        self.day, self.day_e8 = day, equity
        return 1

    cdef int fill_row(self, int purse, EquityRow* out) noexcept nogil:
        """The EQUITY record of one purse, or of everything (-1)."""
        cdef Pool* pool = &self.total if purse < 0 else &self.purses[purse]
        memset(out, 0, sizeof(EquityRow))
        out.purse, out.known, out.capital_e8 = purse, pool.known, pool.capital_e8
        out.profit_e8, out.open_e8, out.fees_e8, out.funding_e8 = pool.profit_e8, pool.open_e8, pool.fees_e8, pool.funding_e8
        out.equity_e8 = self.equity_e8() if purse < 0 else self.purse_e8(purse)
        out.margin_e8, out.maintenance_e8, out.gross_e8 = pool.margin_e8, pool.maintenance_e8, pool.gross_e8
        if purse < 0 and self.has_peak:
            out.peak_e8, out.day_e8, out.day = self.peak_e8, self.day_e8, self.day
        return 0

    # ---- cold: capital, prices of coins ----

    cdef int coin_number(self, const char* name, Py_ssize_t size) noexcept nogil:
        """The number of a coin, given at first sight; -1 for no name, or one too many."""
        cdef Py_ssize_t i, length = 0
        while length < size and length < 15 and name[length] != 0:
            length += 1
        if length == 0:
            return -1
        for i in range(self.coin_count):
            if memcmp(self.names[i], name, length) == 0 and self.names[i][length] == 0:
                return <int>i
        if self.coin_count == OWN:
            return -1
        memcpy(self.names[self.coin_count], name, length)
        self.coin_count += 1
        return self.coin_count - 1

    cdef int put_capital(self, int purse, int coin, int64_t amount_e8) noexcept nogil:
        """What a purse holds of a coin (1e-8), without the result of what is counted here. Coin -1: the account's currency."""
        self.told[purse] = True
        self.capital[purse * COINS_MAX + (OWN if coin < 0 else coin)] = amount_e8
        return self._capitals()

    cdef int put_flow(self, int purse, int coin, int64_t amount_e8) noexcept nogil:
        """A deposit, withdrawal or transfer: neither gain nor loss. Where the equity cannot be measured yet, it waits."""
        cdef int at = OWN if coin < 0 else coin
        cdef int64_t worth = tg_scale(amount_e8, self.price_e8[at], ONE, 0, &self.overflows), before
        cdef int64_t* held = &self.capital[purse * COINS_MAX + at]
        if self.is_settled:
            self._settle_flows()
        before = self.equity_e8()
        held[0] = tg_satadd(held[0], amount_e8)
        self._capitals()
        if self.is_settled and self.is_measured(-1):
            return self._move_peak(before, self.equity_e8())
        self.waiting_e8 = tg_satadd(self.waiting_e8, worth)
        return 0

    cdef int _settle_flows(self) noexcept nogil:
        """What moved while the equity could not be measured is in it by now."""
        cdef int64_t equity
        if not self.is_measured(-1):
            return 0
        if self.waiting_e8:
            equity = self.equity_e8()
            self._move_peak(tg_satadd(equity, -self.waiting_e8), equity)
            self.waiting_e8 = 0
        self.is_settled = True
        return 0

    cdef int _move_peak(self, int64_t before, int64_t after) noexcept nogil:
        """A flow made this equity of that one. The drawdown is a share: the peak moves by the factor that the equity does, up to the
        next 1e-8, so that the share stays. The loss of a day is an amount: its start moves by the flow. Of nothing there is no
        share: the one from before everything was taken out holds for what is paid in behind it."""
        cdef int64_t peak = self.peak_e8
        if not self.has_peak:
            return 0
        self.day_e8 = tg_satadd(self.day_e8, tg_satadd(after, -before))
        if before > 0 and after > 0 and peak > 0:
            self.peak_e8 = tg_scale(peak, after, before, 1, &self.overflows)
            self.gone_peak_e8 = self.gone_e8 = 0
        elif before > 0 and peak > 0:
            self.gone_peak_e8, self.gone_e8 = peak, before
            self.peak_e8 = after
        elif after > 0 and self.gone_e8 > 0:
            self.peak_e8 = tg_scale(self.gone_peak_e8, after, self.gone_e8, 1, &self.overflows)
            self.gone_peak_e8 = self.gone_e8 = 0
        else:
            self.peak_e8 = tg_satadd(peak, tg_satadd(after, -before))
        return 0

    cdef int put_peak(self, int64_t peak_e8, int64_t day_e8, int64_t day) noexcept nogil:
        """Peak and start of the day as an earlier run knew them."""
        self.has_peak = True
        self.peak_e8, self.day_e8, self.day = peak_e8, day_e8, day
        return 0

    cdef int put_coin(self, int coin, int64_t price_e8) noexcept nogil:
        """A coin's price in the account's currency; 0: not known any more, and the last one goes on counting. Everything in it is
        valued anew."""
        cdef int i
        self.priced[coin] = price_e8 > 0
        if price_e8 > 0:
            self.price_e8[coin] = price_e8
        for i in range(self.instruments.count):
            self.recount(i)
        return self._capitals()

    cdef int _capitals(self) noexcept nogil:
        """Value what is held."""
        cdef int purse, i
        cdef tg_wide total = 0, here
        cdef int64_t amount
        for purse in range(self.purse_count):
            here = 0
            for i in range(COINS_MAX):
                amount = self.capital[purse * COINS_MAX + i]
                if amount:
                    here += tg_scale(amount, self.price_e8[i], ONE, 0, &self.overflows)
            self.purses[purse].capital_e8 = tg_clamp(here)
            total += here
        self.total.capital_e8 = tg_clamp(total)
        return self._known()

    cdef int _known(self) noexcept nogil:
        """A purse is known where its capital was told and all of it has a price, and nothing in it is blind."""
        cdef int purse, i
        cdef bint whole = True, known, had = True, once
        for purse in range(self.purse_count):
            known = self.told[purse] and self.purses[purse].blind == 0
            once = self.told[purse]
            for i in range(COINS_MAX):
                if self.capital[purse * COINS_MAX + i]:
                    known = known and self.priced[i]
                    once = once and self.price_e8[i] > 0
            self.purses[purse].known = known
            self.purses[purse].whole = self.purses[purse].whole or once
            whole, had = whole and known, had and self.purses[purse].whole
        self.total.known, self.total.whole = whole, had
        return 0

    # ---- Python: setting up, and looking ----

    def set_purse(self, int market, int purse):
        """All instruments of `market` are paid from wallet number `purse` (0 to 7; those in use are numbered without gaps)."""
        if not 0 <= market < MARKETS_MAX:
            raise ValueError(f"market {market}: there is no such market")
        self._check_purse(purse)
        self.purse_of[market] = purse
        self._rebuild()

    def set_row(self, int instrument, int leverage=1, int maintenance_ppm=0):
        """Leverage (0 and 1: paid in full) and maintenance margin, in millionths of the position, of one instrument."""
        self.instruments._check(instrument)
        if not 0 <= leverage <= 1000 or not 0 <= maintenance_ppm <= PPM:
            raise ValueError(f"instrument {instrument}: leverage {leverage} or maintenance {maintenance_ppm} ppm make no sense")
        self.rows[instrument].leverage, self.rows[instrument].maintenance_ppm = max(leverage, 1), maintenance_ppm
        self.recount(instrument)

    def set_coin(self, str name, int64_t price_e8) -> int:
        """Price of a coin (1e-8 of the account's currency; 0: not known); returns its number. ValueError where it has no name that
        fits, or there are too many."""
        number = self.coin(name)
        if price_e8 < 0:
            raise ValueError(f"coin {name}: a price below zero")
        self.put_coin(number, price_e8)
        return number

    def coin(self, str name) -> int:
        """The number of a coin, given at first sight. ValueError as `set_coin`."""
        cdef bytes raw = name.encode()
        number = self.coin_number(raw, len(raw)) if 0 < len(raw) < 16 else -1
        if number < 0:
            raise ValueError(f"coin {name!r}: no name of 1 to 15 bytes, or there are {OWN} coins already")
        return number

    def coin_name(self, int number) -> str:
        if not 0 <= number < self.coin_count:
            raise IndexError(f"coin {number}: there are {self.coin_count}")
        return self.names[number].decode("ascii", "replace")

    def coin_price(self, str name) -> int:
        """What a coin is valued at, 1e-8 of the account's currency; 0: not known, or never heard of (and it gets no number)."""
        cdef int i
        cdef bytes raw = name.encode()
        for i in range(self.coin_count):
            if self.names[i] == raw:
                return self.price_e8[i] if self.priced[i] else 0
        return 0

    def _check_purse(self, int purse):
        if not 0 <= purse < PURSES_MAX:
            raise ValueError(f"purse {purse}: there are {PURSES_MAX}")

    def set_capital(self, int purse, int64_t amount_e8, str coin=""):
        """`put_capital` for Python callers; `coin` "" is the account's currency."""
        self._check_purse(purse)
        self.put_capital(purse, self.coin(coin) if coin else -1, amount_e8)

    def flow(self, int purse, int64_t amount_e8, str coin=""):
        """`put_flow` for Python callers."""
        self._check_purse(purse)
        self.put_flow(purse, self.coin(coin) if coin else -1, amount_e8)

    def restore_peak(self, int64_t peak_e8, int64_t day_e8, int64_t day):
        """`put_peak` for Python callers."""
        self.put_peak(peak_e8, day_e8, day)

    def mark_now(self, int instrument, int64_t bid_ticks, int64_t ask_ticks, int64_t mark_e8=0, int64_t now_ns=0):
        """`mark` for Python callers."""
        self.instruments._check(instrument)
        self.mark(instrument, bid_ticks, ask_ticks, mark_e8, now_ns)

    def count_now(self, int instrument):
        """`recount` for Python callers."""
        self.instruments._check(instrument)
        self.recount(instrument)

    def roll_now(self, int64_t now_ns) -> bool:
        """`roll` for Python callers."""
        return self.roll(now_ns) == 1

    @property
    def known(self) -> bool:
        return self.is_known()

    @property
    def measured(self) -> bool:
        """`is_measured` of everything, with a peak to measure from."""
        return self.is_measured(-1) and self.has_peak

    def settled(self, int instrument):
        """`settle` for Python callers."""
        self.instruments._check(instrument)
        self.settle(instrument)

    def sure(self, int purse) -> int:
        """`sure_e8` for Python callers."""
        self._check_purse(purse)
        return self.sure_e8(purse)

    def worth(self, int instrument) -> dict:
        """One instrument as a dict (Worth)."""
        self.instruments._check(instrument)
        return <object>self.rows[instrument]

    def sums(self, int purse=-1) -> dict:
        """A purse, or everything (-1), as a dict (Pool) with `equity_e8`."""
        if purse >= 0:
            self._check_purse(purse)
        out = <object>self.total if purse < 0 else <object>self.purses[purse]
        out["equity_e8"] = self.equity_e8() if purse < 0 else self.purse_e8(purse)
        return out

    def coin_sums(self, str coin) -> dict:
        """Everything of one base coin, over all venues (Pool)."""
        return <object>self.coins[self.coin(coin)]


cdef inline void _keep_peak(int64_t* peak, int64_t* past, int64_t lots, int64_t reduces) noexcept nogil:
    """Where nothing is open that reduces, what comes next takes from what there is now."""
    if not reduces:
        past[0] = peak[0] = lots
    elif lots > peak[0]:
        peak[0] = lots

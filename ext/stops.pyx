"""Loss stops, exits and protective orders: what must be done in the same event that crosses a line.

Where nothing is crossed, `look` compares and multiplies and does nothing else. A stop fires once: a row for the tape, halts and
cancels that the engine carries out at once, and by its policy an exit. It stays latched until an operator resumes, and fires
again then if its line is still crossed. All state is from calls: the same calls give the same rows and proposals.

    position loss      one instrument                       HALT_STOP; so is a protective order that its trigger forestalls
    daily loss         everything                           HALT_STOP, LATCH_STOP
    drawdown           everything                           HALT_STOP, LATCH_STOP
    liquidation near   the perpetuals of one purse          HALT_MARGIN; STOP_REDUCE closes half until it is far again
    time to be flat    everything, until the time is over   HALT_WINDOW
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memset

from ext.records cimport (DAILY_LOSS, DESK_EXIT, DRAWDOWN, FLAT, HALT_MARGIN, HALT_STOP, HALT_WINDOW, LEGS,
                          LIQUIDATION_NEAR, POSITION_LOSS, STOP_CANCEL, STOP_FLATTEN, STOP_REDUCE,
                          TRIGGER, WINDOW)

cdef extern from "exact.h":
    bint tg_exceeds(int64_t a, int64_t b, int64_t c, int64_t d) noexcept nogil
    int64_t tg_share(int64_t part, int64_t whole, int64_t of) noexcept nogil

cdef int64_t PPM = 1_000_000


cdef class Stops:
    """`look` after each frame, `turn` with time: both leave rows in `fired` and intents in `outbox`. Before `set`, every stop
    that has a limit cancels what rests (STOP_CANCEL) and nothing is closed."""

    def __cinit__(self, Instruments instruments, Orders orders, Account account, Equity equity, Reference reference,
                  list books, LimitTable table):
        self.instruments, self.orders, self.account = instruments, orders, account
        self.equity, self.reference, self.table = equity, reference, table
        self.outbox = Outbox()
        self.exits = Exits(instruments, orders, account, reference, books, self.outbox)
        self.shields = Shields(instruments, orders, account, self.exits, self.outbox)
        self.lost = <int32_t*>calloc(max(instruments.count, 1), sizeof(int32_t))
        if self.lost == NULL:
            raise MemoryError()
        memset(self.fired, 0, sizeof(self.fired))
        memset(self.margin, 0, sizeof(self.margin))
        self.exits.set(10_000, 100_000_000)

    def __dealloc__(self):
        free(self.lost)

    def set(self, *, int64_t exit_slippage_ppm, int64_t exit_retry_ns, int64_t cooldown_ns, int on_position_loss,
            int on_daily_loss, int on_drawdown, int on_margin):
        """What crossing each line does (StopPolicy), how far exits may be from the reference (ppm of it), how often that bound
        may be taken anew (ns), and how long after a release no new risk is taken (ns). The lines themselves are in the gate's
        limits. ValueError naming what is out of range."""
        for name, value in (("on_position_loss", on_position_loss), ("on_daily_loss", on_daily_loss),
                            ("on_drawdown", on_drawdown), ("on_margin", on_margin)):
            if not 0 <= value <= <int>STOP_FLATTEN:
                raise ValueError(f"{name} {value}: must be a StopPolicy, {<int>STOP_CANCEL} to {<int>STOP_FLATTEN}")
        if not 0 <= cooldown_ns <= 86_400 * 10**9:
            raise ValueError(f"cooldown_ns {cooldown_ns}: must be 0 to {86_400 * 10**9}")
        self.exits.set(exit_slippage_ppm, exit_retry_ns)
        self.cooldown_ns = cooldown_ns
        self.on_position_loss, self.on_daily_loss = on_position_loss, on_daily_loss
        self.on_drawdown, self.on_margin = on_drawdown, on_margin

    def protect(self, int instrument, int64_t ppm):
        """Keep a protective stop order at the venue for each position of a perpetual, `ppm` from its average entry; 0 = none."""
        self.shields.set(instrument, ppm)

    # ---- the lines ----

    cdef int look(self, int instrument, int64_t now_ns) noexcept nogil:
        """Prices, orders or fills of one instrument changed: is a line crossed that was not? Returns what there is to do."""
        self.checks += 1
        self.looked_ns = now_ns
        self._check_position(instrument, now_ns)
        self._check_account(now_ns)
        self._check_margin(self.equity.rows[instrument].purse, now_ns)
        return self._work(instrument, now_ns)

    cdef int _work(self, int instrument, int64_t now_ns) noexcept nogil:
        """Protection and exits of one instrument, as far as they are wanted. Returns what there is to do in all."""
        if self.shields.wanted:
            self.shields.work(instrument, now_ns)
        if self.exits.active:
            self.exits.work(instrument, now_ns)
        return self.fired_count + self.outbox.count

    cdef int _check_position(self, int instrument, int64_t now_ns) noexcept nogil:
        """Open loss of the position against its average entry. Before a first price nobody knows what it is."""
        cdef int64_t limit = self.table.rows[instrument].max_loss_e8
        cdef int64_t loss = -self.equity.rows[instrument].open_e8
        if loss < max(limit, 1) or limit < 0 or self.lost[instrument]:
            return 0
        if not self.table.rows[instrument].allowed or self.equity.rows[instrument].ticks <= 0:
            return 0
        if self._cross(POSITION_LOSS, instrument, -1, self.on_position_loss, loss, limit):
            self.lost[instrument] = True
            if self.on_position_loss == STOP_FLATTEN:
                self.exits.start(instrument, HALT_STOP)
        return 0

    cdef int _check_account(self, int64_t now_ns) noexcept nogil:
        """Loss since the day began, and from the peak. Nothing before every purse's capital was told; an equity that is not known
        any more is measured by what is."""
        cdef int64_t limit = self.table.account.max_daily_loss_e8, equity, peak = self.equity.peak_e8
        if not self.equity.has_peak or not self.equity.is_measured(-1):
            return 0
        equity = self.equity.equity_e8()
        if limit >= 0 and self.equity.day_e8 - equity >= max(limit, 1) and not self.daily:
            if self._cross(DAILY_LOSS, -1, -1, self.on_daily_loss, self.equity.day_e8 - equity, limit):
                self.daily = True
                if self.on_daily_loss == STOP_FLATTEN:
                    self._all(HALT_STOP, now_ns)
        limit = self.table.account.max_drawdown_ppm
        if limit >= 0 and peak > equity and not self.drawdown and not tg_exceeds(limit, peak, peak - equity, PPM):
            if self._cross(DRAWDOWN, -1, -1, self.on_drawdown, tg_share(peak - equity, peak, PPM), limit):
                self.drawdown = True
                if self.on_drawdown == STOP_FLATTEN:
                    self._all(HALT_STOP, now_ns)
        return 0

    cdef int _check_margin(self, int purse, int64_t now_ns) noexcept nogil:
        """What a purse has above its maintenance margin, to the worst-case notional of its perpetuals. Where the sum that the gate
        goes by crosses the line, what counts is looked at without what may have filled unheard: that nobody knows the fate of an
        order that only reduces is no loss, and closes nothing."""
        cdef int64_t limit = self.table.account.liquidation_ppm, left, worst
        pool = &self.equity.purses[purse]
        if limit < 0 or pool.perpetual_e8 <= 0 or not self.equity.is_measured(purse):
            return 0
        left = self.equity.purse_e8(purse) - pool.maintenance_e8
        if not tg_exceeds(limit, pool.perpetual_e8, left, PPM):
            return 0
        if not self.margin[purse]:
            worst = self.equity.sure_e8(purse)
            if not tg_exceeds(limit, worst, left, PPM):
                return 0
            if not self._cross(LIQUIDATION_NEAR, -1, purse, self.on_margin, tg_share(left, worst, PPM), limit):
                return 0
            self.margin[purse] = True
        return self._relieve(purse, now_ns) if self.on_margin != STOP_CANCEL else 0

    cdef int _relieve(self, int purse, int64_t now_ns) noexcept nogil:
        """Close the purse's perpetuals, or half of each where the policy is to reduce and what is held (orders are being
        cancelled, and do not count) is still too much. A half that is not finished is not halved again."""
        cdef int i, leg
        cdef bint busy
        cdef int64_t held = 0, left = self.equity.purse_e8(purse) - self.equity.purses[purse].maintenance_e8
        for i in range(self.instruments.count):
            if self.equity.rows[i].purse == purse and self.equity.rows[i].is_perpetual:
                for leg in range(LEGS):
                    held += self._notional(i, leg)
        if not tg_exceeds(self.table.account.liquidation_ppm, held, left, PPM):
            return 0
        for i in range(self.instruments.count):
            if self.equity.rows[i].purse != purse or not self.equity.rows[i].is_perpetual:
                continue
            if self.on_margin == STOP_FLATTEN:
                self.exits.start(i, HALT_MARGIN)
            elif not self.exits.is_busy(i):
                self.exits.halve(i, HALT_MARGIN)
                self.halvings += 1
            self.exits.work(i, now_ns)
        return 0

    cdef int64_t _notional(self, int instrument, int leg) noexcept nogil:
        """Of one leg, at what it is valued at; nothing where it never was."""
        cdef int64_t lots = self.account.rows[instrument].legs[leg].lots, value
        value = self.instruments.notional_e8(instrument, self.equity.rows[instrument].ticks, lots if lots >= 0 else -lots)
        return max(value, 0)

    cdef int _cross(self, int reason, int instrument, int purse, int policy, int64_t value, int64_t limit) noexcept nogil:
        """Leave a row for the engine; 0 where there is no room: then it crosses again with the next event."""
        cdef StopRow* row = &self.fired[self.fired_count]
        if self.fired_count == FIRED_MAX:
            return 0
        row.reason, row.instrument, row.purse, row.policy = reason, instrument, purse, policy
        row.value, row.limit, row.equity_e8 = value, limit, self.equity.equity_e8()
        self.fired_count += 1
        self.crossed += 1
        return 1

    cdef int _all(self, int why, int64_t now_ns) noexcept nogil:
        """Close everything."""
        cdef int i
        for i in range(self.instruments.count):
            self.exits.start(i, why)
            self.exits.work(i, now_ns)
        return 0

    # ---- time, and operators ----

    cdef int turn(self, int64_t now_ns) noexcept nogil:
        """Time goes by: every line is looked at again, each once; exits that are not finished go on, time rules begin and end."""
        cdef int i
        self.checks += self.instruments.count
        self.looked_ns = now_ns
        for i in range(self.instruments.count):
            self._check_position(i, now_ns)
        self._check_account(now_ns)
        for i in range(PURSES_MAX):
            self._check_margin(i, now_ns)
        for i in range(self.instruments.count):
            self._work(i, now_ns)
        self._window(now_ns)
        return self.fired_count + self.outbox.count

    cdef int _window(self, int64_t now_ns) noexcept nogil:
        """Is it a time to be flat? The table is asked when the answer may have changed."""
        cdef bint flat
        if now_ns < self.window_until_ns and self.window_version == self.table.version:
            return 0
        self.window_version = self.table.version
        flat = self.table.window(now_ns, &self.window_until_ns) == FLAT
        if flat and not self.in_window:
            if not self._cross(WINDOW, -1, -1, STOP_FLATTEN, now_ns, self.window_until_ns):
                self.window_until_ns = 0
                return 0
            self._all(HALT_WINDOW, now_ns)
        elif self.in_window and not flat:
            self.window_over = True
            self.release(-1, HALT_WINDOW)
        self.in_window = flat
        return 0

    cdef int flatten(self, int instrument, int why, int64_t now_ns) noexcept nogil:
        """Close the position of one instrument (-1: all), bounded in price, until it is flat, and keep it so until `release`."""
        self.flattened += 1
        if instrument < 0:
            return self._all(why, now_ns)
        self.exits.start(instrument, why)
        return self.exits.work(instrument, now_ns)

    cdef int release(self, int instrument, int why) noexcept nogil:
        """An operator resumed one instrument (-1: all) from a HaltReason (0: every one): nothing is closed there any more for
        it, and what fired may fire again. The stops of everything are released with -1 only. Returns whether anything was."""
        cdef int i, purse, found = 0
        for i in range(self.instruments.count):
            if instrument not in (-1, i):
                continue
            found += self.exits.stop(i, why)
            purse = self.equity.rows[i].purse
            if why == HALT_STOP or not why:
                found += self.lost[i]
                self.lost[i] = False
            if why == HALT_MARGIN or not why:
                found += self.margin[purse]
                self.margin[purse] = False
        if instrument < 0 and (why == HALT_STOP or not why):
            found += self.daily + self.drawdown
            self.daily = self.drawdown = False
        return found

    cdef int answered(self, const Intent* intent, uint64_t order_id, int reason) noexcept nogil:
        """What became of a proposal of the outbox: an order with this id, or (0) a Reason."""
        if intent.strategy == DESK_EXIT:
            return self.exits.answered(intent, order_id, reason)
        self.shields.answered(intent, order_id, reason)
        if reason == TRIGGER and not order_id:
            self._overrun(intent)
        return 0

    cdef int _overrun(self, const Intent* intent) noexcept nogil:
        """The market is beyond the trigger of a protective order before it could rest: what it would have done is done here. The
        row says what the position lost, and (the limit) what it would have at the trigger."""
        cdef int64_t lots = self.account.rows[intent.instrument].legs[intent.leg].lots, entry, limit
        if lots == 0:
            return 0
        entry = self.account.rows[intent.instrument].legs[intent.leg].cost // lots
        limit = self.instruments.notional_e8(intent.instrument, entry - intent.trigger_ticks if entry > intent.trigger_ticks
                                             else intent.trigger_ticks - entry, lots if lots > 0 else -lots)
        if not self.lost[intent.instrument]:
            if not self._cross(POSITION_LOSS, intent.instrument, -1, STOP_FLATTEN, -self.equity.rows[intent.instrument].open_e8,
                               max(limit, 0)):
                return 0
            self.lost[intent.instrument] = True
        self.exits.start(intent.instrument, HALT_STOP)
        return self.exits.work(intent.instrument, self.looked_ns)

    # ---- for Python: reports, tests ----

    def state(self) -> dict:
        """{fired: names of what holds, exiting: [instruments], protecting: {instrument: order id}, counters}."""
        cdef int i, leg
        fired = [f"POSITION_LOSS {self.instruments.symbol(i)}" for i in range(self.instruments.count) if self.lost[i]]
        fired += ["DAILY_LOSS"] * bool(self.daily) + ["DRAWDOWN"] * bool(self.drawdown) + ["WINDOW"] * bool(self.in_window)
        fired += [f"LIQUIDATION_NEAR purse {i}" for i in range(PURSES_MAX) if self.margin[i]]
        exiting = [i for i in range(self.instruments.count)
                   if any(self.exits.rows[i * <int>LEGS + leg].whys for leg in range(LEGS))]
        protecting = {i: self.shields.protecting(i) for i in range(self.instruments.count)}
        return {"fired": fired, "exiting": exiting, "flat": [bool(self.exits.is_flat(i)) for i in exiting],
                "protecting": {i: ids for i, ids in protecting.items() if ids}, "checks": self.checks,
                "looked_ns": self.looked_ns, "crossed": self.crossed, "flattened": self.flattened, "halvings": self.halvings,
                "exits": self.exits.state(), "shields": self.shields.state()}

"""Every limit of the gate: per instrument, over the account, of the flow of orders, and of time.

A limit is taken whole or not at all: a set with one number out of range changes nothing. The ceilings are compiled in above
any configuration, so that a zero too many never becomes an order. Each change raises `version`, and `pack` has all of it, so
that a replay checks each order against the limits that were in force when it was sent.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from ext.records cimport FLAT, NO_NEW

cdef int64_t E8 = 100_000_000
cdef int64_t SECOND = 1_000_000_000
cdef int64_t DAY = 86_400 * SECOND
cdef uint64_t MAGIC = 0x31_53_54_49_4D_49_4C_54      # "TLIMITS1"

# Nobody's configuration goes above these. Lots and ticks: what the book and 128-bit money hold.
CEILINGS = {
    "max_size_lots": 2**47,
    "max_notional_e8": 10_000_000 * E8,
    "max_position_lots": 2**47,
    "collar_ppm": 200_000,
    "stale_ns": 3600 * SECOND,
    "duplicate_ns": 3600 * SECOND,
    "max_open_notional_e8": 100_000_000 * E8,
    "walk_ppm": 500_000,
    "walk_ns": 3600 * SECOND,
    "slippage_ppm": 200_000,
    "spread_ppm": 200_000,
    "range_ppm": 500_000,
    "range_ns": 3600 * SECOND,
    "jump_ppm": 500_000,
    "jump_ns": 60 * SECOND,
    "jump_pause_ns": 3600 * SECOND,
    "max_loss_e8": 10_000_000 * E8,
    "funding_ppm": 100_000,
    "funding_ns": DAY,
    "maintenance_ppm": 500_000,
    "leverage": 125,                     # the most that any of the venues sells
    "max_coin_e8": 100_000_000 * E8,
    "max_venue_e8": 100_000_000 * E8,
    "max_total_e8": 100_000_000 * E8,
    "max_leverage_milli": 20_000,
    "margin_free_ppm": 1_000_000,
    "liquidation_ppm": 1_000_000,
    "max_daily_loss_e8": 10_000_000 * E8,
    "max_drawdown_ppm": 500_000,
    "orders": 1_000_000,
    "amends": 1_000_000,
    "cancels": 1_000_000,
    "window_ns": 3600 * SECOND,
    "cancel_ratio_milli": 10_000_000,
    "cancel_ratio_ns": DAY,
    "trade_ratio_milli": 10_000_000,
    "fills": 4096,
    "trips": 4096,
    "repeat_window_ns": 3600 * SECOND,
    "day_trades": 1_000_000,
    "days": 30,
    "below_e8": 100_000_000 * E8,
}


# Over everything, with nothing asked for: what tests and benches change one field of.
NO_ACCOUNT_LIMITS = dict.fromkeys(
    ("max_open_orders", "max_coin_e8", "max_venue_e8", "max_total_e8", "max_leverage_milli", "margin_free_ppm",
     "liquidation_ppm", "max_daily_loss_e8", "max_drawdown_ppm"), -1)


def check(str where, str name, value, int least=0, ceiling=None):
    """`value` where it is a whole number from `least` up to the compiled-in ceiling of `name`; else ValueError with all three."""
    top = CEILINGS[name] if ceiling is None else ceiling
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= top:
        raise ValueError(f"{where}{name} {value}: must be {least} to {top}" +
                         (" (the ceiling is compiled in)" if isinstance(value, int) and value > top else ""))
    return value


def needs(str where, str name, value, str other, span):
    """ValueError where `name` is asked for and the time that it is measured over is not."""
    if value >= 0 and span <= 0:
        raise ValueError(f"{where}{name} {value}: needs {other} above 0 (it is {span})")


cdef class LimitTable:
    """Limits over `instruments` instruments and an order table of `order_capacity`."""

    def __cinit__(self, int instruments, int order_capacity):
        self.instruments, self.order_capacity = instruments, order_capacity
        self.rows = <Limits*>calloc(max(instruments, 1), sizeof(Limits))
        self.may = <uint64_t*>calloc(max(instruments, 1), sizeof(uint64_t))
        if self.rows == NULL or self.may == NULL:
            raise MemoryError()
        memset(&self.account, 0xFF, sizeof(self.account))
        memset(&self.flow, 0xFF, sizeof(self.flow))
        memset(self.windows, 0, sizeof(self.windows))
        self.flow.orders, self.flow.window_ns = 0, 1         # a rate that was never set forbids

    def __dealloc__(self):
        free(self.rows)
        free(self.may)

    # ---- setting ----

    def _at(self, int instrument):
        if not 0 <= instrument < self.instruments:
            raise ValueError(f"instrument {instrument}: the table has {self.instruments}")
        return f"instrument {instrument}: "

    def set_limits(self, int instrument, *, max_size_lots, max_notional_e8, max_position_lots, collar_ppm, stale_ns,
                   max_open_orders, duplicate_ns=0, max_open_notional_e8=-1, walk_ppm=-1, walk_ns=0, slippage_ppm=-1,
                   spread_ppm=-1, range_ppm=-1, range_ns=0, jump_ppm=-1, jump_ns=0, jump_pause_ns=0, max_loss_e8=-1,
                   funding_ppm=-1, funding_ns=0, leverage=0, maintenance_ppm=0):
        """Set all limits of one instrument and allow it. ValueError naming field, value and ceiling; then nothing changed."""
        cdef Limits new
        where = self._at(instrument)
        memset(&new, 0, sizeof(new))
        new.max_size_lots = check(where, "max_size_lots", max_size_lots)
        new.max_notional_e8 = check(where, "max_notional_e8", max_notional_e8)
        new.max_position_lots = check(where, "max_position_lots", max_position_lots)
        new.collar_ppm = check(where, "collar_ppm", collar_ppm)
        new.stale_ns = check(where, "stale_ns", stale_ns)
        new.max_open_orders = check(where, "max_open_orders", max_open_orders, 0, self.order_capacity)
        new.duplicate_ns = check(where, "duplicate_ns", duplicate_ns)
        new.max_open_notional_e8 = check(where, "max_open_notional_e8", max_open_notional_e8, -1)
        new.walk_ppm, new.walk_ns = check(where, "walk_ppm", walk_ppm, -1), check(where, "walk_ns", walk_ns)
        new.slippage_ppm = check(where, "slippage_ppm", slippage_ppm, -1)
        new.spread_ppm = check(where, "spread_ppm", spread_ppm, -1)
        new.range_ppm, new.range_ns = check(where, "range_ppm", range_ppm, -1), check(where, "range_ns", range_ns)
        new.jump_ppm, new.jump_ns = check(where, "jump_ppm", jump_ppm, -1), check(where, "jump_ns", jump_ns)
        new.jump_pause_ns = check(where, "jump_pause_ns", jump_pause_ns)
        new.max_loss_e8 = check(where, "max_loss_e8", max_loss_e8, -1)
        new.funding_ppm = check(where, "funding_ppm", funding_ppm, -1)
        new.funding_ns = check(where, "funding_ns", funding_ns)
        new.leverage = check(where, "leverage", leverage)
        new.maintenance_ppm = check(where, "maintenance_ppm", maintenance_ppm)
        needs(where, "walk_ppm", walk_ppm, "walk_ns", walk_ns)
        needs(where, "range_ppm", range_ppm, "range_ns", range_ns)
        needs(where, "jump_ppm", jump_ppm, "jump_ns", jump_ns)
        needs(where, "funding_ppm", funding_ppm, "funding_ns", funding_ns)
        new.allowed = True
        self.rows[instrument] = new
        self.version += 1

    def set_account(self, *, max_open_orders, max_coin_e8, max_venue_e8, max_total_e8, max_leverage_milli, margin_free_ppm,
                    liquidation_ppm, max_daily_loss_e8, max_drawdown_ppm):
        """Set the limits over everything, -1 = not asked for. ValueError naming field, value and ceiling."""
        cdef AccountLimits new
        where = "account: "
        new.max_open_orders = check(where, "max_open_orders", max_open_orders, -1, self.order_capacity)
        new.max_coin_e8 = check(where, "max_coin_e8", max_coin_e8, -1)
        new.max_venue_e8 = check(where, "max_venue_e8", max_venue_e8, -1)
        new.max_total_e8 = check(where, "max_total_e8", max_total_e8, -1)
        new.max_leverage_milli = check(where, "max_leverage_milli", max_leverage_milli, -1)
        new.margin_free_ppm = check(where, "margin_free_ppm", margin_free_ppm, -1)
        new.liquidation_ppm = check(where, "liquidation_ppm", liquidation_ppm, -1)
        new.max_daily_loss_e8 = check(where, "max_daily_loss_e8", max_daily_loss_e8, -1)
        new.max_drawdown_ppm = check(where, "max_drawdown_ppm", max_drawdown_ppm, -1)
        self.account = new
        self.version += 1

    def set_rate(self, orders, window_ns, amends=-1, cancels=-1):
        """At most `orders` new orders in any `window_ns`, and so many amends and cancels; amends of -1 count as orders."""
        cdef int64_t most = check("order rate: ", "orders", orders), window = check("order rate: ", "window_ns", window_ns, 1)
        cdef int64_t changes = check("amend rate: ", "amends", amends, -1), ends = check("cancel rate: ", "cancels", cancels, -1)
        self.flow.orders, self.flow.window_ns, self.flow.amends, self.flow.cancels = most, window, changes, ends
        self.version += 1

    def set_flow(self, *, cancel_ratio_milli, cancel_ratio_ns, trade_ratio_milli):
        """Cancels to fills within a time, and orders to trades over the UTC day, in thousandths; -1 = not asked for."""
        cdef int64_t ratio = check("flow: ", "cancel_ratio_milli", cancel_ratio_milli, -1)
        cdef int64_t span = check("flow: ", "cancel_ratio_ns", cancel_ratio_ns, -1)
        cdef int64_t trades = check("flow: ", "trade_ratio_milli", trade_ratio_milli, -1)
        needs("flow: ", "cancel_ratio_milli", ratio, "cancel_ratio_ns", span)
        self.flow.cancel_ratio_milli, self.flow.cancel_ratio_ns, self.flow.trade_ratio_milli = ratio, span, trades
        self.version += 1

    def set_repeat(self, *, fills, trips, window_ns):
        """So many fills on one side, or round trips, of one strategy in any `window_ns` switch it off; -1 = not asked for."""
        cdef int64_t same = check("repeat: ", "fills", fills, -1), round_trips = check("repeat: ", "trips", trips, -1)
        cdef int64_t window = check("repeat: ", "window_ns", window_ns, -1)
        for name, value in (("fills", same), ("trips", round_trips)):
            needs("repeat: ", name, value, "window_ns", window)
            if value == 0:
                raise ValueError(f"repeat: {name} 0: would switch every strategy off before its first; 1 is the least")
        self.flow.same_side_fills, self.flow.round_trips, self.flow.repeat_ns = same, round_trips, window
        self.version += 1

    def set_day_trades(self, max, days, below_e8):
        """At most `max` positions opened and closed within one UTC day, over the last `days` days (today included), while the
        equity is below `below_e8` (-1: whatever it is). `max` of -1: not asked for."""
        cdef int64_t most = check("day trades: ", "day_trades", max, -1)
        cdef int64_t span = check("day trades: ", "days", days, 1 if most >= 0 else -1)
        cdef int64_t below = check("day trades: ", "below_e8", below_e8, -1)
        self.flow.day_trades, self.flow.day_trade_days, self.flow.day_trade_below_e8 = most, span, below
        self.version += 1

    def allow(self, strategy, int instrument, bint allowed):
        """Put an instrument on the list of a strategy, or take it off. A strategy without a list may trade all."""
        self._at(instrument)
        if not 0 <= strategy < STRATEGIES_MAX:
            raise ValueError(f"strategy {strategy}: must be 0 to {STRATEGIES_MAX - 1}")
        cdef uint64_t bit = <uint64_t>1 << <int>strategy
        self.listed |= bit
        self.may[instrument] = self.may[instrument] | bit if allowed else self.may[instrument] & ~bit
        self.version += 1

    def set_windows(self, windows):
        """Time rules, [(from_ns, until_ns, WindowKind)]: from <= now < until since 1970. Where both are at most one day, they are
        times of every UTC day, and from above until wraps around midnight. ValueError where one is none."""
        cdef Window new[WINDOWS_MAX]
        windows = list(windows)
        if len(windows) > WINDOWS_MAX:
            raise ValueError(f"{len(windows)} time windows: at most {WINDOWS_MAX}")
        memset(new, 0, sizeof(new))
        for i, (begin, end, kind) in enumerate(windows):
            daily = 0 <= begin <= DAY and 0 < end <= DAY
            if kind not in (NO_NEW, FLAT) or begin < 0 or begin == end or not daily and not begin < end < 2**62:
                raise ValueError(f"time window {i}: from {begin} until {end}, kind {kind}: is no window")
            new[i].from_ns, new[i].until_ns, new[i].kind = begin, end, kind
        memcpy(self.windows, new, sizeof(new))
        self.window_count = len(windows)
        self.version += 1

    # ---- asking ----

    cdef bint may_trade(self, int strategy, int instrument) noexcept nogil:
        """Is the instrument on the strategy's list? What no strategy proposes (records.Desk) has none."""
        if strategy < 0:
            return True
        if strategy >= STRATEGIES_MAX:
            return False
        return not self.listed >> strategy & 1 or self.may[instrument] >> strategy & 1

    cdef int window(self, int64_t now_ns, int64_t* until_ns) noexcept nogil:
        """Time rules now: -1 = none, else the strictest WindowKind. The answer holds until `until_ns`."""
        cdef int i, found = -1
        cdef int64_t midnight = now_ns - now_ns % DAY, begin, end
        cdef Window* row
        until_ns[0] = midnight + DAY
        for i in range(self.window_count):
            row = &self.windows[i]
            begin, end = row.from_ns, row.until_ns
            if end <= DAY:
                begin, end = midnight + begin, midnight + end
                if begin > end:                     # around midnight: in front of `end` today, or behind `begin`
                    if now_ns < end:
                        begin -= DAY
                    else:
                        end += DAY
            if begin <= now_ns < end:
                found = max(found, row.kind)
            if now_ns < begin < until_ns[0]:
                until_ns[0] = begin
            if now_ns < end < until_ns[0]:
                until_ns[0] = end
        return found

    def window_now(self, int64_t now_ns) -> int:
        """`window` for Python callers: -1, or the strictest WindowKind that holds."""
        cdef int64_t until = 0
        return self.window(now_ns, &until)

    def window_until(self, int64_t now_ns) -> tuple:
        """(what `window_now` says, until when that holds at least)."""
        cdef int64_t until = 0
        kind = self.window(now_ns, &until)
        return kind, until

    # ---- on the tape ----

    def pack(self) -> bytes:
        """Everything, for the LIMITS record of a tape."""
        cdef uint64_t head[4]
        head[0], head[1], head[2], head[3] = MAGIC, self.version, self.instruments, self.window_count
        return ((<char*>head)[:sizeof(head)] + (<char*>&self.account)[:sizeof(AccountLimits)]
                + (<char*>&self.flow)[:sizeof(FlowLimits)] + (<char*>self.windows)[:sizeof(self.windows)]
                + (<char*>&self.listed)[:sizeof(uint64_t)]
                + (<char*>self.may)[:self.instruments * <Py_ssize_t>sizeof(uint64_t)]
                + (<char*>self.rows)[:self.instruments * <Py_ssize_t>sizeof(Limits)])

    def unpack(self, bytes packed):
        """Take over what `pack` made, its version too. ValueError where it is of another layout or table; then nothing changed."""
        cdef const char* at = PyBytes_AS_STRING(packed)
        cdef uint64_t head[4]
        cdef uint64_t size = (sizeof(head) + sizeof(AccountLimits) + sizeof(FlowLimits) + sizeof(self.windows) + sizeof(uint64_t)
                + self.instruments * (sizeof(uint64_t) + sizeof(Limits)))
        if PyBytes_GET_SIZE(packed) != <Py_ssize_t>size:
            raise ValueError(f"LIMITS record of {PyBytes_GET_SIZE(packed)} bytes: must have {size} (another layout or table?)")
        memcpy(head, at, sizeof(head))
        if head[0] != MAGIC or head[2] != <uint64_t>self.instruments or head[3] > WINDOWS_MAX:
            raise ValueError("LIMITS record: of another layout, or of another instrument table")
        at += sizeof(head)
        memcpy(&self.account, at, sizeof(AccountLimits))
        at += sizeof(AccountLimits)
        memcpy(&self.flow, at, sizeof(FlowLimits))
        at += sizeof(FlowLimits)
        memcpy(self.windows, at, sizeof(self.windows))
        at += sizeof(self.windows)
        memcpy(&self.listed, at, sizeof(uint64_t))
        at += sizeof(uint64_t)
        memcpy(self.may, at, self.instruments * sizeof(uint64_t))
        at += self.instruments * sizeof(uint64_t)
        memcpy(self.rows, at, self.instruments * sizeof(Limits))
        self.version, self.window_count = <int>head[1], <int>head[3]

    def as_dict(self) -> dict:
        """What is in force, for reports and tests: {version, account, flow, windows, instruments}."""
        return {"version": self.version, "account": <object>self.account, "flow": <object>self.flow,
                "windows": [<object>self.windows[i] for i in range(self.window_count)],
                "instruments": [<object>self.rows[i] for i in range(self.instruments)]}

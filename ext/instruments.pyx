"""The instrument table: symbol text of one market -> exact tick, lot, contract size.

Filled once at start from the venues' own instruments replies (`node/venues/<v>/rest.py` reads them); hot rooms look
up by symbol bytes and use rows by index. Prices and sizes are resolved here once, so no other room knows about
decimals or contracts.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from ext.records cimport MARKETS
from ext.text cimport tg_pow10

from ext.text import Grid

cdef extern from *:
    """
    /* ticks * lots * mul / div, rounded up, or -1 where it does not fit in int64 */
    static inline int64_t tg_money(int64_t ticks, int64_t lots, int64_t mul, int64_t div) {
        __int128 x = (__int128)ticks * lots;
        if (x > ((__int128)1 << 96)) return -1;
        if (mul > 1) {
            if (x > (((__int128)1 << 125) / mul)) return -1;
            x *= mul;
        }
        if (div > 1) x = (x + div - 1) / div;
        return x >= ((__int128)1 << 62) ? -1 : (int64_t)x;
    }
    """
    int64_t tg_money(int64_t ticks, int64_t lots, int64_t mul, int64_t div) noexcept nogil

MONEY_DECIMALS = 8
DIGITS_MAX = 40              # in front of the point, of a limit that a venue tells
cdef int SYMBOL_MAX = 43


cdef inline uint64_t _hash(int market, const char* symbol, Py_ssize_t size) noexcept nogil:
    cdef uint64_t h = 0xcbf29ce484222325U + <uint64_t>market
    cdef Py_ssize_t i
    for i in range(size):
        h = (h ^ <unsigned char>symbol[i]) * 0x100000001b3U
    return h ^ (h >> 29)


cdef class Instruments:
    """Table of up to `capacity` instruments. Rows are added at start and never change place."""

    def __cinit__(self, int capacity=4096):
        cdef uint64_t slots = 16
        while slots < <uint64_t>capacity * 2:
            slots *= 2
        self.capacity = capacity
        self.mask = slots - 1
        self.rows = <Instrument*>calloc(capacity, sizeof(Instrument))
        self.price_grids = <tg_grid*>calloc(capacity, sizeof(tg_grid))
        self.size_grids = <tg_grid*>calloc(capacity, sizeof(tg_grid))
        self.slots = <int32_t*>malloc(slots * sizeof(int32_t))
        if not (self.rows and self.price_grids and self.size_grids and self.slots):
            raise MemoryError()
        memset(self.slots, 0xFF, slots * sizeof(int32_t))
        self.python_rows = []

    def __dealloc__(self):
        free(self.rows)
        free(self.price_grids)
        free(self.size_grids)
        free(self.slots)

    def add(self, int market, str symbol, str tick, str lot, str contract="1", *, str data_tick="", str data_lot="",
            bint tradable=True,
            bint is_perpetual=False, inst_code=-1, str min_price="0", str max_price="0", str min_size="0",
            str max_size="0", str min_notional="0", str max_market_size="0", str max_notional="0", max_orders=0,
            up_ppm=0, down_ppm=0, str base="", str quote="") -> int:
        """Add one instrument; returns its index. All numbers are decimal text as the venue sends them.

        `tick` and `lot` are what orders must be multiples of. Where the data shows finer prices or sizes (orders from
        before the venue made them coarser), `data_tick` and `data_lot` give that step: then they are what the rest of the
        node calls a tick and a lot, and `tick_step` and `lot_step` say how many of them an order must be a multiple of.

        Limits of "0" mean no limit. Raises ValueError naming the field that is malformed, and where a symbol is
        already in the table.
        """
        cdef bytes raw = symbol.encode()
        if not 0 < len(raw) <= SYMBOL_MAX:
            raise ValueError(f"symbol {symbol!r}: must have 1 to {SYMBOL_MAX} bytes")
        if not 0 <= market < MARKETS:
            raise ValueError(f"{symbol}: market {market} is not known")
        if self.find(market, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw)) >= 0:
            raise ValueError(f"{symbol}: already in the instrument table")
        if self.count == self.capacity:
            raise ValueError(f"{symbol}: the instrument table is full ({self.capacity})")
        price, tick_step = _steps(symbol, "tick", tick, data_tick or tick)
        size, lot_step = _steps(symbol, "lot", lot, data_lot or lot)
        unit = _grid(symbol, "contract", contract)
        cdef Instrument* row = &self.rows[self.count]
        row.id = self.count
        row.market = market
        row.tradable = tradable
        row.inst_code = _whole(symbol, "inst_code", inst_code, -1)
        row.tick_step, row.lot_step = tick_step, lot_step
        row.is_perpetual = is_perpetual
        row.price_decimals, row.tick_mantissa = price.decimals, price.mantissa
        row.size_decimals, row.lot_mantissa = size.decimals, size.mantissa
        row.contract_decimals, row.contract_mantissa = unit.decimals, unit.mantissa
        _set_filters(row, symbol, price, size, min_price, max_price, min_size, max_size, min_notional, max_market_size,
                     max_notional, max_orders, up_ppm, down_ppm)
        _set_money(row, symbol)
        _set_coin(row.base, base)
        _set_coin(row.quote, quote)
        row.symbol_size = len(raw)
        memcpy(row.symbol, PyBytes_AS_STRING(raw), len(raw))
        self.price_grids[self.count].mantissa = price.mantissa
        self.price_grids[self.count].decimals = price.decimals
        self.size_grids[self.count].mantissa = size.mantissa
        self.size_grids[self.count].decimals = size.decimals
        self._index(market, raw, self.count)
        self.python_rows.append((market, symbol, price, size, unit))
        self.count += 1
        return self.count - 1

    def refresh(self, int instrument, str tick, str lot, *, bint tradable=True, str min_price="0", str max_price="0",
                str min_size="0", str max_size="0", str min_notional="0", str max_market_size="0", str max_notional="0",
                max_orders=0, up_ppm=0, down_ppm=0) -> bool:
        """Take over the venue's filters as they are now. False, and not tradable any more, where the order increments are
        finer than the grid that prices and sizes are counted in: only a new start can widen that. ValueError as `add`."""
        self._check(instrument)
        cdef Instrument* row = &self.rows[instrument]
        cdef str symbol = self.symbol(instrument)
        price, size = self.price_grid(instrument), self.size_grid(instrument)
        try:
            tick_step, lot_step = _steps(symbol, "tick", tick, price.step)[1], _steps(symbol, "lot", lot, size.step)[1]
        except ValueError:
            row.tradable = False
            return False
        _set_filters(row, symbol, price, size, min_price, max_price, min_size, max_size, min_notional, max_market_size,
                     max_notional, max_orders, up_ppm, down_ppm)
        row.tick_step, row.lot_step, row.tradable = tick_step, lot_step, tradable
        return True

    def ticks(self, int instrument, str text) -> int:
        """Decimal text as ticks, exactly. ValueError where it is not on the grid."""
        return self.price_grid(instrument).parse(text)

    def lots(self, int instrument, str text) -> int:
        """Decimal text as lots, exactly; a minus sign in front is a short size. ValueError where it is not on the grid."""
        grid = self.size_grid(instrument)
        return -grid.parse(text[1:]) if text.startswith("-") else grid.parse(text)

    def _index(self, int market, bytes raw, int number):
        cdef uint64_t at = _hash(market, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw)) & self.mask
        while self.slots[at] >= 0:
            at = (at + 1) & self.mask
        self.slots[at] = number

    cdef int find(self, int market, const char* symbol, Py_ssize_t size) noexcept nogil:
        """Index of a symbol, or -1."""
        cdef uint64_t at = _hash(market, symbol, size) & self.mask
        cdef Instrument* row
        while self.slots[at] >= 0:
            row = &self.rows[self.slots[at]]
            if row.market == market and row.symbol_size == size and memcmp(row.symbol, symbol, size) == 0:
                return row.id
            at = (at + 1) & self.mask
        return -1

    cdef int64_t notional_e8(self, int instrument, int64_t ticks, int64_t lots) noexcept nogil:
        """Quote value * 10**8 of `lots` at `ticks`, rounded up; -1 where it does not fit. Both must be >= 0."""
        cdef Instrument* row = &self.rows[instrument]
        return tg_money(ticks, lots, row.money_mul, row.money_div)

    def index(self, int market, str symbol) -> int:
        """Index of a symbol, or -1."""
        cdef bytes raw = symbol.encode()
        return self.find(market, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))

    def money(self, int instrument, int64_t ticks, int64_t lots) -> int:
        """`notional_e8` for Python callers."""
        self._check(instrument)
        return self.notional_e8(instrument, ticks, lots)

    def _check(self, int instrument):
        if not 0 <= instrument < self.count:
            raise IndexError(f"instrument {instrument}: the table has {self.count}")

    def symbol(self, int instrument) -> str:
        self._check(instrument)
        return self.python_rows[instrument][1]

    def market(self, int instrument) -> int:
        self._check(instrument)
        return self.python_rows[instrument][0]

    def price_grid(self, int instrument):
        """`text.Grid` of the tick."""
        self._check(instrument)
        return self.python_rows[instrument][2]

    def size_grid(self, int instrument):
        """`text.Grid` of the lot."""
        self._check(instrument)
        return self.python_rows[instrument][3]

    def row(self, int instrument) -> dict:
        """Everything about one instrument, in ticks and lots, for reports and tests."""
        self._check(instrument)
        out = <object>self.rows[instrument]
        out["symbol"] = self.symbol(instrument)
        out["base"], out["quote"] = self.rows[instrument].base.decode(), self.rows[instrument].quote.decode()
        return out


def _grid(symbol, field, text):
    try:
        return Grid(text)
    except ValueError as error:
        raise ValueError(f"{symbol}: {field}: {error}") from None


def _steps(symbol, field, order, data):
    """(grid of the data, how many of its steps one order step is)."""
    coarse, fine = _grid(symbol, field, order), _grid(symbol, "data_" + field, data)
    places = max(coarse.decimals, fine.decimals)
    whole, rest = divmod(coarse.mantissa * 10 ** (places - coarse.decimals), fine.mantissa * 10 ** (places - fine.decimals))
    if rest or whole >= 2**40:
        raise ValueError(f"{symbol}: {field} {order} is no multiple of data_{field} {data}")
    return fine, whole


def _floor(symbol, field, text, grid):
    """Whole grid steps in a limit that need not be on the grid itself (venues publish such limits)."""
    from decimal import Decimal, InvalidOperation
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{symbol}: {field}: {text!r} is not a number") from None
    if not value.is_finite() or value < 0 or value.adjusted() > DIGITS_MAX:
        raise ValueError(f"{symbol}: {field}: {text[:40]!r} is negative, not finite, or beyond any sense")
    return min(int(value.scaleb(grid.decimals)) // grid.mantissa, 2**62 - 1)


def _whole(symbol, field, value, least=0):
    """A count that a venue tells, as far as 31 bits hold it: what is allowed beyond them is as good as allowed."""
    if value < least:
        raise ValueError(f"{symbol}: {field}: {value} is below {least}")
    return min(value, 2**31 - 1)


def _ceil(symbol, field, text, grid):
    from decimal import Decimal
    steps = _floor(symbol, field, text, grid)
    exact = Decimal(steps * grid.mantissa).scaleb(-grid.decimals) == Decimal(text)
    return steps if exact else steps + 1


cdef int _set_filters(Instrument* row, str symbol, price, size, str min_price, str max_price, str min_size, str max_size,
                      str min_notional, str max_market_size, str max_notional, max_orders, up_ppm,
                      down_ppm) except -1:
    """The venue's limits, in ticks and lots: the tighter way where one is not on the grid."""
    money = Grid("0.00000001")
    row.min_price_ticks = _ceil(symbol, "min_price", min_price, price)
    row.max_price_ticks = _floor(symbol, "max_price", max_price, price)
    row.min_size_lots = _ceil(symbol, "min_size", min_size, size)
    row.max_size_lots = _floor(symbol, "max_size", max_size, size)
    row.min_notional_e8 = _ceil(symbol, "min_notional", min_notional, money)
    row.max_market_lots = _floor(symbol, "max_market_size", max_market_size, size)
    row.max_notional_e8 = _floor(symbol, "max_notional", max_notional, money)
    row.max_orders = _whole(symbol, "max_orders", max_orders)
    row.up_ppm, row.down_ppm = _whole(symbol, "up_ppm", up_ppm), _whole(symbol, "down_ppm", down_ppm)
    return 0


cdef int _set_coin(char* out, str coin) except -1:
    """A coin's name; one that does not fit is as good as not told."""
    cdef bytes raw = coin.encode()
    if len(raw) < 16:
        memcpy(out, PyBytes_AS_STRING(raw), len(raw) + 1)
    return 0


cdef int _set_money(Instrument* row, str symbol) except -1:
    """money_e8 per (tick * lot): tick * lot * contract * 10**8, as an exact fraction."""
    power = MONEY_DECIMALS - row.price_decimals - row.size_decimals - row.contract_decimals
    mul = row.tick_mantissa * row.lot_mantissa * row.contract_mantissa
    div = 1
    if power >= 0:
        mul *= 10**power
    else:
        div = 10**-power
    while div > 1 and mul % 10 == 0:
        mul, div = mul // 10, div // 10
    if mul >= 2**62 or div >= 2**62:
        raise ValueError(f"{symbol}: tick, lot and contract size do not fit together")
    row.money_mul, row.money_div = mul, div
    return 0

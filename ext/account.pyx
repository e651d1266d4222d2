"""Positions and profit from fills, in exact integers.

Profit needs no average price: what came in minus what went out, plus what the open position would bring at the side of the
book it would be closed on. Everything is in tick * lot units of the instrument, so nothing is ever rounded here.
"""

from libc.stdlib cimport calloc, free

from ext.records cimport BUY

cdef extern from *:
    """
    static inline int tg_signed_add_product(int64_t *sum, int64_t a, int64_t b) {
        int64_t product;
        return __builtin_mul_overflow(a, b, &product) || __builtin_add_overflow(*sum, product, sum);
    }
    """
    int tg_signed_add_product(int64_t* total, int64_t a, int64_t b) noexcept nogil


cdef class Account:
    """One row per instrument."""

    def __cinit__(self, int instruments):
        self.instruments = instruments
        self.rows = <Position*>calloc(max(instruments, 1), sizeof(Position))
        if self.rows == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.rows)

    cdef int on_fill(self, int instrument, int side, int64_t ticks, int64_t lots, int64_t fee_e8,
                     int fee_is_quote) except -1:
        """Book one fill, once (the order table has removed duplicates)."""
        cdef Position* row = &self.rows[instrument]
        cdef int64_t signed = lots if side == BUY else -lots
        cdef int64_t cash = row.cash
        cdef int overflow = tg_signed_add_product(&cash, ticks, -signed)
        assert not overflow, "position value does not fit in 64 bits"
        row.cash = cash
        row.lots += signed
        row.fills += 1
        if side == BUY:
            row.bought_lots += lots
        else:
            row.sold_lots += lots
        return self.on_fee(instrument, fee_e8, fee_is_quote)

    cdef int on_fee(self, int instrument, int64_t fee_e8, int fee_is_quote) except -1:
        """Book the fee of one fill; it may come behind the fill. `fee_is_quote` < 0: not told (yet)."""
        if fee_is_quote == 1:
            self.rows[instrument].fee_e8 += fee_e8
        elif fee_is_quote == 2:
            self.rows[instrument].fee_base_e8 += fee_e8
        elif fee_is_quote == 0 and fee_e8:
            self.rows[instrument].other_fees += 1
        return 0

    cdef int64_t profit(self, int instrument, int64_t bid_ticks, int64_t ask_ticks) noexcept nogil:
        """Profit before fees in tick * lot units, the position valued where it could be closed now. Wraps where a mark
        is beyond any sense; `marked` does not."""
        cdef Position* row = &self.rows[instrument]
        return row.cash + row.lots * (bid_ticks if row.lots > 0 else ask_ticks)

    def position(self, int instrument) -> dict:
        """The row of one instrument as a dict."""
        if not 0 <= instrument < self.instruments:
            raise IndexError(f"instrument {instrument}: the account has {self.instruments}")
        return <object>self.rows[instrument]

    def fill(self, int instrument, int side, int64_t ticks, int64_t lots, int64_t fee_e8=0, bint fee_is_quote=True):
        """`on_fill` for Python callers."""
        if not 0 <= instrument < self.instruments:
            raise IndexError(f"instrument {instrument}: the account has {self.instruments}")
        self.on_fill(instrument, side, ticks, lots, fee_e8, fee_is_quote)

    def marked(self, int instrument, int64_t bid_ticks, int64_t ask_ticks) -> int:
        """`profit` for Python callers, in integers that cannot overflow."""
        row = self.position(instrument)
        return row["cash"] + row["lots"] * (bid_ticks if row["lots"] > 0 else ask_ticks)

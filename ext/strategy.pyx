"""What a strategy is: it is told of books and fills, and proposes intents. Subclass it in Python or Cython.

A strategy sees books, orders, positions and dials; it cannot reach a socket. What it proposes in a turn is checked by the
risk gate afterwards, one intent after the other. From Python:

    class Mine(Strategy):
        def on_book(self, instrument, now_ns):
            bid, ask = self.best(instrument)
            if bid and ask:
                self.buy(instrument, bid[0], 1)
            return 0
"""

from libc.string cimport memset

from ext.records cimport (AMEND, BUY, CANCEL, FOK, GTC, IOC, LEGS, LIMIT, LONG_LEG, MARKET, NET, NEW, POST_ONLY, SELL, STOP_MARKET,
                          Level)

# Dials that every strategy has: index, neutral value and hard bounds. Values are per mille of the configured figure.
DIALS = (
    ("spread_permille", 1000, 500, 4000),
    ("size_permille", 1000, 0, 1000),
)


cdef class Strategy:
    """Base class. `attach` is called by the engine before anything else."""

    def attach(self, int number, Instruments instruments, Orders orders, Account account, list books):
        """Give the strategy its number and what it may read."""
        self.number = number
        self.instruments, self.orders, self.account, self.books = instruments, orders, account, books

    # ---- what a subclass overrides; each returns 0 ----

    cpdef int on_book(self, int instrument, int64_t now_ns) except -1:
        """A synced book changed, or an order of ours on it did (once per frame, after all its levels and reports)."""
        return 0

    cpdef int on_order(self, int instrument, int side, uint64_t order_id, int64_t now_ns) except -1:
        """One of this strategy's proposals passed risk and is order `order_id` now."""
        return 0

    cpdef int on_fill(self, int instrument, uint64_t order_id, int side, int64_t price_ticks, int64_t size_lots,
                      int64_t now_ns) except -1:
        """One of this strategy's orders filled."""
        return 0

    cpdef int on_timer(self, int64_t now_ns) except -1:
        """Time passed."""
        return 0

    cdef int on_trade(self, const Trade* trade, int64_t now_ns) except -1:
        """A public trade (Cython subclasses only)."""
        return 0

    # ---- what a Cython subclass calls ----

    cdef Intent* propose(self) noexcept nogil:
        """A zeroed intent to fill in, or NULL where this turn already proposed PROPOSALS_MAX."""
        if self.proposed == PROPOSALS_MAX:
            self.dropped += 1
            return NULL
        cdef Intent* intent = &self.proposals[self.proposed]
        self.proposed += 1
        memset(intent, 0, sizeof(Intent))
        intent.strategy = self.number
        return intent

    cdef int place(self, int instrument, int side, int64_t price_ticks, int64_t size_lots, int tif) noexcept nogil:
        """Propose a limit order; returns 0 where the turn is full."""
        cdef Intent* intent = self.propose()
        if intent == NULL:
            return 0
        intent.action, intent.instrument, intent.side, intent.tif = NEW, instrument, side, tif
        intent.price_ticks, intent.size_lots = price_ticks, size_lots
        return 1

    cdef int withdraw(self, uint64_t order_id) noexcept nogil:
        """Propose to cancel an order; returns 0 where the turn is full."""
        cdef Intent* intent = self.propose()
        if intent == NULL:
            return 0
        intent.action, intent.order_id = CANCEL, order_id
        return 1

    cdef int change(self, uint64_t order_id, int64_t price_ticks, int64_t size_lots) noexcept nogil:
        """Propose a new price and whole size (filled included) for an order; returns 0 where the turn is full. Where the
        venue cannot change an order in place it is replaced by a new one, of which `on_order` tells."""
        cdef Intent* intent = self.propose()
        if intent == NULL:
            return 0
        intent.action, intent.order_id = AMEND, order_id
        intent.price_ticks, intent.size_lots = price_ticks, size_lots
        return 1

    cdef int64_t dial(self, int index) noexcept nogil:
        """A dial as last read: neutral where it expired."""
        return self.dials[index] if index < self.dial_count else 1000

    # ---- the same for Python subclasses ----

    def best(self, int instrument) -> tuple:
        """((bid ticks, lots) or None, (ask ticks, lots) or None) of a synced book; (None, None) of any other."""
        cdef Level bid, ask
        cdef Book book = self.book(instrument)
        if not book.usable():
            return None, None
        return ((bid.price_ticks, bid.size_lots) if book.best_bid(&bid) else None,
                (ask.price_ticks, ask.size_lots) if book.best_ask(&ask) else None)

    def book(self, int instrument) -> Book:
        """The book itself, for depth and cost. ValueError where the instrument is not in the table."""
        self._check(instrument)
        return <Book>self.books[instrument]

    cdef int _check(self, int instrument) except -1:
        if self.instruments is None:
            raise ValueError("this strategy is not attached to an engine yet")
        if not 0 <= instrument < self.instruments.count:
            raise ValueError(f"instrument {instrument}: the table has {self.instruments.count}")
        return 0

    # In hedge mode every order is of one leg (`leg`: records.LegKind); on its closing side it is reduce-only by itself.

    def buy(self, int instrument, int64_t price_ticks, int64_t size_lots, int tif=GTC, int leg=NET) -> bool:
        """Propose to buy; False where this turn already proposed too much."""
        return self._order(instrument, BUY, LIMIT, tif, price_ticks, size_lots, 0, False, leg)

    def sell(self, int instrument, int64_t price_ticks, int64_t size_lots, int tif=GTC, int leg=NET) -> bool:
        """Propose to sell; False where this turn already proposed too much."""
        return self._order(instrument, SELL, LIMIT, tif, price_ticks, size_lots, 0, False, leg)

    def amend(self, uint64_t order_id, int64_t price_ticks, int64_t size_lots) -> bool:
        """Propose a new price and whole size (filled included) for an order."""
        return bool(self.change(order_id, price_ticks, size_lots))

    def market(self, int instrument, int side, int64_t size_lots, bint reduce_only=False, int leg=NET) -> bool:
        """Propose a market order, in the instrument's size unit."""
        return self._order(instrument, side, MARKET, IOC, 0, size_lots, 0, reduce_only, leg)

    def stop(self, int instrument, int side, int64_t trigger_ticks, int64_t size_lots, int leg=NET) -> bool:
        """Propose a protective stop: rests at the venue, reduces the position at market once the trigger is reached."""
        return self._order(instrument, side, STOP_MARKET, GTC, 0, size_lots, trigger_ticks, True, leg)

    def reduce(self, int instrument, int side, int64_t price_ticks, int64_t size_lots, int tif=GTC, int leg=NET) -> bool:
        """Propose a limit order that can only shrink the position."""
        return self._order(instrument, side, LIMIT, tif, price_ticks, size_lots, 0, True, leg)

    def _order(self, instrument, side, type, tif, price_ticks, size_lots, trigger_ticks, reduce_only, leg=NET):
        cdef Intent* intent
        self._check(instrument)
        if side not in (BUY, SELL):
            raise ValueError(f"side {side}: must be BUY or SELL")
        if tif not in (GTC, IOC, FOK, POST_ONLY):
            raise ValueError(f"time in force {tif}: must be one of records.TimeInForce")
        if not NET <= leg < LEGS:
            raise ValueError(f"leg {leg}: must be one of records.LegKind")
        intent = self.propose()
        if intent == NULL:
            return False
        intent.action, intent.instrument, intent.side, intent.type, intent.tif = NEW, instrument, side, type, tif
        intent.price_ticks, intent.size_lots, intent.trigger_ticks = price_ticks, size_lots, trigger_ticks
        intent.leg, intent.reduce_only = leg, reduce_only or (leg != NET and (side == BUY) != (leg == LONG_LEG))
        return True

    def cancel(self, uint64_t order_id) -> bool:
        """Propose to cancel an order."""
        return bool(self.withdraw(order_id))

    def cancel_all(self, int instrument=-1) -> int:
        """Propose to cancel every open order of this node, or those of one instrument; returns how many. Orders of others on
        the account are not touched."""
        return sum(self.cancel(order_id) for order_id in self.open_orders(instrument))

    def position(self, int instrument, int leg=-1) -> int:
        """Signed position in lots: of one leg (a short one is below zero), or of all of them together."""
        row = self.account.position(instrument)
        return row["lots"] if leg < 0 else row["legs"][leg]["lots"]

    def open_orders(self, int instrument=-1) -> list:
        """Ids of this node's orders that are not terminal."""
        return self.orders.open_orders(instrument)

    def dial_values(self) -> list:
        """Dials as last read."""
        return [self.dial(i) for i in range(self.dial_count)]

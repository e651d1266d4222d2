"""What a strategy is: it is told of books and fills, and proposes intents. Subclass it in Python or Cython.

A strategy sees books, orders, positions and dials; it cannot reach a socket. What it proposes in a turn is checked by the
risk gate afterwards, one intent after the other. From Python:

    class Mine(Strategy):
        def on_book(self, instrument, now_ns):
            bid, ask = self.best(instrument)
            if bid and ask:
                self.buy(instrument, bid[0], 1)
            return 0

Why it proposes, it can say: `signals` names what may have moved it and the four numbers that go with it, and
`signal(kind, a, b, c, d)` puts the one of this turn on the tape, in front of what risk said of the turn's proposals:

    class Mine(Strategy):
        signals = {1: ("breakout", "level:ticks", "volume:lots")}

It may fail without harm: what it raises, what it never returns from and what it proposes without sense is counted
(`faults`), costs it what it proposed in that turn and nothing else, and at last switches it off (`Engine.strategy_off`).
What cannot be interrupted from inside is native code that never returns and memory taken without end: the guard, which is
another process, sees a node that stands still.
"""

from cpython.number cimport PyNumber_Index
from libc.string cimport memset

from ext.orders cimport Order
from ext.records cimport (AMEND, BUY, CANCEL, FOK, GTC, IOC, LEGS, LIMIT, LONG_LEG, MARKET, NET, NEW, POST_ONLY, SELL, STOP_MARKET,
                          Level, SignalRow)

# Dials that every strategy has: index, neutral value and hard bounds. Values are per mille of the configured figure.
DIALS = (
    ("spread_permille", 1000, 500, 4000),
    ("size_permille", 1000, 0, 1000),
)

UNITS = ("ticks", "half_ticks", "lots", "e8", "ppm", "ns")     # of a signal's numbers; half ticks: bid and ask added up


class StrategyTimeout(BaseException):
    """Raised inside a call of a strategy that lasts too long, by the watchdog of `node.net`. No Exception, so that what
    catches those does not swallow it."""


cdef class OrdersView:
    """The orders of this node, to read: what each method tells, `ext.orders.Orders` says."""

    def __cinit__(self, Orders orders not None):
        self._orders = orders

    def order(self, uint64_t id):
        """Everything about one order, or None where there is none with this id."""
        return self._orders.order(id)

    def open_orders(self, int instrument=-1) -> list:
        """Ids of orders that are not terminal, oldest first; of one instrument, or (-1) of all."""
        return self._orders.open_orders(instrument)

    def listed(self, int instrument, int side) -> list:
        """Ids of the open orders of one instrument and side, newest first."""
        return self._orders.listed(instrument, side)

    def best_own(self, int instrument, int side) -> int:
        """The best price in ticks at which one of them may rest, 0 = none does."""
        return self._orders.best_own(instrument, side)

    def reserved(self, int instrument) -> dict:
        """Lots that may still be bought and sold by what is not terminal."""
        return self._orders.reserved(instrument)

    def state_counts(self) -> dict:
        """How many orders reached each state."""
        return self._orders.state_counts()


cdef class AccountView:
    """The account, to read: what each method tells, `ext.account.Account` says."""

    def __cinit__(self, Account account not None):
        self._account = account

    def position(self, int instrument) -> dict:
        """Position, legs, cash, fees and funding of one instrument."""
        return self._account.position(instrument)

    def sums(self, int instrument) -> tuple:
        """(lots, cash, fills, fees in quote, in base, fills with a fee in another coin)."""
        return self._account.sums(instrument)

    def marked(self, int instrument, int64_t bid_ticks, int64_t ask_ticks) -> int:
        """Profit of one instrument with the open position at the price at which it could be closed, in ticks times lots."""
        return self._account.marked(instrument, bid_ticks, ask_ticks)


cdef class Strategy:
    """Base class. `attach` is called by the engine before anything else. `signals`: by kind, its name and then those of a, b, c and
    d as far as they are used, each with its unit behind a colon (UNITS) where it has one."""

    signals = {}

    def __cinit__(self):
        self.last_error = ""

    def attach(self, int number, Instruments instruments, Orders orders, Account account, list books):
        """Give the strategy its number and what it may read. ValueError where it has them already: its number is whose orders it
        may touch."""
        if self.instruments is not None:
            raise ValueError(f"strategy {self.number} is attached already")
        self.number = number
        self.instruments, self.orders, self.account, self.books = instruments, orders, account, books
        self._orders_view, self._account_view = OrdersView(orders), AccountView(account)

    def __getattr__(self, str name):
        """`orders` and `account` as a Python subclass sees them: to read, not to change."""
        if name == "orders":
            return self._orders_view
        if name == "account":
            return self._account_view
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # ---- what a subclass overrides; each returns 0 ----

    cpdef int on_book(self, int instrument, int64_t now_ns) except -1:
        """A synced book changed, or an order of ours on it did (once per frame, after all its levels and reports)."""
        return 0

    cpdef int on_book_lost(self, int instrument, int64_t now_ns) except -1:
        """A book that was synced cannot be used any more, or is older than the limits allow: nobody knows what a resting
        order stands in. Cancels what this strategy has resting on it, but for stops: they protect. Told again at once where
        that is more than one turn holds."""
        cdef int i
        cdef Order* order
        for i in range(self.orders.capacity):
            order = &self.orders.rows[i]
            if (order.strategy == self.number and order.instrument == instrument and self.orders.is_open(order)
                    and not order.cancel_wanted and order.type == LIMIT and order.tif in (GTC, POST_ONLY)
                    and self.proposed < PROPOSALS_MAX):
                self.withdraw(order.id)
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

    def configure(self, **values):
        """Take over parameters while the engine runs (`Engine.configure` puts them on the tape). Here: the public attributes of a
        subclass, by name. ValueError where there is no such one."""
        for name, value in values.items():
            if name.startswith("_") or not hasattr(self, name) or callable(getattr(self, name)):
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}")
            try:
                setattr(self, name, value)
            except (AttributeError, TypeError):
                raise ValueError(f"{type(self).__name__}: {name!r} is no parameter that can be set") from None

    # ---- what the engine calls ----

    cdef uint64_t digest(self, uint64_t hash) noexcept:
        """What it decides by, mixed into the state hash: a Cython subclass with a state of its own adds it. What a Python one
        remembers shows in what it proposes."""
        return hash

    cdef bint call(self, const Tell* tell, int64_t now_ns) except -1:
        """The one place from which a strategy's own code runs. False where it failed: that is counted, and what it proposed in
        this turn is dropped. Only a person at the keyboard gets through."""
        self.calls += 1
        self.about = -1 if tell.what == TELL_TIMER else tell.instrument
        if not self.proposed:
            self.signalled = False      # what was said in a turn without a proposal moved nothing
        self.inside, self.timed_out = True, False
        try:
            if self.interrupted is not None and self.calls in self.interrupted:
                raise StrategyTimeout("as it was recorded")
            self._dispatch(tell, now_ns)
            return True
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.timed_out = issubclass(type(error), StrategyTimeout)
            self.proposed = 0
            self.signalled = False
            self.strike(_words(error))
            return False
        finally:
            self.inside = False

    cdef int _dispatch(self, const Tell* tell, int64_t now_ns) except -1:
        if tell.what == TELL_BOOK:
            return self.on_book(tell.instrument, now_ns)
        if tell.what == TELL_TRADE:
            return self.on_trade(tell.trade, now_ns)
        if tell.what == TELL_FILL:
            return self.on_fill(tell.instrument, tell.order_id, tell.side, tell.price_ticks, tell.size_lots, now_ns)
        if tell.what == TELL_ORDER:
            return self.on_order(tell.instrument, tell.side, tell.order_id, now_ns)
        if tell.what == TELL_LOST:
            return self.on_book_lost(tell.instrument, now_ns)
        return self.on_timer(now_ns)

    cdef int strike(self, str why) except -1:
        """One more fault."""
        self.faults += 1
        self.strikes += 1
        self.last_error = why
        return 0

    cdef int switch(self, bint on) noexcept:
        """It was switched off, and what it proposes is nothing; or on again, with a clean slate. The gate knows which it is."""
        self.proposed = 0
        if on:
            self.strikes = 0
        return 0

    # ---- why it proposes ----

    cpdef int signal(self, int kind, int64_t a=0, int64_t b=0, int64_t c=0, int64_t d=0) except -1:
        """Why this turn proposes what it does: on the tape in front of the verdicts, and nowhere else. One a turn: the last. For
        `kind` and the numbers see `signals`; OverflowError where one does not fit."""
        self.signal_row = SignalRow(self.number, self.about, kind, 0, a, b, c, d)
        self.signalled = True
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

    cdef int _check(self, int64_t instrument) except -1:
        if self.instruments is None:
            raise ValueError("this strategy is not attached to an engine yet")
        if not 0 <= instrument < self.instruments.count:
            raise ValueError(f"instrument {instrument}: the table has {self.instruments.count}")
        return 0

    # In hedge mode every order is of one leg (`leg`: records.LegKind); on its closing side it is reduce-only by itself.

    def buy(self, instrument, price_ticks, size_lots, tif=GTC, leg=NET) -> bool:
        """Propose to buy; False where this turn already proposed too much. As in all of these, prices are whole ticks and sizes
        whole lots: TypeError where one is no integer, ValueError where it does not fit or there is no such thing."""
        return self._order(instrument, BUY, LIMIT, tif, price_ticks, size_lots, 0, False, leg)

    def sell(self, instrument, price_ticks, size_lots, tif=GTC, leg=NET) -> bool:
        """Propose to sell; False where this turn already proposed too much."""
        return self._order(instrument, SELL, LIMIT, tif, price_ticks, size_lots, 0, False, leg)

    def amend(self, order_id, price_ticks, size_lots) -> bool:
        """Propose a new price and whole size (filled included) for an order of this strategy (NOT_OWNER)."""
        return bool(self.change(_id(order_id), _whole("price_ticks", price_ticks), _whole("size_lots", size_lots)))

    def market(self, instrument, side, size_lots, bint reduce_only=False, leg=NET) -> bool:
        """Propose a market order, in the instrument's size unit."""
        return self._order(instrument, side, MARKET, IOC, 0, size_lots, 0, reduce_only, leg)

    def stop(self, instrument, side, trigger_ticks, size_lots, leg=NET) -> bool:
        """Propose a protective stop: rests at the venue, reduces the position at market once the trigger is reached."""
        return self._order(instrument, side, STOP_MARKET, GTC, 0, size_lots, trigger_ticks, True, leg)

    def reduce(self, instrument, side, price_ticks, size_lots, tif=GTC, leg=NET) -> bool:
        """Propose a limit order that can only shrink the position."""
        return self._order(instrument, side, LIMIT, tif, price_ticks, size_lots, 0, True, leg)

    def _order(self, instrument, side, type, tif, price_ticks, size_lots, trigger_ticks, reduce_only, leg=NET):
        cdef Intent* intent
        cdef int64_t price = _whole("price_ticks", price_ticks), size = _whole("size_lots", size_lots)
        cdef int64_t trigger = _whole("trigger_ticks", trigger_ticks)
        instrument = _whole("instrument", instrument)
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
        intent.price_ticks, intent.size_lots, intent.trigger_ticks = price, size, trigger
        intent.leg, intent.reduce_only = leg, reduce_only or (leg != NET and (side == BUY) != (leg == LONG_LEG))
        return True

    def cancel(self, order_id) -> bool:
        """Propose to cancel an order: one of this strategy, or one that an earlier run left and that is no stop (NOT_OWNER)."""
        return bool(self.withdraw(_id(order_id)))

    def cancel_all(self, int instrument=-1) -> int:
        """Propose to cancel every open order of this strategy, or those of one instrument; returns how many. Orders of other
        strategies, and those that the node itself has resting, are not touched."""
        return sum(self.cancel(order_id) for order_id in self.orders.open_orders(instrument)
                   if self.orders.find(order_id).strategy == self.number)

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


cdef int64_t _whole(str name, value) except? -1:
    """An integer, of whatever kind, as 64 bits."""
    try:
        return PyNumber_Index(value)
    except TypeError:
        raise TypeError(f"{name} {value!r}: must be a whole number (int), not {type(value).__name__}: prices are ticks, "
                        "sizes are lots") from None
    except OverflowError:
        raise ValueError(f"{name} {value!r}: does not fit in 64 bits") from None


cdef uint64_t _id(value) except? 0:
    """The id of an order."""
    try:
        return PyNumber_Index(value)
    except TypeError:
        raise TypeError(f"order_id {value!r}: must be an int, not {type(value).__name__}") from None
    except OverflowError:
        raise ValueError(f"order_id {value!r}: there is no such order") from None


cdef str _words(error):
    """An exception of a strategy in one line. Only plain words of it: what makes a text of the rest is the strategy's too."""
    cdef list words = [str(x) for x in BaseException.args.__get__(error) if type(x) in (str, int)]
    return f"{type(error).__name__}: {' '.join(words)}"[:200] if words else type(error).__name__

"""The only file that knows the order of the steps: bytes -> arbiter -> book -> strategy -> risk -> encode -> bytes.

Doors in: `on_bytes` (a frame on a line), `on_time` (a timer, with the dials as just read), `on_line` (a line went up or
down), `on_evidence` (what the venue said when it was asked), and the cold doors: cancels, halts, adoptions, proofs that the
cold side came to (records.Door). Nothing else changes state, each is on the tape, and none reads a clock: the same calls with
the same arguments give the same orders, byte for byte.

The order of the steps, once:

    1. on the tape    2. decode (venue)    3. which line is next (arbiter)    4. book, or orders and account
    5. think, once a frame: strategy -> intents    6. risk -> Approved, exposure reserved
    7. encode (venue)    8. on the tape    9. outlet (the link checks latch and approval last, and writes)
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from ext.account cimport Position
from ext.arbiter cimport LINES_MAX, LOST, PASS, SPLICE, STUCK, Stand
from ext.checks cimport Guard
from ext.book cimport APPLIED, EMPTY, GAPPED, RESEED, SYNCED
from ext.crash cimport (ACK_APPLIED, ACK_IN_KERNEL_BUFFER, ACK_PARSED, CANCEL_WRITTEN, CHECKED, DECIDE, ENCODED, FILL_APPLIED,
                        FILL_JOURNALED, FILL_PARSED, JOURNALED, LEASE_CHECKED, SNAPSHOT_HALF, WRITTEN, crash_at)
from ext.exits cimport lots_up
from ext.digest cimport mix_words, of_account, of_books, of_equity, of_orders, of_risk, of_strategies
from ext.held cimport Held, held_asks, held_bids
from ext.orders cimport DOUBT_LINE
from ext.records cimport (ACKED, ADL, AMEND, BINANCE_SPOT, BINANCE_USDM, BUY, CANCEL, CANCELED, DESK_EXIT, DOOR_ABSENT, DOOR_ADOPT,
                          DOOR_CAPITAL, DOOR_DAY_COUNTS, DOOR_DAY_TRADES, DOOR_CLOCK, DOOR_COIN, DOOR_FLATTEN, DOOR_FLOW, DOOR_FUNDING, DOOR_GAP, DOOR_LATCH,
                          DOOR_LEASE, DOOR_LIMITS, DOOR_MARK, DOOR_OPENED, DOOR_PEAK, DOOR_RATIO_COUNTS, DOOR_FOREIGN, DOOR_HALT, DOOR_PAUSE, DOOR_POSITION, DOOR_PRIVATE, DOOR_RECONCILED,
                          DOOR_RESUME, DOOR_SETTLE, DOOR_STOPPING, DOOR_UNSENT, DOOR_WANT_CANCEL, DOOR_WITHDRAW, FILLED, FREE, GROUP_ACCESS, GROUP_CLOCK,
                          GROUP_AUCTION, GROUP_FILTER, GROUP_LIMIT, GROUP_MARKET, GROUP_POST_PHASE, HALT_ACCESS, HALT_FILTER, HALT_LIQUIDATION, HALT_ODD,
                          HALT_MARGIN, HALT_PHASE, HALT_STOP, HALT_VENUE, HALT_WINDOW, INTENT, LATCH_ENCODE, LATCH_FAULT, LATCH_STOP,
                          LATCH_TAPE, LEGS, LINK_DOWN, LIQUIDATION, LIVE, LONG_LEG, NET, NEVER_EXISTED, NEW, OK, REJECTED,
                          REPLACE, REPORT_AMEND_REJECT, REPORT_CANCEL_REJECT, REPORT_FILL, REPORT_LIVE, REPORT_ODD,
                          REPORT_REJECT, REPORT_UNCERTAIN, SENT, SETTLEMENT, SHORT_LEG, STOP_MARKET, STOP_REDUCE, UNKNOWN, UNSUPPORTED,
                          WINDOW, CheckRow, DecisionRow, EquityRow, HashRow, mix)
from ext.records import pack_reports
from ext.tape cimport DECISION as TAPE_DECISION
from ext.tape cimport DIAL as TAPE_DIAL
from ext.tape cimport DOOR as TAPE_DOOR
from ext.tape cimport EQUITY as TAPE_EQUITY
from ext.tape cimport EVIDENCE as TAPE_EVIDENCE
from ext.tape cimport FILL as TAPE_FILL
from ext.tape cimport FRAME as TAPE_FRAME
from ext.tape cimport HASH as TAPE_HASH
from ext.tape cimport LIMITS as TAPE_LIMITS
from ext.tape cimport MARK as TAPE_MARK
from ext.tape cimport ORDER_OUT as TAPE_ORDER_OUT
from ext.tape cimport PARAM as TAPE_PARAM
from ext.tape cimport REPORT as TAPE_REPORT
from ext.tape cimport SESSION as TAPE_SESSION
from ext.tape cimport SIGNAL as TAPE_SIGNAL
from ext.tape cimport STOP as TAPE_STOP
from ext.tape cimport TIMER as TAPE_TIMER
from ext.tape cimport UNRECORDED as TAPE_UNRECORDED
from ext.tape cimport VERDICT as TAPE_VERDICT
from ext.tape cimport digest_of
from ext.throttle cimport FLAT_NOW, GREW, SHRANK, TURNED
from ext.wire cimport BAD, NOT_MINE, RESYNC

# for strategies that fail
from ext.records cimport (AMENDING, CALL_INTERRUPTED, DOOR_STRATEGY, INSTRUMENT, LEG, LIMIT, NOT_ALLOWED, NOT_OWNER, NUMBER, OFF_FAULTS,
                          OFF_NOT, OFF_REPEAT, PRICE_STEP, SIZE_STEP, SWITCH_OFF, SWITCH_ON, UNKNOWN_ORDER)
from ext.records import Reason, ReportKind, StrategyOff
from ext.strategy cimport PROPOSALS_MAX, TELL_BOOK, TELL_FILL, TELL_LOST, TELL_ORDER, TELL_TIMER, TELL_TRADE

import hashlib
import json

from ext.crash import has_struck
from ext.strategy import DIALS

# By Absurd, in order. Prices are in ticks, sizes in lots, fees in 1e-8 of the coin.
ABSURDITIES = (
    "its size is more than the {limit} lots that its order may be",
    "{value} lots filled in all are more than the {limit} that its order may be",
    "an order of {value} lots is more than the {limit} that it may be",
    "an order at {value} is above {limit}, the highest price there is",
    "its price must be 1 to {limit}",
    "its size must be {limit} lot or more",
    "its price is ten times, or a tenth of, {limit} in the book",
    "its price is more than a fifth beyond {limit}, the furthest limit that its order ever had",
    "with it, the position would not fit in 64 bits",
    "its fee {value} is more than the {limit} that was traded",
    "its fee {value} does not fit in the sum of fees",
)

cdef extern from *:
    """
    /* Ask for the first 2 KB of a frame before anybody looks at it: the lines arrive while the header is read. */
    static inline void tg_fetch(const char *data, Py_ssize_t size) {
        Py_ssize_t i, stop = size < 2048 ? size : 2048;
        for (i = 0; i < stop; i += 64) __builtin_prefetch(data + i);
    }
    """
    void tg_fetch(const char* data, Py_ssize_t size) noexcept nogil

cdef int CHECKSUM_DEPTH = 25
cdef int SWEEP = 256         # orders looked at in one tick: with 20 ms ticks each of 4,096 comes up every 320 ms
cdef int64_t CANCEL_AGAIN_NS = 250_000_000     # first repetition of a cancel that is not confirmed; doubled up to 16 times
cdef int FILTER_REFUSALS = 5     # refusals of one instrument by the venue's filters, in a row: then it stops
cdef int64_t MOST = <int64_t>1 << 47    # no price in ticks and no size in lots of any sense is larger
cdef int64_t MONEY_MOST = <int64_t>1 << 60   # nor any amount of money
cdef int64_t FAR_TIMES = 10      # a fill further from the market than so many times is asked for before it counts
cdef int64_t BEYOND = 5          # ... and one beyond every limit of its order by a fifth of it: the ceiling of every collar
cdef int64_t LATE_NS = 30 * 86_400_000_000_000    # no notice of a fill comes later
cdef int REMEMBERED = 512        # trades in one record
cdef int FAULTS_MAX = 10         # of one strategy, before it is off
cdef int LOST_TURNS = 128        # turns in which a strategy may take back what rests on a book that is lost
cdef int64_t FRESH_NS = 100_000_000            # a message this much older than the moment when we went on is still fresh
cdef int64_t NEVER_NS = -(<int64_t>1 << 61)
cdef int64_t LIMITED_NS = 1_000_000_000        # pause after "too many requests" without a time


cdef class Line:
    """Line `number`; `context` is the instrument that a SNAPSHOT_LINE's replies belong to."""

    def __cinit__(self, int number, str name, int kind, Wire wire, int context=-1):
        self.number, self.name, self.kind, self.wire, self.context = number, name, kind, wire, context
        self.last_error = ""
        self.recorded = True


cdef class Outlet:
    cdef int write(self, int line, Approved order, char* data, Py_ssize_t size) except -1:
        """Write one encoded order; 1 = handed to the socket, 0 = definitely not sent. `data` may be overwritten, and so
        may the HEADROOM bytes in front of it and 64 behind it: the link masks in place."""
        return 0

    cdef int write_batch(self, int line, list orders, int count, char* data, Py_ssize_t size) except -1:
        """The same for one frame that carries the first `count` of `orders`."""
        return 0


cdef class Recorder(Outlet):
    def __init__(self, taker=None):
        self.taker, self.shut = taker, set()
        self.digest = hashlib.blake2b(digest_size=16)

    cdef int write(self, int line, Approved order, char* data, Py_ssize_t size) except -1:
        if not order.live or line in self.shut:
            return 0
        crash_at(LEASE_CHECKED)
        order.live = False
        frame = PyBytes_FromStringAndSize(data, size)
        self.digest.update(frame)
        self.orders += 1
        if self.taker is not None:
            self.taker(line, frame)
        return 1

    cdef int write_batch(self, int line, list orders, int count, char* data, Py_ssize_t size) except -1:
        cdef Approved order
        crash_at(LEASE_CHECKED)
        for order in orders[:count]:
            if not order.live:
                return 0
            order.live = False
        frame = PyBytes_FromStringAndSize(data, size)
        self.digest.update(frame)
        self.orders += count
        if self.taker is not None:
            self.taker(line, frame)
        return 1

    def hash(self) -> str:
        """Hash over all order frames so far, in order."""
        return self.digest.hexdigest()


cdef class Again(Outlet):
    """The outlet of a replay: takes every request but those that no socket took when it was recorded."""

    def __cinit__(self):
        self.unsent = set()

    cdef int write(self, int line, Approved order, char* data, Py_ssize_t size) except -1:
        if not order.live:
            return 0
        order.live = False
        self.written += 1
        return self.written not in self.unsent

    cdef int write_batch(self, int line, list orders, int count, char* data, Py_ssize_t size) except -1:
        cdef Approved order
        for order in orders[:count]:
            order.live = False
        self.written += 1
        return self.written not in self.unsent


cdef class Echo:
    """Takes an engine's records in the place of a tape: (type, line, now_ns, payload), for a replay to compare. Frames and timers
    it gets from there are left out."""

    def __cinit__(self):
        self.rows = []

    cdef int take(self, int type, int line, int64_t now_ns, const char* head, Py_ssize_t head_size, const char* data,
                  Py_ssize_t size) except -1:
        if type != TAPE_FRAME and type != TAPE_TIMER:
            self.rows.append((type, line, now_ns, head[:head_size] + data[:size]))
        return 0

    def clear(self) -> list:
        """What was taken since the last call."""
        rows, self.rows = self.rows, []
        return rows


cdef class Engine(Sink):
    """One node's chain over `instruments`. Lines, strategies and limits are added before the first frame."""

    def __cinit__(self, Instruments instruments, *, int order_capacity=4096, uint64_t first_order_id=1,
                  TapeWriter tape=None, Outlet outlet=None, int64_t hold_ns=200_000_000,
                  int64_t ack_timeout_ns=1_000_000_000, int64_t mark_every_ns=250_000_000,
                  int64_t ask_every_ns=3_000_000_000):
        cdef int i, n = max(instruments.count, 1)
        self.instruments, self.tape, self.outlet = instruments, tape, outlet
        self.ack_timeout_ns, self.mark_every_ns, self.ask_every_ns = ack_timeout_ns, mark_every_ns, ask_every_ns
        self.books = [Book(i, self._by_request(i)) for i in range(instruments.count)]
        self.lines, self.strategies = [], []
        self.arbiter = Arbiter(instruments.count, hold_ns)
        self.orders = Orders(order_capacity, instruments.count, first_order_id)
        self.account = Account(instruments.count)
        self.equity = Equity(instruments, self.orders, self.account)
        self.reference = Reference(instruments)
        self.risk = RiskGate(instruments, self.orders, self.account, self.books, self.equity, self.reference)
        self.stops = Stops(instruments, self.orders, self.account, self.equity, self.reference, self.books, self.risk.table)
        self.absurdity, self.absurd_of = "", -1
        self.feed_depth = <int32_t*>calloc(n, sizeof(int32_t))
        self.asked_ns = <int64_t*>calloc(n, sizeof(int64_t))
        self.thawing = <char*>calloc(n, 1)
        self.trades = <int64_t*>calloc(n, sizeof(int64_t))
        self.frames = <int64_t*>calloc(n, sizeof(int64_t))
        self.quotes = <Quote*>calloc(n, sizeof(Quote))
        self.marks = <Mark*>calloc(n, sizeof(Mark))
        self.recent_trades = <TradeSeen*>calloc(n, sizeof(TradeSeen))
        self.followed = <char*>calloc(n, 1)
        self.strategy_faults_max = FAULTS_MAX
        if not (self.feed_depth and self.asked_ns and self.trades and self.frames and self.quotes and self.marks
                and self.recent_trades and self.followed and self.thawing):
            raise MemoryError()
        for i in range(n):
            self.feed_depth[i] = -1
        for i in range(8):
            self.route[i] = self.rest_route[i] = -1
        for i in range(DIALS_MAX):
            self.dial_values[i] = DIALS[i][1] if i < len(DIALS) else 0

    def __dealloc__(self):
        free(self.feed_depth)
        free(self.asked_ns)
        free(self.thawing)
        free(self.trades)
        free(self.frames)
        free(self.quotes)
        free(self.marks)
        free(self.recent_trades)
        free(self.followed)

    def _by_request(self, int instrument):
        return self.instruments.rows[instrument].market in (BINANCE_SPOT, BINANCE_USDM)

    # ---- putting it together ----

    def add_line(self, str name, int kind, Wire wire, int context=-1) -> int:
        """Add a line; returns its number. An ORDER_LINE becomes the route for its wire's market."""
        number = len(self.lines)
        if number == LINES:
            raise ValueError(f"line {name}: at most {LINES} lines")
        if kind == MARKET_LINE and number >= LINES_MAX:
            raise ValueError(f"line {name}: market lines must be among the first {LINES_MAX}")
        line = Line(number, name, kind, wire, context)
        self.lines.append(line)
        self.line_rows[number] = <void*>line
        self.market_lines += kind == MARKET_LINE
        self.redundant = self.market_lines > 1
        if kind == ORDER_LINE:
            self.route[wire.market] = number
            self.orders.epoch = wire.epoch
        elif kind == REST_LINE:
            self.rest_route[wire.market] = number
        return number

    def add_strategy(self, Strategy strategy):
        """Add a strategy; it is attached to what it may read."""
        strategy.attach(len(self.strategies), self.instruments, self.orders, self.account, self.books)
        strategy.dials = self.dial_values
        strategy.dial_count = len(DIALS)
        self.strategies.append(strategy)

    def follow(self, int instrument, int depth):
        """Let the book of an instrument follow the channel that shows `depth` levels (0 = the full diff stream)."""
        self.instruments._check(instrument)
        self.feed_depth[instrument] = depth

    def restart(self, int instrument):
        """Forget the book and the last quote of an instrument: what comes next has nothing to do with what came before (a
        recording of another day). Not a gap, and not for live use: there, a line that comes back says the same by its ids."""
        (<Book>self.books[instrument]).reset()
        self.arbiter.forget(instrument)
        memset(&self.quotes[instrument], 0, sizeof(Quote))
        self.asked_ns[instrument] = 0

    def expect(self, int line, int instrument):
        """A market line will carry the depth of this instrument. ValueError where there is no such line or instrument."""
        self.arbiter.expect(line, instrument)

    # ---- the doors ----

    cdef int receive(self, int line, const char* data, Py_ssize_t size, int64_t now_ns) except -1:
        """A frame came in on a line; returns a wire.Verdict. Where something of ours fails, the exception goes to the
        caller: what the frame said is kept, what was proposed is not, and no new risk is taken from then on."""
        cdef bint whole = False
        try:
            verdict = self._receive(line, data, size, now_ns)
            whole = True
        finally:
            if not whole:
                self._abandon()
        return verdict

    cdef int _abandon(self) except -1:
        """Leave nothing of a failed turn to the next one."""
        cdef Strategy strategy
        if has_struck():
            return 0
        self.latch(LATCH_FAULT, True, self.now_ns)
        self.touched_count = self.filled_count = self.lost_count = 0
        for strategy in self.strategies:
            strategy.proposed = 0
        return 0

    cdef int _receive(self, int line, const char* data, Py_ssize_t size, int64_t now_ns) except -1:
        cdef Line row = <Line>self.line_rows[line]
        cdef int verdict
        cdef int64_t absurd = self.absurd
        tg_fetch(data, size)
        self.now_ns = now_ns
        self.line = line
        if row.kind != MARKET_LINE:
            crash_at(ACK_IN_KERNEL_BUFFER)
        if self.tape is not None:
            self._put_frame(row, data, size)
        row.frames += 1
        verdict = row.wire.take(row.context, data, size, now_ns, self)
        if verdict == NOT_MINE:
            row.not_mine += 1
        elif verdict == BAD:
            row.bad += 1
            row.last_error = row.wire.error()
            if row.kind == ORDER_LINE or row.kind == PRIVATE_LINE:
                self._stop_market(row.wire.market, HALT_ODD, 1)     # what it would have told is not known
        elif verdict == RESYNC:
            row.resyncs += 1
            (<Book>self.books[row.wire.last]).invalidate()
            self._ask(row.wire.last, "the venue restarted its numbering")
        if self.absurd != absurd:
            verdict = BAD                   # the symbol is held already, by what could not be
            row.bad += 1
            row.last_error = self.absurdity
        if self.touched_count or self.lost_count or self.stops.fired_count or self.stops.outbox.count:
            self._think()
        return verdict

    cdef int _put_frame(self, Line row, const char* data, Py_ssize_t size) except -1:
        cdef uint64_t digest
        if row.recorded:
            return self._record(TAPE_FRAME, row.number, NULL, 0, data, size)
        digest = digest_of(data, size)
        return self._record(TAPE_UNRECORDED, row.number, NULL, 0, <const char*>&digest, sizeof(digest))

    def on_bytes(self, int line, bytes frame, int64_t now_ns) -> int:
        """`receive` for Python callers: cold lines, replay, tests."""
        if not 0 <= line < len(self.lines):
            raise IndexError(f"line {line}: there are {len(self.lines)}")
        return self.receive(line, PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), now_ns)

    def on_many(self, int line, list frames, int64_t now_ns, int64_t step_ns=0) -> int:
        """`receive` for a list of frames, `step_ns` apart, in one native loop; returns how many were HANDLED."""
        cdef bytes frame
        cdef int handled = 0
        if not 0 <= line < len(self.lines):
            raise IndexError(f"line {line}: there are {len(self.lines)}")
        for frame in frames:
            handled += self.receive(line, PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), now_ns) == 1
            now_ns += step_ns
        return handled

    cdef int _sweep(self, int64_t now_ns) except -1:
        """Orders that nobody answered in time, and cancels that nobody confirmed. A stretch of the table at a time, and
        nothing where no order is open: the whole of it would push the books out of the cache every time."""
        cdef int i, open_orders = 0
        cdef Order* order
        for i in range(self.instruments.count):
            open_orders += self.orders.exposure[i].open_orders
        if not open_orders:
            return 0
        for i in range(min(SWEEP, self.orders.capacity)):
            order = &self.orders.rows[self.swept]
            self.swept = (self.swept + 1) & (self.orders.capacity - 1)
            if not FREE < order.state < FILLED:
                continue
            if order.state <= SENT and now_ns - order.intent_ns > self.ack_timeout_ns:
                self.orders.to_state(order, UNKNOWN, now_ns)
                self.orders.want_cancel(order)          # neutralise first, then ask
            if order.cancel_wanted and now_ns - order.last_cancel_ns > CANCEL_AGAIN_NS << min(order.cancel_asked, 4):
                self._cancel(order)
        return 0

    cdef int _cancel(self, Order* order) except -1:
        """Write a cancel for an order; it counts as asked only where it left."""
        cdef Intent intent
        cdef int reason = 0
        cdef Approved approved
        memset(&intent, 0, sizeof(intent))
        intent.action, intent.order_id, intent.strategy = CANCEL, order.id, order.strategy
        approved = self.risk.approve_cancel(&intent, self.now_ns, &reason)
        return 0 if approved is None else self._send(approved)

    cdef int tick(self, int64_t now_ns) except -1:
        """Time passes: orders that nobody answered, books that nobody resynced, strategies' timers, the state mark."""
        cdef bint whole = False
        try:
            self._tick(now_ns)
            whole = True
        finally:
            if not whole:
                self._abandon()
        return 0

    cdef int _tick(self, int64_t now_ns) except -1:
        cdef Book book
        cdef Strategy strategy
        cdef Tell tell
        self.now_ns = now_ns
        self._record(TAPE_TIMER, 0, NULL, 0, NULL, 0)
        self._sweep(now_ns)
        if self.arbiter.holes:
            self._holes()
        for book in self.books:
            if self.asked_ns[book.instrument] and now_ns - self.asked_ns[book.instrument] > self.ask_every_ns:
                self.asked_ns[book.instrument] = 0
                if book.state != SYNCED:
                    self._ask(book.instrument, "still not synced")
            if self.followed[book.instrument] and (not book.usable() or self._is_stale(book)):
                self._lose(book.instrument)
        self.equity.roll(now_ns)
        self.stops.turn(now_ns)
        self.risk.watched_ns = now_ns
        self._act()
        self._tell_lost()
        if not self.stopping:
            tell.what = TELL_TIMER
            for strategy in self.strategies:
                self._call(strategy, &tell)
                self._drain(strategy)
        if now_ns - self.marked_ns >= self.mark_every_ns:
            self.marked_ns = now_ns
            self._mark()
        return 0

    def on_time(self, int64_t now_ns, dials=None):
        """A timer fired. `dials` are the values as just read, where they were read."""
        cdef int i
        cdef bint changed = False
        if dials is not None:
            for i in range(min(len(dials), DIALS_MAX)):
                changed |= self.dial_values[i] != dials[i]
                self.dial_values[i] = dials[i]
            if changed:
                self.now_ns = now_ns
                self._record(TAPE_DIAL, 0, NULL, 0, <const char*>self.dial_values, sizeof(self.dial_values))
        self.tick(now_ns)

    def on_line(self, int line, bint up, int64_t now_ns):
        """A line went up or down. Orders written to a line that dies unanswered are UNKNOWN from that moment."""
        cdef Line row
        cdef Order* order
        cdef int i
        cdef char flag = up
        if not 0 <= line < len(self.lines):
            raise IndexError(f"line {line}: there are {len(self.lines)}")
        row = self.lines[line]
        self.now_ns = now_ns
        self._record(TAPE_SESSION, line, NULL, 0, &flag, 1)
        if row.up == up:
            return
        row.up = up
        if row.kind == MARKET_LINE:
            if up:
                self.arbiter.line_up(line)
            else:
                for i in self.arbiter.line_down(line):
                    self._orphan(i)
                if self.arbiter.holes:
                    self._holes()
                self._tell_lost()
        elif row.kind == ORDER_LINE and not up:
            for i in range(self.orders.capacity):
                order = &self.orders.rows[i]
                if not FREE < order.state < FILLED or order.line != line:
                    continue
                if order.state == SENT:
                    self.orders.to_state(order, UNKNOWN, now_ns)
                    self.orders.want_cancel(order)
                elif order.amending or order.cancel_wanted:
                    order.doubt |= DOUBT_LINE
                    self.orders.troubles += 1
        if (row.kind == ORDER_LINE or row.kind == PRIVATE_LINE) and not up:
            self.risk.markets[row.wire.market].private_ok = False     # what it would have told is missing now

    # ---- cold doors: what the cold side found out, or was told to do ----

    cdef int _door(self, int door, int instrument, uint64_t order_id, int64_t a, int64_t b, int64_t c, int64_t now_ns,
                   const Intent* intent=NULL, bytes text=b"") except -1:
        cdef DoorRow row
        self.now_ns = now_ns
        memset(&row, 0, sizeof(row))
        row.door, row.instrument, row.order_id, row.a, row.b, row.c = door, instrument, order_id, a, b, c
        if intent != NULL:
            row.intent = intent[0]
        return self._record(TAPE_DOOR, 0, <const char*>&row, sizeof(row), PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))

    def absurd_in(self, int instrument) -> str:
        """What the venue said last of an instrument that cannot be, and against which number; "" where it is not of this one."""
        return self.absurdity if instrument == self.absurd_of else ""

    def on_evidence(self, reports, int64_t now_ns) -> int:
        """What the venue said when it was asked: reports as dicts (records.pack_reports), applied as if they had come on the
        stream, but that a price or a fee is believed however strange it looks: two answers of a venue are the truth. Returns how many there were. ValueError where one is no report, before any is applied."""
        return self.on_evidence_rows(pack_reports(reports), now_ns)

    def on_evidence_rows(self, bytes packed, int64_t now_ns) -> int:
        """`on_evidence` with the payload of an EVIDENCE record."""
        cdef Py_ssize_t i, count = PyBytes_GET_SIZE(packed) // sizeof(Report)
        cdef const Report* rows = <const Report*>PyBytes_AS_STRING(packed)
        cdef bint whole = False
        for i in range(count):
            if not -1 <= rows[i].instrument < self.instruments.count:
                raise ValueError(f"report: instrument {rows[i].instrument}: the table has {self.instruments.count}")
        self.now_ns = now_ns
        if count:
            self._record(TAPE_EVIDENCE, 0, NULL, 0, packed, PyBytes_GET_SIZE(packed))
        try:
            self.confirmed = True
            for i in range(count):
                self.on_report(&rows[i])
            self.confirmed = False
            self.evidence += count
            if self.touched_count:
                self._think()
            whole = True
        finally:
            self.confirmed = False
            if not whole:
                self._abandon()
        return count

    def want_cancel(self, uint64_t order_id, int64_t now_ns) -> bool:
        """Cancel an order, again and again until the venue says that it is closed; False where it is closed already."""
        cdef Order* order = self.orders.find(order_id)
        if order == NULL or not self.orders.is_open(order):
            return False
        self._door(DOOR_WANT_CANCEL, order.instrument, order_id, 0, 0, 0, now_ns)
        self.orders.want_cancel(order)
        if not order.cancel_asked or now_ns - order.last_cancel_ns > CANCEL_AGAIN_NS:
            self._cancel(order)
        return True

    def close_absent(self, uint64_t order_id, int64_t now_ns) -> bool:
        """The proof of absence for an order of unknown fate is complete: its size is free. False where its fate is known."""
        cdef Order* order = self.orders.find(order_id)
        if order == NULL or order.state != UNKNOWN or order.filled_lots or order.final_state:
            return False
        self._door(DOOR_ABSENT, order.instrument, order_id, <int64_t>order.epoch, <int64_t>order.sequence, 0, now_ns)
        self.orders.to_state(order, NEVER_EXISTED, now_ns)
        self.equity.recount(order.instrument)
        return True

    def settle(self, uint64_t order_id, int64_t now_ns):
        """The venue was asked about this order and its answer was applied: no doubt is left."""
        cdef Order* order = self.orders.find(order_id)
        if order != NULL and order.doubt:
            self._door(DOOR_SETTLE, order.instrument, order_id, 0, 0, 0, now_ns)
            self.orders.settle(order_id)

    def adopt(self, int instrument, uint64_t epoch, uint64_t sequence, int side, int type, int tif, int64_t price_ticks,
              int64_t size_lots, int64_t filled_lots, bint reduce_only, str venue_id, int64_t now_ns, *, int leg=NET,
              int64_t trigger_ticks=0, int strategy=-1, int64_t unsure_ns=0) -> int:
        """Take in an order of ours that the table does not have. Returns its id here, or the one it has already; 0 where the
        table is full. What it filled before now is not counted again: trades say that. `unsure_ns`: only an earlier run's tape tells
        of it, which intended (or last wrote) it then: it is UNKNOWN, all of it reserved, until the venue's word or the proof of
        absence. ValueError where it cannot be an order."""
        cdef Intent intent
        cdef Order* order
        cdef bytes raw = venue_id.encode()[:40]
        known = self.orders.whose(sequence, epoch)
        if known:
            return known
        if not 0 <= instrument < self.instruments.count or side not in (0, 1) or not 0 <= filled_lots <= size_lots \
                or not 0 <= leg < <int>LEGS:
            raise ValueError(f"adopt: instrument {instrument}, side {side}, leg {leg}, {filled_lots} of {size_lots} lots: "
                             "no such order")
        memset(&intent, 0, sizeof(intent))
        intent.instrument, intent.side, intent.type, intent.tif, intent.strategy = instrument, side, type, tif, strategy
        intent.price_ticks, intent.size_lots, intent.reduce_only, intent.leg = price_ticks, size_lots, reduce_only, leg
        intent.trigger_ticks = trigger_ticks
        self._door(DOOR_ADOPT, instrument, <uint64_t>unsure_ns, <int64_t>epoch, <int64_t>sequence, filled_lots, now_ns, &intent, raw)
        order = self.orders.adopt(&intent, epoch, sequence, filled_lots, unsure_ns, now_ns)
        if order == NULL:
            return 0
        order.venue_id_size = <int32_t>len(raw)
        memcpy(order.venue_id, <const char*>raw, len(raw))
        self._touch(instrument)
        self.equity.recount(instrument)
        return order.id

    def set_position(self, int instrument, lots, cash, int64_t now_ns, *, int leg=NET, cost=None):
        """A correction with evidence, at start or by an operator: the position (of one leg, in hedge mode) is `lots`, with `cash` so
        far (tick * lot, spent is negative), of which `cost` is what the open lots cost. Cost None: all of it, nothing is realised.
        ValueError where there is no such leg, or numbers are beyond any sense."""
        open_cost = (-cash if lots else 0) if cost is None else cost
        self.instruments._check(instrument)
        if not (0 <= leg < <int>LEGS and (lots or not open_cost) and max(abs(lots), abs(cash), abs(open_cost)) <= MONEY_MOST
                and self.account.leg_fits(instrument, leg, lots, cash, open_cost)):
            raise ValueError(f"instrument {instrument}, leg {leg}: {lots} lots that cost {open_cost}: no such position")
        self._door(DOOR_POSITION, instrument, leg, lots, cash, open_cost, now_ns)
        self.account.set_leg(instrument, leg, lots, cash, open_cost, now_ns)
        self.equity.recount(instrument)

    def capital(self, int purse, amount_e8, int64_t now_ns, *, str coin=""):
        """What a purse holds of a coin (1e-8 of it; "" = the account's currency) without the result of what is counted here:
        profit, fees and funding since its position was set. Of more than fits, as much as fits. ValueError where there is no such
        purse or coin."""
        number = self._coin_of(purse, coin)
        amount_e8 = _fitting(amount_e8)
        self._door(DOOR_CAPITAL, purse, 0, amount_e8, number + 1, 0, now_ns)
        self.equity.put_capital(purse, number, amount_e8)

    def flow(self, int purse, amount_e8, int64_t now_ns, *, str coin=""):
        """A deposit, withdrawal or transfer moved a purse's capital (received > 0): neither gain nor loss. Bounds and ValueError as
        `capital`."""
        number = self._coin_of(purse, coin)
        amount_e8 = _fitting(amount_e8)
        self._door(DOOR_FLOW, purse, 0, amount_e8, number + 1, 0, now_ns)
        self.equity.put_flow(purse, number, amount_e8)

    def _coin_of(self, int purse, str coin):
        """Number of a coin that a door names, -1 for the account's currency; a new one gets its number on the tape."""
        self.equity._check_purse(purse)
        if not coin:
            return -1
        known = self.equity.coin_count
        number = self.equity.coin(coin)
        if self.equity.coin_count > known:
            self.set_coin_price(coin, 0, self.now_ns)
        return number

    def funding(self, int instrument, amount_e8, int64_t now_ns):
        """Funding of a perpetual was booked (1e-8 of its quote coin, received > 0). ValueError where it is beyond any sense."""
        self.instruments._check(instrument)
        if abs(amount_e8) > MONEY_MOST or not self.account.funding_fits(instrument, amount_e8):
            raise ValueError(f"instrument {instrument}: funding of {amount_e8} (1e-8 of a coin) cannot be")
        self._door(DOOR_FUNDING, instrument, 0, amount_e8, 0, 0, now_ns)
        self.account.on_funding(instrument, amount_e8)
        self.equity.recount(instrument)

    def restore_peak(self, int64_t peak_e8, int64_t day_e8, int64_t day, int64_t now_ns):
        """Highest equity so far, and equity at the start of `day` (days since 1970, UTC), as an earlier run knew them. ValueError
        where the day is later than today."""
        if not 0 <= day <= now_ns // 86_400_000_000_000:
            raise ValueError(f"day {day}: is not over or under way")
        self._door(DOOR_PEAK, 0, 0, peak_e8, day_e8, day, now_ns)
        self.equity.put_peak(peak_e8, day_e8, day)

    def set_coin_price(self, str coin, price_e8, int64_t now_ns) -> int:
        """What one of a coin is worth (1e-8 of the account's currency, 0 = not known any more): fees paid in it, capital held in it
        and instruments quoted in it are valued anew. A price that does not fit is as good as none. Returns its number. ValueError as
        `Equity.set_coin`."""
        cdef int64_t name[2]
        cdef bytes raw = coin.encode()[:15]
        if price_e8 < 0:
            raise ValueError(f"coin {coin}: a price below zero")
        price_e8 = price_e8 if price_e8 <= MONEY_MOST else 0
        number = self.equity.coin(coin)
        memset(name, 0, sizeof(name))
        memcpy(name, <const char*>raw, len(raw))
        self._door(DOOR_COIN, number, 0, price_e8, name[0], name[1], now_ns)
        self.equity.put_coin(number, price_e8)
        return number

    def foreign(self, int instrument, buy_lots, sell_lots, int64_t now_ns):
        """What open orders of others on this account could still do to the position. More than any limit is as good as the most."""
        self.instruments._check(instrument)
        buy_lots, sell_lots = min(buy_lots, MOST), min(sell_lots, MOST)
        exposure = &self.orders.exposure[instrument]
        if exposure.foreign_buy_lots != buy_lots or exposure.foreign_sell_lots != sell_lots:
            self._door(DOOR_FOREIGN, instrument, 0, buy_lots, sell_lots, 0, now_ns)
            exposure.foreign_buy_lots, exposure.foreign_sell_lots = buy_lots, sell_lots
            self.equity.recount(instrument)

    def halt(self, int instrument, int why, int level, int64_t now_ns):
        """Reduce-only (1) or stop (2) for HaltReason `why`; at level 2 everything open of ours on it is cancelled. ValueError as
        `RiskGate.halt`."""
        cdef int i
        before = self.risk.guards[instrument].stop if 0 <= instrument < self.instruments.count else 0
        self.risk.halt(instrument, why, level)
        self._door(DOOR_HALT, instrument, 0, why, level, 0, now_ns)
        self.halted += 1
        self._let_cross(instrument)
        if level == 2 and not before:
            for i in range(self.orders.capacity):
                if self.orders.rows[i].instrument == instrument and self._is_in_the_way(&self.orders.rows[i]):
                    self.orders.want_cancel(&self.orders.rows[i])   # what protects or closes the position goes on

    def resume(self, int instrument, int why, int64_t now_ns):
        """The reason for a halt is gone. A stop that fired there may fire again, and nothing is closed for it any more; no new
        risk for the cool-down behind it."""
        self.risk.resume(instrument, why)
        if why == 0 or why == HALT_FILTER:
            self.filter_refusals[instrument & 255] = 0      # a person looked: counted anew
        self._door(DOOR_RESUME, instrument, 0, why, 0, 0, now_ns)
        self._let_cross(instrument)
        if why and self.stops.release(instrument, why):
            self.risk.cool(instrument, now_ns + self.stops.cooldown_ns)

    cdef int _let_cross(self, int instrument) except -1:
        """Where the venue matches nothing, a book that crosses is whole all the same: no reason to ask for it anew."""
        cdef Book book = <Book>self.books[instrument]
        book.may_cross = self.risk.guards[instrument].stop & (1 << HALT_PHASE | 1 << HALT_VENUE) != 0
        return 0

    def reconciled(self, int instrument, int64_t now_ns):
        """A complete pass over this instrument agreed with the venue."""
        self.instruments._check(instrument)
        self._door(DOOR_RECONCILED, instrument, 0, 0, 0, 0, now_ns)
        self.risk.guards[instrument].reconciled_ns = now_ns
        self.stops.shields.agree(instrument, now_ns)
        self.equity.settle(instrument)

    def venue_clock(self, int market, int64_t offset_ns, int64_t error_ns, int64_t now_ns):
        """The venue's clock minus ours, as measured: what order frames of its lines are stamped with from now on."""
        cdef Line row
        if not 0 <= market < 8:
            raise ValueError(f"market {market}: there is no such market")
        self._door(DOOR_CLOCK, market, 0, offset_ns, error_ns, 0, now_ns)
        self.risk.markets[market].clock_ns = now_ns
        for row in self.lines:
            if row.wire.market == market:
                row.wire.clock(offset_ns)

    def private_proven(self, int market, bint ok, int64_t now_ns):
        """The private stream of a market is proven to tell everything (or is in doubt)."""
        if not 0 <= market < 8:
            raise ValueError(f"market {market}: there is no such market")
        if bool(self.risk.markets[market].private_ok) != ok:
            self._door(DOOR_PRIVATE, market, 0, ok, 0, 0, now_ns)
            self.risk.markets[market].private_ok = ok

    def pause(self, int market, int64_t until_ns, int64_t now_ns):
        """The venue turned a request away and wants none before `until_ns` (our clock): no new order and no amend leaves before.
        Cancels do."""
        if not 0 <= market < 8:
            raise ValueError(f"market {market}: there is no such market")
        if until_ns > self.risk.budgets.blocked_ns[market]:
            self._door(DOOR_PAUSE, market, 0, until_ns, 0, 0, now_ns)
            self.risk.budgets.block(market, until_ns)

    def withdraw(self, uint64_t order_id, int64_t now_ns) -> bool:
        """Cancel one order once from the cold side (shutdown, an operator); False where it is not open or was not written."""
        cdef Order* order = self.orders.find(order_id)
        cdef int64_t asked
        if order == NULL or not self.orders.is_open(order):
            return False
        self._door(DOOR_WITHDRAW, order.instrument, order_id, 0, 0, 0, now_ns)
        asked = order.cancel_asked
        self._cancel(order)
        return order.cancel_asked > asked

    def latch(self, int why, bint on, int64_t now_ns):
        """Set or release a Latch: nothing new is sent while one holds. It is on the tape, so that the next start holds it too."""
        if on:
            self.risk.latch(why)
        else:
            self.risk.release(why)
            self._cool(why, now_ns)
        self._door(DOOR_LATCH, 0, 0, why, on, 0, now_ns)

    def quiet(self, int64_t now_ns):
        """The node ends: from here on strategies are neither told nor asked anything. Fills still count, cancels go on."""
        self._door(DOOR_STOPPING, -1, 0, 0, 0, 0, now_ns)
        self.stopping = True

    # ---- parameters: what the cold side sets on a running engine, on the tape as JSON ----

    def configure(self, int strategy, dict values, int64_t now_ns):
        """Parameters of a strategy (`Strategy.configure`). ValueError where it takes none such; then nothing is recorded."""
        self._strategy(strategy)
        self.set_param({"do": "configure", "strategy": strategy, "values": values}, now_ns)

    def refresh(self, int instrument, str tick, str lot, dict told, int64_t now_ns) -> bool:
        """A venue's filters as they are now: `Instruments.refresh`, which says what False means."""
        return self.set_param({"do": "filters", "instrument": instrument, "tick": tick, "lot": lot, "told": told}, now_ns)

    def remember(self, list trades, int64_t now_ns):
        """Trades that an earlier run counted, (instrument, side, hi, lo) each: they are not counted again."""
        cdef int i
        for i in range(0, len(trades), REMEMBERED):
            self.set_param({"do": "remember", "trades": trades[i:i + REMEMBERED]}, now_ns)

    def set_param(self, dict told, int64_t now_ns):
        """Carry out what a PARAM record tells, and put it on the tape. ValueError where it cannot be; then it is not."""
        if told.get("do") not in PARAMS:
            raise ValueError(f"parameter {told.get('do')!r}: must be one of {', '.join(PARAMS)}")
        cdef bytes raw = json.dumps(told, separators=(",", ":")).encode()
        answer = PARAMS[told["do"]](self, told)
        self.now_ns = now_ns
        self._record(TAPE_PARAM, 0, NULL, 0, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
        return answer

    cdef int _cool(self, int why, int64_t now_ns) except -1:
        """An operator took back a latch: the stops of everything may fire again, and no new risk for the cool-down."""
        cdef int i
        if why not in (0, <int>LATCH_STOP) or not self.stops.release(-1, HALT_STOP):
            return 0
        for i in range(self.instruments.count):
            self.risk.cool(i, now_ns + self.stops.cooldown_ns)
        return 0

    def flatten(self, int instrument, int why, int64_t now_ns):
        """Close the position of one instrument (-1: of all): everything resting on it is cancelled, nothing new is taken."""
        cdef int i
        if instrument != -1:
            self.instruments._check(instrument)
        self._door(DOOR_FLATTEN, instrument, 0, why, 0, 0, now_ns)
        for i in range(self.instruments.count):
            if instrument in (-1, i):
                self._hold(i, why, 2)
        self.stops.flatten(instrument, why, now_ns)
        self._act()
        self._clear(1 << why)

    def set_limits(self, bytes packed, int64_t now_ns) -> list:
        """Other limits from here on, all of them at once (LimitTable.pack): on the tape, in force before the next intent, and what
        rests beyond them is cancelled, again and again until it is closed. Returns the ids of those. ValueError where they are of
        another layout or instrument table; then nothing changed."""
        cdef Order* order
        packed = self.risk.stamped(packed)
        self.now_ns = now_ns
        self._record(TAPE_LIMITS, 0, NULL, 0, PyBytes_AS_STRING(packed), PyBytes_GET_SIZE(packed))
        self._door(DOOR_LIMITS, 0, 0, self.risk.limits_version + 1, 0, 0, now_ns)
        self.risk.unpack(packed)
        beyond = self.risk.violations(now_ns)
        for order_id in beyond:
            order = self.orders.find(order_id)
            self.orders.want_cancel(order)
            if not order.cancel_asked:
                self._cancel(order)
        return beyond

    def restore_day_trades(self, int64_t count, int64_t day, int64_t now_ns):
        """Day trades of earlier runs, of a day since 1970. ValueError where there is no such day."""
        if count < 0 or not 0 <= day < 10**6:
            raise ValueError(f"{count} day trades on day {day}: is no count of a day since 1970")
        self._door(DOOR_DAY_TRADES, 0, 0, count, day, 0, now_ns)
        self.risk.restore_day_trades(count, day)

    def restore_counts(self, int64_t orders, int64_t fills, int64_t day, int64_t now_ns):
        """Orders (amends among them) and fills of earlier runs on this day since 1970. ValueError where one is below 0."""
        if orders < 0 or fills < 0:
            raise ValueError(f"{orders} orders and {fills} fills: cannot be")
        self._door(DOOR_DAY_COUNTS, 0, 0, orders, fills, day, now_ns)
        self.risk.throttle.restore_counts(orders, fills, day, now_ns)

    def restore_ratio(self, int64_t cancels, int64_t fills, int64_t at_ns, int64_t now_ns):
        """Cancels and fills of earlier runs about `at_ns`: they count as long as those of this run. ValueError where one is below 0,
        or it is yet to come."""
        if cancels < 0 or fills < 0 or at_ns > now_ns:
            raise ValueError(f"{cancels} cancels and {fills} fills at {at_ns}: cannot be")
        self._door(DOOR_RATIO_COUNTS, 0, 0, cancels, fills, at_ns, now_ns)
        self.risk.throttle.restore_ratio(cancels, fills, at_ns, now_ns)

    def restore_opened(self, int instrument, int leg, int64_t day, int64_t now_ns):
        """A leg that an earlier run made larger on this day since 1970, and did not reduce since: a reduction on the same day is a
        day trade. ValueError where there is no such leg."""
        self.instruments._check(instrument)
        if not 0 <= leg < <int>LEGS:
            raise ValueError(f"leg {leg}: there is no such leg")
        self._door(DOOR_OPENED, instrument, leg, day, 0, 0, now_ns)
        self.risk.throttle.restore_opened(instrument, leg, day)

    def set_lease(self, int64_t until_ns, int64_t now_ns):
        """This node may send new orders until then (-1: nobody asks for a lease)."""
        self._door(DOOR_LEASE, 0, 0, until_ns, 0, 0, now_ns)
        self.risk.lease_ns = until_ns

    def stood_still(self, int64_t gap_ns, int64_t now_ns, bint proofs=True):
        """This process did not run for so long (stopped, swapped out, a frozen machine, a loop that was busy): what it knows is
        old. Books are stale until a message comes that its venue wrote after that: what lay in the socket is no fresher
        for being read now. With `proofs`, also no new risk before private streams, the venues' clocks and a
        reconciliation are proven again."""
        cdef Book book
        cdef int i
        self._door(DOOR_GAP, 0, 0, gap_ns, proofs, 0, now_ns)
        self.thawed_ns = now_ns
        for book in self.books:
            self.thawing[book.instrument] = True
            book.changed_ns = NEVER_NS
        if not proofs:
            return
        for i in range(8):
            self.risk.markets[i].private_ok = False
            self.risk.markets[i].clock_ns = 0
        for i in range(self.instruments.count):
            self.risk.guards[i].reconciled_ns = 0
            self.stops.shields.agree(i, 0)

    def _orphan(self, int instrument):
        """No line carries this book any more."""
        cdef Book book = self.books[instrument]
        if book.state == SYNCED:
            book.invalidate()
        elif book.state != EMPTY:
            book.reset()
        self.asked_ns[instrument] = 0
        self._lose(instrument)

    # ---- steps 2 to 4: what decoders push ----

    cdef int on_depth(self, const DepthHead* head, const Level* bids, const Level* asks) except -1:
        cdef int instrument = head.instrument
        cdef Book book = <Book>self.books[instrument]
        self.frames[instrument] += 1
        if not self._follow(head):
            return 0
        cdef Stand stand = stand_of(book)
        cdef DepthHead spliced
        cdef int said = self.arbiter.admit(self.line, head, bids, asks, &stand, self.now_ns)
        if said == STUCK:
            book.invalidate()
            self._ask(instrument, "only updates that are behind the book")
        elif said == LOST:
            self._give_up(book)
        elif said == SPLICE:
            spliced = head[0]
            spliced.prev_id = book.last_id
            self._follow_on(book, self.line, &spliced, bids, asks, self.now_ns)
        elif said == PASS:
            self._follow_on(book, self.line, head, bids, asks, self.now_ns)
        return 0

    cdef int64_t newest(self, int instrument) noexcept:
        cdef Book book = <Book>self.books[instrument]
        return book.last_id if book.state == SYNCED else -1

    cdef bint is_copy(self, const DepthHead* head) except -1:
        """Asked by a decoder before it reads the levels: is this a copy of what the book has?"""
        cdef Book book = <Book>self.books[head.instrument]
        cdef Stand stand
        if self.market_lines < 2 or self.feed_depth[head.instrument] != head.depth:
            return False
        stand = stand_of(book)
        if not self.arbiter.is_copy(self.line, head, &stand, self.now_ns):
            return False
        self.frames[head.instrument] += 1
        return True

    cdef int _follow_on(self, Book book, int line, const DepthHead* head, const Level* bids, const Level* asks,
                        int64_t came_ns) except -1:
        """A message that continues the book, and whatever waited for it."""
        cdef Held* row
        cdef Stand stand
        self._apply(book, head, bids, asks)
        stand = stand_of(book)
        self.arbiter.passed(line, head, &stand, came_ns, self.now_ns)
        if not self.arbiter.waits(book.instrument):
            return 0
        row = self.arbiter.next_held(book.instrument, &stand, self.now_ns)
        while row != NULL:
            try:
                self._apply(book, &row.head, held_bids(row), held_asks(row))
                stand = stand_of(book)
                self.arbiter.passed(row.line, &row.head, &stand, row.since_ns, self.now_ns)
            finally:
                free(row)
            row = self.arbiter.next_held(book.instrument, &stand, self.now_ns)
        if self.arbiter.is_overdue(book.instrument, &stand, self.now_ns):
            self._give_up(book)
        return 0

    cdef int _give_up(self, Book book) except -1:
        """A hole that no line can fill: a gap. Where the book buffers, it goes on from what lies behind the hole."""
        cdef Held* row = self.arbiter.give_up(book.instrument, book.by_request or book.suspended)
        if row == NULL:
            book.invalidate()
            self._ask(book.instrument, "gap")
            return 0
        try:
            self._follow_on(book, row.line, &row.head, held_bids(row), held_asks(row), row.since_ns)
        finally:
            free(row)
        return 0

    cdef int _holes(self) except -1:
        """Time passed, or a line went: who waits in vain?"""
        cdef Book book
        cdef Stand stand
        for book in self.books:
            stand = stand_of(book)
            if self.arbiter.is_overdue(book.instrument, &stand, self.now_ns):
                self._give_up(book)
        return 0

    cdef int _apply(self, Book book, const DepthHead* head, const Level* bids, const Level* asks) except -1:
        cdef int instrument = head.instrument
        cdef int applied = book.on_depth(head, bids, asks, self.now_ns)
        if self.thawing[instrument]:
            self._thaw(book, head.event_ns)
        elif head.event_ns and book.changed_ns == self.now_ns:
            self._date(book, head.event_ns)
        if applied == APPLIED and book.state == SYNCED:
            self.asked_ns[instrument] = 0
            if head.checksum and not self._verify(book, head):
                book.invalidate()
                self._ask(instrument, "checksum")
            else:
                self._touch(instrument)
        elif applied == GAPPED:
            if book.crossed() and not self.asked_ns[instrument] and self.ask_relist is not None:
                self.ask_relist(self.instruments.rows[instrument].market)   # an auction, perhaps
            self._ask(instrument, "gap")
        elif applied == RESEED:
            self.asked_ns[instrument] = 0
            self._ask(instrument, "snapshot too old")
        elif book.state != SYNCED and not book.loaded and not self.asked_ns[instrument]:
            self._ask(instrument, "no snapshot yet")
        return 0

    cdef int _thaw(self, Book book, int64_t event_ns) noexcept:
        """Is this the first message that its venue wrote after this process went on? Before it, the book stays stale. Read
        on the venue's clock, so that a slow way does not matter; a message without a time proves nothing."""
        if event_ns and event_ns - (<Line>self.line_rows[self.line]).wire.offset_ns >= self.thawed_ns - FRESH_NS:
            self.thawing[book.instrument] = False
        else:
            book.changed_ns = NEVER_NS
        return 0

    cdef int _date(self, Book book, int64_t event_ns) noexcept:
        """A message that was long on its way makes a book no fresher than its venue wrote it: a line that cannot carry its traffic
        tells the past, without a gap. Only where the venue's clock is known."""
        cdef Wire wire = (<Line>self.line_rows[self.line]).wire
        if event_ns - wire.offset_ns < self.now_ns - FRESH_NS and self.risk.markets[wire.market].clock_ns:
            book.changed_ns = event_ns - wire.offset_ns
        return 0

    def is_fresh(self, int instrument, int64_t updates) -> bool:
        """Is there a book that may be traded on, and was it told of more often than so many times (`books[instrument].updates`)?"""
        self.instruments._check(instrument)
        cdef Book book = <Book>self.books[instrument]
        return book.usable() and book.updates > updates and not self._is_stale(book)

    def renew(self, int instrument):
        """Ask for the book anew, where its stream begins with one: a quiet market would never say whether it is still right."""
        self.instruments._check(instrument)
        if self.ask_resync is not None and not (<Book>self.books[instrument]).by_request:
            self.ask_resync(instrument, "it trades again")

    cdef int _follow(self, const DepthHead* head) noexcept nogil:
        """Does the book follow the channel that this message came on?"""
        if self.feed_depth[head.instrument] < 0:
            self.feed_depth[head.instrument] = head.depth
        return self.feed_depth[head.instrument] == head.depth

    cdef int _verify(self, Book book, const DepthHead* head) except -1:
        """The venue's checksum over the top of the book; True where it agrees or the venue has none."""
        cdef Level bids[25]
        cdef Level asks[25]
        cdef int32_t ours = 0
        cdef int n_bids = book.top(0, bids, CHECKSUM_DEPTH), n_asks = book.top(1, asks, CHECKSUM_DEPTH)
        cdef Line row = <Line>self.line_rows[self.line]
        if not row.wire.checksum(head.instrument, bids, n_bids, asks, n_asks, &ours):
            return True
        self.checksums += 1
        self.checksums_bad += ours != head.checksum
        return ours == head.checksum

    cdef int on_quote(self, const Quote* quote) except -1:
        cdef Quote* last = &self.quotes[quote.instrument]
        self.frames[quote.instrument] += 1
        if quote.update_id <= last.update_id and quote.event_ns <= last.event_ns:
            return 0                    # the other line's copy
        last[0] = quote[0]
        if (<Book>self.books[quote.instrument]).by_request:    # only Binance numbers both alike
            (<Book>self.books[quote.instrument]).on_quote(quote)
        return 0

    cdef int on_trade(self, const Trade* trade) except -1:
        cdef Strategy strategy
        cdef Tell tell
        if not self._new_trade(trade):
            return 0
        self.trades[trade.instrument] += 1
        tell.what, tell.instrument, tell.trade = TELL_TRADE, trade.instrument, trade
        for strategy in self.strategies:
            self._call(strategy, &tell)
        return 0

    cdef bint _new_trade(self, const Trade* trade) noexcept nogil:
        """Not a copy from another line: not among the last 64 of its instrument."""
        cdef TradeSeen* seen = &self.recent_trades[trade.instrument]
        cdef int i
        if self.market_lines > 1:
            for i in range(64):
                if seen.lo[i] == trade.id_lo and seen.hi[i] == trade.id_hi + 1:
                    return False
        seen.at = (seen.at + 1) & 63
        seen.lo[seen.at], seen.hi[seen.at] = trade.id_lo, trade.id_hi + 1
        return True

    cdef int on_mark(self, const Mark* mark) except -1:
        cdef Mark* last = &self.marks[mark.instrument]
        if mark.present & 1:
            last.mark_e8 = mark.mark_e8
        if mark.present & 2:
            last.index_e8 = mark.index_e8
        if mark.present & 4:
            last.funding_e8 = mark.funding_e8
        if mark.present & 8:
            last.next_funding_ns = mark.next_funding_ns
        if mark.present & 16:
            last.last_e8 = mark.last_e8
        last.present |= mark.present
        last.event_ns = mark.event_ns
        self.reference.on_mark(mark, self.now_ns)
        if mark.present & 12:
            self.risk.on_funding(mark.instrument, last.funding_e8, last.next_funding_ns)
        return self._value(mark.instrument)

    cdef int on_report(self, const Report* report) except -1:
        cdef Order* order = self.orders.locate(report)
        cdef Report odd
        cdef int64_t lots
        if report.kind == REPORT_FILL and report.leg < 0 and report.fee_is_quote < 0 and self._is_nameless(report, order):
            return self._record(TAPE_REPORT, self.line, NULL, 0, <const char*>report, sizeof(Report))
        crash_at(FILL_PARSED if report.kind == REPORT_FILL else ACK_PARSED)
        if self._is_absurd(report, order):
            odd = report[0]
            odd.kind = REPORT_ODD
            self._refute(report, order.instrument if order != NULL else report.instrument)
            report = &odd
        elif report.kind == REPORT_ODD:
            self.absurd_of = -1             # the last one is of another kind
        lots = self.orders.apply(order, report, self.now_ns)
        if self.orders.fee_came and (order != NULL or 0 <= report.instrument < self.instruments.count):
            self._book_fee(report, order)
        if order != NULL:
            self._touch(order.instrument)
        if report.code or report.kind == REPORT_ODD or report.nature:
            self._refusal(report, order)
        elif (order != NULL and (report.kind == REPORT_LIVE or report.kind == REPORT_FILL)
                and order.id > self.filter_refused[order.instrument & 255]):
            self.filter_refusals[order.instrument & 255] = 0    # a later order passed: not in a row
        if lots:
            self._book_fill(report, order, lots)
        else:
            crash_at(ACK_APPLIED)
            self._record(TAPE_REPORT, self.line, NULL, 0, <const char*>report, sizeof(Report))
        while order != NULL and self.orders.take_bound(order, self.now_ns):
            self._tell(order, self.orders.bound.price_ticks, self.orders.bound.lots)
        return 0

    cdef bint _is_absurd(self, const Report* report, const Order* order) noexcept nogil:
        """Does the venue say what cannot be? More lots than an order of ours ever asked for or may ask for, a fill of nothing, money
        that does not fit. The venue broke its protocol, not we: the symbol is held and its lists are asked for, none of the
        numbers counts, and everything else goes on. What only looks like a lie is believed when the lists say it, too."""
        cdef int instrument = order.instrument if order != NULL else report.instrument
        cdef int64_t most = MOST
        if not 0 <= instrument < self.instruments.count:
            return False
        if order != NULL and self.risk.limits[instrument].allowed:
            most = max(max(order.size_lots, order.widest_lots), self.risk.limits[instrument].max_size_lots)
        if report.filled_lots > most:
            return self._cannot(ABSURD_TOLD, report.filled_lots, most)
        if report.order_lots > most:
            return self._cannot(ABSURD_ORDER, report.order_lots, most)
        if report.order_ticks > MOST:
            return self._cannot(ABSURD_TERMS, report.order_ticks, MOST)
        if report.kind != REPORT_FILL:
            return False
        if report.size_lots > most:
            return self._cannot(ABSURD_ASKED, report.size_lots, most)
        return self._is_absurd_fill(report, order, instrument)

    cdef bint _is_absurd_fill(self, const Report* report, const Order* order, int instrument) noexcept nogil:
        cdef int side = order.side if order != NULL else report.side
        cdef int leg = report.leg if 0 <= report.leg < <int>LEGS else order.leg if order != NULL else NET
        if not 0 < report.price_ticks <= MOST:
            return self._cannot(ABSURD_PRICE, report.price_ticks, MOST)
        if report.size_lots < 1:
            return self._cannot(ABSURD_LOTS, report.size_lots, 1)
        if not self.confirmed and self._is_absurd_price(report, order, instrument):
            return True
        if (self.instruments.notional_e8(instrument, report.price_ticks, report.size_lots) < 0
                or not self.account.fits(instrument, side, leg, report.price_ticks, report.size_lots)):
            return self._cannot(ABSURD_MONEY, report.size_lots, report.price_ticks)
        return self._is_absurd_fee(report, instrument)

    cdef bint _is_absurd_price(self, const Report* report, const Order* order, int instrument) noexcept nogil:
        """Far from the market; of a limit order, far beyond every limit that it ever had, for the notice of a fill may come behind
        the amend that followed it. A loss that is made of such a price would fire a stop."""
        cdef int64_t price = report.price_ticks, widest
        if self._is_far_from_market(report, instrument, <Book>self.risk.book_rows[instrument]):
            return True
        if order == NULL or order.type != LIMIT or order.widest_ticks <= 0:
            return False
        widest = order.widest_ticks
        if (price - widest if order.side == BUY else widest - price) > widest // BEYOND:
            return self._cannot(ABSURD_LIMIT, price, widest)
        return False

    cdef bint _is_far_from_market(self, const Report* report, int instrument, Book book) noexcept nogil:
        """Ten times, or a tenth of, its own book and the reference around it. Without a book that can be used now nobody knows:
        one mark, or what a book was before, is no market."""
        cdef Level bid, ask
        cdef int64_t low2 = 0, high2 = 0, price2 = 2 * report.price_ticks, mid2
        if (book.state != SYNCED or self.now_ns - book.changed_ns > self.risk.limits[instrument].stale_ns
                or book.bid.best < 0 or book.ask.best < 0 or book.crossed()):
            return False
        book.best_bid(&bid)
        book.best_ask(&ask)
        mid2 = bid.price_ticks + ask.price_ticks
        self.reference.around(instrument, mid2, self.now_ns, &low2, &high2)
        if price2 // FAR_TIMES > max(high2, mid2):
            return self._cannot(ABSURD_MARKET, report.price_ticks, max(high2, mid2) >> 1)
        if min(low2, mid2) // FAR_TIMES > price2:
            return self._cannot(ABSURD_MARKET, report.price_ticks, min(low2, mid2) >> 1)
        return False

    cdef bint _is_absurd_fee(self, const Report* report, int instrument) noexcept nogil:
        """Paid or received, a fee is less than what was traded; of one in another coin, that its sum holds it must do."""
        cdef int64_t fee = report.fee_e8 if report.fee_e8 >= 0 else -report.fee_e8, traded, lots
        if not self.confirmed and report.fee_is_quote == 1:
            traded = self.instruments.notional_e8(instrument, report.price_ticks, report.size_lots)
            if fee > traded:
                return self._cannot(ABSURD_FEE, report.fee_e8, traded)
        if not self.confirmed and report.fee_is_quote == 2:
            lots = lots_up(&self.instruments.rows[instrument], fee)
            if lots > report.size_lots:
                return self._cannot(ABSURD_FEE, lots, report.size_lots)
        if not self.account.fee_fits(instrument, report.fee_e8, report.fee_is_quote, report.fee_coin):
            return self._cannot(ABSURD_FEES, report.fee_e8, 0)
        return False

    cdef bint _cannot(self, Absurd what, int64_t value, int64_t limit) noexcept nogil:
        """True, and which number it is, against which."""
        self.absurd_what, self.absurd_value, self.absurd_limit = what, value, limit
        return True

    cdef int _refute(self, const Report* report, int instrument) except -1:
        """Say what cannot be; the venue's own text is not repeated."""
        why = ABSURDITIES[<int>self.absurd_what].format(value=self.absurd_value, limit=self.absurd_limit)
        self.absurd += 1
        self.absurd_of = instrument
        self.absurdity = f"{ReportKind(report.kind).name} of {report.size_lots} lots at {report.price_ticks}: {why}; not counted"
        return 0

    cdef bint _is_nameless(self, const Report* report, const Order* order) noexcept:
        """In hedge mode, the fast notice of a fill of nobody's order here: which leg it is of, only the full one will say."""
        if not 0 <= report.instrument < self.instruments.count:
            return False
        return self.risk.markets[self.instruments.rows[report.instrument].market].hedge and order == NULL

    cdef int _book_fill(self, const Report* report, const Order* order, int64_t lots) except -1:
        """A new trade, ours or another's on this account: the position counts it, once."""
        cdef FillRow row
        cdef int instrument = order.instrument if order != NULL else report.instrument
        cdef int side = order.side if order != NULL else report.side
        cdef Position* held = &self.account.rows[instrument]
        cdef int leg = report.leg if 0 <= report.leg < <int>LEGS else order.leg if order != NULL else NET
        cdef int64_t before = held.legs[leg].lots
        self.account.on_fill(instrument, side, leg, report.price_ticks, lots, report.event_ns or self.now_ns)
        self._book_fee(report, order)
        if (order != NULL and self.risk.on_fill(order.strategy, instrument, leg, side, _moved(before, held.legs[leg].lots),
                                                self._made_ns(report, order), self.now_ns)
                and order.strategy < len(self.strategies)):
            self.strategy_off(order.strategy, <int>OFF_REPEAT, self.now_ns)
        memset(&row, 0, sizeof(row))
        row.report = report[0]
        row.report.instrument, row.report.side = instrument, side
        row.position_lots, row.cash, row.leg = held.lots, held.cash, leg
        row.cost = held.legs[<int>NET].cost + held.legs[<int>LONG_LEG].cost + held.legs[<int>SHORT_LEG].cost
        row.leg_lots, row.leg_cost = held.legs[leg].lots, held.legs[leg].cost
        row.leg_cash = held.legs[leg].realised - held.legs[leg].cost
        crash_at(FILL_APPLIED)
        self._record(TAPE_FILL, self.line, NULL, 0, <const char*>&row, sizeof(row))
        crash_at(FILL_JOURNALED)
        self._touch(instrument)
        return self._tell(order, report.price_ticks, lots) if order != NULL else 0

    cdef int64_t _made_ns(self, const Report* report, const Order* order) noexcept nogil:
        """When a fill was made, as the venue says where that can be: not before its order, and not in the future. What counts by
        days goes by it: its notice may come behind midnight."""
        cdef bint ours = order.epoch == self.orders.epoch and order.sequence == order.id
        cdef int64_t oldest = order.intent_ns if ours else self.now_ns - LATE_NS    # one adopted may be older than it is here
        return report.event_ns if 0 < report.event_ns and oldest <= report.event_ns <= self.now_ns else self.now_ns

    cdef int _book_fee(self, const Report* report, const Order* order) except -1:
        """The fee of a fill, in whatever coin; one that came behind its fill touches the instrument by itself."""
        cdef int instrument = order.instrument if order != NULL else report.instrument
        self.account.on_fee(instrument, report.fee_e8, report.fee_is_quote, report.fee_coin)
        return self._touch(instrument)

    cdef int _tell(self, const Order* order, int64_t price_ticks, int64_t lots) except -1:
        """Remember a fill until strategies can be told."""
        if self.filled_count == FILLS_MAX:
            self._tell_fills()
        self.filled[self.filled_count] = Filled(order.strategy, order.instrument, order.side, order.id, price_ticks, lots)
        self.filled_count += 1
        return 0

    cdef int _refusal(self, const Report* report, const Order* order) except -1:
        """What an error or an odd word means beyond the order that got it."""
        cdef int instrument = order.instrument if order != NULL else report.instrument
        cdef int market
        if not 0 <= instrument < self.instruments.count:
            return 0
        market = self.instruments.rows[instrument].market
        if report.kind == REPORT_ODD:
            self.halt(instrument, HALT_ODD, 1, self.now_ns)
        elif report.kind == REPORT_FILL:
            if report.nature == LIQUIDATION or report.nature == ADL:
                self._stop_market(market, HALT_LIQUIDATION, 2)
            elif report.nature == SETTLEMENT and self.ask_relist is not None:
                self.ask_relist(market)         # what trades no more, the list says
        elif report.group == GROUP_ACCESS:
            self._stop_market(market, HALT_ACCESS, 2)
        elif report.group == GROUP_CLOCK:
            self.risk.markets[market].clock_ns = 0          # measure again before anything else leaves
        elif report.group == GROUP_LIMIT:
            self.risk.budgets.block(market, self.now_ns + LIMITED_NS)
        elif report.group == GROUP_AUCTION or report.group == GROUP_POST_PHASE:
            self._phase(instrument, 2 if report.group == GROUP_AUCTION else 1)
        elif report.group == GROUP_MARKET and report.kind == REPORT_REJECT:
            if self.ask_relist is not None and not (self.risk.guards[instrument].stop | self.risk.guards[instrument].reduce) >> HALT_VENUE & 1:
                self.ask_relist(market)         # what it is now, the list says
            self.halt(instrument, HALT_VENUE, 1, self.now_ns)
        elif report.group == GROUP_FILTER and report.kind == REPORT_REJECT:
            self.filter_refusals[instrument & 255] += 1
            self.filter_refused[instrument & 255] = order.id if order != NULL else 0
            if self.filter_refusals[instrument & 255] == 1 and self.ask_relist is not None:
                self.ask_relist(market)         # our rules are old: the venue has newer ones
            if self.filter_refusals[instrument & 255] == FILTER_REFUSALS:
                self.halt(instrument, HALT_FILTER, 1, self.now_ns)
        return 0

    cdef int _phase(self, int instrument, int level) except -1:
        """The venue refused something for its phase: what that is, the list says, or the next that tries. Once until it is over."""
        cdef Guard* guard = &self.risk.guards[instrument]
        if (guard.stop if level == 2 else guard.reduce) >> HALT_PHASE & 1:
            return 0
        if self.ask_relist is not None:
            self.ask_relist(self.instruments.rows[instrument].market)
        self.halt(instrument, HALT_PHASE, level, self.now_ns)
        return 0

    cdef int _stop_market(self, int market, int why, int level) except -1:
        cdef int i
        for i in range(self.instruments.count):
            if self.instruments.rows[i].market == market and not self.risk.guards[i].stop >> why & 1:
                self.halt(i, why, level, self.now_ns)
        return 0

    cdef int on_budget(self, const Budget* budget) except -1:
        """The venue's own count of our requests."""
        cdef Line row = <Line>self.line_rows[self.line]
        return self.risk.budgets.on_budget(budget, row.wire.offset_ns, self.now_ns)

    cdef int _touch(self, int instrument) noexcept nogil:
        cdef int i
        for i in range(self.touched_count):
            if self.touched[i] == instrument:
                return 0
        if self.touched_count < TOUCHED_MAX:
            self.touched[self.touched_count] = instrument
            self.touched_count += 1
        return 0

    cdef int _ask(self, int instrument, str reason) except -1:
        """A book cannot be used: ask the cold side for a fresh snapshot, once until it comes or time runs out."""
        self._lose(instrument)
        if self.asked_ns[instrument]:
            return 0
        self.asked_ns[instrument] = max(self.now_ns, 1)
        self.resync_asks += 1
        if self.ask_resync is not None:
            self.ask_resync(instrument, reason)
        return 0

    # ---- steps 5 to 9 ----

    cdef int _think(self) except -1:
        """Once a frame, after all its levels and reports: let strategies look, then deal with what they propose."""
        cdef int i
        cdef int count = self.touched_count
        cdef Strategy strategy
        cdef Tell tell
        self.touched_count = 0
        for i in range(count):              # what it is worth, and stops: before anybody thinks of new risk
            self._value(self.touched[i])
        self.risk.watched_ns = self.now_ns
        self._act()
        self._tell_fills()
        self._tell_lost()
        if self.stopping:                   # fills still count; what is proposed does not
            for strategy in self.strategies:
                strategy.proposed = 0
            return 0
        for i in range(count):
            if not (<Book>self.books[self.touched[i]]).usable():
                continue
            self.decisions += 1
            self.followed[self.touched[i]] = True
            tell.what, tell.instrument = TELL_BOOK, self.touched[i]
            for strategy in self.strategies:
                self._call(strategy, &tell)
                if strategy.proposed:
                    self._drain(strategy)
        for strategy in self.strategies:    # a cancel in answer to a fill must not wait for the book
            if strategy.proposed:
                self._drain(strategy)
        return 0

    cdef int _value(self, int instrument) except -1:
        """Mark one instrument to market and look at its stops, and at those of everything."""
        cdef Book book = <Book>self.books[instrument]
        cdef Level bid, ask
        bid.price_ticks = ask.price_ticks = 0
        if book.usable() and book.best_bid(&bid) and book.best_ask(&ask):
            self.reference.on_book(instrument, bid.price_ticks, ask.price_ticks, self.now_ns)
        self.equity.mark(instrument, bid.price_ticks, ask.price_ticks,
                         self.marks[instrument].mark_e8 if self.marks[instrument].present & 1 else 0, self.now_ns)
        return self.stops.look(instrument, self.now_ns)

    cdef int _act(self) except -1:
        """What stops were crossed is on the tape and halts; what they want to send goes through risk like all else; then what
        rests is cancelled, all of it in this event. The way out goes first: it is sized so that nothing resting can double it."""
        cdef int i = 0, count = self._fire_all()
        while i < self.stops.outbox.count:
            self._submit_own(&self.stops.outbox.rows[i])
            i += 1
        self.stops.outbox.count = 0
        count += self._fire_all()       # an answer may cross a line: a protective order that comes too late
        if count:
            self._clear(1 << HALT_STOP | 1 << HALT_MARGIN | 1 << HALT_WINDOW)
        if self.stops.window_over:
            self.stops.window_over = False
            for i in range(self.instruments.count):
                self.resume(i, <int>HALT_WINDOW, self.now_ns)
        return 0

    cdef int _fire_all(self) except -1:
        cdef int i, count = self.stops.fired_count
        for i in range(count):
            self._fire(&self.stops.fired[i])
        self.stops.fired_count = 0
        return count

    cdef int _fire(self, const StopRow* row) except -1:
        """A stop that was crossed: on the tape, and nothing new from here on. Its time or its purse says what for."""
        cdef int i, level = 1 if row.policy == STOP_REDUCE else 2
        cdef int why = HALT_WINDOW if row.reason == WINDOW else HALT_MARGIN if row.purse >= 0 else HALT_STOP
        self._record(TAPE_STOP, 0, NULL, 0, <const char*>row, sizeof(StopRow))
        for i in range(self.instruments.count):
            if row.instrument not in (-1, i):
                continue
            if row.purse >= 0 and not (self.equity.rows[i].is_perpetual and self.equity.rows[i].purse == row.purse):
                continue
            self._hold(i, why, level)
        if why == HALT_STOP and row.instrument < 0:
            self.latch(LATCH_STOP, True, self.now_ns)
        return 0

    cdef int _hold(self, int instrument, int why, int level) except -1:
        """A halt on the tape and in the gate; what rests is for `_clear`."""
        self.risk.halt(instrument, why, level)
        self._door(DOOR_HALT, instrument, 0, why, level, 0, self.now_ns)
        self.halted += 1
        return 0

    cdef int _clear(self, int whys) except -1:
        """Cancel at once everything that rests where one of these HaltReason bits holds, but for what closes or protects."""
        cdef int i
        cdef int32_t at
        cdef Order* order
        for i in range(2 * self.instruments.count):
            if not self.risk.guards[i >> 1].reduce & whys:
                continue
            at = self.orders.queues[i].first
            while at >= 0:
                order = &self.orders.rows[at]
                at = order.after
                if self._is_in_the_way(order) and not order.cancel_wanted:
                    self.orders.want_cancel(order)
                    self._cancel(order)
        return 0

    cdef bint _is_in_the_way(self, const Order* order) noexcept:
        """Neither an exit nor a stop order that protects a position."""
        return order.strategy > DESK_EXIT and not self.stops.shields.owns(order.id) and not self.stops.shields.may_own(order)

    def protects(self, uint64_t order_id) -> bool:
        """Is this a stop order that protects an open position, or one of an earlier run that may, where nobody has compared the
        position with the venue yet? Such an order outlives the node."""
        cdef Order* order = self.orders.find(order_id)
        if order == NULL or not (self.stops.shields.owns(order_id) or self.stops.shields.may_own(order)):
            return False
        return self.risk.guards[order.instrument].reconciled_ns == 0 or not self.stops.exits.is_flat(order.instrument)

    def is_flat(self, int instrument) -> bool:
        """Is nothing left on any leg that the venue would take an order for? What is less than that is dust."""
        self.instruments._check(instrument)
        return self.stops.exits.is_flat(instrument)

    cdef int _submit_own(self, const Intent* intent) except -1:
        """An exit or a protective order of ours, or a cancel of one: risk, and where it says yes, out."""
        cdef int reason = 0
        cdef uint64_t order_id = self._pass(intent, &reason)
        return self.stops.answered(intent, order_id, reason)

    cdef int _tell_fills(self) except -1:
        """Tell strategies of the fills of this frame: only now, when nothing they do can cost a later report."""
        cdef int i
        cdef int count = self.filled_count
        cdef Filled* filled
        cdef Tell tell
        self.filled_count = 0
        for i in range(count):
            filled = &self.filled[i]
            if 0 <= filled.strategy < len(self.strategies):     # an adopted order has none
                tell.what, tell.instrument, tell.order_id = TELL_FILL, filled.instrument, filled.order_id
                tell.side, tell.price_ticks, tell.size_lots = filled.side, filled.price_ticks, filled.size_lots
                self._call(<Strategy>self.strategies[filled.strategy], &tell)
        return 0

    # ---- strategies that fail ----

    cdef int _call(self, Strategy strategy, const Tell* tell) except -1:
        """Tell a strategy something, unless it is off. Whatever goes wrong in there stays there."""
        if self.risk.why_off[strategy.number] != OFF_NOT or strategy.call(tell, self.now_ns):
            return 0
        if strategy.timed_out:
            self._door(DOOR_STRATEGY, strategy.number, 0, <int64_t>CALL_INTERRUPTED, strategy.calls, 0, self.now_ns)
        return self._fault(strategy)

    cdef int _fault(self, Strategy strategy) except -1:
        """A strategy failed once more: it is told, and it may have been once too often."""
        if self.strategy_failed is not None:
            self.strategy_failed(strategy.number, strategy.last_error, self.now_ns)
        if strategy.strikes >= self.strategy_faults_max:
            self.strategy_off(strategy.number, <int>OFF_FAULTS, self.now_ns)
        return 0

    def strategy_off(self, int number, int why, int64_t now_ns) -> bool:
        """Switch a strategy off for StrategyOff `why`: it is neither told nor asked anything, and its open orders are cancelled,
        again and again until they are closed. False where it is off already. ValueError where there is no such strategy or
        reason."""
        cdef int i
        cdef Order* order
        cdef Strategy strategy = self._strategy(number)
        if not OFF_NOT < why <= OFF_REPEAT:
            raise ValueError(f"strategy {number} off for {why}: must be one of records.StrategyOff")
        if self.risk.why_off[number] != OFF_NOT:
            return False
        self._door(DOOR_STRATEGY, number, 0, <int64_t>SWITCH_OFF, why, 0, now_ns)
        strategy.switch(False)
        self.risk.strategy_off(number, why)
        for i in range(self.orders.capacity):
            order = &self.orders.rows[i]
            if order.strategy == number and self.orders.is_open(order) and not order.cancel_wanted:
                self.orders.want_cancel(order)
                self._cancel(order)
        if self.strategy_failed is not None:
            self.strategy_failed(number, f"switched off: {StrategyOff(why).name}; a person must switch it on", now_ns)
        return True

    def strategy_on(self, int number, int64_t now_ns) -> bool:
        """A person switches a strategy on again, with a clean slate; False where it is on. ValueError where there is none."""
        cdef Strategy strategy = self._strategy(number)
        if self.risk.why_off[number] == OFF_NOT:
            return False
        self._door(DOOR_STRATEGY, number, 0, <int64_t>SWITCH_ON, 0, 0, now_ns)
        strategy.switch(True)
        self.risk.strategy_on(number)
        return True

    def strategy_interrupted(self, int number, int64_t call):
        """For a replay: this call of a strategy (counted from 1) was ended by the watchdog when it was recorded. It is not made,
        and counts as it did. ValueError where there is no such strategy."""
        cdef Strategy strategy = self._strategy(number)
        if strategy.interrupted is None:
            strategy.interrupted = set()
        strategy.interrupted.add(call)

    def _strategy(self, int number):
        if not 0 <= number < len(self.strategies):
            raise ValueError(f"strategy {number}: there are {len(self.strategies)}")
        return self.strategies[number]

    cdef int _lose(self, int instrument) noexcept nogil:
        """A book that strategies may have quoted on cannot be used: they are told when the frame is done."""
        if self.followed[instrument] == 1:
            self.followed[instrument] = 2
            self.lost_count += 1
        return 0

    cdef int _tell_lost(self) except -1:
        cdef Tell tell
        cdef Strategy strategy
        cdef int i, turns
        if not self.lost_count:
            return 0
        self.lost_count = 0
        tell.what = TELL_LOST
        for i in range(self.instruments.count):
            if self.followed[i] != 2:
                continue
            self.followed[i] = 0
            tell.instrument = i
            for strategy in self.strategies if not self.stopping else ():
                for turns in range(LOST_TURNS):     # more orders than one turn holds
                    self._drain(strategy)
                    self._call(strategy, &tell)
                    if strategy.proposed < PROPOSALS_MAX:
                        break
                self._drain(strategy)
        return 0

    cdef bint _is_stale(self, Book book) noexcept:
        """Older than orders may be placed on."""
        cdef int64_t stale_ns = self.risk.limits[book.instrument].stale_ns
        return stale_ns > 0 and self.now_ns - book.changed_ns > stale_ns

    # ---- what strategies propose ----

    cdef int _drain(self, Strategy strategy) except -1:
        """Deal with what a strategy proposes, with what it proposes in `on_order` too. Nonsense among it is one fault."""
        cdef int i = 0
        cdef int k, run
        self.nonsense = None
        if strategy.signalled and strategy.proposed:
            self._record(TAPE_SIGNAL, 0, NULL, 0, <const char*>&strategy.signal_row, sizeof(strategy.signal_row))
        strategy.signalled = False
        while i < strategy.proposed:
            crash_at(DECIDE)
            run = self._run(strategy, i)
            for k in range(i, i + run):     # whose it is, it does not say itself
                strategy.proposals[k].strategy = strategy.number
            if run > 1:
                self._batch(strategy, i, run)
            elif strategy.proposals[i].action == AMEND:
                self._amend(strategy, &strategy.proposals[i])
            else:
                self._submit(strategy, &strategy.proposals[i])
            i += run
        strategy.proposed = 0
        if strategy.dropped > strategy.dropped_told:
            strategy.dropped_told = strategy.dropped
            self.nonsense = f"more than {<int>PROPOSALS_MAX} proposals in one turn"
        if self.nonsense is not None and self.risk.why_off[strategy.number] == OFF_NOT:
            strategy.strike(self.nonsense)
            self._fault(strategy)
        return 0

    cdef int _run(self, Strategy strategy, int first) noexcept:
        """How many proposals from `first` on can go in one request: new orders, or cancels, of one market that takes batches."""
        cdef int market = self._batchable(&strategy.proposals[first])
        cdef int action = strategy.proposals[first].action
        cdef int i = first + 1
        cdef int line, most
        if market < 0:
            return 1
        line = self.route[market]
        if line < 0 or not (<Line>self.line_rows[line]).up:
            return 1
        most = min((<Line>self.line_rows[line]).wire.batch_max, BATCH_MAX)
        while (i < strategy.proposed and i - first < most and strategy.proposals[i].action == action
               and self._batchable(&strategy.proposals[i]) == market):
            i += 1
        return i - first

    cdef int _batchable(self, const Intent* intent) noexcept:
        """The market of a proposal that may share a request with others; -1 where it goes alone: amends, replacements, stops
        (they have requests of their own), and what names nothing that there is."""
        cdef Order* order
        if intent.action == NEW:
            if intent.type == STOP_MARKET or not 0 <= intent.instrument < self.instruments.count:
                return -1
            return self.instruments.rows[intent.instrument].market
        if intent.action != CANCEL:
            return -1
        order = self.orders.find(intent.order_id)
        if order == NULL or not self.orders.is_open(order) or order.type == STOP_MARKET:
            return -1
        return self.instruments.rows[order.instrument].market

    cdef int _verdict(self, const Intent* intent, Approved approved, int reason) except -1:
        cdef VerdictRow verdict
        if approved is not None:
            crash_at(CHECKED)
            self.equity.recount(approved.intent.instrument)     # the next one in this event counts it, too
        if self.tape is None and self.echo is None:
            return self._judge(intent, reason)
        verdict.intent = intent[0]
        verdict.reason, verdict.pad, verdict.value, verdict.limit = reason, 0, self.risk.value, self.risk.limit
        verdict.order_id = approved.order_id if approved is not None else intent.order_id
        self._judge(intent, reason)
        self._record(TAPE_VERDICT, 0, NULL, 0, <const char*>&verdict, sizeof(verdict))
        self._explain(intent, verdict.order_id)
        return 0 if approved is None else crash_at(JOURNALED)

    cdef int _explain(self, const Intent* intent, uint64_t order_id) except -1:
        """Behind the verdict of what is not a cancel: the market that it met, and every check that was asked."""
        cdef DecisionRow row
        if intent.action == CANCEL:
            return self.risk.begin()
        self.risk.explain(intent, order_id, &row)
        return self._record(TAPE_DECISION, 0, <const char*>&row, sizeof(row), <const char*>self.risk.asked.rows,
                            row.checks * sizeof(CheckRow))

    cdef int _judge(self, const Intent* intent, int reason) except -1:
        """Remember nonsense until the turn is over. That a venue halts an instrument is none of the strategy's."""
        if reason == INSTRUMENT and 0 <= intent.instrument < self.instruments.count and (
                self.risk.limits[intent.instrument].allowed):
            return 0
        if reason and is_nonsense(intent, reason):
            self.nonsense = (f"nonsense: {intent.size_lots} lots at {intent.price_ticks} of instrument {intent.instrument} "
                             f"({Reason(reason).name})")
        return 0

    cdef int _submit(self, Strategy strategy, const Intent* intent) except -1:
        """A proposal of a strategy: risk, and where it says yes, out; the strategy is told what order it became."""
        cdef int reason = 0
        cdef uint64_t order_id = self._pass(intent, &reason)
        return 0 if order_id == 0 or intent.action == CANCEL else self._tell_order(strategy, intent, order_id)

    cdef uint64_t _pass(self, const Intent* intent, int* reason) except? 0:
        """Risk, and where it says yes, out. Returns the order, or 0 where it says no."""
        cdef uint64_t order_id
        cdef Approved approved
        self.risk.value = self.risk.limit = 0
        if intent.action == CANCEL:
            approved = self.risk.approve_cancel(intent, self.now_ns, reason)
        else:
            approved = self.risk.approve(intent, self.now_ns, reason)
        self._verdict(intent, approved, reason[0])
        if approved is None:
            return 0
        order_id = approved.order_id
        if intent.action == CANCEL:         # asked for once, repeated until the venue says that it is closed
            self.orders.want_cancel(self.orders.find(order_id))
        self._send(approved)
        return order_id

    cdef int _tell_order(self, Strategy strategy, const Intent* intent, uint64_t order_id) except -1:
        cdef Tell tell
        tell.what, tell.instrument, tell.side, tell.order_id = TELL_ORDER, intent.instrument, intent.side, order_id
        return self._call(strategy, &tell)

    cdef int _amend(self, Strategy strategy, const Intent* intent) except -1:
        """In place where the venue can; else by a replacement, which is a new order of its own."""
        cdef Order* order = self.orders.find(intent.order_id)
        cdef Wire wire
        cdef Intent other
        cdef Approved approved = None
        cdef int reason = 0
        cdef int line = -1
        self.risk.value = self.risk.limit = 0
        if order == NULL:
            return self._verdict(intent, None, UNKNOWN_ORDER)
        line = self.route[self.instruments.rows[order.instrument].market]
        if line < 0:
            return self._verdict(intent, None, UNSUPPORTED)
        wire = (<Line>self.line_rows[line]).wire
        if wire.can_amend or intent.price_ticks == order.price_ticks and intent.size_lots < order.size_lots:
            approved = self.risk.approve_amend(intent, self.now_ns, &reason)
            self._verdict(intent, approved, reason)
            return 0 if approved is None else self._send(approved)
        other = intent[0]
        other.action, other.instrument, other.side, other.type = REPLACE, order.instrument, order.side, order.type
        other.tif, other.reduce_only, other.leg = order.tif, order.reduce_only, order.leg
        other.size_lots = intent.size_lots - order.filled_lots
        if not wire.can_replace:
            return self._verdict(&other, None, UNSUPPORTED)
        if order.amending or order.cancel_wanted:
            return self._verdict(&other, None, AMENDING if order.amending else UNKNOWN_ORDER)
        return self._submit(strategy, &other)

    cdef int _batch(self, Strategy strategy, int first, int count) except -1:
        """Several new orders or cancels in one request; each has its own verdict, its own id and its own answer."""
        cdef Approved approved
        cdef const Intent* intent
        cdef int i, passed = 0, reason, line, written = 0
        cdef Py_ssize_t size
        cdef Line row
        for i in range(first, first + count):
            intent = &strategy.proposals[i]
            self.risk.value = self.risk.limit = reason = 0
            if intent.action == CANCEL:
                approved = self.risk.approve_cancel(intent, self.now_ns, &reason, <Approved>self.risk.pool[passed])
                if approved is not None:
                    self.orders.want_cancel(self.orders.find(approved.order_id))
            else:
                approved = self.risk.approve(intent, self.now_ns, &reason, <Approved>self.risk.pool[passed])
            self._verdict(intent, approved, reason)
            passed += approved is not None
        if passed == 1:
            self._send(<Approved>self.risk.pool[0])
        elif passed:
            approved = self.risk.pool[0]
            line = self.route[self.instruments.rows[approved.intent.instrument].market]
            row = <Line>self.line_rows[line]
            size = self._encode(row, None, passed)
            if size > 0:
                crash_at(ENCODED)
                for i in range(passed):
                    approved = self.risk.pool[i]
                    self._record(TAPE_ORDER_OUT, line, <const char*>&approved.order_id, 8, self.out + HEADROOM,
                                 size if i == 0 else 0)
                if self._may_leave(&approved.intent) and self.outlet is not None:
                    written = self.outlet.write_batch(line, self.risk.pool, passed, self.out + HEADROOM, size)
                    self._written(approved, written)
            for i in range(passed):
                self._sent(<Approved>self.risk.pool[i], line, written)
        if strategy.proposals[first].action == CANCEL:
            return 0
        for i in range(passed):
            approved = self.risk.pool[i]
            self._tell_order(strategy, &approved.intent, approved.order_id)
        return 0

    cdef bint _may_leave(self, const Intent* intent) noexcept nogil:
        """What cannot be put on the tape does not leave, but for cancels and the desk's own way out (counted in `unrecorded`)."""
        return not self.tape_full or intent.action == CANCEL or (intent.strategy <= DESK_EXIT and intent.reduce_only)

    cdef Py_ssize_t _encode(self, Line row, Approved approved, int count) except -1:
        """Encode one request, or a batch of the pool; 0 where our own half refuses, which is a fault of ours."""
        try:
            if approved is not None:
                return row.wire.encode(approved, self.out + HEADROOM, FRAME_MAX, self.now_ns)
            return row.wire.encode_batch(self.risk.pool, count, self.out + HEADROOM, FRAME_MAX, self.now_ns)
        except ValueError as error:
            row.last_error = str(error)
            self.risk.latch(LATCH_ENCODE)
            return 0

    cdef int _line_for(self, const Intent* intent, const Order* order) noexcept:
        """Where a request goes: the order line; REST for what has no other way, or while that line is down. Nothing that was
        written once goes another way: this is asked once for each request."""
        cdef int market = self.instruments.rows[intent.instrument].market
        cdef int line = self.route[market]
        cdef int rest = self.rest_route[market]
        cdef bint by_rest = rest >= 0 and (<Line>self.line_rows[rest]).up
        if by_rest and line >= 0 and order.type == STOP_MARKET and (<Line>self.line_rows[line]).wire.stop_by_rest:
            return rest
        if line >= 0 and (<Line>self.line_rows[line]).up:
            return line
        return rest if by_rest else -1

    cdef int _send(self, Approved approved) except -1:
        """Encode, put on the tape, write. A NEW that was not written is closed at once: nothing was sent."""
        cdef Order* order = self.orders.find(approved.order_id)
        cdef int line = self._line_for(&approved.intent, order)
        cdef Py_ssize_t size
        cdef int written = 0
        if line >= 0 and self.outlet is not None:
            size = self._encode(<Line>self.line_rows[line], approved, 0)
            if size > 0:
                crash_at(ENCODED)
                self._record(TAPE_ORDER_OUT, line, <const char*>&approved.order_id, 8, self.out + HEADROOM, size)
                if self._may_leave(&approved.intent):
                    written = self.outlet.write(line, approved, self.out + HEADROOM, size)
                    self._written(approved, written)
        return self._sent(approved, line, written)

    cdef int _written(self, Approved approved, int written) except -1:
        """Whether a socket took a request is the one thing of a turn that nothing on the tape foretells."""
        self.encoded += 1
        if written:
            return 0
        return self._door(DOOR_UNSENT, approved.intent.instrument, approved.order_id, self.encoded, 0, 0, self.now_ns)

    cdef int _sent(self, Approved approved, int line, int written) except -1:
        """What became of a request that was to be written."""
        cdef Order* order = self.orders.find(approved.order_id)
        cdef Order* old
        approved.live = False
        if written:
            crash_at(CANCEL_WRITTEN if approved.intent.action == CANCEL else WRITTEN)
            order.line = line
        if approved.intent.action == CANCEL:
            if not written:
                order.cancel_asked -= 1         # never left: the strategy may ask again
        elif approved.intent.action == AMEND:
            if not written:
                self.orders.end_amend(order, False, self.now_ns)
                self.equity.recount(order.instrument)
                self._unsent(order, <int>REPORT_AMEND_REJECT)
        elif written:
            order.sent_ns = self.now_ns
            self.orders.to_state(order, SENT, self.now_ns)
            old = self.orders.find(order.replaces)
            if old != NULL:
                old.cancel_asked += 1
                old.last_cancel_ns = self.now_ns
        else:
            order.reject_code = LINK_DOWN
            self.orders.to_state(order, REJECTED, self.now_ns)
            self.equity.recount(order.instrument)
            self._unsent(order, <int>REPORT_REJECT)
        return 0

    cdef int _unsent(self, const Order* order, int kind) except -1:
        """A request that never left, on the tape: without this word the next start would have to ask the venue what became of it."""
        cdef Report report
        memset(&report, 0, sizeof(report))
        report.kind, report.instrument, report.side, report.code = kind, order.instrument, order.side, LINK_DOWN
        report.order_id, report.epoch = order.sequence, order.epoch
        report.order_ticks = report.order_lots = report.leg = report.fee_is_quote = -1
        report.filled_lots = order.filled_lots
        return self._record(TAPE_REPORT, self.line, NULL, 0, <const char*>&report, sizeof(report))

    def mark_many(self, int count, int instrument, int64_t bid_ticks, int64_t ask_ticks, int64_t now_ns) -> int:
        """What one book event costs before anybody thinks of an order, `count` times, the book a tick up and down and a
        microsecond apart: reference, mark to market, stops. Returns how many stops fired. What the bench times."""
        cdef int64_t mark_e8 = self.marks[instrument].mark_e8
        cdef int i, fired = 0
        self.instruments._check(instrument)
        with nogil:
            for i in range(count):
                self.reference.on_book(instrument, bid_ticks - (i & 1), ask_ticks - (i & 1), now_ns + 1000 * i)
                self.equity.mark(instrument, bid_ticks - (i & 1), ask_ticks - (i & 1), mark_e8, now_ns + 1000 * i)
                fired += self.stops.look(instrument, now_ns + 1000 * i) != 0
        return fired

    def encode_many(self, int count, int instrument, int side, int64_t price_ticks, int64_t size_lots, int64_t now_ns, *,
                    int tif=0, int action=NEW, int batch=1) -> tuple:
        """Approve one limit order, or `batch` of them a tick apart, and encode what does `action` to it `count` times:
        (bytes in all, last frame). AMEND and REPLACE are of one tick and one lot less. What the bench times. Nothing can
        be sent: the frames stay in this engine's buffer, no outlet sees an approval, and the orders are closed as never
        sent. ValueError where risk refuses, the market has no order line, or its wire no such request."""
        cdef Approved approved = None
        cdef Wire wire
        cdef Py_ssize_t total = 0, size = 0
        cdef uint64_t first = self.orders.next_id
        cdef int i, line = self.route[self.instruments.rows[instrument].market]
        if line < 0 or not 1 <= batch <= BATCH_MAX:
            raise ValueError(f"instrument {instrument}: no order line, or a batch of {batch}")
        wire = (<Line>self.line_rows[line]).wire
        try:
            for i in range(batch):
                approved = self._approve_one(instrument, side, price_ticks - i, size_lots, tif, i, now_ns)
            if action != NEW:
                approved = self._approve_next(approved, action, now_ns)
            for i in range(count):
                size = (wire.encode(approved, self.out + HEADROOM, FRAME_MAX, now_ns) if batch == 1 else
                        wire.encode_batch(self.risk.pool, batch, self.out + HEADROOM, FRAME_MAX, now_ns))
                total += size
        finally:
            self._forget(first, now_ns)
        return total, self.out[HEADROOM:HEADROOM + size]

    cdef Approved _approve_one(self, int instrument, int side, int64_t price_ticks, int64_t size_lots, int tif, int place,
                               int64_t now_ns):
        """For `encode_many`: a new order, approved into this place of the pool."""
        cdef Intent intent
        cdef Approved approved
        cdef int reason = 0
        memset(&intent, 0, sizeof(intent))
        intent.instrument, intent.side, intent.tif = instrument, side, tif
        intent.price_ticks, intent.size_lots = price_ticks, size_lots
        approved = self.risk.approve(&intent, now_ns, &reason, <Approved>self.risk.pool[place])
        if approved is None:
            raise ValueError(f"instrument {instrument}: refused by risk (reason {reason})")
        return approved

    cdef Approved _approve_next(self, Approved first, int action, int64_t now_ns):
        """For `encode_many`: a cancel, amend or replacement of an order that was just approved, as if it rested."""
        cdef Intent intent = first.intent
        cdef Approved approved
        cdef int reason = 0
        self.orders.to_state(self.orders.find(first.order_id), LIVE, now_ns)
        first.live = False
        intent.action, intent.order_id = action, first.order_id
        if action == CANCEL:
            return self.risk.approve_cancel(&intent, now_ns, &reason)
        intent.size_lots -= 1
        intent.price_ticks -= 1
        approved = (self.risk.approve_amend(&intent, now_ns, &reason) if action == AMEND else
                    self.risk.approve(&intent, now_ns, &reason))
        if approved is None:
            raise ValueError(f"action {action}: refused by risk (reason {reason})")
        return approved

    cdef int _forget(self, uint64_t first, int64_t now_ns) except -1:
        """For `encode_many`: nothing it approved can be sent, and all orders from `first` on are closed."""
        cdef Approved approved
        cdef Order* order
        cdef uint64_t order_id
        self.risk.approved.live = False
        for approved in self.risk.pool:
            approved.live = False
        for order_id in range(first, self.orders.next_id):
            order = self.orders.find(order_id)
            if order != NULL:
                self.orders.to_state(order, REJECTED, now_ns)
                self.equity.recount(order.instrument)
        return 0

    cdef int _record(self, int type, int line, const char* head, Py_ssize_t head_size, const char* data,
                     Py_ssize_t size) except -1:
        """One record on the tape. A tape that is full stops all new risk, and says so; nothing else stops."""
        if self.tape is None:
            return 0 if self.echo is None else self.echo.take(type, line, self.now_ns, head, head_size, data, size)
        if self.tape_full:
            self.unrecorded += 1
            return 0
        try:
            self.tape.put2(type, line, self.now_ns, head, head_size, data, size)
        except OSError:
            self.tape_full = True
            self.unrecorded += 1
            self.risk.latch(LATCH_TAPE)
        return 0

    cdef int _mark(self) except -1:
        """The state of every instrument, on the tape: what status, tables and reports are made of."""
        cdef StateRow row
        cdef EquityRow worth
        cdef Book book
        cdef Level level
        cdef HashRow hashed
        cdef int i
        if self.tape is None and self.echo is None:
            return 0
        for book in self.books:
            memset(&row, 0, sizeof(row))
            row.instrument, row.state, row.frames = book.instrument, book.state, self.frames[book.instrument]
            book.best_bid(&level)
            row.bid_ticks, row.bid_lots = level.price_ticks, level.size_lots
            book.best_ask(&level)
            row.ask_ticks, row.ask_lots = level.price_ticks, level.size_lots
            row.gaps, row.resyncs, row.trades = book.gaps, book.resyncs, self.trades[book.instrument]
            row.position_lots = self.account.rows[book.instrument].lots
            row.cash = self.account.rows[book.instrument].cash
            row.fee_e8 = self.account.rows[book.instrument].fee_e8
            row.fills = self.account.rows[book.instrument].fills
            row.open_orders = self.orders.exposure[book.instrument].open_orders
            self._record(TAPE_MARK, 0, NULL, 0, <const char*>&row, sizeof(row))
        crash_at(SNAPSHOT_HALF)
        for i in range(self.equity.purse_count):
            self.equity.fill_row(i, &worth)
            self._record(TAPE_EQUITY, 0, NULL, 0, <const char*>&worth, sizeof(worth))
        self.equity.fill_row(-1, &worth)
        self._record(TAPE_EQUITY, 0, NULL, 0, <const char*>&worth, sizeof(worth))
        self._hash(&hashed)
        return self._record(TAPE_HASH, 0, NULL, 0, <const char*>&hashed, sizeof(hashed))

    cdef int _hash(self, HashRow* out) except -1:
        """What every room decides by, right now."""
        cdef Line row
        cdef int i
        out.books = of_books(self.books, self.arbiter)
        for row in self.lines:
            out.books = mix(out.books, row.up)
        for i in range(self.instruments.count):
            out.books = mix(mix(out.books, self.asked_ns[i]), self.thawing[i] | self.followed[i] << 8)
            out.books = mix(mix(out.books, self.trades[i]), self.quotes[i].update_id)
        out.orders = mix(of_orders(self.orders), self.swept)
        out.account = of_account(self.account)
        out.equity = of_equity(self.equity)
        out.risk = of_risk(self.risk, self.stops, len(self.strategies))
        for i in range(min(self.instruments.count, 256)):
            out.risk = mix(mix(out.risk, self.filter_refusals[i]), self.filter_refused[i])
        out.strategies = mix_words(of_strategies(self.strategies, self.risk), self.dial_values, DIALS_MAX)
        out.strategies = mix(mix(out.strategies, self.stopping), self.decisions)
        return 0

    def state_hash(self) -> dict:
        """The hash of each room's state as it is now: what a HASH record behind the last event would say."""
        cdef HashRow out
        self._hash(&out)
        return <object>out

    def hash_many(self, int count) -> int:
        """`count` state hashes; what the bench times. Returns the last one of the books."""
        cdef HashRow out
        cdef int i
        out.books = 0
        for i in range(count):
            self._hash(&out)
        return out.books

    # ---- for Python: reports ----

    def mark_now(self, int64_t now_ns):
        """Put the state of every instrument on the tape now (at the end of a run)."""
        self._door(DOOR_MARK, -1, 0, 0, 0, 0, now_ns)
        self.marked_ns = now_ns
        self._mark()

    def trade_count(self, int instrument) -> int:
        """Public trades of an instrument, copies from other lines not counted."""
        self.instruments._check(instrument)
        return self.trades[instrument]

    def depth_frames(self, int instrument) -> int:
        """Depth and quote messages of an instrument, from all lines."""
        self.instruments._check(instrument)
        return self.frames[instrument]

    def mark(self, int instrument) -> dict:
        """Mark, index, funding as last told; `present` says which were ever told (records.MarkField)."""
        self.instruments._check(instrument)
        return <object>self.marks[instrument]


def _fitting(amount):
    """As much of an amount as fits: some coins are so cheap that a wallet holds more of them. Less capital is the careful side."""
    return max(-MONEY_MOST, min(amount, MONEY_MOST))


def _configure(Engine engine, told):
    engine.strategies[told["strategy"]].configure(**told["values"])


def _refresh(Engine engine, told):
    """What is no number is as bad as what does not fit the grid: the symbol is not traded by filters that nobody knows."""
    try:
        return engine.instruments.refresh(told["instrument"], told["tick"], told["lot"], **told["told"])
    except ValueError:
        engine.instruments._check(told["instrument"])
        engine.instruments.rows[<int>told["instrument"]].tradable = False
        return False


def _remember(Engine engine, told):
    for place in told["trades"]:
        engine.orders.remember(*place)


PARAMS = {"configure": _configure, "filters": _refresh, "remember": _remember}


cdef inline Stand stand_of(Book book) noexcept nogil:
    cdef Stand out
    out.last_id, out.synced, out.loaded, out.by_request = book.last_id, book.state == SYNCED, book.loaded, book.by_request
    return out


cdef inline int _moved(int64_t before, int64_t after) noexcept nogil:
    """What a fill did to a position: throttle.Moved."""
    if after == 0:
        return FLAT_NOW
    if before and (before > 0) != (after > 0):
        return TURNED
    return GREW if (after > before) == (after > 0) else SHRANK


cdef bint is_nonsense(const Intent* intent, int reason) noexcept nogil:
    """Was this refused because no market would have it, rather than by the state of things?"""
    if reason in (INSTRUMENT, NUMBER, NOT_ALLOWED, NOT_OWNER, LEG, SIZE_STEP, PRICE_STEP, UNSUPPORTED):
        return True
    if intent.action == CANCEL:
        return False
    return (not 0 < intent.size_lots <= MOST
            or intent.type == LIMIT and not 0 < intent.price_ticks <= MOST)

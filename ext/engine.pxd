"""The only file that knows the order of the steps: bytes -> arbiter -> book -> strategy -> risk -> encode -> bytes."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from ext.account cimport Account
from ext.arbiter cimport Arbiter
from ext.book cimport Book
from ext.equity cimport Equity
from ext.instruments cimport Instruments
from ext.orders cimport Order, Orders
from ext.records cimport (Approved, Budget, DepthHead, DoorRow, FillRow, HashRow, Intent, Level, Mark, Quote, Report, SentRow,
                          StateRow, StopRow, Trade, VerdictRow)
from ext.reference cimport Reference
from ext.risk cimport RiskGate
from ext.stops cimport Stops
from ext.strategy cimport Strategy, Tell
from ext.tape cimport TapeWriter
from ext.wire cimport BATCH_MAX, ORDER_FRAME_MAX, Sink, Wire

cpdef enum LineKind:
    MARKET_LINE = 0      # a market-data connection
    SNAPSHOT_LINE = 1    # replies to snapshot requests for one instrument
    ORDER_LINE = 2       # order entry; answers come back on it
    PRIVATE_LINE = 3     # our orders and fills as the venue tells them
    REST_LINE = 4        # order entry by REST: for what has no other way, or while the order line is down

cdef enum:
    LINES = 256
    TOUCHED_MAX = 16
    FRAME_MAX = ORDER_FRAME_MAX * BATCH_MAX   # largest order frame: a whole batch
    HEADROOM = 64        # writable bytes in front of an encoded frame, where the link puts the WebSocket header
    DIALS_MAX = 16
    FILLS_MAX = 64       # fills of one frame that strategies are told of together

cdef enum Absurd:
    # What of a report cannot be.
    ABSURD_ASKED             # more lots than the order ever asked for or may ask for
    ABSURD_TOLD              # ... in all
    ABSURD_ORDER             # an order of so many
    ABSURD_TERMS             # an order at this price
    ABSURD_PRICE             # a price that no market has
    ABSURD_LOTS              # a fill of nothing
    ABSURD_MARKET            # far from book and reference
    ABSURD_LIMIT             # far beyond every limit of its order
    ABSURD_MONEY             # beyond 64 bits
    ABSURD_FEE               # more than what was traded
    ABSURD_FEES              # a sum of fees beyond 64 bits

ctypedef struct Filled:
    # A fill that a strategy has not been told of yet.
    int32_t strategy
    int32_t instrument
    int32_t side
    uint64_t order_id
    int64_t price_ticks
    int64_t size_lots


cdef class Line:
    """One connection as the engine sees it: which decoder, and what it carries."""
    cdef readonly Wire wire
    cdef readonly int number
    cdef readonly int kind
    cdef readonly int context        # instrument of a SNAPSHOT_LINE, else -1
    cdef readonly str name
    cdef readonly bint up
    cdef public bint recorded        # its frames are on the tape; if not, only that they came
    cdef readonly int64_t frames, bad, not_mine, resyncs
    cdef readonly str last_error


cdef class Outlet:
    """Where encoded orders go. The live one is `ext.link`; tests and replay have their own."""
    cdef int write(self, int line, Approved order, char* data, Py_ssize_t size) except -1
    cdef int write_batch(self, int line, list orders, int count, char* data, Py_ssize_t size) except -1


cdef class Recorder(Outlet):
    """An outlet without a socket: hashes what would have been sent, and can hand it to a simulated venue."""
    cdef object digest
    cdef public object taker         # called with (line, bytes), or None
    cdef readonly set shut           # lines that take no single request
    cdef readonly int64_t orders


cdef class Again(Outlet):
    cdef readonly set unsent         # numbers of requests, from 1, that were not taken
    cdef readonly int64_t written    # requests so far


cdef class Echo:
    cdef list rows
    cdef int take(self, int type, int line, int64_t now_ns, const char* head, Py_ssize_t head_size, const char* data,
                  Py_ssize_t size) except -1


cdef class Engine(Sink):
    cdef readonly Instruments instruments
    cdef readonly list books
    cdef readonly list lines
    cdef readonly list strategies
    cdef readonly Arbiter arbiter
    cdef readonly Orders orders
    cdef readonly Account account
    cdef readonly Equity equity
    cdef readonly Reference reference
    cdef readonly Stops stops
    cdef readonly RiskGate risk
    cdef readonly TapeWriter tape
    cdef public Echo echo            # where there is no tape: a replay
    cdef public Outlet outlet
    cdef public object ask_resync    # called with (instrument, reason); the cold side carries it out
    cdef public object strategy_failed   # called with (number, what, now_ns) for each fault of a strategy, and once when it goes off
    cdef public int64_t strategy_faults_max  # so many faults, and a strategy is off
    cdef str nonsense                # what the turn that is being dealt with proposed without sense, or None
    cdef char* followed              # by instrument: strategies were told of this book, and not yet that it is lost
    cdef int lost_count              # of books that were lost in this frame
    cdef public object ask_relist    # called with (market): a filter refused, the rules of its instruments are old
    cdef void* line_rows[LINES]      # borrowed from `lines`
    cdef int route[8]                # order line by market, -1 = none
    cdef int rest_route[8]           # REST line by market, -1 = none
    cdef int filter_refusals[256]    # in a row, by instrument
    cdef uint64_t filter_refused[256]    # the last order of each that a filter refused
    cdef readonly int64_t evidence, halted
    cdef readonly int64_t absurd     # reports that say what cannot be: nothing of them counted
    cdef readonly str absurdity      # the last of them, in words
    cdef readonly int absurd_of      # its instrument, -1 = there was none
    cdef Absurd absurd_what          # what of it cannot be: this number, against that one
    cdef int64_t absurd_value, absurd_limit
    cdef bint confirmed              # what is dealt with is the venue's answer to a question, not only a frame of a stream
    cdef readonly int64_t encoded    # requests that were given to the outlet
    cdef char* thawing               # by instrument: what comes now may have lain in a socket while this process stood still
    cdef int64_t thawed_ns           # when it went on
    cdef int32_t* feed_depth         # depth channel the book follows, -1 = the first that comes
    cdef int64_t* asked_ns
    cdef int64_t* trades
    cdef int64_t* frames
    cdef Quote* quotes
    cdef Mark* marks
    cdef TradeSeen* recent_trades
    cdef int line                    # of the frame being decoded
    cdef int64_t now_ns
    cdef int swept                   # row of the order table where the next sweep goes on
    cdef int touched[TOUCHED_MAX]
    cdef int touched_count
    cdef Filled filled[FILLS_MAX]
    cdef int filled_count
    cdef int market_lines            # redundant or not: how many there are
    cdef int64_t dial_values[DIALS_MAX]
    cdef readonly int64_t checksums, checksums_bad, decisions, resync_asks, unrecorded
    cdef readonly bint tape_full
    cdef readonly bint stopping      # strategies are not asked any more; reports and cancels go on
    cdef readonly int64_t ack_timeout_ns, mark_every_ns, marked_ns, ask_every_ns
    cdef char out[HEADROOM + FRAME_MAX + 64]

    cdef int receive(self, int line, const char* data, Py_ssize_t size, int64_t now_ns) except -1
    cdef int tick(self, int64_t now_ns) except -1
    cdef int _sweep(self, int64_t now_ns) except -1
    cdef int _receive(self, int line, const char* data, Py_ssize_t size, int64_t now_ns) except -1
    cdef int _tick(self, int64_t now_ns) except -1
    cdef int _abandon(self) except -1
    cdef int _put_frame(self, Line row, const char* data, Py_ssize_t size) except -1
    cdef int _tell_fills(self) except -1
    cdef int _call(self, Strategy strategy, const Tell* tell) except -1
    cdef int _judge(self, const Intent* intent, int reason) except -1
    cdef int _fault(self, Strategy strategy) except -1
    cdef int _tell_order(self, Strategy strategy, const Intent* intent, uint64_t order_id) except -1
    cdef int _lose(self, int instrument) noexcept nogil
    cdef int _tell_lost(self) except -1
    cdef bint _is_stale(self, Book book) noexcept
    cdef int _date(self, Book book, int64_t event_ns) noexcept
    cdef int _follow_on(self, Book book, int line, const DepthHead* head, const Level* bids, const Level* asks,
                        int64_t came_ns) except -1
    cdef int _give_up(self, Book book) except -1
    cdef int _holes(self) except -1
    cdef int _apply(self, Book book, const DepthHead* head, const Level* bids, const Level* asks) except -1
    cdef int _thaw(self, Book book, int64_t event_ns) noexcept
    cdef int _follow(self, const DepthHead* head) noexcept nogil
    cdef int _touch(self, int instrument) noexcept nogil
    cdef int _ask(self, int instrument, str reason) except -1
    cdef int _think(self) except -1
    cdef int _value(self, int instrument) except -1
    cdef int _act(self) except -1
    cdef int _fire_all(self) except -1
    cdef int _fire(self, const StopRow* row) except -1
    cdef int _hold(self, int instrument, int why, int level) except -1
    cdef int _clear(self, int whys) except -1
    cdef int _cool(self, int why, int64_t now_ns) except -1
    cdef bint _is_in_the_way(self, const Order* order) noexcept
    cdef int _submit_own(self, const Intent* intent) except -1
    cdef uint64_t _pass(self, const Intent* intent, int* reason) except? 0
    cdef int _drain(self, Strategy strategy) except -1
    cdef int _submit(self, Strategy strategy, const Intent* intent) except -1
    cdef bint _may_leave(self, const Intent* intent) noexcept nogil
    cdef Py_ssize_t _encode(self, Line row, Approved approved, int count) except -1
    cdef Approved _approve_one(self, int instrument, int side, int64_t price_ticks, int64_t size_lots, int tif, int place,
                               int64_t now_ns)
    cdef Approved _approve_next(self, Approved first, int action, int64_t now_ns)
    cdef int _forget(self, uint64_t first, int64_t now_ns) except -1
    cdef int _amend(self, Strategy strategy, const Intent* intent) except -1
    cdef int _verdict(self, const Intent* intent, Approved approved, int reason) except -1
    cdef int _explain(self, const Intent* intent, uint64_t order_id) except -1
    cdef int _batch(self, Strategy strategy, int first, int count) except -1
    cdef int _run(self, Strategy strategy, int first) noexcept
    cdef int _batchable(self, const Intent* intent) noexcept
    cdef int _line_for(self, const Intent* intent, const Order* order) noexcept
    cdef int _send(self, Approved approved) except -1
    cdef int _written(self, Approved approved, int written) except -1
    cdef int _hash(self, HashRow* out) except -1
    cdef int _unsent(self, const Order* order, int kind) except -1
    cdef int _sent(self, Approved approved, int line, int written) except -1
    cdef int _cancel(self, Order* order) except -1
    cdef int _refusal(self, const Report* report, const Order* order) except -1
    cdef int _phase(self, int instrument, int level) except -1
    cdef int _let_cross(self, int instrument) except -1
    cdef int _stop_market(self, int market, int why, int level) except -1
    cdef bint _is_nameless(self, const Report* report, const Order* order) noexcept
    cdef bint _is_absurd(self, const Report* report, const Order* order) noexcept nogil
    cdef bint _is_absurd_fill(self, const Report* report, const Order* order, int instrument) noexcept nogil
    cdef bint _is_absurd_price(self, const Report* report, const Order* order, int instrument) noexcept nogil
    cdef bint _is_far_from_market(self, const Report* report, int instrument, Book book) noexcept nogil
    cdef bint _cannot(self, Absurd what, int64_t value, int64_t limit) noexcept nogil
    cdef bint _is_absurd_fee(self, const Report* report, int instrument) noexcept nogil
    cdef int _refute(self, const Report* report, int instrument) except -1
    cdef int _book_fill(self, const Report* report, const Order* order, int64_t lots) except -1
    cdef int64_t _made_ns(self, const Report* report, const Order* order) noexcept nogil
    cdef int _book_fee(self, const Report* report, const Order* order) except -1
    cdef int _tell(self, const Order* order, int64_t price_ticks, int64_t lots) except -1
    cdef int _door(self, int door, int instrument, uint64_t order_id, int64_t a, int64_t b, int64_t c, int64_t now_ns,
                   const Intent* intent=*, bytes text=*) except -1
    cdef int _record(self, int type, int line, const char* head, Py_ssize_t head_size, const char* data,
                     Py_ssize_t size) except -1
    cdef int _verify(self, Book book, const DepthHead* head) except -1
    cdef bint _new_trade(self, const Trade* trade) noexcept nogil
    cdef int _mark(self) except -1


ctypedef struct TradeSeen:
    int64_t hi[64]
    int64_t lo[64]
    int32_t at

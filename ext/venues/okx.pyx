"""OKX v5, spot and linear swap: bytes to records and back.

Market data (`books`, `books-l2-tbt`, `books50-l2-tbt`, `books5`, `bbo-tbt`, `trades`, `trades-all`, `mark-price`,
`funding-rate`, the REST book), the private `orders` channel, `orders-algo` on the business endpoint, and order entry over
the WebSocket. Sources: docs-v5 "WS / Order book channel", "WS / Trades channel", "WS / Order channel", "WS / Algo orders
channel", "WS / Place order", "WS / Amend order", "WS / Cancel order" and their batch forms, "POST / Place algo order".

Members may come in any order: captures have `data` before `arg` and `asks` on either side of `bids`. Where `arg` came
first (it always does on the live wire) levels are read in the same pass; otherwise `data` is remembered and read late.
A push with several elements is read whole before any of it is used, then read again to push.

This decoder keeps no sequence state: an equal or smaller `seqId` is legal and only the book knows what came before.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from libc.string cimport memchr, memcmp, memcpy, memset

from ext.records cimport (ADL, AMEND, BUY, CANCEL, FOK, FUNDING_RATE, GROUP_FILTER, GROUP_FUNDS, GROUP_NONE, GROUP_OTHER,
                          GROUP_POST_ONLY, IOC, LIMIT, LIQUIDATION, LONG_LEG, MARK_PRICE, NET, NEW, NEXT_FUNDING, POST_ONLY, REFUSED,
                          REPORT_ACK, REPORT_AMEND_REJECT, REPORT_AMENDED, REPORT_CANCEL_REJECT, REPORT_CANCELED,
                          REPORT_EXPIRED, REPORT_FILL, REPORT_FILLED, REPORT_LIVE, REPORT_ODD, REPORT_REJECT,
                          REPORT_UNCERTAIN, RULE_NONE, RULE_PREV, SEED, SELL, SETTLEMENT, SHORT_LEG, SNAPSHOT, STOP_MARKET, TRADE_FILL,
                          UPDATE, Approved, Instrument, Level, Quote, Trade)
from ext.text cimport (TG_MANY, TG_MAX_PRICE, TG_NUMBER, TG_OK, TG_RANGE, TG_SYNTAX, tg_decimal, tg_enter, tg_grid,
                       tg_int_or_text, tg_key, tg_more, tg_peek, tg_put_decimal, tg_put_uint, tg_setup, tg_skip,
                       tg_steps_slow, tg_string, tg_take)
from ext.wire cimport BAD, BATCH_MAX, COPY, HANDLED, ID_SIZE, NOT_MINE, REQUEST_SIZE, TRADES_MAX

tg_setup()

cdef extern from *:
    """
    /* CRC-32, zlib's polynomial: OKX's own book checksum (docs-v5 "Checksum", fixed to 0 since June 2026). */
    static uint32_t okx_crc_table[256];
    static void okx_crc_setup(void) {
        uint32_t i, k, v;
        for (i = 0; i < 256; i++) {
            for (v = i, k = 0; k < 8; k++) v = v & 1 ? 0xEDB88320u ^ (v >> 1) : v >> 1;
            okx_crc_table[i] = v;
        }
    }
    static inline uint32_t okx_crc(uint32_t v, const char *s, int n) {
        while (n--) v = okx_crc_table[(v ^ (unsigned char)*s++) & 0xFF] ^ (v >> 8);
        return v;
    }
    /* Append a literal: with the length known at compile time this is one or two stores. */
    static inline __attribute__((always_inline)) char *okx_put(char *out, const char *text) {
        size_t n = strlen(text);
        memcpy(out, text, n);
        return out + n;
    }
    /* FNV-1a, going on from `v`. */
    static inline uint64_t okx_hash(uint64_t v, const char *s, Py_ssize_t n) {
        while (n-- > 0) v = (v ^ (unsigned char)*s++) * 0x100000001b3ULL;
        return v;
    }
    /* Decimal text without the zeros that say nothing: "1.50" and "1.5" are the same number. */
    static inline Py_ssize_t okx_plain(const char *s, Py_ssize_t n) {
        if (memchr(s, '.', (size_t)n) == NULL) return n;
        while (s[n - 1] == '0') n--;
        return s[n - 1] == '.' ? n - 1 : n;
    }
    """
    void okx_crc_setup() noexcept nogil
    uint32_t okx_crc(uint32_t v, const char* s, int n) noexcept nogil
    char* okx_put(char* out, const char* text) noexcept nogil
    uint64_t okx_hash(uint64_t v, const char* s, Py_ssize_t n) noexcept nogil
    Py_ssize_t okx_plain(const char* s, Py_ssize_t n) noexcept nogil

okx_crc_setup()

cdef tg_grid E8
E8.mantissa = 1
E8.decimals = 8

cdef int64_t MS_MAX = 9000000000000        # year 2255: beyond it a time in ns does not fit
cdef int CHECKSUM_LEVELS = 25
cdef int FRAME_MAX = 512                   # what one order takes at most
STP_MODES = {"expire_maker": b"cancel_maker", "expire_taker": b"cancel_taker", "expire_both": b"cancel_both"}

cdef enum:
    CHANNEL_OTHER = 0
    CHANNEL_BOOKS = 1          # 400 levels, increments
    CHANNEL_BOOKS50 = 2
    CHANNEL_BOOKS5 = 3         # always whole
    CHANNEL_BBO = 4
    CHANNEL_TRADES = 5
    CHANNEL_MARK = 6
    CHANNEL_FUNDING = 7
    CHANNEL_ORDERS = 8
    CHANNEL_ALGO = 9
    CHANNEL_SEED = 10          # the REST book, which names no channel

    ACTION_NONE = 0
    ACTION_SNAPSHOT = 1
    ACTION_UPDATE = 2

    IN_FRAME = 0               # what kind of object is being read: who takes its members
    IN_ARG = 1
    IN_DEPTH = 2
    IN_TRADE = 3
    IN_MARK = 4
    IN_ROW = 5

    ROW_PX = 0                 # in the order of ROW_NAMES, which is by length
    ROW_SZ = 1
    ROW_TS = 2
    ROW_SIDE = 3
    ROW_ERROR = 4
    ROW_ORDER = 5
    ROW_STATE = 6
    ROW_TIME = 7
    ROW_REQUEST = 8
    ROW_CODE = 9
    ROW_INST = 10
    ROW_FILL_PX = 11
    ROW_FILL_SZ = 12
    ROW_ALGO = 13
    ROW_TARGET = 14
    ROW_CLIENT = 15
    ROW_TRADE = 16
    ROW_FEE = 17
    ROW_LEG = 18
    ROW_TYPE = 19
    ROW_EXEC = 20
    ROW_FILL_TIME = 21
    ROW_CATEGORY = 22
    ROW_FAIL_CODE = 23
    ROW_ACC = 24
    ROW_FEE_CCY = 25
    ROW_AMEND_RESULT = 26
    ROW_AMEND_SOURCE = 27
    ROW_ALGO_CLIENT = 28
    ROW_CANCEL_SOURCE = 29
    ROW_QUOTE_CCY = 30
    ROW_FIELDS = 31

cdef const char** ROW_NAMES = [
    b"px", b"sz", b"ts", b"side", b"code", b"ordId", b"state", b"uTime", b"reqId", b"sCode", b"instId", b"fillPx", b"fillSz",
    b"algoId", b"tgtCcy", b"clOrdId", b"tradeId", b"fillFee", b"posSide", b"ordType", b"execType", b"fillTime", b"category", b"failCode",
    b"accFillSz", b"fillFeeCcy", b"amendResult", b"amendSource", b"algoClOrdId", b"cancelSource", b"tradeQuoteCcy"]
cdef int ROW_NAME_MAX = 13
cdef int[16] ROW_FIRST          # of each length of name: the first field
for _size in range(16):
    ROW_FIRST[_size] = sum(len(ROW_NAMES[_i]) < _size for _i in range(ROW_FIELDS))


cdef inline bint named(const char* key, Py_ssize_t size, const char* name, Py_ssize_t name_size) noexcept nogil:
    return size == name_size and memcmp(key, name, name_size) == 0


cdef inline int channel_of(const char* s, Py_ssize_t n) noexcept nogil:
    if named(s, n, b"books", 5) or named(s, n, b"books-l2-tbt", 12):
        return CHANNEL_BOOKS
    if named(s, n, b"trades", 6) or named(s, n, b"trades-all", 10):
        return CHANNEL_TRADES
    if named(s, n, b"bbo-tbt", 7):
        return CHANNEL_BBO
    if named(s, n, b"books50-l2-tbt", 14):
        return CHANNEL_BOOKS50
    if named(s, n, b"books5", 6):
        return CHANNEL_BOOKS5
    if named(s, n, b"orders", 6):
        return CHANNEL_ORDERS
    if named(s, n, b"orders-algo", 11):
        return CHANNEL_ALGO
    if named(s, n, b"mark-price", 10):
        return CHANNEL_MARK
    if named(s, n, b"funding-rate", 12):
        return CHANNEL_FUNDING
    return CHANNEL_OTHER


cdef inline bint is_depth(int channel) noexcept nogil:
    return CHANNEL_BOOKS <= channel <= CHANNEL_BBO or channel == CHANNEL_SEED


cdef inline int depth_of(int channel) noexcept nogil:
    if channel == CHANNEL_BBO:
        return 1
    if channel == CHANNEL_BOOKS5:
        return 5
    return 50 if channel == CHANNEL_BOOKS50 else 400


cdef int strings_in_level(tg_cur c) noexcept nogil:
    """How many strings the first level of a side has, 0 where that cannot be said."""
    cdef const char* s
    cdef Py_ssize_t n
    cdef int count = 0
    if not (tg_take(&c, c'[') and tg_take(&c, c'[')):
        return 0
    while tg_string(&c, &s, &n):
        count += 1
        if not tg_take(&c, c','):
            break
    return count


cdef int read_e8(const char* s, Py_ssize_t n, int64_t* magnitude, bint* minus, int* rest) noexcept nogil:
    """A decimal of any precision as a count of 1e-8. What was cut off, `rest`: 0 nothing, 1 below half, 2 half or more."""
    cdef Py_ssize_t i, kept
    minus[0] = n > 0 and s[0] == c'-'
    rest[0] = 0
    if minus[0]:
        s += 1
        n -= 1
    kept = n
    for i in range(n):
        if s[i] == c'.':
            kept = min(n, i + 9)
            break
    for i in range(kept, n):
        if not c'0' <= s[i] <= c'9':
            return TG_NUMBER
        if i == kept and s[i] >= c'5':
            rest[0] = 2
        elif s[i] != c'0' and rest[0] == 0:
            rest[0] = 1
    return tg_steps_slow(s, kept, E8, magnitude)


cdef int nearest_e8(tg_cur* c, int64_t* out) noexcept nogil:
    """A quoted signed decimal, to the nearest 1e-8: mark prices and funding rates come with up to 16 decimals."""
    cdef const char* s
    cdef Py_ssize_t n
    cdef bint minus = False
    cdef int rest = 0, code
    if not tg_string(c, &s, &n):
        return TG_SYNTAX
    code = read_e8(s, n, out, &minus, &rest)
    if code == TG_OK:
        out[0] += rest == 2
        if minus:
            out[0] = -out[0]
    return code


cdef inline int row_field(const char* key, Py_ssize_t size) noexcept nogil:
    cdef int i
    if size > ROW_NAME_MAX:
        return -1
    for i in range(ROW_FIRST[size], ROW_FIRST[size + 1]):
        if memcmp(ROW_NAMES[i], key, size) == 0:
            return i
    return -1


cdef int read_digits(const char* s, Py_ssize_t n, int64_t* out) noexcept nogil:
    """A whole number in text: digits alone, no leading zero, at most 18."""
    cdef Py_ssize_t i
    cdef int64_t value = 0
    if n == 0 or n > 18 or (n > 1 and s[0] == c'0'):
        return TG_RANGE if n > 18 else TG_NUMBER
    for i in range(n):
        if not c'0' <= s[i] <= c'9':
            return TG_NUMBER
        value = value * 10 + (s[i] - c'0')
    out[0] = value
    return TG_OK


cdef int group_of_source(int source) noexcept nogil:
    """ErrorGroup of a `cancelSource` (docs-v5 "Order channel")."""
    if source <= 1 or source == 13 or source == 14 or source == 20:
        return GROUP_NONE               # nobody, we, FOK, IOC, the dead-man's switch
    if source == 31:
        return GROUP_POST_ONLY
    if source == 2 or source == 3 or source == 4 or source == 9:
        return GROUP_FUNDS
    if source == 15 or source == 27 or source == 43 or source == 45:
        return GROUP_FILTER             # price limits of several kinds
    return GROUP_OTHER


cdef inline bint is_orders(int channel) noexcept nogil:
    return channel == CHANNEL_ORDERS or channel == CHANNEL_ALGO


cdef int64_t forced_id(const char* order, Py_ssize_t order_size, const char* px, Py_ssize_t px_size, const char* sz,
                       Py_ssize_t sz_size) noexcept nogil:
    """High half of the identity of a fill that has no trade id of its own; the low half is its time, below 0."""
    cdef uint64_t value = okx_hash(0xcbf29ce484222325U, order, order_size)
    value = okx_hash(value * 31, px, okx_plain(px, px_size) if px_size else 0)
    value = okx_hash(value * 31, sz, okx_plain(sz, sz_size) if sz_size else 0)
    return <int64_t>((value ^ (value >> 33)) * 0xff51afd7ed558ccdU)


@cython.final
cdef class OkxWire(Wire):
    """OKX: decoder and encoder. The symbol names the product (`BTC-USDT`, `BTC-USDT-SWAP`)."""

    def __init__(self, *args, **kwargs):
        self.batch_max = BATCH_MAX
        self.can_amend = True
        self.stop_by_rest = True        # stop orders and their cancels: `Rest.from_frame`
        self.stp = "expire_maker"
        self.set_spot_mode("cash")

    @property
    def stp(self) -> str:
        """Self-trade prevention of every NEW: expire_maker, expire_taker or expire_both. The venue asks for some mode
        always, and looks at the whole master account. ValueError for another word."""
        return self.stp_mode

    @stp.setter
    def stp(self, str mode):
        if mode not in STP_MODES:
            raise ValueError(f"stp {mode!r}: must be one of {', '.join(STP_MODES)}")
        self.stp_mode, self._stp = mode, STP_MODES[mode]
        self.stp_text, self.stp_size = PyBytes_AS_STRING(self._stp), len(self._stp)

    def set_spot_mode(self, str mode):
        """tdMode of spot orders: "cash" in spot and futures mode accounts, "cross" in multi-currency and portfolio
        margin ones (docs-v5 "Place order", tdMode). ValueError for another word."""
        if mode not in ("cash", "cross"):
            raise ValueError(f"spot mode {mode!r}: must be cash or cross")
        self.spot_is_cash = mode == "cash"

    cdef int decode(self, int context, const char* data, Py_ssize_t size, int64_t now_ns, Sink sink) except -1:
        cdef Frame f
        cdef tg_cur c
        cdef int done
        c.p = data
        c.end = data + size
        if size == 4 and memcmp(data, b"pong", 4) == 0:
            return NOT_MINE             # the answer to the text frame "ping": not JSON
        f.channel = f.action = f.has_arg = f.elements = f.unchained = 0
        f.instrument = -1
        f.code = -1
        f.symbol = f.data = f.event = f.op = f.id = f.name = NULL
        f.symbol_size = f.event_size = f.op_size = f.id_size = f.name_size = 0
        f.end = c.end
        f.sink = <void*>sink if sink.redundant else NULL
        if tg_peek(&c) != c'{':
            if not tg_skip(&c) or tg_peek(&c) or c.p != c.end:
                return self.fail(TG_SYNTAX, b"frame", &c, data)
            return NOT_MINE
        done = self._walk(&c, &f, IN_FRAME, b"object", data)
        if done >= BAD:
            return BAD if done == BAD else HANDLED
        if tg_peek(&c) or c.p != c.end:
            return self.fail(TG_SYNTAX, b"end of frame", &c, data)
        if f.event != NULL or f.op != NULL:
            return self._answer(&f, sink, data)
        if f.has_arg:
            return self._market(&f, sink, data)
        if f.data != NULL and 0 <= context < self.instruments.count and f.code == 0:
            return self._seed(context, &f, sink, data)
        return NOT_MINE

    # ---- the frame ----

    cdef int _walk(self, tg_cur* c, Frame* f, int where, const char* name, const char* start) except -1:
        """Read an object; who takes its members, `where` says. `name` is what to call it where it is none. HANDLED, BAD or COPY."""
        cdef const char* key
        cdef Py_ssize_t size
        cdef int done, more = tg_enter(c, c'{', c'}')
        while more > 0:
            if not tg_key(c, &key, &size):
                return self.fail(TG_SYNTAX, b"key", c, start)
            done = self._member(c, f, where, key, size, start)
            if done >= BAD:
                return done
            more = tg_more(c, c'}')
        return HANDLED if more == 0 else self.fail(TG_SYNTAX, name, c, start)

    cdef inline int _member(self, tg_cur* c, Frame* f, int where, const char* key, Py_ssize_t size,
                            const char* start) except -1:
        if where == IN_DEPTH:
            return self._depth_member(c, f, key, size, start)
        if where == IN_FRAME:
            return self._top_member(c, f, key, size, start)
        if where == IN_ARG:
            return self._arg_member(c, f, key, size, start)
        if where == IN_TRADE:
            return self._trade_member(c, f, &self.trades[f.elements], key, size, start)
        if where == IN_ROW:
            return self._row_member(c, f.row, key, size, start)
        return self._mark_member(c, f, key, size, start)

    cdef int _top_member(self, tg_cur* c, Frame* f, const char* key, Py_ssize_t size, const char* start) except -1:
        if named(key, size, b"arg", 3):
            return self._arg(c, f, start)
        if named(key, size, b"data", 4):
            if f.data != NULL:
                return self.fail(TG_SYNTAX, b"repeated key", c, start)
            tg_peek(c)
            f.data = c.p
            if f.sink != NULL and f.action == ACTION_UPDATE and self._is_copy(c, f):
                return COPY
            if is_orders(f.channel) or (f.instrument >= 0 and f.channel != CHANNEL_OTHER):
                return self._data(c, f, None, start)
        elif named(key, size, b"action", 6):
            return self._action(c, f, start)
        elif named(key, size, b"event", 5):
            return self._text(c, &f.event, &f.event_size, b"event", start)
        elif named(key, size, b"op", 2):
            return self._text(c, &f.op, &f.op_size, b"op", start)
        elif named(key, size, b"id", 2):
            return self._text(c, &f.id, &f.id_size, b"id", start)
        elif named(key, size, b"code", 4):
            return self._number(c, &f.code, b"code", start)
        return HANDLED if tg_skip(c) else self.fail(TG_SYNTAX, b"value", c, start)

    cdef int _arg(self, tg_cur* c, Frame* f, const char* start) except -1:
        """`{"channel":"books","instId":"BTC-USDT"}`, in any order, perhaps with more members."""
        if f.has_arg:
            return self.fail(TG_SYNTAX, b"arg", c, start)
        f.has_arg = 1
        if self._walk(c, f, IN_ARG, b"arg", start) == BAD:
            return BAD
        f.channel = channel_of(f.name, f.name_size) if f.name != NULL else CHANNEL_OTHER
        f.instrument = self.lookup(f.symbol, f.symbol_size) if f.symbol != NULL else -1
        return HANDLED

    cdef int _arg_member(self, tg_cur* c, Frame* f, const char* key, Py_ssize_t size, const char* start) except -1:
        if named(key, size, b"channel", 7):
            return self._text(c, &f.name, &f.name_size, b"channel", start)
        if named(key, size, b"instId", 6):
            return self._text(c, &f.symbol, &f.symbol_size, b"instId", start)
        return HANDLED if tg_skip(c) else self.fail(TG_SYNTAX, b"arg", c, start)

    cdef int _action(self, tg_cur* c, Frame* f, const char* start) except -1:
        cdef const char* s = NULL
        cdef Py_ssize_t n = 0
        if f.action != ACTION_NONE:
            return self.fail(TG_SYNTAX, b"repeated key", c, start)
        if self._text(c, &s, &n, b"action", start) == BAD:
            return BAD
        if named(s, n, b"update", 6):
            f.action = ACTION_UPDATE
        elif named(s, n, b"snapshot", 8):
            f.action = ACTION_SNAPSHOT
        else:
            return self.fail(TG_SYNTAX, b"action", c, start)
        return HANDLED

    cdef int _text(self, tg_cur* c, const char** out, Py_ssize_t* size, const char* name, const char* start) except -1:
        """A string member that may come once."""
        if out[0] != NULL:
            return self.fail(TG_SYNTAX, b"repeated key", c, start)
        return HANDLED if tg_string(c, out, size) else self.fail(TG_SYNTAX, name, c, start)

    cdef int _number(self, tg_cur* c, int64_t* out, const char* name, const char* start) except -1:
        """An integer member, as a number or as a string of digits."""
        cdef int code = tg_int_or_text(c, out)
        return self.fail(code, name, c, start) if code else HANDLED

    cdef int _time(self, tg_cur* c, int64_t* out_ns, const char* name, const char* start) except -1:
        """Milliseconds to ns."""
        cdef int64_t ms = 0
        if self._number(c, &ms, name, start) == BAD:
            return BAD
        if not 0 <= ms < MS_MAX:
            return self.fail(TG_RANGE, name, c, start)
        out_ns[0] = ms * 1000000
        return HANDLED

    cdef int _same_symbol(self, tg_cur* c, Frame* f, const char* start) except -1:
        """An element that names its instrument must name the one of `arg`."""
        cdef const char* s = NULL
        cdef Py_ssize_t n = 0
        if self._text(c, &s, &n, b"instId", start) == BAD:
            return BAD
        return HANDLED if named(s, n, f.symbol, f.symbol_size) else self.fail(TG_SYNTAX, b"instId", c, start)

    # ---- elements of "data" ----

    cdef int _data(self, tg_cur* c, Frame* f, Sink sink, const char* start) except -1:
        """Read every element. Without a sink nothing is pushed: the last depth or mark stays in `f`, trades in scratch;
        with one, each element is pushed as it is read (only of a frame that was read to its end before)."""
        cdef int more = tg_enter(c, c'[', c']')
        f.elements = 0
        if more < 0:
            return self.fail(TG_SYNTAX, b"data", c, start)
        while more:
            if self._element(c, f, sink, start) == BAD:
                return BAD
            f.elements += 1
            more = tg_more(c, c']')
            if more < 0:
                return self.fail(TG_SYNTAX, b"data", c, start)
        return HANDLED

    cdef int _element(self, tg_cur* c, Frame* f, Sink sink, const char* start) except -1:
        if is_depth(f.channel):
            if self._depth(c, f, start) == BAD:
                return BAD
            return HANDLED if sink is None else self._push_depth(f, sink)
        if f.channel == CHANNEL_TRADES:
            return self._trade(c, f, start)
        if is_orders(f.channel):
            return self._order(c, f, sink, start)
        if self._mark(c, f, start) == BAD:
            return BAD
        if sink is not None:
            sink.on_mark(&f.mark)
        return HANDLED

    cdef int _market(self, Frame* f, Sink sink, const char* start) except -1:
        """A push, read to its end. Push what it holds."""
        cdef int i
        cdef tg_cur c
        if f.channel == CHANNEL_OTHER or f.data == NULL or (f.instrument < 0 and not is_orders(f.channel)):
            return NOT_MINE
        c.p, c.end = f.data, f.end
        if (f.channel == CHANNEL_BOOKS or f.channel == CHANNEL_BOOKS50) and f.action == ACTION_NONE:
            return self.fail(TG_SYNTAX, b"action", &c, start)
        if f.elements == 0 and self._data(&c, f, None, start) == BAD:   # "data" came before "arg", or is empty
            return BAD
        if is_depth(f.channel) and self._depth_chain(f, start) == BAD:
            return BAD
        if f.channel == CHANNEL_TRADES:
            for i in range(f.elements):
                sink.on_trade(&self.trades[i])
            return HANDLED
        if is_depth(f.channel) and f.elements == 1:
            return self._push_depth(f, sink)
        c.p = f.data                    # scratch holds one element: read again, this time pushing
        return self._data(&c, f, sink, start)

    cdef int _seed(self, int context, Frame* f, Sink sink, const char* start) except -1:
        """`GET /api/v5/market/books`: the reply does not name its instrument, `context` does."""
        cdef tg_cur c
        c.p, c.end = f.data, f.end
        f.channel = CHANNEL_SEED
        f.instrument = context
        if self._data(&c, f, None, start) == BAD:
            return BAD
        if f.elements == 0:
            return NOT_MINE
        if f.elements > 1:
            return self.fail(TG_MANY, b"data", &c, start)
        return self._push_depth(f, sink)

    # ---- depth ----

    cdef int _depth(self, tg_cur* c, Frame* f, const char* start) except -1:
        f.head.bids = f.head.asks = -1
        f.head.last_id = f.head.prev_id = f.head.first_id = -1
        f.head.event_ns = 0
        f.head.checksum = 0
        if self._walk(c, f, IN_DEPTH, b"data", start) == BAD:
            return BAD
        if f.head.bids < 0 or f.head.asks < 0:
            return self.fail(TG_SYNTAX, b"bids or asks", c, start)
        f.unchained |= f.head.prev_id < 0 if f.head.last_id >= 0 else f.head.checksum == 0 or f.head.prev_id >= 0
        return HANDLED

    cdef int _depth_member(self, tg_cur* c, Frame* f, const char* key, Py_ssize_t size, const char* start) except -1:
        cdef int64_t value = 0
        if named(key, size, b"asks", 4):
            return self._side(c, f, False, start)
        if named(key, size, b"bids", 4):
            return self._side(c, f, True, start)
        if named(key, size, b"ts", 2):
            return self._time(c, &f.head.event_ns, b"ts", start)
        if named(key, size, b"checksum", 8):
            if self._number(c, &value, b"checksum", start) == BAD:
                return BAD
            f.head.checksum = <int32_t>value
            return HANDLED if f.head.checksum == value else self.fail(TG_RANGE, b"checksum", c, start)
        if named(key, size, b"seqId", 5):
            if self._number(c, &f.head.last_id, b"seqId", start) == BAD:
                return BAD
            return HANDLED if f.head.last_id >= 0 else self.fail(TG_RANGE, b"seqId", c, start)
        if named(key, size, b"prevSeqId", 9):
            if self._number(c, &f.head.prev_id, b"prevSeqId", start) == BAD:
                return BAD
            return HANDLED if f.head.prev_id >= -1 else self.fail(TG_RANGE, b"prevSeqId", c, start)
        if named(key, size, b"instId", 6) and f.channel != CHANNEL_SEED:
            return self._same_symbol(c, f, start)
        return HANDLED if tg_skip(c) else self.fail(TG_SYNTAX, b"value", c, start)

    cdef int _depth_chain(self, Frame* f, const char* start) except -1:
        """An update must show that it continues the book: by its ids, or (captures before 2023) by a checksum."""
        cdef tg_cur c
        c.p, c.end = f.data, f.end
        if f.action == ACTION_UPDATE and f.channel <= CHANNEL_BOOKS50 and f.unchained:
            return self.fail(TG_SYNTAX, b"seqId, prevSeqId or checksum", &c, start)
        return HANDLED

    cdef int _side(self, tg_cur* c, Frame* f, bint is_bid, const char* start) except -1:
        """Levels are `[px, size, "0", orders]`; other lengths (REST full book: three) are taken where all agree."""
        cdef int64_t count = 0
        cdef tg_cur first = c[0]
        cdef Level* out = self.bids if is_bid else self.asks
        cdef const char* price = b"bid price" if is_bid else b"ask price"
        cdef const char* size = b"bid size" if is_bid else b"ask size"
        cdef int code, strings
        if (f.head.bids if is_bid else f.head.asks) >= 0:
            return self.fail(TG_SYNTAX, b"repeated key", c, start)
        self.error_field = b"levels"
        code = self.read_levels(c, f.instrument, 2, out, &count, price, size)
        if code == TG_SYNTAX:
            strings = strings_in_level(first)
            if 2 <= strings <= 8 and strings != 4:
                c[0] = first
                code = self.read_levels(c, f.instrument, strings - 2, out, &count, price, size)
        if code:
            return self.fail(code, self.error_field, c, start)
        if is_bid:
            f.head.bids = <int32_t>count
        else:
            f.head.asks = <int32_t>count
        return HANDLED

    cdef bint _is_copy(self, tg_cur* c, Frame* f) except -1:
        """At the data of an update: does the taker have it? Its ids stand behind the levels, so the end of the frame is read:
        `],"ts":"1","checksum":0,"seqId":3,"prevSeqId":2}]}`, in any order and with nothing else. Of a member that comes twice
        the last counts, which is the one here."""
        cdef tg_cur t
        cdef const char* key
        cdef Py_ssize_t size
        cdef const char* last
        cdef int code, more
        if f.instrument < 0 or not CHANNEL_BOOKS <= f.channel <= CHANNEL_BOOKS50 or f.event != NULL or f.op != NULL:
            return False
        if c.end - c.p < 3 or memcmp(c.end - 3, b"}]}", 3) != 0:
            return False
        last = self.tail(c, 3, &t)
        if last == NULL:
            return False
        f.head.last_id = f.head.prev_id = -1
        more = tg_more(&t, c'}')
        while more > 0:
            if not tg_key(&t, &key, &size):
                return False
            if named(key, size, b"seqId", 5):
                code = tg_int_or_text(&t, &f.head.last_id)
            elif named(key, size, b"prevSeqId", 9):
                code = tg_int_or_text(&t, &f.head.prev_id)
            elif named(key, size, b"ts", 2) or named(key, size, b"checksum", 8):
                code = TG_OK if tg_skip(&t) else TG_SYNTAX
            else:
                return False
            more = -1 if code else tg_more(&t, c'}')
        if more < 0 or t.end - t.p != 2 or f.head.last_id < 0 or f.head.prev_id < 0:
            return False
        if f.head.last_id > (<Sink>f.sink).newest(f.instrument) or memchr(c.p, c'}', last - c.p) != NULL:
            return False
        self._depth_head(f)
        return (<Sink>f.sink).is_copy(&f.head)

    cdef int _depth_head(self, Frame* f) noexcept nogil:
        """What a depth message says of its place in the stream. A requested snapshot is spliced where prevSeqId <= its
        seqId < seqId (docs-v5, SBE order book), so an update's first id is its prevSeqId."""
        cdef DepthHead* head = &f.head
        head.instrument = f.instrument
        head.depth = depth_of(f.channel)
        head.partial = f.channel == CHANNEL_BOOKS5 or f.channel == CHANNEL_BBO
        if f.channel == CHANNEL_SEED:
            head.kind = SEED
        else:
            head.kind = UPDATE if f.action == ACTION_UPDATE and not head.partial else SNAPSHOT
        head.rule = RULE_PREV if head.last_id >= 0 else RULE_NONE
        if head.kind != UPDATE or head.rule == RULE_NONE:
            head.prev_id = -1
        head.first_id = head.prev_id
        return 0

    cdef int _push_depth(self, Frame* f, Sink sink) except -1:
        """Complete the head and hand over."""
        self._depth_head(f)
        sink.on_depth(&f.head, self.bids, self.asks)
        return self._push_quote(f, sink) if f.head.partial else HANDLED

    cdef int _push_quote(self, Frame* f, Sink sink) except -1:
        """The best level of each side. Update id 0 (never compared) where the capture is older than `seqId`."""
        cdef Quote quote
        cdef int i
        memset(&quote, 0, sizeof(quote))
        quote.instrument = f.instrument
        quote.update_id = max(f.head.last_id, 0)
        for i in range(f.head.bids):
            if self.bids[i].size_lots and (not quote.bid_lots or self.bids[i].price_ticks > quote.bid_ticks):
                quote.bid_ticks, quote.bid_lots = self.bids[i].price_ticks, self.bids[i].size_lots
        for i in range(f.head.asks):
            if self.asks[i].size_lots and (not quote.ask_lots or self.asks[i].price_ticks < quote.ask_ticks):
                quote.ask_ticks, quote.ask_lots = self.asks[i].price_ticks, self.asks[i].size_lots
        quote.event_ns = f.head.event_ns
        sink.on_quote(&quote)
        return HANDLED

    cdef int checksum(self, int instrument, const Level* bids, int n_bids, const Level* asks, int n_asks,
                      int32_t* out) except -1:
        """CRC-32 of `bidPx:bidSz:askPx:askSz:...` of the best 25 of each side; the longer side goes on alone. Prices and
        sizes are spelled as the venue spells them: without padding zeros. Returns 1."""
        cdef char text[100]
        cdef uint32_t crc = <uint32_t>-1
        cdef int i, size, skip = 1      # the very first ':' is not part of the text
        cdef const Level* level
        for i in range(2 * CHECKSUM_LEVELS):
            if i // 2 >= (n_asks if i & 1 else n_bids):
                continue
            level = &asks[i // 2] if i & 1 else &bids[i // 2]
            text[0] = c':'
            size = 1 + tg_put_decimal(text + 1, level.price_ticks, &self.instruments.price_grids[instrument], 0)
            text[size] = c':'
            size += 1
            size += tg_put_decimal(text + size, level.size_lots, &self.instruments.size_grids[instrument], 0)
            crc = okx_crc(crc, text + skip, size - skip)
            skip = 0
        out[0] = <int32_t>(~crc)
        return 1

    # ---- trades, mark, funding ----

    cdef int _checked(self, int code, const char* name, tg_cur* c, const char* start) except -1:
        return self.fail(code, name, c, start) if code else HANDLED

    cdef int _trade(self, tg_cur* c, Frame* f, const char* start) except -1:
        cdef Trade* trade = &self.trades[f.elements]
        if f.elements >= TRADES_MAX:
            return self.fail(TG_MANY, b"data", c, start)
        memset(trade, 0, sizeof(Trade))
        trade.instrument = f.instrument
        trade.price_ticks = trade.size_lots = trade.id_lo = trade.side = -1
        if self._walk(c, f, IN_TRADE, b"data", start) == BAD:
            return BAD
        if trade.price_ticks < 0 or trade.size_lots < 0 or trade.id_lo < 0 or trade.side < 0:
            return self.fail(TG_SYNTAX, b"px, sz, tradeId or side", c, start)
        return HANDLED

    cdef int _trade_member(self, tg_cur* c, Frame* f, Trade* trade, const char* key, Py_ssize_t size,
                           const char* start) except -1:
        cdef int64_t count = 0
        cdef int code
        tg_peek(c)
        if named(key, size, b"px", 2):
            code = tg_decimal(c, &self.instruments.price_grids[f.instrument], &trade.price_ticks)
            code = TG_RANGE if code == TG_OK and trade.price_ticks > TG_MAX_PRICE else code
            return self._checked(code, b"px", c, start)
        if named(key, size, b"sz", 2):
            code = tg_decimal(c, &self.instruments.size_grids[f.instrument], &trade.size_lots)
            return self._checked(code, b"sz", c, start)
        if named(key, size, b"tradeId", 7):
            return self._number(c, &trade.id_lo, b"tradeId", start)
        if named(key, size, b"side", 4):
            trade.side = self._buy_or_sell(c)
            return HANDLED if trade.side >= 0 else self.fail(TG_SYNTAX, b"side", c, start)
        if named(key, size, b"ts", 2):
            return self._time(c, &trade.event_ns, b"ts", start)
        if named(key, size, b"count", 5):
            if self._number(c, &count, b"count", start) == BAD:
                return BAD
            trade.aggregate = count > 1
            return HANDLED
        if named(key, size, b"instId", 6):
            return self._same_symbol(c, f, start)
        return HANDLED if tg_skip(c) else self.fail(TG_SYNTAX, b"value", c, start)

    cdef int _buy_or_sell(self, tg_cur* c) except -2:
        cdef const char* s
        cdef Py_ssize_t n
        if not tg_string(c, &s, &n):
            return -1
        if named(s, n, b"buy", 3):
            return BUY
        return SELL if named(s, n, b"sell", 4) else -1

    cdef int _mark(self, tg_cur* c, Frame* f, const char* start) except -1:
        memset(&f.mark, 0, sizeof(f.mark))
        f.mark.instrument = f.instrument
        if self._walk(c, f, IN_MARK, b"data", start) == BAD:
            return BAD
        if f.channel == CHANNEL_MARK and not f.mark.present & MARK_PRICE:
            return self.fail(TG_SYNTAX, b"markPx", c, start)
        return HANDLED

    cdef int _mark_member(self, tg_cur* c, Frame* f, const char* key, Py_ssize_t size, const char* start) except -1:
        """`mark-price` gives `markPx`, `funding-rate` the rate due at `fundingTime`. Empty strings mean "not known"."""
        cdef Py_ssize_t left
        tg_peek(c)
        left = f.end - c.p
        if left >= 2 and memcmp(c.p, b'""', 2) == 0:
            c.p += 2
            return HANDLED
        if f.channel == CHANNEL_MARK and named(key, size, b"markPx", 6):
            f.mark.present |= MARK_PRICE
            return self._checked(nearest_e8(c, &f.mark.mark_e8), b"markPx", c, start)
        if f.channel == CHANNEL_FUNDING and named(key, size, b"fundingRate", 11):
            f.mark.present |= FUNDING_RATE
            return self._checked(nearest_e8(c, &f.mark.funding_e8), b"fundingRate", c, start)
        if f.channel == CHANNEL_FUNDING and named(key, size, b"fundingTime", 11):
            f.mark.present |= NEXT_FUNDING
            return self._time(c, &f.mark.next_funding_ns, b"fundingTime", start)
        if named(key, size, b"ts", 2):
            return self._time(c, &f.mark.event_ns, b"ts", start)
        if named(key, size, b"instId", 6):
            return self._same_symbol(c, f, start)
        return HANDLED if tg_skip(c) else self.fail(TG_SYNTAX, b"value", c, start)

    # ---- orders: the private channels ----

    cdef int _row(self, tg_cur* c, Frame* f, Row* row, const char* start) except -1:
        """Note where the members of an element stand that speak of an order."""
        memset(row, 0, sizeof(Row))
        row.instrument = -1
        row.start, row.end = start, c.end
        f.row = row
        return self._walk(c, f, IN_ROW, b"data", start)

    cdef int _row_member(self, tg_cur* c, Row* row, const char* key, Py_ssize_t size, const char* start) except -1:
        cdef int field = row_field(key, size)
        tg_peek(c)
        if field >= 0:
            if row.at[field] != NULL:
                return self.fail(TG_SYNTAX, b"repeated key", c, start)
            row.at[field] = c.p
        return HANDLED if tg_skip(c) else self.fail(TG_SYNTAX, b"value", c, start)

    cdef int _row_fail(self, int code, Row* row, int field) except -1:
        cdef tg_cur c
        c.p, c.end = row.at[field] if row.at[field] != NULL else row.start, row.end
        return self.fail(code, ROW_NAMES[field], &c, row.start)

    cdef int _cell(self, Row* row, int field, const char** out, Py_ssize_t* size) except -1:
        """Text of a noted member; absent, null and "" are all size 0."""
        cdef tg_cur c
        c.p, c.end = row.at[field], row.end
        out[0], size[0] = b"", 0
        if c.p == NULL or c.p[0] == c'n':
            return HANDLED
        return HANDLED if tg_string(&c, out, size) else self._row_fail(TG_SYNTAX, row, field)

    cdef int _cell_number(self, Row* row, int field, int64_t* out) except -1:
        """Integer in a noted member, as a number or in quotes, perhaps below 0; unchanged where absent or empty."""
        cdef const char* s
        cdef Py_ssize_t n
        cdef bint minus
        cdef tg_cur c
        cdef int code
        c.p, c.end = row.at[field], row.end
        if c.p == NULL or c.p[0] == c'n':
            return HANDLED
        if c.p[0] != c'"':
            return self._number(&c, out, ROW_NAMES[field], row.start)
        if self._cell(row, field, &s, &n) == BAD:
            return BAD
        minus = n > 1 and s[0] == c'-'
        code = read_digits(s + minus, n - minus, out) if n else TG_OK
        if code:
            return self._row_fail(code, row, field)
        if minus:
            out[0] = -out[0]
        return HANDLED

    cdef int _cell_time(self, Row* row, int field, int64_t* out_ns) except -1:
        cdef int64_t ms = -1
        if self._cell_number(row, field, &ms) == BAD:
            return BAD
        if not -1 <= ms < MS_MAX:
            return self._row_fail(TG_RANGE, row, field)
        if ms >= 0:
            out_ns[0] = ms * 1000000
        return HANDLED

    cdef int _cell_steps(self, Row* row, int field, tg_grid grid, int64_t* out) except -1:
        """Ticks or lots in a noted member; unchanged where that is absent or empty."""
        cdef const char* s
        cdef Py_ssize_t n
        cdef int code
        if self._cell(row, field, &s, &n) == BAD:
            return BAD
        code = tg_steps_slow(s, n, grid, out) if n else TG_OK
        return self._row_fail(code, row, field) if code else HANDLED

    cdef bint _says(self, Row* row, int field, const char* word, Py_ssize_t size) except -1:
        """Whether a noted member is this text. What is no text is not."""
        cdef const char* s = row.at[field]
        return (s != NULL and row.end - s >= size + 2 and s[0] == c'"' and s[size + 1] == c'"'
                and memcmp(s + 1, word, size) == 0)

    cdef int _order(self, tg_cur* c, Frame* f, Sink sink, const char* start) except -1:
        """One row of `orders` (the fill it carries, if any, then how an amend went, then what became of the order) or of
        `orders-algo`. A row may be of an order that is not ours (order id 0): liquidations and other programs move the same
        position."""
        cdef Row row
        cdef Report report
        cdef const char* s
        cdef Py_ssize_t n
        if self._row(c, f, &row, start) == BAD:
            return BAD
        if self._cell(&row, ROW_INST, &s, &n) == BAD:
            return BAD
        if n == 0:
            return self._row_fail(TG_SYNTAX, &row, ROW_INST)
        row.instrument = self.lookup(s, n)
        if row.instrument < 0:
            return HANDLED
        row.is_algo = f.channel == CHANNEL_ALGO
        if self._order_head(&row, &report) == BAD or self._order_terms(&row, &report) == BAD:
            return BAD
        if row.is_algo:
            return self._algo_state(&row, &report, sink)
        if self._order_fill(&row, report, sink) == BAD or self._order_amend(&row, report, sink) == BAD:
            return BAD
        return self._order_state(&row, &report, sink)

    cdef int _order_head(self, Row* row, Report* report) except -1:
        """What every report of this row has in common. The order that a stop became carries the stop's id in `algoClOrdId`."""
        cdef const char* s
        cdef Py_ssize_t n
        memset(report, 0, sizeof(Report))
        report.instrument = row.instrument
        report.filled_lots = report.order_ticks = report.order_lots = -1
        if not row.is_algo:
            if self._cell(row, ROW_CLIENT, &s, &n) == BAD:
                return BAD
            report.order_id = self.own_id(s, n, &report.epoch)
        if report.order_id == 0:
            if self._cell(row, ROW_ALGO_CLIENT, &s, &n) == BAD:
                return BAD
            report.order_id = self.own_id(s, n, &report.epoch)
            row.is_child = not row.is_algo and report.order_id != 0
        if self._cell(row, ROW_SIDE, &s, &n) == BAD:
            return BAD
        if not (named(s, n, b"buy", 3) or named(s, n, b"sell", 4)):
            return self._row_fail(TG_SYNTAX, row, ROW_SIDE)
        report.side = BUY if n == 3 else SELL
        if self._order_leg(row, report) == BAD or self._cell_time(row, ROW_TIME, &report.event_ns) == BAD:
            return BAD
        return self._venue_id(row, ROW_ALGO if row.is_algo else ROW_ORDER, True, report)

    cdef int _order_leg(self, Row* row, Report* report) except -1:
        """`posSide`, which may be empty for spot."""
        cdef const char* s
        cdef Py_ssize_t n
        report.leg = -1
        if self._cell(row, ROW_LEG, &s, &n) == BAD:
            return BAD
        if named(s, n, b"net", 3):
            report.leg = NET
        elif named(s, n, b"long", 4):
            report.leg = LONG_LEG
        elif named(s, n, b"short", 5):
            report.leg = SHORT_LEG
        elif n:
            return self._row_fail(TG_SYNTAX, row, ROW_LEG)
        return HANDLED

    cdef int _order_terms(self, Row* row, Report* report) except -1:
        """Cumulative fill, limit price and whole size. `sz` of a spot market order is in quote coin unless `tgtCcy` says
        base: then it is not told."""
        cdef const char* s
        cdef Py_ssize_t n
        cdef bint is_market = self._says(row, ROW_TYPE, b"market", 6) or self._says(row, ROW_TYPE, b"optimal_limit_ioc", 17)
        cdef int64_t px = -1, sz = -1
        cdef tg_grid size = self.instruments.size_grids[row.instrument]
        if self._cell_steps(row, ROW_PX, self.instruments.price_grids[row.instrument], &px) == BAD:
            return BAD
        if not (is_market or row.is_algo):
            report.order_ticks = px
        if self.instruments.rows[row.instrument].is_perpetual or self._says(row, ROW_TARGET, b"base_ccy", 8) or not (
                is_market or row.is_algo or self._says(row, ROW_TARGET, b"quote_ccy", 9)):
            if self._cell_steps(row, ROW_SZ, size, &report.order_lots) == BAD:
                return BAD
        if self._cell_steps(row, ROW_ACC, size, &report.filled_lots) == BAD:
            return BAD
        if report.filled_lots < 0 and not row.is_algo:
            return self._row_fail(TG_SYNTAX, row, ROW_ACC)
        if row.is_child:
            report.order_lots = -1      # of this part of the stop only
        return HANDLED

    cdef int _venue_id(self, Row* row, int field, bint is_needed, Report* report) except -1:
        """The venue's order id: opaque, but it goes into requests later, so nothing but letters and digits."""
        cdef const char* s
        cdef Py_ssize_t n, i
        if self._cell(row, field, &s, &n) == BAD:
            return BAD
        if n > <Py_ssize_t>sizeof(report.venue_id):
            return self._row_fail(TG_RANGE, row, field)
        for i in range(n):
            if not (c'0' <= s[i] <= c'9' or c'a' <= s[i] <= c'z' or c'A' <= s[i] <= c'Z'):
                return self._row_fail(TG_SYNTAX, row, field)
        if is_needed and n == 0:
            return self._row_fail(TG_SYNTAX, row, field)
        if n:   # else it may point nowhere
            memcpy(report.venue_id, s, n)
        report.venue_id_size = <int32_t>n
        return HANDLED

    cdef int _order_fill(self, Row* row, Report fill, Sink sink) except -1:
        """The trade in this push, if there is one. Trade ids are unique per instrument (docs-v5 "Order channel")."""
        cdef int32_t which = row.instrument
        cdef int64_t trade = 0
        fill.kind = REPORT_FILL
        fill.price_ticks = fill.size_lots = -1
        if self._cell_number(row, ROW_TRADE, &trade) == BAD:
            return BAD
        if self._cell_steps(row, ROW_FILL_SZ, self.instruments.size_grids[which], &fill.size_lots) == BAD:
            return BAD
        if trade <= 0 and fill.size_lots <= 0:
            return HANDLED
        row.has_fill = True
        if self._cell_steps(row, ROW_FILL_PX, self.instruments.price_grids[which], &fill.price_ticks) == BAD:
            return BAD
        if fill.price_ticks < 0 or fill.size_lots <= 0:
            return self._row_fail(TG_SYNTAX, row, ROW_FILL_PX if fill.price_ticks < 0 else ROW_FILL_SZ)
        fill.maker = self._says(row, ROW_EXEC, b"M", 1)
        if self._cell_time(row, ROW_FILL_TIME, &fill.event_ns) == BAD:
            return BAD
        if self._order_fee(row, &fill) == BAD or self._trade_id(row, trade, &fill) == BAD:
            return BAD
        return self._order_nature(row, &fill, sink)

    cdef int _trade_id(self, Row* row, int64_t trade, Report* fill) except -1:
        """Liquidations and ADL say 0 here and something else in REST: see `forced_trade_id`."""
        cdef const char* px
        cdef const char* sz
        cdef Py_ssize_t px_size, sz_size
        fill.trade_lo = trade
        if trade > 0:
            return HANDLED
        if self._cell(row, ROW_FILL_PX, &px, &px_size) == BAD or self._cell(row, ROW_FILL_SZ, &sz, &sz_size) == BAD:
            return BAD
        fill.trade_hi = forced_id(fill.venue_id, fill.venue_id_size, px, px_size, sz, sz_size)
        fill.trade_lo = -1 - fill.event_ns // 1000000
        return HANDLED

    cdef int _order_nature(self, Row* row, Report* fill, Sink sink) except -1:
        """What the venue did to the account, by `category`; a word that is new is told, and the fill counts all the same."""
        cdef const char* s
        cdef Py_ssize_t n
        cdef bint is_odd = False
        if self._cell(row, ROW_CATEGORY, &s, &n) == BAD:
            return BAD
        if n == 0 or named(s, n, b"normal", 6) or named(s, n, b"ddh", 3):
            fill.nature = TRADE_FILL
        elif named(s, n, b"adl", 3):
            fill.nature = ADL
        elif named(s, n, b"delivery", 8):
            fill.nature = SETTLEMENT
        elif (named(s, n, b"full_liquidation", 16) or named(s, n, b"partial_liquidation", 19)
                or named(s, n, b"twap", 4) or named(s, n, b"auto_conversion", 15)):
            fill.nature = LIQUIDATION   # twap is how a debt is repaid by force, auto_conversion likewise
        else:
            is_odd = True
        self._push(fill, sink)
        if is_odd:
            fill.kind = REPORT_ODD
            self._push(fill, sink)
        return HANDLED

    cdef int _push(self, const Report* report, Sink sink) except -1:
        return 0 if sink is None else sink.on_report(report)

    cdef int _order_fee(self, Row* row, Report* report) except -1:
        """`fillFee` is negative where it is paid and has up to 18 decimals: what is paid is rounded up to 1e-8, what is
        received down, so that the books never look better than the account."""
        cdef const char* s
        cdef const char* quote
        cdef Py_ssize_t n, quote_size
        cdef bint minus = False
        cdef int rest = 0, code
        if self._cell(row, ROW_FEE, &s, &n) == BAD:
            return BAD
        if n == 0:
            report.fee_is_quote = -1
            return HANDLED
        code = read_e8(s, n, &report.fee_e8, &minus, &rest)
        if code:
            return self._row_fail(code, row, ROW_FEE)
        report.fee_e8 = report.fee_e8 + (rest > 0) if minus else -report.fee_e8
        if self._cell(row, ROW_FEE_CCY, &s, &n) == BAD or self._cell(row, ROW_QUOTE_CCY, &quote, &quote_size) == BAD:
            return BAD
        report.fee_is_quote = 1 if n > 0 and named(s, n, quote, quote_size) else self._coin_of(row.instrument, s, n)
        self.put_coin(report, s, n)
        return HANDLED

    cdef int _coin_of(self, int instrument, const char* s, Py_ssize_t n) noexcept nogil:
        """Which part of the symbol a coin is (Report.fee_is_quote): the second is the quote of a spot pair and what a linear
        swap settles in, the first is the base."""
        cdef Instrument* row = &self.instruments.rows[instrument]
        cdef int part, at = 0, stop
        for part in range(2):
            stop = at
            while stop < row.symbol_size and row.symbol[stop] != c'-':
                stop += 1
            if n > 0 and named(s, n, row.symbol + at, stop - at):
                return 1 if part else 2
            at = min(stop + 1, row.symbol_size)
        return 0

    cdef int _order_amend(self, Row* row, Report report, Sink sink) except -1:
        """How an amend went (`amendResult`), or that the venue changed the order by itself (`amendSource`). Price and size in
        force are those of the row. Result 1: failed, and the order is canceled, which the state says."""
        cdef const char* result
        cdef const char* source
        cdef Py_ssize_t n, source_size
        cdef int64_t code = 0
        if self._cell(row, ROW_AMEND_RESULT, &result, &n) == BAD:
            return BAD
        if self._cell(row, ROW_AMEND_SOURCE, &source, &source_size) == BAD:
            return BAD
        if n == 0 and source_size == 0:
            return HANDLED
        if n == 0 or named(result, n, b"0", 1) or named(result, n, b"2", 1):
            report.kind = REPORT_AMENDED
        elif named(result, n, b"-1", 2) or named(result, n, b"1", 1):
            report.kind = REPORT_AMEND_REJECT
            if self._cell_number(row, ROW_ERROR, &code) == BAD:
                return BAD
            if not 0 <= code <= 0x7FFFFFFF:
                return self._row_fail(TG_RANGE, row, ROW_ERROR)
            report.code = <int32_t>code
            if code:
                self.fate(code, AMEND, &report.group)
        else:
            report.kind = REPORT_ODD
        return self._push(&report, sink)

    cdef int _order_state(self, Row* row, Report* report, Sink sink) except -1:
        """A state is reported after its fill. The last push of a spot market order is `filled` without any fill. A stop may
        become several orders, so the end of one filled whole is not the end of the stop: its size says that."""
        cdef const char* s
        cdef Py_ssize_t n
        if self._cell(row, ROW_STATE, &s, &n) == BAD:
            return BAD
        if named(s, n, b"filled", 6):
            report.kind = REPORT_LIVE if row.is_child else REPORT_FILLED
        elif named(s, n, b"canceled", 8) or named(s, n, b"mmp_canceled", 12):
            if self._order_ended(row, report) == BAD:
                return BAD
        elif named(s, n, b"live", 4):
            report.kind = REPORT_LIVE
        elif named(s, n, b"partially_filled", 16):
            if row.has_fill:
                return HANDLED
            report.kind = REPORT_LIVE
        elif n == 0:
            return self._row_fail(TG_SYNTAX, row, ROW_STATE)
        else:
            report.kind = REPORT_ODD
        self._push(report, sink)
        return HANDLED

    cdef int _order_ended(self, Row* row, Report* report) except -1:
        """By our will (a cancel of ours, the dead-man's switch) or by the venue's: `cancelSource`, told as the code."""
        cdef int64_t source = -1
        if self._cell_number(row, ROW_CANCEL_SOURCE, &source) == BAD:
            return BAD
        if not -1 <= source <= 9999:
            return self._row_fail(TG_RANGE, row, ROW_CANCEL_SOURCE)
        report.kind = REPORT_CANCELED if source == -1 or source == 1 or source == 20 else REPORT_EXPIRED
        report.code = <int32_t>max(source, 0)
        report.group = group_of_source(<int>source)
        return HANDLED

    cdef int _algo_state(self, Row* row, Report* report, Sink sink) except -1:
        """A stop that waits is LIVE. What it does once triggered, the orders that it becomes tell in `orders`."""
        cdef const char* s
        cdef Py_ssize_t n
        cdef int64_t code = 0
        if self._cell(row, ROW_STATE, &s, &n) == BAD:
            return BAD
        if named(s, n, b"live", 4) or named(s, n, b"pause", 5) or named(s, n, b"partially_effective", 19):
            report.kind = REPORT_LIVE
        elif named(s, n, b"effective", 9) or named(s, n, b"order_placed", 12):
            return HANDLED
        elif named(s, n, b"canceled", 8):
            report.kind = REPORT_CANCELED
        elif named(s, n, b"order_failed", 12):
            if self._cell_number(row, ROW_FAIL_CODE, &code) == BAD:
                return BAD
            if not 0 <= code <= 0x7FFFFFFF:
                return self._row_fail(TG_RANGE, row, ROW_FAIL_CODE)
            report.kind, report.code = REPORT_EXPIRED, <int32_t>code
            self.fate(code, NEW, &report.group)
        elif n == 0:
            return self._row_fail(TG_SYNTAX, row, ROW_STATE)
        else:
            report.kind = REPORT_ODD    # partially_failed too: how much of it is left, it does not say
        self._push(report, sink)
        return HANDLED

    # ---- orders: answers to what we sent ----

    cdef int _answer(self, Frame* f, Sink sink, const char* start) except -1:
        """`op` + `id`: what the gateway did with a request. An `error` event with a request id of ours is the same."""
        cdef tg_cur c
        f.order_id = self.own_request(f.id, f.id_size, &f.letter, &f.epoch) if f.id != NULL else 0
        if f.event != NULL:
            if f.order_id == 0 or f.code <= 0 or not named(f.event, f.event_size, b"error", 5):
                return NOT_MINE
            f.asked = CANCEL if f.letter | 32 == c'c' else AMEND if f.letter | 32 == c'a' else NEW
            return self._whole(f, sink)
        if named(f.op, f.op_size, b"order", 5) or named(f.op, f.op_size, b"batch-orders", 12):
            f.asked = NEW
        elif named(f.op, f.op_size, b"cancel-order", 12) or named(f.op, f.op_size, b"batch-cancel-orders", 19):
            f.asked = CANCEL
        elif named(f.op, f.op_size, b"amend-order", 11) or named(f.op, f.op_size, b"batch-amend-orders", 18):
            f.asked = AMEND
        else:
            return NOT_MINE
        c.p, c.end = f.data, f.end
        if f.data != NULL and self._answers(&c, f, None, start) == BAD:
            return BAD
        if f.elements == 0:
            return self._whole(f, sink)
        c.p = f.data
        return self._answers(&c, f, sink, start)

    cdef int _whole(self, Frame* f, Sink sink) except -1:
        """A request that was answered as one: of a batch, each of its orders got that answer."""
        cdef Report report
        cdef Batch* batch
        cdef int i, count = 1
        if f.order_id == 0:
            return NOT_MINE
        batch = self._batch(f)
        if batch != NULL:
            count = batch.count
        for i in range(count):
            memset(&report, 0, sizeof(report))
            report.order_id, report.epoch = f.order_id, f.epoch
            if batch != NULL:
                report.order_id, report.epoch = batch.orders[i], batch.epochs[i]
            self._verdict(f, f.code, False, &report, sink)
        return HANDLED

    cdef Batch* _batch(self, Frame* f) noexcept nogil:
        """The batch that a request id names, NULL where it is none or too long ago."""
        cdef int i
        for i in range(BATCHES):
            if self.batches[i].count and memcmp(self.batches[i].request, f.id, REQUEST_SIZE) == 0:
                return &self.batches[i]
        return NULL

    cdef int _answers(self, tg_cur* c, Frame* f, Sink sink, const char* start) except -1:
        """Every element of an answer; pushes only with a sink. NOT_MINE where none of them is of an order of ours."""
        cdef int done, out = NOT_MINE, more = tg_enter(c, c'[', c']')
        f.elements = 0
        while more > 0:
            done = self._answer_row(c, f, sink, start)
            if done == BAD:
                return BAD
            out = HANDLED if done == HANDLED else out
            f.elements += 1
            more = tg_more(c, c']')
        return out if more == 0 else self.fail(TG_SYNTAX, b"data", c, start)

    cdef int _answer_row(self, tg_cur* c, Frame* f, Sink sink, const char* start) except -1:
        """One item. Which order of a batch it is of, only its own id says: the order of items is not promised. What became
        of it, only `sCode` says: the code of the envelope counts how many went well."""
        cdef Row row
        cdef Report report
        cdef const char* s
        cdef Py_ssize_t n
        cdef int64_t code = -1
        if self._row(c, f, &row, start) == BAD:
            return BAD
        memset(&report, 0, sizeof(report))
        if self._cell(&row, ROW_CLIENT, &s, &n) == BAD:
            return BAD
        report.order_id = self.own_id(s, n, &report.epoch)
        if report.order_id == 0 and f.letter >= c'a':
            report.order_id, report.epoch = f.order_id, f.epoch
        if self._cell_number(&row, ROW_CODE, &code) == BAD or self._cell_time(&row, ROW_TS, &report.event_ns) == BAD:
            return BAD
        if self._venue_id(&row, ROW_ORDER, False, &report) == BAD:
            return BAD
        return self._verdict(f, code, True, &report, sink)

    cdef int _verdict(self, Frame* f, int64_t code, bint is_item, Report* report, Sink sink) except -1:
        """Push what `code` means for the order. Code -1: the answer has none. Code 0 of a cancel or an amend says nothing:
        the `orders` channel tells. A refused cancel says no more than that it did nothing."""
        cdef int fate
        if report.order_id == 0:
            return NOT_MINE
        if code == 0 and f.asked != NEW:
            return HANDLED
        report.instrument = report.leg = -1
        report.filled_lots = report.order_ticks = report.order_lots = -1
        report.code = <int32_t>code if 0 <= code <= 2147483647 else -1
        fate = self.fate(code, f.asked, &report.group)
        if f.asked == CANCEL:
            report.kind = REPORT_CANCEL_REJECT
        elif code == 0 and is_item:
            report.kind, report.group = REPORT_ACK, GROUP_NONE
        elif fate == REFUSED:
            report.kind = REPORT_REJECT if f.asked == NEW else REPORT_AMEND_REJECT
        else:
            report.kind = REPORT_UNCERTAIN
        self._push(report, sink)
        return HANDLED

    # ---- orders: what we send ----

    cdef Py_ssize_t encode(self, Approved order, char* out, Py_ssize_t cap, int64_t now_ns) except -1:
        """Write a NEW, CANCEL or AMEND; returns its size. Raises ValueError where `cap` is below 512, the instrument has no
        instIdCode (OKX takes no WebSocket orders for it), or there is no such request (REPLACE, AMEND of a stop).

        Of a STOP_MARKET, NEW and CANCEL go by REST (`stop_by_rest`): `Rest.from_frame` reads the frame."""
        if cap < FRAME_MAX:
            raise ValueError(f"order frame: {cap} bytes are too few, {FRAME_MAX} are needed")
        return self._single(&order.intent, order.order_id, out, now_ns)

    cdef Py_ssize_t encode_batch(self, list orders, int count, char* out, Py_ssize_t cap, int64_t now_ns) except -1:
        """One request for up to 20 orders, of any instruments. ValueError as `encode`, and where one is a stop."""
        cdef Approved order
        cdef Intent intents[BATCH_MAX]
        cdef uint64_t ids[BATCH_MAX]
        cdef int i
        if not 1 <= count <= BATCH_MAX or cap < count * FRAME_MAX:
            raise ValueError(f"batch of {count} in {cap} bytes: 1 to {BATCH_MAX}, and {FRAME_MAX} bytes for each")
        for i in range(count):
            order = <Approved?>orders[i]
            intents[i], ids[i] = order.intent, order.order_id
        return self._many(intents, ids, count, out, now_ns)

    cdef Py_ssize_t _single(self, const Intent* intent, uint64_t order_id, char* out, int64_t now_ns) except -1:
        cdef char* p = okx_put(out, b'{"id":"')
        cdef const char* request = p
        p = self._put_request(intent, order_id, p)
        if intent.type == STOP_MARKET:
            return self._stop(intent, request, p, now_ns) - out
        if intent.action == CANCEL:
            p = okx_put(p, b'","op":"cancel-order')     # a cancel has no deadline: it cannot hurt late
        elif intent.action == AMEND:
            p = self._put_deadline(okx_put(p, b'","op":"amend-order'), now_ns)
        else:
            p = self._put_deadline(okx_put(p, b'","op":"order'), now_ns)
        p = okx_put(p, b'","args":[')
        return okx_put(self._item(intent, request, p), b']}') - out

    cdef Py_ssize_t _many(self, Intent* intents, uint64_t* ids, int count, char* out, int64_t now_ns) except -1:
        cdef char request[REQUEST_SIZE]
        cdef Batch* batch = &self.batches[self.next_batch]
        cdef int i, action = intents[0].action
        cdef char* p = out + 7 + REQUEST_SIZE
        if action == CANCEL:
            p = okx_put(p, b'","op":"batch-cancel-orders')
        elif action == AMEND:
            p = self._put_deadline(okx_put(p, b'","op":"batch-amend-orders'), now_ns)
        else:
            p = self._put_deadline(okx_put(p, b'","op":"batch-orders'), now_ns)
        p = okx_put(p, b'","args":[')
        batch.count = 0
        for i in range(count):
            if intents[i].action != action or intents[i].type == STOP_MARKET:
                raise ValueError("a batch has orders of one action, and no stops")
            self._put_request(&intents[i], ids[i], request)
            if i == 0:
                okx_put(out, b'{"id":"')
                memcpy(out + 7, request, REQUEST_SIZE)
                out[7] -= 32
                memcpy(batch.request, out + 7, REQUEST_SIZE)
            else:
                p = okx_put(p, b',')
            p = self._item(&intents[i], request, p)
            batch.orders[i] = ids[i] if action == NEW else intents[i].order_id
            batch.epochs[i] = self.epoch if action == NEW or not intents[i].epoch else intents[i].epoch
        batch.count = count
        self.next_batch = (self.next_batch + 1) % BATCHES
        return okx_put(p, b']}') - out

    cdef char* _put_request(self, const Intent* intent, uint64_t order_id, char* p) except NULL:
        """The request id; the client order id stands in it from the second character on, computed once."""
        if intent.action == CANCEL:
            return p + self.put_request(p, c'c', intent.order_id, intent.epoch)
        if intent.action == AMEND:
            return p + self.put_request(p, c'a', intent.order_id, intent.epoch)
        if intent.action != NEW:
            raise ValueError("OKX has no cancel-and-replace: amend instead")
        return p + self.put_request(p, c'n', order_id, 0)

    cdef char* _put_deadline(self, char* p, int64_t now_ns) except NULL:
        """`expTime`, at the root: later than this on its clock the venue executes nothing of it (docs-v5 "Place order")."""
        p = okx_put(p, b'","expTime":"')
        return p + tg_put_uint(p, <uint64_t>(self.stamp_ms(now_ns) + self.window_ms))

    cdef char* _put_instrument(self, int instrument, char* p) except NULL:
        """`instIdCode` is what the WebSocket reads (required since 2026-03-26), `instId` what REST does."""
        cdef Instrument* row
        if not 0 <= instrument < self.instruments.count:
            raise ValueError(f"instrument {instrument}: not in the table")
        row = &self.instruments.rows[instrument]
        if row.inst_code < 0:
            raise ValueError(f"{self.instruments.symbol(instrument)}: no instIdCode, so no WebSocket order entry")
        p = okx_put(p, b'{"instIdCode":')
        p += tg_put_uint(p, row.inst_code)
        p = okx_put(p, b',"instId":"')
        memcpy(p, row.symbol, row.symbol_size)
        return okx_put(p + row.symbol_size, b'"')

    cdef char* _item(self, const Intent* intent, const char* request, char* p) except NULL:
        """One element of `args`."""
        p = self._put_instrument(intent.instrument, p)
        if intent.action == NEW and (intent.leg or self.hedge):
            self.check_leg(intent)
        if intent.action == NEW:
            return self._new(intent, request + 1, p)
        p = okx_put(p, b',"clOrdId":"')
        memcpy(p, request + 1, ID_SIZE)
        p += ID_SIZE
        if intent.action == CANCEL:
            return okx_put(p, b'"}')
        p = okx_put(p, b'","reqId":"')
        memcpy(p, request, REQUEST_SIZE)
        p = okx_put(p + REQUEST_SIZE, b'","newPx":"')
        p += tg_put_decimal(p, intent.price_ticks, &self.instruments.price_grids[intent.instrument], 0)
        p = okx_put(p, b'","newSz":"')
        p += tg_put_decimal(p, intent.size_lots, &self.instruments.size_grids[intent.instrument], 0)
        return okx_put(p, b'","cxlOnFail":false}')

    cdef char* _put_mode(self, Instrument* row, char* p) except NULL:
        if row.is_perpetual or not self.spot_is_cash:
            return okx_put(p, b',"tdMode":"cross"')
        return okx_put(p, b',"tdMode":"cash"')

    cdef char* _new(self, const Intent* intent, const char* client_id, char* p) except NULL:
        cdef Instrument* row = &self.instruments.rows[intent.instrument]
        p = okx_put(self._put_mode(row, p), b',"clOrdId":"')
        memcpy(p, client_id, ID_SIZE)
        p += ID_SIZE
        p = okx_put(p, b'","side":"buy"') if intent.side == BUY else okx_put(p, b'","side":"sell"')
        if intent.leg:
            p = self._put_leg(intent, p)
        p = self._terms(intent, row, p)
        if intent.reduce_only and row.is_perpetual and not intent.leg:
            p = okx_put(p, b',"reduceOnly":true')
        p = okx_put(p, b',"stpMode":"')
        memcpy(p, self.stp_text, self.stp_size)
        return okx_put(p + self.stp_size, b'"}')

    cdef char* _put_leg(self, const Intent* intent, char* p) noexcept nogil:
        """`posSide`: with the side it says whether a leg is opened or closed. `reduceOnly` is for net mode only (docs-v5 "Place
        order")."""
        return okx_put(p, b',"posSide":"long"') if intent.leg == LONG_LEG else okx_put(p, b',"posSide":"short"')

    cdef char* _terms(self, const Intent* intent, Instrument* row, char* p) except NULL:
        """Type, price and size. A swap market order goes out as `optimal_limit_ioc`: the docs do not say what becomes of
        the rest of `market`. Spot market sizes are always base coin, and never shrunk to the balance."""
        if intent.type == LIMIT:
            if intent.tif == POST_ONLY:
                p = okx_put(p, b',"ordType":"post_only","px":"')
            elif intent.tif == IOC:
                p = okx_put(p, b',"ordType":"ioc","px":"')
            elif intent.tif == FOK:
                p = okx_put(p, b',"ordType":"fok","px":"')
            else:
                p = okx_put(p, b',"ordType":"limit","px":"')
            p += tg_put_decimal(p, intent.price_ticks, &self.instruments.price_grids[intent.instrument], 0)
            p = okx_put(p, b'","pxAmendType":"0"')
        elif row.is_perpetual:
            p = okx_put(p, b',"ordType":"optimal_limit_ioc"')
        else:
            p = okx_put(p, b',"ordType":"market","tgtCcy":"base_ccy","banAmend":true')
        p = okx_put(p, b',"sz":"')
        p += tg_put_decimal(p, intent.size_lots, &self.instruments.size_grids[intent.instrument], 0)
        return okx_put(p, b'"')

    cdef char* _stop(self, const Intent* intent, const char* request, char* p, int64_t now_ns) except NULL:
        """docs-v5 "POST / Place algo order", "POST / Cancel algo order": a stop loss that sells or buys at market. Swaps go
        by the mark price; spot has only the last one."""
        cdef Instrument* row
        if intent.action == CANCEL:
            p = self._put_instrument(intent.instrument, okx_put(p, b'","op":"cancel-algos","args":['))
            p = okx_put(p, b',"algoClOrdId":"')
            memcpy(p, request + 1, ID_SIZE)
            return okx_put(p + ID_SIZE, b'"}]}')
        if intent.action != NEW or intent.trigger_ticks <= 0:
            raise ValueError("a stop has a trigger, and no amend: cancel it and place another")
        p = okx_put(self._put_deadline(okx_put(p, b'","op":"order-algo'), now_ns), b'","args":[')
        p = self._put_instrument(intent.instrument, p)
        if intent.leg or self.hedge:
            self.check_leg(intent)
        row = &self.instruments.rows[intent.instrument]
        p = okx_put(self._put_mode(row, p), b',"algoClOrdId":"')
        memcpy(p, request + 1, ID_SIZE)
        p += ID_SIZE
        p = okx_put(p, b'","side":"buy"') if intent.side == BUY else okx_put(p, b'","side":"sell"')
        if intent.leg:
            p = self._put_leg(intent, p)
        p = okx_put(p, b',"ordType":"conditional","slTriggerPx":"')
        p += tg_put_decimal(p, intent.trigger_ticks, &self.instruments.price_grids[intent.instrument], 0)
        if intent.leg:
            p = okx_put(p, b'","slTriggerPxType":"mark","slOrdPx":"-1","sz":"')
        elif row.is_perpetual:
            p = okx_put(p, b'","slTriggerPxType":"mark","slOrdPx":"-1","reduceOnly":true,"sz":"')
        else:
            p = okx_put(p, b'","slTriggerPxType":"last","slOrdPx":"-1","tgtCcy":"base_ccy","sz":"')
        p += tg_put_decimal(p, intent.size_lots, &self.instruments.size_grids[intent.instrument], 0)
        return okx_put(p, b'"}]}')

    def preview(self, intent: dict, uint64_t order_id, int64_t now_ns) -> bytes:
        """The frame that `encode` would write for an Intent given as a dict of its fields (absent ones are 0). For tests
        and documentation: nothing that Python makes can be sent. Raises ValueError as `encode` does."""
        cdef char out[512]
        cdef Intent row = _intent(intent, order_id)
        return out[:self._single(&row, order_id, out, now_ns)]

    def preview_batch(self, intents: list, order_ids: list, int64_t now_ns) -> bytes:
        """`preview` for one request of several orders."""
        cdef char out[512 * BATCH_MAX]
        cdef Intent rows[BATCH_MAX]
        cdef uint64_t ids[BATCH_MAX]
        cdef int i
        if not 1 <= len(intents) <= BATCH_MAX:
            raise ValueError(f"batch of {len(intents)}: 1 to {BATCH_MAX}")
        for i in range(len(intents)):
            rows[i], ids[i] = _intent(intents[i], order_ids[i]), order_ids[i]
        return out[:self._many(rows, ids, len(intents), out, now_ns)]

    def book_checksum(self, int instrument, bids, asks) -> int:
        """`checksum` of lists of (price_ticks, size_lots), best first. For tests and replays."""
        cdef Level b[25]
        cdef Level a[25]
        cdef int32_t out = 0
        cdef int i
        self.instruments._check(instrument)
        bids, asks = list(bids)[:CHECKSUM_LEVELS], list(asks)[:CHECKSUM_LEVELS]
        for i in range(len(bids)):
            b[i].price_ticks, b[i].size_lots = bids[i]
        for i in range(len(asks)):
            a[i].price_ticks, a[i].size_lots = asks[i]
        self.checksum(instrument, b, len(bids), a, len(asks), &out)
        return out


cdef Intent _intent(dict fields, uint64_t order_id) except *:
    cdef Intent row
    memset(&row, 0, sizeof(row))
    row.instrument, row.action = fields["instrument"], fields.get("action", 0)
    row.side, row.type, row.tif = fields.get("side", 0), fields.get("type", 0), fields.get("tif", 0)
    row.reduce_only, row.trigger_ticks = fields.get("reduce_only", 0), fields.get("trigger_ticks", 0)
    row.price_ticks, row.size_lots = fields.get("price_ticks", 0), fields.get("size_lots", 0)
    row.order_id, row.epoch, row.leg = order_id, fields.get("epoch", 0), fields.get("leg", 0)
    return row


def forced_trade_id(str order_id, int64_t fill_ms, str price, str size) -> tuple:
    """(trade_hi, trade_lo) of a fill whose trade id is not above 0: liquidation and ADL. The stream says 0 and REST some
    number below it (docs-v5 "Get transaction details"), so both make the same identity out of order, time, price and size."""
    cdef bytes order = order_id.encode(), px = price.encode(), sz = size.encode()
    return forced_id(PyBytes_AS_STRING(order), len(order), PyBytes_AS_STRING(px), len(px), PyBytes_AS_STRING(sz),
                     len(sz)), -1 - fill_ms

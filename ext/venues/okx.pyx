"""OKX v5, spot and linear swap: bytes to records and back.

Market data (`books`, `books-l2-tbt`, `books50-l2-tbt`, `books5`, `bbo-tbt`, `trades`, `trades-all`, `mark-price`,
`funding-rate`, the REST book), the private `orders` channel, and order entry over the WebSocket. Sources: docs-v5
"WS / Order book channel", "WS / Trades channel", "WS / Order channel", "WS / Place order", error code tables.

Members may come in any order: captures have `data` before `arg` and `asks` on either side of `bids`. Where `arg` came
first (it always does on the live wire) levels are read in the same pass; otherwise `data` is remembered and read late.
A push with several elements is read whole before any of it is used, then read again to push.

This decoder keeps no sequence state: an equal or smaller `seqId` is legal and only the book knows what came before.
"""

from libc.string cimport memcmp, memcpy, memset

from ext.records cimport (BUY, CANCEL, FOK, FUNDING_RATE, IOC, LIMIT, MARK_PRICE, NEXT_FUNDING, POST_ONLY,
                          REPORT_ACK, REPORT_CANCEL_REJECT, REPORT_CANCELED, REPORT_FILL, REPORT_FILLED, REPORT_LIVE,
                          REPORT_REJECT, REPORT_UNCERTAIN, RULE_NONE, RULE_PREV, SEED, SELL, SNAPSHOT, UPDATE, Approved,
                          Instrument, Level, Quote, Trade)
from ext.text cimport (TG_MANY, TG_MAX_PRICE, TG_NUMBER, TG_OK, TG_RANGE, TG_SYNTAX, tg_decimal, tg_enter, tg_grid,
                       tg_int_or_text, tg_key, tg_more, tg_peek, tg_put_decimal, tg_put_uint, tg_setup, tg_skip,
                       tg_steps_slow, tg_string, tg_take)
from ext.wire cimport BAD, HANDLED, ID_SIZE, NOT_MINE, TRADES_MAX

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
    /* Codes that say the order was certainly not placed (docs-v5 "Error code"; the venue's rules name each of them).
     * First and last of a run, ascending. Everything else - time-outs, system errors, codes not yet known - leaves
     * the fate of the order open. */
    static const int32_t okx_refused[][2] = {
        {50000, 50000}, {50002, 50002}, {50005, 50009}, {50011, 50012}, {50014, 50025}, {50027, 50030},
        {50032, 50033}, {50035, 50038}, {50040, 50040}, {50051, 50053}, {50059, 50061}, {50072, 50072},
        {50100, 50107}, {50110, 50114}, {50119, 50122}, {51000, 51001}, {51003, 51010}, {51015, 51015},
        {51017, 51017}, {51020, 51025}, {51027, 51033}, {51037, 51037}, {51041, 51041}, {51043, 51043},
        {51072, 51074}, {51087, 51087}, {51101, 51107}, {51110, 51113}, {51115, 51116}, {51120, 51122},
        {51124, 51124}, {51127, 51127}, {51131, 51131}, {51133, 51133}, {51135, 51139}, {51148, 51148},
        {51150, 51150}, {51155, 51155}, {51165, 51165}, {51169, 51171}, {51174, 51174}, {51185, 51187},
        {51196, 51196}, {51201, 51206}, {51209, 51214}, {51502, 51502}, {51521, 51522}, {54005, 54005},
        {54007, 54009}, {54011, 54012}, {54024, 54024}, {54030, 54031}, {54035, 54036}, {54039, 54051},
        {54072, 54072}, {54092, 54092}, {54094, 54094}, {59200, 59200}, {60004, 60009}, {60011, 60014},
        {60018, 60019}, {60023, 60024}, {60026, 60028}, {60031, 60033}, {64000, 64004}};
    #define OKX_RUNS (int)(sizeof(okx_refused) / sizeof(okx_refused[0]))
    static inline int okx_is_refused(int64_t code) {
        int i;
        for (i = 0; i < OKX_RUNS; i++)
            if (code <= okx_refused[i][1]) return code >= okx_refused[i][0];
        return 0;
    }
    """
    const int OKX_RUNS
    const int32_t okx_refused[1][2]
    void okx_crc_setup() noexcept nogil
    uint32_t okx_crc(uint32_t v, const char* s, int n) noexcept nogil
    char* okx_put(char* out, const char* text) noexcept nogil
    int okx_is_refused(int64_t code) noexcept nogil

okx_crc_setup()

cdef tg_grid E8
E8.mantissa = 1
E8.decimals = 8

cdef int64_t MS_MAX = 9000000000000        # year 2255: beyond it a time in ns does not fit
cdef int64_t ORDER_LIFE_MS = 1000          # expTime: a NEW that reaches the venue later is not executed
cdef int CHECKSUM_LEVELS = 25

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
    CHANNEL_SEED = 9           # the REST book, which names no channel

    ACTION_NONE = 0
    ACTION_SNAPSHOT = 1
    ACTION_UPDATE = 2

    ROW_INST = 0
    ROW_CLIENT = 1
    ROW_ORDER = 2
    ROW_SIDE = 3
    ROW_STATE = 4
    ROW_TRADE = 5
    ROW_FILL_PX = 6
    ROW_FILL_SZ = 7
    ROW_ACC = 8
    ROW_EXEC = 9
    ROW_FEE = 10
    ROW_FEE_CCY = 11
    ROW_FILL_TIME = 12
    ROW_TIME = 13
    ROW_CANCEL_SOURCE = 14
    ROW_QUOTE_CCY = 15
    ROW_CODE = 16
    ROW_TS = 17

cdef const char** ROW_NAMES = [b"instId", b"clOrdId", b"ordId", b"side", b"state", b"tradeId", b"fillPx", b"fillSz",
                               b"accFillSz", b"execType", b"fillFee", b"fillFeeCcy", b"fillTime", b"uTime",
                               b"cancelSource", b"tradeQuoteCcy", b"sCode", b"ts"]
cdef Py_ssize_t* ROW_SIZES = [6, 7, 5, 4, 5, 7, 6, 6, 9, 8, 7, 10, 8, 5, 12, 13, 5, 2]


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
    for i in range(18):
        if ROW_SIZES[i] == size and memcmp(ROW_NAMES[i], key, size) == 0:
            return i
    return -1


cdef class OkxWire(Wire):
    """OKX: decoder and encoder. The symbol names the product (`BTC-USDT`, `BTC-USDT-SWAP`)."""

    cdef int decode(self, int context, const char* data, Py_ssize_t size, int64_t now_ns, Sink sink) except -1:
        cdef Frame f
        cdef tg_cur c
        c.p = data
        c.end = data + size
        if size == 4 and memcmp(data, b"pong", 4) == 0:
            return NOT_MINE             # the answer to the text frame "ping": not JSON
        f.channel = f.action = f.has_arg = f.elements = f.unchained = 0
        f.instrument = -1
        f.code = -1
        f.symbol = f.data = f.event = f.op = f.id = NULL
        f.symbol_size = f.event_size = f.op_size = f.id_size = 0
        f.end = c.end
        if tg_peek(&c) != c'{':
            if not tg_skip(&c) or tg_peek(&c) or c.p != c.end:
                return self.fail(TG_SYNTAX, b"frame", &c, data)
            return NOT_MINE
        if self._top(&c, &f, data) == BAD:
            return BAD
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

    cdef int _top(self, tg_cur* c, Frame* f, const char* start) except -1:
        cdef const char* key
        cdef Py_ssize_t size
        cdef int more = tg_enter(c, c'{', c'}')
        if more < 0:
            return self.fail(TG_SYNTAX, b"object", c, start)
        while more:
            if not tg_key(c, &key, &size):
                return self.fail(TG_SYNTAX, b"key", c, start)
            if self._top_member(c, f, key, size, start) == BAD:
                return BAD
            more = tg_more(c, c'}')
            if more < 0:
                return self.fail(TG_SYNTAX, b"object", c, start)
        return HANDLED

    cdef int _top_member(self, tg_cur* c, Frame* f, const char* key, Py_ssize_t size, const char* start) except -1:
        if named(key, size, b"arg", 3):
            return self._arg(c, f, start)
        if named(key, size, b"data", 4):
            if f.data != NULL:
                return self.fail(TG_SYNTAX, b"repeated key", c, start)
            tg_peek(c)
            f.data = c.p
            if f.channel == CHANNEL_ORDERS or (f.instrument >= 0 and f.channel != CHANNEL_OTHER):
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
        cdef const char* key
        cdef const char* channel = NULL
        cdef Py_ssize_t size, channel_size = 0
        cdef int more = tg_enter(c, c'{', c'}')
        if more < 0 or f.has_arg:
            return self.fail(TG_SYNTAX, b"arg", c, start)
        f.has_arg = 1
        while more:
            if not tg_key(c, &key, &size):
                return self.fail(TG_SYNTAX, b"arg", c, start)
            if named(key, size, b"channel", 7):
                if self._text(c, &channel, &channel_size, b"channel", start) == BAD:
                    return BAD
            elif named(key, size, b"instId", 6):
                if self._text(c, &f.symbol, &f.symbol_size, b"instId", start) == BAD:
                    return BAD
            elif not tg_skip(c):
                return self.fail(TG_SYNTAX, b"arg", c, start)
            more = tg_more(c, c'}')
            if more < 0:
                return self.fail(TG_SYNTAX, b"arg", c, start)
        f.channel = channel_of(channel, channel_size) if channel != NULL else CHANNEL_OTHER
        f.instrument = self.lookup(f.symbol, f.symbol_size) if f.symbol != NULL else -1
        return HANDLED

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
        if f.channel == CHANNEL_ORDERS:
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
        if f.channel == CHANNEL_OTHER or f.data == NULL or (f.instrument < 0 and f.channel != CHANNEL_ORDERS):
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
        cdef const char* key
        cdef Py_ssize_t size
        cdef int more = tg_enter(c, c'{', c'}')
        if more < 0:
            return self.fail(TG_SYNTAX, b"data", c, start)
        f.head.bids = f.head.asks = -1
        f.head.last_id = f.head.prev_id = f.head.first_id = -1
        f.head.event_ns = 0
        f.head.checksum = 0
        while more:
            if not tg_key(c, &key, &size):
                return self.fail(TG_SYNTAX, b"key", c, start)
            if self._depth_member(c, f, key, size, start) == BAD:
                return BAD
            more = tg_more(c, c'}')
            if more < 0:
                return self.fail(TG_SYNTAX, b"data", c, start)
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

    cdef int _push_depth(self, Frame* f, Sink sink) except -1:
        """Complete the head and hand over. A requested snapshot is spliced where prevSeqId <= its seqId < seqId
        (docs-v5, SBE order book), so an update's first id is its prevSeqId."""
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
        sink.on_depth(head, self.bids, self.asks)
        return self._push_quote(f, sink) if head.partial else HANDLED

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
        cdef const char* key
        cdef Py_ssize_t size
        cdef int more
        cdef Trade* trade = &self.trades[f.elements]
        if f.elements >= TRADES_MAX:
            return self.fail(TG_MANY, b"data", c, start)
        more = tg_enter(c, c'{', c'}')
        memset(trade, 0, sizeof(Trade))
        trade.instrument = f.instrument
        trade.price_ticks = trade.size_lots = trade.id_lo = trade.side = -1
        while more > 0:
            if not tg_key(c, &key, &size):
                return self.fail(TG_SYNTAX, b"key", c, start)
            if self._trade_member(c, f, trade, key, size, start) == BAD:
                return BAD
            more = tg_more(c, c'}')
        if more < 0:
            return self.fail(TG_SYNTAX, b"data", c, start)
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
        cdef const char* key
        cdef Py_ssize_t size
        cdef int more = tg_enter(c, c'{', c'}')
        memset(&f.mark, 0, sizeof(f.mark))
        f.mark.instrument = f.instrument
        while more > 0:
            if not tg_key(c, &key, &size):
                return self.fail(TG_SYNTAX, b"key", c, start)
            if self._mark_member(c, f, key, size, start) == BAD:
                return BAD
            more = tg_more(c, c'}')
        if more < 0:
            return self.fail(TG_SYNTAX, b"data", c, start)
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

    # ---- orders: the private channel ----

    cdef int _row(self, tg_cur* c, Row* row, const char* start) except -1:
        """Note where the members of an element stand that speak of an order."""
        cdef const char* key
        cdef Py_ssize_t size
        cdef int field, more = tg_enter(c, c'{', c'}')
        memset(row, 0, sizeof(Row))
        row.instrument = -1
        while more > 0:
            if not tg_key(c, &key, &size):
                return self.fail(TG_SYNTAX, b"key", c, start)
            field = row_field(key, size)
            tg_peek(c)
            if field >= 0:
                if row.at[field] != NULL:
                    return self.fail(TG_SYNTAX, b"repeated key", c, start)
                row.at[field] = c.p
            if not tg_skip(c):
                return self.fail(TG_SYNTAX, b"value", c, start)
            more = tg_more(c, c'}')
        return HANDLED if more == 0 else self.fail(TG_SYNTAX, b"data", c, start)

    cdef int _cell(self, Row* row, int field, const char* end, const char** out, Py_ssize_t* size,
                   const char* start) except -1:
        """Text of a noted member; absent, null and "" are all size 0."""
        cdef tg_cur c
        c.p, c.end = row.at[field], end
        out[0], size[0] = b"", 0
        if c.p == NULL or c.p[0] == c'n':
            return HANDLED
        return HANDLED if tg_string(&c, out, size) else self.fail(TG_SYNTAX, ROW_NAMES[field], &c, start)

    cdef int _cell_number(self, Row* row, int field, const char* end, int64_t* out, const char* start) except -1:
        """Integer in a noted member; unchanged where that is absent or empty."""
        cdef const char* s
        cdef Py_ssize_t n
        cdef tg_cur c
        c.p, c.end = row.at[field], end
        if c.p == NULL or c.p[0] == c'n':
            return HANDLED
        if c.p[0] == c'"':
            if self._cell(row, field, end, &s, &n, start) == BAD:
                return BAD
            if n == 0:
                return HANDLED
        return self._number(&c, out, ROW_NAMES[field], start)

    cdef int _cell_time(self, Row* row, int field, const char* end, int64_t* out_ns, const char* start) except -1:
        cdef int64_t ms = -1
        if self._cell_number(row, field, end, &ms, start) == BAD:
            return BAD
        if ms >= MS_MAX:
            return self._row_fail(TG_RANGE, row, field, end, start)
        if ms >= 0:
            out_ns[0] = ms * 1000000
        return HANDLED

    cdef int _cell_steps(self, Row* row, int field, const char* end, tg_grid grid, int64_t* out,
                         const char* start) except -1:
        """Ticks or lots in a noted member; unchanged where that is absent or empty."""
        cdef const char* s
        cdef Py_ssize_t n
        cdef int code
        if self._cell(row, field, end, &s, &n, start) == BAD:
            return BAD
        code = tg_steps_slow(s, n, grid, out) if n else TG_OK
        return self._row_fail(code, row, field, end, start) if code else HANDLED

    cdef int _row_fail(self, int code, Row* row, int field, const char* end, const char* start) except -1:
        cdef tg_cur c
        c.p, c.end = row.at[field] if row.at[field] != NULL else start, end
        return self.fail(code, ROW_NAMES[field], &c, start)

    cdef int _order(self, tg_cur* c, Frame* f, Sink sink, const char* start) except -1:
        """One row of the `orders` channel: the fill it carries, if any, then what became of the order. A row may be of
        an order that is not ours (order id 0): liquidations and other programs move the same position."""
        cdef Row row
        cdef Report report
        cdef const char* s
        cdef Py_ssize_t n
        if self._row(c, &row, start) == BAD:
            return BAD
        if self._cell(&row, ROW_INST, f.end, &s, &n, start) == BAD:
            return BAD
        row.instrument = self.lookup(s, n)
        if row.instrument < 0:
            return HANDLED
        if self._order_head(&row, f.end, &report, start) == BAD:
            return BAD
        if self._cell(&row, ROW_TRADE, f.end, &s, &n, start) == BAD:
            return BAD
        if n:
            if self._order_fill(&row, f.end, &report, start) == BAD:
                return BAD
            if sink is not None:
                sink.on_report(&report)
        return self._order_state(&row, f.end, &report, n > 0, sink, start)

    cdef int _order_head(self, Row* row, const char* end, Report* report, const char* start) except -1:
        """What every report of this row has in common."""
        cdef const char* s
        cdef Py_ssize_t n
        memset(report, 0, sizeof(Report))
        report.instrument = row.instrument
        report.filled_lots = report.order_ticks = report.order_lots = -1
        if self._cell(row, ROW_CLIENT, end, &s, &n, start) == BAD:
            return BAD
        report.order_id = self.own_id(s, n, &report.epoch)
        if self._cell(row, ROW_SIDE, end, &s, &n, start) == BAD:
            return BAD
        if not (named(s, n, b"buy", 3) or named(s, n, b"sell", 4)):
            return self._row_fail(TG_SYNTAX, row, ROW_SIDE, end, start)
        report.side = BUY if n == 3 else SELL
        if self._cell_steps(row, ROW_ACC, end, self.instruments.size_grids[row.instrument], &report.filled_lots,
                            start) == BAD:
            return BAD
        if self._cell_time(row, ROW_TIME, end, &report.event_ns, start) == BAD:
            return BAD
        return self._venue_id(row, end, report, start)

    cdef int _venue_id(self, Row* row, const char* end, Report* report, const char* start) except -1:
        """The venue's order id: opaque, but it goes into requests later, so nothing but letters and digits."""
        cdef const char* s
        cdef Py_ssize_t n, i
        if self._cell(row, ROW_ORDER, end, &s, &n, start) == BAD:
            return BAD
        if n > <Py_ssize_t>sizeof(report.venue_id):
            return self._row_fail(TG_RANGE, row, ROW_ORDER, end, start)
        for i in range(n):
            if not (c'0' <= s[i] <= c'9' or c'a' <= s[i] <= c'z' or c'A' <= s[i] <= c'Z'):
                return self._row_fail(TG_SYNTAX, row, ROW_ORDER, end, start)
        memcpy(report.venue_id, s, n)
        report.venue_id_size = <int32_t>n
        return HANDLED

    cdef int _order_fill(self, Row* row, const char* end, Report* report, const char* start) except -1:
        """The trade in this push. Trade ids are unique per instrument (docs-v5 "Order channel"); liquidation and ADL rows
        of other programs' orders carry "0"."""
        cdef const char* s
        cdef Py_ssize_t n
        cdef int32_t which = row.instrument
        report.kind = REPORT_FILL
        report.price_ticks = report.size_lots = -1
        if self._cell_number(row, ROW_TRADE, end, &report.trade_lo, start) == BAD:
            return BAD
        if self._cell_steps(row, ROW_FILL_PX, end, self.instruments.price_grids[which], &report.price_ticks,
                            start) == BAD:
            return BAD
        if self._cell_steps(row, ROW_FILL_SZ, end, self.instruments.size_grids[which], &report.size_lots,
                            start) == BAD:
            return BAD
        if report.price_ticks < 0 or report.size_lots < 0:
            return self._row_fail(TG_SYNTAX, row, ROW_FILL_PX if report.price_ticks < 0 else ROW_FILL_SZ, end, start)
        if self._cell(row, ROW_EXEC, end, &s, &n, start) == BAD:
            return BAD
        report.maker = n == 1 and s[0] == c'M'
        if self._cell_time(row, ROW_FILL_TIME, end, &report.event_ns, start) == BAD:
            return BAD
        return self._order_fee(row, end, report, start)

    cdef int _order_fee(self, Row* row, const char* end, Report* report, const char* start) except -1:
        """`fillFee` is negative where it is paid and has up to 18 decimals: what is paid is rounded up to 1e-8, what is
        received down, so that the books never look better than the account."""
        cdef const char* s
        cdef const char* quote
        cdef Py_ssize_t n, quote_size
        cdef bint minus = False
        cdef int rest = 0, code
        if self._cell(row, ROW_FEE, end, &s, &n, start) == BAD:
            return BAD
        code = read_e8(s, n, &report.fee_e8, &minus, &rest) if n else TG_OK
        if code:
            return self._row_fail(code, row, ROW_FEE, end, start)
        report.fee_e8 = report.fee_e8 + (rest > 0) if minus else -report.fee_e8
        if self._cell(row, ROW_FEE_CCY, end, &s, &n, start) == BAD:
            return BAD
        if self._cell(row, ROW_QUOTE_CCY, end, &quote, &quote_size, start) == BAD:
            return BAD
        report.fee_is_quote = (n > 0 and named(s, n, quote, quote_size)) or self._is_quote(row.instrument, s, n)
        return HANDLED

    cdef bint _is_quote(self, int instrument, const char* s, Py_ssize_t n) except -1:
        """Whether a currency is the second part of the symbol: the quote of a spot pair, the settlement of a linear swap."""
        cdef Instrument* row = &self.instruments.rows[instrument]
        cdef int start, stop
        for start in range(row.symbol_size):
            if row.symbol[start] == c'-':
                start += 1
                stop = start
                while stop < row.symbol_size and row.symbol[stop] != c'-':
                    stop += 1
                return named(s, n, row.symbol + start, stop - start)
        return False

    cdef int _order_state(self, Row* row, const char* end, Report* report, bint has_fill, Sink sink,
                          const char* start) except -1:
        """A state is reported after its fill. The last push of a market order is `filled` without any fill."""
        cdef const char* s
        cdef Py_ssize_t n
        cdef int64_t source = 0
        if self._cell(row, ROW_STATE, end, &s, &n, start) == BAD:
            return BAD
        report.price_ticks = report.size_lots = report.trade_lo = report.fee_e8 = 0
        report.maker = report.fee_is_quote = 0
        if named(s, n, b"filled", 6):
            report.kind = REPORT_FILLED
        elif named(s, n, b"canceled", 8) or named(s, n, b"mmp_canceled", 12):
            report.kind = REPORT_CANCELED
            if self._cell_number(row, ROW_CANCEL_SOURCE, end, &source, start) == BAD:
                return BAD
            if source > 9999:
                return self._row_fail(TG_RANGE, row, ROW_CANCEL_SOURCE, end, start)
            report.code = <int32_t>source
        elif named(s, n, b"live", 4) or (named(s, n, b"partially_filled", 16) and not has_fill):
            report.kind = REPORT_LIVE
        else:
            return HANDLED              # a fill alone, or a state that does not exist yet
        if self._cell_time(row, ROW_TIME, end, &report.event_ns, start) == BAD:
            return BAD
        if sink is not None:
            sink.on_report(report)
        return HANDLED

    # ---- orders: answers to what we sent ----

    cdef int _answer(self, Frame* f, Sink sink, const char* start) except -1:
        """`op` + `id`: what the gateway did with a request. An `error` event with a request id of ours is the same."""
        cdef tg_cur c
        f.order_id = self.own_request(f.id, f.id_size, &f.letter, &f.epoch) if f.id != NULL else 0
        if f.event != NULL:
            if f.order_id == 0 or f.code <= 0 or not named(f.event, f.event_size, b"error", 5):
                return NOT_MINE
            f.is_cancel = f.letter == c'c'
            return self._verdict(f, f.code, f.order_id, NULL, sink)
        if named(f.op, f.op_size, b"order", 5) or named(f.op, f.op_size, b"batch-orders", 12):
            f.is_cancel = 0
        elif named(f.op, f.op_size, b"cancel-order", 12) or named(f.op, f.op_size, b"batch-cancel-orders", 19):
            f.is_cancel = 1
        else:
            return NOT_MINE
        c.p, c.end = f.data, f.end
        if f.data != NULL and self._answers(&c, f, None, start) == BAD:
            return BAD
        if f.elements == 0:
            return self._verdict(f, f.code, f.order_id, NULL, sink)
        c.p = f.data
        return self._answers(&c, f, sink, start)

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
        cdef Row row
        cdef Report report
        cdef const char* s
        cdef Py_ssize_t n
        cdef int64_t code = f.code
        if self._row(c, &row, start) == BAD:
            return BAD
        memset(&report, 0, sizeof(report))
        if self._cell(&row, ROW_CLIENT, f.end, &s, &n, start) == BAD:
            return BAD
        report.order_id = self.own_id(s, n, &report.epoch)
        if report.order_id == 0:
            report.order_id, report.epoch = f.order_id, f.epoch
        if self._cell_number(&row, ROW_CODE, f.end, &code, start) == BAD:
            return BAD
        if self._cell_time(&row, ROW_TS, f.end, &report.event_ns, start) == BAD:
            return BAD
        if self._venue_id(&row, f.end, &report, start) == BAD:
            return BAD
        return self._verdict(f, code, report.order_id, &report, sink)

    cdef int _verdict(self, Frame* f, int64_t code, uint64_t order_id, Report* known, Sink sink) except -1:
        """Push what `code` means for the order. Code -1: the answer has none. `sCode` 0 of a cancel says nothing: the
        `orders` channel tells; any other one leaves the order as it was or gone, which it does not say either."""
        cdef Report report
        if order_id == 0:
            return NOT_MINE
        if f.is_cancel and code == 0:
            return HANDLED
        if known != NULL:
            report = known[0]
        else:
            memset(&report, 0, sizeof(report))
            report.epoch = f.epoch
        report.order_id = order_id
        report.order_ticks = report.order_lots = -1
        report.instrument = -1
        report.filled_lots = -1
        report.code = <int32_t>code if 0 <= code <= 2147483647 else -1
        if f.is_cancel:
            report.kind = REPORT_CANCEL_REJECT
        elif code == 0 and known != NULL:
            report.kind = REPORT_ACK
        else:
            report.kind = REPORT_REJECT if okx_is_refused(code) else REPORT_UNCERTAIN
        if sink is not None:
            sink.on_report(&report)
        return HANDLED

    # ---- orders: what we send ----

    cdef Py_ssize_t encode(self, Approved order, char* out, Py_ssize_t cap, int64_t now_ns) except -1:
        """Write a NEW or CANCEL; returns its size. Raises ValueError where `cap` is below 512 or the instrument has no
        instIdCode (OKX takes no WebSocket orders for it)."""
        if cap < 512:
            raise ValueError(f"order frame: {cap} bytes are too few, 512 are needed")
        if order.intent.action == CANCEL:
            return self._cancel(&order.intent, out)
        return self._new(&order.intent, order.order_id, out, now_ns)

    cdef int _inst_code(self, int instrument) except -1:
        cdef int code
        if not 0 <= instrument < self.instruments.count:
            raise ValueError(f"instrument {instrument}: not in the table")
        code = self.instruments.rows[instrument].inst_code
        if code < 0:
            raise ValueError(f"{self.instruments.symbol(instrument)}: no instIdCode, so no WebSocket order entry")
        return code

    cdef Py_ssize_t _new(self, const Intent* intent, uint64_t order_id, char* out, int64_t now_ns) except -1:
        """docs-v5 "WS / Place order". `instIdCode` is required since 2026-03-26, `expTime` stands at the root."""
        cdef char* p = out
        cdef char* client_id
        cdef int code = self._inst_code(intent.instrument)
        cdef Instrument* row = &self.instruments.rows[intent.instrument]
        p = okx_put(p, b'{"id":"')
        client_id = p + 1               # the request id contains it: computed once
        p += self.put_request(p, c'n', order_id, 0)
        p = okx_put(p, b'","op":"order","expTime":"')
        p += tg_put_uint(p, <uint64_t>(now_ns // 1000000 + ORDER_LIFE_MS))
        p = okx_put(p, b'","args":[{"instIdCode":')
        p += tg_put_uint(p, code)
        p = okx_put(p, b',"tdMode":"cross"') if row.is_perpetual else okx_put(p, b',"tdMode":"cash"')
        p = okx_put(p, b',"clOrdId":"')
        memcpy(p, client_id, ID_SIZE)
        p += ID_SIZE
        p = okx_put(p, b'","side":"buy"') if intent.side == BUY else okx_put(p, b'","side":"sell"')
        p = self._terms(intent, row, p)
        if intent.reduce_only and row.is_perpetual:
            p = okx_put(p, b',"reduceOnly":true')
        p = okx_put(p, b',"stpMode":"cancel_maker"}]}')
        return p - out

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

    cdef Py_ssize_t _cancel(self, const Intent* intent, char* out) except -1:
        """docs-v5 "WS / Cancel order". A cancel has no deadline: it cannot hurt late."""
        cdef char* p = out
        cdef char* client_id
        cdef int code = self._inst_code(intent.instrument)
        p = okx_put(p, b'{"id":"')
        client_id = p + 1
        p += self.put_request(p, c'c', intent.order_id, intent.epoch)
        p = okx_put(p, b'","op":"cancel-order","args":[{"instIdCode":')
        p += tg_put_uint(p, code)
        p = okx_put(p, b',"clOrdId":"')
        memcpy(p, client_id, ID_SIZE)
        p += ID_SIZE
        p = okx_put(p, b'"}]}')
        return p - out

    def preview(self, intent: dict, uint64_t order_id, int64_t now_ns) -> bytes:
        """The frame that `encode` would write for an Intent given as a dict of its fields (absent ones are 0). For tests
        and documentation: nothing that Python makes can be sent. Raises ValueError as `encode` does."""
        cdef char out[512]
        cdef Intent row
        memset(&row, 0, sizeof(row))
        row.instrument, row.action = intent["instrument"], intent.get("action", 0)
        row.side, row.type, row.tif = intent.get("side", 0), intent.get("type", 0), intent.get("tif", 0)
        row.reduce_only = intent.get("reduce_only", 0)
        row.price_ticks, row.size_lots = intent.get("price_ticks", 0), intent.get("size_lots", 0)
        row.order_id = order_id
        if row.action == CANCEL:
            return out[:self._cancel(&row, out)]
        return out[:self._new(&row, order_id, out, now_ns)]

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


def refused_codes() -> list:
    """Runs (first, last) of the codes that end an order at once; every other code but 0 leaves its fate open."""
    return [(okx_refused[i][0], okx_refused[i][1]) for i in range(OKX_RUNS)]


def is_refused(int64_t code) -> bool:
    """Whether a NEW answered with `code` is certainly not executed."""
    return bool(okx_is_refused(code))

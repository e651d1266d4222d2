"""Bybit v5, spot and linear: bytes to records and back.

Market data: `orderbook.{1,50,200,1000}`, `publicTrade`, `tickers`. Orders: replies of the trade connection and the
private topics `order` and `execution`, all-in-one or per category. Sources: bybit-exchange/docs `docs/v5/websocket/`
(public, private, trade/guideline), `docs/v5/error.mdx`. Members may come in any order; the venue varies it.

Whatever a frame says is gathered in a `Frame` and in scratch arrays first and pushed last, so that a BAD frame pushes
nothing. `data` is read where it stands when its topic came before it (always, so far) and afterwards when not.
"""

from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from ext.records cimport (BUY, BYBIT_LINEAR, BYBIT_SPOT, CANCEL, FOK, FUNDING_RATE, GTC, INDEX_PRICE, IOC, LAST_PRICE,
                          LIMIT, MARK_PRICE, MARKET, NEW, NEXT_FUNDING, POST_ONLY, REPORT_ACK, REPORT_CANCEL_REJECT,
                          REPORT_CANCELED, REPORT_FILL, REPORT_FILLED, REPORT_LIVE, REPORT_REJECT, REPORT_UNCERTAIN,
                          RULE_STEP, SELL, SNAPSHOT, UPDATE, DepthHead, Instrument)
from ext.text cimport (TG_GRID, TG_MANY, TG_NUMBER, TG_OK, TG_RANGE, TG_SYNTAX, tg_decimal, tg_enter, tg_int_or_text,
                       tg_more, tg_peek, tg_put_decimal, tg_put_uint, tg_setup, tg_signed_decimal, tg_skip,
                       tg_steps_slow)
from ext.wire cimport BAD, HANDLED, ID_SIZE, NOT_MINE, REQUEST_SIZE, RESYNC, TRADES_MAX

cdef extern from *:
    """
    static inline char *tg_lit(char *at, const char *text) {
        size_t n = strlen(text);             /* folded by the compiler: every caller passes a literal */
        memcpy(at, text, n);
        return at + n;
    }

    static inline int tg_is(const char *p, Py_ssize_t n, const char *text) {
        return n == (Py_ssize_t)strlen(text) && !memcmp(p, text, strlen(text));
    }

    static inline int tg_starts(const char *p, Py_ssize_t n, const char *text) {
        return n >= (Py_ssize_t)strlen(text) && !memcmp(p, text, strlen(text));
    }

    /* A string or key that is going to be used. None of the venue's has an escape in it, so one that has is refused:
       it would compare as something that it does not spell. Sixteen bytes at a time where they are there. */
    static inline int tg_plain(tg_cur *c, const char **p, Py_ssize_t *n) {
        const char *q;
        if (!tg_take(c, '"')) return 0;
        q = c->p;
    #if defined(__SSE4_1__)
        for (; c->end - q >= 16; q += 16) {
            __m128i v = _mm_loadu_si128((const __m128i *)q);
            __m128i bad = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(0x5C)),
                                       _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1F)), v));
            unsigned stop = (unsigned)_mm_movemask_epi8(_mm_or_si128(bad, _mm_cmpeq_epi8(v, _mm_set1_epi8('"'))));
            if (stop) {
                q += __builtin_ctz(stop);
                break;
            }
        }
    #endif
        while (q < c->end && *q != '"' && *q != 0x5C && (unsigned char)*q >= 0x20)
            q++;
        if (q >= c->end || *q != '"') return 0;
        *p = c->p;
        *n = q - c->p;
        c->p = q + 1;
        return 1;
    }

    static inline int tg_name(tg_cur *c, const char **p, Py_ssize_t *n) {
        return tg_plain(c, p, n) && tg_take(c, ':');
    }

    static inline int tg_hex(unsigned char x) {
        if (x >= '0' && x <= '9') return x - '0';
        x |= 0x20;
        return x >= 'a' && x <= 'f' ? x - 'a' + 10 : -1;
    }

    static inline int tg_uuid(const char *s, uint64_t half[2]) {
        int i, k = 0, x;
        half[0] = half[1] = 0;
        for (i = 0; i < 36; i++) {
            if (i == 8 || i == 13 || i == 18 || i == 23) {
                if (s[i] != '-') return 0;
                continue;
            }
            x = tg_hex((unsigned char)s[i]);
            if (x < 0) return 0;
            half[k >> 4] = half[k >> 4] << 4 | (uint64_t)x;
            k++;
        }
        return 1;
    }

    /* 128 bits that identify a trade: a UUID's own bits, a decimal's own value (up to 38 digits), and for any other
       text its FNV-1a hash of 128 bits. */
    static void tg_identity(const char *s, Py_ssize_t n, int64_t *hi, int64_t *lo) {
        unsigned __int128 v = 0;
        const unsigned __int128 prime = ((unsigned __int128)1 << 88) | 0x13B;
        uint64_t half[2];
        Py_ssize_t i;
        if (n == 36 && tg_uuid(s, half)) {
            *hi = (int64_t)half[0];
            *lo = (int64_t)half[1];
            return;
        }
        for (i = 0; i < n && s[i] >= '0' && s[i] <= '9'; i++)
            if (n <= 38) v = v * 10 + (unsigned)(s[i] - '0');
        if (i < n || n == 0 || n > 38 || (n > 1 && s[0] == '0')) {
            v = ((unsigned __int128)0x6C62272E07BB0142ULL << 64) | 0x62B821756295C58DULL;
            for (i = 0; i < n; i++)
                v = (v ^ (unsigned char)s[i]) * prime;
        }
        *hi = (int64_t)(uint64_t)(v >> 64);
        *lo = (int64_t)(uint64_t)v;
    }

    /* Fee text to quote * 10**8, rounded up where it is finer: a cost is never understated, a fill is never refused
       for the ninth decimal of its fee. */
    static int tg_fee(const char *s, Py_ssize_t n, int64_t *out) {
        static const tg_grid e8 = {1, 8};
        int minus = n > 0 && s[0] == '-', up = 0, code;
        Py_ssize_t i, cut;
        s += minus;
        n -= minus;
        for (cut = 0; cut < n && s[cut] != '.'; cut++)
            ;
        cut = cut + 9 < n ? cut + 9 : n;
        for (i = cut; i < n; i++) {
            if (s[i] < '0' || s[i] > '9') return TG_NUMBER;
            up |= s[i] != '0';
        }
        code = tg_steps_slow(s, cut, e8, out);
        if (minus) *out = -*out;
        else *out += up;
        return code;
    }

    /* Error codes of order requests that prove that the order was not taken: `node/venues/bybit/rules.py` is the full
       table, and a test compares the two. Whatever is not here proves nothing. Ascending. */
    static const int32_t tg_refusals[] = {
        10001, 10002, 10003, 10004, 10005, 10007, 10008, 10009, 10010, 10017, 10024, 10027, 10028, 10029, 10404,
        30208, 30209, 30228, 30256, 33004,
        110003, 110004, 110006, 110007, 110009, 110011, 110012, 110013, 110014, 110017, 110020, 110021, 110022, 110023,
        110024, 110028, 110029, 110034, 110039, 110040, 110042, 110044, 110045, 110046, 110051, 110052, 110053, 110057,
        110058, 110059, 110060, 110061, 110063, 110064, 110066, 110074, 110085, 110086, 110089, 110090, 110092, 110093,
        110094, 110095, 110096, 110097, 110098, 110099, 110100, 110103, 110108, 110109, 110118, 110119, 110120, 110121,
        110123, 110124, 110125, 110131, 110132,
        170031, 170033, 170034, 170036, 170037, 170105, 170115, 170116, 170117, 170121, 170124, 170130, 170131, 170132,
        170133, 170134, 170136, 170137, 170140, 170148, 170151, 170157, 170159, 170192, 170193, 170194, 170197, 170198,
        170201, 170202, 170203, 170204, 170206, 170207, 170209, 170210, 170217, 170218, 170228, 170229, 170241, 170313,
        170341, 170344, 170348, 170355, 170359, 170371, 170372, 170381, 170382, 170810,
        3100197, 3200403, 3400139};

    /* The same for a cancel: the venue took it, and the order was not open. */
    static const int32_t tg_not_open[] = {110001, 110008, 110010, 110019, 170139, 170142, 170143, 170145, 170190,
                                          170191, 170213, 170312, 181017};

    /* Not processed because of a limit. For a new order the venue's word is not relied upon (it stays uncertain); a
       cancel so refused simply did not happen. */
    static const int32_t tg_limited[] = {429, 10006, 10018, 10403, 10429, 20003, 170005, 170222};

    static int tg_listed(const int32_t *codes, int n, int64_t code) {
        int lo = 0, mid;
        while (lo < n) {
            mid = (lo + n) / 2;
            if (codes[mid] == code) return 1;
            if (codes[mid] < code) lo = mid + 1;
            else n = mid;
        }
        return 0;
    }
    #define TG_COUNT(x) ((int)(sizeof(x) / sizeof((x)[0])))
    static int tg_refused(int64_t code) { return tg_listed(tg_refusals, TG_COUNT(tg_refusals), code); }
    static int tg_cancel_refused(int64_t code) {
        return tg_refused(code) || tg_listed(tg_not_open, TG_COUNT(tg_not_open), code) ||
               tg_listed(tg_limited, TG_COUNT(tg_limited), code);
    }
    """
    char* tg_lit(char* at, const char* text) noexcept nogil
    bint tg_plain(tg_cur* c, const char** p, Py_ssize_t* n) noexcept nogil
    bint tg_name(tg_cur* c, const char** p, Py_ssize_t* n) noexcept nogil
    bint tg_is(const char* p, Py_ssize_t n, const char* text) noexcept nogil
    bint tg_starts(const char* p, Py_ssize_t n, const char* text) noexcept nogil
    void tg_identity(const char* s, Py_ssize_t n, int64_t* hi, int64_t* lo) noexcept nogil
    int tg_fee(const char* s, Py_ssize_t n, int64_t* out) noexcept nogil
    bint tg_refused(int64_t code) noexcept nogil
    bint tg_cancel_refused(int64_t code) noexcept nogil

tg_setup()

cdef tg_grid E8
E8.mantissa = 1
E8.decimals = 8

cdef int64_t MILLIS_MAX = 9000000000000     # the year 2255; ns of it still fit

cdef const char** NAMES = [b"symbol", b"category", b"side", b"orderId", b"orderLinkId", b"orderStatus", b"cumExecQty",
                           b"updatedTime", b"execType", b"execPrice", b"execQty", b"execId", b"execFee",
                           b"feeCurrency", b"execTime", b"isMaker"]

cdef const char** TIF_TEXT = [b"GTC", b"IOC", b"FOK", b"PostOnly"]    # in the order of records.TimeInForce


cdef class BybitWire(Wire):
    """One Bybit market, BYBIT_SPOT or BYBIT_LINEAR: decoder and encoder.

    Trade identities (`Trade.id_*`, `Report.trade_*`): a UUID fills both halves, a decimal number up to 38 digits is its
    own value, anything else is hashed (FNV-1a, 128 bits). `Report.fee_is_quote` is 1 for the quote (linear: settle)
    coin and 0 for any other: base, or MNT. Raises ValueError for a market that is not Bybit's.
    """

    def __cinit__(self, *args, **kwargs):
        self.reports = <Report*>malloc(REPORTS_MAX * sizeof(Report))
        if self.reports == NULL:
            raise MemoryError()
        if self.market != BYBIT_SPOT and self.market != BYBIT_LINEAR:
            raise ValueError(f"market {self.market}: must be BYBIT_SPOT or BYBIT_LINEAR")

    def __dealloc__(self):
        free(self.reports)

    cdef int decode(self, int context, const char* data, Py_ssize_t size, int64_t now_ns, Sink sink) except -1:
        cdef Frame f
        cdef tg_cur c
        memset(&f, 0, sizeof(f))
        f.instrument = -1
        f.ts = f.cts = f.created = f.timenow = f.update_id = f.bids = f.asks = -1
        c.p = data
        c.end = data + size
        if self._envelope(&c, &f, data) == BAD:
            return BAD
        if tg_peek(&c) or c.p != c.end:
            return self.fail(TG_SYNTAX, b"end of frame", &c, data)
        if f.kind == UNNAMED and f.op.p == NULL and f.request.size == REQUEST_SIZE and f.has_code:
            f.kind = REPLY              # a reply that does not repeat its op: the request id tells
        if f.kind <= OTHER:
            return NOT_MINE
        if f.data != NULL and not f.read:
            c.p = f.data
            if self._data(&c, &f, data) == BAD:
                return BAD
        c.p = data + size
        return self._push(&f, sink, &c, data)

    cdef int _push(self, Frame* f, Sink sink, tg_cur* c, const char* start) except -1:
        """The frame is sound: push what it said."""
        cdef int i
        if f.kind == REPLY:
            return self._push_reply(f, sink, c, start)
        if f.data == NULL:
            return self.fail(TG_SYNTAX, b"data", c, start)
        if f.kind == DEPTH:
            return self._push_depth(f, sink, c, start)
        if f.kind == TRADES:
            for i in range(f.count):
                sink.on_trade(&self.trades[i])
            return HANDLED
        if f.kind == TICKER:
            if f.mark.present:
                f.mark.instrument = f.instrument
                f.mark.event_ns = f.ts * 1000000 if f.ts > 0 else 0
                sink.on_mark(&f.mark)
            return HANDLED
        return self._push_reports(f, sink)

    # ---- the outer object ----

    cdef int _envelope(self, tg_cur* c, Frame* f, const char* start) except -1:
        cdef const char* key
        cdef Py_ssize_t size
        cdef int more = tg_enter(c, c'{', c'}')
        if more < 0:
            return self.fail(TG_SYNTAX, b"object", c, start)
        while more:
            if not tg_name(c, &key, &size):
                return self.fail(TG_SYNTAX, b"key", c, start)
            if self._member(c, f, key, size, start) == BAD:
                return BAD
            more = tg_more(c, c'}')
            if more < 0:
                return self.fail(TG_SYNTAX, b"object", c, start)
        return HANDLED

    cdef int _member(self, tg_cur* c, Frame* f, const char* key, Py_ssize_t size, const char* start) except -1:
        if tg_is(key, size, b"data"):
            if f.data != NULL:
                return self.fail(TG_SYNTAX, b"repeated key", c, start)
            tg_peek(c)
            f.data = c.p
            if f.kind > OTHER:
                f.read = 1
                return self._data(c, f, start)
        elif tg_is(key, size, b"topic"):
            if self._string(c, &f.topic, b"topic", start) == BAD:
                return BAD
            return self._topic(f)
        elif tg_is(key, size, b"type"):
            return self._string(c, &f.type, b"type", start)
        elif tg_is(key, size, b"ts"):
            return self._millis(c, &f.ts, b"ts", start)
        elif tg_is(key, size, b"cts"):
            return self._millis(c, &f.cts, b"cts", start)
        elif tg_is(key, size, b"creationTime"):
            return self._millis(c, &f.created, b"creationTime", start)
        elif tg_is(key, size, b"op"):
            if self._string(c, &f.op, b"op", start) == BAD:
                return BAD
            if f.kind == UNNAMED:
                f.kind = REPLY if (tg_is(f.op.p, f.op.size, b"order.create")
                                   or tg_is(f.op.p, f.op.size, b"order.cancel")) else OTHER
            return HANDLED
        elif tg_is(key, size, b"reqId") and tg_peek(c) == c'"':
            return self._string(c, &f.request, b"reqId", start)
        elif tg_is(key, size, b"retCode"):
            if f.has_code:
                return self.fail(TG_SYNTAX, b"repeated key", c, start)
            f.has_code = 1
            code = tg_int_or_text(c, &f.code)
            if code or not -2147483648 <= f.code <= 2147483647:
                return self.fail(code if code else TG_RANGE, b"retCode", c, start)
            return HANDLED
        elif tg_is(key, size, b"header") and tg_peek(c) == c'{':
            return self._header(c, f, start)
        if not tg_skip(c):
            return self.fail(TG_SYNTAX, b"value", c, start)
        return HANDLED

    cdef int _string(self, tg_cur* c, Span* out, const char* name, const char* start) except -1:
        if out.p != NULL:
            return self.fail(TG_SYNTAX, b"repeated key", c, start)
        if not tg_plain(c, &out.p, &out.size):
            return self.fail(TG_SYNTAX, name, c, start)
        return HANDLED

    cdef int _value(self, tg_cur* c, Span* out, const char* name, const char* start) except -1:
        """Any value: the text of a string or of another scalar; null counts as empty."""
        if out.p != NULL:
            return self.fail(TG_SYNTAX, b"repeated key", c, start)
        if tg_peek(c) == c'"':
            return self._string(c, out, name, start)
        out.p = c.p
        if not tg_skip(c):
            return self.fail(TG_SYNTAX, name, c, start)
        out.size = 0 if out.p[0] == c'n' else c.p - out.p
        return HANDLED

    cdef int _millis(self, tg_cur* c, int64_t* out, const char* name, const char* start) except -1:
        """Milliseconds, as a number or as a string of digits."""
        cdef int code
        if out[0] >= 0:
            return self.fail(TG_SYNTAX, b"repeated key", c, start)
        code = tg_int_or_text(c, out)
        if code or not 0 <= out[0] < MILLIS_MAX:
            return self.fail(code if code else TG_RANGE, name, c, start)
        return HANDLED

    cdef int _topic(self, Frame* f) except -1:
        """Kind and symbol out of `orderbook.50.BTCUSDT`, `publicTrade.BTCUSDT`, `order.linear`, ..."""
        cdef const char* p = f.topic.p
        cdef Py_ssize_t n = f.topic.size, cut
        f.kind = OTHER
        if tg_starts(p, n, b"orderbook."):
            return self._book_topic(f)
        if tg_starts(p, n, b"publicTrade."):
            f.kind, cut = TRADES, 12
        elif tg_starts(p, n, b"tickers."):
            f.kind, cut = TICKER, 8
        else:
            if tg_is(p, n, b"order") or tg_is(p, n, b"order.spot") or tg_is(p, n, b"order.linear"):
                f.kind = ORDERS
            elif tg_is(p, n, b"execution") or tg_is(p, n, b"execution.spot") or tg_is(p, n, b"execution.linear"):
                f.kind = EXECUTIONS
            return HANDLED
        f.symbol.p = p + cut
        f.symbol.size = n - cut
        f.instrument = self.lookup(f.symbol.p, f.symbol.size)
        if f.instrument < 0:
            f.kind = OTHER
        return HANDLED

    cdef int _book_topic(self, Frame* f) except -1:
        """`orderbook.{depth}.{symbol}`. Any plain depth is read: the venue has changed them (500 until 2025)."""
        cdef const char* end = f.topic.p + f.topic.size
        cdef const char* p = f.topic.p + 10
        cdef int depth = 0
        while p < end and c'0' <= p[0] <= c'9' and depth < 100000:
            depth = depth * 10 + p[0] - c'0'
            p += 1
        if depth == 0 or f.topic.p[10] == c'0' or p == end or p[0] != c'.':
            return HANDLED              # orderbook.rpi, orderbook.full: not for this decoder
        f.symbol.p = p + 1
        f.symbol.size = end - p - 1
        f.instrument = self.lookup(f.symbol.p, f.symbol.size)
        if f.instrument >= 0:
            f.kind, f.depth = DEPTH, depth
        return HANDLED

    cdef int _data(self, tg_cur* c, Frame* f, const char* start) except -1:
        if f.kind == DEPTH:
            return self._depth(c, f, start)
        if f.kind == TRADES:
            return self._trades(c, f, start)
        if f.kind == TICKER:
            return self._ticker(c, f, start)
        if f.kind == REPLY:
            return self._answer(c, f, start)
        return self._rows(c, f, start)

    # ---- order book ----

    cdef int _depth(self, tg_cur* c, Frame* f, const char* start) except -1:
        """`{"s":...,"b":[[price,size],...],"a":[...],"u":...,"seq":...}`"""
        cdef const char* key
        cdef Py_ssize_t size
        cdef int code, more = tg_enter(c, c'{', c'}')
        if more < 0:
            return self.fail(TG_SYNTAX, b"data", c, start)
        while more:
            if not tg_name(c, &key, &size):
                return self.fail(TG_SYNTAX, b"key", c, start)
            if size == 1 and (key[0] == c'b' or key[0] == c'a'):
                if self._side(c, f, key[0] == c'b', start) == BAD:
                    return BAD
            elif size == 1 and key[0] == c'u':
                if f.update_id >= 0:
                    return self.fail(TG_SYNTAX, b"repeated key", c, start)
                code = tg_int_or_text(c, &f.update_id)
                if code or f.update_id < 0:
                    return self.fail(code if code else TG_RANGE, b"u", c, start)
            elif size == 1 and key[0] == c's':
                if self._same_symbol(c, f, b"s", start) == BAD:
                    return BAD
            elif not tg_skip(c):
                return self.fail(TG_SYNTAX, b"value", c, start)
            more = tg_more(c, c'}')
            if more < 0:
                return self.fail(TG_SYNTAX, b"data", c, start)
        return HANDLED

    cdef int _side(self, tg_cur* c, Frame* f, bint is_bid, const char* start) except -1:
        cdef int code
        if (f.bids if is_bid else f.asks) >= 0:
            return self.fail(TG_SYNTAX, b"repeated key", c, start)
        if is_bid:
            code = self.read_levels(c, f.instrument, 0, self.bids, &f.bids, b"bid price", b"bid size")
        else:
            code = self.read_levels(c, f.instrument, 0, self.asks, &f.asks, b"ask price", b"ask size")
        return self.fail(code, self.error_field, c, start) if code else HANDLED

    cdef int _same_symbol(self, tg_cur* c, Frame* f, const char* name, const char* start) except -1:
        """A symbol inside `data` must be the topic's."""
        cdef Span symbol
        symbol.p = NULL
        if self._string(c, &symbol, name, start) == BAD:
            return BAD
        if symbol.size != f.symbol.size or memcmp(symbol.p, f.symbol.p, symbol.size) != 0:
            return self.fail(TG_SYNTAX, name, c, start)
        return HANDLED

    cdef int _push_depth(self, Frame* f, Sink sink, tg_cur* c, const char* start) except -1:
        cdef DepthHead head
        cdef bint is_delta = f.type.p != NULL and tg_is(f.type.p, f.type.size, b"delta")
        if not is_delta and (f.type.p == NULL or not tg_is(f.type.p, f.type.size, b"snapshot")):
            return self.fail(TG_SYNTAX, b"type", c, start)
        if f.bids < 0 or f.asks < 0 or f.update_id < 0:
            return self.fail(TG_SYNTAX, b"b, a or u", c, start)
        self.last = f.instrument
        if is_delta and f.update_id == 1:
            return RESYNC               # the service restarted; its snapshot should have said so
        head.instrument = f.instrument
        head.kind = UPDATE if is_delta else SNAPSHOT
        head.rule = RULE_STEP
        head.depth = f.depth
        head.partial = f.depth == 1 and not is_delta
        head.bids, head.asks, head.checksum = f.bids, f.asks, 0
        head.first_id = head.prev_id = -1
        head.last_id = f.update_id
        head.event_ns = f.cts if f.cts >= 0 else f.ts
        head.event_ns = head.event_ns * 1000000 if head.event_ns > 0 else 0
        sink.on_depth(&head, self.bids, self.asks)
        return HANDLED

    # ---- public trades ----

    cdef int _trades(self, tg_cur* c, Frame* f, const char* start) except -1:
        cdef Trade* trade
        cdef int more = tg_enter(c, c'[', c']')
        if more < 0:
            return self.fail(TG_SYNTAX, b"data", c, start)
        while more:
            if f.count == TRADES_MAX:
                return self.fail(TG_MANY, b"data", c, start)
            trade = &self.trades[f.count]
            if self._trade(c, f, trade, start) == BAD:
                return BAD
            f.count += trade.price_ticks > 0 and trade.size_lots > 0     # a row of nothing is no trade
            more = tg_more(c, c']')
            if more < 0:
                return self.fail(TG_SYNTAX, b"data", c, start)
        return HANDLED

    cdef int _trade(self, tg_cur* c, Frame* f, Trade* trade, const char* start) except -1:
        """`{"T":ms,"s":symbol,"S":side,"v":size,"p":price,"i":id,...}`; all but `s` are required."""
        cdef const char* key
        cdef Py_ssize_t size
        cdef int seen = 0, bit
        cdef int more = tg_enter(c, c'{', c'}')
        if more < 0:
            return self.fail(TG_SYNTAX, b"data", c, start)
        while more:
            if not tg_name(c, &key, &size):
                return self.fail(TG_SYNTAX, b"key", c, start)
            bit = 0
            if size == 1:
                bit = self._trade_member(c, f, trade, key[0], start)
                if bit < 0:
                    return BAD
            if bit & seen:
                return self.fail(TG_SYNTAX, b"repeated key", c, start)
            seen |= bit
            if bit == 0 and not tg_skip(c):
                return self.fail(TG_SYNTAX, b"value", c, start)
            more = tg_more(c, c'}')
            if more < 0:
                return self.fail(TG_SYNTAX, b"data", c, start)
        if seen & 31 != 31:
            return self.fail(TG_SYNTAX, b"T, S, v, p or i", c, start)
        trade.instrument = f.instrument
        trade.aggregate = 0
        return HANDLED

    cdef int _trade_member(self, tg_cur* c, Frame* f, Trade* trade, char key, const char* start) except -1:
        """Read one member; returns its bit, 0 where it is not wanted (and not read), -2 where it is refused."""
        cdef Span text
        cdef int64_t ms = -1
        cdef int code
        tg_peek(c)
        text.p = NULL
        if key == c'p':
            code = tg_decimal(c, &self.instruments.price_grids[f.instrument], &trade.price_ticks)
            return 1 if code == TG_OK else -self.fail(code, b"p", c, start)
        if key == c'v':
            code = tg_decimal(c, &self.instruments.size_grids[f.instrument], &trade.size_lots)
            return 2 if code == TG_OK else -self.fail(code, b"v", c, start)
        if key == c'T':
            if self._millis(c, &ms, b"T", start) == BAD:
                return -BAD
            trade.event_ns = ms * 1000000
            return 4
        if key == c'S':
            if self._string(c, &text, b"S", start) == BAD:
                return -BAD
            trade.side = BUY if tg_is(text.p, text.size, b"Buy") else SELL
            if trade.side == SELL and not tg_is(text.p, text.size, b"Sell"):
                return -self.fail(TG_SYNTAX, b"S", c, start)
            return 8
        if key == c'i':
            if self._string(c, &text, b"i", start) == BAD:
                return -BAD
            if text.size == 0:
                return -self.fail(TG_SYNTAX, b"i", c, start)
            tg_identity(text.p, text.size, &trade.id_hi, &trade.id_lo)
            return 16
        if key == c's':
            return 32 if self._same_symbol(c, f, b"s", start) == HANDLED else -BAD
        return 0

    # ---- tickers ----

    cdef int _ticker(self, tg_cur* c, Frame* f, const char* start) except -1:
        cdef const char* key
        cdef Py_ssize_t size
        cdef int more = tg_enter(c, c'{', c'}')
        if more < 0:
            return self.fail(TG_SYNTAX, b"data", c, start)
        while more:
            if not tg_name(c, &key, &size):
                return self.fail(TG_SYNTAX, b"key", c, start)
            if self._ticker_member(c, f, key, size, start) == BAD:
                return BAD
            more = tg_more(c, c'}')
            if more < 0:
                return self.fail(TG_SYNTAX, b"data", c, start)
        return HANDLED

    cdef int _ticker_member(self, tg_cur* c, Frame* f, const char* key, Py_ssize_t size, const char* start) except -1:
        cdef int64_t ms = -1
        if tg_is(key, size, b"markPrice"):
            return self._ticker_value(c, f, MARK_PRICE, &f.mark.mark_e8, b"markPrice", start)
        if tg_is(key, size, b"indexPrice"):
            return self._ticker_value(c, f, INDEX_PRICE, &f.mark.index_e8, b"indexPrice", start)
        if tg_is(key, size, b"lastPrice"):
            return self._ticker_value(c, f, LAST_PRICE, &f.mark.last_e8, b"lastPrice", start)
        if tg_is(key, size, b"fundingRate"):
            return self._ticker_value(c, f, FUNDING_RATE, &f.mark.funding_e8, b"fundingRate", start)
        if tg_is(key, size, b"symbol"):
            return self._same_symbol(c, f, b"symbol", start)
        if tg_is(key, size, b"nextFundingTime") and (tg_peek(c) != c'"' or c.end - c.p < 2 or c.p[1] != c'"') \
                and tg_peek(c) != c'n':
            if f.mark.present & NEXT_FUNDING:
                return self.fail(TG_SYNTAX, b"repeated key", c, start)
            if self._millis(c, &ms, b"nextFundingTime", start) == BAD:
                return BAD
            f.mark.present |= NEXT_FUNDING
            f.mark.next_funding_ns = ms * 1000000
            return HANDLED
        if not tg_skip(c):
            return self.fail(TG_SYNTAX, b"value", c, start)
        return HANDLED

    cdef int _ticker_value(self, tg_cur* c, Frame* f, int field, int64_t* out, const char* name,
                           const char* start) except -1:
        """A price or rate in 10**-8. Empty or null is absent; so is a value too fine for that unit: never rounded."""
        cdef int code
        if f.mark.present & field:
            return self.fail(TG_SYNTAX, b"repeated key", c, start)
        if tg_peek(c) == c'n':
            return HANDLED if tg_skip(c) else self.fail(TG_SYNTAX, name, c, start)
        if c.end - c.p >= 2 and c.p[0] == c'"' and c.p[1] == c'"':
            c.p += 2
            return HANDLED
        if field == FUNDING_RATE:
            code = tg_signed_decimal(c, &E8, out)
        else:
            code = tg_decimal(c, &E8, out)
        if code and code != TG_GRID:
            return self.fail(code, name, c, start)
        if code == TG_OK:
            f.mark.present |= field
        return HANDLED

    # ---- private topics ----

    cdef int _rows(self, tg_cur* c, Frame* f, const char* start) except -1:
        cdef Span row[PLACES]
        cdef int instrument, done, more = tg_enter(c, c'[', c']')
        if more < 0:
            return self.fail(TG_SYNTAX, b"data", c, start)
        while more:
            if self._row(c, row, start) == BAD:
                return BAD
            f.rows += 1
            instrument = self._row_instrument(f, row)
            if instrument < 0:
                f.foreign += 1
            elif f.count == REPORTS_MAX:
                return self.fail(TG_MANY, b"data", c, start)
            else:
                done = self._order(f, row, instrument, c, start) if f.kind == ORDERS \
                    else self._execution(f, row, instrument, c, start)
                if done == BAD:
                    return BAD
            more = tg_more(c, c']')
            if more < 0:
                return self.fail(TG_SYNTAX, b"data", c, start)
        return HANDLED

    cdef int _row(self, tg_cur* c, Span* row, const char* start) except -1:
        """Note where the members of one row stand."""
        cdef const char* key
        cdef Py_ssize_t size
        cdef int i, more = tg_enter(c, c'{', c'}')
        memset(row, 0, PLACES * sizeof(Span))
        if more < 0:
            return self.fail(TG_SYNTAX, b"data", c, start)
        while more:
            if not tg_name(c, &key, &size):
                return self.fail(TG_SYNTAX, b"key", c, start)
            for i in range(PLACES):
                if tg_is(key, size, NAMES[i]):
                    if self._value(c, &row[i], NAMES[i], start) == BAD:
                        return BAD
                    break
            else:
                if not tg_skip(c):
                    return self.fail(TG_SYNTAX, b"value", c, start)
            more = tg_more(c, c'}')
            if more < 0:
                return self.fail(TG_SYNTAX, b"data", c, start)
        return HANDLED

    cdef int _row_instrument(self, Frame* f, Span* row) except -2:
        """The instrument of a row, -1 where it belongs to another market or is not in the table.

        Spot and linear use the same symbols, so the category decides; where a row has none, the topic's own
        (`order.spot`) does.
        """
        cdef Span* category = &row[AT_CATEGORY]
        cdef const char* mine = b"spot" if self.market == BYBIT_SPOT else b"linear"
        cdef Py_ssize_t dot = 6 if f.kind == ORDERS else 10
        if category.size:
            if not tg_is(category.p, category.size, mine):
                return -1
        elif f.topic.size > dot and not tg_is(f.topic.p + dot, f.topic.size - dot, mine):
            return -1
        return self.lookup(row[AT_SYMBOL].p, row[AT_SYMBOL].size) if row[AT_SYMBOL].size else -1

    cdef int _order(self, Frame* f, Span* row, int instrument, tg_cur* c, const char* start) except -1:
        """A row of `order`: the state of one order. Fills come from `execution` only."""
        cdef Report* report = &self.reports[f.count]
        cdef Span* status = &row[AT_STATUS]
        if self._about(row, report, instrument, c, start) == BAD:
            return BAD
        if self._span_time(&row[AT_UPDATED], f.created, &report.event_ns, b"updatedTime", c, start) == BAD:
            return BAD
        if row[AT_FILLED].size and self._span_steps(&row[AT_FILLED], &self.instruments.size_grids[instrument],
                                                    &report.filled_lots, b"cumExecQty", c, start) == BAD:
            return BAD
        if status.size == 0:
            return self.fail(TG_SYNTAX, b"orderStatus", c, start)
        if tg_is(status.p, status.size, b"New") or tg_is(status.p, status.size, b"PartiallyFilled") \
                or tg_is(status.p, status.size, b"Untriggered") or tg_is(status.p, status.size, b"Triggered"):
            report.kind = REPORT_LIVE
        elif tg_is(status.p, status.size, b"Created"):
            report.kind = REPORT_ACK        # legacy: taken, not yet resting
        elif tg_is(status.p, status.size, b"Filled"):
            report.kind = REPORT_FILLED
        elif tg_is(status.p, status.size, b"Cancelled") or tg_is(status.p, status.size, b"PartiallyFilledCanceled") \
                or tg_is(status.p, status.size, b"Deactivated"):
            report.kind = REPORT_CANCELED
        elif tg_is(status.p, status.size, b"Rejected"):
            report.kind = REPORT_CANCELED if report.filled_lots > 0 else REPORT_REJECT
        else:
            report.kind = REPORT_UNCERTAIN  # a status that did not exist when this was written
        f.count += 1
        return HANDLED

    cdef int _execution(self, Frame* f, Span* row, int instrument, tg_cur* c, const char* start) except -1:
        """A row of `execution`. Only `Trade` is a fill; funding, settlement, ADL and the like are none of ours."""
        cdef Report* report = &self.reports[f.count]
        if not tg_is(row[AT_EXEC_TYPE].p, row[AT_EXEC_TYPE].size, b"Trade"):
            return HANDLED
        if self._about(row, report, instrument, c, start) == BAD:
            return BAD
        if self._fill(f, row, report, c, start) == BAD:
            return BAD
        report.kind = REPORT_FILL
        f.count += 1
        return HANDLED

    cdef int _fill(self, Frame* f, Span* row, Report* report, tg_cur* c, const char* start) except -1:
        cdef Instrument* known = &self.instruments.rows[report.instrument]
        cdef Span* coin = &row[AT_FEE_COIN]
        cdef bint is_buy = report.side == BUY
        if self._span_steps(&row[AT_EXEC_PRICE], &self.instruments.price_grids[report.instrument],
                            &report.price_ticks, b"execPrice", c, start) == BAD:
            return BAD
        if self._span_steps(&row[AT_EXEC_QTY], &self.instruments.size_grids[report.instrument], &report.size_lots,
                            b"execQty", c, start) == BAD:
            return BAD
        if report.price_ticks == 0 or report.size_lots == 0:
            return self.fail(TG_RANGE, b"execPrice or execQty", c, start)
        if row[AT_EXEC_ID].size == 0:
            return self.fail(TG_SYNTAX, b"execId", c, start)
        tg_identity(row[AT_EXEC_ID].p, row[AT_EXEC_ID].size, &report.trade_hi, &report.trade_lo)
        if self._span_time(&row[AT_EXEC_TIME], f.created, &report.event_ns, b"execTime", c, start) == BAD:
            return BAD
        report.maker = tg_is(row[AT_MAKER].p, row[AT_MAKER].size, b"true")
        if row[AT_EXEC_FEE].size:
            code = tg_fee(row[AT_EXEC_FEE].p, row[AT_EXEC_FEE].size, &report.fee_e8)
            if code:
                return self.fail(code, b"execFee", c, start)
        if self.market == BYBIT_LINEAR:
            report.fee_is_quote = 1
        elif coin.size == 0:            # enum "Spot Fee Currency Instruction": a maker's rebate is in the other coin
            report.fee_is_quote = is_buy == (report.maker and report.fee_e8 < 0)
        else:
            report.fee_is_quote = coin.size < known.symbol_size and memcmp(
                known.symbol + known.symbol_size - coin.size, coin.p, coin.size) == 0
        return HANDLED

    cdef int _about(self, Span* row, Report* report, int instrument, tg_cur* c, const char* start) except -1:
        """What both private topics say of an order: whose, which, on what side."""
        memset(report, 0, sizeof(Report))
        report.instrument = instrument
        report.filled_lots = -1
        report.order_id = self.own_id(row[AT_LINK_ID].p, row[AT_LINK_ID].size, &report.epoch)
        report.side = SELL if tg_is(row[AT_SIDE].p, row[AT_SIDE].size, b"Sell") else BUY
        if report.side == BUY and not tg_is(row[AT_SIDE].p, row[AT_SIDE].size, b"Buy"):
            return self.fail(TG_SYNTAX, b"side", c, start)
        return self._venue_id(&row[AT_ORDER_ID], report, c, start)

    cdef int _venue_id(self, Span* text, Report* report, tg_cur* c, const char* start) except -1:
        if text.size > <Py_ssize_t>sizeof(report.venue_id):
            return self.fail(TG_RANGE, b"orderId", c, start)
        report.venue_id_size = text.size
        if text.size:
            memcpy(report.venue_id, text.p, text.size)
        return HANDLED

    cdef int _span_time(self, Span* span, int64_t fallback_ms, int64_t* out_ns, const char* name, tg_cur* c,
                        const char* start) except -1:
        """Milliseconds in a noted value; the envelope's where it is empty (legacy frames)."""
        cdef tg_grid whole
        cdef int64_t ms = 0
        cdef int code
        whole.mantissa = 1
        whole.decimals = 0
        if span.size == 0:
            out_ns[0] = fallback_ms * 1000000 if fallback_ms > 0 else 0
            return HANDLED
        code = TG_NUMBER if memchr_point(span) else tg_steps_slow(span.p, span.size, whole, &ms)
        if code or ms >= MILLIS_MAX:
            return self.fail(code if code else TG_RANGE, name, c, start)
        out_ns[0] = ms * 1000000
        return HANDLED

    cdef int _span_steps(self, Span* span, const tg_grid* grid, int64_t* out, const char* name, tg_cur* c,
                         const char* start) except -1:
        cdef int code = tg_steps_slow(span.p, span.size, grid[0], out)
        return self.fail(code, name, c, start) if code else HANDLED

    cdef int _push_reports(self, Frame* f, Sink sink) except -1:
        cdef int i
        for i in range(f.count):
            sink.on_report(&self.reports[i])
        return NOT_MINE if f.rows and f.foreign == f.rows else HANDLED

    # ---- replies of the trade connection ----

    cdef int _answer(self, tg_cur* c, Frame* f, const char* start) except -1:
        """`data` of a reply: ids where the request was taken, `{}` where it was not."""
        cdef const char* key
        cdef Py_ssize_t size
        cdef int more
        if tg_peek(c) != c'{':
            return HANDLED if tg_skip(c) else self.fail(TG_SYNTAX, b"data", c, start)
        more = tg_enter(c, c'{', c'}')
        if more < 0:
            return self.fail(TG_SYNTAX, b"data", c, start)
        while more:
            if not tg_name(c, &key, &size):
                return self.fail(TG_SYNTAX, b"key", c, start)
            if tg_is(key, size, b"orderId"):
                if self._value(c, &f.order_id, b"orderId", start) == BAD:
                    return BAD
            elif tg_is(key, size, b"orderLinkId"):
                if self._value(c, &f.link_id, b"orderLinkId", start) == BAD:
                    return BAD
            elif not tg_skip(c):
                return self.fail(TG_SYNTAX, b"value", c, start)
            more = tg_more(c, c'}')
            if more < 0:
                return self.fail(TG_SYNTAX, b"data", c, start)
        return HANDLED

    cdef int _header(self, tg_cur* c, Frame* f, const char* start) except -1:
        """`header` of a reply: only `Timenow`, the venue's clock in ms, is read."""
        cdef const char* key
        cdef Py_ssize_t size
        cdef int more = tg_enter(c, c'{', c'}')
        if more < 0:
            return self.fail(TG_SYNTAX, b"header", c, start)
        while more:
            if not tg_name(c, &key, &size):
                return self.fail(TG_SYNTAX, b"key", c, start)
            if tg_is(key, size, b"Timenow"):
                if self._millis(c, &f.timenow, b"Timenow", start) == BAD:
                    return BAD
            elif not tg_skip(c):
                return self.fail(TG_SYNTAX, b"value", c, start)
            more = tg_more(c, c'}')
            if more < 0:
                return self.fail(TG_SYNTAX, b"header", c, start)
        return HANDLED

    cdef int _push_reply(self, Frame* f, Sink sink, tg_cur* c, const char* start) except -1:
        """What the venue answered to a create or a cancel. A taken cancel says nothing yet: the stream will.

        Only a listed refusal proves that an order does not exist; every other code leaves its fate open.
        """
        cdef Report report
        cdef char action = c'n'
        cdef uint64_t linked, linked_epoch
        memset(&report, 0, sizeof(report))
        report.order_ticks = report.order_lots = -1
        if not f.has_code:
            return self.fail(TG_SYNTAX, b"retCode", c, start)
        if f.request.size:
            report.order_id = self.own_request(f.request.p, f.request.size, &action, &report.epoch)
        if report.order_id == 0 and f.op.p == NULL:
            return NOT_MINE
        if f.op.p != NULL:
            action = c'c' if tg_is(f.op.p, f.op.size, b"order.cancel") else c'n'
        linked = self.own_id(f.link_id.p, f.link_id.size, &linked_epoch)
        if linked and report.order_id and linked != report.order_id:
            return self.fail(TG_SYNTAX, b"orderLinkId", c, start)
        if not report.order_id:
            report.order_id, report.epoch = linked, linked_epoch
        if self._venue_id(&f.order_id, &report, c, start) == BAD:
            return BAD
        report.instrument = report.side = -1
        report.filled_lots = -1
        report.code = <int32_t>f.code
        report.event_ns = f.timenow * 1000000 if f.timenow > 0 else 0
        if action == c'c':
            if f.code == 0:
                return HANDLED
            report.kind = REPORT_CANCEL_REJECT if tg_cancel_refused(f.code) else REPORT_UNCERTAIN
        elif f.code == 0:
            report.kind = REPORT_ACK
        else:
            report.kind = REPORT_REJECT if tg_refused(f.code) else REPORT_UNCERTAIN
        sink.on_report(&report)
        return HANDLED

    # ---- orders out ----

    cdef Py_ssize_t encode(self, Approved order, char* out, Py_ssize_t cap, int64_t now_ns) except -1:
        """Write the trade frame of an approved order or cancel. `now_ns` is the wall clock.

        Raises ValueError where `cap` is below FRAME_MAX (512) or the order is not one of this market.
        """
        return self._frame(&order.intent, order.order_id, out, cap, now_ns)

    cdef Py_ssize_t _frame(self, const Intent* intent, uint64_t order_id, char* out, Py_ssize_t cap,
                           int64_t now_ns) except -1:
        if cap < FRAME_MAX:
            raise ValueError(f"order frame: {cap} bytes of room, {FRAME_MAX} are needed")
        if now_ns < 0:
            raise ValueError(f"order frame: time {now_ns} is before 1970")
        if not 0 <= intent.instrument < self.instruments.count \
                or self.instruments.rows[intent.instrument].market != self.market:
            raise ValueError(f"order frame: instrument {intent.instrument} is not of this market")
        if intent.action == CANCEL:
            return self._cancel(intent, intent.order_id if intent.order_id else order_id, out, now_ns)
        if intent.side != BUY and intent.side != SELL or not GTC <= intent.tif <= POST_ONLY \
                or intent.type != LIMIT and intent.type != MARKET or intent.action != NEW:
            raise ValueError("order frame: action, side, type or time in force is not known")
        if intent.size_lots <= 0 or intent.type == LIMIT and intent.price_ticks <= 0:
            raise ValueError("order frame: size and price must be above zero")
        return self._new(intent, order_id, out, now_ns)

    cdef char* _head(self, char* out, char action, uint64_t order_id, uint64_t epoch, int64_t now_ns) noexcept nogil:
        """Request id and time window. The window is short on purpose: an order that was held up must not enter."""
        out = tg_lit(out, b'{"reqId":"')
        out += self.put_request(out, action, order_id, epoch)
        out = tg_lit(out, b'","header":{"X-BAPI-TIMESTAMP":"')
        out += tg_put_uint(out, <uint64_t>(now_ns // 1000000))
        return tg_lit(out, b'","X-BAPI-RECV-WINDOW":"1000"},"op":"order.')

    cdef Py_ssize_t _new(self, const Intent* intent, uint64_t order_id, char* out, int64_t now_ns) noexcept nogil:
        """`order.create`. The client id stands inside the request id, so it is copied from there."""
        cdef Instrument* row = &self.instruments.rows[intent.instrument]
        cdef char* at = self._head(out, c'n', order_id, 0, now_ns)
        cdef bint is_spot = self.market == BYBIT_SPOT
        at = tg_lit(at, b'create","args":[{"category":"spot","symbol":"') if is_spot \
            else tg_lit(at, b'create","args":[{"category":"linear","symbol":"')
        memcpy(at, row.symbol, row.symbol_size)
        at = tg_lit(at + row.symbol_size, b'","side":"Buy","orderType":"') if intent.side == BUY \
            else tg_lit(at + row.symbol_size, b'","side":"Sell","orderType":"')
        at = tg_lit(at, b'Limit","qty":"') if intent.type == LIMIT else tg_lit(at, b'Market","qty":"')
        at += tg_put_decimal(at, intent.size_lots, &self.instruments.size_grids[intent.instrument], 0)
        if intent.type == LIMIT:
            at = tg_lit(at, b'","price":"')
            at += tg_put_decimal(at, intent.price_ticks, &self.instruments.price_grids[intent.instrument], 0)
            at = tg_lit(tg_lit(at, b'","timeInForce":"'), TIF_TEXT[intent.tif])
        else:
            at = tg_lit(at, b'","timeInForce":"IOC')
            if is_spot:                 # without it a market buy is in quote currency
                at = tg_lit(at, b'","marketUnit":"baseCoin')
        at = tg_lit(at, b'","orderLinkId":"')
        memcpy(at, out + 11, ID_SIZE)   # behind {"reqId":" and the action letter
        at = tg_lit(at + ID_SIZE, b'","smpType":"CancelMaker",')
        at = tg_lit(at, b'"isLeverage":0') if is_spot else tg_lit(at, b'"positionIdx":0')
        if intent.reduce_only and not is_spot:
            at = tg_lit(at, b',"reduceOnly":true')
        return tg_lit(at, b'}]}') - out

    cdef Py_ssize_t _cancel(self, const Intent* intent, uint64_t order_id, char* out, int64_t now_ns) noexcept nogil:
        """`order.cancel` by client id: the venue's own id may not be known yet."""
        cdef Instrument* row = &self.instruments.rows[intent.instrument]
        cdef char* at = self._head(out, c'c', order_id, intent.epoch, now_ns)
        at = tg_lit(at, b'cancel","args":[{"category":"spot","symbol":"') if self.market == BYBIT_SPOT \
            else tg_lit(at, b'cancel","args":[{"category":"linear","symbol":"')
        memcpy(at, row.symbol, row.symbol_size)
        at = tg_lit(at + row.symbol_size, b'","orderLinkId":"')
        memcpy(at, out + 11, ID_SIZE)
        return tg_lit(at + ID_SIZE, b'"}]}') - out

    def preview(self, dict intent, uint64_t order_id, int64_t now_ns, Py_ssize_t cap=FRAME_MAX) -> bytes:
        """The bytes that `encode` would write next for such an intent, for tests and documentation.

        `intent` has the members of `records.Intent`, zero where left out. Nothing is approved by it, nothing can be
        sent with it, and no request number is used up. Raises ValueError as `encode` does.
        """
        cdef char out[FRAME_MAX]
        cdef Intent want
        cdef uint64_t requests = self.requests
        memset(&want, 0, sizeof(want))
        want.instrument, want.action = intent.get("instrument", 0), intent.get("action", NEW)
        want.side, want.type, want.tif = intent.get("side", BUY), intent.get("type", LIMIT), intent.get("tif", GTC)
        want.reduce_only, want.order_id = intent.get("reduce_only", 0), intent.get("order_id", 0)
        want.price_ticks, want.size_lots = intent.get("price_ticks", 0), intent.get("size_lots", 0)
        size = self._frame(&want, order_id, out, min(cap, FRAME_MAX), now_ns)
        self.requests = requests
        return out[:size]


cdef inline bint memchr_point(Span* span) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(span.size):
        if span.p[i] == c'.':
            return True
    return False


def refuses(int64_t code, bint cancel=False) -> bool:
    """Does this retCode prove that the order was not taken (or the cancel not carried out)? For tests and `rules`."""
    return tg_cancel_refused(code) if cancel else tg_refused(code)

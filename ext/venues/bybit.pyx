"""Bybit v5, spot and linear: bytes to records and back.

Market data: `orderbook.{1,50,200,1000}`, `publicTrade`, `tickers`. Orders: create, amend and cancel on the trade
connection, one by one or in batches, and the private topics `order`, `execution` and `execution.fast`, all-in-one or
per category. Sources: bybit-exchange/docs `docs/v5/websocket/` (public, private, trade/guideline),
`docs/v5/{error,enum}.mdx`. Members may come in any order; the venue varies it.

Whatever a frame says is gathered in a `Frame` and in scratch arrays first and pushed last, so that a BAD frame pushes
nothing. `data` is read where it stands when its topic came before it (always, so far) and afterwards when not.
"""

from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memchr, memcmp, memcpy, memset

from ext.records cimport (ACCEPTED, AMEND, BUDGET_AMENDS, BUDGET_CANCELS, BUDGET_ORDERS, BUY, BYBIT_LINEAR, BYBIT_SPOT,
                          CANCEL, FOK, FUNDING_RATE, GROUP_DUPLICATE, GROUP_OTHER, GTC, INDEX_PRICE, IOC, LAST_PRICE,
                          LIMIT, LONG_LEG, MARK_PRICE, MARKET, NEW, NEXT_FUNDING, POST_ONLY, REPORT_ACK, REPORT_AMEND_REJECT,
                          REPORT_CANCEL_REJECT, REPORT_CANCELED, REPORT_EXPIRED, REPORT_FILL, REPORT_LIVE, REPORT_ODD,
                          REPORT_REJECT, REPORT_UNCERTAIN, RULE_STEP, SELL, SHORT_LEG, SNAPSHOT, STOP_MARKET, TRADE_FILL,
                          UNCERTAIN, UPDATE, DepthHead, Instrument)
from ext.text cimport (TG_GRID, TG_MANY, TG_NUMBER, TG_OK, TG_RANGE, TG_SYNTAX, tg_decimal, tg_int, tg_int_or_text,
                       tg_peek, tg_put_decimal, tg_put_uint, tg_setup, tg_signed_decimal, tg_skip, tg_steps_slow)
from ext.wire cimport BAD, BATCH_MAX, COPY, HANDLED, ID_SIZE, NOT_MINE, ORDER_FRAME_MAX, REQUEST_SIZE, RESYNC, TRADES_MAX

cdef extern from "venues/bybit.h" nogil:
    const int TG_WALKED, TG_COLD, TG_ODD
    char* tg_lit(char* at, const char* text) noexcept
    bint tg_text(tg_cur* c, const char* text) noexcept
    bint tg_plain(tg_cur* c, const char** p, Py_ssize_t* n) noexcept
    bint tg_is(const char* p, Py_ssize_t n, const char* text) noexcept
    bint tg_starts(const char* p, Py_ssize_t n, const char* text) noexcept
    bint tg_member(tg_cur* c, tg_walk* w) noexcept
    bint tg_item(tg_cur* c, tg_walk* w) noexcept
    void tg_identity(const char* s, Py_ssize_t n, int64_t* hi, int64_t* lo) noexcept
    int tg_fee(const char* s, Py_ssize_t n, int64_t* out) noexcept
    int tg_place(const char* key, Py_ssize_t n) noexcept
    const char* tg_place_name(int place) noexcept
    int tg_exec_nature(const char* p, Py_ssize_t n) noexcept
    int tg_create_nature(const char* p, Py_ssize_t n) noexcept
    int tg_status(const char* p, Py_ssize_t n) noexcept
    int tg_reason(const char* p, Py_ssize_t n) noexcept
    bint tg_is_no_filter(const char* p, const char* end) noexcept
    bint tg_asked(const char* p, Py_ssize_t n, int group) noexcept
    bint tg_is_settled_in(const char* coin, Py_ssize_t n, const char* symbol, Py_ssize_t size) noexcept

tg_setup()

cdef tg_grid E8
E8.mantissa = 1
E8.decimals = 8

cdef int64_t MILLIS_MAX = 9000000000000     # the year 2255; ns of it still fit
cdef int64_t SECOND_NS = 1000000000         # the window of every order limit of the venue
cdef int64_t NO_CODE = -1099511627776   # what no code can be

cdef const char** TIF_TEXT = [b"GTC", b"IOC", b"FOK", b"PostOnly"]    # in the order of records.TimeInForce
cdef const char** STP_TEXT = [b"CancelMaker", b"CancelTaker", b"CancelBoth"]
STP = ("expire_maker", "expire_taker", "expire_both")


cdef class BybitWire(Wire):
    """One Bybit market, BYBIT_SPOT or BYBIT_LINEAR: decoder and encoder.

    Trade identities (`Trade.id_*`, `Report.trade_*`): a UUID fills both halves, a decimal number up to 38 digits is its
    own value, anything else is hashed (FNV-1a, 128 bits). `Report.fee_is_quote` is 1 for the quote (linear: settle)
    coin, 2 for the base coin, 0 for any other (MNT) and -1 where a message has no fee (`execution.fast`). Give it the
    error table with `set_codes`: without it no code proves anything. Raises ValueError for another venue's market.
    """

    def __cinit__(self, *args, **kwargs):
        self.reports = <Report*>malloc(REPORTS_MAX * sizeof(Report))
        self.items = <Item*>malloc(BATCH_MAX * sizeof(Item))
        self.wants = <Intent*>malloc(BATCH_MAX * sizeof(Intent))
        self.sent = <Sent*>calloc(BATCHES_KEPT, sizeof(Sent))
        if not (self.reports and self.items and self.wants and self.sent):
            raise MemoryError()
        if self.market != BYBIT_SPOT and self.market != BYBIT_LINEAR:
            raise ValueError(f"market {self.market}: must be BYBIT_SPOT or BYBIT_LINEAR")
        self.can_amend = True
        self.batch_max = 10 if self.market == BYBIT_SPOT else 20

    def __dealloc__(self):
        free(self.reports)
        free(self.items)
        free(self.wants)
        free(self.sent)

    @property
    def stp(self) -> str:
        """Self-trade prevention that every order carries; of two orders of ours the incoming one's decides.

        expire_maker (the resting order goes, as at the start), expire_taker or expire_both; ValueError for others.
        """
        return STP[self.stp_mode]

    @stp.setter
    def stp(self, str mode):
        if mode not in STP:
            raise ValueError(f"self-trade prevention {mode!r}: must be one of {STP}")
        self.stp_mode = STP.index(mode)

    cdef int decode(self, int context, const char* data, Py_ssize_t size, int64_t now_ns, Sink sink) except -1:
        cdef Frame f
        cdef tg_cur c
        cdef int done
        memset(&f, 0, sizeof(f))
        f.instrument = -1
        f.ts = f.cts = f.created = f.update_id = f.bids = f.asks = -1
        c.p = data
        c.end = data + size
        if sink.redundant:
            f.sink = <void*>sink
        done = self._envelope(&c, &f, data)
        if done >= BAD:
            return BAD if done == BAD else HANDLED
        if tg_peek(&c) or c.p != c.end:
            return self.fail(TG_SYNTAX, b"end of frame", &c, data)
        if f.kind == UNNAMED and f.reply != NULL and f.reply.op.p == NULL and f.reply.has_code:
            self._letter(&f)            # a reply that does not repeat its op: the request id tells
        if f.kind <= OTHER:
            return NOT_MINE
        if f.data != NULL and not f.read:
            c.p = f.data
            if self._data(&c, &f, data) == BAD:
                return BAD
        if f.kind == REPLY and f.reply.is_batch and f.reply.more != NULL:
            c.p = f.reply.more
            if self._codes(&c, &f, data) == BAD:
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

    cdef int _walked(self, int state, const char* why, const char* name, tg_cur* c, const char* start) except -1:
        """How a walk ended: HANDLED behind the last member, else BAD: what was wrong inside, or the whole (`name`)."""
        if state == TG_WALKED:
            return HANDLED
        return self.fail(TG_SYNTAX, name if why == NULL else why, c, start)

    cdef int _envelope(self, tg_cur* c, Frame* f, const char* start) except -1:
        """All members of the frame; HANDLED, BAD or COPY."""
        cdef tg_walk w
        cdef int done
        w.state = 0
        while tg_member(c, &w):
            done = self._member(c, f, w.key, w.size, start)
            if done >= BAD:
                return done
        return HANDLED if w.state == TG_WALKED else self._walked(w.state, w.why, b"object", c, start)

    cdef int _member(self, tg_cur* c, Frame* f, const char* key, Py_ssize_t size, const char* start) except -1:
        if tg_is(key, size, b"data"):
            if f.data != NULL:
                return self.fail(TG_SYNTAX, b"repeated key", c, start)
            f.data = c.p
            if f.kind > OTHER:
                if f.sink != NULL and f.kind == DEPTH and self._is_copy(c, f):
                    return COPY
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
        else:
            return self._reply_member(c, f, key, size, start)
        return HANDLED

    cdef int _reply_member(self, tg_cur* c, Frame* f, const char* key, Py_ssize_t size, const char* start) except -1:
        """Members that only replies have."""
        if f.reply == NULL:
            self._begin_reply(f)
        if tg_is(key, size, b"op"):
            if self._string(c, &f.reply.op, b"op", start) == BAD:
                return BAD
            if f.kind == UNNAMED:
                self._op(f)
        elif tg_is(key, size, b"reqId") and tg_peek(c) == c'"':
            return self._string(c, &f.reply.request, b"reqId", start)
        elif tg_is(key, size, b"retCode"):
            if f.reply.has_code:
                return self.fail(TG_SYNTAX, b"repeated key", c, start)
            f.reply.has_code = 1
            return self._code(c, &f.reply.whole.code, b"retCode", start)
        elif tg_is(key, size, b"retMsg"):
            f.reply.whole.words = c.p
        elif tg_is(key, size, b"header") and tg_peek(c) == c'{':
            return self._header(c, f, start)
        elif tg_is(key, size, b"retExtInfo"):
            if f.reply.more != NULL:
                return self.fail(TG_SYNTAX, b"repeated key", c, start)
            f.reply.more = c.p                # read afterwards, and only of a batch
        return HANDLED

    cdef int _begin_reply(self, Frame* f) noexcept nogil:
        f.reply = &self.reply
        memset(f.reply, 0, sizeof(Reply))
        f.reply.timenow = f.reply.limit = f.reply.left = f.reply.reset = f.reply.items = f.reply.codes = -1
        return 0

    cdef int _code(self, tg_cur* c, int64_t* out, const char* name, const char* start) except -1:
        cdef int code = tg_int_or_text(c, out)
        if code or not -2147483648 <= out[0] <= 2147483647:
            return self.fail(code if code else TG_RANGE, name, c, start)
        return HANDLED

    cdef int _op(self, Frame* f) except -1:
        """`order.create`, `order.amend`, `order.cancel`, with `-batch` or without; others are no orders."""
        cdef const char* p = f.reply.op.p
        cdef Py_ssize_t n = f.reply.op.size
        f.kind = OTHER
        f.reply.is_batch = n > 6 and memcmp(p + n - 6, b"-batch", 6) == 0
        n -= 6 if f.reply.is_batch else 0
        if tg_is(p, n, b"order.create"):
            f.kind, f.reply.action = REPLY, NEW
        elif tg_is(p, n, b"order.cancel"):
            f.kind, f.reply.action = REPLY, CANCEL
        elif tg_is(p, n, b"order.amend"):
            f.kind, f.reply.action = REPLY, AMEND
        return HANDLED

    cdef int _letter(self, Frame* f) except -1:
        """The same out of a request id of ours: n, c or a, upper case for a batch."""
        cdef char letter = 0
        cdef uint64_t epoch
        if f.reply.request.p == NULL or not self.own_request(f.reply.request.p, f.reply.request.size, &letter, &epoch):
            return HANDLED
        f.reply.is_batch = letter == c'N' or letter == c'C' or letter == c'A'
        letter |= 32
        if letter == c'n' or letter == c'c' or letter == c'a':
            f.kind, f.reply.action = REPLY, NEW if letter == c'n' else CANCEL if letter == c'c' else AMEND
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
            return self._private_topic(f)
        f.symbol.p = p + cut
        f.symbol.size = n - cut
        f.instrument = self.lookup(f.symbol.p, f.symbol.size)
        if f.instrument < 0:
            f.kind = OTHER
        return HANDLED

    cdef int _private_topic(self, Frame* f) except -1:
        """`order`, `execution`, `execution.fast`, alone or with `.spot` or `.linear`."""
        cdef const char* p = f.topic.p
        cdef Py_ssize_t n = f.topic.size, cut
        if tg_starts(p, n, b"order"):
            cut = 5
        elif tg_starts(p, n, b"execution.fast"):
            f.is_fast, cut = 1, 14
        elif tg_starts(p, n, b"execution"):
            cut = 9
        else:
            return HANDLED
        if n > cut:
            f.category.p = p + cut + 1
            f.category.size = n - cut - 1
            if p[cut] != c'.' or not (tg_is(f.category.p, f.category.size, b"spot")
                                      or tg_is(f.category.p, f.category.size, b"linear")):
                return HANDLED
        f.kind = ORDERS if cut == 5 else EXECUTIONS
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
        cdef tg_walk w
        cdef int code
        w.state = 0
        while tg_member(c, &w):
            if w.size != 1:
                continue
            if w.key[0] == c'b' or w.key[0] == c'a':
                if self._side(c, f, w.key[0] == c'b', start) == BAD:
                    return BAD
            elif w.key[0] == c'u':
                if f.update_id >= 0:
                    return self.fail(TG_SYNTAX, b"repeated key", c, start)
                code = tg_int_or_text(c, &f.update_id)
                if code or f.update_id < 0:
                    return self.fail(code if code else TG_RANGE, b"u", c, start)
            elif w.key[0] == c's' and self._same_symbol(c, f, b"s", start) == BAD:
                return BAD
        return HANDLED if w.state == TG_WALKED else self._walked(w.state, w.why, b"data", c, start)

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

    cdef bint _is_copy(self, tg_cur* c, Frame* f) except -1:
        """At the data of a depth message: does the taker have this delta? Its ids stand behind the levels, and only an end as the
        venue writes it is looked at: `],"u":1,"seq":2},"cts":3}`. A second `u` would be BAD."""
        cdef DepthHead head
        cdef tg_cur t
        cdef int64_t other
        cdef const char* last
        if f.type.p == NULL or not tg_is(f.type.p, f.type.size, b"delta"):
            return False
        last = self.tail(c, 0, &t)
        if last == NULL or not (tg_text(&t, b',"u":') and tg_int(&t, &f.update_id) == TG_OK and tg_text(&t, b',"seq":')
                and tg_int(&t, &other) == TG_OK and tg_text(&t, b'},"cts":') and tg_int(&t, &other) == TG_OK
                and tg_text(&t, b"}") and t.p == t.end and f.update_id <= (<Sink>f.sink).newest(f.instrument)
                and memchr(c.p, c'}', last - c.p) == NULL):
            f.update_id = -1
            return False
        self._depth_head(f, &head, True)
        f.update_id = -1
        return head.last_id > 1 and (<Sink>f.sink).is_copy(&head)       # 1: the service restarted

    cdef int _depth_head(self, Frame* f, DepthHead* head, bint is_delta) noexcept nogil:
        """What a depth message says of its place in the stream."""
        head.instrument = f.instrument
        head.kind = UPDATE if is_delta else SNAPSHOT
        head.rule = RULE_STEP
        head.depth = f.depth
        head.partial = f.depth == 1 and not is_delta
        head.first_id = head.prev_id = -1
        head.last_id = f.update_id
        return 0

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
        self._depth_head(f, &head, is_delta)
        head.bids, head.asks, head.checksum = f.bids, f.asks, 0
        head.event_ns = f.cts if f.cts >= 0 else f.ts
        head.event_ns = head.event_ns * 1000000 if head.event_ns > 0 else 0
        sink.on_depth(&head, self.bids, self.asks)
        return HANDLED

    # ---- public trades ----

    cdef int _trades(self, tg_cur* c, Frame* f, const char* start) except -1:
        cdef Trade* trade
        cdef tg_walk w
        w.state = 0
        while tg_item(c, &w):
            if f.count == TRADES_MAX:
                return self.fail(TG_MANY, b"data", c, start)
            trade = &self.trades[f.count]
            if self._trade(c, f, trade, start) == BAD:
                return BAD
            f.count += trade.price_ticks > 0 and trade.size_lots > 0     # a row of nothing is no trade
        return self._walked(w.state, w.why, b"data", c, start)

    cdef int _trade(self, tg_cur* c, Frame* f, Trade* trade, const char* start) except -1:
        """`{"T":ms,"s":symbol,"S":side,"v":size,"p":price,"i":id,...}`; all but `s` are required."""
        cdef tg_walk w
        cdef int seen = 0, bit
        w.state = 0
        while tg_member(c, &w):
            bit = self._trade_member(c, f, trade, w.key[0], start) if w.size == 1 else 0
            if bit < 0:
                return BAD
            if bit & seen:
                return self.fail(TG_SYNTAX, b"repeated key", c, start)
            seen |= bit
        if w.state != TG_WALKED:
            return self._walked(w.state, w.why, b"data", c, start)
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
        cdef tg_walk w
        w.state = 0
        while tg_member(c, &w):
            if self._ticker_member(c, f, w.key, w.size, start) == BAD:
                return BAD
        return self._walked(w.state, w.why, b"data", c, start)

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
        cdef tg_walk w
        cdef int instrument, done
        w.state = 0
        while tg_item(c, &w):
            if self._row(c, row, start) == BAD:
                return BAD
            f.rows += 1
            instrument = self._row_instrument(f, row)
            if instrument < 0:
                continue
            if f.count == REPORTS_MAX:
                return self.fail(TG_MANY, b"data", c, start)
            done = self._order(f, row, instrument, c, start) if f.kind == ORDERS \
                else self._execution(f, row, instrument, c, start)
            if done == BAD:
                return BAD
        return self._walked(w.state, w.why, b"data", c, start)

    cdef int _row(self, tg_cur* c, Span* row, const char* start) except -1:
        """Note where the members of one row stand."""
        cdef tg_walk w
        cdef int place
        memset(row, 0, PLACES * sizeof(Span))
        w.state = 0
        while tg_member(c, &w):
            place = tg_place(w.key, w.size)
            if place >= 0 and self._value(c, &row[place], tg_place_name(place), start) == BAD:
                return BAD
        return self._walked(w.state, w.why, b"data", c, start)

    cdef int _row_instrument(self, Frame* f, Span* row) except -2:
        """The instrument of a row, -1 where it belongs to another market or is not in the table.

        Spot and linear use the same symbols, so the category decides; where a row has none, the topic's own
        (`order.spot`) does.
        """
        cdef Span* category = &row[AT_CATEGORY] if row[AT_CATEGORY].size else &f.category
        cdef const char* mine = b"spot" if self.market == BYBIT_SPOT else b"linear"
        if category.size and not tg_is(category.p, category.size, mine):
            return -1
        return self.lookup(row[AT_SYMBOL].p, row[AT_SYMBOL].size) if row[AT_SYMBOL].size else -1

    cdef int _order(self, Frame* f, Span* row, int instrument, tg_cur* c, const char* start) except -1:
        """A row of `order`: the state of one order, ours or not. Fills come from `execution` only."""
        cdef Report* report = &self.reports[f.count]
        cdef const tg_grid* lots = &self.instruments.size_grids[instrument]
        cdef int status
        if self._about(row, report, instrument, c, start) == BAD \
                or self._needs(row, AT_ORDER_ID, 1, c, start) == BAD \
                or self._needs(row, AT_STATUS, 1, c, start) == BAD \
                or self._needs(row, AT_FILLED, 0, c, start) == BAD:
            return BAD
        if self._span_time(&row[AT_UPDATED], f.created, &report.event_ns, b"updatedTime", c, start) == BAD:
            return BAD
        if row[AT_FILLED].size and self._span_steps(&row[AT_FILLED], lots, &report.filled_lots, b"cumExecQty", c,
                                                    start) == BAD:
            return BAD
        if self._wish(row, report, c, start) == BAD:
            return BAD
        status = tg_status(row[AT_STATUS].p, row[AT_STATUS].size)
        report.group = tg_reason(row[AT_REASON].p, row[AT_REASON].size)
        report.kind = self._closed(row, report, status) if status == REPORT_REJECT or status == REPORT_CANCELED \
            else REPORT_ODD if status == TG_ODD else status
        f.count += 1
        return HANDLED

    cdef int _closed(self, Span* row, Report* report, int status) noexcept nogil:
        """How an order ended: REPORT_REJECT, REPORT_CANCELED as asked for, or REPORT_EXPIRED by the venue.

        A duplicate id proves nothing of the order that has it already. A rejected order can have fills (seen), or not
        say: then it is over, and no more.
        """
        if report.group == GROUP_DUPLICATE:
            return REPORT_UNCERTAIN
        if status == REPORT_REJECT:
            return REPORT_REJECT if report.filled_lots == 0 else REPORT_EXPIRED
        return REPORT_CANCELED if tg_asked(row[AT_CANCEL].p, row[AT_CANCEL].size, report.group) else REPORT_EXPIRED

    cdef int _wish(self, Span* row, Report* report, tg_cur* c, const char* start) except -1:
        """Price and whole size of an order, -1 where there is none.

        A market order's price is the venue's own protection. A spot market order can be in money instead of coins.
        """
        cdef Span* unit = &row[AT_UNIT]
        cdef bint is_market = tg_is(row[AT_TYPE].p, row[AT_TYPE].size, b"Market")
        cdef bint is_money = is_market and self.market == BYBIT_SPOT and not tg_is(unit.p, unit.size, b"baseCoin") \
            and (report.side == BUY or unit.size > 0)
        if self._needs(row, AT_QTY, 0, c, start) == BAD or self._needs(row, AT_PRICE, 0, c, start) == BAD \
                or self._needs(row, AT_TYPE, 1, c, start) == BAD:
            return BAD
        if row[AT_PRICE].size and not is_market:
            if self._span_steps(&row[AT_PRICE], &self.instruments.price_grids[report.instrument], &report.order_ticks,
                                b"price", c, start) == BAD:
                return BAD
            if report.order_ticks == 0:
                report.order_ticks = -1
        if row[AT_QTY].size and not is_money:
            return self._span_steps(&row[AT_QTY], &self.instruments.size_grids[report.instrument], &report.order_lots,
                                    b"qty", c, start)
        return HANDLED

    cdef int _execution(self, Frame* f, Span* row, int instrument, tg_cur* c, const char* start) except -1:
        """A row of `execution` or `execution.fast`: a fill, of our making or not. Funding is for the cold side."""
        cdef Report* report = &self.reports[f.count]
        cdef int nature = TRADE_FILL
        if not f.is_fast:
            if self._needs(row, AT_EXEC_TYPE, 0, c, start) == BAD:
                return BAD
            nature = tg_exec_nature(row[AT_EXEC_TYPE].p, row[AT_EXEC_TYPE].size)
        if nature == TG_COLD:
            return HANDLED
        if self._about(row, report, instrument, c, start) == BAD \
                or self._span_time(&row[AT_EXEC_TIME], f.created, &report.event_ns, b"execTime", c, start) == BAD:
            return BAD
        if nature == TG_ODD:
            report.kind = REPORT_ODD
        else:
            report.kind = REPORT_FILL
            report.nature = nature if nature else tg_create_nature(row[AT_CREATE].p, row[AT_CREATE].size)
            if self._fill(f, row, report, c, start) == BAD or self._closed_leg(row, report, c, start) == BAD:
                return BAD
        f.count += 1
        return HANDLED

    cdef int _fill(self, Frame* f, Span* row, Report* report, tg_cur* c, const char* start) except -1:
        """Price, size, identity and fee. A settlement can be at a price between ticks: then it is odd, not a fill."""
        cdef Span* price = &row[AT_EXEC_PRICE]
        cdef int code
        if report.nature == TRADE_FILL and self._needs(row, AT_ORDER_ID, 1, c, start) == BAD \
                or self._needs(row, AT_EXEC_ID, 1, c, start) == BAD:
            return BAD
        if self._span_steps(&row[AT_EXEC_QTY], &self.instruments.size_grids[report.instrument], &report.size_lots,
                            b"execQty", c, start) == BAD:
            return BAD
        code = tg_steps_slow(price.p, price.size, self.instruments.price_grids[report.instrument], &report.price_ticks)
        if code == TG_GRID and report.nature != TRADE_FILL:
            report.kind, report.price_ticks = REPORT_ODD, 0
        elif code:
            return self.fail(code, b"execPrice", c, start)
        elif report.price_ticks == 0 or report.size_lots == 0:
            return self.fail(TG_RANGE, b"execPrice or execQty", c, start)
        tg_identity(row[AT_EXEC_ID].p, row[AT_EXEC_ID].size, &report.trade_hi, &report.trade_lo)
        report.maker = tg_is(row[AT_MAKER].p, row[AT_MAKER].size, b"true")
        return self._fee(row, report, c, start)

    cdef int _fee(self, Span* row, Report* report, tg_cur* c, const char* start) except -1:
        cdef Instrument* known = &self.instruments.rows[report.instrument]
        cdef Span* coin = &row[AT_FEE_COIN]
        cdef int code
        report.fee_is_quote = -1
        if row[AT_EXEC_FEE].size == 0:
            return HANDLED              # execution.fast; `execution` will tell
        code = tg_fee(row[AT_EXEC_FEE].p, row[AT_EXEC_FEE].size, &report.fee_e8)
        if code:
            return self.fail(code, b"execFee", c, start)
        self.put_coin(report, coin.p, coin.size)
        if coin.size:
            report.fee_is_quote = self.coin(report.instrument, coin.p, coin.size)
            if self.market == BYBIT_LINEAR and tg_is_settled_in(coin.p, coin.size, known.symbol, known.symbol_size):
                report.fee_is_quote = 1
        elif self.market == BYBIT_LINEAR:
            report.fee_is_quote = 1
        else:                           # enum "Spot Fee Currency Instruction": a maker's rebate is in the other coin
            report.fee_is_quote = 1 if (report.side == BUY) == (report.maker and report.fee_e8 < 0) else 2
        return HANDLED

    cdef int _about(self, Span* row, Report* report, int instrument, tg_cur* c, const char* start) except -1:
        """What both private topics say of an order: whose, which, on what side."""
        memset(report, 0, sizeof(Report))
        report.instrument = instrument
        report.filled_lots = report.order_ticks = report.order_lots = -1
        report.order_id = self.own_id(row[AT_LINK_ID].p, row[AT_LINK_ID].size, &report.epoch)
        report.side = SELL if tg_is(row[AT_SIDE].p, row[AT_SIDE].size, b"Sell") else BUY
        if report.side == BUY and not tg_is(row[AT_SIDE].p, row[AT_SIDE].size, b"Buy"):
            return self.fail(TG_SYNTAX, b"side", c, start)
        if self._leg(row, report, c, start) == BAD:
            return BAD
        return self._venue_id(&row[AT_ORDER_ID], report, c, start)

    cdef int _leg(self, Span* row, Report* report, tg_cur* c, const char* start) except -1:
        """`positionIdx`: 0 one-way, 1 the long leg, 2 the short one (records.LegKind has the same numbers)."""
        cdef Span* index = &row[AT_LEG]
        report.leg = -1
        if index.size == 0:
            return HANDLED
        if index.size != 1 or not c'0' <= index.p[0] <= c'2':
            return self.fail(TG_SYNTAX, b"positionIdx", c, start)
        report.leg = index.p[0] - c'0'
        return HANDLED

    cdef int _closed_leg(self, Span* row, Report* report, tg_cur* c, const char* start) except -1:
        """The leg of a fill in hedge mode. The `execution` topic has no `positionIdx`, but says how much was closed: what closes
        by selling is long, what opens by selling is short. A fill that does both is of no leg that there can be."""
        cdef int64_t closed = -1
        if not self.hedge or self.market != BYBIT_LINEAR or report.leg >= 0 or row[AT_CLOSED].size == 0:
            return HANDLED
        if self._span_steps(&row[AT_CLOSED], &self.instruments.size_grids[report.instrument], &closed, b"closedSize", c,
                            start) == BAD:
            return BAD
        if closed and closed != report.size_lots:
            return HANDLED
        report.leg = LONG_LEG if (report.side == SELL) == (closed > 0) else SHORT_LEG
        return HANDLED

    cdef int _needs(self, Span* row, int place, bint is_text, tg_cur* c, const char* start) except -1:
        """A member that must be there, and must not be empty where `is_text`. Elsewhere empty means none."""
        if row[place].p == NULL or is_text and row[place].size == 0:
            return self.fail(TG_SYNTAX, tg_place_name(place), c, start)
        return HANDLED

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
        """Rows that say nothing here (another market, a symbol not listed, funding) are for the cold side."""
        cdef int i
        for i in range(f.count):
            sink.on_report(&self.reports[i])
        return NOT_MINE if f.rows and f.count == 0 else HANDLED

    # ---- replies of the trade connection ----

    cdef int _answer(self, tg_cur* c, Frame* f, const char* start) except -1:
        """`data` of a reply: ids where the request was taken, `{}` where it was not, `list` of a batch."""
        cdef tg_walk w
        if tg_peek(c) != c'{':
            return HANDLED if tg_skip(c) else self.fail(TG_SYNTAX, b"data", c, start)
        w.state = 0
        while tg_member(c, &w):
            if tg_is(w.key, w.size, b"list") and f.reply.is_batch and tg_peek(c) == c'[':
                if self._items(c, f, start) == BAD:
                    return BAD
            elif self._ids(c, &w, &f.reply.whole.order_id, &f.reply.whole.link_id, start) == BAD:
                return BAD
        return self._walked(w.state, w.why, b"data", c, start)

    cdef int _ids(self, tg_cur* c, tg_walk* w, Span* order_id, Span* link_id, const char* start) except -1:
        if tg_is(w.key, w.size, b"orderId"):
            return self._value(c, order_id, b"orderId", start)
        if tg_is(w.key, w.size, b"orderLinkId"):
            return self._value(c, link_id, b"orderLinkId", start)
        return HANDLED

    cdef int _items(self, tg_cur* c, Frame* f, const char* start) except -1:
        """`data.list` of a batch: the ids, one object an order."""
        cdef tg_walk w, inner
        cdef Item* item
        if f.reply.items >= 0:
            return self.fail(TG_SYNTAX, b"repeated key", c, start)
        f.reply.items = 0
        w.state = 0
        while tg_item(c, &w):
            if f.reply.items == BATCH_MAX:
                return self.fail(TG_MANY, b"data.list", c, start)
            item = &self.items[f.reply.items]
            item.order_id.p = item.link_id.p = NULL
            item.order_id.size = item.link_id.size = 0
            inner.state = 0
            while tg_member(c, &inner):
                if self._ids(c, &inner, &item.order_id, &item.link_id, start) == BAD:
                    return BAD
            if self._walked(inner.state, inner.why, b"data.list", c, start) == BAD:
                return BAD
            f.reply.items += 1
        return self._walked(w.state, w.why, b"data.list", c, start)

    cdef int _codes(self, tg_cur* c, Frame* f, const char* start) except -1:
        """`retExtInfo` of a batch: `list` of codes, in the order of `data.list`."""
        cdef tg_walk w
        if tg_peek(c) != c'{':
            return HANDLED              # null or text: the venue has nothing to say
        w.state = 0
        while tg_member(c, &w):
            if tg_is(w.key, w.size, b"list") and tg_peek(c) == c'[' and self._code_list(c, f, start) == BAD:
                return BAD
        return self._walked(w.state, w.why, b"retExtInfo", c, start)

    cdef int _code_list(self, tg_cur* c, Frame* f, const char* start) except -1:
        cdef tg_walk w, inner
        cdef Item* item
        if f.reply.codes >= 0:
            return self.fail(TG_SYNTAX, b"repeated key", c, start)
        f.reply.codes = 0
        w.state = 0
        while tg_item(c, &w):
            if f.reply.codes == BATCH_MAX:
                return self.fail(TG_MANY, b"retExtInfo.list", c, start)
            item = &self.items[f.reply.codes]
            item.code, item.words = NO_CODE, NULL
            inner.state = 0
            while tg_member(c, &inner):
                if tg_is(inner.key, inner.size, b"msg"):
                    item.words = c.p
                if not tg_is(inner.key, inner.size, b"code"):
                    continue
                if item.code != NO_CODE:
                    return self.fail(TG_SYNTAX, b"repeated key", c, start)
                if self._code(c, &item.code, b"code", start) == BAD:
                    return BAD
            if self._walked(inner.state, inner.why, b"retExtInfo.list", c, start) == BAD:
                return BAD
            f.reply.codes += 1
        return self._walked(w.state, w.why, b"retExtInfo.list", c, start)

    cdef int _header(self, tg_cur* c, Frame* f, const char* start) except -1:
        """`header` of a reply: `Timenow`, the venue's clock in ms, and what is left of the request limit."""
        cdef tg_walk w
        w.state = 0
        while tg_member(c, &w):
            if tg_is(w.key, w.size, b"Timenow"):
                if self._millis(c, &f.reply.timenow, b"Timenow", start) == BAD:
                    return BAD
            elif tg_is(w.key, w.size, b"X-Bapi-Limit"):
                self._count(c, &f.reply.limit)
            elif tg_is(w.key, w.size, b"X-Bapi-Limit-Status"):
                self._count(c, &f.reply.left)
            elif tg_is(w.key, w.size, b"X-Bapi-Limit-Reset-Timestamp"):
                self._count(c, &f.reply.reset)
        return self._walked(w.state, w.why, b"header", c, start)

    cdef int _count(self, tg_cur* c, int64_t* out) noexcept nogil:
        """A count that only advises: what is no number is not said (the walk skips it); no answer is lost over it."""
        cdef tg_cur at = c[0]
        cdef int64_t value = -1
        if tg_int_or_text(&at, &value) == TG_OK and 0 <= value < MILLIS_MAX:
            out[0] = value
            c[0] = at
        return 0

    cdef int _push_reply(self, Frame* f, Sink sink, tg_cur* c, const char* start) except -1:
        """What the venue answered, each item of a batch on its own. A taken amend or cancel says nothing yet.

        An item without a code of its own is left out: the timer of its order will find out.
        """
        cdef char letter
        cdef int i
        if not f.reply.has_code:
            return self.fail(TG_SYNTAX, b"retCode", c, start)
        if f.reply.request.size:
            f.reply.request_id = self.own_request(f.reply.request.p, f.reply.request.size, &letter,
                                                  &f.reply.request_epoch)
        if f.reply.is_batch and f.reply.items > 0 and f.reply.codes > 0:
            for i in range(min(f.reply.items, f.reply.codes)):
                if self.items[i].code != NO_CODE and self._said(f, i, &self.items[i], c, start) == BAD:
                    return BAD
        elif f.reply.is_batch:
            if f.reply.whole.code and self._said_of_all(f, c, start) == BAD:
                return BAD
        elif self._said(f, 0, &f.reply.whole, c, start) == BAD:
            return BAD
        for i in range(f.count):
            sink.on_report(&self.reports[i])
        self._push_budget(f, sink)
        return HANDLED

    cdef int _said(self, Frame* f, int number, Item* item, tg_cur* c, const char* start) except -1:
        """What a code says of one order. Only what the error table calls a refusal proves anything."""
        cdef Report* report = &self.reports[f.count]
        cdef int outcome = ACCEPTED
        memset(report, 0, sizeof(Report))
        report.instrument = report.side = report.leg = -1
        report.filled_lots = report.order_ticks = report.order_lots = -1
        report.order_id = self.own_id(item.link_id.p, item.link_id.size, &report.epoch)
        if number == 0 and f.reply.request_id:
            if not report.order_id and not (f.reply.is_batch and item.link_id.size):
                report.order_id, report.epoch = f.reply.request_id, f.reply.request_epoch
            elif not f.reply.is_batch and (report.order_id != f.reply.request_id
                                           or report.epoch != f.reply.request_epoch):
                return self.fail(TG_SYNTAX, b"orderLinkId", c, start)
        if self._venue_id(&item.order_id, report, c, start) == BAD:
            return BAD
        report.code = <int32_t>item.code
        report.event_ns = f.reply.timenow * 1000000 if f.reply.timenow > 0 else 0
        if item.code:
            outcome = self.fate(item.code, f.reply.action, &report.group)
        if item.code == 10001 and tg_is_no_filter(item.words, c.end):
            report.group = GROUP_OTHER
        if outcome == ACCEPTED and f.reply.action != NEW:
            return HANDLED
        report.kind = self._answered(f.reply.action, outcome)
        f.count += 1
        return HANDLED

    cdef int _said_of_all(self, Frame* f, tg_cur* c, const char* start) except -1:
        """A batch that was refused as a whole: each order in it was; of one that is not remembered, the first."""
        cdef Sent* sent = NULL
        cdef int i
        for i in range(BATCHES_KEPT):
            if f.reply.request.size == REQUEST_SIZE and self.sent[i].count \
                    and memcmp(self.sent[i].request, f.reply.request.p, REQUEST_SIZE) == 0:
                sent = &self.sent[i]
        for i in range(sent.count if sent != NULL else 1):
            if sent != NULL:
                f.reply.request_id, f.reply.request_epoch = sent.ids[i], sent.epochs[i]
            if self._said(f, 0, &f.reply.whole, c, start) == BAD:
                return BAD
        return HANDLED

    cdef int _answered(self, int action, int outcome) noexcept nogil:
        if outcome == ACCEPTED:
            return REPORT_ACK
        if outcome == UNCERTAIN:
            return REPORT_UNCERTAIN
        if action == CANCEL:
            return REPORT_CANCEL_REJECT
        return REPORT_AMEND_REJECT if action == AMEND else REPORT_REJECT

    cdef int _push_budget(self, Frame* f, Sink sink) except -1:
        """The server's count of the second that runs. Batches have buckets of their own: theirs is not told."""
        cdef Budget budget
        if f.reply.is_batch or f.reply.left < 0:
            return HANDLED
        budget.market = self.market
        budget.kind = BUDGET_ORDERS if f.reply.action == NEW else BUDGET_CANCELS if f.reply.action == CANCEL \
            else BUDGET_AMENDS
        budget.interval_ns = SECOND_NS
        budget.limit = f.reply.limit
        budget.used = f.reply.limit - f.reply.left if f.reply.limit >= f.reply.left else -1
        budget.until_ns = f.reply.reset * 1000000 if f.reply.left == 0 and f.reply.reset > 0 else 0
        sink.on_budget(&budget)
        return HANDLED

    # ---- orders out ----

    cdef Py_ssize_t encode(self, Approved order, char* out, Py_ssize_t cap, int64_t now_ns) except -1:
        """Write the trade frame of an approved NEW, AMEND or CANCEL. `now_ns` is our wall clock.

        Raises ValueError where `cap` is below FRAME_MAX or the order is not one of this market.
        """
        return self._frame(&order.intent, order.order_id, out, cap, now_ns)

    cdef Py_ssize_t _frame(self, const Intent* intent, uint64_t order_id, char* out, Py_ssize_t cap,
                           int64_t now_ns) except -1:
        """The client id stands inside the request id, so it is copied from there."""
        cdef char* at
        cdef uint64_t about = self._about_order(intent, order_id)
        self._check(intent, about, now_ns)
        if cap < FRAME_MAX:
            raise ValueError(f"order frame: {cap} bytes of room, {FRAME_MAX} are needed")
        if intent.action == NEW:
            at = tg_lit(self._head(out, c'n', about, 0, now_ns), b'create')
        elif intent.action == AMEND:
            at = tg_lit(self._head(out, c'a', about, intent.epoch, now_ns), b'amend')
        else:
            at = tg_lit(self._head(out, c'c', about, intent.epoch, now_ns), b'cancel')
        at = tg_lit(at, b'","args":[{"category":"spot",') if self.market == BYBIT_SPOT \
            else tg_lit(at, b'","args":[{"category":"linear",')
        at = self._body(at, intent, about, out + 11)        # behind {"reqId":" and the letter
        return tg_lit(at, b'}]}') - out

    cdef uint64_t _about_order(self, const Intent* intent, uint64_t order_id) noexcept nogil:
        """Which order the frame is about: a NEW makes one, the others name one."""
        return order_id if intent.action == NEW or intent.order_id == 0 else intent.order_id

    cdef int _check(self, const Intent* intent, uint64_t order_id, int64_t now_ns) except -1:
        """ValueError for what no frame of this market can say."""
        if self.stamp_ms(now_ns) < 0:
            raise ValueError(f"order frame: time {now_ns} is before 1970")
        if not 0 <= intent.instrument < self.instruments.count \
                or self.instruments.rows[intent.instrument].market != self.market:
            raise ValueError(f"order frame: instrument {intent.instrument} is not of this market")
        if intent.action != NEW and intent.action != AMEND and intent.action != CANCEL:
            raise ValueError(f"order frame: action {intent.action} is not known here")
        if intent.action == CANCEL:
            return 0
        if intent.side != BUY and intent.side != SELL or not GTC <= intent.tif <= POST_ONLY \
                or not LIMIT <= intent.type <= STOP_MARKET:
            raise ValueError("order frame: side, type or time in force is not known")
        if intent.size_lots <= 0 or intent.type == LIMIT and intent.price_ticks <= 0 \
                or intent.type == STOP_MARKET and intent.trigger_ticks <= 0:
            raise ValueError("order frame: size, price and trigger must be above zero")
        if intent.action == NEW and (intent.leg or self.hedge):
            self.check_leg(intent)
        return 0

    cdef char* _head(self, char* out, char letter, uint64_t order_id, uint64_t epoch, int64_t now_ns) noexcept nogil:
        """Request id and time window. The window is short on purpose: an order that was held up must not enter."""
        out = tg_lit(out, b'{"reqId":"')
        out += self.put_request(out, letter, order_id, epoch)
        out = tg_lit(out, b'","header":{"X-BAPI-TIMESTAMP":"')
        out += tg_put_uint(out, <uint64_t>self.stamp_ms(now_ns))
        out = tg_lit(out, b'","X-BAPI-RECV-WINDOW":"')
        out += tg_put_uint(out, <uint64_t>self.window_ms)
        return tg_lit(out, b'"},"op":"order.')

    cdef char* _body(self, char* at, const Intent* intent, uint64_t order_id, const char* client_id) noexcept nogil:
        """The members of one order behind its category. `client_id` is its text, NULL = not written yet."""
        cdef Instrument* row = &self.instruments.rows[intent.instrument]
        at = tg_lit(at, b'"symbol":"')
        memcpy(at, row.symbol, row.symbol_size)
        at = tg_lit(at + row.symbol_size, b'","orderLinkId":"')
        if client_id != NULL:
            memcpy(at, client_id, ID_SIZE)
            at += ID_SIZE
        else:
            at += self.put_id(at, order_id, 0 if intent.action == NEW else intent.epoch)
        at[0] = c'"'
        if intent.action == NEW:
            return self._new(at + 1, intent)
        if intent.action == AMEND:
            return self._amend(at + 1, intent)
        if self.market == BYBIT_SPOT and intent.type == STOP_MARKET:
            return tg_lit(at + 1, b',"orderFilter":"StopOrder"')
        return at + 1

    cdef char* _new(self, char* at, const Intent* intent) noexcept nogil:
        cdef bint is_spot = self.market == BYBIT_SPOT
        at = tg_lit(at, b',"side":"Buy","orderType":"') if intent.side == BUY \
            else tg_lit(at, b',"side":"Sell","orderType":"')
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
        if intent.type == STOP_MARKET:
            at = self._trigger(at, intent)
        at = tg_lit(tg_lit(at, b'","smpType":"'), STP_TEXT[self.stp_mode])
        at = tg_lit(at, b'","isLeverage":0') if is_spot else tg_lit(at, b'","positionIdx":0')
        if intent.leg:
            (at - 1)[0] = c'1' if intent.leg == LONG_LEG else c'2'
        if is_spot:
            return at
        if intent.type == STOP_MARKET:
            return tg_lit(at, b',"reduceOnly":true,"closeOnTrigger":true')
        return tg_lit(at, b',"reduceOnly":true') if intent.reduce_only else at

    cdef char* _trigger(self, char* at, const Intent* intent) noexcept nogil:
        """A stop: sells when the price falls to the trigger, buys when it rises. Spot knows the last price only."""
        at = tg_lit(at, b'","triggerPrice":"')
        at += tg_put_decimal(at, intent.trigger_ticks, &self.instruments.price_grids[intent.instrument], 0)
        if self.market == BYBIT_SPOT:
            return tg_lit(at, b'","orderFilter":"StopOrder')
        at = tg_lit(at, b'","triggerDirection":1') if intent.side == BUY else tg_lit(at, b'","triggerDirection":2')
        return tg_lit(at, b',"triggerBy":"MarkPrice')

    cdef char* _amend(self, char* at, const Intent* intent) noexcept nogil:
        """The whole size, what was filled included, and the price; of a stop its trigger."""
        cdef bint is_stop = intent.type == STOP_MARKET
        at = tg_lit(at, b',"qty":"')
        at += tg_put_decimal(at, intent.size_lots, &self.instruments.size_grids[intent.instrument], 0)
        at = tg_lit(at, b'","triggerPrice":"') if is_stop else tg_lit(at, b'","price":"')
        at += tg_put_decimal(at, intent.trigger_ticks if is_stop else intent.price_ticks,
                             &self.instruments.price_grids[intent.instrument], 0)
        return tg_lit(at, b'"')

    # ---- batches ----

    cdef Py_ssize_t encode_batch(self, list orders, int count, char* out, Py_ssize_t cap, int64_t now_ns) except -1:
        """One request for `count` approved orders of one action; ValueError where they are none that go together."""
        cdef int i
        cdef Approved order
        if not 1 <= count <= self.batch_max or count > len(orders):
            raise ValueError(f"batch of {count}: must be 1 to {self.batch_max}")
        for i in range(count):
            order = orders[i]
            self.wants[i], self.ids[i] = order.intent, order.order_id
        return self._batch(count, out, cap, now_ns)

    cdef Py_ssize_t _batch(self, int count, char* out, Py_ssize_t cap, int64_t now_ns) except -1:
        """The request for the first `count` of `wants`. Its id carries the first order's, behind a capital letter."""
        cdef Intent* first = &self.wants[0]
        cdef char* at
        cdef int i
        if cap < count * ORDER_FRAME_MAX:
            raise ValueError(f"batch frame: {cap} bytes of room, {count * ORDER_FRAME_MAX} are needed")
        for i in range(count):
            self._check_batched(first, &self.wants[i], self._about_order(&self.wants[i], self.ids[i]), now_ns)
        at = self._head(out, c'N' if first.action == NEW else c'C' if first.action == CANCEL else c'A',
                        self._about_order(first, self.ids[0]), 0 if first.action == NEW else first.epoch, now_ns)
        self._remember(count, out + 10)
        at = tg_lit(at, b'create') if first.action == NEW else tg_lit(at, b'cancel') if first.action == CANCEL \
            else tg_lit(at, b'amend')
        at = tg_lit(at, b'-batch","args":[{"category":"spot","request":[{') if self.market == BYBIT_SPOT \
            else tg_lit(at, b'-batch","args":[{"category":"linear","request":[{')
        for i in range(count):
            at = tg_lit(at, b'},{') if i else at
            at = self._body(at, &self.wants[i], self._about_order(&self.wants[i], self.ids[i]), NULL)
        return tg_lit(at, b'}]}]}') - out

    cdef int _remember(self, int count, const char* request) noexcept nogil:
        """Which orders a request is about."""
        cdef Sent* sent = &self.sent[self.requests % BATCHES_KEPT]
        cdef int i
        memcpy(sent.request, request, REQUEST_SIZE)
        sent.count = count
        for i in range(count):
            sent.ids[i] = self._about_order(&self.wants[i], self.ids[i])
            sent.epochs[i] = self.wants[i].epoch if self.wants[i].action != NEW and self.wants[i].epoch else self.epoch
        return 0

    cdef int _check_batched(self, const Intent* first, const Intent* intent, uint64_t order_id,
                            int64_t now_ns) except -1:
        self._check(intent, order_id, now_ns)
        if intent.action != first.action:
            raise ValueError("batch frame: orders of different actions")
        if intent.type == STOP_MARKET and intent.action != NEW:
            raise ValueError("batch frame: the venue amends and cancels stops one by one")
        return 0

    # ---- for tests and documentation ----

    def preview(self, dict intent, uint64_t order_id, int64_t now_ns, Py_ssize_t cap=FRAME_MAX) -> bytes:
        """The bytes that `encode` would write next for such an intent, for tests and documentation.

        `intent` has the members of `records.Intent`, zero where left out. Nothing is approved by it, nothing can be
        sent with it, and no request number is used up. Raises ValueError as `encode` does.
        """
        cdef char out[FRAME_MAX]
        cdef uint64_t requests = self.requests
        _want(intent, &self.wants[0])
        size = self._frame(&self.wants[0], order_id, out, min(cap, FRAME_MAX), now_ns)
        self.requests = requests
        return out[:size]

    def preview_batch(self, list intents, list order_ids, int64_t now_ns) -> bytes:
        """The same for `encode_batch`; `order_ids` are those that a NEW would get."""
        cdef char out[BATCH_MAX * ORDER_FRAME_MAX]
        cdef uint64_t requests = self.requests
        cdef int i
        if not 1 <= len(intents) <= self.batch_max:
            raise ValueError(f"batch of {len(intents)}: must be 1 to {self.batch_max}")
        for i in range(len(intents)):
            _want(intents[i], &self.wants[i])
            self.ids[i] = order_ids[i]
        size = self._batch(len(intents), out, BATCH_MAX * ORDER_FRAME_MAX, now_ns)
        self.requests = requests
        return out[:size]


cdef int _want(dict intent, Intent* want) except -1:
    memset(want, 0, sizeof(Intent))
    want.instrument, want.action = intent.get("instrument", 0), intent.get("action", NEW)
    want.side, want.type, want.tif = intent.get("side", BUY), intent.get("type", LIMIT), intent.get("tif", GTC)
    want.reduce_only, want.order_id = intent.get("reduce_only", 0), intent.get("order_id", 0)
    want.price_ticks, want.size_lots = intent.get("price_ticks", 0), intent.get("size_lots", 0)
    want.trigger_ticks, want.epoch = intent.get("trigger_ticks", 0), intent.get("epoch", 0)
    want.leg = intent.get("leg", 0)
    return 0


cdef inline bint memchr_point(Span* span) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(span.size):
        if span.p[i] == c'.':
            return True
    return False


def trade_identity(str text) -> tuple:
    """(`trade_hi`, `trade_lo`) of an execution id: what the decoder makes of it."""
    cdef bytes raw = text.encode()
    cdef int64_t hi = 0, lo = 0
    tg_identity(raw, len(raw), &hi, &lo)
    return hi, lo


def execution_nature(str exec_type, str create_type="") -> int | None:
    """records.Nature of an execution; None where nothing was traded (funding). ValueError for an unknown type."""
    cdef bytes kind = exec_type.encode(), origin = create_type.encode()
    cdef int nature = tg_exec_nature(kind, len(kind))
    if nature == TG_ODD:
        raise ValueError(f"execType {exec_type!r} is not known")
    return None if nature == TG_COLD else nature if nature else tg_create_nature(origin, len(origin))


def was_asked_for(str cancel_type, str reason) -> bool:
    """Was an order canceled because somebody asked for it, as far as the venue's words tell?"""
    cdef bytes word = cancel_type.encode(), why = reason.encode()
    return tg_asked(word, len(word), tg_reason(why, len(why)))

"""Binance, spot and USD-M: bytes to records and back.

Market data: `depthUpdate`, `bookTicker`, `trade`, `aggTrade`, `markPriceUpdate`, partial depth and the depth snapshot
(REST or WS API), on raw (`/ws`) and combined (`/stream`) connections. Order entry: the replies to `order.place` and
`order.cancel`. User data: spot `executionReport`, USD-M `ORDER_TRADE_UPDATE` and `TRADE_LITE`. Members may come in any
order. Sources: binance-spot-api-docs `web-socket-streams.md`, `web-socket-api.md`, `user-data-stream.md`, `rest-api.md`,
`errors.md`; USD-M developer pages "websocket-market-streams", "websocket-api", "user-data-streams", "error-code".
"""

cimport cython
from libc.string cimport memcmp, memcpy, memset, strlen

from ext.records cimport (ACCEPTED, BINANCE_SPOT, BINANCE_USDM, BUY, CANCEL, FOK, FUNDING_RATE, INDEX_PRICE, IOC, MARK_PRICE,
                          MARKET, NEXT_FUNDING, POST_ONLY, REFUSED, REPORT_ACK, REPORT_CANCELED, REPORT_CANCEL_REJECT,
                          REPORT_FILL, REPORT_FILLED, REPORT_LIVE, REPORT_REJECT, REPORT_UNCERTAIN, RULE_PREV, RULE_RANGE,
                          SEED, SELL, SNAPSHOT, UNCERTAIN, UPDATE, DepthHead, Instrument, Mark, Quote, Trade)
from ext.text cimport (TG_MAX_PRICE, TG_NUMBER, TG_OK, TG_RANGE, TG_SYNTAX, tg_decimal, tg_enter, tg_grid, tg_int, tg_key, tg_letter_key,
                       tg_more, tg_peek, tg_put_decimal, tg_put_int, tg_setup, tg_signed_decimal, tg_skip, tg_string)
from ext.wire cimport BAD, HANDLED, ID_SIZE, NOT_MINE

tg_setup()

cdef tg_grid E8
E8.mantissa = 1
E8.decimals = 8

cdef enum:
    FRAME_MAX = 512         # no order frame is longer: 43 bytes of symbol, 40 per number, 26 + 21 of ids, 290 constant


cdef inline bint has(Fields* f, char key) noexcept nogil:
    return f.seen[<int>key >> 6] >> (key & 63) & 1


cdef inline bint named(const char* key, Py_ssize_t size, const char* name) noexcept nogil:
    """Is the text `name`? (The compiler knows the length of a literal.)"""
    return size == <Py_ssize_t>strlen(name) and memcmp(key, name, strlen(name)) == 0


cdef inline void clear(Fields* f) noexcept nogil:
    """A blank Fields. `at` and `value` are left alone: `seen` and `read` say which of them is valid."""
    f.seen[0] = f.seen[1] = f.read[0] = f.read[1] = 0
    f.named = f.coin_margined = 0
    f.body = BODY_NONE
    f.stream = f.symbol = f.bids_at = f.asks_at = f.request = f.message = f.state = f.venue_id = f.executed_at = NULL
    f.instrument = -1
    f.prev_id = f.last_update_id = f.bids = f.asks = f.status = -1
    f.code = f.result_time = 0


cdef inline int64_t time_ns(int64_t value) noexcept nogil:
    """Milliseconds, or microseconds (spot `timeUnit`), since 1970 to nanoseconds; -1 where it is neither.

    Milliseconds reach to 2255, where int64 nanoseconds end; microseconds begin at 1973.
    """
    if 0 <= value <= 9000000000000LL:
        return value * 1000000
    return value * 1000 if 100000000000000LL <= value <= 9000000000000000LL else -1


cdef int order_state(const char* text, Py_ssize_t size) noexcept nogil:
    """ReportKind that an order status spells. A status nobody knows is UNCERTAIN, never guessed."""
    if named(text, size, b"FILLED"):
        return REPORT_FILLED
    if named(text, size, b"CANCELED") or named(text, size, b"EXPIRED") or \
            named(text, size, b"EXPIRED_IN_MATCH"):
        return REPORT_CANCELED
    if named(text, size, b"REJECTED"):
        return REPORT_REJECT
    if named(text, size, b"NEW") or named(text, size, b"PARTIALLY_FILLED") or \
            named(text, size, b"PENDING_NEW") or named(text, size, b"PENDING_CANCEL") or \
            named(text, size, b"NEW_INSURANCE") or named(text, size, b"NEW_ADL"):
        return REPORT_LIVE
    return REPORT_UNCERTAIN


# ---- what an error says of the request: the short list that `node/venues/binance/rules.py` spells out ----

cdef bint refused_both(int64_t code) noexcept nogil:
    """Codes that mean "not executed" on both products."""
    return (-1106 <= code <= -1100 or -1121 <= code <= -1115 or code == -1108 or code == -1111 or code == -1114 or code == -1128
            or code == -1130 or code == -1003 or code == -1008 or code == -1014 or code == -1015 or code == -1016
            or code == -1021 or code == -1022 or code == -2010 or code == -2014 or code == -2015)


cdef bint refused_spot(int64_t code) noexcept nogil:
    return (code == -1013 or code == -1034 or code == -1134 or code == -1135 or code == -1145 or code == -1151
            or code == -1193 or code == -1194 or code == -1210 or code == -1211 or code == -1220)


cdef bint refused_usdm(int64_t code) noexcept nogil:
    return (code == -1001 or -2028 <= code <= -2018 or -4005 <= code <= -4002 or -4016 <= code <= -4013 or code == -4023
            or code == -4024 or code == -4061 or code == -4062 or code == -4087 or code == -4088 or -4118 <= code <= -4116
            or code == -4120 or code == -4131 or -4142 <= code <= -4135 or code == -4161 or code == -4164 or code == -4183
            or code == -4184 or code == -4192 or -4209 <= code <= -4202 or -4403 <= code <= -4400
            or code == -5021 or code == -5022 or -5028 <= code <= -5024 or -5041 <= code <= -5037)


cdef int outcome(int market, int64_t status, int64_t code, const char* message, Py_ssize_t size) noexcept nogil:
    """Outcome of a request by the status, error code and text of its reply. What is not listed is UNCERTAIN."""
    cdef bint usdm = market == BINANCE_USDM
    if status == 200 and code == 0:
        return ACCEPTED
    if code == -1008 or (usdm and code == -1001):
        return REFUSED                  # both come with a 5xx status, and are documented as "not executed"
    if usdm and status == 503 and named(message, size, b"Service Unavailable."):
        return REFUSED
    if status >= 500 or status < 400:
        return UNCERTAIN
    if status == 403 or status == 418 or status == 429:
        return REFUSED                  # stopped at the door: firewall, ban, rate limit
    if refused_both(code):
        return REFUSED
    return REFUSED if (refused_usdm(code) if usdm else refused_spot(code)) else UNCERTAIN


@cython.final
cdef class BinanceWire(Wire):
    """One Binance market (`records.Market`): decoder and encoder."""

    cdef int decode(self, int context, const char* data, Py_ssize_t size, int64_t now_ns, Sink sink) except -1:
        cdef Fields f
        cdef tg_cur c
        cdef const char* end = data + size
        c.p = data
        c.end = end
        clear(&f)
        if tg_peek(&c) == c'[':             # all-market streams (`!markPrice@arr`): well-formed, but nothing for us
            return self._bad(TG_SYNTAX, b"array", c.p, data) if not tg_skip(&c) or tg_peek(&c) or c.p != end else NOT_MINE
        if self._object(&c, &f, data) == BAD:
            return BAD
        if tg_peek(&c) or c.p != end:
            return self.fail(TG_SYNTAX, b"end of frame", &c, data)
        return self._dispatch(context, &f, sink, data, end)

    cdef int _dispatch(self, int context, Fields* f, Sink sink, const char* start, const char* end) except -1:
        """A whole, well-formed object: what is it?"""
        cdef uint64_t order_id
        cdef char action = 0
        if f.request != NULL and f.status >= 0:
            order_id = self.own_request(f.request, f.request_size, &action, &f.epoch)
            if order_id:
                return self._reply(f, order_id, action, sink, start, end)
        if f.coin_margined or (f.symbol != NULL and f.instrument < 0):
            return NOT_MINE
        if has(f, c'e'):
            return self._event(f, sink, start, end)
        if f.named & KEY_LAST_UPDATE_ID and (f.bids >= 0 or f.bids_at) and (f.asks >= 0 or f.asks_at):
            return self._snapshot(context, f, sink, start, end)
        if f.instrument >= 0 and has(f, c'u') and has(f, c'B') and has(f, c'A'):
            return self._quote(f, sink, start, end)     # spot bookTicker names no event
        return NOT_MINE

    cdef int _event(self, Fields* f, Sink sink, const char* start, const char* end) except -1:
        """A message with an event type `e`."""
        cdef const char* e
        cdef Py_ssize_t size
        if self._text_at(f, c'e', &e, &size, b"e", start, end) == BAD:
            return BAD
        if self.market == BINANCE_USDM and named(e, size, b"ORDER_TRADE_UPDATE"):
            return self._order_update(f, sink, start, end)
        if f.instrument < 0:
            return NOT_MINE
        if named(e, size, b"depthUpdate"):
            return self._depth(f, sink, start, end)
        if named(e, size, b"trade"):
            return self._trade(f, sink, False, start, end)
        if named(e, size, b"aggTrade"):
            return self._trade(f, sink, True, start, end)
        if named(e, size, b"bookTicker"):
            return self._quote(f, sink, start, end)
        if named(e, size, b"markPriceUpdate"):
            return self._mark(f, sink, start, end)
        if self.market == BINANCE_SPOT and named(e, size, b"executionReport"):
            return self._execution(f, sink, start, end)
        if self.market == BINANCE_USDM and named(e, size, b"TRADE_LITE"):
            return self._trade_lite(f, sink, start, end)
        return NOT_MINE

    # ---- reading the object ----

    cdef int _object(self, tg_cur* c, Fields* f, const char* start) except -1:
        """Note where each member of an object stands; levels are read on the way where their grid is known."""
        cdef const char* key
        cdef Py_ssize_t size
        cdef int letter, more = tg_enter(c, c'{', c'}')
        if more < 0:
            return self.fail(TG_SYNTAX, b"object", c, start)
        while more:
            letter = tg_letter_key(c)
            if letter:
                if self._letter(c, f, letter, start) == BAD:
                    return BAD
            elif not tg_key(c, &key, &size):
                return self.fail(TG_SYNTAX, b"key", c, start)
            elif self._member(c, f, key, size, start) == BAD:
                return BAD
            more = tg_more(c, c'}')
            if more < 0:
                return self.fail(TG_SYNTAX, b"object", c, start)
        return HANDLED

    cdef int _member(self, tg_cur* c, Fields* f, const char* key, Py_ssize_t size, const char* start) except -1:
        if size == 1 and not <unsigned char>key[0] & 128:
            return self._letter(c, f, key[0], start)
        return self._word(c, f, key, size, start)

    cdef int _letter(self, tg_cur* c, Fields* f, int letter, const char* start) except -1:
        """A member with a one-letter key: remembered by its letter, and by its value where that is a plain integer."""
        cdef char first
        if f.seen[letter >> 6] >> (letter & 63) & 1:
            return self.fail(TG_SYNTAX, b"repeated key", c, start)
        f.seen[letter >> 6] |= <uint64_t>1 << (letter & 63)
        first = tg_peek(c)
        f.at[letter] = c.p
        if c'0' <= first <= c'9' and tg_int(c, &f.value[letter]) == TG_OK:
            f.read[letter >> 6] |= <uint64_t>1 << (letter & 63)
            return HANDLED
        if letter == c's' and first == c'"':
            if not tg_string(c, &f.symbol, &f.symbol_size):
                return self.fail(TG_SYNTAX, b"s", c, start)
            f.instrument = self.lookup(f.symbol, f.symbol_size)
            return HANDLED
        if first == c'[' and (letter == c'b' or letter == c'a'):
            return self._side(c, f, letter == c'b', start)
        return self._skip(c, start)

    cdef int _word(self, tg_cur* c, Fields* f, const char* key, Py_ssize_t size, const char* start) except -1:
        """A member with a longer key, in any body."""
        if size == 2 and memcmp(key, b"pu", 2) == 0:
            if self._once(c, f, KEY_PU, start) == BAD:
                return BAD
            return self._number(c, &f.prev_id, b"pu", start)
        elif size == 2 and memcmp(key, b"st", 2) == 0:
            f.coin_margined = tg_peek(c) == c'2'
            if self._skip(c, start) == BAD:
                return BAD
            f.coin_margined = f.coin_margined and (c.p - 1)[0] == c'2'
            return HANDLED
        elif size == 4 and tg_peek(c) == c'[' and (memcmp(key, b"bids", 4) == 0 or memcmp(key, b"asks", 4) == 0):
            return self._side(c, f, key[0] == c'b', start)
        elif size == 12 and memcmp(key, b"lastUpdateId", 12) == 0:
            if self._once(c, f, KEY_LAST_UPDATE_ID, start) == BAD:
                return BAD
            return self._number(c, &f.last_update_id, b"lastUpdateId", start)
        elif f.body == BODY_NONE:
            return self._frame_word(c, f, key, size, start)
        elif f.body == BODY_RESULT:
            return self._result_word(c, f, key, size, start)
        return self._skip(c, start)

    cdef int _frame_word(self, tg_cur* c, Fields* f, const char* key, Py_ssize_t size, const char* start) except -1:
        """A member of the frame itself: stream name, body, and what a WS API reply says before its result."""
        cdef int body = BODY_NONE
        if named(key, size, b"stream"):
            if self._once(c, f, KEY_STREAM, start) == BAD:
                return BAD
            return self._text(c, &f.stream, &f.stream_size, b"stream", start)
        if named(key, size, b"data") or named(key, size, b"event"):
            body = BODY_DATA
        elif named(key, size, b"result"):
            body = BODY_RESULT
        elif named(key, size, b"id") and tg_peek(c) == c'"':
            if self._once(c, f, KEY_ID, start) == BAD:
                return BAD
            return self._text(c, &f.request, &f.request_size, b"id", start)
        elif named(key, size, b"status") and tg_peek(c) != c'"':
            if self._once(c, f, KEY_STATUS, start) == BAD:
                return BAD
            return self._number(c, &f.status, b"status", start)
        elif named(key, size, b"error") and tg_peek(c) == c'{':
            if self._once(c, f, KEY_ERROR, start) == BAD:
                return BAD
            return self._error(c, f, start)
        if body == BODY_NONE or tg_peek(c) != c'{':
            return self._skip(c, start)
        if self._once(c, f, KEY_BODY, start) == BAD:
            return BAD
        f.body = body
        body = self._object(c, f, start)
        f.body = BODY_NONE
        return body

    cdef int _result_word(self, tg_cur* c, Fields* f, const char* key, Py_ssize_t size, const char* start) except -1:
        """A member of a WS API result: what an order reply says."""
        if named(key, size, b"status") and tg_peek(c) == c'"':
            if self._once(c, f, KEY_RESULT_STATUS, start) == BAD:
                return BAD
            return self._text(c, &f.state, &f.state_size, b"status", start)
        if named(key, size, b"symbol") and tg_peek(c) == c'"':
            if self._once(c, f, KEY_RESULT_SYMBOL, start) == BAD or \
                    self._text(c, &f.symbol, &f.symbol_size, b"symbol", start) == BAD:
                return BAD
            f.instrument = self.lookup(f.symbol, f.symbol_size)
            return HANDLED
        if named(key, size, b"orderId"):
            if self._once(c, f, KEY_RESULT_ORDER, start) == BAD:
                return BAD
            return self._digits(c, &f.venue_id, &f.venue_id_size, b"orderId", start)
        if named(key, size, b"executedQty"):
            if self._once(c, f, KEY_RESULT_EXECUTED, start) == BAD:
                return BAD
            tg_peek(c)
            f.executed_at = c.p
        elif named(key, size, b"transactTime") or named(key, size, b"updateTime"):
            if self._once(c, f, KEY_RESULT_TIME, start) == BAD:
                return BAD
            return self._number(c, &f.result_time, b"transactTime", start)
        return self._skip(c, start)

    cdef int _error(self, tg_cur* c, Fields* f, const char* start) except -1:
        """`{"code":-2010,"msg":"...","data":{...}}`; returns HANDLED or BAD."""
        cdef const char* key
        cdef Py_ssize_t size
        cdef int more = tg_enter(c, c'{', c'}')
        while more > 0:
            if not tg_key(c, &key, &size):
                return self.fail(TG_SYNTAX, b"error", c, start)
            if named(key, size, b"code"):
                if self._number(c, &f.code, b"code", start) == BAD:
                    return BAD
                if not -1000000 < f.code < 1000000:
                    return self.fail(TG_RANGE, b"code", c, start)
            elif named(key, size, b"msg") and tg_peek(c) == c'"':
                if self._text(c, &f.message, &f.message_size, b"msg", start) == BAD:
                    return BAD
            elif self._skip(c, start) == BAD:
                return BAD
            more = tg_more(c, c'}')
        return HANDLED if more == 0 else self.fail(TG_SYNTAX, b"error", c, start)

    cdef int _once(self, tg_cur* c, Fields* f, int key, const char* start) except -1:
        """BAD where a member that may come once has come before."""
        if f.named & key:
            return self.fail(TG_SYNTAX, b"repeated key", c, start)
        f.named |= key
        return HANDLED

    cdef int _skip(self, tg_cur* c, const char* start) except -1:
        return HANDLED if tg_skip(c) else self.fail(TG_SYNTAX, b"value", c, start)

    cdef int _number(self, tg_cur* c, int64_t* out, const char* name, const char* start) except -1:
        cdef int code = tg_int(c, out)
        return self.fail(code, name, c, start) if code else HANDLED

    cdef int _text(self, tg_cur* c, const char** text, Py_ssize_t* size, const char* name, const char* start) except -1:
        return HANDLED if tg_string(c, text, size) else self.fail(TG_SYNTAX, name, c, start)

    cdef int _digits(self, tg_cur* c, const char** text, Py_ssize_t* size, const char* name, const char* start) except -1:
        """An order id, kept as text: some have 19 digits."""
        cdef const char* p
        tg_peek(c)
        p = c.p
        while p < c.end and c'0' <= p[0] <= c'9':
            p += 1
        if p == c.p or p - c.p > 20 or (c.p[0] == c'0' and p - c.p > 1):
            return self.fail(TG_NUMBER, name, c, start)
        text[0], size[0] = c.p, p - c.p
        c.p = p
        return HANDLED

    cdef int _side(self, tg_cur* c, Fields* f, bint is_bid, const char* start) except -1:
        """One side of a depth message: read at once where the symbol is known, else remembered for later."""
        cdef int code
        if (f.bids if is_bid else f.asks) >= 0 or (f.bids_at if is_bid else f.asks_at) != NULL:
            return self.fail(TG_SYNTAX, b"repeated key", c, start)
        if f.instrument < 0:
            if is_bid:
                f.bids_at = c.p
            else:
                f.asks_at = c.p
            return self._skip(c, start)
        if is_bid:
            code = self.read_levels(c, f.instrument, 0, self.bids, &f.bids, b"bid price", b"bid size")
        else:
            code = self.read_levels(c, f.instrument, 0, self.asks, &f.asks, b"ask price", b"ask size")
        return self.fail(code, self.error_field, c, start) if code else HANDLED

    cdef int _sides(self, Fields* f, const char* start, const char* end) except -1:
        """Read the sides that came before their symbol; BAD where one is missing."""
        cdef tg_cur c
        c.end = end
        if f.bids_at != NULL:
            c.p, f.bids_at = f.bids_at, NULL
            if self._side(&c, f, True, start) == BAD:
                return BAD
        if f.asks_at != NULL:
            c.p, f.asks_at = f.asks_at, NULL
            if self._side(&c, f, False, start) == BAD:
                return BAD
        if f.bids < 0 or f.asks < 0:
            return self._bad(TG_SYNTAX, b"b or a", end, start)
        return HANDLED

    # ---- values of noted members ----

    cdef int _bad(self, int code, const char* field, const char* at, const char* start) except -1:
        cdef tg_cur c
        c.p = at
        return self.fail(code, field, &c, start)

    cdef int _int_at(self, Fields* f, char key, int64_t* out, const char* name, const char* start,
                     const char* end) except -1:
        cdef tg_cur c
        if f.read[<int>key >> 6] >> (key & 63) & 1:
            out[0] = f.value[<int>key]
            return HANDLED
        c.p = f.at[<int>key] if has(f, key) else end
        c.end = end
        return self._number(&c, out, name, start)

    cdef int _id_at(self, Fields* f, char key, int64_t* out, const char* name, const char* start,
                    const char* end) except -1:
        """An update or trade id: an integer that is not negative."""
        if self._int_at(f, key, out, name, start, end) == BAD:
            return BAD
        return self._bad(TG_RANGE, name, f.at[<int>key], start) if out[0] < 0 else HANDLED

    cdef int _time_at(self, Fields* f, char key, int64_t* out_ns, const char* name, const char* start,
                      const char* end) except -1:
        """Milliseconds (or microseconds: spot `timeUnit`) to ns; 0 where the member is absent."""
        out_ns[0] = 0
        if not has(f, key):
            return HANDLED
        if self._int_at(f, key, out_ns, name, start, end) == BAD:
            return BAD
        out_ns[0] = time_ns(out_ns[0])
        return self._bad(TG_RANGE, name, f.at[<int>key], start) if out_ns[0] < 0 else HANDLED

    cdef int _decimal_at(self, Fields* f, char key, const tg_grid* grid, int64_t* out, const char* name,
                         const char* start, const char* end) except -1:
        cdef tg_cur c
        cdef int code
        c.p = f.at[<int>key] if has(f, key) else end
        c.end = end
        code = tg_decimal(&c, grid, out)
        return self.fail(code, name, &c, start) if code else HANDLED

    cdef int _price_at(self, Fields* f, char key, int64_t* out, const char* name, const char* start,
                       const char* end) except -1:
        if self._decimal_at(f, key, &self.instruments.price_grids[f.instrument], out, name, start, end) == BAD:
            return BAD
        return self._bad(TG_RANGE, name, f.at[<int>key], start) if out[0] > TG_MAX_PRICE else HANDLED

    cdef int _size_at(self, Fields* f, char key, int64_t* out, const char* name, const char* start,
                      const char* end) except -1:
        return self._decimal_at(f, key, &self.instruments.size_grids[f.instrument], out, name, start, end)

    cdef int _text_at(self, Fields* f, char key, const char** text, Py_ssize_t* size, const char* name,
                      const char* start, const char* end) except -1:
        """A string; empty where the member is absent or null."""
        cdef tg_cur c
        text[0], size[0] = b"", 0
        if not has(f, key) or f.at[<int>key][0] == c'n':      # tg_skip let nothing but null begin with n
            return HANDLED
        c.p = f.at[<int>key]
        c.end = end
        return self._text(&c, text, size, name, start)

    cdef int _flag_at(self, Fields* f, char key, bint* out, const char* name, const char* start,
                      const char* end) except -1:
        """true or false. tg_skip let no other word begin with t or f."""
        cdef char first = f.at[<int>key][0] if has(f, key) else 0
        out[0] = first == c't'
        return HANDLED if first == c't' or first == c'f' else self._bad(TG_SYNTAX, name, end, start)

    # ---- market data records ----

    cdef int _depth(self, Fields* f, Sink sink, const char* start, const char* end) except -1:
        cdef DepthHead head
        head.depth = self._partial(f)
        if head.depth < 0:
            return NOT_MINE
        if self._sides(f, start, end) == BAD:
            return BAD
        if self._id_at(f, c'U', &head.first_id, b"U", start, end) == BAD:
            return BAD
        if self._id_at(f, c'u', &head.last_id, b"u", start, end) == BAD:
            return BAD
        if self._time_at(f, c'E', &head.event_ns, b"E", start, end) == BAD:
            return BAD
        if head.last_id < head.first_id or (self.market == BINANCE_USDM and f.prev_id < 0):
            return self._bad(TG_RANGE, b"U, u or pu", f.at[c'U'], start)
        head.instrument = f.instrument
        head.prev_id = f.prev_id
        head.rule = RULE_PREV if self.market == BINANCE_USDM else RULE_RANGE
        head.partial = head.depth > 0
        head.kind = SNAPSHOT if head.partial else UPDATE
        head.bids, head.asks, head.checksum = f.bids, f.asks, 0
        sink.on_depth(&head, self.bids, self.asks)
        return HANDLED

    cdef int _partial(self, Fields* f) except -2:
        """Depth of a partial stream (`btcusdt@depth20@100ms`), 0 for the diff stream, -1 for another kind of book.

        USD-M `@rpiDepth` has the same `e` as the diff but other levels: it must never reach the same book.
        """
        cdef Py_ssize_t i
        cdef int depth = 0
        if f.stream == NULL:
            return self.partial_depth
        for i in range(f.stream_size - 5):
            if memcmp(f.stream + i, b"@depth", 6) == 0:
                i += 6
                while i < f.stream_size and c'0' <= f.stream[i] <= c'9' and depth < 100000:
                    depth = depth * 10 + f.stream[i] - c'0'
                    i += 1
                return depth
        return -1

    cdef int _snapshot(self, int context, Fields* f, Sink sink, const char* start, const char* end) except -1:
        """REST or WS API depth reply (named by `context`), or a spot partial depth event (named by its stream)."""
        cdef DepthHead head
        head.depth = self._partial(f) if f.stream != NULL or context < 0 else 0
        head.partial = head.depth > 0
        f.instrument = self._stream_symbol(f) if f.stream != NULL else context
        if not 0 <= f.instrument < self.instruments.count or head.depth < 0 or (f.stream != NULL and head.depth == 0):
            return NOT_MINE
        if self.instruments.rows[f.instrument].market != self.market:
            return NOT_MINE
        if self._sides(f, start, end) == BAD:
            return BAD
        if self._time_at(f, c'E', &head.event_ns, b"E", start, end) == BAD:
            return BAD
        if f.last_update_id < 0:
            return self._bad(TG_RANGE, b"lastUpdateId", end, start)
        head.kind = SNAPSHOT if head.partial else SEED
        head.instrument = f.instrument
        head.rule = RULE_PREV if self.market == BINANCE_USDM else RULE_RANGE
        head.first_id = head.last_id = f.last_update_id
        head.prev_id = -1
        head.bids, head.asks, head.checksum = f.bids, f.asks, 0
        sink.on_depth(&head, self.bids, self.asks)
        return HANDLED

    cdef int _stream_symbol(self, Fields* f) except -2:
        """Instrument of a combined stream's name: the part before '@', in upper case."""
        cdef char upper[44]
        cdef Py_ssize_t i
        for i in range(min(f.stream_size, 44)):
            if f.stream[i] == c'@':
                return self.lookup(upper, i)
            upper[i] = f.stream[i] - 32 if c'a' <= f.stream[i] <= c'z' else f.stream[i]
        return -1

    cdef int _trade(self, Fields* f, Sink sink, bint aggregate, const char* start, const char* end) except -1:
        cdef Trade trade
        cdef bint buyer_made = False
        if self._price_at(f, c'p', &trade.price_ticks, b"p", start, end) == BAD:
            return BAD
        if self._size_at(f, c'q', &trade.size_lots, b"q", start, end) == BAD:
            return BAD
        if self._id_at(f, c'a' if aggregate else c't', &trade.id_lo, b"trade id", start, end) == BAD:
            return BAD
        if self._time_at(f, c'T', &trade.event_ns, b"T", start, end) == BAD:
            return BAD
        if self._flag_at(f, c'm', &buyer_made, b"m", start, end) == BAD:
            return BAD
        if trade.price_ticks == 0 or trade.size_lots == 0:
            return HANDLED              # the undocumented USD-M stream prints these now and then; they are no trades
        trade.side = SELL if buyer_made else BUY
        trade.instrument = f.instrument
        trade.id_hi = 0
        trade.aggregate = aggregate
        sink.on_trade(&trade)
        return HANDLED

    cdef int _quote(self, Fields* f, Sink sink, const char* start, const char* end) except -1:
        cdef Quote quote
        if self._id_at(f, c'u', &quote.update_id, b"u", start, end) == BAD:
            return BAD
        if self._price_at(f, c'b', &quote.bid_ticks, b"b", start, end) == BAD:
            return BAD
        if self._size_at(f, c'B', &quote.bid_lots, b"B", start, end) == BAD:
            return BAD
        if self._price_at(f, c'a', &quote.ask_ticks, b"a", start, end) == BAD:
            return BAD
        if self._size_at(f, c'A', &quote.ask_lots, b"A", start, end) == BAD:
            return BAD
        if self._time_at(f, c'E', &quote.event_ns, b"E", start, end) == BAD:
            return BAD
        quote.instrument = f.instrument
        sink.on_quote(&quote)
        return HANDLED

    cdef int _mark(self, Fields* f, Sink sink, const char* start, const char* end) except -1:
        cdef Mark mark
        cdef tg_cur c
        cdef const char* rate
        cdef Py_ssize_t size
        cdef int code
        memset(&mark, 0, sizeof(mark))
        mark.instrument = f.instrument
        mark.present = MARK_PRICE
        if self._decimal_at(f, c'p', &E8, &mark.mark_e8, b"p", start, end) == BAD:
            return BAD
        if has(f, c'i'):
            mark.present |= INDEX_PRICE
            if self._decimal_at(f, c'i', &E8, &mark.index_e8, b"i", start, end) == BAD:
                return BAD
        if self._time_at(f, c'T', &mark.next_funding_ns, b"T", start, end) == BAD:
            return BAD
        if self._time_at(f, c'E', &mark.event_ns, b"E", start, end) == BAD:
            return BAD
        if mark.next_funding_ns:
            mark.present |= NEXT_FUNDING
        if self._text_at(f, c'r', &rate, &size, b"r", start, end) == BAD:
            return BAD
        if size:                            # empty on delivery contracts
            c.p, c.end = f.at[c'r'], end
            code = tg_signed_decimal(&c, &E8, &mark.funding_e8)
            if code:
                return self.fail(code, b"r", &c, start)
            mark.present |= FUNDING_RATE
        sink.on_mark(&mark)
        return HANDLED

    # ---- order entry replies ----

    cdef int _reply(self, Fields* f, uint64_t order_id, char action, Sink sink, const char* start,
                    const char* end) except -1:
        """The answer to one of our order.place or order.cancel requests."""
        cdef Report report
        cdef tg_cur c
        cdef int code
        memset(&report, 0, sizeof(report))
        report.order_id = order_id
        report.epoch = f.epoch
        report.instrument = f.instrument
        report.filled_lots = report.order_ticks = report.order_lots = -1
        report.code = <int32_t>f.code
        report.event_ns = time_ns(f.result_time)
        if report.event_ns < 0:
            return self._bad(TG_RANGE, b"transactTime", end, start)
        if f.venue_id != NULL:
            memcpy(report.venue_id, f.venue_id, f.venue_id_size)
            report.venue_id_size = <int32_t>f.venue_id_size
        if f.executed_at != NULL and f.instrument >= 0:
            c.p, c.end = f.executed_at, end
            code = tg_decimal(&c, &self.instruments.size_grids[f.instrument], &report.filled_lots)
            if code:
                return self.fail(code, b"executedQty", &c, start)
        if action == c'n':
            return self._place_reply(f, &report, sink)
        return self._cancel_reply(f, &report, sink) if action == c'c' else NOT_MINE

    cdef int _place_reply(self, Fields* f, Report* report, Sink sink) except -1:
        """An ack says nothing of fills (an event may have come first), so its `filled_lots` is -1. A RESULT or FULL style
        reply that spells a terminal state gives that as a second report."""
        cdef int64_t filled_lots = report.filled_lots
        cdef int fate = outcome(self.market, f.status, f.code, f.message, f.message_size if f.message else 0)
        if fate == ACCEPTED and not f.named & KEY_BODY:
            fate = UNCERTAIN
        report.filled_lots = -1
        if fate == ACCEPTED:
            report.kind = REPORT_ACK
        else:
            report.kind = REPORT_REJECT if fate == REFUSED else REPORT_UNCERTAIN
        sink.on_report(report)
        if fate != ACCEPTED or f.state == NULL:
            return HANDLED
        report.kind = order_state(f.state, f.state_size)
        if report.kind != REPORT_LIVE:
            report.filled_lots = filled_lots
            sink.on_report(report)
        return HANDLED

    cdef int _cancel_reply(self, Fields* f, Report* report, Sink sink) except -1:
        """A refused cancel says nothing of the order, whatever the code: -2011 only that it is not open now."""
        cdef int fate = outcome(self.market, f.status, f.code, f.message, f.message_size if f.message else 0)
        if fate == ACCEPTED:
            if f.state != NULL:
                report.kind = order_state(f.state, f.state_size)
            else:
                report.kind = REPORT_CANCELED if f.named & KEY_BODY else REPORT_UNCERTAIN
        else:
            report.filled_lots = -1
            if fate == REFUSED or (400 <= f.status < 500 and (f.code == -2011 or f.code == -2013)):
                report.kind = REPORT_CANCEL_REJECT
            else:
                report.kind = REPORT_UNCERTAIN
        sink.on_report(report)
        return HANDLED

    # ---- user data ----

    cdef int _order_update(self, Fields* f, Sink sink, const char* start, const char* end) except -1:
        """ORDER_TRADE_UPDATE: everything is inside `o`, whose members have one-letter keys of their own."""
        cdef Fields o
        cdef tg_cur c
        c.p = f.at[c'o'] if has(f, c'o') else end
        c.end = end
        clear(&o)
        o.body = BODY_DATA
        if self._object(&c, &o, start) == BAD:
            return BAD
        if o.coin_margined or o.instrument < 0:
            return NOT_MINE
        return self._execution(&o, sink, start, end)

    cdef int _execution(self, Fields* f, Sink sink, const char* start, const char* end) except -1:
        """executionReport, or the `o` of ORDER_TRADE_UPDATE: a fill where there is one, and the state where it is news."""
        cdef Report report
        cdef const char* x
        cdef const char* state
        cdef Py_ssize_t x_size, state_size
        cdef int64_t trade_id = 0
        cdef bint fill
        if self._order_head(f, &report, start, end) == BAD:
            return BAD
        if self._text_at(f, c'x', &x, &x_size, b"x", start, end) == BAD or \
                self._text_at(f, c'X', &state, &state_size, b"X", start, end) == BAD:
            return BAD
        if self._size_at(f, c'l', &report.size_lots, b"l", start, end) == BAD or \
                self._size_at(f, c'z', &report.filled_lots, b"z", start, end) == BAD:
            return BAD
        fill = (named(x, x_size, b"TRADE") or named(x, x_size, b"CALCULATED")) and report.size_lots > 0
        if fill:
            if self._price_at(f, c'L', &report.price_ticks, b"L", start, end) == BAD or \
                    self._int_at(f, c't', &trade_id, b"t", start, end) == BAD or \
                    self._fee(f, &report, start, end) == BAD:
                return BAD
            if trade_id > 0:
                report.trade_lo = trade_id
            else:                       # a liquidation settled without a trade: its time identifies it
                report.trade_hi, report.trade_lo = 1, report.event_ns
            # some fills were seen without a price or a trade: `filled_lots` then tells that one is missing
            fill = report.price_ticks > 0 and (trade_id > 0 or x[0] == c'C')
        if fill:
            report.kind = REPORT_FILL
            sink.on_report(&report)
        report.kind = order_state(state, state_size)
        if not fill or report.kind != REPORT_LIVE:
            report.size_lots = report.price_ticks = report.trade_hi = report.trade_lo = report.fee_e8 = 0
            report.maker = report.fee_is_quote = 0
            sink.on_report(&report)
        return HANDLED

    cdef int _trade_lite(self, Fields* f, Sink sink, const char* start, const char* end) except -1:
        """TRADE_LITE: the fast notice of a fill, without fee and totals; the full event has the same trade id."""
        cdef Report report
        if self._order_head(f, &report, start, end) == BAD:
            return BAD
        report.kind = REPORT_FILL
        report.filled_lots = report.fee_is_quote = -1
        if self._size_at(f, c'l', &report.size_lots, b"l", start, end) == BAD or \
                self._price_at(f, c'L', &report.price_ticks, b"L", start, end) == BAD or \
                self._id_at(f, c't', &report.trade_lo, b"t", start, end) == BAD:
            return BAD
        if report.size_lots and report.price_ticks and report.trade_lo:
            sink.on_report(&report)
        return HANDLED

    cdef int _order_head(self, Fields* f, Report* report, const char* start, const char* end) except -1:
        """What every user event says of its order: id, side, maker, the venue's id, time."""
        cdef const char* text
        cdef Py_ssize_t size
        cdef bint maker = False
        cdef tg_cur c
        memset(report, 0, sizeof(Report))
        report.instrument = f.instrument
        report.order_ticks = report.order_lots = -1
        if self._text_at(f, c'C', &text, &size, b"C", start, end) == BAD:
            return BAD
        if size == 0 or self.market != BINANCE_SPOT:    # spot: `c` names the cancel, `C` the order it cancels
            if self._text_at(f, c'c', &text, &size, b"c", start, end) == BAD:
                return BAD
        report.order_id = self.own_id(text, size, &report.epoch)
        if self._text_at(f, c'S', &text, &size, b"S", start, end) == BAD:
            return BAD
        if not (named(text, size, b"BUY") or named(text, size, b"SELL")):
            return self._bad(TG_SYNTAX, b"S", end, start)
        report.side = BUY if size == 3 else SELL
        if has(f, c'm') and self._flag_at(f, c'm', &maker, b"m", start, end) == BAD:
            return BAD
        report.maker = maker
        c.p = f.at[c'i'] if has(f, c'i') else end
        c.end = end
        if self._digits(&c, &text, &size, b"i", start) == BAD:
            return BAD
        memcpy(report.venue_id, text, size)
        report.venue_id_size = <int32_t>size
        return self._time_at(f, c'T', &report.event_ns, b"T", start, end)

    cdef int _fee(self, Fields* f, Report* report, const char* start, const char* end) except -1:
        """Commission `n` in asset `N`; absent or null where there is none. The quote asset ends the symbol."""
        cdef const char* text
        cdef Py_ssize_t size
        cdef tg_cur c
        cdef int code
        if self._text_at(f, c'n', &text, &size, b"n", start, end) == BAD:
            return BAD
        if size:
            c.p, c.end = f.at[c'n'], end
            code = tg_signed_decimal(&c, &E8, &report.fee_e8)
            if code:
                return self.fail(code, b"n", &c, start)
        if self._text_at(f, c'N', &text, &size, b"N", start, end) == BAD:
            return BAD
        report.fee_is_quote = 0 < size < f.symbol_size and \
            memcmp(f.symbol + f.symbol_size - size, text, size) == 0
        return HANDLED

    # ---- writing ----

    cdef Py_ssize_t encode(self, Approved order, char* out, Py_ssize_t cap, int64_t now_ns) except -1:
        """Write `order.place` or `order.cancel` in the session form (no key, no signature). ValueError where `cap` is
        below 512."""
        return self._write(&order.intent, order.order_id, now_ns, out, cap)

    cdef Py_ssize_t _write(self, const Intent* intent, uint64_t order_id, int64_t now_ns, char* out,
                           Py_ssize_t cap) except -1:
        if cap < FRAME_MAX:
            raise ValueError(f"an order frame needs {FRAME_MAX} bytes, not {cap}")
        if not 0 <= intent.instrument < self.instruments.count:
            raise ValueError(f"instrument {intent.instrument}: the table has {self.instruments.count}")
        if intent.action == CANCEL:
            return self._cancel(intent, now_ns, out)
        return self._new(intent, order_id, now_ns, out)

    cdef Py_ssize_t _new(self, const Intent* intent, uint64_t order_id, int64_t now_ns, char* out) except -1:
        cdef Instrument* row = &self.instruments.rows[intent.instrument]
        cdef bint post_only = intent.tif == POST_ONLY
        cdef bint maker_type = post_only and self.market == BINANCE_SPOT
        cdef char* client_id
        cdef char* p = say(out, b'{"id":"')
        p += self.put_request(p, c'n', order_id, 0)
        client_id = p - ID_SIZE - 4                     # a request id is action, client id, counter
        p = say(p, b'","method":"order.place","params":{"symbol":"')
        p = put(p, row.symbol, row.symbol_size)
        p = say(p, b'","side":"BUY","type":"') if intent.side == BUY else say(p, b'","side":"SELL","type":"')
        if intent.type == MARKET:
            p = say(p, b'MARKET","quantity":"')
        else:
            if maker_type:
                p = say(p, b'LIMIT_MAKER","price":"')
            else:
                p = say(p, b'LIMIT","timeInForce":"')
                p = put(p, b"GTX" if post_only else b"IOC" if intent.tif == IOC else b"FOK" if intent.tif == FOK else b"GTC", 3)
                p = say(p, b'","price":"')
            p += tg_put_decimal(p, intent.price_ticks, &self.instruments.price_grids[intent.instrument], 1)
            p = say(p, b'","quantity":"')
        p += tg_put_decimal(p, intent.size_lots, &self.instruments.size_grids[intent.instrument], 1)
        if intent.reduce_only and self.market == BINANCE_USDM:
            p = say(p, b'","reduceOnly":"true')
        p = say(p, b'","newClientOrderId":"')
        p = put(p, client_id, ID_SIZE)
        p = say(p, b'","newOrderRespType":"ACK","selfTradePreventionMode":"EXPIRE_MAKER","recvWindow":1000,"timestamp":')
        p += tg_put_int(p, now_ns // 1000000)
        return say(p, b'}}') - out

    cdef Py_ssize_t _cancel(self, const Intent* intent, int64_t now_ns, char* out) except -1:
        cdef Instrument* row = &self.instruments.rows[intent.instrument]
        cdef char* client_id
        cdef char* p = say(out, b'{"id":"')
        p += self.put_request(p, c'c', intent.order_id, intent.epoch)
        client_id = p - ID_SIZE - 4
        p = say(p, b'","method":"order.cancel","params":{"symbol":"')
        p = put(p, row.symbol, row.symbol_size)
        p = say(p, b'","origClientOrderId":"')
        p = put(p, client_id, ID_SIZE)
        p = say(p, b'","recvWindow":1000,"timestamp":')
        p += tg_put_int(p, now_ns // 1000000)
        return say(p, b'}}') - out

    def preview(self, dict intent, uint64_t order_id, int64_t now_ns, Py_ssize_t cap=FRAME_MAX) -> bytes:
        """The frame that `encode` would write for these fields of `records.Intent`, without an Approved: it cannot be
        sent from here. Raises ValueError as `encode` does."""
        cdef Intent fields
        cdef char out[FRAME_MAX]
        memset(&fields, 0, sizeof(fields))
        fields.instrument = intent.get("instrument", 0)
        fields.action = intent.get("action", 0)
        fields.side = intent.get("side", 0)
        fields.type = intent.get("type", 0)
        fields.tif = intent.get("tif", 0)
        fields.reduce_only = intent.get("reduce_only", 0)
        fields.price_ticks = intent.get("price_ticks", 0)
        fields.size_lots = intent.get("size_lots", 0)
        fields.order_id = intent.get("order_id", 0)
        return out[:self._write(&fields, order_id, now_ns, out, min(cap, FRAME_MAX))]


cdef inline char* say(char* out, const char* literal) noexcept nogil:
    memcpy(out, literal, strlen(literal))
    return out + strlen(literal)


cdef inline char* put(char* out, const char* text, Py_ssize_t size) noexcept nogil:
    memcpy(out, text, size)
    return out + size


def error_outcome(int market, int64_t status, int64_t code, str message="") -> int:
    """`records.Outcome` of a reply with this status, error code and text: the native short list, for cold callers."""
    cdef bytes raw = message.encode()
    return outcome(market, status, code, raw, len(raw))


def status_kind(str status) -> int:
    """`records.ReportKind` of an order status, for tests."""
    cdef bytes raw = status.encode()
    return order_state(raw, len(raw))

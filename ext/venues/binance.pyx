"""Binance, spot and USD-M: bytes to records and back.

Market data: `depthUpdate`, `bookTicker`, `trade`, `aggTrade`, `markPriceUpdate`, partial depth and the depth snapshot
(REST or WS API), on raw (`/ws`) and combined (`/stream`) connections. Order entry: requests to the WebSocket API and the
answers to them: place, cancel, amend, cancel and replace, conditional orders. User data: spot `executionReport`, USD-M
`ORDER_TRADE_UPDATE`, `TRADE_LITE` and `ALGO_UPDATE`. Members may come in any order.

Parameters are written in the order of their names: that is the order in which they are signed, so the signature of a
key without session logon (HMAC) is made of the very bytes that were written.

Sources: binance-spot-api-docs `web-socket-streams.md`, `web-socket-api.md`, `user-data-stream.md`, `rest-api.md`,
`errors.md`; USD-M developer pages "websocket-market-streams", "websocket-api", "user-data-streams", "error-code".
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from libc.string cimport memchr, memcmp, memcpy, memset, strlen

from ext.records cimport (ACCEPTED, ADL, AMEND, BINANCE_SPOT, BINANCE_USDM, BUDGET_ORDERS, BUDGET_WEIGHT, BUY, CANCEL, FOK,
                          FUNDING_RATE, GROUP_ACCESS, GROUP_DUPLICATE, GROUP_FILTER, GROUP_FUNDS, GROUP_LIMIT, GROUP_MARKET,
                          GROUP_NONE, GROUP_OTHER, GROUP_POST_ONLY, GROUP_UNKNOWN, INDEX_PRICE, IOC, LIQUIDATION, LONG_LEG,
                          MARK_PRICE, MARKET, NET, NEW, NEXT_FUNDING, POST_ONLY, REFUSED, REPLACE, REPORT_ACK, REPORT_AMENDED,
                          REPORT_AMEND_REJECT, REPORT_CANCELED, REPORT_CANCEL_REJECT, REPORT_EXPIRED, REPORT_FILL,
                          REPORT_FILLED, REPORT_LIVE, REPORT_ODD, REPORT_REJECT, REPORT_UNCERTAIN, RULE_PREV, RULE_RANGE,
                          SEED, SELL, SETTLEMENT, SHORT_LEG, SNAPSHOT, STOP_MARKET, TRADE_FILL, UNCERTAIN, UPDATE, DepthHead,
                          Instrument, Mark, Quote, Trade)
from ext.text cimport (TG_MAX_PRICE, TG_NUMBER, TG_OK, TG_RANGE, TG_SYNTAX, tg_decimal, tg_enter, tg_grid, tg_int,
                       tg_int_or_text, tg_key, tg_letter_key, tg_more, tg_peek, tg_put_decimal, tg_put_int, tg_setup,
                       tg_signed_decimal, tg_skip, tg_string)
from ext.wire cimport BAD, COPY, HANDLED, ID_SIZE, NOT_MINE, ORDER_FRAME_MAX
from ext.wire import ALPHABET

tg_setup()

cdef tg_grid E8
E8.mantissa = 1
E8.decimals = 8

cdef enum:
    ASK_TABLE = -1          # the text of an error does not decide: its code does
    EPOCH_SIZE = 7          # a replace names the order it replaces, by epoch and sequence
    SEQUENCE_SIZE = 7       # two digits less than in a client id: 2**35 orders of one process
    REPLACE_SIZE = 36       # letter, id of the new order, those two; the venue takes no more than 36
    KEY_MAX = 128           # letters of an API key

cdef signed char DIGITS[256]
memset(DIGITS, -1, 256)
for _i, _x in enumerate(ALPHABET.encode()):
    DIGITS[<unsigned char>_x] = _i
cdef bytes _alphabet = ALPHABET.encode()
cdef const char* BASE32 = PyBytes_AS_STRING(_alphabet)

STP_MODES = {"expire_maker": b"EXPIRE_MAKER", "expire_taker": b"EXPIRE_TAKER", "expire_both": b"EXPIRE_BOTH"}


cdef inline bint has(Fields* f, char key) noexcept nogil:
    return f.seen[<int>key >> 6] >> (key & 63) & 1


cdef inline bint named(const char* key, Py_ssize_t size, const char* name) noexcept nogil:
    """Is the text `name`? (The compiler knows the length of a literal.)"""
    return size == <Py_ssize_t>strlen(name) and memcmp(key, name, strlen(name)) == 0


cdef inline bint begins(const char* text, Py_ssize_t size, const char* name) noexcept nogil:
    return size >= <Py_ssize_t>strlen(name) and memcmp(text, name, strlen(name)) == 0


cdef inline void clear(Fields* f) noexcept nogil:
    """A blank Fields. `at` and `value` are left alone: `seen` and `read` say which of them is valid."""
    f.seen[0] = f.seen[1] = f.read[0] = f.read[1] = 0
    f.named = f.coin_margined = 0
    f.body = BODY_NONE
    f.leg = f.stream = f.symbol = f.bids_at = f.asks_at = f.request = f.message = f.result_at = f.data_at = f.rates_at = NULL
    f.instrument = -1
    f.prev_id = f.last_update_id = f.bids = f.asks = f.status = -1
    f.code = f.message_size = 0


cdef inline int64_t time_ns(int64_t value) noexcept nogil:
    """Milliseconds, or microseconds (spot `timeUnit`), since 1970 to nanoseconds; -1 where it is neither.

    Milliseconds reach to 2255, where int64 nanoseconds end; microseconds begin at 1973.
    """
    if 0 <= value <= 9000000000000LL:
        return value * 1000000
    return value * 1000 if 100000000000000LL <= value <= 9000000000000000LL else -1


cdef int order_state(const char* text, Py_ssize_t size) noexcept nogil:
    """ReportKind that an order status spells. A status nobody knows is ODD, never guessed."""
    if named(text, size, b"FILLED"):
        return REPORT_FILLED
    if named(text, size, b"CANCELED"):
        return REPORT_CANCELED
    if named(text, size, b"EXPIRED") or named(text, size, b"EXPIRED_IN_MATCH"):
        return REPORT_EXPIRED
    if named(text, size, b"REJECTED"):
        return REPORT_REJECT
    if named(text, size, b"NEW") or named(text, size, b"PARTIALLY_FILLED") or \
            named(text, size, b"PENDING_NEW") or named(text, size, b"PENDING_CANCEL") or \
            named(text, size, b"NEW_INSURANCE") or named(text, size, b"NEW_ADL") or \
            named(text, size, b"TRIGGERING") or named(text, size, b"TRIGGERED"):
        return REPORT_LIVE
    return REPORT_ODD


cdef int execution_type(const char* text, Py_ssize_t size) noexcept nogil:
    """What an execution type `x` says has happened."""
    if named(text, size, b"TRADE"):
        return DID_TRADE
    if named(text, size, b"NEW") or named(text, size, b"CANCELED") or named(text, size, b"EXPIRED") or \
            named(text, size, b"REJECTED"):
        return DID_CHANGE
    if named(text, size, b"REPLACED") or named(text, size, b"AMENDMENT") or named(text, size, b"TRADE_PREVENTION"):
        return DID_AMEND
    return DID_CALCULATE if named(text, size, b"CALCULATED") else DID_ODD


cdef int leg_of(const char* text, Py_ssize_t size) noexcept nogil:
    """LegKind that a position side spells, -2 where nobody knows the word."""
    if named(text, size, b"BOTH"):
        return NET
    if named(text, size, b"LONG"):
        return LONG_LEG
    return SHORT_LEG if named(text, size, b"SHORT") else -2


cdef int nature_of(const char* text, Py_ssize_t size) noexcept nogil:
    """Nature that the client id of an order tells which the venue itself made (USD-M)."""
    if begins(text, size, b"autoclose-"):
        return LIQUIDATION
    if begins(text, size, b"adl_autoclose"):
        return ADL
    if begins(text, size, b"settlement_autoclose-") or begins(text, size, b"delivery_autoclose-"):
        return SETTLEMENT
    return TRADE_FILL


# ---- what an error says of its request, where status or text decide: codes are in `node/venues/binance/rules.py` ----

cdef int worded(int market, int64_t status, int64_t code, const char* text, Py_ssize_t size,
                int32_t* group) noexcept nogil:
    """Outcome of a request by status and text of its answer, with its ErrorGroup; ASK_TABLE where the code decides (a
    group that is set then counts for more than the table's).

    A 5xx proves nothing, except on USD-M with -1008 or one of the two texts that are documented as "failed". 408 is a
    time-out, and what comes without a code from a firewall (403) did not come from the exchange.
    """
    cdef bint usdm = market == BINANCE_USDM
    group[0] = GROUP_NONE
    if status == 200:
        group[0] = GROUP_UNKNOWN if code else GROUP_NONE
        return UNCERTAIN if code else ACCEPTED
    if usdm and status >= 400 and (
            named(text, size, b"Internal error; unable to process your request. Please try again.")
            or (status == 503 and named(text, size, b"Service Unavailable."))):
        group[0] = GROUP_OTHER
        return REFUSED
    if usdm and status >= 500 and code == -1008:
        return ASK_TABLE
    if status >= 500 or status < 400 or status == 408 or (status == 403 and code == 0):
        group[0] = GROUP_UNKNOWN
        return UNCERTAIN
    if code == 0 and (status == 418 or status == 429):
        group[0] = GROUP_LIMIT
        return REFUSED
    if code == -2010 or code == -2011 or code == -1013:
        group[0] = worded_group(text, size)
        if group[0] == GROUP_DUPLICATE:     # an order with this id is open: perhaps this very one, by another copy
            return UNCERTAIN
    return ASK_TABLE


cdef int worded_group(const char* text, Py_ssize_t size) noexcept nogil:
    """ErrorGroup that the text of a -1013, -2010 or -2011 tells (`errors.md`); GROUP_NONE where it tells none."""
    if named(text, size, b"Account has insufficient balance for requested action."):
        return GROUP_FUNDS
    if named(text, size, b"Order would immediately match and take."):
        return GROUP_POST_ONLY
    if named(text, size, b"Duplicate order sent."):
        return GROUP_DUPLICATE
    if named(text, size, b"Market is closed.") or named(text, size, b"This symbol is not permitted for this account.") or \
            named(text, size, b"This symbol is restricted for this account."):
        return GROUP_MARKET
    if named(text, size, b"This action is disabled on this account.") or \
            named(text, size, b"This account may not place or cancel orders."):
        return GROUP_ACCESS
    if begins(text, size, b"Filter failure: ") or named(text, size, b"Price * QTY is zero or less."):
        return GROUP_FILTER
    if named(text, size, b"Order was not canceled due to cancel restrictions."):
        return GROUP_OTHER
    return GROUP_NONE


@cython.final
cdef class BinanceWire(Wire):
    """One Binance market (`records.Market`): decoder and encoder."""

    def __cinit__(self, *args, **kwargs):
        self.stp = "expire_maker"
        self.can_amend = self.market == BINANCE_USDM
        self.can_replace = self.market == BINANCE_SPOT

    @property
    def stp(self) -> str:
        """What happens where an order would trade with one of our own: expire_maker, expire_taker or expire_both. Sent with
        every order. ValueError for another word. (USD-M: it works for GTC, IOC and GTD only; post-only has its own rule.)"""
        return self.stp_mode[:self.stp_size].decode().lower()

    @stp.setter
    def stp(self, str mode):
        if mode not in STP_MODES:
            raise ValueError(f"stp {mode!r}: must be one of {', '.join(STP_MODES)}")
        cdef bytes text = STP_MODES[mode]
        self.stp_size = <int>PyBytes_GET_SIZE(text)
        memcpy(self.stp_mode, PyBytes_AS_STRING(text), self.stp_size)

    def signer(self, bytes secret, str api_key=""):
        """Sign every order frame with this HMAC secret; None = frames carry no signature (after session.logon, or where
        there are no credentials). ValueError for an API key that is not letters and digits."""
        cdef bytes raw = api_key.encode()
        if secret is not None and not (raw.isalnum() and len(raw) <= KEY_MAX):
            raise ValueError("the API key is not letters and digits")
        memset(&self.secret, 0, sizeof(self.secret))
        if secret is not None:
            tg_hmac_key(&self.secret, <const unsigned char*>PyBytes_AS_STRING(secret), PyBytes_GET_SIZE(secret))
        self.key_size = 0 if secret is None else <int>PyBytes_GET_SIZE(raw)
        memcpy(self.api_key, PyBytes_AS_STRING(raw), self.key_size)

    cdef int decode(self, int context, const char* data, Py_ssize_t size, int64_t now_ns, Sink sink) except -1:
        cdef Fields f
        cdef tg_cur c
        cdef const char* end = data + size
        cdef int done
        c.p = data
        c.end = end
        clear(&f)
        if tg_peek(&c) == c'[':             # all-market streams (`!markPrice@arr`): well-formed, but nothing for us
            return self._bad(TG_SYNTAX, b"array", c.p, data) if not tg_skip(&c) or tg_peek(&c) or c.p != end else NOT_MINE
        f.sink = <void*>sink if sink.redundant else NULL
        done = self._object(&c, &f, data)
        if done >= BAD:
            return BAD if done == BAD else HANDLED
        if tg_peek(&c) or c.p != end:
            return self.fail(TG_SYNTAX, b"end of frame", &c, data)
        return self._dispatch(context, &f, sink, data, end)

    cdef int _dispatch(self, int context, Fields* f, Sink sink, const char* start, const char* end) except -1:
        """A whole, well-formed object: what is it?"""
        cdef uint64_t order_id
        cdef char action = 0
        if f.request != NULL and f.status >= 0:
            if f.request_size == REPLACE_SIZE:
                order_id = self._replaced(f)
                action = c'r'
            else:
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
        if self.market == BINANCE_USDM and named(e, size, b"ALGO_UPDATE"):
            return self._algo_update(f, sink, start, end)
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
        """Note where each member of an object stands; levels are read on the way where their grid is known. HANDLED, BAD or COPY."""
        cdef const char* key
        cdef Py_ssize_t size
        cdef int done, letter, more = tg_enter(c, c'{', c'}')
        if more < 0:
            return self.fail(TG_SYNTAX, b"object", c, start)
        while more:
            letter = tg_letter_key(c)
            if letter:
                done = self._letter(c, f, letter, start)
            elif tg_key(c, &key, &size):
                done = self._member(c, f, key, size, start)
            else:
                return self.fail(TG_SYNTAX, b"key", c, start)
            if done >= BAD:
                return done
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
            if f.sink != NULL and letter == c'b' and self._is_copy(c, f, start):
                return COPY
            return self._side(c, f, letter == c'b', start)
        return self._skip(c, start)

    cdef int _word(self, tg_cur* c, Fields* f, const char* key, Py_ssize_t size, const char* start) except -1:
        """A member with a longer key, in any body."""
        if size == 2 and memcmp(key, b"pu", 2) == 0:
            if self._once(c, f, KEY_PU, start) == BAD:
                return BAD
            return self._number(c, &f.prev_id, b"pu", start)
        elif size == 2 and memcmp(key, b"ps", 2) == 0 and tg_peek(c) == c'"':
            if self._once(c, f, KEY_LEG, start) == BAD:
                return BAD
            return self._text(c, &f.leg, &f.leg_size, b"ps", start)
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
        elif named(key, size, b"rateLimits") and tg_peek(c) == c'[':
            if self._once(c, f, KEY_RATES, start) == BAD:
                return BAD
            f.rates_at = c.p
        if body == BODY_NONE or tg_peek(c) != c'{':
            return self._skip(c, start)
        if self._once(c, f, KEY_BODY, start) == BAD:
            return BAD
        if body == BODY_RESULT:
            f.result_at = c.p
        f.body = body
        body = self._object(c, f, start)
        f.body = BODY_NONE
        return body

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
            elif named(key, size, b"data") and tg_peek(c) == c'{':
                f.data_at = c.p
                if self._skip(c, start) == BAD:
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

    cdef bint _is_copy(self, tg_cur* c, Fields* f, const char* start) except -1:
        """At the bids of a frame: does the taker have this update? Its ids come before the levels, and behind these there must be
        nothing but `"a":[...],"ps":"BTCUSDT","st":1}}`, the last two only on USD-M."""
        cdef DepthHead head
        cdef const char* text
        cdef const char* colon
        cdef const char* last
        cdef Py_ssize_t size
        cdef tg_cur asks
        cdef tg_cur t
        cdef int more
        if f.instrument < 0 or f.coin_margined or f.request != NULL or not has(f, c'e') or not has(f, c'u'):
            return False
        if not f.read[1] >> (c'u' & 63) & 1 or f.value[<int>c'u'] > (<Sink>f.sink).newest(f.instrument):
            return False
        if self._text_at(f, c'e', &text, &size, b"e", start, c.end) == BAD or not named(text, size, b"depthUpdate"):
            return False
        colon = <const char*>memchr(c.p, c':', c.end - c.p)
        if colon == NULL or memcmp(colon - 3, b'"a"', 3) != 0:
            return False
        asks.p, asks.end = colon + 1, c.end
        last = self.tail(&asks, 0, &t)
        if last == NULL or memchr(asks.p, c':', last - asks.p) != NULL:
            return False
        more = tg_more(&t, c'}')
        while more > 0:
            if not tg_key(&t, &text, &size) or not (named(text, size, b"ps") or named(text, size, b"st")):
                return False
            if text[1] == c't' and tg_peek(&t) == c'2':         # of the other product family: see `_word`
                return False
            more = tg_more(&t, c'}') if tg_skip(&t) else -1
        if more < 0 or t.end - t.p != (f.body != BODY_NONE) or (t.p < t.end and t.p[0] != c'}'):
            return False
        if self._depth_head(f, &head, start, c.end) != HANDLED or head.kind != UPDATE:
            return False
        return (<Sink>f.sink).is_copy(&head)

    cdef int _depth_head(self, Fields* f, DepthHead* head, const char* start, const char* end) except -1:
        """What a depth event says besides its levels; NOT_MINE where it is of another kind of book."""
        head.depth = self._partial(f)
        if head.depth < 0:
            return NOT_MINE
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
        return HANDLED

    cdef int _depth(self, Fields* f, Sink sink, const char* start, const char* end) except -1:
        cdef DepthHead head
        cdef int done = self._depth_head(f, &head, start, end)
        if done != HANDLED:
            return done
        if self._sides(f, start, end) == BAD:
            return BAD
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

    # ---- answers to order entry ----

    cdef int _reply(self, Fields* f, uint64_t order_id, char action, Sink sink, const char* start,
                    const char* end) except -1:
        """The answer to one of our requests: read as a whole, then told as reports and the server's own counts."""
        cdef Said said
        cdef int i
        said.reports = said.budgets = 0
        if action != c'n' and action != c'c' and action != c'a' and action != c'r':
            return NOT_MINE
        if f.rates_at != NULL and self._rates(f, &said, start, end) == BAD:
            return BAD
        if action == c'r':
            if self._replace_reply(f, order_id, &said, start, end) == BAD:
                return BAD
        elif self._order_reply(f, order_id, action, &said, start, end) == BAD:
            return BAD
        for i in range(said.reports):
            sink.on_report(&said.report[i])
        for i in range(said.budgets):
            sink.on_budget(&said.budget[i])
        return HANDLED

    cdef int _order_reply(self, Fields* f, uint64_t order_id, char action, Said* said, const char* start,
                          const char* end) except -1:
        """The answer to a place, cancel or amend."""
        cdef Answer a
        cdef Legs legs
        cdef Report* report
        cdef int32_t group
        cdef int what = NEW if action == c'n' else CANCEL if action == c'c' else AMEND
        cdef int fate = self._judge(what, f.status, f.code, f.message, f.message_size, &group)
        blank(&a)
        if f.result_at != NULL:
            a.seen = HAS_ANY
            if self._answer_at(f.result_at, &a, start, end) == BAD:
                return BAD
        if f.data_at != NULL:
            if self._legs_at(f.data_at, &legs, start, end) == BAD or \
                    self._wait(f.code, legs.retry_after, said, start, end) == BAD:
                return BAD
        if fate == ACCEPTED and f.result_at == NULL:
            fate, group = UNCERTAIN, GROUP_UNKNOWN
        report = said_report(said, order_id, f.epoch, f.code, group)
        if self._numbers(&a, report, start, end) == BAD:
            return BAD
        if action == c'n':
            return placed(said, report, &a, fate)
        return canceled(report, &a, fate) if action == c'c' else amended(report, &a, fate)

    cdef int _replace_reply(self, Fields* f, uint64_t order_id, Said* said, const char* start, const char* end) except -1:
        """The answer to order.cancelReplace: its two legs, each with its own fate, wherever the answer has them (`result`,
        or `error.data` with -2021 and -2022). What it has no leg for is judged by the answer as a whole."""
        cdef Legs legs
        cdef const char* at = f.result_at if f.result_at != NULL else f.data_at
        cdef Report* report
        clear_legs(&legs)
        if at != NULL and self._legs_at(at, &legs, start, end) == BAD:
            return BAD
        if self._wait(f.code, legs.retry_after, said, start, end) == BAD:
            return BAD
        report = said_report(said, f.old_id, f.old_epoch, f.code, GROUP_NONE)
        if self._numbers(&legs.answer[0], report, start, end) == BAD:
            return BAD
        canceled(report, &legs.answer[0], self._leg(f, &legs, 0, CANCEL, report))
        report = said_report(said, order_id, f.epoch, f.code, GROUP_NONE)
        if self._numbers(&legs.answer[1], report, start, end) == BAD:
            return BAD
        return placed(said, report, &legs.answer[1], self._leg(f, &legs, 1, NEW, report))

    cdef int _leg(self, Fields* f, Legs* legs, int i, int action, Report* report) noexcept nogil:
        """Outcome of one leg of a replace; its code and group go into `report`."""
        cdef const char* word = legs.result[i]
        cdef Py_ssize_t size = legs.result_size[i]
        cdef Answer* a = &legs.answer[i]
        cdef int fate
        if word == NULL:
            fate = self._judge(action, f.status, f.code, f.message, f.message_size, &report.group)
            if fate == ACCEPTED:            # the answer says yes and does not say to what
                report.group = GROUP_UNKNOWN
            return UNCERTAIN if fate == ACCEPTED else fate
        report.code = <int32_t>a.code
        if named(word, size, b"SUCCESS"):
            report.code = 0
            return ACCEPTED
        if named(word, size, b"NOT_ATTEMPTED"):
            report.code, report.group = <int32_t>f.code, GROUP_OTHER
            return REFUSED
        if named(word, size, b"FAILURE"):
            return self._judge(action, 400, a.code, a.message, a.message_size, &report.group)
        report.group = GROUP_UNKNOWN
        return UNCERTAIN

    cdef int _judge(self, int action, int64_t status, int64_t code, const char* text, Py_ssize_t size,
                    int32_t* group) noexcept nogil:
        """Outcome of a request of this records.Action by status, code and text of its answer, and its ErrorGroup."""
        cdef int32_t told = GROUP_NONE
        cdef int fate = worded(self.market, status, code, text, size, &told)
        if fate != ASK_TABLE:
            group[0] = told
            return fate
        fate = self.fate(code, action, group)
        if told != GROUP_NONE:
            group[0] = told
        return fate

    cdef int _answer_at(self, const char* at, Answer* a, const char* start, const char* end) except -1:
        cdef tg_cur c
        c.p, c.end = at, end
        return self._answer(&c, a, start)

    cdef int _answer(self, tg_cur* c, Answer* a, const char* start) except -1:
        """An order as an answer shows it, or the error in its place."""
        cdef const char* key
        cdef Py_ssize_t size
        cdef int more = tg_enter(c, c'{', c'}')
        while more > 0:
            if not tg_key(c, &key, &size):
                return self.fail(TG_SYNTAX, b"result", c, start)
            if self._answer_member(c, a, key, size, start) == BAD:
                return BAD
            more = tg_more(c, c'}')
        return HANDLED if more == 0 else self.fail(TG_SYNTAX, b"result", c, start)

    cdef int _answer_member(self, tg_cur* c, Answer* a, const char* key, Py_ssize_t size, const char* start) except -1:
        cdef int name = answer_key(key, size)
        cdef int code
        if name == 0:
            return self._skip(c, start)
        if a.seen & name:
            return self.fail(TG_SYNTAX, b"repeated key", c, start)
        a.seen |= name
        if name == HAS_AMENDED:
            return self._answer(c, a, start)
        if name == HAS_STATUS:
            return self._text(c, &a.state, &a.state_size, b"status", start)
        if name == HAS_SYMBOL:
            return self._text(c, &a.symbol, &a.symbol_size, b"symbol", start)
        if name == HAS_LEG:
            return self._text(c, &a.leg, &a.leg_size, b"positionSide", start)
        if name == HAS_ORDER or name == HAS_ALGO:
            return self._digits(c, &a.venue_id, &a.venue_id_size, b"orderId", start)
        if name == HAS_TIME or name == HAS_UPDATE:
            return self._number(c, &a.time, b"transactTime", start)
        if name == HAS_MESSAGE:
            return self._text(c, &a.message, &a.message_size, b"msg", start)
        if name == HAS_CODE:
            code = tg_int_or_text(c, &a.code)
            if code or not -1000000 < a.code < 1000000:
                return self.fail(code if code else TG_RANGE, b"code", c, start)
            return HANDLED
        tg_peek(c)
        if name == HAS_PRICE:
            a.price_at = c.p
        elif name == HAS_SIZE:
            a.size_at = c.p
        else:
            a.filled_at = c.p
        return self._skip(c, start)

    cdef int _numbers(self, Answer* a, Report* report, const char* start, const char* end) except -1:
        """Put what an answer shows of its order into `report`. Nothing of a symbol that is none of ours."""
        cdef tg_grid* size_grid
        report.event_ns = time_ns(a.time)
        if report.event_ns < 0:
            return self._bad(TG_RANGE, b"transactTime", end, start)
        if a.venue_id_size:     # else it points nowhere
            memcpy(report.venue_id, a.venue_id, a.venue_id_size)
        report.venue_id_size = <int32_t>a.venue_id_size
        report.instrument = self.lookup(a.symbol, a.symbol_size) if a.symbol_size else -1
        if report.instrument < 0:
            return HANDLED
        report.leg = leg_of(a.leg, a.leg_size) if a.leg != NULL else -1
        if report.leg < -1:
            return self._bad(TG_SYNTAX, b"positionSide", a.leg, start)
        size_grid = &self.instruments.size_grids[report.instrument]
        if self._steps(a.price_at, &self.instruments.price_grids[report.instrument], &report.order_ticks, b"price", start,
                       end) == BAD or \
                self._steps(a.size_at, size_grid, &report.order_lots, b"origQty", start, end) == BAD or \
                self._steps(a.filled_at, size_grid, &report.filled_lots, b"executedQty", start, end) == BAD:
            return BAD
        return self._own_price(report)

    cdef int _own_price(self, Report* report) noexcept nogil:
        """A price or size of zero (market orders, orders by value) says nothing."""
        if report.order_ticks == 0:
            report.order_ticks = -1
        if report.order_lots == 0:
            report.order_lots = -1
        return HANDLED

    cdef int _steps(self, const char* at, const tg_grid* grid, int64_t* out, const char* name, const char* start,
                    const char* end) except -1:
        cdef tg_cur c
        cdef int code
        if at == NULL:
            return HANDLED
        c.p, c.end = at, end
        code = tg_decimal(&c, grid, out)
        return self.fail(code, name, &c, start) if code else HANDLED

    cdef int _legs_at(self, const char* at, Legs* legs, const char* start, const char* end) except -1:
        """The two legs of a replace, or what else `error.data` tells."""
        cdef const char* key
        cdef Py_ssize_t size
        cdef tg_cur c
        cdef int more
        c.p, c.end = at, end
        clear_legs(legs)
        more = tg_enter(&c, c'{', c'}')
        while more > 0:
            if not tg_key(&c, &key, &size):
                return self.fail(TG_SYNTAX, b"data", &c, start)
            if self._leg_member(&c, legs, key, size, start) == BAD:
                return BAD
            more = tg_more(&c, c'}')
        return HANDLED if more == 0 else self.fail(TG_SYNTAX, b"data", &c, start)

    cdef int _leg_member(self, tg_cur* c, Legs* legs, const char* key, Py_ssize_t size, const char* start) except -1:
        cdef int i = 1 if begins(key, size, b"newOrder") else 0
        if named(key, size, b"cancelResult") or named(key, size, b"newOrderResult"):
            if legs.result[i] != NULL:
                return self.fail(TG_SYNTAX, b"repeated key", c, start)
            return self._text(c, &legs.result[i], &legs.result_size[i], b"cancelResult", start)
        if (named(key, size, b"cancelResponse") or named(key, size, b"newOrderResponse")) and tg_peek(c) == c'{':
            if legs.answer[i].seen:
                return self.fail(TG_SYNTAX, b"repeated key", c, start)
            legs.answer[i].seen = HAS_ANY
            return self._answer(c, &legs.answer[i], start)
        if named(key, size, b"retryAfter"):
            return self._number(c, &legs.retry_after, b"retryAfter", start)
        return self._skip(c, start)

    cdef int _wait(self, int64_t code, int64_t until_ms, Said* said, const char* start, const char* end) except -1:
        """`retryAfter`, a time of the venue's clock: nothing of that kind before."""
        cdef Budget* budget
        if until_ms == 0:
            return HANDLED
        if time_ns(until_ms) < 0:
            return self._bad(TG_RANGE, b"retryAfter", end, start)
        budget = &said.budget[said.budgets]
        said.budgets += 1
        budget.market, budget.interval_ns, budget.used, budget.limit = self.market, 0, -1, -1
        budget.kind = BUDGET_ORDERS if code == -1015 else BUDGET_WEIGHT
        budget.until_ns = time_ns(until_ms)
        return HANDLED

    cdef int _rates(self, Fields* f, Said* said, const char* start, const char* end) except -1:
        """`rateLimits`: the server's count of our requests. Limits of another kind are left out."""
        cdef tg_cur c
        cdef int more
        c.p, c.end = f.rates_at, end
        more = tg_enter(&c, c'[', c']')
        while more > 0:
            if tg_peek(&c) != c'{' or said.budgets == BUDGETS_MAX - 1:
                return self.fail(TG_SYNTAX, b"rateLimits", &c, start)
            if self._rate(&c, said, start) == BAD:
                return BAD
            more = tg_more(&c, c']')
        return HANDLED if more == 0 else self.fail(TG_SYNTAX, b"rateLimits", &c, start)

    cdef int _rate(self, tg_cur* c, Said* said, const char* start) except -1:
        """One `{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":300,"count":1}`."""
        cdef const char* key
        cdef const char* text = b""
        cdef Py_ssize_t size, text_size = 0
        cdef int64_t unit = 0, times = 0, used = -1, limit = -1
        cdef int kind = -1, more = tg_enter(c, c'{', c'}')
        while more > 0:
            if not tg_key(c, &key, &size):
                return self.fail(TG_SYNTAX, b"rateLimits", c, start)
            if named(key, size, b"rateLimitType") or named(key, size, b"interval"):
                if self._text(c, &text, &text_size, b"rateLimits", start) == BAD:
                    return BAD
                if size == 8:
                    unit = interval_ns(text, text_size)
                else:
                    kind = BUDGET_ORDERS if named(text, text_size, b"ORDERS") else \
                        BUDGET_WEIGHT if named(text, text_size, b"REQUEST_WEIGHT") else -1
            elif named(key, size, b"intervalNum"):
                if self._number(c, &times, b"intervalNum", start) == BAD:
                    return BAD
            elif named(key, size, b"limit"):
                if self._number(c, &limit, b"limit", start) == BAD:
                    return BAD
            elif named(key, size, b"count"):
                if self._number(c, &used, b"count", start) == BAD:
                    return BAD
            elif self._skip(c, start) == BAD:
                return BAD
            more = tg_more(c, c'}')
        if more != 0:
            return self.fail(TG_SYNTAX, b"rateLimits", c, start)
        if kind >= 0 and unit and 0 < times <= 1000 and used >= 0 and limit >= 0:
            add_budget(said, self.market, kind, unit * times, used, limit)
        return HANDLED

    cdef uint64_t _replaced(self, Fields* f) noexcept nogil:
        """The new order's id in the request id of a replace, 0 where it is not one of ours; the old one's into `f`."""
        cdef int64_t epoch, old
        cdef uint64_t order_id
        if f.request[0] != c'r':
            return 0
        order_id = self.own_id(f.request + 1, ID_SIZE, &f.epoch)
        epoch = digits(f.request + 1 + ID_SIZE, EPOCH_SIZE)
        old = digits(f.request + 1 + ID_SIZE + EPOCH_SIZE, SEQUENCE_SIZE)
        if not order_id or epoch < 0 or old <= 0:
            return 0
        f.old_id, f.old_epoch = <uint64_t>old, <uint64_t>epoch
        return order_id

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
        cdef int did
        cdef bint fill
        if self._order_head(f, &report, start, end) == BAD or self._own_numbers(f, &report, start, end) == BAD:
            return BAD
        if self._word_at(f, c'x', &x, &x_size, b"x", start, end) == BAD or \
                self._word_at(f, c'X', &state, &state_size, b"X", start, end) == BAD:
            return BAD
        if self._size_at(f, c'l', &report.size_lots, b"l", start, end) == BAD or \
                self._size_at(f, c'z', &report.filled_lots, b"z", start, end) == BAD:
            return BAD
        did = execution_type(x, x_size)
        fill = (did == DID_TRADE or did == DID_CALCULATE) and report.size_lots > 0
        if fill:
            if self._fill(f, &report, did, &fill, start, end) == BAD:
                return BAD
        if fill:
            report.kind = REPORT_FILL
            sink.on_report(&report)
        report.kind = order_state(state, state_size) if did != DID_ODD else REPORT_ODD
        if report.kind == REPORT_LIVE and did == DID_AMEND:
            report.kind = REPORT_AMENDED
        if not fill or report.kind != REPORT_LIVE:
            report.size_lots = report.price_ticks = report.trade_hi = report.trade_lo = report.fee_e8 = 0
            report.maker = report.fee_is_quote = report.nature = 0
            self.put_coin(&report, NULL, 0)
            sink.on_report(&report)
        return HANDLED

    cdef int _fill(self, Fields* f, Report* report, int did, bint* is_fill, const char* start, const char* end) except -1:
        """Price, trade, fee and nature of a fill. Some were seen without a price or a trade: those are told by the total
        only, and `is_fill` becomes False."""
        cdef int64_t trade_id = 0
        cdef bint maker = False
        if self._price_at(f, c'L', &report.price_ticks, b"L", start, end) == BAD or \
                self._int_at(f, c't', &trade_id, b"t", start, end) == BAD or \
                self._flag_at(f, c'm', &maker, b"m", start, end) == BAD or self._fee(f, report, start, end) == BAD:
            return BAD
        report.maker = maker
        if did == DID_CALCULATE and report.nature == TRADE_FILL:
            report.nature = LIQUIDATION
        if trade_id > 0:
            report.trade_lo = trade_id
        else:                       # a liquidation settled without a trade: its time identifies it
            report.trade_hi, report.trade_lo = 1, report.event_ns
        is_fill[0] = report.price_ticks > 0 and (trade_id > 0 or did == DID_CALCULATE)
        return HANDLED

    cdef int _own_numbers(self, Fields* f, Report* report, const char* start, const char* end) except -1:
        """Price and whole size of the order, as they are in force. Self-trade prevention may have taken a part away (`A`,
        spot): it is no longer part of the order."""
        cdef int64_t prevented = 0
        if self._price_at(f, c'p', &report.order_ticks, b"p", start, end) == BAD or \
                self._size_at(f, c'q', &report.order_lots, b"q", start, end) == BAD:
            return BAD
        if self.market == BINANCE_SPOT and has(f, c'A'):
            if self._size_at(f, c'A', &prevented, b"A", start, end) == BAD:
                return BAD
            if prevented > report.order_lots:
                return self._bad(TG_RANGE, b"A", f.at[c'A'], start)
            report.order_lots -= prevented
        return self._own_price(report)

    cdef int _algo_update(self, Fields* f, Sink sink, const char* start, const char* end) except -1:
        """ALGO_UPDATE: a conditional order, until it is triggered and makes an order of its own. FINISHED is "executed or
        canceled": where not all is executed, the reports of the order that it made say what became of it."""
        cdef Algo algo
        cdef Report report
        cdef tg_cur c
        memset(&algo, 0, sizeof(Algo))
        memset(&report, 0, sizeof(Report))
        report.filled_lots = report.order_ticks = report.order_lots = report.leg = -1
        c.p, c.end = f.at[c'o'] if has(f, c'o') else end, end
        if self._algo_read(&c, &algo, start) == BAD or self._numbers(&algo.order, &report, start, end) == BAD:
            return BAD
        if report.instrument < 0:
            return NOT_MINE if algo.order.symbol_size else self._bad(TG_SYNTAX, b"s", end, start)
        if not has(f, c'T'):
            return self._bad(TG_SYNTAX, b"T", end, start)
        if self._time_at(f, c'T', &report.event_ns, b"T", start, end) == BAD or \
                self._algo_ids(&algo, &report, start, end) == BAD:
            return BAD
        if named(algo.order.state, algo.order.state_size, b"FINISHED"):
            report.kind = REPORT_FILLED if 0 < report.order_lots <= report.filled_lots else REPORT_LIVE
        else:
            report.kind = order_state(algo.order.state, algo.order.state_size)
        if report.kind == REPORT_LIVE:
            report.filled_lots = -1
        sink.on_report(&report)
        return HANDLED

    cdef int _algo_read(self, tg_cur* c, Algo* algo, const char* start) except -1:
        cdef const char* key
        cdef Py_ssize_t size
        cdef int more = tg_enter(c, c'{', c'}')
        while more > 0:
            if not tg_key(c, &key, &size):
                return self.fail(TG_SYNTAX, b"o", c, start)
            if self._algo_member(c, algo, key, size, start) == BAD:
                return BAD
            more = tg_more(c, c'}')
        return HANDLED if more == 0 else self.fail(TG_SYNTAX, b"o", c, start)

    cdef int _algo_member(self, tg_cur* c, Algo* algo, const char* key, Py_ssize_t size, const char* start) except -1:
        cdef Answer* a = &algo.order
        cdef int name = algo_key(key, size)
        cdef bint quoted
        if name == 0:
            return self._skip(c, start)
        if a.seen & name:
            return self.fail(TG_SYNTAX, b"repeated key", c, start)
        a.seen |= name
        quoted = tg_peek(c) == c'"'
        if name == HAS_STATUS:
            return self._text(c, &a.state, &a.state_size, b"X", start)
        if name == HAS_SYMBOL:
            return self._text(c, &a.symbol, &a.symbol_size, b"s", start)
        if name == HAS_SIDE:
            return self._text(c, &algo.side, &algo.side_size, b"S", start)
        if name == HAS_LEG:
            return self._text(c, &a.leg, &a.leg_size, b"ps", start)
        if name == HAS_CLIENT and quoted:
            return self._text(c, &algo.client, &algo.client_size, b"caid", start)
        if name == HAS_ALGO:
            return self._digits(c, &a.venue_id, &a.venue_id_size, b"aid", start)
        if name == HAS_MADE:
            if quoted:
                return self._text(c, &algo.made, &algo.made_size, b"ai", start)
            return self._skip(c, start) if c.p < c.end and c.p[0] == c'n' else \
                self._digits(c, &algo.made, &algo.made_size, b"ai", start)
        if c.p < c.end and c.p[0] == c'n':      # null: an order that closes a whole position has no size
            return self._skip(c, start)
        if name == HAS_PRICE:
            a.price_at = c.p
        elif name == HAS_SIZE:
            a.size_at = c.p
        elif name == HAS_FILLED:
            a.filled_at = c.p
        return self._skip(c, start)

    cdef int _algo_ids(self, Algo* algo, Report* report, const char* start, const char* end) except -1:
        """Whose it is, its side, and the venue's id: that of the order it made, once it made one, for fills name that."""
        cdef Py_ssize_t i
        if not algo.order.seen & HAS_CLIENT:
            return self._bad(TG_SYNTAX, b"caid", end, start)
        if algo.order.venue_id_size == 0:
            return self._bad(TG_SYNTAX, b"aid", end, start)
        if algo.order.state_size == 0:
            return self._bad(TG_SYNTAX, b"X", end, start)
        report.order_id = self.own_id(algo.client, algo.client_size, &report.epoch)
        if not (named(algo.side, algo.side_size, b"BUY") or named(algo.side, algo.side_size, b"SELL")):
            return self._bad(TG_SYNTAX, b"S", end, start)
        report.side = BUY if algo.side_size == 3 else SELL
        if algo.made_size == 0 or (algo.made_size == 1 and algo.made[0] == c'0'):
            return HANDLED
        for i in range(algo.made_size):
            if algo.made_size > 20 or not c'0' <= algo.made[i] <= c'9':
                return self._bad(TG_NUMBER, b"ai", algo.made, start)
        memcpy(report.venue_id, algo.made, algo.made_size)
        report.venue_id_size = <int32_t>algo.made_size
        return HANDLED

    cdef int _trade_lite(self, Fields* f, Sink sink, const char* start, const char* end) except -1:
        """TRADE_LITE: the fast notice of a fill, without fee and totals; the full event has the same trade id."""
        cdef Report report
        cdef bint maker = False
        if self._order_head(f, &report, start, end) == BAD or self._own_numbers(f, &report, start, end) == BAD:
            return BAD
        report.kind = REPORT_FILL
        report.filled_lots = report.fee_is_quote = -1
        if self._size_at(f, c'l', &report.size_lots, b"l", start, end) == BAD or \
                self._price_at(f, c'L', &report.price_ticks, b"L", start, end) == BAD or \
                self._id_at(f, c't', &report.trade_lo, b"t", start, end) == BAD or \
                self._flag_at(f, c'm', &maker, b"m", start, end) == BAD:
            return BAD
        report.maker = maker
        if report.size_lots and report.price_ticks and report.trade_lo:
            sink.on_report(&report)
        return HANDLED

    cdef int _order_head(self, Fields* f, Report* report, const char* start, const char* end) except -1:
        """What every user event says of its order: id, side, the venue's id, time. Nature: by the venue's own ids."""
        cdef const char* text
        cdef Py_ssize_t size
        cdef tg_cur c
        memset(report, 0, sizeof(Report))
        report.instrument = f.instrument
        if self._text_at(f, c'C', &text, &size, b"C", start, end) == BAD:
            return BAD
        if size == 0 or self.market != BINANCE_SPOT:    # spot: `c` names the cancel, `C` the order it cancels
            if not has(f, c'c'):
                return self._bad(TG_SYNTAX, b"c", end, start)
            if self._text_at(f, c'c', &text, &size, b"c", start, end) == BAD:
                return BAD
        report.order_id = self.own_id(text, size, &report.epoch)
        if self.market == BINANCE_USDM:
            report.nature = nature_of(text, size)
        if self._word_at(f, c'S', &text, &size, b"S", start, end) == BAD:
            return BAD
        if not (named(text, size, b"BUY") or named(text, size, b"SELL")):
            return self._bad(TG_SYNTAX, b"S", end, start)
        report.side = BUY if size == 3 else SELL
        report.leg = leg_of(f.leg, f.leg_size) if f.leg != NULL and self.market == BINANCE_USDM else -1
        if report.leg < -1:
            return self._bad(TG_SYNTAX, b"ps", f.leg, start)
        c.p = f.at[c'i'] if has(f, c'i') else end
        c.end = end
        if self._digits(&c, &text, &size, b"i", start) == BAD:
            return BAD
        memcpy(report.venue_id, text, size)
        report.venue_id_size = <int32_t>size
        if not has(f, c'T'):
            return self._bad(TG_SYNTAX, b"T", end, start)
        return self._time_at(f, c'T', &report.event_ns, b"T", start, end)

    cdef int _word_at(self, Fields* f, char key, const char** text, Py_ssize_t* size, const char* name, const char* start,
                      const char* end) except -1:
        """A string that must be there and not empty."""
        if self._text_at(f, key, text, size, name, start, end) == BAD:
            return BAD
        return HANDLED if size[0] else self._bad(TG_SYNTAX, name, f.at[<int>key] if has(f, key) else end, start)

    cdef int _fee(self, Fields* f, Report* report, const char* start, const char* end) except -1:
        """Commission `n` in asset `N`; absent or null where there is none."""
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
        report.fee_is_quote = self.coin(f.instrument, text, size)
        self.put_coin(report, text, size)
        return HANDLED

    # ---- writing ----

    cdef Py_ssize_t encode(self, Approved order, char* out, Py_ssize_t cap, int64_t now_ns) except -1:
        """Write the request of `order`: `order.place`, `order.cancel`, `order.modify` or `order.amend.keepPriority`,
        `order.cancelReplace`; a USD-M stop is an `algoOrder.place`, and its cancel (`type` STOP_MARKET) an
        `algoOrder.cancel`. ValueError where this product has no such request or `cap` is below ORDER_FRAME_MAX."""
        return self._write(&order.intent, order.order_id, now_ns, out, cap)

    cdef Py_ssize_t _write(self, const Intent* intent, uint64_t order_id, int64_t now_ns, char* out,
                           Py_ssize_t cap) except -1:
        if cap < ORDER_FRAME_MAX:
            raise ValueError(f"an order frame needs {ORDER_FRAME_MAX} bytes, not {cap}")
        if not 0 <= intent.instrument < self.instruments.count:
            raise ValueError(f"instrument {intent.instrument}: the table has {self.instruments.count}")
        if (intent.leg or self.hedge) and (intent.action == NEW or intent.action == REPLACE):
            self.check_leg(intent)
        if intent.action == NEW:
            if intent.type == STOP_MARKET and self.market == BINANCE_USDM:
                return self._stop(intent, order_id, now_ns, out)
            return self._new(intent, order_id, now_ns, out)
        if intent.action == CANCEL:
            return self._cancel(intent, now_ns, out)
        if intent.action == AMEND:
            return self._amend(intent, now_ns, out)
        if intent.action == REPLACE and self.can_replace:
            return self._replace(intent, order_id, now_ns, out)
        raise ValueError(f"action {intent.action}: this product has no such request")

    cdef char* _open(self, char* p, char action, uint64_t order_id, uint64_t epoch, char* client_id) noexcept nogil:
        """The start of a request; the client id of its order goes into `client_id` too."""
        p = say(p, b'{"id":"')
        p += self.put_request(p, action, order_id, epoch)
        memcpy(client_id, p - ID_SIZE - 4, ID_SIZE)     # a request id is action, client id, counter
        return p

    cdef char* _params(self, char* p) noexcept nogil:
        """The start of the parameters: the API key where frames are signed, for it is the first by name."""
        return self._key(say(p, b'","params":{'))

    cdef char* _key(self, char* p) noexcept nogil:
        if self.key_size:
            p = say(p, b'"apiKey":"')
            p = put(p, self.api_key, self.key_size)
            p = say(p, b'",')
        return p

    cdef Py_ssize_t _close(self, char* out, char* params, char* p) except -1:
        """The end of a request, with the signature of its parameters where frames are signed."""
        cdef unsigned char text[ORDER_FRAME_MAX]
        cdef unsigned char mac[32]
        if self.key_size:
            tg_hmac_sign(&self.secret, text, spell(<char*>text, params, p), mac)
            p = say(p, b',"signature":"')
            p = put_hex(p, mac, 32)
            p = say(p, b'"')
        return say(p, b'}}') - out

    cdef Py_ssize_t _new(self, const Intent* intent, uint64_t order_id, int64_t now_ns, char* out) except -1:
        cdef char client_id[ID_SIZE]
        cdef char* p = self._open(out, c'n', order_id, 0, client_id)
        cdef char* params
        p = say(p, b'","method":"order.place')
        p = self._params(p)
        params = self._first(p)
        return self._close(out, params, self._order(p, intent, client_id, now_ns))

    cdef Py_ssize_t _replace(self, const Intent* intent, uint64_t order_id, int64_t now_ns, char* out) except -1:
        """Stop on failure: where the old order is not open any more (filled, perhaps) there must be no new one. The request
        id tells both orders, because an answer need not."""
        cdef char client_id[ID_SIZE]
        cdef char old[ID_SIZE]
        cdef uint64_t epoch = intent.epoch if intent.epoch else self.epoch
        cdef char* params
        cdef char* p
        if epoch >= <uint64_t>1 << 5 * EPOCH_SIZE or intent.order_id >= <uint64_t>1 << 5 * SEQUENCE_SIZE:
            raise ValueError(f"order {intent.order_id} of epoch {epoch} cannot be replaced: both must be below 2**35")
        self.put_id(client_id, order_id, 0)
        self.put_id(old, intent.order_id, epoch)
        p = say(out, b'{"id":"r')
        p = put(p, client_id, ID_SIZE)
        put_digits(p, epoch, EPOCH_SIZE)
        put_digits(p + EPOCH_SIZE, intent.order_id, SEQUENCE_SIZE)
        p = say(p + EPOCH_SIZE + SEQUENCE_SIZE, b'","method":"order.cancelReplace')
        p = self._params(p)
        params = self._first(p)
        p = say(p, b'"cancelOrigClientOrderId":"')
        p = put(p, old, ID_SIZE)
        p = say(p, b'","cancelReplaceMode":"STOP_ON_FAILURE",')
        return self._close(out, params, self._order(p, intent, client_id, now_ns))

    cdef char* _first(self, char* p) noexcept nogil:
        """Where the parameters begin, given where they go on behind the API key."""
        return p - self.key_size - 12 if self.key_size else p

    cdef char* _order(self, char* p, const Intent* intent, const char* client_id, int64_t now_ns) noexcept nogil:
        """The parameters of a new order. The size is always in base coin (`quantity`, never `quoteOrderQty`)."""
        cdef Instrument* row = &self.instruments.rows[intent.instrument]
        cdef tg_grid* grid = &self.instruments.price_grids[intent.instrument]
        cdef bint limit = intent.type != MARKET and intent.type != STOP_MARKET
        cdef bint maker_type = limit and intent.tif == POST_ONLY and self.market == BINANCE_SPOT
        p = say(p, b'"newClientOrderId":"')
        p = put(p, client_id, ID_SIZE)
        p = say(p, b'","newOrderRespType":"ACK","')
        if intent.leg:
            p = say(self._leg_of(p, intent), b'","')
        if limit:
            p = say(p, b'price":"')
            p += tg_put_decimal(p, intent.price_ticks, grid, 1)
            p = say(p, b'","')
        p = say(p, b'quantity":"')
        p += tg_put_decimal(p, intent.size_lots, &self.instruments.size_grids[intent.instrument], 1)
        p = self._window(p)
        if intent.reduce_only and self.market == BINANCE_USDM and not intent.leg:
            p = say(p, b',"reduceOnly":"true"')
        p = self._stp_side(p, intent)
        if intent.type == STOP_MARKET:
            p = say(p, b'","stopPrice":"')
            p += tg_put_decimal(p, intent.trigger_ticks, grid, 1)
        p = say(p, b'","symbol":"')
        p = put(p, row.symbol, row.symbol_size)
        if limit and not maker_type:
            p = say(p, b'","timeInForce":"')
            p = put(p, b"GTX" if intent.tif == POST_ONLY else b"IOC" if intent.tif == IOC else
                    b"FOK" if intent.tif == FOK else b"GTC", 3)
        p = self._stamp(say(p, b'"'), now_ns)
        if intent.type == MARKET:
            return say(p, b',"type":"MARKET"')
        if intent.type == STOP_MARKET:
            return say(p, b',"type":"STOP_LOSS"')
        return say(p, b',"type":"LIMIT_MAKER"') if maker_type else say(p, b',"type":"LIMIT"')

    cdef char* _leg_of(self, char* p, const Intent* intent) noexcept nogil:
        """Hedge mode: side and position side say together whether an order opens or closes, and one that closes is never more
        than the leg. `reduceOnly` is refused there (-4062)."""
        return say(p, b'positionSide":"LONG') if intent.leg == LONG_LEG else say(p, b'positionSide":"SHORT')

    cdef char* _window(self, char* p) noexcept nogil:
        p = say(p, b'","recvWindow":')
        return p + tg_put_int(p, self.window_ms)

    cdef char* _stp_side(self, char* p, const Intent* intent) noexcept nogil:
        p = say(p, b',"selfTradePreventionMode":"')
        p = put(p, self.stp_mode, self.stp_size)
        return say(p, b'","side":"BUY') if intent.side == BUY else say(p, b'","side":"SELL')

    cdef char* _stamp(self, char* p, int64_t now_ns) noexcept nogil:
        p = say(p, b',"timestamp":')
        return p + tg_put_int(p, self.stamp_ms(now_ns))

    cdef Py_ssize_t _stop(self, const Intent* intent, uint64_t order_id, int64_t now_ns, char* out) except -1:
        """A USD-M stop: conditional orders are a service of their own (-4120 on the normal endpoint). It protects a
        position, so it is reduce-only, and the mark price triggers it."""
        cdef Instrument* row = &self.instruments.rows[intent.instrument]
        cdef char client_id[ID_SIZE]
        cdef char* p = self._open(out, c'n', order_id, 0, client_id)
        cdef char* params
        p = say(p, b'","method":"algoOrder.place","params":{')
        params = p
        p = self._key(say(p, b'"algoType":"CONDITIONAL",'))
        p = say(p, b'"clientAlgoId":"')
        p = put(p, client_id, ID_SIZE)
        p = say(p, b'","')
        if intent.leg:
            p = say(self._leg_of(p, intent), b'","')
        p = say(p, b'quantity":"')
        p += tg_put_decimal(p, intent.size_lots, &self.instruments.size_grids[intent.instrument], 1)
        p = self._window(p)
        if not intent.leg:
            p = say(p, b',"reduceOnly":"true"')
        p = self._stp_side(p, intent)
        p = say(p, b'","symbol":"')
        p = put(p, row.symbol, row.symbol_size)
        p = self._stamp(say(p, b'"'), now_ns)
        p = say(p, b',"triggerPrice":"')
        p += tg_put_decimal(p, intent.trigger_ticks, &self.instruments.price_grids[intent.instrument], 1)
        return self._close(out, params, say(p, b'","type":"STOP_MARKET","workingType":"MARK_PRICE"'))

    cdef Py_ssize_t _cancel(self, const Intent* intent, int64_t now_ns, char* out) except -1:
        cdef Instrument* row = &self.instruments.rows[intent.instrument]
        cdef char client_id[ID_SIZE]
        cdef char* p = self._open(out, c'c', intent.order_id, intent.epoch, client_id)
        cdef char* params
        cdef bint algo = intent.type == STOP_MARKET and self.market == BINANCE_USDM
        p = say(p, b'","method":"algoOrder.cancel') if algo else say(p, b'","method":"order.cancel')
        p = self._params(p)
        params = self._first(p)
        p = say(p, b'"clientAlgoId":"') if algo else say(p, b'"origClientOrderId":"')
        p = put(p, client_id, ID_SIZE)
        p = self._window(p)
        if not algo:
            p = say(p, b',"symbol":"')
            p = put(p, row.symbol, row.symbol_size)
            p = say(p, b'"')
        return self._close(out, params, self._stamp(p, now_ns))

    cdef Py_ssize_t _amend(self, const Intent* intent, int64_t now_ns, char* out) except -1:
        """USD-M: price and whole size. Spot: a smaller whole size only, which keeps the place in the queue; the id is passed
        because the venue makes a new one where it is not."""
        cdef Instrument* row = &self.instruments.rows[intent.instrument]
        cdef tg_grid* size_grid = &self.instruments.size_grids[intent.instrument]
        cdef char client_id[ID_SIZE]
        cdef char* p = self._open(out, c'a', intent.order_id, intent.epoch, client_id)
        cdef char* params
        if self.market == BINANCE_SPOT:
            p = say(p, b'","method":"order.amend.keepPriority')
            p = self._params(p)
            params = self._first(p)
            p = say(p, b'"newClientOrderId":"')
            p = put(p, client_id, ID_SIZE)
            p = say(p, b'","newQty":"')
            p += tg_put_decimal(p, intent.size_lots, size_grid, 1)
            p = say(p, b'","origClientOrderId":"')
            p = put(p, client_id, ID_SIZE)
            p = self._window(p)
            p = say(p, b',"symbol":"')
        else:
            p = say(p, b'","method":"order.modify')
            p = self._params(p)
            params = self._first(p)
            p = say(p, b'"origClientOrderId":"')
            p = put(p, client_id, ID_SIZE)
            p = say(p, b'","price":"')
            p += tg_put_decimal(p, intent.price_ticks, &self.instruments.price_grids[intent.instrument], 1)
            p = say(p, b'","quantity":"')
            p += tg_put_decimal(p, intent.size_lots, size_grid, 1)
            p = self._window(p)
            p = say(p, b',"side":"BUY","symbol":"') if intent.side == BUY else say(p, b',"side":"SELL","symbol":"')
        p = put(p, row.symbol, row.symbol_size)
        return self._close(out, params, self._stamp(say(p, b'"'), now_ns))

    def preview(self, dict intent, uint64_t order_id, int64_t now_ns, Py_ssize_t cap=ORDER_FRAME_MAX) -> bytes:
        """The frame that `encode` would write for these fields of `records.Intent`, without an Approved: it cannot be
        sent from here. Raises ValueError as `encode` does."""
        cdef Intent fields
        cdef char out[ORDER_FRAME_MAX]
        memset(&fields, 0, sizeof(fields))
        fields.instrument = intent.get("instrument", 0)
        fields.action = intent.get("action", 0)
        fields.side = intent.get("side", 0)
        fields.type = intent.get("type", 0)
        fields.tif = intent.get("tif", 0)
        fields.reduce_only = intent.get("reduce_only", 0)
        fields.leg = intent.get("leg", 0)
        fields.price_ticks = intent.get("price_ticks", 0)
        fields.size_lots = intent.get("size_lots", 0)
        fields.trigger_ticks = intent.get("trigger_ticks", 0)
        fields.order_id = intent.get("order_id", 0)
        fields.epoch = intent.get("epoch", 0)
        return out[:self._write(&fields, order_id, now_ns, out, min(cap, ORDER_FRAME_MAX))]


# ---- what answers become ----

cdef int placed(Said* said, Report* report, const Answer* a, int fate) noexcept nogil:
    """An answer to a NEW. With newOrderRespType ACK the state it spells is always NEW, filled or not, so NEW is no more than
    an ack: that the order rests, the stream must say. Any other state is told in a second report."""
    cdef int64_t filled_lots = report.filled_lots
    cdef int kind
    cdef Report* second
    report.filled_lots = -1
    report.kind = REPORT_ACK if fate == ACCEPTED else REPORT_REJECT if fate == REFUSED else REPORT_UNCERTAIN
    if fate != ACCEPTED or a.state == NULL or named(a.state, a.state_size, b"NEW"):
        return HANDLED
    kind = order_state(a.state, a.state_size)
    second = &said.report[said.reports]
    said.reports += 1
    second[0] = report[0]
    second.kind, second.filled_lots = kind, filled_lots
    return HANDLED


cdef int canceled(Report* report, const Answer* a, int fate) noexcept nogil:
    """An answer to a cancel. A refused one says nothing of the order, whatever the code: -2011 only that it is not open."""
    if fate == REFUSED:
        report.kind = REPORT_CANCEL_REJECT
    elif fate != ACCEPTED:
        report.kind = REPORT_UNCERTAIN
    elif a.state != NULL:
        report.kind = order_state(a.state, a.state_size)
    else:                       # the algo service answers {"algoId":..,"code":"200"}; the leg of a replace may be null
        report.kind = REPORT_CANCELED if a.seen == 0 or (a.seen & HAS_ALGO and a.code == 200) else REPORT_UNCERTAIN
    if fate != ACCEPTED:
        report.filled_lots = report.order_ticks = report.order_lots = -1
    return HANDLED


cdef int amended(Report* report, const Answer* a, int fate) noexcept nogil:
    """An answer to an amend. The venue may have closed the order instead (size not above what is filled; post-only that
    would take): its state then says so."""
    if fate == REFUSED:
        report.kind = REPORT_AMEND_REJECT
    elif fate != ACCEPTED or a.state == NULL:
        report.kind = REPORT_UNCERTAIN
    else:
        report.kind = order_state(a.state, a.state_size)
        if report.kind == REPORT_LIVE:
            report.kind = REPORT_AMENDED
    if fate != ACCEPTED:
        report.filled_lots = report.order_ticks = report.order_lots = -1
    return HANDLED


cdef Report* said_report(Said* said, uint64_t order_id, uint64_t epoch, int64_t code, int32_t group) noexcept nogil:
    """The next report of an answer, of this order; nothing else is said yet."""
    cdef Report* report = &said.report[said.reports]
    said.reports += 1
    memset(report, 0, sizeof(Report))
    report.order_id, report.epoch = order_id, epoch
    report.code, report.group = <int32_t>code, group
    report.instrument = -1
    report.filled_lots = report.order_ticks = report.order_lots = report.leg = -1
    return report


cdef void add_budget(Said* said, int market, int kind, int64_t interval, int64_t used, int64_t limit) noexcept nogil:
    cdef Budget* budget = &said.budget[said.budgets]
    said.budgets += 1
    budget.market, budget.kind, budget.interval_ns = market, kind, interval
    budget.used, budget.limit, budget.until_ns = used, limit, 0


cdef inline void blank(Answer* a) noexcept nogil:
    memset(a, 0, sizeof(Answer))


cdef inline void clear_legs(Legs* legs) noexcept nogil:
    memset(legs, 0, sizeof(Legs))


cdef int answer_key(const char* key, Py_ssize_t size) noexcept nogil:
    """Which member of an order this is; 0 = one that says nothing here."""
    if named(key, size, b"status") or named(key, size, b"algoStatus"):
        return HAS_STATUS
    if named(key, size, b"symbol"):
        return HAS_SYMBOL
    if named(key, size, b"positionSide"):
        return HAS_LEG
    if named(key, size, b"orderId"):
        return HAS_ORDER
    if named(key, size, b"algoId"):
        return HAS_ALGO
    if named(key, size, b"transactTime"):
        return HAS_TIME
    if named(key, size, b"updateTime"):
        return HAS_UPDATE
    if named(key, size, b"price"):
        return HAS_PRICE
    if named(key, size, b"origQty") or named(key, size, b"qty") or named(key, size, b"quantity"):
        return HAS_SIZE
    if named(key, size, b"executedQty"):
        return HAS_FILLED
    if named(key, size, b"code"):
        return HAS_CODE
    if named(key, size, b"msg"):
        return HAS_MESSAGE
    return HAS_AMENDED if named(key, size, b"amendedOrder") else 0


cdef int algo_key(const char* key, Py_ssize_t size) noexcept nogil:
    """Which member of the `o` of ALGO_UPDATE this is; 0 = one that says nothing here."""
    if size == 1:
        return HAS_SYMBOL if key[0] == c's' else HAS_SIDE if key[0] == c'S' else HAS_STATUS if key[0] == c'X' else \
            HAS_SIZE if key[0] == c'q' else HAS_PRICE if key[0] == c'p' else 0
    if named(key, size, b"caid"):
        return HAS_CLIENT
    if named(key, size, b"aid"):
        return HAS_ALGO
    if named(key, size, b"ai"):
        return HAS_MADE
    if named(key, size, b"ps"):
        return HAS_LEG
    return HAS_FILLED if named(key, size, b"aq") else 0


cdef int64_t interval_ns(const char* text, Py_ssize_t size) noexcept nogil:
    """Length of a rate limit's interval; 0 where nobody knows it."""
    if named(text, size, b"SECOND"):
        return 1000000000
    if named(text, size, b"MINUTE"):
        return 60000000000
    if named(text, size, b"HOUR"):
        return 3600000000000
    return 86400000000000 if named(text, size, b"DAY") else 0


# ---- bytes ----

cdef inline char* say(char* out, const char* literal) noexcept nogil:
    memcpy(out, literal, strlen(literal))
    return out + strlen(literal)


cdef inline char* put(char* out, const char* text, Py_ssize_t size) noexcept nogil:
    memcpy(out, text, size)
    return out + size


cdef char* put_hex(char* out, const unsigned char* raw, int count) noexcept nogil:
    cdef const char* letters = b"0123456789abcdef"
    cdef int i
    for i in range(count):
        out[2 * i] = letters[raw[i] >> 4]
        out[2 * i + 1] = letters[raw[i] & 15]
    return out + 2 * count


cdef Py_ssize_t spell(char* out, const char* p, const char* end) noexcept nogil:
    """JSON members, as they are signed: `"k":"v","n":1` becomes `k=v&n=1`. Returns its size."""
    cdef char* start = out
    cdef bint inside = False
    while p < end:
        if p[0] == c'"':
            inside = not inside
        else:
            out[0] = p[0] if inside else c'=' if p[0] == c':' else c'&' if p[0] == c',' else p[0]
            out += 1
        p += 1
    return out - start


cdef void put_digits(char* out, uint64_t value, int count) noexcept nogil:
    cdef int i
    for i in range(count):
        out[i] = BASE32[(value >> (5 * (count - 1 - i))) & 31]


cdef int64_t digits(const char* text, int count) noexcept nogil:
    """`put_digits` reversed; -1 where one is no digit."""
    cdef int64_t value = 0
    cdef int i
    for i in range(count):
        if DIGITS[<unsigned char>text[i]] < 0:
            return -1
        value = value << 5 | DIGITS[<unsigned char>text[i]]
    return value


# ---- for cold callers ----

def error_words(int market, int64_t status, int64_t code, str message="") -> tuple:
    """(Outcome or None, ErrorGroup) of a request by status and text of its answer. None: its code decides, by the table; a
    group that is not 0 then counts for more than the table's."""
    cdef bytes raw = message.encode()
    cdef int32_t group
    cdef int fate = worded(market, status, code, raw, len(raw), &group)
    return None if fate == ASK_TABLE else fate, group


def status_kind(str status) -> int:
    """`records.ReportKind` of an order status."""
    cdef bytes raw = status.encode()
    return order_state(raw, len(raw))


def client_nature(str client_id) -> int:
    """`records.Nature` that the client id of a USD-M order tells."""
    cdef bytes raw = client_id.encode()
    return nature_of(raw, len(raw))

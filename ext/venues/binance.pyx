"""Binance, spot and USD-M: bytes to records and back.

Market data: `depthUpdate`, `bookTicker`, `trade`, `aggTrade`, `markPriceUpdate`, partial depth and the REST depth
snapshot, on raw (`/ws`) and combined (`/stream`) connections. Sources: binance-spot-api-docs `web-socket-streams.md`,
`rest-api.md`; USD-M developer pages "websocket-market-streams". Members may come in any order.
"""

from libc.string cimport memcmp, memset

from ext.records cimport (BUY, FUNDING_RATE, INDEX_PRICE, MARK_PRICE, NEXT_FUNDING, RULE_PREV, RULE_RANGE, SEED, SELL,
                          SNAPSHOT, UPDATE, BINANCE_USDM, DepthHead, Mark, Quote, Trade)
from ext.text cimport (TG_OK, TG_RANGE, TG_SYNTAX, tg_decimal, tg_enter, tg_grid, tg_int, tg_key, tg_more, tg_peek,
                       tg_setup, tg_signed_decimal, tg_skip, tg_string)
from ext.wire cimport BAD, HANDLED, NOT_MINE

tg_setup()

cdef tg_grid E8
E8.mantissa = 1
E8.decimals = 8


cdef inline bint has(Fields* f, char key) noexcept nogil:
    return f.seen[key >> 6] >> (key & 63) & 1


cdef inline bint named(const char* key, Py_ssize_t size, const char* name, Py_ssize_t name_size) noexcept nogil:
    return size == name_size and memcmp(key, name, name_size) == 0


cdef class BinanceWire(Wire):
    """One Binance market (`records.Market`): decoder and encoder."""

    cdef int decode(self, int context, const char* data, Py_ssize_t size, int64_t now_ns, Sink sink) except -1:
        cdef Fields f
        cdef tg_cur c
        cdef const char* end = data + size
        c.p = data
        c.end = end
        f.seen[0] = f.seen[1] = 0
        f.stream = f.symbol = f.bids_at = f.asks_at = NULL
        f.instrument = f.prev_id = f.last_update_id = f.bids = f.asks = -1
        f.nested = 0
        if self._object(&c, &f, data) == BAD:
            return BAD
        if tg_peek(&c) or c.p != end:
            return self.fail(TG_SYNTAX, b"end of frame", &c, data)
        if f.symbol != NULL and f.instrument < 0:
            return NOT_MINE
        if has(&f, c'e'):
            return self._event(&f, sink, data, end)
        if f.last_update_id >= 0 and (f.bids >= 0 or f.bids_at) and (f.asks >= 0 or f.asks_at):
            return self._snapshot(context, &f, sink, data, end)
        if f.instrument >= 0 and has(&f, c'u') and has(&f, c'B') and has(&f, c'A'):
            return self._quote(&f, sink, data, end)     # spot bookTicker names no event
        return NOT_MINE

    cdef int _event(self, Fields* f, Sink sink, const char* start, const char* end) except -1:
        """A message with an event type `e`."""
        cdef const char* e
        cdef Py_ssize_t size
        cdef tg_cur c
        c.p = f.at[c'e']
        c.end = end
        if not tg_string(&c, &e, &size):
            return self.fail(TG_SYNTAX, b"e", &c, start)
        if f.instrument < 0:
            return NOT_MINE
        if named(e, size, b"depthUpdate", 11):
            return self._depth(f, sink, start, end)
        if named(e, size, b"trade", 5):
            return self._trade(f, sink, False, start, end)
        if named(e, size, b"aggTrade", 8):
            return self._trade(f, sink, True, start, end)
        if named(e, size, b"bookTicker", 10):
            return self._quote(f, sink, start, end)
        if named(e, size, b"markPriceUpdate", 15):
            return self._mark(f, sink, start, end)
        return NOT_MINE

    # ---- reading the object ----

    cdef int _object(self, tg_cur* c, Fields* f, const char* start) except -1:
        """Note where each member of an object stands; levels are read on the way where their grid is known."""
        cdef const char* key
        cdef Py_ssize_t size
        cdef int more = tg_enter(c, c'{', c'}')
        if more < 0:
            return self.fail(TG_SYNTAX, b"object", c, start)
        while more:
            if not tg_key(c, &key, &size):
                return self.fail(TG_SYNTAX, b"key", c, start)
            if self._member(c, f, key, size, start) == BAD:
                return BAD
            more = tg_more(c, c'}')
            if more < 0:
                return self.fail(TG_SYNTAX, b"object", c, start)
        return HANDLED

    cdef int _member(self, tg_cur* c, Fields* f, const char* key, Py_ssize_t size, const char* start) except -1:
        cdef int letter
        if size == 1 and not <unsigned char>key[0] & 128:
            letter = key[0]
            if f.seen[letter >> 6] >> (letter & 63) & 1:
                return self.fail(TG_SYNTAX, b"repeated key", c, start)
            f.seen[letter >> 6] |= <uint64_t>1 << (letter & 63)
            tg_peek(c)
            f.at[letter] = c.p
            if letter == c's' and tg_peek(c) == c'"':
                return self._symbol(c, f, start)
            if (letter == c'b' or letter == c'a') and tg_peek(c) == c'[':
                return self._side(c, f, letter == c'b', start)
        elif named(key, size, b"stream", 6):
            if not tg_string(c, &f.stream, &f.stream_size):
                return self.fail(TG_SYNTAX, b"stream", c, start)
            return HANDLED
        elif (named(key, size, b"data", 4) or named(key, size, b"result", 6)) and tg_peek(c) == c'{':
            if f.nested:
                return self.fail(TG_SYNTAX, b"nesting", c, start)
            f.nested = 1
            return self._object(c, f, start)
        elif named(key, size, b"pu", 2):
            return self._number(c, &f.prev_id, b"pu", start)
        elif named(key, size, b"lastUpdateId", 12):
            return self._number(c, &f.last_update_id, b"lastUpdateId", start)
        elif (named(key, size, b"bids", 4) or named(key, size, b"asks", 4)) and tg_peek(c) == c'[':
            return self._side(c, f, key[0] == c'b', start)
        if not tg_skip(c):
            return self.fail(TG_SYNTAX, b"value", c, start)
        return HANDLED

    cdef int _number(self, tg_cur* c, int64_t* out, const char* name, const char* start) except -1:
        cdef int code = tg_int(c, out)
        return self.fail(code, name, c, start) if code else HANDLED

    cdef int _symbol(self, tg_cur* c, Fields* f, const char* start) except -1:
        if not tg_string(c, &f.symbol, &f.symbol_size):
            return self.fail(TG_SYNTAX, b"s", c, start)
        f.instrument = self.lookup(f.symbol, f.symbol_size)
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
            return HANDLED if tg_skip(c) else self.fail(TG_SYNTAX, b"levels", c, start)
        if is_bid:
            code = self.read_levels(c, f.instrument, 0, self.bids, &f.bids, b"bid price", b"bid size")
        else:
            code = self.read_levels(c, f.instrument, 0, self.asks, &f.asks, b"ask price", b"ask size")
        return self.fail(code, self.error_field, c, start) if code else HANDLED

    cdef int _late_side(self, Fields* f, bint is_bid, const char* start, const char* end) except -1:
        """Read a side that came before its symbol."""
        cdef tg_cur c
        c.p = f.bids_at if is_bid else f.asks_at
        c.end = end
        if c.p == NULL:
            return HANDLED
        f.bids_at = NULL if is_bid else f.bids_at
        f.asks_at = f.asks_at if is_bid else NULL
        return self._side(&c, f, is_bid, start)

    # ---- values of noted members ----

    cdef int _int_at(self, Fields* f, char key, int64_t* out, const char* name, const char* start,
                     const char* end) except -1:
        cdef tg_cur c
        cdef int code
        c.p = f.at[key] if has(f, key) else end
        c.end = end
        code = tg_int(&c, out)
        return self.fail(code, name, &c, start) if code else HANDLED

    cdef int _time_at(self, Fields* f, char key, int64_t* out_ns, const char* name, const char* start,
                      const char* end) except -1:
        """Milliseconds (or microseconds: spot `timeUnit`) to ns; 0 where the member is absent."""
        out_ns[0] = 0
        if not has(f, key):
            return HANDLED
        if self._int_at(f, key, out_ns, name, start, end) == BAD:
            return BAD
        if not 0 <= out_ns[0] < 9000000000000000:
            self.error_code, self.error_field = TG_RANGE, name
            return BAD
        out_ns[0] *= 1000 if out_ns[0] >= 100000000000000 else 1000000
        return HANDLED

    cdef int _decimal_at(self, Fields* f, char key, const tg_grid* grid, int64_t* out, const char* name,
                         const char* start, const char* end) except -1:
        cdef tg_cur c
        cdef int code
        c.p = f.at[key] if has(f, key) else end
        c.end = end
        code = tg_decimal(&c, grid, out)
        return self.fail(code, name, &c, start) if code else HANDLED

    # ---- records ----

    cdef int _depth(self, Fields* f, Sink sink, const char* start, const char* end) except -1:
        cdef DepthHead head
        if self._late_side(f, True, start, end) == BAD or self._late_side(f, False, start, end) == BAD:
            return BAD
        if f.bids < 0 or f.asks < 0:
            self.error_code, self.error_field = TG_SYNTAX, b"b or a"
            return BAD
        if self._int_at(f, c'U', &head.first_id, b"U", start, end) == BAD:
            return BAD
        if self._int_at(f, c'u', &head.last_id, b"u", start, end) == BAD:
            return BAD
        if self._time_at(f, c'E', &head.event_ns, b"E", start, end) == BAD:
            return BAD
        if head.first_id < 0 or head.last_id < head.first_id or (self.market == BINANCE_USDM and f.prev_id < 0):
            self.error_code, self.error_field = TG_RANGE, b"U, u or pu"
            return BAD
        head.instrument = f.instrument
        head.prev_id = f.prev_id
        head.rule = RULE_PREV if self.market == BINANCE_USDM else RULE_RANGE
        head.depth = self._partial(f)
        head.partial = head.depth > 0
        head.kind = SNAPSHOT if head.partial else UPDATE
        head.bids, head.asks, head.checksum = f.bids, f.asks, 0
        sink.on_depth(&head, self.bids, self.asks)
        return HANDLED

    cdef int _partial(self, Fields* f) except -1:
        """Depth of a partial stream (`btcusdt@depth20@100ms`), 0 for the diff stream."""
        cdef Py_ssize_t i
        cdef int depth = 0
        if f.stream == NULL:
            return self.partial_depth
        for i in range(f.stream_size - 6):
            if memcmp(f.stream + i, b"@depth", 6) == 0:
                i += 6
                while i < f.stream_size and c'0' <= f.stream[i] <= c'9' and depth < 100000:
                    depth = depth * 10 + f.stream[i] - c'0'
                    i += 1
                return depth
        return 0

    cdef int _snapshot(self, int context, Fields* f, Sink sink, const char* start, const char* end) except -1:
        """REST or WS API depth reply (named by `context`), or a spot partial depth event (named by its stream)."""
        cdef DepthHead head
        head.depth = self._partial(f) if f.stream != NULL or context < 0 else 0
        head.partial = head.depth > 0
        f.instrument = self._stream_symbol(f) if f.stream != NULL else context
        if f.instrument < 0:
            return NOT_MINE
        if self._late_side(f, True, start, end) == BAD or self._late_side(f, False, start, end) == BAD:
            return BAD
        if self._time_at(f, c'E', &head.event_ns, b"E", start, end) == BAD:
            return BAD
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
        cdef int row = f.instrument
        if self._decimal_at(f, c'p', &self.instruments.price_grids[row], &trade.price_ticks, b"p", start, end) == BAD:
            return BAD
        if self._decimal_at(f, c'q', &self.instruments.size_grids[row], &trade.size_lots, b"q", start, end) == BAD:
            return BAD
        if self._int_at(f, c'a' if aggregate else c't', &trade.id_lo, b"trade id", start, end) == BAD:
            return BAD
        if self._time_at(f, c'T', &trade.event_ns, b"T", start, end) == BAD:
            return BAD
        if not has(f, c'm') or end - f.at[c'm'] < 4:
            self.error_code, self.error_field = TG_SYNTAX, b"m"
            return BAD
        if memcmp(f.at[c'm'], b"true", 4) == 0:
            trade.side = SELL           # the buyer was the maker
        elif memcmp(f.at[c'm'], b"fals", 4) == 0:
            trade.side = BUY
        else:
            self.error_code, self.error_field = TG_SYNTAX, b"m"
            return BAD
        if trade.price_ticks == 0 or trade.size_lots == 0:
            return HANDLED              # the undocumented USD-M stream prints these now and then; they are no trades
        trade.instrument = row
        trade.id_hi = 0
        trade.aggregate = aggregate
        sink.on_trade(&trade)
        return HANDLED

    cdef int _quote(self, Fields* f, Sink sink, const char* start, const char* end) except -1:
        cdef Quote quote
        cdef tg_grid* price = &self.instruments.price_grids[f.instrument]
        cdef tg_grid* size = &self.instruments.size_grids[f.instrument]
        if self._int_at(f, c'u', &quote.update_id, b"u", start, end) == BAD:
            return BAD
        if self._decimal_at(f, c'b', price, &quote.bid_ticks, b"b", start, end) == BAD:
            return BAD
        if self._decimal_at(f, c'B', size, &quote.bid_lots, b"B", start, end) == BAD:
            return BAD
        if self._decimal_at(f, c'a', price, &quote.ask_ticks, b"a", start, end) == BAD:
            return BAD
        if self._decimal_at(f, c'A', size, &quote.ask_lots, b"A", start, end) == BAD:
            return BAD
        if self._time_at(f, c'E', &quote.event_ns, b"E", start, end) == BAD:
            return BAD
        quote.instrument = f.instrument
        sink.on_quote(&quote)
        return HANDLED

    cdef int _mark(self, Fields* f, Sink sink, const char* start, const char* end) except -1:
        cdef Mark mark
        cdef tg_cur c
        memset(&mark, 0, sizeof(mark))
        mark.instrument = f.instrument
        mark.present = MARK_PRICE | INDEX_PRICE | NEXT_FUNDING
        if self._decimal_at(f, c'p', &E8, &mark.mark_e8, b"p", start, end) == BAD:
            return BAD
        if self._decimal_at(f, c'i', &E8, &mark.index_e8, b"i", start, end) == BAD:
            return BAD
        if self._time_at(f, c'T', &mark.next_funding_ns, b"T", start, end) == BAD:
            return BAD
        if self._time_at(f, c'E', &mark.event_ns, b"E", start, end) == BAD:
            return BAD
        if has(f, c'r') and memcmp(f.at[c'r'], b'""', 2) != 0:      # empty on delivery contracts
            c.p, c.end = f.at[c'r'], end
            if tg_signed_decimal(&c, &E8, &mark.funding_e8) != TG_OK:
                return self.fail(TG_SYNTAX, b"r", &c, start)
            mark.present |= FUNDING_RATE
        sink.on_mark(&mark)
        return HANDLED

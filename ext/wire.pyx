"""The joint between venues and the rest: bytes -> records pushed into a Sink; Approved -> bytes.

A venue subclasses `Wire` and fills in `decode` and `encode`; the engine is a `Sink`. Neither knows the other. What all
venues share - symbol look-up, level arrays, client order ids, naming a malformed field - is here, once.

Of a depth message that comes on several lines all but the first copy say nothing new. Where `Sink.redundant` is set, a decoder
looks for the ids of an update before it reads the levels, and asks `Sink.is_copy`. A look says what the whole frame would say,
unless that is malformed; where this is not certain for a few comparisons, there is no look. So a copy that is broken among its
levels is a copy.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset, strlen

from ext.records cimport AMEND, BUY, CANCEL, GROUP_UNKNOWN, LONG_LEG, NET, SHORT_LEG, STOP_MARKET, UNCERTAIN, Instrument
from ext.text cimport TG_SYNTAX, tg_level, tg_setup
from ext.text import WHY

cdef extern from *:
    """
    #include "levels.h"
    /* The last `x` of the n bytes at p, or NULL: memrchr, which not every C library has. */
    static const char *tg_last(const char *p, Py_ssize_t n, char x) {
    #if defined(__SSE4_1__)
        for (; n >= 16; n -= 16) {
            __m128i v = _mm_loadu_si128((const __m128i *)(p + n - 16));
            unsigned hits = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(x)));
            if (hits) return p + n - 16 + (31 - __builtin_clz(hits));
        }
    #endif
        while (n > 0)
            if (p[--n] == x) return p + n;
        return NULL;
    }
    static void tg_levels_setup(void) {
    #if defined(TG_LEVEL_FAST)
        tg_shapes_make();
    #endif
    }
    """
    ctypedef struct tg_scan:
        const char* end
    int tg_levels(tg_cur* c, const tg_grid* price, const tg_grid* size, int extra, tg_level* out, int64_t cap,
                  int64_t* count, char* field, tg_scan* scan) noexcept nogil
    void tg_levels_setup() noexcept nogil
    const char* tg_last(const char* p, Py_ssize_t n, char x) noexcept nogil

tg_setup()
tg_levels_setup()

# Client order ids are letters and digits only (OKX allows nothing else) and have no vowels: a word such as DROP or UNION
# in a request makes a web firewall answer 403. 31 such characters in one case, and one more.
cdef const char* BASE32 = b"0123456789bcdfghjklmnpqrstvwxyzB"
ALPHABET = BASE32.decode()
DEPLOYMENT = ALPHABET[:31]  # what a deployment is spelled with
cdef int ID_SEQUENCE = 9


cdef class Sink:
    """Takes records during one decode call; the base class ignores them."""

    cdef int64_t newest(self, int instrument) noexcept:
        """Id of the last update that the taker has, -1 = none. What is newer is no copy, so that a decoder need not make sure of it."""
        return -1

    cdef bint is_copy(self, const DepthHead* head) except -1:
        """Has the taker what this update says? Then its levels are not read, nor handed over. Of the head, `bids`, `asks`,
        `checksum` and `event_ns` are not filled in yet. Asked where `redundant`, and not of every update."""
        return False

    cdef int on_depth(self, const DepthHead* head, const Level* bids, const Level* asks) except -1:
        return 0

    cdef int on_trade(self, const Trade* trade) except -1:
        return 0

    cdef int on_quote(self, const Quote* quote) except -1:
        return 0

    cdef int on_mark(self, const Mark* mark) except -1:
        return 0

    cdef int on_report(self, const Report* report) except -1:
        return 0

    cdef int on_budget(self, const Budget* budget) except -1:
        return 0


cdef class Wire:
    """One venue's hot half for one market."""

    def __cinit__(self, Instruments instruments, int market, str deployment="tckg", uint64_t epoch=0):
        self.instruments = instruments
        self.market = market
        self.last = -1
        self.bids = <Level*>malloc(LEVELS_MAX * sizeof(Level))
        self.asks = <Level*>malloc(LEVELS_MAX * sizeof(Level))
        self.trades = <Trade*>malloc(TRADES_MAX * sizeof(Trade))
        self.scan = calloc(1, sizeof(tg_scan))
        if not (self.bids and self.asks and self.trades and self.scan):
            raise MemoryError()
        self.error_field = b""
        self.window_ms = 1500
        self.identify(deployment, epoch)

    def __dealloc__(self):
        free(self.bids)
        free(self.asks)
        free(self.trades)
        free(self.scan)
        free(self.codes)

    def set_codes(self, list rows):
        """The venue's error table: rows of (code, Outcome of a NEW, of a cancel, of an amend, ErrorGroup). A code that is not
        in it proves nothing. ValueError where a code is there twice or an outcome is none."""
        cdef int i
        cdef Code* codes
        ordered = sorted(rows)
        for i, row in enumerate(ordered):
            if i and row[0] == ordered[i - 1][0]:
                raise ValueError(f"error code {row[0]} is there twice")
            if not all(0 <= x <= 3 for x in row[1:4]):
                raise ValueError(f"error code {row[0]}: {row[1:4]} are not outcomes")
        codes = <Code*>malloc(max(len(ordered), 1) * sizeof(Code))
        if codes == NULL:
            raise MemoryError()
        for i, row in enumerate(ordered):
            codes[i].code, codes[i].create, codes[i].cancel, codes[i].amend, codes[i].group = row
        free(self.codes)
        self.codes, self.code_count = codes, len(ordered)

    def clock(self, int64_t offset_ns):
        """The venue's clock minus ours, as measured: what frames are stamped with."""
        self.offset_ns = offset_ns

    def window(self, int64_t window_ms):
        """How long after its stamp the venue may still let a frame in. ValueError outside 100 to 60,000 ms."""
        if not 100 <= window_ms <= 60_000:
            raise ValueError(f"window of {window_ms} ms: must be 100 to 60000")
        self.window_ms = window_ms

    def set_hedge(self, bint hedge):
        """The account's position mode: True where it holds a long and a short leg of each perpetual. New orders then name one."""
        self.hedge = hedge

    cdef int check_leg(self, const Intent* intent) except -1:
        """The last look at the leg of a new order, for a perpetual in hedge mode must have one and everything else none: a venue
        would refuse it, or take it for another position. What reduces is on the leg's closing side: some venues take no other word
        for it. ValueError where it is wrong; asked where there is a leg or `hedge`."""
        cdef bint legged = intent.leg == LONG_LEG or intent.leg == SHORT_LEG
        cdef bint wants = self.hedge and self.instruments.rows[intent.instrument].is_perpetual
        if legged != wants or (intent.leg != NET and not legged):
            raise ValueError(f"{self.instruments.symbol(intent.instrument)}: leg {intent.leg}, but " + (
                "in hedge mode an order is of the long or the short leg" if wants else "there are no legs here"))
        if legged and (intent.reduce_only or intent.type == STOP_MARKET) and (intent.side == BUY) == (intent.leg == LONG_LEG):
            raise ValueError(f"{self.instruments.symbol(intent.instrument)}: reduce-only on the side that opens its leg")
        return 0

    cdef int64_t stamp_ms(self, int64_t now_ns) noexcept nogil:
        """`now_ns` on the venue's clock, in ms: what goes into a frame."""
        return (now_ns + self.offset_ns) // 1_000_000

    cdef int fate(self, int64_t code, int action, int32_t* group) noexcept nogil:
        """Outcome of a request of this records.Action that was answered with `code`; its ErrorGroup."""
        cdef int low = 0, high = self.code_count, middle
        while low < high:
            middle = (low + high) >> 1
            if self.codes[middle].code < code:
                low = middle + 1
            else:
                high = middle
        if low == self.code_count or self.codes[low].code != code:
            group[0] = GROUP_UNKNOWN
            return UNCERTAIN
        group[0] = self.codes[low].group
        if action == CANCEL:
            return self.codes[low].cancel
        return self.codes[low].amend if action == AMEND else self.codes[low].create

    def identify(self, str deployment, uint64_t epoch):
        """Set the constant head of client order ids: 4 letters or digits of deployment, and the epoch.

        Raises ValueError where the deployment is not 4 digits or lower-case consonants or the epoch is not below 2**35.
        """
        cdef bytes raw = deployment.encode()
        cdef int i
        if len(deployment) != 4 or any(x not in DEPLOYMENT for x in deployment):
            raise ValueError(f"deployment {deployment!r}: must be 4 digits or lower-case consonants")
        if epoch >= <uint64_t>1 << 35:
            raise ValueError(f"epoch {epoch}: must be below 2**35")
        memcpy(self.id_head, PyBytes_AS_STRING(raw), 4)
        _put_digits(self.id_head + 4, epoch, 7)
        self.epoch = epoch

    cdef int take(self, int context, const char* data, Py_ssize_t size, int64_t now_ns, Sink sink) except -1:
        """Decode one frame: what everybody calls. Forgets where the quotes of the frame before were."""
        (<tg_scan*>self.scan).end = NULL
        return self.decode(context, data, size, now_ns, sink)

    cdef int decode(self, int context, const char* data, Py_ssize_t size, int64_t now_ns, Sink sink) except -1:
        """Push the records of one frame into `sink`; returns a Verdict. A BAD frame pushes nothing.

        `context` is the instrument a reply belongs to where the text does not name one (REST snapshots), else -1.
        """
        return NOT_MINE

    cdef Py_ssize_t encode(self, Approved order, char* out, Py_ssize_t cap, int64_t now_ns) except -1:
        """Write the request frame for `order` (NEW, CANCEL, AMEND, REPLACE) into `out` (at least ORDER_FRAME_MAX bytes);
        returns its size. ValueError where this venue has no such request."""
        raise NotImplementedError

    cdef Py_ssize_t encode_batch(self, list orders, int count, char* out, Py_ssize_t cap, int64_t now_ns) except -1:
        """Write one request for the first `count` of `orders` (Approved, all of one market and one action, at most
        `batch_max`) into `out` (at least `count` * ORDER_FRAME_MAX bytes); returns its size. Items are answered one by one."""
        raise NotImplementedError

    cdef int checksum(self, int instrument, const Level* bids, int n_bids, const Level* asks, int n_asks,
                      int32_t* out) except -1:
        """The venue's checksum of the top levels, where it has one. Returns 0 where it has none."""
        return 0

    cdef const char* tail(self, const tg_cur* c, Py_ssize_t closers, tg_cur* out) noexcept nogil:
        """Put `out` behind the last list of a frame, which is looked for in front of its last `closers` bytes; returns its `]`, NULL
        where there is none within TAIL_MAX bytes. The caller reads the rest as what it must be, to the last byte, and sees that
        between `c` and the list's end there is no `}`, or no `:`.

        Then the rest belongs to what it seems to belong to, or the frame is BAD. It is not inside a string: the quote before its
        first key would end that, and no letter may follow; nor may the frame end in one. Without a `}` no object ends before
        the rest; so where the rest ends one object more than is open at `c`, that one was opened there, and no other. Without a
        `:` there is no member of any object.
        """
        cdef Py_ssize_t size = max(min(c.end - closers - c.p, TAIL_MAX), 0)
        cdef const char* last = tg_last(c.end - closers - size, size, c']')
        if last != NULL:
            out.p, out.end = last + 1, c.end
        return last

    cdef int lookup(self, const char* symbol, Py_ssize_t size) noexcept nogil:
        """Index of a symbol of this market, or -1. Most frames name the symbol of the frame before."""
        if self.last >= 0:
            row = &self.instruments.rows[self.last]
            if row.symbol_size == size and memcmp(row.symbol, symbol, size) == 0:
                return self.last
        found = self.instruments.find(self.market, symbol, size)
        if found >= 0:
            self.last = found
        return found

    cdef int coin(self, int instrument, const char* text, Py_ssize_t size) noexcept nogil:
        """Which coin of an instrument this is: 1 quote, 2 base, 0 another (Report.fee_is_quote). Where the table does not know
        the coins, the symbol tells: it ends with the quote and begins with the base."""
        cdef Instrument* row = &self.instruments.rows[instrument]
        if size <= 0 or size > 15:
            return 0
        if row.quote[0]:
            if strlen(row.quote) == <size_t>size and memcmp(row.quote, text, size) == 0:
                return 1
            return 2 if strlen(row.base) == <size_t>size and memcmp(row.base, text, size) == 0 else 0
        if size < row.symbol_size and memcmp(row.symbol + row.symbol_size - size, text, size) == 0:
            return 1
        return 2 if size < row.symbol_size and memcmp(row.symbol, text, size) == 0 else 0

    cdef int put_coin(self, Report* report, const char* text, Py_ssize_t size) noexcept nogil:
        """Name the coin of a fee, as the venue spells it; nothing where it does not fit."""
        memset(report.fee_coin, 0, sizeof(report.fee_coin))
        if 0 < size < <Py_ssize_t>sizeof(report.fee_coin):
            memcpy(report.fee_coin, text, size)
        return 0

    cdef int fail(self, int code, const char* field, tg_cur* c, const char* start) noexcept nogil:
        """Remember why a frame is BAD, and where."""
        self.error_code = code if code else TG_SYNTAX
        self.error_field = field
        self.error_at = c.p - start
        return BAD

    cdef int read_levels(self, tg_cur* c, int instrument, int extra, Level* out, int64_t* count,
                         const char* price_name, const char* size_name) noexcept nogil:
        """One side of a book; returns a TG_* code and, where refused, leaves the field's name in `error_field`."""
        cdef char field = 0
        cdef int code = tg_levels(c, &self.instruments.price_grids[instrument],
                                  &self.instruments.size_grids[instrument], extra, <tg_level*>out, LEVELS_MAX,
                                  count, &field, <tg_scan*>self.scan)
        if code:
            self.error_field = size_name if field == c's' else price_name
        return code

    cdef int put_id(self, char* out, uint64_t order_id, uint64_t epoch) noexcept nogil:
        """Write the client order id of `order_id`, of this process (epoch 0) or of an earlier one; returns ID_SIZE."""
        memcpy(out, self.id_head, ID_HEAD)
        if epoch:
            _put_digits(out + 4, epoch, 7)
        _put_digits(out + ID_HEAD, order_id, ID_SEQUENCE)
        out[ID_SIZE - 1] = BASE32[_check(out)]
        return ID_SIZE

    cdef int put_request(self, char* out, char action, uint64_t order_id, uint64_t epoch) noexcept nogil:
        """Write a request id that never repeats (Bybit refuses repeats); returns REQUEST_SIZE."""
        self.requests += 1
        out[0] = action
        self.put_id(out + 1, order_id, epoch)
        _put_digits(out + 1 + ID_SIZE, self.requests, 4)
        return REQUEST_SIZE

    cdef uint64_t own_id(self, const char* text, Py_ssize_t size, uint64_t* epoch) noexcept nogil:
        """Sequence and epoch in a client order id of this deployment; 0 where it is not one of ours."""
        cdef uint64_t value = 0
        cdef int i, digit
        epoch[0] = 0
        if size != ID_SIZE or memcmp(text, self.id_head, 4) != 0:
            return 0
        for i in range(4, ID_SIZE - 1):
            digit = _digit(text[i])
            if digit < 0:
                return 0
            value = value << 5 | <uint64_t>digit
            if i == ID_HEAD - 1:
                epoch[0], value = value, 0
        if text[ID_SIZE - 1] == BASE32[_check(text)]:
            return value
        epoch[0] = 0
        return 0

    cdef uint64_t own_request(self, const char* text, Py_ssize_t size, char* action, uint64_t* epoch) noexcept nogil:
        """Order id, epoch and action letter in a request id of ours; 0 where it is not one."""
        epoch[0] = 0
        if size != REQUEST_SIZE:
            return 0
        action[0] = text[0]
        return self.own_id(text + 1, ID_SIZE, epoch)

    def error(self) -> str:
        """Why the last BAD frame was refused: field, reason, byte."""
        field = self.error_field.decode() or "frame"
        return f"{field}: {WHY.get(self.error_code, 'malformed')} at byte {self.error_at}"

    def client_id(self, uint64_t order_id, uint64_t epoch=0) -> str:
        """The client order id that `order_id` carries on the wire; `epoch` 0 = this process's own."""
        cdef char out[ID_SIZE]
        self.put_id(out, order_id, epoch)
        return out[:ID_SIZE].decode()

    def order_id(self, str client_id) -> int:
        """`client_id` reversed; 0 where it is not one of this process's."""
        order_id, epoch = self.whose(client_id)
        return order_id if epoch == self.epoch else 0

    def whose(self, str client_id) -> tuple:
        """(order id, epoch) in a client order id of this deployment; (0, 0) where it is somebody else's."""
        cdef bytes raw = client_id.encode()
        cdef uint64_t epoch
        cdef uint64_t order_id = self.own_id(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), &epoch)
        return order_id, epoch

    def outcome(self, int64_t code, int action=0) -> tuple:
        """(Outcome, ErrorGroup) of a request of this Action that was answered with `code`."""
        cdef int32_t group
        cdef int fate = self.fate(code, action, &group)
        return fate, group

    def read(self, bytes frame, Sink sink, int64_t now_ns=0, int context=-1) -> int:
        """`decode` for Python callers: tests, cold readers."""
        return self.take(context, PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), now_ns, sink)

    def frame(self, Approved order, int64_t now_ns) -> bytes:
        """`encode` for Python callers. The order must have come from the risk gate."""
        cdef char out[ORDER_FRAME_MAX]
        return out[:self.encode(order, out, ORDER_FRAME_MAX, now_ns)]


cdef inline void _put_digits(char* out, uint64_t value, int count) noexcept nogil:
    cdef int i
    for i in range(count):
        out[i] = BASE32[(value >> (5 * (count - 1 - i))) & 31]


cdef signed char DIGITS[256]
memset(DIGITS, -1, 256)
for _i, _x in enumerate(ALPHABET.encode()):
    DIGITS[<unsigned char>_x] = _i


cdef inline int _digit(char x) noexcept nogil:
    return DIGITS[<unsigned char>x]


cdef inline int _check(const char* text) noexcept nogil:
    """Check character over everything before it: catches any one wrong and any two swapped characters.

    The digits are read as a polynomial over GF(32) at a generator (x^5 + x^2 + 1), whose first 31 powers all differ.
    """
    cdef int total = 0
    cdef int i
    for i in range(ID_SIZE - 1):
        total = (total << 1) ^ ((total >> 4) * 37) ^ _digit(text[i])
    return (total << 1) ^ ((total >> 4) * 37)


def depth_dict(head, bids, asks) -> dict:
    """A depth record as ListSink gives it."""
    return {"type": "depth", **head, "bids": bids, "asks": asks}


cdef class ListSink(Sink):
    """Collects records as Python dicts, for tests and cold readers."""

    def __cinit__(self):
        self.events = []

    cdef int on_depth(self, const DepthHead* head, const Level* bids, const Level* asks) except -1:
        self.events.append(depth_dict(
            head[0],
            [(bids[i].price_ticks, bids[i].size_lots) for i in range(head.bids)],
            [(asks[i].price_ticks, asks[i].size_lots) for i in range(head.asks)]))
        return 0

    cdef int on_trade(self, const Trade* trade) except -1:
        self.events.append({"type": "trade", **trade[0]})
        return 0

    cdef int on_quote(self, const Quote* quote) except -1:
        self.events.append({"type": "quote", **quote[0]})
        return 0

    cdef int on_mark(self, const Mark* mark) except -1:
        self.events.append({"type": "mark", **mark[0]})
        return 0

    cdef int on_report(self, const Report* report) except -1:
        row = <object>report[0]
        row["venue_id"] = report.venue_id[:report.venue_id_size].decode("ascii", "replace")
        row["fee_coin"] = report.fee_coin[:12].split(b"\0")[0].decode("ascii", "replace")
        self.events.append({"type": "report", **row})
        return 0

    cdef int on_budget(self, const Budget* budget) except -1:
        self.events.append({"type": "budget", **(<object>budget[0])})
        return 0


cdef class SecondLine(ListSink):
    """Notes the ids of every look in `looks` and answers that it has a copy of each (`has`) or of none; has ids up to `have`."""

    def __cinit__(self, bint has=True, int64_t have=2**62):
        self.looks, self.has, self.have, self.redundant = [], has, have, True

    cdef int64_t newest(self, int instrument) noexcept:
        return self.have

    cdef bint is_copy(self, const DepthHead* head) except -1:
        self.looks.append({name: (<object>head[0])[name] for name in LOOKED})
        return self.has


LOOKED = ("instrument", "kind", "depth", "partial", "rule", "first_id", "last_id", "prev_id")

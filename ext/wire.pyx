"""The joint between venues and the rest: bytes -> records pushed into a Sink; Approved -> bytes.

A venue subclasses `Wire` and fills in `decode` and `encode`; the engine is a `Sink`. Neither knows the other. What all
venues share - symbol look-up, level arrays, client order ids, naming a malformed field - is here, once.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

from ext.text cimport TG_SYNTAX, tg_level, tg_setup
from ext.text import WHY

cdef extern from *:
    """
    #include "levels.h"
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

tg_setup()
tg_levels_setup()

# Client order ids use 0-9a-v: letters and digits only (OKX allows nothing else), one case.
cdef const char* BASE32 = b"0123456789abcdefghijklmnopqrstuv"
cdef int ID_SEQUENCE = 9


cdef class Sink:
    """Takes records during one decode call; the base class ignores them."""

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


cdef class Wire:
    """One venue's hot half for one market."""

    def __cinit__(self, Instruments instruments, int market, str deployment="tick", uint64_t epoch=0):
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
        self.identify(deployment, epoch)

    def __dealloc__(self):
        free(self.bids)
        free(self.asks)
        free(self.trades)
        free(self.scan)

    def identify(self, str deployment, uint64_t epoch):
        """Set the constant head of client order ids: 4 letters or digits of deployment, and the epoch.

        Raises ValueError where the deployment is not 4 characters of 0-9a-v or the epoch is not below 2**35.
        """
        cdef bytes raw = deployment.encode()
        cdef int i
        if len(raw) != 4 or any(x not in b"0123456789abcdefghijklmnopqrstuv" for x in raw):
            raise ValueError(f"deployment {deployment!r}: must be 4 characters of 0-9 and a-v")
        if epoch >= <uint64_t>1 << 35:
            raise ValueError(f"epoch {epoch}: must be below 2**35")
        memcpy(self.id_head, PyBytes_AS_STRING(raw), 4)
        for i in range(7):
            self.id_head[4 + i] = BASE32[(epoch >> (5 * (6 - i))) & 31]

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
        """Write the order frame for `order` into `out` (at least 512 bytes); returns its size."""
        raise NotImplementedError

    cdef int checksum(self, int instrument, const Level* bids, int n_bids, const Level* asks, int n_asks,
                      int32_t* out) except -1:
        """The venue's checksum of the top levels, where it has one. Returns 0 where it has none."""
        return 0

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

    cdef int put_id(self, char* out, uint64_t order_id) noexcept nogil:
        """Write the client order id of `order_id`; returns ID_SIZE."""
        cdef int i
        memcpy(out, self.id_head, ID_HEAD)
        for i in range(ID_SEQUENCE):
            out[ID_HEAD + i] = BASE32[(order_id >> (5 * (ID_SEQUENCE - 1 - i))) & 31]
        out[ID_SIZE - 1] = BASE32[_check(out)]
        return ID_SIZE

    cdef int put_request(self, char* out, char action, uint64_t order_id) noexcept nogil:
        """Write a request id that never repeats (Bybit refuses repeats); returns REQUEST_SIZE."""
        cdef int i
        self.requests += 1
        out[0] = action
        self.put_id(out + 1, order_id)
        for i in range(4):
            out[1 + ID_SIZE + i] = BASE32[(self.requests >> (5 * (3 - i))) & 31]
        return REQUEST_SIZE

    cdef uint64_t own_id(self, const char* text, Py_ssize_t size) noexcept nogil:
        """Order id in a client order id of this deployment and epoch; 0 where it is not one of ours."""
        cdef uint64_t value = 0
        cdef int i, digit
        if size != ID_SIZE or memcmp(text, self.id_head, ID_HEAD) != 0:
            return 0
        for i in range(ID_HEAD, ID_SIZE - 1):
            digit = _digit(text[i])
            if digit < 0:
                return 0
            value = value << 5 | <uint64_t>digit
        return value if text[ID_SIZE - 1] == BASE32[_check(text)] else 0

    cdef uint64_t own_request(self, const char* text, Py_ssize_t size, char* action) noexcept nogil:
        """Order id and action letter in a request id of ours; 0 where it is not one."""
        if size != REQUEST_SIZE:
            return 0
        action[0] = text[0]
        return self.own_id(text + 1, ID_SIZE)

    def error(self) -> str:
        """Why the last BAD frame was refused: field, reason, byte."""
        field = self.error_field.decode() or "frame"
        return f"{field}: {WHY.get(self.error_code, 'malformed')} at byte {self.error_at}"

    def client_id(self, uint64_t order_id) -> str:
        """The client order id that `order_id` carries on the wire."""
        cdef char out[ID_SIZE]
        self.put_id(out, order_id)
        return out[:ID_SIZE].decode()

    def order_id(self, str client_id) -> int:
        """`client_id` reversed; 0 where it is not one of ours."""
        cdef bytes raw = client_id.encode()
        return self.own_id(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))

    def read(self, bytes frame, Sink sink, int64_t now_ns=0, int context=-1) -> int:
        """`decode` for Python callers: tests, cold readers."""
        return self.take(context, PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), now_ns, sink)

    def frame(self, Approved order, int64_t now_ns) -> bytes:
        """`encode` for Python callers. The order must have come from the risk gate."""
        cdef char out[1024]
        return out[:self.encode(order, out, 1024, now_ns)]


cdef inline int _digit(char x) noexcept nogil:
    if c'0' <= x <= c'9':
        return x - c'0'
    return x - c'a' + 10 if c'a' <= x <= c'v' else -1


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
        self.events.append({"type": "report", **row})
        return 0

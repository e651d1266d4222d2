"""The joint between venues and the rest: bytes -> records pushed into a Sink; Approved -> bytes."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from ext.instruments cimport Instruments
from ext.records cimport Approved, Budget, DepthHead, Intent, Level, Mark, Quote, Report, Trade
from ext.text cimport tg_cur, tg_grid

cpdef enum Verdict:
    """What became of a frame."""
    NOT_MINE = 0   # well-formed, but not for this decoder (control traffic, other channels, unknown symbols)
    HANDLED = 1
    RESYNC = 2     # the venue itself says: start this book again
    BAD = 3        # malformed; nothing of it was used; `Wire.error()` says where


cdef class Sink:
    """Takes records during one decode call. Pointers are valid only inside the call."""
    cdef public bint redundant   # the same depth messages come on several lines: decoders ask `is_copy`, and only then
    cdef int64_t newest(self, int instrument) noexcept
    cdef bint is_copy(self, const DepthHead* head) except -1
    cdef int on_depth(self, const DepthHead* head, const Level* bids, const Level* asks) except -1
    cdef int on_trade(self, const Trade* trade) except -1
    cdef int on_quote(self, const Quote* quote) except -1
    cdef int on_mark(self, const Mark* mark) except -1
    cdef int on_report(self, const Report* report) except -1
    cdef int on_budget(self, const Budget* budget) except -1


ctypedef struct Code:
    # One row of a venue's error table: what a code proves of each kind of request.
    int64_t code
    int32_t create           # Outcome of a NEW that got it
    int32_t cancel
    int32_t amend
    int32_t group            # ErrorGroup


cdef enum:
    COPY = 4             # among a decoder's own functions: the taker has what the frame says, and it is read no further
    TAIL_MAX = 160       # bytes behind the last list of a frame; the longest with ids in it have 110

cdef enum:
    LEVELS_MAX = 16384   # per side; the largest book any venue sends in one message has 10,000 (Bybit full book)
    TRADES_MAX = 2048    # per frame; Bybit documents at most 1,024
    ID_HEAD = 11         # client order id: 4 deployment + 7 epoch, constant in one process ...
    ID_SIZE = 21         # ... + 9 sequence + 1 check, base 32
    REQUEST_SIZE = 26    # request id: 1 action + the client order id + 4 counter
    ORDER_FRAME_MAX = 1024   # largest frame of one order, signature included
    BATCH_MAX = 20       # orders in one request, where a venue has batches at all


cdef class Wire:
    """One venue's hot half for one market. Stateless apart from scratch space and the last error."""
    cdef readonly Instruments instruments
    cdef readonly int market
    cdef Level* bids
    cdef Level* asks
    cdef Trade* trades
    cdef void* scan           # where the quotes of the frame being read are (levels.h)
    cdef int last             # instrument of the last symbol found, a cache
    cdef int error_code       # TG_* of the last BAD
    cdef const char* error_field
    cdef Py_ssize_t error_at
    cdef char id_head[ID_HEAD]
    cdef readonly uint64_t epoch
    cdef uint64_t requests    # request frames encoded so far
    cdef Code* codes          # the venue's error table, sorted
    cdef int code_count
    cdef readonly int64_t offset_ns   # the venue's clock minus ours: what stamps are made with
    cdef readonly int64_t window_ms   # how long after its stamp the venue may still take a frame
    cdef readonly int batch_max       # orders in one request, 0 where the venue has no batch over WebSocket
    cdef readonly bint can_amend      # price and size in place; else see REPLACE
    cdef readonly bint can_replace
    cdef readonly bint stop_by_rest   # stop orders have no WebSocket request here
    cdef readonly bint hedge          # the account holds a long and a short leg of each perpetual

    cdef int take(self, int context, const char* data, Py_ssize_t size, int64_t now_ns, Sink sink) except -1
    cdef int decode(self, int context, const char* data, Py_ssize_t size, int64_t now_ns, Sink sink) except -1
    cdef Py_ssize_t encode(self, Approved order, char* out, Py_ssize_t cap, int64_t now_ns) except -1
    cdef Py_ssize_t encode_batch(self, list orders, int count, char* out, Py_ssize_t cap, int64_t now_ns) except -1
    cdef int64_t stamp_ms(self, int64_t now_ns) noexcept nogil
    cdef int fate(self, int64_t code, int action, int32_t* group) noexcept nogil
    cdef int checksum(self, int instrument, const Level* bids, int n_bids, const Level* asks, int n_asks,
                      int32_t* out) except -1

    cdef const char* tail(self, const tg_cur* c, Py_ssize_t closers, tg_cur* out) noexcept nogil
    cdef int lookup(self, const char* symbol, Py_ssize_t size) noexcept nogil
    cdef int coin(self, int instrument, const char* text, Py_ssize_t size) noexcept nogil
    cdef int put_coin(self, Report* report, const char* text, Py_ssize_t size) noexcept nogil
    cdef int check_leg(self, const Intent* intent) except -1
    cdef int fail(self, int code, const char* field, tg_cur* c, const char* start) noexcept nogil
    cdef int read_levels(self, tg_cur* c, int instrument, int extra, Level* out, int64_t* count,
                         const char* price_name, const char* size_name) noexcept nogil
    cdef int put_id(self, char* out, uint64_t order_id, uint64_t epoch) noexcept nogil
    cdef int put_request(self, char* out, char action, uint64_t order_id, uint64_t epoch) noexcept nogil
    cdef uint64_t own_id(self, const char* text, Py_ssize_t size, uint64_t* epoch) noexcept nogil
    cdef uint64_t own_request(self, const char* text, Py_ssize_t size, char* action, uint64_t* epoch) noexcept nogil


cdef class ListSink(Sink):
    """Collects records as Python dicts, for tests and cold readers."""
    cdef readonly list events


cdef class SecondLine(ListSink):
    """What a decoder meets where depth messages come on two lines, for tests: notes each look, and answers as it is told."""
    cdef readonly list looks
    cdef public bint has
    cdef public int64_t have

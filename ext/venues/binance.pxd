"""Binance, spot and USD-M: bytes to records and back."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from ext.records cimport Approved, Report
from ext.text cimport tg_cur, tg_grid
from ext.wire cimport Sink, Wire

ctypedef struct Fields:
    # Where the members of one message stand. One-letter keys go by their letter, the rest by name.
    uint64_t seen[2]          # bit per ASCII letter key
    const char* at[128]       # start of that member's value
    const char* stream        # name of the combined stream, or NULL
    Py_ssize_t stream_size
    const char* symbol
    Py_ssize_t symbol_size
    int instrument            # -1 until a symbol of ours was seen
    const char* bids_at       # where a side stands that came before its symbol
    const char* asks_at
    int64_t bids              # levels read, -1 = no such side
    int64_t asks
    int64_t last_update_id    # of a REST snapshot, -1 = none
    int64_t prev_id           # "pu", -1 = none
    int nested                # inside "data", "result" or "event"


cdef class BinanceWire(Wire):
    cdef public int partial_depth   # raw (not combined) connection of a partial depth stream: its depth, else 0

    cdef int _object(self, tg_cur* c, Fields* f, const char* start) except -1
    cdef int _member(self, tg_cur* c, Fields* f, const char* key, Py_ssize_t size, const char* start) except -1
    cdef int _side(self, tg_cur* c, Fields* f, bint is_bid, const char* start) except -1
    cdef int _late_side(self, Fields* f, bint is_bid, const char* start, const char* end) except -1
    cdef int _depth(self, Fields* f, Sink sink, const char* start, const char* end) except -1
    cdef int _snapshot(self, int context, Fields* f, Sink sink, const char* start, const char* end) except -1
    cdef int _trade(self, Fields* f, Sink sink, bint aggregate, const char* start, const char* end) except -1
    cdef int _quote(self, Fields* f, Sink sink, const char* start, const char* end) except -1
    cdef int _mark(self, Fields* f, Sink sink, const char* start, const char* end) except -1
    cdef int _event(self, Fields* f, Sink sink, const char* start, const char* end) except -1
    cdef int _number(self, tg_cur* c, int64_t* out, const char* name, const char* start) except -1
    cdef int _symbol(self, tg_cur* c, Fields* f, const char* start) except -1
    cdef int _int_at(self, Fields* f, char key, int64_t* out, const char* name, const char* start,
                     const char* end) except -1
    cdef int _time_at(self, Fields* f, char key, int64_t* out_ns, const char* name, const char* start,
                      const char* end) except -1
    cdef int _decimal_at(self, Fields* f, char key, const tg_grid* grid, int64_t* out, const char* name,
                         const char* start, const char* end) except -1
    cdef int _partial(self, Fields* f) except -1
    cdef int _stream_symbol(self, Fields* f) except -2

"""OKX v5, spot and linear swap: bytes to records and back."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from ext.records cimport DepthHead, Instrument, Intent, Mark, Report, Trade
from ext.text cimport tg_cur, tg_grid
from ext.wire cimport Sink, Wire

ctypedef struct Frame:
    # Where the members of one message stand, and what its last element held.
    int channel               # CHANNEL_*
    int action                # ACTION_*
    int instrument            # of arg.instId, -1 where it is none of ours
    int has_arg
    int elements              # of "data", read so far
    int unchained             # a depth element had a seqId but no prevSeqId
    int is_cancel             # order answers: to a cancel
    char letter               # order answers: action letter of the request id
    uint64_t order_id         # order answers: of the request id, 0 = not ours
    uint64_t epoch
    int64_t code              # top level, -1 = none
    const char* symbol        # arg.instId
    Py_ssize_t symbol_size
    const char* data          # where the value of "data" stands, or NULL
    const char* end           # of the frame
    const char* event
    Py_ssize_t event_size
    const char* op
    Py_ssize_t op_size
    const char* id
    Py_ssize_t id_size
    DepthHead head            # depth channels: the last element; its levels are in `bids` and `asks`
    Mark mark

ctypedef struct Row:
    # An element that holds an order, or the answer to one: where its members stand (ROW_*), NULL = absent.
    const char* at[18]
    int instrument


cdef class OkxWire(Wire):
    cdef int _top(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _top_member(self, tg_cur* c, Frame* f, const char* key, Py_ssize_t size, const char* start) except -1
    cdef int _arg(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _action(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _text(self, tg_cur* c, const char** out, Py_ssize_t* size, const char* name, const char* start) except -1
    cdef int _number(self, tg_cur* c, int64_t* out, const char* name, const char* start) except -1
    cdef int _time(self, tg_cur* c, int64_t* out_ns, const char* name, const char* start) except -1
    cdef int _same_symbol(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _checked(self, int code, const char* name, tg_cur* c, const char* start) except -1

    cdef int _data(self, tg_cur* c, Frame* f, Sink sink, const char* start) except -1
    cdef int _element(self, tg_cur* c, Frame* f, Sink sink, const char* start) except -1
    cdef int _market(self, Frame* f, Sink sink, const char* start) except -1
    cdef int _seed(self, int context, Frame* f, Sink sink, const char* start) except -1

    cdef int _depth(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _depth_member(self, tg_cur* c, Frame* f, const char* key, Py_ssize_t size, const char* start) except -1
    cdef int _depth_chain(self, Frame* f, const char* start) except -1
    cdef int _side(self, tg_cur* c, Frame* f, bint is_bid, const char* start) except -1
    cdef int _push_depth(self, Frame* f, Sink sink) except -1
    cdef int _push_quote(self, Frame* f, Sink sink) except -1

    cdef int _trade(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _trade_member(self, tg_cur* c, Frame* f, Trade* trade, const char* key, Py_ssize_t size,
                           const char* start) except -1
    cdef int _buy_or_sell(self, tg_cur* c) except -2
    cdef int _mark(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _mark_member(self, tg_cur* c, Frame* f, const char* key, Py_ssize_t size, const char* start) except -1

    cdef int _row(self, tg_cur* c, Row* row, const char* start) except -1
    cdef int _row_fail(self, int code, Row* row, int field, const char* end, const char* start) except -1
    cdef int _cell(self, Row* row, int field, const char* end, const char** out, Py_ssize_t* size,
                   const char* start) except -1
    cdef int _cell_number(self, Row* row, int field, const char* end, int64_t* out, const char* start) except -1
    cdef int _cell_time(self, Row* row, int field, const char* end, int64_t* out_ns, const char* start) except -1
    cdef int _cell_steps(self, Row* row, int field, const char* end, tg_grid grid, int64_t* out,
                         const char* start) except -1
    cdef int _order(self, tg_cur* c, Frame* f, Sink sink, const char* start) except -1
    cdef int _order_head(self, Row* row, const char* end, Report* report, const char* start) except -1
    cdef int _order_fill(self, Row* row, const char* end, Report* report, const char* start) except -1
    cdef int _order_fee(self, Row* row, const char* end, Report* report, const char* start) except -1
    cdef int _order_state(self, Row* row, const char* end, Report* report, bint has_fill, Sink sink,
                          const char* start) except -1
    cdef bint _is_quote(self, int instrument, const char* s, Py_ssize_t n) except -1
    cdef int _venue_id(self, Row* row, const char* end, Report* report, const char* start) except -1

    cdef int _answer(self, Frame* f, Sink sink, const char* start) except -1
    cdef int _answers(self, tg_cur* c, Frame* f, Sink sink, const char* start) except -1
    cdef int _answer_row(self, tg_cur* c, Frame* f, Sink sink, const char* start) except -1
    cdef int _verdict(self, Frame* f, int64_t code, uint64_t order_id, Report* known, Sink sink) except -1

    cdef int _inst_code(self, int instrument) except -1
    cdef Py_ssize_t _new(self, const Intent* intent, uint64_t order_id, char* out, int64_t now_ns) except -1
    cdef char* _terms(self, const Intent* intent, Instrument* row, char* p) except NULL
    cdef Py_ssize_t _cancel(self, const Intent* intent, char* out) except -1

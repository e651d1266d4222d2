"""OKX v5, spot and linear swap: bytes to records and back."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from ext.records cimport DepthHead, Instrument, Intent, Mark, Report, Trade
from ext.text cimport tg_cur, tg_grid
from ext.wire cimport BATCH_MAX, REQUEST_SIZE, Sink, Wire

cdef enum:
    FIELDS = 31               # of an order row that this decoder reads
    BATCHES = 16              # requests of several orders that are remembered

ctypedef struct Row:
    # An element that holds an order, or the answer to one: where its members stand (ROW_*), NULL = absent.
    const char* at[FIELDS]
    const char* start         # of the frame, and its end
    const char* end
    int instrument
    bint is_algo              # a row of `orders-algo`
    bint is_child             # an order that a stop of ours became
    bint has_fill

ctypedef struct Batch:
    # One request of several orders, so that an answer to all of it finds them. `count` 0 = free.
    char request[REQUEST_SIZE]
    int count
    uint64_t orders[BATCH_MAX]
    uint64_t epochs[BATCH_MAX]

ctypedef struct Frame:
    # Where the members of one message stand, and what its last element held.
    int channel               # CHANNEL_*
    int action                # ACTION_*
    int instrument            # of arg.instId, -1 where it is none of ours
    int has_arg
    int elements              # of "data", read so far
    int unchained             # a depth element had a seqId but no prevSeqId
    int asked                 # order answers: Action of the request
    char letter               # order answers: action letter of the request id
    uint64_t order_id         # order answers: of the request id, 0 = not ours
    uint64_t epoch
    int64_t code              # top level, -1 = none
    const char* name          # arg.channel
    Py_ssize_t name_size
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
    Row* row                  # being read
    void* sink                # to be asked for copies, else NULL


cdef class OkxWire(Wire):
    cdef str stp_mode                 # self-trade prevention, in our words and in the venue's
    cdef bytes _stp
    cdef const char* stp_text
    cdef int stp_size
    cdef readonly bint spot_is_cash
    cdef Batch batches[BATCHES]
    cdef int next_batch

    cdef int _walk(self, tg_cur* c, Frame* f, int where, const char* name, const char* start) except -1
    cdef int _member(self, tg_cur* c, Frame* f, int where, const char* key, Py_ssize_t size, const char* start) except -1
    cdef int _top_member(self, tg_cur* c, Frame* f, const char* key, Py_ssize_t size, const char* start) except -1
    cdef int _arg(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _arg_member(self, tg_cur* c, Frame* f, const char* key, Py_ssize_t size, const char* start) except -1
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
    cdef bint _is_copy(self, tg_cur* c, Frame* f) except -1
    cdef int _depth_head(self, Frame* f) noexcept nogil
    cdef int _push_depth(self, Frame* f, Sink sink) except -1
    cdef int _push_quote(self, Frame* f, Sink sink) except -1

    cdef int _trade(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _trade_member(self, tg_cur* c, Frame* f, Trade* trade, const char* key, Py_ssize_t size,
                           const char* start) except -1
    cdef int _buy_or_sell(self, tg_cur* c) except -2
    cdef int _mark(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _mark_member(self, tg_cur* c, Frame* f, const char* key, Py_ssize_t size, const char* start) except -1

    cdef int _row(self, tg_cur* c, Frame* f, Row* row, const char* start) except -1
    cdef int _row_member(self, tg_cur* c, Row* row, const char* key, Py_ssize_t size, const char* start) except -1
    cdef int _row_fail(self, int code, Row* row, int field) except -1
    cdef int _cell(self, Row* row, int field, const char** out, Py_ssize_t* size) except -1
    cdef int _cell_number(self, Row* row, int field, int64_t* out) except -1
    cdef int _cell_time(self, Row* row, int field, int64_t* out_ns) except -1
    cdef int _cell_steps(self, Row* row, int field, tg_grid grid, int64_t* out) except -1
    cdef bint _says(self, Row* row, int field, const char* word, Py_ssize_t size) except -1
    cdef int _order(self, tg_cur* c, Frame* f, Sink sink, const char* start) except -1
    cdef int _order_head(self, Row* row, Report* report) except -1
    cdef int _order_leg(self, Row* row, Report* report) except -1
    cdef int _order_terms(self, Row* row, Report* report) except -1
    cdef int _venue_id(self, Row* row, int field, bint is_needed, Report* report) except -1
    cdef int _order_fill(self, Row* row, Report fill, Sink sink) except -1
    cdef int _trade_id(self, Row* row, int64_t trade, Report* fill) except -1
    cdef int _order_nature(self, Row* row, Report* fill, Sink sink) except -1
    cdef int _order_fee(self, Row* row, Report* report) except -1
    cdef int _coin_of(self, int instrument, const char* s, Py_ssize_t n) noexcept nogil
    cdef int _order_amend(self, Row* row, Report report, Sink sink) except -1
    cdef int _order_state(self, Row* row, Report* report, Sink sink) except -1
    cdef int _order_ended(self, Row* row, Report* report) except -1
    cdef int _algo_state(self, Row* row, Report* report, Sink sink) except -1
    cdef int _push(self, const Report* report, Sink sink) except -1

    cdef int _answer(self, Frame* f, Sink sink, const char* start) except -1
    cdef int _whole(self, Frame* f, Sink sink) except -1
    cdef Batch* _batch(self, Frame* f) noexcept nogil
    cdef int _answers(self, tg_cur* c, Frame* f, Sink sink, const char* start) except -1
    cdef int _answer_row(self, tg_cur* c, Frame* f, Sink sink, const char* start) except -1
    cdef int _verdict(self, Frame* f, int64_t code, bint is_item, Report* report, Sink sink) except -1

    cdef Py_ssize_t _single(self, const Intent* intent, uint64_t order_id, char* out, int64_t now_ns) except -1
    cdef Py_ssize_t _many(self, Intent* intents, uint64_t* ids, int count, char* out, int64_t now_ns) except -1
    cdef char* _put_request(self, const Intent* intent, uint64_t order_id, char* p) except NULL
    cdef char* _put_deadline(self, char* p, int64_t now_ns) except NULL
    cdef char* _put_instrument(self, int instrument, char* p) except NULL
    cdef char* _put_mode(self, Instrument* row, char* p) except NULL
    cdef char* _item(self, const Intent* intent, const char* request, char* p) except NULL
    cdef char* _new(self, const Intent* intent, const char* client_id, char* p) except NULL
    cdef char* _put_leg(self, const Intent* intent, char* p) noexcept nogil
    cdef char* _terms(self, const Intent* intent, Instrument* row, char* p) except NULL
    cdef char* _stop(self, const Intent* intent, const char* request, char* p, int64_t now_ns) except NULL

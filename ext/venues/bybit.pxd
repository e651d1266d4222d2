"""Bybit v5, spot and linear: bytes to records and back."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from ext.records cimport Approved, Budget, DepthHead, Intent, Mark, Report, Trade
from ext.text cimport tg_cur, tg_grid
from ext.wire cimport BATCH_MAX, REQUEST_SIZE, Sink, Wire

cdef extern from "venues/bybit.h":
    ctypedef struct tg_walk:
        int state
        const char* key
        Py_ssize_t size
        const char* value
        const char* why

cdef enum:
    REPORTS_MAX = 1024    # order events in one frame; a cancel-all ends at most 500 orders
    BATCHES_KEPT = 64     # requests whose orders are remembered: more are never unanswered at a time
    FRAME_MAX = 640       # an order frame is never longer: 43 bytes of symbol and three numbers of 40 included

cdef enum:
    # What a frame is about, as its topic or op says.
    UNNAMED = 0           # neither was seen yet
    OTHER = 1             # not for this decoder
    DEPTH = 2
    TRADES = 3
    TICKER = 4
    ORDERS = 5
    EXECUTIONS = 6
    REPLY = 7

cdef enum:
    # Members of a row of the private topics that are read.
    AT_SYMBOL = 0
    AT_CATEGORY = 1
    AT_SIDE = 2
    AT_ORDER_ID = 3
    AT_LINK_ID = 4
    AT_STATUS = 5
    AT_FILLED = 6
    AT_UPDATED = 7
    AT_EXEC_TYPE = 8
    AT_EXEC_PRICE = 9
    AT_EXEC_QTY = 10
    AT_EXEC_ID = 11
    AT_EXEC_FEE = 12
    AT_FEE_COIN = 13
    AT_EXEC_TIME = 14
    AT_MAKER = 15
    AT_PRICE = 16
    AT_QTY = 17
    AT_TYPE = 18
    AT_UNIT = 19
    AT_CANCEL = 20
    AT_REASON = 21
    AT_CREATE = 22
    AT_LEG = 23
    AT_CLOSED = 24
    PLACES = 25

ctypedef struct Span:
    # A value's text: between the quotes of a string, all of any other scalar. NULL = no such member.
    const char* p
    Py_ssize_t size

ctypedef struct Item:
    # What a batch reply says of one order.
    Span order_id
    Span link_id
    int64_t code
    const char* words     # where its `msg` stands

ctypedef struct Reply:
    # What an answer of the trade connection says besides its `data`.
    Span op
    Span request
    Item whole            # what is said of a single order, or of a batch as a whole
    const char* more      # where `retExtInfo` stands
    int action            # records.Action
    int is_batch
    int has_code
    int items             # orders in `data.list` and codes in `retExtInfo.list` of a batch, -1 = no such list
    int codes
    int64_t timenow       # ms, -1 = absent
    uint64_t request_id   # the order in a request id of ours, and its epoch
    uint64_t request_epoch
    int64_t limit         # requests a second, how many are left, when they come back (ms); -1 = not said
    int64_t left
    int64_t reset

ctypedef struct Frame:
    # What one message says, gathered before anything is pushed. Members may come in any order.
    int kind              # UNNAMED to REPLY
    int instrument
    int depth
    int read              # 1 = `data` was read on the way
    int is_fast           # execution.fast
    int count             # trades or reports read
    int rows              # rows of a private topic
    Span symbol           # out of the topic
    Span type
    Span topic
    Span category         # of a private topic
    const char* data      # where `data` stands; NULL = not seen
    void* sink            # to be asked for copies, else NULL
    Reply* reply          # NULL until a member of a reply was seen: market data does not pay for it
    int64_t ts            # ms, -1 = absent; likewise below
    int64_t cts
    int64_t created
    int64_t update_id
    int64_t bids          # levels read, -1 = no such side
    int64_t asks
    Mark mark

ctypedef struct Sent:
    # The orders of one batch request: where it is refused as a whole, the answer names none of them.
    char request[REQUEST_SIZE]
    int count
    uint64_t ids[BATCH_MAX]
    uint64_t epochs[BATCH_MAX]


cdef class BybitWire(Wire):
    cdef Report* reports
    cdef Reply reply
    cdef Item* items
    cdef Intent* wants        # of the batch being written, and the order ids given to them
    cdef uint64_t ids[BATCH_MAX]
    cdef Sent* sent           # the last batches, by request number
    cdef int stp_mode

    cdef int _walked(self, int state, const char* why, const char* name, tg_cur* c, const char* start) except -1
    cdef int _envelope(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _member(self, tg_cur* c, Frame* f, const char* key, Py_ssize_t size, const char* start) except -1
    cdef int _begin_reply(self, Frame* f) noexcept nogil
    cdef int _reply_member(self, tg_cur* c, Frame* f, const char* key, Py_ssize_t size, const char* start) except -1
    cdef int _code(self, tg_cur* c, int64_t* out, const char* name, const char* start) except -1
    cdef int _op(self, Frame* f) except -1
    cdef int _letter(self, Frame* f) except -1
    cdef int _topic(self, Frame* f) except -1
    cdef int _private_topic(self, Frame* f) except -1
    cdef int _book_topic(self, Frame* f) except -1
    cdef int _string(self, tg_cur* c, Span* out, const char* name, const char* start) except -1
    cdef int _value(self, tg_cur* c, Span* out, const char* name, const char* start) except -1
    cdef int _millis(self, tg_cur* c, int64_t* out, const char* name, const char* start) except -1
    cdef int _data(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _push(self, Frame* f, Sink sink, tg_cur* c, const char* start) except -1

    cdef int _depth(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _side(self, tg_cur* c, Frame* f, bint is_bid, const char* start) except -1
    cdef bint _is_copy(self, tg_cur* c, Frame* f) except -1
    cdef int _depth_head(self, Frame* f, DepthHead* head, bint is_delta) noexcept nogil
    cdef int _push_depth(self, Frame* f, Sink sink, tg_cur* c, const char* start) except -1
    cdef int _trades(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _trade(self, tg_cur* c, Frame* f, Trade* trade, const char* start) except -1
    cdef int _trade_member(self, tg_cur* c, Frame* f, Trade* trade, char key, const char* start) except -1
    cdef int _same_symbol(self, tg_cur* c, Frame* f, const char* name, const char* start) except -1
    cdef int _ticker(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _ticker_member(self, tg_cur* c, Frame* f, const char* key, Py_ssize_t size, const char* start) except -1
    cdef int _ticker_value(self, tg_cur* c, Frame* f, int field, int64_t* out, const char* name,
                           const char* start) except -1

    cdef int _rows(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _row(self, tg_cur* c, Span* row, const char* start) except -1
    cdef int _row_instrument(self, Frame* f, Span* row) except -2
    cdef int _order(self, Frame* f, Span* row, int instrument, tg_cur* c, const char* start) except -1
    cdef int _execution(self, Frame* f, Span* row, int instrument, tg_cur* c, const char* start) except -1
    cdef int _closed(self, Span* row, Report* report, int status) noexcept nogil
    cdef int _wish(self, Span* row, Report* report, tg_cur* c, const char* start) except -1
    cdef int _needs(self, Span* row, int place, bint is_text, tg_cur* c, const char* start) except -1
    cdef int _fee(self, Span* row, Report* report, tg_cur* c, const char* start) except -1
    cdef int _fill(self, Frame* f, Span* row, Report* report, tg_cur* c, const char* start) except -1
    cdef int _leg(self, Span* row, Report* report, tg_cur* c, const char* start) except -1
    cdef int _closed_leg(self, Span* row, Report* report, tg_cur* c, const char* start) except -1
    cdef int _about(self, Span* row, Report* report, int instrument, tg_cur* c, const char* start) except -1
    cdef int _venue_id(self, Span* text, Report* report, tg_cur* c, const char* start) except -1
    cdef int _span_time(self, Span* span, int64_t fallback_ms, int64_t* out_ns, const char* name, tg_cur* c,
                        const char* start) except -1
    cdef int _span_steps(self, Span* span, const tg_grid* grid, int64_t* out, const char* name, tg_cur* c,
                         const char* start) except -1

    cdef int _answer(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _ids(self, tg_cur* c, tg_walk* w, Span* order_id, Span* link_id, const char* start) except -1
    cdef int _items(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _codes(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _code_list(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _header(self, tg_cur* c, Frame* f, const char* start) except -1
    cdef int _count(self, tg_cur* c, int64_t* out) noexcept nogil
    cdef int _push_reply(self, Frame* f, Sink sink, tg_cur* c, const char* start) except -1
    cdef int _said(self, Frame* f, int number, Item* item, tg_cur* c, const char* start) except -1
    cdef int _said_of_all(self, Frame* f, tg_cur* c, const char* start) except -1
    cdef int _answered(self, int action, int outcome) noexcept nogil
    cdef int _push_budget(self, Frame* f, Sink sink) except -1
    cdef int _push_reports(self, Frame* f, Sink sink) except -1

    cdef Py_ssize_t _frame(self, const Intent* intent, uint64_t order_id, char* out, Py_ssize_t cap,
                           int64_t now_ns) except -1
    cdef uint64_t _about_order(self, const Intent* intent, uint64_t order_id) noexcept nogil
    cdef int _check(self, const Intent* intent, uint64_t order_id, int64_t now_ns) except -1
    cdef char* _head(self, char* out, char letter, uint64_t order_id, uint64_t epoch, int64_t now_ns) noexcept nogil
    cdef char* _body(self, char* at, const Intent* intent, uint64_t order_id, const char* client_id) noexcept nogil
    cdef char* _new(self, char* at, const Intent* intent) noexcept nogil
    cdef char* _trigger(self, char* at, const Intent* intent) noexcept nogil
    cdef char* _amend(self, char* at, const Intent* intent) noexcept nogil
    cdef Py_ssize_t _batch(self, int count, char* out, Py_ssize_t cap, int64_t now_ns) except -1
    cdef int _remember(self, int count, const char* request) noexcept nogil
    cdef int _check_batched(self, const Intent* first, const Intent* intent, uint64_t order_id,
                            int64_t now_ns) except -1

"""Binance, spot and USD-M: bytes to records and back."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint64_t

from ext.records cimport Approved, Intent, Report
from ext.text cimport tg_cur, tg_grid
from ext.wire cimport Sink, Wire

cdef enum Keys:
    # Bits of Fields.named: members that may come once.
    KEY_STREAM = 1
    KEY_BODY = 2              # "data", "result" or "event"
    KEY_PU = 4
    KEY_LAST_UPDATE_ID = 8
    KEY_ID = 16
    KEY_STATUS = 32
    KEY_ERROR = 64
    KEY_RESULT_STATUS = 128
    KEY_RESULT_SYMBOL = 256
    KEY_RESULT_ORDER = 512
    KEY_RESULT_EXECUTED = 1024
    KEY_RESULT_TIME = 2048

cdef enum Body:
    # What the members being read belong to.
    BODY_NONE = 0             # the frame itself
    BODY_DATA = 1             # "data" of a combined stream, or "event" of a WS API user stream
    BODY_RESULT = 2           # "result" of a WS API reply

ctypedef struct Fields:
    # Where the members of one message stand. One-letter keys go by their letter, the rest by name.
    uint64_t seen[2]          # bit per ASCII letter key
    uint64_t read[2]          # the same, where the value was a plain integer: it is in `value`
    const char* at[128]       # start of that member's value
    int64_t value[128]
    int named                 # Keys seen
    int body                  # Body being read
    int coin_margined         # "st" is 2: a row of the other product family in an all-market stream
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
    const char* request       # text id of a WS API reply, or NULL
    Py_ssize_t request_size
    uint64_t epoch            # in that id, where it is ours
    int64_t status            # of a WS API reply, -1 = none
    int64_t code              # of its error, 0 = none
    const char* message
    Py_ssize_t message_size
    const char* state         # "status" inside "result", or NULL
    Py_ssize_t state_size
    const char* venue_id      # "orderId" inside "result": digits, or NULL
    Py_ssize_t venue_id_size
    const char* executed_at   # where the value of "executedQty" inside "result" stands, or NULL
    int64_t result_time       # "transactTime" or "updateTime" inside "result", 0 = none


@cython.final
cdef class BinanceWire(Wire):
    cdef public int partial_depth   # raw (not combined) connection of a partial depth stream: its depth, else 0

    # reading the object
    cdef int _object(self, tg_cur* c, Fields* f, const char* start) except -1
    cdef int _member(self, tg_cur* c, Fields* f, const char* key, Py_ssize_t size, const char* start) except -1
    cdef int _letter(self, tg_cur* c, Fields* f, int letter, const char* start) except -1
    cdef int _word(self, tg_cur* c, Fields* f, const char* key, Py_ssize_t size, const char* start) except -1
    cdef int _frame_word(self, tg_cur* c, Fields* f, const char* key, Py_ssize_t size, const char* start) except -1
    cdef int _result_word(self, tg_cur* c, Fields* f, const char* key, Py_ssize_t size, const char* start) except -1
    cdef int _error(self, tg_cur* c, Fields* f, const char* start) except -1
    cdef int _once(self, tg_cur* c, Fields* f, int key, const char* start) except -1
    cdef int _skip(self, tg_cur* c, const char* start) except -1
    cdef int _number(self, tg_cur* c, int64_t* out, const char* name, const char* start) except -1
    cdef int _text(self, tg_cur* c, const char** text, Py_ssize_t* size, const char* name, const char* start) except -1
    cdef int _digits(self, tg_cur* c, const char** text, Py_ssize_t* size, const char* name, const char* start) except -1
    cdef int _side(self, tg_cur* c, Fields* f, bint is_bid, const char* start) except -1
    cdef int _sides(self, Fields* f, const char* start, const char* end) except -1

    # values of noted members
    cdef int _int_at(self, Fields* f, char key, int64_t* out, const char* name, const char* start,
                     const char* end) except -1
    cdef int _id_at(self, Fields* f, char key, int64_t* out, const char* name, const char* start,
                    const char* end) except -1
    cdef int _time_at(self, Fields* f, char key, int64_t* out_ns, const char* name, const char* start,
                      const char* end) except -1
    cdef int _decimal_at(self, Fields* f, char key, const tg_grid* grid, int64_t* out, const char* name,
                         const char* start, const char* end) except -1
    cdef int _price_at(self, Fields* f, char key, int64_t* out, const char* name, const char* start,
                       const char* end) except -1
    cdef int _size_at(self, Fields* f, char key, int64_t* out, const char* name, const char* start,
                      const char* end) except -1
    cdef int _text_at(self, Fields* f, char key, const char** text, Py_ssize_t* size, const char* name,
                      const char* start, const char* end) except -1
    cdef int _flag_at(self, Fields* f, char key, bint* out, const char* name, const char* start,
                      const char* end) except -1
    cdef int _bad(self, int code, const char* field, const char* at, const char* start) except -1

    # market data records
    cdef int _dispatch(self, int context, Fields* f, Sink sink, const char* start, const char* end) except -1
    cdef int _event(self, Fields* f, Sink sink, const char* start, const char* end) except -1
    cdef int _depth(self, Fields* f, Sink sink, const char* start, const char* end) except -1
    cdef int _partial(self, Fields* f) except -2
    cdef int _snapshot(self, int context, Fields* f, Sink sink, const char* start, const char* end) except -1
    cdef int _stream_symbol(self, Fields* f) except -2
    cdef int _trade(self, Fields* f, Sink sink, bint aggregate, const char* start, const char* end) except -1
    cdef int _quote(self, Fields* f, Sink sink, const char* start, const char* end) except -1
    cdef int _mark(self, Fields* f, Sink sink, const char* start, const char* end) except -1

    # order entry and user data
    cdef int _reply(self, Fields* f, uint64_t order_id, char action, Sink sink, const char* start,
                    const char* end) except -1
    cdef int _place_reply(self, Fields* f, Report* report, Sink sink) except -1
    cdef int _cancel_reply(self, Fields* f, Report* report, Sink sink) except -1
    cdef int _order_update(self, Fields* f, Sink sink, const char* start, const char* end) except -1
    cdef int _execution(self, Fields* f, Sink sink, const char* start, const char* end) except -1
    cdef int _trade_lite(self, Fields* f, Sink sink, const char* start, const char* end) except -1
    cdef int _order_head(self, Fields* f, Report* report, const char* start, const char* end) except -1
    cdef int _fee(self, Fields* f, Report* report, const char* start, const char* end) except -1

    # writing
    cdef Py_ssize_t _new(self, const Intent* intent, uint64_t order_id, int64_t now_ns, char* out) except -1
    cdef Py_ssize_t _cancel(self, const Intent* intent, int64_t now_ns, char* out) except -1
    cdef Py_ssize_t _write(self, const Intent* intent, uint64_t order_id, int64_t now_ns, char* out,
                           Py_ssize_t cap) except -1


cdef int outcome(int market, int64_t status, int64_t code, const char* message, Py_ssize_t size) noexcept nogil

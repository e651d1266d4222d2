"""Binance, spot and USD-M: bytes to records and back."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint64_t

from ext.records cimport Approved, Budget, DepthHead, Intent, Report
from ext.text cimport tg_cur, tg_grid
from ext.wire cimport Sink, Wire

cdef extern from "sha256.h":
    ctypedef struct tg_hmac:
        pass
    void tg_hmac_key(tg_hmac* h, const unsigned char* key, size_t size) noexcept nogil
    void tg_hmac_sign(const tg_hmac* h, const unsigned char* text, size_t size, unsigned char* out) noexcept nogil

cdef enum Keys:
    # Bits of Fields.named: members that may come once.
    KEY_STREAM = 1
    KEY_BODY = 2              # "data", "result" or "event"
    KEY_PU = 4
    KEY_LAST_UPDATE_ID = 8
    KEY_ID = 16
    KEY_STATUS = 32
    KEY_ERROR = 64
    KEY_RATES = 128
    KEY_LEG = 256

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
    const char* leg           # "ps", or NULL
    Py_ssize_t leg_size
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
    uint64_t old_id           # the order that a replace replaces
    uint64_t old_epoch
    int64_t status            # of a WS API reply, -1 = none
    int64_t code              # of its error, 0 = none
    const char* message
    Py_ssize_t message_size
    const char* result_at     # where "result", "data" inside "error" and "rateLimits" stand, or NULL
    const char* data_at
    const char* rates_at
    void* sink                # to be asked for copies, else NULL

cdef enum Did:
    # What an execution type says has happened.
    DID_CHANGE = 0
    DID_TRADE = 1
    DID_CALCULATE = 2         # liquidation, auto-deleveraging
    DID_AMEND = 3
    DID_ODD = 4

cdef enum Member:
    # Bits of Answer.seen.
    HAS_ANY = 1
    HAS_STATUS = 2
    HAS_SYMBOL = 4
    HAS_ORDER = 8
    HAS_ALGO = 16
    HAS_TIME = 32
    HAS_PRICE = 64
    HAS_SIZE = 128
    HAS_FILLED = 256
    HAS_CODE = 512
    HAS_MESSAGE = 1024
    HAS_AMENDED = 2048
    HAS_UPDATE = 4096
    HAS_CLIENT = 8192         # the rest: ALGO_UPDATE only
    HAS_MADE = 16384
    HAS_SIDE = 32768
    HAS_LEG = 65536           # answers and ALGO_UPDATE

ctypedef struct Answer:
    # An order as an answer shows it, or the error in its place. All zero: nothing is said.
    int seen                  # Members
    const char* symbol
    Py_ssize_t symbol_size
    const char* venue_id      # digits
    Py_ssize_t venue_id_size
    const char* state
    Py_ssize_t state_size
    const char* message
    Py_ssize_t message_size
    const char* leg           # position side, NULL = not said
    Py_ssize_t leg_size
    const char* price_at      # where these values stand
    const char* size_at
    const char* filled_at
    int64_t time
    int64_t code

ctypedef struct Algo:
    # The `o` of ALGO_UPDATE: a conditional order.
    Answer order
    const char* client        # its client id
    Py_ssize_t client_size
    const char* made          # the order that it made when it was triggered: digits, or empty
    Py_ssize_t made_size
    const char* side
    Py_ssize_t side_size

ctypedef struct Legs:
    # The two legs of a replace: 0 the cancel, 1 the new order.
    const char* result[2]
    Py_ssize_t result_size[2]
    Answer answer[2]
    int64_t retry_after       # ms, 0 = not said

cdef enum:
    REPORTS_MAX = 4
    BUDGETS_MAX = 8

ctypedef struct Said:
    # All that one answer says, ready to be pushed.
    int reports
    int budgets
    Report report[REPORTS_MAX]
    Budget budget[BUDGETS_MAX]


@cython.final
cdef class BinanceWire(Wire):
    cdef public int partial_depth   # raw (not combined) connection of a partial depth stream: its depth, else 0
    cdef char stp_mode[16]
    cdef int stp_size
    cdef tg_hmac secret             # signs order frames; `key_size` 0 = no signature
    cdef char api_key[128]
    cdef int key_size

    # reading the object
    cdef int _object(self, tg_cur* c, Fields* f, const char* start) except -1
    cdef int _member(self, tg_cur* c, Fields* f, const char* key, Py_ssize_t size, const char* start) except -1
    cdef int _letter(self, tg_cur* c, Fields* f, int letter, const char* start) except -1
    cdef int _word(self, tg_cur* c, Fields* f, const char* key, Py_ssize_t size, const char* start) except -1
    cdef int _frame_word(self, tg_cur* c, Fields* f, const char* key, Py_ssize_t size, const char* start) except -1
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
    cdef bint _is_copy(self, tg_cur* c, Fields* f, const char* start) except -1
    cdef int _depth_head(self, Fields* f, DepthHead* head, const char* start, const char* end) except -1
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
    cdef int _order_reply(self, Fields* f, uint64_t order_id, char action, Said* said, const char* start,
                          const char* end) except -1
    cdef int _replace_reply(self, Fields* f, uint64_t order_id, Said* said, const char* start, const char* end) except -1
    cdef int _leg(self, Fields* f, Legs* legs, int i, int action, Report* report) noexcept nogil
    cdef int _judge(self, int action, int64_t status, int64_t code, const char* text, Py_ssize_t size,
                    int32_t* group) noexcept nogil
    cdef int _answer_at(self, const char* at, Answer* a, const char* start, const char* end) except -1
    cdef int _answer(self, tg_cur* c, Answer* a, const char* start) except -1
    cdef int _answer_member(self, tg_cur* c, Answer* a, const char* key, Py_ssize_t size, const char* start) except -1
    cdef int _numbers(self, Answer* a, Report* report, const char* start, const char* end) except -1
    cdef int _own_price(self, Report* report) noexcept nogil
    cdef int _steps(self, const char* at, const tg_grid* grid, int64_t* out, const char* name, const char* start,
                    const char* end) except -1
    cdef int _legs_at(self, const char* at, Legs* legs, const char* start, const char* end) except -1
    cdef int _leg_member(self, tg_cur* c, Legs* legs, const char* key, Py_ssize_t size, const char* start) except -1
    cdef int _wait(self, int64_t code, int64_t until_ms, Said* said, const char* start, const char* end) except -1
    cdef int _rates(self, Fields* f, Said* said, const char* start, const char* end) except -1
    cdef int _rate(self, tg_cur* c, Said* said, const char* start) except -1
    cdef uint64_t _replaced(self, Fields* f) noexcept nogil
    cdef int _order_update(self, Fields* f, Sink sink, const char* start, const char* end) except -1
    cdef int _execution(self, Fields* f, Sink sink, const char* start, const char* end) except -1
    cdef int _fill(self, Fields* f, Report* report, int did, bint* is_fill, const char* start, const char* end) except -1
    cdef int _own_numbers(self, Fields* f, Report* report, const char* start, const char* end) except -1
    cdef int _word_at(self, Fields* f, char key, const char** text, Py_ssize_t* size, const char* name, const char* start,
                      const char* end) except -1
    cdef int _algo_update(self, Fields* f, Sink sink, const char* start, const char* end) except -1
    cdef int _algo_read(self, tg_cur* c, Algo* algo, const char* start) except -1
    cdef int _algo_member(self, tg_cur* c, Algo* algo, const char* key, Py_ssize_t size, const char* start) except -1
    cdef int _algo_ids(self, Algo* algo, Report* report, const char* start, const char* end) except -1
    cdef int _trade_lite(self, Fields* f, Sink sink, const char* start, const char* end) except -1
    cdef int _order_head(self, Fields* f, Report* report, const char* start, const char* end) except -1
    cdef int _fee(self, Fields* f, Report* report, const char* start, const char* end) except -1

    # writing
    cdef Py_ssize_t _write(self, const Intent* intent, uint64_t order_id, int64_t now_ns, char* out,
                           Py_ssize_t cap) except -1
    cdef char* _open(self, char* p, char action, uint64_t order_id, uint64_t epoch, char* client_id) noexcept nogil
    cdef char* _params(self, char* p) noexcept nogil
    cdef char* _key(self, char* p) noexcept nogil
    cdef char* _first(self, char* p) noexcept nogil
    cdef Py_ssize_t _close(self, char* out, char* params, char* p) except -1
    cdef Py_ssize_t _new(self, const Intent* intent, uint64_t order_id, int64_t now_ns, char* out) except -1
    cdef Py_ssize_t _replace(self, const Intent* intent, uint64_t order_id, int64_t now_ns, char* out) except -1
    cdef Py_ssize_t _stop(self, const Intent* intent, uint64_t order_id, int64_t now_ns, char* out) except -1
    cdef Py_ssize_t _cancel(self, const Intent* intent, int64_t now_ns, char* out) except -1
    cdef Py_ssize_t _amend(self, const Intent* intent, int64_t now_ns, char* out) except -1
    cdef char* _order(self, char* p, const Intent* intent, const char* client_id, int64_t now_ns) noexcept nogil
    cdef char* _window(self, char* p) noexcept nogil
    cdef char* _leg_of(self, char* p, const Intent* intent) noexcept nogil
    cdef char* _stp_side(self, char* p, const Intent* intent) noexcept nogil
    cdef char* _stamp(self, char* p, int64_t now_ns) noexcept nogil

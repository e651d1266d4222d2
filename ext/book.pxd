"""Price levels of one instrument: O(1) update, best bid and ask, depth walk, sequence state."""

from libc.stdint cimport int64_t, uint64_t

from ext.records cimport DepthHead, Level, Quote

cpdef enum BookState:
    EMPTY = 0
    BUFFERING = 1   # updates are kept until a snapshot arrives to splice them onto
    SYNCED = 2      # the only state in which the levels may be used
    GAP = 3         # something was missed or is wrong: unusable until resynced

cpdef enum Applied:
    """What a depth message did."""
    IGNORED = 0
    APPLIED = 1
    BUFFERED = 2
    GAPPED = 3      # unusable from now on; a resync is needed
    RESEED = 4      # the snapshot was too old: another is needed

cdef enum:
    FANOUT_BITS = 6
    FANOUT = 64
    HEIGHT = 8                  # 8 * 6 = 48 bits of price
    LEAF_CACHE = 1024
    AHEAD = 8                   # levels
    MID_CACHE = 256
    QUOTES = 1024               # bookTickers remembered for comparison, by update id


ctypedef struct Node:
    uint64_t bits               # which of the 64 below hold something
    void* below[FANOUT]         # children; in a leaf, the sizes (int64) themselves


ctypedef struct Near:
    int64_t tag                 # key of the node without the bits below it, -1 = none
    Node* node


ctypedef struct Ladder:
    # One side. Keys grow away from the market: best is always the smallest key.
    Node* root
    Node* spare                 # freed nodes, all zero but for the link in below[0]
    int64_t best                # smallest key, or -1 where the side is empty
    int64_t count
    int64_t nodes
    Near leaf[LEAF_CACHE]
    Near mid[MID_CACHE]


# Declared here so that it stays out of line: inside the loop that calls it, it would take the registers.
cdef void leaf_drop(Ladder* ladder, int64_t key) noexcept nogil


cdef class Book:
    cdef readonly int instrument
    cdef readonly int state
    cdef readonly bint by_request       # seeded by a request's snapshot (Binance), not by the stream's own
    cdef bint loaded                    # a snapshot is loaded, no update has joined it yet
    cdef bint suspended                 # see suspend()
    cdef bint may_cross                 # an auction, or a halt: crossing orders are legal, and wait to be matched
    cdef bint joining                   # the update being applied stands in the buffer itself
    cdef readonly int64_t last_id
    cdef readonly int64_t changed_ns    # when levels last changed (receive time)
    cdef readonly int64_t updates, levels, gaps, resyncs, crossings, compared, different
    cdef Ladder* bid
    cdef Ladder* ask
    cdef char* buffer
    cdef Py_ssize_t buffer_size, buffer_cap
    cdef int64_t buffered
    cdef Quote* quotes

    cdef int on_depth(self, const DepthHead* head, const Level* bids, const Level* asks, int64_t now_ns) except -1
    cdef int on_quote(self, const Quote* quote) except -1
    cdef int invalidate(self) noexcept nogil
    cdef bint usable(self) noexcept nogil
    cdef bint crossed(self) noexcept nogil
    cdef bint best_bid(self, Level* out) noexcept nogil
    cdef bint best_ask(self, Level* out) noexcept nogil
    cdef int top(self, int side, Level* out, int n) noexcept nogil
    cdef int64_t size_at(self, int side, int64_t price_ticks) noexcept nogil
    cdef int64_t fill(self, int side, int64_t size_lots, int64_t* worst_ticks, int64_t* cost) noexcept nogil
    cdef int64_t depth(self, int side, int64_t limit_ticks) noexcept nogil

    cdef int _update(self, const DepthHead* head, const Level* bids, const Level* asks, int64_t now_ns) except -1
    cdef int _seed(self, const DepthHead* head, const Level* bids, const Level* asks, int64_t now_ns) except -1
    cdef int _replace(self, const DepthHead* head, const Level* bids, const Level* asks, int64_t now_ns) except -1
    cdef int _join(self, int64_t now_ns) except -1
    cdef int _apply(self, const DepthHead* head, const Level* bids, const Level* asks, int64_t now_ns) except -1
    cdef int _levels(self, const DepthHead* head, const Level* bids, const Level* asks) except -1
    cdef int _resume(self, int place) except -1
    cdef int _gap(self) noexcept nogil
    cdef int _keep(self, const DepthHead* head, const Level* bids, const Level* asks) except -1
    cdef int _compare(self, const Quote* quote) noexcept nogil

"""The node's own idea of a price: several sources, and where it was a while ago."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from ext.instruments cimport Instruments
from ext.records cimport Mark

cdef enum:
    PEERS_MAX = 6            # other instruments of the same coin
    OTHERS_MAX = 8           # peers, mark, index
    RING = 256               # buckets of a window, at most: a power of two
    WALK = 128               # likewise: 32 to 64 buckets

ctypedef struct Factor:
    # (x * mul) >> shift: another grid's prices in half ticks of this one, rounded down.
    uint64_t mul             # 0 = does not fit: no source
    int32_t shift
    int32_t pad

ctypedef struct Extreme:
    int64_t bucket
    int64_t mid2

ctypedef struct Extremes:
    # The largest (sign 1) or smallest (-1) mid within a window: a queue in which each is less extreme than the one before it.
    Extreme ring[RING]
    int64_t first            # of the queue; its last is `next` - 1
    int64_t next
    int64_t window_ns        # 0 = not asked for
    int32_t shift            # a bucket is 2 ** shift ns: 64 to 128 of them in the window
    int32_t sign

ctypedef struct Span:
    # High and low of the mid within a window.
    Extremes high
    Extremes low

ctypedef struct Walk:
    # One reference for each bucket of time, the last of them as old as `walk_ns` or older.
    Extreme ring[WALK]
    int64_t first
    int64_t next
    int64_t window_ns        # 0 = not asked for
    int32_t shift

ctypedef struct Source:
    # Of one instrument. Prices are in half ticks (twice a price, so that every mid is whole), times those of our clock.
    int64_t own2             # mid of its own book, 0 = never
    int64_t own_ns
    int64_t mark2            # the venue's mark and index price
    int64_t mark_ns
    int64_t index2
    int64_t index_ns
    int64_t others[OTHERS_MAX]   # every fresh source but its own book, sorted
    int64_t until_ns         # these hold until one of them is too old
    int32_t count
    int32_t stale            # a source changed since
    int32_t peer_count
    int32_t peers[PEERS_MAX]
    Factor of_peer[PEERS_MAX]
    Factor of_e8             # of 1e-8 of the quote coin
    int64_t walk2            # the reference `walk_ns` ago, or the oldest there is; 0 = never
    int64_t high2            # of the mid within `range_ns`, as of the last book event
    int64_t low2
    int64_t jump2            # furthest move of the mid within `jump_ns`, half ticks
    int64_t jump_mid2        # the mid when it was measured
    int64_t jumped_ns        # when it was last further than `jump_ppm`; NEVER where it was not
    int64_t jumped_by2       # how far that was, and from which mid
    int64_t jumped_from2
    int64_t jump_ppm         # -1 = not asked for
    int32_t jumping          # it was at the last book event
    Span* range
    Span* jump
    Walk* walk


cdef class Reference:
    cdef readonly Instruments instruments
    cdef Source* rows
    cdef readonly int64_t fresh_ns       # a source that is older counts no more

    cdef int on_book(self, int instrument, int64_t bid_ticks, int64_t ask_ticks, int64_t now_ns) noexcept nogil
    cdef int on_mark(self, const Mark* mark, int64_t now_ns) noexcept nogil
    cdef int64_t mid2(self, int instrument, int64_t now_ns) noexcept nogil
    cdef int around(self, int instrument, int64_t own2, int64_t now_ns, int64_t* low2, int64_t* high2) noexcept nogil
    cdef int _gather(self, Source* row, int64_t now_ns) noexcept nogil
    cdef int _move(self, Source* row, int64_t mid2, int64_t last2, int64_t now_ns) noexcept nogil
    cdef int _step(self, int instrument, Source* row, int64_t now_ns) noexcept nogil

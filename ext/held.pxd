"""Depth messages that wait behind a hole, kept whole: bounded, in order of arrival."""

from libc.stdint cimport int64_t

from ext.records cimport DepthHead, Level

cdef enum:
    HELD_MAX = 1024                  # messages of one instrument
    HELD_BYTES = 8 << 20             # ... and their size


ctypedef struct Held:
    # One message. Its levels follow it in memory: bids, then asks.
    Held* after
    int64_t epoch                    # numbering that it belongs to, see ext/arbiter
    int64_t since_ns                 # when it came
    int line
    bint loose                       # the numbering is a guess: only an exact link counts
    DepthHead head


ctypedef struct Waiting:
    Held* first
    Held* last
    int64_t count
    int64_t size                     # bytes


cdef inline const Level* held_bids(const Held* row) noexcept nogil:
    return <const Level*>(row + 1)


cdef inline const Level* held_asks(const Held* row) noexcept nogil:
    return <const Level*>(row + 1) + row.head.bids


cdef Held* held_put(Waiting* room, const DepthHead* head, const Level* bids, const Level* asks) noexcept nogil
cdef void held_unlink(Waiting* room, Held* before, Held* row) noexcept nogil
cdef void held_drop(Waiting* room, Held* before, Held* row) noexcept nogil
cdef void held_clear(Waiting* room) noexcept nogil

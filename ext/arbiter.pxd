"""Merges redundant lines: first contiguous update wins; a line that jumped is held while another may fill the hole."""

from libc.stdint cimport int32_t, int64_t, uint32_t

from ext.records cimport DepthHead

cdef enum:
    LINES_MAX = 32       # market lines have numbers below this

cdef enum:               # what `admit` says of a message
    DROP = 0
    PASS = 1             # give it to the book
    STUCK = 2            # drop it; and the book follows a numbering that no line carries any more

ctypedef struct Feed:
    # One instrument's depth, over all lines that carry it.
    int32_t lead                     # line that fills the buffer while the book is not synced, -1 = none yet
    uint32_t carriers                # bit per line that has carried it since it came up
    uint32_t fresh                   # bit per line: next snapshot is its first since it came up
    int64_t moved_ns                 # when a message was last let through
    int64_t behind_ns                # first message behind the book since then, 0 = none
    int64_t jumped_ns[LINES_MAX]     # when the line first jumped ahead, 0 = in step
    int64_t whole_id[LINES_MAX]      # id of the line's last snapshot
    int64_t last_id[LINES_MAX]       # of the line's own last message, -1 = none since it came up

ctypedef struct LineCount:
    int64_t won                      # messages this line delivered first
    int64_t late                     # copies that another line had delivered
    int64_t held                     # messages held back behind a hole
    int64_t lost                     # holes that no line filled


cdef class Arbiter:
    cdef Feed* feeds
    cdef LineCount* counts
    cdef readonly int instruments
    cdef uint32_t up                  # bit per line
    cdef int64_t hold_ns

    cdef int admit(self, int line, const DepthHead* head, int64_t last_id, bint synced, bint loaded,
                   int64_t now_ns) noexcept nogil
    cdef int _snapshot(self, int line, Feed* feed, const DepthHead* head, int64_t last_id, bint synced,
                       int64_t now_ns) noexcept nogil
    cdef int _jumped(self, int line, Feed* feed, int64_t now_ns) noexcept nogil
    cdef int _pass(self, int line, Feed* feed, int64_t now_ns) noexcept nogil
    cdef int _late(self, int line, Feed* feed, bint synced, int64_t now_ns) noexcept nogil
    cdef bint _alone(self, int line, const Feed* feed) noexcept nogil

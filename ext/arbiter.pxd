"""Merges redundant lines: first contiguous update wins; what is beyond a hole waits while a line may still fill it."""

from libc.stdint cimport int32_t, int64_t, uint32_t

from ext.held cimport Held, Waiting
from ext.records cimport DepthHead, Level

cdef enum:
    LINES_MAX = 32       # market lines have numbers below this
    SEEN_MAX = 64        # messages of an instrument whose first arrival is remembered; a power of two
    LEADS = 40           # buckets of the lead time histogram: bucket n counts leads below 2**n ns

cdef enum:               # what `admit` says of a message
    DROP = 0             # a copy, or nothing that could be used
    PASS = 1             # give it to the book
    STUCK = 2            # drop it; and the book follows a numbering that no line carries any more
    HELD = 3             # kept: it is beyond a hole
    LOST = 4             # kept, and nobody can fill the hole: the book must be told
    SPLICE = 5           # give it to the book as if it continued there: it overlaps what the book has

ctypedef struct Stand:
    # Where a book stands.
    int64_t last_id
    bint synced
    bint loaded          # a request's snapshot is loaded, no update has joined it yet
    bint by_request

ctypedef struct Seen:
    int64_t id
    int64_t now_ns
    int32_t line

ctypedef struct Feed:
    # One instrument's depth, over all lines that carry it.
    int32_t lead                     # where messages have no ids: the line that is followed, -1 = none yet
    uint32_t carriers                # bit per line that has carried it since it came up
    uint32_t expected                # bit per line that is subscribed to it, or ever carried it
    uint32_t fresh                   # bit per line: next snapshot is its first since it came up
    uint32_t loose                   # bit per line: nothing has shown yet which numbering it is in
    int32_t filler                   # line that brought what stood behind the hole, -1 = none
    int64_t epoch                    # numberings that the book has followed: one more at each restart of them
    int64_t reset_id                 # id that began this numbering, and what was before it
    int64_t reset_prev
    int64_t ended_id                 # where the numbering before it had come to, -1 = there was none
    int64_t buffered_id              # last message given to a book that waits for its snapshot, -1 = none
    int64_t moved_ns                 # when a message was last let through
    int64_t behind_ns                # first message behind the book since then, 0 = none
    int64_t hole_ns                  # since when messages wait behind a hole, 0 = no hole
    Waiting waiting
    int64_t last_id[LINES_MAX]       # of the line's own last message, -1 = none since it came up
    int64_t line_epoch[LINES_MAX]    # numbering that the line is in
    Seen seen[SEEN_MAX]

ctypedef struct LineCount:
    int64_t won                      # messages this line delivered first
    int64_t late                     # copies that another line had delivered
    int64_t held                     # messages that waited behind a hole
    int64_t healed                   # holes of other lines that this one filled: resyncs avoided
    int64_t lost                     # holes that no line filled
    int64_t spilled                  # messages that could not wait: too many did
    int64_t leads[LEADS]             # by how much it was first


cdef class Arbiter:
    cdef Feed* feeds
    cdef LineCount* counts
    cdef readonly int instruments
    cdef uint32_t up                  # bit per line
    cdef readonly int holes           # instruments that have a hole now
    cdef readonly int64_t hold_ns

    cdef int admit(self, int line, const DepthHead* head, const Level* bids, const Level* asks, const Stand* stand,
                   int64_t now_ns) noexcept nogil
    cdef bint is_copy(self, int line, const DepthHead* head, const Stand* stand, int64_t now_ns) noexcept nogil
    cdef void passed(self, int line, const DepthHead* head, const Stand* after, int64_t came_ns,
                     int64_t now_ns) noexcept nogil
    cdef bint waits(self, int instrument) noexcept nogil
    cdef Held* next_held(self, int instrument, const Stand* stand, int64_t now_ns) noexcept nogil
    cdef bint is_overdue(self, int instrument, const Stand* stand, int64_t now_ns) noexcept nogil
    cdef Held* give_up(self, int instrument, bint take) noexcept nogil

    cdef int _update(self, int line, Feed* feed, const DepthHead* head, const Level* bids, const Level* asks,
                     const Stand* stand, int64_t before, int64_t now_ns) noexcept nogil
    cdef int _unplaced(self, int line, Feed* feed, const DepthHead* head, const Level* bids, const Level* asks,
                       const Stand* stand, int64_t before, int64_t now_ns) noexcept nogil
    cdef void _number(self, int line, Feed* feed, const DepthHead* head, int64_t at, int64_t before) noexcept nogil
    cdef int _snapshot(self, int line, Feed* feed, const DepthHead* head, const Stand* stand, int64_t before,
                       int64_t now_ns) noexcept nogil
    cdef void _place(self, int line, Feed* feed) noexcept nogil
    cdef void _restart(self, int line, Feed* feed, const DepthHead* head, int64_t ended_id) noexcept nogil
    cdef bint _is_past(self, const Feed* feed, const DepthHead* head, const Stand* stand) noexcept nogil
    cdef void _anew(self, int line, Feed* feed, int rule) noexcept nogil
    cdef int _unnumbered(self, int line, Feed* feed) noexcept nogil
    cdef int _late(self, int line, Feed* feed, const DepthHead* head, const Stand* stand, int64_t now_ns) noexcept nogil
    cdef int _wait(self, int line, Feed* feed, const DepthHead* head, const Level* bids, const Level* asks,
                   const Stand* stand, int64_t epoch, int64_t now_ns) noexcept nogil
    cdef bint _may_fill(self, const Feed* feed, int64_t at, int64_t now_ns) noexcept nogil
    cdef bint _follows(self, const Feed* feed) noexcept nogil
    cdef bint _alone(self, int line, const Feed* feed) noexcept nogil
    cdef bint _is_seen(self, const Feed* feed, int64_t last_id) noexcept nogil
    cdef void _measure(self, Feed* feed, const Stand* stand, int64_t now_ns) noexcept nogil

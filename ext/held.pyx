"""Depth messages that wait behind a hole, kept whole: bounded, in order of arrival.

Memory is taken for each message: holes are rare, and what waits is seldom more than a few messages.
"""

from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from ext.records cimport DepthHead, Level


cdef Held* held_put(Waiting* room, const DepthHead* head, const Level* bids, const Level* asks) noexcept nogil:
    """A copy at the end of the room, or NULL where that is full or there is no memory. The caller names epoch, line, time."""
    cdef Py_ssize_t size = sizeof(Held) + (head.bids + head.asks) * sizeof(Level)
    cdef Held* row
    if room.count >= HELD_MAX or room.size + size > HELD_BYTES:
        return NULL
    row = <Held*>malloc(size)
    if row == NULL:
        return NULL
    memset(row, 0, sizeof(Held))
    row.head = head[0]
    memcpy(<void*>held_bids(row), bids, head.bids * sizeof(Level))
    memcpy(<void*>held_asks(row), asks, head.asks * sizeof(Level))
    if room.last == NULL:
        room.first = row
    else:
        room.last.after = row
    room.last = row
    room.count += 1
    room.size += size
    return row


cdef void held_unlink(Waiting* room, Held* before, Held* row) noexcept nogil:
    """Out of the room; `before` is the row in front of it, NULL where it is the first. The caller frees it."""
    if before == NULL:
        room.first = row.after
    else:
        before.after = row.after
    if room.last == row:
        room.last = before
    row.after = NULL
    room.count -= 1
    room.size -= sizeof(Held) + (row.head.bids + row.head.asks) * sizeof(Level)


cdef void held_drop(Waiting* room, Held* before, Held* row) noexcept nogil:
    held_unlink(room, before, row)
    free(row)


cdef void held_clear(Waiting* room) noexcept nogil:
    while room.first != NULL:
        held_drop(room, NULL, room.first)


cdef class Room:
    """A room for tests: messages as (id, bids, asks) with levels as (price_ticks, size_lots)."""
    cdef Waiting waiting

    def __dealloc__(self):
        held_clear(&self.waiting)

    def put(self, int64_t last_id, list bids, list asks) -> bool:
        """False where it does not fit."""
        cdef DepthHead head
        cdef Level* levels = <Level*>calloc(len(bids) + len(asks) + 1, sizeof(Level))
        cdef int i
        if levels == NULL:
            raise MemoryError()
        memset(&head, 0, sizeof(head))
        head.last_id, head.bids, head.asks = last_id, len(bids), len(asks)
        for i, (price, size) in enumerate(bids + asks):
            levels[i].price_ticks, levels[i].size_lots = price, size
        try:
            return held_put(&self.waiting, &head, levels, levels + head.bids) != NULL
        finally:
            free(levels)

    def drop(self, int64_t last_id):
        """The first message with this id."""
        cdef Held* before = NULL
        cdef Held* row = self.waiting.first
        while row != NULL and row.head.last_id != last_id:
            before, row = row, row.after
        if row == NULL:
            raise KeyError(last_id)
        held_drop(&self.waiting, before, row)

    def rows(self) -> list:
        """What waits, in order."""
        out = []
        cdef Held* row = self.waiting.first
        cdef int i
        while row != NULL:
            out.append((row.head.last_id,
                        [(held_bids(row)[i].price_ticks, held_bids(row)[i].size_lots) for i in range(row.head.bids)],
                        [(held_asks(row)[i].price_ticks, held_asks(row)[i].size_lots) for i in range(row.head.asks)]))
            row = row.after
        return out

    @property
    def size(self):
        """Messages, bytes."""
        return self.waiting.count, self.waiting.size

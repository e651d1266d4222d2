"""Depth messages that wait behind a hole, kept whole: bounded, in order of arrival.

Memory is taken for each message: holes are rare, and what waits is seldom more than a few messages.
"""

from libc.stdlib cimport free, malloc
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

"""Dials: a page of numbers that expire. One writer process, many readers; stale means neutral."""

from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef enum:
    DIALS_LAYOUT = 1
    DIAL_VALUES = 4     # values in one slot
    TRIES = 16          # reads of a slot that keeps changing, before neutral is taken


cdef struct PageHeader:         # 64 bytes at offset 0
    uint64_t magic              # the bytes TKGDIAL1
    uint32_t layout
    uint32_t slots
    unsigned char definition[32]  # SHA-256 over names, neutrals and bounds
    char unused[16]


cdef struct Slot:               # 64 bytes; slot n at 64 * (n + 1)
    uint64_t version            # odd while being written; 0: never written
    int64_t values[DIAL_VALUES]
    int64_t expires_ns          # on the readers' monotonic scale
    int64_t set_ns
    int64_t unused


cdef struct Bound:
    int64_t neutral
    int64_t low
    int64_t high


cdef class Dials:
    """The reader: every value it gives is inside the bounds it was constructed with, whatever is on the page."""

    cdef Slot* _slots
    cdef Bound* _bounds         # DIAL_VALUES per slot
    cdef Py_ssize_t _size
    cdef int64_t _lease_ns_max
    cdef readonly int slots
    cdef readonly tuple definitions
    cdef readonly int64_t torn      # reads that gave up on a slot being written

    cdef int64_t read(self, int slot, int index, int64_t now_ns) except? -1 nogil
    cdef int read_set(self, int slot, int64_t* out, int64_t now_ns) except -1 nogil
    cdef bint _copy(self, Slot* at, Slot* out) noexcept nogil
    cdef bint _is_current(self, Slot* slot, int64_t now_ns) noexcept nogil
    cpdef tuple values(self, int64_t now_ns)


cdef class DialWriter:
    cdef Slot* _slots
    cdef Py_ssize_t _size
    cdef int _fd                # holds the lock
    cdef readonly int slots
    cdef readonly tuple definitions

    cdef int _store(self, int slot, const int64_t* values, int64_t now_ns, int64_t expires_ns) except -1 nogil
    cdef int _check(self, int slot) except -1

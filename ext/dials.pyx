"""Dials: the one way into the hot process. A page of named numbers, each with a lease.

The writer is not trusted. A reader holds its own copy of every dial's neutral value and hard bounds, clamps on
every read, and takes neutral when a lease has run out, reaches further than `lease_ns_max`, or the slot was
never written or is being written for too long. So the worst a broken writer can do is move a number inside
bounds that were acceptable beforehand. A dial cannot create, price or size an order.

Each slot is a seqlock: the version is odd while values change, and a read counts only if it was even and equal
before and after. This file must not know what any dial means.
"""

import fcntl
import hashlib
import os
from collections import namedtuple

from libc.errno cimport errno
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #define dial_load(p) __atomic_load_n(p, __ATOMIC_RELAXED)
    #define dial_load_acquire(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
    #define dial_store(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)
    #define dial_store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
    #define dial_fence_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
    #define dial_fence_release() __atomic_thread_fence(__ATOMIC_RELEASE)
    #define DIAL_MAGIC 0x314C414944474B54ULL /* the bytes TKGDIAL1 */
    """
    int64_t dial_load(int64_t* p) noexcept nogil
    uint64_t load_version "dial_load"(uint64_t* p) noexcept nogil
    uint64_t load_version_acquire "dial_load_acquire"(uint64_t* p) noexcept nogil
    void dial_store(int64_t* p, int64_t v) noexcept nogil
    void store_version "dial_store"(uint64_t* p, uint64_t v) noexcept nogil
    void store_version_release "dial_store_release"(uint64_t* p, uint64_t v) noexcept nogil
    void dial_fence_acquire() noexcept nogil
    void dial_fence_release() noexcept nogil
    uint64_t DIAL_MAGIC

cdef extern from "<sys/mman.h>" nogil:
    enum: PROT_READ, PROT_WRITE, MAP_SHARED
    void* MAP_FAILED
    void* mmap(void* at, Py_ssize_t size, int prot, int flags, int fd, Py_ssize_t offset)
    int munmap(void* at, Py_ssize_t size)

_Dial = namedtuple("Dial", "name neutral low high")


class DialMismatch(ValueError):
    """The page on disk is not a page of these dials."""


class DialLocked(OSError):
    """Another writer has this page open."""


class Dial(_Dial):
    """Definition of one slot: name, and neutral, low and high as one int or as 1 to 4 ints each (int64).

    Raises ValueError unless low <= neutral <= high for each value.
    """

    __slots__ = ()

    def __new__(cls, name, neutral, low, high):
        neutral, low, high = (tuple(v) if isinstance(v, (tuple, list)) else (v,) for v in (neutral, low, high))
        if not 1 <= len(neutral) <= DIAL_VALUES or not len(neutral) == len(low) == len(high):
            raise ValueError(f"dial {name}: neutral, low and high need the same 1 to {DIAL_VALUES} values")
        for n, lo, hi in zip(neutral, low, high, strict=True):
            if not -(1 << 63) <= lo <= n <= hi < 1 << 63:
                raise ValueError(f"dial {name}: need low <= neutral <= high, got {lo}, {n}, {hi}")
        return super().__new__(cls, name, neutral, low, high)


def definition_hash(dials):
    """SHA-256 over names, neutrals and bounds, in slot order: 32 bytes."""
    return hashlib.sha256(repr([tuple(d) for d in dials]).encode()).digest()


cdef bytes _header(tuple dials):
    cdef PageHeader header
    cdef bytes definition = definition_hash(dials)
    memset(&header, 0, sizeof(PageHeader))
    header.magic, header.layout, header.slots = DIAL_MAGIC, DIALS_LAYOUT, <uint32_t>len(dials)
    memcpy(header.definition, <const char*>definition, 32)
    return (<char*>&header)[:sizeof(PageHeader)]


cdef tuple _checked(dials):
    dials = tuple(dials)
    if not dials or len({d.name for d in dials}) != len(dials):
        raise ValueError("dials need at least one definition, and different names")
    return dials


cdef char* _map(int fd, str path, tuple dials, bint writable) except NULL:
    """Map a page after checking that it is one of these dials. Raises DialMismatch, OSError."""
    cdef Py_ssize_t size = 64 * (len(dials) + 1)
    cdef bytes wanted = _header(dials)
    if os.fstat(fd).st_size != size:
        raise DialMismatch(f"{path}: {os.fstat(fd).st_size} bytes, {len(dials)} dials need {size}")
    found = os.pread(fd, 64, 0)
    if found != wanted:
        raise DialMismatch(f"{path}: {_difference(found, wanted)}")
    cdef void* at = mmap(NULL, size, PROT_READ | (PROT_WRITE if writable else 0), MAP_SHARED, fd, 0)
    if at == MAP_FAILED:
        raise OSError(errno, os.strerror(errno), path)
    return <char*>at


cdef str _difference(bytes found, bytes wanted):
    if found[:8] != wanted[:8]:
        return "not a page of dials (bad magic)"
    if found[8:12] != wanted[8:12]:
        return f"layout version {int.from_bytes(found[8:12], 'little')}, this build reads {DIALS_LAYOUT}"
    return "made for other dials, or for other bounds"


cdef class DialWriter:
    """The one writer of the page at `path` (made if missing). `dials`: a sequence of Dial, one per slot.

    Opening expires whatever an earlier writer left. `replace=True` puts a fresh page in place of one made for
    other definitions; readers of the old one see it expire. Raises DialLocked, DialMismatch, OSError.
    """

    def __cinit__(self):
        self._fd = -1

    def __init__(self, path, dials, *, bint replace=False):
        cdef int slot
        if self._fd >= 0:
            raise ValueError("this writer is already open")
        path = os.fspath(path)
        self.definitions = _checked(dials)
        self.slots = len(self.definitions)
        if replace or not os.path.exists(path):
            _make(path, self.definitions)
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DialLocked(error.errno, "another writer has these dials open", path) from error
        self._slots = <Slot*>_map(self._fd, path, self.definitions, True) + 1
        self._size = 64 * (self.slots + 1)
        for slot in range(self.slots):
            self.expire(slot)

    def __dealloc__(self):
        self._release()

    def _release(self):
        if self._slots:
            munmap(self._slots - 1, self._size)
            self._slots = NULL
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def close(self):
        """Let go of the page; leases run on until they expire."""
        self._release()

    def set(self, int slot, values, int64_t now_ns, int64_t lease_ns):
        """Set the values of a slot for `lease_ns` from `now_ns`. Raises IndexError, ValueError.

        `values`: one int per value of the dial. Values out of bounds are written; readers clamp them.
        """
        cdef int64_t out[DIAL_VALUES]
        cdef int i
        self._check(slot)
        if len(values) != len(self.definitions[slot].neutral):
            raise ValueError(f"dial {self.definitions[slot].name}: {len(self.definitions[slot].neutral)} values needed")
        if lease_ns <= 0 or now_ns < 0 or lease_ns > (<int64_t>0x7FFFFFFFFFFFFFFF) - now_ns:
            raise ValueError(f"lease_ns {lease_ns} from now_ns {now_ns}: need a positive lease that int64 can hold")
        for i in range(DIAL_VALUES):
            out[i] = values[i] if i < len(values) else 0
        self._store(slot, out, now_ns, now_ns + lease_ns)

    def expire(self, int slot):
        """Take a dial back to neutral now. Raises IndexError."""
        cdef int64_t zeros[DIAL_VALUES]
        self._check(slot)
        memset(zeros, 0, sizeof(zeros))
        self._store(slot, zeros, 0, -0x7FFFFFFFFFFFFFFF)

    cdef int _store(self, int slot, const int64_t* values, int64_t now_ns, int64_t expires_ns) except -1 nogil:
        cdef Slot* at = &self._slots[slot]
        cdef uint64_t version = load_version(&at.version) | 1   # odd already if the last writer died in here
        cdef int i
        store_version(&at.version, version)
        dial_fence_release()
        for i in range(DIAL_VALUES):
            dial_store(&at.values[i], values[i])
        dial_store(&at.set_ns, now_ns)
        dial_store(&at.expires_ns, expires_ns)
        store_version_release(&at.version, version + 1)
        return 0

    cdef int _check(self, int slot) except -1:
        if self._slots == NULL:
            raise ValueError("the dials are closed")
        if not 0 <= slot < self.slots:
            raise IndexError(f"slot {slot} of {self.slots}")
        return 0


def _make(path, dials):
    """Write a fresh page beside `path` and rename it there, so that nobody sees half a page."""
    new = f"{path}.{os.getpid()}.new"
    with open(new, "wb") as file:
        file.write(_header(dials) + bytes(64 * len(dials)))
    os.rename(new, path)


cdef class Dials:
    """Reads the page at `path`. `dials`: the same sequence of Dial the writer was given.

    lease_ns_max: a slot that claims to last longer than this from now is not believed (a writer's mistake, or a
    page from before a reboot). Raises FileNotFoundError, DialMismatch.
    """

    def __init__(self, path, dials, *, int64_t lease_ns_max=60_000_000_000):
        if self._slots != NULL:
            raise ValueError("these dials are already open")
        self.definitions = _checked(dials)
        self.slots = len(self.definitions)
        self._lease_ns_max = lease_ns_max
        self._bounds = <Bound*>calloc(self.slots * DIAL_VALUES, sizeof(Bound))
        if self._bounds == NULL:
            raise MemoryError
        for slot, dial in enumerate(self.definitions):
            for i, (neutral, low, high) in enumerate(zip(dial.neutral, dial.low, dial.high, strict=True)):
                self._bounds[<int>slot * DIAL_VALUES + <int>i] = Bound(neutral, low, high)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._slots = <Slot*>_map(fd, os.fspath(path), self.definitions, False) + 1
        finally:
            os.close(fd)
        self._size = 64 * (self.slots + 1)

    def __dealloc__(self):
        if self._slots:
            munmap(self._slots - 1, self._size)
        free(self._bounds)

    cdef int64_t read(self, int slot, int index, int64_t now_ns) except? -1 nogil:
        """One value of a slot, inside its bounds; neutral if there is no current one."""
        cdef int64_t out[DIAL_VALUES]
        assert 0 <= index < DIAL_VALUES
        self.read_set(slot, out, now_ns)
        return out[index]

    cdef int read_set(self, int slot, int64_t* out, int64_t now_ns) except -1 nogil:
        """All four values of a slot, from one write; values the dial does not have are 0. 1 if current, 0 if neutral."""
        cdef Slot copy
        cdef Bound* bound
        cdef bint current
        cdef int i
        assert 0 <= slot < self.slots
        current = self._copy(&self._slots[slot], &copy) and self._is_current(&copy, now_ns)
        for i in range(DIAL_VALUES):
            bound = &self._bounds[slot * DIAL_VALUES + i]
            out[i] = min(max(copy.values[i], bound.low), bound.high) if current else bound.neutral
        return current

    cdef bint _copy(self, Slot* at, Slot* out) noexcept nogil:
        """A consistent copy, or False after TRIES: a writer stopped in the middle must not stop the reader."""
        cdef int turn, i
        for turn in range(TRIES):
            out.version = load_version_acquire(&at.version)
            for i in range(DIAL_VALUES):
                out.values[i] = dial_load(&at.values[i])
            out.expires_ns = dial_load(&at.expires_ns)
            dial_fence_acquire()
            if not out.version & 1 and load_version(&at.version) == out.version:
                return True
        self.torn += 1
        return False

    cdef bint _is_current(self, Slot* slot, int64_t now_ns) noexcept nogil:
        if slot.version == 0 or slot.expires_ns <= now_ns:
            return False
        return <uint64_t>slot.expires_ns - <uint64_t>now_ns <= <uint64_t>self._lease_ns_max     # cannot overflow

    cpdef tuple values(self, int64_t now_ns):
        """For every slot a tuple of its values at `now_ns`: what the hot process would act on."""
        cdef int64_t out[DIAL_VALUES]
        cdef int slot
        rows = []
        for slot in range(self.slots):
            self.read_set(slot, out, now_ns)
            rows.append(tuple([out[i] for i in range(len(self.definitions[slot].neutral))]))
        return tuple(rows)

    def value(self, int slot, int index, int64_t now_ns):
        """One value, as read() gives it. Raises AssertionError for a slot or index out of range."""
        return self.read(slot, index, now_ns)

"""Tape segments as they lie on disk, and their reader. `docs/TAPE.md` has the layout, byte by byte."""

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #define tape_load(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
    #define tape_mark(p, v) do { __atomic_store_n(p, v, __ATOMIC_RELAXED); __atomic_thread_fence(__ATOMIC_RELEASE); } while (0)
    #define tape_publish(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
    #define TAPE_MAGIC 0x3145504154474B54ULL /* the bytes TKGTAPE1 */
    """
    int32_t tape_load(int32_t* p) noexcept nogil
    void tape_mark(int32_t* p, int32_t v) noexcept nogil
    void tape_publish(int32_t* p, int32_t v) noexcept nogil
    uint64_t load_magic "tape_load"(uint64_t* p) noexcept nogil
    void publish_magic "tape_publish"(uint64_t* p, uint64_t v) noexcept nogil
    uint64_t TAPE_MAGIC

cdef extern from "crc32c.h" nogil:
    int CRC32C_HARDWARE
    void crc32c_init()
    uint32_t crc32c_update(uint32_t crc, const void* data, size_t n)
    uint32_t crc32c_sliced_update(uint32_t crc, const void* data, size_t n)

cdef extern from "<sys/mman.h>" nogil:
    enum: PROT_READ, PROT_WRITE, MAP_SHARED
    void* MAP_FAILED
    void* mmap(void* at, Py_ssize_t size, int prot, int flags, int fd, Py_ssize_t offset)
    int munmap(void* at, Py_ssize_t size)
    int madvise(void* at, Py_ssize_t size, int advice)


cdef enum:
    LAYOUT = 2          # version of everything on disk
    ALIGN = 64          # records start on a cache line
    HEAD = 32           # sizeof(RecordHeader)
    SEAL = 0            # type of the record that ends a segment; readers never hand it out

cdef enum:              # why a segment was sealed; kept in the seal's `line`
    CLOSED, ROTATED, RECOVERED


cdef struct SegmentHeader:      # 64 bytes at offset 0
    uint64_t magic              # published last; zero means "prepared, not in use"
    uint32_t layout
    uint32_t index
    uint64_t first_sequence
    int64_t opened_ns
    uint32_t segment_lines      # file size in units of 64 bytes
    char session[12]            # the tape's name: the same in all of its segments
    char build[12]
    uint32_t crc                # crc32c over the 60 bytes before it


cdef struct RecordHeader:       # 32 bytes; the payload follows at once
    int32_t length              # header + payload; negative while being written, 0 = nothing yet
    uint32_t crc                # crc32c over everything from `sequence` to the end of the payload
    uint64_t sequence
    int64_t now_ns
    uint16_t type
    uint16_t line
    uint32_t size               # payload bytes; under the crc, so `length` is too


cdef inline uint32_t crc_of(const RecordHeader* record) noexcept nogil:
    return ~crc32c_update(0xFFFFFFFF, &record.sequence, record.size + HEAD - 8)


cdef inline uint32_t crc_of_header(const SegmentHeader* header) noexcept nogil:
    return ~crc32c_update(0xFFFFFFFF, header, sizeof(SegmentHeader) - 4)


cdef class Segment:
    """One segment, mapped or in memory, for reading. Internal to the reader, recovery and verify."""

    cdef char* base
    cdef Py_ssize_t size        # bytes there: the file's size when opened
    cdef Py_ssize_t present     # bytes that are known to be readable
    cdef const unsigned char[::1] held  # what `base` points to where nothing is mapped
    cdef bint mapped            # `base` is a file's
    cdef str path
    cdef uint32_t index
    cdef bint published         # the header's magic is not zero
    cdef str trouble            # what is wrong with the header, or ""

    cdef SegmentHeader* header(self) noexcept nogil
    cdef bytes session(self)
    cdef bint short(self)
    cdef bint bring(self, Py_ssize_t end) noexcept nogil
    cdef RecordHeader* record(self, Py_ssize_t offset) noexcept nogil
    cdef int look(self, Py_ssize_t offset, uint64_t sequence) noexcept nogil
    cdef Py_ssize_t next_whole(self, Py_ssize_t offset) noexcept nogil
    cdef Py_ssize_t used_end(self, Py_ssize_t offset) noexcept nogil


cdef class TapeReader:
    cdef Segment _segment
    cdef Py_ssize_t _offset
    cdef uint64_t _wanted[1024]         # a bit for each type
    cdef bint _all
    cdef int64_t _from_index
    cdef object _archived
    cdef readonly str directory
    cdef readonly bint follow
    cdef readonly uint64_t sequence     # of the next record
    cdef readonly bint sealed           # the last segment read ends in a seal
    cdef readonly Py_ssize_t torn_bytes  # bytes after the last whole record (follow=False only)
    cdef readonly str torn              # where they are, or ""

    cdef bint _step(self) except *
    cdef int _skip(self) noexcept nogil
    cdef bint _advance(self) except *
    cdef int64_t _next_index(self) except? -1
    cdef Segment _open(self, uint32_t index)
    cdef bint _settle(self, int found) except *
    cdef bint _wait(self, int found) except *
    cdef bint _reopened(self) except *
    cdef bint _later_in_use(self) except *
    cdef bint _end_of_chain(self) except *
    cdef bint _none_there(self, int64_t index) except *
    cdef list _later(self, int64_t index)
    cdef bint _not_started(self, Segment segment) except *
    cdef bint _is_published(self, uint32_t index) except *
    cdef object _take(self)
    cdef int _pass(self) noexcept nogil

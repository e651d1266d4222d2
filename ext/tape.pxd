"""The tape: an append-only record log in mapped segments. `docs/TAPE.md` has the layout, byte by byte."""

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t


cpdef enum RecordType:
    FRAME = 1       # raw bytes in: line, payload
    TIMER = 2
    INTENT = 3
    VERDICT = 4     # what risk said
    ORDER_OUT = 5   # the exact bytes handed to the socket
    ACK = 6
    FILL = 7
    MARK = 8        # state mark
    CONFIG = 9
    DIAL = 10
    NOTE = 11       # text
    REPORT = 12
    SESSION = 13    # a line went up or down
    SENT = 14       # an order had left: when its frame came, when it was written
    EVIDENCE = 15   # reports found by asking: Report rows
    DOOR = 16       # a call of a cold door of the engine: DoorRow
    STOP = 17       # a loss stop was crossed: StopRow
    EQUITY = 18     # state mark of the account: EquityRow of each purse, the last one of everything
    LIMITS = 19     # limits in force from here on, packed
    HASH = 20       # hashes of each room's state: HashRow
    DECISION = 21   # behind the VERDICT of an order: the market, and each check that was asked: DecisionRow, CheckRows
    SIGNAL = 22     # in front of the verdicts of a turn: why a strategy proposes: SignalRow
    PARAM = 23      # what the cold side set on a running engine or strategy


cdef enum:
    LAYOUT = 2          # version of everything on disk
    ALIGN = 64          # records start on a cache line
    HEAD = 32           # sizeof(RecordHeader)
    SEAL = 0            # type of the record that ends a segment; readers never hand it out


cdef struct SegmentHeader:      # 64 bytes at offset 0
    uint64_t magic              # published last; zero means "prepared, not in use"
    uint32_t layout
    uint32_t index
    uint64_t first_sequence
    int64_t opened_ns
    uint32_t segment_lines      # file size in units of 64 bytes
    char session[12]
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


cdef class TapeWriter:
    """The one writer of a directory. One thread; not for use across fork()."""

    cdef char* _base            # current segment
    cdef char* _at              # where the next record goes
    cdef char* _limit           # records stay below; the last line is kept for the seal
    cdef char* _dropped         # pages before this are no longer mapped in
    cdef char* _spare           # the next segment, mapped, or NULL
    cdef char* _retired         # the previous segment, to be unmapped by prepare()
    cdef int _spare_fd          # the next segment while it is being allocated, or -1
    cdef Py_ssize_t _spare_size  # bytes of it allocated so far
    cdef int _lock_fd
    cdef bint _closed
    cdef object _full_errno
    cdef bytes _session
    cdef bytes _build
    cdef readonly str directory
    cdef readonly Py_ssize_t segment_size
    cdef readonly Py_ssize_t ahead
    cdef readonly uint32_t index        # of the current segment
    cdef readonly uint64_t sequence     # of the next record
    cdef readonly int64_t stalls        # segments that put() had to make itself
    cdef readonly bint full
    cdef readonly Py_ssize_t cut_bytes  # torn bytes moved aside when the directory was opened
    cdef readonly str cut               # what was cut and where it is now, or ""

    cdef int put(self, int type, int line, int64_t now_ns, const char* data, Py_ssize_t size) except -1 nogil
    cdef int put2(self, int type, int line, int64_t now_ns, const char* head, Py_ssize_t head_size,
                  const char* data, Py_ssize_t size) except -1 nogil
    cpdef append(self, int type, int line, int64_t now_ns, bytes payload)
    cpdef put_many(self, int count, bytes payload, int64_t now_ns)
    cpdef bint prepare(self) except *

    cdef int _rotate(self, Py_ssize_t room, int64_t now_ns) except -1 with gil
    cdef int _seal(self, int reason, int64_t now_ns) except -1
    cdef int _grow_spare(self, Py_ssize_t most) except -1
    cdef int _map_spare(self) except -1
    cdef int _drop_spare(self) except -1
    cdef int _start(self, int64_t now_ns) except -1
    cdef int _touch_ahead(self) except -1
    cdef int _retire(self) except -1
    cdef uint32_t _spare_index(self)
    cdef Py_ssize_t _save_torn(self, str path, Py_ssize_t offset) except -1
    cdef int _cut(self, str path, Py_ssize_t offset, int64_t now_ns) except -1


cdef class Segment:
    """One segment file mapped for reading. Internal to the reader, recovery and verify."""

    cdef char* base
    cdef Py_ssize_t size        # bytes mapped: the file's size when opened
    cdef str path
    cdef uint32_t index
    cdef bint published         # the header's magic is not zero
    cdef str trouble            # what is wrong with the header, or ""

    cdef SegmentHeader* header(self) noexcept
    cdef bint short(self)
    cdef RecordHeader* record(self, Py_ssize_t offset) noexcept
    cdef int look(self, Py_ssize_t offset, uint64_t sequence) noexcept nogil
    cdef Py_ssize_t next_whole(self, Py_ssize_t offset) noexcept nogil
    cdef Py_ssize_t used_end(self, Py_ssize_t offset) noexcept nogil


cdef class TapeReader:
    cdef Segment _segment
    cdef Py_ssize_t _offset
    cdef readonly str directory
    cdef readonly bint follow
    cdef readonly uint64_t sequence     # of the next record
    cdef readonly bint sealed           # the last segment read ends in a seal
    cdef readonly Py_ssize_t torn_bytes  # bytes after the last whole record (follow=False only)
    cdef readonly str torn              # where they are, or ""

    cdef bint _step(self) except *
    cdef bint _advance(self) except *
    cdef bint _settle(self, int found) except *
    cdef bint _reopened(self) except *
    cdef bint _later_in_use(self) except *
    cdef bint _end_of_chain(self) except *
    cdef bint _not_started(self, Segment segment, bint more) except *
    cdef object _take(self)
    cdef int _pass(self) noexcept

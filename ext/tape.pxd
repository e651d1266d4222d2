"""The tape: an append-only record log in mapped segments. `docs/TAPE.md` has the layout, byte by byte."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from ext.spare cimport Spare


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
    UNRECORDED = 24  # a frame of a stream whose frames are not recorded: its size and crc32c (u32 each)
    ANSWER = 25     # what a request by REST came to: a line of JSON, then the body


cdef uint64_t digest_of(const char* data, Py_ssize_t size) noexcept nogil


cdef class TapeWriter:
    """The one writer of a directory. One thread; not for use across fork()."""

    cdef char* _base            # current segment
    cdef char* _at              # where the next record goes
    cdef char* _limit           # records stay below; the last line is kept for the seal
    cdef Spare _spare           # the next segment
    cdef int _lock_fd
    cdef bint _closed
    cdef object _full_errno
    cdef bytes _session
    cdef bytes _build
    cdef readonly str directory
    cdef readonly Py_ssize_t segment_size
    cdef readonly Py_ssize_t ahead
    cdef readonly int64_t min_free      # bytes; with less than that on the disk, `low` says so
    cdef readonly uint32_t index        # of the current segment
    cdef readonly uint64_t sequence     # of the next record
    cdef readonly int64_t stalls        # segments that put() had to wait for
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
    cdef char* _next(self) except NULL
    cdef int _seal(self, int reason, int64_t now_ns) except -1
    cdef int _start(self, char* base, int64_t now_ns) except -1
    cdef Py_ssize_t _save_torn(self, str path, Py_ssize_t offset) except -1
    cdef int _cut(self, str path, Py_ssize_t offset, int64_t now_ns) except -1

"""The tape: every input, decision and output, in order, in files that outlive the process.

How it works. A tape is a directory of preallocated segment files mapped MAP_SHARED. The writer copies a record
into the mapping and publishes it with one release store of its length, so a reader in another process sees a
record whole or not at all, and a record survives kill -9 the moment `put` returns (surviving a power cut takes an
fsync, which belongs to the slow side). Every segment ends in a seal. What stands after the last whole record and
is not sealed is a torn tail: the next writer moves it aside, seals there and starts a new segment. A bad record
with anything valid after it is corruption, and nobody here repairs that.

Making a segment is slow, so `ext.spare` does it ahead of need; `ext.segments` reads what is written here.

This file must not know: what payloads mean, or what now_ns is now.
"""

import errno as errnos
import fcntl
import os

from libc.errno cimport errno
from libc.string cimport memcpy, memset

from ext.crash cimport SEGMENT_ROTATE, crash_at
from ext.segments cimport (
    ALIGN, CLOSED, HEAD, LAYOUT, MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, RECOVERED, ROTATED, SEAL, TAPE_MAGIC,
    RecordHeader, Segment, SegmentHeader, crc32c_init, crc32c_update, crc_of, crc_of_header, mmap, munmap, publish_magic, tape_mark,
    tape_publish,
)
from libc.stdint cimport int32_t, uint16_t

from ext.segments import (
    Inspection,
    Problem,
    Record,
    Report,
    TapeCorrupt,
    TapeMissing,
    TapeReader,
    crc32c,
    has_hardware_crc,
    indexes_in,
    inspect,
    path_of,
    verify,
)

cdef extern from "<fcntl.h>" nogil:
    int posix_fallocate(int fd, Py_ssize_t offset, Py_ssize_t size)

crc32c_init()       # the tables are this module's own

cdef enum:
    PAGE = 4096

SEGMENT_SIZE = 64 << 20
AHEAD = 256 << 10    # at a prepare() every millisecond: 256 MB/s without a fault, for about 10 us a call
MIN_FREE_SEGMENTS = 16  # 1 GiB, where segments are of 64 MiB: time for a person or the archive to make room

_FULL = (errnos.ENOSPC, errnos.EDQUOT, errnos.EFBIG)
_ELSEWHERE = "or put the tape elsewhere"
_CAUSES = {     # by errno: what it means here, and what to do
    errnos.ENOSPC: ("the disk is full", f"make room there, {_ELSEWHERE}"),
    errnos.EDQUOT: ("the disk quota is used up", f"raise it, {_ELSEWHERE}"),
    errnos.EFBIG: ("a segment is larger than files may be", "raise `ulimit -f`, or make segments smaller"),
    errnos.EROFS: ("the file system is read-only", "mount it read-write (after an I/O error the kernel makes it read-only: "
                   f"look at the disk), {_ELSEWHERE}"),
    errnos.EIO: ("the disk reports an I/O error", f"look at the disk, {_ELSEWHERE}"),
    errnos.EFAULT: ("the disk does not take what is written", f"look at the disk, {_ELSEWHERE}"),
    errnos.EMFILE: ("this process has no file descriptor left", "raise `ulimit -n`"),
    errnos.ENFILE: ("the machine has no file descriptor left", "raise the sysctl fs.file-max"),
    errnos.ENOMEM: ("there is no memory to map it", "raise `ulimit -v`, or make segments smaller"),
    errnos.EACCES: ("no permission", f"give this user the right to write there, {_ELSEWHERE}"),
    errnos.EPERM: ("not permitted", f"give this user the right to write there, {_ELSEWHERE}"),
    errnos.EEXIST: ("a file is in the way", "name a directory"),
    errnos.ENOTDIR: ("a file is in the way", "name a directory"),
    errnos.EISDIR: ("a directory is in the way of a file of the tape", "take it away"),
    errnos.ENOENT: ("the directory is gone", "stop, and look who took it away"),
}


class TapeError(OSError):
    """The tape cannot be opened or go on. What is recorded stays recorded. Its text: directory, cause, fix."""

    def __str__(self):
        return f"{self.filename}: {self.strerror}"


class TapeFull(TapeError):
    """No room for another segment."""


class TapeLocked(TapeError):
    """Another writer has this directory open. `pid`: its process, None where that is not known."""

    pid = None


cdef object _error(str doing, int number, str directory):
    cause, fix = _CAUSES.get(number, (os.strerror(number), f"look at the disk, {_ELSEWHERE}"))
    return (TapeFull if number in _FULL else TapeError)(number, f"{doing}: {cause}; {fix}", directory)


cdef uint64_t digest_of(const char* data, Py_ssize_t size) noexcept nogil:
    """Payload of an UNRECORDED record: which frame it was that came."""
    cdef uint64_t crc = <uint32_t>~crc32c_update(0xFFFFFFFF, data, size)
    return <uint32_t>size | crc << 32


def unrecorded_row(const unsigned char[::1] payload):
    """{size (bytes), crc (crc32c)} of the frame that an UNRECORDED record stands for. Raises ValueError."""
    if payload.shape[0] != 8:
        raise ValueError(f"an UNRECORDED record of {payload.shape[0]} bytes: need 8")
    row = <const uint32_t*>&payload[0]
    return {"size": row[0], "crc": row[1]}


# ---------------------------------------------------------------- files

cdef int _lock(str directory) except -1:
    """Make the directory and hold its lock. Raises TapeLocked, or TapeError."""
    cdef int fd = -1
    try:
        os.makedirs(directory, exist_ok=True)
        fd = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _sign(fd, f"{os.getpid()}\n".encode())
    except BlockingIOError as error:
        raise _locked(fd, error.errno, directory) from None
    except OSError as error:
        if fd >= 0:
            os.close(fd)
        raise _error("this cannot be the directory of a tape", error.errno, directory) from None
    return fd


def _locked(fd, number, directory):
    """Who holds it: its writer leaves its process id there as soon as it does."""
    told = os.pread(fd, 16, 0).strip()
    os.close(fd)
    pid = int(told) if told.isdigit() else None
    who = "another writer" if pid is None else f"another writer (process {pid})"
    error = TapeLocked(number, f"{who} has this tape open", directory)
    error.pid = pid
    return error


def _sign(fd, text):
    """What the lock file says of its holder. On a full disk it says nothing."""
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, text, 0)
    except OSError as error:
        if error.errno not in _FULL:
            raise


# ---------------------------------------------------------------- records

cdef inline void _write(char* at, int type, int line, uint64_t sequence, int64_t now_ns, const char* head,
                        Py_ssize_t head_size, const char* data, Py_ssize_t size) noexcept nogil:
    cdef RecordHeader* record = <RecordHeader*>at
    cdef int32_t length = <int32_t>(HEAD + head_size + size)
    tape_mark(&record.length, -length)
    record.sequence = sequence
    record.now_ns = now_ns
    record.type = <uint16_t>type
    record.line = <uint16_t>line
    record.size = <uint32_t>(head_size + size)
    if head_size:
        memcpy(at + HEAD, head, head_size)
    if size:    # else it may point nowhere
        memcpy(at + HEAD + head_size, data, size)
    record.crc = crc_of(record)
    tape_publish(&record.length, length)


# ---------------------------------------------------------------- writer

cdef class TapeWriter:
    """Appends records to the tape in `directory` (made if missing).

    now_ns: written into the first segment's header. segment_size: bytes per file, a multiple of 4096.
    session: up to 12 bytes that name the tape; one that exists keeps the name it has. build: up to 12 bytes, written
    into every segment header. ahead: bytes kept pre-touched. min_free: bytes of disk below which `low` says so, None for
    16 segments. check_all: read every old record before starting, not only the last segment's.

    Raises TapeLocked (a second writer), TapeCorrupt (old records are damaged, or not of this tape), TapeFull (no room to
    start), TapeError (the directory cannot be written to, for a cause that it names).
    After opening, `cut` says what was cut off a torn tail, if anything was.
    """

    def __cinit__(self):
        self._lock_fd = -1
        self._closed = True
        self.cut = ""

    def __init__(self, directory, *, int64_t now_ns, Py_ssize_t segment_size=SEGMENT_SIZE, bytes session=b"",
                 bytes build=b"", Py_ssize_t ahead=AHEAD, min_free=None, bint check_all=True):
        if self._lock_fd >= 0:
            raise ValueError("this writer is already open")
        if segment_size < PAGE or segment_size % PAGE or segment_size > 1 << 31:
            raise ValueError(f"segment_size {segment_size}: need a multiple of {PAGE}, at most 2 GiB")
        if len(session) > 12 or len(build) > 12 or ahead < 0:
            raise ValueError("session and build are at most 12 bytes, ahead is not negative")
        self.directory = os.fspath(directory)
        self.segment_size = segment_size
        self.ahead = ahead
        self.min_free = MIN_FREE_SEGMENTS * segment_size if min_free is None else min_free
        self._session, self._build = session, build
        self._lock_fd = _lock(self.directory)
        self.sequence = 1
        try:
            self._recover(now_ns, check_all)
        except (TapeCorrupt, TapeError):
            raise
        except OSError as error:
            raise _error("what is there cannot be read or put in order", error.errno, self.directory) from None
        self._spare = Spare(self.directory, self.index, segment_size, ahead, self._lock_fd)
        if self._spare.turn(True):
            raise self._why()
        self._start(self._spare.take(), now_ns)
        self._closed = False

    def __dealloc__(self):
        # A writer that is dropped without close() leaves the tape as a crash would; the next one recovers it.
        if self._spare is not None:
            self._spare.halt()
        if self._base:
            munmap(self._base, self.segment_size)
        if self._lock_fd >= 0:
            os.close(self._lock_fd)

    # ---- hot

    cdef int put(self, int type, int line, int64_t now_ns, const char* data, Py_ssize_t size) except -1 nogil:
        """Append one record of `size` payload bytes. Raises TapeError, or ValueError (too big, or closed)."""
        return self.put2(type, line, now_ns, NULL, 0, data, size)

    cdef int put2(self, int type, int line, int64_t now_ns, const char* head, Py_ssize_t head_size,
                  const char* data, Py_ssize_t size) except -1 nogil:
        """Append one record whose payload is `head` followed by `data`. Raises as put()."""
        cdef Py_ssize_t room = (HEAD + head_size + size + ALIGN - 1) & ~<Py_ssize_t>(ALIGN - 1)
        assert 0 < type < 0x10000 and 0 <= line < 0x10000
        assert 0 <= head_size <= 0x7FFFFFFF and 0 <= size <= 0x7FFFFFFF
        if room > self._limit - self._at:
            self._rotate(room, now_ns)
        _write(self._at, type, line, self.sequence, now_ns, head, head_size, data, size)
        self._at += room
        self.sequence += 1
        return 0

    # ---- for Python

    cpdef append(self, int type, int line, int64_t now_ns, bytes payload):
        """Append one record and return its sequence number. Raises as put()."""
        self.put(type, line, now_ns, payload, len(payload))
        return self.sequence - 1

    cpdef put_many(self, int count, bytes payload, int64_t now_ns):
        """Append `count` equal FRAME records on line 0 from native code: for benches."""
        cdef const char* data = payload
        cdef Py_ssize_t size = len(payload)
        cdef int i
        with nogil:
            for i in range(count):
                self.put(RecordType.FRAME, 0, now_ns, data, size)

    # ---- cold

    def prepare_by_thread(self, int every_ms=5):
        """Have a thread do from here on what `prepare` does, so that the caller never waits for the disk. `prepare` then
        only tells how it stands. Raises OSError where there can be no thread."""
        self._spare.start(every_ms)

    cpdef bint prepare(self) except *:
        """One small step of work ahead of need; call it from a timer. True when nothing is left to prepare.

        Keeps `ahead` bytes in front of the writer mapped and allocates the next segment, a few 100 KiB a call. Raises
        TapeError (TapeFull where there is no room) when there can be no next segment: put() still works until the
        current one is used up, and a later prepare() tries again.
        """
        if self._closed or self.full:
            return True
        if not self._spare.threaded:
            self._spare.turn(False)
        if self._spare.failed[0]:
            raise self._why()
        return self._spare.is_ready

    @property
    def free(self) -> int:
        """Bytes that are free where the tape is, as of the last prepare; -1 where nobody can tell."""
        return -1 if self._spare is None else self._spare.free

    @property
    def low(self) -> bool:
        """Is there less room than `min_free`?"""
        return 0 <= self.free < self.min_free

    @property
    def turns(self) -> int:
        """Turns of preparation that were finished: a number that stands still tells of a disk that does."""
        return 0 if self._spare is None else self._spare.turns

    def close(self, int64_t now_ns):
        """Seal the tape and let go of the directory. Closing twice is harmless."""
        if self._closed:
            return
        self._seal(CLOSED, now_ns)
        self._at = self._limit = NULL
        self._closed = True
        self._spare.end()
        munmap(self._base, self.segment_size)
        self._base = NULL
        try:
            _sign(self._lock_fd, b"")
        except OSError:
            pass    # a disk that failed under us: all is sealed, and a name in a lock that nobody holds harms nobody
        os.close(self._lock_fd)
        self._lock_fd = -1

    def _why(self):
        """The error of the last turn."""
        cdef int number = self._spare.failed[0]
        return _error("no room for another tape segment" if number in _FULL else "no other tape segment can be made",
                      number, self.directory)

    cdef int _rotate(self, Py_ssize_t room, int64_t now_ns) except -1 with gil:
        """The current segment cannot take `room` bytes: seal it and go on in the next one."""
        cdef char* base
        if self._closed:
            raise ValueError(f"{self.directory}: the tape is closed")
        if room > self.segment_size - 2 * ALIGN:
            raise ValueError(f"a record of {room} bytes does not fit a segment of {self.segment_size}")
        if self.full:
            raise _error("the tape is full", self._full_errno, self.directory)
        base = self._next()
        self._seal(ROTATED, now_ns)
        crash_at(SEGMENT_ROTATE)
        self.index += 1
        self._start(base, now_ns)
        return 0

    cdef char* _next(self) except NULL:
        """The next segment; where it is not made yet, wait for it."""
        cdef char* base = self._spare.take()
        if base == NULL:
            self.stalls += 1
            if self._spare.turn(True):
                self.full, self._full_errno = True, self._spare.failed[0]
                self._limit = self._at      # every later put() comes here and is refused
                raise self._why()
            base = self._spare.take()
        return base

    cdef int _seal(self, int reason, int64_t now_ns) except -1:
        _write(self._at, SEAL, reason, self.sequence, now_ns, NULL, 0, NULL, 0)
        return 0

    cdef int _start(self, char* base, int64_t now_ns) except -1:
        """Go on in another segment: fill in its header, publish it."""
        cdef SegmentHeader* header = <SegmentHeader*>base
        cdef char* retired = self._base
        cdef SegmentHeader filled
        memset(&filled, 0, sizeof(SegmentHeader))
        filled.magic = TAPE_MAGIC
        filled.layout = LAYOUT
        filled.index = self.index
        filled.first_sequence = self.sequence
        filled.opened_ns = now_ns
        filled.segment_lines = <uint32_t>(self.segment_size // ALIGN)
        memcpy(filled.session, <const char*>self._session, len(self._session))
        memcpy(filled.build, <const char*>self._build, len(self._build))
        filled.crc = crc_of_header(&filled)
        memcpy(<char*>header + 8, <char*>&filled + 8, sizeof(SegmentHeader) - 8)
        publish_magic(&header.magic, TAPE_MAGIC)
        self._base = base
        self._at = base + sizeof(SegmentHeader)
        self._limit = base + self.segment_size - ALIGN
        self._spare.follow(base, &self._at, retired)
        return 0

    def _recover(self, int64_t now_ns, bint check_all):
        """Read what is there, cut a torn tail, and find the index and sequence to go on with."""
        indexes = indexes_in(self.directory)
        for name in os.listdir(self.directory):
            if name.endswith(".tape.new"):
                os.unlink(os.path.join(self.directory, name))
        if not indexes:
            return
        reader = TapeReader(self.directory)
        reader.read_to_end(check_all)
        self.index, self.sequence = indexes[0], reader.sequence
        last, path, offset = reader.end()
        if last is not None:
            self.index = last + 1
            self._session = reader.session()
            if not reader.sealed:
                self._cut(path, offset, now_ns)
        for index in indexes:
            if index >= self.index:     # prepared and never started, or torn in its first 64 bytes
                self._save_torn(path_of(self.directory, index), 0)
                os.unlink(path_of(self.directory, index))

    cdef Py_ssize_t _save_torn(self, str path, Py_ssize_t offset) except -1:
        """Copy whatever stands from `offset` on to a .torn file. Returns the number of bytes."""
        cdef Segment segment = Segment(path)
        cdef Py_ssize_t size = segment.used_end(offset) - offset
        if size <= 0:
            return 0
        aside = os.path.splitext(path)[0] + ".torn"
        with open(aside, "ab") as file:     # append: a crash while cutting makes the next writer cut again
            file.write(segment.base[offset:offset + size])
            file.flush()
            os.fsync(file.fileno())
        self.cut_bytes += size
        self.cut = f"{path}: cut {size} torn bytes at offset {offset}, sequence {self.sequence}; kept in {aside}"
        return size

    cdef int _cut(self, str path, Py_ssize_t offset, int64_t now_ns) except -1:
        """Seal a segment at `offset`, after moving aside what stands there."""
        cdef Py_ssize_t end = offset + self._save_torn(path, offset)
        cdef Segment segment = Segment(path)
        cdef Py_ssize_t size = segment.header().segment_lines * <Py_ssize_t>ALIGN
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            failed = posix_fallocate(fd, 0, size)       # the file itself may have been cut short
            if failed:
                raise _error("its last segment cannot be made whole again", failed, self.directory)
            _seal_in_place(fd, size, offset, end, self.sequence, now_ns)
        finally:
            os.close(fd)
        return 0


cdef int _seal_in_place(int fd, Py_ssize_t size, Py_ssize_t offset, Py_ssize_t end, uint64_t sequence,
                        int64_t now_ns) except -1:
    cdef char* base = <char*>mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
    if base == MAP_FAILED:
        raise OSError(errno, os.strerror(errno))
    # Marked unfinished until the seal is whole, so that a reader never takes the half-cleared bytes for a record.
    tape_mark(<int32_t*>(base + offset), -1)
    if end > offset + 4:
        memset(base + offset + 4, 0, end - offset - 4)
    _write(base + offset, SEAL, RECOVERED, sequence, now_ns, NULL, 0, NULL, 0)
    munmap(base, size)
    return 0

"""The tape: every input, decision and output, in order, in files that outlive the process.

How it works. A tape is a directory of preallocated segment files mapped MAP_SHARED. The writer copies a record
into the mapping and publishes it with one release store of its length, so a reader in another process sees a
record whole or not at all, and a record survives kill -9 the moment `put` returns (surviving a power cut takes an
fsync, which belongs to the slow side). Every segment ends in a seal. What stands after the last whole record and
is not sealed is a torn tail: the next writer moves it aside, seals there and starts a new segment. A bad record
with anything valid after it is corruption, and nobody here repairs that.

Making a segment is slow, so `prepare` does it in small steps ahead of need, and keeps the pages just ahead of the
writer mapped and writable: after the kernel writes a dirty page back, the next store to it would fault again.

This file must not know: what payloads mean, or what now_ns is now.
"""

import fcntl
import os
from collections import namedtuple

from libc.errno cimport errno
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #define tape_load(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
    #define tape_mark(p, v) do { __atomic_store_n(p, v, __ATOMIC_RELAXED); __atomic_thread_fence(__ATOMIC_RELEASE); } while (0)
    #define tape_publish(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
    #ifndef MADV_POPULATE_WRITE
    #define MADV_POPULATE_WRITE 23
    #endif
    #define TAPE_MAGIC 0x3145504154474B54ULL /* the bytes TKGTAPE1 */
    """
    int32_t tape_load(int32_t* p) noexcept nogil
    void tape_mark(int32_t* p, int32_t v) noexcept nogil
    void tape_publish(int32_t* p, int32_t v) noexcept nogil
    uint64_t load_magic "tape_load"(uint64_t* p) noexcept nogil
    void publish_magic "tape_publish"(uint64_t* p, uint64_t v) noexcept nogil
    uint64_t TAPE_MAGIC

cdef extern from "<fcntl.h>" nogil:
    int posix_fallocate(int fd, Py_ssize_t offset, Py_ssize_t size)

cdef extern from "<sys/mman.h>" nogil:
    enum: PROT_READ, PROT_WRITE, MAP_SHARED, MADV_DONTNEED, MADV_POPULATE_WRITE
    void* MAP_FAILED
    void* mmap(void* at, Py_ssize_t size, int prot, int flags, int fd, Py_ssize_t offset)
    int munmap(void* at, Py_ssize_t size)
    int madvise(void* at, Py_ssize_t size, int advice)

cdef extern from "crc32c.h" nogil:
    int CRC32C_HARDWARE
    void crc32c_init()
    uint32_t crc32c_update(uint32_t crc, const void* data, size_t n)
    uint32_t crc32c_sliced_update(uint32_t crc, const void* data, size_t n)

crc32c_init()

cdef enum:
    PAGE = 4096
    STEP = 1 << 20      # bytes of the next segment that one prepare() allocates: a fraction of a millisecond

cdef enum:              # what look() finds at an offset
    WHOLE, NOTHING, UNFINISHED, BAD_LENGTH, BAD_CRC, BAD_PADDING, BAD_SEQUENCE

cdef enum:              # why a segment was sealed; kept in the seal's `line`
    CLOSED, ROTATED, RECOVERED

_FINDINGS = {
    NOTHING: "no record",
    UNFINISHED: "a record that was never finished",
    BAD_LENGTH: "a record with an impossible length",
    BAD_CRC: "a record whose crc does not match",
    BAD_PADDING: "bytes in the padding of a record",
    BAD_SEQUENCE: "a record with the wrong sequence number",
}

SEGMENT_SIZE = 64 << 20
AHEAD = 256 << 10    # at a prepare() every millisecond: 256 MB/s without a fault, for about 10 us a call

Record = namedtuple("Record", "type line sequence now_ns payload")
Record.__doc__ = "One record: type and line (ints), sequence, now_ns as the writer was told, payload (bytes)."
Problem = namedtuple("Problem", "file offset sequence what")
Problem.__doc__ = "One fault: file name, byte offset in it, the sequence number expected there, and what is wrong."
Report = namedtuple("Report", "ok segments records first_sequence last_sequence sealed problems")
Report.__doc__ = "What verify() found. `sealed`: the tape was closed in good order. `problems`: list of Problem."


class TapeFull(OSError):
    """No room for another segment. What is recorded stays recorded; nothing more will be."""


class TapeLocked(OSError):
    """Another writer has this directory open."""


class TapeMissing(FileNotFoundError):
    """The directory is not there, or there is no tape in it."""


class TapeCorrupt(ValueError):
    """A fault that is not a torn tail. Attributes: file, offset (bytes), sequence (the one expected there)."""

    def __init__(self, file, offset, sequence, what):
        super().__init__(f"{file}: offset {offset}, sequence {sequence}: {what}")
        self.file, self.offset, self.sequence = file, offset, sequence


def crc32c(const unsigned char[::1] data, *, bint table=False):
    """Checksum of a buffer of bytes; `table=True` takes the implementation without special instructions."""
    cdef const unsigned char* p = &data[0] if data.shape[0] else NULL
    if table:
        return <uint32_t>~crc32c_sliced_update(0xFFFFFFFF, p, data.shape[0])
    return <uint32_t>~crc32c_update(0xFFFFFFFF, p, data.shape[0])


def has_hardware_crc():
    """Whether this build uses the processor's crc32 instruction."""
    return bool(CRC32C_HARDWARE)


# ---------------------------------------------------------------- files

cdef str _path(str directory, uint32_t index):
    return os.path.join(directory, f"{index:08d}.tape")


cdef list _indexes(str directory):
    """Indexes of the segment files in a directory, ascending. Raises TapeMissing where there is no directory."""
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise TapeMissing(error.errno, "not a tape directory", directory) from error
    return sorted(int(n[:8]) for n in names if len(n) == 13 and n.endswith(".tape") and n[:8].isdigit())


cdef int _lock(str directory) except -1:
    cdef int fd = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise TapeLocked(error.errno, "another writer has this tape open", directory) from error
    return fd


cdef int _touch(char* start, Py_ssize_t size) except -1:
    """Make pages present and writable. Returns 0, or an errno. Contents stay as they are."""
    cdef Py_ssize_t i = 0
    if size <= 0 or madvise(start, size, MADV_POPULATE_WRITE) == 0:
        return 0
    if errno != 22:     # EINVAL: a kernel before 5.14
        return errno
    while i < size:
        (<volatile char*>start)[i] = (<volatile char*>start)[i]
        i += PAGE
    return 0


# ---------------------------------------------------------------- records

cdef inline uint32_t _crc(const RecordHeader* record) noexcept nogil:
    return ~crc32c_update(0xFFFFFFFF, &record.sequence, record.size + HEAD - 8)


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
    memcpy(at + HEAD + head_size, data, size)
    record.crc = _crc(record)
    tape_publish(&record.length, length)


# ---------------------------------------------------------------- writer

cdef class TapeWriter:
    """Appends records to the tape in `directory` (made if missing; its parent must exist).

    now_ns: written into the first segment's header. segment_size: bytes per file, a multiple of 4096.
    session, build: up to 12 bytes each, written into every segment header. ahead: bytes kept pre-touched.
    check_all: read every old record before starting, not only the last segment's.

    Raises TapeLocked (a second writer), TapeCorrupt (old records are damaged), TapeFull (no room to start).
    After opening, `cut` says what was cut off a torn tail, if anything was.
    """

    def __cinit__(self):
        self._spare_fd = self._lock_fd = -1
        self._closed = True
        self.cut = ""

    def __init__(self, directory, *, int64_t now_ns, Py_ssize_t segment_size=SEGMENT_SIZE, bytes session=b"",
                 bytes build=b"", Py_ssize_t ahead=AHEAD, bint check_all=True):
        if self._lock_fd >= 0:
            raise ValueError("this writer is already open")
        if segment_size < PAGE or segment_size % PAGE or segment_size > 1 << 31:
            raise ValueError(f"segment_size {segment_size}: need a multiple of {PAGE}, at most 2 GiB")
        if len(session) > 12 or len(build) > 12 or ahead < 0:
            raise ValueError("session and build are at most 12 bytes, ahead is not negative")
        self.directory = os.fspath(directory)
        self.segment_size = segment_size
        self.ahead = ahead
        self._session, self._build = session, build
        os.makedirs(self.directory, exist_ok=True)
        self._lock_fd = _lock(self.directory)
        self.sequence = 1
        self._recover(now_ns, check_all)
        self._grow_spare(segment_size)
        self._start(now_ns)
        self._closed = False

    def __dealloc__(self):
        # A writer that is dropped without close() leaves the tape as a crash would; the next one recovers it.
        if self._base:
            munmap(self._base, self.segment_size)
        if self._spare:
            munmap(self._spare, self.segment_size)
        if self._retired:
            munmap(self._retired, self.segment_size)
        for fd in (self._spare_fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)

    # ---- hot

    cdef int put(self, int type, int line, int64_t now_ns, const char* data, Py_ssize_t size) except -1 nogil:
        """Append one record of `size` payload bytes. Raises TapeFull, or ValueError (too big, or closed)."""
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

    cpdef bint prepare(self) except *:
        """One small step of work ahead of need; call it from a timer. True when nothing is left to prepare.

        Keeps `ahead` bytes in front of the writer mapped and allocates the next segment, 1 MiB a call. Raises
        TapeFull when there is no room for a next segment: put() still works until the current one is used up.
        """
        if self._closed or self.full:
            return True
        self._retire()
        self._touch_ahead()
        if self._spare == NULL:
            self._grow_spare(STEP)
        return self._spare != NULL

    def close(self, int64_t now_ns):
        """Seal the tape and let go of the directory. Closing twice is harmless."""
        if self._closed:
            return
        self._seal(CLOSED, now_ns)
        self._at = self._limit = NULL
        self._closed = True
        self._retire()
        self._drop_spare()
        munmap(self._base, self.segment_size)
        self._base = NULL
        os.close(self._lock_fd)
        self._lock_fd = -1

    cdef int _rotate(self, Py_ssize_t room, int64_t now_ns) except -1 with gil:
        """The current segment cannot take `room` bytes: seal it and go on in the next one."""
        if self._closed:
            raise ValueError(f"{self.directory}: the tape is closed")
        if room > self.segment_size - 2 * ALIGN:
            raise ValueError(f"a record of {room} bytes does not fit a segment of {self.segment_size}")
        if self.full:
            raise TapeFull(self._full_errno, "the tape is full", self.directory)
        if self._spare == NULL:
            self.stalls += 1
            try:
                self._grow_spare(self.segment_size)
            except TapeFull as error:
                self.full, self._full_errno = True, error.errno
                self._limit = self._at      # every later put() comes here and is refused
                raise
        self._seal(ROTATED, now_ns)
        self._retire()
        self._retired = self._base          # unmapping is slow; prepare() does it
        self.index += 1
        self._start(now_ns)
        return 0

    cdef int _seal(self, int reason, int64_t now_ns) except -1:
        _write(self._at, SEAL, reason, self.sequence, now_ns, NULL, 0, NULL, 0)
        return 0

    cdef int _start(self, int64_t now_ns) except -1:
        """Go on in the spare segment: fill in its header, publish it."""
        cdef SegmentHeader* header = <SegmentHeader*>self._spare
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
        filled.crc = ~crc32c_update(0xFFFFFFFF, &filled, sizeof(SegmentHeader) - 4)
        memcpy(<char*>header + 8, <char*>&filled + 8, sizeof(SegmentHeader) - 8)
        publish_magic(&header.magic, TAPE_MAGIC)
        self._base = self._dropped = self._spare
        self._spare = NULL
        self._spare_size = 0
        self._at = self._base + sizeof(SegmentHeader)
        self._limit = self._base + self.segment_size - ALIGN
        return 0

    cdef uint32_t _spare_index(self):
        """The spare comes after the current segment; before the first one is started it is the current one."""
        return self.index + (1 if self._base else 0)

    cdef int _grow_spare(self, Py_ssize_t most) except -1:
        """Allocate up to `most` more bytes of the next segment; map it once it is whole. Raises TapeFull."""
        cdef Py_ssize_t step = min(most, self.segment_size - self._spare_size)
        try:
            if self._spare_fd < 0:
                self._spare_fd = os.open(_path(self.directory, self._spare_index()) + ".new",
                                         os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            failed = posix_fallocate(self._spare_fd, self._spare_size, step)
            if failed:
                raise OSError(failed, os.strerror(failed))
            self._spare_size += step
            if self._spare_size == self.segment_size:
                self._map_spare()
        except OSError as error:
            self._drop_spare()      # a half-made file would sit on the last free bytes
            raise TapeFull(error.errno, f"no room for another tape segment: {error.strerror}",
                           self.directory) from error
        return 0

    cdef int _map_spare(self) except -1:
        cdef void* at = mmap(NULL, self.segment_size, PROT_READ | PROT_WRITE, MAP_SHARED, self._spare_fd, 0)
        if at == MAP_FAILED:
            raise OSError(errno, os.strerror(errno))
        self._spare = <char*>at
        failed = _touch(self._spare, min(self.ahead, self.segment_size))
        if failed:
            raise OSError(failed, os.strerror(failed))
        path = _path(self.directory, self._spare_index())
        os.rename(path + ".new", path)      # readers only ever see whole, zeroed files
        os.close(self._spare_fd)
        self._spare_fd = -1
        return 0

    cdef int _drop_spare(self) except -1:
        """Give back a next segment that is not needed, or could not be made."""
        path = _path(self.directory, self._spare_index())
        made = self._spare != NULL or self._spare_fd >= 0
        if self._spare:
            munmap(self._spare, self.segment_size)
            self._spare = NULL
        if self._spare_fd >= 0:
            os.close(self._spare_fd)
            self._spare_fd = -1
        self._spare_size = 0
        if made:
            for leftover in (path, path + ".new"):
                _unlink(leftover)
        return 0

    cdef int _touch_ahead(self) except -1:
        """Keep the next `ahead` bytes writable without a fault, and let go of the pages behind."""
        cdef char* here = self._base + (self._at - self._base) // PAGE * PAGE
        failed = _touch(here, min(self.ahead, self._base + self.segment_size - here))
        if failed:
            raise TapeFull(failed, os.strerror(failed), self.directory)
        if here - self._dropped >= STEP:    # they stay in the page cache; only our resident size shrinks
            madvise(self._dropped, here - self._dropped, MADV_DONTNEED)
            self._dropped = here
        return 0

    cdef int _retire(self) except -1:
        if self._retired:
            munmap(self._retired, self.segment_size)
            self._retired = NULL
        return 0

    def _recover(self, int64_t now_ns, bint check_all):
        """Read what is there, cut a torn tail, and find the index and sequence to go on with."""
        cdef TapeReader reader
        indexes = _indexes(self.directory)
        for name in os.listdir(self.directory):
            if name.endswith(".tape.new"):
                os.unlink(os.path.join(self.directory, name))
        if not indexes:
            return
        reader = TapeReader(self.directory)
        reader._read_to_end(check_all)
        self.index, self.sequence = indexes[0], reader.sequence
        if reader._segment is not None:
            self.index = reader._segment.index + 1
            if not reader.sealed:
                self._cut(reader._segment.path, reader._offset, now_ns)
        for index in indexes:
            if index >= self.index:     # prepared and never started, or torn in its first 64 bytes
                self._save_torn(_path(self.directory, index), 0)
                os.unlink(_path(self.directory, index))

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
                raise TapeFull(failed, os.strerror(failed), self.directory)
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


cdef int _unlink(str path) except -1:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    return 0


# ---------------------------------------------------------------- reading

cdef class Segment:
    """One segment file, mapped read-only at the size it has now. A bad header is noted, not raised."""

    def __init__(self, str path):
        cdef void* at
        self.path, self.trouble = path, ""
        self.index = int(os.path.basename(path)[:8])
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.size = os.fstat(fd).st_size
            if self.size:
                at = mmap(NULL, self.size, PROT_READ, MAP_SHARED, fd, 0)
                if at == MAP_FAILED:
                    self.size = 0
                    raise OSError(errno, os.strerror(errno), path)
                self.base = <char*>at
        finally:
            os.close(fd)
        self._check()

    def __dealloc__(self):
        if self.base:
            munmap(self.base, self.size)

    def _check(self):
        cdef SegmentHeader* header = self.header()
        if self.size < <Py_ssize_t>sizeof(SegmentHeader):
            self.published, self.trouble = self.size > 0, "the file is shorter than its header" if self.size else ""
            return
        self.published = load_magic(&header.magic) != 0
        if not self.published:
            return
        if header.magic != TAPE_MAGIC:
            self.trouble = "not a tape segment (bad magic)"
        elif header.crc != <uint32_t>~crc32c_update(0xFFFFFFFF, header, sizeof(SegmentHeader) - 4):
            self.trouble = "the segment header's crc does not match"
        elif header.layout != LAYOUT:
            self.trouble = f"layout version {header.layout}, this build reads {LAYOUT}"
        elif header.index != self.index:
            self.trouble = f"the header says this is segment {header.index}"

    cdef bint short(self):
        """The file lost bytes at its end."""
        return self.size != self.header().segment_lines * <Py_ssize_t>ALIGN

    cdef SegmentHeader* header(self) noexcept:
        return <SegmentHeader*>self.base

    cdef RecordHeader* record(self, Py_ssize_t offset) noexcept:
        return <RecordHeader*>(self.base + offset)

    cdef int look(self, Py_ssize_t offset, uint64_t sequence) noexcept nogil:
        """What stands at `offset`: WHOLE, or why it is not a record numbered `sequence` (0: any number)."""
        cdef RecordHeader* record = <RecordHeader*>(self.base + offset)
        cdef Py_ssize_t length, end
        if self.size - offset < HEAD:
            return NOTHING
        length = tape_load(&record.length)
        if length <= 0:
            return UNFINISHED if length else NOTHING
        end = (offset + length + ALIGN - 1) & ~<Py_ssize_t>(ALIGN - 1)
        if length < HEAD or end > self.size or record.size != <uint32_t>(length - HEAD):
            return BAD_LENGTH
        if record.crc != _crc(record):
            return BAD_CRC
        if not _zero(self.base + offset + length, self.base + end):
            return BAD_PADDING
        return BAD_SEQUENCE if sequence and record.sequence != sequence else WHOLE

    cdef Py_ssize_t next_whole(self, Py_ssize_t offset) noexcept nogil:
        """Offset of the first whole record at or after `offset`, or -1."""
        cdef Py_ssize_t at = offset
        while at + HEAD <= self.size:
            if self.look(at, 0) == WHOLE:
                return at
            at += ALIGN
        return -1

    cdef Py_ssize_t used_end(self, Py_ssize_t offset) noexcept nogil:
        """One past the last byte that is not zero, or `offset` if all from there on are."""
        cdef Py_ssize_t end = self.size
        while end - offset >= 4096 and _zero(self.base + end - 4096, self.base + end):
            end -= 4096
        while end > offset and self.base[end - 1] == 0:
            end -= 1
        return max(end, offset)


cdef inline bint _zero(const char* start, const char* end) noexcept nogil:
    cdef char any = 0
    while start < end:
        any |= start[0]
        start += 1
    return any == 0


cdef Py_ssize_t _after(Segment segment, Py_ssize_t offset) noexcept:
    cdef Py_ssize_t length = segment.record(offset).length
    return (offset + length + ALIGN - 1) & ~<Py_ssize_t>(ALIGN - 1)


cdef class TapeReader:
    """Reads the tape in `directory`, oldest record first; `for record in reader` yields Record.

    follow=False: a tape at rest. A torn tail ends it and is told in `torn` and `torn_bytes`. (On a living tape
    it ends where it catches up with the writer, which a slow consumer may never do: follow and poll instead.)
    follow=True: also a tape that is being written, or not started yet. Iteration stops at the last record
    published so far and can be taken up again; `poll` does the same in lists.

    Raises TapeMissing (no directory; no tape, unless following) and, where it is reached, TapeCorrupt.
    """

    def __init__(self, directory, bint follow=False):
        self.directory = os.fspath(directory)
        self.follow = follow
        self.sequence, self.torn = 1, ""
        if not _indexes(self.directory) and not follow:
            raise TapeMissing(2, "there is no tape in this directory", self.directory)

    def __iter__(self):
        return self

    def __next__(self):
        if not self._step():
            raise StopIteration
        return self._take()

    def poll(self, Py_ssize_t limit=1024):
        """The records available now, at most `limit`, as a list; empty when there is nothing new. Never waits."""
        out = []
        while len(out) < limit and self._step():
            out.append(self._take())
        return out

    cdef object _take(self):
        cdef RecordHeader* record = self._segment.record(self._offset)
        cdef const char* payload = <const char*>record + HEAD
        out = Record(record.type, record.line, record.sequence, record.now_ns, payload[:record.size])
        self._pass()
        return out

    cdef int _pass(self) noexcept:
        self._offset = _after(self._segment, self._offset)
        self.sequence += 1
        return 0

    def _read_to_end(self, bint check_all):
        """For recovery: check everything, build nothing. Without `check_all` start at the last segment in use."""
        if not check_all:
            self._skip_to_last()
        while self._step():
            self._pass()

    def _skip_to_last(self):
        cdef Segment segment
        for index in reversed(_indexes(self.directory)):
            segment = Segment(_path(self.directory, index))
            if segment.published and not segment.trouble:
                self._enter(segment)
                return

    cdef bint _step(self) except *:
        """Stand on the next record. False where there is none (yet)."""
        cdef int found
        while True:
            if self._segment is None or self.sealed:
                if not self._advance():
                    return False
            found = self._segment.look(self._offset, self.sequence)
            if found == WHOLE and self._segment.record(self._offset).type == SEAL:
                self._on_seal()
            elif found == WHOLE:
                return True
            elif not self._settle(found):
                return False

    def _on_seal(self):
        cdef Py_ssize_t after = _after(self._segment, self._offset)
        if not self.follow and self._segment.used_end(after) != after:
            raise self._corrupt(after, "bytes after the segment's seal")
        self.sealed = True

    cdef bint _settle(self, int found) except *:
        """Not a record. Raise if it is corruption; True: look again, it has changed; False: the end for now."""
        cdef Segment segment = self._segment
        if self.follow and (found == NOTHING or found == UNFINISHED):
            return self._reopened()
        if found == BAD_SEQUENCE:
            raise self._corrupt(self._offset, f"{_FINDINGS[found]} {segment.record(self._offset).sequence}")
        whole = segment.next_whole(self._offset + ALIGN)
        end = segment.used_end(self._offset)
        later = self._later_in_use()
        if segment.look(self._offset, self.sequence) != found:
            return True     # the writer is alive and has gone on while we looked further: look here last
        if whole >= 0:
            raise self._corrupt(self._offset, f"{_FINDINGS[found]}, with whole records after it")
        if later:
            raise self._corrupt(self._offset, f"{_FINDINGS[found]}, with a segment in use after it")
        if not self.follow and (end > self._offset or segment.short()):
            self._note_torn(segment, self._offset, end)
        return self.follow and self._reopened()

    cdef bint _reopened(self) except *:
        """A file that had been cut short was made whole again by a new writer: map it anew."""
        if not self._segment.short() or os.stat(self._segment.path).st_size == self._segment.size:
            return False
        self._segment = Segment(self._segment.path)
        return True

    cdef bint _later_in_use(self) except *:
        cdef Segment segment
        for index in _indexes(self.directory):
            segment = Segment(_path(self.directory, index))
            if index > self._segment.index and segment.published:
                return True
        return False

    cdef bint _advance(self) except *:
        """Go to the next segment. False where there is none in use (yet)."""
        cdef Segment segment
        indexes = [i for i in _indexes(self.directory) if self._segment is None or i > self._segment.index]
        if not indexes:
            return self._end_of_chain()
        segment = Segment(_path(self.directory, indexes[0]))
        if self._segment is not None and segment.index != self._segment.index + 1:
            raise self._corrupt(self._offset, f"segment {self._segment.index + 1:08d}.tape is missing")
        if not segment.published or segment.trouble:
            return self._not_started(segment, len(indexes) > 1)
        if self._segment is not None and segment.header().first_sequence != self.sequence:
            raise TapeCorrupt(segment.path, 0, self.sequence,
                              f"the segment starts at sequence {segment.header().first_sequence}")
        self._enter(segment)
        return True

    cdef bint _end_of_chain(self) except *:
        if self._segment is not None and not self.follow and \
                self._segment.record(self._offset).line == ROTATED:
            raise self._corrupt(self._offset, f"segment {self._segment.index + 1:08d}.tape is missing")
        return False

    cdef bint _not_started(self, Segment segment, bint more) except *:
        """A segment without a good header: prepared, or torn at birth, or corrupt if anything comes after."""
        if not segment.published and not more and segment.used_end(0) == 0:
            return False
        if segment.next_whole(sizeof(SegmentHeader)) >= 0 or more:
            if not segment.published and Segment(segment.path).published:
                return self._advance()      # the writer is alive and has just started it
            raise TapeCorrupt(segment.path, 0, self.sequence, segment.trouble or "the segment has no header")
        if not self.follow:
            self._note_torn(segment, 0, segment.used_end(0))
        return False

    def _enter(self, Segment segment):
        if self._segment is None:
            self.sequence = segment.header().first_sequence     # older segments may have been archived
        self._segment, self._offset, self.sealed = segment, sizeof(SegmentHeader), False

    def _note_torn(self, Segment segment, Py_ssize_t offset, Py_ssize_t end):
        self.torn_bytes = end - offset
        self.torn = f"{segment.path}: {self.torn_bytes} torn bytes at offset {offset}, sequence {self.sequence}"

    def _corrupt(self, Py_ssize_t offset, what):
        return TapeCorrupt(self._segment.path, offset, self.sequence, what)


# ---------------------------------------------------------------- verify

def verify(directory, Py_ssize_t first_index=0):
    """Check a whole tape and return a Report; nothing is changed and damage is never raised.

    first_index: the first segment that must be there (earlier ones may have been archived).
    Raises TapeMissing where there is no tape.
    """
    cdef Segment segment
    directory = os.fspath(directory)
    indexes = [i for i in _indexes(directory) if i >= first_index]
    if not indexes:
        raise TapeMissing(2, "there is no tape in this directory", directory)
    check = _Check(directory, indexes)
    for index in range(first_index, max(indexes) + 1):
        check.segment(index)
    return check.report()


class _Check:
    def __init__(self, directory, indexes):
        self.directory, self.indexes, self.last_index = directory, indexes, max(indexes)
        self.problems, self.sequence, self.first = [], None, None
        self.segments = self.records = 0
        self.sealed = False
        self.seal_line = CLOSED

    def report(self):
        if self.sealed and self.seal_line == ROTATED and not os.path.exists(_path(self.directory, self.last_index + 1)):
            self.problem(self.last_index + 1, 0, "the segment is missing")
        last = None if self.sequence is None else self.sequence - 1
        return Report(not self.problems, self.segments, self.records, self.first, last, self.sealed, self.problems)

    def problem(self, index, offset, what):
        self.problems.append(Problem(f"{index:08d}.tape", offset, self.sequence, what))

    def segment(self, index):
        cdef Segment segment
        if index not in self.indexes:
            self.problem(index, 0, "the segment is missing")
            self.sequence = None
            return
        segment = Segment(_path(self.directory, index))
        if not segment.published:
            self.unused(segment)
        elif segment.trouble:
            self.problem(index, 0, segment.trouble)
            self.sequence = None
        else:
            self.header(segment)
            self.walk(segment)

    def unused(self, Segment segment):
        """Only the last file may be without a header, and then it is all zero."""
        if segment.index != self.last_index:
            self.problem(segment.index, 0, "the segment has no header")
        elif segment.used_end(0) and not Segment(segment.path).published:
            self.problem(segment.index, 0, "bytes in a segment that was never started")

    def header(self, Segment segment):
        first = segment.header().first_sequence
        if self.sequence is not None and first != self.sequence:
            self.problem(segment.index, 0, f"the segment starts at sequence {first}")
        if self.segments and not self.sealed:
            self.problem(segment.index - 1, 0, "the segment ends without a seal")
        if segment.short():
            self.problem(segment.index, segment.size, "the file is not as long as its header says")
        self.sequence, self.sealed = first, False
        self.first = first if self.first is None else self.first
        self.segments += 1

    def walk(self, Segment segment):
        cdef Py_ssize_t offset = sizeof(SegmentHeader)
        cdef uint64_t sequence = self.sequence
        cdef int found
        while True:
            found = segment.look(offset, sequence)
            self.sequence = sequence
            if found == WHOLE and segment.record(offset).type == SEAL:
                self.seal(segment, offset)
                return
            if found == BAD_SEQUENCE:
                self.problem(segment.index, offset, f"{_FINDINGS[found]} {segment.record(offset).sequence}")
                sequence = segment.record(offset).sequence
            elif found == WHOLE:
                self.records += 1
                sequence += 1
                offset = _after(segment, offset)
            else:
                after = self.gap(segment, offset, found)
                if after < 0:
                    return
                if after > offset:
                    offset, sequence = after, segment.record(after).sequence

    def gap(self, Segment segment, Py_ssize_t offset, int found):
        """Not a record. Where to go on: at a later whole record, or here if the writer is alive; -1: nowhere."""
        cdef Py_ssize_t whole = segment.next_whole(offset + ALIGN)
        cdef Py_ssize_t end = segment.used_end(offset)
        if segment.look(offset, self.sequence) != found:
            return offset
        if whole >= 0:
            self.problem(segment.index, offset, f"{_FINDINGS[found]}, with whole records after it")
        elif end > offset:
            self.problem(segment.index, offset, f"torn tail: {_FINDINGS[found]}, {end - offset} bytes")
        return whole

    def seal(self, Segment segment, Py_ssize_t offset):
        after = _after(segment, offset)
        if segment.used_end(after) != after:
            self.problem(segment.index, after, "bytes after the segment's seal")
        self.sealed, self.seal_line = True, segment.record(offset).line

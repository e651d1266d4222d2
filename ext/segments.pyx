"""Tape segments: what stands at an offset, a reader from the first record to the last, and a check of everything.

A reader trusts nothing: each record is taken only where its length, crc, padding and sequence number fit, and pages
are brought in by a call that fails, not by a fault that kills, where a file was cut or its disk cannot be read.

This file must not know: what payloads mean, or how a tape is written.
"""

import os
import stat
from collections import namedtuple

from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EFAULT, EIO, errno
from libc.string cimport memset

cdef extern from *:
    """
    #include <errno.h>
    #include <sys/mman.h>
    #ifndef MADV_POPULATE_READ
    #define MADV_POPULATE_READ 22
    #endif
    #ifndef EHWPOISON
    #define EHWPOISON EIO
    #endif
    """
    enum: MADV_POPULATE_READ, EHWPOISON

crc32c_init()

cdef enum:
    WINDOW = 1 << 20    # bytes that are brought in at once

cdef enum:              # what look() finds at an offset
    WHOLE, NOTHING, UNFINISHED, BAD_LENGTH, BAD_CRC, BAD_PADDING, BAD_SEQUENCE, UNREADABLE

_FINDINGS = {
    NOTHING: "no record",
    UNFINISHED: "a record that was never finished",
    BAD_LENGTH: "a record with an impossible length",
    BAD_CRC: "a record whose crc does not match",
    BAD_PADDING: "bytes in the padding of a record",
    BAD_SEQUENCE: "a record with the wrong sequence number",
    UNREADABLE: "the file cannot be read from here on (cut short meanwhile, or its disk reports an I/O error)",
}

Record = namedtuple("Record", "type line sequence now_ns payload")
Record.__doc__ = "One record: type and line (ints), sequence, now_ns as the writer was told, payload (bytes)."
Problem = namedtuple("Problem", "file offset sequence what")
Problem.__doc__ = "One fault: file name, byte offset in it, the sequence number expected there, and what is wrong."
Report = namedtuple("Report", "ok segments records first_sequence last_sequence sealed problems")
Report.__doc__ = "What verify() found. `sealed`: the tape was closed in good order. `problems`: list of Problem."
Inspection = namedtuple("Inspection", "records first_sequence last_sequence end reason problems")
Inspection.__doc__ = """What inspect() found in one segment. `end`: bytes up to and with its seal, 0 where there is none;
`reason`: of the seal (0 closed, 1 rotated, 2 after a crash), None where there is none; `first_sequence` is None where the
header is not whole; `problems`: list of Problem."""

cdef object _new = tuple.__new__    # a third of what Record(...) costs
cdef object _Record = Record


class TapeMissing(FileNotFoundError):
    """The directory is not there, or there is no tape in it, or not the segment to begin with."""


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

def path_of(str directory, uint32_t index):
    """Where a segment is."""
    return os.path.join(directory, f"{index:08d}.tape")


def indexes_in(str directory):
    """Indexes of the segment files in a directory, ascending. Raises TapeMissing where there is no directory."""
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise TapeMissing(error.errno, "not a tape directory", directory) from error
    return sorted(int(n[:8]) for n in names if len(n) == 13 and n.isascii() and n.endswith(".tape") and n[:8].isdigit())


cdef class Segment:
    """One segment: a file mapped read-only at the size it has now, or `data` in its place. A bad header is noted, not raised."""

    def __init__(self, str path, data=None):
        self.path, self.trouble = path, ""
        self.index = int(os.path.basename(path)[:8])
        if data is None:
            self.held = None    # until it is said so, it is neither None nor anything else
            self._map()
        else:
            self.held = data
            self.size = self.present = self.held.shape[0]
            self.base = <char*>&self.held[0] if self.size else NULL
        if not self.trouble:
            self._check()

    def __dealloc__(self):
        if self.mapped:
            munmap(self.base, self.size)

    def _map(self):
        cdef void* at
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)    # a pipe of that name does not hold us
        try:
            told = os.fstat(fd)
            if not stat.S_ISREG(told.st_mode):
                self.published, self.trouble = True, "not a tape segment (not a file)"
                return
            self.size = told.st_size
            if self.size:
                at = mmap(NULL, self.size, PROT_READ, MAP_SHARED, fd, 0)
                if at == MAP_FAILED:
                    self.size = 0
                    raise OSError(errno, os.strerror(errno), self.path)
                self.base, self.mapped = <char*>at, True
        finally:
            os.close(fd)

    def _check(self):
        cdef SegmentHeader* header = self.header()
        if self.size < <Py_ssize_t>sizeof(SegmentHeader):
            self.published, self.trouble = self.size > 0, "the file is shorter than its header" if self.size else ""
            return
        if not self.bring(sizeof(SegmentHeader)):
            self.published, self.trouble = True, _FINDINGS[UNREADABLE]
            return
        self.published = load_magic(&header.magic) != 0
        if not self.published:
            return
        if header.magic != TAPE_MAGIC:
            self.trouble = "not a tape segment (bad magic): a file of something else; take it away"
        elif header.crc != crc_of_header(header):
            self.trouble = "the segment header's crc does not match"
        elif header.layout != LAYOUT:
            self.trouble = f"layout version {header.layout}, this build reads {LAYOUT}"
        elif header.index != self.index:
            self.trouble = f"the header says this is segment {header.index}"

    cdef bint short(self):
        """The file lost bytes at its end."""
        return self.size != self.header().segment_lines * <Py_ssize_t>ALIGN

    cdef SegmentHeader* header(self) noexcept nogil:
        return <SegmentHeader*>self.base

    cdef bytes session(self):
        return self.header().session[:12]

    cdef RecordHeader* record(self, Py_ssize_t offset) noexcept nogil:
        return <RecordHeader*>(self.base + offset)

    cdef bint bring(self, Py_ssize_t end) noexcept nogil:
        """Have the bytes before `end` in memory. False where touching them would kill the process."""
        cdef Py_ssize_t start, stop
        if end <= self.present:
            return True
        start = self.present & ~<Py_ssize_t>4095
        stop = min(self.size, max(end, self.present + WINDOW))
        if madvise(self.base + start, stop - start, MADV_POPULATE_READ) and errno in (EFAULT, EIO, EHWPOISON):
            return False
        self.present = stop     # a kernel before 5.14 cannot tell, and the reader takes its chance
        return True

    cdef int look(self, Py_ssize_t offset, uint64_t sequence) noexcept nogil:
        """What stands at `offset`: WHOLE, or why it is not a record numbered `sequence` (0: any number)."""
        cdef RecordHeader* record = <RecordHeader*>(self.base + offset)
        cdef Py_ssize_t length, end
        if self.size - offset < HEAD:
            return NOTHING
        if not self.bring(offset + HEAD):
            return UNREADABLE
        length = tape_load(&record.length)
        if length <= 0:
            return NOTHING if length == 0 else BAD_LENGTH if -<Py_ssize_t>length > self.size - offset else UNFINISHED
        end = (offset + length + ALIGN - 1) & ~<Py_ssize_t>(ALIGN - 1)
        if length < HEAD or end > self.size or record.size != <uint32_t>(length - HEAD):
            return BAD_LENGTH
        if not self.bring(end):
            return UNREADABLE
        if record.crc != crc_of(record):
            return BAD_CRC
        if not _zero(self.base + offset + length, self.base + end):
            return BAD_PADDING
        return BAD_SEQUENCE if sequence and record.sequence != sequence else WHOLE

    cdef Py_ssize_t next_whole(self, Py_ssize_t offset) noexcept nogil:
        """Offset of the first whole record at or after `offset`, or -1."""
        cdef Py_ssize_t at = offset
        cdef int found
        while at + HEAD <= self.size:
            found = self.look(at, 0)
            if found == WHOLE:
                return at
            if found == UNREADABLE:
                return -1
            at += ALIGN
        return -1

    cdef Py_ssize_t used_end(self, Py_ssize_t offset) noexcept nogil:
        """One past the last byte that is not zero, or `offset` if all from there on are. What cannot be read counts as used."""
        cdef Py_ssize_t end = self.size
        if not self.bring(self.size):
            return end
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


cdef Py_ssize_t _after(Segment segment, Py_ssize_t offset) noexcept nogil:
    cdef Py_ssize_t length = segment.record(offset).length
    return (offset + length + ALIGN - 1) & ~<Py_ssize_t>(ALIGN - 1)


# ---------------------------------------------------------------- reading

cdef class TapeReader:
    """Reads the tape in `directory`, oldest record first; `for record in reader` yields Record.

    follow=False: a tape at rest. A torn tail ends it and is told in `torn` and `torn_bytes`. (On a living tape
    it ends where it catches up with the writer, which a slow consumer may never do: follow and poll instead.)
    follow=True: also a tape that is being written, or not started yet. Iteration stops at the last record
    published so far and can be taken up again; `poll` does the same in lists.
    types: only records of these types (RecordType or int) are handed out; the others are read and checked all the same.
    from_index: the first segment to read; None is the oldest in the directory.
    archived: called with the index of a segment that is not in the directory; returns its bytes (or any buffer),
    or None where it has none. The oldest segment in the directory is still the first one, unless from_index says.

    Raises TapeMissing (no directory; no tape or not its first segment, unless following) and, where it is reached,
    TapeCorrupt. ValueError for a type that no record can have.
    """

    def __init__(self, directory, bint follow=False, *, types=None, from_index=None, archived=None):
        self.directory = os.fspath(directory)
        self.follow, self._archived = follow, archived
        self.sequence, self.torn = 1, ""
        self._from_index = -1 if from_index is None else from_index
        self._all = types is None
        self._want(() if types is None else types)
        if not indexes_in(self.directory) and not follow and (archived is None or from_index is None):
            raise TapeMissing(2, "there is no tape in this directory", self.directory)

    def _want(self, types):
        memset(self._wanted, 0, sizeof(self._wanted))
        for kind in types:
            if not 0 < kind < 0x10000:
                raise ValueError(f"no record is of type {kind}")
            self._wanted[<int>kind >> 6] |= 1ULL << (<int>kind & 63)

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

    @property
    def index(self) -> int | None:
        """Of the segment that the last record came from; None before the first one."""
        return None if self._segment is None else self._segment.index

    cdef object _take(self):
        cdef RecordHeader* record = self._segment.record(self._offset)
        cdef const char* payload = <const char*>record + HEAD
        out = _new(_Record, (record.type, record.line, record.sequence, record.now_ns, payload[:record.size]))
        self._pass()
        return out

    cdef int _pass(self) noexcept nogil:
        self._offset = _after(self._segment, self._offset)
        self.sequence += 1
        return 0

    def read_to_end(self, bint check_all):
        """For recovery: check everything, build nothing. Without `check_all` start at the last segment in use."""
        if not check_all:
            self._skip_to_last()
        while self._step():
            self._pass()

    def end(self):
        """For recovery: (index of the last segment or None, its path, where its records end)."""
        return (None, "", 0) if self._segment is None else (self._segment.index, self._segment.path, self._offset)

    def session(self) -> bytes:
        """Name of the tape as its segments carry it (12 bytes), b"" before the first one is read."""
        return b"" if self._segment is None else self._segment.session()

    def _skip_to_last(self):
        cdef Segment segment
        for index in reversed(indexes_in(self.directory)):
            segment = Segment(path_of(self.directory, index))
            if segment.published and not segment.trouble:
                self._enter(segment)
                return

    cdef int _skip(self) noexcept nogil:
        """Pass all whole records that nobody asked for. Returns what look() says of the next one."""
        cdef int found, kind
        while True:
            found = self._segment.look(self._offset, self.sequence)
            if found != WHOLE or self._all:
                return found
            kind = self._segment.record(self._offset).type
            if kind == SEAL or self._wanted[kind >> 6] >> (kind & 63) & 1:
                return WHOLE
            self._pass()

    cdef bint _step(self) except *:
        """Stand on the next record that is asked for. False where there is none (yet)."""
        cdef int found
        while True:
            if self._segment is None or self.sealed:
                if not self._advance():
                    return False
            if self._all:
                found = self._skip()
            else:
                with nogil:     # it may pass a whole segment
                    found = self._skip()
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
            return self._wait(found)
        if found == BAD_SEQUENCE:
            raise self._corrupt(self._offset, f"{_FINDINGS[found]} {segment.record(self._offset).sequence}")
        if found == UNREADABLE:
            raise self._corrupt(self._offset, _FINDINGS[found])
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

    cdef bint _wait(self, int found) except *:
        """There may be a record here soon, but not where a writer would have gone on already. True: look again."""
        cdef Segment segment = self._segment
        cdef char* at = segment.base + self._offset
        cdef bint begun = found == NOTHING and segment.size - self._offset >= ALIGN and not _zero(at + 4, at + ALIGN)
        cdef bint later = self._is_published(segment.index + 1)
        if not begun and not later:
            return self._reopened()
        if segment.look(self._offset, self.sequence) != found:
            return True     # the writer has gone on meanwhile: it stores the length of a record first and last
        what = "with a segment in use after it" if later else "with bytes behind it"
        raise self._corrupt(self._offset, f"{_FINDINGS[found]}, {what}")

    cdef bint _reopened(self) except *:
        """A file that had been cut short was made whole again by a new writer: map it anew."""
        if not self._segment.short() or not self._segment.mapped:
            return False
        if os.stat(self._segment.path).st_size == self._segment.size:
            return False
        self._segment = Segment(self._segment.path)
        return True

    cdef bint _later_in_use(self) except *:
        if self._archived is not None and self._archived(self._segment.index + 1) is not None:
            return True
        return any([self._is_published(i) for i in self._later(self._segment.index)])

    cdef bint _advance(self) except *:
        """Go to the next segment. False where there is none in use (yet)."""
        cdef Segment segment
        cdef int64_t index = self._next_index()
        PyErr_CheckSignals()
        segment = self._open(index) if index >= 0 else None
        if segment is None:
            return self._none_there(index)
        if not segment.published or segment.trouble:
            return self._not_started(segment)
        if self._segment is not None:
            self._join(segment)
        self._enter(segment)
        return True

    cdef int64_t _next_index(self) except? -1:
        if self._segment is not None:
            return self._segment.index + <int64_t>1
        if self._from_index >= 0:
            return self._from_index
        indexes = indexes_in(self.directory)
        return indexes[0] if indexes else -1

    cdef Segment _open(self, uint32_t index):
        """A segment from the directory, or from the archive; None where neither has it. The archive is asked behind the
        directory: what is archived may leave the directory at any time, never the other way."""
        path = path_of(self.directory, index)
        try:
            return Segment(path)
        except FileNotFoundError:
            data = None if self._archived is None else self._archived(index)
            return None if data is None else Segment(path, data)

    cdef bint _none_there(self, int64_t index) except *:
        """The segment to go on with is nowhere: that is the end, unless there are later ones."""
        what = f"segment {index:08d}.tape is missing"
        if index < 0 or not self._later(index):
            if self._segment is None and index >= 0 and not self.follow:
                raise TapeMissing(2, what, self.directory)
            return self._end_of_chain()
        if self._open(index) is not None:
            return self._advance()      # the writer is alive and has just made it, and the later one
        if self._segment is None:
            raise TapeMissing(2, what, self.directory)
        raise self._corrupt(self._offset, what)

    cdef list _later(self, int64_t index):
        return [i for i in indexes_in(self.directory) if i > index]

    def _join(self, Segment segment):
        """Is this the segment that goes on where the last one ends?"""
        if segment.session() != self._segment.session():
            raise TapeCorrupt(segment.path, 0, self.sequence, f"{OTHER_TAPE} ({_name(segment)}, not {_name(self._segment)})")
        if segment.header().first_sequence != self.sequence:
            raise TapeCorrupt(segment.path, 0, self.sequence,
                              f"the segment starts at sequence {segment.header().first_sequence}")

    cdef bint _end_of_chain(self) except *:
        if self._segment is not None and not self.follow and \
                self._segment.record(self._offset).line == ROTATED:
            raise self._corrupt(self._offset, f"segment {self._segment.index + 1:08d}.tape is missing")
        return False

    cdef bint _not_started(self, Segment segment) except *:
        """A segment without a good header: prepared, or torn at birth, or corrupt if anything comes after."""
        cdef bint more = any([self._is_published(i) for i in self._later(segment.index)])     # two may be prepared
        if not segment.published and not more and segment.used_end(0) == 0:
            return False
        if segment.next_whole(sizeof(SegmentHeader)) >= 0 or more or _is_foreign(segment):
            if not segment.published and self._is_published(segment.index):
                return self._advance()      # the writer is alive and has just started it
            raise TapeCorrupt(segment.path, 0, self.sequence, segment.trouble or "the segment has no header")
        if not self.follow:
            self._note_torn(segment, 0, segment.used_end(0))
        return False

    cdef bint _is_published(self, uint32_t index) except *:
        """Was this segment started? Asked at every look of who follows a writer, so the file is not mapped for it: that
        brings in a stretch of it."""
        try:
            fd = os.open(path_of(self.directory, index), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            data = None if self._archived is None else self._archived(index)
            return data is not None and Segment(path_of(self.directory, index), data).published
        try:
            raw = os.read(fd, sizeof(SegmentHeader)) if stat.S_ISREG(os.fstat(fd).st_mode) else None
        except OSError:
            raw = None      # there is something, and it cannot be read
        finally:
            os.close(fd)
        return raw is None or 0 < len(raw) < <Py_ssize_t>sizeof(SegmentHeader) or any(raw[:8])

    def _enter(self, Segment segment):
        if self._segment is None:
            self.sequence = segment.header().first_sequence     # older segments may have been archived
        self._segment, self._offset, self.sealed = segment, sizeof(SegmentHeader), False

    def _note_torn(self, Segment segment, Py_ssize_t offset, Py_ssize_t end):
        self.torn_bytes = end - offset
        self.torn = f"{segment.path}: {self.torn_bytes} torn bytes at offset {offset}, sequence {self.sequence}"

    def _corrupt(self, Py_ssize_t offset, what):
        return TapeCorrupt(self._segment.path, offset, self.sequence, what)


OTHER_TAPE = "a segment of another tape"


cdef str _name(Segment segment):
    return segment.session().rstrip(b"\0").decode(errors="backslashreplace") or "without a name"


cdef bint _is_foreign(Segment segment) noexcept:
    """A header is published in one store when it is complete, so a bad one was never ours, or was damaged. (A file that
    is shorter than a header was cut.)"""
    return segment.trouble != "" and (segment.size >= <Py_ssize_t>sizeof(SegmentHeader) or segment.base == NULL)


# ---------------------------------------------------------------- verify

def verify(directory, Py_ssize_t first_index=0):
    """Check a whole tape and return a Report; nothing is changed and damage is never raised.

    first_index: the first segment that must be there (earlier ones may have been archived).
    Raises TapeMissing where there is no tape.
    """
    directory = os.fspath(directory)
    indexes = [i for i in indexes_in(directory) if i >= first_index]
    if not indexes:
        raise TapeMissing(2, "there is no tape in this directory", directory)
    check = _Check(directory, indexes)
    for index in range(first_index, max(indexes) + 1):
        check.segment(index)
    return check.report()


def inspect(path):
    """Check one segment file by itself and return an Inspection; nothing is changed and damage is never raised.
    What comes before and after it is not looked at. Raises OSError."""
    directory, name = os.path.split(os.fspath(path))
    os.stat(path)       # one that is not there is the caller's fault, not damage
    index = int(name[:8])
    check = _Check(directory, [index])
    check.segment(index)
    last = None if check.sequence is None else check.sequence - 1
    reason = check.seal_line if check.sealed else None
    return Inspection(check.records, check.first, last, check.end, reason, check.problems)


cdef int _pass_whole(Segment segment, Py_ssize_t* offset, uint64_t* sequence) noexcept nogil:
    """Go on to what is not a whole record with the next sequence number, or is a seal: what that is."""
    cdef int found
    while True:
        found = segment.look(offset[0], sequence[0])
        if found != WHOLE or segment.record(offset[0]).type == SEAL:
            return found
        offset[0] = _after(segment, offset[0])
        sequence[0] += 1


class _Check:
    def __init__(self, directory, indexes):
        self.directory, self.indexes, self.last_index = directory, indexes, max(indexes)
        self.problems, self.sequence, self.first = [], None, None
        self.segments = self.records = 0
        self.sealed = False
        self.session = None
        self.seal_line = CLOSED
        self.end = 0

    def report(self):
        if self.sealed and self.seal_line == ROTATED and not os.path.exists(path_of(self.directory, self.last_index + 1)):
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
        try:
            segment = Segment(path_of(self.directory, index))
        except FileNotFoundError:       # prepared, and given back by a writer that closed meanwhile
            return
        if not segment.published:
            self.unused(segment)
        elif segment.trouble:
            self.problem(index, 0, segment.trouble)
            self.sequence = None
        else:
            self.header(segment)
            self.walk(segment)

    def unused(self, Segment segment):
        """Only files behind the last one in use may be without a header, and then they are all zero."""
        if any([Segment(path_of(self.directory, i)).published for i in self.indexes if i > segment.index]):
            self.problem(segment.index, 0, "the segment has no header")
        elif segment.used_end(0) and not Segment(segment.path).published:
            self.problem(segment.index, 0, "bytes in a segment that was never started")

    def header(self, Segment segment):
        first = segment.header().first_sequence
        if self.sequence is not None and first != self.sequence:
            self.problem(segment.index, 0, f"the segment starts at sequence {first}")
        session = segment.session() if self.session is None else self.session
        if segment.session() != session:
            self.problem(segment.index, 0, OTHER_TAPE)
        self.session = session
        if self.segments and not self.sealed:
            self.problem(segment.index - 1, 0, "the segment ends without a seal")
        if segment.short():
            self.problem(segment.index, segment.size, "the file is not as long as its header says")
        self.sequence, self.sealed = first, False
        self.first = first if self.first is None else self.first
        self.segments += 1

    def walk(self, Segment segment):
        cdef Py_ssize_t offset = sizeof(SegmentHeader)
        cdef uint64_t sequence = self.sequence, first
        cdef int found
        while True:
            first = sequence
            with nogil:     # other threads of the slow side have deadlines
                found = _pass_whole(segment, &offset, &sequence)
            self.records += sequence - first
            self.sequence = sequence
            if found == WHOLE and segment.record(offset).type == SEAL:
                self.seal(segment, offset)
                return
            if found == BAD_SEQUENCE:
                self.problem(segment.index, offset, f"{_FINDINGS[found]} {segment.record(offset).sequence}")
                sequence = segment.record(offset).sequence
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
        cdef Py_ssize_t after = _after(segment, offset), used
        with nogil:
            used = segment.used_end(after)
        if used != after:
            self.problem(segment.index, after, "bytes after the segment's seal")
        self.sealed, self.seal_line, self.end = True, segment.record(offset).line, after

"""Merges redundant lines: first contiguous update wins; a line that jumped is held while another may fill the hole.

The venues number messages of a stream alike on every connection, so "first wins" needs nothing but the ids: a copy that is
already contained is dropped for the price of a look. A hole on one line is not a gap while another line that carries the
stream is in step: the message is held back (dropped: the other line will bring it too) for at most `hold_ns`. Only when
every line has jumped, or the hold ran out, does the book see the hole and declare a gap.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memset

from ext.records cimport SEED, SNAPSHOT
from ext.sequence cimport JUMP, NEXT, classify


cdef class Arbiter:
    """Arbiter over `instruments` feeds. A line is up from `line_up` until `line_down`."""

    def __cinit__(self, int instruments, int64_t hold_ns=200_000_000):
        cdef int i
        self.instruments, self.hold_ns = instruments, hold_ns
        self.feeds = <Feed*>calloc(max(instruments, 1), sizeof(Feed))
        self.counts = <LineCount*>calloc(LINES_MAX, sizeof(LineCount))
        if not (self.feeds and self.counts):
            raise MemoryError()
        for i in range(instruments):
            self.feeds[i].lead = -1

    def __dealloc__(self):
        free(self.feeds)
        free(self.counts)

    cdef bint admit(self, int line, const DepthHead* head, int64_t last_id, bint synced, bint loaded,
                    int64_t now_ns) noexcept nogil:
        """True where this depth message should go to the book that stands at `last_id`."""
        cdef Feed* feed = &self.feeds[head.instrument]
        cdef int place
        if head.kind == SEED:               # the reply to a request: its line carries no stream, and has no bit
            return True
        feed.carriers |= <uint32_t>1 << line
        if head.kind == SNAPSHOT:
            return self._snapshot(line, feed, head, last_id, synced)
        if not (synced or loaded):          # fill the book's buffer from one line only: it must be contiguous
            if feed.lead < 0 or not self.up >> feed.lead & 1:
                feed.lead = line
            self.counts[line].won += feed.lead == line
            return feed.lead == line
        place = classify(head, last_id, loaded)
        if place == NEXT:
            feed.jumped_ns[line] = 0
            self.counts[line].won += 1
            return True
        if place != JUMP:
            feed.jumped_ns[line] = 0
            self.counts[line].late += 1
            return False
        if not feed.jumped_ns[line]:
            feed.jumped_ns[line] = now_ns
        if self._alone(line, feed) or now_ns - feed.jumped_ns[line] >= self.hold_ns:
            self.counts[line].lost += 1
            feed.lead = line
            memset(feed.jumped_ns, 0, sizeof(feed.jumped_ns))
            return True
        self.counts[line].held += 1
        return False

    cdef bint _snapshot(self, int line, Feed* feed, const DepthHead* head, int64_t last_id, bint synced) noexcept nogil:
        """A stream snapshot. On a line that just came up it is the state at that moment, and stale if another line is
        further on; on a line that is running it is the venue starting the book anew, which goes through."""
        cdef bint first = feed.fresh >> line & 1
        feed.fresh &= ~(<uint32_t>1 << line)
        feed.jumped_ns[line] = 0
        if synced and first and head.last_id <= last_id and not self._alone(line, feed):
            self.counts[line].late += 1
            return False
        if synced and head.partial and head.last_id == last_id and not self._alone(line, feed):
            self.counts[line].late += 1
            return False
        self.counts[line].won += 1
        return True

    cdef bint _alone(self, int line, const Feed* feed) noexcept nogil:
        """No other line that is up carries this stream in step."""
        cdef int other
        for other in range(LINES_MAX):
            if other != line and self.up & feed.carriers & (<uint32_t>1 << other) and not feed.jumped_ns[other]:
                return False
        return True

    def line_up(self, int line):
        """A line connected and subscribed: its first snapshots may be behind."""
        if not 0 <= line < LINES_MAX:
            raise ValueError(f"line {line}: at most {LINES_MAX} lines")
        self.up |= <uint32_t>1 << line
        cdef int i
        for i in range(self.instruments):
            self.feeds[i].fresh |= <uint32_t>1 << line
            self.feeds[i].carriers &= ~(<uint32_t>1 << line)
            self.feeds[i].jumped_ns[line] = 0

    def line_down(self, int line) -> list:
        """A line is gone. Returns the instruments that no line carries any more: their books cannot be trusted."""
        cdef int i, bit = <uint32_t>1 << line
        orphans = []
        self.up &= ~bit
        for i in range(self.instruments):
            if self.feeds[i].carriers & bit:
                self.feeds[i].carriers &= ~bit
                self.feeds[i].jumped_ns[line] = 0
                if not self.feeds[i].carriers & self.up:
                    orphans.append(i)
            if self.feeds[i].lead == line:
                self.feeds[i].lead = -1
        return orphans

    def lines_up(self) -> int:
        """How many lines are up."""
        return (self.up & 0xFFFFFFFF).bit_count()

    def stats(self) -> dict:
        """Counters by line, for the lines that delivered anything."""
        out = {}
        cdef int i
        for i in range(LINES_MAX):
            if self.counts[i].won or self.counts[i].late or self.counts[i].held:
                out[i] = <object>self.counts[i]
        return out

    def ask(self, int line, int kind, int rule, int64_t first_id, int64_t last_id, int64_t prev_id, int64_t applied,
            bint synced, int64_t now_ns, int instrument=0, bint partial=False, bint loaded=False) -> bool:
        """`admit` for tests."""
        cdef DepthHead head
        memset(&head, 0, sizeof(head))
        head.instrument, head.kind, head.rule, head.partial = instrument, kind, rule, partial
        head.first_id, head.last_id, head.prev_id = first_id, last_id, prev_id
        return self.admit(line, &head, applied, synced, loaded, now_ns)

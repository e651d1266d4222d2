"""Merges redundant lines: first contiguous update wins; a line that jumped is held while another may fill the hole.

The venues number messages of a stream alike on every connection, so "first wins" needs nothing but the ids: a copy that is
already contained is dropped for the price of a look. A hole on one line is not a gap while another line that carries the
stream is in step: the message is held back (dropped: the other line will bring it too) while that line moves the book on,
and for at most `hold_ns` beyond. Only when every line has jumped, or the hold ran out, does the book see the hole and
declare a gap.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memset

from ext.records cimport RULE_PREV, SEED, SNAPSHOT
from ext.sequence cimport JUMP, NEXT, classify

cdef int64_t BEHIND_NS = 2_000_000_000     # nothing but messages behind the book for so long: not a lagging copy


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
            memset(self.feeds[i].last_id, 0xFF, sizeof(self.feeds[i].last_id))

    def __dealloc__(self):
        free(self.feeds)
        free(self.counts)

    cdef int admit(self, int line, const DepthHead* head, int64_t last_id, bint synced, bint loaded,
                   int64_t now_ns) noexcept nogil:
        """PASS where this depth message should go to the book that stands at `last_id`, else DROP or STUCK."""
        cdef Feed* feed = &self.feeds[head.instrument]
        cdef int place
        cdef int64_t before
        if head.kind == SEED:               # an answer to a request: no line of the feed carried it
            return PASS
        if line >= LINES_MAX:
            return DROP
        before = feed.last_id[line]
        feed.last_id[line] = head.last_id
        feed.carriers |= <uint32_t>1 << line
        if head.kind == SNAPSHOT:
            return self._snapshot(line, feed, head, last_id, synced, now_ns)
        if not (synced or loaded):          # fill the book's buffer from one line only: it must be contiguous
            if feed.lead < 0 or not self.up >> feed.lead & 1:
                feed.lead = line
            return self._pass(line, feed, now_ns) if feed.lead == line else DROP
        place = classify(head, last_id, loaded)
        if place == JUMP:
            return self._jumped(line, feed, now_ns)
        feed.jumped_ns[line] = 0
        if place == NEXT:
            return self._pass(line, feed, now_ns)
        # OKX may restart its numbering below what was applied. Where the message that did so was lost, what follows looks
        # old for ever; but it does not continue what this line sent before.
        if head.rule == RULE_PREV and synced and before >= 0 and head.prev_id != before and self._alone(line, feed):
            return STUCK
        return self._late(line, feed, synced, now_ns)

    cdef int _pass(self, int line, Feed* feed, int64_t now_ns) noexcept nogil:
        self.counts[line].won += 1
        feed.moved_ns = now_ns
        feed.behind_ns = 0
        return PASS

    cdef int _late(self, int line, Feed* feed, bint synced, int64_t now_ns) noexcept nogil:
        """Behind the book: a copy, as a rule. But where nothing else has come for a while, the line that the book had
        followed is gone, and this one is numbered anew."""
        self.counts[line].late += 1
        if not feed.behind_ns:
            feed.behind_ns = now_ns
        if not synced or now_ns - feed.behind_ns < BEHIND_NS:
            return DROP
        feed.behind_ns = 0
        return STUCK

    cdef int _jumped(self, int line, Feed* feed, int64_t now_ns) noexcept nogil:
        """Ahead of the book, with a hole before it. While another line moves the book on, the hole is being filled."""
        if not feed.jumped_ns[line]:
            feed.jumped_ns[line] = now_ns
        if not self._alone(line, feed) and now_ns - max(feed.jumped_ns[line], feed.moved_ns) < self.hold_ns:
            self.counts[line].held += 1
            return DROP
        self.counts[line].lost += 1
        feed.lead = line
        memset(feed.jumped_ns, 0, sizeof(feed.jumped_ns))
        return PASS

    cdef int _snapshot(self, int line, Feed* feed, const DepthHead* head, int64_t last_id, bint synced,
                       int64_t now_ns) noexcept nogil:
        """A stream snapshot. On a line that just came up it is the state at that moment, and stale if another line is
        further on; on a line that is running it is the venue starting the book anew, which goes through. Where every
        message is a snapshot, only a number that falls on the line itself is a new start: else the line lags."""
        cdef bint first = feed.fresh >> line & 1
        cdef bint lags = first or (head.partial and head.last_id >= feed.whole_id[line])
        feed.fresh &= ~(<uint32_t>1 << line)
        feed.jumped_ns[line] = 0
        feed.whole_id[line] = head.last_id
        if synced and lags and head.last_id <= last_id and not self._alone(line, feed):
            if self._late(line, feed, synced, now_ns) == DROP:
                return DROP
        return self._pass(line, feed, now_ns)

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
            self.feeds[i].last_id[line] = -1

    def line_down(self, int line) -> list:
        """A line is gone. Returns the instruments that no line carries any more: their books cannot be trusted."""
        if not 0 <= line < LINES_MAX:
            raise ValueError(f"line {line}: at most {LINES_MAX} lines")
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
            bint synced, int64_t now_ns, int instrument=0, bint partial=False, bint loaded=False) -> int:
        """`admit` for tests: 0 drop, 1 pass, 2 stuck."""
        cdef DepthHead head
        memset(&head, 0, sizeof(head))
        head.instrument, head.kind, head.rule, head.partial = instrument, kind, rule, partial
        head.first_id, head.last_id, head.prev_id = first_id, last_id, prev_id
        return self.admit(line, &head, applied, synced, loaded, now_ns)

"""Merges redundant lines: first contiguous update wins; what is beyond a hole waits while a line may still fill it.

The venues number the messages of a stream alike on every connection, so "first wins" needs nothing but the ids: a copy of what
the book has is dropped for the price of a look, and so is told from a gap. A message beyond a hole is kept, whole. It goes to
the book when another line has filled the hole, whichever lines lost what. Nobody can fill a hole that every line has
passed - a connection keeps its order - and nobody is waited for longer than `hold_ns` beyond the last message that moved the
book, nor longer than `HOLD_MOST` times that: then the book is told, and has a gap.

Numbers may start anew in mid-stream: Bybit sends a snapshot with a smaller id, OKX one message whose seqId is below its
prevSeqId. Each restart begins a new epoch of the feed. A line is in an epoch, and follows the feed into the next one when it
brings the same restart; what it brings before that is old, whatever its number. A line of which this is not known (it just came
up, its numbers fell) is loose: it counts again when what it brings is a copy of something applied, or an exact continuation.
Bare numbers cannot tell everything: where a line comes back with the snapshot of a server that has not restarted yet, soon after the
book followed a restart, and the numbers lie close together, the book may show that older, true state until the line restarts too.

USD-M events of two connections may be cut at different places. One that begins within what the book has and ends beyond it holds
everything that changed since, in absolute sizes: it is spliced on, where its own line has missed nothing.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memset

from ext.held cimport Held, held_asks, held_bids, held_clear, held_drop, held_put, held_unlink
from ext.records cimport RULE_NONE, RULE_PREV, RULE_RANGE, SEED, SNAPSHOT, DepthHead, Level
from ext.sequence cimport JUMP, NEXT, OLD, classify

cdef int64_t BEHIND_NS = 2_000_000_000     # nothing but messages behind the book for so long: not a lagging copy
cdef int64_t HOLD_MOST = 5                 # a hole that a laggard is on its way to is waited for so many times `hold_ns`

cdef extern from *:
    """
    static inline int tg_log2(int64_t x) { return x <= 0 ? 0 : 64 - __builtin_clzll((unsigned long long)x); }
    """
    int tg_log2(int64_t x) noexcept nogil


cdef class Arbiter:
    """Arbiter over `instruments` feeds. A line is up from `line_up` until `line_down`. Times in ns."""

    def __cinit__(self, int instruments, int64_t hold_ns=200_000_000):
        cdef int i
        self.instruments, self.hold_ns = instruments, hold_ns
        self.feeds = <Feed*>calloc(max(instruments, 1), sizeof(Feed))
        self.counts = <LineCount*>calloc(LINES_MAX, sizeof(LineCount))
        if not (self.feeds and self.counts):
            raise MemoryError()
        for i in range(instruments):
            self.feeds[i].lead = -1
            self.feeds[i].filler = self.feeds[i].ended_id = -1
            self.feeds[i].reset_id = self.feeds[i].reset_prev = self.feeds[i].buffered_id = -1
            memset(self.feeds[i].last_id, 0xFF, sizeof(self.feeds[i].last_id))
            memset(self.feeds[i].seen, 0xFF, sizeof(self.feeds[i].seen))

    def __dealloc__(self):
        cdef int i
        if self.feeds != NULL:
            for i in range(self.instruments):
                held_clear(&self.feeds[i].waiting)
        free(self.feeds)
        free(self.counts)

    # ---- a message came ----

    cdef int admit(self, int line, const DepthHead* head, const Level* bids, const Level* asks, const Stand* stand,
                   int64_t now_ns) noexcept nogil:
        """What becomes of this depth message. Behind PASS and SPLICE the book is given it, `passed` told, and then the same done
        with what `next_held` yields. Behind LOST see `give_up`."""
        cdef Feed* feed = &self.feeds[head.instrument]
        cdef int64_t before
        cdef int said
        if head.kind == SEED:               # an answer to a request: no line of the feed carried it
            return PASS
        if line >= LINES_MAX:
            return DROP
        before = feed.last_id[line]
        feed.last_id[line] = head.last_id
        feed.carriers |= <uint32_t>1 << line
        feed.expected |= <uint32_t>1 << line
        if stand.synced:
            feed.buffered_id = -1
        if head.kind == SNAPSHOT:
            said = self._snapshot(line, feed, head, stand, before, now_ns)
        elif head.rule == RULE_NONE:
            said = self._unnumbered(line, feed)
        else:
            said = self._update(line, feed, head, bids, asks, stand, before, now_ns)
        if feed.hole_ns and (said == PASS or said == SPLICE):
            feed.filler = line
        return said

    cdef bint is_copy(self, int line, const DepthHead* head, const Stand* stand, int64_t now_ns) noexcept nogil:
        """Is this certainly a copy of what the book has? Asked before the levels are read: then they need not be. What is not
        plain is not a copy; then `admit` sees the whole message."""
        cdef Feed* feed
        cdef uint32_t bit
        if line >= LINES_MAX or not stand.synced or head.kind == SEED or head.rule == RULE_NONE:
            return False
        feed = &self.feeds[head.instrument]
        bit = <uint32_t>1 << line
        if not feed.carriers & bit or feed.loose & bit or feed.line_epoch[line] != feed.epoch:
            return False
        if head.last_id > stand.last_id or head.last_id < feed.last_id[line] or head.prev_id > head.last_id:
            return False
        if feed.behind_ns and now_ns - feed.behind_ns >= BEHIND_NS:
            return False
        if self._alone(line, feed):         # then it says that the stream lives
            return False
        feed.last_id[line] = head.last_id
        self._late(line, feed, head, stand, now_ns)
        return True

    cdef int _update(self, int line, Feed* feed, const DepthHead* head, const Level* bids, const Level* asks,
                     const Stand* stand, int64_t before, int64_t now_ns) noexcept nogil:
        cdef int place
        cdef bint whole = stand.synced or stand.loaded
        cdef int64_t at = stand.last_id if whole else feed.buffered_id
        if not (whole or stand.by_request):     # only the stream's own snapshot helps; what is behind it may have come before it
            if self._alone(line, feed):
                return DROP
            return self._wait(line, feed, head, bids, asks, stand, feed.line_epoch[line], now_ns)
        self._number(line, feed, head, at, before)
        if feed.loose >> line & 1:
            return self._unplaced(line, feed, head, bids, asks, stand, before, now_ns)
        if feed.line_epoch[line] < feed.epoch:
            return self._late(line, feed, head, stand, now_ns)
        if feed.line_epoch[line] > feed.epoch:
            return self._wait(line, feed, head, bids, asks, stand,
                              feed.line_epoch[line] - (head.prev_id > head.last_id), now_ns)
        if at < 0:
            return PASS                         # begins the book's buffer
        place = classify(head, at, stand.loaded)
        if place == NEXT:
            return PASS
        if place == JUMP:
            if overlaps(head, at) and not self._alone(line, feed):
                return SPLICE
            return self._wait(line, feed, head, bids, asks, stand, feed.epoch, now_ns)
        return self._late(line, feed, head, stand, now_ns)

    cdef int _unplaced(self, int line, Feed* feed, const DepthHead* head, const Level* bids, const Level* asks,
                       const Stand* stand, int64_t before, int64_t now_ns) noexcept nogil:
        """A message of a line of which it is not known which numbering it is in."""
        cdef int64_t at = stand.last_id if stand.synced or stand.loaded else feed.buffered_id
        cdef int place = classify(head, at, stand.loaded)
        if head.rule == RULE_PREV and head.first_id < 0:
            place = NEXT if head.prev_id == at else (OLD if head.last_id <= at else JUMP)
        if place == NEXT and feed.line_epoch[line] >= feed.epoch:
            self._place(line, feed)
            return PASS
        if feed.line_epoch[line] <= feed.epoch and self._is_seen(feed, head.last_id):
            self._place(line, feed)
            return self._late(line, feed, head, stand, now_ns)
        if place == OLD or feed.line_epoch[line] < feed.epoch:
            # Where the message that restarted the numbering was lost, what follows looks old for ever; but it does not
            # continue what this line had sent.
            if stand.synced and before >= 0 and head.prev_id != before and self._alone(line, feed):
                return STUCK
            if feed.line_epoch[line] > feed.epoch:      # it belongs behind a restart that another line is yet to bring
                self._wait(line, feed, head, bids, asks, stand, feed.line_epoch[line], now_ns)
                if stand.synced and not self._follows(feed):
                    return LOST
            return self._late(line, feed, head, stand, now_ns)
        return self._wait(line, feed, head, bids, asks, stand, feed.epoch, now_ns)

    cdef void _number(self, int line, Feed* feed, const DepthHead* head, int64_t at, int64_t before) noexcept nogil:
        """Which numbering is the line in, this message included?"""
        if head.rule == RULE_RANGE or head.first_id >= 0:       # Binance numbers a book once and for all
            self._place(line, feed)
        elif head.rule == RULE_PREV and head.prev_id > head.last_id:    # OKX restarts with this message
            if head.last_id == feed.reset_id and head.prev_id == feed.reset_prev:
                self._place(line, feed)                         # ... which has been applied: a copy, as its number says
            elif before != head.last_id and not (feed.line_epoch[line] == feed.epoch and head.prev_id == at):
                feed.line_epoch[line] += 1                      # ... which the book did longer ago, or has yet to do
        elif before >= 0 and head.last_id < before:             # the message that restarted it was lost on this line
            feed.loose |= <uint32_t>1 << line
            feed.line_epoch[line] += 1

    cdef int _snapshot(self, int line, Feed* feed, const DepthHead* head, const Stand* stand, int64_t before,
                       int64_t now_ns) noexcept nogil:
        """A stream snapshot. On a line that just came up it is the state at that moment, and stale if another line is
        further on. On a line that runs, a number that falls is the venue starting anew: followed once, whichever line brings it
        first. Any other is used where it leads further."""
        cdef uint32_t bit = <uint32_t>1 << line
        cdef bint first = feed.fresh & bit != 0
        cdef bint fell = not first and before >= 0 and head.last_id < before
        feed.fresh &= ~bit
        if not stand.synced:
            self._anew(line, feed, head.rule)
            if fell or head.last_id < stand.last_id:    # nobody told when, but the numbering is another one
                self._restart(line, feed, head, stand.last_id)
        elif fell and feed.line_epoch[line] >= feed.epoch:
            self._restart(line, feed, head, before)
            return PASS
        if not stand.synced or (head.last_id > stand.last_id and not (first and self._is_past(feed, head, stand))):
            self._place(line, feed)
            return PASS
        if fell and head.last_id == feed.reset_id:  # the restart that the book has gone through
            self._place(line, feed)
        elif self._alone(line, feed) and (first or fell or head.last_id == stand.last_id):
            if head.last_id < stand.last_id:
                self._restart(line, feed, head, stand.last_id)
            return PASS
        elif first or fell:                         # behind; and perhaps of another numbering
            feed.loose |= bit
            feed.line_epoch[line] = feed.epoch - (head.last_id > stand.last_id)
            if self._is_seen(feed, head.last_id):
                self._place(line, feed)
        return self._late(line, feed, head, stand, now_ns)

    cdef bint _is_past(self, const Feed* feed, const DepthHead* head, const Stand* stand) noexcept nogil:
        """Its number is nearer to where the last numbering ended than to where this one is."""
        cdef int64_t off = head.last_id - feed.ended_id
        return feed.ended_id > stand.last_id and (off if off > 0 else -off) < head.last_id - stand.last_id

    cdef void _place(self, int line, Feed* feed) noexcept nogil:
        """The line is in the book's numbering."""
        feed.loose &= ~(<uint32_t>1 << line)
        feed.line_epoch[line] = feed.epoch

    cdef void _restart(self, int line, Feed* feed, const DepthHead* head, int64_t ended_id) noexcept nogil:
        """The numbering starts anew with this message, and the book follows it. The last one had come to `ended_id`."""
        feed.ended_id = ended_id
        feed.epoch += 1
        self._place(line, feed)
        feed.reset_id, feed.reset_prev = head.last_id, head.prev_id
        memset(feed.seen, 0xFF, sizeof(feed.seen))

    cdef void _anew(self, int line, Feed* feed, int rule) noexcept nogil:
        """The book starts afresh from this line. Whether others are in the same numbering, they have to show; of what waits,
        only a link to the message before it can show that, and bare numbers have none."""
        cdef Held* row = feed.waiting.first
        cdef Held* before = NULL
        cdef Held* after
        cdef int other
        feed.loose |= feed.carriers & ~(<uint32_t>1 << line)
        for other in range(LINES_MAX):
            feed.line_epoch[other] = min(feed.line_epoch[other], feed.epoch)
        while row != NULL:
            after = row.after
            row.loose |= row.line != line
            if row.epoch == feed.epoch and rule == RULE_PREV:
                before = row
            else:
                held_drop(&feed.waiting, before, row)
            row = after

    cdef int _unnumbered(self, int line, Feed* feed) noexcept nogil:
        """No ids, so no telling of a copy from what is new: one line is followed."""
        if feed.lead < 0 or not self.up >> feed.lead & 1:
            feed.lead = line
        return PASS if feed.lead == line else DROP

    cdef int _late(self, int line, Feed* feed, const DepthHead* head, const Stand* stand, int64_t now_ns) noexcept nogil:
        """Behind the book: a copy, as a rule. But where nothing else has come for a while, the line that the book had
        followed is gone, and this one is numbered anew."""
        cdef const Seen* seen = &feed.seen[head.last_id & (SEEN_MAX - 1)]
        self.counts[line].late += 1
        if seen.id == head.last_id and seen.line != line and feed.line_epoch[line] == feed.epoch:
            self.counts[seen.line].leads[min(tg_log2(now_ns - seen.now_ns), LEADS - 1)] += 1
        if not feed.behind_ns:
            feed.behind_ns = now_ns
        if not stand.synced or now_ns - feed.behind_ns < BEHIND_NS:
            return DROP
        feed.behind_ns = 0
        return STUCK

    cdef void passed(self, int line, const DepthHead* head, const Stand* after, int64_t came_ns,
                     int64_t now_ns) noexcept nogil:
        """The book was given this message, which came on `line` at `came_ns`, and stands at `after` now."""
        cdef Feed* feed = &self.feeds[head.instrument]
        cdef Seen* seen
        if head.kind == SEED or line >= LINES_MAX:
            return
        if head.kind != SNAPSHOT and head.rule == RULE_PREV and head.first_id < 0 and head.prev_id > head.last_id:
            self._restart(line, feed, head, head.prev_id)
        seen = &feed.seen[head.last_id & (SEEN_MAX - 1)]
        seen.id, seen.now_ns, seen.line = head.last_id, came_ns, line
        self.counts[line].won += 1
        feed.moved_ns = now_ns
        feed.behind_ns = 0
        if after.by_request and not (after.synced or after.loaded):
            feed.buffered_id = head.last_id

    # ---- holes ----

    cdef int _wait(self, int line, Feed* feed, const DepthHead* head, const Level* bids, const Level* asks,
                   const Stand* stand, int64_t epoch, int64_t now_ns) noexcept nogil:
        """Beyond a hole: keep it, unless another line's copy waits already."""
        cdef Held* row = feed.waiting.first
        cdef int64_t at = stand.last_id if stand.synced or stand.loaded else feed.buffered_id
        while row != NULL and not (row.head.last_id == head.last_id and row.epoch == epoch
                                   and row.head.prev_id <= head.prev_id and row.head.first_id <= head.first_id):
            row = row.after
        if row == NULL:
            row = held_put(&feed.waiting, head, bids, asks)
            if row == NULL:
                self.counts[line].spilled += 1
            else:
                row.epoch, row.line, row.since_ns, row.loose = epoch, line, now_ns, feed.loose >> line & 1
                self.counts[line].held += 1
        else:
            row.loose &= feed.loose >> line & 1
            self.counts[line].late += 1
        self._measure(feed, stand, now_ns)
        if not feed.hole_ns or self._may_fill(feed, at, now_ns):
            return HELD
        return LOST

    cdef bint _may_fill(self, const Feed* feed, int64_t at, int64_t now_ns) noexcept nogil:
        """Is there a line that has not passed the hole behind `at`, and is there time left?"""
        cdef int line
        cdef uint32_t bit
        if now_ns - max(feed.hole_ns, feed.moved_ns) >= self.hold_ns or now_ns - feed.hole_ns >= HOLD_MOST * self.hold_ns:
            return False
        for line in range(LINES_MAX):
            bit = <uint32_t>1 << line
            if not self.up & feed.expected & bit:
                continue
            if not feed.carriers & bit:         # it has come back, and brought nothing yet
                return True
            if feed.line_epoch[line] < feed.epoch or (feed.line_epoch[line] == feed.epoch and feed.last_id[line] <= at):
                return True
        return False

    cdef bint waits(self, int instrument) noexcept nogil:
        """Anything that `next_held` could yield."""
        return self.feeds[instrument].waiting.first != NULL

    cdef Held* next_held(self, int instrument, const Stand* stand, int64_t now_ns) noexcept nogil:
        """What waited and continues the book now, out of the room: the caller gives it to the book, tells `passed` and frees
        it. NULL where nothing does; what has become old is dropped on the way."""
        cdef Feed* feed = &self.feeds[instrument]
        cdef Held* row = feed.waiting.first
        cdef Held* before = NULL
        cdef Held* after
        cdef bint whole = stand.synced or stand.loaded
        cdef int64_t at = stand.last_id if whole else feed.buffered_id
        cdef int place
        if row == NULL:
            self._measure(feed, stand, now_ns)
            return NULL
        while row != NULL and (whole or stand.by_request):
            after = row.after
            place = JUMP if at >= 0 else NEXT
            if at >= 0 and row.epoch == feed.epoch:
                place = classify(&row.head, at, stand.loaded)
                if row.head.rule == RULE_PREV and row.head.prev_id != at and (row.loose or row.head.prev_id > row.head.last_id):
                    place = JUMP            # a number alone says nothing of it
                elif place == JUMP and overlaps(&row.head, at):
                    row.head.prev_id = at
                    place = NEXT
            if place == NEXT:
                held_unlink(&feed.waiting, before, row)
                if feed.filler >= 0:
                    self.counts[feed.filler].healed += 1
                    feed.filler = -1
                return row
            if place == OLD or row.epoch < feed.epoch:
                held_drop(&feed.waiting, before, row)
            else:
                before = row
            row = after
        self._measure(feed, stand, now_ns)
        return NULL

    cdef bint is_overdue(self, int instrument, const Stand* stand, int64_t now_ns) noexcept nogil:
        """There is a hole that nobody can fill any more, or not in time."""
        cdef Feed* feed = &self.feeds[instrument]
        self._measure(feed, stand, now_ns)
        return feed.hole_ns != 0 and not self._may_fill(
            feed, stand.last_id if stand.synced or stand.loaded else feed.buffered_id, now_ns)

    cdef Held* give_up(self, int instrument, bint take) noexcept nogil:
        """Nobody fills the hole: the book has a gap. With `take`, returns what waited and lies next behind it, out of the room, for
        the book's buffer (NULL: nothing waits); the caller frees it. Else all that waits does so for the next snapshot."""
        cdef Feed* feed = &self.feeds[instrument]
        cdef Held* row = feed.waiting.first
        cdef Held* before = NULL
        cdef Held* best = NULL
        cdef Held* best_before = NULL
        cdef int line
        while row != NULL:
            if not row.loose and (best == NULL or row.epoch < best.epoch
                                  or (row.epoch == best.epoch and row.head.last_id < best.head.last_id)):
                best, best_before = row, before
            before, row = row, row.after
        for line in range(LINES_MAX):
            if feed.line_epoch[line] > feed.epoch:
                feed.loose |= <uint32_t>1 << line
        self.holes -= feed.hole_ns != 0
        feed.hole_ns, feed.buffered_id, feed.filler = 0, -1, -1
        if best != NULL:
            self.counts[best.line].lost += 1
            if take:
                held_unlink(&feed.waiting, best_before, best)
        return best if take else NULL

    cdef void _measure(self, Feed* feed, const Stand* stand, int64_t now_ns) noexcept nogil:
        """Drop what has waited so long that it cannot be of use, and say since when there is a hole: since the first message came that
        certainly lies beyond it."""
        cdef Held* row = feed.waiting.first
        cdef Held* before = NULL
        cdef Held* after
        cdef int64_t since_ns = 0
        cdef bint stands = stand.synced or stand.loaded or feed.buffered_id >= 0
        while row != NULL:
            after = row.after
            if now_ns - row.since_ns > HOLD_MOST * self.hold_ns and (row.loose or not stands):
                held_drop(&feed.waiting, before, row)
            else:
                if not row.loose and (not since_ns or row.since_ns < since_ns):
                    since_ns = row.since_ns
                before = row
            row = after
        self.holes += (stands and since_ns != 0) - (feed.hole_ns != 0)
        feed.hole_ns = since_ns if stands else 0

    cdef bint _follows(self, const Feed* feed) noexcept nogil:
        """Some line is still in the numbering that the book follows, or behind it."""
        cdef int line
        for line in range(LINES_MAX):
            if self.up & feed.carriers & (<uint32_t>1 << line) and feed.line_epoch[line] <= feed.epoch:
                return True
        return False

    cdef bint _alone(self, int line, const Feed* feed) noexcept nogil:
        """No other line that is up carries this stream."""
        return not self.up & feed.carriers & ~(<uint32_t>1 << line)

    cdef bint _is_seen(self, const Feed* feed, int64_t last_id) noexcept nogil:
        """The book was given a message with this id, lately and in this numbering."""
        return feed.seen[last_id & (SEEN_MAX - 1)].id == last_id

    # ---- lines ----

    def expect(self, int line, int instrument):
        """This line is subscribed to this depth: before it has brought anything, too, it may be about to fill a hole."""
        if not (0 <= line < LINES_MAX and 0 <= instrument < self.instruments):
            raise ValueError(f"line {line}, instrument {instrument}: there is no such line or instrument")
        self.feeds[instrument].expected |= <uint32_t>1 << line

    def line_up(self, int line):
        """A line connected and subscribed: its first snapshots may be behind."""
        if not 0 <= line < LINES_MAX:
            raise ValueError(f"line {line}: at most {LINES_MAX} lines")
        self.up |= <uint32_t>1 << line
        cdef int i
        for i in range(self.instruments):
            self.feeds[i].fresh |= <uint32_t>1 << line
            self.feeds[i].loose |= <uint32_t>1 << line
            self.feeds[i].carriers &= ~(<uint32_t>1 << line)
            self.feeds[i].line_epoch[line] = self.feeds[i].epoch
            self.feeds[i].last_id[line] = -1

    def line_down(self, int line) -> list:
        """A line is gone. Returns the instruments that no line carries any more: their books cannot be trusted. What waits
        behind a hole that only this line could fill is overdue then."""
        if not 0 <= line < LINES_MAX:
            raise ValueError(f"line {line}: at most {LINES_MAX} lines")
        cdef int i, bit = <uint32_t>1 << line
        orphans = []
        self.up &= ~bit
        for i in range(self.instruments):
            if self.feeds[i].carriers & bit:
                self.feeds[i].carriers &= ~bit
                if not self.feeds[i].carriers & self.up:
                    orphans.append(i)
                    self.forget(i)
            if self.feeds[i].lead == line:
                self.feeds[i].lead = -1
        return orphans

    def forget(self, int instrument):
        """Nothing that came before counts: what waits is dropped."""
        cdef Feed* feed = &self.feeds[instrument]
        held_clear(&feed.waiting)
        self.holes -= feed.hole_ns != 0
        feed.hole_ns, feed.buffered_id, feed.filler = 0, -1, -1

    def lines_up(self) -> int:
        """How many lines are up."""
        return (self.up & 0xFFFFFFFF).bit_count()

    def stats(self) -> dict:
        """Counters by line, for the lines that delivered anything. `leads[n]`: messages that it delivered less than 2**n ns ahead
        of another line (and not less than half of that)."""
        out = {}
        cdef int i
        for i in range(LINES_MAX):
            if self.counts[i].won or self.counts[i].late or self.counts[i].held:
                out[i] = <object>self.counts[i]
        return out


cdef inline bint overlaps(const DepthHead* head, int64_t at) noexcept nogil:
    """It begins within what the book has and ends beyond: it holds every level that changed since, in absolute sizes."""
    return head.rule == RULE_PREV and 0 <= head.prev_id < at < head.last_id


# ---- for tests ----

def ask(Arbiter arbiter, int line, dict message, tuple stand, int64_t now_ns) -> int:
    """`admit` with a message like that of `wire.ListSink` and a stand (last_id, synced, loaded, by_request)."""
    cdef DepthHead head
    cdef Stand where = _stand(stand)
    cdef Level* levels = _head(message, &head)
    try:
        return arbiter.admit(line, &head, levels, levels + head.bids, &where, now_ns)
    finally:
        free(levels)


def is_copy(Arbiter arbiter, int line, dict message, tuple stand, int64_t now_ns) -> bool:
    """`Arbiter.is_copy`, with the arguments of `ask`."""
    cdef DepthHead head
    cdef Stand where = _stand(stand)
    free(_head(message, &head))
    return arbiter.is_copy(line, &head, &where, now_ns)


def tell(Arbiter arbiter, int line, dict message, tuple stand, int64_t came_ns, int64_t now_ns):
    """`Arbiter.passed`, with the arguments of `ask`."""
    cdef DepthHead head
    cdef Stand where = _stand(stand)
    free(_head(message, &head))
    arbiter.passed(line, &head, &where, came_ns, now_ns)


def pull(Arbiter arbiter, int instrument, tuple stand, int64_t now_ns):
    """`next_held` as (line, message, ns when it came), or None."""
    cdef Stand where = _stand(stand)
    return _row(arbiter.next_held(instrument, &where, now_ns))


def give_up(Arbiter arbiter, int instrument, bint take):
    """`Arbiter.give_up`, in the form of `pull`."""
    return _row(arbiter.give_up(instrument, take))


def is_overdue(Arbiter arbiter, int instrument, tuple stand, int64_t now_ns) -> bool:
    """`Arbiter.is_overdue`."""
    cdef Stand where = _stand(stand)
    return arbiter.is_overdue(instrument, &where, now_ns)


cdef Stand _stand(tuple stand):
    cdef Stand out
    out.last_id, out.synced, out.loaded, out.by_request = stand
    return out


cdef Level* _head(dict message, DepthHead* head) except NULL:
    cdef int i
    cdef Level* levels
    rows = list(message.get("bids", ())) + list(message.get("asks", ()))
    memset(head, 0, sizeof(DepthHead))
    head.instrument, head.kind, head.rule = message.get("instrument", 0), message["kind"], message["rule"]
    head.first_id, head.last_id, head.prev_id = message["first_id"], message["last_id"], message["prev_id"]
    head.bids, head.asks = len(message.get("bids", ())), len(message.get("asks", ()))
    levels = <Level*>calloc(len(rows) + 1, sizeof(Level))
    if levels == NULL:
        raise MemoryError()
    for i, (price, size) in enumerate(rows):
        levels[i].price_ticks, levels[i].size_lots = price, size
    return levels


cdef _row(Held* row):
    cdef const Level* bids
    cdef const Level* asks
    cdef int i
    if row == NULL:
        return None
    bids, asks = held_bids(row), held_asks(row)
    head = <object>row.head
    message = {key: head[key] for key in ("instrument", "kind", "rule", "first_id", "last_id", "prev_id")}
    message["bids"] = [(bids[i].price_ticks, bids[i].size_lots) for i in range(row.head.bids)]
    message["asks"] = [(asks[i].price_ticks, asks[i].size_lots) for i in range(row.head.asks)]
    out = (row.line, message, row.since_ns)
    free(row)
    return out

"""The node's own idea of a price: several sources, and where it was a while ago.

The sources of an instrument are its own book's mid, the venue's mark and index price, and the mids of other instruments of the
same base coin, on any venue, spot or perpetual, where the quote coin is the same or both are dollars (counted 1:1). Each counts
only while it is fresh. Of three or more the median is the reference, so that one venue that has gone mad, or one that stands
still, does not move it; of two neither is believed alone, and both are handed out; of one, that one. A public trade never is a
source: one print far away says nothing.

Prices of other grids are turned into half ticks by a multiplication and a shift, when they come. Windows (range, jump, walk) are
kept in buckets, 64 to 128 of them over a window: what is said is exact over the whole buckets that the window touches.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memset, strcmp

from ext.records cimport INDEX_PRICE, MARK_PRICE, Instrument

cdef extern from *:
    """
    static inline int64_t tg_convert(int64_t x, uint64_t mul, int shift) {
        unsigned __int128 y = (unsigned __int128)(uint64_t)x * mul >> shift;
        return y > ((unsigned __int128)1 << 50) ? 0 : (int64_t)y;
    }
    /* |a - b| * 1,000,000 > b * ppm */
    static inline int tg_apart(int64_t a, int64_t b, int64_t ppm) {
        int64_t off = a > b ? a - b : b - a;
        return (__int128)off * 1000000 > (__int128)b * ppm;
    }
    """
    int64_t tg_convert(int64_t x, uint64_t mul, int shift) noexcept nogil
    bint tg_apart(int64_t a, int64_t b, int64_t ppm) noexcept nogil

DOLLARS = (b"USD", b"USDT", b"USDC", b"FDUSD", b"USDE")
cdef int64_t FRESH_NS = 5_000_000_000
cdef int64_t NEVER_NS = -(<int64_t>1 << 61)


cdef class Reference:
    """One row per instrument."""

    def __cinit__(self, Instruments instruments):
        cdef int i
        self.instruments, self.fresh_ns = instruments, FRESH_NS
        self.rows = <Source*>calloc(max(instruments.count, 1), sizeof(Source))
        if self.rows == NULL:
            raise MemoryError()
        for i in range(instruments.count):
            self._open(i)

    def __dealloc__(self):
        cdef int i
        if self.rows != NULL:
            for i in range(self.instruments.count):
                free(self.rows[i].range)
                free(self.rows[i].jump)
                free(self.rows[i].walk)
        free(self.rows)

    def _open(self, int instrument):
        cdef Source* row = &self.rows[instrument]
        cdef Instrument* mine = &self.instruments.rows[instrument]
        cdef Instrument* other
        cdef int i
        row.own_ns = row.mark_ns = row.index_ns = row.jumped_ns = NEVER_NS
        row.stale, row.jump_ppm = True, -1
        cdef object tick = (mine.tick_mantissa, _power(mine.price_decimals))
        row.of_e8 = _factor(2 * tick[1], tick[0] * 10**8)
        for i in range(self.instruments.count):
            other = &self.instruments.rows[i]
            if i == instrument or not mine.base[0] or strcmp(mine.base, other.base) or not _alike(mine.quote, other.quote):
                continue
            if row.peer_count < PEERS_MAX:
                row.of_peer[row.peer_count] = _factor(other.tick_mantissa * tick[1], _power(other.price_decimals) * tick[0])
                row.peers[row.peer_count] = i
                row.peer_count += 1

    def watch(self, int instrument, *, int64_t walk_ns=0, int64_t range_ns=0, int64_t jump_ns=0, int64_t jump_ppm=-1):
        """How far back to look: where the reference was, range and jump of the mid; 0 = not asked for. A window that did not
        change keeps what it has seen."""
        self.instruments._check(instrument)
        cdef Source* row = &self.rows[instrument]
        row.range = _span(row.range, range_ns)
        row.jump = _span(row.jump, jump_ns)
        row.jump_ppm = jump_ppm
        if row.jump == NULL or jump_ppm < 0:
            row.jumping, row.jumped_ns = False, NEVER_NS
        if row.range == NULL:
            row.high2 = row.low2 = 0
        if walk_ns != (row.walk.window_ns if row.walk != NULL else 0):
            free(row.walk)
            row.walk, row.walk2 = NULL, 0
            if walk_ns:
                row.walk = <Walk*>calloc(1, sizeof(Walk))
                if row.walk == NULL:
                    raise MemoryError()
                row.walk.window_ns, row.walk.shift = walk_ns, _shift(walk_ns >> 5)

    # ---- what is told ----

    cdef int on_book(self, int instrument, int64_t bid_ticks, int64_t ask_ticks, int64_t now_ns) noexcept nogil:
        """The best prices of a synced book, after each frame that changed it."""
        cdef Source* row = &self.rows[instrument]
        cdef int64_t mid2 = bid_ticks + ask_ticks, last2 = row.own2
        cdef int i
        if bid_ticks < 1 or ask_ticks <= bid_ticks:
            return 0
        if mid2 != last2 or now_ns - row.own_ns > self.fresh_ns:
            for i in range(row.peer_count):
                self.rows[row.peers[i]].stale = True
        row.own2, row.own_ns = mid2, now_ns
        if row.walk != NULL:
            self._step(instrument, row, now_ns)
        return self._move(row, mid2, last2, now_ns)

    cdef int on_mark(self, const Mark* mark, int64_t now_ns) noexcept nogil:
        """Mark and index price as the venue tells them; only fields whose bit is set in `present` are new."""
        cdef Source* row = &self.rows[mark.instrument]
        if mark.present & <int>MARK_PRICE and mark.mark_e8 > 0:
            row.mark2, row.mark_ns = tg_convert(mark.mark_e8, row.of_e8.mul, row.of_e8.shift), now_ns
            row.stale = True
        if mark.present & <int>INDEX_PRICE and mark.index_e8 > 0:
            row.index2, row.index_ns = tg_convert(mark.index_e8, row.of_e8.mul, row.of_e8.shift), now_ns
            row.stale = True
        return 0

    cdef int _move(self, Source* row, int64_t mid2, int64_t last2, int64_t now_ns) noexcept nogil:
        """Range and jump. The last mid was in force until now, however long ago it came: a gap is a jump too."""
        cdef int64_t up, down
        if row.range != NULL:
            row.high2 = _extreme(&row.range.high, mid2, last2, now_ns)
            row.low2 = _extreme(&row.range.low, mid2, last2, now_ns)
        if row.jump != NULL and row.jump_ppm >= 0:
            up = mid2 - _extreme(&row.jump.low, mid2, last2, now_ns)
            down = _extreme(&row.jump.high, mid2, last2, now_ns) - mid2
            row.jump2, row.jump_mid2 = max(up, down), mid2
            row.jumping = tg_apart(mid2 + row.jump2, mid2, row.jump_ppm)
            if row.jumping:
                row.jumped_ns, row.jumped_by2, row.jumped_from2 = now_ns, row.jump2, mid2
        return 0

    cdef int _step(self, int instrument, Source* row, int64_t now_ns) noexcept nogil:
        """One reference for each bucket of time; the newest that is old enough is where the reference was."""
        cdef Walk* walk = row.walk
        cdef int64_t bucket = now_ns >> walk.shift, old = (now_ns - walk.window_ns) >> walk.shift, now2
        if walk.next == walk.first or walk.ring[(walk.next - 1) & (WALK - 1)].bucket < bucket:
            now2 = self.mid2(instrument, now_ns)
            if now2:
                walk.ring[walk.next & (WALK - 1)].bucket, walk.ring[walk.next & (WALK - 1)].mid2 = bucket, now2
                walk.next += 1
        while walk.next - walk.first > 1 and walk.ring[(walk.first + 1) & (WALK - 1)].bucket <= old:
            walk.first += 1
        if walk.next != walk.first:
            row.walk2 = walk.ring[walk.first & (WALK - 1)].mid2
        return 0

    # ---- what is asked ----

    cdef int _gather(self, Source* row, int64_t now_ns) noexcept nogil:
        """Every fresh source but its own book, sorted, and until when they hold."""
        cdef int64_t value
        cdef Source* peer
        cdef int i
        row.count, row.stale, row.until_ns = 0, False, now_ns + self.fresh_ns
        if now_ns - row.mark_ns <= self.fresh_ns:
            _insert(row, row.mark2, row.mark_ns + self.fresh_ns)
        if now_ns - row.index_ns <= self.fresh_ns:
            _insert(row, row.index2, row.index_ns + self.fresh_ns)
        for i in range(row.peer_count):
            peer = &self.rows[row.peers[i]]
            if now_ns - peer.own_ns <= self.fresh_ns and row.of_peer[i].mul:
                value = tg_convert(peer.own2, row.of_peer[i].mul, row.of_peer[i].shift)
                _insert(row, value, peer.own_ns + self.fresh_ns)
        return row.count

    cdef int around(self, int instrument, int64_t own2, int64_t now_ns, int64_t* low2, int64_t* high2) noexcept nogil:
        """The reference in half ticks, twice where it is one, the lower and the higher of two sources where it is not. `own2` is
        the mid of its own book now, 0 = none. Returns how many sources there are; 0 = there is no reference."""
        cdef Source* row = &self.rows[instrument]
        cdef int64_t* s = row.others
        cdef int n, k
        if row.stale or now_ns > row.until_ns:
            self._gather(row, now_ns)
        n = row.count
        low2[0] = high2[0] = 0
        if own2 <= 0:
            if n == 0:
                return 0
            low2[0], high2[0] = s[(n - 1) >> 1], s[n >> 1]
            if n > 2:
                low2[0] = high2[0] = (low2[0] + high2[0]) >> 1
            return n
        if n == 0:
            low2[0] = high2[0] = own2
        elif n == 1:
            low2[0], high2[0] = min(own2, s[0]), max(own2, s[0])
        elif n & 1 == 0:                # an odd number with the own one: its middle
            low2[0] = high2[0] = min(max(own2, s[(n >> 1) - 1]), s[n >> 1])
        else:                           # an even one: between its two middles
            k = n >> 1
            low2[0] = min(max(own2, s[k - 1]), s[k + 1])
            low2[0] = high2[0] = (low2[0] + s[k]) >> 1
        return n + 1

    cdef int64_t mid2(self, int instrument, int64_t now_ns) noexcept nogil:
        """Twice the reference price in ticks, 0 = there is none now. Of two sources that are near each other: between them."""
        cdef int64_t low2 = 0, high2 = 0
        cdef Source* row = &self.rows[instrument]
        self.around(instrument, row.own2 if now_ns - row.own_ns <= self.fresh_ns else 0, now_ns, &low2, &high2)
        return (low2 + high2) >> 1

    # ---- for Python: reports, tests ----

    def book(self, int instrument, int64_t bid_ticks, int64_t ask_ticks, int64_t now_ns):
        """`on_book` for Python callers."""
        self.instruments._check(instrument)
        self.on_book(instrument, bid_ticks, ask_ticks, now_ns)

    def mark(self, int instrument, int64_t now_ns, *, int64_t mark_e8=0, int64_t index_e8=0, int64_t last_e8=0):
        """`on_mark` for Python callers: what is 0 is not told."""
        cdef Mark mark
        self.instruments._check(instrument)
        memset(&mark, 0, sizeof(mark))
        mark.instrument, mark.mark_e8, mark.index_e8, mark.last_e8 = instrument, mark_e8, index_e8, last_e8
        mark.present = (mark_e8 > 0) * <int>MARK_PRICE | (index_e8 > 0) * <int>INDEX_PRICE | (last_e8 > 0) * 16
        self.on_mark(&mark, now_ns)

    def now(self, int instrument, int64_t now_ns, *, own=None) -> tuple:
        """(sources, low, high) of `around`, in half ticks; `own`: the mid of its own book, as last told where not given."""
        cdef int64_t low2 = 0, high2 = 0
        cdef Source* row
        self.instruments._check(instrument)
        row = &self.rows[instrument]
        if own is None:
            own = row.own2 if now_ns - row.own_ns <= self.fresh_ns else 0
        count = self.around(instrument, own, now_ns, &low2, &high2)
        return count, low2, high2

    def middle(self, int instrument, int64_t now_ns) -> int:
        """`mid2` for Python callers."""
        self.instruments._check(instrument)
        return self.mid2(instrument, now_ns)

    def moves(self, int instrument) -> dict:
        """As of the last book event, in half ticks: {walk, high, low, jump, jumping, jumped_ns}."""
        self.instruments._check(instrument)
        row = &self.rows[instrument]
        return {"walk": row.walk2, "high": row.high2, "low": row.low2, "jump": row.jump2, "jumping": bool(row.jumping),
                "jumped_ns": row.jumped_ns if row.jumped_ns != NEVER_NS else None}

    def peers(self, int instrument) -> list:
        """The instruments whose mids are sources of this one."""
        self.instruments._check(instrument)
        return [self.rows[instrument].peers[i] for i in range(self.rows[instrument].peer_count)]


def _alike(bytes one, bytes other):
    return one and (one == other or one in DOLLARS and other in DOLLARS)


def _power(decimals):
    return 10**decimals


cdef Factor _factor(object up, object down):
    """up / down as a 63-bit multiplier and a shift, rounded up in the last bit so that whole results stay whole."""
    cdef Factor out
    memset(&out, 0, sizeof(out))
    shift = 0
    while (up << shift) // down < 2**62 and shift < 126:
        shift += 1
    mul = -(-(up << shift) // down)
    if mul < 2**63:
        out.mul, out.shift = mul, shift
    return out


cdef int _shift(object width):
    """A bucket of 2 ** this many ns is at most `width` ns, and more than half of it."""
    return max(int(width).bit_length() - 1, 0)


cdef Span* _span(Span* old, int64_t window_ns) except? NULL:
    """The window of this length: the old one where it is the same, NULL where none is asked for."""
    cdef Span* out
    if old != NULL and old.high.window_ns == window_ns:
        return old
    free(old)
    if not window_ns:
        return NULL
    out = <Span*>calloc(1, sizeof(Span))
    if out == NULL:
        raise MemoryError()
    out.high.window_ns = out.low.window_ns = window_ns
    out.high.shift = out.low.shift = _shift(window_ns >> 6)
    out.high.sign, out.low.sign = 1, -1
    return out


cdef inline int _insert(Source* row, int64_t value, int64_t until_ns) noexcept nogil:
    cdef int at = row.count
    if value <= 0:
        return 0
    while at > 0 and row.others[at - 1] > value:
        row.others[at] = row.others[at - 1]
        at -= 1
    row.others[at] = value
    row.count += 1
    row.until_ns = min(row.until_ns, until_ns)
    return 0


cdef inline int64_t _extreme(Extremes* of, int64_t mid2, int64_t last2, int64_t now_ns) noexcept nogil:
    """Put the mids that were in force at this moment into the queue; returns the most extreme one of the window."""
    cdef int64_t bucket = now_ns >> of.shift, oldest = (now_ns - of.window_ns) >> of.shift
    if last2 > 0 and last2 != mid2:
        _push(of, bucket, last2)
    _push(of, bucket, mid2)
    while of.ring[of.first & (RING - 1)].bucket < oldest:
        of.first += 1
    return of.ring[of.first & (RING - 1)].mid2


cdef inline int _push(Extremes* of, int64_t bucket, int64_t mid2) noexcept nogil:
    cdef Extreme* last
    while of.next > of.first:
        last = &of.ring[(of.next - 1) & (RING - 1)]
        if last.mid2 * of.sign > mid2 * of.sign:
            if last.bucket >= bucket:
                return 0                # it outlives this one
            break
        of.next -= 1
    last = &of.ring[of.next & (RING - 1)]
    last.bucket, last.mid2 = bucket, mid2
    of.next += 1
    return 0

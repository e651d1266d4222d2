"""Price levels of one instrument: O(1) update, best bid and ask, depth walk, sequence state.

A side is a trie of 64-way nodes over a 48-bit key, eight high, sizes in the leaves, a 64-bit map in each node of what is
below. That is O(1) whatever the price does: there is no window to leave. Two small direct-mapped caches (by leaf and
by the node above it) make nearly every update one load and one store. Asks are keyed by price and bids by the distance
from the top of the key space, so "best" is the smallest key on both sides and there is one code for both.

Sequence: an update is applied only where `sequence.classify` says it continues; anything else makes the book unusable in
the same call. Where snapshots come by request (Binance), updates are buffered until one can be spliced in.
"""

from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memmove, memset

from ext.records cimport BUY, SEED, SELL, SNAPSHOT
from ext.sequence cimport JUMP, NEXT, OLD, classify

cdef extern from *:
    """
    static inline int tg_ctz(uint64_t x) { return __builtin_ctzll(x); }
    /* *sum += a * b; returns 1 where that does not fit */
    static inline int tg_add_product(int64_t *sum, int64_t a, int64_t b) {
        int64_t product;
        return __builtin_mul_overflow(a, b, &product) || __builtin_add_overflow(*sum, product, sum);
    }
    """
    int tg_ctz(uint64_t x) noexcept nogil
    int tg_add_product(int64_t* total, int64_t a, int64_t b) noexcept nogil

cdef int64_t KEY_TOP = (<int64_t>1 << 48) - 1
cdef Py_ssize_t BUFFER_MAX = 64 << 20    # a minute of the busiest stream is under 10 MB


# ---- one side ---------------------------------------------------------------------------------------------------

cdef Ladder* ladder_new() except NULL:
    cdef Ladder* ladder = <Ladder*>calloc(1, sizeof(Ladder))
    if ladder == NULL:
        raise MemoryError()
    ladder.root = <Node*>calloc(1, sizeof(Node))
    if ladder.root == NULL:
        free(ladder)
        raise MemoryError()
    ladder.nodes = 1
    ladder_forget(ladder)
    return ladder


cdef void ladder_forget(Ladder* ladder) noexcept nogil:
    """Empty the caches and the counters."""
    ladder.best = -1
    ladder.count = 0
    memset(ladder.leaf, 0xFF, sizeof(ladder.leaf))
    memset(ladder.mid, 0xFF, sizeof(ladder.mid))


cdef void node_release(Ladder* ladder, Node* node, int height) noexcept nogil:
    """Give a node and all below it back to the spare list, zeroed."""
    cdef uint64_t bits = node.bits
    if height > 1:
        while bits:
            node_release(ladder, <Node*>node.below[tg_ctz(bits)], height - 1)
            bits &= bits - 1
    memset(node, 0, sizeof(Node))
    node.below[0] = ladder.spare
    ladder.spare = node


cdef void ladder_clear(Ladder* ladder) noexcept nogil:
    cdef uint64_t bits = ladder.root.bits
    while bits:
        node_release(ladder, <Node*>ladder.root.below[tg_ctz(bits)], HEIGHT - 1)
        bits &= bits - 1
    memset(ladder.root, 0, sizeof(Node))
    ladder_forget(ladder)


cdef void ladder_free(Ladder* ladder) noexcept:
    cdef Node* node
    if ladder == NULL:
        return
    ladder_clear(ladder)
    while ladder.spare != NULL:
        node = ladder.spare
        ladder.spare = <Node*>node.below[0]
        free(node)
    free(ladder.root)
    free(ladder)


cdef inline Node* node_take(Ladder* ladder) noexcept nogil:
    """A zeroed node, or NULL where memory ran out."""
    cdef Node* node = ladder.spare
    if node != NULL:
        ladder.spare = <Node*>node.below[0]
        node.below[0] = NULL
        return node
    ladder.nodes += 1
    return <Node*>calloc(1, sizeof(Node))


cdef Node* leaf_walk(Ladder* ladder, int64_t key, bint create) noexcept nogil:
    """The leaf that holds `key`, found from the root; NULL where there is none (or no memory to create it)."""
    cdef Node* node = ladder.root
    cdef Node* child
    cdef int height = HEIGHT - 1, at
    while height > 0:
        at = (key >> (FANOUT_BITS * height)) & (FANOUT - 1)
        child = <Node*>node.below[at]
        if child == NULL:
            if not create:
                return NULL
            child = node_take(ladder)
            if child == NULL:
                return NULL
            node.below[at] = child
            node.bits |= <uint64_t>1 << at
        node = child
        height -= 1
        if height == 1:
            at = (key >> 12) & (MID_CACHE - 1)
            ladder.mid[at].tag = key >> 12
            ladder.mid[at].node = node
    return node


cdef Node* leaf_find(Ladder* ladder, int64_t key, bint create) noexcept nogil:
    """Leaf of `key` when the leaf cache missed: through the node above it, else from the root."""
    cdef int64_t tag = key >> 6
    cdef int at = (key >> 12) & (MID_CACHE - 1)
    cdef Node* leaf = NULL
    if ladder.mid[at].tag == key >> 12:
        leaf = <Node*>ladder.mid[at].node.below[tag & (FANOUT - 1)]
        if leaf == NULL:
            if not create:
                return NULL
            leaf = node_take(ladder)
            if leaf == NULL:
                return NULL
            ladder.mid[at].node.below[tag & (FANOUT - 1)] = leaf
            ladder.mid[at].node.bits |= <uint64_t>1 << (tag & (FANOUT - 1))
    else:
        leaf = leaf_walk(ladder, key, create)
        if leaf == NULL:
            return NULL
    ladder.leaf[tag & (LEAF_CACHE - 1)].tag = tag
    ladder.leaf[tag & (LEAF_CACHE - 1)].node = leaf
    return leaf


cdef void leaf_drop(Ladder* ladder, int64_t key) noexcept nogil:
    """Give back the empty leaf of `key`, and the nodes above it that this leaves empty."""
    cdef Node* path[HEIGHT]
    cdef Node* node = ladder.root
    cdef int height = HEIGHT - 1, at
    while height > 0:
        path[height] = node
        node = <Node*>node.below[(key >> (FANOUT_BITS * height)) & (FANOUT - 1)]
        height -= 1
    ladder.leaf[(key >> 6) & (LEAF_CACHE - 1)].tag = -1
    height = 1
    while height < HEIGHT:      # `node` is empty: unlink it from the one above
        node.below[0] = ladder.spare
        ladder.spare = node
        node = path[height]
        at = (key >> (FANOUT_BITS * height)) & (FANOUT - 1)
        node.below[at] = NULL
        node.bits &= ~(<uint64_t>1 << at)
        if node.bits:
            return
        if height == 1:
            ladder.mid[(key >> 12) & (MID_CACHE - 1)].tag = -1
        height += 1


cdef int64_t key_after(Ladder* ladder, int64_t key) noexcept nogil:
    """Smallest key >= `key`, or -1."""
    cdef Node* path[HEIGHT]
    cdef Node* node = ladder.root
    cdef int height = HEIGHT - 1, at
    cdef uint64_t bits
    if key > KEY_TOP:
        return -1
    while True:                 # down along `key` as far as the path exists
        at = (key >> (FANOUT_BITS * height)) & (FANOUT - 1)
        path[height] = node
        if height == 0:
            bits = node.bits & (~<uint64_t>0 << at)
            if bits:
                return (key & ~<int64_t>(FANOUT - 1)) | tg_ctz(bits)
            break
        if not node.bits >> at & 1:
            break
        node = <Node*>node.below[at]
        height -= 1
    while height < HEIGHT:      # up until something lies to the right, then down its left edge
        at = (key >> (FANOUT_BITS * height)) & (FANOUT - 1)
        node = path[height]
        bits = 0 if at == FANOUT - 1 else node.bits & (~<uint64_t>0 << (at + 1))
        if bits:
            key = (key >> (FANOUT_BITS * (height + 1))) << (FANOUT_BITS * (height + 1))
            while True:
                at = tg_ctz(bits)
                key |= <int64_t>at << (FANOUT_BITS * height)
                if height == 0:
                    return key
                node = <Node*>node.below[at]
                bits = node.bits
                height -= 1
        height += 1
    return -1


cdef inline int64_t ladder_get(Ladder* ladder, int64_t key) noexcept nogil:
    cdef Node* leaf
    cdef int64_t tag = key >> 6
    if ladder.leaf[tag & (LEAF_CACHE - 1)].tag == tag:
        leaf = ladder.leaf[tag & (LEAF_CACHE - 1)].node
    else:
        leaf = leaf_find(ladder, key, False)
    return 0 if leaf == NULL else <int64_t>leaf.below[key & (FANOUT - 1)]


cdef int ladder_apply(Ladder* ladder, const Level* levels, int n, int64_t flip) noexcept nogil:
    """Set `n` levels to absolute sizes; 0 removes. Returns -1 where memory ran out.

    The key of a price is flip ^ price: KEY_TOP is all ones, so for bids that is KEY_TOP - price.

    What is written does not depend on whether a level was there: which levels appear and vanish is data that no branch
    predictor guesses. Count and best are kept in registers: through memory, each level would wait for the one before.
    """
    cdef const Level* end = levels + n
    cdef Node* leaf
    cdef int64_t key, tag, size, count = 0
    cdef uint64_t at, bits, now, best = <uint64_t>ladder.best    # -1, "none", is the largest
    while levels != end:
        key = flip ^ levels.price_ticks
        size = levels.size_lots
        tag = key >> FANOUT_BITS
        if ladder.leaf[tag & (LEAF_CACHE - 1)].tag == tag:
            leaf = ladder.leaf[tag & (LEAF_CACHE - 1)].node
        else:
            leaf = leaf_find(ladder, key, size != 0)
            if leaf == NULL:
                if size:
                    break
                levels += 1
                continue
        levels += 1
        at = key & (FANOUT - 1)
        bits = leaf.bits
        now = size != 0
        leaf.below[at] = <void*>size
        count += <int64_t>now - <int64_t>(bits >> at & 1)
        bits = (bits & ~(<uint64_t>1 << at)) | now << at
        leaf.bits = bits
        if <uint64_t>key <= best:
            best = best_after(ladder, leaf, key, now, best)
        if not bits:
            leaf_drop(ladder, key)
    ladder.count += count
    ladder.best = <int64_t>best
    return 0 if levels == end else -1


cdef inline uint64_t best_after(Ladder* ladder, Node* leaf, int64_t key, bint now, uint64_t best) noexcept nogil:
    """The best key after a level at or before the best changed."""
    if now:
        return key
    if <uint64_t>key != best:
        return best
    if leaf.bits >> (key & (FANOUT - 1)):
        return key + tg_ctz(leaf.bits >> (key & (FANOUT - 1)))
    return <uint64_t>key_after(ladder, key)


# ---- the book ---------------------------------------------------------------------------------------------------

cdef class Book:
    """Levels of one instrument. `by_request`: its snapshots come as replies to requests (Binance)."""

    def __cinit__(self, int instrument=0, bint by_request=False):
        self.instrument = instrument
        self.by_request = by_request
        self.last_id = -1
        self.bid = ladder_new()
        self.ask = ladder_new()
        self.quotes = <Quote*>calloc(QUOTES, sizeof(Quote))
        if self.quotes == NULL:
            raise MemoryError()

    def __dealloc__(self):
        ladder_free(self.bid)
        ladder_free(self.ask)
        free(self.quotes)
        free(self.buffer)

    cdef int on_depth(self, const DepthHead* head, const Level* bids, const Level* asks, int64_t now_ns) except -1:
        """Take one depth message; returns an `Applied`. Levels are applied wholly or not at all."""
        if head.kind == SNAPSHOT:
            return self._replace(head, bids, asks, now_ns)
        if head.kind == SEED:
            return self._seed(head, bids, asks, now_ns)
        return self._update(head, bids, asks, now_ns)

    cdef int _update(self, const DepthHead* head, const Level* bids, const Level* asks, int64_t now_ns) except -1:
        cdef int place
        if self.suspended:
            self._resume(classify(head, self.last_id, self.loaded))
        if self.state == SYNCED or self.loaded:
            place = classify(head, self.last_id, self.loaded)
            if place == NEXT:
                return self._apply(head, bids, asks, now_ns)
            if place == OLD:
                return IGNORED
            if self.state == SYNCED:
                self._gap()
                if self.by_request:
                    self._keep(head, bids, asks)
                return GAPPED
            self.loaded = False     # the snapshot does not reach the stream: ask for a newer one
            self._keep(head, bids, asks)
            return RESEED
        if not self.by_request:
            return IGNORED          # the stream will send its own snapshot
        if self.state == EMPTY:
            self.state = BUFFERING
        return self._keep(head, bids, asks)

    cdef int _replace(self, const DepthHead* head, const Level* bids, const Level* asks, int64_t now_ns) except -1:
        """The stream's own snapshot: the book becomes exactly this."""
        self.suspended = False
        ladder_clear(self.bid)
        ladder_clear(self.ask)
        self.loaded = True
        return self._apply(head, bids, asks, now_ns)

    cdef int _seed(self, const DepthHead* head, const Level* bids, const Level* asks, int64_t now_ns) except -1:
        """A requested snapshot: load it, then splice the buffered updates onto it."""
        cdef DepthHead* first = <DepthHead*>self.buffer
        if self.suspended:          # a new snapshot starts a new session
            self.reset()
        if self.state == SYNCED:
            return IGNORED
        if self.buffered and classify(first, head.last_id, True) == JUMP:
            return RESEED
        ladder_clear(self.bid)
        ladder_clear(self.ask)
        self._levels(head, bids, asks)
        self.last_id = head.last_id
        self.changed_ns = now_ns
        self.loaded = True
        if self.state == EMPTY:
            self.state = BUFFERING
        return self._join(now_ns)

    cdef int _join(self, int64_t now_ns) except -1:
        """Apply what was buffered behind a freshly loaded snapshot."""
        cdef Py_ssize_t at = 0, size = self.buffer_size
        cdef DepthHead* head
        cdef Level* levels
        cdef int done = APPLIED
        cdef int64_t kept = self.buffered
        self.buffer_size = 0
        self.buffered = 0
        while at < size:
            head = <DepthHead*>(self.buffer + at)
            levels = <Level*>(head + 1)
            at += sizeof(DepthHead) + (head.bids + head.asks) * sizeof(Level)
            self.joining = True
            try:
                done = self._update(head, levels, levels + head.bids, now_ns)
            finally:
                self.joining = False
            if done == GAPPED or done == RESEED:    # what follows waits for the next snapshot
                at -= sizeof(DepthHead) + (head.bids + head.asks) * sizeof(Level)
                self.buffer_size = size - at
                self.buffered = kept
                memmove(self.buffer, self.buffer + at, size - at)
                return done
            kept -= 1
        return APPLIED

    cdef int _apply(self, const DepthHead* head, const Level* bids, const Level* asks, int64_t now_ns) except -1:
        cdef Quote* quote
        self._levels(head, bids, asks)
        if head.last_id != self.last_id or head.last_id < 0 or self.state != SYNCED:
            self.changed_ns = now_ns    # else a keep-alive: proof of life, but no fresher price
        self.last_id = head.last_id
        self.updates += 1
        self.loaded = False
        if self.state != SYNCED:
            self.resyncs += self.state == GAP
            self.state = SYNCED
        if self.crossed():
            self.crossings += 1
            if not self.may_cross:
                self._gap()
                return GAPPED
        quote = &self.quotes[head.last_id & (QUOTES - 1)]
        if quote.update_id == head.last_id and head.last_id > 0:
            self._compare(quote)
        return APPLIED

    cdef int _levels(self, const DepthHead* head, const Level* bids, const Level* asks) except -1:
        cdef int failed = ladder_apply(self.bid, bids, head.bids, KEY_TOP)
        failed |= ladder_apply(self.ask, asks, head.asks, 0)
        self.levels += head.bids + head.asks
        if failed:
            raise MemoryError("no memory for book levels")
        return 0

    cdef int _gap(self) noexcept nogil:
        """Unusable from this instant. The levels stay for a look, behind a state that forbids their use."""
        self.gaps += 1
        self.state = GAP
        self.loaded = False
        self.buffer_size = 0
        self.buffered = 0
        return 0

    cdef int invalidate(self) noexcept nogil:
        """Something outside (checksum, venue notice, dead line) says the book is wrong or cannot be trusted."""
        if self.state == SYNCED:
            self._gap()
        return GAPPED

    cdef int _keep(self, const DepthHead* head, const Level* bids, const Level* asks) except -1:
        """Buffer one update. A buffer that overflows starts afresh: the snapshot will have to be newer."""
        cdef Py_ssize_t need = sizeof(DepthHead) + (head.bids + head.asks) * sizeof(Level)
        cdef char* out
        if self.joining:            # it stands in the buffer already, and `_join` keeps it there
            return BUFFERED
        if self.buffer_size + need > BUFFER_MAX:
            self.buffer_size = 0
            self.buffered = 0
        if self.buffer_size + need > self.buffer_cap:
            out = <char*>realloc(self.buffer, 2 * (self.buffer_size + need))
            if out == NULL:
                raise MemoryError("no memory for buffered updates")
            self.buffer = out
            self.buffer_cap = 2 * (self.buffer_size + need)
        out = self.buffer + self.buffer_size
        memcpy(out, head, sizeof(DepthHead))
        memcpy(out + sizeof(DepthHead), bids, head.bids * sizeof(Level))
        memcpy(out + sizeof(DepthHead) + head.bids * sizeof(Level), asks, head.asks * sizeof(Level))
        self.buffer_size += need
        self.buffered += 1
        return BUFFERED

    def suspend(self):
        """The feed is about to start anew, perhaps where it ended (a recording cut in two files).

        The next update decides: if it continues the book goes on, else the book starts empty; neither is a gap.
        """
        self.suspended = True

    cdef int _resume(self, int place) except -1:
        self.suspended = False
        if place == JUMP or self.state != SYNCED:
            self.reset()
        return 0

    def reset(self):
        """Forget everything but the counters."""
        ladder_clear(self.bid)
        ladder_clear(self.ask)
        self.state = EMPTY
        self.last_id = -1
        self.loaded = self.suspended = False
        self.buffer_size = self.buffered = 0
        memset(self.quotes, 0, QUOTES * sizeof(Quote))

    # ---- the book's own check against bookTicker ----

    cdef int on_quote(self, const Quote* quote) except -1:
        """Best bid and ask as the venue states them at an update id: compared when the book stands at that id."""
        if self.state == SYNCED and self.last_id == quote.update_id:
            return self._compare(quote)
        self.quotes[quote.update_id & (QUOTES - 1)] = quote[0]
        return 0

    cdef int _compare(self, const Quote* quote) noexcept nogil:
        cdef Level bid, ask
        cdef bint same
        self.best_bid(&bid)
        self.best_ask(&ask)
        same = (bid.size_lots == quote.bid_lots and ask.size_lots == quote.ask_lots
                and (bid.size_lots == 0 or bid.price_ticks == quote.bid_ticks)
                and (ask.size_lots == 0 or ask.price_ticks == quote.ask_ticks))
        self.compared += 1
        self.different += not same
        return same

    # ---- reading ----

    cdef bint usable(self) noexcept nogil:
        return self.state == SYNCED and not (self.may_cross and self.crossed())

    cdef bint crossed(self) noexcept nogil:
        """Best bid at or above best ask."""
        return self.bid.best >= 0 and self.ask.best >= 0 and KEY_TOP - self.bid.best >= self.ask.best

    cdef bint best_bid(self, Level* out) noexcept nogil:
        """Best bid; False and zeros where the side is empty."""
        if self.bid.best < 0:
            out.price_ticks = out.size_lots = 0
            return False
        out.price_ticks = KEY_TOP - self.bid.best
        out.size_lots = ladder_get(self.bid, self.bid.best)
        return True

    cdef bint best_ask(self, Level* out) noexcept nogil:
        """Best ask; False and zeros where the side is empty."""
        if self.ask.best < 0:
            out.price_ticks = out.size_lots = 0
            return False
        out.price_ticks = self.ask.best
        out.size_lots = ladder_get(self.ask, self.ask.best)
        return True

    cdef int top(self, int side, Level* out, int n) noexcept nogil:
        """The best `n` levels of a side (BUY: bids), best first; returns how many there are."""
        cdef Ladder* ladder = self.bid if side == BUY else self.ask
        cdef int64_t key = ladder.best
        cdef int count = 0
        while key >= 0 and count < n:
            out[count].price_ticks = KEY_TOP - key if side == BUY else key
            out[count].size_lots = ladder_get(ladder, key)
            count += 1
            key = key_after(ladder, key + 1)
        return count

    cdef int64_t size_at(self, int side, int64_t price_ticks) noexcept nogil:
        """Lots at a price, 0 where there is no level."""
        if price_ticks < 0 or price_ticks > KEY_TOP:
            return 0
        if side == BUY:
            return ladder_get(self.bid, KEY_TOP - price_ticks)
        return ladder_get(self.ask, price_ticks)

    cdef int64_t fill(self, int side, int64_t size_lots, int64_t* worst_ticks, int64_t* cost) noexcept nogil:
        """Walk the side that an order of `side` would take. Returns lots available, at most `size_lots`;
        `worst_ticks` is the last price touched and `cost` the sum of ticks * lots, -1 where it does not fit."""
        cdef Ladder* ladder = self.ask if side == BUY else self.bid
        cdef int64_t key = ladder.best, left = size_lots, here, price
        cdef bint overflow = False
        worst_ticks[0] = 0
        cost[0] = 0
        while key >= 0 and left > 0:
            price = key if side == BUY else KEY_TOP - key
            here = min(left, ladder_get(ladder, key))
            left -= here
            worst_ticks[0] = price
            overflow |= tg_add_product(cost, price, here)
            key = key_after(ladder, key + 1)
        if overflow:
            cost[0] = -1
        return size_lots - left

    cdef int64_t depth(self, int side, int64_t limit_ticks) noexcept nogil:
        """Lots resting on a side (BUY: bids) at `limit_ticks` or better."""
        cdef Ladder* ladder = self.bid if side == BUY else self.ask
        cdef int64_t last = KEY_TOP - limit_ticks if side == BUY else limit_ticks
        cdef int64_t key = ladder.best, total = 0
        while 0 <= key <= last:
            total += ladder_get(ladder, key)
            key = key_after(ladder, key + 1)
        return total

    # ---- for Python: reports, tests ----

    @property
    def bid_levels(self):
        return self.bid.count

    @property
    def ask_levels(self):
        return self.ask.count

    @property
    def nodes(self):
        """Memory held, in nodes of 520 bytes."""
        return self.bid.nodes + self.ask.nodes

    def bids(self, int n=2**30) -> list:
        """The best `n` bids as (price_ticks, size_lots), best first."""
        return self._side(BUY, n)

    def asks(self, int n=2**30) -> list:
        """The best `n` asks as (price_ticks, size_lots), best first."""
        return self._side(SELL, n)

    def _side(self, int side, int64_t n):
        cdef Ladder* ladder = self.bid if side == BUY else self.ask
        cdef int64_t key = ladder.best
        out = []
        while key >= 0 and len(out) < n:
            out.append((KEY_TOP - key if side == BUY else key, ladder_get(ladder, key)))
            key = key_after(ladder, key + 1)
        return out

    def cost(self, int side, int64_t size_lots):
        """(lots available, worst price in ticks, sum of ticks * lots) to fill an order of `side`."""
        cdef int64_t worst = 0
        cdef int64_t cost = 0
        filled = self.fill(side, size_lots, &worst, &cost)
        return filled, worst, cost

    def cumulative(self, int side, int64_t limit_ticks) -> int:
        """Lots resting on a side at `limit_ticks` or better."""
        return self.depth(side, limit_ticks)

    def size(self, int side, int64_t price_ticks) -> int:
        return self.size_at(side, price_ticks)

    def is_crossed(self) -> bool:
        return self.crossed()

    def feed(self, int kind, int rule, bids, asks, int64_t first_id=-1, int64_t last_id=-1, int64_t prev_id=-1,
             int64_t now_ns=0) -> int:
        """`on_depth` from Python lists of (price_ticks, size_lots); returns an `Applied`. For tests."""
        cdef DepthHead head
        cdef Level* levels = <Level*>calloc(len(bids) + len(asks) + 1, sizeof(Level))
        if levels == NULL:
            raise MemoryError()
        try:
            memset(&head, 0, sizeof(head))
            head.instrument, head.kind, head.rule = self.instrument, kind, rule
            head.bids, head.asks = len(bids), len(asks)
            head.first_id, head.last_id, head.prev_id = first_id, last_id, prev_id
            for i, (price, size) in enumerate(list(bids) + list(asks)):
                if not 0 <= price <= KEY_TOP or size < 0:
                    raise ValueError(f"level {price}, {size}: price must be 0 to 2**48-1, size not negative")
                levels[i].price_ticks, levels[i].size_lots = price, size
            return self.on_depth(&head, levels, levels + head.bids, now_ns)
        finally:
            free(levels)

    def note_quote(self, int64_t update_id, bid, ask):
        """`on_quote` from (ticks, lots) pairs. For tests."""
        cdef Quote quote
        quote.instrument, quote.update_id = self.instrument, update_id
        quote.bid_ticks, quote.bid_lots = bid
        quote.ask_ticks, quote.ask_lots = ask
        self.on_quote(&quote)

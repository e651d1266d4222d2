"""A venue-side matching engine for one instrument: price-time priority, with a model of the queue around our orders.

Simulated venues, paper mode and backtests use it. Two kinds of quantity rest in it: clients' orders (owner > 0), and the
background (owner 0), which is the rest of the market, driven from recorded depth or by a synthetic maker. Clients hear
of their orders by FILL and DONE events; LEVEL and TRADE are what everybody sees.

Every price is one queue. Background that is added goes to its end, so a client's order keeps behind it exactly the
background that was there when it came, less what has traded or left since. Trades take from the front. What leaves
without trading is not told by a market-data feed, hence the two models of `set_level`:

- "pessimistic" (default): background leaves from the end of the queue; what is ahead of us goes only when nothing is left
  behind us.
- "proportional": every stretch of background shrinks by the same ratio, rounded so that more stays in front.

Order of the events of one command: per price touched, for each match TRADE, the maker's FILL (and DONE), the taker's FILL,
then that price's LEVEL; after the last price the LEVEL of what rests, and the taker's DONE. Nothing here reads a clock.

Self-trade prevention, the mode of the order that comes (`stp` of `place`) when it meets a resting order of its own owner:
"expire_maker" (default) closes the resting one and goes on, "expire_taker" closes the coming one, "expire_both" both,
"decrement" takes the smaller of the two sizes off both and closes what has nothing left, "none" lets them trade. What was
prevented is a PREVENTED event; whoever is closed by it gets DONE "stp". A fill-or-kill order counts as available only
what it could reach and trade with in its mode.

Reduce-only: an order may name the position it belongs to (`position` of `place`, any number but 0). The engine keeps the
lots of each, `set_position` says what happened elsewhere, and a reduce-only order trades no further than its position
goes: what rests of it then is closed (DONE "reduce_only"), in the middle of a sweep if need be. A fill-or-kill order does
not count resting reduce-only orders as available.
"""

from libc.stdint cimport INT64_MAX, int64_t, uintptr_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memmove, memset

from ext.records cimport BUY, SELL

cdef extern from *:
    """
    /* a * b / c rounded up, in 128 bits; all not negative, c > 0 */
    static inline int64_t tg_share(int64_t a, int64_t b, int64_t c) {
        return (int64_t)(((__int128)a * b + c - 1) / c);
    }
    """
    int64_t tg_share(int64_t a, int64_t b, int64_t c) noexcept nogil

cdef enum:
    _LEVEL = 1
    _TRADE = 2
    _FILL = 3
    _DONE = 4
    _PREVENTED = 5

LEVEL = _LEVEL      # (LEVEL, side, price_ticks, size_lots, update_id): all that rests at a price now, 0 = nothing
TRADE = _TRADE      # (TRADE, trade_id, price_ticks, size_lots, taker_side): one match, public
FILL = _FILL        # (FILL, order_id, trade_id, price_ticks, size_lots, leaves_lots, is_maker): one match of a client's order
DONE = _DONE        # (DONE, order_id, reason, filled_lots): a client's order is closed
PREVENTED = _PREVENTED  # (PREVENTED, taker_id, maker_id, price_ticks, size_lots): a match of one owner that was not made
# reasons of DONE: "filled", "canceled", "ioc" (also the rest of a market order), "fok", "post_only", "stp",
# "reduce_only"

cdef int64_t PRICE_MAX = <int64_t>1 << 48
cdef int64_t SIZE_MAX = <int64_t>1 << 56       # per command
cdef int64_t TOTAL_MAX = <int64_t>1 << 62      # per side
cdef tuple TIFS = ("gtc", "ioc", "fok", "post_only")
STP_MODES = ("none", "expire_taker", "expire_maker", "expire_both", "decrement")

cdef enum:
    _NONE = 0
    _EXPIRE_TAKER = 1
    _EXPIRE_MAKER = 2
    _EXPIRE_BOTH = 3
    _DECREMENT = 4


cdef inline int64_t key_of(int side, int64_t price_ticks) noexcept nogil:
    return price_ticks if side == BUY else -price_ticks


cdef Py_ssize_t ladder_find(Ladder* ladder, int64_t key) noexcept nogil:
    """Where `key` is, or where it would have to be inserted."""
    cdef Py_ssize_t low = 0, high = ladder.count, middle
    while low < high:
        middle = (low + high) >> 1
        if ladder.places[middle].key < key:
            low = middle + 1
        else:
            high = middle
    return low


cdef Rung* ladder_get(Ladder* ladder, int64_t key) noexcept nogil:
    """The rung of `key`, or NULL."""
    cdef Py_ssize_t at = ladder_find(ladder, key)
    if at < ladder.count and ladder.places[at].key == key:
        return ladder.places[at].rung
    return NULL


cdef class MatchingEngine:
    """Matching engine of one instrument. `queue` is "pessimistic" or "proportional" (see the module).

    Prices are ticks (1 to 2**48), sizes lots (1 to 2**56), sides `records.Side`. Methods raise ValueError for arguments
    outside that, before anything has changed. `next_order_id` and `next_trade_id` may be set, to give several engines
    of one venue ids of their own; `update_id` rises by one with each LEVEL event.
    """

    def __cinit__(self, str queue="pessimistic"):
        if queue not in ("pessimistic", "proportional"):
            raise ValueError(f"queue model {queue!r}: must be 'pessimistic' or 'proportional'")
        memset(&self.sides[0], 0, sizeof(self.sides))
        self.queue = queue
        self.proportional = queue == "proportional"
        self.nodes = {}
        self.positions = {}
        self.events = []
        self.next_order_id = 1
        self.next_trade_id = 1

    def __dealloc__(self):
        cdef Py_ssize_t side, i
        cdef Node* node
        cdef Rung* rung
        for side in range(2):
            for i in range(self.sides[side].count):
                rung = self.sides[side].places[i].rung
                while rung.head != NULL:
                    node = rung.head
                    rung.head = node.next
                    free(node)
                free(rung)
            free(self.sides[side].places)
        while self.spare_nodes != NULL:
            node = self.spare_nodes
            self.spare_nodes = node.next
            free(node)
        while self.spare_rungs != NULL:
            rung = self.spare_rungs
            self.spare_rungs = rung.spare
            free(rung)

    # ---- commands ----

    def place(self, int side, price_ticks, int64_t size_lots, str tif, int64_t owner=0, str stp="expire_maker",
              int64_t order_id=0, int64_t position=0, bint reduce_only=False) -> int:
        """A new order; returns its id. `price_ticks` None: a market order, whose rest is dropped as with "ioc".

        `tif` is "gtc", "ioc", "fok" or "post_only"; `owner` 0 is background flow, which gets no FILL and no DONE. `stp`
        is one of STP_MODES. `order_id`: one that was given before and does not rest now (an amended or triggered
        order comes back); 0 = the next. `position` and `reduce_only`: see the module.
        """
        cdef bint is_market = price_ticks is None
        cdef int64_t price = (INT64_MAX if side == BUY else 0) if is_market else price_ticks
        cdef int mode = self._check_order(side, is_market, price, size_lots, tif, owner, stp, order_id)
        cdef int64_t left
        cdef Node* node
        if order_id == 0:
            order_id = self.next_order_id
            self.next_order_id += 1
        if tif == "post_only" and self._crosses(side, price):
            self._done(owner, order_id, "post_only", 0)
            return order_id
        if tif == "fok" and not self._can_fill(side, price, size_lots, owner, mode):
            self._done(owner, order_id, "fok", 0)
            return order_id
        self.stopped, self.prevented_lots, self.taker_position = False, 0, position
        left = self._cross(side, price, size_lots, owner, order_id, mode)
        self.taker_position = 0
        if self.stopped:
            self._done(owner, order_id, "stp", size_lots - left - self.prevented_lots)
        elif left == 0:
            self._done(owner, order_id, "filled", size_lots - self.prevented_lots)
        elif is_market or tif == "ioc":
            self._done(owner, order_id, "ioc", size_lots - left - self.prevented_lots)
        else:
            assert tif != "fok", "a fill-or-kill order must not rest"
            self._append(side, price, left, order_id, owner)
            node = <Node*><uintptr_t>self.nodes[order_id]
            node.filled_lots = size_lots - left - self.prevented_lots
            node.position, node.reduce_only = position, reduce_only
            self._publish_price(side, price)
        self._check()
        return order_id

    def fill(self, int64_t order_id, int64_t size_lots) -> int:
        """A background taker meets exactly this resting order, whatever is ahead of it: a venue's own doing, which no
        client could cause. Returns lots traded, 0 where it does not rest."""
        address = self.nodes.get(order_id)
        if address is None or size_lots <= 0:
            return 0
        cdef Node* node = <Node*><uintptr_t>address
        cdef int side = node.side
        cdef int64_t price = node.price_ticks, size = min(size_lots, self._room(node))
        if size == 0:
            return 0
        self._match(ladder_get(&self.sides[side], key_of(side, price)), node, size, size, 1 - side, 0, 0)
        self._publish_price(side, price)
        self._check()
        return size

    def cancel(self, int64_t order_id) -> bool:
        """Take a resting order away; False where no such order rests."""
        address = self.nodes.get(order_id)
        if address is None:
            return False
        cdef Node* node = <Node*><uintptr_t>address
        cdef int side = node.side
        cdef int64_t price = node.price_ticks
        self._done(node.owner, order_id, "canceled", node.filled_lots)
        self._unlink(ladder_get(&self.sides[side], key_of(side, price)), node)
        self._publish_price(side, price)
        return True

    def reduce(self, int64_t order_id, int64_t size_lots) -> bool:
        """Make a resting order smaller and keep its place. `size_lots` is its new whole size, what is filled included
        (as venues amend). False, and nothing changes, where the order does not rest, or the new size is not
        smaller than now, or not more than what is filled."""
        address = self.nodes.get(order_id)
        if address is None:
            return False
        cdef Node* node = <Node*><uintptr_t>address
        cdef int64_t by_lots = node.size_lots + node.filled_lots - size_lots
        if by_lots <= 0 or size_lots <= node.filled_lots:
            return False
        cdef int side = node.side
        cdef int64_t price = node.price_ticks
        self._shrink(ladder_get(&self.sides[side], key_of(side, price)), node, by_lots)
        self._publish_price(side, price)
        return True

    def set_level(self, int side, int64_t price_ticks, int64_t size_lots) -> int:
        """The background at a price is `size_lots` now (absolute, clients' orders not included). Returns lots that
        crossed into clients' orders.

        More than before joins the end of the queue; less leaves by the queue model. Where the price crosses the
        other side, the newer statement wins: background there is gone, without a trade, and clients' orders there
        are filled as makers at their own prices, as far as `size_lots` goes; only what is left of it rests.
        """
        cdef int64_t left = size_lots, background
        cdef Rung* rung
        if size_lots != 0:
            self._check_arguments(side, price_ticks, size_lots)
            left = self._overrun(side, price_ticks, size_lots)
        elif not (0 <= side <= 1 and 0 < price_ticks <= PRICE_MAX):
            self._check_arguments(side, price_ticks, 1)
        rung = ladder_get(&self.sides[side], key_of(side, price_ticks))
        background = 0 if rung == NULL else rung.background_lots
        if left > background:
            self._append(side, price_ticks, left - background, 0, 0)
        elif left < background:
            self._reduce_background(rung, background - left)
        if left != background:
            self._publish_price(side, price_ticks)
        self._check()
        return size_lots - left

    def trade(self, int taker_side, int64_t price_ticks, int64_t size_lots) -> int:
        """A background taker: takes what rests at `price_ticks` or better in queue order, clients' orders when it is
        their turn, and is gone. Returns lots traded; less than `size_lots` where the book had less."""
        cdef int64_t left
        self._check_arguments(taker_side, price_ticks, size_lots)
        self.stopped = False
        left = self._cross(taker_side, price_ticks, size_lots, 0, 0, _NONE)
        self._check()
        return size_lots - left

    def set_position(self, int64_t position, int64_t lots) -> None:
        """The lots of a position are these now, whatever the engine knew."""
        self.positions[position] = lots

    def take(self) -> list:
        """Events since the last take, in order."""
        events = self.events
        self.events = []
        return events

    # ---- reading ----

    def best(self, int side):
        """(price_ticks, size_lots) of the best price of a side, None where it is empty."""
        cdef Ladder* ladder = self._side(side)
        if ladder.count == 0:
            return None
        cdef Place* place = &ladder.places[ladder.count - 1]
        return (place.key if side == BUY else -place.key, place.rung.total_lots)

    def levels(self, int side, Py_ssize_t n=2**30) -> list:
        """The best `n` prices of a side as (price_ticks, size_lots), best first."""
        cdef Ladder* ladder = self._side(side)
        cdef Py_ssize_t at = ladder.count - 1, last = max(-1, ladder.count - 1 - max(n, 0))
        out = []
        while at > last:
            out.append((ladder.places[at].key if side == BUY else -ladder.places[at].key,
                        ladder.places[at].rung.total_lots))
            at -= 1
        return out

    def size(self, int side, int64_t price_ticks) -> int:
        """Lots resting at a price, clients' orders included."""
        cdef Rung* rung = ladder_get(self._side(side), key_of(side, price_ticks))
        return 0 if rung == NULL else rung.total_lots

    def background(self, int side, int64_t price_ticks) -> int:
        """Lots of background resting at a price."""
        cdef Rung* rung = ladder_get(self._side(side), key_of(side, price_ticks))
        return 0 if rung == NULL else rung.background_lots

    def count(self, int side) -> int:
        """Prices on a side."""
        return self._side(side).count

    def ahead(self, int64_t order_id):
        """Lots before a resting order in its own queue, None where no such order rests."""
        address = self.nodes.get(order_id)
        if address is None:
            return None
        cdef Node* node = (<Node*><uintptr_t>address).prev
        cdef int64_t total = 0
        while node != NULL:
            total += node.size_lots
            node = node.prev
        return total

    def audit(self) -> None:
        """Walk everything and assert that all totals agree. For tests: each command checks in O(1) what it can."""
        cdef Py_ssize_t side, i, found = 0
        cdef int64_t resting, total, background
        cdef Rung* rung
        cdef Node* node
        for side in range(2):
            resting = 0
            for i in range(self.sides[side].count):
                rung = self.sides[side].places[i].rung
                assert i == 0 or self.sides[side].places[i - 1].key < self.sides[side].places[i].key, "prices not in order"
                total = background = 0
                node = rung.head
                while node != NULL:
                    assert node.size_lots > 0 and node.filled_lots >= 0, "a resting size is not positive"
                    assert node.side == side and key_of(side, node.price_ticks) == self.sides[side].places[i].key
                    assert node.next == NULL or node.next.prev == node, "the queue is torn"
                    assert node.next != NULL or rung.tail == node, "the queue is torn"
                    found += node.id != 0
                    total += node.size_lots
                    background += node.size_lots if node.owner == 0 else 0
                    node = node.next
                assert total == rung.total_lots == rung.shown_lots > 0, "a price's total is wrong"
                assert background == rung.background_lots, "a price's background is wrong"
                resting += total
            assert resting == self.sides[side].resting_lots, "quantity was lost or made"
        assert found == len(self.nodes), "the order index and the queues disagree"
        self._check()

    # ---- inside ----

    cdef Ladder* _side(self, int side) except NULL:
        if not 0 <= side <= 1:
            raise ValueError(f"side {side}: must be 0 (buy) or 1 (sell)")
        return &self.sides[side]

    def _check_arguments(self, int side, price_ticks, int64_t size_lots):
        cdef Ladder* ladder = self._side(side)
        if price_ticks is not None and not 0 < price_ticks <= PRICE_MAX:
            raise ValueError(f"price {price_ticks}: must be 1 to 2**48 ticks")
        if not 0 < size_lots <= SIZE_MAX:
            raise ValueError(f"size {size_lots}: must be 1 to 2**56 lots")
        if ladder.resting_lots > TOTAL_MAX - size_lots:
            raise ValueError("the book would hold more than 2**62 lots")

    cdef int _check_order(self, int side, bint is_market, int64_t price, int64_t size_lots, str tif, int64_t owner,
                          str stp, int64_t order_id) except -1:
        """Raises ValueError; returns the number of the STP mode."""
        self._check_arguments(side, None if is_market else price, size_lots)
        if tif not in TIFS or (is_market and tif == "post_only"):
            raise ValueError(f"time in force {tif!r}: must be one of {', '.join(TIFS)}, and not post_only at market")
        if owner < 0:
            raise ValueError(f"owner {owner}: must not be negative")
        if stp not in STP_MODES:
            raise ValueError(f"self-trade prevention {stp!r}: must be one of {', '.join(STP_MODES)}")
        if order_id < 0 or order_id >= self.next_order_id or order_id in self.nodes:
            raise ValueError(f"order id {order_id}: must be one that was given before and does not rest now")
        return STP_MODES.index(stp)

    cdef int _done(self, int64_t owner, int64_t order_id, str reason, int64_t filled_lots) except -1:
        if owner > 0:
            self.events.append((_DONE, order_id, reason, filled_lots))
        return 0

    cdef Node* _node(self, int side, int64_t price_ticks, int64_t size_lots, int64_t id, int64_t owner) except NULL:
        cdef Node* node = self.spare_nodes
        if node != NULL:
            self.spare_nodes = node.next
        else:
            node = <Node*>calloc(1, sizeof(Node))
            if node == NULL:
                raise MemoryError()
        node.id, node.owner, node.side = id, owner, side
        node.position, node.reduce_only = 0, False
        node.price_ticks, node.size_lots, node.filled_lots = price_ticks, size_lots, 0
        node.prev = node.next = NULL
        return node

    cdef Rung* _rung(self, int side, int64_t price_ticks) except NULL:
        """The rung of a price, made where there is none."""
        cdef Ladder* ladder = &self.sides[side]
        cdef int64_t key = key_of(side, price_ticks)
        cdef Py_ssize_t at = ladder_find(ladder, key)
        cdef Rung* rung
        cdef Place* places
        if at < ladder.count and ladder.places[at].key == key:
            return ladder.places[at].rung
        if ladder.count == ladder.capacity:
            places = <Place*>realloc(ladder.places, max(256, ladder.capacity * 2) * sizeof(Place))
            if places == NULL:
                raise MemoryError()
            ladder.places = places
            ladder.capacity = max(256, ladder.capacity * 2)
        rung = self.spare_rungs
        if rung != NULL:
            self.spare_rungs = rung.spare
        else:
            rung = <Rung*>calloc(1, sizeof(Rung))
            if rung == NULL:
                raise MemoryError()
        memset(rung, 0, sizeof(Rung))
        memmove(&ladder.places[at + 1], &ladder.places[at], (ladder.count - at) * sizeof(Place))
        ladder.places[at].key, ladder.places[at].rung = key, rung
        ladder.count += 1
        return rung

    cdef int _append(self, int side, int64_t price_ticks, int64_t size_lots, int64_t id, int64_t owner) except -1:
        """Quantity joins the end of a queue; anonymous background joins the anonymous background already there."""
        cdef Rung* rung = self._rung(side, price_ticks)
        cdef Node* node = rung.tail
        if id == 0 and node != NULL and node.id == 0:
            node.size_lots += size_lots
        else:
            node = self._node(side, price_ticks, size_lots, id, owner)
            node.prev = rung.tail
            if rung.tail != NULL:
                rung.tail.next = node
            else:
                rung.head = node
            rung.tail = node
            if id != 0:
                self.nodes[id] = <uintptr_t>node
        rung.total_lots += size_lots
        if owner == 0:
            rung.background_lots += size_lots
        self.sides[side].resting_lots += size_lots
        return 0

    cdef int _unlink(self, Rung* rung, Node* node) except -1:
        """Take a node out of its queue, with whatever size it still has."""
        if node.size_lots > 0:
            rung.total_lots -= node.size_lots
            self.sides[node.side].resting_lots -= node.size_lots
            if node.owner == 0:
                rung.background_lots -= node.size_lots
        if node.prev != NULL:
            node.prev.next = node.next
        else:
            rung.head = node.next
        if node.next != NULL:
            node.next.prev = node.prev
        else:
            rung.tail = node.prev
        if node.id != 0:
            del self.nodes[node.id]
        node.next = self.spare_nodes
        self.spare_nodes = node
        return 0

    cdef int _shrink(self, Rung* rung, Node* node, int64_t by_lots) except -1:
        """Take quantity from a node, which goes when nothing is left of it."""
        assert 0 < by_lots <= node.size_lots, "a size would become negative"
        node.size_lots -= by_lots
        rung.total_lots -= by_lots
        self.sides[node.side].resting_lots -= by_lots
        if node.owner == 0:
            rung.background_lots -= by_lots
        if node.size_lots == 0:
            self._unlink(rung, node)
        return 0

    cdef int _publish(self, int side, Py_ssize_t at) except -1:
        """Say a price's new total where it changed, and drop the price where nothing is left."""
        cdef Ladder* ladder = &self.sides[side]
        cdef Rung* rung = ladder.places[at].rung
        cdef int64_t key = ladder.places[at].key
        if rung.total_lots != rung.shown_lots:
            self.update_id += 1
            rung.shown_lots = rung.total_lots
            self.events.append((_LEVEL, side, key if side == BUY else -key, rung.total_lots, self.update_id))
        if rung.head == NULL:
            assert rung.total_lots == 0 and rung.background_lots == 0, "an empty queue has a size"
            ladder.count -= 1
            memmove(&ladder.places[at], &ladder.places[at + 1], (ladder.count - at) * sizeof(Place))
            rung.spare = self.spare_rungs
            self.spare_rungs = rung
        return 0

    cdef int _publish_price(self, int side, int64_t price_ticks) except -1:
        return self._publish(side, ladder_find(&self.sides[side], key_of(side, price_ticks)))

    cdef bint _crosses(self, int side, int64_t limit_ticks) noexcept nogil:
        """Would an order of `side` at `limit_ticks` trade?"""
        cdef Ladder* other = &self.sides[1 - side]
        return other.count > 0 and other.places[other.count - 1].key >= key_of(1 - side, limit_ticks)

    cdef bint _can_fill(self, int side, int64_t limit_ticks, int64_t size_lots, int64_t owner, int stp) noexcept nogil:
        """Does the other side hold `size_lots` up to `limit_ticks` that an order in this mode could trade with?"""
        cdef Ladder* other = &self.sides[1 - side]
        cdef Py_ssize_t at = other.count - 1
        cdef Node* node
        while at >= 0 and size_lots > 0 and other.places[at].key >= key_of(1 - side, limit_ticks):
            node = other.places[at].rung.head
            while node != NULL and size_lots > 0:
                if owner == 0 or node.owner != owner or stp == _NONE:
                    size_lots -= 0 if node.reduce_only else node.size_lots
                elif stp != _EXPIRE_MAKER:
                    return False  # it would be stopped here, or lose size
                node = node.next
            at -= 1
        return size_lots <= 0

    cdef int64_t _cross(self, int side, int64_t limit_ticks, int64_t size_lots, int64_t owner, int64_t id,
                        int stp) except -1:
        """Take from the other side down to `limit_ticks`; returns the lots that found nothing. `stopped` and
        `prevented_lots` say what self-trade prevention did to it."""
        cdef Ladder* other = &self.sides[1 - side]
        cdef int64_t left = size_lots, before
        cdef Rung* rung
        cdef Node* maker
        while left > 0 and not self.stopped and self._crosses(side, limit_ticks):
            rung = other.places[other.count - 1].rung
            while left > 0 and not self.stopped and rung.head != NULL:
                maker = rung.head
                if owner > 0 and maker.owner == owner and stp != _NONE:
                    left = self._prevent(rung, maker, left, id, stp)
                elif self._room(maker) == 0:
                    self._done(maker.owner, maker.id, "reduce_only", maker.filled_lots)
                    self._unlink(rung, maker)
                else:
                    before = other.resting_lots + size_lots - left
                    left = self._match(rung, maker, left, size_lots, side, owner, id)
                    assert other.resting_lots + size_lots - left == before, "quantity was lost or made"
            self._publish(1 - side, other.count - 1)
        return left

    cdef int64_t _prevent(self, Rung* rung, Node* maker, int64_t left_lots, int64_t id, int stp) except -1:
        """An order meets one of its own owner; returns what it has left. The maker may be gone afterwards."""
        cdef int64_t size = min(left_lots, maker.size_lots), owner = maker.owner, maker_id = maker.id
        cdef int64_t filled = maker.filled_lots
        self.events.append((_PREVENTED, id, maker_id, maker.price_ticks, size))
        if stp == _DECREMENT:
            self.prevented_lots += size
            left_lots -= size
            if size == maker.size_lots:
                self._done(owner, maker_id, "stp", filled)
            self._shrink(rung, maker, size)
            self.stopped = left_lots == 0
            return left_lots
        if stp == _EXPIRE_MAKER or stp == _EXPIRE_BOTH:
            self._done(owner, maker_id, "stp", filled)
            self._unlink(rung, maker)
        self.stopped = stp != _EXPIRE_MAKER
        return left_lots

    cdef int64_t _match(self, Rung* rung, Node* maker, int64_t left_lots, int64_t size_lots, int taker_side,
                        int64_t owner, int64_t id) except -1:
        """One match at the maker's price; returns what the taker has left. The maker may be gone afterwards."""
        cdef int64_t size = min(left_lots, self._room(maker)), price = maker.price_ticks, trade_id = self.next_trade_id
        self.next_trade_id += 1
        left_lots -= size
        maker.filled_lots += size
        self.events.append((_TRADE, trade_id, price, size, taker_side))
        if maker.owner > 0:
            self.events.append((_FILL, maker.id, trade_id, price, size, maker.size_lots - size, True))
            if maker.size_lots == size:
                self._done(maker.owner, maker.id, "filled", maker.filled_lots)
        if owner > 0:
            self.events.append((_FILL, id, trade_id, price, size, left_lots, False))
        if maker.position != 0:
            self._move(maker.position, maker.side, size)
        if self.taker_position != 0:
            self._move(self.taker_position, taker_side, size)
        self._shrink(rung, maker, size)
        return left_lots

    cdef int64_t _room(self, Node* node) except -1:
        """How much of a resting order may trade."""
        if not node.reduce_only:
            return node.size_lots
        cdef int64_t lots = self.positions.get(node.position, 0)
        return min(node.size_lots, max(0, -lots if node.side == BUY else lots))

    cdef int _move(self, int64_t position, int side, int64_t size_lots) except -1:
        self.positions[position] = self.positions.get(position, 0) + (size_lots if side == BUY else -size_lots)
        return 0

    cdef int64_t _overrun(self, int side, int64_t price_ticks, int64_t size_lots) except -1:
        """Background of `side` now stands at a price: what it crosses is stale background, or clients' orders to be
        filled. Returns the lots that filled nobody."""
        cdef Ladder* other = &self.sides[1 - side]
        cdef Py_ssize_t at = other.count - 1
        cdef int64_t left = size_lots
        cdef Rung* rung
        while at >= 0 and other.places[at].key >= key_of(1 - side, price_ticks):
            rung = other.places[at].rung
            self._drop_background(rung)
            while left > 0 and rung.head != NULL:
                if self._room(rung.head) == 0:
                    self._done(rung.head.owner, rung.head.id, "reduce_only", rung.head.filled_lots)
                    self._unlink(rung, rung.head)
                else:
                    left = self._match(rung, rung.head, left, size_lots, side, 0, 0)
            self._publish(1 - side, at)
            at -= 1
        return left

    cdef int _drop_background(self, Rung* rung) except -1:
        cdef Node* node = rung.head
        cdef Node* after
        while node != NULL:
            after = node.next
            if node.owner == 0:
                self._unlink(rung, node)
            node = after
        return 0

    cdef int _reduce_background(self, Rung* rung, int64_t by_lots) except -1:
        """Background leaves a queue without trading, by the queue model."""
        cdef Node* node = rung.tail
        cdef Node* before
        cdef int64_t size
        if self.proportional:
            return self._thin_background(rung, rung.background_lots - by_lots)
        while by_lots > 0:
            assert node != NULL, "less background than the total says"
            before = node.prev
            if node.owner == 0:
                size = min(by_lots, node.size_lots)
                by_lots -= size
                self._shrink(rung, node, size)
            node = before
        return 0

    cdef int _thin_background(self, Rung* rung, int64_t to_lots) except -1:
        """Every stretch shrinks by one ratio: the sums from the front are scaled and rounded up, so the sum is exact."""
        cdef int64_t from_lots = rung.background_lots, sum_before = 0, sum_after = 0, keep
        cdef Node* node = rung.head
        cdef Node* after
        while node != NULL:
            after = node.next
            if node.owner == 0:
                sum_before += node.size_lots
                keep = tg_share(sum_before, to_lots, from_lots) - sum_after
                sum_after += keep
                if keep < node.size_lots:
                    self._shrink(rung, node, node.size_lots - keep)
            node = after
        assert rung.background_lots == to_lots, "quantity was lost or made"
        return 0

    cdef int _check(self) except -1:
        """What must hold after every command."""
        cdef Ladder* bids = &self.sides[<int>BUY]
        cdef Ladder* asks = &self.sides[<int>SELL]
        assert bids.count == 0 or asks.count == 0 or (
            bids.places[bids.count - 1].key < -asks.places[asks.count - 1].key), "the book is crossed"
        assert bids.resting_lots >= 0 and asks.resting_lots >= 0, "a size is negative"
        return 0

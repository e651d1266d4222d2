"""The venue's side of the wire, what all three have in common: listings, connections, orders, depth batches.

A fake is a venue without I/O: `open`, `receive`, `http`, `tick` go in, frames come out of `take`. `node/sim`
puts it on loopback sockets or in memory. Truth about orders and books is `ext.match`; a venue's own `fake.py`
only speaks its protocol. Prices and sizes are ticks and lots here, text only at the edge.

Order of what a client sees. An order: `on_accepted`, then per match `push_trade` and `on_fill` (the maker's
before the taker's where both are clients'), then `on_done` where it closes without being filled whole, then
`push_quote` if the best moved. What the market did before a command came is told before that command's
answers. Depth follows at the venue's cadence, in `tick`.

All clients are one account (owner 1) unless `FakeOrder.owner` says otherwise: two connections of one node
must not trade with each other.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from ext.match import DONE, FILL, LEVEL, TRADE, MatchingEngine
from ext.text import Grid

BUY, SELL = 0, 1
MS = 1_000_000
Best = tuple[int, int] | None  # (price_ticks, size_lots); None = the side is empty


class Refused(Exception):
    """The venue refuses a connection: HTTP status and text."""

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status


@dataclass
class Listing:
    """One instrument as the venue lists it, with its matching engine and what is waiting to be pushed."""

    symbol: str
    tick: str
    lot: str
    market: int
    base: str = ""
    quote: str = "USDT"
    contract: str = "1"
    inst_code: int = -1
    is_perpetual: bool = False
    min_notional: str = "5"
    engine: MatchingEngine = field(default_factory=MatchingEngine)
    pushed_id: int = 0  # last update id that a depth push contained
    settled_id: int = 0  # last update id that `changed` contains
    fast_id: int = 0  # as pushed_id, of the fast push

    def __post_init__(self) -> None:
        self.price_grid = Grid(self.tick)
        self.size_grid = Grid(self.lot)
        self.changed: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.changed_fast: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.top: tuple[Best, Best] = (None, None)  # best bid and ask as last pushed

    def price(self, ticks: int) -> str:
        return self.price_grid.format(ticks, keep_zeros=True)

    def size(self, lots: int) -> str:
        return self.size_grid.format(lots, keep_zeros=True)


@dataclass(eq=False)
class Connection:
    """One client connection. `topics` is what it subscribed to, in the venue's own words."""

    number: int
    path: str
    opened_ns: int
    topics: dict[str, object] = field(default_factory=dict)
    logged_in: bool = False
    notes: dict[str, Any] = field(default_factory=dict)  # whatever else the venue's fake must remember
    closing: tuple[int, str] | None = None  # close code and reason, once the venue hangs up
    dropped: bool = False  # a fault: the socket is to be reset, nothing more is said
    muted: bool = False  # a fault: stays open, but nothing comes any more
    skips: dict[tuple[int, str], int] = field(default_factory=dict)  # a fault: depth to lose


@dataclass(eq=False)
class FakeOrder:
    """One client order at the venue."""

    listing: Listing
    number: int  # the venue's order id
    client_id: str
    side: int
    price_ticks: int
    size_lots: int
    tif: str
    connection: Connection
    filled_lots: int = 0
    done: str = ""  # why it is no longer open: filled, canceled, ioc, fok, post_only, stp
    placed_ns: int = 0
    owner: int = 1
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def leaves_lots(self) -> int:
        return 0 if self.done else self.size_lots - self.filled_lots


class FakeVenue:
    """Base of the three fakes. A subclass speaks the protocol: `receive`, `http` and the `push_*` methods."""

    depth_interval_ns = 100 * MS  # how often `push_depth` is called for a listing that changed
    fast_interval_ns = 0  # the same for `push_fast_depth`; 0 = this venue has no second, faster depth
    ids_per_listing = 10**9  # order ids are unique in the venue: each listing has a range of its own

    def __init__(self, listings: list[Listing], seed: int = 1):
        self.listings = {(x.market, x.symbol): x for x in listings}
        self.connections: dict[int, Connection] = {}
        self.orders: dict[int, FakeOrder] = {}  # open and done, by the venue's order id
        self.frames: deque[tuple[Connection, str]] = deque()
        self.seed = seed
        self.counts = {"orders": 0, "cancels": 0, "fills": 0, "rejects": 0, "lost_frames": 0}
        self._by_client: dict[tuple[int, str, str], FakeOrder] = {}  # market, symbol, client id -> the latest
        self._next_connection = 0
        self._next_depth_ns = 0
        self._next_fast_ns = 0
        self._pushing: Listing | None = None  # whose depth is being pushed
        self._skipping: set[int] = set()  # connections that lose this push
        self._skip_any: dict[tuple[int, str], int] = {}  # for the first connection concerned
        for i, listing in enumerate(listings):
            listing.engine.next_order_id += i * self.ids_per_listing

    # ---- called by whoever owns the sockets ----

    def open(self, path: str, now_ns: int) -> Connection:
        """A client connected to `path` (with its query). Raises Refused where the venue has no such path."""
        self._next_connection += 1
        connection = Connection(self._next_connection, path, now_ns)
        self.on_open(connection, now_ns)
        self.connections[connection.number] = connection
        return connection

    def close(self, connection: Connection) -> None:
        """The client is gone. Its orders stay: no venue here cancels on disconnect by default."""
        self.connections.pop(connection.number, None)

    def take(self) -> list[tuple[Connection, str]]:
        """Frames to write, in order."""
        out = list(self.frames)
        self.frames.clear()
        return out

    def tick(self, now_ns: int) -> None:
        """Time passes: push what happened, and the depth that is due. Call it every 10 ms or so."""
        for listing in self.listings.values():
            self.settle(listing, now_ns)
        if self.fast_interval_ns and now_ns >= self._next_fast_ns:
            self._next_fast_ns = _due(self._next_fast_ns, self.fast_interval_ns, now_ns)
            for listing in self.listings.values():
                self._push_fast_changes(listing, now_ns)
        if now_ns >= self._next_depth_ns:
            self._next_depth_ns = _due(self._next_depth_ns, self.depth_interval_ns, now_ns)
            for listing in self.listings.values():
                self._push_changes(listing, now_ns)

    # ---- faults ----

    def drop(self, connection: Connection) -> None:
        """The network resets this connection: what was not written yet is lost, the venue forgets the
        client."""
        connection.dropped = True
        kept = [(c, text) for c, text in self.frames if c is not connection]
        self.counts["lost_frames"] += len(self.frames) - len(kept)
        self.frames = deque(kept)
        self.close(connection)

    def mute(self, connection: Connection, on: bool = True) -> None:
        """From now on everything said to this connection is lost, while it stays open."""
        connection.muted = on

    def skip_depth(self, listing: Listing, n: int = 1, connection: Connection | None = None) -> None:
        """Lose the next `n` depth pushes of a listing on one connection: a gap. Without a connection it is
        the first one that would have got such a push."""
        skips = self._skip_any if connection is None else connection.skips
        key = (listing.market, listing.symbol)
        skips[key] = skips.get(key, 0) + n

    # ---- what a subclass calls ----

    def send(self, connection: Connection, text: str) -> None:
        """Queue a text frame. What is said to a connection that is being closed, dropped or muted is lost."""
        if connection.closing or connection.dropped or connection.muted or self._skipped(connection):
            self.counts["lost_frames"] += 1
        else:
            self.frames.append((connection, text))

    def hang_up(self, connection: Connection, code: int, reason: str) -> None:
        """The venue closes the connection, after the frames that are queued already."""
        if connection.closing is None:
            connection.closing = (code, reason)

    def subscribers(self, topic: str) -> list[Connection]:
        return [c for c in self.connections.values() if topic in c.topics]

    def place(self, order_type: str, order: FakeOrder, now_ns: int) -> None:
        """Hand an order to the matching engine. `order_type` is "limit" or "market"; `order.tif` one of gtc,
        ioc, fok, post_only. The answers come through `on_accepted`, `on_fill`, `on_done`, in that order."""
        listing = order.listing
        self.settle(listing, now_ns)
        order.placed_ns = now_ns
        order.number = listing.engine.next_order_id
        self.orders[order.number] = order
        self._by_client[(listing.market, listing.symbol, order.client_id)] = order
        self.counts["orders"] += 1
        self.on_accepted(order, now_ns)
        price = order.price_ticks if order_type == "limit" else None
        listing.engine.place(order.side, price, order.size_lots, order.tif, order.owner)
        self.settle(listing, now_ns)

    def cancel(self, order: FakeOrder, now_ns: int) -> bool:
        """Cancel at the matching engine; False where the order is not open any more."""
        self.settle(order.listing, now_ns)
        self.counts["cancels"] += 1
        ok = order.listing.engine.cancel(order.number)
        self.settle(order.listing, now_ns)
        return ok

    def reduce(self, order: FakeOrder, size_lots: int, now_ns: int) -> bool:
        """Amend to a smaller whole size (filled included) and keep the place in the queue; False where it
        cannot."""
        self.settle(order.listing, now_ns)
        ok = order.listing.engine.reduce(order.number, size_lots)
        if ok:
            order.size_lots = size_lots
        self.settle(order.listing, now_ns)
        return ok

    def find_order(self, listing: Listing, client_id: str = "", number: int = 0) -> FakeOrder | None:
        """The order of a listing with that venue id, else the latest one with that client id."""
        if number:
            order = self.orders.get(number)
            return order if order is not None and order.listing is listing else None
        return self._by_client.get((listing.market, listing.symbol, client_id)) if client_id else None

    def forget_closed(self) -> None:
        """Forget all orders that are not open any more: a run of days must not remember each. To a client
        they are then as unknown as closed ones are not open."""
        for order in [x for x in self.orders.values() if x.done]:
            del self.orders[order.number]
            key = (order.listing.market, order.listing.symbol, order.client_id)
            if self._by_client.get(key) is order:
                del self._by_client[key]
            self.on_forgotten(order)

    def open_orders(self, listing: Listing | None = None) -> list[FakeOrder]:
        """Orders that rest, oldest first; of one listing or of all."""
        return [x for x in self.orders.values() if not x.done and (listing is None or x.listing is listing)]

    def flush(self, listing: Listing, now_ns: int) -> None:
        """Push what has changed now, out of turn: afterwards a snapshot of the engine is exactly at
        `pushed_id` (and `fast_id`), and the next push continues it."""
        self.settle(listing, now_ns)
        self._push_fast_changes(listing, now_ns)
        self._push_changes(listing, now_ns)

    def settle(self, listing: Listing, now_ns: int) -> None:
        """Turn what the matching engine did into changed levels, public trades and order events."""
        for event in listing.engine.take():
            kind = event[0]
            if kind == LEVEL:
                _, side, price_ticks, size_lots, listing.settled_id = event
                listing.changed[side][price_ticks] = size_lots
                listing.changed_fast[side][price_ticks] = size_lots
            elif kind == TRADE:
                _, trade_id, price_ticks, size_lots, taker_side = event
                self.push_trade(listing, trade_id, price_ticks, size_lots, taker_side, now_ns)
            elif kind == FILL:
                self._fill(event, now_ns)
            elif kind == DONE:
                self._done(event, now_ns)
        top = (listing.engine.best(BUY), listing.engine.best(SELL))
        if top != listing.top:
            listing.top = top
            self.push_quote(listing, now_ns)

    def _fill(self, event: tuple, now_ns: int) -> None:
        _, number, trade_id, price_ticks, size_lots, leaves_lots, is_maker = event
        order = self.orders[number]
        order.filled_lots += size_lots
        self.counts["fills"] += 1
        if leaves_lots == 0:
            order.done = "filled"
        self.on_fill(order, trade_id, price_ticks, size_lots, is_maker, now_ns)

    def _done(self, event: tuple, now_ns: int) -> None:
        _, number, reason, _ = event
        order = self.orders[number]
        if reason != "filled":
            order.done = reason
            self.on_done(order, reason, now_ns)

    def _push_changes(self, listing: Listing, now_ns: int) -> None:
        changed, prev_id = listing.changed, listing.pushed_id
        listing.changed, listing.pushed_id = ({}, {}), listing.settled_id
        self._push(self.push_depth, listing, changed, prev_id, now_ns)

    def _push_fast_changes(self, listing: Listing, now_ns: int) -> None:
        changed, prev_id = listing.changed_fast, listing.fast_id
        listing.changed_fast, listing.fast_id = ({}, {}), listing.settled_id
        if self.fast_interval_ns:
            self._push(self.push_fast_depth, listing, changed, prev_id, now_ns)

    def _push(self, push, listing: Listing, changed, prev_id: int, now_ns: int) -> None:
        if not (changed[BUY] or changed[SELL]):
            return
        bids, asks = sorted(changed[BUY].items(), reverse=True), sorted(changed[SELL].items())
        self._pushing, self._skipping = listing, set()
        try:
            push(listing, bids, asks, prev_id + 1, listing.settled_id, prev_id, now_ns)
        finally:
            self._pushing = None

    def _skipped(self, connection: Connection) -> bool:
        """Is this frame part of a depth push that the connection shall lose? A push of many frames counts
        once."""
        if self._pushing is None:
            return False
        key = (self._pushing.market, self._pushing.symbol)
        if key in self._skip_any:
            connection.skips[key] = connection.skips.get(key, 0) + self._skip_any.pop(key)
        if connection.number in self._skipping:
            return True
        if not connection.skips.get(key):
            return False
        connection.skips[key] -= 1
        self._skipping.add(connection.number)
        return True

    # ---- what a subclass provides ----

    def on_open(self, connection: Connection, now_ns: int) -> None:
        """A connection is being opened: check the path, take subscriptions out of the URL."""

    def receive(self, connection: Connection, text: str, now_ns: int) -> None:
        """A text frame from a client."""
        raise NotImplementedError

    def http(
        self, method: str, target: str, headers: dict[str, str], body: bytes, now_ns: int
    ) -> tuple[int, bytes]:
        """A REST request; returns status and JSON body."""
        raise NotImplementedError

    def push_depth(self, listing, bids, asks, first_id, last_id, prev_id, now_ns) -> None:
        """Changed levels since the last push as (price_ticks, size_lots), absolute: ids first..last."""

    def push_fast_depth(self, listing, bids, asks, first_id, last_id, prev_id, now_ns) -> None:
        """As `push_depth`, every `fast_interval_ns` and with a chain of ids of its own (OKX `books-l2-tbt`,
        Bybit `orderbook.50`)."""

    def push_quote(self, listing, now_ns) -> None:
        """The best bid or ask changed: `listing.top` has both; the update id is `listing.settled_id`."""

    def push_trade(self, listing, trade_id, price_ticks, size_lots, taker_side, now_ns) -> None:
        """A public trade."""

    def on_accepted(self, order: FakeOrder, now_ns: int) -> None:
        """The order passed validation and has its number; whether it rests is not known yet."""

    def on_fill(self, order: FakeOrder, trade_id, price_ticks, size_lots, is_maker, now_ns) -> None:
        """One fill; `order.filled_lots` contains it already, `order.done` is "filled" where it was the
        last."""

    def on_done(self, order: FakeOrder, reason: str, now_ns: int) -> None:
        """The order is closed without being filled whole: canceled, ioc, fok, post_only, stp."""

    def on_forgotten(self, order: FakeOrder) -> None:
        """A closed order is dropped: drop what else is kept of it."""


def _due(due_ns: int, interval_ns: int, now_ns: int) -> int:
    """The next time on the grid that `due_ns` is on; a new grid where more than one was missed."""
    due_ns += interval_ns
    return due_ns if due_ns > now_ns else now_ns + interval_ns

"""The venue's side of the wire, what all three have in common: listings, connections, orders, depth batches.

A fake is a venue without I/O: `open`, `receive`, `http`, `tick` go in, frames come out of `take`. `node/sim` puts it on
loopback sockets or in memory. Truth about orders and books is `ext.match`; a venue's own `fake.py` only speaks its
protocol. Prices and sizes are ticks and lots here, text only at the edge.
"""

from collections import deque
from dataclasses import dataclass, field

from ext.match import DONE, FILL, LEVEL, TRADE, MatchingEngine
from ext.text import Grid

BUY, SELL = 0, 1
MS = 1_000_000


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

    def __post_init__(self) -> None:
        self.price_grid = Grid(self.tick)
        self.size_grid = Grid(self.lot)
        self.changed: tuple[dict[int, int], dict[int, int]] = ({}, {})

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
    notes: dict[str, object] = field(default_factory=dict)  # whatever else the venue's fake must remember
    closing: tuple[int, str] | None = None  # close code and reason, once the venue hangs up


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
    done: str = ""  # why it is no longer open: filled, canceled, ioc, fok, post_only
    placed_ns: int = 0
    notes: dict[str, object] = field(default_factory=dict)

    @property
    def leaves_lots(self) -> int:
        return 0 if self.done else self.size_lots - self.filled_lots


class FakeVenue:
    """Base of the three fakes. A subclass speaks the protocol: `receive`, `http` and the `push_*` methods."""

    depth_interval_ns = 100 * MS  # how often depth diffs are pushed

    def __init__(self, listings: list[Listing], seed: int = 1):
        self.listings = {(x.market, x.symbol): x for x in listings}
        self.connections: dict[int, Connection] = {}
        self.orders: dict[int, FakeOrder] = {}  # open and done, by the venue's order id
        self.frames: deque[tuple[Connection, str]] = deque()
        self.seed = seed
        self.counts = {"orders": 0, "cancels": 0, "fills": 0, "rejects": 0}
        self._next_connection = 0
        self._next_depth_ns = 0

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
        """Time passes: push the depth that is due."""
        for listing in self.listings.values():
            self.settle(listing, now_ns)
        if now_ns >= self._next_depth_ns:
            self._next_depth_ns = now_ns + self.depth_interval_ns
            for listing in self.listings.values():
                self._push_changes(listing, now_ns)

    # ---- what a subclass calls ----

    def send(self, connection: Connection, text: str) -> None:
        self.frames.append((connection, text))

    def subscribers(self, topic: str) -> list[Connection]:
        return [c for c in self.connections.values() if topic in c.topics]

    def place(self, order_type: str, order: FakeOrder, now_ns: int) -> None:
        """Hand an order to the matching engine. `order_type` is "limit" or "market"; `order.tif` one of gtc, ioc, fok,
        post_only. The answers come through `on_accepted`, `on_fill`, `on_done`, in that order."""
        order.placed_ns = now_ns
        engine = order.listing.engine
        order.number = engine.next_order_id
        self.orders[order.number] = order
        self.counts["orders"] += 1
        self.on_accepted(order, now_ns)
        price = order.price_ticks if order_type == "limit" else None
        engine.place(order.side, price, order.size_lots, order.tif, 1)
        self.settle(order.listing, now_ns)

    def cancel(self, order: FakeOrder, now_ns: int) -> bool:
        """Cancel at the matching engine; False where the order is not open any more."""
        self.counts["cancels"] += 1
        ok = order.listing.engine.cancel(order.number)
        self.settle(order.listing, now_ns)
        return ok

    def find_order(self, listing: Listing, client_id: str = "", number: int = 0) -> FakeOrder | None:
        """The latest order with that venue id or client id."""
        if number:
            return self.orders.get(number)
        for order in reversed(self.orders.values()):
            if order.client_id == client_id and order.listing is listing:
                return order
        return None

    def settle(self, listing: Listing, now_ns: int) -> None:
        """Turn what the matching engine did into changed levels, public trades and order events."""
        for event in listing.engine.take():
            kind = event[0]
            if kind == LEVEL:
                _, side, price_ticks, size_lots, _ = event
                listing.changed[side][price_ticks] = size_lots
            elif kind == TRADE:
                self.push_trade(listing, *event[1:], now_ns)
            elif kind == FILL:
                self._fill(*event[1:], now_ns)
            elif kind == DONE:
                self._done(*event[1:], now_ns)
        if listing.changed[BUY] or listing.changed[SELL]:
            self.push_quote(listing, now_ns)

    def _fill(self, number, trade_id, price_ticks, size_lots, leaves_lots, is_maker, now_ns) -> None:
        order = self.orders[number]
        order.filled_lots += size_lots
        self.counts["fills"] += 1
        if leaves_lots == 0:
            order.done = "filled"
        self.on_fill(order, trade_id, price_ticks, size_lots, is_maker, now_ns)

    def _done(self, number, reason, filled_lots, now_ns) -> None:
        order = self.orders[number]
        if reason != "filled":
            order.done = reason
            self.on_done(order, reason, now_ns)

    def _push_changes(self, listing: Listing, now_ns: int) -> None:
        bids, asks = listing.changed
        if not (bids or asks):
            return
        first_id, last_id, prev_id = listing.pushed_id + 1, listing.engine.update_id, listing.pushed_id
        listing.changed = ({}, {})
        listing.pushed_id = last_id
        self.push_depth(
            listing, sorted(bids.items(), reverse=True), sorted(asks.items()), first_id, last_id, prev_id, now_ns
        )

    # ---- what a subclass provides ----

    def on_open(self, connection: Connection, now_ns: int) -> None:
        """A connection is being opened: check the path, take subscriptions out of the URL."""

    def receive(self, connection: Connection, text: str, now_ns: int) -> None:
        """A text frame from a client."""
        raise NotImplementedError

    def http(self, method: str, target: str, headers: dict[str, str], body: bytes, now_ns: int) -> tuple[int, bytes]:
        """A REST request; returns status and JSON body."""
        raise NotImplementedError

    def push_depth(self, listing, bids, asks, first_id, last_id, prev_id, now_ns) -> None:
        """Changed levels as (price_ticks, size_lots), absolute sizes, since the last push: ids first..last."""

    def push_quote(self, listing, now_ns) -> None:
        """The top of the book may have changed."""

    def push_trade(self, listing, trade_id, price_ticks, size_lots, taker_side, now_ns) -> None:
        """A public trade."""

    def on_accepted(self, order: FakeOrder, now_ns: int) -> None:
        """The order passed validation and has its number; whether it rests is not known yet."""

    def on_fill(self, order: FakeOrder, trade_id, price_ticks, size_lots, is_maker, now_ns) -> None:
        """One fill; `order.filled_lots` already contains it and `order.done` is "filled" where it was the last."""

    def on_done(self, order: FakeOrder, reason: str, now_ns: int) -> None:
        """The order is closed without being filled whole: canceled, ioc, fok, post_only."""

"""The venue's side of the wire, what all three have in common: connections, market data pushes, doors.

A fake is a venue without I/O: `admit`, `hear`, `request`, `tick` go in, frames come out of `take`. `node/sim`
puts it on loopback sockets or in memory. Truth about orders and books is `ext.match`, about money `ledger`;
a venue's own `fake.py` only speaks its protocol. Prices and sizes are ticks and lots here, text only at the
edge. The rooms below this one, from the bottom: `faults` (which, when), `ledger` (money), `parts` (nouns),
`register` (accounts, look-ups, the judge), `terms` (fees, filters, margin), `desk` (orders), `injectors`
(faults at the doors).

Order of what a client sees. An order: `on_accepted`, then per match `push_trade` and `on_fill` (the maker's
before the taker's where both are clients'), then `on_done` where it closes without being filled whole, then
`push_quote` if the best moved. What the market did before a command came is told before that command's
answers. Depth follows at the venue's cadence, in `tick`.

The owner of an order is its account: two connections of one account do not trade with each other.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from node.venues.faults import Fault, Faults
from node.venues.injectors import Injectors
from node.venues.ledger import (
    BUY,
    PRIVATE_KEY_PEM,
    PUBLIC_KEY_PEM,
    SELL,
    SIMULATED,
    Account,
    Balance,
    Key,
    Position,
    Refusal,
    VenueTrade,
    make_account,
)
from node.venues.parts import (
    MS,
    SECOND,
    Answer,
    Best,
    Bracket,
    Connection,
    FakeOrder,
    Limiter,
    Listing,
    RateLimited,
    Refused,
)

__all__ = [
    "BUY",
    "MS",
    "PRIVATE_KEY_PEM",
    "PUBLIC_KEY_PEM",
    "SECOND",
    "SELL",
    "SIMULATED",
    "Account",
    "Answer",
    "Balance",
    "Best",
    "Bracket",
    "Connection",
    "FakeOrder",
    "FakeVenue",
    "Fault",
    "Faults",
    "Key",
    "Limiter",
    "Listing",
    "Position",
    "RateLimited",
    "Refusal",
    "Refused",
    "VenueTrade",
    "make_account",
]


class FakeVenue(Injectors):
    """Base of the three fakes. A subclass speaks the protocol: `receive`, `http` and the `push_*` and `on_*`
    methods."""

    depth_interval_ns = 100 * MS  # how often `push_depth` is called for a listing that changed
    fast_interval_ns = 0  # the same for `push_fast_depth`; 0 = this venue has no second, faster depth

    def __init__(
        self,
        listings: list[Listing],
        seed: int = 1,
        accounts: Iterable[Account] | None = None,
        faults: Faults | None = None,
    ):
        super().__init__(listings, seed, accounts, faults)
        self.connections: dict[int, Connection] = {}
        self.frames: deque[tuple[Connection, str]] = deque()
        self.limiters: dict[str, Limiter] = {}
        self._peer_headers: Mapping[str, str] = {}
        self._next_connection = 0
        self._next_depth_ns = 0
        self._next_fast_ns = 0
        self._pushing: Listing | None = None  # whose depth is being pushed
        self._pushing_kind = ""  # "depth", "quote", "trade": what is being pushed
        self._skipping: set[int] = set()  # connections that lose this push
        self._doubling: set[int] = set()  # connections that get this push twice
        self._skip_any: dict[tuple[int, str], int] = {}  # for the first connection concerned
        self._decided: set[int] = set()  # connections for which this push's faults are settled
        self._windows: dict[tuple[int, tuple[int, str]], int] = {}
        self._held_depth: dict[tuple[int, tuple[int, str]], list[str]] = {}  # `book.reorder`
        self._old_books: dict[tuple[int, str], deque[tuple[int, int, list, list]]] = {}

    # ---- called by whoever owns the sockets ----

    def admit(
        self, path: str, now_ns: int, ip: str = "127.0.0.1", headers: Mapping[str, str] | None = None
    ) -> Connection:
        """As `open`, from an address and with the headers of the handshake."""
        self.peer_ip, self._peer_headers = ip, headers or {}
        try:
            return self.open(path, now_ns)
        finally:
            self.peer_ip, self._peer_headers = "127.0.0.1", {}

    def open(self, path: str, now_ns: int) -> Connection:
        """A client connected to `path` (with its query). Raises Refused where the venue has no such path."""
        self.now_ns = max(self.now_ns, now_ns)
        self.faults.start(now_ns)
        self._next_connection += 1
        connection = Connection(self._next_connection, path, now_ns, ip=self.peer_ip)
        connection.headers = dict(self._peer_headers)
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
        self.pass_time(now_ns)
        if self.fast_interval_ns and now_ns >= self._next_fast_ns:
            self._next_fast_ns = _due(self._next_fast_ns, self.fast_interval_ns, now_ns)
            for listing in self.listings.values():
                self._push_fast_changes(listing, now_ns)
        if now_ns >= self._next_depth_ns:
            self._next_depth_ns = _due(self._next_depth_ns, self.depth_interval_ns, now_ns)
            for listing in self.listings.values():
                self._push_changes(listing, now_ns)

    def limiter(self, name: str, limit: int, interval_ns: int, **options: Any) -> Limiter:
        """A rate limiter that `ratelimit` and `ban` reach; made once per name."""
        found = self.limiters.get(name)
        if found is None:
            found = self.limiters[name] = Limiter(name, limit, interval_ns, faults=self.faults, **options)
        return found

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
        elif self._pushing is not None and self.faults.rows:
            self._send_disturbed(connection, text, self._pushing)
        else:
            self.frames.append((connection, text))

    def subscribers(self, topic: str) -> list[Connection]:
        return [c for c in self.connections.values() if topic in c.topics]

    def flush(self, listing: Listing, now_ns: int) -> None:
        """Push what has changed now, out of turn: afterwards a snapshot of the engine is exactly at
        `pushed_id` (and `fast_id`), and the next push continues it."""
        self.settle(listing, now_ns)
        self._push_fast_changes(listing, now_ns)
        self._push_changes(listing, now_ns)

    def _push_changes(self, listing: Listing, now_ns: int) -> None:
        if self._keeps_alive_only(listing, now_ns):
            return
        changed, prev_id = listing.changed, listing.pushed_id
        listing.pushed_id = listing.settled_id
        if changed[BUY] or changed[SELL]:
            listing.changed = ({}, {})
            self._push(self.push_depth, listing, changed, prev_id, now_ns)

    def _push_fast_changes(self, listing: Listing, now_ns: int) -> None:
        if self._keeps_alive_only(listing, now_ns):
            return
        changed, prev_id = listing.changed_fast, listing.fast_id
        listing.fast_id = listing.settled_id
        if changed[BUY] or changed[SELL]:
            listing.changed_fast = ({}, {})
            if self.fast_interval_ns:
                self._push(self.push_fast_depth, listing, changed, prev_id, now_ns)

    def _keeps_alive_only(self, listing: Listing, now_ns: int) -> bool:
        """`book.keepalive_only`: what changed is kept for later, and the chain of ids stays whole."""
        name = "book.keepalive_only"
        if not self.faults.any_of(name):
            return False
        return self.faults.standing(name, now_ns, symbol=listing.symbol, market=listing.market) is not None

    def _push(self, push, listing: Listing, changed, prev_id: int, now_ns: int) -> None:
        if listing.status == "delisted":
            return
        if self.faults.any_of("book.stale_snapshot"):
            self._keep_book(listing, now_ns)
        if self.faults.any_of("book.cross"):
            changed = self._crossed(listing, changed, now_ns)
        bids, asks = sorted(changed[BUY].items(), reverse=True), sorted(changed[SELL].items())
        self._pushing, self._pushing_kind, self._skipping, self._doubling = listing, "depth", set(), set()
        self._decided = set()
        try:
            push(listing, bids, asks, prev_id + 1, listing.settled_id, prev_id, now_ns)
        finally:
            self._pushing = None

    def tell_quote(self, listing: Listing, now_ns: int) -> None:
        if listing.status == "delisted":
            return
        self._pushing, self._pushing_kind = listing, "quote"
        try:
            self.push_quote(listing, now_ns)
        finally:
            self._pushing = None

    def tell_trade(self, listing, trade_id, price_ticks, size_lots, taker_side, now_ns) -> None:
        if listing.status == "delisted":
            return
        self._pushing, self._pushing_kind = listing, "trade"
        try:
            self.push_trade(listing, trade_id, price_ticks, size_lots, taker_side, now_ns)
        finally:
            self._pushing = None

    def _skipped(self, connection: Connection) -> bool:
        """Is this frame part of a depth push that the connection shall lose? A push of many frames counts
        once."""
        if self._pushing is None or self._pushing_kind != "depth":
            return False
        key = (self._pushing.market, self._pushing.symbol)
        self._decide(connection, key)
        if key in self._skip_any:
            connection.skips[key] = connection.skips.get(key, 0) + self._skip_any.pop(key)
        if connection.number in self._skipping:
            return True
        if not connection.skips.get(key):
            return False
        connection.skips[key] -= 1
        self._skipping.add(connection.number)
        return True

    def _decide(self, connection: Connection, key: tuple[int, str]) -> None:
        """Once per push and connection: do `book.gap` and `book.dup` strike?"""
        if connection.number in self._decided or not self.faults.any_of("book.gap", "book.dup"):
            return
        self._decided.add(connection.number)
        about = {"symbol": key[1], "market": key[0], "path": connection.path, "connection": connection.number}
        if fault := self.faults.hit("book.gap", self.now_ns, **about):
            connection.skips[key] = connection.skips.get(key, 0) + int(fault.get("n", 1))
        if self.faults.hit("book.dup", self.now_ns, **about):
            self._doubling.add(connection.number)

    def _send_disturbed(self, connection: Connection, text: str, listing: Listing) -> None:
        """A market-data frame while there are faults."""
        about: dict[str, Any] = {"symbol": listing.symbol, "market": listing.market}
        about |= {"topic": self._pushing_kind, "path": connection.path, "connection": connection.number}
        if self.faults.standing("book.freeze", self.now_ns, **about):
            self.counts["lost_frames"] += 1
            return
        if self._pushing_kind == "depth":
            key = (connection.number, listing.key)
            fault = None
            if key in self._held_depth or (fault := self.faults.hit("book.reorder", self.now_ns, **about)):
                self._hold_depth(connection, key, text, fault)
                return
            if connection.number in self._doubling:
                self.frames.append((connection, text))
        self.frames.append((connection, text))

    def _hold_depth(
        self, connection: Connection, key: tuple[int, tuple[int, str]], text: str, fault: Fault | None
    ) -> None:
        """`book.reorder`: so many pushes are held back, then said last first."""
        if fault is not None:
            self._held_depth[key] = []
            self._windows[key] = max(2, int(fault.get("window", 2)))
        self._held_depth[key].append(text)
        if len(self._held_depth[key]) >= self._windows[key]:
            for held in reversed(self._held_depth.pop(key)):
                self.frames.append((connection, held))

    def _crossed(self, listing: Listing, changed, now_ns: int):
        """`book.cross`: a push claims a bid above the best ask. Only the push is wrong, not the book."""
        ask = listing.engine.best(SELL)
        fault = self.faults.hit("book.cross", now_ns, symbol=listing.symbol, market=listing.market)
        if fault is None or ask is None:
            return changed
        return ({**changed[BUY], ask[0] + int(fault.get("ticks", 3)): 1}, changed[SELL])

    def _keep_book(self, listing: Listing, now_ns: int) -> None:
        levels = (listing.engine.levels(BUY, 5000), listing.engine.levels(SELL, 5000))
        self._old_books.setdefault(listing.key, deque(maxlen=100)).append(
            (now_ns, listing.settled_id, *levels)
        )

    def book(self, listing: Listing, depth: int, now_ns: int) -> tuple[int, list, list]:
        """Update id, bids and asks for a REST snapshot; an old one where `book.stale_snapshot` wants it."""
        self.settle(listing, now_ns)
        about = {"symbol": listing.symbol, "market": listing.market}
        fault = self.faults.hit("book.stale_snapshot", now_ns, **about)
        if fault and (kept := self._old_books.get(listing.key)):
            then_ns = now_ns - fault.ns("by", 5 * SECOND)
            _, number, bids, asks = next((x for x in reversed(kept) if x[0] <= then_ns), kept[0])
            return number, bids[:depth], asks[:depth]
        engine = listing.engine
        return engine.update_id, engine.levels(BUY, depth), engine.levels(SELL, depth)

    # ---- what a subclass provides ----

    def on_open(self, connection: Connection, now_ns: int) -> None:
        """A connection is being opened: check the path, take subscriptions out of the URL."""

    def receive(self, connection: Connection, text: str, now_ns: int) -> None:
        """A text frame from a client."""
        raise NotImplementedError

    def http(self, method: str, target: str, headers: dict[str, str], body: bytes, now_ns: int) -> tuple:
        """A REST request; returns status and body, or status, body and headers."""
        raise NotImplementedError

    def push_depth(self, listing, bids, asks, first_id, last_id, prev_id, now_ns) -> None:
        """Changed levels since the last push as (price_ticks, size_lots), absolute: ids first..last."""

    def push_fast_depth(self, listing, bids, asks, first_id, last_id, prev_id, now_ns) -> None:
        """As `push_depth`, every `fast_interval_ns` and with a chain of ids of its own (OKX `books-l2-tbt`,
        Bybit `orderbook.50`)."""


def _due(due_ns: int, interval_ns: int, now_ns: int) -> int:
    """The next time on the grid that `due_ns` is on; a new grid where more than one was missed."""
    due_ns += interval_ns
    return due_ns if due_ns > now_ns else now_ns + interval_ns

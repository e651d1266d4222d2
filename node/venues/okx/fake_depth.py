"""The order books of the simulated OKX: incremental channels with `seqId` chains, whole ones, REST snapshots.

A channel shows a window of the book, and remembers what it has shown: an update is the difference. All
subscribers of a channel see the same ids. Source: docs-v5 "WS / Order book channel".
"""

from dataclasses import dataclass, field

from node.venues.fakes import BUY, MS, SELL, Connection, FakeVenue, Listing
from node.venues.okx.fake_errors import Problem
from node.venues.okx.fake_rows import SECOND, dumps, ms, number_in

FIRST_SEQ = 80_000_000_000  # sequence ids are larger than 32 bits
HEARTBEAT_NS = 60 * SECOND
WINDOWS = {"books": 400, "books-l2-tbt": 400, "books50-l2-tbt": 50, "books-rpi": 400}  # levels in view
SNAPSHOTS = {"books5": 5, "bbo-tbt": 1}  # channels that are always whole
BEST_CHANNELS = ("books-l2-tbt", "books50-l2-tbt")  # for the better fee tiers only


@dataclass
class View:
    """What a channel has shown of a listing so far."""

    seq_id: int
    pushed_ns: int
    sides: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))


class DepthSide(FakeVenue):
    """Depth of the venue."""

    fast_interval_ns = 10 * MS
    by_symbol: dict[str, Listing]

    def _open_depth(self) -> None:
        self._seq_base = dict.fromkeys(self.by_symbol, FIRST_SEQ)
        self._views: dict[tuple[str, str], View] = {}

    def reset_sequence(self, listing: Listing) -> None:
        """A legal maintenance reset: the next depth push has a smaller `seqId` than its `prevSeqId`."""
        self.settle(listing, self.now_ns)
        self._seq_base[listing.symbol] = 3 - listing.settled_id

    def listing_named(self, symbol: object) -> Listing:
        """The listing with that `instId`. Raises Problem 50014 or 51001."""
        if symbol in (None, ""):
            raise Problem("50014", "instId")
        if not isinstance(symbol, str) or symbol not in self.by_symbol:
            raise Problem("51001")
        return self.by_symbol[symbol]

    def _publish(self, channel: str, listing: Listing, frame: str) -> None:
        for connection in self.subscribers(f"{channel}|{listing.symbol}"):
            self.send(connection, frame)

    def _push_first_depth(self, connection: Connection, listing: Listing, channel: str, now_ns: int) -> None:
        """What a depth channel says right after the subscription."""
        if channel in WINDOWS:
            self.send(connection, self._window_frame(listing, channel, now_ns))
        elif channel in SNAPSHOTS:
            self.send(connection, self._snapshot_frame(listing, channel, now_ns))

    def _seq(self, listing: Listing) -> int:
        return self._seq_base[listing.symbol] + listing.settled_id

    def _level(self, listing: Listing, ticks: int, lots: int) -> list[str]:
        return [listing.price_grid.format(ticks), listing.size_grid.format(lots), "0", "1" if lots else "0"]

    def _row(self, listing: Listing, bids, asks, now_ns: int) -> dict:
        return {
            "asks": [self._level(listing, *x) for x in asks],
            "bids": [self._level(listing, *x) for x in bids],
            "ts": ms(now_ns),
        }

    def _view(self, listing: Listing, channel: str, now_ns: int) -> View:
        """What the channel shows, made new where nobody was looking."""
        key = (channel, listing.symbol)
        if key not in self._views or not self.subscribers(f"{channel}|{listing.symbol}"):
            self._views[key] = View(self._seq(listing), now_ns, self._window(listing, channel))
        return self._views[key]

    def _window(self, listing: Listing, channel: str) -> tuple[dict[int, int], dict[int, int]]:
        n = WINDOWS[channel]
        return dict(listing.shown(BUY, n)), dict(listing.shown(SELL, n))

    def _refresh_view(self, listing: Listing, channel: str, now_ns: int) -> None:
        self.settle(listing, now_ns)
        self._view(listing, channel, now_ns)
        self._push_window(listing, channel, now_ns)

    def _window_frame(self, listing: Listing, channel: str, now_ns: int) -> str:
        view = self._views[(channel, listing.symbol)]
        bids = sorted(view.sides[BUY].items(), reverse=True)
        row = self._row(listing, bids, sorted(view.sides[SELL].items()), now_ns)
        row = _dressed(channel, row, view.seq_id, -1)
        arg = {"channel": channel, "instId": listing.symbol}
        return dumps({"arg": arg, "action": "snapshot", "data": [row]})

    def _push_window(self, listing: Listing, channel: str, now_ns: int) -> None:
        """The difference between what is in view now and what was shown. A level that leaves the window is
        sent as a delete, one that comes back with its whole size."""
        if not self.subscribers(f"{channel}|{listing.symbol}"):
            return
        view, now = self._views[(channel, listing.symbol)], self._window(listing, channel)
        bids, asks = (_difference(view.sides[side], now[side]) for side in (BUY, SELL))
        if bids or asks or self._seq(listing) < view.seq_id:
            bids.sort(reverse=True)
            view.sides = now
            self._push_update(listing, channel, view, (bids, sorted(asks)), self._seq(listing), now_ns)

    def _push_update(
        self, listing: Listing, channel: str, view: View, sides, seq_id: int, now_ns: int
    ) -> None:
        row = _dressed(channel, self._row(listing, sides[BUY], sides[SELL], now_ns), seq_id, view.seq_id)
        view.seq_id, view.pushed_ns = seq_id, now_ns
        arg = {"channel": channel, "instId": listing.symbol}
        self._publish(channel, listing, dumps({"arg": arg, "action": "update", "data": [row]}))

    def _snapshot_frame(self, listing: Listing, channel: str, now_ns: int) -> str:
        n = SNAPSHOTS[channel]
        row = self._row(listing, listing.engine.levels(BUY, n), listing.engine.levels(SELL, n), now_ns)
        row["seqId"] = self._seq(listing)
        if channel == "books5":
            row["instId"] = listing.symbol
        return dumps({"arg": {"channel": channel, "instId": listing.symbol}, "data": [row]})

    def _push_snapshot(self, listing: Listing, channel: str, now_ns: int) -> None:
        if self.subscribers(f"{channel}|{listing.symbol}"):
            n = SNAPSHOTS[channel]
            view = self._views.setdefault((channel, listing.symbol), View(0, now_ns))
            now = dict(listing.engine.levels(BUY, n)), dict(listing.engine.levels(SELL, n))
            if now != view.sides:
                view.sides, view.pushed_ns = now, now_ns
                self._publish(channel, listing, self._snapshot_frame(listing, channel, now_ns))

    def push_depth(self, listing, bids, asks, first_id, last_id, prev_id, now_ns) -> None:
        self._push_window(listing, "books", now_ns)
        self._push_window(listing, "books-rpi", now_ns)
        self._push_snapshot(listing, "books5", now_ns)

    def push_fast_depth(self, listing, bids, asks, first_id, last_id, prev_id, now_ns) -> None:
        self._push_window(listing, "books-l2-tbt", now_ns)
        self._push_window(listing, "books50-l2-tbt", now_ns)

    def push_quote(self, listing, now_ns) -> None:
        self._push_snapshot(listing, "bbo-tbt", now_ns)

    def _push_heartbeats(self, listing: Listing, now_ns: int) -> None:
        """After a minute without change an incremental channel repeats its id, a snapshot channel its
        snapshot."""
        for channel in WINDOWS:
            view = self._views.get((channel, listing.symbol))
            if view is not None and now_ns - view.pushed_ns >= HEARTBEAT_NS:
                self._push_update(listing, channel, view, ([], []), view.seq_id, now_ns)
        for channel in SNAPSHOTS:
            view = self._views.get((channel, listing.symbol))
            if view is not None and now_ns - view.pushed_ns >= HEARTBEAT_NS:
                view.pushed_ns = now_ns
                self._publish(channel, listing, self._snapshot_frame(listing, channel, now_ns))

    # ---- REST ----

    def rest_books(self, query: dict[str, str], now_ns: int) -> list:
        """As deep as asked for, at the id that the increments go by."""
        listing, size = self.listing_named(query.get("instId")), number_in(query, "sz", 1, 400)
        number, bids, asks = self.book(listing, size, now_ns)
        seq_id = self._seq_base[listing.symbol] + number
        return [{**self._row(listing, bids, asks, now_ns), "seqId": seq_id}]

    def rest_books_full(self, query: dict[str, str], now_ns: int) -> list:
        """Up to 5000 levels of price, size and number of orders; no id."""
        listing, size = self.listing_named(query.get("instId")), number_in(query, "sz", 1, 5000)
        _, bids, asks = self.book(listing, size, now_ns)
        row = self._row(listing, bids, asks, now_ns)
        return [row | {side: [[x[0], x[1], x[3]] for x in row[side]] for side in ("asks", "bids")}]

    def rest_books_rpi(self, query: dict[str, str], now_ns: int) -> list:
        """As `books`; the third member of a level is what is not retail liquidity: all of it."""
        (row,) = self.rest_books(query, now_ns)
        return [_rpi(row)]


def _dressed(channel: str, row: dict, seq_id: int, prev_id: int) -> dict:
    """A row of an incremental channel with its ids."""
    if channel == "books-rpi":
        return _rpi(row) | {"seqId": seq_id, "prevSeqId": prev_id}
    return row | {"checksum": 0, "seqId": seq_id, "prevSeqId": prev_id}


def _rpi(row: dict) -> dict:
    """Levels as price, all that is there, what is not retail liquidity (all of it), number of orders."""
    return row | {side: [[x[0], x[1], x[1], x[3]] for x in row[side]] for side in ("asks", "bids")}


def _difference(shown: dict[int, int], now: dict[int, int]) -> list[tuple[int, int]]:
    """Levels that turn what was shown into what is: (price_ticks, size_lots), 0 = gone."""
    if shown == now:
        return []
    gone = [(ticks, 0) for ticks in shown if ticks not in now]
    return gone + [(ticks, lots) for ticks, lots in now.items() if shown.get(ticks) != lots]

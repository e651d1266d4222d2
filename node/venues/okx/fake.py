"""The OKX side of the wire: public, private and business endpoints, orders, and the public REST calls.

It speaks what docs-v5 prescribes: text ping, one acknowledgement per argument, `seqId` chains that jump,
depth windows of 400 and 50 levels whose edge moves, trades aggregated per taker order and price, orders by
`instIdCode`, a crossing post-only that is accepted and then canceled. Not offered: amends, algo orders,
balances (nobody runs out of money here).

Switches of the constructor are the points that the documentation leaves open or that changed in 2026.
"""

import hmac
import re
from base64 import b64encode
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from urllib.parse import parse_qsl, urlsplit

import orjson

from node.venues.fakes import BUY, MS, SELL, Connection, FakeOrder, FakeVenue, Listing, Refused

SECOND = 1000 * MS
IDLE_NS = 30 * SECOND
HEARTBEAT_NS = 60 * SECOND
NOTICE_NS = 60 * SECOND
TICKERS_NS = 100 * MS
MARK_NS, MARK_IDLE_NS = 200 * MS, 10 * SECOND
FUNDING_NS = 60 * SECOND
FUNDING_INTERVAL_MS = 8 * 3600 * 1000
FIRST_SEQ = 80_000_000_000  # sequence ids are larger than 32 bits
FIRST_ORDER = 2_500_000_000_000_000_000  # order ids have 19 digits
UID = "44705892343619584"
WINDOWS = {"books": 400, "books-l2-tbt": 400, "books50-l2-tbt": 50}  # incremental channels: levels in view
SNAPSHOTS = {"books5": 5, "bbo-tbt": 1}  # channels that are always whole
PUBLIC = (*WINDOWS, *SNAPSHOTS, "trades", "tickers", "mark-price", "funding-rate")
CHANNELS = {
    "/ws/v5/public": PUBLIC,
    "/ws/v5/private": ("orders", "account", "positions", "balance_and_position"),
    "/ws/v5/business": ("trades-all",),
}
COUNTED = ("orders", "account", "positions", "balance_and_position")  # channels with a connection limit
ORDER_OPS = ("order", "batch-orders", "cancel-order", "batch-cancel-orders")
ID = re.compile(r"[A-Za-z0-9]{1,32}")
DECIMAL = re.compile(r"(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?")
TIFS = {
    "limit": "gtc",
    "post_only": "post_only",
    "ioc": "ioc",
    "fok": "fok",
    "market": "ioc",
    "optimal_limit_ioc": "ioc",
}
CANCEL_SOURCES = {"canceled": "1", "ioc": "14", "fok": "13", "post_only": "31", "stp": "32"}
# maker and taker: what a beginner pays
FEES = {False: (Decimal("0.0008"), Decimal("0.001")), True: (Decimal("0.0002"), Decimal("0.0005"))}


class OrderError(Exception):
    """An order operation is refused: `sCode` and `sMsg`."""

    def __init__(self, code: str, text: str):
        super().__init__(text)
        self.code = code


@dataclass
class View:
    """What an incremental channel has shown of a listing so far."""

    seq_id: int
    pushed_ns: int
    sides: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))


@dataclass
class Terms:
    """What an order asked for, and what its fills came to."""

    arg: dict
    kind: str  # ordType
    fee: Decimal = Decimal(0)
    value: Decimal = Decimal(0)


class OkxFake(FakeVenue):
    """The venue. `credentials` maps API keys to (secret, passphrase); without them anybody is let in.

    `login_required`: refuse orders and private channels before a login (default: where there are
    credentials). `tbt`: the account's fee tier has the tick-by-tick books. `push_first`: the `orders` push
    overtakes the answer. `post_only_live_first`: a crossing post-only order is first pushed as live (before
    August 2026). `band_percent`: price limits around the middle, 0 = none. `refusals` are (sCode, sMsg) for
    the next orders, before any check.
    """

    fast_interval_ns = 10 * MS

    def __init__(
        self,
        listings: list[Listing],
        seed: int = 1,
        *,
        credentials: dict[str, tuple[str, str]] | None = None,
        login_required: bool | None = None,
        tbt: bool = False,
        push_first: bool = False,
        post_only_live_first: bool = False,
        band_percent: int = 0,
    ):
        super().__init__(listings, seed)
        self.credentials = credentials or {}
        self.login_required = bool(self.credentials) if login_required is None else login_required
        self.tbt = tbt
        self.push_first = push_first
        self.post_only_live_first = post_only_live_first
        self.band_percent = band_percent
        self.refusals: deque[tuple[str, str]] = deque()
        self.positions: dict[str, int] = {}  # swaps: symbol -> lots, negative = short
        self.by_symbol = {x.symbol: x for x in listings}
        self.by_code = {x.inst_code: x for x in listings if x.inst_code >= 0}
        self._seq_base = dict.fromkeys(self.by_symbol, FIRST_SEQ)
        self._views: dict[tuple[str, str], View] = {}
        self._trades: list[tuple[int, int, int, int]] = []  # of one taker at one price: id, ticks, lots, side
        self._last_trade: dict[str, tuple[int, int]] = {}  # ticks, lots
        self._tickers_due: set[str] = set()
        self._tickers_ns: dict[str, int] = {}
        self._marks: dict[str, tuple[str, int]] = {}
        self._funded_ns: dict[str, int] = {}
        self._spoken_ns: dict[int, int] = {}  # connection number -> when it was last told something
        self._closing_ns: dict[int, int] = {}  # connection number -> cut after a notice
        self._now_ns = 0

    # ---- connections ----

    def on_open(self, connection: Connection, now_ns: int) -> None:
        self._now_ns = now_ns
        path = urlsplit(connection.path).path
        if path not in CHANNELS:
            raise Refused(404, f"no such path: {path}")
        connection.path = path
        connection.notes["id"] = f"{(self.seed * 0x9E3779B1 + connection.number) & 0xFFFFFFFF:08x}"
        self._spoken_ns[connection.number] = now_ns

    def send(self, connection: Connection, text: str) -> None:
        self._spoken_ns[connection.number] = self._now_ns
        super().send(connection, text)

    def tick(self, now_ns: int) -> None:
        self._now_ns = now_ns
        super().tick(now_ns)
        for listing in self.listings.values():
            self._push_heartbeats(listing, now_ns)
            self._push_ticker(listing, now_ns)
            self._push_mark(listing, now_ns)
            self._push_funding(listing, now_ns)
        for connection in list(self.connections.values()):
            if now_ns - self._spoken_ns[connection.number] >= IDLE_NS:
                self.hang_up(connection, 4004, "No data received in 30s.")
            if now_ns >= self._closing_ns.get(connection.number, now_ns + 1):
                self.hang_up(connection, 4006, "service upgrade")

    def announce_upgrade(self, now_ns: int) -> None:
        """Notice 64008 to everybody; the connections are cut a minute later."""
        self._now_ns = now_ns
        text = "The connection will soon be closed for a service upgrade. Please reconnect."
        for connection in self.connections.values():
            self._event(connection, {"event": "notice", "code": "64008", "msg": text})
            self._closing_ns[connection.number] = now_ns + NOTICE_NS

    def reset_sequence(self, listing: Listing) -> None:
        """A legal maintenance reset: the next depth push has a smaller `seqId` than its `prevSeqId`."""
        self.settle(listing, self._now_ns)
        self._seq_base[listing.symbol] = 3 - listing.settled_id

    def _event(self, connection: Connection, event: dict, request_id: str = "") -> None:
        head = {"id": request_id} if request_id else {}
        self.send(connection, _json({**head, **event, "connId": connection.notes["id"]}))

    def _error(self, connection: Connection, code: str, text: str, request_id: str = "") -> None:
        self._event(connection, {"event": "error", "code": code, "msg": text}, request_id)

    def receive(self, connection: Connection, text: str, now_ns: int) -> None:
        self._now_ns = now_ns
        if text == "ping":
            self.send(connection, "pong")
            return
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            message = None
        op = message.get("op") if isinstance(message, dict) else None
        args = _objects(message.get("args")) if isinstance(message, dict) else []
        request_id = message.get("id", "") if isinstance(message, dict) else ""
        if (
            not isinstance(op, str)
            or not isinstance(request_id, str)
            or (request_id and not ID.fullmatch(request_id))
        ):
            self._error(connection, "60012", f"Invalid request: {text[:200]}")
        elif op in ORDER_OPS:
            self._on_order_op(connection, op, request_id, message, now_ns)
        elif not args:
            self._error(connection, "60012", f"Invalid request: {text[:200]}", request_id)
        elif op == "login":
            self._on_login(connection, args[0], now_ns)
        elif op == "subscribe":
            for arg in args:
                self._on_subscribe(connection, arg, request_id, now_ns)
        elif op == "unsubscribe":
            for arg in args:
                connection.topics.pop(_topic(arg), None)
                self._event(connection, {"event": "unsubscribe", "arg": arg}, request_id)
        else:
            self._error(connection, "60012", f"Invalid request: {text[:200]}", request_id)

    def _on_login(self, connection: Connection, arg: dict, now_ns: int) -> None:
        code, text = self._login_fault(connection, arg, now_ns)
        if code:
            self._error(connection, code, text)
            return
        connection.logged_in = True
        self._event(connection, {"event": "login", "code": "0", "msg": ""})

    def _login_fault(self, connection: Connection, arg: dict, now_ns: int) -> tuple[str, str]:
        if connection.logged_in:
            return "60031", "The WebSocket endpoint does not support multiple or repeated logins."
        timestamp = arg.get("timestamp")
        if not isinstance(timestamp, str) or not re.fullmatch(r"[0-9]{1,12}", timestamp):
            return "60004", "Invalid timestamp"
        if not self.credentials:
            return "", ""
        if abs(now_ns // SECOND - int(timestamp)) > IDLE_NS // SECOND:
            return "60006", "Timestamp request expired"
        if arg.get("apiKey") not in self.credentials:
            return "60005", "Invalid apiKey"
        secret, passphrase = self.credentials[arg["apiKey"]]
        if arg.get("passphrase") != passphrase:
            return "60024", "Wrong passphrase"
        want = b64encode(
            hmac.digest(secret.encode(), f"{timestamp}GET/users/self/verify".encode(), sha256)
        ).decode()
        if not hmac.compare_digest(str(arg.get("sign")).encode(), want.encode()):
            return "60007", "Invalid sign"
        return "", ""

    # ---- subscriptions ----

    def _on_subscribe(self, connection: Connection, arg: dict, request_id: str, now_ns: int) -> None:
        code, text = self._subscribe_fault(connection, arg)
        if code:
            self._error(connection, code, text, request_id)
            return
        channel, topic = arg["channel"], _topic(arg)
        listing = self.by_symbol.get(arg.get("instId", ""))
        if listing is not None and channel in WINDOWS:
            # who is subscribed already goes to the same id first
            self._refresh_view(listing, channel, now_ns)
        connection.topics[topic] = arg
        self._event(connection, {"event": "subscribe", "arg": arg}, request_id)
        if channel in COUNTED:
            count = sum(any(t.split("|")[0] == channel for t in x.topics) for x in self.connections.values())
            self._event(
                connection, {"event": "channel-conn-count", "channel": channel, "connCount": str(count)}
            )
        if listing is not None:
            self._push_first(connection, listing, channel, now_ns)

    def _subscribe_fault(self, connection: Connection, arg: dict) -> tuple[str, str]:
        channel, symbol = str(arg.get("channel")), str(arg.get("instId"))
        private = connection.path == "/ws/v5/private"
        if private and self.login_required and not connection.logged_in:
            return "60011", "Please log in"
        known = channel in CHANNELS[connection.path]
        if known and not private:
            known = symbol in self.by_symbol
            known = known and (channel != "funding-rate" or self.by_symbol[symbol].is_perpetual)
        if not known:
            name = ",".join(f"{k}:{v}" for k, v in arg.items())[:200]
            text = "Please use the correct URL, channel and parameters referring to API document."
            return "60018", f"Wrong URL or {name} doesn't exist. {text}"
        if channel in ("books-l2-tbt", "books50-l2-tbt"):
            if not self.tbt:
                return "64003", "Your trading fee tier doesn't meet the requirement to access this channel"
            if self.login_required and not connection.logged_in:
                return "60011", "Please log in"
        return self._conflict(connection, channel, symbol)

    def _conflict(self, connection: Connection, channel: str, symbol: str) -> tuple[str, str]:
        """books-l2-tbt excludes books and books50-l2-tbt of the same instrument on one connection."""
        others = {
            "books-l2-tbt": ("books", "books50-l2-tbt"),
            "books": ("books-l2-tbt",),
            "books50-l2-tbt": ("books-l2-tbt",),
        }
        for other in others.get(channel, ()):
            if f"{other}|{symbol}" in connection.topics:
                return "64004", f"Subscribe to both {channel} and {other} is not allowed"
        return "", ""

    def _push_first(self, connection: Connection, listing: Listing, channel: str, now_ns: int) -> None:
        """What a channel says right after the subscription."""
        if channel in WINDOWS:
            self.send(connection, self._window_frame(listing, channel, now_ns))
        elif channel in SNAPSHOTS:
            self.send(connection, self._snapshot_frame(listing, channel, now_ns))
        elif channel == "tickers":
            self.send(connection, self._ticker_frame(listing, now_ns))
        elif channel == "mark-price":
            self.send(connection, self._mark_frame(listing, self._mark(listing), now_ns))
        elif channel == "funding-rate":
            self.send(connection, self._funding_frame(listing, now_ns))

    def _publish(self, channel: str, listing: Listing, frame: str) -> None:
        for connection in self.subscribers(f"{channel}|{listing.symbol}"):
            self.send(connection, frame)

    # ---- depth ----

    def _seq(self, listing: Listing) -> int:
        return self._seq_base[listing.symbol] + listing.settled_id

    def _level(self, listing: Listing, ticks: int, lots: int) -> list[str]:
        return [listing.price_grid.format(ticks), listing.size_grid.format(lots), "0", "1" if lots else "0"]

    def _row(self, listing: Listing, bids, asks, now_ns: int) -> dict:
        return {
            "asks": [self._level(listing, *x) for x in asks],
            "bids": [self._level(listing, *x) for x in bids],
            "ts": _ms(now_ns),
        }

    def _view(self, listing: Listing, channel: str, now_ns: int) -> View:
        """What the channel shows, made new where nobody was looking."""
        key = (channel, listing.symbol)
        if key not in self._views or not self.subscribers(f"{channel}|{listing.symbol}"):
            self._views[key] = View(self._seq(listing), now_ns, self._window(listing, channel))
        return self._views[key]

    def _window(self, listing: Listing, channel: str) -> tuple[dict[int, int], dict[int, int]]:
        n = WINDOWS[channel]
        return dict(listing.engine.levels(BUY, n)), dict(listing.engine.levels(SELL, n))

    def _refresh_view(self, listing: Listing, channel: str, now_ns: int) -> None:
        self.settle(listing, now_ns)
        self._view(listing, channel, now_ns)
        self._push_window(listing, channel, now_ns)

    def _window_frame(self, listing: Listing, channel: str, now_ns: int) -> str:
        view = self._views[(channel, listing.symbol)]
        bids = sorted(view.sides[BUY].items(), reverse=True)
        row = self._row(listing, bids, sorted(view.sides[SELL].items()), now_ns)
        row |= {"checksum": 0, "seqId": view.seq_id, "prevSeqId": -1}
        arg = {"channel": channel, "instId": listing.symbol}
        return _json({"arg": arg, "action": "snapshot", "data": [row]})

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
        row = self._row(listing, sides[BUY], sides[SELL], now_ns) | {
            "checksum": 0,
            "seqId": seq_id,
            "prevSeqId": view.seq_id,
        }
        view.seq_id, view.pushed_ns = seq_id, now_ns
        arg = {"channel": channel, "instId": listing.symbol}
        self._publish(channel, listing, _json({"arg": arg, "action": "update", "data": [row]}))

    def _snapshot_frame(self, listing: Listing, channel: str, now_ns: int) -> str:
        n = SNAPSHOTS[channel]
        row = self._row(listing, listing.engine.levels(BUY, n), listing.engine.levels(SELL, n), now_ns)
        row["seqId"] = self._seq(listing)
        if channel == "books5":
            row["instId"] = listing.symbol
        return _json({"arg": {"channel": channel, "instId": listing.symbol}, "data": [row]})

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
        self._push_snapshot(listing, "books5", now_ns)

    def push_fast_depth(self, listing, bids, asks, first_id, last_id, prev_id, now_ns) -> None:
        self._push_window(listing, "books-l2-tbt", now_ns)
        self._push_window(listing, "books50-l2-tbt", now_ns)

    def push_quote(self, listing, now_ns) -> None:
        self._push_snapshot(listing, "bbo-tbt", now_ns)
        self._tickers_due.add(listing.symbol)

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

    # ---- trades, tickers, mark price, funding ----

    def settle(self, listing: Listing, now_ns: int) -> None:
        super().settle(listing, now_ns)
        self._push_trades(listing, now_ns)

    def push_trade(self, listing, trade_id, price_ticks, size_lots, taker_side, now_ns) -> None:
        if self._trades and self._trades[0][1::2] != (price_ticks, taker_side):
            self._push_trades(listing, now_ns)
        self._trades.append((trade_id, price_ticks, size_lots, taker_side))
        self._last_trade[listing.symbol] = (price_ticks, size_lots)
        self._tickers_due.add(listing.symbol)
        row = self._trade_row(listing, trade_id, price_ticks, size_lots, taker_side, now_ns)
        arg = {"channel": "trades-all", "instId": listing.symbol}
        self._publish("trades-all", listing, _json({"arg": arg, "data": [row]}))

    def _push_trades(self, listing: Listing, now_ns: int) -> None:
        """`trades`: one row for all that one taker took at one price; its id is the last one."""
        if not self._trades:
            return
        trades, self._trades = self._trades, []
        trade_id, price_ticks, _, side = trades[-1]
        row = self._trade_row(listing, trade_id, price_ticks, sum(x[2] for x in trades), side, now_ns)
        row |= {"count": str(len(trades)), "source": "0", "seqId": self._seq(listing)}
        arg = {"channel": "trades", "instId": listing.symbol}
        self._publish("trades", listing, _json({"arg": arg, "data": [row]}))

    def _trade_row(self, listing, trade_id, price_ticks, size_lots, side, now_ns) -> dict:
        return {
            "instId": listing.symbol,
            "tradeId": str(trade_id),
            "px": listing.price_grid.format(price_ticks),
            "sz": listing.size_grid.format(size_lots),
            "side": "buy" if side == BUY else "sell",
            "ts": _ms(now_ns),
        }

    def _push_ticker(self, listing: Listing, now_ns: int) -> None:
        """At most every 100 ms, after a trade or a change of the best prices."""
        if (
            listing.symbol in self._tickers_due
            and now_ns >= self._tickers_ns.get(listing.symbol, 0) + TICKERS_NS
        ):
            self._tickers_due.discard(listing.symbol)
            self._tickers_ns[listing.symbol] = now_ns
            self._publish("tickers", listing, self._ticker_frame(listing, now_ns))

    def _ticker_frame(self, listing: Listing, now_ns: int) -> str:
        last_ticks, last_lots = self._last_trade.get(listing.symbol, (0, 0))
        bid, ask = listing.engine.best(BUY) or (0, 0), listing.engine.best(SELL) or (0, 0)
        last = listing.price_grid.format(last_ticks)
        row = {"instType": _type(listing), "instId": listing.symbol, "last": last}
        row["lastSz"] = listing.size_grid.format(last_lots)
        row["askPx"], row["askSz"] = listing.price_grid.format(ask[0]), listing.size_grid.format(ask[1])
        row["bidPx"], row["bidSz"] = listing.price_grid.format(bid[0]), listing.size_grid.format(bid[1])
        row |= dict.fromkeys(("open24h", "high24h", "low24h", "sodUtc0", "sodUtc8"), last)
        row |= {"volCcy24h": "0", "vol24h": "0", "ts": _ms(now_ns)}
        return _json({"arg": {"channel": "tickers", "instId": listing.symbol}, "data": [row]})

    def _mark(self, listing: Listing) -> str:
        """The middle of the book, whole ticks; the last trade where a side is empty."""
        bid, ask = listing.engine.best(BUY), listing.engine.best(SELL)
        if bid and ask:
            return listing.price_grid.format((bid[0] + ask[0]) // 2)
        return listing.price_grid.format(self._last_trade.get(listing.symbol, (0, 0))[0])

    def _push_mark(self, listing: Listing, now_ns: int) -> None:
        if not self.subscribers(f"mark-price|{listing.symbol}"):
            return
        mark = self._mark(listing)
        known, pushed_ns = self._marks.get(listing.symbol, ("", 0))
        if now_ns - pushed_ns >= (MARK_IDLE_NS if mark == known else MARK_NS):
            self._marks[listing.symbol] = (mark, now_ns)
            self._publish("mark-price", listing, self._mark_frame(listing, mark, now_ns))

    def _mark_frame(self, listing: Listing, mark: str, now_ns: int) -> str:
        row = {"instType": _type(listing), "instId": listing.symbol, "markPx": mark, "ts": _ms(now_ns)}
        return _json({"arg": {"channel": "mark-price", "instId": listing.symbol}, "data": [row]})

    def _push_funding(self, listing: Listing, now_ns: int) -> None:
        if listing.is_perpetual and now_ns - self._funded_ns.get(listing.symbol, 0) >= FUNDING_NS:
            self._funded_ns[listing.symbol] = now_ns
            self._publish("funding-rate", listing, self._funding_frame(listing, now_ns))

    def _funding_frame(self, listing: Listing, now_ns: int) -> str:
        due_ms = (now_ns // MS // FUNDING_INTERVAL_MS + 1) * FUNDING_INTERVAL_MS
        row = {
            "instType": "SWAP",
            "instId": listing.symbol,
            "method": "current_period",
            "formulaType": "withRate",
        }
        row |= {"fundingRate": "0.0000500000000000", "fundingTime": str(due_ms)}
        row |= {
            "nextFundingTime": str(due_ms + FUNDING_INTERVAL_MS),
            "nextFundingRate": "",
            "settState": "settled",
        }
        row |= {"minFundingRate": "-0.00375", "maxFundingRate": "0.00375", "ts": _ms(now_ns)}
        return _json({"arg": {"channel": "funding-rate", "instId": listing.symbol}, "data": [row]})

    # ---- order operations ----

    def _on_order_op(
        self, connection: Connection, op: str, request_id: str, message: dict, now_ns: int
    ) -> None:
        args, most = _objects(message.get("args")), 20 if op.startswith("batch") else 1
        if connection.path != "/ws/v5/private":
            self._error(connection, "60028", "The current operation is not supported by this URL", request_id)
        elif self.login_required and not connection.logged_in:
            self._error(connection, "60011", "Please log in", request_id)
        elif not request_id:
            self._error(connection, "60012", f"Invalid request: {_json(message)[:200]}")
        elif not 1 <= len(args) <= most:
            self._answer(connection, request_id, op, [], "60013", "Invalid args", now_ns)
        elif "cancel" in op:
            self._on_cancels(connection, op, request_id, args, now_ns)
        elif _expired(message.get("expTime"), now_ns):
            self._answer(connection, request_id, op, [], "50037", "expTime has passed", now_ns)
        else:
            self._on_orders(connection, op, request_id, args, now_ns)

    def _answer(
        self, connection: Connection, request_id: str, op: str, rows: list, code: str, text: str, now_ns: int
    ):
        us = now_ns // 1000
        body = {"id": request_id, "op": op, "data": rows, "code": code, "msg": text}
        self.send(connection, _json({**body, "inTime": str(us), "outTime": str(us + 1239)}))

    def _answer_rows(
        self, connection: Connection, request_id: str, op: str, rows: list[dict], now_ns: int
    ) -> None:
        """`code` only sums up: 0 all done, 1 none, 2 some."""
        bad = sum(row["sCode"] != "0" for row in rows)
        code = "0" if not bad else "1" if bad == len(rows) else "2"
        self._answer(connection, request_id, op, rows, code, "", now_ns)

    def _on_orders(
        self, connection: Connection, op: str, request_id: str, args: list[dict], now_ns: int
    ) -> None:
        rows: list[dict] = []
        placed: list[tuple[str, FakeOrder]] = []
        for arg in args:
            row = {
                "clOrdId": str(arg.get("clOrdId", "")),
                "ordId": "",
                "tag": str(arg.get("tag", "")),
                "ts": _ms(now_ns),
            }
            try:
                order_type, order = self._read_order(connection, arg, [x for _, x in placed], now_ns)
            except OrderError as error:
                self.counts["rejects"] += 1
                rows.append({**row, "sCode": error.code, "sMsg": str(error), "subCode": ""})
                continue
            before = sum(x.listing is order.listing for _, x in placed)
            number = order.listing.engine.next_order_id + before
            rows.append({**row, "ordId": _order_id(number), "sCode": "0", "sMsg": "", "subCode": ""})
            placed.append((order_type, order))
        if not self.push_first:
            self._answer_rows(connection, request_id, op, rows, now_ns)
        for order_type, order in placed:
            self.place(order_type, order, now_ns)
        if self.push_first:
            self._answer_rows(connection, request_id, op, rows, now_ns)

    def _read_order(self, connection: Connection, arg: dict, before: list[FakeOrder], now_ns: int):
        """(engine order type, order); raises OrderError with the code that the venue gives."""
        if self.refusals:
            raise OrderError(*self.refusals.popleft())
        listing = self._listing_of(arg)
        self.settle(listing, now_ns)
        order_type, side = arg.get("ordType"), arg.get("side")
        client_id = self._client_id(arg, before)
        if arg.get("tdMode") not in (("cross", "isolated") if listing.is_perpetual else ("cash", "cross")):
            raise OrderError("51000", "Parameter tdMode error")
        if side not in ("buy", "sell"):
            raise OrderError("51000", "Parameter side error")
        if order_type not in TIFS or (order_type == "optimal_limit_ioc" and not listing.is_perpetual):
            raise OrderError("51000", "Parameter ordType error")
        if arg.get("posSide", "net") not in ("net", ""):
            raise OrderError("51000", "Parameter posSide error")
        number_side = BUY if side == "buy" else SELL
        is_market = order_type in ("market", "optimal_limit_ioc")
        price_ticks = 0 if is_market else self._price(listing, number_side, arg.get("px"))
        size_lots = self._size(listing, number_side, order_type, arg)
        self._check_reduce_only(listing, number_side, size_lots, arg.get("reduceOnly", False))
        order = FakeOrder(
            listing, 0, client_id, number_side, price_ticks, size_lots, TIFS[order_type], connection
        )
        order.notes["terms"] = Terms(arg, order_type)
        return ("market" if is_market else "limit"), order

    def _listing_of(self, arg: dict) -> Listing:
        code = arg.get("instIdCode")
        if code is None:
            raise OrderError("50014", "Parameter instIdCode can not be empty")
        if isinstance(code, bool) or not isinstance(code, int):
            raise OrderError("51000", "Parameter instIdCode error")
        if code not in self.by_code:
            raise OrderError("51001", "Instrument ID or Spread ID doesn't exist.")
        return self.by_code[code]

    def _client_id(self, arg: dict, before: list[FakeOrder]) -> str:
        """Letters and digits, unique among the pending orders of the account only."""
        client_id = arg.get("clOrdId", "")
        if client_id == "":
            return ""
        if not isinstance(client_id, str) or not ID.fullmatch(client_id):
            raise OrderError("51000", "Parameter clOrdId error")
        known = [self.find_order(x, client_id) for x in self.by_symbol.values()]
        if any(x is not None and not x.done for x in known) or any(x.client_id == client_id for x in before):
            raise OrderError("51016", "Duplicated client order ID")
        return client_id

    def _price(self, listing: Listing, side: int, text: object) -> int:
        if not isinstance(text, str) or not DECIMAL.fullmatch(text):
            raise OrderError("51000", "Parameter px error")
        try:
            ticks = listing.price_grid.parse(text)
        except ValueError:
            raise OrderError(
                "51150", "The precision of the number of trades or the price exceeds the limit."
            ) from None
        if ticks == 0:
            raise OrderError("51116", "Order price can't be 0")
        bid, ask = listing.engine.best(BUY), listing.engine.best(SELL)
        if self.band_percent and bid and ask:
            away = 2 * ticks - bid[0] - ask[0] if side == BUY else bid[0] + ask[0] - 2 * ticks
            if away * 100 > self.band_percent * (bid[0] + ask[0]):
                code = "51006" if listing.is_perpetual else "51137" if side == BUY else "51138"
                raise OrderError(code, "Order price is not within the price limit")
        return ticks

    def _size(self, listing: Listing, side: int, order_type: str, arg: dict) -> int:
        """Lots. Spot market orders may be sized in quote currency, and a buy is where `tgtCcy` does not say
        otherwise."""
        text = arg.get("sz")
        if not isinstance(text, str) or not DECIMAL.fullmatch(text):
            raise OrderError("51000", "Parameter sz error")
        unit = arg.get("tgtCcy") or ("quote_ccy" if side == BUY else "base_ccy")
        if unit not in ("base_ccy", "quote_ccy"):
            raise OrderError("51000", "Parameter tgtCcy error")
        if order_type == "market" and not listing.is_perpetual and unit == "quote_ccy":
            lots = self._lots_for(listing, side, Decimal(text))
        else:
            try:
                lots = listing.size_grid.parse(text)
            except ValueError:
                raise OrderError("51121", "Order quantity must be a multiple of the lot size.") from None
        if lots == 0:
            raise OrderError("51020", "Your order should meet or exceed the minimum order amount.")
        return lots

    def _lots_for(self, listing: Listing, side: int, money: Decimal) -> int:
        """Lots that an amount of quote currency buys or sells for, walking the book."""
        lot, tick = Decimal(listing.lot), Decimal(listing.tick)
        lots = 0
        for price_ticks, size_lots in listing.engine.levels(SELL if side == BUY else BUY):
            take = min(size_lots, int(money / (price_ticks * tick * lot)))
            lots, money = lots + take, money - take * price_ticks * tick * lot
            if take < size_lots:
                break
        return lots

    def _check_reduce_only(self, listing: Listing, side: int, size_lots: int, reduce_only: object) -> None:
        """`reduceOnly` is for swaps; an order beyond the position is refused whole."""
        if reduce_only not in (True, "true"):
            return
        if not listing.is_perpetual:
            raise OrderError("51205", "Reduce-Only is not available.")
        position = self.positions.get(listing.symbol, 0)
        if position == 0:
            raise OrderError("51169", "Order failed because you don't have any positions in this direction.")
        if (position > 0) == (side == BUY):
            raise OrderError(
                "51170", "The reduceOnly order can't be the same trading direction as your position."
            )
        if size_lots > abs(position):
            raise OrderError("51112", "Close order size exceeds available size for this position.")

    def _on_cancels(
        self, connection: Connection, op: str, request_id: str, args: list[dict], now_ns: int
    ) -> None:
        """`sCode` 0 says that the request is taken; the `orders` channel tells the rest."""
        rows: list[dict] = []
        found: list[FakeOrder] = []
        for arg in args:
            row = {
                "clOrdId": str(arg.get("clOrdId", "")),
                "ordId": str(arg.get("ordId", "")),
                "ts": _ms(now_ns),
            }
            try:
                order = self._pending(arg, now_ns)
            except OrderError as error:
                rows.append({**row, "sCode": error.code, "sMsg": str(error)})
                continue
            found.append(order)
            ids = {"clOrdId": order.client_id, "ordId": _order_id(order.number)}
            rows.append({**row, **ids, "sCode": "0", "sMsg": ""})
        if not self.push_first:
            self._answer_rows(connection, request_id, op, rows, now_ns)
        for order in found:
            self.cancel(order, now_ns)
        if self.push_first:
            self._answer_rows(connection, request_id, op, rows, now_ns)

    def _pending(self, arg: dict, now_ns: int) -> FakeOrder:
        listing = self._listing_of(arg)
        self.settle(listing, now_ns)
        number, client_id = arg.get("ordId", ""), arg.get("clOrdId", "")
        if not number and not client_id:
            raise OrderError("51000", "Either parameter ordId or clOrdId is required")
        if number:
            known = isinstance(number, str) and re.fullmatch(r"[0-9]{1,19}", number)
            order = self.find_order(listing, number=int(number) - FIRST_ORDER) if known else None
        else:
            order = self.find_order(listing, str(client_id))
        if order is None or order.done:
            text = "Order cancellation failed as the order has been filled, canceled or does not exist."
            raise OrderError("51400", text)
        return order

    # ---- what became of orders ----

    def on_accepted(self, order: FakeOrder, now_ns: int) -> None:
        if order.tif != "post_only" or self.post_only_live_first or not _crosses(order):
            self._push_order(order, "live", now_ns)

    def on_fill(self, order: FakeOrder, trade_id, price_ticks, size_lots, is_maker, now_ns) -> None:
        listing = order.listing
        price, size = Decimal(listing.price(price_ticks)), Decimal(listing.size(size_lots))
        rate = FEES[listing.is_perpetual][0 if is_maker else 1]
        if listing.is_perpetual:
            sign = 1 if order.side == BUY else -1
            self.positions[listing.symbol] = self.positions.get(listing.symbol, 0) + sign * size_lots
            fee, currency = price * size * Decimal(listing.contract) * rate, _quote(listing)
        elif order.side == BUY:
            fee, currency = size * rate, _base(listing)
        else:
            fee, currency = price * size * rate, _quote(listing)
        terms = _terms(order)
        terms.fee += fee
        terms.value += price * size
        fill = {
            "fillSz": _plain(size),
            "fillPx": listing.price_grid.format(price_ticks),
            "tradeId": str(trade_id),
            "fillTime": _ms(now_ns),
            "execType": "M" if is_maker else "T",
            "fillFee": _plain(-fee),
            "fillFeeCcy": currency,
            "fillPnl": "0",
        }
        whole = order.done == "filled"
        quiet = whole and terms.kind == "market" and not listing.is_perpetual
        self._push_order(order, "filled" if whole and not quiet else "partially_filled", now_ns, fill)
        if quiet:  # a spot market order ends with a push of its own, which carries no fill
            self._push_order(order, "filled", now_ns)

    def on_done(self, order: FakeOrder, reason: str, now_ns: int) -> None:
        self._push_order(order, "canceled", now_ns, {"cancelSource": CANCEL_SOURCES[reason]})

    def _push_order(self, order: FakeOrder, state: str, now_ns: int, fill: dict | None = None) -> None:
        row = self._order_row(order, state, now_ns) | (fill or {})
        for connection in self.connections.values():
            for arg in connection.topics.values():
                if isinstance(arg, dict) and arg["channel"] == "orders" and _covers(arg, order.listing):
                    self.send(connection, _json({"arg": {**arg, "uid": UID}, "data": [row]}))
                    break

    def _order_row(self, order: FakeOrder, state: str, now_ns: int) -> dict:
        """All documented members; those that have no meaning here are empty."""
        listing, terms = order.listing, _terms(order)
        arg = terms.arg
        filled = Decimal(listing.size(order.filled_lots))
        fee_currency = _base(listing) if order.side == BUY and not listing.is_perpetual else _quote(listing)
        return _BLANK_ORDER | {
            "instType": _type(listing),
            "instId": listing.symbol,
            "ordId": _order_id(order.number),
            "clOrdId": order.client_id,
            "tag": str(arg.get("tag", "")),
            "side": "buy" if order.side == BUY else "sell",
            "posSide": "net" if listing.is_perpetual else "",
            "tdMode": arg["tdMode"],
            "ordType": terms.kind,
            "px": listing.price_grid.format(order.price_ticks) if order.price_ticks else "",
            "sz": arg["sz"],
            "tgtCcy": str(arg.get("tgtCcy", "")),
            "lever": "3" if listing.is_perpetual else "",
            "reduceOnly": "true" if arg.get("reduceOnly") in (True, "true") else "false",
            "stpMode": str(arg.get("stpMode", "cancel_maker")),
            "accFillSz": _plain(filled),
            "avgPx": _plain((terms.value / filled).quantize(Decimal("1e-12"))) if filled else "0",
            "fee": _plain(-terms.fee),
            "feeCcy": fee_currency,
            "rebateCcy": fee_currency,
            "state": state,
            "cTime": _ms(order.placed_ns),
            "uTime": _ms(now_ns),
            "lastPx": listing.price_grid.format(
                self._last_trade.get(listing.symbol, (order.price_ticks, 0))[0]
            ),
        }

    # ---- REST ----

    def http(
        self, method: str, target: str, headers: dict[str, str], body: bytes, now_ns: int
    ) -> tuple[int, bytes]:
        self._now_ns = now_ns
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        if method != "GET":
            return 404, _reply("404", [], "Not Found")
        if parts.path == "/api/v5/public/time":
            return 200, _reply("0", [{"ts": _ms(now_ns)}])
        if parts.path == "/api/v5/public/instruments":
            return self._http_instruments(query)
        if parts.path == "/api/v5/market/books":
            return self._http_books(query, now_ns)
        return 404, _reply("404", [], "Not Found")

    def _http_instruments(self, query: dict[str, str]) -> tuple[int, bytes]:
        kind, symbol = query.get("instType", ""), query.get("instId")
        if kind not in ("SPOT", "SWAP", "FUTURES", "OPTION", "MARGIN"):
            return 400, _reply("51000", [], "Parameter instType error")
        rows = [x for x in self.by_symbol.values() if _type(x) == kind and symbol in (None, x.symbol)]
        if symbol is not None and not rows:
            return 200, _reply("51001", [], "Instrument ID or Spread ID doesn't exist.")
        return 200, _reply("0", [_instrument_row(x) for x in rows])

    def _http_books(self, query: dict[str, str], now_ns: int) -> tuple[int, bytes]:
        """As deep as asked for, at the id that the increments go by."""
        listing, size = self.by_symbol.get(query.get("instId", "")), query.get("sz", "1")
        if listing is None:
            return 200, _reply("51001", [], "Instrument ID or Spread ID doesn't exist.")
        if not re.fullmatch(r"[0-9]{1,3}", size) or not 1 <= int(size) <= 400:
            return 400, _reply("51000", [], "Parameter sz error")
        self.settle(listing, now_ns)
        row = self._row(
            listing, listing.engine.levels(BUY, int(size)), listing.engine.levels(SELL, int(size)), now_ns
        )
        return 200, _reply("0", [{**row, "seqId": self._seq(listing)}])


# fmt: off
_BLANK_IN_ORDERS = (
    "ccy", "algoId", "algoClOrdId", "attachAlgoClOrdId", "source", "cancelSource", "amendSource",
    "amendResult", "reqId", "tradeId", "fillPx", "fillTime", "execType", "fillFeeCcy", "fillNotionalUsd",
    "fillMarkPx", "fillPxVol", "fillPxUsd", "fillMarkVol", "fillFwdPx", "notionalUsd", "pxType", "pxUsd",
    "pxVol", "quickMgnType", "stpId", "tpTriggerPx", "tpTriggerPxType", "tpOrdPx", "slTriggerPx",
    "slTriggerPxType", "slOrdPx", "tradeQuoteCcy", "msg",
)
_BLANK_IN_INSTRUMENTS = (
    "alias", "auctionEndTime", "contTdSwTime", "expTime", "lever", "maxPlatOILmt", "optType", "posLmtAmt",
    "posLmtPct", "preMktSwTime", "stk",
)
# fmt: on
_BLANK_ORDER = dict.fromkeys(_BLANK_IN_ORDERS, "") | {
    "fillSz": "0",
    "fillFee": "0",
    "fillPnl": "0",
    "pnl": "0",
    "rebate": "0",
    "code": "0",
    "category": "normal",
    "isTpLimit": "false",
    "linkedAlgoOrd": {"algoId": ""},
    "attachAlgoOrds": [],
}
_BLANK_INSTRUMENT = dict.fromkeys(_BLANK_IN_INSTRUMENTS, "")


def _instrument_row(listing: Listing) -> dict:
    swap, base, quote = listing.is_perpetual, _base(listing), _quote(listing)
    family = f"{base}-{quote}"
    return _BLANK_INSTRUMENT | {
        "instType": _type(listing),
        "instId": listing.symbol,
        "instIdCode": listing.inst_code if listing.inst_code >= 0 else None,
        "baseCcy": "" if swap else base,
        "quoteCcy": "" if swap else quote,
        "uly": family if swap else "",
        "instFamily": family if swap else "",
        "settleCcy": quote if swap else "",
        "ctType": "linear" if swap else "",
        "ctVal": listing.contract if swap else "",
        "ctMult": "1" if swap else "",
        "ctValCcy": base if swap else "",
        "tickSz": listing.tick,
        "lotSz": listing.lot,
        "minSz": listing.lot,
        "maxLmtSz": "100000000",
        "maxMktSz": "1000000",
        "maxLmtAmt": "20000000",
        "maxMktAmt": "" if swap else "1000000",
        "maxIcebergSz": "100000000.0000000000000000",
        "maxStopSz": "1000000",
        "maxTriggerSz": "100000000.0000000000000000",
        "maxTwapSz": "100000000.0000000000000000",
        "state": "live",
        "ruleType": "normal",
        "category": "1",
        "instCategory": "1",
        "groupId": "1",
        "openType": "fix_price",
        "listTime": "1611916828000",
        "futureSettlement": False,
        "tradeQuoteCcyList": [] if swap else [quote],
        "upcChg": [],
    }


def _terms(order: FakeOrder) -> Terms:
    terms = order.notes["terms"]
    assert isinstance(terms, Terms)
    return terms


def _objects(args: object) -> list[dict]:
    """The arguments of a request; empty where they are not a list of objects."""
    return args if isinstance(args, list) and all(isinstance(x, dict) for x in args) else []


def _crosses(order: FakeOrder) -> bool:
    best = order.listing.engine.best(SELL if order.side == BUY else BUY)
    return best is not None and (
        order.price_ticks >= best[0] if order.side == BUY else order.price_ticks <= best[0]
    )


def _covers(arg: dict, listing: Listing) -> bool:
    """Whether an `orders` subscription includes this instrument."""
    return (
        arg.get("instType") in ("ANY", _type(listing))
        and arg.get("instId", listing.symbol) == listing.symbol
        and arg.get("instFamily", f"{_base(listing)}-{_quote(listing)}")
        == f"{_base(listing)}-{_quote(listing)}"
    )


def _difference(shown: dict[int, int], now: dict[int, int]) -> list[tuple[int, int]]:
    """Levels that turn what was shown into what is: (price_ticks, size_lots), 0 = gone."""
    gone = [(ticks, 0) for ticks in shown if ticks not in now]
    return gone + [(ticks, lots) for ticks, lots in now.items() if shown.get(ticks) != lots]


def _expired(text: object, now_ns: int) -> bool:
    """`expTime` in ms has passed. A malformed one counts as passed: such a request must not be executed."""
    if text is None:
        return False
    return not isinstance(text, str) or not re.fullmatch(r"[0-9]{1,15}", text) or now_ns // MS > int(text)


def _topic(arg: dict) -> str:
    """What a subscription is kept under: the channel, then whatever else the argument names."""
    rest = [str(arg[k]) for k in sorted(arg) if k not in ("channel", "extraParams")]
    return "|".join([str(arg.get("channel")), *rest])


def _type(listing: Listing) -> str:
    return "SWAP" if listing.is_perpetual else "SPOT"


def _base(listing: Listing) -> str:
    return listing.symbol.split("-")[0]


def _quote(listing: Listing) -> str:
    return listing.symbol.split("-")[1]


def _order_id(number: int) -> str:
    return str(FIRST_ORDER + number)


def _ms(now_ns: int) -> str:
    return str(now_ns // MS)


def _plain(value: Decimal) -> str:
    """Decimal text without exponent and padding."""
    return format(value.normalize(), "f") if value else "0"


def _reply(code: str, rows: list, text: str = "") -> bytes:
    return orjson.dumps({"code": code, "data": rows, "msg": text})


def _json(value: object) -> str:
    return orjson.dumps(value).decode()

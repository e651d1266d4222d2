"""Binance's side of the wire: spot and USD-M streams, WebSocket API, REST and user data, on one port and
without I/O.

Built to the venue's documents, not to our own client: control messages and their error codes, the order of
checks and their codes, both shapes of every stream, routed USD-M paths. Known quirks are kept because
production shows them: a USD-M subscription on the wrong route is acknowledged and stays silent; response and
user event come in either order (`events_first`); the client id of a spot cancel event is the cancel's.

Sources: binance-spot-api-docs `web-socket-streams.md`, `web-socket-api.md`, `user-data-stream.md`,
`rest-api.md`, `filters.md`, `errors.md`; USD-M developer pages. What is not simulated: order lists, amend,
algo orders, margin.
"""

import re
from base64 import b64decode
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from urllib.parse import parse_qsl, unquote

import orjson

from ext.text import Grid
from node.venues.binance.rules import (
    BINANCE_SPOT,
    BINANCE_USDM,
    CONNECTION_LIFE_H,
    PRODUCTS,
    depth_weight,
    stream_route,
)
from node.venues.fakes import BUY, MS, SELL, Connection, FakeOrder, FakeVenue, Listing, Refused

SECOND = 1000 * MS
KEY_LIFE_NS = 3600 * SECOND
SIDES = ("BUY", "SELL")
DEPTH = re.compile(r"depth(5|10|20)?(?:@(\d+)ms)?")
CADENCES = {BINANCE_SPOT: (100, 1000), BINANCE_USDM: (100, 250, 500)}  # ms
DEFAULT_CADENCE = {BINANCE_SPOT: 1000, BINANCE_USDM: 250}
CLIENT_ID = {
    BINANCE_SPOT: re.compile(r"[a-zA-Z0-9_-]{1,36}"),
    BINANCE_USDM: re.compile(r"[.A-Z:/a-z0-9_-]{1,36}"),
}
DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
REQUEST_ID = re.compile(r"[a-zA-Z0-9_-]{1,36}")
STREAM_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
QUOTES = ("USDT", "USDC", "FDUSD", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY")
MAKER_FEE = {BINANCE_SPOT: Decimal("0.001"), BINANCE_USDM: Decimal("0.0002")}
TAKER_FEE = {BINANCE_SPOT: Decimal("0.001"), BINANCE_USDM: Decimal("0.0005")}
DEFAULT_BALANCE = Decimal(1_000_000)
FUNDING_NS = 8 * 3600 * SECOND
E8 = Decimal("0.00000001")
ORDER_LIMITS = {
    BINANCE_SPOT: (("SECOND", 10, 10 * SECOND, 100), ("DAY", 1, 86400 * SECOND, 200_000)),
    BINANCE_USDM: (("SECOND", 10, 10 * SECOND, 300), ("MINUTE", 1, 60 * SECOND, 1200)),
}
WEIGHT_LIMIT = {BINANCE_SPOT: 6000, BINANCE_USDM: 2400}
EVENT_TYPES = {"canceled": "CANCELED", "stp": "TRADE_PREVENTION"}  # the rest is EXPIRED
STATUSES = {"": "NEW", "filled": "FILLED", "canceled": "CANCELED", "stp": "EXPIRED_IN_MATCH"}
EXPIRY = {"stp": "1", "ioc": "2", "fok": "2"}  # USD-M `er`


class Reject(Exception):
    """The venue says no: WebSocket API status, error code and text."""

    def __init__(self, code: int, text: str, status: int = 400):
        super().__init__(text)
        self.code, self.text, self.status = code, text, status


def dump(value: object) -> str:
    return orjson.dumps(value).decode()


class BinanceFake(FakeVenue):
    """Both products of Binance. `listings` say which market each belongs to.

    `events_first`: user events precede the response that caused them. `usdm_prefix`: a path prefix under
    which the unrouted USD-M paths of before 2026-04 exist ("" = they do not). `public_keys`: API key ->
    Ed25519 public key (32 raw bytes); where given, orders need a logon or a signature. `post_only_expires`:
    USD-M answers a crossing GTX order with NEW and EXPIRED instead of error -5022 (both have been seen).
    """

    def __init__(
        self,
        listings: list[Listing],
        seed: int = 1,
        *,
        events_first: bool = False,
        usdm_prefix: str = "",
        public_keys: dict[str, bytes] | None = None,
        post_only_expires: bool = False,
    ):
        super().__init__(listings, seed)
        self.events_first = events_first
        self.usdm_prefix = usdm_prefix.rstrip("/")
        self.public_keys = public_keys or {}
        self.post_only_expires = post_only_expires
        self.listen_keys: dict[str, int] = {}  # key -> expiry in ns
        self.balances: dict[str, Decimal] = {}
        self.positions: dict[str, tuple[Decimal, Decimal]] = {}  # USD-M symbol -> amount, entry price
        self.funding_rate = "0.00010000"
        self._topics: dict[tuple, list[tuple[Connection, str]]] = {}
        self._slow: dict[
            tuple[int, str, int], dict
        ] = {}  # market, symbol, cadence -> what its next push holds
        self._due: dict[tuple[int, int], int] = {}  # market, cadence in ms -> next push
        self._mark_due_ns = {1000: 0, 3000: 0}
        self._held: list[tuple[Connection, str]] | None = (
            None  # user events kept back while an answer is made
        )
        self._executions = 0
        self._counters: dict[tuple, int] = {}
        self._subscriptions = 0

    # ---- connections -----------------------------------------------------------------------------

    def on_open(self, connection: Connection, now_ns: int) -> None:
        path, _, query = connection.path.partition("?")
        options = dict(parse_qsl(query))
        notes = connection.notes
        notes["rates"] = options.get("returnRateLimits", "true") != "false"
        for market, product in PRODUCTS.items():
            if path == product.api:
                notes.update(kind="api", market=market)
                return
        market, route, rest = self._route(path)
        if rest != "/stream" and rest != "/ws" and not rest.startswith("/ws/"):
            raise Refused(404, "Not Found")
        notes.update(kind="stream", market=market, route=route, combined=rest == "/stream")
        if route == "private":
            notes.update(kind="user", key=options.get("listenKey", ""), events=options.get("events", ""))
            return
        names = options.get("streams", "") if rest == "/stream" else rest[4:]
        self._subscribe(connection, [x for x in unquote(names).split("/") if x])

    def _route(self, path: str) -> tuple[int, str, str]:
        """Market, route and rest of a stream path."""
        for route in ("public", "market", "private"):
            if path.startswith(f"/{route}/"):
                return BINANCE_USDM, route, path[len(route) + 1 :]
        if self.usdm_prefix and path.startswith(self.usdm_prefix + "/"):
            rest = path[len(self.usdm_prefix) :]
            # what is left of the unrouted paths delivers order-book streams only
            if rest.startswith("/ws/") and rest[4:] in self.listen_keys:
                return BINANCE_USDM, "private", "/ws"
            return BINANCE_USDM, "public", rest
        return BINANCE_SPOT, "", path

    def open(self, path: str, now_ns: int) -> Connection:
        connection = super().open(path, now_ns)
        self._reindex()
        if connection.notes["kind"] == "user" and not connection.notes["key"]:
            connection.notes["key"] = path.partition("?")[0].rpartition("/")[2]
        return connection

    def close(self, connection: Connection) -> None:
        super().close(connection)
        self._reindex()

    def _reindex(self) -> None:
        self._topics = {}
        for connection in self.connections.values():
            for name, topic in connection.topics.items():
                if isinstance(topic, tuple):
                    self._topics.setdefault(topic, []).append((connection, name))

    def _subscribe(self, connection: Connection, names: list[str]) -> None:
        for name in names:
            connection.topics[name] = self._topic(connection, name)
        self._reindex()

    def _topic(self, connection: Connection, name: str) -> tuple | None:
        """(market, symbol, kind, ...) of a stream name; None where the venue has nothing to say on it."""
        market, route = connection.notes["market"], connection.notes["route"]
        symbol, _, channel = name.partition("@")
        listing = self.listings.get((market, symbol.upper()))
        if listing is None or symbol != symbol.lower():
            return None
        if route and stream_route(market, name) != route:
            return None
        key = (market, listing.symbol)
        match = DEPTH.fullmatch(channel)
        if match:
            cadence = int(match[2] or DEFAULT_CADENCE[market])
            return (*key, "depth", int(match[1] or 0), cadence) if cadence in CADENCES[market] else None
        if channel in ("bookTicker", "trade", "aggTrade"):
            return (*key, channel)
        if market == BINANCE_USDM and channel in ("markPrice", "markPrice@1s"):
            return (*key, "markPrice", 1000 if channel.endswith("@1s") else 3000)
        return None

    def _publish(self, topic: tuple, text: Callable[[], str]) -> None:
        """Send a data frame to whoever subscribed; it is only written where somebody did."""
        listeners = self._topics.get(topic)
        if not listeners:
            return
        raw = text()
        for connection, name in listeners:
            combined = connection.notes["combined"]
            self.send(connection, f'{{"stream":{dump(name)},"data":{raw}}}' if combined else raw)

    # ---- stream control --------------------------------------------------------------------------

    def receive(self, connection: Connection, text: str, now_ns: int) -> None:
        if connection.notes["kind"] == "api":
            self._api(connection, text, now_ns)
        elif connection.notes["kind"] == "stream":
            self._control(connection, text)

    def _control(self, connection: Connection, text: str) -> None:
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            self.send(connection, dump({"code": 3, "msg": f"Invalid JSON: {error}"}))
            return
        number = message.get("id") if isinstance(message, dict) else None
        try:
            result = self._command(connection, message)
        except Reject as reject:
            self.send(connection, dump({"code": reject.code, "msg": reject.text, "id": number}))
        else:
            self.send(connection, dump({"result": result, "id": number}))

    def _command(self, connection: Connection, message: object) -> object:
        if not isinstance(message, dict):
            raise Reject(2, "Invalid request: not an object")
        method, params, number = message.get("method"), message.get("params", []), message.get("id")
        if method not in STREAM_METHODS:
            expected = ", ".join(f"`{x}`" for x in STREAM_METHODS)
            raise Reject(2, f"Invalid request: unknown variant `{method}`, expected one of {expected}")
        if not _good_id(number):
            raise Reject(
                2, "Invalid request: request ID must be an integer, a string of up to 36 characters, or null"
            )
        if not isinstance(params, list):
            raise Reject(2, "Invalid request: params must be an array")
        if method == "LIST_SUBSCRIPTIONS":
            return list(connection.topics)
        if method.endswith("PROPERTY"):
            return self._property(connection, method, params)
        if not params or not all(isinstance(x, str) for x in params):
            raise Reject(2, "Invalid request: params must be an array of stream names")
        if method == "UNSUBSCRIBE":
            for name in params:
                connection.topics.pop(name, None)
            self._reindex()
            return None
        if len({*connection.topics, *params}) > PRODUCTS[connection.notes["market"]].streams_max:
            raise Reject(2, "Invalid request: too many streams")
        self._subscribe(connection, params)
        return None

    def _property(self, connection: Connection, method: str, params: list) -> object:
        if not params or params[0] != "combined":
            raise Reject(0, "Unknown property")
        if method == "GET_PROPERTY":
            return connection.notes["combined"]
        if len(params) != 2 or not isinstance(params[1], bool):
            raise Reject(1, "Invalid value type: expected Boolean")
        connection.notes["combined"] = params[1]
        return None

    # ---- market data -----------------------------------------------------------------------------

    def push_depth(self, listing, bids, asks, first_id, last_id, prev_id, now_ns) -> None:
        self._publish_depth(listing, 100, bids, asks, first_id, last_id, prev_id, now_ns)
        for cadence in CADENCES[listing.market][1:]:
            entry = self._slow.setdefault(
                (listing.market, listing.symbol, cadence),
                {"bids": {}, "asks": {}, "prev": prev_id, "last": prev_id},
            )
            entry["bids"].update(bids)
            entry["asks"].update(asks)
            entry["last"] = last_id

    def _push_slow(self, now_ns: int) -> None:
        """The depth streams of slower cadence: what the 100 ms pushes added up to."""
        due = {
            (market, cadence)
            for market, cadences in CADENCES.items()
            for cadence in cadences[1:]
            if now_ns >= self._due.get((market, cadence), 0)
        }
        for market, cadence in due:
            self._due[market, cadence] = now_ns + cadence * MS
        for (market, symbol, cadence), x in self._slow.items():
            if (market, cadence) not in due or not (x["bids"] or x["asks"]):
                continue
            bids, asks = sorted(x["bids"].items(), reverse=True), sorted(x["asks"].items())
            listing = self.listings[market, symbol]
            self._publish_depth(listing, cadence, bids, asks, x["prev"] + 1, x["last"], x["prev"], now_ns)
            x.update(bids={}, asks={}, prev=x["last"])

    def _publish_depth(self, listing, cadence, bids, asks, first_id, last_id, prev_id, now_ns) -> None:
        key = (listing.market, listing.symbol, "depth")
        ids = (first_id, last_id, prev_id)
        self._publish((*key, 0, cadence), lambda: self._depth_event(listing, bids, asks, ids, now_ns))
        for depth in (5, 10, 20):
            self._publish((*key, depth, cadence), partial(self._partial_depth, listing, depth, ids, now_ns))

    def _depth_event(self, listing: Listing, bids, asks, ids, now_ns: int) -> str:
        ms, symbol, (first_id, last_id, prev_id) = now_ns // MS, listing.symbol, ids
        sides = f'"b":{_levels(listing, bids)},"a":{_levels(listing, asks)}'
        if listing.market == BINANCE_SPOT:
            return f'{{"e":"depthUpdate","E":{ms},"s":"{symbol}","U":{first_id},"u":{last_id},{sides}}}'
        return (
            f'{{"e":"depthUpdate","E":{ms},"T":{ms},"s":"{symbol}","U":{first_id},"u":{last_id},"pu":{prev_id},'
            f'{sides},"ps":"{symbol}","st":1}}'
        )

    def _partial_depth(self, listing: Listing, n: int, ids, now_ns: int) -> str:
        bids, asks = listing.engine.levels(BUY, n), listing.engine.levels(SELL, n)
        if listing.market == BINANCE_USDM:
            return self._depth_event(listing, bids, asks, ids, now_ns)
        return f'{{"lastUpdateId":{ids[1]},"bids":{_levels(listing, bids)},"asks":{_levels(listing, asks)}}}'

    def push_quote(self, listing: Listing, now_ns: int) -> None:
        self._publish(
            (listing.market, listing.symbol, "bookTicker"), lambda: self._book_ticker(listing, now_ns)
        )

    def _book_ticker(self, listing: Listing, now_ns: int) -> str:
        (bid, bid_size), (ask, ask_size) = (listing.engine.best(x) or (0, 0) for x in (BUY, SELL))
        top = (
            f'"b":"{listing.price(bid)}","B":"{listing.size(bid_size)}",'
            f'"a":"{listing.price(ask)}","A":"{listing.size(ask_size)}"'
        )
        number, symbol, ms = listing.engine.update_id, listing.symbol, now_ns // MS
        if listing.market == BINANCE_SPOT:
            return f'{{"u":{number},"s":"{symbol}",{top}}}'
        return (
            f'{{"e":"bookTicker","u":{number},"E":{ms},"T":{ms},"s":"{symbol}","ps":"{symbol}",{top},"st":1}}'
        )

    def push_trade(self, listing, trade_id, price_ticks, size_lots, taker_side, now_ns) -> None:
        """A trade, and the aggregate trade of its own that it makes here."""
        key, ms = (listing.market, listing.symbol), now_ns // MS
        price, size = listing.price(price_ticks), listing.size(size_lots)
        maker = "true" if taker_side == SELL else "false"
        head = f'"E":{ms},"s":"{listing.symbol}"'
        is_spot = listing.market == BINANCE_SPOT
        tail = f'"T":{ms},"m":{maker},' + ('"M":true}' if is_spot else '"st":1}')
        more = "" if is_spot else f'"nq":"{size}",'
        self._publish(
            (*key, "trade"), lambda: f'{{"e":"trade",{head},"t":{trade_id},"p":"{price}","q":"{size}",{tail}'
        )
        self._publish(
            (*key, "aggTrade"),
            lambda: (
                f'{{"e":"aggTrade",{head},"a":{trade_id},"p":"{price}","q":"{size}",'
                f'{more}"f":{trade_id},"l":{trade_id},{tail}'
            ),
        )

    def _push_marks(self, now_ns: int) -> None:
        for cadence in [x for x, due_ns in self._mark_due_ns.items() if now_ns >= due_ns]:
            self._mark_due_ns[cadence] = now_ns + cadence * MS
            for listing in self.listings.values():
                if listing.market == BINANCE_USDM and self._mark(listing) is not None:
                    topic = (listing.market, listing.symbol, "markPrice", cadence)
                    self._publish(topic, partial(self._mark_event, listing, now_ns))

    def _mark(self, listing: Listing) -> str | None:
        """Mark price: the middle of the book; None while a side is empty."""
        bid, ask = listing.engine.best(BUY), listing.engine.best(SELL)
        if bid is None or ask is None:
            return None
        middle = (Decimal(listing.price(bid[0])) + Decimal(listing.price(ask[0]))) / 2
        return format(middle.quantize(E8), "f")

    def _mark_event(self, listing: Listing, now_ns: int) -> str:
        mark = self._mark(listing)
        return dump(
            {
                "e": "markPriceUpdate",
                "E": now_ns // MS,
                "s": listing.symbol,
                "p": mark,
                "ap": mark,
                "P": mark,
                "i": mark,
            }
            | {"r": self.funding_rate, "T": _next_funding_ms(now_ns), "st": 1}
        )

    # ---- time ------------------------------------------------------------------------------------

    def tick(self, now_ns: int) -> None:
        super().tick(now_ns)
        self._push_slow(now_ns)
        self._push_marks(now_ns)
        for connection in list(self.connections.values()):
            if now_ns - connection.opened_ns >= CONNECTION_LIFE_H * 3600 * SECOND:
                self._hang_up(connection, 1008, "24 h are over")
        for key in [x for x, expiry_ns in self.listen_keys.items() if now_ns >= expiry_ns]:
            self.expire_key(key, now_ns)

    def _hang_up(self, connection: Connection, code: int, reason: str) -> None:
        if connection.closing is None:
            connection.closing = (code, reason)

    def shutdown(self, connection: Connection, now_ns: int) -> None:
        """Announce a shutdown on this connection, in the shape it has there, and close it."""
        event = f'{{"e":"serverShutdown","E":{now_ns // MS}}}'
        if connection.notes["kind"] == "api":
            self.send(connection, f'{{"event":{event}}}')
        elif connection.notes["combined"]:
            self.send(connection, f'{{"stream":"!serverShutdown","data":{event}}}')
        else:
            self.send(connection, event)
        self._hang_up(connection, 1001, "server shutdown")

    def expire_key(self, key: str, now_ns: int) -> None:
        """A listen key dies: its streams say so and are silent from then on."""
        self.listen_keys.pop(key, None)
        event = dump({"e": "listenKeyExpired", "E": now_ns // MS, "listenKey": key})
        for connection in self.connections.values():
            if connection.notes.get("key") == key and _wants(connection, "listenKeyExpired"):
                self.send(connection, _private(connection, event))

    def revoke(self, connection: Connection) -> None:
        """The API key of this connection's session is withdrawn; the next request is told so, without id."""
        connection.notes["revoked"] = True

    # ---- WebSocket API ---------------------------------------------------------------------------

    def _api(self, connection: Connection, text: str, now_ns: int) -> None:
        number = None
        params: dict = {}
        self._held = []
        try:
            message = _request(text)
            number, params = message.get("id"), message.get("params") or {}
            self._admit(connection)
            body = {
                "id": number,
                "status": 200,
                "result": self._call(connection, message["method"], params, now_ns),
            }
        except Reject as reject:
            number = None if reject.status == 401 and connection.notes.pop("revoked", False) else number
            error = {"code": reject.code, "msg": reject.text}
            body = {"id": number, "status": reject.status, "error": error}
        if connection.notes["rates"] and params.get("returnRateLimits", True):
            body["rateLimits"] = self._rates(connection.notes["market"], now_ns, str(message_method(text)))
        events, self._held = self._held, None
        answer = [(connection, dump(body))]
        for target, frame in events + answer if self.events_first else answer + events:
            self.send(target, frame)

    def _admit(self, connection: Connection) -> None:
        if connection.notes.get("revoked"):
            connection.logged_in = False
            raise Reject(-2015, "Invalid API-key, IP, or permissions for action.", 401)

    def _call(self, connection: Connection, method: str, params: dict, now_ns: int) -> object:
        market = connection.notes["market"]
        if method in ("ping", "time", "exchangeInfo", "depth"):
            self._weigh(market, {"exchangeInfo": 20, "depth": 5}.get(method, 1), now_ns)
            return self._public(method, market, params, now_ns)
        if method.startswith("session."):
            return self._session(connection, method, params, now_ns)
        if method.startswith("userDataStream."):
            return self._user_stream(connection, method, params, now_ns)
        handlers = {"order.place": self._order_place, "order.cancel": self._order_cancel}
        handlers |= {"order.status": self._order_status}
        if method not in handlers:
            raise Reject(-1020, "This operation is not supported.")
        self._authenticate(connection, params, now_ns)
        return handlers[method](connection, market, params, now_ns)

    def _session(self, connection: Connection, method: str, params: dict, now_ns: int) -> dict:
        if method == "session.logon":
            for name in ("apiKey", "timestamp", "signature"):
                _need(params, name)
            if self.public_keys:
                self._verify(params)
            _in_time(params, now_ns)
            connection.logged_in = True
            connection.notes.update(api_key=params["apiKey"], since=now_ns // MS)
        elif method == "session.logout":
            connection.logged_in = False
            connection.notes.pop("api_key", None)
        elif method != "session.status":
            raise Reject(-1020, "This operation is not supported.")
        result = {
            "apiKey": connection.notes.get("api_key"),
            "authorizedSince": connection.notes.get("since") if connection.logged_in else None,
            "connectedSince": connection.opened_ns // MS,
            "returnRateLimits": connection.notes["rates"],
            "serverTime": now_ns // MS,
        }
        if connection.notes["market"] == BINANCE_SPOT:
            result["userDataStream"] = "subscription" in connection.notes
        return result

    def _user_stream(self, connection: Connection, method: str, params: dict, now_ns: int) -> dict:
        notes = connection.notes
        if notes["market"] == BINANCE_USDM:
            if method not in ("userDataStream.start", "userDataStream.ping", "userDataStream.stop"):
                raise Reject(-1020, "This operation is not supported.")
            if self.public_keys:
                _need(params, "apiKey")
            return self._listen_key(method.rpartition(".")[2], str(params.get("apiKey", "")), now_ns)
        if method in ("userDataStream.subscribe", "userDataStream.subscribe.signature"):
            if method.endswith("signature"):
                for name in ("apiKey", "timestamp", "signature"):
                    _need(params, name)
                if self.public_keys:
                    self._verify(params)
            elif self.public_keys and not connection.logged_in:
                raise Reject(-2015, "Invalid API-key, IP, or permissions for action.", 401)
            if "subscription" in notes:
                raise Reject(-2035, "User Data Stream subscription already active.")
            notes["subscription"] = notes.get("subscriptions", 0)
            notes["subscriptions"] = notes["subscription"] + 1
            return {"subscriptionId": notes["subscription"]}
        if method == "userDataStream.unsubscribe":
            if notes.pop("subscription", None) is None:
                raise Reject(-2036, "User Data Stream subscription not active.")
            return {}
        raise Reject(-1020, "This operation is not supported.")

    def _listen_key(self, action: str, api_key: str, now_ns: int) -> dict:
        key = f"{api_key}Listen{self.seed}".ljust(64, "k")
        if action == "start":
            self.listen_keys[key] = now_ns + KEY_LIFE_NS
            return {"listenKey": key}
        if key not in self.listen_keys:
            raise Reject(-1125, "This listenKey does not exist.")
        if action == "stop":
            del self.listen_keys[key]
            return {}
        self.listen_keys[key] = now_ns + KEY_LIFE_NS
        return {"listenKey": key}

    def _authenticate(self, connection: Connection, params: dict, now_ns: int) -> None:
        if self.public_keys:
            if "signature" in params:
                self._verify(params)
            elif not connection.logged_in:
                raise Reject(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        _need(params, "timestamp")
        _in_time(params, now_ns)

    def _verify(self, params: dict) -> None:
        """Check the Ed25519 signature over all parameters but itself, sorted by name, in their JSON text."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        raw = self.public_keys.get(str(params.get("apiKey")))
        if raw is None:
            raise Reject(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        payload = "&".join(f"{k}={_plain(params[k])}" for k in sorted(params) if k != "signature")
        try:
            Ed25519PublicKey.from_public_bytes(raw).verify(
                b64decode(str(params["signature"])), payload.encode()
            )
        except (InvalidSignature, ValueError):
            raise Reject(-1022, "Signature for this request is not valid.") from None

    # ---- limits ----------------------------------------------------------------------------------

    def _weigh(self, market: int, weight: int, now_ns: int) -> None:
        self._count((market, "WEIGHT"), 60 * SECOND, weight, now_ns)

    def _count(self, name: tuple, window_ns: int, by: int, now_ns: int) -> int:
        """A counter of a fixed, clock-aligned window; returns its new value."""
        key = (*name, window_ns, now_ns // window_ns)
        if key not in self._counters:  # a new window: forget the old one
            self._counters = {k: v for k, v in self._counters.items() if k[:-1] != key[:-1]}
        self._counters[key] = self._counters.get(key, 0) + by
        return self._counters[key]

    def _rates(self, market: int, now_ns: int, method: str) -> list[dict]:
        rows = []
        if method.startswith("order."):
            rows = [
                {"rateLimitType": "ORDERS", "interval": interval, "intervalNum": n, "limit": limit}
                | {"count": self._count((market, "ORDERS"), window_ns, 0, now_ns)}
                for interval, n, window_ns, limit in ORDER_LIMITS[market]
            ]
        weight = self._count((market, "WEIGHT"), 60 * SECOND, 0, now_ns)
        row = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}
        return [*rows, row | {"limit": WEIGHT_LIMIT[market], "count": weight}]

    def _check_order_slots(self, market: int, now_ns: int) -> None:
        for _, _, window_ns, limit in ORDER_LIMITS[market]:
            if self._count((market, "ORDERS"), window_ns, 0, now_ns) >= limit:
                raise Reject(-1015, f"Too many new orders; current limit is {limit} orders.", 429)

    # ---- orders ----------------------------------------------------------------------------------

    def _order_place(self, connection: Connection, market: int, params: dict, now_ns: int) -> dict:
        try:
            order, kind, answer = self._new_order(connection, market, params)
            self._check_order_slots(market, now_ns)
            self._engine_checks(order, kind)
        except Reject:
            self.counts["rejects"] += 1
            raise
        for _, _, window_ns, _ in ORDER_LIMITS[market]:
            self._count((market, "ORDERS"), window_ns, 1, now_ns)
        self.place("market" if kind == "MARKET" else "limit", order, now_ns)
        return self._order_answer(order, answer, now_ns)

    def _new_order(self, connection: Connection, market: int, params: dict) -> tuple[FakeOrder, str, str]:
        """Check a new order's parameters in the venue's order of checks; returns order, type, answer type."""
        for name in ("symbol", "side", "type"):
            _need(params, name)
        listing = self._listing(market, params)
        if params["side"] not in SIDES:
            raise Reject(-1117, "Invalid side.")
        kind, tif = _type_and_tif(market, params)
        price_ticks = 0 if kind == "MARKET" else self._number(listing, params, "price")
        size_lots = self._number(listing, params, "quantity")
        client_id = self._client_id(market, params)
        answer = params.get("newOrderRespType")
        if answer not in (None, "ACK", "RESULT", "FULL") or (answer == "FULL" and market == BINANCE_USDM):
            raise Reject(
                -1102 if market == BINANCE_USDM else -1130,
                "Invalid data sent for parameter 'newOrderRespType'.",
            )
        if answer is None:
            answer = "FULL" if market == BINANCE_SPOT and kind in ("LIMIT", "MARKET") else "ACK"
        side = SIDES.index(params["side"])
        reduce_only = str(params.get("reduceOnly", "false")).lower() == "true"
        self._check_notional(listing, kind, side, price_ticks, size_lots, reduce_only)
        engine_tif = {"GTX": "post_only", "LIMIT_MAKER": "post_only", "IOC": "ioc", "FOK": "fok"}.get(
            "LIMIT_MAKER" if kind == "LIMIT_MAKER" else tif, "gtc"
        )
        order = FakeOrder(listing, 0, client_id, side, price_ticks, size_lots, engine_tif, connection)
        order.notes.update(type=kind, tif=tif, reduce=reduce_only, fills=[], quote=Decimal(0))
        order.notes["stp"] = params.get("selfTradePreventionMode", "NONE")
        return order, kind, answer

    def _listing(self, market: int, params: dict) -> Listing:
        listing = self.listings.get((market, str(params["symbol"])))
        if listing is None:
            raise Reject(-1121, "Invalid symbol.")
        return listing

    def _client_id(self, market: int, params: dict) -> str:
        client_id = params.get("newClientOrderId")
        if client_id is None:
            self._executions += 1
            return f"venue{self._executions:016d}"
        if market == BINANCE_USDM and isinstance(client_id, str) and len(client_id) > 36:
            raise Reject(-4015, "Client order id length should not be more than 36 chars.")
        if not isinstance(client_id, str) or not CLIENT_ID[market].fullmatch(client_id):
            raise Reject(-1100, "Illegal characters found in parameter 'newClientOrderId'.")
        return client_id

    def _number(self, listing: Listing, params: dict, name: str) -> int:
        """A price or quantity in ticks or lots; every way of being wrong has a code of its own."""
        text = str(_need(params, name))
        is_price, is_spot = name == "price", listing.market == BINANCE_SPOT
        if not DECIMAL.fullmatch(text):
            raise Reject(-1100, f"Illegal characters found in parameter '{name}'.")
        grid = listing.price_grid if is_price else listing.size_grid
        places = 8 if is_spot else grid.decimals
        if len(text.partition(".")[2].rstrip("0")) > places:
            over = f"Parameter '{name}' has too much precision."
            raise Reject(-1111, over if is_spot else "Precision is over the maximum defined for this asset.")
        if Decimal(text) == 0:
            if is_spot:
                raise Reject(-1013, f"Invalid {name}.")
            raise Reject(
                *((-4013, "Price less than min price.") if is_price else (-4003, "Quantity less than zero."))
            )
        try:
            return grid.parse(format(Decimal(text).normalize(), "f"))
        except ValueError:
            if is_spot:
                raise Reject(-1013, f"Filter failure: {'PRICE_FILTER' if is_price else 'LOT_SIZE'}") from None
            off = (
                (-4014, "Price not increased by tick size.")
                if is_price
                else (-4023, "Qty not increased by step size.")
            )
            raise Reject(*off) from None

    def _check_notional(self, listing, kind, side, price_ticks, size_lots, reduce_only) -> None:
        if kind == "MARKET":
            best = listing.engine.best(1 - side) or listing.engine.best(side)
            price_ticks = best[0] if best else 0
        value = Decimal(listing.price(price_ticks)) * Decimal(listing.size(size_lots))
        if value >= Decimal(listing.min_notional) or (kind == "MARKET" and not price_ticks):
            return
        if listing.market == BINANCE_SPOT:
            raise Reject(-1013, "Filter failure: NOTIONAL")
        if not reduce_only:
            least = listing.min_notional
            raise Reject(
                -4164, f"Order's notional must be no smaller than {least} (unless you choose reduce only)."
            )

    def _engine_checks(self, order: FakeOrder, kind: str) -> None:
        """What the matching engine refuses before an order exists."""
        listing, is_spot = order.listing, order.listing.market == BINANCE_SPOT
        twin = self.find_order(listing, order.client_id)
        if twin is not None and not twin.done:
            raise Reject(
                *((-2010, "Duplicate order sent.") if is_spot else (-4116, "ClientOrderId is duplicated."))
            )
        if order.notes["reduce"] and not is_spot and not self._reduces(order):
            raise Reject(-2022, "ReduceOnly Order is rejected.")
        opposite = listing.engine.best(1 - order.side)
        if order.tif == "post_only" and opposite is not None and not self.post_only_expires:
            crosses = (
                order.price_ticks >= opposite[0] if order.side == BUY else order.price_ticks <= opposite[0]
            )
            if crosses and is_spot:
                raise Reject(-2010, "Order would immediately match and take.")
            if crosses:
                raise Reject(
                    -5022,
                    "Due to the order could not be executed as maker, the Post Only order will be rejected.",
                )
        if order.tif == "fok" and not is_spot and not self._fillable(order):
            raise Reject(
                -5021, "Due to the order could not be filled immediately, the FOK order has been rejected."
            )

    def _reduces(self, order: FakeOrder) -> bool:
        amount = self.positions.get(order.listing.symbol, (Decimal(0), Decimal(0)))[0]
        return amount < 0 if order.side == BUY else amount > 0

    def _fillable(self, order: FakeOrder) -> bool:
        sign = 1 if order.side == BUY else -1
        levels = order.listing.engine.levels(1 - order.side, 1_000_000)
        inside = sum(size for price, size in levels if sign * price <= sign * order.price_ticks)
        return inside >= order.size_lots

    def _order_cancel(self, connection: Connection, market: int, params: dict, now_ns: int) -> dict:
        order = self._find(market, params)
        if order is None or order.done:
            raise Reject(-2011, "Unknown order sent.")
        order.notes["cancel_id"] = params.get("newClientOrderId") or f"cancel{order.number:015d}"
        if not self.cancel(order, now_ns):
            raise Reject(-2011, "Unknown order sent.")
        if market == BINANCE_USDM:
            return self._usdm_order(order, now_ns)
        row = {"symbol": order.listing.symbol, "origClientOrderId": order.client_id, "orderId": order.number}
        row |= {"orderListId": -1, "clientOrderId": order.notes["cancel_id"], "transactTime": now_ns // MS}
        return row | self._spot_details(order)

    def _order_status(self, connection: Connection, market: int, params: dict, now_ns: int) -> dict:
        self._weigh(market, 4 if market == BINANCE_SPOT else 1, now_ns)
        order = self._find(market, params)
        if order is None:
            raise Reject(-2013, "Order does not exist.")
        if market == BINANCE_USDM:
            average = (
                order.notes["quote"] / Decimal(order.listing.size(order.filled_lots))
                if order.filled_lots
                else 0
            )
            extra = {"avgPrice": format(Decimal(average), "f"), "cumQuote": format(order.notes["quote"], "f")}
            return self._usdm_order(order, now_ns) | extra | {"time": order.placed_ns // MS}
        row = {"symbol": order.listing.symbol, "orderId": order.number, "orderListId": -1}
        row |= {"clientOrderId": order.client_id} | self._spot_details(order)
        row |= {"stopPrice": "0.00000000", "icebergQty": "0.00000000", "time": order.placed_ns // MS}
        return row | {
            "updateTime": now_ns // MS,
            "isWorking": not order.done,
            "origQuoteOrderQty": "0.00000000",
        }

    def _find(self, market: int, params: dict) -> FakeOrder | None:
        """The order a cancel or query names: by orderId; where both are sent the client id must agree."""
        _need(params, "symbol")
        listing = self._listing(market, params)
        number, client_id = params.get("orderId"), params.get("origClientOrderId")
        if number is None and not client_id:
            raise Reject(
                -1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
            )
        if number is None:
            return self.find_order(listing, str(client_id))
        if isinstance(number, bool) or not str(number).isdigit():
            raise Reject(-1100, "Illegal characters found in parameter 'orderId'.")
        order = self.find_order(listing, number=int(number))
        if order is not None and client_id and order.client_id != client_id and market == BINANCE_SPOT:
            raise Reject(-2039, "Client order ID is not correct for this order ID.")
        return order

    def _order_answer(self, order: FakeOrder, answer: str, now_ns: int) -> dict:
        if order.listing.market == BINANCE_USDM:
            row = self._usdm_order(order, now_ns)
            if answer == "ACK":  # what happened to it is told by the user stream
                zero = order.listing.size(0)
                row |= {"status": "NEW", "executedQty": zero, "cumQty": zero}
            return row
        row = {"symbol": order.listing.symbol, "orderId": order.number, "orderListId": -1}
        row |= {"clientOrderId": order.client_id, "transactTime": now_ns // MS}
        if answer != "ACK":
            row |= self._spot_details(order)
        return row | {"fills": order.notes["fills"]} if answer == "FULL" else row

    def _spot_details(self, order: FakeOrder) -> dict:
        listing = order.listing
        return {
            "price": listing.price(order.price_ticks),
            "origQty": listing.size(order.size_lots),
            "executedQty": listing.size(order.filled_lots),
            "origQuoteOrderQty": "0.00000000",
            "cummulativeQuoteQty": format(order.notes["quote"], "f"),
            "status": _status(order),
            "timeInForce": order.notes["tif"] or "GTC",
            "type": order.notes["type"],
            "side": SIDES[order.side],
            "workingTime": order.placed_ns // MS,
            "selfTradePreventionMode": order.notes["stp"],
        }

    def _usdm_order(self, order: FakeOrder, now_ns: int) -> dict:
        listing, filled = order.listing, order.listing.size(order.filled_lots)
        return {
            "orderId": order.number,
            "symbol": listing.symbol,
            "status": _status(order),
            "clientOrderId": order.client_id,
            "price": listing.price(order.price_ticks),
            "origQty": listing.size(order.size_lots),
            "executedQty": filled,
            "cumQty": filled,
            "timeInForce": order.notes["tif"] or "GTC",
            "type": order.notes["type"],
            "reduceOnly": order.notes["reduce"],
            "closePosition": False,
            "side": SIDES[order.side],
            "positionSide": "BOTH",
            "stopPrice": listing.price(0),
            "workingType": "CONTRACT_PRICE",
            "priceProtect": False,
            "origType": order.notes["type"],
            "priceMatch": "NONE",
            "selfTradePreventionMode": order.notes["stp"],
            "goodTillDate": 0,
            "updateTime": now_ns // MS,
        }

    # ---- user data -------------------------------------------------------------------------------

    def on_accepted(self, order: FakeOrder, now_ns: int) -> None:
        self._order_event(order, "NEW", now_ns)

    def on_fill(self, order: FakeOrder, trade_id, price_ticks, size_lots, is_maker, now_ns) -> None:
        listing = order.listing
        price, size = Decimal(listing.price(price_ticks)), Decimal(listing.size(size_lots))
        base, quote = assets(listing)
        rate = (MAKER_FEE if is_maker else TAKER_FEE)[listing.market]
        in_base = listing.market == BINANCE_SPOT and order.side == BUY  # charged in what is received
        fee = ((size if in_base else price * size) * rate).quantize(E8)
        fill = {
            "price": listing.price(price_ticks),
            "qty": listing.size(size_lots),
            "commission": format(fee, "f"),
        }
        fill |= {"commissionAsset": base if in_base else quote, "tradeId": trade_id}
        order.notes["fills"].append(fill)
        order.notes["quote"] += price * size
        if listing.market == BINANCE_USDM:
            self._user_usdm("TRADE_LITE", _trade_lite(order, fill, is_maker, now_ns), now_ns)
        self._order_event(order, "TRADE", now_ns, fill, is_maker)
        sign = 1 if order.side == BUY else -1
        if listing.market == BINANCE_SPOT:
            self._move(base, sign * size - (fee if in_base else 0))
            self._move(quote, -sign * price * size - (0 if in_base else fee))
            self._send_balances((base, quote), now_ns)
        else:
            self._move(quote, -fee)
            self._send_position(listing, sign * size, price, quote, now_ns)

    def on_done(self, order: FakeOrder, reason: str, now_ns: int) -> None:
        kind = EVENT_TYPES.get(reason, "EXPIRED")
        if order.listing.market == BINANCE_USDM and kind == "TRADE_PREVENTION":
            kind = "EXPIRED"
        self._order_event(order, kind, now_ns)

    def _order_event(
        self, order: FakeOrder, kind: str, now_ns: int, fill: dict | None = None, maker=False
    ) -> None:
        self._executions += 1
        if order.listing.market == BINANCE_SPOT:
            self._user_spot(dump(self._execution_report(order, kind, now_ns, fill, maker)))
        else:
            body = {"e": "ORDER_TRADE_UPDATE", "E": now_ns // MS, "T": now_ns // MS}
            self._user_usdm(
                "ORDER_TRADE_UPDATE",
                body | {"o": self._usdm_update(order, kind, now_ns, fill, maker)},
                now_ns,
            )

    def _execution_report(
        self, order: FakeOrder, kind: str, now_ns: int, fill: dict | None, maker: bool
    ) -> dict:
        listing, ms, zero = order.listing, now_ns // MS, "0.00000000"
        is_cancel = kind == "CANCELED"
        last = Decimal(fill["price"]) * Decimal(fill["qty"]) if fill else Decimal(0)
        return {
            "e": "executionReport",
            "E": ms,
            "s": listing.symbol,
            "c": order.notes["cancel_id"] if is_cancel else order.client_id,
            "S": SIDES[order.side],
            "o": order.notes["type"],
            "f": order.notes["tif"] or "GTC",
            "q": listing.size(order.size_lots),
            "p": listing.price(order.price_ticks),
            "P": zero,
            "F": zero,
            "g": -1,
            "C": order.client_id if is_cancel else "",
            "x": kind,
            "X": _status(order),
            "r": "NONE",
            "i": order.number,
            "l": fill["qty"] if fill else listing.size(0),
            "z": listing.size(order.filled_lots),
            "L": fill["price"] if fill else listing.price(0),
            "n": fill["commission"] if fill else "0",
            "N": fill["commissionAsset"] if fill else None,
            "T": ms,
            "t": fill["tradeId"] if fill else -1,
            "I": self._executions,
            "w": not order.done and order.tif not in ("ioc", "fok"),
            "m": maker,
            "M": False,
            "O": order.placed_ns // MS,
            "Z": format(order.notes["quote"], "f"),
            "Y": format(last, "f"),
            "Q": zero,
            "W": order.placed_ns // MS,
            "V": order.notes["stp"],
        }

    def _usdm_update(self, order: FakeOrder, kind: str, now_ns: int, fill: dict | None, maker: bool) -> dict:
        listing = order.listing
        filled = Decimal(listing.size(order.filled_lots))
        average = (order.notes["quote"] / filled).quantize(E8) if filled else Decimal(0)
        row = {
            "s": listing.symbol,
            "c": order.client_id,
            "S": SIDES[order.side],
            "o": order.notes["type"],
            "f": order.notes["tif"] or "GTC",
            "q": listing.size(order.size_lots),
            "p": listing.price(order.price_ticks),
            "ap": format(average, "f"),
            "sp": "0",
            "x": kind,
            "X": _status(order),
            "i": order.number,
            "l": fill["qty"] if fill else "0",
            "z": listing.size(order.filled_lots),
            "L": fill["price"] if fill else "0",
        }
        if fill:  # absent where there is none
            row |= {"n": fill["commission"], "N": fill["commissionAsset"]}
        row |= {"T": now_ns // MS, "t": fill["tradeId"] if fill else 0, "b": "0", "a": "0", "m": maker}
        row |= {
            "R": order.notes["reduce"],
            "wt": "CONTRACT_PRICE",
            "ot": order.notes["type"],
            "ps": "BOTH",
            "cp": False,
        }
        row |= {"rp": "0", "pP": False, "si": 0, "ss": 0, "V": order.notes["stp"], "pm": "NONE", "gtd": 0}
        return row | {"er": EXPIRY.get(order.done, "0")}

    def _move(self, asset: str, amount: Decimal) -> None:
        self.balances[asset] = self.balances.get(asset, DEFAULT_BALANCE) + amount

    def _send_balances(self, names: tuple[str, ...], now_ns: int) -> None:
        rows = [{"a": x, "f": format(self.balances[x], "f"), "l": "0.00000000"} for x in names]
        self._user_spot(
            dump({"e": "outboundAccountPosition", "E": now_ns // MS, "u": now_ns // MS, "B": rows})
        )

    def _send_position(
        self, listing: Listing, change: Decimal, price: Decimal, asset: str, now_ns: int
    ) -> None:
        """Apply a fill to the one-way position and tell it; entry price is the average of what opened it."""
        amount, entry = self.positions.get(listing.symbol, (Decimal(0), Decimal(0)))
        after = amount + change
        if amount == 0 or (amount > 0) == (change > 0):
            entry = ((amount * entry + change * price) / after).quantize(E8)
        else:
            closed = min(abs(change), abs(amount)) * (1 if amount > 0 else -1)
            self._move(asset, closed * (price - entry))
            entry = entry if (after > 0) == (amount > 0) and after else price if after else Decimal(0)
        self.positions[listing.symbol] = (after, entry)
        wallet = format(self.balances[asset], "f")
        row = {
            "s": listing.symbol,
            "pa": format(after, "f"),
            "ep": format(entry, "f"),
            "bep": format(entry, "f"),
        }
        row |= {"cr": "0", "up": "0", "mt": "cross", "iw": "0", "ps": "BOTH"}
        balance = {"a": asset, "wb": wallet, "cw": wallet, "bc": "0"}
        body = {"e": "ACCOUNT_UPDATE", "E": now_ns // MS, "T": now_ns // MS}
        self._user_usdm("ACCOUNT_UPDATE", body | {"a": {"m": "ORDER", "B": [balance], "P": [row]}}, now_ns)

    def _user_spot(self, event: str) -> None:
        for connection in self.connections.values():
            if connection.notes["market"] == BINANCE_SPOT and "subscription" in connection.notes:
                self._tell(
                    connection, f'{{"subscriptionId":{connection.notes["subscription"]},"event":{event}}}'
                )

    def _user_usdm(self, name: str, event: dict, now_ns: int) -> None:
        raw = ""
        for connection in self.connections.values():
            if connection.notes.get("key") in self.listen_keys and _wants(connection, name):
                raw = raw or dump(event)
                self._tell(connection, _private(connection, raw))

    def _tell(self, connection: Connection, frame: str) -> None:
        """A user event: kept back while the answer of the request that caused it is not made yet."""
        if self._held is None:
            self.send(connection, frame)
        else:
            self._held.append((connection, frame))

    # ---- REST ------------------------------------------------------------------------------------

    def http(
        self, method: str, target: str, headers: dict[str, str], body: bytes, now_ns: int
    ) -> tuple[int, bytes]:
        path, _, query = target.partition("?")
        params = dict(parse_qsl(query)) | dict(parse_qsl(body.decode("latin-1")))
        try:
            return 200, orjson.dumps(self._rest(method, path, params, headers, now_ns))
        except Reject as reject:
            return reject.status, orjson.dumps({"code": reject.code, "msg": reject.text})

    def _rest(self, method: str, path: str, params: dict, headers: dict[str, str], now_ns: int) -> object:
        if path == "/fapi/v1/listenKey" and method in ("POST", "PUT", "DELETE"):
            api_key = {k.lower(): v for k, v in headers.items()}.get("x-mbx-apikey", "")
            if self.public_keys and api_key not in self.public_keys:
                raise Reject(-2015, "Invalid API-key, IP, or permissions for action.", 401)
            return self._listen_key(
                {"POST": "start", "PUT": "ping", "DELETE": "stop"}[method], api_key, now_ns
            )
        for market, product in PRODUCTS.items():
            name = path.removeprefix(product.rest + "/")
            known = ("ping", "time", "exchangeInfo", "depth") + (
                ("premiumIndex",) if market == BINANCE_USDM else ()
            )
            if name != path and name in known:
                if method != "GET":
                    raise Reject(-1020, "This operation is not supported.", 405)
                return self._public(name, market, params, now_ns)
        raise Reject(-1000, "Not Found", 404)

    def _public(self, name: str, market: int, params: dict, now_ns: int) -> object:
        if name == "ping":
            return {}
        if name == "time":
            return {"serverTime": now_ns // MS}
        if name == "exchangeInfo":
            return self._exchange_info(market, params, now_ns)
        if name == "premiumIndex":
            return self._premium_index(params, now_ns)
        return self._depth_snapshot(market, params, now_ns)

    def _depth_snapshot(self, market: int, params: dict, now_ns: int) -> dict:
        _need(params, "symbol")
        listing, product = self._listing(market, params), PRODUCTS[market]
        text = str(params.get("limit", 500 if product.depth_limits else 100))
        if not text.isdigit() or not int(text):
            raise Reject(-1100, "Illegal characters found in parameter 'limit'.")
        limit = int(text)
        if product.depth_limits and limit not in product.depth_limits:
            raise Reject(-4021, f"{limit} is not valid depth limit")
        limit = min(limit, product.depth_max)
        self._weigh(market, depth_weight(market, limit), now_ns)
        self.settle(listing, now_ns)
        engine, ms = listing.engine, now_ns // MS
        sides = {
            name: [[listing.price(p), listing.size(s)] for p, s in engine.levels(side, limit)]
            for name, side in (("bids", BUY), ("asks", SELL))
        }
        times = {"E": ms, "T": ms} if market == BINANCE_USDM else {}
        return {"lastUpdateId": engine.update_id} | times | sides

    def _premium_index(self, params: dict, now_ns: int) -> object:
        wanted = params.get("symbol")
        if wanted is not None:
            self._listing(BINANCE_USDM, params)
        rows = [
            {"symbol": x.symbol, "markPrice": mark, "indexPrice": mark, "estimatedSettlePrice": mark}
            | {"lastFundingRate": self.funding_rate, "interestRate": "0.00010000"}
            | {"nextFundingTime": _next_funding_ms(now_ns), "time": now_ns // MS}
            for x in self.listings.values()
            if x.market == BINANCE_USDM and wanted in (None, x.symbol)
            for mark in (self._mark(x) or "0.00000000",)
        ]
        return rows if wanted is None else rows[0]

    def _exchange_info(self, market: int, params: dict, now_ns: int) -> dict:
        wanted = None
        if market == BINANCE_SPOT and ("symbol" in params or "symbols" in params):
            wanted = _symbols(params)
            for symbol in wanted:
                self._listing(market, {"symbol": symbol})
        rows = [
            x for x in self.listings.values() if x.market == market and (wanted is None or x.symbol in wanted)
        ]
        weight = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}
        limits = [weight | {"limit": WEIGHT_LIMIT[market]}]
        limits += [
            {"rateLimitType": "ORDERS", "interval": interval, "intervalNum": n, "limit": limit}
            for interval, n, _, limit in ORDER_LIMITS[market]
        ]
        head = {"timezone": "UTC", "serverTime": now_ns // MS}
        if market == BINANCE_USDM:
            assets_ = [
                {"asset": x, "marginAvailable": True, "autoAssetExchange": "0"} for x in ("USDT", "USDC")
            ]
            head |= {
                "futuresType": "U_MARGINED",
                "rateLimits": limits,
                "exchangeFilters": [],
                "assets": assets_,
            }
            return head | {"symbols": [_usdm_symbol(x) for x in rows]}
        head |= {"rateLimits": limits, "exchangeFilters": []}
        return head | {"symbols": [_spot_symbol(x) for x in rows]}


# ---- text and shapes ---------------------------------------------------------------------------------


def _levels(listing: Listing, levels) -> str:
    return "[" + ",".join(f'["{listing.price(p)}","{listing.size(s)}"]' for p, s in levels) + "]"


def assets(listing: Listing) -> tuple[str, str]:
    """Base and quote asset of a listing; guessed from the symbol where it does not name its base."""
    symbol = listing.symbol
    if listing.base and symbol.startswith(listing.base):
        return listing.base, symbol[len(listing.base) :].partition("_")[0]
    quote = next((x for x in QUOTES if symbol.endswith(x) and symbol != x), "USDT")
    return symbol.removesuffix(quote), quote


def _status(order: FakeOrder) -> str:
    if not order.done and order.filled_lots:
        return "PARTIALLY_FILLED"
    return STATUSES.get(order.done, "EXPIRED")


def _next_funding_ms(now_ns: int) -> int:
    return (now_ns // FUNDING_NS + 1) * FUNDING_NS // MS


def _wants(connection: Connection, event: str) -> bool:
    """`events=` is an allow-list; without it everything comes."""
    allowed = str(connection.notes.get("events") or "")
    return not allowed or event in allowed.split("/")


def _private(connection: Connection, event: str) -> str:
    if not connection.notes["combined"]:
        return event
    return f'{{"stream":{dump(connection.notes["key"])},"data":{event}}}'


def _trade_lite(order: FakeOrder, fill: dict, maker: bool, now_ns: int) -> dict:
    listing, ms = order.listing, now_ns // MS
    row = {"e": "TRADE_LITE", "E": ms, "T": ms, "s": listing.symbol, "q": listing.size(order.size_lots)}
    row |= {"p": listing.price(order.price_ticks), "m": maker, "c": order.client_id, "S": SIDES[order.side]}
    return row | {"L": fill["price"], "l": fill["qty"], "t": fill["tradeId"], "i": order.number}


def message_method(text: str) -> object:
    """Method of a request text, "" where it has none: which counters an answer lists."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        return ""
    return message.get("method", "") if isinstance(message, dict) else ""


def _request(text: str) -> dict:
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Reject(-1135, "Invalid JSON Request") from None
    if not isinstance(message, dict) or not isinstance(message.get("method"), str):
        raise Reject(-1135, "Invalid JSON Request")
    if not _good_id(message.get("id")) or not isinstance(message.get("params") or {}, dict):
        raise Reject(-1135, "Invalid JSON Request")
    return message


def _good_id(value: object) -> bool:
    if isinstance(value, str):
        return REQUEST_ID.fullmatch(value) is not None
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _need(params: dict, name: str) -> object:
    value = params.get(name)
    if value is None or value == "":
        raise Reject(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return value


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _in_time(params: dict, now_ns: int) -> None:
    """A request lives from 1 s before its timestamp to recvWindow behind it."""
    stamp, window = params["timestamp"], params.get("recvWindow", 5000)
    if isinstance(stamp, bool) or not str(stamp).isdigit():
        raise Reject(-1100, "Illegal characters found in parameter 'timestamp'.")
    if not DECIMAL.fullmatch(str(window)) or Decimal(str(window)) > 60000:
        raise Reject(-1131, "recvWindow must be less than 60000")
    now_ms = now_ns // MS
    if int(stamp) >= now_ms + 1000:
        raise Reject(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - int(stamp) > Decimal(str(window)):
        raise Reject(-1021, "Timestamp for this request is outside of the recvWindow.")


def _type_and_tif(market: int, params: dict) -> tuple[str, str]:
    """Order type and time in force ("" where the type has none), with what each type needs and forbids."""
    kind, tif = params["type"], params.get("timeInForce")
    types = ("LIMIT", "MARKET", "LIMIT_MAKER") if market == BINANCE_SPOT else ("LIMIT", "MARKET")
    if kind not in types:
        if market == BINANCE_USDM and kind in ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"):
            raise Reject(
                -4120,
                "Order type not supported for this endpoint. Please use the Algo Order API.",
            )
        raise Reject(-1116, "Invalid orderType.")
    if kind == "LIMIT":
        _need(params, "timeInForce")
        if tif not in (("GTC", "IOC", "FOK") if market == BINANCE_SPOT else ("GTC", "IOC", "FOK", "GTX")):
            raise Reject(-1115, "Invalid timeInForce.")
    elif tif is not None:
        raise Reject(-1106, "Parameter 'timeInForce' sent when not required.")
    if kind == "MARKET" and params.get("price") is not None:
        raise Reject(-1106, "Parameter 'price' sent when not required.")
    return kind, tif or ""


def _symbols(params: dict) -> list[str]:
    if "symbol" in params:
        return [str(params["symbol"])]
    value = params["symbols"]
    try:
        value = orjson.loads(value) if isinstance(value, str) else value
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, list):
        raise Reject(-1100, "Illegal characters found in parameter 'symbols'.")
    return [str(x) for x in value]


def _spot_symbol(listing: Listing) -> dict:
    base, quote = assets(listing)
    tick, lot = listing.tick, listing.lot
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000000.00000000", "stepSize": lot},
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": "0.00000000",
            "maxQty": "9000000.00000000",
            "stepSize": "0.00000000",
        },
        {"filterType": "PERCENT_PRICE_BY_SIDE", "bidMultiplierUp": "5", "bidMultiplierDown": "0.2"}
        | {"askMultiplierUp": "5", "askMultiplierDown": "0.2", "avgPriceMins": 5},
        {"filterType": "NOTIONAL", "minNotional": listing.min_notional, "applyMinToMarket": True}
        | {"maxNotional": "9000000.00000000", "applyMaxToMarket": False, "avgPriceMins": 5},
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
    ]
    modes = ["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT"]
    return {
        "symbol": listing.symbol,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": True,
        "ocoAllowed": False,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": False,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "amendAllowed": False,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": filters,
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": modes,
    }


def _usdm_symbol(listing: Listing) -> dict:
    base, quote = assets(listing)
    tick, lot = listing.tick, listing.lot
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "1000000", "stepSize": lot},
        {"filterType": "MARKET_LOT_SIZE", "minQty": lot, "maxQty": "1000000", "stepSize": lot},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MIN_NOTIONAL", "notional": listing.min_notional},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": "5",
            "multiplierDown": "0.2",
            "multiplierDecimal": "4",
        },
    ]
    perpetual = listing.is_perpetual or "_" not in listing.symbol
    return {
        "symbol": listing.symbol,
        "pair": base + quote,
        "contractType": "PERPETUAL" if perpetual else "CURRENT_QUARTER",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": base,
        "quoteAsset": quote,
        "marginAsset": quote,
        "pricePrecision": Grid(tick).decimals,
        "quantityPrecision": Grid(lot).decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": filters,
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }

"""Bybit v5's side of the wire, without I/O: public, private and trade connections, and public REST.

Books follow the venue's own rules: one counter `u` per topic, stepping by one; a window of exactly N levels,
out of which levels leave as size "0"; depth 1 as snapshots only, repeated after 3 s. Source:
bybit-exchange/docs `docs/v5/websocket/`, and captured frames for the texts of refusals.
"""

import hashlib
import hmac
import random
import re
from collections import deque
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from urllib.parse import parse_qs, urlsplit

import orjson

from node.venues.bybit import rules
from node.venues.bybit.rules import LINEAR, SPOT
from node.venues.fakes import BUY, MS, SELL, Connection, FakeOrder, FakeVenue, Listing, Refused

UID = "100000001"
SIDES = {"Buy": BUY, "Sell": SELL}
SIDE_TEXT = ("Buy", "Sell")
TIF = {"GTC": "gtc", "IOC": "ioc", "FOK": "fok", "PostOnly": "post_only"}
TIF_TEXT = {name: text for text, name in TIF.items()}
FEE_RATES = {LINEAR: (Decimal("0.00055"), Decimal("0.0002")), SPOT: (Decimal("0.001"), Decimal("0.001"))}
FUNDING_NS = 8 * 3600 * rules.SECOND
QUIET_TOPICS = ("kline.", "allLiquidation.", "priceLimit.")  # taken, and silent here
PRIVATE_TOPICS = ("order", "execution", "execution.fast", "position", "wallet", "greeks")
# members of an order row that only conditional orders and the like use
_EMPTY = "stopOrderType orderIv triggerPrice takeProfit stopLoss triggerBy tpTriggerBy slTriggerBy placeType"
UNUSED = dict.fromkeys(f"{_EMPTY} smpOrderId marketUnit feeCurrency".split(), "") | {
    "triggerDirection": 0,
    "closeOnTrigger": False,
    "smpGroup": 0,
    "slLimitPrice": "0",
    "tpLimitPrice": "0",
}
_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,36}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)


class _Refusal(Exception):
    """A trade request that the venue answers with a code."""

    def __init__(self, code: int, text: str):
        super().__init__(text)
        self.code, self.text = code, text


@dataclass(eq=False)
class _Book:
    """What one orderbook topic has published, to whomever."""

    listing: Listing
    depth: int
    u: int
    sides: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))
    due_ns: int = 0
    sent_ns: int = 0

    @property
    def topic(self) -> str:
        return f"orderbook.{self.depth}.{self.listing.symbol}"

    def read(self) -> tuple[dict[int, int], dict[int, int]]:
        """The top of the matching engine, best first."""
        levels = self.listing.engine.levels
        return dict(levels(BUY, self.depth)), dict(levels(SELL, self.depth))


@dataclass(eq=False)
class _Tape:
    """What an instrument's public streams remember."""

    seq: int
    update_id: int = -1  # of the matching engine, when `seq` last rose
    changed_ns: int = 0
    last_ticks: int = 0
    trades: list[dict] = field(default_factory=list)
    ticker: dict[str, str] = field(default_factory=dict)
    ticker_due_ns: int = 0


class BybitFake(FakeVenue):
    """Bybit with the given listings (markets BYBIT_SPOT and BYBIT_LINEAR).

    `credentials` (key -> secret): logins are checked and needed; None takes anybody. `ack_first`: a reply
    comes before the private stream says anything of the order; False turns this round, as the venue does at
    times. `limit_orders`: the venue's order rates per second are enforced.
    """

    def __init__(
        self,
        listings: list[Listing],
        seed: int = 1,
        *,
        credentials: dict[str, str] | None = None,
        ack_first: bool = True,
        limit_orders: bool = False,
    ):
        super().__init__(listings, seed)
        self.credentials = credentials
        self.ack_first = ack_first
        self.limit_orders = limit_orders
        self.positions: dict[tuple[int, str], int] = {}  # lots, short is negative
        self._random = random.Random(seed)
        self._books: dict[tuple[int, str, int], _Book] = {}
        self._tapes = {key: _Tape(self._random.randrange(10**9, 10**10)) for key in self.listings}
        self._venue_ids: dict[str, FakeOrder] = {}
        self._client_ids: set[tuple[int, str]] = set()
        self._request_ids: set[str] = set()
        self._recent: dict[tuple[int, str], deque[int]] = {}
        self._now_ns = 0

    # ---- connections ----

    def on_open(self, connection: Connection, now_ns: int) -> None:
        url = urlsplit(connection.path)
        kinds = {path: ("public", market) for market, path in rules.PUBLIC_PATH.items()}
        kinds |= {rules.PRIVATE_PATH: ("private", -1), rules.TRADE_PATH: ("trade", -1)}
        if url.path not in kinds:
            raise Refused(404, f"no such path: {url.path}")
        kind, market = kinds[url.path]
        life = parse_qs(url.query).get("max_active_time", ["10m"])[0]
        match = re.fullmatch(r"([0-9]{1,3})([sm])", life, re.ASCII)
        seconds = int(match[1]) * (60 if match[2] == "m" else 1) if match else 600
        connection.notes = {
            "kind": kind,
            "market": market,
            "id": f"{self._hash('connection', connection.number)[:20]}-{connection.number:x}",
            "idle_ns": min(max(seconds, 30), 600) * rules.SECOND,
            "alive_ns": now_ns,
        }

    def send(self, connection: Connection, text: str) -> None:
        connection.notes["alive_ns"] = self._now_ns
        super().send(connection, text)

    def receive(self, connection: Connection, text: str, now_ns: int) -> None:
        self._now_ns = now_ns
        connection.notes["alive_ns"] = now_ns
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            message = None
        if not isinstance(message, dict):
            self._answer(connection, {}, False, "Invalid request: not a JSON object", "")
            return
        op = message.get("op")
        if op == "ping":
            self._pong(connection, message, now_ns)
        elif connection.notes["kind"] == "trade":
            self._on_trade(connection, message, now_ns)
        elif op == "auth" and connection.notes["kind"] == "private":
            code, why = self._check_login(message.get("args"), now_ns)
            connection.logged_in = connection.logged_in or code == 0
            self._answer(connection, message, code == 0, why, "auth")
        elif op == "subscribe":
            self._subscribe(connection, message, now_ns)
        elif op == "unsubscribe":
            for topic in _args(message):
                connection.topics.pop(topic, None)
                connection.notes.pop(topic, None)
            self._answer(connection, message, True, "", "unsubscribe")
        else:
            self._answer(connection, message, False, f"error:invalid op,op:{op}", str(op))

    def _say(self, connection: Connection, message: dict) -> None:
        """As the venue's encoder writes it: `<`, `>` and `&` escaped."""
        text = orjson.dumps(message).decode()
        self.send(connection, text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))

    def _answer(self, connection: Connection, message: dict, ok: bool, text: str, op: str) -> None:
        """A reply of a public or private connection: each kind has its own shape."""
        number, conn_id = message.get("req_id"), connection.notes["id"]
        if connection.notes["kind"] == "private":
            reply = {"success": ok, "ret_msg": text, "op": op, "conn_id": conn_id}
            if number is not None:
                reply["req_id"] = number
        else:
            is_spot = connection.notes["market"] == SPOT
            reply = {"success": ok, "ret_msg": text or (op if is_spot else ""), "conn_id": conn_id}
            if number is not None or not is_spot:
                reply["req_id"] = number or ""
            reply["op"] = op
        self._say(connection, reply)

    def _pong(self, connection: Connection, message: dict, now_ns: int) -> None:
        kind, now_ms = connection.notes["kind"], str(now_ns // MS)
        conn_id = connection.notes["id"]
        if kind == "public":
            self._answer(connection, message, True, "pong", "ping")
        elif kind == "private":
            reply = {"req_id": message["req_id"]} if "req_id" in message else {}
            self._say(connection, reply | {"op": "pong", "args": [now_ms], "conn_id": conn_id})
        else:
            reply = {"reqId": message["reqId"]} if "reqId" in message else {}
            reply |= {"retCode": 0, "retMsg": "OK", "op": "pong", "data": [now_ms], "connId": conn_id}
            self._say(connection, reply)

    def _check_login(self, args: object, now_ns: int) -> tuple[int, str]:
        if self.credentials is None:
            return 0, ""
        if not isinstance(args, list) or len(args) != 3 or _number(args[1]) < 0:
            return 10001, "Params Error"
        key, expires, signature = str(args[0]), str(args[1]), str(args[2])
        if key not in self.credentials:
            return 10003, "API key is invalid."
        if _number(expires) <= now_ns // MS:
            return 10004, "Request expired"
        secret = self.credentials[key].encode()
        right = hmac.new(secret, f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
        return (0, "") if hmac.compare_digest(right, signature) else (10004, "error sign!")

    # ---- subscriptions ----

    def _subscribe(self, connection: Connection, message: dict, now_ns: int) -> None:
        """One bad topic fails the whole request."""
        topics = _args(message)
        why = self._refuse_topics(connection, topics)
        if why:
            self._answer(connection, message, False, why, "subscribe")
            return
        connection.topics.update((x, True) for x in topics)
        for topic in topics:  # seen at the venue: a ticker's snapshot ahead of the reply
            if topic.startswith("tickers."):
                self._send_ticker(connection, topic, now_ns)
        self._answer(connection, message, True, "", "subscribe")
        for topic in topics:
            if topic.startswith("orderbook."):
                self._send_snapshot(connection, topic, now_ns)

    def _refuse_topics(self, connection: Connection, topics: list[str]) -> str:
        kind, market = connection.notes["kind"], connection.notes["market"]
        if kind == "private":
            return self._refuse_private(connection, topics)
        if market == SPOT and len(topics) > rules.ARGS_PER_REQUEST:
            return f"args size >{rules.ARGS_PER_REQUEST}"
        if len(orjson.dumps([*connection.topics, *topics])) > rules.ARGS_CHARS_PER_CONNECTION:
            return f"args length >{rules.ARGS_CHARS_PER_CONNECTION}"
        if not topics:
            return "args is empty"
        for topic in topics:
            if not self._exists(market, topic):
                return f"error:handler not found,topic:{topic}"
            if topic in connection.topics:
                return f"error:already subscribed,topic:{topic}"
        return ""

    def _refuse_private(self, connection: Connection, topics: list[str]) -> str:
        if self.credentials is not None and not connection.logged_in:
            return "Request not authorized"
        forms = set()
        for topic in topics:
            plain = topic.removesuffix(".linear").removesuffix(".spot")
            if plain not in PRIVATE_TOPICS and topic not in ("dcp.future", "dcp.spot"):
                return f"error:handler not found,topic:{topic}"
            if plain in ("order", "execution", "position"):
                forms.add(plain == topic)
        return "error:all-in-one and categorised topics in one request" if len(forms) == 2 else ""

    def _exists(self, market: int, topic: str) -> bool:
        name, _, symbol = topic.rpartition(".")
        if (market, symbol) not in self.listings:
            return False
        books = [f"orderbook.{depth}" for depth in rules.BOOK_DEPTHS]
        return name in ("publicTrade", "tickers", *books) or topic.startswith(QUIET_TOPICS)

    def _listeners(self, market: int, topic: str) -> list[Connection]:
        return [c for c in self.subscribers(topic) if c.notes["market"] == market]

    # ---- books ----

    def tick(self, now_ns: int) -> None:
        """Time passes: push what is due. Call it every 10 ms or so."""
        self._now_ns = now_ns
        super().tick(now_ns)
        for book in list(self._books.values()):
            if now_ns >= book.due_ns:
                interval_ns = rules.BOOK_INTERVAL_NS[book.depth]
                book.due_ns = max(book.due_ns + interval_ns, now_ns - now_ns % interval_ns + interval_ns)
                self._publish(book, now_ns)
        for key in self.listings:
            self._publish_ticker(key, now_ns)
        for connection in list(self.connections.values()):
            if now_ns - connection.notes["alive_ns"] >= connection.notes["idle_ns"]:
                self.hang_up(connection, 1000, "idle")

    def settle(self, listing: Listing, now_ns: int) -> None:
        super().settle(listing, now_ns)
        tape = self._tapes[(listing.market, listing.symbol)]
        if tape.update_id != listing.engine.update_id:
            tape.update_id, tape.changed_ns = listing.engine.update_id, now_ns
            tape.seq += self._random.randint(1, 60)
        if tape.trades:
            self._send_trades(listing, tape, now_ns)

    def restart(self, listing: Listing, now_ns: int) -> None:
        """A fault: the push service restarts. Every book of the listing starts anew with u 1."""
        self.settle(listing, now_ns)
        for book in self._books.values():
            if book.listing is listing:
                book.u, book.sides, book.sent_ns = 1, book.read(), now_ns
                for connection in self._listeners(listing.market, book.topic):
                    self._say(connection, self._book_message(book, "snapshot", book.sides, now_ns))

    def _book(self, listing: Listing, depth: int, now_ns: int) -> _Book:
        """The state of a topic; where nobody listens it is brought up to date first."""
        key = (listing.market, listing.symbol, depth)
        if key not in self._books:
            self._books[key] = _Book(listing, depth, self._random.randrange(1000, 10**6), due_ns=now_ns)
        book = self._books[key]
        others = [c for c in self._listeners(listing.market, book.topic) if c.notes.get(book.topic)]
        if not others:
            book.u += 1
            book.sides = book.read()
        return book

    def _send_snapshot(self, connection: Connection, topic: str, now_ns: int) -> None:
        _, depth, symbol = topic.split(".", 2)
        listing = self.listings[(connection.notes["market"], symbol)]
        self.settle(listing, now_ns)
        book = self._book(listing, int(depth), now_ns)
        book.sent_ns = now_ns
        connection.notes[topic] = True  # from here on this connection follows the deltas
        self._say(connection, self._book_message(book, "snapshot", book.sides, now_ns))

    def _publish(self, book: _Book, now_ns: int) -> None:
        """Push what changed in the window since the last push."""
        listeners = self._listeners(book.listing.market, book.topic)
        if not listeners:
            return
        new = book.read()
        changed = _difference(book.sides[BUY], new[BUY]), _difference(book.sides[SELL], new[SELL])
        is_repeat = not (changed[BUY] or changed[SELL])
        if is_repeat and (book.depth != 1 or now_ns - book.sent_ns < rules.BOOK_REPEAT_NS):
            return
        book.u += not is_repeat
        book.sides, book.sent_ns = new, now_ns
        kind, sides = ("snapshot", new) if book.depth == 1 else ("delta", changed)
        message = self._book_message(book, kind, sides, now_ns)
        self._pushing, self._skipping = book.listing, set()
        try:
            for connection in listeners:
                self._say(connection, message)
        finally:
            self._pushing = None

    def _book_message(self, book: _Book, kind: str, sides: tuple[dict, dict], now_ns: int) -> dict:
        listing = book.listing
        tape = self._tapes[(listing.market, listing.symbol)]
        head = {"ts": now_ns // MS, "type": kind}
        if listing.market == LINEAR and book.depth != 1:  # spot, and depth 1, have `ts` first
            head = {"type": kind, "ts": now_ns // MS}
        bids, asks = sorted(sides[BUY].items(), reverse=True), sorted(sides[SELL].items())
        levels = [[[_price(listing, p), _size(listing, x)] for p, x in side] for side in (bids, asks)]
        data = {"s": listing.symbol, "b": levels[0], "a": levels[1], "u": book.u, "seq": tape.seq}
        return {"topic": book.topic, **head, "data": data, "cts": tape.changed_ns // MS}

    # ---- trades and tickers ----

    def push_trade(self, listing, trade_id, price_ticks, size_lots, taker_side, now_ns) -> None:
        tape = self._tapes[(listing.market, listing.symbol)]
        price, size, side = _price(listing, price_ticks), _size(listing, size_lots), SIDE_TEXT[taker_side]
        number = self._trade_id(listing, f"trade {trade_id}", 2290000000000000000 + trade_id)
        row: dict[str, object] = {"T": now_ns // MS, "s": listing.symbol, "S": side, "v": size, "p": price}
        if listing.market == LINEAR:
            up = price_ticks - tape.last_ticks
            row["L"] = "PlusTick" if up > 0 else "MinusTick" if up < 0 else "ZeroPlusTick"
            row |= {"i": number, "BT": False, "RPI": False}
        else:
            row = {"i": number, "T": row["T"], "p": price, "v": size, "S": side}
            row |= {"s": listing.symbol, "BT": False, "RPI": False}
        tape.last_ticks = price_ticks
        tape.trades.append(row)

    def _send_trades(self, listing: Listing, tape: _Tape, now_ns: int) -> None:
        topic, rows = f"publicTrade.{listing.symbol}", [x | {"seq": tape.seq} for x in tape.trades]
        tape.trades = []
        step, head = rules.TRADES_PER_FRAME, {"type": "snapshot", "ts": now_ns // MS}
        if listing.market == SPOT:
            head = {"ts": now_ns // MS, "type": "snapshot"}
        for connection in self._listeners(listing.market, topic):
            for i in range(0, len(rows), step):
                self._say(connection, {"topic": topic, **head, "data": rows[i : i + step]})

    def _ticker(self, key: tuple[int, str], now_ns: int) -> dict[str, str]:
        listing, tape = self.listings[key], self._tapes[key]
        bid, ask = listing.engine.best(BUY), listing.engine.best(SELL)
        best = [x[0] for x in (bid, ask) if x]
        mark = sum(best) // len(best) if best else tape.last_ticks
        tape.last_ticks = tape.last_ticks or mark
        last = _price(listing, tape.last_ticks)
        ticker = {"symbol": listing.symbol, "lastPrice": last, "highPrice24h": last, "lowPrice24h": last}
        ticker |= {"prevPrice24h": last, "volume24h": "0", "turnover24h": "0", "price24hPcnt": "0"}
        if listing.market == SPOT:
            return ticker | {"usdIndexPrice": _price(listing, mark)}
        ticker |= {"tickDirection": "ZeroPlusTick", "prevPrice1h": last, "markPrice": _price(listing, mark)}
        ticker |= {"indexPrice": _price(listing, mark), "openInterest": "0", "openInterestValue": "0"}
        ticker |= {"fundingIntervalHour": "8", "fundingCap": "0.005", "fundingRate": "0.0001"}
        ticker["nextFundingTime"] = str((now_ns // FUNDING_NS + 1) * FUNDING_NS // MS)
        for name, level in (("bid1", bid), ("ask1", ask)):
            ticker[f"{name}Price"] = _price(listing, level[0]) if level else ""
            ticker[f"{name}Size"] = _size(listing, level[1]) if level else ""
        return ticker | {"preOpenPrice": "", "preQty": "", "curPreListingPhase": ""}

    def _ticker_message(self, key: tuple[int, str], kind: str, data: dict[str, str], now_ns: int) -> dict:
        topic, seq, now_ms = f"tickers.{key[1]}", self._tapes[key].seq, now_ns // MS
        if key[0] == SPOT:
            return {"topic": topic, "ts": now_ms, "type": kind, "cs": seq, "data": data}
        return {"topic": topic, "type": kind, "data": data, "cs": seq, "ts": now_ms}

    def _send_ticker(self, connection: Connection, topic: str, now_ns: int) -> None:
        key = (connection.notes["market"], rules.topic_symbol(topic))
        tape = self._tapes[key]
        tape.ticker = tape.ticker or self._ticker(key, now_ns)
        self._say(connection, self._ticker_message(key, "snapshot", tape.ticker, now_ns))

    def _publish_ticker(self, key: tuple[int, str], now_ns: int) -> None:
        """Linear: what changed; spot: all of it, where anything changed."""
        tape, listeners = self._tapes[key], self._listeners(key[0], f"tickers.{key[1]}")
        if not listeners or now_ns < tape.ticker_due_ns:
            return
        tape.ticker_due_ns = now_ns + rules.TICKER_INTERVAL_NS[key[0]]
        new = self._ticker(key, now_ns)
        changed = {name: x for name, x in new.items() if tape.ticker.get(name) != x}
        tape.ticker = new
        if not changed:
            return
        kind, data = ("snapshot", new) if key[0] == SPOT else ("delta", {"symbol": key[1]} | changed)
        for connection in listeners:
            self._say(connection, self._ticker_message(key, kind, data, now_ns))

    # ---- orders in ----

    def _on_trade(self, connection: Connection, message: dict, now_ns: int) -> None:
        op = message.get("op")
        if op == "auth":
            code, why = self._check_login(message.get("args"), now_ns)
            if connection.logged_in:
                code, why = 20001, "Repeat auth"
            connection.logged_in = connection.logged_in or code == 0
            reply = {"reqId": message["reqId"]} if "reqId" in message else {}
            reply |= {"retCode": code, "retMsg": why or "OK", "op": "auth", "connId": connection.notes["id"]}
            self._say(connection, reply)
            return
        try:
            order = self._check_envelope(connection, message, now_ns)
            if op == "order.create":
                self._create(connection, message, order, now_ns)
            else:
                self._cancel(connection, message, order, now_ns)
        except _Refusal as refusal:
            self.counts["rejects"] += 1
            self._reply(connection, message, refusal.code, refusal.text, {}, now_ns)

    def _check_envelope(self, connection: Connection, message: dict, now_ns: int) -> dict:
        """Everything around the order; returns the order's own object."""
        if self.credentials is not None and not connection.logged_in:
            raise _Refusal(10005, "Permission denied, please log in")
        if message.get("op") not in ("order.create", "order.cancel"):
            raise _Refusal(10404, "op type is not found")
        number = message.get("reqId")
        if number is not None and (not isinstance(number, str) or len(number) > rules.REQUEST_ID_MAX):
            raise _Refusal(10001, "params error: reqId invalid")
        if number in self._request_ids:
            raise _Refusal(20006, "Duplicated reqId")
        if number:
            self._request_ids.add(number)
        header, args = message.get("header"), message.get("args")
        header = header if isinstance(header, dict) else {}
        sent_ms = _number(header.get("X-BAPI-TIMESTAMP"))
        if sent_ms < 0:
            raise _Refusal(10001, "params error: X-BAPI-TIMESTAMP is missing or invalid")
        window, now_ms = _number(header.get("X-BAPI-RECV-WINDOW", 5000)), now_ns // MS
        if window < 0 or not now_ms - window <= sent_ms < now_ms + rules.CLOCK_AHEAD_MS:
            raise _Refusal(
                10002,
                "invalid request, please check your server timestamp or recv_window param. "
                f"req_timestamp[{sent_ms}],server_timestamp[{now_ms}],recv_window[{window}]",
            )
        if not isinstance(args, list) or len(args) != 1 or not isinstance(args[0], dict):
            raise _Refusal(10001, "params error: args must be one object")
        return args[0]

    def _create(self, connection: Connection, message: dict, wish: dict, now_ns: int) -> None:
        listing = self._listing(wish)
        self._check_rate("order.create", listing.market, now_ns)
        order, order_type = self._check_order(connection, listing, wish)
        order.notes |= {"request": message, "value": Decimal(0), "fee": Decimal(0)}
        self._client_ids.add((listing.market, order.client_id))
        self.place(order_type, order, now_ns)
        if not self.ack_first:
            self._ack(order, now_ns)
        if order.tif == "post_only" and not order.done:
            self._push_order(order, "New", now_ns)

    def _listing(self, wish: dict) -> Listing:
        market = next((m for m, name in rules.CATEGORY.items() if name == wish.get("category")), None)
        if market is None:
            raise _Refusal(10001, "Illegal category")
        listing = self.listings.get((market, str(wish.get("symbol"))))
        if listing is None:
            raise _Refusal(170121 if market == SPOT else 10001, "Invalid symbol.")
        return listing

    def _check_rate(self, op: str, market: int, now_ns: int) -> None:
        if not self.limit_orders:
            return
        recent = self._recent.setdefault((market, op), deque())
        while recent and recent[0] <= now_ns - rules.SECOND:
            recent.popleft()
        if len(recent) >= rules.ORDER_LIMITS[(market, op)]:
            raise _Refusal(10006, "Too many visits. Exceeded the API Rate Limit.")
        recent.append(now_ns)

    def _check_order(self, connection: Connection, listing: Listing, wish: dict) -> tuple[FakeOrder, str]:
        is_spot = listing.market == SPOT
        side, order_type = SIDES.get(str(wish.get("side"))), wish.get("orderType")
        if side is None:
            raise _Refusal(170117 if is_spot else 10001, "Invalid side.")
        if order_type not in ("Limit", "Market"):
            raise _Refusal(170116 if is_spot else 10001, "Invalid orderType.")
        tif = TIF.get(str(wish.get("timeInForce", "GTC")))
        if tif is None:
            raise _Refusal(170115 if is_spot else 10001, "Invalid timeInForce.")
        if not is_spot and wish.get("positionIdx", 0) != 0:
            raise _Refusal(10001, "position idx not match position mode")
        is_market = order_type == "Market"
        price_ticks = 0 if is_market else self._check_price(listing, wish)
        size_lots = self._check_size(listing, wish, side, is_market)
        is_reducing = wish.get("reduceOnly") is True and not is_spot
        if is_reducing:
            size_lots = self._reduce_only(listing, side, size_lots)
        else:
            self._check_value(listing, side, price_ticks, size_lots)
        client_id = self._check_client_id(listing, wish)
        order = FakeOrder(
            listing, 0, client_id, side, price_ticks, size_lots, "ioc" if is_market else tif, connection
        )
        order.notes = {"type": order_type, "reduce": is_reducing, "smp": wish.get("smpType", "None")}
        order.notes["by_value"] = is_market and is_spot and self._is_by_value(wish, side)
        return order, order_type.lower()

    def _check_price(self, listing: Listing, wish: dict) -> int:
        is_spot, text = listing.market == SPOT, wish.get("price")
        try:
            ticks = listing.price_grid.parse(text if isinstance(text, str) else "")
        except ValueError:
            raise _Refusal(170134 if is_spot else 110003, "price is invalid") from None
        if ticks == 0:
            raise _Refusal(170132 if is_spot else 110003, "price is invalid")
        return ticks

    def _check_size(self, listing: Listing, wish: dict, side: int, is_market: bool) -> int:
        is_spot, text = listing.market == SPOT, wish.get("qty")
        if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
            raise _Refusal(10001, "params error: Qty invalid")
        if is_spot and is_market and self._is_by_value(wish, side):
            return self._lots_for(listing, side, Decimal(text))
        try:
            lots = listing.size_grid.parse(text)
        except ValueError:
            raise _Refusal(170137 if is_spot else 10001, "Order quantity has too many decimals.") from None
        if lots == 0:
            raise _Refusal(170136 if is_spot else 10001, "Order quantity is too small.")
        return lots

    @staticmethod
    def _is_by_value(wish: dict, side: int) -> bool:
        """Spot market orders: a buy is in quote currency unless told otherwise."""
        return wish.get("marketUnit", "quoteCoin" if side == BUY else "baseCoin") == "quoteCoin"

    def _lots_for(self, listing: Listing, side: int, value: Decimal) -> int:
        """How much the book gives for `value` of quote currency."""
        lots, lot = 0, Decimal(listing.lot)
        for price_ticks, size_lots in listing.engine.levels(1 - side, 1000):
            price = Decimal(listing.price(price_ticks))
            here = min(size_lots, int((value / price / lot).to_integral_value(ROUND_FLOOR)))
            lots, value = lots + here, value - here * lot * price
            if here < size_lots:
                break
        if lots == 0:
            raise _Refusal(170140, "Order value exceeded lower limit.")
        return lots

    def _reduce_only(self, listing: Listing, side: int, size_lots: int) -> int:
        position = self.positions.get((listing.market, listing.symbol), 0)
        if position == 0 or (position > 0) == (side == BUY):
            raise _Refusal(110017, "current position is zero, cannot fix reduce-only order qty")
        return min(size_lots, abs(position))

    def _check_value(self, listing: Listing, side: int, price_ticks: int, size_lots: int) -> None:
        best = listing.engine.best(1 - side)
        ticks = price_ticks or (best[0] if best else 0)
        value = Decimal(listing.price(ticks)) * Decimal(listing.size(size_lots))
        if ticks and value < Decimal(listing.min_notional):
            is_spot = listing.market == SPOT
            raise _Refusal(170140 if is_spot else 110094, "Order does not meet minimum order value")

    def _check_client_id(self, listing: Listing, wish: dict) -> str:
        client_id = wish.get("orderLinkId")
        if client_id is None or client_id == "":
            return str(self._random.randrange(10**15, 10**16)) if listing.market == SPOT else ""
        if not isinstance(client_id, str) or not _CLIENT_ID.fullmatch(client_id):
            raise _Refusal(10001, "params error: orderLinkId invalid")
        if (listing.market, client_id) in self._client_ids:
            code = 170141 if listing.market == SPOT else 110072
            raise _Refusal(code, "OrderLinkedID is duplicate")
        return client_id

    def _cancel(self, connection: Connection, message: dict, wish: dict, now_ns: int) -> None:
        """The reply only says that the request was taken; the stream tells the end."""
        listing = self._listing(wish)
        self._check_rate("order.cancel", listing.market, now_ns)
        venue_id, client_id = wish.get("orderId"), wish.get("orderLinkId")
        order = (
            self._venue_ids.get(str(venue_id)) if venue_id else self.find_order(listing, str(client_id or ""))
        )
        if order is None or order.done or order.listing is not listing:
            code = 170213 if listing.market == SPOT else 110001
            raise _Refusal(code, "order not exists or too late to cancel")
        data = {"orderId": order.notes["id"], "orderLinkId": order.client_id}
        if self.ack_first:
            self._reply(connection, message, 0, "OK", data, now_ns)
        self.cancel(order, now_ns)
        if not self.ack_first:
            self._reply(connection, message, 0, "OK", data, now_ns)

    def _reply(
        self, connection: Connection, message: dict, code: int, text: str, data: dict, now_ns: int
    ) -> None:
        op, args = str(message.get("op")), message.get("args")
        wish = args[0] if isinstance(args, list) and args and isinstance(args[0], dict) else {}
        market = SPOT if wish.get("category") == "spot" else LINEAR
        limit = rules.ORDER_LIMITS.get((market, op), 10)
        left = max(limit - len(self._recent.get((market, op), ())), 0)
        reply = {"reqId": message["reqId"]} if message.get("reqId") is not None else {}
        reply |= {"retCode": code, "retMsg": text, "op": op, "data": data, "retExtInfo": {}}
        reply["header"] = {
            "X-Bapi-Limit": str(limit),
            "X-Bapi-Limit-Status": "0" if code == 10006 else str(left),
            "X-Bapi-Limit-Reset-Timestamp": str(now_ns // MS),
            "Traceid": self._hash("trace", len(self._request_ids), now_ns)[:32],
            "Timenow": str(now_ns // MS),
        }
        self._say(connection, reply | {"connId": connection.notes["id"]})

    def _ack(self, order: FakeOrder, now_ns: int) -> None:
        data = {"orderId": order.notes["id"], "orderLinkId": order.client_id}
        self._reply(order.connection, order.notes["request"], 0, "OK", data, now_ns)

    # ---- orders out ----

    def on_accepted(self, order: FakeOrder, now_ns: int) -> None:
        order.notes["id"] = self._trade_id(
            order.listing, f"order {order.number}", 1556000000000000000 + order.number
        )
        self._venue_ids[order.notes["id"]] = order
        if self.ack_first:
            self._ack(order, now_ns)
        if order.tif == "gtc":  # the others may skip this state
            self._push_order(order, "New", now_ns)

    def on_fill(self, order: FakeOrder, trade_id, price_ticks, size_lots, is_maker, now_ns) -> None:
        listing = order.listing
        key = (listing.market, listing.symbol)
        signed = size_lots if order.side == BUY else -size_lots
        self.positions[key] = self.positions.get(key, 0) + signed
        order.notes["value"] += Decimal(listing.price(price_ticks)) * Decimal(listing.size(size_lots))
        self._push_execution(order, trade_id, price_ticks, size_lots, is_maker, now_ns)
        is_done = order.done == "filled"
        if is_done and order.notes["by_value"]:  # the usual end of a spot market order by value
            self._push_order(order, "PartiallyFilledCanceled", now_ns, "UNKNOWN", "EC_CancelForNoFullFill")
        else:
            self._push_order(order, "Filled" if is_done else "PartiallyFilled", now_ns)

    def on_done(self, order: FakeOrder, reason: str, now_ns: int) -> None:
        is_spot = order.listing.market == SPOT
        status = "PartiallyFilledCanceled" if is_spot and order.filled_lots else "Cancelled"
        cancel_type, why = {
            "canceled": ("CancelByUser", "EC_PerCancelRequest"),
            "ioc": ("UNKNOWN", "EC_NoImmediateQtyToFill"),
            "fok": ("UNKNOWN", "EC_NoEnoughQtyToFill"),
            "post_only": ("UNKNOWN", "EC_PostOnlyWillTakeLiquidity"),
            "stp": ("CancelBySmp", "EC_BySelfMatch"),
        }[reason]
        if reason == "post_only" and is_spot:
            status = "Rejected"
        self._push_order(order, status, now_ns, cancel_type, why)

    def on_forgotten(self, order: FakeOrder) -> None:
        self._venue_ids.pop(order.notes["id"], None)

    def _push_order(
        self, order: FakeOrder, status: str, now_ns: int, cancel_type="UNKNOWN", why="EC_NoError"
    ) -> None:
        listing, notes, now_ms = order.listing, order.notes, str(now_ns // MS)
        is_spot = listing.market == SPOT
        is_open = status in ("New", "PartiallyFilled")
        leaves = order.size_lots - order.filled_lots if is_open else 0
        filled = Decimal(listing.size(order.filled_lots))
        row = {
            "category": rules.CATEGORY[listing.market],
            "symbol": listing.symbol,
            "orderId": notes["id"],
            "orderLinkId": order.client_id,
            "blockTradeId": "",
            "side": SIDE_TEXT[order.side],
            "positionIdx": 0,
            "orderStatus": status,
            "cancelType": cancel_type,
            "rejectReason": why,
            "timeInForce": TIF_TEXT[order.tif],
            "isLeverage": "0" if is_spot else "",
            "price": listing.price_grid.format(order.price_ticks),
            "qty": listing.size_grid.format(order.size_lots),
            "avgPrice": _plain(notes["value"] / filled) if filled else "",
            "leavesQty": listing.size_grid.format(leaves),
            "leavesValue": _plain(Decimal(listing.price(order.price_ticks)) * Decimal(listing.size(leaves))),
            "cumExecQty": listing.size_grid.format(order.filled_lots),
            "cumExecValue": _plain(notes["value"]),
            "cumExecFee": _plain(notes["fee"]),
            "orderType": notes["type"],
            "smpType": notes["smp"],
            "reduceOnly": notes["reduce"],
            "createdTime": str(order.placed_ns // MS),
            "updatedTime": now_ms,
            **UNUSED,
        }
        if not is_spot:  # clients tell the products apart by these
            row |= {"tpslMode": "UNKNOWN", "createType": "CreateByUser", "closedPnl": "0"}
        self._push_private("order", listing, row, now_ns)

    def _push_execution(self, order: FakeOrder, trade_id, price_ticks, size_lots, is_maker, now_ns) -> None:
        listing = order.listing
        is_spot, side = listing.market == SPOT, SIDE_TEXT[order.side]
        price, size = Decimal(listing.price(price_ticks)), Decimal(listing.size(size_lots))
        rate = FEE_RATES[listing.market][is_maker]
        in_base = is_spot and order.side == BUY
        fee = (size if in_base else price * size) * rate
        order.notes["fee"] += fee
        base = listing.base or listing.symbol.removesuffix(listing.quote)
        number = self._trade_id(
            listing, f"fill {trade_id} {order.number}", 2100000000000000000 + 2 * trade_id + is_maker
        )
        tape = self._tapes[(listing.market, listing.symbol)]
        row = {
            "category": rules.CATEGORY[listing.market],
            "symbol": listing.symbol,
            "execFee": _plain(fee),
            "execId": number,
            "execPrice": listing.price_grid.format(price_ticks),
            "execQty": listing.size_grid.format(size_lots),
            "execType": "Trade",
            "execValue": _plain(price * size),
            "feeRate": _plain(rate),
            "feeCurrency": base if in_base else listing.quote,
            "leavesQty": listing.size_grid.format(order.leaves_lots),
            "orderId": order.notes["id"],
            "orderLinkId": order.client_id,
            "orderPrice": listing.price_grid.format(order.price_ticks),
            "orderQty": listing.size_grid.format(order.size_lots),
            "orderType": order.notes["type"],
            "stopOrderType": "" if is_spot else "UNKNOWN",
            "side": side,
            "execTime": str(now_ns // MS),
            "isLeverage": "0",
            "blockTradeId": "",
            "closedSize": "" if is_spot else "0",
            "isMaker": bool(is_maker),
            "seq": tape.seq,
        }
        names = (
            "category",
            "symbol",
            "execId",
            "execPrice",
            "execQty",
            "orderId",
            "isMaker",
            "side",
            "execTime",
        )
        fast = {name: row[name] for name in (*names, "seq")}
        fast["orderLinkId"] = "" if is_maker else order.client_id
        self._push_private("execution.fast", listing, fast, now_ns)
        self._push_private("execution", listing, row, now_ns)

    def _push_private(self, topic: str, listing: Listing, row: dict, now_ns: int) -> None:
        seq = self._tapes[(listing.market, listing.symbol)].seq
        number = f"{UID}-20000-{seq}" if listing.market == SPOT else f"{UID}_{listing.symbol}_{seq}"
        head = {} if topic == "execution.fast" else {"id": number}
        for name in (topic, f"{topic}.{rules.CATEGORY[listing.market]}"):
            for connection in self.subscribers(name):
                self._say(connection, {"topic": name, **head, "creationTime": now_ns // MS, "data": [row]})

    def _hash(self, *parts: object) -> str:
        return hashlib.md5(repr((self.seed, *parts)).encode(), usedforsecurity=False).hexdigest()

    def _trade_id(self, listing: Listing, what: str, number: int) -> str:
        """Ids of orders and trades: UUIDs on linear, decimal numbers on spot."""
        if listing.market == SPOT:
            return str(number)
        x = self._hash(listing.symbol, what)
        return f"{x[:8]}-{x[8:12]}-5{x[13:16]}-b{x[17:20]}-{x[20:]}"

    # ---- REST ----

    def http(
        self, method: str, target: str, headers: dict[str, str], body: bytes, now_ns: int
    ) -> tuple[int, bytes]:
        """Public market endpoints. Business errors come with status 200."""
        self._now_ns = now_ns
        url = urlsplit(target)
        query = {name: x[0] for name, x in parse_qs(url.query).items()}
        answer = {
            rules.TIME_PATH: self._get_time,
            rules.INSTRUMENTS_PATH: self._get_instruments,
            rules.BOOK_PATH: self._get_book,
        }.get(url.path)
        if answer is None or method != "GET":
            return 404, b'{"error":"not found"}'
        code, text, result = 0, "OK", {}
        try:
            result = answer(query, now_ns)
        except _Refusal as refusal:
            code, text = refusal.code, refusal.text
        envelope = {"retCode": code, "retMsg": text, "result": result, "retExtInfo": {}, "time": now_ns // MS}
        return 200, orjson.dumps(envelope)

    def _get_time(self, query: dict, now_ns: int) -> dict:
        return {"timeSecond": str(now_ns // rules.SECOND), "timeNano": str(now_ns)}

    def _get_instruments(self, query: dict, now_ns: int) -> dict:
        category, limit = query.get("category"), _number(query.get("limit", 500))
        if category not in ("spot", "linear", "inverse", "option"):
            raise _Refusal(10001, "Illegal category")
        if not 1 <= limit <= 1000:
            raise _Refusal(10001, "params error: limit invalid")
        rows = [x for x in self.listings.values() if rules.CATEGORY[x.market] == category]
        if "symbol" in query:
            rows = [x for x in rows if x.symbol == query["symbol"]]
        if category != "linear":
            return {"category": category, "list": [_spot_row(x) for x in rows]}
        start = max(_number(query.get("cursor", "").removeprefix("first=")), 0)
        end = start + limit
        cursor = f"first%3D{end}" if end < len(rows) else ""
        page = [_linear_row(x) for x in rows[start:end]]
        return {"category": category, "list": page, "nextPageCursor": cursor}

    def _get_book(self, query: dict, now_ns: int) -> dict:
        listing = self._listing(query)
        limit = _number(query.get("limit", 1 if listing.market == SPOT else 25))
        if not 1 <= limit <= 1000:
            raise _Refusal(10001, "params error: limit invalid")
        self.settle(listing, now_ns)
        book = self._book(listing, 1000, now_ns)
        message = self._book_message(book, "snapshot", book.sides, now_ns)
        data = message["data"]
        sides = {side: data[side][:limit] for side in "ba"}
        ids = {"ts": message["ts"], "u": data["u"], "seq": data["seq"], "cts": message["cts"]}
        return {"s": listing.symbol, **sides, **ids}


def _args(message: dict) -> list[str]:
    args = message.get("args")
    return [x for x in args if isinstance(x, str)] if isinstance(args, list) else []


def _number(value: object) -> int:
    """A whole number in a request, as number or text; -1 where it is none."""
    return int(str(value)) if re.fullmatch(r"[0-9]{1,18}", str(value), re.ASCII) else -1


def _difference(old: dict[int, int], new: dict[int, int]) -> dict[int, int]:
    """What turns one window into the next: what entered or changed, and 0 for what left."""
    out = {price: 0 for price in old if price not in new}
    out.update((price, size) for price, size in new.items() if old.get(price) != size)
    return out


def _price(listing: Listing, ticks: int) -> str:
    """Spot strips zeros behind the point, linear keeps the scale of the tick's own text."""
    if listing.market == SPOT:
        return listing.price_grid.format(ticks)
    return _scaled(listing.price_grid.format(ticks), listing.tick)


def _size(listing: Listing, lots: int) -> str:
    if listing.market == SPOT or not lots:
        return listing.size_grid.format(lots)
    return _scaled(listing.size_grid.format(lots), listing.lot)


def _scaled(number: str, step: str) -> str:
    """A decimal with as many places as `step` is written with ("0.10": two)."""
    places = len(step.partition(".")[2])
    head, _, tail = number.partition(".")
    return f"{head}.{tail:0<{places}}" if places else number


def _plain(number: Decimal) -> str:
    """Without exponent and without zeros behind, at most 12 decimals."""
    text = f"{number:.12f}".rstrip("0").rstrip(".")
    return text or "0"


def _linear_row(listing: Listing) -> dict:
    return {
        "symbol": listing.symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": listing.base or listing.symbol.removesuffix(listing.quote),
        "quoteCoin": listing.quote,
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(listing.price_grid.decimals),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": listing.tick, "maxPrice": "1999999.80", "tickSize": listing.tick},
        "lotSizeFilter": {
            "maxOrderQty": "1000000",
            "minOrderQty": listing.lot,
            "qtyStep": listing.lot,
            "postOnlyMaxOrderQty": "1000000",
            "maxMktOrderQty": "200000",
            "minNotionalValue": listing.min_notional,
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": listing.quote,
        "copyTrading": "none",
        "isPreListing": False,
        "preListingInfo": None,
    }


def _spot_row(listing: Listing) -> dict:
    return {
        "symbol": listing.symbol,
        "baseCoin": listing.base or listing.symbol.removesuffix(listing.quote),
        "quoteCoin": listing.quote,
        "innovation": "0",
        "status": "Trading",
        "marginTrading": "utaOnly",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": listing.lot,
            "quotePrecision": "0.00000001",
            "minOrderQty": listing.lot,
            "maxOrderQty": "1000000",
            "minOrderAmt": listing.min_notional,
            "maxOrderAmt": "4000000",
            "maxLimitOrderQty": "1000000",
            "maxMarketOrderQty": "200000",
            "postOnlyMaxLimitOrderSize": "1000000",
        },
        "priceFilter": {"tickSize": listing.tick},
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
    }

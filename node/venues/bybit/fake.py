"""Bybit v5's side of the wire, without I/O: spot and linear perpetuals, WebSocket and REST.

This file is the connections: paths, heartbeat, login, subscriptions, order entry over the trade connection,
disconnect cancel-all. What is said on them is in the rooms below: streams, market, private, orders, desk,
exits, queries, account, rest. Source: bybit-exchange/docs `docs/v5/websocket/`, and captured frames for the
texts of refusals.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from node.venues.bybit import rules
from node.venues.bybit.fake_codes import Denial, number
from node.venues.bybit.fake_market import TIERS
from node.venues.bybit.fake_orders import Who
from node.venues.bybit.fake_private import settings, ticket
from node.venues.bybit.fake_rest import DENIED, RestDoor
from node.venues.bybit.rules import LINEAR, SPOT
from node.venues.fakes import (
    MS,
    SECOND,
    Account,
    Connection,
    FakeOrder,
    Fault,
    Faults,
    Key,
    Listing,
    RateLimited,
    Refused,
)

PRIVATE_TOPICS = ("order", "execution", "execution.fast", "position", "wallet", "greeks")
DCP_TOPICS = {
    "dcp.future": ("DERIVATIVES", LINEAR),
    "dcp.spot": ("SPOT", SPOT),
    "dcp.option": ("OPTIONS", -1),
}
STATUS_PATH = "/v5/public/misc/status"
TRADE_SESSIONS = 50  # of one account at a time; the venue does not publish its number
CONNECTION_WINDOW_NS = 300 * SECOND
REQUESTS_KEPT = 100_000  # ids of a connection that must not come again
OPS = ("create", "amend", "cancel")
ENTRY = {"create": "place", "amend": "amend", "cancel": "cancel"}
# as the venue lists them, where a listing does not say otherwise
PLAIN_BAND = ("5", "0.2")
GENERAL_LEVERAGE = 20
LINEAR_TERMS = {"taker_fee": "0.0005", "max_leverage": 125, "max_orders": 200}


class BybitFake(RestDoor):
    """Bybit with the given listings (markets BYBIT_SPOT and BYBIT_LINEAR).

    `credentials` (key -> secret): further keys of the first account, and from then on the venue is strict:
    nothing private is said to who is not logged in. None: who does not log in is the first account; a login
    that is tried is checked in any case, as REST is. `ack_first`: a reply comes before the private stream
    says anything of the order; False turns this round, as the venue does at times. `limit_orders`: rates are
    enforced; None = for requests with a key.
    """

    def __init__(
        self,
        listings: list[Listing],
        seed: int = 1,
        accounts: Iterable[Account] | None = None,
        faults: Faults | None = None,
        *,
        credentials: dict[str, str] | None = None,
        ack_first: bool = True,
        limit_orders: bool | None = None,
    ):
        for listing in listings:
            _dress(listing)
        self._credentials = credentials or {}
        super().__init__(listings, seed, accounts=accounts, faults=faults)
        self.strict = credentials is not None
        self.ack_first, self.limit_orders = ack_first, limit_orders
        self._restarting_ns = 0

    def add_account(self, account: Account) -> Account:
        if account.default_leverage == GENERAL_LEVERAGE:
            account.default_leverage = 10
        if not self.accounts:
            account.keys = [*account.keys, *(Key(x, secret) for x, secret in self._credentials.items())]
        return super().add_account(account)

    # ---- connections ----

    def on_open(self, connection: Connection, now_ns: int) -> None:
        url = urlsplit(connection.path)
        kinds = {path: ("public", market) for market, path in rules.PUBLIC_PATH.items()}
        kinds |= {f"/v5/public/{x}": ("public", -1) for x in ("inverse", "option", "spread")}
        kinds |= {
            rules.PRIVATE_PATH: ("private", -1),
            rules.TRADE_PATH: ("trade", -1),
            STATUS_PATH: ("status", -1),
        }
        if url.path not in kinds:
            raise Refused(404, f"no such path: {url.path}")
        self._count_connection(connection, now_ns)
        kind, market = kinds[url.path]
        life = parse_qs(url.query).get("max_active_time", ["10m"])[0]
        match = re.fullmatch(r"([0-9]{1,3})([sm])", life, re.ASCII)
        seconds = int(match[1]) * (60 if match[2] == "m" else 1) if match else 600
        connection.notes = {
            "kind": kind,
            "market": market,
            "id": f"{self._hash('connection', connection.number)[:20]}-{connection.number:x}",
            "idle_ns": min(max(seconds, 30), 600) * SECOND,
            "alive_ns": now_ns,
            "requests": {},
        }

    def _count_connection(self, connection: Connection, now_ns: int) -> None:
        if self.limit_orders is False:
            return
        limiter = self.limiter("connections", rules.CONNECTIONS_PER_5_MIN, CONNECTION_WINDOW_NS, rolling=True)
        try:
            limiter.charge(connection.ip, 1, now_ns)
        except RateLimited:
            raise Refused(403, "access too frequent") from None

    def close(self, connection: Connection) -> None:
        super().close(connection)
        for topic in DCP_TOPICS:
            if topic in connection.topics:
                self._begin_dcp(connection, topic)

    def tick(self, now_ns: int) -> None:
        """Time passes: push what is due. Call it every 10 ms or so."""
        self._now_ns = now_ns
        super().tick(now_ns)
        if self._stop_orders:
            self.follow_trailing(now_ns)
        if self._wallet_due:
            self.flush_wallets(now_ns)
        self._publish_due(now_ns)
        for connection in list(self.connections.values()):
            if now_ns - connection.notes["alive_ns"] >= connection.notes["idle_ns"]:
                self.hang_up(connection, 1000, "idle")

    def receive(self, connection: Connection, text: str, now_ns: int) -> None:
        self._now_ns = self.now_ns = max(self.now_ns, now_ns)
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
            code, why = self._log_in(connection, message.get("args"), now_ns)
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

    def _answer(self, connection: Connection, message: dict, ok: bool, text: str, op: str) -> None:
        """A reply of a public or private connection: each kind has its own shape."""
        name, conn_id = message.get("req_id"), connection.notes["id"]
        if connection.notes["kind"] == "private":
            reply = {"success": ok, "ret_msg": text, "op": op, "conn_id": conn_id}
            if name is not None:
                reply["req_id"] = name
        else:
            is_spot = connection.notes["market"] == SPOT
            reply = {"success": ok, "ret_msg": text or (op if is_spot else ""), "conn_id": conn_id}
            if name is not None or not is_spot:
                reply["req_id"] = name or ""
            reply["op"] = op
        self._say(connection, reply)

    def _pong(self, connection: Connection, message: dict, now_ns: int) -> None:
        kind, now_ms = connection.notes["kind"], str(now_ns // MS)
        conn_id = connection.notes["id"]
        if kind in ("public", "status"):
            self._answer(connection, message, True, "pong", "ping")
        elif kind == "private":
            reply = {"req_id": message["req_id"]} if "req_id" in message else {}
            self._say(connection, reply | {"op": "pong", "args": [now_ms], "conn_id": conn_id})
        else:
            reply = {"reqId": message["reqId"]} if "reqId" in message else {}
            reply |= {"retCode": 0, "retMsg": "OK", "op": "pong", "data": [now_ms], "connId": conn_id}
            self._say(connection, reply)

    # ---- login ----

    def _log_in(self, connection: Connection, args: object, now_ns: int) -> tuple[int, str]:
        """Check a login and remember whose it is."""
        if not isinstance(args, list) or len(args) != 3 or number(args[1]) < 0:
            return 10001, "Params Error"
        api_key, expires, signature = str(args[0]), str(args[1]), str(args[2])
        found = self.key(api_key)
        if found is None:
            return 10003, "API key is invalid."
        account, key = found
        if number(expires) <= now_ns // MS:
            return 10004, "Request expired"
        text = f"GET/realtime{expires}".encode()
        right = hmac.new(key.secret.encode(), text, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(right.encode(), signature.encode()):
            return 10004, "error sign!"
        is_trade = connection.notes["kind"] == "trade"
        if why := self.why_not(key, now_ns, "trade" if is_trade else "read", connection.ip):
            denial = Denial(DENIED.get(why, 10003))
            return denial.code, denial.text
        if is_trade and self._sessions(account) >= TRADE_SESSIONS:
            return 10003, "Too many sessions under the same UID"
        connection.logged_in, connection.account = True, account
        connection.notes["key"] = key
        connection.notes.pop("expired", None)
        return 0, ""

    def _sessions(self, account: Account) -> int:
        return sum(
            1
            for c in self.connections.values()
            if c.account is account and c.notes["kind"] == "trade" and c.logged_in
        )

    def account_for(self, connection: Connection) -> Account | None:
        return None if connection.notes.get("expired") else super().account_for(connection)

    def on_session_fault(self, kind: str, connections: list[Connection], fault: Fault, now_ns: int) -> None:
        for connection in connections:
            name = connection.notes["kind"]
            if kind == "expire" and name in ("private", "trade"):
                connection.logged_in, connection.account = False, None
                connection.notes["expired"] = True
            elif kind == "revoke" and name in ("private", "trade") and connection.logged_in:
                if fault.get("key") in (None, connection.notes["key"].api_key):
                    self.hang_up(connection, 1008, "api key is invalid")
            elif kind == "shutdown_notice" and name == "trade":
                late_ns = now_ns + fault.ns("", 10 * SECOND)
                self._restarting_ns = late_ns
                self.at(late_ns, partial(self._end_session, connection))
        if kind == "shutdown_notice":
            self._push_status("scheduled", now_ns, now_ns + fault.ns("", 10 * SECOND))

    def _end_session(self, connection: Connection, now_ns: int) -> None:
        self.hang_up(connection, 1001, "service restart")

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
        self._first_data(connection, topics, now_ns)

    def _refuse_topics(self, connection: Connection, topics: list[str]) -> str:
        kind, market = connection.notes["kind"], connection.notes["market"]
        if any(self.sub_fault(connection, x) == "fail" for x in topics):
            return f"error:handler not found,topic:{topics[0]}"
        if kind == "private":
            return self._refuse_private(connection, topics)
        if kind == "status":
            bad = [x for x in topics if x != "system.status"]
            return f"error:handler not found,topic:{bad[0]}" if bad else ""
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
        if self.account_for(connection) is None:
            return "Request not authorized"
        forms = set()
        for topic in topics:
            plain = (
                topic.removesuffix(".linear")
                .removesuffix(".spot")
                .removesuffix(".inverse")
                .removesuffix(".option")
            )
            if plain not in PRIVATE_TOPICS and topic not in DCP_TOPICS:
                return f"error:handler not found,topic:{topic}"
            if topic in connection.topics:
                return f"error:already subscribed,topic:{topic}"
            if plain in ("order", "execution", "position"):
                forms.add(plain == topic)
        return "error:all-in-one and categorised topics in one request" if len(forms) == 2 else ""

    # ---- disconnect cancel all ----

    def _begin_dcp(self, connection: Connection, topic: str) -> None:
        """The last private connection with the topic is gone: its window runs."""
        account, (product, market) = self.account_for(connection), DCP_TOPICS[topic]
        window = settings(account).dcp.get(product) if account is not None else None
        if account is None or window is None or self._watchers(account, topic):
            return
        owner = account

        def fire(now_ns: int) -> None:
            if not self._watchers(owner, topic):
                self.cancel_all(owner, market, now_ns, reason="countdown")

        self.at(self.now_ns + window * SECOND, fire)

    def _watchers(self, account: Account, topic: str) -> list[Connection]:
        return [c for c in self.subscribers(topic) if self.account_for(c) is account]

    # ---- system status ----

    def on_maintenance(self, begins: bool, now_ns: int) -> None:
        self._push_status("ongoing" if begins else "completed", now_ns, now_ns)

    def _push_status(self, state: str, begin_ns: int, end_ns: int) -> None:
        row: dict[str, Any] = {
            "id": self._uuid("status", begin_ns),
            "title": "system maintenance",
            "state": state,
        }
        row |= {
            "begin": str(begin_ns // MS),
            "end": str(end_ns // MS),
            "href": "",
            "serviceTypes": [2, 3, 4, 5],
        }
        row |= {"product": [1, 2], "uidSuffix": [], "maintainType": 1, "env": 1}
        for connection in self.subscribers("system.status"):
            self._say(connection, {"topic": "system.status", "ts": self.now_ns // MS, "data": [row]})

    # ---- order entry ----

    def _on_trade(self, connection: Connection, message: dict, now_ns: int) -> None:
        if message.get("op") == "auth":
            code, why = (
                self._log_in(connection, message.get("args"), now_ns)
                if not connection.logged_in
                else (20001, "")
            )
            reply = {"reqId": message["reqId"]} if "reqId" in message else {}
            text = "OK" if code == 0 else why or "Repeat auth"
            reply |= {"retCode": code, "retMsg": text, "op": "auth", "connId": connection.notes["id"]}
            self._say(connection, reply)
            return
        try:
            op, is_batch = self._check_op(message)
            who = self._check_session(connection, message, now_ns)
            wish = self._check_envelope(connection, message, now_ns)
            (self._trade_batch if is_batch else self._trade_one)(connection, message, who, op, wish, now_ns)
        except Denial as denial:
            self.counts["rejects"] += 1
            text = self._trade_reply(
                connection, message, denial.code, denial.text, {}, {}, denial.headers, now_ns
            )
            self.reply(connection, text, ENTRY.get(str(message.get("op")).partition(".")[2], "place"))

    @staticmethod
    def _check_op(message: dict) -> tuple[str, bool]:
        name = message.get("op")
        op = name.removeprefix("order.").removesuffix("-batch") if isinstance(name, str) else ""
        if op not in OPS or name not in (f"order.{op}", f"order.{op}-batch"):
            raise Denial(10404, "op type is not found")
        return op, name.endswith("-batch")

    def _check_session(self, connection: Connection, message: dict, now_ns: int) -> Who:
        account = self.account_for(connection)
        if account is None:
            raise Denial(10005, "Permission denied, please log in")
        if now_ns < self._restarting_ns:
            raise Denial(10019)
        key = connection.notes.get("key")
        if key is not None and (why := self.why_not(key, now_ns, "trade", connection.ip)):
            raise Denial(DENIED.get(why, 10003))
        limiter = self.limiter("trade requests", rules.TRADE_REQUESTS_PER_SECOND_PER_IP, SECOND, rolling=True)
        try:
            limiter.charge(connection.ip, 1, now_ns)
        except RateLimited:
            raise Denial(10403) from None
        return Who(account, key)

    def _check_envelope(self, connection: Connection, message: dict, now_ns: int) -> dict:
        """Everything around the order; returns the order's own object."""
        name, known = message.get("reqId"), connection.notes["requests"]
        if name is not None and (not isinstance(name, str) or len(name) > rules.REQUEST_ID_MAX):
            raise Denial(10001, "params error: reqId invalid")
        if name and name in known:
            raise Denial(20006)
        if name:
            known[name] = True
            if len(known) > REQUESTS_KEPT:
                del known[next(iter(known))]
        header, args = message.get("header"), message.get("args")
        header = header if isinstance(header, dict) else {}
        stamp = str(header.get("X-BAPI-TIMESTAMP", ""))
        if number(stamp) < 0:
            raise Denial(10001, "params error: X-BAPI-TIMESTAMP is missing or invalid")
        self._check_time(stamp, str(header.get("X-BAPI-RECV-WINDOW", 5000)), now_ns)
        if not isinstance(args, list) or len(args) != 1 or not isinstance(args[0], dict):
            raise Denial(10001, "params error: args must be one object")
        if args[0].get("category") not in rules.CATEGORY.values():
            raise Denial(10404, "category is not correct/supported")
        return args[0]

    def _trade_one(
        self, connection: Connection, message: dict, who: Who, op: str, wish: dict, now_ns: int
    ) -> None:
        market = SPOT if wish["category"] == "spot" else LINEAR
        headers = self.spend(who, f"order.{op}", market, self.order_limit(op, market), 1, now_ns)
        try:
            order, act = self.prepare(who, op, wish, connection, now_ns)
        except Denial as denial:
            denial.headers = headers | denial.headers
            raise
        data = {"orderId": ticket(order).id, "orderLinkId": order.client_id}
        text = self._trade_reply(connection, message, 0, "OK", data, {}, headers, now_ns)
        if self._fails(connection, text, ENTRY[op], [order]):
            return
        if self.ack_first:
            self.reply(connection, text, ENTRY[op], order)
        act(now_ns)
        if not self.ack_first:
            self.reply(connection, text, ENTRY[op], order)

    def _trade_batch(
        self, connection: Connection, message: dict, who: Who, op: str, wish: dict, now_ns: int
    ) -> None:
        data, ext, acts, headers = self.prepare_batch(who, op, wish, connection, now_ns)
        text = self._trade_reply(connection, message, 0, "OK", data, ext, headers, now_ns)
        if self._fails(connection, text, "batch", [order for order, _ in acts]):
            return
        if self.ack_first:
            self.reply(connection, text, "batch")
        for _, act in acts:
            act(now_ns)
        if not self.ack_first:
            self.reply(connection, text, "batch")

    def _fails(self, connection: Connection, text: str, kind: str, orders: list[FakeOrder]) -> bool:
        """A fault: the request is answered with an error, and really not carried out."""
        about = (self._about(orders[0]) if orders else {}) | {"op": kind, "connection": connection.number}
        fault = self.faults.hit("ack.error", self.now_ns, live=False, **about)
        if fault is None:
            return False
        for order in orders:
            if kind in ("place", "batch") and not order.number:
                self._client_ids.discard((order.owner, order.listing.market, order.client_id))
        self.send(connection, self.error_text(str(fault.get("code", "10016")), text, kind))
        return True

    def _trade_reply(
        self,
        connection: Connection,
        message: dict,
        code: int,
        text: str,
        data: dict,
        ext: dict,
        headers: dict[str, str],
        now_ns: int,
    ) -> str:
        reply: dict[str, Any] = {"reqId": message["reqId"]} if message.get("reqId") is not None else {}
        reply |= {
            "retCode": code,
            "retMsg": text,
            "op": str(message.get("op")),
            "data": data,
            "retExtInfo": ext,
        }
        if not headers:  # refused before it was counted
            headers = {"X-Bapi-Limit": "10", "X-Bapi-Limit-Status": "10"}
            headers["X-Bapi-Limit-Reset-Timestamp"] = str(now_ns // MS)
        reply["header"] = headers | self._trace(now_ns)
        return self._text(reply | {"connId": connection.notes["id"]})


def _dress(listing: Listing) -> None:
    """Bybit's own terms, where a listing has only the general ones."""
    if (listing.price_up, listing.price_down) == PLAIN_BAND:  # the venue has a band of its own kind
        listing.price_up = listing.price_down = ""
    if listing.max_orders == LINEAR_TERMS["max_orders"]:
        listing.max_orders = rules.OPEN_ORDERS.get(listing.market, 500)
    if listing.market == SPOT:
        listing.max_stop_orders = max(listing.max_stop_orders, 30)
        return
    if str(listing.taker_fee) == LINEAR_TERMS["taker_fee"]:
        listing.taker_fee = type(listing.taker_fee)("0.00055")
    if listing.max_leverage == LINEAR_TERMS["max_leverage"]:
        listing.max_leverage, listing.brackets = 100, TIERS


def _args(message: dict) -> list[str]:
    args = message.get("args")
    return [x for x in args if isinstance(x, str)] if isinstance(args, list) else []

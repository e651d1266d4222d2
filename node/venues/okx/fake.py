"""The OKX side of the wire: public, private and business endpoints, and the REST calls.

It speaks what docs-v5 prescribes: text ping, one acknowledgement per argument, `seqId` chains that jump,
depth windows of 400 and 50 levels whose edge moves, trades aggregated per taker order and price, orders by
`instIdCode`, results that come by push. This file is the WebSocket door; the rooms below it, from the bottom
up: `fake_depth`, `fake_market` (public), `fake_account`, `fake_reading`, `fake_orders`, `fake_queries`,
`fake_algos`, `fake_rest` (private).

Switches of the constructor are the points that the documentation leaves open or that changed in 2026.
"""

import hmac
import re
from base64 import b64encode
from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import orjson

from node.venues.fakes import Connection, Fault, Faults, Limiter, Listing, Refused
from node.venues.ledger import Account, Key, make_account
from node.venues.okx.fake_candles import BARS
from node.venues.okx.fake_depth import BEST_CHANNELS, SNAPSHOTS, WINDOWS
from node.venues.okx.fake_errors import TEXTS, Problem
from node.venues.okx.fake_market import CANDLES
from node.venues.okx.fake_queries import expired
from node.venues.okx.fake_rest import RestSide
from node.venues.okx.fake_rows import ID, KINDS, SECOND, dumps, instrument_row, ms, objects, order_number

IDLE_NS = 30 * SECOND
NOTICE_NS = 60 * SECOND
LOGIN_NS = 30 * SECOND
UID = "44705892343619584"
REQUESTS_PER_HOUR = 480  # subscribe, unsubscribe and login of one connection
ARGS_BYTES_MAX = 65_536
CONNECTIONS_PER_CHANNEL = 30
TRADED = (*WINDOWS, *SNAPSHOTS, "trades", "tickers", "mark-price", "price-limit")
SWAPS_ONLY = ("funding-rate", "open-interest")
BY_TYPE = ("instruments", "liquidation-orders", "adl-warning", "estimated-price")
# channels with a connection limit
COUNTED = ("orders", "account", "positions", "balance_and_position", "liquidation-warning", "account-greeks")
PRIVATE = (*COUNTED, "fills")
BUSINESS_PRIVATE = ("orders-algo", "algo-advance", "deposit-info", "withdrawal-info")
WITH_TYPE = ("orders", "positions", "liquidation-warning", "orders-algo", "algo-advance")
PUBLIC_PATH, PRIVATE_PATH, BUSINESS_PATH = "/ws/v5/public", "/ws/v5/private", "/ws/v5/business"
PATHS = (PUBLIC_PATH, PRIVATE_PATH, BUSINESS_PATH)
ORDER_OPS = {
    "order": ("order", 1),
    "batch-orders": ("order", 20),
    "cancel-order": ("cancel", 1),
    "batch-cancel-orders": ("cancel", 20),
    "amend-order": ("amend", 1),
    "batch-amend-orders": ("amend", 20),
    "mass-cancel": ("mass", 1),
}
REPLIES = {"order": "place", "cancel": "cancel", "amend": "amend", "mass": "cancel_all"}
REQUEST_ID = re.compile(r"[A-Za-z0-9]{0,32}")


class OkxFake(RestSide):
    """The venue. `credentials` maps API keys to (secret, passphrase): they are keys of the first account.

    `login_required`: refuse orders and private channels before a login (default: where there are
    credentials or accounts); without it a client that does not log in is the first account. A login is
    always checked. `tbt`: the account's fee tier has the tick-by-tick books and the `fills` channel.
    `push_first`: the `orders` push overtakes the answer. `post_only_live_first`: a crossing post-only
    order is first pushed as live (before August 2026). `band_percent`: price limits around the middle
    instead of the listings' own. `connects_per_second`: more connections of one address are refused
    (documented: 3; 0 = none is). `orders_by_name`: orders by WebSocket may name `instId` instead of
    `instIdCode` (before March 2026). `rate_limits`: default as `login_required`. `environment`: "demo"
    wants the header `x-simulated-trading: 1`, "production" its absence, "" either. `notice_ns`: from
    notice 64008 to the cut. `refusals` are (sCode, sMsg) for the next orders, before any check.
    """

    def __init__(
        self,
        listings: list[Listing],
        seed: int = 1,
        accounts: Iterable[Account] | None = None,
        faults: Faults | None = None,
        *,
        credentials: dict[str, tuple[str, str]] | None = None,
        login_required: bool | None = None,
        tbt: bool = False,
        push_first: bool = False,
        post_only_live_first: bool = False,
        band_percent: int = 0,
        connects_per_second: int = 0,
        orders_by_name: bool = False,
        rate_limits: bool | None = None,
        environment: str = "",
        notice_ns: int = NOTICE_NS,
    ):
        if accounts is None:
            accounts = [_first_account(listings, credentials or {})]
            strict = bool(credentials)
        else:
            strict = True
        self.bands = {x.symbol: (x.price_down, x.price_up) for x in listings}
        for listing in listings:
            listing.price_down = listing.price_up = ""  # `band` knows which side they are for
            listing.min_notional = ""  # there is none here; the floor is the minimum size
            listing.fee_quantum = Decimal("1e-12")
            listing.max_orders, listing.max_stop_orders = max(listing.max_orders, 500), 500
        self.by_symbol = {x.symbol: x for x in listings}
        self.by_code = {x.inst_code: x for x in listings if x.inst_code >= 0}
        super().__init__(listings, seed, accounts, faults)
        self._asked = login_required, rate_limits
        self._be_strict(strict)
        self.tbt, self.push_first = tbt, push_first
        self.post_only_live_first, self.band_percent = post_only_live_first, band_percent
        self.environment, self.notice_ns = environment, notice_ns
        self.refusals: deque[tuple[str, str]] = deque()
        self._expires = ""
        self._limiters: dict[tuple[str, int, int], Limiter] = {}
        self._open_depth()
        self._open_market()
        self._spoken_ns: dict[int, int] = {}  # connection number -> when it was last told something
        self._closing_ns: dict[int, int] = {}  # connection number -> cut after a notice
        self.connects_per_second, self.orders_by_name = connects_per_second, orders_by_name
        self._opened_ns: dict[str, deque[int]] = {}  # address -> its latest connections

    def _be_strict(self, strict: bool) -> None:
        """Let nobody in without a key, unless the switches say otherwise."""
        login, limits = self._asked
        self.login_required = strict if login is None else login
        self.rate_limits = self.login_required if limits is None else limits

    def set_accounts(self, accounts: Iterable[Account]) -> None:
        super().set_accounts(accounts)
        self._be_strict(True)

    # ---- connections ----

    def on_open(self, connection: Connection, now_ns: int) -> None:
        path = urlsplit(connection.path).path
        if path not in PATHS:
            raise Refused(404, f"no such path: {path}")
        recent = self._opened_ns.setdefault(connection.ip, deque())
        while recent and recent[0] <= now_ns - SECOND:
            recent.popleft()
        if 0 < self.connects_per_second <= len(recent):
            raise Refused(429, "Too Many Requests")
        recent.append(now_ns)
        connection.path = path
        connection.notes["id"] = f"{(self.seed * 0x9E3779B1 + connection.number) & 0xFFFFFFFF:08x}"
        connection.notes["requests"] = deque()
        self._spoken_ns[connection.number] = now_ns

    def close(self, connection: Connection) -> None:
        super().close(connection)
        self._spoken_ns.pop(connection.number, None)
        self._closing_ns.pop(connection.number, None)

    def send(self, connection: Connection, text: str) -> None:
        self._spoken_ns[connection.number] = self.now_ns
        if self.faults.any_of("exec.dup") and '"channel":"orders"' in text:
            text = self._said_again(connection, text)
        super().send(connection, text)

    def _said_again(self, connection: Connection, text: str) -> str:
        """An order push that is repeated (`exec.dup`) comes with another `uTime`."""
        said = connection.notes.setdefault("said", deque(maxlen=256))
        if text in said:
            message = orjson.loads(text)
            for row in message["data"]:
                row["uTime"] = str(int(row["uTime"]) + 1)
            return dumps(message)
        said.append(text)
        return text

    def owner_of(self, connection: Connection) -> Account:
        return connection.account or next(iter(self.accounts.values()))

    def hears_private(self, connection: Connection) -> bool:
        return connection.logged_in or not self.login_required

    def tick(self, now_ns: int) -> None:
        self.now_ns = max(self.now_ns, now_ns)
        super().tick(now_ns)
        for listing in self.listings.values():
            self._push_heartbeats(listing, now_ns)
        self._push_prices(now_ns)
        self._push_accounts(now_ns)
        for connection in list(self.connections.values()):
            if now_ns - self._spoken_ns.get(connection.number, now_ns) >= IDLE_NS:
                self.hang_up(connection, 4004, "No data received in 30s.")
            if now_ns >= self._closing_ns.get(connection.number, now_ns + 1):
                self.hang_up(connection, 4006, "service upgrade")

    def announce_upgrade(self, now_ns: int, connections: Iterable[Connection] | None = None) -> None:
        """Notice 64008; the connections (all, where not given) are cut a minute later."""
        self.now_ns = max(self.now_ns, now_ns)
        text = "The connection will soon be closed for a service upgrade. Please reconnect."
        for connection in self.connections.values() if connections is None else connections:
            self._event(connection, {"event": "notice", "code": "64008", "msg": text})
            self._closing_ns[connection.number] = now_ns + self.notice_ns

    def _event(self, connection: Connection, event: dict, request_id: str = "") -> None:
        head = {"id": request_id} if request_id else {}
        self.send(connection, dumps({**head, **event, "connId": connection.notes["id"]}))

    def _error(self, connection: Connection, problem: Problem, request_id: str = "") -> None:
        self._event(connection, {"event": "error", "code": problem.code, "msg": problem.text}, request_id)

    def receive(self, connection: Connection, text: str, now_ns: int) -> None:
        self.now_ns = max(self.now_ns, now_ns)
        if text == "ping":
            self.send(connection, "pong")
            return
        if len(text) > ARGS_BYTES_MAX:
            self.hang_up(connection, 1009, "Request message exceeds the maximum frame length")
            return
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            message = None
        request_id = message.get("id", "") if isinstance(message, dict) else ""
        try:
            if not isinstance(message, dict) or not isinstance(message.get("op"), str):
                request_id = request_id if isinstance(request_id, str) and ID.fullmatch(request_id) else ""
                raise Problem("60012", text[:200])
            if not isinstance(request_id, str) or not REQUEST_ID.fullmatch(request_id):
                request_id = ""
                raise Problem("60012", text[:200])
            self._on_request(connection, message, text, request_id, now_ns)
        except Problem as problem:
            self._error(connection, problem, request_id)

    def _on_request(self, connection, message: dict, text: str, request_id: str, now_ns: int) -> None:
        op, args = message["op"], objects(message.get("args"))
        if op in ORDER_OPS:
            self._on_order_op(connection, op, request_id, message, now_ns)
        elif not args or op not in ("login", "subscribe", "unsubscribe"):
            raise Problem("60012", text[:200])
        else:
            self._count_request(connection, op, now_ns)
            if op == "login":
                self._on_login(connection, args[0], now_ns)
            elif op == "subscribe":
                for arg in args:
                    self._on_subscribe(connection, arg, request_id, now_ns)
            else:
                for arg in args:
                    connection.topics.pop(_topic(arg), None)
                    self._event(connection, {"event": "unsubscribe", "arg": arg}, request_id)

    def _count_request(self, connection: Connection, op: str, now_ns: int) -> None:
        recent = connection.notes["requests"]
        while recent and recent[0] <= now_ns - 3600 * SECOND:
            recent.popleft()
        if len(recent) >= REQUESTS_PER_HOUR:
            raise Problem("60023" if op == "login" else "60014")
        recent.append(now_ns)

    # ---- login ----

    def _on_login(self, connection: Connection, arg: dict, now_ns: int) -> None:
        account = self._check_login(connection, arg, now_ns)
        connection.logged_in, connection.account = True, account
        connection.notes["key"] = arg.get("apiKey")
        self._event(connection, {"event": "login", "code": "0", "msg": ""})

    def _check_login(self, connection: Connection, arg: dict, now_ns: int) -> Account:
        if connection.logged_in:
            raise Problem("60031")
        timestamp = str(arg.get("timestamp"))  # clients send text or a number
        if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", timestamp):
            raise Problem("60004")
        found = self.key(str(arg.get("apiKey")))
        if abs(now_ns // SECOND - int(float(timestamp))) > LOGIN_NS // SECOND:
            raise Problem("60006")
        if found is None:
            raise Problem("60005")
        account, key = found
        why = self.why_not(key, now_ns, "read", connection.ip)
        if why:
            codes = {"environment": "60032", "expired": "60005", "ip": "60005"}
            raise Problem(codes.get(why, "60009"))
        if arg.get("passphrase") != key.passphrase:
            raise Problem("60024")
        want = b64encode(
            hmac.digest(key.secret.encode(), f"{timestamp}GET/users/self/verify".encode(), sha256)
        )
        if not hmac.compare_digest(str(arg.get("sign")).encode(), want):
            raise Problem("60007")
        return account

    # ---- subscriptions ----

    def _on_subscribe(self, connection: Connection, arg: dict, request_id: str, now_ns: int) -> None:
        try:
            self._check_subscription(connection, arg)
            fault = self.sub_fault(connection, _topic(arg))
            if fault == "fail":
                raise Problem("60012", dumps(arg)[:200])
        except Problem as problem:
            self._error(connection, problem, request_id)
            return
        channel, topic = arg["channel"], _topic(arg)
        listing = self.by_symbol.get(arg.get("instId", ""))
        if listing is not None and channel in WINDOWS:
            # who is subscribed already goes to the same id first
            self._refresh_view(listing, channel, now_ns)
        connection.topics[topic] = arg
        self._event(connection, {"event": "subscribe", "arg": arg}, request_id)
        if channel in COUNTED:
            self._count_channel(connection, channel, topic)
        if topic not in connection.topics:
            return
        if channel in PRIVATE or channel in BUSINESS_PRIVATE:
            self.push_first_private(connection, arg, now_ns)
        elif listing is not None and (channel in WINDOWS or channel in SNAPSHOTS):
            self._push_first_depth(connection, listing, channel, now_ns)
        elif channel == "status":
            for row in self.status_rows:
                self.send(connection, dumps({"arg": arg, "data": [row]}))
        elif channel not in BY_TYPE:
            self._push_first_price(connection, arg, now_ns)

    def _count_channel(self, connection: Connection, channel: str, topic: str) -> None:
        """How many connections of the account have this channel; one too many is told after its
        acknowledgement and loses it."""
        account = self.owner_of(connection)
        count = sum(
            any(t.split("|")[0] == channel for t in x.topics)
            for x in self.connections.values()
            if self.owner_of(x) is account
        )
        event = "channel-conn-count"
        if count > CONNECTIONS_PER_CHANNEL:
            del connection.topics[topic]
            event, count = f"{event}-error", CONNECTIONS_PER_CHANNEL
        self._event(connection, {"event": event, "channel": channel, "connCount": str(count)})

    def _check_subscription(self, connection: Connection, arg: dict) -> None:
        """Raises Problem with the code that the venue gives."""
        channel, symbol = arg.get("channel"), arg.get("instId")
        is_text = all(x is None or isinstance(x, str) for x in arg.values())
        private = connection.path == PRIVATE_PATH or channel in BUSINESS_PRIVATE
        if private and not self.hears_private(connection):
            raise Problem("60011")
        if not is_text or not channel or not self._exists(connection.path, channel, arg):
            name = "channel:" + ",".join(f"{k}:{v}" for k, v in arg.items()).removeprefix("channel:")
            raise Problem("60018", name[:200])
        if channel in BEST_CHANNELS:
            if not self.tbt:
                raise Problem("64003")
            if not self.hears_private(connection):
                raise Problem("60011")
        if channel == "fills" and not self.tbt:
            raise Problem("64003")
        self._check_conflict(connection, channel, str(symbol))

    def _exists(self, path: str, channel: str, arg: dict) -> bool:
        symbol = arg.get("instId")
        if path == PRIVATE_PATH:
            return channel in PRIVATE and (channel not in WITH_TYPE or _type_is_known(arg))
        if path == BUSINESS_PATH:
            if channel in BUSINESS_PRIVATE:
                return channel not in WITH_TYPE or _type_is_known(arg)
            match = CANDLES.fullmatch(channel)
            if match and match[1] == "index-candle":
                return match[2] in BARS and symbol in self._index_candles
            return (channel == "trades-all" or bool(match and match[2] in BARS)) and symbol in self.by_symbol
        if channel in BY_TYPE:
            return arg.get("instType") in KINDS
        if channel == "index-tickers":
            return symbol in self._index_candles
        if channel in SWAPS_ONLY:
            return symbol in self.by_symbol and self.by_symbol[symbol].is_perpetual
        return channel == "status" or (channel in TRADED and symbol in self.by_symbol)

    def _check_conflict(self, connection: Connection, channel: str, symbol: str) -> None:
        """books-l2-tbt excludes books and books50-l2-tbt of the same instrument on one connection."""
        others = {
            "books-l2-tbt": ("books", "books50-l2-tbt"),
            "books": ("books-l2-tbt",),
            "books50-l2-tbt": ("books-l2-tbt",),
        }
        for other in others.get(channel, ()):
            if f"{other}|{symbol}" in connection.topics:
                raise Problem("64004", channel, other)

    # ---- order operations ----

    def _on_order_op(self, connection, op: str, request_id: str, message: dict, now_ns: int) -> None:
        kind, most = ORDER_OPS[op]
        args = objects(message.get("args"))
        if connection.path != PRIVATE_PATH and not (kind == "mass" and connection.path == BUSINESS_PATH):
            raise Problem("60028")
        if not self.hears_private(connection):
            raise Problem("60011")
        if not request_id:
            raise Problem("60012", dumps(message)[:200])
        if not 1 <= len(args) <= most:
            self._answer_op(connection, request_id, op, [], Problem("60013"), now_ns)
        elif kind in ("order", "amend") and expired(message.get("expTime"), now_ns):
            self._answer_op(connection, request_id, op, [], Problem("50037"), now_ns)
        else:
            self._carry_out(connection, op, request_id, args, now_ns)

    def _carry_out(self, connection, op: str, request_id: str, args: list[dict], now_ns: int) -> None:
        """What is pushed meanwhile comes after the answer, unless `push_first`."""
        said, self.frames = self.frames, deque()
        problem, rows = None, []
        try:
            rows = self._do(connection, op, args, now_ns)
        except Problem as error:
            problem = error
        pushed, self.frames = self.frames, said
        if self.push_first:
            self.frames.extend(pushed)
        self._answer_op(connection, request_id, op, rows, problem, now_ns)
        if not self.push_first:
            self.frames.extend(pushed)

    def _do(self, connection: Connection, op: str, args: list[dict], now_ns: int) -> list[dict]:
        kind, batch = ORDER_OPS[op][0], op.startswith("batch")
        account = self.owner_of(connection)
        if connection.account is not None and not self._may_trade(connection):
            raise Problem("50120")
        if kind == "order":
            return self.place_each(account, connection, args, now_ns, batch, True)
        if kind == "amend":
            return self.amend_each(account, args, now_ns, batch, True)
        if kind == "mass":
            return self.rest_mass_cancel(account, args[0], now_ns)
        rows = self.cancel_each(account, args, now_ns, batch, True)
        return [{k: v for k, v in row.items() if k != "subCode"} for row in rows]

    def _may_trade(self, connection: Connection) -> bool:
        found = self.key(str(connection.notes.get("key")))
        return found is None or "trade" in found[1].rights

    def _answer_op(self, connection, request_id: str, op: str, rows: list, problem, now_ns: int) -> None:
        """`code` only sums up: 0 all done, 1 none, 2 some. Without rows it is the whole request's."""
        bad = sum(row.get("sCode", "0") != "0" for row in rows)
        code = problem.code if problem else "0" if not bad else "1" if bad == len(rows) else "2"
        us = now_ns // 1000
        body = {
            "id": request_id,
            "op": op,
            "data": rows,
            "code": code,
            "msg": problem.text if problem else "",
        }
        times = {"inTime": str(us), "outTime": str(us + 1239)}
        kind = ORDER_OPS[op][0]
        order = None
        if len(rows) == 1 and rows[0].get("ordId") and not bad:
            order = self.orders.get(order_number(rows[0]["ordId"]) or 0)
        self.reply(
            connection, dumps(body | times), "batch" if op.startswith("batch") else REPLIES[kind], order
        )

    def error_message(self, code: str) -> str:
        return TEXTS[code][1].format(*["-"] * 3) if code in TEXTS else f"error {code}"

    # ---- what happens by itself ----

    def on_session_fault(self, kind: str, connections: list[Connection], fault: Fault, now_ns: int) -> None:
        if kind == "shutdown_notice":
            self.notice_ns = fault.ns("", self.notice_ns)
            self.announce_upgrade(now_ns, connections)
            return
        for connection in connections:
            if connection.logged_in:
                self.hang_up(connection, 4007, "API key has been updated or deleted. Please reconnect.")

    def on_kicked(self, connection: Connection, topic: str, now_ns: int) -> None:
        """As the venue takes a subscription back: it names the channel after its acknowledgement."""
        if connection.topics.pop(topic, None) is not None:
            event = {"event": "channel-conn-count-error", "channel": topic.split("|")[0]}
            self._event(connection, event | {"connCount": str(CONNECTIONS_PER_CHANNEL)})

    def on_book_reset(self, listing: Listing, now_ns: int) -> None:
        self.reset_sequence(listing)

    def on_status(self, listing: Listing, now_ns: int) -> None:
        """`instruments` tells it."""
        self.by_code = {x.inst_code: x for x in self.by_symbol.values() if x.inst_code >= 0}
        row = instrument_row(listing)
        for connection in self.connections.values():
            arg = connection.topics.get(f"instruments|{row['instType']}")
            if arg is not None:
                self.send(connection, dumps({"arg": arg, "data": [row]}))

    def on_maintenance(self, begins: bool, now_ns: int) -> None:
        head = {"title": "Trading system upgrade", "state": "ongoing" if begins else "completed"}
        head |= {"begin": ms(now_ns), "end": ms(now_ns + 120 * SECOND), "preOpenBegin": ""}
        head |= {"serviceType": "5", "maintType": "1", "env": "1", "scheDesc": "", "href": ""}
        self.status_rows = [head | {"system": "unified", "ts": ms(now_ns)}]
        for connection in self.subscribers("status"):
            arg = connection.topics["status"]
            self.send(connection, dumps({"arg": arg, "data": self.status_rows}))

    def on_config(self, account: Account, what: str, listing: Listing | None, now_ns: int) -> None:
        if what == "leverage" and listing is not None:
            legs = [(listing.symbol, p.leg) for x, p in self.positions_of(account) if x is listing]
            self.note_change(account, (listing.settle_coin,), legs, "leverage", now_ns)


def _first_account(listings: list[Listing], credentials: dict[str, tuple[str, str]]) -> Account:
    """One account with plenty of everything, and the well-known key or the given ones."""
    coins = [(x.wallet, c) for x in listings for c in (*x.coins, x.settle_coin)]
    more: dict[str, Any] = {}
    if credentials:
        more["keys"] = [Key(key, secret, passphrase) for key, (secret, passphrase) in credentials.items()]
    account = make_account(1, coins, **more)
    account.uid = UID
    return account


def _type_is_known(arg: dict) -> bool:
    return arg.get("instType") in (*KINDS, "ANY")


def _topic(arg: dict) -> str:
    """What a subscription is kept under: the channel, then what it is about. Clients add members that mean
    nothing to a channel, and nulls."""
    channel = str(arg.get("channel"))
    if channel in PRIVATE or channel in BUSINESS_PRIVATE:
        names = [k for k in sorted(arg) if k not in ("channel", "extraParams") and arg[k] not in (None, "")]
    else:
        names = ["instType"] if channel in BY_TYPE else ["instId"] if channel != "status" else []
    return "|".join([channel, *(str(arg.get(k)) for k in names)])

"""How faults strike a simulated venue: what is said late, twice, wrongly or not at all, and what befalls
accounts, sessions and listings.

Everything that a venue says goes through one of three doors. `reply` is for answers to order entry (`ack.*`),
`report` for private pushes (`exec.*`), `request` for REST (`rest.*`); the rest is `send`. `hear` is the door
in: a stalled matching engine (`me_stall`) keeps order entry waiting there. Faults that happen by themselves
(`acct.*`, `status.*`, `session.*`, `market.*`, `dms.fire`) are carried out in `strike`.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any

import orjson

from node.venues.desk import Desk
from node.venues.faults import Fault, share_of
from node.venues.ledger import BUY, EXACT, SELL, Account, Position, change_position
from node.venues.parts import MS, SECOND, Answer, Connection, FakeOrder, Listing, RateLimited, Refused

STALL_POLL_NS = 10 * MS
REORDER_NS = 100 * MS  # a report is held back no longer, however few follow it
HOLD_NS = 5 * SECOND
PRICE_MAX = 2**48  # ticks that the matching engine takes
STATUS = re.compile(r'("(?:X|orderStatus|state|status)"\s*:\s*)"[^"]*"')
ENTRY = re.compile(r"order", re.IGNORECASE)
AUCTIONS = ("auction", "no_cancel")  # orders may cross, and are matched at its end
NO_ENTRY = ("order.status", "order.test", "openOrders.status", "allOrders", "orderList.status")


class Injectors(Desk):
    """The doors of a venue. A subclass may override `error_text`, `is_entry` and the `on_*` methods."""

    connections: dict[int, Connection]
    disturb: Callable[[Fault, list[Listing], int], None] | None = None  # carries out `market.*`
    network: Callable[[Fault, int], None] | None = None  # carries out `px.storm`
    entry_paths = ("order",)  # REST paths that contain one of these, and are not read by GET, are order entry

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.maintenance = False
        self.peer_ip = "127.0.0.1"  # of whoever is being answered
        self._stalled: deque[tuple[Connection, str]] = deque()
        self._acks_after_fill: dict[int, list[tuple[Connection, str]]] = {}
        self._swapped: dict[int, str] = {}  # connection number -> the answer that waits for the next
        self._shuffled: dict[int, list[str]] = {}  # connection number -> reports that are held back

    def send(self, connection: Connection, text: str) -> None:
        raise NotImplementedError

    def receive(self, connection: Connection, text: str, now_ns: int) -> None:
        raise NotImplementedError

    def http(self, method: str, target: str, headers: Any, body: bytes, now_ns: int) -> tuple:
        raise NotImplementedError

    # ---- in ----

    def hear(self, connection: Connection, text: str, now_ns: int) -> None:
        """A text frame from a client: to `receive`, or to wait while the matching engine stalls."""
        self.now_ns = max(self.now_ns, now_ns)
        self.faults.start(now_ns)
        if self.faults.any_of("me_stall") and self.is_entry(text) and self._is_stalled(now_ns):
            self._stalled.append((connection, text))
        else:
            self.receive(connection, text, now_ns)

    def is_entry(self, text: str) -> bool:
        """Is this frame order entry: does it go to the matching engine?"""
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            return False
        name = str(message.get("method") or message.get("op") or "") if isinstance(message, dict) else ""
        return ENTRY.search(name) is not None and not name.startswith(NO_ENTRY)

    def _is_stalled(self, now_ns: int) -> bool:
        return bool(self._stalled) or self.faults.standing("me_stall", now_ns) is not None

    def _unstall(self, now_ns: int) -> None:
        """Everything that waited arrives at once."""
        if not self._stalled or self.faults.standing("me_stall", now_ns):
            return
        waiting, self._stalled = self._stalled, deque()
        for connection, text in waiting:
            if connection.number in self.connections and not connection.closing:
                self.receive(connection, text, now_ns)

    # ---- answers to order entry ----

    def reply(
        self, connection: Connection | None, text: str, op: str, order: FakeOrder | None = None
    ) -> None:
        """An answer to an order-entry request. `op`: "place", "cancel", "amend", "cancel_all", "batch"."""
        if connection is None:
            return
        if not self.faults.rows:
            self.send(connection, text)
            return
        about = self._about(order) | {"op": op, "connection": connection.number}
        now_ns = self.now_ns
        if self.faults.hit("ack.drop", now_ns, **about):
            self.counts["lost_frames"] += 1
            return
        if fault := self.faults.hit("ack.error", now_ns, live=True, **about):
            text = self.error_text(str(fault.get("code", "")), text, op)
        if fault := self.faults.hit("ack.delay", now_ns, **about):
            late_ns = now_ns + fault.ns("delay", SECOND)
            self.at(late_ns, lambda _: self.send(connection, text))
        elif order is not None and (fault := self.faults.hit("ack.after_fill", now_ns, **about)):
            self._hold_for_fill(connection, text, order, fault)
        elif connection.number not in self._swapped and self.faults.hit("ack.swap", now_ns, **about):
            self._swapped[connection.number] = text
            self.at(now_ns + HOLD_NS, lambda _: self._release_swapped(connection))
        else:
            self.send(connection, text)
            self._release_swapped(connection)
            if self.faults.hit("ack.dup", now_ns, **about):
                self.send(connection, text)

    def _release_swapped(self, connection: Connection) -> None:
        text = self._swapped.pop(connection.number, None)
        if text is not None:
            self.send(connection, text)

    def _hold_for_fill(self, connection: Connection, text: str, order: FakeOrder, fault: Fault) -> None:
        """The answer waits until a fill of the order was reported, 5 s at most; where one was reported
        already, it comes right behind."""
        if order.filled_lots or order.done:
            self.at(self.now_ns, lambda _: self.send(connection, text))
            return
        self._acks_after_fill.setdefault(order.number, []).append((connection, text))
        late_ns = self.now_ns + fault.ns("delay", HOLD_NS)
        self.at(late_ns, lambda _: self._release_ack(order))

    def _release_ack(self, order: FakeOrder) -> None:
        for connection, text in self._acks_after_fill.pop(order.number, ()):
            self.send(connection, text)

    def item_fault(self, order: FakeOrder) -> Fault | None:
        """For one item of a batch: a fault whose `code` the item must fail with (`ack.batch`), or, where
        `missing` is true, the item must be left out of the answer."""
        return self._hit("ack.batch", order, self.now_ns)

    def error_text(self, code: str, text: str, op: str) -> str:
        """The answer frame `text` turned into an error with the venue's `code`, for the same request.
        The three envelopes are known here; a subclass knows the messages."""
        message = orjson.loads(text)
        number: Any = int(code) if re.fullmatch(r"-?[0-9]{1,9}", code) else code
        if ("status" in message and "result" in message) or "error" in message:  # Binance WebSocket API
            message.pop("result", None)
            status = 500 if number in (-1000, -1001, -1006, -1007) else 400
            message |= {"status": status, "error": {"code": number, "msg": self.error_message(code)}}
        elif "retCode" in message:
            message |= {"retCode": number, "retMsg": self.error_message(code), "data": {}}
        elif "data" in message and isinstance(message["data"], list):
            for row in message["data"]:
                row |= {"ordId": "", "sCode": code, "sMsg": self.error_message(code)}
            message["code"] = "1"
        return orjson.dumps(message).decode()

    def error_message(self, code: str) -> str:
        """The venue's text for a code."""
        return f"error {code}"

    def _about(self, order: FakeOrder | None) -> dict[str, Any]:
        if order is None:
            return {}
        about: dict[str, Any] = {"symbol": order.listing.symbol, "market": order.listing.market}
        return about | {
            "side": "sell" if order.side else "buy",
            "client_id": order.client_id,
            "account": order.owner,
        }

    # ---- private pushes ----

    def report(
        self, connection: Connection | None, text: str, kind: str, order: FakeOrder | None = None
    ) -> None:
        """A private push. `kind`: "order", "execution" (a fill, or an order push that carries one),
        "position", "balance", "account"."""
        if connection is None:
            return
        if order is not None and order.silent and kind in ("order", "execution"):
            self.counts["lost_frames"] += 1
            return
        if not self.faults.rows:
            self.send(connection, text)
            return
        about = self._about(order) | {"kind": kind, "connection": connection.number}
        now_ns = self.now_ns
        if self.faults.hit("exec.drop", now_ns, **about):
            self.counts["lost_frames"] += 1
            return
        if kind in ("order", "execution") and (
            fault := self.faults.hit("exec.unknown_status", now_ns, **about)
        ):
            text = self.unknown_status(text, str(fault.get("text", "MYSTERY")))
        if fault := self.faults.hit("exec.delay", now_ns, **about):
            self.at(now_ns + fault.ns("delay", SECOND), lambda _: self.send(connection, text))
        elif fault := self.faults.hit("exec.reorder", now_ns, **about):
            self._shuffle(connection, text, fault)
        else:
            self.send(connection, text)
        if fault := self.faults.hit("exec.dup", now_ns, **about):
            self.at(now_ns + fault.ns("delay"), lambda _: self.send(connection, text))
        if order is not None and kind == "execution" and order.number in self._acks_after_fill:
            self.at(now_ns, lambda _: self._release_ack(order))

    def _shuffle(self, connection: Connection, text: str, fault: Fault) -> None:
        """Hold reports back until there are `window`, then say them in another order."""
        held = self._shuffled.setdefault(connection.number, [])
        held.append(text)
        if len(held) >= int(fault.get("window", 4)):
            self._release_shuffled(connection, fault)
        elif len(held) == 1:
            self.at(self.now_ns + REORDER_NS, lambda _: self._release_shuffled(connection, fault))

    def _release_shuffled(self, connection: Connection, fault: Fault) -> None:
        held = self._shuffled.pop(connection.number, [])
        if len(held) > 1:
            first = held[0]
            while held[0] is first:
                fault.rng.shuffle(held)
        for text in held:
            self.send(connection, text)

    def unknown_status(self, text: str, word: str) -> str:
        """A private push whose order status is a word that no document has."""
        return STATUS.sub(lambda m: f'{m[1]}"{word}"', text)

    # ---- REST ----

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        now_ns: int,
        ip: str = "127.0.0.1",
    ) -> Answer:
        """A REST request: what `http` answers, and what faults make of it."""
        self.now_ns = max(self.now_ns, now_ns)
        self.faults.start(now_ns)
        path = target.partition("?")[0]
        about = {"method": method, "path": path}
        is_entry = method != "GET" and any(x in path.lower() for x in self.entry_paths)
        if is_entry and self.faults.any_of("me_stall") and self.faults.standing("me_stall", now_ns):
            return Answer(503, {}, b"", again_ns=STALL_POLL_NS)
        for name in ("rest.status", "rest.drop"):
            if fault := self.faults.hit(name, now_ns, live=False, **about):
                return self._spoil(Answer(200, {}, b"{}"), fault)
        answer = self._ask_http(method, target, headers, body, now_ns, ip, about)
        for name in ("rest.status", "rest.drop"):
            if fault := self.faults.hit(name, now_ns, live=True, **about):
                answer = self._spoil(answer, fault)
        if fault := self.faults.hit("rest.body", now_ns, **about):
            text = fault.get("body")
            answer.body = answer.body if text is None else str(text).encode()
            if (cut := fault.get("truncate")) is not None:
                answer.body = answer.body[: int(cut)]
        if fault := self.faults.hit("rest.delay", now_ns, **about):
            answer.delay_ns = fault.ns("delay", SECOND)
        return answer

    def _spoil(self, answer: Answer, fault: Fault) -> Answer:
        if fault.name == "rest.drop":
            answer.drop = True
            return answer
        body = str(fault.get("body", "")).encode()
        return Answer(int(fault.get("status", 503)), {"Content-Type": "text/html"}, body)

    def _ask_http(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        now_ns: int,
        ip: str,
        about: dict[str, str],
    ) -> Answer:
        self.peer_ip = ip
        if method == "GET":
            stale = self.faults.hit("rest.stale_by", now_ns, **about)
            hidden = self.faults.hit("rest.not_found_for", now_ns, **about)
            self.asks_stale_ns = stale.ns("", 2 * SECOND) if stale else 0
            self.asks_hidden_ns = hidden.ns("", 30 * SECOND) if hidden else 0
        try:
            status, text, *more = self.http(method, target, headers, body, now_ns)
            return Answer(status, dict(more[0]) if more else {}, text)
        except Refused as refused:
            return Answer(refused.status, {}, str(refused).encode())
        except RateLimited as limited:
            return self.rate_answer(limited)
        finally:
            self.asks_stale_ns = self.asks_hidden_ns = 0

    def rate_answer(self, limited: RateLimited) -> Answer:
        """The REST answer to too many requests; `Retry-After` is in seconds."""
        seconds = -(-limited.retry_after_ns // SECOND)
        return Answer(418 if limited.banned else 429, {"Retry-After": str(seconds)}, b"{}")

    # ---- sessions ----

    def sub_fault(self, connection: Connection, topic: str) -> str:
        """What befalls a subscription: "" nothing, "fail": it is refused, "kick": it is acknowledged, and
        taken back later by `on_kicked`."""
        about = {"topic": topic, "path": connection.path, "connection": connection.number}
        if self.faults.hit("session.sub_fail", self.now_ns, **about):
            return "fail"
        if fault := self.faults.hit("session.sub_ack_then_kick", self.now_ns, **about):
            late_ns = self.now_ns + fault.ns("delay", 50 * MS)
            self.at(late_ns, lambda now_ns: self.on_kicked(connection, topic, now_ns))
            return "kick"
        return ""

    def _end_old_sessions(self, now_ns: int) -> None:
        for connection in list(self.connections.values()):
            fault = self.faults.standing("session.max_age", now_ns, path=connection.path)
            if fault and now_ns - connection.opened_ns >= fault.ns("", 60 * SECOND):
                self.hang_up(connection, 1001, "max age")

    def hang_up(self, connection: Connection, code: int, reason: str) -> None:
        """The venue closes the connection, after the frames that are queued already."""
        if connection.closing is None:
            connection.closing = (code, reason)

    def _chosen(self, fault: Fault) -> list[Connection]:
        """The connections that a session fault means: all, or by path, account or number."""
        out = []
        for connection in self.connections.values():
            about: dict[str, Any] = {"path": connection.path, "connection": connection.number}
            if connection.account is not None:
                about["account"] = connection.account.owner
            if fault.fits(about):
                out.append(connection)
        return out

    # ---- what happens by itself ----

    def pass_time(self, now_ns: int) -> None:
        super().pass_time(now_ns)
        self._unstall(now_ns)
        if not self.faults.rows:
            return
        if self.faults.any_of("session.max_age"):
            self._end_old_sessions(now_ns)
        for fault in self.faults.due(now_ns):
            self.strike(fault, now_ns)

    def strike(self, fault: Fault, now_ns: int) -> None:
        """Carry out an active fault. Also for tests: `venue.strike(venue.faults.add(...), now_ns)`. Where
        there is nothing to be struck (no position to liquidate), it is not counted."""
        self.faults.struck(fault)
        if not self._strike(fault, now_ns):
            self.faults.missed(fault)

    def _strike(self, fault: Fault, now_ns: int) -> bool:
        """Carry it out; was there anything to be struck?"""
        group, _, name = fault.name.partition(".")
        listings = self._listings_of(fault)
        if group == "acct":
            return self._strike_account(name, fault, now_ns)
        if group == "session":
            return self._strike_session(name, fault, now_ns)
        if fault.name == "dms.fire":
            self.on_dms_fire(self._account_of(fault), now_ns)
        elif group == "px":
            if self.network is None:
                return False
            self.network(fault, now_ns)
        elif group == "market" and self.disturb is not None:
            self.disturb(fault, listings, now_ns)
        elif group == "market":
            self._move_mark(fault, now_ns)
            return bool(listings) and fault.name == "market.mark"
        elif group == "status":
            self._strike_status(name, fault, now_ns)
        else:
            for listing in listings:
                self.on_book_reset(listing, now_ns)
        return bool(listings)

    def _listings_of(self, fault: Fault) -> list[Listing]:
        return [x for x in self.listings.values() if fault.fits({"symbol": x.symbol, "market": x.market})]

    def _account_of(self, fault: Fault) -> Account:
        owner = int(fault.get("account", min(self.accounts)))
        return self.accounts.get(owner) or next(iter(self.accounts.values()))

    def _move_mark(self, fault: Fault, now_ns: int) -> None:
        """`market.mark`: the mark price is off the middle by some percent; needs no market."""
        for listing in self._listings_of(fault) if fault.name == "market.mark" else ():
            listing.mark_factor = 1 + Decimal(str(fault.get("percent", "5"))) / 100
            if fault.get("s"):
                self.at(now_ns + fault.ns(""), partial(_restore_mark, listing))

    def _strike_session(self, name: str, fault: Fault, now_ns: int) -> bool:
        connections = self._chosen(fault)
        if name == "kick":
            for connection in connections:
                self.hang_up(connection, int(fault.get("code", 1001)), str(fault.get("reason", "kicked")))
            return bool(connections)
        if name == "revoke" and fault.get("key"):
            for account in self.accounts.values():
                account.keys = [x for x in account.keys if x.api_key != fault.get("key")]
        self.on_session_fault(name, connections, fault, now_ns)
        return True

    # ---- accounts ----

    def _strike_account(self, name: str, fault: Fault, now_ns: int) -> bool:
        account = self._account_of(fault)
        if name in ("deposit", "withdraw"):
            return self._transfer(account, name, fault, now_ns)
        if name == "drift":
            return self._drift(account, fault, now_ns)
        if name == "funding":
            rate = Decimal(str(fault.get("rate", "0.0001")))
            perpetuals = [x for x in self._listings_of(fault) if x.is_perpetual]
            return sum(self.pay_funding(x, rate, now_ns) for x in perpetuals) > 0
        if name in ("liquidation", "adl"):
            return self._force_close(account, name, fault, now_ns)
        if name == "external_order":
            return self._external_order(account, fault, now_ns)
        if name == "leverage":
            return self._change_leverage(account, fault, now_ns)
        if name == "posmode":
            account.hedge = bool(fault.get("hedge", True))
        else:
            prices = account.notes.setdefault("collateral_prices", {})
            prices[str(fault.get("coin", "USDT"))] = str(fault.get("price", "1"))
        self.on_config(account, name, None, now_ns)
        return True

    def _transfer(self, account: Account, kind: str, fault: Fault, now_ns: int) -> bool:
        coin, amount = str(fault.get("coin", "USDT")), abs(Decimal(str(fault.get("amount", "100"))))
        wallet = str(fault.get("wallet", ""))
        if kind == "withdraw":
            amount = -max(Decimal(0), min(amount, account.balance(coin, wallet).free))
        if amount:
            account.credit(kind, coin, amount, now_ns, None, wallet)
            self.on_balance(account, coin, amount, kind, now_ns, None)
        return bool(amount)

    def _drift(self, account: Account, fault: Fault, now_ns: int) -> bool:
        """A balance or position changes and nobody says so: nothing is pushed."""
        if fault.get("lots") is None:
            amount = Decimal(str(fault.get("amount", "0.001")))
            coin, wallet = str(fault.get("coin", "USDT")), str(fault.get("wallet", ""))
            account.credit("drift", coin, amount, now_ns, None, wallet)
            return True
        perpetuals = [x for x in self._listings_of(fault) if x.is_perpetual]
        for listing in perpetuals:
            position = account.position(listing, str(fault.get("leg", "net")))
            lots = int(fault.get("lots")) * (-1 if str(fault.get("side")) == "sell" else 1)
            self.drift_position(account, listing, position, lots, now_ns)
        return bool(perpetuals)

    def drift_position(
        self, account: Account, listing: Listing, position: Position, lots: int, now_ns: int
    ) -> None:
        """A position changes at the mark price without a trade, the house being the other side."""
        realised = change_position(position, listing, lots, self.mark_ticks(listing) or 1, now_ns)
        self.house.lots[listing.key] = self.house.lots.get(listing.key, 0) - lots
        self._moved.add((account, listing.key, position.leg))
        self._tell_positions()
        if realised:
            account.credit("drift", listing.settle_coin, realised, now_ns, listing, listing.wallet)

    def _force_close(self, account: Account, nature: str, fault: Fault, now_ns: int) -> bool:
        """Liquidation cancels what is open and sells at market; ADL takes the position over at the mark."""
        share = share_of(fault.get("part", "full"))
        closed = False
        for listing in self._listings_of(fault):
            held = [p for key, p in account.positions.items() if key[:2] == listing.key and p.lots]
            if held and nature == "liquidation":
                for order in self.open_orders(account, None, listing):
                    self._take_away(order, "liquidation", now_ns)
            for position in held:
                lots = max(1, int(EXACT.multiply(Decimal(abs(position.lots)), share)))
                at_market = nature == "liquidation"
                self.close_position(account, listing, position, lots, nature, now_ns, at_market)
            closed = closed or bool(held)
        return closed

    def _external_order(self, account: Account, fault: Fault, now_ns: int) -> bool:
        """Somebody uses the account by hand: an order without our client id."""
        listing = next(iter(self._listings_of(fault)), None)
        if listing is None:
            return False
        side = SELL if str(fault.get("side")) == "sell" else BUY
        kind = str(fault.get("order_type", "limit"))
        mark = self.mark_ticks(listing) or 1
        far = max(1, mark * 9 // 10) if side == BUY else mark * 11 // 10
        price = int(fault.get("price_ticks", far))
        client_id = str(fault.get("client", self.venue_id("web", len(self.orders) + 1)))
        tif = "ioc" if kind == "market" else str(fault.get("tif", "gtc"))
        order = FakeOrder(
            listing, 0, client_id, side, price, max(1, int(fault.get("size_lots", 1))), tif, None,
            owner=account.owner, leg="net" if not account.hedge else ("short" if side else "long"),
        )  # fmt: skip
        order.notes["external"] = True
        order.order_type = kind
        if price > PRICE_MAX or self.check(order, now_ns) is not None:
            return False
        self.place(kind, order, now_ns)
        return True

    def _change_leverage(self, account: Account, fault: Fault, now_ns: int) -> bool:
        for listing in self._listings_of(fault):
            if listing.is_perpetual:
                times = int(fault.get("times", 1))
                leverage = int(fault.get("leverage", account.leverage_of(listing) * times))
                account.set_leverage(listing, max(1, min(leverage, listing.max_leverage)))
                if fault.get("mode"):
                    account.margin_modes[listing.key] = str(fault.get("mode"))
                    for key, position in account.positions.items():
                        position.margin_mode = (
                            str(fault.get("mode")) if key[:2] == listing.key else position.margin_mode
                        )
                self.on_config(account, "leverage", listing, now_ns)
        return any(x.is_perpetual for x in self._listings_of(fault))

    # ---- status ----

    def _strike_status(self, name: str, fault: Fault, now_ns: int) -> None:
        if name == "maintenance":
            self._begin_maintenance(fault, now_ns)
            return
        for listing in self._listings_of(fault):
            if name == "tick_change":
                listing.tick_multiple = max(1, int(fault.get("multiple", 10)))
                self.on_status(listing, now_ns)
            elif name == "delist":
                self._announce_end(listing, fault, now_ns)
            elif name == "relist":
                listing.inst_code = int(fault.get("inst_code", listing.inst_code + 1))
                self._set_status(listing, "trading", 0, now_ns)
            else:
                status = str(fault.get("phase", "auction")) if name == "phase" else name
                self._set_status(listing, status, fault.ns(""), now_ns)

    def _set_status(self, listing: Listing, status: str, for_ns: int, now_ns: int) -> None:
        listing.status = status
        ask = listing.engine.best(SELL)
        listing.crossing = (ask[0] + 20, 3) if status in AUCTIONS and ask is not None else None
        self.on_status(listing, now_ns)
        if for_ns:
            self.at(now_ns + for_ns, lambda t: self._set_status(listing, "trading", 0, t))

    def _begin_maintenance(self, fault: Fault, now_ns: int) -> None:
        """Nothing trades; of the open orders half are expired (`expire`: all, half, none)."""
        self.maintenance = True
        orders = self.open_orders()
        share = {"all": 1, "half": 2, "none": len(orders) + 1}.get(str(fault.get("expire", "half")), 2)
        for order in orders[::share] if share <= len(orders) or share == 1 else []:
            self._take_away(order, "expired", now_ns)
        for listing in self.listings.values():
            self._set_status(listing, "halt", 0, now_ns)
        self.on_maintenance(True, now_ns)
        self.at(now_ns + fault.ns("", 120 * SECOND), self._end_maintenance)

    def _end_maintenance(self, now_ns: int) -> None:
        self.maintenance = False
        self.peer_ip = "127.0.0.1"  # of whoever is being answered
        for listing in self.listings.values():
            self._set_status(listing, "trading", 0, now_ns)
        self.on_maintenance(False, now_ns)

    def _announce_end(self, listing: Listing, fault: Fault, now_ns: int) -> None:
        """`status.delist`: at once, or announced `in_s` before, with a window of `window_s` in which
        positions can only be reduced."""
        in_ns = fault.ns("in")
        if not in_ns:
            self.delist(listing, now_ns)
            return
        listing.ends_ns = now_ns + in_ns
        self.on_status(listing, now_ns)
        self.at(
            listing.ends_ns - min(fault.ns("window"), in_ns),
            partial(self._set_status, listing, "reduce_only", 0),
        )
        self.at(listing.ends_ns, partial(self.delist, listing))

    def delist(self, listing: Listing, now_ns: int) -> None:
        """Orders are cancelled and positions settled at the index, without an order of the client. Its data
        just stops."""
        for order in self.open_orders(None, None, listing):
            self._take_away(order, "delisted", now_ns)
        listing.status = "delisted"
        for account in self.accounts.values():
            for key, position in list(account.positions.items()):
                if key[:2] == listing.key and position.lots:
                    lots = abs(position.lots)
                    self.close_position(account, listing, position, lots, "settlement", now_ns, False)
        self.on_status(listing, now_ns)

    # ---- what a subclass may want to know ----

    def on_config(self, account: Account, what: str, listing: Listing | None, now_ns: int) -> None:
        """Leverage, margin mode ("leverage"), position mode ("posmode") or "collateral_price" changed, by
        nobody here."""

    def on_status(self, listing: Listing, now_ns: int) -> None:
        """`listing.status`, `tick_multiple` or `inst_code` changed."""

    def on_maintenance(self, begins: bool, now_ns: int) -> None:
        """The venue goes down for maintenance, or is back."""

    def on_session_fault(self, kind: str, connections: list[Connection], fault: Fault, now_ns: int) -> None:
        """ "expire" (logon or listen key), "revoke" (API key), "shutdown_notice" for these connections."""

    def on_kicked(self, connection: Connection, topic: str, now_ns: int) -> None:
        """A subscription that was acknowledged is taken back."""
        connection.topics.pop(topic, None)

    def on_book_reset(self, listing: Listing, now_ns: int) -> None:
        """The book's sequence starts anew, as the venue's document allows."""

    def on_dms_fire(self, account: Account, now_ns: int) -> None:
        """The dead man's switch of an account fires, though nobody is dead."""
        self.cancel_all(account, None, now_ns, reason="countdown")


def _restore_mark(listing: Listing, now_ns: int) -> None:
    listing.mark_factor = Decimal(1)

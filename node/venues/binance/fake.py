"""Binance's side of the wire: spot and USD-M streams, WebSocket API, REST and user data, on one port and
without I/O.

Built to the venue's documents, not to our own client. This file puts the parts together: `fake_streams`
(market streams), `fake_api` (WebSocket API), `fake_rest` (paths), `fake_gate` (access and limits),
`fake_orders`, `fake_futures`, `fake_algo` (orders), `fake_account`, `fake_margin` (accounts), `fake_market`,
`fake_history`, `fake_listing` (market data), `fake_events`, `fake_shapes` (user data). Known quirks are kept
because production shows them: a USD-M subscription on the wrong route is acknowledged and stays silent;
response and user event come in either order (`events_first`); the client id of a spot cancel event is the
cancel's.

Sources: binance-spot-api-docs `web-socket-streams.md`, `web-socket-api.md`, `user-data-stream.md`,
`rest-api.md`, `filters.md`, `errors.md`; USD-M developer pages. What is not simulated: order lists, SOR,
trailing stops on spot, moving isolated margin, SBE, FIX.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from decimal import Decimal
from random import Random
from typing import Any
from urllib.parse import parse_qsl

from node.venues.binance import fake_api, fake_rest, fake_shapes
from node.venues.binance.fake_algo import Algo, AlgoService, truth_row
from node.venues.binance.fake_api import end_session
from node.venues.binance.fake_call import Call, Reject, dump
from node.venues.binance.fake_events import Events, ListenKey, subscriptions
from node.venues.binance.fake_gate import SECOND, Gate
from node.venues.binance.fake_history import History, PublicTrade
from node.venues.binance.fake_listing import exchange_info
from node.venues.binance.fake_refusals import error_of, refusal
from node.venues.binance.fake_streams import Streams
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM, CONNECTION_LIFE_H, PRODUCTS
from node.venues.fakes import (
    BUY,
    MS,
    SELL,
    Account,
    Connection,
    FakeOrder,
    Fault,
    Faults,
    Key,
    Listing,
    Refusal,
    VenueTrade,
)

KEY_LIFE_NS = 3600 * SECOND
DAY_NS = 86400 * SECOND
USDM_WALLET = "usdm"
EVENT_TYPES = {
    "canceled": "CANCELED",
    "countdown": "CANCELED",
    "stp": "TRADE_PREVENTION",
    "rejected": "REJECTED",
}
VENUE_IDS = {"liquidation": "autoclose-", "adl": "adl_autoclose", "settlement": "settlement_autoclose-"}
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ED25519_PREFIX = bytes.fromhex("302a300506032b6570032100")


class BinanceFake(Streams):
    """Both products of Binance. `listings` say which market each belongs to.

    `credentials_required`: private requests need a known key and its signature; else requests without any
    key act for the first account, unverified (one that names a key is verified all the same).
    `events_first`: user events precede the response that caused them. `usdm_prefix`: a path prefix under
    which the unrouted USD-M paths of before 2026-04 exist; `unrouted`: whether they deliver "all" or, as
    now, "public" streams only. `public_keys`: API key -> Ed25519 public key (32 raw bytes) of the first
    account. `post_only_expires`: USD-M answers a crossing GTX order with NEW and EXPIRED instead of error
    -5022 (both have been seen). `spot_listen_keys`: the endpoints that were removed on 2026-02-20 still
    answer.
    """

    def __init__(
        self,
        listings: list[Listing],
        seed: int = 1,
        accounts: Iterable[Account] | None = None,
        faults: Faults | None = None,
        *,
        credentials_required: bool = False,
        events_first: bool = False,
        usdm_prefix: str = "/fstream",
        unrouted: str = "all",
        public_keys: dict[str, bytes] | None = None,
        post_only_expires: bool = False,
        spot_listen_keys: bool = False,
    ):
        for x in listings:
            if x.market == BINANCE_USDM and not x.wallet:
                x.wallet = USDM_WALLET
        super().__init__(listings, seed, accounts, faults)
        self.credentials_required = credentials_required or bool(public_keys)
        self.events_first = events_first
        self.usdm_prefix = usdm_prefix.rstrip("/")
        self.unrouted = unrouted
        self.post_only_expires = post_only_expires
        self.spot_listen_keys = spot_listen_keys
        self.gate = Gate(self)
        self.events = Events(self)
        self.algos = AlgoService(self)
        self.prevented: list[dict] = []
        self._histories = {x.key: History(x) for x in listings}
        self._ids = Random(f"{seed}/client ids")
        self._countdowns: dict[tuple[int, tuple[int, str]], int] = {}  # account, listing -> due
        first = self.accounts[min(self.accounts)]
        for api_key, raw in (public_keys or {}).items():
            first.keys.append(Key(api_key, public_key_pem=_pem(raw)))

    # ---- connections -----------------------------------------------------------------------------

    def on_open(self, connection: Connection, now_ns: int) -> None:
        path, _, query = connection.path.partition("?")
        options = dict(parse_qsl(query))
        notes = connection.notes
        notes["rates"] = options.get("returnRateLimits", "true") != "false"
        for market, product in PRODUCTS.items():
            if path.rstrip("/") == product.api:
                notes.update(kind="api", market=market, combined=False)
                self.gate.connect(market, connection.ip, now_ns)
                return
        self.open_stream(connection, path, query)
        self.gate.connect(connection.notes["market"], connection.ip, now_ns, weight=0)

    def open(self, path: str, now_ns: int) -> Connection:
        connection = super().open(path, now_ns)
        connection.notes["ip"] = connection.ip
        self.reindex()
        return connection

    def close(self, connection: Connection) -> None:
        super().close(connection)
        self.reindex()

    def receive(self, connection: Connection, text: str, now_ns: int) -> None:
        if connection.notes["kind"] == "api":
            fake_api.receive(self, connection, text, now_ns)
        else:
            self.control(connection, text, now_ns)

    def http(self, method: str, target: str, headers, body: bytes, now_ns: int) -> tuple:
        return fake_rest.http(self, method, target, headers, body, now_ns, self.peer_ip)

    def tick(self, now_ns: int) -> None:
        super().tick(now_ns)
        self.algos.step(now_ns)
        self._run_countdowns(now_ns)
        self.push_streams(now_ns)
        oldest_ns = now_ns - CONNECTION_LIFE_H * 3600 * SECOND
        for connection in [x for x in self.connections.values() if x.opened_ns <= oldest_ns]:
            self.hang_up(connection, 1008, "24 h are over")
        for key in [k for k, x in self.events.keys.items() if now_ns >= x.expires_ns]:
            self.events.expire_key(key, now_ns)

    # ---- what requests ask -------------------------------------------------------------------------

    def listing(self, call: Call) -> Listing:
        """The listing of `symbol`. Raises -1102 and -1121."""
        call.need("symbol")
        return self.listing_of(call.market, call.params["symbol"])

    def listing_of(self, market: int, symbol: str) -> Listing:
        found = self.listings.get((market, symbol))
        if found is None:
            raise Reject(-1121, "Invalid symbol.")
        return found

    def history(self, listing: Listing) -> History:
        return self._histories[listing.key]

    def wallet(self, market: int) -> str:
        return USDM_WALLET if market == BINANCE_USDM else ""

    def coins(self) -> list[str]:
        return sorted({coin for x in self.listings.values() for coin in x.coins} | {"BNB"})

    def exchange_info(self, call: Call) -> dict:
        return exchange_info(self, call)

    def default_identity(self) -> tuple[Account, Key]:
        """Who acts where no credentials are asked for."""
        account = self.accounts[min(self.accounts)]
        return account, account.keys[0] if account.keys else Key("")

    def balances_ms(self, account: Account) -> int:
        """When the balances changed last: at the venue's start, where nothing has happened. Clients take a
        balance that never changed for none at all."""
        return int(account.notes.get("balances_ms", (self.faults.start_ns or self.now_ns) // MS))

    def trigger_ticks(self, listing: Listing, on_mark: bool) -> int:
        return self.trigger_price(listing, "mark" if on_mark else "last")

    def position_lots(self, listing: Listing) -> list[int]:
        return [
            p.lots for x in self.accounts.values() for k, p in x.positions.items() if k[:2] == listing.key
        ]

    def trades_of(self, call: Call, listing: Listing | None) -> list[VenueTrade]:
        """Trades of the caller on a listing, or on the whole market; oldest first."""
        if listing is not None:
            self.settle(listing, call.now_ns)
        return [x for x in self.trades(call.account, listing) if x.listing.market == call.market]

    def trades_asked(
        self, call: Call, listing: Listing | None, most_ms: int, too_long: Reject
    ) -> list[VenueTrade]:
        """Own trades by order, from an id on, by time (`most_ms` of it, or `too_long`), or the latest."""
        limit = min(call.whole("limit", 500, least=1), 1000)
        start, end = call.whole("startTime"), call.whole("endTime", 2**62)
        if call.has("startTime") and call.has("endTime") and end - start > most_ms:
            raise too_long
        rows = [x for x in self.trades_of(call, listing) if start <= x.now_ns // MS <= end]
        if call.has("orderId"):
            rows = [x for x in rows if x.order.number == call.whole("orderId")]
        if call.has("fromId"):
            rows = [x for x in rows if x.id >= call.whole("fromId")]
        first = call.has("fromId") or call.has("startTime")
        return rows[:limit] if first else rows[-limit:]

    def every_order(self, account: Account, listing: Listing) -> list[FakeOrder]:
        return [*self.open_orders(account, None, listing), *self.closed_orders(account, None, listing)]

    def order_by_number(self, call: Call, listing: Listing, number: int) -> FakeOrder | None:
        self.settle(listing, call.now_ns)
        return self.find_order(listing, number=number, account=call.account) if number else None

    def order_by_client(self, call: Call, listing: Listing, client_id: str) -> FakeOrder | None:
        self.settle(listing, call.now_ns)
        return self.find_order(listing, client_id, account=call.account)

    def is_archived(self, order: FakeOrder) -> bool:
        """Is a closed order so old that no query finds it?"""
        if not order.done:
            return False
        short = order.listing.market == BINANCE_USDM and not order.filled_lots
        if order.listing.market == BINANCE_SPOT and order.filled_lots:
            return False
        return self.now_ns - order.done_ns > (3 if short else 90) * DAY_NS

    def was_archived(self, call: Call) -> bool:
        """Spot says so of an order that it had: -2026."""
        number, client_id = call.text("orderId", "0"), call.text("origClientOrderId")
        return call.is_spot and any(
            self.is_archived(x)
            for x in self.orders.values()
            if x.owner == call.account.owner and (str(x.number) == number or x.client_id == client_id != "")
        )

    def new_client_id(self) -> str:
        return "".join(self._ids.choices(ALPHABET, k=22))

    def venue_id(self, nature: str, number: int) -> str:
        if nature in VENUE_IDS:
            return f"{VENUE_IDS[nature]}{number}"
        return f"web_{self.new_client_id()}" if nature == "web" else self.new_client_id()

    # ---- orders ------------------------------------------------------------------------------------

    def make_order(
        self, call: Call, listing: Listing, client_id: str, side: int, price_ticks: int, size_lots: int
    ) -> FakeOrder:
        owner = call.account.owner
        return FakeOrder(
            listing, 0, client_id, side, price_ticks, size_lots, "gtc", call.connection, owner=owner
        )

    def submit(self, call: Call, order: FakeOrder) -> None:
        """Place an order that passed all checks."""
        call.ordered = order
        try:
            self.place(order.order_type, order, call.now_ns)
        except Refusal as no:
            self.counts["rejects"] += 1
            raise self.words(no, order) from None

    def withdraw(self, call: Call, order: FakeOrder) -> bool:
        """Cancel; False where it is not open any more."""
        call.ordered = order
        return self.cancel(order, call.now_ns)

    def change(
        self, call: Call, order: FakeOrder, price_ticks: int | None, size_lots: int, client_id: str
    ) -> str:
        """Amend an order; "" or the name of the reason why not."""
        call.ordered = order
        former_id, former_lots = order.client_id, order.size_lots
        order.notes.update(former_id=former_id, former_lots=former_lots, former_ticks=order.price_ticks)
        if client_id != former_id:
            self.rename(order, client_id)
        why = self.amend(order, price_ticks, size_lots, call.now_ns)
        if why:
            order.client_id = former_id
            return {"unknown": "unknown_order", "filled": "no_change"}.get(why, why)
        order.notes["amends"] += 1
        if order.listing.market == BINANCE_USDM:
            order.notes.setdefault("amendments", []).append(_amendment(order, call.now_ms))
        return ""

    def words(self, no: Refusal, order: FakeOrder) -> Reject:
        """The venue's answer to a refusal of the shared checks."""
        market, listing = order.listing.market, order.listing
        if no.code:
            return error_of(market, int(no.code))
        if no.name == "percent_price" and market == BINANCE_USDM and order.price_ticks:
            above = no.text == "above"
            factor = Decimal((listing.price_up if above else listing.price_down) or "1")
            limit = listing.price(int(self.mark_ticks(listing) * factor))
            return refusal(market, "percent_price_up" if above else "percent_price_down", limit)
        limits = {"min_notional": listing.min_notional, "max_orders": listing.max_orders}
        return refusal(market, no.name, limits.get(no.name, ""))

    def filter_price(self, listing: Listing, side: int, price_ticks: int) -> Refusal | None:
        """On USD-M only the side that would take is bounded by the mark price."""
        no = super().filter_price(listing, side, price_ticks)
        if no is None or no.name != "percent_price" or listing.market == BINANCE_SPOT:
            return no
        return no if (no.text == "above") == (side == BUY) else None

    def error_message(self, code: str) -> str:
        return error_of(BINANCE_SPOT, int(code)).text if code.lstrip("-").isdigit() else code

    def arm_countdown(self, account: Account, listing: Listing, ms: int, now_ns: int) -> None:
        key = (account.owner, listing.key)
        self._countdowns.pop(key, None)
        if ms:
            self._countdowns[key] = now_ns + ms * MS

    def _run_countdowns(self, now_ns: int) -> None:
        for key in [k for k, due_ns in self._countdowns.items() if now_ns >= due_ns]:
            del self._countdowns[key]
            account, listing = self.accounts[key[0]], self.listings[key[1]]
            self.cancel_all(account, listing, now_ns, reason="countdown")

    # ---- what happened -------------------------------------------------------------------------------

    def push_trade(self, listing, trade_id, price_ticks, size_lots, taker_side, now_ns) -> None:
        self.history(listing).add(PublicTrade(trade_id, price_ticks, size_lots, now_ns // MS, taker_side))
        self.publish_trade(listing, trade_id, price_ticks, size_lots, taker_side, now_ns)

    def on_accepted(self, order: FakeOrder, now_ns: int) -> None:
        _complete_notes(order)
        if not order.trigger_ticks:
            order.notes["working_ms"] = now_ns // MS
        self.events.order(order, "NEW", now_ns)
        self._tell_lock(order, now_ns)

    def on_triggered(self, order: FakeOrder, now_ns: int) -> None:
        order.notes["working_ms"] = now_ns // MS
        self.events.order(order, "NEW", now_ns)

    def on_amended(self, order: FakeOrder, now_ns: int) -> None:
        kind = "AMENDMENT" if order.listing.market == BINANCE_USDM else "REPLACED"
        self.events.order(order, kind, now_ns)
        self._tell_lock(order, now_ns)

    def on_fill(self, order: FakeOrder, trade_id, price_ticks, size_lots, is_maker, now_ns) -> None:
        listing, account, trade = order.listing, self.account_of(order), self.trade
        assert trade is not None, "a fill without a booked trade"
        fill = fake_shapes.fill_of(trade, order)
        order.notes["fills"].append(
            {k: fill[k] for k in ("price", "qty", "commission", "commissionAsset", "tradeId")}
        )
        if listing.market == BINANCE_SPOT:
            if not order.notes.get("had_fill"):
                order.notes["had_fill"] = True
                self.gate.first_fill(account, order, is_maker, now_ns)
            self.events.order(order, "TRADE", now_ns, fill, is_maker)
            self.events.balances(account, [*listing.coins, trade.fee_coin], now_ns)
            return
        fill["realised"] = fake_shapes.plain(trade.realised)
        kind = "TRADE" if order.nature == "trade" else "CALCULATED"
        self.events.order(order, kind, now_ns, fill, is_maker)
        reason = "ORDER" if order.nature == "trade" else "ADJUSTMENT"
        coins = dict.fromkeys((listing.settle_coin, trade.fee_coin))
        self.events.account_update(account, reason, now_ns, coins, [(listing, order.leg)])
        if order.done:
            self.algos.order_ended(order, now_ns)

    def on_done(self, order: FakeOrder, reason: str, now_ns: int) -> None:
        _complete_notes(order)
        kind = EVENT_TYPES.get(reason, "EXPIRED")
        if order.listing.market == BINANCE_USDM and kind in ("TRADE_PREVENTION", "REJECTED"):
            kind = "EXPIRED"
        if reason == "zero_fill":
            kind = "TRADE"
        self.events.order(order, kind, now_ns)
        self._tell_lock(order, now_ns)
        self.algos.order_ended(order, now_ns)

    def on_prevented(self, taker: FakeOrder, maker: FakeOrder, price_ticks, size_lots, now_ns) -> None:
        number = len(self.prevented) + 1
        for order, other in ((taker, maker), (maker, taker)):
            _complete_notes(order)
            order.notes.update(prevented_id=number, counter_order=other.number)
        listing = taker.listing
        row = {"symbol": listing.symbol, "preventedMatchId": number, "takerOrderId": taker.number}
        row |= {"makerSymbol": listing.symbol, "makerOrderId": maker.number, "tradeGroupId": 1}
        row |= {
            "selfTradePreventionMode": taker.stp.upper(),
            "price": fake_shapes.price_text(listing, price_ticks),
        }
        row |= {"makerPreventedQuantity": fake_shapes.size_text(listing, size_lots)}
        self.prevented.append(row | {"transactTime": now_ns // MS})
        if taker.stp == "decrement" and listing.market == BINANCE_SPOT:
            for order in (taker, maker):
                if order.leaves_lots:
                    self.events.order(order, "TRADE_PREVENTION", now_ns)

    def on_balance(self, account, coin, amount, kind, now_ns, listing) -> None:
        """Funding, transfers and what else changes a balance without a trade."""
        in_spot = not account.incomes or account.incomes[-1].wallet != USDM_WALLET
        if listing is None and in_spot:
            self.events.balance_change(account, coin, amount, now_ns)
            self.events.balances(account, [coin], now_ns)
            return
        reasons = {"funding": "FUNDING_FEE", "insurance": "INSURANCE_CLEAR"}
        change = amount if kind != "funding" else Decimal(0)
        legs = []
        if listing is not None:  # a crossed position is not listed with its funding
            held = [(k[2], p) for k, p in account.positions.items() if k[:2] == listing.key and p.lots]
            legs = [(listing, leg) for leg, p in held if p.margin_mode == "isolated"]
        reason = reasons.get(kind, kind.upper())
        self.events.account_update(account, reason, now_ns, [coin], legs, change)

    def on_config(self, account: Account, what: str, listing: Listing | None, now_ns: int) -> None:
        if what == "leverage" and listing is not None:
            change = {"ac": {"s": listing.symbol, "l": account.leverage_of(listing)}}
            self.events.config(account, change, now_ns)

    def forget_closed(self) -> None:
        """As the base, and conditional orders and prevented matches that are over."""
        super().forget_closed()
        self.algos.forget_closed()
        self.prevented.clear()

    def truth(self, account: Account | int = 1) -> dict[str, Any]:
        """As the base, and the conditional orders of USD-M, which are no orders yet."""
        out = super().truth(account)
        found = self.accounts[account] if isinstance(account, int) else account
        for algo in (x for x in self.algos.of(found) if x.order is None):
            out["orders"][algo.client_id] = out["orders"].get(algo.client_id, 0) + 1
        out["open"] += [truth_row(x) for x in self.algos.open(found)]
        return out

    def _tell_lock(self, order: FakeOrder, now_ns: int) -> None:
        """What an open spot order holds is part of the balances."""
        listing = order.listing
        if listing.market == BINANCE_SPOT and order.order_type in ("limit", "stop_limit"):
            coin = listing.coins[0 if order.side == SELL else 1]
            self.events.balances(self.account_of(order), [coin], now_ns)

    def _add_algo(self, order: FakeOrder, now_ns: int) -> None:
        """A fault: a stop order that nobody asked for. On USD-M it lives in the algo service."""
        if order.listing.market != BINANCE_USDM:
            super()._add_algo(order, now_ns)
            return
        far = max(1, (order.price_ticks or self.mark_ticks(order.listing)) // 2)
        account, lots = self.account_of(order), order.size_lots
        names = (self.new_client_id(), account, order.listing, None, "STOP_MARKET", SELL, "BOTH")
        algo = Algo(0, *names, lots, 0, far, created_ms=now_ns // MS, updated_ms=now_ns // MS)
        self.algos.add(algo, now_ns)

    # ---- sessions and listen keys ----------------------------------------------------------------------

    @property
    def listen_keys(self) -> dict[str, ListenKey]:
        return self.events.keys

    def add_listen_key(self, market: int, expires_ns: int, account: Account | None = None) -> str:
        """A listen key without a request for it: for the first account where none is named."""
        key = "".join(self._ids.choices(ALPHABET, k=64))
        self.events.keys[key] = ListenKey(account or self.default_identity()[0], market, expires_ns)
        return key

    def listen_key(self, action: str, call: Call) -> dict:
        """Start, keep alive or close the listen key of an account; one per account and market."""
        mine = [
            k for k, x in self.events.keys.items() if x.account is call.account and x.market == call.market
        ]
        if action == "start":
            key = mine[0] if mine else self.add_listen_key(call.market, 0, call.account)
            self.events.keys[key].expires_ns = call.now_ns + KEY_LIFE_NS
            return {"listenKey": key}
        if not mine or call.text("listenKey", mine[0]) != mine[0]:
            raise Reject(-1125, "This listenKey does not exist.")
        if action == "stop":
            del self.events.keys[mine[0]]
            return {}
        self.events.keys[mine[0]].expires_ns = call.now_ns + KEY_LIFE_NS
        return {"listenKey": mine[0]} if call.market == BINANCE_USDM else {}

    def expire_key(self, key: str, now_ns: int) -> None:
        self.events.expire_key(key, now_ns)

    def revoke(self, connection: Connection) -> None:
        """The API key of this connection's session is withdrawn; the next request is told so, without id."""
        connection.notes["revoked"] = True

    def shutdown(self, connection: Connection, now_ns: int, after_ns: int = 0) -> None:
        """Announce a shutdown on this connection, in the shape it has there, and close it."""
        event = f'{{"e":"serverShutdown","E":{now_ns // MS}}}'
        if connection.notes["kind"] == "api":
            self.send(connection, f'{{"event":{event}}}')
        elif connection.notes["combined"]:
            self.send(connection, f'{{"stream":"!serverShutdown","data":{event}}}')
        else:
            self.send(connection, event)
        if after_ns:
            self.at(now_ns + after_ns, lambda _: self.hang_up(connection, 1001, "server shutdown"))
        else:
            self.hang_up(connection, 1001, "server shutdown")

    def on_session_fault(self, kind: str, connections: list[Connection], fault: Fault, now_ns: int) -> None:
        for connection in connections:
            notes = connection.notes
            if kind == "shutdown_notice":
                self.shutdown(connection, now_ns, fault.ns("", 0))
            elif notes["kind"] == "user":
                self.events.expire_key(notes["key"], now_ns)
            elif notes["kind"] == "api":
                for number in list(subscriptions(connection)):
                    self.events.terminate(connection, number, now_ns)
                if kind == "revoke":
                    self.revoke(connection)
                else:
                    end_session(self, connection, now_ns)


def _complete_notes(order: FakeOrder) -> None:
    """Orders that the venue makes itself come without notes, children of a split one with their parent's."""
    if "type" not in order.notes:
        kept = dict(order.notes)
        kind = "MARKET" if order.order_type == "market" else "LIMIT"
        fake_shapes.note_order(
            order, type=kind, tif="GTC", leg={"net": "BOTH"}.get(order.leg, order.leg.upper())
        )
        order.notes.update(kept, reduce=order.reduce_only)
    elif order.notes.get("parent") and not order.notes.get("is_child"):
        order.notes.update(fills=[], is_child=True)


def _amendment(order: FakeOrder, now_ms: int) -> dict:
    """A row of the amendment history of USD-M."""
    listing, notes = order.listing, order.notes
    change = {
        "price": {"before": listing.price(notes["former_ticks"]), "after": listing.price(order.price_ticks)},
        "origQty": {"before": listing.size(notes["former_lots"]), "after": listing.size(order.size_lots)},
        "count": notes["amends"],
    }
    row = {
        "amendmentId": order.number * 100 + notes["amends"],
        "symbol": listing.symbol,
        "pair": listing.symbol,
    }
    return row | {
        "orderId": order.number,
        "clientOrderId": order.client_id,
        "time": now_ms,
        "amendment": change,
    }


def _pem(raw: bytes) -> str:
    """An Ed25519 public key of 32 bytes as PEM."""
    body = b64encode(ED25519_PREFIX + raw).decode()
    assert b64decode(body)[-32:] == raw, "an Ed25519 public key has 32 bytes"
    return f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"


__all__ = ["BinanceFake", "dump"]

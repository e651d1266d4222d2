"""User data of the simulated Binance: who listens, and what is told of orders, balances, positions and
settings.

Spot user data comes over WebSocket API connections, wrapped with the subscription's number; USD-M user data
over streams of a listen key, where `events=` is an allow-list. While a request is being answered its events
are held back, so that the answer comes first; or after them (`events_first`): the venue promises neither.

Sources: binance-spot-api-docs `user-data-stream.md`, `web-socket-api.md`; USD-M developer pages
"user-data-streams".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from node.venues.binance import fake_shapes as shapes
from node.venues.binance.fake_call import dump
from node.venues.binance.fake_margin import LEGS
from node.venues.binance.fake_market import e8, plain, size_text
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM
from node.venues.fakes import MS, Connection, FakeOrder, Listing
from node.venues.ledger import Account

if TYPE_CHECKING:
    from node.venues.binance.fake import BinanceFake

KINDS = {
    "executionReport": "order",
    "ORDER_TRADE_UPDATE": "order",
    "TRADE_LITE": "execution",
    "ACCOUNT_UPDATE": "position",
    "outboundAccountPosition": "balance",
    "balanceUpdate": "balance",
}


def kind_of(event: dict) -> str:
    """What a fault calls this push: an order push that carries a fill is an execution."""
    row = event["o"] if event["e"] == "ORDER_TRADE_UPDATE" else event
    return "execution" if row.get("x") == "TRADE" else KINDS.get(event["e"], "account")


@dataclass
class ListenKey:
    account: Account
    market: int
    expires_ns: int


@dataclass
class Subscription:
    """A spot user data subscription of one connection."""

    account: Account
    of_session: bool  # ends with the session that made it


def subscriptions(connection: Connection) -> dict[int, Subscription]:
    return connection.notes.setdefault("subscriptions", {})


def wants(connection: Connection, event: str) -> bool:
    """`events=` is an allow-list; without it everything comes."""
    allowed = str(connection.notes.get("events") or "")
    return not allowed or event in allowed.split("/")


def private_frame(connection: Connection, event: str) -> str:
    if not connection.notes["combined"]:
        return event
    return f'{{"stream":{dump(connection.notes["key"])},"data":{event}}}'


class Events:
    """Who hears what. `executions` numbers spot execution reports."""

    def __init__(self, venue: BinanceFake):
        self.venue = venue
        self.executions = 0
        self.keys: dict[str, ListenKey] = {}
        self._held: list[tuple[Connection, str, str, FakeOrder | None]] | None = None

    # ---- holding back ----

    def hold(self) -> None:
        self._held = []

    def release(self) -> list[tuple[Connection, str, str, FakeOrder | None]]:
        held, self._held = self._held or [], None
        return held

    def _tell(self, connection: Connection, frame: str, kind: str, order: FakeOrder | None) -> None:
        if self._held is None:
            self.venue.report(connection, frame, kind, order)
        else:
            self._held.append((connection, frame, kind, order))

    def spot(self, account: Account, event: dict, order: FakeOrder | None = None) -> None:
        raw = ""
        for connection in self.venue.connections.values():
            if connection.notes["kind"] == "api" and connection.notes["market"] == BINANCE_SPOT:
                for number, x in subscriptions(connection).items():
                    if x.account is account:
                        raw = raw or dump(event)
                        frame = f'{{"subscriptionId":{number},"event":{raw}}}'
                        self._tell(connection, frame, kind_of(event), order)
        self._by_key(BINANCE_SPOT, account, event, order)

    def usdm(self, account: Account, event: dict, order: FakeOrder | None = None) -> None:
        self._by_key(BINANCE_USDM, account, event, order)

    def _by_key(self, market: int, account: Account, event: dict, order: FakeOrder | None) -> None:
        raw = ""
        for connection in self.venue.connections.values():
            key = self.keys.get(connection.notes.get("key", ""))
            if key is None or key.account is not account or key.market != market:
                continue
            if wants(connection, event["e"]):
                raw = raw or dump(event)
                frame = private_frame(connection, raw)
                self._tell(connection, frame, kind_of(event), order)

    # ---- orders ----

    def order(
        self, order: FakeOrder, kind: str, now_ns: int, fill: dict | None = None, maker: bool = False
    ) -> None:
        """One transition of an order. `kind` is the execution type."""
        account, ms = self.venue.account_of(order), now_ns // MS
        self.executions += 1
        if order.listing.market == BINANCE_SPOT:
            report = shapes.execution_report(order, kind, self.executions, ms, fill, maker)
            self.spot(account, report, order)
            return
        if fill is not None:
            self.usdm(account, shapes.trade_lite(order, fill, maker, ms), order)
        body = {"e": "ORDER_TRADE_UPDATE", "E": ms, "T": ms}
        self.usdm(account, body | {"o": shapes.usdm_update(order, kind, ms, fill, maker)}, order)

    def algo(self, account: Account, update: dict, now_ns: int) -> None:
        ms = now_ns // MS
        self.usdm(account, {"e": "ALGO_UPDATE", "T": ms, "E": ms, "o": update})

    # ---- balances and positions ----

    def balances(self, account: Account, coins: Iterable[str], now_ns: int) -> None:
        """Spot: absolute values of the coins that may have changed."""
        ms = now_ns // MS
        wallet = self.venue.wallet(BINANCE_SPOT)
        rows = [
            {"a": coin, "f": e8(x.free), "l": e8(x.locked)}
            for coin in dict.fromkeys(coins)
            for x in (account.balance(coin, wallet),)
        ]
        account.notes["balances_ms"] = ms
        self.spot(account, {"e": "outboundAccountPosition", "E": ms, "u": ms, "B": rows})

    def balance_change(self, account: Account, coin: str, amount: Decimal, now_ns: int) -> None:
        """Spot: a deposit, withdrawal or transfer."""
        ms = now_ns // MS
        self.spot(account, {"e": "balanceUpdate", "E": ms, "a": coin, "d": e8(amount), "T": ms})

    def account_update(
        self,
        account: Account,
        reason: str,
        now_ns: int,
        coins: Iterable[str] = (),
        positions: Iterable[tuple[Listing, str]] = (),
        change: Decimal = Decimal(0),
    ) -> None:
        """USD-M: balances of some coins and positions of some legs. `change` is neither profit nor fee."""
        ms = now_ns // MS
        wallet = self.venue.wallet(BINANCE_USDM)
        rows = []
        for coin in coins:
            total = e8(account.balance(coin, wallet).total)
            rows.append({"a": coin, "wb": total, "cw": total, "bc": plain(change)})
        legs = [self._position(account, listing, leg) for listing, leg in positions]
        account.notes["balances_ms"] = ms
        body = {"e": "ACCOUNT_UPDATE", "E": ms, "T": ms, "a": {"m": reason, "B": rows, "P": legs}}
        self.usdm(account, body)

    def _position(self, account: Account, listing: Listing, leg: str) -> dict:
        position = account.position(listing, leg)
        mark = self.venue.mark(listing) or position.entry
        profit = listing.amount(position.lots) * mark - position.cost
        is_isolated = position.margin_mode == "isolated"
        return {
            "s": listing.symbol,
            "pa": size_text(listing, position.lots),
            "ep": plain(position.entry),
            "bep": plain(position.entry),
            "cr": plain(position.realised),
            "up": e8(profit) if position.lots else "0",
            "mt": "isolated" if is_isolated else "cross",
            "iw": "0",
            "ps": LEGS[leg],
        }

    def config(self, account: Account, change: dict, now_ns: int) -> None:
        ms = now_ns // MS
        self.usdm(account, {"e": "ACCOUNT_CONFIG_UPDATE", "E": ms, "T": ms} | change)

    def margin_call(self, account: Account, rows: list[dict], cross_wallet: Decimal, now_ns: int) -> None:
        event = {"e": "MARGIN_CALL", "E": now_ns // MS, "cw": e8(cross_wallet), "p": rows}
        self.usdm(account, event)

    # ---- listen keys and subscriptions ----

    def expire_key(self, key: str, now_ns: int) -> None:
        """A listen key dies: its streams say so and are silent from then on."""
        event = dump({"e": "listenKeyExpired", "E": now_ns // MS, "listenKey": key})
        for connection in self.venue.connections.values():
            if connection.notes.get("key") == key and wants(connection, "listenKeyExpired"):
                self.venue.send(connection, private_frame(connection, event))
        self.keys.pop(key, None)

    def terminate(self, connection: Connection, number: int, now_ns: int) -> None:
        """A spot subscription ends by the venue's will, or with its session."""
        subscriptions(connection).pop(number, None)
        event = {"e": "eventStreamTerminated", "E": now_ns // MS}
        self.venue.send(connection, dump({"subscriptionId": number, "event": event}))

"""What a simulated venue keeps: listings, accounts, keys, orders; how they are looked up, and the judge.

What happened is told to the subclass through the `on_*` methods at the end.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from node.venues.faults import Fault, Faults
from node.venues.ledger import BUY, EXACT, SELL, ZERO, Account, House, Key, VenueTrade, make_account
from node.venues.parts import FakeOrder, Listing


class Register:
    """Listings, accounts and orders of one venue. What a venue does its own way is a class attribute here."""

    duplicate_rule = "open"  # a client id may not be that of an open order; "ever": of any order so far
    reduce_only_rule = "cut"  # a reduce-only order larger than the position is cut; "refuse": refused
    retention_ns = 0  # after so long a closed order without fills is unfindable; 0 = never
    retention_filled_ns = 0  # the same for closed orders with fills
    ids_per_listing = 10**9  # order ids are unique in the venue: each listing has a range of its own

    def __init__(
        self,
        listings: list[Listing],
        seed: int = 1,
        accounts: Iterable[Account] | None = None,
        faults: Faults | None = None,
    ):
        self.listings = {(x.market, x.symbol): x for x in listings}
        self.orders: dict[int, FakeOrder] = {}  # open and done, by the venue's order id
        self.seed = seed
        self.now_ns = 0  # the latest time that was told
        self.faults = Faults(seed) if faults is None else faults
        self.house = House()
        self.trade: VenueTrade | None = None  # during `on_fill`: the booked trade
        self.environment = ""  # keys of another environment are refused
        self.counts = {"orders": 0, "cancels": 0, "fills": 0, "rejects": 0, "lost_frames": 0}
        self.client_ids: dict[tuple[int, int, str, str], int] = {}  # owner, market, symbol, id -> orders ever
        self.asks_stale_ns = 0  # while a REST query is answered: show orders as of so long ago
        self.asks_hidden_ns = 0  # the same: hide orders younger than this
        self._open_orders: dict[int, FakeOrder] = {}
        self._stop_orders: dict[int, FakeOrder] = {}
        self._by_client: dict[tuple[int, int, str, str], FakeOrder] = {}  # the latest of each
        self._timers: list[tuple[int, int, Callable[[int], object]]] = []
        self._timer_number = 0
        self._todo: deque[Callable[[int], object]] = deque()
        self._busy = False
        self._settling = 0  # how deep in settling
        self._moved: set[tuple[Account, tuple[int, str], str]] = set()  # positions that engines must hear of
        self._amending = 0  # order that leaves its place in the book to come back
        self._funded: dict[tuple[int, str], int] = {}
        self._margin_due_ns = 0
        for i, listing in enumerate(listings):
            listing.engine.next_order_id += i * self.ids_per_listing
        coins = [(x.wallet, c) for x in listings for c in (*x.coins, x.settle_coin)]
        made = [make_account(1, coins)] if accounts is None else list(accounts)
        self.accounts: dict[int, Account] = {}
        for account in made:
            self.add_account(account)

    # ---- accounts ----

    def add_account(self, account: Account) -> Account:
        """Take an account in; what it has is booked as its deposit."""
        account.house = self.house
        for coins in account.wallets.values():
            for coin, balance in coins.items():
                self.house.book("deposit", coin, balance.total)
        self.accounts[account.owner] = account
        return account

    def set_accounts(self, accounts: Iterable[Account]) -> None:
        """These instead of all that there are: for a start, before anything has traded."""
        self.accounts.clear()
        self.house = House()
        for account in accounts:
            self.add_account(account)

    def account_of(self, order: FakeOrder) -> Account:
        """The account of an order, made without keys where there is none of that owner."""
        found = self.accounts.get(order.owner)
        if found is None:
            coins = [(x.wallet, c) for x in self.listings.values() for c in (*x.coins, x.settle_coin)]
            found = self.add_account(make_account(order.owner, coins, keys=[]))
        return found

    def key(self, api_key: str) -> tuple[Account, Key] | None:
        """The account and key of an API key, None where there is no such key."""
        for account in self.accounts.values():
            for key in account.keys:
                if key.api_key == api_key:
                    return account, key
        return None

    def why_not(self, key: Key, now_ns: int, right: str = "read", ip: str = "127.0.0.1") -> str:
        """Why a key may not do this: "expired", "ip", "right", "environment"; "" where it may."""
        fault = self.faults.hit("session.key", now_ns)
        if fault:
            return str(fault.get("why", "expired"))
        if (key.ips and ip not in key.ips) or self.faults.hit("session.ip_denied", now_ns):
            return "ip"
        if key.environment and key.environment != self.environment:
            return "environment"
        if key.expires_ns and now_ns >= key.expires_ns:
            return "expired"
        return "" if right in key.rights else "right"

    # ---- time ----

    def at(self, when_ns: int, run: Callable[[int], object]) -> None:
        """Call `run(now_ns)` in the first tick from `when_ns` on."""
        self._timer_number += 1
        heapq.heappush(self._timers, (when_ns, self._timer_number, run))

    def _run_timers(self, now_ns: int) -> None:
        while self._timers and self._timers[0][0] <= now_ns:
            heapq.heappop(self._timers)[2](now_ns)

    def settle(self, listing: Listing, now_ns: int) -> None:
        """Turn what the matching engine did into changed levels, public trades and order events."""
        raise NotImplementedError

    # ---- prices ----

    def trigger_price(self, listing: Listing, on: str) -> int:
        """Ticks of the price that stop orders wait for; 0 = there is none yet."""
        if on == "last":
            return listing.last_ticks or self.mark_ticks(listing)
        return self.mark_ticks(listing) if on == "mark" else self.index_ticks(listing)

    def index_ticks(self, listing: Listing) -> int:
        """The index: the middle of the book, which no `market.mark` moves; 0 = there is none yet."""
        bid, ask = listing.engine.best(BUY), listing.engine.best(SELL)
        if bid is not None and ask is not None:
            listing.mark_ticks = (bid[0] + ask[0]) // 2
        return listing.mark_ticks or listing.last_ticks

    def mark_ticks(self, listing: Listing) -> int:
        index = self.index_ticks(listing)
        factor = listing.mark_factor
        return index if factor == 1 else max(1, int(EXACT.multiply(Decimal(index), factor)))

    def mark(self, listing: Listing) -> Decimal | None:
        """Mark price, None while there is none."""
        ticks = self.mark_ticks(listing)
        return listing.price_of(ticks) if ticks else None

    # ---- faults ----

    def _hit(self, name: str, order: FakeOrder, now_ns: int, **more: Any) -> Fault | None:
        if not self.faults.any_of(name):
            return None
        about: dict[str, Any] = {"symbol": order.listing.symbol, "market": order.listing.market}
        about |= {
            "side": "sell" if order.side else "buy",
            "client_id": order.client_id,
            "account": order.owner,
        }
        return self.faults.hit(name, now_ns, **about, **more)

    # ---- looking up ----

    def find_order(
        self, listing: Listing, client_id: str = "", number: int = 0, account: Account | None = None
    ) -> FakeOrder | None:
        """The order of a listing with that venue id, else the latest one with that client id. Orders that
        the venue has archived are not found."""
        if number:
            found = self.orders.get(number)
            found = found if found is not None and found.listing is listing else None
        else:
            owners = list(self.accounts) if account is None else [account.owner]
            rows = [self._by_client.get((o, *listing.key, client_id)) for o in owners] if client_id else []
            found = max((x for x in rows if x is not None), key=lambda x: x.placed_ns, default=None)
        if found is None or (account is not None and found.owner != account.owner):
            return None
        return self._as_asked(found)

    def _as_asked(self, order: FakeOrder) -> FakeOrder | None:
        """The order as a query sees it now: archived, hidden or stale."""
        if self.is_archived(order):
            return None
        if self.asks_hidden_ns and self.now_ns - order.placed_ns < self.asks_hidden_ns:
            return None
        return order.as_of(self.now_ns - self.asks_stale_ns) if self.asks_stale_ns else order

    def is_archived(self, order: FakeOrder) -> bool:
        """Is a closed order so old that no query finds it?"""
        keep_ns = self.retention_filled_ns if order.filled_lots else self.retention_ns
        return bool(order.done and keep_ns and self.now_ns - order.done_ns > keep_ns)

    def open_orders(
        self,
        account: Account | Listing | None = None,
        market: int | None = None,
        listing: Listing | None = None,
    ) -> list[FakeOrder]:
        """Orders that are open, stops that wait included, oldest first."""
        if isinstance(account, Listing):
            account, listing = None, account
        if not self.asks_stale_ns and not self.asks_hidden_ns:
            return [x for x in self._open_orders.values() if _is_of(x, account, market, listing)]
        seen = [self._as_asked(x) for x in self.orders.values() if _is_of(x, account, market, listing)]
        return [x for x in seen if x is not None and not x.done]

    def closed_orders(
        self, account: Account | None = None, market: int | None = None, listing: Listing | None = None
    ) -> list[FakeOrder]:
        """Orders that are not open any more and not archived yet, oldest first."""
        seen = [
            self._as_asked(x) for x in self.orders.values() if x.done and _is_of(x, account, market, listing)
        ]
        return [x for x in seen if x is not None and x.done]

    def trades(
        self, account: Account, listing: Listing | None = None, since_ns: int = 0, from_id: int = 0
    ) -> list[VenueTrade]:
        """Trades of an account, oldest first, from a time and from a trade id on."""
        until_ns = self.now_ns - self.asks_stale_ns
        return [
            x
            for x in account.trades
            if (listing is None or x.listing is listing)
            and since_ns <= x.now_ns <= until_ns
            and (not from_id or x.id >= from_id)
        ]

    def forget_closed(self) -> None:
        """Forget all orders that are not open any more: a run of days must not remember each. To a client
        they are then as unknown as closed ones are not open."""
        for order in [x for x in self.orders.values() if x.done]:
            del self.orders[order.number]
            for client_id in {order.client_id, order.sent_id}:
                key = (order.owner, *order.listing.key, client_id)
                if self._by_client.get(key) is order:
                    del self._by_client[key]
            self.on_forgotten(order)
        for account in self.accounts.values():
            account.trades.clear()
            account.incomes.clear()
        self.client_ids.clear()

    # ---- the judge ----

    def truth(self, account: Account | int = 1) -> dict[str, Any]:
        """What the venue knows of an account, in text and numbers that JSON can hold: open orders, orders
        ever (client id -> how many), fills by trade id, positions, balances, incomes."""
        found = self.accounts[account] if isinstance(account, int) else account
        orders: dict[str, int] = {}
        for (owner, _, _, client_id), n in self.client_ids.items():
            if owner == found.owner:
                orders[client_id] = orders.get(client_id, 0) + n
        fills: dict[str, dict[str, Any]] = {}
        for trade in found.trades:
            name = f"{trade.listing.market}:{trade.listing.symbol}:{trade.id}"
            fills[name + "#2" if name in fills else name] = _fill_row(trade)
        return {
            "open": [_order_row(x) for x in self._open_orders.values() if x.owner == found.owner],
            "orders": orders,
            "fills": fills,
            "positions": {
                ":".join(str(x) for x in key): {
                    "lots": p.lots,
                    "entry": _text(p.entry),
                    "cost": _text(p.cost),
                }
                | {"realised": _text(p.realised), "leverage": p.leverage}
                for key, p in found.positions.items()
            },
            "balances": {
                wallet: {c: {"total": _text(b.total), "locked": _text(b.locked)} for c, b in coins.items()}
                for wallet, coins in found.wallets.items()
            },
            "incomes": [
                {
                    "kind": x.kind,
                    "coin": x.coin,
                    "amount": _text(x.amount),
                    "now_ns": x.now_ns,
                    "wallet": x.wallet,
                }
                | {"place": f"{x.listing.market}:{x.listing.symbol}" if x.listing is not None else ""}
                for x in found.incomes
            ],
        }

    def audit(self) -> list[str]:
        """What does not add up on the venue's books: nothing, or the simulation is wrong."""
        out = []
        sums: dict[str, Decimal] = {}
        for account in self.accounts.values():
            for coins in account.wallets.values():
                for coin, balance in coins.items():
                    sums[coin] = EXACT.add(sums.get(coin, ZERO), balance.total)
            out += self._audit_locks(account)
        for (_, coin), amount in self.house.owed.items():
            sums[coin] = EXACT.add(sums.get(coin, ZERO), amount)
        out += [f"{coin}: accounts and house differ by {total}" for coin, total in sums.items() if total]
        for listing in self.listings.values():
            held = sum(
                p.lots
                for account in self.accounts.values()
                for key, p in account.positions.items()
                if key[:2] == listing.key
            )
            if held + self.house.lots.get(listing.key, 0):
                out.append(f"{listing.symbol}: positions and house differ")
        over = [x for x in self.orders.values() if not 0 <= x.filled_lots <= x.size_lots]
        return out + [f"order {x.number}: filled {x.filled_lots} of {x.size_lots}" for x in over]

    def _audit_locks(self, account: Account) -> list[str]:
        """What is locked is what the open orders lock, and nobody owes coins but by a loss on perpetuals."""
        lossy = {(x.wallet, x.settle_coin) for x in self.listings.values() if x.is_perpetual}
        locked: dict[tuple[str, str], Decimal] = {}
        for order in self._open_orders.values():
            if order.owner == account.owner and order.locked:
                key = (order.listing.wallet, order.locked_coin)
                locked[key] = EXACT.add(locked.get(key, ZERO), order.locked)
        out = []
        for wallet, coins in account.wallets.items():
            for coin, balance in coins.items():
                if balance.locked != locked.get((wallet, coin), ZERO):
                    out.append(
                        f"account {account.owner}, {coin}: locked {balance.locked}, and orders say else"
                    )
                if balance.free < 0 and (wallet, coin) not in lossy:
                    out.append(f"account {account.owner}, {coin}: {balance.free} is free")
        return out

    # ---- what a subclass may want to know ----

    def tell_quote(self, listing: Listing, now_ns: int) -> None:
        """Where a quote is pushed."""
        self.push_quote(listing, now_ns)

    def tell_trade(self, listing, trade_id, price_ticks, size_lots, taker_side, now_ns) -> None:
        """Where a public trade is pushed."""
        self.push_trade(listing, trade_id, price_ticks, size_lots, taker_side, now_ns)

    def push_quote(self, listing: Listing, now_ns: int) -> None:
        """The best bid or ask changed: `listing.top` has both; the update id is `listing.settled_id`."""

    def push_trade(self, listing, trade_id, price_ticks, size_lots, taker_side, now_ns) -> None:
        """A public trade."""

    def on_accepted(self, order: FakeOrder, now_ns: int) -> None:
        """The order passed validation and has its number; whether it rests is not known yet."""

    def on_fill(self, order: FakeOrder, trade_id, price_ticks, size_lots, is_maker, now_ns) -> None:
        """One fill; `order.filled_lots` contains it already, `order.done` is "filled" where it was the
        last. `self.trade` is the booked trade: fee, fee coin, realised profit."""

    def on_done(self, order: FakeOrder, reason: str, now_ns: int) -> None:
        """The order is closed without being filled whole: canceled, ioc, fok, post_only, stp, and the others
        of `FakeOrder.done`. "zero_fill": a fault wants it shown as filled, without any fill."""

    def on_forgotten(self, order: FakeOrder) -> None:
        """A closed order is dropped: drop what else is kept of it."""

    def on_triggered(self, order: FakeOrder, now_ns: int) -> None:
        """A stop order goes to the book now."""

    def on_amended(self, order: FakeOrder, now_ns: int) -> None:
        """Price or size of an open order changed: by `amend`, or by the venue (reduce-only, a fault)."""

    def on_amend_failed(self, order: FakeOrder, reason: str, now_ns: int) -> None:
        """An amend that was acknowledged fails after all."""

    def on_prevented(
        self, taker: FakeOrder, maker: FakeOrder, price_ticks: int, size_lots: int, now_ns: int
    ) -> None:
        """Self-trade prevention kept two orders from trading. Whoever is closed by it gets `on_done` next."""

    def on_balance(
        self, account: Account, coin: str, amount: Decimal, kind: str, now_ns: int, listing: Listing | None
    ) -> None:
        """A balance changed without a trade: funding, deposit, withdraw, drift, insurance."""


def _is_of(order: FakeOrder, account: Account | None, market: int | None, listing: Listing | None) -> bool:
    return (
        (account is None or order.owner == account.owner)
        and (market is None or order.listing.market == market)
        and (listing is None or order.listing is listing)
    )


def _text(value: Decimal) -> str:
    """Plain decimal text without trailing zeros."""
    text = format(value, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def _order_row(order: FakeOrder) -> dict[str, Any]:
    row = {"market": order.listing.market, "symbol": order.listing.symbol, "number": order.number}
    row |= {"client_id": order.client_id, "side": "sell" if order.side else "buy", "type": order.order_type}
    return row | {
        "price_ticks": order.price_ticks,
        "size_lots": order.size_lots,
        "filled_lots": order.filled_lots,
        "waits": order.waits,
        "reduce_only": order.reduce_only,
        "leg": order.leg,
    }


def _fill_row(trade: VenueTrade) -> dict[str, Any]:
    row = {"order": trade.order.number, "client_id": trade.order.client_id, "nature": trade.nature}
    row |= {"side": "sell" if trade.side else "buy", "price_ticks": trade.price_ticks}
    row |= {"size_lots": trade.size_lots, "fee": _text(trade.fee), "fee_coin": trade.fee_coin}
    return row | {"is_maker": trade.is_maker, "now_ns": trade.now_ns, "realised": _text(trade.realised)}

"""The order desk of a simulated venue: orders, stops, filters, accounts, look-ups, the judge.

Truth about the book is `ext.match`, truth about money `node.venues.ledger`; this file keeps both in step.
`check` says why the venue would refuse an order; `place` does not ask again, except for funds that an order
must hold. What happened is told to the subclass through the `on_*` methods at the end.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Any

from ext.match import DONE, FILL, LEVEL, PREVENTED, TRADE
from node.venues.faults import Fault, Faults
from node.venues.ledger import (
    BUY,
    EXACT,
    ROUND,
    SELL,
    ZERO,
    Account,
    House,
    Key,
    Position,
    Refusal,
    VenueTrade,
    make_account,
    margin_of,
)
from node.venues.parts import MS, SECOND, FakeOrder, Listing

STP_DONE = "stp"


class Desk:
    """Orders and accounts of one venue. What a venue does its own way is a class attribute here."""

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

    def pass_time(self, now_ns: int) -> None:
        """What time does to orders and accounts: timers, stops on mark and index, funding, liquidation."""
        self.faults.start(now_ns)
        self._run_timers(now_ns)
        if self._stop_orders:
            self._trigger_by_mark(now_ns)
        if now_ns >= self._margin_due_ns:
            self._margin_due_ns = now_ns + SECOND
            self._pay_funding(now_ns)
            self._watch_margin(now_ns)

    # ---- orders ----

    def place(self, order_type: str, order: FakeOrder, now_ns: int) -> None:
        """Take an order in. `order_type`: limit, market, stop_limit, stop_market (with `trigger_ticks`);
        `order.tif` one of gtc, ioc, fok, post_only. The answers come through `on_accepted`, `on_fill`,
        `on_done`, in that order. Raises Refusal("funds") where a spot order cannot hold what it needs."""
        listing, account = order.listing, self.account_of(order)
        self.settle(listing, now_ns)
        order.order_type, order.placed_ns = order_type, now_ns
        if not listing.is_perpetual and order.is_resting and order.tif not in ("ioc", "fok"):
            account.lock(order)
        order.number = self._next_number(listing)
        self._remember(order, now_ns)
        self.counts["orders"] += 1
        self.on_accepted(order, now_ns)
        if not self._kept_out(order, now_ns):
            self._enter(order, now_ns)
            self._disturb_placed(order, now_ns)
        self._work(now_ns)

    def _next_number(self, listing: Listing) -> int:
        number = listing.engine.next_order_id
        listing.engine.next_order_id += 1
        return number

    def _remember(self, order: FakeOrder, now_ns: int) -> None:
        key = (order.owner, *order.listing.key, order.client_id)
        self.orders[order.number] = self._open_orders[order.number] = order
        self._by_client[key] = order
        self.client_ids[key] = self.client_ids.get(key, 0) + 1
        order.note(now_ns)

    def _enter(self, order: FakeOrder, now_ns: int) -> None:
        """To the book, or to the stops."""
        if order.is_stop and not order.triggered_ns:
            order.waits = True
            self._stop_orders[order.number] = order
            if order.trigger_rise is None:
                price = self.trigger_price(order.listing, order.trigger_on)
                order.trigger_rise = order.trigger_ticks >= price if price else order.side == BUY
            return
        order.waits = False
        order.filled_before = order.filled_lots
        at = None if order.order_type in ("market", "stop_market") else order.price_ticks
        tif = "ioc" if at is None and order.tif == "post_only" else order.tif
        order.listing.engine.place(
            order.side, at, order.leaves_lots, tif, order.owner, order.stp, order.number
        )
        self.settle(order.listing, now_ns)

    def cancel(self, order: FakeOrder, now_ns: int, reason: str = "canceled") -> bool:
        """Cancel; False where the order is not open any more."""
        self.settle(order.listing, now_ns)
        self.counts["cancels"] += 1
        fault = None if order.done else self._hit("order.fill_on_cancel", order, now_ns)
        if fault:
            self._fill_part(order, str(fault.get("part", "full")), now_ns)
        return self._take_away(order, reason, now_ns)

    def _take_away(self, order: FakeOrder, reason: str, now_ns: int) -> bool:
        if order.done:
            return False
        if not order.waits:
            self._amending = order.number  # its DONE says "canceled", whatever the reason is here
            order.listing.engine.cancel(order.number)
            self.settle(order.listing, now_ns)
            self._amending = 0
        self._end_order(order, reason, now_ns)
        self._work(now_ns)
        return True

    def cancel_all(
        self,
        account: Account | None,
        market: int | Listing | None,
        now_ns: int,
        *,
        stops: bool | None = None,
        reason: str = "canceled",
    ) -> list[FakeOrder]:
        """Cancel the open orders of an account (None: of all), on a market or listing (None: on all).
        `stops`: only stop orders, or only others. Returns those that were cancelled."""
        listing = market if isinstance(market, Listing) else None
        number = market if isinstance(market, int) else None
        out = []
        for order in self.open_orders(account, number, listing):
            if (stops is None or stops == order.waits) and self.cancel(order, now_ns, reason):
                out.append(order)
        return out

    def reduce(self, order: FakeOrder, size_lots: int, now_ns: int) -> bool:
        """Amend to a smaller whole size (filled included) and keep the place in the queue; False where it
        cannot."""
        self.settle(order.listing, now_ns)
        leaves = size_lots - order.filled_lots - order.prevented_lots
        if order.done or not 0 < leaves < order.leaves_lots:
            return False
        if not order.waits:
            in_place = order.filled_lots - order.filled_before
            assert order.listing.engine.reduce(order.number, in_place + leaves), (
                "the engine knows another size"
            )
        order.size_lots = size_lots
        self.account_of(order).relock(order)
        order.note(now_ns)
        self.settle(order.listing, now_ns)
        return True

    def amend(self, order: FakeOrder, price_ticks: int | None, size_lots: int | None, now_ns: int) -> str:
        """Another price or whole size (filled included); "" or why not: "unknown", "filled" (not more than
        what is filled), "no_change", "funds", or a filter. Keeps its number; loses its place in the queue
        unless only the size falls."""
        self.settle(order.listing, now_ns)
        price = order.price_ticks if price_ticks is None else price_ticks
        size = order.size_lots if size_lots is None else size_lots
        why = self._why_no_amend(order, price, size, now_ns)
        if why:
            return why
        fault = self._hit("order.amend_fail_late", order, now_ns)
        if fault:
            late_ns = now_ns + fault.ns("delay", 50 * MS)
            self.at(late_ns, lambda t: self.on_amend_failed(order, "late", t))
            return ""
        old_id = order.client_id
        if self._hit("order.amend_id_change", order, now_ns):
            self.rename(order, self.venue_id("amend", order.number))
        order.notes["id_before_amend"] = old_id
        if price == order.price_ticks and size < order.size_lots:
            self.reduce(order, size, now_ns)
            self.on_amended(order, now_ns)
            return ""
        return self._move_in_book(order, price, size, now_ns)

    def _why_no_amend(self, order: FakeOrder, price: int, size: int, now_ns: int) -> str:
        if order.done or (order.waits and not order.is_stop):
            return "unknown"
        if size <= order.filled_lots + order.prevented_lots:
            return "filled"
        if (price, size) == (order.price_ticks, order.size_lots):
            return "no_change"
        listing = order.listing
        has_price = order.order_type not in ("market", "stop_market")
        refusal = (self._check_price(listing, order.side, price) if has_price else None) or (
            self._check_size(listing, size, has_price)
        )
        return "" if refusal is None else refusal.name

    def _move_in_book(self, order: FakeOrder, price: int, size: int, now_ns: int) -> str:
        account, before = self.account_of(order), (order.price_ticks, order.size_lots)
        order.price_ticks, order.size_lots = price, size
        try:
            if not order.listing.is_perpetual and order.is_resting:
                account.lock(order)
            elif order.listing.is_perpetual and not order.reduce_only:
                self._check_margin(order, already_open=True)
        except Refusal as refusal:
            order.price_ticks, order.size_lots = before
            return refusal.name
        order.note(now_ns)
        if order.waits:
            self.on_amended(order, now_ns)
            return ""
        self._amending = order.number
        order.listing.engine.cancel(order.number)
        self.settle(order.listing, now_ns)
        self._amending = 0
        self.on_amended(order, now_ns)
        self._enter(order, now_ns)
        self._work(now_ns)
        return ""

    def rename(self, order: FakeOrder, client_id: str) -> None:
        """Give an order another client id; it is found by all that it ever had."""
        order.sent_id = order.sent_id or order.client_id
        order.client_id = client_id
        self._by_client[(order.owner, *order.listing.key, client_id)] = order

    def venue_id(self, nature: str, number: int) -> str:
        """A client id that the venue makes: for an order of its own, or an amended one."""
        return f"{nature}{number}"

    def _end_order(self, order: FakeOrder, reason: str, now_ns: int) -> None:
        """An order is closed without being filled whole."""
        order.done, order.done_ns = reason, now_ns
        self._forget_open(order)
        order.note(now_ns)
        self.on_done(order, reason, now_ns)

    def _forget_open(self, order: FakeOrder) -> None:
        order.waits = False
        self._open_orders.pop(order.number, None)
        self._stop_orders.pop(order.number, None)
        self.account_of(order).unlock(order)

    # ---- stop orders ----

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

    def _is_triggered(self, order: FakeOrder, price_ticks: int) -> bool:
        if order.trigger_rise:
            return price_ticks >= order.trigger_ticks
        return price_ticks <= order.trigger_ticks

    def _trigger_by_last(self, listing: Listing, price_ticks: int) -> None:
        for order in list(self._stop_orders.values()):
            if (
                order.listing is listing
                and order.trigger_on == "last"
                and self._is_triggered(order, price_ticks)
            ):
                self._fire(order)

    def _trigger_by_mark(self, now_ns: int) -> None:
        for order in list(self._stop_orders.values()):
            price = self.trigger_price(order.listing, order.trigger_on) if order.trigger_on != "last" else 0
            if price and self._is_triggered(order, price):
                self._fire(order)
        self._work(now_ns)

    def _fire(self, order: FakeOrder) -> None:
        """A stop goes to the book, as soon as what is going on there is told."""
        del self._stop_orders[order.number]
        self._todo.append(lambda now_ns: self._trigger_stop(order, now_ns))

    def _trigger_stop(self, order: FakeOrder, now_ns: int) -> None:
        if order.done:
            return
        order.triggered_ns = now_ns
        order.note(now_ns)
        if order.reduce_only:
            closable = self.closable(order)
            if closable <= 0:
                self._end_order(order, "reduce_only", now_ns)
                return
            order.size_lots = min(order.size_lots, closable)
        refusal = self._check_funds(order)
        if refusal is not None:
            self._end_order(order, refusal.name, now_ns)
            return
        self.on_triggered(order, now_ns)
        self._enter(order, now_ns)

    # ---- what the engine did ----

    def settle(self, listing: Listing, now_ns: int) -> None:
        """Turn what the matching engine did into changed levels, public trades and order events."""
        self.now_ns = max(self.now_ns, now_ns)
        for event in listing.engine.take():
            kind = event[0]
            if kind == LEVEL:
                _, side, price_ticks, size_lots, listing.settled_id = event
                listing.changed[side][price_ticks] = size_lots
                listing.changed_fast[side][price_ticks] = size_lots
            elif kind == TRADE:
                self._public_trade(listing, event, now_ns)
            elif kind == FILL:
                self._fill(event, now_ns)
            elif kind == DONE:
                self._done(event, now_ns)
            elif kind == PREVENTED:
                self._prevented(event, now_ns)
        top = (listing.engine.best(BUY), listing.engine.best(SELL))
        if top != listing.top:
            listing.top = top
            self.tell_quote(listing, now_ns)
        if not self._amending:
            self._work(now_ns)

    def _work(self, now_ns: int) -> None:
        """What follows from what was told: stops that were triggered, reduce-only orders that must shrink."""
        if self._busy:
            return
        self._busy = True
        try:
            while self._todo:
                self._todo.popleft()(now_ns)
        finally:
            self._busy = False

    def _public_trade(self, listing: Listing, event: tuple, now_ns: int) -> None:
        _, trade_id, price_ticks, size_lots, taker_side = event
        listing.last_ticks, listing.last_lots, listing.last_ns = price_ticks, size_lots, now_ns
        self.tell_trade(listing, trade_id, price_ticks, size_lots, taker_side, now_ns)
        if self._stop_orders:
            self._trigger_by_last(listing, price_ticks)

    def _fill(self, event: tuple, now_ns: int) -> None:
        _, number, trade_id, price_ticks, size_lots, _, is_maker = event
        order = self.orders[number]
        k = 1
        if self.faults.any_of("exec.split") and (fault := self._hit("exec.split", order, now_ns)):
            k = max(1, min(int(fault.get("k", 2)), size_lots))
        for i in range(k):
            piece = size_lots // k + (i < size_lots % k)
            if i:
                trade_id = order.listing.engine.next_trade_id
                order.listing.engine.next_trade_id += 1
            self._book_fill(order, trade_id, price_ticks, piece, is_maker, now_ns)

    def _book_fill(
        self, order: FakeOrder, trade_id: int, price_ticks: int, size_lots: int, is_maker: bool, now_ns: int
    ) -> None:
        """One fill: order, money, position, report."""
        listing, account = order.listing, self.account_of(order)
        order.filled_lots += size_lots
        order.value = EXACT.add(order.value, listing.notional(price_ticks, size_lots))
        self.counts["fills"] += 1
        if not order.leaves_lots:
            order.done, order.done_ns = "filled", now_ns
            self._forget_open(order)
        fee, coin = self.fee_of(order, price_ticks, size_lots, is_maker, now_ns)
        trade = VenueTrade(
            trade_id,
            order,
            listing,
            order.side,
            price_ticks,
            size_lots,
            fee,
            coin,
            is_maker,
            now_ns,
            order.nature,
        )
        self.trade = account.apply(trade)
        order.fees[coin] = EXACT.add(order.fees.get(coin, ZERO), fee)
        order.note(now_ns)
        self.on_fill(order, trade_id, price_ticks, size_lots, is_maker, now_ns)
        self.trade = None
        if listing.is_perpetual:
            self._todo.append(lambda t: self._trim_reduce_only(account, listing, t))

    def _done(self, event: tuple, now_ns: int) -> None:
        _, number, reason, _ = event
        order = self.orders[number]
        if number != self._amending and reason != "filled" and not order.done:
            self._end_order(order, reason, now_ns)

    def _prevented(self, event: tuple, now_ns: int) -> None:
        """A match of one owner was not made. In mode "decrement" both orders lose size."""
        _, taker_id, maker_id, price_ticks, size_lots = event
        taker, maker = self.orders.get(taker_id), self.orders.get(maker_id)
        if taker is None or maker is None:
            return
        if taker.stp == "decrement":
            taker.prevented_lots += size_lots
            maker.prevented_lots += size_lots
            for order in (taker, maker):
                if order.leaves_lots:
                    self.account_of(order).relock(order)
        self.on_prevented(taker, maker, price_ticks, size_lots, now_ns)

    # ---- fees ----

    def rates(self, account: Account, listing: Listing) -> tuple[Decimal, Decimal]:
        """Maker and taker rate of an account."""
        found = account.fee_rates.get(listing.key)
        assert isinstance(listing.maker_fee, Decimal)
        assert isinstance(listing.taker_fee, Decimal)
        return found or (listing.maker_fee, listing.taker_fee)

    def fee_side(self, order: FakeOrder, rate: Decimal) -> str:
        """Which coin a fee is in by rule: "base", "quote" or "settle". A spot buyer pays in what he gets."""
        if order.listing.is_perpetual:
            return "settle"
        return "base" if order.side == BUY else "quote"

    def fee_of(
        self, order: FakeOrder, price_ticks: int, size_lots: int, is_maker: bool, now_ns: int
    ) -> tuple[Decimal, str]:
        """Fee (paid > 0) and its coin."""
        listing, account = order.listing, self.account_of(order)
        rate = self.rates(account, listing)[0 if is_maker else 1]
        fault = None
        if self.faults.any_of("exec.fee"):
            fault = self._hit("exec.fee", order, now_ns)
        if fault and fault.get("rate") is not None:
            rate = Decimal(str(fault.get("rate")))
        base, quote = listing.coins
        coins = {"base": base, "quote": quote, "settle": listing.settle_coin}
        normal = coins[self.fee_side(order, rate)]
        wanted = str(fault.get("coin", "")) if fault else ""
        wanted = coins.get(wanted, wanted) or account.fee_coin
        for coin in (wanted, normal):
            fee = self._fee_in(listing, account, coin, price_ticks, size_lots, rate) if coin else None
            if fee is not None and (coin == normal or fee <= account.balance(coin, listing.wallet).free):
                return fee, coin
        raise AssertionError("a fee has no coin")

    def _fee_in(
        self, listing: Listing, account: Account, coin: str, price_ticks: int, size_lots: int, rate: Decimal
    ) -> Decimal | None:
        """The fee in a coin; None where its price is not known."""
        base, quote = listing.coins
        if coin == base:
            return listing.round_fee(EXACT.multiply(listing.amount(size_lots), rate))
        value = EXACT.multiply(listing.notional(price_ticks, size_lots), rate)
        if coin in (quote, listing.settle_coin):
            return listing.round_fee(value)
        price = account.fee_prices.get(coin) or self.coin_price(coin, quote)
        return None if not price else listing.round_fee(ROUND.divide(value, price))

    def coin_price(self, coin: str, quote: str) -> Decimal | None:
        """Price of a coin by the venue's own spot book."""
        for listing in self.listings.values():
            if not listing.is_perpetual and listing.coins == (coin, quote):
                return self.mark(listing)
        return None

    # ---- filters ----

    def check(self, order: FakeOrder, now_ns: int | None = None) -> Refusal | None:
        """Why the venue would refuse a new order, None where it would not. `order.order_type` must be set.
        A reduce-only order may be cut here, where that is the venue's rule."""
        now_ns = self.now_ns if now_ns is None else now_ns
        listing, account = order.listing, self.account_of(order)
        self.settle(listing, now_ns)
        if fault := self._hit("ack.error", order, now_ns, live=False):
            return Refusal("injected", code=str(fault.get("code", "")))
        if fault := self._hit("order.reject", order, now_ns):
            return Refusal(str(fault.get("filter", "percent_price")))
        has_price = order.order_type not in ("market", "stop_market")
        return (
            self._check_status(listing, account, order)
            or (self._check_price(listing, order.side, order.price_ticks) if has_price else None)
            or self._check_size(listing, order.size_lots, has_price)
            or self._check_reduce_only(order)
            or self._check_notional(order, has_price)
            or self._check_count(order, account)
            or self._check_funds(order)
        )

    def _check_status(self, listing: Listing, account: Account, order: FakeOrder) -> Refusal | None:
        if account.frozen:
            return Refusal("frozen")
        if listing.status == "post_only" and order.tif == "post_only":
            return None
        return None if listing.status == "trading" else Refusal("status", listing.status)

    def _check_price(self, listing: Listing, side: int, price_ticks: int) -> Refusal | None:
        if price_ticks <= 0 or price_ticks % listing.tick_multiple:
            return Refusal("tick")
        mark = self.mark_ticks(listing)
        if mark and listing.price_up and price_ticks > mark * Decimal(listing.price_up):
            return Refusal("percent_price", "above")
        if mark and listing.price_down and price_ticks < mark * Decimal(listing.price_down):
            return Refusal("percent_price", "below")
        return None

    def _check_size(self, listing: Listing, size_lots: int, has_price: bool) -> Refusal | None:
        if size_lots <= 0:
            return Refusal("lot")
        size = EXACT.multiply(Decimal(listing.lot), Decimal(size_lots))
        most = listing.max_size if has_price else listing.max_market_size or listing.max_size
        if listing.min_size and size < Decimal(listing.min_size):
            return Refusal("min_size")
        return Refusal("max_size") if most and size > Decimal(most) else None

    def _check_reduce_only(self, order: FakeOrder) -> Refusal | None:
        if not order.reduce_only:
            return None
        if not order.listing.is_perpetual:
            return Refusal("reduce_only")
        closable = self.closable(order)
        if order.is_stop and self.reduce_only_rule == "cut":
            return None
        if closable <= 0 or (order.size_lots > closable and self.reduce_only_rule == "refuse"):
            return Refusal("reduce_only")
        order.size_lots = min(order.size_lots, closable)
        return None

    def _check_notional(self, order: FakeOrder, has_price: bool) -> Refusal | None:
        listing = order.listing
        price = order.price_ticks if has_price else self._market_price(order)
        if not price:
            return None
        value = listing.notional(price, order.size_lots)
        if not order.reduce_only and listing.min_notional and value < Decimal(listing.min_notional):
            return Refusal("min_notional")
        too_much = listing.max_notional and value > Decimal(listing.max_notional)
        return Refusal("max_notional") if too_much else None

    def _market_price(self, order: FakeOrder) -> int:
        if order.is_stop:
            return order.trigger_ticks
        best = order.listing.engine.best(1 - order.side) or order.listing.engine.best(order.side)
        return best[0] if best else 0

    def _check_count(self, order: FakeOrder, account: Account) -> Refusal | None:
        twin = self._by_client.get((order.owner, *order.listing.key, order.client_id))
        if twin is not None and order.client_id and (not twin.done or self.duplicate_rule == "ever"):
            return Refusal("duplicate_id")
        mine = [
            x for x in self._open_orders.values() if x.owner == order.owner and x.listing is order.listing
        ]
        stops = sum(1 for x in mine if x.waits and x.is_stop)
        if order.is_stop and stops >= order.listing.max_stop_orders:
            return Refusal("max_stop_orders")
        return Refusal("max_orders") if len(mine) - stops >= order.listing.max_orders else None

    def _check_funds(self, order: FakeOrder) -> Refusal | None:
        try:
            if order.listing.is_perpetual:
                if not order.reduce_only:
                    self._check_margin(order)
            elif not order.locked:
                self._check_spot_funds(order)
        except Refusal as refusal:
            return refusal
        return None

    def _check_spot_funds(self, order: FakeOrder) -> None:
        listing, account = order.listing, self.account_of(order)
        base, quote = listing.coins
        coin, need = base, listing.amount(order.leaves_lots)
        if order.side == BUY:
            is_market = order.order_type in ("market", "stop_market")
            need = (
                self.cost_of(order) if is_market else listing.notional(order.price_ticks, order.leaves_lots)
            )
            coin = quote
        free = account.balance(coin, listing.wallet).free
        if need > free:
            raise Refusal("funds", f"{coin}: {need} is needed, {free} is free")

    def cost_of(self, order: FakeOrder) -> Decimal:
        """The most that a market buy of this size may cost in the book as it is (at its trigger, for a stop):
        as if its owner's own orders were out of the way."""
        listing, left, cost = order.listing, order.leaves_lots, ZERO
        if order.waits or (order.is_stop and not order.triggered_ns):
            return listing.notional(order.trigger_ticks, left)
        own: dict[int, int] = {}
        for x in self._open_orders.values():
            if x.owner == order.owner and x.listing is listing and x.side != order.side and not x.waits:
                own[x.price_ticks] = own.get(x.price_ticks, 0) + x.leaves_lots
        if order.stp == "none":
            own = {}
        for price_ticks, size_lots in listing.engine.levels(1 - order.side):
            lots = min(left, size_lots - own.get(price_ticks, 0))
            cost = EXACT.add(cost, listing.notional(price_ticks, lots))
            left -= lots
            if left <= 0:
                break
        return cost

    def closable(self, order: FakeOrder) -> int:
        """Lots of the position that an order of this side and leg can close."""
        lots = self.account_of(order).position(order.listing, order.leg).lots
        return max(0, -lots if order.side == BUY else lots)

    def _check_margin(self, order: FakeOrder, already_open: bool = False) -> None:
        """Raises Refusal("leverage") or Refusal("funds")."""
        listing, account = order.listing, self.account_of(order)
        coin, wallet = listing.settle_coin, listing.wallet
        extra = None if already_open else order
        worst = self.worst_value(account, listing, extra)
        before = self.worst_value(account, listing, None)
        if worst <= before and not already_open:
            return  # it does not increase what may be open
        leverage = account.leverage_of(listing)
        if leverage > listing.bracket_of(worst).leverage_max:
            raise Refusal("leverage")
        used = self.margin_used(account, coin, wallet, listing, margin_of(worst, leverage))
        if used > EXACT.subtract(self.equity(account, coin, wallet), account.balance(coin, wallet).locked):
            raise Refusal("funds", f"{coin}: {used} of margin is needed")

    def worst_value(self, account: Account, listing: Listing, extra: FakeOrder | None) -> Decimal:
        """The largest value that a position can come to if all open orders of one side filled."""
        mark = self.mark(listing) or ZERO
        total = ZERO
        for leg in ("long", "short") if account.hedge else ("net",):
            position = account.positions.get((*listing.key, leg))
            held = EXACT.multiply(listing.amount(position.lots), mark) if position else ZERO
            sides = [held, held]
            for order in (*self._open_orders.values(), *([extra] if extra is not None else [])):
                if order.owner == account.owner and order.listing is listing and order.leg == leg:
                    if order.reduce_only or (order.waits and order.is_stop):
                        continue
                    has_price = order.order_type not in ("market", "stop_market")
                    price = order.price_ticks if has_price else self._market_price(order)
                    sign = 1 if order.side == BUY else -1
                    value = listing.notional(price, sign * order.leaves_lots)
                    sides[order.side] = EXACT.add(sides[order.side], value)
            total = EXACT.add(total, max(abs(sides[BUY]), abs(sides[SELL])))
        return total

    def margin_used(
        self,
        account: Account,
        coin: str,
        wallet: str,
        instead: Listing | None = None,
        margin: Decimal = ZERO,
    ) -> Decimal:
        """Initial margin of everything that settles in a coin; for the listing `instead`, it is `margin`."""
        total = margin
        held = {k[:2] for k, p in account.positions.items() if p.lots}
        held |= {x.listing.key for x in self._open_orders.values() if x.owner == account.owner}
        for key in held:
            listing = self.listings[key]
            if listing is instead or not listing.is_perpetual:
                continue
            if (listing.settle_coin, listing.wallet) == (coin, wallet):
                worst = self.worst_value(account, listing, None)
                total = EXACT.add(total, margin_of(worst, account.leverage_of(listing)))
        return total

    def equity(self, account: Account, coin: str, wallet: str = "") -> Decimal:
        """Balance and unrealised profit of what settles in the coin."""
        return account.equity(coin, wallet, self.listings.values(), self.mark)

    def available(self, account: Account, coin: str, wallet: str = "") -> Decimal:
        """What new positions can use."""
        free = EXACT.subtract(self.equity(account, coin, wallet), self.margin_used(account, coin, wallet))
        return EXACT.subtract(free, account.balance(coin, wallet).locked)

    # ---- reduce-only, liquidation, funding ----

    def _trim_reduce_only(self, account: Account, listing: Listing, now_ns: int) -> None:
        """Reduce-only orders together never exceed the position: the newest gives way."""
        for leg in ("net", "long", "short"):
            position = account.positions.get((*listing.key, leg))
            mine = [
                x
                for x in self._open_orders.values()
                if x.reduce_only and x.owner == account.owner and x.listing is listing and x.leg == leg
            ]
            if position is None or not mine:
                continue
            for side in (BUY, SELL):
                left = max(0, -position.lots if side == BUY else position.lots)
                for order in [x for x in mine if x.side == side and not (x.waits and x.is_stop)]:
                    left -= self._trim(order, left, now_ns)

    def _trim(self, order: FakeOrder, most_lots: int, now_ns: int) -> int:
        """Cut an order to what is left of the position; returns its open size then."""
        if order.leaves_lots > most_lots > 0:
            self.reduce(order, order.filled_lots + order.prevented_lots + most_lots, now_ns)
            self.on_amended(order, now_ns)
        elif most_lots <= 0:
            self._take_away(order, "reduce_only", now_ns)
        return order.leaves_lots

    def _pay_funding(self, now_ns: int) -> None:
        for listing in self.listings.values():
            if not listing.is_perpetual:
                continue
            number = now_ns // listing.funding_interval_ns
            if self._funded.setdefault(listing.key, number) != number:
                self._funded[listing.key] = number
                self.pay_funding(listing, Decimal(listing.funding_rate), now_ns)

    def pay_funding(self, listing: Listing, rate: Decimal, now_ns: int) -> None:
        """Every position of the listing pays or gets funding now."""
        mark = self.mark(listing)
        for account in self.accounts.values():
            if mark is not None:
                for income in account.fund(listing, rate, mark, now_ns):
                    self.on_balance(account, income.coin, income.amount, "funding", now_ns, listing)

    def _watch_margin(self, now_ns: int) -> None:
        """Liquidate who has less than his maintenance margin."""
        for account in list(self.accounts.values()):
            held = {
                (x.settle_coin, x.wallet)
                for k, p in account.positions.items()
                if p.lots and (x := self.listings.get(k[:2])) is not None
            }
            for coin, wallet in sorted(held):
                arguments = (coin, wallet, self.listings.values(), self.mark)
                if account.equity(*arguments) < account.maintenance_margin(*arguments):
                    self.liquidate(account, coin, wallet, now_ns)

    def liquidate(self, account: Account, coin: str, wallet: str, now_ns: int) -> None:
        """Cancel what is open, close all positions that settle in a coin, and make a debt good."""
        for order in self.open_orders(account):
            if order.listing.is_perpetual and order.listing.settle_coin == coin:
                self._take_away(order, "liquidation", now_ns)
        for listing, position in account.open_positions(coin, wallet, self.listings.values()):
            self.close_position(account, listing, position, abs(position.lots), "liquidation", now_ns)
        balance = account.balance(coin, wallet).total
        if balance < 0:
            account.credit("insurance", coin, -balance, now_ns, None, wallet)
            self.on_balance(account, coin, -balance, "insurance", now_ns, None)

    def close_position(
        self,
        account: Account,
        listing: Listing,
        position: Position,
        lots: int,
        nature: str,
        now_ns: int,
        at_market: bool = True,
    ) -> FakeOrder:
        """An order of the venue closes (part of) a position: at market, what nobody takes at the mark price;
        all of it there where `at_market` is False (ADL, settlement)."""
        side = SELL if position.lots > 0 else BUY
        number = self._next_number(listing)
        order = FakeOrder(
            listing, number, self.venue_id(nature, number), side, self.mark_ticks(listing), lots, "ioc", None,
            owner=account.owner, nature=nature, order_type="market", leg=position.leg, stp="expire_maker",
        )  # fmt: skip
        order.placed_ns = now_ns
        self._remember(order, now_ns)
        self.on_accepted(order, now_ns)
        if at_market:
            levels = sum(size for _, size in listing.engine.levels(1 - side))
            if levels:
                self._amending = number  # what the book does not take is not the end of it
                listing.engine.place(side, None, min(lots, levels), "ioc", account.owner, order.stp, number)
                self.settle(listing, now_ns)
                self._amending = 0
        if order.leaves_lots:
            self.fill_by_house(order, order.leaves_lots, self.mark_ticks(listing), now_ns)
        self._work(now_ns)
        return order

    def fill_by_house(self, order: FakeOrder, lots: int, price_ticks: int, now_ns: int) -> None:
        """The venue itself is the other side: a trade that is not public."""
        trade_id = order.listing.engine.next_trade_id
        order.listing.engine.next_trade_id += 1
        self._book_fill(order, trade_id, price_ticks, lots, False, now_ns)
        self._work(now_ns)

    # ---- faults of orders ----

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

    def _fill_part(self, order: FakeOrder, part: str, now_ns: int) -> None:
        """The venue lets an order trade with nobody in particular: all of it, or a share of what is left."""
        share = Decimal(1) if part == "full" else Decimal("0.5") if part == "part" else Decimal(part)
        lots = max(1, int(order.leaves_lots * share))
        if not order.waits:
            order.listing.engine.fill(order.number, lots)
            self.settle(order.listing, now_ns)

    def _kept_out(self, order: FakeOrder, now_ns: int) -> bool:
        """Faults that keep an accepted order out of the book."""
        if self._hit("order.accept_silent", order, now_ns):
            order.silent = True
        if fault := self._hit("order.reject_late", order, now_ns):
            order.waits = True
            reason = "rejected"
            self.at(now_ns + fault.ns("delay", 50 * MS), lambda t: self._take_away(order, reason, t))
            return True
        if self._hit("order.zero_fill_filled", order, now_ns):
            self._end_order(order, "zero_fill", now_ns)
            return True
        if fault := self._hit("order.split", order, now_ns):
            self._split(order, int(fault.get("k", 2)), now_ns)
        return False

    def _split(self, order: FakeOrder, k: int, now_ns: int) -> None:
        """The venue makes several orders of one: the first keeps its ids."""
        k = max(1, min(k, order.size_lots))
        rest = order.size_lots - order.size_lots // k
        order.size_lots //= k
        self.account_of(order).relock(order)
        self.on_amended(order, now_ns)
        for i in range(1, k):
            lots = rest // (k - i)
            rest -= lots
            child = FakeOrder(
                order.listing, 0, "", order.side, order.price_ticks, lots, order.tif, order.connection,
                owner=order.owner, reduce_only=order.reduce_only, leg=order.leg, stp=order.stp,
            )  # fmt: skip
            child.notes = dict(order.notes) | {"parent": order.number}
            self._todo.append(partial(self.place, order.order_type, child))

    def _disturb_placed(self, order: FakeOrder, now_ns: int) -> None:
        """Faults that befall an order in the book."""
        if order.done:
            return
        if fault := self._hit("order.fill_immediately", order, now_ns):
            self._fill_part(order, str(fault.get("part", "full")), now_ns)
        if fault := self._hit("order.expire", order, now_ns):
            reason = str(fault.get("reason", "expired"))
            self.at(now_ns + fault.ns("delay"), lambda t: self._take_away(order, reason, t))
        if fault := self._hit("order.stp", order, now_ns):
            self.at(now_ns + fault.ns("delay"), lambda t: self._take_away(order, STP_DONE, t))
        if fault := self._hit("order.amend_qty", order, now_ns):
            share = Decimal(str(fault.get("part", "0.5")))
            self.at(now_ns + fault.ns("delay"), lambda t: self._amend_by_venue(order, share, t))
        if self._hit("order.algo", order, now_ns):
            self._add_algo(order, now_ns)

    def _amend_by_venue(self, order: FakeOrder, share: Decimal, now_ns: int) -> None:
        lots = max(1, int(order.leaves_lots * share))
        if self.reduce(order, order.filled_lots + order.prevented_lots + lots, now_ns):
            order.notes["amended_by"] = "venue"
            self.on_amended(order, now_ns)

    def _add_algo(self, order: FakeOrder, now_ns: int) -> None:
        """A stop order that nobody asked for, far away: it lives where cancel-all may not look."""
        far = order.price_ticks or self.mark_ticks(order.listing)
        stop = FakeOrder(
            order.listing, 0, self.venue_id("algo", order.number), SELL, 0, order.size_lots, "ioc", None,
            owner=order.owner, leg=order.leg, trigger_ticks=max(1, far // 2), trigger_rise=False,
        )  # fmt: skip
        self.place("stop_market", stop, now_ns)

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
                {"kind": x.kind, "coin": x.coin, "amount": _text(x.amount), "now_ns": x.now_ns}
                for x in found.incomes
            ],
        }

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

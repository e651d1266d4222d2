"""The order desk of a simulated venue: orders, stops, fills, funding, liquidation.

Truth about the book is `ext.match`, truth about money `node.venues.ledger`; this file keeps both in step.
`check` (in `terms`) says why the venue would refuse an order; `place` does not ask again, except for funds
that an order must hold. What happened is told to the subclass through the `on_*` methods (in `register`).
"""

from decimal import Decimal
from functools import partial

from ext.match import DONE, FILL, LEVEL, PREVENTED, TRADE
from node.venues.faults import share_of
from node.venues.ledger import BUY, EXACT, SELL, ZERO, Account, Position, Refusal, VenueTrade
from node.venues.parts import MS, SECOND, FakeOrder, Listing
from node.venues.terms import Terms

STP_DONE = "stp"


class Desk(Terms):
    """Orders of one venue, from placing to the last fill."""

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
        order.silent = order.silent or self._hit("order.accept_silent", order, now_ns) is not None
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
        if order.reduce_only and not self._fits_position(order, now_ns):
            return
        order.filled_before = order.filled_lots
        at = None if order.order_type in ("market", "stop_market") else order.price_ticks
        tif = "ioc" if at is None and order.tif == "post_only" else order.tif
        order.listing.engine.place(
            order.side,
            at,
            order.leaves_lots,
            tif,
            order.owner,
            order.stp,
            order.number,
            position_number(order.owner, order.leg) if order.listing.is_perpetual else 0,
            order.reduce_only,
        )
        self.settle(order.listing, now_ns)

    def _fits_position(self, order: FakeOrder, now_ns: int) -> bool:
        """A reduce-only order goes to the book no larger than what it can reduce, or not at all."""
        closable = self.closable(order)
        if closable <= 0:
            self._end_order(order, "reduce_only", now_ns)
        elif order.leaves_lots > closable:
            order.size_lots -= order.leaves_lots - closable
            order.note(now_ns)
            self.on_amended(order, now_ns)
        return closable > 0

    def cancel(self, order: FakeOrder, now_ns: int, reason: str = "canceled") -> bool:
        """Cancel; False where the order is not open any more, or in a phase in which nobody may."""
        self.settle(order.listing, now_ns)
        if order.listing.status == "no_cancel" and reason == "canceled":
            return False
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
        refusal = (self.filter_price(listing, order.side, price) if has_price else None) or (
            self.filter_size(listing, size, has_price)
        )
        return "" if refusal is None else refusal.name

    def _move_in_book(self, order: FakeOrder, price: int, size: int, now_ns: int) -> str:
        account, before = self.account_of(order), (order.price_ticks, order.size_lots)
        order.price_ticks, order.size_lots = price, size
        try:
            if not order.listing.is_perpetual and order.is_resting:
                account.lock(order)
            elif order.listing.is_perpetual and not order.reduce_only:
                self._filter_margin(order, already_open=True)
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
                self._fire_stop(order)

    def _trigger_by_mark(self, now_ns: int) -> None:
        for order in list(self._stop_orders.values()):
            price = self.trigger_price(order.listing, order.trigger_on) if order.trigger_on != "last" else 0
            if price and self._is_triggered(order, price):
                self._fire_stop(order)
        self._work(now_ns)

    def _fire_stop(self, order: FakeOrder) -> None:
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
        refusal = self._filter_funds(order)
        if refusal is not None:
            self._end_order(order, refusal.name, now_ns)
            return
        self.on_triggered(order, now_ns)
        self._enter(order, now_ns)

    # ---- what the engine did ----

    def settle(self, listing: Listing, now_ns: int) -> None:
        """Turn what the matching engine did into changed levels, public trades and order events."""
        self.now_ns = max(self.now_ns, now_ns)
        events = listing.engine.take()
        if events:
            self._settling += 1
            try:
                self._settle_events(listing, events, now_ns)
            finally:
                self._settling -= 1
        if self._moved:
            self._tell_positions()
        top = (listing.engine.best(BUY), listing.engine.best(SELL))
        if top != listing.top:
            listing.top = top
            self.tell_quote(listing, now_ns)
        if self._todo and not self._amending:
            self._work(now_ns)

    def _tell_positions(self) -> None:
        """The matching engines hear what positions came to, once all that they did is booked."""
        while self._moved and not self._settling:
            account, key, leg = self._moved.pop()
            listing = self.listings[key]
            lots = account.position(listing, leg).lots
            listing.engine.set_position(position_number(account.owner, leg), lots)

    def _settle_events(self, listing: Listing, events: list[tuple], now_ns: int) -> None:
        for event in events:
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
            self._moved.add((account, listing.key, order.leg))
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

    def pay_funding(self, listing: Listing, rate: Decimal, now_ns: int) -> int:
        """Every position of the listing pays or gets funding now; returns how many there were."""
        mark, count = self.mark(listing), 0
        for account in self.accounts.values():
            for income in account.fund(listing, rate, mark, now_ns) if mark is not None else ():
                self.on_balance(account, income.coin, income.amount, "funding", now_ns, listing)
                count += 1
        return count

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
        all of it there where `at_market` is False (ADL), and at the index where it is settled."""
        side = SELL if position.lots > 0 else BUY
        number = self._next_number(listing)
        price_ticks = (self.index_ticks if nature == "settlement" else self.mark_ticks)(listing)
        order = FakeOrder(
            listing, number, self.venue_id(nature, number), side, price_ticks, lots, "ioc", None,
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
            self.fill_by_house(order, order.leaves_lots, price_ticks, now_ns)
        self._work(now_ns)
        return order

    def fill_by_house(self, order: FakeOrder, lots: int, price_ticks: int, now_ns: int) -> None:
        """The venue itself is the other side: a trade that is not public."""
        trade_id = order.listing.engine.next_trade_id
        order.listing.engine.next_trade_id += 1
        self._book_fill(order, trade_id, price_ticks, lots, False, now_ns)
        self._tell_positions()
        self._work(now_ns)

    # ---- faults of orders ----

    def _fill_part(self, order: FakeOrder, part: str, now_ns: int) -> None:
        """The venue lets an order trade with nobody in particular: all of it, or a share of what is left."""
        lots = max(1, int(order.leaves_lots * share_of(part)))
        if not order.waits:
            order.listing.engine.fill(order.number, lots)
            self.settle(order.listing, now_ns)

    def _kept_out(self, order: FakeOrder, now_ns: int) -> bool:
        """Faults that keep an accepted order out of the book."""
        if fault := self._hit("order.reject_late", order, now_ns):
            order.waits = True
            reason = "rejected"
            self.at(now_ns + fault.ns("delay", 50 * MS), lambda t: self._take_away(order, reason, t))
            return True
        if self._hit("order.zero_fill_filled", order, now_ns):
            self._end_order(order, "zero_fill", now_ns)
            return True
        if "parent" not in order.notes and (fault := self._hit("order.split", order, now_ns)):
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
            share = share_of(fault.get("part", "part"))
            self.at(now_ns + fault.ns("delay"), lambda t: self._amend_by_venue(order, share, t))
        if not order.is_stop and self._hit("order.algo", order, now_ns):
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


def position_number(owner: int, leg: str) -> int:
    """What a matching engine knows a leg of an account by."""
    return owner * 4 + {"net": 1, "long": 2, "short": 3}[leg]

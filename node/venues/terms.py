"""The terms a venue trades on: fees, filters, funds and margin. `check` says why it would refuse an order."""

from decimal import Decimal

from node.venues.ledger import BUY, EXACT, ROUND, SELL, ZERO, Account, Refusal, margin_of
from node.venues.parts import FakeOrder, Listing
from node.venues.register import Register


class Terms(Register):
    """Fees, filters, funds and margin of one venue."""

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
            self._filter_status(listing, account, order)
            or (self.filter_price(listing, order.side, order.price_ticks) if has_price else None)
            or self.filter_size(listing, order.size_lots, has_price)
            or self._filter_reduce_only(order)
            or self._filter_notional(order, has_price)
            or self._filter_count(order, account)
            or self._filter_funds(order)
        )

    def _filter_status(self, listing: Listing, account: Account, order: FakeOrder) -> Refusal | None:
        if account.frozen:
            return Refusal("frozen")
        if listing.status == "post_only" and order.tif == "post_only":
            return None
        if listing.status == "reduce_only":
            reduces = order.reduce_only if listing.is_perpetual else order.side == SELL
            return None if reduces else Refusal("delisting")
        return None if listing.status == "trading" else Refusal("status", listing.status)

    def filter_price(self, listing: Listing, side: int, price_ticks: int) -> Refusal | None:
        """Tick and percent-price, also for an amend."""
        if price_ticks <= 0 or price_ticks % listing.tick_multiple:
            return Refusal("tick")
        mark = self.mark_ticks(listing)
        if mark and listing.price_up and price_ticks > mark * Decimal(listing.price_up):
            return Refusal("percent_price", "above")
        if mark and listing.price_down and price_ticks < mark * Decimal(listing.price_down):
            return Refusal("percent_price", "below")
        return None

    def filter_size(self, listing: Listing, size_lots: int, has_price: bool) -> Refusal | None:
        """Lot and sizes, also for an amend; orders without a price have limits of their own."""
        if size_lots <= 0:
            return Refusal("lot")
        size = EXACT.multiply(Decimal(listing.lot), Decimal(size_lots))
        most = listing.max_size if has_price else listing.max_market_size or listing.max_size
        if listing.min_size and size < Decimal(listing.min_size):
            return Refusal("min_size")
        return Refusal("max_size") if most and size > Decimal(most) else None

    def _filter_reduce_only(self, order: FakeOrder) -> Refusal | None:
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

    def _filter_notional(self, order: FakeOrder, has_price: bool) -> Refusal | None:
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

    def _filter_count(self, order: FakeOrder, account: Account) -> Refusal | None:
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

    def _filter_funds(self, order: FakeOrder) -> Refusal | None:
        try:
            if order.listing.is_perpetual:
                if not order.reduce_only:
                    self._filter_margin(order)
            elif not order.locked:
                self._filter_spot_funds(order)
        except Refusal as refusal:
            return refusal
        return None

    def _filter_spot_funds(self, order: FakeOrder) -> None:
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

    def _filter_margin(self, order: FakeOrder, already_open: bool = False) -> None:
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

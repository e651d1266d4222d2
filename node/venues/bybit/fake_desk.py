"""Order entry at the simulated Bybit: create, amend, cancel, one by one and in batches, and what becomes
of it.

An acknowledgement says that a request was taken, no more: what happened is told by the private streams.
`ack_first` says which of the two a client sees first. Source: bybit-exchange/docs `docs/v5/order/`.
"""

from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from node.venues.bybit import rules
from node.venues.bybit.fake_codes import DECIMAL, Denial, plain, price_of, refused
from node.venues.bybit.fake_orders import BATCH_ITEMS, OrderChecks, Who
from node.venues.bybit.fake_private import ENDINGS, settings, ticket
from node.venues.bybit.rules import LINEAR, SPOT
from node.venues.fakes import BUY, MS, SELL, Account, Connection, FakeOrder, Listing, Refusal, VenueTrade

GONE = {LINEAR: (110001, "order not exists or too late to"), SPOT: (170213, "Order does not exist.")}
AMEND_REFUSED = {"filled": (110064, 170313), "funds": (110007, 170131)}
UNCHANGED = "order remains unchanged as the parameters entered match the existing ones."
LINEAR_CANCEL_ALL = 500
CLOSED_ROWS = 10_000
Acted = tuple[FakeOrder, Callable[[int], None]]  # the order, and what is to be done once it is acknowledged


class OrderEntry(OrderChecks):
    """What clients ask for, and what the matching engine says to it."""

    ack_first = True

    def __init__(self, *args: Any, **more: Any):
        super().__init__(*args, **more)
        self._closed_rows: dict[int, OrderedDict[str, dict]] = {}  # owner -> order id -> row of closed profit

    # ---- one request: check it now, do it after the acknowledgement ----

    def prepare(self, who: Who, op: str, wish: dict, connection: Connection | None, now_ns: int) -> Acted:
        """`op` is create, amend or cancel. Raises Denial."""
        if op == "create":
            order = self.accept(who, wish, connection, now_ns)
            self.give_id(order)
            return order, lambda t: self.enter(order, t)
        order = self.find_wish(who, wish, op)
        if op == "cancel":
            return order, lambda t: self.cancel_order(order, t)
        return order, self.prepare_amend(order, wish, now_ns)

    def enter(self, order: FakeOrder, now_ns: int) -> None:
        """To the engine, or to the stops."""
        account = self.account_of(order)
        try:
            self.place(order.order_type, order, now_ns)
        except Refusal:  # another order took the money meanwhile
            order.done, order.done_ns, order.placed_ns = "funds", now_ns, now_ns
            self.push_order(order, "Rejected", now_ns, "UNKNOWN", "EC_Others")
        self.after_action(account, order, now_ns)

    def after_action(self, account: Account, order: FakeOrder, now_ns: int) -> None:
        """On every order action the position is told, and what is locked changes."""
        self.push_position(account, order.listing, order.leg, now_ns)
        self._wallet_due.setdefault(account.owner, set()).update(self._coins_of(order))

    def _coins_of(self, order: FakeOrder) -> set[str]:
        listing = order.listing
        return {listing.settle_coin} if listing.market == LINEAR else set(listing.coins)

    # ---- which order ----

    def find_wish(self, who: Who, wish: dict, op: str) -> FakeOrder:
        """The open order that an amend or cancel names; `orderId` wins over `orderLinkId`. Raises Denial."""
        listing = self._listing(wish)
        venue_id, client_id = wish.get("orderId"), wish.get("orderLinkId")
        if not venue_id and not client_id:
            raise Denial(10001, "params error: OrderId or orderLinkId is required")
        if venue_id:
            order = self._venue_ids.get(str(venue_id))
        else:
            order = self.find_order(listing, str(client_id), 0, who.account)
        code, text = GONE[listing.market]
        is_there = (
            order is not None
            and not order.done
            and order.listing is listing
            and order.owner == who.account.owner
        )
        if order is None or not is_there or not self._filter_fits(order, wish):
            text = f"{text} {'replace' if op == 'amend' else 'cancel'}" if listing.market == LINEAR else text
            raise Denial(code, text)
        return order

    @staticmethod
    def _filter_fits(order: FakeOrder, wish: dict) -> bool:
        """Spot looks for plain orders unless told otherwise; one that was triggered is a plain order."""
        if order.listing.market != SPOT or "orderFilter" not in wish:
            return True
        return str(wish["orderFilter"]) == (ticket(order).filter if order.waits else "Order")

    # ---- cancel ----

    def cancel_order(self, order: FakeOrder, now_ns: int) -> None:
        if order.listing.status == "no_cancel":
            raise refused("no_cancel", order.listing.market)
        ticket(order).cancel_asked = True
        if not self.cancel(order, now_ns) and order.done == "filled":  # a fill was faster: told twice
            self.push_order(order, "Filled", now_ns, "CancelByUser", "EC_OrigClOrdIDDoesNotExist")
        self.after_action(self.account_of(order), order, now_ns)

    def cancel_many(self, who: Who, wish: dict, now_ns: int) -> dict:
        """cancel-all: linear needs to be told which, and takes at most 500."""
        market = next((m for m, name in rules.CATEGORY.items() if name == wish.get("category")), None)
        if market is None:
            raise Denial(10001, "Illegal category")
        if market == LINEAR and not any(wish.get(x) for x in ("symbol", "baseCoin", "settleCoin")):
            raise Denial(10001, "params error: symbol, baseCoin or settleCoin is required")
        if wish.get("symbol"):
            self._listing(wish)
        orders = [x for x in self.open_orders(who.account, market) if self._in_scope(x, wish)]
        if market == LINEAR:
            orders = orders[:LINEAR_CANCEL_ALL]
        rows = [{"orderId": ticket(x).id, "orderLinkId": x.client_id} for x in orders]
        for order in orders:
            self.cancel_order(order, now_ns)
        return {"list": rows, "success": "1"}

    @staticmethod
    def _in_scope(order: FakeOrder, wish: dict) -> bool:
        listing, mine = order.listing, ticket(order)
        wanted = wish.get("orderFilter") or ("Order" if listing.market == SPOT else "")
        if wish.get("symbol"):
            if listing.symbol != wish["symbol"]:
                return False
        elif wish.get("baseCoin"):
            if listing.coins[0] != wish["baseCoin"]:
                return False
        elif wish.get("settleCoin") and listing.settle_coin != wish["settleCoin"]:
            return False
        if wish.get("stopOrderType") and mine.stop_type != wish["stopOrderType"]:
            return False
        kind = mine.filter if order.waits else "Order"
        return not wanted or wanted == kind or (wanted == "OpenOrder" and not order.waits)

    # ---- amend ----

    def prepare_amend(self, order: FakeOrder, wish: dict, now_ns: int) -> Callable[[int], None]:
        """Check an amend; what it returns carries it out. Raises Denial."""
        listing, mine = order.listing, ticket(order)
        price, size, trigger = wish.get("price"), wish.get("qty"), wish.get("triggerPrice")
        price_ticks = self.price_ticks(listing, price) if price not in (None, "") else None
        size_lots = self._amend_size(order, size) if size not in (None, "") else None
        trigger_ticks = (
            self.price_ticks(listing, trigger) if trigger not in (None, "") and order.waits else None
        )
        exits = self._amend_exits(listing, wish)
        same = (
            price_ticks in (None, order.price_ticks)
            and size_lots in (None, order.size_lots)
            and trigger_ticks in (None, order.trigger_ticks)
            and all(mine.exits.get(name, "0") == text for name, text in exits.items())
        )
        if same:
            raise Denial(10001, UNCHANGED)
        if size_lots is not None and size_lots <= order.filled_lots:
            raise Denial(AMEND_REFUSED["filled"][listing.market == SPOT])

        def amend(t: int) -> None:
            self.amend_order(order, price_ticks, size_lots, trigger_ticks, exits, t)

        return amend

    def _amend_size(self, order: FakeOrder, text: object) -> int:
        if not isinstance(text, str) or not DECIMAL.fullmatch(text):
            raise Denial(10001, "Qty invalid")
        size_lots = self.size_lots(order.listing, text)
        refusal = self.filter_size(order.listing, size_lots, True)
        if refusal is not None:
            raise self.denial(refusal, order.listing)
        return size_lots

    def _amend_exits(self, listing: Listing, wish: dict) -> dict[str, str]:
        out = {}
        for name in ("takeProfit", "stopLoss", "tpLimitPrice", "slLimitPrice"):
            if wish.get(name) not in (None, ""):
                is_off = Decimal(str(wish[name])) == 0 if DECIMAL.fullmatch(str(wish[name])) else False
                out[name] = (
                    "0" if is_off else listing.price_grid.format(self.price_ticks(listing, wish[name]))
                )
        return out

    def amend_order(
        self,
        order: FakeOrder,
        price_ticks: int | None,
        size_lots: int | None,
        trigger_ticks: int | None,
        exits: dict[str, str],
        now_ns: int,
    ) -> None:
        mine = ticket(order)
        if order.done:  # it was filled meanwhile
            return
        for name, text in exits.items():
            mine.exits[name] = text
            if text == "0":
                del mine.exits[name]
        if trigger_ticks is not None:
            order.trigger_ticks = trigger_ticks
            mine.trigger_price = order.listing.price_grid.format(trigger_ticks)
        changes = price_ticks not in (None, order.price_ticks) or size_lots not in (None, order.size_lots)
        if changes:
            mine.took_by_amend = price_ticks is not None and self._would_take(order, price_ticks)
            if why := self.amend(order, price_ticks, size_lots, now_ns):
                self.on_amend_failed(order, why, now_ns)
        else:
            self.on_amended(order, now_ns)
        self.after_action(self.account_of(order), order, now_ns)

    @staticmethod
    def _would_take(order: FakeOrder, price_ticks: int) -> bool:
        best = order.listing.engine.best(1 - order.side)
        return best is not None and (price_ticks >= best[0] if order.side == BUY else price_ticks <= best[0])

    # ---- batches ----

    def prepare_batch(
        self, who: Who, op: str, wish: dict, connection: Connection | None, now_ns: int
    ) -> tuple[dict, dict, list[Acted], dict[str, str]]:
        """(result, retExtInfo, what is to be done, headers): every item is a request of its own; the items
        beyond the rate limit fail one by one."""
        category, items = wish.get("category"), wish.get("request")
        market = next((m for m, name in rules.CATEGORY.items() if name == category), None)
        if market is None:
            raise Denial(10001, "Illegal category")
        if not isinstance(items, list) or not items or not all(isinstance(x, dict) for x in items):
            raise Denial(10001, "params error: request invalid")
        if len(items) > BATCH_ITEMS[market]:
            raise Denial(10001, f"Batch size is over the limit of {BATCH_ITEMS[market]}")
        limit = self.order_limit(op, market)
        takes = max(min(len(items), self.room(who, f"{op}-batch", market, now_ns)), 0)
        headers = self.spend(who, f"{op}-batch", market, limit, takes, now_ns)
        rows, codes, acts = [], [], []
        for i, item in enumerate(items):
            row, code, act = self._batch_item(
                who, op, {**item, "category": category}, connection, i < takes, now_ns
            )
            if row is not None:
                rows.append(row)
                codes.append(code)
            if act is not None:
                acts.append(act)
        return {"list": rows}, {"list": codes}, acts, headers

    def _batch_item(
        self, who: Who, op: str, item: dict, connection: Connection | None, has_room: bool, now_ns: int
    ) -> tuple[dict | None, dict, Acted | None]:
        row = {"category": item["category"], "symbol": str(item.get("symbol", ""))}
        ids = {"orderId": str(item.get("orderId") or ""), "orderLinkId": str(item.get("orderLinkId") or "")}
        created = {"createAt": ""} if op == "create" else {}
        try:
            if not has_room:
                raise Denial(10006)
            order, act = self.prepare(who, op, item, connection, now_ns)
            fault = self.item_fault(order)
            if fault is not None and fault.get("code"):
                code = str(fault.get("code"))
                raise Denial(int(code) if code.lstrip("-").isdigit() else 10001)
        except Denial as denial:
            if op == "create":
                ids["orderId"] = ""
            return row | ids | created, {"code": denial.code, "msg": denial.text}, None
        if fault is not None and fault.get("missing"):
            return None, {}, (order, act)
        ids = {"orderId": ticket(order).id, "orderLinkId": order.client_id}
        created = {"createAt": str(now_ns // MS)} if op == "create" else {}
        return row | ids | created, {"code": 0, "msg": "OK"}, (order, act)

    # ---- what the engine says ----

    def _enter(self, order: FakeOrder, now_ns: int) -> None:
        """Untriggered and New are told before anything else happens to the order; immediate ones have no
        New."""
        mine = ticket(order)
        waits = order.is_stop and not order.triggered_ns
        if waits:
            self.push_order(order, "Untriggered", now_ns)
        elif order.tif == "gtc" and not mine.announced:
            mine.announced = True
            self.push_order(order, "New", now_ns)
        super()._enter(order, now_ns)
        if not waits and order.tif == "post_only" and not order.done and not mine.announced:
            mine.announced = True
            self.push_order(order, "New", now_ns)

    def on_triggered(self, order: FakeOrder, now_ns: int) -> None:
        mine = ticket(order)
        if order.order_type == "stop_market":
            order.tif = "ioc"
        self.push_order(order, "Triggered", now_ns)
        if mine.stop_type == "Stop":
            mine.create_type = "CreateByStopOrder"

    def on_amended(self, order: FakeOrder, now_ns: int) -> None:
        self.push_order(order, self._open_status(order), now_ns)

    def on_amend_failed(self, order: FakeOrder, reason: str, now_ns: int) -> None:
        """Nothing changed: the order is told as it stands."""
        if not order.done:
            self.push_order(order, self._open_status(order), now_ns, "UNKNOWN", "EC_CancelReplaceOrder")

    @staticmethod
    def _open_status(order: FakeOrder) -> str:
        if order.waits and order.is_stop:
            return "Untriggered"
        return "PartiallyFilled" if order.filled_lots else "New"

    def on_fill(self, order: FakeOrder, trade_id, price_ticks, size_lots, is_maker, now_ns) -> None:
        account, listing, mine, trade = self.account_of(order), order.listing, ticket(order), self.trade
        assert trade is not None, "a fill has a booked trade"
        mine.fills += 1
        rate = self.rates(account, listing)[0 if is_maker else 1]
        number_of = 2100000000000000000 + 2 * trade_id + is_maker
        exec_id = self._trade_id(listing, f"fill {trade_id} {order.number}", number_of)
        fee = (trade.fee, trade.fee_coin, rate)
        row = self.execution_row(order, price_ticks, size_lots, fee, is_maker, now_ns, exec_id)
        if listing.market == LINEAR:
            closed = self._count_profit(account, order, trade)
            row |= {"closedSize": listing.size_grid.format(closed), "execPnl": plain(trade.realised)}
        self.push_execution(order, row, now_ns)
        status, why = self._fill_status(order)
        self.push_order(order, status, now_ns, "UNKNOWN", why)
        self.attach_exits(order, size_lots, now_ns)
        self.push_position(account, listing, order.leg, now_ns)
        self._wallet_due.setdefault(account.owner, set()).update(self._coins_of(order) | {trade.fee_coin})

    def _fill_status(self, order: FakeOrder) -> tuple[str, str]:
        mine = ticket(order)
        if order.done != "filled":
            return "PartiallyFilled", "EC_NoError"
        if mine.by_value and mine.budget > order.value:  # the usual end of a spot market order by value
            return "PartiallyFilledCanceled", "EC_CancelForNoFullFill"
        return "Filled", "EC_NoError"

    def _count_profit(self, account: Account, order: FakeOrder, trade: VenueTrade) -> int:
        """Lots of the position that a fill closed; keeps the sums that Bybit shows."""
        listing, mine = order.listing, ticket(order)
        position = account.position(listing, order.leg)
        signed = trade.size_lots if trade.side == BUY else -trade.size_lots
        before = position.lots - signed
        closed = min(abs(before), trade.size_lots) if before * signed < 0 else 0
        key, kept = (listing.key, order.leg), settings(account).realised
        kept[key] = kept.get(key, Decimal(0)) + trade.realised - trade.fee
        if closed:
            mine.closed_pnl += trade.realised - trade.fee
            mine.closed_lots += closed
            self._keep_closed(account, order, trade, closed)
        return closed

    def _keep_closed(self, account: Account, order: FakeOrder, trade: VenueTrade, closed: int) -> None:
        listing, mine, rows = (
            order.listing,
            ticket(order),
            self._closed_rows.setdefault(account.owner, OrderedDict()),
        )
        row = rows.setdefault(mine.id, {"entry": Decimal(0), "exit": Decimal(0), "lots": 0, "fills": 0})
        exit_value = price_of(listing, trade.price_ticks) * listing.amount(closed)
        sign = 1 if order.side == SELL else -1
        row["exit"] += exit_value
        row["entry"] += exit_value - sign * trade.realised
        row["lots"] += closed
        row["fills"] += 1
        row |= {
            "order": order,
            "pnl": mine.closed_pnl,
            "now_ns": trade.now_ns,
            "leverage": account.leverage_of(listing),
        }
        rows.move_to_end(mine.id)
        if len(rows) > CLOSED_ROWS:
            rows.popitem(last=False)

    def on_done(self, order: FakeOrder, reason: str, now_ns: int) -> None:
        mine, is_spot = ticket(order), order.listing.market == SPOT
        if reason == "zero_fill":
            self.push_order(order, "Filled", now_ns)
            return
        linear, spot, cancel_type, why = ENDINGS.get(reason, ENDINGS["expired"])
        status = spot if is_spot else linear
        if order.is_stop and not order.triggered_ns and status == "Cancelled":
            status = "Deactivated"
        elif is_spot and order.filled_lots:
            status = "PartiallyFilledCanceled"
        if is_spot and mine.by_value and reason == "ioc" and order.filled_lots:
            why = "EC_CancelForNoFullFill"
        self.push_order(order, status, now_ns, cancel_type, why)
        self._wallet_due.setdefault(order.owner, set()).update(self._coins_of(order))

    def on_prevented(
        self, taker: FakeOrder, maker: FakeOrder, price_ticks: int, size_lots: int, now_ns: int
    ) -> None:
        ticket(taker).smp_order, ticket(maker).smp_order = ticket(maker).id, ticket(taker).id

    def attach_exits(self, order: FakeOrder, size_lots: int, now_ns: int) -> None:
        """Take profit and stop loss that an order brought with it, once it fills."""

    def venue_id(self, nature: str, number: int) -> str:
        """Orders of the venue itself have no client id."""
        return ""

    def fee_side(self, order: FakeOrder, rate: Decimal) -> str:
        """A rebate is in the other coin."""
        if order.listing.market == SPOT and rate < 0:
            return "quote" if order.side == BUY else "base"
        return super().fee_side(order, rate)

    # ---- money without a trade ----

    def on_balance(
        self, account: Account, coin: str, amount: Decimal, kind: str, now_ns: int, listing: Listing | None
    ) -> None:
        self._wallet_due.setdefault(account.owner, set()).add(coin)
        if kind == "funding" and listing is not None:
            self._push_funding(account, listing, amount, now_ns)

    def _push_funding(self, account: Account, listing: Listing, amount: Decimal, now_ns: int) -> None:
        """An execution that is no trade: the fee is what was paid."""
        held = [p for key, p in account.positions.items() if key[:2] == listing.key and p.lots]
        if not held:
            return
        self._executed += 1
        lots = sum(p.lots for p in held)
        side = BUY if lots >= 0 else SELL
        order = FakeOrder(
            listing, 0, "", side, self.mark_ticks(listing), abs(lots), "gtc", None, owner=account.owner
        )
        mine = ticket(order)
        mine.id, mine.type = self._uuid("funding order", self._executed), "UNKNOWN"
        mark = self.mark_ticks(listing)
        rate = Decimal(listing.funding_rate)
        exec_id = self._uuid("funding", self._executed)
        row = self.execution_row(
            order, mark, abs(lots), (-amount, listing.settle_coin, rate), False, now_ns, exec_id
        )
        row |= {"execType": "Funding", "leavesQty": "0", "orderPrice": "0", "orderQty": "0", "closedSize": ""}
        self.push_execution(order, row, now_ns)

    def on_config(self, account: Account, what: str, listing: Listing | None, now_ns: int) -> None:
        """Leverage or mode changed: positions are told, and nothing else is."""
        for each in self.listings.values():
            if each.market == LINEAR and listing in (None, each):
                for leg in self.legs(account):
                    self.push_position(account, each, leg, now_ns)

    def flush_wallets(self, now_ns: int) -> None:
        due, self._wallet_due = self._wallet_due, {}
        for owner, coins in due.items():
            if owner in self.accounts:
                self.push_wallet(self.accounts[owner], coins, now_ns)

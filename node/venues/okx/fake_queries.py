"""Order look-ups of the simulated OKX, and what acts on many orders: close-position, cancel-all-after.

Sources: docs-v5 "Order book trading / Trade". Orders canceled without a fill are findable for two hours.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import partial

from node.venues.fakes import BUY, MS, SELL, FakeOrder, Listing, VenueTrade
from node.venues.ledger import Account
from node.venues.okx.fake_account import in_time
from node.venues.okx.fake_errors import Problem
from node.venues.okx.fake_market import page
from node.venues.okx.fake_orders import OrderSide, side_of, state_of
from node.venues.okx.fake_reading import Terms, terms_of
from node.venues.okx.fake_rows import (
    BLANK_FILL,
    FIRST_ORDER,
    KINDS,
    SECOND,
    TAG,
    covers,
    flag_in,
    ms,
    objects,
    order_id,
    plain,
    quote_of,
    text_in,
    type_of,
)

HOUR_NS = 3600 * SECOND
TIMER_SECONDS = (10, 120)
TIMERS_MAX = 20
BATCH_MAX = 20
DAY_NS = 24 * HOUR_NS


class QuerySide(OrderSide):
    """REST calls about orders."""

    retention_ns = 2 * HOUR_NS
    _expires: str  # header `expTime` of the request that is being answered

    # ---- requests ----

    def _object(self, body: object) -> dict:
        if not isinstance(body, dict):
            raise Problem("50002")
        return body

    def _batch(self, body: object) -> list[dict]:
        args = objects(body)
        if not args:
            raise Problem("50002")
        if len(args) > BATCH_MAX:
            raise Problem("51111", BATCH_MAX)
        return args

    def _in_time(self, now_ns: int) -> None:
        if expired(self._expires or None, now_ns):
            raise Problem("50037")

    def rest_place(self, account: Account, body: object, now_ns: int) -> list:
        self._in_time(now_ns)
        return self.place_each(account, None, [self._object(body)], now_ns, False, False)

    def rest_place_batch(self, account: Account, body: object, now_ns: int) -> list:
        self._in_time(now_ns)
        return self.place_each(account, None, self._batch(body), now_ns, True, False)

    def rest_cancel(self, account: Account, body: object, now_ns: int) -> list:
        return self.cancel_each(account, [self._object(body)], now_ns, False, False)

    def rest_cancel_batch(self, account: Account, body: object, now_ns: int) -> list:
        return self.cancel_each(account, self._batch(body), now_ns, True, False)

    def rest_amend(self, account: Account, body: object, now_ns: int) -> list:
        self._in_time(now_ns)
        return self.amend_each(account, [self._object(body)], now_ns, False, False)

    def rest_amend_batch(self, account: Account, body: object, now_ns: int) -> list:
        self._in_time(now_ns)
        return self.amend_each(account, self._batch(body), now_ns, True, False)

    def rest_precheck(self, account: Account, body: object, now_ns: int) -> list:
        """For multi-currency and portfolio margin only: this account is in futures mode."""
        raise Problem("51010")

    def rest_mass_cancel(self, account: Account, body: object, now_ns: int) -> list:
        """For options with market maker protection only."""
        arg = self._object(body)
        if text_in(arg, "instType") != "OPTION":
            raise Problem("51000", "instType")
        return [{"result": True}]

    def rest_rate_limit(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        row = {"accRateLimit": "1000", "fillRatio": "0", "mainFillRatio": "0", "nextAccRateLimit": "1000"}
        return [row | {"ts": ms(now_ns)}]

    # ---- orders ----

    def is_order(self, order: FakeOrder) -> bool:
        """Not an algo order that waits, or that came to nothing."""
        return not order.is_stop or bool(terms_of(order).algo_id)

    def order_meant(self, account: Account, listing: Listing, arg: dict) -> FakeOrder | None:
        order = super().order_meant(account, listing, arg)
        by_number = bool(arg.get("ordId"))
        if order is None or not self.is_order(order) or (order.is_stop and not by_number):
            return None
        return order

    def rest_order(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        listing = self.listing_named(query.get("instId"))
        self.spend("order query", (account.owner, listing.symbol), 1, 60, 2 * SECOND, now_ns)
        self.settle(listing, now_ns)
        order = self.order_meant(account, listing, query)
        if order is None:
            raise Problem("51603")
        return [self.order_row(order)]

    def _rows(self, orders: list[FakeOrder], query: dict[str, str]) -> Iterator[dict]:
        """Newest first, by what a query names."""
        kinds = [x for x in (query.get("ordType") or "").split(",") if x]
        named = {k: query.get(k) for k in ("instType", "instFamily", "uly", "instId")}
        chosen = [x for x in orders if self.is_order(x) and covers(named, x.listing)]
        for order in sorted(chosen, key=lambda x: x.number, reverse=True):
            terms = terms_of(order)
            if (
                (not kinds or terms.kind in kinds)
                and query.get("state") in (None, "", state_of(order))
                and query.get("category") in (None, "", terms.category)
            ):
                yield self.order_row(order)

    def rest_pending(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        self._settle_all(now_ns)
        return _page_of_orders(self._rows(self.open_orders(account), query), query)

    def _history(self, account: Account, query: dict[str, str], now_ns: int, days: int) -> list:
        if query.get("instType") not in KINDS:
            raise Problem("51000", "instType")
        self._settle_all(now_ns)
        begin, end = query.get("begin") or "0", query.get("end") or "9" * 15
        if not (begin.isascii() and begin.isdigit() and end.isascii() and end.isdigit()):
            raise Problem("51000", "begin")
        closed = [
            x
            for x in self.closed_orders(account)
            if now_ns - x.done_ns <= days * DAY_NS and int(begin) <= x.placed_ns // MS <= int(end)
        ]
        return _page_of_orders(self._rows(closed, query), query)

    def rest_history(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        return self._history(account, query, now_ns, 7)

    def rest_archive(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        return self._history(account, query, now_ns, 92)

    def _settle_all(self, now_ns: int) -> None:
        for listing in self.by_symbol.values():
            self.settle(listing, now_ns)

    # ---- fills ----

    def rest_fills(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        self._settle_all(now_ns)
        named = {k: query.get(k) for k in ("instType", "instFamily", "uly", "instId")}
        rows = (
            self.fill_row(x)
            for x in reversed(self.trades(account))
            if covers(named, x.listing) and query.get("ordId") in (None, "", order_id(x.order.number))
        )
        rows = (x for x in rows if query.get("subType") in (None, "", x["subType"]))
        return page(in_time(rows, query), "billId", query, 100)

    def fill_row(self, trade: VenueTrade) -> dict:
        listing, order = trade.listing, trade.order
        terms = terms_of(order)
        forced = trade.nature != "trade"
        maker, taker = self.rates(self.account_of(order), listing)
        bill = self._trade_bill(trade)
        return BLANK_FILL | {
            "instType": type_of(listing),
            "instId": listing.symbol,
            "tradeId": str(-trade.id if forced else trade.id),
            "ordId": order_id(order.number),
            "clOrdId": "" if order.is_stop else order.client_id,
            "billId": str(FIRST_ORDER + trade.number * 10),
            "subType": bill["subType"],
            "tag": terms.tag,
            "fillPx": listing.price_grid.format(trade.price_ticks),
            "fillSz": plain(Decimal(listing.size_grid.format(trade.size_lots))),
            "fillPnl": plain(trade.realised),
            "fillTime": ms(trade.now_ns),
            "side": side_of(order),
            "posSide": order.leg if listing.is_perpetual else "net",
            "execType": "M" if trade.is_maker else "T",
            "fee": plain(-trade.fee),
            "feeCcy": trade.fee_coin,
            "feeRate": plain(-(maker if trade.is_maker else taker)),
            "ts": ms(trade.now_ns),
            "tradeQuoteCcy": "" if listing.is_perpetual else quote_of(listing),
        }

    # ---- closing and cancelling ----

    def rest_close(self, account: Account, body: object, now_ns: int) -> list:
        """Close a whole position at market."""
        arg = self._object(body)
        listing, leg = self.listing_named(arg.get("instId")), text_in(arg, "posSide") or "net"
        if not listing.is_perpetual:
            raise Problem("51015")
        if text_in(arg, "mgnMode") not in ("cross", "isolated"):
            raise Problem("51000", "mgnMode")
        if account.hedge == (leg == "net"):
            raise Problem("51000", "posSide")
        client_id, tag = self.read_client_id(account, arg), text_in(arg, "tag")
        if tag and not TAG.fullmatch(tag):
            raise Problem("51000", "tag")
        self.spend("close-position", (account.owner, listing.symbol), 1, 20, 2 * SECOND, now_ns)
        self.settle(listing, now_ns)
        position = account.position(listing, leg)
        if not position.lots:
            raise Problem("51023")
        side = SELL if position.lots > 0 else BUY
        mine = [x for x in self.open_orders(account, None, listing) if self.is_order(x)]
        pending = [x for x in mine if x.side == side and x.leg == leg]
        if pending and not flag_in(arg, "autoCxl"):
            raise Problem("51115")
        for order in pending:
            self.cancel(order, now_ns)
        self._close_at_market(account, listing, side, leg, client_id, tag, now_ns)
        return [{"clOrdId": client_id, "instId": listing.symbol, "posSide": leg, "tag": tag}]

    def _close_at_market(self, account, listing, side, leg, client_id, tag, now_ns: int) -> None:
        lots = abs(account.position(listing, leg).lots)
        order = FakeOrder(listing, 0, client_id, side, 0, lots, "ioc", None, owner=account.owner)
        order.leg, order.reduce_only, order.order_type = leg, True, "market"
        order.notes["terms"] = Terms("market", listing.size_grid.format(lots), "cross", tag)
        self.take_in("market", order, now_ns)

    def rest_cancel_all_after(self, account: Account, body: object, now_ns: int) -> list:
        """Start, restart or (0) stop the timer of the account, or of a tag."""
        arg = self._object(body)
        text, tag = text_in(arg, "timeOut"), text_in(arg, "tag")
        low, high = TIMER_SECONDS
        if not text.isascii() or not text.isdigit() or not (text == "0" or low <= int(text[:9]) <= high):
            raise Problem("51000", "timeOut")
        if tag and not TAG.fullmatch(tag):
            raise Problem("51000", "tag")
        self.spend("cancel-all-after", (account.owner, tag), 1, 1, SECOND, now_ns)
        timers = account.notes.setdefault("timers", {})
        if text == "0":
            timers.pop(tag, None)
            return [{"triggerTime": "0", "tag": tag, "ts": str(now_ns // SECOND)}]
        if tag and tag not in timers and sum(bool(x) for x in timers) >= TIMERS_MAX:
            raise Problem("51071")
        due_ns = now_ns + int(text) * SECOND
        timers[tag] = due_ns
        self.at(due_ns, lambda t: self._fire_timer(account, tag, due_ns, t))
        return [{"triggerTime": str(due_ns // SECOND), "tag": tag, "ts": str(now_ns // SECOND)}]

    def _fire_timer(self, account: Account, tag: str, due_ns: int, now_ns: int) -> None:
        timers = account.notes["timers"]
        if timers.get(tag) == due_ns:  # not restarted since
            del timers[tag]
            self.cancel_by_timer(account, tag, now_ns)

    def cancel_by_timer(self, account: Account, tag: str, now_ns: int) -> None:
        """One order after the other; algo orders stay."""
        orders = [x for x in self.open_orders(account) if self.is_order(x)]
        chosen = [x for x in orders if not tag or terms_of(x).tag == tag]
        for i, order in enumerate(chosen):
            self.at(now_ns + i * SECOND // 100, partial(self._cancel_late, order, "countdown"))

    def _cancel_late(self, order: FakeOrder, reason: str, now_ns: int) -> None:
        self.cancel(order, now_ns, reason)

    def on_dms_fire(self, account: Account, now_ns: int) -> None:
        self.cancel_by_timer(account, "", now_ns)


def _page_of_orders(rows: Iterable[dict], query: dict[str, str]) -> list:
    return page(rows, "ordId", query, 100)


def expired(text: object, now_ns: int) -> bool:
    """`expTime` in ms has passed. A malformed one counts as passed: such a request must not be executed."""
    if text is None:
        return False
    digits = str(text)
    good = not isinstance(text, bool) and digits.isascii() and digits.isdigit() and len(digits) <= 15
    return not good or now_ns // 1_000_000 > int(digits)

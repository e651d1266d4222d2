"""What clients ask about the past at the simulated Bybit: open and recent orders, order history,
executions, closed profit.

Retention is the venue's: an order that was closed without fills is gone after 24 hours, the list of recent
closed orders is lost where the service restarts. Source: bybit-exchange/docs
`docs/v5/order/{open-order,order-list,execution}.mdx`, `docs/v5/position/close-pnl.mdx`.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from node.venues.bybit import rules
from node.venues.bybit.fake_codes import Denial, plain, price_text, size_text
from node.venues.bybit.fake_exits import Exits
from node.venues.bybit.fake_market import CATEGORIES
from node.venues.bybit.fake_orders import Who
from node.venues.bybit.fake_private import SIDE_TEXT, ticket
from node.venues.bybit.rules import LINEAR
from node.venues.fakes import MS, FakeOrder

WEEK_MS = 7 * 86_400_000
RECENT_CLOSED = 500
NEEDS_SCOPE = "Missing some parameters that must be filled in, symbol or baseCoin or settleCoin"


class Queries(Exits):
    """GET /v5/order/realtime, /v5/order/history, /v5/execution/list, /v5/position/closed-pnl."""

    def __init__(self, *args: Any, **more: Any):
        super().__init__(*args, **more)
        self._closed_since_ns = 0  # what was closed before is not among the recent ones

    def restart_orders(self, now_ns: int) -> None:
        """A fault: the order service restarts and forgets what was closed recently. The history keeps it."""
        self._closed_since_ns = now_ns

    def forget_closed(self) -> None:
        super().forget_closed()
        self._executions.clear()
        self._closed_rows.clear()

    @staticmethod
    def category(query: dict) -> str:
        category = query.get("category")
        if category not in CATEGORIES:
            raise Denial(10001, "Illegal category")
        return category

    # ---- orders ----

    def get_realtime(self, who: Who, query: dict, now_ns: int) -> dict:
        category = self.category(query)
        limit = self._limit(query, 50, 20)
        if query.get("orderId") or query.get("orderLinkId"):
            rows = self._by_id(who, query, self._everything(who, category))
            rows = [x for x in rows if not x.done or self._is_recent(x)]
        else:
            if category == "linear" and not any(query.get(x) for x in ("symbol", "baseCoin", "settleCoin")):
                raise Denial(10001, NEEDS_SCOPE)
            rows = self._open_or_recent(who, category, str(query.get("openOnly", "0")) == "1")
            rows = [x for x in rows if self._fits(x, query)]
        return self._order_page(category, rows, query, limit)

    def _open_or_recent(self, who: Who, category: str, is_closed: bool) -> list[FakeOrder]:
        market = self._market(category)
        if not is_closed:
            return self._newest(self.open_orders(who.account, market))
        closed = [x for x in self.closed_orders(who.account, market) if self._is_recent(x)]
        return self._listed_orders(closed)[:RECENT_CLOSED]

    def _listed_orders(self, orders: Iterable[FakeOrder]) -> list[FakeOrder]:
        """A settlement is a trade and no order."""
        return self._newest(x for x in orders if x.nature != "settlement")

    def _is_recent(self, order: FakeOrder) -> bool:
        return order.done_ns >= self._closed_since_ns

    @staticmethod
    def _market(category: str) -> int:
        return next((m for m, name in rules.CATEGORY.items() if name == category), -1)

    def _everything(self, who: Who, category: str) -> list[FakeOrder]:
        market = self._market(category)
        return self._listed_orders(
            [*self.open_orders(who.account, market), *self.closed_orders(who.account, market)]
        )

    @staticmethod
    def _newest(orders: Iterable[FakeOrder]) -> list[FakeOrder]:
        return sorted(orders, key=lambda x: (x.placed_ns, x.number), reverse=True)

    @staticmethod
    def _by_id(who: Who, query: dict, orders: list[FakeOrder]) -> list[FakeOrder]:
        """`orderId` wins."""
        if query.get("orderId"):
            return [x for x in orders if ticket(x).id == query["orderId"]]
        return [x for x in orders if x.client_id == query["orderLinkId"]]

    @staticmethod
    def _fits(order: FakeOrder, query: dict) -> bool:
        listing, mine = order.listing, ticket(order)
        if query.get("symbol"):
            if listing.symbol != query["symbol"]:
                return False
        elif query.get("baseCoin"):
            if listing.coins[0] != query["baseCoin"]:
                return False
        elif (
            query.get("settleCoin")
            and listing.market == LINEAR
            and listing.settle_coin != query["settleCoin"]
        ):
            return False
        kind = mine.filter if order.waits or mine.filter != "StopOrder" else "Order"
        return not query.get("orderFilter") or query["orderFilter"] == kind

    def get_history(self, who: Who, query: dict, now_ns: int) -> dict:
        category = self.category(query)
        limit, (start, end) = self._limit(query, 50, 20), self._week(query, now_ns)
        rows = self._listed_orders(self.closed_orders(who.account, self._market(category)))
        if query.get("orderId") or query.get("orderLinkId"):
            rows = self._by_id(who, query, rows)
        else:
            rows = [x for x in rows if self._fits(x, query) and start <= x.placed_ns // MS <= end]
        if query.get("orderStatus"):
            rows = [x for x in rows if self.rest_row(x)["orderStatus"] == query["orderStatus"]]
        return self._order_page(category, rows, query, limit)

    def _week(self, query: dict, now_ns: int) -> tuple[int, int]:
        """The window of a query, in ms: seven days at most."""
        start, end = self._times(query)
        now_ms = now_ns // MS
        if start is not None and end is not None:
            if end - start > WEEK_MS or end < start:
                raise Denial(10001, "The time range between startTime and endTime cannot exceed 7 days")
            return start, end
        if start is not None:
            return start, start + WEEK_MS
        return (now_ms if end is None else end) - WEEK_MS, now_ms + 1000 if end is None else end

    def _order_page(self, category: str, orders: list[FakeOrder], query: dict, limit: int) -> dict:
        rows = [self.rest_row(x) for x in orders]
        page, cursor = self._page(rows, query, limit, lambda row: row["orderId"])  # type: ignore[index]
        return {"list": page, "nextPageCursor": cursor, "category": category}

    def rest_row(self, order: FakeOrder) -> dict:
        """A row of REST: without the category. A stale answer shows what was known then."""
        row = self.order_row(order)
        del row["category"]
        now = self.orders.get(order.number)
        if (
            now is not order
            and now is not None
            and (now.done, now.filled_lots) != (order.done, order.filled_lots)
        ):
            row["orderStatus"] = "PartiallyFilled" if order.filled_lots else "New"
            row |= {"cancelType": "UNKNOWN", "rejectReason": "EC_NoError"}
            row["leavesQty"] = order.listing.size_grid.format(order.leaves_lots)
        return row

    # ---- executions ----

    def get_executions(self, who: Who, query: dict, now_ns: int) -> dict:
        category = self.category(query)
        limit, (start, end) = self._limit(query, 100, 50), self._week(query, now_ns)
        until_ms = (now_ns - self.asks_stale_ns) // MS
        rows = [x for x in self._executions.get(who.account.owner, ()) if x["category"] == category]
        if query.get("orderId"):
            rows = [x for x in rows if x["orderId"] == query["orderId"]]
        elif query.get("orderLinkId"):
            rows = [x for x in rows if x["orderLinkId"] == query["orderLinkId"]]
        else:
            if query.get("symbol"):
                rows = [x for x in rows if x["symbol"] == query["symbol"]]
            elif query.get("baseCoin"):
                rows = [x for x in rows if self._base(x) == query["baseCoin"]]
            rows = [x for x in rows if start <= int(x["execTime"]) <= end]
        if query.get("execType"):
            rows = [x for x in rows if x["execType"] == query["execType"]]
        rows = [x for x in rows if int(x["execTime"]) <= until_ms]
        page, cursor = self._page(rows, query, limit, lambda row: row["execId"])  # type: ignore[index]
        page = [{k: v for k, v in x.items() if k != "category"} for x in page]
        return {"nextPageCursor": cursor, "category": category, "list": page}

    def _base(self, row: dict) -> str:
        listing = self.listings.get((self._market(row["category"]), row["symbol"]))
        return listing.coins[0] if listing is not None else ""

    # ---- closed profit ----

    def get_closed_pnl(self, who: Who, query: dict, now_ns: int) -> dict:
        category = self.category(query)
        limit, (start, end) = self._limit(query, 100, 50), self._week(query, now_ns)
        rows = [self._closed_row(x) for x in reversed(self._closed_rows.get(who.account.owner, {}).values())]
        rows = [x for x in rows if start <= int(x["updatedTime"]) <= end and category == "linear"]
        if query.get("symbol"):
            rows = [x for x in rows if x["symbol"] == query["symbol"]]
        page, cursor = self._page(rows, query, limit, lambda row: row["orderId"])  # type: ignore[index]
        return {"nextPageCursor": cursor, "category": category, "list": page}

    @staticmethod
    def _closed_row(kept: dict) -> dict:
        order: FakeOrder = kept["order"]
        listing, mine = order.listing, ticket(order)
        size = listing.amount(kept["lots"])
        return {
            "symbol": listing.symbol,
            "orderType": mine.type,
            "leverage": str(kept["leverage"]),
            "updatedTime": str(kept["now_ns"] // MS),
            "side": SIDE_TEXT[order.side],
            "orderId": mine.id,
            "closedPnl": plain(kept["pnl"]),
            "avgEntryPrice": plain(round(kept["entry"] / size, 8)),
            "qty": size_text(listing, order.size_lots),
            "cumEntryValue": plain(kept["entry"]),
            "createdTime": str(order.placed_ns // MS),
            "orderPrice": price_text(listing, order.price_ticks),
            "closedSize": size_text(listing, kept["lots"]),
            "avgExitPrice": plain(round(kept["exit"] / size, 8)),
            "execType": "Trade" if order.nature == "trade" else "BustTrade",
            "fillCount": str(kept["fills"]),
            "cumExitValue": plain(kept["exit"]),
            "openFee": "0",
            "closeFee": plain(sum(order.fees.values(), Decimal(0))),
        }

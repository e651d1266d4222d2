"""Orders of the simulated OKX: place, cancel, amend, and what the `orders` and `fills` channels tell.

An answer says only that a request was taken; what became of it is pushed. A crossing post-only order is
accepted and then canceled, a spot market order ends with a push that has no fill, an amend has a second
result in the push. Sources: docs-v5 "Order book trading / Trade".
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from node.venues.fakes import BUY, SELL, Connection, FakeOrder, Limiter, Listing, RateLimited
from node.venues.ledger import Account, Refusal
from node.venues.okx.fake_errors import Problem
from node.venues.okx.fake_reading import ReadingSide, Terms, fill_row, terms_of
from node.venues.okx.fake_rows import (
    BLANK_ORDER,
    BLANK_PUSH,
    DECIMAL,
    ID,
    SECOND,
    base_of,
    covers,
    dumps,
    flag_in,
    max_size,
    ms,
    order_id,
    plain,
    quote_of,
    rounded,
    text_in,
    type_of,
)

CANCEL_SOURCES = {
    "canceled": "1",
    "ioc": "14",
    "fok": "13",
    "post_only": "31",
    "stp": "32",
    "reduce_only": "17",
    "liquidation": "3",
    "adl": "6",
    "delisted": "7",
    "funds": "2",
    "countdown": "20",
}
# name of a refusal -> code; price and size have codes of their own by product
REFUSALS = {
    "tick": "51150",
    "lot": "51121",
    "min_size": "51020",
    "min_notional": "51020",
    "max_notional": "51203",
    "max_orders": "51174",
    "max_stop_orders": "51174",
    "duplicate_id": "51016",
    "status": "51022",
    "delisting": "51028",
    "frozen": "50022",
    "reduce_only": "51112",
    "position_mode": "51000",
}
STATUS_CODES = {"post_only": "54012", "auction": "51124", "no_cancel": "51124", "delisted": "51027"}
CATEGORIES = {"liquidation": "full_liquidation", "adl": "adl", "settlement": "delivery"}
AMENDS_MAX = 3
CAP = 1000  # new and amended swap orders of an account in 2 s
Task = Callable[[dict], dict]


class OrderSide(ReadingSide):
    """Orders of the venue."""

    push_first: bool
    post_only_live_first: bool
    rate_limits: bool
    refusals: deque[tuple[str, str]]
    _limiters: dict[tuple[str, int, int], Limiter]

    # ---- limits ----

    def spend(self, name: str, who: object, weight: int, limit: int, interval_ns: int, now_ns: int) -> None:
        """Use some of a rate limit. Raises Problem 50011."""
        if not self.rate_limits and not self.faults.any_of("ratelimit", "ban"):
            return
        key = (name, limit, interval_ns)
        if key not in self._limiters:
            self._limiters[key] = Limiter(name, limit, interval_ns, rolling=True, faults=self.faults)
        try:
            self._limiters[key].charge(who, weight, now_ns)
        except RateLimited:
            raise Problem("50011") from None

    def charge_order(self, op: str, account: Account, listing: Listing, batch: bool, now_ns: int) -> None:
        """One order of a request: its bucket, and the cap on new and amended swap orders."""
        name = f"{op}s" if batch else op
        who = (account.owner, listing.symbol)
        self.spend(name, who, 1, 300 if batch else 60, 2 * SECOND, now_ns)
        if op != "cancel" and listing.is_perpetual:
            try:
                self.spend("account", account.owner, 1, CAP, 2 * SECOND, now_ns)
            except Problem:
                raise Problem("50061") from None

    # ---- requests ----

    def each(self, args: list[dict], batch: bool, op: str, task: Task, now_ns: int) -> list[dict]:
        """Carry out the elements of a request one by one. In a batch each has its own result; a limit that a
        single one meets refuses the request as a whole."""
        rows = []
        for arg in args:
            name = "place" if op == "order" else op
            fault = self.faults.hit("ack.batch", now_ns, op=name) if batch else None
            try:
                if fault and not fault.get("missing"):
                    raise Problem(str(fault.get("code", "51008")), "USDT")
                self._fail_before(name, now_ns)
                row = {**task(arg), "sCode": "0", "sMsg": "", "subCode": ""}
            except Problem as problem:
                if not batch and problem.code in ("50011", "50061"):
                    raise
                self.counts["rejects"] += op == "order"
                row = _refused_row(op, arg, problem, now_ns)
            if not (fault and fault.get("missing")):
                rows.append(row)
        return rows

    def _fail_before(self, op: str, now_ns: int) -> None:
        """`ack.error` with `live` false: the request fails, and nothing was done."""
        if fault := self.faults.hit("ack.error", now_ns, live=False, op=op):
            raise Problem(str(fault.get("code", "50026")))

    def place_each(
        self,
        account: Account,
        connection: Connection | None,
        args: list[dict],
        now_ns: int,
        batch: bool,
        by_code: bool,
    ) -> list[dict]:
        """Place orders; returns rows with an `sCode`."""
        seen: set[str] = set()

        def task(arg: dict) -> dict:
            client_id = text_in(arg, "clOrdId")
            if client_id and client_id in seen:
                raise Problem("51016")
            order = self._place_one(account, connection, arg, now_ns, batch and len(args) > 1, by_code)
            seen.add(client_id)
            row = {"clOrdId": order.client_id, "ordId": order_id(order.number)}
            return row | {"tag": terms_of(order).tag, "ts": ms(now_ns)}

        return self.each(args, batch, "order", task, now_ns)

    def _place_one(
        self, account, connection, arg: dict, now_ns: int, batch: bool, by_code: bool
    ) -> FakeOrder:
        if self.refusals:
            code, text = self.refusals.popleft()
            raise Problem(code, text=text)
        self.charge_order("order", account, self.listing_in(arg, by_code), batch, now_ns)
        order_type, order = self.read_order(account, connection, arg, by_code, now_ns)
        self.take_in(order_type, order, now_ns)
        return order

    def take_in(self, order_type: str, order: FakeOrder, now_ns: int) -> None:
        """Check and place. Raises Problem with the code that belongs to the refusal."""
        refusal = self.check(order, now_ns)
        if refusal is not None:
            raise self.problem_of(refusal, order)
        try:
            self.place(order_type, order, now_ns)
        except Refusal as late:
            raise self.problem_of(late, order) from None

    def problem_of(self, refusal: Refusal, order: FakeOrder) -> Problem:
        """What the venue says to a refusal of the desk."""
        listing, name = order.listing, refusal.name
        if refusal.code:
            return Problem(refusal.code)
        if name == "funds":
            coin = quote_of(listing) if listing.is_perpetual or order.side == BUY else base_of(listing)
            return Problem("51008", coin, sub_code="1001" if listing.is_perpetual else "1000")
        if name == "percent_price":
            low, high = (listing.price_grid.format(x) for x in self.band(listing) or (0, 0))
            if listing.is_perpetual:
                return Problem("51006", high, low)
            return Problem("51137", high) if order.side == BUY else Problem("51138", low)
        if name == "max_size":
            if order.order_type == "market":
                return Problem("51202")
            return Problem("51101", max_size(listing)) if listing.is_perpetual else Problem("51005")
        if name == "leverage":
            lever = self.account_of(order).leverage_of(listing)
            most = listing.bracket_of(listing.notional(self.mark_ticks(listing), order.size_lots))
            return Problem("51186", listing.symbol, lever, most.leverage_max)
        if name == "status" and refusal.text in STATUS_CODES:
            return Problem(STATUS_CODES[refusal.text])
        return Problem(REFUSALS.get(name, "51000"), listing.symbol, listing.max_orders)

    def refusal_code(self, name: str) -> str:
        """The code that belongs to the name of a refusal."""
        return {"funds": "51008", "percent_price": "51006", "max_size": "51101"}.get(
            name, REFUSALS.get(name, "51000")
        )

    def cancel_each(
        self, account: Account, args: list[dict], now_ns: int, batch: bool, by_code: bool
    ) -> list[dict]:
        """`sCode` 0 says that the request is taken; the `orders` channel tells the rest."""

        def task(arg: dict) -> dict:
            listing = self.listing_in(arg, by_code)
            self.charge_order("cancel", account, listing, batch and len(args) > 1, now_ns)
            self.settle(listing, now_ns)
            order = self.order_meant(account, listing, arg)
            if order is None or order.done or not self.cancel(order, now_ns):
                raise Problem("51404" if listing.status == "no_cancel" else "51400")
            return {"clOrdId": order.client_id, "ordId": order_id(order.number), "ts": ms(now_ns)}

        return self.each(args, batch, "cancel", task, now_ns)

    def amend_each(
        self, account: Account, args: list[dict], now_ns: int, batch: bool, by_code: bool
    ) -> list[dict]:
        """Take amends; their results follow on the `orders` channel."""
        seen: set[int] = set()

        def task(arg: dict) -> dict:
            listing = self.listing_in(arg, by_code)
            self.charge_order("amend", account, listing, batch and len(args) > 1, now_ns)
            self.settle(listing, now_ns)
            order = self.order_meant(account, listing, arg)
            if order is None or order.done:
                raise Problem("51503")
            if order.number in seen:
                raise Problem("51512")
            seen.add(order.number)
            request_id = text_in(arg, "reqId")
            if request_id and not ID.fullmatch(request_id):
                raise Problem("51000", "reqId")
            self._amend_one(order, arg, request_id, now_ns)
            row = {"clOrdId": order.client_id, "ordId": order_id(order.number)}
            return row | {"ts": ms(now_ns), "reqId": request_id}

        return self.each(args, batch, "amend", task, now_ns)

    def _amend_one(self, order: FakeOrder, arg: dict, request_id: str, now_ns: int) -> None:
        price, size = self._read_amend(order, arg)
        terms = terms_of(order)
        if len(terms.amends) >= AMENDS_MAX:
            raise Problem("51513")
        request = (request_id, flag_in(arg, "cxlOnFail"))
        if size is not None and 0 < size <= order.filled_lots:
            order.size_lots = order.filled_lots
            terms.size = order.listing.size_grid.format(order.filled_lots)
            self._finish_amended(order, request_id, now_ns)
            return
        terms.amends.append(request)
        why = self.amend(order, price, size, now_ns)
        if why == "no_change":
            self.on_amended(order, now_ns)
        elif why:
            if request in terms.amends:
                terms.amends.remove(request)
            if why in ("unknown", "filled"):
                raise Problem("51503")
            raise self.problem_of(Refusal(why), order)

    def _finish_amended(self, order: FakeOrder, request_id: str, now_ns: int) -> None:
        """Amended to what is filled already: that is all of it then."""
        terms_of(order).last_amend = {"reqId": request_id, "amendResult": "0", "amendSource": "1"}
        self.cancel(order, now_ns, "filled")

    def _read_amend(self, order: FakeOrder, arg: dict) -> tuple[int | None, int | None]:
        """New price in ticks and whole size in lots, None where it stays."""
        price_text, size_text = text_in(arg, "newPx"), text_in(arg, "newSz")
        if not price_text and not size_text:
            raise Problem("51500")
        price = size = None
        if price_text:
            price = self.read_price(order.listing, order.side, arg, "newPx")
            best = order.listing.engine.best(1 - order.side)
            crosses = best is not None and (price >= best[0] if order.side == BUY else price <= best[0])
            if order.tif == "post_only" and crosses:
                raise Problem("51511")
        if size_text:
            if not DECIMAL.fullmatch(size_text):
                raise Problem("51000", "newSz")
            try:
                size = order.listing.size_grid.parse(size_text)
            except ValueError:
                raise Problem("51121") from None
            if size == 0:
                raise Problem("51020")
        return price, size

    # ---- what became of orders ----

    def on_accepted(self, order: FakeOrder, now_ns: int) -> None:
        if "terms" not in order.notes:
            order.notes["terms"] = _terms_of_venue(order)
        elif "parent" in order.notes:
            order.notes["terms"] = replace(
                terms_of(order), size=order.listing.size_grid.format(order.size_lots), amends=[], fill={}
            )
        if order.is_stop:
            return
        if order.tif != "post_only" or self.post_only_live_first or not _crosses(order):
            self.push_order(order, "live", now_ns)

    def on_fill(self, order: FakeOrder, trade_id, price_ticks, size_lots, is_maker, now_ns) -> None:
        trade, listing, terms = self.trade, order.listing, terms_of(order)
        assert trade is not None
        account = self.account_of(order)
        terms.fee -= trade.fee
        terms.fee_coin = trade.fee_coin
        terms.pnl += trade.realised
        venues_own = trade.nature != "trade"
        terms.fill = fill_row(listing, price_ticks, size_lots) | {
            "tradeId": "0" if venues_own else str(trade_id),
            "fillTime": ms(now_ns),
        }
        worth = rounded(trade.notional)
        fill = terms.fill | {
            "execType": "M" if is_maker else "T",
            "fillFee": plain(-trade.fee),
            "fillFeeCcy": trade.fee_coin,
            "fillPnl": plain(trade.realised),
            "fillNotionalUsd": worth,
            "fillMarkPx": plain(self.mark_price(listing)) if listing.is_perpetual else "",
            "fillIdxPx": self.index_price(f"{base_of(listing)}-{quote_of(listing)}"),
        }
        whole = order.done == "filled"
        quiet = whole and terms.kind == "market" and not listing.is_perpetual
        self.push_order(order, "filled" if whole and not quiet else "partially_filled", now_ns, fill)
        if quiet:  # a spot market order ends with a push of its own, which carries no fill
            self.push_order(order, "filled", now_ns)
        self._push_fill(account, order, trade_id, is_maker, venues_own, now_ns)
        self.note_trade(account, trade)

    def on_done(self, order: FakeOrder, reason: str, now_ns: int) -> None:
        terms = terms_of(order)
        if reason in ("filled", "zero_fill"):
            self.push_order(order, "filled", now_ns, terms.last_amend)
        else:
            terms.cancel_source = CANCEL_SOURCES.get(reason, "0")
            self.push_order(order, "canceled", now_ns, terms.last_amend)
        terms.last_amend = {}
        self._note_locked(order, now_ns)

    def _note_locked(self, order: FakeOrder, now_ns: int) -> None:
        """What an order held changed: `account` tells it."""
        listing = order.listing
        coin = quote_of(listing) if listing.is_perpetual or order.side == BUY else base_of(listing)
        self.note_change(self.account_of(order), (coin,), (), "order", now_ns)

    def on_amended(self, order: FakeOrder, now_ns: int) -> None:
        """By its owner: the result of his request. Else the venue changed the size."""
        terms = terms_of(order)
        if "parent" not in order.notes and terms.unit != "quote_ccy":
            terms.size = order.listing.size_grid.format(order.size_lots)
        extra = {"amendSource": "4"}
        if terms.amends and order.notes.pop("amended_by", "") != "venue":
            request_id, _ = terms.amends.pop()
            extra = {"reqId": request_id, "amendResult": "0", "amendSource": "1"}
        if not order.is_stop or order.triggered_ns:
            self.push_order(order, state_of(order), now_ns, extra)

    def on_amend_failed(self, order: FakeOrder, reason: str, now_ns: int) -> None:
        """The order stays as it was, or goes, where its owner said so."""
        terms = terms_of(order)
        request_id, cancels = terms.amends.pop(0) if terms.amends else ("", False)
        result = {"reqId": request_id, "amendSource": "1", "code": "51006", "msg": "Amendment failed"}
        if order.done:
            return
        if cancels:
            terms.last_amend = result | {"amendResult": "1"}
            self.cancel(order, now_ns, "amend_failed")
        else:
            self.push_order(order, state_of(order), now_ns, result | {"amendResult": "-1"})

    # ---- pushes ----

    def push_order(self, order: FakeOrder, state: str, now_ns: int, extra: dict | None = None) -> None:
        """Tell the owner's connections how an order stands."""
        account = self.account_of(order)
        hearers = self.hearers(account, "orders")
        if not hearers:
            return
        row = self.push_row(order, state, now_ns) | (extra or {})
        kind = "execution" if row["tradeId"] else "order"
        told = set()
        for connection, arg in hearers:
            if connection.number not in told and covers(arg, order.listing):
                told.add(connection.number)
                text = dumps({"arg": {**arg, "uid": self.uid(account)}, "data": [dict(sorted(row.items()))]})
                self.report(connection, text, kind, order)

    def _push_fill(self, account, order: FakeOrder, trade_id: int, is_maker: bool, hidden: bool, now_ns: int):
        """The `fills` channel: fills of the order book only, without fees."""
        if hidden:
            return
        client_id = order.client_id
        row = {
            "instId": order.listing.symbol,
            **{k: terms_of(order).fill[k] for k in ("fillSz", "fillPx", "tradeId")},
            "side": side_of(order),
            "ts": ms(now_ns),
            "ordId": order_id(order.number),
            "clOrdId": client_id if client_id.isdigit() and len(client_id) <= 19 else "0",
            "execType": "M" if is_maker else "T",
            "count": "1",
        }
        for connection, arg in self.hearers(account, "fills"):
            if covers(arg, order.listing):
                self.report(connection, self._private(account, arg, [row]), "execution", order)

    def push_row(self, order: FakeOrder, state: str, now_ns: int) -> dict:
        """All members of the `orders` channel; those of a fill are added by whoever has one."""
        listing = order.listing
        mark = self.mark_price(listing)
        row = BLANK_PUSH | self.order_row(order) | {"state": state, "uTime": ms(now_ns)}
        del row["cancelSourceReason"]
        return row | {
            "avgPx": row["avgPx"] or "0",
            "fillPx": "",
            "fillSz": "0",
            "fillTime": "",
            "tradeId": "",
            "lastPx": listing.price_grid.format(self.last_ticks(listing)),
            "notionalUsd": rounded(listing.amount(order.size_lots) * mark),
        }

    def order_row(self, order: FakeOrder) -> dict:
        """As `trade/order` answers it."""
        listing, terms, average = order.listing, terms_of(order), order.average
        fee_coin = base_of(listing) if order.side == BUY and not listing.is_perpetual else quote_of(listing)
        return BLANK_ORDER | {
            "instType": type_of(listing),
            "instId": listing.symbol,
            "ordId": order_id(order.number),
            "clOrdId": "" if order.is_stop else order.client_id,
            "tag": terms.tag,
            "side": side_of(order),
            "posSide": order.leg if listing.is_perpetual else "",
            "tdMode": terms.mode,
            "ordType": terms.kind,
            "px": listing.price_grid.format(order.price_ticks) if order.price_ticks else "",
            "sz": terms.size,
            "tgtCcy": terms.unit,
            "lever": str(self.account_of(order).leverage_of(listing)) if listing.is_perpetual else "",
            "reduceOnly": "true" if order.reduce_only else "false",
            "stpMode": terms.stp_mode,
            "tradeQuoteCcy": "" if listing.is_perpetual else terms.quote or quote_of(listing),
            "category": terms.category,
            "source": terms.source,
            "algoId": terms.algo_id,
            "algoClOrdId": terms.algo_client_id,
            "attachAlgoOrds": terms.attached,
            "accFillSz": plain(Decimal(listing.size_grid.format(order.filled_lots))),
            "avgPx": rounded(average) if average is not None else "",
            **(terms.fill if order.filled_lots else {}),
            "fee": plain(terms.fee) if order.filled_lots else "0",
            "feeCcy": terms.fee_coin or fee_coin,
            "rebateCcy": fee_coin,
            "pnl": plain(terms.pnl),
            "cancelSource": terms.cancel_source if order.done else "",
            "state": state_of(order),
            "cTime": ms(order.placed_ns),
            "uTime": ms(order.updated_ns or order.placed_ns),
        }


def state_of(order: FakeOrder) -> str:
    if order.done:
        return "filled" if order.done in ("filled", "zero_fill") else "canceled"
    return "partially_filled" if order.filled_lots else "live"


def side_of(order: FakeOrder) -> str:
    return "sell" if order.side == SELL else "buy"


def _crosses(order: FakeOrder) -> bool:
    best = order.listing.engine.best(1 - order.side)
    return best is not None and (
        order.price_ticks >= best[0] if order.side == BUY else order.price_ticks <= best[0]
    )


def _terms_of_venue(order: FakeOrder) -> Terms:
    """Of an order that came to be without a request: liquidation, somebody else's, a fault's."""
    kind = "market" if order.order_type in ("market", "stop_market") else "limit"
    if kind == "limit" and order.tif != "gtc":
        kind = order.tif
    mode = "cross" if order.listing.is_perpetual else "cash"
    size = order.listing.size_grid.format(order.size_lots)
    terms = Terms(kind, size, mode, category=CATEGORIES.get(order.nature, "normal"))
    terms.unit = "base_ccy" if kind == "market" and not order.listing.is_perpetual else ""
    return terms


def _refused_row(op: str, arg: dict, problem: Problem, now_ns: int) -> dict:
    """The element of an answer for one that failed: what the client said, as far as it is text."""
    said = {k: v if isinstance(v := arg.get(k), str) else "" for k in ("clOrdId", "ordId", "tag", "reqId")}
    names = {
        "order": ("clOrdId", "tag"),
        "cancel": ("clOrdId", "ordId"),
        "amend": ("clOrdId", "ordId", "reqId"),
    }
    row = {k: said[k] for k in names[op]} | {"ts": ms(now_ns)}
    if op == "order":
        row["ordId"] = ""
    return row | {"sCode": problem.code, "sMsg": problem.text, "subCode": problem.sub_code}

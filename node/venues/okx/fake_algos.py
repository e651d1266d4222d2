"""Algo orders of the simulated OKX: stops that wait outside the book until a price triggers them.

`conditional` (one of take-profit and stop-loss), `oco` (both, one goes when the other fires) and `trigger`. A
stop is a stop order of the desk; when it fires it becomes an order with an `ordId` of its own space. Attached
take-profit and stop-loss orders come to be when their order is filled. Trailing, iceberg and TWAP orders are
not offered. Sources: docs-v5 "Algo Trading", "WS / Algo orders channel".
"""

from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

from node.venues.fakes import BUY, SELL, FakeOrder, Listing
from node.venues.ledger import Account, Refusal
from node.venues.okx.fake_errors import Problem
from node.venues.okx.fake_market import page
from node.venues.okx.fake_orders import side_of
from node.venues.okx.fake_queries import QuerySide
from node.venues.okx.fake_reading import Terms, read_lots, terms_of
from node.venues.okx.fake_rows import (
    BLANK_ALGO,
    DECIMAL,
    ID,
    TAG,
    covers,
    dumps,
    flag_in,
    ms,
    order_id,
    plain,
    quote_of,
    text_in,
    type_of,
)

KINDS = ("conditional", "oco", "trigger")
PRICES_OF = ("last", "index", "mark")
FIRST_ALGO = 500_000_000_000_000_000  # algo ids are apart from order ids
ALL_OF_IT = 10**12  # lots of an order that closes a whole position: cut to it when it fires
FAIL_CODES = {"reduce_only": "51169", "funds": "51008", "leverage": "51004"}


@dataclass
class Plan:
    """What an algo order asked for. `legs`: "sl", "tp" or "trigger" -> the desk's stop order."""

    kind: str
    client_id: str
    arg: dict
    number: int = 0  # of the first leg: the algo id
    legs: dict[str, FakeOrder] = field(default_factory=dict)
    state: str = "live"
    fired: FakeOrder | None = None
    fail_code: str = "0"
    updated_ns: int = 0
    parent: str = ""  # ordId of the order it was attached to

    @property
    def first(self) -> FakeOrder:
        return next(iter(self.legs.values()))


def plan_of(order: FakeOrder) -> Plan | None:
    plan = order.notes.get("plan")
    return plan if isinstance(plan, Plan) else None


class AlgoSide(QuerySide):
    """Algo orders of the venue."""

    # ---- placing ----

    def rest_place_algo(self, account: Account, body: object, now_ns: int) -> list:
        arg = self._object(body)
        row = {"algoId": "", "clOrdId": "", "algoClOrdId": "", "tag": ""}
        row |= {k: arg[k] for k in ("clOrdId", "algoClOrdId", "tag") if isinstance(arg.get(k), str)}
        try:
            plan = self.place_algo(account, arg, now_ns)
        except Problem as problem:
            return [row | {"sCode": problem.code, "sMsg": problem.text}]
        return [row | {"algoId": algo_id(plan), "algoClOrdId": plan.client_id, "sCode": "0", "sMsg": ""}]

    def place_algo(self, account: Account, arg: dict, now_ns: int) -> Plan:
        """Take an algo order in. Raises Problem with the code that the venue gives."""
        listing = self.listing_named(text_in(arg, "instId"))
        self.settle(listing, now_ns)
        plan = Plan(self._read_kind(arg), self._read_algo_id(account, arg), arg, updated_ns=now_ns)
        side = {"buy": BUY, "sell": SELL}.get(text_in(arg, "side"))
        if side is None:
            raise Problem("51000", "side")
        modes = ("cross", "isolated") if listing.is_perpetual else ("cash", "cross")
        if text_in(arg, "tdMode") not in modes:
            raise Problem("51000", "tdMode")
        tag = text_in(arg, "tag")
        if tag and not TAG.fullmatch(tag):
            raise Problem("51000", "tag")
        leg = self.read_leg(account, listing, arg)
        lots = self._read_algo_size(listing, side, arg)
        orders = [
            (name, self._leg_order(account, plan, listing, side, leg, lots, name))
            for name in self._names(plan.kind, arg)
        ]
        for name, order in orders:
            plan.legs[name] = order
            refusal = self.check(order, now_ns) if lots != ALL_OF_IT else None
            if refusal is not None:
                raise self.problem_of(refusal, order)
        self._place_legs(plan, now_ns)
        return plan

    def _place_legs(self, plan: Plan, now_ns: int) -> None:
        for order in plan.legs.values():
            try:
                self.place(order.order_type, order, now_ns)
            except Refusal as refusal:
                raise self.problem_of(refusal, order) from None
        plan.number = plan.first.number
        self.push_algo(plan, now_ns)

    def _read_kind(self, arg: dict) -> str:
        kind = text_in(arg, "ordType")
        if kind not in KINDS:
            raise Problem("51000", "ordType")
        return kind

    def _read_algo_id(self, account: Account, arg: dict) -> str:
        client_id = text_in(arg, "algoClOrdId") or text_in(arg, "clOrdId")
        if client_id and not ID.fullmatch(client_id):
            raise Problem("51000", "algoClOrdId")
        if client_id and any(x.client_id == client_id for x in self.plans(account) if x.state == "live"):
            raise Problem("51065")
        return client_id

    def _read_algo_size(self, listing: Listing, side: int, arg: dict) -> int:
        fraction, text = text_in(arg, "closeFraction"), text_in(arg, "sz")
        if fraction:
            if fraction != "1" or not listing.is_perpetual:
                raise Problem("51000", "closeFraction")
            return ALL_OF_IT
        if not DECIMAL.fullmatch(text):
            raise Problem("51000", "sz")
        if text_in(arg, "tgtCcy") == "quote_ccy" and not listing.is_perpetual:
            lots = self._lots_for(listing, side, Decimal(text))
        else:
            lots = read_lots(listing, text)
        if lots == 0:
            raise Problem("51020")
        return lots

    def _names(self, kind: str, arg: dict) -> list[str]:
        """Which legs there are."""
        if kind == "trigger":
            return ["trigger"]
        names = [x for x in ("sl", "tp") if text_in(arg, f"{x}TriggerPx")]
        if not names or (kind == "oco" and len(names) < 2):
            raise Problem("50015", "tpTriggerPx", "slTriggerPx")
        return names[:1] if kind == "conditional" else names

    def _leg_order(self, account, plan: Plan, listing: Listing, side: int, leg: str, lots: int, name: str):
        """The desk's stop order of one leg."""
        arg = plan.arg
        trigger, price = (
            ("triggerPx", "orderPx") if name == "trigger" else (f"{name}TriggerPx", f"{name}OrdPx")
        )
        on = text_in(arg, f"{name}TriggerPxType" if name != "trigger" else "triggerPxType") or "last"
        if on not in PRICES_OF:
            raise Problem("51000", f"{name}TriggerPxType")
        text = text_in(arg, price) or ("" if name == "trigger" else "-1")
        is_market = text == "-1"
        order = FakeOrder(listing, 0, plan.client_id, side, 0, lots, "ioc" if is_market else "gtc", None)
        order.owner, order.leg = account.owner, leg
        order.trigger_ticks, order.trigger_on = self._ticks(listing, arg, trigger), on
        order.order_type = "stop_market" if is_market else "stop_limit"
        order.price_ticks = 0 if is_market else self._ticks(listing, arg, price)
        order.trigger_rise = _rises(name, side, order.trigger_ticks, self.trigger_price(listing, on))
        closes = leg != "net" and (leg == "long") == (side == SELL)
        order.reduce_only = flag_in(arg, "reduceOnly") or closes or lots == ALL_OF_IT
        order.notes |= {
            "plan": plan,
            "leg": name,
            "terms": self._terms_of_algo(account, plan, listing, is_market),
        }
        return order

    def _terms_of_algo(self, account: Account, plan: Plan, listing: Listing, is_market: bool) -> Terms:
        mode = text_in(plan.arg, "tdMode")
        if mode == "cross" and not listing.is_perpetual:
            mode = "cash"
        terms = Terms(
            "market" if is_market else "limit", text_in(plan.arg, "sz"), mode, text_in(plan.arg, "tag")
        )
        terms.stp_mode, terms.source = self.extra(account).stp_mode, "7"
        terms.algo_client_id = plan.client_id
        return terms

    def _ticks(self, listing: Listing, arg: dict, name: str) -> int:
        text = text_in(arg, name)
        if not DECIMAL.fullmatch(text):
            raise Problem("51000", name)
        try:
            ticks = listing.price_grid.parse(text)
        except ValueError:
            raise Problem("51150") from None
        if ticks == 0:
            raise Problem("51116", 0)
        return ticks

    # ---- attached to an order ----

    def read_order(self, account, connection, arg, by_code, now_ns):
        """Attached orders are checked with the order they belong to."""
        order_type, order = super().read_order(account, connection, arg, by_code, now_ns)
        for i, row in enumerate(terms_of(order).attached):
            attached = self._attached_arg(order, row)
            self._names(attached["ordType"], attached)
            row.setdefault("attachAlgoId", f"{FIRST_ALGO}{i}"[-18:])
            row.setdefault("attachAlgoClOrdId", "")
        return order_type, order

    def _attached_arg(self, order: FakeOrder, row: dict) -> dict:
        """The algo order that an attached one becomes: it closes what its order opened."""
        both = bool(text_in(row, "tpTriggerPx")) and bool(text_in(row, "slTriggerPx"))
        lots = order.filled_lots or order.size_lots
        arg = {k: v for k, v in row.items() if k[:2] in ("tp", "sl")}
        return arg | {
            "instId": order.listing.symbol,
            "tdMode": terms_of(order).mode,
            "side": "buy" if order.side == SELL else "sell",
            "posSide": order.leg if order.leg != "net" else "",
            "ordType": "oco" if both else "conditional",
            "sz": text_in(row, "sz") or order.listing.size_grid.format(lots),
            "algoClOrdId": text_in(row, "attachAlgoClOrdId"),
            "reduceOnly": order.listing.is_perpetual and order.leg == "net",
            "tgtCcy": "",
        }

    def _attach(self, order: FakeOrder, now_ns: int) -> None:
        for row in terms_of(order).attached:
            try:
                plan = self.place_algo(self.account_of(order), self._attached_arg(order, row), now_ns)
            except Problem as problem:
                self.counts["rejects"] += 1
                row["failCode"] = problem.code
            else:
                plan.parent = order_id(order.number)
                row["algoId"] = algo_id(plan)

    # ---- what becomes of them ----

    def on_accepted(self, order: FakeOrder, now_ns: int) -> None:
        super().on_accepted(order, now_ns)
        if order.is_stop and plan_of(order) is None:  # made by nobody's request
            kind, account = "conditional", self.account_of(order)
            text = order.listing.price_grid.format(order.trigger_ticks)
            plan = Plan(kind, order.client_id, {"slTriggerPx": text, "slOrdPx": "-1"}, order.number)
            plan.legs["sl"], plan.updated_ns = order, now_ns
            order.notes |= {"plan": plan, "leg": "sl"}
            terms_of(order).stp_mode = self.extra(account).stp_mode
            self.push_algo(plan, now_ns)

    def on_triggered(self, order: FakeOrder, now_ns: int) -> None:
        plan = plan_of(order)
        assert plan is not None
        plan.state, plan.fired, plan.updated_ns = "effective", order, now_ns
        terms = terms_of(order)
        terms.algo_id, terms.size = algo_id(plan), order.listing.size_grid.format(order.size_lots)
        if order.order_type == "stop_market" and not order.listing.is_perpetual:
            terms.unit = "base_ccy"
        for other in plan.legs.values():
            if other is not order and not other.done:
                self.at(now_ns, partial(self._cancel_late, other, "other_leg"))
        self.push_algo(plan, now_ns)
        self.push_order(order, "live", now_ns)

    def on_fill(self, order: FakeOrder, trade_id, price_ticks, size_lots, is_maker, now_ns) -> None:
        super().on_fill(order, trade_id, price_ticks, size_lots, is_maker, now_ns)
        if order.done == "filled" and terms_of(order).attached:
            self.at(now_ns, lambda t: self._attach(order, t))

    def on_done(self, order: FakeOrder, reason: str, now_ns: int) -> None:
        plan = plan_of(order)
        if not order.is_stop or plan is None or plan.fired is order:
            super().on_done(order, reason, now_ns)
            if order.filled_lots and terms_of(order).attached:
                self.at(now_ns, lambda t: self._attach(order, t))
        elif plan.state == "live" and reason != "other_leg":
            failed = bool(order.triggered_ns)
            plan.state = "order_failed" if failed else "canceled"
            plan.fail_code, plan.updated_ns = FAIL_CODES.get(reason, "51000") if failed else "0", now_ns
            for other in plan.legs.values():
                if other is not order and not other.done:
                    self.cancel(other, now_ns, "other_leg")
            self.push_algo(plan, now_ns)

    # ---- cancel and amend ----

    def rest_cancel_algos(self, account: Account, body: object, now_ns: int) -> list:
        rows = []
        for arg in self._batch(body):
            row = {"algoId": str(arg.get("algoId") or ""), "algoClOrdId": str(arg.get("algoClOrdId") or "")}
            row |= {"clOrdId": "", "tag": ""}
            try:
                plan = self._plan_meant(account, arg)
                if plan is None or plan.state != "live":
                    raise Problem("51400")
                for order in list(plan.legs.values())[:1]:
                    self.cancel(order, now_ns)
                rows.append(row | {"algoId": algo_id(plan), "sCode": "0", "sMsg": ""})
            except Problem as problem:
                rows.append(row | {"sCode": problem.code, "sMsg": problem.text})
        return rows

    def rest_amend_algos(self, account: Account, body: object, now_ns: int) -> list:
        """Another size, trigger price or order price of an algo order that waits."""
        arg = self._object(body)
        row = {"algoId": str(arg.get("algoId") or ""), "algoClOrdId": str(arg.get("algoClOrdId") or "")}
        row["reqId"] = str(arg.get("reqId") or "")
        try:
            plan = self._plan_meant(account, arg)
            if plan is None or plan.state != "live":
                raise Problem("51503")
            self._amend_plan(plan, arg, now_ns)
        except Problem as problem:
            return [row | {"sCode": problem.code, "sMsg": problem.text}]
        return [row | {"algoId": algo_id(plan), "sCode": "0", "sMsg": ""}]

    def _amend_plan(self, plan: Plan, arg: dict, now_ns: int) -> None:
        listing = plan.first.listing
        size = read_lots(listing, text_in(arg, "newSz")) if text_in(arg, "newSz") else 0
        for name, order in plan.legs.items():
            known = ("triggerPx", "orderPx") if name == "trigger" else (f"{name}TriggerPx", f"{name}OrdPx")
            trigger, price = (f"new{x[0].upper()}{x[1:]}" for x in known)
            if text_in(arg, trigger):
                order.trigger_ticks = self._ticks(listing, arg, trigger)
                plan.arg[known[0]] = text_in(arg, trigger)
            if text_in(arg, price):
                is_market = text_in(arg, price) == "-1"
                order.order_type = "stop_market" if is_market else "stop_limit"
                order.price_ticks = 0 if is_market else self._ticks(listing, arg, price)
                plan.arg[known[1]] = text_in(arg, price)
            if size:
                order.size_lots = size
        if size:
            plan.arg["sz"] = text_in(arg, "newSz")
        plan.updated_ns = now_ns
        self.push_algo(plan, now_ns)

    # ---- looking up ----

    def plans(self, account: Account) -> list[Plan]:
        """Algo orders of an account, newest first."""
        out: dict[int, Plan] = {}
        for order in self.orders.values():
            plan = plan_of(order)
            if order.owner == account.owner and plan is not None and plan.number:
                out[plan.number] = plan
        return sorted(out.values(), key=lambda x: x.number, reverse=True)

    def _plan_meant(self, account: Account, arg: dict) -> Plan | None:
        number, client_id = text_in(arg, "algoId"), text_in(arg, "algoClOrdId")
        if not number and not client_id:
            raise Problem("50015", "algoId", "algoClOrdId")
        known = [
            x for x in self.plans(account) if (algo_id(x) == number if number else x.client_id == client_id)
        ]
        symbol = text_in(arg, "instId")
        return next((x for x in known if symbol in ("", x.first.listing.symbol)), None)

    def rest_algo(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        plan = self._plan_meant(account, query)
        if plan is None:
            raise Problem("51603")
        return [self.algo_row(plan)]

    def _algo_rows(self, account: Account, query: dict[str, str]) -> list[dict]:
        kinds = [x for x in (query.get("ordType") or "").split(",") if x]
        if not kinds:
            raise Problem("50014", "ordType")
        rows = [self.algo_row(x) for x in self.plans(account) if covers(_place_of(query), x.first.listing)]
        return [
            x
            for x in rows
            if x["ordType"] in kinds
            and query.get("algoId") in (None, "", x["algoId"])
            and query.get("algoClOrdId") in (None, "", x["algoClOrdId"])
        ]

    def rest_algos_pending(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        rows = [x for x in self._algo_rows(account, query) if x["state"] == "live"]
        return page(rows, "algoId", query, 100)

    def rest_algos_history(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        state = query.get("state")
        if not state and not query.get("algoId"):
            raise Problem("50015", "state", "algoId")
        if state and state not in ("effective", "canceled", "order_failed"):
            raise Problem("51000", "state")
        rows = [
            x
            for x in self._algo_rows(account, query)
            if x["state"] != "live" and state in (None, "", x["state"])
        ]
        return page(rows, "algoId", query, 100)

    def algo_row(self, plan: Plan) -> dict:
        order, arg, fired = plan.first, plan.arg, plan.fired
        listing, swap = order.listing, order.listing.is_perpetual
        names: tuple[str, ...] = (
            "sz",
            "tpTriggerPx",
            "tpOrdPx",
            "slTriggerPx",
            "slOrdPx",
            "triggerPx",
            "closeFraction",
            "tgtCcy",
        )
        names += ("tpTriggerPxType", "slTriggerPxType", "triggerPxType", "tag")
        said = {k: v for k in names if isinstance(v := arg.get(k), str)}
        for name in plan.legs:
            kind = f"{name}TriggerPxType" if name != "trigger" else "triggerPxType"
            said[kind] = said.get(kind) or "last"
        if "sz" not in said and order.size_lots != ALL_OF_IT:
            said["sz"] = listing.size_grid.format(order.size_lots)
        row = (
            BLANK_ALGO
            | said
            | {
                "algoId": algo_id(plan),
                "algoClOrdId": plan.client_id,
                "instType": type_of(listing),
                "instId": listing.symbol,
                "ordType": plan.kind,
                "side": side_of(order),
                "posSide": order.leg,
                "tdMode": terms_of(order).mode,
                "ordPx": arg.get("orderPx", ""),
                "reduceOnly": "true" if order.reduce_only else "false",
                "lever": str(self.account_of(order).leverage_of(listing)) if swap else "",
                "tradeQuoteCcy": "" if swap else quote_of(listing),
                "last": listing.price_grid.format(self.last_ticks(listing)),
                "state": plan.state,
                "failCode": plan.fail_code,
                "cTime": ms(order.placed_ns),
                "uTime": ms(plan.updated_ns or order.placed_ns),
            }
        )
        row.setdefault("sz", "")
        if fired is not None:
            number = order_id(fired.number)
            row |= {"ordId": number, "ordIdList": [number], "triggerTime": ms(fired.triggered_ns)}
            row |= {"actualSz": listing.size_grid.format(fired.size_lots), "actualSide": fired.notes["leg"]}
            average = fired.average
            row["actualPx"] = plain(average) if average is not None else ""
        return row

    def push_algo(self, plan: Plan, now_ns: int) -> None:
        """`orders-algo` on the business endpoint."""
        account = self.account_of(plan.first)
        row = self.algo_row(plan) | {"amendResult": "", "reqId": "", "notionalUsd": "", "failReason": ""}
        for connection, arg in self.hearers(account, "orders-algo"):
            if covers(arg, plan.first.listing):
                text = dumps({"arg": {**arg, "uid": self.uid(account)}, "data": [row]})
                self.report(connection, text, "order")


def algo_id(plan: Plan) -> str:
    return str(FIRST_ALGO + plan.number)


def _place_of(query: dict[str, str]) -> dict:
    return {k: query.get(k) for k in ("instType", "instFamily", "uly", "instId")}


def _rises(name: str, side: int, trigger_ticks: int, now_ticks: int) -> bool:
    """Does the leg wait for a rise? A stop-loss of a sell waits for a fall, a take-profit for a rise."""
    if name == "trigger":
        return trigger_ticks >= now_ticks
    return (name == "tp") == (side == SELL)

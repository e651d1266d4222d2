"""Conditional USD-M orders of the simulated Binance: the Algo service.

They are no orders until their price is reached: not in `openOrders`, not hit by `allOpenOrders`, with ids and
client ids of their own. When one triggers, an ordinary order is made (`actualOrderId`).

Sources: USD-M developer pages "trade" (New Algo Order and siblings), "Event-Algo-Order-Update"; change log
2025-11-06, 2025-12-09.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from node.venues.binance import fake_shapes as shapes
from node.venues.binance.fake_call import Call, Reject, invalid
from node.venues.binance.fake_futures import CONDITIONAL, TIFS, closes_leg, good_till, stp_of
from node.venues.binance.fake_margin import LEG_OF, leg_name
from node.venues.binance.fake_market import plain, price_text, size_text
from node.venues.binance.fake_orders import ENGINE_TIFS, client_id, on_grid, side_of
from node.venues.binance.fake_refusals import refusal
from node.venues.binance.rules import BINANCE_USDM
from node.venues.fakes import BUY, MS, SELL, Connection, FakeOrder, Listing
from node.venues.ledger import Account

if TYPE_CHECKING:
    from node.venues.binance.fake import BinanceFake

ALGOS_MAX = 200
FIRST_ID = 3_000_000_000_000_000
OPEN = ("NEW", "TRIGGERING")
WORKING = ("CONTRACT_PRICE", "MARK_PRICE")


@dataclass(eq=False)
class Algo:
    """One conditional order. `extreme` is the best price since a trailing one was activated (0 = it is
    not)."""

    id: int
    client_id: str
    account: Account
    listing: Listing
    connection: Connection | None
    kind: str
    side: int
    leg: str
    size_lots: int
    price_ticks: int
    trigger_ticks: int
    working: str = "CONTRACT_PRICE"
    tif: str = "GTC"
    stp: str = "EXPIRE_MAKER"
    reduce: bool = False
    close: bool = False
    protect: bool = False
    gtd: int = 0
    activate_ticks: int = 0
    callback: Decimal = Decimal(0)
    extreme: int = 0
    status: str = "NEW"
    created_ms: int = 0
    updated_ms: int = 0
    triggered_ms: int = 0
    order: FakeOrder | None = None
    reason: str = ""
    notes: dict = field(default_factory=dict)


def truth_row(algo: Algo) -> dict:
    """One that waits, as the judge lists open orders."""
    row = {"market": algo.listing.market, "symbol": algo.listing.symbol, "number": algo.id}
    row |= {"client_id": algo.client_id, "side": "sell" if algo.side else "buy", "type": algo.kind.lower()}
    row |= {"price_ticks": algo.price_ticks, "size_lots": algo.size_lots, "filled_lots": 0, "waits": True}
    return row | {"reduce_only": algo.reduce, "leg": LEG_OF.get(algo.leg, "net")}


class AlgoService:
    """The conditional orders of a venue."""

    def __init__(self, venue: BinanceFake):
        self.venue = venue
        self.algos: dict[int, Algo] = {}
        self._next_id = FIRST_ID

    def add(self, algo: Algo, now_ns: int) -> None:
        algo.id, self._next_id = self._next_id, self._next_id + 1
        self.algos[algo.id] = algo
        self.tell(algo, now_ns)

    def of(self, account: Account, listing: Listing | None = None) -> list[Algo]:
        return [
            x
            for x in self.algos.values()
            if x.account is account and (listing is None or x.listing is listing)
        ]

    def open(self, account: Account, listing: Listing | None = None) -> list[Algo]:
        return [x for x in self.of(account, listing) if x.status in OPEN]

    def tell(self, algo: Algo, now_ns: int) -> None:
        self.venue.events.algo(algo.account, update_of(algo), now_ns)

    def end(self, algo: Algo, status: str, now_ns: int, reason: str = "") -> None:
        algo.status, algo.reason, algo.updated_ms = status, reason, now_ns // MS
        self.tell(algo, now_ns)

    def step(self, now_ns: int) -> None:
        """Look at every open one: has its price been reached?"""
        for algo in [x for x in self.algos.values() if x.status == "NEW"]:
            price = self.venue.trigger_ticks(algo.listing, algo.working == "MARK_PRICE")
            if price and (_trails(algo, price) if algo.callback else is_reached(algo, price)):
                self._fire(algo, now_ns)
            elif algo.gtd and now_ns >= algo.gtd * MS:
                self.end(algo, "EXPIRED", now_ns)

    def _fire(self, algo: Algo, now_ns: int) -> None:
        venue = self.venue
        algo.triggered_ms = now_ns // MS
        self.end(algo, "TRIGGERING", now_ns)
        order = self._order(algo)
        if order is None:
            self.end(algo, "EXPIRED", now_ns)
            return
        no = venue.check(order, now_ns)
        if no is not None:
            self.end(algo, "REJECTED", now_ns, venue.words(no, order).text)
            return
        algo.order = order
        venue.place(order.order_type, order, now_ns)
        self.end(algo, "TRIGGERED", now_ns)
        if order.done:
            self.end(algo, "FINISHED", now_ns)

    def forget_closed(self) -> None:
        """Forget those that are over."""
        self.algos = {k: x for k, x in self.algos.items() if x.status in (*OPEN, "TRIGGERED")}

    def order_ended(self, order: FakeOrder, now_ns: int) -> None:
        """The order that a conditional one became is closed."""
        algo = self.algos.get(order.notes["algo_id"])
        if algo is not None and algo.order is order and algo.status == "TRIGGERED":
            self.end(algo, "FINISHED", now_ns)

    def _order(self, algo: Algo) -> FakeOrder | None:
        """The order that a triggered one becomes; None where there is nothing to close."""
        size_lots = algo.size_lots
        if algo.close:
            size_lots = abs(algo.account.position(algo.listing, LEG_OF[algo.leg]).lots)
            if not size_lots:
                return None
        is_limit = algo.kind in ("STOP", "TAKE_PROFIT")
        order = FakeOrder(
            algo.listing,
            0,
            algo.client_id,
            algo.side,
            algo.price_ticks if is_limit else 0,
            size_lots,
            ENGINE_TIFS.get(algo.tif, "gtc") if is_limit else "gtc",
            algo.connection,
            owner=algo.account.owner,
        )
        order.order_type = "limit" if is_limit else "market"
        order.leg, order.reduce_only, order.stp = (
            LEG_OF[algo.leg],
            algo.reduce or algo.close,
            algo.stp.lower(),
        )
        kind = "LIMIT" if is_limit else "MARKET"
        shapes.note_order(
            order, type=kind, tif=algo.tif if is_limit else "", stp=algo.stp, leg=algo.leg, algo_id=algo.id
        )
        order.notes.update(reduce=order.reduce_only, close=algo.close)
        return order


def is_reached(algo: Algo, price_ticks: int) -> bool:
    """A stop of the buying side waits above the market, a take-profit below; the selling side the other
    way."""
    above = (algo.side == BUY) == algo.kind.startswith("STOP")
    return price_ticks >= algo.trigger_ticks if above else price_ticks <= algo.trigger_ticks


def _trails(algo: Algo, price_ticks: int) -> bool:
    """A trailing stop follows the best price since its activation, at a distance of `callback` percent."""
    sign = 1 if algo.side == SELL else -1
    if not algo.extreme:
        if algo.activate_ticks and sign * price_ticks < sign * algo.activate_ticks:
            return False
        algo.extreme = price_ticks
    algo.extreme = max(algo.extreme, price_ticks) if sign > 0 else min(algo.extreme, price_ticks)
    return sign * price_ticks <= sign * algo.extreme * (1 - sign * algo.callback / 100)


# ---- requests ------------------------------------------------------------------------------------


def place(venue: BinanceFake, call: Call) -> dict:
    try:
        algo = _new(venue, call)
        venue.gate.check_orders(call)
        _check(venue, algo)
    except Reject:
        venue.counts["rejects"] += 1
        raise
    venue.gate.count_orders(call)
    venue.algos.add(algo, call.now_ns)
    return row_of(algo)


def _new(venue: BinanceFake, call: Call) -> Algo:
    call.need("symbol", "side", "type")
    call.choice("algoType", ("CONDITIONAL",), "CONDITIONAL", Reject(-1116, "Invalid algoType."))
    listing, side = venue.listing(call), side_of(call)
    kind = call.choice("type", CONDITIONAL, "", Reject(-1116, "Invalid orderType."))
    leg, close = leg_name(call), call.flag("closePosition")
    if close and (call.has("quantity") or call.flag("reduceOnly")):
        raise Reject(-4136, "Target strategy invalid for orderType with closePosition true.")
    if call.account.hedge and call.has("reduceOnly"):
        raise refusal(call.market, "reduce_in_hedge")
    trails = kind == "TRAILING_STOP_MARKET"
    trigger_name = "triggerPrice" if call.has("triggerPrice") or not call.has("stopPrice") else "stopPrice"
    tif = call.choice("timeInForce", TIFS, "GTC", Reject(-1115, "Invalid timeInForce."))
    return Algo(
        0,
        client_id(venue, call, "clientAlgoId"),
        call.account,
        listing,
        call.connection,
        kind,
        side,
        leg,
        0 if close else on_grid(call, listing, "quantity"),
        on_grid(call, listing, "price") if kind in ("STOP", "TAKE_PROFIT") else 0,
        0 if trails else on_grid(call, listing, trigger_name),
        working=call.choice("workingType", WORKING, WORKING[0], invalid("workingType")),
        tif=tif,
        stp=stp_of(call),
        reduce=call.flag("reduceOnly") or closes_leg(leg, side),
        close=close,
        protect=call.flag("priceProtect"),
        gtd=good_till(call, tif),
        activate_ticks=on_grid(call, listing, "activatePrice", required=False) if trails else 0,
        callback=_callback(call) if trails else Decimal(0),
        created_ms=call.now_ms,
        updated_ms=call.now_ms,
    )


def _callback(call: Call) -> Decimal:
    call.need("callbackRate")
    rate = call.exact("callbackRate") or Decimal(0)
    if not Decimal("0.1") <= rate <= 10:
        raise Reject(-2007, "Invalid callBack rate.")
    return rate


def _check(venue: BinanceFake, algo: Algo) -> None:
    if any(x.client_id == algo.client_id for x in venue.algos.open(algo.account)):
        raise refusal(BINANCE_USDM, "duplicate_id")
    if len(venue.algos.open(algo.account)) >= ALGOS_MAX:
        raise refusal(BINANCE_USDM, "max_stop_orders")
    price = venue.trigger_ticks(algo.listing, algo.working == "MARK_PRICE")
    if not algo.callback and price and is_reached(algo, price):
        raise refusal(BINANCE_USDM, "trigger")


def find(venue: BinanceFake, call: Call) -> Algo | None:
    if not call.has("algoId") and not call.has("clientAlgoId"):
        raise Reject(-1102, "Param 'clientAlgoId' or 'algoId' must be sent, but both were empty/null!")
    rows = venue.algos.of(call.account)
    if call.has("algoId"):
        number = call.whole("algoId")
        return next((x for x in rows if x.id == number), None)
    return next((x for x in reversed(rows) if x.client_id == call.text("clientAlgoId")), None)


def cancel(venue: BinanceFake, call: Call) -> dict:
    algo = find(venue, call)
    if algo is None or algo.status != "NEW":
        raise refusal(call.market, "unknown_order")
    venue.algos.end(algo, "CANCELED", call.now_ns)
    return {"algoId": algo.id, "clientAlgoId": algo.client_id, "code": "200", "msg": "success"}


def cancel_all(venue: BinanceFake, call: Call) -> dict:
    call.need("symbol")
    for algo in venue.algos.open(call.account, venue.listing(call)):
        venue.algos.end(algo, "CANCELED", call.now_ns)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def query(venue: BinanceFake, call: Call) -> dict:
    algo = find(venue, call)
    if algo is None:
        raise refusal(call.market, "not_found")
    return row_of(algo)


def open_orders(venue: BinanceFake, call: Call) -> list[dict]:
    listing = venue.listing(call) if call.has("symbol") else None
    rows = venue.algos.open(call.account, listing)
    if call.has("algoId"):
        rows = [x for x in rows if x.id == call.whole("algoId")]
    return [row_of(x) for x in rows]


def all_orders(venue: BinanceFake, call: Call) -> list[dict]:
    call.need("symbol")
    limit = min(call.whole("limit", 500, least=1), 1000)
    start, end = call.whole("startTime"), call.whole("endTime", 2**62)
    rows = [x for x in venue.algos.of(call.account, venue.listing(call)) if start <= x.created_ms <= end]
    if call.has("algoId"):
        rows = [x for x in rows if x.id >= call.whole("algoId")]
    return [row_of(x) for x in rows[-limit:]]


def row_of(algo: Algo) -> dict:
    listing, order = algo.listing, algo.order
    row = {
        "algoId": algo.id,
        "clientAlgoId": algo.client_id,
        "algoType": "CONDITIONAL",
        "orderType": algo.kind,
        "symbol": listing.symbol,
        "side": shapes.SIDES[algo.side],
        "positionSide": algo.leg,
        "timeInForce": algo.tif,
        "quantity": size_text(listing, algo.size_lots),
        "algoStatus": algo.status,
        "actualOrderId": str(order.number) if order is not None else "",
        "actualPrice": shapes.average_price(order) if order is not None else "0.00000",
        "triggerPrice": price_text(listing, algo.trigger_ticks),
        "price": price_text(listing, algo.price_ticks),
        "icebergQuantity": None,
        "tpTriggerPrice": "0.00",
        "tpPrice": "0.00",
        "slTriggerPrice": "0.00",
        "slPrice": "0.00",
        "tpOrderType": "",
        "selfTradePreventionMode": algo.stp,
        "workingType": algo.working,
        "priceMatch": "NONE",
        "closePosition": algo.close,
        "priceProtect": algo.protect,
        "reduceOnly": algo.reduce,
        "createTime": algo.created_ms,
        "updateTime": algo.updated_ms,
        "triggerTime": algo.triggered_ms,
        "goodTillDate": algo.gtd,
    }
    if algo.callback:
        row |= {
            "activatePrice": price_text(listing, algo.activate_ticks),
            "callbackRate": plain(algo.callback),
        }
    return row


def update_of(algo: Algo) -> dict:
    """`o` of an ALGO_UPDATE."""
    listing, order = algo.listing, algo.order
    row = {
        "caid": algo.client_id,
        "aid": algo.id,
        "at": "CONDITIONAL",
        "o": algo.kind,
        "s": listing.symbol,
        "S": shapes.SIDES[algo.side],
        "ps": algo.leg,
        "f": algo.tif,
        "q": size_text(listing, algo.size_lots),
        "X": algo.status,
        "ai": str(order.number) if order is not None else "",
        "ap": shapes.average_price(order) if order is not None else "0.00000",
        "aq": size_text(listing, order.filled_lots) if order is not None else "0.00000",
        "act": "0",
        "tp": price_text(listing, algo.trigger_ticks),
        "p": price_text(listing, algo.price_ticks),
        "V": algo.stp,
        "wt": algo.working,
        "pm": "NONE",
        "cp": algo.close,
        "pP": algo.protect,
        "R": algo.reduce,
        "tt": algo.triggered_ms,
        "gtd": algo.gtd,
        "rm": algo.reason,
    }
    if algo.callback:
        row |= {"ac": price_text(listing, algo.activate_ticks), "cr": plain(algo.callback)}
    return row

"""USD-M orders of the simulated Binance: place, test, modify, cancel, batches, countdown; REST and WebSocket
API alike. Conditional types are refused here: they are `fake_algo`'s.

Sources: USD-M developer pages "trade", "websocket-api", "error-code", change log (answers without average
price since 2026-06-30; algo service since 2025-12-09).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import orjson

from node.venues.binance import fake_shapes as shapes
from node.venues.binance.fake_call import Call, Reject, invalid, plain
from node.venues.binance.fake_margin import LEG_OF, leg_name
from node.venues.binance.fake_orders import (
    ENGINE_TIFS,
    STP_MODES,
    checked,
    client_id,
    crosses,
    find,
    on_grid,
    side_of,
)
from node.venues.binance.fake_refusals import error_of, refusal
from node.venues.fakes import BUY, MS, SELL, FakeOrder, Listing

if TYPE_CHECKING:
    from node.venues.binance.fake import BinanceFake

TYPES = ("LIMIT", "MARKET")
CONDITIONAL = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
TIFS = ("GTC", "IOC", "FOK", "GTX", "GTD", "RPI")
GTD_LEAST_MS = 600_000
GTD_MOST_MS = 253402300799000
MODIFIES_MAX = 10_000
BATCH_PLACE, BATCH_CANCEL = 5, 10
PRICE_MATCH = {
    "OPPONENT": (1, 0),
    "OPPONENT_5": (1, 4),
    "OPPONENT_10": (1, 9),
    "OPPONENT_20": (1, 19),
    "QUEUE": (0, 0),
    "QUEUE_5": (0, 4),
    "QUEUE_10": (0, 9),
    "QUEUE_20": (0, 19),
}


# ---- new orders --------------------------------------------------------------------------------------------


def new_order(venue: BinanceFake, call: Call) -> tuple[FakeOrder, str]:
    """The order of a request, checked as far as its parameters go, and which answer is wanted."""
    call.need("symbol", "side", "type")
    listing, side = venue.listing(call), side_of(call)
    if call.text("type") in CONDITIONAL:
        raise refusal(call.market, "conditional")
    kind = call.choice("type", TYPES, "", Reject(-1116, "Invalid orderType."))
    tif = tif_of(call, kind)
    match = call.choice("priceMatch", ("NONE", *PRICE_MATCH), "NONE", refusal(call.market, "price_match"))
    price_ticks = price_of(call, listing, kind, side, match)
    size_lots = on_grid(call, listing, "quantity")
    leg = leg_name(call)
    if call.account.hedge and call.has("reduceOnly"):
        raise refusal(call.market, "reduce_in_hedge")
    answer = call.choice("newOrderRespType", ("ACK", "RESULT"), "ACK", invalid("newOrderRespType"))
    order = venue.make_order(call, listing, client_id(venue, call), side, price_ticks, size_lots)
    order.order_type = "market" if kind == "MARKET" else "limit"
    order.tif = ENGINE_TIFS.get(tif, "gtc")
    order.leg = LEG_OF[leg]
    order.reduce_only = call.flag("reduceOnly") or closes_leg(leg, side)
    stp = stp_of(call)
    order.stp = stp.lower() if tif not in ("GTX", "RPI") else "none"
    shapes.note_order(
        order, type=kind, tif=tif, stp=stp, leg=leg, reduce=order.reduce_only, price_match=match
    )
    order.notes["gtd"] = good_till(call, tif)
    return order, answer


def closes_leg(leg: str, side: int) -> bool:
    """In hedge mode the side says whether a leg grows or shrinks."""
    return (leg == "LONG" and side == SELL) or (leg == "SHORT" and side == BUY)


def stp_of(call: Call) -> str:
    return call.choice("selfTradePreventionMode", STP_MODES, "EXPIRE_MAKER", refusal(call.market, "stp"))


def tif_of(call: Call, kind: str) -> str:
    if kind == "LIMIT":
        call.need("timeInForce")
        return call.choice("timeInForce", TIFS, "", Reject(-1115, "Invalid timeInForce."))
    if call.has("timeInForce"):
        raise Reject(-1106, "Parameter 'timeInForce' sent when not required.")
    return ""


def price_of(call: Call, listing: Listing, kind: str, side: int, match: str) -> int:
    """`price`, or the one of the book that `priceMatch` names."""
    if kind == "MARKET":
        if call.has("price"):
            raise Reject(-1106, "Parameter 'price' sent when not required.")
        return 0
    if match == "NONE":
        return on_grid(call, listing, "price")
    if call.has("price"):
        raise Reject(-1128, "Combination of optional parameters invalid.")
    other, depth = PRICE_MATCH[match]
    levels = listing.engine.levels(1 - side if other else side, depth + 1)
    if len(levels) <= depth:
        raise refusal(call.market, "price_match")
    return levels[depth][0]


def good_till(call: Call, tif: str) -> int:
    if tif != "GTD":
        return 0
    call.need("goodTillDate")
    until = call.whole("goodTillDate")
    if not call.now_ms + GTD_LEAST_MS < until < GTD_MOST_MS:
        raise refusal(call.market, "good_till")
    return until // 1000 * 1000


def engine_checks(venue: BinanceFake, call: Call, order: FakeOrder) -> None:
    """What the matching engine refuses before an order exists."""
    if order.tif == "post_only" and crosses(order) and not venue.post_only_expires:
        raise refusal(call.market, "post_only")
    if order.tif == "fok" and not _fillable(order):
        raise refusal(call.market, "fok")


def _fillable(order: FakeOrder) -> bool:
    sign = 1 if order.side == BUY else -1
    levels = order.listing.engine.levels(1 - order.side, 1_000_000)
    return sum(size for price, size in levels if sign * price <= sign * order.price_ticks) >= order.size_lots


def accept(venue: BinanceFake, call: Call) -> tuple[FakeOrder, str]:
    """Read and check a new order with everything short of placing it."""
    try:
        order, answer = new_order(venue, call)
        venue.settle(order.listing, call.now_ns)
        venue.gate.check_orders(call)
        checked(venue, call, order)
        engine_checks(venue, call, order)
        if call.in_batch:
            _disturb_item(venue, call, order)
    except Reject:
        venue.counts["rejects"] += 1
        raise
    return order, answer


def _disturb_item(venue: BinanceFake, call: Call, order: FakeOrder) -> None:
    """`ack.batch`: an item fails with a code, or is left out of the answer."""
    fault = venue.item_fault(order)
    if fault is not None and fault.get("missing"):
        call.is_missing = True
    elif fault is not None:
        raise error_of(call.market, int(fault.get("code", -1008)))


def place(venue: BinanceFake, call: Call) -> dict:
    order, answer = accept(venue, call)
    venue.gate.count_orders(call)
    venue.submit(call, order)
    if order.notes["gtd"]:
        venue.at(order.notes["gtd"] * MS, lambda now_ns: venue.cancel(order, now_ns, "expired"))
    return (
        shapes.usdm_answer(order, call.now_ms)
        if answer == "RESULT"
        else shapes.usdm_accepted(order, call.now_ms)
    )


def test(venue: BinanceFake, call: Call) -> dict:
    order, _ = accept(venue, call)
    return shapes.usdm_accepted(order, call.now_ms)


# ---- cancel and modify -------------------------------------------------------------------------------------


def cancel(venue: BinanceFake, call: Call) -> dict:
    order = find(venue, call)
    if order is None or order.done or not venue.withdraw(call, order):
        raise refusal(call.market, "unknown_order")
    return shapes.usdm_answer(order, call.now_ms)


def cancel_all(venue: BinanceFake, call: Call) -> dict:
    """Accepted, whatever there is: what becomes of the orders is told by the user stream."""
    call.need("symbol")
    listing = venue.listing(call)
    for order in venue.open_orders(account=call.account, listing=listing):
        if not order.done and not order.trigger_ticks:
            venue.withdraw(call, order)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def modify(venue: BinanceFake, call: Call) -> dict:
    """New price and size, both mandatory; the place in the queue is lost. A GTX order that would take, and
    one whose size is no more than what is filled, is cancelled."""
    order, price_ticks, size_lots = _modification(venue, call)
    order.notes["modify_id"] = call.whole("modifyId") if call.has("modifyId") else 0
    venue.gate.count_orders(call)
    probe = replace(order, price_ticks=price_ticks, size_lots=size_lots)
    dies = size_lots <= order.filled_lots or (order.tif == "post_only" and crosses(probe))
    if dies:
        venue.withdraw(call, order)
        return shapes.usdm_answer(order, call.now_ms)
    why = venue.change(call, order, price_ticks, size_lots, order.client_id)
    if why:
        raise refusal(call.market, why)
    return shapes.usdm_answer(order, call.now_ms)


def _modification(venue: BinanceFake, call: Call) -> tuple[FakeOrder, int, int]:
    """The order to modify with its new price and size, checked."""
    call.need("symbol", "side", "quantity")
    match = call.choice("priceMatch", ("NONE", *PRICE_MATCH), "NONE", refusal(call.market, "price_match"))
    order = find(venue, call)
    if order is None or order.done:
        raise refusal(call.market, "not_found")
    if order.notes["type"] != "LIMIT":
        raise refusal(call.market, "only_limit")
    venue.settle(order.listing, call.now_ns)
    venue.gate.check_orders(call)
    price_ticks = price_of(call, order.listing, "LIMIT", order.side, match)
    size_lots = on_grid(call, order.listing, "quantity")
    if side_of(call) != order.side:
        raise Reject(-1117, "Invalid side.")
    if (price_ticks, size_lots) == (order.price_ticks, order.size_lots):
        raise refusal(call.market, "no_change")
    if order.notes["amends"] >= MODIFIES_MAX:
        raise refusal(call.market, "max_amends")
    value = order.listing.notional(price_ticks, size_lots)
    if not order.reduce_only and value < Decimal(order.listing.min_notional or 0):
        raise refusal(call.market, "min_notional", order.listing.min_notional)
    return order, price_ticks, size_lots


def amendments(venue: BinanceFake, call: Call) -> list[dict]:
    call.need("symbol")
    listing = venue.listing(call)
    rows = [
        x for order in venue.every_order(call.account, listing) for x in order.notes.get("amendments", [])
    ]
    if call.has("orderId"):
        rows = [x for x in rows if x["orderId"] == call.whole("orderId")]
    return rows[-min(call.whole("limit", 50, least=1), 100) :]


# ---- batches -------------------------------------------------------------------------------------


def batch_place(venue: BinanceFake, call: Call) -> list[dict]:
    return _batch(venue, call, _batch_items(call), place)


def batch_modify(venue: BinanceFake, call: Call) -> list[dict]:
    return _batch(venue, call, _batch_items(call), modify)


def batch_cancel(venue: BinanceFake, call: Call) -> list[dict]:
    call.need("symbol")
    names = {"orderIdList": "orderId", "origClientOrderIdList": "origClientOrderId"}
    names |= {"orderidlist": "orderId", "origclientorderidlist": "origClientOrderId"}  # as some clients write
    name = next((x for x in names if call.has(x)), "")
    if not name:
        raise Reject(
            -1102, "Param 'origClientOrderIdList' or 'orderIdList' must be sent, but both were empty/null!"
        )
    items = call.items(name)
    if not items or len(items) > BATCH_CANCEL:
        raise Reject(-4083, "Batch cancel limit is 10.") if items else invalid(name)
    rows = [{"symbol": call.text("symbol"), names[name]: str(x)} for x in items]
    return _batch(venue, call, rows, cancel)


def _batch_items(call: Call) -> list[dict[str, str]]:
    call.need("batchOrders")
    try:
        items = orjson.loads(call.params["batchOrders"])
    except orjson.JSONDecodeError:
        items = None
    if not isinstance(items, list) or not all(isinstance(x, dict) for x in items) or not items:
        raise invalid("batchOrders")
    if len(items) > BATCH_PLACE:
        raise Reject(-4082, "Invalid number of batch place orders.")
    return [{str(k): plain(v) for k, v in x.items() if v is not None} for x in items]


def _batch(
    venue: BinanceFake, call: Call, items: list[dict[str, str]], run: Callable[[BinanceFake, Call], dict]
) -> list[dict]:
    """Each item by itself; a failed one is its error."""
    out = []
    for params in items:
        item = replace(call, params=params, in_batch=True)
        try:
            row = run(venue, item)
        except Reject as reject:
            row = {"code": reject.code, "msg": reject.text}
        if not item.is_missing:
            out.append(row)
        call.ordered = call.ordered or item.ordered
    return out


# ---- queries and the countdown -------------------------------------------------------------------


def query(venue: BinanceFake, call: Call) -> dict:
    order = find(venue, call)
    if order is None:
        raise refusal(call.market, "not_found")
    return shapes.usdm_row(order)


def open_order(venue: BinanceFake, call: Call) -> dict:
    order = find(venue, call)
    if order is None or order.done:
        raise refusal(call.market, "not_found")
    return shapes.usdm_row(order)


def force_orders(venue: BinanceFake, call: Call) -> list[dict]:
    """Orders that the venue made to liquidate this account."""
    listings = [venue.listing(call)] if call.has("symbol") else venue.of_market(call.market)
    rows = [x for listing in listings for x in venue.every_order(call.account, listing)]
    return [shapes.usdm_row(x) for x in rows if x.client_id.startswith(("autoclose-", "adl_autoclose"))]


def countdown(venue: BinanceFake, call: Call) -> dict:
    """Cancel all orders of a symbol when the time is over, unless it is set again; 0 disarms."""
    call.need("symbol", "countdownTime")
    listing, ms = venue.listing(call), call.whole("countdownTime")
    venue.arm_countdown(call.account, listing, ms, call.now_ns)
    return {"symbol": listing.symbol, "countdownTime": str(ms)}

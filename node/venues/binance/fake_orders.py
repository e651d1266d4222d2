"""Spot orders of the simulated Binance: place, test, cancel, cancel-replace, amend, query; REST and WebSocket
API alike. What both products share in reading an order is here too.

Order of checks: parameters, enums, precision, order counter, filters, then what the matching engine refuses.

Sources: binance-spot-api-docs `rest-api.md`, `web-socket-api.md` (Trading requests), `filters.md`,
`errors.md`, `faqs/order_amend_keep_priority.md`.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from node.venues.binance import fake_shapes as shapes
from node.venues.binance.fake_account import commission_rates
from node.venues.binance.fake_call import Call, Reject, illegal, invalid
from node.venues.binance.fake_history import DAY_MS
from node.venues.binance.fake_market import e8
from node.venues.binance.fake_refusals import refusal
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM
from node.venues.fakes import BUY, MS, FakeOrder, Listing

if TYPE_CHECKING:
    from node.venues.binance.fake import BinanceFake

CLIENT_ID = {
    BINANCE_SPOT: re.compile(r"[a-zA-Z0-9_-]{1,36}"),
    BINANCE_USDM: re.compile(r"[.A-Z:/a-z0-9_-]{1,36}"),
}
CLIENT_ID_RANGE = {BINANCE_SPOT: "^[a-zA-Z0-9-_]{1,36}$", BINANCE_USDM: r"^[\.A-Z\:/a-z0-9_-]{1,36}$"}
STP_MODES = {"NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"}
SPOT_STP_MODES = (*sorted(STP_MODES), "DECREMENT")
SPOT_TYPES = {
    "LIMIT": "limit",
    "MARKET": "market",
    "LIMIT_MAKER": "limit",
    "STOP_LOSS": "stop_market",
    "STOP_LOSS_LIMIT": "stop_limit",
    "TAKE_PROFIT": "stop_market",
    "TAKE_PROFIT_LIMIT": "stop_limit",
}
NEEDS_TIF = ("LIMIT", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT")
TIFS = ("GTC", "IOC", "FOK")
ENGINE_TIFS = {"GTC": "gtc", "GTD": "gtc", "IOC": "ioc", "FOK": "fok", "GTX": "post_only", "RPI": "post_only"}
AMENDS_MAX = 10
ICEBERG_PARTS = 10


# ---- reading an order, both products -----------------------------------------------------------------------


def side_of(call: Call) -> int:
    return shapes.SIDES.index(call.choice("side", shapes.SIDES, "", Reject(-1117, "Invalid side.")))


def client_id(venue: BinanceFake, call: Call, name: str = "newClientOrderId") -> str:
    """The client id that was sent, checked, or a new one."""
    if not call.has(name):
        return venue.new_client_id()
    text = call.params[name]
    if not call.is_spot and len(text) > 36:
        raise Reject(-4015, "Client order id length should be less than 36 chars.")
    if not CLIENT_ID[call.market].fullmatch(text):
        raise illegal(name, CLIENT_ID_RANGE[call.market])
    return text


def on_grid(call: Call, listing: Listing, name: str, required: bool = True) -> int:
    """A price or size in ticks or lots (0 where it may be left out); every way of being wrong has its own
    code."""
    if required:
        call.need(name)
    value = call.exact(name)
    if value is None:
        return 0
    is_price = name in ("price", "stopPrice", "triggerPrice", "activatePrice")
    grid = listing.price_grid if is_price else listing.size_grid
    text = format(value, "f")
    places = 8 if call.is_spot else max(grid.decimals, 1)
    if len(text.partition(".")[2].rstrip("0")) > places:
        if call.is_spot:
            raise Reject(-1111, f"Parameter '{name}' has too much precision.")
        raise refusal(call.market, "precision")
    if value == 0:
        if call.is_spot:
            raise Reject(-1013, f"Invalid {name}.")
        raise refusal(call.market, "min_price" if is_price else "zero")
    try:
        return grid.parse(format(value.normalize(), "f"))
    except ValueError:
        raise refusal(call.market, "tick" if is_price else "lot") from None


def find(
    venue: BinanceFake, call: Call, number_name: str = "orderId", id_name: str = "origClientOrderId"
) -> FakeOrder | None:
    """The order that a request names: by number; where both are sent spot wants the client id to agree."""
    call.need("symbol")
    listing = venue.listing(call)
    if not call.has(number_name) and not call.has(id_name):
        raise Reject(-1102, f"Param '{id_name}' or '{number_name}' must be sent, but both were empty/null!")
    if not call.has(number_name):
        return venue.order_by_client(call, listing, call.text(id_name))
    order = venue.order_by_number(call, listing, call.whole(number_name))
    if order is not None and call.is_spot and call.has(id_name) and order.client_id != call.text(id_name):
        raise Reject(-2039, "Client order ID is not correct for this order ID.")
    return order


def checked(venue: BinanceFake, call: Call, order: FakeOrder) -> None:
    """Filters and everything else that is shared: raises the venue's words for it."""
    no = venue.check(order, call.now_ns)
    if no is not None:
        raise venue.words(no, order)


def crosses(order: FakeOrder) -> bool:
    """Would this limit order trade at once?"""
    opposite = order.listing.engine.best(1 - order.side)
    if opposite is None:
        return False
    return order.price_ticks >= opposite[0] if order.side == BUY else order.price_ticks <= opposite[0]


# ---- new spot orders -----------------------------------------------------------------------------


def new_order(venue: BinanceFake, call: Call) -> tuple[FakeOrder, str]:
    """The order of a request, checked as far as its parameters go, and which answer is wanted."""
    call.need("symbol", "side", "type")
    listing, side = venue.listing(call), side_of(call)
    kind = call.choice("type", SPOT_TYPES, "", Reject(-1116, "Invalid orderType."))
    tif = _tif(call, kind)
    if kind in ("MARKET", "STOP_LOSS", "TAKE_PROFIT") and call.has("price"):
        raise Reject(-1106, "Parameter 'price' sent when not required.")
    price_ticks = on_grid(call, listing, "price") if kind in (*NEEDS_TIF, "LIMIT_MAKER") else 0
    trigger_ticks = _trigger(call, listing, kind)
    size_lots = _size(venue, call, listing, kind, side)
    default = "FULL" if kind in ("LIMIT", "MARKET") else "ACK"
    answer = call.choice("newOrderRespType", ("ACK", "RESULT", "FULL"), default, invalid("newOrderRespType"))
    order = venue.make_order(call, listing, client_id(venue, call), side, price_ticks, size_lots)
    order.order_type = SPOT_TYPES[kind]
    order.tif = "post_only" if kind == "LIMIT_MAKER" else ENGINE_TIFS.get(tif, "gtc")
    stp = call.choice("selfTradePreventionMode", SPOT_STP_MODES, "EXPIRE_MAKER", refusal(call.market, "stp"))
    order.stp = stp.lower()
    if trigger_ticks:
        order.trigger_ticks = trigger_ticks
        order.trigger_rise = (side == BUY) == kind.startswith("STOP")
    shapes.note_order(
        order,
        type=kind,
        tif=tif,
        stp=stp,
        strategy=_strategy(call),
        iceberg=_iceberg(call, listing, size_lots),
    )
    if call.has("quoteOrderQty"):
        order.notes["quote_qty"] = call.exact("quoteOrderQty")
    return order, answer


def _tif(call: Call, kind: str) -> str:
    if kind not in NEEDS_TIF:
        if call.has("timeInForce"):
            raise Reject(-1106, "Parameter 'timeInForce' sent when not required.")
        return ""
    call.need("timeInForce")
    return call.choice("timeInForce", TIFS, "", Reject(-1115, "Invalid timeInForce."))


def _trigger(call: Call, listing: Listing, kind: str) -> int:
    """`stopPrice` of a contingent order."""
    if not kind.startswith(("STOP", "TAKE")):
        if call.has("stopPrice"):
            raise Reject(-1106, "Parameter 'stopPrice' sent when not required.")
        return 0
    if call.has("trailingDelta"):
        raise Reject(-1013, "Trailing stop orders are not supported for this symbol.")
    return on_grid(call, listing, "stopPrice")


def _size(venue: BinanceFake, call: Call, listing: Listing, kind: str, side: int) -> int:
    """`quantity`, or what `quoteOrderQty` is worth on the book."""
    if not call.has("quoteOrderQty"):
        return on_grid(call, listing, "quantity")
    if kind != "MARKET":
        raise Reject(-1106, "Parameter 'quoteOrderQty' sent when not required.")
    if call.has("quantity"):
        raise Reject(-1128, "Combination of optional parameters invalid.")
    venue.settle(listing, call.now_ns)
    lots = lots_for(listing, side, call.exact("quoteOrderQty") or Decimal(0))
    if lots <= 0:
        raise refusal(call.market, "min_notional")
    return lots


def lots_for(listing: Listing, side: int, quote: Decimal) -> int:
    """Whole lots that an amount of quote buys or brings on the book as it is."""
    lots = 0
    for price_ticks, size_lots in listing.engine.levels(1 - side, 1_000):
        of_one = shapes.value_of(listing, price_ticks, 1)
        take = min(size_lots, int(quote / of_one))
        lots, quote = lots + take, quote - take * of_one
        if take < size_lots:
            break
    return lots


def _iceberg(call: Call, listing: Listing, size_lots: int) -> Decimal:
    if not call.has("icebergQty"):
        return Decimal(0)
    shown = on_grid(call, listing, "icebergQty")
    if call.text("timeInForce", "GTC") != "GTC" or shown > size_lots:
        raise Reject(-1013, "Iceberg orders are only allowed with timeInForce GTC and a smaller icebergQty.")
    if -(-size_lots // shown) > ICEBERG_PARTS:
        raise refusal(call.market, "iceberg")
    return Decimal(listing.size(shown))


def _strategy(call: Call) -> dict:
    out: dict = {}
    if call.has("strategyId"):
        out["strategyId"] = call.whole("strategyId")
    if call.has("strategyType"):
        out["strategyType"] = call.whole("strategyType")
        if out["strategyType"] < 1_000_000:
            raise Reject(-1134, "strategyType was less than 1000000.")
    return out


def engine_checks(venue: BinanceFake, call: Call, order: FakeOrder) -> None:
    """What the matching engine refuses before an order exists."""
    if order.tif == "post_only" and crosses(order):
        raise refusal(call.market, "post_only")
    if order.trigger_ticks:
        last = venue.history(order.listing).last_ticks
        if last >= order.trigger_ticks if order.trigger_rise else last <= order.trigger_ticks:
            raise refusal(call.market, "trigger")


def accept(venue: BinanceFake, call: Call) -> tuple[FakeOrder, str]:
    """Read and check a new order with everything short of placing it."""
    try:
        order, answer = new_order(venue, call)
        venue.settle(order.listing, call.now_ns)
        venue.gate.check_orders(call)
        checked(venue, call, order)
        engine_checks(venue, call, order)
    except Reject:
        venue.counts["rejects"] += 1
        raise
    return order, answer


def place(venue: BinanceFake, call: Call) -> dict:
    order, answer = accept(venue, call)
    venue.gate.count_orders(call)
    venue.submit(call, order)
    return shapes.spot_answer(order, answer, call.now_ms)


def test(venue: BinanceFake, call: Call) -> dict:
    """Everything but the order."""
    order, _ = accept(venue, call)
    if not call.flag("computeCommissionRates"):
        return {}
    rates = commission_rates(venue, call.account, order.listing)
    names = ("standard", "special", "tax")
    out = {
        f"{x}CommissionForOrder": {y: rates[f"{x}Commission"][y] for y in ("maker", "taker")} for x in names
    }
    return out | {"discount": rates["discount"]}


def sor(venue: BinanceFake, call: Call) -> dict:
    """Smart order routing: there is nowhere else to route to."""
    raise Reject(-1013, "SOR is not supported for this symbol.")


def no_lists(venue: BinanceFake, call: Call) -> dict:
    """Order lists are switched off for every symbol (`ocoAllowed` and its like are false)."""
    call.need("symbol", "side")
    venue.listing(call)
    raise Reject(-1013, "OCO orders are not supported for this symbol.")


def no_such_list(venue: BinanceFake, call: Call) -> dict:
    if call.name.endswith("cancel") or call.name.startswith("DELETE"):
        raise refusal(call.market, "unknown_order")
    raise Reject(-2018, "Order list does not exist.")


# ---- cancel ------------------------------------------------------------------------------------------------


def cancel(venue: BinanceFake, call: Call) -> dict:
    order = cancellable(venue, call)
    _cancel(venue, call, order, call.text("newClientOrderId"))
    return shapes.spot_cancel(order, call.now_ms)


def cancellable(
    venue: BinanceFake, call: Call, number_name: str = "orderId", id_name: str = "origClientOrderId"
) -> FakeOrder:
    """The open order that a cancel names, if its restrictions allow it."""
    order = find(venue, call, number_name, id_name)
    if order is not None:
        venue.settle(order.listing, call.now_ns)
    if order is None or order.done:
        raise refusal(call.market, "unknown_order")
    limits = {"ONLY_NEW": "NEW", "ONLY_PARTIALLY_FILLED": "PARTIALLY_FILLED"}
    wanted = call.choice("cancelRestrictions", limits, "", Reject(-1145, "Invalid cancelRestrictions"))
    if wanted and shapes.status(order) != limits[wanted]:
        raise refusal(call.market, "restrictions")
    return order


def _cancel(venue: BinanceFake, call: Call, order: FakeOrder, cancel_id: str) -> None:
    order.notes["cancel_id"] = cancel_id or venue.new_client_id()
    if not venue.withdraw(call, order):
        raise refusal(call.market, "unknown_order")


def cancel_all(venue: BinanceFake, call: Call) -> list[dict]:
    call.need("symbol")
    listing = venue.listing(call)
    venue.settle(listing, call.now_ns)
    rows = venue.open_orders(account=call.account, listing=listing)
    if not rows:
        raise refusal(call.market, "unknown_order")
    out = []
    for order in rows:
        if not order.done:
            _cancel(venue, call, order, "")
            out.append(shapes.spot_cancel(order, call.now_ms))
    return out


# ---- cancel-replace and amend --------------------------------------------------------------------


def cancel_replace(venue: BinanceFake, call: Call) -> dict:
    """Checks of the new order come first; then the cancel; then the new order. What is done stays done."""
    call.need("symbol", "side", "type", "cancelReplaceMode")
    mode = call.choice("cancelReplaceMode", ("STOP_ON_FAILURE", "ALLOW_FAILURE"), "")
    over = call.choice("orderRateLimitExceededMode", ("DO_NOTHING", "CANCEL_ONLY"), "DO_NOTHING")
    order, answer = new_order(venue, call)
    too_many = _over_limit(venue, call)
    if too_many is not None and over == "DO_NOTHING":
        raise too_many
    cancelled, old_error = _leg_cancel(venue, call)
    if old_error is not None and mode == "STOP_ON_FAILURE":
        venue.gate.count_orders(call)
        raise _replace_failed("FAILURE", old_error, "NOT_ATTEMPTED", None, 400)
    placed, new_error = (None, too_many) if too_many is not None else _leg_place(venue, call, order, answer)
    if old_error is None and new_error is None:
        return {
            "cancelResult": "SUCCESS",
            "newOrderResult": "SUCCESS",
            "cancelResponse": cancelled,
            "newOrderResponse": placed,
        }
    results = ["FAILURE" if x is not None else "SUCCESS" for x in (old_error, new_error)]
    both = old_error is not None and new_error is not None
    raise _replace_failed(
        results[0], old_error or cancelled, results[1], new_error or placed, 400 if both else 409
    )


def _over_limit(venue: BinanceFake, call: Call) -> Reject | None:
    try:
        venue.gate.check_orders(call)
    except Reject as reject:
        return reject
    return None


def _leg_cancel(venue: BinanceFake, call: Call) -> tuple[dict | None, Reject | None]:
    try:
        order = cancellable(venue, call, "cancelOrderId", "cancelOrigClientOrderId")
        _cancel(venue, call, order, call.text("cancelNewClientOrderId"))
    except Reject as reject:
        if reject.code == -1102:
            raise
        return None, reject
    return shapes.spot_cancel(order, call.now_ms), None


def _leg_place(
    venue: BinanceFake, call: Call, order: FakeOrder, answer: str
) -> tuple[dict | None, Reject | None]:
    try:
        checked(venue, call, order)
        engine_checks(venue, call, order)
        venue.gate.count_orders(call)
        venue.submit(call, order)
    except Reject as reject:
        venue.counts["rejects"] += 1
        return None, reject
    return shapes.spot_answer(order, answer, call.now_ms), None


def _replace_failed(cancel_result: str, old: object, new_result: str, new: object, status: int) -> Reject:
    """-2022 where both failed, -2021 where one did."""

    def part(x: object) -> object:
        return {"code": x.code, "msg": x.text} if isinstance(x, Reject) else x

    data: dict[str, object] = {"cancelResult": cancel_result, "newOrderResult": new_result}
    data |= {"cancelResponse": part(old), "newOrderResponse": part(new)}
    if status == 400:
        return Reject(-2022, "Order cancel-replace failed.", 400, data)
    return Reject(-2021, "Order cancel-replace partially failed.", 409, data)


def amend(venue: BinanceFake, call: Call) -> dict:
    """Less quantity, same place in the queue. A client id that is not sent again is lost: it becomes
    random."""
    call.need("symbol", "newQty")
    order = find(venue, call)
    if order is not None:
        venue.settle(order.listing, call.now_ns)
    if order is None or order.done:
        raise refusal(call.market, "unknown_order")
    size_lots = on_grid(call, order.listing, "newQty")
    if size_lots == order.size_lots:
        raise refusal(call.market, "no_change")
    if size_lots > order.size_lots:
        raise refusal(call.market, "amend_up")
    if order.notes["amends"] >= AMENDS_MAX:
        raise refusal(call.market, "max_amends")
    former_id, new_id = order.client_id, client_id(venue, call)
    why = venue.change(call, order, None, size_lots, new_id)
    if why:
        raise refusal(call.market, why)
    order.notes.setdefault("amendments", []).append(
        {
            "symbol": order.listing.symbol,
            "orderId": order.number,
            "executionId": venue.events.executions,
            "origClientOrderId": former_id,
            "newClientOrderId": order.client_id,
            "origQty": e8(Decimal(order.listing.size(order.notes["former_lots"]))),
            "newQty": e8(Decimal(order.listing.size(size_lots))),
            "time": call.now_ms,
        }
    )
    return {
        "transactTime": call.now_ms,
        "executionId": venue.events.executions,
        "amendedOrder": shapes.spot_amended(order, former_id),
    }


def amendments(venue: BinanceFake, call: Call) -> list[dict]:
    call.need("symbol", "orderId")
    order = venue.order_by_number(call, venue.listing(call), call.whole("orderId"))
    return list(order.notes.get("amendments", [])) if order is not None else []


# ---- queries, both products ----------------------------------------------------------------------


def query(venue: BinanceFake, call: Call) -> dict:
    order = find(venue, call)
    if order is None:
        raise refusal(call.market, "archived" if venue.was_archived(call) else "not_found")
    return row_of(order)


def row_of(order: FakeOrder) -> dict:
    return shapes.spot_row(order) if order.listing.market == BINANCE_SPOT else shapes.usdm_row(order)


def open_orders(venue: BinanceFake, call: Call) -> list[dict]:
    listing = venue.listing(call) if call.has("symbol") else None
    for x in venue.of_market(call.market):
        venue.settle(x, call.now_ns)
    rows = venue.open_orders(account=call.account, market=call.market, listing=listing)
    return [row_of(x) for x in rows if not (x.waits and x.is_stop and not call.is_spot)]


def all_orders(venue: BinanceFake, call: Call) -> list[dict]:
    """All orders of a symbol: from a number on, by time, or the latest; oldest first."""
    call.need("symbol")
    listing = venue.listing(call)
    venue.settle(listing, call.now_ns)
    limit = min(call.whole("limit", 500, least=1), 1000)
    start, end = call.whole("startTime"), call.whole("endTime", 2**62)
    both, most = call.has("startTime") and call.has("endTime"), DAY_MS if call.is_spot else 7 * DAY_MS
    if both and end - start > most:
        raise Reject(-1127, "More than 24 hours between startTime and endTime.")
    rows = venue.every_order(call.account, listing)
    rows = sorted((x for x in rows if start <= x.placed_ns // MS <= end), key=lambda x: x.number)
    if call.has("orderId"):
        rows = [x for x in rows if x.number >= call.whole("orderId")]
    first = call.has("orderId") or call.has("startTime")
    return [row_of(x) for x in (rows[:limit] if first else rows[-limit:])]

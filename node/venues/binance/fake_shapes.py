"""Orders of the simulated Binance as JSON: answers, query rows and user events of both products.

`FakeOrder.notes` holds what only Binance knows of an order, see `note_order`. Names are the wire's, where
`cummulativeQuoteQty` is really spelled so.

Sources: binance-spot-api-docs `rest-api.md`, `web-socket-api.md`, `user-data-stream.md`; USD-M developer
pages "trade", "user-data-streams".
"""

from decimal import Decimal
from typing import Any

from node.venues.binance.fake_market import e8, plain, price_text, size_text
from node.venues.binance.rules import BINANCE_SPOT
from node.venues.fakes import MS, FakeOrder, Listing

SIDES = ("BUY", "SELL")
STATUSES = {
    "filled": "FILLED",
    "zero_fill": "FILLED",
    "canceled": "CANCELED",
    "countdown": "CANCELED",
    "rejected": "REJECTED",
    "stp": "EXPIRED_IN_MATCH",
}  # the rest is EXPIRED
# USD-M `er`: why an order expired
EXPIRY = {
    "stp": "1",
    "ioc": "2",
    "fok": "2",
    "reduce_only": "4",
    "liquidation": "5",
    "delisted": "7",
    "market": "9",
}
SPOT_EXPIRY = {
    "ioc": "UNFILLED_IOC_QUANTITY_EXPIRED",
    "fok": "UNFILLED_FOK_ORDER_EXPIRED",
    "market": "INSUFFICIENT_LIQUIDITY",
    "expired": "EXCHANGE_CANCELED",
    "delisted": "EXCHANGE_CANCELED",
    "rejected": "REJECTED",
}
ZERO = "0.00000000"


def note_order(order: FakeOrder, **notes: Any) -> FakeOrder:
    """Give a new order its notes, with what an ordinary one has where not said otherwise."""
    order.notes.update(
        {
            "type": "LIMIT",
            "tif": "GTC",
            "reduce": False,
            "close": False,
            "leg": "BOTH",  # positionSide
            "stp": "NONE",
            "price_match": "NONE",
            "gtd": 0,
            "quote_qty": Decimal(0),  # quoteOrderQty
            "iceberg": Decimal(0),
            "strategy": {},
            "fills": [],
            "working_ms": -1,
            "cancel_id": "",
            "amends": 0,
            "algo_id": 0,
            "list_id": -1,
        }
        | notes
    )
    return order


def status(order: FakeOrder) -> str:
    if not order.done:
        if order.filled_lots:
            return "PARTIALLY_FILLED"
        return "NEW"
    return STATUSES.get(order.done, "EXPIRED")


def is_stop(order: FakeOrder) -> bool:
    return bool(order.trigger_ticks)


def why_expired(order: FakeOrder) -> str:
    """The reason of its end; the rest of a market order has one of its own."""
    return "market" if order.done == "ioc" and order.notes["type"] == "MARKET" else order.done


def order_ms(order: FakeOrder) -> int:
    return order.placed_ns // MS


# ---- spot ----------------------------------------------------------------------------------------------


def spot_ack(order: FakeOrder, now_ms: int) -> dict:
    row = {"symbol": order.listing.symbol, "orderId": order.number, "orderListId": order.notes["list_id"]}
    return row | {"clientOrderId": order.client_id, "transactTime": now_ms}


def spot_answer(order: FakeOrder, kind: str, now_ms: int) -> dict:
    """The answer to a new order: ACK, RESULT or FULL."""
    row = spot_ack(order, now_ms)
    if kind == "ACK":
        return row
    row |= spot_details(order) | {"workingTime": order.notes["working_ms"]}
    row |= {"selfTradePreventionMode": order.notes["stp"]} | spot_conditional(order)
    return row | {"fills": order.notes["fills"]} if kind == "FULL" else row


def spot_details(order: FakeOrder) -> dict:
    listing = order.listing
    return {
        "price": price_text(listing, order.price_ticks),
        "origQty": size_text(listing, order.size_lots),
        "executedQty": size_text(listing, order.filled_lots),
        "origQuoteOrderQty": e8(order.notes["quote_qty"]),
        "cummulativeQuoteQty": e8(order.value),
        "status": status(order),
        "timeInForce": order.notes["tif"] or "GTC",
        "type": order.notes["type"],
        "side": SIDES[order.side],
    }


def spot_conditional(order: FakeOrder) -> dict:
    """Members that only some orders have."""
    row: dict = {}
    if is_stop(order):
        row["stopPrice"] = price_text(order.listing, order.trigger_ticks)
    if order.notes["iceberg"]:
        row["icebergQty"] = e8(order.notes["iceberg"])
    row |= order.notes["strategy"]
    if order.prevented_lots:
        row["preventedQuantity"] = size_text(order.listing, order.prevented_lots)
    if why_expired(order) in SPOT_EXPIRY:
        row["expiryReason"] = SPOT_EXPIRY[why_expired(order)]
    return row


def spot_row(order: FakeOrder) -> dict:
    """An order as queries give it."""
    row = {"symbol": order.listing.symbol, "orderId": order.number, "orderListId": order.notes["list_id"]}
    row |= {"clientOrderId": order.client_id} | spot_details(order)
    row["stopPrice"] = price_text(order.listing, order.trigger_ticks or 0)
    row["icebergQty"] = e8(order.notes["iceberg"])
    row |= {"time": order_ms(order), "updateTime": order.updated_ns // MS or order_ms(order)}
    row |= {"isWorking": order.notes["working_ms"] > 0, "workingTime": order.notes["working_ms"]}
    row |= {"origQuoteOrderQty": e8(order.notes["quote_qty"])}
    return row | {"selfTradePreventionMode": order.notes["stp"]} | spot_conditional(order)


def spot_cancel(order: FakeOrder, now_ms: int) -> dict:
    """A cancel report: the order's id is in `origClientOrderId`, `clientOrderId` is the cancel's."""
    row = {"symbol": order.listing.symbol, "origClientOrderId": order.client_id, "orderId": order.number}
    row |= {"orderListId": order.notes["list_id"], "clientOrderId": order.notes["cancel_id"]}
    row |= {"transactTime": now_ms} | spot_details(order)
    return row | {"selfTradePreventionMode": order.notes["stp"]} | spot_conditional(order)


def spot_amended(order: FakeOrder, former_id: str) -> dict:
    """`amendedOrder`: the spelling differs from everywhere else."""
    listing = order.listing
    return {
        "symbol": listing.symbol,
        "orderId": order.number,
        "orderListId": order.notes["list_id"],
        "origClientOrderId": former_id,
        "clientOrderId": order.client_id,
        "price": price_text(listing, order.price_ticks),
        "qty": size_text(listing, order.size_lots),
        "executedQty": size_text(listing, order.filled_lots),
        "preventedQty": size_text(listing, order.prevented_lots),
        "quoteOrderQty": e8(order.notes["quote_qty"]),
        "cumulativeQuoteQty": e8(order.value),
        "status": status(order),
        "timeInForce": order.notes["tif"] or "GTC",
        "type": order.notes["type"],
        "side": SIDES[order.side],
        "workingTime": order.notes["working_ms"],
        "selfTradePreventionMode": order.notes["stp"],
    }


def execution_report(
    order: FakeOrder, kind: str, execution_id: int, now_ms: int, fill: dict | None = None, maker: bool = False
) -> dict:
    """A spot user event. `kind` is the execution type; on a cancel `c` is the cancel's id, `C` the
    order's."""
    listing, notes = order.listing, order.notes
    cancel_id = notes["cancel_id"] if kind == "CANCELED" else ""
    former_id = order.client_id if cancel_id else notes.get("former_id", "") if kind == "REPLACED" else ""
    last = Decimal(fill["price"]) * Decimal(fill["qty"]) if fill else Decimal(0)
    row = {
        "e": "executionReport",
        "E": now_ms,
        "s": listing.symbol,
        "c": cancel_id or order.client_id,
        "S": SIDES[order.side],
        "o": notes["type"],
        "f": notes["tif"] or "GTC",
        "q": size_text(listing, order.size_lots),
        "p": price_text(listing, order.price_ticks),
        "P": price_text(listing, order.trigger_ticks or 0),
        "F": e8(notes["iceberg"]),
        "g": notes["list_id"],
        "C": former_id,
        "x": kind,
        "X": status(order),
        "r": "NONE",
        "i": order.number,
        "l": fill["qty"] if fill else ZERO,
        "z": size_text(listing, order.filled_lots),
        "L": fill["price"] if fill else ZERO,
        "n": fill["commission"] if fill else "0",
        "N": fill["commissionAsset"] if fill else None,
        "T": now_ms,
        "t": fill["tradeId"] if fill else -1,
        "I": execution_id,
        "w": is_on_book(order),
        "m": maker,
        "M": bool(fill),
        "O": order_ms(order),
        "Z": e8(order.value),
        "Y": e8(last),
        "Q": e8(notes["quote_qty"]),
    }
    if notes["working_ms"] > 0:
        row["W"] = notes["working_ms"]
    return row | {"V": notes["stp"]} | _report_extras(order, kind)


def is_on_book(order: FakeOrder) -> bool:
    waits = is_stop(order) and order.notes["working_ms"] < 0
    return (
        not order.done and not waits and order.notes["type"] != "MARKET" and order.tif not in ("ioc", "fok")
    )


def _report_extras(order: FakeOrder, kind: str) -> dict:
    row: dict = {}
    strategy = order.notes["strategy"]
    if "strategyId" in strategy:
        row["j"] = strategy["strategyId"]
    if "strategyType" in strategy:
        row["J"] = strategy["strategyType"]
    if order.prevented_lots:
        prevented = size_text(order.listing, order.prevented_lots)
        row |= {"v": order.notes.get("prevented_id", 1), "A": prevented, "B": prevented, "u": 1}
        row |= {"U": order.notes.get("counter_order", -1), "Cs": order.listing.symbol}
    if kind == "EXPIRED" and why_expired(order) in SPOT_EXPIRY:
        row["eR"] = SPOT_EXPIRY[why_expired(order)]
    return row


# ---- USD-M ---------------------------------------------------------------------------------------------


def usdm_answer(order: FakeOrder, now_ms: int) -> dict:
    """An order as place, modify and cancel answer it: without average price and traded value."""
    listing, notes = order.listing, order.notes
    filled = size_text(listing, order.filled_lots)
    return {
        "orderId": order.number,
        "symbol": listing.symbol,
        "status": status(order),
        "clientOrderId": order.client_id,
        "price": price_text(listing, order.price_ticks),
        "origQty": size_text(listing, order.size_lots),
        "executedQty": filled,
        "cumQty": filled,
        "timeInForce": notes["tif"] or "GTC",
        "type": notes["type"],
        "reduceOnly": notes["reduce"],
        "closePosition": notes["close"],
        "side": SIDES[order.side],
        "positionSide": notes["leg"],
        "stopPrice": price_text(listing, 0),
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": notes["type"],
        "priceMatch": notes["price_match"],
        "selfTradePreventionMode": notes["stp"],
        "goodTillDate": notes["gtd"],
        "updateTime": order.updated_ns // MS or now_ms,
    }


def usdm_accepted(order: FakeOrder, now_ms: int) -> dict:
    """The ACK of a new order: what became of it is told by the user stream."""
    zero = size_text(order.listing, 0)
    return usdm_answer(order, now_ms) | {"status": "NEW", "executedQty": zero, "cumQty": zero}


def usdm_row(order: FakeOrder) -> dict:
    """An order as queries give it."""
    row = usdm_answer(order, order_ms(order))
    del row["cumQty"]
    row |= {"avgPrice": average_price(order), "cumQuote": plain(order.value)}
    return row | {"time": order_ms(order)}


def average_price(order: FakeOrder) -> str:
    if not order.filled_lots:
        return "0"
    return plain((order.value / Decimal(order.listing.size(order.filled_lots))).quantize(Decimal("0.00001")))


def usdm_update(
    order: FakeOrder, kind: str, now_ms: int, fill: dict | None = None, maker: bool = False
) -> dict:
    """`o` of an ORDER_TRADE_UPDATE."""
    listing, notes = order.listing, order.notes
    row = {
        "s": listing.symbol,
        "c": order.client_id,
        "S": SIDES[order.side],
        "o": notes["type"],
        "f": notes["tif"] or "GTC",
        "q": size_text(listing, order.size_lots),
        "p": price_text(listing, order.price_ticks),
        "ap": average_price(order),
        "sp": "0",
        "x": kind,
        "X": status(order),
        "i": order.number,
        "l": fill["qty"] if fill else "0",
        "z": size_text(listing, order.filled_lots),
        "L": fill["price"] if fill else "0",
    }
    if fill:  # absent where there is none
        row |= {"n": fill["commission"], "N": fill["commissionAsset"]}
    row |= {"T": now_ms, "t": fill["tradeId"] if fill else 0, "b": "0", "a": "0", "m": maker}
    row |= {"R": notes["reduce"], "wt": "CONTRACT_PRICE", "ot": notes["type"], "ps": notes["leg"]}
    row |= {"cp": notes["close"], "rp": fill["realised"] if fill else "0", "pP": False, "si": 0, "ss": 0}
    row |= {"V": notes["stp"], "pm": notes["price_match"], "gtd": notes["gtd"]}
    if kind == "AMENDMENT" and notes.get("modify_id"):
        row["M"] = notes["modify_id"]
    return row | {"er": EXPIRY.get(why_expired(order), "0")}


def trade_lite(order: FakeOrder, fill: dict, maker: bool, now_ms: int) -> dict:
    listing = order.listing
    row = {"e": "TRADE_LITE", "E": now_ms, "T": now_ms, "s": listing.symbol}
    row |= {"q": size_text(listing, order.size_lots), "p": price_text(listing, order.price_ticks), "m": maker}
    row |= {"c": order.client_id, "S": SIDES[order.side], "L": fill["price"], "l": fill["qty"]}
    return row | {"t": fill["tradeId"], "i": order.number}


# ---- fills -----------------------------------------------------------------------------------------------


def fill_of(trade: Any, order: FakeOrder) -> dict:
    """A `VenueTrade` as the parts that events and answers are made of."""
    listing = order.listing
    fee = e8(trade.fee)
    return {
        "price": price_text(listing, trade.price_ticks),
        "qty": size_text(listing, trade.size_lots),
        "commission": fee if listing.market == BINANCE_SPOT else plain(Decimal(fee)),
        "commissionAsset": trade.fee_coin,
        "tradeId": trade.id,
    }


def value_of(listing: Listing, price_ticks: int, size_lots: int) -> Decimal:
    return Decimal(listing.price(price_ticks)) * Decimal(listing.size(size_lots))

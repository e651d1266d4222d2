"""What the simulated Bybit answers with: error codes and texts, words of the wire, and numbers as it
writes them.

Source: bybit-exchange/docs `docs/v5/error.mdx` and `docs/v5/enum.mdx`; captured frames where they differ
in text.
"""

import re
from decimal import Decimal

from node.venues.bybit.rules import LINEAR, SPOT
from node.venues.fakes import BUY, SELL, Listing

SIDES = {"Buy": BUY, "Sell": SELL}
SIDE_TEXT = ("Buy", "Sell")
TIF = {"GTC": "gtc", "IOC": "ioc", "FOK": "fok", "PostOnly": "post_only"}
TIF_TEXT = {name: text for text, name in TIF.items()}
SMP = {
    "None": "none",
    "CancelMaker": "expire_maker",
    "CancelTaker": "expire_taker",
    "CancelBoth": "expire_both",
}
TRIGGER_BY = {"LastPrice": "last", "IndexPrice": "index", "MarkPrice": "mark"}
DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)

TEXTS = {
    -1: "request expired: o@0, now[] diff[]",
    429: "The trading service is experiencing a high server load. Please retry if you encounter this issue.",
    -2015: "Your api key has expired.",
    33004: "Your api key has expired.",
    10000: "Server Timeout",
    10001: "Request parameter error.",
    10002: "The request time exceeds the time window range.",
    10003: "API key is invalid.",
    10004: "Error sign, please check your signature generation algorithm.",
    10005: "Permission denied, please check your API key permissions.",
    10006: "Too many visits. Exceeded the API Rate Limit.",
    10007: "User authentication failed.",
    10008: "Common banned, please check your account mode",
    10009: "Service Restricted: Access is currently unavailable for your region.",
    10010: "Unmatched IP, please check your API key's bound IP addresses.",
    10014: "Invalid duplicate request.",
    10016: "Server error.",
    10017: "Route not found.",
    10019: "ws trade service is restarting, do not accept new request, "
    "but the request in the process is not affected.",
    10024: "Compliance rules triggered",
    10027: "Transactions are banned.",
    10028: "The API can only be accessed by unified account users.",
    10029: "The requested symbol is invalid, please check symbol whitelist",
    10403: "Exceeded the IP Rate Limit.",
    10404: "op type is not found",
    10429: "System level frequency protection",
    20001: "Repeat auth",
    20003: "Too frequent requests under the same session",
    20006: "Duplicated reqId",
    30208: "Failed to submit order(s). The order price is higher than the maximum buying price",
    30209: "Failed to submit order(s). The order price is lower than the minimum selling price.",
    30228: "No new positions during delisting",
    34040: "not modified",
    40004: "the order is modified during the process of replacing , please check the order status again",
    110001: "order not exists or too late to cancel",
    110003: "Order price exceeds the allowable range.",
    110004: "Wallet balance is insufficient",
    110006: "The assets are estimated to be unable to cover the position margin",
    110007: "ab not enough for new order",
    110008: "The order has been completed or cancelled.",
    110009: "The number of stop orders exceeds the maximum allowable limit",
    110010: "The order has been cancelled",
    110012: "Insufficient available balance.",
    110013: "cannot set leverage gt maxLeverage by risk limit",
    110017: "current position is zero, cannot fix reduce-only order qty",
    110020: "Not allowed to have more than 500 active orders.",
    110021: "Not allowed to exceeded position limits due to Open Interest.",
    110023: "Currently you can only reduce your position on this contract.",
    110024: "You have an existing position, so the position mode cannot be switched.",
    110025: "Position mode is not modified",
    110026: "Cross/isolated margin mode is not modified",
    110028: "You have existing open orders, so the position mode cannot be switched.",
    110029: "Hedge mode is not supported for this symbol.",
    110043: "leverage not modified",
    110045: "Wallet balance is insufficient.",
    110052: "Your available balance is insufficient to set the price",
    110058: "You can't set take profit and stop loss due to insufficient size of remaining position size.",
    110061: "Not allowed to have more than 20 TP/SLs under Partial tpSlMode",
    110063: "Settlement in progress! not available for trading.",
    110064: "The modified contract quantity cannot be less than or equal to the filled quantity.",
    110066: "Trading is currently not allowed.",
    110072: "OrderLinkedID is duplicate",
    110073: "Set margin mode failed",
    110074: "This contract is not live",
    110076: "Only isolated mode can set auto-add-margin",
    110079: "The order is processing and can not be operated, please try again later",
    110086: "Current order leverage exceeds the maximum available for your current Risk Limit tier.",
    110090: "Order placement failed as your position may exceed the max limit.",
    110094: "Order does not meet minimum order value",
    110095: "You cannot create, modify or cancel Pre-Market Perpetual orders during the Call Auction.",
    110098: "Only Good-Till-Canceled (GTC) orders are supported during Call Auction.",
    110103: "Only Post-Only orders are available at this stage",
    110108: "Allowable range: 1 to 10000 tick size",
    110109: "Allowable range: 0.01% to 10%",
    110119: "Order failed. RPI orders are restricted to approved market makers only",
    131001: "openapi svc error",
    131002: "Parameter error",
    131003: "Internal error",
    170001: "Internal error.",
    170005: "Too many new orders; current limit is 20 orders per second.",
    170007: "Timeout waiting for response from backend server.",
    170031: "The feature has been suspended",
    170032: "Network error. Please try again later",
    170033: "margin Insufficient account balance",
    170035: "Submitted to the system for processing!",
    170115: "Invalid timeInForce.",
    170116: "Invalid orderType.",
    170117: "Invalid side.",
    170121: "Invalid symbol.",
    170124: "Order amount too large.",
    170131: "Insufficient balance.",
    170132: "Order price too high.",
    170133: "Order price lower than the minimum.",
    170134: "Order price has too many decimals.",
    170136: "Order quantity exceeded lower limit.",
    170137: "Order quantity has too many decimals.",
    170139: "Order has been filled.",
    170140: "Order value exceeded lower limit.",
    170141: "Duplicate clientOrderId",
    170142: "Order has been canceled",
    170143: "Cannot be found on order book",
    170144: "Order has been locked",
    170146: "Order creation timeout",
    170147: "Order cancellation timeout",
    170148: "Market order amount decimal too long",
    170149: "Create order failed",
    170150: "Cancel order failed",
    170151: "The trading pair is not open yet.",
    170190: "Cancel order has been finished",
    170191: "Can not cancel order, please try again later",
    170193: "Buy order price cannot be higher than {}.",
    170194: "Sell order price cannot be lower than {}.",
    170201: "Invalid orderFilter parameter",
    170202: "Please enter the TP/SL price.",
    170210: "New order rejected.",
    170212: "Cancel order request processing",
    170213: "Order does not exist.",
    170217: "Only LIMIT-MAKER order is supported for the current pair.",
    170218: "The LIMIT-MAKER order is rejected due to invalid price.",
    170222: "Too many requests in this time frame.",
    170234: "System Error",
    170310: "Order modification timeout",
    170311: "Order modification failed",
    170312: "The current order does not support modification",
    170313: "The modified contract quantity cannot be less than to the filled quantity",
    170355: "RPI orders are restricted to approved market makers only",
    170381: "Order quantity too large.",
    170382: "Order quantity too large.",
    170810: "Cannot exceed maximum of 500 conditional, TP/SL and active orders.",
    181001: "category only support linear or option",
    181017: "OrderStatus must be final status",
    3400045: "Set margin mode failed",
}  # fmt: skip

# what a filter of the venue is called -> (code on linear, code on spot)
FILTERS = {
    "tick": (110003, 170134),
    "lot": (10001, 170137),
    "min_size": (10001, 170136),
    "max_size": (10001, 170124),
    "max_market_size": (10001, 170124),
    "min_notional": (110094, 170140),
    "max_notional": (110090, 170124),
    "percent_price": (110003, 170193),
    "max_orders": (110020, 170810),
    "max_stop_orders": (110009, 170810),
    "status": (110074, 170151),
    "cancel_only": (110066, 170151),
    "auction": (110098, 170151),
    "no_cancel": (110095, 170151),
    "post_only_phase": (110103, 170217),
    "delisting": (30228, 170151),
    "reduce_only": (110017, 110017),
    "funds": (110007, 170131),
    "leverage": (110086, 110086),
    "duplicate_id": (110072, 170141),
    "mode": (10001, 10001),
}
WORDS = {
    "lot": "Qty invalid",
    "min_size": "The number of contracts below the minimum",
    "max_size": "The number of contracts exceeds maximum limit allowed: too large",
    "max_market_size": "The number of contracts exceeds maximum limit allowed: too large",
    "mode": "position idx not match position mode",
}


class Denial(Exception):
    """A request that the venue answers with a code."""

    def __init__(
        self,
        code: int,
        text: str = "",
        *,
        result: dict | None = None,
        headers: dict[str, str] | None = None,
        status: int = 200,
    ):
        self.code, self.text = code, text or error_text(code)
        self.result, self.headers, self.status = result or {}, headers or {}, status
        super().__init__(f"{code} {self.text}")


def error_text(code: int) -> str:
    """What the venue says with a code."""
    return TEXTS.get(code, "Request failed.")


def refused(name: str, market: int, text: str = "") -> Denial:
    """The refusal of a filter, with the code of the market."""
    code = FILTERS.get(name, (10001, 170130))[market == SPOT]
    return Denial(code, text or (WORDS.get(name, "") if code == 10001 else ""))


# ---- numbers ----


def number(value: object) -> int:
    """A whole number in a request, as number or text; -1 where it is none."""
    return int(str(value)) if re.fullmatch(r"[0-9]{1,18}", str(value), re.ASCII) else -1


def signed_number(value: object) -> int | None:
    """The same with a sign; None where it is none."""
    return int(str(value)) if re.fullmatch(r"-?[0-9]{1,18}", str(value), re.ASCII) else None


def plain(value: Decimal) -> str:
    """Without exponent and without zeros behind, at most 12 decimals."""
    text = f"{value:.12f}".rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def scaled(text: str, step: str) -> str:
    """A decimal with as many places as `step` is written with ("0.10": two)."""
    places = len(step.partition(".")[2])
    head, _, tail = text.partition(".")
    return f"{head}.{tail:0<{places}}" if places else text


def price_text(listing: Listing, ticks: int) -> str:
    """Spot strips zeros behind the point, linear keeps the scale of the tick's own text."""
    if listing.market == SPOT:
        return listing.price_grid.format(ticks)
    return scaled(listing.price_grid.format(ticks), listing.tick)


def size_text(listing: Listing, lots: int) -> str:
    if listing.market == SPOT or not lots:
        return listing.size_grid.format(lots)
    return scaled(listing.size_grid.format(lots), listing.lot)


def price_of(listing: Listing, ticks: int) -> Decimal:
    return Decimal(listing.price_grid.format(ticks))


def size_of(listing: Listing, lots: int) -> Decimal:
    return Decimal(listing.size_grid.format(abs(lots))) * (-1 if lots < 0 else 1)


def base_of(listing: Listing) -> str:
    return listing.base or listing.symbol.removesuffix(listing.quote)


def is_linear(listing: Listing) -> bool:
    return listing.market == LINEAR

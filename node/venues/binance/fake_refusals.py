"""What the simulated Binance says when an order is refused: code and text by the name of the reason.

The names are those of `node.venues.fakes.Refusal`; the shared checks know reasons, this file knows words.

Sources: binance-spot-api-docs `errors.md`, `filters.md`; USD-M developer page "error-code".
"""

from node.venues.binance.fake_call import Reject
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM


def _filter(name: str) -> tuple[int, str]:
    return -1013, f"Filter failure: {name}"


SPOT = {
    "tick": _filter("PRICE_FILTER"),
    "min_price": _filter("PRICE_FILTER"),
    "max_price": _filter("PRICE_FILTER"),
    "lot": _filter("LOT_SIZE"),
    "min_size": _filter("LOT_SIZE"),
    "max_size": _filter("LOT_SIZE"),
    "max_market_size": _filter("MARKET_LOT_SIZE"),
    "min_notional": _filter("NOTIONAL"),
    "max_notional": _filter("NOTIONAL"),
    "percent_price": _filter("PERCENT_PRICE_BY_SIDE"),
    "iceberg": _filter("ICEBERG_PARTS"),
    "max_orders": _filter("MAX_NUM_ORDERS"),
    "max_stop_orders": _filter("MAX_NUM_ALGO_ORDERS"),
    "max_position": _filter("MAX_POSITION"),
    "status": (-1013, "Market is closed."),
    "stp": (-1013, "This symbol does not allow the specified self-trade prevention mode."),
    "funds": (-2010, "Account has insufficient balance for requested action."),
    "duplicate_id": (-2010, "Duplicate order sent."),
    "post_only": (-2010, "Order would immediately match and take."),
    "trigger": (-2010, "Order would trigger immediately."),
    "disabled": (-2010, "This action is disabled on this account."),
    "zero": (-2010, "Price * QTY is zero or less."),
    "precision": (-1111, "Parameter 'quantity' has too much precision."),
    "unknown_order": (-2011, "Unknown order sent."),
    "restrictions": (-2011, "Order was not canceled due to cancel restrictions."),
    "not_found": (-2013, "Order does not exist."),
    "archived": (
        -2026,
        "Order was canceled or expired with no executed qty over 90 days ago and has been archived.",
    ),
    "too_many_orders": (-1015, "Too many new orders; current limit is {limit} orders per {window}."),
    "no_change": (-2038, "The requested action would change no state; rejecting."),
    "amend_up": (-2038, "Order amend (quantity increase) is not supported."),
    "max_amends": (-2038, "Order has reached the maximum number of amendments."),
    "timeout": (
        -1007,
        "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    ),
}

USDM = {
    "tick": (-4014, "Price not increased by tick size."),
    "min_price": (-4013, "Price less than min price."),
    "max_price": (-4002, "Price greater than max price."),
    "lot": (-4023, "Qty not increased by step size."),
    "min_size": (-4004, "Quantity less than min quantity."),
    "max_size": (-4005, "Quantity greater than max quantity."),
    "max_market_size": (-4005, "Quantity greater than max quantity."),
    "min_notional": (
        -4164,
        "Order's notional must be no smaller than {limit} (unless you choose reduce only).",
    ),
    "max_notional": (-2027, "Exceeded the maximum allowable position at current leverage."),
    "percent_price": (-4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit."),
    "percent_price_up": (-4016, "Limit price can't be higher than {limit}."),
    "percent_price_down": (-4024, "Limit price can't be lower than {limit}."),
    "max_orders": (-2025, "Reach max open order limit."),
    "max_stop_orders": (-4045, "Reach max stop order limit."),
    "status": (-4108, "Symbol is on delivering or delivered or settling or closed or pre-trading."),
    "delisting": (-4140, "Invalid symbol status for opening position."),
    "stp": (-1130, "Data sent for parameter 'selfTradePreventionMode' is not valid."),
    "funds": (-2019, "Margin is insufficient."),
    "leverage": (-2027, "Exceeded the maximum allowable position at current leverage."),
    "reduce_only": (-2022, "ReduceOnly Order is rejected."),
    "duplicate_id": (-4116, "ClientOrderId is duplicated."),
    "post_only": (
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected. "
        "The order will not be recorded in the order history",
    ),
    "fok": (
        -5021,
        "Due to the order could not be filled immediately, the FOK order has been rejected. "
        "The order will not be recorded in the order history",
    ),
    "trigger": (-2021, "Order would immediately trigger."),
    "zero": (-4003, "Quantity less than or equal to zero."),
    "zero_price": (-4001, "Price less than or equal to zero."),
    "precision": (-1111, "Precision is over the maximum defined for this asset."),
    "leg": (-4061, "Order's position side does not match user's setting."),
    "reduce_in_hedge": (-4062, "Invalid or improper reduceOnly value."),
    "unknown_order": (-2011, "Unknown order sent."),
    "not_found": (-2013, "Order does not exist."),
    "conditional": (
        -4120,
        "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
    ),
    "too_many_orders": (-1015, "Too many new orders; current limit is {limit} orders per {window}."),
    "no_change": (-5027, "No need to modify the order."),
    "only_limit": (-5025, "Only limit order is supported."),
    "max_amends": (-5026, "Exceed maximum modify order limit."),
    "good_till": (
        -5040,
        "The goodTillDate timestamp must be greater than the current time plus 600 seconds and smaller than "
        "253402300799000.",
    ),
    "price_match": (-5039, "Invalid price match: there is no such price in the order book."),
    "late": (-5028, "Timestamp for this request is outside of the ME recvWindow."),
    "timeout": (
        -1007,
        "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    ),
    "liquidation": (-2023, "User in liquidation mode now."),
}

REFUSALS = {BINANCE_SPOT: SPOT, BINANCE_USDM: USDM}
STATUS_429 = {"too_many_orders"}

# Injected answers by code, where the code alone says which: status and text. See `ack.error`.
BY_CODE = {
    -1000: (500, "An unknown error occurred while processing the request."),
    -1001: (503, "Internal error; unable to process your request. Please try again."),
    -1003: (429, "Too many requests; current limit is {limit} requests per minute."),
    -1006: (500, "An unexpected response was received from the message bus. Execution status unknown."),
    -1007: (
        408,
        "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    ),
    -1008: (
        503,
        "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. "
        "Please try again.",
    ),
    -1015: (429, "Too many new orders."),
    -1016: (503, "This service is no longer available."),
    -2014: (401, "API-key format invalid."),
    -2015: (401, "Invalid API-key, IP, or permissions for action."),
}


def refusal(market: int, name: str, limit: object = "", window: str = "") -> Reject:
    """The venue's answer to a reason that has a name."""
    code, text = REFUSALS[market].get(name, (-2010, "New order rejected."))
    status = 429 if name in STATUS_429 else 400
    return Reject(code, text.replace("{limit}", str(limit)).replace("{window}", window), status)


def error_of(market: int, code: int) -> Reject:
    """The answer that carries an error code, for faults: any documented code with its own text."""
    if code in BY_CODE:
        status, text = BY_CODE[code]
        return Reject(code, text, status)
    text = next((text for known, text in REFUSALS[market].values() if known == code), "An error occurred.")
    return Reject(code, text)

"""What the simulated OKX says when it refuses: code, HTTP status and text, as in the table of docs-v5 "Error
code".
"""

# code -> (HTTP status, text); {0} and {1} are filled in by whoever refuses
_TABLE = """
50000 400 Body for POST request cannot be empty.
50001 503 Service temporarily unavailable. Please try again later.
50002 400 JSON syntax error
50004 400 API endpoint request timeout. (does not mean that the request was successful or failed, please \
check the request result).
50005 410 API endpoint is inactive or unavailable.
50006 400 Invalid Content-Type. Please use "application/JSON".
50011 429 Too Many Requests
50013 429 Systems are busy. Please try again later.
50014 400 Parameter {0} can not be empty
50015 400 Either parameter {0} or {1} is required
50016 400 Parameter {0} does not match parameter {1}
50024 200 Parameter {0} and {1} can not exist at the same time.
50025 200 Parameter {0} count exceeds the limit {1}.
50026 500 System error. Try again later
50030 200 You don't have permission to use this API endpoint
50035 403 This endpoint requires that APIKey must be bound to IP
50036 200 The expTime can't be earlier than the current system time. Please adjust the expTime and try again.
50037 200 Order expired.
50038 200 This feature is unavailable in demo trading
50042 200 Repeated request
50061 200 You've reached the maximum order rate limit for this account.
50071 200 {0} already exists
50100 400 API frozen, please contact customer service.
50101 401 APIKey does not match current environment.
50102 401 Timestamp request expired.
50103 401 Request header "OK-ACCESS-KEY" cannot be empty.
50104 401 Request header "OK-ACCESS-PASSPHRASE" cannot be empty.
50105 401 Request header "OK-ACCESS-PASSPHRASE" incorrect.
50106 401 Request header "OK-ACCESS-SIGN" cannot be empty.
50107 401 Request header "OK-ACCESS-TIMESTAMP" cannot be empty.
50110 401 Your IP {0} is not included in your API key's IP whitelist.
50111 401 Invalid OK-ACCESS-KEY.
50112 401 Invalid OK-ACCESS-TIMESTAMP.
50113 401 Invalid signature.
50114 401 Invalid authorization.
50119 401 API key doesn't exist.
50120 200 This API key doesn't have permission to use this function.
51000 400 Parameter {0} error
51001 200 Instrument ID, Instrument ID code or Spread ID doesn't exist.
51003 200 Either client order ID or order ID is required.
51005 200 Your order amount exceeds the max order amount.
51006 200 Order price is not within the price limit (max buy price: {0} , min sell price: {1} )
51008 200 Order failed. Insufficient {0} balance in account.
51010 200 Request unsupported under current account mode
51014 200 Index doesn't exist.
51015 200 Instrument ID doesn't match instrument type.
51016 200 Client order ID already exists.
51020 200 Your order should meet or exceed the minimum order amount.
51021 200 The pair or contract is not yet listed
51022 200 Contract suspended.
51023 200 Position doesn't exist.
51027 200 Contract expired.
51028 200 Contract under delivery.
51054 500 Request timed out. Please try again.
51063 200 OrdId does not exist
51065 200 algoClOrdId already exists.
51071 200 You've reached the maximum limit for tag level cancel all after timers.
51101 200 Order failed, the sz of the current order can't be more than {0} (contracts).
51102 200 Order failed, the number of pending orders for this instId can't be more than {0} (orders)
51111 200 Maximum {0} orders can be placed in bulk.
51112 200 Close order size exceeds available size for this position.
51113 429 Market-price liquidation requests too frequent.
51115 429 Cancel all pending close-orders before liquidation.
51116 200 Order price or trigger price exceeds {0}.
51121 200 Order quantity must be a multiple of the lot size.
51124 200 You can only place limit orders during call auction.
51137 200 The highest price limit for buy orders is {0}.
51138 200 The lowest price limit for sell orders is {0}.
51140 200 Purchase failed due to insufficient sell orders, please try later.
51148 200 Failed to place order. The new order may execute an opposite trading direction of your existing \
reduce-only positions. Cancel or edit pending orders to continue order
51149 500 Order timed out. Please try again. (does not mean that the request was successful or failed, \
please check the request result)
51150 200 The precision of the number of trades or the price exceeds the limit.
51169 200 Order failed because you don't have any positions in this direction for this contract to reduce \
or close.
51170 200 Failed to place order. A reduce-only order can't be the same trading direction as your existing \
positions.
51174 200 Order failed, number of pending orders for {0} exceed the limit of {1}.
51186 200 Order failed. The leverage for {0} in your current margin mode is {1}x, which exceeds the \
platform limit of {2}x.
51202 200 Market order amount exceeds the maximum amount.
51203 200 Order amount exceeds the limit {0}.
51205 200 Reduce Only is not available.
51279 200 TP trigger price cannot be lower than the last price
51280 200 SL trigger price cannot be higher than the last price
51400 200 Order cancellation failed as the order has been filled, canceled or does not exist.
51404 200 Order cancellation unavailable during the second phase of call auction
51405 200 Cancellation failed as you don't have any pending orders.
51410 200 Cancellation failed as the order is already in canceling status or pending settlement.
51412 200 Cancellation failed. Order has been triggered and can't be canceled.
51500 200 You must enter a price, quantity, or TP/SL.
51503 200 Order modification failed as the order has been filled, canceled or does not exist.
51511 200 Operation failed as the order price doesn't meet the requirement for Post Only orders.
51512 200 Failed to amend orders in batches. You cannot have duplicate orders in the same amend-batch- \
orders request.
51513 200 Number of modification requests that are currently in progress for an order cannot exceed 3 times.
51514 200 Order modification failed. The price length must be 32 characters or shorter.
51603 200 Order does not exist
51620 200 Only affiliates can perform this action
54012 200 The system is in protective mode. Only cancel and post-only orders are accepted.
54030 200 Order failed. Your total position across different traders under {0} exceeds the limit.
54036 200 You cannot place fill or kill orders when self-trade prevention is set to both maker and taker \
orders.
58350 200 Insufficient balance.
59000 200 Setting failed. Cancel any open orders, close positions, and stop trading bots first.
59101 200 Leverage can't be modified. Please cancel all pending isolated margin orders before adjusting \
the leverage.
59102 200 Leverage exceeds the maximum limit. Please lower the leverage.
59103 200 Leverage is too low and no sufficient margin in your account. Please increase the leverage.
59107 200 Leverage can't be modified. Please cancel all pending cross-margin orders before adjusting the \
leverage.
404 404 Not Found
405 405 Method Not Allowed
60004 0 Invalid timestamp
60005 0 Invalid apiKey
60006 0 Timestamp request expired
60007 0 Invalid sign
60008 0 The current WebSocket endpoint does not support subscribing to this channel. Please check the \
WebSocket endpoint.
60009 0 Login failed.
60011 0 Please log in
60012 0 Invalid request: {0}
60013 0 Invalid args
60014 0 Requests too frequent
60018 0 Wrong URL or {0} doesn't exist. Please use the correct URL, channel and parameters referring to \
API document.
60023 0 Bulk login requests too frequent
60024 0 Wrong passphrase
60028 0 The current operation is not supported by this URL. Please use the correct WebSocket URL for the \
operation.
60031 0 The WebSocket endpoint does not allow multiple or repeated logins.
60032 0 API key doesn't exist
63999 0 Login failed due to internal error. Please try again later.
64003 0 Your trading fee tier doesn't meet the requirement to access this channel
64004 0 Subscribe to both {0} and {1} is not allowed
64007 0 Operation {0} failed due to WebSocket internal error. Please try again later.
"""
TEXTS = {
    code: (int(status), text)
    for code, status, text in (line.split(" ", 2) for line in _TABLE.strip().splitlines())
}


class Problem(Exception):
    """A request, or one element of it, is refused. `code` is the venue's code, `sub_code` refines it,
    `status` is the HTTP status where it is the whole request."""

    def __init__(self, code: str, *names: object, sub_code: str = "", text: str = ""):
        self.status, known = TEXTS.get(code, (200, ""))
        super().__init__(text or known.format(*names, *["-"] * 3))
        self.code, self.sub_code = code, sub_code

    @property
    def text(self) -> str:
        return str(self)

"""Bybit v5 REST: requests as values, replies read exactly, and no I/O.

Public market endpoints are functions; `Rest` is the signed half. Sources: bybit-exchange/docs
`docs/v5/market/{instrument,orderbook,time}.mdx`, `docs/v5/guide.mdx` (signature), `docs/v5/order/*.mdx`,
`docs/v5/position/position.mdx`, `docs/v5/account/{wallet-balance,transaction-log,account-info}.mdx`,
`docs/v5/user/apikey-info.mdx`.
"""

import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from urllib.parse import quote

import orjson

from ext.records import BudgetKind, ErrorGroup, Outcome, Side
from ext.venues.bybit import execution_nature, trade_identity, was_asked_for
from node.venues.bybit import rules
from node.venues.keys import Key
from node.venues.values import (
    BalanceRow,
    Bucket,
    BudgetRow,
    CashRow,
    InstrumentRow,
    KeyRow,
    ModeRow,
    OrderRow,
    PositionRow,
    Reply,
    Request,
    RestError,
    Said,
    TradeRow,
)

_DECIMAL = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
_SIGNED = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,16}", re.ASCII)
_CURSOR = re.compile(r"[A-Za-z0-9%._~*+-]+", re.ASCII)
MS = 1_000_000


# ---- requests ----


def server_time() -> Request:
    return Request("GET", rules.TIME_PATH)


def instruments_info(market: int, cursor: str = "", limit: int = 1000) -> Request:
    """One page of the instruments of a market; spot has only one. `cursor`: `next_cursor` of the page before.

    The cursor is URL-encoded already and is sent as received. Raises ValueError where it is not.
    """
    query = f"category={rules.CATEGORY[market]}"
    if market == rules.LINEAR:
        query += f"&limit={limit}"
    return _page(Request("GET", f"{rules.INSTRUMENTS_PATH}?{query}"), cursor, market == rules.LINEAR)


def _page(request: Request, cursor: str, is_paged: bool = True) -> Request:
    if cursor and not _CURSOR.fullmatch(cursor):
        raise ValueError(f"{request.target}: cursor {cursor[:80]!r} is not URL-encoded text")
    return Request("GET", f"{request.target}&cursor={cursor}") if cursor and is_paged else request


def orderbook(market: int, symbol: str, limit: int = 200) -> Request:
    """The book, 1 to 1000 levels a side. Its `u` is that of `orderbook.1000`: it seeds no other topic."""
    if not 1 <= limit <= 1000:
        raise ValueError(f"orderbook: limit {limit} is not 1 to 1000")
    query = f"category={rules.CATEGORY[market]}&symbol={quote(symbol, safe='')}&limit={limit}"
    return Request("GET", f"{rules.BOOK_PATH}?{query}")


# ---- replies of public endpoints ----


@dataclass(frozen=True, slots=True)
class BookReply:
    """A book as the venue spells it: (price, size) text, best first; `seq` compares with the streams."""

    symbol: str
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    update_id: int
    seq: int


def instruments(reply: bytes) -> list[InstrumentRow]:
    """The rows of one instruments-info reply, prices and sizes as exact text.

    Tradable are spot pairs and linear perpetuals whose status is `Trading` and that are not in pre-listing;
    futures, inverse contracts and options are listed under the linear market for their market data only.
    The venue's price band limits only the aggressive side and moves with the index, so no percent-price limit
    is given. Raises ValueError naming symbol and field.
    """
    rows = _rows(_result(reply, "instruments-info"), "instruments-info")
    return [_instrument(row) for row in rows]


def next_cursor(reply: bytes) -> str:
    """Cursor of the page that follows this instruments-info reply; empty after the last."""
    return _cursor(_result(reply, "instruments-info"), "instruments-info")


def server_time_ns(reply: bytes) -> int:
    """The venue's clock, in ns, out of a time reply."""
    text = _result(reply, "time").get("timeNano")
    if not isinstance(text, str) or not re.fullmatch(r"[0-9]{1,19}", text, re.ASCII):
        raise ValueError(f"time: timeNano {text!r} is not a number of ns")
    return int(text)


def book(reply: bytes) -> BookReply:
    """The levels of an orderbook reply."""
    result = _result(reply, "orderbook")
    symbol = _text(result, "s", "orderbook")
    bids, asks = _levels(result, "b", symbol), _levels(result, "a", symbol)
    ids = [x for x in (result.get("u"), result.get("seq")) if type(x) is int and x >= 0]
    if len(ids) != 2:
        raise ValueError(f"orderbook: {symbol}: u or seq is not a number")
    return BookReply(symbol, bids, asks, ids[0], ids[1])


def _result(reply: bytes, what: str) -> dict:
    """The `result` of the envelope; only `retCode` says whether there is one."""
    try:
        message = orjson.loads(reply)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{what}: the reply is not JSON ({error}): {reply[:80]!r}") from None
    if not isinstance(message, dict) or not isinstance(message.get("retCode"), int):
        raise ValueError(f"{what}: the reply has no retCode")
    if message["retCode"] != 0:
        raise ValueError(f"{what}: retCode {message['retCode']}: {message.get('retMsg')}")
    if not isinstance(message.get("result"), dict):
        raise ValueError(f"{what}: the reply has no result")
    return message["result"]


def _rows(result: dict, what: str) -> list[dict]:
    rows = result.get("list")
    if not isinstance(rows, list):
        raise ValueError(f"{what}: result.list is not a list")
    if not all(isinstance(x, dict) for x in rows):
        raise ValueError(f"{what}: a row is not an object")
    return rows


def _cursor(result: dict, what: str) -> str:
    cursor = result.get("nextPageCursor")
    if cursor is not None and not isinstance(cursor, str):
        raise ValueError(f"{what}: nextPageCursor is not text")
    return cursor or ""


def _text(row: Mapping, field: str, where: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where}: {field}: missing or not text")
    return value


def _word(row: Mapping, field: str, where: str) -> str:
    """Text that may be empty or null, but must be there."""
    value = row.get(field, 0)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{where}: {field}: missing or not text")
    return value or ""


def _optional(row: Mapping, field: str) -> str:
    value = row.get(field)
    return value if isinstance(value, str) else ""


def _amount(row: Mapping, field: str, where: str, pattern: re.Pattern[str] = _DECIMAL) -> str:
    """A plain decimal; nothing else is a number, and nothing at all is none."""
    text = row.get(field)
    if not isinstance(text, str) or not pattern.fullmatch(text) or len(text) > 40:
        raise ValueError(f"{where}: {field}: {str(text)[:60]!r} is not a plain decimal")
    return text


def _amount_or_zero(row: Mapping, field: str, where: str, pattern: re.Pattern[str] = _DECIMAL) -> str:
    """The same where the venue spells "none" as an empty text; the member must be there."""
    return _amount(row, field, where, pattern) if _word(row, field, where) else "0"


def _time_ns(row: Mapping, field: str, where: str) -> int:
    """Milliseconds, as text or number."""
    text = str(row.get(field, ""))
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{where}: {field}: {text[:40]!r} is no time")
    return int(text) * MS


_STATUS = {
    "Trading": "trading",
    "PreLaunch": "auction",
    "Delivering": "settling",
    "Settling": "settling",
    "Closed": "halt",
}


def _instrument(row: dict) -> InstrumentRow:
    symbol = _text(row, "symbol", "instruments-info")
    where = f"instruments-info: {symbol}"
    contract = row.get("contractType", "")
    if not isinstance(contract, str):
        raise ValueError(f"{where}: contractType is not text")
    is_spot = not contract and not row.get("optionsType")
    price, size = _filter(row, "priceFilter", where), _filter(row, "lotSizeFilter", where)
    is_perpetual = contract == "LinearPerpetual"
    status = _phase(row) or _STATUS.get(_text(row, "status", where), "halt")
    is_open = status == "trading" and row.get("isPreListing") is not True
    notional = "minOrderAmt" if is_spot else "minNotionalValue"
    largest = "maxLimitOrderQty" if is_spot and "maxLimitOrderQty" in size else "maxOrderQty"
    market = rules.SPOT if is_spot else rules.LINEAR
    leverage = row.get("leverageFilter")
    ends_ns = _ends_ns(row, is_perpetual, where)
    return InstrumentRow(
        market=market,
        symbol=symbol,
        tick=_decimal(price, "tickSize", f"{where}: priceFilter"),
        lot=_decimal(size, "basePrecision" if is_spot else "qtyStep", f"{where}: lotSizeFilter"),
        tradable=is_open and (is_spot or is_perpetual),
        is_perpetual=is_perpetual,
        min_price=_limit(price, "minPrice", f"{where}: priceFilter"),
        max_price=_limit(price, "maxPrice", f"{where}: priceFilter"),
        # spot still sends minOrderQty, deprecated: not to be checked
        min_size="0" if is_spot else _limit(size, "minOrderQty", f"{where}: lotSizeFilter"),
        max_size=_limit(size, largest, f"{where}: lotSizeFilter"),
        min_notional=_limit(size, notional, f"{where}: lotSizeFilter"),
        base=_optional(row, "baseCoin"),
        quote=_optional(row, "settleCoin") or _optional(row, "quoteCoin"),
        max_market_size=_limit(
            size, "maxMarketOrderQty" if is_spot else "maxMktOrderQty", f"{where}: lotSizeFilter"
        ),
        max_orders=rules.OPEN_ORDERS[market] if is_spot or is_perpetual else 0,
        max_leverage=_limit(leverage, "maxLeverage", where) if isinstance(leverage, dict) else "0",
        status="delisting" if ends_ns and status == "trading" else status,
        ends_ns=ends_ns,
    )


def _phase(row: dict) -> str:
    """A contract that is not listed yet: the phase of its auction; "" where there is none."""
    told = row.get("preListingInfo")
    phase = told.get("curAuctionPhase") if row.get("isPreListing") is True and isinstance(told, dict) else ""
    return "no_cancel" if phase in ("CallAuctionNoCancel", "CrossMatching") else "auction" if phase else ""


def _ends_ns(row: dict, is_perpetual: bool, where: str) -> int:
    """A perpetual with a delivery time is going to be delisted then."""
    if not is_perpetual or row.get("deliveryTime") in (None, "", "0"):
        return 0
    return _time_ns(row, "deliveryTime", where)


def _filter(row: dict, name: str, where: str) -> dict:
    value = row.get(name)
    if not isinstance(value, dict):
        raise ValueError(f"{where}: {name}: missing or not an object")
    return value


def _decimal(row: dict, field: str, where: str) -> str:
    """A step: plain decimal text above zero."""
    text = _limit(row, field, where)
    if not text.strip("0."):
        raise ValueError(f"{where}.{field}: {row.get(field)!r} is not above zero")
    return text


def _limit(row: dict, field: str, where: str) -> str:
    """A limit: plain decimal text; "0" where the venue gives none (absent, null or empty)."""
    text = row.get(field)
    if text is None or text == "":
        return "0"
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text) or len(text) > 40:
        raise ValueError(f"{where}.{field}: {str(text)[:60]!r} is not a plain decimal")
    return text


def _levels(result: dict, side: str, symbol: str) -> list[tuple[str, str]]:
    rows = result.get(side)
    if not isinstance(rows, list):
        raise ValueError(f"orderbook: {symbol}: {side} is not a list")
    out = []
    for row in rows:
        if (
            not isinstance(row, list)
            or len(row) < 2
            or not all(isinstance(x, str) and _DECIMAL.fullmatch(x) for x in row[:2])
        ):
            raise ValueError(f"orderbook: {symbol}: {side}: {str(row)[:60]} is not a level")
        out.append((row[0], row[1]))
    return out


# ---- rows of the account, in answers and on the private streams ----

_STATES = {
    "New": "live",
    "Created": "live",
    "Triggered": "live",
    "PartiallyFilled": "partial",
    "Untriggered": "untriggered",
    "Filled": "filled",
}
_ENDED = ("Cancelled", "PartiallyFilledCanceled", "Deactivated")
_SIDES = {"Buy": int(Side.BUY), "Sell": int(Side.SELL)}
_NO_STOP = ("", "UNKNOWN")


def settle_coin(symbol: str) -> str:
    """What a linear contract's profits are in: USDT for BTCUSDT, BTCUSDT-26DEC25; USDC for BTCPERP."""
    return "USDT" if "USDT" in symbol else "USDC"


def order_row(market: int, row: dict) -> OrderRow:
    """One order of `/v5/order/realtime` or `/history`. ValueError where a field is missing or no number."""
    symbol = _text(row, "symbol", "order")
    where = f"order: {symbol}"
    kind, unit = _text(row, "orderType", where), _optional(row, "marketUnit")
    side = _side(row, where)
    filled = _amount_or_zero(row, "cumExecQty", where)
    is_market, is_spot = kind == "Market", market == rules.SPOT
    is_money = is_market and is_spot and unit != "baseCoin" and (side == Side.BUY or unit == "quoteCoin")
    trigger = _limit(row, "triggerPrice", where)
    stop = _optional(row, "stopOrderType")
    is_stop = stop not in _NO_STOP or bool(trigger.strip("0."))
    state = _state(row, filled, where)
    return OrderRow(
        market=market,
        symbol=symbol,
        client_id=_word(row, "orderLinkId", where),
        venue_id=_text(row, "orderId", where),
        side=side,
        kind="stop_market" if is_stop and is_market else f"stop_{kind.lower()}" if is_stop else kind.lower(),
        price="0" if is_market else _amount_or_zero(row, "price", where),
        size=filled if is_money else _amount_or_zero(row, "qty", where),
        filled=filled,
        state=state,
        reduce_only=row.get("reduceOnly") is True,
        trigger=trigger,
        updated_ns=_time_ns(row, "updatedTime", where),
        is_algo=is_stop and state == "untriggered",
        reason=_why(row),
        leg=_leg(row, where),
    )


def _leg(row: dict, where: str) -> str:
    index = row.get("positionIdx", "")
    if index == "":
        return ""
    if index not in _LEGS:
        raise ValueError(f"{where}: positionIdx {index!r} is not known")
    return _LEGS[index]


def _closed_leg(row: dict, where: str) -> str:
    """The leg of a trade in hedge mode: what closes by selling is long, what opens by selling is short."""
    if not _optional(row, "closedSize"):
        return ""
    closed, size = Decimal(_amount(row, "closedSize", where)), Decimal(_amount(row, "execQty", where))
    if closed not in (0, size):
        return ""
    return "long" if (_side(row, where) == Side.SELL) == (closed > 0) else "short"


def _why(row: dict) -> str:
    words = (_optional(row, "cancelType"), _optional(row, "rejectReason"))
    return " ".join(x for x in words if x not in ("", "UNKNOWN", "EC_NoError"))


def _side(row: Mapping, where: str) -> int:
    side = row.get("side")
    if not isinstance(side, str) or side not in _SIDES:
        raise ValueError(f"{where}: side: {side!r} is neither Buy nor Sell")
    return _SIDES[side]


def _state(row: dict, filled: str, where: str) -> str:
    status, reason = _text(row, "orderStatus", where), _optional(row, "rejectReason")
    if status in _ENDED:
        return "canceled" if was_asked_for(_optional(row, "cancelType"), reason) else "expired"
    if status == "Rejected":
        if reason == "EC_DuplicatedClOrdID":
            return f"odd:{status} {reason}"  # another order has this id: nothing is proven of it
        return "expired" if filled.strip("0.") else "rejected"
    return _STATES.get(status, f"odd:{status}")


def trade_row(market: int, row: dict, hedge: bool = False) -> TradeRow | None:
    """One row of `/v5/execution/list`; None where nothing was traded (funding). ValueError for a new type.
    `hedge`: the account has legs; the list says of which one a trade was by what it closed."""
    symbol = _text(row, "symbol", "execution")
    where = f"execution: {symbol}"
    nature = execution_nature(_word(row, "execType", where), _optional(row, "createType"))
    if nature is None:
        return None
    high, low = trade_identity(_text(row, "execId", where))
    coin = _optional(row, "feeCurrency") or (settle_coin(symbol) if market == rules.LINEAR else "")
    return TradeRow(
        market=market,
        symbol=symbol,
        client_id=_word(row, "orderLinkId", where),
        venue_id=_word(row, "orderId", where),
        trade_hi=high,
        trade_lo=low,
        side=_side(row, where),
        price=_amount(row, "execPrice", where),
        size=_amount(row, "execQty", where),
        fee=_amount_or_zero(row, "execFee", where, _SIGNED),
        fee_coin=coin,
        is_maker=row.get("isMaker") is True,
        event_ns=_time_ns(row, "execTime", where),
        nature=nature,
        leg=_closed_leg(row, where) if hedge and market == rules.LINEAR else "",
    )


def funding_row(market: int, row: dict) -> CashRow:
    """The money of a `Funding` execution: `execFee` is what was paid, so received is its negative."""
    symbol = _text(row, "symbol", "funding")
    where = f"funding: {symbol}"
    paid = _amount(row, "execFee", where, _SIGNED)
    return CashRow(
        market=market,
        coin=_optional(row, "feeCurrency") or settle_coin(symbol),
        kind="funding",
        amount=_negated(paid),
        symbol=symbol,
        key=_text(row, "execId", where),
        event_ns=_time_ns(row, "execTime", where),
    )


def _negated(text: str) -> str:
    if not text.strip("-0."):
        return text.removeprefix("-")
    return text[1:] if text[0] == "-" else f"-{text}"


_LEGS = {0: "net", 1: "long", 2: "short"}


def position_row(market: int, row: dict) -> PositionRow:
    """One position; the entry is `avgPrice` in answers and `entryPrice` on the stream. Flat has no side."""
    symbol = _text(row, "symbol", "position")
    where = f"position: {symbol}"
    size, side, leg = _amount(row, "size", where), row.get("side"), row.get("positionIdx")
    if leg not in _LEGS or side not in ("Buy", "Sell", "", "None"):
        raise ValueError(f"{where}: side {side!r} or positionIdx {leg!r} is not known")
    if side in ("", "None") and size.strip("0."):
        raise ValueError(f"{where}: a size of {size} without a side")
    updated = row.get("updatedTime")
    return PositionRow(
        market=market,
        symbol=symbol,
        size=_negated(size) if side == "Sell" else size,
        leg=_LEGS[leg],
        entry=_optional(row, "entryPrice") or _optional(row, "avgPrice"),
        leverage=_optional(row, "leverage"),
        event_ns=_time_ns(row, "updatedTime", where) if updated else 0,
    )


def mode_row(market: int, row: dict) -> ModeRow:
    """How the account is set up for the symbol of a position row."""
    symbol, leg = _text(row, "symbol", "position"), row.get("positionIdx")
    return ModeRow(market, symbol, hedge=leg != 0, leverage=_optional(row, "leverage"))


def balance_rows(market: int, account: dict, event_ns: int = 0) -> list[BalanceRow]:
    """Coins of one account, on the stream those that changed. An empty `walletBalance` is no balance."""
    coins = account.get("coin")
    if not isinstance(coins, list) or not all(isinstance(x, dict) for x in coins):
        raise ValueError("wallet: coin is not a list")
    return [_balance(market, x, event_ns) for x in coins]


def _balance(market: int, row: dict, event_ns: int) -> BalanceRow:
    coin = _text(row, "coin", "wallet")
    total = _amount(row, "walletBalance", f"wallet: {coin}", _SIGNED)
    locked = row.get("locked")
    free = ""
    if isinstance(locked, str) and _DECIMAL.fullmatch(locked) and len(locked) <= 40:
        free = f"{Decimal(total) - Decimal(locked):f}"
    return BalanceRow(market, coin, total, free, event_ns)


# ---- the signed half ----

_ACTIONS = {"create": "create", "cancel": "cancel", "cancel-all": "cancel", "amend": "amend"}
_OPS = {
    f"order.{op}{batch}": f"{rules.ORDER_PATH}/{op}{batch}"
    for op in ("create", "amend", "cancel")
    for batch in ("", "-batch")
}
_BUDGET_KINDS = {
    "create": BudgetKind.BUDGET_ORDERS,
    "cancel": BudgetKind.BUDGET_CANCELS,
    "amend": BudgetKind.BUDGET_AMENDS,
}
# what these move is a fill already, and is counted as one
_FILLS = ("TRADE", "LIQUIDATION", "ADL", "DELIVERY")
_CASH_KINDS = {"SETTLEMENT": "funding", "TRANSFER_IN": "transfer", "TRANSFER_OUT": "transfer"}
_CASH_KINDS |= {"FEE_REFUND": "rebate"}
_TRADING_RIGHTS = {
    rules.SPOT: (("Spot", "SpotTrade"),),
    rules.LINEAR: (("ContractTrade", "Order"), ("Derivatives", "DerivativesTrade")),
}


class Rest:
    """`values.Rest` for one market. Lists of linear are asked by settle coin, so that no symbol is left out.

    `window_ms`: how long after its stamp the venue may still take a request.
    """

    def __init__(self, market: int, key: Key, window_ms: int = 1500):
        if market not in rules.CATEGORY:
            raise ValueError(f"market {market}: must be BYBIT_SPOT or BYBIT_LINEAR")
        self.market, self.key, self.window_ms = market, key, window_ms
        self.category = rules.CATEGORY[market]
        self.hedge = False  # the account has a long and a short leg of each perpetual
        self._since: dict[str, deque[int]] = {}  # what was asked for lately: the pages that follow need it

    def sign(self, request: Request, stamp_ms: int) -> Request:
        """The request with its headers; `stamp_ms` is the venue's clock. Market data needs no signature."""
        if request.target.startswith(rules.MARKET_PREFIX):
            return request
        payload = request.body.decode() if request.body else request.target.partition("?")[2]
        text = f"{stamp_ms}{self.key.api_key}{self.window_ms}{payload}"
        headers = (
            ("X-BAPI-API-KEY", self.key.api_key),
            ("X-BAPI-TIMESTAMP", str(stamp_ms)),
            ("X-BAPI-RECV-WINDOW", str(self.window_ms)),
            ("X-BAPI-SIGN", self.key.hex(text)),
        )
        return Request(request.method, request.target, request.headers + headers, request.body)

    def time(self) -> Request:
        return server_time()

    def read_time(self, reply: Reply) -> int:
        self._checked(reply, "time")
        return server_time_ns(reply.body)

    # ---- orders ----

    def order(
        self, symbol: str, client_id: str = "", venue_id: str = "", *, is_algo: bool = False
    ) -> Request:
        """An order, stops too, open or among the 500 closed last. After a restart those are in `history`
        only."""
        return self._get(rules.OPEN_ORDERS_PATH, symbol=symbol, **_named(client_id, venue_id))

    def history(self, symbol: str, client_id: str = "", venue_id: str = "") -> Request:
        """The same out of the archive, which is written late; `read_order` reads it."""
        return self._get(rules.HISTORY_PATH, symbol=symbol, **_named(client_id, venue_id))

    def read_order(self, reply: Reply) -> OrderRow | None:
        """None: the venue says that there is none. Of several with one id the newest counts."""
        rows = [order_row(self.market, x) for x in self._list(reply, "order")]
        return max(rows, key=lambda x: x.updated_ns, default=None)

    def open_orders(self, symbol: str = "") -> list[Request]:
        """Active, conditional and take-profit orders; on linear of all symbols, whatever `symbol` is."""
        if self.market == rules.SPOT:
            return [self._get(rules.OPEN_ORDERS_PATH, symbol=symbol, openOnly="0", limit="50")]
        return [self._open(coin) for coin in rules.SETTLE_COINS]

    def _open(self, coin: str) -> Request:
        return self._get(rules.OPEN_ORDERS_PATH, settleCoin=coin, openOnly="0", limit="50")

    def read_open_orders(self, reply: Reply) -> tuple[list[OrderRow], Request | None]:
        result = self._checked(reply, "open orders")
        rows = [order_row(self.market, x) for x in _rows(result, "open orders")]
        if not _cursor(result, "open orders") or not rows:
            return rows, None
        base = self.open_orders()[0] if self.market == rules.SPOT else self._open(settle_coin(rows[0].symbol))
        return rows, _page(base, _cursor(result, "open orders"))

    def cancel(self, symbol: str, client_id: str, *, is_algo: bool = False) -> Request:
        if is_algo:
            return self.cancel_stop(symbol, client_id)
        return self._post("cancel", {"symbol": symbol, "orderLinkId": client_id})

    def cancel_stop(self, symbol: str, client_id: str) -> Request:
        """On spot a stop that was not triggered lives apart, and `cancel` does not find it."""
        body = {"symbol": symbol, "orderLinkId": client_id}
        return self._post(
            "cancel", body | ({"orderFilter": "StopOrder"} if self.market == rules.SPOT else {})
        )

    def cancel_all(self, symbol: str) -> list[Request]:
        """Every kind of order of a symbol. Linear takes all kinds at once, at most 500 orders a request."""
        if self.market == rules.SPOT:
            return [
                self._post("cancel-all", {"symbol": symbol, "orderFilter": x}) for x in rules.SPOT_FILTERS
            ]
        return [self._post("cancel-all", {"symbol": symbol})]

    def from_frame(self, frame: bytes) -> Request:
        """ValueError where the frame is no order entry. Its time stamp is left behind: `sign` makes one."""
        try:
            message = orjson.loads(frame)
            return Request("POST", _OPS[message["op"]], _JSON, orjson.dumps(message["args"][0]))
        except (orjson.JSONDecodeError, KeyError, IndexError, TypeError):
            raise ValueError(f"not an order-entry frame: {frame[:80]!r}") from None

    # ---- fills, positions, money ----

    def trades(self, symbol: str, since_ns: int) -> Request:
        """Fills of a symbol in the 7 days from `since_ns` on: older marks need more than one query."""
        return self._get(
            rules.EXECUTIONS_PATH, symbol=symbol, startTime=self._mark(symbol, since_ns), limit="100"
        )

    def read_trades(self, reply: Reply) -> tuple[list[TradeRow], Request | None]:
        result = self._checked(reply, "executions")
        found = _rows(result, "executions")
        rows = [x for x in (trade_row(self.market, row, self.hedge) for row in found) if x is not None]
        cursor = _cursor(result, "executions")
        if not cursor or not found:
            return rows, None
        symbol = _text(found[0], "symbol", "executions")
        start = str(min(self._since.get(symbol, [0])))
        base = self._get(rules.EXECUTIONS_PATH, symbol=symbol, startTime=start, limit="100")
        return rows, _page(base, cursor)

    def _mark(self, name: str, since_ns: int) -> str:
        """Remember since when was asked: the reader of a page must ask on, and the reply does not say."""
        self._since.setdefault(name, deque(maxlen=4)).append(since_ns // MS)
        return str(since_ns // MS)

    def positions(self) -> list[Request]:
        """Positions of every symbol that has one; [] on spot."""
        return [] if self.market == rules.SPOT else [self._positions(x) for x in rules.SETTLE_COINS]

    def _positions(self, coin: str) -> Request:
        return self._get(rules.POSITIONS_PATH, settleCoin=coin, limit="200")

    def position(self, symbol: str) -> Request:
        """The position of one symbol, flat or not: `read_modes` tells how it is set up."""
        return self._get(rules.POSITIONS_PATH, symbol=symbol)

    def read_positions(self, reply: Reply) -> tuple[list[PositionRow], Request | None]:
        result = self._checked(reply, "positions")
        rows = [position_row(self.market, x) for x in _rows(result, "positions")]
        cursor = _cursor(result, "positions")
        return rows, _page(self._positions(settle_coin(rows[0].symbol)), cursor) if cursor and rows else None

    def modes(self, symbols: Iterable[str] = ()) -> list[Request]:
        """How the account is set up for these symbols, held or flat."""
        return [] if self.market == rules.SPOT else [self.position(x) for x in symbols]

    def read_modes(self, reply: Reply) -> list[ModeRow]:
        return [mode_row(self.market, x) for x in _rows(self._checked(reply, "positions"), "positions")]

    def balances(self) -> Request:
        return Request("GET", f"{rules.WALLET_PATH}?accountType=UNIFIED")

    def read_balances(self, reply: Reply) -> list[BalanceRow]:
        """Every coin of the account. ValueError where the answer has no account: that is no empty one."""
        accounts = self._list(reply, "wallet")
        if not accounts:
            raise ValueError("wallet: the answer has no account")
        event_ns = self._server_ns(reply)
        return [row for x in accounts for row in balance_rows(self.market, x, event_ns)]

    def cash(self, since_ns: int) -> list[Request]:
        """What moved money; one day from `since_ns` on. Spot and linear share one account and one log."""
        start = self._mark("", since_ns)
        return [Request("GET", f"{rules.TRANSACTIONS_PATH}?accountType=UNIFIED&startTime={start}&limit=50")]

    def read_cash(self, reply: Reply) -> tuple[list[CashRow], Request | None]:
        """Funding, transfers, interest and whatever else is no fill, `change` as signed by the venue."""
        result = self._checked(reply, "transaction log")
        found = _rows(result, "transaction log")
        rows = [self._cash(x) for x in found if _text(x, "type", "transaction log") not in _FILLS]
        cursor = _cursor(result, "transaction log")
        if not cursor or not found:
            return rows, None
        start = min(self._since.get("", [0]))
        base = f"{rules.TRANSACTIONS_PATH}?accountType=UNIFIED&startTime={start}&limit=50"
        return rows, _page(Request("GET", base), cursor)

    def _cash(self, row: dict) -> CashRow:
        where = f"transaction log: {row.get('type')}"
        kind = _text(row, "type", where)
        return CashRow(
            market=self.market,
            coin=_text(row, "currency", where),
            kind=_CASH_KINDS.get(kind, kind.lower()),
            amount=_amount(row, "change", where, _SIGNED),
            symbol=_optional(row, "symbol"),
            key=_optional(row, "tradeId") or _optional(row, "id"),
            event_ns=_time_ns(row, "transactionTime", where),
        )

    # ---- the key ----

    def key_info(self) -> list[Request]:
        return [Request("GET", rules.KEY_PATH), Request("GET", rules.ACCOUNT_PATH)]

    def read_key_info(self, reply: Reply) -> KeyRow:
        """Rights of the key; of the account itself only whether it is a unified one (RestError where not)."""
        result = self._checked(reply, "key")
        if "unifiedMarginStatus" in result:
            if result["unifiedMarginStatus"] not in (3, 4, 5, 6):
                said = Said(
                    int(Outcome.REFUSED), int(ErrorGroup.GROUP_ACCESS), 10028, "not a unified account"
                )
                raise RestError("account", said)
            return KeyRow()
        rights = result.get("permissions")
        if not isinstance(rights, dict) or result.get("readOnly") not in (0, 1):
            raise ValueError("key: permissions or readOnly: missing")
        may_write = result["readOnly"] == 0
        ips = result.get("ips")
        return KeyRow(
            can_trade=may_write and any(y in (rights.get(x) or []) for x, y in _TRADING_RIGHTS[self.market]),
            can_withdraw=may_write and "Withdraw" in (rights.get("Wallet") or []),
            is_ip_bound=isinstance(ips, list) and bool(ips) and "*" not in ips,
            expires_ns=_expiry_ns(result),
            account=str(result.get("userID", "")),
        )

    # ---- what an answer proves ----

    def read_said(self, request: Request, reply: Reply) -> Said:
        """Outcome of a create, amend or cancel; of a batch that of its least certain item."""
        message = _message(reply)
        if message is None or (reply.status != 200 and message["retCode"] == 0):
            return self._without_code(request, reply)
        code, text = message["retCode"], str(message.get("retMsg", ""))
        result = message.get("result")
        venue_id = ""
        if code == 0 and isinstance(result, dict):
            venue_id = _optional(result, "orderId")
            if result.get("success") == "0":
                return Said(int(Outcome.UNCERTAIN), int(ErrorGroup.GROUP_UNKNOWN), 0, "success: 0")
            code, text = _worst(message, code, text, request)
        return self._said(request, reply, code, text, venue_id)

    def _said(self, request: Request, reply: Reply, code: int, text: str, venue_id: str = "") -> Said:
        outcome = getattr(rules.verdict(code), _action(request))
        group = rules.group(code, text)
        if group == ErrorGroup.GROUP_UNKNOWN:
            group = _http_group(reply.status, text)
        until_ns = self._until_ns(request, reply) if group == ErrorGroup.GROUP_LIMIT else 0
        return Said(outcome, group, code, self.key.hide(text), venue_id, until_ns=until_ns)

    def _without_code(self, request: Request, reply: Reply) -> Said:
        """An answer of something in between: nothing is proven of an order, whatever the status says."""
        text = f"HTTP {reply.status} {reply.body[:120].decode('utf-8', 'replace')}".strip()
        group = _http_group(reply.status, text)
        until_ns = self._until_ns(request, reply) if group == ErrorGroup.GROUP_LIMIT else 0
        return Said(int(Outcome.UNCERTAIN), group, reply.status, self.key.hide(text), until_ns=until_ns)

    def _until_ns(self, request: Request, reply: Reply) -> int:
        """When to come back, on the venue's clock: 10 minutes after HTTP 403, else as the headers say."""
        now_ns = self._server_ns(reply) or _stamp_ns(request)
        if reply.status == 403:
            return now_ns + rules.REST_BAN_NS if now_ns else 0
        wait = reply.headers.get("retry-after", "")
        if _WHOLE.fullmatch(wait) and now_ns:
            return now_ns + int(wait) * rules.SECOND
        reset = reply.headers.get("x-bapi-limit-reset-timestamp", "")
        return int(reset) * MS if _WHOLE.fullmatch(reset) else now_ns + rules.SECOND if now_ns else 0

    def _server_ns(self, reply: Reply) -> int:
        message = _message(reply)
        time = message.get("time") if message else reply.headers.get("timenow")
        return int(str(time)) * MS if _WHOLE.fullmatch(str(time)) else 0

    def budgets(self, request: Request, reply: Reply) -> list[BudgetRow]:
        """What the headers count of an order operation (batches and queries have buckets of their own)."""
        if reply.status in (403, 429):
            return [BudgetRow(int(BudgetKind.BUDGET_WEIGHT), until_ns=self._until_ns(request, reply))]
        op = request.target.partition("?")[0].rpartition("/")[2]
        left, limit = (reply.headers.get(f"x-bapi-limit{x}", "") for x in ("-status", ""))
        if op not in _BUDGET_KINDS or not (_WHOLE.fullmatch(left) and _WHOLE.fullmatch(limit)):
            return []
        until_ns = self._until_ns(request, reply) if int(left) == 0 else 0
        used = max(int(limit) - int(left), 0)
        return [BudgetRow(int(_BUDGET_KINDS[op]), rules.SECOND, used, int(limit), until_ns)]

    def buckets(self, request: Request) -> tuple[Bucket, ...]:
        path = request.target.partition("?")[0]
        all_of_it = Bucket("address", rules.ADDRESS_LIMIT, rules.ADDRESS_WINDOW_NS)
        if path == rules.TIME_PATH:
            return (all_of_it,)
        limit = rules.QUERY_LIMITS.get(path) if request.method == "GET" else None
        return (all_of_it, Bucket(path, limit, rules.SECOND)) if limit else ()

    def retention_ns(self) -> int:
        return rules.RETENTION_NS

    # ---- plumbing ----

    def _get(self, path: str, **query: str) -> Request:
        fields = [("category", self.category), *query.items()]
        return Request("GET", f"{path}?" + "&".join(f"{k}={quote(v, safe='')}" for k, v in fields if v))

    def _post(self, op: str, body: dict) -> Request:
        return Request(
            "POST", f"{rules.ORDER_PATH}/{op}", _JSON, orjson.dumps({"category": self.category, **body})
        )

    def _list(self, reply: Reply, what: str) -> list[dict]:
        return _rows(self._checked(reply, what), what)

    def _checked(self, reply: Reply, what: str) -> dict:
        """`result` of an answer to a query.

        RestError for a refusal or what is no answer of the venue; ValueError for one of another market.
        """
        message = _message(reply)
        query = Request("GET", "")
        if message is None or (reply.status != 200 and message["retCode"] == 0):
            raise RestError(what, self._without_code(query, reply))
        if message["retCode"] != 0:
            text = str(message.get("retMsg", ""))
            raise RestError(what, self._said(query, reply, message["retCode"], text))
        result = message.get("result")
        if not isinstance(result, dict):
            raise ValueError(f"{what}: the answer has no result")
        if result.get("category") not in (None, "", self.category):
            raise ValueError(f"{what}: the answer is of category {result['category']!r}")
        return result


_JSON = (("Content-Type", "application/json"),)
_HTTP_GROUPS = {
    401: ErrorGroup.GROUP_ACCESS,
    403: ErrorGroup.GROUP_LIMIT,
    429: ErrorGroup.GROUP_LIMIT,
}


def _http_group(status: int, text: str) -> int:
    """403 is too many requests of one address, or an address that the venue does not serve."""
    if status == 403 and "country" in text.lower():
        return int(ErrorGroup.GROUP_ACCESS)
    return int(_HTTP_GROUPS.get(status, ErrorGroup.GROUP_UNKNOWN))


def _named(client_id: str, venue_id: str) -> dict[str, str]:
    """Exactly one name: of two the venue would use its own."""
    if not (client_id or venue_id):
        raise ValueError("an order needs a client id or a venue id to be asked for")
    return {"orderLinkId": client_id} if client_id else {"orderId": venue_id}


def _message(reply: Reply) -> dict | None:
    """The envelope, or None where this is none."""
    try:
        message = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return None
    return message if isinstance(message, dict) and type(message.get("retCode")) is int else None


def _action(request: Request) -> str:
    """create, amend or cancel. A query is judged like a cancel: a refusal of it changes nothing."""
    op = request.target.partition("?")[0].rpartition("/")[2].removesuffix("-batch")
    return _ACTIONS.get(op, "cancel")


def _worst(message: dict, code: int, text: str, request: Request) -> tuple[int, str]:
    """Code and text of the item of a batch that leaves most open; without a batch those of the envelope."""
    more = message.get("retExtInfo")
    items = more.get("list") if isinstance(more, dict) else None
    if not isinstance(items, list):
        return code, text
    order = [int(Outcome.ACCEPTED), int(Outcome.REFUSED), int(Outcome.UNCERTAIN)]
    for item in items:
        found = item.get("code") if isinstance(item, dict) else None
        found = found if type(found) is int else -1
        ranks = [order.index(getattr(rules.verdict(x), _action(request))) for x in (found, code)]
        if ranks[0] > ranks[1]:
            code, text = found, _optional(item, "msg") if isinstance(item, dict) else ""
    return code, text


def _stamp_ns(request: Request) -> int:
    """The venue's clock when a signed request was written."""
    stamp = dict(request.headers).get("X-BAPI-TIMESTAMP", "")
    return int(stamp) * MS if _WHOLE.fullmatch(stamp) else 0


def _expiry_ns(result: dict) -> int:
    """`expiredAt` as ns; 0 where the key does not expire (one with an address has 1970)."""
    text = result.get("expiredAt")
    if not isinstance(text, str) or not text:
        return 0
    try:
        return max(int(datetime.fromisoformat(text).timestamp()), 0) * rules.SECOND
    except ValueError:
        raise ValueError(f"key: expiredAt: {text[:40]!r} is no time") from None

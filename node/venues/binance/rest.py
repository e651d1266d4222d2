"""Binance REST without I/O, public half: requests as values, and the reader of `exchangeInfo`. `Rest`, the
signed half, is in `account.py` and also to be had from here.

Sources: binance-spot-api-docs `rest-api.md`, `filters.md`; USD-M developer pages "market-data/rest-api",
"common-definition", "user-data-streams". Prices and sizes stay decimal text throughout.
"""

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from urllib.parse import quote, urlencode

import orjson

from ext.text import Grid
from node.venues.binance.account import Rest, error_of
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM, PRODUCTS, STATUSES, delivered_ns
from node.venues.values import InstrumentRow, Reply, Request

__all__ = ["Rest", "error_of"]


def ping(market: int) -> Request:
    return Request("GET", f"{PRODUCTS[market].rest}/ping")


def time(market: int) -> Request:
    """`{"serverTime":1499827319559}`."""
    return Request("GET", f"{PRODUCTS[market].rest}/time")


def exchange_info(market: int, symbols: tuple[str, ...] = ()) -> Request:
    """Instruments; USD-M knows no selection and always sends them all."""
    target = f"{PRODUCTS[market].rest}/exchangeInfo"
    if symbols and market == BINANCE_SPOT:
        target += "?symbols=" + quote(orjson.dumps(list(symbols)).decode(), safe="")
    return Request("GET", target)


def depth(market: int, symbol: str, limit: int = 0) -> Request:
    """Order book snapshot. `limit` 0 = as deep as the venue gives; else raised to a size the venue allows."""
    product = PRODUCTS[market]
    if limit < 0 or limit > product.depth_max:
        raise ValueError(f"depth limit {limit}: must be 1 to {product.depth_max}")
    limit = limit or product.depth_max
    if product.depth_limits:
        limit = next(x for x in product.depth_limits if x >= limit)
    return Request("GET", f"{product.rest}/depth?" + urlencode({"symbol": symbol, "limit": limit}))


def premium_index(symbol: str = "") -> Request:
    """USD-M mark price, index price and funding."""
    return Request("GET", "/fapi/v1/premiumIndex" + (f"?{urlencode({'symbol': symbol})}" if symbol else ""))


def listen_key(method: str, api_key: str) -> Request:
    """USD-M user stream key: POST makes or extends one, PUT extends, DELETE ends. Not signed."""
    if method not in ("POST", "PUT", "DELETE"):
        raise ValueError(f"listenKey method {method!r}: must be POST, PUT or DELETE")
    return Request(method, "/fapi/v1/listenKey", (("X-MBX-APIKEY", api_key),))


def read_listen_key(reply: Reply) -> str:
    """The key out of the answer to a POST of `listen_key`. ValueError where there is none."""
    key = _load(reply.body).get("listenKey")
    if reply.status != 200 or not isinstance(key, str) or not (key.isascii() and key.isalnum()):
        raise ValueError(f"listenKey: missing (status {reply.status}, code {error_of(reply)[0]})")
    return key


def server_time_ms(reply: bytes) -> int:
    """`serverTime` of a time reply; ValueError where it is not one."""
    value = _load(reply).get("serverTime")
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"serverTime: {value!r} is not a time")
    return value


def market_of(reply: bytes) -> int:
    """Which product an exchangeInfo reply belongs to; ValueError where it is neither (COIN-M, options)."""
    data = _load(reply)
    family = data.get("futuresType")
    if family is None:
        rows = data.get("symbols")
        is_contract = isinstance(rows, list) and any(
            isinstance(x, dict) and "contractType" in x for x in rows
        )
        return BINANCE_USDM if is_contract else BINANCE_SPOT
    if family != "U_MARGINED":
        raise ValueError(f"futuresType: {family!r} is not USD-M")
    return BINANCE_USDM


def instruments(reply: bytes, market: int | None = None, *, fine: bool = False) -> list[InstrumentRow]:
    """Rows of an exchangeInfo reply; `market` None detects it. Unknown filters are ignored.

    A book may hold old orders that are off today's tick and lot. `fine` gives the smallest step the venue can
    spell instead (its precision), on which every level fits; such rows are not tradable.

    Raises ValueError naming the symbol and field where the reply is malformed or the venue says an error.
    """
    market = market_of(reply) if market is None else market
    data = _load(reply)
    rows = data.get("symbols")
    if not isinstance(rows, list):
        raise ValueError(f"symbols: missing ({data.get('msg', 'not an exchangeInfo reply')})")
    return [_row(row, market, fine) for row in rows]


def _load(reply: bytes) -> dict:
    try:
        data = orjson.loads(reply)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"reply: not JSON ({error})") from None
    if not isinstance(data, dict):
        raise ValueError("reply: not an object")
    return data


def _row(row: object, market: int, fine: bool) -> InstrumentRow:
    row = row if isinstance(row, dict) else {}
    symbol = row.get("symbol")
    if not isinstance(symbol, str) or not symbol or any(x in '"\\' or x < " " for x in symbol):
        raise ValueError(f"symbol: {symbol!r} is not a symbol")
    filters = _filters(row, symbol)
    price, lot = filters.get("PRICE_FILTER", {}), filters.get("LOT_SIZE", {})
    is_usdm = market == BINANCE_USDM
    # "0.00000000" switches a filter's step off: the asset's precision is then all there is
    places = ("pricePrecision", "quantityPrecision") if is_usdm else ("quotePrecision", "baseAssetPrecision")
    tick = _step(row, symbol, {} if fine else price, "tickSize", places[0])
    lot_step = _step(row, symbol, {} if fine else lot, "stepSize", places[1])
    min_price, min_size = _number(symbol, price, "minPrice"), _number(symbol, lot, "minQty")
    perpetual = row.get("contractType") == "PERPETUAL"
    tradable = row.get("status") == "TRADING" and (
        perpetual if is_usdm else row.get("isSpotTradingAllowed") is not False
    )
    status = STATUSES.get(str(row.get("status")), "halt")
    ends_ns = delivered_ns(row.get("deliveryDate")) if is_usdm and perpetual else 0
    # USD-M counts ticks and steps from the minimum: a grid that misses zero is not one we can trade on
    tradable = tradable and not fine and not (is_usdm and (_off(min_price, tick) or _off(min_size, lot_step)))
    return InstrumentRow(
        market=market,
        symbol=symbol,
        tick=tick,
        lot=lot_step,
        tradable=tradable,
        is_perpetual=is_usdm and perpetual,
        min_price=min_price,
        max_price=_number(symbol, price, "maxPrice"),
        min_size=min_size,
        max_size=_number(symbol, lot, "maxQty"),
        min_notional=_min_notional(symbol, filters, "notional" if is_usdm else "minNotional"),
        base=str(row.get("baseAsset") or ""),
        quote=str(row.get("quoteAsset") or ""),
        max_market_size=_number(symbol, filters.get("MARKET_LOT_SIZE", {}), "maxQty"),
        max_notional=_number(symbol, filters.get("NOTIONAL", {}), "maxNotional"),
        max_orders=_count(symbol, filters.get("MAX_NUM_ORDERS", {})),
        up_ppm=_band(symbol, filters, "Up", min),
        down_ppm=_band(symbol, filters, "Down", max),
        status="delisting" if ends_ns and row.get("status") == "TRADING" else status,
        ends_ns=ends_ns,
    )


def _count(symbol: str, data: dict) -> int:
    """MAX_NUM_ORDERS: `maxNumOrders` on spot, `limit` on USD-M; 0 where absent."""
    value = data.get("maxNumOrders", data.get("limit", 0))
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise ValueError(f"{symbol}: MAX_NUM_ORDERS: {value!r} is not a count")
    return value


def _band(symbol: str, filters: dict[str, dict], end: str, strictest: Callable[..., int]) -> int:
    """One end of the percent-price band in ppm, 0 where there is none: where each side has a band of its own
    (PERCENT_PRICE_BY_SIDE) the stricter of the two, rounded to the inside."""
    plain, sided = filters.get("PERCENT_PRICE", {}), filters.get("PERCENT_PRICE_BY_SIDE", {})
    names = [(plain, f"multiplier{end}"), (sided, f"bidMultiplier{end}"), (sided, f"askMultiplier{end}")]
    rounding = ROUND_FLOOR if end == "Up" else ROUND_CEILING
    ends = [
        int((Decimal(_number(symbol, data, x)) * 1_000_000).to_integral_value(rounding))
        for data, x in names
        if x in data
    ]
    return min(strictest(ends), 2**31 - 1) if ends else 0


def _filters(row: dict, symbol: str) -> dict[str, dict]:
    filters = row.get("filters")
    if not isinstance(filters, list) or not all(isinstance(x, dict) for x in filters):
        raise ValueError(f"{symbol}: filters: not a list of objects")
    return {str(x.get("filterType")): x for x in filters}


def _number(symbol: str, data: dict, field: str) -> str:
    """A limit: plain decimal text, "0" where absent."""
    text = data.get(field, "0")
    whole, _, frac = text.partition(".") if isinstance(text, str) else ("", "", "")
    if not (whole.isascii() and whole.isdigit() and (frac == "" or (frac.isascii() and frac.isdigit()))):
        raise ValueError(f"{symbol}: {field}: {text!r} is not a plain decimal")
    return text


def _step(row: dict, symbol: str, data: dict, field: str, places: str) -> str:
    """A tick or lot: the filter's, else one in the last place of the asset's precision."""
    text = _number(symbol, data, field)
    if Decimal(text) == 0:
        digits = row.get(places)
        if not isinstance(digits, int) or isinstance(digits, bool) or not 0 <= digits <= 18:
            raise ValueError(f"{symbol}: {field} is absent and {places} is {digits!r}")
        text = format(Decimal(1).scaleb(-digits), "f")
    try:
        Grid(text)
    except ValueError as error:
        raise ValueError(f"{symbol}: {field}: {error}") from None
    return text


def _off(text: str, step: str) -> bool:
    return Decimal(text) % Decimal(step) != 0


def _min_notional(symbol: str, filters: dict[str, dict], field: str) -> str:
    """The larger of MIN_NOTIONAL and NOTIONAL; spot has one or the other."""
    values = [_number(symbol, filters.get(name, {}), field) for name in ("MIN_NOTIONAL", "NOTIONAL")]
    return max(values, key=Decimal)

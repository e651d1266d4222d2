"""Bybit v5 REST: requests as values, replies read exactly. Public market endpoints only, and no I/O.

Source: bybit-exchange/docs `docs/v5/market/{instrument,orderbook,time}.mdx`.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote

import orjson

from node.venues.bybit import rules
from node.venues.values import InstrumentRow, Request

_DECIMAL = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
_CURSOR = re.compile(r"[A-Za-z0-9%._~*+-]+", re.ASCII)


# ---- requests ----


def server_time() -> Request:
    return Request("GET", rules.TIME_PATH)


def instruments_info(market: int, cursor: str = "", limit: int = 1000) -> Request:
    """One page of the instruments of a market; spot has only one. `cursor`: `next_cursor` of the page before.

    The cursor is URL-encoded already and is sent as received. Raises ValueError where it is not.
    """
    if cursor and not _CURSOR.fullmatch(cursor):
        raise ValueError(f"instruments-info: cursor {cursor[:80]!r} is not URL-encoded text")
    query = f"category={rules.CATEGORY[market]}"
    if market == rules.LINEAR:
        query += f"&limit={limit}" + (f"&cursor={cursor}" if cursor else "")
    return Request("GET", f"{rules.INSTRUMENTS_PATH}?{query}")


def orderbook(market: int, symbol: str, limit: int = 200) -> Request:
    """The book, 1 to 1000 levels a side. Its `u` is that of `orderbook.1000`: it seeds no other topic."""
    if not 1 <= limit <= 1000:
        raise ValueError(f"orderbook: limit {limit} is not 1 to 1000")
    query = f"category={rules.CATEGORY[market]}&symbol={quote(symbol, safe='')}&limit={limit}"
    return Request("GET", f"{rules.BOOK_PATH}?{query}")


# ---- replies ----


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
    `max_size` is the cap of limit orders (market orders have a lower one at the venue). Raises ValueError
    naming symbol and field.
    """
    result = _result(reply, "instruments-info")
    rows = result.get("list")
    if not isinstance(rows, list):
        raise ValueError("instruments-info: result.list is not a list")
    return [_instrument(row) for row in rows]


def next_cursor(reply: bytes) -> str:
    """Cursor of the page that follows this instruments-info reply; empty after the last."""
    cursor = _result(reply, "instruments-info").get("nextPageCursor")
    if cursor is not None and not isinstance(cursor, str):
        raise ValueError("instruments-info: nextPageCursor is not text")
    return cursor or ""


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


def _text(row: dict, field: str, where: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where}: {field}: missing or not text")
    return value


def _instrument(row: object) -> InstrumentRow:
    if not isinstance(row, dict):
        raise ValueError("instruments-info: a row is not an object")
    symbol = _text(row, "symbol", "instruments-info")
    where = f"instruments-info: {symbol}"
    contract = row.get("contractType", "")
    if not isinstance(contract, str):
        raise ValueError(f"{where}: contractType is not text")
    is_spot = not contract and not row.get("optionsType")
    price, size = _filter(row, "priceFilter", where), _filter(row, "lotSizeFilter", where)
    is_perpetual = contract == "LinearPerpetual"
    is_open = _text(row, "status", where) == "Trading" and row.get("isPreListing") is not True
    notional = "minOrderAmt" if is_spot else "minNotionalValue"
    largest = "maxLimitOrderQty" if is_spot and "maxLimitOrderQty" in size else "maxOrderQty"
    return InstrumentRow(
        market=rules.SPOT if is_spot else rules.LINEAR,
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
    )


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

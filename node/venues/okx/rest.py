"""OKX REST without I/O: requests as values, and the readers of their replies.

Sources: docs-v5 "Get instruments", "Get order book", "Get system time". Prices and sizes stay decimal text
throughout. Many business errors come with HTTP 200: the reply's `code` decides, never the HTTP status.
"""

import re
from decimal import Decimal
from urllib.parse import urlencode

import orjson

from ext.records import Market
from ext.text import Grid
from node.venues.okx.rules import (
    BOOKS_LEVELS_MAX,
    BOOKS_PATH,
    DEMO_HEADER,
    INST_TYPES,
    INSTRUMENTS_PATH,
    TIME_PATH,
)
from node.venues.values import InstrumentRow, Request

INST_CODE_MAX = 2**31 - 1
PLAIN = re.compile(r"[0-9]{1,40}(\.[0-9]{1,40})?")


def time_request(demo: bool = False) -> Request:
    return _get(TIME_PATH, {}, demo)


def instruments_request(inst_type: str, family: str = "", demo: bool = False) -> Request:
    """All instruments of a type. OPTION needs a family ("BTC-USD"). `instIdCode` differs between demo and
    production.

    Raises ValueError for a type that is none of rules.INST_TYPES, and for OPTION without a family.
    """
    if inst_type not in INST_TYPES:
        raise ValueError(f"instType {inst_type!r}: must be one of {', '.join(INST_TYPES)}")
    if inst_type == "OPTION" and not family:
        raise ValueError("instType OPTION: needs an instFamily")
    query = {"instType": inst_type}
    if family:
        query["instFamily"] = family
    return _get(INSTRUMENTS_PATH, query, demo)


def books_request(symbol: str, levels: int = BOOKS_LEVELS_MAX, demo: bool = False) -> Request:
    """Order book snapshot with `seqId`. Raises ValueError where `levels` is not 1 to 400."""
    if not 1 <= levels <= BOOKS_LEVELS_MAX:
        raise ValueError(f"book levels {levels}: must be 1 to {BOOKS_LEVELS_MAX}")
    return _get(BOOKS_PATH, {"instId": symbol, "sz": str(levels)}, demo)


def server_time_ns(reply: bytes) -> int:
    """Venue's clock out of a time reply, in ns. Raises ValueError naming what is wrong."""
    rows = _data(reply, "time")
    text = rows[0].get("ts") if rows and isinstance(rows[0], dict) else None
    if not isinstance(text, str) or not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise ValueError(f"time: ts: {text!r} is not a time in ms")
    return int(text) * 1_000_000


def instruments(reply: bytes) -> list[InstrumentRow]:
    """Rows of `/api/v5/public/instruments`: spot, swaps, futures and options; other types are left out.

    Only spot and linear swaps that are live, under normal rules and have an `instIdCode` (no WebSocket order
    entry without) are tradable; the rest can be read and replayed. An instrument that was just announced has
    empty fields and is left out until it is complete. Raises ValueError naming symbol and field where a value
    is malformed.
    """
    out = []
    for row in _data(reply, "instruments"):
        if not isinstance(row, dict):
            raise ValueError(f"instruments: data: {row!r} is not an object")
        if row.get("instType") in INST_TYPES:
            found = _instrument(row)
            if found is not None:
                out.append(found)
    return out


def _instrument(row: dict) -> InstrumentRow | None:
    symbol = row.get("instId")
    if not isinstance(symbol, str) or not symbol:
        raise ValueError(f"instruments: instId: {symbol!r} is not a symbol")
    tick, lot = _text(row, symbol, "tickSz"), _text(row, symbol, "lotSz")
    if not tick or not lot:
        return None
    kind = row["instType"]
    contract = "1" if kind == "SPOT" else _contract(row, symbol)
    if not contract:
        return None
    inst_code = _inst_code(row, symbol)
    return InstrumentRow(
        market=Market.OKX,
        symbol=symbol,
        tick=_step(symbol, "tickSz", tick),
        lot=_step(symbol, "lotSz", lot),
        contract=contract,
        tradable=inst_code >= 0 and _is_live(row, symbol) and _is_linear(row, symbol, kind),
        is_perpetual=kind == "SWAP",
        inst_code=inst_code,
        min_size=_limit(row, symbol, "minSz"),
        max_size=_limit(row, symbol, "maxLmtSz"),
    )


def _is_live(row: dict, symbol: str) -> bool:
    """Replies of before 2023 have neither field for some types; absent is normal."""
    state, rule = _text(row, symbol, "state"), _text(row, symbol, "ruleType")
    return state in ("", "live") and rule in ("", "normal")


def _is_linear(row: dict, symbol: str, kind: str) -> bool:
    """Spot, or a swap whose contract is worth a number of coins and settles in the quote currency."""
    return kind == "SPOT" or (kind == "SWAP" and _text(row, symbol, "ctType") == "linear")


def _contract(row: dict, symbol: str) -> str:
    """Size of one contract, ctVal * ctMult, exact; "" while the venue has not filled it in."""
    value, mult = _text(row, symbol, "ctVal"), _text(row, symbol, "ctMult")
    if not value:
        return ""
    product = Decimal(_step(symbol, "ctVal", value)) * Decimal(_step(symbol, "ctMult", mult or "1"))
    return format(product.normalize(), "f")


def _inst_code(row: dict, symbol: str) -> int:
    code = row.get("instIdCode")
    if code is None:
        return -1
    if isinstance(code, bool) or not isinstance(code, int) or not 0 <= code <= INST_CODE_MAX:
        raise ValueError(f"{symbol}: instIdCode: {code!r} is not an integer below 2**31")
    return code


def _text(row: dict, symbol: str, field: str) -> str:
    """A text member; absent and null are empty."""
    value = row.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{symbol}: {field}: {value!r} is not text")
    return value


def _step(symbol: str, field: str, text: str) -> str:
    """A step that is a positive plain decimal."""
    try:
        return Grid(text).step
    except ValueError as error:
        raise ValueError(f"{symbol}: {field}: {error}") from None


def _limit(row: dict, symbol: str, field: str) -> str:
    """A limit as plain decimal text, often with trailing zeros; "0" (none) where the venue has none."""
    text = _text(row, symbol, field)
    if text and not PLAIN.fullmatch(text):
        raise ValueError(f"{symbol}: {field}: {text!r} is not a plain decimal")
    return text or "0"


def _data(reply: bytes, what: str) -> list:
    """The rows of a reply with code 0."""
    try:
        message = orjson.loads(reply)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{what}: not JSON: {error}") from None
    if not isinstance(message, dict) or "code" not in message:
        raise ValueError(f"{what}: code: not there")
    if message["code"] != "0":
        raise ValueError(f"{what}: code: {message['code']!r}: {str(message.get('msg', ''))[:200]}")
    if not isinstance(message.get("data"), list):
        raise ValueError(f"{what}: data: not a list")
    return message["data"]


def _get(path: str, query: dict[str, str], demo: bool) -> Request:
    target = f"{path}?{urlencode(query)}" if query else path
    return Request("GET", target, (DEMO_HEADER,) if demo else ())

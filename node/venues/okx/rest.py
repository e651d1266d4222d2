"""OKX REST without I/O: requests as values, and the readers of their replies.

Sources: docs-v5 "REST authentication", "Get instruments", "Get order book", "Get system time", "Order
details", "Order list", "Algo order list", "Transaction details", "Get positions", "Get balance", "Get bills
details", "Get account configuration", "Place order", "Cancel order", "Place algo order", "Cancel algo
order". Prices and sizes stay decimal text throughout. Many business errors come with HTTP 200: the reply's
`code` and the `sCode` of each item decide, never the HTTP status.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qs, urlencode, urlsplit

import orjson

from ext.records import Action, BudgetKind, ErrorGroup, Market, Nature, Outcome, Side
from ext.text import Grid
from ext.venues.okx import forced_trade_id
from node.venues.keys import Key
from node.venues.okx import rules
from node.venues.okx.rules import (
    BOOKS_LEVELS_MAX,
    BOOKS_PATH,
    DEMO_HEADER,
    INST_TYPES,
    INSTRUMENTS_PATH,
    TIME_PATH,
)
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

INST_CODE_MAX = 2**31 - 1
PLAIN = re.compile(r"[0-9]{1,40}(\.[0-9]{1,40})?")
SIGNED = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")
MS = 1_000_000
TEXT_MAX = 200
PAGE = 100  # rows of a list that has pages; the most that the venue gives
ORDERS_PER_CANCEL, ALGOS_PER_CANCEL = 20, 10

TRADE = "/api/v5/trade/"
ORDER_PATH, ALGO_PATH = TRADE + "order", TRADE + "order-algo"
PENDING_PATH, ALGO_PENDING_PATH = TRADE + "orders-pending", TRADE + "orders-algo-pending"
FILLS_PATH, FILLS_OLD_PATH = TRADE + "fills", TRADE + "fills-history"
FILLS_KEPT_MS = (
    3 * 86_400_000 - 3_600_000
)  # what /fills has, an hour left out; the history goes back 3 months
CANCEL_PATH, CANCEL_ALGOS_PATH = TRADE + "cancel-order", TRADE + "cancel-algos"
CANCELS_PATH = TRADE + "cancel-batch-orders"
POSITIONS_PATH, BALANCE_PATH = "/api/v5/account/positions", "/api/v5/account/balance"
LEVERAGE_PATH = "/api/v5/account/leverage-info"  # of 20 instruments a request
BILLS_PATH, CONFIG_PATH = "/api/v5/account/bills", "/api/v5/account/config"
# Conditional orders that rest without showing in the list of orders. Iceberg, TWAP and chase work through
# orders that do show.
ALGO_TYPES = ("conditional,oco", "trigger", "move_order_stop")

# WebSocket `op` -> (path, whether the body is a list)
OPS = {
    "order": (ORDER_PATH, False),
    "batch-orders": (TRADE + "batch-orders", True),
    "amend-order": (TRADE + "amend-order", False),
    "batch-amend-orders": (TRADE + "amend-batch-orders", True),
    "cancel-order": (CANCEL_PATH, False),
    "batch-cancel-orders": (CANCELS_PATH, True),
    "order-algo": (ALGO_PATH, False),
    "cancel-algos": (CANCEL_ALGOS_PATH, True),
}

STATES = {
    "live": "live",
    "partially_filled": "partial",
    "filled": "filled",
    "canceled": "canceled",
    "mmp_canceled": "canceled",
}
ALGO_STATES = {
    "live": "untriggered",
    "pause": "untriggered",
    "canceled": "canceled",
    "order_failed": "expired",
}
OWN_SOURCES = ("", "1", "20")  # cancelSource: nobody said, a user, the dead-man's switch
KINDS = dict.fromkeys(("limit", "post_only", "fok", "ioc"), "limit")
KINDS |= dict.fromkeys(("market", "optimal_limit_ioc"), "market")
SIDES = {"buy": int(Side.BUY), "sell": int(Side.SELL)}

# docs-v5 "Transaction details", subType: what is not a trade of the account's own will.
_NATURES = {
    Nature.LIQUIDATION: "100 101 102 103 104 105 106 107 110 111 114 115 376 377",
    Nature.ADL: "125 126 127 128",
    Nature.SETTLEMENT: "112 113 118 119 170 171 172 414 415",
}
NATURES = {sub: int(nature) for nature, subs in _NATURES.items() for sub in subs.split()}

# docs-v5 "Get bill types". Types whose rows are trades are told by the trades themselves.
TRADE_BILLS = frozenset({"2", "13", "14", "24"})
FORCED_BILLS = frozenset({"3", "5", "9"})  # trades too, where they have a trade id
BILL_KINDS = {
    "1": "transfer",
    "3": "settlement",
    "4": "forced repayment",
    "5": "liquidation",
    "6": "margin transfer",
    "7": "interest",
    "8": "funding",
    "9": "adl",
    "10": "clawback",
}


# ---- public requests and their readers ----


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
    return int(text) * MS


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
    base, quote = _coins(row, symbol, kind)
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
        base=base,
        quote=quote,
        # of spot it is an amount of USDT: no size
        max_market_size="0" if kind == "SPOT" else _limit(row, symbol, "maxMktSz"),
        max_notional=_limit(row, symbol, "maxLmtAmt"),
        max_orders=rules.PENDING_PER_INSTRUMENT,
        max_leverage=_limit(row, symbol, "lever"),
        status=status_of(row, symbol),
        ends_ns=ends_ns_of(row, symbol),
    )


def _coins(row: dict, symbol: str, kind: str) -> tuple[str, str]:
    """Base and quote coin; a contract has the coin that it is a number of, and the one it settles in."""
    if kind == "SPOT":
        return _text(row, symbol, "baseCcy"), _text(row, symbol, "quoteCcy")
    return _text(row, symbol, "ctValCcy"), _text(row, symbol, "settleCcy")


def status_of(row: dict, symbol: str) -> str:
    """docs-v5 "Get instruments", state, in the words of all venues. An `expTime` of spot or a swap
    announces the end."""
    state = _text(row, symbol, "state")
    if state in ("", "live"):
        return "delisting" if ends_ns_of(row, symbol) else "trading"
    return rules.STATUS.get(state, "halt")


def ends_ns_of(row: dict, symbol: str) -> int:
    """When spot or a swap will be delisted, 0 = nothing is announced. Futures end anyway."""
    text = _text(row, symbol, "expTime") if row.get("instType") in ("SPOT", "SWAP") else ""
    if text and not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise ValueError(f"{symbol}: expTime: {text[:40]!r} is no time")
    return int(text or "0") * MS


def _is_live(row: dict, symbol: str) -> bool:
    """Replies of before 2023 have neither field for some types; absent is normal."""
    state, rule = _text(row, symbol, "state"), _text(row, symbol, "ruleType")
    return state in ("", "live", "post_only") and rule in ("", "normal")


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


# ---- fields ----


def _text(row: dict, name: str, field: str) -> str:
    """A text member; absent and null are empty."""
    value = row.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{name}: {field}: {value!r} is not text")
    return value


def _word(row: dict, name: str, field: str) -> str:
    """A text member that must be there."""
    value = _text(row, name, field)
    if not value:
        raise ValueError(f"{name}: {field}: not there")
    return value


def _step(symbol: str, field: str, text: str) -> str:
    """A step that is a positive plain decimal."""
    try:
        return Grid(text).step
    except ValueError as error:
        raise ValueError(f"{symbol}: {field}: {error}") from None


def _limit(row: dict, name: str, field: str) -> str:
    """Plain decimal text, often with trailing zeros; "0" where the venue has none."""
    text = _text(row, name, field)
    if text and not PLAIN.fullmatch(text):
        raise ValueError(f"{name}: {field}: {text!r} is not a plain decimal")
    return text or "0"


def _plain(row: dict, name: str, field: str) -> str:
    """Plain decimal text that must be there."""
    _word(row, name, field)
    return _limit(row, name, field)


def _number(row: dict, name: str, field: str) -> str:
    """A decimal that must be there and may be below 0."""
    text = _word(row, name, field)
    if not SIGNED.fullmatch(text):
        raise ValueError(f"{name}: {field}: {text!r} is not a decimal")
    return text


def _ns(row: dict, name: str, field: str) -> int:
    """A time in ms, to ns; 0 where it is empty."""
    text = _text(row, name, field)
    if text and (not (text.isascii() and text.isdigit()) or len(text) > 15):
        raise ValueError(f"{name}: {field}: {text!r} is not a time in ms")
    return int(text or "0") * MS


def _negative(text: str) -> str:
    if not text.strip("-0."):
        return "0"
    return text[1:] if text.startswith("-") else f"-{text}"


def _side(row: dict, name: str) -> int:
    side = _word(row, name, "side")
    if side not in SIDES:
        raise ValueError(f"{name}: side: {side!r} is neither buy nor sell")
    return SIDES[side]


def _kind_of(symbol: str) -> str:
    """instType of a symbol of ours: the suffix is all that may be read in it."""
    return "SWAP" if symbol.endswith("-SWAP") else "SPOT"


# ---- replies ----


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


def _code(value: object) -> int | None:
    """A code, which is text; None where it is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _envelope(reply: Reply) -> tuple[int, str, list] | None:
    """(code, msg, data) of the venue's own answer; None where it is somebody else's: a proxy, a firewall, a
    torn connection."""
    try:
        message = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(message, dict):
        return None
    code, data = _code(message.get("code")), message.get("data")
    if code is None:
        return None
    return code, str(message.get("msg", ""))[:TEXT_MAX], data if isinstance(data, list) else []


def until_ns(reply: Reply) -> int:
    """When `Retry-After` says that the next request may come, on the venue's clock (its own `Date`); 0
    where it does not."""
    text, date = reply.headers.get("retry-after", ""), reply.headers.get("date", "")
    if not (text.isascii() and text.isdigit() and len(text) < 8 and date):
        return 0
    try:
        return (int(parsedate_to_datetime(date).timestamp()) + int(text)) * rules.SECOND
    except ValueError:
        return 0


def _foreign(reply: Reply) -> Said:
    """An answer that is not the venue's JSON: it may have been given before or behind the engine, so it
    proves nothing."""
    limited = reply.status in (418, 429)
    group = ErrorGroup.GROUP_LIMIT if limited else ErrorGroup.GROUP_UNKNOWN
    text = f"HTTP {reply.status} without an answer of the venue"
    return Said(int(Outcome.UNCERTAIN), int(group), 0, text, until_ns=until_ns(reply))


def _refused(reply: Reply, code: int, text: str, action: int) -> Said:
    outcome, group = rules.verdict(code, action)
    return Said(outcome, group, code, text, until_ns=until_ns(reply))


def _rows(reply: Reply, what: str) -> list[dict]:
    """The rows of an answer to a question. RestError for a refusal, ValueError for what is no answer."""
    envelope = _envelope(reply)
    if envelope is None:
        raise RestError(what, _foreign(reply))
    code, text, data = envelope
    if code:
        raise RestError(what, _refused(reply, code, text, int(Action.NEW)))
    if not isinstance(orjson.loads(reply.body).get("data"), list):
        raise ValueError(f"{what}: data: not a list")
    if not all(isinstance(row, dict) for row in data):
        raise ValueError(f"{what}: data: not a list of objects")
    return data


# ---- orders, trades, account ----


def order_row(row: dict) -> OrderRow:
    """One row of the lists of orders and of conditional orders. ValueError naming what is malformed."""
    symbol = _word(row, "order", "instId")
    return _plain_order(row, symbol) if "accFillSz" in row else _algo_order(row, symbol)


def _plain_order(row: dict, symbol: str) -> OrderRow:
    state, source = _word(row, symbol, "state"), _text(row, symbol, "cancelSource")
    word = STATES.get(state, f"odd:{state}")
    if state == "canceled" and source not in OWN_SOURCES:
        word = "expired"
    kind = _word(row, symbol, "ordType")
    in_quote = kind == "market" and _kind_of(symbol) == "SPOT" and _text(row, symbol, "tgtCcy") != "base_ccy"
    filled = _limit(row, symbol, "accFillSz")
    reason = rules.CANCEL_SOURCES.get(source, f"cancelSource {source}") if source else ""
    return OrderRow(
        market=Market.OKX,
        symbol=symbol,
        client_id=_text(row, symbol, "clOrdId") or _text(row, symbol, "algoClOrdId"),
        venue_id=_word(row, symbol, "ordId"),
        side=_side(row, symbol),
        kind=KINDS.get(kind, kind),
        price=_limit(row, symbol, "px"),
        # a market order of so much quote coin: how much base coin it is, only its fills tell
        size=filled if in_quote else _limit(row, symbol, "sz"),
        filled=filled,
        state=word,
        reduce_only=_text(row, symbol, "reduceOnly") == "true",
        updated_ns=_ns(row, symbol, "uTime"),
        reason=reason,
        leg=_leg(row, symbol),
    )


def _algo_order(row: dict, symbol: str) -> OrderRow:
    """A conditional order. What became of one that was triggered, the order that it made says; where that has
    no number yet it is `odd:effective`."""
    state, kind = _word(row, symbol, "state"), _word(row, symbol, "ordType")
    triggers = ("slTriggerPx", "triggerPx", "tpTriggerPx", "moveTriggerPx")
    trigger = next((_limit(row, symbol, x) for x in triggers if row.get(x)), "0")
    is_stop = kind == "conditional" and _text(row, symbol, "slOrdPx") == "-1"
    reason, made = _text(row, symbol, "failCode"), _text(row, symbol, "ordId")
    is_triggered = state == "effective" and made not in ("", "0")
    return OrderRow(
        market=Market.OKX,
        symbol=symbol,
        client_id=_text(row, symbol, "algoClOrdId"),
        venue_id=made if is_triggered else _word(row, symbol, "algoId"),
        side=_side(row, symbol),
        kind="stop_market" if is_stop else kind,
        price="0",
        size=_limit(row, symbol, "sz"),
        filled="0",
        state="triggered" if is_triggered else ALGO_STATES.get(state, f"odd:{state}"),
        reduce_only=_text(row, symbol, "reduceOnly") == "true",
        trigger=trigger,
        updated_ns=_ns(row, symbol, "uTime"),
        is_algo=True,
        reason=reason if reason != "0" else "",
        leg=_leg(row, symbol),
    )


def _leg(row: dict, symbol: str) -> str:
    """`posSide`, "" where there is none. ValueError for a word that nobody knows."""
    leg = _text(row, symbol, "posSide")
    if leg not in ("", "net", "long", "short"):
        raise ValueError(f"{symbol}: posSide: {leg!r} is no leg")
    return leg


def trade_row(row: dict) -> TradeRow:
    """One row of the list of fills. Fees are negative there where they are paid."""
    symbol = _word(row, "fill", "instId")
    number, order_id = _number(row, symbol, "tradeId"), _text(row, symbol, "ordId")
    price, size = _plain(row, symbol, "fillPx"), _plain(row, symbol, "fillSz")
    filled_ns = _ns(row, symbol, "fillTime") or _ns(row, symbol, "ts")
    if "." in number or len(number) > 19:
        raise ValueError(f"{symbol}: tradeId: {number!r} is not a whole number")
    trade_hi, trade_lo = 0, int(number)
    if trade_lo <= 0:
        trade_hi, trade_lo = forced_trade_id(order_id, filled_ns // MS, price, size)
    return TradeRow(
        market=Market.OKX,
        symbol=symbol,
        client_id=_text(row, symbol, "clOrdId"),
        venue_id=order_id,
        trade_hi=trade_hi,
        trade_lo=trade_lo,
        side=_side(row, symbol),
        price=price,
        size=size,
        fee=_negative(_number(row, symbol, "fee")) if row.get("fee") else "0",
        fee_coin=_text(row, symbol, "feeCcy"),
        is_maker=_text(row, symbol, "execType") == "M",
        event_ns=filled_ns,
        nature=NATURES.get(_text(row, symbol, "subType"), int(Nature.TRADE_FILL)),
        leg=_leg(row, symbol),
    )


def position_row(row: dict) -> PositionRow:
    """One row of the positions, of REST and of the stream. An empty `pos` is not a flat position:
    ValueError."""
    symbol = _word(row, "position", "instId")
    size, leg = _number(row, symbol, "pos"), _word(row, symbol, "posSide")
    if leg not in ("net", "long", "short"):
        raise ValueError(f"{symbol}: posSide: {leg!r} is no leg")
    if leg == "short" and not size.startswith("-"):
        size = _negative(size)
    return PositionRow(
        market=Market.OKX,
        symbol=symbol,
        size=size,
        leg=leg,
        entry=_text(row, symbol, "avgPx"),
        leverage=_text(row, symbol, "lever"),
        margin_mode=_text(row, symbol, "mgnMode"),
        event_ns=_ns(row, symbol, "uTime"),
    )


def balance_row(row: dict) -> BalanceRow:
    """One coin of the balance, of REST and of the streams. An empty `cashBal` is not zero: ValueError."""
    coin = _word(row, "balance", "ccy")
    return BalanceRow(
        market=Market.OKX,
        coin=coin,
        total=_number(row, coin, "cashBal"),
        free=_text(row, coin, "availBal"),
        event_ns=_ns(row, coin, "uTime"),
    )


def cash_row(row: dict) -> CashRow | None:
    """One bill that is not a trade; None for one that is, because the trade itself tells."""
    key = _word(row, "bill", "billId")
    kind, sub = _word(row, key, "type"), _text(row, key, "subType")
    if kind in TRADE_BILLS or (kind in FORCED_BILLS and _text(row, key, "tradeId") not in ("", "0")):
        return None
    return CashRow(
        market=Market.OKX,
        coin=_word(row, key, "ccy"),
        kind=BILL_KINDS.get(kind, f"bill {kind}/{sub}"),
        amount=_number(row, key, "balChg"),
        symbol=_text(row, key, "instId"),
        key=key,
        event_ns=_ns(row, key, "ts"),
    )


class Rest:
    """The signed REST half: see `values.Rest`, which says what each member is for.

    One account has one list of orders for spot and swaps, so `market` is always Market.OKX. Where a list has
    pages, this remembers since when it was asked for, because the answer does not say. `account_level` (1
    spot, 2 futures, 3 multi-currency, 4 portfolio margin) is known once `read_key_info` has been called: in
    3 and 4 spot orders need `OkxWire.set_spot_mode("cross")`.
    """

    def __init__(self, market: int, key: Key, window_ms: int = 1500, *, demo: bool = False):
        if market != Market.OKX:
            raise ValueError(f"market {market}: must be OKX")
        self.market, self.key, self.window_ms, self.demo = market, key, window_ms, demo
        self.account_level = ""
        self._since_ms: dict[str, int] = {}  # what list -> the oldest time that pages in progress need

    # ---- signing ----

    def sign(self, request: Request, stamp_ms: int) -> Request:
        """Headers of docs-v5 "REST authentication"; the time is UTC with milliseconds. Trades from before
        what the list of recent ones holds are asked of the history."""
        target = _of_history(request.target, stamp_ms)
        stamp = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=stamp_ms)).isoformat(
            timespec="milliseconds"
        )
        stamp = stamp.replace("+00:00", "Z")
        signature = self.key.base64(f"{stamp}{request.method}{target}{request.body.decode()}")
        headers = (
            ("OK-ACCESS-KEY", self.key.api_key),
            ("OK-ACCESS-SIGN", signature),
            ("OK-ACCESS-TIMESTAMP", stamp),
            ("OK-ACCESS-PASSPHRASE", self.key.passphrase()),
            ("Content-Type", "application/json"),
        )
        return Request(request.method, target, headers + request.headers, request.body)

    def _ask(self, path: str, **query: str) -> Request:
        return _get(path, {k: v for k, v in query.items() if v}, self.demo)

    def _tell(self, path: str, body: object, headers: Iterable[tuple[str, str]] = ()) -> Request:
        more = (DEMO_HEADER,) if self.demo else ()
        return Request("POST", path, (*headers, *more), orjson.dumps(body))

    # ---- time ----

    def time(self) -> Request:
        return time_request(self.demo)

    def read_time(self, reply: Reply) -> int:
        _rows(reply, "time")
        return server_time_ns(reply.body)

    # ---- orders ----

    def order(
        self, symbol: str, client_id: str = "", venue_id: str = "", *, is_algo: bool = False
    ) -> Request:
        """`is_algo`: a stop order of ours, which only the other namespace knows."""
        if is_algo:
            return self._ask(ALGO_PATH, algoId=venue_id, algoClOrdId="" if venue_id else client_id)
        return self._ask(ORDER_PATH, instId=symbol, ordId=venue_id, clOrdId="" if venue_id else client_id)

    def read_order(self, reply: Reply) -> OrderRow | None:
        try:
            rows = _rows(reply, "order")
        except RestError as error:
            if error.said.code == rules.NOT_FOUND_CODE:
                return None
            raise
        if len(rows) != 1:
            raise ValueError(f"order: data: {len(rows)} orders for one question")
        return order_row(rows[0])

    def open_orders(self, symbol: str = "") -> list[Request]:
        kind = _kind_of(symbol) if symbol else ""
        plain = self._ask(PENDING_PATH, instType=kind, instId=symbol, limit=str(PAGE))
        algos = [
            self._ask(ALGO_PENDING_PATH, ordType=x, instType=kind, instId=symbol, limit=str(PAGE))
            for x in ALGO_TYPES
        ]
        return [plain, *algos]

    def read_open_orders(self, reply: Reply) -> tuple[list[OrderRow], Request | None]:
        """Pages after the first are of all symbols: the answer does not say which one was asked for."""
        rows = _rows(reply, "open orders")
        out = [order_row(row) for row in rows]
        if len(rows) < PAGE:
            return out, None
        if not out[-1].is_algo:
            return out, self._ask(PENDING_PATH, after=out[-1].venue_id, limit=str(PAGE))
        kind = str(rows[-1]["ordType"])
        kinds = next((x for x in ALGO_TYPES if kind in x.split(",")), kind)
        return out, self._ask(ALGO_PENDING_PATH, ordType=kinds, after=out[-1].venue_id, limit=str(PAGE))

    # ---- trades, account ----

    def trades(self, symbol: str, since_ns: int) -> Request:
        begin = self._begin(symbol, since_ns)
        kind = _kind_of(symbol)
        return self._ask(FILLS_PATH, instType=kind, instId=symbol, begin=begin, limit=str(PAGE))

    def read_trades(self, reply: Reply) -> tuple[list[TradeRow], Request | None]:
        rows = _rows(reply, "trades")
        out = [trade_row(row) for row in rows]
        if len(rows) < PAGE:
            self._forget({x.symbol for x in out})
            return out, None
        symbol, last = out[-1].symbol, _word(rows[-1], "fill", "billId")
        begin = str(self._since_ms.get(symbol, 0) or "")
        kind = _kind_of(symbol)
        next_page = self._ask(
            FILLS_PATH, instType=kind, instId=symbol, begin=begin, after=last, limit=str(PAGE)
        )
        return out, next_page

    def positions(self) -> list[Request]:
        return [self._ask(POSITIONS_PATH, instType="SWAP")]

    def read_positions(self, reply: Reply) -> tuple[list[PositionRow], Request | None]:
        """An account without positions answers with an empty list; rows of size 0 are positions that
        ended."""
        return [position_row(row) for row in _rows(reply, "positions")], None

    def modes(self, symbols: Iterable[str] = ()) -> list[Request]:
        """Leverage of swaps in cross margin, which is what orders here ask for; the list of positions has it
        only
        for those that are held."""
        swaps = ",".join(x for x in symbols if _kind_of(x) == "SWAP")
        return [self._ask(LEVERAGE_PATH, instId=swaps, mgnMode="cross")] if swaps else []

    def read_modes(self, reply: Reply) -> list[ModeRow]:
        return [
            ModeRow(
                Market.OKX,
                _word(row, "leverage", "instId"),
                hedge=_word(row, "leverage", "posSide") != "net",
                leverage=_number(row, "leverage", "lever"),
                margin_mode=_word(row, "leverage", "mgnMode"),
            )
            for row in _rows(reply, "leverage")
        ]

    def balances(self) -> Request:
        return self._ask(BALANCE_PATH)

    def read_balances(self, reply: Reply) -> list[BalanceRow]:
        rows = _rows(reply, "balances")
        details = rows[0].get("details") if len(rows) == 1 else None
        if not isinstance(details, list) or not all(isinstance(x, dict) for x in details):
            raise ValueError("balances: details: not a list of objects")
        return [balance_row(row) for row in details]

    def cash(self, since_ns: int) -> list[Request]:
        return [self._ask(BILLS_PATH, begin=self._begin("", since_ns), limit=str(PAGE))]

    def read_cash(self, reply: Reply) -> tuple[list[CashRow], Request | None]:
        rows = _rows(reply, "bills")
        out = [x for x in map(cash_row, rows) if x is not None]
        if len(rows) < PAGE:
            self._forget({""})
            return out, None
        begin = str(self._since_ms.get("", 0) or "")
        last = _word(rows[-1], "bill", "billId")
        return out, self._ask(BILLS_PATH, begin=begin, after=last, limit=str(PAGE))

    def _begin(self, what: str, since_ns: int) -> str:
        since_ms = max(since_ns // MS, 1)
        self._since_ms[what] = min(since_ms, self._since_ms.get(what, since_ms))
        return str(since_ms)

    def _forget(self, what: set[str]) -> None:
        """The last page came."""
        for name in what:
            self._since_ms.pop(name, None)

    def key_info(self) -> list[Request]:
        return [self._ask(CONFIG_PATH)]

    def read_key_info(self, reply: Reply) -> KeyRow:
        rows = _rows(reply, "account configuration")
        if len(rows) != 1:
            raise ValueError(f"account configuration: data: {len(rows)} rows")
        rights = _word(rows[0], "account configuration", "perm").split(",")
        mode = _word(rows[0], "account configuration", "posMode")
        if mode not in ("long_short_mode", "net_mode"):
            raise ValueError(f"account configuration: posMode: {mode!r}")
        self.account_level = _text(rows[0], "account configuration", "acctLv")
        return KeyRow(
            can_trade="trade" in rights,
            can_withdraw="withdraw" in rights,
            is_ip_bound=bool(_text(rows[0], "account configuration", "ip")),
            hedge=mode == "long_short_mode",
            account=_text(rows[0], "account configuration", "uid"),
        )

    # ---- what changes something ----

    def cancel(self, symbol: str, client_id: str, *, is_algo: bool = False) -> Request:
        if is_algo:
            return self._tell(CANCEL_ALGOS_PATH, [{"instId": symbol, "algoClOrdId": client_id}])
        return self._tell(CANCEL_PATH, {"instId": symbol, "clOrdId": client_id})

    def cancel_all(self, symbol: str) -> list[Request]:
        """[]: OKX has no such request for spot and swaps (`mass-cancel` is for options, `cancel-all-after`
        for the whole account). List the open orders of every namespace and give them to `cancel_rows`, until
        none is left."""
        return []

    def cancel_rows(self, rows: Iterable[OrderRow]) -> list[Request]:
        """Requests that cancel these orders by the venue's own ids, whoever's they are."""
        plain = [{"instId": x.symbol, "ordId": x.venue_id} for x in rows if not x.is_algo]
        algos = [{"instId": x.symbol, "algoId": x.venue_id} for x in rows if x.is_algo]
        out = []
        for path, items, most in (
            (CANCELS_PATH, plain, ORDERS_PER_CANCEL),
            (CANCEL_ALGOS_PATH, algos, ALGOS_PER_CANCEL),
        ):
            out += [self._tell(path, items[i : i + most]) for i in range(0, len(items), most)]
        return out

    def from_frame(self, frame: bytes) -> Request:
        """`instId` goes where `instIdCode` went, the deadline into a header. ValueError for any other
        frame."""
        try:
            message = orjson.loads(frame)
        except orjson.JSONDecodeError:
            raise ValueError("order frame: not JSON") from None
        if not isinstance(message, dict) or message.get("op") not in OPS:
            raise ValueError("order frame: op: none that OKX has")
        path, is_list = OPS[message["op"]]
        args = message.get("args")
        if not isinstance(args, list) or not args or not all(isinstance(x, dict) for x in args):
            raise ValueError("order frame: args: not a list of objects")
        body = [{k: v for k, v in x.items() if k != "instIdCode"} for x in args]
        deadline = message.get("expTime")
        headers = (("expTime", str(deadline)),) if deadline else ()
        return self._tell(path, body if is_list else body[0], headers)

    def read_said(self, request: Request, reply: Reply) -> Said:
        """Of a request of several orders: what holds for all of them, else UNCERTAIN (`read_items` tells
        each)."""
        items = list(self.read_items(request, reply).values())
        if len({(x.outcome, x.group, x.code) for x in items}) == 1:
            return items[0]
        return Said(int(Outcome.UNCERTAIN), int(ErrorGroup.GROUP_UNKNOWN), 0, "not one answer for all orders")

    def read_items(self, request: Request, reply: Reply) -> dict[str, Said]:
        """What was said of each order in the request, by its client id (or the venue's id where it names
        that)."""
        asked = orjson.loads(request.body)
        asked = asked if isinstance(asked, list) else [asked]
        action = _action(request.target)
        envelope = _envelope(reply)
        if envelope is None:
            return {_name(x): _foreign(reply) for x in asked}
        code, text, data = envelope
        rows = [x for x in data if isinstance(x, dict)]
        out = {}
        for item in asked:
            row = rows[0] if len(asked) == len(rows) == 1 else _row_of(item, rows)
            if row is None:
                missing = rows or code in (0, 1, 2)
                said = _missing() if missing else _refused(reply, code, text, action)
            else:
                said = _item(reply, row, action)
            out[_name(item)] = said
        return out

    # ---- limits ----

    def budgets(self, request: Request, reply: Reply) -> list[BudgetRow]:
        """OKX tells nothing until a bucket is empty."""
        envelope = _envelope(reply)
        codes = (
            {envelope[0], *(_code(x.get("sCode")) for x in envelope[2] if isinstance(x, dict))}
            if envelope
            else set()
        )
        if reply.status not in (418, 429) and not codes & rules.LIMIT_CODES:
            return []
        kinds = {Action.NEW: BudgetKind.BUDGET_ORDERS, Action.CANCEL: BudgetKind.BUDGET_CANCELS}
        kind = BudgetKind.BUDGET_WEIGHT
        if request.method == "POST":
            kind = kinds.get(Action(_action(request.target)), BudgetKind.BUDGET_AMENDS)
        return [BudgetRow(int(kind), 2 * rules.SECOND, until_ns=until_ns(reply))]

    def buckets(self, request: Request) -> tuple[Bucket, ...]:
        path = request.target.partition("?")[0]
        limit = rules.QUERY_LIMITS.get(path) if request.method == "GET" else None
        return (Bucket(path, limit, rules.QUERY_WINDOW_NS),) if limit else ()

    def retention_ns(self) -> int:
        return rules.RETENTION_NS


def _of_history(target: str, stamp_ms: int) -> str:
    parts = urlsplit(target)
    if parts.path != FILLS_PATH:
        return target
    begin = parse_qs(parts.query).get("begin", ["0"])[0]
    return target if stamp_ms - int(begin) < FILLS_KEPT_MS else f"{FILLS_OLD_PATH}?{parts.query}"


def _action(target: str) -> int:
    name = target.rsplit("/", 1)[-1]
    return int(
        Action.CANCEL if name.startswith("cancel") else Action.AMEND if name.startswith("amend") else 0
    )


def _name(item: dict) -> str:
    return next((str(item[x]) for x in ("clOrdId", "algoClOrdId", "ordId", "algoId") if item.get(x)), "")


def _row_of(item: dict, rows: list[dict]) -> dict | None:
    """The row that names the order of an item; their order is not promised."""
    for field in ("clOrdId", "algoClOrdId", "ordId", "algoId"):
        for row in rows:
            if item.get(field) and row.get(field) == item[field]:
                return row
    return None


def _missing() -> Said:
    return Said(
        int(Outcome.UNCERTAIN), int(ErrorGroup.GROUP_UNKNOWN), 0, "the answer says nothing of this order"
    )


def _item(reply: Reply, row: dict, action: int) -> Said:
    """By `sCode` alone: the code of the envelope only counts how many went well."""
    code = _code(row.get("sCode"))
    if code is None:
        return _missing()
    outcome, group = rules.verdict(code, action)
    venue_id = row.get("ordId") or row.get("algoId") or ""
    text = str(row.get("sMsg", ""))[:TEXT_MAX]
    return Said(outcome, group, code, text, str(venue_id), until_ns=until_ns(reply))


def _get(path: str, query: dict[str, str], demo: bool) -> Request:
    target = f"{path}?{urlencode(query)}" if query else path
    return Request("GET", target, (DEMO_HEADER,) if demo else ())

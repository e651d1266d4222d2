"""What Binance's private streams tell of the account besides orders and fills, and `!contractInfo` of a
symbol.

Read from parsed events to rows, cold. Numbers stay the text that the venue sent; totals are added exactly.
An event that nobody knows is named in a `StatusRow` "odd", never dropped.

Sources: binance-spot-api-docs `user-data-stream.md`; USD-M developer pages "user-data-streams".
"""

from collections.abc import Callable
from decimal import Context, Decimal, InvalidOperation

from ext.records import Side
from node.venues.binance.rules import BINANCE_SPOT, STATUSES, delivered_ns
from node.venues.values import (
    AccountNews,
    Action,
    BalanceRow,
    CashRow,
    ModeRow,
    OrderRow,
    PositionRow,
    Relist,
    StatusRow,
)

MS = 1_000_000
EXACT = Context(prec=100)  # more digits than two numbers of 40 can need
Row = PositionRow | BalanceRow | CashRow | ModeRow | StatusRow | OrderRow
LEGS = {"BOTH": "net", "LONG": "long", "SHORT": "short"}
# Why a USD-M balance changed; reasons not listed are told in the venue's own word. ORDER is what fills
# explain.
CASH = {
    "FUNDING_FEE": "funding",
    "DEPOSIT": "deposit",
    "ADMIN_DEPOSIT": "deposit",
    "COIN_SWAP_DEPOSIT": "deposit",
    "WITHDRAW": "withdraw",
    "ADMIN_WITHDRAW": "withdraw",
    "COIN_SWAP_WITHDRAW": "withdraw",
    "MARGIN_TRANSFER": "transfer",
    "ASSET_TRANSFER": "transfer",
    "INSURANCE_CLEAR": "liquidation",
}
# States of the service for conditional orders. FINISHED: its order has left it, and that order's own reports
# tell.
ALGO_STATES = {
    "NEW": "untriggered",
    "TRIGGERING": "live",
    "TRIGGERED": "live",
    "CANCELED": "canceled",
    "EXPIRED": "expired",
    "REJECTED": "rejected",
}
KINDS = {"LIMIT": "limit", "LIMIT_MAKER": "limit", "MARKET": "market", "STOP_MARKET": "stop_market"}
# Known and without news for us: orders and fills (the native decoder has those of our symbols), and what the
# exchange's own bots and order lists tell, whose orders are reported as orders.
SILENT = {
    "executionReport",
    "listStatus",
    "ORDER_TRADE_UPDATE",
    "TRADE_LITE",
    "ALGO_UPDATE",
    "GRID_UPDATE",
    "STRATEGY_UPDATE",
}


def read(market: int, event: dict, is_private: bool) -> list[Action]:
    """Actions for one pushed event. On a market-data connection unknown events are none of our business."""
    name = event["e"]
    if name == "contractInfo":
        return _contract(market, event)
    if not is_private or name in SILENT:
        return []
    reader = (_SPOT if market == BINANCE_SPOT else _USDM).get(name)
    if reader is None:
        return odd(market, f"unknown event {name[:40]!r}")
    try:
        rows = reader(market, event)
    except (KeyError, TypeError, ValueError, InvalidOperation, AttributeError) as error:
        return odd(market, f"{name}: malformed at {error}"[:120])
    return [AccountNews(tuple(rows))] if rows else []


def odd(market: int, text: str, symbol: str = "") -> list[Action]:
    return [AccountNews((StatusRow(market, symbol, "odd", text),))]


def number(data: dict, field: str) -> str:
    """Decimal text of a field, as it stands; ValueError naming the field where it is none."""
    text = data.get(field)
    if not isinstance(text, str) or not _is_decimal(text):
        raise ValueError(f"{field}: {text!r} is not a plain decimal")
    return text


def _is_decimal(text: str) -> bool:
    whole, point, frac = text.removeprefix("-").partition(".")
    return (
        whole.isascii() and whole.isdigit() and (frac.isascii() and frac.isdigit() if point else True)
    ) and len(text) <= 40


def total(first: str, second: str) -> str:
    """Exact sum of two decimal texts."""
    return format(EXACT.add(Decimal(first), Decimal(second)), "f")


def less(first: str, second: str) -> str:
    """Exact difference of two decimal texts."""
    return format(EXACT.subtract(Decimal(first), Decimal(second)), "f")


def text(data: dict, field: str, empty: bool = False) -> str:
    value = data.get(field)
    if not isinstance(value, str) or (not value and not empty):
        raise ValueError(f"{field}: {value!r} is not a text")
    return value


def time_ns(data: dict, *fields: str) -> int:
    """The first of these times that is there: ms, or µs (spot `timeUnit`), since 1970. ValueError where none
    is."""
    value = next((data[x] for x in fields if x in data), None)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 9_000_000_000_000_000:
        raise ValueError(f"{fields[0]}: {value!r} is not a time")
    return value * (MS if value <= 9_000_000_000_000 else 1000)


# ---- spot ----


def _account_position(market: int, event: dict) -> list[Row]:
    """Absolute balances of the coins that may have changed; others are not in it."""
    at = time_ns(event, "u", "E")
    return [
        BalanceRow(
            market, text(x, "a"), total(number(x, "f"), number(x, "l")), free=number(x, "f"), event_ns=at
        )
        for x in event["B"]
    ]


def _balance_update(market: int, event: dict) -> list[Row]:
    """A deposit, withdrawal or transfer: the change, never the balance."""
    at = time_ns(event, "T", "E")
    coin, amount = text(event, "a"), number(event, "d")
    return [CashRow(market, coin, "transfer", amount, key=f"balanceUpdate:{coin}:{at}:{amount}", event_ns=at)]


def _lock_update(market: int, event: dict) -> list[Row]:
    """Somebody outside locked or freed a part of a balance: the total stays, so the amount is 0."""
    at = time_ns(event, "T", "E")
    coin, amount = text(event, "a"), number(event, "d")
    return [CashRow(market, coin, "lock", "0", key=f"externalLockUpdate:{coin}:{at}:{amount}", event_ns=at)]


# ---- USD-M ----


def _account_update(market: int, event: dict) -> list[Row]:
    """Wallet balances and positions that changed, and the money that moved without a trade (`bc`)."""
    at, body = time_ns(event, "T", "E"), event["a"]
    reason = text(body, "m")
    places = body.get("P", [])
    rows: list[Row] = [
        BalanceRow(market, text(x, "a"), number(x, "wb"), event_ns=at) for x in body.get("B", [])
    ]
    rows += [_position(market, x, at) for x in places]
    symbol = text(places[0], "s") if len(places) == 1 else ""
    for x in body.get("B", []):
        if reason != "ORDER" and Decimal(number(x, "bc")):
            key = f"{reason}:{at}:{x['a']}:{x['bc']}"
            kind = CASH.get(reason, reason.lower())
            rows.append(CashRow(market, x["a"], kind, x["bc"], symbol, key, at))
    if any(x["ps"] != "BOTH" for x in places):
        rows.append(ModeRow(market, hedge=True))
    if reason == "MARGIN_TYPE_CHANGE":
        rows += [ModeRow(market, x["s"], margin_mode=text(x, "mt")) for x in places]
    return rows


def _position(market: int, x: dict, at: int) -> PositionRow:
    leg = LEGS.get(text(x, "ps"))
    if leg is None:
        raise ValueError(f"ps: {x['ps']!r} is no position side")
    return PositionRow(
        market,
        text(x, "s"),
        number(x, "pa"),
        leg,
        entry=number(x, "ep"),
        margin_mode=str(x.get("mt", "")),
        event_ns=at,
    )


def _config_update(market: int, event: dict) -> list[Row]:
    """Leverage of one symbol (`ac`), or the account's multi-assets mode (`ai`)."""
    if "ac" in event:
        leverage = event["ac"]["l"]
        if not isinstance(leverage, int) or isinstance(leverage, bool) or leverage <= 0:
            raise ValueError(f"l: {leverage!r} is no leverage")
        return [ModeRow(market, text(event["ac"], "s"), leverage=str(leverage))]
    if not isinstance(event["ai"]["j"], bool):
        raise ValueError(f"j: {event['ai']['j']!r} is not true or false")
    return [ModeRow(market, margin_mode="multi_assets" if event["ai"]["j"] else "single_asset")]


def _margin_call(market: int, event: dict) -> list[Row]:
    return [
        StatusRow(
            market, text(x, "s"), "margin_call", f"mark {x.get('mp')}, maintenance margin {x.get('mm')}"
        )
        for x in event["p"]
    ] or [StatusRow(market, "", "margin_call", "no position named")]


def _trigger_reject(market: int, event: dict) -> list[Row]:
    return [StatusRow(market, text(event["or"], "s"), "odd", f"stop not triggered: {event['or'].get('r')}")]


# ---- conditional orders in a REST answer ----


def algo_order(market: int, x: dict) -> OrderRow:
    """A USD-M conditional order. Its `venue_id` is that of the order it made, as soon as it made one: fills
    name that."""
    made = str(x.get("actualOrderId") or "")
    number_ = x["algoId"]
    if not isinstance(number_, int) or isinstance(number_, bool) or (made and not made.isdigit()):
        raise ValueError(f"algoId: {number_!r} / {made!r} are no order ids")
    state, side = text(x, "algoStatus"), text(x, "side")
    kind = text(x, "orderType" if "orderType" in x else "type")
    filled = x.get("executedQty") or "0"
    if state == "FINISHED":
        state = _finished(str(filled), _or_zero(x, "quantity"), made)
    else:
        state = ALGO_STATES.get(state, f"odd:{state}")
    if side not in ("BUY", "SELL") or not _is_decimal(str(filled)):
        raise ValueError(f"side: {side!r}, or executedQty: {filled!r}")
    return OrderRow(
        market=market,
        symbol=text(x, "symbol"),
        client_id=text(x, "clientAlgoId", empty=True),
        venue_id=made if made not in ("", "0") else str(number_),
        side=int(Side.BUY if side == "BUY" else Side.SELL),
        kind=KINDS.get(kind, kind.lower()),
        price=_or_zero(x, "price"),
        size=_or_zero(x, "quantity"),
        filled=str(filled),
        state=state,
        reduce_only=x.get("reduceOnly") is True,
        trigger=_or_zero(x, "triggerPrice"),
        updated_ns=time_ns(x, "updateTime", "createTime"),
        is_algo=True,
        reason=str(x.get("rejectReason") or ""),
        leg=leg_of(x),
    )


def leg_of(x: dict, key: str = "positionSide") -> str:
    """The leg of an order or trade, "" where there is none (spot). ValueError for an unknown word."""
    if key not in x:
        return ""
    leg = LEGS.get(str(x[key]))
    if leg is None:
        raise ValueError(f"{key}: {x[key]!r} is none")
    return leg


def _or_zero(x: dict, field: str) -> str:
    """A number that some kinds of order do not have: price of a market order, size of one that closes a
    whole position."""
    return "0" if x.get(field) is None else number(x, field)


def _finished(filled: str, size: str, made: str) -> str:
    """FINISHED is "executed or canceled": only a full fill says which. Else the order it made must be asked
    for."""
    if _is_decimal(filled) and Decimal(filled) >= Decimal(size) > 0:
        return "filled"
    return "triggered" if made not in ("", "0") else "odd:FINISHED"


# ---- symbols ----


def _contract(market: int, event: dict) -> list[Action]:
    """`!contractInfo`: a symbol was listed, delisted, settled, or its brackets changed."""
    if event.get("st", 1) != 1:  # COIN-M rows share the stream
        return []
    symbol, state = event.get("s"), event.get("cs")
    if not isinstance(symbol, str) or not symbol:
        return odd(market, "contractInfo: no symbol")
    out: list[Action] = [Relist(symbol)]
    if isinstance(state, str):
        ends_ns = delivered_ns(event.get("dt")) if event.get("ct") == "PERPETUAL" else 0
        status = "delisting" if ends_ns and state == "TRADING" else STATUSES.get(state, "odd")
        out.append(AccountNews((StatusRow(market, symbol, status, state, ends_ns),)))
    return out


_SPOT: dict[str, Callable[[int, dict], list[Row]]] = {
    "outboundAccountPosition": _account_position,
    "balanceUpdate": _balance_update,
    "externalLockUpdate": _lock_update,
}
_USDM: dict[str, Callable[[int, dict], list[Row]]] = {
    "ACCOUNT_UPDATE": _account_update,
    "ACCOUNT_CONFIG_UPDATE": _config_update,
    "MARGIN_CALL": _margin_call,
    "CONDITIONAL_ORDER_TRIGGER_REJECT": _trigger_reject,
}

"""Binance REST, signed half, without I/O: orders, trades, positions, balances, and what the answers prove.

One class for both products; what differs is in small tables. Requests come unsigned; `sign` makes the stamp
and the signature when a request is about to be written. Prices and sizes stay decimal text. Errors go
through the same two places as on the WebSocket: `ext.venues.binance` for what status and text decide,
`rules.CODES` for the codes.

Sources: binance-spot-api-docs `rest-api.md`, `errors.md`; USD-M developer pages "trade/rest-api",
"account/rest-api", "general-info", "error-code".
"""

import re
from calendar import timegm
from collections.abc import Callable, Iterable
from dataclasses import replace
from email.utils import parsedate
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import orjson

from ext.records import Action, Side
from ext.venues.binance import client_nature
from node.venues.binance.news import (
    KINDS,
    LEGS,
    MS,
    algo_order,
    leg_of,
    less,
    number,
    text,
    time_ns,
    total,
)
from node.venues.binance.rules import (
    ACCEPTED,
    BINANCE_SPOT,
    BUDGETS,
    LIMIT,
    ORDER_NOT_FOUND,
    ORDERS,
    OTHER,
    PRODUCTS,
    REFUSED,
    RETENTION_NS,
    SECOND,
    UNCERTAIN,
    UNKNOWN,
    WEIGHT,
    verdict,
)
from node.venues.keys import Key
from node.venues.values import (
    BalanceRow,
    Bucket,
    BudgetRow,
    CashRow,
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

PAGE = 1000
NEW, CANCEL, AMEND, REPLACE = (int(x) for x in (Action.NEW, Action.CANCEL, Action.AMEND, Action.REPLACE))
PUBLIC = ("/ping", "/time", "/exchangeInfo", "/depth", "/premiumIndex")
SESSION_PARAMS = ("apiKey", "signature", "timestamp", "recvWindow")  # of a frame: `sign` makes them anew
STATES = {
    "NEW": "live",
    "PENDING_NEW": "live",
    "PENDING_CANCEL": "live",
    "NEW_INSURANCE": "live",
    "NEW_ADL": "live",
    "PARTIALLY_FILLED": "partial",
    "FILLED": "filled",
    "CANCELED": "canceled",
    "EXPIRED": "expired",
    "EXPIRED_IN_MATCH": "expired",
    "REJECTED": "rejected",
}
# A WebSocket method and the REST request that says the same, below the product's prefix.
FRAMES = {
    "order.place": ("POST", "/order"),
    "order.cancel": ("DELETE", "/order"),
    "order.modify": ("PUT", "/order"),
    "order.amend.keepPriority": ("PUT", "/order/amend/keepPriority"),
    "order.cancelReplace": ("POST", "/order/cancelReplace"),
    "algoOrder.place": ("POST", "/algoOrder"),
    "algoOrder.cancel": ("DELETE", "/algoOrder"),
}
# What a USD-M income is; None: a trade tells it already. Others are told in the venue's word.
INCOMES: dict[str, str | None] = {
    "TRANSFER": "transfer",
    "INTERNAL_TRANSFER": "transfer",
    "CROSS_COLLATERAL_TRANSFER": "transfer",
    "COIN_SWAP_DEPOSIT": "deposit",
    "COIN_SWAP_WITHDRAW": "withdraw",
    "FUNDING_FEE": "funding",
    "INSURANCE_CLEAR": "liquidation",
    "COMMISSION_REBATE": "rebate",
    "API_REBATE": "rebate",
    "REFERRAL_KICKBACK": "rebate",
    "REALIZED_PNL": None,
    "COMMISSION": None,
}
BAN = re.compile(r"until (\d{13})\b")
WINDOWS = {"1m": 60 * SECOND, "10s": 10 * SECOND, "1d": 86_400 * SECOND, "1h": 3600 * SECOND}


def error_of(reply: Reply) -> tuple[int, str]:
    """(code, text) of an answer; code 0 where it is no error object, and then the text is the answer
    itself."""
    try:
        body = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return 0, reply.body[:200].decode("utf-8", "replace").strip()
    if not isinstance(body, dict) or "code" not in body:
        return 0, ""
    code = body["code"]
    if isinstance(code, str) and code.isascii() and code.isdigit():  # the algo service says "200"
        code = int(code[:9])
    code = code if isinstance(code, int) and not isinstance(code, bool) else 0
    is_done = reply.status == 200 and code == 200
    return 0 if is_done else code, str(body.get("msg", ""))[:200]


class Rest:
    """`values.Rest` for one Binance market. `key` None: nothing can be signed (ValueError).

    Conditional orders of USD-M are a namespace of their own: `order` and `cancel` take `is_algo` for those
    (on spot it changes nothing), and `open_orders` and `cancel_all` ask both.
    """

    def __init__(self, market: int, key: Key | None = None, window_ms: int = 1500):
        self.market, self.key, self.window_ms = market, key, window_ms
        self.is_spot = market == BINANCE_SPOT
        self.base = PRODUCTS[market].rest

    # ---- writing ----

    def sign(self, request: Request, stamp_ms: int) -> Request:
        """With stamp and signature; the key alone where that is enough (listen keys), nothing on public
        paths."""
        path, _, query = request.target.partition("?")
        if path.endswith(PUBLIC):
            return request
        if self.key is None:
            raise ValueError("no key to sign with")
        headers = tuple(x for x in request.headers if x[0].upper() != "X-MBX-APIKEY")
        headers += (("X-MBX-APIKEY", self.key.api_key),)
        if path.endswith("/listenKey"):
            return replace(request, headers=headers)
        payload = (f"{query}&" if query else "") + f"recvWindow={self.window_ms}&timestamp={stamp_ms}"
        proof = quote(self.key.ed25519(payload), safe="") if self.key.is_ed25519 else self.key.hex(payload)
        return replace(request, target=f"{path}?{payload}&signature={proof}", headers=headers)

    def _get(self, path: str, **params: object) -> Request:
        return self._ask("GET", self.base + path, params.items())

    def _ask(self, method: str, path: str, params: Iterable[tuple[str, object]]) -> Request:
        query = urlencode([(k, v) for k, v in params if v not in ("", None)])
        return Request(method, f"{path}?{query}" if query else path)

    def time(self) -> Request:
        return self._get("/time")

    def read_time(self, reply: Reply) -> int:
        return time_ns(self._object(reply, "time"), "serverTime")

    # ---- orders ----

    def order(
        self, symbol: str, client_id: str = "", venue_id: str = "", *, is_algo: bool = False
    ) -> Request:
        """One order, by the venue's id where it is known, else by ours."""
        if not client_id and not venue_id:
            raise ValueError("order: needs a client id or a venue id")
        if is_algo and not self.is_spot:
            return self._get(
                "/algoOrder", **({"algoId": venue_id} if venue_id else {"clientAlgoId": client_id})
            )
        names = {"orderId": venue_id} if venue_id else {"origClientOrderId": client_id}
        return self._get("/order", symbol=symbol, **names)

    def read_order(self, reply: Reply) -> OrderRow | None:
        """None for -2013: not to be found (now). An archived order (-2026, spot) is a RestError of group
        NOT_OPEN."""
        if reply.status < 500 and error_of(reply)[0] == ORDER_NOT_FOUND:
            return None
        return self._order_row(self._object(reply, "order"))

    def open_orders(self, symbol: str = "") -> list[Request]:
        plain = self._get("/openOrders", symbol=symbol)
        return [plain] if self.is_spot else [plain, self._get("/openAlgoOrders", symbol=symbol)]

    def read_open_orders(self, reply: Reply) -> tuple[list[OrderRow], Request | None]:
        return self._rows(reply, "open orders", self._order_row), None

    def cancel(self, symbol: str, client_id: str, *, is_algo: bool = False) -> Request:
        if is_algo and not self.is_spot:
            return self._ask("DELETE", self.base + "/algoOrder", [("clientAlgoId", client_id)])
        return self._ask(
            "DELETE", self.base + "/order", [("symbol", symbol), ("origClientOrderId", client_id)]
        )

    def cancel_all(self, symbol: str) -> list[Request]:
        """Foreign orders too: an operator's tool."""
        paths = ["/openOrders"] if self.is_spot else ["/allOpenOrders", "/algoOpenOrders"]
        return [self._ask("DELETE", self.base + x, [("symbol", symbol)]) for x in paths]

    def from_frame(self, frame: bytes) -> Request:
        """The request that says the same as an order-entry frame. ValueError where it is none of those."""
        message = orjson.loads(frame)
        params = message.get("params") if isinstance(message, dict) else None
        found = (
            FRAMES.get(str(message["method"])) if isinstance(params, dict) and "method" in message else None
        )
        if found is None or not isinstance(params, dict):
            raise ValueError("not an order-entry frame")
        kept = [(k, v) for k, v in params.items() if k not in SESSION_PARAMS]
        return self._ask(found[0], self.base + found[1], kept)

    def _order_row(self, x: Any) -> OrderRow:
        if not isinstance(x, dict):
            raise ValueError(f"order: {str(x)[:40]!r} is not an object")
        if "algoId" in x:
            return algo_order(self.market, x)
        state, kind = text(x, "status"), text(x, "origType" if "origType" in x else "type")
        row = OrderRow(
            market=self.market,
            symbol=text(x, "symbol"),
            client_id=text(x, "clientOrderId", empty=True),
            venue_id=_id(x, "orderId"),
            side=_side(x, "side"),
            kind="stop_market" if kind == "STOP_LOSS" else KINDS.get(kind, kind.lower()),
            price=number(x, "price"),
            size=less(
                number(x, "origQty"), number(x, "preventedQuantity") if "preventedQuantity" in x else "0"
            ),
            filled=number(x, "executedQty"),
            state=STATES.get(state, f"odd:{state}"),
            reduce_only=x.get("reduceOnly") is True,
            trigger=number(x, "stopPrice") if "stopPrice" in x else "0",
            updated_ns=time_ns(x, "updateTime", "transactTime", "time"),
            reason=str(x.get("expiryReason", "")),
            leg=leg_of(x),
        )
        waits = x.get("isWorking") is False and row.state == "live" and row.trigger.strip("0.") != ""
        return replace(row, state="untriggered") if waits else row

    # ---- trades ----

    def trades(self, symbol: str, since_ns: int) -> Request:
        """Trades from this time on, oldest first. The venue looks no further than 24 h (spot) or 7 days
        (USD-M) ahead of it: whoever has been away longer asks `trades_from` the last id it knows."""
        return self._trades(symbol=symbol, startTime=since_ns // MS, limit=PAGE)

    def trades_from(self, symbol: str, trade_id: int) -> Request:
        """Trades from this id on: nothing can be missing."""
        return self._trades(symbol=symbol, fromId=trade_id, limit=PAGE)

    def _trades(self, **params: object) -> Request:
        return self._get("/myTrades" if self.is_spot else "/userTrades", **params)

    def read_trades(self, reply: Reply) -> tuple[list[TradeRow], Request | None]:
        rows = self._rows(reply, "trades", self._trade_row)
        if len(rows) < PAGE:
            return rows, None
        return rows, self.trades_from(rows[-1].symbol, max(x.trade_lo for x in rows) + 1)

    def _trade_row(self, x: Any) -> TradeRow:
        maker, buyer = ("isMaker", "isBuyer") if self.is_spot else ("maker", "buyer")
        is_buyer = _flag(x, buyer)
        if "side" in x and (_side(x, "side") == int(Side.BUY)) != is_buyer:
            raise ValueError(f"side: {x['side']!r} and {buyer}: {is_buyer} do not agree")
        client_id = str(x.get("clientOrderId", ""))
        return TradeRow(
            market=self.market,
            symbol=text(x, "symbol"),
            client_id=client_id,
            venue_id=_id(x, "orderId"),
            trade_hi=0,
            trade_lo=int(_id(x, "id")),
            side=int(Side.BUY if is_buyer else Side.SELL),
            price=number(x, "price"),
            size=number(x, "qty"),
            fee=number(x, "commission"),
            fee_coin=text(x, "commissionAsset", empty=True),
            is_maker=_flag(x, maker),
            event_ns=time_ns(x, "time"),
            nature=client_nature(client_id),
            leg=leg_of(x),
        )

    # ---- money ----

    def positions(self) -> list[Request]:
        return [] if self.is_spot else [Request("GET", "/fapi/v3/positionRisk")]

    def read_positions(self, reply: Reply) -> tuple[list[PositionRow], Request | None]:
        """Symbols without a position and without open orders are not in it."""
        return self._rows(reply, "positions", self._position_row), None

    def _position_row(self, x: Any) -> PositionRow:
        leg = LEGS.get(text(x, "positionSide"))
        if leg is None:
            raise ValueError(f"positionSide: {x['positionSide']!r} is none")
        return PositionRow(
            self.market,
            text(x, "symbol"),
            number(x, "positionAmt"),
            leg,
            entry=number(x, "entryPrice"),
            leverage=str(x.get("leverage", "")),
            margin_mode=str(x.get("marginType", "")).lower(),
            event_ns=time_ns(x, "updateTime"),
        )

    def balances(self) -> Request:
        return self._get("/account") if self.is_spot else Request("GET", "/fapi/v3/balance")

    def read_balances(self, reply: Reply) -> list[BalanceRow]:
        if not self.is_spot:
            return self._rows(reply, "balances", self._wallet_row)
        body = self._object(reply, "balances")
        rows, at = body.get("balances"), time_ns(body, "updateTime")
        if not isinstance(rows, list):
            raise ValueError("balances: not a list")
        return [self._balance_row(x, at) for x in rows]

    def _balance_row(self, x: Any, at: int) -> BalanceRow:
        free = number(x, "free")
        return BalanceRow(self.market, text(x, "asset"), total(free, number(x, "locked")), free, at)

    def _wallet_row(self, x: Any) -> BalanceRow:
        free = number(x, "availableBalance")
        return BalanceRow(self.market, text(x, "asset"), number(x, "balance"), free, time_ns(x, "updateTime"))

    def cash(self, since_ns: int) -> list[Request]:
        """USD-M: funding, transfers and the like. Spot has no such list here: `balanceUpdate` tells."""
        if self.is_spot:
            return []
        return [self._get("/income", startTime=since_ns // MS, limit=PAGE)]

    def read_cash(self, reply: Reply) -> tuple[list[CashRow], Request | None]:
        """Rows of the last millisecond come again on the next page: their `key` says so."""
        rows = self._rows(reply, "income", lambda x: x)
        out = [self._cash_row(x) for x in rows if INCOMES.get(text(x, "incomeType"), "") is not None]
        if len(rows) < PAGE:
            return out, None
        times = [time_ns(x, "time") for x in rows]
        start = max(times) // MS + (max(times) == min(times))
        return out, self._get("/income", startTime=start, limit=PAGE)

    def _cash_row(self, x: Any) -> CashRow:
        word, symbol = text(x, "incomeType"), text(x, "symbol", empty=True)
        return CashRow(
            self.market,
            text(x, "asset"),
            INCOMES.get(word) or word.lower(),
            number(x, "income"),
            symbol,
            f"{word}:{x.get('tranId', '')}:{symbol}",
            time_ns(x, "time"),
        )

    # ---- key and modes ----

    def key_info(self) -> list[Request]:
        return [self._get("/account" if self.is_spot else "/accountConfig")]

    def read_key_info(self, reply: Reply) -> KeyRow:
        """`canWithdraw` in these answers is the account's, so what the key may withdraw stays open."""
        body = self._object(reply, "account")
        hedge = body.get("dualSidePosition")
        return KeyRow(
            can_trade=_flag(body, "canTrade"),
            hedge=hedge if isinstance(hedge, bool) else None,
            account=str(body.get("uid", "")),
        )

    def modes(self, symbols: Iterable[str] = ()) -> list[Request]:
        """USD-M: leverage and margin type of each symbol, and the account's position mode."""
        return [] if self.is_spot else [self._get("/symbolConfig"), self._get("/positionSide/dual")]

    def read_modes(self, reply: Reply) -> list[ModeRow]:
        body = self._body(reply, "modes")
        if isinstance(body, dict):
            return [ModeRow(self.market, hedge=_flag(body, "dualSidePosition"))]
        return self._rows(reply, "modes", self._mode_row)

    def _mode_row(self, x: Any) -> ModeRow:
        margin = {"CROSSED": "cross", "ISOLATED": "isolated"}.get(
            text(x, "marginType"), text(x, "marginType")
        )
        return ModeRow(self.market, text(x, "symbol"), leverage=_id(x, "leverage"), margin_mode=margin)

    def brackets(self) -> list[Request]:
        """USD-M leverage brackets of all symbols."""
        return [] if self.is_spot else [self._get("/leverageBracket")]

    def read_max_leverage(self, reply: Reply) -> dict[str, str]:
        """Highest leverage of each symbol, in its lowest bracket."""
        rows = self._rows(reply, "brackets", lambda x: (text(x, "symbol"), x["brackets"]))
        return {symbol: str(max(int(_id(b, "initialLeverage")) for b in some)) for symbol, some in rows}

    # ---- what answers prove ----

    def read_said(self, request: Request, reply: Reply) -> Said:
        """Answer to a cancel, a cancel-all or a request of `from_frame`. Of a replace it is the new order's;
        `row` then is the old one (see `read_replace` for both)."""
        action = _action(request)
        if action == REPLACE:
            old, new = self.read_replace(reply)
            return replace(new, row=old.row, until_ns=self._until(request, reply))
        code, words = error_of(reply)
        fate, group = verdict(self.market, action, reply.status, code, words)
        until_ns = self._until(request, reply) if group == LIMIT else 0
        if fate != ACCEPTED:
            return Said(fate, group, code, self._hide(words), until_ns=until_ns)
        body = self._parsed(reply)
        is_list = "all" in request.target.lower() or "openorders" in request.target.lower()
        if is_list and isinstance(body, list | dict):
            return Said(fate, group)
        return self._accepted(action, body)

    def _accepted(self, action: int, body: object) -> Said:
        """An answer that says yes: to what? One that does not say is no proof."""
        order = body.get("amendedOrder", body) if isinstance(body, dict) else None
        if not isinstance(order, dict) or ("orderId" not in order and "algoId" not in order):
            return Said(int(UNCERTAIN), UNKNOWN, text="an answer that names no order")
        venue_id = str(order.get("orderId", order.get("algoId")))
        is_row = "status" in order and not (action == NEW and order["status"] == "NEW")
        if not is_row:
            return Said(int(ACCEPTED), venue_id=venue_id)
        return Said(int(ACCEPTED), venue_id=venue_id, row=self._answer_row(action, body, order))

    def _answer_row(self, action: int, body: Any, order: dict) -> OrderRow | None:
        """The order as the answer shows it; None where it cannot be understood: the fate is known all the
        same."""
        if self.is_spot and action in (CANCEL, REPLACE):  # `clientOrderId` is the cancel's there
            order = order | {"clientOrderId": order.get("origClientOrderId", "")}
        if "qty" in order:
            order = {"origQty": order["qty"], "transactTime": body.get("transactTime"), **order}
        try:
            return self._order_row(order)
        except (ValueError, TypeError, KeyError):
            return None

    def read_replace(self, reply: Reply) -> tuple[Said, Said]:
        """order.cancelReplace: what became of the order to cancel, and of the new one. 200, 400 (-2022), 409
        (-2021) and 429 can all carry the two legs."""
        code, words = error_of(reply)
        body = self._parsed(reply)
        legs = body.get("data", body) if isinstance(body, dict) else {}
        legs = legs if isinstance(legs, dict) else {}
        old = self._leg(legs, "cancel", CANCEL, reply.status, code, words)
        return old, self._leg(legs, "newOrder", NEW, reply.status, code, words)

    def _leg(self, legs: dict, name: str, action: int, status: int, code: int, words: str) -> Said:
        result, answer = legs.get(f"{name}Result"), legs.get(f"{name}Response")
        answer = answer if isinstance(answer, dict) else {}
        if result is None:
            fate, group = verdict(self.market, action, status, code, words)
            if fate == ACCEPTED:
                return Said(int(UNCERTAIN), UNKNOWN, text="an answer without this leg")
            return Said(fate, group, code, self._hide(words))
        if result == "SUCCESS":
            row = self._answer_row(REPLACE, answer, answer) if action == CANCEL and answer else None
            return Said(int(ACCEPTED), venue_id=str(answer.get("orderId", "")), row=row)
        if result == "NOT_ATTEMPTED":
            return Said(int(REFUSED), OTHER, code, self._hide(words))
        inner = answer.get("code", 0)
        inner = inner if isinstance(inner, int) and not isinstance(inner, bool) else 0
        if result != "FAILURE":
            return Said(int(UNCERTAIN), UNKNOWN, inner, f"unknown result {str(result)[:20]!r}")
        fate, group = verdict(self.market, action, 400, inner, str(answer.get("msg", "")))
        return Said(fate, group, inner, self._hide(str(answer.get("msg", ""))))

    def buckets(self, request: Request) -> tuple[Bucket, ...]:
        """Answers count for themselves."""
        return ()

    def budgets(self, request: Request, reply: Reply) -> list[BudgetRow]:
        """`X-MBX-USED-WEIGHT-1M`, `X-MBX-ORDER-COUNT-10S`..., and how long to wait after a 429 or 418."""
        known = {(x.kind, x.interval_ns): x.limit for x in BUDGETS[self.market]}
        out = []
        for name, value in reply.headers.items():
            head, _, tail = name.lower().rpartition("-")
            kind = {"x-mbx-used-weight": WEIGHT, "x-mbx-order-count": ORDERS}.get(head)
            window = WINDOWS.get(tail)
            if kind is not None and window and value.isascii() and value.isdigit():
                out.append(BudgetRow(kind, window, int(value[:18]), known.get((kind, window), -1)))
        until_ns = self._until(request, reply)
        if until_ns:
            kind = ORDERS if error_of(reply)[0] == -1015 else WEIGHT
            out.append(BudgetRow(kind, until_ns=until_ns))
        return out

    def retention_ns(self) -> int:
        return RETENTION_NS[self.market]

    def _until(self, request: Request, reply: Reply) -> int:
        """Until when a 429 or 418 bars us, on the venue's clock; 0 for other answers. The text of a ban
        names the time; `Retry-After` counts from the answer (`Date`, whole seconds) or, failing that, from
        our own stamp."""
        if reply.status not in (418, 429):
            return 0
        ban = BAN.search(error_of(reply)[1])
        wait = reply.headers.get("retry-after", "")
        wait_s = int(wait[:9]) if wait.isascii() and wait.isdigit() else 60
        date = parsedate(reply.headers.get("date", ""))
        stamp = dict(parse_qsl(request.target.partition("?")[2])).get("timestamp", "")
        start_s = timegm(date) if date else int(stamp[:10]) if stamp.isdigit() and len(stamp) == 13 else 0
        waited_ns = (start_s + wait_s + 1) * SECOND if start_s else 0
        return max(int(ban[1]) * MS if ban else 0, waited_ns)

    # ---- reading ----

    def _hide(self, words: str) -> str:
        return self.key.hide(words) if self.key else words

    def _parsed(self, reply: Reply) -> object:
        """The body, None where it is not JSON."""
        try:
            return orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            return None

    def _body(self, reply: Reply, what: str) -> object:
        """The body of an answer that says yes; RestError where it says no, ValueError where it says
        nothing."""
        code, words = error_of(reply)
        if reply.status != 200 or code:
            fate, group = verdict(self.market, NEW, reply.status, code, words)
            if code in (-2011, -2013, -2026):
                fate, group = verdict(self.market, CANCEL, reply.status, code, words)
            raise RestError(what, Said(fate, group, code, self._hide(words)))
        body = self._parsed(reply)
        if body is None:
            raise ValueError(f"{what}: not JSON")
        return body

    def _object(self, reply: Reply, what: str) -> dict:
        body = self._body(reply, what)
        if not isinstance(body, dict):
            raise ValueError(f"{what}: not an object")
        return body

    def _rows(self, reply: Reply, what: str, one: Callable[[Any], Any]) -> list[Any]:
        """A list of objects, each read by `one`. ValueError where it is none: never an empty list instead."""
        body = self._body(reply, what)
        if not isinstance(body, list) or not all(isinstance(x, dict) for x in body):
            raise ValueError(f"{what}: not a list of objects")
        try:
            return [one(x) for x in body]
        except (KeyError, TypeError) as error:
            raise ValueError(f"{what}: malformed at {error}") from None


def _action(request: Request) -> int:
    """records.Action of a request that changes orders."""
    if request.method == "DELETE":
        return CANCEL
    if request.method == "PUT":
        return AMEND
    return REPLACE if "/cancelReplace" in request.target else NEW


def _id(x: dict, field: str) -> str:
    value = x.get(field)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{field}: {value!r} is not a number")
    return str(value)


def _side(x: dict, field: str) -> int:
    if x.get(field) not in ("BUY", "SELL"):
        raise ValueError(f"{field}: {x.get(field)!r} is no side")
    return int(Side.BUY if x[field] == "BUY" else Side.SELL)


def _flag(x: dict, field: str) -> bool:
    value = x.get(field)
    if not isinstance(value, bool):
        raise ValueError(f"{field}: {value!r} is not true or false")
    return value

"""One market of a venue as the guard asks it: through ccxt, by REST, with the guard's own credentials.

ccxt is the second opinion here: nothing of what the node says to a venue, or of how it signs, is used. Its
rate limiter keeps the guard inside the venue's limits. Whatever it raises, for whatever the venue answered,
comes out as `Refused`, with what that proves.
"""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import product
from typing import Any

import ccxt.async_support as ccxt

from node.slow.guard import Held, OpenOrder, Step, Trouble

TIMEOUT_MS = 4_000
WINDOW_MS = 5_000  # how long the venue may take a request: also what an exit without an answer is waited for
AT_ONCE = 5  # single cancels under way at a time
PAGES_MAX = 40
BY_SYMBOL = 10  # with more symbols one list of the whole market costs less time
HOST = re.compile(r"^https?://[^/]+")
# What ccxt and Python make of an answer that is not what it should be.
ODD = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
SURE = (
    ccxt.AuthenticationError,
    ccxt.BadRequest,
    ccxt.BadSymbol,
    ccxt.InsufficientFunds,
    ccxt.InvalidNonce,
    ccxt.InvalidOrder,
    ccxt.RateLimitExceeded,
)


@dataclass(frozen=True)
class Space:
    """One of a venue's lists of open orders: what ccxt is given to list and to cancel in it."""

    name: str
    listed: dict[str, Any]
    cancelled: dict[str, Any] = field(default_factory=dict)
    batch: bool = False
    page: int = 0  # rows of a page; 0 = the list comes whole


@dataclass(frozen=True)
class Trade:
    """How a market is reached through ccxt."""

    kind: str  # class of ccxt
    options: dict[str, Any]
    spaces: tuple[Space, ...]
    is_perpetual: bool
    positions: tuple[dict[str, Any], ...] = ({},)
    limit: dict[str, Any] = field(default_factory=dict)  # of requests, where ccxt's own is needlessly slow
    is_dear: bool = False  # a list of the whole market costs much more than one of a symbol


TRIGGER = {"trigger": True}
BINANCE = {"rateLimit": 25}  # ms for a weight of 1: 2,400 a minute, what the futures allow; spot allows 6,000
SETTLED = ("USDT", "USDC")
TRADES = {
    "binance-spot": Trade(
        "binance",
        {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}},
        (Space("", {}),),
        False,
        limit=BINANCE,
        is_dear=True,
    ),
    "binance-usdm": Trade(
        "binance",
        {"defaultType": "swap", "defaultSubType": "linear", "fetchMarkets": {"types": ["linear"]}},
        (Space("", {}, batch=True), Space("algo", TRIGGER, TRIGGER)),
        True,
        limit=BINANCE,
        is_dear=True,
    ),
    "bybit-spot": Trade(
        "bybit",
        {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}},
        tuple(
            Space(x, {"orderFilter": x}, {"orderFilter": x}, page=50, batch=x == "Order")
            for x in ("Order", "StopOrder", "tpslOrder")
        ),
        False,
    ),
    "bybit-linear": Trade(
        "bybit",
        {"defaultType": "swap", "defaultSubType": "linear", "fetchMarkets": {"types": ["linear"]}},
        tuple(Space(x, {"settleCoin": x}, page=50, batch=True) for x in SETTLED),
        True,
        tuple({"settleCoin": x} for x in SETTLED),
    ),
    "okx": Trade(
        "okx",
        {"fetchMarkets": {"types": ["spot", "swap"]}},
        (
            Space("", {}, batch=True, page=100),
            *(
                Space(x, {"trigger": True, "ordType": x}, TRIGGER, batch=True, page=100)
                for x in ("conditional", "oco", "trigger", "move_order_stop")
            ),
        ),
        True,
    ),
}


class Refused(Exception):
    """A request did not work; `trouble` says what that proves."""

    def __init__(self, trouble: Trouble):
        super().__init__(trouble.text)
        self.trouble = trouble


class Exchange:
    """`await open()` until it works, then the four steps of a `guard.Case`; `await close()` at the end.

    `rest` is the address of the config, `symbols` are the venue's own names of what is traded, `credentials`
    what `node.credentials.read_parts` gives.
    """

    def __init__(self, market: str, rest: str, symbols: Iterable[str], credentials: dict[str, str]):
        self.market, self.trade, self.symbols = market, TRADES[market], list(symbols)
        self._api = getattr(ccxt, self.trade.kind)(
            {
                "apiKey": credentials["api_key"],
                "secret": credentials["private_key"] or credentials["secret"],
                "password": credentials["passphrase"],
                "timeout": TIMEOUT_MS,
                "enableRateLimit": True,
                **self.trade.limit,
                "options": {
                    "recvWindow": WINDOW_MS,
                    "adjustForTimeDifference": True,
                    "warnOnFetchOpenOrdersWithoutSymbol": False,
                    **self.trade.options,
                },
            }
        )
        self._api.has["fetchCurrencies"] = False  # one request and one right less
        self._api.options["fetchOpenOrders"] = {
            **self._api.options.get("fetchOpenOrders", {}),
            "warnWithoutSymbol": False,
        }
        self._api.urls["api"] = _pointed(self._api.urls["api"], rest.rstrip("/"))
        self._hidden = [x for x in credentials.values() if len(x) > 3]

    async def open(self) -> None:
        """Markets and the venue's clock. Raises Refused."""
        await self._ask(self._api.load_markets())

    async def close(self) -> None:
        await self._api.close()

    def held(self) -> frozenset[str]:
        """ccxt's names of what is traded here and can be held as a position."""
        return frozenset(row["symbol"] for row in self._rows() if row["swap"])

    def _rows(self) -> list[dict[str, Any]]:
        """ccxt's rows of what is traded; what the venue does not list is not among them."""
        is_wanted = "spot" if not self.trade.is_perpetual else "active"
        return [
            row
            for x in self.symbols
            for row in self._api.markets_by_id.get(x, [])
            if row[is_wanted] is not False
        ]

    async def _ask(self, call: Any) -> Any:
        """The answer. Raises Refused for everything that a venue, a network or ccxt can do instead."""
        try:
            return await call
        except (ccxt.RateLimitExceeded, ccxt.DDoSProtection) as error:
            raise Refused(Trouble(self._text(error), True, True, self._wait_ns())) from None
        except ccxt.InvalidNonce as error:
            self._api.options["timeDifference"] = 0
            await self._set_clock()
            raise Refused(Trouble(self._text(error), is_sure=True)) from None
        except ccxt.BaseError as error:
            raise Refused(Trouble(self._text(error), is_sure=isinstance(error, SURE))) from None
        except (OSError, TimeoutError, *ODD) as error:
            raise Refused(Trouble(self._text(error))) from None

    async def _set_clock(self) -> None:
        try:
            await self._api.load_time_difference()
        except (ccxt.BaseError, OSError, TimeoutError, *ODD):
            return  # the next refusal asks again

    def _text(self, error: BaseException) -> str:
        """One line, without anything that proves who we are."""
        text = " ".join(f"{type(error).__name__}: {error}".split())
        for word in self._hidden:
            text = text.replace(word, "***")
        return re.sub(r"signature=[^&\s]+", "signature=***", text)[:300]

    def _wait_ns(self) -> int:
        headers = {str(k).lower(): str(v) for k, v in (self._api.last_response_headers or {}).items()}
        wait = headers.get("retry-after", "")
        return int(wait[:6]) * 10**9 if wait.isascii() and wait.isdigit() else 0

    # ---- open orders ----

    async def orders(self, *, whole: bool = True) -> list[OpenOrder]:
        """Everything that is open on this market, from all of the venue's lists; where a list of the whole
        market is dear (Binance: 40 times as much) and not `whole`, of what is traded. Raises Refused."""
        names = [None] if whole or not self.trade.is_dear else [x["symbol"] for x in self._rows()]
        found: dict[tuple[str, str], OpenOrder] = {}
        for space, name in product(self.trade.spaces, names if len(names) <= BY_SYMBOL else [None]):
            for row in await self._listed(space, name):
                order = self._order(space, row)
                found[order.symbol, order.order_id] = order
        return list(found.values())

    async def _listed(self, space: Space, symbol: str | None) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        after: dict[str, Any] = {}
        for _ in range(PAGES_MAX):
            limit = space.page or None
            page = await self._ask(
                self._api.fetch_open_orders(symbol, None, limit, {**space.listed, **after})
            )
            if not isinstance(page, list):
                raise Refused(Trouble(f"a list of orders that is none: {str(page)[:80]}"))
            rows += page
            after = self._after(page)
            if not space.page or len(page) < space.page or not after:
                return rows
        return rows  # what is cancelled of these makes room for the rest

    def _after(self, page: list[dict[str, Any]]) -> dict[str, Any]:
        """What asks for the page behind this one."""
        if self.trade.kind == "okx":
            return {"after": page[-1]["id"]} if page else {}
        cursor = next((x["info"]["nextPageCursor"] for x in page if x["info"].get("nextPageCursor")), "")
        return {"cursor": cursor} if cursor else {}

    def _order(self, space: Space, row: dict[str, Any]) -> OpenOrder:
        try:
            is_stop = bool(row.get("triggerPrice") or row.get("stopLossPrice"))
            info = row["info"]
            client_id = row.get("clientOrderId") or info.get("algoClOrdId") or info.get("clientAlgoId") or ""
            return OpenOrder(
                str(row["id"]),
                str(client_id),
                str(row["symbol"]),
                space.name,
                is_stop and (str(row.get("reduceOnly")).lower() == "true" or _closes_leg(row)),
            )
        except ODD as error:
            raise Refused(Trouble(self._text(error))) from None

    async def cancel(self, step: Step) -> None:
        """Ask for these orders to be cancelled, all of one symbol and one list. Raises Refused where that
        did not work for any of them."""
        space = next(x for x in self.trade.spaces if x.name == step.orders[0].space)
        symbol, ids = step.orders[0].symbol, [x.order_id for x in step.orders]
        if space.batch and not step.single and len(ids) > 1:
            await self._ask(self._api.cancel_orders(ids, symbol, dict(space.cancelled)))
            return
        free = asyncio.Semaphore(AT_ONCE)
        answers = await asyncio.gather(*(self._cancel_one(free, x, symbol, space) for x in ids))
        troubles = [x for x in answers if x is not None]
        if any(x.is_limit for x in troubles) or len(troubles) == len(ids):
            raise Refused(max(troubles, key=lambda x: (x.is_limit, x.wait_ns)))

    async def _cancel_one(
        self, free: asyncio.Semaphore, order_id: str, symbol: str, space: Space
    ) -> Trouble | None:
        async with free:
            try:
                await self._ask(self._cancelled(order_id, symbol, space))
            except Refused as error:
                return error.trouble
        return None

    async def _cancelled(self, order_id: str, symbol: str, space: Space) -> None:
        try:
            await self._api.cancel_order(order_id, symbol, dict(space.cancelled))
        except ccxt.OrderNotFound:
            return  # gone already; the next list says so or not

    # ---- positions ----

    async def positions(self) -> list[Held]:
        """Every position of this market. Raises Refused."""
        rows: list[dict[str, Any]] = []
        for params in self.trade.positions:
            rows += await self._ask(self._api.fetch_positions(None, dict(params)))
        try:
            return [_held(x) for x in rows if Decimal(str(x["contracts"] or 0))]
        except ODD as error:
            raise Refused(Trouble(self._text(error))) from None

    async def exit(self, held: Held, slippage_bps: int, client_id: str) -> Decimal | None:
        """Close one position: a reduce-only limit order that ends at once, at most so far from the best price
        of the other side. Returns what filled, None where the venue does not say. Raises Refused."""
        book = await self._before(self._api.fetch_order_book(held.symbol, 5))
        try:
            price = self._bound(book, held, slippage_bps)
            amount = min(held.size, self._most(held.symbol))
        except ODD as error:
            raise Refused(Trouble(f"book of {held.symbol}: {self._text(error)}", is_sure=True)) from None
        order = await self._ask(
            self._api.create_order(
                held.symbol,
                "limit",
                "sell" if held.is_long else "buy",
                float(amount),
                float(price),
                {"timeInForce": "IOC", "clientOrderId": client_id, **self._closing(held)},
            )
        )
        filled = order.get("filled") if isinstance(order, dict) else None
        return None if filled is None else Decimal(str(filled))

    async def _before(self, call: Any) -> Any:
        """What is asked before anything is sent: trouble with it proves that nothing was."""
        try:
            return await self._ask(call)
        except Refused as error:
            at = error.trouble
            raise Refused(Trouble(at.text, at.is_limit, True, at.wait_ns)) from None

    def _bound(self, book: dict[str, Any], held: Held, slippage_bps: int) -> Decimal:
        """The worst price, on the grid, never past the bound."""
        tick = Decimal(str(self._api.markets[held.symbol]["precision"]["price"]))
        best = Decimal(str(book["bids" if held.is_long else "asks"][0][0]))
        away = best * slippage_bps / 10_000
        price = best - away if held.is_long else best + away
        rounding = ROUND_CEILING if held.is_long else ROUND_FLOOR
        return (price / tick).to_integral_value(rounding) * tick

    def _most(self, symbol: str) -> Decimal:
        """The largest order that the venue takes."""
        most = self._api.markets[symbol]["limits"]["amount"].get("max")
        return Decimal(str(most)) if most else Decimal("Infinity")

    def _closing(self, held: Held) -> dict[str, Any]:
        """What makes an order one that can only shrink this leg, in the venue's words."""
        if not held.leg:
            return {"reduceOnly": True, **({"tdMode": held.mode} if held.mode else {})}
        if self.trade.kind == "binance":
            return {"positionSide": held.leg.upper()}  # reduceOnly is refused beside it, and implied
        if self.trade.kind == "bybit":
            return {"reduceOnly": True, "positionIdx": 1 if held.leg == "long" else 2}
        return {"reduceOnly": True, "posSide": held.leg, **({"tdMode": held.mode} if held.mode else {})}


def _closes_leg(row: dict[str, Any]) -> bool:
    """In hedge mode Binance takes no reduceOnly: what sells a long leg, or buys a short one, closes it."""
    leg = str(row["info"].get("positionSide", "")).upper()
    return (leg, str(row.get("side")).lower()) in (("LONG", "sell"), ("SHORT", "buy"))


def _held(row: dict[str, Any]) -> Held:
    info = row["info"]
    sided = str(info.get("positionSide", info.get("posSide", "net"))).lower()
    if "positionIdx" in info:
        sided = {"1": "long", "2": "short"}.get(str(info["positionIdx"]), "net")
    leg = sided if sided in ("long", "short") else ""
    mode = str(info.get("mgnMode", ""))
    return Held(row["symbol"], row["side"] == "long", abs(Decimal(str(row["contracts"]))), leg, mode)


def _pointed(urls: Any, rest: str) -> Any:
    """Addresses of ccxt with the configured host in them; those of streams are not used."""
    if isinstance(urls, dict):
        return {k: _pointed(v, rest) for k, v in urls.items()}
    return HOST.sub(rest, urls) if isinstance(urls, str) else urls

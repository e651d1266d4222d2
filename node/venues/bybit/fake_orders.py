"""Orders as clients ask for them at the simulated Bybit: read, checked, refused with the venue's codes.

`accept` does everything that the venue does before it acknowledges: what it returns is an order that has
its id and is in no book yet. Source: bybit-exchange/docs `docs/v5/order/create-order.mdx`,
`docs/v5/rate-limit/rate-limit.mdx`, `docs/v5/error.mdx`.
"""

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from node.venues.bybit import rules
from node.venues.bybit.fake_codes import (
    DECIMAL,
    SIDES,
    SMP,
    TIF,
    TRIGGER_BY,
    Denial,
    number,
    plain,
    price_of,
    price_text,
    refused,
    size_of,
)
from node.venues.bybit.fake_private import INDEX_LEG, PrivateStreams, Ticket, settings, ticket
from node.venues.bybit.rules import LINEAR, SPOT
from node.venues.fakes import BUY, MS, SELL, Connection, FakeOrder, Listing, RateLimited
from node.venues.ledger import Account, Key, Refusal

BATCH_ITEMS = {LINEAR: 20, SPOT: 10}
EXIT_PRICES = ("takeProfit", "stopLoss", "tpLimitPrice", "slLimitPrice")
EXIT_WORDS = ("tpTriggerBy", "slTriggerBy", "tpslMode", "tpOrderType", "slOrderType")
FILTERS = ("Order", "StopOrder", "tpslOrder", "OcoOrder", "BidirectionalTpslOrder")
UNLIMITED = 10**9
MAX_PRICE = Decimal("1999999.80")  # of linear, as instruments-info says
_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,36}", re.ASCII)


@dataclass(frozen=True)
class Who:
    """Who asks; without a key where the venue is not strict."""

    account: Account
    key: Key | None = None


class OrderChecks(PrivateStreams):
    """From a request to an order, or to a code."""

    duplicate_rule = "ever"
    retention_ns = 86_400 * rules.SECOND
    limit_orders: bool | None = None

    def __init__(self, *args: Any, **more: Any):
        super().__init__(*args, **more)
        self._client_ids: set[tuple[int, int, str]] = set()

    # ---- budgets ----

    def order_limit(self, op: str, market: int) -> int:
        """Requests (items of a batch) per second."""
        if op == "amend":
            return rules.ORDER_LIMITS[(market, "order.amend")]
        return rules.ORDER_LIMITS[(market, "order.create")]

    def spend(self, who: Who, op: str, market: int, limit: int, weight: int, now_ns: int) -> dict[str, str]:
        """Use a budget of the account; the headers that tell. Raises Denial(10006)."""
        is_limited = self.limit_orders is True or (self.limit_orders is None and who.key is not None)
        name = f"{op} {rules.CATEGORY[market]}{'' if is_limited else ' unlimited'}"
        limiter = self.limiter(name, limit if is_limited else UNLIMITED, rules.SECOND, rolling=True)
        headers = {"X-Bapi-Limit": str(limit), "X-Bapi-Limit-Status": "0"}
        try:
            used = limiter.charge(who.account.uid, weight, now_ns)
        except RateLimited as limited:
            headers["X-Bapi-Limit-Reset-Timestamp"] = str((now_ns + limited.retry_after_ns) // MS)
            if limited.banned:
                raise Denial(10403, headers=headers, status=403) from None
            raise Denial(10006, headers=headers) from None
        headers["X-Bapi-Limit-Status"] = str(max(limit - used, 0))
        return headers | {"X-Bapi-Limit-Reset-Timestamp": str(now_ns // MS)}

    def room(self, who: Who, op: str, market: int, now_ns: int) -> int:
        """How many more items a budget takes now."""
        is_limited = self.limit_orders is True or (self.limit_orders is None and who.key is not None)
        limiter = self.limiters.get(f"{op} {rules.CATEGORY[market]}{'' if is_limited else ' unlimited'}")
        limit = self.order_limit(op, market) if is_limited else UNLIMITED
        return limit - (limiter.used(who.account.uid, now_ns) if limiter else 0)

    # ---- an order ----

    def accept(self, who: Who, wish: dict, connection: Connection | None, now_ns: int) -> FakeOrder:
        """Check a request for a new order, and give it its id. Raises Denial."""
        listing = self._listing(wish)
        self._check_trading(listing)
        side, mine = self._side(listing, wish), Ticket(type=self._type(listing, wish))
        tif = self._time_in_force(listing, wish)
        order = FakeOrder(listing, 0, "", side, 0, 0, tif, connection, owner=who.account.owner)
        order.notes["ticket"] = mine
        order.stp = self._smp(wish, mine)
        self._read_position(who.account, listing, wish, order)
        self._read_price(who.account, listing, wish, order)
        self._read_trigger(listing, wish, order)
        self._read_size(who.account, listing, wish, order)
        self._read_exits(listing, wish, order)
        order.client_id = self._client_id(who.account, listing, wish)
        mine.is_leverage = str(wish.get("isLeverage", 0)) if listing.market == SPOT else ""
        self._check_by_venue(order, now_ns)
        if order.client_id:
            self._client_ids.add((order.owner, listing.market, order.client_id))
        return order

    def _check_trading(self, listing: Listing) -> None:
        if listing.status in ("auction", "no_cancel"):
            raise refused(listing.status, listing.market)
        if listing.status in ("halt", "delisted"):
            raise refused("status", listing.market)

    @staticmethod
    def _side(listing: Listing, wish: dict) -> int:
        side = SIDES.get(str(wish.get("side")))
        if side is None:
            raise Denial(170117) if listing.market == SPOT else Denial(10001, "Side invalid")
        return side

    @staticmethod
    def _type(listing: Listing, wish: dict) -> str:
        kind = wish.get("orderType")
        if kind not in ("Limit", "Market"):
            raise Denial(170116) if listing.market == SPOT else Denial(10001, "OrderType invalid")
        return kind

    @staticmethod
    def _time_in_force(listing: Listing, wish: dict) -> str:
        is_spot, text = listing.market == SPOT, wish.get("timeInForce") or "GTC"
        if text == "RPI":
            raise Denial(170355 if is_spot else 110119)
        tif = TIF.get(str(text))
        if wish.get("orderType") == "Market":
            return "ioc"
        if tif is None:
            raise Denial(170115) if is_spot else Denial(10001, "Time in force invalid")
        return tif

    @staticmethod
    def _smp(wish: dict, mine: Ticket) -> str:
        """Bybit prevents only where the order asks for it."""
        mine.smp = str(wish.get("smpType") or "None")
        if mine.smp not in SMP:
            raise Denial(10001, "smpType invalid")
        return SMP[mine.smp]

    # ---- position ----

    @staticmethod
    def flag(wish: dict, name: str) -> bool:
        value = wish.get(name, False)
        if value is None or value == "":
            return False
        if not isinstance(value, bool):
            raise Denial(10001, f"Request parameter error: {name} is not a boolean")
        return value

    def _read_position(self, account: Account, listing: Listing, wish: dict, order: FakeOrder) -> None:
        if listing.market == SPOT:
            return
        index = number(wish.get("positionIdx", 0) or 0)
        if index not in ((1, 2) if account.hedge else (0,)):
            raise refused("mode", listing.market)
        order.leg = INDEX_LEG[index]
        order.reduce_only = self.flag(wish, "reduceOnly")
        if (index, order.side) in ((1, SELL), (2, BUY)):  # the other side of a leg closes it
            order.reduce_only = True
        mine = ticket(order)
        mine.close_on_trigger = self.flag(wish, "closeOnTrigger")
        order.reduce_only = order.reduce_only or mine.close_on_trigger

    # ---- price ----

    def _read_price(self, account: Account, listing: Listing, wish: dict, order: FakeOrder) -> None:
        is_market = ticket(order).type == "Market"
        if wish.get("slippageToleranceType") and wish.get("slippageToleranceType") != "UNKNOWN":
            self._read_slippage(listing, wish, order)
        elif is_market:
            order.price_ticks = 0 if listing.market == SPOT else self._protective(listing, order.side)
        elif wish.get("bboSideType") and listing.market == LINEAR:
            order.price_ticks = self._best_offer(listing, wish, order.side)
        else:
            order.price_ticks = self.price_ticks(listing, wish.get("price"))
            if not wish.get("triggerPrice"):
                self.keep_in_band(account, listing, order)

    def price_ticks(self, listing: Listing, text: object) -> int:
        """A price in a request."""
        is_spot = listing.market == SPOT
        try:
            ticks = listing.price_grid.parse(text if isinstance(text, str) else "")
        except ValueError:
            raise Denial(170134) if is_spot else Denial(110003, "price is invalid") from None
        if ticks == 0:
            raise Denial(170132) if is_spot else Denial(110003, "price is invalid")
        if not is_spot and price_of(listing, ticks) > MAX_PRICE:
            raise Denial(110003)
        if ticks % listing.tick_multiple:
            raise refused("tick", listing.market)
        return ticks

    def _protective(self, listing: Listing, side: int) -> int:
        """A market order on linear is a limit order some way off the mark price."""
        highest, lowest = self.price_limits(listing)
        return highest if side == BUY else max(lowest, 1)

    def keep_in_band(self, account: Account, listing: Listing, order: FakeOrder) -> None:
        """Too aggressive a price: refused on spot, moved to the edge on linear, unless the account chose
        otherwise."""
        highest, lowest = self.price_limits(listing)
        if not highest or (
            order.price_ticks <= highest if order.side == BUY else order.price_ticks >= lowest
        ):
            return
        edge = highest if order.side == BUY else lowest
        is_spot = listing.market == SPOT
        if settings(account).reprice.get(listing.market, not is_spot):
            order.price_ticks = edge
        elif is_spot:
            code = 170193 if order.side == BUY else 170194
            word = (
                "Buy order price cannot be higher than"
                if order.side == BUY
                else "Sell order price cannot be lower than"
            )
            raise Denial(code, f"{word} {price_text(listing, edge)}USDT.")
        else:
            raise Denial(30208 if order.side == BUY else 30209)

    def _read_slippage(self, listing: Listing, wish: dict, order: FakeOrder) -> None:
        """A market order with a limit that the client chose."""
        kind, text = wish.get("slippageToleranceType"), str(wish.get("slippageTolerance", ""))
        mine, best = ticket(order), listing.engine.best(1 - order.side)
        if mine.type != "Market" or wish.get("triggerPrice"):
            raise Denial(10001, "slippageTolerance is for market orders")
        value = Decimal(text) if DECIMAL.fullmatch(text) else Decimal(0)
        if kind == "TickSize" and not (1 <= value <= 10_000 and value == int(value)):
            raise Denial(110108)
        if kind == "Percent" and not (Decimal("0.01") <= value <= 10 and value * 100 == int(value * 100)):
            raise Denial(110109)
        if kind not in ("TickSize", "Percent"):
            raise Denial(10001, "slippageToleranceType invalid")
        if best is None:
            raise Denial(110118, "Unable to retrieve a pruce of the market order due to low liquidity")
        away = value if kind == "TickSize" else best[0] * value / 100
        mine.slippage = (kind, text)
        towards = best[0] + away if order.side == BUY else best[0] - away
        order.price_ticks = max(
            1, int(towards.to_integral_value(ROUND_FLOOR if order.side == BUY else ROUND_CEILING))
        )

    @staticmethod
    def _best_offer(listing: Listing, wish: dict, side: int) -> int:
        level = number(wish.get("bboLevel", 1))
        if wish.get("bboSideType") not in ("Queue", "Counterparty") or not 1 <= level <= 5:
            raise Denial(10001, "bbo params invalid")
        book = listing.engine.levels(side if wish["bboSideType"] == "Queue" else 1 - side, level)
        if len(book) < level:
            raise Denial(10001, "bbo price does not exist")
        return book[-1][0]

    # ---- trigger ----

    def _read_trigger(self, listing: Listing, wish: dict, order: FakeOrder) -> None:
        is_spot, mine = listing.market == SPOT, ticket(order)
        order.order_type = "market" if mine.type == "Market" and is_spot else "limit"
        mine.filter = str(wish.get("orderFilter") or "Order") if is_spot else "Order"
        if mine.filter not in FILTERS[:3]:
            raise Denial(170201)
        if not wish.get("triggerPrice"):
            if mine.filter != "Order":
                raise Denial(170202)
            return
        if is_spot and mine.filter == "Order":
            raise Denial(170130, "Data sent for paramter 'triggerPrice' is not valid.")
        order.trigger_ticks = self.price_ticks(listing, wish["triggerPrice"])
        mine.trigger_price = listing.price_grid.format(order.trigger_ticks)
        order.order_type = "stop_market" if mine.type == "Market" else "stop_limit"
        mine.stop_type = "tpslOrder" if mine.filter == "tpslOrder" else "Stop"
        mine.trigger_by = "" if is_spot else str(wish.get("triggerBy") or "LastPrice")
        if not is_spot:
            self._read_direction(listing, wish, order)
        if mine.type == "Market":
            order.price_ticks = 0

    def _read_direction(self, listing: Listing, wish: dict, order: FakeOrder) -> None:
        mine = ticket(order)
        mine.filter, direction = "StopOrder", number(wish.get("triggerDirection"))
        if mine.trigger_by not in TRIGGER_BY:
            raise Denial(10001, "TriggerBy invalid")
        if direction not in (1, 2):
            raise Denial(10001, "TriggerDirection invalid")
        order.trigger_on, order.trigger_rise = TRIGGER_BY[mine.trigger_by], direction == 1
        mine.trigger_direction = direction
        now_ticks = self.trigger_price(listing, order.trigger_on)
        texts = (
            f"trigger_price[{int(price_of(listing, order.trigger_ticks) * 10000)}]",
            int(price_of(listing, now_ticks) * 10000),
        )
        if direction == 1 and order.trigger_ticks <= now_ticks:
            raise Denial(110092, f"expect Rising, but {texts[0]} <= current[{texts[1]}]??laste")
        if direction == 2 and now_ticks and order.trigger_ticks >= now_ticks:
            raise Denial(110093, f"expect Falling, but {texts[0]} >= current[{texts[1]}]??last")

    # ---- size ----

    def _read_size(self, account: Account, listing: Listing, wish: dict, order: FakeOrder) -> None:
        is_spot, mine, text = listing.market == SPOT, ticket(order), wish.get("qty")
        if not isinstance(text, str) or not DECIMAL.fullmatch(text):
            raise Denial(10001, "Qty invalid")
        if is_spot and mine.type == "Market":
            self._read_market_size(listing, wish, order, text)
            return
        if Decimal(text) == 0 and order.reduce_only and mine.close_on_trigger:
            order.size_lots = self.closable(order)
            if not order.size_lots:
                raise refused("reduce_only", listing.market)
            return
        order.size_lots = self.size_lots(listing, text)
        most = listing.max_market_size or listing.max_size
        if mine.type == "Market" and most and size_of(listing, order.size_lots) > Decimal(most):
            raise refused("max_market_size", listing.market)

    @staticmethod
    def size_lots(listing: Listing, text: str) -> int:
        """A size in a request, in base coins."""
        is_spot = listing.market == SPOT
        try:
            lots = listing.size_grid.parse(text)
        except ValueError:
            raise Denial(170137) if is_spot else Denial(10001, "Qty invalid") from None
        if lots == 0:
            raise Denial(170136) if is_spot else Denial(10001, "The number of contracts below the minimum")
        return lots

    def _read_market_size(self, listing: Listing, wish: dict, order: FakeOrder, text: str) -> None:
        """Spot at market: a buy is in quote currency unless told otherwise, a sell in base."""
        mine, unit = ticket(order), wish.get("marketUnit")
        if unit not in (None, "", "baseCoin", "quoteCoin"):
            raise Denial(170130, "Data sent for paramter 'marketUnit' is not valid.")
        mine.market_unit = unit or ("quoteCoin" if order.side == BUY else "baseCoin")
        mine.by_value = mine.market_unit == "quoteCoin"
        if not mine.by_value:
            order.size_lots = self.size_lots(listing, text)
            return
        value = Decimal(text)
        if value < Decimal(listing.min_notional or 0) or value == 0:
            raise refused("min_notional", listing.market)
        if -int(value.as_tuple().exponent) > 8:
            raise Denial(170148)
        mine.qty, mine.budget = text, value
        order.size_lots = self.lots_for(listing, order, value)

    def lots_for(self, listing: Listing, order: FakeOrder, value: Decimal) -> int:
        """How much the book gives for `value` of quote currency; at the trigger's price for an order that
        waits."""
        lot, price_now = size_of(listing, 1), order.trigger_ticks
        levels = [(price_now, 2**50)] if price_now else listing.engine.levels(1 - order.side, 1000)
        lots = 0
        for price_ticks, size_lots in levels:
            price = price_of(listing, price_ticks)
            here = min(size_lots, int((value / price / lot).to_integral_value(ROUND_FLOOR)))
            lots, value = lots + here, value - here * lot * price
            if here < size_lots:
                break
        if lots == 0:
            raise refused("min_notional", listing.market)
        return lots

    # ---- attached exits ----

    def _read_exits(self, listing: Listing, wish: dict, order: FakeOrder) -> None:
        found = {name: str(wish[name]) for name in EXIT_PRICES if wish.get(name) not in (None, "", "0")}
        for name, text in found.items():
            found[name] = listing.price_grid.format(self.price_ticks(listing, text))
        if not found:
            return
        mine = ticket(order)
        if order.reduce_only:
            raise Denial(10001, "reduceOnly order can not set takeProfit or stopLoss")
        if listing.market == SPOT and mine.type == "Market":
            raise Denial(170130, "Data sent for paramter 'takeProfit' is not valid.")
        found |= {name: str(wish[name]) for name in EXIT_WORDS if wish.get(name)}
        is_limit = "Limit" in (found.get("tpOrderType"), found.get("slOrderType"))
        found.setdefault("tpslMode", "Partial" if is_limit else "Full")
        if is_limit and found["tpslMode"] == "Full":
            raise Denial(10001, "tpOrderType and slOrderType must be Market in Full mode")
        if listing.market == SPOT:
            found.pop("tpslMode")
        for name in ("tp", "sl"):
            if found.get("takeProfit" if name == "tp" else "stopLoss") and listing.market == LINEAR:
                found.setdefault(f"{name}TriggerBy", "LastPrice")
        base = order.price_ticks if mine.type == "Limit" else self.last_ticks(listing)
        self.check_exits(listing, found, order.side == BUY, base)
        mine.exits = found

    @staticmethod
    def check_exits(listing: Listing, exits: dict[str, str], is_long: bool, base_ticks: int) -> None:
        """A take profit is better than the price, a stop loss worse."""
        side, base = "Buy" if is_long else "Sell", plain(price_of(listing, base_ticks))
        for name, wants_higher in (("takeProfit", is_long), ("stopLoss", not is_long)):
            if name in exits and (Decimal(exits[name]) > Decimal(base)) != wants_higher:
                word, title = "higher" if wants_higher else "lower", name[0].upper() + name[1:]
                text = f"{title}:{exits[name]} set for {side} position should be {word} than"
                raise Denial(10001, f"{text} base_price:{base}??LastPrice")

    # ---- ids, and what the venue checks for all ----

    def _client_id(self, account: Account, listing: Listing, wish: dict) -> str:
        client_id = wish.get("orderLinkId")
        if client_id is None or client_id == "":
            return str(self._random.randrange(10**18, 2 * 10**18)) if listing.market == SPOT else ""
        if not isinstance(client_id, str) or not _CLIENT_ID.fullmatch(client_id):
            raise Denial(10001, "OrderLinkId invalid")
        if (account.owner, listing.market, client_id) in self._client_ids:
            raise refused("duplicate_id", listing.market)
        return client_id

    def _check_by_venue(self, order: FakeOrder, now_ns: int) -> None:
        refusal = self.check(order, now_ns)
        if refusal is not None:
            raise self.denial(refusal, order.listing)

    @staticmethod
    def denial(refusal: Refusal, listing: Listing) -> Denial:
        """The venue's code for a refusal by name."""
        if refusal.code:
            return (
                Denial(int(refusal.code))
                if refusal.code.lstrip("-").isdigit()
                else Denial(10001, refusal.code)
            )
        names = {
            "status": {"cancel_only": "cancel_only", "post_only": "post_only_phase"}.get(
                refusal.text, "status"
            ),
            "frozen": "cancel_only",
        }
        return refused(names.get(refusal.name, refusal.name), listing.market)

    def on_forgotten(self, order: FakeOrder) -> None:
        super().on_forgotten(order)
        self._client_ids.discard((order.owner, order.listing.market, order.client_id))

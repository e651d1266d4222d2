"""Market data by REST at the simulated Bybit: `/v5/market/...`, system status, announcements.

Every answer has the documented shape; what the simulation does not have (inverse contracts, options) is an
empty list. Source: bybit-exchange/docs `docs/v5/market/`.
"""

from collections.abc import Callable
from decimal import Decimal
from urllib.parse import quote, unquote

from node.venues.bybit import rules
from node.venues.bybit.fake_candles import INTERVALS
from node.venues.bybit.fake_codes import (
    Denial,
    base_of,
    number,
    plain,
    price_of,
    price_text,
    signed_number,
    size_of,
    size_text,
)
from node.venues.bybit.fake_streams import PRICE_LIMIT, PublicStreams
from node.venues.bybit.rules import LINEAR, SPOT
from node.venues.fakes import MS, Bracket, Listing

CATEGORIES = ("spot", "linear", "inverse", "option")
SPANS = {
    "5min": 300_000,
    "15min": 900_000,
    "30min": 1_800_000,
    "1h": 3_600_000,
    "4h": 14_400_000,
    "1d": 86_400_000,
}
STATUS = {
    "trading": "Trading",
    "reduce_only": "Trading",
    "post_only": "Trading",
    "auction": "PreLaunch",
    "no_cancel": "PreLaunch",
    "delisted": "Delivering",
}
PHASES = {"auction": "CallAuction", "no_cancel": "CallAuctionNoCancel"}
RISK_TIERS = 5
DAY_NS = 86_400 * rules.SECOND
LAUNCHED_MS = "1585526400000"
MAX_QTY = "1000000"  # where the listing has no limit
Query = dict[str, str]
Handler = Callable[[Query, int], dict]


class MarketRest(PublicStreams):
    """Answers that need no key."""

    def _market_routes(self) -> dict[str, Handler]:
        market = {
            "time": self._get_time,
            "instruments-info": self._get_instruments,
            "orderbook": self._get_book,
            "rpi_orderbook": self._get_rpi_book,
            "full_orderbook": self._get_full_book,
            "tickers": self._get_tickers,
            "recent-trade": self._get_trades,
            "kline": self._get_klines,
            "mark-price-kline": self._get_price_klines,
            "index-price-kline": self._get_price_klines,
            "premium-index-price-kline": self._get_premium_klines,
            "funding/history": self._get_funding,
            "open-interest": self._get_interest,
            "account-ratio": self._get_ratio,
            "risk-limit": self._get_risk_limits,
            "price-limit": self._get_price_limit,
            "insurance": self._get_insurance,
            "adlAlert": self._get_adl_alert,
            "delivery-price": self._get_nothing,
            "new-delivery-price": self._get_nothing,
            "historical-volatility": self._get_nothing,
            "fee-group-info": self._get_nothing,
            "index-price-components": self._get_components,
        }
        routes: dict[str, Handler] = {f"/v5/market/{name}": f for name, f in market.items()}
        routes["/v5/system/status"] = self._get_nothing
        routes["/v5/announcements/index"] = lambda query, now_ns: {"total": 0, "list": []}
        return routes

    # ---- what is asked ----

    def _listing(self, wish: dict) -> Listing:
        """The instrument that a request names by category and symbol."""
        market = next((m for m, name in rules.CATEGORY.items() if name == wish.get("category")), None)
        if market is None:
            raise Denial(10001, "Illegal category")
        listing = self.listings.get((market, str(wish.get("symbol"))))
        if listing is None:
            if market == SPOT:
                raise Denial(170121, "Invalid symbol.")
            raise Denial(10001, "params error: symbol invalid " + str(wish.get("symbol", ""))[:40])
        return listing

    def _market_listing(self, query: Query) -> Listing:
        """The same for market data, where the category may be left out."""
        category = query.get("category", "linear")
        if category not in CATEGORIES:
            raise Denial(10001, "Illegal category")
        market = next((m for m, name in rules.CATEGORY.items() if name == category), -1)
        listing = self.listings.get((market, query.get("symbol", "")))
        if listing is None:
            raise Denial(10001, "Not supported symbols")
        return listing

    @staticmethod
    def _limit(query: Query, largest: int, usual: int) -> int:
        limit = number(query.get("limit", "")) if query.get("limit") else usual
        if not 1 <= limit <= largest:
            raise Denial(10001, "params error: limit invalid")
        return limit

    @staticmethod
    def _times(
        query: Query, first: str = "startTime", last: str = "endTime"
    ) -> tuple[int | None, int | None]:
        out = []
        for name in (first, last):
            value = signed_number(query[name]) if query.get(name) else None
            if query.get(name) and value is None:
                raise Denial(10001, f"params error: {name} invalid")
            out.append(value)
        return out[0], out[1]

    @staticmethod
    def _page(
        rows: list, query: Query, limit: int, key: Callable[[object], str] | None = None
    ) -> tuple[list, str]:
        """One page of rows, and the cursor of the next (URL-encoded already; "" after the last). The
        cursor names the last row that was given, so that rows which come later at the top do not move the
        pages."""
        after = unquote(unquote(query.get("cursor", ""))).removeprefix("page_token=").removesuffix("&")
        name = key or (lambda row: str(rows.index(row)))
        start = 0
        if after:
            start = next((i + 1 for i, row in enumerate(rows) if name(row) == after), len(rows))
        page = rows[start : start + limit]
        more = start + limit < len(rows)
        return page, quote(f"page_token={name(page[-1])}&", safe="") if more and page else ""

    # ---- instruments ----

    def _get_time(self, query: Query, now_ns: int) -> dict:
        return {"timeSecond": str(now_ns // rules.SECOND), "timeNano": str(now_ns)}

    def _get_nothing(self, query: Query, now_ns: int) -> dict:
        head = {"category": query["category"]} if "category" in query else {}
        return head | {"list": []}

    def _get_instruments(self, query: Query, now_ns: int) -> dict:
        category = query.get("category")
        if category not in CATEGORIES:
            raise Denial(10001, "Illegal category")
        limit, status = self._limit(query, 1000, 500), query.get("status") or "Trading"
        rows = [x for x in self.listings.values() if rules.CATEGORY[x.market] == category]
        if query.get("symbol"):
            rows = [x for x in rows if x.symbol == query["symbol"]]
        elif query.get("baseCoin"):
            rows = [x for x in rows if base_of(x) == query["baseCoin"]]
        texts = [self._instrument_row(x) for x in rows]
        texts = [
            x for x in texts if x["status"] == status or (query.get("symbol") and not query.get("status"))
        ]
        if category == "spot":
            return {"category": category, "list": texts}
        page, cursor = self._page(texts, query, limit, lambda row: row["symbol"])  # type: ignore[index]
        return {"category": category, "list": page, "nextPageCursor": cursor}

    def _instrument_row(self, listing: Listing) -> dict:
        index = 1 + list(self.listings).index((listing.market, listing.symbol))
        return (_spot_row if listing.market == SPOT else _linear_row)(listing, index)

    # ---- books, tickers, trades ----

    def _get_book(self, query: Query, now_ns: int) -> dict:
        listing = self._market_listing(query)
        return self._book_rows(listing, self._limit(query, 1000, 1 if listing.market == SPOT else 25), now_ns)

    def _book_rows(self, listing: Listing, limit: int, now_ns: int) -> dict:
        self.settle(listing, now_ns)
        book = self._depth_book(listing, 1000, now_ns)
        message = self._book_message(book, "snapshot", book.sides, now_ns)
        data = message["data"]
        sides = {side: data[side][:limit] for side in "ba"}
        ids = {"ts": message["ts"], "u": data["u"], "seq": data["seq"], "cts": message["cts"]}
        return {"s": listing.symbol, **sides, **ids}

    def _get_rpi_book(self, query: Query, now_ns: int) -> dict:
        """Nobody here quotes retail price improvement: the third number of a level is nothing."""
        out = self._book_rows(self._market_listing(query), self._limit(query, 50, 50), now_ns)
        return out | {side: [[*row, "0"] for row in out[side]] for side in "ba"}

    def _get_full_book(self, query: Query, now_ns: int) -> dict:
        listing = self._market_listing(query)
        out = self._book_rows(listing, 1, now_ns)
        for name, side in (("b", 0), ("a", 1)):
            levels = listing.engine.levels(side, 10_000)
            out[name] = [[price_text(listing, p), size_text(listing, x)] for p, x in levels]
        return out

    def _get_tickers(self, query: Query, now_ns: int) -> dict:
        category, symbol = query.get("category"), query.get("symbol")
        if category not in CATEGORIES:
            raise Denial(10001, "Illegal category")
        rows = [self._market_listing(query)] if symbol else self._listed(category)
        return {"category": category, "list": [self._ticker_row(x, now_ns) for x in rows]}

    def _listed(self, category: str) -> list[Listing]:
        return [x for x in self.listings.values() if rules.CATEGORY[x.market] == category]

    def _ticker_row(self, listing: Listing, now_ns: int) -> dict:
        self.settle(listing, now_ns)
        row = self._ticker(listing, now_ns) | self._best_texts(listing)
        if listing.market == SPOT:
            return row
        empty = ["predictedDeliveryPrice", "basisRate", "deliveryFeeRate", "basis", "basisRateYear"]
        return row | dict.fromkeys(empty, "") | {"deliveryTime": str(listing.ends_ns // MS)}

    def _get_trades(self, query: Query, now_ns: int) -> dict:
        listing = self._market_listing(query)
        self.settle(listing, now_ns)
        largest, usual = (60, 60) if listing.market == SPOT else (1000, 500)
        rows = list(self.tape(listing).recent)[-self._limit(query, largest, usual) :]
        found = [
            {
                "execId": x["i"],
                "symbol": x["s"],
                "price": x["p"],
                "size": x["v"],
                "side": x["S"],
                "time": str(x["T"]),
                "isBlockTrade": False,
                "isRPITrade": False,
                "seq": str(x["seq"]),
            }
            for x in reversed(rows)
        ]
        return {"category": rules.CATEGORY[listing.market], "list": found}

    # ---- bars ----

    def _bars(self, query: Query, now_ns: int) -> tuple[Listing, list]:
        listing, interval = self._market_listing(query), query.get("interval", "")
        if interval not in INTERVALS:
            raise Denial(10001, "params error: interval invalid")
        start, end = self._times(query, "start", "end")
        candles, now_ms = self.tape(listing).candles, now_ns // MS
        self.settle(listing, now_ns)
        candles.begin(now_ms, self.last_ticks(listing))
        limit = self._limit(query, 1000, 200)
        if start is not None and end is None:  # the page goes forward from a start
            end = start + limit * INTERVALS[interval] - 1
        return listing, candles.bars(interval, start, min(end or now_ms, now_ms), limit)

    def _get_klines(self, query: Query, now_ns: int) -> dict:
        listing, bars = self._bars(query, now_ns)
        one = price_of(listing, 1) * size_of(listing, 1)
        rows = [
            [
                str(x.start_ms),
                *(price_text(listing, ticks) for ticks in (x.open, x.high, x.low, x.close)),
                plain(size_of(listing, x.lots)),
                plain(Decimal(x.value) * one),
            ]
            for x in bars
        ]
        return {"symbol": listing.symbol, "category": rules.CATEGORY[listing.market], "list": rows}

    def _get_price_klines(self, query: Query, now_ns: int) -> dict:
        """Mark and index: as the trades, without volume."""
        out = self._get_klines(query, now_ns)
        return out | {"list": [row[:5] for row in out["list"]]}

    def _get_premium_klines(self, query: Query, now_ns: int) -> dict:
        out = self._get_klines(query, now_ns)
        return out | {"list": [[row[0], *["0.0001"] * 4] for row in out["list"]]}

    # ---- derivatives ----

    def _linear(self, query: Query) -> Listing:
        if query.get("category") not in ("linear", "inverse"):
            raise Denial(10001, "Illegal category")
        return self._market_listing(query)

    def _get_funding(self, query: Query, now_ns: int) -> dict:
        listing = self._linear(query)
        start, end = self._times(query)
        if start is not None and end is None:
            raise Denial(10001, "params error: EndTime is required")
        step, rows = listing.funding_interval_ns // MS, list[dict]()
        at_ms = min(end or now_ns // MS, now_ns // MS) // step * step
        while len(rows) < self._limit(query, 200, 200) and at_ms > int(LAUNCHED_MS) and at_ms >= (start or 0):
            row = {"symbol": listing.symbol, "fundingRate": self.funding_rate(listing)}
            rows.append(row | {"fundingRateTimestamp": str(at_ms)})
            at_ms -= step
        return {"category": "linear", "list": rows}

    def _spans(self, query: Query, name: str, largest: int, now_ns: int) -> tuple[list[int], str]:
        """Times of the records of a fixed interval, newest first, and the cursor of the next page."""
        span = SPANS.get(query.get(name, ""))
        if span is None:
            raise Denial(10001, f"params error: {name} invalid")
        start, end = self._times(query)
        cursor = unquote(unquote(query.get("cursor", "")))
        last = number(cursor.rpartition("lasttime=")[2]) if cursor else -1
        newest = min(end or now_ns // MS, now_ns // MS) // span * span
        newest = min(newest, last * 1000 - span) if last > 0 else newest
        limit = self._limit(query, largest, 50)
        times = [at for i in range(limit) if (at := newest - i * span) >= max(start or 0, int(LAUNCHED_MS))]
        is_more = len(times) == limit and newest - limit * span >= max(start or 0, int(LAUNCHED_MS))
        return times, quote(f"lastid=0&lasttime={times[-1] // 1000}", safe="") if is_more else ""

    def _get_interest(self, query: Query, now_ns: int) -> dict:
        listing = self._linear(query)
        times, cursor = self._spans(query, "intervalTime", 200, now_ns)
        interest = self.open_interest(listing)
        row = {"openInterest": f"{interest:.8f}", "singleOpenInterest": plain(interest / 2)}
        rows = [row | {"timestamp": str(at)} for at in times]
        return {"symbol": listing.symbol, "category": "linear", "list": rows, "nextPageCursor": cursor}

    def _get_ratio(self, query: Query, now_ns: int) -> dict:
        listing = self._linear(query)
        times, cursor = self._spans(query, "period", 500, now_ns)
        row = {"symbol": listing.symbol, "buyRatio": "0.51", "sellRatio": "0.49"}
        return {"list": [row | {"timestamp": str(at)} for at in times], "nextPageCursor": cursor}

    def _get_risk_limits(self, query: Query, now_ns: int) -> dict:
        if query.get("category") not in ("linear", "inverse"):
            raise Denial(10001, "Illegal category")
        listings = [self._linear(query)] if query.get("symbol") else self._listed(query["category"])
        page, cursor = self._page(listings, query, 15, lambda x: x.symbol)  # type: ignore[attr-defined]
        rows = [row for listing in page for row in risk_tiers(listing)]
        return {"category": query["category"], "list": rows, "nextPageCursor": cursor}

    def _get_price_limit(self, query: Query, now_ns: int) -> dict:
        listing = self._market_listing(query)
        highest, lowest = self.price_limits(listing)
        texts = {"buyLmt": price_text(listing, highest), "sellLmt": price_text(listing, lowest)}
        return {"symbol": listing.symbol, **texts, "ts": str(now_ns // MS)}

    def _get_insurance(self, query: Query, now_ns: int) -> dict:
        symbols = ",".join(x.symbol for x in self._listed("linear"))
        row = {"coin": "USDT", "symbols": symbols, "balance": "902178.57602476", "value": "901898.0963091522"}
        is_asked = query.get("coin", "USDT") == "USDT"
        return {"updatedTime": str(now_ns // DAY_NS * DAY_NS // MS), "list": [row] if is_asked else []}

    def _get_adl_alert(self, query: Query, now_ns: int) -> dict:
        symbols = [query["symbol"]] if query.get("symbol") else [x.symbol for x in self._listed("linear")]
        row = {"coin": "USDT", "balance": "902178.57", "maxBalance": "902178.57", "insurancePnlRatio": "-0.3"}
        row |= {"pnlRatio": "0", "adlTriggerThreshold": "10000", "adlStopRatio": "-0.25"}
        return {"updatedTime": str(now_ns // MS), "list": [row | {"symbol": x} for x in symbols]}

    def _get_components(self, query: Query, now_ns: int) -> dict:
        name = query.get("indexName", "")
        listing = self.listings.get((LINEAR, name)) or self.listings.get((SPOT, name))
        if listing is None:
            raise Denial(10001, "Not supported symbols")
        price = price_text(listing, self.index_ticks(listing))
        row = {"exchange": "Bybit", "spotPair": name, "equivalentPrice": price, "multiplier": "1"}
        rows = [row | {"price": price, "weight": "1"}]
        return {"indexName": name, "lastPrice": price, "updateTime": str(now_ns // MS), "components": rows}


# ---- rows ----


TIERS = tuple(
    Bracket(Decimal(2_000_000 * n), 100 // n, Decimal("0.005") * n) for n in range(1, RISK_TIERS + 1)
)


def risk_tiers(listing: Listing) -> list[dict]:
    """The listing's brackets; what may be borrowed falls from one to the next."""
    rows, deduction, before = [], Decimal(0), None
    for number_of, bracket in enumerate(listing.brackets, 1):
        if before is not None:
            deduction += (bracket.maintenance_rate - before.maintenance_rate) * before.notional_max
        rows.append(
            {
                "id": number_of,
                "symbol": listing.symbol,
                "riskLimitValue": plain(bracket.notional_max),
                "maintenanceMargin": plain(bracket.maintenance_rate),
                "initialMargin": plain(round(1 / Decimal(bracket.leverage_max), 6)),
                "isLowestRisk": int(before is None),
                "maxLeverage": f"{bracket.leverage_max}.00",
                "mmDeduction": plain(deduction) if deduction else "",
            }
        )
        before = bracket
    return rows


def _reach(listing: Listing) -> dict[str, str]:
    x, y = PRICE_LIMIT[listing.market]
    return {"priceLimitRatioX": str(x), "priceLimitRatioY": str(y)}


def _tick(listing: Listing) -> str:
    """The step of prices now: the venue may have made it coarser."""
    return listing.tick if listing.tick_multiple == 1 else price_text(listing, listing.tick_multiple)


def _linear_row(listing: Listing, index: int) -> dict:
    return {
        "symbol": listing.symbol,
        "symbolId": index,
        "contractType": "LinearPerpetual",
        "status": STATUS.get(listing.status, "Closed"),
        "baseCoin": base_of(listing),
        "quoteCoin": listing.quote,
        "launchTime": LAUNCHED_MS,
        "deliveryTime": str(listing.ends_ns // MS),
        "deliveryFeeRate": "",
        "priceScale": str(listing.price_grid.decimals),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": f"{listing.max_leverage}.00",
            "leverageStep": "0.01",
        },
        "priceFilter": {"minPrice": listing.tick, "maxPrice": "1999999.80", "tickSize": _tick(listing)},
        "lotSizeFilter": {
            "maxOrderQty": listing.max_size or MAX_QTY,
            "minOrderQty": listing.min_size or listing.lot,
            "qtyStep": listing.lot,
            "postOnlyMaxOrderQty": listing.max_size or MAX_QTY,
            "maxMktOrderQty": listing.max_market_size or listing.max_size or MAX_QTY,
            "minNotionalValue": listing.min_notional,
        },
        "unifiedMarginTrade": True,
        "fundingInterval": listing.funding_interval_ns // (60 * rules.SECOND),
        "settleCoin": listing.settle_coin,
        "copyTrading": "none",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": listing.status in PHASES,
        "preListingInfo": {"curAuctionPhase": PHASES[listing.status]} if listing.status in PHASES else None,
        "riskParameters": _reach(listing),
        "symbolType": "",
    }


def _spot_row(listing: Listing, index: int) -> dict:
    return {
        "symbolId": index,
        "symbol": listing.symbol,
        "baseCoin": base_of(listing),
        "quoteCoin": listing.quote,
        "innovation": "0",
        "status": STATUS.get(listing.status, "Closed"),
        "marginTrading": "utaOnly",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": listing.lot,
            "quotePrecision": "0.0000001",
            "minOrderQty": listing.min_size or listing.lot,
            "maxOrderQty": listing.max_size or MAX_QTY,
            "minOrderAmt": listing.min_notional,
            "maxOrderAmt": listing.max_notional or "8000000",
            "maxLimitOrderQty": listing.max_size or MAX_QTY,
            "maxMarketOrderQty": listing.max_market_size or listing.max_size or MAX_QTY,
            "postOnlyMaxLimitOrderSize": listing.max_size or MAX_QTY,
        },
        "priceFilter": {"tickSize": _tick(listing)},
        "riskParameters": _reach(listing),
        "symbolType": "",
    }

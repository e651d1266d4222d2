"""Market data of the simulated Binance, as REST and the WebSocket API answer it: one function per request.

Spot writes prices and sizes with eight decimals, USD-M with those of tick and lot. The mark price is the
middle of the book, and the index price is the mark price.

Sources: binance-spot-api-docs `rest-api.md` (Market Data endpoints); USD-M developer pages "market-data".
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from node.venues.binance.fake_call import Call, Reject, illegal
from node.venues.binance.fake_history import DAY_MS, INTERVALS, MINUTE_MS, Bar, History, PublicTrade, quote_of
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM, PRODUCTS
from node.venues.fakes import BUY, MS, SELL, Listing

if TYPE_CHECKING:
    from node.venues.binance.fake import BinanceFake

E8 = Decimal("0.00000001")
SPOT_DECIMALS = 8
FUNDING_HOURS = 8
WINDOW_UNITS = {"m": MINUTE_MS, "h": 60 * MINUTE_MS, "d": DAY_MS}


# ---- text ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _padding(market: int, decimals: int) -> str:
    if market != BINANCE_SPOT or decimals >= SPOT_DECIMALS:
        return ""
    return "0" * (SPOT_DECIMALS - decimals) if decimals else "." + "0" * SPOT_DECIMALS


def price_text(listing: Listing, ticks: int) -> str:
    return listing.price(ticks) + _padding(listing.market, listing.price_grid.decimals)


def size_text(listing: Listing, lots: int) -> str:
    return listing.size(lots) + _padding(listing.market, listing.size_grid.decimals)


def e8(value: Decimal | int) -> str:
    """Exact decimals of money: eight of them."""
    return format(Decimal(value).quantize(E8), "f")


def plain(value: Decimal | int) -> str:
    """A decimal without padding, as USD-M writes prices that are averages."""
    text = format(Decimal(value), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def levels_text(listing: Listing, levels: list[tuple[int, int]]) -> list[list[str]]:
    return [[price_text(listing, p), size_text(listing, s)] for p, s in levels]


# ---- general -------------------------------------------------------------------------------------------


def ping(venue: BinanceFake, call: Call) -> dict:
    return {}


def server_time(venue: BinanceFake, call: Call) -> dict:
    return {"serverTime": call.now_ms}


# ---- book and trades -----------------------------------------------------------------------------------


def depth_limit(call: Call) -> int:
    """Levels a depth request asks for, checked. Spot takes any number up to its limit."""
    product = PRODUCTS[call.market]
    limit = call.whole("limit", 500 if product.depth_limits else 100, least=1)
    if product.depth_limits and limit not in product.depth_limits:
        raise Reject(-4021, f"{limit} is not valid depth limit")
    return min(limit, product.depth_max)


def depth(venue: BinanceFake, call: Call) -> dict:
    listing, limit = venue.listing(call), depth_limit(call)
    number, bids, asks = venue.book(listing, limit, call.now_ns)
    times = {} if call.is_spot else {"E": call.now_ms, "T": call.now_ms}
    sides = {"bids": levels_text(listing, bids), "asks": levels_text(listing, asks)}
    return {"lastUpdateId": number} | times | sides


def _some_trades(venue: BinanceFake, call: Call, listing: Listing) -> list[PublicTrade]:
    """Trades by `fromId`, by time, or the latest ones; oldest first."""
    limit = min(call.whole("limit", 500, least=1), 1000)
    rows = list(venue.history(listing).trades)
    if call.has("fromId"):
        first = call.whole("fromId")
        return [x for x in rows if x.id >= first][:limit]
    if call.has("startTime"):
        start, end = call.whole("startTime"), call.whole("endTime", call.now_ms)
        return [x for x in rows if start <= x.ms <= end][:limit]
    return rows[-limit:]


def trades(venue: BinanceFake, call: Call) -> list[dict]:
    listing = venue.listing(call)
    out = []
    for x in _some_trades(venue, call, listing):
        row = {
            "id": x.id,
            "price": price_text(listing, x.price_ticks),
            "qty": size_text(listing, x.size_lots),
        }
        row["quoteQty"] = e8(quote_of(listing, x.price_ticks * x.size_lots))
        row |= {"time": x.ms, "isBuyerMaker": x.taker_side == SELL}
        out.append(row | ({"isBestMatch": True} if call.is_spot else {"isRPITrade": False}))
    return out


def agg_trades(venue: BinanceFake, call: Call) -> list[dict]:
    """Every trade is an aggregate of its own here, as on the stream."""
    listing = venue.listing(call)
    out = []
    for x in _some_trades(venue, call, listing):
        size = size_text(listing, x.size_lots)
        row = {"a": x.id, "p": price_text(listing, x.price_ticks), "q": size}
        row |= {} if call.is_spot else {"nq": size}
        row |= {"f": x.id, "l": x.id, "T": x.ms, "m": x.taker_side == SELL}
        out.append(row | ({"M": True} if call.is_spot else {}))
    return out


# ---- candles -------------------------------------------------------------------------------------------


def klines(venue: BinanceFake, call: Call) -> list[list]:
    return _klines(venue, call, venue.listing(call))


def continuous_klines(venue: BinanceFake, call: Call) -> list[list]:
    call.need("pair", "contractType", "interval")
    call.params["symbol"] = call.params["pair"]
    return klines(venue, call)


def index_klines(venue: BinanceFake, call: Call) -> list[list]:
    """Index price candles: a pair, and nothing but prices."""
    call.need("pair", "interval")
    call.params["symbol"] = call.params["pair"]
    return mark_klines(venue, call)


def mark_klines(venue: BinanceFake, call: Call) -> list[list]:
    """Mark price candles: no volumes."""
    return [[*row[:5], "0", row[6], "0", 60, "0", "0", "0"] for row in klines(venue, call)]


def premium_klines(venue: BinanceFake, call: Call) -> list[list]:
    """The mark price is the index price here: the premium is nothing."""
    zero = "0.00000000"
    return [[row[0], *(zero,) * 4, "0", row[6], "0", 12, "0", "0", "0"] for row in klines(venue, call)]


def _klines(venue: BinanceFake, call: Call, listing: Listing) -> list[list]:
    call.need("interval")
    interval = call.choice("interval", INTERVALS, "", Reject(-1120, "Invalid interval."))
    step_ms = INTERVALS[interval]
    limit = min(call.whole("limit", 500, least=1), 1000 if call.is_spot else 1500)
    end = min(call.whole("endTime", call.now_ms), call.now_ms)
    start = call.whole("startTime", max(end - limit * step_ms + 1, 0))
    rows = venue.history(listing).candles(step_ms, start, min(end, start + limit * step_ms))
    rows = rows[:limit] if call.has("startTime") else rows[-limit:]
    return [kline_row(listing, at, bar, step_ms) for at, bar in rows]


def kline_row(listing: Listing, open_ms: int, bar: Bar, step_ms: int) -> list:
    prices = [price_text(listing, x) for x in (bar.open, bar.high, bar.low, bar.close)]
    volume, taker = size_text(listing, bar.lots), size_text(listing, bar.taker_lots)
    quote, taker_quote = e8(quote_of(listing, bar.quote)), e8(quote_of(listing, bar.taker_quote))
    return [open_ms, *prices, volume, open_ms + step_ms - 1, quote, bar.count, taker, taker_quote, "0"]


# ---- tickers -------------------------------------------------------------------------------------------


def _each(venue: BinanceFake, call: Call, row: Callable[[Listing], dict]) -> object:
    """One row for `symbol`, else an array: of `symbols`, or of all that trade."""
    if call.has("symbol"):
        return row(venue.listing(call))
    if call.is_spot and (call.has("symbols") or "symbols" in call.lists):
        return [row(venue.listing_of(call.market, str(x))) for x in call.items("symbols")]
    return [row(x) for x in venue.listings.values() if x.market == call.market]


def avg_price(venue: BinanceFake, call: Call) -> dict:
    listing = venue.listing(call)
    history = venue.history(listing)
    price = price_text(listing, history.average(call.now_ms, 5))
    close_ms = history.trades[-1].ms if history.trades else call.now_ms
    return {"mins": 5, "price": price, "closeTime": close_ms}


def ticker_price(venue: BinanceFake, call: Call) -> object:
    def row(listing: Listing) -> dict:
        price = {"symbol": listing.symbol, "price": price_text(listing, venue.history(listing).last_ticks)}
        return price if call.is_spot else price | {"ps": listing.symbol, "time": call.now_ms}

    return _each(venue, call, row)


def ticker_book(venue: BinanceFake, call: Call) -> object:
    def row(listing: Listing) -> dict:
        top = {"symbol": listing.symbol} | book_top(listing)
        if call.is_spot:
            return top
        return top | {"time": call.now_ms, "lastUpdateId": listing.engine.update_id}

    return _each(venue, call, row)


def book_top(listing: Listing) -> dict:
    (bid, bid_lots), (ask, ask_lots) = (listing.engine.best(x) or (0, 0) for x in (BUY, SELL))
    return {
        "bidPrice": price_text(listing, bid),
        "bidQty": size_text(listing, bid_lots),
        "askPrice": price_text(listing, ask),
        "askQty": size_text(listing, ask_lots),
    }


def ticker_24h(venue: BinanceFake, call: Call) -> object:
    kind = call.choice("type", ("FULL", "MINI"), "FULL")
    start = call.now_ms - DAY_MS

    def row(listing: Listing) -> dict:
        return day_row(venue.history(listing), call.market, start, call.now_ms, kind == "MINI")

    return _each(venue, call, row)


def ticker_trading_day(venue: BinanceFake, call: Call) -> object:
    """The UTC day so far. Unlike the 24 h ticker it must be told which symbols."""
    return _window_ticker(venue, call, call.now_ms // DAY_MS * DAY_MS)


def ticker_window(venue: BinanceFake, call: Call) -> object:
    size = call.text("windowSize", "1d")
    number, unit = size[:-1], size[-1:]
    if not number.isdigit() or unit not in WINDOW_UNITS or not 1 <= int(number) <= 59:
        raise Reject(-1100, "Illegal characters found in parameter 'windowSize'.")
    return _window_ticker(venue, call, call.now_ms - int(number) * WINDOW_UNITS[unit])


def _window_ticker(venue: BinanceFake, call: Call, start_ms: int) -> object:
    if not (call.has("symbol") or call.has("symbols") or "symbols" in call.lists):
        raise Reject(-1128, "Combination of optional parameters invalid.")
    mini = call.choice("type", ("FULL", "MINI"), "FULL") == "MINI"

    def row(listing: Listing) -> dict:
        return window_row(venue.history(listing), start_ms, call.now_ms, mini)

    return _each(venue, call, row)


def window_row(history: History, start_ms: int, now_ms: int, mini: bool) -> dict:
    """The statistics of a stretch up to now."""
    listing, bar = history.listing, history.window(start_ms, now_ms)
    row: dict = {"symbol": listing.symbol}
    if not mini:
        row |= changes(listing, bar)
    row |= {"openPrice": price_text(listing, bar.open), "highPrice": price_text(listing, bar.high)}
    row |= {"lowPrice": price_text(listing, bar.low), "lastPrice": price_text(listing, bar.close)}
    row |= {"volume": size_text(listing, bar.lots), "quoteVolume": e8(quote_of(listing, bar.quote))}
    row |= {"openTime": start_ms, "closeTime": now_ms, "firstId": bar.first_id, "lastId": bar.last_id}
    return row | {"count": bar.count}


def changes(listing: Listing, bar: Bar) -> dict:
    """Price change, the same in percent, and the average price."""
    change = (bar.close - bar.open) * Decimal(listing.tick)
    percent = Decimal(100 * (bar.close - bar.open)) / bar.open if bar.open else Decimal(0)
    average = bar.quote * Decimal(listing.tick) / bar.lots if bar.lots else bar.close * Decimal(listing.tick)
    percent = percent.quantize(Decimal("0.001"))
    return {
        "priceChange": e8(change),
        "priceChangePercent": format(percent, "f"),
        "weightedAvgPrice": e8(average),
    }


def day_row(history: History, market: int, start_ms: int, now_ms: int, mini: bool) -> dict:
    row = window_row(history, start_ms, now_ms, mini)
    if mini:
        return row
    listing, trades_ = history.listing, history.trades
    last = size_text(listing, trades_[-1].size_lots if trades_ else 0)
    more = {"lastQty": last}
    if market == BINANCE_SPOT:
        more |= {"prevClosePrice": row["openPrice"]} | book_top(listing)
    return row | more


# ---- USD-M ---------------------------------------------------------------------------------------------


def premium_index(venue: BinanceFake, call: Call) -> object:
    def row(listing: Listing) -> dict:
        mark = e8(venue.mark(listing) or 0)
        perpetual = listing.is_perpetual
        return {
            "symbol": listing.symbol,
            "markPrice": mark,
            "indexPrice": mark,
            "estimatedSettlePrice": mark,
            "lastFundingRate": venue.funding_rate_of(listing) if perpetual else "",
            "interestRate": "0.00010000" if perpetual else "",
            "nextFundingTime": next_funding_ms(call.now_ns) if perpetual else 0,
            "time": call.now_ms,
        }

    return _each(venue, call, row)


def next_funding_ms(now_ns: int, hours: int = FUNDING_HOURS) -> int:
    step_ms = hours * 60 * MINUTE_MS
    return (now_ns // MS // step_ms + 1) * step_ms


def funding_rate(venue: BinanceFake, call: Call) -> list[dict]:
    """Past funding. Before the venue began the rate is what it was at the start."""
    step_ms = FUNDING_HOURS * 60 * MINUTE_MS
    limit = min(call.whole("limit", 100, least=1), 1000)
    end = min(call.whole("endTime", call.now_ms), call.now_ms)
    start = call.whole("startTime", max(end - limit * step_ms, 0))
    listings = [venue.listing(call)] if call.has("symbol") else venue.of_market(BINANCE_USDM)
    times = range(-(-start // step_ms) * step_ms, end + 1, step_ms)
    times = times[:limit] if call.has("startTime") else times[-limit:]
    return [
        {"symbol": x.symbol, "fundingTime": at, "fundingRate": venue.funding_rate_of(x)}
        | {"markPrice": e8(venue.mark(x) or 0), "rateType": "REGULAR"}
        for at in times
        for x in listings
        if x.is_perpetual
    ]


def funding_info(venue: BinanceFake, call: Call) -> list[dict]:
    """Only symbols with a funding interval or cap of their own: none."""
    return []


def open_interest(venue: BinanceFake, call: Call) -> dict:
    listing = venue.listing(call)
    lots = sum(max(x, 0) for x in venue.position_lots(listing))
    return {"symbol": listing.symbol, "openInterest": size_text(listing, lots), "time": call.now_ms}


def open_interest_history(venue: BinanceFake, call: Call) -> list[dict]:
    """`/futures/data/openInterestHist`: the present interest, at each step."""
    listing, limit = venue.listing(call), min(call.whole("limit", 30, least=1), 500)
    call.need("period")
    step_ms = INTERVALS[
        call.choice("period", INTERVALS, "", illegal("period", "^(5m|15m|30m|1h|2h|4h|6h|12h|1d)$"))
    ]
    lots = sum(max(x, 0) for x in venue.position_lots(listing))
    value = Decimal(listing.size(lots)) * Decimal(venue.mark(listing) or 0)
    row = {
        "symbol": listing.symbol,
        "sumOpenInterest": size_text(listing, lots),
        "sumOpenInterestValue": e8(value),
    }
    last = call.now_ms // step_ms * step_ms
    return [row | {"timestamp": last - i * step_ms} for i in reversed(range(limit))]


def constituents(venue: BinanceFake, call: Call) -> dict:
    listing = venue.listing(call)
    rows = [
        {
            "exchange": "binance",
            "symbol": listing.symbol,
            "price": e8(venue.mark(listing) or 0),
            "weight": "1",
        }
    ]
    return {"symbol": listing.symbol, "time": call.now_ms, "constituents": rows}


def trading_schedule(venue: BinanceFake, call: Call) -> dict:
    """Nothing that is listed here has trading hours."""
    return {"updateTime": call.now_ms, "marketSchedules": {}}


def nothing(venue: BinanceFake, call: Call) -> list:
    """A list that is empty here."""
    return []


# ---- spot extras ---------------------------------------------------------------------------------------


def execution_rules(venue: BinanceFake, call: Call) -> dict:
    """No symbol has an execution rule."""
    return {"symbolRules": []}


def reference_price(venue: BinanceFake, call: Call) -> dict:
    venue.listing(call)
    raise Reject(-2043, "This symbol doesn't have a reference price.")

"""Public prices of the simulated OKX: trades, tickers, candles, mark and index prices, funding, limits.

Sources: docs-v5 "Order book trading / Market data" and "Public data". What a channel pushes is what the REST
call of that name answers. The index of a family is the middle of its spot book, or of the swap's own where no
spot is listed; the mark price is the middle of a book in whole ticks.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable
from decimal import ROUND_UP, Decimal
from typing import Any

from node.venues.fakes import BUY, MS, SELL, Connection, Listing
from node.venues.okx.fake_candles import BARS, Candle, Candles
from node.venues.okx.fake_depth import DepthSide
from node.venues.okx.fake_errors import Problem
from node.venues.okx.fake_rows import (
    DECIMAL,
    KINDS,
    SECOND,
    base_of,
    covers,
    dumps,
    family_of,
    instrument_row,
    ms,
    number_in,
    plain,
    quote_of,
    rounded,
    type_of,
)

TICKERS_NS = 100 * MS
TRADES_KEPT = 2000
# channel -> shortest time between pushes, longest time without one (0 = may be quiet for ever)
PACE = {
    "mark-price": (200 * MS, 10 * SECOND),
    "index-tickers": (100 * MS, 60 * SECOND),
    "price-limit": (200 * MS, 0),
    "open-interest": (3 * SECOND, 0),
    "funding-rate": (60 * SECOND, 60 * SECOND),
}
CANDLES = re.compile(r"(candle|mark-price-candle|index-candle)(\w+)")


class MarketSide(DepthSide):
    """Prices of the venue."""

    band_percent: int
    bands: dict[str, tuple[str, str]]  # symbol -> lowest sell and highest buy, as factors of the mark

    def _open_market(self) -> None:
        self._trades: list[tuple[int, int, int, int]] = []  # of one taker at one price: id, ticks, lots, side
        self._tape: dict[str, deque[dict]] = {x: deque(maxlen=TRADES_KEPT) for x in self.by_symbol}
        self._candles = {x: Candles() for x in self.by_symbol}
        self._mark_candles = {x: Candles() for x in self.by_symbol}
        self._index_candles: dict[str, Candles] = {family_of(x): Candles() for x in self.by_symbol.values()}
        self._tickers_due: set[str] = set()
        self._tickers_ns: dict[str, int] = {}
        self._pushed: dict[tuple[str, str], tuple[object, int]] = {}  # channel, instId -> what and when
        self._bars: dict[str, tuple[int, list[str]]] = {}  # topic -> start of the last bar, row
        self._sampled_ns = 0
        self._funding_paid: dict[str, list[tuple[int, Decimal]]] = {x: [] for x in self.by_symbol}
        self.status_rows: list[dict[str, str]] = []

    # ---- trades ----

    def settle(self, listing: Listing, now_ns: int) -> None:
        super().settle(listing, now_ns)
        self._push_trades(listing, now_ns)

    def push_quote(self, listing, now_ns) -> None:
        super().push_quote(listing, now_ns)
        self._tickers_due.add(listing.symbol)

    def push_trade(self, listing, trade_id, price_ticks, size_lots, taker_side, now_ns) -> None:
        if self._trades and self._trades[0][1::2] != (price_ticks, taker_side):
            self._push_trades(listing, now_ns)
        self._trades.append((trade_id, price_ticks, size_lots, taker_side))
        self._candles[listing.symbol].put(now_ns, price_ticks, size_lots)
        self._tickers_due.add(listing.symbol)
        row = self._trade_row(listing, trade_id, price_ticks, size_lots, taker_side, now_ns)
        self._tape[listing.symbol].append(row)
        arg = {"channel": "trades-all", "instId": listing.symbol}
        self._publish("trades-all", listing, dumps({"arg": arg, "data": [row]}))

    def _push_trades(self, listing: Listing, now_ns: int) -> None:
        """`trades`: one row for all that one taker took at one price; its id is the last one."""
        if not self._trades:
            return
        trades, self._trades = self._trades, []
        trade_id, price_ticks, _, side = trades[-1]
        row = self._trade_row(listing, trade_id, price_ticks, sum(x[2] for x in trades), side, now_ns)
        row |= {"count": str(len(trades)), "seqId": self._seq(listing)}
        arg = {"channel": "trades", "instId": listing.symbol}
        self._publish("trades", listing, dumps({"arg": arg, "data": [row]}))

    def _trade_row(self, listing, trade_id, price_ticks, size_lots, side, now_ns) -> dict:
        return {
            "instId": listing.symbol,
            "tradeId": str(trade_id),
            "px": listing.price_grid.format(price_ticks),
            "sz": listing.size_grid.format(size_lots),
            "side": "buy" if side == BUY else "sell",
            "source": "0",
            "ts": ms(now_ns),
        }

    def rest_trades(self, query: dict[str, str], now_ns: int) -> list:
        tape = self._tape[self.listing_named(query.get("instId")).symbol]
        return list(tape)[::-1][: number_in(query, "limit", 100, 500)]

    def rest_history_trades(self, query: dict[str, str], now_ns: int) -> list:
        """Pages by trade id, or by time with `type` 2; newest first."""
        tape = self._tape[self.listing_named(query.get("instId")).symbol]
        key = "ts" if query.get("type") == "2" else "tradeId"
        return page(list(tape)[::-1], key, query, 100)

    # ---- prices ----

    def last_ticks(self, listing: Listing) -> int:
        return listing.last_ticks or self.mark_ticks(listing)

    def mark_price(self, listing: Listing) -> Decimal:
        return Decimal(listing.price_grid.format(self.mark_ticks(listing)))

    def index_listing(self, family: str) -> Listing:
        """Whose middle the index of a family is. Raises Problem 51014 for a family that is none."""
        found = [x for x in self.by_symbol.values() if family_of(x) == family]
        if not found:
            raise Problem("51014")
        return next((x for x in found if not x.is_perpetual), found[0])

    def index_price(self, family: str) -> str:
        listing = self.index_listing(family)
        return listing.price_grid.format(self.index_ticks(listing))

    def band(self, listing: Listing) -> tuple[int, int] | None:
        """Lowest price of a sell and highest of a buy, in ticks; None where there is no limit."""
        middle = self.mark_ticks(listing)
        if not middle:
            return None
        if self.band_percent:
            low = -(-middle * (100 - self.band_percent) // 100)
            return low, middle * (100 + self.band_percent) // 100
        down, up = self.bands[listing.symbol]
        if not (down and up):
            return None
        low = int((middle * Decimal(down)).to_integral_value(ROUND_UP))
        return max(1, low), int(middle * Decimal(up))

    # ---- rows: what REST answers and channels push ----

    def ticker_row(self, listing: Listing, now_ns: int) -> dict:
        last_ticks, last_lots = self.last_ticks(listing), listing.last_lots
        bid, ask = listing.engine.best(BUY) or (0, 0), listing.engine.best(SELL) or (0, 0)
        price, size = listing.price_grid.format, listing.size_grid.format
        day = self._candles[listing.symbol].day(now_ns) or Candle(
            0, last_ticks, last_ticks, last_ticks, last_ticks
        )
        volume, in_coins, _ = volumes(listing, day)
        return {
            "instType": type_of(listing),
            "instId": listing.symbol,
            "last": price(last_ticks),
            "lastSz": size(last_lots),
            "askPx": price(ask[0]) if ask[0] else "",
            "askSz": size(ask[1]) if ask[0] else "",
            "bidPx": price(bid[0]) if bid[0] else "",
            "bidSz": size(bid[1]) if bid[0] else "",
            "open24h": price(day.open),
            "high24h": price(day.high),
            "low24h": price(day.low),
            "volCcy24h": in_coins,
            "vol24h": volume,
            "sodUtc0": price(day.open),
            "sodUtc8": price(day.open),
            "ts": ms(now_ns),
        }

    def mark_row(self, listing: Listing, now_ns: int) -> dict:
        return {
            "instType": type_of(listing) if listing.is_perpetual else "MARGIN",
            "instId": listing.symbol,
            "markPx": listing.price_grid.format(self.mark_ticks(listing)),
            "ts": ms(now_ns),
        }

    def index_row(self, family: str, now_ns: int) -> dict:
        listing = self.index_listing(family)
        price, now = listing.price_grid.format, self.index_ticks(listing)
        day = self._index_candles[family].day(now_ns) or Candle(0, now, now, now, now)
        row = {"instId": family, "idxPx": price(now), "high24h": price(day.high), "low24h": price(day.low)}
        return row | dict.fromkeys(("open24h", "sodUtc0", "sodUtc8"), price(day.open)) | {"ts": ms(now_ns)}

    def limit_row(self, listing: Listing, now_ns: int) -> dict:
        band = self.band(listing)
        row = {"instType": type_of(listing), "instId": listing.symbol, "buyLmt": "", "sellLmt": ""}
        if band:
            price = listing.price_grid.format
            row |= {"buyLmt": price(band[1]), "sellLmt": price(band[0])}
        return row | {"ts": ms(now_ns), "enabled": band is not None}

    def interest_row(self, listing: Listing, now_ns: int) -> dict:
        """Open interest: a made-up constant plus nothing else; nobody knows who else holds what."""
        lots = 1_000_000
        size = Decimal(listing.size_grid.format(lots))
        coins = size * Decimal(listing.contract)
        return {
            "instType": "SWAP",
            "instId": listing.symbol,
            "oi": plain(size),
            "oiCcy": plain(coins),
            "oiUsd": rounded(coins * self.mark_price(listing)),
            "ts": ms(now_ns),
        }

    def pay_funding(self, listing: Listing, rate: Decimal, now_ns: int) -> int:
        self._funding_paid[listing.symbol].append((now_ns // MS, rate))
        return super().pay_funding(listing, rate, now_ns)

    def funding_row(self, listing: Listing, now_ns: int) -> dict:
        interval_ms = listing.funding_interval_ns // MS
        due_ms = (now_ns // MS // interval_ms + 1) * interval_ms
        rate = f"{Decimal(listing.funding_rate):.16f}"
        paid = self._funding_paid[listing.symbol]
        return {
            "instType": "SWAP",
            "instId": listing.symbol,
            "method": "current_period",
            "formulaType": "withRate",
            "fundingRate": rate,
            "fundingTime": str(due_ms),
            "nextFundingTime": str(due_ms + interval_ms),
            "prevFundingTime": str(due_ms - interval_ms),
            "nextFundingRate": "",
            "minFundingRate": "-0.00375",
            "maxFundingRate": "0.00375",
            "interestRate": "0.0001",
            "impactValue": "20000.0000000000000000",
            "premium": "0",
            "settFundingRate": f"{paid[-1][1]:.16f}" if paid else rate,
            "settState": "settled",
            "ts": ms(now_ns),
        }

    # ---- pushes as time passes ----

    def _push_first_price(self, connection: Connection, arg: dict, now_ns: int) -> None:
        """What a channel of prices says right after the subscription."""
        channel, symbol = arg["channel"], arg.get("instId", "")
        row = self._price_row(channel, symbol, now_ns)
        if row is not None:
            self.send(connection, dumps({"arg": {"channel": channel, "instId": symbol}, "data": [row]}))

    def _price_row(self, channel: str, symbol: str, now_ns: int) -> dict | list[str] | None:
        match = CANDLES.fullmatch(channel)
        if match:
            return self.candle_rows(match[1], match[2], symbol, now_ns)[0]
        if channel == "index-tickers":
            return self.index_row(symbol, now_ns)
        rows: dict[str, Callable[[Listing, int], dict]] = {
            "tickers": self.ticker_row,
            "mark-price": self.mark_row,
            "price-limit": self.limit_row,
            "open-interest": self.interest_row,
            "funding-rate": self.funding_row,
        }
        return rows[channel](self.by_symbol[symbol], now_ns) if channel in rows else None

    def _push_prices(self, now_ns: int) -> None:
        """All that is due by the clock. Called by every tick: topics that nobody has cost nothing."""
        if now_ns - self._sampled_ns >= SECOND:
            self._sampled_ns = now_ns
            self._sample(now_ns)
            self._push_candles(now_ns)
        for symbol in [x for x in self._tickers_due if now_ns >= self._tickers_ns.get(x, 0) + TICKERS_NS]:
            self._tickers_due.discard(symbol)
            self._tickers_ns[symbol] = now_ns
            self._push_row("tickers", symbol, now_ns)
        for channel, symbol in self._topics_heard():
            interval_ns, idle_ns = PACE[channel]
            known, pushed_ns = self._pushed.get((channel, symbol), (None, 0))
            if now_ns - pushed_ns < interval_ns:
                continue
            row: Any = self._price_row(channel, symbol, now_ns)
            value = {k: v for k, v in row.items() if k != "ts"}
            if value != known or (idle_ns and now_ns - pushed_ns >= idle_ns):
                self._pushed[(channel, symbol)] = (value, now_ns)
                self._push_row(channel, symbol, now_ns)

    def _topics_heard(self) -> set[tuple[str, str]]:
        topics = {t for x in self.connections.values() for t in x.topics}
        pairs = (t.split("|", 1) for t in topics if "|" in t)
        return {(channel, symbol) for channel, symbol in pairs if channel in PACE}

    def _push_row(self, channel: str, symbol: str, now_ns: int) -> None:
        hearers = self.subscribers(f"{channel}|{symbol}")
        if hearers:
            row = self._price_row(channel, symbol, now_ns)
            text = dumps({"arg": {"channel": channel, "instId": symbol}, "data": [row]})
            for connection in hearers:
                self.send(connection, text)

    def _sample(self, now_ns: int) -> None:
        """Mark and index prices become candles of their own; a listing that never traded opens at its
        middle."""
        for symbol, listing in self.by_symbol.items():
            mark = self.mark_ticks(listing)
            if mark:
                self._mark_candles[symbol].put(now_ns, mark)
                if not self._candles[symbol].minutes:
                    self._candles[symbol].put(now_ns, mark)
        for family, candles in self._index_candles.items():
            index = self.index_ticks(self.index_listing(family))
            if index:
                candles.put(now_ns, index)

    def _push_candles(self, now_ns: int) -> None:
        """At most once a second; a bar that is over is said once more, as closed."""
        topics = {t for x in self.connections.values() for t in x.topics if "candle" in t}
        for topic in topics:
            channel, _, symbol = topic.partition("|")
            match = CANDLES.fullmatch(channel)
            if match is None:
                continue
            rows = self.candle_rows(match[1], match[2], symbol, now_ns)
            start_ms, known = self._bars.get(topic, (0, []))
            closed = [x for x in rows[1:] if start_ms and int(x[0]) >= start_ms][::-1]
            if rows[0] != known:
                self._bars[topic] = (int(rows[0][0]), rows[0])
                for row in [*closed, rows[0]]:
                    text = dumps({"arg": {"channel": channel, "instId": symbol}, "data": [row]})
                    for connection in self.subscribers(topic):
                        self.send(connection, text)

    # ---- candles ----

    def candle_rows(self, source: str, bar: str, symbol: str, now_ns: int) -> list[list[str]]:
        """Newest first. Raises Problem for a bar or an instrument that is none."""
        if bar not in BARS:
            raise Problem("51000", "bar")
        if source == "index-candle":
            listing, candles = self.index_listing(symbol), self._index_candles[symbol]
        else:
            listing = self.listing_named(symbol)
            kept = self._candles if source == "candle" else self._mark_candles
            candles = kept[symbol]
        if not candles.minutes:
            candles.put(now_ns, self.mark_ticks(listing))
        price = listing.price_grid.format
        rows = []
        for x in reversed(candles.bars(bar, now_ns)):
            row = [str(x.start_ms), price(x.open), price(x.high), price(x.low), price(x.close)]
            rows.append(
                [*row, *(volumes(listing, x) if source == "candle" else ()), "1" if x.closed else "0"]
            )
        return rows

    def _rest_candles(self, source: str, query: dict[str, str], now_ns: int) -> list:
        rows = self.candle_rows(source, query.get("bar") or "1m", query.get("instId") or "", now_ns)
        return page(rows, 0, query, 300)

    def rest_candles(self, query: dict[str, str], now_ns: int) -> list:
        return self._rest_candles("candle", query, now_ns)

    def rest_mark_candles(self, query: dict[str, str], now_ns: int) -> list:
        return self._rest_candles("mark-price-candle", query, now_ns)

    def rest_index_candles(self, query: dict[str, str], now_ns: int) -> list:
        return self._rest_candles("index-candle", query, now_ns)

    # ---- REST ----

    def _of_type(self, query: dict[str, str]) -> list[Listing]:
        """Listings that a query by instType, instFamily, uly and instId means."""
        symbol, kind = query.get("instId"), query.get("instType", "")
        if kind not in KINDS:
            raise Problem("51000", "instType")
        if kind == "MARGIN":
            query = query | {"instType": "SPOT"}
        rows = [x for x in self.by_symbol.values() if covers(query, x)]
        if symbol and not rows and kind in ("SPOT", "SWAP"):
            raise Problem("51001")
        return rows

    def rest_time(self, query: dict[str, str], now_ns: int) -> list:
        return [{"ts": ms(now_ns)}]

    def rest_instruments(self, query: dict[str, str], now_ns: int) -> list:
        if query.get("instType") == "MARGIN":
            return []
        return [instrument_row(x) for x in self._of_type(query)]

    def rest_ticker(self, query: dict[str, str], now_ns: int) -> list:
        return [self.ticker_row(self.listing_named(query.get("instId")), now_ns)]

    def rest_tickers(self, query: dict[str, str], now_ns: int) -> list:
        return [self.ticker_row(x, now_ns) for x in self._of_type(query)]

    def rest_index_tickers(self, query: dict[str, str], now_ns: int) -> list:
        symbol, quote = query.get("instId"), query.get("quoteCcy")
        if not symbol and not quote:
            raise Problem("50015", "quoteCcy", "instId")
        if symbol:
            return [self.index_row(symbol, now_ns)]
        return [self.index_row(x, now_ns) for x in self._index_candles if x.endswith(f"-{quote}")]

    def rest_mark_price(self, query: dict[str, str], now_ns: int) -> list:
        """The type may be left out where the instrument is named."""
        if query.get("instId") and query.get("instType", "ANY") in ("", "ANY"):
            return [self.mark_row(self.listing_named(query["instId"]), now_ns)]
        return [self.mark_row(x, now_ns) for x in self._of_type(query)]

    def rest_price_limit(self, query: dict[str, str], now_ns: int) -> list:
        return [self.limit_row(self.listing_named(query.get("instId")), now_ns)]

    def rest_open_interest(self, query: dict[str, str], now_ns: int) -> list:
        return [self.interest_row(x, now_ns) for x in self._of_type(query) if x.is_perpetual]

    def rest_funding_rate(self, query: dict[str, str], now_ns: int) -> list:
        if query.get("instId") == "ANY":
            return [self.funding_row(x, now_ns) for x in self.by_symbol.values() if x.is_perpetual]
        return [self.funding_row(self._swap(query), now_ns)]

    def _swap(self, query: dict[str, str]) -> Listing:
        listing = self.listing_named(query.get("instId"))
        if not listing.is_perpetual:
            raise Problem("51000", "instId")
        return listing

    def rest_funding_history(self, query: dict[str, str], now_ns: int) -> list:
        listing = self._swap(query)
        head = {"instType": "SWAP", "instId": listing.symbol, "method": "current_period"}
        rows = [
            head
            | {"formulaType": "withRate", "fundingRate": plain(rate), "realizedRate": plain(rate)}
            | {"fundingTime": str(due_ms)}
            for due_ms, rate in reversed(self._funding_paid[listing.symbol])
        ]
        return page(rows, "fundingTime", query, 400)

    def rest_tiers(self, query: dict[str, str], now_ns: int) -> list:
        """Position tiers, in contracts of the family."""
        families = (query.get("instFamily") or query.get("uly") or "").split(",")
        if query.get("instType") not in KINDS:
            raise Problem("51000", "instType")
        if query.get("tdMode") not in ("cross", "isolated"):
            raise Problem("51000", "tdMode")
        swaps = [x for x in self.by_symbol.values() if x.is_perpetual and family_of(x) in families]
        if query["instType"] != "SWAP":
            return []
        return [row for x in swaps for row in tier_rows(x, self.mark_price(x))]

    def rest_underlying(self, query: dict[str, str], now_ns: int) -> list:
        if query.get("instType") not in ("SWAP", "FUTURES", "OPTION"):
            raise Problem("51000", "instType")
        return [sorted({family_of(x) for x in self._of_type(query)})]

    def rest_estimated_price(self, query: dict[str, str], now_ns: int) -> list:
        """For contracts that are delivered only: swaps are not."""
        self.listing_named(query.get("instId"))
        return []

    def rest_discount_rate(self, query: dict[str, str], now_ns: int) -> list:
        """How much of a coin counts as collateral: all of it."""
        row = {"discountRate": "1", "liqPenaltyRate": "0", "maxAmt": "", "minAmt": "0", "tier": "1"}
        return [
            {
                "amt": "0",
                "ccy": coin,
                "collateralRestrict": False,
                "details": [row | {"disCcyEq": ""}],
                "discountLv": "1",
                "minDiscountRate": "0",
            }
            for coin in self.coins()
            if query.get("ccy") in (None, "", coin)
        ]

    def rest_convert(self, query: dict[str, str], now_ns: int) -> list:
        """`type` 1: coins to contracts, 2: contracts to coins. Opening rounds down, closing to the nearest
        contract."""
        listing, size = self._swap(query), query.get("sz") or ""
        if not DECIMAL.fullmatch(size):
            raise Problem("51000", "sz")
        price = query.get("px") or plain(self.mark_price(listing))
        if not DECIMAL.fullmatch(price) or not Decimal(price):
            raise Problem("51000", "px")
        kind, contract, lot = query.get("type") or "1", Decimal(listing.contract), Decimal(listing.lot)
        if query.get("unit") == "usds":
            contract *= Decimal(price)
        if kind == "2":
            out = Decimal(size) * contract
        else:
            lots = Decimal(size) / contract / lot
            whole = int(lots) if query.get("opType", "close") == "open" else int(lots + Decimal("0.5"))
            out = whole * lot
        unit = query.get("unit") or "coin"
        return [{"instId": listing.symbol, "px": price, "sz": plain(out), "type": kind, "unit": unit}]

    def rest_volume(self, query: dict[str, str], now_ns: int) -> list:
        """What all listings traded in 24 hours, in USD and CNY."""
        total = Decimal(0)
        for symbol, listing in self.by_symbol.items():
            day = self._candles[symbol].day(now_ns)
            total += Decimal(volumes(listing, day)[2]) if day else 0
        return [{"volUsd": plain(total), "volCny": rounded(total * 7), "ts": ms(now_ns)}]

    def rest_exchange_rate(self, query: dict[str, str], now_ns: int) -> list:
        return [{"usdCny": "7.0"}]

    def rest_status(self, query: dict[str, str], now_ns: int) -> list:
        """Maintenance that is announced or running: see `announce_maintenance`."""
        return [x for x in self.status_rows if query.get("state") in (None, "", x["state"])]

    def coins(self) -> list[str]:
        return sorted({y for x in self.by_symbol.values() for y in (base_of(x), quote_of(x))})

    def nothing(self, query: dict[str, str], now_ns: int) -> list:
        """A list that is empty here: options, futures, loans, block trades."""
        return []


def volumes(listing: Listing, candle: Candle) -> tuple[str, str, str]:
    """Of one candle: in the unit of orders, in coins (spot: in quote currency), in quote currency."""
    size = Decimal(listing.size_grid.format(candle.lots))
    worth = candle.value * Decimal(listing.tick) * Decimal(listing.lot) * Decimal(listing.contract)
    in_coins = size * Decimal(listing.contract) if listing.is_perpetual else worth
    return plain(size), plain(in_coins), plain(worth)


def tier_rows(listing: Listing, mark: Decimal) -> list[dict]:
    """Position tiers: the listing's leverage brackets, in contracts at the mark price."""
    rows, low = [], "0"
    worth = mark * Decimal(listing.contract)
    for i, bracket in enumerate(listing.brackets, 1):
        most = str(int(bracket.notional_max / worth)) if worth else ""
        rows.append(
            {
                "baseMaxLoan": "",
                "imr": rounded(1 / Decimal(bracket.leverage_max), 6),
                "instFamily": family_of(listing),
                "instId": listing.symbol,
                "maxLever": str(bracket.leverage_max),
                "maxSz": most,
                "minSz": low,
                "mmr": plain(bracket.maintenance_rate),
                "optMgnFactor": "0",
                "quoteMaxLoan": "",
                "tier": str(i),
                "uly": family_of(listing),
            }
        )
        low = most
    return rows


def page(rows: Iterable, key: Any, query: dict[str, str], most: int) -> list:
    """One page of rows that come newest first, and are made no further than it goes. `after` = older than
    that key, `before` = newer. A `limit` above the most is cut down to it."""
    bounds = {k: query.get(k) or "" for k in ("after", "before", "limit")}
    for name, text in bounds.items():
        if text and not re.fullmatch(r"-?[0-9]{1,20}", text):
            raise Problem("51000", name)
    limit = min(int(bounds["limit"] or 100), most)
    out: list = []
    for row in rows if limit > 0 else ():
        if bounds["before"] and int(row[key]) <= int(bounds["before"]):
            break
        if not bounds["after"] or int(row[key]) < int(bounds["after"]):
            out.append(row)
            if len(out) == limit:
                break
    return out

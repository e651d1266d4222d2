"""Market streams of the simulated Binance: paths and routes, control messages, what is pushed and when.

A USD-M subscription on the wrong route, like that of a stream that does not exist, is acknowledged and stays
silent. USD-M streams without a route live under a prefix, because one port serves both products: such a path
delivers everything, or, as the venue does since 2026-04-23, order-book streams only (`unrouted="public"`).

Sources: binance-spot-api-docs `web-socket-streams.md`; USD-M developer pages "websocket-market-streams".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from urllib.parse import parse_qsl, unquote

import orjson

from node.venues.binance.fake_call import Reject, dump, good_id
from node.venues.binance.fake_history import DAY_MS, INTERVALS, Bar, bucket_ms, quote_of
from node.venues.binance.fake_market import (
    changes,
    e8,
    levels_text,
    next_funding_ms,
    price_text,
    size_text,
)
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM, PRODUCTS, stream_route
from node.venues.fakes import BUY, MS, SELL, Connection, FakeVenue, Listing, Refused

# The spot stream host as the first part of a path: some clients tell the products apart by it.
SPOT_HOST = re.compile(r"/(?:data-|demo-)?stream[a-z.]*(?=/(?:ws|stream))")
DEPTH = re.compile(r"depth(5|10|20)?(?:@(\d+)ms)?")
KLINE = re.compile(r"(?:kline|continuousKline|markPriceKline|indexPriceKline)_(\w+)")
CADENCE = re.compile(r"@\d+ms$")  # of an all-market stream, where a client still names one
CADENCES = {BINANCE_SPOT: (100, 1000), BINANCE_USDM: (100, 250, 500)}  # ms
DEFAULT_CADENCE = {BINANCE_SPOT: 1000, BINANCE_USDM: 250}
STREAM_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
INBOUND_CLOSE = (1008, "Too many requests")
TICKERS = {"ticker": "24hrTicker", "miniTicker": "24hrMiniTicker"}
ALL = {"!miniTicker@arr": "miniTicker", "!ticker@arr": "ticker"}
ALL_MARKS = {"!markPrice@arr": 3000, "!markPrice@arr@1s": 1000}
ROUTES = ("public", "market", "private")


class Streams(FakeVenue):
    """The stream side of the venue. `usdm_prefix`: where unrouted USD-M paths are, "" = nowhere."""

    usdm_prefix = ""
    unrouted = "all"
    spot_listen_keys = False

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._topics: dict[tuple, list[tuple[Connection, str]]] = {}
        # market, symbol, cadence -> what its next push holds
        self._slow: dict[tuple[int, str, int], dict] = {}
        self._due: dict[tuple[int, int], int] = {}  # market, cadence in ms -> next push
        self._mark_due_ns = {1000: 0, 3000: 0}
        self._second_due_ns = 0
        self._avg_due_ns = 0

    # ---- paths -------------------------------------------------------------------------------------

    def open_stream(self, connection: Connection, path: str, query: str) -> None:
        """Subscriptions of a stream path. Raises Refused where the venue has no such path."""
        options = dict(parse_qsl(query))
        market, route, rest = self._route(path)
        if rest.rstrip("/") not in ("/stream", "/ws") and not rest.startswith("/ws/"):
            raise Refused(404, "Not Found")
        combined = rest.startswith("/stream")
        connection.notes.update(kind="stream", market=market, route=route, combined=combined)
        if options.get("timeUnit", "").upper() == "MICROSECOND" and market == BINANCE_SPOT:
            connection.notes["microseconds"] = True
        if route == "private":
            key = options.get("listenKey") or (
                rest[4:] if rest.startswith("/ws/") else options.get("streams", "")
            )
            connection.notes.update(kind="user", key=key, events=options.get("events", ""))
            return
        names = options.get("streams", "") if combined else rest[4:]
        self._subscribe(connection, [x for x in unquote(names).split("/") if x])

    def _route(self, path: str) -> tuple[int, str, str]:
        """Market, route and rest of a stream path."""
        market, host = BINANCE_SPOT, SPOT_HOST.match(path)
        if self.usdm_prefix and path.startswith(self.usdm_prefix + "/"):
            market, path = BINANCE_USDM, path[len(self.usdm_prefix) :]
        elif host is not None:
            path = path[host.end() :]
        for route in ROUTES:
            if path.startswith(f"/{route}/"):
                return BINANCE_USDM, route, path[len(route) + 1 :]
        key = path.removeprefix("/ws/")
        if key in self.listen_keys:
            return self.listen_keys[key].market, "private", path
        if market == BINANCE_USDM:
            return BINANCE_USDM, "public" if self.unrouted == "public" else "", path
        return BINANCE_SPOT, "", path

    @property
    def listen_keys(self) -> dict:
        raise NotImplementedError

    def reindex(self) -> None:
        self._topics = {}
        for connection in self.connections.values():
            for name, topic in connection.topics.items():
                if isinstance(topic, tuple):
                    self._topics.setdefault(topic, []).append((connection, name))

    def _subscribe(self, connection: Connection, names: Iterable[str]) -> None:
        for name in names:
            connection.topics[name] = self._topic(connection, name)
        self.reindex()

    def _topic(self, connection: Connection, name: str) -> tuple | None:
        """(market, symbol, kind, ...) of a stream name; None where the venue has nothing to say on it."""
        market, route = connection.notes["market"], connection.notes["route"]
        if name in self.listen_keys and route in ("", "private"):
            connection.notes["key"] = name
            return None
        if route and stream_route(market, name) != route:
            return None
        if name.startswith("!"):
            return _all_topic(market, name)
        symbol, _, channel = name.partition("@")
        listing = self.listings.get((market, symbol.removesuffix("_perpetual").upper()))
        if listing is None or symbol != symbol.lower():
            return None
        key = (market, listing.symbol)
        match = DEPTH.fullmatch(channel)
        if match:
            cadence = int(match[2] or DEFAULT_CADENCE[market])
            return (*key, "depth", int(match[1] or 0), cadence) if cadence in CADENCES[market] else None
        if channel in ("bookTicker", "trade", "aggTrade", *TICKERS):
            return (*key, channel)
        kline = KLINE.fullmatch(channel)
        if kline and kline[1] in INTERVALS:
            return (*key, "kline", kline[1], channel.partition("_")[0].rpartition("@")[2])
        if market == BINANCE_SPOT and channel == "avgPrice":
            return (*key, "avgPrice")
        if market == BINANCE_USDM and channel in ("markPrice", "markPrice@1s"):
            return (*key, "markPrice", 1000 if channel.endswith("@1s") else 3000)
        return None

    def publish(self, topic: tuple, text: Callable[[], str]) -> None:
        """Send a data frame to whoever subscribed; it is only written where somebody did."""
        listeners = self._topics.get(topic)
        if not listeners:
            return
        raw = text()
        for connection, name in listeners:
            one = _in_microseconds(raw) if connection.notes.get("microseconds") else raw
            combined = connection.notes["combined"]
            self.send(connection, f'{{"stream":{dump(name)},"data":{one}}}' if combined else one)

    # ---- control -----------------------------------------------------------------------------------

    def control(self, connection: Connection, text: str, now_ns: int) -> None:
        """A control message, answered; too many of them in a second end the connection."""
        if self._too_many(connection, now_ns):
            self.hang_up(connection, *INBOUND_CLOSE)
            return
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            self.send(connection, dump({"code": 3, "msg": f"Invalid JSON: {error}"}))
            return
        number = message.get("id") if isinstance(message, dict) else None
        try:
            result = self._command(connection, message)
        except Reject as reject:
            self.send(connection, dump({"code": reject.code, "msg": reject.text, "id": number}))
        else:
            self.send(connection, dump({"result": result, "id": number}))

    def _too_many(self, connection: Connection, now_ns: int) -> bool:
        second = now_ns // (1000 * MS)
        at, count = connection.notes.get("inbound", (second, 0))
        count = count + 1 if at == second else 1
        connection.notes["inbound"] = second, count
        return count > PRODUCTS[connection.notes["market"]].inbound_per_s

    def _command(self, connection: Connection, message: object) -> object:
        if not isinstance(message, dict):
            raise Reject(2, "Invalid request: not an object")
        method, params, number = message.get("method"), message.get("params", []), message.get("id")
        if method not in STREAM_METHODS:
            expected = ", ".join(f"`{x}`" for x in STREAM_METHODS)
            raise Reject(2, f"Invalid request: unknown variant `{method}`, expected one of {expected}")
        if not good_id(number):
            raise Reject(
                2, "Invalid request: request ID must be an integer, a string of up to 36 characters, or null"
            )
        if not isinstance(params, list):
            raise Reject(2, "Invalid request: params must be an array")
        if method == "LIST_SUBSCRIPTIONS":
            return list(connection.topics)
        if method.endswith("PROPERTY"):
            return self._property(connection, method, params)
        if not params or not all(isinstance(x, str) for x in params):
            raise Reject(2, "Invalid request: params must be an array of stream names")
        if method == "UNSUBSCRIBE":
            for name in params:
                connection.topics.pop(name, None)
            self.reindex()
            return None
        if len({*connection.topics, *params}) > PRODUCTS[connection.notes["market"]].streams_max:
            raise Reject(2, "Invalid request: too many streams")
        if any(self.sub_fault(connection, x) == "fail" for x in params):
            raise Reject(2, "Invalid request: subscription failed")
        self._subscribe(connection, params)
        return None

    def _property(self, connection: Connection, method: str, params: list) -> object:
        if not params or params[0] != "combined":
            raise Reject(0, "Unknown property")
        if method == "GET_PROPERTY":
            return connection.notes["combined"]
        if len(params) != 2 or not isinstance(params[1], bool):
            raise Reject(1, "Invalid value type: expected Boolean")
        connection.notes["combined"] = params[1]
        return None

    def on_kicked(self, connection: Connection, topic: str, now_ns: int) -> None:
        """A subscription that was acknowledged falls silent: this venue does not say so."""
        connection.topics.pop(topic, None)
        self.reindex()

    # ---- books -------------------------------------------------------------------------------------

    def push_depth(self, listing, bids, asks, first_id, last_id, prev_id, now_ns) -> None:
        self._publish_depth(listing, 100, bids, asks, first_id, last_id, prev_id, now_ns)
        for cadence in CADENCES[listing.market][1:]:
            entry = self._slow.setdefault(
                (listing.market, listing.symbol, cadence),
                {"bids": {}, "asks": {}, "prev": prev_id, "last": prev_id},
            )
            entry["bids"].update(bids)
            entry["asks"].update(asks)
            entry["last"] = last_id

    def _push_slow(self, now_ns: int) -> None:
        """The depth streams of slower cadence: what the 100 ms pushes added up to."""
        due = {
            (market, cadence)
            for market, cadences in CADENCES.items()
            for cadence in cadences[1:]
            if now_ns >= self._due.get((market, cadence), 0)
        }
        if not due:
            return
        for market, cadence in due:
            self._due[market, cadence] = now_ns + cadence * MS
        for (market, symbol, cadence), x in self._slow.items():
            if (market, cadence) not in due or not (x["bids"] or x["asks"]):
                continue
            bids, asks = sorted(x["bids"].items(), reverse=True), sorted(x["asks"].items())
            listing = self.listings[market, symbol]
            self._publish_depth(listing, cadence, bids, asks, x["prev"] + 1, x["last"], x["prev"], now_ns)
            x.update(bids={}, asks={}, prev=x["last"])

    def _publish_depth(self, listing, cadence, bids, asks, first_id, last_id, prev_id, now_ns) -> None:
        key = (listing.market, listing.symbol, "depth")
        ids = (first_id, last_id, prev_id)
        self.publish((*key, 0, cadence), lambda: _depth_event(listing, bids, asks, ids, now_ns))
        for depth in (5, 10, 20):
            self.publish((*key, depth, cadence), partial(_partial_depth, listing, depth, ids, now_ns))

    def push_quote(self, listing: Listing, now_ns: int) -> None:
        topic = (listing.market, listing.symbol, "bookTicker")
        self.publish(topic, lambda: _book_ticker(listing, now_ns))
        self.publish((listing.market, "!", "bookTicker"), lambda: _book_ticker(listing, now_ns))

    # ---- trades --------------------------------------------------------------------------------------

    def publish_trade(self, listing, trade_id, price_ticks, size_lots, taker_side, now_ns) -> None:
        """A trade, and the aggregate trade of its own that it makes here."""
        key, ms = (listing.market, listing.symbol), now_ns // MS
        price, size = price_text(listing, price_ticks), size_text(listing, size_lots)
        maker = "true" if taker_side == SELL else "false"
        head = f'"E":{ms},"s":"{listing.symbol}"'
        is_spot = listing.market == BINANCE_SPOT
        tail = f'"T":{ms},"m":{maker},' + ('"M":true}' if is_spot else '"st":1}')
        more = "" if is_spot else f'"nq":"{size}",'
        kind = "" if is_spot else '"X":"MARKET",'
        self.publish(
            (*key, "trade"),
            lambda: f'{{"e":"trade",{head},"t":{trade_id},"p":"{price}","q":"{size}",{kind}{tail}',
        )
        self.publish(
            (*key, "aggTrade"),
            lambda: (
                f'{{"e":"aggTrade",{head},"a":{trade_id},"p":"{price}","q":"{size}",'
                f'{more}"f":{trade_id},"l":{trade_id},{tail}'
            ),
        )

    # ---- by the clock ----------------------------------------------------------------------------------

    def push_streams(self, now_ns: int) -> None:
        """What is due by time: slow depth, marks, candles and tickers."""
        self._push_slow(now_ns)
        self._push_marks(now_ns)
        if now_ns >= self._second_due_ns:
            self._second_due_ns = now_ns + 1000 * MS
            for topic in list(self._topics):
                self._push_statistics(topic, now_ns)

    def _push_marks(self, now_ns: int) -> None:
        for cadence in [x for x, due_ns in self._mark_due_ns.items() if now_ns >= due_ns]:
            self._mark_due_ns[cadence] = now_ns + cadence * MS
            for listing in self.of_market(BINANCE_USDM):
                topic = (listing.market, listing.symbol, "markPrice", cadence)
                if topic in self._topics and self.mark(listing) is not None:
                    self.publish(topic, partial(self._mark_text, listing, now_ns))
            topic = (BINANCE_USDM, "!", "markPrice", cadence)
            if topic in self._topics:
                rows = [self._mark_event(x, now_ns) for x in self.of_market(BINANCE_USDM) if self.mark(x)]
                self.publish(topic, partial(dump, rows))

    def of_market(self, market: int) -> list[Listing]:
        return [x for x in self.listings.values() if x.market == market]

    def _mark_text(self, listing: Listing, now_ns: int) -> str:
        return dump(self._mark_event(listing, now_ns))

    def _mark_event(self, listing: Listing, now_ns: int) -> dict:
        mark = e8(self.mark(listing) or 0)
        head = {"e": "markPriceUpdate", "E": now_ns // MS, "s": listing.symbol, "p": mark, "ap": mark}
        head |= {"P": mark, "i": mark, "r": self.funding_rate_of(listing), "T": next_funding_ms(now_ns)}
        return head | {"st": 1}

    def funding_rate_of(self, listing: Listing) -> str:
        return e8(Decimal(listing.funding_rate))

    def history(self, listing: Listing):
        raise NotImplementedError

    def _push_statistics(self, topic: tuple, now_ns: int) -> None:
        market, symbol, kind, *more = topic
        if symbol == "!" and kind in TICKERS:
            rows = [self._ticker(x, kind, now_ns) for x in self.of_market(market)]
            self.publish(topic, lambda: dump(rows))
        elif kind in TICKERS:
            self.publish(topic, lambda: dump(self._ticker(self.listings[market, symbol], kind, now_ns)))
        elif kind == "kline":
            listing, interval, source = self.listings[market, symbol], more[0], more[1]
            self.publish(topic, lambda: dump(self._kline(listing, interval, source, now_ns)))
        elif kind == "avgPrice":
            listing = self.listings[market, symbol]
            price = price_text(listing, self.history(listing).average(now_ns // MS, 5))
            row = {"e": "avgPrice", "E": now_ns // MS, "s": symbol, "i": "5m", "w": price, "T": now_ns // MS}
            self.publish(topic, lambda: dump(row))

    def _ticker(self, listing: Listing, kind: str, now_ns: int) -> dict:
        now_ms = now_ns // MS
        history = self.history(listing)
        bar = history.window(now_ms - DAY_MS, now_ms)
        row = {"e": TICKERS[kind], "E": now_ms, "s": listing.symbol}
        prices = {"c": bar.close, "o": bar.open, "h": bar.high, "l": bar.low}
        texts = {name: price_text(listing, x) for name, x in prices.items()}
        volumes = {"v": size_text(listing, bar.lots), "q": e8(quote_of(listing, bar.quote))}
        if kind == "miniTicker":
            return row | texts | volumes
        change = changes(listing, bar)
        row |= {
            "p": change["priceChange"],
            "P": change["priceChangePercent"],
            "w": change["weightedAvgPrice"],
        }
        if listing.market == BINANCE_SPOT:
            (bid, bid_lots), (ask, ask_lots) = (listing.engine.best(x) or (0, 0) for x in (BUY, SELL))
            row |= {"x": texts["o"], "b": price_text(listing, bid), "B": size_text(listing, bid_lots)}
            row |= {"a": price_text(listing, ask), "A": size_text(listing, ask_lots)}
        last = history.trades[-1].size_lots if history.trades else 0
        row |= texts | {"Q": size_text(listing, last)} | volumes
        row |= {"O": now_ms - DAY_MS, "C": now_ms, "F": bar.first_id, "L": bar.last_id, "n": bar.count}
        return row if listing.market == BINANCE_SPOT else row | {"st": 1}

    def _kline(self, listing: Listing, interval: str, source: str, now_ns: int) -> dict:
        now_ms, step_ms = now_ns // MS, INTERVALS[interval]
        open_ms = bucket_ms(now_ms, step_ms)
        rows = self.history(listing).candles(step_ms, open_ms, now_ms)
        bar = rows[-1][1] if rows else Bar(0, 0, 0, 0)
        k: dict = {"t": open_ms, "T": open_ms + step_ms - 1}
        if source == "kline":
            k["s"] = listing.symbol
        k |= {"i": interval, "f": bar.first_id, "L": bar.last_id}
        k |= {"o": price_text(listing, bar.open), "c": price_text(listing, bar.close)}
        k |= {"h": price_text(listing, bar.high), "l": price_text(listing, bar.low)}
        k |= {
            "v": size_text(listing, bar.lots),
            "n": bar.count,
            "x": False,
            "q": e8(quote_of(listing, bar.quote)),
        }
        k |= {"V": size_text(listing, bar.taker_lots), "Q": e8(quote_of(listing, bar.taker_quote)), "B": "0"}
        if source == "continuousKline":
            head = {"e": "continuous_kline", "E": now_ms, "ps": listing.symbol, "ct": "PERPETUAL"}
            return head | {"k": k}
        return {"e": "kline", "E": now_ms, "s": listing.symbol, "k": k}


# ---- shapes ------------------------------------------------------------------------------------------------


def _all_topic(market: int, name: str) -> tuple | None:
    """Streams of a whole market."""
    name = CADENCE.sub("", name)
    if name in ALL and (market == BINANCE_USDM or name != "!ticker@arr"):
        return market, "!", ALL[name]
    if market == BINANCE_USDM and name == "!bookTicker":
        return market, "!", "bookTicker"
    if market == BINANCE_USDM and name in ALL_MARKS:
        return market, "!", "markPrice", ALL_MARKS[name]
    return None


TIMES = re.compile(r'("(?:E|T|t|W|O|C|u)":)(\d{13})(?=[,}])')


def _in_microseconds(raw: str) -> str:
    """Times of a spot event in microseconds."""
    return TIMES.sub(r"\g<1>\g<2>000", raw)


def _depth_event(listing: Listing, bids, asks, ids, now_ns: int) -> str:
    ms, symbol, (first_id, last_id, prev_id) = now_ns // MS, listing.symbol, ids
    sides = f'"b":{dump(levels_text(listing, bids))},"a":{dump(levels_text(listing, asks))}'
    if listing.market == BINANCE_SPOT:
        return f'{{"e":"depthUpdate","E":{ms},"s":"{symbol}","U":{first_id},"u":{last_id},{sides}}}'
    return (
        f'{{"e":"depthUpdate","E":{ms},"T":{ms},"s":"{symbol}","U":{first_id},"u":{last_id},"pu":{prev_id},'
        f'{sides},"ps":"{symbol}","st":1}}'
    )


def _partial_depth(listing: Listing, n: int, ids, now_ns: int) -> str:
    bids, asks = listing.engine.levels(BUY, n), listing.engine.levels(SELL, n)
    if listing.market == BINANCE_USDM:
        return _depth_event(listing, bids, asks, ids, now_ns)
    sides = {"bids": levels_text(listing, bids), "asks": levels_text(listing, asks)}
    return dump({"lastUpdateId": ids[1]} | sides)


def _book_ticker(listing: Listing, now_ns: int) -> str:
    (bid, bid_lots), (ask, ask_lots) = (listing.engine.best(x) or (0, 0) for x in (BUY, SELL))
    top = (
        f'"b":"{price_text(listing, bid)}","B":"{size_text(listing, bid_lots)}",'
        f'"a":"{price_text(listing, ask)}","A":"{size_text(listing, ask_lots)}"'
    )
    number, symbol, ms = listing.engine.update_id, listing.symbol, now_ns // MS
    if listing.market == BINANCE_SPOT:
        return f'{{"u":{number},"s":"{symbol}",{top}}}'
    return f'{{"e":"bookTicker","u":{number},"E":{ms},"T":{ms},"s":"{symbol}","ps":"{symbol}",{top},"st":1}}'

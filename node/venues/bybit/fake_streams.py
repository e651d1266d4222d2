"""The public streams of the simulated Bybit: order books, trades, tickers, bars, price limits.

Books follow the venue's own rules: one counter `u` per topic, stepping by one; a window of exactly N
levels, out of which levels leave as size "0"; depth 1 as snapshots only, repeated after 3 s. Source:
bybit-exchange/docs `docs/v5/websocket/public/`, and captured frames for the order of members.
"""

import hashlib
import random
from collections import deque
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import Any

import orjson

from node.venues.bybit import rules
from node.venues.bybit.fake_candles import INTERVALS, Bar, Candles, bar_start
from node.venues.bybit.fake_codes import SIDE_TEXT, plain, price_of, price_text, size_of, size_text
from node.venues.bybit.rules import LINEAR, SPOT
from node.venues.fakes import BUY, MS, SELL, Best, Connection, FakeVenue, Listing

KLINE_NS = rules.SECOND
LIMIT_NS = 300 * MS
RECENT_TRADES = 1000
# how far from the reference price an order may reach: (X, Y) of `riskParameters`
PRICE_LIMIT = {LINEAR: (Decimal("0.01"), Decimal("0.02")), SPOT: (Decimal("0.005"), Decimal("0.01"))}


@dataclass(eq=False)
class _Book:
    """What one orderbook topic has published, to whomever."""

    listing: Listing
    depth: int
    u: int
    sides: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))
    due_ns: int = 0
    sent_ns: int = 0
    read_at: tuple[Any, int, Best] = (
        None,
        -1,
        None,
    )  # engine, its update id and what crosses, when last read
    window: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))

    @property
    def topic(self) -> str:
        return f"orderbook.{self.depth}.{self.listing.symbol}"

    def read(self) -> tuple[dict[int, int], dict[int, int]]:
        """The top of the book, best first. Nobody changes what was read."""
        listing = self.listing
        at = listing.engine, listing.engine.update_id, listing.crossing
        if self.read_at != at:
            self.read_at = at
            self.window = dict(listing.shown(BUY, self.depth)), dict(listing.shown(SELL, self.depth))
        return self.window


@dataclass(eq=False)
class Tape:
    """What an instrument's public side remembers."""

    seq: int
    candles: Candles
    update_id: int = -1  # of the matching engine, when `seq` last rose
    changed_ns: int = 0
    before_ticks: int = 0  # of the trade before
    first_ticks: int = 0  # the last price until there is a trade
    trades: list[dict] = field(default_factory=list)  # not sent yet
    recent: deque = field(default_factory=lambda: deque(maxlen=RECENT_TRADES))  # newest last
    ticker: dict[str, str] = field(default_factory=dict)
    ticker_due_ns: int = 0
    limits: tuple[int, int] = (0, 0)  # as last pushed
    day: Bar | None = None  # of the last 24 h, refreshed each second
    day_due_ns: int = 0


class PublicStreams(FakeVenue):
    """Everything that is the same for all clients."""

    def __init__(self, listings: list[Listing], seed: int = 1, **more: Any):
        super().__init__(listings, seed, **more)
        self._random = random.Random(seed)
        self._books: dict[tuple[int, str, int], _Book] = {}
        self._crossed_books: set[tuple[int, str]] = set()  # of listings in an auction
        self._tapes = {
            key: Tape(self._random.randrange(10**9, 10**10), Candles(f"{seed}/{key[0]}/{key[1]}"))
            for key in self.listings
        }
        self._now_ns = 0
        self._kline_due_ns = 0
        self._limit_due_ns = 0

    # ---- saying ----

    def send(self, connection: Connection, text: str) -> None:
        connection.notes["alive_ns"] = self._now_ns
        super().send(connection, text)

    @staticmethod
    def _text(message: dict) -> str:
        """As the venue's encoder writes it: `<`, `>` and `&` escaped."""
        text = orjson.dumps(message).decode()
        return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

    def _say(self, connection: Connection, message: dict) -> None:
        self.send(connection, self._text(message))

    def _hash(self, *parts: object) -> str:
        return hashlib.md5(repr((self.seed, *parts)).encode(), usedforsecurity=False).hexdigest()

    def _uuid(self, *parts: object) -> str:
        x = self._hash(*parts)
        return f"{x[:8]}-{x[8:12]}-5{x[13:16]}-b{x[17:20]}-{x[20:]}"

    def _trade_id(self, listing: Listing, what: str, number: int) -> str:
        """Ids of orders and trades: UUIDs on linear, decimal numbers on spot."""
        return str(number) if listing.market == SPOT else self._uuid(listing.symbol, what)

    def tape(self, listing: Listing) -> Tape:
        return self._tapes[(listing.market, listing.symbol)]

    # ---- prices ----

    def last_ticks(self, listing: Listing) -> int:
        """The last trade, or where there was none the middle of the book."""
        tape = self.tape(listing)
        if not listing.last_ticks and not tape.first_ticks:
            tape.first_ticks = self.mark_ticks(listing)
        return listing.last_ticks or tape.first_ticks

    def price_limits(self, listing: Listing) -> tuple[int, int]:
        """The highest price of a buy and the lowest of a sell, in ticks; zeros while there is no price."""
        reach, mark = PRICE_LIMIT[listing.market][0], Decimal(self.mark_ticks(listing))
        return int(mark * (1 + reach)), int((mark * (1 - reach)).to_integral_value(ROUND_CEILING))

    # ---- subscriptions ----

    def _exists(self, market: int, topic: str) -> bool:
        name, _, symbol = topic.rpartition(".")
        if (market, symbol) not in self.listings:
            return False
        books = [f"orderbook.{depth}" for depth in rules.BOOK_DEPTHS]
        quiet = ("allLiquidation", "priceLimit")
        if name.startswith("kline."):
            return name.removeprefix("kline.") in INTERVALS
        return name in ("publicTrade", "tickers", *books, *quiet)

    def _listeners(self, market: int, topic: str) -> list[Connection]:
        return [c for c in self.connections.values() if topic in c.topics and c.notes["market"] == market]

    def _first_data(self, connection: Connection, topics: list[str], now_ns: int) -> None:
        for topic in topics:
            if topic.startswith("orderbook."):
                self._send_snapshot(connection, topic, now_ns)
            elif topic.startswith("kline."):
                self._say(connection, self._kline_message(connection.notes["market"], topic, now_ns))

    # ---- time ----

    def _publish_due(self, now_ns: int) -> None:
        for book in list(self._books.values()):
            if now_ns >= book.due_ns:
                interval_ns = rules.BOOK_INTERVAL_NS[book.depth]
                book.due_ns = max(book.due_ns + interval_ns, now_ns - now_ns % interval_ns + interval_ns)
                self._publish(book, now_ns)
        for key in self.listings:
            self._publish_ticker(key, now_ns)
        if now_ns >= self._kline_due_ns:
            self._kline_due_ns = now_ns + KLINE_NS
            self._publish_klines(now_ns)
        if now_ns >= self._limit_due_ns:
            self._limit_due_ns = now_ns + LIMIT_NS
            self._publish_limits(now_ns)

    def settle(self, listing: Listing, now_ns: int) -> None:
        super().settle(listing, now_ns)
        tape = self.tape(listing)
        if tape.update_id != listing.engine.update_id:
            tape.update_id, tape.changed_ns = listing.engine.update_id, now_ns
            tape.seq += self._random.randint(1, 60)
        if tape.trades:
            self._send_trades(listing, tape, now_ns)

    def restart(self, listing: Listing, now_ns: int) -> None:
        """A fault: the push service restarts. Every book of the listing starts anew with u 1."""
        self.settle(listing, now_ns)
        for book in self._books.values():
            if book.listing is listing:
                book.u, book.sides, book.sent_ns = 1, book.read(), now_ns
                for connection in self._listeners(listing.market, book.topic):
                    self._say(connection, self._book_message(book, "snapshot", book.sides, now_ns))

    # ---- books ----

    def _depth_book(self, listing: Listing, depth: int, now_ns: int) -> _Book:
        """The state of a topic; where nobody listens it is brought up to date first."""
        key = (listing.market, listing.symbol, depth)
        if key not in self._books:
            self._books[key] = _Book(listing, depth, self._random.randrange(1000, 10**6), due_ns=now_ns)
        book = self._books[key]
        others = [c for c in self._listeners(listing.market, book.topic) if c.notes.get(book.topic)]
        if not others:
            book.u += 1
            book.sides = book.read()
        return book

    def _send_snapshot(self, connection: Connection, topic: str, now_ns: int) -> None:
        _, depth, symbol = topic.split(".", 2)
        listing = self.listings[(connection.notes["market"], symbol)]
        self.settle(listing, now_ns)
        book = self._depth_book(listing, int(depth), now_ns)
        book.sent_ns = now_ns
        connection.notes[topic] = True  # from here on this connection follows the deltas
        self._say(connection, self._book_message(book, "snapshot", book.sides, now_ns))

    def _publish(self, book: _Book, now_ns: int) -> None:
        """Push what changed in the window since the last push."""
        listeners = self._listeners(book.listing.market, book.topic)
        if not listeners:
            return
        if self._keeps_alive_only(book.listing, now_ns) or book.listing.status == "delisted":
            return
        new = book.read()
        changed: tuple[dict[int, int], dict[int, int]] = ({}, {})
        if new is not book.sides:
            changed = _difference(book.sides[BUY], new[BUY]), _difference(book.sides[SELL], new[SELL])
        is_repeat = not (changed[BUY] or changed[SELL])
        book.sides = new
        if is_repeat and (book.depth != 1 or now_ns - book.sent_ns < rules.BOOK_REPEAT_NS):
            return
        book.u += not is_repeat
        book.sent_ns = now_ns
        kind, sides = ("snapshot", new) if book.depth == 1 else ("delta", changed)
        if self.faults.any_of("book.cross"):
            sides = self._crossed(book.listing, sides, now_ns)
        message = self._book_message(book, kind, sides, now_ns)
        self._say_market(book.listing, "depth", listeners, message)

    def _say_market(self, listing: Listing, kind: str, listeners: list[Connection], message: dict) -> None:
        """A push of market data, where the faults of books and feeds act."""
        self._pushing, self._pushing_kind = listing, kind
        self._skipping, self._doubling, self._decided = set(), set(), set()
        try:
            for connection in listeners:
                self._say(connection, message)
        finally:
            self._pushing = None

    def on_book_reset(self, listing: Listing, now_ns: int) -> None:
        self.restart(listing, now_ns)

    def on_status(self, listing: Listing, now_ns: int) -> None:
        """No stream tells it; but the books start anew where an auction changes its phase."""
        if (listing.crossing is not None) != (listing.key in self._crossed_books):
            self._crossed_books ^= {listing.key}
            self.restart(listing, now_ns)

    def _book_message(self, book: _Book, kind: str, sides: tuple[dict, dict], now_ns: int) -> dict:
        listing, tape = book.listing, self.tape(book.listing)
        head = {"ts": now_ns // MS, "type": kind}
        if listing.market == LINEAR and book.depth != 1:  # spot, and depth 1, have `ts` first
            head = {"type": kind, "ts": now_ns // MS}
        bids, asks = sorted(sides[BUY].items(), reverse=True), sorted(sides[SELL].items())
        levels = [[[price_text(listing, p), size_text(listing, x)] for p, x in side] for side in (bids, asks)]
        data = {"s": listing.symbol, "b": levels[0], "a": levels[1], "u": book.u, "seq": tape.seq}
        return {"topic": book.topic, **head, "data": data, "cts": tape.changed_ns // MS}

    # ---- trades ----

    def push_trade(self, listing, trade_id, price_ticks, size_lots, taker_side, now_ns) -> None:
        tape = self.tape(listing)
        price, size, side = (
            price_text(listing, price_ticks),
            size_text(listing, size_lots),
            SIDE_TEXT[taker_side],
        )
        number = self._trade_id(listing, f"trade {trade_id}", 2290000000000000000 + trade_id)
        row: dict[str, object] = {"T": now_ns // MS, "s": listing.symbol, "S": side, "v": size, "p": price}
        if listing.market == LINEAR:
            up = price_ticks - tape.before_ticks
            row["L"] = "PlusTick" if up > 0 else "MinusTick" if up < 0 else "ZeroPlusTick"
            row |= {"i": number, "BT": False, "RPI": False}
        else:
            row = {"i": number, "T": row["T"], "p": price, "v": size, "S": side}
            row |= {"s": listing.symbol, "BT": False, "RPI": False}
        tape.before_ticks = price_ticks
        tape.candles.trade(now_ns // MS, price_ticks, size_lots)
        tape.trades.append(row)

    def _send_trades(self, listing: Listing, tape: Tape, now_ns: int) -> None:
        topic, rows = f"publicTrade.{listing.symbol}", [x | {"seq": tape.seq} for x in tape.trades]
        tape.trades = []
        tape.recent.extend(rows)
        step, head = rules.TRADES_PER_FRAME, {"type": "snapshot", "ts": now_ns // MS}
        if listing.market == SPOT:
            head = {"ts": now_ns // MS, "type": "snapshot"}
        listeners = self._listeners(listing.market, topic)
        for i in range(0, len(rows), step):
            message = {"topic": topic, **head, "data": rows[i : i + step]}
            self._say_market(listing, "trade", listeners, message)

    # ---- tickers ----

    def _day(self, listing: Listing, now_ns: int) -> Bar:
        tape, last = self.tape(listing), self.last_ticks(listing)
        tape.candles.begin(now_ns // MS, last)
        if tape.day is None or now_ns >= tape.day_due_ns:
            tape.day, tape.day_due_ns = tape.candles.day(now_ns // MS), now_ns + rules.SECOND
        tape.day.close = last
        tape.day.high, tape.day.low = max(tape.day.high, last), min(tape.day.low, last)
        return tape.day

    def _ticker(self, listing: Listing, now_ns: int) -> dict[str, str]:
        mark, last, day = self.mark_ticks(listing), self.last_ticks(listing), self._day(listing, now_ns)
        change = Decimal(last - day.open) / day.open if day.open else Decimal(0)
        ticker = {"symbol": listing.symbol, "lastPrice": price_text(listing, last)}
        ticker |= {"highPrice24h": price_text(listing, day.high), "lowPrice24h": price_text(listing, day.low)}
        ticker |= {
            "prevPrice24h": price_text(listing, day.open),
            "volume24h": plain(size_of(listing, day.lots)),
        }
        value = Decimal(day.value) * price_of(listing, 1) * size_of(listing, 1)
        ticker |= {"turnover24h": plain(value), "price24hPcnt": plain(round(change, 6))}
        if listing.market == SPOT:
            return ticker | {"usdIndexPrice": price_text(listing, self.index_ticks(listing))}
        ticker |= {"tickDirection": "ZeroPlusTick", "prevPrice1h": price_text(listing, last)}
        ticker |= {
            "markPrice": price_text(listing, mark),
            "indexPrice": price_text(listing, self.index_ticks(listing)),
        }
        interest = self.open_interest(listing)
        ticker |= {
            "openInterest": plain(interest),
            "openInterestValue": plain(interest * price_of(listing, mark)),
        }
        ticker |= {
            "fundingIntervalHour": str(listing.funding_interval_ns // (3600 * rules.SECOND)),
            "fundingCap": "0.005",
            "fundingRate": self.funding_rate(listing),
        }
        ticker["nextFundingTime"] = str(self.next_funding_ns(listing, now_ns) // MS)
        return (
            ticker | self._best_texts(listing) | {"preOpenPrice": "", "preQty": "", "curPreListingPhase": ""}
        )

    @staticmethod
    def _best_texts(listing: Listing) -> dict[str, str]:
        out = {}
        for name, level in (("bid1", listing.engine.best(BUY)), ("ask1", listing.engine.best(SELL))):
            out[f"{name}Price"] = price_text(listing, level[0]) if level else ""
            out[f"{name}Size"] = size_text(listing, level[1]) if level else ""
        return out

    def open_interest(self, listing: Listing) -> Decimal:
        """Made up: what the rest of the market holds does not change here."""
        return Decimal(int(self._hash("interest", listing.symbol)[:4], 16))

    def funding_rate(self, listing: Listing) -> str:
        return plain(Decimal(listing.funding_rate))

    @staticmethod
    def next_funding_ns(listing: Listing, now_ns: int) -> int:
        return (now_ns // listing.funding_interval_ns + 1) * listing.funding_interval_ns

    def _ticker_message(self, key: tuple[int, str], kind: str, data: dict[str, str], now_ns: int) -> dict:
        topic, seq, now_ms = f"tickers.{key[1]}", self._tapes[key].seq, now_ns // MS
        if key[0] == SPOT:
            return {"topic": topic, "ts": now_ms, "type": kind, "cs": seq, "data": data}
        return {"topic": topic, "type": kind, "data": data, "cs": seq, "ts": now_ms}

    def _send_ticker(self, connection: Connection, topic: str, now_ns: int) -> None:
        key = (connection.notes["market"], rules.topic_symbol(topic))
        tape = self._tapes[key]
        tape.ticker = tape.ticker or self._ticker(self.listings[key], now_ns)
        self._say(connection, self._ticker_message(key, "snapshot", tape.ticker, now_ns))

    def _publish_ticker(self, key: tuple[int, str], now_ns: int) -> None:
        """Linear: what changed; spot: all of it, where anything changed."""
        tape = self._tapes[key]
        if now_ns < tape.ticker_due_ns or not (listeners := self._listeners(key[0], f"tickers.{key[1]}")):
            return
        tape.ticker_due_ns = now_ns + rules.TICKER_INTERVAL_NS[key[0]]
        new = self._ticker(self.listings[key], now_ns)
        changed = {name: x for name, x in new.items() if tape.ticker.get(name) != x}
        tape.ticker = new
        if not changed:
            return
        kind, data = ("snapshot", new) if key[0] == SPOT else ("delta", {"symbol": key[1]} | changed)
        self._say_market(
            self.listings[key], "ticker", listeners, self._ticker_message(key, kind, data, now_ns)
        )

    # ---- bars and price limits ----

    def _topics(self, prefix: str) -> set[tuple[int, str]]:
        return {
            (c.notes["market"], topic)
            for c in self.connections.values()
            if c.notes.get("kind") == "public"
            for topic in c.topics
            if topic.startswith(prefix)
        }

    def _publish_klines(self, now_ns: int) -> None:
        for market, topic in sorted(self._topics("kline.")):
            message = self._kline_message(market, topic, now_ns)
            for connection in self._listeners(market, topic):
                self._say(connection, message)

    def _kline_message(self, market: int, topic: str, now_ns: int) -> dict:
        _, interval, symbol = topic.split(".", 2)
        listing, now_ms = self.listings[(market, symbol)], now_ns // MS
        candles = self.tape(listing).candles
        candles.begin(now_ms, self.last_ticks(listing))
        start = bar_start(interval, now_ms)
        rows = [self._kline_row(listing, candles.bar(interval, start), interval, now_ms)]
        if now_ms - start < KLINE_NS // MS:  # the bar before it is closed now
            before = bar_start(interval, start - 1)
            rows.insert(0, self._kline_row(listing, candles.bar(interval, before), interval, now_ms))
        return {"type": "snapshot", "topic": topic, "data": rows, "ts": now_ms}

    def _kline_row(self, listing: Listing, bar: Bar, interval: str, now_ms: int) -> dict:
        end = bar_start(interval, bar.start_ms + INTERVALS[interval])
        texts = {name: price_text(listing, getattr(bar, name)) for name in ("open", "close", "high", "low")}
        value = Decimal(bar.value) * price_of(listing, 1) * size_of(listing, 1)
        return {
            "start": bar.start_ms,
            "end": end - 1,
            "interval": interval,
            **texts,
            "volume": plain(size_of(listing, bar.lots)),
            "turnover": plain(value),
            "confirm": end <= now_ms,
            "timestamp": now_ms,
        }

    def _publish_limits(self, now_ns: int) -> None:
        for market, topic in sorted(self._topics("priceLimit.")):
            listing = self.listings[(market, rules.topic_symbol(topic))]
            limits, tape = self.price_limits(listing), self.tape(listing)
            if limits == tape.limits or not all(limits):
                continue
            tape.limits = limits
            data = {"symbol": listing.symbol, "buyLmt": price_text(listing, limits[0])}
            data["sellLmt"] = price_text(listing, limits[1])
            for connection in self._listeners(market, topic):
                self._say(connection, {"topic": topic, "data": data, "ts": now_ns // MS})


def _difference(old: dict[int, int], new: dict[int, int]) -> dict[int, int]:
    """What turns one window into the next: what entered or changed, and 0 for what left."""
    out = {price: 0 for price in old if price not in new}
    out.update((price, size) for price, size in new.items() if old.get(price) != size)
    return out

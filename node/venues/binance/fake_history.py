"""What the simulated Binance remembers of its markets: trades, minute bars, and candles and statistics from
them."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from node.venues.fakes import BUY, SELL, Listing

MINUTE_MS = 60_000
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
MONDAY_MS = 4 * DAY_MS  # the first Monday after 1970-01-01
MINUTES_KEPT = 3_000
TRADES_KEPT = 2_000
INTERVALS = {
    "1s": 1000,
    **{f"{n}m": n * MINUTE_MS for n in (1, 3, 5, 15, 30)},
    **{f"{n}h": n * 60 * MINUTE_MS for n in (1, 2, 4, 6, 8, 12)},
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
    "1w": WEEK_MS,
    "1M": 30 * DAY_MS,
}


@dataclass(frozen=True, slots=True)
class PublicTrade:
    id: int
    price_ticks: int
    size_lots: int
    ms: int
    taker_side: int


@dataclass(slots=True)
class Bar:
    """Prices and volumes of a stretch of time. `quote` and `taker_quote` are ticks times lots."""

    open: int
    high: int
    low: int
    close: int
    lots: int = 0
    quote: int = 0
    count: int = 0
    taker_lots: int = 0
    taker_quote: int = 0
    first_id: int = -1
    last_id: int = -1

    def add(self, other: "Bar") -> None:
        """Append a later stretch."""
        self.high, self.low, self.close = max(self.high, other.high), min(self.low, other.low), other.close
        self.lots += other.lots
        self.quote += other.quote
        self.count += other.count
        self.taker_lots += other.taker_lots
        self.taker_quote += other.taker_quote
        if other.count:
            self.first_id = other.first_id if self.first_id < 0 else self.first_id
            self.last_id = other.last_id


def bar_of(trade: PublicTrade) -> Bar:
    bought = trade.size_lots if trade.taker_side == BUY else 0
    price, quote = trade.price_ticks, trade.price_ticks * trade.size_lots
    return Bar(*(price,) * 4, trade.size_lots, quote, 1, bought, price * bought, trade.id, trade.id)


def bucket_ms(ms: int, step_ms: int) -> int:
    """Where the candle begins that `ms` is in; weeks begin on Monday."""
    shift = MONDAY_MS if step_ms == WEEK_MS else 0
    return (ms - shift) // step_ms * step_ms + shift


class History:
    """One listing's past. Minutes without trades, and all before the first one, are flat at the price next to
    them."""

    def __init__(self, listing: Listing):
        self.listing = listing
        self.trades: deque[PublicTrade] = deque(maxlen=TRADES_KEPT)
        self.minutes: dict[int, Bar] = {}

    def add(self, trade: PublicTrade) -> None:
        self.trades.append(trade)
        minute = trade.ms // MINUTE_MS
        if minute in self.minutes:
            self.minutes[minute].add(bar_of(trade))
            return
        self.minutes[minute] = bar_of(trade)
        while len(self.minutes) > MINUTES_KEPT:
            del self.minutes[next(iter(self.minutes))]

    def _bars(self, step_ms: int) -> Iterator[tuple[int, Bar]]:
        """What candles are made of: minutes, or trades where candles are shorter."""
        if step_ms < MINUTE_MS:
            return ((x.ms, bar_of(x)) for x in self.trades)
        return ((minute * MINUTE_MS, bar) for minute, bar in self.minutes.items())

    @property
    def last_ticks(self) -> int:
        """The last price; the middle of the book where nothing has traded yet; else 0."""
        if self.trades:
            return self.trades[-1].price_ticks
        best = [self.listing.engine.best(side) for side in (BUY, SELL)]
        prices = [x[0] for x in best if x is not None]
        return sum(prices) // len(prices) if prices else 0

    def window(self, from_ms: int, to_ms: int) -> Bar:
        """All that happened in the minutes of a stretch."""
        flat = self._before(from_ms)
        bar = Bar(flat, flat, flat, flat)
        started = False
        for minute in range(from_ms // MINUTE_MS, to_ms // MINUTE_MS + 1):
            found = self.minutes.get(minute)
            if found is None:
                continue
            if not started:
                bar.open = bar.high = bar.low = found.open
                started = True
            bar.add(found)
        return bar

    def _before(self, ms: int) -> int:
        """The price at a moment: of the last trade before, else of the first one known."""
        price = 0
        for minute, bar in self.minutes.items():
            if minute * MINUTE_MS >= ms:
                return price or bar.open
            price = bar.close
        return price or self.last_ticks

    def candles(self, step_ms: int, from_ms: int, to_ms: int) -> list[tuple[int, Bar]]:
        """(open time, bar) of each candle that begins in a stretch, in order."""
        if not self.last_ticks:
            return []
        starts = range(bucket_ms(from_ms + step_ms - 1, step_ms), to_ms + 1, step_ms)
        out: dict[int, Bar] = {}
        for ms, bar in self._bars(step_ms):
            start = bucket_ms(ms, step_ms)
            if starts and starts[0] <= start <= starts[-1]:
                if start in out:
                    out[start].add(bar)
                else:
                    out[start] = Bar(*(getattr(bar, x) for x in Bar.__slots__))
        price = self._before(starts[0]) if starts else 0
        for start in starts:
            if start in out:
                price = out[start].close
            else:
                out[start] = Bar(price, price, price, price)
        return sorted(out.items())

    def average(self, now_ms: int, minutes: int) -> int:
        """Volume-weighted average price in ticks over some minutes; the last price where nothing traded."""
        bar = self.window(now_ms - minutes * MINUTE_MS, now_ms)
        return bar.quote // bar.lots if bar.lots else self.last_ticks


def quote_of(listing: Listing, ticks_lots: int) -> Decimal:
    """Quote value of ticks times lots."""
    return Decimal(ticks_lots) * Decimal(listing.tick) * Decimal(listing.lot)

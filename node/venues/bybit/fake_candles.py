"""Bars of one instrument, as Bybit's kline endpoints and topics give them, with a past that never
happened.

What was traded since the start is exact. Before the first trade there is a made-up history, the same for
one seed: clients ask for hundreds of bars as soon as they connect, and a venue always has them.
"""

import zlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
INTERVALS = {x: int(x) * MINUTE_MS for x in ("1", "3", "5", "15", "30", "60", "120", "240", "360", "720")}
INTERVALS |= {"D": DAY_MS, "W": 7 * DAY_MS, "M": 31 * DAY_MS}
KEPT_MINUTES = 3 * 24 * 60
MONDAY_MS = 4 * DAY_MS  # the epoch was a Thursday


@dataclass(slots=True)
class Bar:
    """Prices in ticks, `lots` traded and their `value` in ticks * lots."""

    start_ms: int
    open: int
    high: int
    low: int
    close: int
    lots: int = 0
    value: int = 0

    def add(self, ticks: int, lots: int) -> None:
        self.high, self.low, self.close = max(self.high, ticks), min(self.low, ticks), ticks
        self.lots += lots
        self.value += ticks * lots


def bar_start(interval: str, at_ms: int) -> int:
    """When the bar of a time began."""
    if interval == "M":
        day = datetime.fromtimestamp(at_ms / 1000, UTC).replace(
            day=1, hour=0, minute=0, second=0, microsecond=0
        )
        return int(day.timestamp()) * 1000
    length = INTERVALS[interval]
    shift = MONDAY_MS if interval == "W" else 0
    return (at_ms - shift) // length * length + shift


class Candles:
    """Minute bars of one instrument; other intervals are put together from them."""

    def __init__(self, name: str):
        self.name = name
        self.first_ms = 0  # start of the first minute that really was
        self.anchor_ticks = 0
        self.minutes: OrderedDict[int, Bar] = OrderedDict()

    def begin(self, at_ms: int, ticks: int) -> None:
        """The first price: what came before is made up around it."""
        if not self.first_ms and ticks > 0:
            self.first_ms = at_ms // MINUTE_MS * MINUTE_MS
            self.anchor_ticks = ticks

    def trade(self, at_ms: int, ticks: int, lots: int) -> None:
        self.begin(at_ms, ticks)
        start = at_ms // MINUTE_MS * MINUTE_MS
        if start not in self.minutes:
            before = self._last_close()
            self.minutes[start] = Bar(start, before, max(before, ticks), min(before, ticks), ticks)
            if len(self.minutes) > KEPT_MINUTES:
                self.minutes.popitem(last=False)
        self.minutes[start].add(ticks, lots)

    def bar(self, interval: str, start_ms: int) -> Bar:
        """The bar that starts there, as far as it is known."""
        end_ms = bar_start(interval, start_ms + INTERVALS[interval] + (DAY_MS if interval == "M" else 0))
        if start_ms >= self.first_ms:
            before = self._close_before(start_ms)
            out = Bar(start_ms, before, before, before, before)
        else:
            out = self._past(start_ms, min(end_ms, self.first_ms))
        return self._join(out, start_ms, end_ms)

    def bars(self, interval: str, start_ms: int | None, end_ms: int, limit: int) -> list[Bar]:
        """Bars whose start is between the two times, newest first; at most `limit`, of the newest ones, or
        of the oldest where only a start was given."""
        out: list[Bar] = []
        at_ms = bar_start(interval, end_ms)
        while at_ms > 0 and len(out) < limit and (start_ms is None or at_ms >= start_ms):
            out.append(self.bar(interval, at_ms))
            at_ms = bar_start(interval, at_ms - 1)
        return out

    def day(self, now_ms: int) -> Bar:
        """The last 24 hours up to now, as one bar."""
        start_ms = now_ms - now_ms % MINUTE_MS - DAY_MS + MINUTE_MS
        if not self.first_ms:
            return Bar(start_ms, 0, 0, 0, 0)
        out = self._past(start_ms, self.first_ms) if start_ms < self.first_ms else None
        if out is None:
            before = self._close_before(start_ms)
            out = Bar(start_ms, before, before, before, before)
        return self._join(out, start_ms, now_ms + 1)

    def _join(self, out: Bar, start_ms: int, end_ms: int) -> Bar:
        for at_ms in reversed(self.minutes):
            if at_ms < start_ms:
                break
            if at_ms < end_ms:
                bar = self.minutes[at_ms]
                out.high, out.low = max(out.high, bar.high), min(out.low, bar.low)
                out.lots, out.value = out.lots + bar.lots, out.value + bar.value
        out.close = self._close_before(end_ms) if end_ms > self.first_ms else out.close
        return out

    def _last_close(self) -> int:
        return self.minutes[next(reversed(self.minutes))].close if self.minutes else self.anchor_ticks

    def _close_before(self, at_ms: int) -> int:
        for start in reversed(self.minutes):
            if start < at_ms:
                return self.minutes[start].close
        return self.anchor_ticks

    def _past(self, start_ms: int, end_ms: int) -> Bar:
        """Made up: opens where the bar before it closed."""
        first = self._walk(start_ms)
        last = self.anchor_ticks if end_ms >= self.first_ms else self._walk(end_ms)
        away = self._draw("away", start_ms) % max(2, self.anchor_ticks // 2000)
        minutes = max(1, (end_ms - start_ms) // MINUTE_MS)
        lots = minutes * (1 + self._draw("lots", start_ms) % 5000)
        return Bar(
            start_ms,
            first,
            max(first, last) + away,
            max(1, min(first, last) - away),
            last,
            lots,
            lots * first,
        )

    def _walk(self, at_ms: int) -> int:
        reach = max(2, self.anchor_ticks // 500)
        return max(1, self.anchor_ticks + self._draw("walk", at_ms) % (2 * reach) - reach)

    def _draw(self, what: str, at_ms: int) -> int:
        return zlib.crc32(f"{self.name}/{what}/{at_ms}".encode())

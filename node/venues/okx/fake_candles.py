"""Candles of one price of one instrument, as the simulated OKX keeps them: by the minute, and the last ones
by the second.

They begin when the venue does. A step without a trade repeats the last close with no volume, as the venue's
do. Bars of six hours and more are days of UTC+8 unless the name ends in `utc` (docs-v5 "Get candlesticks").
"""

from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1000, 60_000, 3_600_000, 86_400_000
BARS = {"1s": SECOND_MS} | {f"{n}m": n * MINUTE_MS for n in (1, 3, 5, 15, 30)}
BARS |= {f"{n}H": n * HOUR_MS for n in (1, 2, 4, 6, 12)} | {f"{n}D": n * DAY_MS for n in (1, 2, 3, 5)}
BARS |= {"1W": 7 * DAY_MS, "1M": 31 * DAY_MS, "3M": 92 * DAY_MS}
BARS |= {f"{name}utc": BARS[name] for name in ("6H", "12H", "1D", "2D", "3D", "5D", "1W", "1M", "3M")}
MONDAY_MS = 4 * DAY_MS  # 1970-01-05


@dataclass(slots=True)
class Candle:
    """One bar; prices in ticks. `value` is the sum of ticks x lots."""

    start_ms: int
    open: int
    high: int
    low: int
    close: int
    lots: int = 0
    value: int = 0
    closed: bool = False

    def add(self, other: "Candle") -> None:
        self.high, self.low = max(self.high, other.high), min(self.low, other.low)
        self.close = other.close
        self.lots += other.lots
        self.value += other.value


class Candles:
    """The history of one price."""

    def __init__(self, minutes: int = 1500, seconds: int = 600):
        self.minutes: deque[Candle] = deque(maxlen=minutes)
        self.seconds: deque[Candle] = deque(maxlen=seconds)

    def put(self, now_ns: int, ticks: int, lots: int = 0) -> None:
        """A trade of `lots` at `ticks`, or with none a price that is worth remembering."""
        now_ms = now_ns // 1_000_000
        for rows, step_ms in ((self.minutes, MINUTE_MS), (self.seconds, SECOND_MS)):
            roll(rows, now_ms, step_ms)
            start_ms = now_ms - now_ms % step_ms
            change = Candle(start_ms, ticks, ticks, ticks, ticks, lots, ticks * lots)
            if not rows:
                rows.append(change)
            elif lots and not rows[-1].lots:
                rows[-1] = change  # the first trade of a step opens it
            else:
                rows[-1].add(change)

    def bars(self, bar: str, now_ns: int) -> list[Candle]:
        """All bars of that name, oldest first. Raises KeyError for a name that is none."""
        now_ms = now_ns // 1_000_000
        rows, step_ms = (self.seconds, SECOND_MS) if bar == "1s" else (self.minutes, MINUTE_MS)
        if rows:
            roll(rows, now_ms, step_ms)
        out: list[Candle] = []
        for row in rows:
            start_ms = start_of(bar, row.start_ms)
            if out and out[-1].start_ms == start_ms:
                out[-1].add(row)
            else:
                out.append(replace(row, start_ms=start_ms))
        for row in out[:-1]:
            row.closed = True
        return out

    def day(self, now_ns: int) -> Candle | None:
        """The last 24 hours as one candle; None where there is no price yet."""
        since_ms = now_ns // 1_000_000 - DAY_MS
        out: Candle | None = None
        for row in self.minutes:
            if row.start_ms >= since_ms:
                if out is None:
                    out = replace(row)
                else:
                    out.add(row)
        return out


def roll(rows: deque[Candle], now_ms: int, step_ms: int) -> None:
    """Add what is missing up to now: steps in which nothing was traded."""
    if not rows:
        return
    start_ms, close = now_ms - now_ms % step_ms, rows[-1].close
    first_ms = max(rows[-1].start_ms + step_ms, start_ms - step_ms * (rows.maxlen or 0))
    for at_ms in range(first_ms, start_ms + 1, step_ms):
        rows.append(Candle(at_ms, close, close, close, close))


def start_of(bar: str, at_ms: int) -> int:
    """When the bar that contains `at_ms` begins."""
    step_ms = BARS[bar]
    shift_ms = 0 if bar.endswith("utc") or step_ms < 6 * HOUR_MS else 8 * HOUR_MS
    if "M" in bar:
        day = datetime.fromtimestamp((at_ms + shift_ms) / 1000, UTC)
        month = day.month if bar.startswith("1") else (day.month - 1) // 3 * 3 + 1
        return int(datetime(day.year, month, 1, tzinfo=UTC).timestamp()) * 1000 - shift_ms
    if "W" in bar:
        shift_ms -= MONDAY_MS
    return (at_ms + shift_ms) // step_ms * step_ms - shift_ms

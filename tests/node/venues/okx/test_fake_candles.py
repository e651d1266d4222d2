"""Candles: bars, gaps, days of UTC+8."""

from datetime import UTC, datetime

import pytest

from node.venues.okx.fake_candles import BARS, Candles, start_of

MINUTE_NS = 60 * 10**9
T0 = 1_700_000_040 * 10**9  # a whole minute


def test_trades_make_a_bar_and_quiet_minutes_repeat_the_close():
    candles = Candles()
    for after_s, ticks, lots in ((0, 100, 1), (10, 130, 2), (20, 90, 3), (59, 110, 4)):
        candles.put(T0 + after_s * 10**9, ticks, lots)
    rows = candles.bars("1m", T0 + 2 * MINUTE_NS)
    assert [(x.open, x.high, x.low, x.close, x.lots, x.closed) for x in rows] == [
        (100, 130, 90, 110, 10, True),
        (110, 110, 110, 110, 0, True),
        (110, 110, 110, 110, 0, False),
    ]
    assert rows[0].value == 100 + 260 + 270 + 440


def test_the_first_trade_opens_a_bar():
    candles = Candles()
    candles.put(T0, 100, 1)
    candles.put(T0 + MINUTE_NS + 1, 150, 1)
    assert candles.bars("1m", T0 + MINUTE_NS + 2)[-1].open == 150


def test_longer_bars_add_up_the_minutes():
    candles = Candles()
    for minute in range(10):
        candles.put(T0 + minute * MINUTE_NS, 100 + minute, 1)
    rows = candles.bars("5m", T0 + 9 * MINUTE_NS)
    assert sum(x.lots for x in rows) == 10
    assert all(x.start_ms % 300_000 == 0 for x in rows)
    assert rows[0].open == 100
    assert rows[-1].close == 109


def test_a_long_gap_costs_no_more_than_what_is_kept():
    candles = Candles(minutes=10)
    candles.put(T0, 100, 1)
    assert len(candles.bars("1m", T0 + 10**6 * MINUTE_NS)) == 10


def test_a_day_is_the_last_24_hours():
    candles = Candles()
    assert candles.day(T0) is None
    candles.put(T0, 100, 1)
    candles.put(T0 + 25 * 60 * MINUTE_NS, 200, 1)
    day = candles.day(T0 + 25 * 60 * MINUTE_NS)
    assert day is not None
    assert (day.low, day.high, day.lots) == (100, 200, 1)


@pytest.mark.parametrize(
    ("bar", "want"),
    [
        ("1s", "2023-11-15T22:17:05"),
        ("15m", "2023-11-15T22:15:00"),
        ("4H", "2023-11-15T20:00:00"),
        ("1D", "2023-11-15T16:00:00"),
        ("1Dutc", "2023-11-15T00:00:00"),
        ("1W", "2023-11-12T16:00:00"),
        ("1Wutc", "2023-11-13T00:00:00"),
        ("1M", "2023-10-31T16:00:00"),
        ("3Mutc", "2023-10-01T00:00:00"),
    ],
)
def test_bars_begin_where_the_venue_lets_them_begin(bar, want):
    at = datetime(2023, 11, 15, 22, 17, 5, tzinfo=UTC)
    start = datetime.fromtimestamp(start_of(bar, int(at.timestamp() * 1000)) / 1000, UTC)
    assert start.isoformat() == f"{want}+00:00"


def test_every_bar_name_has_a_start():
    assert all(start_of(bar, T0 // 10**6) <= T0 // 10**6 for bar in BARS)

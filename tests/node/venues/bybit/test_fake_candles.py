"""Bars: exact where something was traded, made up but consistent before."""

import itertools
import random

import pytest

from node.venues.bybit.fake_candles import DAY_MS, INTERVALS, MINUTE_MS, Candles, bar_start

MONDAY_MS = 1_711_324_800_000  # 2024-03-25 00:00 UTC
NOW_MS = MONDAY_MS + 3 * DAY_MS + 7 * 3_600_000 + 123


@pytest.mark.parametrize(
    ("interval", "start"),
    [
        ("1", NOW_MS // MINUTE_MS * MINUTE_MS),
        ("60", MONDAY_MS + 3 * DAY_MS + 7 * 3_600_000),
        ("D", MONDAY_MS + 3 * DAY_MS),
        ("W", MONDAY_MS),
        ("M", MONDAY_MS - 24 * DAY_MS),
    ],
)
def test_a_bar_begins_where_the_calendar_says(interval, start):
    assert bar_start(interval, NOW_MS) == start
    assert bar_start(interval, start) == start
    assert bar_start(interval, start - 1) < start


@pytest.mark.parametrize("interval", list(INTERVALS))
def test_bars_follow_one_another_and_open_where_the_one_before_closed(interval):
    candles = Candles("x")
    candles.begin(NOW_MS, 100_000)
    bars = candles.bars(interval, None, NOW_MS, 50)
    assert len(bars) == 50
    for newer, older in itertools.pairwise(bars):
        assert newer.start_ms > older.start_ms
        assert newer.open == older.close
    for bar in bars:
        assert 0 < bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high


def test_what_was_traded_is_in_the_bars_of_every_interval():
    candles, rng = Candles("x"), random.Random(1)
    trades = [
        (NOW_MS + rng.randrange(2 * 3_600_000), rng.randint(99, 101), rng.randint(1, 9)) for _ in range(500)
    ]
    for trade in sorted(trades):
        candles.trade(*trade)
    last_ms = max(trades)[0]
    for interval in ("1", "5", "60"):
        first = bar_start(interval, NOW_MS)
        bars = [x for x in candles.bars(interval, first, last_ms, 1000) if x.start_ms > NOW_MS]
        inside = [t for t in trades if t[0] >= min(x.start_ms for x in bars)]
        assert sum(x.lots for x in bars) == sum(lots for _, _, lots in inside)
        assert sum(x.value for x in bars) == sum(ticks * lots for _, ticks, lots in inside)
        assert max(x.high for x in bars) <= 101
        assert bars[0].close == sorted(trades, key=lambda t: t[0])[-1][1]


def test_one_name_gives_the_same_past():
    def past(name):
        candles = Candles(name)
        candles.begin(NOW_MS, 50_000)
        return candles.bars("15", None, NOW_MS, 20)

    assert past("a") == past("a")
    assert past("a") != past("b")


def test_nothing_is_known_before_the_first_price():
    assert Candles("x").day(NOW_MS).close == 0


def test_a_day_holds_its_trades_and_moves_on():
    candles = Candles("x")
    candles.trade(NOW_MS, 100, 5)
    candles.trade(NOW_MS + 30 * 3_600_000, 120, 7)
    day = candles.day(NOW_MS + 30 * 3_600_000)
    assert (day.open, day.high, day.low, day.close, day.lots) == (100, 120, 100, 120, 7)

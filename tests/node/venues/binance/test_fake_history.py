"""Candles and statistics out of trades, against a count by hand."""

from random import Random

import pytest

from node.venues.binance.fake_history import (
    DAY_MS,
    INTERVALS,
    MINUTE_MS,
    History,
    PublicTrade,
    bucket_ms,
    quote_of,
)
from node.venues.binance.rules import BINANCE_SPOT
from node.venues.fakes import BUY, SELL, Listing

START = 1_770_000_000_000


def filled(seed=1, n=400):
    rng = Random(seed)
    history, rows, ms = History(Listing("BTCUSDT", "0.01", "0.001", BINANCE_SPOT)), [], START
    for i in range(n):
        ms += rng.randint(0, 60_000)
        rows.append(
            PublicTrade(i + 1, rng.randint(900, 1100), rng.randint(1, 50), ms, rng.choice((BUY, SELL)))
        )
        history.add(rows[-1])
    return history, rows


@pytest.mark.parametrize("interval", ["1m", "5m", "1h", "1d", "1s"])
def test_candles_hold_exactly_the_trades_of_their_time(interval):
    history, rows = filled()
    step = INTERVALS[interval]
    candles = history.candles(step, START - step + 1, rows[-1].ms)
    assert [at for at, _ in candles] == sorted({at for at, _ in candles})
    assert sum(bar.count for _, bar in candles) == sum(1 for x in rows if x.ms >= candles[0][0])
    for at, bar in candles:
        mine = [x for x in rows if at <= x.ms < at + step]
        if mine:
            prices = [x.price_ticks for x in mine]
            assert (bar.open, bar.high, bar.low, bar.close) == (
                prices[0],
                max(prices),
                min(prices),
                prices[-1],
            )
            assert bar.lots == sum(x.size_lots for x in mine)
            assert bar.taker_lots == sum(x.size_lots for x in mine if x.taker_side == BUY)
            assert (bar.first_id, bar.last_id, bar.count) == (mine[0].id, mine[-1].id, len(mine))
        else:
            assert bar.open == bar.high == bar.low == bar.close
            assert bar.count == 0


def test_before_the_first_trade_the_price_is_flat():
    history, rows = filled(n=3)
    candles = history.candles(MINUTE_MS, START - 10 * MINUTE_MS, START - MINUTE_MS)
    assert len(candles) == 10
    assert {bar.close for _, bar in candles} == {rows[0].price_ticks}


def test_a_market_without_any_price_has_no_candles():
    history = History(Listing("BTCUSDT", "0.01", "0.001", BINANCE_SPOT))
    assert history.candles(MINUTE_MS, START, START + DAY_MS) == []
    history.listing.engine.set_level(BUY, 100, 5)
    history.listing.engine.set_level(SELL, 103, 5)
    assert history.last_ticks == 101


def test_a_window_and_its_average():
    history, rows = filled()
    end = rows[-1].ms
    bar = history.window(START, end)
    assert (bar.count, bar.close) == (len(rows), rows[-1].price_ticks)
    recent = [x for x in rows if x.ms // MINUTE_MS >= (end - 5 * MINUTE_MS) // MINUTE_MS]
    value = sum(x.price_ticks * x.size_lots for x in recent)
    assert history.average(end, 5) == value // sum(x.size_lots for x in recent)


def test_weeks_begin_on_monday():
    monday = 1_769_990_400_000 // DAY_MS * DAY_MS
    while (monday // DAY_MS + 3) % 7:
        monday += DAY_MS
    assert bucket_ms(monday + 5 * DAY_MS, INTERVALS["1w"]) == monday


def test_quote_is_ticks_times_lots_in_money():
    listing = Listing("BTCUSDT", "0.01", "0.001", BINANCE_SPOT)
    assert str(quote_of(listing, 6_000_000 * 10).normalize()) == "6E+2"

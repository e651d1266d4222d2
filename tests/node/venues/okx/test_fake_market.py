"""Public prices: REST rows, channels at their pace, candles, limits, funding history."""

import pytest
from okx_client import BUSINESS, PUBLIC, Venue, books, code, rows_of

from node.venues.fakes import BUY, MS, SECOND, SELL

SWAP_ID = "BTC-USDT-SWAP"
HOUR = 3600 * SECOND


@pytest.mark.parametrize(
    ("path", "rows"),
    [
        ("public/time", 1),
        ("public/instruments?instType=SPOT", 1),
        ("public/instruments?instType=FUTURES", 0),
        ("public/instruments?instType=OPTION&uly=BTC-USD", 0),
        ("public/instruments?instType=MARGIN", 0),
        (f"public/funding-rate?instId={SWAP_ID}", 1),
        ("public/funding-rate?instId=ANY", 1),
        ("public/mark-price?instType=SWAP", 1),
        (f"public/mark-price?instId={SWAP_ID}", 1),
        (f"public/mark-price?instType=ANY&instId={SWAP_ID}", 1),
        (f"public/price-limit?instId={SWAP_ID}", 1),
        ("public/open-interest?instType=SWAP", 1),
        ("public/position-tiers?instType=SWAP&tdMode=cross&instFamily=BTC-USDT", 5),
        (f"public/estimated-price?instId={SWAP_ID}", 0),
        ("public/underlying?instType=SWAP", 1),
        ("public/discount-rate-interest-free-quota", 2),
        ("public/delivery-exercise-history?instType=FUTURES&uly=BTC-USD", 0),
        ("market/tickers?instType=SPOT", 1),
        (f"market/ticker?instId={SWAP_ID}", 1),
        ("market/index-tickers?quoteCcy=USDT", 1),
        ("market/index-tickers?instId=BTC-USDT", 1),
        ("market/candles?instId=BTC-USDT", 1),
        ("market/history-candles?instId=BTC-USDT&bar=1H", 1),
        (f"market/mark-price-candles?instId={SWAP_ID}", 1),
        ("market/index-candles?instId=BTC-USDT", 1),
        ("market/platform-24-volume", 1),
        ("system/status", 0),
        ("rubik/stat/taker-volume?ccy=BTC&instType=SPOT", 0),
    ],
)
def test_a_public_call_is_answered(path, rows):
    assert len(Venue().get(path)) == rows


@pytest.mark.parametrize(
    ("path", "want"),
    [
        ("public/instruments", "51000"),
        ("public/mark-price", "51000"),
        ("public/mark-price?instId=X", "51001"),
        ("public/funding-rate?instId=BTC-USDT", "51000"),
        ("public/funding-rate", "50014"),
        ("public/position-tiers?instType=SWAP", "51000"),
        ("market/index-tickers", "50015"),
        ("market/candles?instId=BTC-USDT&bar=7m", "51000"),
        ("market/candles?instId=BTC-USDT&after=x", "51000"),
        ("market/index-candles?instId=NO-SUCH", "51014"),
        (f"public/convert-contract-coin?instId={SWAP_ID}&sz=x", "51000"),
        ("public/nothing", "404"),
    ],
)
def test_a_wrong_question_gets_its_code(path, want):
    assert Venue().ask("GET", path)[1]["code"] == want


def test_trades_are_answered_newest_first_and_in_pages():
    venue = Venue()
    for _ in range(5):
        venue.spot.engine.set_level(SELL, 600_001, 5)
        venue.spot.engine.trade(BUY, 600_001, 5)
    venue.fake.tick(venue.now)
    ids = [int(x["tradeId"]) for x in venue.get("market/trades?instId=BTC-USDT")]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 5
    older = venue.get(f"market/history-trades?instId=BTC-USDT&after={ids[1]}&limit=2")
    assert [int(x["tradeId"]) for x in older] == ids[2:4]


def test_a_candle_has_volumes_in_contracts_coins_and_quote_currency():
    venue = Venue()
    venue.swap.engine.trade(BUY, 600_001, 100)
    venue.fake.tick(venue.now)
    (row,) = venue.get(f"market/candles?instId={SWAP_ID}")
    assert row[4:] == ["60000.1", "1", "0.01", "600.001", "0"]
    ticker = venue.get(f"market/ticker?instId={SWAP_ID}")[0]
    assert (ticker["last"], ticker["vol24h"], ticker["volCcy24h"]) == ("60000.1", "1", "0.01")


def test_candles_are_pushed_once_a_second_and_closed_with_a_one():
    venue = Venue()
    connection = venue.open(BUSINESS)
    frames = venue.subscribe(connection, books(channel="candle1m"))
    for _ in range(7):
        venue.spot.engine.set_level(SELL, 600_001, 100)
        venue.spot.engine.trade(BUY, 600_001, 100)
        frames += venue.wait(connection, 10 * SECOND, 500 * MS)
    rows = rows_of(frames, "candle1m")
    closed = [x for x in rows if x[8] == "1"]
    assert closed
    assert all(int(x[0]) % 60_000 == 0 for x in rows)
    assert len(rows) <= 20
    assert code(venue.subscribe(connection, books(channel="candle7m"))) == "60018"


def test_index_price_limit_and_open_interest_come_by_channel():
    venue = Venue(band_percent=1)
    connection = venue.open(PUBLIC)
    frames = venue.subscribe(
        connection,
        books("BTC-USDT", "index-tickers"),
        books(SWAP_ID, "price-limit"),
        books(SWAP_ID, "open-interest"),
    )
    (limit,) = rows_of(frames, "price-limit")
    assert (limit["buyLmt"], limit["sellLmt"], limit["enabled"]) == ("60600", "59400", True)
    assert rows_of(frames, "index-tickers")[0]["idxPx"] == "60000"
    assert rows_of(frames, "open-interest")[0]["instId"] == SWAP_ID
    venue.wait(connection, SECOND)
    for listing in (venue.spot, venue.swap):
        for ticks in (600_001, 600_002):
            listing.engine.set_level(SELL, ticks, 0)
    channels = {x["arg"]["channel"] for x in venue.wait(connection, 300 * MS)}
    assert channels == {"index-tickers", "price-limit"}


def test_funding_is_paid_on_the_grid_and_has_a_history():
    venue = Venue()
    before = venue.get(f"public/funding-rate?instId={SWAP_ID}")[0]
    assert int(before["nextFundingTime"]) - int(before["fundingTime"]) == 8 * 3600 * 1000
    venue.now += 9 * HOUR
    venue.fake.tick(venue.now)
    (row,) = venue.get(f"public/funding-rate-history?instId={SWAP_ID}")
    assert (row["realizedRate"], row["instType"]) == ("0.0001", "SWAP")


def test_coins_and_contracts_are_converted_both_ways():
    venue = Venue()
    path = f"public/convert-contract-coin?instId={SWAP_ID}&px=60000"
    assert venue.get(f"{path}&type=1&sz=0.123456")[0]["sz"] == "12.35"
    assert venue.get(f"{path}&type=1&sz=0.123456&opType=open")[0]["sz"] == "12.34"
    assert venue.get(f"{path}&type=2&sz=5")[0]["sz"] == "0.05"


def test_maintenance_is_announced_by_call_and_by_channel():
    venue = Venue()
    connection = venue.open(PUBLIC)
    venue.subscribe(connection, {"channel": "status"}, {"channel": "instruments", "instType": "SPOT"})
    venue.strike("status.maintenance", s=20)
    frames = venue.take(connection)
    assert rows_of(frames, "status")[0]["state"] == "ongoing"
    assert rows_of(frames, "instruments")[0]["state"] == "suspend"
    assert venue.get("system/status?state=ongoing")
    frames = venue.wait(connection, 21 * SECOND, SECOND)
    assert rows_of(frames, "instruments")[0]["state"] == "live"

"""The synthetic market: same seed, same events; it looks like a market and is cheap. And the recorded one."""

import time
from collections import Counter
from decimal import Decimal

import pytest

from ext.match import DONE, FILL, LEVEL, TRADE
from node.sim.market import Market, RecordedMarket
from node.venues.fakes import BUY, MS, SECOND, SELL, Faults, Listing

START_NS = 1_700_000_000 * 10**9


def listings():
    return [
        Listing("BTCUSDT", "0.01", "0.00001", 0, base="BTC"),
        Listing("BTCUSDT", "0.1", "0.001", 1, base="BTC"),
        Listing("BTC-USDT-SWAP", "0.1", "1", 4, base="BTC", contract="0.01"),
        Listing("SOLUSDT", "0.01", "0.1", 3, base="SOL"),
        Listing("ETHUSDT", "0.01", "0.01", 3, base="ETH"),
        Listing("DOGEUSDT", "0.00001", "1", 3, base="DOGE"),
    ]


def history(seed, stops_ms, chosen=slice(None)):
    """Events of each listing after a run that calls `step` at these times."""
    rows = listings()[chosen]
    market = Market(rows, seed, START_NS)
    for at_ms in stops_ms:
        market.step(START_NS + at_ms * MS)
    for row in rows:
        row.engine.audit()
    return [row.engine.take() for row in rows]


def test_the_same_seed_gives_the_same_events_however_often_it_is_stepped():
    coarse = history(5, [700, 3_000])
    assert coarse == history(5, [*range(0, 3_000, 7), 3_000])
    assert coarse != history(6, [700, 3_000])


def test_a_listings_events_do_not_depend_on_listings_that_come_after_it():
    assert history(5, [2_000], slice(0, 1)) == history(5, [2_000])[:1]


def test_the_books_look_like_books():
    rows = listings()
    market = Market(rows, 1, START_NS)
    for row in rows:
        row.engine.take()
    changes, trades, steps = Counter(), Counter(), 300
    for i in range(1, steps + 1):
        market.step(START_NS + i * 100 * MS)
        for n, row in enumerate(rows):
            kinds = Counter(e[0] for e in row.engine.take())
            changes[n] += kinds[LEVEL]
            trades[n] += kinds[TRADE]
            assert min(row.engine.count(BUY), row.engine.count(SELL)) >= 200
            bid, ask = row.engine.best(BUY)[0], row.engine.best(SELL)[0]
            assert bid < ask
    for n in range(len(rows)):
        assert 20 <= changes[n] / steps <= 60
        assert 60 <= trades[n] <= 600  # 30 s
        prices = [p for p, _ in rows[n].engine.levels(SELL)]
        assert prices[200] - prices[190] > prices[20] - prices[10], "levels thin out with distance"


def test_venues_of_one_base_agree_on_the_price():
    rows = listings()
    market = Market(rows, 9, START_NS)
    for i in range(200):
        market.step(START_NS + i * 100 * MS)
        cents = [row.engine.best(BUY)[0] * (1 if row.tick == "0.01" else 10) for row in rows[:3]]
        assert max(cents) - min(cents) < 400, "4 USD of 60,000"
    assert market.fair_ticks(rows[0]) != market.fair_ticks(rows[1]) * 10


def test_quotes_at_the_best_prices_get_filled():
    (row,) = rows = listings()[1:2]
    market = Market(rows, 2, START_NS)
    row.engine.take()
    filled = 0
    for i in range(1, 301):
        market.step(START_NS + i * 100 * MS)
        done = [e for e in row.engine.take() if e[0] == FILL]
        filled += len(done)
        if i % 10 == 1:
            row.engine.place(BUY, row.engine.best(SELL)[0] - 1, 1, "post_only", 1)
            row.engine.place(SELL, row.engine.best(BUY)[0] + 1, 1, "post_only", 1)
    assert filled >= 10
    row.engine.audit()


def test_six_instruments_cost_less_than_fifteen_percent_of_a_core():
    rows = listings()
    market = Market(rows, 1, START_NS)
    begin = time.process_time()
    for i in range(1, 51):
        market.step(START_NS + i * 100 * MS)
        for row in rows:
            row.engine.take()
    assert time.process_time() - begin < 0.15 * 5


def test_a_caller_that_slept_long_does_not_pay_for_it():
    market = Market(listings()[:1], 1, 0)
    assert market.step(START_NS) == 1_000
    assert market.step(START_NS) == 0
    assert market.step(START_NS - 10**9) == 0


def test_a_tick_too_coarse_for_a_book_is_refused():
    with pytest.raises(ValueError, match="XYZ: a price of 100 ticks"):
        Market([Listing("XYZ", "1", "1", 0)], 1, 0)
    with pytest.raises(ValueError, match="plain decimal"):
        Market([Listing("XYZ", "1", "1", 0)], 1, 0, {"XYZ": "1e5"})


def records(row):
    return [
        (1_000, row, "snapshot", ([(99, 5), (98, 5)], [(101, 5), (102, 5)])),
        (1_100, row, "trade", (BUY, 101, 2)),
        (1_050, row, "depth", ([(100, 1)], [(101, 0), (103, 7)])),
        (2_000, row, "snapshot", ([(98, 9)], [(100, 4)])),
    ]


def test_a_recording_happens_at_its_own_pace():
    row = listings()[0]
    market = RecordedMarket(records(row), START_NS)
    assert market.step(START_NS) == 1
    assert row.engine.levels(BUY) == [(99, 5), (98, 5)]
    assert market.step(START_NS + 99) == 0
    assert market.step(START_NS + 100) == 2, "a time that steps back is due at once"
    assert row.engine.levels(BUY) == [(100, 1), (99, 5), (98, 5)]
    assert row.engine.levels(SELL) == [(102, 5), (103, 7)]
    assert not market.finished
    market.step(START_NS + 1_000)
    assert market.finished
    assert (row.engine.levels(BUY), row.engine.levels(SELL)) == ([(98, 9)], [(100, 4)])
    assert [e[2:4] for e in row.engine.take() if e[0] == TRADE] == [(101, 2)]
    assert market.counts == {"depth": 1, "snapshot": 2, "trade": 1, "short_trades": 0}


def test_a_recording_can_run_faster():
    market = RecordedMarket(records(listings()[0]), START_NS, speed=10)
    market.step(START_NS + 100)
    assert market.finished


def test_a_recording_fills_an_order_when_its_queue_has_traded():
    row = listings()[0]
    market = RecordedMarket(records(row), START_NS)
    market.step(START_NS)
    mine = row.engine.place(SELL, 101, 1, "gtc", 1)
    behind = row.engine.trade(BUY, 101, 4)
    market.step(START_NS + 100)
    assert behind == 4
    assert (DONE, mine, "filled", 1) in row.engine.take()


def test_a_print_larger_than_the_book_is_counted():
    row = listings()[0]
    market = RecordedMarket([(0, row, "trade", (BUY, 101, 2))], 0)
    market.step(0)
    assert market.counts["short_trades"] == 1


def test_records_of_an_unknown_kind_are_refused():
    market = RecordedMarket([(0, listings()[0], "kline", ())], 0)
    with pytest.raises(ValueError, match="kline"):
        market.step(0)


def test_an_empty_recording_is_finished_at_once():
    assert RecordedMarket([], 0).finished


# ---- faults ----


class Disturbed:
    """A market of one listing, and faults that strike it."""

    def __init__(self):
        self.listing = Listing("BTCUSDT", "0.1", "0.001", 1, base="BTC")
        self.other = Listing("ETHUSDT", "0.01", "0.001", 1, base="ETH")
        self.market = Market([self.listing, self.other], 3, START_NS)
        self.faults, self.now_ns = Faults(), START_NS
        self.run(1)

    def run(self, seconds):
        self.now_ns += int(seconds * SECOND)
        self.market.step(self.now_ns)
        self.listing.engine.audit()

    def strike(self, name, **arguments):
        fault = self.faults.add(name, **arguments)
        self.market.disturb(fault, [self.listing], self.now_ns)

    def middle(self, listing=None):
        engine = (listing or self.listing).engine
        return (engine.best(BUY)[0] + engine.best(SELL)[0]) // 2


def test_a_crash_takes_its_time_and_stays_and_a_gap_is_at_once():
    world = Disturbed()
    before, other = world.middle(), world.middle(world.other)
    world.strike("market.crash", percent="20", s=4)
    world.run(2)
    assert 0.86 < world.middle() / before < 0.94
    world.run(6)
    assert 0.78 < world.middle() / before < 0.82
    world.strike("market.gap", percent="-25")
    world.run(0.3)
    assert 0.97 < world.middle() / before < 1.03
    assert 0.99 < world.middle(world.other) / other < 1.01


def test_a_busy_market_does_so_many_times_what_it_does(monkeypatch):
    world = Disturbed()
    maker = next(m for m in world.market.makers if m.listing is world.listing)
    done = {"quote": 0, "take": 0}
    for name in done:
        true = getattr(maker, name)
        monkeypatch.setattr(
            maker, name, lambda name=name, true=true: (done.update({name: done[name] + 1}), true())
        )
    world.run(2)
    calm = dict(done)
    world.strike("market.busy", times=10, s=2)
    world.run(2)
    assert (done["quote"] - calm["quote"], done["take"] - calm["take"]) == (
        10 * calm["quote"],
        10 * calm["take"],
    )
    world.run(2)
    assert done["take"] == 12 * calm["take"]


def test_a_sweep_takes_one_side_as_far_as_it_says():
    world = Disturbed()
    best = world.listing.engine.best(BUY)[0]
    assert world.listing.engine.best(BUY)[0] * 99 // 100 < best
    world.strike("market.sweep", percent="0.01", side="sell")
    assert world.listing.engine.best(BUY)[0] < best * 0.99992
    best = world.listing.engine.best(SELL)[0]
    world.strike("market.sweep", percent="0.01", side="buy")
    assert world.listing.engine.best(SELL)[0] > best * 1.00008
    world.listing.engine.audit()


def test_a_wide_spread_and_an_empty_side_come_and_go():
    world = Disturbed()
    engine = world.listing.engine
    world.strike("market.spread", ticks=300, s=2)
    world.run(1)
    assert engine.best(SELL)[0] - engine.best(BUY)[0] >= 600
    world.run(2)
    assert engine.best(SELL)[0] - engine.best(BUY)[0] < 50
    world.strike("market.empty", side="buy", s=2)
    assert engine.best(BUY) is None
    world.run(1)
    assert engine.best(BUY) is None
    assert engine.best(SELL) is not None
    world.run(2)
    assert engine.best(BUY) is not None


def test_a_print_is_a_trade_off_the_market_that_changes_no_level():
    world = Disturbed()
    engine = world.listing.engine
    before = engine.levels(BUY), engine.levels(SELL)
    engine.take()
    world.strike("market.print", percent="3", size_lots=7)
    (trade,) = [e for e in engine.take() if e[0] == TRADE]
    assert trade[3] == 7
    assert trade[2] < world.middle() * 0.975
    assert (engine.levels(BUY), engine.levels(SELL)) == before


def test_the_mark_is_off_for_a_while():
    world = Disturbed()
    world.strike("market.mark", percent="-5", s=1)
    assert world.listing.mark_factor == Decimal("0.95")
    world.run(2)
    assert world.listing.mark_factor == 1

"""The quoter: at most one order a side, moved, leaned, scaled by dials, patient after a refusal."""

import random

import pytest
from chain import MS, ORDERS, PRIVATE, SEC, Chain, ack, execution

from ext.records import signal_row
from ext.strategies.quoter import Quoter
from ext.tape import RecordType, TapeReader, TapeWriter

PLAN = {"half_spread_ticks": 10, "size_lots": 20, "requote_ticks": 3, "wait_ns": 50 * MS}


class Market(Chain):
    """A chain with one quoter and a venue that a test plays by hand."""

    def __init__(self, plan=None, **options):
        self.quoter = Quoter()
        super().__init__(self.quoter, synced=False, **options)
        self.quoter.quote(0, **{**PLAN, **(plan or {})})
        self.answered = 0
        self.sync(bids=[(9980, 500)], asks=[(10_020, 500)])

    def move(self, bid, ask, after_ns=100 * MS):
        """The market stands at `bid` and `ask` now."""
        self.now += after_ns
        bids = [(p, 0) for p, _ in self.book.bids() if p != bid]
        asks = [(p, 0) for p, _ in self.book.asks() if p != ask]
        self.tick([*bids, (bid, 500)], [*asks, (ask, 500)])

    def answer(self):
        """The venue takes everything sent so far: quotes rest, cancels end them."""
        while self.answered < len(self.frames):
            frame = self.frames[self.answered]
            self.answered += 1
            self.give(ORDERS, ack(frame))

    def resting(self):
        """(side, price, lots) of the orders that are open."""
        rows = [self.orders.order(i) for i in self.orders.open_orders()]
        return sorted(
            (row["side"], row["price_ticks"], row["size_lots"] - row["filled_lots"]) for row in rows
        )


def test_one_post_only_quote_a_side_stands_around_the_mid():
    market = Market()
    assert market.resting() == [(0, 9990, 20), (1, 10_010, 20)]
    assert {p["type"] for p in market.news()} == {"LIMIT_MAKER"}


def test_a_quote_is_moved_by_cancel_and_a_new_one_only_when_it_is_gone():
    market = Market()
    market.answer()
    market.move(10_000, 10_018)
    assert len(market.cancels()) == 2
    assert len(market.news()) == 2  # nothing new while the old ones may still fill
    market.move(10_000, 10_018)
    assert (len(market.cancels()), len(market.news())) == (2, 2)
    market.answer()
    assert market.resting() == [(0, 9999, 20), (1, 10_019, 20)]
    assert len(market.news()) == 4


def test_a_quote_stays_while_it_is_near_enough():
    market = Market()
    market.answer()
    market.move(9982, 10_022)
    assert market.cancels() == []
    market.move(9983, 10_023)
    assert len(market.cancels()) == 2


def test_there_is_never_more_than_one_order_a_side_whatever_the_market_and_the_venue_do():
    rng, market, trade = (
        random.Random("quoter"),
        Market({"lean_lots": 40}, limits={"max_position_lots": 100}),
        0,
    )
    for _ in range(600):
        mid = 10_000 + rng.randrange(-40, 40)
        market.move(
            mid - rng.randrange(5, 30), mid + rng.randrange(5, 30), after_ns=rng.randrange(1, 200) * MS
        )
        if rng.random() < 0.5:
            market.answer()
        if rng.random() < 0.3 and market.orders.open_orders():
            order_id = rng.choice(market.orders.open_orders())
            row, trade = market.orders.order(order_id), trade + 1
            lots = rng.randrange(1, row["size_lots"] - row["filled_lots"] + 1)
            side, total = ("BUY", "SELL")[row["side"]], row["filled_lots"] + lots
            status = "FILLED" if total == row["size_lots"] else "PARTIALLY_FILLED"
            market.fill(market.client_id(order_id), side, lots, total, trade, status=status)
        sides = [side for side, _, _ in market.resting()]
        assert len(sides) == len(set(sides))
        assert abs(market.engine.account.position(0)["lots"]) <= 100
    assert len(market.news()) > 100
    assert trade > 50


def test_quotes_lean_against_the_position():
    market = Market({"lean_lots": 20})
    market.answer()
    market.fill(market.client_id(1), "BUY", 20, 20, 1, status="FILLED")
    market.now += SEC
    market.move(9980, 10_020)
    market.answer()
    market.move(9980, 10_020)
    assert market.resting() == [(0, 9980, 20), (1, 10_000, 20)]  # long by one lean: both a half spread lower


@pytest.mark.parametrize(
    ("order_id", "side", "expected"), [(1, "BUY", (1, 9981, 20)), (2, "SELL", (0, 10_019, 20))]
)
def test_a_leaned_quote_never_crosses_the_market(order_id, side, expected):
    market = Market({"lean_lots": 1})
    market.answer()
    market.fill(market.client_id(order_id), side, 20, 20, 1, status="FILLED")
    market.now += SEC
    market.move(9980, 10_020)
    market.answer()
    market.move(9980, 10_020)
    assert expected in market.resting()
    assert "POST_ONLY_CROSS" not in market.engine.risk.refusals()


def test_dials_scale_spread_and_size_and_a_size_of_nothing_withdraws():
    market = Market()
    market.answer()
    market.time(dials=[2000, 500])
    market.move(9980, 10_020)
    market.answer()
    market.move(9980, 10_020)
    market.answer()
    assert market.resting() == [(0, 9980, 10), (1, 10_020, 10)]
    market.time(dials=[2000, 0])
    market.move(9980, 10_020)
    market.answer()
    assert market.resting() == []
    market.move(9980, 10_020)
    assert market.resting() == []
    market.time(dials=[1000, 1000])
    market.move(9980, 10_020)
    assert market.resting() == [(0, 9990, 20), (1, 10_010, 20)]


def test_after_a_refusal_a_side_waits():
    market = Market(limits={"max_size_lots": 5})
    assert market.engine.risk.refusals() == {"SIZE_MAX": 2}
    for _ in range(5):
        market.move(9980, 10_020, after_ns=MS)
    assert market.engine.risk.refusals() == {"SIZE_MAX": 2}
    market.move(9980, 10_020, after_ns=50 * MS)
    assert market.engine.risk.refusals() == {"SIZE_MAX": 4}


def test_after_a_venue_reject_a_side_waits_too():
    market = Market()
    for frame in list(market.frames):
        market.give(ORDERS, ack(frame, 400, -2010, "Order would immediately match and take."))
    assert market.resting() == []
    market.move(9980, 10_020, after_ns=MS)
    assert len(market.news()) == 2
    market.move(9980, 10_020, after_ns=60 * MS)
    assert len(market.news()) == 4


def test_a_cancel_that_nothing_came_of_is_repeated_ever_more_slowly_until_the_order_is_gone():
    """The cancel was refused or lost, and the order lives: giving up would leave it in the market for
    ever."""
    market = Market()
    market.answer()
    market.move(10_040, 10_080)
    for frame in market.frames[2:]:
        market.give(ORDERS, ack(frame, 400, -1003, "Too many requests."))
    times, start = [], market.now
    for _ in range(200):
        before = len(market.cancels())
        market.move(10_040, 10_080, after_ns=100 * MS)
        if len(market.cancels()) > before:
            times.append((market.now - start) // (100 * MS))
    assert 4 <= len(times) <= 7
    assert times == sorted(times)
    assert times[-1] - times[-2] > times[1] - times[0]
    for order_id in (1, 2):
        market.give(PRIVATE, execution(market.client_id(order_id), "BUY", "CANCELED", "CANCELED"))
    seen = len(market.cancels())
    market.now += 100 * SEC
    market.move(10_040, 10_080)
    assert len(market.cancels()) == seen


def test_a_one_sided_book_is_not_quoted_on():
    market = Market()
    market.answer()
    market.tick(asks=[(10_020, 0)])
    assert market.cancels() == []
    assert len(market.news()) == 2


def test_an_instrument_that_was_not_enabled_is_left_alone():
    quoter = Quoter()
    chain = Chain(quoter)
    chain.tick()
    assert chain.sent == []


@pytest.mark.parametrize(
    "wrong",
    [{"half_spread_ticks": 0}, {"size_lots": 0}, {"requote_ticks": 0}, {"lean_lots": -1}, {"wait_ns": -1}],
)
def test_a_plan_that_makes_no_sense_is_refused(wrong):
    quoter = Quoter()
    Chain(quoter)
    with pytest.raises(ValueError, match="must be at least 1"):
        quoter.quote(0, **{**PLAN, **wrong})


def test_an_instrument_beyond_the_table_or_a_quoter_without_an_engine_is_refused():
    with pytest.raises(ValueError, match="not in the table"):
        Quoter().quote(0, **PLAN)
    quoter = Quoter()
    Chain(quoter)
    for instrument in (-1, 1):
        with pytest.raises(ValueError, match="not in the table"):
            quoter.quote(instrument, **PLAN)


def test_the_tape_tells_why_it_quotes_fair_price_both_quotes_and_the_skew(tmp_path):
    tape = TapeWriter(tmp_path / "tape", now_ns=1, segment_size=1 << 20)
    market = Market({"lean_lots": 20}, tape=tape)
    market.answer()
    market.give(PRIVATE, execution(market.client_id(1), "BUY", "TRADE", "FILLED", 20, 20, 9990, 501))
    market.answer()
    market.move(10_000, 10_018)
    rows = [
        signal_row(x.payload) for x in TapeReader(tape.directory, follow=True) if x.type == RecordType.SIGNAL
    ]
    names = [Quoter.signals[x["kind"]][0] for x in rows]
    assert names == ["place", "move", "place"]
    assert [[row[x] for x in "abcd"] for row in rows] == [
        [20_000, 9990, 10_010, 0],
        [20_000, 9980, 10_000, -10],  # long twenty: both quotes go down by a half spread
        [20_018, 9989, 10_009, -10],
    ]
    assert {row["instrument"] for row in rows} == {0}
    assert Quoter.signals[1][1:] == ("fair:half_ticks", "bid:ticks", "ask:ticks", "skew:ticks")

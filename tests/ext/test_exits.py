"""Exits: bounded in price, never two at once, never more than the position, until it is flat."""

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lossdesk import BUY, E8, LONG, MS, SEC, SELL, SHORT, Desk, ReportKind

from ext.book import BookState
from ext.records import HaltReason, Latch
from ext.strategy import Strategy

OPERATOR = HaltReason.HALT_OPERATOR
UNFILLED = ReportKind.REPORT_EXPIRED


def closing(lots=100, *symbols, **options):
    desk = Desk(*symbols, **options)
    desk.hold(lots)
    desk.engine.flatten(0, OPERATOR, desk.now)
    return desk


class Rester(Strategy):
    def __init__(self, *orders):
        self.orders_wanted = list(orders)

    def on_timer(self, now_ns):
        for side, ticks, lots in self.orders_wanted:
            (self.sell if side == SELL else self.buy)(0, ticks, lots)
        self.orders_wanted = []
        return 0


# ---- price ----


@pytest.mark.parametrize(
    ("lots", "slippage", "tick", "bound"),
    [
        (100, 10_000, "0.1", 9_900),  # 10,000 less one in a hundred
        (100, 0, "0.1", 10_000),
        (100, 9_999, "0.1", 9_901),  # 9900.01: up, never a hair below
        (-100, 10_000, "0.1", 10_100),
        (-100, 9_999, "0.1", 10_099),
    ],
)
def test_the_bound_is_on_the_near_side_of_the_exact_one(lots, slippage, tick, bound):
    desk = Desk(exit_slippage_ppm=slippage)
    desk.market(9_999, 10_001)
    desk.hold(lots)
    desk.engine.flatten(0, OPERATOR, desk.now)
    orders = desk.exits()
    if slippage == 0:
        assert orders == []  # nobody bids that much: no order says where we are hurt
        assert desk.stops.exits.state()["beyond"] == 1
    else:
        assert [x["price_ticks"] for x in orders] == [bound]


def test_the_bound_is_on_a_tick_that_the_venue_takes():
    for lots, bound in ((100, 9_905), (-100, 10_095)):
        desk = Desk(exit_slippage_ppm=9_900, filters={"tick": "0.5", "data_tick": "0.1"})
        desk.hold(lots)
        desk.engine.flatten(0, OPERATOR, desk.now)
        assert [x["price_ticks"] for x in desk.exits()] == [bound]


def test_the_bound_stays_inside_the_venues_filters_or_there_is_no_order():
    inside = closing(filters={"min_price": "995"})
    assert [x["price_ticks"] for x in inside.exits()] == [9_950]
    banded = closing(filters={"up_ppm": 5_000, "down_ppm": 5_000})
    assert [x["price_ticks"] for x in banded.exits()] == [9_950]
    outside = closing(-100, filters={"min_price": "1015"})
    assert outside.exits() == []
    assert outside.stops.exits.state()["unpriced"] > 0


def test_nothing_is_sent_into_an_empty_book_or_beyond_the_bound_and_what_comes_back_is_taken():
    desk = closing(100, exit_slippage_ppm=1_000)
    first = desk.exits()[0]
    desk.expire(first["id"])
    desk.market(0, 10_001)
    for _ in range(20):
        desk.time()
    assert len(desk.exits()) == 1
    assert desk.stops.exits.state()["unpriced"] > 0
    desk.market(9_000, 10_001)  # a spread of ten in a hundred: the mid is far from the bid
    for _ in range(20):
        desk.time()
    assert len(desk.exits()) == 1
    assert desk.stops.exits.state()["beyond"] > 0
    desk.market(9_000, 9_002)
    desk.time(100 * MS)
    assert [x["price_ticks"] for x in desk.exits()] == [first["price_ticks"], 8_992]


def test_a_falling_market_is_not_chased_faster_than_the_retry_time():
    desk = closing(100)
    for i in range(1, 101):
        for order in desk.exits(open_only=True):
            desk.expire(order["id"])
        desk.market(9_999 - 10 * i, 10_001 - 10 * i, after_ns=9 * MS)
    times = [x["intent_ns"] for x in desk.exits()]
    assert 9 <= len(times) <= 11
    assert all(b - a >= 100 * MS for a, b in itertools.pairwise(times))


# ---- size ----


def test_slices_follow_each_other_at_once_under_one_bound_and_none_is_larger_than_the_venue_takes():
    desk = closing(1_250)
    sizes = []
    while open_now := desk.exits(open_only=True):
        (order,) = open_now
        sizes.append((order["size_lots"], order["price_ticks"]))
        desk.market(9_980, 9_982)
        desk.fill(order["id"], order["size_lots"])
    assert sizes == [(500, 9_900), (500, 9_900), (250, 9_900)]
    assert desk.lots() == 0


def test_a_slice_leaves_no_rest_that_could_not_be_closed():
    desk = closing(503, filters={"min_size": "0.05", "lot": "0.01"})
    sizes = []
    while open_now := desk.exits(open_only=True):
        sizes.append(open_now[0]["size_lots"])
        desk.fill(open_now[0]["id"], sizes[-1])
    assert sizes == [498, 5]


def test_our_own_largest_order_does_not_make_a_way_out_slow_but_the_venues_largest_notional_does():
    ours = closing(300, limits={"max_size_lots": 30, "max_notional_e8": 100 * E8})
    assert [x["size_lots"] for x in ours.exits()] == [300]
    theirs = closing(300, filters={"max_notional": "100"})
    assert [x["size_lots"] for x in theirs.exits()] == [10]  # at 990 a lot is 9.90


def test_dust_counts_as_flat():
    assert closing(4, "PBTC", filters={"min_size": "0.05"}).exits() == []
    step = closing(107, "PBTC", filters={"lot": "0.05", "data_lot": "0.01"})
    assert [x["size_lots"] for x in step.exits()] == [105]
    step.fill(step.exits()[0]["id"], 105)
    step.time(SEC)
    assert len(step.exits()) == 1
    assert step.stops.state()["flat"] == [True]
    few = {"min_notional": "50"}
    assert closing(4, "SBTC", filters=few).exits() == []
    assert [x["size_lots"] for x in closing(4, "PBTC", filters=few).exits()] == [
        4
    ]  # reduce-only may be small


def test_spot_sells_only_what_is_free_and_the_rest_when_the_cancels_are_confirmed():
    desk = Desk("SBTC", strategy=Rester((SELL, 10_500, 30)))
    desk.hold(100)
    desk.time()
    rests = desk.of_desk(0)[0]["id"]
    desk.tell(rests, ReportKind.REPORT_LIVE)
    desk.engine.foreign(0, 0, 20, desk.now)
    desk.engine.flatten(0, OPERATOR, desk.now)
    (first,) = desk.exits()
    assert first["size_lots"] == 50
    desk.fill(first["id"], 50)
    assert len(desk.exits()) == 1
    desk.tell(rests, ReportKind.REPORT_CANCELED, filled_lots=0)
    assert [x["size_lots"] for x in desk.exits()] == [50, 30]
    desk.fill(desk.exits()[-1]["id"], 30)
    desk.engine.foreign(0, 0, 0, desk.now)
    desk.time()
    assert [x["size_lots"] for x in desk.exits()] == [50, 30, 20]


def test_spot_never_sells_what_the_venue_kept_as_a_fee():
    desk = Desk("SBTC")
    desk.tell(
        0,
        ReportKind.REPORT_FILL,
        instrument=0,
        side=BUY,
        size_lots=100,
        price_ticks=10_000,
        trade_lo=1,
        fee_e8=100_001,
        fee_is_quote=2,
    )
    desk.engine.flatten(0, OPERATOR, desk.now)
    assert [x["size_lots"] for x in desk.exits()] == [99]


def test_both_legs_of_a_hedged_position_are_closed_each_with_its_own_order():
    desk = Desk()
    desk.hold(100, leg=LONG)
    desk.hold(-40, leg=SHORT)
    desk.hedge()
    desk.engine.flatten(0, OPERATOR, desk.now)
    assert [(x["leg"], x["side"], x["size_lots"]) for x in desk.exits()] == [
        (LONG, SELL, 100),
        (SHORT, BUY, 40),
    ]
    for order in desk.exits():
        desk.fill(order["id"], order["size_lots"])
    assert desk.stops.state()["flat"] == [True]


# ---- one at a time ----


@pytest.mark.parametrize("word", [None, ReportKind.REPORT_ACK, ReportKind.REPORT_UNCERTAIN])
def test_without_a_terminal_word_no_other_exit_leaves(word):
    desk = closing(100)
    if word is not None:
        desk.tell(desk.exits()[0]["id"], word)
    for i in range(100):
        desk.market(9_900 - i, 9_902 - i)
        desk.time()
    assert len(desk.exits()) == 1
    assert desk.stops.exits.state()["unanswered"] > 0


@pytest.mark.parametrize("word", [UNFILLED, ReportKind.REPORT_CANCELED, ReportKind.REPORT_REJECT])
def test_after_a_terminal_word_the_next_one_leaves_when_the_retry_time_is_over(word):
    desk = closing(100)
    desk.tell(desk.exits()[0]["id"], word, **({} if word == ReportKind.REPORT_REJECT else {"filled_lots": 0}))
    desk.time(50 * MS)
    assert len(desk.exits()) == 1
    desk.time(60 * MS)
    assert len(desk.exits()) == 2


def test_a_proof_of_absence_lets_the_next_one_go():
    desk = closing(100)
    order = desk.exits()[0]["id"]
    desk.tell(order, ReportKind.REPORT_UNCERTAIN)
    desk.time(SEC)
    assert len(desk.exits()) == 1
    desk.engine.close_absent(order, desk.now)
    desk.time()
    assert len(desk.exits()) == 2


def test_a_terminal_word_ahead_of_its_fills_waits_for_them():
    desk = closing(100)
    order = desk.exits()[0]["id"]
    desk.tell(order, UNFILLED, filled_lots=60)
    for _ in range(10):
        desk.time(SEC)
    assert len(desk.exits()) == 1
    desk.fill(order, 60)
    desk.time()
    assert [x["size_lots"] for x in desk.exits()] == [
        60,
        40,
    ]  # what the venue said of the first one, and the rest


def test_the_same_fill_twice_and_a_fill_that_turns_the_position_never_make_an_exit_wrong():
    desk = closing(100)
    first = desk.exits()[0]["id"]
    for _ in range(2):
        desk.tell(
            first,
            ReportKind.REPORT_FILL,
            instrument=0,
            side=SELL,
            size_lots=70,
            price_ticks=9_950,
            trade_lo=5,
        )
    assert desk.lots() == 30
    desk.expire(first)
    desk.tell(
        0, ReportKind.REPORT_FILL, instrument=0, side=SELL, size_lots=80, price_ticks=9_950, trade_lo=6
    )  # somebody's
    desk.time(200 * MS)
    assert [(x["side"], x["size_lots"]) for x in desk.exits()] == [(SELL, 100), (BUY, 50)]


def test_a_line_that_is_down_is_tried_again_at_the_retry_time_and_not_more_often():
    desk = Desk()
    desk.hold(100)
    desk.engine.on_line(2, False, desk.now)
    desk.engine.on_line(3, False, desk.now)
    desk.engine.flatten(0, OPERATOR, desk.now)
    for _ in range(50):
        desk.time()
    assert 9 <= len(desk.exits()) <= 11
    assert {x["state"] for x in desk.exits()} == {"REJECTED"}
    assert desk.sent == []


# ---- against a venue that does what it likes ----


class Venue:
    """Takes, fills, refuses and forgets exits as a list of numbers says; it is the truth."""

    def __init__(self, desk, lots):
        self.desk, self.lots = desk, lots
        self.open: dict[int, int] = {}  # order -> lots left, of what it has
        self.lost: set[int] = set()  # what it never got, and nobody told us
        self.seen: set[int] = set()

    def look(self):
        for order in self.desk.exits():
            if order["id"] not in self.seen:
                self.seen.add(order["id"])
                self.open[order["id"]] = order["size_lots"]
        at_once = Counter()
        for order in self.desk.exits(open_only=True):
            at_once[order["side"]] += order["leaves_lots"]
        assert sum(at_once.values()) <= abs(self.lots), "more on its way than there is to close"
        assert len(self.desk.exits(open_only=True)) <= 1

    def trade(self, order, lots):
        side = self.desk.orders.order(order)["side"]
        self.lots += lots if side == BUY else -lots
        self.open[order] -= lots
        self.desk.fill(order, lots)

    def act(self, number):
        if not self.open:
            return
        order = next(iter(self.open))
        left = self.open[order]
        what = number % 8
        if order in self.lost:
            what = 6
        if what == 0:
            self.desk.tell(order, ReportKind.REPORT_ACK)
        elif what == 1:
            self.trade(order, left)
            del self.open[order]
        elif what == 2:
            self.trade(order, 1 + number // 8 % left)
            if not self.open[order]:
                del self.open[order]
        elif what == 3:
            del self.open[order]
            self.desk.expire(order)
        elif what == 4 and left == self.desk.orders.order(order)["size_lots"]:
            del self.open[order]
            self.desk.tell(order, ReportKind.REPORT_REJECT)
        elif (
            what == 5 and self.desk.orders.order(order)["state"] == "SENT"
        ):  # what was acknowledged is not lost
            self.lost.add(order)
            self.desk.tell(order, ReportKind.REPORT_UNCERTAIN)
        elif what == 6 and order in self.lost:
            self.lost.discard(order)
            del self.open[order]
            self.desk.engine.close_absent(order, self.desk.now)
        elif what == 7:
            self.desk.time(number % 300 * MS)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(-1_200, 1_200).filter(bool),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(-40, 40)), max_size=60),
    st.sampled_from(["PBTC", "SBTC"]),
)
def test_whatever_the_venue_does_exits_never_double_and_end_flat_when_it_behaves(lots, steps, symbol):
    lots = abs(lots) if symbol == "SBTC" else lots
    desk = closing(lots, symbol)
    venue = Venue(desk, lots)
    venue.look()
    price = 10_000
    for number, move in steps:
        venue.act(number)
        venue.look()
        price += move
        desk.market(price - 1, price + 1, after_ns=number % 50 * MS)
        venue.look()
        assert desk.lots() == venue.lots
        assert abs(venue.lots) <= abs(lots)
        assert venue.lots * lots >= 0, "through flat"
    for _ in range(80):
        venue.act(1)
        venue.look()
        desk.market(price - 1, price + 1, after_ns=60 * MS)
        venue.look()
    assert venue.lots == desk.lots() == 0
    assert not venue.open


# ---- without a book, without an end ----


def blind(desk, mark):
    """The book is gone, and the venue tells a mark price."""
    desk.engine.on_line(desk.feeds[desk.instruments.market(0)], False, desk.now)
    desk.engine.on_line(desk.feeds[desk.instruments.market(0)], True, desk.now)
    assert desk.engine.books[0].state != BookState.SYNCED
    desk.now += MS
    row = b'{"topic":"tickers.PBTC","type":"delta","ts":1,"cs":2,"data":{"symbol":"PBTC","markPrice":"%s"}}'
    desk.engine.on_bytes(desk.feeds[desk.instruments.market(0)], row % mark.encode(), desk.now)


@pytest.mark.parametrize(("lots", "bound"), [(100, 9_801), (-100, 9_999)])
def test_without_a_book_the_bound_is_from_the_mark_price(lots, bound):
    desk = Desk()
    desk.hold(lots)
    blind(desk, "990.0")
    desk.engine.flatten(0, OPERATOR, desk.now)
    assert [x["price_ticks"] for x in desk.exits()] == [bound]
    assert desk.sent[-1]["args"][0]["timeInForce"] == "IOC"


def test_a_book_with_one_side_does_not_hold_an_exit_back_where_there_is_a_mark_price():
    desk = Desk()
    desk.hold(100)
    blind(desk, "990.0")
    desk.market(0, 10_001)
    desk.engine.flatten(0, OPERATOR, desk.now)
    assert [x["price_ticks"] for x in desk.exits()] == [9_801]


def test_each_reject_without_a_fill_doubles_the_time_to_the_next_one_up_to_half_a_minute():
    desk = closing(100)
    while len(desk.exits()) < 14:
        for order in desk.exits(open_only=True):
            desk.tell(order["id"], ReportKind.REPORT_REJECT)
        desk.market(9_999, 10_001)  # a book that is alive
        desk.time(10 * MS)
    times = [x["intent_ns"] for x in desk.exits()]
    waits = [(b - a) // (10 * MS) * 10 for a, b in itertools.pairwise(times)]
    wanted = [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 30000, 30000]
    assert all(w <= got <= w + 40 for got, w in zip(waits, wanted, strict=True)), waits
    desk.fill(desk.exits()[-1]["id"], 10)
    desk.expire(desk.exits()[-1]["id"])
    count = len(desk.exits())
    for _ in range(12):
        desk.market(9_999, 10_001)
        desk.time(10 * MS)
    assert len(desk.exits()) == count + 1  # a fill: the venue takes our orders


def test_a_refusal_of_the_gate_is_not_repeated_at_every_event():
    desk = closing(100)
    first = desk.exits()[0]
    desk.fill(first["id"], 100)
    desk.hold(100)
    desk.risk.latch(Latch.LATCH_STOPPING)
    before = desk.stops.exits.state()["refused"]
    for _ in range(100):
        desk.market(9_999, 10_001)
        desk.time(9 * MS)
    assert 3 <= desk.stops.exits.state()["refused"] - before <= 5  # within a second: 0, 100, 300, 700 ms


@pytest.mark.parametrize("latch", [Latch.LATCH_TAPE, Latch.LATCH_ENCODE, Latch.LATCH_FAULT])
def test_a_fault_of_our_own_does_not_keep_a_position_open(latch):
    desk = Desk()
    desk.hold(100)
    desk.risk.latch(latch)
    desk.engine.flatten(0, OPERATOR, desk.now)
    assert [x["args"][0]["qty"] for x in desk.sent] == ["1"]

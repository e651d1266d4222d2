"""Protective stop orders: one for each open position of a perpetual, or a few, in step with it, and never
more than one too many."""

import itertools
import random

import pytest
from lossdesk import BUY, LONG, MS, NET, SEC, SELL, SHORT, Desk, ReportKind

from ext.records import HaltReason, OrderType

LIVE, GONE = ReportKind.REPORT_LIVE, ReportKind.REPORT_CANCELED


def guarded(lots=100, ticks=10_000, ppm=50_000, **options):
    """A position whose protective order rests."""
    desk = Desk(**options)
    desk.stops.protect(0, ppm)
    desk.hold(lots, ticks)
    desk.time()
    for order in desk.shields():
        desk.tell(order["id"], LIVE)
    return desk


def grow(desk, lots, ticks, side=BUY):
    """Somebody of ours buys (or sells) more."""
    desk.trades += 1
    desk.tell(
        0,
        ReportKind.REPORT_FILL,
        instrument=0,
        side=side,
        size_lots=lots,
        price_ticks=ticks,
        trade_lo=desk.trades,
        fee_is_quote=1,
    )


def left(desk, number, lots, ticks, side=SELL, leg=NET, **more):
    """A stop order of an earlier run that rests at the venue; its id here."""
    kind, more = int(OrderType.STOP_MARKET), more | {"trigger_ticks": ticks, "leg": leg}
    return desk.engine.adopt(0, 7, number, side, kind, 0, 0, lots, 0, True, "v", desk.now, **more)


def run(desk, seconds):
    for _ in range(seconds):
        desk.time(SEC)


def gone(desk, order_id):
    """Is it cancelled, as far as it is up to us?"""
    return desk.orders.order(order_id)["cancel_wanted"] == 1


@pytest.mark.parametrize(
    ("lots", "ticks", "ppm", "side", "trigger"),
    [
        (100, 10_000, 50_000, SELL, 9_500),
        (100, 10_001, 50_000, SELL, 9_501),  # 9500.95: sooner, not later
        (-100, 10_000, 50_000, BUY, 10_500),
        (-100, 9_999, 50_000, BUY, 10_498),  # 10498.95
    ],
)
def test_it_is_a_reduce_only_stop_at_the_entry_price_less_its_distance(lots, ticks, ppm, side, trigger):
    desk = guarded(lots, ticks, ppm)
    (order,) = desk.shields()
    assert (order["side"], order["trigger_ticks"], order["size_lots"]) == (side, trigger, 100)
    assert (order["type"], order["reduce_only"]) == (OrderType.STOP_MARKET, 1)
    for _ in range(100):
        desk.time()
        desk.market(9_998, 10_000)
    assert len(desk.shields(open_only=False)) == 1
    assert desk.stops.state()["protecting"] == {0: [order["id"]]}


def test_a_change_within_the_tolerance_changes_nothing_and_one_beyond_it_is_placed_before_the_old_one_goes():
    desk = guarded()
    desk.now += SEC
    grow(desk, 2, 10_000)
    desk.time()
    assert len(desk.shields()) == 1
    grow(desk, 1, 10_000)
    old, new = desk.shields()
    assert (new["size_lots"], new["state"]) == (103, "SENT")
    assert desk.cancels() == []  # not before the new one rests
    desk.tell(new["id"], ReportKind.REPORT_ACK)
    assert desk.cancels() == []
    desk.tell(new["id"], LIVE)
    assert [x["args"][0]["orderLinkId"] for x in desk.cancels()] == [desk.wires[3].client_id(old["id"])]
    grow(desk, 50, 10_000)
    desk.time(2 * SEC)
    assert len(desk.shields()) == 2  # the old one is still there: a third has to wait
    desk.tell(old["id"], GONE, filled_lots=0)
    desk.time()
    assert [x["size_lots"] for x in desk.shields()] == [103, 153]


def test_a_new_entry_price_moves_the_trigger():
    desk = guarded()
    desk.now += SEC
    grow(desk, 1, 12_000)  # 20 ticks of entry for 500 of distance
    desk.time()
    assert len(desk.shields()) == 1
    grow(desk, 1, 14_000)
    desk.time()
    assert [x["trigger_ticks"] for x in desk.shields()] == [
        9_500,
        9_556,
    ]  # 1,026,000 for 102, less five in a hundred: 9555.88


def test_there_is_at_most_one_change_a_second():
    desk = guarded(filters={"max_size": "50"})
    began = desk.shields()[0]["intent_ns"]
    for _ in range(60):
        grow(desk, 20, 10_000)
        for order in desk.shields():
            if order["state"] == "SENT":
                desk.tell(order["id"], LIVE)
            elif order["cancel_wanted"]:
                desk.tell(order["id"], GONE, filled_lots=0)
        desk.time(50 * MS)
    times = [x["intent_ns"] for x in desk.shields(open_only=False)]
    assert times[0] == began
    assert len(times) >= 3
    assert all(b - a >= SEC for a, b in itertools.pairwise(times))


def test_a_position_without_its_order_is_protected_again():
    desk = guarded()
    desk.tell(desk.shields()[0]["id"], GONE, filled_lots=0)  # somebody cancelled it
    desk.time(SEC)
    (order,) = desk.shields()
    desk.tell(order["id"], ReportKind.REPORT_REJECT)
    assert desk.shields() == []
    desk.time(SEC)
    assert len(desk.shields()) == 1


def test_a_flat_position_has_none_and_one_that_turned_has_one_on_its_side():
    desk = guarded()
    desk.now += SEC
    grow(desk, 150, 10_000, SELL)
    old, new = desk.shields()
    assert (new["side"], new["size_lots"], new["trigger_ticks"]) == (BUY, 50, 10_500)
    desk.tell(new["id"], LIVE)
    desk.tell(old["id"], GONE, filled_lots=0)
    grow(desk, 50, 10_000)
    (last,) = desk.shields()
    assert last["cancel_wanted"] == 1
    assert len(desk.cancels()) == 2
    desk.tell(last["id"], GONE, filled_lots=0)
    desk.time(SEC)
    assert desk.shields() == []


def test_it_rests_beside_an_exit_and_is_cancelled_when_there_is_nothing_left():
    desk = guarded()
    desk.engine.flatten(0, HaltReason.HALT_OPERATOR, desk.now)
    (order,) = desk.exits()
    assert order["size_lots"] == 100
    assert desk.cancels() == []
    desk.fill(order["id"], 60)
    desk.expire(order["id"])
    desk.time(200 * MS)
    assert [x["size_lots"] for x in desk.exits()] == [100, 40]
    desk.fill(desk.exits()[-1]["id"], 40)
    assert len(desk.cancels()) == 1


def test_when_the_venue_triggers_it_its_fills_are_fills():
    desk = guarded()
    (order,) = desk.shields()
    desk.fill(order["id"], 100, 9_490)
    assert desk.lots() == 0
    assert desk.shields() == []
    desk.time(SEC)
    assert desk.shields() == []


def test_both_legs_of_a_hedged_position_have_their_own():
    desk = Desk()
    desk.hedge()
    desk.stops.protect(0, 50_000)
    desk.hold(100, leg=LONG)
    desk.hold(-40, 9_000, leg=SHORT)
    desk.market(9_200, 9_202)
    got = [(x["leg"], x["side"], x["size_lots"], x["trigger_ticks"]) for x in desk.shields()]
    assert got == [
        (SHORT, BUY, 40, 9_450)
    ]  # the long one is beyond its trigger already: refused, and tried again
    desk.market(9_999, 10_001, after_ns=SEC)
    got = [(x["leg"], x["side"], x["size_lots"], x["trigger_ticks"]) for x in desk.shields()]
    assert got == [(SHORT, BUY, 40, 9_450), (LONG, SELL, 100, 9_500)]


def test_one_of_an_earlier_run_counts_and_is_looked_after():
    desk = Desk()
    desk.stops.protect(0, 50_000)
    stop = int(OrderType.STOP_MARKET)
    order = desk.engine.adopt(0, 7, 11, SELL, stop, 0, 0, 100, 0, True, "v1", desk.now)
    row = desk.orders.order(order)
    desk.hold(100)
    desk.time()
    (new,) = desk.shields()  # its trigger is not known to be right: it is replaced, but counts until then
    assert desk.stops.shields.row(0) == {"order": order, "next": new["id"], "changed_ns": desk.now}
    assert row["strategy"] == -1
    desk.engine.halt(0, HaltReason.HALT_DRIFT, 2, desk.now)
    assert desk.orders.order(order)["cancel_wanted"] == 0
    desk.tell(new["id"], LIVE)
    assert desk.orders.order(order)["cancel_wanted"] == 1


def test_a_stop_of_an_earlier_run_that_is_in_step_is_kept():
    desk = Desk()
    desk.stops.protect(0, 50_000)
    stop = int(OrderType.STOP_MARKET)
    order = desk.engine.adopt(0, 7, 11, SELL, stop, 0, 0, 100, 0, True, "v1", desk.now, trigger_ticks=9_500)
    desk.engine.halt(0, HaltReason.HALT_DRIFT, 2, desk.now)  # before anybody saw that it protects
    assert desk.orders.order(order)["cancel_wanted"] == 0
    desk.hold(100)
    for _ in range(5):
        desk.time()
    assert desk.stops.shields.row(0)["order"] == order
    assert desk.shields() == []
    assert desk.orders.order(order)["cancel_wanted"] == 0


def test_a_stop_of_an_earlier_run_without_a_position_is_taken_back_when_that_is_certain():
    desk = Desk()
    desk.stops.protect(0, 50_000)
    order = left(desk, 11, 100, 9_500)
    run(desk, 90)
    assert not gone(desk, order)  # nobody has compared the position with the venue
    desk.engine.reconciled(0, desk.now)
    run(desk, 2)
    assert gone(desk, order)


@pytest.mark.parametrize("leg", [NET, LONG])
def test_of_two_of_an_earlier_run_the_worse_one_goes_when_the_venue_was_compared_with(leg):
    """Killed while the one took the place of the other."""
    desk = Desk()
    if leg:
        desk.hedge()
    desk.stops.protect(0, 50_000)
    rows = enumerate(((100, 9_000), (100, 9_500), (40, 9_500)))
    wide, right, small = (left(desk, 11 + i, *x, leg=leg) for i, x in rows)
    desk.hold(100, leg=leg)
    run(desk, 30)
    assert not any(gone(desk, x) for x in (wide, right, small))  # the position may be larger than is known
    desk.engine.reconciled(0, desk.now)
    run(desk, 2)
    assert [gone(desk, x) for x in (wide, right, small)] == [True, False, True]
    assert desk.shields(open_only=False) == []
    assert desk.stops.state()["protecting"] == {0: [right]}
    assert desk.stops.shields.bare(0) == 0


def test_one_that_is_known_to_rest_is_preferred_to_one_of_unknown_fate():
    desk = Desk()
    desk.stops.protect(0, 50_000)
    resting = left(desk, 11, 100, 9_510)
    unsure = left(desk, 12, 100, 9_500, unsure_ns=1)
    desk.hold(100)
    run(desk, 2)
    assert desk.orders.order(unsure)["state"] == "UNKNOWN"
    assert desk.stops.state()["protecting"] == {0: [resting]}
    assert desk.stops.shields.bare(0) == 0


def test_two_that_cover_a_position_only_together_stay_until_one_rests_that_does_alone():
    desk = Desk()
    desk.stops.protect(0, 50_000)
    both = [left(desk, 11, 70, 9_500), left(desk, 12, 30, 9_500)]
    desk.hold(100)
    desk.engine.reconciled(0, desk.now)
    run(desk, 5)
    (new,) = desk.shields()
    assert (new["size_lots"], new["state"]) == (100, "SENT")
    assert not any(gone(desk, x) for x in both)
    desk.tell(new["id"], LIVE)
    run(desk, 2)
    assert all(gone(desk, x) for x in both)


@pytest.mark.parametrize("size", [100, 60])
def test_a_stop_of_an_earlier_run_is_kept_where_nobody_knows_the_entry_price(size):
    desk = Desk()
    desk.stops.protect(0, 50_000)
    order, other = left(desk, 11, size, 9_300), left(desk, 12, 20, 9_400)
    desk.engine.set_position(0, 100, 0, desk.now)
    desk.engine.reconciled(0, desk.now)
    run(desk, 120)
    assert not gone(desk, order)
    assert not gone(desk, other)
    assert desk.shields() == []
    assert desk.stops.state()["protecting"] == {0: [order]}
    assert desk.stops.shields.bare(0) == 100 - size
    desk.hold(100)  # now it is known
    run(desk, 2)
    (new,) = desk.shields()
    assert (new["size_lots"], new["trigger_ticks"]) == (100, 9_500)
    assert not gone(desk, order)
    desk.tell(new["id"], LIVE)
    run(desk, 2)
    assert gone(desk, order)
    assert gone(desk, other)


def test_after_a_time_that_nobody_saw_nothing_is_taken_back_before_the_next_comparison():
    desk = Desk()
    desk.stops.protect(0, 50_000)
    desk.engine.reconciled(0, desk.now)
    order = left(desk, 11, 100, 9_500)
    desk.now += SEC
    desk.engine.reconciled(0, desk.now)
    desk.engine.stood_still(5 * SEC, desk.now)
    run(desk, 90)
    assert not gone(desk, order)
    desk.engine.reconciled(0, desk.now)
    run(desk, 2)
    assert gone(desk, order)


def test_one_on_the_wrong_side_covers_nothing():
    desk = Desk()
    desk.stops.protect(0, 50_000)
    wrong = left(desk, 11, 100, 10_500, side=BUY)
    desk.engine.set_position(0, -100, 0, desk.now)
    run(desk, 2)
    assert desk.stops.shields.bare(0) == 0
    desk.engine.set_position(0, 100, 0, desk.now)
    assert desk.stops.shields.bare(0) == 100
    right = left(desk, 12, 100, 9_500)
    run(desk, 2)
    assert desk.stops.shields.bare(0) == 0
    assert not gone(desk, right)
    desk.engine.reconciled(0, desk.now)
    run(desk, 90)
    assert gone(desk, wrong)
    assert not gone(desk, right)


class Room:
    """A desk after a kill: stops of the earlier run, positions and entry prices come in any order, and a
    venue that confirms what it is asked for when it likes."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.desk = Desk()
        self.legs = self.random.choice([(NET,), (LONG, SHORT)])
        if LONG in self.legs:
            self.desk.hedge()
        self.desk.stops.protect(0, 50_000)
        self.held, self.known, self.covered, self.left = {}, {}, {}, []
        events = [lambda leg=leg: self.hold(leg) for leg in self.legs]
        for leg in self.legs:
            events += [lambda leg=leg: self.find(leg)] * self.random.randint(0, 3)
        self.random.shuffle(events)
        for event in events:
            event()
            self.run(self.random.randint(0, 8))

    def hold(self, leg):
        """A position, flat at times, with or without a known entry price."""
        signs = {NET: (-1, 0, 1), LONG: (0, 1), SHORT: (-1, 0)}[leg]
        lots = self.random.choice(signs) * self.random.randint(20, 200)
        self.known[leg], self.held[leg] = self.random.random() < 0.7, lots
        self.covered[leg] = False
        self.desk.hold(lots, 10_000 if self.known[leg] else 0, leg=leg)

    def find(self, leg):
        """A stop of the earlier run."""
        side = {LONG: SELL, SHORT: BUY}.get(leg, self.random.choice((BUY, SELL)))
        ticks = (1 if side == BUY else -1) * self.random.choice((500, 510, 100, 900)) + 10_000
        lots = abs(self.held.get(leg, 0)) * self.random.choice((0, 1)) or self.random.randint(10, 300)
        said = leg if self.random.random() < 0.8 else NET
        number = 11 + len(self.left)
        self.left.append(left(self.desk, number, lots, ticks, side=side, leg=said))

    def stops(self, leg):
        """What rests for a leg, and is not on its way out."""
        side = {LONG: SELL, SHORT: BUY}.get(leg)
        rows = [self.desk.orders.order(x) for x in self.desk.orders.open_orders(0)]
        return [x for x in rows if side in (None, x["side"]) and not x["cancel_wanted"]]

    def venue(self):
        for row in [self.desk.orders.order(x) for x in self.desk.orders.open_orders(0)]:
            if self.random.random() < 0.5:
                continue
            key = {"order_id": row["sequence"], "epoch": row["epoch"]}
            if row["cancel_wanted"]:
                self.desk.tell(kind=GONE, filled_lots=0, **key)
            elif row["state"] == "SENT":
                self.desk.tell(kind=LIVE, **key)

    def run(self, half_seconds):
        for _ in range(half_seconds):
            self.desk.time(SEC // 2)
            self.check()
            self.venue()
            self.check()

    def check(self):
        """A leg that was covered stays so."""
        for leg, lots in self.held.items():
            side = SELL if lots > 0 else BUY
            rows = [x for x in self.stops(leg) if x["side"] == side and x["state"] == "LIVE"]
            there = sum(x["leaves_lots"] for x in rows)
            assert not (lots and self.covered[leg]) or there >= abs(lots) * 0.98
            self.covered[leg] = self.covered[leg] or there >= abs(lots)

    def settle(self):
        for _ in range(15):
            self.desk.engine.reconciled(0, self.desk.now)
            self.run(10)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_an_earlier_run_left_each_open_leg_ends_with_the_one_it_needs_and_never_bare(seed):
    room = Room(seed)
    for _ in range(2):
        had = {x: [y for y in room.stops(x) if (y["side"] == SELL) == (room.held[x] > 0)] for x in room.legs}
        room.settle()
        for leg, lots in room.held.items():
            stops, sign = room.stops(leg), 1 if lots > 0 else -1
            if not lots:
                assert stops == []
            elif room.known[leg]:
                (only,) = stops
                assert only["side"] == (SELL if lots > 0 else BUY)
                assert abs(only["leaves_lots"] - abs(lots)) <= abs(lots) * 0.02
                assert abs(only["trigger_ticks"] - (10_000 - 500 * sign)) <= 25
                assert room.desk.stops.state()["protecting"][0].count(only["id"]) == 1
            elif had[leg]:
                assert stops != []
        for leg in room.legs:  # another position, or its entry price becomes known
            if room.known[leg] or not room.held[leg]:
                room.hold(leg)
            else:
                room.known[leg] = True
                room.desk.hold(room.held[leg], leg=leg)


def test_a_position_larger_than_the_largest_order_has_as_many_as_it_takes():
    desk = guarded(400, filters={"max_market_size": "3"})
    assert [x["size_lots"] for x in desk.shields()] == [300, 100]
    assert desk.stops.shields.bare(0) == 0
    assert desk.stops.state()["protecting"] == {0: [x["id"] for x in desk.shields()]}
    assert desk.stops.shields.row(0, part=1)["order"] == desk.shields()[1]["id"]
    for _ in range(50):
        desk.time()
    assert len(desk.shields(open_only=False)) == 2


def test_what_more_than_four_orders_would_take_is_bare():
    desk = guarded(1_350, filters={"max_market_size": "3"})
    assert [x["size_lots"] for x in desk.shields()] == [300] * 4
    assert desk.stops.shields.state()["partly"] > 0
    assert desk.stops.shields.bare(0) == 150


def test_of_several_one_at_a_time_is_replaced_and_the_rest_goes_with_what_it_protected():
    desk = guarded(700, filters={"max_market_size": "3"})
    first = [x["id"] for x in desk.shields()]
    desk.now += SEC
    grow(desk, 200, 10_400)  # the entry moved: all three are out of step
    assert [x["size_lots"] for x in desk.shields()[3:]] == [300]
    most = 4
    for _ in range(20):
        for order in desk.shields():
            if order["state"] == "SENT":
                desk.tell(order["id"], LIVE)
            elif order["cancel_wanted"]:
                desk.tell(order["id"], GONE, filled_lots=0)
        desk.time(200 * MS)
        most = max(most, len(desk.shields()))
        assert sum(x["size_lots"] for x in desk.shields()) >= 700  # never without
    assert most == 4
    assert [x["size_lots"] for x in desk.shields()] == [300, 300, 300]
    assert not {x["id"] for x in desk.shields()} & set(first)
    desk.now += SEC
    grow(desk, 500, 10_000, SELL)
    assert [x["cancel_wanted"] for x in desk.shields()][1:3] == [0, 1]  # 400 need two
    grow(desk, 400, 10_000, SELL)
    assert all(x["cancel_wanted"] for x in desk.shields())


def test_of_several_that_were_asked_for_each_answer_finds_its_own():
    desk = Desk(filters={"max_market_size": "3"})
    desk.stops.protect(0, 50_000)
    desk.hold(900)
    desk.time()
    second = desk.shields()[1]["id"]
    desk.tell(second, ReportKind.REPORT_REJECT)
    for order in desk.shields():
        desk.tell(order["id"], LIVE)
    assert desk.stops.shields.bare(0) == 300
    desk.time(SEC)
    assert [x["size_lots"] for x in desk.shields()] == [300, 300, 300]
    assert desk.stops.shields.row(0, part=1)["order"] == desk.shields()[2]["id"]


def test_of_several_what_is_not_needed_any_more_stays_until_what_is_needed_rests():
    desk = guarded(400, filters={"max_market_size": "3"})
    first, second = (x["id"] for x in desk.shields())
    desk.tell(first, GONE, filled_lots=0)  # somebody cancelled it
    grow(desk, 300, 10_000, SELL)
    desk.time(SEC)
    new = desk.shields()[-1]
    assert (new["size_lots"], new["state"]) == (100, "SENT")
    assert not gone(desk, second)
    desk.tell(new["id"], LIVE)
    assert gone(desk, second)


def test_switched_off_it_is_taken_back():
    desk = guarded()
    desk.stops.protect(0, 0)
    desk.time()
    assert len(desk.cancels()) == 1


def test_what_makes_no_sense_is_refused():
    desk = Desk("PBTC", "SBTC")
    with pytest.raises(ValueError, match="only positions of perpetuals"):
        desk.stops.protect(1, 1000)
    with pytest.raises(ValueError, match="500001"):
        desk.stops.protect(0, 500_001)
    with pytest.raises(IndexError):
        desk.stops.protect(2, 1000)


def test_what_no_order_covers_is_said_until_one_rests():
    desk = Desk()
    desk.hold(100)
    assert desk.stops.shields.bare(0) == 0  # nobody asked for protection
    desk.stops.protect(0, 50_000)
    desk.time()
    assert desk.stops.shields.bare(0) == 100  # asked for, and not there yet
    desk.tell(desk.shields()[0]["id"], LIVE)
    assert desk.stops.shields.bare(0) == 0

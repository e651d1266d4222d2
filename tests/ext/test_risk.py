"""Every reason to refuse, exactly at its limit; the worst case; the rate; and who can make an Approved."""

import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext import records
from ext.account import Account
from ext.book import Book
from ext.instruments import Instruments
from ext.orders import Orders
from ext.records import (
    BudgetKind,
    DepthKind,
    HaltReason,
    Market,
    OrderType,
    ReportKind,
    Rule,
    Side,
    TimeInForce,
)
from ext.risk import RiskGate

BUY, SELL = int(Side.BUY), int(Side.SELL)
SEC = 10**9
NOW = 1_700_000_000 * SEC
E8 = 10**8
POST_ONLY, IOC = int(TimeInForce.POST_ONLY), int(TimeInForce.IOC)
MARKET_ORDER = int(OrderType.MARKET)
STEP, RANGE = Rule.RULE_STEP, Rule.RULE_RANGE
LIMITS = {
    "max_size_lots": 100,
    "max_notional_e8": 1_000_000 * E8,
    "max_position_lots": 500,
    "collar_ppm": 50_000,
    "stale_ns": SEC,
    "max_open_orders": 8,
}


class Desk:
    """A gate over one instrument with a book at 9990 / 10010, one tick one cent, one lot one thousandth."""

    def __init__(
        self, bids=((9990, 40), (9980, 60)), asks=((10010, 40), (10020, 60)), capacity=64, row=None, **limits
    ):
        self.instruments = Instruments()
        self.instruments.add(Market.BYBIT_LINEAR, "BTCUSDT", "0.01", "0.001", **(row or {}))
        self.orders, self.account, self.book = Orders(capacity, 1), Account(1), Book(0)
        self.book.feed(DepthKind.SNAPSHOT, STEP, list(bids), list(asks), last_id=1, now_ns=NOW)
        self.gate = RiskGate(self.instruments, self.orders, self.account, [self.book])
        self.gate.set_limits(0, **{**LIMITS, **limits})
        self.gate.set_rate(1000, SEC)

    def order(self, side=BUY, price=10_000, size=10, now=NOW, **more):
        """(reason, value, limit) of one try; passed orders stay reserved."""
        reason, value, limit, order_id = self.gate.try_order(0, side, price, size, now, **more)
        assert bool(order_id) == (reason == "OK")
        self.last = order_id
        return reason, value, limit

    def passes(self, *args, **more):
        return self.order(*args, **more)[0] == "OK"


# ---- one reason at a time ----


def test_a_plain_order_passes_and_its_exposure_is_reserved_at_once():
    desk = Desk()
    assert desk.order() == ("OK", 0, 0)
    row = desk.orders.reserved(0)
    assert (row["buy_lots"], row["sell_lots"], row["open_orders"], row["unacked"]) == (10, 0, 1, 1)
    assert (desk.gate.passed, desk.gate.refusals()) == (1, {})


def test_a_latch_stops_every_new_order_until_released():
    desk = Desk()
    desk.gate.latch(7)
    assert desk.order() == ("LATCHED", 7, 0)
    assert desk.order(side=SELL, reduce_only=True) == ("LATCHED", 7, 0)
    desk.gate.latch(0)  # a latch without a reason is still a latch
    assert desk.order()[0] == "LATCHED"
    desk.gate.release()
    assert desk.passes()


def test_orders_that_a_latch_refused_are_counted_by_the_lowest_latch_that_was_on():
    desk = Desk()
    for latches in ((7,), (7,), (7, 1)):
        for latch in latches:
            desk.gate.latch(latch)
        assert desk.order()[0] == "LATCHED"
    assert desk.gate.refusals() == {"LATCHED": 3}
    assert desk.gate.latched_refusals() == {"LATCH_GUARD": 2, "LATCH_OPERATOR": 1}


def test_an_instrument_beyond_the_table_is_refused():
    desk = Desk()
    for number in (-1, 1, 2**31 - 1):
        assert desk.gate.try_order(number, BUY, 10_000, 1, NOW)[:3] == ("INSTRUMENT", number, 1)


def test_an_instrument_without_limits_or_not_tradable_is_refused():
    desk = Desk()
    bare = RiskGate(desk.instruments, desk.orders, desk.account, [desk.book])
    bare.set_rate(10, SEC)
    assert bare.try_order(0, BUY, 10_000, 1, NOW)[:3] == ("INSTRUMENT", 0, 1)
    assert Desk(row={"tradable": False}).order() == ("INSTRUMENT", 1, 0)


@pytest.mark.parametrize(
    "limit", ["max_size_lots", "max_notional_e8", "max_position_lots", "max_open_orders"]
)
def test_a_limit_of_zero_forbids(limit):
    assert not Desk(**{limit: 0}).passes()


def test_a_rate_that_was_never_set_forbids():
    desk = Desk()
    gate = RiskGate(desk.instruments, desk.orders, desk.account, [desk.book])
    gate.set_limits(0, **LIMITS)
    assert gate.try_order(0, BUY, 10_000, 1, NOW)[0] == "ORDER_RATE"


def test_a_book_that_is_not_synced_is_refused_in_every_state():
    desk = Desk()
    desk.book.feed(DepthKind.UPDATE, STEP, [], [], last_id=9)
    assert desk.order() == ("BOOK_UNSYNCED", 3, 2)
    desk.book.reset()
    assert desk.order() == ("BOOK_UNSYNCED", 0, 2)
    book = Book(0, True)
    gate = RiskGate(desk.instruments, desk.orders, desk.account, [book])
    gate.set_limits(0, **LIMITS)
    gate.set_rate(9, SEC)
    book.feed(DepthKind.UPDATE, RANGE, [(9990, 1)], [(10010, 1)], first_id=5, last_id=5, now_ns=NOW)
    assert gate.try_order(0, BUY, 10_000, 1, NOW)[:3] == ("BOOK_UNSYNCED", 1, 2)
    book.feed(DepthKind.SEED, RANGE, [(9990, 1)], [(10010, 1)], last_id=8, now_ns=NOW)
    assert gate.try_order(0, BUY, 10_000, 1, NOW)[0] == "BOOK_UNSYNCED"  # loaded, but nothing joined it yet
    book.feed(DepthKind.UPDATE, RANGE, [], [], first_id=9, last_id=9, now_ns=NOW)
    assert gate.try_order(0, BUY, 10_000, 1, NOW)[0] == "OK"


def test_an_instrument_without_a_book_is_refused_and_does_not_crash():
    desk = Desk()
    gate = RiskGate(desk.instruments, desk.orders, desk.account, [None])
    gate.set_limits(0, **LIMITS)
    gate.set_rate(9, SEC)
    assert gate.try_order(0, BUY, 10_000, 1, NOW)[:3] == ("BOOK_UNSYNCED", 0, 2)


def test_a_book_may_be_as_old_as_the_limit_and_not_older():
    assert Desk().passes(now=NOW + SEC)
    assert Desk().order(now=NOW + SEC + 1) == ("BOOK_STALE", SEC + 1, SEC)


def test_a_book_with_one_side_or_none_has_no_reference_price():
    assert Desk(asks=()).order() == ("BOOK_ONE_SIDED", 2, 0)
    assert Desk(bids=()).order() == ("BOOK_ONE_SIDED", 0, 2)
    assert Desk(bids=(), asks=()).order() == ("BOOK_ONE_SIDED", 0, 0)


def test_a_crossed_book_is_refused_as_unsynced_because_it_gaps_by_itself():
    """BOOK_CROSSED is a second lock behind this one: no sequence of messages makes a synced book crossed."""
    desk = Desk()
    desk.book.feed(DepthKind.UPDATE, STEP, [(10_010, 1)], [], last_id=2, now_ns=NOW)
    assert desk.book.is_crossed()
    assert desk.order() == ("BOOK_UNSYNCED", 3, 2)


def test_sizes_at_and_beyond_every_bound():
    desk = Desk(row={"min_size": "0.005", "max_size": "0.090"})
    assert desk.order(size=4) == ("SIZE_MIN", 4, 5)
    assert desk.passes(size=5)
    assert desk.passes(size=90)
    assert desk.order(size=91) == ("SIZE_MAX", 91, 90)
    assert desk.order(size=101) == ("SIZE_MAX", 101, 100)
    for size in (0, -1, -(2**63)):
        assert Desk().order(size=size) == ("SIZE_MIN", size, 1)
    assert Desk().passes(size=100)
    for size in (101, 2**47 + 1, 2**62, 2**63 - 1):
        assert Desk().order(size=size) == ("SIZE_MAX", size, 100)


def test_orders_must_stand_on_the_venues_own_steps_where_the_data_is_finer():
    """Books hold old prices and sizes off today's tick and lot; new orders may not."""
    desk = Desk(row={"data_tick": "0.001", "data_lot": "0.0001"})
    assert desk.order(size=15) == ("SIZE_STEP", 15, 10)
    assert desk.order(price=10_005) == ("PRICE_STEP", 10_005, 10)
    assert desk.order(price=10_010, size=20) == ("OK", 0, 0)
    desk = Desk(row={"data_tick": "0.001", "data_lot": "0.0001"}, bids=((9993, 40),), asks=((10_007, 40),))
    assert desk.passes(price=0, size=20, type=MARKET_ORDER)  # the price it reaches is not one it names


def test_prices_at_and_beyond_the_venues_own_filter():
    desk = Desk(row={"min_price": "99.00", "max_price": "101.00"})
    assert desk.passes(price=9900)
    assert desk.order(price=9899) == ("PRICE_RANGE", 9899, 9900)
    assert desk.passes(side=SELL, price=10_100)
    assert desk.order(price=10_101) == ("PRICE_RANGE", 10_101, 10_100)


@pytest.mark.parametrize("price", [0, -1, -(2**63), 2**47 + 1, 2**63 - 1])
def test_prices_that_are_none_are_refused_even_without_a_filter(price):
    assert Desk().order(price=price)[:2] == ("PRICE_RANGE", price)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_the_collar_is_exact_on_both_sides_of_the_mid(side):
    """Mid 10000, 5 %: 9500 and 10500 pass, one tick further does not."""
    assert Desk().passes(side=side, price=10_500)
    assert Desk().passes(side=side, price=9500)
    assert Desk().order(side=side, price=10_501) == ("PRICE_COLLAR", 50_100, 50_000)
    assert Desk().order(side=side, price=9499) == ("PRICE_COLLAR", 50_100, 50_000)
    assert Desk(collar_ppm=0).passes(side=side, price=10_000)
    assert Desk(collar_ppm=0).order(side=side, price=10_001) == ("PRICE_COLLAR", 100, 0)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.one_of(st.integers(1, 2**46), st.integers(2**45, 2**46)),
    st.integers(1, 2**20),
    st.integers(0, 200_000),
    st.integers(-3, 3),
    st.booleans(),
)
def test_the_collar_is_exact_at_any_price_that_fits_the_book(bid, spread, ppm, off, above):
    desk = Desk(bids=((bid, 1),), asks=((bid + spread, 1),), collar_ppm=ppm, max_notional_e8=10**15)
    mid2 = 2 * bid + spread
    price = max(1, (mid2 + (1 if above else -1) * mid2 * ppm // 1_000_000) // 2 + off)
    inside = abs(2 * price - mid2) * 1_000_000 <= mid2 * ppm
    assert (desk.order(price=price, size=1)[0] != "PRICE_COLLAR") == inside


def test_notional_at_and_beyond_both_bounds():
    """10000 ticks of 0.01 times 10 lots of 0.001 is exactly one."""
    desk = Desk(row={"min_notional": "1"}, max_notional_e8=2 * E8)
    assert desk.passes(size=10)
    assert desk.order(size=9) == ("NOTIONAL_MIN", 9 * E8 // 10, E8)
    assert desk.passes(size=20)
    assert desk.order(size=21) == ("NOTIONAL_MAX", 21 * E8 // 10, 2 * E8)


def test_a_notional_that_does_not_fit_is_refused_as_a_number():
    desk = Desk(bids=((2**46 - 10, 1),), asks=((2**46, 1),), max_size_lots=2**47)
    assert desk.order(price=2**46, size=2**47) == ("NUMBER", 2**47, 0)


@pytest.mark.parametrize("odd", [{"type": 3}, {"type": -1}, {"tif": 4}, {"tif": -1}, {"tif": 2**31 - 1}])
def test_a_type_or_time_in_force_that_is_none_is_refused(odd):
    assert Desk().order(**odd)[0] == "NUMBER"


@pytest.mark.parametrize("side", [-1, 2, 77])
def test_the_test_door_refuses_a_side_that_is_none(side):
    with pytest.raises(ValueError, match="must be BUY or SELL"):
        Desk().order(side=side)


def test_post_only_may_join_and_not_cross():
    assert Desk().passes(price=10_009, tif=POST_ONLY)
    assert Desk().order(price=10_010, tif=POST_ONLY) == ("POST_ONLY_CROSS", 10_010, 10_010)
    assert Desk().passes(side=SELL, price=9991, tif=POST_ONLY)
    assert Desk().order(side=SELL, price=9990, tif=POST_ONLY) == ("POST_ONLY_CROSS", 9990, 9990)


def test_open_orders_are_counted_until_they_are_terminal():
    desk = Desk(max_open_orders=2)
    assert desk.passes()
    first = desk.last
    assert desk.passes(price=9999)
    assert desk.order() == ("OPEN_ORDERS", 2, 2)
    desk.orders.report(first, ReportKind.REPORT_UNCERTAIN)
    assert desk.order() == ("OPEN_ORDERS", 2, 2)
    desk.orders.report(first, ReportKind.REPORT_CANCELED)
    assert desk.passes()


def test_a_full_order_table_refuses_and_uses_up_nothing():
    desk = Desk(capacity=4, max_open_orders=4)
    gate = RiskGate(desk.instruments, desk.orders, desk.account, [desk.book])
    gate.set_limits(0, **{**LIMITS, "max_open_orders": 4})
    gate.set_rate(10, SEC)
    other = Orders(4, 2)  # the same table serves another instrument, which has used it up
    instruments = Instruments()
    for symbol in ("BTCUSDT", "ETHUSDT"):
        instruments.add(Market.BYBIT_LINEAR, symbol, "0.01", "0.001")
    for _ in range(4):
        other.intend(1, BUY, 100, 1)
    gate = RiskGate(instruments, other, Account(2), [desk.book, None])
    gate.set_limits(0, **{**LIMITS, "max_open_orders": 4})
    gate.set_rate(1, SEC)
    assert gate.try_order(0, BUY, 10_000, 1, NOW)[:3] == ("TABLE_FULL", 4, 4)
    assert set(other.reserved(0).values()) == {0}
    other.report(other.open_orders()[0], ReportKind.REPORT_REJECT)
    assert gate.try_order(0, BUY, 10_000, 1, NOW)[0] == "OK"  # the refusal cost no rate


def test_the_same_order_again_within_its_time_is_a_duplicate():
    desk = Desk(duplicate_ns=1000)
    assert desk.passes()
    assert desk.order(now=NOW + 999) == ("DUPLICATE", 999, 1000)
    assert desk.passes(now=NOW + 999, price=9999)
    assert desk.passes(now=NOW + 999, side=SELL, price=10_001)
    assert desk.passes(now=NOW + 999, size=11)
    assert desk.passes(now=NOW + 1000)
    assert desk.passes(now=NOW + 2000)


def test_another_order_in_between_hides_no_duplicate():
    desk = Desk(duplicate_ns=1000, max_open_orders=64)
    for n in range(8):
        assert desk.passes(price=9990 - n, now=NOW + n)
    for n in range(8):
        assert desk.order(price=9990 - n, now=NOW + 100) == ("DUPLICATE", 100 - n, 1000)
    assert desk.passes(price=9900, now=NOW + 100)
    assert desk.passes(price=9990, now=NOW + 100)  # eight others passed since


# ---- legs ----


class Apart(Desk):
    """Buys below and sells above: no order of ours meets another."""

    def order(self, side=BUY, price=0, *args, **more):
        return super().order(side, price or (9_999 if side == BUY else 10_001), *args, **more)


def hedged(**limits) -> Desk:
    desk = Apart(row={"is_perpetual": True}, **limits)
    desk.gate.set_hedge(Market.BYBIT_LINEAR, True)
    return desk


@pytest.mark.parametrize(
    ("side", "leg", "reduce_only", "why"),
    [
        (BUY, 0, False, ("LEG", 0, 2)),
        (BUY, 3, False, ("LEG", 3, 2)),
        (BUY, -1, False, ("LEG", -1, 2)),
        (BUY, 1, True, ("LEG", 1, 2)),
        (SELL, 1, False, ("LEG", 1, 2)),
        (SELL, 2, True, ("LEG", 2, 2)),
        (BUY, 2, False, ("LEG", 2, 2)),
    ],
)
def test_in_hedge_mode_an_order_says_what_it_does_to_which_leg(side, leg, reduce_only, why):
    desk = hedged()
    assert desk.order(side, leg=leg, reduce_only=reduce_only) == why
    assert desk.passes(BUY, leg=1)
    assert desk.passes(SELL, leg=2)


def test_in_one_way_mode_and_on_spot_there_are_no_legs():
    desk = Desk(row={"is_perpetual": True})
    assert desk.order(leg=1) == ("LEG", 1, 0)
    assert desk.passes()
    spot = Desk()
    spot.gate.set_hedge(Market.BYBIT_LINEAR, True)  # OKX has spot and swaps in one market
    assert spot.order(leg=2) == ("LEG", 2, 0)
    assert spot.passes()
    with pytest.raises(ValueError, match="no such market"):
        spot.gate.set_hedge(8, True)


@pytest.mark.parametrize(("leg", "opening", "closing"), [(1, BUY, SELL), (2, SELL, BUY)])
def test_each_leg_is_bounded_by_itself_at_its_worst_case(leg, opening, closing):
    desk = hedged(max_position_lots=50)
    desk.account.fill(0, opening, 10_000, 20, leg=leg)
    desk.account.fill(0, closing, 10_000, 45, leg=3 - leg)  # the other leg is nobody's reserve
    assert desk.passes(opening, leg=leg, size=20)
    assert desk.order(opening, leg=leg, size=11) == ("POSITION", 51, 50)
    assert desk.passes(opening, leg=leg, size=10)
    assert desk.order(closing, leg=leg, size=21, reduce_only=True) == ("POSITION", 1, 0)
    assert desk.passes(closing, leg=leg, size=15, reduce_only=True)
    assert desk.order(closing, leg=leg, size=6, reduce_only=True) == ("POSITION", 1, 0)
    assert desk.passes(closing, leg=leg, size=5, reduce_only=True)
    reserved = desk.orders.reserved(0)
    name = "long" if leg == 1 else "short"
    sides = ("buy", "sell") if leg == 1 else ("sell", "buy")
    assert [reserved[f"{name}_{x}_lots"] for x in sides] == [30, 20]


def test_what_opens_one_leg_never_stands_in_the_way_of_closing_the_other():
    desk = hedged()
    desk.account.fill(0, BUY, 10_000, 20, leg=1)
    assert desk.passes(SELL, leg=2, size=100)
    assert desk.passes(SELL, leg=1, size=20, reduce_only=True)


def test_a_stop_is_at_most_its_leg():
    desk = hedged()
    desk.account.fill(0, BUY, 10_000, 20, leg=1)
    stop = {"type": int(OrderType.STOP_MARKET), "reduce_only": True, "trigger": 9000, "leg": 1, "price": 0}
    assert desk.order(SELL, size=21, **stop) == ("POSITION", 1, 0)
    assert desk.passes(SELL, size=20, **stop)


# ---- what must be proven first ----


def test_a_halt_stops_everything_and_reduce_only_leaves_a_way_out():
    desk = Desk()
    desk.account.fill(0, BUY, 10_000, 40)
    desk.gate.halt(0, HaltReason.HALT_UNKNOWN, 1)
    assert desk.order() == ("REDUCE_ONLY", HaltReason.HALT_UNKNOWN, 0)
    assert desk.passes(side=SELL, reduce_only=True)
    desk.gate.halt(0, HaltReason.HALT_DRIFT, 2)
    assert desk.order(side=SELL, reduce_only=True) == ("HALTED", HaltReason.HALT_DRIFT, 0)
    assert desk.gate.halts(0) == {"HALT_DRIFT": 2, "HALT_UNKNOWN": 1}
    desk.gate.resume(0, HaltReason.HALT_DRIFT)
    assert desk.order()[0] == "REDUCE_ONLY"
    desk.gate.resume(0, HaltReason.HALT_UNKNOWN)
    assert desk.passes(price=9999)


def test_a_halt_that_makes_no_sense_is_refused():
    gate = Desk().gate
    for bad in ((1, 1, 1), (-1, 1, 1), (0, 24, 1), (0, -1, 1), (0, 1, 3), (0, 1, 0)):
        with pytest.raises(ValueError, match=r"halt|instrument"):
            gate.halt(*bad)


def test_without_a_recent_reconciliation_clock_or_private_stream_no_risk_is_taken():
    """What proves them is the engine's cold doors; here nothing has."""
    for required, reason in (
        ({"reconcile_ns": SEC}, "RECONCILE_STALE"),
        ({"clock_ns": SEC}, "CLOCK"),
        ({"private": True}, "PRIVATE_DOWN"),
    ):
        desk = Desk()
        desk.account.fill(0, BUY, 10_000, 40)
        desk.gate.require(**required)
        assert desk.order()[0] == reason
        assert desk.passes(side=SELL, reduce_only=True)
    with pytest.raises(ValueError, match="negative"):
        desk.gate.require(clock_ns=-1)


def test_requests_in_the_air_are_capped():
    desk = Desk()
    desk.gate.require(max_unacked=2)
    assert desk.passes()
    first = desk.last
    assert desk.passes(price=9999)
    assert desk.order() == ("UNACKED", 2, 2)
    desk.orders.report(first, ReportKind.REPORT_ACK)
    assert desk.passes()


def test_lots_of_unknown_fate_are_capped_by_the_largest_order():
    desk = Desk(max_size_lots=100)
    assert desk.passes(size=60)
    desk.orders.report(desk.last, ReportKind.REPORT_UNCERTAIN)
    assert desk.passes(size=40)
    desk.orders.report(desk.last, ReportKind.REPORT_LIVE)
    assert desk.order(size=41) == ("UNKNOWN_NOTIONAL", 101, 100)


def test_the_venue_s_own_caps_hold_too():
    assert Desk(row={"max_orders": 1}).passes()
    desk = Desk(row={"max_orders": 1})
    assert desk.passes()
    assert desk.order() == ("OPEN_VENUE", 1, 1)
    desk = Desk()
    desk.gate.budgets.set_rule(Market.BYBIT_LINEAR, BudgetKind.BUDGET_ORDERS, 10, SEC)
    while desk.passes():
        desk.orders.report(desk.last, ReportKind.REPORT_CANCELED)
    assert desk.order()[0] == "VENUE_RATE"
    banded = {"up_ppm": 1000, "down_ppm": 1000}
    assert Desk(row=banded).passes(price=10_010)
    assert Desk(row=banded).order(price=10_011) == ("PRICE_RANGE", 10_011, 10_000)
    assert Desk(row=banded).order(side=SELL, price=9989) == ("PRICE_RANGE", 9989, 10_000)
    assert Desk(row={"max_notional": "1"}).order(size=11)[0] == "NOTIONAL_MAX"
    assert Desk(row={"max_market_size": "0.005"}).order(price=0, size=6, type=MARKET_ORDER) == (
        "SIZE_MAX",
        6,
        5,
    )


# ---- stops ----


def test_a_stop_only_protects():
    stop = {"type": int(OrderType.STOP_MARKET), "price": 0, "size": 40}
    desk = Desk()
    desk.account.fill(0, BUY, 10_000, 40)
    assert desk.order(side=SELL, trigger=9900, **stop) == ("TRIGGER", 0, 1)
    assert desk.order(side=SELL, trigger=9990, reduce_only=True, **stop) == ("TRIGGER", 9990, 9990)
    assert desk.order(side=BUY, trigger=9000, reduce_only=True, **stop)[0] == "TRIGGER"
    assert desk.passes(side=SELL, trigger=9000, reduce_only=True, **stop)  # far away
    assert desk.order(side=SELL, trigger=9000, reduce_only=True, **stop | {"size": 41})[0] == "POSITION"


# ---- worst case ----


def test_what_others_have_open_on_the_account_counts_and_does_not_bar_the_way_out():
    from ext.engine import Engine

    instruments = Instruments()
    instruments.add(Market.BYBIT_LINEAR, "BTCUSDT", "0.01", "0.001")
    engine = Engine(instruments)
    engine.books[0].feed(DepthKind.SNAPSHOT, STEP, [(9990, 40)], [(10_010, 40)], last_id=1, now_ns=NOW)
    engine.risk.set_limits(0, **{**LIMITS, "max_position_lots": 100})
    engine.risk.set_rate(1000, SEC)
    engine.foreign(0, 60, 95, NOW)
    assert engine.risk.try_order(0, BUY, 10_000, 41, NOW)[:3] == ("POSITION", 101, 100)
    assert engine.risk.try_order(0, BUY, 10_000, 40, NOW)[0] == "OK"
    assert engine.risk.try_order(0, SELL, 10_001, 6, NOW)[:3] == ("POSITION", 101, 100)
    engine.set_position(0, 30, 0, NOW)
    assert engine.risk.try_order(0, SELL, 10_001, 30, NOW, reduce_only=True)[0] == "OK"


def test_the_position_limit_counts_everything_that_may_still_fill_on_one_side():
    desk = Desk(max_position_lots=100)
    desk.account.fill(0, BUY, 10_000, 40)
    assert desk.passes(size=30)
    sent = desk.last
    assert desk.passes(size=20)
    desk.orders.report(desk.last, ReportKind.REPORT_LIVE)
    assert desk.order(size=11) == ("POSITION", 101, 100)
    assert desk.passes(size=10)  # exactly the limit
    assert desk.order(size=1) == ("POSITION", 101, 100)
    assert desk.passes(
        side=SELL, price=10_001, size=100
    )  # the other side is its own worst case: 40 long, 100 to sell
    assert desk.passes(side=SELL, price=10_001, size=40)
    assert desk.order(side=SELL, price=10_001, size=1) == ("POSITION", 101, 100)
    desk.orders.report(sent, ReportKind.REPORT_CANCELED)
    assert desk.passes(size=30)


def test_a_fill_moves_from_reserved_to_position_without_freeing_anything():
    desk = Desk(max_position_lots=100)
    assert desk.passes(size=100)
    assert desk.orders.report(desk.last, ReportKind.REPORT_FILL, 60, 1) == 60
    desk.account.fill(0, BUY, 10_000, 60)
    assert desk.order(size=1) == ("POSITION", 101, 100)


def test_reduce_only_passes_up_to_flat_and_never_beyond():
    desk = Desk(max_position_lots=100)
    desk.account.fill(0, BUY, 10_000, 30)
    assert desk.order(side=SELL, size=31, reduce_only=True) == ("POSITION", 1, 0)
    assert desk.passes(side=SELL, size=20, reduce_only=True)
    assert desk.order(side=SELL, size=11, reduce_only=True) == ("POSITION", 1, 0)  # 20 may fill already
    assert desk.passes(side=SELL, size=10, reduce_only=True)
    assert desk.order(side=BUY, price=9999, size=1, reduce_only=True) == ("POSITION", 31, 0)


def test_reduce_only_never_opens_from_flat():
    for side in (BUY, SELL):
        assert Desk().order(side=side, size=1, reduce_only=True) == ("POSITION", 1, 0)


def test_reduce_only_works_while_the_position_is_beyond_its_limit():
    desk = Desk(max_position_lots=10)
    desk.account.fill(0, SELL, 10_000, 90)
    assert desk.order(side=SELL, size=1)[0] == "POSITION"
    assert desk.passes(side=BUY, size=90, reduce_only=True)


def test_reduce_only_may_be_smaller_than_the_venues_least_notional():
    desk = Desk(row={"min_notional": "1000"})
    desk.account.fill(0, BUY, 10_000, 5)
    assert desk.order(side=SELL, size=5)[0] == "NOTIONAL_MIN"
    assert desk.passes(side=SELL, size=5, reduce_only=True)


def test_a_market_order_is_judged_by_the_worst_price_it_would_reach():
    """Asks 40 at 10010, 60 at 10020: 5 % collar passes both; a tight collar passes only the first."""
    assert Desk().passes(price=0, size=100, type=MARKET_ORDER, tif=IOC)
    assert Desk(collar_ppm=1000).passes(price=0, size=40, type=MARKET_ORDER)
    assert Desk(collar_ppm=1000).order(price=0, size=41, type=MARKET_ORDER) == ("PRICE_COLLAR", 2000, 1000)
    assert Desk(collar_ppm=1000).order(side=SELL, price=0, size=41, type=MARKET_ORDER) == (
        "PRICE_COLLAR",
        2000,
        1000,
    )
    desk = Desk(max_notional_e8=10_020 * 41 * 1000)
    assert desk.passes(price=0, size=41, type=MARKET_ORDER)
    assert desk.order(price=0, size=42, type=MARKET_ORDER) == (
        "NOTIONAL_MAX",
        10_020 * 42 * 1000,
        10_020 * 41 * 1000,
    )


def test_a_market_order_that_the_book_cannot_fill_is_refused():
    assert Desk(max_size_lots=1000).order(price=0, size=101, type=MARKET_ORDER) == ("SIZE_MAX", 101, 100)


def test_a_market_order_cannot_be_post_only():
    assert Desk().order(price=0, size=1, type=MARKET_ORDER, tif=POST_ONLY)[0] == "POST_ONLY_CROSS"


@pytest.mark.parametrize("seed", range(20))
def test_no_sequence_of_orders_and_reports_takes_the_worst_case_beyond_the_limit(seed):
    """Whatever is tried, acked, filled, lost or cancelled: if all that may fill on a side fills, the limit
    holds."""
    rng = random.Random(f"worst {seed}")
    desk, trade = Desk(max_position_lots=50, max_open_orders=20, duplicate_ns=0), 0
    for _ in range(300):
        if rng.random() < 0.5:
            desk.order(side=rng.randrange(2), size=rng.randrange(1, 30), reduce_only=rng.random() < 0.2)
        elif desk.orders.open_orders():
            order_id = rng.choice(desk.orders.open_orders())
            row = desk.orders.order(order_id)
            kind = rng.choice(list(ReportKind))
            trade += 1
            lots = rng.randrange(1, row["size_lots"] - row["filled_lots"] + 1)
            got = desk.orders.report(order_id, kind, lots, trade, 0, row["filled_lots"])
            if got:
                desk.account.fill(0, row["side"], 10_000, got)
        held, reserved = desk.account.position(0)["lots"], desk.orders.reserved(0)
        assert held + reserved["buy_lots"] <= 50
        assert held - reserved["sell_lots"] >= -50


class Venue:
    """Fills what it likes when it likes, keeps reduce-only orders from turning the position, and tells of it
    late: of one order in order, of several in any."""

    def __init__(self, desk: Desk, rng: random.Random):
        self.desk, self.rng, self.lots, self.trades = desk, rng, 0, 0
        self.leaves: dict[int, list] = {}  # order id -> [side, reduces, lots]
        self.news: dict[int, list[int]] = {}
        self.due: list[int] = []  # whose news of before the last pass was not told yet

    def take(self, order_id: int, side: int, size: int, reduces: bool) -> None:
        self.leaves[order_id], self.news[order_id] = [side, reduces, size], []

    def fill(self, order_id: int) -> None:
        side, reduces, lots = self.leaves[order_id]
        most = min(lots, max(-self.lots if side == BUY else self.lots, 0)) if reduces else lots
        if most:
            got = self.rng.randint(1, most)
            self.leaves[order_id][2] -= got
            self.lots += got if side == BUY else -got
            self.news[order_id].append(got)

    def tell(self, order_id: int) -> None:
        lots = self.news[order_id].pop(0)
        if order_id in self.due:
            self.due.remove(order_id)
        row = self.desk.orders.order(order_id)
        self.trades += 1
        got = self.desk.orders.report(
            order_id, ReportKind.REPORT_FILL, lots, self.trades, 0, row["filled_lots"] + lots
        )
        assert got == lots
        self.desk.account.fill(0, row["side"], 10_000, lots)
        self.desk.gate.equity.count_now(0)

    def cancel(self, order_id: int) -> None:
        del self.leaves[order_id], self.news[order_id]
        row = self.desk.orders.order(order_id)
        self.desk.orders.report(order_id, ReportKind.REPORT_CANCELED, 0, 0, 0, row["filled_lots"])
        self.desk.gate.equity.count_now(0)

    def agree(self) -> None:
        """A complete pass: what filled before the one before it was heard of, in whatever order; the rest
        may not be."""
        for order_id in self.rng.sample(self.due, len(self.due)):
            self.tell(order_id)
        self.desk.gate.equity.settled(0)
        self.due = [order_id for order_id, news in self.news.items() for _ in news]

    def worst(self) -> int:
        """The farthest from flat that it can come to."""
        open = [x for x in self.leaves.values() if not x[1]]
        buys = sum(lots for side, _, lots in open if side == BUY)
        sells = sum(lots for side, _, lots in open if side == SELL)
        return max(self.lots + buys, sells - self.lots)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("passes", [0, 0.03, 0.15])
def test_reports_that_come_late_and_out_of_order_do_not_take_the_position_beyond_its_limit(seed, passes):
    """A reduce-only order may have filled before what was heard of since: it counts although we are flat,
    until two passes agreed."""
    rng = random.Random(f"late {seed} {passes}")
    desk = Desk(
        max_position_lots=20,
        max_open_orders=30,
        duplicate_ns=0,
        capacity=512,
        row={"is_perpetual": True},
    )
    venue, passed = Venue(desk, rng), 0
    for _ in range(400):
        if rng.random() < passes:
            venue.agree()
        what = rng.random()
        told = [x for x, news in venue.news.items() if news]
        if what < 0.35:
            side, size, reduces = rng.randrange(2), rng.choice((1, 2, 5, 9, 20)), rng.random() < 0.4
            if desk.passes(side=side, size=size, reduce_only=reduces):
                venue.take(desk.last, side, size, reduces)
                passed += 1
                assert venue.worst() <= 20
        elif what < 0.7 and venue.leaves:
            venue.fill(rng.choice(list(venue.leaves)))
        elif what < 0.85 and told:
            venue.tell(rng.choice(told))
        elif len(told) < len(venue.news):
            venue.cancel(rng.choice(sorted(venue.news.keys() - told)))
    assert passed > 20


@pytest.mark.parametrize("passes", [0, 1, 2])
@pytest.mark.parametrize("seed", range(10))
def test_what_may_have_filled_before_the_last_pass_counts_until_the_next(seed, passes):
    """An exit filled first and was not heard of; what filled behind it was, and made us flat."""
    rng = random.Random(f"settled {seed}")
    desk = Desk(max_position_lots=20, duplicate_ns=0, row={"is_perpetual": True})
    venue, held = Venue(desk, rng), rng.randint(1, 15)
    desk.account.fill(0, BUY, 10_000, held)
    desk.gate.equity.count_now(0)
    venue.lots = held
    for reduces in (True, False):
        assert desk.passes(SELL, size=held, reduce_only=reduces)
        venue.take(desk.last, SELL, held, reduces)
    for order_id in (desk.last - 1, desk.last):
        while venue.leaves[order_id][2]:
            venue.fill(order_id)
    while venue.news[desk.last]:
        venue.tell(desk.last)
    for _ in range(passes):
        venue.agree()
    size = next(x for x in range(20, 0, -1) if desk.order(SELL, size=x)[0] == "OK")
    venue.take(0, SELL, size, False)
    assert venue.worst() == 20  # no more, and no less is left


def test_an_order_that_only_reduces_counts_while_it_may_have_filled_before_we_heard_to_be_flat():
    desk = Desk(max_position_lots=20, duplicate_ns=0, row={"is_perpetual": True})
    desk.account.fill(0, BUY, 10_000, 2)
    desk.gate.equity.count_now(0)
    assert desk.passes(SELL, size=2, reduce_only=True)
    assert desk.passes(SELL, size=2)
    assert desk.orders.report(desk.last, ReportKind.REPORT_FILL, 2, 1, 0, 2) == 2
    desk.account.fill(0, SELL, 10_000, 2)
    desk.gate.equity.count_now(0)
    assert desk.order(SELL, size=19) == ("POSITION", 21, 20)
    desk.gate.equity.settled(0)  # it may have filled since the pass before
    assert desk.order(SELL, size=19) == ("POSITION", 21, 20)
    desk.gate.equity.settled(0)
    assert desk.passes(SELL, size=19)


# ---- rate ----


def test_a_burst_up_to_the_rate_passes_and_one_more_does_not():
    desk = Desk(max_open_orders=64)
    desk.gate.set_rate(3, 1000)
    assert [desk.passes(now=NOW) for _ in range(4)] == [True, True, True, False]
    assert desk.order(now=NOW + 999) == ("ORDER_RATE", 999, 1000)
    assert [desk.passes(now=NOW + 1000) for _ in range(4)] == [True, True, True, False]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(1, 7), st.integers(1, 50), st.lists(st.integers(0, 30), max_size=120))
def test_no_window_ever_holds_more_than_the_rate(most, window, steps):
    desk, now, passed = Desk(capacity=256, max_open_orders=256, max_position_lots=2**40), NOW, []
    desk.gate.set_rate(most, window)
    for step in steps:
        now += step
        if desk.passes(size=1, now=now):
            passed.append(now)
        else:
            # refused only where the window is full
            assert len([t for t in passed if t > now - window]) >= most
    for start in passed:
        assert len([t for t in passed if start <= t < start + window]) <= most


def test_changing_the_rate_gives_no_second_burst():
    desk = Desk(max_open_orders=64)
    desk.gate.set_rate(2, 1000)
    assert [desk.passes(now=NOW) for _ in range(3)] == [True, True, False]
    desk.gate.set_rate(5, 1000)
    assert not desk.passes(now=NOW + 999)
    assert desk.passes(now=NOW + 1000)
    desk.gate.set_rate(0, 1000)
    assert not desk.passes(now=NOW + 10**9)


def test_refused_orders_cost_no_rate():
    desk = Desk()
    desk.gate.set_rate(1, SEC)
    for _ in range(5):
        assert desk.order(size=0)[0] == "SIZE_MIN"
    assert desk.passes()


# ---- ceilings, counters ----


@pytest.mark.parametrize(
    ("name", "ceiling"),
    [
        ("max_size_lots", 2**47),
        ("max_notional_e8", 10_000_000 * E8),
        ("max_position_lots", 2**47),
        ("collar_ppm", 200_000),
        ("stale_ns", 3600 * SEC),
        ("max_open_orders", 64),
        ("duplicate_ns", 3600 * SEC),
    ],
)
def test_no_configuration_goes_above_the_ceilings_compiled_in(name, ceiling):
    desk = Desk()
    desk.gate.set_limits(0, **{**LIMITS, name: ceiling})
    for value in (ceiling + 1, -1):
        with pytest.raises(ValueError, match=name):
            desk.gate.set_limits(0, **{**LIMITS, name: value})
    with pytest.raises(ValueError, match="the table has 1"):
        desk.gate.set_limits(1, **LIMITS)


@pytest.mark.parametrize(("orders", "window"), [(-1, 1), (1_000_001, SEC), (1, 0), (1, -5), (1, 3601 * SEC)])
def test_a_rate_out_of_range_is_refused(orders, window):
    with pytest.raises(ValueError, match="order rate"):
        Desk().gate.set_rate(orders, window)


def test_the_books_must_be_as_many_as_the_instruments():
    desk = Desk()
    with pytest.raises(ValueError, match="2 books for 1 instruments"):
        RiskGate(desk.instruments, desk.orders, desk.account, [None, None])


def test_refusals_are_counted_by_name():
    desk = Desk()
    desk.order(size=0)
    desk.order(size=0)
    desk.order(price=0)
    assert desk.gate.refusals() == {"SIZE_MIN": 2, "PRICE_RANGE": 1}


def test_checking_many_times_changes_nothing():
    desk = Desk()
    assert desk.gate.check_many(1000, 0, BUY, 10_000, 10, NOW) == 1000
    assert desk.orders.reserved(0)["open_orders"] == 0
    assert desk.gate.passed == 0
    assert desk.passes()


# ---- permission by type ----


def test_python_cannot_make_an_approved():
    with pytest.raises(TypeError, match="risk gate only"):
        records.Approved()
    with pytest.raises(TypeError, match="risk gate only"):
        records.Approved.__new__(records.Approved)


def test_a_subclass_does_not_help():
    class Mine(records.Approved):
        def __init__(self):
            pass

    for make in (Mine, lambda: records.Approved.__new__(Mine), lambda: object.__new__(Mine)):
        with pytest.raises(TypeError):
            make()


def test_an_approved_cannot_be_reached_copied_or_unpickled_from_python():
    desk = Desk()
    assert desk.passes()
    assert not [
        name for name in dir(desk.gate) if name in ("approved", "approve", "approve_cancel", "_grant", "mint")
    ]
    assert not hasattr(records, "mint")


def test_one_function_writes_orders_to_a_socket_and_each_order_is_looked_at_in_front_of_it():
    """Everything that any native source writes to a transport: `Link._put`, which only `Link.write` and
    `Link.write_batch` call, each behind `_may` and with an Approved in hand; and the session's own traffic,
    which is text that no wire encoded."""
    root = Path(__file__).parents[2]
    writers, putters, encoders = [], [], []
    for path in sorted((root / "ext").rglob("*.pyx")):
        function = ""
        for line in path.read_text(encoding="utf-8").splitlines():
            started = re.match(r"\s*(?:cdef|cpdef|def)\s+(?:[\w.]+\*?\s+)*?(\w+)\(", line)
            function = f"{path.stem}.{started[1]}" if started else function
            if path.stem == "spare":  # opens and closes the tape's files
                assert not re.search(r"\b(p?writev?|sendfile|splice)\(", line)
                line = line.replace("unistd", "")
            if re.search(r"\.send(?!_close)\w*\(|sendto|sendmsg|\bunistd\b|import socket", line):
                writers.append(function)
            if re.search(r"self\._put\(", line):
                putters.append(function)
            if re.search(r"\.encode(?:_batch)?\((?:approved|self\.risk\.pool)", line):
                encoders.append(function)
    assert writers == ["link._put", "link.send"]
    assert sorted(putters) == ["link.write", "link.write_batch"]
    assert set(encoders) == {"engine._encode", "engine.encode_many"}
    link = (root / "ext/link.pyx").read_text(encoding="utf-8")
    for name in ("write", "write_batch"):
        body = link[link.index(f"cdef int {name}(") :].split("\n    cdef ", 1)[0]
        assert body.index("self._may(") < body.index("self._put(")
    # the other way: `_may` wants an Approved that is alive, and nobody but risk makes one so
    makers = [
        p.stem for p in (root / "ext").rglob("*.pyx") if ".live = True" in p.read_text(encoding="utf-8")
    ]
    assert makers == ["risk"]


# ---- limits that change under resting orders ----


def reloaded(**changes):
    """An engine with five resting orders, and what a change of limits cancels of them."""
    from ext.engine import Engine
    from ext.limits import LimitTable

    instruments = Instruments()
    instruments.add(Market.BYBIT_LINEAR, "BTCUSDT", "0.01", "0.001")
    engine = Engine(instruments)
    engine.books[0].feed(DepthKind.SNAPSHOT, STEP, [(9990, 40)], [(10_010, 40)], last_id=1, now_ns=NOW)
    engine.risk.set_limits(0, **LIMITS)
    engine.risk.set_rate(1000, SEC)
    for price, size in ((9600, 10), (9990, 50), (9991, 20), (9992, 20), (9993, 5)):
        order_id = engine.risk.try_order(0, BUY, price, size, NOW)[3]
        engine.orders.report(order_id, ReportKind.REPORT_LIVE)
    new = LimitTable(1, 4096)
    new.set_limits(0, **{**LIMITS, **changes})
    new.set_rate(1000, SEC)
    beyond = engine.set_limits(new.pack(), NOW)
    assert beyond == [i for i in engine.orders.open_orders() if engine.orders.order(i)["cancel_wanted"]]
    assert engine.risk.limits_version == 3
    assert engine.orders.order(1)["limits_version"] == 2
    return beyond


@pytest.mark.parametrize(
    ("changes", "beyond"),
    [
        ({}, []),
        ({"max_size_lots": 20}, [2]),
        ({"max_notional_e8": 4 * E8}, [2]),
        ({"collar_ppm": 39_999}, [1]),
        ({"collar_ppm": 40_000}, []),
        ({"max_open_orders": 3}, [4, 5]),
        ({"max_position_lots": 80}, [4, 5]),
        ({"max_position_lots": 0}, [1, 2, 3, 4, 5]),
        ({"max_open_notional_e8": 80 * 9900 * 1000}, [3, 4]),
    ],
)
def test_limits_that_are_tightened_cancel_what_rests_beyond_them_and_nothing_else(changes, beyond):
    """Row 147."""
    assert reloaded(**changes) == beyond


def test_limits_of_another_table_change_nothing():
    from ext.engine import Engine
    from ext.limits import LimitTable

    instruments = Instruments()
    instruments.add(Market.BYBIT_LINEAR, "BTCUSDT", "0.01", "0.001")
    engine = Engine(instruments)
    before = engine.risk.pack()
    with pytest.raises(ValueError, match="LIMITS record"):
        engine.set_limits(LimitTable(2, 64).pack(), NOW)
    assert engine.risk.pack() == before

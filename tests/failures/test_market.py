"""Group O of the failure catalogue, markets: one scenario or more for each row that concerns risk."""

import re

import configs
from hands import BUY, POST_ONLY, SEC, SELL, VENUES
from rows import row

from ext.records import HaltReason

PERPETUALS = ("binance-usdm", "bybit-linear", "okx")
E8 = 10**8
# A request about one order by REST: a query or a cancel.
OF_AN_ORDER = re.compile(
    r"(GET|DELETE) \S*/(order|algoOrder)\?|GET \S*/order/realtime\?\S*orderLinkId"
    r"|POST \S*/cancel|GET \S*/trade/order\?"
)
WIDE = {
    "max_notional_e8": 10_000_000 * E8,
    "max_position_lots": 10**9,
    "max_size_lots": 10**9,
    "collar_ppm": 200_000,
    "stale_ns": 3600 * SEC,
    "max_open_orders": 64,
}


def limit(hand, **limits) -> None:
    """The gate's limits of the instrument; a naive manager has none."""
    hand.engine.risk.set_limits(0, **{**WIDE, "leverage": 1, "maintenance_ppm": 5_000, **limits})


def why(hand, side: int, price: int, size: int = 0) -> str:
    """What the gate says to such an order."""
    return hand.engine.risk.probe(0, side, price, size or hand.size, hand.world.now_ns)


def refused(hand, reasons: str, side: int, price: int, **more) -> bool:
    """Was an order refused for one of these reasons and nothing asked of the venue?"""

    def count() -> int:
        return sum(hand.engine.risk.refusals().get(x, 0) for x in reasons.split())

    before, asked = count(), hand.asked_new()
    placed = hand.place(side, price, **more)
    hand.run(0.2)
    return not placed and count() > before and hand.asked_new() == asked


def in_order(hand) -> None:
    """What must hold at the end of every scenario: both sides have the same."""
    assert hand.position() == hand.traded_there()
    assert len(hand.open_here()) == len(hand.open_there())
    assert all(n == 1 for n in hand.truth()["orders"].values())


def moving(make, market: str, **more):
    """A market that moves: faults of the market need one."""
    return make(market, moving=True, **more).ready()


# ---- 152: gap ----


@row(152, star=True)
def test_152_what_a_strategy_may_pay_does_not_follow_a_gap_at_once(make, market):
    hand = moving(make, market)
    limit(hand, walk_ppm=30_000, walk_ns=20 * SEC)
    hand.run(5)
    before = hand.best(BUY)
    hand.befall("market.gap", percent=-8)
    hand.run(2)
    assert hand.hits("market.gap") == 1
    assert hand.best(BUY) > before * 105 // 100
    assert refused(hand, "PRICE_WALK", BUY, hand.away(BUY))
    hand.run(25)  # where it was is where it is now
    assert hand.place(BUY, hand.away(BUY))
    hand.run(1)
    in_order(hand)


@row(152, star=True)
def test_152_after_a_jump_there_is_a_pause(make, market):
    hand = moving(make, market)
    limit(hand, jump_ppm=20_000, jump_ns=SEC, jump_pause_ns=10 * SEC)
    hand.run(2)
    hand.befall("market.gap", percent=8)
    hand.run(1)
    assert hand.hits("market.gap") == 1
    assert refused(hand, "JUMP", BUY, hand.away(BUY))
    hand.run(12)
    assert hand.place(BUY, hand.away(BUY))
    hand.run(1)
    in_order(hand)


# ---- 153: halt, cancel-only ----


@row(153, markets=VENUES)
def test_153_a_symbol_that_halts_takes_nothing_new_and_is_believed_again_after_a_pass(make, market):
    hand = make(market).ready()
    order = hand.place(BUY, hand.away(BUY))
    hand.run(1)
    hand.befall("status.halt", s=100)
    hand.until(lambda: "HALT_VENUE" in hand.halts(), 90)
    assert hand.hits("status.halt") == 1
    assert refused(hand, "HALTED INSTRUMENT", BUY, hand.away(BUY))
    hand.until(lambda: order not in hand.open_here(), 120)  # cancels go on
    hand.until(hand.may_trade, 200)
    hand.run(2)
    in_order(hand)


# ---- 155: other increments ----


@row(155, star=True)
def test_155_a_coarser_tick_pulls_what_rests_between_and_refuses_what_does_not_fit(make, market):
    hand = make(market).ready()
    price = hand.away(BUY)
    step = hand.world.desk.instruments.row(0)["tick_step"]
    odd = price - price % (10 * step) + 3 * step
    first = hand.place(BUY, odd)
    hand.run(1)
    assert first in hand.open_here()
    hand.befall("status.tick_change", multiple=10)
    hand.until(lambda: hand.world.desk.instruments.row(0)["tick_step"] == 10 * step, 130)
    assert hand.hits("status.tick_change") == 1
    assert refused(hand, "PRICE_STEP", BUY, odd)
    even = odd - odd % (10 * step)
    assert hand.place(BUY, even)
    hand.run(2)
    in_order(hand)


# ---- 156: wide spread, empty side ----


@row(156)
def test_156_an_empty_side_is_no_price_and_no_order(make, market):
    hand = moving(make, market)
    price = hand.away(BUY)
    hand.befall("market.empty", side="buy", s=5)
    hand.run(1)
    assert hand.hits("market.empty") == 1
    assert refused(hand, "BOOK_ONE_SIDED", BUY, price)
    assert refused(hand, "BOOK_ONE_SIDED", SELL, price, size=2 * hand.size)
    hand.run(8)
    hand.until(hand.may_trade)
    in_order(hand)


@row(156)
def test_156_a_spread_beyond_the_limit_is_no_market(make, market):
    hand = moving(make, market)
    limit(hand, spread_ppm=5_000)
    price = hand.away(BUY)
    hand.befall("market.spread", ticks=hand.best(BUY) // 100, s=5)
    hand.run(1)
    assert hand.hits("market.spread") == 1
    assert refused(hand, "SPREAD", BUY, price)
    hand.run(8)
    hand.until(hand.may_trade)
    in_order(hand)


# ---- 157: a print ----


@row(157)
def test_157_one_trade_far_away_moves_no_limit(make, market):
    hand = moving(make, market)
    limit(
        hand, collar_ppm=20_000, walk_ppm=20_000, walk_ns=SEC, jump_ppm=20_000, jump_ns=SEC, jump_pause_ns=SEC
    )
    hand.place(BUY, hand.through(BUY))
    hand.run(2)
    trades = hand.engine.trade_count(0)
    hand.befall("market.print", percent=20, size_lots=5)
    hand.run(0.5)
    assert hand.hits("market.print") == 1
    assert hand.engine.trade_count(0) > trades
    assert why(hand, BUY, hand.away(BUY, 10)) == "OK"
    assert why(hand, BUY, hand.best(BUY) * 80 // 100) in ("PRICE_COLLAR", "PRICE_STEP", "PRICE_RANGE")
    assert hand.engine.risk.latched == 0
    assert hand.halts() == {}
    in_order(hand)


# ---- 158: everything at once ----


@row(158, star=True)
def test_158_in_a_storm_of_data_cancels_get_through_and_nothing_is_sent_twice(make, market):
    hand = moving(make, market)
    orders = [hand.place(BUY, hand.away(BUY, 500 + 10 * n)) for n in range(4)]
    hand.run(1)
    hand.fault("me_stall", for_s=4)
    hand.fault("rest.delay", delay_ms=5000, for_s=10)
    hand.befall("market.crash", percent=2, s=2)
    late = hand.place(BUY, hand.away(BUY))
    for order in orders:
        hand.cancel(order)
    hand.run(3)
    assert hand.hits("me_stall") >= 1
    assert hand.state(late) == "UNKNOWN"  # and still counted
    assert hand.reserved(BUY) >= hand.size
    hand.until(lambda: not hand.open_here() and not hand.open_there(), 120)
    assert hand.taken() <= 5
    in_order(hand)


@row(158, star=True)
def test_158_a_feed_that_cannot_carry_its_traffic_is_stale_and_the_way_out_comes_first(make, market):
    hand = moving(make, market, changes={"limits": {"stale_ms": 500}})
    orders = [hand.place(BUY, hand.away(BUY, 500 + 10 * n)) for n in range(3)]
    hand.run(1)
    hand.befall("market.busy", times=10, s=5)
    hand.fault("px.rate", way="out", path="feed", bytes_per_s=3_000, for_s=5)
    hand.fault("me_stall", for_s=4)
    hand.fault("rest.delay", delay_ms=5000, for_s=6)
    asked, heard = hand.asked_new(), len(hand.fake.heard)
    late = hand.place(BUY, hand.away(BUY))  # the last that was sure of its data
    assert hand.asked_new() <= asked  # it waits in front of the matching engine
    for order in orders:
        hand.cancel(order)
    hand.run(1.5)
    for _ in range(5):  # frames come all the time, and tell the past
        assert refused(hand, "BOOK_STALE BOOK_UNSYNCED", BUY, hand.away(BUY))
    assert all(hand.hits(x) for x in ("market.busy", "px.rate", "me_stall", "rest.delay"))
    assert hand.state(late) == "UNKNOWN"
    assert hand.reserved(BUY) >= hand.size
    hand.run(0.5)
    asks = set(hand.fake.heard[heard:])
    assert any(OF_AN_ORDER.search(x) for x in asks)  # slow lists are no reason to wait for an unknown order
    assert len(asks) <= 40
    hand.until(lambda: not hand.open_here() and not hand.open_there(), 120)
    hand.run(5)
    assert hand.keeper.differences() == []  # no order is unknown
    assert hand.keeper.is_settled()
    assert not hand.told("too many requests")
    assert hand.taken() <= 4
    hand.until(hand.may_trade, 60)
    in_order(hand)


# ---- 160: phases ----

PHASED = ("bybit-linear", "okx")


def listed(hand) -> None:
    """The round of asking for the lists that comes every minute."""
    hand.world._relist_all()
    hand.run(1)


@row(160, star=True, markets=PHASED)
def test_160_in_a_phase_without_cancels_what_rests_stays_committed(make, market):
    hand = make(market).ready()
    order = hand.place(BUY, hand.away(BUY))
    hand.run(1)
    resyncs = hand.engine.resync_asks
    hand.befall("status.phase", phase="no_cancel", s=12)
    listed(hand)
    hand.run(1)
    assert hand.hits("status.phase") == 1
    assert hand.halts().get("HALT_PHASE") == 2
    assert order in hand.open_here()  # it was asked to go, and the venue said no: it may still fill
    assert len(hand.open_there()) == 1
    assert hand.reserved(BUY) == hand.size
    assert hand.engine.equity.worth(0)["long_e8"] > 500 * E8  # in the sums over everything, too
    asked = hand.asked_new()
    assert refused(hand, "PHASE INSTRUMENT HALTED", BUY, hand.away(BUY))
    hand.run(8)
    assert hand.engine.resync_asks - resyncs <= 2  # a book that crosses is no broken book
    hand.fill_there(hand.size)
    hand.run(1)
    assert hand.position() == hand.size  # ... and when it fills, nobody is surprised
    assert hand.asked_new() == asked
    in_order(hand)


@row(160, markets=PHASED)
def test_160_a_crossed_book_is_legal_in_an_auction_and_a_fresh_one_ends_it(make, market):
    hand = make(market).ready()
    resyncs, lines = hand.engine.resync_asks, [x.generation for x in hand.world.lines.values()]
    hand.befall("status.phase", phase="auction", s=10)
    listed(hand)
    hand.run(2)
    assert hand.hits("status.phase") == 1
    assert hand.engine.books[0].is_crossed()
    hand.run(5)
    assert hand.engine.resync_asks - resyncs <= 2
    assert [x.generation for x in hand.world.lines.values()] == lines  # nor is a line given up
    hand.fault("px.blackhole", way="out", path="feed", for_s=12)
    hand.run(3)
    listed(hand)
    hand.run(7)
    assert hand.hits("px.blackhole") == 1
    assert hand.halts()
    assert not hand.may_trade()  # the list says that it trades; its book is of the auction
    listed(hand)
    hand.until(hand.may_trade, 30)
    assert not hand.engine.books[0].is_crossed()
    in_order(hand)


@row(160, markets=PHASED)
def test_160_in_an_auction_no_exit_leaves_that_the_venue_would_only_refuse(make, market):
    hand = make(market).ready()
    hand.place(BUY, hand.through(BUY))
    hand.run(1)
    hand.befall("status.phase", phase="auction", s=6)
    listed(hand)
    asked = hand.asked_new()
    hand.engine.flatten(0, int(HaltReason.HALT_OPERATOR), hand.world.now_ns)
    hand.run(3)
    tried = hand.asked_new() - asked
    # Bybit's list leaves out a contract in its auction, which says "halted" and not for what: a way out may
    # be tried once, and the refusal says it
    assert tried <= (market == "bybit-linear")
    assert hand.hits("status.phase") == 1
    hand.run(3)
    listed(hand)
    hand.until(lambda: hand.position() == 0, 15)
    assert hand.asked_new() == asked + tried + 1
    in_order(hand)


@row(160, markets=("bybit-spot", "bybit-linear", "okx"))
def test_160_where_only_post_only_is_taken_one_refusal_says_it_and_makers_go_on(make, market):
    hand = make(market).ready()
    hand.befall("status.phase", phase="post_only", s=10)
    asked = hand.asked_new()
    if market != "okx":  # OKX says it on a stream
        assert hand.place(BUY, hand.through(BUY))
        hand.run(1)
        assert hand.asked_new() - asked == 1
    hand.run(1)
    assert hand.hits("status.phase") == 1
    assert hand.halts() == {"HALT_PHASE": 1}  # a phase, not a filter that is wrong
    for _ in range(8):
        assert refused(hand, "PHASE", BUY, hand.through(BUY))
    order = hand.place(BUY, hand.away(BUY), tif=POST_ONLY)
    hand.run(1)
    assert order in hand.open_here()
    hand.run(8)
    listed(hand)
    if market == "bybit-spot":
        return in_order(hand)
    hand.until(lambda: hand.halts() == {}, 70)  # what only a refusal said counts for a minute
    assert hand.place(BUY, hand.through(BUY))
    hand.run(1)
    in_order(hand)


# ---- 161: price rules of the venue ----


@row(161)
def test_161_what_the_venue_expires_for_its_price_is_over_and_counted(make, market):
    hand = make(market).ready()
    hand.fault("order.expire", reason="price_range", for_s=20)
    count = 10
    for n in range(count):
        hand.place(BUY, hand.away(BUY, 500 + n), tif=POST_ONLY)
        hand.run(1)
    assert hand.hits("order.expire") == count
    assert hand.entered("EXPIRED") == count
    assert hand.taken() == count  # each was sent once: nothing priced itself anew
    assert hand.open_here() == []
    assert hand.reserved(BUY) == 0
    in_order(hand)


# ---- 162: mark and funding ----


@row(162, markets=("binance-usdm", "bybit-linear"))
def test_162_a_mark_far_from_the_last_price_counts_at_its_worse(make, market):
    hand = moving(make, market)
    hand.place(SELL, hand.through(SELL))
    hand.run(2)
    before = hand.engine.equity.worth(0)["open_e8"]
    hand.befall("market.mark", percent=4, s=20)
    hand.run(5)
    assert hand.hits("market.mark") == 1
    assert hand.engine.mark(0)["mark_e8"] > 0
    assert hand.engine.equity.worth(0)["open_e8"] < before - 15 * E8  # 4 % of a short of 600
    hand.run(25)
    in_order(hand)


@row(162, markets=("binance-usdm", "bybit-linear"))
def test_162_before_an_extreme_funding_nothing_is_opened(make, market):
    hand = make(market).ready()
    hand.until(lambda: hand.engine.mark(0)["present"] & 12 == 12, 60)
    limit(hand, funding_ppm=0, funding_ns=9 * 3600 * SEC)
    assert refused(hand, "FUNDING_WINDOW", BUY, hand.away(BUY))
    limit(hand, funding_ppm=100_000, funding_ns=9 * 3600 * SEC)
    assert hand.place(BUY, hand.away(BUY))
    hand.run(1)
    in_order(hand)


# ---- 151: flash crash ----

FLATTEN = 2


def stop_at(hand, loss_quote: int) -> None:
    """Close the position at a loss of so much, at prices not further than 5 % from the reference."""
    limit(hand, max_loss_e8=loss_quote * E8)
    hand.engine.risk.set_exit(50_000)
    hand.engine.stops.set(
        exit_slippage_ppm=50_000,
        exit_retry_ns=SEC // 2,
        cooldown_ns=30 * SEC,
        on_position_loss=FLATTEN,
        on_daily_loss=FLATTEN,
        on_drawdown=FLATTEN,
        on_margin=FLATTEN,
    )


@row(151, star=True, markets=PERPETUALS)
def test_151_a_crash_through_the_stop_closes_the_position_within_the_bound_and_once(make, market):
    hand = moving(make, market)
    if not hand.is_naive:
        stop_at(hand, 20)
    hand.place(BUY, hand.through(BUY))
    hand.place(BUY, hand.away(BUY, 2000))
    hand.run(2)
    assert hand.position() == hand.size
    hand.befall("market.crash", percent=10, s=0.1)
    hand.until(lambda: hand.position() == 0 and not hand.open_there(), 30)
    assert hand.hits("market.crash") == 1
    fills = list(hand.truth()["fills"].values())
    assert (
        sum(-x["size_lots"] if x["side"] == "sell" else x["size_lots"] for x in fills) == 0
    )  # and not short
    assert "HALT_STOP" in hand.halts()
    assert not hand.place(BUY, hand.away(BUY))  # until an operator has looked
    hand.run(5)
    assert hand.position() == 0
    in_order(hand)


# ---- 154: delisting ----


def settled(hand) -> list[dict]:
    """Fills that the venue made by itself."""
    return [x for x in hand.truth()["fills"].values() if x["nature"] == "settlement"]


def ending(make, market: str, flat_min: int, **more):
    """A node that is flat so long before an announced end."""
    stops = configs.tables()["stops"] | {"delisting_flat_min": flat_min}
    return make(market, changes={"stops": stops}, **more).ready()


@row(154, star=True, markets=PERPETUALS)
def test_154_an_announced_end_is_reduce_only_at_once_and_flat_in_time(make, market):
    hand = ending(make, market, 1)
    hand.place(BUY, hand.through(BUY), size=2 * hand.size)
    hand.run(1)
    began_ns, asked = hand.world.now_ns, hand.asked_new()
    hand.befall("status.delist", in_s=75, window_s=65)
    hand.run(0.1)
    hand.world._relist_all()  # the round that comes every minute
    hand.run(2)
    assert hand.hits("status.delist") == 1
    assert refused(hand, "REDUCE_ONLY", BUY, hand.away(BUY))
    assert hand.place(SELL, hand.through(SELL), reduce_only=True)  # who wants may go himself
    hand.run(1)
    assert hand.position() == hand.size
    hand.until(lambda: hand.position() == 0, 15)
    assert hand.world.now_ns - began_ns > 14 * SEC  # not before it has to be
    assert hand.asked_new() - asked == 2
    resyncs, told = hand.engine.resync_asks, len(hand.world.told)
    hand.run(65)  # over the end: its data stops
    assert settled(hand) == []
    assert set(hand.halts()) == {"HALT_VENUE"}
    assert not hand.place(BUY, hand.best(BUY))
    assert hand.engine.resync_asks - resyncs <= 3
    assert len(hand.world.told) - told <= 8  # people are told, not drowned
    assert hand.told("is delisted at")
    in_order(hand)


@row(154, markets=PERPETUALS)
def test_154_what_the_venue_settles_at_its_index_is_booked_and_explained(make, market):
    hand = ending(make, market, 0)
    hand.place(BUY, hand.through(BUY))
    hand.place(BUY, hand.away(BUY))
    hand.run(2)
    hand.befall("status.delist", in_s=10, window_s=9)
    hand.befall("market.mark", percent=5, s=1000)
    hand.until(lambda: hand.position() == 0 and not hand.open_here(), 20)
    assert hand.hits("status.delist") == hand.hits("market.mark") == 1
    index = hand.listing.engine.best(BUY)[0]
    assert [abs(x["price_ticks"] - index) < index // 1000 for x in settled(hand)] == [True]
    hand.look()
    hand.run(20)
    assert set(hand.halts()) == {"HALT_VENUE"}  # no difference that nobody can explain
    assert hand.keeper.differences() == []
    assert hand.world.differences() == []
    assert not hand.place(BUY, hand.through(BUY))
    in_order(hand)


@row(154, markets=("binance-usdm", "bybit-linear"))  # OKX says it on a stream
def test_154_a_refusal_in_the_window_is_looked_into_at_once_and_not_repeated(make, market):
    hand = ending(make, market, 30)
    hand.place(BUY, hand.through(BUY))
    hand.run(2)
    hand.befall("status.delist", in_s=600, window_s=599)
    hand.run(1.2)
    asked = hand.asked_new()
    assert hand.place(BUY, hand.away(BUY))  # nobody said anything yet
    hand.until(lambda: hand.position() == 0, 10)  # the refusal did: T is near
    assert hand.hits("status.delist") == 1
    assert hand.asked_new() - asked == 2  # the order that was refused, and the exit
    assert hand.told("is delisted at")
    assert not hand.place(BUY, hand.away(BUY))
    in_order(hand)


@row(154, markets=PERPETUALS)
def test_154_the_position_is_closed_where_its_data_just_stopped(make, market):
    hand = ending(make, market, 2)
    hand.place(BUY, hand.through(BUY))
    hand.run(2)
    hand.befall("status.delist", in_s=130, window_s=125)
    hand.befall("book.freeze")
    hand.run(5)
    hand.world._relist_all()
    hand.until(lambda: hand.position() == 0, 10)
    assert hand.hits("status.delist") == hand.hits("book.freeze") == 1
    assert settled(hand) == []
    in_order(hand)


@row(154, markets=("bybit-linear",))
def test_154_a_start_shortly_before_the_end_knows_of_it_from_the_first_moment(make, market):
    hand = ending(make, market, 2)
    hand.befall("status.delist", in_s=3600, window_s=1800)
    hand.run(1)
    again = hand.restart()
    again.run(15)  # no list was asked for again yet
    assert again.hits("status.delist") == 1
    assert "HALT_START" not in again.halts()
    assert refused(again, "REDUCE_ONLY", BUY, again.away(BUY))
    in_order(again)

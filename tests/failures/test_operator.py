"""Group N of the failure catalogue, people and checkers: the rows that concern risk and are played here.

138 and 139 (configuration) are in tests/node/test_config.py; 143 and 144 (kill) stand with the guard's.
"""

from hands import BUY, SEC, SELL, config_of
from rows import row

MARKETS = ("binance-usdm", "bybit-linear", "okx", "binance-spot")


def only(hand, **required) -> None:
    """One proof is asked for, with a short time to it."""
    hand.engine.risk.require(
        **({"reconcile_ns": 0, "clock_ns": 0, "private": False, "max_unacked": 8} | required)
    )


def is_refused(hand, reason: str) -> bool:
    before, asked = hand.engine.risk.refusals().get(reason, 0), hand.asked_new()
    placed = hand.place(BUY, hand.away(BUY))
    return not placed and hand.engine.risk.refusals().get(reason, 0) > before and hand.asked_new() == asked


# ---- 150: silence of the checker ----


@row(150, star=True, markets=MARKETS)
def test_150_a_reconciler_that_fell_silent_stops_new_orders_and_no_cancel(make, market):
    hand = make(market).ready()
    order = hand.place(BUY, hand.away(BUY))
    hand.run(1)
    if not hand.is_naive:
        only(hand, reconcile_ns=20 * SEC)
    hand.world.keeper.tick = lambda now_ns: []  # it does not crash, and says nothing
    hand.run(25)
    assert is_refused(hand, "RECONCILE_STALE")
    hand.cancel(order)
    hand.run(2)
    assert hand.open_there() == []
    assert hand.position() == hand.traded_there() == 0


@row(150, star=True, markets=MARKETS)
def test_150_a_clock_that_nobody_measures_any_more_stops_new_orders(make, market):
    hand = make(market).ready()
    if not hand.is_naive:
        only(hand, clock_ns=20 * SEC)
    hand.world.keeper.tick = lambda now_ns: []
    hand.run(25)
    assert is_refused(hand, "CLOCK")
    assert hand.position() == hand.traded_there() == 0


@row(150, star=True, markets=MARKETS)
def test_150_a_private_stream_that_proves_nothing_stops_new_orders(make, market):
    hand = make(market).ready()
    if not hand.is_naive:
        only(hand, private=True)
    line = hand.world.line(hand.market, hand.private_role())
    line.retry = False
    hand.world.cut(line)
    hand.run(0.1)
    assert is_refused(hand, "PRIVATE_DOWN")
    assert hand.position() == hand.traded_there() == 0


@row(150, star=True, markets=MARKETS)
def test_150_stops_that_nobody_evaluates_stop_new_orders(make, market):
    """No frame and no timer: the next thing that the node is told of finds that nobody looked."""
    hand = make(market).ready()
    if not hand.is_naive:
        only(hand, watched_ns=SEC)
    watched_ns = hand.engine.risk.watched_ns
    assert hand.world.now_ns - watched_ns < SEC
    assert hand.engine.risk.probe(0, BUY, hand.away(BUY), hand.size, watched_ns + SEC) == "OK"
    assert hand.engine.risk.probe(0, BUY, hand.away(BUY), hand.size, watched_ns + SEC + 1) == "UNWATCHED"
    assert not hand.is_naive  # which has no stops that anybody could look at


# ---- 147: limits that change while orders rest ----


@row(147, markets=MARKETS)
def test_147_an_order_is_checked_against_one_version_of_the_limits_and_says_which(make, market):
    hand = make(market).ready()
    first = hand.place(BUY, hand.away(BUY))
    hand.run(1)
    version = hand.engine.risk.limits_version
    row_ = {
        "max_size_lots": hand.size,
        "max_notional_e8": 10**15,
        "max_position_lots": hand.size,
        "collar_ppm": 200_000,
        "stale_ns": 3600 * SEC,
        "max_open_orders": 64,
        "leverage": 1,
    }
    hand.engine.risk.set_limits(0, **row_)
    assert hand.engine.risk.limits_version > version
    assert hand.order(first)["limits_version"] == version
    assert is_refused(hand, "POSITION")  # what rests counts at once
    second = hand.place(SELL, hand.away(SELL))
    assert hand.order(second)["limits_version"] > version
    hand.run(1)
    assert len(hand.open_here()) == len(hand.open_there()) == 2


@row(147, markets=MARKETS)
def test_147_limits_that_are_tightened_take_back_what_rests_beyond_them(make, market):
    hand = make(market).ready()
    small, large = hand.place(BUY, hand.away(BUY)), hand.place(BUY, hand.away(BUY), 3 * hand.size)
    hand.run(2)
    desk, version = hand.world.desk, hand.engine.risk.limits_version
    most = desk.base_text(0, 2 * hand.size)
    tighter = config_of(market, limits={"max_order_base": most})
    assert desk.tighten(desk.effective_of(tighter), hand.world.now_ns) == 1
    hand.run(2)
    assert hand.engine.risk.limits_version > version
    assert [hand.state(x) for x in (small, large)] == ["LIVE", "CANCELED"]
    assert len(hand.open_there()) == 1
    assert not hand.place(BUY, hand.away(BUY), 3 * hand.size)

"""A node on a new tape, on an account that traded a short while ago: the venue says what it holds."""

import pytest
from hands import BUY, SELL, STOP, Ours

from node.sim.memory import SEC

POLICIES = dict.fromkeys(("on_position_loss", "on_daily_loss", "on_drawdown", "on_margin"), "cancel")
STOPS = POLICIES | {"exit_slippage_bps": 100, "exit_retry_ms": 100, "cooldown_s": 0, "protect_bps": 300}
PERPETUALS = ["binance-usdm", "okx", "bybit-linear"]  # none of their lists of positions names what is flat
BEHIND = {"start_overlap_ns": 20 * SEC, "overlap_ns": 5 * SEC}  # so far back trades are listed: made short


def traded(market, *wishes):
    """An account on which a node with protective stops did `wishes`: a side each, or seconds to wait."""
    hand = Ours(market, seed=4, changes={"stops": STOPS}).ready()
    for wish in wishes:
        if wish in (BUY, SELL):
            hand.place(wish, hand.through(wish))
            hand.run(2)
        else:
            hand.run(wish)
    return hand


def again(hand, after_s=1.0, **more):
    """The tape is gone, and the node starts: it, and what it ever believes from here on: (its position, its
    open stop orders)."""
    new = hand.restart(after_s, settings=BEHIND, **more)
    seen, run_for = set(), new.world.run_for

    def watched(time_ns):
        end_ns = new.world.now_ns + time_ns
        while new.world.now_ns < end_ns:
            run_for(min(SEC // 100, end_ns - new.world.now_ns))
            seen.add((new.position(), len(stops_here(new))))

    new.world.run_for = watched
    return new, seen


def stops_here(hand):
    return [x for x in hand.open_here() if hand.order(x)["type"] == STOP]


def stops_there(hand):
    """Stop orders that the venue lists."""
    rest, replies = hand.world.desk.rest[hand.market], []
    for request in rest.open_orders(hand.symbol):
        hand.world._send_rest(hand.market, request, replies.append)
    hand.run(0.1)
    return [x for y in replies for x in rest.read_open_orders(y)[0] if x.kind == "stop_market"]


@pytest.mark.parametrize("wishes", [(BUY, 25.0, SELL), (BUY, SELL), (SELL, BUY, BUY, 25.0, SELL)])
@pytest.mark.parametrize("market", PERPETUALS)
def test_trades_of_before_a_new_tape_make_no_position_and_no_stop_and_hold_nothing(market, wishes):
    old = traded(market, *wishes)
    assert old.held_there() == 0
    assert stops_there(old) == []
    new, seen = again(old)
    began_ns = new.world.now_ns
    waits = 25.0 in wishes  # what is listed of them does not come to nothing
    new.until(new.may_trade, 80)
    assert (new.world.now_ns - began_ns < 8 * SEC) != waits
    assert new.told("this ends by itself") == waits
    new.run(20)
    assert new.halts() == {}
    assert seen == {(0, 0)}
    assert stops_there(new) == []
    new.place(BUY, new.through(BUY))
    new.run(5)
    assert new.position() == new.held_there() == new.size
    assert len(stops_there(new)) == 1


@pytest.mark.parametrize("wishes", [(BUY,), (SELL, 25.0, SELL), (BUY, 25.0, BUY, BUY, SELL)])
@pytest.mark.parametrize("market", PERPETUALS)
def test_a_position_that_the_account_has_is_taken_from_the_venue_and_protected(market, wishes):
    old = traded(market, *wishes)
    there = old.held_there()
    assert there
    new, seen = again(old)
    new.until(new.may_trade, 20)
    new.run(10)
    assert new.halts() == {}
    assert {lots for lots, _ in seen} == {0, there}
    assert [x.side for x in stops_there(new)] == [SELL if there > 0 else BUY]
    new.run(60)
    assert new.position() == new.held_there() == there
    assert len(stops_there(new)) == 1

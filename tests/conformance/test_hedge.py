"""Hedge mode on the three perpetual venues: both legs at once, each booked, bounded, compared by itself."""

import pytest
from hands import BUY, SELL, STOP, Ours

from ext.strategy import Strategy
from node.sim.memory import MS, SEC, World
from node.soak import read_faults

PERPETUALS = ("binance-usdm", "bybit-linear", "okx")
LONG, SHORT = 1, 2
HEDGED = {"venue": {"hedge": True}}
POSMODE = {"name": "acct.posmode", "hedge": True}


@pytest.fixture(params=PERPETUALS)
def hand(request):
    return Ours(request.param, changes=HEDGED, faults=[POSMODE]).ready()


def open_both(hand) -> None:
    assert hand.place(BUY, hand.through(BUY), 3 * hand.size, leg=LONG)
    assert hand.place(SELL, hand.through(SELL), 2 * hand.size, leg=SHORT)
    hand.run(3)
    assert hand.legs() == hand.legs_there() == (3 * hand.size, -2 * hand.size)


def test_both_legs_are_open_at_once_and_each_is_known(hand):
    open_both(hand)
    assert hand.position() == hand.size
    hand.run(70)
    assert hand.halts() == {}
    assert hand.world.differences() == []


def test_a_closing_order_shrinks_its_own_leg_and_never_the_other(hand):
    open_both(hand)
    assert hand.place(SELL, hand.through(SELL), hand.size, leg=LONG)
    hand.run(3)
    assert hand.legs() == hand.legs_there() == (2 * hand.size, -2 * hand.size)
    assert hand.place(BUY, hand.through(BUY), 2 * hand.size, leg=SHORT)
    hand.run(3)
    assert hand.legs() == hand.legs_there() == (2 * hand.size, 0)
    assert hand.world.differences() == []


def test_what_closes_a_leg_is_never_more_than_it_has(hand):
    open_both(hand)
    resting = hand.place(SELL, hand.away(SELL), 2 * hand.size, leg=LONG)
    assert resting
    assert hand.engine.orders.reserved(0)["long_sell_lots"] == 2 * hand.size
    hand.run(1)
    taken = hand.taken()
    assert not hand.place(SELL, hand.through(SELL), 2 * hand.size, leg=LONG)
    assert not hand.place(BUY, hand.through(BUY), 3 * hand.size, leg=SHORT)
    assert hand.taken() == taken
    assert hand.engine.risk.refusals()["POSITION"] == 2
    assert hand.place(SELL, hand.through(SELL), hand.size, leg=LONG)
    hand.cancel(resting)
    hand.run(3)
    assert hand.legs() == hand.legs_there() == (2 * hand.size, -2 * hand.size)
    assert set(hand.engine.orders.reserved(0).values()) == {0}


@pytest.mark.parametrize(
    ("side", "leg", "reduce_only"), [(BUY, 0, False), (SELL, 0, True), (BUY, LONG, True), (SELL, SHORT, True)]
)
def test_an_order_that_does_not_say_what_it_does_to_which_leg_is_refused(hand, side, leg, reduce_only):
    open_both(hand)
    taken = hand.taken()
    assert not hand.place(side, hand.through(side), leg=leg, reduce_only=reduce_only)
    assert hand.taken() == taken
    assert hand.engine.risk.refusals()["LEG"] == 1


def test_a_stop_protects_its_leg(hand):
    open_both(hand)
    far = hand.away(SELL, -1500)
    assert hand.place(SELL, 0, 3 * hand.size, type=STOP, trigger=far, leg=LONG)
    hand.run(3)
    assert len(hand.open_there()) == 1
    hand.befall("market.mark", percent="-5")
    hand.run(10)
    assert hand.legs() == hand.legs_there() == (0, -2 * hand.size)


def test_amends_and_cancels_of_a_leg_find_their_order(hand):
    order = hand.place(BUY, hand.away(BUY), leg=LONG)
    hand.run(1)
    hand.amend(order, hand.away(BUY, 700), 2 * hand.size)
    hand.run(2)
    assert [x["size_lots"] for x in hand.open_there()] == [2 * hand.size]
    assert hand.engine.orders.reserved(0)["long_buy_lots"] == 2 * hand.size
    hand.cancel(order)
    hand.run(2)
    assert hand.open_there() == []
    assert hand.engine.orders.reserved(0)["long_buy_lots"] == 0


def test_a_leg_that_no_trade_explains_holds_the_symbol_and_is_told(hand):
    open_both(hand)
    hand.run(5)
    hand.fake.accounts[1].position(hand.listing, "short").lots -= 5
    hand.run(75)
    assert hand.halts() == {"HALT_DRIFT": 1}
    assert hand.told("position of the short leg: the venue says")
    assert not hand.told("position of the long leg")
    assert hand.legs()[0] == hand.legs_there()[0]


def test_a_node_without_memory_takes_over_both_legs_and_its_orders(hand):
    open_both(hand)
    assert hand.place(SELL, hand.away(SELL), hand.size, leg=LONG)
    assert hand.place(BUY, hand.away(BUY), hand.size, leg=LONG)
    hand.run(2)
    again = hand.restart(30, settings={"keep_old": True, "start_overlap_ns": 10 * SEC})
    again.until(again.may_trade, 150)
    assert again.legs() == again.legs_there() == (3 * again.size, -2 * again.size)
    orders = [again.order(x) for x in again.open_here()]
    assert sorted((x["side"], x["leg"], x["reduce_only"]) for x in orders) == [(BUY, 1, 0), (SELL, 1, 1)]
    reserved = again.engine.orders.reserved(0)
    assert (reserved["long_buy_lots"], reserved["long_sell_lots"]) == (again.size, again.size)


def test_a_fill_of_somebody_else_is_booked_on_its_leg(hand):
    open_both(hand)
    hand.befall("acct.external_order", side="sell", size_lots=hand.size, order_type="limit",
                price_ticks=hand.through(SELL))  # fmt: skip
    hand.run(12)
    assert hand.hits("acct.external_order") == 1
    assert hand.legs() == hand.legs_there() == (3 * hand.size, -3 * hand.size)


class BothWays(Strategy):
    """Opens and closes both legs, a little at a time, at prices that trade at once or rest."""

    def __init__(self, size):
        self.size, self.step, self.next_ns = size, 0, 0
        self.seen = set()

    def on_timer(self, now_ns):
        bid, ask = self.best(0)
        if now_ns < self.next_ns or not (bid and ask):
            return 0
        self.next_ns, self.step = now_ns + 400 * MS, self.step + 1
        for order_id in self.open_orders(0)[:-4]:
            self.cancel(order_id)
        leg = LONG if self.step % 3 else SHORT
        self.seen |= {x for x in (LONG, SHORT) if self.position(0, x)}
        side = BUY if (self.step // 5) % 2 == (leg == LONG) else SELL
        away = bid[0] // 1000 * (self.step % 4 - 2)
        price = ask[0] - away if side == BUY else bid[0] + away
        price -= price % self.instruments.row(0)["tick_step"]
        (self.buy if side == BUY else self.sell)(0, price, self.size, leg=leg)
        return 0


@pytest.mark.parametrize("market", PERPETUALS)
def test_under_the_faults_of_the_soak_each_leg_ends_as_the_venue_has_it(market):
    probe, venue = Ours(market, changes=HEDGED), market.split("-")[0]
    strategy = BothWays(probe.size)
    faults = [
        x for x in read_faults(None) if x.get("venue", venue) == venue and not x["name"].startswith("acct.")
    ]
    script = [POSMODE | {"venue": venue}, *faults]
    world = World(probe.config, seed=7, faults=script, strategy=strategy)
    world.run_for(90 * SEC)
    fake = world.fakes[venue]
    assert sum(fake.faults.counts.values()) > 5
    assert strategy.seen == {LONG, SHORT}
    fake.faults.clear()
    world.engine.quiet(world.now_ns)
    for order_id in world.engine.orders.open_orders():
        world.engine.want_cancel(order_id, world.now_ns)
    world.run_until(lambda: world.differences() == [], 300 * SEC, SEC)
    assert world.engine.risk.refusals().get("LEG", 0) == 0

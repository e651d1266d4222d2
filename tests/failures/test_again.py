"""A node that starts again with a perpetual position open knows soon what it is worth."""

import re

import pytest
from hands import BUY, SELL, Ours

from ext.tape import TapeWriter
from node.recall import recall
from node.sim.memory import SEC, World
from node.sim.purses import purse_differences
from node.soak import QUOTED, soak_config

TRADES = re.compile("userTrades|myTrades|execution/list|trade/fills")
PERPETUALS = ["binance-usdm", "bybit-linear", "okx"]


def first_life(market, folder, end):
    """A node quotes on the market until its perpetual has been bought and sold, and ends with a position."""
    tape = TapeWriter(str(folder), now_ns=1, segment_size=1 << 22)
    world = World(soak_config(tuple(x for x in QUOTED if x[0] == market)), seed=3, tape=tape)
    products = [p for x in world.keeper.watches.values() for p in x.desk.products.values()]
    number = next(p.instrument for p in products if p.is_perpetual)
    account = world.engine.account

    def is_enough():
        row = account.position(number)
        return row["fills"] >= 12 and row["lots"] and row["realised"]

    world.run_until(is_enough)
    if end == "stopped":
        world.stop()
    assert account.position(number)["lots"]
    world.kill()
    tape.close(world.now_ns)
    return world, number


def slow_trades(world, by_ns):
    """The lists of trades come so much later than what else is asked for: there are many pages of them."""
    send = world._send_rest

    def later(market, request, then):
        if by_ns and TRADES.search(request.target):
            world._at(by_ns, lambda: send(market, request, then))
        else:
            send(market, request, then)

    world._send_rest = later


def second_life(before, folder, by_ns):
    tape = TapeWriter(str(folder), now_ns=before.now_ns, segment_size=1 << 22)
    world = World(before.config, seed=5, keep_fakes=before, recalled=recall(folder), tape=tape)
    slow_trades(world, by_ns)
    return world


@pytest.mark.parametrize(("end", "by_ns"), [("killed", SEC // 2), ("stopped", 0)])
@pytest.mark.parametrize("market", PERPETUALS)
def test_a_node_that_starts_again_with_a_position_knows_its_equity_and_quotes(market, end, by_ns, tmp_path):
    starts_again(market, end, by_ns, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize(("end", "by_ns"), [("killed", 0), ("stopped", SEC // 2)])
@pytest.mark.parametrize("market", PERPETUALS)
def test_however_it_ended_and_however_late_its_trades_are_listed(market, end, by_ns, tmp_path):
    starts_again(market, end, by_ns, tmp_path)


def starts_again(market, end, by_ns, tmp_path):
    before, number = first_life(market, tmp_path, end)
    world = second_life(before, tmp_path, by_ns)
    assert world.engine.account.position(number)["lots"]
    world.run_until(lambda: world.engine.equity.known, 60 * SEC)
    fills = world.engine.account.position(number)["fills"]
    world.run_until(lambda: world.engine.account.position(number)["fills"] > fills + 12, 120 * SEC)
    settled(world)
    assert not any("different money" in text or "balance:" in text for _, _, text in world.told)


def settled(world):
    """At rest, everything looked at twice: nothing differs in any purse."""
    world.engine.quiet(world.now_ns)
    for order_id in world.engine.orders.open_orders():
        world.engine.want_cancel(order_id, world.now_ns)
    world.run_for(5 * SEC)
    for _ in range(3):
        world.keeper.look_now(world.now_ns)
        world.run_for(8 * SEC)
    assert world.engine.equity.known
    assert purse_differences(world) == []
    assert world.keeper.differences() == []


def trade_there(hand, side):
    """Somebody trades a lot of ours by hand."""
    hand.befall(
        "acct.external_order",
        side="buy" if side == BUY else "sell",
        size_lots=hand.size,
        order_type="limit",
        price_ticks=hand.through(side),
    )


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("sides", [(BUY, BUY, BUY), (SELL, BUY, SELL, BUY), (SELL, SELL, SELL, BUY)])
@pytest.mark.parametrize("market", PERPETUALS)
def test_trades_that_go_on_during_the_start_are_counted_once(market, sides, seed, tmp_path):
    """In front of, between and behind the answers that tell of the position and of the trades."""
    tape = TapeWriter(str(tmp_path), now_ns=1, segment_size=1 << 22)
    hand = Ours(market, seed=seed + 1, tape=tape).ready()
    for side in (BUY, BUY, SELL):
        hand.place(side, hand.through(side))
        hand.run(1)
    tape.close(hand.world.now_ns)
    again = hand.restart(after_s=2, recalled=recall(tmp_path))
    slow_trades(again.world, seed % 2 * SEC // 2)
    again.run((0, 0.3, 1.1, 2.5)[seed])
    for n, side in enumerate(sides):
        trade_there(again, side)
        again.run((0.02, 0.15, 0.7, 1.6)[(n + seed) % 4])
    assert again.hits("acct.external_order") >= len(sides)
    again.until(lambda: again.engine.equity.known, 60)
    trade_there(again, SELL)
    again.run(20)
    settled(again.world)
    assert again.position() == again.held_there() == again.traded_there()

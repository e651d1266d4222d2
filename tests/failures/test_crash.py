"""Rows 151 and 152 of the failure catalogue: a flash crash and a gap, with a position on three venues."""

import configs
import pytest
from hands import BUY, IOC, Ours
from lossdesk import E8, LONG, NET, SEC, Desk

from bench.stop import Crash
from ext.records import Action, OrderType, StopPolicy
from ext.tape import TapeWriter
from node.recall import recall
from node.sim.memory import named_in

VENUES = ("binance-usdm", "bybit-linear", "okx")


def bounded(crash, found):
    """No order beyond its bound, no market order, no loss beyond the bounds; both sides agree."""
    assert found["beyond_bound"] == []
    assert all(x["type"] == OrderType.LIMIT and x["reduce_only"] for held in crash.held for x in held.orders)
    for name in VENUES:
        row = found["venues"][name]
        assert row["loss_at_stop"] >= row["stop"]
        assert row["loss"] <= row["bound"] or row["left_lots"]
    crash.world.run_for(5 * 10**9)
    for market, venue in crash.world.venue_of.items():
        truth = crash.world.fakes[venue].truth(crash.world.account(market))
        there = sum(x["lots"] for key, x in truth["positions"].items() if key.startswith(f"{int(market)}:"))
        i = next(n for n in range(crash.count) if crash.world.desk.instruments.market(n) == market)
        assert crash.lots(i) == there


@pytest.mark.parametrize("seed", [1, 2])
def test_row_151_a_flash_crash_of_10_percent_in_100_ms_ends_flat_and_within_the_bounds(tmp_path, seed):
    crash = Crash(tmp_path, seed=seed)
    found = crash.run(3)
    for name in VENUES:
        row = found["venues"][name]
        assert row["lots"] > 0
        assert (row["left_lots"], row["exits"] > 0) == (0, True)
    assert found["open_orders"] == 0
    assert all("HALT_STOP" in crash.engine.risk.halts(i) for i in range(3))
    assert crash.engine.stops.state()["crossed"] == 3
    bounded(crash, found)


def test_row_151_a_market_that_runs_away_from_every_bound_gets_no_order_beyond_one(tmp_path):
    crash = Crash(
        tmp_path, seed=4, percent="60", ms=6_000, slippage_ppm=200
    )  # a step of the fall is more than the bound
    found = crash.run(6)
    assert sum(len(x.orders) for x in crash.held) > 3  # it was tried again and again
    bounded(crash, found)


def test_row_151_nothing_new_is_bought_on_the_way_back(tmp_path):
    crash = Crash(tmp_path)
    crash.run(1)
    crash.percent = "-11"
    crash.crash()
    crash.world.run_for(2 * 10**9)
    for i in range(3):
        ask = crash.engine.books[i].asks()[0][0]
        assert crash.engine.risk.probe(i, 0, ask, 100, crash.world.now_ns) == "HALTED"
        assert crash.lots(i) == 0


def test_row_152_a_gap_of_8_percent_is_closed_behind_it_where_the_market_is(tmp_path):
    crash = Crash(tmp_path, fault="market.gap", percent="8")
    found = crash.run(3)
    for name in VENUES:
        assert found["venues"][name]["left_lots"] == 0
        assert (
            found["venues"][name]["loss_at_stop"] >= 2 * found["venues"][name]["stop"]
        )  # nothing traded between
    bounded(crash, found)


def test_row_152_a_stop_that_only_cancels_keeps_the_position_and_nothing_else(tmp_path):
    crash = Crash(tmp_path, fault="market.gap", percent="8", policy=StopPolicy.STOP_CANCEL)
    found = crash.run(3)
    for held in crash.held:
        assert found["venues"][held.market]["left_lots"] == held.lots
        assert held.orders == []
    assert found["open_orders"] == 0


@pytest.mark.parametrize("market", ["binance-usdm", "bybit-linear", "okx"])
def test_a_protective_stop_outlives_the_node_and_is_in_step_with_the_next_one(market):
    """Killed with a position: what the venue holds for us stays, and the next start takes it over."""
    changes = {"stops": configs.tables()["stops"] | {"protect_bps": 400}}
    hand = Ours(market, changes=changes)
    hand.ready()
    hand.place(BUY, hand.through(BUY), tif=IOC)
    hand.run(5)
    shields = hand.world.engine.stops.state()["protecting"]
    assert hand.position() == hand.size
    assert len(shields[0]) == 1
    before = hand.world.engine.orders.order(shields[0][0])
    assert before["state"] == "LIVE"
    again = hand.restart(after_s=3)
    again.ready()
    again.run(90)
    (kept,) = again.world.engine.stops.state()["protecting"][0]
    order = again.world.engine.orders.order(kept)
    assert (order["epoch"], order["sequence"]) == (before["epoch"], before["sequence"])
    assert (order["trigger_ticks"], order["state"]) == (before["trigger_ticks"], "LIVE")
    assert len(again.world.engine.orders.open_orders()) == 1


def resting(hand):
    """Stop orders that are open here."""
    rows = [hand.order(x) for x in hand.open_here()]
    return [x for x in rows if x["type"] == OrderType.STOP_MARKET]


@pytest.mark.parametrize(("market", "leg"), [("bybit-linear", LONG), ("okx", LONG), ("binance-usdm", NET)])
def test_killed_while_a_protective_stop_is_replaced_the_next_start_leaves_one(tmp_path, market, leg):
    """The new one rests and the cancel of the old one never arrived."""
    changes = {"stops": configs.tables()["stops"] | {"protect_bps": 300}}
    faults = []
    if leg:
        changes["venue"], faults = {"hedge": True}, [{"name": "acct.posmode", "hedge": True}]
    tape = TapeWriter(str(tmp_path), now_ns=1, segment_size=1 << 22)
    hand = Ours(market, seed=4, changes=changes, faults=faults, tape=tape).ready()
    hand.place(BUY, hand.through(BUY), leg=leg)
    hand.run(3)
    write = hand.world.outlet.taker
    hand.world.outlet.taker = lambda line, raw: named_in(raw)[1] == Action.CANCEL or write(line, raw)
    hand.place(BUY, hand.through(BUY), hand.size * 2, leg=leg)
    shields = hand.engine.stops.shields
    hand.until(lambda: shields.row(0, leg)["next"], 10)
    hand.until(lambda: hand.order(shields.row(0, leg)["next"])["state"] == "LIVE", 10)
    hand.run(1)
    assert len(resting(hand)) == 2
    hand.engine.tape.close(hand.world.now_ns)
    tape = TapeWriter(str(tmp_path), now_ns=hand.world.now_ns, segment_size=1 << 22)
    again = hand.restart(1.0, recalled=recall(tmp_path), tape=tape)
    again.until(again.may_trade, 60)
    again.run(10)
    (order,) = resting(again)
    assert order["leaves_lots"] == hand.size * 3
    assert again.engine.stops.state()["protecting"] == {0: [order["id"]]}


def test_row_159_collateral_that_loses_its_peg_is_less_margin_and_the_position_is_halved():
    """A wallet of a coin that is worth 0.65 holds 0.65 of it: nothing at the venue has to say so first."""
    desk = Desk("PBTC", account={"liquidation_ppm": 20_000})
    desk.engine.equity.set_row(0, 10, 20_000)  # of 10,000 held, 200 are maintenance margin
    desk.hold(1000)
    desk.engine.set_coin_price("USDE", E8, desk.now)
    desk.engine.capital(0, 600 * E8, desk.now, coin="USDE")
    desk.time()
    assert desk.stops.state()["fired"] == []
    desk.engine.set_coin_price("USDE", 66 * E8 // 100, desk.now)  # 196 left: 1.96 %
    desk.time()
    assert desk.stops.state()["fired"] == ["LIQUIDATION_NEAR purse 0"]
    assert desk.risk.halts(0) == {"HALT_MARGIN": 1}
    (order,) = desk.exits()
    assert (order["size_lots"], order["reduce_only"]) == (500, 1)
    desk.fill(order["id"], 500)
    desk.time(SEC)
    assert len(desk.exits()) == 1  # far again: transfers are nobody's plan

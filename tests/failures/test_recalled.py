"""Positions that a start has from the tape of the last run: taken over from the venue, changed while nobody
looked, counted in other increments. What the tape knows is known at once, whatever the venue answers."""

from decimal import Decimal

import msgspec
import pytest
from hands import BUY, SEC, SELL, Ours
from test_new_tape import BEHIND, POLICIES, STOPS

from ext.tape import TapeWriter
from node.errors import UserError
from node.recall import recall
from node.restore import refuse_gone
from node.slow.trades import trades_of

PERPETUALS = ["okx", "bybit-linear"]
SPOT = ["binance-spot", "bybit-spot"]
CALM = {"stops": STOPS | {"protect_bps": 0}}


def tape_in(folder):
    return TapeWriter(str(folder), now_ns=1, segment_size=1 << 22)


def traded(market, side=BUY, **more):
    """A node that bought or sold once."""
    hand = Ours(market, seed=4, **{"changes": CALM} | more).ready()
    hand.place(side, hand.through(side))
    hand.run(5)
    return hand


def next_life(hand, folder, **more):
    """Killed, and started again on its tape."""
    if hand.world.engine.tape is not None:
        hand.world.engine.tape.close(hand.world.now_ns)
    return hand.restart(2.0, recalled=recall(folder), tape=tape_in(folder), **more)


def takes_over(market, folder, **more):
    """A position of before the tape, taken from the venue."""
    hand = traded(market, **more)
    hand.run(40)
    new = hand.restart(2.0, tape=tape_in(folder))
    new.until(new.may_trade, 100)
    new.run(10)
    assert new.told("taken from the venue")
    return new


@pytest.mark.parametrize("market", PERPETUALS)
def test_a_stop_of_a_position_that_was_taken_over_fires_at_once_whatever_the_venue_answers(market, tmp_path):
    stops = STOPS | POLICIES | {"on_position_loss": "flatten", "protect_bps": 0}
    changes = {"stops": stops, "limits": {"max_position_loss_quote": "5"}}
    hand = takes_over(market, tmp_path, changes=changes)
    new = next_life(hand, tmp_path, moving=True)
    assert new.position() == hand.position() == new.held_there() != 0
    new.world.cut_rest.add(new.market)
    new.run(3)
    new.befall("market.crash", percent=3, s=1)
    new.until(lambda: new.held_there() == 0, 2)
    assert new.engine.stops.state()["fired"]


@pytest.mark.parametrize("market", PERPETUALS)
def test_starting_again_and_again_on_a_position_that_was_taken_over_tells_nobody_anything(market, tmp_path):
    hand = takes_over(market, tmp_path)
    row = hand.engine.account.position(0)
    for _ in range(2):
        hand = next_life(hand, tmp_path)
        assert hand.position() == hand.held_there() == hand.size
        hand.until(hand.may_trade, 60)
        hand.run(15)
        now = hand.engine.account.position(0)
        assert [now[x] for x in ("lots", "cash", "cost")] == [row[x] for x in ("lots", "cash", "cost")]
        assert not hand.told("taken from the venue")
        assert hand.halts() == {}
    kinds = [(x.kind, Decimal(x.quantity)) for x in trades_of(tmp_path).rows]
    assert [kind for kind, _ in kinds] == ["correction"]


@pytest.mark.parametrize(("side", "sizes"), [(BUY, 4), (SELL, 0), (SELL, 2)], ids=["more", "flat", "turned"])
@pytest.mark.parametrize("market", PERPETUALS)
def test_what_changed_without_a_trade_while_it_was_down_is_taken_over_once(market, side, sizes, tmp_path):
    hand = traded(market, side, tape=tape_in(tmp_path))
    before, there = hand.position(), sizes * hand.size
    hand.befall("acct.drift", lots=there - before)
    for life in range(3):
        hand = next_life(hand, tmp_path)
        assert hand.position() == (there if life else before)
        hand.until(hand.may_trade, 100)
        hand.run(10)
        assert hand.position() == hand.held_there() == there
        assert hand.told("taken from the venue") == (life == 0)


@pytest.mark.parametrize("market", [*PERPETUALS, *SPOT])
def test_what_was_traded_while_it_was_down_is_counted_once_on_top_of_what_was_put_back(market, tmp_path):
    """By an order that was resting, over two starts: the second one knows it from the tape."""
    hand = traded(market, tape=tape_in(tmp_path))
    hand.place(BUY, hand.away(BUY, 5), 3 * hand.size)
    hand.run(1)
    hand.world.kill()
    hand.fill_there(3 * hand.size)
    for _ in range(2):
        hand = next_life(hand, tmp_path)
        hand.until(hand.may_trade, 100)
        hand.run(10)
        assert hand.position() == hand.traded_there() == 4 * hand.size
        assert not hand.told("taken from the venue")


@pytest.mark.parametrize("market", PERPETUALS)
def test_trades_that_a_position_held_when_it_was_taken_over_are_never_counted(market, tmp_path):
    """The tape does not name them, and lists still show them to the next start."""
    hand = takes_over(market, tmp_path)
    hand.world.engine.tape.close(hand.world.now_ns)
    found = recall(tmp_path)
    place = (int(hand.market), hand.symbol)
    assert 0 < found.floors[place] <= hand.world.venue_ns
    found.begun_ns, found.trades = 1, type(found.trades)()  # as if the tape had begun before the trade
    new = hand.restart(2.0, recalled=found)
    new.until(new.may_trade, 100)
    new.run(10)
    assert new.position() == new.held_there() == new.size
    assert not new.told("taken from the venue")


@pytest.mark.parametrize("market", [*PERPETUALS, "binance-usdm"])
def test_both_legs_of_a_hedged_account_that_were_taken_over_are_known_again(market, tmp_path):
    hand = Ours(market, seed=4, changes=CALM | {"venue": {"hedge": True}})
    hand.befall("acct.posmode", hedge=True)
    hand.ready()
    hand.place(BUY, hand.through(BUY), hand.size, leg=1)
    hand.place(SELL, hand.through(SELL), hand.size, leg=2)
    hand.run(40)
    hand = hand.restart(2.0, tape=tape_in(tmp_path))
    hand.until(hand.may_trade, 100)
    for _ in range(2):
        hand = next_life(hand, tmp_path)
        assert hand.legs() == hand.legs_there() == (hand.size, -hand.size)
        hand.until(hand.may_trade, 60)
        assert not hand.told("taken from the venue")


def test_a_position_that_was_taken_over_keeps_its_symbol_in_the_config(tmp_path):
    hand = takes_over("bybit-linear", tmp_path)
    hand.world.engine.tape.close(hand.world.now_ns)
    other = replace_symbol(hand.config, "ETHUSDT")
    with pytest.raises(UserError, match=f"BTCUSDT has a position of {hand.size} lots"):
        refuse_gone(recall(tmp_path), other)


def replace_symbol(config, symbol):
    row = msgspec.structs.replace(config.instrument[0], symbol=symbol)
    return msgspec.structs.replace(config, instrument=[row])


# ---- other increments ----


def in_grid(found, tick, lot):
    """The same positions, as if the last run had had increments so many times as large."""
    for place, (lots, cash) in list(found.positions.items()):
        step = [Decimal(x) * y for x, y in zip(found.grids[place], (tick, lot), strict=True)]
        found.grids[place] = tuple(f"{x:f}" for x in step)
        found.positions[place] = (int(lots / lot), int(cash / (tick * lot)))
        found.legs[place] = {
            leg: (int(x / lot), int(y / (tick * lot)), int(z / (tick * lot)))
            for leg, (x, y, z) in found.legs[place].items()
        }
    return found


GRIDS = [(Decimal(x), Decimal(y)) for x, y in ((10, 1), ("0.1", 1), (1, 10), (1, "0.1"), ("0.1", 10), (1, 1))]


@pytest.mark.parametrize(("tick", "lot"), GRIDS)
@pytest.mark.parametrize("market", ["bybit-linear", "bybit-spot"])
def test_a_changed_tick_or_lot_keeps_the_position_and_its_limit(market, tick, lot, tmp_path):
    limits = {"max_order_base": "0.01", "max_position_base": "0.02"}
    hand = Ours(market, seed=4, changes=CALM | {"limits": limits}, tape=tape_in(tmp_path), settings=BEHIND)
    hand.ready()
    for wait_s in (40, 5):  # the first one is not among the trades that a start asks for
        hand.place(BUY, hand.through(BUY), hand.lots("0.01"))
        hand.run(wait_s)
    assert hand.position() == hand.lots("0.02")
    hand.world.engine.tape.close(hand.world.now_ns)
    found = in_grid(recall(tmp_path), tick, lot)
    new = hand.restart(2.0, recalled=found, settings=BEHIND)
    assert new.position() == new.lots("0.02")
    was, now = hand.engine.account.position(0), new.engine.account.position(0)
    assert now["cash"] == pytest.approx(was["cash"], rel=1e-6)
    assert now["cash"] == now["realised"] - now["cost"]
    new.until(lambda: not new.halts(), 60)
    assert not new.place(BUY, new.through(BUY), new.lots("0.01"))
    assert new.engine.risk.refusals() == {"POSITION": 1}


@pytest.mark.parametrize("market", SPOT)
def test_a_venue_that_changes_its_tick_while_it_is_down_frees_no_room_for_more(market, tmp_path):
    limits = {"max_order_base": "0.001", "max_position_base": "0.002"}
    hand = Ours(market, seed=4, changes=CALM | {"limits": limits}, tape=tape_in(tmp_path), settings=BEHIND)
    hand.ready()
    for wait_s in (40, 5):
        hand.place(BUY, hand.through(BUY), hand.lots("0.001"))
        hand.run(wait_s)
    for multiple in (10, 1):
        hand.befall("status.tick_change", multiple=multiple)
        hand.fake.tick(hand.world.venue_ns)
        hand = next_life(hand, tmp_path, settings=BEHIND)
        hand.run(20)
        assert hand.position() == hand.traded_there() == hand.lots("0.002")
        assert not hand.place(BUY, hand.through(BUY), hand.lots("0.001"))


# ---- a venue that wants no request yet ----


def requests(hand):
    return sum(x.startswith(("GET", "POST", "DELETE", "PUT")) for x in hand.fake.heard)


@pytest.mark.parametrize("market", ["binance-usdm", "binance-spot"])
def test_57_a_start_inside_a_ban_asks_nothing_before_its_end_and_says_so_once(market, tmp_path):
    hand = Ours(market, changes=CALM, tape=tape_in(tmp_path)).ready()
    hand.fault("rest.status", status=418, for_s=1)
    hand.look()
    until_ns = hand.keeper.watches[int(hand.market)].budget.paused_until_ns
    assert until_ns > hand.world.now_ns + 60 * SEC
    for _ in range(2):
        hand = next_life(hand, tmp_path)
        heard = requests(hand)
        hand.run(20)
        assert requests(hand) == heard
        assert len([x for x in hand.world.told if "wants no request before" in x[2]]) == 1
        assert not hand.place(BUY, hand.away(BUY))
    hand.run((until_ns - hand.world.now_ns) / SEC - 1)
    assert requests(hand) == heard
    hand.until(hand.may_trade, 60)
    hand = next_life(hand, tmp_path)
    hand.until(hand.may_trade, 60)
    assert not hand.told("wants no request before")

"""Positions, leverage and modes: differences count when seen twice, and are never traded away."""

import pytest
from rig import PERP, SPOT, SYMBOL, World, size

from ext.records import ReportKind
from node.truth.settings import SEC, Settings
from node.venues.values import ModeRow, PositionRow


def hold(world, lots, **fields):
    world.venues[PERP].position = PositionRow(PERP, SYMBOL, size(lots), **fields)


def book(world, instrument, lots, *, is_listed=True):
    """A trade that the engine counted; most are on the venue's list, too."""
    side = 0 if lots > 0 else 1
    world.engine.account.fill(instrument, side, 10_000, abs(lots))
    if is_listed:
        row = world.venues[instrument].trade("", side, abs(lots), world.now)
        world.engine.orders.remember(instrument, side, row.trade_hi, row.trade_lo)


def test_a_position_that_differs_at_start_is_taken_from_the_venue_and_said():
    world = World()
    hold(world, -25, entry="100.00")
    world.keeper.begin(world.now)
    world.run(0.5)
    assert world.position(1) == 0
    assert world.run(10, lambda: world.position(1) == -25)
    assert world.engine.account.position(1)["cash"] == 25 * 10_000
    assert world.run(20, world.keeper.is_settled), world.keeper.differences()
    assert world.heard("taken from the venue")
    world.run(100)
    assert world.position(1) == -25
    assert not world.halts(1)


def test_or_holds_the_symbol_where_the_setting_says_so():
    world = World(Settings(set_at_start=False))
    hold(world, 5)
    world.keeper.begin(world.now)
    world.run(30)
    assert world.position(1) == 0
    assert world.halts(1) == {"HALT_START": 2, "HALT_DRIFT": 1}


def test_trades_that_are_inside_a_position_that_was_set_are_not_counted_again():
    world = World()
    hold(world, 5, entry="100.00")
    trade = world.venues[PERP].trade("", 0, 5, world.now)
    world.venues[PERP].trades.clear()
    world.settle()
    world.venues[PERP].trades.append(trade)
    world.run(60)
    assert world.position(1) == 5
    assert not world.halts(1)


def test_a_drift_seen_twice_holds_the_symbol_and_is_never_corrected(world):
    world.settle()
    hold(world, 3)
    seen = []
    world.run(60, lambda: bool(seen.append(world.halts(1)) or world.halts(1)))
    assert world.halts(1) == {"HALT_DRIFT": 1}
    assert world.heard("the venue says 0.003 BTC, we have 0 BTC")
    world.run(200)
    assert world.position(1) == 0
    assert world.halts(1) == {"HALT_DRIFT": 1}
    assert not world.keeper.is_settled()
    assert not world.halts(0)


def test_a_drift_ends_when_both_agree_in_two_passes(world):
    world.settle()
    hold(world, 3)
    world.run(60, lambda: bool(world.halts(1)))
    looks = world.venues[PERP].asked.count("positions")
    hold(world, 0)
    assert world.run(30, lambda: not world.halts(1))
    assert world.venues[PERP].asked.count("positions") >= looks + 2


def test_a_difference_that_a_late_fill_explains_is_none(world):
    world.settle()
    world.run(29)
    _, client = world.order(1, lots=3)
    hold(world, 3)
    world.run(1.5)
    world.venues[PERP].change(client, state="filled", filled="0.003")
    world.venues[PERP].trade(client, 0, 3, world.now)
    world.run(60)
    assert world.position(1) == 3
    assert not world.heard("position:")
    assert world.keeper.is_settled()


def test_a_fill_while_the_answer_is_under_way_is_no_difference(world):
    world.settle()
    world.latency_ns = 2 * SEC
    for n in range(40):
        book(world, 1, 1)
        hold(world, n + 1)
        world.run(2)
    assert not world.heard("position:")


def test_an_answer_that_names_no_position_never_makes_us_flat(world):
    world.settle()
    book(world, 1, 8)
    hold(world, 8)
    world.run(35)
    assert not world.halts(1)
    world.venues[PERP].position = None
    world.run(120)
    assert world.position(1) == 8
    assert world.halts(1) == {"HALT_DRIFT": 1}


def test_a_trade_that_no_list_ever_shows_leaves_equity_uncertain_until_one_does(world):
    world.settle()
    hold(world, 8)
    book(world, 1, 8, is_listed=False)
    world.run(200)
    assert world.halts(1) == {"HALT_CAPITAL": 1}
    assert world.heard("equity is not certain")
    row = world.venues[PERP].trade("", 0, 8, world.now)
    world.engine.orders.remember(1, 0, row.trade_hi, row.trade_lo)
    world.run(130)
    assert world.halts(1) == {}
    assert world.heard("what the trades cost agrees again")


@pytest.mark.parametrize("text", ["", "NaN", "0.0005", "1e-3", "1000000000000"])
def test_a_number_that_cannot_be_read_is_no_answer(world, text):
    world.settle()
    book(world, 1, 8)
    world.venues[PERP].position = PositionRow(PERP, SYMBOL, text)
    world.run(70)
    assert world.position(1) == 8
    assert not world.halts(1)
    assert world.heard("positions:")


@pytest.mark.parametrize("entry", ["1" + "0" * 19, "1e30", "1e999999"])
def test_an_entry_price_that_cannot_be_is_none(entry):
    world = World()
    hold(world, -25, entry=entry)
    world.keeper.begin(world.now)
    assert world.run(10, lambda: world.position(1) == -25)
    assert world.engine.account.position(1)["cash"] == 0
    world.run(20)
    assert world.engine.risk.latches == 0


def test_a_failed_query_freezes_nothing_and_flattens_nothing(world):
    world.settle()
    book(world, 1, 8)
    world.venues[PERP].broken["positions"] = "silent"
    world.run(120)
    assert world.position(1) == 8


def test_a_spot_position_that_the_listed_trades_do_not_make_holds_the_symbol(world):
    world.settle()
    book(world, 0, 8, is_listed=False)
    assert world.run(40, lambda: "HALT_DRIFT" in world.halts(0))
    assert world.heard("listed trades make 0 BTC, we have 0.008 BTC")


def test_spot_trades_that_arrive_on_the_stream_first_are_no_drift(world):
    world.settle()
    venue = world.venues[SPOT]
    coins = 2000
    for _ in range(30):
        _, client = world.order(0, lots=1)
        row = venue.trade(client, 0, 1, world.now)
        venue.trades.pop()
        venue.change(client, state="filled", filled="0.001")
        fields = {
            "side": 0,
            "price_ticks": 10_000,
            "size_lots": 1,
            "trade_lo": row.trade_lo,
            "filled_lots": 1,
        }
        world.report(0, ReportKind.REPORT_FILL, client, **fields)
        world.run(1.3)
        venue.trades.append(row)
        coins += 1
        venue.balances.update(BTC=size(coins), USDT=str(10_000 - (coins - 2000) / 10))
    assert world.position() == 30
    assert not world.heard("position:")
    assert not world.heard("balance:")


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"leverage": "10"}, "leverage"),
        ({"margin_mode": "isolated"}, "margin mode"),
        ({"leg": "long"}, "position mode"),
    ],
)
def test_a_mode_that_is_not_as_configured_makes_the_symbol_reduce_only(fields, word):
    world = World(desks={PERP: {"product": {"leverage": "3", "margin_mode": "cross"}}})
    hold(world, 0, leverage="3", margin_mode="cross")
    world.settle()
    assert not world.halts(1)
    book(world, 1, 5)
    hold(world, 5, **({"leverage": "3", "margin_mode": "cross"} | fields))
    world.run(35)
    assert world.halts(1) == {"HALT_MODE": 1}
    assert world.heard(word)


def test_a_mode_that_is_right_again_ends_it(world):
    world.settle()
    positions = world.keeper.watches[PERP].positions
    positions.mode(ModeRow(PERP, hedge=True), world.now)
    assert world.halts(1) == {"HALT_MODE": 1}
    positions.mode(ModeRow(PERP, hedge=False), world.now)
    assert not world.halts(1)


def test_a_start_does_not_agree_with_a_position_that_trades_changed_behind_the_answer():
    world = World()
    hold(world, 0)
    world.venues[PERP].trade("", 1, 5, world.now)  # closed by hand, of a position from long ago
    world.keeper.begin(world.now, tape_ns=1)
    assert world.run(30, world.keeper.is_settled), world.keeper.differences()
    assert world.position(1) == 0
    assert world.heard("taken from the venue")


def test_trades_of_before_a_new_tape_make_no_position_and_a_list_that_names_the_symbol_flat_settles_it():
    world = World()
    hold(world, 0)
    world.venues[PERP].trade("", 1, 5, world.now - SEC)
    world.keeper.begin(world.now)
    assert world.run(4, lambda: not world.halts(1))
    assert world.run(8, world.keeper.is_settled), world.keeper.differences()
    assert world.position(1) == 0
    assert not world.heard("this ends by itself")
    assert not world.heard("taken from the venue")


def test_nor_does_the_next_start_on_that_tape_count_them():
    world = World()
    world.venues[PERP].position = None
    for side in (0, 1, 1):
        world.venues[PERP].trade("", side, 5, world.now - SEC)
    world.keeper.begin(world.now, tape_ns=world.now - SEC // 2)
    world.run(20)
    assert world.position(1) == 0
    assert world.halts(1) == {}


def test_a_position_that_is_opened_while_a_node_starts_on_a_new_tape_is_not_missed():
    world = World()
    hold(world, 0)
    world.keeper.begin(world.now)
    world.run(0.2)
    hold(world, 4)  # of before the start: the first list was behind
    assert world.run(8, lambda: not world.halts(1))
    assert world.position(1) == 4


def test_a_position_that_no_answer_names_at_start_is_none_only_after_a_minute():
    world = World()
    world.venues[PERP].position = None
    world.venues[PERP].trade("", 0, 5, world.now)
    world.keeper.begin(world.now, tape_ns=1)
    world.run(50)
    assert world.position(1) == 5
    assert world.halts(1) == {"HALT_START": 2, "HALT_DRIFT": 1}
    assert world.run(30, world.keeper.is_settled), world.keeper.differences()
    assert world.position(1) == 0

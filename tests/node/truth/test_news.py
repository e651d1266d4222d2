"""What private streams tell besides orders."""

import pytest
from rig import PERP, SPOT, SYMBOL

from node.venues.values import AccountNews, CashRow, ModeRow, PositionRow, StatusRow


def news(world, market, *rows):
    world.keeper.on_news(market, AccountNews(rows), world.now)


@pytest.mark.parametrize(
    ("status", "reason", "level"),
    [
        ("halt", "HALT_VENUE", 2),
        ("cancel_only", "HALT_VENUE", 2),
        ("maintenance", "HALT_VENUE", 2),
        ("delisting", "HALT_VENUE", 1),
        ("auction", "HALT_PHASE", 2),
        ("no_cancel", "HALT_PHASE", 2),
        ("post_only", "HALT_PHASE", 1),
    ],
)
def test_a_symbol_that_is_not_trading_is_held_until_a_pass_behind_its_return(world, status, reason, level):
    world.settle()
    news(world, SPOT, StatusRow(SPOT, SYMBOL, status))
    assert world.halts(0) == {reason: level}
    assert world.halts(1) == {}
    world.run(60)
    assert world.halts(0) == {reason: level}
    world.venues[SPOT].broken["open"] = "silent"
    news(world, SPOT, StatusRow(SPOT, SYMBOL, "trading"))
    world.run(20)
    assert world.halts(0) == {reason: level}
    del world.venues[SPOT].broken["open"]
    assert world.run(20, lambda: not world.halts(0))


def test_a_symbol_trades_again_only_on_a_book_that_is_fresh(world):
    world.settle()
    news(world, SPOT, StatusRow(SPOT, SYMBOL, "auction"))
    world.engine.stale.add(0)
    news(world, SPOT, StatusRow(SPOT, SYMBOL, "trading"))
    world.run(20)
    assert world.halts(0) == {"HALT_PHASE": 2}
    world.engine.stale.clear()
    assert world.run(20, lambda: not world.halts(0))


def test_what_a_list_says_every_minute_people_are_told_once(world):
    world.settle()
    for status in ("halt", "halt", "auction", "auction", "halt"):
        news(world, SPOT, StatusRow(SPOT, SYMBOL, status))
        world.run(61)
    assert [x[1] for x in world.told if "the venue says" in x[1]] == [
        "the venue says halt",
        "the venue says auction",
        "the venue says halt",
    ]
    assert world.halts(0) == {"HALT_VENUE": 2}


def test_a_status_that_nobody_knows_is_odd_and_ends_with_two_passes(world):
    world.settle()
    news(world, SPOT, StatusRow(SPOT, SYMBOL, "odd", "frame of the user stream"))
    assert world.halts(0) == {"HALT_ODD": 1}
    world.run(3)
    assert world.halts(0) == {"HALT_ODD": 1}
    assert world.run(30, lambda: not world.halts(0))


def test_a_liquidation_in_the_cash_stops_the_desk(world):
    world.settle()
    news(world, PERP, CashRow(PERP, "USDT", "liquidation", "-5", SYMBOL))
    assert world.halts(1)["HALT_LIQUIDATION"] == 2


def test_transfers_are_told_and_funding_is_not(world):
    world.settle()
    world.keeper.watches[PERP].lists_cash = False
    news(world, PERP, CashRow(PERP, "USDT", "funding", "-0.1"), CashRow(PERP, "USDT", "withdraw", "-7"))
    assert world.heard("of -") == ["withdraw of -7 USDT"]


def test_money_that_stream_and_list_name_differently_is_counted_once(world):
    world.settle()
    venue, at = world.venues[PERP], world.now
    venue.cash.append(CashRow(PERP, "USDT", "transfer", "500", key="tran 7", event_ns=at + 3_000_000))
    venue.balances["USDT"] = "10500"
    news(world, PERP, CashRow(PERP, "USDT", "deposit", "500", key="stream", event_ns=at))
    assert world.run(10, lambda: world.heard("of 500"))
    world.run(130)
    assert world.heard("of 500 USDT") == ["transfer of 500 USDT"]
    assert not world.halts(1)


def test_a_mode_is_checked_and_a_position_that_differs_is_looked_at_soon(world):
    world.settle()
    news(world, PERP, ModeRow(PERP, hedge=True))
    assert world.halts(1) == {"HALT_MODE": 1}
    news(world, PERP, ModeRow(PERP, hedge=False), PositionRow(PERP, SYMBOL, "0.005"))
    assert world.keeper.watches[PERP].due["positions"] <= world.now + world.settings.settle_ns
    assert world.position(1) == 0


def test_a_row_that_cannot_be_read_changes_nothing_and_asks(world):
    world.settle()
    news(world, PERP, CashRow(PERP, "USDT", "funding", ""), PositionRow(SPOT, SYMBOL, "1"))
    assert len(world.heard("account news")) == 2
    assert world.keeper.watches[PERP].due["positions"] == world.now


def test_news_of_a_market_without_a_desk_are_nobodys(world):
    world.keeper.on_news(4, AccountNews((StatusRow(4, "", "halt"),)), world.now)
    assert world.halts(0) == {}


def test_an_order_of_the_conditional_namespace_is_evidence(world):
    world.settle()
    id, client = world.order(state="LIVE")
    world.run(0.1)
    world.venues[SPOT].change(client, state="canceled")
    news(world, SPOT, world.venues[SPOT].orders[client])
    assert world.state(id) == "CANCELED"
    sweeps = world.keeper.watches[SPOT].sweeps
    world.run(1)
    news(world, SPOT, world.venues[SPOT].place("somebody"))
    world.run(1)
    assert world.keeper.watches[SPOT].sweeps > sweeps

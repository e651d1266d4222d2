"""Capital: the wallet without what the engine counts; both together are the wallet at every moment."""

from decimal import Decimal

import pytest
from rig import PERP, SPOT, SYMBOL, World, size

from node.truth.capital import Capital
from node.truth.settings import SEC
from node.venues.values import CashRow, PositionRow

E8 = 10**8
BID, ASK = 10_000, 10_002


def started(**more):
    """At rest, with prices and the capital of both wallets known."""
    world = World(**more)
    for i in range(2):
        world.engine.equity.mark_now(i, BID, ASK)
    world.settle()
    assert world.run(80, lambda: world.engine.equity.known)
    return world


def capital(world, market=SPOT):
    return world.keeper.purses[f"market {int(market)}"].capital


def equity(world, market=SPOT):
    return Decimal(world.engine.equity.sums(capital(world, market).number)["equity_e8"]) / E8


def wallet(world, market=SPOT):
    """What the venue's wallet is worth: bitcoin at what it can be sold for."""
    coins = world.venues[market].balances
    return Decimal(coins["USDT"]) + Decimal(coins["BTC"]) * BID / 100


def move(venue, coin, amount):
    venue.balances[coin] = str(Decimal(venue.balances.get(coin, "0")) + Decimal(amount))


def trade(world, side, lots, ticks, fee="0", fee_coin="USDT", market=SPOT):
    """A fill of ours and what it does to a spot wallet."""
    instrument = int(market == PERP)
    _, client = world.order(instrument, side=side, lots=lots, ticks=ticks)
    venue = world.venues[market]
    row = venue.trade(client, side, lots, world.now, ticks)
    fields = {f: getattr(row, f) for f in row.__slots__} | {"fee": fee, "fee_coin": fee_coin}
    venue.trades[-1] = type(row)(**fields)
    venue.change(client, state="filled", filled=size(lots))
    sign = -1 if side else 1
    if market == SPOT:
        move(venue, "BTC", sign * Decimal(size(lots)))
        move(venue, "USDT", -sign * Decimal(size(lots)) * ticks / 100)
    move(venue, fee_coin, -Decimal(fee))


def test_the_capital_of_each_wallet_is_known_soon_after_the_start():
    world = started()
    for market in (SPOT, PERP):
        assert capital(world, market).told == {"BTC": 2 * E8, "USDT": 10_000 * E8}
        assert equity(world, market) == wallet(world, market) == 10_200


def test_before_the_balances_are_compared_nothing_is_known():
    world = World()
    world.venues[SPOT].broken["balances"] = "silent"
    world.run(60)
    assert not world.engine.equity.known


def test_a_coin_is_priced_when_its_own_book_has_a_price_and_not_looked_for_on_every_tick_before(monkeypatch):
    world = World()
    world.settle()
    world.run(3)
    purse, priced = capital(world), []
    assert purse.unpriced == {"BTC"}
    monkeypatch.setattr(purse, "price", lambda now_ns: priced.append(now_ns) or Capital.price(purse, now_ns))
    world.run(5)
    assert 1 <= len(priced) <= 6  # of 250 ticks
    world.engine.equity.mark_now(0, BID, ASK)
    world.run(0.04)
    assert purse.unpriced == set()
    assert purse.told["BTC"] == 2 * E8


def test_trading_leaves_the_capital_as_it_is_and_moves_equity_as_the_wallet():
    world = started()
    before = dict(capital(world).told)
    for side, lots, ticks in ((0, 30, 10_050), (1, 10, 9_950), (0, 7, 9_999), (1, 40, 10_001)):
        trade(world, side, lots, ticks, fee="0.00150000")
        world.run(23)
    world.run(130)
    assert capital(world).told == before
    assert not world.halts(0)
    assert world.keeper.is_settled(), world.keeper.differences()
    world.engine.equity.mark_now(0, BID, BID)
    assert equity(world) == wallet(world)
    assert equity(world) != 10_200


def test_a_position_that_the_tape_remembers_is_not_counted_twice():
    world = World()
    # an earlier run bought 50 lots at 90.00 and made 3.00 before: the wallet of now has all of that in it
    world.engine.set_position(0, 50, -50 * 9_000 + 300_000, world.now, cost=50 * 9_000)
    for i in range(2):
        world.engine.equity.mark_now(i, BID, ASK)
    world.settle()
    assert world.run(80, lambda: world.engine.equity.known)
    assert equity(world) == wallet(world)
    assert world.engine.account.position(0)["realised"] == 300_000
    assert capital(world).told["BTC"] == 2 * E8 - 50 * E8 // 1000


def test_a_position_that_is_taken_over_counts_its_profit_from_its_entry():
    world = World()
    world.venues[PERP].position = PositionRow(PERP, SYMBOL, "0.050", entry="90.00")
    for i in range(2):
        world.engine.equity.mark_now(i, BID, ASK)
    world.settle()
    assert world.run(80, lambda: world.engine.equity.known)
    assert equity(world, PERP) == wallet(world, PERP) + Decimal("0.050") * 10


def test_a_deposit_moves_capital_peak_and_day_once_and_is_no_profit():
    world = started()
    world.engine.equity.roll_now(world.now)
    peak, day = world.engine.equity.peak_e8, world.engine.equity.day_e8
    venue = world.venues[SPOT]
    venue.cash.append(CashRow(SPOT, "USDT", "deposit", "500", key="d1", event_ns=world.now))
    move(venue, "USDT", 500)
    world.run(130)
    assert world.engine.equity.peak_e8 - peak == world.engine.equity.day_e8 - day == 500 * E8
    assert equity(world) == wallet(world) == 10_700


def test_a_rebate_is_a_gain_and_moves_no_peak():
    world = started()
    world.engine.equity.roll_now(world.now)
    day = world.engine.equity.day_e8
    world.venues[SPOT].cash.append(CashRow(SPOT, "USDT", "rebate", "5", key="r1", event_ns=world.now))
    move(world.venues[SPOT], "USDT", 5)
    world.run(130)
    assert world.engine.equity.day_e8 == day
    assert equity(world) == wallet(world) == 10_205


def test_what_moved_before_the_start_moves_no_peak():
    world = World()
    row = CashRow(SPOT, "USDT", "deposit", "500", key="d0", event_ns=world.now - 5 * SEC)
    world.venues[SPOT].cash.append(row)
    world.engine.restore_peak(20_000 * E8, 20_000 * E8, world.now // (86_400 * SEC), world.now)
    for i in range(2):
        world.engine.equity.mark_now(i, BID, ASK)
    world.settle()
    assert world.run(80, lambda: world.engine.equity.known)
    assert equity(world) == wallet(world)
    assert world.engine.equity.peak_e8 in (20_000 * E8, 20_400 * E8)  # ours: 20,400 in both wallets


def test_funding_goes_to_its_instrument_once():
    world = started()
    row = CashRow(PERP, "USDT", "funding", "-0.25", SYMBOL, key="f1", event_ns=world.now)
    world.venues[PERP].cash.append(row)
    move(world.venues[PERP], "USDT", "-0.25")
    world.run(130)
    assert world.engine.account.position(1)["funding_e8"] == -E8 // 4
    assert world.engine.account.position(0)["funding_e8"] == 0
    assert equity(world, PERP) == wallet(world, PERP)


def test_less_than_a_lot_is_capital_and_no_position():
    world = World()
    world.venues[SPOT].balances["BTC"] = "2.0004"  # a lot is 0.001
    for i in range(2):
        world.engine.equity.mark_now(i, BID, ASK)
    world.settle()
    assert world.run(80, lambda: world.engine.equity.known)
    assert world.position() == 0
    assert capital(world).told["BTC"] == 200_040_000
    assert not world.halts(0)


def test_a_coin_without_a_price_is_left_out_and_said_once():
    world = World()
    world.venues[SPOT].balances["XYZ"] = "1000"
    for i in range(2):
        world.engine.equity.mark_now(i, BID, ASK)
    world.settle()
    world.run(70)
    assert equity(world) == 10_200
    assert len(world.heard("XYZ: no instrument here has its price")) == 1
    world.engine.set_coin_price("XYZ", E8 // 10, world.now)
    world.run(70)
    assert equity(world) == 10_300


def test_a_coin_that_lost_its_peg_counts_for_less():
    world = started()
    world.engine.set_coin_price("USDT", 90 * 10**6, world.now)
    assert world.engine.equity.sums(0)["capital_e8"] < 10_200 * E8 - 900 * E8
    world.run(5)  # and what is priced in it
    assert equity(world) == Decimal(10_200) * 9 / 10


def test_inventory_follows_its_own_book():
    world = started()
    for i in range(2):
        world.engine.equity.mark_now(i, 5_000, 5_001)
    world.run(3)
    assert equity(world) == 10_100


def test_trades_that_come_to_other_money_than_the_venue_shows_hold_the_symbol_until_they_agree():
    world = started()
    world.engine.account.fill(0, 0, 10_000, 5)
    world.engine.account.fill(0, 1, 9_000, 5)  # the same position, and 0.05 less
    assert world.run(400, lambda: world.halts(0) == {"HALT_CAPITAL": 1})
    assert world.heard("come to different money")
    world.engine.account.fill(0, 0, 9_000, 5)
    world.engine.account.fill(0, 1, 10_000, 5)
    assert world.run(200, lambda: not world.halts(0))


@pytest.mark.parametrize("coin", ["USDT", "BTC"])
def test_fees_are_counted_here_and_not_in_the_capital(coin):
    world = started()
    before = dict(capital(world).told)
    trade(world, 0, 10, BID, fee="0.00100000", fee_coin=coin)
    world.run(150)
    assert capital(world).told == before
    held = world.engine.account.position(0)
    assert held["fee_e8" if coin == "USDT" else "fee_base_e8"] == 100_000


def test_that_equity_is_not_known_for_a_minute_is_told_once_and_when_it_is_over():
    world = World()
    world.settle()
    world.run(80)
    own = capital(world, PERP)
    line = own.lines[1]
    line.offset, line.maybe, lots = None, set(), line.lots
    line.lots += 3  # the lists show a trade that is not ours
    world.run(60)
    assert not world.heard("equity is not known")
    world.run(190)
    assert len(world.heard("do not meet: equity is not known, nothing new is risked")) == 1
    line.lots = lots
    assert world.run(130, lambda: world.heard("what the trades cost is known now"))
    assert line.offset is not None


def test_a_fee_coin_without_a_price_is_told_only_when_it_stays_so_with_what_is_refused_for_it():
    world = started()
    trade(world, 0, 10, BID, fee="0.00100000", fee_coin="BNB")
    own = capital(world)
    assert world.run(60, lambda: "BNB" in own.fees_bare_ns)
    since_ns = own.fees_bare_ns["BNB"]
    own.price(since_ns + 60 * SEC - 1)
    assert not world.heard("BNB: fees are paid in it")
    own.price(since_ns + 60 * SEC)
    own.price(since_ns + 61 * SEC)
    (text,) = world.heard("BNB: fees are paid in it, and it has had no price for 60 s")
    assert "new orders are refused where a limit needs it (EQUITY_UNKNOWN)" in str(text)
    assert "[[coin]] name and price_quote" in str(text)
    world.engine.set_coin_price("BNB", 600 * E8, world.now)
    own.price(since_ns + 62 * SEC)
    assert world.heard("BNB: fees in it have a price now")
    assert own.fees_bare_ns == {}

"""The purse: every unit explained, or the symbols that use the coin are held."""

from decimal import Decimal
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig import PERP, SPOT, SYMBOL, World, size

from node.truth.coins import Cost, Purse
from node.truth.desk import Product
from node.truth.settings import SEC, Settings
from node.venues.values import BalanceRow, CashRow, PositionRow, TradeRow


def buy(world, lots, ticks=10_000, fee="0", fee_coin="USDT"):
    """A fill of ours at the spot venue, with what it does to the balances."""
    _, client = world.order(0, lots=lots, ticks=ticks)
    venue = world.venues[SPOT]
    row = venue.trade(client, 0, lots, world.now, ticks)
    venue.trades[-1] = type(row)(
        **{f: getattr(row, f) for f in row.__slots__} | {"fee": fee, "fee_coin": fee_coin}
    )
    venue.change(client, state="filled", filled=size(lots))
    move(venue, "BTC", Decimal(size(lots)))
    move(venue, "USDT", -Decimal(size(lots)) * ticks / 100)
    move(venue, fee_coin, -Decimal(fee))


def move(venue, coin, amount):
    venue.balances[coin] = str(Decimal(venue.balances.get(coin, "0")) + amount)


@pytest.mark.parametrize("coin", ["BTC", "USDT", "BNB"])
def test_trades_and_fees_in_any_coin_are_explained(world, coin):
    world.venues[SPOT].balances["BNB"] = "5"
    world.settle()
    for _ in range(5):
        buy(world, 7, fee="0.00000700", fee_coin=coin)
        world.run(23)
    world.run(140)
    assert world.heard("balance") == []
    assert world.keeper.is_settled(), world.keeper.differences()


@pytest.mark.parametrize(("coin", "amount"), [("BTC", "0.00000001"), ("BTC", "-0.5"), ("USDT", "1")])
def test_a_unit_that_nobody_explains_holds_the_symbol(world, coin, amount):
    world.settle()
    world.run(70)
    move(world.venues[SPOT], coin, Decimal(amount) * 3)
    world.run(80)
    assert world.halts(0) == {"HALT_DRIFT": 1}
    assert world.heard("trades and transfers make")
    move(world.venues[SPOT], coin, -Decimal(amount) * 3)
    assert world.run(80, lambda: not world.halts(0))


def test_a_deposit_that_the_list_tells_is_explained(world):
    world.settle()
    world.run(70)
    world.venues[SPOT].cash.append(CashRow(SPOT, "USDT", "deposit", "500", key="d1", event_ns=world.now))
    move(world.venues[SPOT], "USDT", Decimal(500))
    world.run(130)
    assert not world.halts(0)
    assert world.keeper.is_settled()


def test_the_same_transfer_from_stream_and_list_counts_once(world):
    world.settle()
    purse = next(iter(world.keeper.purses.values()))
    row = CashRow(SPOT, "USDT", "transfer", "-3", key="t1", event_ns=world.now)
    assert purse.on_cash(row)
    assert not purse.on_cash(row)
    assert purse.on_cash(CashRow(SPOT, "USDT", "transfer", "-3", event_ns=world.now))


@pytest.mark.parametrize("amount", ["1000000001", "-1000000001", "1e999999"])
def test_a_funding_payment_that_cannot_be_is_no_answer_and_moves_nothing(world, amount):
    world.settle()
    venue = world.venues[PERP]
    venue.cash.append(CashRow(PERP, "USDT", "funding", amount, symbol=SYMBOL, key="f1", event_ns=world.now))
    world.run(130)
    assert world.engine.account.position(1)["funding_e8"] == 0
    assert world.engine.risk.latches == 0
    assert world.heard("cannot be")
    venue.cash.clear()
    world.run(130)
    assert world.keeper.is_settled()


def test_a_balance_answer_that_fails_or_has_an_empty_number_means_nothing(world):
    world.settle()
    world.venues[SPOT].balances = {"BTC": "", "USDT": "10000"}
    world.run(130)
    assert not world.halts(0)
    world.venues[SPOT].balances = {"BTC": "2", "USDT": "10000"}
    world.venues[SPOT].broken["balances"] = "silent"
    world.run(130)
    assert not world.halts(0)


def test_a_coin_that_vanishes_from_the_answer_holds_the_symbol_and_sells_nothing(world):
    world.settle()
    del world.venues[SPOT].balances["BTC"]
    world.run(130)
    assert world.halts(0) == {"HALT_DRIFT": 1}
    assert world.position() == 0


def test_realised_profit_fees_and_funding_of_a_perpetual_are_explained(world):
    world.settle()
    venue = world.venues[PERP]
    _, long = world.order(1, side=0, lots=10, ticks=10_000)
    venue.trade(long, 0, 10, world.now, 10_000)
    venue.change(long, state="filled", filled="0.010")
    venue.position = PositionRow(PERP, SYMBOL, "0.010", entry="100.00")
    world.run(35)
    _, out = world.order(1, side=1, lots=4, ticks=10_500)
    venue.trade(out, 1, 4, world.now, 10_500)
    venue.change(out, state="filled", filled="0.004")
    venue.position = PositionRow(PERP, SYMBOL, "0.006", entry="100.00")
    move(venue, "USDT", Decimal("0.02"))
    venue.cash.append(CashRow(PERP, "USDT", "funding", "-0.0001", key="f", event_ns=world.now))
    move(venue, "USDT", Decimal("-0.0001"))
    world.run(150)
    assert world.heard("balance") == []
    assert world.keeper.is_settled(), world.keeper.differences()


def test_the_baseline_is_noted_and_can_be_continued():
    world = World()
    world.settle()
    noted = {(x["purse"], x["coin"]): x["amount"] for x in world.notes}
    assert noted["market 0", "BTC"] == "2"
    again = World()
    again.venues[SPOT].balances["BTC"] = "1.5"
    again.keeper.begin(again.now, baselines=noted)
    again.run(20)
    assert again.halts(0)["HALT_DRIFT"] == 1
    assert again.heard("the venue says 1.5, trades and transfers make 2")


def test_desks_of_one_wallet_share_its_coins():
    world = World(desks={SPOT: {"wallet": "unified"}, PERP: {"wallet": "unified"}})
    world.settle()
    assert list(world.keeper.purses) == ["unified"]
    assert "balances" not in world.venues[PERP].asked
    buy(world, 5)
    world.run(130)
    assert world.keeper.is_settled(), world.keeper.differences()
    move(world.venues[SPOT], "USDT", Decimal(9))
    world.run(80)
    assert "HALT_DRIFT" in world.halts(0)
    assert "HALT_DRIFT" in world.halts(1)


@given(st.lists(st.tuples(st.integers(-20, 20).filter(bool), st.integers(50, 150)), max_size=30))
def test_realised_profit_and_open_value_together_are_the_cash_flow(trades):
    cost, profit, cash, size = Cost(), Decimal(0), Decimal(0), 0
    for lots, price in trades:
        profit += cost.trade(Decimal(lots), Decimal(price))
        cash -= lots * price
        size += lots
    assert cost.size == size
    assert abs(profit - (cash + cost.size * cost.entry)) < Decimal("1e-15")
    assert SEC == 10**9


AHEAD = 7 * SEC  # the venue's clock before ours
SOLD = {"side": 1, "price": "110", "size": "1"}


def perpetual():
    out = Purse(Settings(), SimpleNamespace(free=lambda *what: False))
    product = Product(0, quote="USDT", is_perpetual=True)
    out.add(product, Decimal(1))
    return out, product


def listed(purse, product, at_s, n):
    row = TradeRow(PERP, SYMBOL, "", "", 0, n, fee="0", fee_coin="", is_maker=False,
                   event_ns=int(at_s * SEC) + AHEAD, **SOLD)  # fmt: skip
    purse.on_trade(product, row)


@pytest.mark.parametrize("listed_first", [True, False])
def test_trades_in_front_of_the_answer_are_inside_the_position_and_those_behind_it_are_not(listed_first):
    """Whenever they are listed; `Settings.start_settle_ns` is two seconds."""
    purse, product = perpetual()
    shown = [("net", Decimal(5), "100")], 50 * SEC, 51 * SEC
    if not listed_first:
        purse.set_cost(0, *shown)
    listed(purse, product, 40, 1)
    listed(purse, product, 53.5, 2)
    if listed_first:
        purse.set_cost(0, *shown)
    assert purse.costs_due_ns({0}) == 53 * SEC
    assert purse.explain_costs({0}, 53 * SEC - 1, AHEAD) == set()
    assert purse.costs[0] is None
    assert purse.explain_costs({0}, 53 * SEC, AHEAD) == set()
    assert purse.costs[0]["net"] == Cost(Decimal(4), Decimal(100))
    assert [x for _, x in purse.coin("USDT").effects] == [Decimal(10)]
    listed(purse, product, 45, 3)  # that a list shows late
    listed(purse, product, 54, 4)
    assert purse.costs[0]["net"].size == 3
    assert purse.costs_due_ns({0}) == 0


@pytest.mark.parametrize("at_s", [48, 50.5, 53])
def test_a_position_with_a_trade_about_its_time_is_asked_for_again(at_s):
    purse, product = perpetual()
    purse.set_cost(0, [("net", Decimal(5), "100")], 50 * SEC, 51 * SEC)
    listed(purse, product, at_s, 1)
    assert purse.explain_costs({0}, 60 * SEC, AHEAD) == {0}
    assert purse.costs[0] is None
    purse.set_cost(0, [("net", Decimal(4), "100")], 60 * SEC, 60 * SEC)
    assert purse.explain_costs({0}, 62 * SEC, AHEAD) == set()
    assert purse.costs[0]["net"] == Cost(Decimal(4), Decimal(100))


@pytest.mark.parametrize(("held", "size"), [("4", 4), ("5", 5), ("3", None)])
def test_the_size_of_an_answer_says_whether_a_trade_about_its_time_is_inside(held, size):
    """We hold 4: the sale came behind an answer of 5, or 5: it is inside. 3 was nobody's."""
    purse, product = perpetual()
    purse.set_cost(0, [("net", Decimal(5), "100")], 50 * SEC, 51 * SEC)
    listed(purse, product, 50.5, 1)
    again = purse.explain_costs({0}, 60 * SEC, AHEAD, {0: {"net": Decimal(held)}})
    assert again == (set() if size else {0})
    assert (purse.costs[0] or {"net": Cost(None)})["net"].size == size


def test_trades_about_the_time_that_cancel_each_other_decide_nothing():
    purse, product = perpetual()
    purse.set_cost(0, [("net", Decimal(5), "100")], 50 * SEC, 51 * SEC)
    listed(purse, product, 50.4, 1)
    back = TradeRow(PERP, SYMBOL, "", "", 0, 2, fee="0", fee_coin="", is_maker=False,
                    event_ns=int(50.6 * SEC) + AHEAD, **SOLD | {"side": 0})  # fmt: skip
    purse.on_trade(product, back)
    assert purse.explain_costs({0}, 60 * SEC, AHEAD, {0: {"net": Decimal(5)}}) == {0}


@pytest.mark.parametrize(
    ("at_s", "entry", "size"), [(52.7, "100", 5), (52.5, "100", None), (52.7, "101", None)]
)
def test_a_later_answer_behind_all_of_them_that_shows_the_same_decides(at_s, entry, size):
    """The last trade was at 50.6, and answers may be 2 s late."""
    purse, product = perpetual()
    purse.set_cost(0, [("net", Decimal(5), "100")], 50 * SEC, 51 * SEC)
    assert not purse.is_ambiguous({0}, AHEAD)
    listed(purse, product, 50.4, 1)
    assert not purse.is_ambiguous({0}, AHEAD)
    back = TradeRow(PERP, SYMBOL, "", "", 0, 2, fee="0", fee_coin="", is_maker=False,
                    event_ns=int(50.6 * SEC) + AHEAD, **SOLD | {"side": 0})  # fmt: skip
    purse.on_trade(product, back)
    assert purse.is_ambiguous({0}, AHEAD)
    purse.set_cost(0, [("net", Decimal(5), entry)], int(at_s * SEC), int(at_s * SEC))
    again = purse.explain_costs({0}, 60 * SEC, AHEAD, {0: {"net": Decimal(5)}})
    assert again == (set() if size else {0})
    assert purse.costs[0] == ({"net": Cost(Decimal(5), Decimal(100))} if size else None)


def told(purse, total, left_s):
    """An answer of the wallet, and all trades up to a moment behind it; within 50 ms."""
    purse.put([BalanceRow(PERP, "USDT", total)], int(left_s * SEC), int(left_s * SEC) + SEC // 20)
    purse.compare(int(left_s * SEC) + SEC // 10, AHEAD, int(left_s * SEC) + SEC // 10)


def test_a_first_look_counts_also_before_the_positions_cost_is_known():
    purse, _ = perpetual()
    told(purse, "1000", 50)
    assert purse.unknown() == ["USDT"]
    assert purse.again_ns() == 50 * SEC + SEC // 20 + 2 * SEC
    purse.set_cost(0, [], 50 * SEC, 50 * SEC)
    purse.explain_costs({0}, 51 * SEC, AHEAD)
    told(purse, "1000", 52.1)
    assert purse.unknown() == []
    assert purse.coin("USDT").steady.base == 1000
    assert purse.again_ns() == 52 * SEC + SEC * 15 // 100 + 2 * SEC


def test_two_looks_between_which_an_uncounted_profit_was_made_are_not_believed():
    purse, _ = perpetual()
    told(purse, "1000", 50)
    purse.set_cost(0, [], 50 * SEC, 50 * SEC)
    purse.explain_costs({0}, 51 * SEC, AHEAD)
    told(purse, "1010", 52.1)
    assert purse.unknown() == ["USDT"]
    told(purse, "1010", 54.2)
    assert purse.coin("USDT").steady.base == 1010


def test_a_position_without_an_entry_price_is_waited_for():
    purse, _ = perpetual()
    with pytest.raises(ValueError, match="entry"):
        purse.set_cost(0, [("net", Decimal(5), "")], SEC, SEC)
    assert purse.shown == {}

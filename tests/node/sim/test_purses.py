"""The judge of money finds each kind of difference; it is only worth what it finds."""

import functools
from decimal import Decimal

import pytest

from node.sim.judge import differences
from node.sim.memory import SEC, World
from node.soak import soak_config

FUNDING = {"name": "acct.funding", "at_s": 12, "period_s": 11, "rate": "0.0003"}


@pytest.fixture(scope="module")
def rested():
    """At rest behind trades and funding, and in agreement."""
    out = World(soak_config(), seed=4, faults=[FUNDING])
    out.run_for(16 * SEC)
    for order_id in out.engine.orders.open_orders():
        out.engine.want_cancel(order_id, out.now_ns)
    out.engine.quiet(out.now_ns)
    out.run_until(lambda: not out.engine.orders.open_orders())
    for fake in out.fakes.values():
        fake.faults.clear()
    out.keeper.look_now(out.now_ns)
    out.run_until(lambda: differences(out) == [])
    out.run_for(5 * SEC)
    assert differences(out) == []
    return out


@pytest.fixture
def world(rested):
    true = {name: fake.truth for name, fake in rested.fakes.items()}
    yield rested
    for name, fake in rested.fakes.items():
        fake.truth = true[name]


def spoil(world, change):
    """What the Binance ledger tells is changed before the judge sees it."""
    fake = world.fakes["binance"]
    true = fake.truth

    @functools.wraps(true)
    def truth(*args):
        out = true(*args)
        change(out)
        return out

    fake.truth = truth


def found(world, *words):
    return [x for x in differences(world) if all(word in x for word in words)]


def test_there_was_money_to_compare(world):
    held = world.engine.account.position(world.desk.numbers[1, "BTCUSDT"])
    assert held["fills"] > 0
    assert held["funding_e8"] != 0
    assert world.engine.equity.known


def test_realised_profit_that_differs_is_found(world):
    spoil(world, lambda truth: next(x for k, x in truth["fills"].items() if k[0] == "1").update(realised="1"))
    assert found(world, "binance-usdm BTCUSDT: realised")


def test_an_entry_price_that_differs_is_found(world):
    spoil(world, lambda truth: truth["positions"]["1:BTCUSDT:net"].update(cost="12345"))
    assert found(world, "binance-usdm BTCUSDT net: entry cost 12345")


def test_funding_that_only_the_venue_booked_is_found(world):
    row = {"kind": "funding", "coin": "USDT", "amount": "-1", "place": "1:BTCUSDT"}
    spoil(world, lambda truth: truth["incomes"].append(row))
    assert found(world, "binance-usdm BTCUSDT: funding")


def test_a_fee_in_a_third_coin_is_found_on_either_side(world):
    fill = {"side": "buy", "price_ticks": 1, "size_lots": 0, "fee": "0.5", "fee_coin": "XYZ", "realised": "0"}
    spoil(world, lambda truth: truth["fills"].update({"0:BTCUSDT:x": fill}))
    assert found(world, "binance-spot BTCUSDT: fees of 5", "XYZ at the venue, 0 here")


@pytest.mark.parametrize(("wallet", "purse"), [("", "market 0"), ("usdm", "market 1")])
def test_a_wallet_that_holds_anything_else_is_found(world, wallet, purse):
    balance = world.account(0).balance("USDT", wallet)
    balance.total += Decimal("0.01")
    try:
        assert found(world, f"purse {purse}: ", "USDT at the venue")
        assert found(world, f"purse {purse}: equity")
    finally:
        balance.total -= Decimal("0.01")


def test_the_smallest_unit_that_the_venue_keeps_is_not_too_little(world):
    balance = world.account(0).balance("USDT", "usdm")
    balance.total += Decimal("0.00000003")
    try:
        assert found(world, "purse market 1: ", "USDT at the venue")
    finally:
        balance.total -= Decimal("0.00000003")


def test_an_equity_that_nobody_knows_is_a_difference():
    world = World(soak_config(), seed=4)
    world.run_for(SEC // 5)
    assert found(world, "purse market 0: equity is not known")

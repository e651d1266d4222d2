"""The judge finds each kind of difference between a venue's ledger and the node; it is only worth what it
finds."""

import contextlib
import functools

import pytest

from node.sim.judge import differences, totals
from node.sim.memory import SEC, World
from node.soak import soak_config


def at_rest() -> World:
    out = World(soak_config(), seed=4)
    out.run_for(24 * SEC)
    for order_id in out.engine.orders.open_orders():
        out.engine.want_cancel(order_id, out.now_ns)
    out.engine.quiet(out.now_ns)
    out.run_until(lambda: not out.engine.orders.open_orders())
    out.run_for(5 * SEC)
    return out


@pytest.fixture(scope="module")
def settled():
    return at_rest()


@pytest.fixture
def world(settled):
    """At rest, and in agreement: whoever changes anything takes it back."""
    assert differences(settled) == []
    yield settled
    assert differences(settled) == []


def test_both_sides_counted_the_same_and_the_totals_show_it(world):
    rows = totals(world)
    assert [(x["market"], x["symbol"]) for x in rows] == [
        ("binance-spot", "BTCUSDT"),
        ("binance-usdm", "BTCUSDT"),
        ("bybit-spot", "BTCUSDT"),
        ("bybit-linear", "BTCUSDT"),
        ("okx", "BTC-USDT-SWAP"),
        ("okx", "BTC-USDT"),
    ]
    for row in rows:
        assert row["orders"] > 0
        assert (row["fills_venue"], row["lots_venue"]) == (row["fills_node"], row["lots_node"])
        assert row["unknown"] == 0
    assert sum(x["fills_venue"] for x in rows) > 0


def test_a_fill_that_only_the_node_counted_is_found_in_lots_trades_and_cash():
    world = at_rest()
    world.engine.account.fill(0, 0, 6_000_000, 3)
    found = differences(world)
    for word in ("position", "trades at the venue", "cash"):
        assert any(x.startswith("binance-spot BTCUSDT: ") and word in x for x in found), (word, found)


def test_a_fill_that_only_the_venue_has_is_found(world):
    trades = world.account(0).trades  # of the whole wallet
    at = max(i for i, x in enumerate(trades) if x.listing.market == 0)
    lost = trades.pop(at)
    found = differences(world)
    trades.insert(at, lost)
    assert any("binance-spot BTCUSDT" in x and "trades at the venue" in x for x in found)


def test_an_order_that_only_the_venue_has_open_is_found(world):
    row = {"market": 0, "symbol": "BTCUSDT", "client_id": world.desk.wires[0].client_id(9999)}
    with spoilt(world, lambda truth: truth["open"].append(row)):
        assert differences(world) == [f"binance-spot BTCUSDT {row['client_id']}: open at the venue, not here"]


def test_an_order_of_somebody_else_is_no_difference(world):
    row = {"market": 0, "symbol": "BTCUSDT", "client_id": "somebody"}
    with spoilt(world, lambda truth: truth["open"].append(row)):
        assert differences(world) == []


def test_two_orders_with_one_client_id_are_found(world):
    def twice(truth):
        ours = next(x for x in truth["orders"] if world.desk.wires[0].whose(x)[0])
        truth["orders"][ours] = 2

    with spoilt(world, twice):
        found = differences(world)  # spot and USD-M share this ledger
    assert found
    assert all(x.endswith("2 orders with one id") for x in found)


def test_an_order_that_only_the_node_holds_is_found():
    world = World(soak_config(), seed=4)
    world.run_until(lambda: world.engine.orders.open_orders(0))
    with spoilt(world, lambda truth: truth["open"].clear()):
        assert any("binance-spot" in x and "here, not open at the venue" in x for x in differences(world))


@contextlib.contextmanager
def spoilt(world, change):
    """What the Binance ledger tells is changed before the judge sees it."""
    fake = world.fakes["binance"]
    true = fake.truth

    @functools.wraps(true)
    def truth(*args):
        out = true(*args)
        change(out)
        return out

    fake.truth = truth
    try:
        yield
    finally:
        fake.truth = true

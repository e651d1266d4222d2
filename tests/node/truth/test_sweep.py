"""One pass: open orders, trades, and whose the trades are."""

from types import SimpleNamespace

from rig import SPOT, SYMBOL, ask

from node.truth.desk import Purpose
from node.truth.reconcile import Lists
from node.truth.sweep import Sweep, _open_orders
from node.venues.values import Bucket, Said


def sweep(world):
    watch = world.keeper.watches[SPOT]
    return Sweep(watch.desk, watch.reconciler, watch.owners, {SYMBOL: world.now - 10**9}, 0, 10)


def carry(world, asks, fail=()):
    for one in asks:
        one.left_ns = world.now
        one.then(None if one.what in fail else world.rests[SPOT].carry(one.request, world.now), world.now + 1)


def test_a_pass_is_whole_when_every_list_is(world):
    x = sweep(world)
    asks = x.asks()
    assert [one.what for one in asks] == ["open", "trades"]
    assert not x.is_done
    carry(world, asks)
    assert x.asks() == []
    assert x.is_done
    lists = x.result()
    assert isinstance(lists, Lists)
    assert lists.left_ns == world.now


def test_a_pass_of_which_one_list_failed_is_none(world):
    for what in ("open", "trades"):
        x = sweep(world)
        carry(world, x.asks(), fail=(what,))
        assert x.asks() == []
        assert x.is_done
        assert isinstance(x.result(), Said)


def test_trades_of_nobody_knows_whom_are_asked_about_only_where_it_matters(world):
    world.venues[SPOT].trade("", 0, 1, world.now + 1, venue_id="v5", show_id=False)
    x = sweep(world)
    carry(world, x.asks())
    assert x.asks() == []
    world.order(state="UNKNOWN", at_venue=False)
    world.run(0.1)
    world.venues[SPOT].trade("", 0, 1, world.now, venue_id="v6", show_id=False)
    x = sweep(world)
    carry(world, x.asks())
    asks = x.asks()
    assert [(one.what, one.request, one.purpose) for one in asks] == [
        ("order", ask("order", SYMBOL, "", "v6"), Purpose.RECONCILE)
    ]
    assert not x.is_done
    carry(world, asks, fail=("order",))
    assert x.is_done
    assert isinstance(x.result(), Said)


def desk(symbols, of_all, bucket):
    rest = SimpleNamespace(
        open_orders=lambda symbol: [f"{symbol} {i}" for i in range(1 if symbol else of_all)],
        buckets=lambda request: (bucket,) if bucket else (),
    )
    return SimpleNamespace(rest=rest, products=dict.fromkeys(symbols))


def test_all_symbols_are_asked_for_together_where_that_costs_less():
    counted = Bucket("open", 60, 2 * 10**9)
    assert _open_orders(desk("ab", 1, counted)) == [" 0"]
    assert _open_orders(desk("ab", 2, counted)) == ["a 0", "b 0"]
    assert _open_orders(desk("a", 1, counted)) == ["a 0"]
    assert _open_orders(desk("abcd", 1, None)) == [f"{x} 0" for x in "abcd"]  # one list of all weighs more
    assert _open_orders(desk("abcde", 1, None)) == [" 0"]

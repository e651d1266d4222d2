"""Which orders a tape leaves open, against the engine that wrote it: at any moment of any run, the same."""

from random import Random

import pytest

from ext.tape import TapeWriter
from node.crashes import config_of
from node.recall import recall
from node.sim.memory import MS, World
from node.soak import read_faults
from node.tracked import Kept, Tracked

BTC = (3, "BTCUSDT")


def kept(**more):
    """A buy of 10 lots at 1000 ticks."""
    fields = {"place": BTC, "grid": ("0.1", "0.001"), "price_ticks": 1000, "size_lots": 10, "sent_ns": 5}
    zeros = dict.fromkeys(("strategy", "side", "type", "tif", "leg", "trigger_ticks"), 0)
    return Kept(**zeros | fields | {"reduce_only": False} | more)


def said(kind, **more):
    """A report on order 7 of epoch 1."""
    row = {"kind": f"REPORT_{kind}", "order_id": 7, "epoch": 1, "venue_id": "", "event_ns": 0, "size_lots": 0}
    return row | dict.fromkeys(("filled_lots", "order_ticks", "order_lots"), -1) | more


@pytest.fixture
def tracked():
    out = Tracked()
    out.placed((1, 7), kept())
    return out


def test_a_terminal_word_closes_an_order_but_for_fills_it_tells_of(tracked):
    tracked.report(BTC, said("CANCELED", filled_lots=4))
    assert tracked.open[1, 7].closing
    tracked.fill(BTC, said("FILL", size_lots=3))
    assert (1, 7) in tracked.open
    tracked.fill(BTC, said("FILL", size_lots=1))
    assert tracked.open == {}


def test_a_refusal_closes_what_never_rested_and_must_be_said_twice_of_what_did(tracked):
    tracked.report(BTC, said("LIVE"))
    tracked.report(BTC, said("REJECT"))
    assert (1, 7) in tracked.open
    tracked.report(BTC, said("REJECT"))
    assert tracked.open == {}
    tracked.report(BTC, said("LIVE"))  # and there it is after all
    assert tracked.open[1, 7].is_live


def test_evidence_opens_again_what_was_proven_absent(tracked):
    tracked.absent((1, 7))
    tracked.report(BTC, said("CANCEL_REJECT"))
    assert tracked.open == {}
    tracked.fill(BTC, said("FILL", size_lots=2))
    assert tracked.open[1, 7].filled_lots == 2


def test_of_an_amend_in_the_air_the_larger_terms_count(tracked):
    tracked.amended((1, 7), 900, 15, 6)
    assert tracked.open[1, 7].most() == (1000, 15)
    tracked.report(BTC, said("AMENDED", order_ticks=900, order_lots=15))
    assert (tracked.open[1, 7].price_ticks, tracked.open[1, 7].most()) == (900, (900, 15))
    tracked.amended((1, 7), 800, 20, 7)
    tracked.report(BTC, said("AMEND_REJECT"))
    assert tracked.open[1, 7].most() == (900, 15)


def test_a_fill_that_only_the_venue_can_name_finds_its_order_later(tracked):
    tracked.fill(BTC, said("FILL", order_id=0, venue_id="v9", size_lots=10))
    assert (1, 7) in tracked.open
    tracked.report(BTC, said("LIVE", venue_id="v9"))
    assert tracked.open == {}


def compare(world, found):
    """The tape's open orders are the engine's: the same ids, as far filled, of no smaller size."""
    orders = world.engine.orders
    here = {(x["epoch"], x["sequence"]): x for x in map(orders.order, orders.open_orders())}
    assert found.tracked.open.keys() == here.keys()
    for key, order in found.tracked.open.items():
        assert order.filled_lots == here[key]["filled_lots"], (key, order, here[key])
        assert order.most()[1] - order.filled_lots >= here[key]["leaves_lots"]
        assert order.place[1] == world.desk.instruments.symbol(here[key]["instrument"])


@pytest.mark.parametrize("dialect", ["binance-usdm", "bybit", "okx"])
def test_the_tape_tells_what_the_engine_holds_at_any_moment_under_faults(dialect, tmp_path):
    tape = TapeWriter(str(tmp_path), now_ns=1, segment_size=8 << 20)
    world = World(config_of(dialect), seed=3, faults=read_faults(None), tape=tape)
    draw = Random(dialect)
    for _ in range(8):
        world.run_for(draw.randint(200, 8000) * MS)
        compare(world, recall(tmp_path))
    assert world.engine.orders.state_counts().get("FILLED", 0) > 0

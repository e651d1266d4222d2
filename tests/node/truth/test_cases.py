"""Orders of unknown fate, end to end: a real engine, a venue of a few lines, virtual time."""

import pytest
from rig import MARGIN_NS, SPOT, World

from ext.engine import LineKind
from ext.records import ErrorGroup, Outcome, ReportKind
from node.truth.settings import SEC
from node.venues.values import RestError, Said

MARGIN_S = MARGIN_NS // SEC


@pytest.fixture
def lost(world):
    """A world that is settled, and an order that the venue never saw."""
    world.settle()
    world.id, world.client = world.order(state="UNKNOWN", at_venue=False)
    return world


def test_an_order_that_never_was_is_closed_only_behind_deadline_and_margin(lost):
    lost.run(60)
    assert lost.state(lost.id) == "UNKNOWN"
    assert lost.reserved() == (10, 0)
    assert lost.run(10, lambda: lost.state(lost.id) == "NEVER_EXISTED")
    assert lost.reserved() == (0, 0)
    assert lost.now - lost.engine.orders.order(lost.id)["intent_ns"] > 61 * SEC
    assert lost.run(10, lost.keeper.is_settled)
    assert not lost.halts()


def test_a_neutralising_cancel_leaves_at_once_and_again(lost):
    lost.run(0.1)
    assert lost.frames == [lost.client]
    lost.run(5)
    assert len(lost.frames) > 3


def test_a_silent_order_line_is_gone_round_after_two_seconds(lost):
    lost.run(1.9)
    assert "cancel" not in lost.venues[SPOT].asked
    lost.run(1)
    assert "cancel" in lost.venues[SPOT].asked


def test_without_an_order_line_the_cancel_goes_by_rest_at_once(world):
    world.settle()
    world.line(0, False)
    world.order(state="UNKNOWN", at_venue=False)
    world.run(0.1)
    assert "cancel" in world.venues[SPOT].asked


def test_an_order_that_is_live_after_all_is_found_and_cancelled(world):
    world.settle()
    world.deaf = {SPOT}
    id, client = world.order(state="UNKNOWN")
    world.run(0.3)
    assert world.state(id) == "LIVE"
    world.deaf = set()
    assert world.run(10, lambda: world.state(id) == "CANCELED")
    assert world.venues[SPOT].orders[client].state == "canceled"


def test_a_fill_nobody_heard_of_comes_in_by_asking(world):
    world.settle()
    id, client = world.order(state="UNKNOWN")
    world.venues[SPOT].change(client, state="filled", filled="0.010")
    world.venues[SPOT].trade(client, 0, 10, world.now)
    world.venues[SPOT].balances.update(BTC="2.010", USDT="9999")
    assert world.run(10, lambda: world.state(id) == "FILLED")
    assert world.position() == 10
    assert world.run(200, world.keeper.is_settled), world.keeper.differences()


def test_trades_without_client_ids_find_their_order_by_the_venues_id(world):
    world.settle()
    id, client = world.order(state="UNKNOWN")
    world.venues[SPOT].change(client, state="filled", filled="0.010")
    world.venues[SPOT].trade(client, 0, 10, world.now, show_id=False)
    assert world.run(10, lambda: world.state(id) == "FILLED")
    assert world.position() == 10


@pytest.mark.parametrize(
    "answer", ["silent", RestError("x", Said(Outcome.UNCERTAIN, text="busy")), ValueError("odd")]
)
def test_no_answer_never_resolves_an_order_however_long_it_takes(lost, answer):
    lost.venues[SPOT].broken["order"] = answer
    lost.run(11)
    assert lost.halts().get("HALT_UNKNOWN") == 1
    assert not lost.heard("operator must look")
    lost.run(300)
    assert lost.state(lost.id) == "UNKNOWN"
    assert lost.reserved() == (10, 0)
    assert len(lost.heard("operator must look")) == 1
    assert lost.halts()["HALT_UNKNOWN"] == 1


@pytest.mark.parametrize("what", ["open", "trades"])
def test_a_list_that_fails_is_no_part_of_a_proof(lost, what):
    lost.venues[SPOT].broken[what] = RestError("x", Said(Outcome.UNCERTAIN, text="busy"))
    lost.run(150)
    assert lost.state(lost.id) == "UNKNOWN"
    del lost.venues[SPOT].broken[what]
    assert lost.run(20, lambda: lost.state(lost.id) == "NEVER_EXISTED")


def test_an_order_on_the_list_is_not_absent_whatever_queries_say(world):
    world.settle()
    world.deaf = {SPOT}
    world.venues[SPOT].broken["cancel"] = "silent"
    id, client = world.order(state="UNKNOWN")
    world.venues[SPOT].hidden.add(client)
    world.run(12)
    assert world.state(id) == "LIVE"
    assert world.reserved() == (10, 0)


def test_a_trade_of_the_order_speaks_against_its_absence(lost):
    lost.run(61)
    lost.venues[SPOT].trade(lost.client, 0, 4, lost.now - 60 * SEC, venue_id="v99")
    lost.run(60)
    assert lost.state(lost.id) == "PARTIAL"
    assert lost.position() == 4
    assert lost.reserved() == (6, 0)


def test_a_trade_of_nobody_knows_whom_is_asked_about_before_absence_is_believed(lost):
    lost.venues[SPOT].trade("", 0, 4, lost.now, venue_id="v99", show_id=False)
    lost.venues[SPOT].broken["order"] = None
    lost.run(20)
    lost.venues[SPOT].place(lost.client, lots=10, state="filled", filled=10)
    lost.venues[SPOT].change(lost.client, venue_id="v99")
    lost.venues[SPOT].hidden.add(lost.client)
    del lost.venues[SPOT].broken["order"]
    lost.run(1)
    assert lost.state(lost.id) == "UNKNOWN"


def test_what_the_venue_may_have_forgotten_is_never_proven_absent(lost):
    lost.rests[SPOT].retention = 60 * SEC
    lost.run(400)
    assert lost.state(lost.id) == "UNKNOWN"
    assert lost.heard("longer than the venue remembers")


def test_an_order_closed_as_absent_that_turns_up_counts_again_and_is_cancelled(lost):
    assert lost.run(MARGIN_S + 10, lambda: lost.state(lost.id) == "NEVER_EXISTED")
    lost.deaf = {SPOT}
    lost.venues[SPOT].broken["cancel"] = "silent"
    lost.venues[SPOT].place(lost.client, lots=10)
    assert lost.run(15, lambda: lost.state(lost.id) == "LIVE")
    assert lost.reserved() == (10, 0)
    assert lost.heard("proven absent and is there")
    lost.deaf = set()
    assert lost.run(30, lambda: lost.state(lost.id) == "CANCELED")


def test_a_fill_of_an_order_closed_as_absent_moves_the_position(lost):
    assert lost.run(MARGIN_S + 10, lambda: lost.state(lost.id) == "NEVER_EXISTED")
    lost.venues[SPOT].place(lost.client, lots=10, state="filled", filled=10)
    lost.venues[SPOT].trade(lost.client, 0, 10, lost.now)
    assert lost.run(15, lambda: lost.position() == 10)
    assert lost.state(lost.id) == "FILLED"


def test_acked_and_never_reported_makes_the_private_stream_prove_itself(world):
    world.settle()
    id, _ = world.order(state="ACKED")
    world.run(0.4)
    assert "order" not in world.venues[SPOT].asked
    world.run(0.5)
    assert world.state(id) == "LIVE"
    assert world.refreshed == [SPOT]
    private = world.keeper.watches[SPOT].private
    world.run(30)
    assert not private.is_proven
    world.line(1, False)
    world.line(1, True)
    assert world.run(5, lambda: private.is_proven)


def test_an_order_of_unknown_fate_that_was_there_all_the_time_makes_the_private_stream_prove_itself(world):
    world.settle()
    world.engine.outlet.taker = lambda line, frame: None  # its cancels are lost, too
    world.venues[SPOT].broken["cancel"] = "silent"
    id, _ = world.order(state="SENT")
    world.run(1.5)
    assert world.state(id) == "LIVE"
    assert world.refreshed == [SPOT]
    assert not world.keeper.watches[SPOT].private.is_proven


def test_a_live_order_whose_cancel_was_refused_is_asked_for(world):
    world.settle()
    id, client = world.order(state="LIVE")
    world.venues[SPOT].change(client, state="filled", filled="0.010")
    world.venues[SPOT].trade(client, 0, 10, world.now)
    world.report(0, ReportKind.REPORT_CANCEL_REJECT, client, code=-2011, group=int(ErrorGroup.GROUP_NOT_OPEN))
    assert world.run(3, lambda: world.state(id) == "FILLED")


def test_a_doubt_ends_with_the_venues_answer(world):
    world.settle()
    id, client = world.order(state="LIVE")
    world.report(0, ReportKind.REPORT_CANCEL_REJECT, client, code=-2011)
    assert world.run(3, lambda: world.engine.orders.order(id)["doubt"] == 0)
    assert world.state(id) == "LIVE"
    assert world.run(3, world.keeper.is_settled)


def test_a_live_order_that_the_venue_lost_is_closed_by_the_same_proof_only(world):
    world.settle()
    id, client = world.order(state="LIVE")
    world.run(15)
    del world.venues[SPOT].orders[client]
    world.run(40)
    assert world.state(id) == "LIVE"
    assert world.run(80, lambda: world.state(id) == "CANCELED")
    assert world.position() == 0


def test_an_amend_that_was_lost_ends_long_behind_its_deadline(world):
    world.settle()
    id, _ = world.order(state="LIVE")
    world.engine.orders.amend(id, 10_100, 20, world.now)
    world.run(30)
    assert world.reserved() == (20, 0)
    assert world.run(50, lambda: world.reserved() == (10, 0))
    assert world.engine.orders.order(id)["amending"] == 0


def test_an_amend_that_nobody_confirmed_is_found_in_force(world):
    world.settle()
    id, client = world.order(state="LIVE")
    world.engine.orders.amend(id, 10_100, 20, world.now)
    world.run(0.2)
    world.venues[SPOT].change(client, price="101.00", size="0.020")
    assert world.run(5, lambda: world.engine.orders.order(id)["amending"] == 0)
    assert world.engine.orders.order(id)["price_ticks"] == 10_100


def test_an_answer_about_another_order_is_no_answer(lost):
    other = lost.venues[SPOT].place("somebody", state="canceled")
    lost.venues[SPOT].broken["order"] = other
    lost.rests[SPOT].read_order = lambda reply: other
    lost.venues[SPOT].broken.clear()
    lost.run(100)
    assert lost.state(lost.id) == "UNKNOWN"
    assert lost.heard("was told of somebody")


def test_unknown_orders_of_an_earlier_run_hold_their_symbol_from_the_start():
    world = World()
    world.order(state="UNKNOWN", at_venue=False)
    world.keeper.begin(world.now)
    world.run(0.1)
    assert world.halts()["HALT_UNKNOWN"] == 1
    world.run(5)
    assert set(world.halts()) == {"HALT_UNKNOWN"}
    assert world.run(80, lambda: not world.halts())


def test_an_acknowledged_state_that_nobody_understands_holds_the_symbol(world):
    world.settle()
    id, client = world.order(state="UNKNOWN")
    world.venues[SPOT].change(client, state="odd:ON_THE_MOON")
    world.run(2)
    assert world.halts()["HALT_ODD"] == 1
    assert world.state(id) == "UNKNOWN"
    world.venues[SPOT].change(client, state="canceled")
    assert world.run(60, lambda: not world.halts())


def test_the_kind_of_line_does_not_matter_for_cancels(world):
    world.settle()
    world.line(0, False)
    world.keeper.on_line(LineKind.REST_LINE, SPOT, True, world.now)
    world.order(state="UNKNOWN", at_venue=False)
    world.run(1)
    assert "cancel" not in world.venues[SPOT].asked

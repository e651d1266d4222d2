"""Open orders and trades against the table: adoption, strangers, missing orders, late lists."""

import pytest
from rig import EPOCH, PERP, SPOT, World

from ext.records import Nature, ReportKind
from node.truth.settings import SEC, Settings

OLD = EPOCH - 1


def old_order(world, sequence=5, instrument=0, **fields):
    client_id = world.client_id(instrument, sequence, OLD)
    world.venues[instrument].place(client_id, **fields)
    return client_id


def adopted(world, sequence=5):
    return world.engine.orders.order(world.engine.orders.whose(sequence, OLD))


def test_own_orders_of_an_earlier_epoch_are_adopted_and_cancelled():
    world = World()
    client_id = old_order(world, lots=10)
    world.keeper.begin(world.now)
    assert world.run(5, lambda: client_id in world.frames)
    assert world.run(10, world.keeper.is_settled)
    assert adopted(world)["state"] == "CANCELED"


def test_or_kept_where_the_setting_says_so():
    world = World(Settings(keep_old=True))
    client_id = old_order(world, lots=10, filled=3, state="partial")
    world.settle()
    assert client_id not in world.frames
    assert adopted(world)["state"] == "PARTIAL"
    assert world.reserved() == (7, 0)


def test_what_an_adopted_order_filled_is_counted_once_whether_its_trades_are_listed_or_not():
    for listed in (0, 3):
        world = World(Settings(keep_old=True))
        client_id = old_order(world, lots=10, filled=5, state="partial")
        if listed:
            world.venues[SPOT].trade(client_id, 0, listed, world.now)
        world.settle()
        assert adopted(world)["filled_lots"] == 5
        assert world.reserved() == (5, 0)
        assert world.position() == listed


def test_running_it_twice_changes_nothing():
    world = World(Settings(keep_old=True))
    client_id = old_order(world, lots=10, filled=3, state="partial")
    world.venues[SPOT].trade(client_id, 0, 3, world.now)
    world.settle()
    before = (world.reserved(), world.position(), world.engine.orders.state_counts(), world.engine.evidence)
    world.run(60)
    assert (
        world.reserved(),
        world.position(),
        world.engine.orders.state_counts(),
        world.engine.evidence,
    ) == before


def test_an_order_of_this_epoch_that_the_table_lost_is_adopted_and_cancelled(world):
    world.settle()
    client_id = world.client_id(0, 40)
    world.venues[SPOT].place(client_id)
    assert world.run(15, lambda: client_id in world.frames)


def test_foreign_orders_count_in_exposure_and_are_left_alone(world):
    world.settle()
    world.venues[SPOT].place("somebody", side=1, lots=7, filled=2, state="partial")
    world.run(12)
    assert world.engine.orders.reserved(0)["foreign_sell_lots"] == 5
    assert world.heard("not ours")
    assert not world.halts()
    assert world.frames == []
    assert "cancel" not in world.venues[SPOT].asked
    world.venues[SPOT].change("somebody", state="canceled")
    world.run(12)
    assert world.engine.orders.reserved(0)["foreign_sell_lots"] == 0


@pytest.mark.parametrize(("policy", "told", "halts"), [("ignore", 0, {}), ("halt", 1, {"HALT_FOREIGN": 2})])
def test_what_foreign_orders_lead_to_is_a_setting(policy, told, halts):
    world = World(Settings(foreign=policy))
    world.settle()
    world.venues[SPOT].place("somebody", side=0, lots=7)
    world.run(12)
    assert (len(world.heard("not ours")), world.halts()) == (told, halts)
    assert world.engine.orders.reserved(0)["foreign_buy_lots"] == 7


def test_a_live_order_that_the_list_does_not_show_is_asked_for(world):
    world.settle()
    id, client_id = world.order(state="LIVE")
    world.run(5)
    world.venues[SPOT].change(client_id, state="canceled")
    assert world.run(15, lambda: world.state(id) == "CANCELED")


def test_an_order_heard_of_just_before_the_list_left_is_not_missing(world):
    world.settle()
    _, client_id = world.order(state="LIVE")
    world.venues[SPOT].unlisted.add(client_id)
    world.venues[SPOT].asked.clear()
    world.keeper.watches[SPOT].hurry(world.now)
    world.run(1)
    assert "open" in world.venues[SPOT].asked
    assert "order" not in world.venues[SPOT].asked


def test_an_order_that_a_stale_list_leaves_out_stays_live(world):
    world.settle()
    id, client_id = world.order(state="LIVE")
    world.venues[SPOT].unlisted.add(client_id)
    world.run(60)
    assert world.state(id) == "LIVE"
    assert world.reserved() == (10, 0)


def test_news_on_the_stream_behind_the_request_beats_the_list(world):
    world.settle()
    id, client_id = world.order(state="LIVE")
    world.run(15)
    world.latency_ns = 3 * SEC
    world.keeper.watches[SPOT].hurry(world.now)
    world.venues[SPOT].change(client_id, price="90.00")
    world.run(0.1)
    world.report(0, ReportKind.REPORT_LIVE, client_id, order_ticks=10_500, order_lots=12, filled_lots=0)
    world.run(5)
    assert world.engine.orders.order(id)["price_ticks"] == 10_500


def test_a_missed_fill_is_found_in_the_trades(world):
    world.settle()
    id, client_id = world.order(state="LIVE", lots=10)
    world.venues[SPOT].change(client_id, state="partial", filled="0.004")
    world.venues[SPOT].trade(client_id, 0, 4, world.now)
    assert world.run(15, lambda: world.position() == 4)
    assert world.state(id) == "PARTIAL"
    world.run(40)
    assert world.position() == 4


def test_both_sides_of_a_trade_with_ourselves_count(world):
    world.settle()
    _, buy = world.order(side=0, lots=4)
    _, sell = world.order(side=1, lots=6)
    one = world.venues[SPOT].trade(buy, 0, 4, world.now)
    two = world.venues[SPOT].trade(sell, 1, 4, world.now)
    world.venues[SPOT].trades[-1] = two.__class__(
        **{f: getattr(two, f) for f in two.__slots__} | {"trade_lo": one.trade_lo}
    )
    world.venues[SPOT].change(buy, state="filled", filled="0.004")
    world.venues[SPOT].change(sell, state="partial", filled="0.004")
    world.run(15)
    assert world.position() == 0
    assert world.engine.account.position(0)["fills"] == 2


def test_pages_are_followed_and_a_missing_page_is_no_list(world):
    world.settle()
    world.venues[SPOT].page = 2
    ids = [world.order(ticks=10_000 + i)[0] for i in range(5)]
    world.run(30)
    assert {world.state(x) for x in ids} == {"LIVE"}
    original = world.rests[SPOT].carry
    world.rests[SPOT].carry = lambda request, now: (
        None if request.target == "open" and request.body != b"[0]" else original(request, now)
    )
    sweeps = world.keeper.watches[SPOT].sweeps
    world.run(60)
    assert world.keeper.watches[SPOT].sweeps == sweeps
    assert {world.state(x) for x in ids} == {"LIVE"}


def test_an_order_closed_here_and_open_there_holds_the_symbol_and_counts(world):
    world.settle()
    id, client_id = world.order(state="LIVE")
    world.report(0, ReportKind.REPORT_CANCELED, client_id, filled_lots=0)
    world.venues[SPOT].broken["cancel"] = "silent"
    world.run(12)
    assert world.engine.orders.reserved(0)["foreign_buy_lots"] == 10
    assert not world.halts()
    world.run(12)
    assert world.halts() == {"HALT_DRIFT": 1}
    assert world.keeper.differences()
    del world.venues[SPOT].broken["cancel"]
    assert world.run(25, world.keeper.is_settled)
    assert not world.halts()
    assert world.venues[SPOT].orders[client_id].state == "canceled"
    assert world.state(id) == "CANCELED"


def test_rows_of_another_market_are_no_answer(world):
    world.settle()
    world.venues[SPOT].orders["strange"] = world.venues[PERP].place("strange")
    sweeps = world.keeper.watches[SPOT].sweeps
    world.run(30)
    assert world.keeper.watches[SPOT].sweeps == sweeps
    assert world.heard("a row of market 1 in an answer of market 0")


def test_numbers_off_the_grid_hold_the_symbol(world):
    world.settle()
    _, client_id = world.order(state="LIVE")
    world.venues[SPOT].change(client_id, size="0.0105")
    world.run(12)
    assert world.halts()["HALT_ODD"] == 1
    world.venues[SPOT].change(client_id, size="0.010")
    assert world.run(60, lambda: not world.halts())


@pytest.mark.parametrize("nature", [Nature.LIQUIDATION, Nature.ADL])
def test_a_liquidation_counts_stops_the_desk_and_cancels_everything(world, nature):
    world.settle()
    _, client_id = world.order(1, state="LIVE")
    world.venues[PERP].trade("autoclose-1", 1, 4, world.now, nature=int(nature))
    world.run(15)
    assert world.position(1) == -4
    assert world.halts(1)["HALT_LIQUIDATION"] == 2
    assert client_id in world.frames
    world.run(60)
    assert "HALT_LIQUIDATION" in world.halts(1)
    assert "HALT_LIQUIDATION" not in world.halts(0)


def why_not(world, instrument=0):
    world.engine.risk.set_limits(
        instrument,
        max_size_lots=100,
        max_notional_e8=10**14,
        max_position_lots=100,
        collar_ppm=1000,
        stale_ns=SEC,
        max_open_orders=9,
    )
    return world.engine.risk.try_order(instrument, 0, 10_000, 1, world.now)[0]


def test_the_engine_is_told_of_each_complete_pass_that_agreed(world):
    world.engine.risk.require(reconcile_ns=60 * SEC)
    assert why_not(world) == "RECONCILE_STALE"
    world.settle()
    world.run(100)
    assert why_not(world) == "BOOK_UNSYNCED"
    world.venues[SPOT].broken["open"] = "silent"
    world.run(75)
    assert why_not(world) == "RECONCILE_STALE"
    assert why_not(world, 1) == "BOOK_UNSYNCED"

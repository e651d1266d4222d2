"""A node and its venues in one virtual time: seeds decide, the network does what its faults say, and nothing
waits."""

import pytest

from ext.engine import LineKind
from node.linestats import SPARE
from node.sim.memory import SEC, START_NS, World, named_in
from node.soak import soak_config
from node.venues.keys import Key
from node.venues.values import Down, Relist

SPOT = 0


def world(**options) -> World:
    return World(soak_config(), **options)


@pytest.fixture
def ready():
    """A node that quotes on all six instruments."""
    out = world(seed=2)
    out.run_until(lambda: all(out.engine.orders.open_orders(i) for i in range(6)), 30 * SEC)
    return out


def test_time_is_virtual_and_exact():
    out = world()
    assert out.now_ns == START_NS
    out.run_for(3 * SEC + 7)
    assert out.now_ns == START_NS + 3 * SEC + 7
    with pytest.raises(TimeoutError, match="not within 2 s of venue time"):
        out.run_until(lambda: False, 2 * SEC)


def test_a_node_comes_up_reconciles_and_quotes_and_the_ledgers_agree(ready):
    kinds = (LineKind.MARKET_LINE, LineKind.ORDER_LINE, LineKind.PRIVATE_LINE, LineKind.REST_LINE)
    assert all(x.up for x in ready.engine.lines if x.kind in kinds and not x.name.endswith(SPARE))
    assert all(x.bad == 0 for x in ready.engine.lines)
    assert not any(ready.engine.risk.halts(i) for i in range(6))
    ready.engine.quiet(ready.now_ns)
    for order_id in ready.engine.orders.open_orders():
        ready.engine.want_cancel(order_id, ready.now_ns)
    ready.run_until(lambda: not ready.engine.orders.open_orders())
    ready.run_for(5 * SEC)
    assert ready.differences() == []


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    hashes = []
    for seed in (5, 5, 6):
        out = world(seed=seed)
        out.run_for(12 * SEC)
        hashes.append((out.outlet.hash(), out.outlet.orders))
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]
    assert hashes[0][1] > 0


def test_nothing_is_ordered_before_a_pass_agreed():
    out = world(seed=2)
    out.cut_rest.update(out.venue_of)  # no list is answered
    out.run_for(15 * SEC)
    assert out.outlet.orders == 0
    assert all("HALT_START" in out.engine.risk.halts(i) for i in range(6))
    out.cut_rest.clear()
    out.run_until(lambda: out.outlet.orders > 0, 60 * SEC)


def test_a_line_that_is_cut_comes_back_and_what_was_under_way_is_lost(ready):
    wired = ready.line(SPOT, "orders")
    generation, sent = wired.generation, wired.fake.counts["orders"]
    ready._out(wired, '{"never":"arrives"}')
    ready.cut(wired)
    assert not ready.engine.lines[wired.spec.line].up
    ready.run_until(lambda: ready.engine.lines[wired.spec.line].up)
    assert wired.generation > generation
    assert wired.fake.counts["orders"] >= sent
    assert ("binance-spot orders", "connection lost") in [x[1:] for x in ready.told]


def test_a_black_hole_swallows_both_ways_and_the_orders_in_it_are_not_forgotten():
    hole = {"name": "px.blackhole", "venue": "binance", "way": "in", "at_s": 6, "for_s": 12}
    out = world(seed=2, faults=[hole])
    out.run_for(6 * SEC)
    out.run_until(lambda: out.engine.orders.troubled(out.now_ns), 12 * SEC)
    assert out.fakes["binance"].faults.counts["px.blackhole"] > 0
    out.engine.quiet(out.now_ns)
    for order_id in out.engine.orders.open_orders():
        out.engine.want_cancel(order_id, out.now_ns)
    out.run_until(lambda: not out.engine.orders.open_orders(), 180 * SEC)
    out.run_for(60 * SEC)
    assert out.differences() == []


def test_a_slow_line_tells_the_past_until_it_is_over_and_then_all_at_once():
    slow = {
        "name": "px.rate",
        "venue": "binance",
        "path": "feed",
        "way": "out",
        "bytes_per_s": 1000,
        "for_s": 5,
    }
    out = world(seed=2, faults=[slow])
    late: list[int] = []
    out.run_for(2 * SEC)
    wired = out.line(SPOT, "feed")
    began = out.now_ns
    true = out._deliver
    out._deliver = lambda w, generation, text: (
        late.append(out.now_ns - began) if text == "x" * 500 else true(w, generation, text)
    )
    for _ in range(3):
        out._towards(wired, "x" * 500)
    out.run_for(6 * SEC)
    assert out.fakes["binance"].faults.counts["px.rate"] == 1
    assert len(late) == 3
    assert late == sorted(late)
    assert late[0] > SEC  # behind what was said before
    assert late[-1] < 4 * SEC


def test_delay_in_the_network_keeps_the_order_of_frames():
    late = {"name": "px.delay", "venue": "binance", "delay_ms": 120}
    out = world(seed=2, faults=[late])
    arrived: list[int] = []
    out.run_for(2 * SEC)
    wired = out.line(SPOT, "orders")
    true = wired.fake.receive
    wired.fake.receive = lambda connection, text, now_ns: (
        arrived.append(int(text)) if text.isdigit() else true(connection, text, now_ns)
    )
    for i in range(50):
        out._out(wired, str(i))
        out.run_for(100_000)
    assert arrived == []
    out.run_for(SEC)
    assert arrived == list(range(50))


def test_filters_are_asked_for_once_however_many_changes_are_told(ready):
    wired = next(x for x in ready.lines.values() if x.spec.role == "feed" and x.spec.market == 4)
    ready.run_for(SEC)
    ready._relist = lambda market, true=ready._relist: (calls.append(market), true(market))
    calls: list[int] = []
    asked = len(requests := spy(ready, "instruments"))
    ready._do(wired, [Relist("")] * 40)
    ready.run_for(2 * SEC)
    assert len(calls) == 40
    assert len(requests) - asked == 2  # one for each kind of instrument that is traded there


def test_a_symbol_that_the_venue_halts_stops_at_once_and_trades_again_when_it_is_over(ready):
    number = ready.desk.numbers[4, "BTC-USDT-SWAP"]
    halt = {"name": "status.halt", "symbol": "BTC-USDT-SWAP", "s": 5}
    ready.fakes["okx"].faults.load([halt], "okx", ready.now_ns)
    ready.run_until(lambda: "HALT_VENUE" in ready.engine.risk.halts(number), 3 * SEC)
    ready.run_until(lambda: "HALT_VENUE" not in ready.engine.risk.halts(number), 120 * SEC)


def test_a_refusal_for_want_of_access_logs_in_anew(ready):
    wired, generation = ready.line(SPOT, "orders"), ready.line(SPOT, "orders").generation
    ready.keeper.watches[SPOT].recycle(SPOT)
    assert wired.generation > generation
    ready.run_until(lambda: wired.connection is not None)


def test_a_private_stream_that_delivers_is_proven_by_its_reports(ready):
    probed: list[int] = []
    ready.keeper.on_probe = lambda market, now_ns: probed.append(market)
    ready.run_for(10 * SEC)
    assert {1, 2, 3} <= set(probed)  # USD-M and both Bybit markets have private lines


def test_keys_that_are_wrong_end_their_line_with_one_clear_line():
    keys = {m: Key("simulated", "wrong-secret", "simulated") for m in range(5)}
    out = world(seed=2, keys=keys)
    out.run_for(20 * SEC)
    assert out.outlet.orders == 0
    for market in (2, 4):
        assert not out.line(market, "orders").retry
    assert not any("wrong-secret" in text for _, _, text in out.told)


def test_a_session_that_gives_up_for_good_is_not_connected_again(ready):
    wired = ready.line(SPOT, "orders")
    ready._do(wired, [Down("the key is gone", retry=False)])
    ready.run_for(60 * SEC)
    assert wired.connection is None
    assert ("binance-spot orders", "the key is gone") in [x[1:] for x in ready.told]


def test_a_frame_names_its_order_and_what_it_wants():
    client_id = "tst0" + "0" * 17
    assert named_in(f'{{"id":"n{client_id}0001","method":"order.place"}}'.encode()) == (client_id, 0)
    assert named_in(f'{{"reqId":"r{client_id}0001"}}'.encode()) == (client_id, 3)
    assert named_in(f'{{"id":"c{client_id}0001"}}'.encode()) == (client_id, 1)


def spy(out: World, part: str) -> list[str]:
    """Targets of the requests from here on that contain `part`."""
    seen: list[str] = []
    true = out._send_rest

    def send(market, request, then):
        if part in request.target:
            seen.append(request.target)
        true(market, request, then)

    out._send_rest = send
    return seen

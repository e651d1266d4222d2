"""A venue is done when this passes for it: the five parts of conformance, one test for all markets.

(a) each sample payload gives its events; (b) each sample cut at each byte gives "bad" or nothing; (c)
session x fake logs in, subscribes, survives a dropped ping and a gap, and logs in again where the venue
ends the session; (d) for every kind of order: intent -> risk -> encode -> fake -> ack and fill -> decode
-> order table agrees with the venue's truth, and the order there is worth what was meant, over WebSocket
and over the REST twin of each frame; (e) seeded minutes end with node and venue ledger equal and no
invariant broken at any step.
"""

import contextlib
import shutil
import tempfile
from decimal import Decimal

import pytest
from hands import BUY, FOK, GTC, IOC, MARKET, POST_ONLY, SELL, STOP
from msgspec import structs
from samples import CAPTURES, MARKETS, captured, of
from witness import Watched, Witnessed

from ext.wire import ListSink, Verdict
from node.config import MARKETS as NUMBERS
from node.sim.memory import SEC
from node.soak import read_faults, soak_config
from node.venues.fakes import PRIVATE_KEY_PEM
from node.venues.keys import Key

TRADED = (*MARKETS, "okx-spot")  # an instrument each; OKX has all its products in one market
PERPETUALS = ("binance-usdm", "bybit-linear", "okx")


@contextlib.contextmanager
def tape():
    """A directory for a tape, gone afterwards: a run leaves some tens of MB."""
    directory = tempfile.mkdtemp(prefix="tickgate-conformance-")
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def directory():
    with tape() as path:
        yield path


# ---- (a), (b): samples ----


def read(wire, raw, context=-1):
    sink = ListSink()
    return wire.read(raw, sink, 0, context), sink.events


@pytest.mark.parametrize("market", MARKETS)
def test_a_each_sample_gives_its_events(market):
    samples = of(market)
    assert len(samples) >= 8, "every type of message has a sample"
    for sample in samples:
        verdict, events = read(sample.wire, sample.raw, sample.context)
        assert verdict == Verdict.HANDLED, (sample.name, sample.wire.error())
        assert events, sample.name
        for event, expected in zip(events, sample.expected(events), strict=True):
            assert expected.items() <= event.items(), sample.name


@pytest.mark.parametrize("market", CAPTURES)
def test_a_each_captured_private_frame_is_read_or_left_alone(market):
    wire, frames = captured(market)
    handled = 0
    for raw in frames:
        verdict, events = read(wire, raw)
        assert verdict in (Verdict.HANDLED, Verdict.NOT_MINE), (wire.error(), raw[:200])
        assert bool(events) == (verdict == Verdict.HANDLED)
        handled += verdict == Verdict.HANDLED
    assert handled >= 10


def check_cuts(wire, raw, context=-1):
    for size in range(len(raw)):
        verdict, events = read(wire, raw[:size], context)
        assert verdict in (Verdict.BAD, Verdict.NOT_MINE), raw[:size]
        assert events == [], raw[:size]


@pytest.mark.parametrize("market", MARKETS)
def test_b_each_sample_cut_at_each_byte_is_bad_or_nothing(market):
    for sample in of(market):
        check_cuts(sample.wire, sample.raw, sample.context)


@pytest.mark.parametrize("market", CAPTURES)
def test_b_each_captured_private_frame_cut_at_each_byte_is_bad_or_nothing(market):
    wire, frames = captured(market)
    for raw in [x for x in frames if read(wire, x)[1]][:40]:
        check_cuts(wire, raw)


# ---- (c): session x fake ----

ED25519 = Key("simulated", private_key=PRIVATE_KEY_PEM)
KEYS = [(market, "hmac") for market in TRADED] + [(x, "ed25519") for x in ("binance-spot", "binance-usdm")]


def hand_of(market, directory, key="hmac", **more):
    if key == "ed25519":
        more["keys"] = {NUMBERS[market]: ED25519}
    return Witnessed(market, directory=directory, **more)


def trades(hand):
    """One order rests and is cancelled, another one trades: both sides agree."""
    order = hand.place(BUY, hand.away(BUY))
    assert order, hand.engine.risk.refusals()
    hand.until(lambda: hand.state(order) == "LIVE")
    hand.cancel(order)
    hand.until(lambda: hand.state(order) == "CANCELED")
    before = hand.position()
    hand.until(lambda: hand.may_trade(), 120)  # a stream that was away may have to prove itself first
    order = hand.place(BUY, hand.through(BUY), tif=IOC)
    hand.until(lambda: hand.state(order) == "FILLED")
    assert hand.position() == before + hand.size
    agree(hand)


def agree(hand):
    """To the last unit, and nothing was broken on the way."""
    with contextlib.suppress(TimeoutError):
        hand.until(lambda: not hand.world.differences(), 65)
    assert hand.world.differences() == []
    hand.world.check()
    assert hand.world.broken == []
    assert not [x for fake in hand.world.fakes.values() for x in fake.audit()]


@pytest.mark.parametrize(("market", "key"), KEYS)
def test_c_it_logs_in_subscribes_and_trades(market, key, directory):
    hand = hand_of(market, directory, key).ready()
    lines = [x for x in hand.world.lines.values() if x.spec.market == hand.market]
    assert {x.spec.role for x in lines} >= {"feed", "orders"}
    assert all(x.session.ready for x in lines)
    trades(hand)


@pytest.mark.parametrize("market", TRADED)
def test_c_a_line_that_is_silent_both_ways_is_given_up_and_made_again(market, directory):
    """A ping that is lost and everything else with it, for longer than any venue's patience. Binance has
    no ping of the application's: there it is requests and the probes of the keeper that are not answered."""
    hand = hand_of(market, directory).ready()
    hand.fault("px.blackhole", for_s=70)
    resting = hand.place(BUY, hand.away(BUY))
    hand.run(75)
    assert hand.hits("px.blackhole") == 1
    hand.until(lambda: hand.may_trade(), 200)
    hand.run(3)
    if resting and resting in hand.open_here():
        hand.cancel(resting)
    hand.until(lambda: not hand.open_here(), 200)
    trades(hand)


@pytest.mark.parametrize("market", TRADED)
def test_c_a_gap_is_seen_and_the_book_is_made_anew(market, directory):
    hand = hand_of(market, directory, moving=True).ready()
    book = hand.engine.books[0]
    gaps = book.gaps
    hand.fault("book.gap", n=2, count=1)
    hand.until(lambda: hand.hits("book.gap") and book.gaps > gaps, 20)
    hand.until(lambda: hand.may_trade(), 60)
    hand.world.moving = False
    hand.run(2)
    for side, best in enumerate(hand.strategy.best(0)):
        grid = hand.world.desk.instruments.price_grid(0)
        assert Decimal(best[0] * grid.mantissa).scaleb(-grid.decimals) == hand.listing.price_of(
            hand.best(side)
        )
    agree(hand)


@pytest.mark.parametrize(("market", "key"), KEYS)
def test_c_it_logs_in_again_after_the_session_ended(market, key, directory):
    hand = hand_of(market, directory, key).ready()
    resting = hand.place(BUY, hand.away(BUY))
    hand.run(1)
    generations = sum(x.generation for x in hand.world.lines.values())
    hand.fake.strike(hand.fake.faults.add("session.expire"), hand.world.now_ns)
    assert hand.hits("session.expire") == 1
    hand.run(30)
    hand.until(lambda: hand.may_trade(), 120)
    assert hand.state(resting) == "LIVE"
    assert sum(x.generation for x in hand.world.lines.values()) > generations or key == "hmac"
    hand.cancel(resting)
    hand.until(lambda: hand.state(resting) == "CANCELED")
    hand.run(1)
    hand.until(lambda: hand.may_trade(), 120)  # Bybit says it in answer to the cancel only
    trades(hand)


# ---- (d): every kind of order ----


def rests(hand):
    order = hand.place(BUY, hand.away(BUY), tif=GTC)
    hand.until(lambda: hand.state(order) == "LIVE")
    return order


def gtc(hand):
    """Rests, and is cancelled."""
    order = rests(hand)
    agree(hand)
    hand.cancel(order)
    hand.until(lambda: hand.state(order) == "CANCELED")


def gtc_sell(hand):
    order = hand.place(SELL, hand.away(SELL))
    hand.until(lambda: hand.state(order) == "LIVE")
    agree(hand)
    hand.cancel(order)
    hand.until(lambda: hand.state(order) == "CANCELED")


def crossing(hand):
    """A limit order that trades at once."""
    order = hand.place(BUY, hand.through(BUY))
    hand.until(lambda: hand.state(order) == "FILLED")
    assert hand.position() == hand.size


def maker(hand):
    """Rests, and somebody else trades with half of it; the rest is cancelled."""
    order = rests(hand)
    (row,) = hand.fake.open_orders(hand.world.account(hand.market))
    sweep(hand, row.price_ticks, row.size_lots // 2)
    hand.until(lambda: hand.state(order) == "PARTIAL", 5)
    agree(hand)
    hand.cancel(order)
    hand.until(lambda: hand.state(order) == "CANCELED")
    assert hand.position() == hand.order(order)["filled_lots"] > 0


def sweep(hand, price, lots=0):
    """Somebody sells into all bids above a price (in the venue's ticks), and `lots` at that price."""
    engine = hand.listing.engine
    above = sum(n for level, n in engine.levels(BUY) if level > price)
    engine.trade(SELL, price, above + lots)


def ioc(hand):
    order = hand.place(SELL, hand.through(SELL), tif=IOC)
    hand.until(lambda: hand.state(order) == "FILLED")
    assert hand.position() == -hand.size


def ioc_unfilled(hand):
    order = hand.place(BUY, hand.away(BUY), tif=IOC)
    hand.until(lambda: hand.state(order) in ("EXPIRED", "CANCELED"))
    assert hand.filled(order) == 0


def fok(hand):
    order = hand.place(BUY, hand.through(BUY), tif=FOK)
    hand.until(lambda: hand.state(order) == "FILLED")


def fok_unfilled(hand):
    order = hand.place(BUY, hand.away(BUY), tif=FOK)
    hand.until(lambda: hand.state(order) in ("EXPIRED", "CANCELED", "REJECTED"))
    assert hand.filled(order) == 0


def post_only(hand):
    order = hand.place(SELL, hand.away(SELL), tif=POST_ONLY)
    hand.until(lambda: hand.state(order) == "LIVE")
    agree(hand)
    hand.cancel(order)
    hand.until(lambda: hand.state(order) == "CANCELED")


def market(hand):
    """In base units or contracts, never in quote: a buy and a sell of the same size end flat."""
    order = hand.place(BUY, 0, type=MARKET, tif=IOC)
    hand.until(lambda: hand.state(order) == "FILLED")
    assert hand.position() == hand.size
    agree(hand)
    order = hand.place(SELL, 0, type=MARKET, tif=IOC)
    hand.until(lambda: hand.state(order) == "FILLED")
    assert hand.position() == 0


def reduce_only(hand):
    crossing(hand)
    order = hand.place(SELL, hand.through(SELL), hand.size, reduce_only=True)
    hand.until(lambda: hand.state(order) == "FILLED")
    assert hand.position() == 0
    assert hand.place(SELL, hand.through(SELL), hand.size, reduce_only=True) == 0  # nothing to reduce


def stop(hand):
    """Protects: waits, and is cancelled; another one is reached and closes the position at market."""
    crossing(hand)
    orders = []
    for distance in (5000, 100):
        orders.append(
            hand.place(SELL, 0, hand.size, type=STOP, trigger=hand.away(BUY, distance), reduce_only=True)
        )
        assert orders[-1], hand.engine.risk.refusals()
        hand.until(lambda: hand.state(orders[-1]) == "LIVE")
        agree(hand)
        assert len(hand.open_there()) == 1
        if distance == 5000:
            hand.cancel(orders[-1])
            hand.until(lambda: hand.state(orders[-1]) == "CANCELED")
    sweep(hand, hand.best(BUY) - 200, 1)  # what triggers by the last price
    hand.fake.strike(hand.fake.faults.add("market.mark", percent=-1), hand.world.now_ns)  # and by the mark
    hand.until(lambda: hand.state(orders[-1]) == "FILLED")
    assert hand.position() == 0
    assert (
        len([x for x in hand.world.accepted if hand.world.desk.wires[hand.market].whose(x)[0] in orders]) == 2
    )


def amend(hand):
    """Price and size: in place, or by a replacement where the venue has no amend."""
    order = rests(hand)
    hand.amend(order, hand.away(BUY, 700), 2 * hand.size)
    hand.until(lambda: len(hand.open_here()) == 1 and amended(hand))
    agree(hand)
    hand.amend(hand.open_here()[0], hand.away(BUY, 700), hand.size)  # only smaller
    hand.until(
        lambda: len(hand.open_here()) == 1 and hand.order(hand.open_here()[0])["size_lots"] == hand.size
    )
    hand.run(1)
    agree(hand)
    (order,) = hand.open_here()
    hand.cancel(order)
    hand.until(lambda: hand.state(order) == "CANCELED")


def amended(hand):
    row = hand.order(hand.open_here()[0])
    return not row["amending"] and row["size_lots"] == 2 * hand.size and row["state"] == "LIVE"


def batch(hand):
    orders = hand.place_many([(BUY, hand.away(BUY, 500 + 10 * i)) for i in range(3)])
    assert len(orders) == 3
    hand.until(lambda: all(hand.state(x) == "LIVE" for x in orders))
    agree(hand)
    for order in orders:
        hand.cancel(order)
    hand.until(lambda: all(hand.state(x) == "CANCELED" for x in orders))


def over_filled_cancel(hand):
    """A cancel that comes too late: the order is filled, and nothing else."""
    order = hand.place(BUY, hand.through(BUY))
    hand.cancel(order)
    hand.until(lambda: hand.state(order) == "FILLED")
    assert hand.position() == hand.size


RESTING = (gtc, gtc_sell, maker, post_only, stop, amend, batch)
ORDERS = (*RESTING, crossing, ioc, ioc_unfilled, fok, fok_unfilled, market, reduce_only, over_filled_cancel)


@pytest.mark.parametrize("way", ["websocket", "rest"])
@pytest.mark.parametrize("kind", ORDERS, ids=lambda x: x.__name__)
@pytest.mark.parametrize("market", TRADED)
def test_d_an_order_of_every_kind_is_the_same_on_both_sides(market, kind, way, directory):
    hand = hand_of(market, directory, by_rest=way == "rest").ready()
    kind(hand)
    hand.run(3)
    agree(hand)
    assert hand.world.frames
    assert hand.taken() == len(hand.world.accepted)
    assert not hand.open_here()
    assert not hand.open_there()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size_lots": 1}, "S13"),
        ({"price_ticks": 1}, "row 64"),
        ({"side": SELL}, "at the venue"),
        ({"tif": "ioc"}, "at the venue"),
        ({}, "S2"),
        ({"client_id": "unknown"}, "S1"),
    ],
)
def test_d_a_venue_that_understood_something_else_is_seen(change, said, directory):
    """The witness of this file, on what it must and must not say."""
    hand = hand_of("okx", directory).ready()
    order = (
        hand.world.accepted[next(iter(hand.world.accepted))] if rests(hand) and hand.world.accepted else None
    )
    agree(hand)
    if "client_id" in change:
        change = {"client_id": hand.world.desk.wires[hand.market].client_id(999)}
    for key, value in change.items():
        setattr(order, key, value)
    if change and "client_id" not in change:
        hand.world.accepted.clear()
    hand.world._accepted(hand.fake, order)
    assert any(said in x for x in hand.world.broken), hand.world.broken


# ---- (e): seeded minutes ----


def faults():
    """The script of `tickgate soak`, with its rare ones brought into a minute."""
    return [x | {"at_s": x["at_s"] / 6} if "at_s" in x else x for x in read_faults(None)]


def config_for(market):
    """The quoting node of `tickgate soak` on one market."""
    config = soak_config()
    return (
        config
        if market == "all"
        else structs.replace(
            config,
            venue=[x for x in config.venue if x.market == market],
            instrument=[x for x in config.instrument if x.market == market],
        )
    )


def run(market, seed, directory, seconds=60):
    """Quote under faults, stop, and let what is unknown be resolved."""
    world = Watched(config_for(market), seed=seed, faults=faults(), directory=directory)
    world.run_for(seconds * SEC)
    for fake in world.fakes.values():
        fake.faults.clear()
    world.engine.quiet(world.now_ns)
    for order_id in world.engine.orders.open_orders():
        world.engine.want_cancel(order_id, world.now_ns)
    world.run_for(3 * SEC)
    world.run_until(lambda: not world.differences() and world.keeper.is_settled(), 700 * SEC, 5 * SEC)
    return world


def judge(world):
    world.check()
    world.check_trades()
    assert world.broken == []
    assert world.differences() == []
    assert not [x for fake in world.fakes.values() for x in fake.audit()]
    assert world.refused == []


@pytest.mark.parametrize("market", MARKETS)
def test_e_a_seeded_minute_ends_with_both_ledgers_equal_and_nothing_broken(market, directory):
    world = run(market, 2, directory)
    assert len(world.accepted) > 8
    assert sum(world.fakes[market.partition("-")[0]].faults.counts.values()) > 10
    judge(world)


@pytest.mark.soak
@pytest.mark.parametrize("market", [*MARKETS, "all"])
@pytest.mark.parametrize("seed", range(100, 120))
def test_e_many_seeded_minutes(market, seed, directory):
    judge(run(market, seed, directory))

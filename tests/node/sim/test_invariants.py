"""S3, S8, S9, S14 of the failure catalogue: wild strategies under drawn faults, judged by the venues."""

from random import Random

import pytest

from ext.records import OrderType, TimeInForce
from ext.strategy import Strategy
from node.limits import lots_of
from node.sim.invariants import Bounds, Monitor
from node.sim.memory import MS, SEC, START_NS, World
from node.soak import QUOTED, soak_config

BUY, SELL = 0, 1
E8 = 10**8
OPERATOR = 1  # Latch and HaltReason alike
UNITS = 4  # of the soak's order size that a position may be
COIN_E8 = 3_000 * E8


class Wild(Strategy):
    """Proposes anything: both sides, every type, nonsense, amends and cancels of whatever."""

    def __init__(self, seed: int, bounds: Bounds):
        self.random, self.bounds, self.passed = Random(f"wild {seed}"), bounds, 0

    def on_order(self, instrument, side, order_id, now_ns):
        self.passed += 1
        return 0

    def on_book(self, instrument, now_ns):
        if self.random.random() < 0.4:
            for _ in range(self.random.choice((1, 1, 1, 2, 3, 6))):
                self._one(instrument)
        return 0

    def _one(self, instrument: int) -> None:
        draw, bid = self.random, self.best(instrument)[0]
        if bid is None:
            return
        mine, what = self.open_orders(instrument), draw.random()
        if mine and what < 0.2:
            self.cancel(draw.choice(mine) if draw.random() < 0.9 else draw.randrange(1, 10**6))
        elif mine and what < 0.35:
            self.amend(draw.choice(mine), self._price(instrument, bid[0]), self._size(instrument))
        else:
            self._new(instrument, bid[0])

    def _new(self, instrument: int, bid: int) -> None:
        draw, held = self.random, self.position(instrument)
        side, reduces = draw.randrange(2), draw.random() < 0.25
        if reduces and held and draw.random() < 0.8:
            side = SELL if held > 0 else BUY
        kind, tif = OrderType.LIMIT, draw.choice(list(TimeInForce))
        if draw.random() < 0.1:
            kind, tif = OrderType.MARKET, TimeInForce.IOC
        self._order(
            instrument,
            side,
            int(kind),
            int(tif),
            self._price(instrument, bid),
            self._size(instrument),
            0,
            reduces,
        )

    def _size(self, instrument: int) -> int:
        if self.random.random() < 0.05:
            return self.random.choice((-1, 0, 2**62, self.bounds.size[instrument] + 1))
        step = self.instruments.row(instrument)["lot_step"]
        return self.random.randint(1, self.bounds.size[instrument] // step) * step

    def _price(self, instrument: int, bid: int) -> int:
        if self.random.random() < 0.05:
            return self.random.choice((0, -5, 2**55, bid * 3, bid + 1))
        step = self.instruments.row(instrument)["tick_step"]
        reach = self.bounds.collar_ppm * 12 // 10
        price = bid + bid * self.random.randint(-reach, reach) // 1_000_000
        if self.random.random() < 0.6:  # near the market, where it trades
            price = bid + bid * self.random.randint(-300, 300) // 1_000_000
        return max(step, price - price % step)


def bounds_of(world: World) -> Bounds:
    desk = world.desk
    size, position = {}, {}
    for market, symbol, text, _ in QUOTED:
        number = desk.numbers[market_of(market), symbol]
        size[number] = 2 * lots_of(desk.instruments, number, text)
        position[number] = UNITS * lots_of(desk.instruments, number, text)
    return Bounds(
        size,
        position,
        notional_e8=1_500 * E8,
        open_orders=6,
        collar_ppm=10_000,
        stale_ns=5 * SEC,
        rate=40,
        coin_e8=COIN_E8,
        venue_e8=COIN_E8 // 2,
        total_e8=COIN_E8,
    )


def market_of(name: str) -> int:
    from node.config import MARKETS

    return MARKETS[name]


def limit(world: World, bounds: Bounds) -> None:
    """Give the gate what the monitor holds it to."""
    risk = world.engine.risk
    for number, size in bounds.size.items():
        risk.set_limits(
            number,
            max_size_lots=size,
            max_notional_e8=bounds.notional_e8,
            max_position_lots=bounds.position[number],
            collar_ppm=bounds.collar_ppm,
            stale_ns=bounds.stale_ns,
            max_open_orders=bounds.open_orders,
            leverage=1,
        )
    risk.set_rate(bounds.rate, SEC)
    risk.set_account(
        max_open_orders=36,
        max_coin_e8=bounds.coin_e8,
        max_venue_e8=bounds.venue_e8,
        max_total_e8=bounds.total_e8,
        max_leverage_milli=-1,
        margin_free_ppm=-1,
        liquidation_ppm=-1,
        max_daily_loss_e8=-1,
        max_drawdown_ppm=-1,
    )
    world.engine.strategy_faults_max = 10**9  # nonsense is what this is about


# What may befall a run, each with a chance; times and shares are drawn.
FAULTS = (
    ("ack.drop", {"every": 0.3}),
    ("ack.delay", {"every": 0.3, "delay_ms": 1500}),
    ("ack.dup", {"every": 0.3}),
    ("exec.drop", {"every": 0.3}),
    ("exec.delay", {"every": 0.3, "delay_ms": 800}),
    ("exec.dup", {"every": 0.5, "delay_ms": 300}),
    ("order.accept_silent", {"every": 0.2}),
    ("order.fill_on_cancel", {"every": 0.5, "part": "part"}),
    ("rest.drop", {"every": 0.3}),
    ("rest.delay", {"every": 0.3, "delay_ms": 3000}),
    ("rest.stale_by", {"every": 0.5, "ms": 2000}),
    ("me_stall", {}),
    ("px.blackhole", {"way": "in"}),
    ("px.blackhole", {"way": "out"}),
    ("px.delay", {"delay_ms": 700}),
    ("session.kick", {"code": 1001}),
    ("book.gap", {"every": 0.05}),
    ("book.freeze", {}),
    ("market.crash", {"percent": 3, "s": 1}),
    ("market.sweep", {"percent": 0.3}),
    ("acct.external_order", {"side": "buy", "size_lots": 1}),
)
LASTS = {"session.kick", "market.crash", "market.sweep", "acct.external_order"}  # strike by themselves


def script(seed: int, seconds: float) -> list[dict]:
    draw, rows = Random(f"faults {seed}"), []
    for name, about in draw.sample(FAULTS, 6):
        row = {"name": name, "at_s": round(2 + draw.random() * (seconds - 3), 3)} | about
        if name not in LASTS:
            row["for_s"] = round(0.5 + draw.random() * 3, 3)
        if draw.random() < 0.5:
            row["venue"] = draw.choice(("binance", "bybit", "okx"))
        rows.append(row)
    return rows


def play(seed: int, seconds: float = 12.0, spoil=lambda world: None, *, until: str = "") -> Monitor:
    """A wild strategy for so long, somebody who says stop, and what becomes of everything then; only
    until the monitor finds what begins with `until`, where that is given."""
    world = World(soak_config(), seed=seed, faults=script(seed, seconds), strategy=Strategy())
    bounds = bounds_of(world)
    wild = Wild(seed, bounds)
    world.engine.add_strategy(wild)
    limit(world, bounds)
    monitor = Monitor(world, bounds)
    spoil(world)
    end_ns = world.now_ns + int(seconds * SEC)
    while world.now_ns < end_ns:
        world.run_for(min(SEC // 2, end_ns - world.now_ns))
        if until and has_found(monitor, until):
            return monitor
    stop(world, monitor, by_latch=seed % 2 == 0)
    world.run_for(2 * SEC)
    for fake in world.fakes.values():
        fake.faults.clear()
    world.run_until(lambda: not monitor.open_there(), 300 * SEC)  # S9: until the last one is terminal
    world.run_for(SEC)
    monitor.look()
    monitor.wild, monitor.faults = (
        wild,
        {k: v for f in world.fakes.values() for k, v in f.faults.counts.items()},
    )
    return monitor


def has_found(monitor: Monitor, what: str) -> bool:
    return any(x.startswith(what) for x in monitor.broken)


def stop(world: World, monitor: Monitor, *, by_latch: bool) -> None:
    if by_latch:
        world.engine.latch(OPERATOR, True, world.now_ns)
        for order_id in world.engine.orders.open_orders():
            world.engine.want_cancel(order_id, world.now_ns)
    else:
        for number in range(world.engine.instruments.count):
            world.engine.halt(number, OPERATOR, 2, world.now_ns)
    monitor.stop()


@pytest.mark.parametrize("seed", range(3))
def test_what_wild_strategies_do_under_faults_stays_within_what_the_venues_would_call_the_limits(seed):
    monitor = play(seed)
    assert monitor.broken == []
    assert monitor.wild.passed > 20
    assert monitor.checked["S3"] > 20
    assert monitor.checked["S8"] > 20
    assert sum(monitor.faults.values()) > 0


# ---- the monitor can fail: a node that is broken on purpose ----


def broken_by(spoil, what: str, seeds) -> bool:
    return any(has_found(play(seed, spoil=spoil, until=what), what) for seed in seeds)


def test_a_node_that_forgets_orders_of_unknown_fate_is_beyond_its_limits():
    def forgetful(world):
        def forget():
            for row in world.engine.orders.troubled(world.now_ns, 1):
                if row["state"] == "UNKNOWN":
                    world.engine.close_absent(row["id"], world.now_ns)

        world._every(20 * MS, forget)
        for fake in world.fakes.values():
            fake.faults.load([{"name": "order.accept_silent", "every": 0.5}], now_ns=world.venue_ns)
            fake.faults.load([{"name": "ack.drop", "every": 0.5}], now_ns=world.venue_ns)

    assert broken_by(forgetful, "S3", (32,))


def test_a_node_whose_reconciliation_is_only_said_to_be_done_trades_blindly():
    def blind(world):
        gate = world.engine.risk
        gate.require(reconcile_ns=SEC, clock_ns=gate.clock_ns, private=True, max_unacked=gate.max_unacked)
        for number in range(world.engine.instruments.count):
            world._every(SEC // 2, lambda n=number: world.engine.reconciled(n, world.now_ns))

    assert broken_by(blind, "S8", range(1))


def test_a_stop_that_somebody_takes_back_is_no_stop():
    def rearmed(world):
        def rearm():
            if world.now_ns > START_NS + 8 * SEC:
                world.engine.risk.release()
                for number in range(world.engine.instruments.count):
                    world.engine.resume(number, OPERATOR, world.now_ns)

        world._every(20 * MS, rearm)

    assert broken_by(rearmed, "S9", range(1, 4))


def test_a_cancel_of_somebody_elses_order_is_seen():
    def meddling(world):
        fake, listing = world.fakes["bybit"], next(iter(world.fakes["bybit"].listings.values()))
        fake.faults.load(
            [{"name": "acct.external_order", "symbol": listing.symbol, "size_lots": 1}], now_ns=world.venue_ns
        )

        def meddle():
            for order in list(fake._open_orders.values()):
                if order.notes.get("external"):
                    fake.cancel(order, world.venue_ns)

        world._every(500 * MS, meddle)

    assert broken_by(meddling, "S14", range(1))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3, 203))
def test_the_same_for_two_hundred_seeds(seed):
    assert play(seed, 20.0).broken == []

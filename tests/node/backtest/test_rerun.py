"""A run again is the same run, byte for byte and hash for hash; and where it is not, the first difference is
named."""

import itertools
import random

import pytest
from configs import tables
from retaped import Taker, again, config_of, run

from ext.engine import Again
from ext.records import TimeInForce
from ext.strategy import Strategy, StrategyTimeout
from ext.tape import RecordType, TapeReader
from node.recall import recall
from node.sim.memory import MS, SEC, START_NS, World
from node.soak import read_faults

VENUES = {
    "binance-spot": "BTCUSDT",
    "binance-usdm": "BTCUSDT",
    "bybit-linear": "BTCUSDT",
    "okx": "BTC-USDT-SWAP",
}
QUOTE = {"size_base": "0.01", "half_spread_ppm": 20, "requote_ppm": 60, "lean_base": "0.1", "wait_ms": 400}


def same(world: World, result) -> None:
    """Not a byte is different, and the state at the end is the state at the end."""
    assert result.difference is None, str(result.difference)
    assert result.order_hash == world.outlet.hash()
    assert result.state == world.engine.state_hash()


def test_a_quiet_run_is_the_same_again(tmp_path):
    world = run(tmp_path, 11.0, seed=2)
    (result,) = again(tmp_path)
    same(world, result)
    assert result.orders == world.outlet.orders > 5
    assert result.marks > 15


def operated(seed: int, turns: int, prefixes: list):
    """Faults, and an operator and a machine that do what they do at any time; `prefixes`: (sequence, state)
    on the way."""

    def act(world: World) -> None:
        rng = random.Random(f"operated {seed}")
        for _ in range(turns):
            world.run_for(rng.randrange(SEC, 8 * SEC))
            DEEDS[rng.choice(list(DEEDS))](world, rng)
            prefixes.append((world.engine.tape.sequence - 1, world.engine.state_hash()))

    return act


DEEDS = {
    "halt": lambda w, rng: w.control.do({"do": "halt", "reason": "x"}, w.now_ns),
    "flatten": lambda w, rng: w.control.do({"do": "flatten", "reason": "x"}, w.now_ns),
    "resume": lambda w, rng: w.control.do({"do": "resume", "reason": "x"}, w.now_ns),
    "resume again": lambda w, rng: w.control.do({"do": "resume", "reason": "x"}, w.now_ns),
    "nothing": lambda w, rng: None,
    "gap": lambda w, rng: (w.engine.stood_still(SEC, w.now_ns, True), w.keeper.thawed(w.now_ns)),
    "off": lambda w, rng: w.engine.strategy_off(0, 1, w.now_ns),
    "dials": lambda w, rng: w.engine.on_time(w.now_ns, [1000 + rng.randrange(500), 900]),
    "cut": lambda w, rng: w.cut(w.line(rng.choice(list(w.venue_of)), rng.choice(["feed", "orders"]))),
    "windows": lambda w, rng: w.desk.record_limits(w.now_ns),
    "filters": lambda w, rng: w._relist_all(),
}


def whole_campaign(folder, seed: int, turns: int) -> None:
    (folder / "control").mkdir(parents=True)
    prefixes: list = []
    world = run(
        folder,
        operated(seed, turns, prefixes),
        seed=seed,
        faults=read_faults(None),
        control_at=folder / "control",
    )
    for until, state in (random.Random(seed).choice(prefixes), prefixes[-1]):
        (result,) = again(folder, until)
        assert result.difference is None, f"seed {seed}: {result.difference}"
        assert result.state == state, f"seed {seed}, record {until}"
    assert result.order_hash == world.outlet.hash()


def test_a_run_under_faults_doors_and_operators_is_the_same_again_and_so_is_each_prefix(tmp_path):
    whole_campaign(tmp_path, 8, 4)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 140))
def test_many_runs_under_faults_doors_and_operators_are_the_same_again(tmp_path, seed):
    whole_campaign(tmp_path, seed, 30)


@pytest.mark.soak
@pytest.mark.parametrize(("market", "seed"), list(itertools.product(VENUES, range(5))))
def test_each_venue_by_itself_under_faults_is_the_same_again(tmp_path, market, seed):
    config = config_of(market, VENUES[market], strategy="quoter", quote=QUOTE)
    world = run(tmp_path, 120.0, config, seed=seed, faults=read_faults(None))
    same(world, *again(tmp_path))


def test_every_prefix_gives_the_state_that_the_run_had_there(tmp_path):
    points = []

    def act(world: World) -> None:
        for _ in range(40):
            world.run_for(150 * MS)
            points.append((world.engine.tape.sequence - 1, world.engine.state_hash()))

    run(tmp_path, act, config_of(), seed=3, strategy=Taker())
    for until, state in points[::4]:
        assert again(tmp_path, until)[0].state == state


# ---- strategies of one's own, stops, legs ----


class Heavy(Taker):
    lots = 100


def test_a_strategy_in_python_and_the_stop_that_it_runs_into_are_the_same_again(tmp_path):
    config = config_of(limits={"max_position_loss_quote": "0.02"})
    world = run(tmp_path, 13.0, config, seed=4, strategy=Heavy())
    (result,) = again(tmp_path)
    same(world, result)
    assert any(x.type == RecordType.STOP for x in TapeReader(str(tmp_path)))
    assert result.fills > 2
    assert result.strategy.endswith("test_rerun:Heavy")


class Legs(Strategy):
    """Both legs at once, opened and closed again and again."""

    def __init__(self):
        self.turns, self.next_ns = 0, 0

    def on_book(self, instrument: int, now_ns: int) -> int:
        bid, ask = self.best(instrument)
        if now_ns < self.next_ns or not (bid and ask):
            return 0
        self.next_ns, self.turns = now_ns + 400 * MS, self.turns + 1
        lots = 10 * self.instruments.row(instrument)["lot_step"]
        leg, is_opening = 1 + self.turns % 2, self.turns // 2 % 2
        buys = (leg == 1) == bool(is_opening)
        self._order(
            instrument, 0 if buys else 1, 0, TimeInForce.IOC, (ask if buys else bid)[0], lots, 0, False, leg
        )
        return 0


def test_a_run_in_hedge_mode_is_the_same_again(tmp_path):
    config = config_of(venue={"hedge": True})
    posmode = {"name": "acct.posmode", "hedge": True}
    world = run(tmp_path, 12.0, config, seed=4, strategy=Legs(), faults=[posmode])
    (result,) = again(tmp_path, strategy=Legs)
    same(world, result)
    assert result.fills > 5


class Ended(Taker):
    """A watchdog ends one of its calls from time to time."""

    def on_timer(self, now_ns: int) -> int:
        if now_ns // (20 * MS) % 20 == 0:
            raise StrategyTimeout("ended")
        return 0


def test_a_call_that_a_watchdog_ended_is_not_made_again_and_counts_as_it_did(tmp_path):
    account = tables(orders=1000)["account"] | {"max_strategy_faults": 1000}
    world = run(tmp_path, 11.0, config_of(account=account), seed=4, strategy=Ended())
    assert world.engine.strategies[0].faults > 10
    (result,) = again(tmp_path, strategy=Taker)  # in which nothing ends a call
    same(world, result)


# ---- found ----


class Random(Taker):
    """Its own chance: nobody can replay it."""

    chance = random.Random()

    def on_book(self, instrument: int, now_ns: int) -> int:
        self.lots = self.chance.randrange(1, 1 << 30) % 7 + 1
        return super().on_book(instrument, now_ns)


def test_a_strategy_that_decides_by_chance_is_found_and_the_first_difference_is_named(tmp_path):
    run(tmp_path, 11.0, config_of(), seed=4, strategy=Random())
    (result,) = again(tmp_path)
    found = result.difference
    assert found is not None
    assert found.record == "VERDICT"
    assert found.place.startswith("bybit-linear BTCUSDT")
    assert "size_lots" in found.recorded
    assert "size_lots" in found.replayed
    assert str(found).startswith(f"record {found.sequence} (VERDICT, bybit-linear BTCUSDT")


class Addressed(Taker):
    """Decides by where an object lies in memory."""

    def on_timer(self, now_ns: int) -> int:
        self.kept = [object() for _ in range(100)]
        self.lots = id(self.kept[now_ns // MS % 100]) // 16 % 5 + 1
        return 0


def test_a_strategy_that_decides_by_an_address_is_found(tmp_path):
    run(tmp_path, 11.0, config_of(), seed=4, strategy=Addressed())
    keep = [bytearray(977) for _ in range(1000)]
    (result,) = again(tmp_path)
    assert result.difference is not None
    assert keep


class Slower(Taker):
    every_ns = 700_000_000


def test_what_is_missing_and_what_is_too_much_is_named_too(tmp_path):
    run(tmp_path, 10.0, config_of(), seed=4, strategy=Taker())
    (missing,) = again(tmp_path, strategy=Slower)
    assert missing.difference is not None
    assert missing.difference.replayed == "nothing here"
    run(tmp_path / "slow", 10.0, config_of(), seed=4, strategy=Slower())
    (more,) = again(tmp_path / "slow", strategy=Taker)
    assert more.difference is not None
    assert more.difference.recorded == "nothing here"


def test_a_door_that_nobody_recorded_is_found_at_the_next_mark(tmp_path):
    def act(world: World) -> None:
        world.run_for(6 * SEC)
        world.engine.risk.latch(1)  # behind the tape's back
        world.run_for(SEC)

    run(tmp_path, act, config_of(), seed=2, strategy=Taker())
    (result,) = again(tmp_path)
    assert result.difference is not None
    assert result.difference.now_ns - START_NS <= 6 * SEC + 300 * MS


# ---- what else a tape can be ----


def test_requests_that_no_socket_took_are_not_taken_again(tmp_path):
    def act(world: World) -> None:
        """For a while, what the link looks at last says no: nothing else on the tape foretells that."""
        world.run_for(9 * SEC)
        shut = Again()
        shut.unsent.update(range(1, 1000))
        world.engine.outlet = shut
        world.run_for(3 * SEC)
        assert shut.written > 0
        world.engine.outlet = world.outlet
        world.run_for(SEC)

    world = run(tmp_path, act, config_of(), seed=4, strategy=Taker())
    (result,) = again(tmp_path)
    assert result.difference is None, str(result.difference)
    assert result.state == world.engine.state_hash()
    assert result.orders > world.outlet.orders


def test_a_second_run_on_the_tape_goes_on_from_the_first_and_both_are_the_same_again(tmp_path):
    config = config_of("okx", "BTC-USDT-SWAP")
    first = run(tmp_path, 13.0, config, seed=2, strategy=Taker())
    first.kill()
    more = {"keep_fakes": first, "recalled": recall(tmp_path), "control_at": tmp_path}
    second = run(tmp_path, 11.0, config, seed=3, strategy=Taker(), **more)
    results = again(tmp_path)
    assert len(results) == 2
    same(first, results[0])
    same(second, results[1])
    assert any(x.type == RecordType.PARAM and b"remember" in x.payload for x in TapeReader(str(tmp_path)))

"""Rows 86 to 89, 105 to 107, 110, 111 and 148 of the failure catalogue: the process dies, or is started
once too often, and the venue is the judge of what the next one knows."""

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path
from random import Random

import configs
import pytest
import uvloop
from hands import BUY, MS, SEC, SELL, VENUES, Naive, Ours
from rows import row

from ext.crash import Crashed, arm, disarm
from ext.records import Latch
from ext.tape import TapeWriter
from node.config import MARKETS
from node.crashes import DIALECTS, is_armed
from node.crashes import config_of as crash_config
from node.recall import recall
from node.sim.memory import World
from node.sim.serve import SimConfig, Simulation

SEGMENT = 1 << 22
SHORT = {"absence_margin_ns": 10 * SEC}  # of the proof of absence: the least that the settings allow
SCENARIOS = []


def played(number, *, star=True, market="binance-usdm"):
    """A row of the catalogue: on one market here, and on all of them in `make soak`."""

    def register(scenario):
        SCENARIOS.append((number, star, scenario))
        return row(number, star=star, markets=(market,))(scenario)

    return register


@pytest.fixture(autouse=True)
def asleep():
    yield
    disarm()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where lives of one test write their tape."""
    monkeypatch.setattr(Life, "folder", tmp_path)


class Life:
    """One order manager from its start to its death, and the next one on what it left."""

    folder = None

    def __init__(self, hands, market, **more):
        self.is_naive = hands.is_naive
        tape = None if self.is_naive else TapeWriter(str(self.folder), now_ns=1, segment_size=SEGMENT)
        ours = {} if self.is_naive else {"tape": tape, "settings": SHORT}
        self.hand = hands(market, **ours, **more)
        self.hand.ready()

    def crash(self, label, act):
        """`act` with a kill at `label`; the naive manager has no labels, and dies behind the act."""
        if self.is_naive:
            act()
            return self
        arm(label)
        try:
            act()
            self.hand.run(5)
        except Crashed:
            return self
        pytest.fail(f"{label} was not passed")

    def again(self, after_s=0.5, **more):
        """The next life. Orders that the naive manager had not heard of are "pending", and sent again."""
        if self.is_naive:
            pending = [x for x in self.hand.wishes.values() if not x.answered]
            self.hand = self.hand.restart(after_s, **more)
            self.hand.ready()
            for x in pending:
                self.hand.place(x.side, x.price, x.size)
            return self.hand
        self.bury()
        tape = TapeWriter(str(self.folder), now_ns=1, segment_size=SEGMENT)
        self.hand = self.hand.restart(
            after_s, recalled=recall(self.folder), tape=tape, settings=SHORT, **more
        )
        return self.hand

    def bury(self):
        """The tape of a dead process is nobody's: the lock goes with it."""
        self.hand.engine.tape.close(self.hand.world.now_ns)


def as_wanted(hand, side, price):
    """What a strategy does behind a start: it wants one order there, and places it where it knows of none."""
    if not hand.is_naive:
        hand.until(lambda: hand.may_trade() and not hand.open_here(), 120)
    if not hand.open_here():
        hand.place(side, price)
    hand.run(3)


@played(86, star=False, market="okx")
def test_row_86_a_decision_that_nobody_recorded_never_was(hands, market):
    life = Life(hands, market)
    life.crash("decide", lambda: life.hand.place(BUY, life.hand.away(BUY)))
    taken = life.hand.taken()
    hand = life.again().ready()
    assert hand.open_here() == []
    assert hand.taken() == taken
    hand.agree()


@played(87, market="binance-usdm")
def test_row_87_an_intent_that_was_not_sent_is_never_sent_by_the_next_run(hands, market):
    life = Life(hands, market)
    taken = life.hand.taken()
    if life.is_naive:  # the state file has it, the socket has not
        life.hand.line.connection, kept = None, life.hand.line.connection
        life.hand.place(BUY, life.hand.away(BUY))
        life.hand.line.connection = kept
    else:
        life.crash("lease_checked", lambda: life.hand.place(BUY, life.hand.away(BUY)))
    hand = life.again()
    hand.run(20)
    assert hand.taken() == taken
    assert hand.open_here() == []
    hand.agree()


@played(88, market="bybit-linear")
def test_row_88_an_order_whose_answer_never_came_is_found_before_another_is_placed(hands, market):
    life = Life(hands, market)
    life.crash("written", lambda: life.hand.place(SELL, life.hand.away(SELL)))
    hand = life.again()
    as_wanted(hand, SELL, hand.away(SELL))
    assert len(hand.open_there()) == 1
    hand.agree()


@played(89, market="okx")
def test_row_89_a_fill_that_nobody_recorded_is_fetched(hands, market):
    life = Life(hands, market)
    order = life.hand.place(BUY, life.hand.away(BUY))
    life.hand.run(1)
    filled = life.hand.size // 2 // 2 * 2 or life.hand.size
    life.crash("fill_applied", lambda: (life.hand.fill_there(filled), life.hand.run(0.1)))
    assert order
    hand = life.again(2)
    hand.run(8)
    assert hand.position() == hand.traded_there() != 0
    hand.run(20)
    assert len(hand.open_here()) == len(hand.open_there()) == 0


@played(105, market="binance-spot")
def test_row_105_a_stop_in_the_middle_of_an_order_leaves_nothing_or_says_what(hands, market):
    life = Life(hands, market)
    life.hand.place(BUY, life.hand.away(BUY))
    if not life.is_naive:
        life.hand.world.stop()
    life.hand.run(0.5)
    assert len(life.hand.open_there()) == len(life.hand.open_here()) == 0


def rest(hand, count):
    """Let `count` orders rest at the venue, half of them on each side, at its own rate."""
    wishes = [(n % 2, hand.away(n % 2, 500 + 20 * (n // 2))) for n in range(count)]
    for n in range(0, count, 3):
        hand.place_many(wishes[n : n + 3])
        hand.until(lambda most=n + 3: len(hand.open_there()) == min(count, most), 30)
        hand.run(1.5)


def taken_over(hands, market, count, *, keep=False, most=64):
    """Die with `count` orders resting. The next start knows each of them before it has asked anybody, places
    none anew, and cancels or keeps them all, as the config says."""
    changes = {"limits": {"max_open_orders": most}, "reconcile": {"keep_old": keep}}
    life = Life(hands, market, changes=changes)
    rest(life.hand, count)
    there = {x["client_id"] for x in life.hand.open_there()}
    assert len(there) == life.hand.taken() == count
    hand = life.again(1)
    if not hand.is_naive:
        assert len(hand.open_here()) == count
        assert hand.reserved(BUY) == (count + 1) // 2 * hand.size
        assert hand.reserved(SELL) == count // 2 * hand.size
        hand.until(lambda: not hand.halts(), 120)
    left = count if keep else 0
    hand.until(lambda: len(hand.open_there()) == len(hand.open_here()) == left, 12 if hand.is_naive else 120)
    assert hand.taken() == count
    assert {x["client_id"] for x in hand.open_there()} == (there if keep else set())
    if not keep:
        as_wanted(hand, BUY, hand.away(BUY))
        assert len(hand.open_there()) == len(hand.open_here()) == 1


@played(107, market="binance-usdm")
def test_row_107_fifty_open_orders_are_taken_over_and_no_fresh_grid_is_placed_on_top(hands, market):
    taken_over(hands, market, 50)


@played(107, market="bybit-linear")
def test_row_107_fifty_open_orders_that_are_kept_stay_as_they_are(hands, market):
    taken_over(hands, market, 50, keep=True)


@played(107, market="okx")
def test_row_107_one_open_order_is_taken_over(hands, market):
    taken_over(hands, market, 1)


@played(107, market="binance-spot")
def test_row_107_one_open_order_that_is_kept_stays_as_it_is(hands, market):
    taken_over(hands, market, 1, keep=True)


@played(107, star=False, market="binance-usdm")
def test_row_107_where_no_order_was_open_the_first_one_is_the_only_one(hands, market):
    taken_over(hands, market, 0)


@pytest.mark.soak
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("market", ["bybit-linear", "okx"])
def test_row_107_five_hundred_open_orders_are_taken_over(market, keep):
    """As many as Bybit and OKX allow on one instrument; the others allow 200."""
    taken_over(Ours, market, 500, keep=keep, most=600)


@played(148, market="bybit-linear")
def test_row_148_a_tape_from_a_backup_uses_no_id_twice_and_finds_what_it_does_not_know(hands, market):
    life = Life(hands, market)
    life.hand.place(BUY, life.hand.away(BUY))
    life.hand.run(1)
    backup = Life.folder / "backup"
    if not life.is_naive:
        shutil.copytree(Life.folder, backup, ignore=shutil.ignore_patterns("backup"))
    lost = life.hand.place(SELL, life.hand.away(SELL))
    life.hand.place(BUY, life.hand.through(BUY))
    life.hand.run(1)
    held = life.hand.traded_there()
    if not life.is_naive:
        life.bury()
        for path in Life.folder.glob("*.tape"):
            path.unlink()
        for path in backup.glob("*.tape"):
            shutil.copy(path, Life.folder)
        life.bury = lambda: None
    hand = life.again(2)
    hand.run(20)
    assert lost
    assert hand.position() == hand.traded_there() == held != 0
    hand.place(SELL, hand.away(SELL))
    hand.run(1)
    assert max(hand.truth()["orders"].values()) == 1  # no id was used twice
    assert hand.told("on the tape, which is older than the venue")
    assert len(hand.open_there()) == len(hand.open_here()) == 1


@pytest.mark.soak
@pytest.mark.parametrize("market", VENUES)
@pytest.mark.parametrize("number", sorted({x[0] for x in SCENARIOS}))
def test_row_on_every_venue(number, market):
    for _, star, scenario in (x for x in SCENARIOS if x[0] == number):
        row(number, star=star, markets=(market,))(scenario)(market)


# ---- row 111 ----


def test_row_111_a_second_copy_on_another_tape_refuses_to_trade():
    twins("binance-usdm", 300)


@pytest.mark.soak
@pytest.mark.parametrize("market", VENUES)
@pytest.mark.parametrize("late_ms", [0, 1, 50, 100, 200, 500, 5000])
def test_row_111_whenever_it_starts(market, late_ms):
    twins(market, late_ms)


def twins(market, late_ms):
    """The first quotes as soon as it may; the second, on a tape of its own, does what it can."""
    first = Ours(market)
    lived = 0

    def both(seconds):
        nonlocal lived
        for _ in range(int(seconds * 1000)):
            first.world.run_for(MS)
            if second is not None:
                second.world.run_for(MS)
            lived += 1

    second = None
    both(late_ms / 1000)
    epoch = first.world.epoch + late_ms // 100  # the same one, where both start in one tenth of a second
    second = Ours(market, beside=first.world, epoch=epoch, first_id=1 + (5 << 31))
    placed = {0: 0, 1: 0}
    for _ in range(80):
        both(0.1)
        for n, hand in enumerate((first, second)):
            if hand.may_trade() and not hand.open_here():
                placed[n] += bool(hand.place(BUY, hand.away(BUY)))
    is_held = [bool(x.engine.risk.latches >> int(Latch.LATCH_TWIN) & 1) for x in (first, second)]
    assert any(is_held), placed
    assert not (first.may_trade() and second.may_trade())
    both(3)
    for hand, held in zip((first, second), is_held, strict=True):
        assert not (held and hand.open_here())
    assert placed[1] <= 1


__all__ = ["SEC", "Naive"]


# ---- real processes ----

REAL = ("decide", "journaled", "written", "ack_applied", "fill_applied", "cancel_written", "stop_cancelled")


@pytest.mark.soak
@pytest.mark.parametrize("label", REAL)
@pytest.mark.parametrize("market", ["bybit-linear", "binance-usdm"])
def test_106_a_real_process_killed_by_a_real_signal_is_taken_over_by_the_next(label, market, tmp_path):
    uvloop.run(real(label, market, tmp_path))


async def real(label, market, folder):
    """`tickgate run` against simulated venues on loopback, killed at the label, and started again."""
    venue = market.split("-")[0]
    simulation = Simulation(SimConfig(venues=(venue,)))
    endpoints = await simulation.start()
    try:
        config = written(folder, market, endpoints[venue])
        nth = 1 if label.startswith("stop") else 4
        first = await begun(config, TICKGATE_CRASH_AT=f"{label}:{nth}")
        if label.startswith("stop"):
            await said(first, "trading may begin")
            first.terminate()
        await asyncio.wait_for(first.communicate(), 60)
        assert first.returncode == -signal.SIGKILL
        second = await begun(config)
        await said(second, "trading may begin")
        await asyncio.sleep(1)
        second.terminate()
        await asyncio.wait_for(second.communicate(), 30)
        assert second.returncode == 0
        fake = simulation.servers[venue].fake
        truth = fake.truth(fake.accounts[1])
    finally:
        await simulation.stop()
    found = recall(folder / "tape")
    place = (int(MARKETS[market]), "BTCUSDT")
    traded = sum(-x["size_lots"] if x["side"] == "sell" else x["size_lots"] for x in truth["fills"].values())
    assert found.positions.get(place, (0, 0))[0] == traded
    assert found.tracked.open == {}
    assert truth["open"] == []
    assert set(truth["orders"].values()) <= {1}
    assert len(found.epochs) == 2


def written(folder, market, at):
    """The config of a node that quotes there."""
    text = f'mode = "sim"\nstrategy = "quoter"\ndeployment = "tst0"\ntape = "{folder}/tape"\nsegment_mb = 1\n'
    text += configs.tables_text()
    text += f'[[venue]]\nmarket = "{market}"\nenvironment = "sim"\nstreams = ["{at.ws_url}"]\n'
    text += f'rest = "{at.http_url}"\norders = "{at.ws_url}"\n{configs.KEY_TEXT}'
    text += configs.instrument_text(market, "BTCUSDT", "10")
    text += '[instrument.quote]\nsize_base = "0.005"\nhalf_spread_ppm = 20\n'
    path = folder / "node.toml"
    path.write_text(text)
    return path


async def begun(config, **env):
    root = str(Path(__file__).parents[2])
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "node.cli", "run", str(config), stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": root} | env, cwd=root,
    )  # fmt: skip


async def said(process, text):
    """Wait until the process has told that."""
    async with asyncio.timeout(60):
        while text not in (line := (await process.stderr.readline()).decode()):
            assert line, f"it ended without saying {text!r}"


# ---- row 105 at any moment ----


@pytest.mark.soak
@pytest.mark.parametrize("dialect", list(DIALECTS))
@pytest.mark.parametrize("venue", ["quick", "slow", "dead"])
def test_105_whenever_it_is_told_to_stop_it_knows_what_it_leaves(dialect, venue):
    for seed in range(1, 6):
        leaves(dialect, venue, seed)


def test_105_a_venue_that_is_dead_does_not_keep_a_stop_from_ending():
    leaves("okx", "dead", 1)


def leaves(dialect, venue, seed):
    """Quote, be told to stop in the middle of it: what is open there is what the node says it leaves."""
    world = World(crash_config(dialect), seed=seed)
    world.run_until(lambda: is_armed(world), 60 * SEC)
    world.run_for(Random(f"{dialect} {venue} {seed}").randint(200, 4000) * MS)
    for fake in world.fakes.values():
        if venue != "quick":
            row = {"name": "px.blackhole"} if venue == "dead" else {"name": "px.delay", "delay": "1500ms"}
            fake.faults.load([row], now_ns=world.venue_ns)
    began_ns = world.now_ns
    world.stop()
    assert world.now_ns - began_ns <= 8 * SEC + 20 * MS
    left = {world.engine.orders.order(x)["sequence"] for x in world.engine.orders.open_orders()}
    there = set()
    for market, name in world.venue_of.items():
        wire = world.desk.wires[market]
        open_there = world.fakes[name].truth(world.account(market))["open"]
        there |= {wire.whose(x["client_id"])[0] for x in open_there}
    assert there - {0} <= left
    assert left == set() or venue != "quick"

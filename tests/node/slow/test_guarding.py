"""The guard as it runs, on a real process that stands still and venues in memory."""

import asyncio
import json
import subprocess
import time
from types import SimpleNamespace
from typing import ClassVar

import pytest

from ext.instruments import Instruments
from ext.wire import Wire
from node.beat import BEAT_AT, LAYOUT, MAGIC, NAME, NUMBER, read_pulse, started_of
from node.config import Config, GuardConfig, InstrumentConfig, KeyConfig, VenueConfig
from node.latch import read_latch
from node.slow import guarding
from node.slow.exchange import Refused
from node.slow.guard import OpenOrder, Trouble
from node.slow.guarding import Guarding

KEY = KeyConfig("sim", "plain:one", secret="plain:two")
OURS = Wire(Instruments(1), 0, "tst0", 7).client_id(1)
MARKETS = ("bybit-linear", "okx")


class Exchange:
    """Orders in memory; `broken` markets never answer."""

    broken: ClassVar[set[str]] = set()
    made: ClassVar[dict[str, "Exchange"]] = {}
    directory = None

    def __init__(self, market, rest, symbols, credentials):
        self.market, self.asked, self.closed, self.credentials = market, 0, False, credentials
        self.open_orders = [OpenOrder("1", OURS, "X"), OpenOrder("2", "tst0-of-another", "X")]
        self.made[market] = self

    async def open(self):
        if self.market in self.broken:
            await asyncio.sleep(3600)

    async def close(self):
        self.closed = True

    def held(self):
        return frozenset({"X"})

    async def orders(self, *, whole):
        self.asked += 1
        self.latched = read_latch(self.directory) is not None
        if self.asked == 1:
            raise Refused(Trouble("the venue is busy"))
        return list(self.open_orders)

    async def cancel(self, step):
        gone = {x.order_id for x in step.orders}
        self.open_orders = [x for x in self.open_orders if x.order_id not in gone]

    async def positions(self):
        return []


class Node:
    """A process that does nothing, with a heartbeat page that a test writes."""

    def __init__(self, directory):
        self.directory = directory
        self.process = subprocess.Popen(["sleep", "60"])
        self.pid = self.process.pid
        self.write()

    def write(self, ended=0):
        row = LAYOUT.pack(MAGIC, self.pid, started_of(self.pid), time.monotonic_ns(), ended)
        (self.directory / NAME).write_bytes(row)

    def beat(self):
        with (self.directory / NAME).open("r+b") as file:
            file.seek(BEAT_AT)
            file.write(NUMBER.pack(time.monotonic_ns()))

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setattr(guarding, "Exchange", Exchange)
    monkeypatch.setattr(guarding, "WINDOW_MS", 10)
    Exchange.broken, Exchange.made, Exchange.directory = set(), {}, tmp_path
    node = Node(tmp_path)
    yield SimpleNamespace(node=node, directory=tmp_path, told=[])
    node.kill()


def config(desk, **change) -> Config:
    ws, http = "ws://127.0.0.1:1", "http://127.0.0.1:2"
    venues = [VenueConfig(x, "sim", [ws], http, ws, key=KEY, window_ms=100) for x in MARKETS]
    guard = GuardConfig(**{"stall_ms": 200, "on_stall": "cancel", "keep_stops": False} | change)
    rows = [InstrumentConfig(x, "X") for x in MARKETS]
    return Config("sim", venues, rows, deployment="tst0", tape=str(desk.directory), guard=guard)


def events(desk) -> list[str]:
    path = desk.directory / guarding.JOURNAL
    return [json.loads(x)["event"] for x in path.read_text().splitlines()] if path.exists() else []


def play(desk, scenario, node_pid=0, **change):
    """`scenario(guard)` while it runs; then it is stopped."""

    async def main():
        stop = asyncio.Event()
        guard = Guarding(config(desk, **change), lambda *said: desk.told.append(said), node_pid)
        running = asyncio.ensure_future(guard.run(stop))
        async with asyncio.timeout(15):
            await scenario(guard, running)
            stop.set()
            await running

    asyncio.run(main())


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)


def left(market) -> list[str]:
    return [x.order_id for x in Exchange.made[market].open_orders]


def test_a_node_that_stands_still_is_latched_first_and_then_has_no_orders(desk):
    async def scenario(guard, running):
        await until(lambda: "clear" in events(desk))
        assert {x: left(x) for x in MARKETS} == {x: ["2"] for x in MARKETS}, "what is another's stays"
        assert all(x.latched for x in Exchange.made.values())

    play(desk, scenario)
    latched = read_latch(desk.directory)
    assert (latched.latch, latched.flatten) == ("guard", False)
    assert "hung" in latched.reason
    assert [x for x in events(desk) if x != "trouble"] == ["watching", "ready", "act", "clear"]
    assert all(x.closed for x in Exchange.made.values())
    assert any("busy" in text for _, text in desk.told)


def test_what_it_left_at_the_venue_on_purpose_is_told_and_so_is_the_way_to_let_the_node_go_on(desk):
    async def scenario(guard, running):
        await until(lambda: "ready" in events(desk))
        Exchange.made["okx"].open_orders.append(OpenOrder("3", OURS, "X", "", True))
        await until(lambda: "clear" in events(desk))

    play(desk, scenario, keep_stops=True)
    (text,) = [x for _, x in desk.told if "every market is clear" in x]
    assert "no open orders; 1 protective stop rests on purpose; 2 orders cancelled" in text
    assert f'`tickgate resume {desk.directory} --reason "TEXT"`' in text


def test_a_venue_that_is_dead_does_not_hold_up_the_others(desk):
    Exchange.broken = {"okx"}

    async def scenario(guard, running):
        await until(lambda: left("bybit-linear") == ["2"])
        await asyncio.sleep(0.1)
        assert "clear" not in events(desk)

    play(desk, scenario)


def test_a_node_that_beats_is_left_alone(desk):
    async def scenario(guard, running):
        for _ in range(30):
            desk.node.beat()
            await asyncio.sleep(0.02)

    play(desk, scenario)
    assert (read_latch(desk.directory), {x.asked for x in Exchange.made.values()}) == (None, {0})


def test_a_node_that_ended_in_good_order_is_looked_after_once_and_not_latched(desk):
    desk.node.write(ended=1)

    async def scenario(guard, running):
        await until(lambda: "ended" in events(desk))
        asked = [x.asked for x in Exchange.made.values()]
        await asyncio.sleep(0.5)
        assert [x.asked for x in Exchange.made.values()] == asked

    play(desk, scenario)
    assert read_latch(desk.directory) is None
    assert [left(x) for x in MARKETS] == [["2"], ["2"]]


def test_one_that_goes_on_and_stands_still_again_is_dealt_with_again(desk):
    async def scenario(guard, running):
        await until(lambda: "clear" in events(desk))
        desk.node.beat()
        await until(lambda: "back" in events(desk))
        Exchange.made["okx"].open_orders.append(OpenOrder("3", OURS, "X"))
        await until(lambda: events(desk).count("clear") == 2)
        assert left("okx") == ["2"]

    play(desk, scenario)


def test_a_guard_of_one_node_ends_when_that_is_gone_and_nothing_of_it_is_left(desk):
    async def scenario(guard, running):
        await until(lambda: "ready" in events(desk))
        desk.node.kill()
        await running
        assert [x for x in events(desk) if x != "trouble"][-2:] == ["act", "clear"]
        assert left("okx") == ["2"]

    play(desk, scenario, node_pid=desk.node.pid)


def test_what_protects_a_position_stays_where_the_node_ended_in_good_order(desk):
    async def scenario(guard, running):
        await until(lambda: len(Exchange.made) == len(MARKETS))
        Exchange.made["okx"].open_orders.append(OpenOrder("3", OURS, "X", "", True))
        desk.node.write(ended=1)
        desk.node.kill()
        await running

    play(desk, scenario, node_pid=desk.node.pid)
    assert (left("okx"), left("bybit-linear")) == (["2", "3"], ["2"])


def test_a_guard_does_not_act_on_an_earlier_run_while_its_own_node_starts(desk):
    earlier = read_pulse(desk.directory)
    (desk.directory / NAME).write_bytes(LAYOUT.pack(MAGIC, 2**30, earlier.started, 1, 0))

    async def scenario(guard, running):
        await asyncio.sleep(0.6)
        assert "act" not in events(desk)
        desk.node.kill()
        await running
        assert "act" not in events(desk)

    play(desk, scenario, node_pid=desk.node.pid)


def test_two_guards_of_one_tape_take_turns(desk):
    async def scenario(guard, running):
        await until(lambda: "ready" in events(desk))
        stop, told = asyncio.Event(), []
        other = Guarding(config(desk), lambda line, text: told.append(text))
        waiting = asyncio.ensure_future(other.run(stop))
        await until(lambda: told)
        assert told == [f"another guard watches {desk.directory}: this one waits until that is gone"]
        assert events(desk).count("watching") == 1
        stop.set()
        await waiting

    play(desk, scenario)


def test_a_latch_that_cannot_be_written_does_not_save_the_orders(desk):
    (desk.directory / "latch.json.part").mkdir()

    async def scenario(guard, running):
        await until(lambda: [left(x) for x in MARKETS] == [["2"], ["2"]])

    play(desk, scenario)
    assert "latch failed" in events(desk)


def test_it_uses_its_own_credentials_where_it_has_some(desk):
    async def scenario(guard, running):
        await asyncio.sleep(0)

    play(desk, scenario, key={"okx": KeyConfig("sim", "plain:own", secret="plain:its")})
    assert Exchange.made["okx"].credentials["api_key"] == "own"
    assert Exchange.made["bybit-linear"].credentials["api_key"] == "one"


def test_whose_an_order_is_is_told_by_every_character_of_its_id(desk):
    guard = Guarding(config(desk), lambda *said: None)
    assert guard.is_ours(OURS)
    swapped = OURS[:-1] + ("0" if OURS[-1] != "0" else "1")
    for other in ("", "tst0", "tst0-of-another", swapped, OURS.replace("tst0", "tst1"), "é" * 20, OURS + "0"):
        assert not guard.is_ours(other)

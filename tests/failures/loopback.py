"""A whole node against simulated venues on real sockets, for faults of the process and its host."""

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import configs
import orjson
import uvloop

from ext.tape import RecordType, TapeReader
from node.config import Config, load
from node.net.live import Node
from node.sim.serve import SimConfig, Simulation

ROOT = Path(__file__).parents[2]
HEAD = 'mode = "sim"\ndeployment = "tst0"\nstrategy = "quoter"\ntape = "{tape}"\nsegment_mb = 1\n'
VENUE = """
[[venue]]
market = "{market}"
environment = "sim"
streams = ["{ws}"]
rest = "{http}"
orders = "{ws}"
{key}
"""
QUOTE = '[instrument.quote]\nsize_base = "0.005"\nhalf_spread_ppm = 100\n'
MARKET = "bybit-linear"


class World:
    """Simulated Bybit and what a node on it says."""

    def __init__(self, simulation: Simulation, endpoint, folder: Path):
        self.simulation, self.at, self.folder = simulation, endpoint, folder
        self.told: list[tuple[str, str]] = []
        self.fake = simulation.servers["bybit"].fake

    def path(self, *, more: str = "", host: str = "127.0.0.1") -> Path:
        ws, http = (x.replace("127.0.0.1", host) for x in (self.at.ws_url, self.at.http_url))
        text = more + HEAD.format(tape=self.folder / "tape") + configs.tables_text()
        text += VENUE.format(market=MARKET, ws=ws, http=http, key=configs.KEY_TEXT)
        text += configs.instrument_text(MARKET, "BTCUSDT", "10") + QUOTE
        path = self.folder / "node.toml"
        path.write_text(text)
        return path

    def config(self, **more) -> Config:
        return load(self.path(**more))

    def node(self, **more) -> Node:
        return Node(self.config(**more), lambda line, text: self.told.append((line, text)))

    @contextlib.asynccontextmanager
    async def running(self, node: Node):
        """The node quotes inside, and is told to stop behind it; what it raised is raised."""
        stop = asyncio.Event()
        work = asyncio.ensure_future(node.run(stop))
        try:
            await until(lambda: work.done() or quotes(node))
            yield work
        finally:
            stop.set()
            await asyncio.wait((work,), timeout=15)
        work.result()

    async def ends(self, node: Node, act) -> BaseException | None:
        """The node runs, `await act()` is what befalls it; what it ended with, without being told to."""
        work = asyncio.ensure_future(node.run(asyncio.Event()))
        await until(lambda: work.done() or (bool(node.tasks) and is_up(node)))
        await act()
        await asyncio.wait((work,), timeout=15)
        try:
            return work.exception()
        except asyncio.CancelledError as error:
            return error

    def said(self, text: str) -> bool:
        return any(text in y for _, y in self.told)

    def open_there(self) -> list:
        return [x for x in self.fake.orders.values() if x.leaves_lots]

    def notes(self) -> list[dict]:
        records = TapeReader(str(self.folder / "tape"))
        return [orjson.loads(x.payload) for x in records if x.type == RecordType.NOTE]

    def events(self) -> list[str]:
        return [x.get("event", "") for x in self.notes()]

    def process(self, path: Path, *, stderr=subprocess.DEVNULL, files: int = 0) -> subprocess.Popen:
        """`tickgate run`, with at most so many descriptors."""

        def limited() -> None:
            if files:
                resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

        argv = [sys.executable, "-m", "node.cli", "run", str(path)]
        return subprocess.Popen(
            argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
            preexec_fn=limited, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip


def play(tmp_path: Path, scenario, *, seconds: float = 30, tls=None) -> None:
    """`await scenario(world)`."""

    async def main():
        simulation = Simulation(SimConfig(venues=("bybit",), tls=tls))
        endpoints = await simulation.start()
        try:
            async with asyncio.timeout(seconds):
                await scenario(World(simulation, endpoints["bybit"], tmp_path))
        finally:
            await simulation.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def until(condition, within_s: float = 12):
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


def quotes(node: Node) -> bool:
    return hasattr(node, "engine") and len(node.engine.orders.open_orders()) >= 2


def is_up(node: Node) -> bool:
    return all(x.ready.is_set() for x in node.connections)


async def quotes_anew(node: Node) -> None:
    """The gate lets new orders pass again."""
    passed = node.engine.risk.passed
    await until(lambda: node.engine.risk.passed > passed)

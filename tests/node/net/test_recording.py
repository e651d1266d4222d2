"""The recorder against simulated venues on sockets: what it writes is what came, and replays as it was."""

import asyncio
import contextlib
import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import configs
import orjson
import pytest
import uvloop

from ext.book import BookState
from node import reel
from node.backtest.instruments import survey
from node.backtest.replay import Run
from node.backtest.sources import Recording, frame_bytes
from node.config import load
from node.errors import Failed, UserError
from node.net import recording
from node.net.live import Node
from node.net.recording import Options, Recorder, listening
from node.sim.serve import SimConfig, Simulation

ROOT = Path(__file__).parents[3]
SYMBOLS = {
    "binance-spot": ("binance", "BTCUSDT"),
    "binance-usdm": ("binance", "BTCUSDT"),
    "bybit-spot": ("bybit", "BTCUSDT"),
    "bybit-linear": ("bybit", "BTCUSDT"),
    "okx": ("okx", "BTC-USDT-SWAP"),
}
HEAD = 'mode = "{mode}"\ndeployment = "tst0"\nstrategy = "none"\ntape = "{folder}/tape"\nsegment_mb = 1\n'
VENUE = '[[venue]]\nmarket = "{market}"\nenvironment = "sim"\nstreams = ["{ws}", "{ws}"]\nrest = "{http}"\n'


class World:
    def __init__(self, simulation, endpoints, folder: Path):
        self.simulation, self.endpoints, self.folder = simulation, endpoints, folder
        self.told: list[tuple[str, str]] = []

    def config(self, markets, mode="sim") -> Path:
        """A config that can trade (mode sim) or only watch."""
        text = HEAD.format(mode=mode, folder=self.folder) + (configs.tables_text() if mode == "sim" else "")
        for market in markets:
            venue, symbol = SYMBOLS[market]
            at = self.endpoints[venue]
            text += VENUE.format(market=market, ws=at.ws_url, http=at.http_url)
            text += f'orders = "{at.ws_url}"\n{configs.KEY_TEXT}' if mode == "sim" else ""
            text += (
                configs.instrument_text(market, symbol)
                if mode == "sim"
                else f'[[instrument]]\nmarket = "{market}"\nsymbol = "{symbol}"\n'
            )
        path = self.folder / f"{mode}.toml"
        path.write_text(text)
        return path

    def recorder(self, markets, mode="sim", **options) -> Recorder:
        chosen = Options(self.folder / "out", **options)
        path = self.config(markets, mode)
        return Recorder(load(path), chosen, lambda line, text: self.told.append((line, text)), path=path)

    @contextlib.asynccontextmanager
    async def running(self, of):
        """`of` (a recorder, a node) runs inside, and ends in order behind it."""
        stop = asyncio.Event()
        work = asyncio.ensure_future(of.run(stop))
        try:
            await until(lambda: work.done() or (hasattr(of, "engine") and synced(of.engine)))
            yield work
        finally:
            stop.set()
            await asyncio.wait((work,), timeout=12)
        work.result()


@pytest.fixture
def play(tmp_path):
    def run(scenario, venues=("bybit",), seconds=20):
        async def main():
            simulation = Simulation(SimConfig(venues=venues))
            endpoints = await simulation.start()
            try:
                async with asyncio.timeout(seconds):
                    await scenario(World(simulation, endpoints, tmp_path))
            finally:
                await simulation.stop()

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())

    return run


async def until(condition, within_s: float = 10):
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


def synced(engine) -> bool:
    return all(x.state == BookState.SYNCED for x in engine.books)


def books(engine) -> dict:
    """Books by instrument, in plain prices and sizes."""
    table, out = engine.instruments, {}
    for i, book in enumerate(engine.books):
        tick, lot = (float(x(i).step) for x in (table.price_grid, table.size_grid))
        out[table.market(i), table.symbol(i)] = [
            [(round(p * tick, 8), round(s * lot, 8)) for p, s in side()] for side in (book.bids, book.asks)
        ]
    return out


def replayed(*files, market=None) -> Run:
    recordings = [Recording(Path(x), market) for x in files]
    found = survey(recordings, None, None)
    run = Run(found, is_quoting=False)
    for of, of_file in zip(recordings, found.files, strict=True):
        run.file(of, of_file)
    return run


def lines(path) -> list:
    return [line for batch in Recording(Path(path)).batches() for line in batch]


def clean(run: Run) -> None:
    """Nothing was lost, and nothing was misread."""
    assert [(x.bad, sum(y.gaps for y in x.instruments)) for x in run.results] == [(0, 0)] * len(run.results)
    assert synced(run.engine)


async def still(world, *engines) -> None:
    """The market stops, and everybody has heard its last word."""
    for server in world.simulation.servers.values():
        server.market = None
    before: list = []
    for _ in range(100):
        await asyncio.sleep(0.15)
        now = [books(x) for x in engines]
        if now == before:
            return
        before = now
    raise AssertionError("the market does not stand still")


def test_a_recording_of_five_markets_replays_to_the_books_that_a_node_had(play):
    async def scenario(world):
        node = Node(load(world.config(tuple(SYMBOLS), "watch")), lambda line, text: None)
        recorder = world.recorder(tuple(SYMBOLS))
        async with world.running(node), world.running(recorder):
            await until(lambda: min(x.frames for x in recorder.reels.values()) > 20)
            await still(world, node.engine, recorder.engine)
            truth = books(node.engine)
            assert books(recorder.engine) == truth
        told = recorder.result()
        assert (len(told["files"]), told["gaps"], told["not_utf8"]) == (5, 0, 0)
        assert told["frames"] > 100
        again = {}
        assert sorted(told["files"] + told["instruments"]) == sorted(map(str, world.folder.rglob("*.*s*")))
        for path in told["files"]:
            run = replayed(path)
            clean(run)
            again |= books(run.engine)
            grids = [(x.source, x.row.tick) for x in run.sightings]
            assert all(source == "recording" for source, _ in grids), grids  # of the file beside it
        assert again == truth
        clean(replayed(*told["files"]))

    play(scenario, ("binance", "bybit", "okx"))


def test_nothing_but_market_data_is_asked_for_and_no_key_is_read(play, monkeypatch):
    async def scenario(world):
        path = world.config(("bybit-linear", "okx"))
        path.write_text(path.read_text().replace("plain:simulated", "env:NOT_THERE"))
        config = listening(load(path))
        assert [(x.orders, x.key, len(x.streams)) for x in config.venue] == [("", None, 1)] * 2
        recorder = world.recorder(("bybit-linear", "okx"))
        async with world.running(recorder):
            await until(lambda: recorder._sum("frames") > 20)
        sent = [x for path in recorder.result()["files"] for x in lines(path) if x.dir == "send"]
        assert {orjson.loads(x.raw).get("op") for x in sent if x.raw.startswith("{")} <= {"subscribe", "ping"}
        assert len(sent) >= 2

    play(scenario, ("bybit", "okx"))


def test_frames_are_recorded_as_they_came_in_order_with_the_time_of_reception(play):
    async def scenario(world):
        recorder = world.recorder(("binance-usdm",), file_mb=1)
        heard = []
        true = recorder._heard
        recorder._heard = lambda line, raw: (heard.append(raw), true(line, raw))[1]
        async with world.running(recorder):
            await until(lambda: len(heard) > 30)
        [path] = recorder.result()["files"]
        got = [x for x in lines(path) if x.dir is None and not x.channel.startswith(("event:", "connect"))]
        assert [frame_bytes(x) for x in got] == heard
        times = [x.t for x in got]
        assert times == sorted(times)
        channels = {x.channel for x in got}
        assert {"btcusdt@depth@100ms", "btcusdt@aggTrade", "btcusdt@bookTicker"} <= channels
        [depth] = [x for x in got if x.channel.startswith("rest:")]
        assert "symbol=BTCUSDT" in depth.url

    play(scenario, ("binance",))


@pytest.mark.parametrize(("pack", "suffix"), [("gz", ".txt.gz"), ("none", ".txt")])
def test_the_raw_form_is_a_time_and_a_frame_and_replays_too(play, pack, suffix):
    async def scenario(world):
        recorder = world.recorder(("binance-spot", "bybit-linear"), form="raw", pack=pack)
        async with world.running(recorder):
            await until(lambda: min(x.frames for x in recorder.reels.values()) > 20)
            await still(world, recorder.engine)
        for path in recorder.result()["files"]:
            assert path.endswith(suffix)
            run = replayed(path)
            clean(run)
            (market, symbol), book = next(iter(books(run.engine).items()))
            assert book == books(recorder.engine)[market, symbol]

    play(scenario, ("binance", "bybit"))


@pytest.mark.parametrize("market", ["binance-spot", "bybit-linear", "okx"])
def test_each_file_of_a_rotation_stands_alone_and_goes_on_where_the_last_one_ended(play, market, monkeypatch):
    monkeypatch.setattr(recording, "FLUSH_S", 0.1)

    async def scenario(world):
        recorder, fresh = world.recorder((market,)), []
        true = recorder._heard

        def heard(line, raw):
            if line in recorder.addresses or b'"snapshot"' in raw:
                fresh.append(line)
            return true(line, raw)

        recorder._heard = heard
        async with world.running(recorder):
            reel = next(iter(recorder.reels.values()))
            for _ in range(2):
                await until(lambda count=reel.frames: reel.frames > count + 20)
                fresh.clear()
                recorder._next_file(reel_market(recorder))
            await until(lambda: fresh)  # a venue that was asked a moment ago is not asked again at once
            await until(lambda count=reel.frames: reel.frames > count + 20)
            await until(lambda: synced(recorder.engine))
            await still(world, recorder.engine)
        files = recorder.result()["files"]
        assert len(files) == 3
        truth = books(recorder.engine)
        clean(replayed(files[0]))
        alone = replayed(files[2])
        assert alone.results[0].bad == 0
        assert books(alone.engine) == truth
        together = replayed(*files)
        assert books(together.engine) == truth
        assert [x.bad for x in together.results] == [0, 0, 0]
        assert recorder.result()["gaps"] == 0
        assert [sum(y.gaps for y in x.instruments) for x in together.results] == [0, 0, 0]

    play(scenario, (SYMBOLS[market][0],))


def reel_market(recorder) -> int:
    return next(iter(recorder.reels))


def test_a_lost_connection_is_marked_connected_anew_and_does_not_spoil_the_books(play):
    async def scenario(world):
        recorder = world.recorder(("bybit-linear",))
        async with world.running(recorder):
            reel = next(iter(recorder.reels.values()))
            await until(lambda: reel.frames > 20)
            recorder.connections[0].channel.transport.disconnect(False)
            await until(lambda: recorder.lost == 1)
            await until(lambda: synced(recorder.engine) and recorder.connections[0].channel.frames > 10)
            await still(world, recorder.engine)
        [path] = recorder.result()["files"]
        told = [x.channel for x in lines(path) if x.channel in ("connect", "event:lost")]
        assert told == ["connect", "event:lost", "connect"]
        run = replayed(path)
        assert books(run.engine) == books(recorder.engine)
        assert run.results[0].bad == 0
        assert recorder.result()["connections_lost"] == 1

    play(scenario)


def test_a_full_disk_is_one_line_and_what_was_recorded_stays_whole(play, monkeypatch):
    monkeypatch.setattr(recording, "FLUSH_S", 0.05)
    true, written = os.write, []

    def write(fd, data):
        if len(written) > 4:
            if len(written) > 5:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            data = data[: len(data) // 2]  # the last bytes that fit
        written.append(len(data))
        return true(fd, data)

    monkeypatch.setattr(reel.os, "write", write)

    async def scenario(world):
        recorder = world.recorder(("bybit-linear",))
        work = asyncio.ensure_future(recorder.run(asyncio.Event()))
        await asyncio.wait((work,), timeout=10)
        with pytest.raises(Failed, match=r"the disk is full: .*: recording ends here; .* is whole"):
            work.result()
        [path] = recorder.result()["files"]
        assert len(lines(path)) > 5
        clean(replayed(path))

    play(scenario)


def test_a_folder_that_cannot_be_written_is_named(play):
    async def scenario(world):
        (world.folder / "out").write_text("")
        with pytest.raises(UserError, match=f"{world.folder}/out: "):
            await world.recorder(("bybit-linear",)).run(asyncio.Event())

    play(scenario)


def test_killed_at_any_moment_the_recording_is_readable_up_to_there(play):
    """A process of its own, killed; and its file, cut at many places as a disk may leave it."""

    async def scenario(world):
        path = world.config(("bybit-linear", "binance-usdm"))
        out = world.folder / "out"
        argv = [sys.executable, "-m", "node.cli", "record", str(path), "--out", str(out), "--json"]
        process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            await until(lambda: sum(x.stat().st_size for x in out.glob("bybit*.zst")) > 6000, 15)
        finally:
            process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(process.communicate)
        [file] = out.glob("bybit*.zst")
        whole = lines(file)
        clean(replayed(file))
        data, count = file.read_bytes(), 0
        for at in range(len(data) - 1, 400, -max(1, len(data) // 40)):
            file.write_bytes(data[:at])
            cut = Recording(file)
            got = [x for batch in cut.batches() for x in batch]
            assert got == whole[: len(got)]
            count += bool(cut.notes)
        assert count > 10

    play(scenario, ("bybit", "binance"))


def test_the_recorder_builds_on_the_public_face_of_a_node_alone():
    """What it calls or replaces of Node has no underscore; what has one is its own."""
    source = Path(recording.__file__).read_text(encoding="utf-8")
    used = set(re.findall(r"\bself\.(_[a-z]\w*)", source)) | set(re.findall(r"def (_[a-z]\w*)", source))
    assert len(used) > 10
    assert {x for x in used if hasattr(Node, x)} == set()
    for name in (
        "load_instruments",
        "build",
        "add_connection",
        "turned",
        "resync",
        "failed",
        "spawn",
        "end_tasks",
    ):
        assert callable(getattr(Node, name))

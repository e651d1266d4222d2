"""`tickgate demo`: simulated venues and a node as processes of their own, watched through the node's tape.

This process is the slow side in small: it tails the tape for the table and the report, writes the dials as a stand-in
for an advisor, and cuts one feed line half way. What the report says comes from the tape and, for the check at its
end, from the venues' own ledgers.
"""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from ext.dials import DialLocked, DialMismatch, DialWriter
from ext.tape import TapeMissing, TapeReader
from rich.console import Console
from rich.live import Live

from node.errors import Failed, UserError
from node.main import write_config
from node.net.live import make_dials
from node.report import demo_json, live_table, print_report
from node.slow.summary import Summary

CUT = ("binance", "/public")  # whose newest connection is reset half way
START_S, STOP_S = 10.0, 5.0
ADVICE_S, LEASE_S = 0.5, 1.0
DRAW_S = 0.2
DRILL_MS = 1500
OF_A_TAPE = re.compile(r"lock|[0-9]{8}\.(tape|tape\.new|torn)").fullmatch

# market, venue that serves it, symbol, order size
INSTRUMENTS = (
    ("binance-spot", "binance", "BTCUSDT", "0.0005"),
    ("binance-usdm", "binance", "BTCUSDT", "0.005"),
    ("binance-usdm", "binance", "ETHUSDT", "0.05"),
    ("bybit-linear", "bybit", "BTCUSDT", "0.005"),
    ("okx", "okx", "BTC-USDT-SWAP", "0.5"),
)

HEAD = """\
# Written by `tickgate demo`: everything on loopback, nothing real.
mode = "sim"
strategy = "quoter"
deployment = "demo"
loop = "epoll"
tape = {tape}
segment_mb = 16
dials = {dials}
drill_after_ms = {drill_ms}   # one order that no limit allows, to see the gate say no

[rate]
orders = 100
window_ms = 1000
"""
VENUE = """
[[venue]]
market = "{market}"
streams = ["{ws}", "{ws}"]   # two lines: either alone is enough
rest = "{http}"
orders = "{ws}"
"""
INSTRUMENT = """
[[instrument]]
market = "{market}"
symbol = "{symbol}"
[instrument.limits]
max_size = "1"
max_notional = "50000"
max_position = "{most}"
collar_bps = 50
stale_ms = 2000
max_open_orders = 4
[instrument.quote]
size = "{size}"
half_spread_ppm = 4
lean = "{lean}"
"""


@dataclass
class Demo:
    """The processes of one demo and what is known of them."""

    folder: Path
    sim: subprocess.Popen
    node: subprocess.Popen | None = None
    cut_at_s: float = 0.0

    def check(self) -> None:
        """Raises where a process is gone."""
        _check(self.sim, "the simulated venues", self.folder / "sim.log")
        if self.node is not None:
            _check(self.node, "the node", self.folder / "node.log")

    def cut(self, which: str) -> None:
        """Let the simulated venues reset a connection."""
        assert self.sim.stdin is not None
        try:
            self.sim.stdin.write(f"cut {which}\n".encode())
            self.sim.stdin.flush()
        except BrokenPipeError:
            self.sim.wait()
            self.check()


def run_demo(
    *, seconds: float, seed: int, recording: Path | None, instruments: Path | None, keep: Path | None, as_json: bool
) -> None:
    """Run it and print the report. Raises UserError, or Failed where a process ended early or the node and the venues
    disagree at the end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what is below cleans up
    folder = _folder(keep)
    try:
        summary, ledgers = _run(folder, seconds, seed, recording, instruments, as_json)
        result = demo_json(summary, ledgers, seconds=seconds, seed=seed, cut=" ".join(CUT))
        if as_json:
            sys.stdout.write(json.dumps(result, indent=2) + "\n")
        else:
            print_report(result, Console(), kept=keep)
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    if not result["agreed"]:
        raise Failed("the node's positions are not those in the venues' own ledgers")


def _folder(keep: Path | None) -> Path:
    """Where configs, logs and tape go. What an earlier demo left there makes room; anything else is left alone."""
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="tickgate-demo-"))
    try:
        keep.mkdir(parents=True, exist_ok=True)
        foreign = [x.name for x in (keep / "tape").glob("*") if not OF_A_TAPE(x.name)]
    except OSError as error:
        raise UserError(f"--keep {keep}: {error.strerror}") from None
    if foreign:
        raise UserError(f"--keep {keep}: tape/{foreign[0]} is not of a tape; name another directory")
    return keep


def _run(folder: Path, seconds: float, seed: int, recording: Path | None, instruments: Path | None, quiet: bool):
    tape = folder / "tape"
    try:
        dials = _dials(folder / "dials")
        shutil.rmtree(tape, ignore_errors=True)
        demo = Demo(folder, _start(folder / "sim.log", _sim_argv(seed, recording, instruments)))
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror or error}") from None
    try:
        endpoints = _endpoints(demo)
        _advise(dials)
        config = write_config(folder / "node.toml", config_text(endpoints, tape, folder / "dials", seconds))
        demo.node = _start(folder / "node.log", ["run", str(config)])
        summary = Summary()
        reader = _watch(demo, tape, summary, dials, seconds, quiet)
        _stop(demo.node, "the node", folder / "node.log")
        _drain(reader, summary)
        told = _stop(demo.sim, "the simulated venues", folder / "sim.log")
        return summary, json.loads(told.splitlines()[-1])["ledgers"]
    finally:
        for process in (demo.node, demo.sim):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def config_text(endpoints: dict, tape: Path, dials: Path, seconds: float) -> str:
    """The node's config for these simulated venues."""
    drill_ms = min(DRILL_MS, int(seconds * 1000 / 4))
    text = HEAD.format(tape=_toml(tape), dials=_toml(dials), drill_ms=drill_ms)
    for market, venue in dict((m, v) for m, v, _, _ in INSTRUMENTS).items():
        text += VENUE.format(market=market, **endpoints[venue])
    for market, _, symbol, size in INSTRUMENTS:
        most, lean = Decimal(size) * 20, Decimal(size) * 5
        text += INSTRUMENT.format(market=market, symbol=symbol, size=size, most=f"{most:f}", lean=f"{lean:f}")
    return text


def _toml(path: Path) -> str:
    """A path as a TOML string: JSON's escapes are TOML's too."""
    return json.dumps(str(path), ensure_ascii=False)


def _dials(page: Path) -> DialWriter:
    """The dials of this demo; whoever holds them holds the directory. Raises UserError where another demo does."""
    try:
        return DialWriter(str(page), make_dials())
    except DialLocked:
        raise UserError(f"--keep {page.parent}: another demo is running there") from None
    except DialMismatch:  # of another version
        return DialWriter(str(page), make_dials(), replace=True)


def _sim_argv(seed: int, recording: Path | None, instruments: Path | None) -> list[str]:
    argv = ["sim", "--json", "--seed", str(seed)]
    argv += ["--recording", str(recording)] if recording else []
    return argv + (["--instruments", str(instruments)] if instruments else [])


def _start(log: Path, argv: list[str]) -> subprocess.Popen:
    """A command as a process that ends when this one does, however it ends: its stdin ends then. The package is the one
    that runs here, whatever the working directory holds."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-P", "-m", "node.cli", *argv, "--until-eof"]
    with log.open("wb") as errors:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=os.environ | {"PYTHONPATH": path}
        )


def _check(process: subprocess.Popen, what: str, log: Path) -> None:
    """Raises where a process that should be running, or should have ended well, did not: UserError where it says that
    it was given something that cannot work, else Failed."""
    code = process.poll()
    if code == 0:
        raise Failed(f"{what} stopped before the end: {_tail(log)}")
    if code == 2:
        raise UserError(_tail(log))
    if code is not None and code < 0:
        raise Failed(f"{what} died: {signal.Signals(-code).name}")
    if code:
        raise Failed(f"{what} failed: {_tail(log)}")


def _endpoints(demo: Demo) -> dict:
    """Where the simulated venues listen: their first line."""
    assert demo.sim.stdout is not None
    if not select.select([demo.sim.stdout], [], [], START_S)[0]:
        raise Failed(f"the simulated venues did not start within {START_S:.0f} s")
    line = demo.sim.stdout.readline()
    if not line:
        demo.sim.wait()
        _check(demo.sim, "the simulated venues", demo.folder / "sim.log")
    return json.loads(line)["listening"]


def _watch(demo: Demo, tape: Path, summary: Summary, dials: DialWriter, seconds: float, quiet: bool) -> TapeReader:
    """Until the time is up: read the tape, draw the table, give advice, cut the line half way."""
    reader = _open(demo, tape)
    began_s = time.monotonic()
    advised_s = began_s
    live = contextlib.nullcontext() if quiet else Live(live_table(summary, 0, seconds), transient=True, auto_refresh=False)
    with live as screen:
        while (passed_s := time.monotonic() - began_s) < seconds:
            _drain(reader, summary)
            demo.check()
            if time.monotonic() - advised_s >= ADVICE_S:
                advised_s = time.monotonic()
                _advise(dials)
            if not demo.cut_at_s and passed_s >= seconds / 2:
                demo.cut_at_s = passed_s
                demo.cut(" ".join(CUT))
            if screen is not None:
                screen.update(live_table(summary, passed_s, seconds), refresh=True)
            time.sleep(DRAW_S)
    return reader


def _open(demo: Demo, tape: Path) -> TapeReader:
    """The node's tape, as soon as there is one."""
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        demo.check()
        with contextlib.suppress(TapeMissing, FileNotFoundError):
            reader = TapeReader(str(tape), follow=True)
            return reader
        time.sleep(0.05)
    raise Failed(f"the node did not start within {START_S:.0f} s: {_tail(demo.folder / 'node.log')}")


def _drain(reader: TapeReader, summary: Summary) -> None:
    while records := reader.poll(4096):
        for record in records:
            summary.feed(record)


def _advise(dials: DialWriter) -> None:
    """A stand-in for an advisor: quote a little wider, for as long as somebody keeps saying so."""
    now_ns = time.monotonic_ns()
    dials.set(0, [1200], now_ns, int(LEASE_S * 1e9))
    dials.set(1, [1000], now_ns, int(LEASE_S * 1e9))


def _stop(process: subprocess.Popen, what: str, log: Path) -> str:
    """Ask a process to end, and see that it ended well. Returns what it still had to say."""
    process.send_signal(signal.SIGTERM)
    try:
        told = process.communicate(timeout=STOP_S)[0]
    except subprocess.TimeoutExpired:
        raise Failed(f"{what} did not stop within {STOP_S:.0f} s") from None
    if process.returncode:
        _check(process, what, log)
    return told.decode("utf-8", "replace")


def _tail(log: Path) -> str:
    """The last line of a log, as a person would have read it."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1].removeprefix("tickgate: ") if lines else "no message"


if os.name != "posix":
    raise UserError("the demo needs a POSIX system")

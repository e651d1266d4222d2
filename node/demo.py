"""`tickgate demo`: simulated venues and a node as processes of their own, watched through the node's tape.

This process is the slow side in small: it tails the tape for the table and the report, writes the dials as a stand-in
for an advisor, and cuts one feed line half way. What the report says comes from the tape and, for the check at its
end, from the venues' own ledgers.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from ext.dials import DialWriter
from ext.tape import TapeMissing, TapeReader
from rich.console import Console
from rich.live import Live

from node.errors import UserError
from node.main import write_config
from node.net.live import make_dials
from node.report import demo_json, live_table, print_report
from node.slow.summary import Summary

CUT = ("binance", "/public")  # whose newest connection is reset half way
START_S, STOP_S = 10.0, 5.0
ADVICE_S, LEASE_S = 0.5, 1.0
DRAW_S = 0.2

# what is quoted of the synthetic instruments; recorded ones are all quoted
QUOTED = (
    ("binance-spot", "BTCUSDT"),
    ("binance-usdm", "BTCUSDT"),
    ("binance-usdm", "ETHUSDT"),
    ("bybit-linear", "BTCUSDT"),
    ("okx", "BTC-USDT-SWAP"),
)
# Synthetic books always move; recorded ones may be slow, and are quoted as close as a tick allows.
SYNTHETIC_PPM, SYNTHETIC_STALE_MS = 4, 2_000
RECORDED_PPM, RECORDED_STALE_MS = 1, 30_000

HEAD = """\
# Written by `tickgate demo`: everything on loopback, nothing real.
mode = "sim"
strategy = "quoter"
deployment = "demo"
loop = "epoll"
tape = "{tape}"
segment_mb = 16
dials = "{dials}"
drill_after_ms = 1500   # one order that no limit allows, to see the gate say no

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
max_size = "{most}"
max_notional = "{most_value}"
max_position = "{most}"
collar_bps = 50
stale_ms = {stale_ms}
max_open_orders = 4
[instrument.quote]
size = "{size}"
half_spread_ppm = {half_spread_ppm}
lean = "{lean}"
"""


@dataclass
class Demo:
    """The processes of one demo and what is known of them."""

    folder: Path
    sim: subprocess.Popen
    node: subprocess.Popen | None = None
    cut_at_s: float = 0.0
    rewind_due: bool = False  # a recording is to begin again once the node listens


def run_demo(
    *, seconds: float, seed: int, recording: Path | None, instruments: Path | None, keep: Path | None, as_json: bool
) -> None:
    """Run it and print the report. Exits 1 where node and venues disagree at the end."""
    folder = Path(tempfile.mkdtemp(prefix="tickgate-demo-")) if keep is None else keep
    folder.mkdir(parents=True, exist_ok=True)
    try:
        summary, ledgers, demo = _run(folder, seconds, seed, recording, instruments, as_json)
        result = demo_json(summary, ledgers, seconds=seconds, seed=seed, cut=" ".join(CUT))
        if as_json:
            sys.stdout.write(json.dumps(result, indent=2) + "\n")
        else:
            print_report(result, Console(), kept=keep)
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    if not result["agreed"]:
        sys.exit(1)


def _run(folder: Path, seconds: float, seed: int, recording: Path | None, instruments: Path | None, quiet: bool):
    demo = Demo(folder, _start_sim(folder, seed, recording, instruments), rewind_due=recording is not None)
    try:
        listening = _first_line(demo)["listening"]
        tape = folder / "tape"
        shutil.rmtree(tape, ignore_errors=True)
        dials = DialWriter(str(folder / "dials"), make_dials(), replace=True)
        _advise(dials)
        config = write_config(folder / "node.toml", config_text(listening, tape, folder / "dials"))
        with (folder / "node.log").open("wb") as log:
            demo.node = subprocess.Popen([sys.executable, "-m", "node.cli", "run", str(config)], stderr=log)
        summary = Summary()
        reader = _watch(demo, tape, summary, dials, seconds, quiet)
        _stop(demo.node, "the node")
        _drain(reader, summary)
        _stop(demo.sim, "the simulated venues")
        return summary, json.loads(demo.sim.stdout.read().splitlines()[-1])["ledgers"], demo
    finally:
        for process in (demo.node, demo.sim):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def config_text(listening: dict, tape: Path, dials: Path) -> str:
    """The node's config for these simulated venues: their addresses and listings, as `tickgate sim --json` tells them."""
    rows = [(venue, x) for venue, said in listening.items() for x in said["listings"] if _is_quoted(x)]
    text = HEAD.format(tape=tape, dials=dials)
    for market, venue in {x["market"]: venue for venue, x in rows}.items():
        text += VENUE.format(market=market, ws=listening[venue]["ws"], http=listening[venue]["http"])
    return text + "".join(_instrument_text(x) for _, x in rows)


def _is_quoted(listing: dict) -> bool:
    return bool(listing["size"]) and (listing["recorded"] or (listing["market"], listing["symbol"]) in QUOTED)


def _instrument_text(listing: dict) -> str:
    """Limits and quote follow from the size of an order."""
    size, is_recorded = Decimal(listing["size"]), listing["recorded"]
    return INSTRUMENT.format(
        market=listing["market"],
        symbol=listing["symbol"],
        size=listing["size"],
        most=f"{size * 20:f}",
        most_value=f"{Decimal(listing['value']) * 20:.8f}",
        lean=f"{size * 5:f}",
        half_spread_ppm=RECORDED_PPM if is_recorded else SYNTHETIC_PPM,
        stale_ms=RECORDED_STALE_MS if is_recorded else SYNTHETIC_STALE_MS,
    )


def _start_sim(folder: Path, seed: int, recording: Path | None, instruments: Path | None) -> subprocess.Popen:
    argv = [sys.executable, "-m", "node.cli", "sim", "--json", "--seed", str(seed)]
    argv += ["--recording", str(recording)] if recording else []
    argv += ["--instruments", str(instruments)] if instruments else []
    with (folder / "sim.log").open("wb") as log:
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)


def _first_line(demo: Demo) -> dict:
    """Where the venues listen; where they do not start, their own last words."""
    line = demo.sim.stdout.readline()
    if not line:
        demo.sim.wait()
        raise UserError(_tail(demo.folder / "sim.log").removeprefix("tickgate: "))
    return json.loads(line)


def _watch(demo: Demo, tape: Path, summary: Summary, dials: DialWriter, seconds: float, quiet: bool) -> TapeReader:
    """Until the time is up: read the tape, draw the table, give advice, cut the line half way."""
    reader = _open(demo, tape)
    began_s = time.monotonic()
    advised_s = began_s
    live = contextlib.nullcontext() if quiet else Live(live_table(summary, 0, seconds), transient=True, auto_refresh=False)
    with live as screen:
        while (passed_s := time.monotonic() - began_s) < seconds:
            _drain(reader, summary)
            if demo.node.poll() is not None:
                raise UserError(f"the node stopped by itself: {_tail(demo.folder / 'node.log')}")
            if time.monotonic() - advised_s >= ADVICE_S:
                advised_s = time.monotonic()
                _advise(dials)
            if demo.rewind_due and summary.frames:
                demo.rewind_due = False
                _steer(demo, "rewind")
            if not demo.cut_at_s and passed_s >= seconds / 2:
                demo.cut_at_s = passed_s
                _steer(demo, f"cut {CUT[0]} {CUT[1]}")
            if screen is not None:
                screen.update(live_table(summary, passed_s, seconds), refresh=True)
            time.sleep(DRAW_S)
    return reader


def _steer(demo: Demo, command: str) -> None:
    demo.sim.stdin.write(command + "\n")
    demo.sim.stdin.flush()


def _open(demo: Demo, tape: Path) -> TapeReader:
    """The node's tape, as soon as there is one."""
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        if demo.node.poll() is not None:
            raise UserError(f"the node did not start: {_tail(demo.folder / 'node.log')}")
        with contextlib.suppress(TapeMissing, FileNotFoundError):
            reader = TapeReader(str(tape), follow=True)
            return reader
        time.sleep(0.05)
    raise UserError(f"the node did not start within {START_S:.0f} s: {_tail(demo.folder / 'node.log')}")


def _drain(reader: TapeReader, summary: Summary) -> None:
    while records := reader.poll(4096):
        for record in records:
            summary.feed(record)


def _advise(dials: DialWriter) -> None:
    """A stand-in for an advisor: quote a little wider, for as long as somebody keeps saying so."""
    now_ns = time.monotonic_ns()
    dials.set(0, [1200], now_ns, int(LEASE_S * 1e9))
    dials.set(1, [1000], now_ns, int(LEASE_S * 1e9))


def _stop(process: subprocess.Popen | None, what: str) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        raise UserError(f"{what} did not stop within {STOP_S:.0f} s") from None


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "no message"


if os.name != "posix":
    raise UserError("the demo needs a POSIX system")

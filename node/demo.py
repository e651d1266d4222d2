"""`tickgate demo`: simulated venues and a node as processes of their own, watched through the node's tape.

This process is the slow side in small: it tails the tape for the table and the report, writes the dials as a
stand-in for an advisor, and cuts one feed line half way. What the report says comes from the tape and, for
the check at its end, from the venues' own ledgers.
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

from rich.console import Console
from rich.live import Live

from ext.dials import DialLocked, DialMismatch, DialWriter
from ext.tape import TapeMissing, TapeReader
from node.config import is_perpetual
from node.errors import Failed, UserError
from node.main import write_config
from node.net.live import make_dials
from node.report import demo_json, live_table, print_report
from node.sim.play import LEVERAGE, limits_text, shown_limits_text, shown_tables_text, tables_text
from node.slow.summary import Summary

CUT = ("binance", "/public")  # whose newest connection is reset half way
START_S, STOP_S = 10.0, 10.0
READ_S = 120.0  # to look through a long recording
ADVICE_S, LEASE_S = 0.5, 1.0
DRAW_S = 0.2
DRILL_MS = 1500
OF_A_TAPE = re.compile(
    r"lock|beat(\.part)?|synced\.page(\.part)?|archiver\.lock|suspect\.json|control\.sock|latch\.json|guard\.(jsonl|lock)|[0-9]{8}\.(tape|tape\.new|torn|state)"
).fullmatch

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

POSITION, LEAN = 20, 5  # orders: the largest position, and the one at which quotes shift

HEAD = """\
# Written by `tickgate demo`: everything on loopback, nothing real.
mode = "sim"
strategy = "quoter"
deployment = "dm00"
loop = "epoll"
tape = {tape}
segment_mb = 16
dials = {dials}
drill_after_ms = {drill_ms}   # one order that no limit allows, to see the gate say no

"""
SIM = """\
# Written by `tickgate demo`: what the account of each simulated venue has.
[[account]]
balances = { USDT = "50000", BTC = "1", ETH = "10" }
wallets = { usdm = { USDT = "50000" } }
"""
KEY = "plain:simulated"
VENUE = """
[[venue]]
market = "{market}"
environment = "sim"
streams = ["{ws}", "{ws}"]   # two lines: either alone is enough
rest = "{http}"
orders = "{ws}"
key = {{ environment = "sim", api_key = "{key}", secret = "{key}", passphrase = "{key}" }}
"""
INSTRUMENT = """
[[instrument]]
market = "{market}"
symbol = "{symbol}"
{leverage}[instrument.limits]
{limits}[instrument.quote]
size_base = "{size}"
half_spread_ppm = {half_spread_ppm}
lean_base = "{lean}"
"""


@dataclass
class Demo:
    """The processes of one demo and what is known of them."""

    folder: Path
    sim: subprocess.Popen
    node: subprocess.Popen | None = None
    cut_at_s: float = 0.0
    rewind_due: bool = False  # a recording is to begin again once the node listens

    def check(self) -> None:
        """Raises where a process is gone."""
        _check(self.sim, "the simulated venues", self.folder / "sim.log")
        if self.node is not None:
            _check(self.node, "the node", self.folder / "node.log")

    def steer(self, command: str) -> None:
        """Tell the simulated venues something."""
        assert self.sim.stdin is not None
        try:
            self.sim.stdin.write(command.encode() + b"\n")
            self.sim.stdin.flush()
        except BrokenPipeError:
            self.sim.wait()
            self.check()


def run_demo(
    *,
    seconds: float,
    seed: int,
    recording: Path | None,
    instruments: Path | None,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Run it and print the report. Raises UserError, or Failed where a process ended early or the node and
    the venues disagree at the end."""
    # so that what is below cleans up
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    folder = _folder(keep)
    try:
        summary, ledgers = _run(folder, seconds, seed, recording, instruments, as_json)
        result = demo_json(summary, ledgers, seconds=seconds, seed=seed, cut=" ".join(CUT))
        if as_json:
            sys.stdout.write(json.dumps(result, indent=2) + "\n")
        else:
            print_report(result, Console(), kept=keep)
    finally:
        signal.signal(signal.SIGTERM, before)
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    if not result["agreed"]:
        raise Failed("the node's positions are not those in the venues' own ledgers")


def _folder(keep: Path | None) -> Path:
    """Where configs, logs and tape go. What an earlier demo left there makes room; anything else is left
    alone."""
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="tickgate-demo-"))
    check_keep(keep)
    try:
        keep = keep.absolute()  # the config lies in it, and paths in a config are from where it is
        keep.mkdir(parents=True, exist_ok=True)
        foreign = [x.name for x in (keep / "tape").glob("*") if not OF_A_TAPE(x.name)]
    except OSError as error:
        raise UserError(f"--keep {keep}: {error.strerror}") from None
    if foreign:
        raise UserError(f"--keep {keep}: tape/{foreign[0]} is not of a tape; name another directory")
    return keep


def check_keep(keep: Path | None) -> None:
    """Raises UserError where --keep names something that is no directory."""
    if keep is not None and keep.exists() and not keep.is_dir():
        raise UserError(f"--keep {keep}: is no directory: name one, or one to be made")


def _run(
    folder: Path, seconds: float, seed: int, recording: Path | None, instruments: Path | None, quiet: bool
):
    tape = folder / "tape"
    try:
        dials = _dials(folder / "dials")
        shutil.rmtree(tape, ignore_errors=True)
        sim = _start(folder / "sim.log", _sim_argv(folder, seed, recording, instruments))
        demo = Demo(folder, sim, rewind_due=recording is not None)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror or error}") from None
    try:
        listening = _listening(demo)
        _advise(dials)
        config = write_config(folder / "node.toml", config_text(listening, tape, folder / "dials", seconds))
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


def config_text(listening: dict, tape: Path, dials: Path, seconds: float = 7.0, *, wide: bool = False) -> str:
    """The node's config for these simulated venues: their addresses and listings, as `tickgate sim --json`
    tells them. `wide`: with limits that nothing meets, in place of those that show every control."""
    rows = [(venue, x) for venue, said in listening.items() for x in said["listings"] if _is_quoted(x)]
    drill_ms = min(DRILL_MS, int(seconds * 1000 / 8))
    text = HEAD.format(tape=_toml(tape), dials=_toml(dials), drill_ms=drill_ms)
    total = sum((Decimal(x["value"]) * POSITION for _, x in rows), Decimal(0))
    text += tables_text(orders=100) if wide else shown_tables_text(total)
    for market, venue in {x["market"]: venue for venue, x in rows}.items():
        text += VENUE.format(market=market, key=KEY, ws=listening[venue]["ws"], http=listening[venue]["http"])
    return text + "".join(_instrument_text(x, wide) for _, x in rows)


def _is_quoted(listing: dict) -> bool:
    return bool(listing["size"]) and (listing["recorded"] or (listing["market"], listing["symbol"]) in QUOTED)


def _instrument_text(listing: dict, wide: bool) -> str:
    """Limits and quote follow from the size of an order."""
    size, is_recorded = Decimal(listing["size"]), listing["recorded"]
    perpetual = is_perpetual(listing["market"], listing["symbol"])
    stale_ms = RECORDED_STALE_MS if is_recorded else SYNTHETIC_STALE_MS
    most, most_value = size * POSITION, Decimal(listing["value"]) * POSITION
    limits = shown_limits_text(
        most, most_value, perpetual=perpetual, is_recorded=is_recorded, stale_ms=stale_ms
    )
    if wide:
        limits = limits_text(
            f"{most:f}", f"{most_value:.8f}", perpetual=perpetual, collar_bps=50, stale_ms=stale_ms
        )
    return INSTRUMENT.format(
        market=listing["market"],
        symbol=listing["symbol"],
        leverage=f"leverage = {LEVERAGE[listing['market']]}\n" if perpetual else "",
        limits=limits,
        size=listing["size"],
        lean=f"{size * LEAN:f}",
        half_spread_ppm=RECORDED_PPM if is_recorded else SYNTHETIC_PPM,
    )


def _toml(path: Path) -> str:
    """A path as a TOML string: JSON's escapes are TOML's too."""
    return json.dumps(str(path), ensure_ascii=False)


def _dials(page: Path) -> DialWriter:
    """The dials of this demo; whoever holds them holds the directory. Raises UserError where another demo
    does."""
    try:
        return DialWriter(str(page), make_dials())
    except DialLocked:
        raise UserError(f"--keep {page.parent}: another demo is running there") from None
    except DialMismatch:  # of another version
        return DialWriter(str(page), make_dials(), replace=True)


def _sim_argv(folder: Path, seed: int, recording: Path | None, instruments: Path | None) -> list[str]:
    argv = ["sim", "--json", "--seed", str(seed)]
    if recording is None:  # coins of a recording are not known yet: it gets the venues' generous balances
        argv.append(str(write_config(folder / "sim.toml", SIM)))
    argv += ["--recording", str(recording)] if recording else []
    return argv + (["--instruments", str(instruments)] if instruments else [])


def _start(log: Path, argv: list[str]) -> subprocess.Popen:
    """A command as a process that ends when this one does, however it ends: its stdin ends then. The package
    is the one that runs here, whatever the working directory holds."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-P", "-m", "node.cli", *argv, "--until-eof"]
    with log.open("wb") as errors:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=os.environ | {"PYTHONPATH": path},
        )


def _check(process: subprocess.Popen, what: str, log: Path) -> None:
    """Raises where a process that should be running, or should have ended well, did not: UserError where it
    says that it was given something that cannot work, else Failed."""
    code = process.poll()
    if code == 0:
        raise Failed(f"{what} stopped before the end: {_tail(log)}")
    if code == 2:
        raise UserError(_tail(log))
    if code is not None and code < 0:
        raise Failed(f"{what} died: {signal.Signals(-code).name}")
    if code:
        raise Failed(f"{what} failed: {_tail(log)}")


def _listening(demo: Demo) -> dict:
    """Where the simulated venues listen and what they list: their first line."""
    assert demo.sim.stdout is not None
    patience_s = READ_S if demo.rewind_due else START_S
    if not select.select([demo.sim.stdout], [], [], patience_s)[0]:
        raise Failed(f"the simulated venues did not start within {patience_s:.0f} s")
    line = demo.sim.stdout.readline()
    if not line:
        demo.sim.wait()
        _check(demo.sim, "the simulated venues", demo.folder / "sim.log")
    return json.loads(line)["listening"]


def _watch(
    demo: Demo, tape: Path, summary: Summary, dials: DialWriter, seconds: float, quiet: bool
) -> TapeReader:
    """Until the time is up: read the tape, draw the table, give advice, cut the line half way."""
    reader = _open(demo, tape)
    began_s = time.monotonic()
    advised_s = began_s
    live = (
        contextlib.nullcontext()
        if quiet
        else Live(live_table(summary, 0, seconds), transient=True, auto_refresh=False)
    )
    with live as screen:
        while (passed_s := time.monotonic() - began_s) < seconds:
            _drain(reader, summary)
            demo.check()
            if time.monotonic() - advised_s >= ADVICE_S:
                advised_s = time.monotonic()
                _advise(dials)
            if demo.rewind_due and summary.frames:
                demo.rewind_due = False
                demo.steer("rewind")
            if not demo.cut_at_s and passed_s >= seconds / 2:
                demo.cut_at_s = passed_s
                demo.steer(" ".join(("cut", *CUT)))
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
    if not lines:
        return "no message"
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return str(json.loads(lines[-1])["error"])
    return lines[-1].removeprefix("tickgate: ")


if os.name != "posix":
    raise UserError("the demo needs a POSIX system")

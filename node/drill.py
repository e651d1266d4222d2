"""`tickgate drill`: how long open orders outlive a node that is stopped, killed or hung.

Simulated venues, a node and its guard run as processes of their own on loopback. The node gets its orders to
rest; then it is stopped in the middle. What is measured is what the venues have on their books, and the time
is split where the guard began to act. Then the node goes on, or starts again, and must send nothing. With
`flatten` it also holds a position on each perpetual, and the guard must close them: all of it, and no more.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from node.config import is_perpetual
from node.demo import START_S, _check, _tail, config_text
from node.errors import Failed, UserError
from node.main import write_config
from node.resting import EACH, HANG, TAKE
from node.sheet import narrow_table
from node.slow.guarding import JOURNAL

VARIANTS = {"stop": "SIGSTOP", "kill": "SIGKILL", "hang": "a busy loop"}
VENUES = ("binance", "bybit", "okx")
REST_S = 45.0  # for all orders to rest
ZERO_S = 60.0  # for none to be left
AFTER_S = 3.0  # how long a node that goes on is watched: it has its feeds back in less
END_S = 15.0
POLL_S = 0.005
SIM = """\
venues = {venues}
control = 0
[[account]]
[[account.key]]
api_key = "simulated"
secret = "simulated"
passphrase = "simulated"
[[account.key]]
api_key = "guard"
secret = "guard"
passphrase = "guard"
"""
GUARD = """
[guard]
stall_ms = {stall_ms}
on_stall = "{on_stall}"
keep_stops = false
"""
GUARD_KEY = (
    '{market} = {{ environment = "sim", api_key = "plain:guard",'
    ' secret = "plain:guard", passphrase = "plain:guard" }}\n'
)


@dataclass
class Stage:
    """The processes of one variant."""

    folder: Path
    sim: subprocess.Popen | None = None
    node: subprocess.Popen | None = None
    control: str = ""
    env: dict[str, str] = field(default_factory=dict)
    say: Callable[[str], None] = lambda text: None  # what is waited for now

    @property
    def tape(self) -> Path:
        return self.folder / "tape"

    def events(self) -> list[dict[str, Any]]:
        """What the guard wrote down."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.tape / JOURNAL).read_text().splitlines(keepends=True)
            return [json.loads(x) for x in lines if x.endswith("\n")]
        return []

    def ledgers(self) -> dict[str, dict[str, Any]]:
        """What each venue knows of each account, by "venue:account"."""
        with urllib.request.urlopen(f"{self.control}/truth", timeout=5) as answer:
            truth = json.load(answer)
        return {f"{name}:{x}": row for name, venue in truth.items() for x, row in venue.items()}

    def open_orders(self) -> int:
        """How many orders the venues have on their books."""
        return sum(len(row["open"]) for row in self.ledgers().values())

    def held(self) -> dict[str, int]:
        """Lots of each position, by venue, account, market, symbol and leg."""
        rows = self.ledgers().items()
        return {f"{x}:{k}": p["lots"] for x, row in rows for k, p in row["positions"].items() if p["lots"]}

    def fills(self) -> dict[str, dict[str, Any]]:
        """Every trade, by venue, account, market, symbol and its id."""
        return {f"{x}:{k}": fill for x, row in self.ledgers().items() for k, fill in row["fills"].items()}

    def check(self) -> None:
        """Raises where a process ended that should not have."""
        if self.sim is not None:
            _check(self.sim, "the simulated venues", self.folder / "sim.log")
        if self.node is not None:
            _check(self.node, "the node", self.folder / "node.log")

    def guards(self) -> list[int]:
        """Process ids of the guards that run here: also of one that did not come to say so yet."""
        argument = str(self.folder / "node.toml").encode()
        return [
            int(x.name) for x in Path("/proc").iterdir() if x.name.isdigit() and _has_argument(x, argument)
        ]

    def end(self) -> None:
        """Nothing of it is left, however far it came."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "hang").unlink()
        for process in (self.node, self.sim):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        for pid in self.guards():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def drill_command(
    *,
    orders: int,
    variants: list[str],
    venues: list[str],
    stall_ms: int,
    keep: Path | None = None,
    flatten: bool = False,
    progress: bool = False,
) -> dict[str, Any]:
    """Run each variant and return what `--json` prints; `flatten`: with positions that must be closed;
    `progress`: what is waited for is shown on stderr. Raises UserError, or Failed where a process ended early
    or orders never rested."""
    for name, given, known in (("variant", variants, tuple(VARIANTS)), ("venue", venues, VENUES)):
        for x in given:
            if x not in known:
                raise UserError(f"--{name} {x}: must be one of {', '.join(known)}")
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    folder = Path(tempfile.mkdtemp(prefix="tickgate-drill-")) if keep is None else keep
    names, rows = variants or list(VARIANTS), {}
    try:
        with _progress(progress) as say:
            for number, name in enumerate(names, 1):
                stage = Stage(folder / name)
                stage.say = partial(say, f"drill {number} of {len(names)}, {VARIANTS[name]}")
                rows[name] = _variant(stage, name, orders, venues or list(VENUES), stall_ms, flatten)
    except OSError as error:
        raise Failed(f"{folder}: {error}") from None
    finally:
        signal.signal(signal.SIGTERM, before)
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    return {
        "orders": orders,
        "venues": venues or list(VENUES),
        "stall_ms": stall_ms,
        "variants": rows,
        "seconds_to_zero": {name: row["seconds_to_zero"] for name, row in rows.items()},
        "passed": all(
            row["new_orders_after"] == 0 and row["latched"] and row["flat"] and row["trades_after"] == 0
            for row in rows.values()
        ),
    }


def print_drill(result: dict[str, Any], console: Console) -> None:
    """A table for people."""
    title = f"{result['orders']} open orders on {', '.join(result['venues'])}; times in seconds"
    table = narrow_table(
        ("node", "then", "positions"),
        ("until\nzero", "until\nnoticed", "then\ngone", "guard's\nrequests", "new\norders"),
        title,
    )
    for name, row in result["variants"].items():
        figures = [f"{row[x]:.3f}" for x in ("seconds_to_zero", "detect_s", "cancel_s")]
        exact = row["flat"] and row["trades_after"] == 0
        closed = f"{row['positions']} closed in {row['exits']} exits" if exact else "NOT FLAT, OR DOUBLED"
        table.add_row(
            VARIANTS[name],
            "latched" if row["latched"] else "NOT LATCHED",
            closed if row["positions"] else "none",
            *figures,
            str(row["requests"]),
            str(row["new_orders_after"]),
        )
    console.print(table)


@contextlib.contextmanager
def _progress(shown: bool) -> Iterator[Callable[[str, str], None]]:
    """A line on stderr with the time that has passed; what it yields sets its words: the run, what for."""
    columns = (TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not shown) as bar:
        task = bar.add_task("drill", total=None)
        yield lambda run, text: bar.update(task, description=f"{run}: {text}")


def _variant(
    stage: Stage, name: str, orders: int, venues: list[str], stall_ms: int, flatten: bool
) -> dict[str, Any]:
    shutil.rmtree(stage.folder, ignore_errors=True)
    stage.folder.mkdir(parents=True)
    try:
        _prepare(stage, orders, venues, stall_ms, flatten)
        row = _measure(stage, name)
        return row | _go_on(stage, name)
    finally:
        stage.end()


def _prepare(stage: Stage, orders: int, venues: list[str], stall_ms: int, flatten: bool) -> None:
    """Venues, node and guard run, all orders rest, and where it is asked for, each perpetual is held."""
    stage.say("starts venues and a node")
    sim_file = write_config(stage.folder / "sim.toml", SIM.format(venues=json.dumps(venues)))
    stage.sim = _start(stage, "sim.log", ["sim", str(sim_file), "--json"])
    listening, stage.control = _hello(stage)
    text, count = _config(stage, listening, stall_ms, "flatten" if flatten else "cancel")
    each = -(-orders // count)
    write_config(
        stage.folder / "node.toml",
        re.sub(r"max_open_orders = (?!1024)\d+", f"max_open_orders = {each}", text),
    )
    stage.env = {EACH: str(each), HANG: str(stage.folder / "hang")} | ({TAKE: "1"} if flatten else {})
    _run_node(stage)
    wanted, perpetuals = each * count, _perpetuals(text) if flatten else 0
    _until(stage, REST_S, lambda: stage.open_orders() >= wanted, f"{wanted} orders to rest")
    _until(stage, REST_S, lambda: len(stage.held()) >= perpetuals, f"{perpetuals} positions to be held")
    _until(stage, START_S, lambda: _has(stage, "ready"), "the guard to be ready")


def _perpetuals(text: str) -> int:
    rows = re.findall(r'^\[\[instrument\]\]\nmarket = "(.*)"\nsymbol = "(.*)"', text, flags=re.M)
    return sum(is_perpetual(market, symbol) for market, symbol in rows)


def _config(stage: Stage, listening: dict[str, Any], stall_ms: int, on_stall: str) -> tuple[str, int]:
    """The node's config, and how many instruments it trades."""
    text = config_text(listening, stage.tape, Path(), wide=True).replace(
        'strategy = "quoter"', 'strategy = "node.resting:Resting"'
    )
    text = re.sub(r"^(dials|drill_after_ms) = .*\n", "", text, flags=re.M)
    text = "strategy_timeout_ms = 10000\n" + text  # a loop that hangs must not be ended from inside
    markets = re.findall(r'^\[\[venue\]\]\nmarket = "(.*)"', text, flags=re.M)
    keys = "".join(GUARD_KEY.format(market=x) for x in markets)
    return text + GUARD.format(stall_ms=stall_ms, on_stall=on_stall) + "[guard.key]\n" + keys, text.count(
        "[[instrument]]"
    )


def _measure(stage: Stage, name: str) -> dict[str, Any]:
    """Strike the node; seconds until the venues have none of its orders."""
    assert stage.node is not None
    before, held, entries = stage.open_orders(), stage.held(), stage.fills()
    stage.say(f"the node is struck; waits for {before} orders to be gone")
    struck_ns = time.time_ns()
    if name == "hang":
        (stage.folder / "hang").touch()
    else:
        stage.node.send_signal(signal.SIGSTOP if name == "stop" else signal.SIGKILL)
    deadline_s = time.monotonic() + ZERO_S
    while stage.open_orders() or (held and stage.held()):
        if time.monotonic() > deadline_s:
            raise Failed(
                f"{stage.open_orders()} orders and {len(stage.held())} positions were still open "
                f"{ZERO_S:.0f} s behind {VARIANTS[name]}"
            )
        time.sleep(POLL_S)
    zero_ns = time.time_ns()
    stage.say("no order is left; waits for the guard to see that twice")
    end_s = time.monotonic() + ZERO_S
    while not _has(stage, "clear"):  # seen twice, by the guard
        if time.monotonic() > end_s:
            raise Failed(f"the guard did not say that all is clear: {_tail(stage.folder / 'node.log')}")
        time.sleep(POLL_S)
    events = {x["event"]: x for x in stage.events()}
    markets = events["clear"]["markets"]
    return {
        "orders": before,
        "seconds_to_zero": round((zero_ns - struck_ns) / 1e9, 3),
        "detect_s": round((events["act"]["at_ns"] - struck_ns) / 1e9, 3),
        "cancel_s": round((zero_ns - events["act"]["at_ns"]) / 1e9, 3),
        "confirmed_s": round((events["clear"]["at_ns"] - struck_ns) / 1e9, 3),
        "cancelled": sum(x["cancelled"] for x in markets.values()),
        "positions": len(held),
        "worst_bps": _worst_bps(entries, stage.fills()),
        "exits": sum(x["exits"] for x in markets.values()),
        "requests": sum(x["requests"] for x in markets.values()),
        "markets": markets,
    }


def _worst_bps(entries: dict[str, dict[str, Any]], fills: dict[str, dict[str, Any]]) -> int:
    """How much less the worst exit got than the last entry there paid, in basis points."""
    paid = {name.rpartition(":")[0]: x["price_ticks"] for name, x in entries.items()}
    got = [(paid[k.rpartition(":")[0]], x["price_ticks"]) for k, x in fills.items() if k not in entries]
    return max((-(-(entry - price) * 10_000 // entry) for entry, price in got), default=0)


def _go_on(stage: Stage, name: str) -> dict[str, Any]:
    """The node thaws, or starts again: it must be latched and send nothing."""
    assert stage.node is not None
    stage.say("the node goes on: it must be latched, and send nothing")
    trades = len(stage.fills())
    if name == "stop":
        stage.node.send_signal(signal.SIGCONT)
    elif name == "hang":
        (stage.folder / "hang").unlink()
    else:
        stage.node.wait()
        _run_node(stage)
    most = 0
    end_s = time.monotonic() + (AFTER_S if name != "kill" else AFTER_S + 3)
    while time.monotonic() < end_s:
        most = max(most, stage.open_orders())
        stage.check()
        time.sleep(POLL_S)
    flat, after = not stage.held(), len(stage.fills()) - trades
    latched = "by the guard" in (stage.folder / "node.log").read_text(errors="replace")
    stage.node.send_signal(signal.SIGTERM)
    try:
        stage.node.communicate(timeout=END_S)
    except subprocess.TimeoutExpired:
        raise Failed(f"the node did not end within {END_S:.0f} s") from None
    end_s = time.monotonic() + END_S
    while stage.guards() and time.monotonic() < end_s:
        time.sleep(0.05)
    return {
        "latched": latched,
        "new_orders_after": most,
        "flat": flat,
        "trades_after": after,
        "guard_ended": not stage.guards(),
    }


# ---- processes ----


def _start(stage: Stage, log: str, argv: list[str]) -> subprocess.Popen:
    """A command that ends with this one, unless it is stopped. What it says last stays with what it said
    before."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    with (stage.folder / log).open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "node.cli", *argv, "--until-eof"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=os.environ | {"PYTHONPATH": path} | stage.env,
            start_new_session=True,
        )


def _run_node(stage: Stage) -> None:
    stage.node = _start(stage, "node.log", ["run", str(stage.folder / "node.toml")])


def _hello(stage: Stage) -> tuple[dict[str, Any], str]:
    """Where the venues listen and are controlled: their first two lines."""
    assert stage.sim is not None
    assert stage.sim.stdout is not None
    lines = [stage.sim.stdout.readline() for _ in range(2)]
    if not all(lines):
        stage.sim.wait()
        stage.check()
    told = {k: v for line in lines for k, v in json.loads(line).items()}
    return told["listening"], told["control"]


def _until(stage: Stage, within_s: float, condition: Any, what: str) -> None:
    stage.say(f"waits for {what}")
    end_s = time.monotonic() + within_s
    while not condition():
        stage.check()
        if time.monotonic() > end_s:
            said = _tail(stage.folder / "node.log")
            raise Failed(f"waited {within_s:.0f} s for {what}; the node's last words: {said}")
        time.sleep(0.02)


def _has(stage: Stage, event: str) -> bool:
    return any(x["event"] == event for x in stage.events())


def _has_argument(process: Path, argument: bytes) -> bool:
    """Does that process run with this argument? The node is waited for and gone by then: what is left is its
    guard."""
    try:
        return argument in (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False

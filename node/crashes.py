"""`tickgate soak --crash`: the quoting node killed at every crash point, on every venue dialect, by seed,
in virtual time; the node that starts behind it must agree with the venue's ledger, and has sent nothing
before it was armed."""

import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import Progress

from ext.crash import Crashed, arm, disarm
from ext.crash import labels as all_labels
from ext.tape import TapeWriter
from node.assembly import MARKET_NAMES
from node.config import Config, is_perpetual
from node.errors import Failed, UserError
from node.recall import recall
from node.sheet import narrow_table
from node.sim.judge import differences_behind_a_restart
from node.sim.memory import MS, SEC, World, named_in
from node.soak import QUOTED, read_faults, soak_config

SEGMENT = 1 << 19  # small: segments change often
MARGIN_NS = 10 * SEC  # of the proof of absence: the least that the settings allow, so that runs stay short
READY_NS = 60 * SEC
STRIKE_NS = 40 * SEC
ARMED_NS = 60 * SEC
TRADE_NS = 4 * SEC
CALM_NS = 240 * SEC
STEP_NS = 10 * MS
TRIES = 120
STOPS = ("stop_requested", "stop_cancelled", "stop_flushed")
RARE = (*STOPS, "segment_rotate")
# dialect -> what the node quotes there
DIALECTS = {
    "binance-usdm": ("binance-usdm",),
    "binance-spot": ("binance-spot",),
    "bybit": ("bybit-linear", "bybit-spot"),
    "okx": ("okx",),
}


@dataclass
class Case:
    """One kill and what became of it. Times in seconds of venue time from the new start; None: not so
    within the time there was."""

    label: str
    dialect: str
    seed: int
    nth: int = 1
    struck: bool = False
    taken: int = 0  # orders that the tape did not show as closed
    armed_s: dict[str, float] = field(default_factory=dict)  # symbols without an order of unknown fate
    reduce_s: dict[str, float] = field(default_factory=dict)  # the others: from here on they could reduce
    resolved_s: float | None = None  # no order of unknown fate is left
    orders: int = 0  # that the venue took in both lives
    fills: int = 0
    too_early: list[str] = field(default_factory=list)  # new orders that left before their symbol was armed
    differences: list[str] = field(default_factory=list)

    @property
    def agreed(self) -> bool:
        return not self.differences and not self.too_early


def config_of(dialect: str) -> Config:
    """The node of a campaign: as the soak's, on one dialect."""
    return soak_config(tuple(x for x in QUOTED if x[0] in DIALECTS[dialect]))


def run_case(label: str, dialect: str, seed: int, faults: list[dict[str, Any]]) -> Case:
    """Trade, be killed at `label`, start again, trade, stop, and be compared."""
    draw = Random(f"{label} {dialect} {seed}")
    case = Case(label, dialect, seed, nth=draw.randint(1, 8))
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        before = _first(case, folder, draw, faults)
        before.kill(draw.randint(20, 2000) * MS)
        _drop(before)
        again = start(before, folder)
        _watch(again, case)
        _arm(again, case)
        again.run_for(TRADE_NS)
        _settle(again, case)
        again.engine.tape.close(again.now_ns)
        _drop(again)
    return case


def _memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _tape(folder: str, now_ns: int) -> TapeWriter:
    return TapeWriter(folder, now_ns=now_ns, segment_size=SEGMENT)


def start(before: World, folder: str, **more: Any) -> World:
    """A node starts on the tape in `folder` and the venues of `before`, which was killed."""
    recalled = recall(Path(folder))
    tape = _tape(folder, before.now_ns)
    settings = {"absence_margin_ns": MARGIN_NS} | more.pop("settings", {})
    for _ in range(TRIES):
        try:
            return World(
                before.config,
                seed=before.seed + 1000,
                keep_fakes=before,
                recalled=recalled,
                tape=tape,
                settings=settings,
                **more,
            )
        except ValueError:  # a venue under a fault, which does not list its instruments: once more
            before.live_on(SEC)
    raise Failed(f"the venue does not list its instruments for {TRIES} s")


def _first(case: Case, folder: str, draw: Random, faults: list[dict[str, Any]]) -> World:
    """The first life, up to the strike."""
    tape = _tape(folder, 1)
    world = World(
        config_of(case.dialect),
        seed=case.seed,
        faults=faults,
        tape=tape,
        settings={"absence_margin_ns": MARGIN_NS},
    )
    world.run_until(lambda: is_armed(world), READY_NS, STEP_NS)
    world.run_for(draw.randint(200, 6000) * MS)
    if case.label in RARE:
        case.nth = 1
    arm(case.label, case.nth)
    try:
        if case.label in STOPS:
            world.stop()
        world.run_for(STRIKE_NS)
    except Crashed:
        case.struck = True
    finally:
        disarm()
    return world


def is_armed(world: World) -> bool:
    """Did a complete pass agree for every symbol?"""
    return all("HALT_START" not in world.engine.risk.halts(i) for i in world.desk.numbers.values())


def _drop(world: World) -> None:
    """Engine and writer go as they are, like the memory of a process that was killed; the venues stay."""
    for name in ("engine", "desk", "outlet", "keeper", "control", "lines"):
        setattr(world, name, None)
    gc.collect()


def _watch(world: World, case: Case) -> None:
    """Every new order that leaves while its symbol is not armed."""
    write = world.outlet.taker

    def on_write(line: int, frame: bytes) -> None:
        name, action = named_in(frame.replace(b'"N', b'"n').replace(b'"R', b'"r').replace(b'"C', b'"c'))
        if action in (0, 3):  # NEW, REPLACE; the first of a batch stands for all of it
            market = world.lines[line].spec.market if line in world.lines else world.rest_of[line]
            whose = world.engine.orders.whose(*world.desk.wires[market].whose(name))
            row = world.engine.orders.order(whose)
            halts = world.engine.risk.halts(row["instrument"]) if row is not None else {}
            if "HALT_START" in halts or (halts and not row["reduce_only"]):
                case.too_early.append(f"{name} while {', '.join(halts)}")
        write(line, frame)

    world.outlet.taker = on_write


def _arm(world: World, case: Case) -> None:
    """Until every symbol is armed: when each was, and whether it then had an order of unknown fate."""
    began_ns = world.now_ns
    case.taken = len(world.recalled.tracked.open)
    left = {f"{MARKET_NAMES[m]} {symbol}": number for (m, symbol), number in world.desk.numbers.items()}
    while left and world.now_ns < began_ns + ARMED_NS:
        world.run_for(STEP_NS)
        for name, number in list(left.items()):
            halts = world.engine.risk.halts(number)
            if "HALT_START" in halts or not world.engine.equity.known:
                continue  # nothing new is risked before what everything is worth is known
            del left[name]
            into = case.reduce_s if "HALT_UNKNOWN" in halts else case.armed_s
            into[name] = (world.now_ns - began_ns) / SEC
    case.differences += [f"{name} was not armed within {ARMED_NS // SEC} s" for name in left]
    end_ns = began_ns + CALM_NS
    while world.now_ns < end_ns and _unknown(world):
        world.run_for(10 * STEP_NS)
    case.resolved_s = None if _unknown(world) else (world.now_ns - began_ns) / SEC


def _unknown(world: World) -> bool:
    orders = world.engine.orders
    return any(orders.order(x)["epoch"] != world.epoch for x in orders.open_orders())


def _settle(world: World, case: Case) -> None:
    """The faults stop, so does the strategy; then both sides are compared."""
    for fake in world.fakes.values():
        fake.faults.clear()
    world.engine.quiet(world.now_ns)
    for order_id in world.engine.orders.open_orders():
        world.engine.want_cancel(order_id, world.now_ns)
    assert world.keeper is not None
    world.run_for(2 * SEC)
    since_ns, end_ns = world.now_ns, world.now_ns + CALM_NS
    world.keeper.look_now(since_ns)
    while world.now_ns < end_ns and (
        not world.keeper.is_settled(since_ns) or differences_behind_a_restart(world)
    ):
        world.run_for(SEC)
    case.differences += differences_behind_a_restart(world)
    for market, venue in world.venue_of.items():
        truth = world.fakes[venue].truth(world.account(market))
        wire = world.desk.wires[market]
        case.orders += sum(n for c, n in truth["orders"].items() if wire.whose(c)[0])
        case.fills += sum(k.startswith(f"{int(market)}:") for k in truth["fills"])


# ---- the campaign ----


def campaign(
    labels: list[str],
    dialects: list[str],
    seeds: range,
    faults: list[dict[str, Any]],
    progress: Callable[[], None] = lambda: None,
) -> list[Case]:
    """Every label on every dialect with every seed."""
    out = []
    for label in labels:
        for dialect in dialects:
            for seed in seeds:
                out.append(run_case(label, dialect, seed, faults))
                progress()
    return out


def figures(cases: list[Case]) -> dict[str, Any]:
    """The campaign in numbers; times in seconds of venue time."""
    armed = sorted(s for x in cases for s in x.armed_s.values())
    reduce = sorted(s for x in cases for s in x.reduce_s.values())
    perpetuals = sorted(s for x in cases for k, s in x.armed_s.items() if is_perpetual(*k.split(" ")))
    resolved = sorted(x.resolved_s for x in cases if x.resolved_s is not None)
    return {
        "cases": len(cases),
        "struck": sum(x.struck for x in cases),
        "agreed": sum(x.agreed for x in cases),
        "orders_taken_over": sum(x.taken for x in cases),
        "orders": sum(x.orders for x in cases),
        "fills": sum(x.fills for x in cases),
        "armed_p50_s": share(armed, 50),
        "armed_p99_s": share(armed, 99),
        "armed_max_s": armed[-1] if armed else None,
        "armed": len(armed),
        "armed_perpetual_p99_s": share(perpetuals, 99),
        "with_unknown": len(reduce),
        "reduce_only_p99_s": share(reduce, 99),
        "resolved_p50_s": share(resolved, 50),
        "resolved_p99_s": share(resolved, 99),
        "unresolved": sum(x.resolved_s is None for x in cases),
    }


def share(values: list[float], percent: int) -> float | None:
    """The value below or at which so many per cent of sorted `values` are."""
    return values[max(-(-len(values) * percent // 100) - 1, 0)] if values else None


def crash_command(
    *, seeds: int, first_seed: int, faults: Path | None, label: str | None, as_json: bool
) -> dict[str, Any]:
    """Run the campaign; the result as data. Raises UserError. A table goes to stdout unless `as_json`."""
    if label is not None and label not in all_labels():
        raise UserError(f"--label {label}: must be one of {', '.join(all_labels())}")
    script, names = read_faults(faults), [label] if label else all_labels()
    total = len(names) * len(DIALECTS) * seeds
    began_s = time.monotonic()
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("kills", total=total)
        cases = campaign(
            names,
            list(DIALECTS),
            range(first_seed, first_seed + seeds),
            script,
            lambda: bar.advance(task),
        )
    result = figures(cases) | {
        "wall_s": round(time.monotonic() - began_s, 1),
        "labels": {x: figures([c for c in cases if c.label == x]) for x in names},
        "bad": [msgspec.to_builtins(x) for x in cases if not x.agreed],
    }
    if not as_json:
        print_table(cases, result, Console())
    return result


def print_table(cases: list[Case], result: dict[str, Any], console: Console) -> None:
    """One row for each label: kills, orders that the tape left open, venue time until trading was allowed
    where nothing was unknown any more, and until the last order of unknown fate was resolved."""
    headings = ("kills", "struck", "agreed", "left\nopen", "armed\np50, s", "armed\np99, s")
    table = narrow_table(("killed at",), (*headings, "resolved\np99, s"))
    for label, row in result["labels"].items():
        cells = [row[k] for k in ("cases", "struck", "agreed", "orders_taken_over")]
        times = [row[k] for k in ("armed_p50_s", "armed_p99_s", "resolved_p99_s")]
        table.add_row(label, *map(str, cells), *("-" if x is None else f"{x:.2f}" for x in times))
    console.print(table)
    for x in (c for c in cases if not c.agreed):
        for line in [*x.differences, *x.too_early]:
            console.print(
                f"[red]different[/red]: {x.label} {x.dialect} seed {x.seed}: {line}", highlight=False
            )


def verdict(result: dict[str, Any]) -> None:
    """Raises Failed where a case did not agree."""
    for x in result["bad"][:1]:
        raise Failed(
            f"soak: killed at {x['label']} on {x['dialect']}, node and venue differ for seed {x['seed']}; "
            f"--crash --label {x['label']} --first-seed {x['seed']} shows it again"
        )

"""`tickgate soak`: the quoting node on simulated venues under a mixed fault script, by seed, in virtual time;
at the end the venues' ledgers are the judge."""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import Progress

from ext.strategies.quoter import Quoter
from node.config import Config, check, is_perpetual
from node.errors import Failed, UserError
from node.sheet import narrow_table, put
from node.sim.judge import totals
from node.sim.memory import SEC, World
from node.sim.play import LEVERAGE, limits, tables
from node.venues.faults import FaultError, read_script

HERE = "ws://127.0.0.1:1"
STEP_NS = 5 * SEC
FEE_COIN, FEE_COIN_PRICE, FEE_COIN_AMOUNT = "BNB", 600, 50
CALM_NS = 150 * SEC  # after the faults stop: the proof of absence alone takes a minute
CALM_MOST_NS = 600 * SEC
# market, symbol, size of a quote, largest order and position, in base coins
QUOTED = (
    ("binance-spot", "BTCUSDT", "0.0005", "0.01"),
    ("binance-usdm", "BTCUSDT", "0.005", "0.1"),
    ("bybit-spot", "BTCUSDT", "0.0005", "0.01"),
    ("bybit-linear", "BTCUSDT", "0.005", "0.1"),
    ("okx", "BTC-USDT-SWAP", "0.005", "0.1"),
    ("okx", "BTC-USDT", "0.0005", "0.01"),
)


@dataclass
class Outcome:
    """What one seed came to. `differences` are lines; none is what is wanted."""

    seed: int
    venue_s: float
    wall_s: float
    orders: int = 0
    fills: int = 0
    unknown_met: int = 0
    unknown_left: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    @property
    def agreed(self) -> bool:
        return not self.differences and not self.unknown_left


def soak_config(quoted: tuple[tuple[str, str, str, str], ...] = QUOTED) -> Config:
    """A node that quotes on these markets of the simulated venues."""
    raw: dict[str, Any] = {"mode": "sim", **tables(orders=1000)}
    raw["coin"] = [{"name": FEE_COIN, "price_quote": str(FEE_COIN_PRICE)}]
    raw["venue"] = [
        {
            "market": name,
            "environment": "sim",
            "streams": [HERE, HERE],
            "rest": "http://127.0.0.1:1",
            "orders": HERE,
            "wallet": "bybit" if name.startswith("bybit") else "",
            "key": {"environment": "sim"}
            | dict.fromkeys(("api_key", "secret", "passphrase"), "plain:simulated"),
        }
        for name in dict.fromkeys(x[0] for x in quoted)
    ]
    raw["instrument"] = [
        {
            "market": market,
            "symbol": symbol,
            "limits": limits(
                most,
                "100000",
                perpetual=is_perpetual(market, symbol),
                collar_bps=100,
                stale_ms=5000,
                open_orders=6,
            ),
            "leverage": LEVERAGE[market] if is_perpetual(market, symbol) else None,
            "quote": {
                "size_base": size,
                "half_spread_ppm": 20,
                "requote_ppm": 60,
                "lean_base": most,
                "wait_ms": 400,
            },
        }
        for market, symbol, size, most in quoted
    ]
    config = msgspec.convert(raw, Config)
    check(config, "soak")
    return config


def read_faults(path: Path | None) -> list[dict[str, Any]]:
    """Rows of a fault script. Raises UserError."""
    if path is None:
        path = Path(__file__).parents[1] / "deploy" / "faults.toml"
    try:
        rows = read_script(path.read_text(), str(path))
        if not rows:
            raise UserError(f"{path}: there is no [[fault]] in it: nothing would be tried")
        return rows
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except FaultError as error:
        raise UserError(str(error)) from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text") from None


def run_seed(seed: int, venue_s: float, faults: list[dict[str, Any]], progress: Any = None) -> Outcome:
    """One run: trade for `venue_s` of venue time under faults, stop, let what is unknown be resolved, and
    compare."""
    began = time.monotonic()
    world = World(soak_config(), seed=seed, faults=faults)
    _third_coin(world)
    end_ns = world.now_ns + int(venue_s * SEC)
    while world.now_ns < end_ns:
        world.run_for(min(STEP_NS, end_ns - world.now_ns))
        if progress is not None:
            progress(STEP_NS / SEC)
    met = world.engine.orders.state_counts().get("UNKNOWN", 0)
    hits: Counter[str] = Counter()
    for fake in world.fakes.values():
        hits.update(fake.faults.counts)
    _settle(world)
    rows = totals(world)
    return Outcome(
        seed,
        venue_s,
        time.monotonic() - began,
        orders=sum(x["orders"] for x in rows),
        fills=sum(x["fills_venue"] for x in rows),
        unknown_met=met,
        unknown_left=sum(x["unknown"] > 0 for x in rows),
        faults=dict(sorted(hits.items())),
        rows=rows,
        differences=world.differences() + _unsettled(world),
    )


def _third_coin(world: World) -> None:
    """Every wallet holds a coin that nothing here trades, in which fees may be paid."""
    for market, venue in world.venue_of.items():
        account = world.account(market)
        account.fee_prices[FEE_COIN] = Decimal(FEE_COIN_PRICE)
        for listing in world.fakes[venue].listings.values():
            account.balance(FEE_COIN, listing.wallet).total = Decimal(FEE_COIN_AMOUNT)


def _settle(world: World) -> None:
    """The faults stop, so does the strategy; every order is cancelled, and every doubt is resolved or stays
    on record."""
    for fake in world.fakes.values():
        fake.faults.clear()
    world.engine.quiet(world.now_ns)
    for order_id in world.engine.orders.open_orders():
        world.engine.want_cancel(order_id, world.now_ns)
    world.run_for(CALM_NS)
    assert world.keeper is not None
    since_ns, end_ns = world.now_ns, world.now_ns + CALM_MOST_NS
    world.keeper.look_now(since_ns)
    while world.now_ns < end_ns and (world.differences() or not world.keeper.is_settled(since_ns)):
        world.run_for(STEP_NS)


def _unsettled(world: World) -> list[str]:
    """Orders, positions and balances must have been compared once more, behind everything that happened."""
    assert world.keeper is not None
    return [] if world.keeper.is_settled() else ["the keeper has not settled"]


def soak_command(
    *, seeds: int, first_seed: int, minutes: float, faults: Path | None, as_json: bool
) -> dict[str, Any]:
    """Run the seeds; the result as data. Raises Failed, behind the report, where a seed ended with a
    difference."""
    script = read_faults(faults)
    console = Console(stderr=True)
    outcomes = []
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("venue time", total=seeds * minutes * 60)
        for seed in range(first_seed, first_seed + seeds):
            outcomes.append(run_seed(seed, minutes * 60, script, lambda s: bar.advance(task, s)))
    result = {
        "strategy": Quoter.__name__.lower(),
        "minutes": minutes,
        "agreed": all(x.agreed for x in outcomes),
        "seeds": [msgspec.to_builtins(x) | {"agreed": x.agreed} for x in outcomes],
    }
    if not as_json:
        print_report(outcomes, Console())
    return result


def print_report(outcomes: list[Outcome], console: Console) -> None:
    """What the venues counted and what the node counted, side by side."""
    for x in outcomes:
        table = narrow_table(
            ("instrument",),
            ("orders", "fills\nvenue", "fills\nnode", "lots\nvenue", "lots\nnode", "unknown"),
            f"seed {x.seed}: {x.venue_s / 60:g} min of venue time",
        )
        for row in x.rows:
            table.add_row(
                f"{row['market']} {row['symbol']}",
                *(
                    str(row[k])
                    for k in ("orders", "fills_venue", "fills_node", "lots_venue", "lots_node", "unknown")
                ),
            )
        put(table, console)
        for line in _faults(x.faults):
            console.print(line, highlight=False)
        console.print(f"orders of unknown fate met {x.unknown_met}, left {x.unknown_left}", highlight=False)
        for line in x.differences:
            console.print(f"[red]different[/red]: {line}", soft_wrap=True, highlight=False)
        console.print(
            _agreement(x),
            highlight=False,
        )


def _faults(counts: dict[str, int]) -> Iterator[str]:
    """Those that struck, the most frequent first; of the others their names alone."""
    struck = sorted((-n, name) for name, n in counts.items() if n)
    yield "faults that struck: " + (", ".join(f"{-n} {name}" for n, name in struck) or "none")
    idle = [name for name, n in counts.items() if not n]
    if idle:
        yield f"faults without an occasion in this time: {', '.join(idle)}"


def _agreement(x: Outcome) -> str:
    if not x.agreed:
        return "[red]venues and node do NOT agree[/red]"
    return "venues and node agree" if x.fills else "nothing filled: there is nothing to compare"


def verdict(result: dict[str, Any]) -> None:
    """Raises Failed where a seed did not agree, UserError where one had no time to trade: nothing was
    tried."""
    idle = [x["seed"] for x in result["seeds"] if x["agreed"] and not x["fills"]]
    if idle:
        raise UserError(
            f"soak: --minutes {result['minutes']:g} was too short: nothing filled for seed "
            f"{', '.join(map(str, idle))}, so nothing was tried; half a minute is enough"
        )
    bad = [x["seed"] for x in result["seeds"] if not x["agreed"]]
    if bad:
        raise Failed(
            f"soak: venues and node differ for seed {', '.join(map(str, bad))};"
            f" --first-seed {bad[0]} shows it again"
        )

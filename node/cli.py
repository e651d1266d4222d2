"""The command line: `tickgate COMMAND`. Every error of the user's is one line and exit code 2; an unreachable
venue is 4."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from typer.exceptions import TyperException

from node.errors import Failed, HeldBack, Unreachable, UserError, cause
from node.sheet import sheet
from node.tapes import tapes

if TYPE_CHECKING:
    from node.backtest.tapes import Named
    from node.venues.keys import Key

app = typer.Typer(
    name="tickgate", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
)  # fmt: skip
app.add_typer(tapes, name="tape")
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
UntilEof = Annotated[
    bool, typer.Option("--until-eof", hidden=True, help="Stop where standard input ends: with the parent.")
]
Target = Annotated[Path, typer.Argument(help="Config file of the node, or the directory of its tape.")]
Reason = Annotated[str, typer.Option(help="Why: recorded.")]
Wait = Annotated[bool, typer.Option("--wait", help="Until it is done, and say how long that took.")]
SINCE = (
    "From then on: a time (2026-11-20, 2026-11-20T16:09:36, UTC), or a duration (90s, 15m, 36h, 7d) before "
    "now, or before the end of a tape that ended earlier."
)
SYMBOL = "of this symbol only, on every venue (BTCUSDT) or on one ('bybit-linear BTCUSDT')."
WAIT_S = 30.0
Files = Annotated[
    list[Path],
    typer.Argument(
        help="Recordings, in the order in which they are to be replayed; or tapes: their directories, or the "
        "configs (*.toml) of their nodes."
    ),
]


def print_json(result: object) -> None:
    """A result as one indented JSON document. (`sim` and `run` go on: they write a line for each thing that
    happens.)"""
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def _version(asked: bool) -> None:
    if asked:
        from ext import build_id

        print(f"tickgate {version('tickgate')}, build {build_id()}")
        raise typer.Exit


@app.callback()
def tickgate(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Version and build, and leave."),
    ] = False,
) -> None:
    """A low-latency crypto execution node: run it, measure it, dry-run it."""


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(min=6, max=3600, help="How long to trade.")] = 7.0,
    seed: Annotated[int, typer.Option(help="Seed of the synthetic market.")] = 1,
    recording: Annotated[Path | None, typer.Option(help="Move the market by this recording instead.")] = None,
    instruments: Annotated[Path | None, typer.Option(help="Tick and lot for --recording.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep configs, logs and tape in this directory.")] = None,
    as_json: Json = False,
    until_eof: UntilEof = False,
) -> None:
    """Simulated venues on loopback, a node trading on them, and a report. No keys, no network."""
    from node.demo import run_demo

    run_demo(
        seconds=seconds, seed=seed, recording=recording, instruments=instruments, keep=keep, as_json=as_json
    )


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="Config file (TOML).")],
    accept_limits: Annotated[
        bool,
        typer.Option("--accept-limits", help="Start though limits are much looser than in the last run."),
    ] = False,
    as_json: Json = False,
    until_eof: UntilEof = False,
) -> None:
    """The node, until SIGTERM or Ctrl-C."""
    from node.config import load
    from node.main import run_node

    run_node(load(config), as_json=as_json, until_eof=until_eof, path=config, accept_limits=accept_limits)


@app.command()
def status(target: Target, as_json: Json = False) -> None:
    """What a running node holds, and what holds it back."""
    from node.operate import ask_running, durable, tape_of
    from node.shown import print_status

    tape = tape_of(target)
    answer = _done(ask_running(tape, {"do": "status"}) | {"synced": durable(tape)}, as_json)
    if not as_json:
        print_status(answer, Console())


@app.command()
def halt(target: Target, reason: Reason = "", wait: Wait = False, as_json: Json = False) -> None:
    """Cancel everything and take no new risk, until `resume`; also of a node that does not run."""
    _hold("halt", target, reason, wait, as_json)


@app.command()
def flatten(target: Target, reason: Reason = "", wait: Wait = False, as_json: Json = False) -> None:
    """Like halt, and close every position."""
    _hold("flatten", target, reason, wait, as_json)


@app.command()
def resume(
    target: Target,
    reason: Annotated[str, typer.Option(help="Why it may go on: recorded, and required.")] = "",
    reset_peak: Annotated[
        bool, typer.Option("--reset-peak", help="Measure drawdown from the equity as it is now.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Let a node go on that was halted, flattened or stopped by a loss, unless the cause still holds."""
    from node.operate import ask_running, tape_of

    if not reason.strip():
        raise UserError("resume: give a reason (--reason TEXT): it is recorded")
    request = {"do": "resume", "reason": reason, "reset_peak": reset_peak}
    answer = _done(ask_running(tape_of(target), request), as_json)
    if not as_json:
        print(f"resumed; cleared: {', '.join(answer['cleared']) or 'nothing was held'}")
        for line in answer["held"]:
            print(f"still {line}")


@app.command()
def stop(target: Target, wait: Wait = False, as_json: Json = False) -> None:
    """End a running node in order: it cancels what is open."""
    from node.operate import ask, left_text, stop_done, tape_of

    tape, since_ns = tape_of(target), time.time_ns()
    answer = ask(tape, {"do": "stop"})
    if wait and answer["ok"]:
        answer = stop_done(tape, answer, since_ns, WAIT_S)
    _done(answer, as_json)
    if not as_json:
        took = f"stopped after {answer['took_s']} s" if wait else "stopping"
        print(f"{took}: {left_text(answer)}")


@app.command()
def limits(target: Target, as_json: Json = False) -> None:
    """Let a running node take over the limits of its config file, where they are tighter."""
    from node.operate import ask, tape_of
    from node.shown import changes_table, print_limits

    file = {} if target.is_dir() else {"file": str(target.absolute())}
    answer = ask(tape_of(target), {"do": "limits"} | file)
    if not answer["ok"] and not as_json and answer.get("changes"):
        console = Console(stderr=True)
        console.print("limits of the file that are looser than those in force:")
        console.print(changes_table(answer["changes"]))
    _done(answer, as_json)
    if not as_json:
        print_limits(answer, Console())


def _hold(name: str, target: Path, reason: str, wait: bool, as_json: bool) -> None:
    from node.operate import held_text, hold, hold_done, tape_of

    tape = tape_of(target)
    answer = hold(tape, name, reason, None if target.is_dir() else target)
    if wait and answer["ok"]:
        progress = (lambda text: None) if as_json else _progress
        answer = hold_done(tape, name, answer, WAIT_S, progress)
    _done(answer, as_json)
    if not as_json:
        print(held_text(answer))


def _progress(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads it
        print(f"tickgate: {text}", file=sys.stderr, flush=True)


def _done(answer: dict, as_json: bool) -> dict:
    """A reply that is one; the exit code that it asks for where it is not."""
    if as_json:
        print_json(answer)
        if not answer["ok"]:
            sys.stdout.flush()
            sys.exit(answer["code"])
    elif not answer["ok"]:
        _fail(answer.get("error", "the node refused"), answer["code"])
    elif "warning" in answer and "latch_file" not in answer:
        print(f"tickgate: {answer['warning']}", file=sys.stderr)
    return answer


@app.command()
def guard(
    config: Annotated[Path, typer.Argument(help="Config file (TOML) of the node, with \\[guard].")],
    node: Annotated[int, typer.Option(hidden=True, help="The node's process id: end with it.")] = 0,
    as_json: Json = False,
) -> None:
    """Watch a node from a process of its own; cancel its orders by REST when it stands still or is gone."""
    from node.config import load
    from node.main import run_guard

    run_guard(load(config), as_json=as_json, node_pid=node)


@app.command()
def archive(
    config: Annotated[Path, typer.Argument(help="Config file (TOML) of the node, with \\[archive].")],
    once: Annotated[bool, typer.Option("--once", help="Do what is due now, and end.")] = False,
    node: Annotated[int, typer.Option(hidden=True, help="The node's process id: end with it.")] = 0,
    as_json: Json = False,
) -> None:
    """Look after a tape from a process of its own: make it durable, compress, chain and sign it, delete
    what is old."""
    from node.config import load
    from node.main import run_archiver

    if config.is_dir():
        raise UserError(
            f"{config}: is a directory: name the config of its node, whose [archive] says what is kept and "
            "for how long"
        )
    done = run_archiver(load(config), as_json=as_json, node_pid=node, once=once)
    if once and as_json:
        print_json(done)
    elif once:
        print(
            f"{done['archived']} segments archived; the archive ends at sequence {done['sequence']}; "
            f"{done['waiting']} closed segments wait"
        )


@app.command()
def drill(
    orders: Annotated[int, typer.Option(min=1, max=200, help="Resting orders, over all venues.")] = 50,
    variant: Annotated[
        list[str] | None, typer.Option(help="stop, kill or hang; all where left out. May be repeated.")
    ] = None,
    stall_ms: Annotated[int, typer.Option(min=200, max=60_000, help="Silence that is too long.")] = 1000,
    venue: Annotated[
        list[str] | None, typer.Option(help="binance, bybit or okx; all where left out. May be repeated.")
    ] = None,
    flatten: Annotated[
        bool, typer.Option("--flatten", help="Hold positions too: the guard must close them.")
    ] = False,
    keep: Annotated[Path | None, typer.Option(help="Keep configs, logs and tapes in this directory.")] = None,
    as_json: Json = False,
) -> None:
    """Stop, kill and hang a node with resting orders on simulated venues; seconds until none is open."""
    from node.demo import check_keep
    from node.drill import drill_command, print_drill

    check_keep(keep)
    result = drill_command(
        orders=orders,
        variants=variant or [],
        venues=venue or [],
        stall_ms=stall_ms,
        keep=keep,
        flatten=flatten,
        progress=sys.stderr.isatty(),
    )
    if as_json:
        print_json(result)
    else:
        print_drill(result, Console())
    if not result["passed"]:
        _fail("the drill did not end as it must: see the rows that say so", 1)


@app.command()
def sim(
    config: Annotated[
        Path | None, typer.Argument(help="Config file (TOML); the built-in venues where left out.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the synthetic market.")] = None,
    recording: Annotated[Path | None, typer.Option(help="Move the market by this recording instead.")] = None,
    instruments: Annotated[Path | None, typer.Option(help="Tick and lot for --recording.")] = None,
    as_json: Json = False,
    until_eof: UntilEof = False,
) -> None:
    """Simulated venues on loopback, until SIGTERM or Ctrl-C. Prints where they listen."""
    from node.main import run_sim
    from node.sim.command import sim_command

    serve = sim_command(
        config, seed=seed, recording=recording, instruments=instruments, as_json=as_json, until_eof=until_eof
    )
    run_sim(serve)


@app.command()
def replay(
    files: Files,
    instruments: Annotated[
        Path | None, typer.Option(help="Tick and lot where a recording does not tell.")
    ] = None,
    market: Annotated[str | None, typer.Option(help="Market of raw recordings that do not show it.")] = None,
    at: Annotated[
        int | None, typer.Option(min=1, help="Dump the books after this many frames, and stop.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="Tapes: begin with the run at this sequence or UTC time.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Tapes: stop behind this sequence or UTC time.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Tapes: config of the node, whose keys sign again what it signed."),
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(help="Tapes: what this one would have done (a name, or module:Class).")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Tapes: strategy.NAME=VALUE or limits.[SCOPE.]KEY=VALUE. May be repeated."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Recordings through the same engine as live: books, counts, hashes. Or tapes (directories, or configs of
    nodes): every run again, compared with what it did; of a node that runs, up to the last whole record."""
    tapes = [x.is_dir() or x.suffix == ".toml" for x in files]
    if any(tapes):
        if not all(tapes):
            other = files[tapes.index(False)]
            raise UserError(f"{other}: is a recording, {files[tapes.index(True)]} a tape: one kind at a time")
        if instruments or market or at:
            raise UserError(
                "a tape is replayed by itself: --instruments, --market and --at are for recordings"
            )
        _replay_tapes(files, since, until, config, strategy, changes or [], as_json)
        return
    if since or until or config or strategy or changes:
        raise UserError(
            "--from, --until, --config, --strategy and --set are for tapes: name the directory of one, or "
            "the config of its node"
        )
    from node.backtest.replay import replay_command

    result = replay_command(
        files, instruments=instruments, market=market, at=at, progress=sys.stderr.isatty()
    )
    if as_json:
        print_json(result.to_json())
    else:
        result.print(Console())
    if result.refused:
        raise Failed(f"{len(result.refused)} of {len(files)} not replayed: {result.refused[0]}")


def _replay_tapes(
    files: list[Path],
    since: str | None,
    until: str | None,
    config: Path | None,
    strategy: str | None,
    changes: list[str],
    as_json: bool,
) -> None:
    from node.backtest.tapes import print_result, tapes_command
    from node.backtest.whatif import settings_of

    named = _namer(config)
    alone = config or (files[0] if len(files) == 1 and files[0].is_file() else None)
    folder = None if alone is None else alone.parent
    settings = settings_of(strategy, changes, folder) if strategy or changes else None
    result = tapes_command(
        files, since=since, until=until, named=named, progress=sys.stderr.isatty(), settings=settings
    )
    if as_json:
        print_json(result.to_json())
    else:
        print_result(result, Console())
    if any(x.refused for x in result.tapes) or not (result.is_identical or settings):
        raise Failed(result.first_trouble())


def _namer(config: Path | None) -> Callable[[Path], "Named"]:
    """What a FILE means that is a tape's directory or a node's config. Keys are `config`'s where it is given,
    else that node's; an auditor who has no secrets replays without them."""
    from node.backtest.tapes import Named
    from node.operate import tape_of

    def keys_of(path: Path) -> dict[int, "Key"]:
        from node.config import MARKETS, load
        from node.credentials import read_key

        return {
            MARKETS[x.market]: read_key(x.key, f"venue {x.market}")
            for x in load(path).venue
            if x.key is not None
        }

    given = None if config is None else keys_of(config)

    def named(path: Path) -> Named:
        if path.is_dir() or given is not None:
            beside = config if path.is_dir() else path
            return Named(tape_of(path), given, None if beside is None else beside.parent)
        try:
            return Named(tape_of(path), keys_of(path), path.parent)
        except UserError as error:
            return Named(tape_of(path), None, path.parent, (f"signatures are not compared: {error}",))

    return named


@app.command()
def audit(
    target: Target,
    order: Annotated[
        str, typer.Argument(help="Client id, venue's id or number of an order; #RECORD for a refused one.")
    ] = "",
    since: Annotated[str, typer.Option(help=f"Orders that were heard of since. {SINCE}")] = "",
    until: Annotated[str, typer.Option(help="Orders begun until then, in the same forms.")] = "",
    symbol: Annotated[str, typer.Option(help=f"Orders {SYMBOL}")] = "",
    as_json: Json = False,
) -> None:
    """The whole story of an order from the tape alone; without ORDER, the orders of a time, one line each."""
    from node.operate import tape_of
    from node.slow.audit import audit_list, audit_order, order_json, story_json
    from node.slow.telling import print_list, print_story

    if order and (since or until or symbol):
        raise UserError("audit: name an order, or a time and a symbol, not both")
    found = (
        audit_order(tape_of(target), order) if order else audit_list(tape_of(target), since, until, symbol)
    )
    if as_json:
        told = [story_json(x, found) if order else order_json(x) for x in found.orders]
        print_json({"orders": told, "torn": found.torn, "damage": found.damage})
    elif order:
        print_story(found, sheet(100))
    else:
        print_list(found, sheet(100))
    found.check()


@app.command()
def trades(
    target: Target,
    csv: Annotated[Path | None, typer.Option(help="Write the rows to this file, as CSV.")] = None,
    since: Annotated[str, typer.Option(help=SINCE)] = "",
    symbol: Annotated[str, typer.Option(help=f"Rows {SYMBOL}")] = "",
    as_json: Json = False,
) -> None:
    """Fills and realised profit by FIFO lots, with fees and funding: what a tax return asks for."""
    from node.operate import tape_of
    from node.slow.trades import print_trades, trades_of, write_csv

    found = trades_of(tape_of(target), since=since, symbol=symbol)
    if csv is not None:
        write_csv(found, csv)
    if as_json:
        print_json(found.to_json())
    else:
        print_trades(found, sheet(100), rows=csv is None)
    found.check()


@app.command()
def record(
    source: Annotated[Path, typer.Argument(help="Config file (TOML); with --from-tape a tape's directory.")],
    out: Annotated[Path, typer.Option(help="Directory for the recordings.")] = Path("recordings"),
    seconds: Annotated[float, typer.Option(min=0, help="Stop after so long; 0 = until Ctrl-C.")] = 0.0,
    form: Annotated[str, typer.Option(help="json: all there is; raw: lines of receive time and frame.")] = (
        "json"
    ),
    pack: Annotated[str, typer.Option(help="zst, gz or none.")] = "zst",
    file_mb: Annotated[int, typer.Option(min=1, max=100_000, help="A file ends when it is so large.")] = 512,
    file_minutes: Annotated[int, typer.Option(min=1, max=10_080, help="... or so old.")] = 60,
    from_tape: Annotated[
        bool, typer.Option("--from-tape", help="Take the market data of a tape instead.")
    ] = False,
    as_json: Json = False,
    until_eof: UntilEof = False,
) -> None:
    """Market data as it comes, in files that `tickgate replay` reads. No keys, no orders."""
    from node.main import run_recorder
    from node.net.recording import Options

    options = Options(out, form, pack, file_mb, 60 * file_minutes, seconds)
    if from_tape:
        from node.backtest.extract import extract

        result = extract(source, out, form=form, pack=pack)
    else:
        from node.config import load

        result = run_recorder(load(source), options, as_json=as_json, path=source, until_eof=until_eof)
    if as_json:
        print_json(result)
    else:
        print(
            f"{result['frames']} frames, {result['written_bytes']} bytes, in {len(result['files'])} "
            "recordings, each with a file of its instruments:"
        )
        for path in sorted(result["files"] + result["instruments"]):
            print(path)


@app.command()
def soak(
    seeds: Annotated[
        int, typer.Option(min=1, max=100_000, help="How many runs, each with a seed of its own.")
    ] = 1,
    minutes: Annotated[float, typer.Option(min=0.1, max=1440, help="Venue time of each run.")] = 10.0,
    first_seed: Annotated[
        int, typer.Option(help="Seed of the first run; the same seed is the same run.")
    ] = 1,
    faults: Annotated[Path | None, typer.Option(help="Fault script (TOML) instead of the mixed one.")] = None,
    crash: Annotated[
        bool, typer.Option("--crash", help="Kill the node at every crash point on every venue instead.")
    ] = False,
    label: Annotated[str | None, typer.Option(help="With --crash: only at this crash point.")] = None,
    as_json: Json = False,
) -> None:
    """The node on three simulated venues under faults, in virtual time; the venues' ledgers judge."""
    from node.soak import soak_command, verdict

    if label is not None and not crash:
        raise UserError("soak: --label names a crash point: it goes with --crash")
    if crash:
        from node import crashes

        result = crashes.crash_command(
            seeds=seeds, first_seed=first_seed, faults=faults, label=label, as_json=as_json
        )
        if as_json:
            print_json(result)
        crashes.verdict(result)
        return

    result = soak_command(seeds=seeds, first_seed=first_seed, minutes=minutes, faults=faults, as_json=as_json)
    if as_json:
        print_json(result)
    verdict(result)


@app.command()
def bench(
    names: Annotated[
        list[str] | None, typer.Argument(help="book, risk, stop, encode, tape, wire; all where left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The latency suite."""
    from bench import check_names

    check_names(names or [])
    try:
        from bench import suite
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in ("bench", "ext", "node"):
            raise  # ours
        _fail(
            f"bench needs {error.name}, which is not installed: `make bench` installs what the benches "
            f"compare with, or `pip install {error.name}`",
            1,
        )
    from bench.conditions import BenchError
    from bench.node import node_command

    console = Console(stderr=True)
    try:
        with node_command("spin") as node:
            result = suite.run(
                names or [],
                node=node,
                node_options={
                    "node_logon": partial(node, logon=True),
                    "node_two_lines": partial(node, lines=2),
                },
                progress=lambda text: console.print(f"[dim]{text}[/dim]"),
            )
    except BenchError as error:
        _fail(error, 1)
    if as_json:
        print_json(result)
    else:
        suite.print_tables(result, Console())


def main() -> None:
    """Entry point: turns the errors that have a message for a person into one line and an exit code."""
    try:
        try:
            code = app(standalone_mode=False)
        finally:
            sys.stdout.flush()  # here, where a reader that is gone can be dealt with
        sys.exit(code if isinstance(code, int) else 0)
    except TyperException as error:
        _usage(error)
    except typer.Abort:
        sys.exit(130)
    except UserError as error:
        _fail(error, 2)
    except HeldBack as error:
        _fail(error, 3)
    except Failed as error:
        _fail(error, 1)
    except Unreachable as error:
        _fail(error, 4)
    except ImportError as error:
        if error.name is not None:  # a package that is missing is our fault, and wants its traceback
            raise
        _fail(error, 1)  # the native code is not built, or older than its sources
    except BrokenPipeError:
        _drop_output()
        sys.exit(1)
    except OSError as error:
        _drop_output()
        _fail(f"{error.filename or 'standard output'}: {cause(error)}", 1)


def _drop_output() -> None:
    """What is still buffered has nowhere to go."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage(error: TyperException) -> None:
    """Bad usage, in one line; help where no command was given at all."""
    text = error.format_message()
    if not text.strip():  # the help was printed already
        sys.exit(2)
    if "Usage:" in text:
        print(text)
        sys.exit(2)
    _fail(f"{text} (see `tickgate --help`)", 2)


def _fail(error: Exception | str, code: int) -> None:
    """One line on standard error; with --json one object: standard output may have a result already."""
    text = " ".join(str(error).split())
    told = json.dumps({"error": text, "code": code}) if "--json" in sys.argv[1:] else f"tickgate: {text}"
    with contextlib.suppress(OSError):  # nobody reads: the code must still tell
        print(told, file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()

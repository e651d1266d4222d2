"""Processes: what runs inside `tickgate run` and `tickgate sim`, with their signals."""

import asyncio
import contextlib
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import uvloop

from node.companion import Companion, tickgate
from node.config import Config
from node.errors import Failed, HeldBack, UserError
from node.net.dump import Dump
from node.net.live import Left, Node
from node.net.recording import Options, Recorder
from node.phrases import count, resume_command
from node.shown import show_limits
from node.states import is_good, keep

GUARD_AGAIN_S = (
    60.0  # a guard that died too often is tried again so much later: nobody else clears the venues
)


def run_node(
    config: Config,
    *,
    as_json: bool,
    until_eof: bool = False,
    path: Path | None = None,
    accept_limits: bool = False,
) -> None:
    """Run a node until SIGTERM or SIGINT (`until_eof`: or the end of stdin, so that it does not outlive its
    parent). The limits in force and what happens are told on stderr. `path`, `accept_limits`: as of
    `Node`. With [guard] in the config, a guard of its own watches it from another process, with [archive] an
    archiver looks after its tape; neither is started for a node that cannot be. Raises UserError, Failed
    where orders were left that are not known to be closed, HeldBack where a latch held at the end."""
    tell = _teller(as_json)
    companions: list[Companion] = []

    def start_companions() -> None:
        if path is not None and config.guard is not None:
            companions.append(_companion("guard", path, tell, as_json, GUARD_AGAIN_S))
        if path is not None and config.archive is not None:
            companions.append(_companion("archive", path, tell, as_json))
        for companion in companions:
            companion.start()

    def show(node: Node) -> None:
        for line in dump.begin(Path(config.tape)):  # the directory is there by now
            tell("node", line)
        with contextlib.suppress(OSError):
            show_limits(node.desk.effective, node.recalled.limits, node.looser, accept_limits, as_json)

    async def work(stop: asyncio.Event) -> None:
        watching = asyncio.ensure_future(_eof(stop)) if until_eof else None
        try:
            await node.run(stop)
        finally:
            for companion in companions:
                companion.let_go()
        left.append(node.left)
        if watching is not None:
            watching.cancel()

    node = Node(config, tell, path=path, accept_limits=accept_limits, show=show, ready=start_companions)
    left: list[Left] = []
    dump = Dump()
    try:
        _until_told(work)
    finally:
        dump.end()
    _judge(left[0], config.tape)


def _judge(left: Left, tape: str) -> None:
    """An end that a person must look at is not a good one, however orderly it was."""
    if left.orders:
        orders = f"{count(left.orders, 'order')} {'is' if left.orders == 1 else 'are'}"
        raise Failed(
            f"stopped, and {orders} not known to be closed: look at the venues, or start again: the next "
            "start asks for them"
        )
    if left.latches:
        raise HeldBack(
            f"stopped while latched: {', '.join(left.latches)}; the next start is held too, until "
            f"{resume_command(tape)}"
        )


def run_guard(config: Config, *, as_json: bool, node_pid: int = 0) -> None:
    """Guard the node that writes the config's tape until SIGTERM or SIGINT (`node_pid`: or until that node is
    gone and nothing of it is left). Raises UserError."""
    from node.slow.guarding import Guarding  # brings ccxt, which is never in the hot process

    if config.guard is None:
        raise UserError("there is no [guard] in this config: it says what to do when the node stands still")
    _until_told(Guarding(config, _teller(as_json), node_pid).run)


def run_archiver(config: Config, *, as_json: bool, node_pid: int = 0, once: bool = False) -> dict[str, int]:
    """Look after the config's tape until SIGTERM or SIGINT (`node_pid`: or until that node is gone and all is
    archived; `once`: do what is due now, and say what was done). Raises UserError, Failed."""
    from node.slow.archive import Archive  # brings zstandard and cryptography: not into the hot process
    from node.slow.archiving import Archiving

    if config.archive is None:
        raise UserError("there is no [archive] in this config: it says what to do with the tape")
    archiving = Archiving(config, _teller(as_json), node_pid, partial(Archive, fold=keep, is_state=is_good))
    if once:
        return archiving.once()
    _until_told(archiving.run)
    return {}


def _companion(
    name: str, path: Path, tell: Callable[[str, str], None], as_json: bool, again_s: float = 0
) -> Companion:
    """`tickgate NAME` of this node's config, that ends when this node is gone."""
    argv = tickgate(name, str(path), "--node", str(os.getpid()), *(["--json"] if as_json else []))
    return Companion(name, argv, tell, again_s)


def _teller(as_json: bool) -> Callable[[str, str], None]:
    """Tells people on stderr: UTC wall time, where, what; the same in each process. As JSON also seconds
    since the start, which no clock that is set can turn back."""
    started_s = time.monotonic()
    out = _unwaiting(sys.stderr)

    def tell(line: str, text: str) -> None:
        at = datetime.fromtimestamp(time.time_ns() / 1e9, UTC)
        said = f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}  {line:<28} {text}"
        if as_json:
            row = {
                "at": at.isoformat(timespec="milliseconds"),
                "at_s": round(time.monotonic() - started_s, 3),
            }
            said = json.dumps(row | {"line": line, "event": text})
        with contextlib.suppress(
            OSError
        ):  # nobody reads (any more): no reason to stop, let alone with a traceback
            print(said, file=out, flush=True)

    return tell


def run_recorder(
    config: Config, options: Options, *, as_json: bool, path: Path, until_eof: bool = False
) -> dict[str, Any]:
    """Record market data until SIGTERM, SIGINT or the end of the time; what there is then. Raises UserError,
    Unreachable, and Failed where the disk takes no more."""
    recorder = Recorder(config, options, _teller(as_json), path=path)

    async def work(stop: asyncio.Event) -> None:
        watching = asyncio.ensure_future(_eof(stop)) if until_eof else None
        try:
            await recorder.run(stop)
        finally:
            if watching is not None:
                watching.cancel()

    _until_told(work)
    return recorder.result()


def run_sim(serve: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run simulated venues until SIGTERM or SIGINT."""
    _until_told(serve)


def _until_told(work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await work(stop)

    try:
        uvloop.run(main())
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(
                number, signal.SIG_IGN
            )  # it ends already: the exit code says how, not who asked twice


def _unwaiting(stream: TextIO) -> TextIO:
    """Words for a reader that stands still - a pipe, a terminal that is held, a log service - are lost: the
    hot process does not wait for a person. A terminal is opened anew: its descriptor is the shell's too."""
    with contextlib.suppress(OSError):  # not a stream of the operating system
        kind = os.fstat(stream.fileno()).st_mode
        if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind):
            os.set_blocking(stream.fileno(), False)
        elif os.isatty(stream.fileno()):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            return os.fdopen(os.open(os.ttyname(stream.fileno()), flags), "w", buffering=1)
    return stream


async def _eof(stop: asyncio.Event) -> None:
    """Set `stop` when stdin ends: the process at its other end is gone, or wants this."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while await reader.read(4096):
        pass
    stop.set()


def write_config(path: Path, text: str) -> Path:
    """Write a generated config file whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)
    return path

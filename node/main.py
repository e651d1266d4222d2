"""Processes: what runs inside `tickgate run` and `tickgate sim`, with their signals."""

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from node.config import Config
from node.net.live import Node


def run_node(config: Config, *, as_json: bool) -> None:
    """Run a node until SIGTERM or SIGINT. What happens is told on stderr, one line each."""
    started_s = time.monotonic()

    def tell(line: str, text: str) -> None:
        at_s = time.monotonic() - started_s
        said = f"{at_s:9.3f}  {line:<28} {text}"
        if as_json:
            said = json.dumps({"at_s": round(at_s, 3), "line": line, "event": text})
        with contextlib.suppress(OSError):  # nobody reads any more: no reason to stop trading, least of all with a traceback
            print(said, file=sys.stderr, flush=True)

    _until_told(lambda stop: Node(config, tell).run(stop))


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

    uvloop.run(main())


def write_config(path: Path, text: str) -> Path:
    """Write a generated config file whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)
    return path

"""`tickgate sim`: simulated venues as a process, told by a config file, steered by lines on standard
input."""

import asyncio
import errno
import json
import os
import ssl
import stat
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from rich.console import Console

from node.backtest.instruments import plain
from node.backtest.sources import VENUES as MARKET_NAMES
from node.errors import UserError
from node.reading import read_toml, typed
from node.sheet import narrow_table, put, sheet
from node.sim.accounts import AccountFile, check_accounts, make_accounts
from node.sim.control import Control
from node.sim.recorded import Recorded, RecordedAndSynthetic, open_recording, size_hint
from node.sim.serve import VENUES, ServeError, SimConfig, Simulation
from node.sim.tls import load, self_signed
from node.venues.faults import FaultError, parse_row, read_script

NODES = {"mode", "venue", "instrument", "deployment", "strategy"}  # keys of a node's config
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class TlsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Certificate and key of all ports, PEM."""

    cert: str
    key: str


class SimFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The config file: all optional. `ports`: venue -> [WebSocket port, HTTP port], 0 = any free one.
    `tls`: "self" makes a certificate, written to `tls_cert` where that is given."""

    seed: int = 1
    venues: list[str] = []
    ports: dict[str, tuple[Port, Port]] = {}
    account: list[AccountFile] = []
    fault: list[dict[str, Any]] = []
    faults: str = ""
    control: Port | None = None
    tls: Literal["self", ""] | TlsFile = ""
    tls_cert: str = ""


def read_config(path: Path | None, seed: int | None = None) -> SimConfig:
    """Raises UserError naming the file and the key."""
    given = SimFile()
    if path is not None:
        told = read_toml(path)
        if told.keys() & NODES:
            raise UserError(
                f"{path}: this is a config of a node: `tickgate run {path}`; simulated venues have one "
                "of their own: `tickgate sim deploy/venues.toml`"
            )
        given = typed(told, SimFile, str(path))
    for name in [*given.venues, *given.ports]:
        if name not in VENUES:
            raise UserError(f"{path}: venue {name!r} is not known; there are {', '.join(VENUES)}")
    check_accounts(given.account, path)
    return SimConfig(
        venues=tuple(given.venues) or tuple(VENUES),
        seed=given.seed if seed is None else seed,
        ports=dict(given.ports),
        accounts=partial(make_accounts, given.account) if given.account else None,
        faults=_faults(given, path),
        tls=_tls(given, path),
        control=given.control,
    )


def _faults(given: SimFile, path: Path | None) -> tuple[dict[str, Any], ...]:
    """The rows of the config and of the script it names, which is looked for beside it."""
    try:
        for i, row in enumerate(given.fault, 1):
            parse_row(row, i)
    except FaultError as error:
        raise UserError(f"{path}: {error}") from None
    rows = given.fault + (_script(path.parent / given.faults) if given.faults and path is not None else [])
    for row in rows:
        if row.get("venue", "binance") not in VENUES:
            raise UserError(f"{path}: fault {row['name']}: venue {row['venue']!r} is not known")
    return tuple(rows)


def _script(path: Path) -> list[dict[str, Any]]:
    try:
        return read_script(path.read_text(), str(path))
    except FaultError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: {error}") from None


def _tls(given: SimFile, path: Path | None) -> ssl.SSLContext | None:
    if not given.tls:
        return None
    folder = path.parent if path is not None else Path()
    try:
        if given.tls == "self":
            return self_signed(folder / given.tls_cert if given.tls_cert else None)
        assert isinstance(given.tls, TlsFile)
        return load(folder / given.tls.cert, folder / given.tls.key)
    except OSError as error:
        raise UserError(f"{path}: tls: {error.strerror or error}") from None


def sim_command(
    path: Path | None,
    *,
    seed: int | None,
    recording: Path | None,
    instruments: Path | None,
    as_json: bool,
    until_eof: bool = False,
) -> Callable[[asyncio.Event], Awaitable[None]]:
    """What `tickgate sim` runs. Where the venues listen, and what they list, is the first line of output;
    their ledgers are the last.

    `recording` moves the market in place of the seed; `instruments` are its ticks and lots. `until_eof`: the
    end of stdin ends it, so that it does not outlive a parent. Raises UserError.
    """
    config = read_config(path, seed)
    if recording is None and instruments is not None:
        raise UserError("--instruments: says how to read a recording; add --recording FILE")
    recorded = open_recording(recording, instruments) if recording is not None else None
    if recorded is not None:
        recorded.check(config)

    async def serve(stop: asyncio.Event) -> None:
        simulation = make_simulation(config, recorded)
        try:
            endpoints = await simulation.start()
        except ServeError as error:
            raise UserError(str(error)) from None
        where: dict[str, dict] = {name: {"ws": x.ws_url, "http": x.http_url} for name, x in endpoints.items()}
        if as_json:
            where = {
                name: x | {"listings": listings_of(simulation, name, recorded)} for name, x in where.items()
            }
        control = await _start_control(simulation, config)
        _say(where, as_json, "listening")
        if control is not None:
            _say_control(control.url, as_json)
        steering = asyncio.ensure_future(_steer(simulation))
        waiting = asyncio.ensure_future(simulation.wait())
        stopping = asyncio.ensure_future(stop.wait())
        ends = [waiting, stopping, *([steering] if until_eof else [])]
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a market or a venue that failed is no orderly end
        finally:
            for task in (steering, waiting, stopping):
                task.cancel()
            if control is not None:
                await control.stop()
            await simulation.stop()
            if as_json:
                _say(ledgers(simulation), True, "ledgers")
            else:
                print_ledgers(simulation, sheet(100))

    return serve


async def _start_control(simulation: Simulation, config: SimConfig) -> Control | None:
    """The control endpoint, where the config wants one; where it cannot listen, nothing is left running."""
    if config.control is None:
        return None
    control = Control({name: x.fake for name, x in simulation.servers.items()}, time.time_ns)
    try:
        await control.start(config.control)
    except OSError as error:
        await simulation.stop()
        taken = error.errno == errno.EADDRINUSE
        why = "port in use: end what listens there, or set another one" if taken else error.strerror
        raise UserError(f"control: cannot listen on 127.0.0.1:{config.control}: {why}") from None
    return control


def _say_control(url: str, as_json: bool) -> None:
    print(json.dumps({"control": url}) if as_json else f"control    {url}", flush=True)


def make_simulation(config: SimConfig, recorded: Recorded | None) -> Simulation:
    """The venues, moved by the recording where there is one."""
    if recorded is None:
        return Simulation(config)
    config = replace(config, make_market=partial(RecordedAndSynthetic, recorded, tell=_tell))
    return Simulation(config, table=recorded.venues())


def listings_of(simulation: Simulation, name: str, recorded: Recorded | None) -> list[dict]:
    """What a venue lists: market, symbol, tick, lot, whether it is recorded, and `size`, an order of some 300
    dollars (`value`), in base coins."""
    out = []
    for key, x in simulation.servers[name].fake.listings.items():
        size, value = size_hint(x) or ("", "")
        row = {"market": MARKET_NAMES[x.market], "symbol": x.symbol, "tick": x.tick, "lot": x.lot}
        is_recorded = recorded is not None and key in recorded.chosen
        out.append(row | {"size": size, "value": value, "recorded": is_recorded})
    return out


def ledgers(simulation: Simulation) -> dict:
    """What the venues have on their books, to be compared with what the node thinks."""
    out = {}
    for name, server in simulation.servers.items():
        positions: dict[str, int] = {}
        for order in server.fake.orders.values():
            key = f"{order.listing.market}:{order.listing.symbol}"
            positions[key] = positions.get(key, 0) + (1 if order.side == 0 else -1) * order.filled_lots
        out[name] = {"counts": server.fake.counts | server.counts, "position_lots": positions}
    return out


COUNTED = ("orders", "cancels", "fills", "rejects", "requests", "opened", "closed")


def print_ledgers(simulation: Simulation, console: Console) -> None:
    """The same for a person: what was counted, and below it what was rare, and the positions in base
    coins."""
    told = ledgers(simulation)
    table = narrow_table(("venue",), (*COUNTED[:-2], "connections\nopened", "closed"))
    for name, row in told.items():
        table.add_row(name, *(str(row["counts"].get(x, 0)) for x in COUNTED))
    put(table, console)
    for name, row in told.items():
        odd = [f"{n} {x.replace('_', ' ')}" for x, n in row["counts"].items() if n and x not in COUNTED]
        if odd:
            console.print(f"{name}: {', '.join(odd)}")
        for key, lots in row["position_lots"].items():
            market, _, symbol = key.partition(":")
            listing = simulation.servers[name].fake.listings[int(market), symbol]
            coins = plain(f"{lots * Decimal(listing.lot) * Decimal(listing.contract):f}")
            console.print(f"{MARKET_NAMES[int(market)]} {symbol}: position {coins} ({lots} lots)")


async def _steer(simulation: Simulation) -> None:
    """Lines on standard input: `cut VENUE TEXT` resets the newest connection whose path contains TEXT;
    `rewind` begins the recording again, for a client that has just arrived."""
    if sys.stdin is None or not stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):
        return  # only a program at the other end of a pipe steers; a terminal or /dev/null cannot be watched
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while raw := await _line(reader):
        words = raw.decode("utf-8", "replace").split()
        if words and (why := _obey(simulation, words)):
            _tell(f"{' '.join(words)[:80]!r}: {why}")


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:  # longer than any command
        return b"(too long)\n"


def _obey(simulation: Simulation, words: list[str]) -> str:
    """Carry out one command; why it cannot be, or ""."""
    command, *rest = words
    if words == ["rewind"] and isinstance(simulation.market, RecordedAndSynthetic):
        simulation.market.rewind(time.time_ns())
        return ""
    if command != "cut" or not 1 <= len(rest) <= 2 or rest[0] not in simulation.servers:
        known = ", ".join(simulation.servers)
        return f"there are: cut VENUE TEXT, with VENUE one of {known}; and, with a recording, rewind"
    server, text = simulation.servers[rest[0]], rest[1] if len(rest) > 1 else ""
    matching = [c for c in server.fake.connections.values() if text in c.path]
    if not matching:
        return "there is no such connection"
    newest = matching[-1]
    server.cut(lambda connection: connection is newest)
    return ""


def _tell(text: str) -> None:
    print(f"tickgate sim: {text}", file=sys.stderr, flush=True)


def _say(what: dict, as_json: bool, kind: str) -> None:
    if as_json:
        print(json.dumps({kind: what}), flush=True)
        return
    for name, values in what.items():
        print(f"{name:10} " + "  ".join(f"{k} {v}" for k, v in values.items()), flush=True)

"""Venue fakes on loopback sockets: WebSockets by `websockets`, HTTP by `aiohttp`, behind one front door.

The far end of every test is an implementation that shares nothing with the node's own. The fakes themselves
have no I/O: a VenueServer tells them what came in and when, and writes what they say, in order per
connection. Everything happens on one event loop; a client's frame is answered at once, time (and the market)
moves every 10 ms.

A venue has two ports, and both take both: REST requests and WebSocket handshakes, with or without TLS
(`front` sorts them, and plays the bad network of the `px.*` faults). A connection has a bounded queue. One
that does not read fast enough is closed as venues do (code 1008, OKX 4005) and counted; nothing is dropped
silently out of the middle of a stream. Listens on 127.0.0.1 only.
"""

import asyncio
import contextlib
import errno
import importlib
import json
import os
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, TextIO, cast

from aiohttp import web
from websockets.asyncio.server import Server, ServerConnection, unix_serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from ext.records import Market as Product
from node.sim.front import Front, Pipe
from node.sim.market import Market
from node.venues.fakes import MS, Account, Answer, Connection, FakeVenue, Fault, Listing, Refused

HOST = "127.0.0.1"
PERIOD_NS = 10 * MS
QUEUE_FRAMES = 4096  # at 100 ms depth, trades and quotes of a dozen symbols: some seconds
CLOSE_TIMEOUT_S = 0.5
BODY_MAX = 4 * 1024**2  # of a REST request

Clock = Callable[[], int]
Which = Callable[[Connection], bool]


class Steps(Protocol):
    """What moves the books: `market.Market` or `market.RecordedMarket`."""

    def step(self, now_ns: int) -> int: ...


class ServeError(Exception):
    """The servers cannot start; the text is one line for a person."""


@dataclass(frozen=True)
class Endpoint:
    """Where a simulated venue listens: scheme, host and port, without a path."""

    ws_url: str
    http_url: str


@dataclass(eq=False)
class Peer:
    """One client's socket and what waits to be written to it."""

    ws: ServerConnection
    connection: Connection
    pipe: Pipe | None = None
    keeper: asyncio.Task | None = None
    queue: deque[str] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    writer: asyncio.Task | None = None


class VenueServer:
    """One fake on two loopback ports, or one where they are the same. `clock` returns ns since 1970;
    `market`, if any, is stepped before the fake's tick.

    Several servers may share a market: stepping it twice for one time does nothing. Ports of 0 are any free
    ones. `ping_interval_s` None: this venue sends no protocol pings (clients' pings are always answered); a
    fake with a method `ping_policy(connection) -> (interval_s, timeout_s)` decides for each connection.
    `tls`: both ports speak TLS.
    """

    def __init__(
        self,
        fake: FakeVenue,
        clock: Clock,
        market: Steps | None = None,
        *,
        name: str = "venue",
        ws_port: int = 0,
        http_port: int = 0,
        ping_interval_s: float | None = 20,
        ping_timeout_s: float | None = 60,
        queue_frames: int = QUEUE_FRAMES,
        slow_close: tuple[int, str] = (1008, "slow consumer"),
        tls: ssl.SSLContext | None = None,
    ):
        self.tls = tls
        self.fake, self.clock, self.market, self.name = fake, clock, market, name
        self.ports = ws_port, http_port
        self.pings = ping_interval_s, ping_timeout_s
        self.queue_frames, self.slow_close = queue_frames, slow_close
        self.counts = {
            "opened": 0,
            "refused": 0,
            "closed": 0,
            "reset": 0,
            "slow": 0,
            "lost_frames": 0,
            "requests": 0,
        }
        self._peers: dict[int, Peer] = {}  # by connection number
        self._opening: dict[ServerConnection, Peer] = {}
        self._tasks: set[asyncio.Task] = set()
        self._websockets: Server | None = None
        self._http: web.AppRunner | None = None
        self._pump: asyncio.Task | None = None
        unique = f"{os.getpid()}-{id(self)}"
        self._backs = {kind: f"\0tickgate-{kind}-{unique}" for kind in ("ws", "http")}
        self.front = Front(fake.faults, clock, {k: v.encode() for k, v in self._backs.items()})
        fake.network = self._storm

    # ---- life ----

    async def start(self) -> Endpoint:
        """Listen, and let time pass. Raises ServeError where a port is taken."""
        ports: list[int] = []
        try:
            self._websockets = await self._serve_websockets()
            self._http = await self._serve_http()
            for port in dict.fromkeys(self.ports) if self.ports[0] else self.ports:
                ports.append(await self.front.listen(HOST, port, self.tls))
        except OSError as error:
            await self.stop()
            raise ServeError(self._why_not(error, self.ports[len(ports)])) from error
        self._pump = asyncio.create_task(self._run(), name=f"{self.name} pump")
        secure = "s" if self.tls else ""
        return Endpoint(f"ws{secure}://{HOST}:{ports[0]}", f"http{secure}://{HOST}:{ports[-1]}")

    async def _serve_websockets(self) -> Server:
        return await unix_serve(
            self._handle,
            self._backs["ws"],
            process_response=self._admit,
            compression=None,
            ping_interval=None,  # as each connection wants: see `_keep_alive`
            close_timeout=CLOSE_TIMEOUT_S,
            server_header=None,
        )

    async def _serve_http(self) -> web.AppRunner:
        app = web.Application(client_max_size=BODY_MAX)
        app.router.add_route("*", "/{path:.*}", self._request)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_TIMEOUT_S)
        await runner.setup()
        await web.UnixSite(runner, self._backs["http"]).start()
        return runner

    def _why_not(self, error: OSError, port: int) -> str:
        taken = error.errno == errno.EADDRINUSE
        why = "port in use: end what listens there, or set others in [ports]" if taken else error.strerror
        return f"{self.name}: cannot listen on {HOST}:{port}: {why}"

    async def wait(self) -> None:
        """Until the pump fails (its error is raised) or the server is stopped."""
        if self._pump is not None:
            await asyncio.wait([self._pump])
            if not self._pump.cancelled():
                self._pump.result()

    async def stop(self) -> None:
        """Close everything; clients that do not answer the close are reset. May be called twice."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])
        self.front.stop_listening()
        if self._websockets is not None:
            self._websockets.close()
            closed = asyncio.create_task(self._websockets.wait_closed())
            if not (await asyncio.wait([closed], timeout=CLOSE_TIMEOUT_S))[0]:
                for peer in list(self._peers.values()):
                    self._reset(peer)
                await closed
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._http is not None:
            await self._http.cleanup()
        await self.front.stop()

    async def _run(self) -> None:
        """Time passes. A late turn is not made up for: the market and the fake are told the time as it is."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            now_ns = self.clock()
            if self.market is not None:
                self.market.step(now_ns)
            self.fake.tick(now_ns)
            self.deliver()
            due_s = max(due_s + PERIOD_NS / 1e9, loop.time())
            await asyncio.sleep(due_s - loop.time())

    # ---- faults ----

    def cut(self, which: Which) -> int:
        """Reset the TCP connections of which `which(connection)` is true; returns how many. What was queued
        is lost."""
        chosen = [p for p in self._peers.values() if which(p.connection)]
        for peer in chosen:
            self.fake.drop(peer.connection)
            self._reset(peer)
        return len(chosen)

    def _storm(self, fault: Fault, now_ns: int) -> None:
        """`px.storm`: every connection is reset at once, and for `s` seconds all new ones too."""
        self.counts["reset"] += self.front.reset_all()
        seconds = fault.ns("")
        if seconds:
            self.fake.faults.add("px.refuse", for_ns=seconds, now_ns=now_ns)

    def mute(self, which: Which, on: bool = True) -> int:
        """Those connections stay open but hear nothing more (protocol pings excepted); returns how many."""
        chosen = [c for c in self.fake.connections.values() if which(c)]
        for connection in chosen:
            self.fake.mute(connection, on)
        return len(chosen)

    # ---- WebSockets ----

    def _admit(self, ws: ServerConnection, request: Request, response: Response) -> Response | None:
        """The handshake is in order: does the venue have such a path?"""
        if response.status_code != 101:
            self.counts["refused"] += 1
            return None
        pipe = self.front.client_of(ws.transport)
        ip = pipe.ip if pipe else HOST
        try:
            connection = self.fake.admit(request.path, self.clock(), ip, dict(request.headers.raw_items()))
        except Refused as refused:
            self.counts["refused"] += 1
            return ws.respond(refused.status, str(refused))
        self._opening[ws] = self._peers[connection.number] = Peer(ws, connection, pipe)
        self.counts["opened"] += 1
        return None

    async def _handle(self, ws: ServerConnection) -> None:
        peer = self._opening.pop(ws)
        peer.writer = asyncio.create_task(
            self._write(peer), name=f"{self.name} writer {peer.connection.number}"
        )
        self._start_pings(peer)
        self.deliver()
        try:
            async for message in ws:
                await self._receive(peer, message)
        except ConnectionClosed:
            pass  # how it ended does not matter to a venue
        finally:
            self._forget(peer)
            ending = [x for x in (peer.writer, peer.keeper) if x is not None]
            for task in ending:
                task.cancel()
            await asyncio.wait(ending)

    def _start_pings(self, peer: Peer) -> None:
        policy = getattr(self.fake, "ping_policy", None)
        interval_s, timeout_s = policy(peer.connection) if policy is not None else self.pings
        if interval_s is not None:
            name = f"{self.name} pings {peer.connection.number}"
            peer.keeper = asyncio.create_task(self._keep_alive(peer, interval_s, timeout_s), name=name)

    async def _keep_alive(self, peer: Peer, interval_s: float, timeout_s: float | None) -> None:
        """Ping, and close where no pong comes in time."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(interval_s)
                pong = await peer.ws.ping()
                try:
                    async with asyncio.timeout(timeout_s):
                        await pong
                except TimeoutError:
                    peer.connection.closing = peer.connection.closing or (1008, "Pong timeout")
                    peer.wake.set()
                    return

    async def _receive(self, peer: Peer, message: str | bytes) -> None:
        if isinstance(message, bytes):
            await peer.ws.close(1003, "text frames only")
        elif not (peer.connection.closing or peer.connection.dropped):
            self.fake.hear(peer.connection, message, self.clock())
            self.deliver()

    def deliver(self) -> None:
        """Queue everything the fake has said, and carry out hang-ups and drops. Call it after touching the
        fake."""
        for connection, text in self.fake.take():
            peer = self._peers.get(connection.number)
            if peer is None or len(peer.queue) >= self.queue_frames:
                self.counts["lost_frames"] += 1
                if peer is not None:
                    self._too_slow(peer)
            else:
                peer.queue.append(text)
                peer.wake.set()
        for peer in list(self._peers.values()):
            if peer.connection.dropped:
                self._reset(peer)
            elif peer.connection.closing:
                peer.wake.set()
            elif peer.ws in self._opening and peer.ws.transport.is_closing():
                self._forget(peer)  # gone before its handshake was over

    def _too_slow(self, peer: Peer) -> None:
        self.counts["slow"] += 1
        self.counts["lost_frames"] += len(peer.queue)
        peer.queue.clear()
        self._forget(peer)
        peer.connection.closing = self.slow_close
        if peer.writer is not None:
            peer.writer.cancel()
        task = asyncio.create_task(self._close(peer, *self.slow_close), name=f"{self.name} close")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self, peer: Peer) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await peer.wake.wait()
                peer.wake.clear()
                while peer.queue:
                    await peer.ws.send(peer.queue.popleft())
                if peer.connection.closing:
                    await self._close(peer, *peer.connection.closing)
                    return

    async def _close(self, peer: Peer, code: int, reason: str) -> None:
        """Closing handshake; a client that has no room for the close frame is reset."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await peer.ws.close(code, reason)
        except TimeoutError:
            self._reset(peer)

    def _reset(self, peer: Peer) -> None:
        """End the TCP connection with RST."""
        self.counts["reset"] += 1
        self._forget(peer)
        if peer.pipe is not None:
            peer.pipe.reset()
        peer.ws.transport.abort()

    def _forget(self, peer: Peer) -> None:
        self._opening.pop(peer.ws, None)
        if self._peers.pop(peer.connection.number, None) is not None:
            self.counts["closed"] += 1
        if peer.connection.number in self.fake.connections:
            self.fake.close(peer.connection)

    # ---- HTTP ----

    async def _request(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.counts["requests"] += 1
        transport = request.transport
        pipe = self.front.client_of(transport) if transport is not None else None
        headers = cast(dict[str, str], request.headers)  # a mapping that does not mind case, as HTTP does not
        while True:
            target, now_ns, ip = request.raw_path, self.clock(), pipe.ip if pipe else HOST
            answer = self.fake.request(request.method, target, headers, body, now_ns, ip)
            self.deliver()
            if not answer.again_ns:
                break
            await asyncio.sleep(answer.again_ns / 1e9)
        if answer.delay_ns:
            await asyncio.sleep(answer.delay_ns / 1e9)
        if answer.drop and pipe is not None:
            pipe.close()
        return _response(answer)


def _response(answer: Answer) -> web.Response:
    """An answer as HTTP; JSON where its headers do not say what it is."""
    headers = {"Content-Type": "application/json"} | answer.headers
    if any(x.lower() == "content-type" for x in answer.headers):
        headers = answer.headers
    return web.Response(status=answer.status, body=answer.body, headers=headers)


# ---- the three venues ---------------------------------------------------------------------------


@dataclass(frozen=True)
class VenueRow:
    """One simulated venue: where its fake is, what it lists, and its transport's habits."""

    module: str
    fake: str
    listings: tuple[dict[str, Any], ...]
    ping_interval_s: float | None
    slow_close: tuple[int, str] = (1008, "slow consumer")
    options: tuple[tuple[str, Any], ...] = ()  # of the fake, where nothing else is said


def _row(market: int, symbol: str, base: str, tick: str, lot: str, **more: Any) -> dict[str, Any]:
    return {"market": int(market), "symbol": symbol, "base": base, "tick": tick, "lot": lot} | more


# Ticks, lots and codes as published. Pings: Binance spot every 20 s (USD-M 3 min), the others none.
VENUES = {
    "binance": VenueRow(
        "node.venues.binance.fake",
        "BinanceFake",
        (
            _row(Product.BINANCE_SPOT, "BTCUSDT", "BTC", "0.01", "0.00001"),
            _row(
                Product.BINANCE_USDM, "BTCUSDT", "BTC", "0.1", "0.001", is_perpetual=True, min_notional="100"
            ),
            _row(
                Product.BINANCE_USDM, "ETHUSDT", "ETH", "0.01", "0.001", is_perpetual=True, min_notional="20"
            ),
        ),
        20,
        options=(("credentials_required", True),),
    ),
    "bybit": VenueRow(
        "node.venues.bybit.fake",
        "BybitFake",
        (
            _row(Product.BYBIT_LINEAR, "BTCUSDT", "BTC", "0.1", "0.001", is_perpetual=True),
            _row(Product.BYBIT_SPOT, "BTCUSDT", "BTC", "0.1", "0.000001"),
        ),
        None,
    ),
    "okx": VenueRow(
        "node.venues.okx.fake",
        "OkxFake",
        (
            _row(
                Product.OKX,
                "BTC-USDT-SWAP",
                "BTC",
                "0.1",
                "0.01",
                contract="0.01",
                inst_code=10459,
                is_perpetual=True,
            ),
            _row(Product.OKX, "BTC-USDT", "BTC", "0.1", "0.00000001", inst_code=3),
        ),
        None,
        (4005, "buffer is full"),
    ),
}

TRADE_NS = 10_000_000  # trade ids begin with the time of the start in hundredths of a second
MakeMarket = Callable[[Iterable[Listing], int, int], Steps]  # listings, seed, start_ns


@dataclass(frozen=True)
class SimConfig:
    """What to simulate. `ports`: venue -> (WebSocket port, HTTP port), 0 or absent = any free one. `options`:
    venue -> keyword arguments of its fake. `make_market`: what moves the books; the synthetic market where
    not given. `accounts(venue, coins)`: the accounts of a venue, None = its own. `faults`: rows of a fault
    script, for all venues or the one they name. `tls`: all ports speak TLS. `control`: port of the control
    endpoint, None = there is none."""

    venues: tuple[str, ...] = tuple(VENUES)
    seed: int = 1
    ports: dict[str, tuple[int, int]] = field(default_factory=dict)
    options: dict[str, dict] = field(default_factory=dict)
    make_market: MakeMarket = Market
    accounts: Callable[[str, list[tuple[str, str]]], list[Account] | None] | None = None
    faults: tuple[dict[str, Any], ...] = ()
    tls: ssl.SSLContext | None = None
    control: int | None = None


class Simulation:
    """The servers of several venues and the market they share. `servers` by venue name, for faults and
    counts."""

    def __init__(
        self, config: SimConfig, clock: Clock = time.time_ns, table: dict[str, VenueRow] | None = None
    ):
        table = VENUES if table is None else table
        unknown = [name for name in config.venues if name not in table]
        if unknown:
            raise ServeError(f"venue {unknown[0]!r} is not known; there are {', '.join(table)}")
        rows = {name: table[name] for name in config.venues}
        listings = {name: [Listing(**x) for x in row.listings] for name, row in rows.items()}
        everything = [x for name in rows for x in listings[name]]
        for listing in everything:  # a node remembers trades by their ids: as at a venue, none comes again
            listing.engine.next_trade_id = clock() // TRADE_NS
        self.market = config.make_market(everything, config.seed, clock())
        self.servers: dict[str, VenueServer] = {}
        for name, row in rows.items():
            make = getattr(importlib.import_module(row.module), row.fake)
            fake = make(
                listings[name], seed=config.seed, **(dict(row.options) | config.options.get(name, {}))
            )
            self._equip(fake, name, config)
            ws_port, http_port = config.ports.get(name, (0, 0))
            self.servers[name] = VenueServer(
                fake,
                clock,
                self.market,
                name=name,
                ws_port=ws_port,
                http_port=http_port,
                ping_interval_s=row.ping_interval_s,
                slow_close=row.slow_close,
                tls=config.tls,
            )

    def _equip(self, fake: FakeVenue, name: str, config: SimConfig) -> None:
        """Accounts and faults of a venue, as the config wants them."""
        if config.accounts is not None:
            coins = [(x.wallet, c) for x in fake.listings.values() for c in (*x.coins, x.settle_coin)]
            accounts = config.accounts(name, coins)
            if accounts is not None:
                fake.set_accounts(accounts)
        fake.faults.load(config.faults, name)
        fake.disturb = getattr(self.market, "disturb", None)

    async def start(self) -> dict[str, Endpoint]:
        """Start all servers; where one cannot, none is left running."""
        endpoints = {}
        try:
            for name, server in self.servers.items():
                endpoints[name] = await server.start()
        except ServeError:
            await self.stop()
            raise
        return endpoints

    async def wait(self) -> None:
        """Until one of the servers fails; its error is raised."""
        await asyncio.gather(*(server.wait() for server in self.servers.values()))

    async def stop(self) -> None:
        for server in self.servers.values():
            await server.stop()


async def serve(config: SimConfig, clock: Clock = time.time_ns, out: TextIO = sys.stdout) -> None:
    """Run simulated venues until cancelled. When they listen, one JSON line says where:
    {"seed": 1, "venues": {"okx": {"ws": "ws://127.0.0.1:40001", "http": "http://127.0.0.1:40002"}}}."""
    simulation = Simulation(config, clock)
    endpoints = await simulation.start()
    where = {name: {"ws": x.ws_url, "http": x.http_url} for name, x in endpoints.items()}
    try:
        print(json.dumps({"seed": config.seed, "venues": where}), file=out, flush=True)
        await simulation.wait()
    finally:
        await simulation.stop()

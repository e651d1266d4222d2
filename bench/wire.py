"""The `wire` benchmark: frame in -> order frame out, wire to wire, on loopback.

A venue process plays Binance USD-M: REST, a market-data and an order-entry WebSocket, and a private stream
for a client that has one. It sends real depth frames one at a time and times each until the order is back.
The same venue, sockets and frames meet all clients in one run: the node, `floor.c` (busy-polling C) and
`naive.py` (websockets + orjson + sortedcontainers). Clients take turns in rounds, a new process each, so that
a noisy minute hits all of them; samples are pooled per client. Those beside the point are in one of three.

Every order is authenticated. `node`, `floor` and `naive` sign each with HMAC inside the measured interval:
what a venue asks of a key that cannot log on, the worst case. `node_logon` logs on once, with Ed25519;
`floor_plain` is the floor without a signature, to hold it against. `node_two_lines` has a second market line,
which brings each frame 2 to 300 us later, one in four first; it is held against `node`. The node is the whole
one: it proves its account over REST before it trades, and is told of each order on the private stream.

Python only sets a session up and answers REST; `venue.c` does everything inside a measured interval. Each
order's price is compared with the best ask of an independent book and its signature verified, so a client
cannot be fast by being wrong.
"""

import base64
import ctypes
import gzip
import hashlib
import json
import os
import queue
import random
import re
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import account
from bench.conditions import BenchError, Progress, percentile, pinned, recordings_dir, silent
from bench.conditions import conditions as machine

HERE = Path(__file__).parent
RECORDING = "binance-usdm/btcusdt-2024-08-08.jsonl.gz"
HOST = "127.0.0.1"
SLOT_BYTES = 1024
ERRORS = {
    -1: "the client closed a connection",
    -2: "the client broke the WebSocket protocol",
    -3: "socket error",
    -4: "too many frames without an order",
}

ArgvBuilder = Callable[[int], list[str]]


class WireError(BenchError):
    """The benchmark cannot run, or a client failed; the text is one line for the user."""


# ---- frames ------------------------------------------------------------------------------------------------


@dataclass
class Feed:
    """A REST snapshot and the depth frames that follow it, as text, with the best ask after each frame."""

    snapshot: str
    frames: list[str]
    source: str
    best_asks: list[int] = field(default_factory=list)
    mean_levels: float = 0.0

    def __post_init__(self) -> None:
        book = AskBook(json.loads(self.snapshot)["asks"])
        levels = 0
        for text in self.frames:
            event = json.loads(text)["data"]
            levels += len(event["b"]) + len(event["a"])
            self.best_asks.append(book.update(event["a"]))
        self.mean_levels = levels / max(1, len(self.frames))

    @property
    def mean_bytes(self) -> float:
        return sum(map(len, self.frames)) / max(1, len(self.frames))


class AskBook:
    """The plain book the answers are checked with: integer ticks, best price searched for when it goes."""

    def __init__(self, levels: list[list[str]]) -> None:
        self.sizes: dict[int, str] = {}
        self.best = 0
        self.update(levels)

    def update(self, levels: list[list[str]]) -> int:
        for price, size in levels:
            if float(size):
                self.sizes[ticks(price)] = size
            else:
                self.sizes.pop(ticks(price), None)
        if self.best not in self.sizes or any(ticks(price) < self.best for price, _ in levels):
            self.best = min(self.sizes, default=0)
        return self.best


def ticks(price: str) -> int:
    """Exact ticks of 0.1 from price text."""
    whole, _, fraction = price.partition(".")
    if fraction.rstrip("0")[1:]:
        raise WireError(f"price off the 0.1 grid: {price}")
    return int(whole) * 10 + int((fraction or "0")[0])


def load_feed(count: int) -> Feed:
    """The recorded feed, or the synthetic one where the recordings are absent."""
    return Feed(*load_frames(count))


def load_frames(count: int | None, synthetic: int = 6000) -> tuple[str, list[str], str]:
    """Snapshot, the `count` frames behind it (None: all there are, or `synthetic` made-up ones), source."""
    path = recordings_dir() / RECORDING
    return recorded_frames(path, count) if path.is_file() else synthetic_frames(count or synthetic)


def recorded_frames(path: Path, count: int | None) -> tuple[str, list[str], str]:
    """Snapshot and `count` frames from the one that straddles it (U <= lastUpdateId <= u)."""
    snapshot, last_id = "", 0
    early: list[str] = []  # before the snapshot came
    frames: list[str] = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if '"rest:depth"' not in line and "@depth" not in line:
                continue
            raw = json.loads(line)["raw"]
            if "@depth" not in raw:
                snapshot, last_id = raw, json.loads(raw)["lastUpdateId"]
                frames = [text for text in early if json.loads(text)["data"]["u"] >= last_id]
            elif not snapshot:
                early.append(raw)
            elif frames or json.loads(raw)["data"]["u"] >= last_id:
                frames.append(raw)
            if count is not None and len(frames) >= count:
                break
    if len(frames) < (count or 1):
        raise WireError(f"{path.name} has {len(frames)} frames after its snapshot, {count or 1} asked")
    return snapshot, frames, f"recorded: {RECORDING}"


def synthetic_feed(count: int, seed: int = 1) -> Feed:
    return Feed(*synthetic_frames(count, seed))


def synthetic_frames(count: int, seed: int = 1) -> tuple[str, list[str], str]:
    """Frames of the recorded shape (about 68 levels, 1.6 KB) around a seeded random walk, never crossed."""
    rng = random.Random(seed)
    mid, update_id = 618_000, 1_000_000
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    refresh(rng, sides, mid, 500)
    bids, asks = map(as_levels, sides)
    snapshot = compact({"lastUpdateId": update_id, "E": 1, "T": 1, "bids": bids, "asks": asks})
    frames = []
    for _ in range(count):
        mid += rng.randint(-4, 4)
        bids, asks = map(as_levels, refresh(rng, sides, mid, 34))
        event = {"e": "depthUpdate", "E": 1723161256299, "T": 1723161256298, "s": "BTCUSDT", "U": update_id}
        event |= {"u": update_id + 50, "pu": update_id, "b": bids, "a": asks}
        update_id += 50
        frames.append(compact({"stream": "btcusdt@depth@100ms", "data": event}))
    return snapshot, frames, f"synthetic, seed {seed} (recordings absent)"


def refresh(rng: random.Random, sides: tuple, mid: int, count: int) -> tuple[dict[int, int], dict[int, int]]:
    """Moves both sides to `mid`: what would cross is deleted, some levels change; returns the changes."""
    bids = {price: 0 for price in sides[0] if price > mid}
    asks = {price: 0 for price in sides[1] if price <= mid}
    for changed, sign, touch in ((bids, -1, mid), (asks, 1, mid + 1)):
        changed[touch] = rng.randint(1, 9000)
        for _ in range(count - 1):
            away = 1 + int(rng.expovariate(1 / 150))
            changed[touch + sign * away] = rng.choice((0, rng.randint(1, 5000), rng.randint(1, 500)))
    for side, changed in zip(sides, (bids, asks), strict=True):
        side.update(changed)
        for price in [price for price, size in side.items() if not size]:
            del side[price]
    return bids, asks


def as_levels(side: dict[int, int]) -> list[list[str]]:
    return [[f"{p // 10}.{p % 10}0", f"{s // 1000}.{s % 1000:03d}"] for p, s in sorted(side.items())]


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


# ---- WebSocket and REST, set-up only -----------------------------------------------------------------------

SYMBOL = {
    "symbol": "BTCUSDT", "pair": "BTCUSDT", "contractType": "PERPETUAL", "deliveryDate": 4133404800000,
    "onboardDate": 1569398400000, "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT",
    "marginAsset": "USDT", "pricePrecision": 2, "quantityPrecision": 3, "baseAssetPrecision": 8,
    "quotePrecision": 8, "underlyingType": "COIN",
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.10", "maxPrice": "4529764", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "120", "stepSize": "0.001"},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MIN_NOTIONAL", "notional": "5"},
        {"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500",
         "multiplierDecimal": "4"},
    ],
    "orderTypes": ["LIMIT", "MARKET"], "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
}  # fmt: skip


def rest_replies(feed: Feed) -> dict[str, Callable[[], str]]:
    """What a client may ask over HTTP, by path without query."""
    exchange = {"timezone": "UTC", "rateLimits": [], "exchangeFilters": [], "assets": [], "symbols": [SYMBOL]}
    return {
        "/fapi/v1/exchangeInfo": lambda: compact({**exchange, "serverTime": account.now_ms()}),
        "/fapi/v1/depth": lambda: feed.snapshot,
        "/fapi/v1/ping": lambda: "{}",
        "/fapi/v1/time": lambda: compact({"serverTime": account.now_ms()}),
        **account.documents(),
    }


def server_frame(payload: bytes, op: int = 1) -> bytes:
    """One unfragmented, unmasked frame."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | op, size)) + payload
    if size < 1 << 16:
        return bytes((0x80 | op, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | op, 127)) + size.to_bytes(8, "big") + payload


@dataclass
class Peer:
    """One upgraded connection, while Python still owns it."""

    sock: socket.socket
    role: str
    buffer: bytearray
    logged_on: bool = False

    def receive(self) -> bool:
        """Reads what is there and answers it; False where the client has closed."""
        data = self.sock.recv(1 << 16)
        self.buffer += data
        while (frame := self.next_frame()) is not None:
            self.answer(*frame)
        return bool(data)

    def next_frame(self) -> tuple[int, bytes] | None:
        head, buffer = 2, self.buffer
        if len(buffer) < 4:
            return None
        size = buffer[1] & 0x7F
        if size == 126:
            size, head = int.from_bytes(buffer[2:4], "big"), 4
        end = head + 4 + size
        if len(buffer) < end:
            return None
        mask, masked = buffer[head : head + 4], buffer[head + 4 : end]
        payload = bytes(byte ^ mask[i & 3] for i, byte in enumerate(masked))
        op = buffer[0] & 0x0F
        del buffer[:end]
        return op, payload

    def answer(self, op: int, payload: bytes) -> None:
        if op == 9:
            self.sock.sendall(server_frame(payload, op=10))
        if op != 1:
            return
        try:
            request = json.loads(payload)
        except ValueError:
            raise WireError(f"text on the {self.role} connection is not JSON: {payload[:60]!r}") from None
        self.sock.sendall(server_frame(compact(self.reply_to(request)).encode()))

    def reply_to(self, request: dict) -> dict:
        request_id = request.get("id")
        if self.role == "market":
            return {"result": None, "id": request_id}
        method, params = str(request.get("method")), request.get("params")
        if method == "session.logon" or "signature" in (params or {}):
            code = account.refuse_params(params or {}, account.now_ms())
            if code:
                refusal = {"code": code, "msg": account.REASONS[code]}
                return {"id": request_id, "status": 401, "error": refusal}
        result: object = {}
        if method == "session.logon":
            self.logged_on = True
            times = dict.fromkeys(("authorizedSince", "connectedSince", "serverTime"), account.now_ms())
            result = {"apiKey": account.API_KEY, **times, "returnRateLimits": False}
        return {"id": request_id, "status": 200, "result": result}


def role_of(target: str) -> str:
    """Which of the connections that `venue.c` serves a path asks for; "other" is served here."""
    if "ws-fapi" in target or "ws-api" in target:
        return "order"
    if "/private" in target:
        return "private" if account.LISTEN_KEY in target else "other"
    return "market" if any(part in target for part in ("stream", "/public", "/ws")) else "other"


class Venue:
    """The listening side: serves REST on threads, upgrades, and hands the timed connections out.

    The threads stay off the client's core: a question of the client's cold side then costs the venue time,
    not the client."""

    def __init__(
        self, feed: Feed, rest: dict[str, str] | None = None, cores: tuple[int, int] | None = None
    ) -> None:
        """`rest`: further replies by path, where a client asks for more than the built-in ones."""
        self.rest = rest_replies(feed) | {path: partial(str, text) for path, text in (rest or {}).items()}
        self.cores = cores
        self.asked: Counter[str] = Counter()  # REST requests by path, while the client ran
        self.refused: Counter[str] = Counter()
        self.peers: queue.Queue[Peer] = queue.Queue()
        self.open: list[socket.socket] = []
        self.closing = False
        self.listener = socket.create_server((HOST, 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, name="wire-accept", daemon=True).start()

    def __enter__(self) -> "Venue":
        return self

    def __exit__(self, *_: object) -> None:
        self.closing = True
        for sock in [self.listener, *self.open]:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def accept(self) -> None:
        self.leave_the_client_alone()
        while not self.closing:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.open.append(sock)
            threading.Thread(target=self.serve, args=(sock,), name="wire-serve", daemon=True).start()

    def leave_the_client_alone(self) -> None:
        """This thread, on any core but the client's."""
        if self.cores:
            os.sched_setaffinity(0, os.sched_getaffinity(0) - {self.cores[1]})

    def serve(self, sock: socket.socket) -> None:
        """HTTP on one connection until it closes or becomes a WebSocket."""
        buffer = bytearray()
        with suppress(OSError):  # the client went away: nothing to tell it
            while head := read_head(sock, buffer):
                target, headers = head
                if headers.get("upgrade", "").lower() == "websocket":
                    self.upgrade(Peer(sock, role_of(target), buffer), headers)
                    return
                self.reply(sock, target, headers)
                if headers.get("connection", "").lower() == "close":
                    break
            sock.close()

    def reply(self, sock: socket.socket, target: str, headers: dict[str, str]) -> None:
        path = target.partition("?")[0]
        answer, code = self.rest.get(path), account.refuse_request(target, headers)
        self.asked[path] += 1
        status, body = "200 OK", ""
        if code:
            status, body = "401 Unauthorized", compact({"code": code, "msg": account.REASONS[code]})
        elif answer is None:
            status, body = "404 Not Found", '{"code":-1,"msg":"not part of the wire benchmark"}'
        else:
            body = answer()
        self.refused[path] += status != "200 OK"
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        sock.sendall((head + body).encode())

    def upgrade(self, peer: Peer, headers: dict[str, str]) -> None:
        key = headers.get("sec-websocket-key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        peer.sock.sendall(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        if peer.role != "other":
            self.peers.put(peer)
            return
        while peer.receive():
            pass


def read_head(sock: socket.socket, buffer: bytearray) -> tuple[str, dict[str, str]] | None:
    """Request target and lower-case headers; the body of a request is read and dropped."""
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        data = sock.recv(1 << 16)
        if not data or len(buffer) > 1 << 16:
            return None
        buffer += data
    request, *lines = buffer[:end].decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    del buffer[: end + 4]
    body_bytes = int(headers.get("content-length", "0"))
    while len(buffer) < body_bytes:
        data = sock.recv(1 << 16)
        if not data:
            return None
        buffer += data
    del buffer[:body_bytes]
    parts = request.split(" ")
    return (parts[1], headers) if len(parts) == 3 else None


# ---- the timed part ----------------------------------------------------------------------------------------


class Job(ctypes.Structure):
    """`struct job` of venue.c, field by field."""

    _fields_ = (
        ("md_fd", ctypes.c_int32),
        ("order_fd", ctypes.c_int32),
        ("private_fd", ctypes.c_int32),
        ("second_fd", ctypes.c_int32),
        ("frames", ctypes.POINTER(ctypes.c_char_p)),
        ("lens", ctypes.POINTER(ctypes.c_int64)),
        ("n", ctypes.c_int64),
        ("first_timeout_ns", ctypes.c_int64),
        ("timeout_ns", ctypes.c_int64),
        ("late_ns", ctypes.c_int64),
        ("pause_min_ns", ctypes.c_int64),
        ("pause_max_ns", ctypes.c_int64),
        ("seed", ctypes.c_uint64),
        ("max_missed", ctypes.c_int64),
        ("out_ns", ctypes.POINTER(ctypes.c_int64)),
        ("orders", ctypes.c_char_p),
        ("slot_size", ctypes.c_int64),
        ("missed", ctypes.c_int64),
        ("strays", ctypes.c_int64),
        ("controls", ctypes.c_int64),
        ("orders_seen", ctypes.c_int64),
    )


@dataclass
class Setup:
    """What all clients of one run share."""

    feed: Feed
    build_dir: Path
    warmup: int
    cores: tuple[int, int] | None
    timeout_ns: int = 100_000_000
    late_ns: int = 1_000_000_000
    first_timeout_ns: int = 2_000_000_000
    pause_ns: tuple[int, int] = (50_000, 200_000)
    connect_timeout_s: float = 15.0
    settle_s: float = 0.3
    rest: dict[str, str] = field(default_factory=dict)


@dataclass
class Round:
    """One client process, all frames once: latency per frame (-1: no order) and the order payloads."""

    out_ns: list[int]
    orders: list[bytes]
    strays: int
    preempted: int
    logged_on: bool = False
    asked: int = 0  # REST requests
    refused: Counter[str] = field(default_factory=Counter)


def compile_c(source: Path, target: Path, *flags: str) -> Path:
    """`target`, compiled from `source` for this very machine."""
    compiler = os.environ.get("CC", "cc")
    if not shutil.which(compiler):
        raise WireError(f"wire needs a C compiler: {compiler} not found")
    command = [compiler, "-O3", "-march=native", "-Wall", *flags, "-o", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise WireError(f"{source.name} does not compile: {(done.stderr.splitlines() or ['?'])[0]}")
    return target


def run_client(name: str, argv_builder: ArgvBuilder, setup: Setup, seed: int = 1) -> Round:
    """Starts one client, lets it connect, times every frame, and leaves nothing behind."""
    with (
        Venue(setup.feed, setup.rest, setup.cores) as venue,
        client_process(name, argv_builder(venue.port), setup) as client,
    ):
        peers = connections(name, venue, client, setup)
        with pinned(setup.cores and setup.cores[0]):
            before = preemptions(client.pid)
            done = time_frames(name, peers, setup, seed)
            done.preempted = preemptions(client.pid) - before
        done.logged_on = peers["order"].logged_on
        done.asked, done.refused = venue.asked.total(), venue.refused
        return done


def preemptions(client_pid: int) -> int:
    """How often the scheduler took venue or client (main threads) off its core so far.

    On a quiet machine it stays near zero over a round. Where it does not, other processes made the tail.
    """
    return sum(
        involuntary_switches(path) for path in ("/proc/thread-self/status", f"/proc/{client_pid}/status")
    )


def involuntary_switches(path: str) -> int:
    with suppress(OSError):
        for line in Path(path).read_text().splitlines():
            if line.startswith("nonvoluntary_ctxt_switches"):
                return int(line.partition(":")[2])
    return 0


@contextmanager
def client_process(name: str, argv: list[str], setup: Setup) -> Iterator[subprocess.Popen]:
    """The client in a process group of its own, on its core; ended with everything it started."""
    log = setup.build_dir / f"{name}.log"
    with log.open("wb") as out:
        try:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        except OSError as error:
            raise WireError(f"{name}: cannot start {argv[0]}: {error.strerror}") from error
    try:
        if setup.cores:
            os.sched_setaffinity(process.pid, {setup.cores[1]})
        yield process
    except WireError as error:
        said = log.read_text(errors="replace").strip().splitlines()
        raise WireError(f"{error} ({name} said: {said[-1]})" if said else str(error)) from error
    finally:
        end(process)


def end(process: subprocess.Popen) -> None:
    """Asks the group to stop, then makes sure of it: a client may have children of its own."""
    for sign, patience_s in ((15, 2.0), (9, 5.0)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)


def connections(name: str, venue: Venue, client: subprocess.Popen, setup: Setup) -> dict[str, Peer]:
    """The timed connections by role, upgraded, with set-up requests answered and then silence. A client that
    asked for a listen key has a private stream too; "second" is a second market line."""
    peers: dict[str, Peer] = {}
    base = {"market", "order"} | ({"second"} if name in TWO_LINES else set())
    deadline_s = time.monotonic() + setup.connect_timeout_s
    quiet_since_s = time.monotonic()
    while True:
        with suppress(queue.Empty):
            peer = venue.peers.get(timeout=0.01)
            is_second = name in TWO_LINES and peer.role == "market" and "market" in peers
            peers["second" if is_second else peer.role] = peer
            quiet_since_s = time.monotonic()
        if any([answer_setup(name, peer, 0) for peer in peers.values()]):
            quiet_since_s = time.monotonic()
        wanted = base | ({"private"} if venue.asked["/fapi/v1/listenKey"] else set())
        if wanted <= set(peers) and time.monotonic() - quiet_since_s >= setup.settle_s:
            break
        if client.poll() is not None:
            raise WireError(f"{name}: ended with code {client.returncode} before it was connected")
        if time.monotonic() > deadline_s:
            raise WireError(
                f"{name}: not connected and silent after {setup.connect_timeout_s:g} s, has {sorted(peers)}"
            )
    if any(peer.buffer for peer in peers.values()):
        raise WireError(f"{name}: half a frame pending at the end of set-up")
    return peers


def answer_setup(name: str, peer: Peer, patience_s: float) -> bool:
    with selectors.DefaultSelector() as ready:
        ready.register(peer.sock, selectors.EVENT_READ)
        if not ready.select(patience_s):
            return False
    if not peer.receive():
        raise WireError(f"{name}: closed its {peer.role} connection during set-up")
    return True


def restamped(text: str, now_ns: int) -> str:
    """A recorded frame as if its venue had written it now: a node trades on no book of another day."""
    return re.sub(r'"([ET])":\d{13}\b', lambda x: f'"{x[1]}":{now_ns // 1_000_000}', text)


def time_frames(name: str, peers: dict[str, Peer], setup: Setup, seed: int) -> Round:
    """Hands the descriptors to venue.c and unpacks what it measured."""
    frames = [server_frame(restamped(text, time.time_ns()).encode()) for text in setup.feed.frames]
    n = len(frames)
    out_ns = (ctypes.c_int64 * n)()
    slots = ctypes.create_string_buffer(n * SLOT_BYTES)
    job = Job(
        md_fd=peers["market"].sock.fileno(),
        order_fd=peers["order"].sock.fileno(),
        private_fd=peers["private"].sock.fileno() if "private" in peers else -1,
        second_fd=peers["second"].sock.fileno() if "second" in peers else -1,
        frames=(ctypes.c_char_p * n)(*frames),
        lens=(ctypes.c_int64 * n)(*map(len, frames)),
        n=n,
        first_timeout_ns=setup.first_timeout_ns,
        timeout_ns=setup.timeout_ns,
        late_ns=setup.late_ns,
        pause_min_ns=setup.pause_ns[0],
        pause_max_ns=setup.pause_ns[1],
        seed=seed,
        max_missed=10 + n // 100,
        out_ns=out_ns,
        orders=ctypes.cast(slots, ctypes.c_char_p),
        slot_size=SLOT_BYTES,
    )
    code = ctypes.CDLL(str(setup.build_dir / "venue.so")).run(ctypes.byref(job))
    if code < 0:
        raise WireError(f"{name}: {ERRORS.get(code, code)} after {job.orders_seen} orders")
    raw = slots.raw
    orders = [raw[i : i + SLOT_BYTES].partition(b"\0")[0] for i in range(0, n * SLOT_BYTES, SLOT_BYTES)]
    return Round(list(out_ns), orders, job.strays, preempted=0)


# ---- the run -----------------------------------------------------------------------------------------------


def floor_argv(build_dir: Path) -> ArgvBuilder:
    return lambda port: [str(build_dir / "floor"), HOST, str(port), account.API_KEY, account.SECRET]


def plain_floor_argv(build_dir: Path) -> ArgvBuilder:
    """Without a key it signs nothing: what is left of an order when the connection is logged on."""
    return lambda port: [str(build_dir / "floor"), HOST, str(port)]


def naive_argv(_: Path) -> ArgvBuilder:
    naive = [sys.executable, str(HERE / "naive.py"), HOST]
    return lambda port: [*naive, str(port), account.API_KEY, account.SECRET]


# The clients that need nothing but this folder; the node's commands come from the caller of `run`.
CLIENTS: dict[str, Callable[[Path], ArgvBuilder]] = {
    "floor": floor_argv,
    "floor_plain": plain_floor_argv,
    "naive": naive_argv,
}
ORDER = ("floor", "node", "node_two_lines", "floor_plain", "node_logon", "naive")
TWO_LINES = ("node_two_lines",)
OTHERS = ("floor_plain", "node_logon", "naive")  # measured in one round of three: a run takes under a minute
LOOPS = {"floor": "spin", "floor_plain": "spin", "naive": "epoll"}
ASKS_CHECKED = ("floor", "floor_plain", "naive")
UNPROVEN = ("floor_plain",)  # neither signs nor logs on
ENTRY = {
    "floor": "HMAC of every order",
    "node": "HMAC of every order",
    "node_two_lines": "HMAC of every order",
    "naive": "HMAC of every order",
    "floor_plain": "not authenticated",
    "node_logon": "session.logon, Ed25519",
}


@contextmanager
def prepared(frames: int, warmup: int) -> Iterator[Setup]:
    """Feed loaded, C compiled, cores chosen."""
    feed = load_feed(frames + warmup)
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    with tempfile.TemporaryDirectory(prefix="tickgate-wire-") as folder:
        compile_c(HERE / "venue.c", Path(folder) / "venue.so", "-shared", "-fPIC")
        compile_c(HERE / "floor.c", Path(folder) / "floor")
        yield Setup(feed, Path(folder), warmup, (allowed[0], allowed[1]) if len(allowed) > 1 else None)


def run(
    node: ArgvBuilder | None = None,
    rounds: int = 3,
    frames: int = 4000,
    warmup: int = 500,
    progress: Progress = silent,
    node_loop: str = "spin",
    rest: dict[str, str] | None = None,
    node_logon: ArgvBuilder | None = None,
    node_two_lines: ArgvBuilder | None = None,
) -> dict:
    """The whole benchmark. `node(port)` returns the command that starts the node against 127.0.0.1:port, with
    an HMAC key; `node_logon(port)` the same with a key that logs on, `node_two_lines(port)` with two market
    lines. `rest` adds REST replies by path.
    """
    if rounds < 1 or frames < 1 or warmup < 0:
        raise WireError(f"rounds {rounds}, frames {frames}, warmup {warmup}: at least 1, 1 and 0 are needed")
    with prepared(frames, warmup) as setup:
        setup.rest |= rest or {}
        nodes = {"node": node, "node_logon": node_logon, "node_two_lines": node_two_lines}
        builders = {name: make(setup.build_dir) for name, make in CLIENTS.items()}
        builders |= {name: builder for name, builder in nodes.items() if builder}
        if not node_logon:
            del builders["floor_plain"]  # nobody to hold against it
        pools: dict[str, list[Round]] = {name: [] for name in ORDER if name in builders}
        for turn in range(rounds):
            for name in [x for x in pools if turn % 3 == 0 or x not in OTHERS]:
                progress(f"wire: round {turn + 1} of {rounds}, {name}")
                pools[name].append(run_client(name, builders[name], setup, seed=turn + 1))
        return {"wire": report(pools, setup, frames, node_loop)}


def report(pools: dict[str, list[Round]], setup: Setup, frames: int, node_loop: str) -> dict:
    """One summary per client, ratios, conditions. Where `quiet` is false, other processes made the p99."""
    result: dict = {name: summary(name, done, setup) for name, done in pools.items()}
    result |= ratios(result, "node", "floor", "") | ratios(result, "node_logon", "floor_plain", "_logon")
    result |= second_line(result)
    loops = {**LOOPS, "node": node_loop, "node_logon": node_loop, "node_two_lines": node_loop}
    result["conditions"] = conditions(setup) | {
        "quiet": all(result[name]["preempted"] < result[name]["count"] / 100 for name in pools),
        "loops": {name: loops[name] for name in pools},
        "order_entry": {name: ENTRY[name] for name in pools},
        "rounds": {name: len(done) for name, done in pools.items()},
        "frames_per_round": frames,
        "warmup_per_round": setup.warmup,
    }
    return result


def ratios(result: dict, node: str, floor: str, ending: str) -> dict:
    """p50 and p99 of a node over those of a floor, None where there is no such node."""
    keys = ("p50", "p99")
    if node not in result:
        return {f"ratio_{key}{ending}": None for key in keys}
    return {
        f"ratio_{key}{ending}": round(result[node][f"{key}_us"] / result[floor][f"{key}_us"], 3)
        for key in keys
    }


def second_line(result: dict) -> dict:
    """What the second market line costs: p50 and p99 over those of the node with one, None without either."""
    keys = ("p50", "p99")
    if not {"node", "node_two_lines"} <= set(result):
        return {f"second_line_{key}_ratio": None for key in keys}
    return {
        f"second_line_{key}_ratio": round(
            result["node_two_lines"][f"{key}_us"] / result["node"][f"{key}_us"], 3
        )
        for key in keys
    }


def summary(name: str, done: list[Round], setup: Setup) -> dict:
    """Percentiles over the pooled rounds. Over 1 % missed, or a wrong best ask: the run is invalid."""
    timed = [ns for one in done for ns in one.out_ns[setup.warmup :]]
    got = sorted(ns for ns in timed if ns >= 0)
    missed = len(timed) - len(got)
    off_ask = sum(count_off_ask(one, setup) for one in done)
    unproven = 0 if name in UNPROVEN else sum(count_unproven(one) for one in done)
    if not got or missed > len(timed) / 100:
        raise WireError(f"{name}: {missed} of {len(timed)} frames without an order, the run is invalid")
    if off_ask and name in ASKS_CHECKED:
        raise WireError(f"{name}: {off_ask} of {len(got)} orders not at the best ask, the run is invalid")
    if unproven:
        raise WireError(f"{name}: {unproven} orders without a valid signature or log-on, the run is invalid")
    out: dict = {f"{key}_us": round(percentile(got, q) / 1000, 2) for key, q in QUANTILES.items()}
    return out | {
        "count": len(got),
        "missed": missed,
        "strays": sum(one.strays for one in done),
        "off_best_ask": off_ask,
        "preempted": sum(one.preempted for one in done),
        "rest_requests": sum(one.asked for one in done),
        "rest_refused": dict(sum((one.refused for one in done), Counter())),
    }


QUANTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}


def count_off_ask(one: Round, setup: Setup) -> int:
    """Orders after warm-up whose price is not the best ask of the independent book."""
    pairs = list(zip(one.orders, setup.feed.best_asks, strict=True))[setup.warmup :]
    return sum(1 for order, ask in pairs if order and order_ticks(order) != ask)


def count_unproven(one: Round) -> int:
    """Orders that a venue would have refused: on a connection that is not logged on each must be signed."""
    orders = [json.loads(order)["params"] for order in one.orders if order]
    return 0 if one.logged_on else sum(1 for params in orders if account.refuse_params(params))


def order_ticks(order: bytes) -> int:
    return ticks(json.loads(order)["params"]["price"])


# ---- conditions --------------------------------------------------------------------------------------------


def conditions(setup: Setup) -> dict:
    """What a reader needs to judge an absolute figure."""
    cores = setup.cores
    return {
        **machine(),
        "pinning": f"venue on core {cores[0]}, client on core {cores[1]}" if cores else "none (one core)",
        "transport": "ws:// on 127.0.0.1, TCP_NODELAY; the node has a private stream besides the other two",
        "frames": setup.feed.source,
        "mean_frame_bytes": round(setup.feed.mean_bytes),
        "mean_levels": round(setup.feed.mean_levels, 1),
        "pause_us": [ns / 1000 for ns in setup.pause_ns],
        "timeout_ms": setup.timeout_ns / 1e6,
    }


def main() -> int:
    """Floor and naive alone, for work on this file: `python -m bench.wire [ROUNDS [FRAMES]]`."""
    rounds, frames = map(int, [*sys.argv[1:], *("3", "4000")[len(sys.argv) - 1 :]])
    try:
        result = run(rounds=rounds, frames=frames, progress=lambda text: print(text, file=sys.stderr))
    except WireError as error:
        print(f"wire: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The front door of a simulated venue: one TCP port for REST and WebSocket, TLS, and a bad network.

A client's connection is accepted here, and its bytes are passed on to the venue's WebSocket server or its
HTTP server, each behind a Unix socket: to the former where a request asks for an upgrade, also on a
connection that carried REST requests before, as HTTP clients with a pool do. On the way the bytes meet what
the `px.*` faults make of the network, per direction: "in" is from the client to the venue, "out" back.

A black hole holds bytes back while it lasts, as TCP would send them again; what is still held when the
connection ends is lost. A refused connection is accepted and reset at once.
"""

import asyncio
import contextlib
import itertools
import os
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable
from typing import cast

from node.sockets import OwnSocket
from node.venues.faults import Fault, Faults
from node.venues.parts import MS

RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends RST
HEAD_MAX = 65_536
PIECES_MAX = 4096  # of one chunk that is chopped
POLL_S = 0.01
Clock = Callable[[], int]
_numbers = itertools.count(1)


class Way:
    """One direction of a connection. `write(bytes)` passes on, `end()` half-closes; `push(None)` is the end
    of the stream."""

    def __init__(self, pipe: "Pipe", name: str, write: Callable[[bytes], None], end: Callable[[], None]):
        self.pipe, self.name, self.write, self.end = pipe, name, write, end
        self.queue: deque[tuple[int, bytes | None]] = deque()
        self.timer: asyncio.TimerHandle | None = None
        self.free_ns = 0  # when a slow line can take more
        self.closed = False

    def push(self, data: bytes | None) -> None:
        if self.closed:
            return
        if not self.queue and not self.pipe.front.faults.touches("px"):
            self._pass(data)
        else:
            self._disturb(data)

    def drop(self) -> None:
        """Nothing is passed on any more."""
        self.closed = True
        self.queue.clear()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _pass(self, data: bytes | None) -> None:
        if data is None:
            self.end()
        else:
            self.write(data)

    def _fault(self, name: str, once: bool = False) -> Fault | None:
        front, pipe = self.pipe.front, self.pipe
        meet = front.faults.hit if once else front.faults.standing
        return meet(name, front.clock(), way=self.name, path=pipe.path, stream=pipe.kind)

    def _disturb(self, data: bytes | None) -> None:
        if data is not None:
            if self._fault("px.rst", once=True):
                self.pipe.reset()
                return
            if self._fault("px.half", once=True):
                self.end()
                self.drop()
                return
            if fault := self._fault("px.corrupt", once=True):
                data = flip(data, fault)
        now_ns = self.pipe.front.clock()
        due_ns = max(now_ns, self.queue[-1][0] if self.queue else 0)
        if fault := self._fault("px.delay"):
            jitter_ns = fault.ns("jitter")
            late_ns = fault.ns("delay", 100 * MS) + (fault.rng.randrange(jitter_ns) if jitter_ns else 0)
            due_ns = max(due_ns, now_ns + late_ns)
        if fault := self._fault("px.merge"):
            due_ns = self._merge(now_ns + fault.ns("delay", 50 * MS))
            if data is not None and self.queue and self.queue[-1][0] == due_ns and self.queue[-1][1]:
                self.queue[-1] = (due_ns, cast(bytes, self.queue[-1][1]) + data)
                data = b""
        if data != b"":
            self.queue.append((due_ns, data))
        self._pump()

    def _merge(self, due_ns: int) -> int:
        """What waits already goes together with what comes."""
        return self.queue[-1][0] if self.queue else due_ns

    def _pump(self) -> None:
        """Pass on what is due, as far as the network lets it."""
        if self.timer is not None:
            return
        while self.queue and not self.closed:
            now_ns = self.pipe.front.clock()
            due_ns, data = self.queue[0]
            if self._fault("px.blackhole"):
                self._later(POLL_S)
                return
            if max(due_ns, self.free_ns) > now_ns:
                self._later((max(due_ns, self.free_ns) - now_ns) / 1e9)
                return
            self.queue.popleft()
            if data is not None and (fault := self._fault("px.rate")):
                data = self._throttle(due_ns, data, int(fault.get("bytes_per_s", 10_000)), now_ns)
            if data is not None and (fault := self._fault("px.chop")):
                for piece in chop(data, int(fault.get("n", 1))):
                    self.write(piece)
            else:
                self._pass(data)

    def _throttle(self, due_ns: int, data: bytes, bytes_per_s: int, now_ns: int) -> bytes:
        """What a slow line takes at once: 10 ms worth; the rest goes back."""
        size = max(1, bytes_per_s // 100)
        self.free_ns = now_ns + min(size, len(data)) * 1_000_000_000 // max(1, bytes_per_s)
        if len(data) > size:
            self.queue.appendleft((due_ns, data[size:]))
        return data[:size]

    def _later(self, delay_s: float) -> None:
        self.timer = asyncio.get_running_loop().call_later(delay_s, self._again)

    def _again(self) -> None:
        self.timer = None
        self._pump()


class Back(asyncio.Protocol):
    """The side of a pipe that faces one of the venue's servers."""

    def __init__(self, pipe: "Pipe", kind: str):
        self.pipe, self.kind = pipe, kind
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.pipe.back is self:
            self.pipe.outward.push(data)

    def eof_received(self) -> bool:
        if self.pipe.back is self:
            self.pipe.outward.push(None)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self.pipe.back is self:
            self.pipe.back_lost()

    def pause_writing(self) -> None:
        if self.pipe.back is self:
            self.pipe.pause()

    def resume_writing(self) -> None:
        if self.pipe.back is self:
            self.pipe.resume()


class Pipe(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, front: "Front"):
        self.front = front
        self.transport: asyncio.Transport | None = None
        self.back: Back | None = None
        self.kind = ""  # "ws" or "http", once a request said so
        self.path = ""  # of the latest request
        self.ip = ""
        self.name = b""
        self.inward = Way(self, "in", self._route, self._end_back)
        self.outward = Way(self, "out", self._write, self._end_client)
        self._buffer = b""  # bytes whose destination is not known yet
        self._body_left = 0  # of the request that is being passed on; -1 = everything that comes
        self._connecting = False
        self._ended = False  # the client's end came while the back was being connected

    # ---- the client's side ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.ip = peer[0] if peer else ""
        self.front.pipes.add(self)
        if self.front.faults.hit("px.refuse", self.front.clock()):
            self.reset()

    def data_received(self, data: bytes) -> None:
        if self.kind != "ws" and self.front.faults.touches("px"):  # a fault may mean some requests only
            kind, path, _ = read_head(data)
            self.kind, self.path = (kind, path) if path else (self.kind, self.path)
        self.inward.push(data)

    def eof_received(self) -> bool:
        self.inward.push(None)
        return self.transport is not None and self.transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        self.front.pipes.discard(self)
        self.front.names.pop(self.name, None)
        self.inward.drop()
        self.outward.drop()
        if self.back is not None and self.back.transport is not None:
            if exc is None:
                self.back.transport.close()
            else:
                self.back.transport.abort()

    def pause_writing(self) -> None:
        if self.back is not None and self.back.transport is not None:
            self.back.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.back is not None and self.back.transport is not None:
            self.back.transport.resume_reading()

    def pause(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def reset(self) -> None:
        """End the client's connection with RST; what was not sent yet is lost."""
        self.inward.drop()
        self.outward.drop()
        if self.transport is not None and not self.transport.is_closing():
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.transport.abort()

    def close(self) -> None:
        """End the client's connection without an answer."""
        self.inward.drop()
        self.outward.drop()
        if self.transport is not None:
            self.transport.close()

    def _write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def _end_client(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            with contextlib.suppress(OSError):
                self.transport.write_eof()
        else:
            self.transport.close()

    def back_lost(self) -> None:
        """The venue's server is done with this connection: so is the client, when all is written."""
        if self.outward.queue:
            asyncio.get_running_loop().call_later(POLL_S, self.back_lost)
        elif self.transport is not None and not self.transport.is_closing():
            self.transport.close()

    # ---- the venue's side ----

    def _end_back(self) -> None:
        if self._connecting:
            self._ended = True
        elif self.back is None or self.back.transport is None:
            if self.transport is not None:
                self.transport.close()
        elif self.back.transport.can_write_eof() and not self.back.transport.is_closing():
            with contextlib.suppress(OSError):
                self.back.transport.write_eof()

    def _route(self, data: bytes) -> None:
        """Bytes that arrive at the venue: which of its servers are they for?"""
        self._buffer += data
        while self._buffer and not self._connecting:
            if self._body_left:
                size = len(self._buffer) if self._body_left < 0 else self._body_left
                part, self._buffer = self._buffer[:size], self._buffer[size:]
                self._body_left -= len(part) if self._body_left > 0 else 0
                self._forward(part)
                continue
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0 and len(self._buffer) < HEAD_MAX:
                return
            self._on_head(self._buffer[: end + 4] if end >= 0 else b"")

    def _on_head(self, head: bytes) -> None:
        """A request begins. What is no HTTP is for the HTTP server to refuse."""
        kind, self.path, body = read_head(head)
        if self.back is None or kind != self.back.kind:
            self._connect(kind)
            return
        size = len(head) or len(self._buffer)
        part, self._buffer = self._buffer[:size], self._buffer[size:]
        self._body_left = body
        self._forward(part)

    def _forward(self, data: bytes) -> None:
        if self.back is not None and self.back.transport is not None and not self.back.transport.is_closing():
            self.back.transport.write(data)

    def _connect(self, kind: str) -> None:
        self._connecting = True
        before, self.back, self.kind = self.back, None, kind
        if before is not None and before.transport is not None:
            before.transport.close()
        self.front.spawn(self._open_back(kind))

    async def _open_back(self, kind: str) -> None:
        """Connect to one of the venue's servers, under a name by which it can ask who the client is."""
        back = Back(self, kind)
        self.front.names.pop(self.name, None)
        self.name = b"\0tickgate-%d-%d" % (os.getpid(), next(_numbers))
        self.front.names[self.name] = self
        sock = OwnSocket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.bind(self.name)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, self.front.backs[kind])
            await loop.create_unix_connection(lambda: back, sock=sock)
        except OSError:
            sock.close()
            self.close()
            return
        self.back, self._connecting = back, False
        if self.transport is None or self.transport.is_closing():
            cast(asyncio.Transport, back.transport).close()
            return
        self._route(b"")
        if self._ended:
            self._end_back()


class Front:
    """Listens on loopback and pipes to the servers at `backs`: "ws" and "http" -> Unix socket name."""

    def __init__(self, faults: Faults, clock: Clock, backs: dict[str, bytes]):
        self.faults, self.clock, self.backs = faults, clock, backs
        self.pipes: set[Pipe] = set()
        self.names: dict[bytes, Pipe] = {}  # name of the connection to a server -> whose it is
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task] = set()

    async def listen(self, host: str, port: int, context: ssl.SSLContext | None = None) -> int:
        """Listen on one more port; returns it. Raises OSError."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Pipe(self), host, port, ssl=context)
        self._servers.append(server)
        return server.sockets[0].getsockname()[1]

    def client_of(self, transport: asyncio.BaseTransport) -> Pipe | None:
        """The client at the other end of a server's connection."""
        name = transport.get_extra_info("peername")
        return self.names.get(name.encode() if isinstance(name, str) else name)

    def spawn(self, work) -> None:
        task = asyncio.create_task(work, name="front connect")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def reset_all(self) -> int:
        """Reset every connection; returns how many."""
        pipes = list(self.pipes)
        for pipe in pipes:
            pipe.reset()
        return len(pipes)

    def stop_listening(self) -> None:
        for server in self._servers:
            server.close()

    async def stop(self) -> None:
        """Close what is still open."""
        self.stop_listening()
        for pipe in list(self.pipes):
            pipe.reset()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        while self.pipes:
            await asyncio.sleep(0)


def read_head(head: bytes) -> tuple[str, str, int]:
    """Of the head of a request: "ws" or "http", its target, and the size of its body (-1: everything that
    follows belongs to it)."""
    lines = head.split(b"\r\n")
    words = lines[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        return "http", "", -1
    fields = {}
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip()
    path = words[1].decode("latin-1")
    if fields.get(b"upgrade", b"").lower() == b"websocket":
        return "ws", path, -1
    length = fields.get(b"content-length", b"0")
    if b"transfer-encoding" in fields or not length.isdigit():
        return "http", path, -1
    return "http", path, int(length)


def chop(data: bytes, size: int) -> list[bytes]:
    """Pieces of `size` bytes, larger ones where there would be too many."""
    size = max(1, size, -(-len(data) // PIECES_MAX))
    return [data[i : i + size] for i in range(0, len(data), size)]


def flip(data: bytes, fault: Fault) -> bytes:
    """The same bytes with one bit changed."""
    at = fault.rng.randrange(len(data) * 8)
    changed = bytearray(data)
    changed[at // 8] ^= 1 << (at % 8)
    return bytes(changed)

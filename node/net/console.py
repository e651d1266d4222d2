"""The control socket of a running node: one JSON line in, one out, and the connection ends.

It lives in the tape's directory and is its owner's alone (0600; the kernel says who calls, `SO_PEERCRED`).
It is served
by the node's own loop between two turns, so everything is bounded: so many callers, so many bytes, so
long, so many
requests a second. A caller that is slow, silent or talks nonsense is hung up on and costs nothing else.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from node.control import USAGE, Control
from node.errors import UserError

NAME = "control.sock"
CALLERS = 8
LINE_MAX = 4096
ANSWER_MAX = 256 * 1024
IDLE_S = 2.0  # from the call to the end of the answer
REQUESTS_PER_S = 50  # of what may wait: status, limits, stop, resume
BUSY = "busy: too many callers; ask again in a second"
AT_ONCE = ("halt", "flatten")  # never turned away for being too many
CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


class Console:
    """Serves `control` on a socket in `directory` from `start` to `close`."""

    def __init__(self, control: Control, directory: Path, now_ns: Callable[[], int]):
        self.control, self.directory, self.now_ns = control, directory, now_ns
        self.callers: set[_Caller] = set()
        self.server: asyncio.AbstractServer | None = None
        self.second = self.asked = 0

    async def start(self) -> None:
        """Listen. A socket that is there already is of a node that is gone: whoever writes the tape holds
        its lock. Raises
        UserError."""
        try:
            (self.directory / NAME).unlink(missing_ok=True)
            listening = _bound(self.directory)
        except OSError as error:
            raise UserError(f"{self.directory / NAME}: {error.strerror}") from None
        loop = asyncio.get_running_loop()
        self.server = await loop.create_unix_server(lambda: _Caller(self), sock=listening, backlog=CALLERS)

    def close(self) -> None:
        if self.server is None:
            return
        self.server.close()
        for caller in list(self.callers):
            caller.hang_up()
        (self.directory / NAME).unlink(missing_ok=True)
        self.server = None

    def answer(self, line: bytes, uid: int) -> dict[str, Any]:
        """What comes of one line of a caller."""
        try:
            request = orjson.loads(line)
        except ValueError:
            return {"ok": False, "code": USAGE, "error": "a request must be one line of JSON"}
        now_ns = self.now_ns()
        name = request.get("do") if isinstance(request, dict) else None
        if name not in AT_ONCE and self._too_many(now_ns):
            return {"ok": False, "code": 1, "error": "busy: too many requests; ask again in a second"}
        return self.control.do(request, now_ns, uid)

    def _too_many(self, now_ns: int) -> bool:
        second = now_ns // 10**9
        if second != self.second:
            self.second, self.asked = second, 0
        self.asked += 1
        return self.asked > REQUESTS_PER_S


class _Caller(asyncio.Protocol):
    """One connection: one request, one answer."""

    def __init__(self, console: Console):
        self.console = console
        self.heard = bytearray()
        self.transport: Any = None
        self.uid = -1
        self.refusal = ""
        self.over: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.over = asyncio.get_running_loop().call_later(IDLE_S, self.hang_up)
        callers = self.console.callers
        if len(callers) >= 2 * CALLERS:
            transport.abort()
            return
        self.uid = uid_of(transport.get_extra_info("socket"))
        if self.uid not in (os.getuid(), 0):
            self.refusal = f"permission denied: user {self.uid} does not own this node"
        elif len(callers) >= CALLERS:
            self.refusal = BUSY
        callers.add(self)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self.heard += data
        if self.refusal:  # only now: who hangs up on what was not read takes the answer with it
            told = {"ok": False, "code": 1, "error": self.refusal}
            self._say(told | ({"busy": True} if self.refusal == BUSY else {}))
            return
        line, end, more = bytes(self.heard).partition(b"\n")
        if len(line) > LINE_MAX:
            self._say({"ok": False, "code": USAGE, "error": f"a request must be at most {LINE_MAX} bytes"})
        elif end:
            text = "one request in one connection"
            self._say(
                {"ok": False, "code": USAGE, "error": text} if more else self.console.answer(line, self.uid)
            )

    def connection_lost(self, error: Exception | None) -> None:
        self.console.callers.discard(self)
        if self.over is not None:
            self.over.cancel()

    def hang_up(self) -> None:
        self.transport.abort()

    def _say(self, answer: dict[str, Any]) -> None:
        """Into the socket's own buffer; what a caller does not read in time is dropped with it."""
        text = orjson.dumps(answer)
        if len(text) > ANSWER_MAX:
            text = orjson.dumps({"ok": False, "code": 1, "error": "the answer is too long"})
        self.transport.write(text + b"\n")
        self.transport.close()


def _bound(directory: Path) -> socket.socket:
    """A listening socket that is nobody else's. Bound through the directory's descriptor: the path of a
    socket can be 107
    bytes long, that of a directory more."""
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listening.bind(f"/proc/self/fd/{folder}/{NAME}")
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(before)
        os.close(folder)
    listening.setblocking(False)
    return listening


def uid_of(sock: Any) -> int:
    """Who calls, as the kernel says."""
    told = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    return CREDENTIALS.unpack(told)[1]

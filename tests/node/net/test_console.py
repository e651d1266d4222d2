"""The control socket: its owner's alone, bounded in every way, and gone with the node."""

import asyncio
import json
import os
import socket
import stat
import struct

import pytest

from node.net import console as module
from node.net.console import CALLERS, LINE_MAX, NAME, Console


class Told:
    """A control that answers and remembers."""

    def __init__(self):
        self.asked = []

    def do(self, request, now_ns, uid):
        self.asked.append((request, uid))
        return {"ok": True, "code": 0, "echo": request}


@pytest.fixture
def play(tmp_path):
    """Run `scenario(console, folder)` with a console that listens."""
    folder = tmp_path / ("deep" * 30)  # longer than the path of a socket can be
    folder.mkdir()

    def run(scenario):
        async def main():
            console = Console(Told(), folder, lambda: 5)
            await console.start()
            try:
                await asyncio.wait_for(scenario(console, folder), 10)
            finally:
                console.close()
            assert not (folder / NAME).exists()

        asyncio.run(main())

    return run


async def call(folder, data: bytes | None, chunks: int = 1) -> dict | None:
    """One connection; None where it was closed without a word."""
    sock = socket.socket(socket.AF_UNIX)
    fd = os.open(folder, os.O_RDONLY)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(sock, f"/proc/self/fd/{fd}/{NAME}")
        if data is not None:
            step = max(1, len(data) // chunks)
            for i in range(0, len(data), step):
                await loop.sock_sendall(sock, data[i : i + step])
                await asyncio.sleep(0)
        out = b""
        while more := await loop.sock_recv(sock, 65536):
            out += more
        return json.loads(out) if out else None
    except (ConnectionResetError, BrokenPipeError):
        return None
    finally:
        os.close(fd)
        sock.close()


def test_one_line_in_one_line_out_whole_or_in_pieces(play):
    async def scenario(console, folder):
        for chunks in (1, 7):
            answer = await call(folder, b'{"do": "status"}\n', chunks)
            assert answer == {"ok": True, "code": 0, "echo": {"do": "status"}}
        assert console.control.asked[0] == ({"do": "status"}, os.getuid())

    play(scenario)


def test_the_socket_is_its_owners_alone(play):
    async def scenario(console, folder):
        mode = (folder / NAME).stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600

    play(scenario)


def test_another_user_is_turned_away_before_anything_is_read(play, monkeypatch):
    monkeypatch.setattr(module, "uid_of", lambda sock: 12345)

    async def scenario(console, folder):
        answer = await call(folder, b'{"do": "status"}\n')
        assert answer["error"] == "permission denied: user 12345 does not own this node"
        assert console.control.asked == []

    play(scenario)


def test_the_kernel_says_who_calls():
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert module.uid_of(ours) == os.getuid()
    assert module.CREDENTIALS.size == struct.calcsize("3i")


@pytest.mark.parametrize("data", [b"garbage\n", b"\xff\xfe\n", b"\n", b"{\n", b"\x00" * 10 + b"\n", b"nan\n"])
def test_garbage_gets_an_answer_and_no_more(play, data):
    async def scenario(console, folder):
        answer = await call(folder, data)
        assert (answer["ok"], answer["code"]) == (False, 2)
        assert console.control.asked == []
        assert (await call(folder, b"{}\n"))["ok"]

    play(scenario)


def test_what_is_too_long_or_two_at_once_is_refused_unread(play):
    async def scenario(console, folder):
        answer = await call(folder, b"x" * (LINE_MAX + 1))
        assert answer is None or "at most" in answer["error"]
        assert "one request" in (await call(folder, b"{}\n{}\n"))["error"]
        assert console.control.asked == []

    play(scenario)


def test_a_silent_caller_is_hung_up_on_and_others_are_served_meanwhile(play, monkeypatch):
    monkeypatch.setattr(module, "IDLE_S", 0.2)

    async def scenario(console, folder):
        silent = asyncio.ensure_future(call(folder, b'{"do"'))
        await asyncio.sleep(0.02)
        assert (await call(folder, b"{}\n"))["ok"]
        assert await silent is None
        assert console.callers == set()

    play(scenario)


def test_more_callers_than_there_is_room_for_are_told_to_come_back(play):
    async def scenario(console, folder):
        waiting = [asyncio.ensure_future(call(folder, b"{")) for _ in range(CALLERS)]
        await asyncio.sleep(0.05)
        assert len(console.callers) == CALLERS
        assert "busy" in (await call(folder, b"{}\n"))["error"]
        for caller in list(console.callers):
            caller.hang_up()
        await asyncio.gather(*waiting)
        await asyncio.sleep(0.02)
        assert (await call(folder, b"{}\n"))["ok"]

    play(scenario)


def test_too_many_requests_in_a_second_wait_but_a_halt_does_not(play):
    async def scenario(console, folder):
        for _ in range(module.REQUESTS_PER_S):
            assert console.answer(b"{}", 0)["ok"]
        assert "busy" in console.answer(b"{}", 0)["error"]
        assert console.answer(b'{"do": "halt"}', 0)["ok"]
        console.now_ns = lambda: 10**9
        assert console.answer(b"{}", 0)["ok"]

    play(scenario)


def test_the_socket_of_a_node_that_is_gone_makes_room(tmp_path):
    (tmp_path / NAME).write_text("stale")

    async def main():
        console = Console(Told(), tmp_path, lambda: 5)
        await console.start()
        assert (await call(tmp_path, b"{}\n"))["ok"]
        console.close()

    asyncio.run(main())

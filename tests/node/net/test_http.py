"""REST over a warm pool, against a real server that answers, refuses, redirects, cuts and stays silent."""

import asyncio
import socket

import aiohttp
import pytest
from aiohttp import web

from node.errors import Unreachable
from node.net import http as module
from node.net.http import Http
from node.venues.values import Request


class Server:
    """What came in, and what goes out: (status, body, headers)."""

    def __init__(self):
        self.answer: tuple[int, bytes, dict] = (200, b"{}", {})
        self.seen: list[tuple[str, str, dict, bytes]] = []
        self.peers: set = set()
        self.wait_s = 0.0
        self.dies = False

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.seen.append((request.method, request.raw_path, dict(request.headers), body))
        self.peers.add(request.transport.get_extra_info("peername"))
        await asyncio.sleep(self.wait_s)
        if self.dies:
            request.transport.abort()
        status, body, headers = self.answer
        return web.Response(status=status, body=body, headers=headers)


def play(scenario):
    async def main():
        server = Server()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", server.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            async with asyncio.timeout(30), Http() as http:
                await scenario(server, base, http)
        finally:
            await runner.cleanup()

    asyncio.run(main())


def test_method_target_headers_and_body_arrive_as_given():
    async def scenario(server, base, http):
        server.answer = 200, b'{"a":1}', {}
        request = Request("POST", "/api/v3/order?symbol=A&n=1%2C2", (("X-Key", "k"),), b"x=1")
        assert await http.fetch(base, request) == b'{"a":1}'
        method, target, headers, body = server.seen[0]
        assert (method, target, headers["X-Key"], body) == (
            "POST",
            "/api/v3/order?symbol=A&n=1%2C2",
            "k",
            b"x=1",
        )
        await http.fetch(base + "/", Request("GET", "/x"))
        assert server.seen[1][:2] == ("GET", "/x")

    play(scenario)


def test_the_connection_is_kept_warm():
    async def scenario(server, base, http):
        for _ in range(5):
            await http.fetch(base, Request("GET", "/"))
        assert len(server.peers) == 1

    play(scenario)


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 403, 404, 418, 429, 500, 503])
def test_anything_but_success_is_one_line_with_address_status_and_what_was_said(status):
    async def scenario(server, base, http):
        server.answer = status, b"no\xff " + b"x" * 1000, {"Location": base + "/elsewhere"}
        with pytest.raises(Unreachable) as told:
            await http.fetch(base, Request("GET", "/api?key=1"))
        assert str(told.value).startswith(f"{base}/api?key=1: HTTP {status}: no")
        assert len(str(told.value)) < 300
        assert len(server.seen) == 1  # a redirect is not followed

    play(scenario)


def test_a_post_on_a_connection_that_dies_before_it_answers_is_sent_once():
    """It may be an order: nothing below us repeats it."""

    async def scenario(server, base, http):
        await http.fetch(base, Request("GET", "/time"))
        server.dies = True
        with pytest.raises(Unreachable):
            await http.send(base, Request("POST", "/order", (), b"x=1"))
        assert [x[0] for x in server.seen] == ["GET", "POST"]

    play(scenario)


def test_silence_is_given_up_on(monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", aiohttp.ClientTimeout(total=0.1))

    async def scenario(server, base, http):
        server.wait_s = 5
        with pytest.raises(Unreachable, match="no answer within"):
            await http.fetch(base, Request("GET", "/"))

    play(scenario)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\x01\x02\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 999999 ?\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
    ],
)
def test_a_server_that_breaks_the_protocol_is_unreachable(answer):
    async def handle(reader, writer):
        await reader.read(4096)
        writer.write(answer)
        writer.close()

    async def scenario(server, base, http):
        async with await asyncio.start_server(handle, "127.0.0.1", 0) as odd:
            base = f"http://127.0.0.1:{odd.sockets[0].getsockname()[1]}"
            with pytest.raises(Unreachable, match=base):
                await http.fetch(base, Request("GET", "/"))

    play(scenario)


def test_a_port_that_refuses_and_a_host_that_is_not_there_are_unreachable():
    async def scenario(server, base, http):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            refusing = f"http://127.0.0.1:{sock.getsockname()[1]}"
        for base in (refusing, "http://host.invalid:1"):
            with pytest.raises(Unreachable, match=base):
                await http.fetch(base, Request("GET", "/"))

    play(scenario)


def test_an_unreachable_venue_is_an_error_of_the_operating_system():
    """So that whoever deals with lost connections deals with it."""
    assert issubclass(Unreachable, OSError)

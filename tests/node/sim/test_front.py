"""The front door on real sockets: what the network does to bytes, by direction."""

import asyncio
import contextlib
import time

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from node.sim.front import chop, read_head
from node.sim.serve import VenueServer
from node.venues.fakes import FakeVenue, Listing

BROKEN = (OSError, EOFError, WebSocketException)


class Echo(FakeVenue):
    def receive(self, connection, text, now_ns):
        connection.notes.setdefault("heard", []).append(text)
        self.send(connection, f"echo {text}")

    def http(self, method, target, headers, body, now_ns):
        self.counts["http"] = self.counts.get("http", 0) + 1
        return 200, body or b"{}"


def run(scenario):
    async def main():
        server = VenueServer(Echo([Listing("BTCUSDT", "0.1", "0.001", 1)]), time.time_ns)
        endpoint = await server.start()
        try:
            async with asyncio.timeout(30):
                await scenario(server, server.fake.faults, endpoint)
        finally:
            await server.stop()
        assert not server.front.pipes
        assert not server.front.names
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"left running: {left}"

    asyncio.run(main())


def heard(server):
    return [x for c in server.fake.connections.values() for x in c.notes.get("heard", [])]


async def asked(ws, text="a", timeout_s=0.15):
    """The answer to a frame, None where none comes in time."""
    await ws.send(text)
    try:
        return await asyncio.wait_for(ws.recv(), timeout_s)
    except TimeoutError:
        return None


def test_a_black_hole_towards_the_venue_hides_the_frame_from_it_until_it_heals():
    async def scenario(server, faults, endpoint):
        async with connect(endpoint.ws_url + "/ws") as ws:
            faults.add("px.blackhole", way="in")
            assert await asked(ws) is None
            assert heard(server) == []
            assert faults.counts["px.blackhole"] == 1
            faults.clear()
            assert await ws.recv() == "echo a"

    run(scenario)


def test_a_black_hole_from_the_venue_lets_the_frame_through_and_hides_the_answer():
    async def scenario(server, faults, endpoint):
        async with connect(endpoint.ws_url + "/ws") as ws:
            faults.add("px.blackhole", way="out", for_ns=300_000_000)
            assert await asked(ws) is None
            assert heard(server) == ["a"]
            assert await ws.recv() == "echo a"

    run(scenario)


def test_a_path_restricts_a_fault_to_some_connections():
    async def scenario(server, faults, endpoint):
        async with connect(endpoint.ws_url + "/public") as a, connect(endpoint.ws_url + "/private") as b:
            faults.add("px.blackhole", path="private")
            assert await asked(a) == "echo a"
            assert await asked(b) is None
            faults.clear()

    run(scenario)


def test_bytes_that_come_one_by_one_or_all_together_are_the_same_frames():
    async def scenario(server, faults, endpoint):
        async with connect(endpoint.ws_url + "/ws") as ws:
            faults.add("px.chop", n=1)
            for i in range(3):
                assert await asked(ws, f"{i}" * 200, 2) == "echo " + f"{i}" * 200
            faults.clear()
            faults.add("px.merge", delay_ms=30)
            for i in range(20):
                await ws.send(str(i))
            assert [await ws.recv() for _ in range(20)] == [f"echo {i}" for i in range(20)]
            assert faults.counts == {"px.chop": 1, "px.merge": 1}

    run(scenario)


def test_a_delay_and_a_slow_line_take_their_time_and_keep_the_order():
    async def scenario(server, faults, endpoint):
        loop = asyncio.get_running_loop()
        async with connect(endpoint.ws_url + "/ws") as ws:
            faults.add("px.delay", way="out", delay_ms=60, jitter_ms=20)
            begin = loop.time()
            for i in range(5):
                await ws.send(str(i))
            assert [await ws.recv() for _ in range(5)] == [f"echo {i}" for i in range(5)]
            assert 0.06 <= loop.time() - begin < 0.5
            faults.clear()
            faults.add("px.rate", way="out", bytes_per_s=10_000)
            begin = loop.time()
            assert len(await asked(ws, "x" * 2000, 5)) == 2005
            assert 0.15 <= loop.time() - begin < 2

    run(scenario)


@pytest.mark.parametrize("way", ["in", "out"])
def test_a_reset_before_or_after_the_request_arrived(way):
    async def scenario(server, faults, endpoint):
        faults.add("px.rst", way=way, stream="http", count=1)
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.post(endpoint.http_url + "/order", data=b"{}")
        assert server.fake.counts.get("http", 0) == (1 if way == "out" else 0)
        assert faults.counts == {"px.rst": 1}

    run(scenario)


def test_refused_connections_are_reset_and_a_share_of_them_gets_through():
    async def scenario(server, faults, endpoint):
        faults.add("px.refuse", every=0.5)
        ok = 0
        for _ in range(20):
            try:
                async with connect(endpoint.ws_url + "/ws"):
                    ok += 1
            except BROKEN:
                continue
        assert ok + faults.counts["px.refuse"] == 20
        assert 0 < ok < 20

    run(scenario)


def test_a_storm_resets_everybody():
    async def scenario(server, faults, endpoint):
        async with connect(endpoint.ws_url + "/ws") as ws:
            server.fake.strike(faults.add("px.storm", s=0.2), time.time_ns())
            with pytest.raises(ConnectionClosed):
                await ws.recv()
            with pytest.raises(BROKEN):
                await connect(endpoint.ws_url + "/ws")
            await asyncio.sleep(0.25)
            async with connect(endpoint.ws_url + "/ws") as again:
                assert await asked(again) == "echo a"

    run(scenario)


def test_a_half_closed_connection_ends_one_way_only():
    async def scenario(server, faults, endpoint):
        faults.add("px.half", way="out", count=1)
        port = int(endpoint.http_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await reader.read() == b""
        writer.write(b"GET /y HTTP/1.1\r\nHost: a\r\n\r\n")
        while server.fake.counts.get("http", 0) < 2:
            await asyncio.sleep(0.01)
        writer.close()

    run(scenario)


def test_corrupted_bytes_do_not_break_the_server():
    async def scenario(server, faults, endpoint):
        faults.add("px.corrupt", every=0.5)
        for _ in range(20):
            with contextlib.suppress(*BROKEN):
                async with connect(endpoint.ws_url + "/ws", open_timeout=0.3, close_timeout=0.1) as ws:
                    await asked(ws, "hello", 0.05)
        assert faults.counts["px.corrupt"] > 5
        faults.clear()
        async with connect(endpoint.ws_url + "/ws") as ws:
            assert await asked(ws) == "echo a"

    run(scenario)


@pytest.mark.parametrize(
    "raw", [b"\x16\x03\x01 nonsense\r\n\r\n", b"GET\r\n\r\n", b"x" * 70_000, b"POST / HTTP/1.1\r\nA"]
)
def test_what_is_no_http_is_refused_or_waited_for(raw):
    async def scenario(server, faults, endpoint):
        port = int(endpoint.http_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(raw)
        writer.write_eof()
        said = await reader.read()
        assert said == b"" or b" 400 " in said.split(b"\r\n")[0]
        writer.close()

    run(scenario)


def test_the_head_of_a_request_says_where_it_goes():
    assert read_head(b"GET /a?b HTTP/1.1\r\nUPGRADE: WebSocket\r\n\r\n") == ("ws", "/a?b", -1)
    assert read_head(b"POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\n") == ("http", "/a", 5)
    assert read_head(b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n") == ("http", "/a", -1)
    assert read_head(b"GET /a HTTP/1.1\r\n\r\n") == ("http", "/a", 0)
    assert read_head(b"SSH-2.0\r\n\r\n") == ("http", "", -1)


def test_pieces_are_of_the_size_asked_for_unless_there_would_be_too_many():
    assert chop(b"abcde", 2) == [b"ab", b"cd", b"e"]
    assert len(chop(b"x" * 1_000_000, 1)) <= 4096

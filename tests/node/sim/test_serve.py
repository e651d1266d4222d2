"""Venue servers on loopback, seen by a real `websockets` client: order, faults, slow readers, clean ends."""

import asyncio
import contextlib
import io
import json
import socket
import ssl
import struct
import sys

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from node.sim.serve import VENUES, ServeError, SimConfig, Simulation, VenueRow, VenueServer, serve
from node.sim.tls import self_signed
from node.venues.fakes import BUY, SELL, FakeOrder, FakeVenue, Listing, Refused


class Echo(FakeVenue):
    """Answers every frame, pushes quotes, places orders: enough of a venue to test the transport."""

    def on_open(self, connection, now_ns):
        if not connection.path.startswith("/ws"):
            raise Refused(404, "no such path")
        self.send(connection, f"welcome {connection.path}")

    def receive(self, connection, text, now_ns):
        word, _, rest = text.partition(" ")
        if word == "bye":
            self.send(connection, "last words")
            self.hang_up(connection, 4001, rest)
        elif word == "flood":
            for i in range(int(rest)):
                self.send(connection, f"{i} " + "x" * 16_384)
        elif word == "buy":
            listing = next(iter(self.listings.values()))
            self.place("limit", FakeOrder(listing, 0, "a", BUY, int(rest), 1, "gtc", connection), now_ns)
        else:
            self.send(connection, f"echo {text}")

    def http(self, method, target, headers, body, now_ns):
        for connection in self.connections.values():
            self.send(connection, f"http {method}")
        return 201, json.dumps([method, target, headers.get("X-Key"), body.decode()]).encode()

    def on_fill(self, order, trade_id, price_ticks, size_lots, is_maker, now_ns):
        self.send(order.connection, f"fill {price_ticks} {size_lots}")

    def push_quote(self, listing, now_ns):
        for connection in self.connections.values():
            if "quotes" in connection.path:
                self.send(connection, f"quote {listing.top}")


class Clock:
    def __init__(self):
        self.now_ns = 10**18

    def __call__(self):
        self.now_ns += 1_000
        return self.now_ns


def make(**options):
    return VenueServer(Echo([Listing("BTCUSDT", "0.1", "0.001", 1)]), Clock(), **options)


def run(scenario, **options):
    """Start a server, run `scenario(server, endpoint)`, stop; nothing may be left running."""

    async def main():
        server = make(**options)
        endpoint = await server.start()
        try:
            async with asyncio.timeout(30):
                await scenario(server, endpoint)
        finally:
            await server.stop()
        assert not server._peers
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"left running: {left}"

    asyncio.run(main())


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


async def until_closed(ws):
    """What still comes, until the connection is closed for whatever reason."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            yield await ws.recv()


def test_frames_are_answered_in_order_and_at_once():
    async def scenario(server, endpoint):
        async with connect(endpoint.ws_url + "/ws?a=1", compression=None) as ws:
            assert await ws.recv() == "welcome /ws?a=1"
            for i in range(100):
                await ws.send(str(i))
            assert [await ws.recv() for _ in range(100)] == [f"echo {i}" for i in range(100)]
        await until(lambda: not server.fake.connections)

    run(scenario)


def test_the_server_offers_no_compression():
    async def scenario(server, endpoint):
        async with connect(endpoint.ws_url + "/ws") as ws:
            assert "Sec-WebSocket-Extensions" not in ws.response.headers

    run(scenario)


def test_a_path_the_venue_does_not_have_is_refused_with_its_status():
    async def scenario(server, endpoint):
        with pytest.raises(InvalidStatus) as refused:
            await connect(endpoint.ws_url + "/nothing")
        assert refused.value.response.status_code == 404
        assert not server.fake.connections
        assert server.counts["refused"] == 1

    run(scenario)


def test_each_port_takes_rest_and_websockets_also_on_one_connection():
    async def scenario(server, endpoint):
        for url in (endpoint.ws_url.replace("ws", "http", 1), endpoint.http_url):
            connector = aiohttp.TCPConnector(limit=1)  # the pool hands the same connection out again
            async with aiohttp.ClientSession(connector=connector) as session:
                async with session.post(url + "/a", data=b"x" * 100_000) as reply:
                    assert (await reply.json())[3] == "x" * 100_000
                async with session.ws_connect(url + "/ws") as ws:
                    assert (await ws.receive()).data == "welcome /ws"
                    await ws.send_str("1")
                    assert (await ws.receive()).data == "echo 1"

    run(scenario)


def test_one_port_can_do_for_both():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    async def scenario(server, endpoint):
        assert endpoint.ws_url == f"ws://127.0.0.1:{port}"
        assert endpoint.http_url == f"http://127.0.0.1:{port}"

    run(scenario, ws_port=port, http_port=port)


def test_tls_is_for_both(tmp_path):
    context = self_signed(tmp_path / "cert.pem")
    trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))

    async def scenario(server, endpoint):
        assert endpoint.ws_url.startswith("wss://")
        assert endpoint.http_url.startswith("https://")
        async with connect(endpoint.ws_url + "/ws", ssl=trusting) as ws, aiohttp.ClientSession() as session:
            assert await ws.recv() == "welcome /ws"
            async with session.get(endpoint.http_url + "/x", ssl=trusting) as reply:
                assert reply.status == 201

    run(scenario, tls=context)


def test_a_fake_knows_the_address_and_the_headers_of_a_client():
    async def scenario(server, endpoint):
        async with connect(
            endpoint.ws_url + "/ws", additional_headers={"X-Simulated": "1"}, local_addr=("127.0.0.9", 0)
        ):
            (connection,) = server.fake.connections.values()
            assert connection.ip == "127.0.0.9"
            assert connection.headers["X-Simulated"] == "1"
        seen = []
        server.fake.http = lambda *_: seen.append(server.fake.peer_ip) or (429, b"{}", {"Retry-After": "7"})
        connector = aiohttp.TCPConnector(local_addr=("127.0.0.8", 0))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(endpoint.http_url + "/x") as reply,
        ):
            assert (reply.status, reply.headers["Retry-After"]) == (429, "7")
            assert reply.content_type == "application/json"
        assert seen == ["127.0.0.8"]

    run(scenario)


def test_who_does_not_answer_pings_is_closed():
    async def scenario(server, endpoint):
        async with connect(endpoint.ws_url + "/ws", ping_interval=None) as ws:
            ws.protocol.recv_ping = lambda frame: None  # deaf
            original = ws.protocol.recv_frame
            ws.protocol.recv_frame = lambda f: None if f.opcode == 9 else original(f)
            assert [x async for x in until_closed(ws)] == ["welcome /ws"]
            assert (ws.close_code, ws.close_reason) == (1008, "Pong timeout")

    run(scenario, ping_interval_s=0.02, ping_timeout_s=0.1)


def test_slow_and_dropped_answers_of_rest_are_so_on_the_wire():
    async def scenario(server, endpoint):
        server.fake.faults.add("rest.delay", delay_ms=80, count=1)
        async with aiohttp.ClientSession() as session:
            begin = asyncio.get_running_loop().time()
            async with session.get(endpoint.http_url + "/x") as reply:
                assert reply.status == 201
            assert asyncio.get_running_loop().time() - begin >= 0.08
            server.fake.faults.add("rest.drop", count=1)
            with pytest.raises(aiohttp.ClientError):
                await session.post(endpoint.http_url + "/x")
        assert server.fake.faults.counts == {"rest.delay": 1, "rest.drop": 1}

    run(scenario)


def test_rest_has_the_target_as_sent_and_what_it_causes_goes_to_the_sockets():
    async def scenario(server, endpoint):
        async with connect(endpoint.ws_url + "/ws") as ws, aiohttp.ClientSession() as session:
            await ws.recv()
            url = endpoint.http_url + "/api/v3/order?symbol=A&n=1"
            for method in ("POST", "PUT", "DELETE", "GET"):
                async with session.request(method, url, data=b"x=1", headers={"x-key": "k"}) as reply:
                    assert reply.status == 201
                    assert await reply.json() == [method, "/api/v3/order?symbol=A&n=1", "k", "x=1"]
                assert await ws.recv() == f"http {method}"

    run(scenario)


def test_time_and_the_market_move_without_any_client():
    class Ticking:
        def step(self, now_ns):
            engine = next(iter(server_of.fake.listings.values())).engine
            engine.set_level(SELL, 100, engine.size(SELL, 100) + 1)

    async def scenario(server, endpoint):
        nonlocal server_of
        server_of = server
        async with connect(endpoint.ws_url + "/ws/quotes") as ws:
            await ws.recv()
            first, second = await ws.recv(), await ws.recv()
            assert first.startswith("quote (None, (100, ")
            assert first != second

    server_of = None
    market = Ticking()
    market.step = lambda now_ns: server_of and Ticking.step(market, now_ns)
    run(scenario, market=market)


def test_an_order_is_filled_over_the_wire():
    async def scenario(server, endpoint):
        listing = next(iter(server.fake.listings.values()))
        async with connect(endpoint.ws_url + "/ws") as ws:
            await ws.recv()
            await ws.send("buy 100")
            await until(lambda: listing.engine.best(BUY))
            listing.engine.trade(SELL, 100, 1)
            assert await ws.recv() == "fill 100 1"

    run(scenario)


def test_the_venue_hangs_up_after_its_last_words():
    async def scenario(server, endpoint):
        async with connect(endpoint.ws_url + "/ws") as ws:
            await ws.recv()
            await ws.send("bye maintenance")
            assert await ws.recv() == "last words"
            with pytest.raises(ConnectionClosed) as closed:
                await ws.recv()
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "maintenance")

    run(scenario)


def test_a_cut_resets_the_matching_connections_only():
    async def scenario(server, endpoint):
        async with connect(endpoint.ws_url + "/ws/b") as kept:
            lost = await connect(endpoint.ws_url + "/ws/a")
            await lost.recv()
            assert server.cut(lambda c: c.path == "/ws/a") == 1
            with pytest.raises(ConnectionClosed) as closed:
                await lost.recv()
            assert closed.value.rcvd is None, "no close frame: the line is just gone"
            await kept.recv()
            await kept.send("still here")
            assert await kept.recv() == "echo still here"
            assert len(server.fake.connections) == 1

    run(scenario)


def test_a_cut_is_a_tcp_reset():
    async def scenario(server, endpoint):
        port = int(endpoint.ws_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HANDSHAKE)
        await reader.readuntil(b"welcome /ws")
        server.cut(lambda c: True)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()

    run(scenario)


def test_a_muted_connection_hears_nothing_until_it_is_unmuted():
    async def scenario(server, endpoint):
        async with connect(endpoint.ws_url + "/ws") as ws:
            await ws.recv()
            assert server.mute(lambda c: True) == 1
            await ws.send("one")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.recv(), 0.1)
            assert server.mute(lambda c: True, False) == 1
            await ws.send("two")
            assert await ws.recv() == "echo two"

    run(scenario)


HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def text_frame(text):
    """A masked client frame with a mask of zeros."""
    data = text.encode()
    return struct.pack("!BB4s", 0x81, 0x80 | len(data), b"\0\0\0\0") + data


def test_a_client_that_does_not_read_is_closed_and_counted():
    async def scenario(server, endpoint):
        port = int(endpoint.ws_url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as sleeper:
            sleeper.sendall(HANDSHAKE + text_frame("flood 2000"))
            await until(lambda: server.counts["slow"])
            assert not server.fake.connections, "the venue forgets it at once"
            assert server.counts["lost_frames"] > 1_000
            await until(lambda: server.counts["reset"])  # it never made room for the close frame

    run(scenario, queue_frames=64)


def test_a_slow_client_that_wakes_up_reads_why_it_was_closed():
    async def scenario(server, endpoint):
        async with connect(endpoint.ws_url + "/ws", max_queue=4) as ws:
            await ws.recv()
            await ws.send("flood 300")
            await until(lambda: server.counts["slow"])
            numbers = [int(f.split()[0]) async for f in until_closed(ws)]
            assert (ws.close_code, ws.close_reason) == (4005, "buffer is full")
            assert numbers == list(range(len(numbers))), "nothing is missing before the end"

    run(scenario, queue_frames=64, slow_close=(4005, "buffer is full"))


def test_binary_frames_are_not_taken():
    async def scenario(server, endpoint):
        async with connect(endpoint.ws_url + "/ws") as ws:
            await ws.recv()
            await ws.send(b"\x00")
            with pytest.raises(ConnectionClosed) as closed:
                await ws.recv()
            assert closed.value.rcvd.code == 1003

    run(scenario)


def test_stopping_does_not_wait_for_clients_that_do_not_answer():
    async def scenario(server, endpoint):
        port = int(endpoint.ws_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HANDSHAKE)
        await reader.readuntil(b"welcome /ws")
        await server.stop()
        writer.transport.abort()

    run(scenario)


def test_a_port_in_use_is_one_clear_line():
    async def scenario(server, endpoint):
        port = int(endpoint.http_url.rpartition(":")[2])
        for ports in ({"ws_port": port}, {"http_port": port}):
            other = make(name="okx", **ports)
            with pytest.raises(
                ServeError, match=rf"^okx: cannot listen on 127.0.0.1:{port}: port in use: end what "
            ):
                await other.start()

    run(scenario)


def test_servers_listen_on_loopback_only():
    async def scenario(server, endpoint):
        ports = {s.getsockname() for x in server.front._servers for s in x.sockets}
        assert {host for host, _ in ports} == {"127.0.0.1"}
        assert len(ports) == 2

    run(scenario)


def test_a_fake_that_fails_ends_the_wait_with_its_error():
    async def main():
        server = make()
        server.fake.tick = None
        await server.start()
        with pytest.raises(TypeError):
            await server.wait()
        await server.stop()

    asyncio.run(main())


ROW = {"market": 1, "symbol": "BTCUSDT", "base": "BTC", "tick": "0.1", "lot": "0.001"}
TABLE = {"one": VenueRow(__name__, "Echo", (ROW,), None), "two": VenueRow(__name__, "Echo", (ROW,), 20)}


@pytest.fixture
def table(monkeypatch):
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this())
    return TABLE


def _this():
    module = type(sys)(__name__)
    module.Echo = Echo
    return module


def test_a_simulation_runs_venues_on_one_market(table):
    async def main():
        simulation = Simulation(SimConfig(venues=("one", "two"), seed=3), table=table)
        endpoints = await simulation.start()
        async with (
            connect(endpoints["one"].ws_url + "/ws/quotes") as one,
            connect(endpoints["two"].ws_url + "/ws/quotes") as two,
        ):
            for ws in (one, two):
                assert (await ws.recv()).startswith("welcome")
                assert (await ws.recv()).startswith("quote")
        await simulation.stop()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_a_simulation_that_cannot_start_one_venue_leaves_none_running(table):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            simulation = Simulation(SimConfig(venues=("one", "two"), ports={"two": (port, 0)}), table=table)
            with pytest.raises(ServeError, match="two: cannot listen"):
                await simulation.start()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_an_unknown_venue_is_named():
    with pytest.raises(ServeError, match="venue 'kraken' is not known; there are binance, bybit, okx"):
        Simulation(SimConfig(venues=("kraken",)))


def test_serve_says_where_it_listens_and_stops_when_cancelled(table, monkeypatch):
    monkeypatch.setitem(VENUES, "one", table["one"])

    async def main():
        out = io.StringIO()
        task = asyncio.create_task(serve(SimConfig(venues=("one",), seed=4), out=out))
        await until(lambda: out.getvalue().endswith("\n"))
        said = json.loads(out.getvalue())
        assert said["seed"] == 4
        async with connect(said["venues"]["one"]["ws"] + "/ws") as ws:
            await ws.recv()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())

"""The link against a real `websockets` server: what comes in, what goes out, and what never does."""

import asyncio
import contextlib
import shutil
import socket
import struct
import subprocess
import sys
import sysconfig
import textwrap
import time
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import orjson
import picows
import pytest
import uvloop
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from ext.engine import Engine, LineKind
from ext.instruments import Instruments
from ext.link import Link, Spinner
from ext.records import Market, sent_row
from ext.strategy import Strategy
from ext.tape import RecordType, TapeReader, TapeWriter
from ext.venues.bybit import BybitWire

ROOT = Path(__file__).parents[2]
FEED, ORDERS = 0, 1
LOOPS = pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


def depth(update: int, kind: str = "delta", bid: str = "60000.0", levels: int = 0) -> str:
    """A Bybit book message; `levels` more bids make it as large as wanted."""
    more = [[f"{50_000 - i}.0", "0.001"] for i in range(levels)]
    data = {"s": "BTCUSDT", "b": [[bid, "1"], *more], "a": [["60000.1", "1"]], "u": update, "seq": update}
    told = {"topic": "orderbook.50.BTCUSDT", "type": kind, "ts": 1_700_000_000_000 + update, "data": data}
    return orjson.dumps(told).decode()


SNAPSHOT = depth(10, "snapshot")


class Once(Strategy):
    """Buys one lot on the first book it sees."""

    def __init__(self):
        self.ids = []
        self.tried = 0

    def on_book(self, instrument, now_ns):
        self.tried += 1
        if self.tried == 1:
            self.buy(instrument, self.best(instrument)[0][0], 1)
        return 0

    def on_order(self, instrument, side, order_id, now_ns):
        self.ids.append(order_id)
        return 0


class Node:
    """An engine with a feed line and an order line, behind a link."""

    def __init__(self, tape: TapeWriter | None = None, strategy: Strategy | None = None):
        self.instruments = Instruments(1)
        self.instruments.add(Market.BYBIT_LINEAR, "BTCUSDT", "0.1", "0.001")
        self.engine = Engine(self.instruments, tape=tape)
        self.link = Link(self.engine)
        wire = BybitWire(self.instruments, Market.BYBIT_LINEAR, "tst0", 1)
        self.engine.add_line("feed", LineKind.MARKET_LINE, wire)
        self.engine.add_line("orders", LineKind.ORDER_LINE, wire)
        self.engine.follow(0, 50)
        self.engine.risk.set_rate(1000, 1_000_000_000)
        self.engine.risk.set_limits(
            0,
            max_size_lots=1000,
            max_notional_e8=10**14,
            max_position_lots=1000,
            collar_ppm=10_000,
            stale_ns=10**10,
            max_open_orders=4,
        )
        if strategy is not None:
            self.engine.add_strategy(strategy)
        self.errors = []
        self.link.failed = self.errors.append


class Line:
    """One connection of a node under test, with what came over it to the cold side."""

    def __init__(self, node: Node, line: int):
        self.node, self.cold, self.seen = node, [], []
        self.gone = asyncio.Event()
        self.channel = node.link.channel(line)
        self.channel.cold, self.channel.seen = self.cold.append, self.seen.append
        self.channel.down = lambda channel: self.gone.set()
        self.line = line

    async def connect(self, url: str) -> "Line":
        await picows.ws_connect(
            lambda: self.channel, url, use_aiofastnet=False, disconnect_on_exception=False
        )
        self.node.engine.on_line(self.line, True, self.node.link.now_ns())
        return self


class Venue:
    """The far end: everything it is sent, and the connections themselves."""

    def __init__(self):
        self.received: list[str | bytes] = []
        self.peers = []
        self.closed: list[tuple[int | None, str]] = []

    async def handle(self, ws):
        self.peers.append(ws)
        try:
            async for message in ws:
                self.received.append(message)
        except ConnectionClosed as closed:
            self.closed.append((closed.rcvd.code if closed.rcvd else None, str(closed)))


async def until(condition, within_s: float = 5):
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


async def settled():
    """Long enough for what was sent on loopback to have arrived."""
    await asyncio.sleep(0.05)


def play(scenario, loop=asyncio.new_event_loop):
    """`scenario(venue, url)` with the venue listening."""

    async def main():
        venue = Venue()
        async with asyncio.timeout(20):
            async with serve(
                venue.handle, "127.0.0.1", 0, compression=None, ping_interval=None, close_timeout=0.2
            ) as server:
                port = server.sockets[0].getsockname()[1]
                await scenario(venue, f"ws://127.0.0.1:{port}/")

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


@pytest.fixture
def tape(tmp_path):
    writer = TapeWriter(str(tmp_path / "tape"), now_ns=1, segment_size=1 << 20)
    (tmp_path / "tape").mkdir(exist_ok=True)
    yield writer
    with contextlib.suppress(ValueError):
        writer.close(10**19 // 2)


def records(tape) -> list:
    tape.close(10**18)
    return list(TapeReader(tape.directory))


# ---- in ---------------------------------------------------------------------------------------


@LOOPS
def test_a_text_frame_reaches_the_book_and_what_is_not_data_the_cold_side(loop):
    async def scenario(venue, url):
        node = Node()
        line = await Line(node, FEED).connect(url)
        await until(lambda: venue.peers)
        await venue.peers[0].send(SNAPSHOT)
        await venue.peers[0].send('{"success":true,"op":"subscribe"}')
        await venue.peers[0].send("not even JSON \u2713")
        await until(lambda: line.channel.frames == 3)
        assert node.engine.books[0].state == 2
        assert line.cold[:1] == ['{"success":true,"op":"subscribe"}']
        assert line.seen == [SNAPSHOT.encode()]
        assert line.channel.last_ns > 1_700_000_000 * 10**9

    play(scenario, loop)


def test_a_fragmented_text_is_one_frame_also_with_a_ping_between_its_parts():
    async def scenario(venue, url):
        node = Node()
        line = await Line(node, FEED).connect(url)
        await until(lambda: venue.peers)
        ws = venue.peers[0]
        third = len(SNAPSHOT) // 3
        parts = SNAPSHOT[:third], SNAPSHOT[third : 2 * third], SNAPSHOT[2 * third :]

        async def fragments():
            yield parts[0]
            pong = await ws.ping()
            await pong
            yield parts[1]
            yield parts[2]

        await ws.send(fragments())
        await until(lambda: line.channel.frames == 1)
        assert node.engine.books[0].state == 2
        await ws.send(depth(11))
        await until(lambda: line.channel.frames == 2)
        assert node.engine.books[0].last_id == 11

    play(scenario)


def test_frames_larger_than_the_read_buffer_arrive_whole():
    async def scenario(venue, url):
        node = Node()
        line = await Line(node, FEED).connect(url)
        await until(lambda: venue.peers)
        large = depth(10, "snapshot", levels=15_000)  # some 300 kB, the buffer begins with 16
        assert len(large) > 250_000
        await venue.peers[0].send(large)
        for update in range(11, 200):
            await venue.peers[0].send(depth(update))
        await until(lambda: line.channel.frames == 190)
        assert node.engine.books[0].last_id == 199
        assert node.engine.lines[FEED].bad == 0

    play(scenario)


def test_binary_frames_are_no_text_whole_or_in_parts():
    async def scenario(venue, url):
        node = Node()
        line = await Line(node, FEED).connect(url)
        await until(lambda: venue.peers)
        ws = venue.peers[0]
        await ws.send(SNAPSHOT.encode())

        async def fragments():
            yield b"\x00"
            yield SNAPSHOT.encode()  # what would be a text if its first part were forgotten

        await ws.send(fragments())
        await ws.send(depth(1))
        await until(lambda: line.channel.frames)
        await settled()
        assert line.channel.frames == 1
        assert node.engine.books[0].state != 2
        await ws.send([SNAPSHOT[:50], SNAPSHOT[50:]])
        await until(lambda: line.channel.frames == 2)
        assert node.engine.books[0].state == 2

    play(scenario)


def test_a_message_without_end_is_not_collected_for_ever():
    async def scenario(venue, url):
        line = await Line(Node(), FEED).connect(url)
        await until(lambda: venue.peers)
        part = " " * 1_000_000

        async def endless():
            for _ in range(64):
                yield part

        with contextlib.suppress(ConnectionClosed):
            await venue.peers[0].send(endless())
        await asyncio.wait_for(line.gone.wait(), 5)
        assert line.channel.frames == 0

    play(scenario)


def test_pings_are_answered_with_what_they_carried():
    async def scenario(venue, url):
        await Line(Node(), FEED).connect(url)
        await until(lambda: venue.peers)
        pong = await venue.peers[0].ping(b"1700000000000")
        assert await asyncio.wait_for(pong, 2) >= 0

    play(scenario)


@LOOPS
@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "going away"), (4005, "buffer is full")])
def test_a_close_frame_is_answered_and_ends_the_line(code, reason, loop):
    async def scenario(venue, url):
        line = await Line(Node(), FEED).connect(url)
        await until(lambda: venue.peers)
        await venue.peers[0].close(code, reason)  # raises nothing and does not time out
        await asyncio.wait_for(line.gone.wait(), 2)
        assert venue.peers[0].protocol.close_rcvd.code == code

    play(scenario, loop)


def test_a_close_frame_without_a_code_is_answered_without_a_code():
    async def scenario(venue, url):
        line = await Line(Node(), FEED).connect(url)
        await until(lambda: venue.peers)
        ws = venue.peers[0]
        ws.protocol.send_frame(Frame(Opcode.CLOSE, b""))
        ws.protocol.close_sent = None
        ws.send_data() if hasattr(ws, "send_data") else ws.transport.write(
            b"".join(ws.protocol.data_to_send())
        )
        await asyncio.wait_for(line.gone.wait(), 2)
        await settled()
        assert ws.protocol.parser_exc is None  # 1005 on the wire would be a protocol error

    play(scenario)


def test_a_reset_ends_the_line():
    async def scenario(venue, url):
        line = await Line(Node(), FEED).connect(url)
        await until(lambda: venue.peers)
        sock = venue.peers[0].transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        venue.peers[0].transport.abort()
        await asyncio.wait_for(line.gone.wait(), 2)

    play(scenario)


def test_a_line_that_is_not_there_has_no_channel():
    node = Node()
    for line in (-1, 2):
        with pytest.raises(IndexError):
            node.link.channel(line)


def test_a_frame_can_come_by_request():
    node = Node()
    assert node.link.bytes_in(FEED, SNAPSHOT.encode()) == 1
    assert node.engine.books[0].state == 2


def test_time_is_of_this_day_and_never_steps_back():
    link = Node().link
    now = [link.now_ns() for _ in range(1000)]
    assert now == sorted(now)
    assert now[0] > 1_700_000_000 * 10**9
    assert 0 <= link.monotonic_ns() < now[0]


# ---- out --------------------------------------------------------------------------------------


@LOOPS
def test_an_approved_order_leaves_once_and_the_tape_tells_when(tape, loop):
    async def scenario(venue, url):
        strategy = Once()
        node = Node(tape, strategy)
        feed = await Line(node, FEED).connect(url)
        orders = await Line(node, ORDERS).connect(url)
        await until(lambda: len(venue.peers) == 2)
        before_ns = node.link.now_ns()
        await venue.peers[0].send(SNAPSHOT)
        await venue.peers[0].send(depth(11))
        await until(lambda: venue.received and feed.channel.frames == 2)
        await settled()
        after_ns = node.link.now_ns()
        assert len(venue.received) == 1
        told = orjson.loads(venue.received[0])
        assert told["op"] == "order.create"
        assert told["args"][0]["symbol"] == "BTCUSDT"
        assert node.link.written == 1
        assert node.link.refused == 0
        assert node.engine.orders.order(strategy.ids[0])["state"] == "SENT"
        assert orders.channel.frames == 0
        rows = records(tape)
        out = [r for r in rows if r.type == RecordType.ORDER_OUT]
        sent = [sent_row(r.payload) for r in rows if r.type == RecordType.SENT]
        assert [r.payload[8:] for r in out] == [
            venue.received[0].encode()
        ]  # unmasked: recorded before it was written
        assert [x["order_id"] for x in sent] == strategy.ids
        assert before_ns < sent[0]["frame_ns"] < sent[0]["sent_ns"] < after_ns
        assert sent[0]["written"] == 1

    play(scenario, loop)


def test_an_order_that_no_frame_caused_has_no_frame_time(tape):
    class OnTimer(Once):
        def on_book(self, instrument, now_ns):
            return 0

        def on_timer(self, now_ns):
            return Once.on_book(self, 0, now_ns)

    async def scenario(venue, url):
        node = Node(tape, OnTimer())
        await Line(node, ORDERS).connect(url)
        assert node.link.bytes_in(FEED, SNAPSHOT.encode()) == 1
        node.link.tick()
        await until(lambda: venue.received)
        sent = [sent_row(r.payload) for r in records(tape) if r.type == RecordType.SENT]
        assert [x["frame_ns"] for x in sent] == [0]

    play(scenario)


class Custom(Exception):
    pass


def broken(*_):
    """What is ours, and fails in the middle of a frame."""
    raise Custom("on purpose")


def test_a_failed_frame_is_not_the_cause_of_orders_that_follow(tape):
    async def scenario(venue, url):
        strategy = Once()
        node = Node(tape, strategy)
        await Line(node, ORDERS).connect(url)
        node.link.bytes_in(FEED, SNAPSHOT.encode())
        node.engine.ask_resync = broken
        with pytest.raises(Custom, match="on purpose"):
            node.link.bytes_in(FEED, depth(15).encode())
        assert node.engine.withdraw(strategy.ids[0], node.link.now_ns())
        sent = [sent_row(r.payload) for r in records(tape) if r.type == RecordType.SENT]
        assert [bool(x["frame_ns"]) for x in sent] == [True, False]

    play(scenario)


def state_of(node: Node, strategy: Once) -> str:
    return node.engine.orders.order(strategy.ids[0])["state"]


def test_without_a_connection_nothing_is_written_and_the_order_is_closed():
    strategy = Once()
    node = Node(strategy=strategy)
    node.engine.on_line(ORDERS, True, 1)  # the engine thinks so; the link knows better
    node.link.bytes_in(FEED, SNAPSHOT.encode())
    assert (node.link.written, node.link.refused) == (0, 1)
    assert state_of(node, strategy) == "REJECTED"
    assert node.engine.orders.open_orders() == []


def test_a_connection_that_was_let_go_takes_no_order_from_that_moment():
    async def scenario(venue, url):
        strategy = Once()
        node = Node(strategy=strategy)
        orders = await Line(node, ORDERS).connect(url)
        orders.channel.close()  # the socket itself closes a turn of the loop later
        node.link.bytes_in(FEED, SNAPSHOT.encode())
        assert (node.link.written, node.link.refused) == (0, 1)
        assert state_of(node, strategy) == "REJECTED"
        await asyncio.wait_for(orders.gone.wait(), 2)
        assert venue.received == []

    play(scenario)


def test_a_connection_that_is_being_closed_by_the_venue_takes_no_order():
    async def scenario(venue, url):
        strategy = Once()
        node = Node(strategy=strategy)
        orders = await Line(node, ORDERS).connect(url)
        await until(lambda: venue.peers)
        closing = asyncio.ensure_future(venue.peers[0].close())
        await asyncio.wait_for(orders.gone.wait(), 2)
        node.link.bytes_in(FEED, SNAPSHOT.encode())
        assert (node.link.written, node.link.refused) == (0, 1)
        assert state_of(node, strategy) == "REJECTED"
        await closing

    play(scenario)


def test_a_reset_that_is_not_noticed_yet_leaves_an_order_unknown_not_lost():
    """The bytes went to the kernel: whether they arrived is not known, so the exposure stays reserved."""

    async def scenario(venue, url):
        strategy = Once()
        node = Node(strategy=strategy)
        orders = await Line(node, ORDERS).connect(url)
        await until(lambda: venue.peers)
        sock = venue.peers[0].transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock = socket.socket(fileno=socket.dup(sock.fileno()))
        venue.peers[0].transport.abort()
        sock.close()
        node.link.bytes_in(FEED, SNAPSHOT.encode())  # in the same turn: the node did not read yet
        assert node.link.written == 1
        await asyncio.wait_for(orders.gone.wait(), 2)
        node.engine.on_line(ORDERS, False, node.link.now_ns())
        assert state_of(node, strategy) == "UNKNOWN"
        assert node.engine.orders.reserved(0)["open_orders"] == 1

    play(scenario)


@LOOPS
def test_a_venue_that_does_not_read_gets_no_new_order_late_and_is_let_go_at_once(loop):
    """An order must leave when it was decided or not at all; it may not wait behind a full socket."""

    async def scenario(venue, url):
        strategy = Once()
        node = Node(strategy=strategy)
        orders = await Line(node, ORDERS).connect(url)
        await until(lambda: venue.peers)
        venue.peers[0].transport.pause_reading()
        for _ in range(400):
            orders.channel.send("x" * 50_000)  # far more than the kernel's buffers hold
        node.link.bytes_in(FEED, SNAPSHOT.encode())
        assert (node.link.written, node.link.refused) == (0, 1)
        assert state_of(node, strategy) == "REJECTED"
        orders.channel.close()
        await asyncio.wait_for(orders.gone.wait(), 1)

    play(scenario, loop)


def test_a_venue_that_reads_again_gets_orders_again():
    async def scenario(venue, url):
        node = Node(strategy=Once())
        orders = await Line(node, ORDERS).connect(url)
        await until(lambda: venue.peers)
        venue.peers[0].transport.pause_reading()
        for _ in range(400):
            orders.channel.send("x" * 50_000)
        venue.peers[0].transport.resume_reading()
        await until(lambda: len(venue.received) == 400)
        node.link.bytes_in(FEED, SNAPSHOT.encode())
        await until(lambda: len(venue.received) == 401)
        assert node.link.written == 1

    play(scenario)


def test_a_new_connection_of_a_line_takes_over_and_the_old_one_may_end_late():
    async def scenario(venue, url):
        strategy = Once()
        node = Node(strategy=strategy)
        old = await Line(node, ORDERS).connect(url)
        new = await Line(node, ORDERS).connect(url)
        await until(lambda: len(venue.peers) == 2)
        old.channel.close()
        await asyncio.wait_for(old.gone.wait(), 2)
        node.link.bytes_in(FEED, SNAPSHOT.encode())
        await until(lambda: venue.received)
        assert node.link.written == 1
        assert not new.gone.is_set()

    play(scenario)


# ---- the last check, from inside ---------------------------------------------------------------

INSIDE = """
from libc.stdint cimport int64_t
from libc.string cimport memset, memcpy
from ext.link cimport Link
from ext.records cimport Approved, Intent, CANCEL

def write(Link link, int64_t price_ticks, int latch, bint cancel, bint live, int times):
    '''Approve an order (or the cancel of one) and hand it to the link, perhaps more than once.'''
    cdef char data[1024]
    cdef Intent intent
    cdef Approved order
    cdef int reason = 0
    memset(&intent, 0, sizeof(intent))
    intent.price_ticks, intent.size_lots = price_ticks, 1
    order = link.engine.risk.approve(&intent, link.now(), &reason)
    if order is not None and cancel:
        intent.order_id = order.order_id
        order = link.engine.risk.approve_cancel(&intent, link.now(), &reason)
    if order is None:
        return reason
    if latch:
        link.engine.risk.latch(latch)
    order.live = live
    out = []
    for _ in range(times):
        memcpy(data + 64, b'{"an":"order"}', 14)
        out.append(link.write(1, order, data + 64, 14))
    return out
"""


@pytest.fixture(scope="module")
def inside(tmp_path_factory):
    """A module that calls `Link.write`, which Python cannot reach."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("inside")
    (folder / "inside.pyx").write_text(textwrap.dedent(INSIDE))
    run = lambda *args: subprocess.run(args, check=True, cwd=ROOT, capture_output=True)  # noqa: E731
    run(sys.executable, "-m", "cython", "-3", "-I", str(ROOT), str(folder / "inside.pyx"))
    include = sysconfig.get_path("include")
    built = folder / f"inside{sysconfig.get_config_var('EXT_SUFFIX')}"
    run(
        "cc", "-O0", "-w", "-shared", "-fPIC", f"-I{include}", "-Iext", f"{folder}/inside.c", "-o", str(built)
    )
    loader = ExtensionFileLoader("inside", str(built))
    module = module_from_spec(spec_from_loader("inside", loader))
    loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("latch", "cancel", "live", "answers"),
    [
        (0, False, True, [1, 0, 0]),  # one approval, one frame
        (0, False, False, [0, 0, 0]),  # not an approval (any more)
        (2, False, True, [0, 0, 0]),  # latched: no new order ...
        (2, True, True, [1, 0, 0]),  # ... but a cancel
    ],
)
def test_the_link_looks_at_approval_and_latch_last(inside, latch, cancel, live, answers):
    async def scenario(venue, url):
        node = Node()
        await Line(node, ORDERS).connect(url)
        node.link.bytes_in(FEED, SNAPSHOT.encode())
        assert inside.write(node.link, 600_000, latch, cancel, live, 3) == answers
        assert (node.link.written, node.link.refused) == (sum(answers), 3 - sum(answers))
        await settled()
        assert venue.received == ['{"an":"order"}'] * sum(answers)

    play(scenario)


# ---- failures of our own ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [ValueError, AttributeError, NameError, OSError, Custom, AssertionError, StopIteration]
)
def test_what_is_ours_and_fails_latches_is_told_and_leaves_the_connections_usable(error):
    def fails(*_):
        raise error("on purpose")

    async def scenario(venue, url):
        strategy = Once()
        node = Node(strategy=strategy)
        feed = await Line(node, FEED).connect(url)
        orders = await Line(node, ORDERS).connect(url)
        await until(lambda: len(venue.peers) == 2)
        await venue.peers[0].send(SNAPSHOT)
        await until(lambda: len(venue.received) == 1)
        node.engine.ask_resync = fails
        await venue.peers[0].send(depth(15))  # a gap
        await until(lambda: node.errors)
        assert [type(x) for x in node.errors] == [error]
        assert node.engine.risk.latched
        assert node.engine.orders.open_orders() == strategy.ids
        assert node.engine.withdraw(strategy.ids[0], node.link.now_ns())
        await until(lambda: len(venue.received) == 2)
        assert orjson.loads(venue.received[1])["op"] == "order.cancel"
        assert not feed.gone.is_set()
        assert not orders.gone.is_set()

    play(scenario)


@pytest.mark.parametrize("error", [ValueError, Custom, AssertionError, StopIteration, SystemExit])
def test_an_exception_of_a_strategy_stays_in_the_strategy(error):
    class Fails(Once):
        def on_book(self, instrument, now_ns):
            if self.tried:
                raise error("on purpose")
            return Once.on_book(self, instrument, now_ns)

    async def scenario(venue, url):
        strategy, told = Fails(), []
        node = Node(strategy=strategy)
        node.engine.strategy_failed = lambda *what: told.append(what[:2])
        await Line(node, FEED).connect(url)
        orders = await Line(node, ORDERS).connect(url)
        await until(lambda: len(venue.peers) == 2)
        await venue.peers[0].send(SNAPSHOT)
        await until(lambda: len(venue.received) == 1)
        await venue.peers[0].send(depth(11))
        await until(lambda: told)
        assert told == [(0, f"{error.__name__}: on purpose")]
        assert (node.errors, node.engine.risk.latched) == ([], 0)
        for number in range(12, 22):
            await venue.peers[0].send(depth(number))
        await until(lambda: node.engine.risk.off(0))
        await until(lambda: len(venue.received) == 2)  # what it had open is cancelled
        assert orjson.loads(venue.received[1])["op"] == "order.cancel"
        assert strategy.faults == 10
        assert not orders.gone.is_set()

    play(scenario)


def test_without_anybody_to_tell_the_latch_still_holds():
    async def scenario(venue, url):
        node = Node()
        node.link.failed = None
        node.engine.ask_resync = broken
        await Line(node, FEED).connect(url)
        await until(lambda: venue.peers)
        await venue.peers[0].send(SNAPSHOT)
        await venue.peers[0].send(depth(15))
        await until(lambda: node.engine.risk.latched)

    play(scenario)


# ---- never sleeping -----------------------------------------------------------------------------


@LOOPS
def test_a_spinner_keeps_the_loop_turning_and_stops_when_told(loop):
    async def main():
        spinner = Spinner(asyncio.get_running_loop())
        await asyncio.sleep(0.05)
        turns = spinner.turns
        assert turns > 100
        spinner.stop()
        await asyncio.sleep(0.02)
        stopped = spinner.turns
        await asyncio.sleep(0.05)
        assert spinner.turns == stopped
        assert stopped - turns < turns

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


def test_a_spinner_ends_with_its_loop():
    async def main():
        return Spinner(asyncio.get_running_loop())

    with asyncio.Runner() as runner:
        spinner = runner.run(main())
    assert spinner.turns > 0


# ---- standing still ---------------------------------------------------------------------------


class Eager(Strategy):
    """Wants to buy whenever it is asked; notes what it was told, in order."""

    def __init__(self, order):
        self.order = order

    def on_book(self, instrument, now_ns):
        self.order.append("book")
        self.buy(instrument, 600_000, 1)
        return 0

    def on_timer(self, now_ns):
        self.order.append("timer")
        if self.best(0)[0]:
            self.buy(0, 600_000, 1)
        return 0


def stands_still(for_s=0.03):
    """Long enough to be a gap under the limits of `still`."""
    time.sleep(for_s)


def still(lag_ms=20, still_ms=60):
    order = []
    node = Node(strategy=Eager(order))
    node.link.lag_ns, node.link.still_ns = lag_ms * 10**6, still_ms * 10**6
    node.link.thawed = lambda gap_ns: order.append(gap_ns)
    return node, order


def test_a_gap_between_two_turns_is_dealt_with_before_the_first_frame_behind_it():
    node, order = still()
    node.link.tick()
    stands_still()
    node.link.bytes_in(FEED, SNAPSHOT.encode())
    (first, gap_ns, then) = order
    assert (first, then, node.link.stood) == ("timer", "book", 1)
    assert gap_ns >= 30 * 10**6
    assert node.engine.risk.refusals() == {"BOOK_STALE": 1}, "what lay in the socket is not fresh"


def test_a_timer_notices_a_gap_as_well_and_turns_without_one_are_none():
    node, order = still(lag_ms=10_000)
    for _ in range(3):
        node.link.tick()
        node.link.bytes_in(FEED, SNAPSHOT.encode())
    assert node.link.stood == 0
    node.link.lag_ns = 20 * 10**6
    stands_still()
    node.link.tick()
    assert (node.link.stood, order[-1]) == (1, "timer")


def test_before_the_first_tick_nobody_has_promised_to_turn():
    node, _ = still()
    node.link.bytes_in(FEED, SNAPSHOT.encode())
    stands_still()
    node.link.bytes_in(FEED, depth(11).encode())
    assert node.link.stood == 0


@pytest.mark.parametrize(("for_s", "proofs"), [(0.03, True), (0.08, False)])
def test_a_short_gap_makes_data_stale_and_a_long_one_everything_unproven(for_s, proofs):
    node, _ = still(lag_ms=20, still_ms=60 if proofs is False else 10_000)
    node.engine.reconciled(0, node.link.now_ns())
    node.engine.risk.require(reconcile_ns=3600 * 10**9)
    node.link.tick()
    stands_still(for_s)
    node.link.tick()
    node.link.bytes_in(FEED, SNAPSHOT.encode())
    assert node.engine.risk.refusals() == {"BOOK_STALE" if proofs else "RECONCILE_STALE": 1}


def test_what_is_decided_behind_a_gap_that_no_turn_has_told_of_is_not_written():
    """An answer by REST can make a strategy think before the first tick or frame behind a gap."""

    async def scenario(venue, url):
        node, _ = still()
        orders = await Line(node, ORDERS).connect(url)
        node.link.bytes_in(FEED, SNAPSHOT.encode())
        assert node.link.written == 1
        node.link.tick()
        written = node.link.written
        stands_still()
        node.engine.on_time(node.link.now_ns())  # not through the link: it did not see the gap yet
        assert (node.link.written, node.link.refused) == (written, 1)
        orders.channel.close()

    play(scenario)

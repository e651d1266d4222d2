"""One line kept alive, against a real server that refuses, resets, closes, redirects and stays silent."""

import asyncio
import contextlib
import errno
import functools
import os
import re
import socket
import struct
from http import HTTPStatus
from types import SimpleNamespace

import orjson
import picows
import pytest
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from ext.records import Market
from node.errors import Unreachable
from node.net import connection as module
from node.net.connection import Connection
from node.net.governor import Governor, Pace
from node.net.rotation import Rotation
from node.venues.bybit.session import Session as BybitSession
from node.venues.values import Down, Ready, Replace, Resync, Send

FEED, ORDERS, SPARE = 0, 1, 2
sleep = asyncio.sleep


HELLO = (Send("hello"),)


def say(word: str) -> str:
    """Something that is no data."""
    return f'{{"op":"{word}"}}'


class Session:
    """Answers what a test wants; records what it was told."""

    def __init__(self, *topics: str, start=HELLO):
        self.topics = list(topics)
        self.answers: dict[str, list] = {}
        self.on_start = list(start)
        self.on_tick: list = []
        self.starts = self.ticks = 0
        self.received: list[str] = []
        self.data_of: list[str] = []

    def start(self, now_ns):
        self.starts += 1
        return self.on_start

    def receive(self, text, now_ns):
        self.received.append(text)
        return self.answers.get(text, [])

    def data(self, topic, now_ns):
        self.data_of.append(topic)

    def tick(self, now_ns):
        self.ticks += 1
        return self.on_tick

    def resync(self, symbol, now_ns):
        return [Send(f"again {symbol}")]


class Venue:
    """The far end. `greet` is sent to whoever says hello."""

    def __init__(self):
        self.peers, self.paths, self.received = [], [], []
        self.refuse: HTTPStatus | None = None
        self.told = lambda: None  # of each attempt

    async def handle(self, ws):
        self.peers.append(ws)
        self.paths.append(ws.request.path)
        with contextlib.suppress(ConnectionClosed):
            async for message in ws:
                self.received.append(message)

    def admit(self, ws, request):
        self.told()
        return None if self.refuse is None else ws.respond(self.refuse, "no\n")

    def reset(self):
        transport = self.peers[-1].transport
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()


async def until(condition, within_s: float = 5):
    async with asyncio.timeout(within_s):
        while not condition():
            await sleep(0.005)


@contextlib.asynccontextmanager
async def running(*connections):
    """Those connections run; whatever one raises is raised here."""
    tasks = [asyncio.ensure_future(x.run()) for x in connections]
    try:
        yield tasks
    finally:
        for connection, task in zip(connections, tasks, strict=True):
            connection.close()
            task.cancel()
        for answer in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(answer, Exception):
                raise answer


@pytest.fixture
def play(monkeypatch):
    """`play(scenario)` calls `scenario(venue, url)` with a server listening; times are those of a test."""
    monkeypatch.setattr(module, "BACKOFF_FIRST_S", 0.02)
    monkeypatch.setattr(module, "TICK_S", 0.02)
    monkeypatch.setattr(module, "OVERLAP_S", 0.05)

    def run(scenario):
        async def main():
            venue = Venue()
            async with asyncio.timeout(20):
                async with serve(
                    venue.handle,
                    "127.0.0.1",
                    0,
                    compression=None,
                    process_request=venue.admit,
                    close_timeout=0.1,
                ) as server:
                    await scenario(venue, f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")

        asyncio.run(main())

    return run


def connect(desk, url, session, line=FEED, path="/ws", **more) -> Connection:
    given = {"up_at_once": line == FEED, "topic": None, "tell": desk.tell, "resync": desk.resync} | more
    return Connection(desk.link, line, "A" if line == FEED else "B", url, session, path, **given)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


# ---- the way up ---------------------------------------------------------------------------------


def test_a_market_line_is_up_at_once_and_an_order_line_when_its_session_is_ready(play, desk):
    async def scenario(venue, url):
        feed, orders = Session(), Session()
        orders.answers[say("in")] = [Ready()]
        a, b = connect(desk, url, feed), connect(desk, url, orders, ORDERS, "/orders")
        async with running(a, b):
            await until(lambda: len(venue.received) == 2 and desk.up(FEED))
            assert sorted(venue.paths) == ["/orders", "/ws"]
            assert not desk.up(ORDERS)
            assert not b.ready.is_set()
            await venue.peers[venue.paths.index("/orders")].send(say("in"))
            await until(lambda: desk.up(ORDERS))
            assert b.ready.is_set()
            assert desk.told == [("B", "ready")]

    play(scenario)


def test_a_line_is_up_before_its_session_says_anything(play, desk):
    """A reply can come at once: the arbiter must know the line by then."""

    class Watching(Session):
        def start(self, now_ns):
            assert desk.up(FEED)
            return super().start(now_ns)

    async def scenario(venue, url):
        session = Watching()
        async with running(connect(desk, url + "/", session)):
            await until(lambda: venue.received == ["hello"])
        assert venue.paths == ["/ws"]  # one slash, though the address ended with one

    play(scenario)


def test_what_the_decoder_does_not_want_goes_to_the_session_and_its_answers_out(play, desk):
    async def scenario(venue, url):
        session = Session()
        session.answers = {
            say("ping?"): [Send("pong!"), Send("and more")],
            say("fresh"): [Resync("BTCUSDT", "told so")],
        }
        async with running(connect(desk, url, session)):
            await until(lambda: venue.received)
            await venue.peers[0].send(say("ping?"))
            await venue.peers[0].send(say("fresh"))
            await until(lambda: desk.resyncs)
            assert venue.received == ["hello", "pong!", "and more"]
            assert session.received == [say("ping?"), say("fresh")]
            assert desk.resyncs == [("BTCUSDT", "told so")]

    play(scenario)


def test_a_book_can_be_asked_for_again(play, desk):
    async def scenario(venue, url):
        line = connect(desk, url, Session())
        line.resubscribe("BTCUSDT")  # before there is a connection: nothing to say it on
        async with running(line):
            await until(lambda: venue.received)
            line.resubscribe("BTCUSDT")
            await until(lambda: len(venue.received) == 2)
            assert venue.received == ["hello", "again BTCUSDT"]

    play(scenario)


def test_time_passes_for_the_session_also_when_nothing_comes(play, desk):
    async def scenario(venue, url):
        session = Session()
        async with running(connect(desk, url, session)):
            await until(lambda: session.ticks > 3)
            session.on_tick = [Down("bored")]
            await until(lambda: ("A", "bored") in desk.told)
            session.on_tick = []
            await until(lambda: session.starts == 2)

    play(scenario)


# ---- which topics have spoken --------------------------------------------------------------------


def book(update: int, kind: str = "delta", depth: int = 50) -> str:
    data = {"s": "BTCUSDT", "b": [["60000.0", "1"]], "a": [["60000.1", "1"]], "u": update, "seq": update}
    told = {"topic": f"orderbook.{depth}.BTCUSDT", "type": kind, "ts": update, "data": data}
    return orjson.dumps(told).decode()


def topic_of(frame: bytes) -> str | None:
    found = re.search(rb'"topic":"([^"]+)"', frame)
    return found.group(1).decode() if found else None


def test_each_topic_is_listened_for_until_all_have_spoken_and_again_some_seconds_later(
    play, desk, monkeypatch
):
    monkeypatch.setattr(module, "WATCH_EVERY_S", 0.1)

    async def scenario(venue, url):
        session = Session("orderbook.50.BTCUSDT", "orderbook.1.BTCUSDT")
        line = connect(desk, url, session, topic=topic_of)
        async with running(line):
            await until(lambda: venue.peers)
            ws = venue.peers[0]
            await ws.send(book(1, "snapshot"))
            await ws.send(book(2))
            await until(lambda: len(session.data_of) == 2)
            await until(lambda: session.ticks > 2)
            assert session.data_of == ["orderbook.50.BTCUSDT"] * 2  # the other one is still awaited
            await ws.send(book(1, "snapshot", depth=1))
            await until(lambda: line.channel.seen is None)
            await ws.send(book(3))  # one of them goes on: the other one is missed
            await until(lambda: line.channel.seen is not None)
            session.data_of.clear()
            await ws.send(book(4))
            await until(lambda: session.data_of)
            ticks = session.ticks
            await until(lambda: session.ticks > ticks + 10)
            assert session.data_of == ["orderbook.50.BTCUSDT"]
            assert line.channel.seen is not None
            await ws.send(book(2, depth=1))
            await until(lambda: line.channel.seen is None)

    play(scenario)


def test_a_new_connection_has_to_hear_every_topic_anew(play, desk):
    async def scenario(venue, url):
        session = Session("orderbook.50.BTCUSDT")
        line = connect(desk, url, session, topic=topic_of)
        async with running(line):
            await until(lambda: venue.peers)
            await venue.peers[0].send(book(1, "snapshot"))
            await until(lambda: line.channel.seen is None)
            venue.reset()
            await until(lambda: len(venue.peers) == 2 and line.channel.seen is not None)

    play(scenario)


# ---- the way down, and up again -----------------------------------------------------------------


@pytest.mark.parametrize("how", ["reset", "close", "close 4005", "eof"])
def test_a_line_that_is_lost_is_down_at_once_and_comes_back(play, desk, how):
    async def scenario(venue, url):
        session = Session()
        line = connect(desk, url, session)
        async with running(line):
            for round_ in range(1, 4):
                await until(lambda n=round_: len(venue.received) == n and desk.up())
                if how == "reset":
                    venue.reset()
                elif how == "eof":
                    venue.peers[-1].transport.close()
                else:
                    code, reason = (4005, "buffer is full") if "4005" in how else (1000, "")
                    await venue.peers[-1].close(code, reason)
                await until(lambda n=round_: line.drops == n)
            await until(lambda: len(venue.received) == 4)
            assert session.starts == 4
            assert desk.told == [("A", "connection lost")] * 3

    play(scenario)


def test_an_order_line_that_was_ready_must_become_ready_again(play, desk):
    async def scenario(venue, url):
        session = Session()
        session.answers[say("in")] = [Ready()]
        line = connect(desk, url, session, ORDERS)
        async with running(line):
            await until(lambda: venue.peers)
            await venue.peers[0].send(say("in"))
            await until(lambda: desk.up(ORDERS))
            venue.reset()
            await until(lambda: len(venue.peers) == 2)
            assert not desk.up(ORDERS)
            assert not line.ready.is_set()

    play(scenario)


def test_without_a_descriptor_only_a_line_with_a_right_to_one_connects(desk, monkeypatch):
    """EMFILE, until somebody hands one over."""
    open_ones: list[int] = []
    true = Connection._connect

    async def connect(self):
        if not open_ones:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        await true(self)

    @contextlib.contextmanager
    def spare():
        open_ones.append(1)
        yield
        open_ones.clear()

    monkeypatch.setattr(Connection, "_connect", connect)

    async def scenario():
        async with serve(Venue().handle, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            made = [
                Connection(
                    desk.link, line, name, url, Session(), "/", up_at_once=True, topic=None,
                    tell=desk.tell, resync=desk.resync, spare=may,
                )
                for line, name, may in ((FEED, "feed", None), (ORDERS, "orders", spare))
            ]  # fmt: skip
            async with running(*made):
                await until(lambda: desk.up(ORDERS))
                await sleep(0.05)
                assert not desk.up(FEED)
        said = [text for line, text in desk.told if "descriptor" in text or "open files" in text]
        assert "Too many open files" in said[0]
        assert said[1].startswith("no file descriptor left: taking one that is kept back")

    asyncio.run(scenario())


def test_back_off_doubles_up_to_its_most_with_full_jitter_that_differs_between_lines(play, desk, monkeypatch):
    monkeypatch.setattr(module, "BACKOFF_FIRST_S", 0.2)
    waits: dict[str, list[float]] = {"A": [], "B": []}

    async def counted(delay_s, result=None):
        waits[asyncio.current_task().get_name()].append(delay_s)
        return await sleep(0)

    async def scenario(venue, url):
        refused = f"ws://127.0.0.1:{free_port()}"
        lines = connect(desk, refused, Session()), connect(desk, refused, Session(), ORDERS)
        tasks = [asyncio.create_task(x.run(), name=x.name) for x in lines]
        monkeypatch.setattr(module.asyncio, "sleep", counted)
        await until(lambda: min(map(len, waits.values())) > 12)
        monkeypatch.setattr(module.asyncio, "sleep", sleep)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    play(scenario)
    for delays in waits.values():
        parts = [x / min(0.2 * 2**n, 30.0) for n, x in enumerate(delays)]
        assert all(0 <= x <= 1 for x in parts)
        assert min(parts) < 0.3 < 0.7 < max(parts)  # anywhere in it, also at its most
        assert len(set(delays)) == len(delays)
    assert waits["A"][:12] != waits["B"][:12]
    assert set(desk.told) == {(name, desk.told[0][1]) for name in "AB"}
    assert "cannot connect to ws://127.0.0.1:" in desk.told[0][1]


def test_a_connection_that_was_steady_starts_its_back_off_afresh(play, desk, monkeypatch):
    waits = []

    async def counted(delay_s, result=None):
        if asyncio.current_task() not in tasks:
            return await sleep(delay_s)
        waits.append(delay_s)
        return await sleep(0)

    tasks = []

    async def scenario(venue, url):
        line = connect(desk, url, Session())
        line._random = SimpleNamespace(random=lambda: 1.0)  # no jitter
        async with running(line) as (task,):
            tasks.append(task)
            monkeypatch.setattr(module.asyncio, "sleep", counted)
            for n in range(1, 6):
                await until(lambda n=n: len(venue.peers) == n and desk.up())
                if n == 5:
                    monkeypatch.setattr(module, "STEADY_S", 0.01)
                    await sleep(0.05)
                venue.reset()
                await until(lambda n=n: len(waits) >= n)
            monkeypatch.setattr(module.asyncio, "sleep", sleep)

    play(scenario)
    assert waits == [0.02, 0.04, 0.08, 0.16, 0.02]


@pytest.mark.parametrize("action", [Down("no such key", retry=False), Down("no such key")])
def test_only_a_session_that_gives_up_for_good_ends_the_line(play, desk, action):
    async def scenario(venue, url):
        session = Session()
        session.answers[say("no")] = [action]
        async with running(connect(desk, url, session, ORDERS)) as (task,):
            await until(lambda: venue.peers)
            await venue.peers[0].send(say("no"))
            if action.retry:
                await until(lambda: session.starts == 2)
                assert not task.done()
            else:
                await asyncio.wait_for(task, 2)
                assert session.starts == 1
            end = "" if action.retry else ": not tried again before a restart"
            assert ("B", f"no such key{end}") in desk.told
            assert not desk.up(ORDERS)
            await until(lambda: venue.peers[0].close_code is not None)

    play(scenario)


def test_a_line_to_be_replaced_is_let_go_and_comes_back(play, desk):
    async def scenario(venue, url):
        session = Session()
        session.answers[say("shutdown")] = [Replace("the venue announced a shutdown")]
        async with running(connect(desk, url, session)):
            await until(lambda: venue.peers)
            await venue.peers[0].send(say("shutdown"))
            await until(lambda: session.starts == 2)
            assert desk.told[0] == ("A", "to be replaced: the venue announced a shutdown")

    play(scenario)


# ---- replaced before it breaks -------------------------------------------------------------------


BOOK = "orderbook.50.BTCUSDT"


def ready_session(*topics: str) -> Session:
    """Subscribed as soon as the venue says so; to be replaced when it says that."""
    session = Session(*topics)
    session.answers = {say("subscribed"): [Ready()], say("shutdown"): [Replace("announced")]}
    return session


class Rotating:
    """A feed that can be replaced, and the sessions of its connections in their order."""

    def __init__(self, desk, url, *topics: str):
        self.sessions = [ready_session(*topics)]
        self.rotation = Rotation(SPARE, lambda: self._again(topics), asyncio.Lock())
        self.line = connect(
            desk, url, self.sessions[0], topic=topic_of, rotation=self.rotation, turned=self.turns.append
        )

    @functools.cached_property
    def turns(self) -> list[bool]:
        return []

    def _again(self, topics) -> Session:
        self.sessions.append(ready_session(*topics))
        return self.sessions[-1]


async def speak(ws, first: int) -> None:
    await ws.send(say("subscribed"))
    await ws.send(book(first, "snapshot"))


def test_the_old_connection_is_closed_only_when_every_topic_has_spoken_on_the_new_one(play, desk):
    async def scenario(venue, url):
        feed = Rotating(desk, url, BOOK, "orderbook.1.BTCUSDT")
        async with running(feed.line):
            await until(lambda: venue.peers)
            await speak(venue.peers[0], 5)
            await venue.peers[0].send(say("shutdown"))
            await venue.peers[0].send(say("shutdown"))  # said twice, done once
            await until(lambda: len(venue.peers) == 2 and desk.up(SPARE))
            await speak(venue.peers[1], 6)
            await until(lambda: feed.sessions[1].data_of == [BOOK])
            ticks = feed.sessions[1].ticks
            await until(lambda: feed.sessions[1].ticks > ticks + 5)
            assert (desk.up(FEED), feed.line.replaced) == (True, 0)  # one topic is still awaited
            await venue.peers[1].send(book(6, "snapshot", depth=1))
            await until(lambda: feed.line.replaced == 1)
            assert (desk.up(FEED), desk.up(SPARE)) == (False, True)
            await venue.peers[0].wait_closed()
            assert (feed.line.line, feed.rotation.spare) == (SPARE, FEED)
            assert (feed.line.drops, len(venue.peers), feed.turns) == (0, 2, [True])
            await venue.peers[1].send(book(7))
            await until(lambda: desk.engine.books[0].last_id == 7)
            assert desk.engine.books[0].gaps == 0
            assert desk.resyncs == []

    play(scenario)


def test_a_second_connection_that_is_refused_leaves_the_old_one_until_it_breaks_once(play, desk):
    async def scenario(venue, url):
        feed = Rotating(desk, url, BOOK)
        async with running(feed.line):
            await until(lambda: venue.peers)
            await speak(venue.peers[0], 5)
            venue.refuse = HTTPStatus.SERVICE_UNAVAILABLE
            await venue.peers[0].send(say("shutdown"))
            await until(lambda: len(feed.sessions) > 3)  # tried again and again
            assert (desk.up(FEED), desk.up(SPARE), feed.line.drops) == (True, False, 0)
            (told,) = [text for _, text in desk.told if "replacement" in text]  # told once
            assert told.startswith("no replacement for this connection: ")
            await venue.peers[0].send(book(6))
            await until(lambda: desk.engine.books[0].last_id == 6)
            venue.refuse = None
            venue.reset()
            await until(lambda: len(venue.peers) == 2 and True in feed.turns[1:])
            assert (feed.line.drops, feed.turns) == (1, [True, False, True])

    play(scenario)


def test_a_connection_that_breaks_while_its_replacement_comes_up_is_succeeded_by_it(play, desk):
    async def scenario(venue, url):
        feed = Rotating(desk, url, BOOK)
        async with running(feed.line):
            await until(lambda: venue.peers)
            await speak(venue.peers[0], 5)
            await venue.peers[0].send(say("shutdown"))
            await until(lambda: len(venue.peers) == 2 and desk.up(SPARE))
            await venue.peers[0].close()
            await until(lambda: not desk.up(FEED))
            await speak(venue.peers[1], 6)
            await until(lambda: feed.line.replaced == 1)
            assert (desk.up(FEED), desk.up(SPARE)) == (False, True)
            assert (feed.line.drops, len(venue.peers), feed.turns) == (1, 2, [True, False, True])
            venue.reset()  # and from then on it is the line
            await until(lambda: len(venue.peers) == 3)
            assert feed.line.line == SPARE

    play(scenario)


@pytest.mark.parametrize("how", ["break", "silence"])
def test_a_replacement_that_never_speaks_is_given_up_and_another_one_tried(play, desk, monkeypatch, how):
    monkeypatch.setattr(module, "REPLACE_WITHIN_S", 0.1 if how == "silence" else 15)

    async def scenario(venue, url):
        feed = Rotating(desk, url, BOOK)
        async with running(feed.line):
            await until(lambda: venue.peers)
            await speak(venue.peers[0], 5)
            await venue.peers[0].send(say("shutdown"))
            await until(lambda: len(venue.peers) == 2 and desk.up(SPARE))
            if how == "break":
                await venue.peers[1].close()
            await until(lambda: len(venue.peers) >= 3)
            assert (desk.up(FEED), feed.line.drops, feed.line.replaced) == (True, 0, 0)
            monkeypatch.setattr(module, "REPLACE_WITHIN_S", 15)
            await until(lambda: len(feed.sessions) == len(venue.peers) and desk.up(SPARE))
            while feed.line.replaced == 0:
                with contextlib.suppress(ConnectionClosed):
                    await speak(venue.peers[-1], 6)
                await sleep(0.02)
            assert (desk.up(FEED), desk.up(SPARE), feed.line.drops) == (False, True, 0)

    play(scenario)


def test_two_lines_of_one_venue_are_replaced_one_after_the_other(play, desk):
    async def scenario(venue, url):
        feed = Rotating(desk, url, BOOK)
        async with feed.rotation.turn, running(feed.line):  # another line's turn
            await until(lambda: venue.peers)
            await venue.peers[0].send(say("shutdown"))
            ticks = feed.sessions[0].ticks
            await until(lambda: feed.sessions[0].ticks > ticks + 5)
            assert (len(feed.sessions), len(venue.peers)) == (1, 1)
        assert desk.errors == []

    play(scenario)


def test_letting_go_in_the_middle_of_a_replacement_leaves_nothing_open(play, desk):
    async def scenario(venue, url):
        feed = Rotating(desk, url, BOOK)
        async with running(feed.line):
            await until(lambda: venue.peers)
            await venue.peers[0].send(say("shutdown"))
            await until(lambda: len(venue.peers) == 2 and desk.up(SPARE))
        for ws in venue.peers:
            await ws.wait_closed()
        assert not desk.up(SPARE)

    play(scenario)


def test_a_session_may_give_up_as_soon_as_it_starts(play, desk):
    async def scenario(venue, url):
        session = Session(start=[Down("cannot work")])
        async with running(connect(desk, url, session)):
            await until(lambda: session.starts == 3)
            assert line_counts(desk) == {"cannot work", "connection lost"}

    play(scenario)


def line_counts(desk) -> set[str]:
    return {text for _, text in desk.told}


def test_letting_go_is_for_good(play, desk):
    async def scenario(venue, url):
        session = Session()
        line = connect(desk, url, session)
        async with running(line) as (task,):
            await until(lambda: desk.up())
            line.close()
            await asyncio.wait_for(task, 2)
            assert session.starts == 1
            assert not desk.up()

    play(scenario)


def test_the_end_of_an_old_connection_is_not_the_end_of_the_new_one(play, desk):
    async def scenario(venue, url):
        line = connect(desk, url, Session())
        async with running(line):
            await until(lambda: desk.up())
            old = line.channel
            venue.reset()
            await until(lambda: line.drops == 1 and desk.up())
            old.down(old)  # late: its socket had more to say
            await sleep(0.1)
            assert line.drops == 1
            assert desk.up()

    play(scenario)


# ---- what is no connection ----------------------------------------------------------------------


def test_in_a_storm_of_refusals_the_venue_counts_no_more_attempts_than_its_budget(play, desk, monkeypatch):
    """Six lines that would try a hundred times a second."""
    monkeypatch.setattr(module, "BACKOFF_MOST_S", 0.02)
    pace = Pace(5, 0.25)

    async def scenario(venue, url):
        governor, loop = Governor(), asyncio.get_running_loop()
        counted = []
        venue.refuse = HTTPStatus.SERVICE_UNAVAILABLE
        venue.told = lambda: counted.append(loop.time())
        admit = functools.partial(governor.admit, "the venue", pace, "feed")
        lines = [connect(desk, url, Session(), admit=admit, seed=n) for n in range(6)]
        began_s = loop.time()
        async with running(*lines):
            await until(lambda: len(counted) >= 12)
        windows = (loop.time() - began_s) // pace.within_s + 1
        assert len(counted) <= pace.most * windows

    play(scenario)


@pytest.mark.parametrize(
    "status", [HTTPStatus.NOT_FOUND, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE]
)
def test_an_upgrade_that_is_refused_is_told_and_tried_again(play, desk, status):
    async def scenario(venue, url):
        venue.refuse = status
        session = Session()
        async with running(connect(desk, url, session)):
            await until(lambda: len(desk.told) >= 1)
            await asyncio.sleep(0.5)
            assert len(desk.told) == 1  # the same reason is not told again
            assert f"cannot connect to {url}/ws" in desk.told[0][1]
            assert str(int(status)) in desk.told[0][1]
            assert not desk.up()
            venue.refuse = None
            await until(lambda: session.starts == 1)

    play(scenario)


async def tcp(answer: bytes | None):
    """A server that is none: it answers every request with `answer`, or hangs up, or (b"") says nothing."""
    accepted = []

    async def handle(reader, writer):
        accepted.append(writer)
        await reader.read(4096)
        if answer == b"":
            return
        if answer:
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, accepted, f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("line", [FEED, ORDERS])
def test_a_server_that_hangs_up_instead_of_upgrading_is_no_connection(play, desk, line):
    async def scenario(venue, url):
        server, accepted, url = await tcp(None)
        session = Session(start=[Ready()])
        async with server, running(connect(desk, url, session, line)):
            await until(lambda: len(accepted) >= 3)
            assert session.starts == 0
            assert not desk.up(line)
            assert "cannot connect to" in desk.told[0][1]

    play(scenario)


def test_a_server_that_says_nothing_is_given_up_on(play, desk, monkeypatch):
    patient = picows.ws_connect
    monkeypatch.setattr(
        module.picows, "ws_connect", functools.partial(patient, websocket_handshake_timeout=0.05)
    )

    async def scenario(venue, url):
        server, accepted, url = await tcp(b"")
        async with server, running(connect(desk, url, Session())):
            await until(lambda: len(accepted) >= 2)
            assert "timeout" in desk.told[0][1]
            for writer in accepted:
                writer.close()

    play(scenario)


@pytest.mark.parametrize("status", [b"301 Moved Permanently", b"302 Found", b"307 Temporary Redirect"])
def test_a_redirect_is_not_followed(play, desk, status):
    """What is written on an order line must not travel to another host."""

    async def scenario(venue, url):
        server, accepted, away = await tcp(
            b"HTTP/1.1 " + status + b"\r\nLocation: " + url.encode() + b"/ws\r\nContent-Length: 0\r\n\r\n"
        )
        session = Session()
        async with server, running(connect(desk, away, session)):
            await until(lambda: len(accepted) >= 2)
            assert venue.peers == []
            assert session.starts == 0

    play(scenario)


def test_an_answer_that_is_no_http_is_told_and_tried_again(play, desk):
    async def scenario(venue, url):
        server, accepted, url = await tcp(b"\x00\x01 what?\r\n\r\n")
        async with server, running(connect(desk, url, Session())):
            await until(lambda: len(accepted) >= 2 and desk.told)
            assert "cannot connect to" in desk.told[0][1]

    play(scenario)


# ---- sessions that are made anew -----------------------------------------------------------------


def test_a_key_in_the_path_is_fresh_for_each_connection(play, desk):
    async def scenario(venue, url):
        made = []

        async def fresh():
            made.append(Session())
            return made[-1], f"/ws/key{len(made)}"

        async with running(connect(desk, url, None, path="", fresh=fresh)):
            await until(lambda: len(venue.peers) == 1)
            venue.reset()
            await until(lambda: [x.starts for x in made] == [1, 1])
            assert venue.paths == ["/ws/key1", "/ws/key2"]

    play(scenario)


@pytest.mark.parametrize("error", [Unreachable("no answer"), ValueError("no listenKey in the reply")])
def test_a_key_that_cannot_be_had_is_told_and_asked_for_again(play, desk, error):
    async def scenario(venue, url):
        tries = []

        async def fresh():
            tries.append(1)
            if len(tries) < 3:
                raise error
            return Session(), "/ws"

        async with running(connect(desk, url, None, path="", fresh=fresh)):
            await until(lambda: desk.up())
            assert [text for _, text in desk.told] == [f"cannot connect to {url}: {error}; trying again"]

    play(scenario)


def test_a_key_in_the_path_is_in_no_message(play, desk):
    async def scenario(venue, url):
        nobody = f"ws://127.0.0.1:{free_port()}"

        async def fresh():
            return Session(), "/ws/theListenKey"

        async with running(connect(desk, nobody, None, path="", fresh=fresh)):
            await until(lambda: desk.told)
            assert "cannot connect" in str(desk.told)
            assert "theListenKey" not in str(desk.told)

    play(scenario)


# ---- faults of our own ---------------------------------------------------------------------------


def test_an_exception_of_a_session_is_told_as_a_failure_of_ours(play, desk):
    class Broken(Session):
        def receive(self, text, now_ns):
            raise KeyError("on purpose")

    async def scenario(venue, url):
        async with running(connect(desk, url, Broken())):
            await until(lambda: venue.peers)
            await venue.peers[0].send(say("anything"))
            await until(lambda: desk.errors)
            assert isinstance(desk.errors[0], KeyError)

    play(scenario)


# ---- a true session ------------------------------------------------------------------------------


def test_a_session_of_bybit_is_ready_again_after_a_lost_connection_and_after_it_gave_up(play, desk):
    async def scenario(venue, url):
        session = BybitSession("private", int(Market.BYBIT_LINEAR))
        line = connect(desk, url, session, ORDERS)

        answered = 0

        async def answer():
            nonlocal answered
            for frame in venue.received[answered:]:
                asked = orjson.loads(frame)
                assert asked["op"] == "subscribe"
                told = {"success": True, "op": "subscribe", "req_id": asked["req_id"]}
                await venue.peers[-1].send(orjson.dumps(told).decode())
                answered += 1

        async def confirm(connections):
            await until(lambda: len(venue.peers) == connections)
            while not line.ready.is_set():  # each topic is a request of its own
                await answer()
                await asyncio.sleep(0.01)
            assert desk.up(ORDERS)

        async with running(line):
            await confirm(1)
            venue.reset()
            await until(lambda: not desk.up(ORDERS))
            await confirm(2)
            line._do(session._give_up("no pong"))
            await until(lambda: not desk.up(ORDERS))
            await confirm(3)

    play(scenario)

"""One line kept alive: connect, hand the session what is not for the decoder, carry out what it answers, try
again.

Frames never come here: `ext.link.Channel` gives them to the engine where they lie. This side sees session
traffic only.

A line of market data is replaced before it breaks (`Rotation`): when its session says so, a second connection
goes up on the line's spare number. To the engine the two are redundant lines. Only when each topic has spoken
on the new one does it take over, and then the old one is closed.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any

import picows

from ext.link import Channel, Link
from node.errors import Unreachable
from node.net import tls
from node.net.descriptors import is_lack
from node.net.names import Names
from node.net.rotation import Rotation
from node.venues.values import AccountNews, Down, Ready, Relist, Replace, Reply, Request, Resync, Send

BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.4, 30.0  # with full jitter: any time up to it
STEADY_S = 10.0  # a connection that lasted so long starts the back-off afresh
TICK_S = 0.25
WATCH_EVERY_S = 5.0  # each topic that has spoken is listened for again so much later
REPLACE_WITHIN_S = 15.0  # a replacement that has not spoken by then is given up; the old one goes on
OVERLAP_S = 0.5  # both deliver for so long: the new one may lag, and must show where in the numbering it is

Tell = Callable[[str, str], None]  # (line name, what happened)


class Connection:
    """`run()` keeps one line connected until it is cancelled or the session says that trying again cannot
    help.

    `url` is scheme, host and port; the session knows its path. `up_at_once`: the line counts as up as soon as
    the socket is open (market data), not only when the session is ready (order entry). `fresh` makes a new
    session and path before each connect, where a key in the path lives no longer than the connection (Binance
    listen keys). `rotation`: how it is replaced while it goes on; without, it is hung up. `names` finds
    hosts, `rest(seconds)` waits between two attempts, `admit()` until one may be made, `spare()` gives a
    descriptor where there is none. `news`, `relist`, `turned` are told what private streams say of the
    account, that instruments changed, and that the line went up or down; `ask` sends a REST request of the
    session (to keep a listen key alive).
    """

    def __init__(
        self, link: Link, line: int, name: str, url: str, session: Any, path: str, *, up_at_once: bool,
        topic: Callable[[bytes], Any] | None, tell: Tell, resync: Callable[[str, str], None],
        fresh: Callable[[], Awaitable[tuple[Any, str]]] | None = None, seed: int = 0,
        news: Callable[[AccountNews], None] = lambda news: None, relist: Callable[[], None] = lambda: None,
        turned: Callable[[bool], None] = lambda up: None,
        ask: Callable[[Request], Awaitable[Reply | None]] | None = None,
        names: Names | None = None, rest: Callable[[float], Awaitable[None]] | None = None,
        spare: Callable[[], AbstractContextManager[None]] | None = None,
        rotation: Rotation | None = None, admit: Callable[[], Awaitable[None]] | None = None,
    ):  # fmt: skip
        self.link, self.line, self.name, self.session = link, line, name, session
        self.base, self.path, self.fresh = url.rstrip("/"), path, fresh
        self.up_at_once, self.topic, self.tell, self.resync = up_at_once, topic, tell, resync
        self.news, self.relist, self.turned, self.ask = news, relist, turned, ask
        self.admit = admit
        self.rest, self.spare = rest or (lambda seconds: asyncio.sleep(seconds)), spare
        self.names, self.context = names or Names(tell), tls.context() if url.startswith("wss:") else None
        self.channel: Channel | None = None
        self.ready = asyncio.Event()
        self.gone = asyncio.Event()
        self.drops = 0
        self.replaced = 0  # times that another connection took over before this one broke
        self.rotation = rotation
        self._rotating: asyncio.Task[bool] | None = None
        self._next: Connection | None = None  # goes up beside this one
        self._retry = True
        self._frames = 0
        self._heard_ns = 0  # when a topic was last told
        self._told = ""  # why it cannot connect, as it was said last
        self._topics: set[Any] = set()
        self._random = random.Random(f"{seed}:{line}")  # jitter: two lines must not come back together

    def is_wanted(self) -> bool:
        """Does it go on until somebody says otherwise?"""
        return self._retry

    # ---- life ----

    async def run(self) -> None:
        """Connect, wait until it is gone, back off, again."""
        try:
            await self._live()
        finally:
            await self._end_rotation()

    async def _live(self) -> None:
        delay_s = BACKOFF_FIRST_S
        loop = asyncio.get_running_loop()
        while self._retry:
            began_s = loop.time()
            try:
                await self._connect_somehow()
                await self._serve()
            except (OSError, picows.WSError) as error:
                self._cannot(f"cannot connect to {self.base}{self._shown()}: {tls.why(error)}")
            finally:
                self._dropped()
            if loop.time() - began_s > STEADY_S:
                delay_s = BACKOFF_FIRST_S
            await self.rest(delay_s * self._random.random())
            delay_s = min(2 * delay_s, BACKOFF_MOST_S)

    async def _connect_somehow(self) -> None:
        """With a descriptor that is kept back, where there is no other and this line has a right to one."""
        try:
            await self._connect()
        except OSError as error:
            if not is_lack(error) or self.spare is None:
                raise
            self._cannot("no file descriptor left: taking one that is kept back")
            with self.spare():
                await self._connect()

    def _shown(self) -> str:
        """The path, for people. One made for this connection is a key: who has it reads the account."""
        return self.path if self.fresh is None else ""

    def _cannot(self, text: str) -> None:
        """Once for each reason, not for each attempt."""
        if text != self._told:
            self._told = text
            self.tell(self.name, f"{text}; trying again")

    async def _connect(self) -> None:
        if self.fresh is not None:
            try:
                self.session, self.path = await self.fresh()
            except ValueError as error:  # the venue's answer, not our fault: ask again
                raise Unreachable(str(error)) from None
        if self.admit is not None:
            await self.admit()
        self.channel = self.link.channel(self.line)
        self.gone.clear()
        self.channel.cold, self.channel.down = self._cold, self._down
        self._listen()
        await picows.ws_connect(
            lambda: self.channel,
            self.base + self.path,
            enable_auto_ping=False,
            use_aiofastnet=False,
            max_redirects=0,
            disconnect_on_exception=False,
            ssl_context=self.context,
            socket_factory=self._socket,
        )
        if not self.channel.connected and not self.gone.is_set():
            raise ConnectionResetError("the server hung up during the upgrade")  # picows tells by silence
        self._frames = 0
        if self.up_at_once:
            self.link.engine.on_line(self.line, True, self.link.now_ns())
            self.turned(True)
        self._do(self.session.start(self.link.now_ns()))

    async def _socket(self, url: Any) -> Any:
        """Connected to one of the addresses of a name; the certificate is still compared with the name."""
        return await self.names.connected(url.host, url.port)

    async def _serve(self) -> None:
        """Until it is gone, and nothing has taken its place."""
        await self._until_gone()
        while await self._has_successor():
            await self._until_gone()

    async def _until_gone(self) -> None:
        while not self.gone.is_set():
            await self._pause()
            if self._rotating is not None and self._rotating.done():
                done, self._rotating = self._rotating, None
                done.result()  # what it raised is a fault of ours

    async def _pause(self) -> None:
        """A moment, at the end of which time has passed for the session, unless it is gone."""
        try:
            await asyncio.wait_for(self.gone.wait(), TICK_S)
        except TimeoutError:
            self._tick()
            await self._keep_alive()

    # ---- replacement ----

    def replace(self) -> None:
        """Let another connection take this one's place. Once at a time: what is said again meanwhile is
        known."""
        if self.rotation is None:
            self.hang_up()
        elif self._rotating is None or self._rotating.done():
            self._rotating = asyncio.ensure_future(self._rotate(self.rotation))

    async def _rotate(self, rotation: Rotation) -> bool:
        """Try until another connection has taken over. False where the old one went first."""
        delay_s = BACKOFF_FIRST_S
        while not self.gone.is_set():
            async with rotation.turn:
                if await self._bring_up(rotation):
                    return True
            await asyncio.sleep(delay_s * self._random.random())
            delay_s = min(2 * delay_s, BACKOFF_MOST_S)
        return False

    async def _bring_up(self, rotation: Rotation) -> bool:
        """One attempt. Whatever becomes of it, the old one is as it was until the new one is ready."""
        new = self._next = self._twin(rotation)
        try:
            async with asyncio.timeout(REPLACE_WITHIN_S):
                await new.settle()
        except (OSError, picows.WSError) as error:
            self._cannot(f"no replacement for this connection: {tls.why(error)}")
            return False
        else:
            self._take_over(new, rotation)
            return True
        finally:
            self._next = None
            new.let_go()

    def _twin(self, rotation: Rotation) -> "Connection":
        """A connection to the same streams, on the spare number."""
        new = Connection(
            self.link, rotation.spare, self.name, self.base, rotation.again(), self.path,
            up_at_once=True, topic=self.topic, tell=self.tell,
            resync=lambda symbol, reason: new.resubscribe(symbol),
            relist=self.relist, news=self.news, names=self.names, spare=self.spare, admit=self.admit,
        )  # fmt: skip
        return new

    async def settle(self) -> None:
        """Connect once; come back when every topic that speaks all the time has spoken, and some time later.
        Raises OSError or picows.WSError."""
        await self._connect_somehow()
        loop = asyncio.get_running_loop()
        since_s, has_spoken = loop.time(), False
        while loop.time() - since_s < OVERLAP_S:
            await self._pause()
            if self.gone.is_set():
                raise ConnectionResetError("it was lost before every topic had spoken")
            has_spoken = has_spoken or (self.ready.is_set() and not self._is_waiting())
            if not has_spoken:
                since_s = loop.time()

    def _is_waiting(self) -> bool:
        """Is a topic awaited? Later too: each is listened for again and again."""
        return self.channel is not None and self.channel.seen is not None

    def _take_over(self, new: "Connection", rotation: Rotation) -> None:
        """From here on the new connection is this one. The engine hears that the old number went down when
        the other one carries everything."""
        assert new.channel is not None
        engine, old, line = self.link.engine, self.channel, self.line
        self.channel, self.line, self.session, new.channel = new.channel, new.line, new.session, None
        rotation.spare = line
        self.channel.cold, self.channel.down = self._cold, self._down
        self._frames = new._frames
        self._listen()  # from here on it is this one that listens
        self.gone.clear()
        if old is not None:
            old.close()
        if engine.lines[line].up:
            engine.on_line(line, False, self.link.now_ns())
        else:
            self.turned(True)  # the old one went first
        self.ready.set()
        self.replaced += 1
        self._told = ""
        self.tell(self.name, "replaced: a new connection took over")

    async def _has_successor(self) -> bool:
        """It is gone. Has another connection taken over, or is one about to, that is nearer than a new
        attempt?"""
        if self._rotating is None or not self._retry:
            return False
        if self._next is not None and self._next.is_connected():
            self._dropped()
            await asyncio.wait((self._rotating,))
        return await self._end_rotation()

    def is_connected(self) -> bool:
        """Is there a connection, be it ready or not?"""
        return self.channel is not None and self.channel.connected

    async def _end_rotation(self) -> bool:
        """Whether it was done already, and well."""
        task, self._rotating = self._rotating, None
        if task is None:
            return False
        task.cancel()
        await asyncio.wait((task,))
        return not task.cancelled() and task.result()

    def let_go(self) -> None:
        """This attempt is over, unless its connection was taken over."""
        if self.channel is not None:
            self.channel.close()
            if self.link.engine.lines[self.line].up:
                self.link.engine.on_line(self.line, False, self.link.now_ns())

    # ---- time ----

    async def _keep_alive(self) -> None:
        """What must be said by REST so that this connection lives on."""
        request_of = getattr(self.session, "keepalive_request", None)
        request = request_of(self.link.now_ns()) if request_of is not None and self.ask is not None else None
        if request is not None:
            assert self.ask is not None
            session = self.session
            self._do(session.keepalive_reply(await self.ask(request), self.link.now_ns()))

    def _tick(self) -> None:
        """Time passes for the session. Every few seconds each topic must speak again; where it is not known
        which topic a frame is of, frames on the line stand for all."""
        now_ns = self.link.now_ns()
        if self.channel is not None and self.channel.seen is None:
            if self.topic is not None:
                if now_ns - self._heard_ns >= WATCH_EVERY_S * 1e9:
                    self._listen()
            elif self.channel.frames != self._frames:
                self._frames = self.channel.frames
                for topic in self._subscribed():
                    self.session.data(topic, now_ns)
        self._do(self.session.tick(now_ns))

    def _listen(self) -> None:
        """From now on each frame is looked at until every topic has spoken: the price of a watch that tells
        topics apart is paid for some frames in some seconds, not for each."""
        assert self.channel is not None
        self._topics = set(self._subscribed())
        if self.topic is not None and self._topics:
            self.channel.seen = self._seen

    def _subscribed(self) -> list[Any]:
        """What the session is subscribed to and hears of all the time, in its venue's words."""
        names = (getattr(self.session, x, None) for x in ("spoken", "streams", "topics"))
        return list(next((x for x in names if x), ()))

    def _dropped(self) -> None:
        if self.channel is not None and self.link.engine.lines[self.line].up:
            self.link.engine.on_line(self.line, False, self.link.now_ns())
            self.turned(False)
            self.drops += 1
            self.tell(self.name, "connection lost" if self._retry else "closed")
        self.ready.clear()

    def close(self) -> None:
        """Let go for good."""
        self._retry = False
        if self.channel is not None:
            self.channel.close()

    # ---- what comes and goes ----

    def _down(self, channel: Channel) -> None:
        if channel is self.channel:  # not an old one, whose socket took its time to close
            self.gone.set()

    def _cold(self, text: str) -> None:
        self._do(self.session.receive(text, self.link.now_ns()))

    def _seen(self, frame: bytes) -> None:
        """Until each topic has spoken once: which one is this?"""
        assert self.topic is not None
        assert self.channel is not None
        topic = self.topic(frame)
        self._heard_ns = self.link.now_ns()
        self.session.data(topic, self._heard_ns)
        self._topics.discard(topic)
        if not self._topics:
            self.channel.seen = None

    def resubscribe(self, symbol: str) -> None:
        """Ask the venue for a fresh book on this connection."""
        self._do(self.session.resync(symbol, self.link.now_ns()))

    def _do(self, actions: list[Any]) -> None:
        for action in actions:
            if isinstance(action, Send):
                if self.channel is not None:
                    self.channel.send(action.text)
            elif isinstance(action, Ready):
                self._on_ready()
            elif isinstance(action, Resync):
                self._resync(action)
            elif isinstance(action, Replace):
                self.tell(self.name, f"to be replaced: {action.reason}")
                self.replace()
            elif isinstance(action, AccountNews):
                self.news(action)
            elif isinstance(action, Relist):
                self.relist()
            elif isinstance(action, Down):
                self.tell(
                    self.name,
                    action.reason if action.retry else f"{action.reason}: not tried again before a restart",
                )
                self._retry = self._retry and action.retry
                self.hang_up()

    def _resync(self, action: Resync) -> None:
        """A topic that is dead here is subscribed anew here: other lines may be well."""
        if self.topic is None:
            self.resync(action.symbol, action.reason)
        else:
            self.tell(self.name, f"subscribing anew: {action.symbol}: {action.reason}")
            self.resubscribe(action.symbol)

    def _on_ready(self) -> None:
        if not self.up_at_once:
            self.link.engine.on_line(self.line, True, self.link.now_ns())
            self.turned(True)
        self.ready.set()
        self._told = ""
        self.tell(self.name, "ready")

    def hang_up(self) -> None:
        """Give this connection up and connect anew."""
        if self.channel is not None:
            self.channel.close()
        self.gone.set()

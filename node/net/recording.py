"""`tickgate record`: the feeds of a node without the node: frames as they come, and what books start from.

Connections, sessions and books are those of a running node, so that gaps, lost lines and snapshots are dealt
with as there. Nothing is sent but subscriptions and requests for market data: no key is read. Of redundant
addresses the first is recorded. Each file begins with fresh books, and so does each connection.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import picows

from ext.engine import Engine
from ext.wire import Verdict
from node.assembly import MARKET_NAMES, Assembly, LineSpec, epoch_of
from node.config import Config, one_of
from node.errors import Failed
from node.net.descriptors import Descriptors
from node.net.http import Http
from node.net.live import Node, sockets_of
from node.net.names import Names
from node.net.outage import Outage
from node.reel import FORMS, PACKS, Reel, Row
from node.venues.markets import MARKETS

TICK_S = 0.02
FLUSH_S = 1.0
PROGRESS_S = 5.0
MESSAGE_MAX = 16 << 20  # of a message in parts
STEP_NS = 50_000_000  # of the wall clock, which a reader of the file should know of
HANDLED, NOT_MINE = int(Verdict.HANDLED), int(Verdict.NOT_MINE)


@dataclass(frozen=True, slots=True)
class Options:
    """`file_mb`, `file_s`: a file ends when it is as large or as old; `seconds` 0: until told to stop."""

    out: Path
    form: str = "json"
    pack: str = "zst"
    file_mb: int = 512
    file_s: int = 3600
    seconds: float = 0.0

    def __post_init__(self) -> None:
        one_of("record", "--form", self.form, FORMS)
        one_of("record", "--pack", self.pack, PACKS)


def listening(config: Config) -> Config:
    """The config as far as market data goes: no orders, no keys, one address for each market."""
    venues = [
        msgspec.structs.replace(x, orders="", private="", key=None, streams=x.streams[:1])
        for x in config.venue
    ]
    instruments = [msgspec.structs.replace(x, limits=None, quote=None) for x in config.instrument]
    return msgspec.structs.replace(
        config, venue=venues, instrument=instruments, strategy="none", guard=None, dials="", drill_after_ms=0
    )


class Ear:
    """What a `Connection` knows of a link, without orders: `heard(line, raw)` takes each frame and returns
    its Verdict, `wrote(line, text)` is told of session traffic that left."""

    def __init__(self, engine: Engine, heard: Callable[[int, bytes], int]):
        self.engine, self.heard = engine, heard
        self.failed: Callable[[BaseException | None], None] = lambda error: None
        self.wrote: Callable[[int, str], None] = lambda line, text: None
        self.offset_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def now_ns(self) -> int:
        """ns since 1970 that never step."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) + self.offset_ns

    def channel(self, line: int) -> "Tap":
        return Tap(self, line)

    def bytes_in(self, line: int, frame: bytes) -> int:
        return self.heard(line, frame)

    def align(self) -> int:
        """Stamp by the wall clock as it is now; returns how far that moved, in ns."""
        step_ns = time.time_ns() - self.now_ns()
        self.offset_ns += step_ns
        return step_ns


class Tap(picows.WSListener):
    """One WebSocket connection of one line; what `ext.link.Channel` is to a node."""

    def __init__(self, ear: Ear, line: int):
        self.ear, self.line = ear, line
        self.transport: Any = None
        self.cold: Callable[[str], None] | None = None
        self.seen: Callable[[bytes], None] | None = None
        self.down: Callable[[Tap], None] | None = None
        self.frames = 0
        self.parts: list[bytes] | None = None

    @property
    def connected(self) -> bool:
        return self.transport is not None

    def on_ws_connected(self, transport: Any) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        kind = frame.msg_type
        if kind == picows.WSMsgType.CLOSE:
            code = frame.get_close_code()
            transport.send_close(
                picows.WSCloseCode.OK if code == picows.WSCloseCode.NO_INFO else code
            )  # no code: nothing to echo
            transport.disconnect()
        elif kind == picows.WSMsgType.TEXT and frame.fin:
            self._take(frame.get_payload_as_bytes())
        elif kind == picows.WSMsgType.TEXT:
            self.parts = [frame.get_payload_as_bytes()]
        elif kind == picows.WSMsgType.CONTINUATION and self.parts is not None:
            self._part(frame)
        elif kind == picows.WSMsgType.BINARY:
            self.parts = None  # nor are its continuations text

    def _part(self, frame: Any) -> None:
        assert self.parts is not None
        self.parts.append(frame.get_payload_as_bytes())
        if sum(map(len, self.parts)) > MESSAGE_MAX:
            self.close()
        elif frame.fin:
            whole, self.parts = b"".join(self.parts), None
            self._take(whole)

    def _take(self, raw: bytes) -> None:
        """Whatever is raised here ends the recording; a fault of ours also goes on to the transport."""
        done = False
        try:
            verdict = self.ear.heard(self.line, raw)
            self.frames += 1
            if verdict == NOT_MINE and self.cold is not None:
                self.cold(raw.decode("utf-8", "replace"))
            elif verdict == HANDLED and self.seen is not None:
                self.seen(raw)
            done = True
        except Failed as error:
            done = True
            self.ear.failed(error)
        finally:
            if not done:
                self.ear.failed(sys.exc_info()[1])

    def on_ws_disconnected(self, transport: Any) -> None:
        self.transport = None
        if self.down is not None:
            self.down(self)

    def send(self, text: str) -> None:
        if self.transport is not None:
            self.ear.wrote(self.line, text)
            self.transport.send(picows.WSMsgType.TEXT, text)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.disconnect(False)


class Recorder(Node):
    """A node that only listens. Build with any config, `await run(stop)`; then `result()`.

    Raises UserError, Unreachable, and Failed where the disk takes no more.
    """

    def __init__(
        self,
        config: Config,
        options: Options,
        tell: Callable[[str, str], None],
        *,
        path: Path | None = None,
    ):
        super().__init__(listening(config), tell, path=path)
        self.options = options
        self.reels: dict[int, Reel] = {}
        self.lost = self.gaps = 0
        self.began_s = self.ended_s = 0.0
        self.is_leaving = False

    # ---- building ----

    def build(self) -> None:
        """As a node's, without tape, orders and keeper, and with a reel for each market."""
        now_ns = time.time_ns()
        self.desk = Assembly(
            self.config, self.rows, self.steps, {}, tape=None, epoch=epoch_of(now_ns), folder=self.folder,
            spares=False,  # each connection begins with fresh books, and one at a time is on record
        )  # fmt: skip
        self.engine, self.instruments = self.desk.engine, self.desk.instruments
        self.ear = Ear(self.engine, self._heard)
        self.link = self.ear  # type: ignore[assignment]  # what connections want of a link, it has
        self.ear.failed, self.ear.wrote = self.failed, self._wrote
        self.engine.ask_resync = self._ask_book
        self.outage = Outage(self.tell, lambda fields: None)
        self.roles: dict[int, LineSpec] = {x.line: x for x in self.desk.lines}
        self.addresses = {
            line: f"{self.venues[m].rest.rstrip('/')}{self._snapshot_of(n).target}"
            for n, line in self.desk.snapshots.items()
            for m in [self.instruments.market(n)]
        }
        for market in self.venues:
            rows = [self._row(key) for key in self.rows if key[0] == market]
            if rows:
                self.reels[market] = Reel(
                    self.options.out, MARKET_NAMES[market], rows,
                    form=self.options.form, pack=self.options.pack,
                )  # fmt: skip
        for spec in self.desk.lines:
            self.add_connection(spec)

    def _snapshot_of(self, number: int) -> Any:
        market = self.instruments.market(number)
        request_of = MARKETS[market].snapshot
        assert request_of is not None
        return request_of(market, self.instruments.symbol(number))

    def _row(self, key: tuple[int, str]) -> Row:
        row = self.rows[key]
        return {
            "market": MARKET_NAMES[row.market],
            "symbol": row.symbol,
            "tick": row.tick,
            "lot": row.lot,
            "contract": row.contract,
            "min_size": row.min_size,
            "min_notional": row.min_notional,
            "inst_code": row.inst_code,
        }

    # ---- what comes ----

    def _heard(self, line: int, raw: bytes) -> int:
        """A frame, or a reply to a request for a book: on record first, then into the books."""
        now_ns = self.ear.now_ns()
        row = self.engine.lines[line]
        reel = self.reels[row.wire.market]
        if line in self.addresses:
            reel.put(now_ns, "rest:" + self.addresses[line].partition("?")[0], raw, url=self.addresses[line])
        else:
            reel.put(now_ns, MARKETS[row.wire.market].channel(raw), raw)
        return self.engine.on_bytes(line, raw, now_ns)

    def _wrote(self, line: int, text: str) -> None:
        self.reels[self.roles[line].market].put(self.ear.now_ns(), "request", text.encode(), sent=True)

    def turned(self, spec: LineSpec, up: bool) -> None:
        reel, now_ns = self.reels[spec.market], self.ear.now_ns()
        if not self.is_leaving:
            self.outage.turned(spec.line, up)
        if up:
            reel.connected(now_ns, spec.url)
        elif not self.is_leaving:
            self.lost += 1
            reel.mark(now_ns, "lost", {"line": spec.name})

    def _ask_book(self, instrument: int, reason: str) -> None:
        if instrument >= 0:
            reel = self.reels[self.instruments.market(instrument)]
            told = {"symbol": self.instruments.symbol(instrument), "reason": reason}
            reel.mark(self.ear.now_ns(), "resync", told)
        self.resync(instrument, reason)

    def failed(self, error: BaseException | None) -> None:
        self.failure = self.failure or error

    # ---- running ----

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set, the time is over, or the disk is full."""
        work = asyncio.ensure_future(self._record(stop))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
        for task in (stopping, work):
            task.cancel()
        await asyncio.wait((work, stopping))
        if not work.cancelled():
            work.result()

    async def _record(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        self.descriptors = Descriptors(sockets_of(self.config))
        self.names = Names(self.tell)
        async with Http(self.names, self.descriptors.pool) as http:
            self.http = http
            await self.load_instruments()
            self.build()
            try:
                for reel in self.reels.values():
                    reel.turn(self.ear.now_ns())
                self.began_s = self.ended_s = loop.time()
                if self.options.seconds:
                    loop.call_later(self.options.seconds, stop.set)
                for connection in self.connections:
                    self.spawn(connection.run())
                await self._listen()
            finally:
                self.ended_s = loop.time()
                await self._leave()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        flush_s, progress_s, before = loop.time() + FLUSH_S, loop.time() + PROGRESS_S, (0, 0)
        while self.failure is None:
            self.engine.on_time(self.ear.now_ns())
            if loop.time() >= flush_s:
                flush_s = loop.time() + FLUSH_S
                self._flush()
            if loop.time() >= progress_s:
                progress_s = loop.time() + PROGRESS_S
                before = self._progress(before)
            await asyncio.sleep(TICK_S)
        raise self.failure

    def _flush(self) -> None:
        for market, reel in self.reels.items():
            reel.flush()
            age_s = (self.ear.now_ns() - reel.began_ns) // 10**9
            if reel.size >= self.options.file_mb << 20 or age_s >= self.options.file_s:
                self._next_file(market)

    def _next_file(self, market: int) -> None:
        """A file that can be read without the one before: its books start anew."""
        step_ns = self.ear.align()
        reel = self.reels[market]
        reel.turn(self.ear.now_ns())
        if abs(step_ns) > STEP_NS:
            self.tell("record", f"the wall clock stepped by {step_ns / 1e6:.0f} ms: stamped so from here on")
            reel.mark(self.ear.now_ns(), "clock", {"step_ns": step_ns})
        for number in range(self.instruments.count):
            if self.instruments.market(number) == market:
                self._ask_book(number, "a new file begins")

    def _progress(self, before: tuple[int, int]) -> tuple[int, int]:
        frames, size = self._sum("frames"), self._sum("written")
        rate = (frames - before[0]) / PROGRESS_S
        self.tell(
            "record",
            f"{rate:.0f} frames/s, {(size - before[1]) / PROGRESS_S / 1e3:.1f} kB/s; {frames} frames, "
            f"{size / 1e6:.1f} MB in {sum(len(x.files) for x in self.reels.values())} files",
        )
        return frames, size

    def _sum(self, name: str) -> int:
        return sum(getattr(x, name) for x in self.reels.values())

    async def _leave(self) -> None:
        self.is_leaving = True  # what ends from here on is no loss
        self.gaps = sum(x.gaps for x in self.engine.books)
        await self.end_tasks()
        self.names.close()
        self.descriptors.close()
        for reel in self.reels.values():
            reel.close()

    def result(self) -> dict[str, Any]:
        """What was recorded, for people and for a JSON writer."""
        return {
            "seconds": round(self.ended_s - self.began_s, 3),
            "frames": self._sum("frames"),
            "raw_bytes": self._sum("raw_bytes"),
            "written_bytes": self._sum("written"),
            "connections_lost": self.lost,
            "gaps": self.gaps,
            "not_utf8": self._sum("odd"),
            "files": [str(path) for reel in self.reels.values() for path in reel.files],
            "instruments": [str(path) for reel in self.reels.values() for path in reel.sidecars],
        }

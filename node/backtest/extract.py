"""Market data out of a tape: what `tickgate record` would have written while the node ran.

Of redundant lines the first of each market is taken. Where it was replaced while it went on, both
connections are written as long as both deliver; on a venue whose books start from a snapshot of the stream it
is the new one from its first frame on, which begins with that snapshot. A run of the node begins a file, as
CONFIG is where the tape says what its lines and instruments are.
"""

from pathlib import Path
from typing import Any

import orjson

from ext.engine import LineKind
from ext.tape import RecordType, TapeCorrupt, TapeMissing, TapeReader
from node.config import MARKETS as MARKET_NUMBERS
from node.errors import Failed, UserError
from node.linestats import SPARE
from node.reel import Reel
from node.venues.markets import MARKETS

Feed = tuple[str, str]  # a market's name, and the request of a reply ("" for frames of a stream)


def extract(tape: Path, out: Path, *, form: str = "json", pack: str = "zst") -> dict[str, Any]:
    """Write the market data of the tape in directory `tape` to files in `out`; what there is then, as
    `tickgate record` tells it. Raises UserError where there is no tape, Failed where it is damaged: what
    comes before is written."""
    run = _Extraction(out, form, pack)
    try:
        for record in TapeReader(str(tape)):
            if record.type == RecordType.CONFIG:
                run.begin(orjson.loads(record.payload), record.now_ns)
            elif record.type == RecordType.FRAME and record.line in run.feeds:
                run.frame(record.line, record.payload, record.now_ns)
            elif record.type == RecordType.SESSION and record.line in run.feeds:
                run.turned(record.line, record.payload == b"\1", record.now_ns)
    except TapeMissing:
        raise UserError(f"{tape}: there is no tape there: name its directory") from None
    except TapeCorrupt as error:
        raise Failed(f"{tape}: {error}") from None
    finally:
        run.end()
    if not run.files:
        raise UserError(f"{tape}: no market data in it")
    return run.result()


class _Extraction:
    """Files that are being written, and which lines go into them."""

    def __init__(self, out: Path, form: str, pack: str):
        self.out, self.form, self.pack = out, form, pack
        self.feeds: dict[int, Feed] = {}
        self.reels: dict[str, Reel] = {}
        self.files: list[str] = []
        self.sidecars: list[str] = []
        self.began_ns = 0
        self.names: list[str] = []
        self.up: set[int] = set()
        self.left: set[int] = set()  # lines that are up, and in whose place another one is written
        self.counts = dict.fromkeys(("frames", "raw_bytes", "written_bytes", "not_utf8"), 0)

    def begin(self, told: dict[str, Any], now_ns: int) -> None:
        """A run of the node begins: other lines, other instruments. It has files once it has frames."""
        self.end()
        self.began_ns = now_ns
        self.names, self.up, self.left = [x["name"] for x in told["lines"]], set(), set()
        self.feeds = {
            line: feed for line, row in enumerate(told["lines"]) if (feed := _feed(row)) is not None
        }
        for market in dict.fromkeys(name for name, _ in self.feeds.values()):
            rows = [
                {x: row[x] for x in ("market", "symbol", "tick", "lot")}
                for row in told["instruments"]
                if row["market"] == market
            ]
            self.reels[market] = Reel(self.out, market, rows, form=self.form, pack=self.pack)

    def frame(self, line: int, raw: bytes, now_ns: int) -> None:
        market, url = self.feeds[line]
        if line in self.left:
            return
        if not self.reels[market].files:
            self.reels[market].turn(self.began_ns)
        if url:
            self.reels[market].put(now_ns, "rest:" + url.partition("?")[0], raw, url=url)
        else:
            channel = MARKETS[MARKET_NUMBERS[market]].channel(raw)
            self.reels[market].put(now_ns, channel, raw)

    def turned(self, line: int, up: bool, now_ns: int) -> None:
        """A connection came or went. One that goes when another has taken over was not lost."""
        market, name = self.feeds[line][0], self.names[line].removesuffix(SPARE)
        other = next((x for x in self.up if x != line and self.names[x].removesuffix(SPARE) == name), None)
        if up:
            self.up.add(line)
            if other is not None and MARKETS[MARKET_NUMBERS[market]].snapshot is None:
                self.left.add(other)
            return
        self.up.discard(line)
        self.left.discard(line)
        if other is None or other in self.left:
            self.left.discard(other)
            if self.reels[market].files:
                self.reels[market].mark(now_ns, "lost", {"line": line})

    def end(self) -> None:
        for reel in self.reels.values():
            reel.close()
            self.files += map(str, reel.files)
            self.sidecars += map(str, reel.sidecars)
            for name, value in (
                ("frames", reel.frames),
                ("raw_bytes", reel.raw_bytes),
                ("written_bytes", reel.written),
                ("not_utf8", reel.odd),
            ):
                self.counts[name] += value
        self.reels.clear()

    def result(self) -> dict[str, Any]:
        return self.counts | {"files": self.files, "instruments": self.sidecars}


def _feed(row: dict[str, Any]) -> Feed | None:
    """What a line of the tape's first words brings of its market's data; None where it is nothing, or what
    another line brings too."""
    market, _, what = row["name"].partition(" ")
    if row["kind"] == LineKind.SNAPSHOT_LINE:
        request_of = MARKETS[MARKET_NUMBERS[market]].snapshot
        assert request_of is not None
        return market, request_of(MARKET_NUMBERS[market], what.removeprefix("snapshot ")).target
    is_first = row["kind"] == LineKind.MARKET_LINE and what.startswith("feed A")
    return (market, "") if is_first else None

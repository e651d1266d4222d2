"""Tapes of small runs on simulated venues, in memory: what `tickgate audit` and `tickgate trades` are
tested on. The venue's ledger is the truth about them."""

from pathlib import Path
from typing import Any

import msgspec
import orjson
from chain import START, Chain

from ext.tape import RecordType, TapeReader, TapeWriter
from node.recall import recall
from node.sim.memory import SEC, START_NS, World
from node.slow.story import Stories
from node.soak import soak_config

MARKETS = ("bybit-spot", "binance-usdm")
TROUBLE = [
    {"name": "ack.drop", "every": 0.08},
    {"name": "exec.dup", "every": 0.3},
    {"name": "order.fill_immediately", "every": 0.4},
    {"name": "exec.delay", "every": 0.1, "delay_ms": 500},
]


def small(markets: tuple[str, ...] = MARKETS) -> Any:
    """The soak's config, of a few markets."""
    whole = soak_config()
    return msgspec.structs.replace(
        whole,
        venue=[x for x in whole.venue if x.market in markets],
        instrument=[x for x in whole.instrument if x.market in markets],
    )


def run(directory: Path, seconds: float, *, old: World | None = None, **more: Any) -> World:
    """A node on a tape for so long; its tape is closed, its orders are left where they are. `old`: the
    run before, killed; its venues live on."""
    start_ns, told = START_NS, {}
    if old is not None:
        for wired in old.lines.values():
            if wired.connection is not None and wired.connection.number in wired.fake.connections:
                wired.fake.close(wired.connection)
        old.events.clear()
        for fake in old.fakes.values():
            fake.take()
        start_ns, told = old.now_ns, {"keep_fakes": old, "recalled": recall(directory)}
    tape = TapeWriter(
        str(directory), now_ns=start_ns, segment_size=more.pop("segment_size", 1 << 22), ahead=0
    )
    world = World(more.pop("config", None) or small(), tape=tape, **told, **more)
    world.run_for(int(seconds * SEC))
    tape.close(world.now_ns)
    return world


def truth(world: World) -> dict[int, dict[str, Any]]:
    """What each market's venue has booked for the node."""
    return {m: world.fakes[world.venue_of[m]].truth(world.account(m)) for m in world.venue_of}


def stories_of(directory) -> Stories:
    out = Stories()
    for record in TapeReader(str(directory), follow=True):
        out.feed(record)
    out.finish()
    return out


# ---- a tape by hand ----

CONFIG = {
    "build": "0123456789ab",
    "epoch": 0,
    "config": {"mode": "sim", "deployment": "tckg"},
    "instruments": [
        {
            "market": "binance-spot",
            "symbol": "BTCUSDT",
            "tick": "0.01",
            "lot": "0.001",
            "money_mul": 1000,
            "money_div": 1,
            "row": {"base": "BTC", "quote": "USDT"},
        }
    ],
    "lines": [{"name": x, "kind": 0} for x in ("a", "b", "rest", "orders", "private")],
    "signals": [{"strategy": "Mine", "kinds": {"1": ["breakout", "level:ticks"]}}],
    "dials": [["spread_permille", 1000], ["size_permille", 1000]],
}


class Taped(Chain):
    """A chain with a tape that begins as a node's does."""

    def __init__(self, directory, *strategies, epoch=0, **more):
        tape = TapeWriter(directory, now_ns=1, segment_size=1 << 20)
        tape.append(RecordType.CONFIG, 0, START, orjson.dumps(CONFIG | {"epoch": epoch}))
        self.directory = directory
        super().__init__(*strategies, tape=tape, **more)

    def stories(self):
        return stories_of(self.directory)

    def story(self, number=1):
        return self.stories().orders[0, number]


def once(self, instrument, now_ns):
    if len(self.kinds("book")) == 1:
        self.signal(1, 9995)
        self.buy(instrument, 9990, 10)

"""Tapes of small runs on simulated venues, in memory: what `tickgate audit` and `tickgate trades` are
tested on. The venue's ledger is the truth about them."""

from pathlib import Path
from typing import Any

import msgspec

from ext.tape import TapeReader, TapeWriter
from node.recall import recall
from node.sim.memory import SEC, START_NS, World
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
    tape = TapeWriter(str(directory), now_ns=start_ns, segment_size=1 << 22, ahead=0)
    world = World(more.pop("config", None) or small(), tape=tape, **told, **more)
    world.run_for(int(seconds * SEC))
    tape.close(world.now_ns)
    return world


def records(directory: Path) -> list[Any]:
    return list(TapeReader(str(directory)))


def truth(world: World) -> dict[int, dict[str, Any]]:
    """What each market's venue has booked for the node."""
    return {m: world.fakes[world.venue_of[m]].truth(world.account(m)) for m in world.venue_of}

"""Runs in virtual time with a tape, and the same runs again."""

from collections.abc import Callable
from pathlib import Path

import msgspec
from configs import instrument, tables, venue

from ext.records import TimeInForce
from ext.strategy import Strategy
from ext.tape import RecordType, TapeReader, TapeWriter
from node.backtest.rerun import Rerun, RunResult
from node.config import Config
from node.sim.memory import SEC, World
from node.soak import soak_config

SEGMENT = 16 << 20


class Taker(Strategy):
    """Python: buys a little at the ask and sells it at the bid, in turns, on every instrument."""

    every_ns = 300_000_000
    lots = 2

    def __init__(self):
        self.last_ns: dict[int, int] = {}
        self.turns = 0

    def on_book(self, instrument: int, now_ns: int) -> int:
        bid, ask = self.best(instrument)
        if not (bid and ask) or now_ns - self.last_ns.get(instrument, 0) < self.every_ns:
            return 0
        self.last_ns[instrument] = now_ns
        self.turns += 1
        size = self.lots * self.instruments.row(instrument)["lot_step"]
        if self.turns % 3:
            self.buy(instrument, ask[0], size, TimeInForce.IOC)
        else:
            self.sell(instrument, bid[0], size, TimeInForce.IOC)
        return 0


def config_of(market: str = "bybit-linear", symbol: str = "BTCUSDT", **more) -> Config:
    """One instrument of one venue; `limits`: of it; `venue`: of the venue; the rest of the whole."""
    limits, of = more.pop("limits", {}), more.pop("venue", {})
    raw = {"mode": "sim", **tables(orders=1000), "strategy": "none"} | more
    row = instrument(market, symbol, limits=limits, quote=more.pop("quote", None))
    raw.pop("quote", None)
    raw |= {"venue": [venue(market, **of)], "instrument": [row]}
    return msgspec.convert(raw, Config)


def run(
    folder: Path, act: Callable[[World], None] | float = 5.0, config: Config | None = None, **options
) -> World:
    """A run onto the tape in `folder`: for so many seconds, or what `act` does."""
    tape = TapeWriter(str(folder), now_ns=1, segment_size=SEGMENT)
    world = World(config or soak_config(), tape=tape, **options)
    if callable(act):
        act(world)
    else:
        world.run_for(int(act * SEC))
    tape.close(world.now_ns)
    return world


def again(folder: Path, until: int = 0, **options) -> list[RunResult]:
    """Every run of a tape, replayed; `until`: up to this sequence. `strategy`: makes the strategy of each."""
    make, runs = options.pop("strategy", None), []
    for record in TapeReader(str(folder)):
        if until and record.sequence > until:
            break
        if record.type == RecordType.CONFIG:
            runs.append(Rerun(record, strategy=make() if make else None, **options))
        elif runs[-1].result.difference is None:
            runs[-1].feed(record)
    return [x.finish() for x in runs]

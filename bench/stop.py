"""The `stop` benchmark: from the frame that crosses a loss stop to the first exit frame, and a flash crash.

The first half times the native chain in one process: a depth frame as the venue sends it goes in, and the
clock is read again when the outlet is given the first exit - tape, decoder, book, valuation, stop, risk and
encoder between them, and the hash that this outlet takes. Then everything that rests is cancelled; when the
last cancel was handed over is measured too. The second half is a run in virtual time: the simulated venues'
prices fall by 10 % in 100 ms while the node holds a position on each.
"""

import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bench.conditions import BenchError, Progress, silent, watching
from bench.risk import NOW_NS, PRODUCTS
from ext.engine import Engine, LineKind, Recorder
from ext.instruments import Instruments
from ext.limits import NO_ACCOUNT_LIMITS as ACCOUNT
from ext.records import (
    DepthKind,
    Desk,
    HaltReason,
    OrderType,
    ReportKind,
    Rule,
    Side,
    StopPolicy,
    TimeInForce,
    stop_row,
)
from ext.strategy import Strategy
from ext.tape import RecordType, TapeReader, TapeWriter
from node.sim.memory import MS, SEC, World
from node.soak import soak_config

E8 = 10**8
BUDGET_US_P99 = 100.0
LOTS, ENTRY, DEPTH, FALL = 1_000, 600_000, 50, 30
TURN = 25  # orders of a strategy in one turn
POLICY = {
    "exit_retry_ns": 50 * MS,
    "cooldown_ns": 0,
    "on_position_loss": int(StopPolicy.STOP_FLATTEN),
    "on_daily_loss": int(StopPolicy.STOP_FLATTEN),
    "on_drawdown": int(StopPolicy.STOP_FLATTEN),
    "on_margin": int(StopPolicy.STOP_FLATTEN),
}
DESK_EXIT = int(Desk.DESK_EXIT)


class Quotes(Strategy):
    """Places so many buy orders far from the market, when asked."""

    def __init__(self) -> None:
        self.wanted = 0

    def on_timer(self, now_ns: int) -> int:
        for _ in range(min(self.wanted, TURN)):
            self.wanted -= 1
            self.buy(0, ENTRY - 3_000 - self.wanted, 1)
        return 0


# ---- from frame to exit ------------------------------------------------------------------------------------


def binance(last: int, bids: list, asks: list) -> dict:
    row = {"e": "depthUpdate", "E": 1, "T": 1, "s": "BTCUSDT", "U": last + 1, "u": last + 1, "pu": last}
    return row | {"b": bids, "a": asks}


def bybit(last: int, bids: list, asks: list) -> dict:
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": last + 1, "seq": last + 1}
    return {"topic": "orderbook.50.BTCUSDT", "type": "delta", "ts": 1, "data": data, "cts": 1}


def okx(last: int, bids: list, asks: list) -> dict:
    data: dict[str, Any] = {
        side: [[p, q, "0", "1"] for p, q in rows] for side, rows in (("asks", asks), ("bids", bids))
    }
    data |= {"ts": "1", "checksum": 0, "seqId": last + 1, "prevSeqId": last}
    return {"arg": {"channel": "books", "instId": "BTC-USDT-SWAP"}, "action": "update", "data": [data]}


FRAMES = {
    "binance-usdm": (binance, Rule.RULE_PREV, 0),
    "bybit-linear": (bybit, Rule.RULE_STEP, 50),
    "okx": (okx, Rule.RULE_PREV, 400),
}


class Bench:
    """An engine on `market`: a book of 50 levels a side, a position, resting orders and a stop that one
    frame crosses."""

    def __init__(self, market: str, orders: int, folder: Path | None):
        product = PRODUCTS[market]
        symbol, tick, lot, contract = product.instrument
        self.instruments, self.market, self.orders = Instruments(1), product.market, orders
        self.instruments.add(
            product.market,
            symbol,
            tick,
            lot,
            contract,
            is_perpetual=True,
            inst_code=product.inst_code,
            base="BTC",
            quote="USDT",
        )
        tape = None if folder is None else TapeWriter(folder / market, now_ns=NOW_NS, segment_size=1 << 26)
        self.strategy, self.now = Quotes(), NOW_NS
        self.written: list[int] = []
        self.engine = Engine(
            self.instruments,
            tape=tape,
            outlet=Recorder(lambda line, frame: self.written.append(time.perf_counter_ns())),
        )
        self.feed = self.engine.add_line(
            "feed", LineKind.MARKET_LINE, product.wire(self.instruments, product.market)
        )
        order_wire = product.wire(self.instruments, product.market)
        for line in (self.feed, self.engine.add_line("orders", LineKind.ORDER_LINE, order_wire)):
            self.engine.on_line(line, True, self.now)
        self.engine.add_strategy(self.strategy)
        self._limit()
        self.frame_of, rule, depth = FRAMES[market]
        self.engine.follow(0, depth)
        self.last = 1
        bids, asks = ([(ENTRY + sign * (1 + i), 5_000) for i in range(DEPTH)] for sign in (-1, 1))
        self.engine.books[0].feed(DepthKind.SNAPSHOT, rule, bids, asks, last_id=1, now_ns=self.now)
        self.engine.on_bytes(self.feed, self.frame(False), self.now)

    def _limit(self) -> None:
        """A loss of FALL ticks on the position is not a loss too much; one of a tick more is."""
        loss = self.instruments.money(0, FALL, LOTS)
        self.engine.risk.set_limits(
            0,
            max_size_lots=10**6,
            max_notional_e8=10**6 * E8,
            max_position_lots=10**6,
            collar_ppm=50_000,
            stale_ns=3600 * SEC,
            max_open_orders=100,
            max_loss_e8=loss + 1,
        )
        self.engine.risk.set_account(**ACCOUNT)
        self.engine.risk.set_rate(1_000_000, SEC)
        self.engine.stops.set(exit_slippage_ppm=10_000, **POLICY)

    def levels(self, changes: list[tuple[int, int]]) -> list[list[str]]:
        price, size = (self.instruments.price_grid(0), self.instruments.size_grid(0))
        return [[price.format(ticks), size.format(lots)] for ticks, lots in changes]

    def frame(self, down: bool) -> bytes:
        """The frame of a market that falls by FALL levels, or comes back: 60 levels change."""
        gone = [(ENTRY - 1 - i, 0 if down else 5_000) for i in range(FALL)]
        offered = [(ENTRY - i, 5_000 if down else 0) for i in range(FALL)]
        told = self.frame_of(self.last, self.levels(gone), self.levels(offered))
        self.last += 1
        return json.dumps(told, separators=(",", ":")).encode()

    def tell(self, order_id: int, kind: ReportKind, **more: int) -> None:
        self.engine.on_evidence([{"kind": int(kind), "order_id": order_id} | more], self.now)

    def trial(self) -> tuple[float, float]:
        """(us to the first exit frame, us to the last cancel frame)."""
        self.now += SEC
        engine = self.engine
        engine.set_position(0, LOTS, -LOTS * ENTRY, self.now)
        self.strategy.wanted = self.orders
        while self.strategy.wanted:
            engine.on_time(self.now)
        for order in engine.orders.open_orders():
            self.tell(order, ReportKind.REPORT_LIVE)
        frame = self.frame(True)
        self.written.clear()
        began = time.perf_counter_ns()
        engine.on_bytes(self.feed, frame, self.now)
        times = [(x - began) / 1000 for x in self.written]
        open_now = engine.orders.open_orders()
        exits = [x for x in open_now if engine.orders.order(x)["strategy"] == DESK_EXIT]
        if len(times) != 1 + self.orders or len(exits) != 1:
            what = f"{len(times)} frames and {len(exits)} exits"
            raise BenchError(f"stop: {what} where 1 exit and {self.orders} cancels should leave")
        self._end(open_now, exits[0])
        return times[0], times[-1]

    def _end(self, open_now: list[int], exit_order: int) -> None:
        """The venue answers, an operator resumes, and the market comes back."""
        row = self.engine.orders.order(exit_order)
        self.tell(
            exit_order,
            ReportKind.REPORT_FILL,
            side=row["side"],
            instrument=0,
            size_lots=LOTS,
            price_ticks=row["price_ticks"],
            trade_lo=exit_order,
        )
        for order in open_now:
            if order != exit_order:
                self.tell(order, ReportKind.REPORT_CANCELED, filled_lots=0)
        self.engine.on_bytes(self.feed, self.frame(False), self.now)
        self.engine.resume(0, HaltReason.HALT_STOP, self.now)
        if self.engine.orders.open_orders():
            raise BenchError("stop: orders are left behind a trial")


def percentiles(values: list[float]) -> dict[str, float]:
    rows = sorted(values)
    return {
        "p50_us": round(statistics.median(rows), 2),
        "p99_us": round(rows[min(len(rows) - 1, len(rows) * 99 // 100)], 2),
        "max_us": round(rows[-1], 2),
    }


def measure(market: str, trials: int, orders: int, folder: Path | None, progress: Progress) -> dict:
    """The same stop `trials` times on one market, with `orders` resting."""
    progress(f"stop: {trials} stops on {market}")
    bench = Bench(market, orders, folder)
    for _ in range(min(20, trials)):
        bench.trial()
    rows = [bench.trial() for _ in range(trials)]
    return {"exit": percentiles([x[0] for x in rows]), "last_cancel": percentiles([x[1] for x in rows])}


# ---- a flash crash -----------------------------------------------------------------------------------------

CRASHED = ("binance-usdm", "bybit-linear", "okx")


class Buyer(Strategy):
    """Buys what it was asked to, at once."""

    def __init__(self) -> None:
        self.wanted: list[Callable[[Strategy], None]] = []

    def on_timer(self, now_ns: int) -> int:
        wanted, self.wanted = self.wanted, []
        for do in wanted:
            do(self)
        return 0


@dataclass
class Held:
    """One instrument of a crash: what it was, and what became of it. Money is e8, prices are ticks."""

    market: str
    lots: int
    limit_e8: int
    cost: int = 0  # of the position, in ticks * lots
    reference: dict[int, int] = field(default_factory=dict)  # exit order -> twice the reference when it left
    orders: list[dict] = field(default_factory=list)


class Crash:
    """Positions on three venues, `percent` off in `ms`, and a node with a stop of `limit` quote on each
    position. Its tape goes to `folder`."""

    def __init__(
        self,
        folder: Path,
        *,
        percent: str = "10",
        ms: int = 100,
        slippage_ppm: int = 20_000,
        limit: int = 30,
        seed: int = 1,
        fault: str = "market.crash",
        policy: StopPolicy = StopPolicy.STOP_FLATTEN,
    ):
        config = soak_config()
        chosen = {next(i for i, x in enumerate(config.instrument) if x.market == m) for m in CRASHED}
        rows = [replace(x, quote=None) for i, x in enumerate(config.instrument) if i in chosen]
        venues = [x for x in config.venue if x.market in CRASHED]
        self.slippage_ppm, self.limit_e8, self.strategy = slippage_ppm, limit * E8, Buyer()
        self.percent, self.ms, self.fault, self.folder = percent, ms, fault, folder
        config = replace(config, instrument=rows, venue=venues)
        tape = TapeWriter(folder / "tape", now_ns=NOW_NS, segment_size=1 << 24)
        self.world = World(config, seed=seed, strategy=self.strategy, tape=tape)
        self.engine = self.world.engine
        self.count = len(rows)
        for i in range(self.count):
            self.engine.risk.set_limits(
                i,
                max_size_lots=10**9,
                max_notional_e8=10**6 * E8,
                max_position_lots=10**9,
                collar_ppm=200_000,
                stale_ns=5 * SEC,
                max_open_orders=20,
                max_loss_e8=self.limit_e8,
            )
        self.engine.risk.set_account(**ACCOUNT)
        self.engine.stops.set(exit_slippage_ppm=slippage_ppm, **POLICY | {"on_position_loss": int(policy)})
        self.engine.risk.set_exit(slippage_ppm)
        self.held = [Held(x.market, 0, self.limit_e8) for x in rows]
        self._listen()

    def _listen(self) -> None:
        """Remember each exit with the node's reference at the moment when it left."""
        taker, seen = self.engine.outlet.taker, set()

        def take(line: int, frame: bytes) -> None:
            for order_id in self.engine.orders.open_orders():
                order = self.engine.orders.order(order_id)
                if order["strategy"] == DESK_EXIT and order_id not in seen:
                    seen.add(order_id)
                    held = self.held[order["instrument"]]
                    held.orders.append(order)
                    held.reference[order_id] = self.reference2(order["instrument"])
            taker(line, frame)

        self.engine.outlet.taker = take

    def reference2(self, instrument: int) -> int:
        """Twice the reference in ticks, as exits take it: the node's own, else the middle of its book."""
        middle = getattr(self.engine.reference, "middle", None)
        known = middle(instrument, self.world.now_ns) if middle is not None else 0
        if known:
            return known
        bids, asks = self.engine.books[instrument].bids(), self.engine.books[instrument].asks()
        return bids[0][0] + asks[0][0] if bids and asks else 0

    def open(self, quote: int = 1_000) -> None:
        """Buy so much (quote coin) of each, resting orders besides, and wait until all is quiet."""
        self.world.run_until(lambda: not any(self.engine.risk.halts(i) for i in range(self.count)))
        self.world.run_for(2 * SEC)
        for i in range(self.count):
            row = self.world.desk.instruments.row(i)
            bid, ask = self.engine.books[i].bids()[0][0], self.engine.books[i].asks()[0][0]
            step = max(row["lot_step"], 1)
            one = self.world.desk.instruments.money(i, ask, step)
            lots = max(quote * E8 // one, 1) * step
            through = self._on_tick(row, ask + ask // 500)
            away = self._on_tick(row, bid - bid * 15 // 100)  # below the crash: it rests, and is cancelled
            self.strategy.wanted.append(self._order(i, through, lots, int(TimeInForce.IOC)))
            self.strategy.wanted.append(
                self._order(i, away, max(lots // 4, 1) // step * step or step, int(TimeInForce.GTC))
            )
        self.world.run_until(lambda: all(self.lots(i) for i in range(self.count)), 20 * SEC)
        self.world.run_for(SEC)
        for i, held in enumerate(self.held):
            held.lots = self.lots(i)
            held.cost = -self.engine.account.position(i)["cash"]

    def _order(self, i: int, ticks: int, lots: int, tif: int) -> Callable[[Any], None]:
        return lambda s: s._order(i, int(Side.BUY), int(OrderType.LIMIT), tif, ticks, lots, 0, False)

    def _on_tick(self, row: dict, ticks: int) -> int:
        return ticks - ticks % max(row["tick_step"], 1)

    def lots(self, i: int) -> int:
        return self.engine.account.position(i)["lots"]

    def crash(self) -> None:
        """The fault strikes. One venue's is enough: the fair price of a coin is the same everywhere."""
        venue, fake = next(iter(self.world.fakes.items()))
        row: dict[str, Any] = {"name": self.fault, "percent": self.percent, "venue": venue}
        if self.fault == "market.crash":
            row |= {"s": self.ms / 1000}
        fake.faults.load([row], venue, self.world.venue_ns)

    def run(self, for_s: float = 10) -> dict:
        """Everything, and what it came to."""
        self.open()
        self.crash()
        self.world.run_for(int(for_s * SEC))
        return self.outcome()

    def beyond(self) -> list[str]:
        """Exits that were priced beyond the bound, one line each; [] = none was."""
        out = []
        for held in self.held:
            for order in held.orders:
                low = held.reference[order["id"]] * (1_000_000 - self.slippage_ppm)
                if 2 * order["price_ticks"] * 1_000_000 < low:
                    out.append(f"{held.market}: {order['price_ticks']} where the bound is {low / 2e6:.2f}")
        return out

    def stopped(self) -> dict[int, dict]:
        """The STOP row of each instrument, from the tape."""
        rows = [
            stop_row(x.payload)
            for x in TapeReader(self.folder / "tape", follow=True)
            if x.type == RecordType.STOP
        ]
        return {x["instrument"]: x for x in rows}

    def outcome(self) -> dict:
        """By market, in quote coin: the loss when the stop fired, what was lost in the end, and the most that
        it could be: every exit at its worst price."""
        rows, stopped = {}, self.stopped()
        for i, held in enumerate(self.held):
            sold = sum(self._signed(x["id"]) * x["price_ticks"] for x in held.orders)
            row = self.world.desk.instruments
            rows[held.market] = {
                "lots": held.lots,
                "left_lots": self.lots(i),
                "exits": len(held.orders),
                "stop": held.limit_e8 / E8,
                "loss_at_stop": stopped[i]["value"] / E8 if i in stopped else None,
                "loss": -self.engine.equity.worth(i)["profit_e8"] / E8,
                "bound": _quote(row, i, held.cost - sold),
            }
        return {
            "venues": rows,
            "beyond_bound": self.beyond(),
            "open_orders": len(self.engine.orders.open_orders()),
        }

    def _signed(self, order_id: int) -> int:
        order = self.engine.orders.order(order_id)
        return order["filled_lots"] if order["side"] == Side.SELL else -order["filled_lots"]


def _quote(instruments: Instruments, i: int, money: int) -> float:
    """tick * lot units as quote coin."""
    return (instruments.money(i, 1, money) if money >= 0 else -instruments.money(i, 1, -money)) / E8


def crash_run(make: Callable[..., Crash]) -> dict:
    """A crash with its tape in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="tickgate-crash-") as folder:
        return make(Path(folder)).run()


# ---- the benchmark -----------------------------------------------------------------------------------------


def _measure(into: dict, *sizes: Any) -> int:
    into |= measure(*sizes)
    return 0


def run(trials: int = 2_000, orders: int = 50, crash: bool = True, progress: Progress = silent) -> dict:
    """us from the frame that crosses a stop to the first exit frame (p50, p99, max over `trials` stops on
    each of three venues, with `orders` resting), and what a crash of 10 % in 100 ms costs. Raises BenchError
    where a stop did not do what it should."""
    shm = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="tickgate-stop-", dir=shm if shm.is_dir() else None))
    found: dict[str, Any] = {}
    try:
        with watching() as watch:
            for market in FRAMES:
                found[market] = {}
                watch.measure(partial(_measure, found[market], market, trials, orders, folder, progress))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    worst = max(row["exit"]["p99_us"] for row in found.values())
    result = {
        "exit_us_p50": max(row["exit"]["p50_us"] for row in found.values()),
        "exit_us_p99": worst,
        "exit_us_max": max(row["exit"]["max_us"] for row in found.values()),
        "budget_us_p99": BUDGET_US_P99,
        "within_budget": worst <= BUDGET_US_P99,
        "markets": found,
        "trials": trials,
        "resting_orders": orders,
    }
    if crash:
        progress("stop: a crash of 10 % in 100 ms")
        result["crash"] = crash_run(Crash)
        if result["crash"]["beyond_bound"]:
            raise BenchError(f"stop: an exit beyond its bound: {result['crash']['beyond_bound'][0]}")
    return result | watch.report()

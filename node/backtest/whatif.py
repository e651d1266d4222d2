"""What another strategy, or the same one with other parameters or limits, would have done in a recorded run.

The run itself is replayed beside it: that tells which records came from outside, and these are what the
other one gets too - market data, timers, dials, lines, clocks, proofs, halts, capital. What is told of
orders is not for it, because they are not its orders: it trades with the paper venue
(`node.backtest.paper`), which accepts at once, fills a quote where a recorded trade prints through it, and
lets what wants to take expire. So its orders are what it would have sent, and its fills are a guess."""

from collections import Counter, deque
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from ext.engine import Echo, LineKind, Recorder
from ext.records import Action, door_row, fill_row, verdict_row
from ext.strategy import Strategy
from ext.tape import Record, RecordType
from node.assembly import MARKET_NAMES, Assembly
from node.backtest.doors import knock
from node.backtest.paper import Paper
from node.backtest.rebuild import rebuild
from node.backtest.rerun import Rerun, RunResult
from node.errors import UserError
from node.strategies import make_strategy, strategy_class

# What a run was told of its own orders and fills.
OF_ORDERS = {
    f"DOOR_{x}"
    for x in ("WANT_CANCEL", "ABSENT", "ADOPT", "WITHDRAW", "SETTLE", "FUNDING", "UNSENT", "STRATEGY", "MARK")
}
SEEN = 65_536  # trades that are told apart
AS_TEXT = ("_base", "_quote", "max_leverage")  # exact decimals
SCOPES = ("account", "rate", "stops")
GUESS = (
    "its orders are what it would have sent; its fills are the paper venue's guess: a quote fills where a "
    "recorded trade prints through it, and what wants to take expires. Fills and answers of the recorded "
    "orders are dropped."
)


@dataclass(slots=True)
class Tally:
    """What one side did. `profit`: of the account, marked, before fees, exact text; None where it is not
    known."""

    orders: int = 0
    cancels: int = 0
    changes: int = 0
    fills: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    positions: dict[str, str] = field(default_factory=dict)
    profit: str | None = None

    def take(self, kind: int, payload: bytes) -> None:
        """A record that the side made."""
        if kind == RecordType.VERDICT:
            row = verdict_row(payload)
            if row["reason"] != "OK":
                self.refused[row["reason"]] = self.refused.get(row["reason"], 0) + 1
            elif row["intent"]["action"] == Action.CANCEL:
                self.cancels += 1
            elif row["intent"]["action"] == Action.AMEND:
                self.changes += 1
            else:
                self.orders += 1
        elif kind == RecordType.FILL:
            self.fills += fill_row(payload)["report"]["order_id"] != 0

    def close(self, desk: Assembly) -> None:
        """The end: positions in base coins, profit in the account's currency."""
        for (market, symbol), number in desk.numbers.items():
            lots = desk.engine.account.position(number)["lots"]
            if lots:
                self.positions[f"{MARKET_NAMES[market]} {symbol}"] = desk.base_text(number, lots)
        self.profit = f"{Decimal(desk.engine.equity.sums()['profit_e8']).scaleb(-8):f}"


@dataclass(frozen=True, slots=True)
class Settings:
    """`strategy` makes the other one (None: as recorded); `values`: parameters of it; `limits`: (scope or
    "", key) -> text; `folder`: where the recorded one may lie."""

    strategy: Callable[[], Strategy | None] | None = None
    values: dict[str, Any] = field(default_factory=dict)
    limits: dict[tuple[str, str], str] = field(default_factory=dict)
    folder: Path | None = None


def settings_of(strategy: str | None, changes: list[str], folder: Path | None = None) -> Settings:
    """`--strategy` (as a config names it) and `--set` as given: "strategy.NAME=VALUE", "limits.KEY=VALUE"
    (of every instrument that has it), or "limits.SCOPE.KEY=VALUE" (account, rate, stops, or "MARKET
    SYMBOL"). `folder`: of the node's config, where a strategy may lie. Raises UserError."""
    values: dict[str, Any] = {}
    limits: dict[tuple[str, str], str] = {}
    for text in changes:
        name, is_there, value = text.partition("=")
        room, _, rest = name.partition(".")
        if not is_there or not rest or room not in ("strategy", "limits"):
            raise UserError(
                f"--set {text!r}: must be strategy.NAME=VALUE, limits.KEY=VALUE or limits.SCOPE.KEY=VALUE"
            )
        if room == "strategy":
            values[rest] = _value(value)
        else:
            scope, _, key = rest.rpartition(".")
            limits[scope, key] = value
    if strategy is None:
        return Settings(None, values, limits, folder)
    if strategy_class(strategy, folder) is None:
        raise UserError(f"--strategy {strategy!r}: name one that does something")
    return Settings(partial(make_strategy, strategy, folder), values, limits, folder)


def _value(text: str) -> Any:
    """A number where it is one, else text."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


class Other:
    """The other side of one run. `take` gets the inputs of the run in order."""

    def __init__(self, config: Record, settings: Settings):
        told = _changed(orjson.loads(config.payload), settings.limits)
        if any(x.get("hedge") for x in told["config"]["venue"]):
            raise UserError(
                "what would have been done in hedge mode is not known: the paper venue has no legs"
            )
        self.settings, self.unused = settings, set(settings.values)
        self.known: set[str] = set()  # parameters that there are
        made = settings.strategy() if settings.strategy else None
        self.desk = rebuild(told, strategy=made, folder=settings.folder)
        self.engine, self.tally = self.desk.engine, Tally()
        self.engine.echo = Echo()
        self.recorded_lines = list(self.engine.lines)
        self.paper = Paper(self._rows())
        self.engine.outlet = recorder = Recorder(self.paper.taker)
        recorder.shut.update(self.desk.rest_lines.values())  # the paper venue has no REST
        self.takes_params = _is_same_strategy(self.desk, told)
        self.seen: set[tuple[int, int, int]] = set()
        self.order: deque[tuple[int, int, int]] = deque()
        self.dials: list[int] | None = None
        self.is_joined = False
        self.dropped: Counter[str] = Counter()
        self._configure(config.now_ns)

    def _rows(self) -> list[Any]:
        """The instruments on the grids that books are read on."""
        table, out = self.desk.instruments, []
        for row in self.desk.rows.values():
            number = self.desk.numbers[row.market, row.symbol]
            out.append(replace(row, tick=table.price_grid(number).step, lot=table.size_grid(number).step))
        return out

    def _configure(self, now_ns: int) -> None:
        """Parameters that are attributes of the strategy are set before anything happens."""
        for strategy in self.engine.strategies[:1]:
            own = {x for x in set(dir(strategy)) - set(dir(Strategy)) if not x.startswith("_")}
            self.known |= {x for x in own if not callable(getattr(strategy, x))}
            for name, value in self.settings.values.items():
                if hasattr(strategy, name) and not callable(getattr(strategy, name)):
                    try:
                        self.engine.configure(strategy.number, {name: value}, now_ns)
                    except (TypeError, ValueError) as error:
                        raise UserError(f"--set strategy.{name}: {error}") from None
                    self.unused.discard(name)

    # ---- inputs ----

    def take(self, record: Record) -> None:
        """The next input of the run."""
        if not self.is_joined and record.type in (RecordType.FRAME, RecordType.TIMER, RecordType.SESSION):
            self.is_joined = True
            self.paper.join(self.engine, record.now_ns)
        if record.type in INPUTS:
            INPUTS[record.type](self, record)
        else:
            self.dropped[RecordType(record.type).name] += 1
        self.paper.pump(self.engine.on_bytes, record.now_ns)
        for kind, _, _, payload in self.engine.echo.clear():
            self.tally.take(kind, payload)

    def _frame(self, record: Record) -> None:
        line = self.recorded_lines[record.line]
        if line.kind not in (LineKind.MARKET_LINE, LineKind.SNAPSHOT_LINE):
            self.dropped["frames about orders"] += 1
            return
        self.engine.on_bytes(record.line, record.payload, record.now_ns)
        market = line.wire.market
        if line.kind == LineKind.MARKET_LINE and any(
            map(self.paper.rests, range(self.desk.instruments.count))
        ):
            self.paper.on_trades(market, record.payload, self.engine.on_bytes, record.now_ns, self._is_new)

    def _is_new(self, event: dict[str, Any]) -> bool:
        """Redundant lines tell of each trade once more."""
        key = (event["instrument"], event["id_hi"], event["id_lo"])
        if key in self.seen:
            return False
        self.seen.add(key)
        self.order.append(key)
        if len(self.order) > SEEN:
            self.seen.discard(self.order.popleft())
        return True

    def _timer(self, record: Record) -> None:
        self.engine.on_time(record.now_ns, self.dials)
        self.dials = None

    def _dial(self, record: Record) -> None:
        self.dials = list(memoryview(record.payload).cast("q"))

    def _session(self, record: Record) -> None:
        self.engine.on_line(record.line, record.payload != b"\0", record.now_ns)

    def _door(self, record: Record) -> None:
        name = door_row(record.payload)["door"]
        if name in OF_ORDERS:
            self.dropped[name] += 1
        else:
            knock(self.engine, record.payload, record.now_ns)

    def _limits(self, record: Record) -> None:
        if self.settings.limits:
            self.desk.record_limits(record.now_ns)
        else:
            self.engine.set_limits(record.payload, record.now_ns)

    def _param(self, record: Record) -> None:
        told = orjson.loads(record.payload)
        if told.get("do") == "configure":
            self.known |= told["values"].keys()
            mine = self.settings.values.keys() & told["values"].keys()
            told["values"] |= {x: self.settings.values[x] for x in mine}
            self.unused -= mine
            if told["strategy"] == 0 and not self.takes_params:
                self.dropped["parameters of the recorded strategy"] += 1
                return
        try:
            self.engine.set_param(told, record.now_ns)
        except (TypeError, ValueError) as error:
            raise UserError(f"--set: {error}") from None

    # ---- the end ----

    def finish(self) -> Tally:
        """Raises UserError where a parameter was named that nothing takes."""
        if self.unused:
            known = ", ".join(sorted(self.known)) or "none"
            raise UserError(
                f"--set strategy.{sorted(self.unused)[0]}: the strategy has no such parameter; it has {known}"
            )
        self.tally.close(self.desk)
        return self.tally


class Beside:
    """A run again, and the other one beside it: used as a `Rerun` is."""

    def __init__(self, config: Record, settings: Settings, folder: Path | None = None, **options: Any):
        self.other, self.mine = Other(config, replace(settings, folder=folder or settings.folder)), Tally()
        self.run = Rerun(config, seen=self._seen, folder=folder, **options)
        self.result, self.feed = self.run.result, self.run.feed

    def _seen(self, record: Record, is_input: bool) -> None:
        if is_input:
            self.other.take(record)
        else:
            self.mine.take(record.type, record.payload)

    def finish(self) -> RunResult:
        result, theirs = self.run.finish(), self.other.finish()
        self.mine.close(self.run.desk)
        result.what_if = {
            "recorded": asdict(self.mine),
            "other": asdict(theirs),
            "dropped": dict(sorted(self.other.dropped.items())),
        }
        return result


INPUTS: dict[int, Callable[[Other, Record], None]] = {
    RecordType.FRAME: Other._frame,
    RecordType.TIMER: Other._timer,
    RecordType.DIAL: Other._dial,
    RecordType.SESSION: Other._session,
    RecordType.DOOR: Other._door,
    RecordType.LIMITS: Other._limits,
    RecordType.PARAM: Other._param,
}


def _is_same_strategy(desk: Assembly, told: dict[str, Any]) -> bool:
    """Are the parameters on the tape meant for a strategy of this class?"""
    return desk.describe()["strategies"][:1] == told["strategies"][:1]


def _changed(told: dict[str, Any], limits: dict[tuple[str, str], str]) -> dict[str, Any]:
    """The CONFIG record with other limits. Raises UserError where there is no such one."""
    told = deepcopy(told)
    for (scope, key), text in limits.items():
        # a config leaves out what is as it is by default; what was in force is told beside it
        tables = [
            (x["limits"], told["limits"].get(f"{x['market']} {x['symbol']}", {}))
            for x in told["config"]["instrument"]
            if x.get("limits") and scope in ("", f"{x['market']} {x['symbol']}")
        ]
        if scope in SCOPES:
            tables = [(told["config"].get(scope) or {}, told["limits"].get(scope, {}))]
        found = [x for x, known in tables if key in x or key in known]
        for table in found:
            table[key] = text if key.endswith(AS_TEXT) else _value(text)
        if not found:
            there = ", ".join(sorted({k for pair in tables for x in pair for k in x})) or "no such scope"
            raise UserError(
                f"--set limits.{scope + '.' if scope else ''}{key}: the recorded run has no such limit; "
                f"there are {there}"
            )
    return told

"""A recorded run again: the inputs on its tape go through the same assembly and engine, and each thing that
these make is compared with what the run made, in order, record by record.

What decides an order is on the tape or follows from it, so both must be the same to the byte. A record is an
input where the engine has nothing of its own left to say: a door that the engine went through by itself is
told apart from one that the cold side called in that way, and in no other."""

import hashlib
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ext import build_id
from ext.digest import VERSION as HASH_VERSION
from ext.engine import Echo
from ext.records import StrategySwitch, door_row
from ext.strategy import Strategy
from ext.tape import Record, RecordType
from node.assembly import OUTPUTS
from node.backtest.doors import knock
from node.backtest.rebuild import rebuild
from node.backtest.wording import Difference, Made, contrast
from node.config import MARKETS
from node.errors import UserError
from node.venues.keys import Key

Frames = RecordType.FRAME, RecordType.TIMER
# Nobody but the outside makes these: where one stands, the turn before it is over.
STARTS = {
    int(x)
    for x in (
        *Frames,
        RecordType.SESSION,
        RecordType.EVIDENCE,
        RecordType.DIAL,
        RecordType.LIMITS,
        RecordType.PARAM,
    )
}
IGNORED = {int(RecordType.NOTE), int(RecordType.SENT), int(RecordType.CONFIG)}
SIGNED = re.compile(rb'"(apiKey|signature)":"[!#-~]*"')
# What a fault of ours or of a strategy can raise out of the engine: it was recorded as a latch.
BROKEN = (ArithmeticError, AssertionError, LookupError, OSError, RuntimeError, TypeError, ValueError)


@dataclass(slots=True)
class RunResult:
    """One run of a tape. `first`, `last`: sequences of its records; `compared`: records that both made;
    `masked`: order frames whose signature was not compared; `failures`: what the engine raised."""

    first: int
    began_ns: int
    build: str = ""
    strategy: str = ""
    last: int = 0
    ended_ns: int = 0
    records: int = 0
    inputs: int = 0
    compared: int = 0
    orders: int = 0
    fills: int = 0
    masked: int = 0
    marks: int = 0
    order_hash: str = ""
    state: dict[str, int] = field(default_factory=dict)
    difference: Difference | None = None
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    what_if: dict[str, Any] | None = (
        None  # node.backtest.whatif: what the run did, and what the other one would have
    )


class Rerun:
    """One run. `feed` its records behind its CONFIG in order, then `finish`. Nothing is fed any more once
    `result` has a difference. `seen(record, is_input)` is called with each input, and with each record that
    both made. `keys`, `strategy`, `folder`: as of `rebuild`. Raises UserError where the
    CONFIG record cannot be made an engine of."""

    def __init__(
        self,
        config: Record,
        *,
        keys: dict[int, Key] | None = None,
        strategy: Strategy | None = None,
        folder: Path | None = None,
        seen: Callable[[Record, bool], None] | None = None,
    ):
        try:
            told = orjson.loads(config.payload)
        except orjson.JSONDecodeError as error:
            raise UserError(f"record {config.sequence}: the CONFIG record is no JSON: {error}") from None
        self.desk = rebuild(told, keys=keys, strategy=strategy, folder=folder)
        self.engine, self.outlet = self.desk.engine, self.desk.engine.outlet
        self.echo = self.engine.echo = Echo()
        # frames that are signed with a key that is not here
        self.masks = any(
            x.get("signs", True) and MARKETS[m] not in (keys or {}) for m, x in told["keys"].items()
        )
        self.wanted = _wanted(told)
        self.made: deque[Made] = deque()
        self.turn: list[Record] = []
        self.dials: Record | None = None  # to be read with the timer that follows
        self.seen = seen
        self.hash = hashlib.blake2b(digest_size=16)
        self.names = [f"{x['market']} {x['symbol']}" for x in told["instruments"]]
        self.result = RunResult(
            config.sequence, config.now_ns, told["build"], ", ".join(told["strategies"]) or "none"
        )
        self._notes(told)

    def _notes(self, told: dict[str, Any]) -> None:
        if told["build"] != build_id():
            self.result.notes.append(f"recorded by build {told['build']}, replayed by {build_id()}")
        if told["hash"] != HASH_VERSION:
            self.result.notes.append("state hashes are of another version: not compared")

    # ---- records ----

    def feed(self, record: Record) -> None:
        """The next record of the run."""
        self.result.records += 1
        self.result.last, self.result.ended_ns = record.sequence, record.now_ns
        if record.type in STARTS and self.turn and self.turn[-1].type != RecordType.DIAL:
            self._turn(False)
        self.turn.append(record)

    def finish(self) -> RunResult:
        """There are no more records: the last turn may be cut, as a crash cuts it."""
        if self.result.difference is None:
            self._turn(True)
        self.result.order_hash, self.result.state = self.hash.hexdigest(), self.engine.state_hash()
        return self.result

    def _turn(self, is_last: bool) -> None:
        """Everything up to the next thing that comes from outside for certain."""
        turn, self.turn = self.turn, []
        self._foresee(turn)
        for record in turn:
            if self.result.difference is not None:
                return
            if record.type not in IGNORED:
                self._one(record)
        if self.made and not is_last:
            self._differ(None, self.made.popleft(), turn[-1].sequence)

    def _foresee(self, turn: list[Record]) -> None:
        """What the outside did in the middle of a turn: no socket took a request, a call of a strategy was
        ended."""
        for record in turn:
            if record.type != RecordType.DOOR:
                continue
            row = door_row(record.payload)
            if row["door"] == "DOOR_UNSENT":
                self.outlet.unsent.add(row["a"])
            elif row["door"] == "DOOR_STRATEGY" and row["a"] == StrategySwitch.CALL_INTERRUPTED:
                self.engine.strategy_interrupted(row["instrument"], row["b"])

    def _one(self, record: Record) -> None:
        if record.type not in self.wanted and record.type not in INPUTS:
            return  # of a version that is not compared
        if self.made:
            self._compare(record, self.made.popleft())
        elif record.type in INPUTS:
            self.result.inputs += 1
            self._apply(record)
            if self.seen is not None:
                self.seen(record, True)
        else:
            self._differ(record, None, record.sequence)

    def _apply(self, record: Record) -> None:
        """An input: it is on the replay's record first, and then what it caused."""
        try:
            INPUTS[record.type](self, record)
        except BROKEN as error:
            self.result.failures.append(f"record {record.sequence}: {type(error).__name__}: {error}")
        for made in self.echo.clear():
            if made[0] in self.wanted or made[0] in STARTS:
                self.made.append(made)
        if record.type == RecordType.TIMER and self.dials is not None:
            self._first(self.dials)
            self.dials = None
        elif record.type not in Frames and record.type != RecordType.DIAL:
            self._first(record)

    def _first(self, record: Record) -> None:
        if self.made:
            self._compare(record, self.made.popleft())
        else:
            self._differ(record, None, record.sequence)

    # ---- comparing ----

    def _compare(self, record: Record, made: Made) -> None:
        same = made == (record.type, record.line, record.now_ns, record.payload)
        if not same and record.type == RecordType.ORDER_OUT and self.masks:
            same = self._is_masked(record, made)
        if not same:
            self._differ(record, made, record.sequence)
            return
        self.result.compared += 1
        if self.seen is not None:
            self.seen(record, False)
        if record.type == RecordType.ORDER_OUT:
            self.result.orders += 1
            self.hash.update(record.payload[8:])  # as it left, signature and all
        elif record.type == RecordType.FILL:
            self.result.fills += 1
        elif record.type == RecordType.HASH:
            self.result.marks += 1

    def _is_masked(self, record: Record, made: Made) -> bool:
        """The same but for API key and signature, for which the key is not here."""
        both = [SIGNED.sub(b'"\\1":""', x) for x in (record.payload, made[3])]
        same = made[:3] == (record.type, record.line, record.now_ns) and both[0] == both[1]
        self.result.masked += same
        return same

    def _differ(self, record: Record | None, made: Made | None, sequence: int) -> None:
        self.result.difference = contrast(record, made, sequence, self.names)


def _wanted(told: dict[str, Any]) -> set[int]:
    """Records that both builds make, and mean the same by."""
    names = set(OUTPUTS) & set(told["records"])
    if told["hash"] != HASH_VERSION:
        names.discard("HASH")
    return {int(RecordType[x]) for x in names}


# ---- inputs ----


def _frame(run: Rerun, record: Record) -> None:
    run.engine.on_bytes(record.line, record.payload, record.now_ns)


def _timer(run: Rerun, record: Record) -> None:
    values = None
    if run.dials is not None:
        values = list(memoryview(run.dials.payload).cast("q"))
    run.engine.on_time(record.now_ns, values)


def _dial(run: Rerun, record: Record) -> None:
    run.dials = record


def _session(run: Rerun, record: Record) -> None:
    run.engine.on_line(record.line, record.payload != b"\0", record.now_ns)


def _evidence(run: Rerun, record: Record) -> None:
    run.engine.on_evidence_rows(record.payload, record.now_ns)


def _door(run: Rerun, record: Record) -> None:
    knock(run.engine, record.payload, record.now_ns)


def _limits(run: Rerun, record: Record) -> None:
    run.engine.set_limits(record.payload, record.now_ns)


def _param(run: Rerun, record: Record) -> None:
    run.engine.set_param(orjson.loads(record.payload), record.now_ns)


INPUTS: dict[int, Callable[[Rerun, Record], None]] = {
    RecordType.FRAME: _frame,
    RecordType.TIMER: _timer,
    RecordType.DIAL: _dial,
    RecordType.SESSION: _session,
    RecordType.EVIDENCE: _evidence,
    RecordType.DOOR: _door,
    RecordType.LIMITS: _limits,
    RecordType.PARAM: _param,
}

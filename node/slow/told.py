"""What a tape tells of an order, as values: runs, causes, events, times of doubt, and the order itself."""

import re
from dataclasses import dataclass, field
from typing import Any

import orjson

from ext.instruments import Instruments
from ext.records import Market
from ext.tape import Record
from ext.wire import Wire
from node.slow.places import Place, place_of

Key = tuple[Any, ...]
EVENT_TIME = re.compile(rb'"(?:E|cts|ts|T)"\s*:\s*"?(\d{13,19})\b')
FOUND = "found at start: of before this run"  # what is said of such a fill
HEAD = 400  # bytes of a frame in which its time is looked for
ACK_TIMEOUT_MS = 1000
DESKS = {-1: "adopted", -2: "exit", -3: "protection"}
CLOSED = {
    "FILLED",
    "CANCELED",
    "REJECTED",
    "EXPIRED",
    "NEVER_EXISTED",
    "NOT_SENT",
    "REFUSED",
    "NOT_OPEN",
}


@dataclass
class Cause:
    """The input that a turn deals with. `venue_ns`: the time in the frame, on the venue's clock, 0 where
    it has none."""

    what: str
    line: int
    sequence: int
    now_ns: int
    size: int
    payload: bytes = b""

    @property
    def venue_ns(self) -> int:
        found = EVENT_TIME.search(self.payload[:HEAD])
        if found is None:
            return 0
        digits = found[1].decode()
        return int(digits) * 10 ** (19 - len(digits))


@dataclass
class Run:
    """One start of the node on this tape."""

    number: int
    build: str
    epoch: int
    deployment: str
    started_ns: int
    places: list[Place]
    lines: list[str]
    strategies: list[dict[str, Any]]
    dials: list[list[Any]]
    ack_timeout_ns: int
    _wire: Wire | None = None

    def place(self, number: int) -> Place | None:
        return self.places[number] if 0 <= number < len(self.places) else None

    def line(self, number: int) -> str:
        return self.lines[number] if number < len(self.lines) else f"line {number}"

    def strategy(self, number: int) -> str:
        if number < 0:
            return DESKS.get(number, str(number))
        return self.strategies[number]["strategy"] if number < len(self.strategies) else f"strategy {number}"

    def wire(self) -> Wire:
        """Whatever its market: client ids are spelled alike on all."""
        if self._wire is None:
            self._wire = Wire(Instruments(1), int(Market.OKX), self.deployment, self.epoch)
        return self._wire

    def is_older(self, event_ns: int) -> bool:
        """Did something that the venue dates so (ns, 0: it does not say) happen before this run began?"""
        return 0 < event_ns < self.started_ns

    def client_id(self, epoch: int, sequence: int) -> str:
        return self.wire().client_id(sequence, epoch)


@dataclass
class Event:
    """One thing that happened to an order. `what` is one word, `told` what the record said."""

    at_ns: int
    sequence: int
    what: str
    told: dict[str, Any]


@dataclass
class Doubt:
    """A time in which nobody knew an order's fate."""

    from_ns: int
    why: str
    until_ns: int = 0
    how: str = ""


@dataclass
class Order:
    """One order. Prices are ticks and sizes lots of `place`; times ns, 0 = not yet. `provenance`: decided
    (on this tape), adopted (of an earlier run that this tape does not have), unknown (its beginning is
    not on this tape), foreign (somebody else's), refused (by risk: it never was one)."""

    key: Key
    provenance: str
    run: Run
    place: Place | None
    client_id: str = ""
    venue_id: str = ""
    strategy: str = ""
    side: int = -1
    type: int = 0
    tif: int = 0
    leg: int = 0
    reduce_only: int = 0
    price_ticks: int = 0
    trigger_ticks: int = 0
    size_lots: int = -1
    state: str = "INTENT"
    filled_lots: int = 0
    missed_lots: int = 0  # filled before it was adopted: those trades are not on this tape
    found_lots: int = 0  # of `filled_lots`, what a start found: filled while no run looked
    told_lots: int = 0
    worth: int = 0  # ticks * lots of its fills
    first_ns: int = 0
    last_ns: int = 0
    decided_ns: int = 0
    frame_ns: int = 0
    sent_ns: int = 0
    acked_ns: int = 0
    ack_venue_ns: int = 0
    fill_ns: int = 0
    fill_venue_ns: int = 0
    offset_ns: int = 0  # of the venue's clock, as measured when it was sent
    sequence: int = 0  # of its first record
    reason: str = ""  # why it was refused, or what the venue called it
    value: int = 0
    limit: int = 0
    cause: dict[str, Any] = field(default_factory=dict)
    signal: dict[str, Any] | None = None
    dials: list[int] = field(default_factory=list)
    decision: dict[str, Any] | None = None
    line: int = -1
    amended: bool = False
    links: list[tuple[str, Key]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    fills: list[dict[str, Any]] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)

    @property
    def is_closed(self) -> bool:
        return self.state in CLOSED

    @property
    def name(self) -> str:
        return self.client_id or self.venue_id or f"#{self.sequence}"


def run_of(record: Record, number: int) -> Run:
    """The run that a CONFIG record begins. KeyError, ValueError where it is no such record."""
    told = orjson.loads(record.payload)
    config = told["config"]
    return Run(
        number,
        told["build"],
        told.get("epoch", 0),
        config["deployment"],
        record.now_ns,
        [place_of(x) for x in told["instruments"]],
        [x["name"] for x in told["lines"]],
        told.get("signals", []),
        told.get("dials", []),
        config.get("ack_timeout_ms", ACK_TIMEOUT_MS) * 10**6,
    )

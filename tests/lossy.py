"""Redundant lines of one book feed, as a venue and a bad network make them: the truth behind each change, the
messages of each line, and when they arrive. No clock; all follows from the generator that is handed in."""

from dataclasses import dataclass, field
from random import Random

from ext.records import DepthKind, Rule

MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Style:
    """How a venue numbers a stream. `cuts`: each connection cuts it into messages at places of its own."""

    name: str
    rule: int
    by_request: bool = False
    cuts: bool = False
    resets: str = ""  # "snapshot" (Bybit) or "update" (OKX)
    named: bool = False  # messages say their first id


STYLES = [
    Style("bybit", Rule.RULE_STEP, resets="snapshot"),
    Style("okx", Rule.RULE_PREV, resets="update"),
    Style("binance usdm", Rule.RULE_PREV, by_request=True, cuts=True, named=True),
    Style("binance spot", Rule.RULE_RANGE, by_request=True, cuts=True, named=True),
]


@dataclass
class Change:
    """One change of the book at the venue: levels in absolute sizes."""

    id: int
    prev: int
    epoch: int
    bids: dict
    asks: dict


@dataclass
class Venue:
    """A book and its history. The best bid's size is the number of the last change: a book shows how far it
    is."""

    style: Style
    changes: list[Change] = field(default_factory=list)
    truth: list[tuple[list, list]] = field(default_factory=list)

    def live(self, rng: Random, count: int, restarts: float = 0.0) -> "Venue":
        bids, asks = {100: 1}, {200: 1}
        epoch, begun, number = 0, 0, 10_000_000
        self._add(Change(number, -1, 0, dict(bids), dict(asks)), bids, asks)
        for n in range(1, count):
            prev = number
            number += 1 if self.style.rule == Rule.RULE_STEP else rng.randrange(1, 5)
            if self.style.resets and rng.random() < restarts and n > begun + 40:
                epoch, begun = epoch + 1, n
                number = 1 if self.style.resets == "snapshot" else number - rng.randrange(10_000, 90_000)
            some = {rng.randrange(1, 100): rng.choice((0, 3, 9)) for _ in range(rng.randrange(3))}
            others = {rng.randrange(150, 300): rng.choice((0, 3, 9)) for _ in range(rng.randrange(3))}
            some[100] = n + 1
            self._add(Change(number, prev, epoch, some, others), bids, asks)
        return self

    def _add(self, change, bids, asks):
        for book, levels in ((bids, change.bids), (asks, change.asks)):
            book.update(levels)
            for price in [p for p, size in book.items() if not size]:
                del book[price]
        self.changes.append(change)
        self.truth.append((sorted(bids.items(), reverse=True), sorted(asks.items())))

    def snapshot(self, n: int, kind=DepthKind.SNAPSHOT) -> dict:
        """The whole book behind change n."""
        bids, asks = self.truth[n]
        return self._message(kind, self.changes[n].id, -1, self.changes[n].id, bids, asks)

    def update(self, first: int, last: int) -> dict:
        """Changes first to last as one message."""
        head, tail = self.changes[first], self.changes[last]
        if self.style.resets == "snapshot" and head.epoch != self.changes[first - 1].epoch:
            return self.snapshot(last)
        bids, asks = {}, {}
        for change in self.changes[first : last + 1]:
            bids.update(change.bids)
            asks.update(change.asks)
        prev = head.prev if self.style.rule == Rule.RULE_PREV else -1
        begins = head.prev + 1 if self.style.named else -1
        return self._message(DepthKind.UPDATE, tail.id, prev, begins, list(bids.items()), list(asks.items()))

    def _message(self, kind, last_id, prev_id, first_id, bids, asks) -> dict:
        return {
            "kind": kind, "rule": self.style.rule, "bids": bids, "asks": asks,
            "first_id": first_id, "last_id": last_id, "prev_id": prev_id,
        }  # fmt: skip

    def cut(self, rng: Random) -> list[tuple[int, int]]:
        """The changes behind the first as (first, last) of each message of one connection."""
        out, at = [], 1
        while at < len(self.changes):
            last = min(at + (rng.randrange(4) if self.style.cuts else 0), len(self.changes) - 1)
            out.append((at, last))
            at = last + 1
        return out


@dataclass(frozen=True, slots=True)
class Arrival:
    """Something that happens on a line: "up", "down", an "update" of the changes `first` to `last`, or a
    "snapshot" behind `last`."""

    ns: int
    line: int
    what: str
    first: int = 0
    last: int = 0


def arrivals(venue: Venue, rng: Random, *, loss=(0.0, 0.0), lag_ms=0, again=0.0, breaks=0.0) -> list[Arrival]:
    """What two lines bring, in the order of time, each line in its own order. The book changes every 10 ms. A
    line lags by up to `lag_ms`, loses and repeats messages, and breaks for a few changes; then it begins with
    a snapshot, where there are any."""
    out = []
    for line, share in enumerate(loss):
        lag, ns, back = rng.randrange(lag_ms + 1) * MS, 0, 0
        for first, last in venue.cut(rng):
            ns = max(ns, last * 10 * MS + lag + rng.randrange(1 + min(lag_ms, 5)) * MS)
            if last < back:
                continue
            if back:
                back = 0
                out.append(Arrival(ns, line, "up"))
                if not venue.style.by_request:
                    out.append(Arrival(ns, line, "snapshot", 0, last))
                    continue
            if rng.random() < breaks:
                back = last + rng.randrange(2, 8)
                out.append(Arrival(ns, line, "down"))
            elif rng.random() >= share:
                out += [Arrival(ns, line, "update", first, last)] * (1 + (rng.random() < again))
    return sorted(out, key=lambda row: row.ns)  # stable: each line keeps its order


def is_complete(rows: list[Arrival], count: int) -> bool:
    """Do the messages of both lines together hold every change?"""
    held = set()
    for row in rows:
        if row.what == "update":
            held.update(range(row.first, row.last + 1))
    return held >= set(range(1, count))

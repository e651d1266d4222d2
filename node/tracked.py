"""Which orders of earlier runs the tape does not show as closed, and what is known of each: the rules of
`ext.orders`, read back from what was recorded."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Place = tuple[int, str]  # market, symbol
Key = tuple[int, int]  # (epoch, sequence) as in the client id
ENDED = 1024  # orders closed on inference alone that evidence may open again
PARKED = 256  # fills that came before the name of their order


@dataclass(slots=True)
class Kept:
    """One order. Prices in ticks and sizes in lots of its run's instrument table (`grid`: the steps of both);
    `strategy` is that run's number of it, below 0 the desk; `sent_ns`: when a request of it was last put on
    the tape; `is_live`: a venue said that it rests; `closing`: a terminal word came, and fills it told of
    did not."""

    place: Place
    grid: tuple[str, str]
    strategy: int
    side: int
    type: int
    tif: int
    reduce_only: bool
    leg: int
    price_ticks: int
    size_lots: int
    trigger_ticks: int
    sent_ns: int
    filled_lots: int = 0
    told_lots: int = 0
    is_live: bool = False
    is_refused: bool = False  # said once of an order that rested: the second time counts
    amend: tuple[int, int] | None = None  # (ticks, lots) asked for and not answered
    terms_ns: int = 0  # the venue's time of the word that price and size are from
    closing: bool = False
    venue_id: str = ""

    def most(self) -> tuple[int, int]:
        """(price, size) of the larger of what is in force and what an amend in the air asked for."""
        ticks, lots = self.amend or (0, 0)
        return max(self.price_ticks, ticks), max(self.size_lots, lots, self.filled_lots)


@dataclass(slots=True)
class Parked:
    """A fill that was counted before anybody knew whose it was."""

    place: Place
    venue_id: str
    lots: int


@dataclass(slots=True)
class Tracked:
    """`open` by key, oldest first; `newest`: of each epoch the highest sequence that was used."""

    open: dict[Key, Kept] = field(default_factory=dict)
    ended: "OrderedDict[Key, Kept]" = field(default_factory=OrderedDict)
    parked: list[Parked] = field(default_factory=list)
    newest: dict[int, int] = field(default_factory=dict)

    def begin(self) -> None:
        """Another run begins: fills that wait for a name were of the one before."""
        self.parked.clear()

    # ---- what we did ----

    def placed(self, key: Key, order: Kept) -> None:
        """A NEW or REPLACE that risk approved, or an order that was taken in."""
        self.ended.pop(key, None)
        self.open[key] = order
        self.newest[key[0]] = max(self.newest.get(key[0], 0), key[1])

    def amended(self, key: Key, ticks: int, lots: int, now_ns: int) -> None:
        order = self.open.get(key)
        if order is not None:
            order.amend, order.sent_ns = (ticks, lots), now_ns

    def absent(self, key: Key) -> None:
        """The proof of absence was complete."""
        self._end(key)

    # ---- what was said ----

    def report(self, place: Place, row: dict[str, Any]) -> Kept | None:
        """A REPORT as applied; the order that it is about, where it is known."""
        key = self._key(place, row)
        if key is None:
            return None
        order = self.open.get(key)
        if order is None:
            order = self._risen(key, row)
        if order is None:
            return None
        self._name(order, row["venue_id"], key)
        act = SAID.get(row["kind"])
        if act is not None and key in self.open:
            act(self, key, self.open[key], row)
        return order

    def fill(self, place: Place, row: dict[str, Any]) -> Kept | None:
        """A trade that was counted, once; the order that it is of, where it is known."""
        key = self._key(place, row)
        order = self.open.get(key) if key is not None else None
        if order is None and key is not None and key in self.ended:
            order = self._rise(key)
        if order is None:
            if row["venue_id"] and not row["order_id"]:
                self.parked = [*self.parked, Parked(place, row["venue_id"], row["size_lots"])][-PARKED:]
            return None
        assert key is not None
        self._name(order, row["venue_id"], key)
        self._filled(key, order, row["size_lots"])
        self._told(order, row["filled_lots"])
        return order

    def _key(self, place: Place, row: dict[str, Any]) -> Key | None:
        if row["order_id"]:
            return row["epoch"], row["order_id"]
        if not row["venue_id"]:
            return None
        for orders in (self.open, self.ended):
            for key, order in orders.items():
                if order.venue_id == row["venue_id"] and order.place == place:
                    return key
        return None

    def _name(self, order: Kept, venue_id: str, key: Key) -> None:
        """The venue's own id of it, and the fills that waited for that."""
        if not venue_id or venue_id == order.venue_id:
            return
        order.venue_id = venue_id
        mine = [x for x in self.parked if x.venue_id == venue_id and x.place == order.place]
        self.parked = [x for x in self.parked if x not in mine]
        for x in mine:
            self._filled(key, order, x.lots)

    def _filled(self, key: Key, order: Kept, lots: int) -> None:
        order.filled_lots += lots
        order.size_lots = max(order.size_lots, order.filled_lots)
        amended = order.amend[1] if order.amend is not None else 0
        if order.filled_lots == order.size_lots and amended <= order.filled_lots:
            self.open.pop(key, None)
        else:
            order.is_live = True

    def _told(self, order: Kept, lots: int) -> None:
        order.told_lots = max(order.told_lots, lots)

    def _risen(self, key: Key, row: dict[str, Any]) -> Kept | None:
        """Evidence for an order that was closed without any."""
        order = self.ended.get(key)
        if order is None:
            return None
        is_there = row["kind"] == "REPORT_LIVE"
        traded = row["kind"] in ENDS and row["filled_lots"] > order.filled_lots
        return self._rise(key) if is_there or traded else None

    def _rise(self, key: Key) -> Kept:
        order = self.open[key] = self.ended.pop(key)
        order.is_live = True
        return order

    def _end(self, key: Key) -> None:
        """Closed on inference: a refusal, or the proof of absence."""
        order = self.open.pop(key, None)
        if order is not None:
            self.ended[key] = order
            while len(self.ended) > ENDED:
                self.ended.popitem(last=False)

    def _live(self, key: Key, order: Kept, row: dict[str, Any]) -> None:
        if order.closing:
            return
        order.is_refused = False
        if row["order_lots"] >= 0 or row["order_ticks"] >= 0:
            self._terms(key, order, row)
        order.is_live = True
        self._told(order, row["filled_lots"])

    def _terms(self, key: Key, order: Kept, row: dict[str, Any]) -> None:
        """Price and size in force, as the venue has them."""
        if 0 < row["event_ns"] < order.terms_ns:
            return
        order.terms_ns = max(order.terms_ns, row["event_ns"])
        is_answer = row["kind"] == "REPORT_AMENDED"
        if is_answer and row["order_ticks"] < 0 and row["order_lots"] < 0:
            self._in_force(order, order.amend)
            return
        ticks = row["order_ticks"] if row["order_ticks"] > 0 else order.price_ticks
        lots = row["order_lots"] if row["order_lots"] >= 0 else order.size_lots
        if order.amend == (ticks, lots) or (
            is_answer and (ticks, lots) != (order.price_ticks, order.size_lots)
        ):
            order.amend = None
        order.price_ticks, order.size_lots = ticks, max(lots, order.filled_lots)

    def _in_force(self, order: Kept, terms: tuple[int, int] | None) -> None:
        if terms is not None:
            order.price_ticks, order.size_lots = terms[0], max(terms[1], order.filled_lots)
        order.amend = None

    def _not_amended(self, key: Key, order: Kept, row: dict[str, Any]) -> None:
        order.amend = None

    def _refused(self, key: Key, order: Kept, row: dict[str, Any]) -> None:
        if order.is_live and not order.is_refused:
            order.is_refused = True
        else:
            self._end(key)

    def _closed(self, key: Key, order: Kept, row: dict[str, Any]) -> None:
        """The end, or, where it tells of fills that did not come yet, the end but for those."""
        told = row["filled_lots"]
        if told < 0:
            told = order.size_lots if row["kind"] == "REPORT_FILLED" else order.told_lots
        if told <= order.filled_lots:
            self.open.pop(key, None)
            return
        order.closing, order.is_live, order.size_lots, order.amend = True, True, told, None
        self._told(order, told)


ENDS = ("REPORT_CANCELED", "REPORT_EXPIRED", "REPORT_FILLED")
SAID: dict[str, Callable[[Tracked, Key, Kept, dict[str, Any]], None]] = {
    "REPORT_LIVE": Tracked._live,
    "REPORT_AMENDED": Tracked._terms,
    "REPORT_AMEND_REJECT": Tracked._not_amended,
    "REPORT_REJECT": Tracked._refused,
    **dict.fromkeys(ENDS, Tracked._closed),
}

"""What the venues' own ledgers say of a node's orders, while it runs: S3, S8, S9, S14 of the catalogue.

A `Monitor` stands between a `World` and its fakes. At each order or amend that a venue takes, it adds up what
the venue knows - positions from its trades, the orders of ours that are open there - and asks whether any of
the ways in which they could fill is beyond a limit. At each frame that leaves it asks whether the node could
know enough to take risk, and whether somebody had said stop. It uses nothing of the node's own counts.
"""

import re
from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from node.sim.memory import MS, SEC, World

BUY, SELL = 0, 1
LATE_NS = 10 * MS  # a frame may be on its way when somebody says stop
MID_NS = 20 * MS  # how often the venues' middle prices are written down


@dataclass
class Bounds:
    """The limits of a run. Sizes by instrument in lots, money in 1e-8 of the quote coin."""

    size: dict[int, int]
    position: dict[int, int]
    notional_e8: int
    open_orders: int
    collar_ppm: int
    stale_ns: int
    rate: int
    coin_e8: int
    venue_e8: int
    total_e8: int


@dataclass
class Proofs:
    """When the node was last told something, by market or instrument; 0 = never, or taken back since."""

    reconciled_ns: dict[int, int] = field(default_factory=dict)
    clock_ns: dict[int, int] = field(default_factory=dict)
    private: dict[int, bool] = field(default_factory=dict)
    book_ns: dict[int, int] = field(default_factory=dict)


class Overheard:
    """The engine as the keeper sees it, with the proofs that go in written down."""

    def __init__(self, engine: Any, proofs: Proofs):
        self._engine, self._proofs = engine, proofs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def reconciled(self, instrument: int, now_ns: int) -> None:
        self._proofs.reconciled_ns[instrument] = now_ns
        self._engine.reconciled(instrument, now_ns)

    def venue_clock(self, market: int, offset_ns: int, error_ns: int, now_ns: int) -> None:
        self._proofs.clock_ns[market] = now_ns
        self._engine.venue_clock(market, offset_ns, error_ns, now_ns)

    def private_proven(self, market: int, ok: bool, now_ns: int) -> None:
        self._proofs.private[market] = ok
        self._engine.private_proven(market, ok, now_ns)


class Monitor:
    """`broken` are the violations, one line each; `checked` says how often each invariant was looked at."""

    def __init__(self, world: World, bounds: Bounds):
        self.world, self.bounds, self.proofs = world, bounds, Proofs()
        self.broken: list[str] = []
        self.checked = {"S3": 0, "S8": 0, "S9": 0, "S14": 0}
        self.stopped_ns: int | None = None
        self.sent_ns: deque[int] = deque()
        self.mids: dict[int, deque[tuple[int, Fraction]]] = {i: deque() for i in self.numbers.values()}
        self.booked: dict[int, int] = {}  # venue id -> trades that were looked at
        self.held: dict[int, int] = dict.fromkeys(self.numbers.values(), 0)
        self.touched: set[str] = set()  # client ids that were cancelled or amended at a venue
        self.ids = re.compile(re.escape(world.config.deployment) + r"[0-9A-Za-z]{17}")
        for fake in world.fakes.values():
            self._stand_between(fake)
        self._listen()

    @property
    def numbers(self) -> dict[tuple[int, str], int]:
        return self.world.desk.numbers

    def instrument(self, listing: Any) -> int:
        return self.numbers.get((listing.market, listing.symbol), -1)

    def fake_of(self, instrument: int) -> Any:
        return self.world.fakes[self.world.venue_of[self.world.desk.instruments.market(instrument)]]

    def wrong(self, what: str, text: str) -> None:
        self.broken.append(f"{what} at {(self.world.now_ns) / SEC:.3f} s: {text}")

    # ---- where it listens ----

    def _stand_between(self, fake: Any) -> None:
        place, amend, cancel = fake.place, fake.amend, fake.cancel

        def on_place(order_type: str, order: Any, now_ns: int) -> None:
            said = self._before(order, order.price_ticks, order.size_lots, order_type)
            place(order_type, order, now_ns)  # raises where the venue refuses it after all
            self.broken += said

        def on_amend(order: Any, price: int | None, size: int | None, now_ns: int) -> str:
            new = (order.price_ticks if price is None else price, order.size_lots if size is None else size)
            said = self._before(order, *new, order.order_type)
            why = amend(order, price, size, now_ns)
            if not why:
                self.broken += said
                self._owned(order, "amended")
            return why

        def on_cancel(order: Any, now_ns: int, reason: str = "canceled") -> bool:
            if reason == "canceled":
                self._owned(order, "cancelled")
            return cancel(order, now_ns, reason)

        fake.place, fake.amend, fake.cancel = on_place, on_amend, on_cancel

    def _listen(self) -> None:
        world = self.world
        write, deliver, turn = world._write, world._deliver, world._turn

        def on_write(line: int, frame: bytes) -> None:
            self._sent(line, frame.decode())
            write(line, frame)

        def on_deliver(wired: Any, generation: int, text: str) -> None:
            if wired.spec.role == "feed" and wired.generation == generation:
                for (market, symbol), number in self.numbers.items():
                    if market == wired.spec.market and symbol.lower() in text.lower():
                        self.proofs.book_ns[number] = world.now_ns
            deliver(wired, generation, text)

        def on_turn(wired: Any, up: bool) -> None:
            if not up and wired.spec.role != "feed":
                self.proofs.private[wired.spec.market] = False
            turn(wired, up)

        world.outlet.taker = on_write
        world._deliver, world._turn = on_deliver, on_turn  # type: ignore[method-assign]
        world._every(MID_NS, self.look)
        assert world.keeper is not None
        overheard: Any = Overheard(world.engine, self.proofs)
        for watch in world.keeper.watches.values():
            watch.native = watch.pulse.native = watch.private.native = overheard

    # ---- the venues' truth ----

    def is_ours(self, order: Any) -> bool:
        wire = self.world.desk.wires.get(order.listing.market)
        return wire is not None and bool(wire.whose(order.sent_id or order.client_id)[0])

    def look(self) -> None:
        """Middle prices, and trades since the last look (S14: what may only reduce never opens nor flips)."""
        for (market, symbol), number in self.numbers.items():
            listing = self.fake_of(number).listings[market, symbol]
            bid, ask = listing.engine.best(BUY), listing.engine.best(SELL)
            if bid and ask:
                self.mids[number].append((self.world.now_ns, Fraction(bid[0] + ask[0], 2)))
            while (
                self.mids[number] and self.mids[number][0][0] < self.world.now_ns - self.bounds.stale_ns - SEC
            ):
                self.mids[number].popleft()
        for fake in self.world.fakes.values():
            self._book(fake)

    def _book(self, fake: Any) -> None:
        trades = fake.accounts[1].trades
        for trade in trades[self.booked.get(id(fake), 0) :]:
            number = self.instrument(trade.listing)
            if number < 0:
                continue
            before = self.held[number]
            after = before + (-trade.size_lots if trade.side == SELL else trade.size_lots)
            self.held[number] = after
            if trade.order.reduce_only and self.is_ours(trade.order):
                self.checked["S14"] += 1
                if abs(after) >= abs(before) or before * after < 0:
                    self.wrong("S14", f"{trade.listing.symbol}: reduce-only took {before} lots to {after}")
        self.booked[id(fake)] = len(trades)

    def _open(self, number: int, but: Any = None) -> list[Any]:
        fake = self.fake_of(number)
        return [
            x for x in fake._open_orders.values()
            if x is not but and self.instrument(x.listing) == number and self.is_ours(x)
        ]  # fmt: skip

    def worst(self, number: int, order: Any = None, size: int = 0) -> tuple[int, int]:
        """(most, least) lots that the position can come to if any of our open orders fill, `order` with so
        many lots among them. What only reduces cannot add where the venue sees to it."""
        most = least = self.held[number]
        leaves = [
            (x.side, x.leaves_lots, x.reduce_only and x.listing.is_perpetual)
            for x in self._open(number, order)
        ]
        if order is not None:
            left = size - order.filled_lots - order.prevented_lots
            leaves.append((order.side, left, order.reduce_only and order.listing.is_perpetual))
        for side, lots, only_reduces in leaves:
            if not only_reduces:
                most += lots if side == BUY else 0
                least -= lots if side == SELL else 0
        return most, least

    def value_e8(self, number: int, ticks: Fraction | int, lots: int) -> Fraction:
        row = self.world.desk.instruments.row(number)
        return Fraction(ticks) * lots * row["money_mul"] / row["money_div"]

    # ---- S3, and S14 of what only reduces ----

    def _before(self, order: Any, price: int, size: int, kind: str) -> list[str]:
        """What would be wrong if the venue took this now."""
        number = self.instrument(order.listing)
        if number < 0 or not self.is_ours(order):
            return []
        self.look()
        self.checked["S3"] += 1
        said: list[str] = []
        if order.reduce_only:
            return said
        b, most = self.bounds, max(abs(x) for x in self.worst(number, order, size))
        place = f"{order.listing.market} {order.listing.symbol} {order.client_id}"
        where = f"S3 at {self.world.now_ns / SEC:.3f} s: {place}:"

        def more(what: str, value: Any, limit: Any) -> None:
            if value > limit:
                said.append(f"{where} {what} {value} above {limit}")

        more("size", size, b.size[number])
        more("worst-case position", most, b.position[number])
        more("open orders", len(self._open(number, order)) + 1, b.open_orders)
        if kind == "limit":
            more("value", self.value_e8(number, price, size), b.notional_e8)
            more("price off", self._off_ppm(number, price), b.collar_ppm)
        self._sums(number, order, size, more)
        return said

    def _off_ppm(self, number: int, price: int) -> int:
        """How far a price is from the nearest middle that the node may have known when it sent it."""
        mids = [mid for _, mid in self.mids[number]]
        return min((int(abs(price - mid) * 1_000_000 / mid) for mid in mids), default=0)

    def _sums(self, number: int, order: Any, size: int, more: Any) -> None:
        """Worst-case money of one coin, one venue, everything: at the lowest middle of the last seconds, with
        room for what prices moved since the node counted."""
        worth = {}
        for other in self.held:
            most = max(abs(x) for x in self.worst(other, order if other == number else None, size))
            mid = min((m for _, m in self.mids[other]), default=Fraction(0))
            worth[other] = self.value_e8(other, mid, most) * 95 / 100
        venue = self.world.venue_of[order.listing.market]
        of_venue = [n for (m, _), n in self.numbers.items() if self.world.venue_of[m] == venue]
        more("coin", int(sum(worth.values())), self.bounds.coin_e8)
        more("venue", int(sum(worth[n] for n in of_venue)), self.bounds.venue_e8)
        more("total", int(sum(worth.values())), self.bounds.total_e8)

    def _owned(self, order: Any, what: str) -> None:
        self.checked["S14"] += 1
        self.touched.add(order.client_id)
        if not self.is_ours(order):
            self.wrong("S14", f"{order.client_id}, an order of somebody else's, was {what}")

    # ---- S8, S9, rate: what leaves ----

    def stop(self) -> None:
        """From now on nothing new may leave."""
        self.stopped_ns = self.world.now_ns

    def _sent(self, line: int, text: str) -> None:
        """A frame leaves. Ours are named in it by their client ids."""
        engine, wired = self.world.engine, self.world.lines.get(line)
        market = wired.spec.market if wired is not None else self.world.rest_of[line]
        wire = self.world.desk.wires[market]
        request = re.search(r'"(?:id|reqId)":\s*"([ncarNCAR])', text)
        ids = sorted({x for x in self.ids.findall(text) if wire.whose(x)[0]})
        if request is None or not ids:
            self.wrong("S14", f"a frame that names no order of ours: {text[:80]}")
            return
        rows = [engine.orders.order(engine.orders.whose(*wire.whose(x))) for x in ids]
        action = request[1].lower()  # a capital: a batch
        if action == "c":
            return
        self._stopped(text)
        if action in "nr":
            news = [x for x in rows if x["state"] == "INTENT"]  # a replacement names the old one, too
            self._rate(len(news))
            for row in news:
                if not row["reduce_only"]:
                    self._known(row["instrument"], market)

    def _stopped(self, text: str) -> None:
        if self.stopped_ns is not None:
            self.checked["S9"] += 1
            if self.world.now_ns > self.stopped_ns + LATE_NS:
                self.wrong("S9", f"sent {self.world.now_ns - self.stopped_ns} ns after the stop: {text[:80]}")

    def _rate(self, count: int) -> None:
        now_ns = self.world.now_ns
        self.sent_ns.extend([now_ns] * count)
        while self.sent_ns and self.sent_ns[0] <= now_ns - SEC:
            self.sent_ns.popleft()
        if len(self.sent_ns) > self.bounds.rate:
            self.wrong("S3", f"{len(self.sent_ns)} new orders in a second, {self.bounds.rate} are allowed")

    def _known(self, instrument: int, market: int) -> None:
        """S8: at this moment, is everything proven that risk may be taken on?"""
        self.checked["S8"] += 1
        now_ns, proofs, gate = self.world.now_ns, self.proofs, self.world.engine.risk
        place = f"instrument {instrument}"
        if now_ns - proofs.book_ns.get(instrument, 0) > self.bounds.stale_ns:
            self.wrong("S8", f"{place}: the book is {now_ns - proofs.book_ns.get(instrument, 0)} ns old")
        if self.world.engine.books[instrument].state != 2:
            self.wrong("S8", f"{place}: the book is not synced")
        if now_ns - proofs.reconciled_ns.get(instrument, 0) > gate.reconcile_ns:
            self.wrong("S8", f"{place}: reconciled {now_ns - proofs.reconciled_ns.get(instrument, 0)} ns ago")
        if now_ns - proofs.clock_ns.get(market, 0) > gate.clock_ns:
            self.wrong(
                "S8", f"{place}: the clock was measured {now_ns - proofs.clock_ns.get(market, 0)} ns ago"
            )
        if not proofs.private.get(market, False):
            self.wrong("S8", f"{place}: the private stream is not proven")

    # ---- the end ----

    def open_there(self) -> list[str]:
        """Client ids of ours that are open at a venue."""
        return [x.client_id for n in self.held for x in self._open(n)]

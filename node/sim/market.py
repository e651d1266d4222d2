"""What moves the simulated venues: a seeded synthetic market, or a recording.

Both only speak to the matching engines of the `Listing`s (`set_level`, `trade`); the venue fakes see the
results as they see anything else. Time is an argument. `step(now_ns)` does everything that is due up to now.

The synthetic market is cut in slots of 10 ms, and each listing has its own seeded generator: what happens
depends on the seed and the slots, not on how often `step` is called nor on which other listings there are
(those of one base asset share a fair price).
"""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import partial
from random import Random

from node.venues.fakes import BUY, MS, SELL, Fault, Listing

SLOT_NS = 10 * MS
MAKER_SLOTS = 10  # the makers move every 100 ms
BEHIND_MAX_SLOTS = 1_000  # a caller that slept longer than 10 s finds the market where it left it
BAND_LEVELS = 40  # levels per side in one band of BANDS
BANDS = (1, 2, 4, 10, 20, 40)  # distance of neighbouring levels, in cells, going away from the market
LADDERS_KEPT = 2_000
FINE = 600_000  # cells in the fair price: a cell is one tick, or more where ticks are finer than this
E8 = 10**8

# Fair price at the start, in quote currency.
PRICES = {
    "BTC": "60000",
    "ETH": "3000",
    "SOL": "150",
    "BNB": "550",
    "XRP": "0.6",
    "DOGE": "0.12",
    "ADA": "0.4",
    "LINK": "12",
}
OTHER_PRICE = "100"


class Fair:
    """The fair price of one base asset: a random walk that is drawn back to where it began. In quote *
    10**8."""

    def __init__(self, rng: Random, price: str):
        self.rng = rng
        self.anchor_e8 = self.price_e8 = self.first_e8 = _e8(price)
        self.reach_e8 = max(1, self.anchor_e8 * 4 // FINE)  # longest ordinary step: some four cells
        self.falling = False  # a crash moved it in this slot: makers do not wait for their turn

    def move(self) -> None:
        """100 ms pass; one step in a hundred is ten times as long."""
        reach = self.reach_e8 * (10 if self.rng.random() < 0.01 else 1)
        self.price_e8 += self.rng.randint(-reach, reach) + (self.anchor_e8 - self.price_e8) // 2_000
        self.price_e8 = max(self.price_e8, self.anchor_e8 // 2)


class Maker:
    """Makers and takers of one listing around its fair price."""

    def __init__(self, listing: Listing, rng: Random, fair: Fair):
        self.listing, self.rng, self.fair = listing, rng, fair
        self.engine = listing.engine
        ticks = self._ticks(fair.price_e8)
        if ticks < 10 * BAND_LEVELS:
            raise ValueError(f"{listing.symbol}: a price of {ticks} ticks is too coarse for a book")
        self.cell_ticks = max(1, ticks // FINE)
        self.unit_lots = max(1, self._lots(fair.price_e8))
        self.basis = 0  # what this venue is off the fair price, in cells
        self.busy = 1  # a fault: so many times what usually happens
        self.wider_ticks = 0  # a fault: each side is so much further away
        self.absent: set[int] = set()  # a fault: sides without makers
        self.prices: tuple[set[int], set[int]] = (set(), set())
        self.ladders: dict[tuple[int, int], list[int]] = {}  # by side and best cell: a market comes back

    def _ticks(self, price_e8: int) -> int:
        grid = self.listing.price_grid
        return price_e8 * 10**grid.decimals // (grid.mantissa * E8)

    def _lots(self, price_e8: int) -> int:
        """Lots worth about 500 quote."""
        grid, contract_e8 = self.listing.size_grid, _e8(self.listing.contract)
        return 500 * E8 * E8 * 10**grid.decimals // (price_e8 * contract_e8 * grid.mantissa)

    def fair_ticks(self) -> int:
        return self._ticks(self.fair.price_e8) + self.basis * self.cell_ticks

    def quote(self) -> None:
        """Makers follow the fair price: levels enter and leave, 20 to 60 change, the best three always do."""
        self.basis = max(-3, min(3, self.basis + self.rng.randint(-1, 1)))
        cell = self.fair_ticks() // self.cell_ticks
        half = 1 + (self.rng.random() < 0.3)
        half += self.wider_ticks // self.cell_ticks
        ladders = [self._ladder(BUY, max(1, cell - half)), self._ladder(SELL, cell + half)]
        for side in self.absent:
            ladders[side] = []
        wanted = set(ladders[BUY]), set(ladders[SELL])
        changes = 0
        for side in (BUY, SELL):  # everything leaves before anything comes: makers never cross each other
            gone = sorted(self.prices[side] - wanted[side])
            changes += len(gone)
            for price in gone:
                self.engine.set_level(side, price, 0)
        for side in (BUY, SELL):
            changes += self._enter(side, ladders[side], wanted[side])
        self.prices = wanted
        for _ in range(max(8, self.rng.randint(20, 50) - changes)):
            side = self.rng.getrandbits(1)
            nearness = self.rng.random()
            if not ladders[side]:
                continue
            self._set(side, ladders[side], int(len(ladders[side]) * nearness * nearness))

    def _enter(self, side: int, ladder: list[int], wanted: set[int]) -> int:
        new = wanted - self.prices[side]
        count = 0
        for depth, price in enumerate(ladder):
            if depth < 3 or price in new:
                self._set(side, ladder, depth)
                count += 1
        return count

    def _set(self, side: int, ladder: list[int], depth: int) -> None:
        least = self.unit_lots // 2 + 1
        choices = self.unit_lots * (4 + depth // 3) - least + 1
        draw = self.rng.getrandbits
        bits = choices.bit_length()
        more = draw(bits)  # randint(), without its checks: most of the time of a run would go there
        while more >= choices:
            more = draw(bits)
        self.engine.set_level(side, ladder[depth], least + more)

    def _ladder(self, side: int, cell: int) -> list[int]:
        """Prices of a side from its best cell on: dense near the market, thinning with distance. The cells
        are those divisible by the band's step, so that a level keeps its price while the market moves past
        it."""
        known = self.ladders.get((side, cell))
        if known is None:
            if len(self.ladders) >= LADDERS_KEPT:
                self.ladders.clear()
            known = self.ladders[side, cell] = self._new_ladder(side, cell)
        return known

    def _new_ladder(self, side: int, cell: int) -> list[int]:
        away = -1 if side == BUY else 1
        steps = [cell * away]  # cells, counted so that they grow away from the market
        for step in BANDS:
            first = (steps[-1] // step + 1) * step
            steps.extend(range(first, first + BAND_LEVELS * step, step))
        cells = [at * away for at in steps if at * away > 0]
        if self.cell_ticks == 1:
            return cells
        size = self.cell_ticks  # spread over the cell, always the same for one cell
        return [c * size + (c * 2_654_435_761 >> 7) % size for c in cells]

    def take(self) -> None:
        """Perhaps a taker comes: four a second, mostly small, one in ten sweeps the best levels."""
        rng = self.rng
        if rng.random() >= 0.04:
            return
        side = rng.getrandbits(1)
        best = self.engine.best(1 - side)
        if best is None:
            return
        units = rng.randint(1, 6) if rng.random() < 0.9 else rng.randint(10, 60)
        reach = 8 * self.cell_ticks
        limit = best[0] + reach if side == BUY else max(1, best[0] - reach)
        self.engine.trade(side, limit, rng.randint(1, self.unit_lots * units))


class Market:
    """Seeded synthetic market of a set of listings. The books are there once it is made.

    `prices` (base asset -> decimal text, in quote currency) overrides PRICES. Raises ValueError where a
    listing's tick is so coarse that there is no room for a book.
    """

    def __init__(
        self, listings: Iterable[Listing], seed: int, start_ns: int, prices: dict[str, str] | None = None
    ):
        table = PRICES | (prices or {})
        self.next_ns = start_ns
        self.slot = 0
        self.later: list[tuple[int, Callable[[], object]]] = []  # slot -> what a fault does then
        self.fairs: dict[str, Fair] = {}
        self.makers: list[Maker] = []
        for listing in listings:
            base = listing.base or listing.symbol
            if base not in self.fairs:
                self.fairs[base] = Fair(Random(f"{seed}/{base}"), table.get(base, OTHER_PRICE))
            rng = Random(f"{seed}/{listing.market}/{listing.symbol}")
            self.makers.append(Maker(listing, rng, self.fairs[base]))
        for maker in self.makers:
            maker.quote()

    def step(self, now_ns: int) -> int:
        """Everything due up to `now_ns`; returns how many slots of 10 ms that were."""
        due = (now_ns - self.next_ns) // SLOT_NS + 1
        if due > BEHIND_MAX_SLOTS:
            self.next_ns += (due - BEHIND_MAX_SLOTS) * SLOT_NS
            due = BEHIND_MAX_SLOTS
        for _ in range(due):
            self._slot()
        return max(due, 0)

    def _slot(self) -> None:
        for fair in self.fairs.values():
            fair.falling = False
        if self.later:
            due = [run for slot, run in self.later if slot <= self.slot]
            self.later = [x for x in self.later if x[0] > self.slot]
            for run in due:
                run()
        if self.slot % MAKER_SLOTS == 0:
            for fair in self.fairs.values():
                fair.move()
        for i, maker in enumerate(self.makers):
            slots = max(1, MAKER_SLOTS // maker.busy)
            if (self.slot + i) % slots == 0 or maker.fair.falling:  # not all venues at once
                maker.quote()
            for _ in range(maker.busy):
                maker.take()
        self.slot += 1
        self.next_ns += SLOT_NS

    # ---- faults ----

    def disturb(self, fault: Fault, listings: list[Listing], now_ns: int) -> None:
        """Carry out a `market.*` fault on some listings; a fair price moves for all of its base asset.

        crash: the fair price falls by `percent` (10; negative rises) over `s` seconds (5), makers with it in
        every slot of 10 ms. gap: at once. busy: makers and takers do `times` (10) what they do, for `s`.
        sweep: takers take everything as far as `percent` (1) away. spread: `ticks` (100) more on each side
        for `s`. empty: nobody makes a `side` for `s`. print: one trade `percent` (5) off the market. mark:
        the mark price is `percent` (5) off for `s`.
        """
        makers = [m for m in self.makers if m.listing in listings]
        name = fault.name.partition(".")[2]
        if name in ("crash", "gap"):
            self._move(fault, {m.listing.base or m.listing.symbol for m in makers})
            return
        for maker in makers:
            if name == "sweep":
                self._sweep(maker, fault)
            elif name == "print":
                self._print(maker, fault)
            elif name == "spread":
                maker.wider_ticks = min(int(fault.get("ticks", 100)), maker.fair_ticks() // 2)
                self._after(fault, partial(setattr, maker, "wider_ticks", 0))
            elif name == "busy":
                maker.busy = max(1, int(fault.get("times", 10)))
                self._after(fault, partial(setattr, maker, "busy", 1))
            elif name == "empty":
                self._empty(maker, fault)
            elif name == "mark":
                maker.listing.mark_factor = 1 + _percent(fault, "5")
                self._after(fault, partial(setattr, maker.listing, "mark_factor", Decimal(1)))

    def _after(self, fault: Fault, run: Callable[[], object]) -> None:
        """When the fault's `s` seconds are over (10 where it names none)."""
        self.later.append((self.slot + fault.ns("", 10_000 * MS) // SLOT_NS, run))

    def _move(self, fault: Fault, bases: set[str]) -> None:
        share = _percent(fault, "10")
        steps = max(1, fault.ns("", 5_000 * MS) // SLOT_NS) if fault.name == "market.crash" else 1
        for base in bases:
            step_e8 = int(self.fairs[base].price_e8 * share) // steps
            self.later.append((self.slot, partial(self._fall, self.fairs[base], step_e8, steps)))

    def _fall(self, fair: Fair, step_e8: int, steps: int) -> None:
        """One step of a crash, and the next one a slot later; prices keep between a tenth and a hundred times
        of where they began."""
        low_e8, high_e8 = fair.first_e8 // 10, fair.first_e8 * 100
        fair.falling = True
        fair.price_e8 = min(max(fair.price_e8 - step_e8, low_e8), high_e8)
        fair.anchor_e8 = min(max(fair.anchor_e8 - step_e8, low_e8), high_e8)
        if steps > 1:
            self.later.append((self.slot + 1, partial(self._fall, fair, step_e8, steps - 1)))

    def _sweep(self, maker: Maker, fault: Fault) -> None:
        side = BUY if str(fault.get("side")) == "buy" else SELL
        best = maker.engine.best(1 - side)
        if best is None:
            return
        reach = int(best[0] * _percent(fault, "1"))
        limit = best[0] + reach if side == BUY else max(1, best[0] - reach)
        levels = maker.engine.levels(1 - side)
        lots = sum(n for price, n in levels if (price <= limit) == (side == BUY) or price == limit)
        if lots:
            maker.engine.trade(side, limit, lots)

    def _print(self, maker: Maker, fault: Fault) -> None:
        """A trade far from the market that no client was part of: a maker appears there, and is taken."""
        price = max(1, int(maker.fair_ticks() * (1 - _percent(fault, "5"))))
        lots = max(1, int(fault.get("size_lots", 1)))
        best = maker.engine.best(BUY)
        if best is not None and price >= best[0]:
            return
        before = maker.engine.background(BUY, price)
        number = maker.engine.place(BUY, price, lots, "gtc", 0)
        maker.engine.fill(number, lots)
        assert maker.engine.background(BUY, price) == before, "a print left something in the book"

    def _empty(self, maker: Maker, fault: Fault) -> None:
        side = SELL if str(fault.get("side")) == "sell" else BUY
        maker.absent.add(side)
        for price in sorted(maker.prices[side]):
            maker.engine.set_level(side, price, 0)
        self._after(fault, partial(maker.absent.discard, side))

    def fair_ticks(self, listing: Listing) -> int:
        """Fair price of a listing now: what its mark price would be."""
        return next(m for m in self.makers if m.listing is listing).fair_ticks()


def _percent(fault: Fault, default: str) -> Decimal:
    """The fault's `percent` as a factor."""
    return Decimal(str(fault.get("percent", default))) / 100


Record = tuple[int, Listing, str, object]


class RecordedMarket:
    """Drives listings from a recording: an iterator of (t_ns, listing, kind, payload) in the order of the
    recording.

    kind "depth": payload (bids, asks), changed levels as (price_ticks, size_lots), absolute; "snapshot": the
    same, and every other level is gone; "trade": payload (taker_side, price_ticks, size_lots). The first
    record happens at `start_ns`, the others as much later as in the recording, divided by `speed`. Times that
    step back do not matter: a record is due when all before it are. Raises ValueError for a kind it does not
    know.
    """

    def __init__(self, records: Iterable[Record], start_ns: int, speed: int = 1):
        self.records: Iterator[Record] = iter(records)
        self.start_ns, self.speed = start_ns, speed
        self.counts = {"depth": 0, "snapshot": 0, "trade": 0, "short_trades": 0}
        self.finished = False
        self.waiting: Record | None = None
        self._next()
        self.first_ns = self.waiting[0] if self.waiting else 0

    def _next(self) -> None:
        self.waiting = next(self.records, None)
        self.finished = self.waiting is None

    def step(self, now_ns: int) -> int:
        """Everything due up to `now_ns`; returns how many records that were."""
        due_ns = self.first_ns + (now_ns - self.start_ns) * self.speed
        count = 0
        while self.waiting is not None and self.waiting[0] <= due_ns:
            self._apply(*self.waiting[1:])
            self._next()
            count += 1
        return count

    def _apply(self, listing: Listing, kind: str, payload) -> None:
        if kind == "trade":
            side, price_ticks, size_lots = payload
            self.counts["short_trades"] += listing.engine.trade(side, price_ticks, size_lots) < size_lots
        elif kind == "depth":
            self._set(listing, payload)
        elif kind == "snapshot":
            self._clear(listing, payload)
            self._set(listing, payload)
        else:
            raise ValueError(f"{listing.symbol}: a record of kind {kind!r} is not known")
        self.counts[kind] += 1

    def _set(self, listing: Listing, payload) -> None:
        """What goes leaves first, so that a market that moved does not look crossed on the way."""
        for leaving in (True, False):
            for side in (BUY, SELL):
                for price_ticks, size_lots in payload[side]:
                    if (size_lots == 0) is leaving:
                        listing.engine.set_level(side, price_ticks, size_lots)

    def _clear(self, listing: Listing, payload) -> None:
        for side in (BUY, SELL):
            kept = {price for price, _ in payload[side]}
            for price_ticks, _ in listing.engine.levels(side):
                if price_ticks not in kept:
                    listing.engine.set_level(side, price_ticks, 0)


def _e8(text: str) -> int:
    """Plain decimal text * 10**8, exact."""
    digits, _, frac = text.partition(".")
    if not (text.isascii() and (digits + frac).isdigit()) or len(frac) > 8:
        raise ValueError(f"price {text!r}: not a plain decimal with at most 8 decimals")
    return int(digits + frac.ljust(8, "0"))

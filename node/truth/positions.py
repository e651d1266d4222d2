"""Positions, leverage and modes as the venue states them, against ours. Nothing is ever traded or made up
to bring them together.

A perpetual's position is what the venue says. A spot position is what our trades say; the purse proves
those (`coins`).
"""

from collections import deque

from ext.records import HaltReason
from node.amounts import amount_text
from node.truth.desk import VenueDesk
from node.truth.evidence import LEGS, Reader, number
from node.truth.halts import REDUCE_ONLY, Difference, Halts
from node.truth.native import Native
from node.truth.settings import Settings
from node.truth.steady import Steady
from node.venues.values import ModeRow, PositionRow

Place = tuple[int, int]  # instrument, records.LegKind
LEG_NAMES = ("", " of the long leg", " of the short leg")


class Positions:
    """In one-way mode a perpetual has one position, in hedge mode one of each leg; each compared by itself.
    `sample` is called on every tick: a fill that is booked while an answer is under way is no difference."""

    def __init__(self, desk: VenueDesk, native: Native, reader: Reader, halts: Halts, settings: Settings):
        self.desk, self.native, self.reader, self.halts, self.settings = desk, native, reader, halts, settings
        self.steady = {
            (p.instrument, leg): Steady(settings.settle_ns, 0 if p.is_perpetual else None)
            for p in desk.products.values()
            for leg in desk.legs(p)
        }
        self.history: dict[Place, deque[tuple[int, int]]] = {x: deque() for x in self.steady}
        self._sums: dict[Place, tuple] = {}  # of the account, when `history` was looked after last
        self.venue_lots: dict[Place, int] = {}
        self.was_set: set[Place] = set()
        self.compared_ns = 0  # when the last complete answer was asked for; 0 where there are no perpetuals
        self._strays: set[str] = set()
        for product in desk.products.values():
            if not product.is_perpetual:
                self.steady[product.instrument, 0].settle_ns = settings.start_settle_ns

    def places(self, instrument: int) -> list[Place]:
        """The positions of an instrument."""
        return [x for x in self.steady if x[0] == instrument]

    def settle_within(self, instrument: int, settle_ns: int) -> None:
        """How far apart two looks must be from now on."""
        for place in self.places(instrument):
            self.steady[place].settle_ns = settle_ns

    def lots(self, place: Place) -> int:
        """What we hold there."""
        if not self.desk.hedge or len(self.places(place[0])) == 1:
            return self.native.account.sums(place[0])[0]
        return self.native.account.position(place[0])["legs"][place[1]]["lots"]

    def sample(self, now_ns: int) -> None:
        """Remember what we held when."""
        for place, past in self.history.items():
            sums = self.native.account.sums(place[0])
            if past and self._sums.get(place) == sums:
                continue  # nothing was booked: not a leg of it changed
            self._sums[place] = sums
            lots = self.lots(place)
            if not past or past[-1][1] != lots:
                past.append((now_ns, lots))
            while len(past) > 1 and past[1][0] < now_ns - 2 * self.settings.answer_ns:
                past.popleft()

    def forget(self, now_ns: int) -> None:
        """What was held before the first pass booked what was traded while nobody looked compares with
        nothing."""
        for past in self.history.values():
            past.clear()
        self.sample(now_ns)

    def _held(self, place: Place, from_ns: int) -> list[int]:
        """Every position of ours from `from_ns` until now."""
        past = self.history[place]
        first = max((i for i, (at_ns, _) in enumerate(past) if at_ns <= from_ns), default=0)
        return [lots for _, lots in list(past)[first:]] or [self.lots(place)]

    def is_still(self, instrument: int, left_ns: int) -> bool:
        """What we hold did not change since half of a start's settle window before `left_ns`."""
        from_ns = left_ns - self.settings.start_settle_ns // 2
        return all(len(set(self._held(x, from_ns))) == 1 for x in self.places(instrument))

    # ---- perpetuals ----

    def compare(self, rows: list[PositionRow], left_ns: int, explained_ns: int, now_ns: int) -> None:
        """A complete answer that left at `left_ns`; trades up to `explained_ns` are booked. A symbol that
        it does not name is flat at the venue as far as this answer goes: where we are not, that is a
        difference, and never a reason to become flat."""
        told = self._by_place(rows)
        self.compared_ns = left_ns
        self.sample(now_ns)
        for symbol, product in self.desk.products.items():
            for leg in self.desk.legs(product) if product.is_perpetual else ():
                place = (product.instrument, leg)
                self._look(symbol, place, told.get(place, 0), left_ns, explained_ns, now_ns)

    def _by_place(self, rows: list[PositionRow]) -> dict[Place, int]:
        """Signed lots by instrument and leg; in one-way mode legs are added up, for the mode is told of by
        itself. ValueError where one number cannot be read: then none counts."""
        told: dict[Place, int] = {}
        for row in rows:
            instrument = self.reader.instrument(row.market, row.symbol)
            if instrument is not None:
                place = (instrument, LEGS[row.leg] if self.desk.hedge else 0)
                told[place] = told.get(place, 0) + self.reader.lots(instrument, row.size)
            elif number(row.size, f"{row.symbol}: position"):
                self._strays.add(row.symbol)
        return told

    def _look(
        self, symbol: str, place: Place, lots: int, left_ns: int, explained_ns: int, now_ns: int
    ) -> None:
        steady, held = self.steady[place], self._held(place, left_ns - self.settings.settle_ns)
        nearest = min(held, key=lambda ours: abs(lots - ours))
        is_explained = not steady.since_ns or explained_ns >= steady.since_ns
        steady.look(lots - nearest, left_ns if is_explained else 0, now_ns)
        self.venue_lots[place] = lots
        what = f"the venue says {self._text(place, lots)}, we have {self._text(place, held[-1])}"
        self._judge(symbol, place, what, now_ns)

    def _judge(self, symbol: str, place: Place, what: str, now_ns: int) -> None:
        source, name = f"position{LEG_NAMES[place[1]]}", self.desk.place(symbol)
        if self.steady[place].drift is None:
            if self.halts.free(place[0], HaltReason.HALT_DRIFT, source, now_ns):
                self.halts.tell(name, f"{source}: both agree again", now_ns)
        elif self.halts.hold(place[0], HaltReason.HALT_DRIFT, REDUCE_ONLY, source, now_ns):
            self.halts.tell(name, f"{source}: {what}, and no trade explains it: reduce-only", now_ns)

    def take_over(self, symbol: str, entries: dict[int, str], now_ns: int) -> bool:
        """At start only: a position that differs in two looks is taken from the venue, as a correction on
        the record. `entries`: by leg. True where one was, now or before."""
        product = self.desk.products[symbol]
        places = self.places(product.instrument) if product.is_perpetual else []
        for place in places:
            if self.steady[place].drift is not None and place not in self.was_set:
                self._take(symbol, place, entries.get(place[1], ""), now_ns)
        return any(x in self.was_set for x in places)

    def _take(self, symbol: str, place: Place, entry: str, now_ns: int) -> None:
        (instrument, leg), ours, lots = place, self.lots(place), self.venue_lots[place]
        if ours == lots:
            return  # it agrees by now: another look will say so
        if len(self.places(instrument)) > 1 and leg == 0:
            return  # of which leg our fills were, nobody said: the legs themselves say what there is
        source = f"position{LEG_NAMES[leg]}"
        there, here = self._text(place, lots), self._text(place, ours)
        why = f"start: the venue says {there}{LEG_NAMES[leg]}, we had {here}"
        self.native.set_position(instrument, lots, self._cash(instrument, entry, lots), now_ns, leg=leg)
        self.was_set.add(place)
        self.steady[place].rebase(0)
        self.sample(now_ns)
        self.halts.free(instrument, HaltReason.HALT_DRIFT, source, now_ns)
        self.halts.tell(
            self.desk.place(symbol), f"{why}, and no trade explains it: taken from the venue", now_ns
        )

    def _cash(self, instrument: int, entry: str, lots: int) -> int:
        """What was paid for the position in tick * lot units, 0 where the venue does not say its price."""
        try:
            price = number(entry, "entry")
        except ValueError:
            return 0
        row = self.reader.instruments.row(instrument)
        cash = -int(price.scaleb(row["price_decimals"]) / row["tick_mantissa"] * lots)
        return cash if abs(cash) < 2**60 else 0  # a price that cannot be is none

    # ---- spot ----

    def compare_spot(self, net_lots: dict[int, int], left_ns: int, read_ns: int, now_ns: int) -> None:
        """Our positions against the sum of the trades that the venue lists, all of which were here at
        `read_ns`: their distance stays what it was at start."""
        self.sample(now_ns)
        for symbol, product in self.desk.products.items():
            if product.is_perpetual:
                continue
            instrument, steady = product.instrument, self.steady[product.instrument, 0]
            held = self._held((instrument, 0), left_ns - steady.settle_ns)
            base = int(steady.base or 0)
            value = min((ours - net_lots[instrument] for ours in held), key=lambda x: abs(x - base))
            if steady.base is None and len(set(held)) > 1:
                continue  # trades are under way: what is learned now may be wrong for ever
            steady.look(value, left_ns, read_ns)
            if steady.base is not None:
                steady.settle_ns = self.settings.settle_ns
            place = (instrument, 0)
            listed, here = self._text(place, held[-1] - value + base), self._text(place, held[-1])
            self._judge(symbol, place, f"listed trades make {listed}, we have {here}", now_ns)

    # ---- how the account is set up ----

    def modes(self, rows: list[PositionRow], now_ns: int) -> None:
        for row in rows:
            is_leg = row.leg != "net" and row.size.strip("-0.") != ""
            self.mode(
                ModeRow(row.market, row.symbol, True if is_leg else None, row.leverage, row.margin_mode),
                now_ns,
            )

    def mode(self, row: ModeRow, now_ns: int) -> None:
        """Leverage, margin mode or position mode as told, against the configuration. Never set back from
        here."""
        if row.hedge is not None:
            for symbol, product in self.desk.products.items():
                if row.symbol not in ("", symbol):
                    continue
                wrong = product.is_perpetual and row.hedge != self.desk.hedge
                self._mode(
                    symbol, "position mode", wrong, f"hedge mode is {'on' if row.hedge else 'off'}", now_ns
                )
        named = self.desk.products.get(row.symbol)
        if named is None:
            return
        if row.leverage and named.leverage:
            wrong = number(row.leverage, "leverage") != number(named.leverage, "leverage")
            self._mode(row.symbol, "leverage", wrong, f"is {row.leverage}, must be {named.leverage}", now_ns)
        if row.margin_mode and named.margin_mode:
            wrong = row.margin_mode != named.margin_mode
            self._mode(
                row.symbol, "margin mode", wrong, f"is {row.margin_mode}, must be {named.margin_mode}", now_ns
            )

    def _mode(self, symbol: str, what: str, wrong: bool, text: str, now_ns: int) -> None:
        instrument = self.desk.products[symbol].instrument
        if wrong and self.halts.hold(instrument, HaltReason.HALT_MODE, REDUCE_ONLY, what, now_ns):
            self.halts.tell(self.desk.place(symbol), f"{what} {text}: reduce-only", now_ns)
        elif not wrong and self.halts.free(instrument, HaltReason.HALT_MODE, what, now_ns):
            self.halts.tell(self.desk.place(symbol), f"{what}: as configured again", now_ns)

    # ---- state ----

    def _text(self, place: Place, lots: int) -> str:
        return amount_text(self.native.instruments, place[0], lots)

    def is_open(self, instrument: int) -> bool:
        return any(self.steady[x].is_open for x in self.places(instrument))

    def differs(self, instrument: int) -> bool:
        return any(self.steady[x].drift is not None for x in self.places(instrument))

    def has_agreed(self, instrument: int) -> bool:
        """A complete answer agreed with us, or was taken over, and nothing speaks against it now."""
        told = all(
            not self.steady[x].is_open and bool(self.steady[x].agreed_ns or x in self.was_set)
            for x in self.places(instrument)
        )
        return told and not self.has_moved_since(instrument)

    def has_moved_since(self, instrument: int) -> bool:
        """The last answer agreed with a position that is ours no more: trades came behind it."""
        return any(self.venue_lots.get(x, self.lots(x)) != self.lots(x) for x in self.places(instrument))

    def differences(self) -> list[Difference]:
        out = []
        for place, steady in self.steady.items():
            if steady.drift is not None:
                text = f"position{LEG_NAMES[place[1]]} differs by {self._text(place, int(steady.drift))}"
                out.append(Difference(self.desk.symbol(place[0]), text, steady.since_ns))
        return out + [
            Difference(x, "a position in a symbol that is not traded here", 0) for x in sorted(self._strays)
        ]

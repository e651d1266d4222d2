"""First in, first out: what was opened first is closed first, lot by lot. Exact: what cannot be divided
is rounded at the eighteenth decimal, and the rest stays with the lot.

A trade exchanges a quantity of coins for an amount of quote. A fee paid in the coins themselves is part
of that: so many fewer came in, or more went out, for the same amount.
"""

from collections import deque
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal

WIDE = Context(prec=80, rounding=ROUND_HALF_EVEN)
QUANTUM = Decimal("1e-18")
NONE = Decimal(0)


@dataclass
class Lot:
    """`quantity` above zero is held, below zero was sold short; `amount` is what it cost, or what the
    sale brought. `acquired_ns` 0: nobody knows when."""

    quantity: Decimal
    amount: Decimal
    acquired_ns: int


@dataclass(frozen=True)
class Part:
    """What one trade did to one lot. Opened: `closed` is None. Closed: of that lot, whose share of its
    amount is `lot_amount`; `realised` is proceeds minus cost."""

    quantity: Decimal  # above zero
    amount: Decimal  # of this trade
    closed: Lot | None
    lot_amount: Decimal
    realised: Decimal
    position: Decimal  # behind it


def share(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """`part` of `whole` of an amount; all of it where the part is the whole."""
    if part == whole:
        return amount
    return WIDE.divide(WIDE.multiply(amount, part), whole).quantize(QUANTUM, context=WIDE)


@dataclass
class Lots:
    """The open lots of one leg of one instrument."""

    lots: deque[Lot] = field(default_factory=deque)

    @property
    def quantity(self) -> Decimal:
        return sum((x.quantity for x in self.lots), NONE)

    @property
    def cost(self) -> Decimal:
        """Spent on what is open; what short sales brought is below zero."""
        return sum((x.amount if x.quantity > 0 else -x.amount for x in self.lots), NONE)

    def trade(self, signed: Decimal, amount: Decimal, at_ns: int) -> list[Part]:
        """Buy (above zero) or sell a quantity for an amount of quote."""
        parts, left, position = [], abs(signed), self.quantity
        sign = 1 if signed > 0 else -1
        while left and self.lots and self.lots[0].quantity * sign < 0:
            lot = self.lots[0]
            here = min(left, abs(lot.quantity))
            paid, held = share(amount, here, left), share(lot.amount, here, abs(lot.quantity))
            position += sign * here
            realised = held - paid if sign > 0 else paid - held
            parts.append(
                Part(here, paid, Lot(lot.quantity, lot.amount, lot.acquired_ns), held, realised, position)
            )
            lot.quantity, lot.amount = lot.quantity + sign * here, lot.amount - held
            left, amount = left - here, amount - paid
            if not lot.quantity:
                self.lots.popleft()
        if left:
            self.lots.append(Lot(sign * left, amount, at_ns))
            parts.append(Part(left, amount, None, NONE, NONE, position + sign * left))
        return parts

    def correct(self, signed: Decimal, amount: Decimal) -> None:
        """The position turned out to be `signed` more (less below zero). What is too much leaves at its
        own cost, first in first out, and nothing is realised; what was missing comes in for `amount`, at
        a time that nobody knows."""
        left = signed
        if signed * self.quantity < 0:
            gone = min(abs(signed), abs(self.quantity))
            self._take(gone)
            left += gone if signed < 0 else -gone
        if left:
            self.lots.append(Lot(left, amount, 0))

    def _take(self, quantity: Decimal) -> None:
        while quantity:
            lot = self.lots[0]
            here = min(quantity, abs(lot.quantity))
            lot.amount -= share(lot.amount, here, abs(lot.quantity))
            lot.quantity -= here if lot.quantity > 0 else -here
            quantity -= here
            if not lot.quantity:
                self.lots.popleft()

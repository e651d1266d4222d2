"""Amounts of earlier runs in the increments of now: a venue may have changed its tick and its lot since.

Grids are pairs of decimal texts, (tick, lot), and compared as numbers. What does not come out even is rounded
so that nothing is lost: an order, and a position either way, counts as the larger one.
"""

from decimal import Decimal
from fractions import Fraction

Grid = tuple[str, str]
Counted = tuple[int, int, int]  # lots, cash in tick * lot, what the open lots cost


def is_same(before: Grid, now: Grid) -> bool:
    """Do both count alike? "0.010" is "0.01"."""
    return [Decimal(x) for x in before] == [Decimal(x) for x in now]


def scaled(steps: int, before: str, now: str) -> int:
    """The same amount in another step, rounded up: nobody reserves less than what was sent."""
    if before == now:
        return steps
    whole, rest = divmod(Decimal(before) * steps, Decimal(now))
    return int(whole) + (rest > 0)


def regrid(held: Counted, before: Grid, now: Grid) -> Counted:
    """A position in another grid: its lots rounded away from zero, its average price kept, what was realised
    rounded down."""
    if is_same(before, now):
        return held
    lots, cash, cost = held
    tick, lot = (Fraction(was) / Fraction(new) for was, new in zip(before, now, strict=True))
    size = abs(lots) * lot
    more = -(-size.numerator // size.denominator)  # rounded up
    price = Fraction(cost, abs(lots)) * tick if lots else Fraction(0)
    realised = (cash + cost) * tick * lot
    new_cost = round(price * more)
    return (more if lots > 0 else -more), realised.numerator // realised.denominator - new_cost, new_cost


def is_exact(lots: int, before: Grid, now: Grid) -> bool:
    """Does this many lots come out even in the other grid?"""
    return (lots * Fraction(before[1]) / Fraction(now[1])).denominator == 1

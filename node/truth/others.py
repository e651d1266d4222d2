"""Coins of a wallet that nothing here trades: they count as capital, and no list of ours explains what
moves them.

So one answer never counts by itself: a change does as far as two looks, a settle window apart, show it (the
second is asked for at once). One that came and went was an incident; of two that differ, what both show
counts. An answer that leaves a coin out is weaker still: a venue may not list what is zero, and an incident
may not list what is there, so that must last.

At a start nothing is known to compare with: two looks must be the same, or the middle one of three counts. By
then a second look is under way for the coins that are traded, so nothing waits longer where both agree.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from node.truth.settings import Settings

LOOKS = 3  # without two that are the same, before the middle one counts


@dataclass(slots=True)
class Other:
    """`amount` is what counts, None before anything does."""

    amount: Decimal | None = None
    looks: list[Decimal] = field(default_factory=list)  # while nothing counts
    first: Decimal | None = None  # a change that one look showed
    read_ns: int = 0  # when the last of these was here
    is_named: bool = True  # by the answer with the change

    def learn(self, value: Decimal, left_ns: int, read_ns: int, apart_ns: int, dust: Decimal) -> None:
        if self.looks and left_ns < self.read_ns + apart_ns:
            return
        same = any(abs(x - value) <= dust for x in self.looks)
        self.looks.append(value)
        self.read_ns = read_ns
        if same or len(self.looks) == LOOKS:
            self.amount = value if same else sorted(self.looks)[LOOKS // 2]

    def look(self, value: Decimal, left_ns: int, read_ns: int, apart_ns: int, dust: Decimal) -> None:
        """Once something counts: the less of what two looks show, where both are on the same side."""
        assert self.amount is not None
        if abs(value - self.amount) <= dust:
            self.first = None
        elif self.first is None or (value > self.amount) != (self.first > self.amount):
            self.first, self.read_ns = value, read_ns
        elif left_ns >= self.read_ns + apart_ns:
            self.amount = min(value, self.first) if value > self.amount else max(value, self.first)
            self.first = None


class Others:
    """Of one purse, by name."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.coins: dict[str, Other] = {}

    def look(
        self, name: str, value: Decimal, left_ns: int, read_ns: int, *, is_named: bool, dust: Decimal
    ) -> None:
        """What an answer that left and was read at these times shows of a coin, without what is explained of
        it; within `dust` it is the same. Not `is_named`: the answer leaves the coin out."""
        coin = self.coins.setdefault(name, Other())
        coin.is_named = is_named
        if coin.amount is None:
            coin.learn(value, left_ns, read_ns, self.settings.start_settle_ns, dust)
        else:
            apart_ns = self.settings.settle_ns if is_named else self.settings.absent_ns
            coin.look(value, left_ns, read_ns, apart_ns, dust)

    def nearest(self, name: str, values: list[Decimal]) -> Decimal:
        """Of what an answer may mean, where it was made while something moved the coin: what counts, or all
        of it."""
        amount = self.coins[name].amount if name in self.coins else None
        return values[-1] if amount is None else min(values, key=lambda x: abs(x - amount))

    def amounts(self) -> dict[str, Decimal]:
        """What counts, as far as it is known."""
        return {name: x.amount for name, x in self.coins.items() if x.amount is not None}

    @property
    def is_learning(self) -> bool:
        return any(x.amount is None for x in self.coins.values())

    @property
    def is_open(self) -> bool:
        """Another look is wanted soon; not for a coin that is left out: that must last anyway."""
        return self.is_learning or any(x.first is not None and x.is_named for x in self.coins.values())

"""A difference between two books that must stay what it is: it counts when it was seen twice."""

from decimal import Decimal

Value = Decimal | int


class Steady:
    """`base` is what the difference must be (None: learn it). News may be under way when a look is taken,
    so a new value counts only where a second look, whose request left `settle_ns` behind the first, shows
    the same one; and it ends only when two looks agree."""

    def __init__(self, settle_ns: int, base: Value | None = None):
        self.settle_ns, self.base = settle_ns, base
        self.drift: Value | None = None  # difference from the base, where it counts
        self.agreed_ns = 0  # when the last look that agreed was taken
        self._first: tuple[Value, int] | None = None
        self._agreed = 0

    def look(self, value: Value, left_ns: int, read_ns: int, dust: Value = 0) -> None:
        """A look whose request left at `left_ns` and was read at `read_ns`; `dust` is what rounding may
        do."""
        if self.base is None:
            if self._again(value, left_ns, read_ns, dust):
                self.base, self.agreed_ns = value, read_ns
        elif _near(value, self.base, dust):
            self._first = None
            self._agree(read_ns)
        else:
            self._agreed = 0
            if self._again(value, left_ns, read_ns, dust):
                self.drift = value - self.base

    def _again(self, value: Value, left_ns: int, read_ns: int, dust: Value) -> bool:
        """True where this value was seen before, a settle window ago."""
        if self._first is None or not _near(value, self._first[0], dust):
            self._first = (value, read_ns)
            return False
        if left_ns < self._first[1] + self.settle_ns:
            return False
        if self.base is None:
            self._first = None
        return True

    def _agree(self, read_ns: int) -> None:
        self._agreed += 1
        self.agreed_ns = read_ns
        if self._agreed >= 2:
            self.drift = None

    def rebase(self, base: Value) -> None:
        """The difference was explained: this is what it must be from now on."""
        self.base, self.drift, self._first, self._agreed = base, None, None, 0

    @property
    def since_ns(self) -> int:
        """When a difference that does not count yet was first seen; 0 where there is none."""
        return self._first[1] if self._first is not None else 0

    @property
    def is_open(self) -> bool:
        """Not known yet, not agreed, or on the way back: another look is wanted."""
        return self.base is None or self._first is not None or self.drift is not None


def _near(one: Value, other: Value, dust: Value) -> bool:
    return abs(Decimal(one) - Decimal(other)) <= dust

"""An instrument as a tape names it: ticks, lots and checks in the units of people. Exact: no floats."""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from ext.records import HaltReason, Latch, StrategyOff, WindowKind

E8 = Decimal("1e-8")
MOST = 1 << 47  # the highest price that the gate knows: no limit
NEVER_NS = 10 * 365 * 86_400 * 10**9
WIDE = Context(prec=60)
LOTS = {"SIZE_MIN", "SIZE_MAX", "SIZE_STEP", "POSITION", "UNKNOWN_NOTIONAL", "EXIT_PENDING"}
TICKS = {"PRICE_RANGE", "PRICE_STEP", "POST_ONLY_CROSS", "SELF_TRADE", "TRIGGER", "BOOK_CROSSED"}
QUOTE = {"NOTIONAL_MIN", "NOTIONAL_MAX", "OPEN_NOTIONAL"}
OWN = {"COIN", "VENUE", "TOTAL", "POSITION_LOSS", "DAILY_LOSS"}
BPS = {
    "PRICE_COLLAR", "PRICE_WALK", "SLIPPAGE", "SPREAD", "VOLATILITY", "JUMP", "FUNDING_WINDOW", "MARGIN",
    "LIQUIDATION_NEAR", "DRAWDOWN",
}  # fmt: skip
MILLI = {"LEVERAGE", "CANCEL_RATIO", "TRADE_RATIO"}
MS = {
    "BOOK_STALE",
    "RECONCILE_STALE",
    "CLOCK",
    "UNWATCHED",
    "COOLDOWN",
    "DUPLICATE",
    "ORDER_RATE",
    "AMEND_RATE",
    "CANCEL_RATE",
    "LEASE",
    "VENUE_RATE",
}
NAMED = {
    "HALTED": HaltReason,
    "REDUCE_ONLY": HaltReason,
    "LATCHED": Latch,
    "STRATEGY_OFF": StrategyOff,
    "WINDOW": WindowKind,
}
SIGNS = {
    "AT_MOST": "<=",
    "AT_LEAST": ">=",
    "BELOW": "<",
    "ABOVE": ">",
    "MULTIPLE": "multiple of",
    "HOLDS": "",
}
BOOK_STATES = ("empty", "buffering", "synced", "gap")


def plain(number: Decimal) -> str:
    """A decimal in digits, without an exponent and without zeros that say nothing."""
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


@dataclass(frozen=True)
class Place:
    """One instrument of a run. `tick`, `lot` as text; a price is ticks * tick in `quote`; money of ticks
    * lots is exact; `base_lot` is what a lot is in `base` coins."""

    market: str
    symbol: str
    tick: Decimal
    lot: Decimal
    money_mul: int
    money_div: int
    base: str = ""
    quote: str = ""
    is_perpetual: bool = False

    @property
    def name(self) -> str:
        return f"{self.market} {self.symbol}"

    @property
    def base_lot(self) -> Decimal:
        """Base coins of one lot: a tick times a lot is tick * base_lot of quote."""
        return WIDE.divide(Decimal(self.money_mul), self.money_div * 10**8 * self.tick).normalize(WIDE)

    def price(self, ticks: int) -> Decimal:
        return ticks * self.tick

    def coins(self, lots: int) -> Decimal:
        return WIDE.multiply(lots, self.base_lot)

    def money(self, tick_lots: int) -> Decimal:
        """Quote coins of an amount in ticks * lots."""
        return WIDE.divide(Decimal(tick_lots * self.money_mul), self.money_div * 10**8)

    def check(self, row: dict[str, Any]) -> dict[str, Any]:
        """A check of a DECISION (records.decision_row), or {reason, value, limit} of a refusal, in the
        unit of people: {check, value, sense, limit, unit}, the numbers as exact text."""
        reason, sense = row["reason"], SIGNS[row.get("sense", "HOLDS")]
        unit, value, limit = self._figures(row)
        return {"check": reason, "value": value, "sense": sense, "limit": limit, "unit": unit}

    def _never(self, row: dict[str, Any]) -> tuple[str, str]:
        """Times of what never was."""
        value, limit = row["value"], row["limit"]
        shown = "none" if value < 0 else "never" if value > NEVER_NS else plain(Decimal(value) / 10**6)
        return shown, plain(Decimal(limit) / 10**6)

    def _figures(self, row: dict[str, Any]) -> tuple[str, str, str]:
        reason, value, limit, whole = row["reason"], row["value"], row["limit"], row.get("whole", 0)
        if reason in LOTS:
            return self.base or "base coins", plain(self.coins(value)), plain(self.coins(limit))
        if reason in TICKS:
            return (
                self.quote or "price",
                plain(self.price(value)),
                "none" if limit in (0, MOST) else plain(self.price(limit)),
            )
        if whole == -1:
            return self.quote or "quote coins", plain(self.money(value)), plain(limit * E8)
        if reason in QUOTE or reason in OWN:
            unit = (self.quote or "quote coins") if reason in QUOTE else "account currency"
            return unit, plain(value * E8), plain(limit * E8)
        if reason in MILLI:
            return "times", _share(value, whole or 1000, 1), plain(Decimal(limit) / 1000)
        if reason in BPS or (reason == "NO_REFERENCE" and limit > 1):
            return "bps", _share(value, whole or 1_000_000, 10_000), plain(Decimal(limit) / 100)
        if reason in MS:
            return "ms", *self._never(row)
        if reason in NAMED:
            return "", _named(reason, value), "none"
        if reason == "BOOK_UNSYNCED":
            return "", BOOK_STATES[value], BOOK_STATES[limit]
        return "", str(value), str(limit)


def _share(part: int, whole: int, of: int) -> str:
    """part / whole in units of 1 / of, to two decimals."""
    return plain(WIDE.divide(Decimal(part * of), whole).quantize(Decimal("0.01"), ROUND_HALF_EVEN))


def _named(reason: str, value: int) -> str:
    if value < 0 or (value == 0 and reason != "WINDOW"):
        return "none"
    known = {int(number): name for name, number in NAMED[reason].__members__.items()}
    return known.get(value, str(value))


def place_of(told: dict[str, Any]) -> Place:
    """An instrument of a CONFIG record."""
    row = told.get("row", {})
    return Place(
        told["market"],
        told["symbol"],
        Decimal(told["tick"]),
        Decimal(told["lot"]),
        told["money_mul"],
        told["money_div"],
        row.get("base", ""),
        row.get("quote", ""),
        row.get("is_perpetual", False),
    )

"""What an account is allowed to do, whatever its owner's limits say: venues, products, leverage,
positions, times.

A profile is a TOML file with every field (`deploy/profiles/`); [compliance] names one and may replace single
fields. Where a profile and a limit differ, the tighter one is in force; what a profile forbids cannot be
configured.
Time rules are wall-clock times of a zone; the gate gets them as absolute intervals, so that it needs no
calendar.
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from ext.records import WindowKind
from node.errors import UserError
from node.reading import read_toml, typed

PROFILES = Path(__file__).parents[1] / "deploy" / "profiles"
SHIPPED = ("unrestricted", "retail")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
AHEAD_DAYS = 400  # how far time rules are spelled out
SEC = 10**9
CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"
Meta = msgspec.Meta
Off = Literal["off"]
Between = Annotated[
    str,
    Meta(
        pattern=f"^{CLOCK}-({CLOCK}|24:00)\\Z",
        description='two times of day, such as "21:55-22:00"; the second may be 24:00, the end of the day',
    ),
]
MoneyOrOff = Annotated[
    str,
    Meta(
        pattern=r"^(off|[0-9]{1,18}(\.[0-9]{1,18})?)\Z",
        description='a plain number in quotes, in quote currency, such as "1000", or "off"',
    ),
]
Leverage = Annotated[
    str,
    Meta(
        pattern=r"^(?=.*[1-9])[0-9]{1,3}(\.[0-9]{1,3})?\Z",
        description='a plain number above 0 in quotes, such as "2"',
    ),
]


def _whole(least: int, most: int, unit: str) -> Meta:
    return Meta(ge=least, le=most, description=f"a whole number of {unit}, {least} to {most}")


class TimeRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From the first time until the second, on these days (of the first), by the clocks of `zone`. The second
    is not part of it: a rule that ends at 23:59 leaves a minute open, one that ends at 24:00 none."""

    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]]
    between: Between
    zone: str


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that a profile rules; `deploy/profiles/*.toml` say what each field means."""

    venues: list[str]
    products: list[Literal["spot", "perpetual"]]
    max_leverage_perpetual: Annotated[int, _whole(1, 125, "times")]
    max_leverage: Leverage
    max_coin_quote: MoneyOrOff
    max_total_quote: MoneyOrOff
    no_new: list[TimeRule]
    flat_by: list[TimeRule]
    max_day_trades: Annotated[int, _whole(0, 1000, "round trips")] | Off
    day_trade_days: Annotated[int, _whole(1, 30, "days")]
    day_trades_below_quote: MoneyOrOff
    max_orders_per_trade: Annotated[int, _whole(1, 10_000, "orders")] | Off

    def check(self, where: str, instruments: list[tuple[str, str, bool]]) -> None:
        """Is every instrument (market, symbol, is a perpetual) allowed? Raises UserError."""
        for market, symbol, perpetual in instruments:
            place = f"{where}: instrument {market} {symbol}"
            if "all" not in self.venues and market not in self.venues:
                names = ", ".join(self.venues) or "none"
                raise UserError(
                    f"{place}: the compliance profile allows no {market} (venues: {names}); remove it"
                )
            product = "perpetual" if perpetual else "spot"
            if product not in self.products:
                names = ", ".join(self.products) or "none"
                raise UserError(
                    f"{place}: the compliance profile allows no {product} (products: {names}); remove it"
                )

    def windows(self, now_ns: int, days: int = AHEAD_DAYS) -> list[tuple[int, int, int]]:
        """Time rules as [from, until) since 1970 with their WindowKind, from `now_ns` on, in order, none
        overlapping another of its kind."""
        out = []
        for kind, rules in ((WindowKind.NO_NEW, self.no_new), (WindowKind.FLAT, self.flat_by)):
            spans = sorted(span for rule in rules for span in _spans(rule, now_ns, days))
            out += [(start, end, int(kind)) for start, end in _joined(spans)]
        return sorted(out)


class Compliance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """[compliance]: a profile, and what replaces single fields of it."""

    profile: Annotated[
        str, Meta(min_length=1, description='"unrestricted", "retail" or the path of a profile')
    ]
    venues: list[str] | None = None
    products: list[Literal["spot", "perpetual"]] | None = None
    max_leverage_perpetual: Annotated[int, _whole(1, 125, "times")] | None = None
    max_leverage: Leverage | None = None
    max_coin_quote: MoneyOrOff | None = None
    max_total_quote: MoneyOrOff | None = None
    no_new: list[TimeRule] | None = None
    flat_by: list[TimeRule] | None = None
    max_day_trades: Annotated[int, _whole(0, 1000, "round trips")] | Off | None = None
    day_trade_days: Annotated[int, _whole(1, 30, "days")] | None = None
    day_trades_below_quote: MoneyOrOff | None = None
    max_orders_per_trade: Annotated[int, _whole(1, 10_000, "orders")] | Off | None = None


def profile_of(config: Compliance | None, where: str, folder: Path | None = None) -> Profile | None:
    """The profile that [compliance] means, its own fields replaced; a path is relative to `folder`. Raises
    UserError naming file and key."""
    if config is None:
        return None
    path = PROFILES / f"{config.profile}.toml"
    if config.profile not in SHIPPED:
        if not config.profile.endswith(".toml"):
            raise UserError(
                f"{where}: compliance: profile {config.profile!r}: must be "
                f"{', '.join(SHIPPED)} or a path that ends in .toml"
            )
        path = (folder or Path()) / Path(config.profile).expanduser()
    profile = typed(read_toml(path), Profile, str(path))
    _check_rules(profile, str(path))
    own = {x: getattr(config, x) for x in Profile.__struct_fields__ if getattr(config, x) is not None}
    profile = msgspec.structs.replace(profile, **own)
    _check_rules(profile, f"{where}: compliance")
    return profile


def _check_rules(profile: Profile, where: str) -> None:
    for name in ("no_new", "flat_by"):
        for i, rule in enumerate(getattr(profile, name)):
            zone_of(rule, f"{where}: {name}[{i}]")
            if not rule.days:
                raise UserError(f"{where}: {name}[{i}]: days: must name at least one of {', '.join(DAYS)}")
            start, _, end = rule.between.partition("-")
            if start == end:
                raise UserError(
                    f"{where}: {name}[{i}]: between {rule.between!r}: is no time at all; for a "
                    f"day give 00:00-24:00"
                )


def zone_of(rule: TimeRule, place: str) -> ZoneInfo:
    """Raises UserError where nobody knows the zone."""
    try:
        return ZoneInfo(rule.zone)
    except (OSError, ValueError, KeyError):  # a directory, no name at all, a name that is not there
        raise UserError(
            f'{place}: zone {rule.zone!r}: is none that is known here; give one such as "Europe/Berlin" '
            "(where there are none at all, install the package tzdata)"
        ) from None


def _spans(rule: TimeRule, now_ns: int, days: int) -> list[tuple[int, int]]:
    zone = zone_of(rule, "time rule")
    today = datetime.fromtimestamp(now_ns // SEC, UTC).astimezone(zone).date()
    first, _, last = rule.between.partition("-")
    last = "00:00" if last == "24:00" else last  # of the day behind it, as any end that is before its start
    out = []
    for n in range(-2, days + 1):  # one that began the day before yesterday may still hold
        day = today + timedelta(days=n)
        if DAYS[day.weekday()] in rule.days:
            over = day + timedelta(days=1) if last <= first else day
            span = (min(_instants(day, first, zone)), max(_instants(over, last, zone)))
            if span[1] > now_ns:
                out.append(span)
    return out


def _instants(day: date, clock: str, zone: ZoneInfo) -> tuple[int, int]:
    """When clocks show this: twice where they go back, and around the gap where they go forward. A rule holds
    over both."""
    hour, minute = map(int, clock.split(":"))
    shown = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
    first, second = (int(shown.replace(fold=fold).timestamp()) * SEC for fold in (0, 1))
    return first, second


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for start, end in spans:
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out


def tighter(*values: Any) -> Any:
    """The smallest of some limits; "off" is larger than any number."""
    numbers = [x for x in values if x != "off"]
    return min(numbers) if numbers else "off"

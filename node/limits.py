"""The limits that are really in force: a config's numbers on the venues' grids, under its compliance profile.

They are kept as the config spells them (base coins, quote currency, basis points), so that a person can
compare them from
one run to the next; `apply` hands them to the gate in lots, 1e-8 and millionths. Must not know: sockets,
tapes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import msgspec

from ext.engine import Engine
from ext.instruments import Instruments
from ext.records import StopPolicy
from node.amounts import base_per_lot
from node.compliance import Profile, TimeRule, tighter
from node.config import MARKETS, OFF, Config, InstrumentConfig, is_perpetual
from node.errors import HeldBack, UserError
from node.venues.values import InstrumentRow

Tables = dict[str, dict[str, Any]]  # scope -> key -> value, as JSON can hold it
Numbers = dict[tuple[int, str], int]
E8, BPS_PPM, MS, SEC = 10**8, 100, 10**6, 10**9
LOOSER_MOST = (
    2  # a limit may become so many times looser from one run to the next without a word of acceptance
)
WINDOWS_MOST = 64  # that the gate holds
SIZES = ("max_order_base", "max_position_base")
WORDS = ("cancel", "reduce", "flatten")  # weakest first
# What grows tighter as it grows; everything else grows looser.
TIGHTER_UP = {
    "collar_walk_s", "range_s", "jump_ms", "jump_pause_s", "duplicate_ms", "funding_window_s",
    "maintenance_bps", "min_margin_free_bps", "min_liquidation_bps", "window_ms", "cancels_window_s",
    "repeat_window_s", "cooldown_s", "delisting_flat_min", "day_trade_days", "day_trades_below_quote",
}  # fmt: skip
# ... and what may not change while a node runs: a replay would not know of it.
AT_START = {"leverage", "maintenance_bps"}
NO_LIMIT = {"exit_retry_ms"}  # neither tighter nor looser
ZERO_IS_NONE = {"protect_bps"}  # 0 says that there is none
OFF_IS_ALWAYS = {"day_trades_below_quote"}  # "off" is the tightest


@dataclass(frozen=True, slots=True)
class Change:
    """A limit that differs from the last run's. `ratio`: how many times looser, None where no number says
    it."""

    scope: str
    key: str
    old: Any
    new: Any
    ratio: Decimal | None

    @property
    def is_looser(self) -> bool:
        return self.ratio is None or self.ratio > 1

    @property
    def is_much_looser(self) -> bool:
        return self.ratio is None or self.ratio > LOOSER_MOST

    def to_json(self) -> dict[str, Any]:
        ratio = None if self.ratio is None else float(round(self.ratio, 3))
        return {"scope": self.scope, "key": self.key, "old": self.old, "new": self.new, "ratio": ratio}


class LooserLimits(HeldBack):
    """Limits are looser than in the last run by more than a person should have to notice."""

    def __init__(self, changes: list[Change]):
        first = changes[0]
        more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
        super().__init__(
            f"limits are more than {LOOSER_MOST} times looser than in the last run: "
            f"{first.scope}: {first.key} "
            f"{first.old} -> {first.new}{more}; lower them, or start once with --accept-limits"
        )
        self.changes = changes


@dataclass(frozen=True)
class Effective:
    """`tables`: what is in force; `clamped`: (scope, key) -> what the config asked for, where the profile
    is tighter."""

    tables: Tables
    clamped: dict[tuple[str, str], Any]
    profile: Profile | None


# ---- what is in force ----


def effective_limits(
    config: Config,
    profile: Profile | None,
    rows: dict[tuple[int, str], InstrumentRow],
    instruments: Instruments,
    numbers: Numbers,
) -> Effective:
    """The config's limits on the grids of these instruments, under the profile. Raises UserError naming
    instrument, key and
    fix where they do not fit."""
    tables: Tables = {}
    clamped: dict[tuple[str, str], Any] = {}
    for x in config.instrument:
        place = MARKETS[x.market], x.symbol
        if x.limits is not None:
            tables[f"{x.market} {x.symbol}"] = _instrument(
                x, rows[place], instruments, numbers[place], profile
            )
    for name in ("account", "rate", "stops"):
        table = getattr(config, name)
        if table is not None:
            tables[name] = msgspec.to_builtins(table)
    if profile is not None:
        tables["compliance"] = _compliance(profile)
        if "account" in tables:
            _clamp(tables["account"], profile, clamped)
    return Effective(tables, clamped, profile)


def _instrument(
    x: InstrumentConfig, row: InstrumentRow, instruments: Instruments, number: int, profile: Profile | None
) -> dict[str, Any]:
    place = f"{x.market} {x.symbol}"
    if row.is_perpetual != is_perpetual(x.market, x.symbol):
        told = "a perpetual" if row.is_perpetual else "spot, or dated"
        raise UserError(f"{place}: the venue lists it as {told}: this product is not traded; remove it")
    if x.leverage is not None:
        most = Decimal(row.max_leverage or 0)
        if most and x.leverage > most:
            raise UserError(f"{place}: leverage {x.leverage}: the venue sells at most {most:f}; lower it")
        if profile is not None and x.leverage > profile.max_leverage_perpetual:
            raise UserError(
                f"{place}: leverage {x.leverage}: the compliance profile allows "
                f"{profile.max_leverage_perpetual}; "
                "lower it, here and at the venue"
            )
    limits = {k: v for k, v in msgspec.to_builtins(x.limits).items() if v is not None}
    for key in SIZES:
        limits[key] = f"{_whole_lots(instruments, number, place, key, limits[key]):f}"
    return limits if x.leverage is None else {"leverage": x.leverage, **limits}


def lots_of(instruments: Instruments, number: int, base: str) -> int:
    """A size in base coins in whole lots, rounded down."""
    return int((Decimal(base) / base_per_lot(instruments, number)).to_integral_value(ROUND_FLOOR))


def _whole_lots(instruments: Instruments, number: int, place: str, key: str, text: str) -> Decimal:
    """What is left of a size when it is rounded down to what can be ordered. Raises UserError where that
    is nothing."""
    row = instruments.row(number)
    lot = base_per_lot(instruments, number)
    least = max(row["lot_step"], row["min_size_lots"])
    lots = lots_of(instruments, number, text)
    if lots < least:
        raise UserError(
            f'{place}: limits: {key} {text!r}: is less than the smallest order; "{lot * least:f}" works'
        )
    if lots > 2**47:
        raise UserError(f"{place}: limits: {key} {text!r}: is beyond any order there can be; make it smaller")
    return (lots // row["lot_step"] * row["lot_step"]) * lot


def _clamp(account: dict[str, Any], profile: Profile, clamped: dict[tuple[str, str], Any]) -> None:
    """The tighter of account and profile wins."""
    for key in ("max_leverage", "max_coin_quote", "max_total_quote"):
        asked = account[key]
        best = tighter(*(OFF if v == OFF else Decimal(v) for v in (asked, getattr(profile, key))))
        account[key] = OFF if best == OFF else f"{best:f}"
        if (asked == OFF and best != OFF) or (OFF not in (asked, best) and best < Decimal(asked)):
            clamped["account", key] = asked


def _compliance(profile: Profile) -> dict[str, Any]:
    told: dict[str, Any] = {
        x: getattr(profile, x)
        for x in ("max_day_trades", "day_trade_days", "day_trades_below_quote", "max_orders_per_trade")
    }
    for name in ("no_new", "flat_by"):
        told[name] = sorted(_rule(x) for x in getattr(profile, name))
    return told


def _rule(rule: TimeRule) -> str:
    return f"{','.join(rule.days)} {rule.between} {rule.zone}"


# ---- against the last run ----


def changes(old: Tables, new: Tables) -> list[Change]:
    """What differs for the looser or the tighter. A scope that only one of them has is not compared: `old`
    are the last limits of every scope there was on the tape, `new_scopes` tells of those that never were."""
    out = []
    for scope in old.keys() & new.keys():
        for key in old[scope].keys() | new[scope].keys():
            before, after = old[scope].get(key, OFF), new[scope].get(key, OFF)
            if before != after and key not in NO_LIMIT:
                out.append(Change(scope, key, before, after, _ratio(key, before, after)))
    return sorted(out, key=lambda x: (x.scope, x.key))


def new_scopes(old: Tables, new: Tables) -> list[str]:
    """What there are limits for now and never were on this tape."""
    return sorted(new.keys() - old.keys())


def _ratio(key: str, old: Any, new: Any) -> Decimal | None:
    """How many times looser `new` is: 1 where it is no looser, None where it is so without a number."""
    if isinstance(old, list) or isinstance(new, list):  # time rules: one that is gone
        return None if not isinstance(new, list) or set(old) - set(new) else Decimal(1)
    if old in WORDS and new in WORDS:
        return None if WORDS.index(new) < WORDS.index(old) else Decimal(1)
    before, after = _number(key, old), _number(key, new)
    if before is None:  # there was none: any number is tighter
        return Decimal(1)
    if after is None:
        return None
    if key in OFF_IS_ALWAYS and OFF in (old, new):
        return None if old == OFF else Decimal(1)
    if key in TIGHTER_UP:
        before, after = after, before
    if before == 0:
        return None if after else Decimal(1)
    return after / before


def _number(key: str, value: Any) -> Decimal | None:
    """A limit as a number; None where there is no limit."""
    if value == OFF:
        return Decimal(0) if key in OFF_IS_ALWAYS else None
    number = Decimal(value)
    return None if number == 0 and key in ZERO_IS_NONE else number


# ---- to the gate ----


def apply(effective: Effective, gate: Any, instruments: Instruments, numbers: Numbers, now_ns: int) -> None:
    """Set every limit of `gate`, a RiskGate or a LimitTable. Raises UserError where a number is above what is
    compiled in."""
    tables = effective.tables
    for scope, table in tables.items():
        try:
            if " " in scope:
                market, symbol = scope.split(" ", 1)
                _apply_instrument(gate, instruments, numbers[MARKETS[market], symbol], table)
            elif scope in APPLY:
                APPLY[scope](gate, table)
        except (ValueError, OverflowError) as error:
            raise UserError(f"{scope}: limits: {error}") from None
    _apply_flow(gate, tables)
    if effective.profile is not None:
        gate.set_windows(effective.profile.windows(now_ns)[:WINDOWS_MOST])


def apply_stops(effective: Effective, engine: Engine, numbers: Numbers) -> None:
    """What stops do, and what margin is reckoned with: before the first frame only."""
    stops = effective.tables.get("stops")
    for scope, table in effective.tables.items():
        if " " in scope:
            market, symbol = scope.split(" ", 1)
            number = numbers[MARKETS[market], symbol]
            maintenance_ppm = table.get("maintenance_bps", 0) * BPS_PPM
            engine.equity.set_row(number, table.get("leverage", 1), maintenance_ppm)
            if stops is not None and "leverage" in table:
                engine.stops.protect(number, stops["protect_bps"] * BPS_PPM)
    if stops is not None:
        _apply_stops(engine, stops)


def _e8(value: Any) -> int:
    return -1 if value == OFF else int(Decimal(value).scaleb(8))


def _ppm(value: Any) -> int:
    return -1 if value == OFF else value * BPS_PPM


def _count(value: Any, scale: int = 1) -> int:
    return -1 if value == OFF else value * scale


def _apply_instrument(gate: Any, instruments: Instruments, number: int, table: dict[str, Any]) -> None:
    def size(key: str) -> int:
        return lots_of(instruments, number, table[key])

    gate.set_limits(
        number,
        max_size_lots=size("max_order_base"),
        max_notional_e8=_e8(table["max_order_quote"]),
        max_position_lots=size("max_position_base"),
        collar_ppm=_ppm(table["collar_bps"]),
        stale_ns=table["stale_ms"] * MS,
        max_open_orders=table["max_open_orders"],
        duplicate_ns=table["duplicate_ms"] * MS,
        max_open_notional_e8=_e8(table["max_open_quote"]),
        walk_ppm=_ppm(table["collar_walk_bps"]),
        walk_ns=table["collar_walk_s"] * SEC,
        slippage_ppm=_ppm(table["max_slippage_bps"]),
        spread_ppm=_ppm(table["max_spread_bps"]),
        range_ppm=_ppm(table["max_range_bps"]),
        range_ns=table["range_s"] * SEC,
        jump_ppm=_ppm(table["max_jump_bps"]),
        jump_ns=table["jump_ms"] * MS,
        jump_pause_ns=table["jump_pause_s"] * SEC,
        max_loss_e8=_e8(table["max_position_loss_quote"]),
        funding_ppm=_ppm(table.get("funding_max_bps", OFF)),
        funding_ns=table["funding_window_s"] * SEC,
        leverage=table.get("leverage", 0),
        maintenance_ppm=table.get("maintenance_bps", 0) * BPS_PPM,
    )


def _apply_account(gate: Any, table: dict[str, Any]) -> None:
    gate.set_account(
        max_open_orders=table["max_open_orders"],
        max_coin_e8=_e8(table["max_coin_quote"]),
        max_venue_e8=_e8(table["max_venue_quote"]),
        max_total_e8=_e8(table["max_total_quote"]),
        max_leverage_milli=int(Decimal(table["max_leverage"]) * 1000),
        margin_free_ppm=_ppm(table["min_margin_free_bps"]),
        liquidation_ppm=_ppm(table["min_liquidation_bps"]),
        max_daily_loss_e8=_e8(table["max_daily_loss_quote"]),
        max_drawdown_ppm=_ppm(table["max_drawdown_bps"]),
    )


def _apply_rate(gate: Any, table: dict[str, Any]) -> None:
    window_ns = table["window_ms"] * MS
    gate.set_rate(table["orders"], window_ns, _count(table["amends"]), _count(table["cancels"]))
    gate.set_repeat(
        fills=_count(table["max_same_side_fills"]),
        trips=_count(table["max_round_trips"]),
        window_ns=table["repeat_window_s"] * SEC,
    )


def _apply_flow(gate: Any, tables: Tables) -> None:
    """Cancels to fills are a limit of the owner's, orders to trades one of the profile's."""
    rate, rules = tables.get("rate", {}), tables.get("compliance", {})
    gate.set_flow(
        cancel_ratio_milli=_count(rate.get("max_cancels_per_fill", OFF), 1000),
        cancel_ratio_ns=rate.get("cancels_window_s", 0) * SEC,
        trade_ratio_milli=_count(rules.get("max_orders_per_trade", OFF), 1000),
    )


def _apply_stops(engine: Engine, table: dict[str, Any]) -> None:
    policies = {
        name: int(StopPolicy[f"STOP_{table[name].upper()}"])
        for name in ("on_position_loss", "on_daily_loss", "on_drawdown", "on_margin")
    }
    slippage_ppm = table["exit_slippage_bps"] * BPS_PPM
    engine.risk.set_exit(slippage_ppm)  # the gate holds exits to the bound that they are priced with
    engine.stops.set(
        exit_slippage_ppm=slippage_ppm,
        exit_retry_ns=table["exit_retry_ms"] * MS,
        cooldown_ns=table["cooldown_s"] * SEC,
        **policies,
    )


def _apply_compliance(gate: Any, table: dict[str, Any]) -> None:
    gate.set_day_trades(
        _count(table["max_day_trades"]), table["day_trade_days"], _e8(table["day_trades_below_quote"])
    )


APPLY: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "account": _apply_account,
    "rate": _apply_rate,
    "compliance": _apply_compliance,
}

"""One TOML file -> one frozen, typed tree. Unknown keys and missing limits are errors that name their place.

Sizes are in base coins on every venue, money in the quote currency, both as decimal text ("0.001"), so that
they reach the instrument's grid exactly; every key has its unit in its name. A limit has no default: one
that is not
wanted says "off", so that nothing is unlimited because a line is missing. Above every limit here there is
a ceiling that
is compiled in (`ext.limits.CEILINGS`). See `deploy/sim.toml` for an example with every key, `docs/RISK.md`
for what each does.
"""

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from ext.limits import CEILINGS
from ext.records import Market
from ext.wire import DEPLOYMENT
from node.compliance import Compliance, profile_of
from node.environment import ENVIRONMENTS, check_arm, check_environment
from node.errors import UserError
from node.reading import beside, read_toml, typed

MARKETS = {m.name.lower().replace("_", "-"): int(m) for m in Market if m != Market.MARKETS}
MODES = ("sim", "watch")
POLICIES = ("cancel", "reduce", "flatten")  # records.StopPolicy, in its order
# Book channels that carry a whole book, by market; the first of each is followed where nothing is said.
DEPTHS = {
    "binance-spot": (0,),
    "binance-usdm": (0,),
    "bybit-spot": (50, 200, 1000),
    "bybit-linear": (50, 200, 1000),
    "okx": (400, 50),
}

SIMULATED = {"seed", "venues", "ports", "control", "fault", "faults", "tls"}  # keys of simulated venues

OFF = "off"
NUMBER = r"^[0-9]{1,18}(\.[0-9]{1,18})?\Z"  # not `$`: that lets a line end behind it
ABOVE_ZERO = r"^(?=.*[1-9])[0-9]{1,18}(\.[0-9]{1,18})?\Z"
OR_OFF = r"^(off|[0-9]{1,18}(\.[0-9]{1,18})?)\Z"
HOUR_MS, DAY_S = 3_600_000, 86_400
Meta = msgspec.Meta


def _whole(least: int, most: int, unit: str) -> Meta:
    return Meta(ge=least, le=most, description=f"a whole number of {unit}, {least} to {most}")


def _bps(most: int) -> Meta:
    return Meta(ge=1, le=most, description=f"whole basis points, 1 to {most} (100 = 1 %)")


Number = Annotated[str, Meta(pattern=NUMBER, description='a plain number in quotes, such as "0.001"')]
Size = Annotated[
    str,
    Meta(pattern=ABOVE_ZERO, description='a plain number above 0 in quotes, in base coins, such as "0.001"'),
]
Money = Annotated[
    str,
    Meta(
        pattern=ABOVE_ZERO, description='a plain number above 0 in quotes, in quote currency, such as "1000"'
    ),
]
MoneyOrOff = Annotated[
    str,
    Meta(pattern=OR_OFF, description='a plain number in quotes, in quote currency, such as "1000", or "off"'),
]
Text = Annotated[str, Meta(min_length=1, description="text that is not empty")]
Milliseconds = Annotated[int, _whole(0, HOUR_MS, "milliseconds")]
Parts = Annotated[int, _whole(1, 1_000_000, "millionths")]
Off = Literal["off"]
Policy = Literal["cancel", "reduce", "flatten"]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Risk limits of one instrument. All are required. `*_bps` are of the price, of the reference or the
    mid."""

    max_order_base: Size  # one order
    max_order_quote: Money
    max_position_base: Size  # as if everything open on one side filled
    max_open_orders: Annotated[int, _whole(1, 4096, "orders")]
    max_open_quote: MoneyOrOff  # all open orders of the instrument together
    collar_bps: Annotated[int, _bps(2000)]  # a price from the reference
    collar_walk_bps: (
        Annotated[int, _bps(5000)] | Off
    )  # a price from where the reference was `collar_walk_s` ago
    collar_walk_s: Annotated[int, _whole(1, 3600, "seconds")] = 0
    max_slippage_bps: Annotated[int, _bps(2000)] | Off  # what taking costs, walking the book
    max_spread_bps: Annotated[int, _bps(2000)] | Off
    max_range_bps: Annotated[int, _bps(5000)] | Off  # of the mid within `range_s`
    range_s: Annotated[int, _whole(1, 3600, "seconds")] = 0
    max_jump_bps: Annotated[int, _bps(5000)] | Off  # of the mid within `jump_ms`; then a pause
    jump_ms: Annotated[int, _whole(1, 60_000, "milliseconds")] = 0
    jump_pause_s: Annotated[int, _whole(1, 3600, "seconds")] = 0
    stale_ms: Annotated[int, _whole(1, HOUR_MS, "milliseconds")]  # oldest book
    duplicate_ms: Milliseconds  # the same order again within this time; 0 = allowed
    max_position_loss_quote: MoneyOrOff  # open loss; also a stop
    # perpetuals only, and required there
    funding_max_bps: Annotated[int, _bps(1000)] | Off | None = None  # rate about to be paid, either sign
    funding_window_s: Annotated[int, _whole(1, DAY_S, "seconds")] = 0  # how long before the payment
    maintenance_bps: Annotated[int, _bps(5000)] | None = None  # the venue's maintenance margin at this size


class Quote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the built-in quoter quotes one instrument. `lean_base`: position at which quotes shift by one half
    spread."""

    size_base: Size
    half_spread_ppm: Parts  # millionths of the mid when quoting starts
    requote_ppm: Parts = 20
    lean_base: Number = "0"
    wait_ms: Milliseconds = 50


class InstrumentConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One instrument. `depth`: the book channel to follow (Bybit 50, 200, 1000; OKX 400; Binance 0 =
    full)."""

    market: str
    symbol: Text
    limits: Limits | None = None
    quote: Quote | None = None
    depth: int | None = None
    # what the venue must have set, and what margin is reckoned with; perpetuals only, and required there
    leverage: Annotated[int, _whole(1, 125, "times")] | None = None


class KeyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where credentials are: each is "env:NAME" or "file:PATH" (in mode sim also "plain:TEXT"), never the
    secret itself. HMAC keys have `secret` (OKX also `passphrase`), Ed25519 keys `private_key`, a PEM."""

    environment: str  # which the key was made for: the venue's must be the same
    api_key: Text
    secret: str = ""
    passphrase: str = ""
    private_key: str = ""


class Reconcile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked of the venues, and what others' orders mean."""

    foreign: str = (
        "report"  # orders of others on the account: ignore, report, halt; they count in exposure always
    )
    keep_old: bool = False  # own orders of an earlier start: keep them, or cancel them
    gone: list[str] = []  # "market SYMBOL" that the last run traded, this one does not, and a person closed
    orders_s: Annotated[int, _whole(1, 3600, "seconds")] = 10
    positions_s: Annotated[int, _whole(1, 3600, "seconds")] = 30
    balances_s: Annotated[int, _whole(1, 3600, "seconds")] = 60


class VenueConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one market is. Each address in `streams` is one redundant line. No `orders` = market data
    only."""

    market: str
    environment: str  # sim, testnet, demo, live: addresses and key must be of it
    streams: list[str]
    rest: str
    orders: str = ""
    private: str = ""  # where private streams are, if not where orders go
    key: KeyConfig | None = None
    account: str = ""  # the account that the key must be of, as the venue numbers it; "" = any
    window_ms: Annotated[int, _whole(100, 5000, "milliseconds")] = (
        1500  # how long a venue may still take an order frame
    )
    stp: str = "maker"  # self-trade prevention: expire the maker's, the taker's or both orders
    hedge: bool = False  # position mode that the account must have
    wallet: str = ""  # markets with the same name share one purse of coins (unified accounts)
    trades: bool = True  # also public trades and marks (Binance USD-M: on a second connection per line)
    # whose frames are on the tape: all, or those of orders and the account alone: then it cannot be replayed
    record_frames: Literal["all", "private"] = "all"


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits over everything. Worst case: as if every open order had filled on its side."""

    max_open_orders: Annotated[int, _whole(1, 4096, "orders")]
    max_coin_quote: MoneyOrOff  # of one coin over all venues
    max_venue_quote: MoneyOrOff  # of one venue's wallet
    max_total_quote: MoneyOrOff
    max_leverage: Money = "5"  # worst case to equity
    min_margin_free_bps: Annotated[int, _bps(10_000)] | Off  # of the equity
    min_liquidation_bps: (
        Annotated[int, _bps(10_000)] | Off
    )  # how far the price may go before the venue closes
    max_daily_loss_quote: MoneyOrOff  # since midnight UTC
    max_drawdown_bps: Annotated[int, _bps(5000)] = 1000  # from the peak
    max_strategy_faults: Annotated[int, _whole(1, 1_000_000, "faults")]


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often, over everything: so many of each in any `window_ms`."""

    orders: Annotated[int, _whole(1, 1_000_000, "orders")]
    amends: Annotated[int, _whole(1, 1_000_000, "amends")] | Off  # off: counted as orders
    cancels: Annotated[int, _whole(1, 1_000_000, "cancels")] | Off  # cancels pass, new orders wait
    window_ms: Annotated[int, _whole(1, HOUR_MS, "milliseconds")]
    max_cancels_per_fill: Annotated[int, _whole(1, 10_000, "cancels")] | Off
    cancels_window_s: Annotated[int, _whole(1, DAY_S, "seconds")] = 0
    max_same_side_fills: Annotated[int, _whole(1, 4096, "fills")] | Off  # of one strategy: then it is off
    max_round_trips: Annotated[int, _whole(1, 4096, "round trips")] | Off
    repeat_window_s: Annotated[int, _whole(1, 3600, "seconds")] = 0


class StopsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What crossing a loss limit does, in the event that crosses it."""

    on_position_loss: Policy
    on_daily_loss: Policy
    on_drawdown: Policy
    on_margin: Policy
    exit_slippage_bps: Annotated[int, _bps(2000)]  # how far from the reference an exit may be priced
    exit_retry_ms: Annotated[int, _whole(50, 60_000, "milliseconds")]
    cooldown_s: Annotated[int, _whole(0, DAY_S, "seconds")]
    protect_bps: Annotated[
        int, _whole(0, 5000, "basis points (0 = none)")
    ]  # stop orders that rest at the venue
    # before a delisting that the venue announced, positions are closed so early
    delisting_flat_min: Annotated[int, _whole(0, 10_080, "minutes (0 = the venue settles them)")] = 30


class GuardConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the guard, a process of its own, does when the node stands still, is stopped or is gone. `key`: by
    market, credentials of its own, which a fault of the node's cannot use up or lose."""

    stall_ms: Annotated[int, _whole(200, 60_000, "milliseconds")]  # silence that is too long
    on_stall: Literal["cancel", "flatten"]  # flatten: also close positions, reduce-only
    keep_stops: bool  # leave reduce-only stops at the venue while there may be a position behind them
    slippage_bps: Annotated[int, _bps(2000)] = 50  # of an exit, from the best price
    foreign: bool = (
        False  # also cancel orders that are not ours: it must then be the only user of the account
    )
    key: dict[str, KeyConfig] = {}


class ArchiveConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the archiver, a process of its own, does with the tape: makes it durable, compresses and signs
    it, and deletes what is old."""

    directory: str = ""  # relative to the config's folder; "" = `archive` in the tape's directory
    key: str = (
        ""  # of the checkpoints, an Ed25519 PEM, relative to the config's folder; "" = archive.key there
    )
    sync_ms: Annotated[int, _whole(1, 1000, "milliseconds")] = (
        5  # until a record that must last is on the disk
    )
    sync_max_ms: Annotated[int, _whole(10, 60_000, "milliseconds")] = 1000  # ... any record
    checkpoint_segments: Annotated[int, _whole(1, 10_000, "segments")] = 16
    checkpoint_minutes: Annotated[int, _whole(1, 1440, "minutes")] = 60
    keep_days: Annotated[int, _whole(0, 36_500, "days (0 = for ever)")] = 0  # of compressed segments
    keep_gb: Annotated[int, _whole(0, 1_000_000, "gigabytes (0 = no bound)")] = 0
    hot_segments: Annotated[int, _whole(1, 100_000, "segments")] = 16  # the newest, which are never deleted


class CoinConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A coin that no instrument here trades, such as one that fees are paid in: without a price, the first
    fee in it makes equity unknown, and nothing new is risked."""

    name: Annotated[str, Meta(min_length=1, max_length=15, description="a coin's name, such as BNB")]
    price_quote: Money


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole node."""

    mode: str
    venue: list[VenueConfig]
    instrument: list[InstrumentConfig]
    # limits over everything: required where orders can be sent
    account: Account | None = None
    rate: Rate | None = None
    stops: StopsConfig | None = None
    compliance: Compliance | None = None
    coin: list[CoinConfig] = []
    reconcile: Reconcile = Reconcile()
    arm: str = ""  # words without which nothing talks to real money: node.environment.ARM
    ack_timeout_ms: Annotated[int, _whole(100, 60_000, "milliseconds")] = 1000
    max_unacked: Annotated[int, _whole(1, 4096, "requests")] = 8  # requests to a market without an answer
    strategy: Text = "quoter"  # quoter, probe, none, or module:Class of your own
    strategy_timeout_ms: Annotated[int, _whole(10, 10_000, "milliseconds")] = 250  # of one call
    deployment: str = "tckg"
    loop: str = "epoll"  # or spin: never sleeps, needs a core of its own
    cpu: Annotated[int, _whole(0, 4095, "a core")] | None = None
    memory_mb: Annotated[int, _whole(0, 1_048_576, "megabytes (0 = what the system allows)")] = 0
    tape: Text = "tapes/node"  # relative to the config's folder, as `dials` is
    segment_mb: Annotated[int, _whole(1, 2047, "megabytes")] = 64
    # with less room than that on its disk nothing new is risked; left out: 16 segments
    tape_min_free_mb: Annotated[int, _whole(0, 1_000_000, "megabytes")] | None = None
    guard: GuardConfig | None = None
    archive: ArchiveConfig | None = None
    dials: str = ""  # page of numbers that expire, written by another process
    drill_after_ms: Milliseconds = (
        0  # show the gate: one order that no limit allows, this long after the first book
    )


def load(path: Path) -> Config:
    """Read and check a config file; paths become absolute. Raises UserError naming the file, the
    key and the fix."""
    told = read_toml(path)
    if told.keys() & SIMULATED and not told.keys() & {"mode", "venue", "instrument"}:
        raise UserError(
            f"{path}: this is a config of simulated venues: `tickgate sim {path}`; a node has one of its "
            "own: `tickgate run deploy/sim.toml`"
        )
    _guard_keys(told, str(path))
    config = typed(told, Config, str(path))
    if "strategy" not in told and any(x.orders for x in config.venue):
        raise UserError(
            f"{path}: missing `strategy`: orders can be sent, so say whose: quoter, probe, none or"
            " module:Class"
        )
    check(config, str(path), path.parent)
    return msgspec.structs.replace(
        config,
        tape=beside(path, config.tape),
        dials=config.dials and beside(path, config.dials),
        archive=config.archive and _archive(path, config.archive),
    )


def _guard_keys(told: dict[str, Any], where: str) -> None:
    """One by one: what is wrong with a row of a table whose keys are free does not say which one it is."""
    guard = told.get("guard")
    keys = guard.get("key") if isinstance(guard, dict) else None
    for market, key in keys.items() if isinstance(keys, dict) else ():
        if not isinstance(key, dict):
            raise UserError(f"{where}: guard.key.{market}: must be a table, as the `key` of a venue is")
        typed(key, KeyConfig, f"{where}: guard.key.{market}")


def _archive(path: Path, told: ArchiveConfig) -> ArchiveConfig:
    return msgspec.structs.replace(
        told,
        directory=told.directory and beside(path, told.directory),
        key=told.key and beside(path, told.key),
    )


def check(config: Config, where: str, folder: Path | None = None) -> None:
    """What types alone cannot say. `folder`: what a profile's path is relative to. Raises UserError."""
    one_of(where, "mode", config.mode, MODES)
    one_of(where, "loop", config.loop, ("epoll", "spin"))
    one_of(where, "reconcile: foreign", config.reconcile.foreign, ("ignore", "report", "halt"))
    for name in config.reconcile.gone:
        if name.count(" ") != 1:
            raise UserError(f'{where}: reconcile: gone: {name!r}: must be "MARKET SYMBOL"')
        one_of(where, "reconcile: gone: market", name.split(" ")[0], tuple(MARKETS))
    if ":" not in config.strategy:
        one_of(where, "strategy", config.strategy, ("quoter", "probe", "none", "module:Class"))
    if not (len(config.deployment) == 4 and set(config.deployment) <= set(DEPLOYMENT)):
        raise UserError(
            f"{where}: deployment {config.deployment!r}: must be 4 digits or lower-case consonants"
        )
    known = _venues(config, where)
    _tables(config, where, any(x.orders for x in config.venue))
    seen: set[tuple[str, str]] = set()
    for i, row in enumerate(config.instrument):
        one_of(f"{where}: instrument[{i}] {row.symbol!r}", "market", row.market, tuple(known))
        _symbol(f"{where}: instrument[{i}]", row)
        place = f"{where}: instrument[{i}] {row.symbol}"
        if (row.market, row.symbol) in seen:
            raise UserError(f"{place}: is there twice")
        seen.add((row.market, row.symbol))
        if row.depth is not None and row.depth not in DEPTHS[row.market]:
            raise UserError(
                f"{place}: depth {row.depth}: must be one of {', '.join(map(str, DEPTHS[row.market]))}"
            )
        if config.strategy != "none" and known[row.market].orders and row.limits is None:
            raise UserError(f"{place}: has no [instrument.limits]; without limits nothing may be traded")
        _instrument(place, row)
        _way_out(place, row, config.stops)
        _protects(place, row, config.stops)
    if not config.instrument:
        raise UserError(f"{where}: no [[instrument]]")
    _coins(config, where)
    protect_bps = 0 if config.stops is None else config.stops.protect_bps
    if protect_bps and not any(is_perpetual(x.market, x.symbol) for x in config.instrument):
        raise UserError(
            f"{where}: stops: protect_bps {protect_bps}: only positions of perpetuals are "
            "protected, and here is none: set it to 0"
        )
    archive = config.archive
    if archive is not None and archive.sync_max_ms < archive.sync_ms:
        raise UserError(
            f"{where}: archive: sync_max_ms {archive.sync_max_ms}: is below sync_ms {archive.sync_ms}; "
            f"raise it"
        )
    if config.guard is not None:
        _guard(config, config.guard, known, f"{where}: guard")
    profile = profile_of(config.compliance, where, folder)
    if profile is not None:
        profile.check(
            where, [(x.market, x.symbol, is_perpetual(x.market, x.symbol)) for x in config.instrument]
        )


def _coins(config: Config, where: str) -> None:
    names = [x.name for x in config.coin]
    for i, row in enumerate(config.coin):
        if row.name in names[:i]:
            raise UserError(f"{where}: coin[{i}] {row.name}: is there twice")
        if not 1 <= int(Decimal(row.price_quote).scaleb(8)) < 2**62:
            raise UserError(
                f"{where}: coin[{i}] {row.name}: price_quote {row.price_quote!r}: must be 0.00000001 or more "
                "and a price that there can be"
            )


def is_perpetual(market: str, symbol: str) -> bool:
    """Is this a product with margin and funding? (What the venue lists is compared with this at start.)"""
    return market in ("binance-usdm", "bybit-linear") or (market == "okx" and symbol.endswith("-SWAP"))


def _symbol(place: str, row: InstrumentConfig) -> None:
    """As the venue writes it: what is not can be no product, whatever else is said of it."""
    plain = row.symbol.isprintable() and " " not in row.symbol and row.symbol == row.symbol.upper()
    like = "BTC-USDT or BTC-USDT-SWAP" if row.market == "okx" else "BTCUSDT"
    coins = row.symbol.removesuffix("-SWAP").split("-") if row.market == "okx" else [row.symbol]
    if not (plain and all(coins) and len(coins) == (2 if row.market == "okx" else 1)):
        raise UserError(f"{place}: symbol {row.symbol!r}: must be as {row.market} writes it, such as {like}")


# ---- limits ----


def _tables(config: Config, where: str, trades: bool) -> None:
    """The tables over everything: there where orders can be sent, and of one piece."""
    for name in ("account", "rate", "stops", "compliance"):
        if trades and getattr(config, name) is None:
            raise UserError(f"{where}: missing [{name}]: its limits are required where orders can be sent")
    account, rate = config.account, config.rate
    if account is not None:
        place = f"{where}: account"
        _below(place, account, "max_leverage", CEILINGS["max_leverage_milli"], 1000)
        for name in ("max_coin_quote", "max_venue_quote", "max_total_quote", "max_daily_loss_quote"):
            _below(place, account, name, CEILINGS[NATIVE[name]], 10**8)
        _order(place, account, "max_coin_quote", "max_total_quote")
        _order(place, account, "max_venue_quote", "max_total_quote")
    if rate is not None:
        place = f"{where}: rate"
        _span(place, rate, "cancels_window_s", "max_cancels_per_fill")
        _span(place, rate, "repeat_window_s", "max_same_side_fills", "max_round_trips")


NATIVE = {
    "max_coin_quote": "max_coin_e8",
    "max_venue_quote": "max_venue_e8",
    "max_total_quote": "max_total_e8",
    "max_daily_loss_quote": "max_daily_loss_e8",
    "max_order_quote": "max_notional_e8",
    "max_open_quote": "max_open_notional_e8",
    "max_position_loss_quote": "max_loss_e8",
}


def _instrument(place: str, row: InstrumentConfig) -> None:
    """Limits of one instrument: below the ceilings, each with what it is measured over, none the other's
    contrary."""
    perpetual, limits = is_perpetual(row.market, row.symbol), row.limits
    if row.leverage is not None and not perpetual:
        raise UserError(f"{place}: leverage {row.leverage}: is spot and paid in full; remove it")
    if limits is None:
        return
    if perpetual and row.leverage is None:
        raise UserError(f"{place}: missing `leverage`: the whole number that the venue has set for it")
    place += ": limits"
    for name in ("max_order_quote", "max_open_quote", "max_position_loss_quote"):
        _below(place, limits, name, CEILINGS[NATIVE[name]], 10**8)
    for spans, name in (
        (("collar_walk_s",), "collar_walk_bps"),
        (("range_s",), "max_range_bps"),
        (("jump_ms", "jump_pause_s"), "max_jump_bps"),
    ):
        for span in spans:
            _span(place, limits, span, name)
    if perpetual:
        for name in ("funding_max_bps", "maintenance_bps"):
            if getattr(limits, name) is None:
                raise UserError(f"{place}: missing `{name}`: perpetuals need it")
    elif limits.funding_max_bps is not None or limits.maintenance_bps is not None:
        raise UserError(
            f"{place}: `funding_max_bps` and `maintenance_bps` are of perpetuals; this is spot: remove them"
        )
    _span(place, limits, "funding_window_s", "funding_max_bps")
    _order(place, limits, "max_order_base", "max_position_base")
    _order(place, limits, "max_order_quote", "max_open_quote")


def _way_out(place: str, row: InstrumentConfig, stops: StopsConfig | None) -> None:
    """An exit that its own collar refuses is no way out."""
    if stops is None or row.limits is None or stops.exit_slippage_bps < row.limits.collar_bps:
        return
    raise UserError(
        f"{place}: limits: collar_bps {row.limits.collar_bps}: must be above [stops] exit_slippage_bps "
        f"{stops.exit_slippage_bps}: the gate would refuse every exit; raise it or lower the other"
    )


def _protects(place: str, row: InstrumentConfig, stops: StopsConfig | None) -> None:
    """A stop behind the price at which the venue takes the position away protects nothing."""
    if stops is None or row.leverage is None or stops.protect_bps * row.leverage < 10_000:
        return
    most = (10_000 - 1) // row.leverage
    raise UserError(
        f"{place}: leverage {row.leverage}: [stops] protect_bps {stops.protect_bps} is beyond liquidation "
        f"there: make it at most {most}, or the leverage lower"
    )


def warnings(config: Config) -> list[str]:
    """What is allowed, and what a person should hear of at each start: a line each."""
    told, trades = [], [x for x in config.venue if x.orders]
    if config.guard is None and any(x.environment != "sim" for x in trades):
        told.append(
            "there is no [guard]: nobody looks after the orders of a node that stands still or is gone"
        )
    guard, timeout_ms = config.guard, config.strategy_timeout_ms
    if guard is not None and guard.stall_ms <= timeout_ms:
        told.append(
            f"guard: stall_ms {guard.stall_ms} is not above strategy_timeout_ms {timeout_ms}: the guard "
            "takes over from a node whose strategy is only slow"
        )
    caps = [x for x in Account.__struct_fields__ if x.endswith("_quote")]
    if trades and config.account is not None and all(getattr(config.account, x) == OFF for x in caps):
        told.append(f"account: {', '.join(caps)} are all off: only leverage and drawdown bound the account")
    return told


def _below(place: str, table: Any, name: str, ceiling: int, scale: int) -> None:
    value = getattr(table, name)
    if value != OFF and Decimal(value) * scale > ceiling:
        most = Decimal(ceiling) / scale
        unit = " times the equity" if name == "max_leverage" else ""
        raise UserError(
            f"{place}: {name} {value!r}: is above the ceiling of {most:f}{unit} that is compiled in; "
            f"make it smaller"
        )


def _order(place: str, table: Any, small: str, large: str) -> None:
    """A limit that another one makes pointless was not meant so."""
    low, high = getattr(table, small), getattr(table, large)
    if OFF not in (low, high) and Decimal(low) > Decimal(high):
        raise UserError(f"{place}: {small} {low!r}: is above {large} {high!r}; lower it or raise the other")


def _span(place: str, table: Any, span: str, *names: str) -> None:
    """What something is measured over is there exactly where that is asked for."""
    asked = [x for x in names if getattr(table, x) not in (OFF, None)]
    if asked and not getattr(table, span):
        raise UserError(f"{place}: missing `{span}`: `{asked[0]}` is measured with it")
    if not asked and getattr(table, span):
        ways = " and ".join(f"`{x}`" for x in names)
        raise UserError(f"{place}: {span} {getattr(table, span)}: {ways} is not asked for; remove it")


# ---- venues ----


def _venues(config: Config, where: str) -> dict[str, VenueConfig]:
    known: dict[str, VenueConfig] = {}
    for i, venue in enumerate(config.venue):
        place = f"{where}: venue[{i}]"
        one_of(place, "market", venue.market, tuple(MARKETS))
        if venue.market in known:
            raise UserError(f"{place}: {venue.market} is there twice; give several `streams` instead")
        if not venue.streams:
            raise UserError(f"{place}: `streams` is empty")
        for n, url in enumerate(venue.streams):
            _address(place, f"streams[{n}]", url, ("ws", "wss"))
        for key in ("orders", "private"):
            if getattr(venue, key):
                _address(place, key, getattr(venue, key), ("ws", "wss"))
        _address(place, "rest", venue.rest, ("http", "https"))
        if venue.orders and venue.key is None and config.mode != "watch":
            raise UserError(f"{place}: `orders` without `key`: no venue takes an order from nobody")
        if venue.orders and config.mode == "watch":
            raise UserError(f"{place}: `orders` in mode 'watch': a watching node sends none; remove it")
        _environment(config, place, venue)
        one_of(place, "stp", venue.stp, ("maker", "taker", "both"))
        if venue.key is not None:
            _references(place, venue.key, config.mode)
        known[venue.market] = venue
    return known


def _environment(config: Config, place: str, venue: VenueConfig) -> None:
    """Environment, addresses and key agree, and the mode may talk to them."""
    one_of(place, "environment", venue.environment, ENVIRONMENTS)
    urls = [x for x in [*venue.streams, venue.rest, venue.orders, venue.private] if x]
    if config.mode == "sim" and not all(map(_is_local, urls)):
        raise UserError(f"{place}: mode 'sim' talks to 127.0.0.1 only")
    key_environment = None if venue.key is None else venue.key.environment
    if venue.key is not None:
        one_of(place, "key: environment", venue.key.environment, ENVIRONMENTS)
    check_environment(place, MARKETS[venue.market], venue.environment, key_environment, urls)
    check_arm(place, venue.environment, key_environment is not None, config.arm)


def _guard(config: Config, guard: GuardConfig, known: dict[str, VenueConfig], place: str) -> None:
    """A guard that shares the node's key shares its faults: a ban, an expiry, a wrong nonce. And it must not
    take away what protects the positions that it leaves open."""
    protects = config.stops is not None and config.stops.protect_bps > 0
    if protects and guard.on_stall == "cancel" and not guard.keep_stops:
        raise UserError(
            f"{place}: keep_stops: must be true where on_stall is 'cancel' and [stops] protect_bps is "
            "above 0: without its stops a position would be left bare"
        )
    for market, key in guard.key.items():
        one_of(place, "key of market", market, tuple(known))
        _references(f"{place}: {market}", key, config.mode)
        if key.environment != known[market].environment:
            raise UserError(
                f"{place}: [guard.key.{market}]: environment {key.environment!r}: the venue's is"
                f" {known[market].environment!r}"
            )
    for market, venue in known.items():
        if venue.orders and config.mode != "sim":
            own = guard.key.get(market)
            if own is None or (venue.key is not None and own.api_key == venue.key.api_key):
                raise UserError(
                    f"{place}: [guard.key.{market}]: must be there, and not be the node's own key"
                )


def _references(place: str, key: KeyConfig, mode: str) -> None:
    """A config file is shown, copied and recorded: no secret stands in it."""
    kinds = ("env:", "file:", "plain:") if mode == "sim" else ("env:", "file:")
    for name in ("api_key", "secret", "passphrase", "private_key"):
        text = getattr(key, name)
        if text and not (text.startswith(kinds) and text.partition(":")[2]):
            ways = ", ".join(f'"{x}..."' for x in kinds)
            raise UserError(f"{place}: key: {name}: must be one of {ways}, not the text itself")
    if bool(key.secret) == bool(key.private_key):
        raise UserError(f"{place}: key: give either `secret` (HMAC) or `private_key` (Ed25519)")


def _address(place: str, key: str, url: str, schemes: tuple[str, str]) -> None:
    """Scheme, host and perhaps a port, and nothing else: what two readers of one address could read
    differently is no address."""
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        raise UserError(f"{place}: {key} {url!r} is not an address") from None
    if parts.scheme not in schemes:
        raise UserError(f"{place}: {key} {url!r} is not a {schemes[0]}:// or {schemes[1]}:// address")
    plain = url.isascii() and url.isprintable() and not set(url) & set(" \\?#@")
    if not (plain and parts.hostname and port_ok and parts.path in ("", "/")):
        raise UserError(f"{place}: {key} {url!r}: must be scheme://host:port and nothing else")


def _is_local(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def one_of(place: str, key: str, value: str, allowed: Iterable[str]) -> None:
    """UserError where `value` is not one of `allowed`."""
    names = tuple(allowed)
    if value not in names:
        raise UserError(f"{place}: {key} {value!r}: must be one of {', '.join(names)}")

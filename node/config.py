"""One TOML file -> one frozen, typed tree. Unknown keys and missing limits are errors that name their place.

Sizes, prices and money are decimal text ("0.001"), so that they reach the instrument's grid exactly; times
have their unit in the name. See `deploy/sim.toml` for an example with every key.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from ext.records import Market
from ext.wire import DEPLOYMENT
from node.errors import UserError

MARKETS = {m.name.lower().replace("_", "-"): int(m) for m in Market if m != Market.MARKETS}
MODES = ("sim", "watch")
# Book channels that carry a whole book, by market; the first of each is followed where nothing is said.
DEPTHS = {
    "binance-spot": (0,),
    "binance-usdm": (0,),
    "bybit-spot": (50, 200, 1000),
    "bybit-linear": (50, 200, 1000),
    "okx": (400, 50),
}

NUMBER = r"^[0-9]{1,18}(\.[0-9]{1,18})?$"
ABOVE_ZERO = r"^(?=.*[1-9])[0-9]{1,18}(\.[0-9]{1,18})?$"
HOUR_MS = 3_600_000
Number = Annotated[str, msgspec.Meta(pattern=NUMBER)]
Size = Annotated[str, msgspec.Meta(pattern=ABOVE_ZERO)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=HOUR_MS)]
Parts = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]  # per million


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Risk limits of one instrument. All are required: a limit that is not set would forbid everything."""

    max_size: Number
    max_notional: Number
    max_position: Number
    collar_bps: Annotated[int, msgspec.Meta(ge=0, le=2000)]
    stale_ms: Milliseconds
    max_open_orders: Annotated[int, msgspec.Meta(ge=0, le=4096)]
    duplicate_ms: Milliseconds = 0


class Quote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the built-in quoter quotes one instrument. `lean`: position at which quotes shift by one half
    spread."""

    size: Size
    half_spread_ppm: Parts  # millionths of the mid when quoting starts
    requote_ppm: Parts = 20
    lean: Number = "0"
    wait_ms: Milliseconds = 50


class InstrumentConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One instrument. `depth`: the book channel to follow (Bybit 50, 200, 1000; OKX 400; Binance 0 =
    full)."""

    market: str
    symbol: Text
    limits: Limits | None = None
    quote: Quote | None = None
    depth: int | None = None
    leverage: str = ""  # what the venue must have set; "" = any


class KeyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where credentials are: each is "env:NAME" or "file:PATH" (in mode sim also "plain:TEXT"), never the
    secret itself. HMAC keys have `secret` (OKX also `passphrase`), Ed25519 keys `private_key`, a PEM."""

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
    orders_s: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 10
    positions_s: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 30
    balances_s: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 60


class VenueConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one market is. Each address in `streams` is one redundant line. No `orders` = market data
    only."""

    market: str
    streams: list[str]
    rest: str
    orders: str = ""
    private: str = ""  # where private streams are, if not where orders go
    key: KeyConfig | None = None
    window_ms: Annotated[int, msgspec.Meta(ge=100, le=5000)] = (
        1500  # how long a venue may still take an order frame
    )
    stp: str = "maker"  # self-trade prevention: expire the maker's, the taker's or both orders
    hedge: bool = False  # position mode that the account must have
    wallet: str = ""  # markets with the same name share one purse of coins (unified accounts)
    trades: bool = True  # also public trades and marks (Binance USD-M: on a second connection per line)


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most `orders` new orders in any `window_ms`, over everything."""

    orders: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    window_ms: Annotated[int, msgspec.Meta(ge=1, le=HOUR_MS)]


class GuardConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the guard, a process of its own, does when the node stands still, is stopped or is gone. `key`: by
    market, credentials of its own, which a fault of the node's cannot use up or lose."""

    stall_ms: Annotated[int, msgspec.Meta(ge=200, le=60_000)]  # silence that is too long
    on_stall: Literal["cancel", "flatten"]  # flatten: also close positions, reduce-only
    keep_stops: bool  # leave reduce-only stops at the venue while there may be a position behind them
    slippage_bps: Annotated[int, msgspec.Meta(ge=1, le=2000)] = 50  # of an exit, from the best price
    foreign: bool = (
        False  # also cancel orders that are not ours: it must then be the only user of the account
    )
    key: dict[str, KeyConfig] = {}


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole node."""

    mode: str
    venue: list[VenueConfig]
    instrument: list[InstrumentConfig]
    rate: Rate
    reconcile: Reconcile = Reconcile()
    ack_timeout_ms: Annotated[int, msgspec.Meta(ge=100, le=60_000)] = 1000
    max_unacked: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 8  # requests to a market without an answer
    strategy: Text = "quoter"  # quoter, probe, none, or module:Class of your own
    strategy_timeout_ms: Annotated[int, msgspec.Meta(ge=10, le=10_000)] = 250  # of one call
    deployment: str = "tckg"
    loop: str = "epoll"  # or spin: never sleeps, needs a core of its own
    cpu: Annotated[int, msgspec.Meta(ge=0, le=4095)] | None = None
    tape: Text = "tapes/node"
    segment_mb: Annotated[int, msgspec.Meta(ge=1, le=2047)] = 64
    guard: GuardConfig | None = None
    dials: str = ""  # page of numbers that expire, written by another process
    drill_after_ms: Milliseconds = (
        0  # show the gate: one order that no limit allows, this long after the first book
    )


def load(path: Path) -> Config:
    """Read and check a config file. Raises UserError naming the file, the key and the fix."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        config = msgspec.convert(tomllib.loads(text.decode()), Config)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not TOML: {error}") from None
    except RecursionError:
        raise UserError(f"{path}: not TOML that anybody meant: nested too deeply") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text") from None
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: {_in_words(error)}") from None
    check(config, str(path))
    return config


def _in_words(error: msgspec.ValidationError) -> str:
    """What msgspec says, without regular expressions."""
    text = str(error).replace(f"matching regex {NUMBER!r}", 'that is a plain number, such as "0.001"')
    return text.replace(f"matching regex {ABOVE_ZERO!r}", 'that is a plain number above 0, such as "0.001"')


def check(config: Config, where: str) -> None:
    """What types alone cannot say. Raises UserError."""
    _one_of(where, "mode", config.mode, MODES)
    _one_of(where, "loop", config.loop, ("epoll", "spin"))
    _one_of(where, "reconcile: foreign", config.reconcile.foreign, ("ignore", "report", "halt"))
    if ":" not in config.strategy:
        _one_of(where, "strategy", config.strategy, ("quoter", "probe", "none", "module:Class"))
    if not (len(config.deployment) == 4 and set(config.deployment) <= set(DEPLOYMENT)):
        raise UserError(
            f"{where}: deployment {config.deployment!r}: must be 4 digits or lower-case consonants"
        )
    known = _venues(config, where)
    seen: set[tuple[str, str]] = set()
    for i, row in enumerate(config.instrument):
        place = f"{where}: instrument[{i}] {row.symbol}"
        _one_of(place, "market", row.market, tuple(known))
        if (row.market, row.symbol) in seen:
            raise UserError(f"{place}: is there twice")
        seen.add((row.market, row.symbol))
        if row.depth is not None and row.depth not in DEPTHS[row.market]:
            raise UserError(
                f"{place}: depth {row.depth}: must be one of {', '.join(map(str, DEPTHS[row.market]))}"
            )
        if config.strategy != "none" and known[row.market].orders and row.limits is None:
            raise UserError(f"{place}: has no [instrument.limits]; without limits nothing may be traded")
    if not config.instrument:
        raise UserError(f"{where}: no [[instrument]]")
    if config.guard is not None:
        _guard(config, config.guard, known, f"{where}: guard")


def _venues(config: Config, where: str) -> dict[str, VenueConfig]:
    known: dict[str, VenueConfig] = {}
    for i, venue in enumerate(config.venue):
        place = f"{where}: venue[{i}]"
        _one_of(place, "market", venue.market, tuple(MARKETS))
        if venue.market in known:
            raise UserError(f"{place}: {venue.market} is there twice; give several `streams` instead")
        if not venue.streams:
            raise UserError(f"{place}: `streams` is empty")
        for url in [*venue.streams, *filter(None, (venue.orders, venue.private))]:
            _address(place, url, ("ws", "wss"))
        _address(place, venue.rest, ("http", "https"), "rest ")
        if venue.orders and venue.key is None and config.mode != "watch":
            raise UserError(f"{place}: `orders` without `key`: no venue takes an order from nobody")
        if venue.orders and config.mode == "watch":
            raise UserError(f"{place}: `orders` in mode 'watch': a watching node sends none; remove it")
        if config.mode == "sim" and not all(
            _is_local(x) for x in [*venue.streams, venue.rest, venue.orders, venue.private]
        ):
            raise UserError(f"{place}: mode 'sim' talks to 127.0.0.1 only")
        _one_of(place, "stp", venue.stp, ("maker", "taker", "both"))
        if venue.key is not None:
            _references(place, venue.key, config.mode)
        known[venue.market] = venue
    return known


def _guard(config: Config, guard: GuardConfig, known: dict[str, VenueConfig], place: str) -> None:
    """A guard that shares the node's key shares its faults: a ban, an expiry, a wrong nonce."""
    for market, key in guard.key.items():
        _one_of(place, "key of market", market, tuple(known))
        _references(f"{place}: {market}", key, config.mode)
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


def _address(place: str, url: str, schemes: tuple[str, str], key: str = "") -> None:
    """Scheme, host and perhaps a port, and nothing else: what two readers of one address could read
    differently is no address."""
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        raise UserError(f"{place}: {key}{url!r} is not an address") from None
    if parts.scheme not in schemes:
        raise UserError(f"{place}: {key}{url!r} is not a {schemes[0]}:// or {schemes[1]}:// address")
    plain = url.isascii() and url.isprintable() and not set(url) & set(" \\?#@")
    if not (plain and parts.hostname and port_ok and parts.path in ("", "/")):
        raise UserError(f"{place}: {key}{url!r}: must be scheme://host:port and nothing else")


def _is_local(url: str) -> bool:
    return url == "" or urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def _one_of(place: str, key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"{place}: {key} {value!r}: must be one of {', '.join(allowed)}")

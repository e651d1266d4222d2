"""One TOML file -> one frozen, typed tree. Unknown keys and missing limits are errors that name their place.

Sizes, prices and money are decimal text ("0.001"), so that they reach the instrument's grid exactly; times have their unit
in the name. See `deploy/sim.toml` for an example with every key.
"""

import tomllib
from pathlib import Path

import msgspec
from ext.records import Market

from node.errors import UserError

MARKETS = {m.name.lower().replace("_", "-"): int(m) for m in Market if m != Market.MARKETS}
MODES = ("sim", "watch")


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Risk limits of one instrument. All are required: a limit that is not set would forbid everything."""

    max_size: str
    max_notional: str
    max_position: str
    collar_bps: int
    stale_ms: int
    max_open_orders: int
    duplicate_ms: int = 0


class Quote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the built-in quoter quotes one instrument. `lean`: position at which quotes shift by one half spread."""

    size: str
    half_spread_ppm: int  # millionths of the mid when quoting starts
    requote_ppm: int = 20
    lean: str = "0"
    wait_ms: int = 50


class InstrumentConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One instrument. `depth`: the book channel to follow (Bybit 50, 200, 1000; OKX 400; Binance 0 = full)."""

    market: str
    symbol: str
    limits: Limits | None = None
    quote: Quote | None = None
    depth: int | None = None


class VenueConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one market is. Each address in `streams` is one redundant line. No `orders` = market data only."""

    market: str
    streams: list[str]
    rest: str
    orders: str = ""
    trades: bool = True  # also public trades and marks (Binance USD-M: on a second connection per line)


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most `orders` new orders in any `window_ms`, over everything."""

    orders: int
    window_ms: int


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole node."""

    mode: str
    venue: list[VenueConfig]
    instrument: list[InstrumentConfig]
    rate: Rate
    strategy: str = "quoter"  # quoter, probe, none
    deployment: str = "tick"
    loop: str = "epoll"  # or spin: never sleeps, needs a core of its own
    cpu: int | None = None
    tape: str = "tapes/node"
    record_frames: bool = True
    segment_mb: int = 64
    dials: str = ""  # page of numbers that expire, written by another process
    drill_after_ms: int = 0  # show the gate: one order that no limit allows, this long after the first book


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
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text") from None
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: {error}") from None
    check(config, str(path))
    return config


def check(config: Config, where: str) -> None:
    """What types alone cannot say. Raises UserError."""
    _one_of(where, "mode", config.mode, MODES)
    _one_of(where, "loop", config.loop, ("epoll", "spin"))
    _one_of(where, "strategy", config.strategy, ("quoter", "probe", "none"))
    if not (len(config.deployment) == 4 and set(config.deployment) <= set("0123456789abcdefghijklmnopqrstuv")):
        raise UserError(f"{where}: deployment {config.deployment!r}: must be 4 characters of 0-9 and a-v")
    if not 1 <= config.segment_mb <= 4096:
        raise UserError(f"{where}: segment_mb {config.segment_mb}: must be 1 to 4096")
    if config.rate.orders < 1 or config.rate.window_ms < 1:
        raise UserError(f"{where}: rate: orders and window_ms must be at least 1")
    known = _venues(config, where)
    seen: set[tuple[str, str]] = set()
    for i, row in enumerate(config.instrument):
        place = f"{where}: instrument[{i}] {row.symbol}"
        _one_of(place, "market", row.market, tuple(known))
        if (row.market, row.symbol) in seen:
            raise UserError(f"{place}: is there twice")
        seen.add((row.market, row.symbol))
        if config.strategy != "none" and known[row.market].orders and row.limits is None:
            raise UserError(f"{place}: has no [instrument.limits]; without limits nothing may be traded")
    if not config.instrument:
        raise UserError(f"{where}: no [[instrument]]")


def _venues(config: Config, where: str) -> dict[str, VenueConfig]:
    known: dict[str, VenueConfig] = {}
    for i, venue in enumerate(config.venue):
        place = f"{where}: venue[{i}]"
        _one_of(place, "market", venue.market, tuple(MARKETS))
        if venue.market in known:
            raise UserError(f"{place}: {venue.market} is there twice; give several `streams` instead")
        if not venue.streams:
            raise UserError(f"{place}: `streams` is empty")
        for url in [*venue.streams, *([venue.orders] if venue.orders else [])]:
            if not url.startswith(("ws://", "wss://")):
                raise UserError(f"{place}: {url!r} is not a ws:// or wss:// address")
        if not venue.rest.startswith(("http://", "https://")):
            raise UserError(f"{place}: rest {venue.rest!r} is not an http:// or https:// address")
        if venue.orders and config.mode == "watch":
            raise UserError(f"{place}: `orders` in mode 'watch': a watching node sends none; remove it")
        if config.mode == "sim" and not all(_is_local(x) for x in [*venue.streams, venue.rest, venue.orders]):
            raise UserError(f"{place}: mode 'sim' talks to 127.0.0.1 only: order frames are not signed yet")
        known[venue.market] = venue
    return known


def _is_local(url: str) -> bool:
    host = url.partition("//")[2].partition("/")[0].rpartition(":")[0]
    return url == "" or host in ("127.0.0.1", "localhost", "[::1]")


def _one_of(place: str, key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"{place}: {key} {value!r}: must be one of {', '.join(allowed)}")

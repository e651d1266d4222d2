"""What a session answers with: plain values that the caller (net or sim) carries out.

A session is a venue's cold half without I/O: it is told what happened and when, and says what to do. Hot
frames never pass through it; only frames that the native decoder calls "not mine" do.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Send:
    """Write this text frame to the session's own connection."""

    text: str


@dataclass(frozen=True, slots=True)
class Ready:
    """Logged in where needed, and every subscription confirmed: the connection does its job from here on."""


@dataclass(frozen=True, slots=True)
class Resync:
    """The book of `symbol` must start anew, for `reason`."""

    symbol: str
    reason: str


@dataclass(frozen=True, slots=True)
class Down:
    """Give the connection up. `retry` is False where trying again cannot help (bad key, bad request)."""

    reason: str
    retry: bool = True


@dataclass(frozen=True, slots=True)
class Replace:
    """The venue will close this connection soon: open a replacement first, then let this one go."""

    reason: str


Action = Send | Ready | Resync | Down | Replace


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request: `target` is path and query as sent."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class InstrumentRow:
    """One instrument out of a venue's instruments reply: exact decimal text, as the venue spells it.

    The fields are the arguments of `ext.instruments.Instruments.add`; "0" means no limit.
    """

    market: int
    symbol: str
    tick: str
    lot: str
    contract: str = "1"
    tradable: bool = True
    is_perpetual: bool = False
    inst_code: int = -1
    min_price: str = "0"
    max_price: str = "0"
    min_size: str = "0"
    max_size: str = "0"
    min_notional: str = "0"

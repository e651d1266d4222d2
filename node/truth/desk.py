"""A venue as the truth room sees it: its REST half, its ids, its instruments; and a question to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from node.venues.values import Reply, Request, Rest


class Purpose(IntEnum):
    """What a request is for: the smaller goes first."""

    CANCEL = 0
    UNKNOWN = 1  # the fate of an order
    RECONCILE = 2
    REST = 3


@dataclass(frozen=True, slots=True)
class Product:
    """One instrument of a desk. `leverage`, `margin_mode`: as configured, "" = any."""

    instrument: int
    base: str = ""
    quote: str = ""
    is_perpetual: bool = False
    leverage: str = ""
    margin_mode: str = ""


@dataclass(frozen=True, slots=True)
class VenueDesk:
    """One market: `products` by symbol. `wallet` names the purse: desks with the same one share its coins
    (a unified account). `buckets` are the windows of its venue's published limits, which all desks at one
    venue share: it counts an address, or a key, and not our desks (see `Budget`)."""

    market: int
    rest: Rest
    wire: Any  # ext.wire.Wire: client_id, whose, epoch, window_ms
    products: Mapping[str, Product]
    name: str = ""
    wallet: str = ""
    hedge: bool = False  # the position mode that is configured
    account: str = ""  # the account that the key must be of, "" = any
    has_private: bool = True
    buckets: dict[tuple[str, int], Any] = field(default_factory=dict)

    def legs(self, product: Product) -> tuple[int, ...]:
        """Which positions of a product there can be (records.LegKind): in hedge mode the net one too, which
        must stay nothing."""
        return (0, 1, 2) if self.hedge and product.is_perpetual else (0,)

    def title(self) -> str:
        return self.name or f"market {self.market}"

    def place(self, symbol: str) -> str:
        """A symbol, or "" for the venue itself, as people are told of it."""
        return f"{self.name} {symbol}".strip() if symbol != self.title() else symbol

    def purse(self) -> str:
        return self.wallet or f"market {self.market}"

    def symbol(self, instrument: int) -> str:
        """The symbol of one of this desk's instruments; KeyError where it is not one."""
        for symbol, product in self.products.items():
            if product.instrument == instrument:
                return symbol
        raise KeyError(instrument)


@dataclass(slots=True, eq=False)
class Ask:
    """A request that the transport signs and writes now. `then(reply, now_ns)` takes the answer (the keeper
    calls it).

    `what`: cancel, order, open, trades, positions, balances, cash, key, time.
    """

    desk: VenueDesk
    request: Request
    purpose: Purpose
    what: str
    then: Callable[[Reply | None, int], None]
    left_ns: int = 0
    number: int = 0
    is_done: bool = False

"""What a session answers with: plain values that the caller (net or sim) carries out.

A session is a venue's cold half without I/O: it is told what happened and when, and says what to do. Hot
frames never pass through it; only frames that the native decoder calls "not mine" do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


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


@dataclass(frozen=True, slots=True)
class Relist:
    """Filters or status of a symbol changed (or of any, where it is empty): ask for the instruments again."""

    symbol: str = ""


@dataclass(frozen=True, slots=True)
class AccountNews:
    """What a private stream told of the account besides orders and fills; `rows` are the types below. An
    OrderRow in it is one of a namespace that the native decoder does not read (conditional orders)."""

    rows: tuple["PositionRow | BalanceRow | CashRow | ModeRow | StatusRow | OrderRow", ...]


Action = Send | Ready | Resync | Down | Replace | Relist | AccountNews


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
    base: str = ""
    quote: str = ""
    max_market_size: str = "0"  # largest market order, where it has a limit of its own
    max_notional: str = "0"
    max_orders: int = 0  # open orders the venue allows on this symbol, 0 = not said
    up_ppm: int = (
        0  # percent-price: highest and lowest price of an order, in millionths of the venue's reference
    )
    down_ppm: int = 0
    max_leverage: str = "0"
    status: str = (
        "trading"  # in these words for all venues: trading, halt, cancel_only, post_only, auction, no_cancel,
        # settling, delisting
    )
    ends_ns: int = 0  # when the venue will delist it (venue's clock), 0 = nothing is announced


# ---- what REST and private streams say of an account, as the venue spells numbers -----------------------


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One order as the venue knows it. `state`: live, partial, untriggered, filled, canceled, expired,
    rejected, triggered (a stop that made an order: `venue_id` is that order's, which says the rest), or
    "odd:<the venue's word>". Sizes and prices are decimal text; `filled` is cumulative."""

    market: int
    symbol: str
    client_id: str
    venue_id: str
    side: int
    kind: str  # limit, market, stop_market, or the venue's word
    price: str
    size: str
    filled: str
    state: str
    reduce_only: bool = False
    trigger: str = "0"
    updated_ns: int = 0
    is_algo: bool = False  # lives in the venue's namespace of conditional orders
    reason: str = ""  # why it is closed, in the venue's words
    leg: str = ""  # net, long, short; "" where the venue does not say


@dataclass(frozen=True, slots=True)
class TradeRow:
    """One trade of ours. `trade_hi`, `trade_lo` as the native decoder makes them of the same trade."""

    market: int
    symbol: str
    client_id: str  # "" where the venue does not say
    venue_id: str  # of the order
    trade_hi: int
    trade_lo: int
    side: int
    price: str
    size: str
    fee: str  # paid is positive
    fee_coin: str
    is_maker: bool
    event_ns: int
    nature: int = 0  # records.Nature; other executions (funding) are CashRow
    leg: str = ""  # net, long, short; "" where the venue does not say


@dataclass(frozen=True, slots=True)
class PositionRow:
    """`size` is signed (short < 0), in the venue's size unit. `leg`: net, long, short."""

    market: int
    symbol: str
    size: str
    leg: str = "net"
    entry: str = ""
    leverage: str = ""
    margin_mode: str = ""
    event_ns: int = 0


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """`total` of a coin, locked and margin included, without unrealised profit."""

    market: int
    coin: str
    total: str
    free: str = ""
    event_ns: int = 0


@dataclass(frozen=True, slots=True)
class CashRow:
    """Money that moved without a trade: kind is funding, transfer, deposit, withdraw, fee, rebate,
    liquidation or the venue's word; `amount` is signed, received > 0; `key` is the venue's id of it (or ""
    )."""

    market: int
    coin: str
    kind: str
    amount: str
    symbol: str = ""
    key: str = ""
    event_ns: int = 0


@dataclass(frozen=True, slots=True)
class ModeRow:
    """How the account is set up: None or "" = this message does not say. `leverage` is of `symbol`."""

    market: int
    symbol: str = ""
    hedge: bool | None = None
    leverage: str = ""
    margin_mode: str = ""


@dataclass(frozen=True, slots=True)
class StatusRow:
    """A symbol ("" = the venue) is `trading`, `halt`, `cancel_only`, `post_only` (nothing else is taken),
    `auction`, `no_cancel` (an auction that takes no cancels either), `maintenance`, `settling`, `delisting`.
    `at_ns`: when its end is announced for (venue's clock), 0 = for no time."""

    market: int
    symbol: str
    status: str
    text: str = ""
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class KeyRow:
    """What the key may do, as the venue says; None = it does not say."""

    can_trade: bool | None = None
    can_withdraw: bool | None = None
    is_ip_bound: bool | None = None
    expires_ns: int = 0
    hedge: bool | None = None
    account: str = ""  # the account that the key is of, as the venue numbers it; "" = it does not say


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """The server's own count, out of the headers or body of an answer; see records.Budget for the units."""

    kind: int
    interval_ns: int = 0
    used: int = -1
    limit: int = -1
    until_ns: int = 0


@dataclass(frozen=True, slots=True)
class Bucket:
    """A published limit of requests of one kind, where the venue's answers do not count them: `limit` in any
    `interval_ns`. Requests with the same `name` share it."""

    name: str
    limit: int
    interval_ns: int


@dataclass(frozen=True, slots=True)
class Reply:
    """A REST answer as it came. `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer to a request that changes or asks for one order proves. `outcome` is records.Outcome,
    `group` records.ErrorGroup, `code` the venue's (0 = none), `text` its words. `row` is the order where the
    answer shows it.
    `until_ns`: nothing before this time (venue's clock)."""

    outcome: int
    group: int = 0
    code: int = 0
    text: str = ""
    venue_id: str = ""
    row: OrderRow | None = None
    until_ns: int = 0


class RestError(Exception):
    """An answer that is not the one asked for: what it proves is in `said`."""

    def __init__(self, what: str, said: Said):
        super().__init__(f"{what}: {said.code or ''} {said.text}".strip())
        self.said = said


class Rest(Protocol):
    """The signed REST half of a venue for one market: `node.venues.<v>.rest.Rest(market, key, window_ms)`. No
    I/O.

    Requests come unsigned; `sign` is called at the moment of writing. Readers raise RestError for a refusal
    and ValueError for an answer that cannot be understood; absence is never an empty answer to a failed
    request. Lists come in pages: a reader returns (rows, the Request of the next page or None).
    """

    def sign(self, request: Request, stamp_ms: int) -> Request: ...
    def time(self) -> Request: ...
    def read_time(self, reply: Reply) -> int: ...  # venue's clock, ns
    # `is_algo`: a stop order, where the venue keeps those that have not triggered in a namespace of their own
    def order(
        self, symbol: str, client_id: str = "", venue_id: str = "", *, is_algo: bool = False
    ) -> Request: ...
    def read_order(self, reply: Reply) -> OrderRow | None: ...  # None: the venue says that there is none
    def open_orders(self, symbol: str = "") -> list[Request]: ...  # every namespace (algo orders too)
    def read_open_orders(self, reply: Reply) -> tuple[list[OrderRow], Request | None]: ...
    def trades(self, symbol: str, since_ns: int) -> Request: ...
    def read_trades(self, reply: Reply) -> tuple[list[TradeRow], Request | None]: ...
    def positions(self) -> list[Request]: ...  # [] on spot
    def read_positions(self, reply: Reply) -> tuple[list[PositionRow], Request | None]: ...
    def modes(
        self, symbols: Sequence[str]
    ) -> list[Request]: ...  # leverage, margin and position mode, held or flat; [] on spot
    def read_modes(self, reply: Reply) -> list[ModeRow]: ...
    def balances(self) -> Request: ...
    def read_balances(self, reply: Reply) -> list[BalanceRow]: ...
    def cash(
        self, since_ns: int
    ) -> list[Request]: ...  # funding, transfers; [] where the venue has no such list
    def read_cash(self, reply: Reply) -> tuple[list[CashRow], Request | None]: ...
    def key_info(self) -> list[Request]: ...
    def read_key_info(self, reply: Reply) -> KeyRow: ...
    def cancel(self, symbol: str, client_id: str, *, is_algo: bool = False) -> Request: ...
    def cancel_all(
        self, symbol: str
    ) -> list[Request]: ...  # every namespace, foreign orders too: an operator's tool
    def from_frame(
        self, frame: bytes
    ) -> Request: ...  # the request that says the same as an order-entry frame
    def read_said(
        self, request: Request, reply: Reply
    ) -> Said: ...  # answer to cancel, cancel_all, from_frame
    def budgets(self, request: Request, reply: Reply) -> list[BudgetRow]: ...
    def buckets(
        self, request: Request
    ) -> tuple[Bucket, ...]: ...  # () where answers count, or nothing is said
    def retention_ns(self) -> int: ...  # how long an unfilled closed order can still be asked for

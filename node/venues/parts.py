"""The nouns of the simulated venues: listings, connections, orders, answers, rate limiters."""

import copy
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ext.match import MatchingEngine
from ext.text import Grid
from node.venues.faults import Faults
from node.venues.ledger import EXACT, ROUND, UP, Account

MS = 1_000_000
SECOND = 1000 * MS
HISTORY = 64  # states that an order remembers
Best = tuple[int, int] | None  # (price_ticks, size_lots); None = the side is empty
QUOTES = ("USDT", "USDC", "FDUSD", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY", "USD")


class Refused(Exception):
    """The venue refuses a connection: HTTP status and text."""

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status


class RateLimited(Exception):
    """Too many requests. `banned`: and from now on everything is refused for `retry_after_ns`."""

    def __init__(self, name: str, retry_after_ns: int, banned: bool = False):
        super().__init__(f"{name}: retry after {retry_after_ns // MS} ms")
        self.name, self.retry_after_ns, self.banned = name, retry_after_ns, banned


@dataclass
class Answer:
    """The answer to a REST request. `delay_ns`: it is sent so much later. `drop`: the connection is closed
    instead. `again_ns`: the request has not been carried out; ask again after so long (a stall)."""

    status: int
    headers: dict[str, str]
    body: bytes
    delay_ns: int = 0
    drop: bool = False
    again_ns: int = 0


@dataclass(frozen=True)
class Bracket:
    """A leverage bracket: up to `notional_max` at most `leverage_max`, with this maintenance margin."""

    notional_max: Decimal
    leverage_max: int
    maintenance_rate: Decimal


BRACKETS = (
    Bracket(Decimal(300_000), 125, Decimal("0.004")),
    Bracket(Decimal(3_000_000), 100, Decimal("0.005")),
    Bracket(Decimal(30_000_000), 50, Decimal("0.01")),
    Bracket(Decimal(500_000_000), 20, Decimal("0.025")),
    Bracket(Decimal(10_000_000_000), 5, Decimal("0.1")),
)


@dataclass
class Listing:
    """One instrument as the venue lists it, with its matching engine and what is waiting to be pushed.

    Sizes and notionals are decimal text in coins (contracts where `contract` is not "1"), "" = no limit.
    `price_up`, `price_down`: the band of a limit price around the mark, as factors, "" = none. `wallet`: the
    purse it settles in. `tick_multiple`: prices must be on so many ticks (a tick change of the venue).
    """

    symbol: str
    tick: str
    lot: str
    market: int
    base: str = ""
    quote: str = "USDT"
    contract: str = "1"
    inst_code: int = -1
    is_perpetual: bool = False
    min_notional: str = "5"
    engine: MatchingEngine = field(default_factory=MatchingEngine)
    pushed_id: int = 0  # last update id that a depth push contained
    settled_id: int = 0  # last update id that `changed` contains
    fast_id: int = 0  # as pushed_id, of the fast push
    settle: str = ""  # coin that profit and margin are in; the quote coin where left out
    wallet: str = ""
    maker_fee: Decimal | str = ""  # "": 0.001 spot, 0.0002 perpetual
    taker_fee: Decimal | str = ""  # "": 0.001 spot, 0.0005 perpetual
    fee_quantum: Decimal | str = "0.00000001"
    min_size: str = ""
    max_size: str = ""
    max_market_size: str = ""
    max_notional: str = ""
    price_up: str = "5"
    price_down: str = "0.2"
    max_orders: int = 200
    max_stop_orders: int = 10
    max_leverage: int = 125
    brackets: tuple[Bracket, ...] = BRACKETS
    funding_rate: Decimal | str = "0.0001"
    funding_interval_ns: int = 8 * 3600 * SECOND
    status: str = "trading"  # halt, cancel_only, no_cancel, post_only, auction, reduce_only, delisted
    ends_ns: int = 0  # when it will be delisted, as the venue announced it; 0 = not at all
    tick_multiple: int = 1
    last_ticks: int = 0  # of the last trade
    last_lots: int = 0
    last_ns: int = 0
    mark_factor: Decimal = Decimal(1)  # a fault: the mark is off the middle
    mark_ticks: int = 0  # a middle that is older than an empty side
    crossing: Best = None  # in an auction: a bid above the best ask, which nobody matches yet

    def __post_init__(self) -> None:
        self.price_grid = Grid(self.tick)
        self.size_grid = Grid(self.lot)
        self.changed: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.changed_fast: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.top: tuple[Best, Best] = (None, None)  # best bid and ask as last pushed
        spot, perpetual = ("0.001", "0.001"), ("0.0002", "0.0005")
        maker, taker = perpetual if self.is_perpetual else spot
        self.maker_fee = Decimal(self.maker_fee if self.maker_fee != "" else maker)
        self.taker_fee = Decimal(self.taker_fee if self.taker_fee != "" else taker)
        self.fee_quantum = Decimal(self.fee_quantum)
        self.funding_rate = Decimal(self.funding_rate)
        self.unit = EXACT.multiply(Decimal(self.lot), Decimal(self.contract))  # coins in one lot
        self.step = Decimal(self.tick)

    @property
    def key(self) -> tuple[int, str]:
        return self.market, self.symbol

    @property
    def coins(self) -> tuple[str, str]:
        """Base and quote coin; guessed from the symbol where it does not name its base."""
        if self.base:
            rest = self.symbol.removeprefix(self.base)
            quote = next((x for x in QUOTES if rest == x), self.quote)
            return self.base, quote
        found = next((x for x in QUOTES if self.symbol.endswith(x) and self.symbol != x), "USDT")
        return self.symbol.removesuffix(found).rstrip("-_/"), found

    @property
    def settle_coin(self) -> str:
        return self.settle or self.coins[1]

    def shown(self, side: int, n: int) -> list[tuple[int, int]]:
        """The best `n` levels of a side as the venue shows them."""
        levels = self.engine.levels(side, n)
        if side or self.crossing is None:
            return levels
        return sorted({**dict(levels), self.crossing[0]: self.crossing[1]}.items(), reverse=True)[:n]

    def price(self, ticks: int) -> str:
        return self.price_grid.format(ticks, keep_zeros=True)

    def size(self, lots: int) -> str:
        return self.size_grid.format(lots, keep_zeros=True)

    def price_of(self, ticks: int) -> Decimal:
        return EXACT.multiply(self.step, Decimal(ticks))

    def ticks_of(self, price: Decimal) -> int:
        """The nearest tick to a price."""
        return int(ROUND.divide(price, self.step).to_integral_value(context=ROUND))

    def amount(self, lots: int) -> Decimal:
        """Base coins in (signed) lots."""
        return EXACT.multiply(self.unit, Decimal(lots))

    def notional(self, price_ticks: int, lots: int) -> Decimal:
        """Value of (signed) lots at a price, in quote coins."""
        return EXACT.multiply(self.price_of(price_ticks), self.amount(lots))

    def maintenance_rate_of(self, value: Decimal) -> Decimal:
        return self.bracket_of(value).maintenance_rate

    def bracket_of(self, value: Decimal) -> Bracket:
        """The leverage bracket of a position's value; the last one for all above."""
        return next((x for x in self.brackets if value <= x.notional_max), self.brackets[-1])

    def round_fee(self, fee: Decimal) -> Decimal:
        """A fee as the venue books it: rounded up (a rebate down) to its quantum."""
        assert isinstance(self.fee_quantum, Decimal)
        return fee.quantize(self.fee_quantum, context=UP if fee > 0 else ROUND)


@dataclass(eq=False)
class Connection:
    """One client connection. `topics` is what it subscribed to, in the venue's own words."""

    number: int
    path: str
    opened_ns: int
    topics: dict[str, object] = field(default_factory=dict)
    logged_in: bool = False
    notes: dict[str, Any] = field(default_factory=dict)  # whatever else the venue's fake must remember
    closing: tuple[int, str] | None = None  # close code and reason, once the venue hangs up
    dropped: bool = False  # a fault: the socket is to be reset, nothing more is said
    muted: bool = False  # a fault: stays open, but nothing comes any more
    skips: dict[tuple[int, str], int] = field(default_factory=dict)  # a fault: depth to lose
    account: Account | None = None  # whose private frames it gets, once it is logged in
    ip: str = "127.0.0.1"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class FakeOrder:
    """One client order at the venue.

    `size_lots` is its whole size, `filled_lots` what traded, `prevented_lots` what self-trade prevention took
    off. A stop order has `trigger_ticks` and `trigger_on` ("last", "mark", "index"); `trigger_rise` says
    whether it waits for a rise (None: found out when it is placed), `triggered_ns` when it went to the book.
    `nature` other than "trade" is an order of the venue itself (liquidation, adl, settlement).
    """

    listing: Listing
    number: int  # the venue's order id
    client_id: str
    side: int
    price_ticks: int
    size_lots: int
    tif: str
    connection: Connection | None
    filled_lots: int = 0
    # why it is no longer open: filled, canceled, ioc, fok, post_only, stp, reduce_only, expired, rejected,
    # liquidation, delisted, funds, countdown, or what a fault says
    done: str = ""
    placed_ns: int = 0
    owner: int = 1
    notes: dict[str, Any] = field(default_factory=dict)
    order_type: str = "limit"  # market, stop_limit, stop_market
    trigger_ticks: int = 0
    trigger_on: str = "last"
    trigger_rise: bool | None = None
    triggered_ns: int = 0
    reduce_only: bool = False
    leg: str = "net"  # long, short: which leg of a hedged position it changes
    stp: str = "expire_maker"
    nature: str = "trade"
    prevented_lots: int = 0
    updated_ns: int = 0
    done_ns: int = 0
    value: Decimal = Decimal(0)  # quote coins that its fills came to
    fees: dict[str, Decimal] = field(default_factory=dict)  # coin -> paid so far
    locked: Decimal = Decimal(0)
    locked_coin: str = ""
    silent: bool = False  # a fault: nothing about it is reported
    waits: bool = False  # a stop that is not triggered, or an order that a fault keeps out of the book
    filled_before: int = 0  # what had traded when it came to its present place in the book
    sent_id: str = ""  # the client id it was placed with, where an amend changed it
    history: list[tuple[int, int, int, int, str]] = field(default_factory=list)

    @property
    def leaves_lots(self) -> int:
        return 0 if self.done else self.size_lots - self.filled_lots - self.prevented_lots

    @property
    def is_stop(self) -> bool:
        return self.order_type.startswith("stop")

    @property
    def is_resting(self) -> bool:
        """May it hold funds? Everything open but what is gone at once."""
        return not self.done and self.order_type not in ("market", "stop_market")

    @property
    def average(self) -> Decimal | None:
        """Average price of its fills, None before the first."""
        if not self.filled_lots:
            return None
        return ROUND.divide(self.value, self.listing.amount(self.filled_lots))

    def note(self, now_ns: int) -> None:
        """Remember how it stands: what a stale answer shows later."""
        self.updated_ns = now_ns
        if len(self.history) >= HISTORY:
            del self.history[1]  # the first stays: when it was placed
        self.history.append((now_ns, self.price_ticks, self.size_lots, self.filled_lots, self.done))

    def as_of(self, then_ns: int) -> "FakeOrder | None":
        """A copy of the order as it stood at a time, None before it was placed."""
        rows = [x for x in self.history if x[0] <= then_ns]
        if not rows:
            return None
        old = copy.copy(self)
        old.updated_ns, old.price_ticks, old.size_lots, old.filled_lots, old.done = rows[-1]
        if old.filled_lots != self.filled_lots:
            old.value = self.listing.notional(self.price_ticks, old.filled_lots)
        return old


class Limiter:
    """A limit on the weight of requests in any clock-aligned window (`rolling`: in any window at all).

    Who goes on after being told is banned: `ban_after` refusals in one window (0 = never), for `ban_ns`,
    twice as long each time, three days at most.
    """

    BAN_MAX_NS = 3 * 86_400 * SECOND

    def __init__(
        self,
        name: str,
        limit: int,
        interval_ns: int,
        *,
        rolling: bool = False,
        ban_after: int = 0,
        ban_ns: int = 120 * SECOND,
        faults: Faults | None = None,
    ):
        self.name, self.limit, self.interval_ns, self.rolling = name, limit, interval_ns, rolling
        self.ban_after, self.ban_ns, self.faults = ban_after, ban_ns, faults
        self.bans: dict[Any, int] = {}  # who -> until
        self._spans: dict[Any, int] = {}  # who -> length of the last ban
        self._used: dict[Any, tuple[int, int, int]] = {}  # who -> window, used, refused
        self._recent: dict[Any, deque[tuple[int, int]]] = {}

    def used(self, who: Any, now_ns: int) -> int:
        """Weight used in the present window."""
        if self.rolling:
            recent = self._recent.setdefault(who, deque())
            while recent and recent[0][0] <= now_ns - self.interval_ns:
                recent.popleft()
            return sum(w for _, w in recent)
        window, used, _ = self._used.get(who, (-1, 0, 0))
        return used if window == now_ns // self.interval_ns else 0

    def reset_ns(self, who: Any, now_ns: int) -> int:
        """How long until there is room again."""
        if self.rolling:
            recent = self._recent.get(who)
            return recent[0][0] + self.interval_ns - now_ns if recent else 0
        return self.interval_ns - now_ns % self.interval_ns

    def charge(self, who: Any, weight: int, now_ns: int) -> int:
        """Use weight; returns what is used now. Raises RateLimited, and then nothing is used."""
        until_ns = self.bans.get(who, 0)
        if now_ns < until_ns:
            raise RateLimited(self.name, until_ns - now_ns, True)
        limit = self._disturbed(who, now_ns)
        used = self.used(who, now_ns)
        if used + weight > limit:
            self._refuse(who, now_ns)
        if self.rolling:
            self._recent[who].append((now_ns, weight))
        else:
            window, _, refused = self._used.get(who, (-1, 0, 0))
            now = now_ns // self.interval_ns
            self._used[who] = (now, used + weight, refused if window == now else 0)
        return used + weight

    def _disturbed(self, who: Any, now_ns: int) -> int:
        if self.faults is None:
            return self.limit
        fault = self.faults.hit("ban", now_ns, limiter=self.name)
        if fault:
            self.ban(who, now_ns, fault.ns("ban", self.ban_ns))
        fault = self.faults.hit("ratelimit", now_ns, limiter=self.name)
        if fault and fault.get("limit") is None:
            raise RateLimited(self.name, fault.ns("retry_after", self.reset_ns(who, now_ns)))
        return self.limit if fault is None else int(fault.get("limit"))

    def ban(self, who: Any, now_ns: int, for_ns: int) -> None:
        """Raises RateLimited, now and until the time is over."""
        self.bans[who] = now_ns + for_ns
        raise RateLimited(self.name, for_ns, True)

    def _refuse(self, who: Any, now_ns: int) -> None:
        window, used, refused = self._used.get(who, (-1, 0, 0))
        now = now_ns // self.interval_ns
        refused = refused + 1 if window == now else 1
        self._used[who] = (now, used if window == now else 0, refused)
        if self.ban_after and refused >= self.ban_after:
            span_ns = min(self._spans.get(who, self.ban_ns // 2) * 2, self.BAN_MAX_NS)
            self._spans[who] = span_ns
            self.ban(who, now_ns, span_ns)
        raise RateLimited(self.name, self.reset_ns(who, now_ns))

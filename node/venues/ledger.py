"""Accounts of a simulated venue: keys, balances, positions, trades; every number is an exact Decimal.

Double entry: whatever an account gets or pays has its counterpart in the venue's `House`, by reason, so that
the sum over accounts and house is zero per coin at any time. Nothing is rounded silently: sums and products
are exact or raise (`EXACT`), and where a venue rounds (fees, the cost that leaves a position with a part of
it) the rounded number is what is booked on both sides.

A perpetual position keeps its exact cost; `entry` is that cost per coin, rounded for display. A venue with
separate purses (Binance spot and USD-M) gives its listings a `wallet` name; where all is one purse it is "".
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import (
    ROUND_HALF_EVEN,
    ROUND_UP,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)
from typing import Any

BUY, SELL = 0, 1
ZERO = Decimal(0)
EXACT = Context(prec=120, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
ROUND = Context(prec=120, rounding=ROUND_HALF_EVEN)
UP = Context(prec=120, rounding=ROUND_UP)
SHOWN = Context(prec=20, rounding=ROUND_HALF_EVEN)
COST_QUANTUM = Decimal("1e-12")  # of the cost that leaves a position with a part of it
GENEROUS = {"USDT": "10000000", "USDC": "10000000", "BNB": "10000", "BTC": "10000", "ETH": "100000"}
OTHER_COIN = "1000000"

# The well-known key pair of the simulation (private scalar: the 32 ASCII bytes
# "simulated-venue-key-not-a-secret"). It protects nothing: it exists so that a client can sign for real.
PRIVATE_KEY_PEM = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIHNpbXVsYXRlZC12ZW51ZS1rZXktbm90LWEtc2VjcmV0
-----END PRIVATE KEY-----
"""
PUBLIC_KEY_PEM = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAb48+git5IKcsurYzRI6VXlkQ/ZVYFZy/a5tvEdYX5Pg=
-----END PUBLIC KEY-----
"""


class Refusal(Exception):
    """The venue refuses an order or request, by the name of a rule: tick, lot, min_size, max_size,
    min_notional, max_notional, percent_price, max_orders, status, reduce_only, funds, leverage,
    duplicate_id, position_mode, ... `code`: a fault wants exactly this code of the venue, "" = the one that
    belongs to the name."""

    def __init__(self, name: str, text: str = "", code: str = ""):
        super().__init__(text or name)
        self.name, self.text, self.code = name, text, code


@dataclass(frozen=True)
class Key:
    """An API key. `rights`: "read", "trade", "withdraw". `ips`: where not empty, only these may use it.
    `expires_ns` 0 = never. `environment`: where not that of the venue ("" = any), the key is of another one
    (testnet, demo)."""

    api_key: str
    secret: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)
    public_key_pem: str = ""
    rights: frozenset[str] = frozenset({"read", "trade"})
    ips: tuple[str, ...] = ()
    expires_ns: int = 0
    environment: str = ""


SIMULATED = Key("simulated", "simulated", "simulated", PUBLIC_KEY_PEM)


@dataclass
class Balance:
    """What an account has of a coin; `locked` is the part of `total` that open orders hold."""

    total: Decimal = ZERO
    locked: Decimal = ZERO

    @property
    def free(self) -> Decimal:
        return EXACT.subtract(self.total, self.locked)


@dataclass
class Position:
    """A perpetual position. `lots` is signed (a short leg is negative too), `cost` exact and signed like it,
    `entry` the average price, `realised` profit since it was opened, in the settle coin, without fees."""

    lots: int = 0
    entry: Decimal = ZERO
    realised: Decimal = ZERO
    leverage: int = 20
    margin_mode: str = "cross"  # or "isolated"
    leg: str = "net"  # or "long", "short"
    cost: Decimal = ZERO
    opened_ns: int = 0
    updated_ns: int = 0


@dataclass(frozen=True)
class VenueTrade:
    """One side of one match. `fee` > 0 is paid, < 0 a rebate; `realised` is the profit that it closed."""

    id: int
    order: Any
    listing: Any
    side: int
    price_ticks: int
    size_lots: int
    fee: Decimal
    fee_coin: str
    is_maker: bool
    now_ns: int
    nature: str = "trade"  # "liquidation", "adl", "settlement"
    realised: Decimal = ZERO
    number: int = 0  # of the venue's trades, rising by one each: paging

    @property
    def notional(self) -> Decimal:
        return self.listing.notional(self.price_ticks, self.size_lots)


@dataclass(frozen=True)
class Income:
    """A change of a balance that no trade made: funding, deposit, withdraw, drift, insurance, transfer; and,
    for venues that list them, realised profit and fees."""

    number: int
    kind: str
    coin: str
    amount: Decimal
    now_ns: int
    listing: Any = None
    wallet: str = ""
    trade_id: int = 0


@dataclass
class House:
    """The venue's counterpart of its accounts: `owed[reason, coin]` is minus what the accounts got."""

    owed: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    lots: dict[tuple[int, str], int] = field(default_factory=dict)  # minus the clients' positions
    numbers: int = 0  # trades and incomes so far

    def book(self, reason: str, coin: str, amount: Decimal) -> None:
        """The accounts got `amount`."""
        key = (reason, coin)
        self.owed[key] = EXACT.subtract(self.owed.get(key, ZERO), amount)

    def next_number(self) -> int:
        self.numbers += 1
        return self.numbers


PositionKey = tuple[int, str, str]
Marks = Callable[[Any], Decimal | None]


@dataclass(eq=False)
class Account:
    """One account of a venue. `owner` is what the matching engine knows it by, 1 and up.

    `wallets`: purse -> coin -> Balance; `balances` is purse "". `positions`: (market, symbol, leg) ->
    Position; a flat one stays, with 0 lots. `fee_coin`: fees are paid in this coin as far as there is enough
    of it, at `fee_prices[coin]` quote coins apiece, or at the venue's own price. `margin_modes` are told to
    clients; the margin itself is reckoned as cross margin.
    """

    owner: int
    uid: str = ""
    keys: list[Key] = field(default_factory=list)
    wallets: dict[str, dict[str, Balance]] = field(default_factory=dict)
    positions: dict[PositionKey, Position] = field(default_factory=dict)
    hedge: bool = False
    trades: list[VenueTrade] = field(default_factory=list)
    incomes: list[Income] = field(default_factory=list)
    leverage: dict[tuple[int, str], int] = field(default_factory=dict)
    margin_modes: dict[tuple[int, str], str] = field(default_factory=dict)
    default_leverage: int = 20
    fee_coin: str = ""
    fee_prices: dict[str, Decimal] = field(default_factory=dict)
    fee_rates: dict[tuple[int, str], tuple[Decimal, Decimal]] = field(default_factory=dict)  # maker, taker
    frozen: bool = False  # by the venue: no new orders (liquidation in progress)
    notes: dict[str, Any] = field(default_factory=dict)
    house: House = field(default_factory=House)

    @property
    def balances(self) -> dict[str, Balance]:
        return self.wallets.setdefault("", {})

    def balance(self, coin: str, wallet: str = "") -> Balance:
        """The balance of a coin, made with zero where there is none."""
        return self.wallets.setdefault(wallet, {}).setdefault(coin, Balance())

    def position(self, listing: Any, leg: str = "net") -> Position:
        """The position of a leg, made flat where there is none."""
        key = (listing.market, listing.symbol, leg)
        found = self.positions.get(key)
        if found is None:
            mode = self.margin_modes.get(key[:2], "cross")
            found = Position(leverage=self.leverage_of(listing), margin_mode=mode, leg=leg)
            self.positions[key] = found
        return found

    def leverage_of(self, listing: Any) -> int:
        return self.leverage.get((listing.market, listing.symbol), self.default_leverage)

    def set_leverage(self, listing: Any, leverage: int) -> None:
        """Raises Refusal("leverage") above the listing's maximum."""
        if not 1 <= leverage <= listing.max_leverage:
            raise Refusal("leverage", f"leverage {leverage}: must be 1 to {listing.max_leverage}")
        self.leverage[listing.market, listing.symbol] = leverage
        for (market, symbol, _), position in self.positions.items():
            if (market, symbol) == (listing.market, listing.symbol):
                position.leverage = leverage

    # ---- money ----

    def move(self, coin: str, amount: Decimal, reason: str, wallet: str = "") -> None:
        """Add to a balance (less where negative), and book the counterpart."""
        balance = self.balance(coin, wallet)
        balance.total = EXACT.add(balance.total, amount)
        self.house.book(reason, coin, amount)

    def credit(
        self, kind: str, coin: str, amount: Decimal, now_ns: int, listing: Any = None, wallet: str = ""
    ) -> Income:
        """A change that no trade made, with its entry in `incomes`."""
        self.move(coin, amount, kind, wallet)
        income = Income(self.house.next_number(), kind, coin, amount, now_ns, listing, wallet)
        self.incomes.append(income)
        return income

    def lock(self, order: Any) -> None:
        """Hold what an open spot order may cost. Raises Refusal("funds") where there is not so much."""
        coin, amount = need_of(order)
        balance = self.balance(coin, order.listing.wallet)
        more = EXACT.subtract(amount, order.locked)
        if more > balance.free:
            raise Refusal("funds", f"{coin}: {more} is needed, {balance.free} is free")
        balance.locked = EXACT.add(balance.locked, more)
        order.locked, order.locked_coin = amount, coin

    def unlock(self, order: Any) -> None:
        """Let go of all that an order holds."""
        if order.locked:
            balance = self.balance(order.locked_coin, order.listing.wallet)
            balance.locked = EXACT.subtract(balance.locked, order.locked)
            order.locked = ZERO

    def relock(self, order: Any) -> None:
        """Hold what the rest of an order needs: never more than before, except after an amend."""
        if order.locked or order.is_resting:
            self.unlock(order)
            if order.leaves_lots and not order.listing.is_perpetual:
                self.lock(order)

    # ---- trades ----

    def apply(self, trade: VenueTrade) -> VenueTrade:
        """Book a trade; returns it with `realised` and its number filled in."""
        with localcontext(EXACT):
            realised = self._apply_perp(trade) if trade.listing.is_perpetual else self._apply_spot(trade)
            self.move(trade.fee_coin, -trade.fee, "fee", trade.listing.wallet)
        values = trade.__dict__ | {"realised": realised, "number": self.house.next_number()}
        booked = VenueTrade(**values)
        self.trades.append(booked)
        return booked

    def _apply_spot(self, trade: VenueTrade) -> Decimal:
        listing, sign = trade.listing, 1 if trade.side == BUY else -1
        base, quote = listing.coins
        order = trade.order
        if order.locked:  # what this fill uses is no longer held
            self.unlock(order)
        self.move(base, sign * listing.amount(trade.size_lots), "trade", listing.wallet)
        self.move(quote, -sign * trade.notional, "trade", listing.wallet)
        if order.leaves_lots and order.is_resting:
            self.lock(order)
        return ZERO

    def _apply_perp(self, trade: VenueTrade) -> Decimal:
        listing, leg = trade.listing, trade.order.leg
        position = self.position(listing, leg)
        delta = trade.size_lots if trade.side == BUY else -trade.size_lots
        realised = change_position(position, listing, delta, trade.price_ticks, trade.now_ns)
        key = (listing.market, listing.symbol)
        self.house.lots[key] = self.house.lots.get(key, 0) - delta
        if realised:
            self.move(listing.settle_coin, realised, "trade", listing.wallet)
        return realised

    def fund(self, listing: Any, rate: Decimal, mark: Decimal, now_ns: int) -> list[Income]:
        """Funding at `rate` of the value at `mark`: a long pays a positive rate. Nothing for flat legs."""
        out = []
        for (market, symbol, _), position in list(self.positions.items()):
            if (market, symbol) == (listing.market, listing.symbol) and position.lots:
                with localcontext(EXACT):
                    paid = listing.amount(position.lots) * mark * rate
                    paid = paid.quantize(listing.fee_quantum, context=ROUND)
                out.append(
                    self.credit("funding", listing.settle_coin, -paid, now_ns, listing, listing.wallet)
                )
        return out

    # ---- margin ----

    def unrealised(self, coin: str, wallet: str, listings: Iterable[Any], mark_of: Marks) -> Decimal:
        """Profit of all open positions that settle in `coin`, at their marks."""
        total = ZERO
        for listing, position in self.open_positions(coin, wallet, listings):
            mark = mark_of(listing)
            if mark is not None:
                with localcontext(EXACT):
                    total += listing.amount(position.lots) * mark - position.cost
        return total

    def open_positions(self, coin: str, wallet: str, listings: Iterable[Any]) -> list[tuple[Any, Position]]:
        known = {(x.market, x.symbol): x for x in listings}
        rows = [(known.get(k[:2]), p) for k, p in self.positions.items() if p.lots]
        return [(x, p) for x, p in rows if x is not None and (x.settle_coin, x.wallet) == (coin, wallet)]

    def equity(self, coin: str, wallet: str, listings: Iterable[Any], mark_of: Marks) -> Decimal:
        """Balance and unrealised profit."""
        return EXACT.add(self.balance(coin, wallet).total, self.unrealised(coin, wallet, listings, mark_of))

    def initial_margin(self, coin: str, wallet: str, listings: Iterable[Any], mark_of: Marks) -> Decimal:
        """What the open positions need at their leverage, rounded up."""
        total = ZERO
        for listing, position in self.open_positions(coin, wallet, listings):
            value = abs(EXACT.multiply(listing.amount(position.lots), mark_of(listing) or position.entry))
            total = EXACT.add(total, margin_of(value, position.leverage))
        return total

    def maintenance_margin(self, coin: str, wallet: str, listings: Iterable[Any], mark_of: Marks) -> Decimal:
        total = ZERO
        for listing, position in self.open_positions(coin, wallet, listings):
            value = abs(EXACT.multiply(listing.amount(position.lots), mark_of(listing) or position.entry))
            total = EXACT.add(total, EXACT.multiply(value, listing.maintenance_rate_of(value)))
        return total


def margin_of(value: Decimal, leverage: int) -> Decimal:
    """Initial margin of a value, rounded up to 8 decimals."""
    return UP.divide(value, Decimal(leverage)).quantize(Decimal("1e-8"), context=UP)


def need_of(order: Any) -> tuple[str, Decimal]:
    """Coin and amount that the open rest of a spot order holds: nothing at market and for perpetuals."""
    listing = order.listing
    base, quote = listing.coins
    if listing.is_perpetual:
        return listing.settle_coin, ZERO
    if order.side == SELL:
        return base, listing.amount(order.leaves_lots)
    if order.order_type in ("market", "stop_market"):
        return quote, ZERO
    return quote, listing.notional(order.price_ticks, order.leaves_lots)


def change_position(position: Position, listing: Any, delta: int, price_ticks: int, now_ns: int) -> Decimal:
    """Apply signed lots at a price to a position; returns the profit that was realised."""
    if position.lots == 0:
        position.realised, position.opened_ns = ZERO, now_ns
    closing = 0
    if position.lots * delta < 0:
        closing = -min(abs(delta), abs(position.lots)) * (1 if position.lots > 0 else -1)
    realised = _close(position, listing, closing, price_ticks) if closing else ZERO
    opening = delta - closing
    if opening:
        if position.lots == 0:
            position.realised, position.opened_ns = ZERO if closing else position.realised, now_ns
        position.cost = EXACT.add(position.cost, listing.notional(price_ticks, opening))
        position.lots += opening
    amount = listing.amount(position.lots)
    position.entry = SHOWN.divide(position.cost, amount) if position.lots else ZERO
    position.updated_ns = now_ns
    return realised


def _close(position: Position, listing: Any, closing: int, price_ticks: int) -> Decimal:
    """Take `closing` lots (of the other sign) off a position: its share of the cost, rounded, leaves with
    it."""
    if -closing == position.lots:
        share = position.cost
    else:
        part = ROUND.divide(EXACT.multiply(position.cost, Decimal(-closing)), Decimal(position.lots))
        share = part.quantize(COST_QUANTUM, context=ROUND)
    realised = EXACT.subtract(-listing.notional(price_ticks, closing), share)
    position.cost = EXACT.subtract(position.cost, share)
    position.lots += closing
    position.realised = EXACT.add(position.realised, realised)
    return realised


def make_account(
    owner: int, coins: Iterable[tuple[str, str]], keys: list[Key] | None = None, uid: str = ""
) -> Account:
    """An account with a generous balance of every (purse, coin)."""
    keys = [SIMULATED] if keys is None else keys
    account = Account(owner, uid or str(900_000_000 + owner), keys)
    for wallet, coin in sorted(set(coins)):
        amount = Decimal(GENEROUS.get(coin, OTHER_COIN))
        account.balance(coin, wallet).total = amount
    return account

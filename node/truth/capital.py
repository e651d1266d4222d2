"""What one purse is worth besides what the engine counts, so that equity is known while the node trades.

A wallet's total is what was there before us (the purse's base of each coin) plus what trades, fees, funding
and transfers made of it. The engine counts trades, fees and funding itself; what it is told here is the rest,
coin by coin, so it stays the same while we trade. Between what the engine counted and what the venue's lists
count there is a constant, too (a tape that reaches further back than the lists, a position that was taken
over): it is learned once, and must stay, or risk is held. Less than a lot of a base coin is no position: it
stays here, in the wallet's own coin.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any

from ext.records import HaltReason
from node.amounts import contract, lot
from node.truth.desk import Product
from node.truth.evidence import number
from node.truth.halts import REDUCE_ONLY, Halts
from node.truth.native import Native
from node.venues.values import CashRow, TradeRow

if TYPE_CHECKING:
    from node.truth.coins import Purse

NONE = Decimal(0)
FLOWS = ("deposit", "withdraw", "transfer")  # neither gain nor loss: they move the peak
SAMPLES = 4096  # of what the engine held, by instrument
ONE_E8 = 10**8
PRICE_EVERY_NS = 1_000_000_000
PRICE_PPM = 1000  # a coin's price is told anew when it moved so far
UNKNOWN_NS = 60_000_000_000  # so long without the constant, or a fee's price, before a person is told
MISSES = 3  # comparisons in a row without the constant, before risk is held

Sum = tuple[int, Decimal]  # lots, cash in tick * lot units


@dataclass(slots=True)
class Held:
    """What the engine counted of one instrument at a moment."""

    at_ns: int
    lots: int
    cash: int
    fees: dict[str, Decimal]


@dataclass(slots=True)
class Line:
    """One instrument: what the lists made of it, and what the engine did. `offset`: engine minus lists."""

    product: Product
    lots: int = 0
    cash: Decimal = NONE
    fees: dict[str, Decimal] = field(default_factory=dict)
    trades: int = 0
    is_begun: bool = True  # a perpetual begins with the position that the venue shows
    past: deque[Held] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    maybe: set[Sum] = field(default_factory=set)
    offset: Sum | None = None
    fee_offset: dict[str, Decimal] = field(default_factory=dict)
    misses: int = 0
    unknown_ns: int = 0  # since when comparisons have not come to the constant
    was_told: bool = False
    seen: tuple = ()

    def matches(self, since_ns: int) -> list[tuple[Sum, Held]]:
        """Every distance that engine and lists had since then: one of them is of the same trades."""
        rows = list(self.past)
        first = max((i for i, x in enumerate(rows) if x.at_ns <= since_ns), default=0)
        return [((x.lots - self.lots, x.cash - self.cash), x) for x in rows[first:]]


class Capital:
    """Of purse number `number` (what the engine calls it)."""

    def __init__(self, number: int, native: Native, halts: Halts):
        self.number, self.native, self.halts = number, native, halts
        self.lines: dict[int, Line] = {}
        self.cash: dict[
            str, Decimal
        ] = {}  # money that moved without a trade and that the engine does not count
        self.told: dict[str, int] = {}
        self.left_out: set[str] = set()
        self.unpriced: set[str] = set()  # coins that wait for the price of a book
        self.purse: Purse | None = None  # as last compared
        self.fees_bare_ns: dict[str, int] = {}  # coins of fees without a price: since when
        self.fees_told: set[str] = set()  # ... of which a person was told
        self.prices: dict[str, int] = {}
        self.priced_ns = 0
        self.flows_from_ns = 0
        self._books: tuple[int, dict[str, list[int]]] = (0, {})  # as of so many instruments: by base coin
        self.say: Callable[[str, int], None] = lambda text, now_ns: None

    def add(self, product: Product) -> None:
        """An instrument that is paid from this purse."""
        self.lines[product.instrument] = Line(product, is_begun=not product.is_perpetual)

    # ---- what the lists tell ----

    def on_paid(self, product: Product, row: TradeRow) -> None:
        """A trade that a list shows, once; of a perpetual, only what the position that it began with does
        not hold. ValueError where it is not on the instrument's grid."""
        line, table = self.lines[product.instrument], self.native.instruments
        lots, ticks = table.lots(product.instrument, row.size), table.ticks(product.instrument, row.price)
        signed = lots if row.side == 0 else -lots
        line.lots, line.cash = line.lots + signed, line.cash - signed * ticks

    def on_fee(self, product: Product, row: TradeRow) -> None:
        """The fee of any trade that a list shows, once: it is paid from the wallet in any case."""
        line = self.lines[product.instrument]
        if row.fee_coin:
            line.fees[row.fee_coin] = line.fees.get(row.fee_coin, NONE) + number(row.fee, "fee")
        line.trades += 1

    def set_cost(self, instrument: int, held: list[tuple[Decimal, str]]) -> None:
        """A perpetual's position as an agreed answer shows it, once: profit is counted from here.
        `held`: size (in the venue's unit) and entry of each leg that is not flat."""
        line, row = self.lines[instrument], self.native.instruments.row(instrument)
        line.is_begun, line.lots, line.cash = True, 0, NONE
        for size, entry in held:
            lots = self.native.instruments.lots(instrument, f"{size:f}")
            price = number(entry, "entry").scaleb(row["price_decimals"]) / row["tick_mantissa"]
            line.lots, line.cash = line.lots + lots, line.cash - price * lots

    def on_cash(self, row: CashRow, now_ns: int) -> None:
        """Money that moved without a trade, once: funding to its instrument, deposits and withdrawals as
        flows, the rest is gain or loss of the purse itself."""
        amount = number(row.amount, "amount")
        whole = int(amount.scaleb(8).to_integral_value(ROUND_FLOOR))
        line = self._perpetual(row.symbol) if row.kind == "funding" else None
        if line is not None and row.coin == line.product.quote:
            self.native.funding(line.product.instrument, whole, now_ns)
            amount -= Decimal(whole).scaleb(-8)  # what eight decimals cannot hold stays here
        elif row.kind in FLOWS and row.event_ns >= self.flows_from_ns and self._is_priced(row.coin):
            self.native.flow(self.number, whole, now_ns, coin=row.coin)
            if row.coin in self.told:
                self.told[row.coin] += whole
        self.cash[row.coin] = self.cash.get(row.coin, NONE) + amount

    def _perpetual(self, symbol: str) -> Line | None:
        """By symbol alone: a list of a whole wallet does not say which of its markets a payment is of."""
        for instrument, line in self.lines.items():
            if line.product.is_perpetual and self.native.instruments.symbol(instrument) == symbol:
                return line
        return None

    # ---- what the engine holds ----

    def sample(self, now_ns: int) -> None:
        """Remember what the engine counted, as long as a list may be behind."""
        for instrument, line in self.lines.items():
            sums = self.native.account.sums(instrument)
            if sums == line.seen:
                continue
            line.seen = sums
            row = self.native.account.position(instrument)
            last = line.past[-1] if line.past else None
            if last is not None and (last.lots, last.cash) == (row["lots"], row["cash"]):
                last.fees = _fees(line.product, row)  # a fee that came behind its fill
            else:
                line.past.append(Held(now_ns, row["lots"], row["cash"], _fees(line.product, row)))

    def compare(self, purse: "Purse", since_ns: int, now_ns: int) -> None:
        """Balances were compared, and all trades before `since_ns` are booked: learn, or check, the
        constants; tell the engine."""
        self.sample(now_ns)
        for line in self.lines.values():
            if line.is_begun:
                self._look(line, since_ns, now_ns)
            self._remind(line, now_ns)
        self.price(now_ns)
        if all(x.offset is not None for x in self.lines.values()) and not purse.unknown():
            self._tell(purse, now_ns)

    def _look(self, line: Line, since_ns: int, now_ns: int) -> None:
        found = [x for x in line.matches(since_ns) if not line.product.is_perpetual or not x[0][0]]
        if line.offset is not None:
            same = any(x == line.offset for x, _ in found)
            line.misses = 0 if same else line.misses + 1
            self._judge(line, now_ns)
            return
        sums = {x for x, _ in found}
        both = sums & line.maybe if line.maybe else sums
        known = next(iter(both)) if len(both) == 1 else None
        line.maybe = both or sums
        if known is not None:  # not while two are possible: nothing trades before equity is known, so it ends
            line.offset = known
            line.fee_offset = _minus(next(h for x, h in reversed(found) if x == known).fees, line.fees)

    def _remind(self, line: Line, now_ns: int) -> None:
        """Without the constant nothing new is risked: a person is told, once, and when it is over."""
        symbol = self.native.instruments.symbol(line.product.instrument)
        line.unknown_ns = 0 if line.offset is not None else line.unknown_ns or now_ns
        if line.offset is not None and line.was_told:
            line.was_told = False
            self.say(f"{symbol}: what the trades cost is known now", now_ns)
        elif line.offset is None and not line.was_told and now_ns - line.unknown_ns >= UNKNOWN_NS:
            line.was_told = True
            what = "the venue's trades and ours do not meet" if line.is_begun else "its position is not clear"
            self.say(f"{symbol}: {what}: equity is not known, nothing new is risked", now_ns)

    def _judge(self, line: Line, now_ns: int) -> None:
        instrument = line.product.instrument
        if not line.misses:
            if self.halts.free(instrument, HaltReason.HALT_CAPITAL, "capital", now_ns):
                self.say(
                    f"{self.native.instruments.symbol(instrument)}: what the trades cost agrees again", now_ns
                )
        elif line.misses >= MISSES and self.halts.hold(
            instrument, HaltReason.HALT_CAPITAL, REDUCE_ONLY, "capital", now_ns
        ):
            text = "the venue's trades and ours come to different money: equity is not certain: reduce-only"
            self.say(f"{self.native.instruments.symbol(instrument)}: {text}", now_ns)

    def forget(self, instruments: set[int], now_ns: int) -> None:
        """What the engine held before the first pass booked what was traded while nobody looked compares
        with nothing."""
        for instrument in instruments & self.lines.keys():
            self.lines[instrument].past.clear()
            self.lines[instrument].seen = ()
        self.sample(now_ns)

    @property
    def is_learning(self) -> bool:
        return any(x.offset is None for x in self.lines.values())

    @property
    def is_open(self) -> bool:
        """The last comparison did not show what it must, or more than one thing: the next one is due soon."""
        return any(x.misses or (x.offset is None and x.maybe) for x in self.lines.values())

    # ---- telling ----

    def amounts(self, purse: "Purse") -> dict[str, Decimal]:
        """Of each coin: the wallet, without what the engine counts of it."""
        out = purse.bases_of()
        for name, amount in self.cash.items():
            out[name] = out.get(name, NONE) + amount
        for line in self.lines.values():
            lots, cash = line.offset or (0, NONE)
            row = self.native.instruments.row(line.product.instrument)
            if not line.product.is_perpetual:
                out[line.product.base] = out.get(line.product.base, NONE) - lots * lot(row) * contract(row)
            money = cash * row["money_mul"] / row["money_div"]
            out[line.product.quote] = out.get(line.product.quote, NONE) - money.scaleb(-8)
            for coin, fee in line.fee_offset.items():
                out[coin] = out.get(coin, NONE) + fee
        return out

    def _tell(self, purse: "Purse", now_ns: int) -> None:
        """Coin by coin; the first time only when what there is of each is known, and each coin that a book
        of ours will price has its price: half an equity is a loss that nobody made. A coin that comes later
        is money paid in, not gain."""
        amounts = self.amounts(purse)
        is_first = not self.told
        self.unpriced = {x for x, amount in amounts.items() if amount and self._waits(x)}
        self.purse = purse
        if is_first and (self.unpriced or purse.others.is_learning):
            return
        for name, amount in sorted(amounts.items()):
            whole = int(amount.scaleb(8).to_integral_value(ROUND_FLOOR))
            if not self._is_priced(name):
                if whole and name not in self.left_out:
                    self.left_out.add(name)
                    self.say(
                        f"{name}: no instrument here has its price: it does not count as capital", now_ns
                    )
                continue
            if name not in self.told and not is_first and whole:
                self.native.flow(self.number, whole, now_ns, coin=name)
            elif self.told.get(name) != whole:
                self.native.capital(self.number, whole, now_ns, coin=name)
            self.told[name] = whole
        if not self.told:  # nothing is there: that is known, too
            self.native.capital(self.number, 0, now_ns)

    def is_price_due(self, now_ns: int) -> bool:
        """Once a second; and at once where the book of a coin that is waited for has its first price."""
        if now_ns - self.priced_ns >= PRICE_EVERY_NS:
            return True
        return any(not self._is_priced(x) and self._own_price(x) for x in self.unpriced)

    def price(self, now_ns: int) -> None:
        """Coins that our own books have a price for, at the side where they could be sold."""
        self.priced_ns = now_ns
        for name in sorted({x.product.quote for x in self.lines.values()}):
            if name and not self.native.equity.coin_price(name):
                self.native.set_coin_price(
                    name, ONE_E8, now_ns
                )  # the table was not told what it is quoted in
        wanted = set(self.told) | {x.product.base for x in self.lines.values() if not x.product.is_perpetual}
        wanted |= (
            {coin for x in self.lines.values() for coin in x.fees}
            | self.left_out
            | set(self.cash)
            | self.unpriced
        )
        for name in sorted(wanted):
            price = self._own_price(name)
            last = self.native.equity.coin_price(name) if price else 0
            if price and abs(price - last) * 1_000_000 > last * PRICE_PPM:
                self.native.set_coin_price(name, price, now_ns)
                self.left_out.discard(name)
        if self.purse is not None and self.unpriced and not any(map(self._waits, self.unpriced)):
            self._tell(self.purse, now_ns)
        self._remind_fees(now_ns)

    def _remind_fees(self, now_ns: int) -> None:
        """A coin that fees are paid in has no price before its book has come: a person is told of one that
        stays so, once, and when it is over."""
        bare = sorted({coin for x in self.lines.values() for coin in x.fees if not self._is_priced(coin)})
        self.fees_bare_ns = {x: self.fees_bare_ns.get(x, now_ns) for x in bare}
        for name in sorted(self.fees_told.difference(bare)):
            self.fees_told.discard(name)
            self.say(f"{name}: fees in it have a price now", now_ns)
        for name in [x for x in bare if x not in self.fees_told]:
            if now_ns - self.fees_bare_ns[name] < UNKNOWN_NS:
                continue
            self.fees_told.add(name)
            fix = (
                "the book of its instrument here must come"
                if self._waits(name)
                else "give one in the config, [[coin]] name and price_quote, and restart"
            )
            self.say(
                f"{name}: fees are paid in it, and it has had no price for {UNKNOWN_NS // 10**9} s: equity "
                f"is not known, and new orders are refused where a limit needs it (EQUITY_UNKNOWN): {fix}",
                now_ns,
            )

    def _own_price(self, name: str) -> int:
        """1e-8 of the account's currency, rounded down; 0 where no book of ours trades it."""
        table = self.native.instruments
        for instrument in self._books_of(name):
            bid_ticks = self.native.equity.worth(instrument)["exit_bid_ticks"]
            if not bid_ticks:
                continue
            row = table.row(instrument)
            unit = self.native.equity.coin_price(row["quote"]) if row["quote"] else 0
            if unit:
                return int(bid_ticks * row["tick_mantissa"] * unit // 10 ** row["price_decimals"])
        return 0

    def _books_of(self, name: str) -> list[int]:
        """Instruments whose books price a coin. What an instrument trades does not change, so the table is
        read only when it has grown: a coin may be waited for on every tick."""
        table = self.native.instruments
        if self._books[0] != table.count:
            rows = [table.row(i) for i in range(table.count)]
            found: dict[str, list[int]] = {}
            for instrument, row in enumerate(rows):
                if row["base"] != row["quote"]:
                    found.setdefault(row["base"], []).append(instrument)
            self._books = (table.count, found)
        return self._books[1].get(name, [])

    def _waits(self, name: str) -> bool:
        """Has it no price yet, and an instrument here that will give it one?"""
        return not self._is_priced(name) and bool(self._books_of(name))

    def _is_priced(self, name: str) -> bool:
        return bool(name) and self.native.equity.coin_price(name) > 0


def _fees(product: Product, row: dict[str, Any]) -> dict[str, Decimal]:
    out = {coin: Decimal(amount).scaleb(-8) for coin, amount in row["fees"].items()}
    for coin, key in ((product.quote, "fee_e8"), (product.base, "fee_base_e8")):
        out[coin] = out.get(coin, NONE) + Decimal(row[key]).scaleb(-8)
    return out


def _minus(ours: dict[str, Decimal], theirs: dict[str, Decimal]) -> dict[str, Decimal]:
    out = {x: ours.get(x, NONE) - theirs.get(x, NONE) for x in ours.keys() | theirs.keys() if x}
    return {x: amount for x, amount in out.items() if amount}

"""The coins of one purse: what the venue says is there, against what trades, fees, funding and transfers
make of it.

Exact decimals all the way. Between balance and effects there is a constant (what was there before us); once
learned it must stay.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from ext.records import HaltReason
from node.truth.capital import Capital
from node.truth.desk import Product
from node.truth.evidence import number
from node.truth.halts import REDUCE_ONLY, Difference, Halts
from node.truth.others import Others
from node.truth.settings import Settings
from node.truth.steady import Steady
from node.venues.values import BalanceRow, CashRow, TradeRow

KEYS = 16_384
LISTED = 16_384  # trades kept while a position's cost is not known
FUNDING_MOST = Decimal(10**9)  # no payment is larger: one that is must not fire a loss stop
NONE = Decimal(0)
Listed = tuple[Product, TradeRow]
EMPTY: Mapping[int, Mapping[str, Decimal]] = {}


@dataclass(slots=True)
class Coin:
    """`effects`: (venue's time, amount) of the last while, oldest first; what is older is in `total`."""

    steady: Steady
    total: Decimal = NONE
    effects: list[tuple[int, Decimal]] | None = None
    trades: int = 0  # that touched it: each may be rounded by the venue
    told: Decimal | None = None
    guesses: list[Decimal] = field(default_factory=list)  # what the base may be, while it is being learned
    guessed_ns: int = 0


@dataclass(slots=True)
class Cost:
    """An open perpetual position as the purse sees it: realised profit is made of it."""

    size: Decimal = NONE
    entry: Decimal = NONE

    def trade(self, size: Decimal, price: Decimal) -> Decimal:
        """Apply a signed trade; returns the profit realised by it."""
        if self.size * size >= 0:
            whole = self.size + size
            self.entry = (self.size * self.entry + size * price) / whole if whole else NONE
            self.size = whole
            return NONE
        closing = size if abs(size) <= abs(self.size) else -self.size
        profit = -closing * (price - self.entry)
        self.size += size
        if abs(size) > abs(closing):
            self.entry = price
        elif not self.size:
            self.entry = NONE
        return profit


@dataclass(slots=True)
class Shown:
    """A position as an agreed answer shows it, which left and was read at these times (our clock): `held`
    is leg, size and entry of each that is not flat. `same_ns`: when a later answer left that showed just
    that."""

    held: list[tuple[str, Decimal, str]]
    left_ns: int
    read_ns: int
    same_ns: int = 0

    def span(self, offset_ns: int, settle_ns: int) -> tuple[int, int]:
        """Trades between these times (the venue's clock) may be inside it or not."""
        return self.left_ns + offset_ns - settle_ns, self.read_ns + offset_ns + settle_ns


class Purse:
    """One wallet of one venue, shared by its desks."""

    def __init__(self, settings: Settings, halts: Halts, capital: Capital | None = None):
        self.settings, self.halts, self.capital = settings, halts, capital
        self.others = Others(settings)  # coins there that nothing here trades
        self.coins: dict[str, Coin] = {}
        self.users: dict[str, set[int]] = {}  # coin -> instruments that trade it
        self.bases: set[str] = set()  # base coins of spot symbols
        self.margin: set[str] = set()  # coins that perpetuals settle in
        self.costs: dict[int, dict[str, Cost] | None] = {}  # of each leg
        self.shown: dict[int, Shown] = {}  # what costs will begin with
        self.listed: dict[int, deque[tuple[Product, TradeRow]]] = {}  # while the cost is not known
        self.floor_ns: dict[int, int] = {}  # trades up to here (venue's clock) are inside what it began with
        self.contracts: dict[int, Decimal] = {}
        self.waiting: tuple[list[BalanceRow], int, int] | None = None
        self.hurried_ns = 0  # balances read then have made their desks list their trades at once
        self.compared_ns = 0  # when the last balances that were compared had been asked for
        self.read_ns = 0  # ... and were here
        self._keys: OrderedDict[tuple, None] = OrderedDict()
        self.note: Callable[[dict[str, str]], None] = lambda fields: None

    def add(self, product: Product, contract: Decimal) -> None:
        """An instrument that is paid from this purse; one size unit of it is `contract` coins."""
        for name in filter(None, (product.base if not product.is_perpetual else "", product.quote)):
            self.users.setdefault(name, set()).add(product.instrument)
        if product.is_perpetual:
            self.costs[product.instrument] = None
            self.listed[product.instrument] = deque(maxlen=LISTED)
            self.contracts[product.instrument] = contract
            self.margin.add(product.quote)
        else:
            self.bases.add(product.base)
        if self.capital is not None:
            self.capital.add(product)

    def coin(self, name: str) -> Coin:
        if name not in self.coins:
            self.coins[name] = Coin(Steady(self.settings.start_settle_ns), effects=[])
        return self.coins[name]

    def restore(self, name: str, base: Decimal) -> None:
        """What was there before us, as it was noted by an earlier run with the same effects since."""
        self.coin(name).steady = Steady(self.settings.settle_ns, base)

    # ---- effects ----

    def set_cost(
        self, instrument: int, held: list[tuple[str, Decimal, str]], left_ns: int, read_ns: int
    ) -> None:
        """A position that an agreed answer shows: realised profit is counted from here, once it is known
        which trades it holds (`explain_costs`). ValueError where it has no entry price."""
        if instrument not in self.costs or self.costs[instrument] is not None:
            return
        held = [x for x in held if x[1]]
        shown = self.shown.get(instrument)
        if shown is None:
            for _, _, entry in held:
                number(entry, "entry")
            self.shown[instrument] = Shown(held, left_ns, read_ns)
        elif held == shown.held:
            shown.same_ns = left_ns

    def costs_due_ns(self, instruments: set[int]) -> int:
        """Trades must be listed behind this moment (our clock) before a cost can be known; 0: none waits."""
        times = [self._explained_ns(x) for x in instruments & self.shown.keys()]
        return max(times, default=0)

    def is_ambiguous(self, instruments: set[int], offset_ns: int) -> bool:
        """May trades about the time of an answer cancel each other, so that its size does not say which of
        them it holds? Another answer, when all of them are surely inside, will."""
        for instrument in instruments & self.shown.keys():
            from_ns, _ = self.shown[instrument].span(offset_ns, self.settings.start_settle_ns)
            if sum(row.event_ns >= from_ns for _, row in self.listed[instrument]) > 1:
                return True
        return False

    def _explained_ns(self, instrument: int) -> int:
        shown = self.shown[instrument]
        return shown.read_ns + (0 if self._is_empty(instrument) else self.settings.start_settle_ns)

    def _is_empty(self, instrument: int) -> bool:
        """Flat, and no trade was listed: what is listed later, and was before the answer, cannot be missing
        in it. Nothing has to be waited for."""
        return not self.shown[instrument].held and not self.listed[instrument]

    def explain_costs(
        self,
        instruments: set[int],
        explained_ns: int,
        offset_ns: int,
        held: Mapping[int, Mapping[str, Decimal]] = EMPTY,
    ) -> set[int]:
        """All trades of these instruments that happened before `explained_ns` (our clock) were listed. Older
        trades than the answer are inside the position, newer ones are not. Of those about the time of the
        answer its size decides, where `held` says what all of them together made (by leg), or a later answer:
        else such a position is forgotten, and must be asked for again (what is returned)."""
        again = set()
        for instrument in sorted(instruments & self.shown.keys()):
            shown = self.shown[instrument]
            if self._explained_ns(instrument) > explained_ns:
                continue
            floor_ns = shown.left_ns if self._is_empty(instrument) else shown.read_ns
            del self.shown[instrument]
            from_ns, to_ns = shown.span(offset_ns, self.settings.start_settle_ns)
            rows = sorted(
                self.listed[instrument], key=lambda x: (x[1].event_ns, x[1].trade_hi, x[1].trade_lo)
            )
            about = [x for x in rows if from_ns <= x[1].event_ns <= to_ns]
            newer = [x for x in rows if x[1].event_ns > to_ns]
            sure_ns = shown.same_ns + offset_ns - self.settings.start_settle_ns
            inside = _inside(shown, about, newer, held.get(instrument), sure_ns) if about else 0
            if inside is None:
                again.add(instrument)
                continue
            self._begin_cost(instrument, shown, floor_ns + offset_ns)
            for product, row in about[inside:] + newer:
                self._on_cost(product, row)
            self.listed[instrument].clear()
        return again

    def _begin_cost(self, instrument: int, shown: Shown, floor_ns: int) -> None:
        contract, self.floor_ns[instrument] = self.contracts[instrument], floor_ns
        self.costs[instrument] = {
            leg: Cost(size * contract, number(entry, "entry")) for leg, size, entry in shown.held
        }
        if self.capital is not None:
            self.capital.set_cost(instrument, [(size, entry) for _, size, entry in shown.held])

    def _on_cost(self, product: Product, row: TradeRow) -> None:
        """A trade that the position of the start does not hold."""
        costs = self.costs[product.instrument]
        assert costs is not None
        size = number(row.size, "size") * self.contracts[product.instrument]
        cost = costs.setdefault(row.leg or "net", Cost())
        profit = cost.trade(size if row.side == 0 else -size, number(row.price, "price"))
        self._effect(product.quote, row.event_ns, profit)
        if self.capital is not None:
            self.capital.on_paid(product, row)

    def on_trade(self, product: Product, row: TradeRow) -> None:
        """A trade that a list shows, once."""
        size, price = number(row.size, "size"), number(row.price, "price")
        if not product.is_perpetual:
            signed = size if row.side == 0 else -size
            self._effect(product.base, row.event_ns, signed)
            self._effect(product.quote, row.event_ns, -signed * price)
            if self.capital is not None:
                self.capital.on_paid(product, row)
        elif self.costs.get(product.instrument) is None:
            if product.instrument in self.listed:
                self.listed[product.instrument].append((product, row))
        elif row.event_ns > self.floor_ns.get(product.instrument, 0):
            self._on_cost(product, row)
        self._effect(row.fee_coin, row.event_ns, -number(row.fee, "fee"))
        if self.capital is not None:
            self.capital.on_fee(product, row)

    def on_cash(self, row: CashRow) -> bool:
        """Money that moved without a trade, once: streams and lists tell of the same. False where it is
        known."""
        key = (row.coin, row.key) if row.key else (row.coin, row.kind, row.amount, row.event_ns // 1_000_000)
        amount = number(row.amount, "amount")
        if row.kind == "funding" and abs(amount) > FUNDING_MOST:
            raise ValueError(f"funding of {row.amount[:40]} {row.coin} cannot be")
        if key in self._keys:
            return False
        self._keys[key] = None
        if len(self._keys) > KEYS:
            self._keys.popitem(last=False)
        self._effect(row.coin, row.event_ns, amount, trades=0)
        return True

    def _effect(self, name: str, event_ns: int, amount: Decimal, trades: int = 1) -> None:
        if not name or not amount:
            return
        coin = self.coin(name)
        coin.trades += trades
        assert coin.effects is not None
        coin.effects.append((event_ns, amount))
        if len(coin.effects) > 1 and coin.effects[-2][0] > event_ns:
            coin.effects.sort(key=lambda x: x[0])

    # ---- balances ----

    def put(self, rows: list[BalanceRow], left_ns: int, read_ns: int) -> None:
        """A complete answer. It is compared when the trades of the time it was made are known."""
        for row in rows:
            number(row.total, f"{row.coin}: total")
        self.waiting = (rows, left_ns, read_ns)

    def compare(self, explained_ns: int, offset_ns: int, now_ns: int, is_early: bool = False) -> None:
        """All trades of this purse that happened before `explained_ns` (our clock) are booked; where it
        `is_early`, lists may still lack some. A coin that an answer does not name is not there, as far as
        that answer goes."""
        if self.waiting is None or explained_ns <= self.waiting[2]:
            return
        rows, left_ns, read_ns = self.waiting
        self.waiting, self.compared_ns, self.read_ns = None, left_ns, read_ns
        totals = {x.coin: number(x.total, x.coin) for x in rows}
        for name in sorted(totals.keys() | self.users.keys() | self.coins.keys() | self.others.coins.keys()):
            if name in self.users or name in self.coins:
                self._look(name, totals.get(name, NONE), left_ns, read_ns, offset_ns, now_ns)
            if name not in self.users:
                self._look_other(name, totals.get(name), left_ns, read_ns, offset_ns)
        if self.capital is not None and not is_early:
            self.capital.compare(self, explained_ns - self.settings.settle_ns, now_ns)

    def _look(
        self, name: str, total: Decimal, left_ns: int, read_ns: int, offset_ns: int, now_ns: int
    ) -> None:
        coin = self.coin(name)
        values = self._values(coin, total, left_ns + offset_ns, read_ns + offset_ns)
        dust = _dust(coin, "1e-6" if name in self.margin else "1e-8")
        coin.told = total
        base = coin.steady.base
        if name in self.margin and None in self.costs.values():
            # Profit cannot be counted before the positions are known: no more than a first look. Where one is
            # made until they are, the second look does not show the same.
            if base is None and not coin.guesses:
                coin.guesses, coin.guessed_ns = values, read_ns
            return
        if base is None:
            self._learn(name, coin, values, dust, left_ns, read_ns)
        else:
            value = min(values, key=lambda x: abs(x - base))
            coin.steady.look(value, left_ns, read_ns, dust)
        self._judge(name, coin, now_ns)

    def _look_other(
        self, name: str, total: Decimal | None, left_ns: int, read_ns: int, offset_ns: int
    ) -> None:
        values, dust = [total or NONE], NONE
        if name in self.coins:  # fees or transfers moved it
            coin = self.coins[name]
            values = self._values(coin, total or NONE, left_ns + offset_ns, read_ns + offset_ns)
            dust = _dust(coin)
        value = self.others.nearest(name, values)
        self.others.look(name, value, left_ns, read_ns, is_named=total is not None, dust=dust)

    def _learn(
        self, name: str, coin: Coin, values: list[Decimal], dust: Decimal, left_ns: int, read_ns: int
    ) -> None:
        """What was there before us: the one value that two looks or more, a settle window apart, have in
        common, whatever moves meanwhile."""
        if coin.guesses and left_ns < coin.guessed_ns + self.settings.start_settle_ns:
            return
        both = [x for x in values if any(abs(x - y) <= dust for y in coin.guesses)]
        if both and max(both) - min(both) <= dust:
            coin.steady = Steady(self.settings.settle_ns, both[-1])
            coin.steady.agreed_ns, coin.guesses = read_ns, []
            fields = {"event": "baseline", "coin": name, "amount": str(both[-1]), "total": str(coin.told)}
            self.note(fields)
        else:
            coin.guesses, coin.guessed_ns = both or values, read_ns

    def _values(self, coin: Coin, total: Decimal, from_ns: int, to_ns: int) -> list[Decimal]:
        """Total minus effects, for each moment at which the venue may have made the answer."""
        assert coin.effects is not None
        slack_ns = coin.steady.settle_ns
        old = [x for x in coin.effects if x[0] < from_ns - slack_ns]
        coin.total += sum((amount for _, amount in old), NONE)
        coin.effects = coin.effects[len(old) :]
        out, so_far = [total - coin.total], coin.total
        for event_ns, amount in coin.effects:
            so_far += amount
            if event_ns <= to_ns + slack_ns:
                out.append(total - so_far)
        return out

    def _judge(self, name: str, coin: Coin, now_ns: int) -> None:
        source = f"coin {name}"
        if coin.steady.drift is None:
            freed = [
                self.halts.free(x, HaltReason.HALT_DRIFT, source, now_ns)
                for x in sorted(self.users.get(name, ()))
            ]
            if any(freed):
                self.halts.tell(name, "balance: both agree again", now_ns)
            return
        drift = coin.steady.drift
        text = f"the venue says {coin.told}, trades and transfers make {(coin.told or NONE) - drift}"
        held = [
            self.halts.hold(x, HaltReason.HALT_DRIFT, REDUCE_ONLY, source, now_ns)
            for x in sorted(self.users.get(name, ()))
        ]
        if any(held):
            self.halts.tell(name, f"balance: {text}: reduce-only", now_ns)

    # ---- state ----

    def is_known(self, product: Product) -> bool:
        """The coin that a spot position consists of was seen, and is explained."""
        return product.is_perpetual or not product.base or self.coin(product.base).steady.base is not None

    def again_ns(self) -> int:
        """From when on another look counts: what is not known is learned at the start's pace, whoever trades
        already."""
        is_learning = self.unknown() or self.others.is_learning
        is_learning = is_learning or (self.capital is not None and self.capital.is_learning)
        return self.read_ns + (self.settings.start_settle_ns if is_learning else self.settings.settle_ns)

    @property
    def is_open(self) -> bool:
        """Must be looked at again soon: something differs, or what was there before us is not known yet."""
        if self.capital is not None and self.capital.is_open:
            return True
        return any(x.base is None or x.is_open for x in (self.coin(name).steady for name in self.users))

    def bases_of(self) -> dict[str, Decimal]:
        """Of each coin what was there before us, as far as it is known: of one that nothing here trades,
        what is there without what fees and transfers made of it."""
        known = {x: coin.steady.base for x, coin in self.coins.items() if coin.steady.base is not None}
        return self.others.amounts() | {name: Decimal(base) for name, base in known.items()}

    def unknown(self) -> list[str]:
        """Coins that something here trades and whose base is not known."""
        return [x for x in sorted(self.users) if self.coin(x).steady.base is None]

    def differences(self) -> list[Difference]:
        out = [Difference(name, "balance not known yet", 0) for name in self.unknown()]
        rows = [(name, x.steady) for name, x in sorted(self.coins.items()) if x.steady.drift is not None]
        return out + [Difference(name, f"balance differs by {x.drift}", x.since_ns) for name, x in rows]


def _dust(coin: Coin, of_one: str = "1e-8") -> Decimal:
    """What a venue's rounding of its trades may make of a balance."""
    return Decimal(of_one) * (1 + coin.trades)


def _inside(
    shown: Shown, about: list[Listed], newer: list[Listed], held: Mapping[str, Decimal] | None, sure_ns: int
) -> int | None:
    """How many of the trades `about` the time of an answer are inside the position that it shows: what we
    hold now without those behind it must be what it shows. Where some cancel each other, a later answer
    decides: up to `sure_ns` (the venue's clock) all are inside that one, and it shows the same size and
    entry. None where nothing, or more than one number, fits.
    """
    if held is None:
        return None
    told = {leg: size for leg, size, _ in shown.held}
    left = dict(held)
    for _, row in newer:
        _undo(left, row)
    found = []
    for inside in range(len(about), -1, -1):
        if all(left.get(leg, NONE) == told.get(leg, NONE) for leg in left.keys() | told.keys()):
            found.append(inside)
        if inside:
            _undo(left, about[inside - 1][1])
    if len(found) > 1 and found[0] == len(about) and about[-1][1].event_ns <= sure_ns:
        return found[0]
    return found[0] if len(found) == 1 else None


def _undo(left: dict[str, Decimal], row: TradeRow) -> None:
    size = number(row.size, "size")
    leg = row.leg or "net"
    left[leg] = left.get(leg, NONE) - (size if row.side == 0 else -size)

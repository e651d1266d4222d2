"""A slow twin of the whole gate: it keeps lists, recounts everything for each intent, and knows nothing of
the gate's insides. `Pair` tells both the same."""

from fractions import Fraction

from gate_room import (
    ACCOUNT,
    BUY,
    EXIT,
    IOC,
    LOT,
    NOW,
    POST_ONLY,
    PROTECT,
    SEC,
    SELL,
    STOP,
    TAKE,
    Room,
)
from hypothesis import strategies as st

from ext.records import OrderType, ReportKind

FRESH = 5 * SEC
LIMITS = {
    "max_size_lots": 60,
    "max_notional_e8": 55 * LOT,
    "max_position_lots": 80,
    "collar_ppm": 10_000,
    "stale_ns": 3 * SEC,
    "max_open_orders": 6,
    "duplicate_ns": 100,
    "max_open_notional_e8": 120 * LOT,
    "slippage_ppm": 1100,
    "spread_ppm": 2500,
    "maintenance_ppm": 10_000,
}
WHOLE = ACCOUNT | {
    "max_open_orders": 8,
    "max_coin_e8": 90 * LOT,
    "max_venue_e8": 70 * LOT,
    "max_total_e8": 130 * LOT,
    "max_leverage_milli": 4500,
    "margin_free_ppm": 200_000,
    "liquidation_ppm": 310_000,
    "max_daily_loss_e8": LOT // 20,
    "max_drawdown_ppm": 6000,
}
RATE, AMENDS, CANCELS, WINDOW = 8, 1, 3, 1000
CAPITAL = 20 * LOT
LEVERAGE = (10, 1)
SIDES = {0: ((9990, 40), (9980, 60)), 1: ((10_010, 40), (10_020, 60))}
REST = (0, POST_ONLY)


class Order:
    def __init__(self, **fields):
        self.filled, self.amend = 0, None
        self.__dict__.update(fields)

    def sizes(self):
        return [self.size] + ([self.amend[1]] if self.amend else [])

    def prices(self):
        return [self.price] + ([self.amend[0]] if self.amend else [])

    def left(self):
        return max(max(self.sizes()) - self.filled, 0)


class Twin:
    """What is allowed, from lists."""

    def __init__(self):
        self.now = self.book_ns = NOW
        self.open, self.lots, self.cash = {}, [0, 0], [0, 0]
        self.sent, self.amended, self.cancelled, self.last = [], [], [], {}
        self.halted, self.mark, self.latched = 0, None, False

    def usable(self):
        return self.now - self.book_ns <= LIMITS["stale_ns"]

    def sources(self, i):
        out = [Fraction(10_000)] if self.usable() else []
        if i == 0 and self.mark and self.now - self.mark[0] <= FRESH:
            out.append(Fraction(self.mark[1]))
        return sorted(out)

    def judge(self, o, amends=None):
        """A reason for a new order, or for what `amends` would become."""
        others = [x for x in self.open.values() if x is not amends]
        own, risk = o.strategy in (EXIT, PROTECT), not o.reduce
        lots = max(o.size, amends.size) - amends.filled if amends else o.size
        adds = risk and (amends is None or o.size > amends.size or o.price > amends.price)
        for check in (self.state, self.market, self.size, self.price):
            reason = check(o, own, risk, lots)
            if reason:
                return reason
        value = self.value
        if not own:
            reason = self.opened(o, others, amends, adds, lots, value)
            if reason:
                return reason
        reason = self.position(o, others, own, adds, lots)
        if reason:
            return reason
        if adds:
            reason = self.pools(o, others, lots, max(value, amends.price if amends else 0))
            if reason:
                return reason
        return "OK" if own else self.rates(o, amends, risk)

    def state(self, o, own, risk, lots):
        if self.latched and not own:
            return "LATCHED"
        if own and not (
            o.reduce and (o.type == STOP if o.strategy == PROTECT else o.type == 0 and o.tif == IOC)
        ):
            return "NUMBER"
        if own:
            return None
        if self.halted == 2:
            return "HALTED"
        return "REDUCE_ONLY" if self.halted and risk else None

    def market(self, o, own, risk, lots):
        if not self.usable() and not own:
            return "BOOK_STALE"
        sources = self.sources(o.i)
        if not sources:
            return "NO_REFERENCE"
        apart = (sources[-1] - sources[0]) / sources[0]
        return "NO_REFERENCE" if apart > Fraction(5, 100) and not own else None

    def size(self, o, own, risk, lots):
        if o.size < 1:
            return "SIZE_MIN"
        return "SIZE_MAX" if o.size > LIMITS["max_size_lots"] and not own else None

    def price(self, o, own, risk, lots):
        far = SIDES[1 - o.side]
        far = far if self.usable() else ()
        sources = self.sources(o.i)
        self.value = o.price
        if o.type == STOP:
            line = far and SIDES[o.side][0][0]
            line = SIDES[1][0][0] if o.side == BUY else SIDES[0][0][0]
            if not self.usable():
                line = sources[-1] if o.side == BUY else sources[0]
            if not o.reduce or o.trigger < 1 or (o.trigger <= line if o.side == BUY else o.trigger >= line):
                return "TRIGGER"
            self.value = o.trigger
        elif o.type == TAKE:
            if sum(n for _, n in far) < o.size:
                return "SIZE_MAX"
            self.value = self.walk(far, o.size)[0]
        if self.value < 1:
            return "PRICE_RANGE"
        price = self.value
        if o.type != STOP:
            ppm = Fraction(LIMITS["collar_ppm"], 10**6)
            near = [abs(price - s) <= s * ppm for s in sources]
            inside = all(near)
            if own:
                inside = sources[0] * (1 - ppm) <= price <= sources[-1] * (1 + ppm)
            elif not sources[-1] * (1 - ppm) <= price <= sources[0] * (1 + ppm):
                inside = False
            if not inside:
                return "PRICE_COLLAR"
            crosses = far and (price >= far[0][0] if o.side == BUY else price <= far[0][0])
            if o.tif == POST_ONLY and crosses:
                return "POST_ONLY_CROSS"
            if crosses and not own:
                reach = [(p, n) for p, n in far if (p <= price if o.side == BUY else p >= price)]
                _, cost, found = self.walk(reach, lots)
                mid = sources[0] if o.side == BUY else sources[-1]
                slip = (Fraction(cost, found) - mid) / mid * (1 if o.side == BUY else -1)
                if slip > Fraction(LIMITS["slippage_ppm"], 10**6):
                    return "SLIPPAGE"
        return "NOTIONAL_MAX" if price * o.size * 1000 > LIMITS["max_notional_e8"] and not own else None

    @staticmethod
    def walk(levels, size):
        cost = found = price = 0
        for level, n in levels:
            take = min(n, size - found)
            if take:
                cost, found, price = cost + level * take, found + take, level
        return price, cost, found

    def opened(self, o, others, amends, adds, lots, value):
        mine = [x for x in others if x.i == o.i]
        if o.type != STOP:
            resting = [
                p for x in mine if x.side != o.side and x.type == 0 and x.tif in REST for p in x.prices()
            ]
            if any(value >= p if o.side == BUY else value <= p for p in resting):
                return "SELF_TRADE"
        if amends is None:
            if len(mine) >= LIMITS["max_open_orders"]:
                return "OPEN_ORDERS"
            if len(others) >= WHOLE["max_open_orders"]:
                return "OPEN_TOTAL"
        worth = sum(max([x.value, *x.prices()]) * x.left() for x in mine if x.type != STOP)
        worth += max(value, amends.price if amends else 0) * lots
        return "OPEN_NOTIONAL" if adds and worth * 1000 > LIMITS["max_open_notional_e8"] else None

    def position(self, o, others, own, adds, lots):
        same = [x for x in others if x.i == o.i and x.side == o.side]
        held = -self.lots[o.i] if o.side == BUY else self.lots[o.i]
        if o.i == 1:
            if o.reduce or adds:
                worst = lots - held + (0 if o.type == STOP else sum(x.left() for x in same))
                if worst > (0 if o.reduce else LIMITS["max_position_lots"]):
                    return "EXIT_PENDING" if own and o.type != STOP and lots <= held else "POSITION"
            return None
        reducing = sum(x.left() for x in same if x.reduce)
        plain = sum(x.left() for x in same if not x.reduce)
        exits = sum(x.left() for x in same if x.reduce and x.type != STOP)
        most = LIMITS["max_position_lots"]
        if o.reduce and o.type == STOP:
            return "POSITION" if lots > held else None
        if o.reduce:
            if lots + exits > held:
                return "EXIT_PENDING" if exits and own else "POSITION"
            before, after = (plain - held + min(r, held) for r in (reducing, reducing + lots))
            return "POSITION" if after > max(most, before) else None
        if not adds:
            return None
        worst = plain + lots - held + min(reducing, max(held, 0))
        return "POSITION" if worst > most else None

    def reach(self, others, i, side):
        """Lots that open orders of one side could move the position by: on perpetuals (instrument 0) those
        that only reduce end at flat together."""
        same = [x for x in others if x.i == i and x.side == side]
        if i:
            return sum(x.left() for x in same)
        held = max(self.lots[i] if side == SELL else -self.lots[i], 0)
        return sum(x.left() for x in same if not x.reduce) + min(
            sum(x.left() for x in same if x.reduce), held
        )

    def pools(self, o, others, lots, value):
        long, short = [0, 0], [0, 0]
        for i in range(2):
            long[i] = (self.lots[i] + self.reach(others, i, BUY)) * LOT
            short[i] = (self.lots[i] - self.reach(others, i, SELL)) * LOT
        gross = [max(abs(long[i]), abs(short[i])) for i in range(2)]
        add = max(value, 10_000) * lots * 1000
        if o.side == BUY:
            worst, far = sum(long) + add, long[o.i] + add
        else:
            worst, far = add - sum(short), add - short[o.i]
        if worst > WHOLE["max_coin_e8"]:
            return "COIN"
        more = max(far - gross[o.i], 0)
        if more:
            if gross[o.i] + more > WHOLE["max_venue_e8"]:
                return "VENUE"
            if sum(gross) + more > WHOLE["max_total_e8"]:
                return "TOTAL"
        purse = [CAPITAL + (self.cash[i] + self.lots[i] * 10_000) * 1000 for i in range(2)]
        if 2 * CAPITAL - sum(purse) > WHOLE["max_daily_loss_e8"]:
            return "DAILY_LOSS"
        if Fraction(2 * CAPITAL - sum(purse), 2 * CAPITAL) > Fraction(WHOLE["max_drawdown_ppm"], 10**6):
            return "DRAWDOWN"
        if not more:
            return None
        if (sum(gross) + more) * 1000 > WHOLE["max_leverage_milli"] * sum(purse):
            return "LEVERAGE"
        equity, margin = purse[o.i], -(-gross[o.i] // LEVERAGE[o.i])
        free = equity - margin - Fraction(more, LEVERAGE[o.i])
        if free * 10**6 < WHOLE["margin_free_ppm"] * equity:
            return "MARGIN"
        keep = Fraction(abs(self.lots[o.i]) * LOT + more, 100)
        if o.i == 0 and (equity - keep) * 10**6 < WHOLE["liquidation_ppm"] * (gross[0] + more):
            return "LIQUIDATION_NEAR"
        return None

    def rates(self, o, amends, risk):
        def recent(times):
            return len([t for t in times if self.now - t < WINDOW])

        last = self.last.get((o.i, o.side), [])[-8:]
        same = [x for x in last if x[:2] == (o.price, o.size) and self.now - x[2] < LIMITS["duplicate_ns"]]
        if amends is None and same:
            return "DUPLICATE"
        if amends is not None and recent(self.amended) >= AMENDS:
            return "AMEND_RATE"
        if amends is None and recent(self.sent) >= RATE:
            return "ORDER_RATE"
        return "CANCEL_RATE" if risk and recent(self.cancelled) > CANCELS else "OK"


STRATEGIES = st.sampled_from([0, 0, 0, 0, 1, EXIT, PROTECT])
NEW = st.tuples(
    st.just("new"),
    st.integers(0, 1),
    st.integers(0, 1),
    st.one_of(st.integers(9880, 10_120), st.sampled_from([9980, 9990, 10_000, 10_010, 10_020])),
    st.one_of(st.integers(1, 62), st.integers(1, 15)),
    st.sampled_from([0, 0, 0, TAKE, STOP]),
    st.sampled_from([0, 0, IOC, POST_ONLY]),
    st.booleans(),
    STRATEGIES,
)
WAY_OUT = st.tuples(
    st.just("new"),
    st.integers(0, 1),
    st.integers(0, 1),
    st.integers(9880, 10_120),
    st.integers(1, 40),
    st.sampled_from([0, STOP]),
    st.just(IOC),
    st.just(True),
    st.sampled_from([EXIT, PROTECT, 0]),
)
PICK = st.integers(0, 20)
OTHER = st.one_of(
    st.tuples(st.just("fill"), PICK, st.integers(1, 60)),
    st.tuples(st.just("live"), PICK, st.just(0)),
    st.tuples(st.just("amend"), PICK, st.integers(9900, 10_100), st.integers(1, 62)),
    st.tuples(st.just("amended"), PICK, st.booleans()),
    st.tuples(st.just("cancel"), PICK, st.booleans()),
    st.tuples(st.just("time"), st.integers(0, 600), st.just(0)),
    st.tuples(st.just("late"), st.just(4 * SEC), st.just(0)),
    st.tuples(st.just("book"), st.just(0), st.just(0)),
    st.tuples(st.just("mark"), st.integers(9850, 10_150), st.just(0)),
    st.tuples(st.just("mark"), st.integers(9300, 10_700), st.just(0)),
    st.tuples(st.just("halt"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("latch"), st.integers(0, 3), st.just(0)),
)


THOUSANDTHS = ("LEVERAGE", "CANCEL_RATIO", "TRADE_RATIO")
ROUNDED = 10**9  # what rounding may cost a share, in millionths of 1e-8


def told_well(gate, reason):
    """What the gate wrote down of its last answer: every check in front of the last one holds, and so
    does that one where the order passed; where it was refused, it is the reason, with its value and
    limit."""
    rows = gate.last_asked()
    if reason != "OK":
        last = rows.pop()
        assert (last["reason"], last["value"], last["limit"]) == (reason, gate.value, gate.limit)
    for row in rows:
        of = 1000 if row["reason"] in THOUSANDTHS else 1_000_000
        value, limit, slack = row["value"], row["limit"], 0
        if row["whole"] > 0:
            value, limit, slack = value * of, limit * row["whole"], ROUNDED
        holds = {
            "AT_MOST": value <= limit + slack,
            "AT_LEAST": value + slack >= limit,
            "BELOW": value < limit,
            "ABOVE": value > limit,
            "MULTIPLE": row["sense"] == "MULTIPLE" and value % limit == 0,
            "HOLDS": True,
        }
        assert row["whole"] == -1 or holds[row["sense"]], row


class Pair:
    """The gate and its twin, told the same."""

    def __init__(self):
        self.room, self.twin, self.seen = Room(**LIMITS), Twin(), set()
        self.room.gate.set_rate(RATE, WINDOW, AMENDS, CANCELS)
        self.room.account_limits(**WHOLE)
        self.room.capital(CAPITAL, CAPITAL)

    def pick(self, n):
        ids = sorted(self.twin.open)
        return ids[n % len(ids)] if ids else None

    def agree(self, got, expected):
        assert got == expected
        self.seen.add(got)
        told_well(self.room.gate, got)

    def new(self, i, side, price, size, kind, tif, reduce, strategy):
        trigger = price if kind == STOP else 0
        o = Order(
            i=i,
            side=side,
            price=price if kind == 0 else 0,
            size=size,
            type=kind,
            tif=tif,
            reduce=reduce,
            strategy=strategy,
            trigger=trigger,
        )
        expected = self.twin.judge(o)
        got = self.room.order(
            side,
            o.price,
            size,
            self.twin.now,
            i,
            tif=tif,
            type=kind,
            reduce_only=reduce,
            strategy=strategy,
            trigger=trigger,
        )[0]
        self.agree(got, expected)
        if got == "OK":
            o.value = self.twin.value
            self.twin.open[self.room.last] = o
            self.twin.sent.append(self.twin.now)
            self.twin.last.setdefault((i, side), []).append((o.price, size, self.twin.now))

    def amend(self, n, price, size):
        order_id = self.pick(n)
        if order_id is None:
            return
        old = self.twin.open[order_id]
        state = self.room.orders.order(order_id)["state"]
        if state not in ("LIVE", "PARTIAL") or old.amend or size <= old.filled or old.type != OrderType.LIMIT:
            return
        new = Order(**{**old.__dict__, "price": price, "size": size})
        expected = self.twin.judge(new, old)
        self.agree(self.room.gate.try_amend(order_id, price, size, self.twin.now)[0], expected)
        if expected == "OK":
            old.amend = (price, size)
            self.twin.amended.append(self.twin.now)

    def amended(self, n, done):
        order_id = self.pick(n)
        if order_id is not None and self.twin.open[order_id].amend:
            o = self.twin.open[order_id]
            kind = ReportKind.REPORT_AMENDED if done else ReportKind.REPORT_AMEND_REJECT
            self.room.orders.report(order_id, kind)
            if done:
                o.price, o.size = o.amend[0], max(o.amend[1], o.filled)
            o.amend = None

    def fill(self, n, lots):
        order_id = self.pick(n)
        o = self.twin.open.get(order_id)
        if o is None or o.amend or o.type != OrderType.LIMIT:
            return
        lots = min(lots, o.left())
        if lots < 1:
            return
        self.room.fill(order_id, lots)
        sign = 1 if o.side == BUY else -1
        o.filled += lots
        self.twin.lots[o.i] += sign * lots
        self.twin.cash[o.i] -= sign * lots * o.price
        if o.filled == o.size:
            del self.twin.open[order_id]

    def cancel(self, n, closed):
        order_id = self.pick(n)
        if order_id is None:
            return
        assert self.room.gate.try_cancel(order_id, self.twin.now) == "OK"
        self.twin.cancelled.append(self.twin.now)
        if closed:
            self.room.orders.report(order_id, ReportKind.REPORT_CANCELED)
            del self.twin.open[order_id]

    def other(self, kind, value):
        twin, gate = self.twin, self.room.gate
        if kind in ("time", "late"):
            twin.now += value
        elif kind == "book":
            twin.book_ns = twin.now
            for i in range(2):
                self.room.book(i, now=twin.now)
        elif kind == "mark":
            twin.mark = (twin.now, value)
            self.room.reference.mark(0, twin.now, mark_e8=value * 10**6)
        elif kind == "halt":
            twin.halted = value
            for i in range(2):
                if value:
                    gate.halt(i, 1, value)
                else:
                    gate.resume(i, 1)
        elif kind == "latch":
            twin.latched = value == 1
            if value == 1:
                gate.latch(1)
            else:
                gate.release()

    def step(self, event):
        kind, *rest = event
        if kind == "live":
            order_id = self.pick(rest[0])
            if order_id is not None:
                self.room.orders.report(order_id, ReportKind.REPORT_LIVE)
        elif hasattr(self, kind) and kind in ("new", "amend", "amended", "fill", "cancel"):
            getattr(self, kind)(*rest)
        else:
            self.other(kind, rest[0])
        for i in range(2):
            self.room.equity.count_now(i)


def drawn(rng):
    """An event, most of them such that much passes."""
    draw = rng.random()
    if draw < 0.5:
        side = rng.randrange(2)
        near = rng.choice(
            [rng.randrange(9985, 10_000), rng.randrange(9970, 10_031), rng.randrange(9880, 10_121)]
        )
        price = near if side == BUY else 20_000 - near
        kind, tif = rng.choice([0] * 8 + [TAKE, STOP]), rng.choice([0, 0, 0, IOC, POST_ONLY])
        size = rng.choice([rng.randrange(1, 12), rng.randrange(1, 62)])
        if rng.random() < 0.25:
            kind, tif = rng.choice([0, 0, STOP]), IOC
            return "new", 0, side, price, size, kind, tif, True, rng.choice([0, PROTECT if kind else EXIT])
        return "new", rng.randrange(2), side, price, size, kind, tif, rng.random() < 0.1, rng.randrange(2)
    n = rng.randrange(20)
    usual = [
        ("fill", n, rng.randrange(1, 40)),
        ("live", n, 0),
        ("live", n, 0),
        ("amended", n, rng.random() < 0.7),
    ]
    usual += [("amend", n, rng.randrange(9940, 10_060), rng.randrange(1, 50)), ("cancel", n, True)]
    usual += [("time", rng.randrange(600), 0), ("time", rng.randrange(600), 0)]
    rare = [
        ("late", 4 * SEC, 0),
        ("mark", rng.randrange(9850, 10_150), 0),
        ("mark", rng.randrange(9300, 10_700), 0),
    ]
    rare += [("halt", rng.randrange(3), 0), ("latch", rng.randrange(2), 0), ("cancel", n, False)]
    if draw < 0.95:
        return rng.choice(usual)
    return rng.choice(rare) if draw < 0.965 else rng.choice([("book", 0, 0), ("halt", 0, 0), ("latch", 0, 0)])

"""A world whose venue end is watched: the invariants of the failure catalogue, checked from the venue's
own records and from the tape at every step of virtual time, not at the end only.

What is held against the venue: S1 (an order there has an intent on the tape, stored before its bytes
left), S2 (one order for each intent), S3 (its position and open orders stay inside the limits), S5 (each
trade is applied once, as the venue booked it), S6 (nothing goes backwards), S7 (what is over here is not
open there), S13 (the number on the wire is the one of the intent; so is what it is worth), S16 (no window
holds more requests than the venue publishes). What is broken is collected in `broken`, each with its time.
"""

import json
from collections import Counter, defaultdict, deque
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from hands import Commands, Ours

from ext.records import Action, Market, OrderState, OrderType, fill_row, verdict_row
from ext.tape import RecordType, TapeReader, TapeWriter
from node.config import MARKETS
from node.limits import lots_of
from node.sim.memory import SEC, START_NS, World
from node.venues.markets import MARKETS as MARKET_ROWS
from node.venues.okx import rules as okx_rules
from node.venues.parts import Limiter

RANKS = {x.name: x.value for x in OrderState}
OVER = {"FILLED", "CANCELED", "REJECTED", "EXPIRED", "NEVER_EXISTED"}
INFERRED = {"REJECTED", "NEVER_EXISTED"}  # the only ends that evidence may undo (section 3, rule 7)
TIFS = ("gtc", "ioc", "fok", "post_only")
TYPES = ("limit", "market", "stop_market")
TAPE_BYTES = 1 << 22
OVER_STEPS = 64  # orders that are over are looked at every so many steps: they are many


class Watched(World):
    """`World` with witnesses. `directory`: where its tape goes (emptied by whoever made it). `by_rest`:
    every order frame is carried by its REST twin, while all lines stay up."""

    def __init__(self, config: Any, *, directory: Any, by_rest: bool = False, **more: Any):
        self.by_rest = by_rest
        self.broken: list[str] = []
        self.frames: list[tuple[int, int, bytes]] = []  # time, market, frame as handed to the outlet
        self.intents: dict[int, list[dict]] = defaultdict(list)  # order id -> approved intents, oldest first
        self.taped: Counter[bytes] = Counter()
        self.applied: dict[tuple, dict] = {}  # (instrument, side, trade id) -> fill as applied
        self.lots: Counter[int] = Counter()  # instrument -> sum of what was applied
        self.accepted: dict[str, Any] = {}  # client id -> the venue's order
        self.arrived: dict[tuple, deque[int]] = defaultdict(deque)
        self.most: Counter[tuple] = Counter()  # the fullest window of each budget
        self.refused: list[str] = []  # requests that the venue refused because there were too many
        self.before: dict[int, dict] = {}
        self.open: set[int] = set()
        self.limits: dict[int, tuple[int, int]] = {}
        self.traded: Counter[tuple] = Counter()  # listing key -> net lots, as the venue booked them
        self.seen_trades: Counter[str] = Counter()
        self.tested = 0
        start_ns = more.get("start_ns", START_NS)
        self.writer = TapeWriter(str(directory), now_ns=start_ns, segment_size=TAPE_BYTES, ahead=0)
        self.reader = TapeReader(str(directory), follow=True)
        super().__init__(config, tape=self.writer, **more)

    def fail(self, text: str) -> None:
        self.broken.append(f"{(self.now_ns - START_NS) / SEC:.3f} s: {text}")

    # ---- where to listen ----

    def _make_venues(self, *given: Any) -> None:
        super()._make_venues(*given)
        for fake in self.fakes.values():
            self._listen(fake)

    def _listen(self, fake: Any) -> None:
        on_accepted, on_amended = fake.on_accepted, fake.on_amended

        def accepted(order: Any, now_ns: int) -> None:
            self._accepted(fake, order)
            on_accepted(order, now_ns)

        def amended(order: Any, now_ns: int) -> None:
            self._amended(order)
            on_amended(order, now_ns)

        fake.on_accepted, fake.on_amended = accepted, amended
        for limiter in fake.limiters.values():
            self._listen_limiter(limiter)
        make = fake.limiter
        fake.limiter = lambda *given, **more: self._listen_limiter(make(*given, **more))
        algos = getattr(fake, "algos", None)
        if hasattr(algos, "add"):  # Binance USD-M: stops are no orders until they are reached
            add = algos.add

            def added(algo: Any, now_ns: int) -> None:
                self._accepted(fake, as_order(algo))
                add(algo, now_ns)

            algos.add = added

    def _listen_limiter(self, limiter: Limiter) -> Limiter:
        """S16: nothing is refused because there was too much of it."""
        if "_refuse" not in vars(limiter):
            refuse = limiter._refuse

            def told(who: Any, now_ns: int) -> None:
                self.refused.append(f"{(now_ns - START_NS) / SEC:.3f} s: {limiter.name}")
                refuse(who, now_ns)

            limiter._refuse = told  # type: ignore[method-assign]
        return limiter

    def _write(self, line: int, frame: bytes) -> None:
        """S1: by now the frame and its verdict are on the tape."""
        self._read_tape()
        market = self.lines[line].spec.market if line in self.lines else self.rest_of[line]
        if not self.taped[frame]:
            self.fail(f"S1: written before it was on the tape: {frame[:120]!r}")
        self.frames.append((self.now_ns, market, frame))
        if self.by_rest and line in self.lines:
            self._order_by_rest(market, frame)
        else:
            super()._write(line, frame)

    def _arrive(self, wired: Any, generation: int, text: str) -> None:
        alive = wired.generation == generation and wired.connection is not None
        if alive and wired.spec.role == "orders" and wired.connection.closing is None:
            self._count_requests(wired.spec.market, text)
        super()._arrive(wired, generation, text)

    def _order_by_rest(self, market: int, frame: bytes) -> None:
        self._count_requests(market, frame.decode())
        if is_batch(frame):  # the engine never sends one this way: only its private stream answers
            self._send_rest(market, self.desk.rest[market].from_frame(frame), lambda reply: None)
        else:
            super()._order_by_rest(market, frame)

    # ---- the tape ----

    def _read_tape(self) -> None:
        while rows := self.reader.poll(4096):
            for row in rows:
                if row.type == RecordType.ORDER_OUT:
                    self.taped[row.payload[8:]] += 1
                elif row.type == RecordType.VERDICT:
                    self._verdict(verdict_row(row.payload))
                elif row.type == RecordType.FILL:
                    self._applied(fill_row(row.payload))

    def _verdict(self, row: dict) -> None:
        if row["reason"] == "OK" and row["intent"]["action"] != Action.CANCEL:
            self.intents[row["order_id"]].append(row["intent"])

    def _applied(self, row: dict) -> None:
        """S5: each trade once, and as the venue booked it. A report that only brings a fee has no lots."""
        report = row["report"]
        if report["kind"] != "REPORT_FILL" or not report["size_lots"]:
            return
        key = (report["instrument"], report["side"], report["trade_hi"], report["trade_lo"])
        if key in self.applied:
            old = self.applied[key]
            if row["position_lots"] != self.lots[report["instrument"]]:
                self.fail(f"S5: trade {key} applied twice: {old} and {report}")
            return
        self.applied[key] = report
        self.lots[report["instrument"]] += -report["size_lots"] if report["side"] else report["size_lots"]

    # ---- what the venue took ----

    def number_of(self, listing: Any) -> int | None:
        return self.desk.numbers.get(listing.key)

    def _is_ours(self, listing: Any, client_id: str) -> bool:
        return listing.market in self.desk.wires and bool(self.desk.wires[listing.market].whose(client_id)[0])

    def _accepted(self, fake: Any, order: Any) -> None:
        listing = order.listing
        if (
            order.nature != "trade"
            or order.notes.get("is_child")
            or not self._is_ours(listing, order.client_id)
        ):
            return
        name = f"{listing.symbol} {order.client_id}"
        before, self.accepted[order.client_id] = self.accepted.get(order.client_id), order
        if isinstance(before, SimpleNamespace):
            return  # a stop of Binance USD-M was reached: the order that it made
        if before is not None:
            self.fail(f"S2: {name}: a second order with one intent")
        self._read_tape()
        intents = self.intents.get(self.desk.wires[listing.market].whose(order.client_id)[0], [])
        if not intents:
            self.fail(f"S1: {name}: no intent on the tape")
            return
        self._same(order, intents[0], name)

    def _same(self, order: Any, intent: dict, name: str) -> None:
        """S13 and row 64: what the venue understood is what was meant, in its own units and in money."""
        number = self.number_of(order.listing)
        told = (order.side, order.order_type, order.tif if order.order_type == "limit" else "")
        meant = (intent["side"], TYPES[intent["type"]], TIFS[intent["tif"]] if not intent["type"] else "")
        if told != meant and not (
            intent["type"] == OrderType.MARKET and told[1:] == ("limit", "ioc")
        ):  # Bybit's way
            self.fail(f"{name}: {told} at the venue, {meant} meant")
        if order.listing.is_perpetual and order.reduce_only != bool(intent["reduce_only"]):
            self.fail(f"{name}: reduce-only {order.reduce_only} at the venue")
        if number is not None:
            self._same_numbers(number, order, intent, name)

    def _same_numbers(self, number: int, order: Any, intent: dict, name: str) -> None:
        table, listing = self.desk.instruments, order.listing
        prices, sizes = table.price_grid(number), table.size_grid(number)
        price = Decimal(intent["price_ticks"] * prices.mantissa).scaleb(-prices.decimals)
        trigger = Decimal(intent["trigger_ticks"] * prices.mantissa).scaleb(-prices.decimals)
        size = Decimal(intent["size_lots"] * sizes.mantissa).scaleb(-sizes.decimals)
        is_limit = intent["type"] == OrderType.LIMIT
        if is_limit and listing.price_of(order.price_ticks) != price:
            self.fail(f"S13: {name}: price {listing.price_of(order.price_ticks)}, meant {price}")
        if order.order_type == "stop_market" and listing.price_of(order.trigger_ticks) != trigger:
            self.fail(f"S13: {name}: trigger {listing.price_of(order.trigger_ticks)}, meant {trigger}")
        if listing.amount(order.size_lots) != size * Decimal(listing.contract):
            self.fail(f"S13: {name}: {listing.amount(order.size_lots)} coins, meant {size}")
        if is_limit:
            worth = listing.notional(order.price_ticks, order.size_lots)
            meant = table.money(number, intent["price_ticks"], intent["size_lots"])
            if int(worth.scaleb(8)) != meant:
                self.fail(f"row 64: {name}: worth {worth} at the venue, {meant} e-8 meant")

    def _amended(self, order: Any) -> None:
        """S13: price and size in force are those of one of our intents, unless the venue itself shrank it."""
        listing, number = order.listing, self.number_of(order.listing)
        if number is None or not self._is_ours(listing, order.client_id) or order.order_type != "limit":
            return
        table = self.desk.instruments
        prices, sizes = table.price_grid(number), table.size_grid(number)
        asked = {
            (
                Decimal(x["price_ticks"] * prices.mantissa).scaleb(-prices.decimals),
                Decimal(x["size_lots"] * sizes.mantissa).scaleb(-sizes.decimals) * Decimal(listing.contract),
            )
            for x in self.intents.get(self.desk.wires[listing.market].whose(order.client_id)[0], [])
        }
        now = (listing.price_of(order.price_ticks), listing.amount(order.size_lots))
        if now not in asked and not order.reduce_only:
            self.fail(f"S13: {order.client_id}: amended to {now}, asked for {sorted(asked)}")

    # ---- how often it was asked ----

    def _count_requests(self, market: int, text: str) -> None:
        op, found = requests_in(text)
        for action, count, symbol in found:
            for kind, limit, interval_ns, by_instrument in budgets_of(market, op):
                if kind == action:
                    self._count(market, symbol if by_instrument else "", (kind, limit, interval_ns), count)

    def _count(self, market: int, symbol: str, rule: tuple[int, int, int], count: int) -> None:
        """S16: in any window that ends now."""
        kind, limit, interval_ns = rule
        times = self.arrived[market, symbol, rule]
        times.extend([self.now_ns] * count)
        while times[0] <= self.now_ns - interval_ns:
            times.popleft()
        self.most[market, kind, interval_ns] = max(self.most[market, kind, interval_ns], len(times))
        if len(times) > limit:
            self.fail(
                f"S16: {len(times)} requests of kind {kind} in {interval_ns / SEC:g} s, {limit} are allowed"
            )

    # ---- every step ----

    def _venues(self) -> None:
        super()._venues()
        self.check()

    def check(self) -> None:
        """Hold the node against the venues now."""
        self.tested += 1
        self._read_tape()
        self._check_orders()
        for market, name in self.venue_of.items():
            self._check_open(market, self.fakes[name])
            self._check_position(market, self.fakes[name])

    def _check_orders(self) -> None:
        """S6: states and filled quantity only rise; S5: never more than was ordered."""
        orders, now_open = self.engine.orders, set(self.engine.orders.open_orders())
        ids = now_open | self.open if self.tested % OVER_STEPS else now_open | self.before.keys()
        self.open = now_open
        for order_id in ids:
            row, old = orders.order(order_id), self.before.get(order_id)
            if row is None:  # its place was needed: it was over, or it was lost
                if old and old["state"] not in OVER:
                    self.fail(f"S6: order {order_id} vanished in state {old['state']}")
                self.before.pop(order_id, None)
                continue
            if old is not None:
                self._check_monotone(order_id, old, row)
            size = max(row["size_lots"], row["amend_lots"] if row["amending"] else 0)
            if row["filled_lots"] > size:
                self.fail(f"S5: order {order_id} filled {row['filled_lots']} of {size}")
            self.before[order_id] = row

    def _check_monotone(self, order_id: int, old: dict, row: dict) -> None:
        was, now = old["state"], row["state"]
        if row["filled_lots"] < old["filled_lots"] or row["told_lots"] < old["told_lots"]:
            self.fail(f"S6: order {order_id}: filled {old['filled_lots']} -> {row['filled_lots']}")
        if was in OVER and now != was and was not in INFERRED:
            self.fail(f"S6: order {order_id}: {was} -> {now}")
        if was not in OVER and was != "UNKNOWN" and RANKS[now] < RANKS[was]:
            self.fail(f"S6: order {order_id}: {was} -> {now}")

    def _check_open(self, market: int, fake: Any) -> None:
        """S7: the venue says no order open that is over here."""
        wire, orders = self.desk.wires[market], self.engine.orders
        for order in fake.open_orders(self.account(market), market):
            sequence, epoch = wire.whose(order.client_id)
            if not sequence or order.silent:
                continue
            row = orders.order(orders.whose(sequence, epoch))
            if row is not None and row["state"] in OVER:
                self.fail(f"S7: {order.client_id} is open at the venue and {row['state']} here")

    def _check_position(self, market: int, fake: Any) -> None:
        """S5: position is the sum of what was applied, each a trade of the venue's. S3: with the venue's
        own numbers the position and all open orders of a side stay inside the limit."""
        for trade in self.account(market).trades[self.seen_trades[str(market)] :]:
            self.seen_trades[str(market)] += 1
            self.traded[market, *trade.listing.key] += -trade.size_lots if trade.side else trade.size_lots
        for (of, symbol), number in self.desk.numbers.items():
            if of != market:
                continue
            listing, here = fake.listings[of, symbol], self.engine.account.position(number)
            if here["lots"] != self.lots[number]:
                self.fail(f"S5: {symbol}: position {here['lots']}, applied {self.lots[number]}")
            scale, most = self._limit(number, listing)
            rows = fake.open_orders(self.account(market), market, listing)
            for side, sign in ((0, 1), (1, -1)):
                ours = [x for x in rows if x.side == side and not x.is_stop and not x.reduce_only]
                ours = [x for x in ours if self._is_ours(listing, x.client_id)]
                worst = sign * self.traded[market, *listing.key] + sum(x.leaves_lots for x in ours)
                if ours and worst * scale > most:
                    self.fail(f"S3: {symbol}: {worst} lots at worst, {most} allowed")

    def _limit(self, number: int, listing: Any) -> tuple[int, int]:
        """(lots of the node in one of the venue's, most lots of a position)."""
        if number in self.limits:
            return self.limits[number]
        market, symbol = self.desk.instruments.market(number), self.desk.instruments.symbol(number)
        config = next(x for x in self.config.instrument if (MARKETS[x.market], x.symbol) == (market, symbol))
        scale = Decimal(listing.lot) / Decimal(self.desk.instruments.size_grid(number).step)
        most = lots_of(self.desk.instruments, number, config.limits.max_position_base)
        return self.limits.setdefault(number, (int(scale), most))

    def check_trades(self) -> None:
        """S5: every fill that was applied is a trade of the venue's, and the other way round. At the end,
        once all is heard."""
        self._read_tape()
        for market, name in self.venue_of.items():
            ours: dict[tuple, list] = defaultdict(list)
            for (number, side, _, _), report in self.applied.items():
                if self.desk.instruments.market(number) == market:
                    ours[self.desk.instruments.symbol(number), side].append(
                        (report["price_ticks"], report["size_lots"])
                    )
            theirs: dict[tuple, list] = defaultdict(list)
            for x in self.account(market).trades:
                if x.listing.market == market and x.listing.key in self.desk.numbers:
                    theirs[x.listing.symbol, x.side].append((x.price_ticks, x.size_lots))
            if {k: sorted(v) for k, v in ours.items()} != {k: sorted(v) for k, v in theirs.items()}:
                self.fail(f"S5: {name}: trades here and at the venue are not the same")


def as_order(algo: Any) -> SimpleNamespace:
    """A conditional order of Binance USD-M in the shape of the others."""
    return SimpleNamespace(
        listing=algo.listing, client_id=algo.client_id, side=algo.side, order_type=algo.kind.lower(), tif="",
        price_ticks=algo.price_ticks, trigger_ticks=algo.trigger_ticks, size_lots=algo.size_lots,
        reduce_only=algo.reduce, nature="trade", notes={},
    )  # fmt: skip


def is_batch(frame: bytes) -> bool:
    return any(count > 1 for _, count, _ in requests_in(frame.decode())[1])


def budgets_of(market: int, op: str) -> list[tuple[int, int, int, bool]]:
    """(kind, limit, interval, by instrument) of what the venue counts for an op. OKX counts each op for
    itself."""
    if market != Market.OKX:
        return MARKET_ROWS[market].budgets(market)
    rows = [x for x in okx_rules.BUDGETS[market] if x.name == op]
    return [(int(x.kind), x.limit, x.interval_ns, x.scope == "instrument") for x in rows]


def requests_in(text: str) -> tuple[str, list[tuple[int, int, str]]]:
    """What an order frame asks for, in the venue's word, and (records.Action, how many orders, symbol); []
    for any other frame. A cancel-replace is a cancel and a new order."""
    if not text.startswith("{"):
        return "", []
    message = json.loads(text)
    op = str(message.get("method") or message.get("op"))
    args = message.get("args") or [message.get("params") or {}]
    rows = args[0].get("request", args) if isinstance(args[0], dict) else args
    symbol = str(rows[0].get("symbol") or rows[0].get("instIdCode")) if isinstance(rows[0], dict) else ""
    if op == "order.cancelReplace":
        return op, [(int(Action.CANCEL), 1, symbol), (int(Action.NEW), 1, symbol)]
    actions = ((Action.NEW, NEWS), (Action.CANCEL, CANCELS), (Action.AMEND, AMENDS))
    return op, [(int(action), len(rows), symbol) for action, ops in actions if op in ops]


NEWS = {"order.place", "algoOrder.place", "order.create", "order.create-batch", "order", "batch-orders"}
CANCELS = {"order.cancel", "algoOrder.cancel", "order.cancel-batch", "cancel-order", "batch-cancel-orders"}
AMENDS = {"order.modify", "order.amend", "order.amend.keepPriority", "order.amend-batch", "amend-order",
          "batch-amend-orders"}  # fmt: skip


class Witnessed(Ours):
    """The node as scenarios use it, in a watched world."""

    def make(self, **world: Any) -> None:
        self.strategy = Commands()
        self.world = Watched(self.config, strategy=self.strategy, **world)
        self.engine, self.keeper = self.world.engine, self.world.keeper


__all__ = ["Watched", "Witnessed", "requests_in"]

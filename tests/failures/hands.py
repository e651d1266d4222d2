"""Two order managers with one face, against the same simulated venues in virtual time: the node, and a
deliberately naive
one that does what the catalogue's column "Naive bots" says.

A scenario is written once, against `Hand`. The node must pass it; where the row is starred the naive manager
must fail it,
or the scenario shows nothing. What is judged is the venue's own ledger: how many orders it ever took, what
is open, what
was traded.
"""

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from unittest.mock import patch

import configs
import msgspec

from ext.records import Action, HaltReason, OrderType, Outcome, ReportKind, TimeInForce
from ext.strategy import Strategy
from ext.wire import ListSink, Verdict
from node.config import MARKETS, Config, check
from node.sim.judge import differences_behind_a_restart
from node.sim.memory import MS, SEC, START_NS, World, named_in
from node.venues.markets import MARKETS as MARKET_ROWS
from node.venues.values import RestError

BUY, SELL = 0, 1
LIMIT, MARKET, STOP = int(OrderType.LIMIT), int(OrderType.MARKET), int(OrderType.STOP_MARKET)
GTC, IOC, FOK, POST_ONLY = (int(x) for x in TimeInForce)
SYMBOLS = {
    "binance-spot": ("BTCUSDT", "0.01", "0.00100"),
    "binance-usdm": ("BTCUSDT", "0.1", "0.010"),
    "bybit-spot": ("BTCUSDT", "0.1", "0.001000"),
    "bybit-linear": ("BTCUSDT", "0.1", "0.010"),
    "okx": ("BTC-USDT-SWAP", "0.1", "1.00"),
    "okx-spot": ("BTC-USDT", "0.1", "0.00100000"),
}
CONTRACTS = {"okx": Decimal("0.01")}  # base coins of one, where sizes are in contracts
POSTED = re.compile(r"POST \S*/(order|create|orders|algoOrder|order-algo|batch-orders)(\?| )")
ENTERED = re.compile(r'"(?:method|op)":\s*"(?:order\.(?:place|create|create-batch)|order|batch-orders)"')
VENUES = ("binance-spot", "binance-usdm", "bybit-linear", "okx")  # what most rows are played on


def config_of(market: str, **changes) -> Config:
    """A node on one market (or "okx-spot"), with limits wide enough for what scenarios do."""
    name = "okx" if market.startswith("okx") else market
    raw = {
        "mode": "sim",
        "strategy": "quoter",
        "deployment": "tst0",
        **configs.tables(orders=1000),
        "venue": [configs.venue(name)],
        "instrument": [
            configs.instrument(
                name,
                SYMBOLS[market][0],
                "100",
                "10000000",
                limits={"collar_bps": 2000, "stale_ms": 3_600_000, "max_open_orders": 64},
            )
        ],
    }
    raw |= {k: v for k, v in changes.items() if k not in ("venue", "instrument", "limits")}
    raw["venue"][0] |= changes.get("venue", {})
    raw["instrument"][0] |= changes.get("instrument", {})
    raw["instrument"][0]["limits"] |= changes.get("limits", {})
    config = msgspec.convert(raw, Config)
    check(config, "scenario")
    return config


def without_before(world: World) -> list[str]:
    """Where both sides do not agree behind a start on a new tape: how many trades there were before it, and
    what they cost and made, only the venue knows."""
    return [x for x in differences_behind_a_restart(world) if ": cash " not in x]


class Commands(Strategy):
    """A strategy that does what a scenario says, on the next timer, and remembers what it was told."""

    def __init__(self):
        self.wanted, self.ids, self.fills = [], [], []

    def on_timer(self, now_ns):
        wanted, self.wanted = self.wanted, []
        for do in wanted:
            do(self)
        return 0

    def on_order(self, instrument, side, order_id, now_ns):
        self.ids.append(order_id)
        return 0

    def on_fill(self, instrument, order_id, side, price_ticks, size_lots, now_ns):
        self.fills.append((order_id, side, price_ticks, size_lots))
        return 0


class Hand:
    """What scenarios use. `market` is a key of SYMBOLS; `faults` are rows of a fault script; more goes to
    `World`."""

    def __init__(self, market: str = "binance-spot", *, faults=(), seed: int = 1, changes=None, **world):
        self.market_name = market
        self.market = MARKETS["okx" if market.startswith("okx") else market]
        self.config = config_of(market, **(changes or {}))
        world.setdefault("moving", False)
        self.make(faults=list(faults), seed=seed, **world)

    # ---- what both share ----

    by_rest_too = False  # may use REST for new orders that get no answer (the naive one does)

    @property
    def fake(self):
        return self.world.fakes[self.world.venue_of[self.market]]

    @property
    def listing(self):
        return self.fake.listings[self.market, SYMBOLS[self.market_name][0]]

    @property
    def size(self) -> int:
        """An order of some 600 dollars, in lots."""
        return self.lots(SYMBOLS[self.market_name][2])

    def lots(self, text: str) -> int:
        return self.world.desk.instruments.lots(0, text)

    def fault(self, name: str, **about):
        """From now on this injector strikes (see node.venues.faults)."""
        self.fake.faults.load([{"name": name, **about}], now_ns=self.world.venue_ns)

    def befall(self, name: str, **about):
        """As `fault`, on this very instrument: venues list the same symbol on several markets."""
        self.fault(name, symbol=SYMBOLS[self.market_name][0], market=int(self.market), **about)

    def hits(self, name: str) -> int:
        """How often it struck: a test proves first that its fault happened."""
        return self.fake.faults.counts.get(name, 0)

    def run(self, seconds: float) -> None:
        self.world.run_for(int(seconds * SEC))

    def until(self, condition, within_s: float = 60):
        return self.world.run_until(condition, int(within_s * SEC))

    def best(self, side: int) -> int:
        """The venue's best price of a side, in ticks."""
        return self.listing.engine.best(side)[0]

    def away(self, side: int, ticks: int = 500) -> int:
        """A price at which an order rests, `ticks` order ticks behind the best."""
        step = self.world.desk.instruments.row(0)["tick_step"]
        price = self.best(side) + (-ticks if side == BUY else ticks) * step
        return price - price % step

    def through(self, side: int, ticks: int = 200) -> int:
        """A price at which an order trades at once."""
        return self.away(side, -ticks)

    def fill_there(self, lots: int) -> None:
        """Our oldest open order trades at the venue with somebody."""
        mine = self.world.desk.wires[self.market]
        orders = self.fake.open_orders(self.world.account(self.market), None, self.listing)
        order = next(x for x in orders if mine.whose(x.client_id)[0])
        self.listing.engine.fill(order.number, lots)
        self.fake.settle(self.listing, self.world.now_ns)
        self.world.drain()

    def listen(self) -> None:
        """Remember every request that reaches the venue, by socket and by REST."""
        if hasattr(self.fake, "heard"):
            return
        heard = self.fake.heard = []
        receive, request = self.fake.receive, self.fake.request

        def on_frame(connection, text, now_ns):
            heard.append(text)
            receive(connection, text, now_ns)

        def on_request(method, target, headers, body, now_ns, **more):
            heard.append(f"{method} {target} {body.decode()}")
            return request(method, target, headers, body, now_ns, **more)

        self.fake.receive, self.fake.request = on_frame, on_request

    def asked_new(self, by: str = "") -> int:
        """How many requests for new orders reached the venue, taken or not; `by`: only "rest" or "socket"."""
        rest = [x for x in self.fake.heard if POSTED.match(x)]
        socket = [x for x in self.fake.heard if ENTERED.search(x)]
        return len({"rest": rest, "socket": socket}.get(by, rest + socket))

    # the judge

    def truth(self) -> dict:
        return self.fake.truth(self.world.account(self.market))

    def taken(self) -> int:
        """How many orders of ours the venue ever took."""
        mine = self.world.desk.wires[self.market]
        return sum(n for client_id, n in self.truth()["orders"].items() if mine.whose(client_id)[0])

    def open_there(self) -> list[dict]:
        return [
            x for x in self.truth()["open"] if self.world.desk.wires[self.market].whose(x["client_id"])[0]
        ]

    def traded_there(self) -> int:
        """Net lots of all trades on the account, as the venue booked them."""
        rows = self.truth()["fills"].values()
        return sum(-x["size_lots"] if x["side"] == "sell" else x["size_lots"] for x in rows)

    def held_there(self) -> int:
        """Lots of the position in the venue's ledger (of perpetuals)."""
        rows = self.truth()["positions"]
        return sum(x["lots"] for k, x in rows.items() if k.startswith(f"{int(self.market)}:{self.symbol}:"))

    def legs_there(self) -> tuple[int, int]:
        """Lots of the long and the short leg in the venue's ledger."""
        rows = self.truth()["positions"]
        long, short = (
            rows.get(f"{int(self.market)}:{self.symbol}:{x}", {"lots": 0}) for x in ("long", "short")
        )
        return long["lots"], short["lots"]

    @property
    def symbol(self) -> str:
        return SYMBOLS[self.market_name][0]

    # frames as they came

    def record(self) -> list[tuple[str, str]]:
        """From now on keep what lines other than feeds bring: (role, text)."""
        frames: list[tuple[str, str]] = []
        deliver = self.world._deliver

        def keep(wired, generation, text):
            if wired.spec.role != "feed" and wired.generation == generation:
                frames.append((wired.spec.role, text))
            deliver(wired, generation, text)

        self.world._deliver = keep
        return frames

    def bring(self, role: str, text: str) -> None:
        """A frame comes on the line of that role, now."""
        wired = self.world.line(self.market, role)
        self.world._deliver(wired, wired.generation, text)
        self.run(0.05)

    def private_role(self) -> str:
        """The line that tells of orders and fills."""
        return "orders" if MARKET_ROWS[self.market].orders_tell_all else "private"

    def reborn(self, after_s: float, **world):
        """kill -9, and a start without any memory `after_s` later."""
        old = self.world
        old.kill()
        other = type(self).__new__(type(self))
        other.market_name, other.market, other.config = self.market_name, self.market, self.config
        fakes = list(old.fakes.values())
        step_ns, end_ns = SEC // 10, old.now_ns + int(after_s * SEC)
        while old.now_ns < end_ns:  # the venue lives on
            old.run_for(min(step_ns, end_ns - old.now_ns))
            for fake in fakes:
                fake.tick(old.venue_ns)
                fake.take()
        world.setdefault("moving", False)
        other.make(seed=old.seed + 1, keep_fakes=old, start_ns=START_NS, skew_ns=old.skew_ns, **world)
        return other

    def agree(self) -> None:
        """Position and open orders are the same on both sides."""
        assert self.position() == self.traded_there()
        assert len(self.open_here()) == len(self.open_there())


class Ours(Hand):
    """The node."""

    is_naive = False

    def make(self, **world) -> None:
        self.strategy = Commands()
        self.world = World(self.config, strategy=self.strategy, **world)
        self.engine, self.keeper = self.world.engine, self.world.keeper
        self.listen()

    def ready(self) -> "Ours":
        """Everything is up, reconciled and may trade."""
        self.until(lambda: self.may_trade())
        return self

    def may_trade(self) -> bool:
        """Would a small order pass the gate?"""
        guard = self.engine.risk
        return (
            not guard.halts(0)
            and guard.probe(
                0, BUY, self.away(BUY), self.size, self.world.now_ns, leg=int(self.config.venue[0].hedge)
            )
            == "OK"
        )

    def _command(self, do) -> None:
        self.strategy.wanted.append(do)
        self.run(0.02)

    def place(
        self, side: int, price: int, size: int = 0, *, type: int = LIMIT, tif: int = GTC,
        trigger: int = 0, reduce_only: bool = False, leg: int = 0,
    ) -> int:  # fmt: skip
        """Place an order; its id, 0 where risk refused it."""
        count, size = len(self.strategy.ids), size or self.size
        self._command(lambda s: s._order(0, side, type, tif, price, size, trigger, reduce_only, leg))
        return self.strategy.ids[-1] if len(self.strategy.ids) > count else 0

    def place_many(self, wishes: list[tuple[int, int]]) -> list[int]:
        """Several limit orders of one turn: (side, price)."""
        count = len(self.strategy.ids)

        def do(s):
            for side, price in wishes:
                s._order(0, side, LIMIT, GTC, price, self.size, 0, False)

        self._command(do)
        return self.strategy.ids[count:]

    def cancel(self, order_id: int) -> None:
        self._command(lambda s: s.cancel(order_id))

    def amend(self, order_id: int, price: int, size: int) -> None:
        self._command(lambda s: s.amend(order_id, price, size))

    def kill(self) -> None:
        """An operator stops everything."""
        self.engine.halt(0, int(HaltReason.HALT_OPERATOR), 2, self.world.now_ns)
        self.run(0.02)

    def state(self, order_id: int) -> str:
        return self.engine.orders.order(order_id)["state"]

    def order(self, order_id: int) -> dict:
        return self.engine.orders.order(order_id)

    def entered(self, state: str) -> int:
        """How many times an order entered this state."""
        return self.engine.orders.state_counts().get(state, 0)

    def filled(self, order_id: int) -> int:
        return self.engine.orders.order(order_id)["filled_lots"]

    def position(self) -> int:
        return self.engine.account.position(0)["lots"]

    def legs(self) -> tuple[int, int]:
        rows = self.engine.account.position(0)["legs"]
        return rows[1]["lots"], rows[2]["lots"]

    def open_here(self) -> list[int]:
        return self.engine.orders.open_orders()

    def reserved(self, side: int) -> int:
        """Lots that may still be bought (sold), as the gate counts them."""
        return self.engine.orders.reserved(0)["buy_lots" if side == BUY else "sell_lots"]

    def replace_wanted(self, order_id: int, price: int) -> int:
        """Cancel an order, and place another as soon as it is held to be gone; 0 where it is not (yet)."""
        size = self.order(order_id)["size_lots"]
        self.cancel(order_id)
        try:
            self.until(lambda: order_id not in self.open_here(), 20)
        except TimeoutError:
            return 0
        left = size - self.filled(order_id)
        return self.place(BUY, price, left) if left > 0 else 0

    def told(self, text: str) -> bool:
        """Was a person told something with this text in it?"""
        return any(text in f"{where} {what}" for _, where, what in self.world.told)

    def halts(self) -> dict:
        return self.engine.risk.halts(0)

    def restart(self, after_s: float = 1.0, *, same_epoch: bool = False, **world) -> "Ours":
        """kill -9 and start again on the same venues, without any memory. `same_epoch`: with the epoch of
        before, as after a
        clock that was set back."""
        return self.reborn(after_s, epoch=self.world.epoch if same_epoch else 0, **world)

    def look(self) -> None:
        """Compare everything with the venue, now, and take the time that two looks need."""
        self.keeper.look_now(self.world.now_ns)
        self.run(8)


@dataclass
class Wish:
    """An order as the naive manager remembers it."""

    number: int
    frame: str
    side: int
    size: int
    price: int = 0
    state: str = "SENT"
    filled: int = 0
    sent_ns: int = 0
    tries: int = 1
    answered: bool = False  # by a reply to its request: the transport knows nothing else
    replaces: int = 0
    batch: tuple[int, ...] = ()  # all that left in one request


ANSWERS = (ReportKind.REPORT_ACK, ReportKind.REPORT_REJECT, ReportKind.REPORT_UNCERTAIN)


class NaiveWorld(World):
    """The same lines and venues with a naive manager behind them instead of the engine's orders and the
    keeper."""

    manager: "Naive | None" = None

    def _keep(self) -> None:
        if self.manager is not None:
            self.manager.tick()

    def _turn(self, wired, up) -> None:
        self.engine.on_line(wired.spec.line, up, self.now_ns)
        if self.manager is not None and wired.spec.role == "orders" and up:
            self.manager.flush()

    def _refresh(self, market) -> None:
        pass

    def _deliver(self, wired, generation, text) -> None:
        if wired.generation != generation:
            return
        if wired.spec.role == "feed":
            super()._deliver(wired, generation, text)
            return
        sink = ListSink()
        verdict = self.desk.wires[wired.spec.market].read(text.encode(), sink, self.now_ns)
        if verdict == Verdict.NOT_MINE:
            self._do(wired, wired.session.receive(text, self.now_ns))
        if self.manager is not None:
            for event in sink.events:
                if event["type"] == "report":
                    self.manager.on_report(event)
            self.manager.on_text(text)


class Naive(Hand):
    """Retries on time-out, believes every answer, adds every fill, forgets what fails."""

    is_naive = True
    TIMEOUT_NS, TRIES = SEC, 5
    careless = False  # also about the unit of a size (row 64)

    def make(self, **world) -> None:
        self.wishes: dict[int, Wish] = {}
        self.queue: list[str] = []
        self.lots_held, self.fills, self.halted = 0, 0, False
        with patch("node.sim.memory.epoch_of", lambda now_ns: 7):  # ids count from 1 again after every start
            self.world = NaiveWorld(self.config, strategy=Commands(), **world)
        self.listen()
        self.world.manager, self.engine = self, self.world.engine
        self.wire = self.world.desk.wires[self.market]
        self.wire.set_hedge(False)  # a position is one number

    def ready(self) -> "Naive":
        self.until(lambda: self.engine.lines[self.line.spec.line].up)
        self.run(0.5)
        return self

    def may_trade(self) -> bool:
        return True

    @property
    def line(self):
        return self.world.line(self.market, "orders")

    # ---- sending: fire and believe ----

    def write(self, frame: str) -> None:
        """While the line is down frames wait, and leave when it is back (or go by REST)."""
        if self.line.connection is None or not self.engine.lines[self.line.spec.line].up:
            self.post(frame) if self.by_rest_too else self.queue.append(frame)
        else:
            self.world._out(self.line, frame)

    def flush(self) -> None:
        waiting, self.queue = self.queue, []
        for frame in waiting:
            self.world._out(self.line, frame)

    def post(self, frame: str, tries: int = 2) -> None:
        """By REST: a transport that repeats what got no answer, and one rule for all errors."""
        client_id, _ = named_in(frame.encode())
        wish = self.wishes[self.wire.whose(client_id)[0]]

        def then(reply) -> None:
            if reply is None and tries:
                return self.post(frame, tries - 1)
            wish.answered = True
            wish.state = "LIVE" if reply is not None and reply.status == 200 else "REJECTED"

        self.world._send_rest(self.market, self.world.desk.rest[self.market].from_frame(frame.encode()), then)

    def frame(self, action: int, number: int, **more) -> str:
        intent = {"instrument": 0, "action": int(action), "order_id": number} | more
        return self.wire.preview(intent, number, self.world.now_ns).decode()

    def place(
        self, side: int, price: int, size: int = 0, *, type: int = LIMIT, tif: int = GTC,
        trigger: int = 0, reduce_only: bool = False, leg: int = 0,
    ) -> int:  # fmt: skip
        """`leg` is no concern of the naive one: a position is one number."""
        number = len(self.wishes) + 1
        size = size or self.size
        frame = self.frame(
            Action.NEW, number, side=side, price_ticks=price, size_lots=size, type=type, tif=tif,
            trigger_ticks=trigger, reduce_only=int(reduce_only),
        )  # fmt: skip
        frame = self.misread(frame) if self.careless else frame
        self.wishes[number] = Wish(number, frame, side, size, price, sent_ns=self.world.now_ns)
        self.write(frame)
        self.run(0.02)
        return number

    def misread(self, frame: str) -> str:
        """Sizes are base coins everywhere, and nothing needs to be said about them."""
        message = json.loads(frame)
        for order in message.get("args", []):
            order.pop("tgtCcy", None)
            order.pop("marketUnit", None)
            if "sz" in order and self.market_name == "okx":
                order["sz"] = str(Decimal(order["sz"]) * Decimal("0.01"))
        return json.dumps(message)

    def place_many(self, wishes: list[tuple[int, int]]) -> list[int]:
        if not self.wire.batch_max:
            return [self.place(side, price) for side, price in wishes]
        first, now_ns = len(self.wishes) + 1, self.world.now_ns
        numbers = tuple(range(first, first + len(wishes)))
        same = {"instrument": 0, "action": int(Action.NEW), "size_lots": self.size}
        intents = [same | {"side": side, "price_ticks": price} for side, price in wishes]
        frame = self.wire.preview_batch(intents, list(numbers), now_ns).decode()
        for number, (side, price) in zip(numbers, wishes, strict=True):
            self.wishes[number] = Wish(number, frame, side, self.size, price, sent_ns=now_ns, batch=numbers)
        self.write(frame)
        self.run(0.02)
        return list(numbers)

    def cancel(self, number: int) -> None:
        wish = self.wishes[number]
        self.write(self.frame(Action.CANCEL, number, side=wish.side))
        self.run(0.02)

    def amend(self, number: int, price: int, size: int) -> None:
        wish = self.wishes[number]
        if self.wire.can_replace and price != wish.price:
            self.replace(wish, price, size)
            return
        self.write(self.frame(Action.AMEND, number, side=wish.side, price_ticks=price, size_lots=size))
        wish.price, wish.size = price, size  # what was asked for is what is
        self.run(0.02)

    def replace(self, old: Wish, price: int, size: int) -> None:
        """A cancel and a new order in one request, held to be one thing."""
        number = len(self.wishes) + 1
        intent = {"action": int(Action.REPLACE), "order_id": old.number, "side": old.side, "price_ticks":
        price,
                  "size_lots": size}  # fmt: skip
        frame = self.wire.preview(intent, number, self.world.now_ns).decode()
        wish = Wish(number, frame, old.side, size, price, sent_ns=self.world.now_ns, replaces=old.number)
        self.wishes[number] = wish
        self.write(frame)
        self.run(0.02)

    def replace_wanted(self, number: int, price: int) -> int:
        wish = self.wishes[number]
        self.cancel(number)
        self.run(1)
        return (
            self.place(BUY, price, wish.size) if wish.state in ("GONE", "CANCELED") else 0
        )  # nothing happened

    def tick(self) -> None:
        """A retry timer in the transport: what is not answered is sent again, and at last held to be
        refused."""
        for wish in self.wishes.values():
            if not wish.answered and self.world.now_ns - wish.sent_ns > self.TIMEOUT_NS:
                wish.sent_ns = self.world.now_ns
                if wish.tries == self.TRIES:
                    wish.state, wish.answered = "REJECTED", True
                else:
                    wish.tries += 1
                    frame = self.again(wish)
                    self.post(frame) if self.by_rest_too else self.write(frame)

    def again(self, wish: Wish) -> str:
        """The same order with a fresh stamp and the same client id."""
        fresh = json.loads(wish.frame)
        old = json.loads(self.frame(Action.NEW, wish.number, side=wish.side, price_ticks=max(wish.price, 1),
                                    size_lots=wish.size))  # fmt: skip
        if "params" in fresh:
            fresh["params"]["timestamp"] = old["params"]["timestamp"]
            for key in ("signature", "apiKey"):
                if key in fresh["params"]:
                    return json.dumps(self.signed(fresh | {"id": old["id"]}))
            fresh["id"] = old["id"]
        elif "reqId" in fresh:
            fresh |= {"reqId": old["reqId"], "header": old["header"]}
        else:
            fresh |= {"id": old["id"], "expTime": old["expTime"]}
        return json.dumps(fresh)

    def signed(self, message: dict) -> dict:
        params = {k: v for k, v in message["params"].items() if k != "signature"}
        text = "&".join(f"{k}={params[k]}" for k in sorted(params))
        params["signature"] = self.world.desk.keys[self.market].hex(text)
        return message | {"params": params}

    def kill(self) -> None:
        for number in self.open_here():
            self.cancel(number)

    # ---- hearing: everything is true ----

    def on_report(self, event: dict) -> None:
        kind, wish = event["kind"], self.wishes.get(event["order_id"])
        if kind == ReportKind.REPORT_FILL:
            if wish is None:
                return  # an unknown order: dropped
            wish.filled += event["size_lots"]
            self.fills += 1
            self.lots_held += event["size_lots"] if wish.side == BUY else -event["size_lots"]
            if wish.filled >= wish.size:
                wish.state = "FILLED"
            return
        if wish is None:
            return
        if wish.batch and kind in ANSWERS:  # the envelope says that all is well
            for number in wish.batch:
                self.wishes[number].answered, self.wishes[number].state = True, "LIVE"
            return
        wish.answered |= kind in ANSWERS
        if wish.replaces and kind in ANSWERS:  # it worked, or nothing happened
            self.wishes[wish.replaces].state = "CANCELED" if kind == ReportKind.REPORT_ACK else "LIVE"
        if kind in (ReportKind.REPORT_ACK, ReportKind.REPORT_LIVE):
            wish.state = "LIVE"  # whatever it was before
        elif kind in (ReportKind.REPORT_REJECT, ReportKind.REPORT_UNCERTAIN):
            wish.state = "REJECTED"
        elif kind == ReportKind.REPORT_CANCEL_REJECT:
            wish.state = "GONE"  # "unknown order": then there is none
        elif kind in (ReportKind.REPORT_CANCELED, ReportKind.REPORT_EXPIRED):
            wish.state = "CANCELED"
        elif kind == ReportKind.REPORT_FILLED:
            wish.state = "FILLED"

    def on_text(self, text: str) -> None:
        """Every private frame as text. Whatever an execution stream brings is a fill."""
        message = json.loads(text) if text[:1] == "{" else {}
        topic = str(message.get("topic", "")) if isinstance(message, dict) else ""
        for row in message["data"] if topic.startswith("execution") else ():
            if row.get("execType") not in ("Trade", None) and row.get("symbol") == self.symbol:
                self.lots_held += self.lots(row["execQty"]) * (1 if row["side"] == "Buy" else -1)

    # ---- what it believes ----

    def state(self, number: int) -> str:
        return self.wishes[number].state

    def filled(self, number: int) -> int:
        return self.wishes[number].filled

    def position(self) -> int:
        return self.lots_held

    def open_here(self) -> list[int]:
        return [n for n, x in self.wishes.items() if x.state in ("SENT", "LIVE")]

    def reserved(self, side: int) -> int:
        return sum(
            x.size - x.filled for n, x in self.wishes.items() if n in self.open_here() and x.side == side
        )

    def told(self, text: str) -> bool:
        return False

    def halts(self) -> dict:
        return {}

    def restart(self, after_s: float = 1.0, *, same_epoch: bool = False, **world) -> "Naive":
        """The state file is empty after a crash: start from nothing."""
        return self.reborn(after_s, **world)

    def look(self) -> None:
        """Ask for the positions and believe the answer: no row is no position."""
        rest, rows = self.world.desk.rest[self.market], []

        def then(reply):
            try:
                rows.extend(rest.read_positions(reply)[0])
            except (ValueError, RestError, AttributeError):
                rows.clear()

        for request in rest.positions():
            self.world._send_rest(self.market, request, then)
        self.run(8)
        sizes = [x.size for x in rows if x.symbol == self.symbol]
        self.lots_held = sum(-self.lots(x[1:]) if x[0] == "-" else self.lots(x) for x in sizes)


__all__ = [
    "BUY", "FOK", "GTC", "IOC", "LIMIT", "MARKET", "MS", "POST_ONLY", "SEC", "SELL", "STOP", "VENUES",
    "Decimal", "Hand",
    "Naive", "Ours", "Outcome", "config_of",
]  # fmt: skip

"""A venue that a test writes, its REST half as plain values, and a world in which a Keeper lives with a
real engine."""

import json
from dataclasses import replace

from ext.engine import Engine, LineKind, Recorder
from ext.instruments import Instruments
from ext.records import Market, Outcome, ReportKind
from ext.venues.binance import BinanceWire
from node.truth.desk import Product, VenueDesk
from node.truth.keeper import Keeper
from node.truth.settings import MS, SEC, Settings
from node.venues.values import (
    BalanceRow,
    KeyRow,
    ModeRow,
    OrderRow,
    PositionRow,
    Reply,
    Request,
    RestError,
    Said,
    TradeRow,
)

START = 1_700_000_000 * SEC
SPOT, PERP = Market.BINANCE_SPOT, Market.BINANCE_USDM
EPOCH = 77
SYMBOL = "BTCUSDT"
MARGIN_NS = 63 * SEC  # frame deadline and margin, and a little


class Venue:
    """What is true at one market. `broken[what]` makes a list fail: "silent", or a Reply of its own."""

    def __init__(self, market):
        self.market = market
        self.orders: dict[str, OrderRow] = {}
        self.trades: list[TradeRow] = []
        self.position = PositionRow(market, SYMBOL, "0")
        self.balances = {"BTC": "2", "USDT": "10000"}
        self.cash = []
        self.modes = [ModeRow(market, SYMBOL)]
        self.key = KeyRow(can_trade=True)
        self.broken: dict[str, object] = {}
        self.hidden: set[str] = set()  # orders that queries do not find
        self.unlisted: set[str] = set()  # orders that the list does not show
        self.offset_ns = 0
        self.budgets = []
        self.asked: list[str] = []
        self.page = 100
        self.numbers = 0

    def place(self, client_id, side=0, lots=10, ticks=10_000, state="live", filled=0, symbol=SYMBOL, **more):
        self.numbers += 1
        self.orders[client_id] = OrderRow(
            self.market,
            symbol,
            client_id,
            f"v{self.numbers}",
            side,
            "limit",
            price(ticks),
            size(lots),
            size(filled),
            state,
            **more,
        )
        return self.orders[client_id]

    def change(self, client_id, **fields):
        self.orders[client_id] = replace(self.orders[client_id], **fields)

    def trade(self, client_id, side, lots, now_ns, ticks=10_000, venue_id=None, show_id=True, **more):
        self.numbers += 1
        order = self.orders.get(client_id)
        number = venue_id if venue_id is not None else (order.venue_id if order else "")
        row = TradeRow(
            self.market,
            SYMBOL,
            client_id if show_id else "",
            number,
            0,
            1000 + self.numbers,
            side,
            price(ticks),
            size(lots),
            "0",
            "USDT",
            True,
            now_ns + self.offset_ns,
            **more,
        )
        self.trades.append(row)
        return row

    def answer(self, what, arguments, now_ns):
        self.asked.append(what)
        broken = self.broken.get(what)
        if broken is not None:
            return broken
        return getattr(self, f"_{what}")(*arguments, now_ns)

    def _time(self, now_ns):
        return now_ns + self.offset_ns

    def _order(self, symbol, client_id, venue_id, now_ns):
        for row in self.orders.values():
            if (client_id and row.client_id == client_id) or (venue_id and row.venue_id == venue_id):
                return None if row.client_id in self.hidden else row
        return None

    def _open(self, at, now_ns):
        rows = [x for x in self.orders.values() if x.state in ("live", "partial", "untriggered")]
        rows = [x for x in rows if x.client_id not in self.unlisted]
        return rows[at : at + self.page], at + self.page if at + self.page < len(rows) else None

    def _trades(self, symbol, since_ns, now_ns):
        return [x for x in self.trades if x.symbol == symbol and x.event_ns >= since_ns], None

    def _positions(self, now_ns):
        return ([] if self.position is None else [self.position]), None

    def _balances(self, now_ns):
        return [BalanceRow(self.market, coin, total) for coin, total in self.balances.items()]

    def _cash(self, since_ns, now_ns):
        return [x for x in self.cash if x.event_ns >= since_ns], None

    def _modes(self, now_ns):
        return list(self.modes)

    def _key(self, now_ns):
        return self.key

    def _cancel(self, symbol, client_id, now_ns):
        row = self.orders.get(client_id)
        if row is None or row.state not in ("live", "partial"):
            return Said(Outcome.REFUSED, code=-2011)
        self.change(client_id, state="canceled")
        return Said(Outcome.ACCEPTED, row=self.orders[client_id])


class FakeRest:
    """`values.Rest` over a Venue: requests name what they ask for, replies point at Python objects."""

    def __init__(self, venue):
        self.venue = venue
        self.answers = []
        self.retention = 24 * 3600 * SEC

    def carry(self, request, now_ns):
        what, arguments = request.target, json.loads(request.body)
        answer = self.venue.answer(what, arguments, now_ns)
        if isinstance(answer, Reply) or answer == "silent":
            return None if answer == "silent" else answer
        self.answers.append(answer)
        return Reply(200, body=str(len(self.answers) - 1).encode())

    def _read(self, reply):
        if reply.status != 200:
            raise RestError("refused", Said(Outcome.REFUSED, code=reply.status, text="no"))
        answer = self.answers[int(reply.body)]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _pages(self, reply, what):
        rows, at = self._read(reply)
        return rows, None if at is None else ask(what, at)

    def sign(self, request, stamp_ms):
        return request

    def time(self):
        return ask("time")

    def read_time(self, reply):
        return self._read(reply)

    def order(self, symbol, client_id="", venue_id="", *, is_algo=False):
        return ask("order", symbol, client_id, venue_id)

    def read_order(self, reply):
        return self._read(reply)

    def open_orders(self, symbol=""):
        return [ask("open", 0)]

    def read_open_orders(self, reply):
        return self._pages(reply, "open")

    def trades(self, symbol, since_ns):
        return ask("trades", symbol, since_ns)

    def read_trades(self, reply):
        return self._read(reply)

    def positions(self):
        return [ask("positions")] if self.venue.market == PERP else []

    def read_positions(self, reply):
        return self._read(reply)

    def balances(self):
        return ask("balances")

    def read_balances(self, reply):
        return self._read(reply)

    def cash(self, since_ns):
        return [ask("cash", since_ns)]

    def read_cash(self, reply):
        return self._read(reply)

    def modes(self, symbols):
        return [ask("modes")] if self.venue.market == PERP else []

    def read_modes(self, reply):
        return self._read(reply)

    def key_info(self):
        return [ask("key")]

    def read_key_info(self, reply):
        return self._read(reply)

    def cancel(self, symbol, client_id, *, is_algo=False):
        return ask("cancel", symbol, client_id)

    def cancel_all(self, symbol):
        return []

    def from_frame(self, frame):
        raise ValueError("not here")

    def read_said(self, request, reply):
        return self._read(reply)

    def budgets(self, request, reply):
        return self.venue.budgets

    def buckets(self, request):
        return ()

    def retention_ns(self):
        return self.retention


def ask(what, *arguments):
    return Request("GET", what, body=json.dumps(arguments).encode())


def price(ticks):
    return f"{ticks // 100}.{ticks % 100:02d}"


def size(lots):
    sign, lots = ("-", -lots) if lots < 0 else ("", lots)
    return f"{sign}{lots // 1000}.{lots % 1000:03d}"


class Traded(Engine):
    """Books are another room's: fresh, but where a test says that they are not."""

    def __init__(self, *_, **__):
        self.stale = set()

    def is_fresh(self, instrument, updates):
        return instrument not in self.stale


class World:
    """A spot desk (instrument 0) and a perpetual desk (instrument 1), all lines up, in steps of 20 ms."""

    STEP_NS = 20 * MS

    def __init__(self, settings=None, seed=1, desks=None, latency_ns=10 * MS):
        self.now = START
        self.latency_ns = latency_ns
        self.instruments = Instruments(4)
        self.frames, self.told, self.notes, self.refreshed, self.logins = [], [], [], [], []
        self.engine = None
        self.venues = {SPOT: Venue(SPOT), PERP: Venue(PERP)}
        self.wires = {}
        for market in (SPOT, PERP):
            is_perpetual = market == PERP
            coins = {"base": "BTC", "quote": "USDT"}
            self.instruments.add(market, SYMBOL, "0.01", "0.001", is_perpetual=is_perpetual, **coins)
        self.settings = settings or Settings()
        self._build(desks or {}, seed)
        self.flying = []  # (answer at, ask, reply)
        self.deaf = set()  # markets whose order line swallows cancels

    def _build(self, desks, seed):
        self.engine = Traded(self.instruments, outlet=Recorder(self._frame), order_capacity=64)
        self.rests, venues = {}, []
        for market in (SPOT, PERP):
            wire = self.wires[market] = BinanceWire(self.instruments, market, "tckg", EPOCH)
            self.rests[market] = FakeRest(self.venues[market])
            product = Product(int(market), "BTC", "USDT", is_perpetual=market == PERP)
            fields = {"name": "spot" if market == SPOT else "perp", **desks.get(market, {})}
            product = replace(product, **fields.pop("product", {}))
            venues.append(VenueDesk(market, self.rests[market], wire, {SYMBOL: product}, **fields))
        for market in (SPOT, PERP):
            self.engine.add_line("orders", LineKind.ORDER_LINE, self.wires[market])
            self.engine.add_line("private", LineKind.PRIVATE_LINE, self.wires[market])
        self.keeper = Keeper(
            self.engine,
            venues,
            self.settings,
            lambda where, text: self.told.append((where, text)),
            seed,
            note=self.notes.append,
            refresh=self.refreshed.append,
            recycle=self.logins.append,
        )
        for line in range(4):
            self.line(line, True)

    def line(self, line, up):
        self.engine.on_line(line, up, self.now)
        row = self.engine.lines[line]
        self.keeper.on_line(row.kind, row.wire.market, up, self.now)

    def _frame(self, line, frame):
        """A cancel on an order line: the venue does it and says so, unless it is deaf."""
        params = json.loads(frame)["params"]
        client_id = params["origClientOrderId"]
        self.frames.append(client_id)
        market = self.engine.lines[line].wire.market
        venue = self.venues[market]
        row = venue.orders.get(client_id)
        if market in self.deaf or row is None or row.state not in ("live", "partial"):
            return
        venue.change(client_id, state="canceled")
        self.later = [*getattr(self, "later", []), (int(market), client_id)]

    # ---- time ----

    def run(self, seconds, until=None):
        end = self.now + int(seconds * SEC)
        while self.now < end:
            self.step()
            if until is not None and until():
                return True
        return until is None

    def step(self):
        self.now += self.STEP_NS
        self.engine.on_time(self.now)
        for market, client_id in getattr(self, "later", []):
            self.report(market, ReportKind.REPORT_CANCELED, client_id, filled_lots=-1)
        self.later = []
        for entry in [x for x in self.flying if x[0] <= self.now]:
            self.flying.remove(entry)
            self.keeper.on_reply(entry[1], entry[2], self.now)
        for one in self.keeper.tick(self.now):
            reply = self.rests[one.desk.market].carry(one.request, self.now)
            if reply is not None:
                self.flying.append((self.now + self.latency_ns, one, reply))

    def settle(self, seconds=30):
        self.keeper.begin(self.now)
        assert self.run(seconds, self.keeper.is_settled), self.keeper.differences()

    # ---- what tests do ----

    def order(self, instrument=0, side=0, lots=10, ticks=10_000, state="LIVE", at_venue=True):
        """An order of ours in the engine, in `state`; its id and client id."""
        id = self.engine.orders.intend(instrument, side, ticks, lots, self.now)
        client_id = self.client_id(instrument, id)
        if at_venue:
            self.venues[instrument].place(client_id, side, lots, ticks)
        kind = {
            "LIVE": ReportKind.REPORT_LIVE,
            "ACKED": ReportKind.REPORT_ACK,
            "UNKNOWN": ReportKind.REPORT_UNCERTAIN,
        }
        if state in kind:
            self.report(instrument, kind[state], client_id)
        return id, client_id

    def client_id(self, instrument, id, epoch=EPOCH):
        return self.wires[instrument].client_id(id, epoch)

    def report(self, instrument, kind, client_id, **fields):
        sequence, epoch = self.wires[instrument].whose(client_id)
        row = {"kind": int(kind), "instrument": instrument, "order_id": sequence, "epoch": epoch, **fields}
        self.engine.on_evidence([row], self.now)

    def state(self, id):
        row = self.engine.orders.order(id)
        return row["state"] if row else None

    def reserved(self, instrument=0):
        row = self.engine.orders.reserved(instrument)
        return row["buy_lots"], row["sell_lots"]

    def halts(self, instrument=0):
        return self.engine.risk.halts(instrument)

    def position(self, instrument=0):
        return self.engine.account.position(instrument)["lots"]

    def heard(self, word):
        return [text for _, text in self.told if word in text]

"""The whole chain over synthetic Binance spot frames: one instrument, two market lines, an order and a
private line."""

import json

from ext.engine import Engine, LineKind, Recorder
from ext.instruments import Instruments
from ext.records import Market
from ext.strategy import Strategy
from ext.venues.binance import BinanceWire
from node.venues.binance.rules import CODES

SEC, MS = 10**9, 10**6
START = 1_700_000_000 * SEC
E8 = 10**8
A, B, REST, ORDERS, PRIVATE = range(5)  # the lines
LIMITS = {
    "max_size_lots": 1000,
    "max_notional_e8": 1_000_000 * E8,
    "max_position_lots": 2000,
    "collar_ppm": 100_000,
    "stale_ns": 5 * SEC,
    "max_open_orders": 64,
}


def price(ticks):
    return f"{ticks // 100}.{ticks % 100:02d}"


def size(lots):
    return f"{lots // 1000}.{lots % 1000:03d}"


def levels(rows):
    return [[price(p), size(q)] for p, q in rows]


def dump(value):
    return json.dumps(value, separators=(",", ":")).encode()


def depth(first, last, bids=(), asks=(), symbol="BTCUSDT"):
    row = {"e": "depthUpdate", "E": 1_700_000_000_000, "s": symbol, "U": first, "u": last}
    return dump({**row, "b": levels(bids), "a": levels(asks)})


def snapshot(last, bids, asks):
    return dump({"lastUpdateId": last, "bids": levels(bids), "asks": levels(asks)})


def trade(number, ticks=10_000, lots=5, symbol="BTCUSDT"):
    row = {"e": "trade", "E": 1_700_000_000_000, "s": symbol, "t": number, "p": price(ticks), "q": size(lots)}
    return dump({**row, "T": 1_700_000_000_000, "m": False, "M": True})


def ack(frame, status=200, code=0, message="no"):
    """The venue's answer to an order frame."""
    request = json.loads(frame)
    if status != 200:
        return dump(
            {"id": request["id"], "status": status, "error": {"code": code, "msg": message}, "rateLimits": []}
        )
    params = request["params"]
    result = {"symbol": params["symbol"], "orderId": 7, "orderListId": -1, "transactTime": 1_700_000_000_001}
    if request["method"] == "order.cancel":
        result |= {
            "origClientOrderId": params["origClientOrderId"],
            "executedQty": "0.000",
            "status": "CANCELED",
        }
    else:
        result |= {"clientOrderId": params["newClientOrderId"]}
    return dump({"id": request["id"], "status": 200, "result": result, "rateLimits": []})


def execution(
    client_id, side, kind, status, lots=0, total=0, ticks=0, number=-1, fee="0.00100000", coin="USDT",
    terms=(10_000, 1000),
):  # fmt: skip
    """An executionReport of the user stream."""
    row = {
        "e": "executionReport",
        "E": 1_700_000_000_002,
        "s": "BTCUSDT",
        "c": client_id,
        "S": side,
        "o": "LIMIT",
    }
    row |= {
        "f": "GTC",
        "q": size(terms[1]),
        "p": price(terms[0]),
        "P": "0.00",
        "F": "0.000",
        "g": -1,
        "C": "",
        "x": kind,
        "X": status,
    }
    row |= {"r": "NONE", "i": 7, "l": size(lots), "z": size(total), "L": price(ticks), "n": fee, "N": coin}
    row |= {
        "T": 1_700_000_000_002,
        "t": number,
        "I": 1,
        "w": True,
        "m": True,
        "M": False,
        "O": 1,
        "Z": "0",
        "Y": "0",
    }
    return dump(row)


class Script(Strategy):
    """A strategy whose turns a test writes: functions, or nothing (not even what the base class does)."""

    def __init__(self, on_book=None, on_order=None, on_fill=None, on_timer=None, on_lost=None):
        self.turns = {"book": on_book, "order": on_order, "fill": on_fill, "timer": on_timer, "lost": on_lost}
        self.told = []

    def _turn(self, what, *args):
        self.told.append((what, *args))
        turn = self.turns[what]
        if turn is not None:
            turn(self, *args)
        return 0

    def on_book(self, instrument, now_ns):
        return self._turn("book", instrument, now_ns)

    def on_order(self, instrument, side, order_id, now_ns):
        return self._turn("order", instrument, side, order_id, now_ns)

    def on_fill(self, instrument, order_id, side, price_ticks, size_lots, now_ns):
        return self._turn("fill", instrument, order_id, side, price_ticks, size_lots, now_ns)

    def on_timer(self, now_ns):
        return self._turn("timer", now_ns)

    def on_book_lost(self, instrument, now_ns):
        return self._turn("lost", instrument, now_ns)

    def kinds(self, what):
        return [row[1:] for row in self.told if row[0] == what]


class Chain:
    """An engine with all lines up; `sent` are the order frames, decoded, in order."""

    def __init__(
        self, *strategies, tape=None, symbols=("BTCUSDT",), synced=True, limits=None, taker=None, **options
    ):
        self.instruments = Instruments()
        for symbol in symbols:
            self.instruments.add(Market.BINANCE_SPOT, symbol, "0.01", "0.001")
        self.sent, self.frames, self.asks, self.taker = [], [], [], taker
        self.recorder = Recorder(self.take)
        self.engine = Engine(self.instruments, tape=tape, outlet=self.recorder, **options)
        self.engine.ask_resync = lambda instrument, reason: self.asks.append((instrument, reason))
        self.wire = BinanceWire(self.instruments, Market.BINANCE_SPOT)
        self.wire.set_codes(CODES[Market.BINANCE_SPOT])
        for name, kind, context in (
            ("a", LineKind.MARKET_LINE, -1),
            ("b", LineKind.MARKET_LINE, -1),
            ("rest", LineKind.SNAPSHOT_LINE, 0),
            ("orders", LineKind.ORDER_LINE, -1),
            ("private", LineKind.PRIVATE_LINE, -1),
        ):
            self.engine.add_line(name, kind, self.wire, context)
        for instrument in range(len(symbols)):
            self.engine.risk.set_limits(instrument, **{**LIMITS, **(limits or {})})
        self.engine.risk.set_rate(1000, SEC)
        for strategy in strategies:
            self.engine.add_strategy(strategy)
        self.now, self.last = START, 100
        for line in (A, ORDERS, PRIVATE):
            self.line(line, True)
        if synced:
            self.sync()

    def take(self, line, frame):
        self.frames.append(frame)
        self.sent.append(json.loads(frame))
        if self.taker is not None:
            self.taker(line, frame)

    def give(self, line, frame, after_ns=MS):
        self.now += after_ns
        return self.engine.on_bytes(line, frame, self.now)

    def line(self, line, up):
        self.now += MS
        self.engine.on_line(line, up, self.now)

    def time(self, after_ns=MS, dials=None):
        self.now += after_ns
        self.engine.on_time(self.now, dials)

    def sync(self, bids=((9990, 50),), asks=((10_010, 50),), line=A):
        """Splice a snapshot and go on by one event, so that the book is synced at `last`."""
        self.last += 10
        self.give(REST, snapshot(self.last, bids, asks))
        self.tick(line=line)

    def tick(self, bids=(), asks=(), line=A, skip=0):
        """The next depth event (`skip` ids are missing before it)."""
        first = self.last + 1 + skip
        self.last = first
        return self.give(line, depth(first, first, bids, asks))

    def fill(self, client_id, side, lots, total, number, ticks=10_000, status="PARTIALLY_FILLED", **more):
        more.setdefault("terms", self.terms(client_id))
        return self.give(
            PRIVATE, execution(client_id, side, "TRADE", status, lots, total, ticks, number, **more)
        )

    def report(self, client_id, side, kind, total=0):
        return self.give(
            PRIVATE, execution(client_id, side, kind, kind, 0, total, terms=self.terms(client_id))
        )

    def terms(self, client_id):
        """Price and size of an order as the venue would have them."""
        row = self.orders.order(self.wire.order_id(client_id))
        return (row["price_ticks"], row["size_lots"]) if row else (10_000, 1000)

    @property
    def book(self):
        return self.engine.books[0]

    @property
    def orders(self):
        return self.engine.orders

    def client_id(self, order_id):
        return self.wire.client_id(order_id)

    def states(self):
        return [self.orders.order(i)["state"] for i in range(1, 200) if self.orders.order(i)]

    def news(self):
        return [f["params"] for f in self.sent if f["method"] == "order.place"]

    def cancels(self):
        return [f["params"]["origClientOrderId"] for f in self.sent if f["method"] == "order.cancel"]

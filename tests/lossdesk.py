"""An engine whose books (Bybit's), positions and order reports a test gives: what loss stops, exits and
protective orders are tried on."""

import json

from ext.engine import Engine, LineKind, Recorder
from ext.instruments import Instruments
from ext.limits import NO_ACCOUNT_LIMITS as ACCOUNT
from ext.records import Action, LegKind, Market, ReportKind, Side, StopPolicy
from ext.venues.bybit import BybitWire

SEC, MS = 10**9, 10**6
START = 1_700_000_000 * SEC
E8 = 10**8
BUY, SELL = int(Side.BUY), int(Side.SELL)
NET, LONG, SHORT = (int(x) for x in (LegKind.NET, LegKind.LONG_LEG, LegKind.SHORT_LEG))
CANCEL, REDUCE, FLATTEN = (int(x) for x in StopPolicy)
FEED, ORDERS, SPOT_ORDERS = 0, 1, 2
OPEN = ("INTENT", "SENT", "ACKED", "LIVE", "PARTIAL", "UNKNOWN")
LIMITS = {
    "max_size_lots": 10**6,
    "max_notional_e8": 10**7 * E8,
    "max_position_lots": 10**6,
    "collar_ppm": 200_000,
    "stale_ns": 3600 * SEC,
    "max_open_orders": 64,
}
POLICY = {
    "exit_slippage_ppm": 10_000,
    "exit_retry_ns": 100 * MS,
    "cooldown_ns": 0,
    "on_position_loss": FLATTEN,
    "on_daily_loss": FLATTEN,
    "on_drawdown": FLATTEN,
    "on_margin": REDUCE,
}
FILTERS = {"min_size": "0.01", "max_size": "5", "min_notional": "5", "tick": "0.1", "lot": "0.01"}


class Desk:
    """Instruments are perpetuals, or spot for symbols that begin with "S": a tick is 0.1, a lot 0.01: a lot
    moved by a tick is worth 10**5 (e8). Books come as snapshots; orders leave into `sent`."""

    def __init__(
        self,
        *symbols,
        tape=None,
        limits=None,
        account=None,
        filters=None,
        strategy=None,
        quiet=False,
        **policy,
    ):
        self.instruments = Instruments()
        self.symbols = symbols or ("PBTC",)
        for symbol in self.symbols:
            spot = symbol[0] == "S"
            row = FILTERS | (filters or {})
            self.instruments.add(
                Market.BYBIT_SPOT if spot else Market.BYBIT_LINEAR,
                symbol,
                row.pop("tick"),
                row.pop("lot"),
                is_perpetual=not spot,
                base=symbol[1:],
                quote="USDT",
                **row,
            )
        self.sent, self.now, self.trades = [], START, 0
        self.engine = Engine(
            self.instruments, tape=tape, outlet=Recorder(lambda line, raw: self.sent.append(json.loads(raw)))
        )
        self.wires = {m: BybitWire(self.instruments, m) for m in (Market.BYBIT_LINEAR, Market.BYBIT_SPOT)}
        self.feeds = {
            m: self.engine.add_line(f"feed {m}", LineKind.MARKET_LINE, w) for m, w in self.wires.items()
        }
        for market, wire in self.wires.items():
            self.line = self.engine.add_line(f"orders {market}", LineKind.ORDER_LINE, wire)
            self.engine.on_line(self.line, True, self.now)
        for line in self.feeds.values():
            self.engine.on_line(line, True, self.now)
        self.risk, self.stops, self.orders = self.engine.risk, self.engine.stops, self.engine.orders
        for i in range(len(self.symbols)):
            self.risk.set_limits(i, **LIMITS | (limits or {}))
        self.risk.set_account(**ACCOUNT | (account or {}))
        self.risk.set_rate(100_000, SEC)
        self.stops.set(**POLICY | policy)
        self.ids = [0] * len(self.symbols)
        if strategy is not None:
            self.engine.add_strategy(strategy)
        for i in range(0 if quiet else len(self.symbols)):
            self.market(9_999, 10_001, i)

    # ---- what happens ----

    def market(self, bid, ask, i=0, lots=10**5, after_ns=MS):
        """One book frame: `lots` at bid and at ask (a price of 0: an empty side)."""
        self.now += after_ns
        self.ids[i] += 1
        symbol, size = self.symbols[i], f"{lots // 100}.{lots % 100:02d}"
        data = {"s": symbol, "u": self.ids[i], "seq": self.ids[i]}
        for key, ticks in (("b", bid), ("a", ask)):
            data[key] = [[f"{ticks // 10}.{ticks % 10}", size]] if ticks else []
        told = {"topic": f"orderbook.50.{symbol}", "type": "snapshot", "ts": 1, "data": data}
        line = self.feeds[self.instruments.market(i)]
        self.engine.on_bytes(line, json.dumps(told, separators=(",", ":")).encode(), self.now)

    def time(self, after_ns=20 * MS):
        self.now += after_ns
        self.engine.on_time(self.now)

    def hold(self, lots, ticks=10_000, i=0, leg=NET):
        """A position, bought (or sold) at `ticks`."""
        self.engine.set_position(i, lots, -lots * ticks, self.now, leg=leg)

    def hedge(self):
        """The account has a long and a short leg of each perpetual, as gate and wire are told at start."""
        self.risk.set_hedge(self.instruments.market(0), True)
        for line in self.engine.lines:
            if line.wire.market == self.instruments.market(0):
                line.wire.set_hedge(True)

    def tell(self, order_id, kind, **more):
        """The venue's word on an order."""
        self.now += MS
        row = {"kind": int(kind), "order_id": order_id, "epoch": self.orders.epoch} | more
        self.engine.on_evidence([row], self.now)

    def fill(self, order_id, lots, ticks=0, **more):
        """A trade of an order; it is closed by it where nothing is left."""
        order = self.orders.order(order_id)
        self.trades += 1
        self.tell(
            order_id,
            ReportKind.REPORT_FILL,
            instrument=order["instrument"],
            side=order["side"],
            size_lots=lots,
            price_ticks=ticks or order["price_ticks"],
            trade_lo=self.trades,
            leg=order["leg"],
            **more,
        )

    def expire(self, order_id):
        self.tell(order_id, ReportKind.REPORT_EXPIRED, filled_lots=self.orders.order(order_id)["filled_lots"])

    # ---- what is there ----

    def of_desk(self, desk, i=None, open_only=False):
        """Orders of a records.Desk (or strategy) as dicts, oldest first."""
        rows = [self.orders.order(n) for n in range(1, self.orders.next_id)]
        return [
            x
            for x in rows
            if x
            and x["strategy"] == desk
            and i in (None, x["instrument"])
            and (not open_only or x["state"] in OPEN)
        ]

    def exits(self, i=None, open_only=False):
        return self.of_desk(-2, i, open_only)

    def shields(self, i=None, open_only=True):
        return self.of_desk(-3, i, open_only)

    def lots(self, i=0):
        return self.engine.account.position(i)["lots"]

    def cancels(self):
        return [x for x in self.sent if x["op"] == "order.cancel"]

    def fired(self):
        return self.stops.state()["fired"]


__all__ = [
    "ACCOUNT",
    "BUY",
    "CANCEL",
    "E8",
    "FLATTEN",
    "LIMITS",
    "LONG",
    "MS",
    "NET",
    "POLICY",
    "REDUCE",
    "SEC",
    "SELL",
    "SHORT",
    "START",
    "Action",
    "Desk",
    "ReportKind",
]

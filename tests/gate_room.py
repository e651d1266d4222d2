"""A gate over two instruments, for the tests of the gate."""

from ext.account import Account
from ext.book import Book
from ext.equity import Equity
from ext.instruments import Instruments
from ext.limits import NO_ACCOUNT_LIMITS as ACCOUNT
from ext.orders import Orders
from ext.records import DepthKind, Desk, Market, OrderType, ReportKind, Rule, Side, TimeInForce
from ext.reference import Reference
from ext.risk import RiskGate

BUY, SELL = int(Side.BUY), int(Side.SELL)
SEC = 10**9
DAY = 86_400 * SEC
NOW = 20_000 * DAY + 3600 * SEC
E8 = 10**8
LOT = 10**7  # money (e8) of one lot at 10,000 ticks
IOC, POST_ONLY = int(TimeInForce.IOC), int(TimeInForce.POST_ONLY)
TAKE, STOP = int(OrderType.MARKET), int(OrderType.STOP_MARKET)
EXIT, PROTECT = int(Desk.DESK_EXIT), int(Desk.DESK_PROTECT)
LIMITS = {
    "max_size_lots": 1000,
    "max_notional_e8": 10**6 * E8,
    "max_position_lots": 2000,
    "collar_ppm": 50_000,
    "stale_ns": SEC,
    "max_open_orders": 60,
    "leverage": 10,
}


class Room:
    """Two instruments of one coin, a perpetual (0, purse 0) and a spot (1, purse 1); books 9990 / 10010 with
    40 and 60 lots; one lot at 10,000 ticks is a tenth of a dollar. Everything is valued at 10,000 ticks."""

    def __init__(self, perpetual=True, **limits):
        self.instruments = Instruments()
        self.instruments.add(
            Market.BYBIT_LINEAR,
            "BTCUSDT",
            "0.01",
            "0.001",
            is_perpetual=perpetual,
            base="BTC",
            quote="USDT",
        )
        self.instruments.add(Market.BINANCE_SPOT, "BTCUSDT", "0.01", "0.001", base="BTC", quote="USDT")
        self.orders, self.account = Orders(64, 2), Account(2)
        self.books = [Book(0), Book(1)]
        self.reference = Reference(self.instruments)
        self.equity = Equity(self.instruments, self.orders, self.account)
        self.equity.set_purse(Market.BINANCE_SPOT, 1)
        self.gate = RiskGate(
            self.instruments, self.orders, self.account, self.books, self.equity, self.reference
        )
        for i in range(2):
            self.book(i)
            self.gate.set_limits(i, **{**LIMITS, **limits, **({"leverage": 1} if i else {})})
            self.equity.mark_now(i, 10_000, 10_000, now_ns=NOW)
        self.gate.set_rate(1000, SEC)
        self.trade = self.last = 0

    def book(self, i=0, bids=((9990, 40), (9980, 60)), asks=((10_010, 40), (10_020, 60)), now=NOW):
        self.books[i].feed(
            DepthKind.SNAPSHOT, Rule.RULE_STEP, list(bids), list(asks), last_id=now, now_ns=now
        )

    def account_limits(self, **limits):
        self.gate.set_account(**{**ACCOUNT, **limits})

    def capital(self, *amounts):
        for purse, amount in enumerate(amounts):
            self.equity.set_capital(purse, amount)
        self.equity.roll_now(NOW)

    def order(self, side=BUY, price=10_000, size=10, now=NOW, instrument=0, **more):
        reason, value, limit, self.last = self.gate.try_order(instrument, side, price, size, now, **more)
        return reason, value, limit

    def hold(self, lots, price=10_000, instrument=0, leg=0):
        """A position, and what it is worth."""
        self.account.fill(instrument, BUY if lots > 0 else SELL, price, abs(lots), leg=leg)
        self.equity.count_now(instrument)

    def exit(self, side=SELL, price=9990, size=10, now=NOW, **more):
        return self.order(side, price, size, now, tif=IOC, strategy=EXIT, reduce_only=True, **more)[0]

    def protect(self, trigger=9000, size=10, now=NOW):
        return self.order(SELL, 0, size, now, type=STOP, strategy=PROTECT, reduce_only=True, trigger=trigger)[
            0
        ]

    def reduce(self, side=SELL, price=10_020, size=10, now=NOW, **more):
        return self.order(side, price, size, now, reduce_only=True, **more)[0]

    def fill(self, order_id, lots):
        self.trade += 1
        row = self.orders.order(order_id)
        assert self.orders.report(order_id, ReportKind.REPORT_FILL, lots, self.trade) == lots
        self.account.fill(row["instrument"], row["side"], row["price_ticks"], lots)
        self.equity.count_now(row["instrument"])

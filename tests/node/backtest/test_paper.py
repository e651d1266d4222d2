"""The paper venue: answers in each venue's own format, and fills that nobody can call optimistic."""

import pytest

from ext.engine import Engine, LineKind, Recorder
from ext.instruments import Instruments
from ext.records import Market, Side
from ext.strategy import Strategy
from node.backtest.instruments import WIRES
from node.backtest.paper import Paper
from node.venues.values import InstrumentRow

NOW = 1_723_161_255_000_000_000
POST_ONLY, IOC = 3, 1
MARKETS = {
    Market.BINANCE_SPOT: "BTCUSDT",
    Market.BINANCE_USDM: "BTCUSDT",
    Market.BYBIT_SPOT: "BTCUSDT",
    Market.BYBIT_LINEAR: "BTCUSDT",
    Market.OKX: "BTC-USDT-SWAP",
}
SPOT_TRADE = (
    '{"e":"trade","E":1,"s":"BTCUSDT","t":%(id)d,"p":"%(p)s","q":"%(q)s","T":1,"m":%(sold)s,"M":true}'
)
TRADES = {
    Market.BINANCE_SPOT: SPOT_TRADE,
    Market.BINANCE_USDM: SPOT_TRADE.replace('"M":true', '"X":"MARKET"'),
    Market.BYBIT_SPOT: '{"topic":"publicTrade.BTCUSDT","ts":1,"type":"snapshot","data":[{"i":"%(id)d","T":1,'
    '"p":"%(p)s","v":"%(q)s","S":"%(side)s","s":"BTCUSDT"}]}',
    Market.OKX: '{"arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP",'
    '"tradeId":"%(id)d","px":"%(p)s","sz":"%(q)s","side":"%(okx)s","ts":"1"}]}',
}
TRADES[Market.BYBIT_LINEAR] = TRADES[Market.BYBIT_SPOT]


class Hand(Strategy):
    """Does at the next timer what it was told."""

    def __init__(self):
        self.wishes = []
        self.fills = []

    def on_timer(self, now_ns):
        for action, *arguments in self.wishes:
            getattr(self, action)(*arguments)
        self.wishes = []
        return 0

    def on_fill(self, instrument, order_id, side, price_ticks, size_lots, now_ns):
        self.fills.append((side, price_ticks, size_lots))
        return 0


class Bench:
    """One engine with one instrument at tick 0.1 and lot 0.001, its book at 99.9 and 100.1."""

    def __init__(self, market: Market):
        self.market = int(market)
        row = InstrumentRow(
            self.market, MARKETS[market], "0.1", "0.001", is_perpetual=market not in (0, 2), inst_code=7
        )
        table = Instruments(1)
        table.add(row.market, row.symbol, row.tick, row.lot, is_perpetual=row.is_perpetual, inst_code=7)
        self.engine = Engine(table, order_capacity=64)
        line = self.engine.add_line("market", LineKind.MARKET_LINE, WIRES[self.market](table, self.market))
        self.hand = Hand()
        self.engine.add_strategy(self.hand)
        self.engine.risk.set_rate(1000, 10**9)
        self.engine.risk.set_limits(
            0, max_size_lots=10**6, max_notional_e8=10**15, max_position_lots=10**7, collar_ppm=200_000,
            stale_ns=10**12, max_open_orders=50,
        )  # fmt: skip
        self.engine.books[0].feed(1, 0, [(999, 5)], [(1001, 5)], last_id=1, now_ns=NOW)
        self.paper = Paper([row])
        self.engine.outlet = Recorder(self.paper.taker)
        self.engine.on_line(line, True, NOW)
        self.paper.join(self.engine, NOW)
        self.now_ns = NOW
        self.trades = 0

    def do(self, *wishes: tuple) -> list[dict]:
        self.hand.wishes = list(wishes)
        self.now_ns += 10**8
        self.engine.on_time(self.now_ns)
        self.paper.pump(self.engine.on_bytes, self.now_ns)
        return self.orders()

    def orders(self) -> list[dict]:
        return [self.engine.orders.order(i) for i in range(1, self.engine.orders.next_id)]

    def trade(self, side: Side, price: str, size: str) -> list[tuple]:
        """A recorded trade; returns the fills that it gave."""
        self.trades += 1
        sold = side == Side.SELL
        words = {
            "sold": "true" if sold else "false",
            "side": "Sell" if sold else "Buy",
            "okx": "sell" if sold else "buy",
        }
        frame = TRADES[Market(self.market)] % (words | {"id": self.trades, "p": price, "q": size})
        self.now_ns += 10**7
        before = len(self.hand.fills)
        self.paper.on_trades(self.market, frame.encode(), self.engine.on_bytes, self.now_ns)
        assert [x.last_error for x in self.engine.lines if x.bad] == []
        return self.hand.fills[before:]


@pytest.fixture(params=list(MARKETS), ids=lambda x: Market(x).name)
def bench(request) -> Bench:
    return Bench(request.param)


def test_an_order_is_accepted_at_once_and_a_cancel_confirmed(bench):
    [order] = bench.do(("buy", 0, 990, 20, POST_ONLY))
    assert order["state"] == "LIVE"
    assert bench.paper.rests(0)
    [order] = bench.do(("cancel", order["id"]))
    assert order["state"] == "CANCELED"
    assert bench.engine.orders.reserved(0)["open_orders"] == 0
    assert not bench.paper.rests(0)
    assert bench.paper.counts() == {"orders": 1, "cancels": 1, "fills": 0, "rejects": 0}


def test_only_a_trade_through_the_price_fills_and_only_its_own_size(bench):
    bench.do(("buy", 0, 990, 20, POST_ONLY), ("sell", 0, 1010, 20, POST_ONLY))
    assert bench.trade(Side.SELL, "99.1", "1") == []
    assert bench.trade(Side.SELL, "99.0", "1") == [], "at the price others may have been ahead of us"
    assert bench.trade(Side.BUY, "98.0", "1") == [], "a buyer does not take bids"
    assert bench.trade(Side.SELL, "98.9", "0.005") == [(Side.BUY, 990, 5)]
    assert bench.orders()[0]["state"] == "PARTIAL"
    assert bench.trade(Side.SELL, "98.0", "7") == [(Side.BUY, 990, 15)]
    assert bench.trade(Side.BUY, "101.1", "7") == [(Side.SELL, 1010, 20)]
    assert [x["state"] for x in bench.orders()] == ["FILLED", "FILLED"]
    position = bench.engine.account.position(0)
    assert (position["lots"], position["fills"], position["cash"]) == (0, 3, 20 * 20)
    assert not bench.paper.rests(0)


def test_the_better_of_two_orders_fills_first(bench):
    bench.do(("buy", 0, 980, 20, POST_ONLY), ("buy", 0, 990, 20, POST_ONLY))
    assert bench.trade(Side.SELL, "97.0", "0.030") == [(Side.BUY, 990, 20), (Side.BUY, 980, 10)]


def test_an_order_that_wants_to_take_finds_nobody_and_expires(bench):
    [order] = bench.do(("buy", 0, 1005, 20, IOC))
    assert order["state"] == "EXPIRED"
    assert bench.hand.fills == []


def test_a_trade_of_any_size_and_price_is_taken(bench):
    bench.do(("buy", 0, 990, 20, POST_ONLY))
    assert bench.trade(Side.BUY, "0.1", "1") == []
    assert bench.trade(Side.SELL, "0.1", "90000000000000") == [(Side.BUY, 990, 20)]


def test_long_runs_forget_closed_orders_and_remember_open_ones(bench, monkeypatch):
    monkeypatch.setattr("node.backtest.paper.FORGET_EVERY", 10)
    bench.do(("buy", 0, 900, 20, POST_ONLY))
    for _ in range(30):
        order = bench.do(("buy", 0, 980, 20, POST_ONLY))[-1]
        bench.do(("cancel", order["id"]))
    [desk] = bench.paper.desks
    assert len(desk.fake.orders) <= 11
    assert bench.trade(Side.SELL, "89.0", "1") == [(Side.BUY, 900, 20)]
    assert bench.paper.counts()["rejects"] == 0


def test_answers_that_cause_orders_without_end_wait_for_the_next_frame(bench):
    frames = []
    line = next(number for number, desk in bench.paper.by_line.items() if number in desk.orders)
    request = b'{"id":"x","op":"?","method":"?"}'

    def answer(of_line: int, frame: bytes, now_ns: int) -> int:
        frames.append(frame)
        bench.paper.taker(line, request)
        return 1

    bench.paper.taker(line, request)
    bench.paper.pump(answer, bench.now_ns)
    assert 0 < len(frames) <= 16
    assert bench.paper.queue

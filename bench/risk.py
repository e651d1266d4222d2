"""The `risk` benchmark: all pre-trade checks on one order that passes every one of them, twice.

First with the controls that every node has, then with every control configured and 50 live orders in the
table (`ns_all_checks`). Then what one book event costs before anybody thinks of an order: mark to market,
reference, stops (`ns_mark_to_market`).

The book is synced, in cache and does not change. Everything that can be checked is: our limits, the duplicate
guard and the order rate, the venue's filters and request budgets, and the proofs that a trading node asks for
(reconciled, clock known, private stream proven, requests answered), so that no check is short-circuited. The
check reserves nothing, so every repetition sees the same state.
"""

import time
from dataclasses import dataclass

from bench.conditions import BenchError, Progress, best_and_median, silent, take_turns, watching
from ext.engine import Engine, LineKind
from ext.instruments import Instruments
from ext.records import BudgetKind, DepthKind, Market, ReportKind, Rule, Side
from ext.venues.binance import BinanceWire
from ext.venues.bybit import BybitWire
from ext.venues.okx import OkxWire

BUDGET_NS = 150.0
SECOND_NS = 10**9
NOW_NS = 1_723_161_256_000_000_000
BID_TICKS, ASK_TICKS, DEPTH = 618_000, 618_001, 50


@dataclass(frozen=True)
class Product:
    """One market to trade on: its wire and a typical instrument (symbol, tick, lot, contract)."""

    market: Market
    wire: type
    instrument: tuple[str, str, str, str]
    inst_code: int = -1


PRODUCTS = {
    "binance-usdm": Product(Market.BINANCE_USDM, BinanceWire, ("BTCUSDT", "0.1", "0.001", "1")),
    "binance-spot": Product(Market.BINANCE_SPOT, BinanceWire, ("BTCUSDT", "0.1", "0.00001", "1")),
    "bybit-linear": Product(Market.BYBIT_LINEAR, BybitWire, ("BTCUSDT", "0.1", "0.001", "1")),
    "bybit-spot": Product(Market.BYBIT_SPOT, BybitWire, ("BTCUSDT", "0.1", "0.000001", "1")),
    "okx": Product(Market.OKX, OkxWire, ("BTC-USDT-SWAP", "0.1", "0.01", "0.01"), inst_code=10459),
}


def desk(product: Product) -> Engine:
    """An engine with one synced book, limits that let a small order pass, and an order line."""
    symbol, tick, lot, contract = product.instrument
    instruments = Instruments(1)
    instruments.add(
        product.market,
        symbol,
        tick,
        lot,
        contract,
        is_perpetual="spot" not in product.market.name.lower(),
        inst_code=product.inst_code,
        min_size=lot,
        max_size="1000",
        min_price=tick,
        max_price="1000000",
        min_notional="5",
        max_notional="9000000",
        max_orders=200,
        base="BTC",
        quote="USDT",
        up_ppm=50_000,
        down_ppm=50_000,
    )
    engine = Engine(instruments)
    engine.add_line("orders", LineKind.ORDER_LINE, product.wire(instruments, product.market))
    bids = [(BID_TICKS - away, 1000 + away) for away in range(DEPTH)]
    asks = [(ASK_TICKS + away, 1000 + away) for away in range(DEPTH)]
    engine.books[0].feed(DepthKind.SNAPSHOT, Rule.RULE_STEP, bids, asks, last_id=1, now_ns=NOW_NS)
    prove(engine, product.market)
    engine.risk.set_rate(orders=1_000_000, window_ns=SECOND_NS)
    engine.risk.set_limits(
        0,
        max_size_lots=10**9,
        max_notional_e8=10**6 * 10**8,
        max_position_lots=10**9,
        collar_ppm=10_000,
        stale_ns=3600 * 10**9,
        max_open_orders=100,
        duplicate_ns=1,
    )
    return engine


def prove(engine: Engine, market: int) -> None:
    """What the keeper of a live node would have shown, and as many request budgets as a venue has (Binance:
    two windows), of a size that no pass of a bench uses up."""
    engine.risk.require(reconcile_ns=70 * SECOND_NS, clock_ns=120 * SECOND_NS, private=True, max_unacked=8)
    engine.reconciled(0, NOW_NS)
    engine.venue_clock(market, 0, 0, NOW_NS)
    engine.private_proven(market, True, NOW_NS)
    for window_s in (10, 60):
        for kind in (BudgetKind.BUDGET_ORDERS, BudgetKind.BUDGET_AMENDS):
            engine.risk.budgets.set_rule(market, kind, 10_000_000, window_s * SECOND_NS)


def full_desk(product: Product) -> Engine:
    """The same with every control configured, capital told, other sources of a price, and 50 live orders."""
    engine = desk(product)
    engine.equity.set_capital(0, 10**7 * 10**8)
    engine.equity.mark_now(0, BID_TICKS, ASK_TICKS, now_ns=NOW_NS)
    engine.equity.roll_now(NOW_NS)
    gate = engine.risk
    gate.require(
        reconcile_ns=70 * SECOND_NS,
        clock_ns=120 * SECOND_NS,
        private=True,
        max_unacked=8,
        watched_ns=SECOND_NS,
    )
    gate.watched(NOW_NS)
    gate.lease(NOW_NS + 3600 * SECOND_NS)
    gate.set_limits(
        0,
        max_size_lots=10**9,
        max_notional_e8=10**6 * 10**8,
        max_position_lots=10**9,
        collar_ppm=10_000,
        stale_ns=3600 * SECOND_NS,
        max_open_orders=100,
        duplicate_ns=1,
        max_open_notional_e8=10**7 * 10**8,
        walk_ppm=50_000,
        walk_ns=60 * SECOND_NS,
        slippage_ppm=5000,
        spread_ppm=5000,
        range_ppm=50_000,
        range_ns=60 * SECOND_NS,
        jump_ppm=20_000,
        jump_ns=SECOND_NS // 10,
        jump_pause_ns=5 * SECOND_NS,
        max_loss_e8=10**5 * 10**8,
        funding_ppm=500,
        funding_ns=300 * SECOND_NS,
        leverage=5,
        maintenance_ppm=5000,
    )
    gate.set_account(
        max_open_orders=200,
        max_coin_e8=10**7 * 10**8,
        max_venue_e8=10**7 * 10**8,
        max_total_e8=10**7 * 10**8,
        max_leverage_milli=5000,
        margin_free_ppm=100_000,
        liquidation_ppm=10_000,
        max_daily_loss_e8=10**5 * 10**8,
        max_drawdown_ppm=100_000,
    )
    gate.set_rate(100_000, SECOND_NS, amends=100_000, cancels=100_000)
    gate.set_flow(cancel_ratio_milli=500_000, cancel_ratio_ns=60 * SECOND_NS, trade_ratio_milli=1_000_000)
    gate.set_repeat(fills=100, trips=100, window_ns=SECOND_NS)
    gate.set_windows([(NOW_NS + 3600 * SECOND_NS, NOW_NS + 7200 * SECOND_NS, 0)])
    gate.set_day_trades(100, 5, 10**5 * 10**8)
    gate.allow(0, 0, True)
    gate.funding(0, 10_000, NOW_NS + 3600 * SECOND_NS)
    engine.reference.book(0, BID_TICKS, ASK_TICKS, NOW_NS)
    engine.reference.mark(0, NOW_NS, mark_e8=6_180_000_000_000, index_e8=6_180_010_000_000)
    for place in range(50):
        side, away = place % 2, 100 + place
        order_id = engine.orders.intend(0, side, ASK_TICKS + away if side else BID_TICKS - away, 10, NOW_NS)
        engine.orders.report(order_id, ReportKind.REPORT_LIVE)
    engine.equity.count_now(0)
    return engine


def run(rounds: int = 200, count: int = 2000, progress: Progress = silent) -> dict:
    """ns per order, of the slower side: the fastest of `rounds` passes of `count` checks, and the median."""
    engine, full = desk(PRODUCTS["binance-usdm"]), full_desk(PRODUCTS["binance-usdm"])

    def checks(engine: Engine, side: Side, price_ticks: int) -> int:
        began_ns = time.perf_counter_ns()
        passed = engine.risk.check_many(count, 0, side, price_ticks, 10, NOW_NS)
        taken_ns = time.perf_counter_ns() - began_ns
        if passed != count:
            raise BenchError(f"risk: {count - passed} of {count} orders refused, all of them should pass")
        return taken_ns

    def marks(engine: Engine) -> int:
        began_ns = time.perf_counter_ns()
        fired = engine.mark_many(count, 0, BID_TICKS, ASK_TICKS, NOW_NS)
        taken_ns = time.perf_counter_ns() - began_ns
        if fired:
            raise BenchError(f"risk: {fired} stops fired, none of them should")
        return taken_ns

    passes = {
        "buy": lambda: checks(engine, Side.BUY, BID_TICKS),
        "sell": lambda: checks(engine, Side.SELL, ASK_TICKS + 10),
        "buy, all": lambda: checks(full, Side.BUY, BID_TICKS),
        "sell, all": lambda: checks(full, Side.SELL, ASK_TICKS + 10),
        "mark": lambda: marks(full),
    }
    with watching() as watch:
        taken = take_turns(passes, rounds, watch, progress)
    ns = {name: best_and_median(times, count) for name, times in taken.items()}
    best, median = (max(ns["buy"][i], ns["sell"][i]) for i in (0, 1))
    all_best, all_median = (max(ns["buy, all"][i], ns["sell, all"][i]) for i in (0, 1))
    return {
        "ns_per_order": best,
        "ns_per_order_median": median,
        "budget_ns": BUDGET_NS,
        "within_budget": all_best <= BUDGET_NS,
        "ns_all_checks": all_best,
        "ns_all_checks_median": all_median,
        "ns_mark_to_market": ns["mark"][0],
        "ns_mark_to_market_median": ns["mark"][1],
        "rounds": rounds,
        "orders_per_round": count,
        **watch.report(),
    }

"""Unmodified third-party clients against the simulated Bybit, over real loopback sockets: only URLs and
keys are theirs."""

import asyncio
import contextlib
import itertools
import time

import ccxt.pro
import pytest
from ccxt.base.errors import (
    AuthenticationError,
    BadRequest,
    InsufficientFunds,
    InvalidOrder,
    OrderNotFound,
    PermissionDenied,
)

from node.sim.serve import SimConfig, Simulation

SPOT, SWAP = "BTC/USDT", "BTC/USDT:USDT"
CATEGORY = {SPOT: "spot", SWAP: "linear"}
KINDS = ("spot", "inverse", "linear", "option")


def client(endpoint, secret="simulated", key="simulated"):
    exchange = ccxt.pro.bybit({"apiKey": key, "secret": secret, "rateLimit": 1})
    ws = endpoint.ws_url
    private = {"spot": {"unified": f"{ws}/v5/private", "nonUnified": f"{ws}/spot/private/v3"}}
    private |= {
        "contract": f"{ws}/v5/private",
        "usdc": f"{ws}/trade/option/usdc/private/v1",
        "trade": f"{ws}/v5/trade",
    }
    rest = {name: endpoint.http_url for name in ("spot", "futures", "v2", "public", "private")}
    exchange.urls["api"] = rest | {
        "ws": {"public": {x: f"{ws}/v5/public/{x}" for x in KINDS}, "private": private}
    }
    return exchange


def play(scenario, timeout_s=30, **options):
    """Run `scenario(exchange, fake, endpoint)` against a simulated venue with a moving market."""

    async def main():
        simulation = Simulation(SimConfig(venues=("bybit",), options={"bybit": options}))
        endpoint = (await simulation.start())["bybit"]
        exchange = client(endpoint)
        try:
            async with asyncio.timeout(timeout_s):
                await exchange.load_markets()
                await scenario(exchange, simulation.servers["bybit"].fake, endpoint)
        finally:
            await exchange.close()
            await simulation.stop()

    asyncio.run(main())


async def until(condition, timeout_s=5.0):
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


async def best_bid(exchange, symbol):
    return (await exchange.fetch_order_book(symbol, 5))["bids"][0][0]


# ---- ccxt, REST ----


def test_ccxt_loads_everything_it_asks_for_first():
    async def scenario(exchange, fake, endpoint):
        assert {SPOT, SWAP} <= set(exchange.markets)
        assert {"BTC", "USDT"} <= set(exchange.currencies)
        spot, swap = exchange.market(SPOT), exchange.market(SWAP)
        assert (spot["precision"]["price"], swap["precision"]["amount"]) == (0.1, 0.001)
        assert (swap["linear"], swap["settle"], swap["contractSize"]) == (True, "USDT", 1)
        assert abs(await exchange.fetch_time() - time.time() * 1000) < 5_000
        assert (await exchange.fetch_status())["status"] == "ok"
        for symbol in (SPOT, SWAP):
            book, ticker = await exchange.fetch_order_book(symbol, 20), await exchange.fetch_ticker(symbol)
            assert len(book["bids"]) == len(book["asks"]) == 20
            assert book["bids"][0][0] < book["asks"][0][0]
            assert ticker["last"] > 0
            bars = await exchange.fetch_ohlcv(symbol, "1h", limit=100)
            assert [b[0] - a[0] for a, b in itertools.pairwise(bars)] == [3_600_000] * 99
            assert (await exchange.fetch_trading_fee(symbol))["taker"] in (0.001, 0.00055)
        assert (await exchange.fetch_funding_rate(SWAP))["fundingRate"] == 0.0001
        assert len(await exchange.fetch_funding_rate_history(SWAP, limit=10)) == 10
        assert (await exchange.fetch_open_interest(SWAP))["openInterestAmount"] > 0
        assert len(await exchange.fetch_market_leverage_tiers(SWAP)) == 5
        assert (await exchange.fetch_balance())["USDT"]["free"] > 0
        assert await exchange.fetch_positions() == []
        assert await exchange.fetch_my_trades(SPOT) == await exchange.fetch_open_orders(SWAP) == []

    play(scenario)


@pytest.mark.parametrize("symbol", [SPOT, SWAP])
def test_ccxt_places_edits_and_cancels_orders(symbol):
    async def scenario(exchange, fake, endpoint):
        bid = await best_bid(exchange, symbol)
        order = await exchange.create_order(
            symbol, "limit", "buy", 0.01, bid * 0.9, {"clientOrderId": "mine-1"}
        )
        found = await exchange.fetch_open_order(order["id"], symbol)
        assert (found["status"], found["amount"], found["clientOrderId"]) == ("open", 0.01, "mine-1")
        await exchange.edit_order(order["id"], symbol, "limit", "buy", 0.02, bid * 0.91)
        (found,) = await exchange.fetch_open_orders(symbol)
        assert (found["amount"], found["remaining"]) == (0.02, 0.02)
        await exchange.cancel_order(order["id"], symbol)
        with pytest.raises(OrderNotFound):
            await exchange.cancel_order(order["id"], symbol)
        found = await exchange.fetch_order(order["id"], symbol, {"acknowledged": True})
        assert (found["status"], found["filled"]) == ("canceled", 0)
        await exchange.create_order(symbol, "limit", "buy", 0.01, bid * 1.002, {"postOnly": True})
        await exchange.create_order(symbol, "limit", "buy", 0.01, bid * 0.9, {"timeInForce": "IOC"})
        canceled = await exchange.fetch_canceled_orders(symbol)
        reasons = {x["info"]["rejectReason"] for x in canceled}
        assert {"EC_PerCancelRequest", "EC_NoImmediateQtyToFill"} <= reasons
        for _ in range(3):
            await exchange.create_order(symbol, "limit", "buy", 0.01, bid * 0.9)
        assert len(await exchange.cancel_all_orders(symbol)) == 3
        assert await exchange.fetch_open_orders(symbol) == []

    play(scenario)


@pytest.mark.parametrize("symbol", [SPOT, SWAP])
def test_ccxt_trades_and_sees_fills_balances_and_fees(symbol):
    async def scenario(exchange, fake, endpoint):
        before = await exchange.fetch_balance()
        order = await exchange.create_order(symbol, "market", "buy", 0.01)
        found = await exchange.fetch_closed_order(order["id"], symbol)
        assert (found["status"], found["filled"]) == ("closed", 0.01)
        trades = await exchange.fetch_my_trades(symbol)
        assert sum(x["amount"] for x in trades) == pytest.approx(0.01)
        assert {x["takerOrMaker"] for x in trades} == {"taker"}
        assert await exchange.fetch_order_trades(order["id"], symbol)
        after = await exchange.fetch_balance()
        coin = "BTC" if symbol == SPOT else "USDT"
        assert {x["fee"]["currency"] for x in trades} == {coin}
        fee = sum(x["fee"]["cost"] for x in trades)
        change = after[coin]["total"] - before[coin]["total"]
        assert change == pytest.approx(0.01 - fee if symbol == SPOT else -fee, abs=1e-6)
        sold = await exchange.create_order(symbol, "market", "sell", 0.005)
        assert (await exchange.fetch_closed_order(sold["id"], symbol))["filled"] == 0.005

    play(scenario)


def test_ccxt_sends_stops_and_exits_and_reduce_only_orders():
    async def scenario(exchange, fake, endpoint):
        bid = await best_bid(exchange, SWAP)
        await exchange.create_order(SWAP, "market", "buy", 0.03)
        stop = {"triggerPrice": bid * 0.8, "triggerDirection": "descending"}
        await exchange.create_order(SWAP, "market", "sell", 0.005, None, stop)
        await exchange.create_order(SWAP, "limit", "sell", 0.005, bid * 0.79, stop)
        await exchange.create_order(SWAP, "market", "sell", 0.01, None, {"stopLossPrice": bid * 0.8})
        await exchange.create_order(SWAP, "limit", "sell", 0.01, bid * 1.05, {"reduceOnly": True})
        orders = await exchange.fetch_open_orders(SWAP)
        assert sorted((x["type"], bool(x["triggerPrice"]), bool(x["reduceOnly"])) for x in orders) == [
            ("limit", False, True),
            ("limit", True, False),
            ("market", True, False),
            ("market", True, True),
        ]
        exits = {"takeProfit": {"triggerPrice": bid * 1.1}, "stopLoss": {"triggerPrice": bid * 0.9}}
        await exchange.create_order(SWAP, "limit", "buy", 0.01, bid * 1.002, exits)
        (position,) = await exchange.fetch_positions([SWAP])
        assert (position["side"], position["contracts"]) == ("long", 0.04)
        assert float(position["info"]["takeProfit"]) == pytest.approx(bid * 1.1, abs=1)
        await exchange.cancel_all_orders(SWAP)
        assert await exchange.fetch_open_orders(SWAP) == []
        await exchange.create_order(SWAP, "market", "sell", 0.04, None, {"reduceOnly": True})
        assert await exchange.fetch_positions() == []
        (closed,) = await exchange.fetch_positions_history([SWAP])
        assert closed["contracts"] == 0.04
        for params in ({"triggerPrice": 30_000}, {"stopLossPrice": 30_000}):
            await exchange.create_order(SPOT, "market", "sell", 0.005, None, params)
        spot_stops = await exchange.fetch_open_orders(SPOT)
        assert [x["triggerPrice"] for x in spot_stops] == [30_000, 30_000]

    play(scenario)


def test_ccxt_sets_leverage_modes_and_trades_both_legs():
    async def scenario(exchange, fake, endpoint):
        await exchange.set_leverage(25, SWAP)
        assert (await exchange.fetch_leverage(SWAP))["longLeverage"] == 25
        with pytest.raises(BadRequest, match="110043"):
            await exchange.set_leverage(25, SWAP)
        await exchange.set_position_mode(True, SWAP)
        for side in ("buy", "sell"):
            await exchange.create_order(SWAP, "market", side, 0.01, None, {"hedged": True})
        positions = await exchange.fetch_positions([SWAP])
        assert sorted((x["side"], x["contracts"], x["hedged"]) for x in positions) == [
            ("long", 0.01, True),
            ("short", 0.01, True),
        ]
        for side in ("sell", "buy"):
            await exchange.create_order(
                SWAP, "market", side, 0.01, None, {"hedged": True, "reduceOnly": True}
            )
        assert await exchange.fetch_positions() == []

    play(scenario)


def test_ccxt_understands_the_venues_refusals():
    async def scenario(exchange, fake, endpoint):
        bid = await best_bid(exchange, SWAP)
        with pytest.raises(InsufficientFunds):
            await exchange.create_order(SPOT, "limit", "buy", 100_000, bid * 0.9)
        with pytest.raises(InsufficientFunds):
            await exchange.create_order(SWAP, "limit", "buy", 100_000, bid * 0.9)
        with pytest.raises(InvalidOrder):
            await exchange.create_order(SWAP, "limit", "sell", 0.01, bid, {"reduceOnly": True})
        await exchange.create_order(SWAP, "limit", "buy", 0.01, bid * 0.9, {"clientOrderId": "twice"})
        with pytest.raises(InvalidOrder):
            await exchange.create_order(SWAP, "limit", "buy", 0.01, bid * 0.9, {"clientOrderId": "twice"})
        for key, secret in (("simulated", "wrong"), ("nobody", "simulated")):
            stranger = client(endpoint, secret, key)
            with pytest.raises((AuthenticationError, PermissionDenied)):
                await stranger.fetch_balance()
            await stranger.close()

    play(scenario)


def test_ccxt_reads_a_batch_item_by_item():
    async def scenario(exchange, fake, endpoint):
        fake.faults.add("ack.batch", code="10001", count=1, skip=1)
        wish = {"symbol": SWAP, "type": "limit", "side": "buy", "amount": 0.01, "price": 30_000}
        orders = await exchange.create_orders([wish] * 3)
        assert [x["status"] for x in orders].count("rejected") == 1
        assert len(await exchange.fetch_open_orders(SWAP)) == 2
        assert len(await exchange.cancel_orders([x["id"] for x in orders if x["id"]], SWAP)) == 2

    play(scenario)


# ---- ccxt.pro, WebSocket ----


@contextlib.asynccontextmanager
async def watching(*watchers):
    """Watch all the time. What was told is in the client's own caches: between two calls a watcher hears
    nothing, while the caches do."""

    async def listen(watch):
        while True:
            await watch()

    tasks = [asyncio.create_task(listen(x)) for x in watchers]
    await asyncio.sleep(0.5)  # logged in and subscribed
    try:
        yield
        assert not [x.exception() for x in tasks if x.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@pytest.mark.parametrize("symbol", [SPOT, SWAP])
def test_ccxt_pro_trades_over_the_trade_connection_and_hears_of_it(symbol):
    async def scenario(exchange, fake, endpoint):
        def is_told(order, **wanted):
            rows = [x for x in exchange.orders or () if x["id"] == order["id"]]
            return bool(rows) and all(rows[-1][name] == value for name, value in wanted.items())

        bid = await best_bid(exchange, symbol)
        async with watching(exchange.watch_orders, exchange.watch_my_trades, exchange.watch_balance):
            order = await exchange.create_order_ws(symbol, "limit", "buy", 0.01, bid * 0.9)
            await until(lambda: is_told(order, status="open", amount=0.01))
            await exchange.edit_order_ws(order["id"], symbol, "limit", "buy", 0.02, bid * 0.91)
            await until(lambda: is_told(order, status="open", amount=0.02))
            await exchange.cancel_order_ws(order["id"], symbol)
            await until(lambda: is_told(order, status="canceled", filled=0))
            with pytest.raises(OrderNotFound):
                await exchange.cancel_order_ws(order["id"], symbol)
            taken = await exchange.create_order_ws(symbol, "market", "buy", 0.01)
            await until(lambda: is_told(taken, status="closed", filled=0.01))
            await until(lambda: sum(x["amount"] for x in exchange.myTrades or ()) > 0.0099)
            assert {x["symbol"] for x in exchange.myTrades} == {symbol}
            truth = fake.truth()
            assert sum(x["size_lots"] for x in truth["fills"].values()) == (10_000 if symbol == SPOT else 10)
            total = float(truth["balances"][""]["USDT"]["total"])
            balances = exchange.balance["unified"]
            # the client's total is the equity: with the profit of the moment
            await until(lambda: balances["USDT"]["total"] == pytest.approx(total, abs=0.1))

    play(scenario)


def test_ccxt_pro_follows_positions():
    async def scenario(exchange, fake, endpoint):
        def sizes():
            return {x["side"]: x["contracts"] for x in exchange.positions or () if x["symbol"] == SWAP}

        async with watching(exchange.watch_positions):
            await exchange.create_order_ws(SWAP, "market", "buy", 0.02)
            await until(lambda: sizes().get("long") == 0.02)
            await exchange.create_order_ws(SWAP, "market", "sell", 0.02, None, {"reduceOnly": True})
            await until(lambda: not any(sizes().values()))

    play(scenario)


def test_ccxt_pro_follows_the_public_streams():
    async def scenario(exchange, fake, endpoint):
        for symbol in (SPOT, SWAP):
            listing = next(x for x in fake.listings.values() if (x.is_perpetual) == (symbol == SWAP))
            for _ in range(30):
                book = await exchange.watch_order_book(symbol)
                assert book["bids"][0][0] < book["asks"][0][0]
            assert len(book["bids"]) == 50
            best = listing.price_grid.format(listing.engine.best(0)[0])
            assert book["bids"][0][0] == pytest.approx(float(best), rel=1e-3)
            assert (await exchange.watch_ticker(symbol))["last"] > 0
            assert await exchange.watch_trades(symbol)
            assert await exchange.watch_ohlcv(symbol, "1m")

    play(scenario)


def test_ccxt_pro_is_told_when_its_secret_is_wrong():
    async def scenario(exchange, fake, endpoint):
        stranger = client(endpoint, "wrong")
        stranger.set_markets(list(exchange.markets.values()))
        stranger.options |= {"enableUnifiedMargin": False, "enableUnifiedAccount": True}
        with pytest.raises((AuthenticationError, ccxt.pro.ExchangeError)):
            await stranger.create_order_ws(SWAP, "limit", "buy", 0.01, 30_000)
        await stranger.close()
        assert fake.counts["orders"] == 0

    play(scenario)


# ---- pybit ----


def test_pybit_asks_trades_and_listens():
    unified = pytest.importorskip("pybit.unified_trading", reason="pybit is not installed")
    import pybit._websocket_trading as trading

    def use(endpoint, monkeypatch):
        monkeypatch.setattr(unified, "PUBLIC_WSS", endpoint.ws_url + "/v5/public/{CHANNEL_TYPE}")
        monkeypatch.setattr(unified, "PRIVATE_WSS", endpoint.ws_url + "/v5/private")
        monkeypatch.setattr(trading, "TRADE_WSS", endpoint.ws_url + "/v5/trade")
        session = unified.HTTP(api_key="simulated", api_secret="simulated")
        session.endpoint = endpoint.http_url
        told: dict[str, list] = {}

        def note(name):
            return lambda message: told.setdefault(name, []).append(message)

        def wait_for(condition):
            end = time.monotonic() + 30
            while not condition():
                assert time.monotonic() < end, {k: len(v) for k, v in told.items()}
                time.sleep(0.01)

        keys = {"api_key": "simulated", "api_secret": "simulated", "testnet": False}
        public = unified.WebSocket(channel_type="linear", testnet=False)
        private = unified.WebSocket(channel_type="private", **keys)
        orders = unified.WebSocketTrading(**keys)
        try:
            public.orderbook_stream(50, "BTCUSDT", note("book"))
            private.order_stream(note("order"))
            private.execution_stream(note("execution"))
            private.wallet_stream(note("wallet"))
            wait_for(lambda: len(told.get("book", ())) > 5 and len(private.callback_directory) == 3)
            price = session.get_tickers(category="linear", symbol="BTCUSDT")["result"]["list"][0]["bid1Price"]
            wish = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "qty": "0.01"}
            far = f"{float(price) * 0.9:.1f}"
            placed = session.place_order(**wish, orderType="Limit", price=far, orderLinkId="by-rest")[
                "result"
            ]
            assert session.get_open_orders(category="linear", orderLinkId="by-rest")["result"]["list"]
            session.amend_order(category="linear", symbol="BTCUSDT", orderId=placed["orderId"], qty="0.02")
            session.cancel_order(category="linear", symbol="BTCUSDT", orderLinkId="by-rest")
            with pytest.raises(Exception, match="110001"):
                session.cancel_order(category="linear", symbol="BTCUSDT", orderLinkId="by-rest")
            orders.place_order(note("ack"), **wish, orderType="Limit", price=far)
            wait_for(lambda: told.get("ack"))
            order_id = told["ack"][0]["data"]["orderId"]
            orders.cancel_order(note("ack"), category="linear", symbol="BTCUSDT", orderId=order_id)
            wait_for(lambda: len(told["ack"]) == 2)
            orders.place_order(note("ack"), **wish, orderType="Market")
            wait_for(lambda: len(told["ack"]) == 3 and told.get("execution") and told.get("wallet"))
            statuses = [x["data"][0]["orderStatus"] for x in told["order"]]
            assert statuses[:3] == ["New", "New", "Cancelled"]
            assert statuses[-1] == "Filled"
            assert (
                session.get_positions(category="linear", symbol="BTCUSDT")["result"]["list"][0]["size"]
                == "0.01"
            )
        finally:
            for socket in (public, private, orders):
                socket.exit()

    async def scenario(exchange, fake, endpoint):
        fake.faults.add(
            "ack.delay", delay_ms=250
        )  # pybit expects an answer only after it has sent the question
        with pytest.MonkeyPatch.context() as monkeypatch:
            await asyncio.to_thread(use, endpoint, monkeypatch)

    play(scenario)

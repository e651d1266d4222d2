"""Unmodified third-party clients against the simulated OKX, over real sockets: only addresses are changed.

ccxt by REST and by WebSocket, and python-okx where it is installed. What each of them sends is its own
affair; nothing here knows how Tickgate's own client works.
"""

import asyncio
import contextlib
import json
from decimal import Decimal

import ccxt.async_support as ccxt
import ccxt.pro as ccxtpro
import pytest

from node.sim.serve import SimConfig, Simulation

SPOT, SWAP = "BTC/USDT", "BTC/USDT:USDT"
KEY = {"apiKey": "simulated", "secret": "simulated", "password": "simulated"}
WAIT_S = 10


@contextlib.asynccontextmanager
async def venue():
    """A simulated OKX that lets nobody in without a key."""
    simulation = Simulation(SimConfig(venues=("okx",), options={"okx": {"login_required": True}}))
    endpoints = await simulation.start()
    try:
        yield endpoints["okx"], simulation.servers["okx"].fake
    finally:
        await simulation.stop()


@contextlib.asynccontextmanager
async def client(endpoint, kind=ccxt, **change):
    exchange = kind.okx(KEY | {"enableRateLimit": False} | change)
    exchange.urls["api"]["rest"] = endpoint.http_url
    exchange.urls["api"]["ws"] = f"{endpoint.ws_url}/ws/v5"
    try:
        await exchange.load_markets()
        yield exchange
    finally:
        await exchange.close()


def run(test) -> None:
    """A test with a venue, bounded in time."""

    async def main():
        async with asyncio.timeout(60), venue() as (endpoint, fake):
            await test(endpoint, fake)

    asyncio.run(main())


async def far(exchange, symbol: str) -> float:
    """A price at which a buy rests."""
    book = await exchange.fetch_order_book(symbol, 5)
    return round(book["bids"][0][0] * 0.95, 1)


# ---- ccxt by REST ----


def test_ccxt_loads_markets_currencies_and_prices():
    async def test(endpoint, fake):
        async with client(endpoint) as exchange:
            assert set(exchange.markets) == {SPOT, SWAP}
            swap, spot = exchange.markets[SWAP], exchange.markets[SPOT]
            assert (swap["contractSize"], swap["linear"], swap["settle"]) == (0.01, True, "USDT")
            assert (spot["precision"]["price"], spot["active"]) == (0.1, True)
            assert set(await exchange.fetch_currencies()) == {"BTC", "USDT"}
            assert (await exchange.fetch_status())["status"] == "ok"
            for symbol in (SPOT, SWAP):
                book = await exchange.fetch_order_book(symbol, 20)
                assert book["bids"][0][0] < book["asks"][0][0]
                assert (await exchange.fetch_ticker(symbol))["last"] > 0
                assert await exchange.fetch_ohlcv(symbol, "1m")
                assert (await exchange.fetch_trading_fee(symbol))["taker"] > 0
                await exchange.fetch_trades(symbol)
            assert (await exchange.fetch_funding_rate(SWAP))["fundingRate"] == 0.0001
            assert (await exchange.fetch_mark_price(SWAP))["markPrice"] > 0
            assert await exchange.fetch_market_leverage_tiers(SWAP)
            assert (await exchange.fetch_open_interest(SWAP))["openInterestAmount"] > 0

    run(test)


@pytest.mark.parametrize(("symbol", "size"), [(SPOT, 0.01), (SWAP, 1)])
def test_ccxt_places_finds_edits_and_cancels_orders(symbol, size):
    async def test(endpoint, fake):
        async with client(endpoint) as exchange:
            price = await far(exchange, symbol)
            placed = await exchange.create_order(
                symbol, "limit", "buy", size, price, {"clientOrderId": "mine1"}
            )
            order = await exchange.fetch_order(placed["id"], symbol)
            assert (order["status"], order["price"], order["amount"]) == ("open", price, size)
            assert order["clientOrderId"] == "mine1"
            assert [x["id"] for x in await exchange.fetch_open_orders(symbol)] == [placed["id"]]
            await exchange.edit_order(placed["id"], symbol, "limit", "buy", size * 2, price - 1)
            order = await exchange.fetch_order(None, symbol, {"clientOrderId": "mine1"})
            assert (order["price"], order["amount"]) == (price - 1, size * 2)
            await exchange.cancel_order(placed["id"], symbol)
            assert (await exchange.fetch_order(placed["id"], symbol))["status"] == "canceled"
            assert [x["id"] for x in await exchange.fetch_canceled_orders(symbol)] == [placed["id"]]
            several = [
                {"symbol": symbol, "type": "limit", "side": "buy", "amount": size, "price": price - i}
                for i in range(3)
            ]
            ids = [x["id"] for x in await exchange.create_orders(several)]
            assert len(await exchange.cancel_orders(ids, symbol)) == 3
            assert await exchange.fetch_open_orders(symbol) == []
        assert fake.truth()["open"] == []

    run(test)


@pytest.mark.parametrize(("symbol", "size"), [(SPOT, 0.01), (SWAP, 1)])
def test_ccxt_trades_at_market_and_reads_its_trades(symbol, size):
    async def test(endpoint, fake):
        async with client(endpoint) as exchange:
            before = await exchange.fetch_balance()
            placed = await exchange.create_order(symbol, "market", "buy", size)
            order = await exchange.fetch_order(placed["id"], symbol)
            assert (order["status"], order["filled"]) == ("closed", size)
            trades = await exchange.fetch_my_trades(symbol)
            assert sum(Decimal(str(x["amount"])) for x in trades) == Decimal(str(size))
            fee = trades[0]["fee"]
            assert (fee["currency"], fee["cost"] > 0) == ("BTC" if symbol == SPOT else "USDT", True)
            after = await exchange.fetch_balance()
            assert after["USDT"]["total"] < before["USDT"]["total"]
            if symbol == SPOT:
                gained = Decimal(str(after["BTC"]["total"])) - Decimal(str(before["BTC"]["total"]))
                assert gained == Decimal(str(size)) - sum(Decimal(str(x["fee"]["cost"])) for x in trades)
                assert await exchange.fetch_ledger()
            assert [x["id"] for x in await exchange.fetch_closed_orders(symbol)] == [placed["id"]]
            bad = (
                ("post_only", {"postOnly": True}),
                ("ioc", {"timeInForce": "IOC"}),
                ("fok", {"timeInForce": "FOK"}),
            )
            top = (await exchange.fetch_order_book(symbol, 5))["asks"][0][0]
            for kind, more in bad:
                price = round(top * 1.01, 1) if kind == "post_only" else await far(exchange, symbol)
                placed = await exchange.create_order(symbol, "limit", "buy", size, price, more)
                order = await exchange.fetch_order(placed["id"], symbol)
                assert (order["status"], order["info"]["ordType"]) == ("canceled", kind)

    run(test)


def test_ccxt_holds_reduces_and_closes_a_position():
    async def test(endpoint, fake):
        async with client(endpoint) as exchange:
            await exchange.set_leverage(5, SWAP, {"mgnMode": "cross"})
            assert (await exchange.fetch_leverage(SWAP))["longLeverage"] == 5
            with pytest.raises(ccxt.ExchangeError, match="51169"):
                await exchange.create_order(SWAP, "market", "sell", 1, None, {"reduceOnly": True})
            await exchange.create_order(SWAP, "market", "buy", 3)
            (position,) = await exchange.fetch_positions([SWAP])
            assert (position["side"], position["contracts"], position["leverage"]) == ("long", 3, 5)
            assert position["entryPrice"] > 0
            await exchange.create_order(SWAP, "market", "sell", 1, None, {"reduceOnly": True})
            stop = await exchange.create_order(SWAP, "market", "sell", 2, None, {"stopLossPrice": 50000})
            found = await exchange.fetch_open_orders(SWAP, params={"ordType": "conditional"})
            assert [x["id"] for x in found] == [stop["id"]]
            await exchange.cancel_order(stop["id"], SWAP, {"trigger": True})
            await exchange.close_position(SWAP, None, {"marginMode": "cross"})
            assert await exchange.fetch_positions([SWAP]) == []
            (past,) = await exchange.fetch_positions_history([SWAP])
            assert past["info"]["closeTotalPos"] == "3"

    run(test)


@pytest.mark.parametrize("wrong", [{"apiKey": "x"}, {"secret": "x"}, {"password": "x"}])
def test_ccxt_is_told_which_credential_is_wrong(wrong):
    async def test(endpoint, fake):
        with pytest.raises(ccxt.AuthenticationError):
            async with client(endpoint, **wrong) as exchange:
                await exchange.fetch_balance()

    run(test)


def test_ccxt_knows_what_was_refused():
    async def test(endpoint, fake):
        async with client(endpoint) as exchange:
            price = await far(exchange, SPOT)
            with pytest.raises(ccxt.InsufficientFunds):
                await exchange.create_order(SPOT, "limit", "buy", 1_000_000, price)
            with pytest.raises(ccxt.OrderNotFound):
                await exchange.fetch_order("123", SPOT)
            with pytest.raises(ccxt.OrderNotFound):
                await exchange.cancel_order("123", SPOT)
            with pytest.raises(ccxt.BadSymbol):
                await exchange.publicGetMarketTicker({"instId": "NO-SUCH"})

    run(test)


# ---- ccxt by WebSocket ----


async def until(call, good):
    """Watch until what is awaited has come."""
    async with asyncio.timeout(WAIT_S):
        while True:
            found = await call()
            if good(found):
                return found


def test_ccxt_watches_public_prices():
    async def test(endpoint, fake):
        async with client(endpoint, ccxtpro) as exchange:
            for symbol in (SPOT, SWAP):
                for _ in range(3):
                    book = await asyncio.wait_for(exchange.watch_order_book(symbol), WAIT_S)
                    assert book["bids"][0][0] < book["asks"][0][0]
                assert (await asyncio.wait_for(exchange.watch_ticker(symbol), WAIT_S))["last"] > 0
                assert await asyncio.wait_for(exchange.watch_ohlcv(symbol, "1m"), WAIT_S)
                assert await asyncio.wait_for(exchange.watch_trades(symbol), WAIT_S)
            assert (await asyncio.wait_for(exchange.watch_funding_rate(SWAP), WAIT_S))["fundingRate"]

    run(test)


@pytest.mark.parametrize(("symbol", "size"), [(SPOT, 0.01), (SWAP, 1)])
def test_ccxt_trades_by_websocket_and_watches_what_becomes_of_it(symbol, size):
    async def test(endpoint, fake):
        async with client(endpoint, ccxtpro) as exchange:
            price = await far(exchange, symbol)
            watched = asyncio.create_task(until(exchange.watch_my_trades, lambda x: x))
            balance = asyncio.create_task(until(exchange.watch_balance, lambda x: x["USDT"]["total"] < 10**7))
            await asyncio.sleep(0.5)
            placed = await exchange.create_order_ws(symbol, "limit", "buy", size, price)
            edited = await exchange.edit_order_ws(placed["id"], symbol, "limit", "buy", size * 2, price - 1)
            assert edited["id"] == placed["id"]
            await exchange.cancel_order_ws(placed["id"], symbol)
            order = await exchange.fetch_order(placed["id"], symbol)
            assert (order["status"], order["amount"]) == ("canceled", size * 2)
            await exchange.create_order_ws(symbol, "market", "buy", size)
            trade = (await watched)[0]
            assert (trade["symbol"], trade["side"], trade["amount"] > 0) == (symbol, "buy", True)
            assert (await balance)["USDT"]["total"] < 10**7
            with pytest.raises(ccxt.OrderNotFound):
                await exchange.cancel_order_ws("77", symbol)

    run(test)


def test_ccxt_watches_orders_and_positions():
    async def test(endpoint, fake):
        async with client(endpoint, ccxtpro) as exchange:
            orders = asyncio.create_task(exchange.watch_orders())
            positions = asyncio.create_task(until(exchange.watch_positions, lambda x: x))
            await asyncio.sleep(0.5)
            placed = await exchange.create_order(SWAP, "market", "buy", 2)
            assert placed["id"] in {x["id"] for x in await asyncio.wait_for(orders, WAIT_S)}
            (position,) = await positions
            assert (position["symbol"], position["side"], position["contracts"]) == (SWAP, "long", 2)

    run(test)


def test_ccxt_cannot_watch_private_channels_with_a_wrong_secret():
    async def test(endpoint, fake):
        async with client(endpoint) as good:
            exchange = ccxtpro.okx(KEY | {"secret": "wrong"})
            exchange.urls["api"]["ws"] = f"{endpoint.ws_url}/ws/v5"
            exchange.set_markets(good.markets)
            try:
                with pytest.raises(ccxt.AuthenticationError):
                    await asyncio.wait_for(exchange.watch_balance(), WAIT_S)
            finally:
                await exchange.close()

    run(test)


# ---- python-okx ----


def test_the_official_sdk_trades_by_rest():
    pytest.importorskip("okx.Trade", reason="python-okx is not installed")
    import okx.Account
    import okx.MarketData
    import okx.PublicData
    import okx.Trade

    def trade(url: str) -> None:
        keys = {"api_key": "simulated", "api_secret_key": "simulated", "passphrase": "simulated", "flag": "0"}
        keys |= {"domain": url, "debug": False}
        account, orders = okx.Account.AccountAPI(**keys), okx.Trade.TradeAPI(**keys)
        public = okx.PublicData.PublicAPI(flag="0", domain=url, debug=False)
        market = okx.MarketData.MarketAPI(flag="0", domain=url, debug=False)
        order = {"instId": "BTC-USDT-SWAP", "tdMode": "cross", "side": "buy"}
        answers = [
            public.get_instruments("SWAP"),
            market.get_orderbook("BTC-USDT", "5"),
            account.get_account_config(),
            account.get_account_balance(),
            account.set_leverage("10", "cross", instId="BTC-USDT-SWAP"),
            orders.place_order(**order, ordType="limit", px="50000", sz="1", clOrdId="py1"),
            orders.amend_order("BTC-USDT-SWAP", clOrdId="py1", newSz="2"),
            orders.get_order("BTC-USDT-SWAP", clOrdId="py1"),
            orders.cancel_order("BTC-USDT-SWAP", clOrdId="py1"),
            orders.place_multiple_orders([order | {"ordType": "market", "sz": "1"}]),
            account.get_positions(instType="SWAP"),
            orders.close_positions("BTC-USDT-SWAP", "cross"),
            orders.get_fills(),
            orders.get_orders_history("SWAP"),
            account.get_account_bills(),
        ]
        assert [x["code"] for x in answers] == ["0"] * len(answers), answers
        assert answers[7]["data"][0]["sz"] == "2"
        assert orders.cancel_order("BTC-USDT-SWAP", clOrdId="py1")["code"] == "1"

    async def test(endpoint, fake):
        await asyncio.to_thread(trade, endpoint.http_url)
        assert fake.truth()["open"] == []
        assert json.dumps(fake.truth())

    run(test)

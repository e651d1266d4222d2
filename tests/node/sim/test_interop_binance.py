"""Third-party clients, unmodified but for their URLs, against the simulated Binance over real sockets."""

import asyncio

import pytest

from node.sim.serve import SimConfig, Simulation
from node.venues.fakes import PRIVATE_KEY_PEM

ccxt = pytest.importorskip("ccxt.pro")

HOSTS = tuple(f"https://{x}api.binance.com" for x in ("", "f", "d", "e", "p"))
PATIENCE_S = 10


def point(exchange, endpoint):
    """Change the addresses of a ccxt exchange, and nothing else."""
    http, ws = endpoint.http_url, endpoint.ws_url
    api = exchange.urls["api"]
    for name, url in api.items():
        if isinstance(url, str):
            for host in HOSTS:
                url = url.replace(host, http)
            api[name] = url
    # ccxt tells spot streams by "/stream" in their address
    api["ws"] |= {"spot": f"{ws}/stream/ws", "margin": f"{ws}/stream/ws", "linear": f"{ws}/ws"}
    api["ws"]["ws-api"] = {"spot": f"{ws}/ws-api/v3", "linear": f"{ws}/ws-fapi/v1"}
    return exchange


def with_venue(run, **client):
    """`run(exchange, fake)` with a ccxt client and a venue that asks for credentials."""

    async def main():
        options = {"binance": {"credentials_required": True}}
        simulation = Simulation(SimConfig(venues=("binance",), options=options))
        endpoint = (await simulation.start())["binance"]
        credentials = {"apiKey": "simulated", "secret": "simulated"} | client
        exchange = point(ccxt.binance(credentials), endpoint)
        try:
            async with asyncio.timeout(6 * PATIENCE_S):
                await run(exchange, simulation.servers["binance"].fake)
        finally:
            await exchange.close()
            await simulation.stop()

    asyncio.run(main())


PRODUCTS = [
    pytest.param("spot", "BTC/USDT", 0.01, id="spot"),
    pytest.param("swap", "BTC/USDT:USDT", 0.002, id="swap"),
]


async def price_of(exchange, symbol):
    return (await exchange.fetch_ticker(symbol))["last"]


@pytest.mark.parametrize(("kind", "symbol", "amount"), PRODUCTS)
def test_ccxt_reads_markets_books_and_accounts(kind, symbol, amount):
    async def run(exchange, fake):
        markets = await exchange.load_markets()
        assert markets[symbol]["active"]
        assert (await exchange.fetch_status())["status"] == "ok"
        book = await exchange.fetch_order_book(symbol, 20)
        assert book["bids"][0][0] < book["asks"][0][0]
        assert len(await exchange.fetch_ohlcv(symbol, "1m", limit=5)) == 5
        assert (await exchange.fetch_tickers())[symbol]["last"] > 0
        assert (await exchange.fetch_balance())["USDT"]["free"] > 0
        assert (await exchange.fetch_trading_fee(symbol))["taker"] > 0
        if kind == "swap":
            assert await exchange.fetch_positions([symbol]) == []
            assert (await exchange.fetch_funding_rate(symbol))["fundingRate"] == 0.0001
            assert (await exchange.fetch_leverage_tiers([symbol]))[symbol]

    with_venue(run, options={"defaultType": kind})


@pytest.mark.parametrize(("kind", "symbol", "amount"), PRODUCTS)
@pytest.mark.parametrize("secret", ["simulated", PRIVATE_KEY_PEM], ids=["hmac", "ed25519"])
def test_ccxt_orders_live_and_die_over_rest(kind, symbol, amount, secret):
    async def run(exchange, fake):
        price = await price_of(exchange, symbol)
        placed = await exchange.create_order(symbol, "limit", "buy", amount, price * 0.98)
        assert (await exchange.fetch_order(placed["id"], symbol))["status"] == "open"
        edited = await exchange.edit_order(placed["id"], symbol, "limit", "buy", amount * 2, price * 0.97)
        (row,) = await exchange.fetch_open_orders(symbol)
        assert (row["id"], row["amount"]) == (edited["id"], amount * 2)
        assert (await exchange.cancel_order(edited["id"], symbol))["status"] == "canceled"
        maker = await exchange.create_order(symbol, "limit", "buy", amount, price * 0.98, {"postOnly": True})
        assert maker["status"] == "open"
        filled = await exchange.create_order(symbol, "market", "buy", amount)
        assert (filled["status"], filled["filled"]) == ("closed", amount)
        await exchange.cancel_all_orders(symbol)
        assert await exchange.fetch_open_orders(symbol) == []
        trades = await exchange.fetch_my_trades(symbol)
        assert sum(x["amount"] for x in trades) == pytest.approx(amount)
        assert {x["order"] for x in trades} == {filled["id"]}
        with pytest.raises(ccxt.OrderNotFound):
            await exchange.cancel_order(placed["id"], symbol)
        truth = fake.truth()
        assert (truth["open"], len(truth["fills"])) == ([], len(trades))

    with_venue(run, options={"defaultType": kind}, secret=secret)


def test_ccxt_protects_a_position():
    async def run(exchange, fake):
        symbol = "BTC/USDT:USDT"
        price = await price_of(exchange, symbol)
        await exchange.create_order(symbol, "market", "buy", 0.004)
        (position,) = await exchange.fetch_positions([symbol])
        assert (position["side"], position["contracts"]) == ("long", 0.004)
        stop = {"stopLossPrice": price * 0.9, "reduceOnly": True}
        stopped = await exchange.create_order(symbol, "market", "sell", 0.004, None, stop)
        assert [x["id"] for x in await exchange.fetch_open_orders(symbol, params={"trigger": True})] == [
            stopped["id"]
        ]
        assert await exchange.fetch_open_orders(symbol) == []
        await exchange.cancel_all_orders(symbol, {"trigger": True})
        closed = await exchange.create_order(symbol, "market", "sell", 0.004, None, {"reduceOnly": True})
        assert closed["status"] == "closed"
        with pytest.raises(ccxt.ExchangeError, match="-2022"):
            await exchange.create_order(symbol, "market", "sell", 0.004, None, {"reduceOnly": True})
        assert await exchange.fetch_positions([symbol]) == []
        assert (await exchange.set_leverage(7, symbol))["leverage"] == 7

    with_venue(run, options={"defaultType": "swap"})


@pytest.mark.parametrize("secret", ["wrong", PRIVATE_KEY_PEM.replace("MC4CAQ", "MC4CAQ")[:-60] + "\n"])
def test_ccxt_with_a_wrong_secret_is_turned_away(secret):
    async def run(exchange, fake):
        with pytest.raises((ccxt.AuthenticationError, ValueError)):
            await exchange.fetch_balance()

    with_venue(run, secret=secret)


@pytest.mark.parametrize(("kind", "symbol", "amount"), PRODUCTS)
def test_ccxt_pro_watches_and_trades_over_websockets(kind, symbol, amount):
    async def run(exchange, fake):
        await exchange.load_markets()
        price = await price_of(exchange, symbol)
        for _ in range(3):
            book = await exchange.watch_order_book(symbol)
        assert book["bids"][0][0] < book["asks"][0][0]
        assert (await exchange.watch_ticker(symbol))["last"] > 0
        seen: dict[str, list] = {"orders": [], "trades": [], "balances": []}
        watching = [
            asyncio.create_task(collect(seen["orders"], lambda: exchange.watch_orders(symbol))),
            asyncio.create_task(collect(seen["trades"], lambda: exchange.watch_my_trades(symbol))),
            asyncio.create_task(collect(seen["balances"], lambda: exchange.watch_balance())),
        ]
        await until(lambda: subscribed(fake))
        placed = await exchange.create_order_ws(symbol, "limit", "buy", amount, price * 0.98)
        await exchange.cancel_order_ws(placed["id"], symbol)
        await exchange.create_order_ws(symbol, "market", "buy", amount)
        await until(lambda: {"open", "canceled", "closed"} <= {x["status"] for x in seen["orders"]})
        await until(lambda: seen["trades"] and seen["balances"])
        assert sum(x["amount"] for x in seen["trades"]) == pytest.approx(amount)
        if kind == "swap":
            (position,) = await exchange.fetch_positions_ws([symbol])
            assert position["contracts"] == amount
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)

    with_venue(run, options={"defaultType": kind}, newUpdates=True)


def subscribed(fake) -> bool:
    return (bool(fake.listen_keys) and any(x.notes.get("key") for x in fake.connections.values())) or any(
        x.notes.get("subscriptions") for x in fake.connections.values()
    )


async def collect(into, watch):
    while True:
        found = await watch()
        into += [dict(x) for x in found] if isinstance(found, list) else [found]


async def until(is_so):
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await asyncio.sleep(0.02)


# ---- python-binance, where it is installed ------------------------------------------------------


@pytest.fixture
def python_binance(monkeypatch):
    """python-binance and its socket manager. Other packages call themselves `binance` too."""
    binance = pytest.importorskip("binance")
    if not hasattr(binance, "BinanceSocketManager"):
        pytest.skip("the package `binance` that is installed is not python-binance")
    return binance


def test_python_binance_trades_and_listens(python_binance, monkeypatch):
    client_class, manager_class = python_binance.AsyncClient, python_binance.BinanceSocketManager

    def aim(endpoint):
        http, ws = endpoint.http_url, endpoint.ws_url
        for name, url in (
            ("API_URL", f"{http}/api"),
            ("MARGIN_API_URL", f"{http}/sapi"),
            ("FUTURES_URL", f"{http}/fapi"),
            ("WS_API_URL", f"{ws}/ws-api/v3"),
            ("WS_FUTURES_URL", f"{ws}/ws-fapi/v1"),
        ):
            monkeypatch.setattr(client_class, name, url)
        monkeypatch.setattr(manager_class, "STREAM_URL", f"{ws}/")
        monkeypatch.setattr(manager_class, "FSTREAM_URL", f"{ws}/fstream/")

    async def main():
        options = {"binance": {"credentials_required": True}}
        simulation = Simulation(SimConfig(venues=("binance",), options=options))
        aim((await simulation.start())["binance"])
        client = await client_class.create("simulated", "simulated")
        try:
            async with asyncio.timeout(6 * PATIENCE_S):
                await use(client, manager_class(client))
        finally:
            await client.close_connection()
            await simulation.stop()

    async def use(client, sockets):
        price = float((await client.get_symbol_ticker(symbol="BTCUSDT"))["price"])
        limit = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
        limit |= {"quantity": "0.01", "price": f"{price * 0.98:.1f}"}
        for place, cancel in (
            (client.create_order, client.cancel_order),
            (client.ws_create_order, client.ws_cancel_order),
            (client.futures_create_order, client.futures_cancel_order),
            (client.ws_futures_create_order, client.ws_futures_cancel_order),
        ):
            placed = await place(**limit)
            gone = await cancel(symbol="BTCUSDT", orderId=placed["orderId"])
            assert (gone["orderId"], gone["status"]) == (placed["orderId"], "CANCELED")
        market = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
        for socket, place, wanted in (
            (sockets.user_socket(), client.create_order, "executionReport"),
            (sockets.futures_user_socket(), client.futures_create_order, "ORDER_TRADE_UPDATE"),
        ):
            async with socket as stream:
                await place(**market)
                seen = ""
                while seen != wanted:
                    message = await stream.recv()
                    seen = (message.get("event") or message.get("data") or message).get("e", "")
        assert (await client.futures_position_information(symbol="BTCUSDT"))[0]["positionAmt"] == "0.010"
        async with sockets.depth_socket("BTCUSDT", interval=100) as stream:
            assert (await stream.recv())["e"] == "depthUpdate"

    asyncio.run(main())

"""Each market through ccxt against the simulated venues, over real sockets; and what comes out when a venue
answers something else."""

import asyncio
import re
from decimal import Decimal

import pytest

from node.sim.serve import SimConfig, Simulation
from node.slow.exchange import TRADES, Exchange, Refused
from node.slow.guard import Do, Step

SPOT, SWAP = "BTC/USDT", "BTC/USDT:USDT"
KEY = {"api_key": "simulated", "secret": "simulated", "passphrase": "simulated", "private_key": ""}
SIZES = {"okx": 1.0}
MARKETS = list(TRADES)


def play(scenario, market, change=None, faults=()):
    """`scenario(exchange, fake)` with one market of a simulated venue."""
    name = market.partition("-")[0]

    async def main():
        simulation = Simulation(SimConfig(venues=(name,)))
        endpoint = (await simulation.start())[name]
        symbol = "BTC-USDT-SWAP" if name == "okx" else "BTCUSDT"
        exchange = Exchange(market, endpoint.http_url, [symbol, "NOSUCH"], KEY | (change or {}))
        exchange._api.enableRateLimit = False  # the simulated venue counts too, and nobody waits for a test
        try:
            async with asyncio.timeout(30):
                await exchange.open()
                await scenario(exchange, simulation.servers[name].fake)
        finally:
            await exchange.close()
            await simulation.stop()

    asyncio.run(main())


def symbol_of(exchange) -> str:
    return SWAP if exchange.trade.is_perpetual else SPOT


async def rest_some(exchange, count=3, who="tst0") -> float:
    """Limit orders far below; returns the best bid."""
    api, symbol = exchange._api, symbol_of(exchange)
    bid = (await api.fetch_order_book(symbol, 5))["bids"][0][0]
    for i in range(count):
        price = round(bid * (0.98 - 0.0005 * i), 1)
        size = SIZES.get(exchange.market, 0.01)
        await api.create_order(symbol, "limit", "buy", size, price, {"clientOrderId": f"{who}{i}"})
    return bid


async def hold(exchange) -> None:
    await exchange._api.create_order(SWAP, "market", "buy", SIZES.get(exchange.market, 0.01))


async def protect(exchange, bid) -> None:
    own = "algoClOrdId" if exchange.market == "okx" else "clientOrderId"
    stop = {"stopLossPrice": round(bid * 0.9, 1), "reduceOnly": True, own: "tst0stop"}
    await exchange._api.create_order(SWAP, "market", "sell", SIZES.get(exchange.market, 0.01), None, stop)


async def cancel_all(exchange, rows, single=False) -> None:
    groups = {}
    for row in rows:
        groups.setdefault((row.space, row.symbol), []).append(row)
    for group in groups.values():
        await exchange.cancel(Step(Do.CANCEL, tuple(group), single=single))


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("single", [False, True], ids=["batch", "single"])
def test_what_is_open_is_listed_with_its_owner_and_cancelled(market, single):
    async def scenario(exchange, fake):
        await rest_some(exchange)
        for whole in (False, True):
            rows = await exchange.orders(whole=whole)
            assert sorted(x.client_id for x in rows) == ["tst00", "tst01", "tst02"]
            assert {x.symbol for x in rows} == {symbol_of(exchange)}
        await cancel_all(exchange, rows, single)
        assert await exchange.orders() == []
        await cancel_all(exchange, rows, single=True)  # gone already: no trouble
        assert fake.truth()["open"] == []

    play(scenario, market)


@pytest.mark.parametrize("market", [x for x in MARKETS if TRADES[x].is_perpetual])
def test_stops_in_lists_of_their_own_are_found_known_as_protective_and_cancelled(market):
    async def scenario(exchange, fake):
        await hold(exchange)
        await protect(exchange, await rest_some(exchange, 1))
        rows = await exchange.orders(whole=False)
        assert {x.client_id: x.protective for x in rows} == {"tst00": False, "tst0stop": True}
        await cancel_all(exchange, rows)
        assert await exchange.orders() == []

    play(scenario, market)


def test_every_kind_of_stop_of_bybit_s_spot_market_is_found_and_cancelled():
    async def scenario(exchange, fake):
        api = exchange._api
        await api.create_order(
            SPOT,
            "market",
            "buy",
            0.01,
            None,
            {"createMarketBuyOrderRequiresPrice": False, "marketUnit": "baseCoin"},
        )
        for i, kind in enumerate(("triggerPrice", "stopLossPrice")):
            params = {kind: 30_000, "clientOrderId": f"tst0{i}"}
            await api.create_order(SPOT, "market", "sell", 0.005, None, params)
        rows = await exchange.orders()
        assert {x.space for x in rows} == {"StopOrder", "tpslOrder"}
        await cancel_all(exchange, rows)
        assert await exchange.orders() == []

    play(scenario, "bybit-spot")


@pytest.mark.parametrize("market", [x for x in MARKETS if TRADES[x].is_perpetual])
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_position_is_closed_inside_the_bound_and_never_turned_round(market, side):
    async def scenario(exchange, fake):
        api = exchange._api
        assert exchange.held() == {SWAP}
        await api.create_order(SWAP, "market", side, SIZES.get(market, 0.01))
        (held,) = await exchange.positions()
        assert (held.symbol, held.is_long) == (SWAP, side == "buy")
        book = await api.fetch_order_book(SWAP, 5)
        best = Decimal(str(book["bids" if held.is_long else "asks"][0][0]))
        bound = exchange._bound(book, held, 50)
        assert bound % Decimal("0.1") == 0
        assert abs(bound - best) <= best * 50 / 10_000 < abs(bound - best) + Decimal("0.1")
        await exchange.exit(held, 50, "tst0G1")
        assert await exchange.positions() == []
        with pytest.raises(Refused):  # again: nothing is left that could shrink
            await exchange.exit(held, 50, "tst0G2")
        assert await exchange.positions() == []

    play(scenario, market)


@pytest.mark.parametrize("market", ["binance-usdm", "bybit-linear", "okx"])
def test_a_wrong_key_is_refused_for_sure_and_no_secret_is_in_the_words(market):
    async def scenario(exchange, fake):
        with pytest.raises(Refused) as refused:
            await exchange.positions()
        assert refused.value.trouble.text
        assert "wrong-secret" not in refused.value.trouble.text
        assert not re.search(r"signature=[0-9a-f]", refused.value.trouble.text)

    async def main():
        name = market.partition("-")[0]
        options = {
            "binance": {"credentials_required": True}, "okx": {"login_required": True}, "bybit": {},
        }  # fmt: skip
        simulation = Simulation(SimConfig(venues=(name,), options={name: options[name]}))
        endpoint = (await simulation.start())[name]
        exchange = Exchange(market, endpoint.http_url, ["BTCUSDT"], KEY | {"secret": "wrong-secret"})
        try:
            async with asyncio.timeout(30):
                await exchange.open()
                await scenario(exchange, None)
        finally:
            await exchange.close()
            await simulation.stop()

    asyncio.run(main())


async def answers(status, body, headers=()):
    """A server that says this to everything: (server, address)."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
        head += "Content-Type: application/json\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers)
        writer.write(head.encode() + b"\r\n" + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"oops"),
        (502, b"<html>bad gateway</html>"),
        (200, b""),
        (200, b"[[[["),
        (200, b'{"a": 1}'),
        (200, b"null"),
        (200, b"[1, 2]"),
        (200, b'{"retCode": 0, "result": {"list": [5]}, "code": "0", "data": [7]}'),
    ],
)
def test_whatever_a_venue_answers_is_trouble_and_nothing_else(market, status, body):
    async def main():
        server, url = await answers(status, body)
        exchange = Exchange(market, url, ["BTCUSDT"], KEY)
        try:
            async with asyncio.timeout(30):
                with pytest.raises(Refused):
                    await open_and_look(exchange)
        finally:
            await exchange.close()
            server.close()

    asyncio.run(main())


async def open_and_look(exchange) -> None:
    await exchange.open()
    await exchange.positions()


def test_too_many_requests_and_how_long_to_wait_are_understood():
    async def main():
        server, url = await answers(
            429, b'{"code": -1003, "msg": "Too many requests"}', [("Retry-After", "7")]
        )
        exchange = Exchange("binance-usdm", url, ["BTCUSDT"], KEY)
        try:
            with pytest.raises(Refused) as refused:
                await exchange.open()
            trouble = refused.value.trouble
            assert (trouble.is_limit, trouble.is_sure, trouble.wait_ns) == (True, True, 7 * 10**9)
        finally:
            await exchange.close()
            server.close()

    asyncio.run(main())


def test_a_venue_that_is_gone_is_trouble_that_proves_nothing():
    async def main():
        exchange = Exchange("okx", "http://127.0.0.1:9", ["BTC-USDT-SWAP"], KEY)
        try:
            with pytest.raises(Refused) as refused:
                await exchange.open()
            assert not refused.value.trouble.is_sure
        finally:
            await exchange.close()

    asyncio.run(main())


@pytest.mark.parametrize("market", MARKETS)
def test_no_address_of_ccxt_but_the_configured_one_is_left(market):
    async def main():
        exchange = Exchange(market, "http://127.0.0.1:1/", [], KEY)

        def hosts(value):
            return [x for v in value.values() for x in hosts(v)] if isinstance(value, dict) else [value]

        urls = [x for x in hosts(exchange._api.urls["api"]) if x.startswith("http")]
        await exchange.close()
        assert urls
        assert all(x.startswith("http://127.0.0.1:1") for x in urls)

    asyncio.run(main())


def test_in_hedge_mode_a_stop_of_binance_protects_where_it_closes_its_leg():
    exchange = Exchange("binance-usdm", "http://127.0.0.1:1", ["BTCUSDT"], KEY)
    row = {"id": "1", "symbol": SWAP, "clientOrderId": "x", "triggerPrice": 5.0, "reduceOnly": False}
    space = exchange.trade.spaces[0]

    def protective(leg, side, **change):
        told = row | {"side": side, "info": {"positionSide": leg}} | change
        return exchange._order(space, told).protective

    assert protective("LONG", "sell")
    assert protective("SHORT", "buy")
    assert not protective("LONG", "buy")
    assert not protective("SHORT", "sell")
    assert not protective("BOTH", "sell")
    assert not protective("LONG", "sell", triggerPrice=None)
    assert protective("BOTH", "sell", reduceOnly=True)

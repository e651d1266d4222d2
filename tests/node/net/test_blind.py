"""What carries our name is cancelled where a node cannot even start."""

import asyncio
import time

import configs
import msgspec
import uvloop

from ext.instruments import Instruments
from node.config import MARKETS, Config
from node.credentials import read_key
from node.net.blind import cancel_ours
from node.net.http import Http
from node.sim.serve import SimConfig, Simulation
from node.venues.markets import MARKETS as ROWS
from node.venues.markets import make_wire

SYMBOLS = {"binance-usdm": "BTCUSDT", "bybit-linear": "BTCUSDT", "okx": "BTC-USDT-SWAP"}
VENUES = ("binance", "bybit", "okx")


def config_of(endpoints):
    raw = {"mode": "sim", "strategy": "quoter", "deployment": "tst0", **configs.tables()}
    raw["venue"] = [
        configs.venue(
            name, rest=endpoints[name.split("-")[0]].http_url if endpoints else "http://127.0.0.1:9"
        )
        for name in SYMBOLS
    ]
    raw["instrument"] = [configs.instrument(name, symbol) for name, symbol in SYMBOLS.items()]
    return msgspec.convert(raw, Config)


def resting(simulation, endpoints, config, deployment):
    """An order that rests on each market, as an earlier run with this name left it."""
    requests = []
    for name, symbol in SYMBOLS.items():
        market, instruments = MARKETS[name], Instruments(1)
        venue = next(x for x in config.venue if x.market == name)
        key = read_key(venue.key, name)
        wire = make_wire(instruments, market, deployment, 7)
        listing = simulation.servers[name.split("-")[0]].fake.listings[market, symbol]
        row = next(rows_of(simulation, market, symbol))
        told = {x: getattr(row, x) for x in ("contract", "is_perpetual", "inst_code")}
        instruments.add(market, symbol, row.tick, row.lot, **told)
        bid = listing.engine.best(0)[0]
        intent = {"instrument": 0, "action": 0, "order_id": 1, "side": 0, "size_lots": 10}
        intent["price_ticks"] = bid - bid // 50
        rest = ROWS[market].rest(market, key, 1500)
        frame = wire.preview(intent, 1, time.time_ns())
        requests.append((venue.rest, rest, rest.from_frame(frame)))
    return requests


def rows_of(simulation, market, symbol):
    fake = next(x.fake for x in simulation.servers.values() if (market, symbol) in x.fake.listings)
    for request in ROWS[market].instruments(market, [symbol]):
        answer = fake.request(request.method, request.target, dict(request.headers), request.body, 10**18)
        yield from (x for x in ROWS[market].read(market, answer.body) if x.symbol == symbol)


def test_110_own_orders_are_cancelled_once_and_nobody_elses():
    async def scenario():
        simulation = Simulation(SimConfig(venues=VENUES))
        endpoints = await simulation.start()
        config = config_of(endpoints)
        keys = {MARKETS[x.market]: read_key(x.key, x.market) for x in config.venue}
        try:
            async with Http() as http:
                for name in ("tst0", "brrr"):
                    for base, rest, request in resting(simulation, endpoints, config, name):
                        reply = await http.send(base, rest.sign(request, time.time_ns() // 1_000_000))
                        assert reply.status == 200, reply.body
                count = await cancel_ours(config, keys, http, print)
                left = [o for s in simulation.servers.values() for o in s.fake._open_orders.values()]
                again = await cancel_ours(config, keys, http, print)
        finally:
            await simulation.stop()
        assert (count, again) == (3, 0)
        assert sorted(x.client_id[:4] for x in left) == ["brrr"] * 3

    uvloop.run(scenario())


def test_a_venue_that_does_not_answer_is_told_of_and_the_others_are_asked():
    async def scenario():
        told = []
        config = config_of({})
        keys = {MARKETS[x.market]: read_key(x.key, x.market) for x in config.venue}
        async with Http() as http:
            count = await cancel_ours(config, keys, http, lambda where, text: told.append((where, text)))
        assert count == 0
        assert [x[0] for x in told] == list(SYMBOLS)
        assert all("look at the venue" in x[1] for x in told)

    asyncio.run(scenario())

"""Cancel what carries our name at the venues where a node cannot even start: by REST, once, without
instruments, books or an engine."""

import time
from collections.abc import Callable

from ext.instruments import Instruments
from node.assembly import MARKET_NAMES
from node.config import MARKETS as MARKET_NUMBERS
from node.config import Config
from node.errors import Unreachable
from node.net.http import Http
from node.truth.evidence import OPEN
from node.venues.keys import Key
from node.venues.markets import MARKETS, make_wire
from node.venues.values import OrderRow, Reply, Request, RestError

PAGES = 20


async def cancel_ours(
    config: Config, keys: dict[int, Key], http: Http, tell: Callable[[str, str], None]
) -> int:
    """Ask each market of `config` for its open orders and cancel this deployment's, each once; stops that
    only reduce stay where positions are protected. Returns for how many a cancel was sent; what a venue did
    not answer is told."""
    count = 0
    for venue in config.venue:
        market = MARKET_NUMBERS[venue.market]
        if market in keys and venue.orders:
            hand = Hand(market, keys[market], venue.window_ms, venue.rest, http, config)
            try:
                count += await hand.cancel_all()
            except (Unreachable, RestError, ValueError) as error:
                tell(MARKET_NAMES[market], f"open orders could not be listed: {error}: look at the venue")
    return count


class Hand:
    """One market."""

    def __init__(self, market: int, key: Key, window_ms: int, base: str, http: Http, config: Config):
        self.rest = MARKETS[market].rest(market, key, window_ms)
        self.wire = make_wire(Instruments(1), market, config.deployment, 0)
        self.symbols = sorted({x.symbol for x in config.instrument if MARKET_NUMBERS[x.market] == market})
        self.keeps = config.stops is not None and config.stops.protect_bps > 0
        self.base, self.http = base, http

    async def cancel_all(self) -> int:
        rows = [row for row in await self._open() if self._is_to_go(row)]
        for row in rows:
            await self._ask(self.rest.cancel(row.symbol, row.client_id, is_algo=row.is_algo))
        return len(rows)

    def _is_to_go(self, row: OrderRow) -> bool:
        protects = self.keeps and row.kind == "stop_market" and row.reduce_only
        return row.state in OPEN and not protects and bool(self.wire.whose(row.client_id)[0])

    async def _open(self) -> list[OrderRow]:
        """Complete, or an error: half a list would leave orders behind."""
        rows: list[OrderRow] = []
        for symbol in self.symbols:
            for request in self.rest.open_orders(symbol):
                asked: Request | None = request
                for _ in range(PAGES):
                    if asked is None:
                        break
                    found, asked = self.rest.read_open_orders(await self._ask(asked))
                    rows += found
        return rows

    async def _ask(self, request: Request) -> Reply:
        return await self.http.send(self.base, self.rest.sign(request, time.time_ns() // 1_000_000))

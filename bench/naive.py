"""The naive client of the wire benchmark: what an average developer writes in an afternoon.

    python naive.py HOST PORT KEY SECRET

asyncio, websockets, orjson, a SortedDict per side keyed by float price. Nothing is slowed down on purpose
and nothing is tuned. The answer to each depth frame is a LIMIT IOC BUY at the best ask, signed as a key that
cannot log on must.
"""

import asyncio
import hashlib
import hmac
import sys
import time
import urllib.request
import uuid

import orjson
import websockets
from sortedcontainers import SortedDict


class Book:
    """Full depth, one sorted mapping of price to quantity per side."""

    def __init__(self, snapshot: dict) -> None:
        self.bids = SortedDict()
        self.asks = SortedDict()
        self.last_update_id = snapshot["lastUpdateId"]
        self.update_side(self.bids, snapshot["bids"])
        self.update_side(self.asks, snapshot["asks"])

    @staticmethod
    def update_side(side: SortedDict, levels: list) -> None:
        for price_text, quantity_text in levels:
            price = float(price_text)
            quantity = float(quantity_text)
            if quantity == 0:
                side.pop(price, None)
            else:
                side[price] = quantity

    def update(self, event: dict) -> None:
        if event["u"] < self.last_update_id:
            return
        if event["pu"] != self.last_update_id and event["U"] > self.last_update_id:
            raise ValueError(f"gap: pu {event['pu']} after {self.last_update_id}")
        self.update_side(self.bids, event["b"])
        self.update_side(self.asks, event["a"])
        self.last_update_id = event["u"]

    def best_ask(self) -> float:
        return self.asks.peekitem(0)[0]


def order_at(price: float, key: str, secret: str) -> str:
    params = {
        "apiKey": key,
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "IOC",
        "quantity": "0.001",
        "price": f"{price:.1f}",
        "newClientOrderId": str(uuid.uuid4()),
        "newOrderRespType": "RESULT",
        "recvWindow": 1500,
        "timestamp": int(time.time() * 1000),
    }
    payload = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
    params["signature"] = hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    return orjson.dumps({"id": str(uuid.uuid4()), "method": "order.place", "params": params}).decode()


def fetch_snapshot(host: str, port: str) -> dict:
    url = f"http://{host}:{port}/fapi/v1/depth?symbol=BTCUSDT&limit=1000"
    with urllib.request.urlopen(url, timeout=5) as reply:
        return orjson.loads(reply.read())


async def read_replies(orders: websockets.ClientConnection) -> None:
    async for raw in orders:
        reply = orjson.loads(raw)
        if reply["status"] != 200:
            print(f"naive: order refused: {reply}", file=sys.stderr)


async def main(host: str, port: str, key: str, secret: str) -> None:
    book = Book(fetch_snapshot(host, port))
    base = f"ws://{host}:{port}"
    async with (
        websockets.connect(f"{base}/public/stream?streams=btcusdt@depth@100ms") as market,
        websockets.connect(f"{base}/ws-fapi/v1") as orders,
    ):
        replies = asyncio.create_task(read_replies(orders))
        async for raw in market:
            book.update(orjson.loads(raw)["data"])
            await orders.send(order_at(book.best_ask(), key, secret))
        replies.cancel()


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:5]))
    except websockets.ConnectionClosed:
        sys.exit(0)

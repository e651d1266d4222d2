"""A simulated OKX with its clock and a client's hands: what each connection heard, and signed REST."""

import hmac
from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256

import orjson

from ext.records import Market
from node.venues.fakes import BUY, MS, SELL, Listing
from node.venues.okx.fake import OkxFake
from node.venues.okx.fake_rows import SECOND

T0 = 1_700_000_000 * SECOND
PUBLIC, PRIVATE, BUSINESS = "/ws/v5/public", "/ws/v5/private", "/ws/v5/business"
KEYS = {"K": ("SECRET", "P")}
SWAP = {"instIdCode": 10459, "tdMode": "cross"}


class Venue:
    """A fake with one spot pair and one swap, its clock, and what each connection heard."""

    def __init__(self, levels: int = 3, **more):
        spot = Listing("BTC-USDT", "0.1", "0.00000001", Market.OKX, base="BTC", inst_code=3)
        swap = Listing("BTC-USDT-SWAP", "0.1", "0.01", Market.OKX, "BTC", "USDT", "0.01", 10459, True)
        self.spot, self.swap = spot, swap
        self.fake = OkxFake([spot, swap], **more)
        self.now = T0
        self.heard: dict[int, list[str]] = {}
        for listing in (spot, swap):
            for i in range(1, levels + 1):
                listing.engine.set_level(BUY, 600_000 - i, 100 * i)
                listing.engine.set_level(SELL, 600_000 + i, 100 * i)
        self.fake.tick(T0)

    def open(self, path: str):
        return self.fake.open(path, self.now)

    def tell(self, connection, message: dict | str) -> list[dict]:
        text = message if isinstance(message, str) else orjson.dumps(message).decode()
        self.fake.receive(connection, text, self.now)
        return self.take(connection)

    def take(self, connection) -> list[dict]:
        for target, text in self.fake.take():
            self.heard.setdefault(target.number, []).append(text)
        return [x if x == "pong" else orjson.loads(x) for x in self.heard.pop(connection.number, [])]

    def wait(self, connection, ns: int, step: int = 10 * MS) -> list[dict]:
        end = self.now + ns
        while self.now < end:
            self.now += step
            self.fake.tick(self.now)
        return self.take(connection)

    def minute(self, connection) -> list[dict]:
        """What comes in 61 s, pongs left out: without pings the venue would hang up."""
        out = []
        for _ in range(3):
            out += self.tell(connection, "ping") + self.wait(connection, 20 * SECOND, SECOND)
        return [x for x in out + self.wait(connection, SECOND, SECOND) if x != "pong"]

    def subscribe(self, connection, *args: dict) -> list[dict]:
        return self.tell(connection, {"id": "s1", "op": "subscribe", "args": list(args)})

    def order(self, connection, **arg) -> list[dict]:
        base = {
            "instIdCode": 3,
            "tdMode": "cash",
            "side": "buy",
            "ordType": "limit",
            "px": "59999",
            "sz": "1",
        }
        args = [{k: v for k, v in (base | arg).items() if v is not None}]
        return self.tell(connection, {"id": "o1", "op": "order", "args": args})

    def lots(self, leg: str = "net") -> int:
        """What the first account holds of the swap."""
        return self.fake.accounts[1].position(self.swap, leg).lots

    def ask(
        self, method: str, path: str, body=None, headers=None, key=("simulated",) * 3
    ) -> tuple[int, dict]:
        """A signed REST request: status and answer."""
        text = orjson.dumps(body) if body is not None else b""
        target = f"/api/v5/{path}"
        stamp = datetime.fromtimestamp(self.now // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        sign = hmac.digest(key[1].encode(), f"{stamp}{method}{target}".encode() + text, sha256)
        signed = {
            "OK-ACCESS-KEY": key[0],
            "OK-ACCESS-SIGN": b64encode(sign).decode(),
            "OK-ACCESS-TIMESTAMP": stamp,
            "OK-ACCESS-PASSPHRASE": key[2],
        }
        answer = self.fake.request(method, target, signed | (headers or {}), text, self.now)
        return answer.status, orjson.loads(answer.body)

    def get(self, path: str) -> list:
        """The rows of a signed query."""
        status, answer = self.ask("GET", path)
        assert (status, answer["code"]) == (200, "0"), answer
        return answer["data"]

    def post(self, path: str, body) -> dict:
        return self.ask("POST", path, body)[1]

    def place(self, **arg) -> dict:
        """The element of the answer to an order by REST."""
        base = {"instId": "BTC-USDT-SWAP", "tdMode": "cross", "side": "buy", "ordType": "limit", "sz": "1"}
        base |= {"px": "59999"} if arg.get("ordType", "limit") not in ("market", "optimal_limit_ioc") else {}
        return self.post("trade/order", base | arg)["data"][0]

    def strike(self, name: str, **arguments) -> None:
        """A fault that happens by itself happens now."""
        self.fake.faults.add(name, now_ns=self.now, **arguments)
        self.fake.tick(self.now)

    def private(self):
        """A connection with the orders channel, and everything said so far heard."""
        connection = self.open(PRIVATE)
        self.subscribe(connection, {"channel": "orders", "instType": "ANY"})
        return connection


def code(frames: list[dict]) -> str:
    """The code of the one error or refusal among these frames."""
    (frame,) = frames
    return frame["data"][0]["sCode"] if frame.get("data") else frame["code"]


def states(frames: list[dict]) -> list[str]:
    return [x["data"][0]["state"] for x in frames if x.get("arg", {}).get("channel") == "orders"]


def books(instrument: str = "BTC-USDT", channel: str = "books") -> dict:
    return {"channel": channel, "instId": instrument}


def rows_of(frames: list, channel: str) -> list[dict]:
    """What a channel pushed."""
    pushes = [x for x in frames if isinstance(x, dict) and "data" in x and "arg" in x]
    return [row for x in pushes if x["arg"]["channel"] == channel for row in x["data"]]

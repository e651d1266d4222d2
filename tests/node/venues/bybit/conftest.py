"""A simulated Bybit with a book, and a client that signs what it asks."""

import hashlib
import hmac
import json
from decimal import Decimal

import pytest

from node.venues.bybit.fake import BybitFake
from node.venues.bybit.rules import LINEAR, SPOT
from node.venues.fakes import BUY, SELL, Account, Balance, Key, Listing, make_account

MS, S = 1_000_000, 1_000_000_000
NOW = 1_711_001_595_000_000_000
MID = 100_000  # ticks: 10000.0


class Venue:
    """The venue, its time, and a signing client of one of its accounts. Prices of the book: 10000.0, a
    tick is 0.1; each level has 5 coins on linear and 5 on spot."""

    def __init__(self, **options):
        self.now = NOW
        rows = [
            Listing("BTCUSDT", "0.10", "0.001", LINEAR, base="BTC", is_perpetual=True),
            Listing("BTCUSDT", "0.1", "0.000001", SPOT, base="BTC"),
            Listing("ETHUSDT", "0.10", "0.001", LINEAR, base="ETH", is_perpetual=True),
        ]
        self.fake = BybitFake(rows, seed=3, **options)
        self.linear, self.spot, self.eth = rows
        for listing in rows:
            for i in range(60):
                lots = 5000 if listing.market == LINEAR else 5_000_000
                listing.engine.set_level(BUY, MID - 1 - i, lots)
                listing.engine.set_level(SELL, MID + 1 + i, lots)
        self.account = next(iter(self.fake.accounts.values()))
        self.requests = 0

    # ---- REST ----

    def raw(
        self, method, path, payload="", key="simulated", secret="simulated", stamp=None, window="5000", **head
    ):
        """(status, answer, headers) of a signed request; `payload` is the query or the body."""
        stamp = str(self.now // MS) if stamp is None else stamp
        sign = hmac.new(
            secret.encode(), f"{stamp}{key}{window}{payload}".encode(), hashlib.sha256
        ).hexdigest()
        headers = {
            "X-BAPI-API-KEY": key,
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-RECV-WINDOW": window,
            "X-BAPI-SIGN": sign,
        }
        headers |= head
        target = f"{path}?{payload}" if method == "GET" and payload else path
        body = payload.encode() if method == "POST" else b""
        answer = self.fake.request(method, target, headers, body, self.now, head.pop("ip", "127.0.0.1"))
        return answer.status, json.loads(answer.body or b"{}"), answer.headers

    def get(self, path, code=0, **query):
        text = "&".join(f"{name}={value}" for name, value in query.items())
        status, answer, _ = self.raw("GET", f"/v5/{path}", text)
        assert (status, answer["retCode"]) == (200, code), answer
        return answer["result"]

    def post(self, path, code=0, **wish):
        status, answer, _ = self.raw("POST", f"/v5/{path}", json.dumps(wish))
        assert (status, answer["retCode"]) == (200, code), answer
        return answer["result"]

    def order(self, code=0, **wish):
        """A limit order to buy 0.1 at 9900.0 on linear, with some members changed (None: left out); its
        id."""
        order = {
            "category": "linear",
            "symbol": "BTCUSDT",
            "side": "Buy",
            "orderType": "Limit",
            "qty": "0.1",
            "price": "9900.0",
        }
        order = {k: v for k, v in (order | wish).items() if v is not None}
        if order["orderType"] == "Market":
            order.pop("price", None)
        return self.post("order/create", code, **order).get("orderId")

    def row(self, order_id, category="linear"):
        """The order as REST has it, open or recently closed."""
        (row,) = self.get("order/realtime", category=category, orderId=order_id)["list"]
        return row

    def position(self, index=0):
        rows = self.get("position/list", category="linear", symbol="BTCUSDT")["list"]
        return next(x for x in rows if x["positionIdx"] == index)

    # ---- streams ----

    def open(self, path, login=False, key="simulated", secret="simulated"):
        connection = self.fake.open(path, self.now)
        if login:
            expires = self.now // MS + 1000
            sign = hmac.new(secret.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
            self.say(connection, op="auth", args=[key, expires, sign])
        return connection

    def private(self, *topics):
        connection = self.open("/v5/private")
        self.say(connection, op="subscribe", args=list(topics))
        return connection

    def say(self, connection, **message):
        """What is answered to this connection, and said to it at once."""
        self.fake.take()
        self.fake.hear(connection, json.dumps(message), self.now)
        return self.heard(connection)

    def trade(self, connection, op, **wish):
        self.requests += 1
        header = {"X-BAPI-TIMESTAMP": str(self.now // MS), "X-BAPI-RECV-WINDOW": "5000"}
        message = {"reqId": f"r{self.requests}", "header": header, "op": op, "args": [wish]}
        return self.say(connection, **message)

    def heard(self, connection):
        return [json.loads(text) for to, text in self.fake.take() if to is connection]

    def pass_time(self, ns=20 * MS):
        self.now += ns
        self.fake.tick(self.now)


def second_account() -> Account:
    """Another account, with a key that may read and trade, one that may only read, one that is bound and
    expires."""
    keys = [
        Key("second", "second"),
        Key("reader", "reader", rights=frozenset({"read"})),
        Key("bound", "bound", ips=("10.1.2.3",), expires_ns=NOW + 3600 * S),
        Key("testnet", "testnet", environment="testnet"),
    ]
    account = Account(2, "222", keys)
    account.wallets[""] = {"USDT": Balance(Decimal(1_000_000)), "BTC": Balance(Decimal(10))}
    return account


@pytest.fixture
def venue():
    return Venue()


@pytest.fixture
def make_venue():
    return Venue


@pytest.fixture
def two_accounts():
    """A venue with the usual account and a second one."""
    coins = [("", x) for x in ("USDT", "BTC", "ETH")]
    return Venue(accounts=[make_account(1, coins), second_account()])

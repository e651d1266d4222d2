"""A simulated Binance to talk to in tests, and a client that signs: shared by the tests of its rooms."""

import hmac
import json
from base64 import b64encode
from urllib.parse import urlencode

from node.venues.binance.fake import BinanceFake
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM, PRODUCTS
from node.venues.fakes import (
    BUY,
    MS,
    PRIVATE_KEY_PEM,
    SELL,
    SIMULATED,
    Connection,
    Key,
    Listing,
    make_account,
)

NOW = 1_770_000_000_000 * MS
SECOND = 1000 * MS
MARKETS = [BINANCE_SPOT, BINANCE_USDM]
ED_KEY = "simulated-ed25519"


def venue(**options) -> BinanceFake:
    """BTCUSDT on both products, with thirty levels per side around 6000 (spot) and 60000 (USD-M)."""
    least = options.pop("min_notional", "5")
    spot = Listing("BTCUSDT", "0.01", "0.00001", BINANCE_SPOT, base="BTC", min_notional=least)
    usdm = Listing(
        "BTCUSDT", "0.10", "0.001", BINANCE_USDM, base="BTC", is_perpetual=True, min_notional=least
    )
    fake = BinanceFake([spot, usdm], **options)
    for listing in (spot, usdm):
        fill_book(listing)
    fake.tick(NOW)
    fake.take()
    return fake


def fill_book(listing: Listing) -> None:
    for i in range(30):
        listing.engine.set_level(BUY, 600000 - i, 1000 + i)
        listing.engine.set_level(SELL, 600001 + i, 1000 + i)


def coins():
    return [("", "BTC"), ("", "USDT"), ("usdm", "BTC"), ("usdm", "USDT")]


def two_accounts():
    """Owner 1 with the well-known keys, owner 2 with the key "second"."""
    return [make_account(1, coins(), [SIMULATED]), make_account(2, coins(), [Key("second", "second")])]


def ask(fake, connection, now_ns=NOW, **message):
    """One request, one answer (and whatever else came)."""
    fake.receive(connection, json.dumps(message), now_ns)
    return [json.loads(text) for target, text in fake.take() if target is connection]


def answer(fake, connection, method, now_ns=NOW, **params):
    """The answer to one request alone."""
    rows = ask(fake, connection, now_ns, id="a", method=method, params={"timestamp": now_ns // MS} | params)
    return next(x for x in rows if x.get("id", "a") == "a" and "status" in x)


def order(market, **change):
    """Parameters of an order that rests."""
    params = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010"}
    params |= {"price": "5990.00" if market == BINANCE_SPOT else "59900.0", "newOrderRespType": "ACK"}
    params |= {"timestamp": NOW // MS, **change}
    return {k: v for k, v in params.items() if v is not None}


def api(fake, market, now_ns=NOW) -> Connection:
    return fake.open(PRODUCTS[market].api, now_ns)


def user_line(fake, market):
    """Order line and the line that carries user events."""
    line = api(fake, market)
    if market == BINANCE_SPOT:
        assert ask(fake, line, id="u", method="userDataStream.subscribe")[0]["result"] == {
            "subscriptionId": 0
        }
        return line, line
    key = ask(fake, line, id="u", method="userDataStream.start")[0]["result"]["listenKey"]
    return line, fake.open(f"/private/ws?listenKey={key}", NOW)


def events(fake):
    """User events that wait to be written, out of their wrapping."""
    out = []
    for _, text in fake.take():
        message = json.loads(text)
        event = message.get("event") or message.get("data") or message
        if "e" in event:
            out.append(event)
    return out


def sign(secret: str, payload: str) -> str:
    return hmac.new(secret.encode(), payload.encode(), "sha256").hexdigest()


def sign_ed25519(payload: str) -> str:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return b64encode(load_pem_private_key(PRIVATE_KEY_PEM.encode(), None).sign(payload.encode())).decode()


def signed(params: dict, secret="simulated", api_key="simulated", now_ns=NOW) -> dict:
    """WebSocket API parameters with key, time and signature."""
    params = {"apiKey": api_key, "timestamp": now_ns // MS} | params
    payload = "&".join(f"{k}={params[k]}" for k in sorted(params))
    return params | {"signature": sign(secret, payload) if secret else sign_ed25519(payload)}


class Rest:
    """A REST client of a venue: signs with HMAC. Answers are (status, decoded body); `headers` the last
    ones."""

    def __init__(self, fake, api_key="simulated", secret="simulated"):
        self.fake, self.api_key, self.secret, self.now_ns = fake, api_key, secret, NOW
        self.headers: dict[str, str] = {}

    def call(self, method, path, in_body=False, sign_it=True, ip="127.0.0.1", **params):
        if sign_it:
            params = {"timestamp": self.now_ns // MS} | params
        query = urlencode({k: v if isinstance(v, str) else json.dumps(v) for k, v in params.items()})
        if sign_it:
            query += f"&signature={sign(self.secret, query)}"
        target, body = (path, query.encode()) if in_body else (f"{path}?{query}", b"")
        headers = {"X-MBX-APIKEY": self.api_key} if self.api_key else {}
        got = self.fake.request(method, target, headers, body, self.now_ns, ip)
        self.headers = got.headers
        text = got.body.decode()
        return got.status, json.loads(text) if text[:1] in ("{", "[") else text

    def get(self, path, **params):
        return self.call("GET", path, **params)

    def post(self, path, **params):
        return self.call("POST", path, **params)

    def put(self, path, **params):
        return self.call("PUT", path, **params)

    def delete(self, path, **params):
        return self.call("DELETE", path, **params)

    def place(self, market, **change):
        """A new order by REST."""
        params = {k: str(v) for k, v in order(market, **change).items() if k != "timestamp"}
        return self.post("/api/v3/order" if market == BINANCE_SPOT else "/fapi/v1/order", **params)

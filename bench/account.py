"""The trading account of the wire benchmark: its keys, its REST documents, and who may do what.

Nothing ever fills, so the documents do not change: no position, no trade, no order that rests, one wallet. An
order is told of where it happens, by `venue.c`: on the order connection and on the private stream.
"""

import base64
import hmac
import json
import time
from collections.abc import Callable, Iterable
from urllib.parse import parse_qsl, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

# As long as the venue's own, because what is signed costs by its length.
API_KEY = "wire" * 16
SECRET = "bench" * 12 + "mark"
PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(b"the wire benchmark, nothing else")
LISTEN_KEY = "wirebench" * 7
PUBLIC = ("/ping", "/time", "/exchangeInfo", "/depth")
BAD_KEY, BAD_SIGNATURE, BAD_TIME = -2015, -1022, -1021
REASONS = {BAD_KEY: "Invalid API-key", BAD_SIGNATURE: "Signature is not valid", BAD_TIME: "Timestamp outside"}

Pairs = Iterable[tuple[str, str]]


def private_key_pem() -> bytes:
    """The Ed25519 key of the same account, for session.logon."""
    return PRIVATE_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def is_signed(payload: str, signature: str) -> bool:
    """HMAC in hex or Ed25519 in base64, as the venue tells them apart: by what the key is."""
    if len(signature) == 64:
        return hmac.compare_digest(hmac.digest(SECRET.encode(), payload.encode(), "sha256").hex(), signature)
    try:
        PRIVATE_KEY.public_key().verify(base64.b64decode(signature, validate=True), payload.encode())
    except (InvalidSignature, ValueError):
        return False
    return True


def refuse_params(params: dict, now: int | None = None) -> int:
    """0, or the code that WebSocket API parameters are refused with. `now` None: no look at the time."""
    if params.get("apiKey") != API_KEY:
        return BAD_KEY
    payload = "&".join(f"{name}={value}" for name, value in sorted(params.items()) if name != "signature")
    if not is_signed(payload, str(params.get("signature", ""))):
        return BAD_SIGNATURE
    late = now is not None and abs(now - params.get("timestamp", 0)) > params.get("recvWindow", 5000)
    return BAD_TIME if late else 0


def refuse_request(target: str, headers: dict[str, str]) -> int:
    """The same for a REST request; public paths are for everybody."""
    path, _, query = target.partition("?")
    if path.endswith(PUBLIC):
        return 0
    if headers.get("x-mbx-apikey") != API_KEY:
        return BAD_KEY
    if path.endswith("/listenKey"):
        return 0
    payload, _, signature = query.rpartition("&signature=")
    if not is_signed(payload, unquote(signature)):
        return BAD_SIGNATURE
    stamp = dict(parse_qsl(payload)).get("timestamp", "0")
    return 0 if abs(now_ms() - int(stamp)) <= 5000 else BAD_TIME


def documents() -> dict[str, Callable[[], str]]:
    """What a keeper asks of this account, by path."""
    amount = "100000.00000000"
    wallet = {"accountAlias": "wire", "asset": "USDT", "balance": amount, "crossWalletBalance": amount}
    wallet |= {"crossUnPnl": "0.00000000", "availableBalance": amount, "maxWithdrawAmount": amount}
    config = {"feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": True, "updateTime": 0}
    config |= {"dualSidePosition": False, "multiAssetsMargin": False, "tradeGroupId": -1}
    symbol = {"symbol": "BTCUSDT", "marginType": "CROSSED", "isAutoAddMargin": False, "leverage": 20}
    nothing = [f"/fapi/{x}" for x in ("v1/openOrders", "v1/openAlgoOrders", "v1/userTrades", "v1/income")]
    return dict.fromkeys([*nothing, "/fapi/v3/positionRisk"], lambda: "[]") | {
        "/fapi/v1/listenKey": lambda: json.dumps({"listenKey": LISTEN_KEY}),
        "/fapi/v3/balance": lambda: json.dumps([wallet | {"marginAvailable": True, "updateTime": now_ms()}]),
        "/fapi/v1/accountConfig": lambda: json.dumps(config),
        "/fapi/v1/symbolConfig": lambda: json.dumps([symbol | {"maxNotionalValue": "1000000"}]),
        "/fapi/v1/positionSide/dual": lambda: json.dumps({"dualSidePosition": False}),
    }

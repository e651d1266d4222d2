"""Binance connections without I/O: subscribe, log on, watch, and say when to replace or give up.

Two kinds. A "stream" session sits on `/ws` or `/stream` (USD-M: below a route) and subscribes once, in one
message. An "api" session sits on the WebSocket API and logs on with Ed25519, or is ready at once where there
are no credentials (the simulated venue). Data and order frames never come here, only what the native decoder
calls "not mine".

Sources: binance-spot-api-docs `web-socket-streams.md`, `web-socket-api.md`; USD-M "websocket-market-streams",
"websocket-api-general-info", "user-data-streams". A subscription to a stream that does not exist or sits on
the wrong route is acknowledged and stays silent (measured 2026-07): hence the watchdog on first data.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from node.venues.binance import rest
from node.venues.binance.rules import (
    BINANCE_SPOT,
    CONNECTION_LIFE_H,
    EVENT_STREAMS,
    KEY_ERRORS,
    LISTEN_KEY_KEEPALIVE_MIN,
    PRODUCTS,
    REPLACE_AT_H,
    stream_channel,
    stream_path,
    stream_route,
)
from node.venues.values import Action, Down, Ready, Replace, Request, Send

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
ACK_NS = 10 * SECOND  # the venue itself gives up on a request after 10 s
FIRST_DATA_NS = 30 * SECOND
SUBSCRIBE_ID = 1
LOGON_ID, USER_ID = "logon", "user"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API key with its Ed25519 private key (PKCS#8 PEM). Nothing here is ever printed."""

    api_key: str = field(repr=False)
    private_key: str = field(repr=False)


def sign(private_key: str, payload: str) -> str:
    """Ed25519 signature of `payload`, base64.

    Raises RuntimeError where the signing library is missing, ValueError where the key is not an Ed25519 key.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise RuntimeError("signing needs the 'cryptography' package: pip install cryptography") from None
    key = load_pem_private_key(private_key.encode(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("private key: session.logon takes Ed25519 keys only")
    return b64encode(key.sign(payload.encode())).decode()


def signed_params(credentials: Credentials, params: dict[str, object]) -> dict[str, object]:
    """WebSocket API parameters with key and signature.

    Signed is every parameter sorted by name, `k=v` joined with `&`, values in the text they have in the JSON,
    nothing percent-encoded.
    """
    full = {"apiKey": credentials.api_key, **params}
    payload = "&".join(f"{k}={full[k]}" for k in sorted(full))
    return {**full, "signature": sign(credentials.private_key, payload)}


class Session:
    """One connection's administration. Raises ValueError for streams that cannot share a connection.

    `user_data` subscribes a spot api session to the user stream before it is ready. `listen_key` makes a
    USD-M stream session the private one. `first_data_ns` 0 switches the watchdog off.
    """

    def __init__(
        self,
        kind: str,
        market: int,
        streams: Sequence[str] = (),
        credentials: Credentials | None = None,
        combined: bool = True,
        *,
        user_data: bool = False,
        listen_key: str = "",
        first_data_ns: int = FIRST_DATA_NS,
    ):
        if kind not in ("stream", "api"):
            raise ValueError(f"session kind {kind!r}: must be 'stream' or 'api'")
        if user_data and (kind != "api" or market != BINANCE_SPOT):
            raise ValueError("user_data: only the spot WebSocket API carries the user stream")
        self.kind, self.market, self.combined = kind, market, combined
        self.streams = list(dict.fromkeys(streams))
        self.credentials, self.user_data, self.listen_key = credentials, user_data, listen_key
        self.first_data_ns = first_data_ns
        self.route = "private" if listen_key else self._route()
        self.ready = False
        self._started_ns = 0
        self._waiting: dict[object, tuple[int, str]] = {}  # request id -> deadline, what it was
        self._silent: set[str] = set()  # streams that must speak and have not yet
        self._silent_from_ns = 0
        self._extended_ns = 0
        self._replaced = False

    def _route(self) -> str:
        product = PRODUCTS[self.market]
        if len(self.streams) > product.streams_max:
            raise ValueError(
                f"{len(self.streams)} streams: one {product.name} connection takes {product.streams_max}"
            )
        routes = sorted({stream_route(self.market, x) for x in self.streams})
        if len(routes) > 1:
            raise ValueError(f"streams of routes {' and '.join(routes)} need a connection each")
        return routes[0] if routes else "public" if product.routed else ""

    @property
    def path(self) -> str:
        """Where to connect."""
        if self.kind == "api":
            return PRODUCTS[self.market].api
        path = stream_path(self.market, self.route, self.combined)
        return f"{path}?listenKey={self.listen_key}" if self.listen_key else path

    # ---- what happened ----

    def start(self, now_ns: int) -> list[Action]:
        """The connection is open. Also the way to begin again on a new one."""
        self.ready, self._replaced = False, False
        self._started_ns = self._extended_ns = now_ns
        self._waiting.clear()
        self._silent.clear()
        if self.kind == "stream":
            if not self.streams or self.listen_key:
                return self._done(now_ns)
            return [self._ask(SUBSCRIBE_ID, "SUBSCRIBE", self.streams, now_ns)]
        if self.credentials is None:
            return self._logged_on(now_ns)
        params = signed_params(self.credentials, {"recvWindow": 5000, "timestamp": now_ns // 1_000_000})
        return [self._ask(LOGON_ID, "session.logon", params, now_ns)]

    def receive(self, text: str, now_ns: int) -> list[Action]:
        """A frame that is no data: an answer, a notice, or something to ignore."""
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            return [Down(f"the venue sent something that is not JSON: {text[:80]!r}")]
        if not isinstance(message, dict):
            return []
        notice = self._notice(message)
        if notice:
            return notice
        if self.kind == "api":
            return self._api_reply(message, now_ns)
        return self._stream_reply(message, now_ns)

    def data(self, topic: str, now_ns: int) -> None:
        """A data frame of this stream came."""
        self._silent.discard(topic)

    def tick(self, now_ns: int) -> list[Action]:
        """Time passes: late answers, silent streams, old age."""
        for deadline_ns, what in self._waiting.values():
            if now_ns >= deadline_ns:
                return [Down(f"no answer to {what} within {ACK_NS // SECOND} s")]
        if self._silent and now_ns - self._silent_from_ns >= self.first_data_ns:
            names = ", ".join(sorted(self._silent)[:5])
            return [Down(f"no data since the subscription: {names} ({len(self._silent)} streams)")]
        if not self._replaced and now_ns - self._started_ns >= REPLACE_AT_H * HOUR:
            self._replaced = True
            return [Replace(f"{REPLACE_AT_H} h old; the venue cuts at {CONNECTION_LIFE_H} h")]
        return []

    def resync(self, symbol: str, now_ns: int = 0) -> list[Action]:
        """Nothing to say on this connection: a book starts anew from `snapshot_request`."""
        return []

    def snapshot_request(self, symbol: str, limit: int = 0) -> Request:
        """The depth snapshot that a book of `symbol` is spliced onto. 0 = as deep as the venue gives."""
        return rest.depth(self.market, symbol, limit)

    def keepalive_request(self, now_ns: int) -> Request | None:
        """The request that keeps a private USD-M stream alive, where one is due (every 30 minutes)."""
        due_ns = self._extended_ns + LISTEN_KEY_KEEPALIVE_MIN * 60 * SECOND
        if not self.listen_key or self.credentials is None or now_ns < due_ns:
            return None
        self._extended_ns = now_ns
        return rest.listen_key("PUT", self.credentials.api_key)

    # ---- inside ----

    def _ask(self, number: object, method: str, params: object, now_ns: int) -> Send:
        self._waiting[number] = (now_ns + ACK_NS, method)
        body = {"id": number, "method": method}
        if params:
            body["params"] = params
        return Send(orjson.dumps(body).decode())

    def _answered(self, number: object) -> bool:
        """Was this request waited for? It is not any more."""
        return isinstance(number, str | int) and self._waiting.pop(number, None) is not None

    def _done(self, now_ns: int) -> list[Action]:
        self.ready = True
        if self.first_data_ns and not self.listen_key:
            self._silent_from_ns = now_ns
            self._silent |= {x for x in self.streams if stream_channel(x) not in EVENT_STREAMS}
        return [Ready()]

    def _logged_on(self, now_ns: int) -> list[Action]:
        if self.user_data:
            return [self._ask(USER_ID, "userDataStream.subscribe", None, now_ns)]
        return self._done(now_ns)

    def _notice(self, message: dict) -> list[Action]:
        """Events that concern the connection. `serverShutdown` comes raw, combined, or as an API event."""
        event = next((message[k] for k in ("data", "event") if isinstance(message.get(k), dict)), message)
        name = event.get("e")
        if name == "serverShutdown":
            self._replaced = True
            return [Replace("the venue announced a shutdown")]
        if name in ("eventStreamTerminated", "listenKeyExpired"):
            return [Down(f"the user stream ended: {name}")]
        return []

    def _stream_reply(self, message: dict, now_ns: int) -> list[Action]:
        error = message if "code" in message else message.get("error")
        if isinstance(error, dict) and "code" in error:
            return [Down(f"stream error {error.get('code')}: {error.get('msg')}", retry=False)]
        if "result" not in message or not self._answered(message.get("id")) or self._waiting:
            return []
        return self._done(now_ns)

    def _api_reply(self, message: dict, now_ns: int) -> list[Action]:
        number, error = message.get("id"), message.get("error")
        if "status" not in message:
            return []
        code = error.get("code", 0) if isinstance(error, dict) else 0
        text = (
            f"{message['status']} {code}: {error.get('msg')}"
            if isinstance(error, dict)
            else str(message["status"])
        )
        if number is None:
            return [Down(f"the venue refused the session: {text}")]  # a revoked key, told at the next request
        if not self._answered(number):
            return []
        if message["status"] != 200:
            final = code in KEY_ERRORS and message["status"] not in (418, 429)
            return [
                Down(f"{'session.logon' if number == LOGON_ID else 'user stream'}: {text}", retry=not final)
            ]
        return self._logged_on(now_ns) if number == LOGON_ID else self._done(now_ns)

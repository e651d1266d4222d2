"""Binance connections without I/O: subscribe, log on, watch, and say when to replace or give up.

Two kinds. A "stream" session sits on `/ws` or `/stream` (USD-M: below a route) and subscribes once, in one
message; with a listen key it is the private stream of USD-M. An "api" session sits on the WebSocket API: it
logs on where the key is Ed25519, has the native encoder sign each request where it is HMAC, and on spot
takes the user stream too. Without a key it is ready at once. Data and order frames never come here, only
what the native decoder calls "not mine": among it what the private streams tell of the account, which
becomes `AccountNews`.

Sources: binance-spot-api-docs `web-socket-streams.md`, `web-socket-api.md`, `user-data-stream.md`; USD-M
"websocket-market-streams", "websocket-api-general-info", "user-data-streams". A subscription to a stream
that does not exist or sits on the wrong route is acknowledged and stays silent (measured 2026-07): hence the
watchdog on first data.
"""

from collections.abc import Sequence
from random import Random

import orjson

from node.venues.binance import news, rest
from node.venues.binance.rules import (
    BINANCE_SPOT,
    CONNECTION_LIFE_H,
    EVENT_STREAMS,
    LISTEN_KEY_GONE,
    LISTEN_KEY_KEEPALIVE_MIN,
    LOGON_ERRORS,
    PRODUCTS,
    REPLACE_AT_H,
    stream_channel,
    stream_path,
    stream_route,
)
from node.venues.keys import Key
from node.venues.values import Action, Down, Ready, Replace, Reply, Request, Send

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
ACK_NS = 10 * SECOND  # the venue itself gives up on a request after 10 s
FIRST_DATA_NS = 30 * SECOND
REPLACE_AT_NS = REPLACE_AT_H * HOUR  # at the latest
REPLACE_SPREAD_NS = HOUR  # and so much earlier at the most
DEAD_NS = 30 * SECOND  # a book that says nothing for so long while its best prices move is dead
KEEPALIVE_AGAIN_NS = 60 * SECOND  # after one that failed
LOGON_WINDOW_MS = 5000
SUBSCRIBE_ID = 1
LOGON_ID, USER_ID, PROBE_ID = "logon", "user", "probe"


def signed_params(key: Key, params: dict[str, object]) -> dict[str, object]:
    """WebSocket API parameters with key and signature.

    Signed is every parameter sorted by name, `k=v` joined with `&`, values in the text they have in the JSON,
    nothing percent-encoded.
    """
    full = {"apiKey": key.api_key, **params}
    payload = "&".join(f"{k}={full[k]}" for k in sorted(full))
    return {**full, "signature": key.ed25519(payload) if key.is_ed25519 else key.hex(payload)}


class Session:
    """One connection's administration. Raises ValueError for streams that cannot share a connection.

    `user_data` subscribes a spot api session to the user stream before it is ready. `listen_key` makes a
    USD-M stream session the private one. `first_data_ns` 0 switches the watchdog off. `offset_ns`, the
    venue's clock minus ours, may be set at any time: stamps are made with it.
    """

    def __init__(
        self,
        kind: str,
        market: int,
        streams: Sequence[str] = (),
        key: Key | None = None,
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
        self.key, self.user_data, self.listen_key = key, user_data, listen_key
        self.first_data_ns = first_data_ns
        self.route = "private" if listen_key else self._route()
        self.ready = False
        self.offset_ns = 0
        self._proven = False  # this key has logged on before: a refusal may be a passing one
        self._started_ns = self._replace_ns = 0
        self._waiting: dict[object, tuple[int, str]] = {}  # request id -> deadline, what it was
        self._silent: set[str] = set()  # streams that must speak and have not yet
        self._silent_from_ns = 0
        self._heard_ns: dict[str, int] = {}  # stream -> last data
        self._anew: set[str] = set()  # streams subscribed anew because they were dead, and silent since
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
        # lines that were opened together must not be replaced together
        self._replace_ns = now_ns + REPLACE_AT_NS - Random(now_ns).randrange(REPLACE_SPREAD_NS)
        for told in (self._waiting, self._silent, self._heard_ns, self._anew):
            told.clear()
        if self.kind == "stream":
            if not self.streams or self.listen_key:
                return self._done(now_ns)
            return [self._ask(SUBSCRIBE_ID, "SUBSCRIBE", self.streams, now_ns)]
        if self.key is None:
            return self._logged_on(now_ns)
        if self.key.is_ed25519:
            return [self._ask(LOGON_ID, "session.logon", self._signed(now_ns), now_ns)]
        if self.user_data:
            return [self._ask(USER_ID, "userDataStream.subscribe.signature", self._signed(now_ns), now_ns)]
        # HMAC keys cannot log on: a signed question shows whether key, secret and clock are good before an
        # order has to
        method = "account.status" if self.market == BINANCE_SPOT else "v2/account.balance"
        return [self._ask(PROBE_ID, method, self._signed(now_ns), now_ns)]

    def receive(self, text: str, now_ns: int) -> list[Action]:
        """A frame that is no data: an answer, a notice, or something to ignore."""
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            return [Down(f"the venue sent something that is not JSON: {text[:80]!r}")]
        if not isinstance(message, dict):
            return self._unknown(text)
        event = next((message[k] for k in ("data", "event") if isinstance(message.get(k), dict)), message)
        if isinstance(event.get("e"), str):
            return self._event(event)
        if self.kind == "api":
            return self._api_reply(message, now_ns)
        return self._stream_reply(message, now_ns)

    def data(self, topic: str, now_ns: int) -> None:
        """A data frame of this stream came."""
        self._silent.discard(topic)
        self._anew.discard(topic)
        self._heard_ns[topic] = now_ns

    def tick(self, now_ns: int) -> list[Action]:
        """Time passes: late answers, silent streams, old age."""
        for deadline_ns, what in self._waiting.values():
            if now_ns >= deadline_ns:
                return [Down(f"no answer to {what} within {ACK_NS // SECOND} s")]
        if self._silent and now_ns - self._silent_from_ns >= self.first_data_ns:
            names = ", ".join(sorted(self._silent)[:5])
            return [Down(f"no data since the subscription: {names} ({len(self._silent)} streams)")]
        dead = self._dead_book()
        if dead:
            return self._revive(dead, now_ns)
        if not self._replaced and now_ns >= self._replace_ns:
            self._replaced = True
            age_h = (now_ns - self._started_ns) / HOUR
            return [Replace(f"{age_h:.1f} h old; the venue cuts at {CONNECTION_LIFE_H} h")]
        return []

    @property
    def spoken(self) -> list[str]:
        """Streams that speak all the time: the others do when something happens."""
        return [x for x in self.streams if stream_channel(x) not in EVENT_STREAMS]

    def resync(self, symbol: str, now_ns: int = 0) -> list[Action]:
        """Nothing to say on this connection: a book starts anew from `snapshot_request`."""
        return []

    def snapshot_request(self, symbol: str, limit: int = 0) -> Request:
        """The depth snapshot that a book of `symbol` is spliced onto. 0 = as deep as the venue gives."""
        return rest.depth(self.market, symbol, limit)

    def keepalive_request(self, now_ns: int) -> Request | None:
        """The request that keeps a private USD-M stream alive, where one is due (every 30 minutes)."""
        due_ns = self._extended_ns + LISTEN_KEY_KEEPALIVE_MIN * 60 * SECOND
        if not self.listen_key or self.key is None or now_ns < due_ns:
            return None
        self._extended_ns = now_ns
        return rest.listen_key("PUT", self.key.api_key)

    def keepalive_reply(self, reply: Reply | None, now_ns: int) -> list[Action]:
        """The answer to it, None where there was none. A key that is gone must be made anew, on a new
        connection; after any other failure there is half an hour left to try again."""
        if reply is not None and reply.status == 200:
            return []
        said = rest.error_of(reply) if reply is not None else None
        if said is not None and said[0] == LISTEN_KEY_GONE:
            return [Down("the listen key is gone")]
        self._extended_ns = now_ns + KEEPALIVE_AGAIN_NS - LISTEN_KEY_KEEPALIVE_MIN * 60 * SECOND
        return []

    # ---- inside ----

    def _dead_book(self) -> str:
        """A book that said nothing while `bookTicker` of its symbol did, "" where there is none. Both may
        be silent: the venue sends nothing where nothing changes. The best price never moves without the
        book."""
        for stream, heard_ns in self._heard_ns.items():
            symbol, _, channel = stream.partition("@")
            if channel.startswith("depth") and (
                self._heard_ns.get(f"{symbol}@bookTicker", 0) - heard_ns >= DEAD_NS
            ):
                return stream
        return ""

    def _revive(self, stream: str, now_ns: int) -> list[Action]:
        """Subscribe it anew, once; then the line is to be replaced."""
        self._heard_ns[stream] = now_ns
        if stream in self._anew:
            return [Replace(f"{stream} is dead though it was subscribed anew")]
        self._anew.add(stream)
        return [
            self._ask(SUBSCRIBE_ID + number, method, [stream], now_ns)
            for number, method in enumerate(("UNSUBSCRIBE", "SUBSCRIBE"), 2 * len(self._anew))
        ]

    def _signed(self, now_ns: int) -> dict[str, object]:
        assert self.key is not None
        stamp_ms = (now_ns + self.offset_ns) // 1_000_000
        return signed_params(self.key, {"recvWindow": LOGON_WINDOW_MS, "timestamp": stamp_ms})

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
        self.ready = self._proven = True
        if self.first_data_ns and not self.listen_key:
            self._silent_from_ns = now_ns
            self._silent |= set(self.spoken)
        return [Ready()]

    def _logged_on(self, now_ns: int) -> list[Action]:
        if self.user_data:
            return [self._ask(USER_ID, "userDataStream.subscribe", None, now_ns)]
        return self._done(now_ns)

    def _event(self, event: dict) -> list[Action]:
        """A pushed message: what concerns the connection, or the account. `serverShutdown` comes raw,
        combined, or as an API event."""
        name = event["e"]
        if name == "serverShutdown":
            self._replaced = True
            return [Replace("the venue announced a shutdown")]
        if name in ("eventStreamTerminated", "listenKeyExpired"):
            return [Down(f"the user stream ended: {name}")]
        return news.read(self.market, event, bool(self.listen_key) or self.kind == "api")

    def _stream_reply(self, message: dict, now_ns: int) -> list[Action]:
        error = message if "code" in message else message.get("error")
        if isinstance(error, dict) and "code" in error:
            return [Down(f"stream error {error.get('code')}: {error.get('msg')}", retry=False)]
        if "result" not in message and "id" not in message:
            return self._unknown(str(sorted(message)))
        if "result" not in message or not self._answered(message.get("id")) or self._waiting or self.ready:
            return []
        return self._done(now_ns)

    def _unknown(self, text: str) -> list[Action]:
        """A frame of a private connection that is nothing we know is named, not dropped."""
        is_private = bool(self.listen_key) or self.kind == "api"
        return news.odd(self.market, f"a frame that is nothing known: {text[:80]}") if is_private else []

    def _api_reply(self, message: dict, now_ns: int) -> list[Action]:
        number, error, status = message.get("id"), message.get("error"), message.get("status")
        if status is None:
            return self._unknown(str(sorted(message)))
        code = error.get("code", 0) if isinstance(error, dict) else 0
        text = str(error.get("msg", ""))[:200] if isinstance(error, dict) else ""
        if isinstance(error, dict) and isinstance(error.get("data"), dict) and "retryAfter" in error["data"]:
            text += f" [retry after {error['data']['retryAfter']}]"
        if number is None:  # a revoked key, told at the next request
            return [Down(f"the venue ended the session: {self._why(status, code, text)}")]
        if not self._answered(number):
            return []
        if status != 200 and not (number == PROBE_ID and not self._is_refusal(status, code)):
            final = not self._proven and code in LOGON_ERRORS and status in (400, 401)
            what = {LOGON_ID: "session.logon", USER_ID: "user stream"}.get(
                str(number), "first signed request"
            )
            return [Down(f"{what}: {self._why(status, code, text)}", retry=not final)]
        return self._logged_on(now_ns) if number == LOGON_ID else self._done(now_ns)

    def _is_refusal(self, status: object, code: object) -> bool:
        """Does this answer to the probe say that orders would be refused too? Other errors concern the
        question only."""
        return code in LOGON_ERRORS or code in (-1021, -1003) or status in (401, 403, 418, 429)

    def _why(self, status: object, code: object, text: str) -> str:
        """A refusal, classified, without any secret."""
        if code == -1021:
            kind = "clock: the time stamp is outside of the venue's window"
        elif status in (418, 429):
            kind = "limit: too many requests" + (", banned" if status == 418 else "")
        else:
            kind = LOGON_ERRORS.get(code, "") if isinstance(code, int) else ""
        words = self.key.hide(text) if self.key else text
        return f"{kind} ({status} {code}: {words})" if kind else f"{status} {code}: {words}"

"""One Bybit v5 connection without I/O: log in, subscribe, ping, resync.

Replies differ by connection (a public pong says `op: "ping"`, a private one `op: "pong"`; the trade
connection spells `reqId`, `retCode`); every form is accepted on every connection. Source:
bybit-exchange/docs `docs/v5/websocket/{wss-authentication,trade/guideline}.mdx`.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from node.venues.bybit import rules
from node.venues.values import Action, Down, Ready, Send

KINDS = ("public", "trade", "private")


@dataclass(slots=True)
class _Pending:
    """A request that was not answered yet."""

    op: str
    topics: tuple[str, ...]
    due_ns: int


class Session:
    """The cold half of one connection.

    `kind` is public, trade or private. `names` are topics, or symbols of which everything is subscribed that
    the decoder reads (`rules.public_topics`, books of `depth`); a private session has the market's order
    topics by default, a trade session has none. `credentials` are key and secret; without them the login is
    left out. `watch`: the owner reports data by `data`, and a book or ticker that says nothing at all brings
    the session down. Raises ValueError for a kind or a topic that cannot be.
    """

    def __init__(
        self,
        kind: str,
        market: int,
        names: Sequence[str] = (),
        credentials: tuple[str, str] | None = None,
        *,
        depth: int = 50,
        watch: bool = False,
    ):
        if kind not in KINDS:
            raise ValueError(f"session kind {kind!r}: must be one of {KINDS}")
        if market not in rules.CATEGORY:
            raise ValueError(f"market {market}: must be BYBIT_SPOT or BYBIT_LINEAR")
        self.kind, self.market = kind, market
        self.credentials = credentials
        self.topics = _topics(kind, market, names, depth)
        self.watch = watch and kind == "public"
        self.ready = False
        self.down = False
        self._confirmed: set[str] = set()
        self._heard: set[str] = set()  # topics that sent something, perhaps before they were confirmed
        self._silent: dict[str, int] = {}  # topic -> when its first data is due
        self._resyncing: set[str] = set()
        self._pending: dict[str, _Pending] = {}  # by request id, oldest first
        self._requests = 0
        self._ping_ns = self._pong_ns = 0  # when the next ping is due; by when a pong must come, 0 = none due

    @property
    def path(self) -> str:
        """Where to connect, below the environment's host of this kind (`rules.ENDPOINTS`)."""
        paths = {"trade": rules.TRADE_PATH, "private": rules.PRIVATE_PATH}
        return paths.get(self.kind) or rules.PUBLIC_PATH[self.market]

    # ---- what the owner calls ----

    def start(self, now_ns: int) -> list[Action]:
        """The connection is open. Also the way to begin again on a new one."""
        self.ready = self.down = False
        for told in (self._confirmed, self._heard, self._silent, self._resyncing, self._pending):
            told.clear()
        self._pong_ns = 0
        self._ping_ns = now_ns + rules.PING_EVERY_NS
        if self.credentials and self.kind != "public":
            return [self._login(self.credentials, now_ns)]
        return self._subscribe_all(now_ns)

    def receive(self, text: str | bytes, now_ns: int) -> list[Action]:
        """A frame that the native decoder called not its own. What answers no request is ignored."""
        if self.down:
            return []
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            return []
        if not isinstance(message, dict) or "topic" in message:
            return []
        if _is_pong(message):
            self._pong_ns = 0
            return []
        op = message.get("op")
        if op == "auth":
            return self._on_login(message, now_ns)
        if op == "subscribe":
            return self._on_subscribed(message, now_ns)
        if op == "unsubscribe":
            self._answered(message, "unsubscribe")
        return []

    def tick(self, now_ns: int) -> list[Action]:
        """Time passes. Call it every second or so."""
        if self.down:
            return []
        for request in self._pending.values():
            if now_ns >= request.due_ns and request.op != "unsubscribe":
                what = f" of {', '.join(request.topics)}" if request.topics else ""
                return self._give_up(f"no answer to {request.op}{what}")
        if self._pong_ns and now_ns >= self._pong_ns:
            return self._give_up("no pong")
        for topic, due_ns in self._silent.items():
            if now_ns >= due_ns:
                return self._give_up(f"{topic} was confirmed and sends nothing")
        if now_ns >= self._ping_ns:
            self._ping_ns = now_ns + rules.PING_EVERY_NS
            self._pong_ns = self._pong_ns or now_ns + rules.PONG_WITHIN_NS
            return [self._request("ping", (), now_ns, keep=False)]
        return []

    def data(self, topic: str, now_ns: int) -> None:
        """Data of `topic` came (it does not pass through here)."""
        if self.watch:
            self._heard.add(topic)
            self._silent.pop(topic, None)

    def resync(self, symbol: str, now_ns: int) -> list[Action]:
        """Ask for fresh snapshots of a symbol's books: a new subscription starts with one.

        Nothing while one is under way already: deltas queued behind a gap must not ask again and again.
        """
        topics = tuple(
            x for x in self.topics if x.startswith("orderbook.") and rules.topic_symbol(x) == symbol
        )
        topics = tuple(x for x in topics if x not in self._resyncing and x in self._confirmed)
        if self.down or not topics:
            return []
        self._resyncing.update(topics)
        self._heard.difference_update(topics)
        return [
            self._request("unsubscribe", topics, now_ns),
            self._request("subscribe", topics, now_ns),
        ]

    # ---- answers ----

    def _on_login(self, message: dict, now_ns: int) -> list[Action]:
        self._answered(message, "auth")
        code = message.get("retCode")
        if message.get("success") is True or code in (0, 20001):
            return self._subscribe_all(now_ns)
        text = str(message.get("retMsg", message.get("ret_msg", "")))
        code = code if isinstance(code, int) else None
        retry = rules.login_can_be_retried(code, text, self.kind == "trade")
        return self._give_up(f"login refused: {code if code is not None else ''} {text}".strip(), retry)

    def _on_subscribed(self, message: dict, now_ns: int) -> list[Action]:
        request = self._answered(message, "subscribe")
        if request is None:
            return []
        text = str(message.get("ret_msg", message.get("retMsg", "")))
        if message.get("success") is True:
            return self._confirm(request.topics, now_ns)
        named = text.partition("topic:")[2].strip()
        if "already subscribed" in text and named in self._resyncing:
            return self._give_up(f"{named} could not be subscribed anew")  # no snapshot will follow
        if "already subscribed" in text and named in request.topics:
            # harmless for this topic, but the request as a whole was refused: ask for the others again
            others = tuple(x for x in request.topics if x != named)
            done = self._confirm((named,), now_ns)
            return ([self._request("subscribe", others, now_ns)] if others else []) + done
        topics = named if named in request.topics else ", ".join(request.topics)
        return self._give_up(f"subscription of {topics} refused: {text}", retry=False)

    def _confirm(self, topics: tuple[str, ...], now_ns: int) -> list[Action]:
        self._confirmed.update(topics)
        if self.watch:
            due_ns = now_ns + rules.FIRST_DATA_WITHIN_NS
            quiet = (x for x in topics if x not in self._heard and rules.speaks_at_once(x))
            self._silent.update((x, due_ns) for x in quiet)
        self._resyncing.difference_update(topics)
        if self.ready or not self._confirmed.issuperset(self.topics):
            return []
        self.ready = True
        return [Ready()]

    def _answered(self, message: dict, op: str) -> _Pending | None:
        """The request this answers: by its id, or where the venue repeats none, the oldest of its kind."""
        number = message.get("req_id") or message.get("reqId")
        if not number:
            number = next((x for x, request in self._pending.items() if request.op == op), None)
        if not isinstance(number, str) or number not in self._pending or self._pending[number].op != op:
            return None
        return self._pending.pop(number)

    # ---- requests ----

    def _login(self, credentials: tuple[str, str], now_ns: int) -> Send:
        key, secret = credentials
        expires = now_ns // 1_000_000 + rules.AUTH_VALID_MS
        signature = hmac.new(secret.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
        return self._request("auth", (), now_ns, args=[key, expires, signature])

    def _subscribe_all(self, now_ns: int) -> list[Action]:
        if not self.topics:
            self.ready = True
            return [Ready()]
        step = rules.ARGS_PER_REQUEST
        batches = [tuple(self.topics[i : i + step]) for i in range(0, len(self.topics), step)]
        return [self._request("subscribe", batch, now_ns) for batch in batches]

    def _request(
        self, op: str, topics: tuple[str, ...], now_ns: int, args: list | None = None, keep: bool = True
    ) -> Send:
        self._requests += 1
        number = f"{op[0]}{self._requests}"
        message: dict[str, object] = {"reqId" if self.kind == "trade" else "req_id": number, "op": op}
        if args or topics:
            message["args"] = args or list(topics)
        if keep:
            self._pending[number] = _Pending(op, topics, now_ns + rules.ANSWER_WITHIN_NS)
        return Send(orjson.dumps(message).decode())

    def _give_up(self, reason: str, retry: bool = True) -> list[Action]:
        self.down = True
        return [Down(reason, retry)]


def _topics(kind: str, market: int, names: Sequence[str], depth: int) -> list[str]:
    if kind == "trade":
        if names:
            raise ValueError("a trade session has no topics")
        return []
    if kind == "private":
        names = names or rules.private_topics(market)
        return list(dict.fromkeys(names))
    topics: list[str] = []
    for name in names:
        topics += [name] if "." in name else rules.public_topics(name, depth)
    topics = list(dict.fromkeys(topics))
    if len(orjson.dumps(topics)) > rules.ARGS_CHARS_PER_CONNECTION:
        raise ValueError(f"{len(topics)} topics are more than one connection takes")
    return topics


def _is_pong(message: dict) -> bool:
    op = message.get("op")
    return op == "pong" or (op == "ping" and message.get("success") is not False)

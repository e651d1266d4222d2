"""One Bybit v5 connection without I/O: log in, subscribe, ping, resync, read what is no order and no fill.

Replies differ by connection (a public pong says `op: "ping"`, a private one `op: "pong"`; the trade
connection spells `reqId`, `retCode`); every form is accepted on every connection. Source:
bybit-exchange/docs `docs/v5/websocket/{wss-authentication,trade/guideline}.mdx`, `.../private/*.mdx`,
`.../system/system-status.mdx`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from ext.records import ErrorGroup
from node.venues.bybit import rest, rules
from node.venues.keys import Key
from node.venues.values import (
    AccountNews,
    Action,
    BalanceRow,
    CashRow,
    Down,
    ModeRow,
    PositionRow,
    Ready,
    Replace,
    Send,
    StatusRow,
)

KINDS = ("public", "trade", "private", "status")
Row = PositionRow | BalanceRow | CashRow | ModeRow | StatusRow
TEXT_MAX = 160  # of what the venue said, in a reason


@dataclass(slots=True)
class _Pending:
    """A request that was not answered yet."""

    op: str
    topics: tuple[str, ...]
    due_ns: int


class Session:
    """The cold half of one connection.

    `kind` is public, trade, private or status. `names` are topics, or symbols of which everything is
    subscribed that the decoder reads (`rules.public_topics`, books of `depth`); a private session has the
    market's account topics by default, a trade session has none. `key`: without it the login is left out.
    `dcp`: the account has disconnect-cancel-all, and this connection counts for it. `watch`: the owner
    reports data by `data`, and a book or ticker that says nothing at all brings the session down.
    `offset_ns`, which the owner may set at any time, is the venue's clock minus ours. Raises ValueError for a
    kind or a topic that cannot be.
    """

    def __init__(
        self,
        kind: str,
        market: int,
        names: Sequence[str] = (),
        key: Key | None = None,
        *,
        depth: int = 50,
        watch: bool = False,
        dcp: bool = False,
    ):
        if kind not in KINDS:
            raise ValueError(f"session kind {kind!r}: must be one of {KINDS}")
        if market not in rules.CATEGORY:
            raise ValueError(f"market {market}: must be BYBIT_SPOT or BYBIT_LINEAR")
        self.kind, self.market, self.key = kind, market, key
        self.topics = _topics(kind, market, names, depth)
        if dcp and kind == "private":
            self.topics.append(rules.DCP_TOPIC[market])
        self.watch = watch and kind == "public"
        self.offset_ns = 0
        self.ready = False
        self.down = False
        self._was_ready = False  # the key was good once: a login that fails later is tried again
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
        paths = {"trade": rules.TRADE_PATH, "private": rules.PRIVATE_PATH, "status": rules.STATUS_PATH}
        return paths.get(self.kind) or rules.PUBLIC_PATH[self.market]

    @property
    def spoken(self) -> list[str]:
        """Topics that say something soon after they were subscribed: the others have news only."""
        return [x for x in self.topics if rules.speaks_at_once(x)]

    # ---- what the owner calls ----

    def start(self, now_ns: int) -> list[Action]:
        """The connection is open. Also the way to begin again on a new one."""
        self.ready = self.down = False
        for told in (self._confirmed, self._heard, self._silent, self._resyncing, self._pending):
            told.clear()
        self._pong_ns = 0
        self._ping_ns = now_ns + rules.PING_EVERY_NS
        if self.key and self.kind in ("trade", "private"):
            return [self._login(self.key, now_ns)]
        return self._subscribe_all(now_ns)

    def receive(self, text: str | bytes, now_ns: int) -> list[Action]:
        """A frame that the native decoder called not its own. A private line drops nothing in silence."""
        if self.down:
            return []
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            return self._odd("a frame that is no JSON")
        if not isinstance(message, dict):
            return self._odd("a frame that is no object")
        if "topic" in message:
            return self._on_news(message) if self.kind in ("private", "status") else []
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
        return self._on_notice(message)

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
        code, text = _said(message)
        if message.get("success") is True or code in (0, 20001):
            return self._subscribe_all(now_ns)
        retry = self._was_ready or rules.login_can_be_retried(code, text, self.kind == "trade")
        hint = "; is it a key of this environment?" if code == 10003 and not retry else ""
        return self._give_up(f"login refused ({_class(code, text)}): {self._plain(code, text)}{hint}", retry)

    def _on_subscribed(self, message: dict, now_ns: int) -> list[Action]:
        request = self._answered(message, "subscribe")
        if request is None:
            return []
        _, text = _said(message)
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
        if _is_unauthorized(text):
            return self._give_up(f"login lost: {self._plain(None, text)}")
        if all(x.startswith("dcp.") for x in request.topics):
            # an account without disconnect-cancel-all: the node works without it, and somebody must know
            return self._odd(f"{', '.join(request.topics)} refused: {text}") + self._confirm(
                request.topics, now_ns
            )
        topics = named if named in request.topics else ", ".join(request.topics)
        return self._give_up(f"subscription of {topics} refused: {self._plain(None, text)}", retry=False)

    def _confirm(self, topics: tuple[str, ...], now_ns: int) -> list[Action]:
        self._confirmed.update(topics)
        if self.watch:
            due_ns = now_ns + rules.FIRST_DATA_WITHIN_NS
            quiet = (x for x in topics if x not in self._heard and rules.speaks_at_once(x))
            self._silent.update((x, due_ns) for x in quiet)
        self._resyncing.difference_update(topics)
        if self.ready or not self._confirmed.issuperset(self.topics):
            return []
        return self._is_ready()

    def _is_ready(self) -> list[Action]:
        self.ready = self._was_ready = True
        return [Ready()]

    def _answered(self, message: dict, op: str) -> _Pending | None:
        """The request this answers: by its id, or where the venue repeats none, the oldest of its kind."""
        number = message.get("req_id") or message.get("reqId")
        if not number:
            number = next((x for x, request in self._pending.items() if request.op == op), None)
        if not isinstance(number, str) or number not in self._pending or self._pending[number].op != op:
            return None
        return self._pending.pop(number)

    def _on_notice(self, message: dict) -> list[Action]:
        """What answers no request of this session: a kick, a node that restarts, or something new."""
        code, text = _said(message)
        if code == 10019:
            return [Replace(f"the venue restarts this node: {self._plain(code, text)}")]
        if _is_unauthorized(text) or (
            code is not None and rules.group(code, text) == ErrorGroup.GROUP_ACCESS
        ):
            return self._give_up(f"login lost ({_class(code, text)}): {self._plain(code, text)}")
        keys = ", ".join(sorted(str(x)[:20] for x in message)[:8])
        return self._odd(f"op {str(message.get('op'))[:40]!r} with {keys}: {self._plain(code, text)}")

    # ---- the account ----

    def _on_news(self, message: dict) -> list[Action]:
        """Positions, coins, funding, the state of the venue. What cannot be read is named, no more."""
        topic = str(message["topic"])
        try:
            rows = self._rows(topic, message)
        except ValueError as error:
            return self._odd(str(error))
        return [AccountNews(tuple(rows))] if rows else []

    def _rows(self, topic: str, message: dict) -> list[Row]:
        data = message.get("data")
        if not isinstance(data, list) or not all(isinstance(x, dict) for x in data):
            raise ValueError(f"{topic[:40]}: data is not a list of objects")
        name = topic.partition(".")[0]
        if name == "position":
            return [y for x in self._mine(topic, data) for y in self._position(x)]
        if name == "wallet":
            created = message.get("creationTime")
            event_ns = created * rest.MS if type(created) is int else 0
            return [y for x in data for y in rest.balance_rows(self.market, x, event_ns)]
        if name == "execution":  # rows that trade are read by the decoder; these are what it left
            funding = (x for x in self._mine(topic, data) if x.get("execType") == "Funding")
            return [rest.funding_row(self.market, x) for x in funding]
        if topic == "system.status":
            return [y for x in data for y in self._status(x)]
        if name in ("order", "dcp"):
            return []  # orders of other markets and symbols
        raise ValueError(f"topic {topic[:40]!r} is not known")

    def _mine(self, topic: str, data: list[dict]) -> list[dict]:
        """Rows of this market: by their category, or the topic's where they have none."""
        name = rules.CATEGORY[self.market]
        last = topic.rpartition(".")[2] if rules.has_category(topic) else name
        return [x for x in data if (x.get("category") or last) == name]

    def _position(self, row: dict) -> list[Row]:
        position = rest.position_row(self.market, row)
        rows: list[Row] = [position, rest.mode_row(self.market, row)]
        status = row.get("positionStatus")
        if status not in (None, "", "Normal"):
            rows.append(StatusRow(self.market, position.symbol, "odd", f"position status {str(status)[:40]}"))
        if row.get("isReduceOnly") is True:
            rows.append(StatusRow(self.market, position.symbol, "odd", "the venue allows only to reduce it"))
        return rows

    def _status(self, row: dict) -> list[Row]:
        """One maintenance: of this market's product, or of any where the row does not say."""
        products, title = row.get("product") or [], str(row.get("title", ""))[:TEXT_MAX]
        if products and rules.STATUS_PRODUCT[self.market] not in products:
            return []
        state = {"ongoing": "maintenance", "completed": "trading", "canceled": "trading"}.get(
            str(row.get("state"))
        )
        if state is None and row.get("state") != "scheduled":
            raise ValueError(f"system.status: state {str(row.get('state'))[:40]!r} is not known")
        return [StatusRow(self.market, "", state, title)] if state else []

    def _odd(self, text: str) -> list[Action]:
        if self.kind == "public":
            return []
        if self.key:
            text = self.key.hide(text)
        return [AccountNews((StatusRow(self.market, "", "odd", f"{self.kind}: {text[:TEXT_MAX]}"),))]

    # ---- requests ----

    def _login(self, key: Key, now_ns: int) -> Send:
        expires = (now_ns + self.offset_ns) // rest.MS + rules.AUTH_VALID_MS
        return self._request(
            "auth", (), now_ns, args=[key.api_key, expires, key.hex(f"GET/realtime{expires}")]
        )

    def _subscribe_all(self, now_ns: int) -> list[Action]:
        """Topics of one form a request, and no more than the venue takes; a doubtful one alone."""
        if not self.topics:
            return self._is_ready()
        groups: dict[str, list[str]] = {}
        for topic in self.topics:
            form = "" if self.kind == "public" else topic if topic.startswith("dcp.") else _form(topic)
            groups.setdefault(form, []).append(topic)
        step = rules.ARGS_PER_REQUEST
        batches = [tuple(x[i : i + step]) for x in groups.values() for i in range(0, len(x), step)]
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

    def _plain(self, code: int | None, text: str) -> str:
        """What the venue said, short and without any secret."""
        said = f"{code if code is not None else ''} {text}".strip()
        return (self.key.hide(said) if self.key else said)[:TEXT_MAX]

    def _give_up(self, reason: str, retry: bool = True) -> list[Action]:
        self.down = True
        return [Down(reason, retry)]


def _form(topic: str) -> str:
    return "category" if rules.has_category(topic) else "whole"


def _topics(kind: str, market: int, names: Sequence[str], depth: int) -> list[str]:
    if kind == "trade":
        if names:
            raise ValueError("a trade session has no topics")
        return []
    if kind == "status":
        return ["system.status"]
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


def _said(message: dict) -> tuple[int | None, str]:
    """Code and words of an answer, in either spelling."""
    code = message.get("retCode", message.get("ret_code"))
    text = str(message.get("retMsg", message.get("ret_msg", "")))
    return code if type(code) is int else None, text


def _is_unauthorized(text: str) -> bool:
    low = text.lower()
    return "not authorized" in low or "unauthorized" in low or "not auth" in low


def _class(code: int | None, text: str) -> str:
    """What kind of error of a login this is: access, clock, limit, ..."""
    if rules.is_stale_login(code, text):
        return "clock"
    if code is None:
        return "access"
    return ErrorGroup(rules.group(code, text)).name.removeprefix("GROUP_").lower()

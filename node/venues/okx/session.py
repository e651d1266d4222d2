"""OKX connections without I/O: log in, subscribe, ping, resync, say when to replace or give up, read
account news.

One class for the public, private and business endpoints. It never subscribes before the login answer (the
venue would answer 60011), counts one acknowledgement per subscribed argument, and restarts a book by
unsubscribing and subscribing again, because the venue sends a snapshot only with a new subscription. Market
data, orders and the answers to them never come here, only what the native decoder calls "not mine"; `data`
tells the watchdog that a topic is alive.

What is not known on a connection of the account is never dropped: it is told as a StatusRow "odd".

Sources: docs-v5 "WebSocket / Connect", "Login", "Subscribe", "Notification", "Connection count limit",
"Account channel", "Positions channel", "Balance and position channel", "Instruments channel", "Status
channel".
"""

from collections import deque
from collections.abc import Iterable, Sequence

import orjson

from ext.records import Market
from node.venues.keys import Key
from node.venues.okx import rest, rules
from node.venues.values import (
    AccountNews,
    Action,
    BalanceRow,
    CashRow,
    Down,
    ModeRow,
    PositionRow,
    Ready,
    Relist,
    Replace,
    Resync,
    Send,
    StatusRow,
)

SECOND = rules.SECOND
FIRST_DATA_NS = 30 * SECOND
HOUR_NS = 3600 * SECOND
RESYNC_CALM_NS = 60 * SECOND  # a book that was fine for this long starts over at once
RESYNC_WAIT_MAX_NS = 32 * SECOND
LOGINS_MAX = 20  # refused logins in a row of a key that had worked, before trying again is over
TEXT_MAX = 200

Topic = tuple[str, str]  # channel, and what it is subscribed for: instId, instType, currency, or ""
Row = PositionRow | BalanceRow | CashRow | ModeRow | StatusRow


class Session:
    """One connection's administration.

    `kind` is "public", "private" or "business"; `topics` are (channel, instId) - for `orders` and `positions`
    the second is the instType (rules.PRIVATE_TOPICS, rules.ALGO_TOPICS). Without a key there is no login
    (public data). `offset_ns`, the venue's clock minus ours, may be set at any time: logins are stamped
    with it. `first_data_ns` 0 switches the watchdog on data off. `demo`: which environment's maintenance
    concerns us. Raises ValueError for a channel that this endpoint does not have.
    """

    def __init__(
        self,
        kind: str,
        topics: Iterable[Topic] = (),
        key: Key | None = None,
        *,
        first_data_ns: int = FIRST_DATA_NS,
        demo: bool = False,
    ):
        if kind not in rules.PATHS:
            raise ValueError(f"session kind {kind!r}: must be one of {', '.join(rules.PATHS)}")
        self.kind = kind
        self.topics: list[Topic] = list(dict.fromkeys((channel, unit) for channel, unit in topics))
        for channel, _ in self.topics:
            if channel not in rules.CHANNELS or rules.CHANNELS[channel].path != kind:
                raise ValueError(f"channel {channel!r}: not on the {kind} endpoint")
        self.key, self.demo = key, demo
        self.first_data_ns = first_data_ns
        self.offset_ns = 0
        self.ready = False
        self._was_ready = False  # on any connection: the key has worked
        self._refused_logins = 0
        self._reset(0)

    def _reset(self, now_ns: int) -> None:
        self.ready = False
        self._now_ns = now_ns
        self._heard_ns = now_ns
        self._pinged_ns: int | None = None  # when a ping went out that is not answered
        self._login_ns: int | None = None  # likewise the login
        self._replaced = False
        self._subscribing: dict[Topic, int] = {}  # -> when it was asked for
        self._leaving: dict[Topic, int] = {}
        self._spoke_ns: dict[Topic, int] = {}  # watched topics -> last data, or when they should have begun
        self._silent: set[Topic] = set()  # watched topics without any data yet
        self._anew: set[Topic] = set()  # books subscribed anew because they were silent, and silent since
        self._requests: deque[int] = deque()  # times of the requests that count, of the last hour
        self._resyncs: dict[str, tuple[int, int]] = {}  # symbol -> last resync, how many without calm between
        self._due: dict[str, int] = {}  # symbol -> when its resync may start
        self._number = 0

    @property
    def path(self) -> str:
        """Where to connect."""
        return rules.PATHS[self.kind]

    @property
    def spoken(self) -> list[Topic]:
        """Topics that speak all the time: the others have news only."""
        return [x for x in self.topics if x[0] not in rules.NEWS_CHANNELS]

    # ---- what happened ----

    def start(self, now_ns: int) -> list[Action]:
        """The connection is open. Also the way to begin again on a new one."""
        self._reset(now_ns)
        if self.key is None:
            return self._logged_in(now_ns)
        self._login_ns = now_ns
        self._requests.append(now_ns)
        timestamp = str((now_ns + self.offset_ns) // SECOND)
        arg = {
            "apiKey": self.key.api_key,
            "passphrase": self.key.passphrase(),
            "timestamp": timestamp,
            "sign": self.key.base64(timestamp + rules.LOGIN_TARGET),
        }
        return [Send(_json({"op": "login", "args": [arg]}))]

    def receive(self, text: str, now_ns: int) -> list[Action]:
        """A frame that the decoder left: an event, a pong, news of the account."""
        self._heard(now_ns)
        if text == "pong":
            return []
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            return [Down(f"the venue sent something that is not JSON: {self._hide(text[:80])!r}")]
        if not isinstance(message, dict):
            return self._odd(text)
        event = message.get("event")
        if event is None:
            return self._on_push(message, text)
        if event == "login":
            return self._on_login(message, now_ns)
        if event == "error":
            return self._on_error(message)
        if event in ("subscribe", "unsubscribe"):
            return self._on_ack(event, message.get("arg"), now_ns)
        if event == "notice":
            return self._on_notice(message)
        if event == "channel-conn-count-error":
            count = f"{message.get('channel')}: {message.get('connCount')} connections"
            return [Down(f"the venue ended a subscription, too many of them: {count}")]
        return [] if event == "channel-conn-count" else self._odd(text)

    def data(self, topic: Topic | None, now_ns: int) -> None:
        """A data frame came; `topic` is (channel, instId) as subscribed, None where the caller does not know
        it."""
        self._heard(now_ns)
        if topic in self._spoke_ns:
            self._spoke_ns[topic] = now_ns
            self._silent.discard(topic)
            self._anew.discard(topic)

    def closed(self, code: int, reason: str = "") -> list[Action]:
        """The venue closed the connection with a WebSocket close code."""
        text = rules.CLOSE_CODES.get(code, "closed")
        final = code in rules.FINAL_CLOSE_CODES and not (code in rules.LOGIN_CLOSE_CODES and self._was_ready)
        return [Down(f"{code} {text}{': ' if reason else ''}{self._hide(reason)}", retry=not final)]

    def tick(self, now_ns: int) -> list[Action]:
        """Time passes: pings, late answers, silent topics, resyncs that had to wait."""
        self._now_ns = max(self._now_ns, now_ns)
        late = self._late(now_ns)
        if late:
            return [Down(late)]
        out = self._watch(now_ns)
        for symbol in [x for x, due_ns in self._due.items() if now_ns >= due_ns]:
            del self._due[symbol]
            out += self._leave(symbol, now_ns)
        if self._pinged_ns is None and now_ns - self._heard_ns >= rules.PING_AFTER_NS:
            self._pinged_ns = now_ns
            out.append(Send("ping"))
        return out

    def resync(self, symbol: str, now_ns: int | None = None) -> list[Action]:
        """Start the books of `symbol` anew. Repeated resyncs of one symbol wait longer each time (1, 2, ...
        32 s), because the venue counts subscriptions; a waiting one is sent by `tick`."""
        now_ns = self._now_ns if now_ns is None else now_ns
        if symbol in self._due or any(unit == symbol for _, unit in self._leaving):
            return []
        last_ns, times = self._resyncs.get(symbol, (0, 0))
        if times == 0 or now_ns - last_ns >= RESYNC_CALM_NS:
            self._resyncs[symbol] = (now_ns, 1)
            return self._leave(symbol, now_ns)
        wait_ns = min(SECOND << (times - 1), RESYNC_WAIT_MAX_NS)
        self._resyncs[symbol] = (now_ns + wait_ns, min(times + 1, 10))
        self._due[symbol] = now_ns + wait_ns
        return []

    # ---- inside ----

    def _heard(self, now_ns: int) -> None:
        self._now_ns = max(self._now_ns, now_ns)
        self._heard_ns = now_ns
        self._pinged_ns = None

    def _logged_in(self, now_ns: int) -> list[Action]:
        if not self.topics:
            return self._up()
        return self._subscribe(self.topics, now_ns)

    def _up(self) -> list[Action]:
        self.ready = self._was_ready = True
        self._refused_logins = 0
        return [Ready()]

    def _subscribe(self, topics: list[Topic], now_ns: int) -> list[Action]:
        for topic in topics:
            self._subscribing[topic] = now_ns
        return self._ask("subscribe", topics, now_ns)

    def _ask(self, op: str, topics: list[Topic], now_ns: int) -> list[Action]:
        """Requests for these topics, each below the venue's size limit, within its hourly budget."""
        out: list[Action] = []
        batch: list[dict[str, str]] = []
        size = 0
        for topic in topics:
            arg = _arg(topic)
            size += len(_json(arg)) + 1
            if size > rules.ARGS_BYTES_MAX:
                out.append(self._request(op, batch, now_ns))
                batch, size = [], len(_json(arg)) + 1
            batch.append(arg)
        out.append(self._request(op, batch, now_ns))
        while self._requests and now_ns - self._requests[0] >= HOUR_NS:
            self._requests.popleft()
        if len(self._requests) > rules.REQUESTS_PER_HOUR:
            return [
                Down(f"more than {rules.REQUESTS_PER_HOUR} requests in an hour: a new connection is needed")
            ]
        return out

    def _request(self, op: str, args: list[dict[str, str]], now_ns: int) -> Send:
        self._number += 1
        self._requests.append(now_ns)
        return Send(_json({"id": f"{op[0]}{self._number}", "op": op, "args": args}))

    def _leave(self, symbol: str, now_ns: int) -> list[Action]:
        """Unsubscribe the books of a symbol; the answer brings the new subscription. A book whose
        subscription is not answered yet gets its snapshot anyway."""
        books = [x for x in self.topics if x[1] == symbol and rules.CHANNELS[x[0]].depth]
        books = [x for x in books if x not in self._subscribing]
        if not books:
            return []
        for topic in books:
            self._leaving[topic] = now_ns
            self._spoke_ns.pop(topic, None)
            self._silent.discard(topic)
        return self._ask("unsubscribe", books, now_ns)

    def _on_login(self, message: dict, now_ns: int) -> list[Action]:
        if _code(message):
            return [self._login_refused(message)]
        if self._login_ns is None:
            return []
        self._login_ns = None
        return self._logged_in(now_ns)

    def _login_refused(self, message: dict) -> Down:
        """Final where only a human can help. A key that had worked is tried again for a while: gateways err
        too."""
        self._refused_logins += 1
        again = self._was_ready and self._refused_logins < LOGINS_MAX
        return self._refusal("login", message, again)

    def _on_error(self, message: dict) -> list[Action]:
        """Something we sent was refused. Which argument it was, the venue says in prose only: the connection
        cannot do its job, so it goes down whole. What is refused to a connection that was ready once is tried
        again on a new one: there it is refused before it is ready, and then trying again is over."""
        if self._login_ns is not None:
            return [self._login_refused(message)]
        return [self._refusal("request", message, self.ready)]

    def _refusal(self, what: str, message: dict, again: bool) -> Down:
        """The reason names the class of the code; of the text, what could repeat our own request is left
        out."""
        code = _code(message)
        kind = rules.ERRORS.get(code, "unknown")
        final = kind in rules.FINAL_EVENT_KINDS and code not in rules.RETRY_EVENT_CODES
        words = str(message.get("msg", "")).partition("{")[0]
        return Down(
            f"{what} refused ({kind}): {code}: {self._hide(words[:TEXT_MAX])}", retry=again or not final
        )

    def _hide(self, text: str) -> str:
        return text if self.key is None else self.key.hide(text)

    # ---- news of the account ----

    def _on_push(self, message: dict, text: str) -> list[Action]:
        """A push that is not for the decoder. On a public connection that is normal: symbols that are not
        ours."""
        arg, data = message.get("arg"), message.get("data")
        channel = arg.get("channel") if isinstance(arg, dict) else None
        reader = {
            "account": _account,
            "positions": _positions,
            "balance_and_position": _balance_and_position,
            "instruments": _instruments,
            "status": self._statuses,
        }.get(channel if isinstance(channel, str) else "")
        if reader is None:
            return self._odd(text)
        if not isinstance(data, list) or not all(isinstance(x, dict) for x in data):
            return self._odd(text)
        try:
            rows = [row for item in data for row in reader(item)]
        except ValueError as error:
            return [AccountNews((_oddity(f"{channel}: {self._hide(str(error))}"),))]
        news: list[Action] = [AccountNews(tuple(rows))] if rows else []
        return (
            [Relist(_one([x["instId"] for x in data])), *news] if channel == "instruments" and data else news
        )

    def _statuses(self, row: dict) -> Sequence[Row]:
        """docs-v5 "Status channel": maintenance begins and ends. What is only planned says nothing yet."""
        if row.get("env") not in (None, "", "2" if self.demo else "1"):
            return ()
        state = row.get("state")
        if state in ("ongoing", "pre_open"):
            return (StatusRow(Market.OKX, "", "maintenance", str(row.get("title", ""))[:TEXT_MAX]),)
        if state in ("completed", "canceled"):
            return (StatusRow(Market.OKX, "", "trading"),)
        return () if state == "scheduled" else (_oddity(f"status: state: {state!r}"),)

    def _odd(self, text: str) -> list[Action]:
        """Something that nobody knows, on a connection of the account: it must not go by in silence."""
        return [] if self.kind == "public" else [AccountNews((_oddity(self._hide(text)),))]

    def _on_notice(self, message: dict) -> list[Action]:
        if _code(message) != rules.NOTICE_CODE or self._replaced:
            return []
        self._replaced = True
        return [Replace(f"the venue will close this connection: {str(message.get('msg', ''))[:200]}")]

    def _on_ack(self, event: str, arg: object, now_ns: int) -> list[Action]:
        topic = _topic(arg)
        if event == "unsubscribe":
            if topic is None or self._leaving.pop(topic, None) is None:
                return []
            return self._subscribe([topic], now_ns)
        if topic is None or self._subscribing.pop(topic, None) is None:
            return []
        if self.first_data_ns and rules.CHANNELS[topic[0]].silence_ns:
            self._spoke_ns[topic] = now_ns
            self._silent.add(topic)
        if self.ready or self._subscribing:
            return []
        return self._up()

    def _late(self, now_ns: int) -> str:
        """What was not answered in time, or ""."""
        if self._login_ns is not None and now_ns - self._login_ns >= rules.LOGIN_WITHIN_NS:
            return f"no answer to login within {rules.LOGIN_WITHIN_NS // SECOND} s"
        if self._pinged_ns is not None and now_ns - self._pinged_ns >= rules.PONG_WITHIN_NS:
            return f"no answer to ping within {rules.PONG_WITHIN_NS // SECOND} s"
        for waiting, what in ((self._subscribing, "subscribe"), (self._leaving, "unsubscribe")):
            for topic, asked_ns in waiting.items():
                if now_ns - asked_ns >= rules.ACK_WITHIN_NS:
                    return f"no answer to {what} {':'.join(topic)} within {rules.ACK_WITHIN_NS // SECOND} s"
        return ""

    def _watch(self, now_ns: int) -> list[Action]:
        """Topics that should have spoken: a book starts anew, once; then the line is to be replaced. Anything
        else takes the connection down."""
        out: list[Action] = []
        for topic, spoke_ns in self._spoke_ns.items():
            channel = rules.CHANNELS[topic[0]]
            quiet_ns = self.first_data_ns if topic in self._silent else channel.silence_ns
            if now_ns - spoke_ns < quiet_ns:
                continue
            reason = f"{topic[0]} silent for {quiet_ns // SECOND} s"
            if not channel.depth:
                return [Down(f"{reason}: {topic[1]}")]
            self._spoke_ns[topic] = now_ns
            if topic in self._anew:
                out.append(Replace(f"{reason} though it was subscribed anew: {topic[1]}"))
            else:
                self._anew.add(topic)
                out.append(Resync(topic[1], reason))
        return out


def _arg(topic: Topic) -> dict[str, str]:
    channel, unit = topic
    name = rules.CHANNELS[channel].unit
    return {"channel": channel, name: unit} if name and unit else {"channel": channel}


def _topic(arg: object) -> Topic | None:
    """The topic that an `arg` names, None where it is none that we know."""
    if not isinstance(arg, dict) or not isinstance(arg.get("channel"), str):
        return None
    if arg["channel"] not in rules.CHANNELS:
        return None
    unit = arg.get(rules.CHANNELS[arg["channel"]].unit, "")
    return (arg["channel"], unit) if isinstance(unit, str) else None


def _code(message: dict) -> int:
    """The code of an event; -1 where it is not a number."""
    code = message.get("code")
    if isinstance(code, str) and code.isascii() and code.isdigit():
        return int(code[:9])
    return code if isinstance(code, int) and not isinstance(code, bool) else -1


def _account(row: dict) -> list[Row]:
    """One row of `account`: the coins listed are news, the others stay as they were, whatever the page."""
    if "details" not in row:
        raise ValueError("details: not there")
    return [rest.balance_row(x) for x in _objects(row, "details")]


def _positions(row: dict) -> list[Row]:
    """One row of `positions`, and how the account is set up for it."""
    position = _position(row)
    if isinstance(position, StatusRow):
        return [position]
    mode = ModeRow(
        Market.OKX, position.symbol, position.leg != "net", position.leverage, position.margin_mode
    )
    return [position, mode]


def _position(row: dict) -> PositionRow | StatusRow:
    """A margin position has the symbol of a spot pair, which has no positions here."""
    if row.get("instType") == "MARGIN":
        return _oddity(f"a margin position: {str(row.get('instId'))[:40]} {str(row.get('pos'))[:40]}")
    return rest.position_row(row)


def _balance_and_position(row: dict) -> list[Row]:
    """Cash and positions of one event; only the half that changed is there. It has no leverage."""
    return [
        *(rest.balance_row(x) for x in _objects(row, "balData")),
        *(_position(x) for x in _objects(row, "posData")),
    ]


def _objects(row: dict, field: str) -> list[dict]:
    items = row.get(field, [])
    if not isinstance(items, list) or not all(isinstance(x, dict) for x in items):
        raise ValueError(f"{field}: not a list of objects")
    return items


def _instruments(row: dict) -> list[Row]:
    symbol, state = row.get("instId"), row.get("state")
    if not isinstance(symbol, str) or not symbol or not isinstance(state, str):
        raise ValueError("instId or state: not there")
    ends_ns = rest.ends_ns_of(row, symbol)
    return [StatusRow(Market.OKX, symbol, rest.status_of(row, symbol), state, ends_ns)]


def _one(symbols: list[str]) -> str:
    """The symbol, where there is only one: after a cancelled listing the venue sends all that are left."""
    return symbols[0] if len(symbols) == 1 else ""


def _oddity(text: str) -> StatusRow:
    return StatusRow(Market.OKX, "", "odd", text[:TEXT_MAX])


def _json(value: object) -> str:
    return orjson.dumps(value).decode()

"""What OKX v5 prescribes: endpoints, channels, limits, connection rules, error table. Data only.

Sources: docs-v5 "Overview" (production and demo trading services, WebSocket connect, login, subscribe, rate
limits), "Order book trading", "Error code"; regional documentation sites for the hosts. A host is a default:
every one can be replaced in the configuration, and demo keys work on demo hosts only.
"""

from dataclasses import dataclass

from ext.records import BudgetKind, ErrorGroup, Market, Outcome

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Hosts:
    """Base addresses of one account stack in one environment."""

    rest: str
    ws: str
    demo: bool = False  # REST requests carry `x-simulated-trading: 1`

    def url(self, kind: str) -> str:
        """WebSocket address of the "public", "private" or "business" endpoint; KeyError for another kind."""
        return self.ws + PATHS[kind]


# The kinds of endpoint; an order line is a private one that need not subscribe anything.
PATHS = {"public": "/ws/v5/public", "private": "/ws/v5/private", "business": "/ws/v5/business"}

HOSTS = {
    ("global", "prod"): Hosts("https://www.okx.com", "wss://ws.okx.com:8443"),
    ("global", "demo"): Hosts("https://www.okx.com", "wss://wspap.okx.com:8443", demo=True),
    ("eea", "prod"): Hosts("https://eea.okx.com", "wss://wseea.okx.com:8443"),
    ("eea", "demo"): Hosts("https://eea.okx.com", "wss://wseeapap.okx.com:8443", demo=True),
    ("us", "prod"): Hosts("https://us.okx.com", "wss://wsus.okx.com:8443"),
    ("us", "demo"): Hosts("https://us.okx.com", "wss://wsuspap.okx.com:8443", demo=True),
}
# Every host that the venue names for an environment: where a key of it may go. REST hosts serve both.
_REST_HOSTS = frozenset({"www.okx.com", "openapi.okx.com", "eea.okx.com", "us.okx.com"})
OFFICIAL_HOSTS: dict[str, frozenset[str]] = {
    "live": _REST_HOSTS | {"ws.okx.com", "wseea.okx.com", "wsus.okx.com"},
    "demo": _REST_HOSTS | {"wspap.okx.com", "wseeapap.okx.com", "wsuspap.okx.com"},
}
DEMO_HEADER = ("x-simulated-trading", "1")

# ---- REST ----

TIME_PATH = "/api/v5/public/time"
INSTRUMENTS_PATH = "/api/v5/public/instruments"
BOOKS_PATH = "/api/v5/market/books"
BOOKS_LEVELS_MAX = 400
INST_TYPES = ("SPOT", "SWAP", "FUTURES", "OPTION")

# Queries of a user in 2 s, each path by itself: the "Rate Limit" of each endpoint in docs-v5.
QUERY_LIMITS = {
    "/api/v5/trade/order": 60,
    "/api/v5/trade/orders-pending": 60,
    "/api/v5/trade/fills": 60,
    "/api/v5/trade/fills-history": 10,
    "/api/v5/trade/order-algo": 20,
    "/api/v5/trade/orders-algo-pending": 20,
    "/api/v5/account/positions": 10,
    "/api/v5/account/balance": 10,
    "/api/v5/account/bills": 10,
    "/api/v5/account/leverage-info": 20,
    "/api/v5/account/config": 5,
    TIME_PATH: 10,
}
QUERY_WINDOW_NS = 2 * 1_000_000_000

# docs-v5 "Get instruments", state, in the words of all venues (values.StatusRow).
STATUS = {
    "live": "trading",
    "suspend": "halt",
    "preopen": "auction",
    "post_only": "post_only",
    "rebase": "settling",
    "test": "halt",
    "expired": "delisting",
}

# ---- channels ----


@dataclass(frozen=True, slots=True)
class Channel:
    """`depth`: levels per side, 0 = no book. `silence_ns`: longest quiet that is normal; 0 = it may be quiet
    for ever. `unit`: the member of `arg` that names what is subscribed, besides the channel."""

    path: str = "public"
    depth: int = 0
    login: bool = False
    silence_ns: int = 0
    unit: str = "instId"


# Depth channels repeat themselves after about 60 s without change (docs-v5 "Order book channel"); mark price
# comes every
# 10 s at the latest.
CHANNELS = {
    "books": Channel(depth=400, silence_ns=70 * SECOND),
    "books5": Channel(depth=5, silence_ns=70 * SECOND),
    "bbo-tbt": Channel(depth=1, silence_ns=70 * SECOND),
    "books50-l2-tbt": Channel(depth=50, login=True, silence_ns=70 * SECOND),
    "books-l2-tbt": Channel(depth=400, login=True, silence_ns=70 * SECOND),
    "trades": Channel(),
    "tickers": Channel(),
    "mark-price": Channel(silence_ns=30 * SECOND),
    "index-tickers": Channel(silence_ns=180 * SECOND),
    "funding-rate": Channel(silence_ns=180 * SECOND),
    "price-limit": Channel(),
    "trades-all": Channel(path="business"),
    "orders-algo": Channel(path="business", login=True, unit="instType"),
    "instruments": Channel(unit="instType"),
    "status": Channel(unit=""),
    "orders": Channel(path="private", login=True, unit="instType"),
    "account": Channel(path="private", login=True, unit="ccy"),
    "positions": Channel(path="private", login=True, unit="instType"),
    "balance_and_position": Channel(path="private", login=True, unit=""),
}
# What an account's private connection subscribes, and its business connection for stop orders.
PRIVATE_TOPICS = (("orders", "ANY"), ("account", ""), ("positions", "ANY"), ("balance_and_position", ""))
ALGO_TOPICS = (("orders-algo", "ANY"),)
NEWS_CHANNELS = ("instruments", "status")  # speak when something changed, to every session
BOOK_CHANNELS = tuple(name for name, channel in CHANNELS.items() if channel.depth)

# ---- connection rules ----

SILENCE_MAX_NS = 30 * SECOND  # nothing pushed for this long: the venue closes with 4004
PING_AFTER_NS = 20 * SECOND  # of silence: the text frame "ping"
PONG_WITHIN_NS = 8 * SECOND  # so that a dead connection is known before the venue's own cut
ACK_WITHIN_NS = 10 * SECOND
LOGIN_WITHIN_NS = 10 * SECOND
REQUESTS_PER_HOUR = 480  # subscribe, unsubscribe and login together, per connection
CONNECTS_PER_SECOND = 3  # per IP
ATTEMPTS = (CONNECTS_PER_SECOND, 1200 * SECOND // 1000)  # two that left apart may arrive together
ARGS_BYTES_MAX = 60_000  # the documented limit is 64 KB for all args of one request
NOTICE_CLOSE_NS = 60 * SECOND  # from notice 64008 to the cut
LOGIN_VALID_NS = 30 * SECOND
LOGIN_TARGET = "GET/users/self/verify"

CLOSE_CODES = {
    1009: "frame too large",
    4001: "login failed",
    4002: "invalid request",
    4003: "too many subscriptions for this key",
    4004: "no data received in 30 s",
    4005: "slow consumer",
    4006: "abnormal disconnection",
    4007: "API key changed or deleted",
    4008: "too many channels",
    4009: "too many channels on this connection",
}
FINAL_CLOSE_CODES = frozenset({4001, 4002, 4007})  # trying again cannot help
LOGIN_CLOSE_CODES = frozenset({4001, 4007})  # ... unless the key had worked: then the next login tells

# ---- order entry ----

ID_CHARS_MAX = 32  # request id and clOrdId: letters and digits only
ORDERS_PER_2S = 60  # place, cancel, amend: three separate buckets per user and instrument
SUB_ACCOUNT_PER_2S = 1000  # place + amend of swaps
PENDING_PER_INSTRUMENT = 500
PENDING_MAX = 4000
CANCEL_SOURCES = {
    "0": "system",
    "1": "user",
    "2": "reduce-only without margin",
    "3": "maintenance margin",
    "4": "borrowing cap",
    "6": "auto-deleveraging",
    "7": "delivery",
    "9": "no balance after funding",
    "13": "fok",
    "14": "ioc",
    "15": "price limit",
    "17": "position already closed",
    "20": "cancel all after",
    "21": "position already closed",
    "22": "reduce-only superseded",
    "23": "reduce-only superseded",
    "27": "counterparties 5 % apart",
    "31": "post_only would take",
    "32": "self-trade prevention",
    "33": "match limit",
    "43": "price beyond index",
    "44": "auto conversion",
}


@dataclass(frozen=True, slots=True)
class Budget:
    """One rate rule: at most `limit` of `kind` (records.BudgetKind) in `interval_ns`.

    `scope`: instrument (of a user), account, or address. `name` is what the venue counts.
    """

    kind: int
    limit: int
    interval_ns: int
    scope: str
    name: str


# docs-v5 "Rate limits" and the head of each endpoint. WebSocket and REST share the buckets. A batch counts
# each of its orders; a batch of one counts as a single request.
_TWO = 2 * SECOND
BUDGETS = {
    Market.OKX: (
        Budget(BudgetKind.BUDGET_ORDERS, ORDERS_PER_2S, _TWO, "instrument", "order"),
        Budget(BudgetKind.BUDGET_ORDERS, 300, _TWO, "instrument", "batch-orders"),
        Budget(BudgetKind.BUDGET_ORDERS, SUB_ACCOUNT_PER_2S, _TWO, "account", "new and amended swap orders"),
        Budget(BudgetKind.BUDGET_ORDERS, 20, _TWO, "instrument", "order-algo"),
        Budget(BudgetKind.BUDGET_CANCELS, ORDERS_PER_2S, _TWO, "instrument", "cancel-order"),
        Budget(BudgetKind.BUDGET_CANCELS, 300, _TWO, "instrument", "batch-cancel-orders"),
        Budget(BudgetKind.BUDGET_CANCELS, 20, _TWO, "instrument", "cancel-algos"),
        Budget(BudgetKind.BUDGET_AMENDS, ORDERS_PER_2S, _TWO, "instrument", "amend-order"),
        Budget(BudgetKind.BUDGET_AMENDS, 300, _TWO, "instrument", "batch-amend-orders"),
        Budget(BudgetKind.BUDGET_WEIGHT, 10, _TWO, "account", "balance, positions"),
        Budget(BudgetKind.BUDGET_WEIGHT, 60, _TWO, "account", "order, orders-pending, fills"),
        Budget(BudgetKind.BUDGET_WEIGHT, 20, _TWO, "account", "order-algo, orders-algo-pending"),
        Budget(BudgetKind.BUDGET_WEIGHT, 5, _TWO, "account", "config"),
        Budget(BudgetKind.BUDGET_WEIGHT, 5, SECOND, "account", "bills"),
    )
}
AMENDS_IN_FLIGHT = 3  # of one order (51513)
BATCH_MAX = 20
# An order canceled without any fill can be asked for this long (docs-v5 "Order history (last 7 days)").
RETENTION_NS = 2 * 3600 * SECOND
# Nothing says for how long a canceled algo order can be: the same is the safe answer.
ALGO_RETENTION_NS = RETENTION_NS

# ---- errors ----

# Kind -> codes. What a client must do differs by kind; what became of a request follows from it (`CODES`).
_ERRORS = {
    # the venue cannot say whether the request was executed
    "unknown": "50001 50004 50013 50026 50042 51054 51149 51412 64007",
    "rate": "50011 50040 50061 51113 51115 51513 60014 60023",
    "clock": "50036 50037 50102 50107 50112 60004 60006",
    "auth": "50030 50035 50051 50052 50059 50060 50100 50101 50103 50104 50105 50106 50110 50111 50113 50114"
    " 50119 50120 50121 51155 60005 60007 60009 60011 60024 60031 60032 63999",
    "parameter": "50000 50002 50006 50014 50015 50016 50024 50025 51000 51003 51111 51512 54004 54009 60012"
    " 60013 60027 60033",
    "instrument": "50033 51001 51015 51021 51022 51027 51028 51029 51030 51087 54005 54007 54011 54072 54092"
    " 54094",
    "auction": "51110 51124 51196 51404",  # 51404: no cancels in its second phase
    "post_phase": "54012",
    "size": "50122 51005 51007 51020 51033 51101 51120 51121 51150 51201 51202 51203",
    "price": "51006 51031 51116 51122 51135 51136 51137 51138 51204",
    "trigger": "51046 51047 51048 51049 51277 51278 51279 51280",
    "funds": "51004 51008 51017 51127 51131 51502 54024 54035 59200",
    "limit": "51025 51102 51103 51104 51105 51106 51107 51174 51185 51186 51187 54030 54031",
    # this request was not executed, but an order with its id is open: that one may be the one meant
    "duplicate": "50071 51011 51016 51065",
    "position": "51023 51043 51112 51133 51139 51148 51165 51169 51170 51171 51205 51206 51521 51522",
    "mode": "50072 51010 51041 51072 51073 51074",
    "self_trade": "54036",
    "post_only": "51511",
    "rpi": "54039 54040 54041 54042 54043 54044 54045 54046 54047 54048 54049 54050 54051",
    "environment": "50005 50038 50053",
    "restricted": "50007 50008 50009 50012 50017 50018 50019 50020 50021 50022 50023 50027 50028 50029 50032"
    " 51009 51024 51032 51037 51209 51210 51211 51212 51213 51214 54008",
    "protocol": "60008 60018 60019 60026 60028 64000 64001 64002 64003 64004",
    # the order is filled, canceled, being canceled or not known: says nothing about which
    "gone": "51063 51400 51401 51402 51405 51410 51503 51509 51510 51603",
}
ERRORS = {int(code): kind for kind, codes in _ERRORS.items() for code in codes.split()}
_GROUPS = {
    "unknown": ErrorGroup.GROUP_UNKNOWN,
    "rate": ErrorGroup.GROUP_LIMIT,
    "clock": ErrorGroup.GROUP_CLOCK,
    "auth": ErrorGroup.GROUP_ACCESS,
    "mode": ErrorGroup.GROUP_ACCESS,
    "environment": ErrorGroup.GROUP_ACCESS,
    "restricted": ErrorGroup.GROUP_ACCESS,
    "instrument": ErrorGroup.GROUP_MARKET,
    "auction": ErrorGroup.GROUP_AUCTION,
    "post_phase": ErrorGroup.GROUP_POST_PHASE,
    "size": ErrorGroup.GROUP_FILTER,
    "price": ErrorGroup.GROUP_FILTER,
    "trigger": ErrorGroup.GROUP_FILTER,
    "funds": ErrorGroup.GROUP_FUNDS,
    "duplicate": ErrorGroup.GROUP_DUPLICATE,
    "post_only": ErrorGroup.GROUP_POST_ONLY,
    "gone": ErrorGroup.GROUP_NOT_OPEN,
}


def _row(code: int, kind: str) -> tuple[int, int, int, int, int]:
    refused, uncertain = int(Outcome.REFUSED), int(Outcome.UNCERTAIN)
    known = uncertain if kind == "unknown" else refused
    create = uncertain if kind in ("unknown", "gone", "duplicate") else refused
    return code, create, known, known, int(_GROUPS.get(kind, ErrorGroup.GROUP_OTHER))


# (code, Outcome of a NEW, of a cancel, of an amend, ErrorGroup) for `Wire.set_codes`; what is not here is
# UNCERTAIN.
CODES = sorted(_row(code, kind) for code, kind in ERRORS.items())
_BY_CODE = {row[0]: row for row in CODES}

NOT_FOUND_CODE = (
    51603  # "order does not exist": an answer to a question, final only with the rest of the proof
)
LIMIT_CODES = frozenset(code for code, kind in ERRORS.items() if kind == "rate")
NOTICE_CODE = 64008
# Error events that end a connection for good: bad key, bad request, no such channel, no permission for it.
FINAL_EVENT_KINDS = frozenset({"auth", "protocol", "parameter"})
# ... but these of the same kinds can be cured by a new connection.
RETRY_EVENT_CODES = frozenset({60011, 60004, 60006, 60031, 63999})


def verdict(code: int, action: int) -> tuple[int, int]:
    """(Outcome, ErrorGroup) of a request of this records.Action that was answered with `code`. A code that is
    not in the table is UNCERTAIN: never assume it failed."""
    if code == 0:
        return int(Outcome.ACCEPTED), int(ErrorGroup.GROUP_NONE)
    row = _BY_CODE.get(code)
    if row is None:
        return int(Outcome.UNCERTAIN), int(ErrorGroup.GROUP_UNKNOWN)
    return row[{1: 2, 2: 3}.get(action, 1)], row[4]


def outcome(code: int) -> Outcome:
    """What became of a NEW answered with `code`."""
    return Outcome(verdict(code, 0)[0])

"""Bybit v5 as data: endpoints, topics, connection rules, limits, and what each error code proves.

Spot and linear (USDT and USDC perpetuals and futures) are rows here, not modules. Hosts are defaults: an
account on a regional site must configure its own. Source: bybit-exchange/docs `docs/v5`, state of 2026-07-24.
"""

from dataclasses import dataclass

from ext.records import BudgetKind, ErrorGroup, Market, Outcome
from node.venues.values import BudgetRow

SPOT, LINEAR = int(Market.BYBIT_SPOT), int(Market.BYBIT_LINEAR)
SECOND = 1_000_000_000


# ---- where ----


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Hosts of one environment; `trade` is empty where order entry is by REST only."""

    rest: str
    public: str
    private: str
    trade: str


ENDPOINTS = {
    "production": Endpoints(
        "https://api.bybit.com", "wss://stream.bybit.com", "wss://stream.bybit.com", "wss://stream.bybit.com"
    ),
    "testnet": Endpoints(
        "https://api-testnet.bybit.com",
        "wss://stream-testnet.bybit.com",
        "wss://stream-testnet.bybit.com",
        "wss://stream-testnet.bybit.com",
    ),
    # market data of the demo is that of production; order entry is by REST only
    "demo": Endpoints(
        "https://api-demo.bybit.com", "wss://stream.bybit.com", "wss://stream-demo.bybit.com", ""
    ),
}
# Every host that the venue names for an environment (regional sites too): where a key of it may go. Market
# data of the demo is production's.
OFFICIAL_HOSTS: dict[str, frozenset[str]] = {
    "live": frozenset(
        {"api.bybit.com", "api.bytick.com", "stream.bybit.com", "api.bybit.nl", "api.bybit.ae"}
        | {f"{x}.bybit.{y}" for x in ("api", "stream") for y in ("tr", "kz", "id", "eu")}
        | {f"{x}.{y}" for x in ("api", "stream") for y in ("bybitgeorgia.ge", "manepa.jp")}
    ),
    "testnet": frozenset({"api-testnet.bybit.com", "stream-testnet.bybit.com", "api-testnet.manepa.jp"}),
    "demo": frozenset({"api-demo.bybit.com", "stream-demo.bybit.com", "stream.bybit.com"}),
}
CATEGORY = {SPOT: "spot", LINEAR: "linear"}
PUBLIC_PATH = {SPOT: "/v5/public/spot", LINEAR: "/v5/public/linear"}
PRIVATE_PATH = "/v5/private"
TRADE_PATH = "/v5/trade"
TIME_PATH = "/v5/market/time"
INSTRUMENTS_PATH = "/v5/market/instruments-info"
BOOK_PATH = "/v5/market/orderbook"
STATUS_PATH = "/v5/public/misc/status"
MARKET_PREFIX = "/v5/market/"  # what needs no signature
ORDER_PATH = "/v5/order"
OPEN_ORDERS_PATH = "/v5/order/realtime"
HISTORY_PATH = "/v5/order/history"
EXECUTIONS_PATH = "/v5/execution/list"
POSITIONS_PATH = "/v5/position/list"
WALLET_PATH = "/v5/account/wallet-balance"
TRANSACTIONS_PATH = "/v5/account/transaction-log"
ACCOUNT_PATH = "/v5/account/info"
KEY_PATH = "/v5/user/query-api"
# Queries of a user in a second, each path (and category) by itself: docs v5 "Rate Limit", "API rate limit
# table"; query-api: its own page. All requests of an address count together.
QUERY_LIMITS = {
    OPEN_ORDERS_PATH: 50,
    HISTORY_PATH: 50,
    EXECUTIONS_PATH: 50,
    POSITIONS_PATH: 50,
    WALLET_PATH: 50,
    ACCOUNT_PATH: 50,
    TRANSACTIONS_PATH: 25,
    KEY_PATH: 10,
}
ADDRESS_LIMIT, ADDRESS_WINDOW_NS = 600, 5_000_000_000
SETTLE_COINS = ("USDT", "USDC")  # what linear contracts are settled in
# kinds of spot orders: a cancel-all without a filter takes the first only
SPOT_FILTERS = ("Order", "StopOrder", "tpslOrder", "OcoOrder", "BidirectionalTpslOrder")


# ---- what can be subscribed ----

BOOK_DEPTHS = (1, 50, 200, 1000)
BOOK_INTERVAL_NS = {1: 10_000_000, 50: 20_000_000, 200: 100_000_000, 1000: 200_000_000}
BOOK_REPEAT_NS = 3 * SECOND  # depth 1 is sent again, with the same u, where nothing changed for so long
TICKER_INTERVAL_NS = {SPOT: 50_000_000, LINEAR: 100_000_000}
TRADES_PER_FRAME = 1024


def book_topic(symbol: str, depth: int = 50) -> str:
    """ValueError where the venue has no such depth."""
    if depth not in BOOK_DEPTHS:
        raise ValueError(f"{symbol}: orderbook depth {depth} does not exist; there are {BOOK_DEPTHS}")
    return f"orderbook.{depth}.{symbol}"


def public_topics(symbol: str, depth: int = 50) -> list[str]:
    """Everything the decoder reads of one symbol."""
    return [book_topic(symbol, depth), f"publicTrade.{symbol}", f"tickers.{symbol}"]


def private_topics(market: int) -> list[str]:
    """What a private session of one market needs.

    `execution.fast` is left out: whether its execution ids are those of `execution` is not promised, and a
    fill counted twice is worse than one that comes later.
    """
    name = CATEGORY[market]
    orders = [f"order.{name}", f"execution.{name}"]
    return [*orders, "wallet"] if market == SPOT else [*orders, f"position.{name}", "wallet"]


DCP_TOPIC = {SPOT: "dcp.spot", LINEAR: "dcp.future"}
STATUS_PRODUCT = {LINEAR: 1, SPOT: 2}  # in the rows of `system.status`


def has_category(topic: str) -> bool:
    """`order.linear` and the like: in one request they must not be mixed with forms without category."""
    return topic.endswith((".spot", ".linear", ".inverse", ".option"))


def topic_symbol(topic: str) -> str:
    """The symbol a public topic is about; of a private topic its category, or nothing."""
    return topic.rpartition(".")[2] if "." in topic else ""


def speaks_at_once(topic: str) -> bool:
    """Does the venue send something soon after a subscription, so that silence means a dead topic?"""
    return topic.startswith(("orderbook.", "tickers."))


# ---- how connections behave ----

PING_EVERY_NS = 20 * SECOND
PONG_WITHIN_NS = 10 * SECOND
ANSWER_WITHIN_NS = 10 * SECOND  # for auth and subscribe
FIRST_DATA_WITHIN_NS = 10 * SECOND
ATTEMPTS = (400, 300 * SECOND)  # to connect, of one machine: the venue takes 500 in that time
IDLE_CUT_NS = 600 * SECOND  # the venue closes a connection that was silent both ways for so long
AUTH_VALID_MS = 5_000  # `expires` of an auth frame, ahead of now
CLOCK_AHEAD_MS = 1_000  # a timestamp so far ahead of the venue's clock is refused whatever the window
ARGS_PER_REQUEST = 10  # the venue's limit on spot; linear has none, but one bad topic fails a whole request
ARGS_CHARS_PER_CONNECTION = 21_000
CONNECTIONS_PER_5_MIN = 500  # new ones, per host name
CONNECTIONS_PER_IP = 1_000  # market data, counted per market
REQUEST_ID_MAX = 36
CLIENT_ID_MAX = 36

# ---- how much ----

# per account and second, one bucket per op and market; VIP accounts have more: read the reply's header
ORDER_LIMITS = {
    (LINEAR, "order.create"): 10,
    (LINEAR, "order.amend"): 10,
    (LINEAR, "order.cancel"): 10,
    (SPOT, "order.create"): 20,
    (SPOT, "order.amend"): 10,
    (SPOT, "order.cancel"): 20,
}
REST_QUERIES = 50  # a second, for each of the lists of orders, trades, positions and balances
_KINDS = {
    "order.create": BudgetKind.BUDGET_ORDERS,
    "order.cancel": BudgetKind.BUDGET_CANCELS,
    "order.amend": BudgetKind.BUDGET_AMENDS,
}
# market -> what the venue allows, before an answer's header says otherwise
BUDGETS: dict[int, list[BudgetRow]] = {
    market: [
        *(
            BudgetRow(int(_KINDS[op]), SECOND, limit=limit)
            for (where, op), limit in ORDER_LIMITS.items()
            if where == market
        ),
        BudgetRow(int(BudgetKind.BUDGET_WEIGHT), 5 * SECOND, limit=600),  # REST requests of one address
    ]
    for market in (SPOT, LINEAR)
}
TRADE_REQUESTS_PER_SECOND_PER_IP = 3_000
REST_REQUESTS_PER_5_S_PER_IP = 600
REST_BAN_NS = 600 * SECOND  # after HTTP 403 "access too frequent": no REST at all
OPEN_ORDERS = {LINEAR: 500, SPOT: 500}  # linear: per symbol
STOP_ORDERS = {LINEAR: 10, SPOT: 30}  # conditional ones among them, per symbol
RETENTION_NS = 24 * 3600 * SECOND  # an order that ended without a fill is known for so long
TRADES_WINDOW_NS = 7 * 24 * 3600 * SECOND  # of one query of trades


# ---- what an answer proves ----

_NO, _DOUBT = int(Outcome.REFUSED), int(Outcome.UNCERTAIN)
_G = ErrorGroup

# (group, outcome of a new order, of a cancel, of an amend, codes). REFUSED proves that the request had no
# effect, UNCERTAIN proves nothing: ask by client id. Every code that is not here is UNCERTAIN. Source:
# docs/v5/error.mdx.
_ROWS: tuple[tuple[ErrorGroup, int, int, int, str], ...] = (
    # the venue itself does not know, or did not say; 20006: an earlier request with this id may have run
    (_G.GROUP_UNKNOWN, _DOUBT, _DOUBT, _DOUBT, """
        -1 10000 10016 10019 20006 40004 110079 170001 170007 170032 170035 170144 170146 170147 170149
        170150 170212 170234 170310 170311 500000"""),
    # documented as not processed: the limit is checked before the order system
    (_G.GROUP_LIMIT, _NO, _NO, _NO, "10006 10018 10403 20003 170005 170222"),
    # overload is found out anywhere on the way
    (_G.GROUP_LIMIT, _DOUBT, _NO, _DOUBT, "429 10429"),
    (_G.GROUP_CLOCK, _NO, _NO, _NO, "10002"),
    # key, permission, region: stop and mend
    (_G.GROUP_ACCESS, _NO, _NO, _NO, """
        -2015 10003 10004 10005 10007 10008 10009 10010 10024 10027 10028 10029 33004 110123 110124 110125
        110132 170209 170241 170348"""),
    # 10001 is the venue's word for any bad value, a size off the step among them
    (_G.GROUP_FILTER, _NO, _NO, _NO, """
        10001 30208 30209 110003 110009 110020 110022 110064 110094 110120 110121 170124 170132 170133
        170134 170136 170137 170140 170148 170192 170193 170194 170197 170198 170228 170229 170313 170341
        170371 170372 170381 170382 170810"""),
    (_G.GROUP_FUNDS, _NO, _NO, _NO, """
        30256 110004 110006 110007 110011 110012 110014 110021 110039 110040 110044 110045 110046 110051
        110052 110053 110085 110086 110089 110090 110131 170033 170034 170131 170207 3400139"""),
    # halted, before delisting (only reducing is allowed), frozen for a while
    (_G.GROUP_MARKET, _NO, _NO, _NO, """
        30228 110023 110042 110063 110066 110074 110100 170031 170151 170157 170159 170206 170210
        3100197"""),
    # phases: a call auction, in a part of which not even cancels are taken; limit-maker orders alone
    (_G.GROUP_AUCTION, _NO, _NO, _NO, "110095 110096 110097 110098 110099"),
    (_G.GROUP_POST_PHASE, _NO, _NO, _NO, "110103 170217"),
    (_G.GROUP_POST_ONLY, _NO, _NO, _NO, "110119 170218 170355"),
    # parameters, reduce-only state, leverage and modes, slippage, take profit
    (_G.GROUP_OTHER, _NO, _NO, _NO, """
        10017 10404 110013 110017 110024 110028 110029 110034 110057 110058 110059 110060 110061 110092
        110093 110108 110109 110118 170036 170037 170105 170115 170116 170117 170121 170130 170201 170202
        170203 170204 170344 170359 3200403"""),
    # too late, or before its order: proves nothing else
    (_G.GROUP_NOT_OPEN, _DOUBT, _NO, _NO, """
        110001 110008 110010 110019 170139 170142 170143 170145 170190 170191 170213 170312 181017"""),
    # an order with this id exists: good news after a doubtful send, so never a proof of absence
    (_G.GROUP_DUPLICATE, _DOUBT, _DOUBT, _DOUBT, "10014 110072 170141"),
    # no change, or logged in already: no answers to orders
    (_G.GROUP_OTHER, _DOUBT, _DOUBT, _DOUBT, "20001 34040 110025 110026 110027 110043"),
)  # fmt: skip

# What the native decoder is given: rows of (code, outcome of a NEW, of a cancel, of an amend, group).
CODES: list[tuple[int, int, int, int, int]] = sorted(
    (int(code), create, cancel, amend, int(group))
    for group, create, cancel, amend, codes in _ROWS
    for code in codes.split()
)

# Where one code means several things, words of its text tell them apart: (code, words in lower case, group).
TEXTS: tuple[tuple[int, str, ErrorGroup], ...] = (
    (10001, "position mode", _G.GROUP_OTHER),
    (10001, "position idx", _G.GROUP_OTHER),  # hedge mode where one-way was expected, or the reverse
    (10001, "unchanged", _G.GROUP_OTHER),  # an amend to what it is already
    (10003, "too many", _G.GROUP_LIMIT),  # connections of one account, not the key
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a code means: the outcomes of requests that got it, and its ErrorGroup."""

    create: int
    cancel: int
    amend: int
    group: int


UNKNOWN = Verdict(_DOUBT, _DOUBT, _DOUBT, int(_G.GROUP_UNKNOWN))
TAKEN = Verdict(int(Outcome.ACCEPTED), int(Outcome.ACCEPTED), int(Outcome.ACCEPTED), int(_G.GROUP_NONE))
ERRORS: dict[int, Verdict] = {code: Verdict(*rest) for code, *rest in CODES}


def verdict(code: int) -> Verdict:
    """What `retCode` proves. Every code that is not in the table proves nothing."""
    return TAKEN if code == 0 else ERRORS.get(code, UNKNOWN)


def group(code: int, text: str = "") -> int:
    """The ErrorGroup of a code that came with these words."""
    low = text.lower()
    for listed, words, found in TEXTS:
        if listed == code and words in low:
            return int(found)
    return verdict(code).group


def is_stale_login(code: int | None, text: str) -> bool:
    """Is it the time in the login that was refused? Nothing else in that frame can be a wrong parameter."""
    low = text.lower()
    return code in (10001, 10002) or (
        code is None and any(x in low for x in ("expire", "timestamp", "param"))
    )


def login_can_be_retried(code: int | None, text: str, is_trade: bool) -> bool:
    """Can the same credentials work later? On the trade connection 10003 also means too many connections.

    A clock that is off can be measured again; a wrong key, signature or address stays wrong.
    """
    if is_trade and code == 10003:
        return "key" not in text.lower()
    if is_stale_login(code, text):
        return True
    return code is not None and group(code, text) in (_G.GROUP_UNKNOWN, _G.GROUP_LIMIT, _G.GROUP_CLOCK)

"""Binance as data: endpoints, stream routes and names, limits, and what each error code says of a request.

Facts, hardly any behaviour. What the status or the text of an answer decides is in the native decoder
(`ext.venues.binance.error_words`), what its code decides is in `CODES` here, and nothing is in both. Hosts
are defaults that a config may replace. Sources: binance-spot-api-docs `README.md`, `rest-api.md`,
`web-socket-api.md`, `web-socket-streams.md`, `errors.md`; USD-M developer pages "general-info",
"error-code", "Important-WebSocket-Change-Notice" (routed stream paths, since 2026-04-23).
"""

from dataclasses import dataclass

from ext.records import Action, BudgetKind, ErrorGroup, Market, Outcome
from ext.venues.binance import error_words
from node.venues.values import BudgetRow

BINANCE_SPOT, BINANCE_USDM = int(Market.BINANCE_SPOT), int(Market.BINANCE_USDM)
REFUSED, UNCERTAIN, ACCEPTED = Outcome.REFUSED, Outcome.UNCERTAIN, Outcome.ACCEPTED
SECOND = 1_000_000_000
DAY = 86_400 * SECOND


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Base addresses of one product in one environment; paths are in `Product`."""

    rest: str
    stream: str  # market data; USD-M: also the private stream, below /private
    api: str  # orders; spot: also the private stream


ENDPOINTS = {
    (BINANCE_SPOT, "live"): Endpoints(
        "https://api.binance.com", "wss://stream.binance.com:9443", "wss://ws-api.binance.com:443"
    ),
    (BINANCE_SPOT, "testnet"): Endpoints(
        "https://testnet.binance.vision",
        "wss://stream.testnet.binance.vision",
        "wss://ws-api.testnet.binance.vision",
    ),
    (BINANCE_SPOT, "demo"): Endpoints(
        "https://demo-api.binance.com", "wss://demo-stream.binance.com", "wss://demo-ws-api.binance.com"
    ),
    (BINANCE_USDM, "live"): Endpoints(
        "https://fapi.binance.com", "wss://fstream.binance.com", "wss://ws-fapi.binance.com"
    ),
    (BINANCE_USDM, "testnet"): Endpoints(
        "https://demo-fapi.binance.com", "wss://demo-fstream.binance.com", "wss://testnet.binancefuture.com"
    ),
}
ENDPOINTS[BINANCE_USDM, "demo"] = ENDPOINTS[BINANCE_USDM, "testnet"]  # one and the same

# Every host that the venue names for a product in an environment: where a key of it may go.
_USDM_PRACTICE = frozenset(
    {
        "demo-fapi.binance.com",
        "testnet.binancefuture.com",
        "demo-fstream.binance.com",
        "fstream.binancefuture.com",
    }
)
OFFICIAL_HOSTS: dict[tuple[int, str], frozenset[str]] = {
    (BINANCE_SPOT, "live"): frozenset(
        {f"{x}.binance.com" for x in ("api", "api-gcp", "api1", "api2", "api3", "api4", "ws-api", "stream")}
        | {"stream-sbe.binance.com", "data-api.binance.vision", "data-stream.binance.vision"}
    ),
    (BINANCE_SPOT, "testnet"): frozenset(
        {"testnet.binance.vision"}
        | {f"{x}.testnet.binance.vision" for x in ("api1", "ws-api", "stream", "stream-sbe")}
    ),
    (BINANCE_SPOT, "demo"): frozenset(
        {f"demo-{x}.binance.com" for x in ("api", "ws-api", "stream", "stream-sbe")}
    ),
    (BINANCE_USDM, "live"): frozenset({f"{x}.binance.com" for x in ("fapi", "ws-fapi", "fstream")}),
    (BINANCE_USDM, "testnet"): _USDM_PRACTICE,
    (BINANCE_USDM, "demo"): _USDM_PRACTICE,
}


@dataclass(frozen=True, slots=True)
class Product:
    """What differs between spot and USD-M besides the hosts."""

    name: str
    rest: str  # prefix of REST paths
    api: str  # path of the WebSocket API
    routed: bool  # stream paths begin with a route: /public, /market, /private
    depth_limits: tuple[int, ...]  # allowed; empty = any up to `depth_max`
    depth_max: int
    depth_weights: tuple[tuple[int, int], ...]  # (limit up to, weight)
    streams_max: int  # per connection
    inbound_per_s: int  # client messages per second and connection, control frames included
    server_ping_s: int
    pong_within_s: int
    post_only: str  # how a post-only limit order is spelled


PRODUCTS = {
    BINANCE_SPOT: Product(
        name="spot",
        rest="/api/v3",
        api="/ws-api/v3",
        routed=False,
        depth_limits=(),
        depth_max=5000,
        depth_weights=((100, 5), (500, 25), (1000, 50), (5000, 250)),
        streams_max=1024,
        inbound_per_s=5,
        server_ping_s=20,
        pong_within_s=60,
        post_only="LIMIT_MAKER",
    ),
    BINANCE_USDM: Product(
        name="usdm",
        rest="/fapi/v1",
        api="/ws-fapi/v1",
        routed=True,
        depth_limits=(5, 10, 20, 50, 100, 500, 1000),
        depth_max=1000,
        depth_weights=((50, 2), (100, 5), (500, 10), (1000, 20)),
        streams_max=200,  # 1024 in newer pages; unverified, so the smaller
        inbound_per_s=10,
        server_ping_s=180,
        pong_within_s=600,
        post_only="GTX",
    ),
}

CONNECTION_LIFE_H = 24  # the venue cuts a connection of this age
REPLACE_AT_H = 23  # and this is when we replace it
ATTEMPTS = (240, 300 * SECOND)  # to connect, of one machine: the venue takes 300 in that time
LISTEN_KEY_KEEPALIVE_MIN = 30  # it dies after 60
# Until when an order that closed without a fill can be asked for; after that -2026 on spot, -2013 on USD-M.
RETENTION_NS = {BINANCE_SPOT: 90 * DAY, BINANCE_USDM: 3 * DAY}

# Limits as documented or seen; the numbers in force are in the answers (`rateLimits`, headers) and
# exchangeInfo. REQUEST_WEIGHT counts per address, ORDERS per account. Windows are aligned to the clock.
ORDERS, WEIGHT = int(BudgetKind.BUDGET_ORDERS), int(BudgetKind.BUDGET_WEIGHT)
BUDGETS = {
    BINANCE_SPOT: (
        BudgetRow(WEIGHT, 60 * SECOND, limit=6000),
        BudgetRow(ORDERS, 10 * SECOND, limit=50),
        BudgetRow(ORDERS, DAY, limit=160_000),
    ),
    BINANCE_USDM: (
        BudgetRow(WEIGHT, 60 * SECOND, limit=2400),
        BudgetRow(ORDERS, 10 * SECOND, limit=300),
        BudgetRow(ORDERS, 60 * SECOND, limit=1200),
    ),
}

# Status of a symbol, in the words that all venues share (values.InstrumentRow).
STATUSES = {
    "TRADING": "trading",
    "HALT": "halt",
    "BREAK": "halt",
    "END_OF_DAY": "halt",
    "CANCEL_ONLY": "cancel_only",
    "PENDING_TRADING": "halt",
    "PRE_DELIVERING": "delisting",
    "DELIVERING": "settling",
    "DELIVERED": "delisting",
    "PRE_SETTLE": "settling",
    "SETTLING": "settling",
    "CLOSE": "delisting",
}

NEVER_MS = 4_133_404_800_000  # `deliveryDate` of a perpetual that goes on: 2100-12-25


def delivered_ns(date_ms: object) -> int:
    """When a perpetual will be delisted, by its `deliveryDate`; 0 = nothing is announced."""
    is_time = isinstance(date_ms, int) and not isinstance(date_ms, bool)
    return date_ms * 1_000_000 if is_time and 0 < date_ms < NEVER_MS else 0  # type: ignore[operator]


# Streams that only speak when something happens: silence says nothing about their health.
EVENT_STREAMS = ("trade", "aggTrade", "blockTrade", "forceOrder", "contractInfo")


def stream_name(symbol: str, channel: str) -> str:
    """`BTCUSDT`, `depth@100ms` -> `btcusdt@depth@100ms`. Channels are named as the venue names them."""
    return f"{symbol.lower()}@{channel}"


def stream_channel(stream: str) -> str:
    """`btcusdt@depth5@100ms` -> `depth5`, `!forceOrder@arr` -> `forceOrder`."""
    channel = stream[1:] if stream.startswith("!") else stream.partition("@")[2] or stream
    return channel.partition("@")[0]


def stream_route(market: int, stream: str) -> str:
    """Route a stream belongs to: "public" or "market" on USD-M, "" on spot.

    A stream on the wrong route is acknowledged and stays silent.
    """
    if not PRODUCTS[market].routed:
        return ""
    head = stream_channel(stream)
    is_book = head in ("bookTicker", "rpiDepth", "trade") or head.startswith("depth")
    return "public" if is_book else "market"


def stream_path(market: int, route: str, combined: bool) -> str:
    """Path of a stream connection without any stream in it: `/stream`, `/public/ws`, ..."""
    tail = "/stream" if combined else "/ws"
    return f"/{route}{tail}" if route else tail


def depth_weight(market: int, limit: int) -> int:
    """Request weight of a depth snapshot."""
    return next(weight for upto, weight in PRODUCTS[market].depth_weights if limit <= upto)


# ---- errors ------------------------------------------------------------------------------------------
# What each code proves of a NEW, a cancel and an amend, and its group. The same code can mean different
# things on the two products. What is not here is UNCERTAIN: the order keeps its exposure until somebody has
# looked.

NO, MAYBE = int(REFUSED), int(UNCERTAIN)
NONE, LIMIT, ACCESS, CLOCK, FILTER, FUNDS, HALTED, NOT_OPEN, DUPLICATE, UNKNOWN, POST_ONLY, OTHER, _, _ = (
    int(x) for x in ErrorGroup
)
Row = tuple[int, int, int, int, int]  # code, outcome of a NEW, of a cancel, of an amend; ErrorGroup


def _no(group: int, *codes: int) -> list[Row]:
    """Codes that mean "not executed", whatever was asked for."""
    return [(code, NO, NO, NO, group) for code in codes]


_BOTH: list[Row] = [
    # -1003 too many requests or banned, -1008 throttled by the system, -1015 too many orders
    *_no(LIMIT, -1003, -1008, -1015),
    *_no(HALTED, -1016, -1121),  # service stopped; no such symbol
    *_no(CLOCK, -1021),
    # not authorised; signature; key, its format, its permission or address
    *_no(ACCESS, -1002, -1022, -2008, -2014, -2015),
    *_no(FILTER, -1111),  # too much precision
    *_no(OTHER, *range(-1106, -1099), -1108, -1114, *range(-1120, -1114), -1128, -1130, -1014),  # parameters
    *_no(OTHER, -2010),  # new order rejected: the text says why
    (-1000, MAYBE, MAYBE, MAYBE, UNKNOWN),  # "unknown error"
    (-1006, MAYBE, MAYBE, MAYBE, UNKNOWN),  # "unexpected response; execution status unknown"
    (-1007, MAYBE, MAYBE, MAYBE, UNKNOWN),  # "timeout; execution status unknown"
    # USD-M: only the documented text means "failed" (the native side knows it); spot: no promise at all
    (-1001, MAYBE, MAYBE, MAYBE, UNKNOWN),
    # no such order (open): after a NEW it would make no sense
    (-2011, MAYBE, NO, NO, NOT_OPEN),
    (-2013, MAYBE, NO, NO, NOT_OPEN),
]
_SPOT: list[Row] = [
    *_no(FILTER, -1013),
    *_no(LIMIT, -1034),  # too many connections or attempts
    *_no(OTHER, -1134, -1135, -1145, -1151, -1194, -1210, -1211),
    *_no(HALTED, -1220),  # symbol status does not match
    *_no(ACCESS, -1193, -2028),  # no session; a key of the wrong type for one
    *_no(OTHER, -2038),  # amend rejected: too many, larger, or no change
    (-2026, MAYBE, NO, NO, NOT_OPEN),  # archived after 90 days
    (-2039, MAYBE, NO, NO, NOT_OPEN),  # client id and order id are of two orders
    # order.cancelReplace, partly (-2021) or wholly (-2022) failed: its two legs say what became of each
    (-2021, MAYBE, MAYBE, MAYBE, OTHER),
    (-2022, MAYBE, MAYBE, MAYBE, OTHER),
]
_USDM: list[Row] = [
    *_no(FUNDS, -2018, -2019, -2024, -2027, -2028),  # balance, margin, position, leverage
    *_no(OTHER, -2020, -2021, -2022, -2026),  # no fill; would trigger at once; reduce-only
    # account in liquidation; it may not place orders, or may only reduce
    *_no(ACCESS, -2023, -4087, -4088, -4192, -4400, -4401),
    # open orders; price, quantity, tick, step, percent price, notional
    *_no(FILTER, -2025, *range(-4005, -4000), -4013, -4014, -4016, -4023, -4024, -4131, -4164, -4183, -4184),
    *_no(OTHER, -4015, -4061, -4062),  # length of a client id; position side; reduce-only in hedge mode
    # This id is on an open order: perhaps on this very one, by another copy of the request.
    (-4116, MAYBE, NO, NO, DUPLICATE),
    *_no(OTHER, -4117, -4118, -4120, *range(-4139, -4134), -4142, -4161, *range(-4209, -4201)),
    *_no(FILTER, -4045),  # too many stop orders
    *_no(
        HALTED, -4108, -4140, -4141, -4402
    ),  # symbol not open for positions, closed, barred for this account
    *_no(OTHER, -4403),  # leverage barred
    *_no(OTHER, -5021, *range(-5027, -5023), *range(-5041, -5036)),  # fill-or-kill; modify; parameters
    *_no(POST_ONLY, -5022),
    *_no(CLOCK, -5028),  # came to the engine outside of recvWindow
]
CODES: dict[int, list[Row]] = {BINANCE_SPOT: _BOTH + _SPOT, BINANCE_USDM: _BOTH + _USDM}
_ROWS = {market: {row[0]: row for row in rows} for market, rows in CODES.items()}


def verdict(market: int, action: int, status: int, code: int, text: str = "") -> tuple[int, int]:
    """(Outcome, ErrorGroup) of a request of this records.Action that was answered so: what the native
    decoder says."""
    fate, group = error_words(market, status, code, text)
    if fate is not None:
        return fate, group
    row = _ROWS[market].get(code, (code, MAYBE, MAYBE, MAYBE, UNKNOWN))
    at = {int(Action.CANCEL): 2, int(Action.AMEND): 3}.get(int(action), 1)
    return row[at], group or row[4]


# Errors of a logon that trying again cannot mend, and what each is about. No word of the venue's is in here.
LOGON_ERRORS = {
    -1022: "secret: the signature is wrong",
    -2008: "key: unknown (perhaps of another environment)",
    -2014: "key: not in the format of a key",
    -2015: "key: unknown (perhaps of another environment), this address refused, or a permission missing",
    -2028: "key: this type of key cannot log on to a session; it needs Ed25519",
    -1193: "key: this type of key cannot log on to a session; it needs Ed25519",
    -1002: "key: not authorised",
    -1100: "request: a parameter is malformed",
    -1102: "request: a parameter is missing",
    -1104: "request: a parameter is unknown",
    -1105: "request: a parameter is empty",
}
LISTEN_KEY_GONE = -1125
ORDER_NOT_FOUND = -2013
ARCHIVED = -2026

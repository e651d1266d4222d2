"""Binance as data: endpoints, stream routes and names, limits, and what each error code says of a request.

Facts, no behaviour. Hosts are defaults that a config may replace. Sources: binance-spot-api-docs
`README.md`, `rest-api.md`, `web-socket-api.md`, `web-socket-streams.md`, `errors.md`; USD-M developer pages
"general-info", "error-code", "Important-WebSocket-Change-Notice" (routed stream paths, since 2026-04-23).
"""

from dataclasses import dataclass

from ext.records import Market, Outcome

BINANCE_SPOT, BINANCE_USDM = int(Market.BINANCE_SPOT), int(Market.BINANCE_USDM)
REFUSED, UNCERTAIN, ACCEPTED = Outcome.REFUSED, Outcome.UNCERTAIN, Outcome.ACCEPTED


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Base addresses of one product in one environment; paths are in `Product`."""

    rest: str
    stream: str
    api: str


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
LISTEN_KEY_KEEPALIVE_MIN = 30  # it dies after 60
RECV_WINDOW_MS = 1000  # how late an order may arrive; must equal what `ext.venues.binance` writes

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
# Codes that mean "definitely not executed", by product. The same code can mean different things on the two.
# What is not here is UNCERTAIN: the order keeps its exposure until somebody has looked.

_BOTH = {
    -1003: "too many requests, or banned",
    -1008: "server overloaded: request throttled",
    -1014: "unknown order composition",
    -1015: "too many orders",
    -1016: "service shutting down",
    -1021: "timestamp outside of recvWindow",
    -1022: "bad signature",
    -1100: "illegal characters",
    -1101: "too many parameters",
    -1102: "mandatory parameter missing",
    -1103: "unknown parameter",
    -1104: "unread parameters",
    -1105: "parameter empty",
    -1106: "parameter not required",
    -1108: "bad asset or account",
    -1111: "too much precision",
    -1114: "time in force not required",
    -1115: "invalid time in force",
    -1116: "invalid order type",
    -1117: "invalid side",
    -1118: "empty new client order id",
    -1119: "empty original client order id",
    -1120: "bad interval",
    -1121: "invalid symbol",
    -1128: "optional parameters combined badly",
    -1130: "invalid parameter value",
    -2010: "new order rejected",
    -2014: "bad API key format",
    -2015: "bad API key, IP or permission",
}
_SPOT = {
    -1013: "filter failure",
    -1034: "too many connections",
    -1134: "strategyType too small",
    -1135: "malformed JSON",
    -1145: "invalid cancelRestrictions",
    -1151: "symbol listed twice",
    -1193: "session not authenticated",
    -1194: "invalid time unit",
    -1210: "invalid peg",
    -1211: "invalid peg",
    -1220: "symbol status does not match",
}
_USDM = {
    -1001: "internal error; unable to process",
    -2018: "balance not sufficient",
    -2019: "margin not sufficient",
    -2020: "unable to fill",
    -2021: "would trigger immediately",
    -2022: "reduce-only rejected",
    -2023: "account in liquidation",
    -2024: "position not sufficient",
    -2025: "too many open orders",
    -2026: "order type not supported with reduce-only",
    -2027: "above the maximum position at this leverage",
    -2028: "leverage too small for margin",
    **dict.fromkeys((-4002, -4003, -4004, -4005), "price or quantity out of range"),
    **dict.fromkeys((-4013, -4014, -4015, -4016), "price filter, tick size or client id"),
    -4023: "quantity not on step",
    -4024: "price below the percent filter",
    -4061: "position side does not match",
    -4062: "reduce-only not allowed in hedge mode",
    -4087: "reduce-only permission",
    -4088: "no permission to place orders",
    -4116: "duplicate client order id",
    -4117: "order pending trigger",
    -4118: "reduce-only margin check failed",
    -4120: "conditional order on the normal endpoint",
    -4131: "market order outside of percent price",
    **dict.fromkeys(range(-4142, -4134), "conditional order parameters"),
    -4161: "leverage reduction refused",
    -4164: "notional too small",
    -4183: "price above the highest allowed",
    -4184: "price below the lowest allowed",
    -4192: "cooling-off period",
    **dict.fromkeys(range(-4209, -4201), "leverage change refused"),
    -4400: "trading-rule violation: reduce-only for a while",
    **dict.fromkeys((-4401, -4402, -4403), "compliance restriction"),
    -5021: "fill-or-kill could not be filled",
    -5022: "post-only would take",
    -5024: "modify not allowed now",
    -5025: "only limit orders can be modified",
    -5026: "too many modifications",
    -5027: "nothing to modify",
    -5028: "arrived at the engine outside of recvWindow",
    **dict.fromkeys(range(-5041, -5036), "priceMatch, STP or goodTillDate parameters"),
}
ERRORS = {BINANCE_SPOT: _BOTH | _SPOT, BINANCE_USDM: _BOTH | _USDM}

# Refused although the status is 5xx: documented as "not executed".
REFUSED_AT_5XX = {BINANCE_SPOT: frozenset({-1008}), BINANCE_USDM: frozenset({-1008, -1001})}
REFUSED_TEXT_AT_503 = {BINANCE_SPOT: frozenset(), BINANCE_USDM: frozenset({"Service Unavailable."})}
REFUSED_STATUS = frozenset({403, 418, 429})  # stopped at the door: firewall, ban, rate limit

# Errors of a logon that trying again cannot mend.
KEY_ERRORS = frozenset({-1022, -1193, -2014, -2015, -2028, -1100, -1102, -1104, -1105})


def outcome(market: int, status: int, code: int, message: str = "") -> Outcome:
    """What became of a request that was answered so; the native decoder's short list gives the same."""
    if status == 200 and code == 0:
        return ACCEPTED
    if code in REFUSED_AT_5XX[market] or (status == 503 and message in REFUSED_TEXT_AT_503[market]):
        return REFUSED
    if status >= 500 or status < 400:
        return UNCERTAIN
    return REFUSED if status in REFUSED_STATUS or code in ERRORS[market] else UNCERTAIN

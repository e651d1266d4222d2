"""Who may ask what, and how often: access, request weight and order counts of the simulated Binance.

Weight is counted by address, REST and WebSocket API together; orders by account, over all its keys and
transports. Windows are fixed and aligned to the clock. On spot the order counter is the count of unfilled
orders: the first fill of an order gives some back.

Sources: binance-spot-api-docs `rest-api.md`, `web-socket-api.md` (rate limits),
`faqs/order_count_decrement.md`, `CHANGELOG.md` 2026-04-02 (refund); USD-M developer page "general-info".
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from node.venues.binance.fake_call import Call, Reject, check_signature, check_time, no_access
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM, PRODUCTS
from node.venues.fakes import MS, FakeOrder, RateLimited, Refused
from node.venues.ledger import Account

if TYPE_CHECKING:
    from node.venues.binance.fake import BinanceFake

SECOND = 1000 * MS
MINUTE_NS = 60 * SECOND
BAN_AFTER = 20  # requests that ignore a 429 within its window, before the address is banned
ORDER_LIMITS = {
    BINANCE_SPOT: (("SECOND", 10, 10 * SECOND, 100), ("DAY", 1, 86400 * SECOND, 200_000)),
    BINANCE_USDM: (("SECOND", 10, 10 * SECOND, 300), ("MINUTE", 1, MINUTE_NS, 1200)),
}
CONNECT_WEIGHT = {BINANCE_SPOT: 2, BINANCE_USDM: 5}
CONNECTIONS_MAX = 300  # attempts per 5 minutes
WEIGHT_LIMIT = {BINANCE_SPOT: 6000, BINANCE_USDM: 2400}
FIRST_FILL = {False: 1, True: 5}  # by is_maker: what the first fill takes off the spot counter
PUBLIC, KEY, READ, TRADE = "", "key", "read", "trade"
API_KEY = re.compile(r"[\x21-\x7e]{1,256}")

Handler = Callable[["BinanceFake", Call], Any]
Weight = int | Callable[["BinanceFake", Call], int]


@dataclass(frozen=True)
class Route:
    """One request of the API: what answers it, its weight, who may, and whether success costs no weight."""

    run: Handler
    weight: Weight = 1
    access: str = PUBLIC
    orders: bool = False  # its answer tells the order counters
    free: bool = False  # costs its weight only where it fails (spot orders)


class Gate:
    """The counters of one venue."""

    def __init__(self, venue: BinanceFake):
        self.venue = venue
        self._counts: dict[tuple, tuple[int, int]] = {}  # name, window -> (window's number, count)
        self._weights = {
            market: venue.limiter(f"{PRODUCTS[market].name}.weight", limit, MINUTE_NS, ban_after=BAN_AFTER)
            for market, limit in WEIGHT_LIMIT.items()
        }
        self._attempts = venue.limiter("connections", CONNECTIONS_MAX, 5 * MINUTE_NS)

    # ---- windows ----

    def count(self, name: tuple, window_ns: int, by: int, now_ns: int) -> int:
        """Add to the counter of the present window (never below 0); returns its value."""
        number, key = now_ns // window_ns, (name, window_ns)
        at, count = self._counts.get(key, (number, 0))
        count = max(0, (count if at == number else 0) + by)
        self._counts[key] = number, count
        return count

    def weigh(self, call: Call, weight: int) -> None:
        """Charge an address. Raises 429 -1003 beyond the limit, and 418 for one that goes on regardless."""
        limiter = self._weights[call.market]
        try:
            limiter.charge(call.ip, weight, call.now_ns)
        except RateLimited as limited:
            raise rate_reject(limited, call.ip, limiter.limit, call.now_ns) from None

    def connect(self, market: int, ip: str, now_ns: int, weight: int | None = None) -> None:
        """A connection is opened: attempts are limited by address, and the WebSocket API has a weight. Raises
        Refused."""
        try:
            self._attempts.charge((market, ip), 1, now_ns)
            self._weights[market].charge(ip, CONNECT_WEIGHT[market] if weight is None else weight, now_ns)
        except RateLimited as limited:
            raise Refused(418 if limited.banned else 429, "Too many requests") from None

    def used(self, call: Call) -> int:
        return self._weights[call.market].used(call.ip, call.now_ns)

    def weight_row(self, call: Call) -> dict:
        row = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}
        return row | {"limit": WEIGHT_LIMIT[call.market], "count": self.used(call)}

    # ---- orders ----

    def check_orders(self, call: Call, n: int = 1) -> None:
        """Raises 429 -1015 where `n` more orders are too many now."""
        name = f"{PRODUCTS[call.market].name}.orders"
        fault = self.venue.faults.hit("ratelimit", call.now_ns, limiter=name, op=call.name)
        for interval, number, window_ns, limit in ORDER_LIMITS[call.market]:
            most = limit if fault is None else min(limit, int(fault.get("limit", 0)))
            if self._orders(call.account, call.market, window_ns, 0, call.now_ns) + n > most:
                window = f"{number} {interval}"
                reject = Reject(
                    -1015, f"Too many new orders; current limit is {most} orders per {window}.", 429
                )
                wait_ns = window_ns - call.now_ns % window_ns
                reject.retry_after_ns = wait_ns if fault is None else fault.ns("retry_after", wait_ns)
                raise reject

    def count_orders(self, call: Call, n: int = 1) -> None:
        for _, _, window_ns, _ in ORDER_LIMITS[call.market]:
            self._orders(call.account, call.market, window_ns, n, call.now_ns)

    def first_fill(self, account: Account, order: FakeOrder, is_maker: bool, now_ns: int) -> None:
        """The first fill of a spot order makes room for others."""
        for _, _, window_ns, _ in ORDER_LIMITS[BINANCE_SPOT]:
            self._orders(account, BINANCE_SPOT, window_ns, -FIRST_FILL[is_maker], now_ns)

    def _orders(self, account: Account | None, market: int, window_ns: int, by: int, now_ns: int) -> int:
        owner = account.owner if account is not None else 0
        return self.count(("orders", market, owner), window_ns, by, now_ns)

    def order_rows(self, call: Call) -> list[dict]:
        return [
            {"rateLimitType": "ORDERS", "interval": interval, "intervalNum": n, "limit": limit}
            | {"count": self._orders(call.account, call.market, window_ns, 0, call.now_ns)}
            for interval, n, window_ns, limit in ORDER_LIMITS[call.market]
        ]

    def headers(self, call: Call) -> dict[str, str]:
        """Counters of a REST answer."""
        out = {"X-MBX-USED-WEIGHT-1M": str(self.used(call))}
        if call.is_spot:
            out["X-MBX-USED-WEIGHT"] = out["X-MBX-USED-WEIGHT-1M"]
        if call.has_order_counts:
            for row in self.order_rows(call):
                out[f"X-MBX-ORDER-COUNT-{row['intervalNum']}{row['interval'][0]}"] = str(row["count"])
        return out

    # ---- access ----

    def admit(self, route: Route, call: Call) -> None:
        """Everything that is checked before a request is looked at. Raises Reject."""
        weight = route.weight if isinstance(route.weight, int) else route.weight(self.venue, call)
        self.weigh(call, 0 if route.free else weight)
        call.has_order_counts = route.orders
        if route.access == PUBLIC:
            return
        self.identify(call, route.access)
        if route.access == KEY:
            return
        self.authenticate(call)

    def failed(self, route: Route, call: Call) -> None:
        """What costs nothing where it succeeds has its price now; who is over the limit is not told again."""
        if route.free and isinstance(route.weight, int):
            with contextlib.suppress(Reject):
                self.weigh(call, route.weight)

    def identify(self, call: Call, access: str) -> None:
        """Find the account of the request's key, and whether the key may do this. Raises 401."""
        api_key = call.api_key or _session_key(call)
        found = self.venue.key(api_key) if api_key else None
        if not api_key and not self.venue.credentials_required:
            call.account, call.key = self.venue.default_identity()
            call.is_trusted = True
            return
        if not API_KEY.fullmatch(api_key):
            raise Reject(-2014, "API-key format invalid.", 401)
        if found is None:
            raise no_access()
        call.account, call.key = found
        right = TRADE if access == TRADE else READ
        if self.venue.why_not(call.key, call.now_ns, right, call.ip):
            raise no_access()

    def authenticate(self, call: Call) -> None:
        """Signature and time of a signed request; a session that is logged on needs no signature."""
        signs = call.is_rest or call.has("signature") or call.has("apiKey") or not _session_key(call)
        if signs and not call.is_trusted:
            call.need("timestamp", "signature")
            check_signature(call, call.key)
        check_time(call)


def rate_reject(limited: RateLimited, ip: str, limit: int, now_ns: int) -> Reject:
    """The answer to too many requests."""
    if limited.banned:
        until_ms = (now_ns + limited.retry_after_ns) // MS
        text = f"Way too much request weight used; IP banned until {until_ms}. "
        reject = Reject(-1003, text + "Please use WebSocket Streams for live updates to avoid bans.", 418)
    else:
        text = f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
        reject = Reject(
            -1003, text + "Please use WebSocket Streams for live updates to avoid polling the API.", 429
        )
    reject.retry_after_ns = limited.retry_after_ns
    return reject


def _session_key(call: Call) -> str:
    return call.connection.notes.get("session", "") if call.connection is not None else ""

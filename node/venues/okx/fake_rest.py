"""The REST door of the simulated OKX: who is asking, how often, and which answer it is.

Sources: docs-v5 "REST authentication", "Rate limits", "Transaction timeouts", and the table of each call.
Requests are signed over time stamp, method, path with query and body, exactly as sent.
"""

import hmac
import re
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from node.venues.fakes import MS
from node.venues.ledger import Account
from node.venues.okx.fake_algos import AlgoSide
from node.venues.okx.fake_errors import TEXTS, Problem
from node.venues.okx.fake_rows import SECOND, reply

WINDOW_NS = 30 * SECOND
STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?)Z")
MESSAGES = {"1": "All operations failed", "2": "Bulk operation partially succeeded"}


@dataclass(frozen=True)
class Route:
    """One call. `limit` requests per `interval_ns`, counted per `rule`: "ip", "user" or "instrument"."""

    handler: str
    limit: int = 20
    rule: str = "ip"
    interval_ns: int = 2 * SECOND
    right: str = ""  # "" = public, "read" or "trade"


# path: handler [limit per 2 s], one line each. `nothing` answers an empty list.
_PUBLIC = """
public/time rest_time 10
public/instruments rest_instruments 20
public/funding-rate rest_funding_rate 10
public/funding-rate-history rest_funding_history 10
public/mark-price rest_mark_price 10
public/price-limit rest_price_limit 20
public/open-interest rest_open_interest 20
public/position-tiers rest_tiers 10
public/estimated-price rest_estimated_price 10
public/underlying rest_underlying 20
public/discount-rate-interest-free-quota rest_discount_rate 2
public/convert-contract-coin rest_convert 10
public/delivery-exercise-history nothing 40
public/opt-summary nothing 20
public/option-trades nothing 20
public/insurance-fund nothing 10
public/liquidation-orders nothing 40
public/interest-rate-loan-quota nothing 2
public/vip-interest-rate-loan-quota nothing 2
public/instrument-tick-bands nothing 5
public/block-trades nothing 20
public/market-data-history nothing 5
public/economic-calendar nothing 1
public/settlement-history nothing 40
public/premium-history nothing 20
market/ticker rest_ticker 20
market/tickers rest_tickers 20
market/index-tickers rest_index_tickers 20
market/books rest_books 40
market/books-full rest_books_full 10
market/books-rpi rest_books_rpi 40
market/books-lite rest_books 6
market/candles rest_candles 40
market/history-candles rest_candles 20
market/mark-price-candles rest_mark_candles 20
market/history-mark-price-candles rest_mark_candles 10
market/index-candles rest_index_candles 20
market/history-index-candles rest_index_candles 10
market/trades rest_trades 100
market/history-trades rest_history_trades 20
market/platform-24-volume rest_volume 2
market/exchange-rate rest_exchange_rate 1
market/index-components nothing 20
market/open-oracle nothing 1
market/block-ticker nothing 20
market/block-tickers nothing 20
market/block-trades nothing 20
market/option/instrument-family-trades nothing 20
market/call-auction-details nothing 20
system/status rest_status 1
support/announcements nothing 5
support/announcement-types nothing 1
rubik/stat/trading-data/support-coin nothing 5
rubik/stat/taker-volume nothing 5
rubik/stat/taker-volume-contract nothing 5
rubik/stat/margin/loan-ratio nothing 5
rubik/stat/contracts/long-short-account-ratio nothing 5
rubik/stat/contracts/long-short-account-ratio-contract nothing 5
rubik/stat/contracts/long-short-account-ratio-contract-top-trader nothing 5
rubik/stat/contracts/long-short-position-ratio-contract-top-trader nothing 5
rubik/stat/contracts/open-interest-volume nothing 5
rubik/stat/contracts/open-interest-history nothing 10
rubik/stat/option/open-interest-volume nothing 5
rubik/stat/option/open-interest-volume-ratio nothing 5
"""
# the same, each with the word `instrument` where the limit is per user and instrument
_READ = """
account/balance rest_balance 10
account/positions rest_positions 10
account/positions-history rest_positions_history 10
account/account-position-risk rest_risk 10
account/config rest_config 5
account/bills rest_bills 10
account/bills-archive rest_bills 10
account/leverage-info rest_leverage 20
account/max-size rest_max_size 20
account/max-avail-size rest_max_avail 20
account/max-withdrawal rest_max_withdrawal 20
account/trade-fee rest_trade_fee 5
account/instruments rest_account_instruments 20
account/interest-rate rest_interest_rate 5
account/interest-accrued private_nothing 5
account/interest-limits private_nothing 5
account/max-loan private_nothing 20
account/greeks private_nothing 10
account/position-tiers private_nothing 10
account/adjust-leverage-info private_nothing 5
account/spot-borrow-repay-history private_nothing 5
account/risk-state rest_risk_state 10
account/subaccount/balances private_nothing 6
asset/currencies rest_currencies 12
asset/balances rest_asset_balances 12
asset/asset-valuation rest_valuation 2
asset/non-tradable-assets private_nothing 12
asset/bills private_nothing 12
asset/bills-history private_nothing 2
asset/transfer-state rest_transfer_state 20
asset/deposit-history private_nothing 12
asset/withdrawal-history private_nothing 12
asset/deposit-address private_nothing 12
asset/convert/currencies private_nothing 12
asset/convert/history private_nothing 12
users/subaccount/list private_nothing 4
users/entrust-subaccount-list private_nothing 2
finance/savings/balance private_nothing 12
trade/order rest_order 60 instrument
trade/orders-pending rest_pending 60
trade/orders-history rest_history 40
trade/orders-history-archive rest_archive 20
trade/fills rest_fills 60
trade/fills-history rest_fills 10
trade/account-rate-limit rest_rate_limit 2
trade/order-algo rest_algo 20
trade/orders-algo-pending rest_algos_pending 20
trade/orders-algo-history rest_algos_history 20
trade/easy-convert-currency-list private_nothing 2
trade/one-click-repay-currency-list private_nothing 2
"""
_TRADE = """
account/set-position-mode rest_set_position_mode 5
account/set-leverage rest_set_leverage 20
account/set-account-stp-mode rest_set_stp 5
account/position/margin-balance rest_margin_balance 20
asset/transfer rest_transfer 4
trade/order rest_place 60 instrument
trade/batch-orders rest_place_batch 300 orders
trade/cancel-order rest_cancel 60 instrument
trade/cancel-batch-orders rest_cancel_batch 300 orders
trade/amend-order rest_amend 60 instrument
trade/amend-batch-orders rest_amend_batch 300 orders
trade/close-position rest_close 20 instrument
trade/cancel-all-after rest_cancel_all_after 2 tag
trade/mass-cancel rest_mass_cancel 5
trade/order-precheck rest_precheck 5
trade/order-algo rest_place_algo 20
trade/cancel-algos rest_cancel_algos 20
trade/cancel-advance-algos rest_cancel_algos 20
trade/amend-algos rest_amend_algos 20
"""


def _routes() -> dict[str, Route]:
    out = {}
    for method, table, right in (("GET", _PUBLIC, ""), ("GET", _READ, "read"), ("POST", _TRADE, "trade")):
        for line in table.strip().splitlines():
            path, handler, limit, *rule = line.split()
            kind = rule[0] if rule else "user" if right else "ip"
            out[f"{method} /api/v5/{path}"] = Route(handler, int(limit), kind, right=right)
    return out


ROUTES = _routes()


class RestSide(AlgoSide):
    """REST of the venue."""

    environment: str  # "demo", "production", or "" = both

    def http(
        self, method: str, target: str, headers: dict[str, str], body: bytes, now_ns: int
    ) -> tuple[int, bytes]:
        self.now_ns = max(self.now_ns, now_ns)
        parts = urlsplit(target)
        route = ROUTES.get(f"{method} {parts.path}")
        if route is None:
            return 404, reply("404", [], "Not Found")
        named = {k.lower(): v for k, v in headers.items()}
        try:
            if not route.right:
                self._count_public(route, parts.path, self.peer_ip, now_ns)
                query = dict(parse_qsl(parts.query, keep_blank_values=True))
                return 200, reply("0", getattr(self, route.handler)(query, now_ns))
            account = self._who(method, target, named, body, route.right, now_ns)
            return self._private_answer(account, route, parts, named, body, now_ns)
        except Problem as problem:
            return problem.status, reply(problem.code, [], problem.text)

    def _private_answer(self, account: Account, route: Route, parts, headers, body: bytes, now_ns: int):
        """Trade calls whose rows have an `sCode` sum them up in `code`, and tell gateway times."""
        if route.right == "read":
            asked: Any = dict(parse_qsl(parts.query, keep_blank_values=True))
        else:
            asked = read_body(headers, body)
        self._count_private(route, parts.path, account, asked, now_ns)
        self._expires = headers.get("exptime", "")
        rows = getattr(self, route.handler)(account, asked, now_ns)
        if "/trade/" not in parts.path or route.right == "read":
            return 200, reply("0", rows)
        code = summary(rows)
        us = now_ns // 1000
        times = {"inTime": str(us), "outTime": str(us + 1239)}
        return 200, reply(code, rows, MESSAGES.get(code, ""), **times)

    def private_nothing(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        """A list that is empty here: loans, deposits, sub-accounts."""
        return []

    # ---- who is asking ----

    def _who(self, method, target, headers, body: bytes, right: str, now_ns: int) -> Account:
        for name, code in (
            ("key", "50103"),
            ("sign", "50106"),
            ("timestamp", "50107"),
            ("passphrase", "50104"),
        ):
            if not headers.get(f"ok-access-{name}"):
                raise Problem(code)
        found = self.key(headers["ok-access-key"])
        if found is None:
            raise Problem("50111")
        account, key = found
        stamp = headers["ok-access-timestamp"]
        if abs(now_ns - stamp_ns(stamp)) > WINDOW_NS:
            raise Problem("50102")
        self._check_use(key, right, headers.get("x-simulated-trading", "") == "1", now_ns)
        if headers["ok-access-passphrase"] != key.passphrase:
            raise Problem("50105")
        text = f"{stamp}{method}{target}".encode() + body
        want = b64encode(hmac.digest(key.secret.encode(), text, sha256))
        if not hmac.compare_digest(headers["ok-access-sign"].encode(), want):
            raise Problem("50113")
        return account

    def _check_use(self, key, right: str, demo: bool, now_ns: int) -> None:
        """Is the key good for this, from there, in this environment?"""
        why = self.why_not(key, now_ns, right, self.peer_ip)
        codes = {"expired": "50111", "ip": "50110", "right": "50120", "environment": "50101"}
        if why:
            raise Problem(codes.get(why, "50114"), self.peer_ip)
        wanted = key.environment or self.environment
        if wanted and (wanted == "demo") != demo:
            raise Problem("50101")

    # ---- how often ----

    def _count_public(self, route: Route, path: str, ip: str, now_ns: int) -> None:
        self.spend(path, ip, 1, route.limit, route.interval_ns, now_ns)

    def _count_private(self, route: Route, path: str, account: Account, asked, now_ns: int) -> None:
        if route.rule == "orders" or (path.startswith("/api/v5/trade/") and route.rule == "instrument"):
            return  # counted order by order, together with those that come by WebSocket
        self.spend(path, account.uid, 1, route.limit, route.interval_ns, now_ns)


def read_body(headers: dict[str, str], body: bytes) -> Any:
    """The JSON of a POST; numbers are taken as the text that they should be."""
    if not body.strip():
        raise Problem("50000")
    if "json" not in headers.get("content-type", "application/json").lower():
        raise Problem("50006")
    try:
        return _as_text(orjson.loads(body))
    except orjson.JSONDecodeError:
        raise Problem("50002") from None


def _as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _as_text(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_as_text(x) for x in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return format(value, "f").rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return value


def stamp_ns(text: str) -> int:
    """The time stamp of a request. Raises Problem 50112."""
    match = STAMP.fullmatch(text)
    if match is None:
        raise Problem("50112")
    try:
        when = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
    except ValueError:
        raise Problem("50112") from None
    return int(when.timestamp()) * SECOND + when.microsecond * (MS // 1000)


def summary(rows: list) -> str:
    """`code` over elements with an `sCode`: 0 all done, 1 none, 2 some."""
    results = [x["sCode"] for x in rows if isinstance(x, dict) and "sCode" in x]
    bad = sum(x != "0" for x in results)
    return "0" if not bad else "1" if bad == len(results) else "2"


def error_body(code: str) -> tuple[int, bytes]:
    """Status and body of a request that fails with a code."""
    status, text = TEXTS.get(code, (200, ""))
    return status, reply(code, [], text.format(*["-"] * 3))

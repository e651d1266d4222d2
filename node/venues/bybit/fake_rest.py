"""REST at the door of the simulated Bybit: routes, signatures, rate limits, the envelope of every answer.

A request is signed over timestamp + key + recv window + payload, the payload being the query as it was
sent or the body. Business errors come with HTTP 200; only what never reached the business layer has
another status. Source: bybit-exchange/docs `docs/v5/{guide,error}.mdx` and
`docs/v5/rate-limit/rate-limit.mdx`; captured texts.
"""

import hashlib
import hmac
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from node.venues.bybit import rules
from node.venues.bybit.fake_account import AccountRest
from node.venues.bybit.fake_codes import Denial, error_text, number
from node.venues.bybit.fake_market import Handler
from node.venues.bybit.fake_orders import Who
from node.venues.bybit.fake_private import ticket
from node.venues.bybit.rules import LINEAR, SPOT
from node.venues.fakes import MS
from node.venues.ledger import Account, Key

PrivateHandler = Callable[[Who, dict, int], dict]
Reply = tuple[int, bytes, dict[str, str]]
REST_BURST_NS = 5 * rules.SECOND
DENIED = {"expired": 33004, "ip": 10010, "right": 10005, "environment": 10003}
FORBIDDEN = b'{"retCode":403,"retMsg":"access too frequent, please try again later"}'


@dataclass(frozen=True)
class Route:
    """A private endpoint: what the key must be allowed, requests per second on linear and on spot, and
    what the venue says where all is well."""

    method: str
    handler: PrivateHandler
    right: str = "read"
    limits: tuple[int, int] = (50, 50)
    said: str = "OK"


class RestDoor(AccountRest):
    """Answers every REST request."""

    def __init__(self, *args: Any, **more: Any):
        super().__init__(*args, **more)
        self._routes = self._private_routes()
        self._public: dict[str, Handler] = self._market_routes()
        self._visits: dict[str, deque[int]] = {}  # by IP
        self._banned_ns: dict[str, int] = {}
        self._traces = 0

    def _private_routes(self) -> dict[str, Route]:
        order, fast = (10, 20), (10, 10)
        post = {
            "order/create": Route("POST", self._single("create"), "trade", order),
            "order/amend": Route("POST", self._single("amend"), "trade", fast),
            "order/cancel": Route("POST", self._single("cancel"), "trade", order),
            "order/cancel-all": Route("POST", self.cancel_many, "trade", order),
            "order/create-batch": Route("POST", self._batch("create"), "trade"),
            "order/amend-batch": Route("POST", self._batch("amend"), "trade"),
            "order/cancel-batch": Route("POST", self._batch("cancel"), "trade"),
            "order/pre-check": Route("POST", self.pre_check, "trade", order),
            "order/disconnected-cancel-all": Route("POST", self.set_dcp, "trade", (5, 5), "success"),
            "position/set-leverage": Route("POST", self.set_leverage, "trade", fast),
            "position/switch-mode": Route("POST", self.switch_mode, "trade", fast),
            "position/switch-isolated": Route("POST", self.switch_isolated, "trade", fast),
            "position/set-tpsl-mode": Route("POST", self.set_tpsl_mode, "trade", fast),
            "position/set-risk-limit": Route("POST", self.set_risk_limit, "trade", fast),
            "position/trading-stop": Route("POST", self.trading_stop, "trade", fast),
            "position/set-auto-add-margin": Route("POST", self.set_auto_add_margin, "trade", fast),
            "position/add-margin": Route("POST", self.add_margin, "trade", fast),
            "position/confirm-pending-mmr": Route("POST", self.confirm_mmr, "trade", fast),
            "position/move-positions": Route("POST", self.move_positions, "trade", fast),
            "account/set-margin-mode": Route(
                "POST", self.set_margin_mode, "trade", (5, 5), "Request accepted"
            ),
            "account/set-limit-px-action": Route("POST", self.set_price_action, "trade", fast, "success"),
        }
        return {f"/v5/{name}": route for name, route in (post | self._reading_routes()).items()}

    def _reading_routes(self) -> dict[str, Route]:
        few, done = (5, 5), "success"
        return {
            "order/realtime": Route("GET", self.get_realtime),
            "order/history": Route("GET", self.get_history),
            "order/spot-borrow-check": Route("GET", self.get_borrow_check),
            "execution/list": Route("GET", self.get_executions),
            "position/list": Route("GET", self.get_positions),
            "position/closed-pnl": Route("GET", self.get_closed_pnl),
            "position/get-closed-positions": Route("GET", self.get_no_rows),
            "position/move-history": Route("GET", self.get_no_rows),
            "position/symbol-info": Route("GET", self.get_symbol_info),
            "account/wallet-balance": Route("GET", self.get_wallet),
            "account/info": Route("GET", self.get_account_info),
            "account/fee-rate": Route("GET", self.get_fee_rates, limits=few),
            "account/transaction-log": Route("GET", self.get_transactions, limits=(25, 25)),
            "account/collateral-info": Route("GET", self.get_collateral),
            "account/smp-group": Route("GET", self.get_smp_group, limits=few, said=done),
            "account/user-setting-config": Route("GET", self.get_settings),
            "account/query-dcp-info": Route("GET", self.get_dcp, limits=few, said=done),
            "account/borrow-history": Route("GET", self.get_no_rows),
            "account/withdrawal": Route("GET", self.get_withdrawal),
            "account/instruments-info": Route("GET", self.get_account_instruments, limits=(10, 10)),
            "asset/coin/query-info": Route("GET", self.get_coins, limits=few, said=done),
            "asset/transfer/query-account-coins-balance": Route(
                "GET", self.get_coins_balance, limits=few, said=done
            ),
            "asset/transfer/query-account-coin-balance": Route(
                "GET", self.get_coin_balance, limits=few, said=done
            ),
            "asset/transfer/query-transfer-coin-list": Route(
                "GET", self.get_transfer_coins, limits=few, said=done
            ),
            "asset/transfer/query-inter-transfer-list": Route("GET", self.get_no_rows, limits=few, said=done),
            "asset/deposit/query-record": Route("GET", self.get_no_rows, limits=few, said=done),
            "asset/withdraw/query-record": Route("GET", self.get_no_rows, limits=few, said=done),
            "asset/settlement-record": Route("GET", self.get_no_rows),
            "asset/delivery-record": Route("GET", self.get_no_rows),
            "asset/coin-greeks": Route("GET", self.get_no_rows),
            "user/query-api": Route("GET", self.get_key_info, limits=(10, 10), said=""),
            "user/get-member-type": Route("GET", self.get_member_type, limits=(10, 10), said=""),
        }

    def _single(self, op: str) -> PrivateHandler:
        def handle(who: Who, wish: dict, now_ns: int) -> dict:
            order, act = self.prepare(who, op, wish, None, now_ns)
            ids = {"orderId": ticket(order).id, "orderLinkId": order.client_id}
            act(now_ns)
            return ids

        return handle

    def _batch(self, op: str) -> PrivateHandler:
        def handle(who: Who, wish: dict, now_ns: int) -> dict:
            result, ext, acts, headers = self.prepare_batch(who, op, wish, None, now_ns)
            for _, act in acts:
                act(now_ns)
            return result | {"_ext": ext, "_headers": headers}

        return handle

    # ---- the way in ----

    def http(self, method: str, target: str, headers: Mapping[str, str], body: bytes, now_ns: int) -> Reply:
        """One request. Header names in any case."""
        self._now_ns = now_ns
        url = urlsplit(target)
        head = {name.lower(): value for name, value in headers.items()}
        if self._is_banned(now_ns):
            return 403, FORBIDDEN, {}
        if url.path in self._public:
            return self._http_public(method, url.path, url.query, body, now_ns)
        route = self._routes.get(url.path)
        if route is None:
            return 404, self._envelope(10017, "Route not found.", {}, now_ns), {}
        if method not in ("GET", "POST"):
            return 400, self._envelope(10001, "Request method not supported.", {}, now_ns), {}
        if method != route.method:
            return 404, self._envelope(10017, "Route not found.", {}, now_ns), {}
        if method == "GET" and body:
            return 403, b"", {}
        return self._http_private(route, url.path, url.query, head, body, now_ns)

    def _http_public(self, method: str, path: str, query: str, body: bytes, now_ns: int) -> Reply:
        if method != "GET":
            return 404, self._envelope(10017, "Route not found.", {}, now_ns), {}
        if body:
            return 403, b"", {}
        wish = dict(parse_qsl(query, keep_blank_values=True))
        try:
            code, text, result = 0, "OK", self._public[path](wish | {"_path": path}, now_ns)
        except Denial as denial:
            code, text, result = denial.code, denial.text, denial.result
        return 200, self._envelope(code, text, result, now_ns), self._trace(now_ns)

    def _http_private(
        self, route: Route, path: str, query: str, head: dict[str, str], body: bytes, now_ns: int
    ) -> Reply:
        payload = query if route.method == "GET" else body.decode("utf-8", "replace")
        headers, ext = self._trace(now_ns), {}
        if not head.get("x-bapi-api-key") or not head.get("x-bapi-sign"):
            return 401, self._envelope(10003, "API key is invalid.", {}, now_ns), headers
        try:
            account, key = self._signed_by(head, payload, route.right, now_ns)
            wish = self._wish(route.method, query, body)
            who = Who(account, key)
            headers |= self._charge(who, path, route, wish, now_ns)
            result = route.handler(who, wish, now_ns)
            code, text, ext = 0, route.said, result.pop("_ext", {})
            headers |= result.pop("_headers", {})
        except Denial as denial:
            if denial.status == 403:
                return 403, FORBIDDEN, headers
            code, text, result = denial.code, denial.text, denial.result
            headers |= denial.headers
        return 200, self._envelope(code, text, result, now_ns, ext), headers

    @staticmethod
    def _wish(method: str, query: str, body: bytes) -> dict:
        if method == "GET":
            return dict(parse_qsl(query, keep_blank_values=True))
        try:
            wish = orjson.loads(body or b"{}")
        except orjson.JSONDecodeError:
            wish = None
        if not isinstance(wish, dict):
            raise Denial(10001, "Request parameter error: body is not a JSON object.")
        return wish

    @staticmethod
    def _envelope(code: int, text: str, result: dict, now_ns: int, ext: dict | None = None) -> bytes:
        out = {
            "retCode": code,
            "retMsg": text,
            "result": result,
            "retExtInfo": ext or {},
            "time": now_ns // MS,
        }
        return orjson.dumps(out)

    def _trace(self, now_ns: int) -> dict[str, str]:
        self._traces += 1
        return {"Traceid": self._hash("trace", self._traces)[:32], "Timenow": str(now_ns // MS)}

    # ---- who ----

    def _signed_by(self, head: dict[str, str], payload: str, right: str, now_ns: int) -> tuple[Account, Key]:
        """The account and key of a signed request. The order of the checks is the venue's: time, key,
        signature, and then what the key may do."""
        api_key, stamp = head["x-bapi-api-key"], head.get("x-bapi-timestamp", "")
        window = head.get("x-bapi-recv-window") or "5000"
        self._check_time(stamp, window, now_ns)
        found = self.key(api_key)
        if found is None:
            raise Denial(10003)
        account, key = found
        text = f"{stamp}{api_key}{head.get('x-bapi-recv-window', '')}{payload}"
        right_sign = hmac.new(key.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(right_sign.encode(), head["x-bapi-sign"].encode()):
            raise Denial(10004, f"error sign! origin_string[{text}]")
        self._check_key(key, right, now_ns)
        return account, key

    def _check_key(self, key: Key, right: str, now_ns: int) -> None:
        why = self.why_not(key, now_ns, right, self.peer_ip)
        if why:
            raise Denial(DENIED.get(why, 10003))

    @staticmethod
    def _check_time(stamp: str, window: str, now_ns: int) -> None:
        sent_ms, window_ms, now_ms = number(stamp), number(window), now_ns // MS
        in_time = now_ms - window_ms <= sent_ms < now_ms + rules.CLOCK_AHEAD_MS
        if sent_ms < 0 or window_ms < 0 or not in_time:
            raise Denial(
                10002,
                "invalid request, please check your server timestamp or recv_window param. "
                f"req_timestamp[{stamp}],server_timestamp[{now_ms}],recv_window[{window}]",
            )

    # ---- how often ----

    def _charge(self, who: Who, path: str, route: Route, wish: dict, now_ns: int) -> dict[str, str]:
        """Count a request against the account's budget of this endpoint; the headers that tell."""
        market = SPOT if wish.get("category") == "spot" else LINEAR
        if path.endswith("-batch"):
            return {}  # counts its items
        name = path.removeprefix("/v5/").replace(
            "/", "."
        )  # order entry shares its budget with the trade connection
        return self.spend(who, name, market, route.limits[market == SPOT], 1, now_ns)

    def _is_banned(self, now_ns: int) -> bool:
        """600 requests in 5 s from one address: nothing for ten minutes."""
        visits = self._visits.setdefault(self.peer_ip, deque())
        while visits and visits[0] <= now_ns - REST_BURST_NS:
            visits.popleft()
        visits.append(now_ns)
        if len(visits) > rules.REST_REQUESTS_PER_5_S_PER_IP and self.limit_orders is not False:
            self._banned_ns[self.peer_ip] = now_ns + rules.REST_BAN_NS
        return now_ns < self._banned_ns.get(self.peer_ip, 0)

    # ---- the faults of the base ----

    def error_message(self, code: str) -> str:
        return error_text(int(code)) if re.fullmatch(r"-?[0-9]{1,9}", code) else code

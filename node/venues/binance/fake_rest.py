"""REST of the simulated Binance: paths, the envelope of an answer, and its headers.

Unknown paths: `/fapi` says -5000, everything else the venue's page for 404. Spot listen keys are gone since
2026-02-20 and answered 410 unless the venue is told to have them (`spot_listen_keys`).

Sources: binance-spot-api-docs `rest-api.md`, `CHANGELOG.md`; USD-M developer pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from node.venues.binance import fake_account as account
from node.venues.binance import fake_algo as algo
from node.venues.binance import fake_futures as futures
from node.venues.binance import fake_margin as margin
from node.venues.binance import fake_market as market
from node.venues.binance import fake_orders as orders
from node.venues.binance.fake_call import Call, Reject, rest_call
from node.venues.binance.fake_gate import KEY, READ, SECOND, TRADE, Route
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM, depth_weight

if TYPE_CHECKING:
    from node.venues.binance.fake import BinanceFake

NOT_FOUND = b"<html><body><h2>404 Not found</h2></body></html>"
GONE = (
    b'{"code":-1,"msg":"This endpoint has been retired. '
    b'Please use the WebSocket API to subscribe to the User Data Stream."}'
)
Answer = tuple[int, bytes, dict[str, str]]


def _depth_weight(venue: BinanceFake, call: Call) -> int:
    return depth_weight(call.market, market.depth_limit(call))


def _open_orders_weight(venue: BinanceFake, call: Call) -> int:
    one, all_ = (6, 80) if call.is_spot else (1, 40)
    return one if call.has("symbol") else all_


def _ticker_weight(venue: BinanceFake, call: Call) -> int:
    if call.has("symbol"):
        return 2 if call.is_spot else 1
    return 4 if call.is_spot else 2


def _day_weight(venue: BinanceFake, call: Call) -> int:
    if call.has("symbol"):
        return 2 if call.is_spot else 1
    return 80 if call.is_spot else 40


def _my_trades_weight(venue: BinanceFake, call: Call) -> int:
    return 5 if call.has("orderId") else 20


SPOT_PUBLIC = {
    "ping": Route(market.ping),
    "time": Route(market.server_time),
    "exchangeInfo": Route(lambda venue, call: venue.exchange_info(call), 20),
    "depth": Route(market.depth, _depth_weight),
    "trades": Route(market.trades, 25),
    "historicalTrades": Route(market.trades, 25),
    "aggTrades": Route(market.agg_trades, 4),
    "klines": Route(market.klines, 2),
    "uiKlines": Route(market.klines, 2),
    "avgPrice": Route(market.avg_price, 2),
    "ticker/24hr": Route(market.ticker_24h, _day_weight),
    "ticker/tradingDay": Route(market.ticker_trading_day, 4),
    "ticker/price": Route(market.ticker_price, _ticker_weight),
    "ticker/bookTicker": Route(market.ticker_book, _ticker_weight),
    "ticker": Route(market.ticker_window, 4),
    "executionRules": Route(market.execution_rules, 2),
    "referencePrice": Route(market.reference_price, 2),
    "referencePrice/calculation": Route(market.reference_price, 2),
    "historicalBlockTrades": Route(market.nothing, 25),
}

SPOT_SIGNED = {
    ("POST", "order"): Route(orders.place, 1, TRADE, orders=True, free=True),
    ("POST", "order/test"): Route(orders.test, 1, TRADE),
    ("POST", "sor/order"): Route(orders.sor, 1, TRADE, orders=True),
    ("POST", "sor/order/test"): Route(orders.test, 1, TRADE),
    ("DELETE", "order"): Route(orders.cancel, 1, TRADE, free=True),
    ("POST", "order/cancelReplace"): Route(orders.cancel_replace, 1, TRADE, orders=True, free=True),
    ("PUT", "order/amend/keepPriority"): Route(orders.amend, 4, TRADE),
    ("GET", "order/amendments"): Route(orders.amendments, 4, READ),
    ("DELETE", "openOrders"): Route(orders.cancel_all, 1, TRADE, free=True),
    ("GET", "order"): Route(orders.query, 4, READ),
    ("GET", "openOrders"): Route(orders.open_orders, _open_orders_weight, READ),
    ("GET", "allOrders"): Route(orders.all_orders, 20, READ),
    ("POST", "order/oco"): Route(orders.no_lists, 1, TRADE),
    ("POST", "orderList/oco"): Route(orders.no_lists, 1, TRADE),
    ("POST", "orderList/oto"): Route(orders.no_lists, 1, TRADE),
    ("POST", "orderList/otoco"): Route(orders.no_lists, 1, TRADE),
    ("POST", "orderList/opo"): Route(orders.no_lists, 1, TRADE),
    ("POST", "orderList/opoco"): Route(orders.no_lists, 1, TRADE),
    ("DELETE", "orderList"): Route(orders.no_such_list, 1, TRADE),
    ("GET", "orderList"): Route(orders.no_such_list, 4, READ),
    ("GET", "allOrderList"): Route(market.nothing, 20, READ),
    ("GET", "openOrderList"): Route(market.nothing, 6, READ),
    ("GET", "account"): Route(account.account, 20, READ),
    ("GET", "account/commission"): Route(account.commission, 20, READ),
    ("GET", "myTrades"): Route(account.my_trades, _my_trades_weight, READ),
    ("GET", "rateLimit/order"): Route(account.order_counts, 40, READ),
    ("GET", "myPreventedMatches"): Route(account.prevented_matches, 2, READ),
    ("GET", "myAllocations"): Route(market.nothing, 20, READ),
    ("GET", "myFilters"): Route(account.my_filters, 40, READ),
}

SAPI = {
    ("GET", "v1/capital/config/getall"): Route(account.coins, 10, READ),
    ("GET", "v1/account/apiRestrictions"): Route(account.api_restrictions, 1, READ),
    ("GET", "v1/account/status"): Route(account.account_status, 1, READ),
    ("GET", "v1/account/apiTradingStatus"): Route(account.trading_status, 1, READ),
    ("GET", "v1/account/info"): Route(account.account_info, 1, READ),
    ("GET", "v1/asset/tradeFee"): Route(account.trade_fee, 1, READ),
    ("GET", "v1/system/status"): Route(account.system_status),
    ("POST", "v3/asset/getUserAsset"): Route(account.user_assets, 5, READ),
    ("POST", "v1/asset/get-funding-asset"): Route(market.nothing, 1, READ),
    ("GET", "v1/asset/transfer"): Route(account.empty_rows, 1, READ),
    ("GET", "v1/capital/deposit/hisrec"): Route(market.nothing, 1, READ),
    ("GET", "v1/capital/withdraw/history"): Route(market.nothing, 1, READ),
    ("GET", "v1/margin/allPairs"): Route(market.nothing, 1, KEY),
    ("GET", "v1/margin/isolated/allPairs"): Route(market.nothing, 1, KEY),
    ("GET", "v1/simple-earn/flexible/position"): Route(account.empty_rows, 1, READ),
}

USDM_PUBLIC = {
    "ping": Route(market.ping),
    "time": Route(market.server_time),
    "exchangeInfo": Route(lambda venue, call: venue.exchange_info(call), 1),
    "depth": Route(market.depth, _depth_weight),
    "rpiDepth": Route(market.depth, 20),
    "trades": Route(market.trades, 5),
    "historicalTrades": Route(market.trades, 20),
    "aggTrades": Route(market.agg_trades, 20),
    "klines": Route(market.klines, 5),
    "continuousKlines": Route(market.continuous_klines, 5),
    "indexPriceKlines": Route(market.index_klines, 5),
    "markPriceKlines": Route(market.mark_klines, 5),
    "premiumIndexKlines": Route(market.premium_klines, 5),
    "premiumIndex": Route(market.premium_index, 1),
    "fundingRate": Route(market.funding_rate, 1),
    "fundingInfo": Route(market.funding_info, 0),
    "ticker/24hr": Route(market.ticker_24h, _day_weight),
    "ticker/price": Route(market.ticker_price, _ticker_weight),
    "ticker/bookTicker": Route(market.ticker_book, _ticker_weight),
    "openInterest": Route(market.open_interest, 1),
    "constituents": Route(market.constituents, 2),
    "indexInfo": Route(market.nothing, 1),
    "assetIndex": Route(market.nothing, 1),
    "insuranceBalance": Route(market.nothing, 1),
    "tradingSchedule": Route(market.trading_schedule, 5),
    "symbolAdlRisk": Route(market.nothing, 1),
}

USDM_SIGNED = {
    ("POST", "v1/order"): Route(futures.place, 0, TRADE, orders=True),
    ("POST", "v1/order/test"): Route(futures.test, 0, TRADE),
    ("PUT", "v1/order"): Route(futures.modify, 1, TRADE, orders=True),
    ("DELETE", "v1/order"): Route(futures.cancel, 1, TRADE),
    ("GET", "v1/order"): Route(futures.query, 1, READ),
    ("POST", "v1/batchOrders"): Route(futures.batch_place, 5, TRADE, orders=True),
    ("PUT", "v1/batchOrders"): Route(futures.batch_modify, 5, TRADE, orders=True),
    ("DELETE", "v1/batchOrders"): Route(futures.batch_cancel, 1, TRADE),
    ("DELETE", "v1/allOpenOrders"): Route(futures.cancel_all, 1, TRADE),
    ("POST", "v1/countdownCancelAll"): Route(futures.countdown, 10, TRADE),
    ("GET", "v1/openOrder"): Route(futures.open_order, 1, READ),
    ("GET", "v1/openOrders"): Route(orders.open_orders, _open_orders_weight, READ),
    ("GET", "v1/allOrders"): Route(orders.all_orders, 5, READ),
    ("GET", "v1/orderAmendment"): Route(futures.amendments, 1, READ),
    ("GET", "v1/forceOrders"): Route(futures.force_orders, 20, READ),
    ("GET", "v1/userTrades"): Route(margin.user_trades, 5, READ),
    ("GET", "v1/income"): Route(margin.income, 30, READ),
    ("GET", "v1/rateLimit/order"): Route(account.order_counts, 1, READ),
    ("GET", "v2/balance"): Route(margin.balance, 5, READ),
    ("GET", "v3/balance"): Route(margin.balance, 5, READ),
    ("GET", "v2/account"): Route(margin.account_v2, 5, READ),
    ("GET", "v3/account"): Route(margin.account_v3, 5, READ),
    ("GET", "v2/positionRisk"): Route(margin.position_risk_v2, 5, READ),
    ("GET", "v3/positionRisk"): Route(margin.position_risk_v3, 5, READ),
    ("GET", "v1/positionSide/dual"): Route(margin.position_mode, 30, READ),
    ("POST", "v1/positionSide/dual"): Route(margin.set_position_mode, 1, TRADE),
    ("GET", "v1/multiAssetsMargin"): Route(margin.multi_assets_mode, 30, READ),
    ("POST", "v1/multiAssetsMargin"): Route(margin.set_multi_assets_mode, 1, TRADE),
    ("POST", "v1/leverage"): Route(margin.leverage, 1, TRADE),
    ("POST", "v1/marginType"): Route(margin.margin_type, 1, TRADE),
    ("POST", "v1/positionMargin"): Route(margin.position_margin, 1, TRADE),
    ("GET", "v1/positionMargin/history"): Route(market.nothing, 1, READ),
    ("GET", "v1/leverageBracket"): Route(margin.leverage_bracket, 1, READ),
    ("GET", "v1/commissionRate"): Route(margin.commission_rate, 20, READ),
    ("GET", "v1/accountConfig"): Route(margin.account_config, 5, READ),
    ("GET", "v1/symbolConfig"): Route(margin.symbol_config, 5, READ),
    ("GET", "v1/apiTradingStatus"): Route(margin.api_trading_status, 1, READ),
    ("GET", "v1/feeBurn"): Route(margin.fee_burn, 30, READ),
    ("POST", "v1/feeBurn"): Route(margin.set_fee_burn, 1, TRADE),
    ("GET", "v1/adlQuantile"): Route(margin.adl_quantile, 5, READ),
    ("POST", "v1/algoOrder"): Route(algo.place, 0, TRADE, orders=True),
    ("DELETE", "v1/algoOrder"): Route(algo.cancel, 1, TRADE),
    ("GET", "v1/algoOrder"): Route(algo.query, 1, READ),
    ("DELETE", "v1/algoOpenOrders"): Route(algo.cancel_all, 1, TRADE),
    ("GET", "v1/openAlgoOrders"): Route(algo.open_orders, _open_orders_weight, READ),
    ("GET", "v1/allAlgoOrders"): Route(algo.all_orders, 5, READ),
}


# Statistics of traders, of which there are none here.
STATISTICS = (
    "topLongShortAccountRatio",
    "topLongShortPositionRatio",
    "globalLongShortAccountRatio",
    "takerlongshortRatio",
    "basis",
    "delivery-price",
)


def _listen_key(action: str, access_market: int) -> Route:
    return Route(
        lambda venue, call: venue.listen_key(action, call), 1 if access_market == BINANCE_USDM else 2, KEY
    )


def _table() -> dict[tuple[str, str], tuple[int, Route]]:
    """(method, path) -> market and route."""
    out: dict[tuple[str, str], tuple[int, Route]] = {}
    for name, route in SPOT_PUBLIC.items():
        out["GET", f"/api/v3/{name}"] = BINANCE_SPOT, route
    for (method, name), route in SPOT_SIGNED.items():
        out[method, f"/api/v3/{name}"] = BINANCE_SPOT, route
    for (method, name), route in SAPI.items():
        out[method, f"/sapi/{name}"] = BINANCE_SPOT, route
    for name, route in USDM_PUBLIC.items():
        out["GET", f"/fapi/v1/{name}"] = BINANCE_USDM, route
    out["GET", "/fapi/v2/ticker/price"] = BINANCE_USDM, USDM_PUBLIC["ticker/price"]
    out["GET", "/futures/data/openInterestHist"] = BINANCE_USDM, Route(market.open_interest_history, 0)
    for name in STATISTICS:
        out["GET", f"/futures/data/{name}"] = BINANCE_USDM, Route(market.nothing, 0)
    for (method, name), route in USDM_SIGNED.items():
        out[method, f"/fapi/{name}"] = BINANCE_USDM, route
    for method, action in (("POST", "start"), ("PUT", "ping"), ("DELETE", "stop")):
        out[method, "/fapi/v1/listenKey"] = BINANCE_USDM, _listen_key(action, BINANCE_USDM)
        out[method, "/api/v3/userDataStream"] = BINANCE_SPOT, _listen_key(action, BINANCE_SPOT)
    return out


ROUTES = _table()
PATHS = {path for _, path in ROUTES}


def http(
    venue: BinanceFake, method: str, target: str, headers: dict[str, str], body: bytes, now_ns: int, ip: str
) -> Answer:
    """Answer one request: status, body, headers."""
    path, _, query = target.partition("?")
    if path.startswith("/dapi/") and method == "GET":
        return _coin_m(path, now_ns)
    if path == "/api/v3/userDataStream" and not venue.spot_listen_keys:
        return 410, GONE, {}
    found = ROUTES.get((method, path))
    if found is None:
        return _no_path(method, path)
    market_, route = found
    try:
        text = body.decode("latin-1")
        call = rest_call(market_, f"{method} {path}", query, text, now_ns)
    except ValueError:
        return _error(Reject(-1100, "Illegal characters found in a parameter."), now_ns)
    call.ip = ip
    call.api_key = next((v for k, v in headers.items() if k.lower() == "x-mbx-apikey"), "")
    return _run(venue, route, call)


def _run(venue: BinanceFake, route: Route, call: Call) -> Answer:
    try:
        venue.gate.admit(route, call)
        result = route.run(venue, call)
    except Reject as reject:
        venue.gate.failed(route, call)
        status, body, more = _error(reject, call.now_ns)
        return status, body, venue.gate.headers(call) | more
    return 200, orjson.dumps(result), venue.gate.headers(call)


def _error(reject: Reject, now_ns: int) -> Answer:
    body: dict = {"code": reject.code, "msg": reject.text}
    if reject.data is not None:
        body["data"] = reject.data
    more = {"Retry-After": str(-(-reject.retry_after_ns // SECOND))} if reject.retry_after_ns else {}
    return reject.status, orjson.dumps(body), more


def _no_path(method: str, path: str) -> Answer:
    if path.startswith("/fapi/"):
        body = orjson.dumps({"code": -5000, "msg": f"Path {path}, Method {method} is invalid"})
        return 404, body, {}
    if path in PATHS:
        return 405, orjson.dumps({"code": -1020, "msg": "This operation is not supported."}), {}
    return 404, NOT_FOUND, {"Content-Type": "text/html"}


def _coin_m(path: str, now_ns: int) -> Answer:
    """COIN-M lists nothing here: only what clients ask when they start."""
    ms = now_ns // 1_000_000
    info = {"timezone": "UTC", "serverTime": ms, "rateLimits": [], "exchangeFilters": [], "symbols": []}
    answers = {"/dapi/v1/exchangeInfo": info, "/dapi/v1/ping": {}, "/dapi/v1/time": {"serverTime": ms}}
    lists = (
        "/dapi/v1/ticker/24hr",
        "/dapi/v1/ticker/price",
        "/dapi/v1/ticker/bookTicker",
        "/dapi/v1/premiumIndex",
    )
    if path in answers:
        return 200, orjson.dumps(answers[path]), {}
    return (200, b"[]", {}) if path in lists else (404, NOT_FOUND, {"Content-Type": "text/html"})

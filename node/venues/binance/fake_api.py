"""The WebSocket API of the simulated Binance: methods, sessions, user data subscriptions, the envelope.

Requests are answered by the functions that answer REST. A session belongs to a connection and an Ed25519 key;
a request with a key and signature of its own overrides it.

Sources: binance-spot-api-docs `web-socket-api.md`; USD-M developer pages "websocket-api".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.venues.binance.fake_call import (
    Call,
    Reject,
    api_call,
    check_signature,
    check_time,
    dump,
    is_ed25519,
    no_access,
    parse_request,
)
from node.venues.binance.fake_events import Subscription, subscriptions
from node.venues.binance.fake_gate import KEY, READ, Route
from node.venues.binance.fake_rest import SPOT_PUBLIC, SPOT_SIGNED, USDM_PUBLIC, USDM_SIGNED
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM
from node.venues.fakes import MS, Connection

if TYPE_CHECKING:
    from node.venues.binance.fake import BinanceFake

SUBSCRIPTIONS_MAX = 65_535


# ---- sessions --------------------------------------------------------------------------------------------


def logon(venue: BinanceFake, call: Call) -> dict:
    """Ed25519 keys only. A later logon replaces the earlier one."""
    connection = _connection(call)
    call.need("apiKey", "timestamp", "signature")
    venue.gate.identify(call, READ)
    if not call.is_trusted:
        if not is_ed25519(call.key):
            raise Reject(-2028, "Session authentication is only supported for Ed25519 keys.")
        check_signature(call, call.key)
    check_time(call)
    connection.logged_in = True
    connection.notes.update(session=call.api_key, since=call.now_ms)
    return session_status(venue, call)


def session_status(venue: BinanceFake, call: Call) -> dict:
    connection = _connection(call)
    session = connection.notes.get("session")
    result = {
        "apiKey": session,
        "authorizedSince": connection.notes.get("since") if session else None,
        "connectedSince": connection.opened_ns // MS,
        "returnRateLimits": connection.notes["rates"],
        "serverTime": call.now_ms,
    }
    if call.is_spot:
        result["userDataStream"] = any(x.of_session for x in subscriptions(connection).values())
    return result


def logout(venue: BinanceFake, call: Call) -> dict:
    """The subscription that the session made ends with it."""
    connection = _connection(call)
    end_session(venue, connection, call.now_ns)
    return session_status(venue, call)


def end_session(venue: BinanceFake, connection: Connection, now_ns: int) -> None:
    connection.logged_in = False
    connection.notes.pop("session", None)
    for number in [n for n, x in subscriptions(connection).items() if x.of_session]:
        venue.events.terminate(connection, number, now_ns)


def list_subscriptions(venue: BinanceFake, call: Call) -> list[dict]:
    return [{"subscriptionId": number} for number in subscriptions(_connection(call))]


def _connection(call: Call) -> Connection:
    assert call.connection is not None, "a session without a connection"
    return call.connection


# ---- spot user data --------------------------------------------------------------------------------------


def subscribe(venue: BinanceFake, call: Call) -> dict:
    """With the session that is logged on, or with a signature of its own."""
    connection = _connection(call)
    signed = call.name.endswith("signature")
    if signed:
        call.need("apiKey", "timestamp", "signature")
        venue.gate.identify(call, READ)
        if not call.is_trusted:
            check_signature(call, call.key)
        check_time(call)
    else:
        if not connection.notes.get("session") and venue.credentials_required:
            raise Reject(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        venue.gate.identify(call, READ)
    active = subscriptions(connection)
    if any(x.account is call.account for x in active.values()):
        raise Reject(-2035, "User Data Stream subscription already active.")
    number = connection.notes.get("next_subscription", 0)
    if number >= SUBSCRIPTIONS_MAX:
        raise Reject(-2042, "Subscription IDs exhausted for this connection.")
    connection.notes["next_subscription"] = number + 1
    active[number] = Subscription(call.account, of_session=not signed)
    return {"subscriptionId": number}


def unsubscribe(venue: BinanceFake, call: Call) -> dict:
    """One subscription, or all of the connection."""
    active = subscriptions(_connection(call))
    found = [call.whole("subscriptionId")] if call.has("subscriptionId") else list(active)
    if not found or any(x not in active for x in found):
        raise Reject(-2036, "User Data Stream subscription not active.")
    for number in found:
        del active[number]
    return {}


# ---- methods ---------------------------------------------------------------------------------------------


def _listen_key(action: str) -> Route:
    return Route(lambda venue, call: venue.listen_key(action, call), 5, KEY)


COMMON = {
    "session.logon": Route(logon, 2),
    "session.status": Route(session_status, 2),
    "session.logout": Route(logout, 2),
}

SPOT = COMMON | {
    "ping": SPOT_PUBLIC["ping"],
    "time": SPOT_PUBLIC["time"],
    "exchangeInfo": SPOT_PUBLIC["exchangeInfo"],
    "depth": SPOT_PUBLIC["depth"],
    "trades.recent": SPOT_PUBLIC["trades"],
    "trades.historical": SPOT_PUBLIC["historicalTrades"],
    "trades.aggregate": SPOT_PUBLIC["aggTrades"],
    "blockTrades.historical": SPOT_PUBLIC["historicalBlockTrades"],
    "klines": SPOT_PUBLIC["klines"],
    "uiKlines": SPOT_PUBLIC["uiKlines"],
    "avgPrice": SPOT_PUBLIC["avgPrice"],
    "ticker": SPOT_PUBLIC["ticker"],
    "ticker.24hr": SPOT_PUBLIC["ticker/24hr"],
    "ticker.tradingDay": SPOT_PUBLIC["ticker/tradingDay"],
    "ticker.price": SPOT_PUBLIC["ticker/price"],
    "ticker.book": SPOT_PUBLIC["ticker/bookTicker"],
    "executionRules": SPOT_PUBLIC["executionRules"],
    "referencePrice": SPOT_PUBLIC["referencePrice"],
    "referencePrice.calculation": SPOT_PUBLIC["referencePrice/calculation"],
    "session.subscriptions": Route(list_subscriptions, 2),
    "userDataStream.subscribe": Route(subscribe, 2),
    "userDataStream.subscribe.signature": Route(subscribe, 2),
    "userDataStream.unsubscribe": Route(unsubscribe, 2),
    "order.place": SPOT_SIGNED["POST", "order"],
    "order.test": SPOT_SIGNED["POST", "order/test"],
    "order.cancel": SPOT_SIGNED["DELETE", "order"],
    "order.cancelReplace": SPOT_SIGNED["POST", "order/cancelReplace"],
    "order.amend.keepPriority": SPOT_SIGNED["PUT", "order/amend/keepPriority"],
    "order.amendments": SPOT_SIGNED["GET", "order/amendments"],
    "order.status": SPOT_SIGNED["GET", "order"],
    "openOrders.status": SPOT_SIGNED["GET", "openOrders"],
    "openOrders.cancelAll": SPOT_SIGNED["DELETE", "openOrders"],
    "allOrders": SPOT_SIGNED["GET", "allOrders"],
    "sor.order.place": SPOT_SIGNED["POST", "sor/order"],
    "sor.order.test": SPOT_SIGNED["POST", "sor/order/test"],
    "orderList.place": SPOT_SIGNED["POST", "order/oco"],
    "orderList.place.oco": SPOT_SIGNED["POST", "orderList/oco"],
    "orderList.place.oto": SPOT_SIGNED["POST", "orderList/oto"],
    "orderList.place.otoco": SPOT_SIGNED["POST", "orderList/otoco"],
    "orderList.place.opo": SPOT_SIGNED["POST", "orderList/opo"],
    "orderList.place.opoco": SPOT_SIGNED["POST", "orderList/opoco"],
    "orderList.cancel": SPOT_SIGNED["DELETE", "orderList"],
    "orderList.status": SPOT_SIGNED["GET", "orderList"],
    "openOrderLists.status": SPOT_SIGNED["GET", "openOrderList"],
    "allOrderLists": SPOT_SIGNED["GET", "allOrderList"],
    "account.status": SPOT_SIGNED["GET", "account"],
    "account.commission": SPOT_SIGNED["GET", "account/commission"],
    "account.rateLimits.orders": SPOT_SIGNED["GET", "rateLimit/order"],
    "myTrades": SPOT_SIGNED["GET", "myTrades"],
    "myPreventedMatches": SPOT_SIGNED["GET", "myPreventedMatches"],
    "myAllocations": SPOT_SIGNED["GET", "myAllocations"],
    "myFilters": SPOT_SIGNED["GET", "myFilters"],
}

USDM = COMMON | {
    "ping": USDM_PUBLIC["ping"],
    "time": USDM_PUBLIC["time"],
    "exchangeInfo": USDM_PUBLIC["exchangeInfo"],
    "depth": USDM_PUBLIC["depth"],
    "ticker.price": USDM_PUBLIC["ticker/price"],
    "ticker.book": USDM_PUBLIC["ticker/bookTicker"],
    "order.place": USDM_SIGNED["POST", "v1/order"],
    "order.test": USDM_SIGNED["POST", "v1/order/test"],
    "order.modify": USDM_SIGNED["PUT", "v1/order"],
    "order.cancel": USDM_SIGNED["DELETE", "v1/order"],
    "order.status": USDM_SIGNED["GET", "v1/order"],
    "algoOrder.place": USDM_SIGNED["POST", "v1/algoOrder"],
    "algoOrder.cancel": USDM_SIGNED["DELETE", "v1/algoOrder"],
    "account.balance": USDM_SIGNED["GET", "v3/balance"],
    "account.status": USDM_SIGNED["GET", "v2/account"],
    "account.position": USDM_SIGNED["GET", "v2/positionRisk"],
    "v2/account.balance": USDM_SIGNED["GET", "v3/balance"],
    "v2/account.status": USDM_SIGNED["GET", "v3/account"],
    "v2/account.position": USDM_SIGNED["GET", "v3/positionRisk"],
    "userDataStream.start": _listen_key("start"),
    "userDataStream.ping": _listen_key("ping"),
    "userDataStream.stop": _listen_key("stop"),
}

METHODS = {BINANCE_SPOT: SPOT, BINANCE_USDM: USDM}
ENTRIES = {
    "order.place": "place",
    "order.cancel": "cancel",
    "order.modify": "amend",
    "order.amend.keepPriority": "amend",
    "order.cancelReplace": "replace",
    "openOrders.cancelAll": "cancel_all",
    "algoOrder.place": "place_stop",
    "algoOrder.cancel": "cancel_stop",
}


def receive(venue: BinanceFake, connection: Connection, text: str, now_ns: int) -> None:
    """Answer one frame. Events that it caused follow it, or come before (`events_first`)."""
    number, call = None, None
    venue.events.hold()
    try:
        message = parse_request(text)
        number = message.get("id")
        call = api_call(connection.notes["market"], message, connection, now_ns)
        call.ip = connection.notes.get("ip", call.ip)
        _admit(venue, call)
        body = {"id": number, "status": 200, "result": _run(venue, call)}
    except Reject as reject:
        if reject.status == 401 and connection.notes.pop("tell_revoked", False):
            number = None
        body = {"id": number, "status": reject.status, "error": error_body(reject, now_ns)}
    events = venue.events.release()
    if connection.notes["rates"] and (call is None or call.params.get("returnRateLimits") != "false"):
        body["rateLimits"] = _rates(venue, connection, call, now_ns)
    if venue.events_first:
        _report(venue, events)
    op = ENTRIES.get(call.name, "") if call is not None else ""
    if call is not None and op:
        venue.reply(connection, dump(body), op, call.ordered)
    else:
        venue.send(connection, dump(body))
    if not venue.events_first:
        _report(venue, events)


def _report(venue: BinanceFake, events: list) -> None:
    for connection, frame, kind, order in events:
        venue.report(connection, frame, kind, order)


def _admit(venue: BinanceFake, call: Call) -> None:
    connection = _connection(call)
    if connection.notes.pop("revoked", False):
        connection.notes["tell_revoked"] = True
        end_session(venue, connection, call.now_ns)
        raise no_access()


def _run(venue: BinanceFake, call: Call) -> object:
    route = METHODS[call.market].get(call.name)
    if route is None:
        raise Reject(-1020, "This operation is not supported.")
    session = _connection(call).notes.get("session")
    if session and not call.has("apiKey"):
        _check_session(venue, call, session)
    try:
        venue.gate.admit(route, call)
        return route.run(venue, call)
    except Reject:
        venue.gate.failed(route, call)
        raise


def _check_session(venue: BinanceFake, call: Call, session: str) -> None:
    """A session whose key was withdrawn, or restricted, ends with its next request: told without an id."""
    found = venue.key(session)
    if found is not None and venue.why_not(found[1], call.now_ns, READ, call.ip):
        connection = _connection(call)
        connection.notes["tell_revoked"] = True
        end_session(venue, connection, call.now_ns)
        raise no_access()


def error_body(reject: Reject, now_ns: int) -> dict:
    body: dict = {"code": reject.code, "msg": reject.text}
    if reject.retry_after_ns:
        body["data"] = {"serverTime": now_ns // MS, "retryAfter": (now_ns + reject.retry_after_ns) // MS}
    elif reject.data is not None:
        body["data"] = reject.data
    return body


def _rates(venue: BinanceFake, connection: Connection, call: Call | None, now_ns: int) -> list[dict]:
    """Counters: of orders where the request places some, and of weight. USD-M order answers tell only the
    former."""
    if call is None:
        call = Call(connection.notes["market"], "", {}, now_ns, is_rest=False, connection=connection)
    rows = venue.gate.order_rows(call) if call.has_order_counts else []
    return rows if rows and not call.is_spot else [*rows, venue.gate.weight_row(call)]

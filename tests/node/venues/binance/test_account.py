"""Binance's signed REST: requests as documented, answers read exactly, errors classified."""

import json
from urllib.parse import parse_qsl

import frames
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ext.instruments import Instruments
from ext.records import ErrorGroup, Outcome, Side
from ext.venues.binance import BinanceWire
from node.venues.binance.account import PAGE, Rest, error_of
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM, ORDERS, SECOND, WEIGHT
from node.venues.keys import Key
from node.venues.values import BalanceRow, BudgetRow, Reply, Request, RestError

MS = 1_000_000
# Published samples of the venue's documentation (rest-api.md; USD-M "general-info"), not real keys.
DOC_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
DOC_SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
USDM_SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
KEY = Key("apikeyapikey1", "topsecretwords")
SPOT, USDM = Rest(BINANCE_SPOT, KEY), Rest(BINANCE_USDM, KEY)
BOTH = pytest.mark.parametrize("rest", [SPOT, USDM], ids=["spot", "usdm"])


def ok(body, status=200, **headers) -> Reply:
    return Reply(status, {k.replace("_", "-"): v for k, v in headers.items()}, json.dumps(body).encode())


def no(code, msg="", status=400, **headers) -> Reply:
    return ok({"code": code, "msg": msg}, status, **headers)


def query(request: Request) -> dict:
    return dict(parse_qsl(request.target.partition("?")[2]))


# ---- signatures: binance.md 5.3 ----


@pytest.mark.parametrize(
    ("market", "secret", "params", "stamp", "signature"),
    [
        (
            BINANCE_SPOT,
            DOC_SECRET,
            "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1",
            1499827319559,
            "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
        ),
        (
            BINANCE_SPOT,
            DOC_SECRET,
            "symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96&side=BUY&type=LIMIT&timeInForce=GTC"
            "&quantity=1&price=0.1",
            1499827319559,
            "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3",
        ),
        (
            BINANCE_USDM,
            USDM_SECRET,
            "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC",
            1591702613943,
            "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9",
        ),
    ],
)
def test_signatures_are_those_of_the_documentation(market, secret, params, stamp, signature):
    rest = Rest(market, Key(DOC_KEY, secret), 5000)
    signed = rest.sign(Request("POST", f"{rest.base}/order?{params}"), stamp)
    expected = f"{rest.base}/order?{params}&recvWindow=5000&timestamp={stamp}&signature={signature}"
    assert signed == Request("POST", expected, (("X-MBX-APIKEY", DOC_KEY),))


def test_a_symbol_outside_ascii_is_percent_encoded_before_it_is_signed():
    assert "%EF%BC%91" in SPOT.cancel("１", "x").target


def test_an_ed25519_signature_is_percent_encoded():
    key = Ed25519PrivateKey.generate()
    s = serialization
    pem = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode()
    target = Rest(BINANCE_SPOT, Key("K", private_key=pem)).sign(SPOT.balances(), 5).target
    payload, _, signature = target.partition("?")[2].rpartition("&signature=")
    assert not set("+/=") & set(signature)
    from base64 import b64decode
    from urllib.parse import unquote

    key.public_key().verify(b64decode(unquote(signature)), payload.encode())


def test_public_requests_are_left_alone_and_listen_keys_need_the_key_only():
    assert SPOT.sign(SPOT.time(), 5) == SPOT.time()
    listen = Request("POST", "/fapi/v1/listenKey")
    assert USDM.sign(listen, 5) == Request("POST", listen.target, (("X-MBX-APIKEY", KEY.api_key),))
    with pytest.raises(ValueError, match="no key"):
        Rest(BINANCE_SPOT).sign(SPOT.balances(), 5)


# ---- requests ----


def test_requests_are_the_documented_ones():
    assert SPOT.order("BTCUSDT", "abc").target == "/api/v3/order?symbol=BTCUSDT&origClientOrderId=abc"
    assert USDM.order("BTCUSDT", "abc", "77").target == "/fapi/v1/order?symbol=BTCUSDT&orderId=77"
    assert USDM.order("BTCUSDT", "abc", is_algo=True).target == "/fapi/v1/algoOrder?clientAlgoId=abc"
    assert [x.target for x in SPOT.open_orders()] == ["/api/v3/openOrders"]
    both = ["/fapi/v1/openOrders?symbol=X", "/fapi/v1/openAlgoOrders?symbol=X"]
    assert [x.target for x in USDM.open_orders("X")] == both
    all_ = [(x.method, x.target) for x in USDM.cancel_all("X")]
    assert all_ == [
        ("DELETE", "/fapi/v1/allOpenOrders?symbol=X"),
        ("DELETE", "/fapi/v1/algoOpenOrders?symbol=X"),
    ]
    assert [(x.method, x.target) for x in SPOT.cancel_all("X")] == [("DELETE", "/api/v3/openOrders?symbol=X")]
    assert SPOT.trades("X", 5 * SECOND).target == "/api/v3/myTrades?symbol=X&startTime=5000&limit=1000"
    assert USDM.trades_from("X", 9).target == "/fapi/v1/userTrades?symbol=X&fromId=9&limit=1000"
    assert [x.target for x in USDM.positions()] == ["/fapi/v3/positionRisk"]
    assert (SPOT.positions(), SPOT.cash(0), SPOT.modes(), SPOT.brackets()) == ([], [], [], [])
    assert (SPOT.balances().target, USDM.balances().target) == ("/api/v3/account", "/fapi/v3/balance")
    assert USDM.cash(5 * SECOND)[0].target == "/fapi/v1/income?startTime=5000&limit=1000"
    assert [x.target for x in USDM.key_info()] == ["/fapi/v1/accountConfig"]
    with pytest.raises(ValueError, match="client id or a venue id"):
        SPOT.order("BTCUSDT")


def wire(market: int) -> BinanceWire:
    table = Instruments()
    table.add(BINANCE_SPOT, "BTCUSDT", "0.01", "0.00001")
    table.add(BINANCE_USDM, "BTCUSDT", "0.10", "0.001")
    out = BinanceWire(table, market, "tckg", 7)
    out.signer(b"secret", "Key1")
    return out


@pytest.mark.parametrize("market", [BINANCE_SPOT, BINANCE_USDM])
@pytest.mark.parametrize(
    ("intent", "method", "path"),
    [
        ({}, "POST", "/order"),
        ({"tif": 3}, "POST", "/order"),
        ({"type": 1}, "POST", "/order"),
        ({"type": 2, "trigger_ticks": 50}, "POST", ("/order", "/algoOrder")),
        ({"action": 1}, "DELETE", "/order"),
        ({"action": 1, "type": 2}, "DELETE", ("/order", "/algoOrder")),
        ({"action": 2}, "PUT", ("/order/amend/keepPriority", "/order")),
        ({"action": 3, "epoch": 3}, "POST", ("/order/cancelReplace", None)),
    ],
)
def test_a_frame_and_its_rest_request_say_the_same(market, intent, method, path):
    path = path if isinstance(path, str) else path[market == BINANCE_USDM]
    if path is None:
        return
    fields = {"instrument": market, "price_ticks": 100, "size_lots": 7, "order_id": 9} | intent
    frame = wire(market).preview(fields, 11, 1_700_000_000_000 * MS)
    rest = Rest(market, KEY)
    request = rest.from_frame(frame)
    assert (request.method, request.target.partition("?")[0]) == (method, rest.base + path)
    params = json.loads(frame)["params"]
    for name in ("apiKey", "signature", "timestamp", "recvWindow"):
        del params[name]
    assert query(request) == {k: str(v) for k, v in params.items()}
    assert query(rest.sign(request, 5)) | {"signature": ""} == query(request) | {
        "recvWindow": "1500",
        "timestamp": "5",
        "signature": "",
    }


@pytest.mark.parametrize(
    "frame", [b"{}", b"[]", b"5", b'{"method":"ping","params":{}}', b"x", b'{"method":[]}']
)
def test_what_is_no_order_frame_is_refused(frame):
    with pytest.raises(ValueError, match=r"frame|unexpected|character|JSON"):
        SPOT.from_frame(frame)


# ---- orders ----

# rest-api.md "Query order"; USD-M "Query Order"
ORDER = {"symbol": "LTCBTC", "orderId": 1, "orderListId": -1, "clientOrderId": "myOrder1", "price": "0.1"}
ORDER |= {"origQty": "1.0", "executedQty": "0.0", "cummulativeQuoteQty": "0.0", "status": "NEW"}
ORDER |= {"timeInForce": "GTC", "type": "LIMIT", "side": "BUY", "stopPrice": "0.0", "icebergQty": "0.0"}
ORDER |= {"time": 1499827319559, "updateTime": 1499827319560, "isWorking": True}
FUTURE = {k: v for k, v in ORDER.items() if k not in ("isWorking", "cummulativeQuoteQty", "icebergQty")}
FUTURE |= {"origType": "LIMIT", "reduceOnly": True, "positionSide": "BOTH", "avgPrice": "0.0"}
ALGO = {"algoId": 2146760, "clientAlgoId": "6B2I9XVcJpCjqPAJ4YoFX7", "algoType": "CONDITIONAL"}
ALGO |= {"orderType": "STOP_MARKET", "symbol": "BNBUSDT", "side": "SELL", "quantity": "0.01", "price": "0.00"}
ALGO |= {"algoStatus": "NEW", "actualOrderId": "", "triggerPrice": "750.000", "reduceOnly": True}
ALGO |= {"createTime": 1750485492076, "updateTime": 1750485492077}


def test_an_order_is_read_as_it_stands():
    row = SPOT.read_order(ok(ORDER))
    assert (row.symbol, row.client_id, row.venue_id, row.side, row.kind) == (
        "LTCBTC",
        "myOrder1",
        "1",
        int(Side.BUY),
        "limit",
    )
    assert (row.price, row.size, row.filled, row.state, row.updated_ns) == (
        "0.1",
        "1.0",
        "0.0",
        "live",
        1499827319560 * MS,
    )
    assert USDM.read_order(ok(FUTURE)).reduce_only


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("PARTIALLY_FILLED", "partial"),
        ("FILLED", "filled"),
        ("CANCELED", "canceled"),
        ("EXPIRED", "expired"),
        ("EXPIRED_IN_MATCH", "expired"),
        ("REJECTED", "rejected"),
        ("PENDING_CANCEL", "live"),
        ("MMP_CANCELED", "odd:MMP_CANCELED"),
    ],
)
def test_states_are_in_the_words_of_all_venues_and_unknown_ones_are_odd(status, state):
    """failures.md row 70."""
    assert SPOT.read_order(ok(ORDER | {"status": status})).state == state


def test_a_stop_that_waits_is_untriggered():
    stop = ORDER | {"type": "STOP_LOSS", "stopPrice": "0.09", "isWorking": False, "price": "0.0"}
    row = SPOT.read_order(ok(stop))
    assert (row.state, row.kind, row.trigger) == ("untriggered", "stop_market", "0.09")
    assert SPOT.read_order(ok(stop | {"isWorking": True})).state == "live"


def test_what_self_trade_prevention_took_away_is_no_part_of_the_order():
    assert SPOT.read_order(ok(ORDER | {"preventedQuantity": "0.25"})).size == "0.75"
    for text in ("", "x", "--1", 5, None):
        with pytest.raises(ValueError, match="preventedQuantity"):
            SPOT.read_order(ok(ORDER | {"preventedQuantity": text}))


def test_conditional_orders_are_read_beside_the_others():
    rows, more = USDM.read_open_orders(ok([FUTURE, ALGO]))
    assert more is None
    assert [x.is_algo for x in rows] == [False, True]
    assert (rows[1].client_id, rows[1].state, rows[1].trigger) == (
        "6B2I9XVcJpCjqPAJ4YoFX7",
        "untriggered",
        "750.000",
    )
    assert USDM.read_order(ok(ALGO | {"algoStatus": "TRIGGERED", "actualOrderId": "55"})).venue_id == "55"


@pytest.mark.parametrize(
    ("change", "state", "venue_id"),
    [
        ({}, "untriggered", "2146760"),
        ({"algoStatus": "TRIGGERING"}, "live", "2146760"),
        ({"algoStatus": "TRIGGERED", "actualOrderId": "887001"}, "live", "887001"),
        ({"algoStatus": "FINISHED", "actualOrderId": "887001", "executedQty": "0.01"}, "filled", "887001"),
        ({"algoStatus": "FINISHED", "actualOrderId": "887001"}, "triggered", "887001"),
        ({"algoStatus": "CANCELED"}, "canceled", "2146760"),
        ({"algoStatus": "EXPIRED"}, "expired", "2146760"),
        ({"algoStatus": "REJECTED"}, "rejected", "2146760"),
        ({"algoStatus": "PAUSED"}, "odd:PAUSED", "2146760"),
    ],
)
def test_a_conditional_order_is_told_with_the_order_it_made(change, state, venue_id):
    row = USDM.read_order(ok(ALGO | change))
    assert (row.state, row.venue_id, row.kind, row.reduce_only) == (state, venue_id, "stop_market", True)


def test_a_stop_that_closes_a_whole_position_has_no_size():
    row = USDM.read_order(ok(ALGO | {"quantity": None, "price": None}))
    assert (row.size, row.price, row.state) == ("0", "0", "untriggered")


@BOTH
def test_not_found_is_none_and_every_other_refusal_is_an_error(rest):
    assert rest.read_order(no(-2013, "Order does not exist.")) is None
    for reply in (
        no(-2013, status=503),
        no(-1021),
        no(-2015, status=401),
        Reply(502, {}, b"<html>"),
        no(-1003, status=429),
    ):
        with pytest.raises(RestError):
            rest.read_order(reply)


def test_an_archived_order_is_an_error_that_says_not_open():
    with pytest.raises(RestError) as caught:
        SPOT.read_order(no(-2026, "Order was canceled or expired with no executed qty over 90 days ago."))
    assert caught.value.said.group == ErrorGroup.GROUP_NOT_OPEN


@BOTH
@pytest.mark.parametrize(
    "body", [b"", b"{}", b"null", b'""', b"5", b"[5]", b'{"symbol":"X"}', b"[{}]", b"[[]]"]
)
def test_an_answer_that_is_not_understood_is_an_error_and_never_an_empty_list(rest, body):
    """failures.md row 84."""
    readers = [rest.read_open_orders, rest.read_trades, rest.read_balances, rest.read_order]
    for reader in readers + ([] if rest is SPOT else [rest.read_positions, rest.read_cash]):
        with pytest.raises(ValueError, match=r"\w"):
            reader(Reply(200, {}, body))


@BOTH
def test_an_empty_list_is_a_whole_answer(rest):
    assert rest.read_open_orders(ok([])) == ([], None)
    assert rest.read_trades(ok([])) == ([], None)


@pytest.mark.parametrize("text", ["", "1e5", "NaN", None, 1.5, 5, "-", "1" * 41])
@pytest.mark.parametrize("field", ["price", "origQty", "executedQty", "stopPrice"])
def test_a_number_that_is_none_is_refused_with_its_field(field, text):
    with pytest.raises(ValueError, match=field):
        SPOT.read_order(ok(ORDER | {field: text}))


# ---- trades, positions, balances, cash ----

TRADE = {"symbol": "BNBBTC", "id": 28457, "orderId": 100234, "orderListId": -1, "price": "4.00000100"}
TRADE |= {
    "qty": "12.00000000",
    "quoteQty": "48.000012",
    "commission": "10.10000000",
    "commissionAsset": "BNB",
}
TRADE |= {"time": 1499865549590, "isBuyer": True, "isMaker": False, "isBestMatch": True}
USER_TRADE = {"symbol": "BTCUSDT", "id": 698759, "orderId": 25851813, "side": "SELL", "positionSide": "BOTH"}
USER_TRADE |= {"price": "7819.01", "qty": "0.002", "quoteQty": "15.63802", "realizedPnl": "-0.91539999"}
USER_TRADE |= {"commission": "-0.07819010", "commissionAsset": "USDT", "marginAsset": "USDT", "maker": True}
USER_TRADE |= {"buyer": False, "time": 1569514978020}


def test_trades_have_the_identity_that_the_stream_gives_them():
    (row,), more = SPOT.read_trades(ok([TRADE]))
    assert more is None
    assert (row.trade_hi, row.trade_lo, row.venue_id, row.side) == (0, 28457, "100234", int(Side.BUY))
    assert (row.price, row.size, row.fee, row.fee_coin, row.is_maker) == (
        "4.00000100",
        "12.00000000",
        "10.10000000",
        "BNB",
        False,
    )
    (row,), _ = USDM.read_trades(ok([USER_TRADE]))
    assert (row.side, row.is_maker, row.fee, row.event_ns) == (
        int(Side.SELL),
        True,
        "-0.07819010",
        1569514978020 * MS,
    )


@pytest.mark.parametrize(("word", "leg"), [("BOTH", "net"), ("LONG", "long"), ("SHORT", "short")])
def test_orders_stops_and_trades_say_their_leg(word, leg):
    side = {"positionSide": word}
    assert USDM.read_order(ok(FUTURE | side)).leg == leg
    assert USDM.read_order(ok(ALGO | side)).leg == leg
    assert USDM.read_trades(ok([USER_TRADE | side]))[0][0].leg == leg
    assert SPOT.read_order(ok(ORDER)).leg == SPOT.read_trades(ok([TRADE]))[0][0].leg == ""


def test_a_leg_that_nobody_knows_is_refused():
    for read in (lambda x: USDM.read_order(ok(FUTURE | x)), lambda x: USDM.read_trades(ok([USER_TRADE | x]))):
        with pytest.raises(ValueError, match="positionSide"):
            read({"positionSide": "UP"})


def test_a_trade_that_contradicts_itself_is_refused():
    with pytest.raises(ValueError, match="side"):
        USDM.read_trades(ok([USER_TRADE | {"buyer": True}]))


def test_a_full_page_asks_for_the_next_by_trade_id():
    rows, more = SPOT.read_trades(ok([TRADE | {"id": 5 + i} for i in range(PAGE)]))
    assert len(rows) == PAGE
    assert more.target == "/api/v3/myTrades?symbol=BNBBTC&fromId=1005&limit=1000"


PLACE = {"symbol": "ADAUSDT", "positionSide": "SHORT", "positionAmt": "-30", "entryPrice": "0.385"}
PLACE |= {"breakEvenPrice": "0.385077", "markPrice": "0.41047590", "updateTime": 1720736417660}


def test_positions_are_signed_and_by_leg():
    rows, more = USDM.read_positions(ok([PLACE, PLACE | {"positionSide": "BOTH", "positionAmt": "0"}]))
    assert more is None
    assert [(x.symbol, x.size, x.leg) for x in rows] == [("ADAUSDT", "-30", "short"), ("ADAUSDT", "0", "net")]
    for change in ({"positionAmt": ""}, {"positionSide": "UP"}, {"positionAmt": None}):
        with pytest.raises(ValueError, match="position"):
            USDM.read_positions(ok([PLACE | change]))


def test_balances_are_totals_with_what_is_locked():
    account = {"updateTime": 123456789, "balances": [{"asset": "BTC", "free": "1.5", "locked": "0.00000001"}]}
    assert SPOT.read_balances(ok(account)) == [
        BalanceRow(BINANCE_SPOT, "BTC", "1.50000001", "1.5", 123456789 * MS)
    ]
    wallet = {"accountAlias": "SgsR", "asset": "USDT", "balance": "122.1", "availableBalance": "23.7"}
    wallet |= {"crossWalletBalance": "122.1", "updateTime": 1617939110373}
    (row,) = USDM.read_balances(ok([wallet]))
    assert (row.coin, row.total, row.free) == ("USDT", "122.1", "23.7")


INCOME = {"symbol": "BTCUSDT", "incomeType": "FUNDING_FEE", "income": "-0.37500000", "asset": "USDT"}
INCOME |= {"info": "", "time": 1570608000000, "tranId": 9689322392, "tradeId": ""}


def test_income_is_cash_where_no_trade_tells_it():
    rows, more = USDM.read_cash(
        ok([INCOME | {"incomeType": x} for x in ("FUNDING_FEE", "REALIZED_PNL", "COMMISSION", "NEW_KIND")])
    )
    assert more is None
    assert [x.kind for x in rows] == ["funding", "new_kind"]
    assert (rows[0].amount, rows[0].symbol, rows[0].key) == (
        "-0.37500000",
        "BTCUSDT",
        "FUNDING_FEE:9689322392:BTCUSDT",
    )


def test_pages_of_income_always_go_on():
    page = [INCOME | {"time": 1000 + i // 2} for i in range(PAGE)]
    assert query(USDM.read_cash(ok(page))[1])["startTime"] == "1499"
    page = [INCOME | {"time": 1000} for _ in range(PAGE)]
    assert query(USDM.read_cash(ok(page))[1])["startTime"] == "1001"


def test_key_modes_and_brackets_are_read():
    info = USDM.read_key_info(ok({"canTrade": True, "canWithdraw": True, "dualSidePosition": False}))
    assert (info.can_trade, info.hedge, info.can_withdraw) == (True, False, None)
    assert USDM.read_modes(ok({"dualSidePosition": True}))[0].hedge
    config = {"symbol": "BTCUSDT", "marginType": "CROSSED", "leverage": 21, "maxNotionalValue": "1000000"}
    (row,) = USDM.read_modes(ok([config]))
    assert (row.symbol, row.leverage, row.margin_mode) == ("BTCUSDT", "21", "cross")
    brackets = [{"bracket": 1, "initialLeverage": 75}, {"bracket": 2, "initialLeverage": 50}]
    assert USDM.read_max_leverage(ok([{"symbol": "ETHUSDT", "brackets": brackets}])) == {"ETHUSDT": "75"}


def test_the_clock_is_read_in_ns():
    assert SPOT.read_time(ok({"serverTime": 1499827319559})) == 1499827319559 * MS
    for body in ({}, {"serverTime": "1"}, {"serverTime": True}, {"serverTime": -1}):
        with pytest.raises(ValueError, match="serverTime"):
            SPOT.read_time(ok(body))


# ---- what answers prove ----

PLACE_ORDER = Request("POST", "/api/v3/order?symbol=X&timestamp=1700000000123")
PLACE_FUTURE = Request("POST", "/fapi/v1/order?symbol=X")
REFUSED, UNCERTAIN, ACCEPTED = int(Outcome.REFUSED), int(Outcome.UNCERTAIN), int(Outcome.ACCEPTED)


@pytest.mark.parametrize(
    ("rest", "status", "body", "outcome", "group"),
    [
        (SPOT, 503, b"Service Unavailable.", UNCERTAIN, "UNKNOWN"),
        (USDM, 503, b"Service Unavailable.", REFUSED, "OTHER"),
        (USDM, 503, b'{"code":0,"msg":"Service Unavailable."}', REFUSED, "OTHER"),
        (USDM, 503, b'{"code":-1008,"msg":"x"}', REFUSED, "LIMIT"),
        (
            USDM,
            503,
            b'{"code":-1000,"msg":"Unknown error, please check your request or try again later."}',
            UNCERTAIN,
            "UNKNOWN",
        ),
        (USDM, 502, b"<html>Bad gateway</html>", UNCERTAIN, "UNKNOWN"),
        (SPOT, 403, b"<html>Request blocked</html>", UNCERTAIN, "UNKNOWN"),
        (SPOT, 429, b'{"code":-1015,"msg":"Too many new orders."}', REFUSED, "LIMIT"),
        (SPOT, 418, b"", REFUSED, "LIMIT"),
        (SPOT, 400, b'{"code":-2010,"msg":"Market is closed."}', REFUSED, "MARKET"),
        (USDM, 400, b'{"code":-5022,"msg":"x"}', REFUSED, "POST_ONLY"),
        (SPOT, 408, b"", UNCERTAIN, "UNKNOWN"),
        (SPOT, 400, b"", UNCERTAIN, "UNKNOWN"),
        (SPOT, 200, b"", UNCERTAIN, "UNKNOWN"),
        (SPOT, 200, b"{}", UNCERTAIN, "UNKNOWN"),
        (SPOT, 200, b"[]", UNCERTAIN, "UNKNOWN"),
    ],
)
def test_an_answer_to_a_new_order_proves_what_it_says(rest, status, body, outcome, group):
    said = rest.read_said(PLACE_ORDER if rest is SPOT else PLACE_FUTURE, Reply(status, {}, body))
    assert (said.outcome, said.group) == (outcome, ErrorGroup[f"GROUP_{group}"])


def test_an_accepted_order_tells_its_id_and_more_than_new_only_where_it_is_more():
    ack = {"symbol": "BTCUSDT", "orderId": 28, "orderListId": -1, "clientOrderId": "x", "transactTime": 15}
    said = SPOT.read_said(PLACE_ORDER, ok(ack))
    assert (said.outcome, said.venue_id, said.row) == (ACCEPTED, "28", None)
    assert USDM.read_said(PLACE_FUTURE, ok(FUTURE)).row is None
    assert USDM.read_said(PLACE_FUTURE, ok(FUTURE | {"status": "EXPIRED"})).row.state == "expired"
    said = USDM.read_said(Request("POST", "/fapi/v1/algoOrder?x=1"), ok(ALGO))
    assert (said.outcome, said.venue_id) == (ACCEPTED, "2146760")


CANCELED = ORDER | {
    "status": "CANCELED",
    "executedQty": "0.25",
    "origClientOrderId": "ours",
    "clientOrderId": "c1",
}


def test_a_cancel_names_the_order_and_not_itself():
    said = SPOT.read_said(SPOT.cancel("LTCBTC", "ours"), ok(CANCELED))
    assert (said.outcome, said.row.client_id, said.row.state, said.row.filled) == (
        ACCEPTED,
        "ours",
        "canceled",
        "0.25",
    )
    said = USDM.read_said(USDM.cancel("LTCBTC", "ours"), ok(FUTURE | {"status": "CANCELED"}))
    assert (said.row.client_id, said.row.state) == ("myOrder1", "canceled")
    said = USDM.read_said(
        USDM.cancel("X", "a", is_algo=True),
        ok({"algoId": 7, "clientAlgoId": "a", "code": "200", "msg": "success"}),
    )
    assert (said.outcome, said.venue_id) == (ACCEPTED, "7")


@BOTH
def test_a_cancel_of_an_order_that_is_not_open_is_refused(rest):
    said = rest.read_said(rest.cancel("X", "a"), no(-2011, "Unknown order sent."))
    assert (said.outcome, said.group, said.code) == (REFUSED, ErrorGroup.GROUP_NOT_OPEN, -2011)


def test_an_amend_shows_what_is_in_force():
    request = Request("PUT", "/api/v3/order/amend/keepPriority?symbol=X")
    order = {
        "symbol": "BTCUSDT",
        "orderId": 33,
        "orderListId": -1,
        "origClientOrderId": "a",
        "clientOrderId": "a",
    }
    order |= {"price": "6.00", "qty": "5.00", "executedQty": "1.00", "preventedQty": "0.00", "status": "NEW"}
    order |= {"cumulativeQuoteQty": "0.0", "timeInForce": "GTC", "type": "LIMIT", "side": "SELL"}
    said = SPOT.read_said(
        request, ok({"transactTime": 1741926410255, "executionId": 75, "amendedOrder": order})
    )
    assert (said.outcome, said.row.size, said.row.filled, said.row.client_id) == (
        ACCEPTED,
        "5.00",
        "1.00",
        "a",
    )
    said = USDM.read_said(Request("PUT", "/fapi/v1/order?x=1"), ok(FUTURE | {"origQty": "7"}))
    assert said.row.size == "7"


def test_cancel_all_is_an_acceptance_and_proves_no_cancel():
    done = {"code": 200, "msg": "The operation of cancel all open order is done."}
    for request in USDM.cancel_all("X"):
        assert USDM.read_said(request, ok(done)).outcome == ACCEPTED
    assert SPOT.read_said(SPOT.cancel_all("X")[0], ok([CANCELED])).outcome == ACCEPTED
    assert SPOT.read_said(SPOT.cancel_all("X")[0], no(-2011)).group == ErrorGroup.GROUP_NOT_OPEN
    assert SPOT.read_said(SPOT.cancel_all("X")[0], Reply(200, {}, b"")).outcome == UNCERTAIN


GONE = {"code": -2011, "msg": "Unknown order sent."}
TAKES = {"code": -2010, "msg": "Order would immediately match and take."}
NEW_ACK = {"symbol": "LTCBTC", "orderId": 99, "clientOrderId": "n1", "transactTime": 5}


def legs(cancel, new, cancel_said, new_said) -> dict:
    return {
        "cancelResult": cancel,
        "newOrderResult": new,
        "cancelResponse": cancel_said,
        "newOrderResponse": new_said,
    }


@pytest.mark.parametrize(
    ("status", "code", "data", "old", "new"),
    [
        (200, 0, legs("SUCCESS", "SUCCESS", CANCELED, NEW_ACK), (ACCEPTED, 0), (ACCEPTED, 0)),
        (400, -2022, legs("FAILURE", "NOT_ATTEMPTED", GONE, None), (REFUSED, -2011), (REFUSED, -2022)),
        (400, -2022, legs("FAILURE", "FAILURE", GONE, TAKES), (REFUSED, -2011), (REFUSED, -2010)),
        (409, -2021, legs("SUCCESS", "FAILURE", CANCELED, TAKES), (ACCEPTED, 0), (REFUSED, -2010)),
        (409, -2021, legs("FAILURE", "SUCCESS", GONE, NEW_ACK), (REFUSED, -2011), (ACCEPTED, 0)),
        (429, -1015, None, (REFUSED, -1015), (REFUSED, -1015)),
        (409, -2021, legs("SUCCESS", "FAILURE", CANCELED, {"code": -1015}), (ACCEPTED, 0), (REFUSED, -1015)),
        (429, -2021, legs("SUCCESS", "FAILURE", CANCELED, {"code": -1015}), (ACCEPTED, 0), (REFUSED, -1015)),
        (
            409,
            -2021,
            legs("SUCCESS", "FAILURE", CANCELED, {"code": -1007}),
            (ACCEPTED, 0),
            (UNCERTAIN, -1007),
        ),
        (409, -2021, None, (UNCERTAIN, -2021), (UNCERTAIN, -2021)),
        (503, -1000, None, (UNCERTAIN, -1000), (UNCERTAIN, -1000)),
        (409, -2021, legs("MAYBE", "PERHAPS", None, None), (UNCERTAIN, 0), (UNCERTAIN, 0)),
        (200, 0, {}, (UNCERTAIN, 0), (UNCERTAIN, 0)),
    ],
)
def test_both_legs_of_a_replace_are_read(status, code, data, old, new):
    """failures.md row 53; the table of binance.md 7.4."""
    body = {"code": code, "msg": "x"} | ({"data": data} if data else {}) if code else data
    found = SPOT.read_replace(ok(body, status))
    assert [(x.outcome, x.code) for x in found] == [old, new]
    request = Request("POST", "/api/v3/order/cancelReplace?x=1")
    said = SPOT.read_said(request, ok(body, status))
    assert said.outcome == new[0]
    if old[0] == ACCEPTED and data:
        assert (said.row.client_id, said.row.state) == ("ours", "canceled")


def test_secrets_never_come_back_in_words():
    said = SPOT.read_said(PLACE_ORDER, no(-2015, "topsecretwords apikeyapikey1", 401))
    assert "topsecret" not in said.text
    assert "apikeyapikey1" not in said.text
    with pytest.raises(RestError) as caught:
        SPOT.read_balances(no(-2015, "topsecretwords apikeyapikey1", 401))
    assert "topsecret" not in str(caught.value)


# ---- budgets ----


def test_the_servers_counts_are_read_from_the_headers():
    headers = {"x-mbx-used-weight-1m": "70", "x-mbx-order-count-10s": "3", "X-MBX-ORDER-COUNT-1D": "9"}
    headers |= {"x-mbx-used-weight": "70", "x-mbx-order-count-7x": "1", "x-mbx-used-weight-1h": "-1"}
    assert SPOT.budgets(PLACE_ORDER, Reply(200, headers, b"{}")) == [
        BudgetRow(WEIGHT, 60 * SECOND, 70, 6000),
        BudgetRow(ORDERS, 10 * SECOND, 3, 50),
        BudgetRow(ORDERS, 86_400 * SECOND, 9, 160_000),
    ]


def test_a_wait_counts_on_the_venues_clock():
    """failures.md row 57."""
    date = {"retry_after": "7", "date": "Fri, 20 Nov 2026 10:00:00 GMT"}
    said = SPOT.read_said(PLACE_ORDER, no(-1003, status=429, **date))
    assert said.until_ns == (1_795_168_800 + 8) * SECOND
    assert SPOT.budgets(PLACE_ORDER, no(-1015, status=429, **date)) == [
        BudgetRow(ORDERS, until_ns=said.until_ns)
    ]
    assert (
        SPOT.read_said(PLACE_ORDER, no(-1003, status=429, retry_after="7")).until_ns == 1_700_000_008 * SECOND
    )
    ban = "Way too much request weight used; IP banned until 1800000000123. Please use WebSocket Streams."
    assert SPOT.read_said(PLACE_ORDER, no(-1003, ban, 418)).until_ns == 1800000000123 * MS
    assert SPOT.read_said(PLACE_FUTURE, no(-1003, status=418)).until_ns == 0  # nothing to count from
    assert SPOT.read_said(PLACE_ORDER, no(-2010)).until_ns == 0


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"code":-1121,"msg":"Invalid symbol."}', (-1121, "Invalid symbol.")),
        (b'{"code":200,"msg":"done"}', (0, "done")),
        (b'{"algoId":1,"code":"200","msg":"success"}', (0, "success")),
        (b'{"code":true}', (0, "")),
        (b'{"code":"x"}', (0, "")),
        (b"{}", (0, "")),
        (b"[]", (0, "")),
        (b"<html>\xff", (0, "<html>�")),
    ],
)
def test_code_and_text_of_an_answer(body, expected):
    assert error_of(Reply(200, {}, body)) == expected


def test_published_answers_are_read():
    """Samples of another project (see the recordings' README), read by the reader that their path names."""
    readers = {
        "futures/http_json/balance.json": USDM.read_balances,
        "futures/http_json/open_algo_orders.json": USDM.read_open_orders,
        "futures/http_json/order_response.json": USDM.read_order,
        "futures/http_json/position_risk.json": USDM.read_positions,
        "spot/http_json/account_response.json": SPOT.read_balances,
        "spot/http_json/account_trades_response.json": SPOT.read_trades,
        "spot/http_json/all_orders_response.json": SPOT.read_open_orders,
    }
    found = {}
    for line in frames.rows("fixtures/binance-nautilus.jsonl.gz"):
        name = line["channel"].removeprefix("fixture:")
        if name in readers:
            found[name] = readers[name](Reply(200, {}, line["raw"].encode()))
    assert found.keys() == readers.keys()
    assert found["futures/http_json/open_algo_orders.json"][0][0].kind == "stop_market"
    assert found["futures/http_json/position_risk.json"][0][0].size == "0.001"

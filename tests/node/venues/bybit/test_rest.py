import hashlib
import hmac
import json
from dataclasses import replace

import pytest
from frames import rows

from ext.instruments import Instruments
from ext.records import BudgetKind, ErrorGroup, Nature, Outcome, Side
from ext.venues.bybit import BybitWire
from ext.wire import ListSink
from node.venues.bybit import rest, rules
from node.venues.keys import Key
from node.venues.values import (
    BalanceRow,
    BudgetRow,
    CashRow,
    InstrumentRow,
    KeyRow,
    ModeRow,
    OrderRow,
    PositionRow,
    Reply,
    Request,
    RestError,
    TradeRow,
)

LINEAR_ROW = {
    "symbol": "BTCUSDT",
    "contractType": "LinearPerpetual",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "settleCoin": "USDT",
    "deliveryTime": "0",
    "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
    "status": "Trading",
    "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
    "lotSizeFilter": {
        "maxOrderQty": "1190.000",
        "minOrderQty": "0.001",
        "qtyStep": "0.001",
        "maxMktOrderQty": "500.000",
        "minNotionalValue": "5",
    },
}
SPOT_ROW = {
    "symbol": "BTCUSDT",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "status": "Trading",
    "lotSizeFilter": {
        "basePrecision": "0.000001",
        "quotePrecision": "0.0000001",
        "minOrderQty": "0.000011",
        "maxOrderQty": "83",
        "minOrderAmt": "5",
        "maxLimitOrderQty": "83",
        "maxMarketOrderQty": "41.5",
    },
    "priceFilter": {"tickSize": "0.1"},
}


def reply(*instruments, **result) -> bytes:
    return json.dumps({"retCode": 0, "retMsg": "OK", "result": {"list": instruments, **result}}).encode()


def changed(row: dict, path: str, value) -> dict:
    """A copy of a row with one member changed, or left out where the value is None."""
    out = json.loads(json.dumps(row))
    *groups, name = path.split(".")
    inner = out
    for group in groups:
        inner = inner[group]
    inner[name] = value
    if value is None:
        del inner[name]
    return out


def test_requests_name_market_page_and_symbol():
    assert rest.server_time() == Request("GET", "/v5/market/time")
    target = "/v5/market/instruments-info?category=linear&limit=1000"
    assert rest.instruments_info(rules.LINEAR).target == target
    assert rest.instruments_info(rules.LINEAR, "first%3D0GUSDT%26last%3DX").target == (
        target + "&cursor=first%3D0GUSDT%26last%3DX"
    )
    assert rest.instruments_info(rules.SPOT).target == "/v5/market/instruments-info?category=spot"
    assert rest.orderbook(rules.SPOT, "BTC&USDT", 50).target == (
        "/v5/market/orderbook?category=spot&symbol=BTC%26USDT&limit=50"
    )


@pytest.mark.parametrize("cursor", ["a b", "a\r\nHost: x", "a&category=spot", "a#b"])
def test_a_cursor_that_is_not_encoded_is_not_sent(cursor):
    with pytest.raises(ValueError, match="cursor"):
        rest.instruments_info(rules.LINEAR, cursor)


def test_an_instrument_keeps_the_venues_own_text():
    assert rest.instruments(reply(LINEAR_ROW)) == [
        InstrumentRow(
            rules.LINEAR,
            "BTCUSDT",
            "0.10",
            "0.001",
            is_perpetual=True,
            min_price="0.10",
            max_price="1999999.80",
            min_size="0.001",
            max_size="1190.000",
            min_notional="5",
            base="BTC",
            quote="USDT",
            max_market_size="500.000",
            max_orders=500,
            max_leverage="100.00",
        )
    ]
    spot = InstrumentRow(rules.SPOT, "BTCUSDT", "0.1", "0.000001", max_size="83", min_notional="5")
    more = {"base": "BTC", "quote": "USDT", "max_market_size": "41.5", "max_orders": 500}
    assert rest.instruments(reply(SPOT_ROW)) == [replace(spot, **more)]


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("status", "Trading", "trading"),
        ("status", "PreLaunch", "auction"),
        ("status", "Delivering", "settling"),
        ("status", "Closed", "halt"),
        ("status", "SomethingNew", "halt"),
        ("deliveryTime", "1777777777000", "delisting"),
    ],
)
def test_the_state_of_an_instrument_is_told_in_the_words_of_all_venues(field, value, status):
    (row,) = rest.instruments(reply(changed(LINEAR_ROW, field, value)))
    assert row.status == status
    assert row.ends_ns == (int(value) * 10**6 if field == "deliveryTime" else 0)


@pytest.mark.parametrize(
    ("phase", "status"),
    [
        ("CallAuction", "auction"),
        ("CallAuctionNoCancel", "no_cancel"),
        ("CrossMatching", "no_cancel"),
        ("ContinuousTrading", "auction"),
    ],
)
def test_the_phase_of_a_contract_that_is_not_listed_yet_is_told(phase, status):
    row = LINEAR_ROW | {"isPreListing": True, "preListingInfo": {"curAuctionPhase": phase}}
    assert rest.instruments(reply(row))[0].status == status


@pytest.mark.parametrize(
    ("row", "tradable"),
    [
        (changed(LINEAR_ROW, "status", "PreLaunch"), False),
        (changed(LINEAR_ROW, "status", "Closed"), False),
        (changed(LINEAR_ROW, "contractType", "LinearFutures"), False),
        (changed(LINEAR_ROW, "contractType", "InversePerpetual"), False),
        (changed(LINEAR_ROW, "isPreListing", True), False),
        (changed(LINEAR_ROW, "isPreListing", False), True),
        (changed(SPOT_ROW, "status", "Delivering"), False),
    ],
)
def test_only_open_spot_pairs_and_linear_perpetuals_are_tradable(row, tradable):
    assert rest.instruments(reply(row))[0].tradable is tradable


@pytest.mark.parametrize("value", ["1e-3", "-0.1", "0", "0.0", "", "abc", 0.1, "1" * 41, "01", "٠.١", None])
@pytest.mark.parametrize("field", ["priceFilter.tickSize", "lotSizeFilter.qtyStep"])
def test_a_bad_step_is_refused_with_its_name(field, value):
    with pytest.raises(ValueError, match=f"BTCUSDT: {field}"):
        rest.instruments(reply(changed(LINEAR_ROW, field, value)))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not JSON"),
        (b"<html>403 Forbidden</html>", "not JSON"),
        (b"[]", "no retCode"),
        (b'{"result":{}}', "no retCode"),
        (b'{"retCode":10001,"retMsg":"Illegal category","result":{}}', "retCode 10001: Illegal category"),
        (b'{"retCode":0,"retMsg":"OK"}', "no result"),
        (b'{"retCode":0,"result":{"list":{}}}', "result.list"),
        (b'{"retCode":0,"result":{"list":[7]}}', "row is not an object"),
        (b'{"retCode":0,"result":{"list":[{}]}}', "symbol: missing"),
        (reply(changed(LINEAR_ROW, "status", None)), "BTCUSDT: status: missing"),
        (reply(changed(LINEAR_ROW, "priceFilter", None)), "BTCUSDT: priceFilter: missing"),
        (reply(changed(LINEAR_ROW, "lotSizeFilter", "x")), "BTCUSDT: lotSizeFilter: missing"),
        (
            reply(changed(LINEAR_ROW, "lotSizeFilter.minNotionalValue", "five")),
            "lotSizeFilter.minNotionalValue",
        ),
    ],
)
def test_a_bad_reply_is_refused_with_its_field(raw, why):
    with pytest.raises(ValueError, match=why):
        rest.instruments(raw)


def test_pages_are_followed_by_their_cursor():
    assert rest.next_cursor(reply(LINEAR_ROW, nextPageCursor="first%3D1")) == "first%3D1"
    assert rest.next_cursor(reply(SPOT_ROW)) == rest.next_cursor(reply(SPOT_ROW, nextPageCursor=None)) == ""
    with pytest.raises(ValueError, match="nextPageCursor"):
        rest.next_cursor(reply(nextPageCursor=5))


def test_time_and_book_are_read():
    time = b'{"retCode":0,"result":{"timeSecond":"1688639403","timeNano":"1688639403423213947"}}'
    assert rest.server_time_ns(time) == 1688639403423213947
    with pytest.raises(ValueError, match="timeNano"):
        rest.server_time_ns(b'{"retCode":0,"result":{"timeNano":"x"}}')
    book = {"s": "BTCUSDT", "b": [["27450.50", "1.5"]], "a": [], "u": 1234567, "seq": 9876543}
    raw = json.dumps({"retCode": 0, "result": book}).encode()
    assert rest.book(raw) == rest.BookReply("BTCUSDT", [("27450.50", "1.5")], [], 1234567, 9876543)
    for bad in ({"b": [["1e3", "1"]]}, {"a": 5}, {"u": "x"}, {"s": None}):
        with pytest.raises(ValueError, match="orderbook"):
            rest.book(json.dumps({"retCode": 0, "result": book | bad}).encode())


def test_the_recorded_list_of_the_venue_fills_the_instrument_table():
    line = next(rows("bybit/linear-2026-08-09-with-rest.jsonl.gz"))
    found = rest.instruments(line["raw"].encode())
    table = Instruments()
    for row in found:
        table.add(
            row.market,
            row.symbol,
            row.tick,
            row.lot,
            row.contract,
            tradable=row.tradable,
            is_perpetual=row.is_perpetual,
            min_price=row.min_price,
            max_price=row.max_price,
            min_size=row.min_size,
            max_size=row.max_size,
            min_notional=row.min_notional,
        )
    assert len(found) > 500
    btc = table.row(table.index(rules.LINEAR, "BTCUSDT"))
    assert (btc["tradable"], btc["is_perpetual"], btc["tick_mantissa"], btc["price_decimals"]) == (1, 1, 1, 1)
    assert sum(x.tradable for x in found) > 400


def test_every_instruments_reply_of_the_fixtures_is_read():
    names = []
    for line in rows("fixtures/bybit-nautilus.jsonl.gz"):
        if "http_get_instruments" in line["channel"]:
            found = rest.instruments(line["raw"].encode())
            names.append(line["channel"])
            assert found, line["channel"]
            is_traded = "spot" in line["channel"] or "linear" in line["channel"]
            assert all(x.tradable for x in found) == is_traded, line["channel"]
    assert len(names) == 8


# ---- the signed half ----

STAMP = 1_672_211_918_471
KEY = Key("XXXXXXXXXXYYYYYYYY", "very secret thing")


@pytest.fixture
def linear() -> rest.Rest:
    return rest.Rest(rules.LINEAR, KEY, 1500)


@pytest.fixture
def spot() -> rest.Rest:
    return rest.Rest(rules.SPOT, KEY, 1500)


def answer(result=None, code=0, text="OK", status=200, headers=None, **more) -> Reply:
    body = {"retCode": code, "retMsg": text, "result": {} if result is None else result, "retExtInfo": {}}
    body |= {"time": STAMP} | more
    return Reply(status, headers or {}, json.dumps(body).encode())


def page(*rows_, cursor="", category="linear") -> Reply:
    return answer({"category": category, "list": list(rows_), "nextPageCursor": cursor})


def signed(request: Request) -> tuple[str, dict]:
    """What the venue signs for a request, and its headers."""
    headers = dict(request.headers)
    payload = request.body.decode() if request.method == "POST" else request.target.partition("?")[2]
    text = headers["X-BAPI-TIMESTAMP"] + headers["X-BAPI-API-KEY"] + headers["X-BAPI-RECV-WINDOW"] + payload
    return hmac.new(b"very secret thing", text.encode(), hashlib.sha256).hexdigest(), headers


def test_a_request_is_signed_over_exactly_what_is_sent(linear):
    """Reference section 4.4: timestamp + key + window + query or body."""
    for request in (linear.order("BTCUSDT", "a1"), linear.cancel("BTCUSDT", "a1"), *linear.key_info()):
        ready = linear.sign(request, STAMP)
        digest, headers = signed(ready)
        assert headers["X-BAPI-SIGN"] == digest
        assert headers["X-BAPI-TIMESTAMP"] == "1672211918471"
        assert headers["X-BAPI-RECV-WINDOW"] == "1500"
        assert (ready.method, ready.target, ready.body) == (request.method, request.target, request.body)
    assert dict(linear.sign(linear.cancel("X", "a"), STAMP).headers)["Content-Type"] == "application/json"


def test_market_data_goes_out_unsigned(linear):
    assert linear.sign(linear.time(), STAMP) == Request("GET", "/v5/market/time")
    time = answer({"timeSecond": "1688639403", "timeNano": "1688639403423213947"})
    assert linear.read_time(time) == 1688639403423213947


def test_requests_read_as_documented(linear, spot):
    realtime = "/v5/order/realtime?category=linear"
    assert linear.order("BTCUSDT", "a1").target == f"{realtime}&symbol=BTCUSDT&orderLinkId=a1"
    assert linear.order("BTCUSDT", venue_id="v1").target == f"{realtime}&symbol=BTCUSDT&orderId=v1"
    assert linear.history("BTCUSDT", "a1").target.startswith("/v5/order/history?category=linear&symbol=")
    with pytest.raises(ValueError, match="client id or a venue id"):
        linear.order("BTCUSDT")
    assert [x.target for x in linear.open_orders("BTCUSDT")] == [
        f"{realtime}&settleCoin={coin}&openOnly=0&limit=50" for coin in ("USDT", "USDC")
    ]
    assert [x.target for x in spot.open_orders()] == ["/v5/order/realtime?category=spot&openOnly=0&limit=50"]
    assert linear.trades("BTCUSDT", STAMP * 10**6).target == (
        f"/v5/execution/list?category=linear&symbol=BTCUSDT&startTime={STAMP}&limit=100"
    )
    assert [x.target for x in linear.positions()] == [
        f"/v5/position/list?category=linear&settleCoin={coin}&limit=200" for coin in ("USDT", "USDC")
    ]
    assert spot.positions() == []
    assert linear.position("BTCUSDT").target == "/v5/position/list?category=linear&symbol=BTCUSDT"
    assert linear.balances().target == "/v5/account/wallet-balance?accountType=UNIFIED"
    assert [x.target for x in linear.cash(STAMP * 10**6)] == [
        f"/v5/account/transaction-log?accountType=UNIFIED&startTime={STAMP}&limit=50"
    ]
    assert [x.target for x in linear.key_info()] == ["/v5/user/query-api", "/v5/account/info"]
    assert linear.retention_ns() == 24 * 3600 * 10**9


def test_cancels_name_every_kind_of_order(linear, spot):
    """Reference section 4.6; failures.md row 68: without a filter spot cancels plain orders only."""
    request = linear.cancel("BTCUSDT", "a1")
    assert (request.method, request.target) == ("POST", "/v5/order/cancel")
    assert json.loads(request.body) == {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "a1"}
    assert json.loads(spot.cancel_stop("BTCUSDT", "a1").body)["orderFilter"] == "StopOrder"
    assert "orderFilter" not in json.loads(linear.cancel_stop("BTCUSDT", "a1").body)
    (all_linear,) = linear.cancel_all("BTCUSDT")
    assert json.loads(all_linear.body) == {"category": "linear", "symbol": "BTCUSDT"}
    filters = [json.loads(x.body)["orderFilter"] for x in spot.cancel_all("BTCUSDT")]
    assert filters == ["Order", "StopOrder", "tpslOrder", "OcoOrder", "BidirectionalTpslOrder"]


@pytest.mark.parametrize(
    ("wish", "path"),
    [
        ({"price_ticks": 5, "size_lots": 7}, "create"),
        ({"type": 2, "trigger_ticks": 5, "size_lots": 7}, "create"),
        ({"action": 1, "order_id": 7}, "cancel"),
        ({"action": 2, "order_id": 7, "price_ticks": 5, "size_lots": 7}, "amend"),
    ],
)
def test_a_frame_becomes_the_request_that_says_the_same(linear, wish, path):
    table = Instruments(2)
    table.add(rules.LINEAR, "BTCUSDT", "0.1", "0.001")
    wire = BybitWire(table, rules.LINEAR)
    frame = wire.preview(wish, 7, STAMP * 10**6)
    request = linear.from_frame(frame)
    assert (request.method, request.target) == ("POST", f"/v5/order/{path}")
    assert json.loads(request.body) == json.loads(frame)["args"][0]
    batch = wire.preview_batch([wish], [7], STAMP * 10**6)
    if "type" not in wish or path == "create":
        assert linear.from_frame(batch).target == f"/v5/order/{path}-batch"
        assert json.loads(linear.from_frame(batch).body)["category"] == "linear"


@pytest.mark.parametrize(
    "frame",
    [b"", b"[]", b"{}", b'{"op":"order.create"}', b'{"op":"order.create","args":[]}', b'{"op":"ping"}'],
)
def test_what_is_no_order_entry_is_not_made_a_request(linear, frame):
    with pytest.raises(ValueError, match="order-entry"):
        linear.from_frame(frame)


# ---- orders ----

ORDER = {
    "symbol": "ETHUSDT",
    "orderId": "fd4300ae-7847-404e-b947-b46980a4d140",
    "orderLinkId": "test-000005",
    "side": "Sell",
    "orderType": "Limit",
    "price": "1600.00",
    "qty": "0.10",
    "cumExecQty": "0.00",
    "orderStatus": "New",
    "cancelType": "UNKNOWN",
    "rejectReason": "EC_NoError",
    "stopOrderType": "UNKNOWN",
    "triggerPrice": "0.00",
    "reduceOnly": False,
    "createdTime": "1684738540559",
    "updatedTime": "1684738540561",
}


def test_an_order_is_read_as_the_venue_spells_it(linear):
    assert linear.read_order(page(ORDER)) == OrderRow(
        market=rules.LINEAR,
        symbol="ETHUSDT",
        client_id="test-000005",
        venue_id="fd4300ae-7847-404e-b947-b46980a4d140",
        side=Side.SELL,
        kind="limit",
        price="1600.00",
        size="0.10",
        filled="0.00",
        state="live",
        trigger="0.00",
        updated_ns=1684738540561 * 10**6,
    )
    assert linear.read_order(page()) is None


@pytest.mark.parametrize(
    ("row", "state"),
    [
        ({"orderStatus": "PartiallyFilled", "cumExecQty": "0.01"}, "partial"),
        ({"orderStatus": "Untriggered"}, "untriggered"),
        ({"orderStatus": "Triggered"}, "live"),
        ({"orderStatus": "Filled", "cumExecQty": "0.10"}, "filled"),
        ({"orderStatus": "Cancelled", "cancelType": "CancelByUser"}, "canceled"),
        ({"orderStatus": "Cancelled", "rejectReason": "EC_PostOnlyWillTakeLiquidity"}, "expired"),
        ({"orderStatus": "Cancelled", "cancelType": "CancelBySmp"}, "expired"),
        ({"orderStatus": "PartiallyFilledCanceled", "rejectReason": "EC_PerCancelRequest"}, "canceled"),
        ({"orderStatus": "Deactivated", "cancelType": "CancelByUser"}, "canceled"),
        ({"orderStatus": "Rejected"}, "rejected"),
        ({"orderStatus": "Rejected", "cumExecQty": "0.05"}, "expired"),
        (
            {"orderStatus": "Rejected", "rejectReason": "EC_DuplicatedClOrdID"},
            "odd:Rejected EC_DuplicatedClOrdID",
        ),
        ({"orderStatus": "Paused"}, "odd:Paused"),
    ],
)
def test_each_state_has_its_word(linear, row, state):
    assert linear.read_order(page(ORDER | row)).state == state


def test_a_stop_is_told_from_a_plain_order(linear):
    stop = ORDER | {"orderStatus": "Untriggered", "orderType": "Market", "price": "", "triggerPrice": "1500"}
    row = linear.read_order(page(stop | {"stopOrderType": "Stop", "reduceOnly": True}))
    assert (row.kind, row.trigger, row.price, row.is_algo) == ("stop_market", "1500", "0", True)
    assert row.reduce_only


def test_a_size_in_money_is_not_taken_for_coins(spot):
    row = ORDER | {"orderType": "Market", "side": "Buy", "qty": "100", "cumExecQty": "0.01"}
    assert spot.read_order(page(row, category="spot")).size == "0.01"
    assert spot.read_order(page(row | {"marketUnit": "baseCoin"}, category="spot")).size == "100"
    assert spot.read_order(page(row | {"side": "Sell"}, category="spot")).size == "100"


def test_of_two_orders_with_one_id_the_newest_counts(linear):
    newer = ORDER | {"orderId": "2", "updatedTime": "1684738540999"}
    assert linear.read_order(page(ORDER, newer, ORDER)).venue_id == "2"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[(x, None) for x in ("symbol", "orderId", "side", "orderType", "orderStatus", "cumExecQty", "qty")],
        *[("qty", x) for x in ("1e3", "-1", "abc", "1" * 41, 5)],
        ("cumExecQty", "x"),
        ("side", "buy"),
        ("updatedTime", "soon"),
        ("price", "01"),
    ],
)
def test_an_order_that_cannot_be_read_is_named(linear, field, value):
    row = {k: v for k, v in (ORDER | {field: value}).items() if v is not None}
    with pytest.raises(ValueError, match=f"{field}: "):
        linear.read_order(page(row))


def test_pages_of_orders_are_followed_with_the_query_they_belong_to(linear, spot):
    found, more = linear.read_open_orders(page(ORDER, cursor="page_args%3D1"))
    assert len(found) == 1
    assert more.target == (
        "/v5/order/realtime?category=linear&settleCoin=USDT&openOnly=0&limit=50&cursor=page_args%3D1"
    )
    assert linear.read_open_orders(page(ORDER)) == (found, None)
    assert linear.read_open_orders(page(cursor="page_args%3D1")) == ([], None)
    perp = ORDER | {"symbol": "ETHPERP"}
    assert "settleCoin=USDC" in linear.read_open_orders(page(perp, cursor="a"))[1].target
    more = spot.read_open_orders(page(ORDER, cursor="a", category="spot"))[1]
    assert more.target == "/v5/order/realtime?category=spot&openOnly=0&limit=50&cursor=a"
    with pytest.raises(ValueError, match="cursor"):
        linear.read_open_orders(page(ORDER, cursor="a b"))


# ---- what is no answer ----


@pytest.mark.parametrize(
    ("reply_", "group", "code"),
    [
        (Reply(502, {}, b"<html>Bad Gateway</html>"), "UNKNOWN", 502),
        (Reply(403, {}, b"<html>access too frequent</html>"), "LIMIT", 403),
        (Reply(403, {}, b"CloudFront is configured to block access from your country"), "ACCESS", 403),
        (Reply(429, {}, b""), "LIMIT", 429),
        (Reply(200, {}, b"not json"), "UNKNOWN", 200),
        (Reply(200, {}, b"[]"), "UNKNOWN", 200),
        (Reply(500, {}, b'{"retCode":0,"result":{"list":[]}}'), "UNKNOWN", 500),
        (answer(code=10003, text="API key is invalid."), "ACCESS", 10003),
        (answer(code=10002, text="invalid request, please check your server timestamp"), "CLOCK", 10002),
        (answer(code=10006, text="Too many visits!"), "LIMIT", 10006),
        (answer(code=10016, text="Server error."), "UNKNOWN", 10016),
    ],
)  # fmt: skip
def test_a_failed_query_is_an_error_and_never_an_empty_list(linear, reply_, group, code):
    """failures.md row 84."""
    for read in (
        linear.read_open_orders,
        linear.read_order,
        linear.read_positions,
        linear.read_trades,
        linear.read_balances,
        linear.read_cash,
        linear.read_key_info,
        linear.read_time,
    ):
        with pytest.raises(RestError) as caught:
            read(reply_)
        assert caught.value.said.group == ErrorGroup[f"GROUP_{group}"]
        assert caught.value.said.code == code


def test_an_answer_of_another_market_is_refused(linear):
    with pytest.raises(ValueError, match="category 'spot'"):
        linear.read_open_orders(page(category="spot"))


def test_no_secret_and_no_whole_key_is_in_an_error(linear):
    """10004 repeats what the server signed."""
    text = "error sign! origin_string[1672211918471XXXXXXXXXXYYYYYYYY1500category=linear]very secret thing"
    with pytest.raises(RestError) as caught:
        linear.read_order(answer(code=10004, text=text))
    shown = f"{caught.value} {caught.value.said!r}"
    assert "XXXXXXXXXXYYYYYYYY" not in shown
    assert "very secret thing" not in shown


# ---- trades, positions, money ----

TRADE = {
    "symbol": "ETHPERP",
    "orderId": "8c065341",
    "orderLinkId": "test-order-001",
    "side": "Buy",
    "execId": "e0cbe81d-0f18-5866-9415-cf319b5dab3b",
    "execPrice": "1183.54",
    "execQty": "0.1",
    "execType": "Trade",
    "execFee": "-0.071",
    "feeCurrency": "",
    "execTime": "1672282722429",
    "isMaker": True,
    "seq": 4688002127,
}


def test_a_trade_has_the_identity_that_the_decoder_gives_it(linear):
    (row,), more = linear.read_trades(page(TRADE))
    table = Instruments(2)
    table.add(rules.LINEAR, "ETHPERP", "0.01", "0.01")
    frame = {"topic": "execution.linear", "creationTime": 1, "data": [TRADE | {"category": "linear"}]}
    sink = ListSink()
    BybitWire(table, rules.LINEAR).read(json.dumps(frame).encode(), sink)
    (event,) = sink.events
    assert (row.trade_hi, row.trade_lo) == (event["trade_hi"], event["trade_lo"])
    assert (row.event_ns, row.nature, event["fee_e8"]) == (event["event_ns"], event["nature"], -7100000)
    assert more is None
    assert row == TradeRow(
        market=rules.LINEAR,
        symbol="ETHPERP",
        client_id="test-order-001",
        venue_id="8c065341",
        trade_hi=row.trade_hi,
        trade_lo=row.trade_lo,
        side=Side.BUY,
        price="1183.54",
        size="0.1",
        fee="-0.071",
        fee_coin="USDC",
        is_maker=True,
        event_ns=1672282722429 * 10**6,
    )


def test_funding_is_no_trade_and_a_liquidation_is_one(linear):
    found, _ = linear.read_trades(
        page(
            TRADE | {"execType": "Funding"},
            TRADE | {"execType": "BustTrade"},
            TRADE | {"execType": "AdlTrade"},
        )
    )
    assert [x.nature for x in found] == [Nature.LIQUIDATION, Nature.ADL]
    with pytest.raises(ValueError, match="execType 'CorporateAction' is not known"):
        linear.read_trades(page(TRADE | {"execType": "CorporateAction"}))


def test_pages_of_trades_ask_on_from_the_oldest_mark_of_late(linear):
    linear.trades("ETHPERP", 5_000_000_000)
    linear.trades("ETHPERP", 9_000_000_000)
    funding_only = page(TRADE | {"execType": "Funding"}, cursor="132766%3A2%2C132766%3A2")
    found, more = linear.read_trades(funding_only)
    assert (found, more.target) == (
        [],
        "/v5/execution/list?category=linear&symbol=ETHPERP&startTime=5000&limit=100"
        "&cursor=132766%3A2%2C132766%3A2",
    )


@pytest.mark.parametrize(("index", "leg"), [(0, "net"), (1, "long"), (2, "short"), ("", "")])
def test_an_order_says_its_leg(linear, index, leg):
    assert linear.read_order(page(ORDER | {"positionIdx": index})).leg == leg


def test_a_position_index_that_nobody_knows_is_refused(linear):
    with pytest.raises(ValueError, match="positionIdx"):
        linear.read_order(page(ORDER | {"positionIdx": 3}))


@pytest.mark.parametrize(
    ("side", "closed", "leg"),
    [
        ("Buy", "0", "long"),
        ("Buy", "all", "short"),
        ("Sell", "0", "short"),
        ("Sell", "all", "long"),
        ("Buy", "", ""),
    ],
)
def test_in_hedge_mode_a_trade_is_of_the_leg_that_it_closed_or_opened(linear, side, closed, leg):
    row = TRADE | {"side": side, "closedSize": TRADE["execQty"] if closed == "all" else closed}
    assert linear.read_trades(page(row))[0][0].leg == ""
    linear.hedge = True
    assert linear.read_trades(page(row))[0][0].leg == leg


POSITION = {
    "positionIdx": 0,
    "symbol": "BTCUSDT",
    "side": "Sell",
    "size": "0.5",
    "avgPrice": "50000.00",
    "leverage": "10",
    "positionStatus": "Normal",
    "updatedTime": "1697673600012",
}


def test_a_position_is_signed_and_knows_its_leg(linear):
    (row,), more = linear.read_positions(page(POSITION))
    assert more is None
    assert row == PositionRow(
        rules.LINEAR, "BTCUSDT", "-0.5", "net", "50000.00", "10", "", 1697673600012 * 10**6
    )
    legs = [POSITION | {"positionIdx": 1, "side": "Buy"}, POSITION | {"positionIdx": 2}]
    assert [(x.leg, x.size) for x in linear.read_positions(page(*legs))[0]] == [
        ("long", "0.5"),
        ("short", "-0.5"),
    ]
    flat = POSITION | {"side": "", "size": "0", "updatedTime": ""}
    assert linear.read_positions(page(flat))[0][0].size == "0"
    assert linear.read_modes(page(flat)) == [ModeRow(rules.LINEAR, "BTCUSDT", hedge=False, leverage="10")]
    assert linear.read_modes(page(*legs))[0].hedge
    assert [x.target for x in linear.modes(["BTCUSDT"])] == [
        "/v5/position/list?category=linear&symbol=BTCUSDT"
    ]
    more = linear.read_positions(page(POSITION, cursor="x"))[1]
    assert more.target == "/v5/position/list?category=linear&settleCoin=USDT&limit=200&cursor=x"


@pytest.mark.parametrize(
    "bad", [{"size": ""}, {"side": ""}, {"side": "Long"}, {"positionIdx": 3}, {"size": None}, {"symbol": ""}]
)
def test_a_position_that_cannot_be_read_is_not_flat(linear, bad):
    with pytest.raises(ValueError, match="position"):
        linear.read_positions(page(POSITION | bad))


def test_balances_are_of_every_coin_and_an_empty_text_is_no_zero(linear):
    coins = [
        {"coin": "USDT", "walletBalance": "1000.5", "locked": "0.5"},
        {"coin": "ETH", "walletBalance": "-0.06", "locked": ""},
    ]
    account = {"list": [{"accountType": "UNIFIED", "coin": coins}]}
    assert linear.read_balances(answer(account)) == [
        BalanceRow(rules.LINEAR, "USDT", "1000.5", "1000.0", STAMP * 10**6),
        BalanceRow(rules.LINEAR, "ETH", "-0.06", "", STAMP * 10**6),
    ]
    with pytest.raises(ValueError, match="no account"):
        linear.read_balances(answer({"list": []}))
    coins[0]["walletBalance"] = ""
    with pytest.raises(ValueError, match="USDT: walletBalance"):
        linear.read_balances(answer(account))


CASH = {
    "id": "592324_XRPUSDT_161440249321",
    "symbol": "XRPUSDT",
    "category": "linear",
    "type": "SETTLEMENT",
    "currency": "USDT",
    "funding": "-0.003676",
    "change": "-0.003676",
    "transactionTime": "1672128000000",
    "tradeId": "534c0003-4bf7-486f-aa02-78cee36825e4",
}


def test_money_that_no_fill_moved_is_told_with_its_sign(linear):
    """Reference section 12.5: received is positive here, on the execution stream it is what was paid."""
    transfer = CASH | {
        "type": "TRANSFER_IN",
        "change": "500",
        "symbol": "",
        "tradeId": "",
        "transactionTime": 7,
    }
    found, more = linear.read_cash(answer({"list": [CASH, CASH | {"type": "TRADE"}, transfer]}))
    stamp = 1672128000000 * 10**6
    assert found == [
        CashRow(rules.LINEAR, "USDT", "funding", "-0.003676", "XRPUSDT", CASH["tradeId"], stamp),
        CashRow(rules.LINEAR, "USDT", "transfer", "500", "", CASH["id"], 7 * 10**6),
    ]
    assert more is None
    linear.cash(4_000_000_000)
    more = linear.read_cash(answer({"list": [CASH], "nextPageCursor": "21963%3A1"}))[1]
    target = "/v5/account/transaction-log?accountType=UNIFIED&startTime=4000&limit=50&cursor=21963%3A1"
    assert more.target == target


def test_funding_on_the_stream_has_the_key_and_sign_of_the_log():
    row = TRADE | {
        "execType": "Funding",
        "execFee": "0.003676",
        "symbol": "XRPUSDT",
        "execId": CASH["tradeId"],
    }
    cash = rest.funding_row(rules.LINEAR, row)
    assert (cash.key, cash.amount, cash.coin) == (CASH["tradeId"], CASH["change"], "USDT")
    assert rest.funding_row(rules.LINEAR, row | {"execFee": "-1"}).amount == "1"
    assert rest.funding_row(rules.LINEAR, row | {"execFee": "0"}).amount == "0"


INFO = {
    "apiKey": "opjSlSOzqIeXROT5rq",
    "readOnly": 0,
    "permissions": {
        "ContractTrade": ["Order", "Position"],
        "Spot": ["SpotTrade"],
        "Wallet": ["AccountTransfer"],
    },
    "ips": ["*"],
    "deadlineDay": 88,
    "expiredAt": "2023-05-15T03:13:24Z",
    "uta": 1,
}


def test_the_rights_of_a_key_are_read(linear, spot):
    """failures.md row 149."""
    assert linear.read_key_info(answer(INFO)) == KeyRow(True, False, False, 1684120404 * 10**9)
    assert not linear.read_key_info(answer(INFO | {"readOnly": 1})).can_trade
    rights = {"ContractTrade": [], "Spot": ["SpotTrade"], "Wallet": ["Withdraw"]}
    info = INFO | {"permissions": rights, "ips": ["10.0.0.1"], "expiredAt": "1970-01-01T00:00:00Z"}
    assert linear.read_key_info(answer(info)) == KeyRow(False, True, True, 0)
    assert spot.read_key_info(answer(info)).can_trade
    with pytest.raises(ValueError, match="permissions"):
        linear.read_key_info(answer({"readOnly": 0}))
    with pytest.raises(ValueError, match="expiredAt"):
        linear.read_key_info(answer(INFO | {"expiredAt": "soon"}))


def test_an_account_that_is_not_unified_is_refused(linear):
    assert (
        linear.read_key_info(answer({"unifiedMarginStatus": 5, "marginMode": "REGULAR_MARGIN"})) == KeyRow()
    )
    with pytest.raises(RestError, match="not a unified account"):
        linear.read_key_info(answer({"unifiedMarginStatus": 1}))


# ---- what an answer proves ----

CREATE = Request("POST", "/v5/order/create", body=b"{}")
CANCEL = Request("POST", "/v5/order/cancel", body=b"{}")
AMEND = Request("POST", "/v5/order/amend", body=b"{}")


@pytest.mark.parametrize(
    ("request_", "code", "outcome", "group"),
    [
        (CREATE, 0, Outcome.ACCEPTED, "NONE"),
        (CREATE, 10001, Outcome.REFUSED, "FILTER"),
        (CREATE, 10016, Outcome.UNCERTAIN, "UNKNOWN"),
        (CREATE, 110072, Outcome.UNCERTAIN, "DUPLICATE"),
        (CREATE, 123456, Outcome.UNCERTAIN, "UNKNOWN"),
        (CANCEL, 110001, Outcome.REFUSED, "NOT_OPEN"),
        (CANCEL, 170147, Outcome.UNCERTAIN, "UNKNOWN"),
        (AMEND, 110001, Outcome.REFUSED, "NOT_OPEN"),
        (AMEND, 10429, Outcome.UNCERTAIN, "LIMIT"),
    ],
)
def test_an_answer_proves_what_the_table_says(linear, request_, code, outcome, group):
    reply_ = answer({"orderId": "v1", "orderLinkId": "a1"} if code == 0 else {}, code, "words")
    said = linear.read_said(request_, reply_)
    assert (said.outcome, said.group, said.code) == (outcome, ErrorGroup[f"GROUP_{group}"], code)
    assert said.venue_id == ("v1" if code == 0 else "")


@pytest.mark.parametrize(
    ("status", "body", "group"),
    [
        (403, b"<html>Forbidden</html>", "LIMIT"),
        (429, b"", "LIMIT"),
        (401, b"", "ACCESS"),
        (400, b"", "UNKNOWN"),
        (404, b"404", "UNKNOWN"),
        (502, b"<html>", "UNKNOWN"),
        (503, b'{"retCode":0}', "UNKNOWN"),
        (200, b"", "UNKNOWN"),
    ],
)
def test_an_answer_of_something_in_between_proves_nothing(linear, status, body, group):
    """failures.md row 61: 403 without a code is unknown for a NEW."""
    for request_ in (CREATE, CANCEL, AMEND):
        said = linear.read_said(request_, Reply(status, {}, body))
        assert (said.outcome, said.group) == (Outcome.UNCERTAIN, ErrorGroup[f"GROUP_{group}"])


def test_when_to_come_back_is_told_on_the_venues_clock(linear):
    """Reference section 5: ten minutes after HTTP 403; else as the headers say."""
    request_ = linear.sign(CREATE, STAMP)
    banned = linear.read_said(request_, Reply(403, {}, b"access too frequent"))
    assert banned.until_ns == STAMP * 10**6 + 600 * 10**9
    late = linear.read_said(request_, Reply(429, {"retry-after": "3"}, b""))
    assert late.until_ns == STAMP * 10**6 + 3 * 10**9
    headers = {
        "x-bapi-limit": "10",
        "x-bapi-limit-status": "0",
        "x-bapi-limit-reset-timestamp": "1672211918999",
    }
    slow = linear.read_said(CREATE, answer(code=10006, text="Too many visits!", headers=headers))
    assert slow.until_ns == 1672211918999 * 10**6
    assert linear.read_said(CREATE, Reply(403, {}, b"")).until_ns == 0


def test_a_query_counts_for_its_path_and_for_the_address(linear):
    both = linear.buckets(linear.balances())
    assert [(x.limit, x.interval_ns) for x in both] == [(600, 5 * 10**9), (50, 10**9)]
    assert linear.buckets(linear.time()) == both[:1]
    assert linear.buckets(linear.order("X", "a"))[1] != both[1]
    assert linear.buckets(CREATE) == ()  # its answer counts


def test_the_servers_count_comes_out_of_the_headers(linear):
    headers = {
        "x-bapi-limit": "10",
        "x-bapi-limit-status": "7",
        "x-bapi-limit-reset-timestamp": "1672211918999",
    }
    (row,) = linear.budgets(CREATE, answer(headers=headers))
    assert row == BudgetRow(BudgetKind.BUDGET_ORDERS, 10**9, 3, 10)
    (spent,) = linear.budgets(CANCEL, answer(headers=headers | {"x-bapi-limit-status": "0"}))
    assert (spent.kind, spent.used) == (BudgetKind.BUDGET_CANCELS, 10)
    assert spent.until_ns == 1672211918999 * 10**6
    assert linear.budgets(CREATE, answer()) == []
    assert linear.budgets(linear.order("X", "a"), answer(headers=headers)) == []
    (ban,) = linear.budgets(linear.sign(linear.order("X", "a"), STAMP), Reply(403, {}, b""))
    assert (ban.kind, ban.until_ns) == (BudgetKind.BUDGET_WEIGHT, STAMP * 10**6 + 600 * 10**9)


def test_the_least_certain_item_speaks_for_a_batch(linear):
    request_ = Request("POST", "/v5/order/create-batch", body=b"{}")

    def said(*codes):
        more = {"list": [{"code": x, "msg": f"m{x}"} for x in codes]}
        return linear.read_said(request_, answer({"list": []}, retExtInfo=more))

    assert said(0, 0).outcome == Outcome.ACCEPTED
    assert (said(0, 110003).outcome, said(0, 110003).text) == (Outcome.REFUSED, "m110003")
    assert (said(110003, 10016, 0).outcome, said(110003, 10016, 0).code) == (Outcome.UNCERTAIN, 10016)


def test_a_cancel_all_that_failed_is_not_taken_for_done(linear):
    (request_,) = linear.cancel_all("BTCUSDT")
    assert linear.read_said(request_, answer({"list": [], "success": "1"})).outcome == Outcome.ACCEPTED
    assert linear.read_said(request_, answer({"list": [], "success": "0"})).outcome == Outcome.UNCERTAIN


def test_only_markets_of_this_venue_have_a_rest_half():
    with pytest.raises(ValueError, match="market 0"):
        rest.Rest(0, KEY)


def test_every_account_answer_of_the_fixtures_is_read(linear):
    readers = {
        "http_get_orders_realtime.json": linear.read_open_orders,
        "http_get_orders_realtime_tp_sl.json": linear.read_open_orders,
        "http_get_orders_history.json": linear.read_open_orders,
        "http_get_order_partially_filled_rejected.json": linear.read_order,
        "http_get_positions.json": linear.read_positions,
        "http_get_positions_with_open_time.json": linear.read_positions,
        "http_get_executions.json": linear.read_trades,
        "http_get_wallet_balance.json": linear.read_balances,
        "http_get_wallet_balance_with_spot_borrow.json": linear.read_balances,
        "http_get_account_info.json": linear.read_key_info,
    }
    seen = set()
    for line in rows("fixtures/bybit-nautilus.jsonl.gz"):
        name = line["channel"].partition(":")[2]
        if name in readers:
            assert readers[name](Reply(200, {}, line["raw"].encode()))
            seen.add(name)
    assert seen == set(readers)

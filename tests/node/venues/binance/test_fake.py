"""Binance's side of the wire: control replies, streams, refusals, both orders of answer and event."""

import asyncio
import json

import pytest

from ext.book import Book, BookState
from ext.instruments import Instruments
from ext.records import ReportKind
from ext.venues.binance import BinanceWire
from ext.wire import ListSink, Verdict
from node.venues.binance import rest
from node.venues.binance.fake import BinanceFake
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM, PRODUCTS
from node.venues.binance.session import Credentials, Session
from node.venues.fakes import BUY, MS, SELL, Listing, Refused
from node.venues.values import Ready, Send

NOW = 1_770_000_000_000 * MS
MARKETS = [BINANCE_SPOT, BINANCE_USDM]


def venue(**options) -> BinanceFake:
    spot = Listing("BTCUSDT", "0.01", "0.00001", BINANCE_SPOT, base="BTC", min_notional="5")
    usdm = Listing("BTCUSDT", "0.10", "0.001", BINANCE_USDM, base="BTC", is_perpetual=True, min_notional="5")
    fake = BinanceFake([spot, usdm], **options)
    for listing in (spot, usdm):
        for i in range(30):
            listing.engine.set_level(BUY, 600000 - i, 1000 + i)
            listing.engine.set_level(SELL, 600001 + i, 1000 + i)
    fake.tick(NOW)
    fake.take()
    return fake


def ask(fake, connection, now_ns=NOW, **message):
    """One request, one answer (and whatever else came)."""
    fake.receive(connection, json.dumps(message), now_ns)
    return [json.loads(text) for target, text in fake.take() if target is connection]


def order(market, **change):
    params = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010"}
    params |= {"price": "5990.00" if market == BINANCE_SPOT else "59900.0", "newOrderRespType": "ACK"}
    params |= {"timestamp": NOW // MS, **change}
    return {k: v for k, v in params.items() if v is not None}


def api(fake, market):
    return fake.open(PRODUCTS[market].api, NOW)


# ---- stream control ----


@pytest.mark.parametrize("path", ["/ws", "/stream", "/public/ws", "/market/stream"])
def test_control_messages_get_the_documented_replies(path):
    fake = venue()
    line = fake.open(path, NOW)
    stream = "btcusdt@aggTrade" if "market" in path else "btcusdt@depth"
    assert ask(fake, line, method="SUBSCRIBE", params=[stream], id=1) == [{"result": None, "id": 1}]
    assert ask(fake, line, method="LIST_SUBSCRIPTIONS", id="x") == [{"result": [stream], "id": "x"}]
    assert ask(fake, line, method="GET_PROPERTY", params=["combined"], id=None) == [
        {"result": "stream" in path, "id": None}
    ]
    assert ask(fake, line, method="SET_PROPERTY", params=["combined", True], id=2) == [
        {"result": None, "id": 2}
    ]
    assert ask(fake, line, method="GET_PROPERTY", params=["combined"], id=3) == [{"result": True, "id": 3}]
    assert ask(fake, line, method="UNSUBSCRIBE", params=[stream], id=4) == [{"result": None, "id": 4}]
    assert ask(fake, line, method="LIST_SUBSCRIPTIONS", id=5) == [{"result": [], "id": 5}]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", 3),
        ("", 3),
        ("[]", 2),
        ('{"method":"LOGIN","id":1}', 2),
        ('{"method":"SUBSCRIBE","id":1}', 2),
        ('{"method":"SUBSCRIBE","params":[5],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":"x","id":1}', 2),
        ('{"method":"SUBSCRIBE","params":["a"],"id":1.5}', 2),
        ('{"method":"SUBSCRIBE","params":["a"],"id":"' + "x" * 37 + '"}', 2),
        ('{"method":"GET_PROPERTY","params":["x"],"id":1}', 0),
        ('{"method":"SET_PROPERTY","params":["combined",5],"id":1}', 1),
    ],
)
def test_wrong_control_messages_have_the_documented_codes(text, code):
    fake = venue()
    line = fake.open("/ws", NOW)
    fake.receive(line, text, NOW)
    ((_, reply),) = fake.take()
    assert json.loads(reply)["code"] == code


def test_a_usdm_stream_on_the_wrong_route_is_acknowledged_and_silent():
    fake = venue()
    for path, wrong in (
        ("/public/ws", "btcusdt@aggTrade"),
        ("/market/ws", "btcusdt@bookTicker"),
        ("/ws", "nosuch@depth"),
    ):
        line = fake.open(path, NOW)
        assert ask(fake, line, method="SUBSCRIBE", params=[wrong], id=1) == [{"result": None, "id": 1}]
    for market in MARKETS:
        fake.listings[market, "BTCUSDT"].engine.place(BUY, 600001, 10, "ioc")
    fake.tick(NOW + 4000 * MS)
    assert fake.take() == []


@pytest.mark.parametrize(
    "path", ["/", "/wsx", "/public", "/private/x", "/ws-api/v4", "/usdm/ws", "/api/v3/ws"]
)
def test_unknown_paths_are_refused(path):
    with pytest.raises(Refused):
        venue().open(path, NOW)


def test_unrouted_usdm_paths_exist_only_under_their_prefix():
    fake = venue(usdm_prefix="/usdm")
    line = fake.open("/usdm/stream?streams=btcusdt@bookTicker/btcusdt@markPrice@1s", NOW)
    fake.listings[BINANCE_USDM, "BTCUSDT"].engine.set_level(BUY, 600000, 5)
    fake.tick(NOW + 2000 * MS)
    assert {json.loads(x)["stream"] for c, x in fake.take() if c is line} == {"btcusdt@bookTicker"}


# ---- market data ----


def instruments(fake) -> Instruments:
    table = Instruments()
    for market in MARKETS:
        status, reply = fake.http("GET", rest.exchange_info(market).target, {}, b"", NOW)
        assert status == 200
        for row in rest.instruments(reply):
            table.add(row.market, row.symbol, row.tick, row.lot, is_perpetual=row.is_perpetual)
    return table


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("cadence", ["@100ms", ""])
def test_a_book_follows_the_venue_through_random_commands(market, cadence):
    fake = venue()
    table = instruments(fake)
    wire = BinanceWire(table, market)
    session = Session("stream", market, [f"btcusdt@depth{cadence}", "btcusdt@bookTicker"])
    line = fake.open(session.path, NOW)
    for action in session.start(NOW):
        assert isinstance(action, Send)
        fake.receive(line, action.text, NOW)
    number, listing = table.index(market, "BTCUSDT"), fake.listings[market, "BTCUSDT"]
    book = Book(number, True)
    compared = 0
    for step in range(200):
        listing.engine.set_level(
            step % 2, 600000 + step % 2 - (step * 7 % 13) * (1 if step % 2 == 0 else -1), step * 37 % 50
        )
        now_ns = NOW + step * 50 * MS
        fake.tick(now_ns)
        if step == 60:
            request = session.snapshot_request("BTCUSDT")
            _, reply = fake.http(request.method, request.target, {}, b"", now_ns)
            feed(wire, book, reply, number)
        for _, text in fake.take():
            events = feed(wire, book, text.encode(), -1)
            compared += any(e["type"] == "quote" for e in events)
            if not events:
                assert session.receive(text, now_ns) == [Ready()]
    fake.tick(NOW + 200 * 50 * MS + 1000 * MS)
    for _, text in fake.take():
        feed(wire, book, text.encode(), -1)
    assert (book.state, book.gaps, book.different) == (BookState.SYNCED, 0, 0)
    assert compared > 10
    assert book.bids() == listing.engine.levels(BUY, 10**6)
    assert book.asks() == listing.engine.levels(SELL, 10**6)


def feed(wire, book, raw, context):
    sink = ListSink()
    assert wire.read(raw, sink, 0, context) != Verdict.BAD, (wire.error(), raw)
    for event in sink.events:
        if event["type"] == "depth":
            ids = (event["first_id"], event["last_id"], event["prev_id"])
            book.feed(event["kind"], event["rule"], event["bids"], event["asks"], *ids)
        elif event["type"] == "quote":
            bid = (event["bid_ticks"], event["bid_lots"])
            book.note_quote(event["update_id"], bid, (event["ask_ticks"], event["ask_lots"]))
    return sink.events


@pytest.mark.parametrize("market", MARKETS)
def test_every_stream_says_what_the_decoder_reads(market):
    fake = venue()
    table, listing = instruments(fake), fake.listings[market, "BTCUSDT"]
    wire = BinanceWire(table, market)
    names = ["depth", "depth@100ms", "depth5", "depth10@100ms", "depth20@100ms", "bookTicker", "trade"]
    lines = ["/stream?streams=" + "/".join(f"btcusdt@{x}" for x in [*names, "aggTrade"])]
    if market == BINANCE_USDM:
        lines = [
            "/public" + lines[0],
            "/market/stream?streams=btcusdt@aggTrade/btcusdt@markPrice/btcusdt@markPrice@1s",
        ]
        names += ["markPrice", "markPrice@1s"]
    for path in lines:
        fake.open(path, NOW)
    listing.engine.place(BUY, 600001, 10, "ioc")
    fake.tick(NOW + 3000 * MS)
    seen = set()
    for _, text in fake.take():
        sink = ListSink()
        assert wire.read(text.encode(), sink) == Verdict.HANDLED, (wire.error(), text)
        assert len(sink.events) == 1
        seen.add(json.loads(text)["stream"].removeprefix("btcusdt@"))
    assert seen == {*names, "aggTrade"}


def test_no_empty_diffs_are_pushed():
    fake = venue()
    fake.open("/ws/btcusdt@depth@100ms", NOW)
    for i in range(1, 50):
        fake.tick(NOW + i * 100 * MS)
    assert fake.take() == []


# ---- REST ----


def get(fake, target):
    status, body = fake.http("GET", target, {}, b"", NOW)
    return status, json.loads(body)


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/api/v3/depth", -1102),
        ("/api/v3/depth?symbol=X", -1121),
        ("/api/v3/depth?symbol=BTCUSDT&limit=x", -1100),
        ("/fapi/v1/depth?symbol=BTCUSDT&limit=7", -4021),
        ("/fapi/v1/premiumIndex?symbol=X", -1121),
        ("/api/v3/exchangeInfo?symbol=X", -1121),
        ("/api/v3/exchangeInfo?symbols=x", -1100),
        ("/api/v3/nosuch", -1000),
    ],
)
def test_wrong_requests_have_the_documented_codes(target, code):
    status, body = get(venue(), target)
    assert status >= 400
    assert body["code"] == code


def test_public_requests_have_the_documented_shapes():
    fake = venue()
    for prefix in ("/api/v3", "/fapi/v1"):
        assert get(fake, f"{prefix}/ping") == (200, {})
        assert get(fake, f"{prefix}/time") == (200, {"serverTime": NOW // MS})
    assert get(fake, "/api/v3/exchangeInfo?symbol=BTCUSDT")[1]["symbols"][0]["baseAsset"] == "BTC"
    snapshot = get(fake, "/fapi/v1/depth?symbol=BTCUSDT&limit=5")[1]
    assert set(snapshot) == {"lastUpdateId", "E", "T", "bids", "asks"}
    assert len(snapshot["bids"]) == 5
    assert get(fake, "/fapi/v1/premiumIndex?symbol=BTCUSDT")[1]["markPrice"] == "60000.05000000"
    assert isinstance(get(fake, "/fapi/v1/premiumIndex")[1], list)


# ---- orders ----


@pytest.mark.parametrize(
    ("market", "change", "status", "code", "text"),
    [
        (BINANCE_SPOT, {"symbol": None}, 400, -1102, "symbol"),
        (BINANCE_SPOT, {"symbol": "X"}, 400, -1121, "Invalid symbol."),
        (BINANCE_SPOT, {"side": "UP"}, 400, -1117, "side"),
        (BINANCE_SPOT, {"type": "X"}, 400, -1116, "orderType"),
        (BINANCE_SPOT, {"timeInForce": "GTX"}, 400, -1115, "timeInForce"),
        (BINANCE_SPOT, {"timeInForce": None}, 400, -1102, "timeInForce"),
        (BINANCE_SPOT, {"type": "LIMIT_MAKER"}, 400, -1106, "timeInForce"),
        (BINANCE_SPOT, {"price": None}, 400, -1102, "price"),
        (BINANCE_SPOT, {"type": "MARKET", "timeInForce": None}, 400, -1106, "price"),
        (BINANCE_SPOT, {"price": "5990.001"}, 400, -1013, "Filter failure: PRICE_FILTER"),
        (BINANCE_SPOT, {"quantity": "0.000001"}, 400, -1013, "Filter failure: LOT_SIZE"),
        (BINANCE_SPOT, {"price": "5990.000000001"}, 400, -1111, "precision"),
        (BINANCE_SPOT, {"quantity": "1e-3"}, 400, -1100, "quantity"),
        (BINANCE_SPOT, {"quantity": "0"}, 400, -1013, "Invalid quantity."),
        (BINANCE_SPOT, {"quantity": "0.00001"}, 400, -1013, "Filter failure: NOTIONAL"),
        (BINANCE_SPOT, {"newClientOrderId": "a b"}, 400, -1100, "newClientOrderId"),
        (BINANCE_SPOT, {"timestamp": None}, 400, -1102, "timestamp"),
        (BINANCE_SPOT, {"timestamp": NOW // MS - 5001}, 400, -1021, "recvWindow"),
        (BINANCE_SPOT, {"timestamp": NOW // MS + 1000}, 400, -1021, "ahead"),
        (
            BINANCE_SPOT,
            {"type": "LIMIT_MAKER", "timeInForce": None, "price": "6000.01"},
            400,
            -2010,
            "immediately match and take",
        ),
        (BINANCE_USDM, {"price": "59900.05"}, 400, -1111, "Precision"),
        (BINANCE_USDM, {"quantity": "0.0005"}, 400, -1111, "Precision"),
        (BINANCE_USDM, {"quantity": "0"}, 400, -4003, "Quantity"),
        (BINANCE_USDM, {"price": "0"}, 400, -4013, "Price"),
        (BINANCE_USDM, {"timeInForce": "GTX", "price": "60000.1"}, 400, -5022, "Post Only"),
        (BINANCE_USDM, {"timeInForce": "FOK", "quantity": "900"}, 400, -5021, "FOK"),
        (BINANCE_USDM, {"type": "STOP"}, 400, -4120, "Algo"),
        (BINANCE_USDM, {"newClientOrderId": "x" * 37}, 400, -4015, "36"),
        (BINANCE_USDM, {"price": "10.0"}, 400, -4164, "notional"),
        (BINANCE_USDM, {"reduceOnly": "true"}, 400, -2022, "ReduceOnly"),
        (BINANCE_USDM, {"newOrderRespType": "FULL"}, 400, -1102, "newOrderRespType"),
    ],
)
def test_orders_are_refused_with_the_venues_own_codes(market, change, status, code, text):
    fake = venue()
    (reply,) = ask(fake, api(fake, market), id="a", method="order.place", params=order(market, **change))
    assert (reply["status"], reply["error"]["code"]) == (status, code)
    assert text in reply["error"]["msg"]
    assert fake.open_orders() == []
    assert all(x["count"] == 0 for x in reply["rateLimits"] if x["rateLimitType"] == "ORDERS")


def test_a_tick_coarser_than_the_precision_has_its_own_code_on_usdm():
    listing = Listing("XUSDT", "0.5", "0.2", BINANCE_USDM)
    fake = BinanceFake([listing])
    line = api(fake, BINANCE_USDM)
    for change, code in (({"price": "100.2"}, -4014), ({"quantity": "0.3"}, -4023)):
        params = order(BINANCE_USDM, symbol="XUSDT", price="100.0", quantity="1") | change
        assert ask(fake, line, id="a", method="order.place", params=params)[0]["error"]["code"] == code


@pytest.mark.parametrize(("market", "code"), [(BINANCE_SPOT, -2010), (BINANCE_USDM, -4116)])
def test_a_client_id_is_unique_among_open_orders_only(market, code):
    fake = venue()
    line = api(fake, market)
    params = order(market, newClientOrderId="same")
    assert ask(fake, line, id="a", method="order.place", params=params)[0]["status"] == 200
    assert ask(fake, line, id="b", method="order.place", params=params)[0]["error"]["code"] == code
    cancel = {"symbol": "BTCUSDT", "origClientOrderId": "same", "timestamp": NOW // MS}
    assert ask(fake, line, id="c", method="order.cancel", params=cancel)[0]["result"]["status"] == "CANCELED"
    assert ask(fake, line, id="d", method="order.place", params=params)[0]["status"] == 200


def test_cancel_and_query_find_orders_by_either_id():
    fake = venue()
    line = api(fake, BINANCE_SPOT)
    (placed,) = ask(
        fake, line, id="a", method="order.place", params=order(BINANCE_SPOT, newClientOrderId="mine")
    )
    number = placed["result"]["orderId"]
    common = {"symbol": "BTCUSDT", "timestamp": NOW // MS}
    (found,) = ask(fake, line, id="s", method="order.status", params=common | {"orderId": number})
    assert (found["result"]["status"], found["result"]["clientOrderId"]) == ("NEW", "mine")
    for params, method, code in (
        (common, "order.cancel", -1102),
        (common | {"orderId": number + 1}, "order.cancel", -2011),
        (common | {"orderId": number, "origClientOrderId": "other"}, "order.cancel", -2039),
        (common | {"origClientOrderId": "other"}, "order.status", -2013),
        (common, "order.fly", -1020),
    ):
        assert ask(fake, line, id="c", method=method, params=params)[0]["error"]["code"] == code
    (done,) = ask(fake, line, id="c", method="order.cancel", params=common | {"orderId": number})
    assert (done["result"]["origClientOrderId"], done["result"]["clientOrderId"] != "mine") == ("mine", True)
    assert (
        ask(fake, line, id="c", method="order.cancel", params=common | {"orderId": number})[0]["error"][
            "code"
        ]
        == -2011
    )


@pytest.mark.parametrize("kind", ["ACK", "RESULT", "FULL", None])
def test_spot_answers_have_the_asked_detail(kind):
    fake = venue()
    params = order(BINANCE_SPOT, price="6000.01", newOrderRespType=kind)
    result = ask(fake, api(fake, BINANCE_SPOT), id="a", method="order.place", params=params)[0]["result"]
    assert ("status" in result) == (kind != "ACK")
    assert ("fills" in result) == (kind in ("FULL", None))
    if kind != "ACK":
        assert (result["status"], result["executedQty"]) == ("FILLED", "0.01000")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "5",
        '{"id":1}',
        '{"id":1,"method":5}',
        '{"id":{},"method":"ping"}',
        '{"id":1,"method":"ping","params":[1]}',
        '{"id":1,"method":"order.place","params":null}',
    ],
)
def test_malformed_api_requests_are_answered(text):
    fake = venue()
    fake.receive(api(fake, BINANCE_SPOT), text, NOW)
    ((_, reply),) = fake.take()
    assert json.loads(reply)["status"] == 400


def test_the_order_limit_answers_429():
    fake = venue()
    line = api(fake, BINANCE_SPOT)
    replies = [
        ask(fake, line, id="a", method="order.place", params=order(BINANCE_SPOT))[0] for _ in range(101)
    ]
    assert [x["status"] for x in replies] == [200] * 100 + [429]
    assert replies[-1]["error"]["code"] == -1015
    later = NOW + 10_000 * MS
    assert (
        ask(
            fake, line, later, id="a", method="order.place", params=order(BINANCE_SPOT, timestamp=later // MS)
        )[0]["status"]
        == 200
    )


def user_line(fake, market):
    """Order line and the line that carries user events."""
    line = api(fake, market)
    if market == BINANCE_SPOT:
        assert ask(fake, line, id="u", method="userDataStream.subscribe")[0]["result"] == {
            "subscriptionId": 0
        }
        return line, line
    key = ask(fake, line, id="u", method="userDataStream.start")[0]["result"]["listenKey"]
    return line, fake.open(f"/private/ws?listenKey={key}", NOW)


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("events_first", [False, True])
def test_our_own_frames_are_understood_and_the_answers_read(market, events_first):
    fake = venue(events_first=events_first)
    table = instruments(fake)
    wire = BinanceWire(table, market)
    line, _ = user_line(fake, market)
    fake.take()
    row = table.index(market, "BTCUSDT")

    def send(order_id, **intent):
        common = {"instrument": row, "side": BUY, "size_lots": 1500, "order_id": order_id}
        fake.receive(line, wire.preview(common | intent, order_id, NOW).decode(), NOW)
        sink = ListSink()
        for _, text in fake.take():
            assert wire.read(text.encode(), sink) != Verdict.BAD, (wire.error(), text)
        assert {e["order_id"] for e in sink.events} == {order_id}
        return [ReportKind(e["kind"]).name.removeprefix("REPORT_") for e in sink.events], sink.events

    lite = ["FILL"] if market == BINANCE_USDM else []
    fills = [*lite, "FILL", *lite, "FILL", "FILLED"]
    expected = ["LIVE", *fills, "ACK"] if events_first else ["ACK", "LIVE", *fills]
    kinds, events = send(1, price_ticks=600002)
    assert kinds == expected
    trades = {e["trade_lo"]: e["size_lots"] for e in events if e["kind"] == ReportKind.REPORT_FILL}
    assert sum(trades.values()) == 1500
    assert sorted(send(2, price_ticks=599990, tif=3)[0]) == ["ACK", "LIVE"]
    assert send(3, price_ticks=600010, tif=3)[0] == ["REJECT"]
    kinds, events = send(4, price_ticks=600001, tif=1, size_lots=3000)
    assert kinds[-2 if events_first else -1] == "CANCELED"
    assert send(2, action=1)[0] == ["CANCELED", "CANCELED"]
    assert send(2, action=1)[0] == ["CANCEL_REJECT"]
    kinds, events = send(5, type=1, side=SELL, size_lots=100)
    assert kinds.count("FILLED") == 1


def test_a_crossing_post_only_order_may_expire_instead():
    fake = venue(post_only_expires=True)
    line, _ = user_line(fake, BINANCE_USDM)
    fake.receive(
        line,
        json.dumps(
            {
                "id": "a",
                "method": "order.place",
                "params": order(BINANCE_USDM, timeInForce="GTX", price="60000.1"),
            }
        ),
        NOW,
    )
    events = [json.loads(x) for _, x in fake.take()]
    assert [x["o"]["X"] for x in events if "o" in x] == ["NEW", "EXPIRED"]
    assert events[0]["status"] == 200


def test_an_unfinished_fill_or_kill_order_expires_on_spot():
    fake = venue()
    line, _ = user_line(fake, BINANCE_SPOT)
    replies = ask(
        fake,
        line,
        id="a",
        method="order.place",
        params=order(BINANCE_SPOT, timeInForce="FOK", price="6000.01", quantity="9"),
    )
    assert [x["event"]["X"] for x in replies if "event" in x] == ["NEW", "EXPIRED"]


def test_the_private_stream_honours_its_allow_list_and_its_key():
    fake = venue()
    line, _ = user_line(fake, BINANCE_USDM)
    key = next(iter(fake.listen_keys))
    only = fake.open(f"/private/stream?listenKey={key}&events=TRADE_LITE", NOW)
    deaf = fake.open("/private/ws?listenKey=nosuch", NOW)
    fake.receive(
        line,
        json.dumps({"id": "a", "method": "order.place", "params": order(BINANCE_USDM, price="60000.1")}),
        NOW,
    )
    frames = fake.take()
    assert [json.loads(x)["data"]["e"] for c, x in frames if c is only] == ["TRADE_LITE"]
    assert not [x for c, x in frames if c is deaf]
    fake.tick(NOW + 3_600_000 * MS)
    assert "listenKeyExpired" in "".join(x for _, x in fake.take())
    assert fake.listen_keys == {}


def test_listen_keys_over_rest():
    fake = venue()
    _, body = fake.http("POST", "/fapi/v1/listenKey", {"X-MBX-APIKEY": "K"}, b"", NOW)
    assert json.loads(body)["listenKey"] in fake.listen_keys
    assert fake.http("PUT", "/fapi/v1/listenKey", {"X-MBX-APIKEY": "K"}, b"", NOW)[0] == 200
    assert fake.http("DELETE", "/fapi/v1/listenKey", {"X-MBX-APIKEY": "K"}, b"", NOW) == (200, b"{}")
    status, body = fake.http("PUT", "/fapi/v1/listenKey", {"X-MBX-APIKEY": "K"}, b"", NOW)
    assert (status, json.loads(body)["code"]) == (400, -1125)


def test_a_logon_is_verified_where_the_venue_knows_the_key():
    ed = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    from cryptography.hazmat.primitives import serialization as s

    key = ed.Ed25519PrivateKey.generate()
    pem = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode()
    fake = venue(public_keys={"K": key.public_key().public_bytes(s.Encoding.Raw, s.PublicFormat.Raw)})
    session = Session("api", BINANCE_SPOT, credentials=Credentials("K", pem), user_data=True)
    line = fake.open(session.path, NOW)
    assert ask(fake, line, id="a", method="order.place", params=order(BINANCE_SPOT))[0]["status"] == 401
    actions = session.start(NOW)
    while isinstance(actions[0], Send):
        fake.receive(line, actions[0].text, NOW)
        ((_, reply),) = fake.take()
        actions = session.receive(reply, NOW)
    assert actions == [Ready()]
    assert ask(fake, line, id="a", method="order.place", params=order(BINANCE_SPOT))[0]["status"] == 200
    wrong = json.loads(session.start(NOW)[0].text)
    wrong["params"]["timestamp"] += 1
    assert ask(fake, line, **wrong)[0]["error"]["code"] == -1022
    fake.revoke(line)
    (reply,) = ask(fake, line, id="a", method="order.place", params=order(BINANCE_SPOT))
    assert (reply["id"], reply["status"]) == (None, 401)


def test_a_shutdown_is_announced_in_three_shapes_and_a_day_is_the_end():
    fake = venue()
    for path, shape in (("/ws", "e"), ("/stream", "stream"), ("/ws-api/v3", "event")):
        line = fake.open(path, NOW)
        fake.shutdown(line, NOW)
        ((_, text),) = fake.take()
        assert next(iter(json.loads(text))) == shape
        assert line.closing
    line = fake.open("/ws", NOW)
    fake.tick(NOW + 24 * 3_600_000 * MS)
    assert line.closing


# ---- a client that is not ours ----


def test_ccxt_reads_markets_and_books_of_both_products():
    ccxt = pytest.importorskip("ccxt.async_support")
    from aiohttp import web

    fake = venue()

    async def serve(request):
        status, body = fake.http(
            request.method, request.path_qs, dict(request.headers), await request.read(), NOW
        )
        return web.Response(status=status, body=body, content_type="application/json")

    async def run():
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", serve)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        base = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        exchange = ccxt.binance(
            {"options": {"fetchMarkets": {"types": ["spot", "linear"]}, "fetchMargins": False}}
        )
        urls = {
            "public": "/api/v3",
            "private": "/api/v3",
            "fapiPublic": "/fapi/v1",
            "fapiPublicV2": "/fapi/v2",
            "fapiPublicV3": "/fapi/v3",
        }
        exchange.urls["api"] = {k: base + urls.get(k, "/nowhere") for k in exchange.urls["api"]}
        try:
            markets = await exchange.load_markets()
            books = [await exchange.fetch_order_book(x, 5) for x in ("BTC/USDT", "BTC/USDT:USDT")]
        finally:
            await exchange.close()
            await runner.cleanup()
        return markets, books

    markets, books = asyncio.run(run())
    assert markets["BTC/USDT"]["precision"] == {"amount": 1e-05, "price": 0.01, "base": 1e-08, "quote": 1e-08}
    assert markets["BTC/USDT:USDT"]["limits"]["cost"]["min"] == 5
    assert markets["BTC/USDT:USDT"]["active"]
    assert [x["bids"][0] for x in books] == [[6000.0, 0.01], [60000.0, 1.0]]

"""REST requests and replies: exact text out of real instruments replies, one clear error for a bad one."""

import contextlib
import gzip
import os
from pathlib import Path

import orjson
import pytest

from ext.instruments import Instruments
from ext.records import Action, BudgetKind, ErrorGroup, Market, Nature, OrderType, Outcome, Side
from ext.venues.okx import OkxWire
from ext.wire import ListSink
from node.venues.keys import Key
from node.venues.okx import rest, rules
from node.venues.values import Reply, Request, RestError

ROOT = Path(__file__).parents[4]
SWAP = {
    "instType": "SWAP",
    "instId": "BTC-USDT-SWAP",
    "instIdCode": 10459,
    "ctType": "linear",
    "ctVal": "0.01",
    "ctMult": "1",
    "tickSz": "0.1",
    "lotSz": "0.01",
    "minSz": "0.01",
    "maxLmtSz": "100000000.0000000000000000",
    "state": "live",
    "ruleType": "normal",
}
SPOT = SWAP | {
    "instType": "SPOT",
    "instId": "BTC-USDT",
    "instIdCode": 3,
    "ctType": "",
    "ctVal": "",
    "ctMult": "",
}


def reply(*rows: dict, code="0", **more) -> bytes:
    return orjson.dumps({"code": code, "msg": "", "data": list(rows), **more})


def one(row: dict):
    (out,) = rest.instruments(reply(row))
    return out


def captured(name: str, part: str) -> list[bytes]:
    path = ROOT / os.environ.get("TICKGATE_RECORDINGS", "../shared/recordings") / name
    if not path.is_file():
        pytest.skip(f"no recording at {path}")
    with gzip.open(path) as stream:
        rows = [orjson.loads(x) for x in stream]
    return [x["raw"].encode() for x in rows if part in x["channel"]]


def test_requests():
    assert rest.time_request().target == "/api/v5/public/time"
    assert rest.instruments_request("SWAP").target == "/api/v5/public/instruments?instType=SWAP"
    option = rest.instruments_request("OPTION", "BTC-USD")
    assert option.target == "/api/v5/public/instruments?instType=OPTION&instFamily=BTC-USD"
    book = rest.books_request("BTC-USDT", demo=True)
    assert book.target == "/api/v5/market/books?instId=BTC-USDT&sz=400"
    assert book.headers == (("x-simulated-trading", "1"),)


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda: rest.instruments_request("STOCK"), "instType 'STOCK'"),
        (lambda: rest.instruments_request("OPTION"), "instFamily"),
        (lambda: rest.books_request("X", 401), "1 to 400"),
        (lambda: rest.books_request("X", 0), "1 to 400"),
    ],
)
def test_a_request_that_the_venue_would_refuse_is_not_made(ask, text):
    with pytest.raises(ValueError, match=text):
        ask()


def test_server_time():
    assert rest.server_time_ns(reply({"ts": "1597026383085"})) == 1597026383085_000_000
    for bad in ({"ts": 5}, {"ts": ""}, {"ts": "1" * 16}, {"ts": "-1"}, {}):
        with pytest.raises(ValueError, match="ts"):
            rest.server_time_ns(reply(bad))


def test_a_linear_swap_and_its_contract():
    row = one(SWAP | {"ctVal": "0.01", "ctMult": "10"})
    assert (row.contract, row.tick, row.lot, row.min_size) == ("0.1", "0.1", "0.01", "0.01")
    assert (row.inst_code, row.tradable, row.is_perpetual) == (10459, True, True)
    assert one(SWAP | {"ctVal": "10000000"}).contract == "10000000"


def test_a_spot_pair():
    row = one(SPOT)
    assert (row.contract, row.inst_code, row.tradable, row.is_perpetual) == ("1", 3, True, False)


@pytest.mark.parametrize(
    "change",
    [
        {"ctType": "inverse"},
        {"instType": "FUTURES"},
        {"instType": "OPTION"},
        {"state": "suspend"},
        {"state": "preopen"},
        {"ruleType": "pre_market"},
        {"instIdCode": None},
    ],
)
def test_what_cannot_be_traded_can_still_be_read(change):
    row = one(SWAP | change)
    assert not row.tradable
    assert (row.tick, row.lot) == ("0.1", "0.01")


@pytest.mark.parametrize("change", [{"tickSz": ""}, {"lotSz": ""}, {"ctVal": ""}, {"tickSz": None}])
def test_an_instrument_that_was_just_announced_is_left_out(change):
    assert rest.instruments(reply(SWAP | change, SPOT)) == [one(SPOT)]


@pytest.mark.parametrize("kind", ["MARGIN", "EVENTS", None])
def test_other_types_are_left_out(kind):
    assert rest.instruments(reply(SPOT | {"instType": kind})) == []


def test_old_replies_without_state_and_code_are_read():
    row = one({k: v for k, v in SPOT.items() if k not in ("state", "ruleType", "instIdCode", "maxLmtSz")})
    assert (row.inst_code, row.max_size) == (-1, "0")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"tickSz": "0"}, "BTC-USDT-SWAP: tickSz"),
        ({"tickSz": "1e-5"}, "BTC-USDT-SWAP: tickSz"),
        ({"lotSz": "-1"}, "BTC-USDT-SWAP: lotSz"),
        ({"lotSz": 1}, "BTC-USDT-SWAP: lotSz"),
        ({"ctVal": "x"}, "BTC-USDT-SWAP: ctVal"),
        ({"ctMult": "0"}, "BTC-USDT-SWAP: ctMult"),
        ({"minSz": "NaN"}, "BTC-USDT-SWAP: minSz"),
        ({"maxLmtSz": "1e9"}, "BTC-USDT-SWAP: maxLmtSz"),
        ({"instIdCode": "3"}, "BTC-USDT-SWAP: instIdCode"),
        ({"instIdCode": True}, "BTC-USDT-SWAP: instIdCode"),
        ({"instIdCode": 2**31}, "BTC-USDT-SWAP: instIdCode"),
        ({"instId": ""}, "instId"),
        ({"instId": 5}, "instId"),
    ],
)
def test_a_malformed_field_is_named(change, text):
    with pytest.raises(ValueError, match=text):
        rest.instruments(reply(SWAP | change))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"<html>", "not JSON"),
        (b"[]", "code"),
        (b"{}", "code"),
        (reply(code="50011"), "50011"),
        (b'{"code":"0","data":{}}', "data"),
        (b'{"code":"0","data":[5]}', "data"),
    ],
)
def test_a_reply_that_is_none_is_refused(raw, text):
    with pytest.raises(ValueError, match=text):
        rest.instruments(raw)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("fixtures/okx-rest-production-2026.jsonl.gz", "get-instruments"),
        ("fixtures/okx-nautilus.jsonl.gz", "http_get_instruments"),
        ("okx/multi-2022-05-13-with-rest.jsonl.gz", "instruments"),
    ],
)
def test_real_replies_fill_the_instrument_table(name, part):
    table, seen = Instruments(8192), {}
    for raw in captured(name, part):
        for row in rest.instruments(raw):
            assert seen.setdefault(row.symbol, row) == row
    for row in seen.values():
        fields = {
            k: getattr(row, k)
            for k in row.__slots__
            if k not in ("market", "symbol", "tick", "lot", "contract", "max_leverage", "status", "ends_ns")
        }
        table.add(row.market, row.symbol, row.tick, row.lot, row.contract, **fields)
    assert table.count == len(seen) > 5
    if "2026" in name:
        swap = table.row(table.index(4, "BTC-USDT-SWAP"))
        assert (swap["inst_code"], swap["tradable"], swap["is_perpetual"]) == (10459, 1, 1)
        assert not table.row(table.index(4, "BTC-USD-SWAP"))["tradable"]
        assert sum(x.tradable for x in seen.values()) > 1000
        assert swap["max_orders"] == 500


def test_coins_and_limits_of_an_instrument():
    row = one(SPOT | {"baseCcy": "BTC", "quoteCcy": "USDT", "maxMktSz": "1000000", "maxLmtAmt": "20000000"})
    assert (row.base, row.quote, row.max_market_size, row.max_notional) == ("BTC", "USDT", "0", "20000000")
    row = one(SWAP | {"ctValCcy": "BTC", "settleCcy": "USDT", "maxMktSz": "35000", "lever": "100"})
    assert (row.base, row.quote, row.max_market_size, row.max_leverage) == ("BTC", "USDT", "35000", "100")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, "trading"),
        ({"state": "suspend"}, "halt"),
        ({"state": "post_only"}, "post_only"),
        ({"state": "preopen"}, "auction"),
        ({"state": "rebase"}, "settling"),
        ({"state": "something new"}, "halt"),
        ({"expTime": "1597026383085"}, "delisting"),
    ],
)
def test_the_state_of_an_instrument_in_the_words_of_all_venues(change, status):
    assert one(SWAP | change).status == status
    assert one(SWAP | change).ends_ns == int(change.get("expTime", 0)) * 10**6


# ---- the signed half ----

SECRET = "22582BD0CFF14C41EDBF1AB98506286D"
KEY = Key("the-api-key-itself", SECRET, "the-passphrase")
STAMP_MS = 1607418537715  # 2020-12-08T09:08:57.715Z
BODY = b'{"instId":"BTC-USDT","tdMode":"cash","side":"buy","ordType":"limit","px":"1000","sz":"0.01"}'
DEMO = ("x-simulated-trading", "1")


def make() -> rest.Rest:
    return rest.Rest(Market.OKX, KEY)


def said(*rows: dict, code="0", status=200, **headers: str) -> Reply:
    return Reply(status, headers, reply(*rows, code=code))


@pytest.mark.parametrize(
    ("request_", "sign"),
    [
        (Request("GET", "/api/v5/account/balance?ccy=BTC"), "HiZhvSfMtWJA3uUIVXV3a/bSXNPCWvYFXoGCVS8V4zY="),
        (Request("POST", "/api/v5/trade/order", (), BODY), "vqpQPwUQp2xvmq0eLQaV4D6L6WQNFXncJ8rIkcXkDMs="),
    ],
)
def test_signatures_of_the_reference(request_, sign):
    signed = make().sign(request_, STAMP_MS)
    headers = dict(signed.headers)
    assert headers["OK-ACCESS-SIGN"] == sign
    assert headers["OK-ACCESS-TIMESTAMP"] == "2020-12-08T09:08:57.715Z"
    assert headers["OK-ACCESS-KEY"] == "the-api-key-itself"
    assert headers["OK-ACCESS-PASSPHRASE"] == "the-passphrase"
    assert (signed.target, signed.body) == (request_.target, request_.body)
    assert SECRET not in repr(signed)


def test_demo_requests_say_so():
    demo = rest.Rest(Market.OKX, KEY, demo=True)
    asked = [demo.time(), *demo.open_orders(), demo.cancel("BTC-USDT", "c1"), demo.balances()]
    assert all(DEMO in x.headers for x in asked)
    assert all(DEMO not in x.headers for x in [make().time(), make().cancel("BTC-USDT", "c1")])


def test_another_market_has_no_okx_half():
    with pytest.raises(ValueError, match="OKX"):
        rest.Rest(Market.BYBIT_SPOT, KEY)


def test_every_namespace_of_open_orders_is_asked_for():
    targets = [x.target for x in make().open_orders("BTC-USDT-SWAP")]
    where = "instType=SWAP&instId=BTC-USDT-SWAP&limit=100"
    assert targets[0] == f"/api/v5/trade/orders-pending?{where}"
    assert targets[1:] == [
        f"/api/v5/trade/orders-algo-pending?ordType={kind}&{where}"
        for kind in ("conditional%2Coco", "trigger", "move_order_stop")
    ]
    assert make().open_orders()[0].target == "/api/v5/trade/orders-pending?limit=100"


ORDER = {
    "instType": "SPOT",
    "instId": "BTC-USDT",
    "ordId": "680800019749904384",
    "clOrdId": "c1",
    "algoId": "",
    "algoClOrdId": "",
    "side": "sell",
    "ordType": "post_only",
    "state": "partially_filled",
    "px": "60000.1",
    "sz": "2.5",
    "accFillSz": "0.5",
    "fillSz": "0.5",
    "tradeId": "744876980",
    "tgtCcy": "",
    "reduceOnly": "false",
    "cancelSource": "",
    "uTime": "1708587373361",
}
ALGO = {
    "instType": "SWAP",
    "instId": "BTC-USDT-SWAP",
    "algoId": "1753184812254216192",
    "algoClOrdId": "c2",
    "clOrdId": "",
    "ordId": "",
    "ordType": "conditional",
    "side": "sell",
    "state": "live",
    "sz": "3",
    "slTriggerPx": "59000.5",
    "slOrdPx": "-1",
    "reduceOnly": "true",
    "failCode": "0",
    "actualSz": "0",
    "uTime": "1724751378980",
}


def test_an_order_as_the_venue_knows_it():
    row = make().read_order(said(ORDER))
    assert (row.client_id, row.venue_id, row.side, row.kind) == (
        "c1",
        "680800019749904384",
        Side.SELL,
        "limit",
    )
    assert (row.price, row.size, row.filled, row.state) == ("60000.1", "2.5", "0.5", "partial")
    assert (row.updated_ns, row.is_algo, row.market) == (1708587373361_000_000, False, Market.OKX)


def test_a_stop_that_waits_is_untriggered():
    row = make().read_order(said(ALGO))
    assert (row.client_id, row.venue_id, row.kind, row.state) == (
        "c2",
        "1753184812254216192",
        "stop_market",
        "untriggered",
    )
    assert (row.trigger, row.size, row.reduce_only, row.is_algo) == ("59000.5", "3", True, True)


@pytest.mark.parametrize(
    ("row", "state"),
    [
        (ORDER | {"state": "live"}, "live"),
        (ORDER | {"state": "filled"}, "filled"),
        (ORDER | {"state": "canceled", "cancelSource": "1"}, "canceled"),
        (ORDER | {"state": "canceled", "cancelSource": "20"}, "canceled"),
        (ORDER | {"state": "canceled", "cancelSource": "31"}, "expired"),
        (ORDER | {"state": "canceled", "cancelSource": "32"}, "expired"),
        (ORDER | {"state": "mmp_canceled"}, "canceled"),
        (ORDER | {"state": "frozen"}, "odd:frozen"),
        (ALGO | {"state": "canceled"}, "canceled"),
        (ALGO | {"state": "order_failed", "failCode": "51008"}, "expired"),
        (ALGO | {"state": "effective"}, "odd:effective"),
        (ALGO | {"state": "effective", "ordId": "812"}, "triggered"),
        (ALGO | {"state": "partially_failed"}, "odd:partially_failed"),
    ],
)
def test_states_are_translated_or_told_as_they_are(row, state):
    assert make().read_order(said(row)).state == state


def test_a_market_order_in_quote_coin_has_the_size_of_its_fills():
    row = ORDER | {"ordType": "market", "sz": "100", "px": "", "tgtCcy": "quote_ccy"}
    assert make().read_order(said(row)).size == "0.5"
    assert make().read_order(said(row | {"tgtCcy": "base_ccy"})).size == "100"


@pytest.mark.parametrize(
    "change",
    [
        {"instId": ""},
        {"ordId": ""},
        {"side": "both"},
        {"state": ""},
        {"sz": "1e5"},
        {"px": "-1"},
        {"uTime": "soon"},
        {"clOrdId": 5},
    ],
)
def test_a_malformed_order_is_refused_whole(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        make().read_open_orders(said(ORDER, ORDER | change))


def test_one_order_is_asked_for_by_the_id_that_is_known():
    ask = make().order
    assert ask("BTC-USDT", "c1").target == "/api/v5/trade/order?instId=BTC-USDT&clOrdId=c1"
    assert ask("BTC-USDT", "c1", "77").target == "/api/v5/trade/order?instId=BTC-USDT&ordId=77"
    assert ask("BTC-USDT", "c1", is_algo=True).target == "/api/v5/trade/order-algo?algoClOrdId=c1"
    assert ask("BTC-USDT", "c1", "77", is_algo=True).target == "/api/v5/trade/order-algo?algoId=77"


def test_not_found_is_an_answer_and_silence_is_none():
    assert make().read_order(said(code="51603")) is None
    for bad in (said(), said(ORDER, ORDER), Reply(200, {}, b'{"code":"0"}')):
        with pytest.raises(ValueError, match="order: data"):
            make().read_order(bad)


@pytest.mark.parametrize(
    ("answer", "outcome", "group"),
    [
        (said(code="50011", status=429), Outcome.REFUSED, ErrorGroup.GROUP_LIMIT),
        (said(code="50102", status=401), Outcome.REFUSED, ErrorGroup.GROUP_CLOCK),
        (said(code="50101", status=401), Outcome.REFUSED, ErrorGroup.GROUP_ACCESS),
        (said(code="50110"), Outcome.REFUSED, ErrorGroup.GROUP_ACCESS),
        (said(code="50026", status=500), Outcome.UNCERTAIN, ErrorGroup.GROUP_UNKNOWN),
        (said(code="99999"), Outcome.UNCERTAIN, ErrorGroup.GROUP_UNKNOWN),
        (Reply(403, {}, b"<html>blocked</html>"), Outcome.UNCERTAIN, ErrorGroup.GROUP_UNKNOWN),
        (Reply(502, {}, b""), Outcome.UNCERTAIN, ErrorGroup.GROUP_UNKNOWN),
        (Reply(200, {}, b"[]"), Outcome.UNCERTAIN, ErrorGroup.GROUP_UNKNOWN),
        (Reply(429, {}, b"slow down"), Outcome.UNCERTAIN, ErrorGroup.GROUP_LIMIT),
    ],
)
def test_a_refused_question_is_an_error_that_says_why_and_never_an_empty_list(answer, outcome, group):
    half = make()
    readers = (half.read_open_orders, half.read_order, half.read_trades, half.read_positions)
    for read in (*readers, half.read_balances, half.read_cash, half.read_key_info, half.read_time):
        with pytest.raises(RestError) as caught:
            read(answer)
        assert (caught.value.said.outcome, caught.value.said.group) == (outcome, group)


def test_retry_after_is_told_on_the_clock_of_the_venue():
    headers = {"retry-after": "7", "date": "Tue, 08 Dec 2020 09:08:57 GMT"}
    with pytest.raises(RestError) as caught:
        make().read_order(Reply(429, headers, reply(code="50011")))
    assert caught.value.said.until_ns == 1607418544 * 10**9
    for bad in (
        {"retry-after": "7"},
        {"retry-after": "x", "date": headers["date"]},
        {"retry-after": "7", "date": "?"},
    ):
        assert rest.until_ns(Reply(429, bad)) == 0


def test_a_full_page_is_followed_by_the_next():
    half = make()
    rows = [ORDER | {"ordId": str(1000 - i)} for i in range(100)]
    out, more = half.read_open_orders(said(*rows))
    assert len(out) == 100
    assert more.target == "/api/v5/trade/orders-pending?after=901&limit=100"
    rows = [ALGO | {"algoId": str(1000 - i)} for i in range(100)]
    _, more = half.read_open_orders(said(*rows))
    assert more.target == "/api/v5/trade/orders-algo-pending?ordType=conditional%2Coco&after=901&limit=100"
    assert half.read_open_orders(said(*rows[:99]))[1] is None
    assert half.read_open_orders(said()) == ([], None)


FILL = {
    "instType": "SPOT",
    "instId": "BTC-USDT",
    "tradeId": "744876980",
    "ordId": "680800019749904384",
    "clOrdId": "c1",
    "billId": "680800019754098688",
    "subType": "1",
    "fillPx": "51858",
    "fillSz": "0.00192834",
    "side": "buy",
    "execType": "T",
    "feeCcy": "BTC",
    "fee": "-0.00000192834",
    "ts": "1708587373362",
    "fillTime": "1708587373361",
}


@pytest.mark.parametrize("leg", ["", "net", "long", "short"])
def test_orders_stops_and_trades_say_their_leg(leg):
    assert rest.order_row(ORDER | {"posSide": leg}).leg == leg
    assert rest.order_row(ALGO | {"posSide": leg}).leg == leg
    assert rest.trade_row(FILL | {"posSide": leg}).leg == leg


def test_a_leg_that_nobody_knows_is_refused():
    for read, row in ((rest.order_row, ORDER), (rest.order_row, ALGO), (rest.trade_row, FILL)):
        with pytest.raises(ValueError, match="posSide"):
            read(row | {"posSide": "both"})


def test_a_trade_has_the_identity_that_the_stream_gives_it():
    (row,), more = make().read_trades(said(FILL))
    assert (row.trade_hi, row.trade_lo, row.price, row.size) == (0, 744876980, "51858", "0.00192834")
    assert (row.fee, row.fee_coin, row.is_maker, row.nature) == (
        "0.00000192834",
        "BTC",
        False,
        Nature.TRADE_FILL,
    )
    assert (row.event_ns, more) == (1708587373361_000_000, None)
    table = Instruments()
    table.add(Market.OKX, "BTC-USDT-SWAP", "0.1", "0.01", is_perpetual=True)
    pushed = {
        "instId": "BTC-USDT-SWAP",
        "ordId": "77",
        "side": "sell",
        "state": "filled",
        "accFillSz": "1",
        "tradeId": "0",
        "category": "full_liquidation",
        "fillPx": "51858.0",
        "fillSz": "1",
        "fillTime": "1708587373361",
        "uTime": "1708587373999",
    }
    sink = ListSink()
    frame = {"arg": {"channel": "orders", "instType": "ANY"}, "data": [pushed]}
    OkxWire(table, Market.OKX).read(orjson.dumps(frame), sink)
    forced = FILL | {"tradeId": "-12345", "subType": "107", "ordId": "77", "fillPx": "51858", "fillSz": "1.0"}
    (row,), _ = make().read_trades(said(forced | {"instId": "BTC-USDT-SWAP", "execType": ""}))
    assert (row.trade_hi, row.trade_lo) == (sink.events[0]["trade_hi"], sink.events[0]["trade_lo"])
    assert row.nature == sink.events[0]["nature"] == Nature.LIQUIDATION


@pytest.mark.parametrize(
    ("sub", "nature"),
    [("2", Nature.TRADE_FILL), ("104", Nature.LIQUIDATION), ("125", Nature.ADL), ("112", Nature.SETTLEMENT)],
)
def test_what_made_a_trade_is_told(sub, nature):
    assert make().read_trades(said(FILL | {"subType": sub}))[0][0].nature == nature


@pytest.mark.parametrize(
    ("fee", "paid"), [("-0.01", "0.01"), ("0.01", "-0.01"), ("0", "0"), ("-0.00", "0"), ("", "0")]
)
def test_a_fee_that_is_paid_is_above_zero(fee, paid):
    assert make().read_trades(said(FILL | {"fee": fee}))[0][0].fee == paid


@pytest.mark.parametrize(
    "change", [{"fillSz": ""}, {"fillPx": ""}, {"tradeId": "x"}, {"tradeId": "1.5"}, {"fee": "1e-8"}]
)
def test_a_malformed_trade_is_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        make().read_trades(said(FILL | change))


def test_pages_of_trades_keep_the_time_since_when_they_are_wanted():
    half = make()
    asked = half.trades("BTC-USDT", 1708587370000_000_000)
    where = "instType=SPOT&instId=BTC-USDT&begin=1708587370000"
    assert asked.target == f"/api/v5/trade/fills?{where}&limit=100"
    rows = [FILL | {"billId": str(1000 - i)} for i in range(100)]
    _, more = half.read_trades(said(*rows))
    assert more.target == f"/api/v5/trade/fills?{where}&after=901&limit=100"
    assert half.read_trades(said(FILL))[1] is None


@pytest.mark.parametrize(
    ("days", "path"), [(0, "fills"), (2, "fills"), (3, "fills-history"), (30, "fills-history")]
)
def test_old_trades_are_asked_of_the_history(days, path):
    since_ms = STAMP_MS - days * 86_400_000
    signed = make().sign(make().trades("BTC-USDT", since_ms * 1_000_000), STAMP_MS)
    assert signed.target.startswith(f"/api/v5/trade/{path}?instType=SPOT&instId=BTC-USDT&begin={since_ms}")


POSITION = {
    "instType": "SWAP",
    "instId": "BTC-USDT-SWAP",
    "mgnMode": "cross",
    "posSide": "net",
    "pos": "-0.5",
    "avgPx": "10000",
    "lever": "3",
    "uTime": "1622559930237",
}


@pytest.mark.parametrize(
    ("change", "size"),
    [
        ({}, "-0.5"),
        ({"pos": "0.5"}, "0.5"),
        ({"posSide": "short", "pos": "0.5"}, "-0.5"),
        ({"posSide": "long", "pos": "2"}, "2"),
        ({"pos": "0"}, "0"),
    ],
)
def test_a_short_position_is_below_zero(change, size):
    (row,), more = make().read_positions(said(POSITION | change))
    assert (row.size, row.symbol, row.leverage, row.margin_mode, more) == (
        size,
        "BTC-USDT-SWAP",
        "3",
        "cross",
        None,
    )
    assert row.leg == change.get("posSide", "net")


@pytest.mark.parametrize(
    "change", [{"pos": ""}, {"pos": None}, {"pos": "1e3"}, {"posSide": ""}, {"posSide": "both"}]
)
def test_a_position_without_a_number_is_not_flat(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        make().read_positions(said(POSITION | change))


def test_balances_are_cash_without_unrealised_profit():
    details = [{"ccy": "USDT", "cashBal": "100.5", "eq": "99", "availBal": "80", "uTime": "1751526647084"}]
    (row,) = make().read_balances(said({"totalEq": "1", "details": details}))
    assert (row.coin, row.total, row.free, row.event_ns) == ("USDT", "100.5", "80", 1751526647084_000_000)
    for bad in ({}, {"details": {}}, {"details": [5]}, {"details": [{"ccy": "USDT", "cashBal": ""}]}):
        with pytest.raises(ValueError, match=r"balances|USDT"):
            make().read_balances(said(bad))
    with pytest.raises(ValueError, match="balances"):
        make().read_balances(said())


BILL = {
    "billId": "7",
    "type": "8",
    "subType": "173",
    "ccy": "USDT",
    "balChg": "-0.5",
    "instId": "BTC-USDT-SWAP",
    "ts": "1695033476167",
    "tradeId": "",
}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, "funding"),
        ({"type": "1", "subType": "11"}, "transfer"),
        ({"type": "5", "subType": "110"}, "liquidation"),
        ({"type": "99", "subType": "3"}, "bill 99/3"),
        ({"type": "2"}, None),
        ({"type": "5", "tradeId": "-77"}, None),
        ({"type": "9", "tradeId": "-77"}, None),
    ],
)
def test_money_that_moved_without_a_trade(change, kind):
    rows, more = make().read_cash(said(BILL | change))
    assert [x.kind for x in rows] == ([kind] if kind else [])
    assert more is None
    if kind:
        assert (rows[0].amount, rows[0].key, rows[0].coin) == ("-0.5", "7", "USDT")


def test_pages_of_bills():
    half = make()
    (asked,) = half.cash(1695033476000_000_000)
    assert asked.target == "/api/v5/account/bills?begin=1695033476000&limit=100"
    _, more = half.read_cash(said(*[BILL | {"billId": str(1000 - i)} for i in range(100)]))
    assert more.target == "/api/v5/account/bills?begin=1695033476000&after=901&limit=100"


def test_leverage_is_asked_for_by_symbol_because_flat_positions_do_not_show_it():
    half = make()
    (request,) = half.modes(["BTC-USDT", "BTC-USDT-SWAP", "ETH-USDT-SWAP"])
    assert request.target.startswith("/api/v5/account/leverage-info?")
    assert "BTC-USDT-SWAP%2CETH-USDT-SWAP" in request.target
    assert "mgnMode=cross" in request.target
    assert half.modes(["BTC-USDT"]) == []
    row = {"ccy": "", "instId": "BTC-USDT-SWAP", "mgnMode": "cross", "posSide": "net", "lever": "10"}
    (mode,) = half.read_modes(said(row))
    assert (mode.symbol, mode.leverage, mode.margin_mode, mode.hedge) == (
        "BTC-USDT-SWAP",
        "10",
        "cross",
        False,
    )
    assert half.read_modes(said(row | {"posSide": "long"}))[0].hedge
    for bad in ({"lever": ""}, {"posSide": ""}, {"instId": ""}):
        with pytest.raises(ValueError):  # noqa: PT011
            half.read_modes(said(row | bad))


def test_what_a_key_may_do():
    half = make()
    config = {"perm": "read_only,trade", "ip": "1.2.3.4", "posMode": "net_mode", "acctLv": "2"}
    row = half.read_key_info(said(config))
    assert (row.can_trade, row.can_withdraw, row.is_ip_bound, row.hedge) == (True, False, True, False)
    assert half.account_level == "2"
    row = half.read_key_info(
        said(config | {"perm": "read_only,withdraw", "ip": "", "posMode": "long_short_mode"})
    )
    assert (row.can_trade, row.can_withdraw, row.is_ip_bound, row.hedge) == (False, True, False, True)
    for bad in ({"perm": ""}, {"posMode": ""}, {"posMode": "new_mode"}):
        with pytest.raises(ValueError, match="account configuration"):
            half.read_key_info(said(config | bad))


# ---- order frames by REST ----


def frame(kind="preview", **intent) -> bytes:
    table = Instruments()
    table.add(Market.OKX, "BTC-USDT-SWAP", "0.1", "0.01", is_perpetual=True, inst_code=10459)
    wire = OkxWire(table, Market.OKX)
    intent = {"instrument": 0, "price_ticks": 600001, "size_lots": 250} | intent
    if kind == "preview":
        return wire.preview(intent, 7, STAMP_MS * 1_000_000)
    return wire.preview_batch([intent, intent], [7, 8], STAMP_MS * 1_000_000)


DEADLINE = ("expTime", str(STAMP_MS + 1500))


@pytest.mark.parametrize(
    ("intent", "path", "headers"),
    [
        ({}, "order", (DEADLINE,)),
        ({"action": Action.CANCEL}, "cancel-order", ()),
        ({"action": Action.AMEND}, "amend-order", (DEADLINE,)),
        ({"type": OrderType.STOP_MARKET, "trigger_ticks": 590000}, "order-algo", (DEADLINE,)),
        ({"kind": "batch"}, "batch-orders", (DEADLINE,)),
        ({"kind": "batch", "action": Action.CANCEL}, "cancel-batch-orders", ()),
        ({"kind": "batch", "action": Action.AMEND}, "amend-batch-orders", (DEADLINE,)),
        ({"type": OrderType.STOP_MARKET, "action": Action.CANCEL}, "cancel-algos", ()),
    ],
)
def test_a_frame_says_the_same_as_a_request(intent, path, headers):
    raw = frame(**intent)
    request = make().from_frame(raw)
    assert (request.method, request.target, request.headers) == ("POST", f"/api/v5/trade/{path}", headers)
    args = [{k: v for k, v in x.items() if k != "instIdCode"} for x in orjson.loads(raw)["args"]]
    body = orjson.loads(request.body)
    assert body == (args if "batch" in path or path == "cancel-algos" else args[0])
    assert args[0]["instId"] == "BTC-USDT-SWAP"


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"{",
        b"[]",
        b'{"op":"login","args":[{}]}',
        b'{"op":"order","args":[]}',
        b'{"op":"order","args":[5]}',
    ],
)
def test_another_frame_is_no_request(bad):
    with pytest.raises(ValueError, match="order frame"):
        make().from_frame(bad)


def item(**more) -> dict:
    return {"ordId": "77", "clOrdId": "c1", "sCode": "0", "sMsg": ""} | more


@pytest.mark.parametrize(
    ("answer", "outcome", "group"),
    [
        (said(item()), Outcome.ACCEPTED, ErrorGroup.GROUP_NONE),
        (said(item(sCode="51400"), code="1"), Outcome.REFUSED, ErrorGroup.GROUP_NOT_OPEN),
        (said(item(sCode="51412"), code="1"), Outcome.UNCERTAIN, ErrorGroup.GROUP_UNKNOWN),
        (said(item(sCode="88888"), code="1"), Outcome.UNCERTAIN, ErrorGroup.GROUP_UNKNOWN),
        (said(code="50011"), Outcome.REFUSED, ErrorGroup.GROUP_LIMIT),
        (said(code="1"), Outcome.UNCERTAIN, ErrorGroup.GROUP_UNKNOWN),
        (said(code="0"), Outcome.UNCERTAIN, ErrorGroup.GROUP_UNKNOWN),
        (Reply(403, {}, b"<html>"), Outcome.UNCERTAIN, ErrorGroup.GROUP_UNKNOWN),
        (Reply(504, {}, b""), Outcome.UNCERTAIN, ErrorGroup.GROUP_UNKNOWN),
    ],
)
def test_what_an_answer_to_a_cancel_proves(answer, outcome, group):
    said_ = make().read_said(make().cancel("BTC-USDT", "c1"), answer)
    assert (said_.outcome, said_.group) == (outcome, group)
    assert said_.venue_id == ("77" if answer.body.find(b'"ordId"') > 0 else "")


def test_a_new_order_with_a_known_id_may_be_the_one_meant():
    request = make().from_frame(frame())
    client = orjson.loads(request.body)["clOrdId"]
    assert (
        make().read_said(request, said(item(clOrdId=client, sCode="51016"), code="1")).outcome
        == Outcome.UNCERTAIN
    )
    assert (
        make().read_said(request, said(item(clOrdId=client, sCode="51008"), code="1")).outcome
        == Outcome.REFUSED
    )


def test_each_order_of_a_batch_has_its_own_answer_and_a_missing_one_has_none():
    request = make().from_frame(frame("batch"))
    first, second = (x["clOrdId"] for x in orjson.loads(request.body))
    rows = [item(clOrdId=second, sCode="51008"), item(clOrdId=first, ordId="78")]
    items = make().read_items(request, said(*rows, code="2"))
    assert (items[first].outcome, items[first].venue_id) == (Outcome.ACCEPTED, "78")
    assert items[second].outcome == Outcome.REFUSED
    assert make().read_said(request, said(*rows, code="2")).outcome == Outcome.UNCERTAIN
    items = make().read_items(request, said(rows[0], code="2"))
    assert (items[first].outcome, items[second].outcome) == (Outcome.UNCERTAIN, Outcome.REFUSED)
    assert make().read_said(request, said(code="50011")).outcome == Outcome.REFUSED


def test_everything_open_is_cancelled_by_lists():
    half = make()
    rows = [rest.order_row(ORDER | {"ordId": str(i)}) for i in range(25)]
    rows += [rest.order_row(ALGO | {"algoId": str(i)}) for i in range(11)]
    requests = half.cancel_rows(rows)
    assert [(x.target.rsplit("/", 1)[-1], len(orjson.loads(x.body))) for x in requests] == [
        ("cancel-batch-orders", 20),
        ("cancel-batch-orders", 5),
        ("cancel-algos", 10),
        ("cancel-algos", 1),
    ]
    assert half.cancel_all("BTC-USDT") == []


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (make().cancel("BTC-USDT", "c1"), BudgetKind.BUDGET_CANCELS),
        (make().from_frame(frame()), BudgetKind.BUDGET_ORDERS),
        (make().from_frame(frame(action=Action.AMEND)), BudgetKind.BUDGET_AMENDS),
        (make().balances(), BudgetKind.BUDGET_WEIGHT),
    ],
)
def test_an_empty_bucket_is_told(request_, kind):
    (row,) = make().budgets(request_, said(code="50011", status=429))
    assert (row.kind, row.interval_ns) == (kind, 2 * rules.SECOND)
    assert make().budgets(request_, said(item(sCode="50061"), code="1"))
    assert make().budgets(request_, said()) == []


def test_queries_of_a_path_share_its_published_limit_whatever_they_ask():
    one, other = (make().open_orders(x) for x in ("BTC-USDT", "ETH-USDT"))
    assert make().buckets(one[0]) == make().buckets(other[0])
    assert [make().buckets(x)[0].limit for x in one] == [60, 20, 20, 20]
    assert len({make().buckets(x)[0].name for x in one}) == 2
    assert make().buckets(make().balances())[0].interval_ns == 2 * rules.SECOND
    assert make().buckets(make().cancel("BTC-USDT", "c1")) == ()


def test_unfilled_orders_are_forgotten_after_two_hours():
    assert make().retention_ns() == 2 * 3600 * 10**9


@pytest.mark.parametrize(
    ("part", "read"),
    [
        ("http_get_orders_pending.", "read_open_orders"),
        ("http_get_orders_algo_pending.", "read_open_orders"),
        ("http_get_orders_algo_pending_close", "read_open_orders"),
        ("http_get_orders_history", "read_open_orders"),
        ("http_get_positions.", "read_positions"),
        ("http_get_account_balance", "read_balances"),
    ],
)
def test_captured_account_replies_are_read(part, read):
    seen = captured("fixtures/okx-nautilus.jsonl.gz", part)
    assert seen
    for raw in seen:
        assert getattr(make(), read)(Reply(200, {}, raw))


READERS = [
    ("read_order", ORDER),
    ("read_open_orders", ALGO),
    ("read_trades", FILL),
    ("read_positions", POSITION),
    ("read_balances", {"details": [{"ccy": "USDT", "cashBal": "1", "availBal": "1", "uTime": "1"}]}),
    ("read_cash", BILL),
    ("read_key_info", {"perm": "trade", "ip": "", "posMode": "net_mode", "acctLv": "2"}),
    ("read_time", {"ts": "1597026383085"}),
]


@pytest.mark.parametrize(("name", "row"), READERS)
def test_a_spoiled_reply_is_an_error_or_another_value_and_never_a_stumble(name, row):
    read, whole = getattr(make(), name), reply(row)
    assert read(Reply(200, {}, whole))
    for i in range(len(whole)):
        with pytest.raises(RestError):
            read(Reply(200, {}, whole[:i]))
        for bit in range(8):
            raw = whole[:i] + bytes([whole[i] ^ 1 << bit]) + whole[i + 1 :]
            with contextlib.suppress(ValueError, RestError):
                read(Reply(200, {}, raw))
    for key in row:
        for other in (None, 5, True, [], {}, "x" * 50, "-", "1e5", "\u0663"):
            with contextlib.suppress(ValueError, RestError):
                read(said(row | {key: other}))


def test_a_spoiled_answer_to_an_order_proves_nothing():
    request = make().cancel("BTC-USDT", "c1")
    whole = said(item()).body
    for i in range(len(whole)):
        assert make().read_said(request, Reply(200, {}, whole[:i])).outcome == Outcome.UNCERTAIN
        for bit in range(8):
            raw = whole[:i] + bytes([whole[i] ^ 1 << bit]) + whole[i + 1 :]
            make().read_said(request, Reply(200, {}, raw))
    for other in (None, [], {}, "x", 5.5, True):
        answers = [
            said(item(sCode=other)),
            said(other),
            Reply(200, {}, orjson.dumps({"code": other, "data": []})),
        ]
        for answer in answers:
            assert make().read_said(request, answer).outcome == Outcome.UNCERTAIN, answer.body

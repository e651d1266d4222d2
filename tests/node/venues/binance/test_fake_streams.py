"""Market streams: control replies, routes, books that can be followed, frames that the decoder reads."""

import json

import pytest
from binance_venue import MARKETS, NOW, Rest, ask, venue

from ext.book import Book, BookState
from ext.instruments import Instruments
from ext.venues.binance import BinanceWire
from ext.wire import ListSink, Verdict
from node.venues.binance import rest
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM
from node.venues.binance.session import Session
from node.venues.fakes import BUY, MS, SELL, Refused
from node.venues.values import Ready, Send

said = ask


# ---- stream control ----


@pytest.mark.parametrize("path", ["/ws", "/stream", "/public/ws", "/market/stream"])
def test_control_messages_get_the_documented_replies(path):
    fake = venue()
    line = fake.open(path, NOW)
    second = iter(range(1, 9))

    def ask(fake, line, **message):
        return said(fake, line, NOW + next(second) * 1000 * MS, **message)

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
    fake = venue(usdm_prefix="/usdm", unrouted="public")
    line = fake.open("/usdm/stream?streams=btcusdt@bookTicker/btcusdt@markPrice@1s", NOW)
    fake.listings[BINANCE_USDM, "BTCUSDT"].engine.set_level(BUY, 600000, 5)
    fake.tick(NOW + 2000 * MS)
    assert {json.loads(x)["stream"] for c, x in fake.take() if c is line} == {"btcusdt@bookTicker"}


# ---- market data ----


def instruments(fake) -> Instruments:
    table = Instruments()
    for market in MARKETS:
        status, reply = fake.http("GET", rest.exchange_info(market).target, {}, b"", NOW)[:2]
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
            reply = fake.request(request.method, request.target, {}, b"", now_ns).body
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


def test_a_client_that_says_too_much_in_a_second_is_cut_off():
    fake = venue()
    line = fake.open("/ws", NOW)
    for number in range(5):
        assert ask(fake, line, method="LIST_SUBSCRIPTIONS", id=number)
    assert ask(fake, line, method="LIST_SUBSCRIPTIONS", id=5) == []
    assert line.closing[0] == 1008


@pytest.mark.parametrize(
    "path", ["/stream/ws/0", "/stream.binance.com/ws", "/fstream/public/ws/3", "/fstream/ws"]
)
def test_a_stream_host_may_be_the_first_part_of_a_path(path):
    fake = venue()
    line = fake.open(path, NOW)
    assert line.notes["market"] == (BINANCE_USDM if "fstream" in path else BINANCE_SPOT)
    assert ask(fake, line, method="SUBSCRIBE", params=["btcusdt@bookTicker"], id=1)[0]["result"] is None
    fake.listings[line.notes["market"], "BTCUSDT"].engine.set_level(BUY, 600000, 5)
    fake.tick(NOW + 100 * MS)
    assert [json.loads(x)["s"] for _, x in fake.take()] == ["BTCUSDT"]


def test_unrouted_usdm_streams_deliver_everything_unless_told_otherwise():
    fake = venue()
    line = fake.open("/fstream/stream?streams=btcusdt@bookTicker/btcusdt@markPrice@1s", NOW)
    fake.listings[BINANCE_USDM, "BTCUSDT"].engine.set_level(BUY, 600000, 5)
    fake.tick(NOW + 2000 * MS)
    said_ = {json.loads(x)["stream"] for c, x in fake.take() if c is line}
    assert said_ == {"btcusdt@bookTicker", "btcusdt@markPrice@1s"}


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/stream", ["ticker", "miniTicker", "kline_1m", "avgPrice"]),
        ("/market/stream", ["ticker", "miniTicker", "kline_1h", "markPrice@1s"]),
    ],
)
def test_statistics_are_pushed_every_second(path, names):
    fake = venue()
    fake.open(f"{path}?streams=" + "/".join(f"btcusdt@{x}" for x in names), NOW)
    fake.tick(NOW + 2000 * MS)
    frames = [json.loads(x) for _, x in fake.take()]
    assert {x["stream"] for x in frames} == {f"btcusdt@{x}" for x in names}
    assert all(x["data"]["s"] == "BTCUSDT" for x in frames)


def test_streams_of_a_whole_market_are_arrays():
    fake = venue()
    fake.open("/market/stream?streams=!markPrice@arr@1s/!ticker@arr/!miniTicker@arr", NOW)
    fake.tick(NOW + 2000 * MS)
    frames = [json.loads(x) for _, x in fake.take()]
    assert len(frames) == 3
    assert all(isinstance(x["data"], list) and x["data"][0]["s"] == "BTCUSDT" for x in frames)


def test_spot_times_are_microseconds_where_asked_for():
    fake = venue()
    fake.open("/ws/btcusdt@trade?timeUnit=MICROSECOND", NOW)
    fake.listings[BINANCE_SPOT, "BTCUSDT"].engine.place(BUY, 600001, 10, "ioc")
    fake.tick(NOW + 10 * MS)
    (trade,) = [json.loads(x) for _, x in fake.take()]
    assert trade["T"] == (NOW + 10 * MS) // 1000


@pytest.mark.parametrize("name", ["session.sub_fail", "session.sub_ack_then_kick"])
def test_faults_of_subscriptions_strike(name):
    fake = venue()
    fake.faults.add(name)
    line = fake.open("/ws", NOW)
    (reply,) = ask(fake, line, method="SUBSCRIBE", params=["btcusdt@bookTicker"], id=1)
    assert fake.faults.counts[name] == 1
    assert ("code" in reply) == (name == "session.sub_fail")
    fake.tick(NOW + 1000 * MS)
    fake.take()
    fake.listings[BINANCE_SPOT, "BTCUSDT"].engine.set_level(BUY, 600000, 5)
    fake.tick(NOW + 1100 * MS)
    assert fake.take() == []


def test_a_snapshot_may_be_stale():
    fake = venue()
    fake.faults.add("book.stale_snapshot", by_ms=1000)
    listing = fake.listings[BINANCE_SPOT, "BTCUSDT"]
    for i in range(1, 30):
        listing.engine.set_level(BUY, 599000, i)
        fake.tick(NOW + i * 100 * MS)
    client = Rest(fake)
    client.now_ns = NOW + 3000 * MS
    _, body = client.get("/api/v3/depth", symbol="BTCUSDT", sign_it=False)
    assert body["lastUpdateId"] < listing.engine.update_id

import hashlib
import hmac
import itertools
import json
import random

import pytest

from ext.book import Book
from ext.instruments import Instruments
from ext.records import Action, DepthKind, MarkField, OrderType, ReportKind, Side, TimeInForce
from ext.venues.bybit import BybitWire
from ext.wire import ListSink, Verdict
from node.venues.bybit import rest, rules
from node.venues.bybit.fake import BybitFake
from node.venues.bybit.rules import LINEAR, SPOT
from node.venues.bybit.session import Session
from node.venues.fakes import Listing, Refused
from node.venues.keys import Key
from node.venues.values import Down, Ready, Send

NUMBERS = itertools.count()
MS, S = 1_000_000, 1_000_000_000
NOW = 1_711_001_595_000_000_000
PUBLIC = {SPOT: "/v5/public/spot", LINEAR: "/v5/public/linear"}
LIVE, FILLED, CANCELED = ReportKind.REPORT_LIVE, ReportKind.REPORT_FILLED, ReportKind.REPORT_CANCELED
EXPIRED = ReportKind.REPORT_EXPIRED
ACK, FILL, REJECT = ReportKind.REPORT_ACK, ReportKind.REPORT_FILL, ReportKind.REPORT_REJECT


def listings() -> list[Listing]:
    return [
        Listing("BTCUSDT", "0.10", "0.001", LINEAR, base="BTC", is_perpetual=True),
        Listing("BTCUSDT", "0.01", "0.000001", SPOT, base="BTC"),
        Listing("SOLUSDT", "0.010", "0.1", LINEAR, base="SOL", is_perpetual=True),
    ]


def http(fake, *request):
    """Status and body of a REST answer."""
    return fake.http(*request)[:2]


def table(fake: BybitFake) -> Instruments:
    """The instrument table, out of the fake's own REST replies: rows in the order of `listings`."""
    out, rows = Instruments(64), {}
    for market in (LINEAR, SPOT):
        request = rest.instruments_info(market)
        status, body = http(fake, request.method, request.target, {}, b"", NOW)
        assert status == 200
        rows |= {(x.market, x.symbol): x for x in rest.instruments(body)}
    for key in fake.listings:
        row = rows[key]
        out.add(
            row.market, row.symbol, row.tick, row.lot, tradable=row.tradable, min_notional=row.min_notional
        )
    return out


def lots(fake: BybitFake, market: int, symbol: str = "BTCUSDT") -> int:
    """What the first account holds, against the start; on spot before fees."""
    account, listing = fake.accounts[1], fake.listings[(market, symbol)]
    if market == LINEAR:
        return account.position(listing).lots
    return sum(
        x.size_lots if x.side == Side.BUY else -x.size_lots for x in account.trades if x.listing is listing
    )


def fill_book(listing: Listing, levels: int = 300, mid: int = 100_000) -> None:
    for i in range(levels):
        listing.engine.set_level(Side.BUY, mid - 1 - i, 5000 + i)
        listing.engine.set_level(Side.SELL, mid + 1 + i, 5000 + i)


def stir(listing: Listing, rng: random.Random, mid: int = 100_000) -> None:
    """The rest of the market moves a little, near the top and far from it."""
    for _ in range(rng.randint(0, 8)):
        side, away = rng.choice((Side.BUY, Side.SELL)), 1 + int(rng.expovariate(1 / 60))
        price = mid - away if side == Side.BUY else mid + away
        listing.engine.set_level(side, price, rng.choice((0, rng.randint(1, 9000))))


class Client:
    """A session and a decoder on one connection of the fake."""

    def __init__(self, fake, path, session=None, wire=None):
        self.fake, self.session, self.wire = fake, session, wire
        self.connection = fake.open(path, NOW)
        self.ready, self.down, self.events, self.replies = False, None, [], []
        if session:
            self.do(session.start(NOW), NOW)

    def do(self, actions, now_ns):
        for action in actions:
            if isinstance(action, Send):
                self.fake.receive(self.connection, action.text, now_ns)
            elif isinstance(action, Ready):
                self.ready = True
            elif isinstance(action, Down):
                self.down = action
        return self

    def hear(self, text, now_ns):
        sink = ListSink()
        verdict = self.wire.read(text.encode(), sink) if self.wire else Verdict.NOT_MINE
        assert verdict in (Verdict.HANDLED, Verdict.NOT_MINE), (text, self.wire.error())
        self.events += sink.events
        if verdict == Verdict.NOT_MINE:
            self.replies.append(json.loads(text))
            if self.session:
                self.do(self.session.receive(text, now_ns), now_ns)
        elif self.session and "topic" in json.loads(text):
            self.session.data(json.loads(text)["topic"], now_ns)


def pump(fake, clients, now_ns):
    """Deliver what the fake says until it says no more."""
    by_connection = {x.connection.number: x for x in clients}
    while frames := fake.take():
        for connection, text in frames:
            by_connection[connection.number].hear(text, now_ns)


def asked(fake, connection, message, now_ns=NOW) -> list[dict]:
    """What the fake answers to one message."""
    fake.take()
    fake.receive(connection, message if isinstance(message, str) else json.dumps(message), now_ns)
    return [json.loads(text) for to, text in fake.take() if to is connection]


@pytest.fixture
def fake() -> BybitFake:
    out = BybitFake(listings(), seed=7)
    for listing in out.listings.values():
        fill_book(listing)
    return out


# ---- connections ----


@pytest.mark.parametrize(
    ("path", "ping", "pong"),
    [
        (
            "/v5/public/spot",
            {"op": "ping"},
            {"success": True, "ret_msg": "pong", "conn_id": "", "op": "ping"},
        ),
        (
            "/v5/public/spot",
            {"op": "ping", "req_id": "7"},
            {"success": True, "ret_msg": "pong", "conn_id": "", "req_id": "7", "op": "ping"},
        ),
        (
            "/v5/public/linear",
            {"op": "ping"},
            {"success": True, "ret_msg": "pong", "conn_id": "", "req_id": "", "op": "ping"},
        ),
        (
            "/v5/private",
            {"op": "ping", "req_id": "test"},
            {"req_id": "test", "op": "pong", "args": ["1711001595000"], "conn_id": ""},
        ),
        (
            "/v5/trade?max_active_time=30s",
            {"op": "ping"},
            {"retCode": 0, "retMsg": "OK", "op": "pong", "data": ["1711001595000"], "connId": ""},
        ),
    ],
)
def test_each_kind_of_connection_has_its_own_pong(fake, path, ping, pong):
    (reply,) = asked(fake, fake.open(path, NOW), ping)
    assert list(reply) == list(pong)
    assert {k: v for k, v in reply.items() if k not in ("conn_id", "connId")} == {
        k: v for k, v in pong.items() if k not in ("conn_id", "connId")
    }


def test_an_unknown_path_is_refused(fake):
    with pytest.raises(Refused) as refused:
        fake.open("/v5/public/nothing", NOW)
    assert refused.value.status == 404


def test_a_silent_connection_is_closed_after_ten_minutes_or_as_it_asked(fake):
    quiet, short = fake.open("/v5/private", NOW), fake.open("/v5/trade?max_active_time=1m", NOW)
    fake.tick(NOW + 60 * S)
    assert (quiet.closing, short.closing) == (None, (1000, "idle"))
    fake.tick(NOW + 600 * S)
    assert quiet.closing == (1000, "idle")


def test_a_login_is_checked_where_keys_are_configured():
    fake = BybitFake(listings(), credentials={"key": "secret"})
    private, trade = fake.open("/v5/private", NOW), fake.open("/v5/trade", NOW)
    assert asked(fake, private, {"op": "subscribe", "args": ["order"]})[0]["success"] is False
    expires = NOW // MS + 1000
    sign = hmac.new(b"secret", f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
    for args in (["key", expires, "0" * 64], ["nobody", expires, sign], ["key", NOW // MS, sign], []):
        assert asked(fake, private, {"op": "auth", "args": args})[0]["success"] is False
        assert asked(fake, trade, {"op": "auth", "args": args})[0]["retCode"] in (10001, 10003, 10004)
    assert asked(fake, private, {"op": "auth", "args": ["key", expires, sign]})[0]["success"] is True
    login = {"op": "auth", "args": ["key", expires, sign], "reqId": "a"}
    assert [asked(fake, trade, login)[0]["retCode"] for _ in range(2)] == [0, 20001]
    assert asked(fake, private, {"op": "subscribe", "args": ["order"]})[0]["success"] is True
    for kind, path in (("private", "/v5/private"), ("trade", "/v5/trade")):
        client = Client(fake, path, Session(kind, LINEAR, key=Key("key", "secret")))
        pump(fake, [client], NOW)
        assert client.ready
        client = Client(fake, path, Session(kind, LINEAR, key=Key("key", "wrong")))
        pump(fake, [client], NOW)
        assert client.down is not None
        assert not client.down.retry


# ---- subscriptions ----


def test_subscription_replies_have_the_shape_of_their_market(fake):
    spot, linear = fake.open(PUBLIC[SPOT], NOW), fake.open(PUBLIC[LINEAR], NOW)
    request = {"op": "subscribe", "args": ["publicTrade.BTCUSDT"]}
    (reply,) = asked(fake, spot, request)
    assert list(reply) == ["success", "ret_msg", "conn_id", "op"]
    assert (reply["ret_msg"], reply["success"]) == ("subscribe", True)
    (reply,) = asked(fake, linear, request)
    assert list(reply) == ["success", "ret_msg", "conn_id", "req_id", "op"]
    assert (reply["ret_msg"], reply["req_id"]) == ("", "")
    (reply,) = asked(fake, linear, request | {"req_id": "s1"})
    assert (reply["success"], reply["req_id"]) == (False, "s1")
    assert reply["ret_msg"] == "error:already subscribed,topic:publicTrade.BTCUSDT"


def test_one_bad_topic_fails_the_whole_request(fake):
    connection = fake.open(PUBLIC[LINEAR], NOW)
    (reply,) = asked(
        fake, connection, {"op": "subscribe", "args": ["orderbook.50.BTCUSDT", "publicTrade.NOTASYMBOL"]}
    )
    assert reply["ret_msg"] == "error:handler not found,topic:publicTrade.NOTASYMBOL"
    assert connection.topics == {}
    fake.tick(NOW + S)
    assert fake.take() == []
    for topic in ("orderbook.500.BTCUSDT", "orderbook.BTCUSDT", "BTCUSDT", "", "tickers."):
        assert not asked(fake, connection, {"op": "subscribe", "args": [topic]})[0]["success"]


def test_spot_takes_ten_topics_a_request_and_linear_any_number():
    symbols = [f"S{i}USDT" for i in range(11)]
    fake = BybitFake([Listing(x, "0.01", "0.1", m) for x in symbols for m in (SPOT, LINEAR)])
    message = {"op": "subscribe", "args": [f"publicTrade.{x}" for x in symbols]}
    spot = fake.open(PUBLIC[SPOT], NOW)
    fake.receive(spot, json.dumps(message), NOW)
    ((_, text),) = fake.take()
    assert r'"ret_msg":"args size \u003e10"' in text
    assert asked(fake, fake.open(PUBLIC[LINEAR], NOW), message)[0]["success"]
    session = Session("public", SPOT, symbols)
    client = Client(fake, PUBLIC[SPOT], session, BybitWire(table(fake), SPOT))
    pump(fake, [client], NOW)
    assert client.ready


def test_private_topics_of_two_forms_do_not_mix(fake):
    private = fake.open("/v5/private", NOW)
    for args, ok in (
        (["order", "execution.spot"], False),
        (["order.linear", "execution.linear"], True),
        (["x"], False),
    ):
        assert asked(fake, private, {"op": "subscribe", "args": args})[0]["success"] is ok


def test_unsubscribing_ends_the_data(fake):
    connection = fake.open(PUBLIC[LINEAR], NOW)
    asked(fake, connection, {"op": "subscribe", "args": ["orderbook.50.BTCUSDT"]})
    assert asked(fake, connection, {"op": "unsubscribe", "args": ["orderbook.50.BTCUSDT"]})[0]["success"]
    fake.listings[(LINEAR, "BTCUSDT")].engine.set_level(Side.BUY, 99_999, 1)
    fake.tick(NOW + S)
    assert fake.take() == []


# ---- books ----


@pytest.mark.parametrize("market", [SPOT, LINEAR])
def test_books_of_every_depth_stay_equal_to_the_matching_engine(fake, market):
    """Two clients that came at different times, all depths, a moving market: no gap, exactly the window."""
    instruments, rng, clients, books = table(fake), random.Random(3), [], []
    listing = fake.listings[(market, "BTCUSDT")]
    row = instruments.index(market, "BTCUSDT")
    for step in range(1, 400):
        now = NOW + step * 10 * MS
        if step in (1, 50):
            session = Session("public", market, [f"orderbook.{x}.BTCUSDT" for x in rules.BOOK_DEPTHS])
            clients.append(Client(fake, PUBLIC[market], session, BybitWire(instruments, market)))
            books.append({depth: Book(row) for depth in rules.BOOK_DEPTHS})
        stir(listing, rng)
        fake.tick(now)
        pump(fake, clients, now)
        for client, mine in zip(clients, books, strict=True):
            for x in client.events:
                book = mine[x["depth"]]
                book.feed(x["kind"], x["rule"], x["bids"], x["asks"], -1, x["last_id"], -1, now)
                assert book.last_id == x["last_id"]
            client.events.clear()
            if step % 20 == 0 and step > 60:  # every depth is due then
                for depth, book in mine.items():
                    want = [listing.engine.levels(side, depth) for side in (Side.BUY, Side.SELL)]
                    assert [book.bids(), book.asks()] == want
    assert all(x.ready for x in clients)
    assert all((book.gaps, book.crossings) == (0, 0) for mine in books for book in mine.values())
    assert books[0][50].updates > 100


def test_a_level_pushed_out_of_the_window_leaves_as_size_zero(fake):
    connection, listing = fake.open(PUBLIC[LINEAR], NOW), fake.listings[(LINEAR, "SOLUSDT")]
    asked(fake, connection, {"op": "subscribe", "args": ["orderbook.50.SOLUSDT"]})
    listing.engine.set_level(Side.BUY, 100_000, 7)
    fake.tick(NOW + S)
    ((_, text),) = fake.take()
    assert json.loads(text)["data"]["b"] == [["1000.000", "0.7"], ["999.500", "0"]]


@pytest.mark.parametrize(
    ("market", "depth", "keys"),
    [
        (SPOT, 1, ["topic", "ts", "type", "data", "cts"]),
        (SPOT, 50, ["topic", "ts", "type", "data", "cts"]),
        (LINEAR, 1, ["topic", "ts", "type", "data", "cts"]),
        (LINEAR, 200, ["topic", "type", "ts", "data", "cts"]),
    ],
)
def test_key_order_and_number_text_follow_the_market(fake, market, depth, keys):
    connection = fake.open(PUBLIC[market], NOW)
    frames = asked(fake, connection, {"op": "subscribe", "args": [f"orderbook.{depth}.BTCUSDT"]})
    assert frames[0]["op"] == "subscribe"
    assert list(frames[1]) == keys
    assert list(frames[1]["data"]) == ["s", "b", "a", "u", "seq"]
    assert frames[1]["data"]["b"][0] == (["999.99", "0.005"] if market == SPOT else ["9999.90", "5.000"])
    assert len(frames[1]["data"]["a"]) == depth


def test_depth_one_is_snapshots_repeated_after_three_seconds_with_the_same_id(fake):
    connection = fake.open(PUBLIC[LINEAR], NOW)
    seen = [
        x["data"]["u"]
        for x in asked(fake, connection, {"op": "subscribe", "args": ["orderbook.1.BTCUSDT"]})[1:]
    ]
    for step in range(1, 620):
        fake.tick(NOW + step * 10 * MS)
        for _, text in fake.take():
            assert json.loads(text)["type"] == "snapshot"
            seen.append(json.loads(text)["data"]["u"])
    assert seen == [seen[0]] * 3
    fake.listings[(LINEAR, "BTCUSDT")].engine.set_level(Side.BUY, 99_999, 1)
    fake.tick(NOW + 6200 * MS)
    ((_, text),) = fake.take()
    assert json.loads(text)["data"]["u"] == seen[0] + 1


def test_a_lost_delta_is_a_gap_and_a_resync_mends_it(fake):
    wire = BybitWire(table(fake), LINEAR)
    client = Client(fake, PUBLIC[LINEAR], Session("public", LINEAR, ["orderbook.50.BTCUSDT"]), wire)
    book, listing, rng = Book(0), fake.listings[(LINEAR, "BTCUSDT")], random.Random(1)
    for step in range(1, 200):
        now = NOW + step * 20 * MS
        if step == 100:
            fake.skip_depth(listing)
        listing.engine.set_level(Side.BUY, 99_000 + step, 1)
        stir(listing, rng)
        fake.tick(now)
        pump(fake, [client], now)
        for x in client.events:
            if book.feed(x["kind"], x["rule"], x["bids"], x["asks"], -1, x["last_id"], -1, now) == 3:
                client.do(client.session.resync("BTCUSDT", now), now)
        client.events.clear()
        pump(fake, [client], now)
    assert (book.gaps, book.resyncs) == (1, 1)
    assert book.bids() == listing.engine.levels(Side.BUY, 50)


def test_a_restart_of_the_venue_is_a_snapshot_of_update_id_one(fake):
    wire = BybitWire(table(fake), LINEAR)
    client = Client(fake, PUBLIC[LINEAR], Session("public", LINEAR, ["orderbook.50.BTCUSDT"]), wire)
    pump(fake, [client], NOW)
    listing = fake.listings[(LINEAR, "BTCUSDT")]
    fake.restart(listing, NOW)
    listing.engine.set_level(Side.BUY, 99_999, 1)
    fake.tick(NOW + S)
    pump(fake, [client], NOW)
    kinds = [(x["kind"], x["last_id"]) for x in client.events[1:]]
    assert kinds == [(DepthKind.SNAPSHOT, 1), (DepthKind.UPDATE, 2)]


def test_seq_never_steps_back_and_is_common_to_books_and_trades(fake):
    connection = fake.open(PUBLIC[LINEAR], NOW)
    topics = ["orderbook.50.BTCUSDT", "orderbook.200.BTCUSDT", "publicTrade.BTCUSDT", "tickers.BTCUSDT"]
    asked(fake, connection, {"op": "subscribe", "args": topics})
    listing, last, kinds = fake.listings[(LINEAR, "BTCUSDT")], 0, set()
    for step in range(1, 100):
        listing.engine.trade(step % 2, 100_500 if step % 2 == 0 else 99_500, 3)
        fake.tick(NOW + step * 10 * MS)
        for _, text in fake.take():
            message = json.loads(text)
            data = message["data"]
            seqs = [x["seq"] for x in data] if isinstance(data, list) else [message.get("cs") or data["seq"]]
            assert all(x >= last for x in seqs)
            last, kinds = seqs[-1], kinds | {message["topic"].split(".")[0]}
    assert len(kinds) == 3


# ---- trades and tickers ----


@pytest.mark.parametrize("market", [SPOT, LINEAR])
def test_public_trades_carry_the_ids_of_their_market(fake, market):
    wire = BybitWire(table(fake), market)
    client = Client(fake, PUBLIC[market], Session("public", market, ["publicTrade.BTCUSDT"]), wire)
    listing = fake.listings[(market, "BTCUSDT")]
    for _ in range(3):
        listing.engine.trade(Side.SELL, 99_999, 2)
    fake.tick(NOW + S)
    pump(fake, [client], NOW)
    assert [(x["side"], x["price_ticks"], x["size_lots"]) for x in client.events] == [
        (Side.SELL, 99_999, 2)
    ] * 3
    ids = {(x["id_hi"], x["id_lo"]) for x in client.events}
    assert len(ids) == 3
    assert all((high == 0) == (market == SPOT) for high, _ in ids)


def test_linear_tickers_are_a_snapshot_and_then_only_what_changed(fake):
    wire = BybitWire(table(fake), LINEAR)
    client = Client(fake, PUBLIC[LINEAR], Session("public", LINEAR, ["tickers.BTCUSDT"]), wire)
    pump(fake, [client], NOW)
    assert client.ready
    assert client.events[0]["present"] == sum(int(x) for x in MarkField)
    fake.listings[(LINEAR, "BTCUSDT")].engine.set_level(Side.BUY, 99_999, 0)
    fake.tick(NOW + S)
    fake.tick(NOW + 2 * S)
    frames = [json.loads(text) for _, text in fake.take()]
    assert [list(x) for x in frames] == [["topic", "type", "data", "cs", "ts"]]
    assert frames[0]["type"] == "delta"
    assert set(frames[0]["data"]) <= {
        "symbol",
        "markPrice",
        "indexPrice",
        "lastPrice",
        "bid1Price",
        "bid1Size",
        "openInterestValue",
    }


def test_spot_tickers_are_whole_and_have_no_bid(fake):
    connection = fake.open(PUBLIC[SPOT], NOW)
    ticker, reply = asked(fake, connection, {"op": "subscribe", "args": ["tickers.BTCUSDT"]})
    assert (ticker["type"], reply["op"]) == ("snapshot", "subscribe")
    assert "bid1Price" not in ticker["data"]


# ---- orders ----


class Desk:
    """A trade and a private connection, and the decoder of one market."""

    def __init__(self, fake, market=LINEAR):
        self.fake, self.now = fake, NOW
        self.budgets = []  # what the answers said of the rate limits
        self.wire = BybitWire(table(fake), market)
        self.wire.set_codes(rules.CODES)
        self.row = self.wire.instruments.index(market, "BTCUSDT")
        self.trade = Client(fake, "/v5/trade", Session("trade", market), self.wire)
        self.private = Client(fake, "/v5/private", Session("private", market), self.wire)
        pump(fake, [self.trade, self.private], NOW)

    def send(self, order_id, **wish):
        """Encode, hand over, decode: the reports, each with the connection that brought it."""
        wish = {"instrument": self.row, "price_ticks": 99_000, "size_lots": 100_000} | wish
        return self.say(self.wire.preview(wish, order_id, self.now))

    def say(self, frame):
        message = json.loads(frame)
        message["reqId"] = message["reqId"][:-4] + f"{next(NUMBERS):04x}"  # a preview uses no number up
        self.fake.receive(self.trade.connection, json.dumps(message), self.now)
        return self.heard()

    def heard(self):
        out = []
        clients = {
            self.trade.connection: ("trade", self.trade),
            self.private.connection: ("private", self.private),
        }
        for connection, text in self.fake.take():
            name, client = clients[connection]
            client.hear(text, self.now)
            self.budgets += [x for x in client.events if x["type"] == "budget"]
            out += [(name, x) for x in client.events if x["type"] != "budget"]
            client.events.clear()
        return out

    def cancel(self, order_id):
        wish = {"instrument": self.row, "action": Action.CANCEL, "order_id": order_id}
        return self.say(self.wire.preview(wish, 0, self.now))


def kinds(reports):
    return [(name, x["kind"]) for name, x in reports]


@pytest.mark.parametrize("market", [SPOT, LINEAR])
def test_an_order_rests_is_filled_and_every_report_agrees(fake, market):
    desk = Desk(fake, market)
    placed = desk.send(5, price_ticks=99_999)
    assert kinds(placed) == [("trade", ACK), ("private", LIVE)]
    assert {x["order_id"] for _, x in placed} == {5}
    assert len({x["venue_id"] for _, x in placed}) == 1
    listing = fake.listings[(market, "BTCUSDT")]
    listing.engine.trade(Side.SELL, 99_999, 5001 + 40_000)  # what was ahead of it, and a part of it
    fake.tick(NOW + S)
    part = desk.heard()
    assert kinds(part) == [("private", FILL), ("private", LIVE)]
    fill = part[0][1]
    assert (fill["price_ticks"], fill["size_lots"], fill["maker"], fill["side"]) == (
        99_999,
        40_001,
        1,
        Side.BUY,
    )
    assert part[1][1]["filled_lots"] == 40_001
    listing.engine.trade(Side.SELL, 99_999, 10**6)
    fake.tick(NOW + 2 * S)
    rest_of_it = desk.heard()
    assert kinds(rest_of_it) == [("private", FILL), ("private", FILLED)]
    assert rest_of_it[1][1]["filled_lots"] == 100_000
    assert (fill["trade_hi"], fill["trade_lo"]) != (
        rest_of_it[0][1]["trade_hi"],
        rest_of_it[0][1]["trade_lo"],
    )
    assert fill["fee_is_quote"] == (1 if market == LINEAR else 2)
    assert fill["fee_e8"] > 0


@pytest.mark.parametrize("market", [SPOT, LINEAR])
def test_an_order_that_takes_is_filled_at_the_prices_of_the_book(fake, market):
    desk = Desk(fake, market)
    reports = desk.send(6, price_ticks=100_002, size_lots=9_000, tif=TimeInForce.IOC)
    assert kinds(reports) == [
        ("trade", ACK),
        ("private", FILL),
        ("private", LIVE),
        ("private", FILL),
        ("private", FILLED),
    ]
    fills = [(x["price_ticks"], x["size_lots"], x["maker"]) for _, x in reports if x["kind"] == FILL]
    assert fills == [(100_001, 5000, 0), (100_002, 4000, 0)]
    assert lots(fake, market) == 9_000


def test_an_immediate_order_that_finds_too_little_expires_with_its_fills(fake):
    desk = Desk(fake)
    reports = desk.send(7, price_ticks=100_001, size_lots=9_000, tif=TimeInForce.IOC)
    assert kinds(reports)[-1] == ("private", EXPIRED)
    assert reports[-1][1]["filled_lots"] == 5000
    reports = desk.send(8, price_ticks=100_002, size_lots=9_000, tif=TimeInForce.FOK)
    assert kinds(reports) == [("trade", ACK), ("private", EXPIRED)]
    assert reports[-1][1]["filled_lots"] == 0


@pytest.mark.parametrize(("market", "end"), [(LINEAR, EXPIRED), (SPOT, REJECT)])
def test_a_post_only_order_that_would_take_is_acknowledged_and_then_ended(fake, market, end):
    desk = Desk(fake, market)
    assert kinds(desk.send(9, price_ticks=100_001, tif=TimeInForce.POST_ONLY)) == [
        ("trade", ACK),
        ("private", end),
    ]
    assert kinds(desk.send(10, price_ticks=99_999, tif=TimeInForce.POST_ONLY)) == [
        ("trade", ACK),
        ("private", LIVE),
    ]


@pytest.mark.parametrize(("market", "code"), [(LINEAR, 110001), (SPOT, 170213)])
def test_a_cancel_is_told_by_the_stream_and_a_second_one_is_refused(fake, market, code):
    desk = Desk(fake, market)
    desk.send(11)
    assert kinds(desk.cancel(11)) == [("private", CANCELED)]
    ((name, report),) = desk.cancel(11)
    assert (name, report["kind"], report["code"]) == ("trade", ReportKind.REPORT_CANCEL_REJECT, code)
    assert report["order_id"] == 11


@pytest.mark.parametrize("market", [SPOT, LINEAR])
def test_a_market_order_takes_what_there_is(fake, market):
    desk = Desk(fake, market)
    reports = desk.send(12, type=OrderType.MARKET, side=Side.SELL, size_lots=6_000)
    assert kinds(reports)[-1] == ("private", FILLED)
    assert lots(fake, market) == -6_000


def test_the_reply_may_come_after_the_stream():
    fake = BybitFake(listings(), ack_first=False)
    fill_book(fake.listings[(LINEAR, "BTCUSDT")])
    desk = Desk(fake)
    assert kinds(desk.send(13)) == [("private", LIVE), ("trade", ACK)]


def create(desk, **changes) -> list[int]:
    """A well-formed create with some members changed (None: left out); the codes of the answers."""
    wish = {"instrument": desk.row, "price_ticks": 99_000, "size_lots": 10**5}
    message, number = json.loads(desk.wire.preview(wish, 1, NOW)), next(NUMBERS)
    order = message["args"][0] | {"orderLinkId": f"x{number}"}
    message |= {"reqId": f"r{number}", "args": [order]}
    for name, value in changes.items():
        target = message if name in message else order
        target[name] = value
        if value is None:
            del target[name]
    return [x["retCode"] for x in asked(desk.fake, desk.trade.connection, message)]


@pytest.mark.parametrize(
    ("changes", "linear", "spot"),
    [
        ({}, 0, 0),
        ({"header": {}}, 10001, 10001),
        ({"header": {"X-BAPI-TIMESTAMP": NOW // MS}}, 0, 0),
        ({"header": {"X-BAPI-TIMESTAMP": str(NOW // MS - 1001), "X-BAPI-RECV-WINDOW": "1000"}}, 10002, 10002),
        ({"header": {"X-BAPI-TIMESTAMP": str(NOW // MS + 1000)}}, 10002, 10002),
        ({"header": {"X-BAPI-TIMESTAMP": str(NOW // MS + 999)}}, 0, 0),
        ({"reqId": "x" * 37}, 10001, 10001),
        ({"op": "order.nonsense"}, 10404, 10404),
        ({"args": []}, 10001, 10001),
        ({"category": "inverse"}, 10404, 10404),
        ({"symbol": "NOTASYMBOL"}, 10001, 170121),
        ({"side": "buy"}, 10001, 170117),
        ({"orderType": "Stop"}, 10001, 170116),
        ({"timeInForce": "GTX"}, 10001, 170115),
        ({"timeInForce": None}, 0, 0),
        ({"qty": "1.0000001"}, 10001, 170137),
        ({"qty": "1e3"}, 10001, 10001),
        ({"qty": 1}, 10001, 10001),
        ({"qty": "0"}, 10001, 170136),
        ({"price": "990.005"}, 110003, 170134),
        ({"price": None}, 110003, 170134),
        ({"price": "0"}, 110003, 170132),
        ({"price": "0.1", "qty": "0.001"}, 110094, 170140),
        ({"orderLinkId": "with space"}, 10001, 10001),
        ({"orderLinkId": "y" * 37}, 10001, 10001),
        ({"orderLinkId": None}, 0, 0),
    ],
)
def test_every_check_of_an_order_has_its_code(fake, changes, linear, spot):
    for market, code in ((LINEAR, linear), (SPOT, spot)):
        desk = Desk(fake, market)
        assert create(desk, **changes) == [code]


def test_ids_must_not_repeat(fake):
    for market, code in ((LINEAR, 110072), (SPOT, 170141)):
        desk = Desk(fake, market)
        assert create(desk, orderLinkId="twice") == [0]
        assert create(desk, orderLinkId="twice") == [code]
    assert create(desk, reqId="once") == [0]
    assert create(desk, reqId="once") == [20006]


def test_reduce_only_needs_a_position_and_never_turns_it(fake):
    desk = Desk(fake)
    assert create(desk, reduceOnly=True) == [110017]
    desk.send(14, price_ticks=100_001, size_lots=1_000, tif=TimeInForce.IOC)
    reports = desk.send(15, side=Side.SELL, price_ticks=99_999, size_lots=4_000, reduce_only=1)
    assert kinds(reports)[-1] == ("private", FILLED)
    assert lots(fake, LINEAR) == 0


def test_a_spot_market_buy_is_by_value_unless_told_otherwise(fake):
    desk = Desk(fake, SPOT)
    wish = {"orderType": "Market", "price": None, "qty": "2000.0205"}  # two coins at 1000.01, and a rest
    message = json.loads(
        desk.wire.preview({"instrument": desk.row, "price_ticks": 1, "size_lots": 1}, 16, NOW)
    )
    order = {k: v for k, v in (message["args"][0] | wish).items() if v is not None}
    fill_book(fake.listings[(SPOT, "BTCUSDT")], 1, 100_000)
    fake.listings[(SPOT, "BTCUSDT")].engine.set_level(Side.SELL, 100_001, 3_000_000)
    reports = desk.say(json.dumps(message | {"args": [order]}).encode())
    assert kinds(reports) == [("trade", ACK), ("private", FILL), ("private", EXPIRED)]
    assert reports[-1][1]["filled_lots"] == 2_000_000


def test_the_order_rate_is_enforced_where_asked_for():
    fake = BybitFake(listings(), limit_orders=True)
    desk = Desk(fake)
    codes = [create(desk)[0] for _ in range(12)]
    assert codes == [0] * 10 + [10006] * 2
    desk.now += S
    message = desk.wire.preview(
        {"instrument": desk.row, "price_ticks": 99_000, "size_lots": 10**5}, 99, desk.now
    )
    assert kinds(desk.say(message)) == [("trade", ACK), ("private", LIVE)]


def test_a_reply_has_the_documented_shape(fake):
    desk = Desk(fake)
    fake.receive(
        desk.trade.connection,
        desk.wire.preview({"instrument": 0, "price_ticks": 99_000, "size_lots": 10**5}, 3, NOW).decode(),
        NOW,
    )
    replies = [json.loads(text) for to, text in fake.take() if to is desk.trade.connection]
    assert list(replies[0]) == ["reqId", "retCode", "retMsg", "op", "data", "retExtInfo", "header", "connId"]
    assert set(replies[0]["header"]) >= {"X-Bapi-Limit", "X-Bapi-Limit-Status", "Timenow", "Traceid"}


def test_order_and_execution_of_one_match_share_their_id(fake):
    desk = Desk(fake)
    frame = desk.wire.preview(
        {"instrument": 0, "price_ticks": 100_001, "size_lots": 5_000, "tif": TimeInForce.IOC}, 4, NOW
    )
    fake.receive(desk.trade.connection, frame.decode(), NOW)
    messages = [json.loads(text) for to, text in fake.take() if to is desk.private.connection]
    messages = [x for x in messages if x["topic"] in ("execution.linear", "order.linear")]
    assert [x["topic"] for x in messages] == ["execution.linear", "order.linear"]
    assert messages[0]["id"] == messages[1]["id"]
    assert messages[0]["creationTime"] == messages[1]["creationTime"]


# ---- REST ----


def test_instruments_come_in_pages(fake):
    request = rest.instruments_info(LINEAR, limit=1)
    status, first = http(fake, "GET", request.target, {}, b"", NOW)
    cursor = rest.next_cursor(first)
    _, second = http(fake, "GET", rest.instruments_info(LINEAR, cursor, 1).target, {}, b"", NOW)
    assert (status, rest.next_cursor(second)) == (200, "")
    assert [x.symbol for page in (first, second) for x in rest.instruments(page)] == ["BTCUSDT", "SOLUSDT"]


def test_time_and_books_are_read_by_the_readers(fake):
    assert rest.server_time_ns(http(fake, "GET", rest.server_time().target, {}, b"", NOW)[1]) == NOW
    for market, price in ((SPOT, "999.99"), (LINEAR, "9999.90")):
        book = rest.book(http(fake, "GET", rest.orderbook(market, "BTCUSDT", 5).target, {}, b"", NOW)[1])
        assert (len(book.bids), len(book.asks), book.bids[0][0]) == (5, 5, price)


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/v5/nothing", 404, 10017),
        ("/v5/market/instruments-info", 200, 10001),
        ("/v5/market/instruments-info?category=linear&limit=5000", 200, 10001),
        ("/v5/market/instruments-info?category=inverse", 200, 0),
        ("/v5/market/orderbook?category=linear&symbol=NOTASYMBOL", 200, 10001),
        ("/v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=0", 200, 10001),
    ],
)
def test_a_wrong_request_is_told_so(fake, target, status, code):
    got, body = http(fake, "GET", target, {}, b"", NOW)
    assert (got, json.loads(body).get("retCode")) == (status, code)
    assert http(fake, "POST", "/v5/market/time", {}, b"", NOW)[0] == 404


ODD = [None, True, 0, -1, 1.5, "", "x", "9" * 5000, [], [[]], {}, {"a": {}}]
SAID = [
    "x",
    "[]",
    "{}",
    '{"op":"ping","req_id":"1","reqId":"1"}',
    '{"op":"subscribe","req_id":"1","args":["publicTrade.BTCUSDT"]}',
    '{"op":"unsubscribe","args":["publicTrade.BTCUSDT"]}',
    '{"op":"auth","args":["key",1711001596000,"00"]}',
    '{"op":"order.create","reqId":"1","header":{"X-BAPI-TIMESTAMP":"1711001595000","X-BAPI-RECV-WINDOW":"5"},"args":'
    '[{"category":"spot","symbol":"BTCUSDT","side":"Buy","orderType":"Market","qty":"1","orderLinkId":"1"}]}',
    '{"op":"order.cancel","header":{"X-BAPI-TIMESTAMP":"1711001595000"},"args":'
    '[{"category":"linear","symbol":"BTCUSDT","orderId":"1","orderLinkId":"1"}]}',
]


def spoiled(value):
    """The value with each of its parts replaced by something odd, one at a time."""
    yield from ODD
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        for odd in spoiled(part):
            copy = value.copy()
            copy[key] = odd
            yield copy


@pytest.mark.parametrize("credentials", [None, {"key": "secret"}])
@pytest.mark.parametrize("path", [*PUBLIC.values(), "/v5/private", "/v5/trade"])
def test_whatever_a_client_says_is_answered(path, credentials):
    fake = BybitFake(listings(), credentials=credentials)
    for listing in fake.listings.values():
        fill_book(listing, 5)
    connection = fake.open(path, NOW)
    for text in SAID:
        assert asked(fake, connection, text)
        if text[0] == "{":
            for odd in spoiled(json.loads(text)):
                assert asked(fake, connection, json.dumps(odd)), odd


def test_one_seed_gives_the_same_frames():
    def frames(seed):
        fake = BybitFake(listings(), seed=seed)
        listing, rng = fake.listings[(LINEAR, "BTCUSDT")], random.Random(2)
        fill_book(listing)
        connection = fake.open(PUBLIC[LINEAR], NOW)
        fake.receive(connection, json.dumps({"op": "subscribe", "args": rules.public_topics("BTCUSDT")}), NOW)
        for step in range(50):
            stir(listing, rng)
            fake.tick(NOW + step * 20 * MS)
        return [text for _, text in fake.take()]

    assert frames(1) == frames(1)
    assert frames(1) != frames(2)


# ---- sessions ----


def test_a_login_is_checked_even_where_nobody_has_to_log_in(venue):
    for path in ("/v5/private", "/v5/trade"):
        connection = venue.open(path)
        expires = venue.now // MS + 1000
        (answer,) = venue.say(connection, op="auth", args=["simulated", expires, "0" * 64])
        assert answer.get("success", answer.get("retCode") == 0) is False
        assert not connection.logged_in


def test_a_strict_venue_refuses_orders_and_topics_without_a_login(make_venue):
    venue = make_venue(credentials={"key": "secret"})
    wish = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit"}
    wish |= {"qty": "0.1", "price": "9900"}
    trade, private = venue.open("/v5/trade"), venue.open("/v5/private")
    assert venue.trade(trade, "order.create", **wish)[0]["retCode"] == 10005
    assert venue.say(private, op="subscribe", args=["order"])[0]["ret_msg"] == "Request not authorized"
    trade = venue.open("/v5/trade", login=True, key="key", secret="secret")
    assert venue.trade(trade, "order.create", **wish)[0]["retCode"] == 0


@pytest.mark.parametrize(("key", "code"), [("reader", 10005), ("testnet", 10003), ("bound", 10010)])
def test_a_key_that_may_not_trade_cannot_log_in_to_trade(two_accounts, key, code):
    connection = two_accounts.open("/v5/trade")
    expires = two_accounts.now // MS + 1000
    sign = hmac.new(key.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
    (answer,) = two_accounts.say(connection, op="auth", args=[key, expires, sign])
    assert answer["retCode"] == code


def test_request_ids_are_unique_on_their_connection(venue):
    one, two = venue.open("/v5/trade", login=True), venue.open("/v5/trade", login=True)
    message = {"reqId": "1", "op": "order.cancel", "header": {"X-BAPI-TIMESTAMP": str(venue.now // MS)}}
    message["args"] = [{"category": "linear", "symbol": "BTCUSDT", "orderId": "x"}]
    codes = [venue.say(x, **message)[0]["retCode"] for x in (one, one, two)]
    assert codes == [110001, 20006, 110001]


def test_one_account_has_a_limited_number_of_trade_sessions(venue):
    for _ in range(50):
        assert venue.open("/v5/trade", login=True).logged_in
    assert not venue.open("/v5/trade", login=True).logged_in
    connection = venue.open("/v5/trade")
    expires = venue.now // MS + 1000
    sign = hmac.new(b"simulated", f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
    (answer,) = venue.say(connection, op="auth", args=["simulated", expires, sign])
    assert (answer["retCode"], answer["retMsg"]) == (10003, "Too many sessions under the same UID")


def test_sessions_expire_are_revoked_and_end_with_a_notice(venue):
    wish = {"category": "linear", "symbol": "BTCUSDT", "orderId": "x"}
    trade, private = venue.open("/v5/trade", login=True), venue.open("/v5/private", login=True)
    venue.say(private, op="subscribe", args=["order"])
    venue.fake.strike(venue.fake.faults.add("session.expire"), venue.now)
    assert venue.trade(trade, "order.cancel", **wish)[0]["retCode"] == 10005
    venue.order()
    assert venue.heard(private) == []
    trade = venue.open("/v5/trade", login=True)
    venue.fake.strike(venue.fake.faults.add("session.shutdown_notice", s=2), venue.now)
    assert venue.trade(trade, "order.cancel", **wish)[0]["retCode"] == 10019
    venue.pass_time(3 * S)
    assert trade.closing == (1001, "service restart")
    trade = venue.open("/v5/trade", login=True)
    venue.fake.strike(venue.fake.faults.add("session.revoke", key="simulated"), venue.now)
    assert trade.closing is not None
    assert venue.raw("GET", "/v5/account/info")[1]["retCode"] == 10003


def test_a_subscription_fails_or_is_taken_back(venue):
    venue.fake.faults.add("session.sub_fail", count=1)
    private = venue.open("/v5/private", login=True)
    assert not venue.say(private, op="subscribe", args=["order"])[0]["success"]
    venue.fake.faults.add("session.sub_ack_then_kick", delay_ms=50, count=1)
    assert venue.say(private, op="subscribe", args=["order"])[0]["success"]
    venue.pass_time(100 * MS)
    venue.order()
    assert venue.heard(private) == []


def test_orders_are_cancelled_when_the_last_watched_connection_is_gone(venue):
    venue.post("order/disconnected-cancel-all", product="DERIVATIVES", timeWindow=3)
    assert venue.get("account/query-dcp-info")["dcpInfos"] == [
        {"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": "3"}
    ]
    venue.post("order/disconnected-cancel-all", 10001, product="DERIVATIVES", timeWindow=2)
    linear, spot = venue.order(), venue.order(category="spot")
    first, second = venue.private("dcp.future"), venue.private("dcp.future")
    venue.fake.close(first)
    venue.pass_time(4 * S)
    assert venue.row(linear)["orderStatus"] == "New"
    venue.fake.close(second)
    venue.pass_time(2 * S)
    third = venue.private("dcp.future")
    venue.pass_time(2 * S)
    assert venue.row(linear)["orderStatus"] == "New"  # back in time
    venue.fake.close(third)
    venue.pass_time(4 * S)
    row = venue.row(linear)
    assert (row["orderStatus"], row["cancelType"]) == ("Cancelled", "CancelByDCP")
    assert venue.row(spot, "spot")["orderStatus"] == "New"


def test_connections_are_counted_per_address(make_venue):
    venue = make_venue()
    for _ in range(500):
        venue.fake.close(venue.open("/v5/public/linear"))
    with pytest.raises(Refused) as refused:
        venue.open("/v5/public/linear")
    assert refused.value.status == 403

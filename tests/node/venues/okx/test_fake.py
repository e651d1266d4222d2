"""The fake against the protocol: raw frames first, then our own session and decoder as its client."""

import random
import re
from itertools import pairwise

import orjson
import pytest
from okx_client import BUSINESS, KEYS, PRIVATE, PUBLIC, T0, Venue, books, code, states

from ext.book import Applied, Book, BookState
from ext.instruments import Instruments
from ext.records import Action, DepthKind, Market, Nature, OrderType, Outcome, ReportKind, TimeInForce
from ext.venues.okx import OkxWire
from ext.wire import ListSink, Verdict
from node.venues.fakes import BUY, MS, SELL, Faults, Refused, make_account
from node.venues.fakes import Key as VenueKey
from node.venues.keys import Key
from node.venues.okx import rest, rules
from node.venues.okx.fake import SECOND
from node.venues.okx.session import Session
from node.venues.values import AccountNews, Down, Ready, Replace, Reply, Request, Send

ENDED = (ReportKind.REPORT_CANCELED, ReportKind.REPORT_EXPIRED, ReportKind.REPORT_FILLED)

# ---- connections ----


def test_ping_is_answered_by_a_text_that_is_not_json():
    venue = Venue()
    assert venue.tell(venue.open(PUBLIC), "ping") == ["pong"]


def test_only_the_three_paths_exist():
    venue = Venue()
    assert venue.open("/ws/v5/public?brokerId=9999").path == PUBLIC
    with pytest.raises(Refused) as error:
        venue.open("/ws/v5/nothing")
    assert error.value.status == 404


def test_a_silent_connection_is_closed_after_thirty_seconds():
    venue = Venue()
    idle, kept = venue.open(PUBLIC), venue.open(PUBLIC)
    venue.wait(idle, 20 * SECOND, SECOND)
    venue.tell(kept, "ping")
    venue.wait(idle, 11 * SECOND, SECOND)
    assert idle.closing[0] == 4004
    assert kept.closing is None


def test_an_upgrade_is_announced_a_minute_ahead():
    venue = Venue()
    connection = venue.open(PUBLIC)
    venue.subscribe(connection, books("BTC-USDT-SWAP", "mark-price"))
    venue.fake.announce_upgrade(venue.now)
    (notice,) = venue.take(connection)
    assert (notice["event"], notice["code"]) == ("notice", "64008")
    venue.wait(connection, 59 * SECOND, SECOND)
    assert connection.closing is None
    venue.wait(connection, 2 * SECOND, SECOND)
    assert connection.closing is not None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", '{"op":5}', '{"op":"dance","args":[{}]}', '{"op":"subscribe"}']
)
def test_a_request_that_is_none_is_answered_with_60012(text):
    venue = Venue()
    assert code(venue.tell(venue.open(PUBLIC), text)) == "60012"
    assert code(venue.tell(venue.open(PUBLIC), '{"op":"subscribe","id":"a-b","args":[{}]}')) == "60012"


# ---- login ----


def login(
    timestamp: str = str(T0 // SECOND), key: str = "K", passphrase: str = "P", signature: str = ""
) -> dict:
    signature = signature or Key("K", "SECRET").base64(f"{timestamp}GET/users/self/verify")
    arg = {"apiKey": key, "passphrase": passphrase, "timestamp": timestamp, "sign": signature}
    return {"op": "login", "args": [arg]}


@pytest.mark.parametrize(
    ("message", "want"),
    [
        (login(), "0"),
        (login("yesterday"), "60004"),
        (login(str(T0 // SECOND - 31)), "60006"),
        (login(key="other"), "60005"),
        (login(passphrase="other"), "60024"),
        (login(signature="AAAA"), "60007"),
    ],
)
def test_a_login_is_checked(message, want):
    venue = Venue(credentials=KEYS)
    (frame,) = venue.tell(venue.open(PRIVATE), message)
    assert (frame["event"], frame["code"]) == ("login" if want == "0" else "error", want)
    assert re.fullmatch("[0-9a-f]{8}", frame["connId"])


def test_a_second_login_is_refused():
    venue = Venue(credentials=KEYS)
    connection = venue.open(PRIVATE)
    assert code(venue.tell(connection, login())) == "0"
    assert code(venue.tell(connection, login())) == "60031"


def test_where_there_are_keys_nothing_private_goes_before_the_login():
    venue = Venue(credentials=KEYS)
    connection = venue.open(PRIVATE)
    assert code(venue.subscribe(connection, {"channel": "orders", "instType": "ANY"})) == "60011"
    assert code(venue.order(connection)) == "60011"
    venue.tell(connection, login())
    assert venue.subscribe(connection, {"channel": "orders", "instType": "ANY"})[0]["event"] == "subscribe"
    assert code(venue.order(connection)[:1]) == "0"


# ---- subscriptions ----


def test_each_argument_has_its_own_acknowledgement():
    venue = Venue()
    connection = venue.open(PUBLIC)
    frames = venue.subscribe(
        connection, books(channel="trades"), books("X-Y"), books("BTC-USDT-SWAP", "trades")
    )
    assert [x["event"] for x in frames] == ["subscribe", "error", "subscribe"]
    assert all(x["id"] == "s1" and "connId" in x for x in frames)
    assert frames[1]["code"] == "60018"
    assert frames[2]["arg"] == books("BTC-USDT-SWAP", "trades")


@pytest.mark.parametrize(
    ("path", "arg", "want"),
    [
        (PUBLIC, books(channel="candle1m"), "60018"),
        (PUBLIC, books(channel="trades-all"), "60018"),
        (PUBLIC, books(channel="funding-rate"), "60018"),
        (PUBLIC, books(channel="books-l2-tbt"), "64003"),
        (PUBLIC, {"channel": "books"}, "60018"),
        (PUBLIC, {"channel": 5, "instId": "BTC-USDT"}, "60018"),
        (PRIVATE, books(), "60018"),
        (BUSINESS, books(), "60018"),
    ],
)
def test_what_is_not_there_cannot_be_subscribed(path, arg, want):
    venue = Venue()
    assert code(venue.subscribe(venue.open(path), arg)) == want


def test_members_that_mean_nothing_to_a_channel_are_let_pass():
    venue = Venue()
    connection = venue.open(PUBLIC)
    nulls = {"instType": None, "instFamily": None}
    for channel in ("books", "mark-price", "tickers", "trades"):
        frames = venue.subscribe(connection, books(channel=channel) | nulls)
        assert frames[0]["arg"] == books(channel=channel) | nulls
    venue.subscribe(connection, books("BTC-USDT-SWAP", "funding-rate") | {"instType": "SWAP"})
    frames = venue.wait(connection, 11 * SECOND, 100 * MS)
    assert {x["arg"]["channel"] for x in frames} == {"mark-price", "funding-rate"}
    venue.tell(connection, {"op": "unsubscribe", "args": [books("BTC-USDT-SWAP", "funding-rate")]})
    venue.tell(connection, {"op": "unsubscribe", "args": [books(channel="mark-price")]})
    assert venue.wait(connection, 11 * SECOND, 100 * MS) == []


def test_the_fast_and_the_slow_book_exclude_each_other():
    venue = Venue(tbt=True)
    connection = venue.open(PUBLIC)
    venue.subscribe(connection, books(channel="books-l2-tbt"))
    assert code(venue.subscribe(connection, books())) == "64004"
    assert venue.subscribe(connection, books("BTC-USDT-SWAP"))[0]["event"] == "subscribe"


def test_a_private_channel_tells_how_many_connections_it_has():
    venue = Venue()
    for count in "12":
        frames = venue.subscribe(venue.open(PRIVATE), {"channel": "orders", "instType": "ANY"})
        assert [x["event"] for x in frames] == ["subscribe", "channel-conn-count"]
        assert frames[1]["connCount"] == count


def test_the_thirty_first_connection_of_a_private_channel_loses_it_after_its_acknowledgement():
    venue = Venue()
    arg = {"channel": "account"}
    for _ in range(30):
        venue.subscribe(venue.open(PRIVATE), arg)
    connection = venue.open(PRIVATE)
    frames = venue.subscribe(connection, arg)
    assert [x["event"] for x in frames] == ["subscribe", "channel-conn-count-error"]
    assert frames[1]["connCount"] == "30"
    assert connection.topics == {}


def test_a_subscription_can_fail_or_be_taken_back_by_a_fault():
    faults = Faults(1)
    faults.add("session.sub_fail", count=1)
    faults.add("session.sub_ack_then_kick", delay_ms=50, count=1)
    venue, arg = Venue(faults=faults), {"channel": "orders", "instType": "ANY"}
    connection = venue.open(PRIVATE)
    assert code(venue.subscribe(connection, arg)) == "60012"
    assert venue.subscribe(connection, arg)[0]["event"] == "subscribe"
    (kicked,) = venue.wait(connection, 100 * MS)
    assert (kicked["event"], kicked["channel"]) == ("channel-conn-count-error", "orders")
    assert states(venue.order(connection)) == []


def test_a_connection_has_480_requests_an_hour():
    venue = Venue()
    connection = venue.open(PUBLIC)
    for _ in range(480):
        assert venue.subscribe(connection, books())[0]["event"] == "subscribe"
    assert code(venue.subscribe(connection, books())) == "60014"
    venue.now += 3601 * SECOND
    assert venue.subscribe(connection, books())[0]["event"] == "subscribe"


def test_an_upgrade_and_a_revoked_key_end_connections_in_their_own_way():
    venue = Venue(credentials=KEYS)
    connection, public = venue.open(PRIVATE), venue.open(PUBLIC)
    venue.tell(connection, login())
    venue.strike("session.shutdown_notice", s=10, path=PUBLIC)
    assert [x["code"] for x in venue.take(public)] == ["64008"]
    assert venue.take(connection) == []
    venue.wait(connection, 11 * SECOND, SECOND)
    assert public.closing is not None
    venue.strike("session.revoke", key="K")
    assert connection.closing is not None
    assert connection.closing[0] == 4007
    assert code(venue.tell(venue.open(PRIVATE), login(str(venue.now // SECOND)))) == "60005"


def test_accounts_of_their_own_make_the_venue_strict():
    venue = Venue()
    assert not venue.fake.login_required
    venue.fake.set_accounts([make_account(7, [("", "USDT"), ("", "BTC")], uid="77")])
    assert venue.fake.login_required
    assert code(venue.subscribe(venue.open(PRIVATE), {"channel": "orders", "instType": "ANY"})) == "60011"
    assert venue.get("account/config")[0]["uid"] == "77"


def test_two_accounts_do_not_hear_of_each_other():
    accounts = [
        make_account(i, [("", "USDT"), ("", "BTC")], [VenueKey(f"k{i}", f"s{i}", f"p{i}")]) for i in (1, 2)
    ]
    venue = Venue(accounts=accounts)
    connections = []
    for i in (1, 2):
        connection = venue.open(PRIVATE)
        stamp = str(venue.now // SECOND)
        sign = Key(f"k{i}", f"s{i}").base64(stamp + rules.LOGIN_TARGET)
        arg = {"apiKey": f"k{i}", "passphrase": f"p{i}", "timestamp": stamp, "sign": sign}
        venue.tell(connection, {"op": "login", "args": [arg]})
        venue.subscribe(connection, {"channel": "orders", "instType": "ANY"})
        connections.append(connection)
    one, two = connections
    swap = {"instIdCode": 10459, "tdMode": "cross"}
    venue.order(one, **swap, side="sell", px="60000", sz="1", clOrdId="same")
    assert states(venue.take(two)) == []
    frames = venue.order(two, **swap, px="60000", sz="1", clOrdId="same")
    assert states(frames) == ["live", "filled"]
    assert states(venue.take(one)) == ["filled"]
    assert [venue.fake.accounts[i].position(venue.swap).lots for i in (1, 2)] == [-100, 100]
    missing = {"id": "c1", "op": "cancel-order", "args": [{"instIdCode": 10459, "clOrdId": "same"}]}
    venue.order(one, **swap, px="50000", sz="1", clOrdId="same")
    assert code(venue.tell(two, missing)[:1]) == "51400"


def test_after_unsubscribing_nothing_comes_any_more():
    venue = Venue()
    connection = venue.open(PUBLIC)
    venue.subscribe(connection, books())
    (frame,) = venue.tell(connection, {"id": "u1", "op": "unsubscribe", "args": [books()]})
    assert (frame["event"], frame["id"]) == ("unsubscribe", "u1")
    venue.spot.engine.set_level(BUY, 599_000, 5)
    assert venue.wait(connection, SECOND) == []


# ---- depth ----


def test_a_book_begins_with_a_snapshot_and_goes_on_by_its_ids():
    venue = Venue()
    connection = venue.open(PUBLIC)
    _, first = venue.subscribe(connection, books())
    row = first["data"][0]
    assert (first["action"], row["prevSeqId"], row["checksum"]) == ("snapshot", -1, 0)
    assert row["asks"][0] == ["60000.1", "0.000001", "0", "1"]
    venue.spot.engine.set_level(SELL, 600_001, 0)
    venue.spot.engine.set_level(BUY, 599_000, 7)
    (update,) = venue.wait(connection, 100 * MS)
    change = update["data"][0]
    assert update["action"] == "update"
    assert change["prevSeqId"] == row["seqId"]
    assert change["seqId"] > row["seqId"] + 1, "ids jump"
    assert change["asks"] == [["60000.1", "0", "0", "0"]]
    assert change["bids"] == [["59900", "0.00000007", "0", "1"]]


def test_a_minute_without_change_brings_a_heartbeat_with_equal_ids():
    venue = Venue()
    connection = venue.open(PUBLIC)
    row = venue.subscribe(connection, books())[1]["data"][0]
    (beat,) = venue.minute(connection)
    beat = beat["data"][0]
    assert (beat["asks"], beat["bids"]) == ([], [])
    assert beat["seqId"] == beat["prevSeqId"] == row["seqId"]


def test_two_connections_see_the_same_ids():
    venue = Venue()
    one, two = venue.open(PUBLIC), venue.open(PUBLIC)
    venue.subscribe(one, books())
    venue.spot.engine.set_level(BUY, 599_000, 7)
    row = venue.subscribe(two, books())[1]["data"][0]
    (update,) = venue.take(one)
    assert update["data"][0]["seqId"] == row["seqId"]
    venue.spot.engine.set_level(BUY, 599_000, 8)
    assert venue.wait(one, 100 * MS) == venue.take(two) != []


@pytest.mark.parametrize(("channel", "depth"), [("books5", 5), ("bbo-tbt", 1)])
def test_a_whole_channel_is_sent_whole(channel, depth):
    venue = Venue(levels=9)
    connection = venue.open(PUBLIC)
    row = venue.subscribe(connection, books(channel=channel))[1]["data"][0]
    assert len(row["asks"]) == len(row["bids"]) == depth
    assert "prevSeqId" not in row
    assert "checksum" not in row
    venue.wait(connection, 200 * MS)
    venue.spot.engine.set_level(BUY, 599_999, 7)
    frames = venue.wait(connection, 100 * MS)
    assert frames[-1]["data"][0]["bids"][0] == ["59999.9", "0.00000007", "0", "1"]
    assert len(venue.minute(connection)) == 1, "repeated after a minute"


def wire_of(venue: Venue) -> OkxWire:
    table = Instruments()
    for kind in ("SPOT", "SWAP"):
        status, body = venue.fake.http(
            "GET", f"/api/v5/public/instruments?instType={kind}", {}, b"", venue.now
        )
        assert status == 200
        for row in rest.instruments(body):
            fields = {
                k: getattr(row, k) for k in ("tradable", "is_perpetual", "inst_code", "min_size", "max_size")
            }
            table.add(row.market, row.symbol, row.tick, row.lot, row.contract, **fields)
    wire = OkxWire(table, Market.OKX)
    wire.set_codes(rules.CODES)
    return wire


def feed(wire: OkxWire, book: Book, frame: dict) -> list[int]:
    sink = ListSink()
    verdict = wire.read(orjson.dumps(frame), sink)
    assert verdict in (Verdict.HANDLED, Verdict.NOT_MINE), wire.error()
    ids = ("first_id", "last_id", "prev_id")
    return [
        book.feed(x["kind"], x["rule"], x["bids"], x["asks"], **{k: x[k] for k in ids})
        for x in sink.events
        if x["type"] == "depth" and x["instrument"] == book.instrument
    ]


def shake(venue: Venue, chance: random.Random, levels: int) -> None:
    """Random changes around the middle, deep ones too; never crossed."""
    for _ in range(chance.randrange(1, 30)):
        side = chance.choice((BUY, SELL))
        away = chance.randrange(1, 2 * levels)
        price = 600_000 - away if side == BUY else 600_000 + away
        venue.spot.engine.set_level(side, price, chance.choice((0, 1, 5, 900)))


@pytest.mark.parametrize(
    ("channel", "window"), [("books", 400), ("books-l2-tbt", 400), ("books50-l2-tbt", 50)]
)
def test_the_window_moves_and_a_client_follows_it_exactly(channel, window):
    venue, chance = Venue(levels=window + 50, tbt=True), random.Random(7)
    wire, book = wire_of(venue), Book(0)
    connection = venue.open(PUBLIC)
    for frame in venue.subscribe(connection, books(channel=channel)):
        feed(wire, book, frame)
    for _ in range(150):
        shake(venue, chance, window)
        for frame in venue.wait(connection, 100 * MS, 50 * MS):
            assert feed(wire, book, frame) == [Applied.APPLIED]
        assert book.bids() == venue.spot.engine.levels(BUY, window)
        assert book.asks() == venue.spot.engine.levels(SELL, window)
    assert (book.state, book.gaps) == (BookState.SYNCED, 0)


def test_a_sequence_reset_is_legal_and_a_lost_push_is_a_gap():
    venue = Venue()
    wire, book = wire_of(venue), Book(0)
    connection = venue.open(PUBLIC)
    for frame in venue.subscribe(connection, books()):
        feed(wire, book, frame)
    venue.fake.reset_sequence(venue.spot)
    for lots in (7, 8):
        venue.spot.engine.set_level(BUY, 599_000, lots)
        (frame,) = venue.wait(connection, 100 * MS)
        assert feed(wire, book, frame) == [Applied.APPLIED]
    assert book.last_id < 1000
    venue.fake.skip_depth(venue.spot)
    venue.spot.engine.set_level(BUY, 599_000, 9)
    assert venue.wait(connection, 100 * MS) == []
    venue.spot.engine.set_level(BUY, 599_000, 10)
    (frame,) = venue.wait(connection, 100 * MS)
    assert feed(wire, book, frame) == [Applied.GAPPED]


def test_a_requested_book_joins_the_stream():
    venue = Venue()
    wire, book = wire_of(venue), Book(0, True)
    connection = venue.open(PUBLIC)
    updates = venue.subscribe(connection, books())[2:]
    venue.spot.engine.set_level(BUY, 599_000, 7)
    updates += venue.wait(connection, 100 * MS)
    _, body = venue.fake.http("GET", rest.books_request("BTC-USDT").target, {}, b"", venue.now)
    venue.spot.engine.set_level(BUY, 599_000, 8)
    updates += venue.wait(connection, 100 * MS)
    for frame in updates:
        feed(wire, book, frame)
    sink = ListSink()
    assert wire.read(body, sink, 0, 0) == Verdict.HANDLED
    (seed,) = sink.events
    ids = {k: seed[k] for k in ("first_id", "last_id", "prev_id")}
    assert book.feed(DepthKind.SEED, seed["rule"], seed["bids"], seed["asks"], **ids) == Applied.APPLIED
    assert (book.state, book.size(BUY, 599_000)) == (BookState.SYNCED, 8)


# ---- trades and prices ----


def test_what_one_taker_takes_at_one_price_is_one_trade():
    venue = Venue()
    public, single, private = venue.open(PUBLIC), venue.open(BUSINESS), venue.private()
    venue.subscribe(public, books(channel="trades"))
    venue.subscribe(single, books(channel="trades-all"))
    for size in ("0.000002", "0.000003"):
        venue.order(private, side="sell", px="60000.1", sz=size, clOrdId="")
    venue.spot.engine.trade(BUY, 600_002, 700)
    venue.fake.tick(venue.now)
    rows = [x["data"][0] for x in venue.take(public)]
    alone = [x["data"][0] for x in venue.take(single)]
    assert [(x["px"], x["count"]) for x in rows] == [("60000.1", "3"), ("60000.2", "1")]
    assert rows[0]["sz"] == "0.000006"
    assert len(alone) == 4
    assert rows[0]["tradeId"] == alone[2]["tradeId"]
    assert {x["side"] for x in rows} == {"buy"}
    assert "count" not in alone[0]


def test_tickers_and_mark_prices_come_at_their_pace():
    venue = Venue()
    connection = venue.open(PUBLIC)
    swap = "BTC-USDT-SWAP"
    first = venue.subscribe(
        connection, books(swap, "tickers"), books(swap, "mark-price"), books(swap, "funding-rate")
    )
    assert [x["arg"]["channel"] for x in first[1::2]] == ["tickers", "mark-price", "funding-rate"]
    assert first[3]["data"][0]["markPx"] == "60000"
    venue.wait(connection, SECOND)
    venue.swap.engine.set_level(BUY, 600_000, 5)
    frames = venue.wait(connection, 90 * MS)
    assert [x["data"][0]["bidPx"] for x in frames if x["arg"]["channel"] == "tickers"] == ["60000"]
    marks = [x for x in venue.wait(connection, 21 * SECOND, 100 * MS) if x["arg"]["channel"] == "mark-price"]
    assert len(marks) == 2


# ---- orders ----


@pytest.mark.parametrize(
    ("change", "want"),
    [
        ({"instIdCode": None}, "50014"),
        ({"instIdCode": None, "instId": "BTC-USDT"}, "50014"),
        ({"instIdCode": "3"}, "51000"),
        ({"instIdCode": 99}, "51001"),
        ({"tdMode": "both"}, "51000"),
        ({"side": "long"}, "51000"),
        ({"ordType": "iceberg"}, "51000"),
        ({"ordType": "optimal_limit_ioc"}, "51000"),
        ({"posSide": "long"}, "51000"),
        ({"clOrdId": "with-dash"}, "51000"),
        ({"clOrdId": "x" * 33}, "51000"),
        ({"clOrdId": 5}, "51000"),
        ({"px": None}, "51000"),
        ({"px": "1e4"}, "51000"),
        ({"px": 60000}, "51000"),
        ({"px": "-1"}, "51000"),
        ({"px": "60000.05"}, "51150"),
        ({"px": "0"}, "51116"),
        ({"sz": "0.000000001"}, "51121"),
        ({"sz": "0"}, "51020"),
        ({"sz": None}, "51000"),
        ({"sz": "+1"}, "51000"),
        ({"ordType": "market", "tgtCcy": "other"}, "51000"),
        ({"reduceOnly": True}, "51205"),
        ({"instIdCode": 10459, "tdMode": "cash"}, "51000"),
        ({"instIdCode": 10459, "tdMode": "cross", "reduceOnly": True}, "51169"),
    ],
)
def test_an_order_that_breaks_a_rule_gets_the_code_of_that_rule(change, want):
    venue = Venue()
    connection = venue.private()
    frames = venue.order(connection, **change)
    assert code(frames) == want
    assert (frames[0]["op"], frames[0]["id"], frames[0]["code"]) == ("order", "o1", "1")
    assert frames[0]["data"][0]["ordId"] == ""
    assert venue.fake.counts["rejects"] == 1


def test_a_resting_order_is_answered_and_then_live():
    venue = Venue()
    connection = venue.private()
    ack, live = venue.order(connection, clOrdId="mine1", tag="t")
    row = ack["data"][0]
    assert (ack["code"], row["sCode"], row["clOrdId"], row["tag"]) == ("0", "0", "mine1", "t")
    assert re.fullmatch("[0-9]{19}", row["ordId"])
    assert len(ack["inTime"]) == len(ack["outTime"]) == 16
    data = live["data"][0]
    assert live["arg"] == {"channel": "orders", "instType": "ANY", "uid": live["arg"]["uid"]}
    assert (data["state"], data["ordId"], data["accFillSz"], data["tradeId"]) == (
        "live",
        row["ordId"],
        "0",
        "",
    )
    assert (data["px"], data["sz"], data["reduceOnly"], data["category"]) == ("59999", "1", "false", "normal")


def test_the_push_may_overtake_the_answer():
    venue = Venue(push_first=True)
    live, ack = venue.order(venue.private())
    assert (live["arg"]["channel"], ack["op"]) == ("orders", "order")


def test_a_taker_is_filled_price_by_price():
    venue = Venue()
    frames = venue.order(venue.private(), px="60000.2", sz="0.000002", ordType="ioc")
    assert states(frames) == ["live", "partially_filled", "filled"]
    first, last = frames[2]["data"][0], frames[3]["data"][0]
    assert (first["fillPx"], first["fillSz"], first["execType"]) == ("60000.1", "0.000001", "T")
    assert (last["accFillSz"], last["avgPx"]) == ("0.000002", "60000.15")
    assert (first["fillFee"], first["fillFeeCcy"]) == ("-0.000000001", "BTC")
    assert last["fee"] == "-0.000000002"


def test_a_maker_is_told_when_the_market_comes():
    venue = Venue()
    connection = venue.private()
    venue.order(connection, instIdCode=10459, tdMode="cross", side="sell", px="60000", sz="0.5")
    venue.swap.engine.trade(BUY, 600_000, 20)
    (fill,) = venue.wait(connection, 10 * MS)
    row = fill["data"][0]
    assert (row["state"], row["execType"], row["fillSz"], row["posSide"]) == (
        "partially_filled",
        "M",
        "0.2",
        "net",
    )
    assert (row["fillFee"], row["fillFeeCcy"]) == ("-0.024", "USDT")
    assert venue.lots() == -20


@pytest.mark.parametrize(
    ("order", "want", "source"),
    [
        ({"ordType": "ioc", "px": "60000.1", "sz": "1"}, ["live", "partially_filled", "canceled"], "14"),
        ({"ordType": "ioc", "px": "50000"}, ["live", "canceled"], "14"),
        ({"ordType": "fok", "px": "60000.1", "sz": "1"}, ["live", "canceled"], "13"),
        ({"ordType": "post_only", "px": "60000.1"}, ["canceled"], "31"),
    ],
)
def test_an_order_that_may_not_rest_is_accepted_and_then_canceled(order, want, source):
    venue = Venue()
    frames = venue.order(venue.private(), **order)
    assert frames[0]["data"][0]["sCode"] == "0"
    assert states(frames) == want
    assert frames[-1]["data"][0]["cancelSource"] == source


def test_a_post_only_order_that_rests_is_live_and_once_all_of_them_were():
    venue = Venue()
    assert states(venue.order(venue.private(), ordType="post_only")) == ["live"]
    venue = Venue(post_only_live_first=True)
    frames = venue.order(venue.private(), ordType="post_only", px="60000.1")
    assert states(frames) == ["live", "canceled"]


def test_a_spot_market_order_ends_with_a_push_that_has_no_fill():
    venue = Venue()
    frames = venue.order(venue.private(), ordType="market", px=None, sz="0.000003", tgtCcy="base_ccy")
    assert states(frames) == ["live", "partially_filled", "partially_filled", "filled"]
    last = frames[-1]["data"][0]
    assert (last["tradeId"], last["fillSz"], last["accFillSz"]) == ("", "0", "0.000003")


def test_a_spot_market_buy_is_sized_in_quote_currency_unless_told_otherwise():
    venue = Venue()
    frames = venue.order(venue.private(), ordType="market", px=None, sz="0.18")
    assert frames[-1]["data"][0]["accFillSz"] == "0.00000299"


def test_a_swap_market_order_leaves_nothing_behind():
    venue = Venue()
    frames = venue.order(
        venue.private(), instIdCode=10459, tdMode="cross", ordType="optimal_limit_ioc", px=None, sz="100"
    )
    assert states(frames) == ["live", *["partially_filled"] * 3, "canceled"]


def test_reduce_only_goes_by_the_position():
    venue = Venue()
    connection = venue.private()
    swap = {"instIdCode": 10459, "tdMode": "cross"}
    venue.order(connection, **swap, px="60000.1", sz="1")
    assert code(venue.order(connection, **swap, reduceOnly=True)) == "51170"
    assert code(venue.order(connection, **swap, side="sell", px="70000", sz="2", reduceOnly=True)) == "51112"
    frames = venue.order(connection, **swap, side="sell", px="59999.9", sz="1", reduceOnly=True)
    assert states(frames)[-1] == "filled"
    assert venue.lots() == 0


def test_a_client_id_is_unique_among_pending_orders_only():
    venue = Venue()
    connection = venue.private()
    venue.order(connection, clOrdId="mine1")
    other = {"instIdCode": 10459, "tdMode": "cross"}
    assert code(venue.order(connection, clOrdId="mine1", **other)) == "51016"
    venue.tell(
        connection, {"id": "c1", "op": "cancel-order", "args": [{"instIdCode": 3, "clOrdId": "mine1"}]}
    )
    assert states(venue.order(connection, clOrdId="mine1")) == ["live"]


def test_an_order_past_its_deadline_is_not_executed():
    venue = Venue()
    connection = venue.private()
    arg = {"instIdCode": 3, "tdMode": "cash", "side": "buy", "ordType": "limit", "px": "59999", "sz": "1"}
    message = {"id": "o1", "op": "order", "args": [arg]}
    for text, want in ((str(venue.now // MS - 1), "50037"), ("soon", "50037"), (str(venue.now // MS), "0")):
        frames = venue.tell(connection, message | {"expTime": text})
        assert frames[0]["code"] == want
    assert venue.fake.counts["orders"] == 1


def test_price_limits_where_they_are_switched_on():
    venue = Venue(band_percent=1)
    connection = venue.private()
    assert code(venue.order(connection, px="60600.1")) == "51137"
    assert code(venue.order(connection, px="59399.9", side="sell")) == "51138"
    assert code(venue.order(connection, instIdCode=10459, tdMode="cross", px="60600.1")) == "51006"
    assert states(venue.order(connection, px="50000")) == ["live"]


def test_the_next_orders_can_be_refused_on_demand():
    venue = Venue()
    connection = venue.private()
    venue.fake.refusals.append(("50004", "Endpoint request timeout"))
    assert code(venue.order(connection)) == "50004"
    assert states(venue.order(connection)) == ["live"]


@pytest.mark.parametrize("by", ["clOrdId", "ordId"])
def test_a_cancel_is_answered_and_then_told(by):
    venue = Venue()
    connection = venue.private()
    ids = venue.order(connection, clOrdId="mine1")[0]["data"][0]
    message = {"id": "c1", "op": "cancel-order", "args": [{"instIdCode": 3, by: ids[by]}]}
    ack, push = venue.tell(connection, message)
    assert (ack["op"], ack["id"], ack["data"][0]["sCode"]) == ("cancel-order", "c1", "0")
    assert (ack["data"][0]["ordId"], ack["data"][0]["clOrdId"]) == (ids["ordId"], "mine1")
    assert (push["data"][0]["state"], push["data"][0]["cancelSource"]) == ("canceled", "1")
    assert code(venue.tell(connection, message)) == "51400"


@pytest.mark.parametrize(
    ("arg", "want"),
    [
        ({"clOrdId": "mine1"}, "50014"),
        ({"instIdCode": 3}, "51000"),
        ({"instIdCode": 3, "clOrdId": "nobody"}, "51400"),
        ({"instIdCode": 3, "ordId": "5"}, "51400"),
        ({"instIdCode": 3, "ordId": "x"}, "51400"),
    ],
)
def test_a_cancel_of_nothing_is_refused(arg, want):
    venue = Venue()
    assert code(venue.tell(venue.private(), {"id": "c1", "op": "cancel-order", "args": [arg]})) == want


def test_a_batch_is_answered_order_by_order():
    venue = Venue()
    connection = venue.private()
    good = {"instIdCode": 3, "tdMode": "cash", "side": "buy", "ordType": "limit", "px": "59999", "sz": "1"}
    args = [good | {"clOrdId": "a"}, good | {"sz": "0"}, good | {"clOrdId": "a"}, good]
    frames = venue.tell(connection, {"id": "b1", "op": "batch-orders", "args": args})
    assert [x["sCode"] for x in frames[0]["data"]] == ["0", "51020", "51016", "0"]
    assert frames[0]["code"] == "2"
    pushed = [x["data"][0]["ordId"] for x in frames[1:]]
    assert pushed == [x["ordId"] for x in frames[0]["data"] if x["ordId"]]
    assert code(venue.tell(connection, {"id": "b1", "op": "batch-orders", "args": [good] * 21})) == "60013"
    cancels = [{"instIdCode": 3, "ordId": x} for x in pushed]
    frames = venue.tell(connection, {"id": "b2", "op": "batch-cancel-orders", "args": cancels})
    assert states(frames) == ["canceled", "canceled"]


def test_order_operations_need_the_private_path_and_an_id():
    venue = Venue()
    assert code(venue.order(venue.open(PUBLIC))) == "60028"
    connection = venue.open(PRIVATE)
    assert code(venue.tell(connection, {"op": "order", "args": [{}]})) == "60012"
    assert code(venue.tell(connection, {"id": "o1", "op": "order", "args": []})) == "60013"
    assert code(venue.tell(connection, {"id": "o1", "op": "amend-order", "args": [{}]})) == "50014"


@pytest.mark.parametrize(
    ("arg", "pushes"),
    [
        ({"instType": "SPOT"}, 1),
        ({"instType": "SWAP"}, 0),
        ({"instType": "SPOT", "instId": "BTC-USDT"}, 1),
        ({"instType": "SPOT", "instId": "ETH-USDT"}, 0),
        ({"instType": "ANY", "instFamily": "BTC-USDT"}, 1),
    ],
)
def test_the_orders_channel_covers_what_was_asked_for(arg, pushes):
    venue = Venue()
    connection = venue.open(PRIVATE)
    venue.subscribe(connection, {"channel": "orders", **arg})
    assert len(states(venue.order(connection))) == pushes


# ---- REST ----


def test_rest_replies():
    venue = Venue()

    def get(target: str) -> tuple[int, dict]:
        status, body = venue.fake.http("GET", target, {}, b"", venue.now)
        return status, orjson.loads(body)

    assert get("/api/v5/public/time")[1]["data"] == [{"ts": str(T0 // MS)}]
    (swap,) = get("/api/v5/public/instruments?instType=SWAP")[1]["data"]
    assert (swap["ctVal"], swap["ctValCcy"], swap["settleCcy"], swap["instIdCode"]) == (
        "0.01",
        "BTC",
        "USDT",
        10459,
    )
    assert get("/api/v5/public/instruments?instType=OPTION")[1]["data"] == []
    assert get("/api/v5/public/instruments")[0] == 400
    assert get("/api/v5/public/instruments?instType=SPOT&instId=X")[1]["code"] == "51001"
    assert len(get("/api/v5/market/books?instId=BTC-USDT")[1]["data"][0]["asks"]) == 1
    assert len(get("/api/v5/market/books?instId=BTC-USDT&sz=400")[1]["data"][0]["asks"]) == 3
    assert get("/api/v5/market/books?instId=X")[1]["code"] == "51001"
    assert get("/api/v5/market/books?instId=BTC-USDT&sz=0")[0] == 400
    assert get("/nothing")[0] == 404
    assert venue.fake.http("POST", "/api/v5/public/time", {}, b"", venue.now)[0] == 404


# ---- anything at all ----


def junk(chance: random.Random, depth: int = 2):
    """Any JSON value."""
    scalars = [None, True, 5, -1.5, "", "BTC-USDT", "BTC-USDT-SWAP", "ANY", "SWAP", "1", "x" * 40, 10459, 3]
    if depth and chance.random() < 0.2:
        return [junk(chance, depth - 1) for _ in range(chance.randrange(3))]
    if depth and chance.random() < 0.2:
        return {chance.choice(("a", "instId")): junk(chance, depth - 1) for _ in range(2)}
    return chance.choice(scalars)


def test_whatever_a_client_says_the_venue_goes_on():
    names = ["instId", "instIdCode", "instType", "channel", "clOrdId", "ordId", "sz", "px", "side", "ordType"]
    names += ["tdMode", "reduceOnly", "newSz", "newPx", "reqId", "extraParams", "attachAlgoOrds", "tgtCcy"]
    channels = ["books", "tickers", "candle1m", "orders", "account", "positions", "index-tickers", "status"]
    good = {
        "side": "buy",
        "ordType": "limit",
        "tdMode": "cross",
        "sz": "1",
        "px": "59999",
        "instIdCode": 10459,
    }
    ops = [
        "subscribe",
        "unsubscribe",
        "login",
        "order",
        "cancel-order",
        "amend-order",
        "batch-orders",
        "mass-cancel",
    ]
    for seed in range(8):
        venue, chance = Venue(tbt=True, orders_by_name=True), random.Random(seed)
        connections = [venue.open(x) for x in (PUBLIC, PRIVATE, BUSINESS)]
        for _ in range(150):
            arg = good | {chance.choice(names): junk(chance) for _ in range(chance.randrange(4))}
            if chance.random() < 0.7:
                arg["channel"] = chance.choice(channels)
            args = junk(chance) if chance.random() < 0.1 else [arg] * chance.choice((1, 1, 2))
            message = {"op": chance.choice(ops), "id": chance.choice(("r1", junk(chance))), "args": args}
            venue.tell(chance.choice(connections), message)
            venue.wait(connections[0], 100 * MS, 50 * MS)
        assert venue.fake.counts["orders"] > 0


# ---- our own client ----


def carry(venue: Venue, session: Session, connection, actions: list) -> list:
    """Carry out what the session says until it has nothing more to send; returns everything it said."""
    said = list(actions)
    while actions:
        frames = [x for a in actions if isinstance(a, Send) for x in venue.tell(connection, a.text)]
        actions = [
            a for x in frames if "event" in x for a in session.receive(orjson.dumps(x).decode(), venue.now)
        ]
        said += actions
    return said


def test_our_session_logs_in_subscribes_and_resyncs():
    venue = Venue(credentials=KEYS)
    connection = venue.open(PRIVATE)
    session = Session("private", [("orders", "ANY")], Key("K", "SECRET", "P"))
    assert Ready() in carry(venue, session, connection, session.start(venue.now))
    session = Session("public", [("books", "BTC-USDT"), ("trades", "BTC-USDT")])
    connection = venue.open(PUBLIC)
    assert Ready() in carry(venue, session, connection, session.start(venue.now))
    sent = [
        x
        for x in carry(venue, session, connection, session.resync("BTC-USDT", venue.now))
        if isinstance(x, Send)
    ]
    assert [orjson.loads(x.text)["op"] for x in sent] == ["unsubscribe", "subscribe"]
    assert "books|BTC-USDT" in connection.topics


def test_our_session_gives_up_on_wrong_keys_and_follows_a_notice():
    venue = Venue(credentials=KEYS)
    session = Session("private", [("orders", "ANY")], Key("K", "WRONG", "P"))
    down = carry(venue, session, venue.open(PRIVATE), session.start(venue.now))[-1]
    assert isinstance(down, Down)
    assert not down.retry
    session, connection = Session("public", [("trades", "BTC-USDT")]), venue.open(PUBLIC)
    carry(venue, session, connection, session.start(venue.now))
    venue.fake.announce_upgrade(venue.now)
    (notice,) = venue.take(connection)
    assert isinstance(session.receive(orjson.dumps(notice).decode(), venue.now)[0], Replace)


def reports(wire: OkxWire, frames: list[dict]) -> list[dict]:
    sink = ListSink()
    for frame in frames:
        assert wire.read(orjson.dumps(frame), sink) == Verdict.HANDLED, wire.error()
    return sink.events


@pytest.mark.parametrize(
    ("intent", "want"),
    [
        ({"tif": TimeInForce.POST_ONLY, "price_ticks": 599_000}, ["ACK", "LIVE"]),
        ({"tif": TimeInForce.POST_ONLY, "price_ticks": 600_001}, ["ACK", "EXPIRED"]),
        ({"tif": TimeInForce.IOC, "price_ticks": 600_001}, ["ACK", "LIVE", "FILL", "FILLED"]),
        ({"tif": TimeInForce.FOK, "price_ticks": 599_000}, ["ACK", "LIVE", "EXPIRED"]),
        (
            {"tif": TimeInForce.GTC, "price_ticks": 600_002, "size_lots": 250},
            ["ACK", "LIVE", "FILL", "FILL", "FILLED"],
        ),
        ({"type": OrderType.MARKET, "size_lots": 100}, ["ACK", "LIVE", "FILL", "FILLED"]),
    ],
)
@pytest.mark.parametrize("instrument", [0, 1])
def test_what_we_encode_is_taken_and_what_comes_back_is_understood(instrument, intent, want):
    venue = Venue()
    wire, connection = wire_of(venue), venue.private()
    frame = wire.preview({"instrument": instrument, "size_lots": 100, **intent}, 7, venue.now)
    got = reports(wire, venue.tell(connection, frame.decode()))
    assert [ReportKind(x["kind"]).name.removeprefix("REPORT_") for x in got] == want
    assert {x["order_id"] for x in got} == {7}
    fills = [x for x in got if x["kind"] == ReportKind.REPORT_FILL]
    assert all(x["fee_e8"] >= 0 for x in fills)
    if fills:
        assert sum(x["size_lots"] for x in fills) == got[-1]["filled_lots"]


def test_our_cancel_is_taken_and_a_second_one_is_refused():
    venue = Venue()
    wire, connection = wire_of(venue), venue.private()
    order = {"instrument": 1, "size_lots": 100, "price_ticks": 599_000}
    venue.tell(connection, wire.preview(order, 7, venue.now).decode())
    cancel = {"instrument": 1, "action": Action.CANCEL}
    (gone,) = reports(wire, venue.tell(connection, wire.preview(cancel, 7, venue.now).decode()))
    assert (gone["kind"], gone["order_id"], gone["filled_lots"]) == (ReportKind.REPORT_CANCELED, 7, 0)
    (no,) = reports(wire, venue.tell(connection, wire.preview(cancel, 7, venue.now).decode()))
    assert (no["kind"], no["code"]) == (ReportKind.REPORT_CANCEL_REJECT, 51400)


def test_an_order_that_comes_late_is_refused():
    venue = Venue()
    wire = wire_of(venue)
    frame = wire.preview(
        {"instrument": 0, "size_lots": 100, "price_ticks": 599_000}, 7, venue.now - 2 * SECOND
    )
    (no,) = reports(wire, venue.tell(venue.private(), frame.decode()))
    assert (no["kind"], no["code"]) == (ReportKind.REPORT_REJECT, 50037)


def test_a_minute_of_trading_ends_with_equal_ledgers():
    venue, chance = Venue(levels=30), random.Random(11)
    wire, connection = wire_of(venue), venue.private()
    position, open_orders = 0, set()
    for number in range(1, 400):
        for _ in range(5):
            side = chance.choice((BUY, SELL))
            away = chance.randrange(1, 40)
            venue.swap.engine.set_level(side, 600_000 + (away if side else -away), chance.randrange(0, 300))
        if open_orders and chance.random() < 0.3:
            gone = chance.choice(sorted(open_orders))
            frame = wire.preview({"instrument": 1, "action": Action.CANCEL}, gone, venue.now)
        else:
            side, tif = chance.choice((BUY, SELL)), chance.choice(list(TimeInForce))
            intent = {
                "instrument": 1,
                "side": side,
                "tif": tif,
                "price_ticks": 600_000 + chance.randrange(-20, 20),
            }
            frame = wire.preview(intent | {"size_lots": chance.randrange(1, 200)}, number, venue.now)
        frames = venue.tell(connection, frame.decode()) + venue.wait(connection, 150 * MS, 50 * MS)
        for event in reports(wire, frames):
            if event["kind"] == ReportKind.REPORT_FILL:
                position += event["size_lots"] * (1 if event["side"] == BUY else -1)
            if event["kind"] == ReportKind.REPORT_LIVE:
                open_orders.add(event["order_id"])
            if event["kind"] in ENDED:
                open_orders.discard(event["order_id"])
    assert position == venue.lots()
    assert {wire.client_id(x) for x in open_orders} == {x.client_id for x in venue.fake.open_orders()}
    assert venue.fake.counts["fills"] > 50


def test_order_ids_of_the_venue_rise_and_never_repeat():
    venue = Venue()
    connection = venue.private()
    ids = [int(venue.order(connection)[0]["data"][0]["ordId"]) for _ in range(5)]
    assert all(a < b for a, b in pairwise(ids))


# ---- our own client: the account ----


def kinds_of(rows: list[dict]) -> list[str]:
    return [ReportKind(x["kind"]).name.removeprefix("REPORT_") for x in rows]


def asked(venue: Venue, half: rest.Rest, request: Request) -> Reply:
    """A request signed and carried out."""
    signed = half.sign(request, venue.now // MS)
    answer = venue.fake.request(signed.method, signed.target, dict(signed.headers), signed.body, venue.now)
    return Reply(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.body)


def half_of() -> rest.Rest:
    return rest.Rest(Market.OKX, Key("simulated", "simulated", "simulated"))


def test_an_amend_is_taken_and_told_by_the_channel():
    venue = Venue()
    wire, connection = wire_of(venue), venue.private()
    intent = {"instrument": 1, "size_lots": 100, "price_ticks": 599_000}
    reports(wire, venue.tell(connection, wire.preview(intent, 7, venue.now).decode()))
    amend = intent | {"action": Action.AMEND, "price_ticks": 599_500, "size_lots": 50}
    frames = venue.tell(connection, wire.preview(amend, 7, venue.now).decode())
    got = reports(wire, frames + venue.wait(connection, 150 * MS))
    assert kinds_of(got) == ["AMENDED", "LIVE"]
    assert (got[0]["order_ticks"], got[0]["order_lots"], got[0]["order_id"]) == (599_500, 50, 7)
    frames = venue.tell(connection, wire.preview(amend, 8, venue.now).decode())
    assert kinds_of(reports(wire, frames)) == ["AMEND_REJECT"]


def test_each_order_of_our_batch_is_told_its_own_fate():
    venue = Venue()
    wire, connection = wire_of(venue), venue.private()
    good = {"instrument": 1, "size_lots": 100, "price_ticks": 599_000}
    bad = good | {"size_lots": 10**12}
    frames = venue.tell(connection, wire.preview_batch([good, bad, good], [7, 8, 9], venue.now).decode())
    got = {}
    for event in reports(wire, frames + venue.wait(connection, 150 * MS)):
        got.setdefault(event["order_id"], []).append(event)
    assert kinds_of(got[7]) == kinds_of(got[9]) == ["ACK", "LIVE"]
    assert kinds_of(got[8]) == ["REJECT"]
    cancel = {"instrument": 1, "action": Action.CANCEL}
    frames = venue.tell(connection, wire.preview_batch([cancel] * 3, [7, 8, 9], venue.now).decode())
    got = reports(wire, frames + venue.wait(connection, 150 * MS))
    assert sorted(kinds_of(got)) == ["CANCELED", "CANCELED", "CANCEL_REJECT"]


def test_orders_go_by_rest_and_are_found_again():
    venue, half = Venue(), half_of()
    wire = wire_of(venue)
    client = wire.client_id(7)
    frame = wire.preview({"instrument": 1, "size_lots": 100, "price_ticks": 599_000}, 7, venue.now)
    request = half.from_frame(frame)
    said = half.read_said(request, asked(venue, half, request))
    assert (said.outcome, bool(said.venue_id)) == (Outcome.ACCEPTED, True)
    row = half.read_order(asked(venue, half, half.order("BTC-USDT-SWAP", client)))
    assert (row.client_id, row.venue_id, row.state) == (client, said.venue_id, "live")
    assert half.read_order(asked(venue, half, half.order("BTC-USDT-SWAP", wire.client_id(8)))) is None
    rows = [x for r in half.open_orders() for x in half.read_open_orders(asked(venue, half, r))[0]]
    assert rows == [row]
    cancel = half.cancel("BTC-USDT-SWAP", client)
    assert half.read_said(cancel, asked(venue, half, cancel)).outcome == Outcome.ACCEPTED
    assert half.read_said(cancel, asked(venue, half, cancel)).outcome == Outcome.REFUSED
    assert half.read_order(asked(venue, half, half.order("BTC-USDT-SWAP", client))).state == "canceled"


def test_trades_positions_balances_and_rights_are_read():
    venue, half = Venue(), half_of()
    wire, connection = wire_of(venue), venue.private()
    order = {"instrument": 1, "size_lots": 100, "tif": TimeInForce.IOC, "price_ticks": 600_001}
    frames = venue.tell(connection, wire.preview(order, 7, venue.now).decode())
    (fill,) = [x for x in reports(wire, frames) if x["kind"] == ReportKind.REPORT_FILL]
    (trade,), _ = half.read_trades(asked(venue, half, half.trades("BTC-USDT-SWAP", T0 - SECOND)))
    assert (trade.trade_hi, trade.trade_lo, trade.client_id) == (
        fill["trade_hi"],
        fill["trade_lo"],
        wire.client_id(7),
    )
    (position,) = half.read_positions(asked(venue, half, half.positions()[0]))[0]
    assert (position.symbol, float(position.size), position.leg) == ("BTC-USDT-SWAP", 1.0, "net")
    assert {"BTC", "USDT"} <= {x.coin for x in half.read_balances(asked(venue, half, half.balances()))}
    assert half.read_key_info(asked(venue, half, half.key_info()[0])).can_trade
    assert half.read_cash(asked(venue, half, half.cash(T0 - SECOND)[0]))[1] is None
    assert half.read_time(asked(venue, half, half.time())) == venue.now // MS * MS


def test_a_stop_goes_by_rest_waits_and_is_cancelled_in_its_own_namespace():
    venue, half = Venue(), half_of()
    wire = wire_of(venue)
    business = venue.open(BUSINESS)
    venue.subscribe(business, {"channel": "orders-algo", "instType": "ANY"})
    stop = {"instrument": 1, "size_lots": 100, "type": OrderType.STOP_MARKET, "side": SELL, "reduce_only": 1}
    request = half.from_frame(wire.preview(stop | {"trigger_ticks": 590_000}, 7, venue.now))
    assert half.read_said(request, asked(venue, half, request)).outcome == Outcome.ACCEPTED
    assert kinds_of(reports(wire, venue.take(business))) == ["LIVE"]
    rows = [x for r in half.open_orders() for x in half.read_open_orders(asked(venue, half, r))[0]]
    assert [(x.client_id, x.kind, x.state, x.is_algo) for x in rows] == [
        (wire.client_id(7), "stop_market", "untriggered", True)
    ]
    row = half.read_order(asked(venue, half, half.order("BTC-USDT-SWAP", wire.client_id(7), is_algo=True)))
    assert row == rows[0]
    request = half.from_frame(wire.preview(stop | {"action": Action.CANCEL}, 7, venue.now))
    assert half.read_said(request, asked(venue, half, request)).outcome == Outcome.ACCEPTED
    assert kinds_of(reports(wire, venue.take(business))) == ["CANCELED"]


def test_news_of_the_account_is_read_as_it_comes():
    venue = Venue()
    wire, connection = wire_of(venue), venue.open(PRIVATE)
    session = Session("private", rules.PRIVATE_TOPICS, Key("simulated", "simulated", "simulated"))
    said = carry(venue, session, connection, session.start(venue.now))
    assert Ready() in said
    order = {"instrument": 1, "size_lots": 100, "tif": TimeInForce.IOC, "price_ticks": 600_001}
    frames = venue.tell(connection, wire.preview(order, 7, venue.now).decode())
    frames += venue.wait(connection, 300 * MS)
    sink, rows = ListSink(), []
    for frame in frames:
        text = orjson.dumps(frame)
        if wire.read(text, sink) == Verdict.NOT_MINE:
            for action in session.receive(text.decode(), venue.now):
                assert isinstance(action, AccountNews)
                rows += action.rows
    assert kinds_of(sink.events) == ["ACK", "LIVE", "FILL", "FILLED"]
    assert not [x for x in rows if getattr(x, "status", "") == "odd"], rows
    assert {type(x).__name__ for x in rows} >= {"PositionRow", "BalanceRow", "ModeRow"}


def test_a_stop_that_fires_is_told_as_the_order_that_it_was():
    venue, half = Venue(), half_of()
    wire, connection = wire_of(venue), venue.private()
    order = {"instrument": 1, "size_lots": 100, "tif": TimeInForce.IOC, "price_ticks": 600_001}
    reports(wire, venue.tell(connection, wire.preview(order, 7, venue.now).decode()))
    stop = {"instrument": 1, "size_lots": 100, "type": OrderType.STOP_MARKET, "side": SELL, "reduce_only": 1}
    request = half.from_frame(wire.preview(stop | {"trigger_ticks": 599_000}, 8, venue.now))
    assert half.read_said(request, asked(venue, half, request)).outcome == Outcome.ACCEPTED
    for side, ticks_now in ((BUY, 598_000), (SELL, 598_010)):
        for ticks, _ in venue.swap.engine.levels(side):
            venue.swap.engine.set_level(side, ticks, 0)
        venue.swap.engine.set_level(side, ticks_now, 10_000)
    got = reports(wire, venue.wait(connection, 500 * MS))
    fills = [x for x in got if x["kind"] == ReportKind.REPORT_FILL]
    assert sum(x["size_lots"] for x in fills) == 100
    assert {x["order_id"] for x in got} == {8}
    assert not [x for x in got if x["kind"] in (ReportKind.REPORT_FILLED, ReportKind.REPORT_ODD)]
    assert venue.lots() == 0


@pytest.mark.parametrize(
    ("fault", "nature"), [("acct.liquidation", Nature.LIQUIDATION), ("acct.adl", Nature.ADL)]
)
def test_a_forced_fill_is_the_same_on_the_stream_and_in_rest(fault, nature):
    venue, half = Venue(), half_of()
    wire, connection = wire_of(venue), venue.private()
    order = {"instrument": 1, "size_lots": 100, "tif": TimeInForce.IOC, "price_ticks": 600_001}
    reports(wire, venue.tell(connection, wire.preview(order, 7, venue.now).decode()))
    venue.strike(fault)
    got = reports(wire, venue.take(connection))
    forced = {(x["trade_hi"], x["trade_lo"]) for x in got if x["nature"] == nature}
    assert all(lo < 0 for _, lo in forced)
    rows, _ = half.read_trades(asked(venue, half, half.trades("BTC-USDT-SWAP", T0 - SECOND)))
    assert {(x.trade_hi, x.trade_lo) for x in rows if x.nature == nature} == forced != set()

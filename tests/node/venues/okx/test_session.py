"""The session against hand-written answers: order of login, subscriptions, pings, resyncs; what ends a
connection."""

import gzip
import os
from pathlib import Path

import orjson
import pytest

from ext.records import Market
from node.venues.keys import Key
from node.venues.okx import rules
from node.venues.okx.session import LOGINS_MAX, Session
from node.venues.values import (
    AccountNews,
    BalanceRow,
    Down,
    ModeRow,
    PositionRow,
    Ready,
    Relist,
    Replace,
    Resync,
    Send,
    StatusRow,
)

S = rules.SECOND
T0 = 1_538_054_050 * S
SECRET = "22582BD0CFF14C41EDBF1AB98506286D"
KEYS = Key("the-api-key-itself", SECRET, "the-passphrase")
SIGN = "+LdIr8lkkvhr5hoA3g9TMC0+uQJ849ftAcocA/ouu4M="  # of T0, docs-v5 "Login" and the key above
PRIVATE = ("orders", "ANY")
BOOKS, TRADES = ("books", "BTC-USDT"), ("trades", "BTC-USDT")


def sent(actions) -> list[dict]:
    return [orjson.loads(x.text) for x in actions if isinstance(x, Send)]


def tell(session: Session, now_ns: int = T0, **message):
    return session.receive(orjson.dumps(message).decode(), now_ns)


def ack(session: Session, topic, event="subscribe", now_ns: int = T0):
    name = rules.CHANNELS[topic[0]].unit
    return tell(session, now_ns, event=event, arg={"channel": topic[0], name: topic[1]}, connId="a4")


def ready(*topics, kind="public", **more) -> Session:
    session = Session(kind, topics, **more)
    session.start(T0)
    for topic in topics:
        actions = ack(session, topic)
    assert actions == [Ready()]
    return session


def only(actions):
    (action,) = actions
    return action


def test_nothing_is_subscribed_before_the_login_answer():
    session = Session("private", [("orders", "ANY")], KEYS)
    (login,) = sent(session.start(T0 + 999_999_999))
    arg = login["args"][0]
    assert (login["op"], arg) == (
        "login",
        {
            "apiKey": "the-api-key-itself",
            "passphrase": "the-passphrase",
            "timestamp": "1538054050",
            "sign": SIGN,
        },
    )
    assert session.tick(T0 + S) == []
    (subscribe,) = sent(tell(session, event="login", code="0", msg="", connId="a4"))
    assert subscribe["args"] == [{"channel": "orders", "instType": "ANY"}]
    assert ack(session, ("orders", "ANY")) == [Ready()]


def test_a_login_is_stamped_with_the_clock_of_the_venue():
    session = Session("private", [PRIVATE], KEYS)
    session.offset_ns = -10 * S
    (login,) = sent(session.start(T0 + 10 * S))
    assert (login["args"][0]["timestamp"], login["args"][0]["sign"]) == ("1538054050", SIGN)


def test_without_keys_there_is_no_login():
    (subscribe,) = sent(Session("private", [("orders", "SWAP")]).start(T0))
    assert subscribe["op"] == "subscribe"
    assert Session("private").start(T0) == [Ready()]


def test_a_channel_without_argument_is_subscribed_without_one():
    session = Session("private", [("balance_and_position", "")])
    (subscribe,) = sent(session.start(T0))
    assert subscribe["args"] == [{"channel": "balance_and_position"}]
    assert tell(session, event="subscribe", arg={"channel": "balance_and_position"}) == [Ready()]


def test_ready_only_after_one_acknowledgement_for_each_argument():
    session = Session("public", [BOOKS, TRADES])
    (subscribe,) = sent(session.start(T0))
    assert [x["channel"] for x in subscribe["args"]] == ["books", "trades"]
    assert subscribe["id"].isalnum()
    assert ack(session, BOOKS) == []
    assert ack(session, BOOKS) == []
    assert ack(session, TRADES) == [Ready()]
    assert session.ready


def test_many_topics_are_asked_for_in_frames_that_the_venue_takes():
    topics = [("books", f"COIN{i}-USDT") for i in range(3000)]
    frames = sent(Session("public", topics).start(T0))
    assert len(frames) > 1
    assert all(len(orjson.dumps(x)) < 64 * 1024 for x in frames)
    assert sum(len(x["args"]) for x in frames) == 3000
    assert len({x["id"] for x in frames}) == len(frames)


@pytest.mark.parametrize(
    ("kind", "topic"), [("public", ("orders", "ANY")), ("private", BOOKS), ("public", ("nonsense", "X"))]
)
def test_a_channel_of_another_endpoint_is_refused_at_once(kind, topic):
    with pytest.raises(ValueError, match="channel"):
        Session(kind, [topic])
    with pytest.raises(ValueError, match="kind"):
        Session("other")


@pytest.mark.parametrize(
    ("code", "retry"),
    [
        ("60009", False),
        ("60005", False),
        ("60024", False),
        ("60032", False),
        ("60006", True),
        ("63999", True),
    ],
)
def test_a_refused_login_is_final_where_only_a_human_can_help(code, retry):
    session = Session("private", [("orders", "ANY")], KEYS)
    session.start(T0)
    down = only(tell(session, event="error", code=code, msg="Login failed.", connId="a4"))
    assert isinstance(down, Down)
    assert (down.retry, code in down.reason) == (retry, True)


@pytest.mark.parametrize(
    ("code", "retry"),
    [("60018", False), ("64003", False), ("60012", False), ("60014", True), ("60011", True)],
)
def test_a_refused_subscription_ends_the_connection(code, retry):
    session = Session("public", [BOOKS])
    session.start(T0)
    assert only(tell(session, event="error", code=code, msg="Wrong URL", connId="a4")).retry is retry


def logged_in() -> Session:
    session = Session("private", [PRIVATE], KEYS)
    session.start(T0)
    tell(session, event="login", code="0", msg="", connId="a4")
    assert ack(session, PRIVATE) == [Ready()]
    return session


def refused(session: Session, code="60005") -> Down:
    session.start(T0)
    return only(tell(session, event="error", code=code, msg="Invalid OK-ACCESS-KEY", connId="a4"))


def test_a_key_that_had_worked_is_tried_again_for_a_while():
    session = logged_in()
    assert all(refused(session).retry for _ in range(LOGINS_MAX - 1))
    assert not refused(session).retry
    session = logged_in()
    for _ in range(2 * LOGINS_MAX):
        assert refused(session).retry
        session.start(T0)
        tell(session, event="login", code="0", msg="", connId="a4")
        ack(session, PRIVATE)
    assert session.closed(4007)[0].retry
    assert session.closed(4001)[0].retry


@pytest.mark.parametrize(
    ("code", "word", "retry"),
    [
        ("60005", "auth", False),
        ("60007", "auth", False),
        ("60024", "auth", False),
        ("60032", "auth", False),
        ("50101", "auth", False),
        ("50110", "auth", False),
        ("60006", "clock", True),
        ("60004", "clock", True),
        ("60023", "rate", True),
        ("63999", "auth", True),
        ("99999", "unknown", True),
    ],
)
def test_why_a_login_was_refused_is_classified(code, word, retry):
    down = refused(Session("private", [PRIVATE], KEYS), code)
    assert (down.retry, f"({word}): {code}" in down.reason) == (retry, True)


def test_no_reason_ever_shows_a_secret():
    request = {
        "op": "login",
        "args": [{"apiKey": KEYS.api_key, "passphrase": "the-passphrase", "sign": SIGN}],
    }
    texts = [
        f"Invalid request: {orjson.dumps(request).decode()}",
        f"bad {SECRET} the-passphrase {KEYS.api_key}",
    ]
    shown = []
    for text in texts:
        session = Session("private", [PRIVATE], KEYS)
        session.start(T0)
        shown += tell(session, event="error", code="60012", msg=text)
        shown += session.closed(4001, text)
        shown += session.receive(text[:80], T0)
        shown += tell(logged_in(), event="new", msg=text)
        shown += tell(logged_in(), event="error", code="60012", msg=text)
    shown = repr([*shown, session, KEYS])
    for secret in (SECRET, "the-passphrase", KEYS.api_key):
        assert secret not in shown


def test_an_error_on_a_connection_that_was_ready_is_tried_again():
    assert only(tell(ready(BOOKS), event="error", code="60018", msg="gone")).retry


def test_a_notice_asks_for_a_replacement_once():
    session = ready(BOOKS)
    notice = {"event": "notice", "code": "64008", "msg": "The connection will soon be closed"}
    assert isinstance(only(tell(session, **notice)), Replace)
    assert tell(session, **notice) == []
    assert tell(session, event="notice", code="1", msg="") == []


def test_connection_counts_are_information_until_there_are_too_many():
    session = ready(("orders", "ANY"), kind="private")
    assert tell(session, event="channel-conn-count", channel="orders", connCount="2") == []
    assert isinstance(
        only(tell(session, event="channel-conn-count-error", channel="orders", connCount="30")), Down
    )


def test_silence_is_broken_by_a_ping_and_a_pong_by_nothing():
    session = ready(BOOKS, first_data_ns=0)
    assert session.tick(T0 + 19 * S) == []
    assert session.tick(T0 + 20 * S) == [Send("ping")]
    assert session.tick(T0 + 21 * S) == []
    assert session.receive("pong", T0 + 22 * S) == []
    assert session.tick(T0 + 41 * S) == []
    assert session.tick(T0 + 42 * S) == [Send("ping")]


def test_a_ping_without_an_answer_is_the_end():
    session = ready(BOOKS, first_data_ns=0)
    session.tick(T0 + 20 * S)
    assert "ping" in only(session.tick(T0 + 28 * S)).reason


def test_data_is_as_good_as_a_pong():
    session = ready(BOOKS)
    session.data(BOOKS, T0 + 15 * S)
    assert session.tick(T0 + 30 * S) == []
    session.data(None, T0 + 34 * S)
    assert session.tick(T0 + 50 * S) == []


@pytest.mark.parametrize(("keys", "what"), [(KEYS, "login"), (None, "subscribe books:BTC-USDT")])
def test_an_answer_that_does_not_come_is_the_end(keys, what):
    session = Session("public", [BOOKS], keys)
    session.start(T0)
    assert session.tick(T0 + 9 * S) == []
    down = only(session.tick(T0 + 10 * S))
    assert what in down.reason
    assert down.retry


def test_a_simulated_clock_may_start_at_zero():
    session = Session("public", [BOOKS], KEYS)
    session.start(0)
    assert "login" in only(session.tick(10 * S)).reason


def test_a_book_starts_anew_by_leaving_and_subscribing_again():
    session = ready(BOOKS, TRADES, ("bbo-tbt", "BTC-USDT"))
    (leave,) = sent(session.resync("BTC-USDT", T0 + S))
    assert leave["op"] == "unsubscribe"
    assert [x["channel"] for x in leave["args"]] == ["books", "bbo-tbt"]
    assert session.resync("BTC-USDT", T0 + S) == []
    (again,) = sent(ack(session, BOOKS, "unsubscribe", T0 + S))
    assert (again["op"], again["args"]) == ("subscribe", [{"channel": "books", "instId": "BTC-USDT"}])
    assert ack(session, BOOKS, now_ns=T0 + S) == []
    assert session.resync("ETH-USDT", T0 + S) == []


def test_a_book_that_keeps_failing_waits_longer_each_time():
    session = ready(BOOKS, first_data_ns=0)
    now, waits = T0, []
    for _ in range(8):
        asked = now
        actions = session.resync("BTC-USDT", now)
        while not sent(actions):
            now += S
            session.data(BOOKS, now)
            actions = session.tick(now)
        waits.append((now - asked) // S)
        ack(session, BOOKS, "unsubscribe", now)
        ack(session, BOOKS, now_ns=now)
    assert waits == [0, 1, 2, 4, 8, 16, 32, 32]


def test_the_hourly_budget_of_requests_is_kept():
    session = ready(BOOKS, first_data_ns=0)
    for i in range(300):
        actions = session.resync("BTC-USDT", T0 + i * S)
        session._due.clear()
        session._resyncs.clear()
        actions = ack(session, BOOKS, "unsubscribe", T0 + i * S) or actions
        if isinstance(actions[0], Down):
            break
        ack(session, BOOKS, now_ns=T0 + i * S)
    assert isinstance(actions[0], Down)
    assert 235 <= i <= 241


def test_a_book_that_never_speaks_is_resynced_and_a_mark_price_takes_the_line_down():
    session = ready(BOOKS, TRADES)
    session.data(TRADES, T0 + 29 * S)
    assert only(session.tick(T0 + 30 * S)) == Resync("BTC-USDT", "books silent for 30 s")
    session = ready(("mark-price", "BTC-USDT-SWAP"))
    session.data(None, T0 + 29 * S)
    assert isinstance(only(session.tick(T0 + 30 * S)), Down)


def test_a_book_that_falls_silent_is_resynced_after_its_heartbeat_is_due():
    session = ready(BOOKS, TRADES)
    session.data(BOOKS, T0 + S)
    session.data(TRADES, T0 + 60 * S)
    assert session.tick(T0 + 70 * S) == []
    assert only(session.tick(T0 + 71 * S)) == Resync("BTC-USDT", "books silent for 70 s")


def test_a_book_that_is_silent_also_when_it_was_subscribed_anew_has_the_line_replaced():
    session = ready(BOOKS, TRADES)
    session.data(BOOKS, T0 + S)
    session.data(TRADES, T0 + 60 * S)
    assert isinstance(only(session.tick(T0 + 71 * S)), Resync)
    session.resync("BTC-USDT", T0 + 71 * S)
    ack(session, BOOKS, event="unsubscribe", now_ns=T0 + 71 * S)
    ack(session, BOOKS, now_ns=T0 + 71 * S)
    session.data(TRADES, T0 + 100 * S)  # the socket lives
    assert isinstance(only(session.tick(T0 + 101 * S)), Replace)
    assert session.tick(T0 + 102 * S) == []  # said once
    session.data(BOOKS, T0 + 103 * S)
    session.data(TRADES, T0 + 160 * S)
    assert isinstance(only(session.tick(T0 + 173 * S)), Resync)  # it had come back: from the beginning


@pytest.mark.parametrize(
    ("code", "retry"), [(4004, True), (4006, True), (4001, False), (4007, False), (1006, True)]
)
def test_a_close_code_says_whether_to_come_back(code, retry):
    assert only(Session("public").closed(code, "why")).retry is retry


@pytest.mark.parametrize("text", ["", "ping?", "{", '{"event":'])
def test_what_is_not_json_ends_the_connection(text):
    assert isinstance(only(ready(BOOKS).receive(text, T0)), Down)


@pytest.mark.parametrize(
    "text", ["[]", "5", "{}", '{"event":"subscribe"}', '{"event":"subscribe","arg":{"channel":5}}']
)
def test_what_is_not_for_it_is_ignored(text):
    assert ready(BOOKS).receive(text, T0) == []


def test_a_session_begins_again_from_nothing():
    session = ready(BOOKS)
    session.resync("BTC-USDT", T0)
    (subscribe,) = sent(session.start(T0 + 5 * S))
    assert subscribe["op"] == "subscribe"
    assert not session.ready


# ---- news of the account ----


def pushed(channel: str, *rows: dict, session: Session | None = None, **more):
    arg = {"channel": channel, "uid": "77982378738415879"}
    return tell(session or logged_in(), arg=arg, data=list(rows), **more)


def news(actions) -> tuple:
    found = only(actions)
    assert isinstance(found, AccountNews)
    return found.rows


POSITION = {
    "instType": "SWAP",
    "instId": "BTC-USDT-SWAP",
    "mgnMode": "cross",
    "posSide": "net",
    "pos": "-2.5",
    "avgPx": "60000.1",
    "lever": "3",
    "uTime": "1597026383085",
}
COIN = {"ccy": "USDT", "cashBal": "100.5", "availBal": "80", "eq": "101", "uTime": "1597026383085"}


def test_balances_come_coin_by_coin_whatever_the_page():
    page = {"eventType": "snapshot", "curPage": 1, "lastPage": False}
    rows = news(pushed("account", {"uTime": "1", "details": [COIN, COIN | {"ccy": "BTC"}]}, **page))
    assert [(x.coin, x.total, x.free) for x in rows] == [("USDT", "100.5", "80"), ("BTC", "100.5", "80")]
    assert pushed("account", {"details": []}) == []


def test_a_position_says_how_the_account_is_set_up():
    row, mode = news(pushed("positions", POSITION))
    assert isinstance(row, PositionRow)
    assert (row.symbol, row.size, row.leg, row.entry) == ("BTC-USDT-SWAP", "-2.5", "net", "60000.1")
    assert mode == ModeRow(Market.OKX, "BTC-USDT-SWAP", False, "3", "cross")
    row, mode = news(pushed("positions", POSITION | {"posSide": "short", "pos": "2.5"}))
    assert (row.size, row.leg, mode.hedge) == ("-2.5", "short", True)
    row, _ = news(pushed("positions", POSITION | {"pos": "0"}))
    assert row.size == "0"


def test_cash_and_positions_of_one_event():
    position = {k: v for k, v in POSITION.items() if k != "lever"}
    both = {"pTime": "1", "eventType": "filled", "balData": [COIN], "posData": [position], "trades": []}
    balance, row = news(pushed("balance_and_position", both))
    assert (balance.coin, balance.total, row.symbol, row.leverage) == ("USDT", "100.5", "BTC-USDT-SWAP", "")
    (balance,) = news(pushed("balance_and_position", {"eventType": "funding_fee", "balData": [COIN]}))
    assert isinstance(balance, BalanceRow)


def odd(actions) -> str:
    (row,) = news(actions)
    assert isinstance(row, StatusRow)
    assert (row.market, row.status) == (Market.OKX, "odd")
    return row.text


@pytest.mark.parametrize(
    ("channel", "row", "word"),
    [
        ("positions", POSITION | {"pos": ""}, "pos"),
        ("positions", POSITION | {"posSide": "both"}, "posSide"),
        ("positions", POSITION | {"instType": "MARGIN", "instId": "BTC-USDT"}, "margin position"),
        ("account", {"details": [COIN | {"cashBal": ""}]}, "cashBal"),
        ("account", {}, "details"),
        ("account", {"details": [5]}, "details"),
        ("balance_and_position", {"balData": {}}, "balData"),
        ("balance_and_position", {"posData": [POSITION | {"pos": "1e5"}]}, "pos"),
        ("status", {"state": "new"}, "state"),
        ("instruments", {"instId": "BTC-USDT"}, "state"),
        ("liquidation-warning", {}, "liquidation-warning"),
    ],
)
def test_a_frame_that_cannot_be_read_is_named_and_nothing_of_it_is_used(channel, row, word):
    assert word in odd(pushed(channel, row))


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "5",
        "{}",
        '{"event":"new"}',
        '{"op":"order","id":"1512","code":"0","data":[]}',
        '{"arg":{"channel":"account"}}',
        '{"arg":{"channel":5},"data":[]}',
        '{"arg":{"channel":"account"},"data":[5]}',
    ],
)
def test_what_nobody_knows_is_told_on_a_connection_of_the_account(text):
    assert odd(logged_in().receive(text, T0)) == text
    assert ready(BOOKS).receive(text, T0) == [] or '"account"' in text


def test_a_changed_instrument_is_asked_for_again_and_its_state_told():
    public = ready(("instruments", "SWAP"))
    row = {"instType": "SWAP", "instId": "BTC-USDT-SWAP", "state": "suspend"}
    relist, told = pushed("instruments", row, session=public)
    assert relist == Relist("BTC-USDT-SWAP")
    assert told.rows == (StatusRow(Market.OKX, "BTC-USDT-SWAP", "halt", "suspend"),)
    relist, told = pushed("instruments", row, row | {"instId": "ETH-USDT-SWAP"}, session=public)
    assert (relist, len(told.rows)) == (Relist(""), 2)


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ({"state": "ongoing", "env": "1"}, "maintenance"),
        ({"state": "pre_open", "env": "1"}, "maintenance"),
        ({"state": "completed", "env": "1"}, "trading"),
        ({"state": "canceled"}, "trading"),
        ({"state": "scheduled", "env": "1"}, ""),
        ({"state": "ongoing", "env": "2"}, ""),
    ],
)
def test_maintenance_of_our_environment_is_told(row, status):
    actions = pushed("status", row, session=ready(("status", "")))
    assert [x.status for a in actions for x in a.rows] == ([status] if status else [])


def test_stop_orders_are_heard_of_on_the_business_endpoint():
    session = Session("business", rules.ALGO_TOPICS, KEYS)
    session.start(T0)
    (subscribe,) = sent(tell(session, event="login", code="0", msg="", connId="a4"))
    assert (subscribe["args"], session.path) == (
        [{"channel": "orders-algo", "instType": "ANY"}],
        "/ws/v5/business",
    )


def test_all_that_tells_of_an_account_is_subscribed_at_once():
    session = Session("private", rules.PRIVATE_TOPICS, KEYS)
    session.start(T0)
    (subscribe,) = sent(tell(session, event="login", code="0", msg="", connId="a4"))
    assert subscribe["args"] == [
        {"channel": "orders", "instType": "ANY"},
        {"channel": "account"},
        {"channel": "positions", "instType": "ANY"},
        {"channel": "balance_and_position"},
    ]
    actions = [
        ack(session, x) if x[1] else tell(session, event="subscribe", arg={"channel": x[0]})
        for x in rules.PRIVATE_TOPICS
    ]
    assert actions == [[], [], [], [Ready()]]


@pytest.mark.parametrize("code", ["60011", "60014", "60012"])
def test_an_error_that_names_no_request_ends_the_connection(code):
    """Which of the orders in flight it was, nobody knows: all of them are of unknown fate."""
    assert only(tell(logged_in(), event="error", code=code, msg="Please log in")).retry


def test_a_real_account_is_read():
    name = "private/okx-account.jsonl.gz"
    path = Path(__file__).parents[4] / os.environ.get("TICKGATE_RECORDINGS", "../shared/recordings") / name
    if not path.is_file():
        pytest.skip(f"no recording at {path}")
    session, seen = logged_in(), 0
    with gzip.open(path) as stream:
        for line in map(orjson.loads, stream):
            if line["channel"] == "private:account":
                rows = news(session.receive(line["raw"], T0))
                assert all(isinstance(x, BalanceRow) for x in rows)
                seen += any(x.coin == "USDT" and x.total == "281977.59356437845" for x in rows)
    assert seen == 6


FRAMES = [
    {"event": "login", "code": "0", "msg": "", "connId": "a4"},
    {"event": "subscribe", "arg": {"channel": "orders", "instType": "ANY"}, "connId": "a4"},
    {"event": "error", "code": "60012", "msg": "Invalid request", "connId": "a4", "id": "s1"},
    {"event": "notice", "code": "64008", "msg": "soon", "connId": "a4"},
    {"event": "channel-conn-count-error", "channel": "orders", "connCount": "30", "connId": "a4"},
    {"arg": {"channel": "account"}, "data": [{"details": [COIN]}], "curPage": 1, "lastPage": True},
    {"arg": {"channel": "positions"}, "data": [POSITION]},
    {"arg": {"channel": "balance_and_position"}, "data": [{"balData": [COIN], "posData": [POSITION]}]},
    {"arg": {"channel": "status"}, "data": [{"state": "ongoing", "env": "1", "title": "t"}]},
    {"arg": {"channel": "instruments"}, "data": [{"instId": "BTC-USDT", "state": "live"}]},
]


def spoiled(value: object):
    """The same frame with one part of it something else."""
    yield from (None, 5, -1.5, True, "", "x", [], {}, [5], {"a": []})
    if isinstance(value, dict):
        for key, part in value.items():
            yield {k: v for k, v in value.items() if k != key}
            yield from ({**value, key: x} for x in spoiled(part))
    if isinstance(value, list):
        for i, part in enumerate(value):
            yield from ([*value[:i], x, *value[i + 1 :]] for x in spoiled(part))


@pytest.mark.parametrize("frame", FRAMES, ids=lambda x: x.get("event") or x["arg"]["channel"])
def test_no_frame_makes_a_session_stumble(frame):
    for message in spoiled(frame):
        logged_in().receive(orjson.dumps(message).decode(), T0)
    whole = orjson.dumps(frame)
    for i in range(len(whole)):
        for raw in (whole[:i], whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :]):
            actions = logged_in().receive(raw.decode("latin-1"), T0)
            assert all(isinstance(x, Down | AccountNews | Replace | Relist | Send) for x in actions)

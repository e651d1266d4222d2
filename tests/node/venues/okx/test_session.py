"""The session against hand-written answers: order of login, subscriptions, pings, resyncs; what ends a
connection."""

import orjson
import pytest

from node.venues.okx import rules
from node.venues.okx.session import Credentials, Session, sign
from node.venues.values import Down, Ready, Replace, Resync, Send

S = rules.SECOND
T0 = 1_538_054_050 * S
SECRET = "22582BD0CFF14C41EDBF1AB98506286D"
KEYS = Credentials("K", SECRET, "P")
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


def test_the_signature_of_the_documented_login():
    assert sign(SECRET, "1538054050") == "+LdIr8lkkvhr5hoA3g9TMC0+uQJ849ftAcocA/ouu4M="


def test_keys_are_never_printed():
    assert SECRET not in repr(KEYS)


def test_nothing_is_subscribed_before_the_login_answer():
    session = Session("private", [("orders", "ANY")], KEYS)
    (login,) = sent(session.start(T0 + 999_999_999))
    arg = login["args"][0]
    assert (login["op"], arg["apiKey"], arg["passphrase"], arg["timestamp"]) == (
        "login",
        "K",
        "P",
        "1538054050",
    )
    assert arg["sign"] == sign(SECRET, "1538054050")
    assert session.tick(T0 + S) == []
    (subscribe,) = sent(tell(session, event="login", code="0", msg="", connId="a4"))
    assert subscribe["args"] == [{"channel": "orders", "instType": "ANY"}]
    assert ack(session, ("orders", "ANY")) == [Ready()]


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

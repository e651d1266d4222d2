import hashlib
import hmac
import json

import pytest

from node.venues.bybit import rules
from node.venues.bybit.rules import LINEAR, SPOT
from node.venues.bybit.session import Session
from node.venues.values import Down, Ready, Send

S = rules.SECOND
NOW = 1_711_001_595_207_000_000


def sent(actions) -> list[dict]:
    assert all(isinstance(x, Send) for x in actions)
    return [json.loads(x.text) for x in actions]


def ack(session, request, ok=True, text="", **extra):
    reply = {"success": ok, "ret_msg": text, "conn_id": "x", "op": request["op"]}
    reply |= {"req_id": request["req_id"]} | extra
    return session.receive(json.dumps(reply), NOW)


def ready_session(names=("orderbook.50.BTCUSDT",), **kwargs) -> Session:
    session = Session("public", LINEAR, names, **kwargs)
    for request in sent(session.start(NOW)):
        ack(session, request)
    assert session.ready
    return session


def test_symbols_become_topics_and_all_are_confirmed_before_ready():
    session = Session("public", SPOT, [f"S{i}" for i in range(7)])
    requests = sent(session.start(NOW))
    assert [len(x["args"]) for x in requests] == [10, 10, 1]
    assert requests[0]["args"][:3] == ["orderbook.50.S0", "publicTrade.S0", "tickers.S0"]
    assert ack(session, requests[2]) == ack(session, requests[0]) == []
    assert ack(session, requests[1]) == [Ready()]


def test_an_answer_without_an_id_is_for_the_oldest_request():
    session = Session("public", LINEAR, [f"tickers.S{i}" for i in range(12)])
    session.start(NOW)
    reply = '{"success":true,"ret_msg":"","conn_id":"d8","req_id":"","op":"subscribe"}'
    assert session.receive(reply, NOW) == []
    assert session.receive(reply, NOW) == [Ready()]


def test_a_refused_topic_is_named_and_not_tried_again():
    session = Session("public", LINEAR, ["tickers.BTCUSDT", "publicTrade.NOTASYMBOL"])
    (request,) = sent(session.start(NOW))
    (down,) = ack(session, request, False, "error:handler not found,topic:publicTrade.NOTASYMBOL")
    assert isinstance(down, Down)
    assert not down.retry
    assert down.reason.startswith("subscription of publicTrade.NOTASYMBOL refused")
    assert session.tick(NOW + 1000 * S) == session.receive("{}", NOW) == []


def test_already_subscribed_counts_and_the_rest_of_the_request_is_asked_again():
    session = Session("public", LINEAR, ["tickers.A", "tickers.B"])
    (request,) = sent(session.start(NOW))
    (again,) = sent(ack(session, request, False, "error:already subscribed,topic:tickers.A"))
    assert again["args"] == ["tickers.B"]
    assert ack(session, again) == [Ready()]
    alone = Session("public", LINEAR, ["tickers.A"])
    (request,) = sent(alone.start(NOW))
    assert ack(alone, request, False, "error:already subscribed,topic:tickers.A") == [Ready()]


def test_a_subscription_without_an_answer_brings_the_session_down():
    session = Session("public", LINEAR, ["tickers.A"])
    session.start(NOW)
    assert session.tick(NOW + 9 * S) == []
    (down,) = session.tick(NOW + 10 * S)
    assert (down.retry, "tickers.A" in down.reason) == (True, True)


PONGS = [
    '{"success":true,"ret_msg":"pong","conn_id":"0970","op":"ping"}',
    '{"success":true,"ret_msg":"pong","conn_id":"4657","req_id":"","op":"ping"}',
    '{"req_id":"test","op":"pong","args":["1675418560633"],"conn_id":"cfcb-1b"}',
    '{"retCode":0,"retMsg":"OK","op":"pong","data":["1711002002529"],"connId":"cnt5-2v"}',
]


@pytest.mark.parametrize("pong", PONGS)
def test_any_form_of_pong_keeps_the_session_up(pong):
    session = ready_session()
    for second in range(1, 200):
        actions = session.tick(NOW + second * S)
        assert bool(actions) == (second % 20 == 0)
        if actions:
            assert sent(actions)[0]["op"] == "ping"
            assert session.receive(pong, NOW + second * S) == []


def test_a_missing_pong_brings_the_session_down():
    session = ready_session()
    assert sent(session.tick(NOW + 20 * S))[0] == {"req_id": "p2", "op": "ping"}
    assert session.tick(NOW + 29 * S) == []
    assert session.tick(NOW + 30 * S) == [Down("no pong")]


def test_a_confirmed_topic_that_says_nothing_brings_a_watched_session_down():
    session = ready_session(["orderbook.50.A", "publicTrade.A"], watch=True)
    assert session.tick(NOW + 10 * S) == [Down("orderbook.50.A was confirmed and sends nothing")]
    session = ready_session(["orderbook.50.A", "publicTrade.A"], watch=True)
    session.data("orderbook.50.A", NOW + S)
    assert session.tick(NOW + 10 * S) == []


def test_data_ahead_of_the_answer_counts():
    session = Session("public", LINEAR, ["tickers.A"], watch=True)
    (request,) = sent(session.start(NOW))
    session.data("tickers.A", NOW)
    ack(session, request)
    assert session.tick(NOW + 11 * S) == []


def test_a_resync_subscribes_anew_and_only_once_at_a_time():
    session = ready_session(["orderbook.50.A", "tickers.A", "orderbook.50.B"])
    leave, join = sent(session.resync("A", NOW))
    assert (leave["op"], leave["args"]) == ("unsubscribe", ["orderbook.50.A"])
    assert (join["op"], join["args"]) == ("subscribe", ["orderbook.50.A"])
    assert session.resync("A", NOW) == []
    assert ack(session, leave) == ack(session, join) == []
    assert len(session.resync("A", NOW)) == 2
    assert session.resync("C", NOW) == []


def test_a_resync_that_the_venue_did_not_carry_out_brings_the_session_down():
    session = ready_session(["orderbook.50.A"])
    _, join = sent(session.resync("A", NOW))
    (down,) = ack(session, join, False, "error:already subscribed,topic:orderbook.50.A")
    assert down.retry


def test_a_login_is_signed_and_precedes_subscriptions():
    session = Session("private", LINEAR, credentials=("key", "secret"))
    (login,) = sent(session.start(NOW))
    expires = NOW // 10**6 + 5000
    digest = hmac.new(b"secret", f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
    assert login == {"req_id": "a1", "op": "auth", "args": ["key", expires, digest]}
    (request,) = sent(ack(session, login))
    assert request["args"] == ["order.linear", "execution.linear"]
    assert session.receive('{"success":true,"ret_msg":"","op":"subscribe","conn_id":"x"}', NOW) == [Ready()]


def test_a_trade_login_spells_its_keys_its_own_way():
    session = Session("trade", LINEAR, credentials=("key", "secret"))
    (login,) = sent(session.start(NOW))
    assert "reqId" in login
    assert session.receive('{"retCode":0,"retMsg":"OK","op":"auth","connId":"x"}', NOW) == [Ready()]


@pytest.mark.parametrize("kind", ["trade", "private"])
def test_without_credentials_the_login_is_left_out(kind):
    actions = Session(kind, SPOT).start(NOW)
    if kind == "trade":
        assert actions == [Ready()]
    else:
        assert [x["args"] for x in sent(actions)] == [["order.spot", "execution.spot"]]


@pytest.mark.parametrize(
    ("reply", "retry"),
    [
        ('{"op":"auth","success":false,"retCode":10003,"retMsg":"Invalid apikey","connId":"x"}', False),
        ('{"op":"auth","retCode":10003,"retMsg":"Too many sessions under the same UID","connId":"x"}', True),
        ('{"op":"auth","retCode":10004,"retMsg":"error sign!","connId":"x"}', False),
        ('{"op":"auth","retCode":10016,"retMsg":"Internal server error","connId":"x"}', True),
    ],
)
def test_a_refused_login_says_whether_it_can_be_tried_again(reply, retry):
    session = Session("trade", LINEAR, credentials=("key", "secret"))
    session.start(NOW)
    (down,) = session.receive(reply, NOW)
    assert (down.retry, down.reason.startswith("login refused")) == (retry, True)


def test_a_login_without_an_answer_brings_the_session_down():
    session = Session("private", LINEAR, credentials=("key", "secret"))
    session.start(NOW)
    assert session.tick(NOW + 10 * S) == [Down("no answer to auth")]


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "7", "{}", '{"topic":"a.b"}', '{"op":"subscribe","success":true,"req_id":"z"}',
             '{"op":"subscribe","success":true,"req_id":5}', '{"op":"unsubscribe","success":true}']
)  # fmt: skip
def test_what_answers_nothing_is_ignored(text):
    session = Session("public", LINEAR, ["tickers.A"])
    session.start(NOW)
    assert session.receive(text, NOW) == []
    assert not session.ready


def test_a_session_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="session kind 'other'"):
        Session("other", LINEAR)
    with pytest.raises(ValueError, match="trade session has no topics"):
        Session("trade", LINEAR, ["tickers.A"])
    with pytest.raises(ValueError, match="market 0"):
        Session("public", 0)
    with pytest.raises(ValueError, match="more than one connection"):
        Session("public", LINEAR, [f"tickers.SYMBOL{i}" for i in range(1500)])

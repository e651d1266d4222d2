import hashlib
import hmac
import json

import pytest
from frames import rows

from node.venues.bybit import rules
from node.venues.bybit.rules import LINEAR, SPOT
from node.venues.bybit.session import Session
from node.venues.keys import Key
from node.venues.values import (
    AccountNews,
    BalanceRow,
    CashRow,
    Down,
    ModeRow,
    PositionRow,
    Ready,
    Replace,
    Send,
    StatusRow,
)

S = rules.SECOND
NOW = 1_711_001_595_207_000_000
KEY = Key("key-of-ours-1", "secret")


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
    """Reference section 2.4. Topics with a category and without are not mixed in one request (section 6)."""
    session = Session("private", LINEAR, key=KEY)
    (login,) = sent(session.start(NOW))
    expires = NOW // 10**6 + 5000
    digest = hmac.new(b"secret", f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
    assert login == {"req_id": "a1", "op": "auth", "args": ["key-of-ours-1", expires, digest]}
    orders, wallet = sent(ack(session, login))
    assert orders["args"] == ["order.linear", "execution.linear", "position.linear"]
    assert wallet["args"] == ["wallet"]
    reply = '{"success":true,"ret_msg":"","op":"subscribe","conn_id":"x"}'
    assert session.receive(reply, NOW) == []
    assert session.receive(reply, NOW) == [Ready()]


def test_a_login_is_stamped_with_the_venues_clock():
    session = Session("private", LINEAR, key=KEY)
    session.offset_ns = -3_000_000_000
    (login,) = sent(session.start(NOW))
    assert login["args"][1] == NOW // 10**6 + 2000


def test_a_trade_login_spells_its_keys_its_own_way():
    session = Session("trade", LINEAR, key=KEY)
    (login,) = sent(session.start(NOW))
    assert "reqId" in login
    assert session.receive('{"retCode":0,"retMsg":"OK","op":"auth","connId":"x"}', NOW) == [Ready()]


def test_logged_in_already_is_logged_in():
    session = Session("trade", LINEAR, key=KEY)
    session.start(NOW)
    assert session.receive('{"retCode":20001,"retMsg":"Repeat auth","op":"auth","connId":"x"}', NOW) == [
        Ready()
    ]


@pytest.mark.parametrize("kind", ["trade", "private"])
def test_without_credentials_the_login_is_left_out(kind):
    actions = Session(kind, SPOT).start(NOW)
    if kind == "trade":
        assert actions == [Ready()]
    else:
        assert [x["args"] for x in sent(actions)] == [["order.spot", "execution.spot"], ["wallet"]]


AUTH = {"op": "auth", "connId": "x"}
LOGINS = [
    ({"retCode": 10003, "retMsg": "Invalid apikey"}, False, "access"),
    ({"retCode": 10003, "retMsg": "Too many sessions under the same UID"}, True, "limit"),
    ({"retCode": 10004, "retMsg": "error sign!"}, False, "access"),
    ({"retCode": 10010, "retMsg": "Unmatched IP"}, False, "access"),
    ({"retCode": 33004, "retMsg": "Your api key has expired"}, False, "access"),
    ({"retCode": 10001, "retMsg": "Params error"}, True, "clock"),
    ({"retCode": 10002, "retMsg": "check your timestamp"}, True, "clock"),
    ({"retCode": 10016, "retMsg": "Internal server error"}, True, "unknown"),
    ({"success": False, "ret_msg": "error:request expired"}, True, "clock"),
    ({"success": False, "ret_msg": "no such key"}, False, "access"),
]


@pytest.mark.parametrize(("reply", "retry", "kind"), LOGINS)
def test_a_refused_login_says_why_and_whether_it_can_be_tried_again(reply, retry, kind):
    session = Session("trade", LINEAR, key=KEY)
    session.start(NOW)
    (down,) = session.receive(json.dumps(AUTH | reply), NOW)
    assert down.retry is retry
    assert down.reason.startswith(f"login refused ({kind}): ")


def test_a_login_that_was_good_once_is_tried_again():
    """failures.md row 60: a key that is being changed, a venue that restarts."""
    session = Session("trade", LINEAR, key=KEY)
    session.start(NOW)
    session.receive(json.dumps(AUTH | {"retCode": 0}), NOW)
    session.start(NOW + S)
    (down,) = session.receive(json.dumps(AUTH | {"retCode": 10004, "retMsg": "error sign!"}), NOW)
    assert down.retry


def test_no_secret_is_in_a_reason():
    session = Session("private", LINEAR, key=Key("XXXXXXXXXXYYYYYYYY", "very secret thing"))
    session.start(NOW)
    text = "error sign! XXXXXXXXXXYYYYYYYY very secret thing"
    (down,) = session.receive(json.dumps(AUTH | {"success": False, "ret_msg": text}), NOW)
    assert "YYYY" not in down.reason
    assert "secret thing" not in down.reason
    assert down.reason.startswith("login refused (access): error sign! XXXX...")


def test_a_login_without_an_answer_brings_the_session_down():
    session = Session("private", LINEAR, key=KEY)
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


# ---- what the account says ----


def private(market=LINEAR, **kwargs) -> Session:
    session = Session("private", market, key=KEY, **kwargs)
    (login,) = sent(session.start(NOW))
    for request in sent(ack(session, login)):
        actions = ack(session, request)
    assert actions == [Ready()]
    return session


def news(session, topic, *data, **more) -> list:
    message = {"id": "1", "topic": topic, "creationTime": 1697682317044, "data": list(data)} | more
    actions = session.receive(json.dumps(message), NOW)
    assert all(isinstance(x, AccountNews) for x in actions)
    return [row for x in actions for row in x.rows]


POSITION = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "positionIdx": 0,
    "side": "",
    "size": "0",
    "entryPrice": "0",
    "leverage": "10",
    "positionStatus": "Normal",
    "updatedTime": "1697682317038",
    "isReduceOnly": False,
}


def test_a_position_is_told_with_how_it_is_set_up():
    """Reference section 6.4: it comes with every action on orders, changed or not."""
    mode = ModeRow(LINEAR, "BTCUSDT", hedge=False, leverage="10")
    flat = PositionRow(LINEAR, "BTCUSDT", "0", "net", "0", "10", "", 1697682317038 * 10**6)
    assert news(private(), "position.linear", POSITION) == [flat, mode]
    short = POSITION | {"side": "Sell", "size": "0.01", "positionIdx": 2}
    position, mode = news(private(), "position", short)
    assert (position.size, position.leg, mode.hedge) == ("-0.01", "short", True)


@pytest.mark.parametrize(
    "change", [{"positionStatus": "Liq"}, {"positionStatus": "Adl"}, {"isReduceOnly": True}]
)
def test_a_position_that_the_venue_took_in_hand_is_odd(change):
    *_, status = news(private(), "position.linear", POSITION | change)
    assert (status.symbol, status.status) == ("BTCUSDT", "odd")


def test_a_portfolio_without_leverage_is_read():
    position, mode = news(private(), "position.linear", POSITION | {"leverage": "", "liqPrice": ""})
    assert (position.leverage, mode.leverage) == ("", "")


def test_rows_of_another_market_are_left_alone():
    assert news(private(), "position", POSITION | {"category": "inverse"}) == []
    assert news(private(), "execution", {"category": "spot", "execType": "Trade"}) == []
    assert news(private(), "order.linear", {"category": "linear", "symbol": "NOTLISTED"}) == []


def test_the_coins_that_changed_are_told():
    """Reference section 6.5: merge by coin, never clear."""
    coins = [{"coin": "USDT", "walletBalance": "9600.5", "locked": "100"}]
    rows = news(private(SPOT), "wallet", {"accountType": "UNIFIED", "coin": coins})
    assert rows == [BalanceRow(SPOT, "USDT", "9600.5", "9500.5", 1697682317044 * 10**6)]


FUNDING = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "execType": "Funding",
    "execId": "abc",
    "execFee": "0.25",
    "feeCurrency": "",
    "execTime": "1697682317000",
    "side": "Buy",
    "execQty": "0.1",
    "execPrice": "60000",
}


def test_funding_is_money_and_no_fill():
    """failures.md row 77: what was paid is positive on the wire."""
    cash = CashRow(LINEAR, "USDT", "funding", "-0.25", "BTCUSDT", "abc", 1697682317000 * 10**6)
    assert news(private(), "execution.linear", FUNDING, FUNDING | {"execType": "Trade"}) == [cash]


@pytest.mark.parametrize(
    ("topic", "data", "word"),
    [
        ("position.linear", [POSITION | {"size": ""}], "size"),
        ("position.linear", [POSITION | {"side": "Long"}], "side"),
        ("wallet", [{"coin": [{"coin": "USDT", "walletBalance": ""}]}], "walletBalance"),
        ("wallet", [{}], "coin"),
        ("execution.linear", [FUNDING | {"execFee": "x"}], "execFee"),
        ("execution.linear", "nothing", "data"),
        ("execution.linear", [7], "data"),
        ("greeks", [{}], "greeks"),
        ("later.than.this", [{}], "later.than.this"),
    ],
)
def test_what_cannot_be_read_is_named_and_counts_as_nothing(topic, data, word):
    """failures.md row 84: empty is not zero."""
    message = {"topic": topic, "creationTime": 1, "data": data}
    ((row,),) = (x.rows for x in private().receive(json.dumps(message), NOW))
    assert (row.status, row.market) == ("odd", LINEAR)
    assert word in row.text


@pytest.mark.parametrize("text", ["", "x", "[]", "7", "{}", '{"op":"new","x":1}'])
@pytest.mark.parametrize("kind", ["private", "trade"])
def test_a_frame_that_nobody_knows_is_named(kind, text):
    session = Session(kind, LINEAR, key=KEY)
    session.start(NOW)
    ((row,),) = (x.rows for x in session.receive(text, NOW))
    assert (row.status, row.text.startswith(f"{kind}: ")) == ("odd", True)


@pytest.mark.parametrize(
    "message",
    [
        {"success": False, "ret_msg": "Request not authorized", "op": ""},
        {"retCode": 10003, "retMsg": "API key is invalid.", "op": "order.other"},
        {"retCode": 33004, "retMsg": "Your api key has expired.", "op": ""},
    ],
)
def test_a_login_that_was_lost_brings_the_session_down_to_log_in_again(message):
    """failures.md row 60."""
    session = private()
    (down,) = session.receive(json.dumps(message), NOW)
    assert (down.retry, down.reason.startswith("login lost")) == (True, True)
    assert session.start(NOW) != []


def test_a_node_that_restarts_is_replaced():
    (action,) = private().receive('{"retCode":10019,"retMsg":"ws trade service is restarting","op":""}', NOW)
    assert isinstance(action, Replace)


def test_disconnect_cancel_all_is_asked_for_alone_and_may_be_refused():
    """Reference section 9: what an account without it is told is not documented."""
    session = Session("private", SPOT, key=KEY, dcp=True)
    (login,) = sent(session.start(NOW))
    *others, dcp = sent(ack(session, login))
    assert dcp["args"] == ["dcp.spot"]
    for request in others:
        assert ack(session, request) == []
    told, ready = ack(session, dcp, False, "error:handler not found,topic:dcp.spot")
    assert ready == Ready()
    assert told.rows[0].status == "odd"
    assert "dcp.spot refused" in told.rows[0].text
    assert private(dcp=True).topics[-1] == "dcp.future"


def maintenance(state, products=(1, 2)) -> str:
    row = {"id": "4d95", "title": "t06", "state": state, "begin": "1", "end": "2", "product": list(products)}
    return json.dumps({"topic": "system.status", "ts": 1751858399649, "data": [row]})


def test_maintenance_of_the_venue_is_told():
    session = Session("status", LINEAR)
    assert session.path == "/v5/public/misc/status"
    (request,) = sent(session.start(NOW))
    assert request["args"] == ["system.status"]
    assert ack(session, request) == [Ready()]
    assert session.receive(maintenance("ongoing"), NOW)[0].rows == (
        StatusRow(LINEAR, "", "maintenance", "t06"),
    )
    assert session.receive(maintenance("completed"), NOW)[0].rows[0].status == "trading"
    assert session.receive(maintenance("scheduled"), NOW) == []
    assert session.receive(maintenance("ongoing", [2]), NOW) == []
    assert session.receive(maintenance("postponed"), NOW)[0].rows[0].status == "odd"


def test_every_account_frame_of_the_fixtures_is_read():
    kinds = {"ws_account_position": PositionRow, "ws_account_wallet": BalanceRow}
    seen = 0
    for line in rows("fixtures/bybit-nautilus.jsonl.gz"):
        name = line["channel"].partition(":")[2]
        for start, kind in kinds.items():
            if name.startswith(start) and '"topic"' in line["raw"]:
                (action,) = private().receive(line["raw"], NOW)
                assert isinstance(action.rows[0], kind), name
                seen += 1
    assert seen >= 5

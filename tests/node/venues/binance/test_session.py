"""Binance sessions: subscribe, log on, notice silence, age and shutdown."""

import hmac
import json
from base64 import b64decode

import pytest

from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM
from node.venues.binance.session import (
    ACK_NS,
    FIRST_DATA_NS,
    HOUR,
    SECOND,
    Session,
    signed_params,
)
from node.venues.keys import Key
from node.venues.values import AccountNews, BalanceRow, Down, Ready, Replace, Reply, Send, StatusRow

NOW = 1_770_000_000 * SECOND
DEPTH, TRADE = "btcusdt@depth@100ms", "btcusdt@trade"


def started(*streams, market=BINANCE_SPOT, **options):
    session = Session("stream", market, streams, **options)
    (send,) = session.start(NOW)
    return session, json.loads(send.text)


def test_a_stream_session_subscribes_once_in_one_message_and_is_ready_when_acknowledged():
    session, message = started(DEPTH, TRADE, DEPTH)
    assert message == {"id": 1, "method": "SUBSCRIBE", "params": [DEPTH, TRADE]}
    assert session.receive('{"result":null,"id":7}', NOW) == []
    assert not session.ready
    assert session.receive('{"result":null,"id":1}', NOW) == [Ready()]
    assert session.receive('{"result":null,"id":1}', NOW) == []


def test_paths_follow_the_product_and_the_route():
    assert Session("stream", BINANCE_SPOT, [DEPTH]).path == "/stream"
    assert Session("stream", BINANCE_SPOT, [DEPTH], combined=False).path == "/ws"
    assert Session("stream", BINANCE_USDM, [DEPTH]).path == "/public/stream"
    assert Session("stream", BINANCE_USDM, ["btcusdt@aggTrade"]).path == "/market/stream"
    assert Session("stream", BINANCE_USDM, listen_key="K", combined=False).path == "/private/ws?listenKey=K"
    assert Session("api", BINANCE_SPOT).path == "/ws-api/v3"
    assert Session("api", BINANCE_USDM).path == "/ws-fapi/v1"


def test_streams_of_two_routes_need_two_connections():
    with pytest.raises(ValueError, match="market and public"):
        Session("stream", BINANCE_USDM, [DEPTH, "btcusdt@aggTrade"])
    with pytest.raises(ValueError, match="201 streams"):
        Session("stream", BINANCE_USDM, [f"s{i}usdt@depth" for i in range(201)])
    with pytest.raises(ValueError, match="kind"):
        Session("public", BINANCE_SPOT)
    with pytest.raises(ValueError, match="user_data"):
        Session("api", BINANCE_USDM, user_data=True)


def test_a_missing_acknowledgement_takes_the_connection_down():
    session, _ = started(DEPTH)
    assert session.tick(NOW + ACK_NS - 1) == []
    (down,) = session.tick(NOW + ACK_NS)
    assert down == Down("no answer to SUBSCRIBE within 10 s")


def test_a_stream_that_is_acknowledged_but_silent_takes_the_connection_down():
    session, _ = started(DEPTH, "btcusdt@bookTicker", TRADE)
    session.receive('{"result":null,"id":1}', NOW)
    session.data(DEPTH, NOW)
    assert session.tick(NOW + FIRST_DATA_NS - 1) == []
    (down,) = session.tick(NOW + FIRST_DATA_NS)
    assert "btcusdt@bookTicker" in down.reason
    assert DEPTH not in down.reason
    assert TRADE not in down.reason  # a quiet market has no trades
    session.data("btcusdt@bookTicker", NOW)
    assert session.tick(NOW + FIRST_DATA_NS) == []


@pytest.mark.parametrize(
    "text",
    [
        '{"code":2,"msg":"Invalid request: x","id":1}',
        '{"error":{"code":2,"msg":"Invalid request: x"},"id":1}',
    ],
)
def test_an_error_reply_takes_the_connection_down_for_good(text):
    session, _ = started(DEPTH)
    assert session.receive(text, NOW) == [Down("stream error 2: Invalid request: x", retry=False)]


@pytest.mark.parametrize(
    "text",
    [
        '{"e":"serverShutdown","E":1770123456789}',
        '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}',
        '{"event":{"e":"serverShutdown","E":1770123456789}}',
    ],
)
def test_a_shutdown_in_any_shape_asks_for_a_replacement(text):
    for session in (started(DEPTH)[0], Session("api", BINANCE_SPOT)):
        (action,) = session.receive(text, NOW)
        assert isinstance(action, Replace)


def test_a_connection_is_replaced_once_an_hour_before_the_venue_cuts_it():
    session = Session("api", BINANCE_SPOT)
    assert session.start(NOW) == [Ready()]
    assert session.tick(NOW + 22 * HOUR - 1) == []
    assert isinstance(session.tick(NOW + 23 * HOUR)[0], Replace)
    assert session.tick(NOW + 23 * HOUR + 1) == []
    session.start(NOW + 24 * HOUR)
    assert session.tick(NOW + 24 * HOUR + 1) == []


def test_connections_that_were_opened_together_are_not_replaced_together():
    def replaced_after_min(start_ns: int) -> int:
        session = Session("api", BINANCE_SPOT)
        session.start(start_ns)
        return next(x for x in range(24 * 60) if session.tick(start_ns + x * HOUR // 60))

    ages = [replaced_after_min(NOW + number) for number in range(20)]
    assert 22 * 60 <= min(ages) < 22 * 60 + 15
    assert 22 * 60 + 45 <= max(ages) <= 23 * 60
    assert len(set(ages)) > 10
    assert replaced_after_min(NOW) == ages[0]  # the same start, the same age: a replay does the same


@pytest.mark.parametrize(
    "text",
    ["x", "", "{", '{"e":"kline"}', "[]", "5", "null", '{"id":1}', '{"id":[],"result":null}', '{"data":5}'],
)
def test_other_frames_never_raise(text):
    for session in (started(DEPTH)[0], Session("api", BINANCE_SPOT)):
        for action in session.receive(text, NOW):
            assert isinstance(action, Down | AccountNews)


@pytest.mark.parametrize(
    "text",
    [
        '{"id":{},"status":200}',
        '{"id":"logon","status":"x"}',
        '{"id":"a","status":200,"error":5}',
        '{"id":null,"status":200}',
        '{"id":[1],"result":null}',
    ],
)
def test_odd_api_frames_never_raise(text):
    session = Session("api", BINANCE_SPOT, user_data=True)
    session.start(NOW)
    session.receive(text, NOW)
    started(DEPTH)[0].receive(text, NOW)


def key_pair():
    ed = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    from cryptography.hazmat.primitives import serialization as s

    key = ed.Ed25519PrivateKey.generate()
    pem = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode()
    return pem, key.public_key()


def test_logon_signs_the_sorted_parameters_and_waits_for_the_answer():
    pem, public = key_pair()
    session = Session("api", BINANCE_SPOT, key=Key("K", private_key=pem), user_data=True)
    (send,) = session.start(NOW)
    message = json.loads(send.text)
    params = message["params"]
    assert (message["method"], params["timestamp"]) == ("session.logon", NOW // 1_000_000)
    public.verify(
        b64decode(params["signature"]), f"apiKey=K&recvWindow=5000&timestamp={NOW // 1_000_000}".encode()
    )
    (send,) = session.receive('{"id":"logon","status":200,"result":{"apiKey":"K"}}', NOW)
    assert json.loads(send.text) == {"id": "user", "method": "userDataStream.subscribe"}
    assert session.receive('{"id":"user","status":200,"result":{"subscriptionId":0}}', NOW) == [Ready()]


@pytest.mark.parametrize(
    ("status", "code", "retry"),
    [
        (401, -2015, False),
        (400, -1022, False),
        (400, -1193, False),
        (400, -1021, True),
        (500, -1007, True),
        (429, -1003, True),
    ],
)
def test_a_refused_logon_is_tried_again_only_where_that_can_help(status, code, retry):
    pem, _ = key_pair()
    session = Session("api", BINANCE_SPOT, key=Key("K", private_key=pem))
    session.start(NOW)
    error = json.dumps({"id": "logon", "status": status, "error": {"code": code, "msg": "why"}})
    (down,) = session.receive(error, NOW)
    assert (down.retry, "why" in down.reason) == (retry, True)


def test_an_unanswered_logon_takes_the_connection_down():
    pem, _ = key_pair()
    session = Session("api", BINANCE_USDM, key=Key("K", private_key=pem))
    session.start(NOW)
    assert session.tick(NOW + ACK_NS) == [Down("no answer to session.logon within 10 s")]


def test_an_error_without_id_takes_the_session_down():
    session = Session("api", BINANCE_SPOT)
    session.start(NOW)
    (down,) = session.receive('{"id":null,"status":401,"error":{"code":-2015,"msg":"Invalid API-key"}}', NOW)
    assert down.retry
    assert "-2015" in down.reason


# Published samples of the venue's documentation (web-socket-api.md, "SIGNED request example"), not real keys.
DOC_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
DOC_SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
DOC_ORDER = {"symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC"}
DOC_ORDER |= {"quantity": "0.01000000", "price": "52000.00", "recvWindow": 100, "timestamp": 1645423376532}


@pytest.mark.parametrize(
    ("change", "signature"),
    [
        ({}, "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24"),
        (
            {
                "symbol": "１２３４５６",
                "side": "BUY",
                "quantity": "1.00000000",
                "price": "0.10000000",
                "recvWindow": 5000,
            },
            "b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd",
        ),
    ],
)
def test_signatures_are_those_of_the_documentation(change, signature):
    assert signed_params(Key(DOC_KEY, DOC_SECRET), DOC_ORDER | change)["signature"] == signature


HMAC = Key("apikeyapikey1", "topsecretwords")


def test_an_hmac_key_on_spot_subscribes_with_a_signature_of_its_own_each_time():
    session = Session("api", BINANCE_SPOT, key=HMAC, user_data=True)
    stamps = set()
    for now_ns in (NOW, NOW + HOUR):
        (send,) = session.start(now_ns)
        message = json.loads(send.text)
        params = message["params"]
        assert message["method"] == "userDataStream.subscribe.signature"
        payload = f"apiKey=apikeyapikey1&recvWindow=5000&timestamp={now_ns // 1_000_000}"
        assert params["signature"] == hmac.digest(b"topsecretwords", payload.encode(), "sha256").hex()
        stamps.add(params["timestamp"])
        assert session.receive('{"id":"user","status":200,"result":{"subscriptionId":0}}', now_ns) == [
            Ready()
        ]
    assert len(stamps) == 2


def test_an_hmac_key_on_usdm_is_tried_out_before_an_order_depends_on_it():
    session = Session("api", BINANCE_USDM, key=HMAC)
    (send,) = session.start(NOW)
    assert json.loads(send.text)["method"] == "v2/account.balance"
    assert session.receive('{"id":"probe","status":200,"result":[]}', NOW) == [Ready()]


@pytest.mark.parametrize(
    ("status", "code", "starts", "retry"),
    [
        (400, -1022, "secret:", False),
        (401, -2015, "key:", False),
        (401, -2014, "key:", False),
        (400, -2008, "key:", False),
        (400, -1021, "clock:", True),
        (429, -1003, "limit:", True),
        (418, -1003, "limit:", True),
    ],
)
def test_a_bad_key_is_told_by_kind_and_without_a_secret(status, code, starts, retry):
    session = Session("api", BINANCE_USDM, key=HMAC)
    session.start(NOW)
    error = {"code": code, "msg": "no: topsecretwords of apikeyapikey1"}
    (down,) = session.receive(json.dumps({"id": "probe", "status": status, "error": error}), NOW)
    assert down.reason.startswith(f"first signed request: {starts}")
    assert down.retry == retry
    assert "topsecret" not in down.reason
    assert "apikeyapikey1" not in down.reason


def test_an_error_that_concerns_only_the_probe_is_no_refusal():
    session = Session("api", BINANCE_USDM, key=HMAC)
    session.start(NOW)
    error = '{"id":"probe","status":400,"error":{"code":-1000,"msg":"not now"}}'
    assert session.receive(error, NOW) == [Ready()]


def test_a_key_that_was_good_before_is_tried_again():
    session = Session("api", BINANCE_USDM, key=HMAC)
    session.start(NOW)
    session.receive('{"id":"probe","status":200,"result":[]}', NOW)
    session.start(NOW + HOUR)
    error = '{"id":"probe","status":401,"error":{"code":-2015,"msg":"Invalid API-key"}}'
    (down,) = session.receive(error, NOW + HOUR)
    assert down.retry


def test_stamps_follow_the_venues_clock():
    session = Session("api", BINANCE_USDM, key=HMAC)
    session.offset_ns = -2_500 * 1_000_000
    (send,) = session.start(NOW)
    assert json.loads(send.text)["params"]["timestamp"] == NOW // 1_000_000 - 2500


def test_a_key_is_never_printed():
    pem, _ = key_pair()
    key = Key("KEYKEYKEYKEY", private_key=pem)
    assert "KEYKEYKEYKEY" not in repr(key) + repr(Session("api", BINANCE_SPOT, key=key))


@pytest.mark.parametrize(
    "text",
    [
        '{"subscriptionId":0,"event":{"e":"eventStreamTerminated","E":1728973001334}}',
        '{"e":"eventStreamTerminated","E":1728973001334}',
    ],
)
def test_the_end_of_the_user_stream_takes_the_connection_down(text):
    session = Session("api", BINANCE_SPOT, key=HMAC, user_data=True)
    session.start(NOW)
    (down,) = session.receive(text, NOW)
    assert down.retry


def test_account_events_of_the_order_connection_become_news():
    session = Session("api", BINANCE_SPOT, key=HMAC, user_data=True)
    session.start(NOW)
    event = {"e": "outboundAccountPosition", "E": 1564034571105, "u": 1564034571073}
    event["B"] = [{"a": "ETH", "f": "10000.000000", "l": "0.5"}]
    (news,) = session.receive(json.dumps({"subscriptionId": 0, "event": event}), NOW)
    at = 1564034571073 * 1_000_000
    assert news == AccountNews((BalanceRow(BINANCE_SPOT, "ETH", "10000.500000", "10000.000000", at),))


@pytest.mark.parametrize("text", ["[1]", "5", '{"hello":1}', '{"e":"somethingNew","E":1}'])
def test_a_frame_of_a_private_connection_that_nobody_knows_is_named(text):
    for session in (Session("api", BINANCE_SPOT, key=HMAC), Session("stream", BINANCE_USDM, listen_key="L")):
        session.start(NOW)
        (news,) = session.receive(text, NOW)
        assert isinstance(news.rows[0], StatusRow)
        assert news.rows[0].status == "odd"
    assert started(DEPTH)[0].receive(text, NOW) == []


def test_a_listen_key_that_is_gone_takes_the_stream_down_and_other_failures_are_tried_again():
    session = Session("stream", BINANCE_USDM, listen_key="L", key=Key("K"))
    session.start(NOW)
    due = NOW + 30 * 60 * SECOND
    assert session.keepalive_request(due).method == "PUT"
    assert session.keepalive_reply(Reply(200, {}, b"{}"), due) == []
    later = due + 30 * 60 * SECOND
    assert session.keepalive_request(later - 1) is None
    assert session.keepalive_request(later) is not None
    for reply in (None, Reply(503, {}, b"Service Unavailable."), Reply(429, {}, b'{"code":-1003}')):
        assert session.keepalive_reply(reply, later) == []
        assert session.keepalive_request(later + 60 * SECOND - 1) is None
        later += 60 * SECOND
        assert session.keepalive_request(later) is not None
    (down,) = session.keepalive_reply(Reply(400, {}, b'{"code":-1125,"msg":"gone"}'), later)
    assert down.retry


def test_a_book_starts_anew_from_a_depth_request():
    session, _ = started(DEPTH, market=BINANCE_USDM)
    assert session.resync("BTCUSDT") == []
    assert session.snapshot_request("BTCUSDT").target == "/fapi/v1/depth?symbol=BTCUSDT&limit=1000"


def test_a_private_stream_is_ready_at_once_and_kept_alive_every_half_hour():
    session = Session("stream", BINANCE_USDM, listen_key="L", key=Key("K"))
    assert session.start(NOW) == [Ready()]
    assert session.keepalive_request(NOW + 30 * 60 * SECOND - 1) is None
    assert session.keepalive_request(NOW + 30 * 60 * SECOND).method == "PUT"
    assert session.keepalive_request(NOW + 30 * 60 * SECOND) is None
    (down,) = session.receive('{"e":"listenKeyExpired","E":1,"listenKey":"L"}', NOW)
    assert down.retry


def test_a_restart_forgets_what_was_waited_for():
    session, _ = started(DEPTH)
    assert isinstance(session.start(NOW + HOUR)[0], Send)
    assert session.tick(NOW + HOUR) == []


# ---- a topic that dies on a live socket -----------------------------------------------------------


TICKER = "btcusdt@bookTicker"


def quoted() -> Session:
    """A book and its best prices, both of which have spoken."""
    session, _ = started(DEPTH, TICKER)
    session.receive('{"result":null,"id":1}', NOW)
    for stream in (DEPTH, TICKER):
        session.data(stream, NOW)
    return session


def test_a_book_that_is_silent_while_its_best_prices_move_is_subscribed_anew_and_then_the_line_replaced():
    session = quoted()
    session.data(TICKER, NOW + 30 * SECOND - 1)
    assert session.tick(NOW + 30 * SECOND) == []
    session.data(TICKER, NOW + 30 * SECOND)
    sent = [json.loads(x.text) for x in session.tick(NOW + 30 * SECOND)]
    assert [(x["method"], x["params"]) for x in sent] == [("UNSUBSCRIBE", [DEPTH]), ("SUBSCRIBE", [DEPTH])]
    assert session.tick(NOW + 31 * SECOND) == []
    for message in sent:  # and nobody is told that the session is ready again
        assert session.receive(json.dumps({"result": None, "id": message["id"]}), NOW + 31 * SECOND) == []
    assert session.tick(NOW + 59 * SECOND) == []  # no answer is missed
    session.data(TICKER, NOW + 60 * SECOND)
    (action,) = session.tick(NOW + 60 * SECOND)
    assert action == Replace(f"{DEPTH} is dead though it was subscribed anew")
    session.data(DEPTH, NOW + 61 * SECOND)  # it lives
    session.data(TICKER, NOW + 91 * SECOND)
    assert [type(x) for x in session.tick(NOW + 91 * SECOND)] == [Send, Send]


def test_a_market_in_which_nothing_moves_is_quiet_and_not_dead():
    session = quoted()
    assert session.tick(NOW + 3600 * SECOND) == []
    session.data(DEPTH, NOW + 3600 * SECOND)  # a level far from the best prices
    assert session.tick(NOW + 3601 * SECOND) == []

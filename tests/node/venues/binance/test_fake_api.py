"""The WebSocket API: malformed requests, sessions, signatures, user data subscriptions, counters."""

import json

import pytest
from binance_venue import (
    MARKETS,
    NOW,
    Rest,
    answer,
    api,
    ask,
    events,
    order,
    sign_ed25519,
    signed,
    two_accounts,
    user_line,
    venue,
)

from ext.instruments import Instruments
from ext.records import ReportKind
from ext.venues.binance import BinanceWire
from ext.wire import ListSink, Verdict
from node.venues import keys
from node.venues.binance import rest
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM, CODES
from node.venues.binance.session import Session
from node.venues.fakes import BUY, MS, SELL, Key
from node.venues.values import Ready, Send


def instruments(fake) -> Instruments:
    table = Instruments()
    for market in MARKETS:
        reply = fake.request("GET", rest.exchange_info(market).target, {}, b"", NOW).body
        for row in rest.instruments(reply):
            table.add(row.market, row.symbol, row.tick, row.lot, is_perpetual=row.is_perpetual)
    return table


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


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("events_first", [False, True])
def test_our_own_frames_are_understood_and_the_answers_read(market, events_first):
    fake = venue(events_first=events_first)
    table = instruments(fake)
    wire = BinanceWire(table, market)
    wire.set_codes(CODES[market])
    line, _ = user_line(fake, market)
    fake.take()
    row = table.index(market, "BTCUSDT")

    def send(order_id, **intent):
        common = {"instrument": row, "side": BUY, "size_lots": 1500, "order_id": order_id}
        fake.receive(line, wire.preview(common | intent, order_id, NOW).decode(), NOW)
        sink = ListSink()
        for _, text in fake.take():
            assert wire.read(text.encode(), sink) != Verdict.BAD, (wire.error(), text)
        reports = [e for e in sink.events if e["type"] == "report"]
        assert {e["order_id"] for e in reports} == {order_id}
        return [ReportKind(e["kind"]).name.removeprefix("REPORT_") for e in reports], reports

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
    assert kinds[-2 if events_first else -1] == "EXPIRED"
    assert send(2, action=1)[0] == ["CANCELED", "CANCELED"]
    assert send(2, action=1)[0] == ["CANCEL_REJECT"]
    kinds, events = send(5, type=1, side=SELL, size_lots=100)
    assert kinds.count("FILLED") == 1


def test_a_logon_is_verified_where_the_venue_knows_the_key():
    ed = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    from cryptography.hazmat.primitives import serialization as s

    key = ed.Ed25519PrivateKey.generate()
    pem = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode()
    fake = venue(public_keys={"K": key.public_key().public_bytes(s.Encoding.Raw, s.PublicFormat.Raw)})
    session = Session("api", BINANCE_SPOT, key=keys.Key("K", private_key=pem), user_data=True)
    line = fake.open(session.path, NOW)
    assert ask(fake, line, id="a", method="order.place", params=order(BINANCE_SPOT))[0]["status"] == 401
    actions = session.start(NOW)
    while isinstance(actions[0], Send):
        fake.receive(line, actions[0].text, NOW)
        ((_, reply),) = fake.take()
        actions = session.receive(reply, NOW)
    assert actions == [Ready()]
    assert answer(fake, line, "order.place", **order(BINANCE_SPOT))["status"] == 200
    wrong = json.loads(session.start(NOW)[0].text)
    wrong["params"]["timestamp"] += 1
    assert ask(fake, line, **wrong)[0]["error"]["code"] == -1022
    fake.revoke(line)
    reply = ask(fake, line, id="a", method="order.place", params=order(BINANCE_SPOT))[-1]
    assert (reply["id"], reply["status"]) == (None, 401)


def strict(**options):
    return venue(credentials_required=True, **options)


@pytest.mark.parametrize("market", MARKETS)
def test_without_credentials_nothing_private_is_answered(market):
    fake = strict()
    line = api(fake, market)
    for method in ("order.place", "order.status", "account.status"):
        reply = answer(fake, line, method, **order(market))
        assert (reply["status"], reply["error"]["code"]) == (401, -2014)
    wrong = order(market) | {"apiKey": "nosuch", "signature": "00"}
    assert answer(fake, line, "order.place", **wrong)["error"]["code"] == -2015


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("secret", ["simulated", ""])
def test_a_request_may_carry_its_own_signature(market, secret):
    fake = strict()
    line = api(fake, market)
    good = signed(order(market), secret=secret)
    assert answer(fake, line, "order.place", **good)["status"] == 200
    for name, value in (("quantity", "0.011"), ("signature", "0" * 64), ("signature", "!")):
        assert answer(fake, line, "order.place", **good | {name: value})["error"]["code"] == -1022
    late = signed(order(market) | {"timestamp": NOW // MS - 6000}, secret=secret)
    assert answer(fake, line, "order.place", **late)["error"]["code"] == -1021


def test_numbers_are_signed_as_they_are_written():
    fake = strict()
    params = order(BINANCE_SPOT, price="5990.00") | {"apiKey": "simulated"}
    payload = "&".join(f"{k}={params[k]}" for k in sorted(params))
    frame = json.dumps(
        {"id": 1, "method": "order.place", "params": params | {"signature": sign_ed25519(payload)}}
    )
    frame = frame.replace('"5990.00"', "5990.00")
    line = api(fake, BINANCE_SPOT)
    fake.receive(line, frame, NOW)
    assert json.loads(fake.take()[0][1])["status"] == 200


def logon(fake, line, **change):
    params = {"apiKey": "simulated", "timestamp": NOW // MS} | change
    payload = "&".join(f"{k}={params[k]}" for k in sorted(params))
    return answer(fake, line, "session.logon", **params, signature=sign_ed25519(payload))


@pytest.mark.parametrize("market", MARKETS)
def test_a_session_stands_for_key_and_signature_until_logout(market):
    fake = strict()
    line = api(fake, market)
    assert answer(fake, line, "session.status")["result"]["apiKey"] is None
    assert logon(fake, line)["result"]["authorizedSince"] == NOW // MS
    assert answer(fake, line, "order.place", **order(market))["status"] == 200
    without_time = {k: v for k, v in order(market).items() if k != "timestamp"}
    (reply,) = ask(fake, line, id="a", method="order.place", params=without_time)
    assert reply["error"]["code"] == -1102
    assert answer(fake, line, "session.logout")["result"]["apiKey"] is None
    assert answer(fake, line, "order.place", **order(market))["status"] == 401


def test_only_ed25519_keys_log_on():
    accounts = two_accounts()
    fake = strict(accounts=accounts)
    reply = answer(fake, api(fake, BINANCE_SPOT), "session.logon", **signed({}, "second", "second"))
    assert reply["error"]["code"] == -2028


@pytest.mark.parametrize(
    ("key", "ok"),
    [
        (Key("k", "s", rights=frozenset({"read"})), False),
        (Key("k", "s", ips=("10.0.0.1",)), False),
        (Key("k", "s", expires_ns=NOW), False),
        (Key("k", "s", environment="testnet"), False),
        (Key("k", "s", ips=("127.0.0.1",)), True),
    ],
)
def test_what_a_key_may_not_do_is_refused_with_401(key, ok):
    fake = strict()
    fake.accounts[1].keys.append(key)
    reply = answer(fake, api(fake, BINANCE_SPOT), "order.place", **signed(order(BINANCE_SPOT), "s", "k"))
    assert reply["status"] == (200 if ok else 401)
    assert ok or reply["error"]["code"] == -2015


def test_spot_user_data_is_subscribed_once_per_account_and_connection():
    fake = strict(accounts=two_accounts())
    line = api(fake, BINANCE_SPOT)
    subscribe = "userDataStream.subscribe.signature"
    assert answer(fake, line, "userDataStream.subscribe")["error"]["code"] == -2015
    assert answer(fake, line, subscribe, **signed({}))["result"] == {"subscriptionId": 0}
    assert answer(fake, line, subscribe, **signed({}))["error"]["code"] == -2035
    assert answer(fake, line, subscribe, **signed({}, "second", "second"))["result"] == {"subscriptionId": 1}
    Rest(fake, "second", "second").place(BINANCE_SPOT)
    assert {json.loads(x)["subscriptionId"] for _, x in fake.take()} == {1}
    assert answer(fake, line, "session.subscriptions")["result"] == [
        {"subscriptionId": 0},
        {"subscriptionId": 1},
    ]
    assert answer(fake, line, "userDataStream.unsubscribe", subscriptionId=1)["result"] == {}
    assert answer(fake, line, "userDataStream.unsubscribe", subscriptionId=1)["error"]["code"] == -2036


def test_a_logout_ends_the_subscription_of_its_session_only():
    fake = strict()
    line = api(fake, BINANCE_SPOT)
    logon(fake, line)
    answer(fake, line, "userDataStream.subscribe")
    fake.receive(line, json.dumps({"id": 1, "method": "session.logout"}), NOW)
    assert [x["e"] for x in events(fake)] == ["eventStreamTerminated"]


@pytest.mark.parametrize("kind", ["session.expire", "session.revoke"])
def test_a_session_that_ends_is_told_and_refuses_orders(kind):
    fake = strict()
    line = api(fake, BINANCE_SPOT)
    logon(fake, line)
    answer(fake, line, "userDataStream.subscribe")
    fake.strike(fake.faults.add(kind), NOW)
    assert "eventStreamTerminated" in [x["e"] for x in events(fake)]
    (reply,) = ask(fake, line, id="a", method="order.place", params=order(BINANCE_SPOT))
    assert reply["status"] == 401
    assert reply["id"] == (None if kind == "session.revoke" else "a")


def test_counters_are_told_unless_nobody_wants_them():
    fake = venue()
    line = api(fake, BINANCE_SPOT)
    reply = answer(fake, line, "order.place", **order(BINANCE_SPOT))
    kinds = [(x["rateLimitType"], x["interval"], x["count"]) for x in reply["rateLimits"]]
    assert kinds == [("ORDERS", "SECOND", 1), ("ORDERS", "DAY", 1), ("REQUEST_WEIGHT", "MINUTE", 2)]
    futures = answer(fake, api(fake, BINANCE_USDM), "order.place", **order(BINANCE_USDM))
    assert [(x["rateLimitType"], x["interval"]) for x in futures["rateLimits"]] == [
        ("ORDERS", "SECOND"),
        ("ORDERS", "MINUTE"),
    ]
    assert "rateLimits" not in answer(fake, line, "ping", returnRateLimits=False)
    quiet = fake.open("/ws-api/v3?returnRateLimits=false", NOW)
    assert "rateLimits" not in answer(fake, quiet, "ping")


@pytest.mark.parametrize("market", MARKETS)
def test_every_method_without_parameters_answers(market):
    """No method falls over: each answers 200 or with an error of its own."""
    from node.venues.binance.fake_api import METHODS

    fake = venue()
    line = api(fake, market)
    for name in METHODS[market]:
        for params in ({}, {"symbol": "BTCUSDT", "interval": "1m", "side": "BUY"}):
            reply = answer(fake, line, name, **params)
            assert reply["status"] in (200, 400, 401), (name, reply)
            assert ("result" in reply) != ("error" in reply)

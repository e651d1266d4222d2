"""REST at the door: signatures, keys, time windows, rates, envelopes."""

import json

import pytest

MS, S = 1_000_000, 1_000_000_000
WALLET = ("GET", "/v5/account/wallet-balance", "accountType=UNIFIED")


def test_a_signed_request_is_answered_in_the_venues_envelope(venue):
    status, answer, headers = venue.raw(*WALLET)
    assert (status, answer["retCode"], answer["retMsg"]) == (200, 0, "OK")
    assert list(answer) == ["retCode", "retMsg", "result", "retExtInfo", "time"]
    assert answer["time"] == venue.now // MS
    assert {"X-Bapi-Limit", "X-Bapi-Limit-Status", "X-Bapi-Limit-Reset-Timestamp", "Traceid"} <= set(headers)


def test_the_signature_covers_the_payload_exactly_as_sent(venue):
    status, answer, _ = venue.raw("GET", "/v5/account/wallet-balance", "coin=USDT&accountType=UNIFIED")
    assert answer["retCode"] == 0
    status, answer, _ = venue.raw(*WALLET, **{"X-BAPI-SIGN": "0" * 64})
    assert (status, answer["retCode"]) == (200, 10004)
    assert answer["retMsg"] == f"error sign! origin_string[{venue.now // MS}simulated5000accountType=UNIFIED]"


@pytest.mark.parametrize(("ahead_ms", "code"), [(0, 0), (999, 0), (1000, 10002), (-5000, 0), (-5001, 10002)])
def test_a_stamp_is_at_most_a_window_old_and_less_than_a_second_ahead(venue, ahead_ms, code):
    stamp = str(venue.now // MS + ahead_ms)
    _, answer, _ = venue.raw(*WALLET, stamp=stamp)
    assert answer["retCode"] == code
    if code:
        assert f"req_timestamp[{stamp}],server_timestamp[{venue.now // MS}]" in answer["retMsg"]


@pytest.mark.parametrize(
    ("key", "ip", "path", "code"),
    [
        ("second", "127.0.0.1", "order/create", 10001),
        ("nobody", "127.0.0.1", "order/create", 10003),
        ("testnet", "127.0.0.1", "order/create", 10003),
        ("reader", "127.0.0.1", "order/create", 10005),
        ("bound", "127.0.0.1", "order/create", 10010),
        ("bound", "10.1.2.3", "order/create", 10001),
    ],
)
def test_a_key_may_do_what_it_may(two_accounts, key, ip, path, code):
    _, answer, _ = two_accounts.raw("POST", f"/v5/{path}", "{}", key=key, secret=key, ip=ip)
    assert answer["retCode"] == code


def test_an_expired_key_is_told_so(two_accounts):
    two_accounts.now += 3600 * S
    assert two_accounts.raw(*WALLET, key="bound", secret="bound", ip="10.1.2.3")[1]["retCode"] == 33004


def test_accounts_do_not_see_each_other(two_accounts):
    order_id = two_accounts.order()
    _, answer, _ = two_accounts.raw(
        "GET", "/v5/order/realtime", f"category=linear&orderId={order_id}", key="second", secret="second"
    )
    assert answer["result"]["list"] == []
    wish = json.dumps({"category": "linear", "symbol": "BTCUSDT", "orderId": order_id})
    _, answer, _ = two_accounts.raw("POST", "/v5/order/cancel", wish, key="second", secret="second")
    assert answer["retCode"] == 110001


def test_what_never_reaches_the_business_layer_has_its_own_status(venue):
    request = venue.fake.request
    assert request("GET", "/v5/account/info", {}, b"", venue.now).status == 401
    assert request("GET", "/v5/nothing", {}, b"", venue.now).status == 404
    assert request("DELETE", "/v5/order/create", {}, b"", venue.now).status == 400
    assert request("GET", "/v5/market/time", {}, b"{}", venue.now).status == 403
    assert venue.raw("POST", "/v5/account/info", "{}")[0] == 404
    assert venue.raw("POST", "/v5/order/create", "[1")[1]["retCode"] == 10001


def test_each_endpoint_has_its_rate_and_says_what_is_left(venue):
    codes, left = [], []
    for _ in range(12):
        _, answer, headers = venue.raw("GET", "/v5/account/fee-rate", "category=linear")
        codes.append(answer["retCode"])
        left.append(headers["X-Bapi-Limit-Status"])
    assert codes == [0] * 5 + [10006] * 7
    assert left == ["4", "3", "2", "1", "0"] + ["0"] * 7
    assert int(headers["X-Bapi-Limit-Reset-Timestamp"]) > venue.now // MS
    venue.now += S
    assert venue.raw("GET", "/v5/account/fee-rate", "category=linear")[1]["retCode"] == 0


def test_order_rates_are_shared_by_rest_and_the_trade_connection(venue):
    trade = venue.open("/v5/trade", login=True)
    wish = {
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Limit",
        "qty": "0.1",
        "price": "9900",
    }
    for _ in range(6):
        assert venue.trade(trade, "order.create", **wish)[0]["retCode"] == 0
    codes = [venue.raw("POST", "/v5/order/create", json.dumps(wish))[1]["retCode"] for _ in range(6)]
    assert codes == [0] * 4 + [10006] * 2


def test_an_address_that_asks_too_much_is_shut_out_for_ten_minutes(venue):
    ask = venue.fake.request
    statuses = [ask("GET", "/v5/market/time", {}, b"", venue.now).status for _ in range(601)]
    assert statuses == [200] * 600 + [403]
    assert ask("GET", "/v5/market/time", {}, b"", venue.now, "10.0.0.9").status == 200
    venue.now += 599 * S
    assert ask("GET", "/v5/market/time", {}, b"", venue.now).status == 403
    venue.now += 2 * S
    assert ask("GET", "/v5/market/time", {}, b"", venue.now).status == 200


def test_the_faults_of_rest_strike_after_or_before_the_order_is_taken(venue):
    venue.fake.faults.add("rest.drop", count=1, live=True, path="/v5/order/create")
    body = json.dumps(
        {
            "category": "linear",
            "symbol": "BTCUSDT",
            "side": "Buy",
            "orderType": "Limit",
            "qty": "0.1",
            "price": "9900",
        }
    )
    venue.raw("POST", "/v5/order/create", body)
    assert venue.fake.faults.counts["rest.drop"] == 1
    assert len(venue.get("order/realtime", category="linear", symbol="BTCUSDT")["list"]) == 1
    venue.fake.faults.add("rest.not_found_for", ms=30_000)
    assert venue.get("order/realtime", category="linear", symbol="BTCUSDT")["list"] == []

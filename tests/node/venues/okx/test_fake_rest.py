"""The REST door: signatures, time stamps, keys, bodies, limits, faults."""

import json

import orjson
import pytest
from okx_client import PUBLIC, T0, Venue

from node.venues.fakes import SECOND, Account, Balance, Faults, Key
from node.venues.okx.fake_errors import Problem
from node.venues.okx.fake_rest import ROUTES, error_body, read_body, stamp_ns, summary


def account(key: Key) -> Account:
    from decimal import Decimal

    return Account(1, "1", [key], {"": {"USDT": Balance(Decimal(1000))}})


def refused(venue: Venue, **more) -> tuple[int, str]:
    status, answer = venue.ask("GET", "account/config", **more)
    return status, answer["code"]


@pytest.mark.parametrize(
    ("key", "want"),
    [
        (("simulated", "simulated", "simulated"), (200, "0")),
        (("nobody", "simulated", "simulated"), (401, "50111")),
        (("simulated", "wrong", "simulated"), (401, "50113")),
        (("simulated", "simulated", "wrong"), (401, "50105")),
    ],
)
def test_key_secret_and_passphrase_are_checked(key, want):
    assert refused(Venue(), key=key) == want


@pytest.mark.parametrize(
    ("header", "want"), [("KEY", "50103"), ("SIGN", "50106"), ("TIMESTAMP", "50107"), ("PASSPHRASE", "50104")]
)
def test_a_missing_header_has_a_code_of_its_own(header, want):
    assert refused(Venue(), headers={f"OK-ACCESS-{header}": ""}) == (401, want)


def test_the_time_stamp_must_be_iso_and_within_thirty_seconds():
    venue = Venue()
    assert refused(venue, headers={"OK-ACCESS-TIMESTAMP": "1700000000"}) == (401, "50112")
    assert refused(venue, headers={"OK-ACCESS-TIMESTAMP": "2023-13-14T22:13:20.000Z"}) == (401, "50112")
    assert refused(venue, headers={"OK-ACCESS-TIMESTAMP": "2023-11-14T22:12:49.000Z"}) == (401, "50102")
    assert refused(venue, headers={"OK-ACCESS-TIMESTAMP": "2023-11-14T22:13:21.000Z"}) == (401, "50113")
    assert stamp_ns("2023-11-14T22:13:20.715Z") == T0 + 715_000_000
    with pytest.raises(Problem):
        stamp_ns("2023-11-14 22:13:20Z")


def test_the_documented_signature_is_accepted():
    """The documents' own vector: secret, time stamp, method, path and body as sent."""
    secret = "22582BD0CFF14C41EDBF1AB98506286D"
    venue = Venue(accounts=[account(Key("k", secret, "p"))])
    venue.now = stamp_ns("2020-12-08T09:08:57.715Z")
    headers = {
        "OK-ACCESS-KEY": "k",
        "OK-ACCESS-SIGN": "HiZhvSfMtWJA3uUIVXV3a/bSXNPCWvYFXoGCVS8V4zY=",
        "OK-ACCESS-TIMESTAMP": "2020-12-08T09:08:57.715Z",
        "OK-ACCESS-PASSPHRASE": "p",
    }
    answer = venue.fake.request("GET", "/api/v5/account/balance?ccy=BTC", headers, b"", venue.now)
    assert orjson.loads(answer.body)["code"] == "0"


@pytest.mark.parametrize(
    ("change", "headers", "want"),
    [
        ({"ips": ("10.0.0.1",)}, {}, (401, "50110")),
        ({"expires_ns": T0}, {}, (401, "50111")),
        ({"rights": frozenset()}, {}, (200, "50120")),
        ({"environment": "demo"}, {}, (401, "50101")),
        ({"environment": "demo"}, {"x-simulated-trading": "1"}, (200, "0")),
        ({"environment": "production"}, {"x-simulated-trading": "1"}, (401, "50101")),
        ({"environment": "testnet"}, {}, (401, "50101")),
    ],
)
def test_a_key_is_good_for_its_addresses_rights_and_environment(change, headers, want):
    venue = Venue(accounts=[account(Key("simulated", "simulated", "simulated", **change))])
    assert refused(venue, headers=headers) == want


def test_a_demo_venue_wants_the_header():
    venue = Venue(environment="demo")
    assert refused(venue) == (401, "50101")
    assert refused(venue, headers={"x-simulated-trading": "1"}) == (200, "0")


def test_a_key_that_may_only_read_cannot_trade():
    key = Key("simulated", "simulated", "simulated", rights=frozenset({"read"}))
    venue = Venue(accounts=[account(key)])
    assert venue.ask("POST", "trade/order", {"instId": "BTC-USDT"})[1]["code"] == "50120"


@pytest.mark.parametrize(
    ("body", "content_type", "want"),
    [(b"", "application/json", "50000"), (b"{", "application/json", "50002"), (b"{}", "text/plain", "50006")],
)
def test_a_body_must_be_json(body, content_type, want):
    with pytest.raises(Problem) as error:
        read_body({"content-type": content_type}, body)
    assert error.value.code == want


def test_numbers_in_a_body_are_taken_as_text_and_flags_as_flags():
    body = json.dumps(
        {"sz": 1, "px": 0.0000001, "tdMode": "cash", "reduceOnly": True, "rows": [{"a": 10.50}]}
    )
    want = {"sz": "1", "px": "0.0000001", "tdMode": "cash", "reduceOnly": True, "rows": [{"a": "10.5"}]}
    assert read_body({}, body.encode()) == want


def test_the_outer_code_sums_up_the_elements():
    good, bad = {"sCode": "0"}, {"sCode": "51000"}
    assert [summary(x) for x in ([good], [bad], [good, bad], [])] == ["0", "1", "2", "0"]
    answer = Venue().post("trade/order", {"instId": "BTC-USDT"})
    assert (answer["code"], answer["msg"]) == ("1", "All operations failed")
    assert int(answer["outTime"]) > int(answer["inTime"]) > 10**15


def test_there_is_a_handler_for_every_route():
    venue = Venue()
    assert all(callable(getattr(venue.fake, x.handler)) for x in ROUTES.values())
    assert len(ROUTES) > 120


def test_every_route_answers_anything_without_falling_over():
    """Whatever the question, an answer with a code; never an exception."""
    questions = (
        "",
        "?instId=BTC-USDT",
        "?instId=BTC-USDT-SWAP&ordId=x&clOrdId=-",
        "?instType=SWAP&after=1&limit=2",
    )
    questions += ("?instType=SWAP&ordType=conditional&state=canceled&tdMode=cross&mgnMode=cross&type=1&sz=1",)
    bodies = (
        [],
        {},
        [{}],
        {"instId": 5},
        {"instId": "BTC-USDT-SWAP", "timeOut": "-1", "lever": "x"},
        "text",
        5,
        None,
    )
    for route in ROUTES:
        method, path = route.split()
        venue = Venue()
        for question in questions if method == "GET" else ("",):
            for body in bodies if method == "POST" else (None,):
                _, answer = venue.ask(method, path.removeprefix("/api/v5/") + question, body)
                assert answer["code"].isdigit()


def test_too_many_requests_are_told_with_429_and_by_fault_too():
    venue = Venue(rate_limits=True)
    codes = [venue.ask("GET", "account/config") for _ in range(6)]
    assert [x[0] for x in codes] == [200] * 5 + [429]
    assert codes[-1][1]["code"] == "50011"
    venue.now += 2 * SECOND
    assert venue.ask("GET", "account/config")[0] == 200
    faults = Faults(1)
    faults.add("ratelimit", limiter="/api/v5/account/balance")
    venue = Venue(faults=faults)
    assert venue.ask("GET", "account/balance")[1]["code"] == "50011"
    assert venue.ask("GET", "account/positions")[1]["code"] == "0"


def test_paths_and_methods_that_are_none_get_404():
    venue = Venue()
    assert venue.ask("GET", "no/such/path")[0] == 404
    assert venue.ask("DELETE", "trade/order")[0] == 404
    assert venue.ask("POST", "account/balance", {})[0] == 404


def test_the_body_of_an_error_is_an_envelope():
    status, body = error_body("50026")
    assert (status, orjson.loads(body)["code"]) == (500, "50026")


def test_a_bad_answer_may_hide_an_order():
    faults = Faults(1)
    faults.add("rest.status", status=503, body="<html>", path="trade/order", count=1, live=True)
    venue = Venue(faults=faults)
    body = {
        "instId": "BTC-USDT-SWAP",
        "tdMode": "cross",
        "side": "buy",
        "ordType": "limit",
        "px": "50000",
        "sz": "1",
    }
    with pytest.raises(orjson.JSONDecodeError):
        venue.ask("POST", "trade/order", body)
    assert len(venue.fake.open_orders()) == 1


def test_connections_of_an_address_can_be_limited():
    from node.venues.fakes import Refused

    venue = Venue(connects_per_second=3)
    for _ in range(3):
        venue.open(PUBLIC)
    with pytest.raises(Refused) as error:
        venue.open(PUBLIC)
    assert error.value.status == 429
    venue.now += SECOND
    venue.open(PUBLIC)

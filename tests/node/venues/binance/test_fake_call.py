"""Requests without their transport: JSON, parameters, the published signatures, the time window."""

from decimal import Decimal

import pytest
from binance_venue import NOW, sign_ed25519

from node.venues.binance.fake_call import (
    Call,
    Reject,
    api_call,
    check_time,
    good_id,
    is_ed25519,
    parse_request,
    rest_call,
    signature_is_good,
)
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM
from node.venues.fakes import MS, SIMULATED, Key

# Published samples of the venue's documents, not real keys.
API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SPOT = Key(API_KEY, "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j")
USDM = Key("k", "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9")
REST_TEXT = (
    "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000"
    "&timestamp=1499827319559"
)
REST_SIGNATURE = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"


@pytest.mark.parametrize("cut", [0, len("symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC"), len(REST_TEXT)])
def test_rest_is_signed_over_query_and_body_as_they_were_sent(cut):
    query, body = REST_TEXT[:cut], REST_TEXT[cut:].removeprefix("&")
    signature = REST_SIGNATURE
    if 0 < cut < len(REST_TEXT):  # no separator between the two, so the signature is another
        signature = "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"
    call = rest_call(
        BINANCE_SPOT, "POST /api/v3/order", query, f"{body}&signature={signature}".lstrip("&"), NOW
    )
    assert call.params["price"] == "0.1"
    assert signature_is_good(SPOT, call.payload, call.params["signature"])


def test_a_usdm_sample_verifies():
    text = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000"
    text += "&timestamp=1591702613943"
    signature = "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"
    call = rest_call(BINANCE_USDM, "POST", f"{text}&signature={signature}", "", NOW)
    assert signature_is_good(USDM, call.payload, signature)
    assert signature_is_good(USDM, call.payload, signature.upper())
    assert not signature_is_good(USDM, call.payload + b" ", signature)


@pytest.mark.parametrize(
    ("symbol", "text", "signature"),
    [
        (
            "BTCUSDT",
            '"price":"52000.00","quantity":"0.01000000","recvWindow":100,"side":"SELL"',
            "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24",
        ),
        (
            "１２３４５６",
            '"price":"0.10000000","quantity":"1.00000000","recvWindow":5000,"side":"BUY"',
            "b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd",
        ),
    ],
)
def test_the_websocket_api_is_signed_over_sorted_raw_text(symbol, text, signature):
    rest = f'"type":"LIMIT","timeInForce":"GTC","timestamp":1645423376532,"apiKey":"{API_KEY}"'
    params = f'{{"symbol":"{symbol}",{text},{rest},"signature":"{signature}"}}'
    message = parse_request(f'{{"id":1,"method":"order.place","params":{params}}}')
    call = api_call(BINANCE_SPOT, message, None, NOW)
    assert signature_is_good(SPOT, call.payload, signature)


def test_numbers_keep_the_text_they_were_written_in():
    message = parse_request(
        '{"id":1,"method":"x","params":{"a":0.10,"b":1e-5,"c":true,"d":["X",1.0],"e":null}}'
    )
    call = api_call(BINANCE_SPOT, message, None, NOW)
    assert call.params == {"a": "0.10", "b": "1e-5", "c": "true", "d": '["X",1.0]'}
    assert call.lists["d"][0] == "X"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "5",
        '{"method":5}',
        '{"id":1.5,"method":"x"}',
        '{"method":"x","params":[]  ,"id":{}}',
        "[" * 100_000,
        '{"id":1,"method":"x","params":{"a":NaN}}',
    ],
)
def test_what_is_no_request_is_refused(text):
    with pytest.raises(Reject) as no:
        parse_request(text)
    assert no.value.code == -1135


def test_ids_are_integers_short_words_or_null():
    assert all(good_id(x) for x in (None, 0, -5, "a", "x" * 36))
    assert not any(good_id(x) for x in (True, 1.5, "", "x" * 37, "a b", {}, []))


def call_with(**params) -> Call:
    return Call(BINANCE_SPOT, "x", params, NOW)


@pytest.mark.parametrize("text", ["1e-5", "-1", "+1", ".5", "1.", "1,0", "0x1", "１", " 1", "1" * 21])
def test_a_decimal_is_plain_digits(text):
    with pytest.raises(Reject) as no:
        call_with(price=text).exact("price")
    assert no.value.code == -1100


def test_parameters_are_read_with_their_kinds():
    call = call_with(a="12", b="0.50", c="TRUE", d="", e="BUY", f='["X"]')
    assert (call.whole("a"), call.exact("b"), call.flag("c"), call.has("d")) == (
        12,
        Decimal("0.50"),
        True,
        False,
    )
    assert (call.exact("z"), call.whole("z", 7), call.text("d", "x"), call.items("f")) == (
        None,
        7,
        "x",
        ["X"],
    )
    for wrong, code in (
        (lambda: call.need("d"), -1102),
        (lambda: call.whole("b"), -1100),
        (lambda: call.flag("a"), -1100),
        (lambda: call.choice("e", ("SELL",), ""), -1130),
        (lambda: call.items("a"), -1100),
    ):
        with pytest.raises(Reject) as no:
            wrong()
        assert no.value.code == code


@pytest.mark.parametrize(
    ("market", "stamp", "window", "code"),
    [
        (BINANCE_SPOT, NOW // MS, None, 0),
        (BINANCE_SPOT, NOW // 1000, None, 0),
        (BINANCE_USDM, NOW // 1000, None, -1021),
        (BINANCE_SPOT, NOW // MS + 999, None, 0),
        (BINANCE_SPOT, NOW // MS + 1000, None, -1021),
        (BINANCE_SPOT, NOW // MS - 5000, None, 0),
        (BINANCE_SPOT, NOW // MS - 5001, None, -1021),
        (BINANCE_SPOT, NOW // MS - 2, "1.5", -1021),
        (BINANCE_SPOT, NOW // MS, "60001", -1131),
        (BINANCE_SPOT, "x", None, -1100),
    ],
)
def test_a_request_lives_for_its_window(market, stamp, window, code):
    params = {"timestamp": str(stamp)} | ({"recvWindow": window} if window else {})
    call = Call(market, "x", params, NOW)
    if not code:
        check_time(call)
        return
    with pytest.raises(Reject) as no:
        check_time(call)
    assert no.value.code == code


def test_an_ed25519_key_signs_in_base64():
    assert is_ed25519(SIMULATED)
    assert not is_ed25519(SPOT)
    good = sign_ed25519("a=1")
    assert signature_is_good(SIMULATED, b"a=1", good)
    for payload, signature in ((b"a=2", good), (b"a=1", good[:-4]), (b"a=1", "!"), (b"a=1", "")):
        assert not signature_is_good(SIMULATED, payload, signature)
    assert not signature_is_good(SPOT, b"a=1", good)

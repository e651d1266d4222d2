"""Who may do what on the account of the wire bench."""

import hmac

import pytest

from bench import account


def query(secret: str = account.SECRET, stamp_ms: int | None = None) -> str:
    payload = f"symbol=BTCUSDT&recvWindow=1500&timestamp={account.now_ms() if stamp_ms is None else stamp_ms}"
    return f"{payload}&signature={hmac.new(secret.encode(), payload.encode(), 'sha256').hexdigest()}"


KEY = {"x-mbx-apikey": account.API_KEY}


@pytest.mark.parametrize(
    ("target", "headers", "code"),
    [
        ("/fapi/v1/time", {}, 0),
        ("/fapi/v1/depth?symbol=BTCUSDT", {}, 0),
        ("/fapi/v1/listenKey", KEY, 0),
        ("/fapi/v1/listenKey", {}, account.BAD_KEY),
        (f"/fapi/v1/openOrders?{query()}", KEY, 0),
        (f"/fapi/v1/openOrders?{query()}", {"x-mbx-apikey": "other"}, account.BAD_KEY),
        (f"/fapi/v1/openOrders?{query('wrong')}", KEY, account.BAD_SIGNATURE),
        ("/fapi/v1/openOrders", KEY, account.BAD_SIGNATURE),
        (f"/fapi/v1/openOrders?{query(stamp_ms=1)}", KEY, account.BAD_TIME),
    ],
)
def test_a_request_is_refused_for_what_is_wrong_with_it(target, headers, code):
    assert account.refuse_request(target, headers) == code


def test_parameters_of_another_order_do_not_fit_the_signature():
    params = {"apiKey": account.API_KEY, "price": "1.0", "timestamp": 5}
    payload = f"apiKey={account.API_KEY}&price=1.0&timestamp=5"
    params["signature"] = hmac.new(account.SECRET.encode(), payload.encode(), "sha256").hexdigest()
    assert account.refuse_params(params) == 0
    assert account.refuse_params(params, now=account.now_ms()) == account.BAD_TIME
    assert account.refuse_params(params | {"price": "2.0"}) == account.BAD_SIGNATURE
    assert account.refuse_params(params | {"apiKey": "other"}) == account.BAD_KEY


def test_neither_hex_nor_base64_is_a_wrong_signature():
    assert not account.is_signed("payload", "?")
    assert not account.is_signed("payload", "z" * 64)


def test_keys_are_as_long_as_the_venues():
    assert (len(account.API_KEY), len(account.SECRET)) == (64, 64)
    assert account.LISTEN_KEY.isalnum()
    assert b"PRIVATE KEY" in account.private_key_pem()

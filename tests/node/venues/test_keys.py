"""Credentials sign and are never seen."""

import pickle
from base64 import b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from node.venues.keys import Key, fingerprint, read_pem

SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
API = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"


def pem(key) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_the_hmac_is_the_one_of_binances_own_example():
    """binance-spot-api-docs `rest-api.md`, "SIGNED endpoint example"."""
    text = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1"
    text += "&recvWindow=5000&timestamp=1499827319559"
    assert Key(API, SECRET).hex(text) == "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"


def test_an_ed25519_signature_verifies_and_an_hmac_key_has_none():
    private = Ed25519PrivateKey.generate()
    key = Key(API, private_key=pem(private))
    assert key.is_ed25519
    private.public_key().verify(b64decode(key.ed25519("a=1")), b"a=1")
    with pytest.raises(ValueError, match="no Ed25519"):
        Key(API, SECRET).ed25519("a=1")


@pytest.mark.parametrize("text", ["nonsense", pem(generate_private_key(65537, 2048))])
def test_another_kind_of_private_key_is_refused_without_showing_it(text):
    with pytest.raises(ValueError, match="private key") as error:
        Key(API, private_key=text)
    assert text not in str(error.value)


def test_no_secret_is_in_any_form_of_a_key():
    key = Key(API, SECRET, "pass phrase")
    shown = f"{key!r} {key} {key.short()} {fingerprint(key)} {key.hide(f'x{SECRET}y pass phrase {API}')}"
    assert SECRET not in shown
    assert "pass phrase" not in shown
    assert API not in shown
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_a_pem_file_is_read_as_text(tmp_path):
    path = tmp_path / "key.pem"
    path.write_text("x")
    assert read_pem(path) == "x"

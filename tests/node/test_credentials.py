"""Where keys are read from, and what is said when they cannot be."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from node.config import KeyConfig
from node.credentials import read_key
from node.errors import UserError

SECRET = "s3cr3t-that-nobody-may-see"


def test_a_key_comes_from_the_environment_or_a_file_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setenv("VENUE_KEY", " public \n")
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    key = read_key(KeyConfig("sim", "env:VENUE_KEY", f"file:{path}"), "venue x")
    assert key.api_key == "public"
    assert key.secret() == SECRET.encode()


def test_an_ed25519_key_is_a_pem(tmp_path):
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path / "key.pem"
    path.write_bytes(pem)
    path.chmod(0o600)
    assert read_key(KeyConfig("sim", "plain:k", private_key=f"file:{path}"), "venue x").is_ed25519


@pytest.mark.parametrize(
    ("reference", "mode", "text", "said"),
    [
        ("env:NOT_THERE", 0o600, "x", "environment variable NOT_THERE is not set"),
        ("file:{}", 0o644, SECRET, "chmod 600"),
        ("file:{}", 0o600, "", "is empty"),
        ("file:{}x", 0o600, "x", "No such file"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_its_place_and_without_the_secret(
    tmp_path, monkeypatch, reference, mode, text, said
):
    monkeypatch.delenv("NOT_THERE", raising=False)
    path = tmp_path / "secret"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(UserError, match=said) as error:
        read_key(KeyConfig("sim", "plain:k", reference.format(path)), "venue okx")
    assert str(error.value).startswith("venue okx: key: secret: ")
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("private", ["nonsense", SECRET])
def test_a_private_key_that_is_none_is_not_shown(private):
    with pytest.raises(UserError, match="private key") as error:
        read_key(KeyConfig("sim", "plain:k", private_key=f"plain:{private}"), "venue x")
    assert private not in str(error.value)


@pytest.mark.parametrize("api_key", ["two words", "kéy", "tab\there"])
def test_an_api_key_is_one_word(api_key):
    with pytest.raises(UserError, match="one word"):
        read_key(KeyConfig("sim", f"plain:{api_key}", "plain:x"), "venue x")

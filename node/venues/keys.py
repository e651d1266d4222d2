"""Credentials: they sign, and nothing else ever shows them."""

import hashlib
import hmac
from base64 import b64encode
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

HIDDEN = "***"


class Key:
    """An API key and what proves that it is ours: an HMAC secret, or an Ed25519 private key as PEM text.

    Raises ValueError (without the secret in it) where `private_key` is given and is not such a key.
    """

    __slots__ = ("_passphrase", "_private", "_secret", "api_key")

    def __init__(self, api_key: str, secret: str = "", passphrase: str = "", private_key: str = ""):
        self.api_key = api_key
        self._secret, self._passphrase = secret.encode(), passphrase
        self._private: Ed25519PrivateKey | None = _private(private_key) if private_key else None

    @property
    def is_ed25519(self) -> bool:
        return self._private is not None

    def hex(self, message: str) -> str:
        """HMAC-SHA256 of the message in hex (Binance, Bybit)."""
        return hmac.digest(self._secret, message.encode(), "sha256").hex()

    def base64(self, message: str) -> str:
        """HMAC-SHA256 of the message in base64 (OKX)."""
        return b64encode(hmac.digest(self._secret, message.encode(), "sha256")).decode()

    def ed25519(self, message: str) -> str:
        """Ed25519 signature of the message in base64 (Binance). ValueError where this is an HMAC key."""
        if self._private is None:
            raise ValueError("this key has no Ed25519 private key")
        return b64encode(self._private.sign(message.encode())).decode()

    def passphrase(self) -> str:
        return self._passphrase

    def secret(self) -> bytes:
        """For the native signer only."""
        return self._secret

    def hide(self, text: str) -> str:
        """`text` without any secret in it; the API key shortened."""
        for word in (self._secret.decode(), self._passphrase):
            if len(word) > 3:
                text = text.replace(word, HIDDEN)
        return text.replace(self.api_key, self.short()) if len(self.api_key) > 8 else text

    def short(self) -> str:
        """Enough of the API key to recognise it."""
        return f"{self.api_key[:4]}..." if len(self.api_key) > 8 else HIDDEN

    def __repr__(self) -> str:
        return f"Key({self.short()})"

    def __reduce__(self) -> tuple:
        raise TypeError("a key is not to be copied or stored")


def _private(text: str) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the private key is not an unencrypted PEM key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("the private key is not an Ed25519 key")
    return key


def read_pem(path: Path) -> str:
    """The text of a PEM file. OSError where it cannot be read."""
    return path.read_text()


def fingerprint(key: Key) -> str:
    """Tells two keys apart in a record without showing either."""
    return hashlib.blake2b(key.api_key.encode(), digest_size=6).hexdigest()

"""TLS is verified always, and what it refuses is told apart from a network that does not work."""

import ssl
from datetime import UTC, datetime

import aiohttp
import pytest

from node.errors import Unreachable
from node.net import tls
from node.sim.tls import self_signed


@pytest.fixture(autouse=True)
def anew():
    tls.context.cache_clear()
    yield
    tls.context.cache_clear()


def test_certificates_and_names_are_checked_and_old_protocols_are_not_spoken():
    context = tls.context()
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert tls.context() is context


def test_what_is_told_names_the_class():
    refused = ssl.SSLCertVerificationError(1, "[SSL] certificate verify failed: x")
    refused.verify_message = "certificate has expired"
    assert tls.why(refused) == "TLS: certificate refused: certificate has expired"
    key = aiohttp.client_reqrep.ConnectionKey("h", 443, True, True, None, None, None)
    assert tls.why(aiohttp.ClientConnectorCertificateError(key, refused)) == tls.why(refused)
    assert tls.why(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong")).startswith("TLS: ")
    assert tls.why(ConnectionRefusedError(111, "Connection refused")) == "nothing listens there"
    assert tls.why(OSError(101, "raw")) == "Network is unreachable"
    assert tls.why(TimeoutError()) == "TimeoutError"
    dns = aiohttp.ClientConnectorDNSError(key, Unreachable("h: name not found: x"))
    assert tls.why(dns) == "h: name not found: x"


def test_a_bundle_whose_certificates_have_all_expired_or_are_none_is_named(tmp_path, monkeypatch):
    bundle = tmp_path / "bundle.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    self_signed(bundle)
    assert tls.bundle_trouble() == ""
    assert tls.bundle_trouble(datetime(2050, 1, 1, tzinfo=UTC).timestamp()) == (
        f"TLS: {bundle}: every certificate in it has expired: renew it"
    )
    bundle.write_text("")
    assert "no certificate in it" in tls.bundle_trouble()

"""Certificates of the simulated venues, seen by a client that verifies."""

import ssl
from datetime import UTC, datetime

import pytest

from node.sim.tls import load, self_signed


def shake(server: ssl.SSLContext, trusted, name: str = "localhost") -> str:
    """A handshake in memory; "" or the client's complaint."""
    client = ssl.create_default_context(cafile=str(trusted))
    a, b = (ssl.MemoryBIO(), ssl.MemoryBIO())
    ours = server.wrap_bio(a, b, server_side=True)
    theirs = client.wrap_bio(b, a, server_hostname=name)
    for _ in range(6):
        for side in (theirs, ours):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
    return ""


def test_a_client_that_trusts_the_written_certificate_gets_through(tmp_path):
    context = self_signed(tmp_path / "cert.pem")
    assert shake(context, tmp_path / "cert.pem") == ""
    assert shake(context, tmp_path / "cert.pem", "127.0.0.1") == ""


def test_another_name_and_an_expired_certificate_are_refused(tmp_path):
    cert = tmp_path / "cert.pem"
    assert "expired" in shake(self_signed(cert, not_after=datetime(2021, 1, 1, tzinfo=UTC)), cert)
    assert "mismatch" in shake(self_signed(cert, names=("example.org",)), cert)


def test_a_stranger_to_the_certificate_is_not_trusted(tmp_path):
    self_signed(tmp_path / "other.pem")
    assert "self-signed" in shake(self_signed(), tmp_path / "other.pem").replace(" ", "-")


def test_files_that_are_no_certificate_are_an_error(tmp_path):
    (tmp_path / "a.pem").write_text("nothing")
    with pytest.raises(OSError, match="PEM"):
        load(tmp_path / "a.pem", tmp_path / "a.pem")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "b.pem", tmp_path / "b.pem")

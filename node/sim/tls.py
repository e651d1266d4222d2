"""TLS of the simulated venues: a certificate from files, or one made on the spot for loopback."""

import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAMES = ("localhost", "127.0.0.1")
NOT_BEFORE, NOT_AFTER = datetime(2020, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, tzinfo=UTC)


def load(cert: Path, key: Path) -> ssl.SSLContext:
    """A server's context from PEM files. Raises OSError or ssl.SSLError, which is one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def self_signed(
    cert: Path | None = None, names: tuple[str, ...] = NAMES, not_after: datetime = NOT_AFTER
) -> ssl.SSLContext:
    """A server's context with a new key and a certificate that signs itself, for `names`. Where `cert` is
    given, the certificate is written there, for clients to trust. An old `not_after` or other names make the
    certificates that a client must refuse."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = _certificate(key, names, not_after).public_bytes(serialization.Encoding.PEM)
    if cert is not None:
        cert.write_bytes(pem)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with tempfile.TemporaryDirectory() as folder:
        cert_path, key_path = Path(folder, "cert.pem"), Path(folder, "key.pem")
        cert_path.write_bytes(pem)
        key_path.touch(mode=0o600)
        key_path.write_bytes(private)
        return load(cert_path, key_path)


def _certificate(
    key: ec.EllipticCurvePrivateKey, names: tuple[str, ...], not_after: datetime
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tickgate sim")])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(NOT_BEFORE, not_after - timedelta(days=1)))
        .not_valid_after(not_after)
        .add_extension(x509.SubjectAlternativeName([_name(x) for x in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)

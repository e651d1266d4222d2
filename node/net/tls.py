"""TLS of the node's own connections: always verified, and told apart from a network that does not work.

There is no setting that switches verification off. Where a venue's certificate is signed by somebody of one's
own, `SSL_CERT_FILE` names the bundle, as for every other program.
"""

import errno
import os
import ssl
import time
from functools import cache

from node.errors import Unreachable

LOWEST = ssl.TLSVersion.TLSv1_2


@cache
def context() -> ssl.SSLContext:
    """The context of all connections: certificates and names are checked, TLS 1.2 at least. Made once: it
    takes 30 ms to read what the machine trusts."""
    out = ssl.create_default_context()
    out.minimum_version = LOWEST
    return out


def why(error: BaseException) -> str:
    """What to tell of a connection that could not be made: "TLS: ..." where somebody answered and could not
    prove who they are, or speaks no TLS; else the network's own words."""
    told = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    if isinstance(told, ssl.SSLCertVerificationError):
        return f"TLS: certificate refused: {told.verify_message}"
    if isinstance(told, ssl.SSLError):
        return f"TLS: {getattr(told, 'reason', '') or told}"
    if isinstance(told, Unreachable):  # our own words, wrapped
        return str(told)
    number = getattr(told, "errno", None) or 0
    if number == errno.ECONNREFUSED:
        return "nothing listens there"
    if number > 0:
        return os.strerror(number)
    return str(error) or type(error).__name__


def bundle_trouble(now_s: float | None = None) -> str:
    """What is wrong with the certificates that this machine trusts, "" where nothing is: none are there, or
    each has expired. A person must renew them (the package ca-certificates) before every connection fails."""
    paths = ssl.get_default_verify_paths()
    found = ssl.create_default_context().get_ca_certs()
    if not found:
        if paths.cafile is None:
            return "" if paths.capath else "TLS: this machine trusts no certificate at all: install a bundle"
        return f"TLS: {paths.cafile}: no certificate in it: install a bundle"
    ends_s = max(ssl.cert_time_to_seconds(str(x["notAfter"])) for x in found)
    if ends_s <= (time.time() if now_s is None else now_s):
        return f"TLS: {paths.cafile or paths.capath}: every certificate in it has expired: renew it"
    return ""

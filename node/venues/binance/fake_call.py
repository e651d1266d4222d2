"""One request to the simulated Binance, whichever transport brought it: parameters, refusals, signatures,
time.

REST parameters are text; WebSocket API parameters are JSON, whose numbers keep the text they were written in,
because that text is what was signed. Every way of being wrong has its documented code and text.

Sources: binance-spot-api-docs `rest-api.md` and `web-socket-api.md` (Request security, Timing security),
`errors.md`; USD-M developer pages "general-info", "error-code".
"""

import hmac
import json
import re
from base64 import b64decode
from collections.abc import Collection
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import orjson

from node.venues.binance.rules import BINANCE_SPOT
from node.venues.fakes import MS, Connection

DECIMAL = re.compile(r"([0-9]{1,20})(\.[0-9]{1,20})?")
INTEGER = re.compile(r"-?[0-9]{1,19}")
DECIMAL_RANGE = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
INTEGER_RANGE = "^[0-9]{1,20}$"
REQUEST_ID = re.compile(r"[a-zA-Z0-9_-]{1,36}")
SIGNATURE = re.compile(r"(^|&)signature=[^&]*")
HEX_64 = re.compile(r"[0-9a-fA-F]{64}")
WINDOW_DEFAULT_MS, WINDOW_MAX_MS = 5000, 60000
AHEAD_MAX_MS = 1000
MICROSECONDS_FROM = 10**15  # a timestamp of that size is in microseconds


class Reject(Exception):
    """The venue says no: error code, text, HTTP (or WebSocket API) status, and `data` where it has any."""

    def __init__(self, code: int, text: str, status: int = 400, data: object = None):
        super().__init__(text)
        self.code, self.text, self.status, self.data = code, text, status, data
        self.retry_after_ns = 0  # how long to stay away, of a 429 or 418


class Number(str):
    """A JSON number as it was written."""


def dump(value: object) -> str:
    return orjson.dumps(value).decode()


def missing(name: str) -> Reject:
    return Reject(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def illegal(name: str, legal: str) -> Reject:
    return Reject(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def invalid(name: str) -> Reject:
    return Reject(-1130, f"Data sent for parameter '{name}' is not valid.")


def no_access(status: int = 401) -> Reject:
    return Reject(-2015, "Invalid API-key, IP, or permissions for action.", status)


@dataclass(eq=False)
class Call:
    """A request without its transport. `account` and `key` are set once it is authenticated."""

    market: int
    name: str  # WebSocket API method, or method and path
    params: dict[str, str]
    now_ns: int
    is_rest: bool = True
    connection: Connection | None = None
    payload: bytes = b""  # what the signature is made over
    api_key: str = ""
    ip: str = "127.0.0.1"
    account: Any = None
    key: Any = None
    has_order_counts: bool = False  # an order request: its answer tells the order counters
    is_trusted: bool = False  # the venue asks for no credentials: nothing is verified
    ordered: Any = None  # the order that it was about
    in_batch: bool = False
    is_missing: bool = False  # a fault: this item of a batch is left out of the answer
    lists: dict[str, list] = field(default_factory=dict)  # parameters that came as JSON arrays

    @property
    def is_spot(self) -> bool:
        return self.market == BINANCE_SPOT

    @property
    def now_ms(self) -> int:
        return self.now_ns // MS

    def has(self, name: str) -> bool:
        return self.params.get(name, "") != ""

    def text(self, name: str, default: str = "") -> str:
        return self.params.get(name) or default

    def need(self, *names: str) -> None:
        """Raises the refusal of a request without one of them."""
        for name in names:
            if not self.has(name):
                raise missing(name)

    def whole(self, name: str, default: int = 0, least: int = 0) -> int:
        """An integer parameter."""
        if not self.has(name):
            return default
        if not INTEGER.fullmatch(self.params[name]):
            raise illegal(name, INTEGER_RANGE)
        value = int(self.params[name])
        if value < least:
            raise illegal(name, INTEGER_RANGE)
        return value

    def exact(self, name: str) -> Decimal | None:
        """A decimal parameter; None where it was not sent. An exponent or a sign is refused, as by the
        venue."""
        if not self.has(name):
            return None
        if not DECIMAL.fullmatch(self.params[name]):
            raise illegal(name, DECIMAL_RANGE)
        return Decimal(self.params[name])

    def flag(self, name: str, default: bool = False) -> bool:
        if not self.has(name):
            return default
        text = self.params[name].lower()
        if text not in ("true", "false"):
            raise illegal(name, "^(true|false)$") if self.is_spot else invalid(name)
        return text == "true"

    def choice(self, name: str, allowed: Collection[str], default: str, wrong: Reject | None = None) -> str:
        """One of some words."""
        if not self.has(name):
            return default
        if self.params[name] not in allowed:
            raise wrong or invalid(name)
        return self.params[name]

    def items(self, name: str) -> list:
        """A JSON array, sent as such or as text."""
        if name in self.lists:
            return self.lists[name]
        try:
            value = orjson.loads(self.params.get(name, ""))
        except orjson.JSONDecodeError:
            value = None
        if not isinstance(value, list):
            raise illegal(name, '^\\["[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}\\]$')
        return value


# ---- JSON requests -----------------------------------------------------------------------------------


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def parse_request(text: str) -> dict:
    """A WebSocket API request: `id`, `method`, `params`; numbers in `params` as they were written."""
    bad = Reject(-1135, "Invalid JSON Request")
    try:
        message = json.loads(text, parse_float=Number, parse_int=Number, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise bad from None
    method = message.get("method") if isinstance(message, dict) else None
    if not isinstance(method, str) or isinstance(method, Number):
        raise bad
    number = message.get("id")
    if isinstance(number, Number):
        message["id"] = number = int(number) if INTEGER.fullmatch(number) else 0.5
    if not good_id(number) or not isinstance(message.get("params") or {}, dict):
        raise bad
    return message


def good_id(value: object) -> bool:
    """Is this an id that the venue accepts: an integer, up to 36 letters and digits, or null?"""
    if isinstance(value, str):
        return REQUEST_ID.fullmatch(value) is not None
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def plain(value: object) -> str:
    """A JSON value as signed: numbers as written, booleans in lower case, no quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return dump(_written(value))
    return "" if value is None else str(value)


def _written(value: object) -> object:
    """Numbers of a JSON value as numbers again."""
    if isinstance(value, Number):
        return orjson.Fragment(value.encode())
    if isinstance(value, list):
        return [_written(x) for x in value]
    return {k: _written(x) for k, x in value.items()} if isinstance(value, dict) else value


def api_call(market: int, message: dict, connection: Connection, now_ns: int) -> Call:
    """The call a WebSocket API request makes; signed over its parameters, sorted by name."""
    raw = message.get("params") or {}
    params = {name: plain(value) for name, value in raw.items() if value is not None}
    payload = "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature")
    lists = {name: value for name, value in raw.items() if isinstance(value, list)}
    return Call(
        market,
        message["method"],
        params,
        now_ns,
        is_rest=False,
        connection=connection,
        payload=payload.encode(),
        api_key=params.get("apiKey", ""),
        lists=lists,
    )


def rest_call(market: int, name: str, query: str, body: str, now_ns: int) -> Call:
    """The call a REST request makes; signed over query and body as they were sent. The query wins. `body` is
    the bytes as latin-1."""
    params = dict(parse_qsl(body, keep_blank_values=True)) | dict(parse_qsl(query, keep_blank_values=True))
    payload = SIGNATURE.sub("", query) + SIGNATURE.sub("", body)
    return Call(market, name, params, now_ns, payload=payload.encode("latin-1"))


# ---- signatures and time -----------------------------------------------------------------------------


def check_signature(call: Call, key: Any) -> None:
    """Raises -1022 unless the signature is the key's: HMAC-SHA256 in hex, or Ed25519 or RSA in base64."""
    if not signature_is_good(key, call.payload, call.params.get("signature", "")):
        raise Reject(-1022, "Signature for this request is not valid.")


def signature_is_good(key: Any, payload: bytes, signature: str) -> bool:
    if key.secret and HEX_64.fullmatch(signature):
        mac = hmac.new(key.secret.encode(), payload, "sha256").hexdigest()
        return hmac.compare_digest(mac, signature.lower())
    if not key.public_key_pem:
        return False
    try:
        return _verifies(key.public_key_pem, b64decode(signature, validate=True), payload)
    except ValueError:
        return False


@lru_cache(maxsize=64)
def _public_key(pem: str) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    return load_pem_public_key(pem.encode())


def _verifies(pem: str, signature: bytes, payload: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    public = _public_key(pem)
    try:
        if isinstance(public, Ed25519PublicKey):
            public.verify(signature, payload)
        else:
            public.verify(signature, payload, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def is_ed25519(key: Any) -> bool:
    """May this key log a session on?"""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return bool(key.public_key_pem) and isinstance(_public_key(key.public_key_pem), Ed25519PublicKey)


def check_time(call: Call) -> None:
    """A request lives from 1 s before its timestamp to recvWindow behind it. Spot takes microseconds too."""
    call.need("timestamp")
    stamp = Decimal(call.whole("timestamp"))
    if call.is_spot and stamp >= MICROSECONDS_FROM:
        stamp /= 1000
    window = call.exact("recvWindow")
    window = Decimal(WINDOW_DEFAULT_MS) if window is None else window
    if window > WINDOW_MAX_MS:
        raise Reject(-1131, "recvWindow must be less than 60000")
    now_ms = Decimal(call.now_ns) / MS
    if stamp >= now_ms + AHEAD_MAX_MS:
        raise Reject(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if call.now_ms - int(stamp) > window:
        raise Reject(-1021, "Timestamp for this request is outside of the recvWindow.")

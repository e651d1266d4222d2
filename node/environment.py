"""Which environment is meant: what the config calls it, what its key was made for and where its addresses
lead
must be one and the same.

A key of one environment on a host of another is refused by the venue at best; at worst, practice becomes
money.
"""

from urllib.parse import urlsplit

from ext.records import Market
from node.errors import UserError
from node.venues.binance import rules as binance
from node.venues.bybit import rules as bybit
from node.venues.okx import rules as okx

ENVIRONMENTS = ("sim", "testnet", "demo", "live")
ARM = "I accept the risk"
LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


def hosts(market: int, environment: str) -> frozenset[str]:
    """Host names that a market may be reached at in an environment; some serve several."""
    if environment == "sim":
        return LOCAL
    if market in (Market.BINANCE_SPOT, Market.BINANCE_USDM):
        return binance.OFFICIAL_HOSTS.get((market, environment), frozenset())
    rules = okx if market == Market.OKX else bybit
    return rules.OFFICIAL_HOSTS.get(environment, frozenset())


def environments(market: int, url: str) -> tuple[str, ...]:
    """The environments that the host of `url` is known to serve; none where nobody knows it."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    return tuple(x for x in ENVIRONMENTS if host in hosts(market, x))


def check_environment(
    place: str, market: int, environment: str, key_environment: str | None, urls: list[str]
) -> None:
    """Do the three agree? A host that nobody knows may be asked for market data only: no key goes there.
    Raises UserError naming which two differ."""
    if key_environment is not None and key_environment != environment:
        raise UserError(
            f"{place}: environment {environment!r}, but the key is of {key_environment!r}: "
            "use a key that was made for it"
        )
    for url in urls:
        served = environments(market, url)
        if environment in served or (not served and key_environment is None and environment != "sim"):
            continue
        if served:
            what = f"is of {' or '.join(map(repr, served))}"
        else:
            what = "is of no environment that is known, and a key is sent to official hosts only"
        good = ", ".join(sorted(hosts(market, environment))) or "none: this venue has no such environment"
        raise UserError(f"{place}: environment {environment!r}, but {url!r} {what}; its hosts are {good}")


def check_arm(place: str, environment: str, has_key: bool, arm: str) -> None:
    """Real money asks for words. Raises UserError."""
    if environment == "live" and has_key and arm != ARM:
        raise UserError(
            f"{place}: environment 'live' with a key needs arm = \"{ARM}\" at the top of the file"
        )

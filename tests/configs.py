"""Configs of tests: tables and limits that let everything pass, so that a test states only what it is
about."""

from node.config import is_perpetual
from node.sim.play import LEVERAGE, limits, limits_text, tables, tables_text

HERE = "ws://127.0.0.1:1"
KEY = {"environment": "sim"} | dict.fromkeys(("api_key", "secret", "passphrase"), "plain:simulated")
KEY_TEXT = (
    'key = { environment = "sim", api_key = "plain:simulated", secret = "plain:simulated", '
    'passphrase = "plain:simulated" }\n'
)


def venue(market: str, **more) -> dict:
    """A [[venue]] of simulated venues."""
    return {
        "market": market,
        "environment": "sim",
        "streams": [HERE],
        "rest": "http://127.0.0.1:1",
        "orders": HERE,
        "key": KEY,
    } | more


def instrument(market: str, symbol: str, most: str = "1", most_value: str = "100000", **more) -> dict:
    """An [[instrument]] with limits; `limits`: what replaces some of them."""
    perpetual = is_perpetual(market, symbol)
    row = {"market": market, "symbol": symbol, "limits": limits(most, most_value, perpetual=perpetual)}
    row |= {"leverage": LEVERAGE[market]} if perpetual else {}
    row["limits"] |= more.pop("limits", {})
    return row | more


def instrument_text(market: str, symbol: str, most: str = "1", most_value: str = "100000", **more) -> str:
    """The same as TOML, open for [instrument.quote]."""
    perpetual = is_perpetual(market, symbol)
    head = f'[[instrument]]\nmarket = "{market}"\nsymbol = "{symbol}"\n'
    head += f"leverage = {LEVERAGE[market]}\n" if perpetual else ""
    return head + "[instrument.limits]\n" + limits_text(most, most_value, perpetual=perpetual, **more)


__all__ = ["HERE", "KEY", "KEY_TEXT", "instrument", "instrument_text", "tables", "tables_text", "venue"]

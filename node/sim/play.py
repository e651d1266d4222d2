"""Limits for money that is not real: wide enough for whatever a demo, a soak or a bench does on simulated
venues.

Never for anything else: a config of a person states its own.
"""

import tomllib
from typing import Any

LEVERAGE = {
    "binance-usdm": 20,
    "bybit-linear": 10,
    "okx": 20,
}  # what accounts of the simulated venues have set
TABLES = """\
[account]
max_open_orders = 1024
max_coin_quote = "off"
max_venue_quote = "off"
max_total_quote = "off"
max_leverage = "20"
min_margin_free_bps = "off"
min_liquidation_bps = "off"
max_daily_loss_quote = "off"
max_drawdown_bps = 5000
max_strategy_faults = 100
[rate]
orders = {orders}
amends = {orders}
cancels = "off"
window_ms = 1000
max_cancels_per_fill = "off"
max_same_side_fills = "off"
max_round_trips = "off"
[stops]
on_position_loss = "flatten"
on_daily_loss = "flatten"
on_drawdown = "flatten"
on_margin = "reduce"
exit_slippage_bps = 40
exit_retry_ms = 500
cooldown_s = 10
protect_bps = 0
[compliance]
profile = "unrestricted"
"""
LIMITS = """\
max_order_base = "{most}"
max_order_quote = "{most_value}"
max_position_base = "{most}"
max_open_orders = {open_orders}
max_open_quote = "off"
collar_bps = {collar_bps}
collar_walk_bps = "off"
max_slippage_bps = "off"
max_spread_bps = "off"
max_range_bps = "off"
max_jump_bps = "off"
stale_ms = {stale_ms}
duplicate_ms = 0
max_position_loss_quote = "off"
"""
PERPETUAL = """\
funding_max_bps = "off"
maintenance_bps = 100
"""


def tables_text(orders: int = 1000) -> str:
    """The tables over everything, as TOML; `orders`: new ones in a second."""
    return TABLES.format(orders=orders)


def tables(orders: int = 1000) -> dict[str, Any]:
    """The same as a dict."""
    return tomllib.loads(tables_text(orders))


def limits_text(
    most: str,
    most_value: str,
    *,
    perpetual: bool,
    collar_bps: int = 100,
    stale_ms: int = 2000,
    open_orders: int = 4,
) -> str:
    """What stands below [instrument.limits], as TOML: an order and a position of `most` base coins, an
    order of `most_value`."""
    text = LIMITS.format(
        most=most, most_value=most_value, collar_bps=collar_bps, stale_ms=stale_ms, open_orders=open_orders
    )
    return text + (PERPETUAL if perpetual else "")


def limits(most: str, most_value: str, *, perpetual: bool, **more: int) -> dict[str, Any]:
    """The same as a dict."""
    return tomllib.loads(limits_text(most, most_value, perpetual=perpetual, **more))

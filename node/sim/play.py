"""Limits for money that is not real: wide enough for whatever a drill, a soak or a bench does on simulated
venues; and for the demo, every control with a value that somebody might choose.

Never for anything else: a config of a person states its own.
"""

import tomllib
from decimal import Decimal
from typing import Any

LEVERAGE = {
    "binance-usdm": 20,
    "bybit-linear": 10,
    "okx": 20,
}  # what accounts of the simulated venues have set
STOPS = """\
[stops]
on_position_loss = "flatten"
on_daily_loss = "flatten"
on_drawdown = "flatten"
on_margin = "reduce"
exit_slippage_bps = 40
exit_retry_ms = 500
"""
TABLES = (
    """\
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
"""
    + STOPS
    + """\
cooldown_s = 10
protect_bps = 0
[compliance]
profile = "unrestricted"
"""
)
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


SHOWN_TABLES = (
    """\
[account]
max_open_orders = 50
max_coin_quote = "{most:.2f}"
max_venue_quote = "{most:.2f}"
max_total_quote = "{total:.2f}"
max_leverage = "5"
min_margin_free_bps = 2000
min_liquidation_bps = 500
max_daily_loss_quote = "{loss:.2f}"
max_drawdown_bps = 1000
max_strategy_faults = 10
[rate]
orders = 100
amends = 100
cancels = 200
window_ms = 1000
max_cancels_per_fill = 500
cancels_window_s = 3600
max_same_side_fills = 1000
max_round_trips = 1000
repeat_window_s = 10
"""
    + STOPS
    + """\
cooldown_s = 60
protect_bps = 300
[compliance]
profile = "unrestricted"
"""
)
# A synthetic market is liquid and calm; a recorded one may be anything.
SHOWN_LIMITS = """\
max_order_base = "{size:f}"
max_order_quote = "{value:.8f}"
max_position_base = "{size:f}"
max_open_orders = 4
max_open_quote = "{open_value:.8f}"
collar_bps = 50
collar_walk_bps = {walk}
collar_walk_s = 60
max_slippage_bps = 20
max_spread_bps = {spread}
max_range_bps = {walk}
range_s = 60
max_jump_bps = {jump}
jump_ms = 500
jump_pause_s = 1
stale_ms = {stale_ms}
duplicate_ms = 0
max_position_loss_quote = "{loss:.8f}"
"""
SHOWN_PERPETUAL = """\
funding_max_bps = 50
funding_window_s = 300
maintenance_bps = 100
"""


def shown_tables_text(total: Decimal) -> str:
    """The demo's tables over everything. `total`: quote currency that all positions may come to; a quarter of
    it may be lost in a day, four fifths may be in one coin or at one venue."""
    return SHOWN_TABLES.format(total=total, most=total * 4 / 5, loss=total / 4)


def shown_limits_text(
    size: Decimal, value: Decimal, *, perpetual: bool, is_recorded: bool, stale_ms: int
) -> str:
    """The demo's limits of one instrument: a position of `size` base coins, worth `value` of quote currency;
    a tenth of that may be lost."""
    walk, spread, jump = (2000, 500, 1000) if is_recorded else (300, 50, 100)
    text = SHOWN_LIMITS.format(
        size=size, value=value, open_value=2 * value, loss=value / 10,
        walk=walk, spread=spread, jump=jump, stale_ms=stale_ms,
    )  # fmt: skip
    return text + (SHOWN_PERPETUAL if perpetual else "")


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

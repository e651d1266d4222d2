"""The limits in force: on the venue's grid, under the profile, and against those of the last run."""

from dataclasses import replace
from decimal import Decimal

import configs
import msgspec
import pytest

from ext.engine import Engine
from ext.instruments import Instruments
from ext.limits import LimitTable
from ext.records import Market
from node.compliance import Compliance, TimeRule, profile_of
from node.config import Config, check
from node.errors import HeldBack, UserError
from node.limits import (
    Change,
    LooserLimits,
    apply,
    apply_stops,
    base_per_lot,
    changes,
    effective_limits,
    lots_of,
)
from node.venues.values import InstrumentRow

OKX, SPOT = int(Market.OKX), int(Market.BINANCE_SPOT)
SWAP = InstrumentRow(
    OKX,
    "BTC-USDT-SWAP",
    "0.1",
    "0.01",
    base="BTC",
    quote="USDT",
    is_perpetual=True,
    contract="0.01",
    max_leverage="50",
)
COIN = InstrumentRow(SPOT, "BTCUSDT", "0.01", "0.00001", base="BTC", quote="USDT", min_size="0.0001")
NUMBERS = {(OKX, "BTC-USDT-SWAP"): 0, (SPOT, "BTCUSDT"): 1}
RULE = {"days": ["fri"], "between": "09:00-10:00", "zone": "UTC"}


def table() -> Instruments:
    made = Instruments(2)
    made.add(OKX, SWAP.symbol, SWAP.tick, SWAP.lot, is_perpetual=True, contract=SWAP.contract)
    made.add(SPOT, COIN.symbol, COIN.tick, COIN.lot, min_size=COIN.min_size)
    return made


def config_of(limits=None, account=None, compliance=None, **instrument) -> Config:
    raw = {"mode": "sim", **configs.tables(), "venue": [configs.venue("okx"), configs.venue("binance-spot")]}
    raw["account"] |= account or {}
    raw["compliance"] |= compliance or {}
    raw["instrument"] = [
        configs.instrument("okx", "BTC-USDT-SWAP", limits=limits or {}) | instrument,
        configs.instrument("binance-spot", "BTCUSDT", limits=limits or {}),
    ]
    config = msgspec.convert(raw, Config)
    check(config, "test")
    return config


def effective(config=None, rows=None):
    config = config or config_of()
    rows = rows or {(OKX, "BTC-USDT-SWAP"): SWAP, (SPOT, "BTCUSDT"): COIN}
    return effective_limits(config, profile_of(config.compliance, "test"), rows, table(), NUMBERS)


def gate(config=None) -> dict:
    made = table()
    engine = Engine(made)
    found = effective(config)
    apply(found, engine.risk, made, NUMBERS, 1_790_000_000 * 10**9)
    apply_stops(found, engine, NUMBERS)
    return engine.risk.table.as_dict()


def test_sizes_are_base_coins_on_every_venue_floored_to_lots():
    made = table()
    assert base_per_lot(made, 0) == Decimal("0.0001")
    assert [lots_of(made, n, "0.12345678") for n in (0, 1)] == [1234, 12345]
    found = effective(config_of(limits={"max_order_base": "0.12345678"})).tables
    assert found["okx BTC-USDT-SWAP"]["max_order_base"] == "0.1234"
    assert found["binance-spot BTCUSDT"]["max_order_base"] == "0.12345"
    assert gate(config_of(limits={"max_order_base": "0.12345678"}))["instruments"][0]["max_size_lots"] == 1234


def test_a_limit_that_lets_nothing_through_says_the_smallest_that_does():
    limits = {"max_order_base": "0.00009", "max_position_base": "1"}
    with pytest.raises(UserError) as caught:
        effective(config_of(limits=limits))
    assert str(caught.value) == (
        "okx BTC-USDT-SWAP: limits: max_order_base '0.00009': is less than the smallest order; "
        '"0.0001" works'
    )


def test_everything_reaches_the_gate_in_its_units():
    limits = {
        "collar_walk_bps": 300,
        "collar_walk_s": 60,
        "max_jump_bps": 70,
        "jump_ms": 500,
        "jump_pause_s": 5,
    }
    found = gate(config_of(limits=limits, account={"max_leverage": "4.5", "min_liquidation_bps": 500}))
    row = found["instruments"][0]
    assert (row["walk_ppm"], row["walk_ns"], row["range_ppm"]) == (30_000, 60 * 10**9, -1)
    assert (row["jump_ppm"], row["jump_ns"], row["jump_pause_ns"]) == (7000, 500 * 10**6, 5 * 10**9)
    assert (row["leverage"], row["maintenance_ppm"], row["max_notional_e8"]) == (20, 10_000, 100_000 * 10**8)
    assert found["instruments"][1]["leverage"] == 0
    account = found["account"]
    assert (account["max_leverage_milli"], account["liquidation_ppm"]) == (4500, 50_000)
    assert (account["max_coin_e8"], account["max_drawdown_ppm"]) == (-1, 500_000)
    assert (found["flow"]["orders"], found["flow"]["cancels"], found["flow"]["trade_ratio_milli"]) == (
        1000,
        -1,
        -1,
    )


def test_the_tighter_of_profile_and_limits_is_in_force_and_it_is_told():
    config = config_of(
        account={"max_total_quote": "1000"},
        compliance={"profile": "retail", "max_leverage_perpetual": 20, "max_orders_per_trade": 7},
    )
    found = effective(config)
    account = found.tables["account"]
    assert (account["max_leverage"], account["max_coin_quote"], account["max_total_quote"]) == (
        "2",
        "10000",
        "1000",
    )
    assert found.clamped == {("account", "max_leverage"): "20", ("account", "max_coin_quote"): "off"}
    flow = gate(config)["flow"]
    assert (flow["trade_ratio_milli"], flow["day_trades"], flow["day_trade_days"]) == (7000, 3, 5)
    assert flow["day_trade_below_e8"] == 25_000 * 10**8


@pytest.mark.parametrize(
    ("config", "row", "told"),
    [
        ({"leverage": 51}, {}, "leverage 51: the venue sells at most 50"),
        ({"compliance": {"profile": "retail"}}, {}, "leverage 20: the compliance profile allows 2"),
        ({}, {"is_perpetual": False}, "the venue lists it as spot, or dated"),
    ],
)
def test_what_venue_or_profile_do_not_allow_is_an_error(config, row, told):
    rows = {(OKX, "BTC-USDT-SWAP"): replace(SWAP, **row), (SPOT, "BTCUSDT"): COIN}
    with pytest.raises(UserError, match=f"okx BTC-USDT-SWAP: {told}"):
        effective(config_of(**config), rows)


def test_time_rules_reach_the_gate_as_intervals_and_as_many_as_it_holds():
    config = config_of(compliance={"no_new": [{**RULE, "days": ["mon", "tue", "wed", "thu", "fri"]}]})
    gate, found = LimitTable(2, 4096), effective(config)
    apply(found, gate, table(), NUMBERS, 1_790_000_000 * 10**9)
    windows = gate.as_dict()["windows"]
    assert len(windows) == 64
    later = windows[-1]["from_ns"]
    apply(found, gate, table(), NUMBERS, later)
    assert gate.as_dict()["windows"][0]["from_ns"] == later


# ---- against the last run ----


def ratio(key, old, new):
    found = changes({"x": {key: old}}, {"x": {key: new}})
    return found[0].ratio if found else Decimal(1)


@pytest.mark.parametrize(
    ("key", "old", "new", "wanted"),
    [
        ("max_order_quote", "1000", "2000", 2),
        ("max_order_quote", "1000", "2000.01", "2.00001"),
        ("max_order_quote", "1000", "500", "0.5"),
        ("max_open_quote", "1000", "off", None),
        ("max_open_quote", "off", "1000", 1),
        ("collar_bps", 50, 150, 3),
        ("min_margin_free_bps", 3000, 1000, 3),
        ("min_margin_free_bps", 1000, "off", None),
        ("duplicate_ms", 100, 0, None),
        ("duplicate_ms", 0, 100, 0),
        ("window_ms", 1000, 100, 10),
        ("protect_bps", 300, 0, None),
        ("protect_bps", 0, 300, 1),
        ("protect_bps", 100, 300, 3),
        ("on_drawdown", "flatten", "cancel", None),
        ("on_drawdown", "cancel", "flatten", 1),
        ("day_trades_below_quote", "25000", "off", 1),
        ("day_trades_below_quote", "off", "25000", None),
        ("max_day_trades", 3, "off", None),
        ("max_day_trades", 0, 1, None),
        ("no_new", ["a", "b"], ["a"], None),
        ("no_new", ["a"], ["a", "b"], 1),
        ("exit_retry_ms", 50, 1000, 1),
    ],
)
def test_how_many_times_looser_a_limit_is(key, old, new, wanted):
    found = ratio(key, old, new)
    assert found == (None if wanted is None else Decimal(wanted))


def test_twice_as_loose_is_free_and_more_is_not():
    just, more = (Change("x", "k", 1, 2, Decimal(r)) for r in ("2", "2.00001"))
    assert (just.is_much_looser, more.is_much_looser, just.is_looser) == (False, True, True)
    assert Change("x", "k", 1, "off", None).is_much_looser


def test_instruments_that_come_or_go_are_not_compared_and_a_limit_that_is_gone_is():
    assert changes({"a": {"k": 1}}, {"b": {"k": 100}}) == []
    (gone,) = changes({"a": {"max_open_orders": 1}}, {"a": {}})
    assert (gone.new, gone.ratio) == ("off", None)


def test_the_refusal_names_the_first_and_the_way_out():
    found = changes({"a": {"k": "1", "l": "1"}}, {"a": {"k": "9", "l": "9"}})
    assert issubclass(LooserLimits, HeldBack)  # exit code 3, as `tickgate limits` has it
    assert str(LooserLimits(found)) == (
        "limits are more than 2 times looser than in the last run: a: k 1 -> 9 and 1 more; "
        "lower them, or start once with --accept-limits"
    )


def test_rules_are_told_in_words():
    found = effective(config_of(compliance={"flat_by": [RULE]})).tables["compliance"]
    assert found["flat_by"] == ["fri 09:00-10:00 UTC"]
    assert TimeRule(**RULE).zone == "UTC"
    assert Compliance(profile="retail").no_new is None

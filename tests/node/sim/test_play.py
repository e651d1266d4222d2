"""Limits for money that is not real: dicts and text say the same, and a config takes them."""

import tomllib
from pathlib import Path

import configs
import msgspec

from node.config import Config, check
from node.demo import config_text
from node.sim.play import limits, limits_text, tables, tables_text


def test_text_and_dict_are_the_same():
    assert tomllib.loads(tables_text(7)) == tables(7)
    assert tables(7)["rate"]["orders"] == 7
    for perpetual in (False, True):
        assert tomllib.loads(limits_text("1", "2", perpetual=perpetual)) == limits(
            "1", "2", perpetual=perpetual
        )


def test_a_config_of_them_is_good_on_spot_and_perpetuals():
    pairs = (("binance-spot", "BTCUSDT"), ("okx", "BTC-USDT-SWAP"))
    raw = {"mode": "sim", **tables(), "venue": [configs.venue(m) for m, _ in pairs]}
    raw["instrument"] = [configs.instrument(m, s) for m, s in pairs]
    check(msgspec.convert(raw, Config), "x")


def test_the_demo_s_limits_leave_no_control_off():
    listing = {"tick": "0.1", "lot": "0.001", "size": "0.005", "value": "300"}
    for is_recorded in (False, True):
        row = listing | {"market": "bybit-linear", "symbol": "BTCUSDT", "recorded": is_recorded}
        at = {"bybit": {"ws": "ws://127.0.0.1:1", "http": "http://127.0.0.1:1", "listings": [row]}}
        raw = tomllib.loads(config_text(at, Path("t"), Path("d")))
        for table in (raw["account"], raw["rate"], raw["instrument"][0]["limits"]):
            assert "off" not in table.values()
        check(msgspec.convert(raw, Config), "x")

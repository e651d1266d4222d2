"""Config, key and address name one environment, or nothing starts: row 139."""

import itertools
import re

import pytest

from ext.records import Market
from node.config import MARKETS
from node.environment import ARM, ENVIRONMENTS, check_arm, check_environment, environments, hosts
from node.errors import UserError

# a host that only this environment has
ONLY = {
    "binance-spot": {
        "sim": "127.0.0.1",
        "testnet": "testnet.binance.vision",
        "demo": "demo-api.binance.com",
        "live": "api.binance.com",
    },
    "binance-usdm": {"sim": "127.0.0.1", "live": "fapi.binance.com"},
    "bybit-spot": {
        "sim": "127.0.0.1",
        "testnet": "api-testnet.bybit.com",
        "demo": "api-demo.bybit.com",
        "live": "api.bybit.com",
    },
    "bybit-linear": {
        "sim": "127.0.0.1",
        "testnet": "api-testnet.bybit.com",
        "demo": "api-demo.bybit.com",
        "live": "api.bybit.com",
    },
    "okx": {"sim": "127.0.0.1", "demo": "wspap.okx.com", "live": "ws.okx.com"},
}


@pytest.mark.parametrize("market", ONLY)
def test_139_of_all_combinations_of_config_key_and_address_only_agreement_passes(market):
    number, known = MARKETS[market], ONLY[market]
    passed, why = set(), []
    for told, key, at in itertools.product(ENVIRONMENTS, ENVIRONMENTS, known):
        try:
            check_environment("venue[0]", number, told, key, [f"https://{known[at]}:443"])
            passed.add((told, key, at))
        except UserError as error:
            why.append((told, str(error)))
    assert passed == {(x, x, x) for x in known}
    assert all(x.startswith(f"venue[0]: environment '{told}', but ") for told, x in why)


def test_one_address_of_another_environment_among_good_ones_is_enough(monkeypatch):
    good, bad = "wss://stream.bybit.com", "wss://stream-testnet.bybit.com"
    with pytest.raises(
        UserError, match=r"but 'wss://stream-testnet.bybit.com' is of 'testnet'; its hosts are .*bybit"
    ):
        check_environment("v", Market.BYBIT_SPOT, "live", "live", [good, bad])


def test_hosts_that_serve_two_environments_pass_for_both():
    for environment in ("live", "demo"):
        check_environment("v", Market.OKX, environment, environment, ["https://www.okx.com"])
        check_environment("v", Market.BYBIT_LINEAR, environment, None, ["wss://stream.bybit.com"])
    assert environments(Market.BINANCE_USDM, "wss://testnet.binancefuture.com") == ("testnet", "demo")


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "api.binance.com.example.com",
        "xapi.binance.com",
        "binance.com",
        "127.0.0.1.example.com",
    ],
)
def test_a_key_goes_to_no_host_that_nobody_knows(host):
    url = f"https://{host}"
    with pytest.raises(
        UserError, match="is of no environment that is known, and a key is sent to official hosts only"
    ):
        check_environment("v", Market.BINANCE_SPOT, "live", "live", [url])
    check_environment("v", Market.BINANCE_SPOT, "live", None, [url])  # market data only
    with pytest.raises(UserError, match="environment 'sim'"):
        check_environment("v", Market.BINANCE_SPOT, "sim", None, [url])


def test_a_venue_without_such_an_environment_says_so():
    with pytest.raises(UserError, match="none: this venue has no such environment"):
        check_environment("v", Market.OKX, "testnet", "testnet", ["wss://ws.okx.com"])


def test_every_market_has_live_hosts_and_none_of_them_is_for_practice_alone():
    for market in MARKETS.values():
        live = hosts(market, "live")
        assert live
        assert not any(re.search(r"testnet|demo|pap\.", x) for x in live)
        assert not live & hosts(market, "sim")


@pytest.mark.parametrize("arm", ["", "yes", "i accept the risk", "I accept the risk "])
def test_real_money_asks_for_the_very_words(arm):
    with pytest.raises(UserError, match=f'needs arm = "{ARM}"'):
        check_arm("v", "live", True, arm)
    check_arm("v", "live", False, arm)
    check_arm("v", "demo", True, arm)
    check_arm("v", "live", True, ARM)

"""Accounts out of the config file of `tickgate sim`."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from node.errors import UserError
from node.sim.accounts import AccountFile, check_accounts, make_accounts
from node.venues.ledger import SIMULATED

COINS = [("", "BTC"), ("", "USDT"), ("usdm", "USDT")]


def rows(*tables):
    return msgspec.convert(list(tables), list[AccountFile])


def test_an_account_without_anything_is_the_generous_one_with_the_known_key():
    (account,) = make_accounts(rows({}), "okx", COINS)
    assert (account.owner, account.keys) == (1, [SIMULATED])
    assert account.balance("USDT", "usdm").total == 10_000_000


def test_an_account_has_what_the_file_says_and_nothing_else():
    table = {
        "uid": "77",
        "hedge": True,
        "leverage": 5,
        "fee_coin": "BNB",
        "balances": {"USDT": "10.5"},
        "wallets": {"usdm": {"USDT": "3"}},
        "key": [{"api_key": "k", "secret": "s", "rights": ["read"], "ips": ["127.0.0.2"], "expires_s": 1.5}],
    }
    first, second = make_accounts(rows({}, table), "okx", COINS)
    assert (first.owner, second.owner, second.uid, second.hedge) == (1, 2, "77", True)
    assert (second.default_leverage, second.fee_coin) == (5, "BNB")
    assert second.balance("USDT").total == Decimal("10.5")
    assert second.balance("USDT", "usdm").total == 3
    assert second.balance("BTC").total == 0
    (key,) = second.keys
    assert (key.rights, key.ips, key.expires_ns) == (frozenset({"read"}), ("127.0.0.2",), 1_500_000_000)


def test_accounts_may_be_of_one_venue_only():
    table = rows({"venue": "okx", "uid": "1"})
    assert make_accounts(table, "bybit", COINS) is None
    assert len(make_accounts(table, "okx", COINS)) == 1


@pytest.mark.parametrize("amount", ["much", "-1", "nan", "inf", "1e20", ""])
def test_an_amount_that_is_none_is_one_line(amount):
    with pytest.raises(UserError, match=r"^sim\.toml: account 1: balance of BTC .*: not an amount$"):
        check_accounts(rows({"balances": {"BTC": amount}}), Path("sim.toml"))


def test_a_key_belongs_to_one_account():
    key = {"key": [{"api_key": "k"}]}
    with pytest.raises(UserError, match="account 2: key 'k' is there twice"):
        check_accounts(rows(key, key), Path("sim.toml"))

"""Accounts of the simulated venues, out of the config file."""

from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec

from node.errors import UserError
from node.venues.ledger import SIMULATED, Account, Key, make_account


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One API key. `public_key`: PEM of an Ed25519 or RSA key. `expires_s`: seconds since 1970, 0 =
    never."""

    api_key: str
    secret: str = ""
    passphrase: str = ""
    public_key: str = ""
    rights: tuple[str, ...] = ("read", "trade")
    ips: list[str] = []
    expires_s: float = 0
    environment: str = ""


class AccountFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One account, on every venue or on `venue`. The first has the well-known key where it names none.
    `balances`: coin -> amount as text, in the purse "" and every other one; `wallets`: purse -> the same;
    generous ones where both are left out."""

    venue: str = ""
    uid: str = ""
    hedge: bool = False
    leverage: int = 20
    fee_coin: str = ""
    balances: dict[str, str] = {}
    wallets: dict[str, dict[str, str]] = {}
    key: list[KeyFile] = []


def check_accounts(rows: list[AccountFile], path: Path | None) -> None:
    """Raises UserError for an amount that is none, or a key that two accounts have."""
    seen: set[tuple[str, str]] = set()
    for i, row in enumerate(rows, 1):
        for coins in (row.balances, *row.wallets.values()):
            for coin, text in coins.items():
                if not _is_amount(text):
                    raise UserError(f"{path}: account {i}: balance of {coin} {text[:40]!r}: not an amount")
        for key in row.key:
            if (row.venue, key.api_key) in seen:
                raise UserError(f"{path}: account {i}: key {key.api_key!r} is there twice")
            seen.add((row.venue, key.api_key))


def _is_amount(text: str) -> bool:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return False
    return value.is_finite() and 0 <= value < 10**15


def make_accounts(rows: list[AccountFile], venue: str, coins: list[tuple[str, str]]) -> list[Account] | None:
    """The accounts of one venue that has these (purse, coin); None where no row is for it."""
    mine = [x for x in rows if x.venue in ("", venue)]
    return [_account(i, x, coins) for i, x in enumerate(mine, 1)] or None


def _account(owner: int, row: AccountFile, coins: list[tuple[str, str]]) -> Account:
    keys = [
        Key(
            x.api_key,
            x.secret,
            x.passphrase,
            x.public_key,
            frozenset(x.rights),
            tuple(x.ips),
            int(x.expires_s * 10**9),
            x.environment,
        )
        for x in row.key
    ]
    if not keys and owner == 1:
        keys = [SIMULATED]
    account = make_account(owner, coins, keys, row.uid)
    account.hedge, account.default_leverage, account.fee_coin = row.hedge, row.leverage, row.fee_coin
    if row.balances or row.wallets:
        for wallet, held in account.wallets.items():
            wanted = row.balances | row.wallets.get(wallet, {})
            for coin in {*held, *wanted}:
                account.balance(coin, wallet).total = Decimal(wanted.get(coin, "0"))
    return account

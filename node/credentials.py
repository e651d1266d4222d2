"""Where a config says that keys are -> keys. What goes wrong is told without any of it."""

import hashlib
import os
import stat
from pathlib import Path

from node.config import MARKETS, Config, KeyConfig
from node.errors import UserError
from node.venues.keys import Key

SECRETS = ("api_key", "secret", "passphrase", "private_key")


def read_key(config: KeyConfig, place: str) -> Key:
    """The key that `config` refers to. Raises UserError naming the place and the fix."""
    parts = read_parts(config, place)
    try:
        return Key(parts["api_key"], parts["secret"], parts["passphrase"], parts["private_key"])
    except ValueError as error:
        raise UserError(f"{place}: key: {error}") from None


def read_parts(config: KeyConfig, place: str) -> dict[str, str]:
    """The texts that `config` refers to, for a client that signs by itself. Raises UserError."""
    parts = {name: _read(getattr(config, name), f"{place}: key: {name}") for name in SECRETS}
    if not parts["api_key"].isascii() or not parts["api_key"].isprintable() or " " in parts["api_key"]:
        raise UserError(f"{place}: key: api_key: is not one word of plain characters")
    return parts


def accounts_of(config: Config, keys: dict[int, Key]) -> dict[str, dict[str, str]]:
    """Whose orders a run sends, by market: for the tape. No secret: of a key its fingerprint."""
    out = {}
    for x in config.venue:
        key = keys.get(MARKETS[x.market])
        mark = "" if key is None else hashlib.sha256(key.api_key.encode()).hexdigest()[:12]
        out[x.market] = {"environment": x.environment, "account": x.account, "key": mark}
    return out


def _read(reference: str, place: str) -> str:
    kind, _, name = reference.partition(":")
    if not reference:
        return ""
    if kind == "plain":
        return name
    if kind == "env":
        if not os.environ.get(name):
            raise UserError(f"{place}: environment variable {name} is not set")
        return os.environ[name].strip()
    return _file(Path(name).expanduser(), place)


def _file(path: Path, place: str) -> str:
    """A secret's file must be its owner's alone."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise UserError(f"{place}: {path} can be read by others ({mode:04o}): chmod 600 {path}")
        text = path.read_text().strip()
    except OSError as error:
        raise UserError(f"{place}: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{place}: {path}: is not text") from None
    if not text:
        raise UserError(f"{place}: {path}: is empty")
    return text

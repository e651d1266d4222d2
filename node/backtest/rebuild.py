"""The CONFIG record of a tape -> the assembly that wrote it, without its venues, its sockets and its
secrets."""

from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ext.engine import Again
from ext.strategy import Strategy
from node.assembly import Assembly
from node.compliance import Profile
from node.config import MARKETS, Config
from node.errors import UserError
from node.linestats import SPARE
from node.strategies import make_strategy
from node.venues.keys import Key
from node.venues.values import InstrumentRow

NEEDED = (
    "epoch",
    "now_ns",
    "first_id",
    "config",
    "profile",
    "keys",
    "instruments",
    "lines",
    "records",
    "hash",
)


def rebuild(
    told: dict[str, Any],
    *,
    keys: dict[int, Key] | None = None,
    strategy: Strategy | None = None,
    folder: Path | None = None,
) -> Assembly:
    """The assembly that a CONFIG record describes, with an outlet that takes everything. `keys`: by market,
    in the place of stand-ins that sign with nothing; `strategy`: in the place of the recorded one, which is
    looked for in `folder` too. Raises UserError where the record does not tell enough or means something
    that is not here."""
    missing = [x for x in NEEDED if x not in told]
    if missing:
        raise UserError(
            f"the CONFIG record does not tell `{missing[0]}`: it is of a build that could not be replayed"
        )
    venues = told["config"]["venue"]
    unrecorded = [x["market"] for x in venues if x.get("record_frames", "all") != "all"]
    if unrecorded:
        raise UserError(
            f"{unrecorded[0]}: its market data was not recorded (record_frames): it cannot be replayed"
        )
    try:
        config = msgspec.convert(told["config"], Config)
        profile = None if told["profile"] is None else msgspec.convert(told["profile"], Profile)
        rows = {(MARKETS[x["market"]], x["symbol"]): InstrumentRow(**x["row"]) for x in told["instruments"]}
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise UserError(f"the CONFIG record is of another layout: {error}") from None
    steps = {(MARKETS[x["market"]], x["symbol"]): tuple(x["steps"]) for x in told["instruments"]}
    desk = Assembly(
        config,
        rows,
        steps,
        {MARKETS[m]: (keys or {}).get(MARKETS[m]) or stand_in(x) for m, x in told["keys"].items()},
        tape=None,
        epoch=told["epoch"],
        outlet=Again(),
        strategy=strategy or strategy_of(told, folder),
        folder=folder,
        now_ns=told["now_ns"],
        first_id=told["first_id"],
        profile=profile,
        spares=any(x["name"].endswith(SPARE) for x in told["lines"]),  # not every build had them
    )
    if desk.rest:  # what it demands of the gate, and which market is paid from which purse
        desk.keeper(
            lambda where, text: None,
            note=lambda fields: None,
            refresh=lambda market: None,
            recycle=lambda market: None,
        )
    lines = [{"name": x.name, "kind": int(x.kind)} for x in desk.engine.lines]
    if lines != told["lines"]:
        raise UserError(
            "this build would open other lines than the recorded one did: it cannot replay the run"
        )
    return desk


def strategy_of(told: dict[str, Any], folder: Path | None = None) -> Strategy | None:
    """The strategy that the record names; None where its config says which. Raises UserError."""
    return None if told.get("strategy") is None else make_strategy(told["strategy"], folder)


def stand_in(told: dict[str, Any]) -> Key:
    """A key of the same kind as the recorded one: frames get the same form, and a signature of nobody's."""
    if not told["ed25519"]:
        return Key("replay", "replay", "replay")
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Key("replay", private_key=pem.decode())

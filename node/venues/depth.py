"""How fine a book must be read: the steps that a depth reply really shows."""

import re
from decimal import Decimal, InvalidOperation
from itertools import chain

import orjson

PLAIN = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?").fullmatch


def data_steps(reply: bytes, tick: str, lot: str) -> tuple[str, str]:
    """(data tick, data lot): the venue's own step where every level is on it, else the power of ten that all
    are on.

    `reply` is a depth snapshot with `bids` and `asks` of [price, size, ...] text. Raises ValueError for
    anything else.
    """
    try:
        told = orjson.loads(reply)
        levels = [(_plain(x[0]), _plain(x[1])) for x in chain(told["bids"], told["asks"])]
        return _step([x[0] for x in levels], tick), _step([x[1] for x in levels], lot)
    except (ValueError, KeyError, TypeError, IndexError, InvalidOperation):
        raise ValueError("not a depth snapshot") from None


def _plain(value: object) -> Decimal:
    """Digits with at most one point: what the decoder reads."""
    text = str(value)
    if not PLAIN(text):
        raise ValueError(text)
    return Decimal(text)


def _step(values: list[Decimal], step: str) -> str:
    if all(x % Decimal(step) == 0 for x in values):
        return step
    places = max(max(-int(x.normalize().as_tuple().exponent), 0) for x in [*values, Decimal(step)])
    return format(Decimal(1).scaleb(-places), "f")

"""How fine a book must be read: the steps that a depth reply really shows."""

from decimal import Decimal, InvalidOperation
from itertools import chain

import orjson


def data_steps(reply: bytes, tick: str, lot: str) -> tuple[str, str]:
    """(data tick, data lot): the venue's own step where every level is on it, else the power of ten that all are on.

    `reply` is a depth snapshot with `bids` and `asks` of [price, size, ...] text. Raises ValueError for anything else.
    """
    try:
        told = orjson.loads(reply)
        levels = [(Decimal(x[0]), Decimal(x[1])) for x in chain(told["bids"], told["asks"])]
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError, InvalidOperation):
        raise ValueError("not a depth snapshot") from None
    return _step([x[0] for x in levels], tick), _step([x[1] for x in levels], lot)


def _step(values: list[Decimal], step: str) -> str:
    if all(x % Decimal(step) == 0 for x in values):
        return step
    places = max(max(-int(x.normalize().as_tuple().exponent), 0) for x in [*values, Decimal(step)])
    return format(Decimal(1).scaleb(-places), "f")

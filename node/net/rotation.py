"""What a line needs so that it can be replaced before it breaks."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Rotation:
    """`spare`: the number on which a second connection goes up; the two change places with each replacement.
    `again` makes a session like the line's own. `turn` is held while a line of a venue is replaced: never two
    of one venue at once, so that what a replacement breaks breaks one line."""

    spare: int
    again: Callable[[], Any]
    turn: asyncio.Lock

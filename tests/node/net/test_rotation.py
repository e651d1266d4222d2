"""What a line needs so that it can be replaced."""

import asyncio

from node.net.rotation import Rotation


def test_the_numbers_of_a_line_change_places_and_the_turn_is_shared():
    turn = asyncio.Lock()
    first, second = Rotation(4, list, turn), Rotation(5, list, turn)
    first.spare = 0
    assert (first.spare, second.spare) == (0, 5)
    assert first.turn is second.turn

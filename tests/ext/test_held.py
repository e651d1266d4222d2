"""Messages that wait: whole, in order, bounded; against a list."""

import random

import pytest

from ext.held import Room


def levels(rng):
    return [(rng.randrange(1000), rng.randrange(9)) for _ in range(rng.randrange(5))]


@pytest.mark.parametrize("seed", range(20))
def test_the_room_holds_what_a_list_would_hold(seed):
    rng, room, twin = random.Random(seed), Room(), []
    for number in range(400):
        if twin and rng.random() < 0.45:
            gone = rng.choice(twin)
            twin.remove(gone)
            room.drop(gone[0])
        else:
            row = (number, levels(rng), levels(rng))
            twin.append(row)
            assert room.put(*row)
        assert room.rows() == twin
        assert room.size[0] == len(twin)
    for row in twin:
        room.drop(row[0])
    assert (room.rows(), room.size) == ([], (0, 0))
    assert room.put(1, [(5, 5)], [])  # the last row of all was forgotten as the last
    assert room.rows() == [(1, [(5, 5)], [])]


def test_too_many_messages_do_not_fit():
    room = Room()
    assert all(room.put(n, [], []) for n in range(1024))
    assert not room.put(1024, [], [])
    room.drop(0)
    assert room.put(1024, [], [])


def test_too_many_bytes_do_not_fit():
    room, book = Room(), [(n, 1) for n in range(100_000)]
    assert [room.put(n, book, book) for n in range(4)] == [True, True, False, False]
    room.drop(1)
    assert room.put(9, book, book)
    assert room.rows()[1] == (9, book, book)


def test_what_is_not_there_cannot_be_dropped():
    with pytest.raises(KeyError):
        Room().drop(1)

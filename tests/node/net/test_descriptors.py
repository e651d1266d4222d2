"""Descriptors: enough for the config or no start, and some kept back."""

import os

import pytest

from node.errors import UserError
from node.net.descriptors import (
    CALLERS,
    POOL_LEAST,
    POOL_MOST,
    SLACK,
    SPARE,
    Descriptors,
    is_lack,
    open_files,
)


def test_what_is_left_is_for_requests_and_no_more_than_they_need():
    for limit, pool in ((64, 64 - 10 - 12 - CALLERS - SPARE - SLACK), (4096, POOL_MOST)):
        room = Descriptors(12, limit=limit, in_use=10)
        assert room.pool == pool
        room.close()


def test_too_few_for_the_config_is_one_line_that_says_how_many_and_where():
    needed = 10 + 40 + CALLERS + SPARE + SLACK + POOL_LEAST
    with pytest.raises(UserError, match=rf"the limit is 64, and this config needs {needed}: raise it"):
        Descriptors(40, limit=64, in_use=10)
    Descriptors(40, limit=needed, in_use=10).close()


def test_what_is_kept_back_is_handed_over_and_taken_back():
    before = open_files()
    room = Descriptors(0, limit=4096)
    assert open_files() == before + SPARE
    with room.handed_over():
        assert open_files() == before
    assert open_files() == before + SPARE
    assert room.lacked == 1
    room.close()
    assert open_files() == before


def test_a_person_hears_of_it_once_for_each_time_that_it_gets_tight():
    room = Descriptors(0, limit=4096)
    assert [bool(room.trouble(lambda n=n: n)) for n in (10, 4000, 4001, 10, 4000)] == [
        False, True, False, False, True,
    ]  # fmt: skip
    room.close()


def test_a_lack_is_told_from_a_full_disk():
    assert [is_lack(OSError(x, os.strerror(x))) for x in (24, 23, 28)] == [True, True, False]

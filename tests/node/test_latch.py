"""The latch beside a tape."""

from dataclasses import replace

import orjson
import pytest

from node.latch import NAME, Latched, read_latch, utc_text, write_latch

ONE = Latched("guard", True, "the node is stopped", 17)


def test_what_was_written_is_read(tmp_path):
    assert read_latch(tmp_path) is None
    write_latch(tmp_path, ONE)
    assert read_latch(tmp_path) == ONE
    assert orjson.loads((tmp_path / NAME).read_bytes()) == {
        "latch": "guard",
        "flatten": True,
        "reason": "the node is stopped",
        "at_ns": 17,
    }
    assert [x.name for x in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b'{"latch": "guard"}',
        b'{"latch": "operator", "flatten": true, "reason": "", "at_ns": 1, "behind": [3]}',
        b'{"latch": "operator", "flatten": true, "reason": "", "at_ns": 1, "behind": 3}',
        b"\xff" * 40,
    ],
)
def test_one_that_cannot_be_understood_holds_as_well(tmp_path, raw):
    (tmp_path / NAME).write_bytes(raw)
    assert read_latch(tmp_path).latch == "guard"


def test_one_that_cannot_be_read_holds_as_well(tmp_path):
    (tmp_path / NAME).mkdir()
    assert read_latch(tmp_path).latch == "guard"


def test_who_only_halts_does_not_take_back_that_everything_was_to_be_closed(tmp_path):
    write_latch(tmp_path, Latched("operator", True, "out", 1))
    write_latch(tmp_path, Latched("guard", False, "the node is gone", 2))
    found = read_latch(tmp_path)
    assert (found.latch, found.flatten, found.reason, found.at_ns) == ("guard", True, "the node is gone", 2)


def test_what_another_said_before_is_kept_and_what_the_same_one_said_is_not(tmp_path):
    lunch, gone = Latched("operator", False, "lunch", 1), Latched("guard", False, "the node is gone", 2)
    write_latch(tmp_path, lunch)
    write_latch(tmp_path, gone)
    assert read_latch(tmp_path) == replace(gone, behind=(lunch,))
    write_latch(tmp_path, replace(gone, reason="gone again"))
    assert read_latch(tmp_path) == replace(gone, reason="gone again", behind=(lunch,))
    dinner = replace(lunch, reason="dinner")
    write_latch(tmp_path, dinner)
    assert read_latch(tmp_path) == replace(dinner, behind=(replace(gone, reason="gone again"),))


def test_a_time_is_written_as_people_do():
    assert utc_text(5_999_999_999) == "1970-01-01 00:00:05 UTC"

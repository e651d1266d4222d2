"""Which tape a directory means."""

import pytest

from node.errors import UserError
from node.slow.finding import tape_at

COMMAND = "tickgate replay"


def tape(folder):
    folder.mkdir(parents=True)
    (folder / "00000000.tape").touch()
    return folder


def test_a_tape_is_itself_whatever_lies_below_it(tmp_path):
    tape(tmp_path / "a" / "old")
    (tmp_path / "a" / "00000007.tape").touch()
    assert tape_at(tmp_path / "a", COMMAND) == tmp_path / "a"


def test_the_only_tape_below_is_meant_and_its_archive_is_no_other_one(tmp_path):
    here = tape(tmp_path / "tapes" / "sim")
    tape(here / "archive" / "fork-1")
    assert tape_at(tmp_path, COMMAND) == here


def test_of_several_each_is_named_with_a_command_to_paste(tmp_path):
    names = [tape(tmp_path / x) for x in ("a/tape", "b")]
    with pytest.raises(UserError) as error:
        tape_at(tmp_path, COMMAND)
    assert str(error.value) == (
        f"{tmp_path}: there are 2 tapes below it: name one, such as `tickgate replay {names[0]}` "
        f"({names[0]}, {names[1]})"
    )


def test_a_tape_that_lies_deep_is_not_looked_for_and_what_cannot_be_read_is_passed_by(tmp_path):
    tape(tmp_path / "a" / "b" / "c" / "d" / "e")
    (tmp_path / "locked").mkdir(mode=0)
    with pytest.raises(UserError, match=f"{tmp_path}: there is no tape in this directory"):
        tape_at(tmp_path, COMMAND)

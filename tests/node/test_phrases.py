"""The same words in each place, with the right number, and commands that can be pasted."""

import shlex

import pytest

from ext.records import Latch
from node.phrases import RELEASED, command, count, latches_of, resting, resume_command, way_out


@pytest.mark.parametrize(
    ("orders", "stops", "exits", "text"),
    [
        (0, 0, 0, "no open orders"),
        (1, 0, 0, "1 open order"),
        (0, 1, 0, "no open orders; 1 protective stop rests on purpose"),
        (2, 2, 1, "2 open orders; 2 protective stops rest on purpose; 1 exit under way"),
    ],
)
def test_what_rests_is_told_with_the_stops_that_rest_on_purpose(orders, stops, exits, text):
    assert resting(orders, stops, exits) == text
    assert count(2, "order") == "2 orders"


def test_a_command_is_one_that_a_shell_takes_as_it_stands():
    told = resume_command("/my tapes/x").strip("`")
    assert shlex.split(told) == ["tickgate", "resume", "/my tapes/x", "--reason", "TEXT"]
    assert command("status", "x.toml") == "`tickgate status x.toml`"


def test_what_ends_a_latch_is_told_for_each_that_there_is():
    assert way_out(0, "c", "/t") == ""
    for latch in (x for x in Latch if 0 < x < Latch.LATCHES):
        text = way_out(1 << int(latch), "c", "/t")
        assert ("tickgate resume c" in text) == (latch in RELEASED)
        assert ("make room on /t" in text) == (latch == Latch.LATCH_TAPE)
        assert ("only a restart" in text) == (latch not in (*RELEASED, Latch.LATCH_TAPE))
    assert latches_of(1 << 2 | 1 << 7) == [Latch.LATCH_TAPE, Latch.LATCH_GUARD]


def test_a_latched_tape_needs_room_before_a_person_resumes():
    mask = 1 << int(Latch.LATCH_TAPE) | 1 << int(Latch.LATCH_OPERATOR)
    first, _, then = way_out(mask, "c", "/t").rpartition("; ")
    assert first.startswith("make room on /t")
    assert then == 'then `tickgate resume c --reason "TEXT"` lets it go on'
    mask |= 1 << int(Latch.LATCH_FAULT)
    assert "tickgate stop c" in way_out(mask, "c", "/t")

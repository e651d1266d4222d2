"""A trouble that lasts is told later and later, with what a person can do; trying goes on for ever."""

from node.slow.guard_trouble import CALM_NS, SECOND_NS, Lasting


def told_at(troubles_s) -> list[int]:
    lasting = Lasting()
    return [at for at in troubles_s if lasting.note(at * SECOND_NS)]


def test_it_is_told_at_once_and_then_on_a_growing_interval_for_as_long_as_it_lasts():
    assert told_at(range(1200)) == [0, 5, 15, 45, 105, 405, 705, 1005]


def test_behind_a_calm_time_the_next_trouble_is_a_new_one():
    calm_s = CALM_NS // SECOND_NS
    assert told_at([0, 1, 2 + calm_s, 3 + calm_s]) == [0, 2 + calm_s]


def test_one_that_is_over_is_told_at_once_when_it_comes_again():
    lasting = Lasting()
    assert lasting.note(SECOND_NS)
    lasting.end()
    assert lasting.note(2 * SECOND_NS)
    assert lasting.since_s(4 * SECOND_NS) == 2


def test_it_says_that_it_goes_on_for_how_long_it_has_and_what_a_person_can_do():
    lasting = Lasting()
    lasting.note(0)
    first = lasting.text("no answer", 123, 0)
    assert first == (
        "guard: no answer; tries on until the venue answers and shows nothing open; next word in 5 s"
    )
    for at in range(1, 6):
        lasting.note(at * SECOND_NS)
    again = lasting.text("no answer", 123, 5 * SECOND_NS)
    assert "not clear for 5 s, 6 attempts: no answer; tries on until" in again
    assert "next word in 10 s" in again
    assert "cancel at the venue itself, or end the guard with `kill 123`" in again

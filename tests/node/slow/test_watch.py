"""When a node counts as standing still, in virtual time."""

import pytest

from node.slow.watch import DISK_PATIENCE, LATE_NS, LOOK_NS, Signs, Verdict, Watch

STALL_NS = 1_000_000_000
OWNER = (100, 5)


class Desk:
    """A watch that looks on time; `pass_ns` lets time pass with the same signs."""

    def __init__(self):
        self.watch = Watch(STALL_NS)
        self.now_ns = 10**12
        self.look(Signs(OWNER, 1, 1, "S"))

    def look(self, signs: Signs, step_ns: int = LOOK_NS) -> Verdict:
        self.now_ns += step_ns
        return self.watch.look(signs, self.now_ns)

    def still(self, signs: Signs, for_ns: int) -> Verdict:
        verdict = Verdict.NONE
        for _ in range(for_ns // LOOK_NS):
            verdict = self.look(signs)
        return verdict


@pytest.fixture
def desk():
    return Desk()


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        ("T", Verdict.STOPPED),
        ("t", Verdict.STOPPED),
        ("Z", Verdict.GONE),
        ("", Verdict.GONE),
        ("R", Verdict.HUNG),
        ("S", Verdict.HUNG),
    ],
)
def test_silence_is_an_alarm_when_it_was_long_enough_and_not_before(desk, state, verdict):
    signs = Signs(OWNER, 1, 1, state)
    assert desk.still(signs, STALL_NS - LOOK_NS) is Verdict.SILENT
    assert desk.look(signs) is verdict


@pytest.mark.parametrize("moves", ["beat", "tape"])
def test_either_sign_of_life_is_enough(desk, moves):
    for i in range(100):
        signs = Signs(OWNER, i if moves == "beat" else 1, i if moves == "tape" else 1, "S")
        assert desk.look(signs) is Verdict.WELL


def test_a_process_that_waits_for_its_disk_gets_more_patience_but_not_for_ever(desk):
    desk.look(Signs(OWNER, 1, 1, "D"))
    signs = Signs(OWNER, 1, 1, "S")
    assert desk.still(signs, DISK_PATIENCE * STALL_NS - 2 * LOOK_NS) is Verdict.SILENT
    assert desk.look(signs) is Verdict.HUNG


def test_one_that_is_stopped_while_it_waits_for_its_disk_gets_none(desk):
    desk.look(Signs(OWNER, 1, 1, "D"))
    assert desk.still(Signs(OWNER, 1, 1, "T"), STALL_NS) is Verdict.STOPPED


def test_time_in_which_nobody_looked_is_not_silence(desk):
    signs = Signs(OWNER, 1, 1, "S")
    assert desk.look(signs, 100 * STALL_NS) is Verdict.WELL, "both stood still: a frozen machine"
    assert desk.still(signs, STALL_NS - LOOK_NS) is Verdict.SILENT
    assert desk.look(signs, LATE_NS) is Verdict.HUNG, "a little late is no excuse"


def test_a_new_run_begins_with_a_clean_slate(desk):
    desk.still(Signs(OWNER, 1, 1, ""), 2 * STALL_NS)
    assert desk.look(Signs((101, 9), 1, 1, "S")) is Verdict.WELL


def test_a_node_that_ended_in_good_order_and_none_at_all_are_no_alarm(desk):
    assert desk.still(Signs(OWNER, 1, 1, "", ended=True), 3 * STALL_NS) is Verdict.ENDED
    assert desk.still(Signs(), 3 * STALL_NS) is Verdict.NONE


def test_a_node_that_goes_on_is_well_again(desk):
    desk.still(Signs(OWNER, 1, 1, "T"), 3 * STALL_NS)
    assert desk.look(Signs(OWNER, 2, 1, "R")) is Verdict.WELL

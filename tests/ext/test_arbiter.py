"""Redundant lines: copies are dropped, a hole on one line is filled by the other, and nothing is applied out
of order."""

import random

import pytest
from book_twin import Levels

from ext.arbiter import Arbiter
from ext.book import Applied, Book, BookState
from ext.records import DepthKind, Rule

UPDATE, SNAPSHOT, SEED = DepthKind.UPDATE, DepthKind.SNAPSHOT, DepthKind.SEED
RANGE, PREV, STEP = Rule.RULE_RANGE, Rule.RULE_PREV, Rule.RULE_STEP
MS = 1_000_000
HOLD = 200 * MS
DROP, PASS, STUCK = 0, 1, 2
SYNCED, GAP = BookState.SYNCED, BookState.GAP


class Merge:
    """Arbiter and book joined as the engine joins them, with the numbers of one STEP or PREV feed."""

    def __init__(self, lines=2, rule=STEP, by_request=False, partial=False):
        self.arbiter, self.book, self.rule, self.partial = (
            Arbiter(1, HOLD),
            Book(0, by_request),
            rule,
            partial,
        )
        self.now, self.applied, self.asks, self.loaded = 1000 * MS, [], 0, False
        for line in range(lines):
            self.arbiter.line_up(line)

    def give(self, line, kind, last_id, prev_id=-1, bids=(), asks=(), first_id=-1, after_ms=1):
        """One message; returns what the arbiter said."""
        self.now += after_ms * MS
        synced = self.book.state == SYNCED
        said = self.arbiter.ask(
            line, kind, self.rule, first_id, last_id, prev_id, self.book.last_id, synced, self.now,
            partial=self.partial, loaded=self.loaded,
        )  # fmt: skip
        if said == STUCK:
            self.orphan()
            self.asks += 1
        if said == PASS:
            what = self.book.feed(
                kind,
                self.rule,
                list(bids),
                list(asks),
                first_id=first_id,
                last_id=last_id,
                prev_id=prev_id,
                now_ns=self.now,
            )
            self.loaded = self.book.state != SYNCED and (
                what == Applied.APPLIED or (self.loaded and what == Applied.IGNORED)
            )
            self.asks += what in (Applied.GAPPED, Applied.RESEED)
            if what == Applied.APPLIED:
                self.applied.append(last_id)
        return said

    def orphan(self):
        """What the engine does to a book that nobody carries: there is no door for it on the book, a hole
        does the same."""
        if self.book.state == SYNCED:
            self.book.feed(UPDATE, STEP, [], [], last_id=2**62)

    def up(self, line):
        self.arbiter.line_up(line)

    def down(self, line):
        for _ in self.arbiter.line_down(line):
            self.orphan()

    def step(self, line, last_id, after_ms=1):
        """A delta that sets the best bid's size to its own number."""
        return self.give(line, UPDATE, last_id, last_id - 1, [(100, last_id)], after_ms=after_ms)

    def snap(self, line, last_id, after_ms=1):
        return self.give(line, SNAPSHOT, last_id, -1, [(100, last_id)], [(200, 1)], after_ms=after_ms)

    @property
    def shows(self):
        """Number of the message that the levels are from, or None where the book is unusable."""
        return self.book.size(0, 100) if self.book.state == SYNCED else None


def running(lines=2, at=10, **options):
    """All lines in step at number `at`."""
    merge = Merge(lines, **options)
    for line in range(lines):
        merge.snap(line, at)
    return merge


@pytest.mark.parametrize("rule", [STEP, PREV])
@pytest.mark.parametrize("lines", [2, 3])
def test_copies_from_other_lines_are_dropped_whoever_is_first(lines, rule):
    merge, rng = running(lines, rule=rule), random.Random(lines)
    for number in range(11, 200):
        order = rng.sample(range(lines), lines)
        assert [merge.step(line, number) for line in order] == [PASS] + [DROP] * (lines - 1)
        assert merge.shows == number
    stats = merge.arbiter.stats()
    assert sum(row["won"] for row in stats.values()) == 190
    assert sum(row["late"] for row in stats.values()) == 190 * (lines - 1)
    assert merge.book.gaps == 0


def test_a_hole_on_one_line_is_healed_by_the_other():
    merge = running()
    assert merge.step(0, 11) == PASS
    assert merge.step(0, 13) == DROP  # 12 was lost
    assert merge.shows == 11
    assert [merge.step(1, n) for n in (11, 12, 13)] == [DROP, PASS, PASS]
    assert [merge.step(0, 14), merge.step(1, 14)] == [PASS, DROP]
    assert (merge.shows, merge.book.gaps) == (14, 0)
    assert merge.arbiter.stats()[0]["held"] == 1


def test_a_third_line_heals_what_two_lost():
    merge = running(3)
    merge.step(0, 12)
    merge.step(1, 12)
    assert merge.book.state == SYNCED
    assert [merge.step(2, n) for n in (11, 12, 13)] == [PASS, PASS, PASS]
    assert merge.book.gaps == 0


def test_a_hole_that_no_line_fills_is_held_and_then_lost():
    merge = running()
    assert merge.step(0, 12) == DROP
    assert merge.step(0, 13, after_ms=198) == DROP
    assert merge.shows == 10
    assert merge.step(0, 14, after_ms=2) == PASS
    assert (merge.shows, merge.book.state, merge.asks) == (None, GAP, 1)
    assert merge.arbiter.stats()[0]["lost"] == 1


def test_a_hole_on_every_line_is_a_gap_at_once():
    merge = running()
    assert merge.step(0, 12) == DROP
    assert merge.step(1, 12) == PASS
    assert merge.book.state == GAP


def test_a_single_line_gaps_at_once():
    merge = running(1)
    assert merge.step(0, 12) == PASS
    assert merge.book.state == GAP


@pytest.mark.parametrize("lag", [1, 5, 50])
def test_a_line_that_lags_never_turns_the_book_back(lag):
    merge = running()
    for number in range(11, 300):
        assert merge.step(0, number) == PASS
        if number - lag > 10:
            assert merge.step(1, number - lag) == DROP
        assert merge.shows == number
    for number in range(300 - lag, 320):  # the leader stops: the laggard catches up and takes over
        assert merge.step(1, number) == (PASS if number >= 300 else DROP)
    assert (merge.shows, merge.book.gaps) == (319, 0)


@pytest.mark.parametrize("lag", [1, 3, 15])
def test_a_leading_line_that_lost_one_message_is_no_gap_however_long_the_other_lags(lag):
    """The hole is filled by the laggard, which from then on is the one that is in step: that is not a lost
    hole."""
    merge = running()
    numbers = [n for n in range(11, 400) if n != 60]
    for number in numbers:
        merge.step(0, number, after_ms=9)
        if number - lag > 10:
            merge.step(1, number - lag)
    assert merge.book.gaps == 0
    assert merge.shows >= 399 - lag


def test_swapping_the_laggard_changes_nothing():
    merge = running()
    for number in range(11, 400):
        ahead = number // 40 % 2
        merge.step(ahead, number, after_ms=7)
        merge.step(1 - ahead, number - 3)
    assert merge.book.gaps == 0
    assert merge.applied == sorted(set(merge.applied))


# ---- snapshots ----


def test_the_first_snapshot_of_a_new_line_is_dropped_where_another_is_further_on():
    merge = running(1)
    for number in range(11, 20):
        merge.step(0, number)
    merge.up(1)
    assert merge.snap(1, 15) == DROP
    assert merge.shows == 19
    assert [merge.step(1, n) for n in (16, 19, 20)] == [DROP, DROP, PASS]
    assert merge.shows == 20


def test_the_first_snapshot_of_a_new_line_is_used_where_it_is_further_on():
    merge = running(1)
    merge.up(1)
    assert merge.snap(1, 15) == PASS
    assert merge.shows == 15
    assert [merge.step(0, 11), merge.step(0, 15), merge.step(0, 16)] == [DROP, DROP, PASS]


def test_the_first_snapshot_of_a_line_that_is_alone_is_always_used():
    merge = running(2)
    merge.down(0)
    merge.down(1)
    assert merge.book.state == GAP
    merge.up(1)
    assert merge.snap(1, 3) == PASS
    assert merge.shows == 3


def test_a_snapshot_of_a_new_line_repairs_a_gap():
    merge = running(1)
    merge.step(0, 15)
    assert merge.book.state == GAP
    merge.up(1)
    assert merge.snap(1, 14) == PASS
    assert [merge.step(0, 15), merge.step(1, 16)] == [PASS, PASS]


def test_a_snapshot_on_a_running_line_is_the_venue_starting_anew():
    merge = running(1, at=5000)
    assert merge.snap(0, 1) == PASS
    assert [merge.step(0, 2), merge.step(0, 3)] == [PASS, PASS]
    assert (merge.shows, merge.book.gaps) == (3, 0)


@pytest.mark.parametrize("second_is_late_by", [0, 1, 10])
@pytest.mark.parametrize("leader", [0, 1])
def test_a_venue_reset_on_both_lines_ends_in_the_new_numbering_without_a_gap(leader, second_is_late_by):
    """The line that resets first is followed; the other still brings old numbers, then its own reset."""
    merge, other = running(at=5000), 1 - leader
    merge.step(leader, 5001)
    merge.snap(leader, 1)
    for number in range(2, 2 + second_is_late_by):
        merge.step(leader, number)
        merge.step(other, 5000 + number)
        assert merge.shows == number
    merge.snap(other, 1)
    last = 1 + second_is_late_by
    for number in range(2, 60):
        merge.step(other, number)
        merge.step(leader, last + number - 1)
    assert merge.book.gaps == 0
    assert merge.shows >= 59


@pytest.mark.parametrize("leader", [0, 1])
def test_the_legal_reset_of_okx_on_both_lines_is_followed_once(leader):
    merge, other = running(at=100, rule=PREV), 1 - leader
    assert merge.give(leader, UPDATE, 3, 100, [(100, 3)]) == PASS
    assert merge.give(leader, UPDATE, 5, 3, [(100, 5)]) == PASS
    assert merge.give(other, UPDATE, 3, 100, [(100, 3)]) == DROP
    assert merge.give(other, UPDATE, 5, 3, [(100, 5)]) == DROP
    assert merge.give(other, UPDATE, 6, 5, [(100, 6)]) == PASS
    assert merge.give(leader, UPDATE, 6, 5, [(100, 6)]) == DROP
    assert (merge.shows, merge.book.gaps, merge.asks) == (6, 0, 0)


def test_a_new_line_in_a_new_numbering_takes_over_when_the_old_line_dies():
    """The new line's snapshot looked stale while the old line ran; without the old line it must not stay
    frozen out."""
    merge = running(1, at=5000)
    merge.up(1)
    assert merge.snap(1, 1) == DROP
    merge.step(0, 5001)
    assert merge.step(1, 2) == DROP
    merge.down(0)
    for number in range(3, 40):
        merge.step(1, number, after_ms=100)
    assert merge.book.state == GAP  # said, and asked for: not frozen at old prices for ever
    assert merge.asks == 1
    assert merge.snap(1, 40) == PASS
    assert [merge.step(1, 41), merge.shows] == [PASS, 41]


def test_a_laggard_left_alone_for_a_moment_is_no_gap():
    merge = running()
    for number in range(11, 40):
        merge.step(0, number)
    merge.down(0)
    for number in range(11, 60):
        merge.step(1, number, after_ms=20)
    assert (merge.shows, merge.book.gaps) == (59, 0)


def test_where_every_message_is_a_snapshot_a_laggard_never_turns_the_book_back():
    merge = running(partial=True)
    for number in range(11, 200):
        assert merge.snap(0, number) == PASS
        assert merge.snap(1, number - 1) == DROP
        assert merge.shows == number
    assert merge.snap(1, 300) == PASS
    assert merge.snap(0, 200) == DROP
    assert merge.shows == 300


def test_where_every_message_is_a_snapshot_a_number_that_falls_on_its_own_line_is_a_new_start():
    merge = running(partial=True, at=5000)
    assert merge.snap(0, 1) == PASS
    assert merge.snap(0, 2) == PASS
    assert merge.shows == 2


def test_a_repeated_snapshot_of_one_line_is_a_copy_on_the_other():
    merge = running(partial=True)
    assert merge.snap(0, 11) == PASS
    assert merge.snap(1, 11) == DROP
    assert merge.snap(0, 11) == DROP


# ---- lines coming and going ----


def test_the_last_line_going_down_orphans_the_book_and_no_line_before_it():
    arbiter = Arbiter(3, HOLD)
    for line in (0, 1):
        arbiter.line_up(line)
    for instrument, lines in ((0, (0, 1)), (1, (0,)), (2, ())):
        for line in lines:
            arbiter.ask(line, SNAPSHOT, STEP, -1, 10, -1, -1, False, 1, instrument=instrument)
    assert arbiter.lines_up() == 2
    assert arbiter.line_down(0) == [1]
    assert arbiter.line_down(1) == [0]
    assert arbiter.lines_up() == 0


def test_a_line_that_came_back_but_carried_nothing_yet_does_not_hold_a_book():
    merge = running()
    merge.down(1)
    merge.up(1)
    assert merge.shows == 10
    merge.down(0)
    assert merge.shows is None


def test_a_line_going_down_while_holding_is_forgotten():
    merge = running()
    merge.step(0, 12)
    merge.down(0)
    assert merge.step(1, 11) == PASS
    assert merge.step(1, 13) == PASS  # nobody can fill it now
    assert merge.book.state == GAP


def test_only_one_line_fills_the_buffer_and_the_next_one_takes_over_when_it_dies():
    merge = Merge(2, rule=RANGE, by_request=True)

    def spot(line, number):
        return merge.give(line, UPDATE, number, bids=[(100, number)], first_id=number)

    assert [spot(0, 11), spot(1, 11), spot(0, 12), spot(1, 12)] == [PASS, DROP, PASS, DROP]
    merge.down(0)  # orphans nothing: line 1 carries it
    assert [spot(1, 12), spot(1, 13)] == [PASS, PASS]
    assert merge.give(5, SEED, 11, bids=[(100, 1)], asks=[(200, 1)], first_id=11) == PASS
    assert (merge.shows, merge.book.gaps) == (13, 0)


def test_a_line_that_jumped_behind_a_seed_waits_for_the_line_that_is_in_step():
    merge = Merge(2, rule=RANGE, by_request=True)

    def spot(line, number):
        return merge.give(line, UPDATE, number, bids=[(100, number)], first_id=number)

    spot(0, 11)
    spot(1, 11)
    merge.give(5, SEED, 11, bids=[(100, 1)], asks=[(200, 1)], first_id=11)
    assert spot(1, 13) == DROP
    assert spot(0, 12) == PASS
    assert merge.shows == 12


def test_an_answer_to_a_request_does_not_make_its_line_a_carrier():
    arbiter = Arbiter(1, HOLD)
    arbiter.line_up(1)
    arbiter.ask(1, UPDATE, RANGE, 11, 11, -1, -1, False, 1)
    assert arbiter.ask(33, SEED, RANGE, 11, 11, -1, -1, False, 1) == PASS  # 33 must not stand for line 1
    arbiter.line_up(2)
    arbiter.ask(34, SEED, RANGE, 11, 11, -1, -1, False, 1)
    assert arbiter.line_down(1) == [0]


def test_depth_on_a_line_beyond_the_table_is_dropped():
    arbiter = Arbiter(1, HOLD)
    for line in (32, 33, 64, 255):
        assert arbiter.ask(line, SNAPSHOT, STEP, -1, 10, -1, -1, False, 1) == DROP
        assert arbiter.ask(line, UPDATE, STEP, -1, 10, -1, 9, True, 1) == DROP
    for line in (-1, 32):
        with pytest.raises(ValueError, match="at most"):
            arbiter.line_up(line)
        with pytest.raises(ValueError, match="at most"):
            arbiter.line_down(line)


# ---- everything at once ----


def make_stream(rng, n):
    """Truth after each message of a feed that starts at number 10: [(bids, asks)], and the messages."""
    twin, out = Levels(), []
    twin.apply([(100, 1)], [(200, 1)])
    truth = {10: (twin.bids(), twin.asks())}
    for number in range(11, 11 + n):
        bids = [(rng.randrange(1, 150), rng.choice((0, 1, 9))) for _ in range(rng.randrange(4))]
        asks = [(rng.randrange(150, 300), rng.choice((0, 1, 9))) for _ in range(rng.randrange(4))]
        twin.apply(bids, asks)
        truth[number] = (twin.bids(), twin.asks())
        out.append((number, bids, asks))
    return truth, out


def deliveries(rng, stream, loss, delay_ms, breaks):
    """(time ms, line, kind, number, bids, asks) of two lines: own losses, own delays, reconnects with a
    snapshot."""
    out = []
    for line in (0, 1):
        lag, at, down_until = rng.randrange(delay_ms + 1), 0.0, 0
        for number, bids, asks in stream:
            at = max(at, number * 10 + lag + rng.random() * 5)
            if breaks and rng.random() < 0.02 and number > down_until:
                down_until = number + rng.randrange(1, 6)
                out.append((at, line, "down", number, None, None))
                continue
            if number < down_until:
                continue
            if number == down_until:
                out.append((at, line, "up", number, None, None))
            elif rng.random() >= loss[line]:
                out.append((at, line, "update", number, bids, asks))
    return sorted(out, key=lambda row: (row[0], row[1], row[3]))


def run(rng, loss, delay_ms, breaks):
    truth, stream = make_stream(rng, 250)
    merge, shown = Merge(2), 0
    for line in (0, 1):
        merge.give(line, SNAPSHOT, 10, bids=truth[10][0], asks=truth[10][1])
    for _at, line, what, number, bids, asks in deliveries(rng, stream, loss, delay_ms, breaks):
        merge.now = max(merge.now, int(_at * MS) + 1000 * MS)
        if what == "down":
            merge.down(line)
        elif what == "up":
            merge.up(line)
            merge.give(line, SNAPSHOT, number, bids=truth[number][0], asks=truth[number][1], after_ms=0)
        else:
            merge.give(line, UPDATE, number, bids=bids, asks=asks, after_ms=0)
        if merge.book.state == SYNCED:  # never wrong, never crossed, never back
            assert (merge.book.bids(), merge.book.asks()) == truth[merge.book.last_id]
            assert not merge.book.is_crossed()
            assert merge.book.last_id >= shown or merge.book.resyncs
            shown = merge.book.last_id
    return merge, stream[-1][0]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("lossy", [0, 1])
def test_two_lines_give_the_loss_free_book_where_one_of_them_delivers_everything_in_time(seed, lossy):
    rng = random.Random(f"one {seed} {lossy}")
    loss = (0.1, 0.0) if lossy == 0 else (0.0, 0.1)
    merge, last = run(rng, loss, delay_ms=150, breaks=False)
    assert (merge.book.gaps, merge.book.last_id) == (0, last)


@pytest.mark.parametrize("seed", range(40))
def test_two_lossy_lines_with_reconnects_never_show_a_wrong_book(seed):
    """Where both lost something, the gap is said; the snapshot of the next reconnect repairs it."""
    rng = random.Random(f"both {seed}")
    merge, _last = run(rng, (0.05, 0.05), delay_ms=100, breaks=True)
    assert merge.applied
    assert merge.book.resyncs <= merge.book.gaps <= merge.book.resyncs + 1


@pytest.mark.parametrize("seed", range(40))
def test_two_lines_close_together_heal_each_others_losses(seed):
    """Lines a fraction of a message apart, losses never on both at once: every message came in time, so no
    gap."""
    rng = random.Random(f"close {seed}")
    truth, stream = make_stream(rng, 250)
    merge = Merge(2)
    for line in (0, 1):
        merge.give(line, SNAPSHOT, 10, bids=truth[10][0], asks=truth[10][1])
    for number, bids, asks in stream:
        lost = rng.choice((0, 1, None, None))
        for line in rng.sample((0, 1), 2):
            if line != lost:
                merge.give(line, UPDATE, number, bids=bids, asks=asks, after_ms=5)
        assert (merge.book.bids(), merge.book.asks()) == truth[number]
    assert (merge.book.gaps, merge.book.last_id) == (0, stream[-1][0])

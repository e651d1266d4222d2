"""Redundant lines: copies are dropped, a hole on one line is filled by the other, and nothing is applied out
of order."""

import random

import pytest
from lossy import STYLES, Venue, arrivals, is_complete

from ext import arbiter as door
from ext.arbiter import Arbiter
from ext.book import Applied, Book, BookState
from ext.records import DepthKind, Rule

UPDATE, SNAPSHOT, SEED = DepthKind.UPDATE, DepthKind.SNAPSHOT, DepthKind.SEED
RANGE, PREV, STEP = Rule.RULE_RANGE, Rule.RULE_PREV, Rule.RULE_STEP
MS = 1_000_000
HOLD = 200 * MS
DROP, PASS, STUCK, HELD, LOST, SPLICE = range(6)
SYNCED, GAP = BookState.SYNCED, BookState.GAP


class Merge:
    """Arbiter and book joined as the engine joins them, with the numbers of one feed."""

    def __init__(self, lines=2, rule=STEP, by_request=False):
        self.arbiter, self.book, self.rule = Arbiter(1, HOLD), Book(0, by_request), rule
        self.now, self.applied, self.asks, self.loaded = 1000 * MS, [], 0, False
        for line in range(lines):
            self.arbiter.line_up(line)

    @property
    def stand(self):
        return self.book.last_id, self.book.state == SYNCED, self.loaded, self.book.by_request

    def give(self, line, kind, last_id, prev_id=-1, bids=(), asks=(), first_id=-1, after_ms=1):
        """One message; returns what the arbiter said."""
        self.now += after_ms * MS
        self.overdue()  # as the engine's timer does
        message = {
            "kind": kind,
            "rule": self.rule,
            "first_id": first_id,
            "last_id": last_id,
            "prev_id": prev_id,
            "bids": list(bids),
            "asks": list(asks),
        }
        said = door.ask(self.arbiter, line, message, self.stand, self.now)
        if said == STUCK:
            self.orphan()
            self.asks += 1
        elif said == LOST:
            self.give_up()
        elif said in (PASS, SPLICE):
            if said == SPLICE:
                message["prev_id"] = self.book.last_id
            self.follow_on(line, message, self.now)
        return said

    def follow_on(self, line, message, came_ns):
        self.apply(message)
        door.tell(self.arbiter, line, message, self.stand, came_ns, self.now)
        while (row := door.pull(self.arbiter, 0, self.stand, self.now)) is not None:
            self.apply(row[1])
            door.tell(self.arbiter, row[0], row[1], self.stand, row[2], self.now)
        self.overdue()

    def overdue(self):
        if door.is_overdue(self.arbiter, 0, self.stand, self.now):
            self.give_up()

    def give_up(self):
        row = door.give_up(self.arbiter, 0, self.book.by_request)
        if row is not None:
            self.follow_on(*row)
        elif self.book.state == SYNCED:
            self.orphan()
            self.asks += 1

    def apply(self, message):
        what = self.book.feed(
            message["kind"],
            self.rule,
            message["bids"],
            message["asks"],
            first_id=message["first_id"],
            last_id=message["last_id"],
            prev_id=message["prev_id"],
            now_ns=self.now,
        )
        self.loaded = self.book.state != SYNCED and (
            what == Applied.APPLIED or (self.loaded and what == Applied.IGNORED)
        )
        self.asks += what in (Applied.GAPPED, Applied.RESEED)
        if what == Applied.APPLIED:
            self.applied.append(self.book.last_id)

    def advance(self, ms):
        """Time passes and nothing comes."""
        self.now += ms * MS
        self.overdue()

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
        self.overdue()

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
    assert merge.step(0, 13) == HELD  # 12 was lost
    assert merge.shows == 11
    assert [merge.step(1, n) for n in (11, 12, 13)] == [DROP, PASS, DROP]
    assert [merge.step(0, 14), merge.step(1, 14)] == [PASS, DROP]
    assert (merge.shows, merge.book.gaps) == (14, 0)
    stats = merge.arbiter.stats()
    assert (stats[0]["held"], stats[0]["healed"], stats[1]["healed"]) == (1, 0, 1)


def test_a_third_line_heals_what_two_lost():
    merge = running(3)
    merge.step(0, 12)
    merge.step(1, 12)
    assert merge.book.state == SYNCED
    assert [merge.step(2, n) for n in (11, 12, 13)] == [PASS, DROP, PASS]
    assert merge.book.gaps == 0


def test_a_hole_that_no_line_fills_is_held_and_then_lost():
    merge = running()
    assert merge.step(0, 12) == HELD
    assert merge.step(0, 13, after_ms=198) == HELD
    assert merge.shows == 10
    merge.advance(2)
    assert (merge.shows, merge.book.state, merge.asks) == (None, GAP, 1)
    assert merge.arbiter.stats()[0]["lost"] == 1


def test_a_hole_on_every_line_is_a_gap_at_once():
    merge = running()
    assert merge.step(0, 12) == HELD
    assert merge.step(1, 12) == LOST
    assert merge.book.state == GAP


def test_a_single_line_gaps_at_once():
    merge = running(1)
    assert merge.step(0, 12) == LOST
    assert merge.book.state == GAP


def test_lines_that_lost_different_messages_make_one_whole_stream():
    """What a line brought beyond its hole is kept, so that it counts when the other has lost just that."""
    merge = running()
    assert [merge.step(0, n) for n in (11, 13, 14, 16)] == [PASS, HELD, HELD, HELD]
    assert [merge.step(1, n) for n in (11, 12)] == [DROP, PASS]
    assert merge.shows == 14
    assert [merge.step(1, n) for n in (15, 17)] == [PASS, PASS]
    assert (merge.shows, merge.book.gaps, merge.asks) == (17, 0, 0)
    assert merge.arbiter.stats()[1]["healed"] == 2


def test_a_hole_counts_from_the_first_message_behind_it_not_from_an_earlier_hole():
    """A leader that loses again and again, and a laggard that fills each hole in time."""
    merge = running()
    for number in range(11, 400):
        if number % 3:
            merge.step(0, number, after_ms=9)
        if number - 15 > 10:
            merge.step(1, number - 15)
    assert (merge.book.gaps, merge.asks) == (0, 0)


def test_a_laggard_is_waited_for_no_longer_than_a_second_though_it_moves_the_book():
    merge = running()
    for number in range(11, 40):  # line 0 runs away behind a hole; line 1 comes 10 messages a second
        merge.step(0, number + 1000, after_ms=1)
    for number in range(11, 20):
        assert merge.step(1, number, after_ms=99) == PASS
        merge.now += MS
    merge.advance(200)
    assert merge.book.state == GAP


def test_what_waits_is_bounded_and_what_does_not_fit_is_counted():
    merge = running()
    for number in range(12, 1100):
        assert merge.step(0, number, after_ms=0) == HELD
    assert merge.arbiter.stats()[0]["spilled"] == 1099 - 11 - 1024
    assert merge.step(1, 11) == PASS
    assert merge.shows == 1035


def test_the_lead_of_a_line_is_counted_when_the_copy_comes():
    merge = running(1)
    merge.up(1)
    merge.step(0, 11)
    assert merge.step(1, 11, after_ms=3) == DROP
    leads = merge.arbiter.stats()[0]["leads"]
    assert [n for n, count in enumerate(leads) if count] == [(3 * MS).bit_length()]
    assert not any(merge.arbiter.stats()[1]["leads"])


def test_a_plain_copy_is_known_before_its_levels_are_read_and_nothing_else_is():
    merge = running()
    merge.step(0, 11)

    def is_copy(line, last_id, prev_id=-1, kind=UPDATE):
        message = {"kind": kind, "rule": STEP, "first_id": -1, "last_id": last_id, "prev_id": prev_id}
        return door.is_copy(merge.arbiter, line, message, merge.stand, merge.now)

    assert is_copy(1, 11)
    assert merge.arbiter.stats()[1]["late"] == 2  # the snapshot at the start, and this
    assert not is_copy(1, 12)
    assert not is_copy(1, 9)  # its own numbers fell
    assert not is_copy(5, 11)  # has carried nothing
    merge.down(1)
    assert not is_copy(0, 11)  # alone: it proves that the stream lives
    merge.up(1)
    assert not is_copy(1, 11)
    merge.orphan()
    assert not is_copy(0, 11)


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
    assert merge.shows == 14  # what waits says nothing of the numbering that the book is in now
    assert [merge.step(0, 15), merge.step(1, 16)] == [PASS, PASS]


def test_a_repeated_restart_turns_nothing_back_even_on_a_line_that_is_alone():
    merge = running(2, at=5000)
    merge.snap(0, 1)
    for number in (2, 3, 4):
        merge.step(0, number)
    merge.down(0)
    assert [merge.snap(1, 1), merge.snap(1, 1)] == [DROP, DROP]
    assert [merge.step(1, n) for n in (2, 3, 4, 5)] == [DROP, DROP, DROP, PASS]
    assert (merge.shows, merge.book.gaps) == (5, 0)


def test_what_waits_joins_a_snapshot_where_messages_name_the_one_before():
    merge = running(2, rule=PREV)
    merge.step(0, 15)
    merge.step(1, 15)
    assert merge.book.state == GAP
    merge.up(0)
    assert merge.snap(0, 14) == PASS
    assert merge.shows == 15


@pytest.mark.parametrize("rule", [STEP, PREV])
def test_what_waits_of_an_older_numbering_never_joins_a_newer_one(rule):
    """Two restarts in a row, and no line that could fill the hole between."""
    merge = running(2, rule=rule)
    merge.snap(0, 1)
    merge.snap(1, 1)
    for number in (3, 4, 5):
        merge.step(0, number)
        merge.step(1, number)
    assert merge.book.state == GAP
    assert merge.snap(0, 1) == PASS
    assert merge.step(0, 2) == PASS
    assert merge.shows == 2


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
    merge = running()
    for number in range(11, 200):
        assert merge.snap(0, number) == PASS
        assert merge.snap(1, number - 1) == DROP
        assert merge.shows == number
    assert merge.snap(1, 300) == PASS
    assert merge.snap(0, 200) == DROP
    assert merge.shows == 300


def test_where_every_message_is_a_snapshot_a_number_that_falls_on_its_own_line_is_a_new_start():
    merge = running(at=5000)
    assert merge.snap(0, 1) == PASS
    assert merge.snap(0, 2) == PASS
    assert merge.shows == 2


def test_a_repeated_snapshot_of_one_line_is_a_copy_on_the_other():
    merge = running()
    assert merge.snap(0, 11) == PASS
    assert merge.snap(1, 11) == DROP
    assert merge.snap(0, 11) == DROP


# ---- lines coming and going ----


def ask(arbiter, line, kind, last_id, rule=STEP, instrument=0, stand=(-1, False, False, False)):
    ids = {"first_id": last_id if rule == RANGE else -1, "last_id": last_id, "prev_id": -1}
    return door.ask(arbiter, line, {"instrument": instrument, "kind": kind, "rule": rule, **ids}, stand, 1)


def test_a_line_that_is_subscribed_and_has_brought_nothing_yet_may_fill_a_hole():
    for expected in (False, True):
        merge = Merge(2)
        if expected:
            merge.arbiter.expect(1, 0)
        merge.snap(0, 10)
        assert merge.step(0, 12) == (HELD if expected else LOST)
    assert merge.step(1, 11) == PASS
    assert merge.shows == 12
    merge.step(0, 14)
    merge.down(1)
    assert merge.book.state == GAP
    for line, instrument in ((-1, 0), (32, 0), (0, -1), (0, 1)):
        with pytest.raises(ValueError, match="no such"):
            merge.arbiter.expect(line, instrument)


def test_the_last_line_going_down_orphans_the_book_and_no_line_before_it():
    arbiter = Arbiter(3, HOLD)
    for line in (0, 1):
        arbiter.line_up(line)
    for instrument, lines in ((0, (0, 1)), (1, (0,)), (2, ())):
        for line in lines:
            ask(arbiter, line, SNAPSHOT, 10, instrument=instrument)
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


def test_what_a_line_brought_before_it_went_down_still_counts():
    merge = running()
    merge.step(0, 12)
    merge.down(0)
    assert merge.step(1, 11) == PASS
    assert merge.shows == 12
    assert merge.step(1, 14) == LOST  # nobody can fill it now
    assert merge.book.state == GAP


def test_a_hole_that_only_a_line_that_went_down_could_fill_is_a_gap_at_once():
    merge = running()
    merge.step(0, 12)
    merge.down(1)
    assert merge.book.state == GAP


def test_every_line_fills_the_buffer_and_goes_on_when_another_dies():
    merge = Merge(2, rule=RANGE, by_request=True)

    def spot(line, number):
        return merge.give(line, UPDATE, number, bids=[(100, number)], first_id=number)

    assert [spot(0, 11), spot(1, 11), spot(0, 12), spot(1, 12)] == [PASS, DROP, PASS, DROP]
    merge.down(0)  # orphans nothing: line 1 carries it
    assert [spot(1, 12), spot(1, 13)] == [DROP, PASS]
    assert merge.give(5, SEED, 11, bids=[(100, 1)], asks=[(200, 1)], first_id=11) == PASS
    assert (merge.shows, merge.book.gaps) == (13, 0)


def test_a_line_that_jumped_behind_a_seed_waits_for_the_line_that_is_in_step():
    merge = Merge(2, rule=RANGE, by_request=True)

    def spot(line, number):
        return merge.give(line, UPDATE, number, bids=[(100, number)], first_id=number)

    spot(0, 11)
    spot(1, 11)
    merge.give(5, SEED, 11, bids=[(100, 1)], asks=[(200, 1)], first_id=11)
    assert spot(1, 13) == HELD
    assert spot(0, 12) == PASS
    assert merge.shows == 13


def test_an_answer_to_a_request_does_not_make_its_line_a_carrier():
    arbiter = Arbiter(1, HOLD)
    arbiter.line_up(1)
    ask(arbiter, 1, UPDATE, 11, RANGE, stand=(-1, False, False, True))
    assert ask(arbiter, 33, SEED, 11, RANGE) == PASS  # 33 must not stand for line 1
    arbiter.line_up(2)
    ask(arbiter, 34, SEED, 11, RANGE)
    assert arbiter.line_down(1) == [0]


def test_depth_on_a_line_beyond_the_table_is_dropped():
    arbiter = Arbiter(1, HOLD)
    for line in (32, 33, 64, 255):
        assert ask(arbiter, line, SNAPSHOT, 10) == DROP
        assert ask(arbiter, line, UPDATE, 10, stand=(9, True, False, False)) == DROP
    for line in (-1, 32):
        with pytest.raises(ValueError, match="at most"):
            arbiter.line_up(line)
        with pytest.raises(ValueError, match="at most"):
            arbiter.line_down(line)


# ---- everything at once ----


class Witness(Merge):
    """A merge whose book is held against the truth behind every message."""

    def __init__(self, venue):
        super().__init__(2, venue.style.rule, venue.style.by_request)
        self.venue, self.at, self.synced = venue, 0, 0

    def begin(self):
        for line in (0, 1):
            if not self.venue.style.by_request:
                self.take(line, self.venue.snapshot(0))
        if self.venue.style.by_request:
            for line in (0, 1):
                self.take(line, self.venue.update(0, 0))
            self.take(40, self.venue.snapshot(0, SEED))

    def take(self, line, message):
        self.give(line, after_ms=0, **{k: v for k, v in message.items() if k != "rule"})
        self.check()

    def check(self):
        """Never wrong, never crossed; and never back, but by a resync."""
        if self.book.state != SYNCED:
            return
        at = self.book.size(0, 100) - 1
        assert (self.book.bids(), self.book.asks()) == self.venue.truth[at]
        assert at >= self.at or self.book.resyncs > self.synced
        self.at, self.synced = at, self.book.resyncs

    def run(self, rows):
        for row in rows:
            self.now = max(self.now, row.ns + 1000 * MS)
            if row.what == "down":
                self.down(row.line)
            elif row.what == "up":
                self.up(row.line)
            elif row.what == "snapshot":
                self.take(row.line, self.venue.snapshot(row.last))
            else:
                self.take(row.line, self.venue.update(row.first, row.last))
        return self


def world(seed, style, restarts=0.01, **faults):
    rng = random.Random(f"{style.name} {seed}")
    venue = Venue(style).live(rng, 250, restarts)
    rows = arrivals(venue, rng, **faults)
    witness = Witness(venue)
    witness.begin()
    return witness.run(rows), is_complete(rows, 250)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("style", STYLES, ids=lambda x: x.name)
def test_a_stream_that_both_lines_hold_together_gives_the_true_book_at_every_step_without_a_gap(seed, style):
    """Losses on both, repeats, lags below the hold, restarts of the numbering, cuts at different places."""
    merge, complete = world(seed, style, loss=(0.05, 0.05), lag_ms=150, again=0.05)
    while not complete:
        seed += 1000
        merge, complete = world(seed, style, loss=(0.05, 0.05), lag_ms=150, again=0.05)
    assert (merge.book.gaps, merge.asks, merge.at) == (0, 0, 249)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("style", STYLES, ids=lambda x: x.name)
def test_two_lossy_lines_with_reconnects_never_show_a_wrong_book(seed, style):
    """Where both lost something the gap is said, and a snapshot repairs it."""
    merge, _ = world(seed, style, loss=(0.1, 0.1), lag_ms=150, again=0.05, breaks=0.02)
    assert merge.applied
    assert merge.book.resyncs <= merge.book.gaps <= merge.book.resyncs + 1


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("style", STYLES, ids=lambda x: x.name)
def test_a_line_that_has_everything_needs_no_other_however_bad_that_is(seed, style):
    bad = seed % 2
    loss = (0.3, 0.0) if bad == 0 else (0.0, 0.3)
    merge, _ = world(seed, style, loss=loss, lag_ms=150, again=0.2)
    assert (merge.book.gaps, merge.at) == (0, 249)

"""The book against a naive twin, and the sequence state: a book that missed something is unusable in the same
call."""

import random

import pytest
from book_twin import Feed, Levels
from hypothesis import given, settings
from hypothesis import strategies as st

from ext.book import Applied, Book, BookState
from ext.records import DepthKind, Rule

TOP = 2**48 - 1
BUY, SELL = 0, 1
UPDATE, SNAPSHOT, SEED = DepthKind.UPDATE, DepthKind.SNAPSHOT, DepthKind.SEED
RANGE, PREV, STEP, NONE = Rule.RULE_RANGE, Rule.RULE_PREV, Rule.RULE_STEP, Rule.RULE_NONE
IGNORED, APPLIED, BUFFERED, GAPPED, RESEED = (
    Applied.IGNORED,
    Applied.APPLIED,
    Applied.BUFFERED,
    Applied.GAPPED,
    Applied.RESEED,
)
EMPTY, BUFFERING, SYNCED, GAP = BookState.EMPTY, BookState.BUFFERING, BookState.SYNCED, BookState.GAP


def synced(bids=((100, 5),), asks=((101, 7),), last_id=100, rule=STEP) -> Book:
    """A book fed by its stream's own snapshots, synced at `last_id`."""
    book = Book(0)
    assert book.feed(SNAPSHOT, rule, list(bids), list(asks), last_id=last_id) == APPLIED
    return book


def check_equal(book: Book, twin: Levels, rng: random.Random | None = None) -> None:
    """Every way of reading the book gives what the twin gives."""
    bids, asks = twin.bids(), twin.asks()
    assert (book.bids(), book.asks()) == (bids, asks)
    assert (book.bid_levels, book.ask_levels) == (len(bids), len(asks))
    assert (book.bids(3), book.asks(1)) == (bids[:3], asks[:1])
    rng = rng or random.Random(1)
    for side, levels in ((BUY, bids), (SELL, asks)):
        prices = [p for p, _ in rng.sample(levels, min(4, len(levels)))]
        for price in [*prices, 0, TOP, rng.randrange(TOP)]:
            assert book.size(side, price) == twin.size(side, price)
            assert book.cumulative(side, price) == twin.cumulative(side, price)
    for side in (BUY, SELL):
        for lots in (1, rng.randrange(1, 1000), rng.randrange(1, 10**6)):
            assert book.cost(side, lots) == twin.cost(side, lots)


# ---- levels ----


def prices(rng: random.Random, style: str, n: int) -> list[int]:
    if style == "near":
        return [5_000_000 + rng.randrange(-80, 80) for _ in range(n)]
    if style == "deep":
        return [5_000_000 + rng.randrange(-6000, 6000) for _ in range(n)]
    if style == "far":
        return [
            rng.choice((rng.randrange(TOP + 1), 1 << rng.randrange(48), TOP - (1 << rng.randrange(47))))
            for _ in range(n)
        ]
    return [
        rng.choice((0, 1, 62, 63, 64, 65, 4095, 4096, TOP - 64, TOP - 63, TOP - 1, TOP)) for _ in range(n)
    ]


def side_of(rng, style, mid, deletes):
    """Levels below `mid` for bids and from it for asks, so that the book never crosses."""
    bids, asks = [], []
    for price in prices(rng, style, rng.randrange(40)):
        size = 0 if rng.random() < deletes else rng.choice((1, rng.randrange(1, 1000), 2**40))
        (bids if price < mid else asks).append((price, size))
    return bids, asks


@pytest.mark.parametrize("style", ["near", "deep", "far", "edge"])
def test_the_book_equals_its_twin_over_many_random_updates(style):
    """Together over 100,000 level updates: unknown deletes, a price twice in one message, one side empty for
    long."""
    rng = random.Random(f"book {style}")
    mid = {"near": 5_000_000, "deep": 5_000_000, "far": 2**47, "edge": 2**20}[style]
    book, twin, done, number = synced([], []), Levels(), 0, 100
    while done < 30_000:
        deletes = rng.choice((0.1, 0.5, 0.9)) if number % 300 else 1.0
        bids, asks = side_of(rng, style, mid, deletes)
        number += 1
        assert book.feed(UPDATE, STEP, bids, asks, last_id=number) == APPLIED
        twin.apply(bids, asks)
        done += len(bids) + len(asks)
        bid, ask = twin.bids()[:1], twin.asks()[:1]
        assert (book.bids(1), book.asks(1)) == (bid, ask)
        if number % 50 == 0:
            check_equal(book, twin, rng)
        if number % 1000 == 0:  # the stream starts over with a snapshot of the same
            book.feed(SNAPSHOT, STEP, twin.bids(), twin.asks(), last_id=number)
    check_equal(book, twin, rng)
    assert book.state == SYNCED
    assert book.gaps == 0


LEVEL = st.tuples(
    st.one_of(st.integers(0, TOP), st.integers(0, 200), st.integers(TOP - 200, TOP)),
    st.one_of(st.just(0), st.integers(1, 2**62)),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.lists(LEVEL, max_size=12), st.integers(0, 1)), max_size=30))
def test_one_sided_books_equal_their_twin_at_any_price_and_size(messages):
    """All on one side at a time, so nothing can cross: every price and size that a grid can spell."""
    book, twin, number = synced([], []), Levels(), 100
    for levels, side in messages:
        sides = (levels, []) if side == BUY else ([], levels)
        other = [(p, 0) for p, _ in (twin.bids() if side else twin.asks())]
        sides = (sides[0] + other, sides[1]) if side else (sides[0], sides[1] + other)
        number += 1
        assert book.feed(UPDATE, STEP, *sides, last_id=number) == APPLIED
        twin.apply(*sides)
        assert (book.bids(), book.asks()) == (twin.bids(), twin.asks())
        for price, _ in levels[:3]:
            assert book.size(side, price) == twin.size(side, price)
            assert book.size(1 - side, price) == 0
        for lots in (1, 1000, 2**62):
            assert book.cost(BUY, lots) == twin.cost(BUY, lots)
            assert book.cost(SELL, lots) == twin.cost(SELL, lots)


def test_a_book_of_thousands_of_levels_is_exact_level_by_level():
    rng = random.Random("deep")
    bids = [(10**9 - rng.randrange(1, 10**8), rng.randrange(1, 10**6)) for _ in range(8000)]
    asks = [(10**9 + rng.randrange(0, 10**8), rng.randrange(1, 10**6)) for _ in range(8000)]
    book, twin = synced(bids, asks), Levels()
    twin.apply(bids, asks)
    check_equal(book, twin, rng)
    assert book.cost(BUY, 10**12) == twin.cost(BUY, 10**12)


def test_the_best_is_found_again_after_each_removal_down_to_the_empty_book():
    rng = random.Random("best")
    twin = Levels()
    twin.apply(
        [(rng.randrange(TOP // 2), 1) for _ in range(500)],
        [(rng.randrange(TOP // 2, TOP), 1) for _ in range(500)],
    )
    twin.apply([(0, 3)], [(TOP, 3)])
    book = synced(twin.bids(), twin.asks())
    for number in range(101, 101 + 501):
        bid, ask = twin.bids()[0], twin.asks()[0]
        assert (book.bids(1), book.asks(1)) == ([bid], [ask])
        book.feed(UPDATE, STEP, [(bid[0], 9)], [(ask[0], 9)], last_id=2 * number - 101)
        assert (book.bids(1), book.asks(1)) == ([(bid[0], 9)], [(ask[0], 9)])
        book.feed(UPDATE, STEP, [(bid[0], 0)], [(ask[0], 0)], last_id=2 * number - 100)
        twin.apply([(bid[0], 0)], [(ask[0], 0)])
    assert (book.bids(), book.asks(), book.bid_levels, book.ask_levels) == ([], [], 0, 0)
    assert book.state == SYNCED


def test_an_empty_and_a_one_sided_book_are_normal_and_cost_nothing():
    book = synced([], [])
    assert book.state == SYNCED
    assert not book.is_crossed()
    assert (book.cost(BUY, 5), book.cost(SELL, 5)) == ((0, 0, 0), (0, 0, 0))
    assert (book.cumulative(BUY, 0), book.cumulative(SELL, TOP)) == (0, 0)
    book.feed(UPDATE, STEP, [(TOP, 4)], [], last_id=101)
    assert book.state == SYNCED
    assert book.cost(SELL, 9) == (4, TOP, 4 * TOP)


def test_the_same_price_twice_in_one_message_counts_as_it_comes():
    book = synced()
    book.feed(UPDATE, STEP, [(99, 1), (99, 0), (98, 0), (98, 2)], [(103, 5), (103, 6)], last_id=101)
    assert book.bids() == [(100, 5), (98, 2)]
    assert book.asks() == [(101, 7), (103, 6)]


def test_sizes_outside_the_book_read_as_nothing():
    book = synced()
    for price in (-1, TOP + 1, 2**62, -(2**62)):
        assert (book.size(BUY, price), book.size(SELL, price)) == (0, 0)
    assert book.cumulative(BUY, -5) == 5
    assert book.cumulative(SELL, 2**60) == 7
    assert book.cumulative(BUY, 2**60) == 0
    assert book.cumulative(SELL, -5) == 0


def test_a_cost_that_does_not_fit_is_minus_one_and_never_a_wrong_number():
    book = synced([], [(TOP, 2**62)])
    assert book.cost(BUY, 2**62) == (2**62, TOP, -1)
    assert book.cost(BUY, 2**15 - 1) == (2**15 - 1, TOP, (2**15 - 1) * TOP)


def test_memory_is_bounded_over_a_price_walk_and_is_used_again_after_a_clear():
    rng = random.Random("walk")
    book, at, resting, number, peak = synced([], []), 2**40, [], 100, 0
    for turn in range(20_000):
        at += rng.randrange(-(2**20), 2**20)
        resting.append(at)
        gone = [(resting.pop(0), 0)] if len(resting) > 50 else []
        number += 1
        book.feed(UPDATE, STEP, [*gone, (at, 1)], [], last_id=number)
        if turn == 2000:
            peak = book.nodes
    assert book.nodes <= 2 * peak
    assert book.nodes < 50 * 9
    held = book.nodes
    for _ in range(20):
        number += 1
        book.feed(SNAPSHOT, STEP, [(p, 1) for p in resting], [], last_id=number)
    book.reset()
    book.feed(SNAPSHOT, STEP, [(p, 1) for p in resting], [], last_id=5)
    assert book.nodes <= held + 8


# ---- streams that bring their own snapshot (Bybit, OKX) ----


def test_a_gap_makes_the_book_unusable_at_once_and_until_a_snapshot():
    book = synced(last_id=100)
    assert book.feed(UPDATE, STEP, [(99, 1)], [], last_id=102) == GAPPED
    assert book.state == GAP
    assert book.bids() == [(100, 5)]  # nothing of it was applied
    for last_id in (101, 102, 103):
        assert book.feed(UPDATE, STEP, [(99, 1)], [], last_id=last_id) == IGNORED
        assert book.state == GAP
    assert book.feed(SNAPSHOT, STEP, [(90, 1)], [(91, 1)], last_id=110) == APPLIED
    assert (book.state, book.bids(), book.gaps, book.resyncs) == (SYNCED, [(90, 1)], 1, 1)
    assert book.feed(UPDATE, STEP, [(89, 1)], [], last_id=111) == APPLIED


def test_deltas_before_the_first_snapshot_are_never_shown():
    book = Book(0)
    assert book.feed(UPDATE, STEP, [(99, 1)], [], last_id=1) == IGNORED
    assert (book.state, book.bids()) == (EMPTY, [])


def test_a_duplicate_or_older_delta_changes_nothing():
    book = synced()
    book.feed(UPDATE, STEP, [(100, 0), (99, 1)], [], last_id=101)
    for last_id in (101, 100, 7):
        assert book.feed(UPDATE, STEP, [(100, 5)], [(99, 5)], last_id=last_id) == IGNORED
    assert (book.bids(), book.asks(), book.gaps) == ([(99, 1)], [(101, 7)], 0)


def test_a_snapshot_in_mid_stream_replaces_the_book_whatever_its_number():
    book = synced(last_id=5000)
    assert book.feed(SNAPSHOT, STEP, [(50, 1)], [(51, 1)], last_id=1) == APPLIED
    assert (book.bids(), book.asks(), book.last_id, book.gaps) == ([(50, 1)], [(51, 1)], 1, 0)
    assert book.feed(UPDATE, STEP, [(49, 1)], [], last_id=2) == APPLIED
    assert book.feed(UPDATE, STEP, [(48, 1)], [], last_id=5001) == GAPPED


def test_the_legal_reset_of_okx_is_no_gap_and_its_keep_alive_no_change():
    book = synced(last_id=100, rule=PREV)
    assert book.feed(UPDATE, PREV, [], [], last_id=100, prev_id=100) == APPLIED
    assert book.feed(UPDATE, PREV, [(99, 2)], [], last_id=3, prev_id=100) == APPLIED
    assert book.feed(UPDATE, PREV, [(98, 2)], [], last_id=5, prev_id=3) == APPLIED
    assert book.feed(UPDATE, PREV, [(97, 2)], [], last_id=101, prev_id=100) == GAPPED
    assert (book.bids(), book.gaps) == ([(100, 5), (99, 2), (98, 2)], 1)


def test_a_crossed_or_locked_book_is_unusable_at_once():
    for bid in (101, 102, TOP):
        book = synced()
        assert book.feed(UPDATE, STEP, [(bid, 1)], [], last_id=101) == GAPPED
        assert (book.state, book.crossings, book.gaps, book.is_crossed()) == (GAP, 1, 1, True)
        assert book.feed(SNAPSHOT, STEP, [(100, 1)], [(101, 1)], last_id=102) == APPLIED
        assert (book.state, book.is_crossed()) == (SYNCED, False)


def test_a_crossed_snapshot_is_unusable_too():
    book = Book(0)
    assert book.feed(SNAPSHOT, STEP, [(101, 1)], [(101, 1)], last_id=1) == GAPPED
    assert book.state == GAP


def test_a_crossing_that_one_message_makes_and_takes_back_is_none():
    book = synced()
    assert book.feed(UPDATE, STEP, [(105, 1)], [(101, 0), (106, 1)], last_id=101) == APPLIED
    assert book.state == SYNCED


def test_messages_without_numbers_are_applied_as_they_come():
    book = Book(0)
    book.feed(SNAPSHOT, NONE, [(100, 5)], [(101, 7)])
    assert book.feed(UPDATE, NONE, [(100, 6)], []) == APPLIED
    assert book.feed(UPDATE, NONE, [(100, 6)], []) == APPLIED
    assert book.bids() == [(100, 6)]


def test_a_keep_alive_does_not_make_an_old_price_look_fresh():
    book = synced(last_id=100, rule=PREV)
    book.feed(UPDATE, PREV, [(99, 1)], [], last_id=101, prev_id=100, now_ns=1000)
    book.feed(UPDATE, PREV, [], [], last_id=101, prev_id=101, now_ns=60_000)
    assert book.changed_ns == 1000
    book.feed(UPDATE, PREV, [(99, 2)], [], last_id=102, prev_id=101, now_ns=61_000)
    assert book.changed_ns == 61_000
    again = Book(0)  # Bybit pushes an unchanged level-1 snapshot again every three seconds
    for now_ns in (1000, 3_000_001_000):
        again.feed(SNAPSHOT, STEP, [(100, 5)], [(101, 7)], last_id=9, now_ns=now_ns)
    assert again.changed_ns == 1000


def test_a_snapshot_that_repairs_a_gap_is_fresh_even_at_the_same_number():
    book = synced(last_id=100)
    book.feed(UPDATE, STEP, [], [], last_id=102)
    book.feed(SNAPSHOT, STEP, [(100, 5)], [(101, 7)], last_id=100, now_ns=77)
    assert (book.state, book.changed_ns) == (SYNCED, 77)


# ---- snapshots by request (Binance) ----


def event(book, first, last, prev=-1, bids=(), asks=(), rule=RANGE, now_ns=0):
    return book.feed(
        UPDATE, rule, list(bids), list(asks), first_id=first, last_id=last, prev_id=prev, now_ns=now_ns
    )


def seed(book, last, bids=((100, 5),), asks=((110, 7),), rule=RANGE):
    return book.feed(SEED, rule, list(bids), list(asks), first_id=last, last_id=last)


def test_a_snapshot_before_any_event_waits_for_the_event_that_straddles_it():
    book = Book(0, True)
    assert seed(book, 100) == APPLIED
    assert book.state == BUFFERING  # loaded, but nothing proves yet that the stream joins it
    assert event(book, 90, 100) == IGNORED
    assert event(book, 95, 103, bids=[(99, 1)]) == APPLIED
    assert (book.state, book.last_id, book.bids()) == (SYNCED, 103, [(100, 5), (99, 1)])


def test_events_before_the_snapshot_are_spliced_onto_it():
    book = Book(0, True)
    for first, last, bids in (
        (90, 95, [(1, 1)]),
        (96, 100, [(2, 1)]),
        (101, 101, [(3, 1)]),
        (102, 110, [(4, 1)]),
    ):
        assert event(book, first, last, bids=bids) == BUFFERED
    assert (book.state, book.bids()) == (BUFFERING, [])
    assert seed(book, 100) == APPLIED
    assert (book.state, book.last_id) == (SYNCED, 110)
    assert book.bids() == [(100, 5), (4, 1), (3, 1)]


def test_a_snapshot_newer_than_everything_buffered_waits_for_the_next_event():
    book = Book(0, True)
    event(book, 90, 95)
    assert seed(book, 100) == APPLIED
    assert book.state == BUFFERING
    assert event(book, 96, 105) == APPLIED
    assert book.state == SYNCED


def test_a_snapshot_that_is_too_old_asks_for_another_and_keeps_the_buffer():
    book = Book(0, True)
    event(book, 90, 95)
    event(book, 96, 99, bids=[(50, 1)])
    assert seed(book, 80) == RESEED
    assert book.state == BUFFERING
    assert seed(book, 88) == RESEED
    assert seed(book, 89) == APPLIED  # U == lastUpdateId + 1
    assert (book.state, book.last_id) == (SYNCED, 99)


def test_an_event_beyond_a_waiting_snapshot_asks_for_another_and_is_kept_for_it():
    book = Book(0, True)
    seed(book, 80)
    assert event(book, 90, 95, bids=[(50, 1)]) == RESEED
    assert event(book, 96, 97, bids=[(51, 1)]) == BUFFERED
    assert seed(book, 92) == APPLIED
    assert (book.state, book.last_id, book.bids()) == (SYNCED, 97, [(100, 5), (51, 1), (50, 1)])


def test_a_gap_while_synced_buffers_from_there_and_joins_the_next_snapshot():
    book = Book(0, True)
    seed(book, 100)
    event(book, 101, 105)
    assert event(book, 107, 110, bids=[(60, 1)]) == GAPPED
    assert book.state == GAP
    assert event(book, 111, 112, bids=[(61, 1)]) == BUFFERED
    assert book.state == GAP
    assert seed(book, 105) == RESEED  # ends before the hole
    assert book.state == GAP
    assert seed(book, 108) == APPLIED
    assert (book.state, book.last_id, book.resyncs) == (SYNCED, 112, 1)
    assert book.bids() == [(100, 5), (61, 1), (60, 1)]


@pytest.mark.parametrize("many", [1, 3, 40])
def test_a_hole_inside_the_buffer_keeps_what_follows_it_unharmed(many):
    """The kept event may be larger than everything before it in the buffer: it must not be copied over
    itself."""
    book = Book(0, True)
    wide = [(1000 + i, 7 + i) for i in range(many)]
    event(book, 101, 101, bids=[(1, 1)])
    event(book, 105, 106, asks=wide, bids=[(2, 2)])
    event(book, 107, 107, bids=[(3, 3)])
    assert seed(book, 100) == GAPPED
    assert book.state == GAP
    assert seed(book, 101, bids=[(50, 1)]) == RESEED
    assert seed(book, 104, bids=[(50, 1)]) == APPLIED
    assert (book.state, book.last_id) == (SYNCED, 107)
    assert book.bids() == [(50, 1), (3, 3), (2, 2)]
    assert book.asks() == [(110, 7), *wide]


@pytest.mark.parametrize("many", [1, 3, 40])
def test_a_hole_behind_old_events_in_the_buffer_keeps_what_follows_it_unharmed(many):
    book = Book(0, True)
    wide = [(1000 + i, 7 + i) for i in range(many)]
    event(book, 90, 91)
    event(book, 105, 106, asks=wide)
    event(book, 107, 107, bids=[(3, 3)])
    assert seed(book, 100) == RESEED
    assert seed(book, 105) == APPLIED
    assert (book.state, book.last_id) == (SYNCED, 107)
    assert book.asks() == [(110, 7), *wide]


def test_a_splice_that_crosses_the_book_is_unusable_until_a_newer_snapshot():
    book = Book(0, True)
    event(book, 101, 102, bids=[(200, 1)])
    event(book, 103, 103, bids=[(200, 0)])
    assert seed(book, 100) == GAPPED
    assert (book.state, book.crossings) == (GAP, 1)
    assert seed(book, 102) == APPLIED
    assert (book.state, book.last_id, book.bids()) == (SYNCED, 103, [(100, 5)])


def test_a_late_snapshot_of_a_synced_book_is_ignored():
    book = Book(0, True)
    seed(book, 100)
    event(book, 101, 105, bids=[(99, 1)])
    assert seed(book, 103, bids=[(1, 1)]) == IGNORED
    assert book.bids() == [(100, 5), (99, 1)]


def test_usdm_joins_the_event_around_the_snapshot_and_then_follows_pu():
    book = Book(0, True)
    event(book, 80, 90, 79, rule=PREV)
    event(book, 95, 105, 90, bids=[(60, 1)], rule=PREV)
    event(book, 106, 110, 105, bids=[(61, 1)], rule=PREV)
    assert seed(book, 100, rule=PREV) == APPLIED
    assert (book.state, book.last_id, book.bids()) == (SYNCED, 110, [(100, 5), (61, 1), (60, 1)])
    assert event(book, 90, 120, 104, rule=PREV) == GAPPED  # straddling is allowed behind a snapshot only


def test_usdm_joins_an_event_whose_pu_is_the_snapshot_itself():
    book = Book(0, True)
    event(book, 90, 100, 85, rule=PREV)
    event(book, 103, 105, 100, bids=[(60, 1)], rule=PREV)
    assert seed(book, 100, rule=PREV) == APPLIED
    assert (book.state, book.bids()) == (SYNCED, [(100, 5), (60, 1)])


def random_stream(rng, rule, n):
    """`n` events of one stream, contiguous: (first, last, prev, bids, asks), never crossing."""
    out, last = [], 1000
    for _ in range(n):
        first, prev = last + 1, last
        last = first + rng.randrange(5)
        bids = [(rng.randrange(1, 500), rng.choice((0, 1, 5))) for _ in range(rng.randrange(6))]
        asks = [(rng.randrange(500, 1000), rng.choice((0, 1, 5))) for _ in range(rng.randrange(6))]
        out.append((first, last, prev, bids, asks))
    return out


def truth_at(stream, last_id):
    """The venue's own book behind all events up to `last_id`, which must end an event."""
    twin = Levels()
    for _first, last, _prev, bids, asks in stream:
        if last <= last_id:
            twin.apply(bids, asks)
    return twin


@pytest.mark.parametrize("rule", [RANGE, PREV])
@pytest.mark.parametrize("chaos", range(60))
def test_a_synced_book_is_the_venues_book_whatever_is_lost_repeated_or_asked_when(rule, chaos):
    """Events are lost and repeated, snapshots of any age arrive at any time: synced means equal, and it gets
    synced."""
    rng = random.Random(f"{rule} {chaos}")
    stream = random_stream(rng, rule, 150)
    book, twin, live = Book(0, True), Feed(int(rule)), False
    for i, (first, last, prev, bids, asks) in enumerate(stream):
        if rng.random() < 0.05:
            continue
        for _ in range(1 + (rng.random() < 0.1)):
            book.feed(UPDATE, rule, bids, asks, first_id=first, last_id=last, prev_id=prev)
        if i and rng.random() < 0.1:  # late: perhaps a copy, perhaps the one that was missing
            old = stream[i - 1]
            book.feed(UPDATE, rule, *old[3:], first_id=old[0], last_id=old[1], prev_id=old[2])
        if rng.random() < 0.2:
            at = stream[max(0, i - rng.randrange(12))][1]
            truth = truth_at(stream, at)
            book.feed(SEED, rule, truth.bids(), truth.asks(), first_id=at, last_id=at)
        if book.state == SYNCED:
            truth = truth_at(stream, book.last_id)
            assert (book.bids(), book.asks()) == (truth.bids(), truth.asks())
            live = True
    assert live
    # once losses stop, one recent snapshot is enough, and the recipe in the venue's document gives the same
    tail = random_stream(rng, rule, 30)
    book.reset()
    for first, last, prev, bids, asks in tail[:20]:
        book.feed(UPDATE, rule, bids, asks, first_id=first, last_id=last, prev_id=prev)
    at = tail[10][1]
    truth = truth_at(tail, at)
    book.feed(SEED, rule, truth.bids(), truth.asks(), first_id=at, last_id=at)
    twin.levels, twin.last = truth, at
    for number, row in enumerate(tail):
        if number >= 20:
            book.feed(UPDATE, rule, row[3], row[4], first_id=row[0], last_id=row[1], prev_id=row[2])
        twin.event(*row)
    assert (book.state, book.last_id) == (SYNCED, twin.last)
    assert (book.bids(), book.asks()) == (twin.levels.bids(), twin.levels.asks())


def test_a_buffer_that_overflows_starts_afresh_and_the_book_stays_unusable():
    book = Book(0, True)
    wide = [(i, 1) for i in range(16_000)]
    number, most = 100, 64 * 2**20 // (16_000 * 16)
    for number in range(101, 101 + most + 1):
        assert event(book, number, number, bids=wide) == BUFFERED
    assert seed(book, 110, bids=[], asks=[]) == RESEED  # what continued it is gone
    assert book.state == BUFFERING
    assert seed(book, number - 1, bids=[], asks=[]) == APPLIED
    assert (book.state, book.last_id) == (SYNCED, number)


# ---- reset, suspend ----


def test_reset_forgets_levels_state_and_buffer_but_not_the_counters():
    book = Book(0, True)
    seed(book, 100)
    event(book, 101, 101)
    event(book, 105, 105)
    book.note_quote(200, (100, 5), (110, 7))
    book.reset()
    assert (book.state, book.last_id, book.bids(), book.asks(), book.gaps) == (EMPTY, -1, [], [], 1)
    assert seed(book, 199) == APPLIED
    assert event(book, 200, 200) == APPLIED
    assert book.compared == 0


@pytest.mark.parametrize(
    ("last_id", "expected"), [(101, (SYNCED, 101, 0)), (100, (SYNCED, 100, 0)), (150, (EMPTY, -1, 0))]
)
def test_a_suspended_book_goes_on_where_the_feed_continues_and_else_starts_empty(last_id, expected):
    book = synced(last_id=100)
    book.suspend()
    book.feed(UPDATE, STEP, [], [], last_id=last_id)
    assert (book.state, book.last_id, book.gaps) == expected
    assert book.feed(UPDATE, STEP, [], [], last_id=102) in (APPLIED, GAPPED, IGNORED)


def test_a_suspended_book_takes_a_new_session_from_any_snapshot():
    book = synced(last_id=100)
    book.suspend()
    assert book.feed(SNAPSHOT, STEP, [(5, 1)], [], last_id=3) == APPLIED
    asked = Book(0, True)
    seed(asked, 100)
    event(asked, 101, 101)
    asked.suspend()
    assert seed(asked, 300, bids=[(7, 1)]) == APPLIED
    assert (asked.state, asked.bids(), asked.gaps) == (BUFFERING, [(7, 1)], 0)
    assert event(asked, 301, 301) == APPLIED


def test_a_suspended_book_that_was_not_synced_starts_over():
    book = Book(0, True)
    event(book, 90, 95)
    book.suspend()
    assert event(book, 96, 97) == BUFFERED
    assert seed(book, 90) == RESEED  # 90 to 95 were forgotten
    assert seed(book, 95) == APPLIED


# ---- bookTicker ----


def test_a_quote_is_compared_whichever_of_the_two_comes_first():
    book = synced(last_id=100)
    book.note_quote(100, (100, 5), (101, 7))
    assert (book.compared, book.different) == (1, 0)
    book.note_quote(101, (100, 6), (101, 7))
    assert book.compared == 1
    book.feed(UPDATE, STEP, [(100, 6)], [], last_id=101)
    assert (book.compared, book.different) == (2, 0)
    book.note_quote(102, (100, 9), (101, 7))
    book.feed(UPDATE, STEP, [(100, 8)], [], last_id=102)
    book.note_quote(102, (100, 8), (102, 7))
    assert (book.compared, book.different) == (4, 2)


def test_a_quote_of_an_empty_side_agrees_with_an_empty_side():
    book = synced([], [(101, 7)])
    book.note_quote(100, (0, 0), (101, 7))
    book.note_quote(100, (55, 0), (101, 7))
    assert (book.compared, book.different) == (2, 0)
    book.note_quote(100, (55, 1), (101, 7))
    assert book.different == 1


def test_quotes_of_other_updates_and_of_an_unusable_book_are_not_compared():
    book = synced(last_id=100)
    book.note_quote(99, (1, 1), (2, 2))
    book.note_quote(100 + 4096, (1, 1), (2, 2))
    book.feed(UPDATE, STEP, [], [], last_id=101)
    book.feed(UPDATE, STEP, [], [], last_id=150)
    book.note_quote(101, (1, 1), (2, 2))
    assert (book.state, book.compared) == (GAP, 0)


def test_levels_beyond_the_key_space_are_refused_by_the_test_door():
    book = synced()
    for level in ((TOP + 1, 1), (-1, 1), (5, -1)):
        with pytest.raises(ValueError, match="price must be"):
            book.feed(UPDATE, STEP, [level], [], last_id=101)

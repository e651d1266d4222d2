"""The matching engine against a naive twin over random commands, and its rules one by one."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext.match import DONE, FILL, LEVEL, PREVENTED, STP_MODES, TRADE, MatchingEngine

BUY, SELL = 0, 1
QUEUES = ("pessimistic", "proportional")


class Naive:
    """The same engine with one flat list in order of arrival and nothing clever. Entries: [side, price, size,
    id, owner, filled, position, reduce_only]."""

    def __init__(self, queue):
        self.queue, self.entries, self.events, self.shown = queue, [], [], {}
        self.next_order_id, self.trade_id, self.update_id = 1, 0, 0
        self.stopped, self.prevented = False, 0
        self.positions, self.taker_position = {}, 0

    def set_position(self, position, lots):
        self.positions[position] = lots

    def room(self, entry):
        lots = self.positions.get(entry[6], 0)
        return min(entry[2], max(0, -lots if entry[0] == BUY else lots)) if entry[7] else entry[2]

    def move(self, position, side, size):
        if position:
            self.positions[position] = self.positions.get(position, 0) + (size if side == BUY else -size)

    def exhausted(self, maker):
        """A reduce-only order that has nothing to reduce any more goes."""
        if self.room(maker):
            return False
        self.done(maker[4], maker[3], "reduce_only", maker[5])
        self.remove(maker)
        maker[2] = 0
        return True

    def at(self, side, price):
        return [e for e in self.entries if e[0] == side and e[1] == price]

    def show(self, side, price):
        total = sum(e[2] for e in self.at(side, price))
        if total != self.shown.get((side, price), 0):
            self.shown[side, price] = total
            self.update_id += 1
            self.events.append((LEVEL, side, price, total, self.update_id))

    def done(self, owner, number, reason, filled):
        if owner:
            self.events.append((DONE, number, reason, filled))

    def crossed_prices(self, side, limit):
        """Prices of the other side that an order at `limit` meets, best first."""
        prices = {e[1] for e in self.entries if e[0] != side}
        if side == BUY:
            return sorted(p for p in prices if limit is None or p <= limit)
        return sorted((p for p in prices if limit is None or p >= limit), reverse=True)

    def remove(self, entry):
        self.entries = [e for e in self.entries if e is not entry]

    def match(self, maker, left, side, owner, number):
        size = min(left, self.room(maker))
        self.trade_id += 1
        left -= size
        self.move(maker[6], maker[0], size)
        self.move(self.taker_position, side, size)
        maker[2] -= size
        maker[5] += size
        self.events.append((TRADE, self.trade_id, maker[1], size, side))
        if maker[4]:
            self.events.append((FILL, maker[3], self.trade_id, maker[1], size, maker[2], True))
        if maker[2] == 0:
            self.done(maker[4], maker[3], "filled", maker[5])
            self.remove(maker)
        if owner:
            self.events.append((FILL, number, self.trade_id, maker[1], size, left, False))
        return left

    def prevent(self, maker, left, number, stp):
        """The order `number` meets one of its own owner; returns what it has left, and whether it stops."""
        size = min(left, maker[2])
        self.events.append((PREVENTED, number, maker[3], maker[1], size))
        if stp == "decrement":
            self.prevented += size
            maker[2] -= size
            left -= size
        if stp in ("expire_maker", "expire_both") or maker[2] == 0:
            self.done(maker[4], maker[3], "stp", maker[5])
            self.remove(maker)
        return left, stp in ("expire_taker", "expire_both") or left == 0

    def cross(self, side, limit, left, owner, number, stp="none"):
        self.stopped, self.prevented = False, 0
        for price in self.crossed_prices(side, limit):
            for maker in self.at(1 - side, price):
                if left and not self.stopped and owner and maker[4] == owner and stp != "none":
                    left, self.stopped = self.prevent(maker, left, number, stp)
                else:
                    while left and not self.stopped and maker[2] and not self.exhausted(maker):
                        left = self.match(maker, left, side, owner, number)
            self.show(1 - side, price)
        return left

    def reachable(self, side, prices, owner, stp):
        """Lots that an order could trade with."""
        there = 0
        for price in prices:
            for e in self.at(1 - side, price):
                if not owner or e[4] != owner or stp == "none":
                    there += 0 if e[7] else e[2]
                elif stp != "expire_maker":
                    return there
        return there

    def place(
        self, side, price, size, tif, owner, stp="expire_maker", order_id=0, position=0, reduce_only=False
    ):
        number = self.next_order_id
        self.next_order_id += 1
        self.taker_position = position
        self.enter(number, side, price, size, tif, owner, stp, position, reduce_only)
        self.taker_position = 0
        return number

    def enter(self, number, side, price, size, tif, owner, stp, position, reduce_only):
        prices = self.crossed_prices(side, price)
        if tif == "post_only" and prices:
            self.done(owner, number, "post_only", 0)
            return number
        if tif == "fok" and self.reachable(side, prices, owner, stp) < size:
            self.done(owner, number, "fok", 0)
            return number
        left = self.cross(side, price, size, owner, number, stp)
        filled = size - left - self.prevented
        if self.stopped:
            self.done(owner, number, "stp", filled)
        elif left == 0:
            self.done(owner, number, "filled", filled)
        elif price is None or tif == "ioc":
            self.done(owner, number, "ioc", filled)
        else:
            self.entries.append([side, price, left, number, owner, filled, position, reduce_only])
            self.show(side, price)
        return number

    def fill(self, number, size):
        entry = self.by_id(number)
        size = 0 if entry is None else min(size, self.room(entry))
        if size <= 0:
            return 0
        self.match(entry, size, 1 - entry[0], 0, 0)
        self.show(entry[0], entry[1])
        return size

    def by_id(self, number):
        return next((e for e in self.entries if e[3] == number and number), None)

    def cancel(self, number):
        entry = self.by_id(number)
        if entry is None:
            return False
        self.done(entry[4], number, "canceled", entry[5])
        self.remove(entry)
        self.show(entry[0], entry[1])
        return True

    def reduce(self, number, size):
        entry = self.by_id(number)
        if entry is None or not entry[5] < size < entry[2] + entry[5]:
            return False
        entry[2] = size - entry[5]
        self.show(entry[0], entry[1])
        return True

    def set_level(self, side, price, size):
        left = size
        for other in self.crossed_prices(side, price) if size else ():
            self.entries = [e for e in self.entries if not (e[0] != side and e[1] == other and e[4] == 0)]
            for maker in self.at(1 - side, other):
                while left and maker[2] and not self.exhausted(maker):
                    left = self.match(maker, left, side, 0, 0)
            self.show(1 - side, other)
        queue = self.at(side, price)
        background = [e for e in queue if e[4] == 0]
        more = left - sum(e[2] for e in background)
        if more > 0 and queue and queue[-1][3] == 0:
            queue[-1][2] += more
        elif more > 0:
            self.entries.append([side, price, more, 0, 0, 0, 0, False])
        elif self.queue == "pessimistic":
            for e in reversed(background):
                gone = min(-more, e[2])
                e[2] -= gone
                more += gone
        else:
            total, before, after = sum(e[2] for e in background), 0, 0
            for e in background:
                before += e[2]
                e[2] = -(-before * left // total) - after
                after += e[2]
        self.entries = [e for e in self.entries if e[2]]
        self.show(side, price)
        return size - left

    def trade(self, side, price, size):
        return size - self.cross(side, price, size, 0, 0)

    def ahead(self, number):
        entry = self.by_id(number)
        if entry is None:
            return None
        queue = self.at(entry[0], entry[1])
        return sum(e[2] for e in queue[: next(i for i, e in enumerate(queue) if e is entry)])

    def levels(self, side):
        rows = [(p, n) for (s, p), n in self.shown.items() if s == side and n]
        return sorted(rows, reverse=side == BUY)


PRICES = st.integers(99, 102)
SIZES = st.integers(1, 20)
SIDES = st.integers(0, 1)
IDS = st.integers(1, 30)
COMMANDS = st.one_of(
    st.tuples(
        st.just("place"), SIDES, PRICES, SIZES, st.sampled_from(["gtc", "post_only"]), st.integers(0, 2)
    ),
    st.tuples(
        st.just("place"),
        SIDES,
        st.none() | PRICES,
        SIZES,
        st.sampled_from(["gtc", "ioc", "fok"]),
        st.integers(0, 2),
        st.sampled_from(STP_MODES),
        st.just(0),
        st.integers(0, 2),
        st.booleans(),
    ),
    st.tuples(st.just("set_position"), st.integers(1, 2), st.integers(-20, 20)),
    st.tuples(st.just("fill"), IDS, SIZES),
    st.tuples(st.just("cancel"), IDS),
    st.tuples(st.just("reduce"), IDS, SIZES),
    st.tuples(st.just("set_level"), SIDES, PRICES, st.integers(0, 40)),
    st.tuples(st.just("trade"), SIDES, PRICES, SIZES),
)


def run(engine, twin, command):
    """One command on both; everything that can be seen must be equal."""
    name, *arguments = command
    assert getattr(engine, name)(*arguments) == getattr(twin, name)(*arguments), command
    events, twin.events = twin.events, []
    assert engine.take() == events, command
    engine.audit()
    assert engine.levels(BUY) == twin.levels(BUY)
    assert engine.levels(SELL) == twin.levels(SELL)
    for entry in twin.entries:
        if entry[3]:
            assert engine.ahead(entry[3]) == twin.ahead(entry[3]), command


@pytest.mark.parametrize("queue", QUEUES)
def test_the_engine_equals_a_naive_twin_over_any_commands(queue):
    @settings(max_examples=250, deadline=None)
    @given(st.lists(COMMANDS, max_size=60))
    def campaign(commands):
        engine, twin = MatchingEngine(queue), Naive(queue)
        for command in commands:
            run(engine, twin, command)

    campaign()


def random_command(rng, ids):
    kind = rng.random()
    side, price, size = rng.randrange(2), rng.randrange(95, 106), rng.randrange(1, 50)
    if kind < 0.35:
        tif = rng.choice(["gtc", "gtc", "gtc", "post_only", "ioc", "fok"])
        at_market = tif != "post_only" and rng.random() < 0.05
        stp = rng.choice(STP_MODES)
        position, reduce_only = rng.randrange(3), rng.random() < 0.3
        at = None if at_market else price
        return ("place", side, at, size, tif, rng.randrange(3), stp, 0, position, reduce_only)
    if kind < 0.37:
        return ("fill", rng.randrange(max(1, ids - 40), ids + 2), size)
    if kind < 0.5:
        return ("cancel", rng.randrange(max(1, ids - 40), ids + 2))
    if kind < 0.6:
        return ("reduce", rng.randrange(max(1, ids - 40), ids + 2), size)
    if kind < 0.85:
        price = rng.randrange(92, 100) if side == BUY and rng.random() < 0.8 else price  # mostly uncrossed
        return ("set_level", side, price, rng.choice([0, size, size * 3]))
    return ("trade", side, price, size)


@pytest.mark.parametrize("queue", QUEUES)
def test_ten_thousand_seeded_commands_agree_with_the_twin(queue):
    rng, engine, twin = random.Random(7), MatchingEngine(queue), Naive(queue)
    for _ in range(10_000):
        run(engine, twin, random_command(rng, engine.next_order_id))


def events(engine, kind):
    return [e for e in engine.take() if e[0] == kind]


def test_what_was_there_before_us_is_filled_before_us():
    engine = MatchingEngine()
    engine.set_level(BUY, 100, 5)
    mine = engine.place(BUY, 100, 3, "gtc", 1)
    engine.set_level(BUY, 100, 9)
    assert engine.ahead(mine) == 5
    engine.trade(SELL, 100, 5)
    assert not events(engine, FILL)
    engine.trade(SELL, 100, 2)
    assert events(engine, FILL) == [(FILL, mine, 2, 100, 2, 1, True)]


def test_background_that_leaves_comes_from_behind_us_first_in_the_pessimistic_queue():
    engine = MatchingEngine()
    engine.set_level(BUY, 100, 6)
    mine = engine.place(BUY, 100, 3, "gtc", 1)
    engine.set_level(BUY, 100, 10)
    engine.set_level(BUY, 100, 6)
    assert engine.ahead(mine) == 6
    engine.set_level(BUY, 100, 2)
    assert engine.ahead(mine) == 2


def test_background_that_leaves_comes_from_both_ends_in_the_proportional_queue():
    engine = MatchingEngine("proportional")
    engine.set_level(BUY, 100, 6)
    mine = engine.place(BUY, 100, 3, "gtc", 1)
    engine.set_level(BUY, 100, 12)
    engine.set_level(BUY, 100, 6)
    assert engine.ahead(mine) == 3
    engine.set_level(BUY, 100, 1)
    assert engine.ahead(mine) == 1, "rounding must not favour us"


def test_background_that_crosses_our_order_fills_it_at_our_price():
    engine = MatchingEngine()
    engine.set_level(SELL, 101, 4)
    mine = engine.place(SELL, 100, 3, "gtc", 1)
    engine.take()
    assert engine.set_level(BUY, 101, 5) == 3
    assert engine.take() == [
        (TRADE, 1, 100, 3, BUY),
        (FILL, mine, 1, 100, 3, 0, True),
        (DONE, mine, "filled", 3),
        (LEVEL, SELL, 100, 0, 3),
        (LEVEL, SELL, 101, 0, 4),
        (LEVEL, BUY, 101, 2, 5),
    ]


def test_an_order_that_meets_its_owner_cancels_the_resting_one_and_goes_on():
    engine = MatchingEngine()
    resting = engine.place(SELL, 100, 3, "gtc", 1)
    engine.set_level(SELL, 101, 4)
    engine.take()
    taker = engine.place(BUY, 101, 2, "gtc", 1)
    assert engine.take() == [
        (PREVENTED, taker, resting, 100, 2),
        (DONE, resting, "stp", 0),
        (LEVEL, SELL, 100, 0, 3),
        (TRADE, 1, 101, 2, BUY),
        (FILL, taker, 1, 101, 2, 0, False),
        (LEVEL, SELL, 101, 2, 4),
        (DONE, taker, "filled", 2),
    ]


@pytest.mark.parametrize(
    ("stp", "taker_end", "maker_left", "trades"),
    [
        ("none", "filled", 0, 1),
        ("expire_taker", "stp", 3, 0),
        ("expire_maker", "rests", 0, 0),
        ("expire_both", "stp", 0, 0),
        ("decrement", "stp", 1, 0),
    ],
)
def test_each_mode_of_self_trade_prevention_closes_whom_it_names(stp, taker_end, maker_left, trades):
    engine = MatchingEngine()
    engine.place(SELL, 100, 3, "gtc", 1)
    engine.take()
    taker = engine.place(BUY, 100, 2, "gtc", 1, stp)
    said = engine.take()
    ends = [e[2] for e in said if e[0] == DONE and e[1] == taker]
    assert ends == ([] if taker_end == "rests" else [taker_end])
    assert engine.size(SELL, 100) == (1 if stp == "none" else maker_left)
    assert sum(e[0] == TRADE for e in said) == trades


def test_what_is_decremented_on_both_sides_leaves_the_larger_with_the_rest():
    engine = MatchingEngine()
    engine.place(SELL, 100, 2, "gtc", 1)
    engine.set_level(SELL, 101, 4)
    engine.take()
    taker = engine.place(BUY, 101, 5, "gtc", 1, "decrement")
    assert events(engine, DONE) == [(DONE, 1, "stp", 0), (DONE, taker, "filled", 3)]


def test_an_order_comes_back_under_its_number_and_no_other_can_take_it():
    engine = MatchingEngine()
    first = engine.place(BUY, 100, 5, "gtc", 1)
    with pytest.raises(ValueError, match="does not rest"):
        engine.place(BUY, 101, 5, "gtc", 1, "none", first)
    engine.cancel(first)
    assert engine.place(BUY, 101, 5, "gtc", 1, "none", first) == first
    assert engine.next_order_id == first + 1
    assert engine.ahead(first) == 0
    with pytest.raises(ValueError, match="given before"):
        engine.place(BUY, 101, 5, "gtc", 1, "none", 99)


def test_a_reduce_only_order_ends_where_its_position_does_in_the_middle_of_a_sweep():
    engine = MatchingEngine()
    engine.set_position(7, 10)
    engine.place(SELL, 100, 8, "gtc", 1, "none", 0, 7)
    reducing = engine.place(SELL, 101, 10, "gtc", 1, "none", 0, 7, True)
    engine.set_level(SELL, 101, 50)
    engine.take()
    assert engine.trade(BUY, 101, 30) == 30
    said = engine.take()
    assert [e[4] for e in said if e[0] == FILL] == [8, 2]
    assert (DONE, reducing, "reduce_only", 2) in said
    assert engine.size(SELL, 101) == 30
    engine.audit()


def test_the_venue_can_fill_an_order_whose_turn_it_is_not():
    engine = MatchingEngine()
    engine.set_level(BUY, 100, 9)
    mine = engine.place(BUY, 100, 3, "gtc", 1)
    engine.take()
    assert engine.fill(mine, 2) == 2
    assert engine.fill(mine, 5) == 1
    assert engine.fill(mine, 5) == 0
    assert events(engine, DONE) == [(DONE, mine, "filled", 3)]
    assert engine.size(BUY, 100) == 9
    engine.audit()


def test_fill_or_kill_does_not_count_its_owners_own_orders():
    engine = MatchingEngine()
    engine.place(SELL, 100, 3, "gtc", 1)
    engine.place(SELL, 100, 2, "gtc", 2)
    engine.take()
    mine = engine.place(BUY, 100, 3, "fok", 1)
    assert engine.take() == [(DONE, mine, "fok", 0)]


def test_an_amendment_to_a_smaller_size_keeps_the_place_in_the_queue():
    engine = MatchingEngine()
    first = engine.place(BUY, 100, 5, "gtc", 1)
    engine.place(BUY, 100, 5, "gtc", 2)
    assert engine.reduce(first, 2)
    assert not engine.reduce(first, 2), "not smaller"
    assert not engine.reduce(first, 0), "not more than what is filled"
    engine.take()
    engine.trade(SELL, 100, 3)
    assert [e[1] for e in events(engine, FILL)] == [first, 2]


def test_the_rest_of_a_market_order_is_dropped():
    engine = MatchingEngine()
    engine.set_level(SELL, 100, 3)
    mine = engine.place(BUY, None, 5, "gtc", 1)
    assert events(engine, DONE) == [(DONE, mine, "ioc", 3)]
    assert engine.levels(BUY) == engine.levels(SELL) == []


def test_nothing_is_said_to_the_background():
    engine = MatchingEngine()
    engine.place(SELL, 100, 3, "gtc")
    engine.place(BUY, 100, 5, "ioc")
    assert [e[0] for e in engine.take()] == [LEVEL, TRADE, LEVEL]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("place", (2, 100, 1, "gtc", 1)),
        ("place", (BUY, 0, 1, "gtc", 1)),
        ("place", (BUY, 2**48 + 1, 1, "gtc", 1)),
        ("place", (BUY, 100, 0, "gtc", 1)),
        ("place", (BUY, 100, 2**56 + 1, "gtc", 1)),
        ("place", (BUY, 100, 1, "day", 1)),
        ("place", (BUY, None, 1, "post_only", 1)),
        ("place", (BUY, 100, 1, "gtc", -1)),
        ("place", (BUY, 100, 1, "gtc", 1, "sometimes")),
        ("place", (BUY, 100, 1, "gtc", 1, "none", 7)),
        ("set_level", (BUY, -1, 0)),
        ("set_level", (-1, 100, 0)),
        ("set_level", (BUY, 100, -1)),
        ("trade", (BUY, 100, -5)),
        ("levels", (7, 1)),
        ("best", (-1,)),
    ],
)
def test_arguments_outside_their_range_are_refused_and_change_nothing(name, arguments):
    engine = MatchingEngine()
    engine.set_level(SELL, 100, 3)
    before = (engine.take(), engine.levels(SELL), engine.next_order_id)
    with pytest.raises(ValueError, match=r"must|hold"):
        getattr(engine, name)(*arguments)
    assert engine.take() == []
    assert (before[0], engine.levels(SELL), engine.next_order_id) == before


def test_a_book_cannot_overflow_its_totals():
    engine = MatchingEngine()
    for price in range(1, 65):
        engine.set_level(BUY, price, 2**56)
    with pytest.raises(ValueError, match=r"2\*\*62"):
        engine.set_level(BUY, 65, 2**56)
    engine.audit()


def test_an_unknown_queue_model_is_refused():
    with pytest.raises(ValueError, match="queue model"):
        MatchingEngine("hopeful")


def test_only_resting_orders_can_be_cancelled():
    engine = MatchingEngine()
    number = engine.place(BUY, 100, 1, "gtc", 1)
    assert engine.cancel(number)
    assert not engine.cancel(number)
    assert not engine.cancel(99)
    assert engine.ahead(number) is None


def test_the_engine_is_in_order_after_many_commands_at_few_prices():
    rng, engine = random.Random(3), MatchingEngine()
    for price in range(1, 300):
        engine.set_level(BUY, 10_000 - price, 50)
        engine.set_level(SELL, 10_000 + price, 50)
    for _ in range(40_000):
        engine.place(rng.randrange(2), rng.randrange(9_990, 10_011), rng.randrange(1, 9), "gtc", 1)
    engine.audit()

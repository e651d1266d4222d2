"""Strategies from Python: they see books, orders and dials, propose, and may fail without harm to the
frame."""

import pytest
from chain import MS, SEC, START, A, Chain, Script, depth

from ext.records import Side, door_row
from ext.strategy import DIALS, Strategy, StrategyTimeout
from ext.tape import RecordType, TapeReader, TapeWriter

BUY, SELL = int(Side.BUY), int(Side.SELL)


def test_a_python_strategy_is_told_of_books_and_its_proposals_are_sent():
    def buy_below(self, instrument, now_ns):
        (bid, lots), (ask, _) = self.best(instrument)
        assert (bid, lots, ask) == (9990, 50, 10_010)
        self.buy(instrument, bid, 7)
        self.sell(instrument, ask, 8)

    script = Script(on_book=buy_below)
    chain = Chain(script)
    assert [(p["side"], p["price"], p["quantity"]) for p in chain.news()] == [
        ("BUY", "99.90", "0.007"),
        ("SELL", "100.10", "0.008"),
    ]
    assert [row[:3] for row in script.kinds("order")] == [(0, BUY, 1), (0, SELL, 2)]
    assert chain.states() == ["SENT", "SENT"]


def test_a_strategy_sees_a_book_once_a_frame_and_only_while_it_is_synced():
    script = Script()
    chain = Chain(script, synced=False)
    chain.tick()
    assert script.kinds("book") == []
    chain.sync()
    assert len(script.kinds("book")) == 1
    chain.tick([(9980, 1), (9970, 1), (9960, 1)])
    assert len(script.kinds("book")) == 2
    chain.tick(skip=3)
    chain.tick()
    assert len(script.kinds("book")) == 2
    assert script.best(0) == (None, None)


def test_a_strategy_is_told_of_its_own_fills_only_and_of_each_once():
    buyer = Script(on_book=lambda self, i, now: self.orders.open_orders() or self.buy(i, 9990, 7))
    other = Script()
    chain = Chain(buyer, other)
    for _ in range(2):
        chain.fill(chain.client_id(1), "BUY", 3, 3, 501, ticks=9985)
    assert [row[:5] for row in buyer.kinds("fill")] == [(0, 1, BUY, 9985, 3)]
    assert other.kinds("fill") == []
    assert buyer.position(0) == 3


def test_a_timer_may_propose_too():
    script = Script(on_timer=lambda self, now: self.buy(0, 9990, 1))
    chain = Chain(script)
    chain.time()
    assert [row[0] for row in script.kinds("timer")] == [chain.now]
    assert len(chain.news()) == 1


def test_a_proposal_made_on_hearing_of_an_order_is_dealt_with_in_the_same_turn():
    def twin_order(self, instrument, side, order_id, now_ns):
        if side == BUY:
            self.sell(instrument, 10_010, 2)

    script = Script(on_book=lambda self, i, now: self.buy(i, 9990, 1), on_order=twin_order)
    chain = Chain(script)
    assert [p["side"] for p in chain.news()] == ["BUY", "SELL"]


def test_a_cancel_proposed_on_a_fill_goes_out_even_where_the_book_is_unusable():
    script = Script(
        on_book=lambda self, i, now: (
            self.orders.open_orders() or (self.buy(i, 9990, 7), self.sell(i, 10_010, 7))
        ),
        on_fill=lambda self, *_: self.cancel(2),
    )
    chain = Chain(script)
    chain.tick(skip=5)
    chain.fill(chain.client_id(1), "BUY", 3, 3, 501)
    assert chain.cancels() == [chain.client_id(2)]


def test_a_refused_proposal_is_not_heard_of_as_an_order():
    script = Script(on_book=lambda self, i, now: self.buy(i, 9990, 5000))
    chain = Chain(script)
    assert (chain.sent, script.kinds("order")) == ([], [])
    assert chain.engine.risk.refusals() == {"SIZE_MAX": 1}


def test_proposals_beyond_the_most_of_one_turn_are_refused_and_counted():
    said = []
    script = Script(on_book=lambda self, i, now: said.extend(self.buy(i, 9990 - n, 1) for n in range(40)))
    chain = Chain(script)
    assert said == [True] * 32 + [False] * 8
    assert (len(chain.news()), script.dropped) == (32, 8)
    chain.tick()
    assert script.dropped == 16  # the next turn starts with room again


def test_an_endless_answer_to_its_own_orders_ends_at_the_most_of_one_turn():
    script = Script(
        on_book=lambda self, i, now: self.buy(i, 9990, 1), on_order=lambda self, i, *_: self.buy(i, 9990, 1)
    )
    chain = Chain(script)
    assert (len(chain.news()), script.dropped) == (32, 1)


# ---- a strategy that fails ----


class Trouble(Exception):
    """Nothing that anybody catches by name."""


class Deaf(BaseException):
    """Not even an Exception."""


def fail(*_):
    raise Trouble("on purpose")


class Watched(Chain):
    """A chain that keeps what it is told of failing strategies."""

    def __init__(self, *strategies, synced=True, **options):
        self.said = []
        super().__init__(*strategies, synced=False, **options)
        self.engine.strategy_failed = lambda number, text, now_ns: self.said.append((number, text))
        if synced:
            self.sync()


def test_a_failing_strategy_costs_neither_the_frame_nor_the_next_one_nor_a_latch():
    def propose_and_fail(self, instrument, now_ns):
        self.buy(instrument, 9990, 1)
        if len(self.told) == 2:
            fail()

    script = Script(on_book=propose_and_fail, on_order=lambda *_: None)
    chain = Watched(script, synced=False)
    script.told.append(("warm",))
    chain.sync()
    assert chain.sent == []  # what it proposed in the failed turn is gone
    assert (chain.book.last_id, chain.book.bids()) == (111, [(9990, 50)])
    assert chain.engine.risk.latched == 0
    assert (script.faults, script.last_error) == (1, "Trouble: on purpose")
    assert chain.said == [(0, "Trouble: on purpose")]
    chain.tick([(9980, 1)])
    assert chain.book.bids() == [(9990, 50), (9980, 1)]
    assert len(chain.news()) == 1


@pytest.mark.parametrize("kind", [Trouble, Deaf, AssertionError, SystemExit, StopIteration, MemoryError])
def test_whatever_a_strategy_raises_stays_in_there(kind):
    def raises(*_):
        raise kind("x")

    script = Script(on_book=raises)
    chain = Watched(script)
    assert (script.last_error, chain.engine.risk.latched) == (f"{kind.__name__}: x", 0)


def test_a_person_at_the_keyboard_gets_through():
    def pressed(*_):
        raise KeyboardInterrupt

    chain = Watched(Script(on_timer=pressed))
    with pytest.raises(KeyboardInterrupt):
        chain.time()


def test_an_exception_whose_words_are_code_of_the_strategy_too_is_told_without_running_it():
    class Trap(Exception):
        def __str__(self):
            raise Trouble("in its own text")

        args = property(fail)

    def raises(*_):
        raise Trap("plain", 7, b"other")

    script = Script(on_book=raises)
    Watched(script)
    assert script.last_error == "Trap: plain 7"


def test_a_strategy_that_fails_on_a_fill_loses_no_report_of_the_frame():
    """A filled order's last trade and its end come in one frame: both count, whatever the strategy does."""
    script = Script(
        on_book=lambda self, i, now: self.orders.open_orders() or self.buy(i, 9990, 7), on_fill=fail
    )
    chain = Watched(script)
    script.turns["book"] = None
    chain.fill(chain.client_id(1), "BUY", 7, 7, 501, status="FILLED")
    assert chain.states() == ["FILLED"]
    assert chain.engine.account.position(0)["lots"] == 7
    assert chain.orders.reserved(0)["open_orders"] == 0
    assert chain.fill(chain.client_id(1), "BUY", 7, 7, 501, status="FILLED") == 1
    assert chain.engine.account.position(0)["lots"] == 7
    assert script.faults == 1


def test_a_strategy_that_fails_on_hearing_of_its_order_leaves_a_sent_order_and_sends_it_once():
    script = Script(
        on_book=lambda self, i, now: (self.buy(i, 9990, 1), self.sell(i, 10_010, 1)), on_order=fail
    )
    chain = Watched(script)
    assert (len(chain.sent), chain.states()) == (1, ["SENT"])
    script.turns["book"] = None
    chain.tick()
    assert len(chain.sent) == 1


def test_a_strategy_that_fails_in_its_timer_leaves_nothing_behind():
    def timer(self, now_ns):
        self.buy(0, 9990, 1)
        fail()

    chain = Watched(Script(on_timer=timer))
    chain.time()
    chain.tick()
    assert chain.sent == []


def test_a_failing_strategy_takes_nothing_from_the_one_after_it():
    first = Script(on_book=fail, on_timer=fail)
    second = Script(on_book=lambda self, i, now: self.buy(i, 9990, 1))
    chain = Watched(first, second)
    assert len(chain.news()) == 1
    chain.time()
    assert len(second.kinds("timer")) == 1
    assert (first.faults, second.faults) == (2, 0)


def test_an_invariant_of_ours_that_breaks_still_stops_all_new_risk():
    """Only what a strategy does is contained: here the cold side's own callback fails in the same frame."""
    script = Script(on_book=lambda self, i, now: self.buy(i, 9990, 1))
    chain = Chain(script)
    chain.engine.ask_resync = fail
    with pytest.raises(Trouble):
        chain.tick(skip=3)
    assert chain.engine.risk.latched == 4
    assert script.faults == 0


# ---- ... once too often ----


def failing(chain, turns):
    for _ in range(turns):
        chain.time()


def test_a_strategy_that_failed_ten_times_is_off_and_what_it_had_open_is_cancelled():
    quotes = Script(
        on_book=lambda self, i, now: self.open_orders() or (self.buy(i, 9990, 1), self.sell(i, 10_010, 1)),
        on_timer=fail,
    )
    other = Script(on_book=lambda self, i, now: len(self.open_orders()) == 2 and self.buy(i, 9980, 1))
    chain = Watched(quotes, other)
    assert len(chain.news()) == 3
    failing(chain, 9)
    assert (chain.engine.risk.off(0), quotes.strikes, chain.cancels()) == (0, 9, [])
    failing(chain, 1)
    assert (chain.engine.risk.off(0), quotes.strikes) == (2, 10)
    assert sorted(chain.cancels()) == sorted(chain.client_id(i) for i in (1, 2))  # and not the other's
    assert chain.said[-2:] == [
        (0, "Trouble: on purpose"),
        (0, "switched off: OFF_FAULTS; a person must switch it on"),
    ]
    told = len(quotes.told)
    failing(chain, 5)
    chain.tick()
    chain.fill(chain.client_id(1), "BUY", 1, 1, 501, status="FILLED")
    assert (len(quotes.told), quotes.faults) == (told, 10)  # neither told nor asked
    assert chain.engine.account.position(0)["lots"] == 1  # what filled, counts
    assert len(other.kinds("timer")) == 15


def test_cancels_of_a_strategy_that_is_off_are_repeated_until_the_venue_confirms():
    chain = Watched(Script(on_book=lambda self, i, now: self.open_orders() or self.buy(i, 9990, 1)))
    assert chain.engine.strategy_off(0, 1, chain.now)
    assert not chain.engine.strategy_off(0, 1, chain.now)
    chain.time(after_ns=SEC)
    for _ in range(40):
        chain.time(20 * MS)
    assert len(chain.cancels()) > 1
    chain.report(chain.client_id(1), "BUY", "CANCELED")
    count = len(chain.cancels())
    for _ in range(200):
        chain.time(20 * MS)
    assert len(chain.cancels()) == count


def test_only_a_person_switches_a_strategy_on_again_and_it_starts_with_a_clean_slate():
    script = Script(on_timer=fail)
    chain = Watched(script)
    chain.engine.strategy_faults_max = 2
    failing(chain, 50)
    assert (chain.engine.risk.off(0), script.faults) == (2, 2)
    assert chain.engine.strategy_on(0, chain.now)
    assert not chain.engine.strategy_on(0, chain.now)
    assert (chain.engine.risk.off(0), script.strikes, script.faults) == (0, 0, 2)
    failing(chain, 1)
    assert (chain.engine.risk.off(0), script.strikes, script.faults) == (0, 1, 3)
    failing(chain, 1)
    assert chain.engine.risk.off(0) == 2


def test_a_strategy_or_reason_that_there_is_not_is_refused():
    chain = Watched(Script())
    for number, why in ((-1, 1), (1, 1), (0, 0), (0, 9)):
        with pytest.raises(ValueError, match="strategy"):
            chain.engine.strategy_off(number, why, chain.now)
    for number in (-1, 1):
        with pytest.raises(ValueError, match="there are 1"):
            chain.engine.strategy_on(number, chain.now)
        with pytest.raises(ValueError, match="there are 1"):
            chain.engine.strategy_interrupted(number, 1)


def test_a_strategy_that_goes_off_in_the_middle_of_its_proposals_proposes_no_more():
    def many(self, instrument, now_ns):
        for n in range(5):
            self.buy(instrument, 9990 - n, 1)

    chain = Watched(Script(on_book=many, on_order=fail), synced=False)
    chain.engine.strategy_faults_max = 1
    chain.sync()
    assert len(chain.news()) == 1
    assert chain.cancels() == [chain.client_id(1)]


def test_a_replay_of_the_doors_gives_the_same_orders_a_call_that_was_cut_off_included(tmp_path):
    """A tape cannot give a strategy its time again: which call the watchdog ended is on it."""

    def run(directory, cut=()):
        tape = TapeWriter(directory, now_ns=START, segment_size=1 << 20)

        def book(self, instrument, now_ns):
            if self.calls == 3 and not cut:
                raise StrategyTimeout("no answer within 250 ms")
            return self.buy(instrument, 9990, 1)

        chain = Watched(Script(on_book=book), tape=tape, synced=False)
        for call in cut:
            chain.engine.strategy_interrupted(0, call)
        chain.sync()
        for _ in range(4):
            chain.tick()
        rows = TapeReader(directory, follow=True)
        doors = [door_row(r.payload) for r in rows if r.type == RecordType.DOOR]
        return chain.recorder.hash(), [x["b"] for x in doors if x["door"] == "DOOR_STRATEGY" and x["a"] == 2]

    first, cut = run(tmp_path / "first")
    assert cut == [3]
    assert run(tmp_path / "second", cut) == (first, cut)
    assert run(tmp_path / "third", [2])[0] != first


# ---- nonsense ----

BIG = 2**63 - 1


class Whole:
    """An integer of another library."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


@pytest.mark.parametrize(
    ("do", "why"),
    [
        (lambda s: s.buy(0, 9990, -5), "-5 lots"),
        (lambda s: s.buy(0, 9990, 0), "0 lots"),
        (lambda s: s.buy(0, 9990, BIG), "(SIZE_MAX)"),
        (lambda s: s.sell(0, -1, 5), "at -1"),
        (lambda s: s.buy(0, BIG, 5), "(PRICE_RANGE)"),
        (lambda s: s.amend(1, 9990, -7), "-7 lots"),
        (lambda s: s.buy(0, 9990.0, 5), "price_ticks 9990.0: must be a whole number (int), not float"),
        (lambda s: s.buy(0, 9990, 0.5), "TypeError: size_lots 0.5"),
        (lambda s: s.buy(0, float("nan"), 5), "TypeError: price_ticks nan"),
        (lambda s: s.buy(0, "9990", 5), "TypeError: price_ticks '9990'"),
        (lambda s: s.buy(0, None, 5), "TypeError: price_ticks None"),
        (lambda s: s.buy(0, 2**70, 5), "does not fit in 64 bits"),
        (lambda s: s.buy(5, 9990, 5), "ValueError: instrument 5: the table has 1"),
        (lambda s: s.buy(2**70, 9990, 5), "ValueError: instrument"),
        (lambda s: s.buy("BTCUSDT", 9990, 5), "TypeError: instrument 'BTCUSDT'"),
        (lambda s: s.cancel(-1), "ValueError: order_id -1"),
        (lambda s: s.cancel(1.0), "TypeError: order_id 1.0"),
        (lambda s: s.market(0, 2, 5), "ValueError: side 2"),
        (lambda s: [s.buy(0, 9990 - n, 1) for n in range(33)], "more than 32 proposals"),
    ],
)
def test_nonsense_is_a_fault_each_turn_and_at_last_switches_the_strategy_off(do, why):
    script = Script(on_timer=lambda self, now: do(self))
    chain = Watched(script)
    chain.time()
    assert script.faults == 1
    assert why in script.last_error
    failing(chain, 20)
    assert (chain.engine.risk.off(0), script.faults, chain.engine.risk.latched) == (2, 10, 0)


def test_many_things_without_sense_in_one_turn_are_one_fault():
    """A venue that made its tick coarser must not cost a quoter ten faults at once."""
    script = Script(on_timer=lambda self, now: [self.buy(0, 9990, -n) for n in range(20)])
    chain = Watched(script)
    chain.time()
    assert script.faults == 1


@pytest.mark.parametrize(
    "do",
    [
        lambda s: s.buy(0, 9990, 900) and s.buy(0, 9989, 900) and s.buy(0, 9988, 900),  # POSITION
        lambda s: s.buy(0, 9990, 5000),  # SIZE_MAX
        lambda s: s.buy(0, 20_000, 5),  # PRICE_COLLAR
        lambda s: s.cancel(77),
        lambda s: s.amend(77, 9990, 5),
        lambda s: s.buy(Whole(0), Whole(9990), Whole(5)),
    ],
)
def test_what_the_state_of_things_refuses_is_no_fault(do):
    script = Script(on_timer=lambda self, now: do(self))
    chain = Watched(script)
    failing(chain, 20)
    assert (script.faults, chain.engine.risk.off(0), chain.said) == (0, 0, [])


@pytest.mark.parametrize(
    "do", [lambda s: s.cancel(1), lambda s: s.amend(1, 9980, 5), lambda s: s.amend(1, 9990, 5)]
)
def test_to_touch_the_order_of_another_strategy_is_a_fault_and_changes_nothing(do):
    owner = Script(on_book=lambda self, i, now: self.open_orders() or self.buy(i, 9990, 7))
    other = Script(on_timer=lambda self, now: do(self))
    chain = Watched(owner, other)
    chain.report(chain.client_id(1), "BUY", "NEW")
    sent = len(chain.sent)
    chain.time()
    assert (len(chain.sent), other.faults, owner.faults) == (sent, 1, 0)
    assert chain.engine.risk.refusals() == {"NOT_OWNER": 1}
    row = chain.orders.order(1)
    assert (row["state"], row["cancel_asked"], row["cancel_wanted"], row["amending"]) == ("LIVE", 0, 0, 0)


def test_cancel_all_is_of_a_strategy_s_own_orders():
    def quote(self, i, now):
        return any(self.orders.order(x)["strategy"] == self.number for x in self.open_orders()) or self.buy(
            i, 9990, 7
        )

    owner, other = Script(on_book=quote), Script(on_book=quote, on_timer=lambda self, now: self.cancel_all())
    chain = Watched(owner, other)
    chain.time()
    assert chain.cancels() == [chain.client_id(2)]
    assert other.faults == 0


@pytest.mark.parametrize(
    "do",
    [
        lambda s: s.account.set_position(0, 5, 0),
        lambda s: s.account.fill(0, BUY, 9990, 5),
        lambda s: s.orders.intend(0, BUY, 9990, 5),
        lambda s: s.orders.report(1, 2),
        lambda s: setattr(s.orders, "epoch", 7),
        lambda s: setattr(s, "number", 7),
        lambda s: s.attach(7, s.instruments, None, None, []),
    ],
)
def test_a_strategy_reads_orders_and_account_and_cannot_change_them(do):
    script = Script(on_timer=lambda self, now: do(self))
    chain = Watched(script)
    before = (chain.engine.account.position(0), chain.orders.open_orders(), script.number)
    chain.time()
    assert script.faults == 1
    assert (chain.engine.account.position(0), chain.orders.open_orders(), script.number) == before
    assert script.account.position(0) == chain.engine.account.position(0)
    assert script.orders.reserved(0) == chain.orders.reserved(0)
    with pytest.raises(AttributeError, match="'Script' object has no attribute 'nothing'"):
        script.nothing  # noqa: B018


# ---- a book that is lost ----


class Quotes(Script):
    """Quotes both sides once, and takes its quotes back as the base class does."""

    def __init__(self, count=1):
        super().__init__(on_book=self.quote)
        self.count, self.lost = count, 0

    def quote(self, _, instrument, now_ns):
        if not self.open_orders():
            for n in range(self.count):
                self.buy(instrument, 9990 - n, 1)

    def on_book_lost(self, instrument, now_ns):
        self.lost += 1
        return Strategy.on_book_lost(self, instrument, now_ns)


def test_quotes_are_taken_back_when_the_book_that_they_stand_in_is_lost():
    quotes = Quotes()
    chain = Chain(quotes)
    chain.tick(skip=3)  # a gap
    assert chain.cancels() == [chain.client_id(1)]
    for _ in range(5):
        chain.tick()
    chain.time()
    assert quotes.lost == 1


def test_more_quotes_than_one_turn_holds_are_all_taken_back_at_once():
    quotes = Quotes(20)
    chain = Chain(quotes)
    quotes.count = 30
    quotes.turns["book"] = lambda self, i, now: (
        len(self.open_orders()) < 50 and [self.sell(i, 10_010 + n, 1) for n in range(30)]
    )
    chain.tick()
    assert len(quotes.open_orders()) == 50
    chain.tick(skip=3)
    assert len(chain.cancels()) == 50
    assert quotes.faults == 0


def test_quotes_are_taken_back_when_the_last_line_of_the_book_goes_down():
    chain = Chain(Quotes())
    chain.line(A, False)
    assert chain.cancels() == [chain.client_id(1)]


def test_quotes_are_taken_back_when_the_book_grows_stale_and_made_again_when_it_speaks():
    quotes = Quotes()
    chain = Chain(quotes)
    chain.report(chain.client_id(1), "BUY", "NEW")
    chain.time(4 * SEC)
    assert chain.cancels() == []
    chain.time(2 * SEC)
    assert chain.cancels() == [chain.client_id(1)]
    chain.time(3 * SEC)
    assert quotes.lost == 1
    chain.report(chain.client_id(1), "BUY", "CANCELED")
    chain.tick()
    assert len(chain.news()) == 2
    chain.time(6 * SEC)
    assert quotes.lost == 2


def test_what_protects_and_what_others_have_stays_when_a_book_is_lost():
    quotes = Quotes()
    other = Script(on_book=lambda self, i, now: len(self.open_orders()) == 1 and self.buy(i, 9980, 1))
    chain = Chain(quotes, other)
    assert len(chain.news()) == 2
    chain.tick(skip=3)
    assert chain.cancels() == [chain.client_id(1)]
    assert len(other.kinds("lost")) == 1


def test_a_strategy_that_fails_when_its_book_is_lost_is_contained():
    quotes, fails = Quotes(), Script(on_lost=fail)
    chain = Chain(fails, quotes)
    chain.tick(skip=3)
    assert fails.faults == 1
    assert chain.cancels() == [chain.client_id(1)]


# ---- hands off ----


@pytest.mark.parametrize("instrument", [-1, 1, 2**31 - 1])
def test_an_instrument_beyond_the_table_is_a_value_error_and_never_a_crash(instrument):
    script = Script()
    Chain(script)
    for call in (
        lambda: script.best(instrument),
        lambda: script.book(instrument),
        lambda: script.buy(instrument, 1, 1),
        lambda: script.sell(instrument, 1, 1),
    ):
        with pytest.raises(ValueError, match="the table has 1"):
            call()


def test_a_strategy_without_an_engine_says_so():
    lonely = Strategy()
    for call in (lambda: lonely.best(0), lambda: lonely.book(0), lambda: lonely.buy(0, 1, 1)):
        with pytest.raises(ValueError, match="not attached"):
            call()
    assert lonely.dial_values() == []


def test_on_the_closing_side_of_a_leg_an_order_is_reduce_only_by_itself():
    script = Script()
    Chain(script)
    with pytest.raises(ValueError, match="leg 3"):
        script.buy(0, 9990, 1, leg=3)
    gate = Chain(
        Script(on_book=lambda self, i, now: self.orders.open_orders() or [
            self.buy(i, 9990, 1, leg=1), self.sell(i, 10_010, 1, leg=1), self.market(i, BUY, 1, leg=2)
        ])
    ).engine.risk  # fmt: skip
    assert gate.refusals()["LEG"] >= 3  # spot has no legs: all of them are refused, none is sent


def test_a_time_in_force_that_is_none_is_refused_at_the_door():
    script = Script()
    Chain(script)
    with pytest.raises(ValueError, match="9"):
        script.buy(0, 9990, 1, 9)


def test_a_cancel_of_an_order_that_is_not_open_is_refused():
    script = Script(on_book=lambda self, i, now: [self.cancel(n) for n in (0, 1, 77, 2**63)])
    chain = Chain(script)
    assert (chain.sent, chain.engine.risk.refusals()) == ([], {"UNKNOWN_ORDER": 4})


def test_dials_are_neutral_until_turned_and_seen_as_last_read():
    script = Script()
    chain = Chain(script)
    assert script.dial_values() == [row[1] for row in DIALS]
    chain.time(dials=[2000, 500])
    assert script.dial_values() == [2000, 500]
    chain.time()
    assert script.dial_values() == [2000, 500]


def test_a_strategy_sees_its_open_orders_by_instrument():
    script = Script(on_book=lambda self, i, now: self.orders.open_orders() or self.buy(i, 9990, 1))
    chain = Chain(script, symbols=("BTCUSDT", "ETHUSDT"))
    assert (script.open_orders(), script.open_orders(0), script.open_orders(1)) == ([1], [1], [])
    assert chain.give(A, depth(1, 1, symbol="ETHUSDT"), MS) == 1

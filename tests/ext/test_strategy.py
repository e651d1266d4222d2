"""Strategies from Python: they see books, orders and dials, propose, and may fail without harm to the
frame."""

import pytest
from chain import MS, A, Chain, Script, depth

from ext.records import Side
from ext.strategy import DIALS, Strategy

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


def fail(*_):
    raise Trouble("strategy")


def test_a_failing_strategy_costs_neither_the_frame_nor_the_next_one():
    def propose_and_fail(self, instrument, now_ns):
        self.buy(instrument, 9990, 1)
        if len(self.told) == 2:
            fail()

    script = Script(on_book=propose_and_fail, on_order=lambda *_: None)
    chain = Chain(script, synced=False)
    script.told.append(("warm",))
    with pytest.raises(Trouble):
        chain.sync()
    assert chain.sent == []  # what it proposed in the failed turn is gone
    assert (chain.book.last_id, chain.book.bids()) == (111, [(9990, 50)])
    assert chain.engine.risk.latched == 4  # no new risk until somebody has looked
    chain.tick([(9980, 1)])
    assert chain.book.bids() == [(9990, 50), (9980, 1)]
    assert (chain.sent, chain.engine.risk.refusals()) == ([], {"LATCHED": 1})
    chain.engine.risk.release()
    chain.tick()
    assert len(chain.news()) == 1


def test_a_strategy_that_fails_on_a_fill_loses_no_report_of_the_frame():
    """A filled order's last trade and its end come in one frame: both count, whatever the strategy does."""
    script = Script(
        on_book=lambda self, i, now: self.orders.open_orders() or self.buy(i, 9990, 7), on_fill=fail
    )
    chain = Chain(script)
    with pytest.raises(Trouble):
        chain.fill(chain.client_id(1), "BUY", 7, 7, 501, status="FILLED")
    assert chain.states() == ["FILLED"]
    assert chain.engine.account.position(0)["lots"] == 7
    assert chain.orders.reserved(0)["open_orders"] == 0
    assert chain.fill(chain.client_id(1), "BUY", 7, 7, 501, status="FILLED") == 1
    assert chain.engine.account.position(0)["lots"] == 7


def test_a_strategy_that_fails_on_hearing_of_its_order_leaves_a_sent_order_and_sends_it_once():
    script = Script(
        on_book=lambda self, i, now: (self.buy(i, 9990, 1), self.sell(i, 10_010, 1)), on_order=fail
    )
    chain = Chain(script, synced=False)
    with pytest.raises(Trouble):
        chain.sync()
    assert (len(chain.sent), chain.states()) == (1, ["SENT"])
    script.turns["book"] = None
    chain.engine.risk.release()
    chain.tick()
    assert len(chain.sent) == 1


def test_a_strategy_that_fails_in_its_timer_leaves_nothing_behind():
    def timer(self, now_ns):
        self.buy(0, 9990, 1)
        fail()

    script = Script(on_timer=timer)
    chain = Chain(script)
    with pytest.raises(Trouble):
        chain.time()
    chain.engine.risk.release()
    chain.tick()
    assert chain.sent == []


def test_a_failing_strategy_takes_nothing_from_the_one_after_it_in_later_frames():
    turns = []
    first = Script(on_book=lambda *_: fail() if not turns else None)
    second = Script(on_book=lambda self, i, now: self.buy(i, 9990, 1))
    chain = Chain(first, second, synced=False)
    with pytest.raises(Trouble):
        chain.sync()
    turns.append(1)
    chain.engine.risk.release()
    chain.tick()
    assert len(chain.news()) == 1


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

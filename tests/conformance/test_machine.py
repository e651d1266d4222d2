"""Random lives of orders, drawn by hypothesis: place, amend, cancel, faults, other traders and time, in
any order, against each venue; behind every step the invariants of the failure catalogue (see `witness`),
and at the end both ledgers are equal.

What hypothesis prints for a failure is a program that shows it again.
"""

import shutil
import tempfile

import hypothesis.strategies as st
import pytest
from hands import BUY, FOK, GTC, IOC, MARKET, POST_ONLY, SELL
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from samples import MARKETS
from witness import Witnessed

# What may strike while orders live; each heals by itself. (name, arguments)
FAULTS = (
    ("ack.drop", {"count": 1}),
    ("ack.delay", {"count": 1, "delay_ms": 1500}),
    ("ack.dup", {"count": 2}),
    ("ack.after_fill", {"count": 1, "delay_ms": 200}),
    ("exec.dup", {"count": 2}),
    ("exec.drop", {"count": 1}),
    ("exec.delay", {"count": 2, "delay_ms": 800}),
    ("exec.reorder", {"count": 2, "window": 3}),
    ("exec.split", {"count": 1, "k": 3}),
    ("order.fill_immediately", {"count": 1, "part": "part"}),
    ("order.fill_on_cancel", {"count": 1}),
    ("order.reject_late", {"count": 1, "delay_ms": 50}),
    ("order.accept_silent", {"count": 1}),
    ("order.amend_fail_late", {"count": 1, "delay_ms": 50}),
    ("order.expire", {"count": 1, "delay_ms": 300}),
    ("rest.status", {"count": 2, "status": 503}),
    ("rest.delay", {"count": 2, "delay_ms": 2000}),
    ("rest.drop", {"count": 1}),
    ("rest.not_found_for", {"for_s": 5, "ms": 3000}),
    ("px.rst", {"count": 1}),
    ("px.blackhole", {"for_s": 4, "way": "out"}),
    ("px.blackhole", {"for_s": 4, "way": "in"}),
    ("me_stall", {"for_s": 3}),
    ("book.gap", {"count": 1, "n": 2}),
    ("session.expire", {}),
    ("session.kick", {"code": 1001}),
)
ACTIVE = ("session.expire", "session.kick")
SIDES = st.sampled_from([BUY, SELL])
CALM_S = 400


class Orders(RuleBasedStateMachine):
    """One node on one market. `market` is set by the test."""

    market = "binance-spot"

    def __init__(self):
        super().__init__()
        self.directory = tempfile.mkdtemp(prefix="tickgate-machine-")
        self.hand = Witnessed(self.market, directory=self.directory).ready()

    # ---- what happens ----

    @rule(
        side=SIDES,
        ticks=st.integers(-300, 800),
        tif=st.sampled_from([GTC, GTC, IOC, FOK, POST_ONLY]),
        size=st.integers(1, 3),
    )
    def place(self, side, ticks, tif, size):
        self.hand.place(side, self.hand.away(side, ticks), size * self.hand.size, tif=tif)

    @rule(side=SIDES, reduce_only=st.booleans())
    def at_market(self, side, reduce_only):
        self.hand.place(side, 0, type=MARKET, tif=IOC, reduce_only=reduce_only)

    @rule(side=SIDES, count=st.integers(2, 4))
    def place_many(self, side, count):
        self.hand.place_many([(side, self.hand.away(side, 400 + 7 * i)) for i in range(count)])

    @precondition(lambda self: self.hand.open_here())
    @rule(which=st.integers(0, 9), ticks=st.integers(-300, 800), halves=st.integers(1, 6))
    def amend(self, which, ticks, halves):
        order = self.hand.order(self.pick(which))
        step = self.hand.world.desk.instruments.row(0)["lot_step"]
        size = halves * self.hand.size // 2 // step * step
        self.hand.amend(order["id"], self.hand.away(order["side"], ticks), size)

    @precondition(lambda self: self.hand.open_here())
    @rule(which=st.integers(0, 9))
    def cancel(self, which):
        self.hand.cancel(self.pick(which))

    def pick(self, which):
        ids = self.hand.open_here()
        return ids[which % len(ids)]

    @precondition(lambda self: self.hand.open_there())
    @rule(which=st.integers(0, 9), part=st.integers(1, 4))
    def others_trade(self, which, part):
        """Somebody takes all that is in front of one of our orders, and a part of it."""
        rows = [
            x for x in self.hand.fake.open_orders(self.hand.world.account(self.hand.market)) if not x.waits
        ]
        if rows:
            row = rows[which % len(rows)]
            engine, better = self.hand.listing.engine, (lambda x: x > row.price_ticks)
            if row.side == SELL:
                better = lambda x: x < row.price_ticks  # noqa: E731
            front = sum(n for price, n in engine.levels(row.side) if better(price))
            if front < sum(n for _, n in engine.levels(row.side)) // 2:  # never the whole side
                engine.trade(1 - row.side, row.price_ticks, front + max(row.leaves_lots * part // 4, 1))

    @rule(which=st.sampled_from(FAULTS))
    def fault(self, which):
        name, about = which
        if name in ACTIVE:
            self.hand.fake.strike(self.hand.fake.faults.add(name, **about), self.hand.world.now_ns)
        else:
            self.hand.fault(name, **about)

    @rule(ms=st.sampled_from([1, 5, 20, 100, 600, 3000, 12000]))
    def wait(self, ms):
        self.hand.run(ms / 1000)

    # ---- what must hold ----

    @invariant()
    def nothing_is_broken(self):
        assert self.hand.world.broken == []

    def teardown(self):
        try:
            self.settle()
        finally:
            shutil.rmtree(self.directory)

    def settle(self):
        """The faults stop: within minutes nothing is in doubt, and both sides have the same."""
        world, hand = self.hand.world, self.hand
        hand.fake.faults.clear()
        for order in hand.open_here():
            hand.engine.want_cancel(order, world.now_ns)
        hand.run(3)
        hand.until(lambda: not world.differences() and world.keeper.is_settled(), CALM_S)
        assert hand.open_here() == []
        assert hand.open_there() == []
        world.check()
        world.check_trades()
        assert world.broken == []
        assert hand.fake.audit() == []
        hand.until(hand.may_trade, CALM_S)


def live(market, examples, steps):
    machine = type("Orders", (Orders,), {"market": market})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=examples < 50,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("market", [*MARKETS, "okx-spot"])
def test_random_lives_of_orders_break_nothing(market):
    live(market, 5, 12)


@pytest.mark.soak
@pytest.mark.parametrize("market", [*MARKETS, "okx-spot"])
def test_many_random_lives_of_orders_break_nothing(market):
    live(market, 200, 30)

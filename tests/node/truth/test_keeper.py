"""The whole room against a real engine: start, unknown orders, drift, and runs drawn from a seed."""

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hyp_settings
from hypothesis import strategies as st
from rig import SPOT, World
from rig import size as rig_size

from ext.records import ReportKind
from node.truth.keeper import Keeper
from node.truth.settings import MS, SEC, Settings
from node.venues.values import Reply


def test_nothing_is_traded_before_a_complete_pass_agreed(world):
    world.keeper.begin(world.now)
    assert world.halts(0) == {"HALT_START": 2}
    world.venues[SPOT].broken["open"] = "silent"
    world.run(20)
    assert "HALT_START" in world.halts(0)
    assert "HALT_START" not in world.halts(1)
    del world.venues[SPOT].broken["open"]
    assert world.run(30, lambda: not world.halts(0))


def test_a_start_on_a_quiet_account_takes_less_than_three_seconds(world):
    world.keeper.begin(world.now)
    assert world.run(3, lambda: not world.halts(0) and not world.halts(1))
    assert world.run(10, world.keeper.is_settled)
    assert world.keeper.differences() == []


def test_a_desk_stays_stopped_while_its_private_stream_is_down():
    world = World()
    world.line(1, False)
    world.keeper.begin(world.now)
    world.run(30)
    assert set(world.halts(0)) == {"HALT_START"}
    assert world.halts(1) == {}
    world.line(1, True)
    assert world.run(5, lambda: not world.halts(0))


def test_an_answer_that_comes_too_late_is_none(world):
    world.settle()
    world.latency_ns = 11 * SEC
    watch = world.keeper.watches[SPOT]
    sweeps = watch.sweeps
    world.run(60)
    assert watch.sweeps == sweeps
    assert not watch.budget.flying - {x for x in watch.budget.flying if world.now - x.left_ns < 11 * SEC}


def test_two_desks_of_one_market_are_refused(world):
    desk = world.keeper.watches[SPOT].desk
    with pytest.raises(ValueError, match="two desks"):
        Keeper(world.engine, [desk, desk], Settings(), lambda where, text: None)


def test_the_same_seed_asks_the_same_things():
    def run(seed):
        world = World(seed=seed)
        world.keeper.begin(world.now)
        world.order(state="UNKNOWN", at_venue=False)
        world.run(20)
        return [(x, y.asked) for x, y in world.venues.items()], world.told

    assert run(4) == run(4)


ACTS = st.sampled_from(
    [
        "place",
        "lose",
        "ghost",
        "late",
        "fill",
        "fill_heard",
        "fill_silent",
        "venue_cancel",
        "hide",
        "unlist",
        "break",
        "mend",
        "line",
        "foreign",
        "wait",
    ]
)


class Chaos:
    """Orders that get lost on the way there or back, fills that are heard or not, answers that fail:
    drawn by a test."""

    def __init__(self, world, draws):
        self.world, self.draws = world, draws
        self.ids, self.filled = {}, set()
        self.net = 0

    def act(self, what, pick):
        getattr(self, what)(pick)
        self.check()

    def _any(self, pick, *states):
        rows = [
            x
            for x in self.world.venues[SPOT].orders.values()
            if x.state in states and x.client_id in self.ids
        ]
        return rows[pick % len(rows)] if rows else None

    def _new(self, state, at_venue, pick):
        if len(self.world.engine.orders.open_orders(0)) > 20:
            return
        id, client = self.world.order(0, pick % 2, 1 + pick % 9, state=state, at_venue=at_venue)
        self.ids[client] = id

    def place(self, pick):
        self._new("LIVE", True, pick)

    def lose(self, pick):
        self._new("UNKNOWN", True, pick)

    def ghost(self, pick):
        self._new("UNKNOWN", False, pick)

    def late(self, pick):
        """The frame of an order that the venue has not seen gets there after all."""
        lost = [c for c in self.ids if c not in self.world.venues[SPOT].orders]
        if lost:
            row = self.world.engine.orders.order(self.ids[lost[pick % len(lost)]])
            self.world.venues[SPOT].place(lost[pick % len(lost)], row["side"], row["size_lots"])

    def fill(self, pick, heard=None):
        row = self._any(pick, "live", "partial")
        if row is None:
            return
        size, done = round(float(row.size) * 1000), round(float(row.filled) * 1000)
        lots = 1 + pick % (size - done)
        venue = self.world.venues[SPOT]
        state = "filled" if done + lots == size else "partial"
        venue.change(row.client_id, state=state, filled=rig_size(done + lots))
        trade = venue.trade(row.client_id, row.side, lots, self.world.now, show_id=pick % 3 > 0)
        sign = 1 if row.side == 0 else -1
        self.net += sign * lots
        venue.balances["BTC"] = rig_size(2000 + self.net)
        venue.balances["USDT"] = str(Decimal(10_000) - Decimal(self.net) / 10)
        if heard if heard is not None else pick % 2:
            fields = {"side": row.side, "price_ticks": 10_000, "size_lots": lots, "trade_lo": trade.trade_lo}
            self.world.report(0, ReportKind.REPORT_FILL, row.client_id, filled_lots=done + lots, **fields)

    def fill_heard(self, pick):
        self.fill(pick, True)

    def fill_silent(self, pick):
        self.fill(pick, False)

    def venue_cancel(self, pick):
        row = self._any(pick, "live", "partial")
        if row is not None:
            self.world.venues[SPOT].change(row.client_id, state="canceled")

    def hide(self, pick):
        row = self._any(pick, "live", "partial", "filled", "canceled")
        if row is not None:
            self.world.venues[SPOT].hidden.add(row.client_id)

    def unlist(self, pick):
        row = self._any(pick, "live", "partial")
        if row is not None:
            self.world.venues[SPOT].unlisted.add(row.client_id)

    def broken(self, pick):
        what = ("open", "trades", "order", "balances", "cancel", "time", "cash")[pick % 7]
        self.world.venues[SPOT].broken[what] = ("silent", ValueError("odd"), Reply(503))[pick % 3]

    def mend(self, pick):
        self.world.venues[SPOT].broken.clear()
        self.world.venues[SPOT].hidden.clear()
        self.world.venues[SPOT].unlisted.clear()

    def line(self, pick):
        self.world.line(pick % 2, bool(pick & 2))

    def foreign(self, pick):
        self.world.venues[SPOT].place(f"somebody{pick}", pick % 2, 1 + pick % 5)

    def wait(self, pick):
        self.world.run((0.1, 1, 3, 11, 20)[pick % 5])

    # ---- what must hold at every moment ----

    def check(self):
        """Whatever rests at the venue and is ours is reserved here, unless its frame came behind deadline
        and margin (then it is taken back as soon as it is seen)."""
        venue = self.world.venues[SPOT]
        very_late = {c for c, id in self.ids.items() if self.world.state(id) == "NEVER_EXISTED"}
        for client, id in self.ids.items():
            row, order = venue.orders.get(client), self.world.engine.orders.order(id)
            if row is not None and row.state in ("live", "partial") and client not in very_late:
                assert order is not None
                assert order["state"] not in ("NEVER_EXISTED", "CANCELED", "FILLED"), (client, order["state"])
                assert order["leaves_lots"] >= round((float(row.size) - float(row.filled)) * 1000)


setattr(Chaos, "break", Chaos.broken)


@hyp_settings(
    max_examples=20,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(st.tuples(ACTS, st.integers(0, 1000)), min_size=5, max_size=40))
def test_whatever_happens_nothing_is_freed_without_proof_and_all_agrees_in_the_end(acts):
    world = World()
    world.STEP_NS = 100 * MS
    world.settle()
    chaos = Chaos(world, acts)
    for what, pick in acts:
        if what == "late":
            ghosts = [c for c in chaos.ids if c not in world.venues[SPOT].orders]
            if any(world.state(chaos.ids[c]) == "NEVER_EXISTED" for c in ghosts):
                continue  # no venue lets a frame in so long behind its deadline
        chaos.act(what, pick)
        world.run(0.06)
        chaos.check()
    chaos.mend(0)
    for line in (0, 1):
        world.line(line, True)
    for row in list(world.venues[SPOT].orders.values()):
        if row.client_id.startswith("somebody"):
            world.venues[SPOT].change(row.client_id, state="canceled")
    since_ns = world.now
    world.keeper.look_now(world.now)
    assert world.run(400, lambda: world.keeper.is_settled(since_ns)), world.keeper.differences()
    assert world.position() == chaos.net
    live = {x.client_id for x in world.venues[SPOT].orders.values() if x.state in ("live", "partial")}
    held = {world.client_id(0, id) for id in world.engine.orders.open_orders(0)}
    assert held == live
    assert world.run(5, lambda: not world.halts(0)), world.halts(0)


def test_after_standing_still_only_what_is_asked_from_then_on_proves_anything(world):
    """A pass that was under way when the process stopped tells of a time that is gone."""
    world.settle()
    world.run(1)
    world.latency_ns = 400 * MS
    watch = world.keeper.watches[SPOT]
    world.keeper.look_now(world.now)
    while watch.sweep is None:
        world.step()
    world.now += SEC // 10  # it left, and then nothing turned
    world.engine.stood_still(SEC // 10, world.now)
    world.keeper.thawed(world.now)
    thawed_ns, sweeps = world.now, watch.sweeps
    assert not watch.private.is_proven
    while watch.sweeps == sweeps:
        world.step()
    assert watch.swept_ns < thawed_ns, "the pass from before came to its end"
    assert not watch.private.is_proven
    assert world.run(5, lambda: watch.private.is_proven)
    assert watch.swept_ns >= thawed_ns

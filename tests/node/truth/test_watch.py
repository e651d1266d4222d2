"""One desk's schedule: what is asked when, what failures do, what the engine's own halts become."""

import pytest
from rig import PERP, SPOT, SYMBOL

from ext.records import ErrorGroup, HaltReason, Latch, Outcome, ReportKind
from node.truth.settings import SEC
from node.venues.values import BudgetRow, KeyRow, ModeRow, Reply, RestError, Said


def count(world, market, what):
    return world.venues[market].asked.count(what)


def test_lists_are_asked_for_on_their_schedule(world):
    world.settle()
    world.run(60)
    before = {
        what: count(world, PERP, what) for what in ("open", "trades", "positions", "balances", "key", "time")
    }
    world.run(600)
    made = {what: count(world, PERP, what) - n for what, n in before.items()}
    assert 59 <= made["open"] == made["trades"] <= 72
    assert 19 <= made["positions"] <= 21
    assert 9 <= made["balances"] <= 11
    assert 9 <= made["key"] <= 11
    assert 59 <= made["time"] <= 61


@pytest.mark.parametrize("line", [0, 1])
def test_a_line_that_comes_back_is_followed_by_a_pass(world, line):
    world.settle()
    world.run(1)
    sweeps = world.keeper.watches[SPOT].sweeps
    world.line(line, False)
    world.line(line, True)
    world.run(1)
    assert world.keeper.watches[SPOT].sweeps > sweeps


def test_lists_that_fail_are_asked_for_later_and_later(world):
    world.settle()
    world.venues[SPOT].broken["open"] = RestError("x", Said(Outcome.UNCERTAIN, text="busy"))
    before = count(world, SPOT, "open")
    world.run(120)
    assert 8 < count(world, SPOT, "open") - before < 40
    assert len(world.heard("busy")) <= 3


def test_a_refused_key_stops_the_desk_until_a_pass_works_again(world):
    world.settle()
    refusal = RestError("x", Said(Outcome.REFUSED, int(ErrorGroup.GROUP_ACCESS), -2015, "Invalid API-key"))
    world.venues[SPOT].broken["open"] = refusal
    assert world.run(15, lambda: world.halts(0) == {"HALT_ACCESS": 2})
    assert world.halts(1) == {}
    assert world.heard("Invalid API-key")
    del world.venues[SPOT].broken["open"]
    assert world.run(25, lambda: not world.halts(0))


def test_a_key_that_may_not_trade_stops_and_one_that_may_withdraw_is_told(world):
    world.venues[SPOT].key = KeyRow(
        can_trade=False, can_withdraw=True, expires_ns=world.now + 100 * 3600 * SEC
    )
    world.keeper.begin(world.now)
    world.run(5)
    assert world.halts(0)["HALT_ACCESS"] == 2
    assert world.heard("may withdraw")
    assert world.heard("expires in 99 hours")
    world.venues[SPOT].key = KeyRow(can_trade=True)
    assert world.run(70, lambda: not world.halts(0))


def test_a_clock_error_measures_the_clock_at_once(world):
    world.settle()
    world.run(11)
    before = count(world, SPOT, "time")
    world.keeper.watches[SPOT].refused(
        "order", Said(1, int(ErrorGroup.GROUP_CLOCK), -1021, "ahead"), world.now
    )
    world.run(0.1)
    assert count(world, SPOT, "time") == before + 1


def test_too_many_requests_silence_the_path_cancels_included(world):
    world.settle()
    world.venues[SPOT].broken["open"] = Reply(429)
    assert world.run(12, lambda: world.keeper.watches[SPOT].budget.paused_until_ns > world.now)
    del world.venues[SPOT].broken["open"]
    world.line(0, False)
    world.order(state="UNKNOWN", at_venue=False)
    asked = len(world.venues[SPOT].asked)
    world.run(9)
    assert len(world.venues[SPOT].asked) == asked
    world.run(3)
    assert "cancel" in world.venues[SPOT].asked[asked:]
    assert world.heard("too many requests (429)")


@pytest.mark.parametrize(
    ("reply", "orders_wait"),
    [(Reply(429), False), (Reply(429, {"retry-after": "30"}), True), (Reply(418), True), (Reply(403), True)],
)
def test_an_address_that_is_turned_away_sends_no_new_order_either(world, reply, orders_wait):
    world.settle()
    world.venues[SPOT].broken["open"] = reply
    budget, risk = world.keeper.watches[SPOT].budget, world.engine.risk
    assert world.run(12, lambda: budget.paused_until_ns > world.now)
    until_ns = budget.paused_until_ns if orders_wait else world.now
    assert risk.budgets.wait(SPOT, 0, 0, world.now) == until_ns - world.now


def test_the_venues_own_words_are_obeyed(world):
    world.settle()
    world.venues[SPOT].budgets = [BudgetRow(3, until_ns=world.now + 40 * SEC)]
    world.run(11)
    world.venues[SPOT].budgets = []
    asked = len(world.venues[SPOT].asked)
    world.run(25)
    assert len(world.venues[SPOT].asked) == asked


def test_an_odd_word_that_the_engine_heard_ends_with_two_passes(world):
    world.settle()
    _, client = world.order(state="LIVE")
    world.report(0, ReportKind.REPORT_ODD, client)
    assert world.halts(0) == {"HALT_ODD": 1}
    assert world.run(60, lambda: not world.halts(0))


def test_what_cannot_be_is_told_with_its_number_and_what_it_is_against(world):
    world.settle()
    _, client = world.order(state="LIVE")
    fill = {"size_lots": 3, "price_ticks": 2**47 + 1, "trade_lo": 9}
    world.report(0, ReportKind.REPORT_FILL, client, **fill)
    world.run(1)
    (text,) = world.heard("what cannot be")
    assert f"at {2**47 + 1}: its price must be 1 to {2**47}; not counted; its lists are asked" in text
    assert world.run(60, lambda: not world.halts(0))
    world.report(0, ReportKind.REPORT_ODD, client)
    world.run(1)
    assert len(world.heard("what cannot be")) == len(world.heard("something unknown")) == 1


def test_access_that_the_engine_lost_comes_back_with_a_new_login_and_a_pass(world):
    world.settle()
    world.engine.halt(0, int(HaltReason.HALT_ACCESS), 2, world.now)
    world.run(60)
    assert world.halts(0) == {"HALT_ACCESS": 2}
    world.line(0, False)
    world.line(0, True)
    assert world.run(15, lambda: not world.halts(0))


def test_access_that_the_engine_lost_asks_once_for_a_new_login(world):
    """A venue that says in answer to orders only that the session ended: nobody else hears of it. Where a
    login does not help, the key is refused, and asking again and again would help no more."""
    world.settle()
    for _ in range(2):
        world.engine.halt(0, int(HaltReason.HALT_ACCESS), 2, world.now)
        world.run(15)
        assert world.logins == [SPOT]
        world.line(0, False)
        world.line(0, True)
        assert world.run(15, lambda: not world.halts(0))


def test_halts_that_only_a_person_may_end_stay(world):
    world.settle()
    for reason in (HaltReason.HALT_OPERATOR, HaltReason.HALT_FILTER, HaltReason.HALT_LIQUIDATION):
        world.engine.halt(0, int(reason), 1, world.now)
    world.run(150)
    assert len(world.halts(0)) == 3
    assert world.keeper.watches[SPOT].desk.symbol(0) == SYMBOL


@pytest.mark.parametrize(
    "late_ns", [SEC, SEC + 20_000_000]
)  # with another list of balances on its way, and without
def test_balances_that_are_wanted_again_while_their_cash_is_asked_for_go_on_being_compared(world, late_ns):
    world.settle()
    watch = world.keeper.watches[SPOT]
    watch.all_due(world.now)
    world.step()
    assert "cash" in watch.pulls
    late = [(at + late_ns * (one.what == "cash"), one, reply) for at, one, reply in world.flying]
    world.flying[:] = late
    while "cash" in watch.pulls:  # a private line came up, say, and another
        watch.all_due(world.now)
        world.step()
    begun = world.now
    assert world.run(130, lambda: min(x.compared_ns for x in world.keeper.purses.values()) > begun)


def test_what_the_engine_stopped_by_itself_is_told_at_once(world):
    world.settle()
    for reason, level in (
        (HaltReason.HALT_FILTER, 1),
        (HaltReason.HALT_VENUE, 1),
        (HaltReason.HALT_LIQUIDATION, 2),
    ):
        world.engine.halt(1, int(reason), level, world.now)
    world.run(0.1)
    assert world.heard("filters refused one order after the other: an operator must look: reduce-only")
    assert world.heard("refused an order because of the market's state: reduce-only")
    assert world.heard("liquidated or deleveraged by the venue: stopped")
    world.run(100)
    assert world.halts(1) == {"HALT_FILTER": 1, "HALT_LIQUIDATION": 2}


def test_leverage_is_verified_before_the_first_order_and_again_every_minute(world):
    world.venues[PERP].modes = [ModeRow(PERP, SYMBOL, leverage="7", margin_mode="cross")]
    product = world.keeper.watches[PERP].desk.products[SYMBOL]
    object.__setattr__(product, "leverage", "5")
    world.settle()
    assert world.halts(1) == {"HALT_MODE": 1}
    world.venues[PERP].modes = [ModeRow(PERP, SYMBOL, leverage="5")]
    assert world.run(61, lambda: not world.halts(1))


def test_without_an_answer_on_leverage_a_perpetual_is_not_armed(world):
    world.venues[PERP].broken["modes"] = "silent"
    world.keeper.begin(world.now)
    world.run(30)
    assert world.halts(1) == {"HALT_START": 2}
    assert not world.halts(0)


@pytest.mark.parametrize("latched", [False, True])
def test_what_agreement_allows_is_told_and_while_a_latch_holds_that_is_nothing(world, latched):
    world.engine.latch(int(Latch.LATCH_OPERATOR), latched, world.now)
    world.keeper.begin(world.now)
    assert world.run(30, lambda: world.heard("the venue and the node agree"))
    assert bool(world.heard("trading may begin")) is not latched
    assert bool(world.heard("reconciled, but latched (operator): ")) is latched
    assert bool(world.heard('`tickgate resume CONFIG --reason "TEXT"` lets it go on')) is latched

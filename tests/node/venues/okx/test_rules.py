"""The rules are data: what can be checked is that they are whole and agree with each other."""

import pytest

from ext.records import Action, BudgetKind, ErrorGroup, Market, Outcome
from node.venues.okx import rules


def test_every_stack_has_production_and_demo_hosts():
    assert set(rules.HOSTS) == {(stack, env) for stack in ("global", "eea", "us") for env in ("prod", "demo")}
    for (_, env), hosts in rules.HOSTS.items():
        assert hosts.demo == (env == "demo")
        assert ("pap." in hosts.ws) == hosts.demo
        assert hosts.url("private") == hosts.ws + "/ws/v5/private"


@pytest.mark.parametrize(
    ("code", "want"),
    [
        (0, Outcome.ACCEPTED),
        (51008, Outcome.REFUSED),
        (50011, Outcome.REFUSED),
        (60011, Outcome.REFUSED),
        (50004, Outcome.UNCERTAIN),
        (51149, Outcome.UNCERTAIN),
        (51400, Outcome.UNCERTAIN),
        (51016, Outcome.UNCERTAIN),
        (12345, Outcome.UNCERTAIN),
    ],
)
def test_only_a_documented_refusal_is_one(code, want):
    assert rules.outcome(code) == want


def test_no_code_is_of_two_kinds():
    codes = [x for text in rules._ERRORS.values() for x in text.split()]
    assert len(codes) == len(set(codes)) == len(rules.ERRORS)


def test_the_ping_and_its_answer_fit_into_the_silence_that_the_venue_allows():
    assert rules.PING_AFTER_NS + rules.PONG_WITHIN_NS < rules.SILENCE_MAX_NS


def test_depth_channels_are_watched_a_little_longer_than_their_heartbeat():
    assert {"books", "books5", "bbo-tbt", "books-l2-tbt", "books50-l2-tbt"} == set(rules.BOOK_CHANNELS)
    assert all(rules.CHANNELS[x].silence_ns > 60 * rules.SECOND for x in rules.BOOK_CHANNELS)


U, R = Outcome.UNCERTAIN, Outcome.REFUSED


@pytest.mark.parametrize(
    ("code", "outcomes", "group"),
    [
        # row 30: the venue itself does not know
        *(
            (x, (U, U, U), ErrorGroup.GROUP_UNKNOWN)
            for x in (50001, 50004, 50013, 50026, 51054, 51149, 51412)
        ),
        # row 46: our rules of the instrument are old
        *((x, (R, R, R), ErrorGroup.GROUP_FILTER) for x in (51020, 51121, 51006, 51137, 51101, 51046)),
        # row 47: an order with that id is open, and it may be the one meant
        *((x, (U, R, R), ErrorGroup.GROUP_DUPLICATE) for x in (51016, 51065, 50071)),
        # row 49: not open now, which says nothing about how it ended
        *((x, (U, R, R), ErrorGroup.GROUP_NOT_OPEN) for x in (51400, 51401, 51402, 51410, 51503, 51603)),
        # row 57
        *((x, (R, R, R), ErrorGroup.GROUP_LIMIT) for x in (50011, 50061, 50040, 60014, 51513)),
        # row 59
        *((x, (R, R, R), ErrorGroup.GROUP_CLOCK) for x in (50036, 50037, 50102, 60006)),
        # row 60
        *(
            (x, (R, R, R), ErrorGroup.GROUP_ACCESS)
            for x in (50101, 50105, 50110, 50111, 50113, 50119, 60009, 60011)
        ),
        (51008, (R, R, R), ErrorGroup.GROUP_FUNDS),
        (51511, (R, R, R), ErrorGroup.GROUP_POST_ONLY),
        (51001, (R, R, R), ErrorGroup.GROUP_MARKET),
        (50020, (R, R, R), ErrorGroup.GROUP_ACCESS),
        (77777, (U, U, U), ErrorGroup.GROUP_UNKNOWN),
    ],
)
def test_what_a_code_proves_of_each_kind_of_request(code, outcomes, group):
    for action, want in zip((Action.NEW, Action.CANCEL, Action.AMEND), outcomes, strict=True):
        assert rules.verdict(code, action) == (want, group)


def test_the_table_of_codes_has_every_code_once_with_outcomes_that_exist():
    assert [x[0] for x in rules.CODES] == sorted(rules.ERRORS)
    for _, *outcomes, group in rules.CODES:
        assert set(outcomes) <= {Outcome.REFUSED, Outcome.UNCERTAIN}
        assert group in list(ErrorGroup)
    assert set(rules._GROUPS) <= set(rules._ERRORS)


def test_budgets_are_whole_and_cancels_have_their_own():
    budgets = rules.BUDGETS[Market.OKX]
    assert {x.scope for x in budgets} <= {"instrument", "account", "address"}
    assert all(x.limit > 0 and x.interval_ns >= rules.SECOND and x.name for x in budgets)
    assert len({x.name for x in budgets}) == len(budgets)
    by_name = {x.name: x for x in budgets}
    assert by_name["order"].kind == BudgetKind.BUDGET_ORDERS
    assert by_name["cancel-order"].kind == BudgetKind.BUDGET_CANCELS
    assert by_name["amend-order"].kind == BudgetKind.BUDGET_AMENDS
    assert (by_name["order"].limit, by_name["order"].interval_ns) == (60, 2 * rules.SECOND)


def test_what_a_session_subscribes_for_an_account_is_on_its_endpoint():
    for topics, path in ((rules.PRIVATE_TOPICS, "private"), (rules.ALGO_TOPICS, "business")):
        assert {rules.CHANNELS[channel].path for channel, _ in topics} == {path}
        assert all(rules.CHANNELS[channel].login for channel, _ in topics)

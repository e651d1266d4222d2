"""The rules are data: what can be checked is that they are whole and agree with each other."""

import pytest

from ext.records import Outcome
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

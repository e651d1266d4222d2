"""The state machine of one order of unknown fate: each leg of the proof, taken away one at a time."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ext.records import OrderType
from node.truth.settings import MS, SEC, Settings
from node.truth.unknown import Case, Pace

SENT = 1_700_000_000 * SEC
WINDOW = 1500 * MS
RIPE = SENT + WINDOW + 60 * SEC
DAY = 24 * 3600 * SEC


def row(**fields):
    return {
        "id": 1,
        "instrument": 0,
        "state": "UNKNOWN",
        "state_ns": SENT + SEC,
        "intent_ns": SENT,
        "sent_ns": SENT,
        "acked_ns": 0,
        "heard_ns": 0,
        "filled_lots": 0,
        "type": 0,
        "cancel_wanted": 0,
        "doubt": 0,
        "behind_ns": 0,
        "amending": 0,
        "final_state": 0,
        "amend_ns": 0,
    } | fields


def case(**fields):
    return Case(row(**fields), "BTCUSDT", "id", WINDOW, Settings(), Random(1), SENT + SEC)


STEPS = {
    "first": lambda x: x.not_found(RIPE + 1),
    "second": lambda x: x.not_found(RIPE + 1 + SEC),
    "list": lambda x: x.listed(RIPE + 2, False),
    "trades": lambda x: x.traded(RIPE + 3, SENT, False),
}
END = RIPE + 5 * SEC


def test_the_whole_proof_is_one():
    x = case()
    for step in STEPS.values():
        assert x.proof(row(), DAY, END) is None
        step(x)
    proof = x.proof(row(), DAY, END)
    assert proof.not_found_ns == (RIPE + 1, RIPE + 1 + SEC)
    assert min(*proof.not_found_ns, proof.listed_ns, proof.trades_ns) > proof.ripe_ns == RIPE


@pytest.mark.parametrize("missing", STEPS)
def test_without_any_one_leg_there_is_no_proof(missing):
    x = case()
    for name, step in STEPS.items():
        if name != missing:
            step(x)
    assert x.proof(row(), DAY, END) is None


def whole(**fields):
    x = case(**fields)
    for step in STEPS.values():
        step(x)
    return x


def test_not_before_the_deadline_and_the_margin():
    assert whole().proof(row(), DAY, RIPE) is None


def test_not_for_an_order_that_traded():
    assert whole().proof(row(filled_lots=1), DAY, END) is None


def test_not_behind_the_venues_memory():
    assert whole().proof(row(), END - SENT, END) is None
    assert whole().proof(row(), END - SENT + 1, END) is not None


def test_answers_to_questions_from_before_the_margin_do_not_count():
    x = case()
    for early in (x.not_found, lambda at: x.listed(at, False), lambda at: x.traded(at, SENT, False)):
        early(RIPE)
        early(RIPE - SEC)
    assert x.proof(row(), DAY, END) is None


def test_early_not_founds_do_not_count_beside_late_lists():
    x = case()
    for at in (RIPE - 2 * SEC, RIPE):
        x.not_found(at)
    STEPS["list"](x)
    STEPS["trades"](x)
    assert x.proof(row(), DAY, END) is None


def test_two_answers_less_than_a_second_apart_are_one():
    x = case()
    for at in (1, 2, SEC):
        x.not_found(RIPE + at)
    STEPS["list"](x)
    STEPS["trades"](x)
    assert x.proof(row(), DAY, END) is None


def test_trades_from_behind_the_send_prove_nothing():
    x = case()
    for name in ("first", "second", "list"):
        STEPS[name](x)
    x.traded(RIPE + 3, SENT + 1, False)
    assert x.proof(row(), DAY, END) is None


@pytest.mark.parametrize(
    "evidence",
    [
        lambda x: x.found(),
        lambda x: x.listed(RIPE + 9, True),
        lambda x: x.traded(RIPE + 9, SENT, True),
        lambda x: x.heard(row(heard_ns=RIPE + 9)),
    ],
)
def test_any_sign_of_life_voids_what_was_missing(evidence):
    x = whole()
    evidence(x)
    assert x.proof(row(), DAY, END) is None


def test_an_intent_that_was_never_marked_as_sent_counts_from_when_it_was_found():
    x = case(sent_ns=0)
    assert x.ripe_ns == RIPE + SEC
    assert x.asked_from_ns == SENT


def test_stop_orders_have_a_longer_deadline():
    assert case(type=int(OrderType.STOP_MARKET)).ripe_ns == SENT + 90 * SEC


def test_paces_double_to_their_cap_with_jitter():
    pace, now, waits = Pace(100, 1000, Random(3), 0), 0, []
    for _ in range(30):
        now = max(now, pace.due_ns)
        assert pace.is_due(now)
        pace.took(now)
        waits.append(pace.due_ns - now)
    assert 50 <= waits[0] <= 100
    assert all(500 <= x <= 1000 for x in waits[5:])
    assert len(set(waits[5:])) > 5


def test_it_is_over_when_closed_or_live_with_nothing_open():
    x = case()
    for state in ("FILLED", "CANCELED", "REJECTED", "EXPIRED", "NEVER_EXISTED", "LIVE", "PARTIAL"):
        assert x.is_over(row(state=state))
    for state in ("UNKNOWN", "ACKED", "SENT", "INTENT"):
        assert not x.is_over(row(state=state))
    for open_end in ("cancel_wanted", "doubt", "behind_ns", "amending", "final_state"):
        assert not x.is_over(row(state="LIVE") | {open_end: 1})
    x.is_missing = True
    assert not x.is_over(row(state="LIVE"))


ACTS = st.tuples(
    st.sampled_from(["not_found", "list", "trades", "found", "listed", "traded", "heard"]),
    st.integers(0, 200 * SEC),
)


@given(st.lists(ACTS, max_size=40))
def test_no_order_of_answers_proves_what_one_of_them_denies(acts):
    """A slow twin: the evidence behind the last sign of life must hold all four legs, all asked for
    behind the margin."""
    x, log, heard = case(), [], 0
    for what, after in acts:
        at = SENT + after
        log.append((what, at))
        {
            "not_found": lambda at=at: x.not_found(at),
            "list": lambda at=at: x.listed(at, False),
            "trades": lambda at=at: x.traded(at, SENT, False),
            "found": x.found,
            "listed": lambda at=at: x.listed(at, True),
            "traded": lambda at=at: x.traded(at, SENT, True),
            "heard": lambda at=at: x.heard(row(heard_ns=at)),
        }[what]()
        if what == "heard" and at > heard:
            heard = at
        elif what == "heard":
            log.pop()
    last = max(
        (i for i, (what, _) in enumerate(log) if what in ("found", "listed", "traded", "heard")), default=-1
    )
    valid = [(what, at) for what, at in log[last + 1 :] if at > max(RIPE, heard)]
    found = [at for what, at in valid if what == "not_found"]
    legs = {"list", "trades"} <= {what for what, _ in valid} and found and max(found) - min(found) >= SEC
    if x.proof(row(), DAY, SENT + 300 * SEC) is not None:
        assert legs


def test_an_order_in_flight_or_just_taken_is_not_asked_for_though_its_cancel_is_wanted():
    x = case()
    now = SENT + 2 * SEC
    for state, acked, asked in (
        ("SENT", 0, False),
        ("ACKED", now - 1, False),
        ("ACKED", now - SEC, True),
        ("UNKNOWN", 0, True),
    ):
        assert x.wants_query(row(state=state, acked_ns=acked, cancel_wanted=1), now) is asked

"""The continuity rules against the venues' documents, case by case."""

import pytest

from ext.records import Rule
from ext.sequence import Order, place

RANGE, PREV, STEP, NONE = Rule.RULE_RANGE, Rule.RULE_PREV, Rule.RULE_STEP, Rule.RULE_NONE
NEXT, OLD, JUMP = Order.NEXT, Order.OLD, Order.JUMP

# rule, first, last, prev, applied, seeded, place
CASES = [
    # Binance spot: U <= applied + 1 <= u
    (RANGE, 101, 105, -1, 100, False, NEXT),
    (RANGE, 101, 101, -1, 100, False, NEXT),
    (RANGE, 95, 105, -1, 100, False, NEXT),
    (RANGE, 100, 101, -1, 100, True, NEXT),
    (RANGE, 95, 100, -1, 100, False, OLD),
    (RANGE, 90, 95, -1, 100, True, OLD),
    (RANGE, 102, 105, -1, 100, False, JUMP),
    (RANGE, 102, 102, -1, 100, True, JUMP),
    (RANGE, 1, 1, -1, 0, False, NEXT),
    # Binance USD-M: pu == applied, and the first one behind a snapshot U <= snapshot <= u
    (PREV, 110, 120, 100, 100, False, NEXT),
    (PREV, 90, 110, 85, 100, True, NEXT),
    (PREV, 100, 110, 95, 100, True, NEXT),
    (PREV, 90, 110, 85, 100, False, JUMP),
    (PREV, 101, 110, 95, 100, True, JUMP),
    (PREV, 90, 100, 85, 100, True, NEXT),
    (PREV, 90, 100, 85, 100, False, OLD),
    (PREV, 90, 99, 85, 100, True, OLD),
    (PREV, 80, 90, 70, 100, True, OLD),
    (PREV, 80, 90, 70, 100, False, OLD),
    (PREV, 120, 130, 110, 100, False, JUMP),
    # OKX: prevSeqId is all that counts; an equal or smaller seqId behind the right prevSeqId is legal
    (PREV, -1, 110, 100, 100, False, NEXT),
    (PREV, -1, 100, 100, 100, False, NEXT),
    (PREV, -1, 3, 100, 100, False, NEXT),
    (PREV, -1, 120, 110, 100, False, JUMP),
    (PREV, -1, 95, 90, 100, False, OLD),
    (PREV, -1, 120, 110, 100, True, JUMP),
    # Bybit: u steps by one
    (STEP, -1, 101, -1, 100, False, NEXT),
    (STEP, -1, 100, -1, 100, False, OLD),
    (STEP, -1, 5, -1, 100, False, OLD),
    (STEP, -1, 102, -1, 100, False, JUMP),
    # OKX before 2023: nothing to go by
    (NONE, -1, -1, -1, -1, False, NEXT),
    (NONE, -1, -1, -1, 100, False, NEXT),
]


@pytest.mark.parametrize("case", CASES)
def test_a_message_is_placed_as_the_venue_documents_it(case):
    rule, first, last, prev, applied, seeded, expected = case
    assert place(rule, first, last, prev, applied, seeded) == expected


@pytest.mark.parametrize("rule", [RANGE, PREV, STEP])
def test_a_copy_of_what_was_applied_is_old_and_never_a_gap(rule):
    for applied in (10, 11, 2**62):
        assert place(rule, applied - 2, applied, applied - 3, applied) == OLD
        assert place(rule, applied - 5, applied - 4, applied - 6, applied) == OLD


@pytest.mark.parametrize("rule", [RANGE, PREV, STEP])
def test_one_lost_message_is_always_a_jump(rule):
    for applied in (0, 10, 2**62):
        assert place(rule, applied + 2, applied + 2, applied + 1, applied) == JUMP


def test_a_seed_is_joined_where_the_document_says_for_every_small_range():
    """Spot: U <= id + 1 <= u. USD-M: U <= id <= u. All U, u around one snapshot."""
    for first in range(90, 110):
        for last in range(first, 110):
            spot = place(RANGE, first, last, -1, 100, True)
            assert spot == (OLD if last <= 100 else NEXT if first <= 101 else JUMP)
            usdm = place(PREV, first, last, first - 1, 100, True)
            assert usdm == (OLD if last < 100 else NEXT if first <= 101 else JUMP)

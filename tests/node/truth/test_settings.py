"""The start values, and what is refused."""

import pytest

from node.truth.settings import SEC, Settings


def test_the_start_values_are_those_of_the_failure_catalogue():
    x = Settings()
    assert (x.report_due_ns, x.absence_margin_ns) == (SEC // 2, 60 * SEC)
    assert (x.reduce_only_ns, x.page_ns) == (10 * SEC, 120 * SEC)
    assert (x.orders_every_ns, x.positions_every_ns, x.balances_every_ns) == (10 * SEC, 30 * SEC, 60 * SEC)
    assert (x.start_overlap_ns, x.clock_warn_ns, x.clock_stop_ns) == (600 * SEC, SEC // 4, SEC)
    assert (x.local_share, x.reserved_share) == (70, 30)


@pytest.mark.parametrize(
    "wrong",
    [
        {"foreign": "cancel"},
        {"local_share": 0},
        {"local_share": 101},
        {"not_founds": 1},
        {"not_found_apart_ns": 1},
        {"absence_margin_ns": SEC},
    ],
)
def test_what_would_weaken_a_proof_is_refused(wrong):
    with pytest.raises(ValueError, match=r"foreign|share|proof"):
        Settings(**wrong)

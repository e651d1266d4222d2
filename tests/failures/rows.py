"""Rows of the failure catalogue as scenarios: `@row(number)` on a function of a `Hand` makes its tests.

`test_...` of a row runs it with the node, on every market that the row names; where the row is starred, the
naive manager
must fail it on each of them too.
"""

from collections.abc import Callable

import pytest
from hands import VENUES, Naive, Ours

ROWS: dict[int, list[tuple[str, Callable]]] = {}
# What only a real socket shows: row -> "path::test", beside its scenario.
ELSEWHERE: dict[int, str] = {
    34: "tests/node/net/test_http.py::test_a_post_on_a_connection_that_dies_before_it_answers_is_sent_once",
    37: "tests/ext/test_link.py::test_a_reset_that_is_not_noticed_yet_leaves_an_order_unknown_not_lost",
}


def row(
    number: int,
    *,
    star: bool = False,
    markets: tuple[str, ...] = VENUES,
    naive: tuple[str, ...] | None = None,
):
    """Register a scenario. `naive`: the markets on which the naive manager must fail (all of them where
    starred)."""

    def register(scenario: Callable) -> Callable:
        ROWS.setdefault(number, []).append((scenario.__name__, scenario))
        fails = (markets if star else ()) if naive is None else naive

        @pytest.mark.parametrize("market", markets)
        def check(market: str) -> None:
            scenario(Ours, market)
            if market in fails:
                try:
                    scenario(Naive, market)
                except (AssertionError, TimeoutError):
                    return
                pytest.fail(f"row {number}: the naive manager passes on {market}: the scenario shows nothing")

        check.__name__ = check.__qualname__ = f"test_row_{number}_{scenario.__name__}"
        check.__doc__, check.__module__ = scenario.__doc__, scenario.__module__
        return check

    return register

"""The error table against the documented codes, statuses and texts."""

import re

import pytest

from node.venues.okx import rules
from node.venues.okx.fake_errors import TEXTS, Problem


@pytest.mark.parametrize(
    ("code", "status", "text"),
    [
        ("50004", 400, "API endpoint request timeout"),
        ("50011", 429, "Too Many Requests"),
        ("50026", 500, "System error"),
        ("50102", 401, "Timestamp request expired"),
        ("50113", 401, "Invalid signature"),
        ("51603", 200, "Order does not exist"),
        ("99999", 200, ""),
    ],
)
def test_a_problem_has_the_documented_status_and_text(code, status, text):
    problem = Problem(code)
    assert (problem.code, problem.status) == (code, status)
    assert text in problem.text


def test_names_are_filled_in_and_missing_ones_never_fail():
    assert Problem("51000", "px").text == "Parameter px error"
    assert Problem("51006", "2", "1").text.endswith("(max buy price: 2 , min sell price: 1 )")
    for code in TEXTS:
        assert "{" not in Problem(code).text
        assert not re.search(r"  |\n", Problem(code).text)


def test_the_client_knows_every_code_that_an_order_can_get():
    """What the fake can answer to an order must be in the client's table: else it is unknown by default."""
    orders = {
        int(x) for x in TEXTS if x.startswith(("51", "54")) or x in ("50011", "50061", "50014", "50026")
    }
    unknown = {x for x in orders if x not in rules.ERRORS}
    assert unknown <= {51014, 51071, 51279, 51280, 51405, 51500, 51511, 51512, 51513, 51514, 51620, 51140}

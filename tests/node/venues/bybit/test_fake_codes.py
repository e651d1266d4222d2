"""Words, codes and numbers of the wire."""

from decimal import Decimal

import pytest

from node.venues.bybit import rules
from node.venues.bybit.fake_codes import FILTERS, TEXTS, Denial, error_text, number, plain, refused, scaled
from node.venues.bybit.rules import LINEAR, SPOT


def test_every_code_that_a_filter_gives_is_known_to_the_client_as_a_refusal():
    for name, codes in FILTERS.items():
        for code in codes:
            assert rules.verdict(code).group not in ("unknown", "limit"), name
            assert code in TEXTS


def test_a_filter_has_the_code_of_its_market():
    assert refused("funds", LINEAR).code == 110007
    assert refused("funds", SPOT).code == 170131
    assert refused("no such filter", LINEAR).code == 10001


def test_a_denial_has_the_text_of_its_code_unless_told_otherwise():
    assert Denial(110072).text == "OrderLinkedID is duplicate"
    assert Denial(110072, "x").text == "x"
    assert error_text(999999) == "Request failed."


@pytest.mark.parametrize(
    ("value", "text"),
    [("1.500", "1.5"), ("0", "0"), ("-0", "0"), ("1E+3", "1000"), ("1E-15", "0"), ("-2.50", "-2.5")],
)
def test_numbers_are_plain(value, text):
    assert plain(Decimal(value)) == text


def test_numbers_of_requests_are_read_strictly():
    assert [number(x) for x in (5, "5", "05", -1, "", None, "1.0", True, "9" * 19)] == [
        5,
        5,
        5,
        -1,
        -1,
        -1,
        -1,
        -1,
        -1,
    ]
    assert scaled("5", "0.001") == "5.000"

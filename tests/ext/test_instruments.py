"""The instrument table: symbols to exact ticks, lots and money."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext.instruments import Instruments
from ext.records import Market

SPOT, USDM, OKX = int(Market.BINANCE_SPOT), int(Market.BINANCE_USDM), int(Market.OKX)


def test_the_same_symbol_lives_in_two_markets():
    table = Instruments()
    spot = table.add(SPOT, "BTCUSDT", "0.01", "0.00001")
    usdm = table.add(USDM, "BTCUSDT", "0.10", "0.001", is_perpetual=True)
    assert (table.index(SPOT, "BTCUSDT"), table.index(USDM, "BTCUSDT")) == (spot, usdm) == (0, 1)
    assert table.index(OKX, "BTCUSDT") == table.index(SPOT, "BTCUSD") == table.index(SPOT, "") == -1
    assert (table.symbol(usdm), table.market(usdm), table.row(usdm)["is_perpetual"]) == ("BTCUSDT", USDM, 1)


def test_limits_are_rounded_to_the_inside_of_the_grid():
    table = Instruments()
    row = table.row(
        table.add(
            USDM,
            "X",
            "0.5",
            "3",
            min_price="0.7",
            max_price="9.9",
            min_size="4",
            max_size="10",
            min_notional="5",
        )
    )
    assert (row["min_price_ticks"], row["max_price_ticks"]) == (2, 19)
    assert (row["min_size_lots"], row["max_size_lots"]) == (2, 3)
    assert row["min_notional_e8"] == 5 * 10**8


@pytest.mark.parametrize(
    ("arguments", "options", "field"),
    [
        ((SPOT, "X", "0", "1"), {}, "tick"),
        ((SPOT, "X", "1e-5", "1"), {}, "tick"),
        ((SPOT, "X", "1", "-1"), {}, "lot"),
        ((OKX, "X", "1", "1", "x"), {}, "contract"),
        ((SPOT, "X", "1", "1"), {"max_price": "NaN"}, "max_price"),
        ((SPOT, "X", "1", "1"), {"min_size": "-2"}, "min_size"),
        ((SPOT, "X", "1", "1"), {"min_notional": "five"}, "min_notional"),
        ((99, "X", "1", "1"), {}, "market"),
        ((SPOT, "", "1", "1"), {}, "symbol"),
        ((SPOT, "S" * 44, "1", "1"), {}, "symbol"),
        ((SPOT, "X", "0.000000000000000001", "0.000000000000000001"), {}, "fit"),
    ],
)
def test_a_malformed_row_is_refused_with_its_field(arguments, options, field):
    table = Instruments()
    with pytest.raises(ValueError, match=field):
        table.add(*arguments, **options)
    assert table.count == 0


def test_filters_beyond_any_sense_are_refused_or_as_good_as_none():
    table = Instruments()
    for text in ("1e999999", "1" + "0" * 41):
        with pytest.raises(ValueError, match="max_size"):
            table.add(SPOT, "A", "1", "1", max_size=text)
    with pytest.raises(ValueError, match="max_orders"):
        table.add(SPOT, "A", "1", "1", max_orders=-1)
    index = table.add(SPOT, "A", "1", "1", max_size="1" + "0" * 40, max_orders=10**12)
    row = table.row(index)
    assert (row["max_size_lots"], row["max_orders"]) == (2**62 - 1, 2**31 - 1)


def test_a_symbol_is_added_once_and_the_table_has_an_end():
    table = Instruments(2)
    table.add(SPOT, "A", "1", "1")
    with pytest.raises(ValueError, match="already"):
        table.add(SPOT, "A", "1", "1")
    table.add(SPOT, "B", "1", "1")
    with pytest.raises(ValueError, match="full"):
        table.add(SPOT, "C", "1", "1")


def test_rows_out_of_range_are_refused():
    table = Instruments()
    for method in (table.symbol, table.market, table.row, table.price_grid, table.size_grid):
        for index in (-1, 0):
            with pytest.raises(IndexError):
                method(index)
    with pytest.raises(IndexError):
        table.money(0, 1, 1)


def test_thousands_of_symbols_are_found():
    table = Instruments(4096)
    for i in range(4096):
        table.add(i % 5, f"SYM{i}USDT", "0.01", "1")
    assert [table.index(i % 5, f"SYM{i}USDT") for i in range(4096)] == list(range(4096))
    assert table.index(0, "SYM1USDT") == -1


STEPS = ["1", "0.1", "0.25", "0.00001", "0.00000001", "10", "0.015"]


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(STEPS),
    st.sampled_from(STEPS),
    st.sampled_from(["1", "0.01", "100"]),
    st.integers(0, 2**45),
    st.integers(0, 2**45),
)
def test_money_is_exact_rounded_up_or_refused(tick, lot, contract, ticks, lots):
    table = Instruments()
    index = table.add(OKX, "X", tick, lot, contract)
    exact = Fraction(tick) * ticks * Fraction(lot) * lots * Fraction(contract) * 10**8
    money = table.money(index, ticks, lots)
    if money == -1:
        assert exact > 2**50
    else:
        assert money == -(-exact.numerator // exact.denominator)

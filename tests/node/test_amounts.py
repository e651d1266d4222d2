"""One unit for people: coins, and contracts behind them where those are of another size."""

import pytest

from ext.instruments import Instruments
from node.amounts import amount_text, base_per_lot


@pytest.mark.parametrize(
    ("lot", "contract", "lots", "text"),
    [
        ("0.001", "1", -5, "-0.005 BTC"),
        ("0.001", "1", 0, "0 BTC"),
        ("0.01", "0.01", 50, "0.005 BTC (0.5 contracts)"),
        ("1", "0.01", 1, "0.01 BTC (1 contract)"),
        ("1", "0.01", 0, "0 BTC"),
        ("1", "1000", 2, "2000 BTC (2 contracts)"),
    ],
)
def test_a_position_is_told_in_coins_and_contracts_of_another_size_behind_them(lot, contract, lots, text):
    table = Instruments(1)
    table.add(0, "X", "0.1", lot, contract, base="BTC", quote="USDT")
    assert amount_text(table, 0, lots) == text


def test_a_lot_is_so_many_coins_and_where_nobody_told_the_coin_there_is_no_name():
    table = Instruments(1)
    table.add(0, "X", "0.1", "0.01", "0.01")
    assert str(base_per_lot(table, 0)) == "0.0001"
    assert amount_text(table, 0, 1) == "0.0001 (0.01 contracts)"

"""One unit for people: coins, and contracts behind them where those are of another size."""

from decimal import Decimal

import pytest

from ext.instruments import Instruments
from ext.records import Market
from node.amounts import amount_text, base_per_lot, contract, lot


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


def test_a_lot_is_counted_in_the_venues_unit_and_a_contract_in_coins():
    table = Instruments(2)
    table.add(Market.OKX, "BTC-USDT-SWAP", "0.1", "0.05", "0.01", is_perpetual=True)
    table.add(Market.BINANCE_SPOT, "BTCUSDT", "0.01", "0.00100", data_lot="0.00001")
    swap, spot = table.row(0), table.row(1)
    assert (lot(swap), contract(swap)) == (Decimal("0.05"), Decimal("0.01"))
    assert (lot(spot), contract(spot)) == (Decimal("0.00001"), 1)  # the step that the data is in

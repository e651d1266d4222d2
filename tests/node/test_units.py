"""One lot in the venue's unit and in coins, whatever the contract is."""

from decimal import Decimal

from ext.instruments import Instruments
from ext.records import Market
from node.units import contract, lot


def test_a_lot_is_counted_in_the_venues_unit_and_a_contract_in_coins():
    table = Instruments(2)
    table.add(Market.OKX, "BTC-USDT-SWAP", "0.1", "0.05", "0.01", is_perpetual=True)
    table.add(Market.BINANCE_SPOT, "BTCUSDT", "0.01", "0.00100", data_lot="0.00001")
    swap, spot = table.row(0), table.row(1)
    assert (lot(swap), contract(swap)) == (Decimal("0.05"), Decimal("0.01"))
    assert (lot(spot), contract(spot)) == (Decimal("0.00001"), 1)  # the step that the data is in

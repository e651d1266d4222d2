"""The engine's table by what client ids spell."""

from rig import EPOCH, SPOT, SYMBOL

from ext.engine import Engine, LineKind
from ext.instruments import Instruments
from ext.venues.binance import BinanceWire
from node.truth.table import Table


def test_orders_of_this_and_of_earlier_epochs_are_found_by_their_client_id():
    instruments = Instruments(1)
    instruments.add(SPOT, SYMBOL, "0.01", "0.001")
    engine = Engine(instruments, order_capacity=16)
    wire = BinanceWire(instruments, SPOT, "tckg", EPOCH)
    engine.add_line("orders", LineKind.ORDER_LINE, wire)
    table = Table(engine, wire)
    own = engine.orders.intend(0, 0, 100, 5, 1)
    old = engine.adopt(0, EPOCH - 1, own, 1, 0, 0, 100, 5, 0, False, "v", 2)
    assert old != own
    assert table.find((EPOCH, own))["id"] == own
    assert table.find((EPOCH - 1, own))["id"] == old
    assert table.find((EPOCH, 99)) is None
    assert table.find((0, 0)) is None
    assert set(table.open(0)) == {(EPOCH, own), (EPOCH - 1, own)}
    assert wire.whose(table.client_id((EPOCH - 1, own))) == (own, EPOCH - 1)

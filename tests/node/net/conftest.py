"""An engine behind a link, without venues: enough to keep a line connected."""

import pytest

from ext.engine import Engine, LineKind
from ext.instruments import Instruments
from ext.link import Link
from ext.records import Market
from ext.venues.bybit import BybitWire


class Desk:
    """Lines feed (0), orders (1) and the spare of the feed (2), of one Bybit market; `told` is what a person
    would have read."""

    def __init__(self):
        self.instruments = Instruments(1)
        self.instruments.add(Market.BYBIT_LINEAR, "BTCUSDT", "0.1", "0.001")
        self.engine = Engine(self.instruments)
        self.link = Link(self.engine)
        wire = BybitWire(self.instruments, Market.BYBIT_LINEAR, "tst0", 1)
        self.engine.add_line("feed", LineKind.MARKET_LINE, wire)
        self.engine.add_line("orders", LineKind.ORDER_LINE, wire)
        self.engine.add_line("feed spare", LineKind.MARKET_LINE, wire)
        self.told: list[tuple[str, str]] = []
        self.resyncs: list[tuple[str, str]] = []
        self.errors: list[BaseException] = []
        self.link.failed = self.errors.append

    def tell(self, line: str, text: str) -> None:
        self.told.append((line, text))

    def resync(self, symbol: str, reason: str) -> None:
        self.resyncs.append((symbol, reason))

    def up(self, line: int = 0) -> bool:
        return self.engine.lines[line].up


@pytest.fixture
def desk():
    return Desk()

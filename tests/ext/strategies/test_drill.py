"""The drill: one order that no limit allows, once, when its time has come, and never past the gate."""

import orjson
import pytest

from ext.engine import Engine, LineKind, Recorder
from ext.instruments import Instruments
from ext.records import Market
from ext.strategies.drill import Drill
from ext.venues.bybit import BybitWire

SECOND = 10**9


class Desk:
    """An engine that runs a drill on two Bybit books."""

    def __init__(self, drill: Drill):
        self.instruments = Instruments(2)
        for symbol in ("BTCUSDT", "ETHUSDT"):
            self.instruments.add(Market.BYBIT_LINEAR, symbol, "0.1", "0.001")
        self.recorder = Recorder()
        self.engine = Engine(self.instruments, outlet=self.recorder)
        wire = BybitWire(self.instruments, Market.BYBIT_LINEAR, "tst0", 1)
        self.engine.add_line("feed", LineKind.MARKET_LINE, wire)
        self.engine.on_line(self.engine.add_line("orders", LineKind.ORDER_LINE, wire), True, 0)
        self.engine.risk.set_rate(1000, SECOND)
        for number in range(2):
            self.engine.follow(number, 50)
            self.engine.risk.set_limits(
                number,
                max_size_lots=1000,
                max_notional_e8=10**14,
                max_position_lots=1000,
                collar_ppm=10_000,
                stale_ns=SECOND,
                max_open_orders=4,
            )
        self.engine.add_strategy(drill)
        self.update = 0

    def book(
        self, now_ns: int, symbol: str = "BTCUSDT", bids=(("60000.0", "1"),), kind: str = "snapshot"
    ) -> dict:
        """A book comes; the refusals so far."""
        self.update += 1
        data = {"s": symbol, "b": bids, "a": [["60000.1", "1"]], "u": self.update, "seq": self.update}
        told = {"topic": f"orderbook.50.{symbol}", "type": kind, "ts": 1, "data": data}
        assert self.engine.on_bytes(0, orjson.dumps(told), now_ns) == 1
        return self.engine.risk.refusals()


def test_it_waits_its_time_from_the_first_book_and_then_tries_once():
    drill = Drill(2 * SECOND)
    desk = Desk(drill)
    assert desk.book(1_000 * SECOND) == {}
    assert desk.book(1_002 * SECOND - 1) == {}
    assert not drill.done
    assert desk.book(1_002 * SECOND) == {"SIZE_MAX": 1}
    assert drill.done
    assert desk.book(1_003 * SECOND) == {"SIZE_MAX": 1}


def test_no_byte_of_it_leaves():
    desk = Desk(Drill(0))
    desk.book(1)
    assert desk.engine.risk.refusals() == {"SIZE_MAX": 1}
    assert desk.recorder.orders == 0
    assert desk.engine.orders.open_orders() == []
    assert desk.engine.orders.reserved(0)["buy_lots"] == 0


def test_it_needs_a_bid_to_try_at():
    drill = Drill(0)
    desk = Desk(drill)
    desk.book(1, bids=())
    assert not drill.done
    assert desk.book(2) == {"SIZE_MAX": 1}


def test_it_tries_on_one_instrument_only():
    desk = Desk(Drill(0))
    desk.book(1, "ETHUSDT")
    assert desk.book(2, "BTCUSDT") == {"SIZE_MAX": 1}


@pytest.mark.parametrize(("size_lots", "reasons"), [(1001, {"SIZE_MAX": 1}), (1000, {})])
def test_its_size_can_be_told(size_lots, reasons):
    desk = Desk(Drill(0, size_lots))
    assert desk.book(1) == reasons
    assert desk.recorder.orders == (0 if reasons else 1)


def test_behind_others_it_waits_until_the_gate_has_let_something_through():
    desk = Desk(Drill(0, behind_others=True))
    assert desk.book(1) == {}
    desk.engine.orders.intend(0, 0, 1, 1)
    assert desk.book(2) == {"SIZE_MAX": 1}

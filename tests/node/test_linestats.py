"""Which of two lines was first, by how much, and whose holes the other filled."""

import json

from ext.engine import Engine, LineKind
from ext.instruments import Instruments
from ext.records import Market
from ext.venues.bybit import BybitWire
from node.linestats import SPARE, lead_us, line_rows, line_states

US = 1000


def engine():
    table = Instruments(1)
    table.add(Market.BYBIT_LINEAR, "BTCUSDT", "0.1", "0.001")
    out = Engine(table, order_capacity=16)
    for name in ("feed A", "feed B"):
        out.add_line(name, LineKind.MARKET_LINE, BybitWire(table, Market.BYBIT_LINEAR))
    out.add_line("orders", LineKind.ORDER_LINE, BybitWire(table, Market.BYBIT_LINEAR))
    for line in (0, 1):
        out.on_line(line, True, 1)
    return out


def book(number, kind="delta"):
    data = {"s": "BTCUSDT", "b": [["100.0", "1"]], "a": [["101.0", "1"]], "u": number, "seq": number}
    return json.dumps({"topic": "orderbook.50.BTCUSDT", "type": kind, "ts": 1, "data": data}).encode()


def test_a_line_that_brought_nothing_has_no_numbers():
    assert line_rows(engine()) == [{"name": "feed A", "up": True}, {"name": "feed B", "up": True}]


def test_first_copies_share_lead_and_what_was_healed_are_counted_by_line():
    one = engine()
    for now, line, frame in (
        (10 * US, 0, book(5, "snapshot")),
        (20 * US, 1, book(5, "snapshot")),
        (30 * US, 0, book(6)),
        (33 * US, 1, book(6)),
        (40 * US, 0, book(8)),  # 7 was lost
        (50 * US, 1, book(7)),  # and is filled
        (60 * US, 1, book(8)),
    ):
        one.on_bytes(line, frame, now)
    a, b = line_rows(one)
    assert (a["first"], a["copies"], a["share_percent"]) == (3, 0, 75.0)
    assert (b["first"], b["copies"], b["share_percent"]) == (1, 3, 25.0)
    assert (a["held"], a["healed"], b["held"], b["healed"], a["lost"], a["spilled"]) == (1, 0, 0, 1, 0, 0)
    assert (a["lead_p50_us"], a["lead_p99_us"]) == (16.384, 32.768)  # 3, 10 and 20 us, each rounded up
    assert b["lead_p50_us"] is None


def test_a_line_and_its_spare_number_are_one_line_whichever_of_them_is_up():
    one = engine()
    wire = one.lines[0].wire
    spare = one.add_line("feed A" + SPARE, LineKind.MARKET_LINE, wire)
    assert [x["name"] for x in line_states(one)] == ["feed A", "feed B", "orders"]
    one.on_bytes(0, book(5, "snapshot"), 10 * US)
    one.on_line(spare, True, 11 * US)
    one.on_bytes(spare, book(5, "snapshot"), 12 * US)
    one.on_bytes(0, book(6), 13 * US)
    one.on_bytes(spare, book(6), 14 * US)
    one.on_line(0, False, 15 * US)
    one.on_bytes(spare, book(7), 16 * US)
    assert [x["up"] for x in line_states(one)] == [True, True, False]
    a, b = line_rows(one)
    assert (a["name"], a["up"], a["first"], a["copies"], a["share_percent"]) == ("feed A", True, 3, 2, 100.0)
    assert b == {"name": "feed B", "up": True}
    assert a["lead_p50_us"] is not None


def test_a_line_that_is_down_says_so():
    one = engine()
    one.on_line(1, False, 5)
    assert [x["up"] for x in line_rows(one)] == [True, False]


def test_a_percentile_is_the_upper_end_of_its_bucket():
    assert lead_us([0] * 40, 50) is None
    leads = [0] * 40
    leads[10], leads[20] = 99, 1
    assert (lead_us(leads, 50), lead_us(leads, 99), lead_us(leads, 100)) == (1.024, 1.024, 1048.576)

"""A difference in words: the place, and of both sides what is not the same."""

import struct

from ext.tape import Record, RecordType
from node.backtest.wording import contrast, fields_of

NAMES = ["binance-spot BTCUSDT", "okx BTC-USDT-SWAP"]


def state(instrument: int = 1, bid: int = 100) -> bytes:
    return struct.pack("<2i13q", instrument, 2, 9, bid, 1, 101, 1, *[0] * 8)


def record(payload: bytes, kind: int = RecordType.MARK, line: int = 0, now_ns: int = 5) -> Record:
    return Record(int(kind), line, 77, now_ns, payload)


def test_only_what_differs_is_told_of_two_records():
    found = contrast(record(state()), (int(RecordType.MARK), 0, 5, state(bid=102)), 77, NAMES)
    assert (found.sequence, found.record, found.place) == (77, "MARK", "okx BTC-USDT-SWAP")
    assert (found.recorded, found.replayed) == ("bid_ticks 100", "bid_ticks 102")
    assert str(found) == "record 77 (MARK, okx BTC-USDT-SWAP): recorded bid_ticks 100; replayed bid_ticks 102"


def test_the_line_and_the_time_differ_too():
    found = contrast(record(state()), (int(RecordType.MARK), 3, 6, state()), 77, NAMES)
    assert (found.recorded, found.replayed) == ("line 0, now_ns 5", "line 3, now_ns 6")


def test_what_only_one_side_has_is_told_whole():
    frame = (7).to_bytes(8, "little") + b'{"op":"x"}'
    found = contrast(None, (int(RecordType.ORDER_OUT), 0, 5, frame), 77, NAMES)
    assert (found.recorded, found.place) == ("nothing here", "order 7")
    assert found.replayed == 'order_id 7, frame {"op":"x"}'
    assert contrast(record(state()), None, 77, NAMES).replayed == "nothing here"


def test_records_of_two_kinds_are_named_both():
    frame = (7).to_bytes(8, "little") + b"{}"
    found = contrast(record(state()), (int(RecordType.ORDER_OUT), 0, 5, frame), 77, NAMES)
    assert found.record == "MARK against ORDER_OUT"
    assert "bid_ticks 100" in found.recorded
    assert found.replayed == "order_id 7, frame {}"


def test_what_cannot_be_read_is_told_as_that():
    assert "unreadable" in fields_of(int(RecordType.MARK), b"123")
    assert fields_of(int(RecordType.FRAME), b"ab") == {"bytes": "6162"}
    assert fields_of(int(RecordType.PARAM), b'{"do":"x"}') == {"do": "x"}
    assert fields_of(int(RecordType.SESSION), b"\1") == {"up": True}


def test_other_bytes_of_the_same_meaning_are_told_as_that():
    found = contrast(
        record(b'{"a":1}', RecordType.PARAM), (int(RecordType.PARAM), 0, 5, b'{"a": 1}'), 77, NAMES
    )
    assert found.recorded == found.replayed == "a 1, in other bytes"

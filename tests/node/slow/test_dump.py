"""Records as a person reads them."""

import json

import pytest

from ext.records import pack_reports
from ext.tape import Record, RecordType
from node.slow.dump import Teller, at_text, type_name, type_of

CONFIG = json.dumps(
    {
        "lines": [{"name": "okx feed A", "kind": 0}],
        "instruments": [{"market": "okx", "symbol": "BTC-USDT-SWAP"}],
    }
).encode()


def told(kind, payload=b"", line=0, teller=None):
    return (teller or Teller()).tell(Record(kind, line, 7, 1_700_000_000_123_456_789, payload))


def test_every_record_has_its_place_and_time():
    row = told(RecordType.TIMER, line=3)
    assert row == {
        "sequence": 7,
        "at": "2023-11-14 22:13:20.123456789",
        "now_ns": 1_700_000_000_123_456_789,
        "type": "TIMER",
        "line": 3,
    }


def test_a_frame_is_text_whatever_is_in_it():
    assert told(RecordType.FRAME, b'{"a":1}')["text"] == '{"a":1}'
    assert told(RecordType.FRAME, b"\xff\x00")["text"] == "\\xff\x00"


def test_an_order_is_its_id_and_the_bytes_that_were_sent():
    row = told(RecordType.ORDER_OUT, (9).to_bytes(8, "little") + b'{"op":"order"}')
    assert (row["order_id"], row["text"]) == (9, '{"op":"order"}')


def test_names_are_those_of_the_run():
    teller = Teller()
    report = pack_reports([{"kind": 4, "instrument": 0, "side": 1, "venue_id": "v1", "size_lots": 5}])
    assert "instrument_name" not in told(RecordType.REPORT, report, teller=teller)
    told(RecordType.CONFIG, CONFIG, teller=teller)
    row = told(RecordType.REPORT, report, teller=teller)
    assert row["instrument_name"] == "okx BTC-USDT-SWAP"
    assert (row["kind"], row["side"], row["size_lots"]) == ("REPORT_CANCELED", "SELL", 5)
    assert told(RecordType.FRAME, b"x", 0, teller)["line_name"] == "okx feed A"
    assert "line_name" not in told(RecordType.FRAME, b"x", 1, teller)


def test_evidence_is_its_reports():
    rows = [{"kind": 0, "venue_id": "a"}, {"kind": 4, "venue_id": "b"}]
    reports = told(RecordType.EVIDENCE, pack_reports(rows))["reports"]
    assert [x["venue_id"] for x in reports] == ["a", "b"]


def test_a_line_that_turns_says_which_way():
    assert told(RecordType.SESSION, b"\1")["session"] == "up"
    assert told(RecordType.SESSION, b"\0")["session"] == "down"


@pytest.mark.parametrize("kind", [int(x) for x in RecordType] + [999])
def test_a_payload_of_another_layout_is_told_as_it_is(kind):
    row = told(kind, b"\xfe\xdc\xba")
    assert {"bytes", "text"} & set(row)
    json.dumps(row)


def test_hashes_are_told_as_they_are_compared():
    row = told(RecordType.HASH, b"\x01" + bytes(47))
    assert row["books"] == "0000000000000001"
    assert row["strategies"] == "0" * 16


def test_types_have_names():
    assert type_name(7) == "FILL"
    assert type_name(999) == "TYPE_999"
    assert type_of("fill") == 7
    with pytest.raises(ValueError, match="must be one of"):
        type_of("FILLS")


def test_a_time_that_is_none_is_a_number():
    assert at_text(2**62) == "2116-02-20 23:53:38.427387904"
    assert at_text(-(2**63))

"""The nouns as Python sees them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ext import records

EXT = Path(records.__file__).parent


def test_nobody_makes_an_approval_in_python():
    for attempt in (
        records.Approved,
        lambda: records.Approved.__new__(records.Approved),
        type("Mine", (records.Approved,), {}),
    ):
        with pytest.raises(TypeError, match="risk gate"):
            attempt()


def test_only_the_risk_gate_mints_approvals():
    callers = {
        str(path.relative_to(EXT))
        for path in EXT.rglob("*.pyx")
        if path.name != "records.pyx" and re.search(r"\bmint\b", path.read_text())
    }
    assert callers <= {"risk.pyx"}


def test_markets_sides_and_outcomes_keep_their_numbers():
    assert [x.name for x in records.Market] == [
        "BINANCE_SPOT",
        "BINANCE_USDM",
        "BYBIT_SPOT",
        "BYBIT_LINEAR",
        "OKX",
        "MARKETS",
    ]
    assert (records.Side.BUY, records.Side.SELL) == (0, 1)
    assert [x.name for x in records.Outcome] == ["NOT_SENT", "REFUSED", "ACCEPTED", "UNCERTAIN"]
    assert (records.DepthKind.UPDATE, records.DepthKind.SNAPSHOT, records.DepthKind.SEED) == (0, 1, 2)


def test_rows_of_decisions_and_signals_are_read_whole_or_refused():
    head = records.decision_row(bytes(224))
    assert (head["bids"], head["asks"], head["checks"]) == ([], [], [])
    for size in (0, 223, 225):
        with pytest.raises(ValueError, match=f"DECISION record of {size} bytes"):
            records.decision_row(bytes(size))
    signal = records.signal_row(bytes(48))
    assert signal == dict.fromkeys(("strategy", "instrument", "kind", "a", "b", "c", "d"), 0)
    with pytest.raises(ValueError, match="SIGNAL record of 47 bytes"):
        records.signal_row(bytes(47))


@pytest.mark.parametrize("size", [-1, 41, 1 << 30, -(1 << 31)])
@pytest.mark.parametrize("kind", ["report", "evidence", "fill"])
def test_a_record_that_names_a_longer_venue_id_than_it_holds_gives_what_it_holds(kind, size):
    """Nothing behind the record is read, whoever wrote it."""
    report = {"kind": 1, "venue_id": "v" * 40}
    packed = bytearray(records.pack_reports([report]))
    at = packed.index(b"v" * 40) - 4
    packed[at : at + 4] = size.to_bytes(4, "little", signed=True)
    if kind == "report":
        row = records.report_row(bytes(packed))
    elif kind == "evidence":
        row = records.evidence_rows(bytes(packed * 2))[1]
    else:
        row = records.fill_row(bytes(packed) + bytes(56))["report"]
    assert row["venue_id"] == ("v" * 40 if size > 0 else "")
    assert row["venue_id_size"] == len(row["venue_id"])


def test_the_row_of_a_door_is_read_where_it_lies():
    """With text behind it, the row is a piece of the record; freed memory is overwritten here."""
    code = (
        "from ext import records\n"
        "size = next(n for n in range(2000) if works(n))\n"
        "raw = (1).to_bytes(4, 'little') + bytes(range(1, 9)).rjust(size - 4, b'\\0')\n"
        "alone, followed = records.door_row(raw), records.door_row(raw + b'v' * 24)\n"
        "assert followed == alone | {'text': 'v' * 24}, (alone, followed)\n"
    )
    works = (
        "def works(n):\n"
        "    try:\n"
        "        from ext import records\n"
        "        return records.door_row((1).to_bytes(4, 'little') + bytes(n - 4)) is not None\n"
        "    except (ValueError, OverflowError):\n"
        "        return False\n"
    )
    env = os.environ | {"PYTHONMALLOC": "debug", "PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run(
        [sys.executable, "-c", works + code], env=env, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr


def test_a_record_whose_texts_fill_their_places_gives_them_without_what_lies_behind():
    """The end of the coin is the end of the record: `make sanitize` sees a read behind it."""
    packed = bytearray(records.pack_reports([{"kind": 1, "venue_id": "v" * 40}]))
    at = packed.index(b"v" * 40) + 40
    packed[at : at + 12] = b"c" * 12
    for row in (records.report_row(bytes(packed)), records.fill_row(bytes(packed) + bytes(56))["report"]):
        assert (row["venue_id"], row["fee_coin"]) == ("v" * 40, "c" * 11)

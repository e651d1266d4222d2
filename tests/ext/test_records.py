"""The nouns as Python sees them."""

import re
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

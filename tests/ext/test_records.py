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

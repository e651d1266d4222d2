"""What a replay prints, for programs and for people."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console
from screen import screen, tells

from node.backtest.report import Bar, FileResult, InstrumentResult, Result

ROW = InstrumentResult(
    id="binance-usdm:BTCUSDT", frames=93954, levels=445262, trades=21313, gaps=0, resyncs=0, synced=True,
    bid="61659.7", ask="61659.8", bid_size="1.486", ask_size="0.981", bid_levels=5018, ask_levels=4578,
    bbo_compared=629, bbo_different=0, crossed=0, book_hash="b4c09c9e", tick="0.1", lot="0.001",
)  # fmt: skip
FILE = FileResult("x.gz", [ROW], bad=0, not_mine=3, order_hash="6aa057eb")
KEYS = (
    "id frames levels trades gaps resyncs synced bid ask bid_size ask_size bid_levels ask_levels "
    "bbo_compared bbo_different crossed book_hash tick lot"
)


def printed(result: Result) -> str:
    console = Console(file=io.StringIO(), width=200)
    result.print(console)
    return console.file.getvalue()


def test_json_has_exactly_the_keys_that_are_promised():
    out = json.loads(json.dumps(Result([FILE]).to_json()))
    assert list(out) == ["files", "paper", "notes", "refused"]
    [file] = out["files"]
    assert list(file) == ["file", "instruments", "bad", "not_mine", "order_hash"]
    assert list(file["instruments"][0]) == KEYS.split()


def test_a_dump_is_added_only_where_it_was_asked_for():
    dump = {"frames": 5, "books": [{"id": "okx:X", "state": "gap", "bids": [("1", "2")], "asks": []}]}
    assert Result([FILE], dump).to_json()["at"] == dump
    text = printed(Result([FILE], dump))
    assert "okx:X after 5 frames: gap, 1 bids, 0 asks" in text


def test_a_person_sees_prices_counts_and_notes():
    text = printed(Result([FILE], None, ["tick 0.1 [inferred]"], {"orders": 5, "fills": 2}))
    for word in (
        "binance-usdm:BTCUSDT",
        "61659.7",
        "629",
        "b4c09c9e",
        "tick 0.1 [inferred]",
        "5 orders, 2 fills",
    ):
        assert word in text


ODD = (
    ("okx:BTC-USDT-SWAP", "61659.7", "61659.8", 400),
    ("binance-spot:1000SHIBUSDT", "0.000012340001", "0.000012340009", 5000),
    ("bybit-linear:10000000AIDOGEUSDT", "123456.123456", "123456.123457", 1000),
)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_digit_is_lost_on_a_narrow_screen(width):
    rows = [
        replace(ROW, id=name, bid=bid, ask=ask, bid_levels=levels, levels=123_456_789, bbo_different=7)
        for name, bid, ask, levels in ODD
    ]
    text = screen(Result([FileResult("x", rows, 0, 0, "")]).print, width=width)
    tells(text, *(x for row in ODD for x in row[1:3]), "123456789", "(7 differ)", "93954", "b4c09c9e")


def test_what_was_left_out_is_said_in_red_at_the_end():
    assert printed(Result([FILE], refused=["y.gz: line 3: no"])).endswith("not replayed: y.gz: line 3: no\n")


def test_what_is_missing_is_shown_as_missing():
    row = replace(ROW, synced=False, bid=None, ask=None, bbo_compared=0)
    assert "not synced" in printed(Result([FileResult("x", [row], 1, 0, "")]))


def test_there_is_no_bar_where_there_is_no_terminal():
    with Bar([], True) as bar:
        assert bar.bar is None

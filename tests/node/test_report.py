"""Tables and reports: true to what was added up, and narrow enough to be read."""

import io
import json
from collections import Counter
from decimal import Decimal

import pytest
from rich.console import Console

from ext.records import HaltReason, Latch, Reason
from ext.text import Grid
from node.report import HALTS, LATCHES, REASONS, demo_json, live_table, print_report
from node.slow.summary import InstrumentTally, LineTally, Summary

MS, E8 = 1_000_000, 100_000_000


def state(**fields) -> dict:
    base = {
        "instrument": 0,
        "state": 2,
        "bid_ticks": 600_000,
        "ask_ticks": 600_001,
        "gaps": 0,
        "resyncs": 0,
        "trades": 7,
    }
    return base | {"position_lots": 0, "cash": 0, "fee_e8": 0} | fields


def tally(market="binance-usdm", symbol="BTCUSDT", lot="0.001", **fields) -> InstrumentTally:
    return InstrumentTally(market, symbol, Grid("0.1"), Grid(lot), 10_000, 1, **fields)


@pytest.fixture
def summary() -> Summary:
    out = Summary()
    out.build, out.frames, out.sent = "0123456789ab", 100, 9
    out.instruments = [
        tally(
            state=state(position_lots=-50, cash=50 * 600_003, fee_e8=12_345_678),
            orders=5,
            acked=4,
            cancels=2,
            fills=3,
        ),
        tally(
            "okx",
            "BTC-USDT-SWAP",
            "0.01",
            state=state(position_lots=100, cash=-100 * 600_000),
            orders=1,
            fills=1,
        ),
    ]
    money = {
        "profit_e8": 5 * E8,
        "open_e8": 2 * E8,
        "fees_e8": E8,
        "funding_e8": -E8 // 2,
        "margin_e8": 0,
        "day_e8": 0,
    }
    out.purse_names = ["binance-usdm"]
    out.equity = {
        0: money | {"known": 1, "capital_e8": 100 * E8, "equity_e8": 110 * E8, "peak_e8": 0},
        1: money | {"known": 0, "capital_e8": 0, "equity_e8": 0, "peak_e8": 0},
        -1: money | {"known": 1, "capital_e8": 100 * E8, "equity_e8": 110 * E8, "peak_e8": 125 * E8},
    }
    out.tick_to_order_ns = [20_000, 30_000, 40_000]
    out.lines = [LineTally("feed A", 0), LineTally("feed B", 0, down_ns=[(5 * MS, 205 * MS)])]
    out.refusals["SIZE_MAX"] = 1
    out.examples["SIZE_MAX"] = "binance-usdm:BTCUSDT buy 1 at 60000.0 gtc: value 1000, limit 10"
    return out


LEDGERS = {
    "binance": {"position_lots": {"1:BTCUSDT": -50}},
    "okx": {"position_lots": {"4:BTC-USDT-SWAP": 100}},
}


def told(summary, ledgers=None) -> dict:
    return demo_json(
        summary, LEDGERS if ledgers is None else ledgers, seconds=7.0, seed=1, cut="binance /public"
    )


def text(result: dict, width: int = 80, **more) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_report(result, console, **more)
    return console.file.getvalue()


def test_the_report_as_data_says_what_was_added_up(summary):
    result = told(summary)
    assert json.loads(json.dumps(result)) == result
    assert (result["seconds"], result["seed"], result["build"], result["frames"]) == (
        7.0,
        1,
        "0123456789ab",
        100,
    )
    assert result["tick_to_order"] == {
        "count": 3,
        "p50_us": 30.0,
        "p99_us": 40.0,
        "p999_us": 40.0,
        "max_us": 40.0,
    }
    first, second = result["instruments"]
    assert first == {
        "id": "binance-usdm:BTCUSDT",
        "book": "synced",
        "bid": "60000.0",
        "ask": "60000.1",
        "gaps": 0,
        "resyncs": 0,
        "trades": 7,
        "orders": 5,
        "acked": 4,
        "cancels": 2,
        "rejected": 0,
        "fills": 3,
        "position": "-0.05",
        "venue_position": "-0.05",
        "profit": "0.01",  # sold at 60000.3, could be bought back at 60000.1
        "fees": "0.12",
    }
    assert (second["position"], second["venue_position"]) == ("1", "1")
    assert (result["orders_sent"], result["fills"]) == (9, 4)
    assert Decimal(result["fees"]) == 1  # of the account, in any coin
    first = {"reason": "SIZE_MAX", "count": 1, "first": summary.examples["SIZE_MAX"], "by": {}}
    assert result["refusals"] == [first]
    assert result["agreed"] is True


@pytest.mark.parametrize(
    "ledgers",
    [
        {},
        {"binance": {}, "okx": {}},
        {"binance": {"position_lots": {"1:BTCUSDT": -49}}, "okx": LEDGERS["okx"]},
        {"binance": {"position_lots": {"1:BTCUSDT": 50}}, "okx": LEDGERS["okx"]},
        {"binance": {"position_lots": {"0:BTCUSDT": -50}}, "okx": LEDGERS["okx"]},  # spot is another market
        {"binance": LEDGERS["binance"]},
    ],
)
def test_ledgers_that_show_anything_else_do_not_agree(summary, ledgers):
    assert told(summary, ledgers)["agreed"] is False
    assert "DO NOT AGREE" in text(told(summary, ledgers))


def test_a_run_without_instruments_agrees_with_nothing():
    assert told(Summary())["agreed"] is False


def test_an_instrument_that_was_never_heard_of_is_shown_as_empty():
    summary = Summary()
    summary.instruments = [tally()]
    row = told(summary)["instruments"][0]
    assert (row["book"], row["position"], row["profit"], row["fees"]) == ("empty", "0", "0.00", "0.00")
    assert "empty" in text(told(summary))


def test_a_loss_of_less_than_a_cent_is_not_minus_nothing(summary):
    summary.instruments = [tally(state=state(cash=-1))]
    assert told(summary)["instruments"][0]["profit"] == "0.00"


def test_a_line_that_was_cut_is_named_with_what_it_cost(summary):
    assert told(summary)["cut_line"] == {
        "cut": "binance /public",
        "line": "feed B",
        "down_ms": 200.0,
        "gaps": 0,
        "resyncs": 0,
    }
    assert "feed B was reset half way and was back after 200.0 ms" in text(told(summary))


def test_a_line_that_did_not_come_back_is_not_said_to_have(summary):
    summary.lines[1].down_ns = [(5 * MS, 0)]
    assert told(summary)["cut_line"]["line"] == ""
    assert "it did not come back before the end" in text(told(summary))


def test_the_report_says_the_same_to_a_person(summary):
    said = text(told(summary))
    for part in (
        "7 s, seed 1, build 0123456789ab",
        "p50 30.0 us, p99 40.0 us, p99.9 40.0 us",
        "9 order frames sent, 4 fills",
        "Refused 1 x SIZE_MAX: larger than the size limit",
        "venues' own ledgers agree",
    ):
        assert part in said.replace("\n", " ").replace("  ", " ") or part in said


def test_the_report_fits_a_terminal_of_80_columns(summary):
    for x in summary.instruments:
        x.orders, x.acked, x.cancels, x.fills = 9999, 9999, 9999, 999
        x.state |= {"position_lots": -1875, "cash": 10**9, "fee_e8": 1234567890, "trades": 99999}
    for row in summary.equity.values():
        row |= {"equity_e8": 2_439_947_995 * E8, "profit_e8": -123_456 * E8}
    said = text(told(summary))
    assert "…" not in said
    assert max(len(line.rstrip()) for line in said.splitlines()) <= 80


def test_brackets_in_a_path_or_an_example_are_no_markup(summary):
    summary.examples["SIZE_MAX"] = "a [bold]b"
    said = text(told(summary), width=200, kept="/tmp/[red]x")
    assert "Kept in /tmp/[red]x: node.toml" in said
    assert "First: a [bold]b" in said


def test_the_live_table_shows_what_is_known_so_far(summary):
    console = Console(file=io.StringIO(), width=120, color_system=None)
    summary.instruments.append(tally("bybit-linear", "BTCUSDT"))
    summary.lines[1].down_ns = [(5 * MS, 0)]
    console.print(live_table(summary, 3.5, 7.0))
    said = console.file.getvalue()
    assert "binance-usdm:BTCUSDT" in said
    assert "60000.0" in said
    assert "bybit-linear:BTCUSDT" in said  # without a state yet
    assert "line down: feed B" in said
    assert "p50 30.0 us" in said
    console.print(live_table(Summary(), 0, 7.0))  # before anything is known


def test_the_account_is_shown_by_wallet_and_in_total(summary):
    rows = told(summary)["account"]
    assert [x["purse"] for x in rows] == ["binance-usdm", "purse 1", "total"]
    assert rows[0] == {
        "purse": "binance-usdm",
        "known": True,
        "equity": "110.00",
        "capital": "100.00",
        "realised": "3.00",
        "unrealised": "2.00",
        "fees": "1.00",
        "funding": "-0.50",
        "margin": "0.00",
        "drawdown_percent": "",
    }
    assert (rows[1]["known"], rows[1]["equity"]) == (False, "")
    assert rows[2]["drawdown_percent"] == "12.00"
    said = [" ".join(x.split()) for x in text(told(summary)).splitlines()]
    assert "binance-usdm 110.00 3.00 2.00 1.00 -0.50" in said
    assert "purse 1 not known 3.00 2.00 1.00 -0.50" in said
    assert "total 110.00 3.00 2.00 1.00 -0.50 12.00 %" in said


def test_what_held_is_told_with_how_often_each_of_it_refused(summary):
    summary.refusals |= {"LATCHED": 5, "HALTED": 2}
    summary.examples |= {"LATCHED": "x", "HALTED": "y"}
    operator, tape = int(Latch.LATCH_OPERATOR), int(Latch.LATCH_TAPE)
    summary.held_by = {"LATCHED": Counter({operator: 1, tape: 4}), "HALTED": Counter({11: 2})}
    said = " ".join(text(told(summary)).split())
    assert "trading is stopped (no room for the tape, or it failed 4, by an operator 1)" in said
    assert "the symbol is stopped (not reconciled yet 2)" in said


def test_every_latch_and_every_halt_has_words():
    assert set(LATCHES) == {x for x in Latch if 0 < x < Latch.LATCHES}
    assert set(HALTS) == {x for x in HaltReason if 0 < x < HaltReason.HALTS}


def test_every_reason_of_a_refusal_has_words():
    assert set(REASONS) == {x.name for x in Reason} - {"OK", "REASONS"}


def test_the_table_and_the_sum_show_what_the_account_is_worth_and_paid_in_any_coin(summary):
    text = io.StringIO()
    Console(file=text, width=100).print(live_table(summary, 1, 7))
    assert "equity 110.00   drawdown 12.00 %" in text.getvalue()
    assert demo_json(summary, LEDGERS, seconds=7, seed=1, cut="")["fees"] == "1.00"
    summary.equity.clear()
    assert demo_json(summary, LEDGERS, seconds=7, seed=1, cut="")["fees"] == "0.12"

"""Fills and FIFO lots from a tape: against the venue's own books, and case by case."""

import csv
import io
import json
import re
from decimal import Decimal
from types import SimpleNamespace

import pytest
import taped
from chain import PRIVATE, Script, execution
from rich.console import Console
from screen import screen, tells
from taped import Taped
from typer.testing import CliRunner

from ext.records import LegKind
from ext.tape import RecordType, TapeWriter
from node.cli import app
from node.config import MARKETS
from node.errors import Failed, UserError
from node.slow.trades import COLUMNS, Collected, print_trades, trades_of, write_csv

D = Decimal
ZERO = D(0)


def traded(tmp_path, *trades):
    """A tape on which these trades (side, lots, ticks, fee, coin) were made, each one by an order of its
    own."""
    chain = Taped(tmp_path, Script())
    for number, (side, lots, ticks, fee, coin) in enumerate(trades, 1):
        name = chain.wire.client_id(number, 1)
        frame = execution(name, side, "TRADE", "FILLED", lots, lots, ticks, 500 + number, fee, coin)
        frame = frame.replace(b'"T":1700000000002', f'"T":{1_700_000_000_002 + number}'.encode())
        chain.give(PRIVATE, frame)
    return chain


# ---- against the venue's books ----


@pytest.mark.parametrize("seed", [3, 8])
def test_realised_and_open_lots_are_the_money_and_coins_that_the_venue_booked(tmp_path, seed):
    """The cash identity: what the account's coins changed by, at any price of them, is what FIFO
    realised, the value of what is open over its cost, fees, and funding."""
    config = taped.small(("binance-spot", "binance-usdm", "bybit-spot"))
    world = taped.run(tmp_path, 25, seed=seed, faults=taped.TROUBLE, config=config)
    found = trades_of(tmp_path)
    for market, rows in taped.truth(world).items():
        for symbol in {x.split(":")[1] for x in rows["fills"]}:
            fills = [x for k, x in rows["fills"].items() if k.startswith(f"{market}:{symbol}:")]
            _same_books(found, world, market, symbol, fills)
    assert sum(x.fills for x in found.totals.values()) > 8


def _same_books(found, world, market, symbol, fills):
    number = world.desk.numbers[market, symbol]
    name = next(k[1] for k in found.totals if k[2] == symbol and MARKETS[k[1]] == market)
    place = world.desk.instruments
    tick, lot = D(place.price_grid(number).step), D(place.size_grid(number).step)
    quote = coins = ZERO
    for x in fills:
        sign = -1 if x["side"] == "sell" else 1
        coins += sign * x["size_lots"] * lot
        quote -= sign * x["size_lots"] * lot * x["price_ticks"] * tick
        if x["fee_coin"] == "USDT":
            quote -= D(x["fee"])
        else:
            coins -= D(x["fee"])
    (total,) = [x for k, x in found.totals.items() if k[1:3] == (name, symbol)]
    left = [x for x in found.open if (x["venue"], x["symbol"]) == (name, symbol)]
    quantity, cost = (sum((D(x[key]) for x in left), ZERO) for key in ("quantity", "cost"))
    assert quantity == coins
    assert total.realised - total.fees - cost == quote
    assert total.fills == len(fills)


def test_lots_go_on_over_a_restart_and_putting_them_back_is_no_correction(tmp_path):
    first = taped.run(tmp_path, 20, seed=3)
    before = trades_of(tmp_path)
    taped.run(tmp_path, 4, old=first, seed=4)
    after = trades_of(tmp_path)
    assert after.rows[: len(before.rows)] == before.rows
    assert not [x for x in after.rows if x.kind == "correction"]


# ---- case by case ----


def test_a_trade_of_before_the_run_that_counted_it_is_marked_as_found_at_its_start(tmp_path):
    chain = Taped(tmp_path, Script())
    for number, ms in ((1, 1_699_999_990_000), (2, 1_700_000_000_002)):
        name = chain.wire.client_id(number, 1)
        frame = execution(name, "BUY", "TRADE", "FILLED", 1, 1, 10_000, 500 + number, "0", "USDT")
        chain.give(PRIVATE, frame.replace(b'"T":1700000000002', f'"T":{ms}'.encode()))
    before, own = trades_of(tmp_path).rows
    assert before.note == "found at start: of before this run"
    assert own.note == ""


def test_a_fee_in_the_coin_that_was_bought_makes_the_lot_smaller_and_dearer(tmp_path):
    traded(tmp_path, ("BUY", 1000, 10_000, "0.001", "BTC"), ("SELL", 999, 11_000, "0.1", "USDT"))
    bought, sold = trades_of(tmp_path).rows
    assert (bought.quantity, bought.lot_quantity, bought.position_after) == ("1", "0.999", "0.999")
    assert (bought.fee, bought.fee_coin, bought.fee_value) == ("0.001", "BTC", "0.1")
    assert (sold.cost_basis, sold.proceeds, sold.realised, sold.position_after) == (
        "100",
        "109.89",
        "9.89",
        "0",
    )
    assert sold.acquired_at == bought.time_utc
    assert bought.note == "fee in the coins themselves: they are 0.999 of this row, not 1"
    out = io.StringIO()
    print_trades(trades_of(tmp_path), Console(file=out, width=300))
    assert "fees of 0.001 were paid in the traded coins" in out.getvalue()
    (total,) = trades_of(tmp_path).totals.values()
    assert (total.realised, total.fees, total.net) == (D("9.89"), D("0.1"), D("9.79"))  # BTC's is in the lot


def test_one_fill_that_closes_two_lots_is_two_rows_and_its_fee_stands_in_the_last(tmp_path):
    traded(
        tmp_path,
        ("BUY", 2, 10_000, "0", "USDT"),
        ("BUY", 3, 20_000, "0", "USDT"),
        ("SELL", 6, 30_000, "0.5", "USDT"),
    )
    rows = trades_of(tmp_path).rows[2:]
    assert [(x.quantity, x.cost_basis, x.proceeds, x.realised, x.fee) for x in rows] == [
        ("0.002", "0.2", "0.6", "0.4", ""),
        ("0.003", "0.6", "0.9", "0.3", ""),
        ("0.001", "", "", "", "0.5"),
    ]
    assert rows[2].note == "sold coins that this tape did not see bought"
    assert {x.trade_id for x in rows} == {"503"}
    assert rows[-1].position_after == "-0.001"


def test_a_fee_in_another_coin_has_a_value_where_the_tape_knows_a_price_and_is_told_where_not(tmp_path):
    chain = traded(tmp_path, ("BUY", 2, 10_000, "0.01", "BNB"))
    found = trades_of(tmp_path)
    assert (found.rows[0].fee, found.rows[0].fee_coin, found.rows[0].fee_value) == ("0.01", "BNB", "")
    assert "no price of BNB on this tape" in found.rows[0].note
    (total,) = found.totals.values()
    assert (total.fees, total.unvalued) == (0, {"BNB": D("0.01")})
    chain.engine.set_coin_price("BNB", 600 * 10**8, chain.now)
    chain.give(
        PRIVATE,
        execution(chain.wire.client_id(9, 1), "BUY", "TRADE", "FILLED", 2, 2, 10_000, 909, "0.01", "BNB"),
    )
    found = trades_of(tmp_path)
    assert [x.fee_value for x in found.rows if x.trade_id == "909"] == ["6"]
    assert sum(x.fees for x in found.totals.values()) == 6


def test_funding_is_a_row_of_its_own_and_counts_in_the_total(tmp_path):
    chain = traded(tmp_path, ("BUY", 2, 10_000, "0", "USDT"))
    chain.engine.funding(0, -25_000_000, chain.now)
    found = trades_of(tmp_path)
    row = found.rows[-1]
    assert (row.kind, row.quote_amount, row.realised, row.position_after) == (
        "funding",
        "-0.25",
        "-0.25",
        "0.002",
    )
    assert sum((x.funding for x in found.totals.values()), ZERO) == D("-0.25")
    assert sum((x.net for x in found.totals.values()), ZERO) == D("-0.25")


def test_a_position_that_turned_out_otherwise_is_a_correction_and_its_lots_have_no_date(tmp_path):
    chain = traded(tmp_path, ("BUY", 2, 10_000, "0", "USDT"))
    chain.engine.set_position(0, 2, -20_000, chain.now, cost=20_000)  # as it was counted: nothing new
    chain.engine.set_position(0, 5, -50_000, chain.now, cost=50_000)
    frame = execution(chain.wire.client_id(9, 1), "SELL", "TRADE", "FILLED", 5, 5, 20_000, 909, "0", "USDT")
    chain.give(PRIVATE, frame.replace(b'"T":1700000000002', b'"T":1700000000900'))
    rows = trades_of(tmp_path).rows
    assert [(x.kind, x.side, x.quantity) for x in rows] == [
        ("trade", "buy", "0.002"),
        ("correction", "in", "0.003"),
        ("trade", "sell", "0.002"),
        ("trade", "sell", "0.003"),
    ]
    assert (rows[3].acquired_at, rows[3].note, rows[3].realised) == ("", "acquired before this tape", "0.3")


def test_trades_stand_in_the_order_in_which_the_venue_made_them(tmp_path):
    chain = Taped(tmp_path, Script())
    for number, at in ((1, 1_700_000_000_900), (2, 1_700_000_000_100)):
        frame = execution(
            chain.wire.client_id(number, 1), "BUY", "TRADE", "FILLED", 1, 1, 10_000, number, "0", "USDT"
        )
        chain.give(PRIVATE, frame.replace(b'"T":1700000000002', f'"T":{at}'.encode()))
    assert [x.trade_id for x in trades_of(tmp_path).rows] == ["2", "1"]


def test_legs_of_a_hedged_account_have_lots_of_their_own(tmp_path):
    """FILL rows of two legs, as the engine writes them: the short one is closed by a buy."""
    chain = Taped(tmp_path, Script())
    for leg, lots in ((LegKind.LONG_LEG, 3), (LegKind.SHORT_LEG, -4)):
        chain.engine.set_position(0, lots, -lots * 100, chain.now, leg=int(leg), cost=lots * 100)
    left = trades_of(tmp_path).open
    assert [(x["leg"], x["quantity"], x["cost"]) for x in left] == [
        ("long_leg", "0.003", "0.003"),
        ("short_leg", "-0.004", "-0.004"),
    ]


# ---- for people ----


def test_the_csv_has_every_column_and_reads_back_exactly(tmp_path):
    traded(tmp_path, ("BUY", 3, 10_001, "0.001", "USDT"), ("SELL", 2, 10_003, "0.001", "USDT"))
    found = trades_of(tmp_path)
    path = tmp_path / "out.csv"
    write_csv(found, path)
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    assert tuple(rows[0]) == COLUMNS
    assert [x["realised"] for x in rows] == ["", "0.00004"]
    assert rows[1]["time_utc"].endswith("Z")
    assert rows[1]["client_id"].startswith("tckg")


def test_since_and_symbol_choose_rows_but_lots_are_reckoned_from_the_beginning(tmp_path):
    traded(tmp_path, ("BUY", 3, 10_000, "0", "USDT"), ("SELL", 2, 20_000, "0", "USDT"))
    found = trades_of(tmp_path, since="2023-11-14T22:13:20.0035")
    assert [(x.side, x.realised) for x in found.rows] == [("sell", "0.2")]
    assert len(trades_of(tmp_path, symbol="BTCUSDT").rows) == 2
    with pytest.raises(UserError, match="--symbol DOGE: this tape has BTCUSDT"):
        trades_of(tmp_path, symbol="DOGE")
    with pytest.raises(UserError, match="--since x: must be a time"):
        trades_of(tmp_path, since="x")


def test_a_symbol_may_be_named_with_its_market_and_both_filters_must_fit(tmp_path):
    traded(tmp_path, ("BUY", 3, 10_000, "0", "USDT"), ("SELL", 2, 20_000, "0", "USDT"))
    whole = trades_of(tmp_path)
    name = f"{whole.rows[0].venue} {whole.rows[0].symbol}"
    assert trades_of(tmp_path, symbol=name).to_json() == whole.to_json()
    since = "2023-11-14T22:13:20.0035"
    assert [x.side for x in trades_of(tmp_path, symbol=name, since=since).rows] == ["sell"]
    with pytest.raises(UserError, match=f"--symbol okx BTCUSDT: this tape has BTCUSDT, {name}"):
        trades_of(tmp_path, symbol="okx BTCUSDT")
    later = trades_of(tmp_path, symbol="BTCUSDT", since="2024-01-01")
    assert (later.rows, later.totals, len(later.open)) == ([], {}, 1)
    tells(screen(print_trades, later), "no fill, no funding and no correction in what was asked for\n")


def test_a_person_sees_the_last_rows_and_what_each_symbol_and_all_came_to(tmp_path):
    traded(tmp_path, *[("BUY", 1, 10_000 + i, "0.05", "USDT") for i in range(22)])
    found = trades_of(tmp_path)
    (key, total), *_ = found.totals.items()
    found.totals[key[0], "okx", "ETH-USDT", key[3]] = total
    text = screen(print_trades, found)
    tells(text, "100.21", "100.02", "2 earlier rows are not shown: --csv FILE and --json have all")
    assert "100.01 " not in text
    assert re.search(r"^ all +44 +0\.0+ +2\.20* +0\.0+ +-2\.20* ", text, re.MULTILINE)


def test_a_tape_that_is_not_there_empty_or_broken_is_one_line(tmp_path):
    with pytest.raises(UserError, match="tape"):
        trades_of(tmp_path / "none")
    TapeWriter(tmp_path / "empty", now_ns=1, segment_size=1 << 16).close(1)
    with pytest.raises(UserError, match="the tape is empty"):
        trades_of(tmp_path / "empty")
    chain = traded(tmp_path / "one", ("BUY", 3, 10_000, "0", "USDT"), ("SELL", 2, 20_000, "0", "USDT"))
    chain.engine.tape.append(int(RecordType.FILL), 0, chain.now, b"short")
    with pytest.raises(Failed, match=r"record \d+ cannot be read"):
        trades_of(tmp_path / "one")


def test_the_command_prints_a_table_json_and_a_file(tmp_path):
    traded(tmp_path / "tape", ("BUY", 3, 10_000, "0.01", "BNB"), ("SELL", 2, 20_000, "0", "USDT"))
    runner = CliRunner()
    told = json.loads(runner.invoke(app, ["trades", str(tmp_path / "tape"), "--json"]).stdout)
    assert [x["realised"] for x in told["rows"]] == ["", "0.2"]
    assert told["totals"][0]["unvalued_fees"] == {"BNB": "0.01"}
    assert told["open"][0]["quantity"] == "0.001"
    out = tmp_path / "x.csv"
    text = runner.invoke(app, ["trades", str(tmp_path / "tape"), "--csv", str(out)]).stdout
    assert out.read_text().count("\n") == 3
    assert "fees of 0.01 BNB have no value here" in " ".join(text.split())
    screen = io.StringIO()
    print_trades(trades_of(tmp_path / "tape"), Console(file=screen, width=100))
    assert max(len(x) for x in screen.getvalue().splitlines()) <= 100
    assert "sell" in screen.getvalue()
    assert "close" in screen.getvalue()


def test_a_late_fee_that_names_no_symbol_is_that_of_the_order_it_names(tmp_path):
    """Trade ids count anew on each symbol: another one's fill with that id is not meant."""
    collected = Collected()
    collected.run = SimpleNamespace(epoch=1, client_id=lambda epoch, own: f"c{epoch}-{own}")
    trade = SimpleNamespace(client_id="c1-7", venue_id="v7")
    row = {"instrument": -1, "epoch": 0, "order_id": 7, "venue_id": ""}
    assert collected._is_of(trade, row)
    assert not collected._is_of(trade, row | {"order_id": 8})
    assert collected._is_of(trade, row | {"order_id": 0, "venue_id": "v7"})
    assert not collected._is_of(trade, row | {"order_id": 0, "venue_id": "v8"})
    assert not collected._is_of(trade, row | {"order_id": 0})
    assert collected._is_of(trade, row | {"order_id": 8, "instrument": 0}), "trade ids tell it on one symbol"


@pytest.mark.parametrize("width", [80, 100, 140])
def test_trades_are_read_at_80_columns(tmp_path, width):
    traded(tmp_path, ("BUY", 3, 10_001, "0.00112345", "USDT"), ("SELL", 2, 10_003, "0.00000123", "BNB"))
    text = screen(print_trades, trades_of(tmp_path), width=width)
    tells(text, "0.00112345", "0.00000123", "BNB", "100.01", "realised", "sell")

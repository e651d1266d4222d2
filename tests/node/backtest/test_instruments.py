"""Where tick and lot come from, and what is said when they cannot be right."""

import json
import re
from decimal import Decimal
from pathlib import Path

import frames
import pytest

from ext.records import Market
from node.backtest.instruments import Survey, read_beside, read_given, survey, url_symbol
from node.backtest.sources import Recording
from node.errors import UserError

SPOT, USDM, LINEAR, OKX = map(
    int, (Market.BINANCE_SPOT, Market.BINANCE_USDM, Market.BYBIT_LINEAR, Market.OKX)
)
ROW = {"market": "okx", "symbol": "BTC-USDT-SWAP", "tick": "0.1", "lot": "0.01", "contract": "0.01"}
MULTI = "binance-spot/multi-2021-10-12-with-rest.jsonl.gz"


def given(tmp_path: Path, text: str | bytes, name: str = "x.json"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_given(path)


def depth(
    symbol: str, price: str, size: str, ids: tuple[int, int] = (5, 6), venue: str = "binance-spot"
) -> dict:
    channel = f"{symbol.lower()}@depth"
    data = {"e": "depthUpdate", "E": 1, "s": symbol, "U": ids[0], "u": ids[1], "pu": ids[0] - 1}
    raw = json.dumps({"stream": channel, "data": data | {"b": [[price, size]], "a": []}})
    return {"t": 10**18, "venue": venue, "channel": channel, "raw": raw}


def snapshot(last_update_id: int, price: str = "1", url: str | None = None) -> dict:
    raw = json.dumps({"lastUpdateId": last_update_id, "bids": [[price, "1"]], "asks": []})
    return {"t": 10**18, "venue": "binance-spot", "channel": "rest:depth", "raw": raw, "url": url}


def reply(*symbols: tuple[str, str, str]) -> dict:
    rows = [
        {
            "symbol": symbol,
            "status": "TRADING",
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": tick, "minPrice": tick},
                {"filterType": "LOT_SIZE", "stepSize": lot, "minQty": lot},
            ],
        }
        for symbol, tick, lot in symbols
    ]
    return {
        "venue": "binance-spot",
        "channel": "rest:/api/v3/exchangeInfo",
        "raw": json.dumps({"symbols": rows}),
    }


def surveyed(tmp_path: Path, rows: list[dict], given_rows=None) -> Survey:
    path = tmp_path / "rec.jsonl"
    path.write_text("".join(json.dumps(x) + "\n" for x in rows))
    return survey([Recording(path)], given_rows, tmp_path / "given.toml")


# ---- the user's file ----


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.json", json.dumps([ROW])),
        ("x.json", json.dumps({"instruments": [ROW]}, indent=2)),
        ("x.json", json.dumps(ROW)),
        ("x.jsonl", json.dumps(ROW) + "\n\n" + json.dumps(ROW | {"symbol": "ETH-USDT"}) + "\n"),
        ("x.toml", "[[instruments]]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in ROW.items())),
        ("x", "[[instruments]]\nvenue='okx'\nsymbol='BTC-USDT-SWAP'\ntick=0.1\nlot=0.01\ncontract=0.01"),
        ("x.json", '[{"market":"okx","symbol":"BTC-USDT-SWAP","tick":0.1,"lot":1e-2,"contract":0.010}]'),
    ],
)
def test_our_own_form_is_read_as_toml_json_or_json_lines(tmp_path, name, text):
    row = given(tmp_path, text, name)[OKX, "BTC-USDT-SWAP"]
    assert [Decimal(x) for x in (row.tick, row.lot, row.contract)] == [
        Decimal(x) for x in ("0.1", "0.01", "0.01")
    ]
    assert (row.tradable, row.is_perpetual) == (True, True)


def test_a_number_in_the_file_is_exact_whatever_its_form(tmp_path):
    text = '[{"market":"okx","symbol":"X-Y","tick":0.000000000000000001,"lot":123456.7}]'
    row = given(tmp_path, text)[OKX, "X-Y"]
    assert (row.tick, row.lot) == ("0.000000000000000001", "123456.7")


def test_venues_own_replies_are_read_as_they_are(tmp_path):
    for name, channel, key, expected in (
        (MULTI, "rest:/api/v3/exchangeInfo", (SPOT, "LRCBTC"), "0.00000001"),
        (
            "binance-usdm/multi-2021-07-22-with-rest.jsonl.gz",
            "rest:/fapi/v1/exchangeInfo",
            (USDM, "SUSHIUSDT"),
            "0.001",
        ),
        (
            "bybit/linear-2026-08-09-with-rest.jsonl.gz",
            "rest:/v5/market/instruments-info",
            (LINEAR, "BTCUSDT"),
            "0.1",
        ),
        (
            "okx/multi-2022-05-13-with-rest.jsonl.gz",
            "rest:/api/v5/public/instruments",
            (OKX, "BTC-USDT"),
            "0.1",
        ),
    ):
        raw = next(x["raw"] for x in frames.rows(name) if x["channel"] == channel)
        assert Decimal(given(tmp_path, raw)[key].tick) == Decimal(expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must hold a list `instruments`"),
        ("[]", "no instruments in it"),
        ("tick", "neither TOML nor JSON"),
        ("\xff\xfe", "neither TOML nor JSON"),
        ("{", "neither TOML nor JSON"),
        ("{}", "neither a venue's instruments reply nor a list"),
        ('{"instruments": 5}', "must hold a list"),
        ('{"instruments": [], "more": 1}', "nothing else \\(more\\)"),
        (json.dumps([ROW, {}]), "row 2: Object missing required field `symbol`"),
        (json.dumps([ROW | {"lots": "1"}]), "row 1: Object contains unknown field `lots`"),
        (json.dumps([{x: y for x, y in ROW.items() if x != "lot"}]), "row 1: .*`lot`"),
        (json.dumps([ROW | {"tick": "0"}]), "row 1: tick: .*above zero"),
        (json.dumps([ROW | {"tick": "-1"}]), "row 1: tick: "),
        (json.dumps([ROW | {"tick": "fine"}]), "row 1: .*`\\$.tick`"),
        (json.dumps([ROW | {"lot": "NaN"}]), "row 1: lot: "),
        (json.dumps([ROW | {"lot": "1e99"}]), "row 1: lot: "),
        (json.dumps([ROW | {"contract": "0"}]), "row 1: contract: "),
        (json.dumps([ROW | {"market": "okex"}]), "row 1: market: 'okex' is not one of binance-spot"),
        (json.dumps([ROW | {"market": ""}]), "row 1: market: it is missing"),
        (json.dumps([ROW | {"symbol": ""}]), "row 1: symbol"),
        (json.dumps([ROW | {"inst_code": 2**40}]), "row 1: "),
        (json.dumps([ROW, ROW]), "okx:BTC-USDT-SWAP is there twice"),
        ('{"retCode":10001,"retMsg":"params error","result":{}}', "retCode 10001"),
        ('{"code":"51000","data":[],"msg":"bad"}', "51000"),
        ('{"symbols":[{"symbol":"X","filters":[]}]}', "X: tickSize"),
        ("5", "neither TOML nor JSON"),
    ],
)
def test_a_wrong_instruments_file_is_one_line_naming_file_row_and_field(tmp_path, text, words):
    with pytest.raises(UserError, match=words) as caught:
        given(tmp_path, text.encode("latin-1"))
    assert str(caught.value).startswith(str(tmp_path / "x.json"))
    assert "\n" not in str(caught.value)


def test_an_instruments_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="none: no such file"):
        read_given(tmp_path / "none")
    with pytest.raises(UserError, match="cannot be read"):
        read_given(tmp_path)


# ---- inferred ----


@pytest.mark.parametrize(
    ("prices", "tick"),
    [
        (["61837.60", "61837.00"], "0.1"),
        (["5", "60000"], "1"),
        (["100000"], "1"),
        (["0.00000637000", "0.00000600"], "0.00000001"),
        (["1", "0.1", "0.01", "1.001000"], "0.001"),
    ],
)
def test_the_finest_decimal_grid_is_found_without_trailing_zeros(tmp_path, prices, tick):
    found = surveyed(tmp_path, [depth("BTCUSDT", x, "1.50") for x in prices])
    [seen] = found.seen.values()
    assert (seen.source, seen.finish().tick, seen.finish().lot) == ("inferred", tick, "0.1")
    assert list(found.notes()) == [
        f"binance-spot:BTCUSDT: tick {tick} and lot 0.1 inferred from the recording"
    ]


def test_a_number_that_fits_no_grid_leaves_the_grid_alone(tmp_path):
    rows = [depth("BTCUSDT", x, "1") for x in ("1.5", "0.1234567890123456789012", "1e5", "2.25")]
    assert next(iter(surveyed(tmp_path, rows).seen.values())).finish().tick == "0.01"


def test_only_instruments_of_the_recording_are_added(tmp_path):
    found = surveyed(tmp_path, [reply(("AAA", "0.1", "1"), ("BBB", "0.1", "1")), depth("BBB", "1", "1")])
    assert [x.key for x in found.seen.values()] == [(SPOT, "BBB")]


@pytest.mark.parametrize("is_first", [True, False])
def test_a_reply_in_the_recording_counts_wherever_it_stands(tmp_path, is_first):
    rows = [depth("BBB", "1.5", "3"), depth("BBB", "2", "6")]
    rows.insert(0 if is_first else 2, reply(("BBB", "0.50", "3")))
    [seen] = surveyed(tmp_path, rows).seen.values()
    row = seen.finish()
    assert (seen.source, seen.row.tick, seen.row.lot) == ("recording", "0.50", "3")
    assert (Decimal("1.5") % Decimal(row.tick), 3 % Decimal(row.lot)) == (0, 0)


def test_levels_off_the_recordings_own_tick_are_read_and_said_but_not_traded_on(tmp_path):
    found = surveyed(
        tmp_path, [reply(("BBB", "0.5", "1")), depth("BBB", "1.5", "3"), depth("BBB", "1.53", "3")]
    )
    row = next(iter(found.seen.values())).finish()
    assert (row.tick, row.tradable) == ("0.01", False)
    assert list(found.notes()) == ["binance-spot:BBB: levels are off the tick 0.5: read in steps of 0.01"]


def test_a_reply_that_is_an_error_is_as_good_as_none(tmp_path):
    bad = reply() | {"raw": '{"code":-1003,"msg":"Too many requests"}'}
    [seen] = surveyed(tmp_path, [bad, depth("BBB", "1.5", "3")]).seen.values()
    assert seen.source == "inferred"


# ---- given ----


def toml(tmp_path: Path, tick: str, lot: str = "1", market: str = "binance-spot"):
    text = f'instruments=[{{market="{market}", symbol="BBB", tick="{tick}", lot="{lot}"}}]'
    return given(tmp_path, text, "given.toml")


def test_the_users_file_beats_the_reply_in_the_recording(tmp_path):
    rows = [reply(("BBB", "0.5", "1")), depth("BBB", "1.5", "3")]
    [seen] = surveyed(tmp_path, rows, toml(tmp_path, "0.01")).seen.values()
    assert (seen.source, seen.finish().tick) == ("file", "0.01")


def test_an_instrument_that_neither_knows_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match=r"given.toml: binance-spot:CCC is missing"):
        surveyed(tmp_path, [depth("BBB", "1", "1"), depth("CCC", "1", "1")], toml(tmp_path, "0.01"))
    surveyed(tmp_path, [reply(("CCC", "1", "1")), depth("CCC", "1", "1")], toml(tmp_path, "0.01"))


def test_a_given_tick_that_most_frames_do_not_fit_is_wrong(tmp_path):
    rows = [depth("BBB", "1.25", "3") for _ in range(20)]
    wrong = r"given.toml: binance-spot:BBB: tick 0.1 does not fit bid price 1.25 in .*line 1$"
    with pytest.raises(UserError, match=wrong):
        surveyed(tmp_path, rows, toml(tmp_path, "0.1"))
    with pytest.raises(UserError, match=r"lot 2 does not fit bid size 3 in .*line 1$"):
        surveyed(tmp_path, rows, toml(tmp_path, "0.01", "2"))


def test_a_few_old_levels_off_a_given_grid_are_read_and_said(tmp_path):
    rows = [depth("BBB", "1.2", "3") for _ in range(50)]
    rows.insert(25, depth("BBB", "1.25", "3"))
    found = surveyed(tmp_path, rows, toml(tmp_path, "0.1"))
    assert next(iter(found.seen.values())).finish().tick == "0.01"
    assert len(list(found.notes())) == 1


def test_a_wrong_grid_is_said_before_a_long_file_is_read_to_its_end(tmp_path):
    path = tmp_path / "rec.jsonl"
    path.write_text((json.dumps(depth("BBB", "1.25", "3")) + "\n") * 3000 + "not a line")
    with pytest.raises(UserError, match=r"given.toml: binance-spot:BBB: tick 0.1"):
        survey([Recording(path)], toml(tmp_path, "0.1"), tmp_path / "given.toml")


# ---- channels and snapshots ----


def test_a_book_follows_the_full_stream_or_else_the_deepest(tmp_path):
    shallow = depth("BBB", "1", "1")
    shallow |= {"channel": "bbb@depth20", "raw": shallow["raw"].replace("bbb@depth", "bbb@depth20")}
    deep = {"t": 1, "venue": "bybit-linear", "channel": "orderbook.1.X"}
    raw = '{"topic":"orderbook.%d.X","type":"snapshot","ts":1,"data":{"s":"X","b":[],"a":[],"u":1,"seq":1}}'
    rows = [shallow, deep | {"raw": raw % 1}, deep | {"channel": "orderbook.200.X", "raw": raw % 200}]
    assert [x.depth() for x in surveyed(tmp_path, rows).seen.values()] == [20, 200]
    assert [x.depth() for x in surveyed(tmp_path, [*rows, depth("BBB", "1", "1")]).seen.values()] == [0, 200]


def test_a_snapshot_without_a_name_belongs_to_the_only_instrument(tmp_path):
    found = surveyed(tmp_path, [snapshot(5, "1.125"), depth("BBB", "1", "1")])
    assert found.files[0].snapshots == [(SPOT, "BBB")]
    assert next(iter(found.seen.values())).finish().tick == "0.001", "its levels count for the grid"


def test_of_several_instruments_the_one_whose_ids_fit_owns_a_snapshot(tmp_path):
    rows = [
        depth("AAA", "1", "1", (100, 110)),
        depth("BBB", "1", "1", (5000, 5001)),
        snapshot(5000),
        snapshot(105),
    ]
    rows += [depth("AAA", "1", "1", (111, 120)), depth("BBB", "1", "1", (5002, 5009)), snapshot(9999)]
    assert surveyed(tmp_path, rows).files[0].snapshots == [(SPOT, "BBB"), (SPOT, "AAA"), None]


def test_the_address_of_a_request_names_the_owner(tmp_path):
    rows = [
        snapshot(1, url="https://api.binance.com/api/v3/depth?symbol=CCC&limit=1000"),
        depth("BBB", "1", "1"),
    ]
    found = surveyed(tmp_path, rows)
    assert (found.files[0].snapshots, set(found.seen)) == ([], {(SPOT, "CCC"), (SPOT, "BBB")})


def test_channels_whose_name_does_not_have_the_symbol_are_read_all_the_same(tmp_path):
    rows = [depth("AAA", "1.5", "1"), depth("BBB", "1.25", "1"), depth("AAA", "1", "0.5")]
    found = surveyed(tmp_path, [x | {"channel": "depth"} for x in rows])
    assert [(x.key[1], x.tick, x.lot, x.frames) for x in found.seen.values()] == [
        ("AAA", "0.1", "0.1", 2),
        ("BBB", "0.01", "1", 1),
    ]


def test_a_recording_without_market_data_is_refused(tmp_path):
    rows = [
        {"venue": "okx", "channel": "private:orders", "raw": "{}"},
        {"venue": "nyse", "channel": "x", "raw": "{}"},
    ]
    with pytest.raises(UserError, match=re.escape(f"{tmp_path / 'rec.jsonl'}: no market data")):
        surveyed(tmp_path, rows)


@pytest.mark.parametrize("symbol", ["", "A" * 44, "\u00e9" * 22])
def test_a_symbol_that_no_venue_can_have_is_one_line(tmp_path, symbol):
    trade = {"e": "trade", "E": 1, "T": 1, "s": symbol, "t": 1, "p": "1", "q": "1", "m": True}
    row = {"t": 1, "venue": "binance-usdm", "channel": "trade", "raw": json.dumps(trade, ensure_ascii=False)}
    (tmp_path / "rec.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match=r"rec.jsonl: symbol .*: must have 1 to 43 bytes"):
        survey([Recording(tmp_path / "rec.jsonl", None)], None, None)


def test_an_address_that_is_none_names_no_symbol():
    assert url_symbol("http://[") == ""


# ---- what stands beside a recording ----


def test_ticks_and_lots_are_found_beside_a_recording_by_its_name(tmp_path):
    spot = {"market": "binance-spot", "symbol": "BTCUSDT", "tick": "0.01", "lot": "0.00001"}
    (tmp_path / "rec.instruments.json").write_text(json.dumps({"instruments": [spot]}))
    for name in ("rec.jsonl.zst", "rec.jsonl.gz", "rec.txt", "rec.jsonl", "rec"):
        assert [x.tick for x in read_beside(tmp_path / name).values()] == ["0.01"]
    assert read_beside(tmp_path / "other.jsonl") == {}
    found = surveyed(tmp_path, [depth("BTCUSDT", "7.5", "1"), depth("ETHUSDT", "7.5", "1")])
    rows = {x.key[1]: (x.source, x.finish().tick) for x in found.seen.values()}
    assert rows == {"BTCUSDT": ("recording", "0.01"), "ETHUSDT": ("inferred", "0.1")}


def test_a_file_that_a_person_names_comes_before_the_one_beside_the_recording(tmp_path):
    spot = {"market": "binance-spot", "symbol": "BTCUSDT", "tick": "0.01", "lot": "0.00001"}
    (tmp_path / "rec.instruments.json").write_text(json.dumps({"instruments": [spot]}))
    rows = given(tmp_path, json.dumps([spot | {"tick": "0.5"}]))
    found = surveyed(tmp_path, [depth("BTCUSDT", "7.5", "1")], rows)
    assert [(x.source, x.finish().tick) for x in found.seen.values()] == [("file", "0.5")]


def test_a_broken_file_beside_a_recording_is_named(tmp_path):
    (tmp_path / "rec.instruments.json").write_text("{")
    with pytest.raises(UserError, match=r"rec\.instruments\.json: "):
        surveyed(tmp_path, [depth("BTCUSDT", "7.5", "1")])

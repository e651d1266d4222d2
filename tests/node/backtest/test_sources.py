"""Both forms of recordings, however they are packed, and everything that can be wrong with a file."""

import gzip
import json
from pathlib import Path

import pytest
import zstandard

from ext.records import Market
from node.backtest import sources
from node.backtest.sources import Recording, Shape, describe, frame_bytes
from node.errors import UserError

TRADE = (
    '{"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT","p":"1.5","q":"2","t":1,"T":1,'
    '"m":true,"M":true}}'
)
USDM_DEPTH = (
    '{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","s":"BTCUSDT","U":1,"u":2,"pu":0,"b":[],"a":[]}}'
)
BYBIT_BOOK = (
    '{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1,"data":{"s":"BTCUSDT","b":[],"a":[],"u":2}}'
)
BYBIT_TRADE = (
    '{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1,"data":[{"s":"BTCUSDT","p":"1","v":"1"%s}]}'
)
OKX_BOOK = (
    '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":[{"asks":[],"bids":[]}]}'
)


def read(path: Path, market: str | None = None) -> list[sources.Line]:
    return [x for batch in Recording(path, market).batches() for x in batch]


def plain_file(path: Path, *raws: str) -> Path:
    path.write_text("".join(f"{10**18 + i} {raw}\n" for i, raw in enumerate(raws)))
    return path


def json_line(number: int, raw: str = TRADE) -> str:
    return json.dumps({"t": number, "venue": "binance-spot", "channel": "btcusdt@trade", "raw": raw})


def refused(path: Path, market: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        read(path, market)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text


# ---- packing ----


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
@pytest.mark.parametrize("pack", [bytes, lambda x: gzip.compress(x, 1), zstandard.compress])
def test_lines_come_out_whole_wherever_the_file_is_cut_for_reading(tmp_path, monkeypatch, pack, size):
    rows = [{"t": i, "venue": "okx", "channel": "books", "raw": "x" * (i % 50)} for i in range(300)]
    path = tmp_path / "x"
    path.write_bytes(pack("\n".join(map(json.dumps, rows)).encode()))
    for name in ("READ_SIZE", "ZSTD_READ_SIZE", "OUT_SIZE"):
        monkeypatch.setattr(sources, name, size)
    assert [(x.t, x.raw) for x in read(path)] == [(x["t"], x["raw"]) for x in rows]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_parts_that_were_packed_one_by_one_are_read_as_one(tmp_path, pack):
    path = tmp_path / "x"
    path.write_bytes(b"".join(pack(json_line(i).encode() + b"\n") for i in range(5)))
    assert [x.t for x in read(path)] == [0, 1, 2, 3, 4]


def test_zeros_behind_gzip_data_are_padding(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(json_line(7).encode()) + bytes(1000))
    assert [x.t for x in read(path)] == [7]


def test_every_byte_read_is_told_for_the_progress_bar(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress((json_line(1) + "\n").encode() * 1000))
    recording, told = Recording(path), []
    recording.on_read = told.append
    assert sum(len(x) for x in recording.batches()) == 1000
    assert sum(told) == path.stat().st_size


def test_memory_stays_bounded_for_a_file_that_unpacks_to_much_more(tmp_path, monkeypatch):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress((json_line(1) + "\n").encode() * 50_000))
    monkeypatch.setattr(sources, "OUT_SIZE", 1 << 16)
    assert max(len(x) for x in sources.blocks(path)) < 1 << 17


# ---- files that are no recordings ----


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (bytes(range(256)) * 50, "not a recording"),
        (b"ts_ms,open,high\n1,2,3\n", "not a recording"),
        (b"[1, 2]\n", "not a recording"),
        (b'{"t":1,"venue":"okx","channel":"books"}\n', "line 1: .*missing required field `raw`"),
        (b'{"raw":5}\n', "line 1: .*Expected `str`, got `int`"),
        (b'{"raw":"x","t":"now"}\n', "line 1: .*t"),
        (json_line(1).encode() + b"\n\n" + b'{"raw":\n', "line 3: "),
        (json_line(1).encode()[:-20], "line 1: "),
        (b"12 {}\n", "not a recording"),
        (b"1723161255030314667 {}\n", "no frame of Binance, Bybit or OKX"),
        (
            b"1723161255030314667 " + TRADE.encode() + b"\nnonsense\n",
            "line 2: not a receive time and a frame: 'n",
        ),
        (b"1723161255030314667 " + TRADE.encode() + b"\n99999999999999999999 {}\n", "line 2: "),
        (gzip.compress(json_line(1).encode(), mtime=0)[:3], "is empty, but for a line that is cut off"),
        (gzip.compress(json_line(1).encode() * 99, mtime=0) + b"tail", "broken gzip data"),
        (b"\x1f\x8b" + bytes(99), "broken gzip data"),
        (zstandard.compress(json_line(1).encode())[:-9], "is empty, but for a line that is cut off"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 99, "broken zstd data"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it_and_the_place(tmp_path, data, words):
    path = tmp_path / "bad"
    path.write_bytes(data)
    with pytest.raises(UserError, match=words):
        read(path)
    refused(path)


WHOLE = json_line(1).encode() + b"\n"


@pytest.mark.parametrize(
    ("data", "count", "what"),
    [
        (gzip.compress(WHOLE * 999, mtime=0)[:-4], 999, "the gzip data is"),
        (gzip.compress(WHOLE * 9, mtime=0) * 2 + b"\x1f\x8b\x08", 18, "the gzip data is"),
        (zstandard.compress(WHOLE * 9) * 2 + b"\x28\xb5\x2f\xfd\x00", 18, "the zstd data is"),
        (WHOLE * 3 + json_line(1).encode()[:-20], 3, "the last line is"),
        (2 * (b"1723161255030314667 " + TRADE.encode() + b"\n") + b"17231612", 2, "the last line is"),
        (
            2 * (b"1723161255030314667 " + TRADE.encode() + b"\n") + b'1723161255030314667 {"e',
            2,
            "the last line is",
        ),
    ],
)
def test_a_file_whose_recorder_was_killed_is_read_up_to_there_and_that_is_told(tmp_path, data, count, what):
    path = tmp_path / "cut"
    path.write_bytes(data)
    recording = Recording(path)
    assert sum(map(len, recording.batches())) == count
    assert sum(map(len, recording.batches())) == count  # told once, however often it is read
    assert recording.notes == [f"{path}: {what} cut off at its end: read up to there"]


def test_a_missing_file_and_a_directory_are_named(tmp_path):
    assert "no such file" in refused(tmp_path / "none")
    assert "is a directory" in refused(tmp_path)


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LINE_MAX", 1 << 16)
    path = tmp_path / "x"
    path.write_bytes(b"x" * (1 << 20))
    assert "not a recording" in refused(path)


def test_a_pipe_is_refused_as_it_cannot_be_read_twice(tmp_path):
    import os

    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert "read twice" in refused(path)


# ---- form (b) ----


def test_receive_times_are_ns_and_older_units_are_told_by_their_length(tmp_path):
    path = tmp_path / "x"
    stamps = ["1723161255030314667", "1680652700423575", "1680652700423"]
    path.write_text("".join(f"{x} {TRADE}\r\n" for x in stamps) + "\n")
    lines = read(path)
    assert [x.t for x in lines] == [1723161255030314667, 1680652700423575000, 1680652700423000000]
    assert {x.raw for x in lines} == {TRADE}


@pytest.mark.parametrize(
    ("raws", "venue", "channel"),
    [
        ([TRADE], "binance-spot", "btcusdt@trade"),
        ([USDM_DEPTH], "binance-usdm", "btcusdt@depth@0ms"),
        (['{"u":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1"}'], "binance-spot", "btcusdt@bookTicker"),
        (
            ['{"e":"bookTicker","u":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1"}'],
            "binance-usdm",
            "btcusdt@bookTicker",
        ),
        (['{"e":"markPriceUpdate","s":"BTCUSDT","p":"1"}'], "binance-usdm", "btcusdt@markPriceUpdate"),
        ([BYBIT_TRADE % ',"L":"PlusTick"'], "bybit-linear", "publicTrade.BTCUSDT"),
        ([BYBIT_TRADE % ""], "bybit-spot", "publicTrade.BTCUSDT"),
        ([BYBIT_BOOK], "bybit-linear", "orderbook.50.BTCUSDT"),
        (
            [BYBIT_BOOK.replace('"type":"delta","ts":1', '"ts":1,"type":"delta"')],
            "bybit-spot",
            "orderbook.50.BTCUSDT",
        ),
        ([BYBIT_BOOK, BYBIT_TRADE % ""], "bybit-spot", "orderbook.50.BTCUSDT"),
        (
            ['{"topic":"tickers.X","type":"snapshot","data":{"symbol":"X","lastPrice":"1"}}'],
            "bybit-spot",
            "tickers.X",
        ),
        (['{"topic":"tickers.X","type":"delta","data":{"symbol":"X"}}'], "bybit-linear", "tickers.X"),
        ([OKX_BOOK], "okx", "books:BTC-USDT"),
    ],
)
def test_venue_and_channel_are_read_from_the_frames_own_shape(tmp_path, raws, venue, channel):
    first = read(plain_file(tmp_path / "x", *raws))[0]
    assert (first.venue, first.channel) == (venue, channel)


def test_replies_among_the_frames_are_told_apart(tmp_path):
    raws = [
        '{"result":null,"id":1}',
        '{"lastUpdateId":1,"bids":[],"asks":[]}',
        '{"timezone":"UTC","symbols":[]}',
        TRADE,
        "not json",
    ]
    lines = read(plain_file(tmp_path / "x", *raws))
    assert [x.channel for x in lines] == ["", "rest:depth", "rest:exchangeInfo", "btcusdt@trade", ""]
    assert {x.venue for x in lines} == {"binance-spot"}
    bybit = read(plain_file(tmp_path / "y", '{"retCode":0,"result":{"list":[]}}', BYBIT_BOOK))
    assert bybit[0].channel == "rest:instruments-info"
    okx = read(plain_file(tmp_path / "z", '{"code":"0","data":[{"instType":"SPOT"}]}', OKX_BOOK))
    assert okx[0].channel == "rest:instruments"


def test_a_file_that_does_not_show_its_product_says_so_and_can_be_told(tmp_path):
    path = plain_file(tmp_path / "x", BYBIT_BOOK.replace("orderbook.50", "orderbook.1"))
    recording = Recording(path)
    assert ["read as linear" in x for x in recording.notes] == [True]
    assert read(path, "bybit-spot")[0].venue == "bybit-spot"
    assert Recording(path, "bybit-spot").notes == []


def test_both_products_of_binance_in_one_file_are_refused_but_one_can_be_named(tmp_path):
    path = plain_file(tmp_path / "x", TRADE, USDM_DEPTH)
    assert "split the file" in refused(path)
    assert [x.venue for x in read(path, "binance-usdm")] == ["binance-usdm"] * 2


def test_an_unknown_market_is_refused(tmp_path):
    with pytest.raises(UserError, match="--market nyse: must be one of binance-spot"):
        Recording(plain_file(tmp_path / "x", TRADE), "nyse")


def test_bytes_that_are_no_utf8_reach_the_decoder_as_they_came(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"1723161255030314667 " + TRADE.encode() + b"\n1723161255030314668 \xff\xfe{\n")
    assert frame_bytes(read(path)[1]) == b"\xff\xfe{"


# ---- shapes ----


@pytest.mark.parametrize(
    ("market", "raw", "shape"),
    [
        (Market.BINANCE_SPOT, TRADE, Shape("trade", "BTCUSDT")),
        (Market.BINANCE_USDM, USDM_DEPTH, Shape("depth", "BTCUSDT", 0)),
        (Market.BINANCE_USDM, USDM_DEPTH.replace("@depth@", "@depth20@"), Shape("depth", "BTCUSDT", 20)),
        (Market.BINANCE_USDM, USDM_DEPTH.replace("@depth@", "@rpiDepth@"), Shape("other")),
        (
            Market.BINANCE_SPOT,
            '{"stream":"btcusdt@depth5","data":{"lastUpdateId":1,"bids":[],"asks":[]}}',
            Shape("depth", "BTCUSDT", 5),
        ),
        (
            Market.BINANCE_SPOT,
            '{"stream":"btcusdt@kline_1m","data":{"e":"kline","s":"BTCUSDT"}}',
            Shape("other"),
        ),
        (Market.BYBIT_LINEAR, BYBIT_BOOK, Shape("depth", "BTCUSDT", 50)),
        (Market.BYBIT_LINEAR, '{"topic":"kline.1.BTCUSDT","data":[]}', Shape("other")),
        (Market.OKX, OKX_BOOK, Shape("depth", "BTC-USDT", 400)),
        (Market.OKX, OKX_BOOK.replace("books", "bbo-tbt"), Shape("depth", "BTC-USDT", 1)),
        (Market.OKX, '{"arg":{"channel":"tickers","instId":"X"},"data":[]}', Shape("other")),
        (Market.OKX, '{"event":"subscribe","arg":{"channel":"books","instId":"X"}}', Shape("other")),
        (Market.OKX, "[1]", Shape("other")),
        (Market.OKX, "{", Shape("other")),
    ],
)
def test_a_frame_says_what_it_is_about(market, raw, shape):
    assert describe(int(market), raw) == shape

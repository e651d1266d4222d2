"""REST requests and replies: exact text out of real instruments replies, one clear error for a bad one."""

import gzip
import os
from pathlib import Path

import orjson
import pytest

from ext.instruments import Instruments
from node.venues.okx import rest

ROOT = Path(__file__).parents[4]
SWAP = {
    "instType": "SWAP",
    "instId": "BTC-USDT-SWAP",
    "instIdCode": 10459,
    "ctType": "linear",
    "ctVal": "0.01",
    "ctMult": "1",
    "tickSz": "0.1",
    "lotSz": "0.01",
    "minSz": "0.01",
    "maxLmtSz": "100000000.0000000000000000",
    "state": "live",
    "ruleType": "normal",
}
SPOT = SWAP | {
    "instType": "SPOT",
    "instId": "BTC-USDT",
    "instIdCode": 3,
    "ctType": "",
    "ctVal": "",
    "ctMult": "",
}


def reply(*rows: dict, code="0", **more) -> bytes:
    return orjson.dumps({"code": code, "msg": "", "data": list(rows), **more})


def one(row: dict):
    (out,) = rest.instruments(reply(row))
    return out


def captured(name: str, part: str) -> list[bytes]:
    path = ROOT / os.environ.get("TICKGATE_RECORDINGS", "../shared/recordings") / name
    if not path.is_file():
        pytest.skip(f"no recording at {path}")
    with gzip.open(path) as stream:
        rows = [orjson.loads(x) for x in stream]
    return [x["raw"].encode() for x in rows if part in x["channel"]]


def test_requests():
    assert rest.time_request().target == "/api/v5/public/time"
    assert rest.instruments_request("SWAP").target == "/api/v5/public/instruments?instType=SWAP"
    option = rest.instruments_request("OPTION", "BTC-USD")
    assert option.target == "/api/v5/public/instruments?instType=OPTION&instFamily=BTC-USD"
    book = rest.books_request("BTC-USDT", demo=True)
    assert book.target == "/api/v5/market/books?instId=BTC-USDT&sz=400"
    assert book.headers == (("x-simulated-trading", "1"),)


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda: rest.instruments_request("STOCK"), "instType 'STOCK'"),
        (lambda: rest.instruments_request("OPTION"), "instFamily"),
        (lambda: rest.books_request("X", 401), "1 to 400"),
        (lambda: rest.books_request("X", 0), "1 to 400"),
    ],
)
def test_a_request_that_the_venue_would_refuse_is_not_made(ask, text):
    with pytest.raises(ValueError, match=text):
        ask()


def test_server_time():
    assert rest.server_time_ns(reply({"ts": "1597026383085"})) == 1597026383085_000_000
    for bad in ({"ts": 5}, {"ts": ""}, {"ts": "1" * 16}, {"ts": "-1"}, {}):
        with pytest.raises(ValueError, match="ts"):
            rest.server_time_ns(reply(bad))


def test_a_linear_swap_and_its_contract():
    row = one(SWAP | {"ctVal": "0.01", "ctMult": "10"})
    assert (row.contract, row.tick, row.lot, row.min_size) == ("0.1", "0.1", "0.01", "0.01")
    assert (row.inst_code, row.tradable, row.is_perpetual) == (10459, True, True)
    assert one(SWAP | {"ctVal": "10000000"}).contract == "10000000"


def test_a_spot_pair():
    row = one(SPOT)
    assert (row.contract, row.inst_code, row.tradable, row.is_perpetual) == ("1", 3, True, False)


@pytest.mark.parametrize(
    "change",
    [
        {"ctType": "inverse"},
        {"instType": "FUTURES"},
        {"instType": "OPTION"},
        {"state": "suspend"},
        {"state": "preopen"},
        {"ruleType": "pre_market"},
        {"instIdCode": None},
    ],
)
def test_what_cannot_be_traded_can_still_be_read(change):
    row = one(SWAP | change)
    assert not row.tradable
    assert (row.tick, row.lot) == ("0.1", "0.01")


@pytest.mark.parametrize("change", [{"tickSz": ""}, {"lotSz": ""}, {"ctVal": ""}, {"tickSz": None}])
def test_an_instrument_that_was_just_announced_is_left_out(change):
    assert rest.instruments(reply(SWAP | change, SPOT)) == [one(SPOT)]


@pytest.mark.parametrize("kind", ["MARGIN", "EVENTS", None])
def test_other_types_are_left_out(kind):
    assert rest.instruments(reply(SPOT | {"instType": kind})) == []


def test_old_replies_without_state_and_code_are_read():
    row = one({k: v for k, v in SPOT.items() if k not in ("state", "ruleType", "instIdCode", "maxLmtSz")})
    assert (row.inst_code, row.max_size) == (-1, "0")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"tickSz": "0"}, "BTC-USDT-SWAP: tickSz"),
        ({"tickSz": "1e-5"}, "BTC-USDT-SWAP: tickSz"),
        ({"lotSz": "-1"}, "BTC-USDT-SWAP: lotSz"),
        ({"lotSz": 1}, "BTC-USDT-SWAP: lotSz"),
        ({"ctVal": "x"}, "BTC-USDT-SWAP: ctVal"),
        ({"ctMult": "0"}, "BTC-USDT-SWAP: ctMult"),
        ({"minSz": "NaN"}, "BTC-USDT-SWAP: minSz"),
        ({"maxLmtSz": "1e9"}, "BTC-USDT-SWAP: maxLmtSz"),
        ({"instIdCode": "3"}, "BTC-USDT-SWAP: instIdCode"),
        ({"instIdCode": True}, "BTC-USDT-SWAP: instIdCode"),
        ({"instIdCode": 2**31}, "BTC-USDT-SWAP: instIdCode"),
        ({"instId": ""}, "instId"),
        ({"instId": 5}, "instId"),
    ],
)
def test_a_malformed_field_is_named(change, text):
    with pytest.raises(ValueError, match=text):
        rest.instruments(reply(SWAP | change))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"<html>", "not JSON"),
        (b"[]", "code"),
        (b"{}", "code"),
        (reply(code="50011"), "50011"),
        (b'{"code":"0","data":{}}', "data"),
        (b'{"code":"0","data":[5]}', "data"),
    ],
)
def test_a_reply_that_is_none_is_refused(raw, text):
    with pytest.raises(ValueError, match=text):
        rest.instruments(raw)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("fixtures/okx-rest-production-2026.jsonl.gz", "get-instruments"),
        ("fixtures/okx-nautilus.jsonl.gz", "http_get_instruments"),
        ("okx/multi-2022-05-13-with-rest.jsonl.gz", "instruments"),
    ],
)
def test_real_replies_fill_the_instrument_table(name, part):
    table, seen = Instruments(8192), {}
    for raw in captured(name, part):
        for row in rest.instruments(raw):
            assert seen.setdefault(row.symbol, row) == row
    for row in seen.values():
        fields = {
            k: getattr(row, k)
            for k in row.__slots__
            if k not in ("market", "symbol", "tick", "lot", "contract")
        }
        table.add(row.market, row.symbol, row.tick, row.lot, row.contract, **fields)
    assert table.count == len(seen) > 5
    if "2026" in name:
        swap = table.row(table.index(4, "BTC-USDT-SWAP"))
        assert (swap["inst_code"], swap["tradable"], swap["is_perpetual"]) == (10459, 1, 1)
        assert not table.row(table.index(4, "BTC-USD-SWAP"))["tradable"]
        assert sum(x.tradable for x in seen.values()) > 1000

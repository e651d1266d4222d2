"""A recording as the market of the simulated venues."""

import asyncio
import json
import os
import tomllib
from pathlib import Path

import pytest

from node.backtest.replay import book_hash, replay_command
from node.demo import config_text, run_demo
from node.errors import UserError
from node.sim import command
from node.sim.recorded import LISTINGS_MAX, Recorded, RecordedAndSynthetic, open_recording, size_hint
from node.sim.serve import SimConfig
from node.venues.fakes import BUY, MS, SELL, Listing

START_NS = 1_700_000_000 * 10**9
T0_NS = 1_600_000_000 * 10**9
USDM, SPOT, LINEAR, OKX = 1, 0, 3, 4
CAPTURES = Path(os.environ.get("TICKGATE_RECORDINGS", "../shared/recordings"))
WHOLE = (
    "binance-usdm/btcusdt-2024-08-08",
    "binance-spot/btcusdt-2024-08-08",
    "binance-usdm/multi-2021-07-22-with-rest",
    "bybit/linear-2026-08-09-with-rest",
    "okx/btcusdt-books-2026-08-24",
    "okx/multi-2021-07-22-conn1",
)


def capture(name: str) -> Path:
    path = CAPTURES / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"no recording {path}: set TICKGATE_RECORDINGS")
    return path


def line(at_ms: int, venue: str, channel: str, message: dict, **more) -> str:
    raw = json.dumps(message, separators=(",", ":"))
    return json.dumps({"t": T0_NS + at_ms * MS, "venue": venue, "channel": channel, "raw": raw} | more)


def diff(at_ms: int, first: int, last: int, prev: int, bids=(), asks=()) -> str:
    body = {
        "e": "depthUpdate",
        "E": 1,
        "T": 1,
        "s": "BTCUSDT",
        "U": first,
        "u": last,
        "pu": prev,
        "b": bids,
        "a": asks,
    }
    return line(at_ms, "binance-usdm", "btcusdt@depth", {"stream": "btcusdt@depth", "data": body})


def snapshot(at_ms: int, last: int, bids, asks) -> str:
    body = {"lastUpdateId": last, "E": 1, "T": 1, "bids": bids, "asks": asks}
    url = "https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=1000"
    return line(at_ms, "binance-usdm", "rest:/fapi/v1/depth", body, url=url)


def print_(at_ms: int, price: str, size: str, kind: str = "trade") -> str:
    body = {
        "e": kind,
        "E": 1,
        "T": 1,
        "s": "BTCUSDT",
        "t": at_ms,
        "a": at_ms,
        "f": 1,
        "l": 1,
        "p": price,
        "q": size,
    }
    body |= {"X": "MARKET", "m": True}
    return line(at_ms, "binance-usdm", f"btcusdt@{kind}", {"stream": f"btcusdt@{kind}", "data": body})


def bybit_book(
    at_ms: int, symbol: str, kind: str, update: int, bids, asks, venue: str = "bybit-linear"
) -> str:
    data = {"s": symbol, "b": bids, "a": asks, "u": update, "seq": update}
    topic = f"orderbook.50.{symbol}"
    return line(at_ms, venue, topic, {"topic": topic, "type": kind, "ts": 1, "data": data, "cts": 1})


BINANCE_LINES = (
    diff(0, 1, 5, 0, [["99.0", "7"]]),  # ends before the snapshot: dropped
    diff(100, 6, 12, 5, [["100.0", "3"]]),  # the snapshot falls into this one
    snapshot(150, 10, [["100.0", "1"], ["99.5", "2"]], [["100.5", "4"], ["101.0", "0.5"]]),
    diff(200, 13, 15, 12, [["99.5", "0"]], [["100.6", "9"]]),
    diff(210, 13, 15, 12, [["99.5", "8"]]),  # told twice: dropped
    print_(250, "100.5", "1.5"),
    print_(251, "100.5", "1.5", "aggTrade"),  # the same one again
)


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(x + "\n" for x in lines))
    return path


@pytest.fixture
def binance(tmp_path) -> Recorded:
    return open_recording(write(tmp_path / "r.jsonl", *BINANCE_LINES))


def make(recorded: Recorded, *markets: int) -> tuple[RecordedAndSynthetic, list[Listing], list[str]]:
    told: list[str] = []
    rows = [
        x for row in recorded.venues().values() for x in row.listings if not markets or x["market"] in markets
    ]
    listings = [Listing(**x) for x in rows]
    return RecordedAndSynthetic(recorded, listings, 1, START_NS, told.append), listings, told


def book_after(events, row) -> str:
    """Hash, as replays give it, of the book that is left when all events of an instrument were applied."""
    sides: tuple[dict, dict] = ({}, {})
    for kind, what in events:
        if kind == "trade":
            continue
        for side in (BUY, SELL):
            if kind == "snapshot":
                sides[side].clear()
            sides[side].update(what[side])
    listing = Listing("", row.tick, row.lot, 0)
    text = [
        [(listing.price_grid.format(p), listing.size_grid.format(s)) for p, s in sorted(x.items()) if s]
        for x in sides
    ]
    return book_hash(text[BUY][::-1], text[SELL])


@pytest.mark.parametrize("name", WHOLE)
def test_the_books_end_as_in_a_replay(name):
    path = capture(name)
    recorded = open_recording(path)
    found: dict = {key: [] for key in recorded.chosen}
    for _, key, kind, what in recorded.events(recorded.chosen):
        found[key].append((kind, what))
    replayed = replay_command([path], strategy="none").to_json()["files"][0]["instruments"]
    hashes = {x["id"]: x["book_hash"] for x in replayed}
    assert 1 <= len(found) <= LISTINGS_MAX
    for key, events in found.items():
        assert events[0][0] == "snapshot"
        name = f"{('binance-spot', 'binance-usdm', 'bybit-spot', 'bybit-linear', 'okx')[key[0]]}:{key[1]}"
        assert book_after(events, recorded.chosen[key].row) == hashes[name]


@pytest.mark.parametrize("name", WHOLE)
def test_every_capture_runs_for_some_seconds(name):
    market, listings, _ = make(open_recording(capture(name)))
    for ms in range(0, 5_000, 10):
        market.step(START_NS + ms * MS)
    for listing in listings:
        listing.engine.audit()
        assert listing.engine.best(BUY)
        assert listing.engine.best(SELL)
    assert market.recorded.counts["depth"] > 0


def test_diffs_before_the_snapshot_are_skipped_or_spliced_by_the_venues_rule(binance):
    events = [(kind, what) for _, _, kind, what in binance.events(binance.chosen)]
    # the grids are inferred: tick 0.1, lot 0.1
    assert events == [
        ("snapshot", ([(1000, 30), (995, 20)], [(1005, 40), (1010, 5)])),
        ("depth", ([(995, 0)], [(1006, 90)])),
        ("trade", (SELL, 1005, 15)),
    ]


def test_the_first_event_is_at_the_start_and_the_others_follow_at_their_pace(binance):
    market, (listing,), told = make(binance, USDM)
    assert listing.engine.levels(BUY) == [(1000, 30), (995, 20)]
    market.step(START_NS + 49 * MS)
    assert listing.engine.count(BUY) == 2
    market.step(START_NS + 50 * MS)
    assert listing.engine.levels(BUY) == [(1000, 30)]
    assert listing.engine.levels(SELL) == [(1005, 40), (1006, 90), (1010, 5)]
    assert told == []


def test_at_its_end_the_recording_stands_still_and_says_so_once(binance):
    market, (listing,), told = make(binance, USDM)
    for ms in range(0, 2_000, 100):
        market.step(START_NS + ms * MS)
    assert told == ["the recording is over: its books stand still from here"]
    assert listing.engine.levels(BUY) == [(1000, 30)]


def test_a_rewound_recording_begins_again(binance):
    market, (listing,), told = make(binance, USDM)
    market.step(START_NS + 1_000 * MS)
    market.rewind(START_NS + 2_000 * MS)
    assert listing.engine.levels(BUY) == [(1000, 30), (995, 20)]
    market.step(START_NS + 3_000 * MS)
    assert listing.engine.levels(BUY) == [(1000, 30)]
    assert len(told) == 1


def test_a_recorded_market_replaces_its_synthetic_listings_and_no_others(binance):
    rows = {(x["market"], x["symbol"]): x for row in binance.venues().values() for x in row.listings}
    assert [key for key in rows if key[0] == USDM] == [(USDM, "BTCUSDT")]
    assert rows[USDM, "BTCUSDT"]["tick"] == "0.1"
    assert {key[0] for key in rows} == {SPOT, USDM, 2, LINEAR, OKX}


def test_synthetic_listings_of_the_same_asset_are_around_the_recorded_price(tmp_path):
    lines = [bybit_book(0, "BTCUSDT", "snapshot", 5, [["43210.0", "1"]], [["43210.2", "1"]])]
    _, listings, _ = make(open_recording(write(tmp_path / "r", *lines)))
    for x in listings:
        if x.base == "BTC":
            assert float(x.tick) * x.engine.best(BUY)[0] == pytest.approx(43210, rel=1e-4)


def test_at_most_four_instruments_are_listed_those_with_most_frames(tmp_path):
    lines = []
    for n, symbol in enumerate(("AUSDT", "BUSDT", "CUSDT", "DUSDT", "EUSDT", "BTCUSDT-26SEP25")):
        lines.append(bybit_book(n, symbol, "snapshot", 5, [["1.01", "10"]], [["1.02", "10"]]))
        lines += [bybit_book(n, symbol, "delta", 6 + i, [["1.00", str(i + 1)]], []) for i in range(n)]
    recorded = open_recording(write(tmp_path / "r", *lines))
    assert [symbol for _, symbol in recorded.chosen] == ["EUSDT", "DUSDT", "CUSDT", "BUSDT"]


def test_options_futures_and_inverse_swaps_are_not_listed(tmp_path):
    def book(symbol: str) -> str:
        data = [
            {
                "asks": [["2.5", "1", "0", "1"]],
                "bids": [["2.4", "1", "0", "1"]],
                "ts": "1",
                "seqId": 3,
                "prevSeqId": -1,
            }
        ]
        message = {"arg": {"channel": "books", "instId": symbol}, "action": "snapshot", "data": data}
        return line(0, "okx", f"books:{symbol}", message)

    names = ("BTC-USD-SWAP", "BTC-USDT-260925", "BTC-USD-260925-60000-C", "XRP-USDT", "XRP-USDT-SWAP")
    recorded = open_recording(write(tmp_path / "r", *map(book, names)))
    assert sorted(recorded.chosen) == [(OKX, "XRP-USDT"), (OKX, "XRP-USDT-SWAP")]
    codes = [x["inst_code"] for x in recorded.listings(OKX)]
    assert len(set(codes)) == 2
    assert min(codes) > 0


def test_a_jump_in_the_ids_shows_nothing_until_the_next_snapshot(tmp_path):
    lines = [
        bybit_book(0, "BTCUSDT", "snapshot", 5, [["100.0", "1"]], [["100.2", "1"]]),
        bybit_book(1, "BTCUSDT", "delta", 7, [["100.0", "2"]], []),
        bybit_book(2, "BTCUSDT", "delta", 8, [["100.0", "3"]], []),
        bybit_book(3, "BTCUSDT", "snapshot", 9, [["100.0", "4"]], [["100.2", "1"]]),
    ]
    recorded = open_recording(write(tmp_path / "r", *lines))
    assert [kind for _, _, kind, _ in recorded.events(recorded.chosen)] == ["snapshot", "snapshot"]


def test_an_order_is_worth_some_300_dollars_in_whole_lots():
    listing = Listing("BTCUSDT", "0.1", "0.001", USDM, base="BTC")
    assert size_hint(listing) is None
    listing.engine.set_level(BUY, 600_000, 10)
    assert size_hint(listing) == ("0.005", "300")
    coarse = Listing("XUSDT", "1", "10", USDM)
    coarse.engine.set_level(BUY, 500, 1)
    assert size_hint(coarse)[0] == "10"


def test_the_demo_quotes_what_is_recorded_and_takes_limits_from_the_order_size(tmp_path, binance):
    simulation = command.make_simulation(SimConfig(), binance)
    listening = {
        name: {
            "ws": "ws://127.0.0.1:1",
            "http": "http://127.0.0.1:2",
            "listings": command.listings_of(simulation, name, binance),
        }
        for name in simulation.servers
    }
    config = tomllib.loads(config_text(listening, tmp_path / "tape", tmp_path / "dials"))
    rows = {(x["market"], x["symbol"]): x for x in config["instrument"]}
    assert ("binance-usdm", "BTCUSDT") in rows
    assert ("binance-usdm", "ETHUSDT") not in rows
    row = rows["binance-usdm", "BTCUSDT"]
    assert row["quote"]["size_base"] == "3"
    assert row["limits"]["max_order_base"] == "60"
    assert float(row["limits"]["max_order_quote"]) == 6000
    assert {x["market"] for x in config["venue"]} == {market for market, _ in rows}


NO_DEPTH = (print_(0, "100.5", "1.5"),)
NO_SNAPSHOT = (diff(0, 1, 5, 0, [["99.0", "7"]]), diff(100, 6, 12, 5))


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (("garbage",), "not a recording"),
        (("",), "is empty"),
        (NO_DEPTH, "no order book of a spot pair or a linear perpetual"),
        (NO_SNAPSHOT, "no book in it ever becomes whole"),
    ],
)
def test_a_file_that_cannot_move_a_market_is_refused_in_one_line(tmp_path, lines, why):
    path = write(tmp_path / "r", *lines)
    with pytest.raises(UserError, match=why) as caught:
        open_recording(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused_also_through_the_demo(tmp_path):
    with pytest.raises(UserError, match=f"^{tmp_path}/none: no such file$"):
        open_recording(tmp_path / "none")
    options = {"seconds": 2, "seed": 1, "instruments": None, "keep": None, "as_json": True}
    with pytest.raises(UserError, match=f"^{tmp_path}/none: no such file$"):
        run_demo(recording=tmp_path / "none", **options)


def test_a_recording_of_a_venue_that_is_not_simulated_is_refused(binance):
    with pytest.raises(UserError, match="is of binance, which the config leaves out"):
        binance.check(SimConfig(venues=("okx",)))


def test_instruments_without_a_recording_are_refused(tmp_path):
    with pytest.raises(UserError, match="add --recording"):
        command.sim_command(None, seed=1, recording=None, instruments=tmp_path / "i.toml", as_json=True)


def test_the_sim_says_what_it_lists(tmp_path, capsys):
    path = write(tmp_path / "r.jsonl", *BINANCE_LINES)
    run = command.sim_command(None, seed=1, recording=path, instruments=None, as_json=True)

    async def briefly() -> None:
        stop = asyncio.Event()
        stop.set()
        await run(stop)

    asyncio.run(briefly())
    said = json.loads(capsys.readouterr().out.splitlines()[0])["listening"]
    assert said["binance"]["listings"][0] == {
        "market": "binance-usdm",
        "symbol": "BTCUSDT",
        "tick": "0.1",
        "lot": "0.1",
        "size": "3",
        "value": "300",
        "recorded": True,
    }
    assert not any(x["recorded"] for x in said["okx"]["listings"])

"""Real captures through the engine: what the recordings' own table says, and a naive twin, level by level."""

import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import frames
import pytest
import twin
import zstandard

from ext.book import BookState
from node.backtest.instruments import survey
from node.backtest.replay import Run, book_hash, replay_command
from node.backtest.sources import Line, Recording
from node.errors import UserError

ROOT = Path(__file__).parents[3]
USDM, SPOT = "binance-usdm", "binance-spot"
BTC8, BTC9 = "binance-spot/btcusdt-2024-08-08.jsonl.gz", "binance-spot/btcusdt-2024-08-09.jsonl.gz"
USDM8 = "binance-usdm/btcusdt-2024-08-08.jsonl.gz"
BTC4, BTC5 = "binance-usdm/btcusdt-2023-04-04.jsonl.gz", "binance-usdm/btcusdt-2023-04-05.jsonl.gz"
ETH18, ETH19 = "binance-usdm/ethusdt-2024-07-18.jsonl.gz", "binance-usdm/ethusdt-2024-07-19.jsonl.gz"
NEXO23, NEXO24 = "binance-spot/nexousdt-2024-07-23.jsonl.gz", "binance-spot/nexousdt-2024-07-24.jsonl.gz"
MULTI_SPOT = "binance-spot/multi-2021-10-12-with-rest.jsonl.gz"
MULTI_USDM = "binance-usdm/multi-2021-07-22-with-rest.jsonl.gz"
BYBIT1, BYBIT = "bybit/btcusdt-ob1-2024-11-08.jsonl.gz", "bybit/linear-2026-08-09-with-rest.jsonl.gz"
OKX26, OKX22 = "okx/btcusdt-books-2026-08-24.jsonl.gz", "okx/multi-2022-05-13-with-rest.jsonl.gz"
OKX21A, OKX21B = "okx/multi-2021-07-22-conn1.jsonl.gz", "okx/multi-2021-07-22-conn2.jsonl.gz"

# The recordings' README, per file: instruments, market-data frames, trades, comparisons with bookTicker.
# Frames are its channel counts without klines, OKX tickers, replies and requests.
EXPECTED = {
    BTC8: (1, 41249, 9757, 564),
    MULTI_SPOT: (4, 177 + 84 + 4 + 2, 2, 26),
    NEXO23: (1, 1804, 178, 131),
    BTC4: (1, 13384, 2197, 310),
    USDM8: (1, 93954, 21313, 629),
    ETH18: (1, 14003, 1640, 281),
    MULTI_USDM: (4, 764 + 613 + 91 + 4, 91, 50),
    BYBIT1: (1, 2354, 0, 0),
    BYBIT: (4, 1598 + 758 + 102, 327, 0),
    OKX26: (1, 7, 0, 0),
    OKX21A: (10, 1504 + 36, 36, 0),
    OKX21B: (10, 1446 + 36, 36, 0),
    OKX22: (3, 290 + 74, 74, 0),
}
# Its table of recordings read in sequence: comparisons with bookTicker, depth events applied.
CONTINUED = {
    (BTC8, BTC9): (1072, 6493),
    (ETH18, ETH19): (834, 8924),
    (BTC4, BTC5): (1565, 16110),
    (NEXO23, NEXO24): (12198, 68182),
}


def replay(*names: str | Path, **options) -> dict:
    paths = [frames.recording(x) if isinstance(x, str) else x for x in names]
    return replay_command(paths, **options).to_json()


def total(rows: list[dict], name: str) -> int:
    return sum(x[name] for x in rows)


def in_form_b(name: str, path: Path) -> Path:
    """A recording as `receive-ns raw-frame` lines; what the client did has no place in it."""
    lines = [x for x in frames.rows(name) if x["channel"] not in ("connect", "request")]
    data = "".join(f"{x['t']} {x['raw']}\n" for x in lines).encode()
    if path.suffix == ".gz":
        data = gzip.compress(data, 1)
    elif path.suffix == ".zst":
        data = zstandard.compress(data, 1)
    path.write_bytes(data)
    return path


def written(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(x) + "\n" for x in rows))
    return path


# ---- what the recordings are known to hold ----


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recording_gives_what_its_readme_says(name):
    instruments, handled, trades, compared = EXPECTED[name]
    [file] = replay(name)["files"]
    rows = file["instruments"]
    assert len(rows) == instruments
    assert [total(rows, x) for x in ("frames", "trades", "bbo_compared")] == [handled, trades, compared]
    assert [total(rows, x) for x in ("gaps", "resyncs", "bbo_different", "crossed")] == [0, 0, 0, 0]
    assert all(x["synced"] for x in rows)
    assert file["bad"] == 0


@pytest.mark.parametrize("names", CONTINUED, ids=lambda x: x[0].partition(".")[0])
def test_a_file_that_continues_another_goes_on_with_its_book(names):
    recordings = [Recording(frames.recording(x)) for x in names]
    run = Run(survey(recordings, None, None), is_quoting=False)
    for recording, of_file in zip(recordings, run.survey.files, strict=True):
        run.file(recording, of_file)
    [book] = run.engine.books
    assert (book.compared, book.updates) == CONTINUED[names]
    assert (book.different, book.gaps, book.resyncs, book.crossings) == (0, 0, 0, 0)
    assert [x.instruments[0].synced for x in run.results] == [True, True]
    assert sum(x.instruments[0].bbo_compared for x in run.results) == book.compared
    assert [x.bad for x in run.results] == [0, 0]


@pytest.mark.parametrize("name", [BTC9, BTC5, ETH19, NEXO24])
def test_a_file_without_a_snapshot_never_becomes_synced_alone(name):
    result = replay(name)
    [row] = result["files"][0]["instruments"]
    assert (row["synced"], row["bid"], row["ask"], row["bid_levels"], row["gaps"]) == (
        False,
        None,
        None,
        0,
        0,
    )
    assert row["frames"] > 50_000
    assert result["paper"]["orders"] == 0, "an unsynced book must not be traded on"


# ---- the twin ----


class Watched(Recording):
    """A recording that stops at `points` (frame counts) to let somebody look."""

    def __init__(self, path: Path, points: set[int], look):
        super().__init__(path)
        self.points, self.look = points, look

    def batches(self) -> Iterator[list[Line]]:
        number = 0
        for batch in super().batches():
            part: list[Line] = []
            for line in batch:
                part.append(line)
                number += 1
                if number in self.points:
                    yield part
                    self.look(part)
                    part = []
            if part:
                yield part
                self.look(part)


def compare(names: list[str], points: int = 100) -> int:
    """Replay with a twin beside it; returns how many books were compared."""
    paths = [frames.recording(x) for x in names]
    counts = [sum(1 for _ in frames.rows(x)) for x in names]
    rng = random.Random(",".join(names))
    chosen = [set(rng.sample(range(1, n + 1), min(points, n))) | {n} for n in counts]
    run = Run(survey([Recording(x) for x in paths], None, None))
    only = next(iter(run.survey.seen))
    naive = twin.Twin(only=f"{Path(names[0]).parent.name}:{only[1]}")
    compared = 0

    def look(lines: list[Line]) -> None:
        nonlocal compared
        for line in lines:
            naive.feed({"venue": line.venue, "channel": line.channel, "raw": line.raw, "url": line.url or ""})
        for book in run.dump()["books"]:
            model = naive.books.get(book["id"])
            assert (book["state"] == "synced") == (model is not None and model.synced)
            if model is not None and model.synced:
                bids, asks = model.levels()
                assert book["bids"] == bids
                assert book["asks"] == asks
                assert not (bids and asks) or Decimal(bids[0][0]) < Decimal(asks[0][0])
                compared += 1

    for i, path in enumerate(paths):
        run.file(Watched(path, chosen[i], look), run.survey.files[i])
    for row in run.results[-1].instruments:
        model = naive.books[row.id]
        assert row.book_hash == book_hash(*model.levels())
        assert model.gaps == 0
    return compared


@pytest.mark.parametrize("name", [x for x in EXPECTED if x != USDM8])
def test_books_equal_a_naive_twin_at_the_end_and_at_100_random_points(name):
    assert compare([name]) >= min(7, EXPECTED[name][1] // 2)


@pytest.mark.soak
@pytest.mark.parametrize("names", [*CONTINUED, (USDM8,)], ids=lambda x: x[0].partition(".")[0])
def test_the_largest_recordings_equal_a_naive_twin(names):
    assert compare(list(names)) > 150 * (len(names) - 1)


# ---- determinism ----


@pytest.mark.parametrize(
    ("name", "suffix"), [(NEXO23, ".gz"), (ETH18, ".zst"), (BYBIT, ".zst"), (OKX22, ".txt")]
)
def test_both_forms_of_a_recording_give_the_same_result(tmp_path, name, suffix):
    [one], [two] = replay(name)["files"], replay(in_form_b(name, tmp_path / f"b{suffix}"))["files"]
    for x in (one, two):
        del x["file"]
    assert one == two


def test_two_processes_with_different_hash_seeds_give_the_same_hashes():
    names = [str(frames.recording(x)) for x in (NEXO23, MULTI_USDM, BYBIT, OKX22)]
    outputs = set()
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "node.cli", "replay", "--json", *names]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, env={**os.environ, "PYTHONHASHSEED": seed}, check=True
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1
    hashes = [x["order_hash"] for x in json.loads(outputs.pop())["files"]]
    assert len(set(hashes)) == 4


def test_every_venue_quotes_and_understands_the_answers():
    names = [NEXO23, MULTI_USDM, BYBIT1, BYBIT, OKX22, OKX26]
    recordings = [Recording(frames.recording(x)) for x in names]
    run = Run(survey(recordings, None, None))
    for recording, of_file in zip(recordings, run.survey.files, strict=True):
        run.file(recording, of_file)
    counts = run.paper.counts()
    assert counts["fills"] > 10
    assert counts["orders"] > 150
    engine = run.engine
    # no order was refused; a cancel may come too late (quotes are taken back when a book is lost)
    assert engine.orders.state_counts().get("REJECTED", 0) == 0
    assert counts["rejects"] <= counts["cancels"] // 20
    assert engine.risk.latched == 0
    assert [(x.name, x.last_error) for x in engine.lines if x.bad] == []
    assert engine.orders.foreign == 0
    assert len({x.order_hash for x in run.results}) == len(names)
    filled = {i: engine.account.position(i)["fills"] for i in range(len(run.rows))}
    assert sum(filled.values()) == counts["fills"], "each fill is booked, and once"


def test_a_book_hash_does_not_depend_on_the_tick(tmp_path):
    given = tmp_path / "fine.toml"
    given.write_text(
        'instruments = [{market = "binance-spot", symbol = "NEXOUSDT", tick = "0.00001", lot = "0.0001"}]'
    )
    [coarse], [fine] = replay(NEXO23)["files"], replay(NEXO23, instruments=given)["files"]
    assert fine["instruments"][0]["tick"] == "0.00001"
    for name in ("book_hash", "bid", "ask", "bid_size", "ask_levels"):
        assert coarse["instruments"][0][name] == fine["instruments"][0][name]


# ---- what must not be trusted ----


def test_dropping_one_depth_event_gives_exactly_one_gap_and_no_book(tmp_path):
    rows = list(frames.rows(ETH18))
    depth = [i for i, x in enumerate(rows) if "@depth" in x["channel"]]
    del rows[depth[len(depth) // 2]]
    [row] = replay(written(tmp_path / "x.jsonl", rows))["files"][0]["instruments"]
    assert (row["gaps"], row["resyncs"], row["synced"], row["bid"], row["ask"]) == (1, 0, False, None, None)
    assert row["bbo_different"] == 0


def test_a_lost_bybit_delta_is_a_gap_and_the_next_snapshot_mends_it(tmp_path):
    rows = list(frames.rows(BYBIT))
    books = [i for i, x in enumerate(rows) if x["channel"] == "orderbook.200.BTCUSDT"]
    snapshot = dict(rows[books[0]], t=None)
    rows.append(snapshot)
    del rows[books[50]]
    found = {x["id"]: x for x in replay(written(tmp_path / "x.jsonl", rows))["files"][0]["instruments"]}
    btc = found.pop("bybit-linear:BTCUSDT")
    assert (btc["gaps"], btc["resyncs"], btc["synced"]) == (1, 1, True)
    assert all(x["gaps"] == 0 for x in found.values())


def test_a_wrong_checksum_makes_an_okx_book_unusable(tmp_path):
    rows = list(frames.rows(OKX22))
    at = [i for i, x in enumerate(rows) if x["channel"] == "books:BTC-USDT"][20]
    message = json.loads(rows[at]["raw"])
    message["data"][0]["checksum"] += 1
    rows[at]["raw"] = json.dumps(message)
    found = {x["id"]: x for x in replay(written(tmp_path / "x.jsonl", rows))["files"][0]["instruments"]}
    assert (found["okx:BTC-USDT"]["gaps"], found["okx:BTC-USDT"]["synced"]) == (1, False)
    assert found["okx:UNI-USD-SWAP"]["synced"]


def test_a_malformed_frame_is_counted_and_changes_nothing(tmp_path):
    rows = list(frames.rows(NEXO23))
    trade = next(i for i, x in enumerate(rows) if x["channel"].endswith("@trade"))
    rows.insert(trade, dict(rows[trade], raw=rows[trade]["raw"][:-5]))
    rows.insert(trade, dict(rows[trade], raw=""))
    [good], [file] = replay(NEXO23)["files"], replay(written(tmp_path / "x.jsonl", rows))["files"]
    assert file["bad"] == 2
    assert file["instruments"] == good["instruments"]


def test_a_file_of_another_day_starts_with_an_empty_book_and_no_gap():
    late, early, again = replay(ETH18, MULTI_USDM, ETH18)["files"]
    assert early["instruments"][0]["gaps"] == 0
    for name in ("frames", "levels", "trades", "gaps", "synced", "bbo_compared", "book_hash"):
        assert late["instruments"][0][name] == again["instruments"][0][name]


def test_an_older_file_behind_a_newer_one_is_read_as_if_alone():
    newer, older = replay(USDM8, BTC4)["files"]
    [alone] = replay(BTC4)["files"]
    assert older["instruments"] == alone["instruments"]
    assert newer["instruments"][0]["synced"]
    assert older["order_hash"] != alone["order_hash"], "orders carry the time and their number in the run"


def test_the_second_part_before_the_first_leaves_the_first_as_it_is():
    second, first = replay(BTC9, BTC8)["files"]
    assert second["instruments"][0]["synced"] is False
    assert (first["instruments"][0]["synced"], first["instruments"][0]["bbo_compared"]) == (True, 564)


def test_a_gap_is_a_gap_at_once_however_many_instruments_have_snapshots(tmp_path):
    rows: list[dict] = []
    for i in range(60):
        symbol, venue = f"C{i}USDT", USDM if i == 59 else SPOT
        channel = f"{symbol.lower()}@depth"
        url = f"https://x/api/v3/depth?symbol={symbol}"
        snapshot = {"lastUpdateId": 1, "bids": [["1", "1"]], "asks": [["2", "1"]]}
        rows.append({"venue": venue, "channel": "rest:depth", "url": url, "raw": json.dumps(snapshot)})
        for update_id in (2, 3, 9):
            data = {
                "e": "depthUpdate",
                "E": 1,
                "s": symbol,
                "U": update_id,
                "u": update_id,
                "pu": update_id - 1,
            }
            frame = {"stream": channel, "data": data | {"b": [["1.5", str(update_id)]], "a": []}}
            rows.append({"venue": venue, "channel": channel, "raw": json.dumps(frame)})
    found = replay(written(tmp_path / "x.jsonl", [{"t": 10**18} | x for x in rows]))["files"][0][
        "instruments"
    ]
    assert len(found) == 60
    assert [(x["id"], x["levels"]) for x in found if x["gaps"] != 1 or x["synced"]] == []


# ---- time ----


def test_time_never_goes_backwards_and_missing_times_are_made_up(tmp_path):
    rows = list(frames.rows(NEXO23))
    for i, row in enumerate(rows):
        row["t"] = None if i % 3 == 0 else row["t"] - (i % 7) * 10**9
    recording = Recording(written(tmp_path / "x.jsonl", rows))
    run = Run(survey([recording], None, None))
    times: list[int] = []
    run.engine.ask_resync = lambda instrument, reason: None
    plain = run.paper.pump
    run.paper.pump = lambda answer, now_ns: (times.append(now_ns), plain(answer, now_ns))[1]
    run.file(recording, run.survey.files[0])
    assert times == sorted(times)
    assert len(times) > 1000, "the timer fires every 100 ms"
    assert run.results[0].instruments[0].synced


def test_frames_without_any_time_still_move_it(tmp_path):
    rows = [dict(x, t=None) for x in frames.rows(BYBIT1)]
    run = Run(survey([recording := Recording(written(tmp_path / "x.jsonl", rows))], None, None))
    run.file(recording, run.survey.files[0])
    assert 1731073195585 * 10**6 <= run.now_ns < 1731073400000 * 10**6


# ---- dumps ----


@pytest.mark.parametrize("at", [1, 2500, 41249])
def test_at_dumps_the_books_after_so_many_frames(at):
    result = replay(BTC8, at=at)
    naive = twin.feed_all(twin.Twin(only="binance-spot:BTCUSDT"), frames.rows(BTC8, at)).books[
        "binance-spot:BTCUSDT"
    ]
    [book] = result["at"]["books"]
    assert result["at"]["frames"] == at
    assert (book["state"] == "synced") == naive.synced == (at > 1)
    if naive.synced:
        assert (book["bids"], book["asks"]) == naive.levels()
    [file] = result["files"]
    assert total(file["instruments"], "frames") == at


def test_at_counts_over_all_files_and_stops_there():
    files = replay(NEXO23, ETH18, at=1804 + 10)["files"]
    assert [total(x["instruments"], "frames") for x in files] == [1804, 10]
    assert len(replay(NEXO23, ETH18, at=1804)["files"]) == 1


@pytest.mark.parametrize(("at", "why"), [(0, "at least 1"), (1805, "have 1804 frames")])
def test_an_at_outside_the_recording_is_refused(at, why):
    with pytest.raises(UserError, match=why):
        replay(NEXO23, at=at)


# ---- bad input, at the command ----


def command(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "node.cli", "replay", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_recording_that_is_cut_off_is_replayed_up_to_there_and_says_so(tmp_path):
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(frames.recording(NEXO23).read_bytes()[:-1000])
    result = replay(cut)
    assert 1000 < total(result["files"][0]["instruments"], "frames") < 1804
    assert f"{cut}: the gzip data is cut off at its end: read up to there" in result["notes"]


def test_one_bad_file_of_several_is_named_with_its_place_and_the_others_are_replayed(tmp_path):
    """Bad from the start, and bad in the middle, behind lines that were learnt from."""
    good = [tmp_path / f"good{i}.jsonl" for i in range(2)]
    rows = [plain_line(i, 90 + 11 * i) for i in range(4)]
    for path in good:
        path.write_text("".join(rows))
    empty, bad, binary = (tmp_path / x for x in ("empty.jsonl", "bad.jsonl", "binary"))
    empty.touch()
    bad.write_text("".join(rows[:2]).replace("BTCUSDT", "ETHUSDT") + "nonsense\n" + rows[2])
    binary.write_bytes(bytes(range(256)) * 50)
    done = command(*map(str, (empty, good[0], bad, binary, good[1])), "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert [x["file"] for x in told["files"]] == [str(x) for x in good]
    assert [x["id"] for x in told["files"][0]["instruments"]] == ["binance-usdm:BTCUSDT"]
    assert [x.split(":")[0] for x in told["refused"]] == [str(empty), str(binary), str(bad)]
    assert told["refused"][2].startswith(f"{bad}: line 3: ")
    alone = command(*map(str, good), "--json")
    assert json.loads(alone.stdout)["files"] == told["files"]
    assert json.loads(done.stderr)["error"] == f"3 of 5 not replayed: {empty}: is empty"
    done = command(str(empty), str(bad))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert str(empty) in done.stderr
    assert f"{bad}: line 3" in done.stderr


def plain_line(n: int, first: int) -> str:
    """A line of a recording, as JSON: an update of a book of Binance USD-M."""
    update = {
        "e": "depthUpdate",
        "E": 1,
        "T": 1,
        "s": "BTCUSDT",
        "U": first,
        "u": first + 10,
        "pu": first - 1,
    }
    raw = json.dumps(update | {"b": [["59999.0", "1.000"]], "a": []})
    return json.dumps({"t": 10**18 + n, "venue": "binance-usdm", "channel": "depth", "raw": raw}) + "\n"


def test_bad_input_is_one_line_and_exit_code_2(tmp_path):
    for arguments, words in (
        ([str(tmp_path / "none.gz")], "no such file"),
        ([str(tmp_path)], "there is no tape in this directory"),
        (["--instruments", str(tmp_path / "none.toml"), str(frames.recording(NEXO23))], "no such file"),
    ):
        done = command(*arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert words in done.stderr
        assert str(tmp_path) in done.stderr


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            'market = "binance-spot", symbol = "NEXOUSDT", tick = "0.01", lot = "0.01"',
            r"tick 0.01 does not fit bid price 1.188",
        ),
        (
            'market = "binance-spot", symbol = "NEXOUSDT", tick = "0.001", lot = "10"',
            r"lot 10 does not fit bid size",
        ),
        (
            'market = "binance-usdm", symbol = "NEXOUSDT", tick = "0.001", lot = "10"',
            r"binance-spot:NEXOUSDT is missing",
        ),
    ],
)
def test_wrong_instruments_are_one_line_that_names_file_instrument_field_and_value(tmp_path, row, words):
    given = tmp_path / "wrong.toml"
    given.write_text(f"instruments = [{{{row}}}]")
    with pytest.raises(UserError, match=f"wrong.toml: .*{words}"):
        replay(NEXO23, instruments=given)


def test_a_state_that_was_never_synced_has_no_levels_in_its_result():
    assert book_hash([], []) == "cae66941d9efbd404e4d88758ea67670"
    assert BookState.SYNCED == 2


def test_an_event_time_beyond_any_sense_is_not_a_time(tmp_path):
    trade = '{"e":"trade","E":9999999999999999,"T":1,"s":"BTCUSDT","t":1,"p":"1","q":"1","m":true}'
    row = {"t": None, "venue": "binance-usdm", "channel": "btcusdt@trade", "raw": trade}
    (tmp_path / "rec.jsonl").write_text(json.dumps(row) + "\n")
    result = replay_command([tmp_path / "rec.jsonl"]).to_json()
    assert len(result["files"]) == 1


def test_each_file_of_a_run_follows_the_depth_channel_that_it_has():
    """One file has Bybit's level 1 only, the other 200 levels: together they are what each is alone."""
    names = ("bybit/btcusdt-ob1-2024-11-08.jsonl.gz", "bybit/linear-2026-08-09-with-rest.jsonl.gz")
    together = replay_command([frames.recording(x) for x in names]).to_json()["files"]
    for name, both in zip(names, together, strict=True):
        [alone] = replay_command([frames.recording(name)]).to_json()["files"]
        keys = ("id", "levels", "synced", "book_hash", "gaps")
        wanted = {x["id"]: [x[k] for k in keys] for x in alone["instruments"]}
        found = {x["id"]: [x[k] for k in keys] for x in both["instruments"]}
        assert {k: found[k] for k in wanted} == wanted

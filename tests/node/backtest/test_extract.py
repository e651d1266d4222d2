"""Market data out of a tape replays to the books that the node had."""

import gzip
import re
from pathlib import Path

import pytest

from ext.book import BookState
from ext.engine import LineKind
from ext.tape import TapeWriter
from node.backtest.extract import _Extraction, extract
from node.backtest.instruments import survey
from node.backtest.replay import Run
from node.backtest.sources import Recording
from node.errors import Failed, UserError
from node.sim.memory import SEC, START_NS, World
from node.soak import soak_config


def ran(folder: Path, runs: int = 1) -> World:
    """A node on all markets for some seconds, with a tape."""
    folder.mkdir(exist_ok=True)
    for number in range(runs):
        tape = TapeWriter(str(folder), now_ns=START_NS + number * 100 * SEC, segment_size=1 << 20)
        world = World(soak_config(), seed=3, tape=tape, start_ns=START_NS + number * 100 * SEC)
        world.run_for(3 * SEC)
        tape.close(world.now_ns)
    return world


def replayed(path: str) -> Run:
    recording = Recording(Path(path))
    found = survey([recording], None, None)
    run = Run(found, is_quoting=False)
    run.file(recording, found.files[0])
    return run


def test_what_comes_out_of_a_tape_gives_the_books_of_the_node(tmp_path):
    world = ran(tmp_path / "tape")
    told = extract(tmp_path / "tape", tmp_path / "out")
    numbers, seen = world.desk.numbers, set()
    assert told["frames"] > 200
    for path in told["files"]:
        run = replayed(path)
        assert run.results[0].bad == 0
        assert sum(x.gaps for x in run.results[0].instruments) == 0
        for sighting in run.sightings:
            book, truth = run.engine.books[sighting.index], world.engine.books[numbers[sighting.key]]
            assert (book.state, truth.state) == (BookState.SYNCED, BookState.SYNCED)
            assert (book.bids(), book.asks()) == (truth.bids(), truth.asks())
            assert sighting.source == "recording"
            seen.add(sighting.key)
    assert seen == set(numbers)


def test_each_run_begins_a_file(tmp_path):
    ran(tmp_path / "tape", runs=2)
    told = extract(tmp_path / "tape", tmp_path / "out", form="raw", pack="gz")
    names = [Path(x).name.removesuffix(".txt.gz") for x in told["files"]]
    markets = sorted({x.removesuffix("-2").rpartition("-")[0] for x in names})
    assert len(names) == 2 * len(markets) == len(set(names))


def test_what_is_no_tape_or_damaged_is_named(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(UserError, match="no tape there"):
            extract(path, tmp_path / "out")
    TapeWriter(str(tmp_path), now_ns=START_NS, segment_size=1 << 16).close(START_NS)
    with pytest.raises(UserError, match="no market data in it"):
        extract(tmp_path, tmp_path / "out")
    ran(tmp_path / "tape")
    segment = min((tmp_path / "tape").glob("*.tape"))
    data = bytearray(segment.read_bytes())
    data[len(data) // 4] ^= 1
    segment.write_bytes(data)
    with pytest.raises(Failed, match=str(tmp_path / "tape")):
        extract(tmp_path / "tape", tmp_path / "out")
    assert list((tmp_path / "out").glob("*.jsonl.zst"))  # what stands in front of the damage


def written(run: _Extraction) -> list[str]:
    """Frames like {"old":1} in the one file, and marks of a lost line, in their order."""
    (path,) = run.files
    text = gzip.decompress(Path(path).read_bytes()).decode().replace("\\", "")
    return [" ".join(filter(None, x)) for x in re.findall(r'"(old|new)":(\d)|"event:(lost)"', text)]


def test_a_line_that_was_replaced_is_written_as_one_and_what_a_laggard_brought_late_is_left_out(tmp_path):
    def channels(market: str) -> list[str]:
        run = _Extraction(tmp_path / market, "json", "gz")
        names = [f"{market} feed A", f"{market} feed A spare"]
        told = {"lines": [{"name": x, "kind": LineKind.MARKET_LINE} for x in names], "instruments": []}
        run.begin(told, START_NS)
        run.turned(0, True, START_NS)
        run.frame(0, b'{"old":1}', START_NS + 1)
        run.turned(1, True, START_NS + 2)
        run.frame(1, b'{"new":1}', START_NS + 3)
        run.frame(0, b'{"old":2}', START_NS + 4)
        run.turned(0, False, START_NS + 5)
        run.frame(1, b'{"new":2}', START_NS + 6)
        run.end()
        return written(run)

    # a snapshot of the stream begins the new one: what the old one brings behind it would be a gap
    assert channels("okx") == ["old 1", "new 1", "new 2"]
    # books that start from a request go by numbers: a copy more does no harm, one less would
    assert channels("binance-spot") == ["old 1", "new 1", "old 2", "new 2"]


def test_a_replacement_that_came_to_nothing_is_told_where_frames_of_the_old_one_were_left_out(tmp_path):
    run = _Extraction(tmp_path, "json", "gz")
    names = ["okx feed A", "okx feed A spare"]
    told = {"lines": [{"name": x, "kind": LineKind.MARKET_LINE} for x in names], "instruments": []}
    run.begin(told, START_NS)
    run.turned(0, True, START_NS)
    run.frame(0, b'{"old":1}', START_NS + 1)
    run.turned(1, True, START_NS + 2)
    run.turned(1, False, START_NS + 3)
    run.frame(0, b'{"old":2}', START_NS + 4)
    run.end()
    assert written(run) == ["old 1", "lost", "old 2"]

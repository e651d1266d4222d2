"""The list of segments."""

import os
import shutil
import time

import archives
import pytest

from node.slow.listing import listed
from node.synced import DISK, MEMORY, SyncedPage


@pytest.fixture
def tape(tmp_path):
    archives.write(tmp_path, 60)
    archives.settle(archives.archive_of(tmp_path))
    archives.write(tmp_path, 3, close=False)
    return tmp_path


def of(tape):
    return listed(tape, tape / "archive")


def test_each_segment_says_where_it_is_and_what_is_in_it(tape):
    rows = of(tape)
    assert [x["index"] for x in rows] == list(range(len(rows)))
    assert [x["where"] for x in rows] == ["archived"] * (len(rows) - 3) + ["live and archived"] * 2 + ["live"]
    assert rows[0]["first"] == 1
    assert [x["first"] for x in rows[1:]] == [x["last"] + 1 for x in rows[:-1]]
    assert {(x["session"], x["build"]) for x in rows} == {("one", "two")}
    assert rows[-1]["closed"] is None
    assert all(x["closed"] and x["bytes"] > x["archived_bytes"] > 0 for x in rows[:-1])


def test_durable_is_what_the_archiver_says(tape):
    rows = of(tape)
    assert [x["durable"] for x in rows[-2:]] == ["yes", ""], "in the archive; nobody knows"
    page = SyncedPage(tape, time.monotonic_ns(), DISK)
    first, last = rows[-1]["first"], rows[-1]["last"]
    for sequence, told in ((first - 1, "no"), (first, "partly"), (last, "yes")):
        page.set(1, sequence=sequence)
        assert of(tape)[-1]["durable"] == told
    page = SyncedPage(tape, time.monotonic_ns(), MEMORY)
    page.set(1, sequence=last)
    assert of(tape)[-1]["durable"] == "no", "no fsync makes memory durable"


def test_what_is_retired_or_missing_is_listed_too(tape):
    archives.write(tape, 100)
    archives.settle(archives.archive_of(tape, keep_bytes=1))
    where = [x["where"] for x in of(tape)]
    assert where[0] == "retired"
    assert where[-1] == "live and archived"
    for path in (tape / "archive").glob("*.zst"):
        path.unlink()
    assert "missing" not in [x["where"] for x in of(tape)]
    for path in tape.glob("*.tape"):
        path.unlink()
    assert of(tape)[-1]["where"] == "missing"


def test_an_archive_alone_is_listed(tape):
    assert {x["where"] for x in listed(None, tape / "archive")} == {"archived"}
    assert listed(None, tape / "nowhere") == []


def test_a_pipe_that_is_named_like_a_segment_is_not_waited_for(tape):
    before = of(tape)
    os.mkfifo(tape / "00000099.tape")
    assert of(tape) == before


def test_what_a_tape_left_when_it_was_put_back_is_listed_behind_the_rest(tape):
    backup = {x: x.read_bytes() for x in tape.glob("*.tape")}
    archives.write(tape, 100)
    archives.settle(archives.archive_of(tape, fold=None))
    newest = max(tape.glob("*.tape"))
    for path in tape.glob("*.tape"):
        path.unlink()
    for path, raw in backup.items():
        path.write_bytes(raw)
    archives.write(tape, 10, size=200, now_ns=7)
    archives.settle(archives.archive_of(tape, fold=None))
    rows = of(tape)
    number = next(i for i, x in enumerate(rows) if x["history"] == "fork-0001")
    assert [x["index"] for x in rows[: number + 1]] == list(range(number + 1))
    assert (rows[-1]["index"], rows[-1]["history"], rows[-1]["where"]) == (int(newest.stem), "", "archived")
    assert {x["history"] for x in listed(None, tape / "archive" / "fork-0001")} == {"", "fork-0001"}
    assert {x["history"] for x in listed(None, tape / "archive")} == {"", "fork-0001"}


def test_of_a_tape_that_was_put_back_the_newest_segment_is_told_as_it_is(tmp_path):
    tape = tmp_path / "tape"
    archives.write(tape, 50, close=False)
    shutil.copytree(tape, tmp_path / "backup")
    archives.write(tape, 50)
    archives.settle(archives.archive_of(tape))
    archives.put_back(tape, tmp_path / "backup")
    rows = of(tape)
    assert [(x["index"], x["last"], x["where"]) for x in rows[:2]] == [
        (0, 31, "live and archived"),
        (1, 50, "live and archived"),
    ]
    assert (rows[1]["closed"], rows[0]["closed"] is None) == (None, False)
    assert [x["where"] for x in rows[2:]] == ["archived"] * 2, "what is ahead of it"

"""The list of segments."""

import os
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

"""The page of what is durable: what the archiver writes is what a node reads, field by field."""

import os
import struct
import subprocess

import pytest

from node.beat import started_of
from node.synced import DISK, LAYOUT, MAGIC, NAME, SyncedPage, read_synced


def test_what_is_written_is_what_is_read(tmp_path):
    page = SyncedPage(tmp_path, 5, DISK)
    page.set(9, sequence=2**63, lag_ns=7, suspect=1, archived=11, waiting=3)
    found = read_synced(tmp_path)
    assert (found.sequence, found.lag_ns, found.suspect, found.at_ns) == (2**63, 7, True, 9)
    assert (found.archived, found.waiting, found.level, found.pid) == (11, 3, DISK, os.getpid())
    assert found.started == started_of(os.getpid())
    assert found.is_alive
    page.close()


def test_the_fields_lie_where_the_layout_says(tmp_path):
    page = SyncedPage(tmp_path, 5, DISK)
    page.set(9, sequence=1, lag_ns=-2, suspect=1)
    raw = (tmp_path / NAME).read_bytes()
    assert len(raw) == LAYOUT.size == 64
    assert struct.unpack_from("=QqIIq", raw, 8) == (1, -2, 1, os.getpid(), 9)
    page.close()


def test_an_archiver_that_says_nothing_more_leaves_a_lag_that_grows(tmp_path):
    page = SyncedPage(tmp_path, 100, DISK)
    page.set(1000, lag_ns=50)
    assert read_synced(tmp_path).age_ns(1200) == 250
    assert read_synced(tmp_path).age_ns(900) == 50, "a clock of before it was written adds nothing"
    page.close()


def test_a_page_of_a_process_that_is_gone_is_not_alive(tmp_path):
    process = subprocess.Popen(["true"])
    row = LAYOUT.pack(MAGIC, 1, 0, 0, process.pid, 1, started_of(process.pid), 0, DISK, 0)
    process.wait()
    (tmp_path / NAME).write_bytes(row)
    assert not read_synced(tmp_path).is_alive


@pytest.mark.parametrize("raw", [None, b"", b"x" * 64, MAGIC])
def test_a_page_that_cannot_be_read_is_no_page(tmp_path, raw):
    if raw is not None:
        (tmp_path / NAME).write_bytes(raw)
    assert read_synced(tmp_path) is None

"""Recordings on disk: packed, rotated, exact, and whole up to the last flush."""

import errno
import gzip
import os
import subprocess

import orjson
import pytest
import zstandard

from node import reel
from node.backtest.instruments import read_beside
from node.backtest.sources import Recording, frame_bytes
from node.errors import Failed, cause
from node.reel import HELD_MAX, Reel

NOW = 1_790_000_000 * 10**9
ROW = {"market": "okx", "symbol": "BTC-USDT", "tick": "0.1", "lot": "0.00001", "inst_code": 7}
FRAME = b'{"arg":{"channel":"books","instId":"BTC-USDT"},"data":[]}'


def made(folder, **more) -> Reel:
    out = Reel(folder / "out", "okx", [ROW], **more)
    out.turn(NOW)
    return out


def read(path) -> list:
    return [x for batch in Recording(path).batches() for x in batch]


@pytest.mark.parametrize(("pack", "suffix"), [("zst", ".jsonl.zst"), ("gz", ".jsonl.gz"), ("none", ".jsonl")])
def test_lines_come_back_as_they_were_put_with_everything_around_them(tmp_path, pack, suffix):
    out = made(tmp_path, pack=pack)
    out.connected(NOW, "wss://ws.okx.com")
    out.put(NOW + 1, "request", b'{"op":"subscribe"}', sent=True)
    out.put(NOW + 2, "books:BTC-USDT", FRAME)
    out.put(NOW + 3, "rest:/x/depth", b'{\n "bids": []\r\n}', url="http://h/x/depth?symbol=A")
    out.mark(NOW + 4, "lost", {"line": "feed A"})
    out.close()
    assert out.path.name == "okx-20260921T141320Z" + suffix
    begin, *rest = read(out.path)
    assert (begin.channel, begin.venue) == ("event:begin", "okx")
    assert [(x.t - NOW, x.channel, frame_bytes(x), x.dir, x.url) for x in rest] == [
        (0, "connect", b"wss://ws.okx.com", None, None),
        (1, "request", b'{"op":"subscribe"}', "send", None),
        (2, "books:BTC-USDT", FRAME, None, None),
        (3, "rest:/x/depth", b'{\n "bids": []\r\n}', None, "http://h/x/depth?symbol=A"),
        (4, "event:lost", b'{"line":"feed A"}', None, None),
    ]
    assert out.written == out.path.stat().st_size


def test_each_flush_is_a_frame_of_its_own_and_common_tools_read_it(tmp_path):
    for pack, opened in (("zst", None), ("gz", gzip.decompress)):
        out = made(tmp_path / pack, pack=pack)
        for i in range(5):
            out.put(NOW + i, "books:BTC-USDT", FRAME)
            out.flush()
            assert len(read(out.path)) == i + 2
        data = out.path.read_bytes()
        text = (
            opened(data)
            if opened is not None
            else zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
        )
        assert text.count(b"\n") == 6
        out.close()


def test_what_waits_to_be_packed_is_bounded(tmp_path):
    out = made(tmp_path)
    before = out.size
    out.put(NOW, "books:BTC-USDT", FRAME + b" " * HELD_MAX)
    assert out.size > before  # flushed at once
    assert len(out._held) == 0
    out.close()


def test_the_next_file_never_takes_the_place_of_another_and_has_its_instruments(tmp_path):
    out = made(tmp_path)
    out.turn(NOW)
    out.turn(NOW)
    out.close()
    assert [x.name.partition(".")[0] for x in out.files] == [
        "okx-20260921T141320Z",
        "okx-20260921T141320Z-2",
        "okx-20260921T141320Z-3",
    ]
    for path in out.files:
        [(key, row)] = read_beside(path).items()
        assert (key[1], row.tick, row.lot, row.inst_code) == ("BTC-USDT", "0.1", "0.00001", 7)


def test_bytes_that_are_no_text_are_kept_beside_the_frames(tmp_path):
    out = made(tmp_path)
    out.put(NOW, "books:BTC-USDT", b'{"a":"\x80"}')
    out.close()
    assert out.odd == 1
    assert read(out.path)[1].channel == "event:base64"


def test_the_raw_form_has_one_frame_a_line_and_nothing_that_was_not_received(tmp_path):
    out = made(tmp_path, form="raw", pack="none")
    out.put(NOW, "request", b"ping", sent=True)
    out.mark(NOW, "lost", {})
    out.put(NOW + 5, "rest:/depth", b'{\n"bids":[]}')
    out.put(NOW + 6, "books:BTC-USDT", b'{"a":"\x80"}')
    out.close()
    assert out.path.read_bytes() == b'%d { "bids":[]}\n%d {"a":"\x80"}\n' % (NOW + 5, NOW + 6)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG])
def test_a_disk_that_takes_no_more_ends_the_file_with_its_last_whole_flush(tmp_path, monkeypatch, number):
    out = made(tmp_path)
    out.put(NOW, "books:BTC-USDT", FRAME)
    out.flush()
    true, calls = os.write, []

    def write(fd, data):
        calls.append(len(data))
        if len(calls) == 2:
            raise OSError(number, os.strerror(number))
        return true(fd, data[:9])

    monkeypatch.setattr(reel.os, "write", write)
    out.put(NOW, "books:BTC-USDT", FRAME * 3)
    with pytest.raises(
        Failed, match=f"{out.path}: {cause(OSError(number, os.strerror(number)))}: recording ends here"
    ):
        out.flush()
    out.close()  # nothing more to do
    assert len(read(out.path)) == 2
    assert out.path.stat().st_size == out.size == out.written


def test_short_writes_are_gone_on_with(tmp_path, monkeypatch):
    true = os.write
    monkeypatch.setattr(reel.os, "write", lambda fd, data: true(fd, data[:3]))
    out = made(tmp_path)
    out.put(NOW, "books:BTC-USDT", FRAME)
    out.close()
    assert len(read(out.path)) == 2


def test_a_recording_is_json_that_anyone_can_read(tmp_path):
    out = made(tmp_path, pack="gz")
    out.put(NOW, "books:BTC-USDT", FRAME)
    out.close()
    text = subprocess.run(["zcat", out.path], capture_output=True, check=True).stdout
    assert orjson.loads(text.splitlines()[-1])["raw"] == FRAME.decode()

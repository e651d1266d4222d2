"""A recording on disk: lines in the form that `tickgate replay` reads, in packed files that each stand alone.

What was flushed is readable whatever becomes of the process: each flush is a zstd frame (a gzip member) of
its own. The disk itself may still be asked to hold it: nothing here is fsynced. Beside each file stands
STEM.instruments.json with the ticks and lots of what is in it, which replay finds by its name.
"""

import base64
import gzip
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson
import zstandard

from node.errors import Failed, cause, of_place

PACKS: dict[str, Callable[[bytes], bytes]] = {
    "zst": lambda data: zstandard.ZstdCompressor(level=3).compress(data),
    "gz": lambda data: gzip.compress(data, 6, mtime=0),
    "none": lambda data: data,
}
FORMS = {"json": ".jsonl", "raw": ".txt"}
HELD_MAX = 1 << 20  # bytes of lines that wait to be packed: more are flushed at once
SIDECAR = ".instruments.json"
Row = dict[str, str | int]


class Reel:
    """Lines of one market. `put` adds one, `flush` makes them last, `turn` begins the next file.

    `rows`: instruments as `node.backtest.instruments` reads them. Form "json" has everything; form "raw" is
    `receive-ns raw-frame`: frames and replies only, and a line break inside a frame, which in JSON can only
    be white space, becomes a blank. Raises UserError where the folder cannot be used, Failed where the disk
    takes no more: then the file ends with its last whole flush.
    """

    def __init__(
        self, folder: Path, market: str, rows: Sequence[Row], *, form: str = "json", pack: str = "zst"
    ):
        self.folder, self.market, self.rows, self.form = folder, market, list(rows), form
        self.pack = PACKS[pack]
        self.suffix = FORMS[form] + ("" if pack == "none" else f".{pack}")
        self.files: list[Path] = []
        self.frames = self.raw_bytes = self.written = 0  # over all files
        self.size = self.began_ns = 0  # of the file that is open
        self.odd = 0  # frames that were no UTF-8 text
        self._held = bytearray()
        self._file = -1

    @property
    def path(self) -> Path:
        return self.files[-1]

    @property
    def sidecars(self) -> list[Path]:
        """The instruments that lie beside each of `files`."""
        return [x.with_name(x.name.removesuffix(self.suffix) + SIDECAR) for x in self.files]

    # ---- files ----

    def turn(self, wall_ns: int) -> None:
        """End the file that is open, if one is, and begin the next, named after the time `wall_ns`."""
        self.close()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self._create(datetime.fromtimestamp(wall_ns // 10**9, UTC).strftime("%Y%m%dT%H%M%SZ"))
        except OSError as error:
            raise of_place(error.filename or self.folder, error) from None
        self.files.append(path)
        self.size, self.began_ns = 0, wall_ns
        self.mark(wall_ns, "begin", {"form": 1, "market": self.market})
        self.flush()

    def _create(self, stamp: str) -> Path:
        """A new file that nobody else has, behind its instruments."""
        number = 1
        while True:
            stem = f"{self.market}-{stamp}" + (f"-{number}" if number > 1 else "")
            path = self.folder / (stem + self.suffix)
            try:
                self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
                break
            except FileExistsError:
                number += 1
        part = self.folder / (stem + SIDECAR + ".part")
        part.write_bytes(orjson.dumps({"instruments": self.rows}, option=orjson.OPT_INDENT_2))
        part.replace(self.folder / (stem + SIDECAR))
        return path

    def close(self) -> None:
        """Flush, and let the file go. Nothing where none is open."""
        if self._file >= 0:
            try:
                self.flush()
            finally:
                self._let_go()

    def _let_go(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    # ---- lines ----

    def put(self, t_ns: int, channel: str, raw: bytes, *, url: str = "", sent: bool = False) -> None:
        """One frame as it came (`sent`: as it went), at `t_ns`; `url`: the request that a reply is of."""
        self.raw_bytes += len(raw)
        self.frames += not sent
        if self.form == "raw":
            if not sent:
                self._held += b"%d %s\n" % (t_ns, raw.replace(b"\r", b" ").replace(b"\n", b" "))
        else:
            self._json(t_ns, channel, raw, {"url": url} if url else {"dir": "send"} if sent else {})
        if len(self._held) > HELD_MAX:
            self.flush()

    def _json(self, t_ns: int, channel: str, raw: bytes, more: dict[str, str]) -> None:
        try:
            text = raw.decode()
        except UnicodeDecodeError:  # no venue sends this: kept, but no decoder is asked
            self.odd += 1
            channel, text = "event:base64", base64.b64encode(raw).decode()
        self._held += orjson.dumps(
            {"t": t_ns, "venue": self.market, "channel": channel, "raw": text} | more,
            option=orjson.OPT_APPEND_NEWLINE,
        )

    def mark(self, t_ns: int, event: str, told: dict) -> None:
        """Something that happened to the recorder: a connection lost, a book asked for anew."""
        if self.form == "json":
            self._json(t_ns, f"event:{event}", orjson.dumps(told), {})

    def connected(self, t_ns: int, url: str) -> None:
        """A connection to `url` stands from here on."""
        if self.form == "json":
            self._json(t_ns, "connect", url.encode(), {})

    def flush(self) -> None:
        """What was put is in the file, and readable, when this returns."""
        if not self._held:
            return
        data = memoryview(self.pack(bytes(self._held)))
        self._held.clear()
        done = 0
        try:
            while done < len(data):
                done += os.write(self._file, data[done:])
        except OSError as error:
            self._cut(error)
        self.size += done
        self.written += done

    def _cut(self, error: OSError) -> None:
        """Half a frame would make a reader stumble: the file ends in front of it."""
        try:
            os.ftruncate(self._file, self.size)
        except OSError:
            whole = "its last lines are cut off"
        else:
            whole = "what was recorded before is whole"
        self._let_go()
        raise Failed(f"{self.path}: {cause(error)}: recording ends here; {whole}") from None

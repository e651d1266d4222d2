"""Segment files as bytes: which there are, live and compressed, what their headers say, packing and
unpacking.

Must not know: what a chain is, or which of them may be deleted.
"""

import hashlib
import os
import re
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import zstandard

FOLDER = "archive"  # in the tape's directory: the archive itself, or a link to where it is
HEADER = struct.Struct("<8sIIQqI12s12sI")  # docs/TAPE.md
MAGIC = b"TKGTAPE1"
ALIGN = 64
SEAL_NS = struct.Struct("<q")
SEAL_NS_AT = 16 - ALIGN  # of a seal, from its end
LIVE = re.compile(r"([0-9]{8})\.tape")
PACKED = re.compile(r"([0-9]{8})\.tape\.zst")
PART = re.compile(r"([0-9]{8})\.tape\.zst\.part")
LEFT = re.compile(r"[0-9]{8}\.tape\.zst\.left(\.[0-9]+)?")
STATE = re.compile(r"([0-9]{8})\.state")
PIECE = 1 << 20
PACKED_PIECE = 64 << 10  # of what is unpacked at once: it may grow a thousand times
LEVEL = 3  # of zstd: raw frames shrink eight times at some hundred MB/s; more costs time and gains little
REASONS = ("closed", "rotated", "after a crash")


class Damaged(ValueError):
    """A compressed file that does not unpack. `offset`: byte in it near which that shows."""

    def __init__(self, offset: int, what: str):
        super().__init__(what)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Header:
    """Of a segment; `lines`: its size / 64."""

    index: int
    first_sequence: int
    opened_ns: int
    lines: int
    session: str
    build: str


@dataclass(frozen=True, slots=True)
class Digest:
    """Of some bytes: how many, and their sha256."""

    size: int
    sha256: str


def name_of(index: int) -> str:
    return f"{index:08d}.tape"


def packed_name_of(index: int) -> str:
    return f"{index:08d}.tape.zst"


def state_name_of(index: int) -> str:
    return f"{index:08d}.state"


def indexed(directory: Path, pattern: re.Pattern[str]) -> dict[int, Path]:
    """Files in `directory` whose whole name is `pattern`, by the number in it, ascending. Empty where there
    is no such directory. Raises OSError."""
    try:
        names = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found = [(m, n) for n in names if (m := pattern.fullmatch(n))]
    return {int(m[1]): directory / n for m, n in found}


def read_header(path: Path) -> Header | None:
    """Of a segment file; None where it was prepared and never started (a node that ends takes that away
    again), or is none: a pipe of that name does not hold us. (Its crc and all else is for
    `ext.tape.inspect`.) Raises OSError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        raw = os.read(fd, HEADER.size) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    finally:
        os.close(fd)
    if len(raw) < HEADER.size:
        return None
    magic, _layout, index, first, opened_ns, lines, session, build, _crc = HEADER.unpack(raw)
    if magic != MAGIC:
        return None
    return Header(index, first, opened_ns, lines, _text(session), _text(build))


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode("ascii", "replace")


def closed_ns(path: Path, end: int) -> int:
    """When a segment was sealed, as its writer was told: of the seal that ends at `end`."""
    with path.open("rb") as file:
        file.seek(end + SEAL_NS_AT)
        return int(SEAL_NS.unpack(file.read(SEAL_NS.size))[0])


def digest(path: Path, size: int | None = None) -> Digest:
    """Of the first `size` bytes of a file; all where left out. Raises OSError."""
    with path.open("rb") as file:
        return _each(file, size, lambda piece: None)


def _each(file: BinaryIO, size: int | None, take: Callable[[bytes], object]) -> Digest:
    told, done = hashlib.sha256(), 0
    while piece := file.read(PIECE if size is None else min(PIECE, size - done)):
        told.update(piece)
        take(piece)
        done += len(piece)
    return Digest(done, told.hexdigest())


def pack(source: Path, size: int, target: Path) -> Digest:
    """Compress the first `size` bytes of `source` into `target`, and have it on the disk. Returns what the
    raw bytes were. Raises OSError."""
    packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, write_content_size=True)
    with source.open("rb") as raw, target.open("wb") as out:
        with packer.stream_writer(out, size=size, closefd=False) as stream:
            found = _each(raw, size, stream.write)
        out.flush()
        os.fsync(out.fileno())
    return found


def unpack(source: Path, target: BinaryIO | None = None) -> Digest:
    """Decompress a whole file into `target` and return what came out. Raises Damaged, OSError."""
    unpacker = zstandard.ZstdDecompressor().decompressobj()
    told, size, offset = hashlib.sha256(), 0, 0
    with source.open("rb") as file:
        while piece := file.read(PACKED_PIECE):
            try:
                out = unpacker.decompress(piece)
            except zstandard.ZstdError as error:
                raise Damaged(offset, str(error)) from None
            told.update(out)
            size += len(out)
            offset += len(piece)
            if target is not None:
                target.write(out)
            if unpacker.eof:
                break
        if not unpacker.eof:
            raise Damaged(offset, "the file ends in the middle")
        if unpacker.unused_data or file.read(1):
            raise Damaged(offset - len(unpacker.unused_data), "bytes after its end")
    return Digest(size, told.hexdigest())


def restore(source: Path, target: Path) -> None:
    """Unpack an archived segment as it lay in the live directory: as long as its header says, zeros behind
    its seal. Raises Damaged, OSError."""
    with target.open("wb") as out:
        unpack(source, out)
    header = read_header(target)
    if header is not None:
        os.truncate(target, max(header.lines * ALIGN, target.stat().st_size))


def set_aside(path: Path) -> Path:
    """Rename a compressed file that is in the way to `.left`, or to `.left.2` and so on: nothing that was set
    aside is overwritten. Returns what it is now. Raises OSError."""
    number, aside = 1, path.with_name(f"{path.name}.left")
    while os.path.lexists(aside):
        number += 1
        aside = path.with_name(f"{path.name}.left.{number}")
    path.rename(aside)
    sync_folder(path.parent)
    return aside


def sync_folder(directory: Path) -> None:
    """Have the names in a directory on the disk. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def newest_in_use(live: dict[int, Path]) -> int:
    """Index of the newest live segment that was started; -1 where there is none. Raises OSError."""
    return next((i for i in reversed(live) if read_header(live[i]) is not None), -1)

"""The hash chain of an archive and its signed checkpoints: lines of JSON in which every byte counts.

`chain.jsonl` has a line for the beginning (of an archive, or of a fork of it), one for each archived
segment in order, and one for each that was retired later. Each line carries the hash of the line before and
its own, and is only taken where its bytes are exactly what this file would write: a flipped bit anywhere
shows. `checkpoints.jsonl` signs the chain as it was at some time: a chain that was cut or written anew no
longer has the head that was signed.
"""

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ext.tape import Problem
from node.slow.segments import sync_folder

CHAIN, CHECKPOINTS = "chain.jsonl", "checkpoints.jsonl"
NOTHING = "0" * 64  # the hash before the first line


class Begin(msgspec.Struct, frozen=True, tag_field="kind", tag="begin", forbid_unknown_fields=True):
    """The first line: where the archive begins."""

    at_ns: int
    first_index: int
    first_sequence: int
    previous: str = NOTHING
    hash: str = ""


class Fork(msgspec.Struct, frozen=True, tag_field="kind", tag="fork", forbid_unknown_fields=True):
    """The first line of a history that leaves another one, in the folder `of` ("" = the archive itself),
    behind the segment of which the line has the hash `after`; NOTHING: behind none that is archived."""

    at_ns: int
    first_index: int
    first_sequence: int
    of: str
    after: str
    previous: str = NOTHING
    hash: str = ""


class Archived(msgspec.Struct, frozen=True, tag_field="kind", tag="segment", forbid_unknown_fields=True):
    """One segment: `bytes` of it, up to and with its seal; `last`: sequence of its last record, first - 1
    where it has none."""

    index: int
    first: int
    last: int
    session: str
    build: str
    opened_ns: int
    closed_ns: int
    reason: str
    bytes: int
    sha256: str
    packed_bytes: int
    packed_sha256: str
    previous: str = NOTHING
    hash: str = ""


class Retired(msgspec.Struct, frozen=True, tag_field="kind", tag="retired", forbid_unknown_fields=True):
    """A segment whose compressed file was deleted on purpose: `why` is age or size."""

    index: int
    at_ns: int
    why: str
    previous: str = NOTHING
    hash: str = ""


class Checkpoint(msgspec.Struct, frozen=True, tag_field="kind", tag="checkpoint", forbid_unknown_fields=True):
    """What a key has signed: the chain had `lines` lines then, of which the last had the hash `head`.
    `index` and `sequence`: of the last segment and its last record; `key`: the public half; `previous`:
    hash of the line before."""

    lines: int
    head: str
    index: int
    sequence: int
    at_ns: int
    key: str
    previous: str = NOTHING
    signature: str = ""


Line = Begin | Fork | Archived | Retired
_line = msgspec.json.Decoder(Line)
_checkpoint = msgspec.json.Decoder(Checkpoint)


def sealed(line: Line, previous: str) -> Line:
    """`line` with the hash of the line before and its own."""
    bare = msgspec.structs.replace(line, previous=previous, hash="")
    return msgspec.structs.replace(bare, hash=sha256(msgspec.json.encode(bare)))


def to_sign(checkpoint: Checkpoint) -> bytes:
    """The bytes that a signature is over."""
    return msgspec.json.encode(msgspec.structs.replace(checkpoint, signature=""))


def sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


@dataclass
class Chain:
    """A chain as far as it is whole. `torn`: where a last line stands that was not finished, -1 = there is
    none; `problems`: what is wrong with it."""

    lines: list[Line] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)  # of each line in the file
    segments: dict[int, Archived] = field(default_factory=dict)
    retired: dict[int, Retired] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    torn: int = -1
    end: int = 0  # bytes of the file up to the end of the last whole line

    @property
    def head(self) -> str:
        return self.lines[-1].hash if self.lines else NOTHING

    @property
    def last(self) -> Archived | None:
        return self.segments[max(self.segments)] if self.segments else None

    @property
    def kept(self) -> list[Archived]:
        """What is not retired."""
        return [x for i, x in self.segments.items() if i not in self.retired]

    @property
    def next_index(self) -> int:
        """Of the segment that comes next; -1 where the chain has not begun."""
        if not self.lines:
            return -1
        begin = self.lines[0]
        assert isinstance(begin, Begin | Fork)
        return begin.first_index if self.last is None else self.last.index + 1

    @property
    def next_sequence(self) -> int:
        """The first sequence number that is not in it; 0 where it has not begun."""
        if not self.lines:
            return 0
        begin = self.lines[0]
        assert isinstance(begin, Begin | Fork)
        return begin.first_sequence if self.last is None else self.last.last + 1

    def add(self, line: Line, offset: int) -> str:
        """Take a line that has its hashes; what is wrong with it, "" = nothing."""
        wrong = self.wrong(line)
        if not wrong:
            self.lines.append(line)
            self.offsets.append(offset)
            self.end = offset + len(msgspec.json.encode(line)) + 1
            if isinstance(line, Archived):
                self.segments[line.index] = line
            elif isinstance(line, Retired):
                self.retired[line.index] = line
        return wrong

    def wrong(self, line: Line) -> str:
        """Why a line that has its hashes cannot come next, "" = it can; nothing is taken."""
        if line.previous != self.head:
            return "does not follow the line before it: lines are missing, or were moved"
        if sealed(line, line.previous) != line:
            return "its hash does not match: it was changed"
        if isinstance(line, Begin | Fork) != (not self.lines):
            return "a chain begins once"
        if isinstance(line, Archived) and (line.index, line.first) != (self.next_index, self.next_sequence):
            return f"segment {line.index} from sequence {line.first}: must be segment {self.next_index}"
        if isinstance(line, Retired) and (line.index not in self.segments or line.index in self.retired):
            return f"retires segment {line.index}, which is not there"
        return ""


def read_chain(directory: Path) -> Chain:
    """The chain of an archive, up to the first line that is not whole. Empty where there is none. Raises
    OSError."""
    out = Chain()
    for offset, raw in _lines(directory / CHAIN):
        if not raw.endswith(b"\n"):
            out.torn = offset
            break
        try:
            line = _line.decode(raw[:-1])
            wrong = "" if msgspec.json.encode(line) + b"\n" == raw else "it was not written like this"
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            wrong = f"not a line of a chain: {error}"
        wrong = wrong or out.add(line, offset)
        if wrong:
            number = len(out.lines) + 1
            out.problems.append(Problem(CHAIN, offset, out.next_sequence, f"line {number}: {wrong}"))
            break
    return out


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            offset = 0
            for raw in file:
                yield offset, raw
                offset += len(raw)
    except FileNotFoundError:
        return


@dataclass
class Checkpoints:
    """Signed lines, as far as they are whole; `tail`: hash of the last line."""

    lines: list[Checkpoint] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    tail: str = NOTHING
    torn: int = -1
    end: int = 0  # as of a chain


def read_checkpoints(directory: Path) -> Checkpoints:
    """Without a look at the signatures. Raises OSError."""
    out = Checkpoints()
    for offset, raw in _lines(directory / CHECKPOINTS):
        if not raw.endswith(b"\n"):
            out.torn = offset
            break
        wrong = ""
        try:
            line = _checkpoint.decode(raw[:-1])
            if msgspec.json.encode(line) + b"\n" != raw:
                wrong = "it was not written like this"
            elif line.previous != out.tail:
                wrong = "does not follow the line before it: lines are missing, or were moved"
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            wrong = f"not a checkpoint: {error}"
        if wrong:
            number = len(out.lines) + 1
            out.problems.append(Problem(CHECKPOINTS, offset, None, f"line {number}: {wrong}"))
            break
        out.lines.append(line)
        out.offsets.append(offset)
        out.tail, out.end = sha256(raw), offset + len(raw)
    return out


def append(path: Path, line: Line | Checkpoint, at: int = -1) -> str:
    """Write one line whole behind the first `at` bytes (-1: at the end), and have it on the disk; its sha256.
    What a full disk took of it is taken back. Where even that failed the next one finds more than `at` bytes,
    and cuts them first: they never counted. Raises OSError."""
    raw = msgspec.json.encode(line) + b"\n"
    is_new = not path.exists()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(fd).st_size
        if size < at:
            raise OSError(errno.EIO, "somebody has cut it", str(path))
        if 0 <= at < size:
            os.ftruncate(fd, at)
            size = at
        try:
            written = os.write(fd, raw)
            if written != len(raw):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(fd)
        except OSError:
            with contextlib.suppress(OSError):  # the next one does it
                os.ftruncate(fd, size)
            raise
    finally:
        os.close(fd)
    if is_new:
        sync_folder(path.parent)
    return sha256(raw)


def cut(path: Path, size: int) -> None:
    """Take away a last line that was not finished. Raises OSError."""
    with path.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())


def settle(path: Path, begin: int, end: int) -> None:
    """Have the bytes from `begin` to `end` on the disk, though an fsync of them may have failed before:
    written again, as they are. (What an fsync could not write Linux takes for written.) Raises OSError."""
    with path.open("r+b") as file:
        file.seek(begin)
        raw = file.read(end - begin)
        file.seek(begin)
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())

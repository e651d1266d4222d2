"""Small tapes and archives of tests: segments of one page, made in milliseconds."""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

from ext.tape import RecordType, TapeWriter
from node.slow.archive import Archive, Policy
from node.slow.signing import KEY_NAME

PAGE = 4096
DAY_NS = 86_400 * 10**9


class Killed(BaseException):
    """Nothing catches it: what was done is done, and nothing else."""


def write(
    tape: Path,
    records: int = 100,
    *,
    close: bool = True,
    kind: int = RecordType.FRAME,
    size: int = 90,
    now_ns: int = 1,
):
    """A run of a writer: FRAME records of about `size` bytes, with now_ns 1000, 1001, ..."""
    writer = TapeWriter(tape, now_ns=now_ns, segment_size=PAGE, session=b"one", build=b"two")
    for i in range(records):
        writer.append(kind, i % 3, 1000 + i, bytes([i % 251]) * (size + i % 7))
    if close:
        writer.close(5000)
    else:
        del writer


def fold(tape: Path, index: int, begin: int | None = None, archived: Callable | None = None) -> None:
    """A state file that is as good as any."""
    (tape / f"{index:08d}.state").write_bytes(b"state")


def archive_of(tape: Path, folder: Path | None = None, told: list | None = None, **more) -> Archive:
    """Policy: two segments stay hot, and a checkpoint behind every third."""
    names = ("checkpoint_segments", "checkpoint_ns", "keep_ns", "keep_bytes", "hot_segments")
    policy = {"checkpoint_segments": 3, "hot_segments": 2} | {x: more.pop(x) for x in names if x in more}
    folder = folder or tape / "archive"
    key = more.pop("key", folder / KEY_NAME)
    said = [] if told is None else told
    return Archive(tape, folder, key, Policy(**policy), lambda *x: said.append(x), **({"fold": fold} | more))


def settle(archive: Archive, now_ns: int = 10) -> int:
    """Open, do whatever is due, close; how many steps that were."""
    try:
        archive.open(now_ns)
        steps = 0
        while archive.step(now_ns):
            steps += 1
        archive.sign(now_ns)
    finally:
        archive.let_go()
    return steps


def flip(path: Path, at: int, bit: int = 0) -> bytes:
    """One bit of one byte (negative: from the end) is the other way round. Returns the file as it was."""
    raw = path.read_bytes()
    bad = bytearray(raw)
    bad[at] ^= 1 << bit
    path.write_bytes(bad)
    return raw


def used(path: Path) -> int:
    """Bytes up to the last that is not zero."""
    return len(path.read_bytes().rstrip(b"\0"))


def put_back(tape: Path, backup: Path) -> None:
    """The live directory as it was when `backup` was copied from it; the archive stays as it is."""
    for pattern in ("*.tape", "*.state"):
        for path in tape.glob(pattern):
            path.unlink()
        for path in backup.glob(pattern):
            shutil.copy(path, tape)


@contextlib.contextmanager
def opened(archive: Archive, now_ns: int = 10):
    """Open for a while."""
    archive.open(now_ns)
    try:
        yield archive
    finally:
        archive.let_go()

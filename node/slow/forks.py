"""The histories of a tape in its archive: the archive itself, and a folder in it, `fork-NNNN`, for each time
that the tape was put back to an earlier state and went on from there.

A fork begins where it leaves another history, and holds what came since: what lies before is the other one's,
and stays there. Each has a chain and checkpoints of its own, so that nothing archived is ever changed.

Must not know: what may be deleted, or who signs.
"""

import mmap
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from ext.segments import inspect
from ext.tape import Problem, TapeCorrupt, TapeReader
from node.slow.chain import CHAIN, CHECKPOINTS, NOTHING, Archived, Chain, Fork, read_chain
from node.slow.segments import (
    PACKED,
    Damaged,
    Digest,
    Header,
    digest,
    indexed,
    newest_in_use,
    packed_name_of,
    read_header,
    unpack,
)

FORK = re.compile(r"fork-([0-9]{4})")
ROTATED = 1  # as of a seal


@dataclass(eq=False)
class History:
    """The chain in `folder`, behind what it shares with `parent`: all before segment `begin`, from record
    `first_sequence` on (-1, 0: a chain that has not begun, and is of the archive itself)."""

    folder: Path
    chain: Chain
    parent: "History | None" = None
    begin: int = -1
    first_sequence: int = 0
    shared: dict[int, Archived] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.parent is not None:
            self.shared = {i: x for i, x in self.parent.segments.items() if i < self.begin}

    @property
    def name(self) -> str:
        """Of its folder in the archive; "" = the archive itself."""
        return self.folder.name if FORK.fullmatch(self.folder.name) else ""

    @property
    def segments(self) -> dict[int, Archived]:
        """All that this history tells of, by number, ascending."""
        return self.shared | self.chain.segments if self.shared else self.chain.segments

    @property
    def last(self) -> Archived | None:
        found = self.segments
        return found[max(found)] if found else None

    @property
    def next_index(self) -> int:
        return self.chain.next_index if self.chain.lines else self.begin

    @property
    def next_sequence(self) -> int:
        return self.chain.next_sequence if self.chain.lines else self.first_sequence

    def owner(self, index: int) -> "History":
        """Whose folder has a segment of this history."""
        return self if self.parent is None or index >= self.begin else self.parent.owner(index)

    def path(self, index: int) -> Path:
        """Of the compressed file of a segment."""
        return self.owner(index).folder / packed_name_of(index)

    def is_retired(self, index: int) -> bool:
        return index in self.owner(index).chain.retired

    @property
    def packed(self) -> dict[int, Path]:
        """The compressed files that there are, of segments of this history. Raises OSError."""
        there = {x: indexed(x, PACKED) for x in {self.owner(i).folder for i in self.segments}}
        found = {i: there[self.owner(i).folder].get(i) for i in self.segments}
        return {i: path for i, path in found.items() if path is not None}

    def takes(self, index: int, header: Header) -> bool:
        """A live segment is of this history, or behind it, as far as its header tells."""
        line, last = self.segments.get(index), self.last
        if line is not None:
            return is_of(header, line)
        if index < self.next_index or (last is not None and header.session != last.session):
            return False
        return index != self.next_index or header.first_sequence == self.next_sequence

    def unpacked(self, index: int) -> mmap.mmap | None:
        """A segment as a reader takes it: mapped, so that a large one need not fit into memory; None where it
        is not archived. Raises TapeCorrupt."""
        if index not in self.segments:
            return None
        path = self.path(index)
        try:
            with tempfile.TemporaryFile() as room:
                size = unpack(path, room).size
                room.flush()
                return mmap.mmap(room.fileno(), size, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            return None
        except (Damaged, ValueError) as error:  # ValueError: nothing came out
            raise TapeCorrupt(str(path), getattr(error, "offset", 0), 0, str(error)) from None


def read_histories(folder: Path) -> list[History]:
    """Those of the archive in `folder`, in the order that they came in: first the archive itself, of which
    the chain may not have begun. What is wrong with one is among the problems of its chain. Raises
    OSError."""
    found = {"": History(folder, read_chain(folder))}
    for path in fork_folders(folder):
        chain = read_chain(path)
        if not chain.lines and (any(indexed(path, PACKED)) or (path / CHECKPOINTS).exists()):
            chain.problems.append(Problem(CHAIN, 0, 0, "is missing: there are archived segments"))
        if chain.lines or chain.problems:  # else an archiver was killed before its first line was whole
            found[path.name] = _forked(path, chain, found)
    return list(found.values())


def fork_folders(folder: Path) -> list[Path]:
    """Folders of forks, also of those in which nothing is yet. Raises OSError."""
    try:
        return sorted(x for x in folder.iterdir() if FORK.fullmatch(x.name) and x.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _forked(path: Path, chain: Chain, found: dict[str, History]) -> History:
    line = chain.lines[0] if chain.lines else None
    if not isinstance(line, Fork):
        if line is not None:
            chain.problems.append(Problem(CHAIN, 0, 0, "line 1: it is not that of a fork"))
        return History(path, chain)
    parent = found.get(line.of) if line.after != NOTHING else None
    history = History(path, chain, parent, line.first_index, line.first_sequence)
    before = history.shared.get(line.first_index - 1)
    if line.after != NOTHING and (before is None or before.hash != line.after):
        where = f"{line.of or 'the archive'} has no such line"
        chain.problems.append(Problem(CHAIN, 0, line.first_sequence, f"line 1: {where}: cut, or changed"))
    return history


def parting(history: History, live: dict[int, Path]) -> int:
    """The first live segment in use that is not of this history, by its header; -1 = all are. Raises
    OSError."""
    for index, path in live.items():
        header = read_header(path)
        if header is not None and not history.takes(index, header):
            return index
    return -1


def parting_by_bytes(history: History, live: dict[int, Path]) -> int:
    """As `parting`, and by what was archived of the last live segments: one that was written on from an
    earlier state has the header that it had. Raises OSError, and Damaged where a live segment is neither what
    was archived nor another whole one."""
    at, known, newest = parting(history, live), history.segments, newest_in_use(live)
    for index in sorted(live, reverse=True):
        line = known.get(index)
        if line is None or 0 <= at <= index or read_header(live[index]) is None:
            continue
        if is_as_archived(live[index], line):
            break
        if inspect(live[index]).reason is not None:
            at = index
        elif index < newest:
            raise Damaged(0, f"{live[index].name} has no seal")
    return at


def is_as_archived(path: Path, line: Archived) -> bool:
    """A live segment is, byte for byte, what was archived of it. Raises OSError, Damaged where it is not
    whole either."""
    header = read_header(path)
    if (
        header is not None
        and is_of(header, line)
        and digest(path, line.bytes) == Digest(line.bytes, line.sha256)
    ):
        return True
    for problem in inspect(path).problems:
        raise Damaged(problem.offset, f"{path.name} does not hold what was archived of it: {problem.what}")
    return False


def is_of(header: Header, line: Archived) -> bool:
    """A segment with this header is the one that the chain has."""
    return (header.first_sequence, header.opened_ns, header.session) == (
        line.first,
        line.opened_ns,
        line.session,
    )


def history_of(folder: Path, live: dict[int, Path]) -> History:
    """The one of these that live segments are of (`live_history`). Raises OSError."""
    return live_history(read_histories(folder), live)


def live_history(histories: list[History], live: dict[int, Path]) -> History:
    """The history that live segments are of, as far as their headers tell: the newest that takes them all,
    up to the last of them where it is ahead. Where none does, as before an archiver saw that the tape was put
    back, one that ends where they part from the one that they are of the longest. Raises OSError."""
    partings = [parting(x, live) for x in histories]
    for history, at in zip(reversed(histories), reversed(partings), strict=True):
        if at < 0:
            return _up_to(history, live)
    best = max(range(len(histories)), key=partings.__getitem__)
    return History(histories[best].folder, Chain(), histories[best], partings[best])


def _up_to(history: History, live: dict[int, Path]) -> History:
    """A tape that was put back ends with its newest live segment, and the next start goes on from there:
    what the archive has behind that is not of it any more."""
    newest, last = newest_in_use(live), history.last
    if newest < 0 or last is None or last.index <= newest or is_cut(live):
        return history
    return History(history.folder, Chain(), history, newest + 1)


def is_cut(live: dict[int, Path]) -> bool:
    """The newest live segment says that another one was there, which a copy of a tape has: files were lost.
    Raises OSError."""
    newest = newest_in_use(live)
    return newest >= 0 and newest + 1 not in live and inspect(live[newest]).reason == ROTATED


def put_back(history: History, live: dict[int, Path]) -> int:
    """The newest live segment, where the archive is ahead of it in the same history and no node has gone on
    from there yet; else -1. Raises OSError."""
    newest, last = newest_in_use(live), history.last
    if newest < 0 or last is None or newest > last.index or parting(history, live) >= 0 or is_cut(live):
        return -1
    is_open = newest == last.index and inspect(live[newest]).reason is None
    return newest if newest < last.index or is_open else -1


def is_beginning(path: Path, line: Archived, packed: Path | None) -> bool:
    """What is in a live segment that has no seal is the beginning of what was archived of it (None: that file
    was retired, and its header must do). Raises OSError, Damaged where the archived one does not unpack."""
    header = read_header(path)
    if header is None or not is_of(header, line):
        return False
    if packed is None:
        return True
    reader = TapeReader(str(path.parent), types=(), from_index=line.index)
    reader.read_to_end(True)
    end = reader.end()[2]
    with tempfile.TemporaryDirectory() as room:
        whole = Path(room) / path.name
        with whole.open("wb") as out:
            unpack(packed, out)
        return end < line.bytes and digest(whole, end) == digest(path, end)


def own_history(folder: Path) -> History:
    """Of an archive without its tape, or of one fork of it, whatever came behind it. Raises OSError."""
    if FORK.fullmatch(folder.name):
        for history in read_histories(folder.parent):
            if history.name == folder.name:
                return history
    return History(folder, read_chain(folder))

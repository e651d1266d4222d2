"""A tape against itself, offline: its live segments, their archived copies, the chain and what was signed.
Nothing is changed, and damage is never raised: each fault is told with file, offset and sequence.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ext.segments import Inspection, inspect
from ext.tape import Problem, TapeCorrupt, TapeMissing
from node.slow.archive import LOCK, foreign_files
from node.slow.chain import (
    CHAIN,
    CHECKPOINTS,
    Archived,
    Chain,
    Checkpoint,
    read_chain,
    read_checkpoints,
)
from node.slow.forks import History, is_beginning, is_cut, live_history, put_back, read_histories
from node.slow.segments import (
    LEFT,
    LIVE,
    PACKED,
    REASONS,
    Damaged,
    Digest,
    closed_ns,
    digest,
    indexed,
    name_of,
    newest_in_use,
    packed_name_of,
    read_header,
    restore,
)
from node.slow.signing import KEY_NAME, is_signed
from node.slow.syncing import read_suspect

ROTATED = REASONS[1]
Row = dict[str, Any]
Progress = Callable[[int, int], None]


@dataclass
class Verdict:
    """What was found. `first_sequence` to `last_sequence`: of the tape as it is; `histories`: where it was
    put back to an earlier state, each with what it has; `notes`: what is no fault, and a person may want to
    know; `key`: the public half of the key that signed, "" where nothing is signed."""

    segments: int = 0
    records: int = 0
    first_sequence: int | None = None
    last_sequence: int | None = None
    live: int = 0
    archived: int = 0
    retired: int = 0
    checkpoints: int = 0
    histories: list[Row] = field(default_factory=list)
    key: str = ""
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        return {"ok": self.ok} | asdict(self) | {"problems": [x._asdict() for x in self.problems]}


def verify_all(
    tape: Path | None, folder: Path, key: str = "", progress: Progress = lambda done, of: None
) -> Verdict:
    """Check the live segments in `tape` (None: there are none here) and the archive in `folder`. `key`: the
    public half that must have signed, 64 hexadecimal digits; "": one and the same, whichever. Raises
    TapeMissing where there is neither tape nor archive, OSError."""
    verdict = Verdict()
    # The files first: a file that an archiver puts there later has its line later.
    live = {} if tape is None else indexed(tape, LIVE)
    has_packed = bool(indexed(folder, PACKED))
    histories = read_histories(folder)
    if not live and not has_packed and not histories[0].chain.lines and not histories[0].chain.problems:
        raise TapeMissing(2, "there is no tape and no archive", str(tape or folder))
    current = live_history(histories, live)
    forks_at = -1 if current in histories else current.begin  # an archiver has yet to tell of that fork
    current = current if current in histories else current.parent or current
    foreign = _foreign(live, current)
    for index in foreign:
        what = "is not a segment: a foreign file, behind the last one in use"
        verdict.problems.append(Problem(name_of(index), 0, None, what))
    behind = put_back(current, {i: x for i, x in live.items() if i not in foreign})
    for history in histories:
        check = _Check(tape, folder, history, current, foreign, behind, verdict)
        check.forks_at = forks_at
        check.lines()
        check.signatures(key)
        check.segments(progress)
        check.strays()
    if key and (verdict.first_sequence or 1) > 1 and not histories[0].chain.lines and not verdict.checkpoints:
        what = f"there is no archive here, and the tape begins at sequence {verdict.first_sequence}"
        verdict.problems.append(Problem(CHECKPOINTS, 0, 0, f"{what}: nothing was signed"))
    if behind >= 0:
        _tell_ahead(verdict, current)
    elif current.last is not None and current.last.index > newest_in_use(live) and is_cut(live):
        verdict.notes.append(
            f"{name_of(newest_in_use(live) + 1)} and what came behind it is in the archive alone: a start is "
            "refused until it is live again"
        )
    _tell_histories(verdict, folder, histories, current)
    return verdict


def _foreign(live: dict[int, Path], current: History) -> set[int]:
    """Live files that are named like segments, none of ours, behind the last in use and a gap: they say
    nothing of what should be in it. (One that was prepared may stand behind one that is missing.)"""
    last = max([newest_in_use(live), *current.segments])
    if last < 0:
        return set()
    while last + 1 in live:
        last += 1
    return {i for i, x in live.items() if i > last + 2 or (i > last and inspect(x).problems)}


def _tell_ahead(verdict: Verdict, current: History) -> None:
    assert current.last is not None
    last, end = verdict.last_sequence or 0, current.last.last
    what = f"{end - last} records, sequence {last + 1} to {end}" if end > last else "by a seal alone"
    verdict.notes.append(
        f"the archive is ahead of this tape, which was put back to an earlier state: {what}; the next start "
        f"goes on from sequence {last + 1}, the archive in a fork, and what is archived stays"
    )


def _tell_histories(verdict: Verdict, folder: Path, histories: list[History], current: History) -> None:
    if len(histories) == 1:
        return
    for x in histories:
        last, name = x.last, f"{folder.name}/{x.name}".rstrip("/")
        row = {
            "name": name,
            "is_current": x is current,
            "first_index": x.begin,
            "first_sequence": x.first_sequence,
        }
        if not x.name:
            row |= {"first_index": min(x.segments, default=-1), "first_sequence": _first(x)}
        row |= {"last_index": -1 if last is None else last.index, "last_sequence": last and last.last}
        verdict.histories.append(row)
        left = "" if x.parent is None else f", behind what {folder.name}/{x.parent.name}".rstrip("/") + " has"
        what = "the tape as it is" if x is current else "what came before it was put back"
        verdict.notes.append(
            f"{name}: {what}: segments {row['first_index']} to {row['last_index']}, sequence "
            f"{row['first_sequence']} to {row['last_sequence']}{left}"
        )


def _first(history: History) -> int | None:
    found = history.segments
    return found[min(found)].first if found else None


class _Check:
    """One history: its folder, and the live segments that are of it. `behind`: the newest live segment of a
    tape that was put back, -1 where it was not."""

    def __init__(
        self,
        tape: Path | None,
        folder: Path,
        history: History,
        current: History,
        foreign: set[int],
        behind: int,
        verdict: Verdict,
    ):
        self.tape, self.root, self.history, self.current = tape, folder, history, current
        self.behind = behind
        self.forks_at = (
            -1
        )  # the live tape went another way from this segment on, and no archiver has run since
        self.folder, self.foreign, self.verdict = history.folder, foreign, verdict
        last = history.shared.get(history.begin - 1)
        # sequence of the next record, and name of the tape, as all of its segments have it
        self.expected = history.first_sequence or None
        self.name = None if last is None else last.session
        self.look()

    def look(self) -> None:
        """What there is now."""
        live = {} if self.tape is None else indexed(self.tape, LIVE)
        mine = {i for i in live if self.current.owner(i) is self.history}
        self.there = {i: live[i] for i in mine - self.foreign}
        self.packed = indexed(self.folder, PACKED)
        self.chain: Chain = read_chain(self.folder)

    @property
    def place(self) -> str:
        """The folder as people see it."""
        return f"{self.root.name}/{self.history.name}".rstrip("/")

    def file(self, name: str) -> str:
        """A file of chain or checkpoints."""
        return f"{self.place}/{name}" if self.history.name else name

    def problem(self, file: str, offset: int, what: str, sequence: int | None = None) -> None:
        at = self.expected if sequence is None else sequence
        self.verdict.problems.append(Problem(file, offset, at, what))

    # ---- chain and checkpoints ----

    def lines(self) -> None:
        chain = self.chain
        for x in self.history.chain.problems:
            self.problem(self.file(CHAIN), x.offset, x.what, x.sequence)
        if chain.torn >= 0 and not self.is_at_work():
            what = "a last line that was never finished: the next archiver cuts it"
            self.problem(self.file(CHAIN), chain.torn, what, chain.next_sequence)
        if not chain.lines and self.packed and not chain.problems:
            self.problem(self.file(CHAIN), 0, "is missing: there are archived segments", 0)
        self.verdict.retired += len(chain.retired)

    def is_at_work(self) -> bool:
        """An archiver holds this archive: what is half done there is being done."""
        with contextlib.suppress(OSError), (self.root / LOCK).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def signatures(self, key: str) -> None:
        found = read_checkpoints(self.folder)
        for x in found.problems:
            self.problem(self.file(CHECKPOINTS), x.offset, x.what, x.sequence)
        if found.torn >= 0 and not self.is_at_work():
            what = "a last line that was never finished: the next archiver cuts it"
            self.problem(self.file(CHECKPOINTS), found.torn, what, 0)
        trusted = key or self.verdict.key or (found.lines[0].key if found.lines else "")
        for number, (line, offset) in enumerate(zip(found.lines, found.offsets, strict=True), 1):
            wrong = self.wrong(line, trusted)
            if wrong:
                self.problem(self.file(CHECKPOINTS), offset, f"line {number}: {wrong}", line.sequence)
        self.verdict.checkpoints += len(found.lines)
        self.verdict.key = trusted
        if key and not found.lines and self.chain.segments and not self.is_at_work():
            self.problem(self.file(CHECKPOINTS), 0, "there is no checkpoint: nothing was signed", 0)
        self.unsigned(found.lines[-1].lines if found.lines else 0, bool(key))

    def unsigned(self, signed: int, is_pinned: bool) -> None:
        fresh = len(self.chain.lines) - signed
        if fresh > 0:
            self.verdict.notes.append(
                f"the last {fresh} lines of {self.file(CHAIN)} are behind the last checkpoint"
            )
        if self.history.name:
            return
        if signed and not is_pinned:
            self.verdict.notes.append("whose key has signed was not checked: name it with --key")

    def wrong(self, line: Checkpoint, trusted: str) -> str:
        """What is wrong with a checkpoint, "" = nothing."""
        if line.key != trusted:
            return f"signed by another key: {line.key}"
        if not is_signed(line):
            return "the signature does not match"
        lines = self.chain.lines
        if line.lines > len(lines):
            return (
                ""
                if self.chain.problems
                else f"{CHAIN} was cut: it had {line.lines} lines and has {len(lines)}"
            )
        if not line.lines or lines[line.lines - 1].hash != line.head:
            return f"{CHAIN} is not the one that was signed"
        return ""

    # ---- segments ----

    def segments(self, progress: Progress) -> None:
        known = sorted({*self.there, *self.chain.segments})
        if not known:
            return
        for index in range(known[0], known[-1] + 1):
            progress(index - known[0], known[-1] - known[0] + 1)
            try:
                self.segment(index, is_last=index == known[-1])
            except FileNotFoundError:  # deleted meanwhile by an archiver: it is archived, or retired
                self.look()
                self.segment(index, is_last=index == known[-1])
        progress(1, 1)

    def segment(self, index: int, is_last: bool) -> None:
        line, path = self.chain.segments.get(index), self.there.get(index)
        found = None if path is None else inspect(path)
        if found is not None and found.first_sequence is None and not found.problems:
            if is_last and line is None:
                return  # prepared, not started
            if 0 <= self.behind < index:
                found = path = None  # the same, in a tape that was put back
            else:
                self.problem(name_of(index), 0, "the segment has no header")
        is_packed = index in self.packed
        if found is None and not is_packed and index not in self.chain.retired:
            self.problem(name_of(index), 0, "the segment is missing: neither live nor in the archive")
            self.expected = None if line is None else line.last + 1
            return
        self.verdict.segments += 1
        if found is not None and path is not None:
            self.verdict.live += 1
            self.alive(index, path, found, line)
        if is_packed and line is not None:
            self.verdict.archived += 1
            self.archived(self.packed[index], line)
        elif line is not None and index not in self.chain.retired:
            self.problem(self.label(index), 0, "the archived segment is missing", line.first)
        self.follow(index, found, line, is_last)

    def label(self, index: int) -> str:
        return f"{self.place}/{packed_name_of(index)}"

    def alive(self, index: int, path: Path, found: Inspection, line: Archived | None) -> None:
        self.verdict.problems += found.problems
        if line is None or found.problems:
            return
        header = read_header(path)
        told = (
            line.bytes,
            line.sha256,
            line.opened_ns,
            line.session,
            line.build,
            line.reason,
            line.closed_ns,
        )
        raw = digest(path, line.bytes)
        if found.reason is None and index == self.behind and self.is_beginning(index, path, line):
            return
        if header is None or found.reason is None:
            self.problem(name_of(index), 0, "the chain has it as closed, and it is not", line.first)
        elif told != (
            found.end, raw.sha256, header.opened_ns, header.session, header.build, REASONS[found.reason],
            closed_ns(path, found.end),
        ):  # fmt: skip
            what = "is not the segment that the chain has: of another tape, or rolled back"
            if 0 <= self.forks_at <= index + 1:  # the one before has another seal
                what = (
                    "was written on from an earlier state that the tape was put back to, and no archiver has "
                    "run since: start it (`tickgate archive CONFIG`): it goes on in a fork, and keeps both "
                    "histories"
                )
            self.problem(name_of(index), 0, what, line.first)

    def is_beginning(self, index: int, path: Path, line: Archived) -> bool:
        try:
            return is_beginning(path, line, self.packed.get(index))
        except (Damaged, FileNotFoundError, TapeCorrupt):
            return True  # the archived one, or a foreign file behind it: told of these

    def archived(self, path: Path, line: Archived) -> None:
        """The compressed file is what the chain says, and unpacks to whole records."""
        label, found = self.label(line.index), digest(path)
        with tempfile.TemporaryDirectory() as room:
            copy = Path(room) / name_of(line.index)
            try:
                restore(path, copy)
            except Damaged as error:
                self.problem(label, error.offset, f"does not unpack: {error}", line.first)
                return
            if found != Digest(line.packed_bytes, line.packed_sha256):
                self.problem(label, 0, "is not the file that was archived", line.first)
                return
            raw, inner = digest(copy, line.bytes), inspect(copy)
        if raw.sha256 != line.sha256 or inner.end != line.bytes:
            self.problem(label, 0, "unpacks to something else than the chain has", line.first)
        for x in inner.problems:
            self.problem(label, x.offset, f"unpacked: {x.what}", x.sequence)

    def follow(self, index: int, found: Inspection | None, line: Archived | None, is_last: bool) -> None:
        """It goes on where the one before ended, and says whether another one must come."""
        if line is not None:
            first, last, reason, tape = line.first, line.last, line.reason, line.session
        elif found is not None and found.first_sequence is not None:
            first, last = found.first_sequence, found.last_sequence
            reason = "" if found.reason is None else REASONS[found.reason]
            header = read_header(self.there[index])
            tape = "" if header is None else header.session
        else:
            self.expected = None
            return
        name, verdict = name_of(index), self.verdict
        if self.name is not None and tape != self.name:
            self.problem(name, 0, f"a segment of another tape ({tape!r}, not {self.name!r})", first)
        self.name = tape if self.name is None else self.name
        if self.expected is not None and first != self.expected:
            self.problem(name, 0, f"starts at sequence {first}: must be {self.expected}")
        if not reason and not is_last and self.live_behind(index):
            self.problem(name, 0, "the segment ends without a seal", last)
        is_end = is_last and self.history is self.current and self.behind < 0
        if is_end and reason == ROTATED:
            self.cut_short(index, last)
        self.expected = last + 1
        if self.current.owner(index) is self.history:
            verdict.first_sequence = first if verdict.first_sequence is None else verdict.first_sequence
            if index == self.behind and found is not None and found.last_sequence is not None:
                verdict.last_sequence = found.last_sequence
            elif self.behind < 0 or index < self.behind:
                verdict.last_sequence = last
        verdict.records += last - first + 1

    def live_behind(self, index: int) -> bool:
        """A segment behind this one was started."""
        return any(i > index and read_header(x) is not None for i, x in self.there.items())

    def cut_short(self, index: int, last: int) -> None:
        if self.tape is None:
            self.verdict.notes.append("the tape goes on in its live directory")
        elif name_of(index + 1) not in os.listdir(self.tape):
            self.problem(
                name_of(index + 1), 0, "the segment is missing: the one before says that it exists", last + 1
            )

    # ---- the rest ----

    def strays(self) -> None:
        for index in self.packed:
            if index not in self.chain.segments and not self.is_being_done(index):
                what = "is not in the chain: a foreign file, or an archiver was killed: start it again"
                self.problem(self.label(index), 0, what, 0)
        if self.folder.is_dir():
            foreign = sorted(x.name for x in foreign_files(self.folder, self.folder / KEY_NAME))
            self.verdict.notes += [f"{self.place}/{x}: not of an archive" for x in foreign]
            left = sorted(x.name for x in self.folder.iterdir() if LEFT.fullmatch(x.name))
            self.verdict.notes += [f"{self.place}/{x}: set aside by an archiver; not read" for x in left]
        if not self.history.name:
            self.absent()

    def absent(self) -> None:
        """What of the tape is elsewhere, or was."""
        if self.folder.is_symlink() and not self.folder.exists():
            self.problem(self.folder.name, 0, f"is not there: {os.readlink(self.folder)}", 0)
        elif (self.verdict.first_sequence or 1) > 1 and not self.chain.lines:
            first = self.verdict.first_sequence
            self.verdict.notes.append(f"the tape begins at sequence {first}, and there is no archive here")
        suspect = set() if self.tape is None else read_suspect(self.tape)
        if suspect:
            self.verdict.notes.append("suspect: an fsync of this tape failed once (suspect.json)")

    def is_being_done(self, index: int) -> bool:
        return bool(self.chain.problems) or (index == self.chain.next_index and self.is_at_work())

"""The archive of a tape, one step at a time and without a clock: closed segments compressed and compared,
the chain, signed checkpoints, and what may be deleted.

A tape that was put back to an earlier state goes on in a fork of the archive (`forks`).

Each step leaves the disk so that the next start can go on from there, wherever it was killed: a `.part` is
worthless; a compressed file without a line is compared again and gets its line, or is set aside where it is
not the segment (the tape was put back meanwhile); a line is whole or cut; a segment that the chain calls
retired is deleted where it still lies there. Nothing live is deleted that the
chain does not have, that does not hash, live and compressed, to what its line says, or that a start would
still read.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ext.segments import Inspection, inspect
from ext.tape import TapeCorrupt, TapeReader
from node.errors import Failed, UserError
from node.slow.chain import (
    CHAIN,
    CHECKPOINTS,
    NOTHING,
    Archived,
    Begin,
    Chain,
    Checkpoint,
    Fork,
    Line,
    Retired,
    append,
    cut,
    read_checkpoints,
    sealed,
    settle,
)
from node.slow.forks import (
    FORK,
    History,
    is_as_archived,
    parting,
    parting_by_bytes,
    read_histories,
)
from node.slow.segments import (
    FOLDER,
    LEFT,
    LIVE,
    PACKED,
    PART,
    REASONS,
    STATE,
    Damaged,
    Digest,
    closed_ns,
    digest,
    indexed,
    name_of,
    newest_in_use,
    pack,
    packed_name_of,
    read_header,
    set_aside,
    state_name_of,
    sync_folder,
    unpack,
)
from node.slow.signing import make_key, public_hex, read_key, sign

LOCK = "archive.lock"
DAY_NS = 86_400 * 10**9
Tell = Callable[[str, str], None]
Fold = Callable[[Path, int, int | None, Callable[[int], Any]], Any]


class Stuck(Failed):
    """The archive cannot go on before a person has looked: what is wrong and what to do. Nothing was
    deleted."""


@dataclass(frozen=True, slots=True)
class Policy:
    """When to sign, and what to keep. `keep_ns`, `keep_bytes`: 0 = everything; `hot_segments`: so many of
    the newest are never deleted, neither live nor archived."""

    checkpoint_segments: int = 16
    checkpoint_ns: int = 3600 * 10**9
    keep_ns: int = 0
    keep_bytes: int = 0
    hot_segments: int = 16


def nothing_happens(label: str) -> None:
    """What a test puts in its place dies at a label."""


@dataclass(eq=False)
class Signed:
    """A history, and how far its chain is signed; `key`: the public half that did; `tail`: hash of the last
    checkpoint."""

    history: History
    key: str = ""
    signed_lines: int = 0
    signed_ns: int = 0
    tail: str = NOTHING
    end: int = 0  # of the checkpoints' file, as far as it counts

    @property
    def chain(self) -> Chain:
        return self.history.chain

    @property
    def folder(self) -> Path:
        return self.history.folder


class Archive:
    """Over the tape in `tape`; compressed files go to `folder`. `open()`, then `step(now_ns)` while it says
    that it did something, `close(now_ns)`.

    key_path: of the signing key, made where there is none. fold: called as fold(tape, index, oldest,
    archived), of which the last gives archived segments by number, to write the file `NNNNNNNN.state` of
    the state at the start of a segment, and `is_state(path)` tells whether one is good: without them no
    live segment is ever deleted. quiet: tells, and sees to it, that nobody is just starting on this tape.
    reached: called with a label between any two changes of the disk.
    """

    def __init__(
        self,
        tape: Path,
        folder: Path,
        key_path: Path,
        policy: Policy,
        tell: Tell,
        *,
        fold: Fold | None = None,
        is_state: Callable[[Path], bool] = lambda path: path.stat().st_size > 0,
        quiet: Callable[[], AbstractContextManager[bool]] = lambda: nullcontext(True),
        reached: Callable[[str], None] = nothing_happens,
    ):
        self.tape, self.folder, self.key_path, self.policy, self.tell = tape, folder, key_path, policy, tell
        self.fold, self.is_state, self.quiet, self.reached = fold, is_state, quiet, reached
        self.histories = [Signed(History(folder, Chain()))]
        self.current = self.histories[0]
        self.key: Ed25519PrivateKey | None = None
        self._has_looked = False  # for state files
        self._known = -1  # last archived segment of which the live file was seen to be the same
        self._lock = -1
        self._told: set[str] = set()
        self._reader: tuple[int, TapeReader] | None = None  # of the newest live segment, by its number

    # ---- opening ----

    def open(self, now_ns: int) -> None:
        """Take over the archive as it was left. Raises Stuck, UserError, OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for x in {self.tape, self.folder.parent, self.folder.resolve().parent}:
            with contextlib.suppress(PermissionError):  # of another user's
                sync_folder(x)
        self._take_lock()
        self.histories = [Signed(x) for x in read_histories(self.folder)]
        for each in self.histories:
            self._mend(each)
            self._take_signed(each, now_ns)
        self.current = self.histories[-1]
        self._belongs()
        self.key = self._key()
        sync_folder(self.key_path.parent)
        self._finish_retired()
        self._clear_left()
        self._tell_foreign()

    @property
    def history(self) -> History:
        """The one that the live segments are of."""
        return self.current.history

    @property
    def segments(self) -> int:
        """How many were ever archived."""
        return sum(len(x.chain.segments) for x in self.histories)

    def _take_lock(self) -> None:
        if self._lock >= 0:
            return
        fd = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise Stuck(
                f"{self.folder}: another archiver writes this archive: one archive is of one tape, and "
                f"has one "
                "archiver"
            ) from None
        self._lock = fd

    def _mend(self, each: Signed) -> None:
        """Cut last lines that were never finished; drop half-made files. Raises Stuck where more is wrong."""
        for name, found in ((CHAIN, each.chain), (CHECKPOINTS, read_checkpoints(each.folder))):
            for problem in found.problems:
                raise Stuck(
                    f"{each.folder / name}: offset {problem.offset}: {problem.what}: see `tickgate tape "
                    "verify`; nothing is archived until it is whole"
                )
            if found.torn >= 0:
                cut(each.folder / name, found.torn)
                self.tell("archive", f"{name}: cut a last line that was never finished")
            if found.offsets:
                settle(each.folder / name, found.offsets[-1], found.end)
        for path in indexed(each.folder, PART).values():
            path.unlink()
        sync_folder(each.folder)  # whoever made a file here may have been killed before its name was safe

    def _take_signed(self, each: Signed, now_ns: int) -> None:
        found, lines = read_checkpoints(each.folder), each.chain.lines
        each.tail, each.end, each.signed_ns = found.tail, found.end, now_ns
        if found.lines:
            last = found.lines[-1]
            if last.lines > len(lines) or lines[last.lines - 1].hash != last.head:
                raise Stuck(
                    f"{each.folder / CHAIN}: it is not the chain that the last checkpoint signed: it was cut "
                    "or changed: see `tickgate tape verify`"
                )
            each.key, each.signed_lines, each.signed_ns = last.key, last.lines, last.at_ns or now_ns

    # ---- histories ----

    def _belongs(self) -> None:
        """The live segments are of the current history: what both have is the same, and they go on where its
        chain ends. Where they are not, another one is, or a new one. Raises Stuck, OSError."""
        live = indexed(self.tape, LIVE)
        if parting(self.history, live) >= 0:
            self._leave(live)

    def _leave(self, live: dict[int, Path]) -> None:
        """Go on in the newest history that the live segments are of, byte for byte, else in a fork of the one
        that they are of the longest."""
        points = [self._parting(x.history, live) for x in self.histories]
        fits = [x for x, at in zip(self.histories, points, strict=True) if at < 0]
        parted = self._parting(self.history, live)
        if self.current in fits:  # it was asked for a reason: never again and again
            raise self._strange("its last archived segment is not the live one")
        if fits:
            self.current = fits[-1]
        else:
            best = max(range(len(points)), key=points.__getitem__)
            self.current = Signed(self._fork(self.histories[best].history, points[best], live))
        self._known = -1
        where = f"in {self.folder.name}/{self.history.name}" if self.history.name else "in the archive itself"
        self._tell_once(
            f"this tape was put back to an earlier state: from {name_of(parted)} on it is not what was "
            f"archived. It goes on {where}; nothing that was archived is touched"
        )
        self._clear_left()

    def _parting(self, history: History, live: dict[int, Path]) -> int:
        try:
            return parting_by_bytes(history, live)
        except Damaged as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Damaged) -> Stuck:
        return Stuck(f"{self.tape}: {error} (offset {error.offset}): see `tickgate tape verify`; it is kept")

    def _fork(self, left: History, index: int, live: dict[int, Path]) -> History:
        """A history that leaves another one in front of a live segment. Raises Stuck where that is of another
        tape."""
        header, before = read_header(live[index]), left.segments.get(index - 1)
        assert header is not None
        names = {x.session for each in self.histories for x in each.chain.segments.values()}
        if names and header.session not in names:
            raise self._strange(f"{live[index].name} is not the segment that the chain knows")
        follows = before is not None and before.last + 1 == header.first_sequence
        if not follows and index != next(iter(live)):
            raise self._strange(f"{live[index].name} does not go on where the one before it ends")
        return History(
            self._new_folder(), Chain(), left.owner(index - 1) if follows else None, index,
            header.first_sequence,
        )  # fmt: skip

    def _new_folder(self) -> Path:
        """Of a fork that is yet to be made: one that holds nothing."""
        taken = [int(x.history.name[-4:]) for x in self.histories if x.history.name]
        return self.folder / f"fork-{max(taken, default=0) + 1:04d}"

    def _is_as_archived(self, path: Path, line: Archived) -> bool:
        try:
            return is_as_archived(path, line)
        except Damaged as error:
            raise self._damaged(error) from None

    def _strange(self, what: str) -> Stuck:
        return Stuck(
            f"{self.history.folder / CHAIN}: is of another tape: {what}; name another `directory` "
            "in [archive]"
        )

    def _key(self) -> Ed25519PrivateKey:
        try:
            key = read_key(self.key_path)
            if any(x.key not in ("", public_hex(key)) for x in self.histories):
                raise Stuck(
                    f"{self.key_path}: is not the key that signed this archive: put that one back, or name "
                    "another `directory` in [archive]"
                )
            return key
        except FileNotFoundError:
            if any(x.signed_lines for x in self.histories):
                raise Stuck(
                    f"{self.key_path}: the key that signed this archive is gone: put it back, or name "
                    f"another "
                    "`directory` in [archive]"
                ) from None
        self.key_path.parent.mkdir(parents=True, exist_ok=True)
        return make_key(self.key_path)

    def _finish_retired(self) -> None:
        for each in self.histories:
            for index in each.chain.retired:
                (each.folder / packed_name_of(index)).unlink(missing_ok=True)

    def _clear_left(self) -> None:
        """Of a history that was left no segment comes any more: a compressed file there that has no line will
        never get one."""
        for each in self.histories:
            for index, path in indexed(each.folder, PACKED).items():
                if each is not self.current and index not in each.chain.segments:
                    self._set_aside(path, "the tape was put back before it had its line in the chain")

    def _set_aside(self, path: Path, why: str) -> None:
        aside = set_aside(path)
        self.tell(
            "archive", f"{path}: {why}: set aside as {aside.name}; nothing reads it, a person may remove it"
        )
        self.reached("left")

    def _tell_foreign(self) -> None:
        foreign = sorted(x.name for x in foreign_files(self.folder, self.key_path))
        if foreign:
            self._tell_once(f"{self.folder}: {', '.join(foreign[:5])}: not of an archive; left alone")

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self.tell("archive", text)

    # ---- steps ----

    def step(self, now_ns: int) -> bool:
        """One thing that is due; False: nothing is. `now_ns`: since 1970. Raises Stuck, OSError."""
        return (
            self._mend_state()
            or self._sign_if_due(now_ns)
            or self._archive_next(now_ns)
            or self._drop_live()
            or self._retire_oldest(now_ns)
        )

    def waiting(self) -> int:
        """Live segments behind the end of the chain that a later one has followed."""
        live = indexed(self.tape, LIVE)
        return sum(self.history.next_index <= x < newest_in_use(live) for x in live)

    def _archive_next(self, now_ns: int) -> bool:
        live = indexed(self.tape, LIVE)
        index = self.history.next_index
        if index < 0:
            index = next((i for i, x in live.items() if read_header(x) is not None), -1)
            self._has_chain(index)
        if index not in live:
            self._is_gap(index, live)
            return False
        if index == newest_in_use(live) and not self._is_closed(index):
            return False
        found = inspect(live[index])
        if found.problems:
            where = found.problems[0]
            raise Stuck(
                f"{live[index]}: offset {where.offset}, sequence {where.sequence}: {where.what}: a "
                f"damaged segment is "
                "not archived and nothing behind it is: see `tickgate tape verify`"
            )
        if found.reason is None:
            return False  # it is being written, or waits for the next start to seal it
        if not self._goes_on(live):
            return True  # in another history
        if not self.history.chain.lines:
            self._begin(now_ns, index, found.first_sequence)
        self._archive(index, live[index], found)
        return True

    def _is_closed(self, index: int) -> bool:
        """The newest segment has its seal, or something is wrong with it. It is read on from where it stood:
        a look from its beginning would cost more with every record."""
        if self._reader is None or self._reader[0] != index:
            reader = TapeReader(str(self.tape), follow=True, types=(), from_index=index)
            self._reader = index, reader
        reader = self._reader[1]
        try:
            reader.poll()
        except TapeCorrupt:
            return True
        return reader.sealed or reader.index not in (None, index)

    def _goes_on(self, live: dict[int, Path]) -> bool:
        """The next segment may be archived: the tape is still that of the current history, and it was not put
        back to somewhere in the last archived segment and written on from there. Else another history is
        the current one now. Raises Stuck."""
        before, last = self.current, self.history.last
        self._belongs()
        if self.current is not before:
            return False
        if last is not None and last.index != self._known:
            if last.index in live and not self._is_as_archived(live[last.index], last):
                self._leave(live)
                return False
            self._known = last.index
        return True

    def _begin(self, now_ns: int, index: int, first_sequence: int) -> None:
        """The first line of a chain."""
        history = self.history
        if not history.name:
            self._append(self.current, Begin(now_ns, index, first_sequence))
        else:
            history.folder.mkdir(exist_ok=True)
            (history.folder / CHAIN).unlink(missing_ok=True)  # no line in it was ever whole
            sync_folder(self.folder)
            self.reached("forked")
            of, after = "", NOTHING
            if history.parent is not None:
                of, after = history.parent.name, history.segments[index - 1].hash
            self._append(self.current, Fork(now_ns, index, first_sequence, of, after))
            self.current.signed_ns = now_ns
            self.histories.append(self.current)
        self.reached("begun")

    def _has_chain(self, first: int) -> None:
        """What is archived and not live any more is known by its chain alone: a new one would be of less."""
        gone = [i for i in indexed(self.folder, PACKED) if i < first]
        if gone and not self.history.name:
            raise Stuck(
                f"{self.folder / CHAIN}: is missing, and {packed_name_of(gone[0])} is not live any more: put "
                "the chain back, or name another `directory` in [archive]"
            )

    def _is_gap(self, index: int, live: dict[int, Path]) -> None:
        if any(x > index and read_header(live[x]) is not None for x in live):
            raise Stuck(
                f"{self.tape / name_of(index)}: is missing and was never archived: see `tickgate tape verify`"
            )

    def _archive(self, index: int, source: Path, found: Inspection) -> None:
        final = self.history.folder / packed_name_of(index)
        raw = self._found(final, source, found.end) or self._pack(source, found.end, final)
        sync_folder(final.parent)  # before there is a line for it
        packed = digest(final)
        header = read_header(source)
        assert header is not None
        self._append(
            self.current,
            Archived(
                index=index, first=found.first_sequence, last=found.last_sequence, session=header.session,
                build=header.build, opened_ns=header.opened_ns, closed_ns=closed_ns(source, found.end),
                reason=REASONS[found.reason], bytes=raw.size, sha256=raw.sha256, packed_bytes=packed.size,
                packed_sha256=packed.sha256,
            ),
        )  # fmt: skip
        self._known = index
        self.reached("chained")
        self._fold(index + 1)

    # ---- state files ----

    def _fold(self, index: int) -> None:
        """Have the state at the start of a segment written, if that segment was started."""
        path = self.tape / name_of(index)
        if self.fold is None or not path.exists() or read_header(path) is None:
            return
        retired = any(map(self.history.is_retired, self.history.segments))
        if retired and not any(map(self.is_state, indexed(self.tape, STATE).values())):
            self._tell_once(
                "no state file is good any more, and what they were made of is retired: live segments "
                "are kept"
            )
            return
        begin = min([*self.history.segments, *indexed(self.tape, LIVE)], default=None)
        self.fold(self.tape, index, begin, self.history.unpacked)
        self.reached("folded")

    def _mend_state(self) -> bool:
        """Live segments are gone, and no state file tells a start what they came to (another build wrote
        them, or somebody removed them): make one from the archive."""
        live, is_first = indexed(self.tape, LIVE), not self._has_looked
        self._has_looked = True
        newest, begin = newest_in_use(live), next(iter(live), -1)
        if not is_first or self.fold is None or begin <= min(self.history.segments, default=begin):
            return False
        if not self._has_state_behind(begin - 1, newest):
            self._fold(newest)
            return True
        return False

    # ---- one segment ----

    def _found(self, final: Path, source: Path, end: int) -> Digest | None:
        """What an archiver that was killed behind its rename left in this place, where it is this segment;
        whatever else is there is set aside."""
        if not os.path.lexists(final):
            return None
        raw = digest(source, end)
        if final.is_file() and self._is_same(final, raw):
            self.reached("compared")
            return raw
        self._set_aside(final, f"has no line in the chain, and does not unpack to {source.name} as it is")
        return None

    def _pack(self, source: Path, end: int, final: Path) -> Digest:
        """The compressed file, read back. Raises Stuck where it is not the segment."""
        part = final.with_name(f"{final.name}.part")
        try:
            raw = pack(source, end, part)
            self.reached("part")
            if not self._is_same(part, raw):
                raise Stuck(f"{part}: does not unpack to what was written: a bad disk: look at it")
            self.reached("compared")
            part.rename(final)
        except OSError:
            part.unlink(missing_ok=True)  # a half-made file would sit on the last free bytes
            raise
        self.reached("renamed")
        return raw

    def _is_same(self, packed: Path, raw: Digest) -> bool:
        try:
            return unpack(packed) == raw
        except Damaged:
            return False

    def _append(self, each: Signed, line: Line) -> None:
        whole = sealed(line, each.chain.head)
        wrong = each.chain.wrong(whole)
        if wrong:  # behind a line that does not fit, the chain would be no chain for ever
            raise self._strange(wrong)
        offset = each.chain.end
        append(each.folder / CHAIN, whole, offset)
        each.chain.add(whole, offset)

    # ---- checkpoints ----

    def _sign_if_due(self, now_ns: int) -> bool:
        due = [x for x in self.histories if self._is_due(x, now_ns)]
        for each in due:
            self._sign(each, now_ns)
        return bool(due)

    def _is_due(self, each: Signed, now_ns: int) -> bool:
        fresh = each.chain.lines[each.signed_lines :]
        enough = self.policy.checkpoint_segments if each.signed_lines else 1  # the first is signed at once
        many = sum(isinstance(x, Archived) for x in fresh) >= enough
        return bool(fresh) and (many or now_ns - each.signed_ns >= self.policy.checkpoint_ns)

    def sign(self, now_ns: int) -> None:
        """A checkpoint of each chain as it is now, where there is none yet. Raises OSError."""
        for each in self.histories:
            if self.key is not None and each.signed_lines < len(each.chain.lines):
                self._sign(each, now_ns)

    def _sign(self, each: Signed, now_ns: int) -> None:
        last = each.chain.last
        assert self.key is not None
        line = sign(
            self.key,
            Checkpoint(
                lines=len(each.chain.lines), head=each.chain.head, index=-1 if last is None else last.index,
                sequence=each.chain.next_sequence - 1, at_ns=now_ns, key="", previous=each.tail,
            ),
        )  # fmt: skip
        each.tail = append(each.folder / CHECKPOINTS, line, each.end)
        each.end += len(msgspec.json.encode(line)) + 1
        each.signed_lines, each.signed_ns = line.lines, now_ns
        self.reached("signed")

    # ---- deleting ----

    def _drop_live(self) -> bool:
        """Delete the oldest live segment, where all that is asked of it is true."""
        live = indexed(self.tape, LIVE)
        newest = newest_in_use(live)
        index = next(iter(live), -1)
        line = self.history.segments.get(index)
        if line is None or index > newest - self.policy.hot_segments or self.history.is_retired(index):
            return False
        if not self._has_state_behind(index, newest):
            self._tell_once(
                "live segments are kept: there is no state file behind them that a start could begin with"
            )
            return False
        before, packed = self.current, self.history.path(index)
        self._belongs()
        if self.current is not before:
            return True
        found = digest(packed)
        if (found.size, found.sha256) != (line.packed_bytes, line.packed_sha256):
            raise Stuck(
                f"{packed}: was changed since it was archived: see "
                f"`tickgate tape verify`; "
                "the live segment is kept"
            )
        if not self._is_as_archived(live[index], line):
            self._leave(live)
            return True
        with self.quiet() as is_quiet:
            if is_quiet:
                sync_folder(self.tape)  # the name of the state file that a start begins with
                live[index].unlink()
                (self.tape / state_name_of(index)).unlink(missing_ok=True)  # nobody begins there any more
                self.reached("dropped")
        return is_quiet

    def _has_state_behind(self, index: int, newest: int) -> bool:
        states = indexed(self.tape, STATE)
        return any(index < i <= newest and self.is_state(x) for i, x in states.items())

    def _retire_oldest(self, now_ns: int) -> bool:
        """Delete the oldest archived segment, where it is too old or there is too much; never one that is
        live."""
        if not self.policy.keep_ns and not self.policy.keep_bytes:
            return False
        kept = {x: x.chain.kept for x in self.histories}
        size = sum(x.packed_bytes for lines in kept.values() for x in lines)
        oldest = [
            (lines[0].closed_ns, x) for x, lines in kept.items() if lines and not self._is_hot(x, lines[0])
        ]
        if not oldest:
            return False
        closed_ns, each = min(oldest, key=lambda x: x[0])
        too_old = self.policy.keep_ns and now_ns - closed_ns > self.policy.keep_ns
        too_much = self.policy.keep_bytes and size > self.policy.keep_bytes
        if not too_old and not too_much:
            return False
        index = kept[each][0].index
        self._append(each, Retired(index, now_ns, "age" if too_old else "size"))
        self.reached("retired")
        (each.folder / packed_name_of(index)).unlink(missing_ok=True)
        self.reached("removed")
        return True

    def _is_hot(self, each: Signed, line: Archived) -> bool:
        """A segment of the current history that is live, or among its newest."""
        history = self.history
        if history.segments.get(line.index) is not line or history.owner(line.index) is not each.history:
            return False
        kept = [i for i in history.segments if not history.is_retired(i)]
        newest = kept[max(len(kept) - self.policy.hot_segments, 0) :]
        return line.index in newest or (self.tape / name_of(line.index)).exists()

    def close(self, now_ns: int) -> None:
        """Sign what is new and let go. Raises OSError."""
        try:
            self.sign(now_ns)
        finally:
            self.let_go()

    def let_go(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def foreign_files(folder: Path, key_path: Path) -> list[Path]:
    """What is in an archive and does not belong there."""
    ours = {CHAIN, CHECKPOINTS, LOCK, key_path.name, f"{key_path.name}.part"}
    return [
        x
        for x in folder.iterdir()
        if x.name not in ours
        and not FORK.fullmatch(x.name)
        and not PACKED.fullmatch(x.name)
        and not PART.fullmatch(x.name)
        and not LEFT.fullmatch(x.name)
    ]


def folder_of(tape: Path, directory: str) -> Path:
    """Where the archive of a tape is: `directory` of the config, or in the tape's directory. A tape of
    which the archive is elsewhere gets a link to it, so that who has the tape finds it. Raises UserError,
    OSError."""
    link = tape / FOLDER
    if not directory:
        return link
    target = Path(directory)
    if link.is_symlink():
        if Path(os.readlink(link)) != target:
            link.unlink()
            link.symlink_to(target)
    elif link.exists():
        raise UserError(
            f"{link}: there is an archive already: move it to {target}, or leave out `directory` in [archive]"
        )
    else:
        link.symlink_to(target)
    return target

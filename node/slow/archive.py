"""The archive of a tape, one step at a time and without a clock: closed segments compressed and compared,
the chain, signed checkpoints, and what may be deleted.

Each step leaves the disk so that the next start can go on from there, wherever it was killed: a `.part` is
worthless; a compressed file without a line is compared again and gets its line; a line is whole or cut; a
segment that the chain calls retired is deleted where it still lies there. Nothing live is deleted that the
chain does not have, that does not hash, live and compressed, to what its line says, or that a start would
still read.
"""

import fcntl
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ext.segments import Inspection, inspect
from node.errors import Failed, UserError
from node.slow.chain import (
    CHAIN,
    CHECKPOINTS,
    NOTHING,
    Archived,
    Begin,
    Chain,
    Checkpoint,
    Line,
    Retired,
    append,
    cut,
    read_chain,
    read_checkpoints,
    sealed,
)
from node.slow.records import unpacked_from
from node.slow.segments import (
    FOLDER,
    LIVE,
    PACKED,
    PART,
    REASONS,
    STATE,
    Damaged,
    Digest,
    Header,
    closed_ns,
    digest,
    indexed,
    name_of,
    newest_in_use,
    pack,
    packed_name_of,
    read_header,
    state_name_of,
    sync_folder,
    unpack,
)
from node.slow.signing import make_key, read_key, sign

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
        self.chain = Chain()
        self.signed_segments = self.signed_lines = 0
        self.signed_ns = 0
        self.tail = NOTHING  # of the checkpoints
        self.key: Ed25519PrivateKey | None = None
        self._has_looked = False  # for state files
        self._known = -1  # last archived segment of which the live file was seen to be the same
        self._lock = -1
        self._told: set[str] = set()

    # ---- opening ----

    def open(self, now_ns: int) -> None:
        """Take over the archive as it was left. Raises Stuck, UserError, OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        self.chain = read_chain(self.folder)
        self._mend()
        self._belongs()
        self.key = self._key()
        checkpoints = read_checkpoints(self.folder)
        self.tail = checkpoints.tail
        if checkpoints.lines:
            last = checkpoints.lines[-1]
            if last.lines > len(self.chain.lines) or self.chain.lines[last.lines - 1].hash != last.head:
                raise Stuck(
                    f"{self.folder / CHAIN}: it is not the chain that the last checkpoint signed: it "
                    f"was cut or "
                    "changed: see `tickgate tape verify`"
                )
            self.signed_lines, self.signed_ns = last.lines, last.at_ns
        self.signed_ns = self.signed_ns or now_ns
        self._finish_retired()
        self._tell_foreign()

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

    def _mend(self) -> None:
        """Cut last lines that were never finished; drop half-made files. Raises Stuck where more is wrong."""
        checkpoints = read_checkpoints(self.folder)
        for name, found in ((CHAIN, self.chain), (CHECKPOINTS, checkpoints)):
            for problem in found.problems:
                raise Stuck(
                    f"{self.folder / name}: offset {problem.offset}: {problem.what}: see `tickgate tape "
                    f"verify`; "
                    "nothing is archived until it is whole"
                )
            if found.torn >= 0:
                cut(self.folder / name, found.torn)
                self.tell("archive", f"{name}: cut a last line that was never finished")
        for path in indexed(self.folder, PART).values():
            path.unlink()

    def _belongs(self) -> None:
        """The chain is of this tape: what both have is the same, and it goes on where the chain ends."""
        live = indexed(self.tape, LIVE)
        for index, path in live.items():
            header, line = read_header(path), self.chain.segments.get(index)
            if header is None:
                continue
            if line is not None:
                same = _is_of(header, line)
            else:
                same = index >= self.chain.next_index
                if index == self.chain.next_index:
                    same = header.first_sequence == self.chain.next_sequence
                last = self.chain.last
                same = same and (last is None or header.session == last.session)
            if not same:
                raise self._strange(f"{path.name} is not the segment that the chain knows")

    def _is_as_archived(self, path: Path, line: Archived) -> None:
        """A live segment is, byte for byte, what was archived of it. One that was rolled back and written on
        has the header that it had. Raises Stuck."""
        header, raw = read_header(path), digest(path, line.bytes)
        if header is None or not _is_of(header, line) or raw != Digest(line.bytes, line.sha256):
            raise self._strange(
                f"{path.name} does not hold what was archived of it (see `tickgate tape verify`) and is kept"
            )

    def _strange(self, what: str) -> Stuck:
        return Stuck(
            f"{self.folder / CHAIN}: is of another tape, or this tape was rolled back: {what}; name "
            f"another `directory` in [archive]"
        )

    def _key(self) -> Ed25519PrivateKey:
        try:
            return read_key(self.key_path)
        except FileNotFoundError:
            if read_checkpoints(self.folder).lines:
                raise Stuck(
                    f"{self.key_path}: the key that signed this archive is gone: put it back, or name "
                    f"another "
                    "`directory` in [archive]"
                ) from None
        self.key_path.parent.mkdir(parents=True, exist_ok=True)
        return make_key(self.key_path)

    def _finish_retired(self) -> None:
        for index in self.chain.retired:
            (self.folder / packed_name_of(index)).unlink(missing_ok=True)

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
        return sum(self.chain.next_index <= x < newest_in_use(live) for x in live)

    def _archive_next(self, now_ns: int) -> bool:
        live = indexed(self.tape, LIVE)
        index = self.chain.next_index
        if index < 0:
            index = next((i for i, x in live.items() if read_header(x) is not None), -1)
        if index not in live:
            self._is_gap(index, live)
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
        self._goes_on()
        if self.chain.next_index < 0:
            self._append(Begin(now_ns, index, found.first_sequence))
            self.reached("begun")
        self._archive(index, live[index], found)
        return True

    def _goes_on(self) -> None:
        """The next segment may be archived: the tape is still that of the chain, and it was not rolled back
        to somewhere in the last archived segment and written on from there. Raises Stuck."""
        self._belongs()
        last = self.chain.last
        if last is None or last.index == self._known:
            return
        path = self.tape / name_of(last.index)
        if path.exists():
            self._is_as_archived(path, last)
        self._known = last.index

    def _is_gap(self, index: int, live: dict[int, Path]) -> None:
        if any(x > index and read_header(live[x]) is not None for x in live):
            raise Stuck(
                f"{self.tape / name_of(index)}: is missing and was never archived: see `tickgate tape verify`"
            )

    def _archive(self, index: int, source: Path, found: Inspection) -> None:
        final = self.folder / packed_name_of(index)
        # there already: an archiver was killed behind the rename
        raw = digest(source, found.end) if final.exists() else self._pack(source, found.end, final)
        packed = self._compared(final, raw)
        header = read_header(source)
        assert header is not None
        self._append(
            Archived(
                index=index, first=found.first_sequence, last=found.last_sequence, session=header.session,
                build=header.build, opened_ns=header.opened_ns, closed_ns=closed_ns(source, found.end),
                reason=REASONS[found.reason], bytes=raw.size, sha256=raw.sha256, packed_bytes=packed.size,
                packed_sha256=packed.sha256,
            )
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
        if self.chain.retired and not any(map(self.is_state, indexed(self.tape, STATE).values())):
            self._tell_once(
                "no state file is good any more, and what they were made of is retired: live segments "
                "are kept"
            )
            return
        begin = min([*self.chain.segments, *indexed(self.tape, LIVE)], default=None)
        self.fold(self.tape, index, begin, unpacked_from(self.folder))
        self.reached("folded")

    def _mend_state(self) -> bool:
        """Live segments are gone, and no state file tells a start what they came to (another build wrote
        them, or somebody removed them): make one from the archive."""
        live, is_first = indexed(self.tape, LIVE), not self._has_looked
        self._has_looked = True
        newest, begin = newest_in_use(live), next(iter(live), -1)
        if not is_first or self.fold is None or begin <= min(self.chain.segments, default=begin):
            return False
        if not self._has_state_behind(begin - 1, newest):
            self._fold(newest)
            return True
        return False

    # ---- one segment ----

    def _pack(self, source: Path, end: int, final: Path) -> Digest:
        part = final.with_name(f"{final.name}.part")
        try:
            raw = pack(source, end, part)
            self.reached("part")
            part.rename(final)
        except OSError:
            part.unlink(missing_ok=True)  # a half-made file would sit on the last free bytes
            raise
        self.reached("renamed")
        sync_folder(self.folder)
        return raw

    def _compared(self, final: Path, raw: Digest) -> Digest:
        """What was written, read back. Raises Stuck where it is not the segment."""
        try:
            is_same = unpack(final) == raw
        except Damaged:
            is_same = False
        if not is_same:
            raise Stuck(
                f"{final}: does not unpack to the segment: a foreign file, another tape's, or a bad "
                f"disk; look at it, "
                "then move it away"
            )
        self.reached("compared")
        return digest(final)

    def _append(self, line: Line) -> None:
        whole = sealed(line, self.chain.head)
        path = self.folder / CHAIN
        offset = path.stat().st_size if path.exists() else 0
        wrong = self.chain.wrong(whole)
        if wrong:  # behind a line that does not fit, the chain would be no chain for ever
            raise self._strange(wrong)
        append(path, whole)
        self.chain.add(whole, offset)

    # ---- checkpoints ----

    def _sign_if_due(self, now_ns: int) -> bool:
        fresh = self.chain.lines[self.signed_lines :]
        enough = self.policy.checkpoint_segments if self.signed_lines else 1  # the first is signed at once
        many = sum(isinstance(x, Archived) for x in fresh) >= enough
        old = now_ns - self.signed_ns >= self.policy.checkpoint_ns
        return bool(fresh) and (many or old) and self.sign(now_ns)

    def sign(self, now_ns: int) -> bool:
        """A checkpoint of the chain as it is now; False where that is signed already. Raises OSError."""
        if self.signed_lines == len(self.chain.lines) or self.key is None:
            return False
        last = self.chain.last
        line = sign(
            self.key,
            Checkpoint(
                lines=len(self.chain.lines), head=self.chain.head, index=-1 if last is None else last.index,
                sequence=self.chain.next_sequence - 1, at_ns=now_ns, key="", previous=self.tail,
            ),
        )  # fmt: skip
        self.tail = append(self.folder / CHECKPOINTS, line)
        self.signed_lines, self.signed_ns = line.lines, now_ns
        self.reached("signed")
        return True

    # ---- deleting ----

    def _drop_live(self) -> bool:
        """Delete the oldest live segment, where all that is asked of it is true."""
        live = indexed(self.tape, LIVE)
        newest = newest_in_use(live)
        index = next(iter(live), -1)
        line = self.chain.segments.get(index)
        if line is None or index > newest - self.policy.hot_segments or index in self.chain.retired:
            return False
        if not self._has_state_behind(index, newest):
            self._tell_once(
                "live segments are kept: there is no state file behind them that a start could begin with"
            )
            return False
        self._belongs()
        found = digest(self.folder / packed_name_of(index))
        if (found.size, found.sha256) != (line.packed_bytes, line.packed_sha256):
            raise Stuck(
                f"{self.folder / packed_name_of(index)}: was changed since it was archived: see "
                f"`tickgate tape verify`; "
                "the live segment is kept"
            )
        self._is_as_archived(live[index], line)
        with self.quiet() as is_quiet:
            if is_quiet:
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
        kept = [x for i, x in self.chain.segments.items() if i not in self.chain.retired]
        if len(kept) <= self.policy.hot_segments or (self.tape / name_of(kept[0].index)).exists():
            return False
        too_old = self.policy.keep_ns and now_ns - kept[0].closed_ns > self.policy.keep_ns
        too_much = self.policy.keep_bytes and sum(x.packed_bytes for x in kept) > self.policy.keep_bytes
        if not too_old and not too_much:
            return False
        self._append(Retired(kept[0].index, now_ns, "age" if too_old else "size"))
        self.reached("retired")
        (self.folder / packed_name_of(kept[0].index)).unlink(missing_ok=True)
        self.reached("removed")
        return True

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


def _is_of(header: Header, line: Archived) -> bool:
    """A segment with this header is the one that the chain has."""
    return (header.first_sequence, header.opened_ns, header.session) == (
        line.first,
        line.opened_ns,
        line.session,
    )


def foreign_files(folder: Path, key_path: Path) -> list[Path]:
    """What is in an archive and does not belong there."""
    ours = {CHAIN, CHECKPOINTS, LOCK, key_path.name, f"{key_path.name}.part"}
    return [
        x
        for x in folder.iterdir()
        if x.name not in ours and not PACKED.fullmatch(x.name) and not PART.fullmatch(x.name)
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

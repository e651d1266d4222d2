"""The records of a tape in the order of their sequence, wherever they lie: in the archive, or live.

What is read is checked as it is read, by the same reader. Segments change places while somebody reads: one
that the archiver has deleted meanwhile is found in the archive.
"""

import mmap
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ext.tape import Record, RecordType, TapeCorrupt, TapeMissing, TapeReader
from node.slow.chain import CHAIN
from node.slow.forks import History, history_of, own_history
from node.slow.segments import FOLDER, LIVE, indexed, read_header

HEAD_RECORDS = 64


@dataclass(frozen=True, slots=True)
class Place:
    """One segment: its file, and whether that is compressed."""

    index: int
    first_sequence: int
    path: Path
    is_packed: bool


def segments(directory: Path, archive: Path | None = None) -> list[Place]:
    """Every segment of the tape in `directory` that there is, oldest first; the live file where there are
    both. `archive`: where it is, if not in the tape's directory. Raises OSError."""
    history, live = _history(directory, archive)
    lines = history.segments
    found = {i: Place(i, lines[i].first, path, True) for i, path in history.packed.items()}
    for index, path in live.items():
        header = read_header(path)
        if header is not None:  # else archived since, or only prepared
            found[index] = Place(index, header.first_sequence, path, False)
    return [found[i] for i in sorted(found)]


def opened(
    directory: Path,
    types: Collection[int] | None = None,
    from_sequence: int | None = None,
    archive: Path | None = None,
) -> TapeReader:
    """A reader over archive and live directory from the segment with `from_sequence` on (None: from the
    oldest that there is). `types`, `archive`: as of `read`. Raises TapeMissing where there is no tape, or
    it begins later, and TapeCorrupt where the chain tells of no segment because it is damaged."""
    places = segments(directory, archive)
    if from_sequence is None or not places or from_sequence < places[0].first_sequence:
        _is_known(directory, archive)
    if from_sequence is None or not places:
        # also one with a header that cannot be read: the reader says so
        found = [*(x.index for x in places), *indexed(directory, LIVE)]
        return _reader(directory, archive, min(found, default=None), types)
    if from_sequence < places[0].first_sequence:
        what = f"the tape begins at sequence {places[0].first_sequence}: older segments are retired"
        raise TapeMissing(2, what, str(directory))
    place = next(x for x in reversed(places) if x.first_sequence <= from_sequence)
    return _reader(directory, archive, place.index, types)


def read(
    directory: Path,
    types: Collection[int] | None = None,
    from_sequence: int | None = None,
    archive: Path | None = None,
    at_end: Callable[[TapeReader], object] = lambda reader: None,
) -> Iterator[Record]:
    """Records from `from_sequence` on (None: from the oldest that there is), of these `types` (None: all).
    A tape that is being written is read up to where it stands. `archive`: as of `segments`. `at_end` is given
    the reader behind the last record: it knows of a torn tail. Raises TapeMissing where there is no tape, or
    it begins later, and TapeCorrupt where damage or a hole is reached."""
    reader = opened(directory, types, from_sequence, archive)
    try:
        for record in reader:
            if record.sequence >= (from_sequence or 0):
                yield record
        at_end(reader)
    except TapeCorrupt as error:
        # An archive without its tape ends where the next segment would have begun.
        last = segments(directory, archive)[-1]
        if not (last.is_packed and reader.index == last.index and "is missing" in str(error)):
            raise


def names_before(directory: Path, sequence: int, archive: Path | None = None) -> list[Record]:
    """The CONFIG record that the records from `sequence` on were written under: a list of it, or an empty
    one. It stands near the beginning of a segment, so that only the first ones of each are read, the newest
    segment first. Raises as `read`."""
    for place in reversed(segments(directory, archive)):
        if place.first_sequence > sequence:
            continue
        head = islice(_reader(directory, archive, place.index, None), HEAD_RECORDS)
        found = [x for x in head if x.type == RecordType.CONFIG and x.sequence < sequence]
        if found:
            return found[-1:]
    return []


def _reader(
    directory: Path, archive: Path | None, index: int | None, types: Collection[int] | None
) -> TapeReader:
    def archived(number: int) -> mmap.mmap | None:
        return _history(directory, archive)[0].unpacked(number)  # as it is now: segments change places

    return TapeReader(str(directory), types=types, from_index=index, archived=archived)


def _is_known(directory: Path, archive: Path | None) -> None:
    """Without its chain nobody knows what came before the live segments: they are not the whole tape."""
    history = _history(directory, archive)[0]
    for x in history.chain.problems if not history.segments else []:
        raise TapeCorrupt(str(history.folder / CHAIN), x.offset, x.sequence or 0, x.what)


def _history(directory: Path, archive: Path | None) -> tuple[History, dict[int, Path]]:
    """What of the archive the live segments go on from, and these. Where an archive is read without a tape:
    that archive, or that fork of it."""
    if archive == directory:
        return own_history(directory), {}
    live = indexed(directory, LIVE)
    return history_of(directory / FOLDER if archive is None else archive, live), live

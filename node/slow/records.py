"""The records of a tape in the order of their sequence, wherever they lie: in the archive, or live.

What is read is checked as it is read, by the same reader. Segments change places while somebody reads: one
that the archiver has deleted meanwhile is found in the archive.
"""

import mmap
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ext.tape import Record, RecordType, TapeCorrupt, TapeMissing, TapeReader
from node.slow.chain import read_chain
from node.slow.segments import FOLDER, LIVE, PACKED, Damaged, indexed, packed_name_of, read_header, unpack

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
    folder = directory / FOLDER if archive is None else archive
    chain = read_chain(folder)
    packed = indexed(folder, PACKED)
    found = {i: Place(i, x.first, packed[i], True) for i, x in chain.segments.items() if i in packed}
    for index, path in indexed(directory, LIVE).items():
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
    it begins later."""
    places = segments(directory, archive)
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
    folder = directory / FOLDER if archive is None else archive
    return TapeReader(str(directory), types=types, from_index=index, archived=unpacked_from(folder))


def unpacked_from(folder: Path) -> Callable[[int], mmap.mmap | None]:
    """What gives a reader the segments of an archive."""

    def unpacked(index: int) -> mmap.mmap | None:
        """Mapped, so that a large one need not fit into memory. Raises TapeCorrupt."""
        path = folder / packed_name_of(index)
        try:
            with tempfile.TemporaryFile() as room:
                size = unpack(path, room).size
                room.flush()
                return mmap.mmap(room.fileno(), size, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            return None
        except (Damaged, ValueError) as error:  # ValueError: nothing came out
            raise TapeCorrupt(str(path), getattr(error, "offset", 0), 0, str(error)) from None

    return unpacked

"""Reading over archive and live directory as if they were one."""

import archives
import pytest

from ext.tape import RecordType, TapeCorrupt, TapeMissing, TapeReader
from node.slow.records import names_before, read, segments
from node.slow.segments import LIVE, PACKED, indexed


@pytest.fixture
def tape(tmp_path):
    """All but two segments are in the archive only."""
    archives.write(tmp_path / "tape")
    archives.settle(archives.archive_of(tmp_path / "tape"))
    assert len(indexed(tmp_path / "tape", LIVE)) == 2
    return tmp_path / "tape"


@pytest.fixture
def records(tmp_path):
    """What must be read."""
    archives.write(tmp_path / "same")
    return list(TapeReader(tmp_path / "same"))


def test_all_is_read_in_order_wherever_it_lies(tape, records):
    assert list(read(tape)) == records


@pytest.mark.parametrize("first", [1, 2, 21, 22, 60, 99, 100])
def test_reading_begins_where_it_is_asked_to(tape, records, first):
    assert list(read(tape, from_sequence=first)) == records[first - 1 :]
    assert list(read(tape, from_sequence=101)) == []


def test_only_the_types_that_are_asked_for_are_read(tape, records):
    archives.write(tape, 3, kind=RecordType.NOTE)
    assert [x.sequence for x in read(tape, types={RecordType.NOTE})] == [101, 102, 103]
    assert list(read(tape, types=[RecordType.FRAME])) == records
    assert list(read(tape, types=[RecordType.FILL])) == []


def test_an_archive_alone_is_read_to_its_end(tape, records):
    for path in indexed(tape, LIVE).values():
        path.unlink()
    assert list(read(tape)) == records
    last = max(indexed(tape / "archive", PACKED))
    first = next(x.first_sequence for x in segments(tape) if x.index == last)
    (tape / "archive" / f"{last:08d}.tape.zst").unlink()
    assert list(read(tape)) == records[: first - 1]
    assert list(read(tape / "archive", archive=tape / "archive")) == records[: first - 1]


def test_a_segment_that_is_archived_while_it_is_read_goes_on(tmp_path, records):
    tape = tmp_path / "tape"
    archives.write(tape)
    reader = read(tape)
    head = [next(reader) for _ in range(30)]
    archives.settle(archives.archive_of(tape))
    assert len(indexed(tape, LIVE)) == 2
    assert head + list(reader) == records


def test_a_tape_that_is_being_written_is_read_up_to_where_it_stands(tape, records):
    archives.write(tape, 5, close=False)
    assert [x.sequence for x in read(tape)] == list(range(1, 106))


def test_a_hole_is_an_error_where_it_is_reached(tape, records):
    (tape / "archive" / "00000001.tape.zst").unlink()
    first = segments(tape)[1].first_sequence - 1
    found, reader = [], read(tape)
    while len(found) < 20:
        found.append(next(reader))
    with pytest.raises(TapeCorrupt, match="00000001"):
        found.extend(reader)
    assert first > 20
    assert found == records[: len(found)]


def test_a_damaged_file_of_the_archive_is_an_error_where_it_is_reached(tape):
    archives.flip(tape / "archive" / "00000000.tape.zst", -6)
    with pytest.raises(TapeCorrupt, match=r"00000000\.tape\.zst"):
        list(read(tape))


def test_a_chain_whose_beginning_is_damaged_is_an_error_and_not_a_shorter_tape(tape, records):
    live = min(int(x.stem) for x in tape.glob("*.tape"))
    assert live > 0
    archives.flip(tape / "archive" / "chain.jsonl", 60)
    for start in (None, 1):
        with pytest.raises(TapeCorrupt, match=r"chain\.jsonl: offset 0"):
            list(read(tape, from_sequence=start))
    assert list(read(tape, from_sequence=records[-1].sequence)) == records[-1:], "what is live needs no chain"
    with pytest.raises(TapeCorrupt, match=r"chain\.jsonl: offset 0"):
        list(read(tape / "archive", archive=tape / "archive"))


def test_what_is_retired_is_said_to_be(tape, records):
    archives.settle(archives.archive_of(tape, keep_bytes=1))
    first = segments(tape)[0].first_sequence
    assert first > 1
    assert list(read(tape)) == records[first - 1 :]
    with pytest.raises(TapeMissing, match=f"begins at sequence {first}"):
        list(read(tape, from_sequence=first - 1))


def test_there_may_be_no_tape(tmp_path):
    with pytest.raises(TapeMissing):
        list(read(tmp_path))
    with pytest.raises(TapeMissing):
        list(read(tmp_path / "nowhere"))


def test_the_names_are_those_of_the_run_that_a_record_is_of(tape):
    archives.write(tape, 1, kind=RecordType.CONFIG)
    archives.write(tape, 40)
    archives.write(tape, 1, kind=RecordType.CONFIG)
    archives.write(tape, 4)
    assert names_before(tape, 50) == []
    assert [x.sequence for x in names_before(tape, 141)] == [101]
    assert [x.sequence for x in names_before(tape, 146)] == [142]


def test_a_first_segment_with_a_damaged_header_is_not_passed_over(tmp_path):
    archives.write(tmp_path)
    path = tmp_path / "00000000.tape"
    path.write_bytes(b"x" + path.read_bytes()[1:])
    with pytest.raises(TapeCorrupt, match="00000000"):
        list(read(tmp_path))

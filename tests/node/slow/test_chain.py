"""The chain: every byte of it counts."""

import os

import archives
import msgspec
import pytest

from node.slow import chain
from node.slow.chain import (
    CHAIN,
    CHECKPOINTS,
    Archived,
    Begin,
    Checkpoint,
    Retired,
    append,
    read_chain,
    read_checkpoints,
    sealed,
)


def segment(index, first, last):
    return Archived(index, first, last, "s", "b", 1, 2, "rotated", 100, "00", 50, "11")


LINES = [Begin(7, 3, 31), segment(3, 31, 40), segment(4, 41, 41), Retired(3, 9, "age"), segment(5, 42, 60)]


def write(folder, lines=LINES):
    previous = chain.NOTHING
    for line in lines:
        whole = sealed(line, previous)
        append(folder / CHAIN, whole)
        previous = whole.hash


def test_what_is_appended_is_read(tmp_path):
    write(tmp_path)
    found = read_chain(tmp_path)
    assert not found.problems
    assert [type(x) for x in found.lines] == [type(x) for x in LINES]
    assert (found.next_index, found.next_sequence) == (6, 61)
    assert list(found.segments) == [3, 4, 5]
    assert list(found.retired) == [3]
    assert found.head == found.lines[-1].hash


def test_there_may_be_no_chain(tmp_path):
    found = read_chain(tmp_path)
    assert (found.lines, found.problems, found.next_index, found.torn) == ([], [], -1, -1)


@pytest.mark.parametrize("step", [29, pytest.param(1, marks=pytest.mark.soak)])
def test_every_flipped_bit_is_found_at_its_line(tmp_path, step):
    write(tmp_path)
    path = tmp_path / CHAIN
    whole = path.read_bytes()
    starts = read_chain(tmp_path).offsets
    for at in range(0, len(whole), step):
        for bit in (at % 8,) if step > 1 else range(8):
            archives.flip(path, at, bit)
            found = read_chain(tmp_path)
            line = max(x for x in starts if x <= at)
            where = found.problems[0].offset if found.problems else found.torn
            assert where == line, (at, bit)
            path.write_bytes(whole)


@pytest.mark.parametrize("step", [29, pytest.param(1, marks=pytest.mark.soak)])
def test_a_chain_that_is_cut_is_torn_or_shorter(tmp_path, step):
    write(tmp_path)
    whole, starts = (tmp_path / CHAIN).read_bytes(), read_chain(tmp_path).offsets
    for size in [*range(0, len(whole), step), *starts]:
        (tmp_path / CHAIN).write_bytes(whole[:size])
        found = read_chain(tmp_path)
        assert not found.problems
        is_whole = size in starts
        assert found.torn == (-1 if is_whole else max(x for x in starts if x <= size))
        assert len(found.lines) == sum(x <= size for x in starts) - 1


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 3), (3, 4), (1, 4)])
def test_lines_that_were_swapped_do_not_follow_each_other(tmp_path, first, second):
    write(tmp_path)
    rows = (tmp_path / CHAIN).read_bytes().splitlines(keepends=True)
    rows[first], rows[second] = rows[second], rows[first]
    (tmp_path / CHAIN).write_bytes(b"".join(rows))
    found = read_chain(tmp_path)
    assert len(found.lines) == first
    assert "does not follow" in found.problems[0].what


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([LINES[1]], "begins once"),
        ([LINES[0], LINES[0]], "begins once"),
        ([LINES[0], segment(4, 31, 40)], "must be segment 3"),
        ([LINES[0], segment(3, 32, 40)], "must be segment 3"),
        ([LINES[0], LINES[1], Retired(4, 9, "age")], "retires segment 4"),
        ([*LINES[:4], Retired(3, 9, "age")], "retires segment 3"),
    ],
)
def test_lines_with_good_hashes_must_make_sense_too(tmp_path, wrong, said):
    write(tmp_path, wrong)
    assert said in read_chain(tmp_path).problems[0].what


def test_a_line_that_says_the_same_in_other_bytes_is_refused(tmp_path):
    write(tmp_path, LINES[:1])
    raw = (tmp_path / CHAIN).read_bytes()
    for other in (raw.replace(b":7,", b": 7,"), raw.replace(b"{", b'{"more":1,'), b"\xff" + raw, b"\n" + raw):
        (tmp_path / CHAIN).write_bytes(other)
        assert read_chain(tmp_path).problems


def test_checkpoints_follow_each_other(tmp_path):
    first = Checkpoint(1, "00", 3, 40, 1, "key")
    tail = append(tmp_path / CHECKPOINTS, first)
    append(tmp_path / CHECKPOINTS, msgspec.structs.replace(first, lines=2, previous=tail))
    assert len(read_checkpoints(tmp_path).lines) == 2
    rows = (tmp_path / CHECKPOINTS).read_bytes().splitlines(keepends=True)
    (tmp_path / CHECKPOINTS).write_bytes(rows[1])
    assert "does not follow" in read_checkpoints(tmp_path).problems[0].what
    (tmp_path / CHECKPOINTS).write_bytes(rows[0] + rows[1][:-1])
    assert read_checkpoints(tmp_path).torn == len(rows[0])


def test_what_a_full_disk_took_of_a_line_is_taken_back(tmp_path, monkeypatch):
    write(tmp_path, LINES[:2])
    before = (tmp_path / CHAIN).read_bytes()
    real = os.write
    monkeypatch.setattr(chain.os, "write", lambda fd, raw: real(fd, raw[:10]))
    with pytest.raises(OSError, match="No space"):
        append(tmp_path / CHAIN, LINES[2])
    assert (tmp_path / CHAIN).read_bytes() == before


def test_a_chain_says_whether_a_line_fits_before_it_takes_it():
    found = chain.Chain()
    begin = sealed(LINES[0], chain.NOTHING)
    assert not found.wrong(begin)
    assert not found.lines
    found.add(begin, 0)
    assert "must be segment 3" in found.wrong(sealed(segment(4, 31, 40), begin.hash))
    assert "must be segment 3" in found.wrong(sealed(segment(3, 32, 40), begin.hash))
    assert not found.wrong(sealed(segment(3, 31, 40), begin.hash))


def test_what_could_not_even_be_taken_back_is_cut_by_the_next_line(tmp_path, monkeypatch):
    write(tmp_path, LINES[:2])
    before, found = (tmp_path / CHAIN).read_bytes(), read_chain(tmp_path)
    real = os.write

    def fails(*args):
        raise OSError(5, "Input/output error")

    for name, broken in (("write", lambda fd, raw: real(fd, raw[:10])), ("fsync", fails)):
        with monkeypatch.context() as patch:
            patch.setattr(chain.os, name, broken)
            patch.setattr(chain.os, "ftruncate", fails)
            with pytest.raises(OSError, match="No space" if name == "write" else "Input/output"):
                append(tmp_path / CHAIN, sealed(LINES[2], found.head), found.end)
            assert (tmp_path / CHAIN).read_bytes() != before
            with pytest.raises(OSError, match="Input/output"):
                append(tmp_path / CHAIN, sealed(LINES[2], found.head), found.end)
        append(tmp_path / CHAIN, sealed(LINES[2], found.head), found.end)
        again = read_chain(tmp_path)
        assert (again.problems, again.torn, len(again.lines)) == ([], -1, 3)
        (tmp_path / CHAIN).write_bytes(before)


def test_a_chain_that_somebody_has_cut_meanwhile_is_not_written_behind(tmp_path):
    write(tmp_path, LINES[:2])
    found = read_chain(tmp_path)
    (tmp_path / CHAIN).write_bytes(b"")
    with pytest.raises(OSError, match="somebody has cut it"):
        append(tmp_path / CHAIN, sealed(LINES[2], found.head), found.end)
    assert (tmp_path / CHAIN).read_bytes() == b""


def test_where_a_line_ends_is_known_however_it_came(tmp_path):
    write(tmp_path)
    told = chain.Chain()
    for line in read_chain(tmp_path).lines:
        told.add(line, told.end)
    assert told.end == read_chain(tmp_path).end == (tmp_path / CHAIN).stat().st_size


def test_lines_are_settled_as_they_are(tmp_path):
    write(tmp_path)
    before, found = (tmp_path / CHAIN).read_bytes(), read_chain(tmp_path)
    chain.settle(tmp_path / CHAIN, found.offsets[-1], found.end)
    assert (tmp_path / CHAIN).read_bytes() == before

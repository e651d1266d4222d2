"""Damage to a tape, everywhere: cut at each byte of its last 64 KB, and bits flipped at random places. Each
is detected, what is read is what was written up to there, and never a record that nobody wrote."""

import itertools
import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest

from ext.tape import RecordType, TapeCorrupt, TapeReader, TapeWriter, verify

SEGMENT = 128 << 10
TAIL = 64 << 10
FLIPS = 10_000
NAMES = [f"{i:08d}.tape" for i in range(3)]


@pytest.fixture
def folder(tmp_path):
    """In memory where the machine has such a place: the campaigns write each file thousands of times."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


class Specimen:
    """Two full segments and a third with more than 64 KB, and what is on them. `ends`: for each record
    of the last segment, where its bytes and where its padding end."""

    def __init__(self, folder: Path, *, closed: bool):
        self.folder = folder / "tape"
        draw = random.Random(11)
        writer = TapeWriter(self.folder, now_ns=1, segment_size=SEGMENT, session=b"specimen")
        self.ends: list[tuple[int, int]] = []
        at = 64
        while writer.index < 2 or at < TAIL + 3000:
            before, payload = writer.index, draw.randbytes(draw.choice((0, 8, 32, 33, 200, 1600)))
            writer.append(draw.randrange(1, 20), draw.randrange(9), draw.randrange(1 << 60), payload)
            at = 64 if writer.index != before else at
            if writer.index == 2:
                self.ends.append((at + 32 + len(payload), at + (32 + len(payload) + 63) // 64 * 64))
            at += (32 + len(payload) + 63) // 64 * 64
        self.used, self.is_closed = at, closed
        if closed:
            writer.close(2)
            self.used += 64
        del writer
        self.path = self.folder / NAMES[2]
        self.whole = {name: (self.folder / name).read_bytes() for name in NAMES}
        self.records = list(TapeReader(self.folder))
        self.last = self.records[-len(self.ends) :]

    def read_last(self) -> tuple[list, TapeReader, str]:
        """What a reader hands out of the last segment, the reader, and what it raised ("" = nothing)."""
        reader, out = TapeReader(self.folder, from_index=2), []
        try:
            out.extend(reader)
        except TapeCorrupt as error:
            return out, reader, str(error)
        return out, reader, ""

    def restore(self) -> None:
        for name, data in self.whole.items():
            (self.folder / name).write_bytes(data)


# ---- the tail cut off


def cuts(specimen: Specimen, wanted) -> list[int]:
    """Offsets to cut at, from the end on: of the last 64 KB that records are in."""
    return [x for x in range(specimen.used - 1, specimen.used - TAIL - 1, -1) if wanted(x)]


def is_near_an_edge(specimen: Specimen):
    """A sample that has every byte of two records and their surroundings, and a few hundred others."""
    middle = specimen.ends[len(specimen.ends) // 2][1]
    return lambda x: x >= specimen.used - 200 or abs(x - middle) < 100 or x % 257 == 0


def check_cut_short(specimen: Specimen, cut: int) -> None:
    """The file ends at `cut`: exactly the records that end before it are left, and it is said."""
    left = sum(end <= cut for _, end in specimen.ends)
    got, reader, raised = specimen.read_last()
    assert got == specimen.last[:left], cut
    assert reader.torn, cut
    assert not raised, cut
    assert not verify(specimen.folder).ok, cut


def check_cut_to_zero(specimen: Specimen, cut: int) -> None:
    """Everything from `cut` on was never written. A record is left where all of it that is not zero is."""
    data = specimen.whole[NAMES[2]]
    left = sum(end <= cut or not any(data[cut:end]) for end, _ in specimen.ends)
    got, reader, raised = specimen.read_last()
    assert got == specimen.last[:left], cut
    assert not raised, cut
    assert reader.sealed == (specimen.is_closed and not any(data[cut:])), cut  # its seal ends in zeros
    torn = any(data[specimen.ends[left - 1][1] : cut]) and not reader.sealed
    assert bool(reader.torn) == torn, cut
    assert verify(specimen.folder).ok != torn, cut


def check_recovery(specimen: Specimen, cut: int) -> None:
    """The next writer goes on behind the last whole record, and keeps what it cut."""
    before = specimen.path.read_bytes()
    left = sum(end <= cut for _, end in specimen.ends)
    end = specimen.ends[left - 1][1]
    with_writer = TapeWriter(specimen.folder, now_ns=5, segment_size=SEGMENT)
    with_writer.append(RecordType.NOTE, 0, 6, b"on")
    with_writer.close(7)
    rows = [tuple(x)[1:] for x in TapeReader(specimen.folder)]
    wanted = [tuple(x)[1:] for x in specimen.records[: len(specimen.records) - len(specimen.last) + left]]
    assert rows[:-1] == wanted
    assert verify(specimen.folder).ok
    kept = specimen.folder / NAMES[2].replace(".tape", ".torn")
    assert (kept.read_bytes() if kept.exists() else b"") == before[end:].rstrip(b"\0")
    for path in specimen.folder.iterdir():
        if path.name not in NAMES:
            path.unlink()
    specimen.path.write_bytes(before)


def campaign_of_cuts(folder: Path, *, closed: bool, wanted, recover_every: int) -> int:
    specimen = Specimen(folder, closed=closed)
    wanted = wanted(specimen)
    count = 0
    for cut in cuts(specimen, wanted):  # ever shorter
        os.truncate(specimen.path, cut)
        check_cut_short(specimen, cut)
        if count % recover_every == 0:
            check_recovery(specimen, cut)
        count += 1
    specimen.restore()
    with specimen.path.open("r+b", buffering=0) as file:
        behind = specimen.used
        for cut in cuts(specimen, wanted):
            file.seek(cut)
            file.write(bytes(behind - cut))
            behind = cut
            check_cut_to_zero(specimen, cut)
            count += 1
    shutil.rmtree(specimen.folder)
    return count


@pytest.mark.parametrize("closed", [True, False])
def test_a_tape_cut_in_its_last_64_kilobytes_ends_with_the_last_whole_record(folder, closed):
    count = campaign_of_cuts(folder, closed=closed, wanted=is_near_an_edge, recover_every=60)
    assert count > 1000


@pytest.mark.soak
@pytest.mark.parametrize("closed", [True, False])
def test_a_tape_cut_at_every_byte_of_its_last_64_kilobytes_ends_with_the_last_whole_record(folder, closed):
    count = campaign_of_cuts(folder, closed=closed, wanted=lambda _: lambda _: True, recover_every=97)
    assert count == 2 * TAIL


# ---- bits flipped


def check_flip(specimen: Specimen, what: str, *, closed: bool) -> None:
    """Never a wrong record, at rest or followed; and it is said, by whoever reads and by `verify`."""
    reader, out, raised = TapeReader(specimen.folder), [], False
    try:
        out.extend(reader)
    except TapeCorrupt:
        raised = True
    assert out == specimen.records[: len(out)], what
    assert raised or reader.torn or (closed and not reader.sealed), what
    assert not verify(specimen.folder).ok, what
    follower, seen, stopped = TapeReader(specimen.folder, follow=True), [], False
    try:
        seen.extend(follower)
    except TapeCorrupt:
        stopped = True
    assert seen == specimen.records[: len(seen)], what
    assert len(seen) >= len(out), what
    if raised and len(out) < len(specimen.records):  # it never waits for a record that will not come
        assert stopped or seen == specimen.records, what  # bytes behind a seal harm nobody


def campaign_of_flips(folder: Path, count: int, seed: int, *, closed: bool) -> None:
    """In any byte of any segment; half of them where records are, as the rest is zeros for the most part."""
    specimen = Specimen(folder, closed=closed)
    assert verify(specimen.folder).ok
    draw = random.Random(seed)
    files = {name: (specimen.folder / name).open("r+b", buffering=0) for name in NAMES}
    for number in range(count):
        name = draw.choice(NAMES)
        used = specimen.used if name == NAMES[2] else SEGMENT
        at, bit = draw.randrange(used if number % 2 else SEGMENT), draw.randrange(8)
        file, byte = files[name], specimen.whole[name][at]
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))
        check_flip(specimen, f"seed {seed}, {name}, byte {at}, bit {bit}", closed=closed)
        file.seek(at)
        file.write(bytes([byte]))
    for file in files.values():
        file.close()
    assert verify(specimen.folder).ok
    assert list(TapeReader(specimen.folder)) == specimen.records


@pytest.mark.parametrize("closed", [True, False])
def test_flipped_bits_are_found_and_no_wrong_record_is_read(folder, closed):
    campaign_of_flips(folder, 250, seed=1, closed=closed)


@pytest.mark.soak
@pytest.mark.parametrize(("closed", "seed"), [(True, 2), (False, 3)])
def test_ten_thousand_flipped_bits_are_found_and_no_wrong_record_is_read(folder, closed, seed):
    campaign_of_flips(folder, FLIPS, seed=seed, closed=closed)


# ---- what a single flip cannot do, and a careless disk can


@pytest.mark.parametrize("garbage", [b"\xff", b"\x00", b"noise"])
def test_a_page_that_came_back_as_something_else_is_found(folder, garbage):
    specimen = Specimen(folder, closed=True)
    for name, at in itertools.product(NAMES, range(4096, TAIL, 16 * 4096)):
        data = specimen.whole[name]
        filled = (garbage * 4096)[:4096]
        (specimen.folder / name).write_bytes(data[:at] + filled + data[at + 4096 :])
        check_flip(specimen, f"{name} page at {at}", closed=True)
        (specimen.folder / name).write_bytes(data)


def test_two_pages_swapped_are_found(folder):
    specimen = Specimen(folder, closed=True)
    data = specimen.whole[NAMES[1]]
    one, two = data[8192:12288], data[16384:20480]
    (specimen.folder / NAMES[1]).write_bytes(data[:8192] + two + data[12288:16384] + one + data[20480:])
    check_flip(specimen, "pages swapped", closed=True)

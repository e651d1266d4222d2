"""Dials: whatever is on the page, a reader gets a number inside its bounds, or the neutral one."""

import os
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext.dials import Dial, DialLocked, DialMismatch, Dials, DialWriter

ROOT = Path(__file__).parents[2]
LEASE = 1_000_000_000
PAIR = Dial("pair", (5, -5), (0, -100), (100, 0))
ONE = Dial("one", 7, -10, 10)
DIALS = (PAIR, ONE)
NEUTRAL = ((5, -5), (7,))
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)


@pytest.fixture
def page(tmp_path):
    return tmp_path / "dials"


def poke(page: Path, slot: int, version: int, values, expires_ns: int) -> None:
    """Write a slot as a hostile or dying writer would."""
    with page.open("r+b") as file:
        file.seek(64 * (slot + 1))
        file.write(struct.pack("<Q4qq", version, *values, expires_ns))


def test_values_hold_for_their_lease_and_then_go_neutral(page):
    writer = DialWriter(page, DIALS)
    dials = Dials(page, DIALS)
    assert dials.values(0) == NEUTRAL
    writer.set(0, (10, -20), 100, LEASE)
    assert dials.values(100) == ((10, -20), (7,))
    assert dials.values(99 + LEASE) == ((10, -20), (7,))
    assert dials.values(100 + LEASE) == NEUTRAL
    writer.set(1, (-3,), 100, LEASE)
    assert dials.value(1, 0, 100) == -3
    writer.expire(1)
    assert dials.value(1, 0, 100) == 7


def test_values_are_clamped_on_read(page):
    writer = DialWriter(page, DIALS)
    writer.set(0, (1 << 62, -(1 << 63)), 0, LEASE)
    writer.set(1, (-11,), 0, LEASE)
    assert Dials(page, DIALS).values(0) == ((100, -100), (-10,))


def test_a_lease_longer_than_allowed_is_not_believed(page):
    writer = DialWriter(page, DIALS)
    writer.set(1, (3,), 0, 5 * LEASE)
    assert Dials(page, DIALS, lease_ns_max=5 * LEASE).value(1, 0, 0) == 3
    assert Dials(page, DIALS, lease_ns_max=5 * LEASE - 1).value(1, 0, 0) == 7


def test_a_write_cut_in_the_middle_reads_neutral_and_is_counted(page):
    writer = DialWriter(page, DIALS)
    writer.set(1, (3,), 0, LEASE)
    dials = Dials(page, DIALS)
    poke(page, 1, 5, (9, 0, 0, 0), LEASE)
    assert dials.value(1, 0, 0) == 7
    assert dials.torn == 1
    writer.set(1, (4,), 0, LEASE)
    assert dials.value(1, 0, 0) == 4
    assert dials.torn == 1


def test_a_new_writer_expires_what_the_old_one_left_under_a_live_reader(page):
    writer = DialWriter(page, DIALS)
    dials = Dials(page, DIALS)
    writer.set(1, (3,), 0, LEASE)
    writer.close()
    assert dials.value(1, 0, 0) == 3
    poke(page, 0, 3, (1, 1, 1, 1), LEASE)
    writer = DialWriter(page, DIALS)
    assert dials.values(0) == NEUTRAL
    writer.set(1, (2,), 0, LEASE)
    assert dials.value(1, 0, 0) == 2


def test_a_second_writer_is_refused(page):
    writer = DialWriter(page, DIALS)
    with pytest.raises(DialLocked, match="another writer"):
        DialWriter(page, DIALS)
    writer.close()
    DialWriter(page, DIALS).close()
    with pytest.raises(ValueError, match="closed"):
        writer.set(0, (1, 1), 0, 1)


@pytest.mark.parametrize("kind", [Dials, DialWriter])
def test_a_page_of_other_dials_is_refused(page, kind):
    DialWriter(page, DIALS).close()
    with pytest.raises(DialMismatch, match="192 bytes, 1 dials need 128"):
        kind(page, (PAIR,))
    for other in ((ONE, PAIR), (PAIR, Dial("one", 7, -10, 11)), (PAIR, Dial("two", 7, -10, 10))):
        with pytest.raises(DialMismatch, match="other dials"):
            kind(page, other)
    for offset, message in ((0, "magic"), (8, "layout version 9"), (50, "other")):
        good = page.read_bytes()
        page.write_bytes(good[:offset] + b"\x09" + good[offset + 1 :])
        with pytest.raises(DialMismatch, match=message):
            kind(page, DIALS)
        page.write_bytes(good)
    DialWriter(page, (ONE,), replace=True).close()
    assert Dials(page, (ONE,)).values(0) == ((7,),)


def test_a_missing_page_is_an_error_for_a_reader(page):
    with pytest.raises(FileNotFoundError):
        Dials(page, DIALS)


def test_bad_definitions_and_arguments_are_refused(page):
    for bad in ((1, 2, 3), (4, 2, 3), ((1, 1), 0, 2), ((), (), ()), ((0,) * 5,) * 3, (0, 0, 1 << 63)):
        with pytest.raises(ValueError, match="dial x"):
            Dial("x", *bad)
    for bad in ((), (ONE, ONE)):
        with pytest.raises(ValueError, match="definition"):
            DialWriter(page, bad)
    writer = DialWriter(page, DIALS)
    for args in (
        (0, (1,), 0, 1),
        (1, (1, 2), 0, 1),
        (1, (1,), 0, 0),
        (1, (1,), 0, -1),
        (1, (1,), 2, (1 << 63) - 1),
    ):
        with pytest.raises(ValueError, match=r"values needed|lease_ns"):
            writer.set(*args)
    for slot in (-1, 2):
        with pytest.raises(IndexError):
            writer.set(slot, (1,), 0, 1)
        with pytest.raises(AssertionError):
            Dials(page, DIALS).value(slot, 0, 0)
    with pytest.raises(AssertionError):
        Dials(page, DIALS).value(0, 4, 0)
    assert Dials(page, DIALS).values(0) == NEUTRAL


def test_a_slot_is_one_cache_line(page):
    DialWriter(page, DIALS).set(1, (3,), 11, 22)
    data = page.read_bytes()
    assert len(data) == 192
    assert data[:8] == b"TKGDIAL1"
    assert struct.unpack_from("<Q4qqqq", data, 128) == (4, 3, 0, 0, 0, 33, 11, 0)


@settings(max_examples=200, deadline=None)
@given(
    version=st.integers(0, (1 << 64) - 1),
    values=st.lists(INT64, min_size=4, max_size=4),
    expires_ns=INT64,
    now_ns=INT64,
)
def test_no_page_can_push_a_dial_out_of_its_bounds(tmp_path_factory, version, values, expires_ns, now_ns):
    page = tmp_path_factory.getbasetemp() / "hostile"
    DialWriter(page, DIALS).close()
    poke(page, 0, version, values, expires_ns)
    got = Dials(page, DIALS, lease_ns_max=LEASE).values(now_ns)[0]
    current = version and not version & 1 and 0 < expires_ns - now_ns <= LEASE
    wanted = (min(max(values[0], 0), 100), min(max(values[1], -100), 0)) if current else (5, -5)
    assert got == wanted


def test_a_pair_is_always_from_one_write_while_another_process_hammers(page):
    dials = (Dial("pair", (0, 0), (-(10**9), -(10**9)), (10**9, 10**9)),)
    code = """
        import sys
        from ext.dials import Dial, DialWriter
        dials = (Dial("pair", (0, 0), (-10**9, -10**9), (10**9, 10**9)),)
        writer = DialWriter(sys.argv[1], dials)
        print("ready", flush=True)
        for i in range(1, 20_000_000):
            writer.set(0, (i, -i), 0, 10**9)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), os.fspath(page)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == "ready\n"
        reader, seen = Dials(page, dials), set()
        for i in range(5_000_000):
            a, b = reader.values(1)[0]
            assert a == -b
            seen.add(a)
            if i % 1000 == 0:
                os.sched_yield()  # on a busy machine both may share a core
                if i >= 200_000 and len(seen) > 100:
                    break
        assert len(seen) > 100
    finally:
        child.kill()
        child.wait()

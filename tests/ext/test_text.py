"""Decimals are exact or refused, on the vector path, on the scalar path, and against Decimal."""

import json
import re
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext.instruments import Instruments
from ext.text import Grid, read_int, skip_value
from ext.venues.binance import BinanceWire
from ext.wire import ListSink, Verdict

PLAIN = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?")
STEPS = [
    "1",
    "10",
    "0.1",
    "0.10",
    "0.5",
    "0.25",
    "0.01",
    "0.00001",
    "0.00000001",
    "0.000000000000001",
    "250",
    "0.015",
    "0.0000000000000001",
    "0.000000000000000001",
    "1.5",
]


def slow(grid: Grid, text: str) -> int | None:
    try:
        return grid.parse_slow(text)
    except ValueError:
        return None


def short(grid: Grid, text: str) -> int | None:
    """The path for a number at the very end of its buffer."""
    try:
        return grid.parse(text)
    except ValueError:
        return None


WIRES: dict[str, BinanceWire] = {}


def vector(step: str, text: str) -> int | None:
    """The path a number takes inside a frame, where 16 bytes may be loaded at once."""
    if step not in WIRES:
        table = Instruments()
        table.add(0, "X", "1", step)
        WIRES[step] = BinanceWire(table, 0)
    frame = f'{{"s":"X","u":1,"B":"{text}","b":"1","a":"2","A":"0","pad":"0000000000000000"}}'
    sink = ListSink()
    if WIRES[step].read(frame.encode(), sink) != Verdict.HANDLED:
        return None
    return sink.events[0]["bid_lots"]


def exact(step: str, text: str) -> int | None:
    """What Decimal says, within the range a count of steps may have."""
    if not PLAIN.fullmatch(text) or not text.isascii():
        return None
    mantissa_digits = int(text.replace(".", ""))
    value = Decimal(text) / Decimal(step)
    fits = mantissa_digits < 2**200 and value <= 2**62
    return int(value) if fits and value == int(value) else None


digits = st.text("0123456789", min_size=1, max_size=22)
numbers = st.one_of(
    st.tuples(digits, digits).map(".".join),
    digits,
    st.tuples(st.integers(0, 10**10), st.integers(0, 12), st.integers(0, 4)).map(
        lambda x: format(Decimal(x[0]).scaleb(-x[1]), "f") + ("0" * x[2] if x[1] else "")
    ),
    st.text("0123456789.-+eE x", max_size=20),
)


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(STEPS), numbers)
def test_all_paths_give_what_decimal_gives_or_refuse(step, text):
    grid = Grid(step)
    reference = slow(grid, text)
    assert vector(step, text) == reference
    assert short(grid, text) == reference
    expected = exact(step, text)
    if reference is not None:
        assert reference == expected
    elif expected is not None:  # refusing is allowed only for numbers too long to be anything real
        assert len(text.replace(".", "").strip("0")) > 14 or expected > 2**40


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.",
        ".5",
        "1..2",
        "1.2.3",
        "-1",
        "+1",
        "1e5",
        "1E5",
        "00",
        "01",
        "00.5",
        "0x1",
        " 1",
        "1 ",
        "NaN",
        "1,0",
        "9" * 40,
        "1." + "0" * 40 + "1",
        "Infinity",
        "1_0",
        "１",
        "²",
    ],
)
@pytest.mark.parametrize("step", ["0.01", "1", "0.00000001"])
def test_what_is_no_plain_number_is_refused_on_every_path(step, text):
    grid = Grid(step)
    assert slow(grid, text) is None
    assert short(grid, text) is None
    assert vector(step, text) is None
    with pytest.raises(ValueError, match="step"):
        grid.parse(text)


@pytest.mark.parametrize("length", range(1, 25))
def test_every_length_around_the_vector_width_is_read_alike(length):
    for point in range(length):
        text = ("1" + "234567890" * 3)[:length]
        text = text[:point] + "." + text[point + 1 :] if point else text
        for step in ("0.01", "0.00000001", "0.000000000000001"):
            assert vector(step, text) == slow(Grid(step), text) == short(Grid(step), text)


def test_zeros_behind_the_grid_are_read_and_other_digits_are_off_the_grid():
    grid = Grid("0.10")
    assert grid.parse("61234.50") == 612345
    assert grid.parse("61234.50000000") == 612345
    assert grid.parse("0") == grid.parse("0.00000000") == 0
    with pytest.raises(ValueError, match="off the grid"):
        grid.parse("61234.55")
    with pytest.raises(ValueError, match="off the grid"):
        Grid("0.25").parse("0.30")


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(STEPS), st.integers(0, 2**62), st.booleans())
def test_format_is_the_inverse_of_parse(step, steps, keep_zeros):
    grid = Grid(step)
    text = grid.format(steps, keep_zeros)
    assert Decimal(text) == Decimal(step) * steps
    assert PLAIN.fullmatch(text)
    if steps * grid.mantissa <= 2**62 - 10:  # what a reader takes before it divides by the mantissa
        assert grid.parse(text) == steps


@pytest.mark.parametrize(
    "step", ["", "0", "0.00", "-1", "1e-5", "x", "1/3", "0." + "0" * 18 + "1", "1" * 13, "٣"]
)
def test_a_step_must_be_a_positive_plain_decimal(step):
    with pytest.raises(ValueError, match="step"):
        Grid(step)


@settings(max_examples=500, deadline=None)
@given(
    st.integers(-(10**20), 10**20), st.sampled_from([",", "}", "]", " ", "\n", "", ".", "e", "x", '"', "0"])
)
def test_integers_are_exact_or_refused(value, after):
    result = read_int(f"{value}{after}".encode())
    if after in (",", "}", "]", " ", "\n") and abs(value) < 10**18:
        assert result == (value, len(str(value)))
    elif result is not None:
        assert after == "0"


@pytest.mark.parametrize("text", ["01,", "-,", "--1,", "+1,", "1.0,", "1e3,", ",", "", "-01,"])
def test_integers_that_json_would_spell_otherwise_are_refused(text):
    assert read_int(text.encode()) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(max_size=5), x, max_size=4),
    max_leaves=20,
)


@settings(max_examples=500, deadline=None)
@given(json_values, st.sampled_from([None, 1, "\t"]))
def test_skipping_consumes_exactly_one_value(value, indent):
    raw = json.dumps(value, indent=indent).encode()
    assert skip_value(raw + b",1") == len(raw)
    if raw[:1] in (b"{", b"[", b'"'):
        assert all(skip_value(raw[:i]) is None for i in range(len(raw)))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[1,]",
        b"{,}",
        b'{"a"}',
        b"[1}",
        b'{"a":1]',
        b"nul",
        b"tru,",
        b'"a',
        b"[" * 65,
        b"[" * 100000,
        b'"a\\',
        b'{"a" 1}',
        b'"\n"',
    ],
)
def test_malformed_values_are_not_skipped(raw):
    assert skip_value(raw) is None


@pytest.mark.parametrize("length", range(40))
def test_strings_of_every_length_around_the_vector_width_are_skipped_whole(length):
    """An escaped quote, a bare control byte or a quote, wherever in the string it stands."""
    plain = b'"' + b"x" * length + b'"'
    for behind in (b"", b",", b'},"y":"z" and more than a vector'):
        assert skip_value(plain + behind) == len(plain)
    for at in range(1, length + 1):
        head, tail = plain[:at], plain[at + 1 :]
        assert skip_value(head + b"\x1f" + tail + b", and more than a vector") is None
        assert skip_value(head + b'"' + tail + b", and more than a vector") == at + 1
        assert skip_value(head + b"\\" + b'"' + tail + b", and more than a vector") == len(plain) + 1
        assert skip_value(head + "é".encode() + tail + b", and more than a vector") == len(plain) + 1


@pytest.mark.parametrize("length", range(1, 40))
def test_numbers_of_every_length_around_the_vector_width_are_skipped_whole(length):
    number = b"7" * length
    for behind in (b"", b",", b"}", b"]", b" ", b",1234567890123456789", b"} and more than a vector"):
        assert skip_value(number + behind) == length
    for odd in (b"x", b'"', b"{"):
        assert skip_value(number + odd + b", and more than a vector") is None

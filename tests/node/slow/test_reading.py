"""A tape read to its end, whatever its end is; times as people write them."""

import archives
import pytest

from ext.tape import RecordType, TapeWriter
from node.errors import UserError
from node.slow.reading import Records, parse_time, utc

NOW = 1_790_000_000 * 10**9


def tape(directory, count=5, close=True):
    writer = TapeWriter(directory, now_ns=1, segment_size=1 << 16)
    for i in range(count):
        writer.append(RecordType.NOTE, 0, NOW + i, b"{}" * 20)
    if close:
        writer.close(NOW)
    return directory / "00000000.tape"


def test_every_record_comes_in_order_and_a_whole_tape_has_nothing_to_tell(tmp_path):
    tape(tmp_path)
    records = Records(tmp_path, {11})
    assert [x.now_ns for x in records] == [NOW + i for i in range(5)]
    assert (records.torn, records.damage) == ("", "")
    assert list(Records(tmp_path, {1})) == []


def test_where_there_is_no_tape_one_line_says_so(tmp_path):
    for where in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match=f"^{where}: .* tape"):
            list(Records(where, {11}))


def test_a_torn_tail_is_told_and_what_lies_before_it_is_used(tmp_path):
    path = tape(tmp_path, close=False)
    archives.flip(path, 64 + 4 * 128 + 40)  # the fifth record
    records = Records(tmp_path, {11})
    assert len(list(records)) == 4
    assert "torn bytes" in records.torn
    assert records.damage == ""


def test_corruption_is_told_and_what_lies_before_it_is_used(tmp_path):
    path = tape(tmp_path)
    archives.flip(path, 64 + 2 * 128 + 40)  # the third record, with whole ones behind it
    records = Records(tmp_path, {11})
    assert len(list(records)) == 2
    assert str(path) in records.damage
    assert records.torn == ""


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2026-11-20", 1_795_132_800 * 10**9),
        ("2026-11-20T16:09:36", 1_795_190_976 * 10**9),
        ("2026-11-20T16:09:36.5", 1_795_190_976_500_000_000),
        ("2026-11-20T17:09:36+01:00", 1_795_190_976 * 10**9),
        ("90s", NOW - 90 * 10**9),
        ("1.5h", NOW - 5400 * 10**9),
        ("7d", NOW - 604_800 * 10**9),
        ("500ms", NOW - 5 * 10**8),
    ],
)
def test_a_time_is_a_date_or_so_long_before_now(text, ns):
    assert parse_time(text, "--since", NOW) == ns


@pytest.mark.parametrize("text", ["", "x", "5", "-5s", "5x", "٣s", "2026-13-01", "1960-01-01", "1e9s"])
def test_what_is_no_time_is_refused_in_one_line(text):
    with pytest.raises(UserError, match=r"^--until .*must be a time") as told:
        parse_time(text, "--until", NOW)
    assert "\n" not in str(told.value)


def test_times_are_shown_in_utc_to_the_nanosecond_or_less():
    assert utc(1_795_190_976_000_000_007) == "2026-11-20T16:09:36.000000007Z"
    assert utc(1_795_190_976_123_456_789, 3) == "2026-11-20T16:09:36.123Z"
    assert utc(1_795_190_976_000_000_000, 0) == "2026-11-20T16:09:36Z"
    assert utc(0) == ""


def test_a_tape_without_a_record_is_told_as_empty_whatever_is_asked_for(tmp_path):
    tape(tmp_path, 0)
    for types in ({11}, {1, 2}):
        with pytest.raises(UserError, match=f"^{tmp_path}: the tape is empty"):
            list(Records(tmp_path, types))

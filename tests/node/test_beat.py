"""The heartbeat page."""

import os

from node.beat import LAYOUT, NAME, Beat, read_pulse, started_of, state_of


def test_the_page_says_who_beats_and_when(tmp_path):
    beat = Beat(tmp_path, 5)
    pulse = read_pulse(tmp_path)
    assert (pulse.pid, pulse.started, pulse.beat_ns, pulse.ended) == (
        os.getpid(),
        started_of(os.getpid()),
        5,
        False,
    )
    beat.beat(77)
    assert read_pulse(tmp_path).beat_ns == 77
    beat.end()
    assert read_pulse(tmp_path).ended


def test_a_new_run_replaces_the_page_and_an_old_one_cannot_touch_it(tmp_path):
    old = Beat(tmp_path, 1)
    Beat(tmp_path, 2)
    old.beat(99)
    assert read_pulse(tmp_path).beat_ns == 2


def test_what_is_no_page_is_none(tmp_path):
    assert read_pulse(tmp_path) is None
    for raw in (b"", b"x" * LAYOUT.size, b"TKGBEAT1"):
        (tmp_path / NAME).write_bytes(raw)
        assert read_pulse(tmp_path) is None


def test_the_state_of_a_process_is_read_behind_its_name():
    state, started = state_of(os.getpid())
    assert state in ("R", "S")
    assert started > 0
    assert state_of(2**30) == ("", 0)

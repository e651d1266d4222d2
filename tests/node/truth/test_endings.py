"""Announced ends: reduce-only at once, flat in time, and what is told of it."""

from types import SimpleNamespace

import pytest

from ext.instruments import Instruments
from ext.records import HaltReason
from node.truth.endings import Endings
from node.truth.halts import Halts

MIN = 60 * 10**9
END = 1_790_000_000 * 10**9


class Engine:
    """What was asked of it, in order."""

    def __init__(self):
        self.calls, self.flat = [], False
        self.account = SimpleNamespace(position=lambda instrument: {"lots": 7})
        self.instruments = Instruments(8)
        for i in range(8):
            self.instruments.add(0, f"X{i}", "0.1", "1", base="BTC")

    def halt(self, instrument, why, level, now_ns):
        self.calls.append(("halt", instrument, HaltReason(why).name, level))

    def resume(self, instrument, why, now_ns):
        self.calls.append(("resume", instrument, HaltReason(why).name))

    def flatten(self, instrument, why, now_ns):
        self.calls.append(("flatten", instrument, HaltReason(why).name))

    def is_flat(self, instrument):
        return self.flat


@pytest.fixture
def made():
    def make(flat_ns=30 * MIN):
        engine, told = Engine(), []
        desk = SimpleNamespace(place=lambda symbol: symbol, symbol=lambda instrument: f"S{instrument}")
        return (
            Endings(desk, engine, Halts(engine, lambda where, text: told.append(text)), flat_ns),
            engine,
            told,
        )

    return make


def test_from_the_announcement_on_only_reducing_and_flat_so_long_before_the_end(made):
    endings, engine, told = made()
    endings.announce(2, END, END - 60 * MIN)
    endings.announce(2, END, END - 50 * MIN)  # every list says it again
    assert engine.calls == [("halt", 2, "HALT_VENUE", 1)]
    assert told == [
        "is delisted at 2026-09-21 14:13 UTC: reduce-only from now on; positions are closed 30 min before"
    ]
    endings.tick(0, END - 30 * MIN - 1)
    assert len(engine.calls) == 1
    endings.tick(0, END - 30 * MIN)
    endings.tick(0, END - 29 * MIN)
    assert engine.calls[1:] == [("halt", 2, "HALT_VENUE", 2), ("flatten", 2, "HALT_VENUE")]


def test_the_time_is_the_venues(made):
    endings, engine, _ = made()
    endings.announce(2, END, END - 60 * MIN)
    endings.tick(-MIN, END - 30 * MIN)  # its clock is a minute behind ours
    assert len(engine.calls) == 1
    endings.tick(MIN, END - 31 * MIN)
    assert len(engine.calls) == 3


def test_what_is_still_open_in_the_second_half_is_told_until_it_is_closed(made):
    endings, engine, told = made()
    endings.announce(2, END, END - 60 * MIN)
    for minute in range(30, 0, -1):
        endings.tick(0, END - minute * MIN)
        engine.flat = minute <= 5
    late = [x for x in told if "still open" in x]
    assert len(late) == 10  # 14 to 5 minutes before
    assert late[0] == "7 BTC still open, and the venue settles it at its index at 2026-09-21 14:13 UTC"


def test_a_time_that_moves_is_taken_over_and_one_that_is_withdrawn_ends_it(made):
    endings, engine, told = made()
    endings.announce(2, END, END - 60 * MIN)
    endings.announce(2, END + 60 * MIN, END - 40 * MIN)
    endings.tick(0, END)
    assert engine.calls == [("halt", 2, "HALT_VENUE", 1)]
    assert len(told) == 2
    endings.withdraw(2, END)
    endings.withdraw(2, END)
    assert engine.calls[1:] == [("resume", 2, "HALT_VENUE")]
    endings.tick(0, END + 60 * MIN)
    assert len(engine.calls) == 2


def test_nothing_is_closed_where_the_venue_shall_settle(made):
    endings, engine, told = made(0)
    endings.announce(2, END, END - 60 * MIN)
    endings.tick(0, END - 1)
    assert engine.calls == [("halt", 2, "HALT_VENUE", 1)]
    assert "the venue settles at its index" in told[0]

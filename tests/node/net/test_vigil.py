"""What is looked at once a second: acted upon where it must be, else told, and never too often."""

import asyncio

import pytest

from node.errors import HeldBack
from node.net import vigil
from node.net.descriptors import Descriptors
from node.net.memory import Memory
from node.net.vigil import Vigil
from node.net.wall import Wall


class Room:
    def __init__(self, tmp_path, memory_mb=0, is_secure=False):
        self.told, self.notes, self.failed, self.steps, self.shift = [], [], [], [], 0
        self.statm = tmp_path / "statm"
        self.statm.write_text("1 1 0")
        self.descriptors = Descriptors(0, limit=4096)
        now = iter(range(10**9))
        self.vigil = Vigil(
            lambda where, text: self.told.append((where, text)),
            self.notes.append,
            self.failed.append,
            self.steps.append,
            memory_mb=memory_mb,
            is_secure=is_secure,
            descriptors=self.descriptors,
            wall=Wall(wall_ns=lambda: next(now) + self.shift, steady_ns=lambda: next(now)),
            memory=Memory(memory_mb, statm=self.statm, allowed=lambda: 100 << 20),
        )

    def run(self, scenario):
        async def main():
            self.vigil.begin()
            try:
                scenario()
            finally:
                self.vigil.end()
                self.descriptors.close()

        asyncio.run(main())


def test_a_quiet_process_is_not_talked_about(tmp_path):
    room = Room(tmp_path)
    room.run(lambda: [room.vigil.look() for _ in range(5)])
    assert (room.told, room.notes, room.failed, room.steps) == ([], [], [], [])


def test_memory_above_the_ceiling_ends_the_node(tmp_path):
    room = Room(tmp_path, memory_mb=50)
    room.statm.write_text(f"1 {60 << 8} 0")
    room.run(room.vigil.look)
    [error] = room.failed
    assert isinstance(error, HeldBack)
    assert str(error).startswith("memory: 60 MB in use, the ceiling is 50 MB: stopped in order")
    assert room.notes[0]["event"] == "out of memory"


def test_a_ceiling_above_the_system_s_is_told_at_the_start(tmp_path):
    room = Room(tmp_path, memory_mb=99)
    room.run(room.vigil.look)
    words = "warning: memory_mb 99: the system allows 100 MB, so the node stops itself at 90 MB"
    assert room.told == [("config", words)]


def test_memory_that_cannot_be_measured_is_told_once(tmp_path):
    room = Room(tmp_path)
    room.statm.unlink()
    room.run(lambda: [room.vigil.look() for _ in range(3)])
    assert len(room.told) == 1
    assert "cannot be measured" in room.told[0][1]


def test_a_step_of_the_wall_clock_is_told_noted_and_acted_upon(tmp_path):
    room = Room(tmp_path)

    def scenario():
        room.vigil.look()
        room.shift = -3600 * 10**9
        room.vigil.look()
        room.vigil.look()

    room.run(scenario)
    [step_ns] = room.steps
    assert round(step_ns / 1e9) == -3600
    assert room.notes == [{"event": "wall clock stepped", "step_ns": step_ns}]
    assert "set by -3600.000 s" in room.told[0][1]


def test_a_wait_for_the_disk_is_told_but_not_each_time(tmp_path, monkeypatch):
    room, clock = Room(tmp_path), iter((0, 4_000_000, 0, 80_000_000, 0, 6_000_000, 0, 9_000_000))

    def scenario():
        monkeypatch.setattr(vigil.time, "monotonic_ns", lambda: next(clock))
        room.vigil.timed("tape", lambda: None)
        assert room.vigil.slow == {}  # 4 ms
        room.vigil.timed("tape", lambda: None)
        room.vigil.timed("tape", lambda: None)
        room.vigil.look()
        with pytest.raises(ZeroDivisionError):
            room.vigil.timed("tape", lambda: 1 // 0)
        monkeypatch.undo()
        room.vigil.look()

    room.run(scenario)
    assert room.told == [("tape", "the loop waited 80 ms for it: a slow disk?")]
    assert len(room.notes) == 1


def test_what_the_machine_trusts_is_looked_at_where_tls_is_spoken(tmp_path, monkeypatch):
    monkeypatch.setattr(vigil, "bundle_trouble", lambda: "TLS: bundle: renew it")
    for is_secure in (True, False):
        room = Room(tmp_path, is_secure=is_secure)
        room.run(room.vigil.look)
        assert (("config", "warning: TLS: bundle: renew it") in room.told) == is_secure


def test_what_came_up_since_the_start_is_frozen_too_once(tmp_path, monkeypatch):
    monkeypatch.setattr(vigil, "WARM_S", 0.0)
    room, warmed = Room(tmp_path), []
    room.vigil.garbage.warmed = lambda: warmed.append(1)
    room.run(lambda: [room.vigil.look() for _ in range(3)])
    assert warmed == [1]

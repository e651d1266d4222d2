"""A step of the wall clock is seen, drift is none, and who was not on the CPU measured nothing."""

import random

from node.net.wall import STEP_NS, Wall

SEC = 10**9


class Clocks:
    def __init__(self):
        self.now = self.shift = 0
        self.pauses: list[int] = []

    def steady(self):
        self.now += 1000 + (self.pauses.pop(0) if self.pauses else 0)
        return self.now

    def wall(self):
        return self.steady() + self.shift

    def watch(self):
        return Wall(wall_ns=self.wall, steady_ns=self.steady)


def test_steps_forward_and_back_are_told_once_by_how_much():
    clocks = Clocks()
    wall = clocks.watch()
    rng = random.Random(9)
    for step_ns in (SEC, -SEC, 3600 * SEC, -3600 * SEC, STEP_NS + 10**6):
        clocks.now += rng.randrange(10 * SEC)
        assert wall.stepped() == 0
        clocks.shift += step_ns
        assert abs(wall.stepped() - step_ns) < 10**6
        assert wall.stepped() == 0
    assert wall.steps == 5


def test_drift_is_no_step():
    clocks = Clocks()
    wall = clocks.watch()
    for _ in range(1000):
        clocks.now += SEC
        clocks.shift += 500_000  # 500 ppm, as much as NTP ever slews
        assert wall.stepped() == 0


def test_standing_still_between_two_readings_is_no_step():
    clocks = Clocks()
    wall = clocks.watch()
    clocks.pauses = [0, SEC, 0, 0, 0, 0]
    assert wall.stepped() == 0
    clocks.pauses = [0, 0, SEC, 0, 0, 0]
    assert wall.stepped() == 0


def test_this_machine_s_clocks_agree():
    wall = Wall()
    assert wall.stepped() == 0

"""The state hash: the same events give the same, anywhere; whatever decides shows in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from retaped import Taker, config_of

from ext.records import hash_row
from ext.tape import RecordType, TapeReader, TapeWriter
from node.sim.memory import SEC, World

ROOT = Path(__file__).parents[2]
ROOMS = {"books", "orders", "account", "equity", "risk", "strategies"}
RUN = """
from retaped import Taker, config_of
from node.sim.memory import SEC, World
world = World(config_of(), seed=4, strategy=Taker())
world.run_for(3 * SEC)
print(world.engine.state_hash())
"""


def world(seconds: float = 3.0) -> World:
    out = World(config_of(), seed=4, strategy=Taker())
    out.run_for(int(seconds * SEC))
    return out


@pytest.fixture(scope="module")
def here() -> World:
    return world()


def test_another_process_comes_to_the_same_hash(here):
    env = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PYTHONHASHSEED": "7"}
    told = subprocess.run([sys.executable, "-c", RUN], env=env, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str(here.engine.state_hash())


def test_each_room_has_a_hash_and_looking_changes_nothing(here):
    first = here.engine.state_hash()
    assert set(first) == ROOMS
    assert len(set(first.values())) == len(ROOMS)
    assert here.engine.hash_many(3) == first["books"]
    assert here.engine.state_hash() == first


CHANGES = {
    "books": [lambda e, now: e.stood_still(1, now, False), lambda e, now: e.on_line(0, False, now)],
    "orders": [lambda e, now: e.adopt(0, 3, 77, 0, 0, 0, 9990, 10, 3, False, "v", now)],
    "account": [lambda e, now: e.funding(0, 5, now)],
    "equity": [lambda e, now: e.capital(0, 5, now), lambda e, now: e.restore_peak(10**15, 1, 1, now)],
    "risk": [
        lambda e, now: e.latch(3, True, now),
        lambda e, now: e.halt(0, 2, 1, now),
        lambda e, now: e.reconciled(0, now + 1),
        lambda e, now: e.private_proven(3, False, now),
        lambda e, now: e.pause(3, now + 10**12, now),
        lambda e, now: e.flatten(0, 13, now),
        lambda e, now: e.set_limits(e.risk.pack(), now),
        lambda e, now: e.refresh(0, "0.2", "0.001", {}, now),
    ],
    "strategies": [
        lambda e, now: e.strategy_off(0, 1, now),
        lambda e, now: e.quiet(now),
        lambda e, now: e.on_time(now, [1234]),
    ],
}


@pytest.mark.parametrize(("room", "number"), [(k, i) for k in CHANGES for i in range(len(CHANGES[k]))])
def test_what_decides_shows_in_the_hash_of_its_room(room, number):
    engine = (one := world(1.5)).engine
    before = engine.state_hash()
    CHANGES[room][number](engine, one.now_ns)
    assert engine.state_hash()[room] != before[room]


def test_it_stands_behind_each_state_mark(tmp_path):
    tape = TapeWriter(str(tmp_path), now_ns=1, segment_size=1 << 20)
    one = World(config_of(), seed=4, tape=tape)
    one.run_for(SEC)
    one.engine.mark_now(one.now_ns)
    tape.close(one.now_ns)
    rows = list(TapeReader(str(tmp_path)))
    marks = [x for x in rows if x.type == RecordType.HASH]
    assert len(marks) == sum(x.type == RecordType.MARK for x in rows)
    assert hash_row(marks[-1].payload) == one.engine.state_hash()
    assert rows[-1] == marks[-1]
    with pytest.raises(ValueError, match="HASH record of 3 bytes"):
        hash_row(b"123")

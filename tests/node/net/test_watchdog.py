"""A strategy that never answers: it loops, sleeps, catches everything."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ext.strategies.quoter import Quoter
from ext.strategy import Strategy, StrategyTimeout
from node.net.watchdog import Watchdog, is_python

ROOT = Path(__file__).parents[3]


class Inside(Strategy):
    """What a watchdog sees of a strategy, set by a test."""

    inside = False
    calls = 0


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


def test_only_a_call_that_is_still_the_same_one_after_the_time_is_ended():
    clock, strategy = Clock(), Inside()
    dog = Watchdog([Quoter(), strategy], 250, monotonic=clock)

    def look(after_s=0.0):
        clock.now_s += after_s
        dog.look()

    look(10)
    strategy.inside, strategy.calls = True, 7
    look(10)  # seen for the first time: nobody knows how old it is
    look(0.2)
    strategy.calls = 8  # another one
    look(0.2)
    look(0.24)
    with pytest.raises(StrategyTimeout, match="no answer within 250 ms"):
        look(0.02)
    with pytest.raises(StrategyTimeout):  # and again, until it is over
        look(0.05)
    strategy.inside = False
    look(10)
    strategy.inside = True  # the same number, but it has not been inside without a break
    look(10)
    assert (dog.ended, dog.looks) == (2, 9)


def test_nothing_is_raised_while_no_strategy_is_inside():
    dog = Watchdog([Inside()], 10, monotonic=iter(range(100)).__next__)
    for _ in range(50):
        dog.look()
    assert dog.ended == 0


def test_built_in_strategies_are_not_watched_and_pay_nothing():
    before = signal.getsignal(signal.SIGALRM)
    dog = Watchdog([Quoter()], 250)
    dog.start()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before
    dog.stop()
    assert not is_python(Quoter())
    assert is_python(Inside())
    assert is_python(type("Mine", (Quoter,), {})())


def test_what_was_there_before_is_there_again_afterwards():
    before = signal.getsignal(signal.SIGALRM)
    dog = Watchdog([Inside()], 250)
    dog.start()
    assert signal.getitimer(signal.ITIMER_REAL)[1] == pytest.approx(0.05)
    dog.stop()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


@pytest.mark.parametrize("timeout_ms", [0, 9, 10_001, -5])
def test_a_time_that_makes_no_sense_is_refused(timeout_ms):
    with pytest.raises(ValueError, match="must be 10 to 10000"):
        Watchdog([], timeout_ms)


PROGRAM = """
import asyncio, sys, time
sys.path[:0] = ["tests"]
import uvloop
from chain import MS, Chain, Script
from node.net.watchdog import Watchdog

def loops(self, *_):
    self.buy(0, 9990, 1)
    while True:
        pass

def sleeps(self, *_):
    time.sleep(60)

def swallows(self, *_):
    while True:
        try:
            time.sleep(60)
        except Exception:
            pass

def allocates(self, *_):
    kept = []
    while True:
        kept.append(len(kept))
        del kept[1000:]

def reads(self, *_):
    import os
    os.read(os.pipe()[0], 1)

class Other(Script):
    pass

async def main(turn):
    hung, other = Script(on_timer=turn), Other()
    chain = Chain(hung, other)
    hung.said = []
    chain.engine.strategy_failed = lambda number, text, now_ns: hung.said.append(text)
    chain.engine.strategy_faults_max = 2
    dog = Watchdog(chain.engine.strategies, 40, every_s=0.01)
    dog.start()
    ticks = 0
    for _ in range(4):
        chain.time()
        await asyncio.sleep(0.03)  # signals in between meet no strategy
        ticks += 1
    dog.stop()
    print(ticks, hung.faults, chain.engine.risk.off(0), len(other.kinds("timer")), end=" ")
    print(chain.sent, chain.engine.risk.latched, dog.ended)
    print(hung.said[0])

uvloop.run(main(TURN)) if LOOP == "uvloop" else asyncio.run(main(TURN))
"""


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("turn", ["loops", "sleeps", "swallows", "allocates", "reads"])
def test_a_strategy_that_never_returns_is_brought_back_and_at_last_switched_off(turn, loop):
    text = textwrap.dedent(PROGRAM).replace("TURN", turn).replace("LOOP", repr(loop))
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["4 2 2 4 [] 0 2", "StrategyTimeout: no answer within 40 ms"]

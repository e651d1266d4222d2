"""A process beside the node: started again when it dies, but not for ever."""

import asyncio
import os
import signal
import sys

from node import companion
from node.companion import Companion, tickgate

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def play(argv, scenario):
    """`scenario(made, told)` while it runs; what is left is killed."""
    told = []

    async def main():
        made = Companion("it", argv, lambda *x: told.append(x[1]))
        made.start()
        try:
            async with asyncio.timeout(20):
                await scenario(made, told)
        finally:
            made.let_go()
            if made.process is not None and made.process.poll() is None:
                made.process.kill()
                made.process.wait()

    asyncio.run(main())
    return told


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


def test_it_is_started_again_three_times_in_five_minutes_and_then_told():
    async def scenario(made, told):
        for number in range(1, companion.MOST + 2):
            os.kill(made.process.pid, signal.SIGKILL)
            await until(lambda number=number: len(told) == number)
        before = made.process.pid
        await asyncio.sleep(0)
        assert made.process.pid == before

    told = play(SLEEP, scenario)
    assert told[:3] == ["was killed by signal 9: started again"] * 3
    assert "4 times in 5 minutes: not started any more" in told[3]


def test_deaths_long_ago_do_not_count(monkeypatch):
    monkeypatch.setattr(companion, "WITHIN_S", 0.0)

    async def scenario(made, told):
        for number in range(1, 7):
            os.kill(made.process.pid, signal.SIGKILL)
            await until(lambda number=number: len(told) == number)

    assert set(play(SLEEP, scenario)) == {"was killed by signal 9: started again"}


def test_bad_usage_is_not_tried_again():
    async def scenario(made, told):
        await until(lambda: told)

    told = play([sys.executable, "-c", "raise SystemExit(2)"], scenario)
    assert len(told) == 1
    assert "ended with code 2: it would again: not started any more" in told[0]


def test_one_that_is_needed_is_tried_again_later_however_often_it_died():
    async def scenario(made, told):
        made.again_s = 0.01
        for number in range(1, 4):
            await until(lambda number=number: len(told) >= number)

    told = play([sys.executable, "-c", "raise SystemExit(2)"], scenario)
    text = "ALARM: ended with code 2: it would again: the node goes on without it; started again in 0.01 s"
    assert told[:3] == [text] * 3


def test_let_go_it_is_not_tried_again():
    async def scenario(made, told):
        made.again_s = 0.001
        await until(lambda: told)
        made.let_go()
        before = made.process
        await asyncio.sleep(0.01)
        assert made.process is before

    play([sys.executable, "-c", "raise SystemExit(2)"], scenario)


def test_what_cannot_be_started_does_not_stop_the_node():
    async def scenario(made, told):
        assert made.process is None

    assert "cannot be started: No such file" in play(["/nowhere/at/all"], scenario)[0]


def test_it_outlives_a_signal_to_the_nodes_group():
    async def scenario(made, told):
        assert os.getpgid(made.process.pid) != os.getpgid(0)

    play(SLEEP, scenario)


def test_a_command_of_this_program_is_run_by_this_interpreter():
    assert tickgate("archive", "x") == [sys.executable, "-P", "-m", "node.cli", "archive", "x"]


def test_let_go_it_is_not_watched_any_more():
    async def scenario(made, told):
        made.let_go()
        os.kill(made.process.pid, signal.SIGKILL)
        made.process.wait()
        await asyncio.sleep(0.01)
        assert told == []

    play(SLEEP, scenario)

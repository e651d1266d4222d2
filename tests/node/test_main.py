"""`tickgate run` as a process: what it says, what ends it, and what it leaves behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest
from ext.tape import verify

from node.main import _until_told, write_config
from node.sim.serve import VENUES

NODE = """\
mode = "sim"
deployment = "main"
tape = {tape}
segment_mb = 1
[rate]
orders = 100
window_ms = 1000
[[venue]]
market = "bybit-linear"
streams = ["{ws}"]
rest = "{http}"
orders = "{ws}"
[[instrument]]
market = "bybit-linear"
symbol = "BTCUSDT"
[instrument.limits]
max_size = "1"
max_notional = "100000"
max_position = "1"
collar_bps = 100
stale_ms = 2000
max_open_orders = 4
[instrument.quote]
size = "0.005"
half_spread_ppm = 100
"""


@pytest.fixture(scope="module")
def venues(tmp_path_factory):
    """Simulated venues that all tests here share: where Bybit listens."""
    path = tmp_path_factory.mktemp("sim") / "sim.toml"
    path.write_text('venues = ["bybit"]\n')
    argv = [sys.executable, "-m", "node.cli", "sim", "--json", "--until-eof", str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(argv, **pipes) as process:
        yield json.loads(process.stdout.readline())["listening"]["bybit"]
        process.stdin.close()
        process.wait(10)


@pytest.fixture
def config(venues, tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(NODE.format(tape=json.dumps(str(tmp_path / "tape")), **venues))
    return path


def lines(process, until: str) -> list[str]:
    """Of its stderr, up to one that contains `until`."""
    out = []
    for line in process.stderr:
        out.append(line)
        if until in line:
            return out
    raise AssertionError(f"{until!r} was not said: {out}")


def test_the_simulated_venues_of_these_tests_exist():
    assert "bybit" in VENUES


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(processes, config, tmp_path, number):
    process = processes.start("run", config)
    said = lines(process, "private")
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "stopping: " in err
    assert "0 not known to be closed" in err
    assert "Traceback" not in "".join(said) + err
    assert verify(str(tmp_path / "tape")).ok
    processes.gone()


def test_json_is_one_object_for_each_event(processes, config):
    process = processes.start("run", config, "--json")
    said = lines(process, "private")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=10)
    told = [json.loads(x) for x in [*said, *err.splitlines()]]
    assert {"at_s", "line", "event"} == set(told[0])
    assert ("bybit-linear orders", "ready") in {(x["line"], x["event"]) for x in told}
    assert told == sorted(told, key=lambda x: x["at_s"])


def test_the_end_of_stdin_ends_it_in_order_where_it_was_told_so(processes, config):
    process = processes.start("run", config, "--until-eof", stdin=subprocess.PIPE)
    lines(process, "private")
    process.stdin.close()
    assert process.wait(10) == 0
    assert "stopping: " in process.stderr.read()


def test_a_reader_of_its_words_that_goes_away_does_not_stop_it(processes, config, tmp_path):
    process = processes.start("run", config)
    lines(process, "ready")
    process.stderr.close()
    process.stderr = None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.7)  # quotes, fills, and whatever it has to say
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert verify(str(tmp_path / "tape")).ok


def test_killed_it_leaves_a_tape_that_the_next_one_goes_on_with(processes, config, tmp_path):
    for _ in range(2):
        process = processes.start("run", config)
        lines(process, "private")
        process.kill()
        process.communicate(timeout=5)
    process = processes.start("run", config)
    lines(process, "private")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 0
    report = verify(str(tmp_path / "tape"))
    assert report.ok
    assert report.sealed


def test_a_second_node_on_the_same_tape_is_one_line(processes, config, tmp_path):
    process = processes.start("run", config)
    lines(process, "private")
    told = processes.run("run", config)
    assert told.code == 2
    assert told.err == f"tickgate: tape {tmp_path / 'tape'}: another node is writing it; stop it or name another `tape`\n"
    assert process.poll() is None


def test_a_fault_of_a_strategy_ends_it_in_order_with_a_traceback(processes, config, tmp_path):
    """Run with a strategy that raises in place of the quoter."""
    program = textwrap.dedent("""
        import sys
        from node.net import live, strategies

        class Broken(live.Quoter):
            def on_book(self, instrument, now_ns):
                raise AttributeError("on purpose")

        strategies.BUILT_IN["quoter"] = Broken
        from node import cli
        sys.argv = ["tickgate", "run", sys.argv[1]]
        cli.main()
    """)
    argv = [sys.executable, "-c", program, str(config)]
    told = subprocess.run(argv, capture_output=True, text=True, timeout=20, env=processes.env)
    assert told.returncode == 1
    assert "stopped: AttributeError: on purpose" in told.stderr
    assert "0 not known to be closed" in told.stderr
    assert "Traceback" in told.stderr
    assert verify(str(tmp_path / "tape")).ok


def test_what_the_work_raises_comes_out_and_signals_are_heard_while_it_works():
    async def fail(stop):
        raise KeyError("on purpose")

    async def wait(stop):
        asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(stop.wait(), 5)

    with pytest.raises(KeyError):
        _until_told(fail)
    _until_told(wait)


def test_a_config_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "node.toml"
    assert write_config(path, "a = 1\n") == path
    assert write_config(path, "a = 2\n").read_text() == "a = 2\n"
    assert [x.name for x in tmp_path.iterdir()] == ["node.toml"]

"""`tickgate run` as a process: what it says, what ends it, and what it leaves behind."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime

import configs
import pytest

from ext.tape import RecordType, TapeReader, verify
from node.main import _teller, _until_told, write_config
from node.sim.serve import VENUES
from node.slow.verifying import verify_all

NODE = """\
mode = "sim"
strategy = "quoter"
deployment = "mn00"
tape = {tape}
segment_mb = 1
{tables}[[venue]]
market = "bybit-linear"
environment = "sim"
streams = ["{ws}"]
rest = "{http}"
orders = "{ws}"
key = {{ environment = "sim", api_key = "{key}", secret = "{key}", passphrase = "{key}" }}
{instrument}[instrument.quote]
size_base = "0.005"
half_spread_ppm = 100
"""


@contextlib.contextmanager
def simulated(folder):
    """Simulated venues as a process, and where Bybit listens."""
    path = folder / "sim.toml"
    path.write_text('venues = ["bybit"]\n')
    argv = [sys.executable, "-m", "node.cli", "sim", "--json", "--until-eof", str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(argv, **pipes) as process:
        yield process, json.loads(process.stdout.readline())["listening"]["bybit"]
        process.stdin.close()
        process.wait(10)


@pytest.fixture(scope="module")
def venues(tmp_path_factory):
    """Simulated venues that all tests here share: where Bybit listens."""
    with simulated(tmp_path_factory.mktemp("sim")) as (_, at):
        yield at


@pytest.fixture
def config(venues, tmp_path):
    return node_config(tmp_path, venues)


@pytest.fixture
def venues_of_its_own(tmp_path):
    """A config, and the process of its venues, that a test may kill."""
    with simulated(tmp_path) as (process, at):
        yield node_config(tmp_path, at), process


def node_config(folder, at):
    path = folder / "node.toml"
    tables, instrument = configs.tables_text(100), configs.instrument_text("bybit-linear", "BTCUSDT")
    tape = json.dumps(str(folder / "tape"))
    path.write_text(NODE.format(tape=tape, key="plain:simulated", tables=tables, instrument=instrument, **at))
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
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "stopping: " in err
    assert "0 not known to be closed" in err
    assert "Traceback" not in "".join(said) + err
    assert verify(str(tmp_path / "tape")).ok
    processes.gone()


def test_an_archiver_looks_after_the_tape_and_is_started_again_when_it_dies(processes, config, tmp_path):
    config.write_text(config.read_text() + "[archive]\nhot_segments = 1\n")
    process = processes.start("run", config)
    lines(process, "looks after")
    os.kill(processes.find(f"archive {config} --node {process.pid}"), signal.SIGKILL)
    said = lines(process, "looks after")
    assert any("was killed by signal 9: started again" in x for x in said)
    told = json.loads(processes.run("status", config, "--json").out)["synced"]
    assert (told["archiver_alive"], told["suspect"]) == (True, False)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0
    processes.gone()
    found = verify_all(tmp_path / "tape", tmp_path / "tape" / "archive")
    assert (found.ok, found.archived) == (True, found.segments)


def test_a_guard_that_is_killed_is_told_and_started_again_and_a_status_says_that_it_watches(
    processes, config, tmp_path
):
    config.write_text(
        config.read_text() + '[guard]\nstall_ms = 1000\non_stall = "cancel"\nkeep_stops = true\n'
    )
    process = processes.start("run", config)
    lines(process, "watches ")
    os.kill(processes.find(f"guard {config} --node {process.pid}"), signal.SIGKILL)
    said = lines(process, "watches ")
    assert any("was killed by signal 9: started again" in x for x in said)
    until(lambda: json.loads(processes.run("status", config, "--json").out)["guard"]["watches"])
    assert "guard: watches" in processes.run("status", config).out
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0
    processes.gone()


def _three_times(found):
    number = int(found[1])
    return f"max_open_orders = {3 * number if number < 1000 else number}"


def test_limits_that_are_much_looser_than_in_the_last_run_are_exit_code_3_and_no_crash(
    processes, config, tmp_path
):
    process = processes.start("run", config)
    lines(process, "private")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    text = config.read_text()
    config.write_text(re.sub(r"max_open_orders = (\d+)", _three_times, text))
    assert config.read_text() != text
    told = processes.run("run", config)
    assert told.code == 3
    assert "limits are more than 2 times looser than in the last run" in told.err
    assert not (tmp_path / "tape" / "starts.json").exists()


def test_json_is_one_object_for_each_event(processes, config):
    process = processes.start("run", config, "--json")
    said = lines(process, "private")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    limits, *told = [json.loads(x) for x in [*said, *err.splitlines()]]
    assert limits["first_run"]
    assert limits["limits"]["bybit-linear BTCUSDT"]["leverage"] == 10
    assert {"at", "at_s", "line", "event"} == set(told[0])
    assert ("bybit-linear orders", "ready") in {(x["line"], x["event"]) for x in told}
    assert told == sorted(told, key=lambda x: x["at_s"])


@pytest.mark.parametrize("offset_s", [0, 100_000])
def test_every_process_tells_wall_time_however_long_it_has_run(capsys, monkeypatch, offset_s):
    """What node, guard and archiver say has one clock: their lines can be laid beside each other."""
    tell, started_s = _teller(False), time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: started_s + offset_s)
    before = datetime.now(UTC)
    tell("guard", "watches")
    after = datetime.now(UTC)
    told = capsys.readouterr().err
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d\d\d  guard                        watches\n", told)
    assert told[:8] in (before.strftime("%H:%M:%S"), after.strftime("%H:%M:%S"))


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
        process.communicate(timeout=30)
    process = processes.start("run", config)
    lines(process, "private")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0
    report = verify(str(tmp_path / "tape"))
    assert report.ok
    assert report.sealed


def test_a_second_node_on_the_same_tape_is_one_line(processes, config, tmp_path):
    process = processes.start("run", config)
    lines(process, "private")
    told = processes.run("run", config)
    assert told.code == 2
    whose = f"another node (process {process.pid}) is writing it"
    assert told.err == f"tickgate: tape {tmp_path / 'tape'}: {whose}; stop it or name another `tape`\n"
    assert process.poll() is None


MINE = """
from ext.strategies.quoter import Quoter

class Broken(Quoter):
    def on_book(self, instrument, now_ns):
        raise AttributeError("on purpose")

class Quiet(Quoter):
    pass
"""


def test_a_fault_of_a_strategy_switches_it_off_after_so_many_and_the_node_goes_on(
    processes, config, tmp_path
):
    (tmp_path / "mine.py").write_text(MINE)
    text = config.read_text().replace('strategy = "quoter"', 'strategy = "mine:Broken"')
    config.write_text(text.replace("max_strategy_faults = 100\n", "max_strategy_faults = 3\n"))
    process = processes.start("run", config, cwd=tmp_path)
    said = lines(process, "switched off: OFF_FAULTS")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)  # the node is no part of the fault
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    said += err.splitlines(keepends=True)
    assert process.returncode == 0
    assert len([x for x in said if "AttributeError: on purpose" in x]) == 3
    assert "0 not known to be closed" in err
    assert "Traceback" not in "".join(said)
    assert verify(str(tmp_path / "tape")).ok


def test_one_that_was_latched_at_its_end_says_so_with_code_3_and_the_next_is_latched_too(
    processes, config, tmp_path
):
    process = processes.start("run", config)
    lines(process, "private")
    assert processes.run("halt", config, "--reason", "lunch").code == 0
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "0 not known to be closed" in err
    *_, last = err.splitlines()
    assert last.startswith("tickgate: stopped while latched: operator; ")
    assert last.endswith(f'`tickgate resume {tmp_path / "tape"} --reason "TEXT"`')
    process = processes.start("run", config)
    lines(process, "latched since an earlier run: operator")
    lines(process, "private")
    assert processes.run("resume", config, "--reason", "back").code == 0
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0


ASLEEP = """
from ext.strategy import Strategy

class Resting(Strategy):
    def on_book(self, instrument, now_ns):
        bid, _ = self.best(instrument)
        if bid and not self.open_orders():
            self.buy(instrument, bid[0] - 100, 1)
        return 0
"""


LOOKED_AFTER = '[guard]\nstall_ms = 1000\non_stall = "cancel"\nkeep_stops = true\n[archive]\n'


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"quoter"', '"nowhere:Nobody"'), "strategy 'nowhere:Nobody': No module named 'nowhere'"),
        (('"quoter"', '"mine:Nobody"'), "has no class Nobody"),
        (('symbol = "BTCUSDT"', 'symbol = "BTCUSDX"'), "bybit-linear does not list 'BTCUSDX'"),
    ],
)
def test_what_cannot_be_run_is_one_line_and_no_guard_or_archiver_was_started_for_it(
    processes, config, tmp_path, change, said
):
    (tmp_path / "mine.py").write_text(MINE)
    config.write_text(config.read_text().replace(*change) + LOOKED_AFTER)
    told = processes.run("run", config)
    assert (told.code, told.out) == (2, "")
    assert said in told.err
    assert told.err.count("\n") == 1
    assert {x.name for x in tmp_path.glob("tape/*")} <= {"starts.json"}
    assert processes.alive() == {}


def test_a_strategy_is_found_beside_the_config_from_wherever_the_command_is_given(
    processes, config, tmp_path
):
    (tmp_path / "mine.py").write_text(MINE)
    config.write_text(config.read_text().replace('strategy = "quoter"', 'strategy = "mine:Quiet"'))
    process = processes.start("run", config, cwd="/")
    lines(process, "private")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in err) == (0, False)
    told = processes.run("replay", tmp_path / "tape", "--config", config, cwd="/")
    assert (told.code, told.err) == (0, "")


def test_orders_that_are_not_known_to_be_closed_at_the_end_are_a_failure_with_one_line(
    processes, tmp_path, venues_of_its_own
):
    (tmp_path / "mine.py").write_text(ASLEEP)
    config, sim = venues_of_its_own
    config.write_text(config.read_text().replace('strategy = "quoter"', 'strategy = "mine:Resting"'))
    process = processes.start("run", config, cwd=tmp_path)
    lines(process, "private")
    until(lambda: json.loads(processes.run("status", config, "--json").out)["open_orders"])
    sim.kill()
    sim.wait()
    told = processes.run("stop", config, "--wait")
    assert (told.code, told.out) == (4, "")
    assert "1 order is not known to be closed: mn00" in told.err
    assert "; not reached: bybit-linear orders; look at the venues" in told.err
    _, err = process.communicate(timeout=15)
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith("tickgate: stopped, and 1 order is not known to be closed: ")
    assert "Traceback" not in err


def test_a_quoter_of_ones_own_quotes_like_the_built_in_one(processes, config, tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    config.write_text(config.read_text().replace('strategy = "quoter"', 'strategy = "mine:Quiet"'))
    process = processes.start("run", config, cwd=tmp_path)
    reader = until(
        lambda: (
            TapeReader(str(tmp_path / "tape"), follow=True) if list(tmp_path.glob("tape/*.tape")) else None
        )
    )
    until(lambda: any(x.type == RecordType.ORDER_OUT for x in reader.poll()))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0


def until(condition, within_s: float = 10):
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        if answer := condition():
            return answer
        time.sleep(0.02)
    raise TimeoutError(f"not within {within_s} s")


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


def test_a_reader_of_its_words_that_stands_still_does_not_hold_it_up(processes):
    """A pager that waits for a key: the hot process must not wait with it."""
    program = textwrap.dedent("""
        from types import SimpleNamespace
        from node import main

        class Talkative:
            left = main.Left()

            def __init__(self, config, tell, **more):
                self.tell = tell

            async def run(self, stop):
                for n in range(20_000):
                    self.tell("line", f"event {n} " + "x" * 100)

        main.Node = Talkative
        main.run_node(SimpleNamespace(guard=None, tape="x"), as_json=False)
    """)
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, env=processes.env) as process:
        assert process.wait(30) == 0  # a wait for the reader would never end
        said = process.stderr.read()
    assert "event 0 " in said
    assert "Traceback" not in said

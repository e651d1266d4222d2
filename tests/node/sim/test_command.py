"""`tickgate sim`: where the venues listen, what is steered, what their books say at the end, and how it
ends."""

import json
import re
import signal
import socket
import subprocess
import time
from types import SimpleNamespace
from urllib.request import Request, urlopen

import pytest
from screen import screen, tells, whole
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from ext.records import Market
from node.errors import UserError
from node.sim.command import ledgers, make_simulation, print_ledgers, read_config
from node.sim.serve import VENUES, SimConfig, Simulation
from node.venues.fakes import BUY, SELL, FakeOrder


@pytest.fixture
def sim(processes):
    """`sim(*args)` starts simulated venues; the process and where they listen."""

    def start(*args, **popen):
        process = processes.start("sim", "--json", *args, **popen)
        return process, json.loads(process.stdout.readline())["listening"]

    return start


def stop(process) -> dict:
    """Stop it in order; its ledgers."""
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    return json.loads(out)["ledgers"]


# ---- the config ----------------------------------------------------------------------------------


def test_without_a_file_all_venues_listen_on_free_ports():
    config = read_config(None)
    assert config.venues == tuple(VENUES)
    assert (config.seed, config.ports) == (1, {})
    assert read_config(None, 7).seed == 7


def test_a_file_says_which_and_where_and_the_command_line_has_the_last_word(tmp_path):
    path = tmp_path / "sim.toml"
    path.write_text('seed = 5\nvenues = ["okx"]\n[ports]\nokx = [0, 40002]\n')
    config = read_config(path)
    assert (config.seed, config.venues, config.ports) == (5, ("okx",), {"okx": (0, 40002)})
    assert read_config(path, 7).seed == 7


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path}: is a directory: name the file itself"):
        read_config(tmp_path)


def test_accounts_faults_and_tls_come_from_the_file(tmp_path):
    (tmp_path / "script.toml").write_text('[[fault]]\nname = "exec.drop"\nevery = 0.5\n')
    path = tmp_path / "sim.toml"
    path.write_text(
        'faults = "script.toml"\ntls = "self"\ntls_cert = "cert.pem"\ncontrol = 0\n'
        '[[account]]\nbalances = { USDT = "5" }\n[[fault]]\nname = "ack.drop"\nvenue = "okx"\n'
    )
    config = read_config(path)
    assert [x["name"] for x in config.faults] == ["ack.drop", "exec.drop"]
    assert config.tls is not None
    assert (tmp_path / "cert.pem").read_text().startswith("-----BEGIN CERTIFICATE-----")
    simulation = Simulation(config, clock=lambda: 10**18)
    okx, bybit = (simulation.servers[x].fake for x in ("okx", "bybit"))
    assert [x.name for x in okx.faults.rows] == ["ack.drop", "exec.drop"]
    assert [x.name for x in bybit.faults.rows] == ["exec.drop"]
    assert okx.accounts[1].balance("USDT").total == 5


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[[fault]]\nname = "ack.dorp"', "fault 1: fault 'ack.dorp' is not known"),
        ('[[fault]]\nname = "ban"\nvenue = "kraken"', "fault ban: venue 'kraken' is not known"),
        ('faults = "nowhere.toml"', "nowhere.toml: cannot be read: No such file"),
        ('faults = "self.toml"', "self.toml: faults is not known"),
        ("control = 70000", "<= 65535"),
        ('tls = "maybe"', "tls"),
        ('tls = { cert = "a", key = "b" }', "tls: No such file"),
        ('[[account]]\nbalances = { USDT = "x" }', "not an amount"),
        ("[[account]]\nbalance = 1", "unknown field `balance`"),
        ('[[account]]\nkey = [{ secret = "hush" }]', "api_key"),
    ],
)
def test_what_is_wrong_in_the_file_is_one_line_that_names_it(tmp_path, text, why):
    path = tmp_path / "self.toml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_config(path)
    assert why in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)
    assert "hush" not in str(error.value)


def test_a_person_reads_the_ledgers_as_a_table_with_positions_in_base_coins():
    simulation = make_simulation(read_config(None), None)
    fake = simulation.servers["okx"].fake
    fake.orders[1] = SimpleNamespace(
        listing=fake.listings[Market.OKX, "BTC-USDT-SWAP"], side=1, filled_lots=38
    )
    fake.counts["fills"] += 3
    text = screen(print_ledgers, simulation)
    tells(text, "okx BTC-USDT-SWAP: position -0.0038 (-38 lots)")
    assert re.search(r"^ okx  +0 +0 +3 +0 ", text, re.MULTILINE)
    simulation.servers["okx"].counts["slow"] += 2
    tells(screen(print_ledgers, simulation), "okx: 2 slow\n")


# ---- the process ---------------------------------------------------------------------------------


def test_it_says_where_it_listens_and_at_the_end_what_is_on_its_books(sim):
    process, listening = sim()
    assert list(listening) == list(VENUES)
    with connect(listening["okx"]["ws"] + "/ws/v5/public") as ws:
        ws.send('{"op":"subscribe","args":[{"channel":"bbo-tbt","instId":"BTC-USDT"}]}')
        assert json.loads(ws.recv(timeout=30))["event"] == "subscribe"
        assert json.loads(ws.recv(timeout=30))["data"]
    told = stop(process)
    assert list(told) == list(VENUES)
    assert told["okx"]["position_lots"] == {}
    assert told["okx"]["counts"]["opened"] == 1


def test_the_same_is_said_to_a_person(processes):
    process = processes.start("sim")
    assert process.stdout.readline().startswith("binance    ws ws://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    tells(whole(out, 100), " opened ", "\n binance ", "\n bybit ", "\n okx ")
    assert "{" not in out
    assert err == ""


def test_a_port_that_is_taken_is_one_line(processes, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        path = tmp_path / "sim.toml"
        path.write_text(f'venues = ["okx"]\nports = {{ okx = [{port}, 0] }}\n')
        told = processes.run("sim", path)
    assert (told.code, told.out) == (2, "")
    assert told.err == (
        f"tickgate: okx: cannot listen on 127.0.0.1:{port}: port in use: end what listens there, or set "
        "others in [ports]\n"
    )


def test_a_running_simulation_is_controlled_over_http(processes, tmp_path):
    path = tmp_path / "sim.toml"
    path.write_text('venues = ["okx"]\ncontrol = 0\n')
    process = processes.start("sim", "--json", path)
    json.loads(process.stdout.readline())
    url = json.loads(process.stdout.readline())["control"]
    body = b'{"name": "acct.deposit", "coin": "USDT", "amount": "5"}'
    with urlopen(Request(url + "/faults", body)) as reply:
        assert json.load(reply) == {"added": {"okx": 1}}
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with urlopen(url + "/faults") as reply:
            if json.load(reply)["okx"]["counts"]["acct.deposit"]:
                break
    with urlopen(url + "/truth") as reply:
        assert [x["amount"] for x in json.load(reply)["okx"]["1"]["incomes"]] == ["5"]
    stop(process)


def test_a_control_port_that_is_taken_is_one_line(processes, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = tmp_path / "sim.toml"
        path.write_text(f'venues = ["okx"]\ncontrol = {port}\n')
        told = processes.run("sim", path)
    assert (told.code, told.out) == (2, "")
    assert told.err == (
        f"tickgate: control: cannot listen on 127.0.0.1:{port}: port in use: end what listens there, or set "
        "another one\n"
    )


def test_a_cut_resets_the_newest_connection_that_fits(sim):
    process, listening = sim(stdin=subprocess.PIPE)
    url = listening["okx"]["ws"]
    with (
        connect(url + "/ws/v5/public") as old,
        connect(url + "/ws/v5/public") as new,
        connect(url + "/ws/v5/private") as other,
    ):
        process.stdin.write("cut okx /public\n")
        process.stdin.flush()
        with pytest.raises(ConnectionClosed):
            new.recv(timeout=30)
        assert new.close_code == 1006
        for ws in (old, other):
            ws.ping().wait(5)
            assert ws.close_code is None
    assert stop(process)["okx"]["counts"]["reset"] == 1


def test_what_is_no_command_is_answered_and_does_not_end_the_steering(sim):
    process, listening = sim(stdin=subprocess.PIPE)
    lines = [
        "",
        "   ",
        "jump",
        "cut",
        "cut kraken x",
        "cut okx a b c",
        "cut okx nothing",
        "x" * 200_000,
        "\xff",
    ]
    process.stdin.write("\n".join(lines) + "\n")
    process.stdin.flush()
    with connect(listening["okx"]["ws"] + "/ws/v5/public") as ws:
        process.stdin.write("cut okx\n")
        process.stdin.flush()
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=30)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    said = err.splitlines()
    assert len(said) >= 7
    assert (
        said[0] == "tickgate sim: 'jump': there are: cut VENUE TEXT, with VENUE one of binance, bybit, okx; "
        "and, with a recording, rewind"
    )
    assert said[4] == "tickgate sim: 'cut okx nothing': there is no such connection"
    assert max(map(len, said)) < 200
    assert process.returncode == 0


def test_the_end_of_stdin_ends_it_only_where_it_was_told_so(sim):
    process, _ = sim("--until-eof", stdin=subprocess.PIPE)
    other, _ = sim(stdin=subprocess.PIPE)
    for x in (process, other):
        x.stdin.close()
    assert process.wait(5) == 0
    with pytest.raises(subprocess.TimeoutExpired):
        other.wait(0.5)


def test_a_reader_that_goes_away_is_no_traceback(processes):
    process = processes.start("sim", "--json")
    process.stdout.readline()
    process.stdout.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 1
    assert process.stderr.read() == ""


# ---- the ledgers ---------------------------------------------------------------------------------


def test_a_ledger_is_what_was_bought_less_what_was_sold():
    simulation = Simulation(SimConfig(venues=("okx",)), clock=lambda: 10**18)
    fake = simulation.servers["okx"].fake
    listing = next(x for x in fake.listings.values() if x.symbol == "BTC-USDT")
    connection = fake.open("/ws/v5/private", 10**18)
    for n, (side, filled) in enumerate(((BUY, 5), (BUY, 0), (SELL, 7))):
        order = FakeOrder(listing, n, f"c{n}", side, 1, 10, "gtc", connection, filled_lots=filled)
        fake.orders[n] = order
    told = ledgers(simulation)
    assert told["okx"]["position_lots"] == {"4:BTC-USDT": -2}
    assert {"orders", "fills", "opened", "reset"} <= set(told["okx"]["counts"])


def test_trades_of_a_simulation_that_was_started_again_have_other_ids():
    """A node keeps the ids of trades it counted on its tape: a trade with a known one would never count."""
    ids = []
    for now_ns in (10**18, 10**18 + 10**9):
        simulation = Simulation(SimConfig(venues=("okx",)), clock=lambda now_ns=now_ns: now_ns)
        ids += [x.engine.next_trade_id for x in simulation.servers["okx"].fake.listings.values()]
    first, second = ids[: len(ids) // 2], ids[len(ids) // 2 :]
    assert min(second) - max(first) == 100

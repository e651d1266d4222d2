"""The config file: what is good loads, and everything else is one line that names file and key."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from node.config import Config, load
from node.errors import UserError
from node.sim.command import SimFile, read_config

ROOT = Path(__file__).parents[2]

GOOD = """\
mode = "sim"
strategy = "quoter"
tape = "{folder}/tape"
[rate]
orders = 10
window_ms = 1000
[[venue]]
market = "binance-spot"
streams = ["ws://127.0.0.1:1"]
rest = "http://127.0.0.1:1"
orders = "ws://127.0.0.1:1"
key = {{ api_key = "plain:simulated", secret = "plain:simulated" }}
[[instrument]]
market = "binance-spot"
symbol = "BTCUSDT"
[instrument.limits]
max_size = "0.1"
max_notional = "10000"
max_position = "0.01"
collar_bps = 50
stale_ms = 2000
max_open_orders = 4
[instrument.quote]
size = "0.0005"
half_spread_ppm = 4
"""


KEYLESS = ('key = { api_key = "plain:simulated", secret = "plain:simulated" }\n', "")


@pytest.fixture
def write(tmp_path):
    """The good config with pairs of (old, new) text replaced, as a file."""

    def file(*changes: tuple[str, str]) -> Path:
        text = GOOD.format(folder=tmp_path)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "node.toml"
        path.write_text(text)
        return path

    return file


def keys(kind) -> dict:
    """Every key of a config type, with those of the types inside it."""
    out = {}
    for field in msgspec.structs.fields(kind):
        inner = [
            x for x in (field.type, *getattr(field.type, "__args__", ())) if hasattr(x, "__struct_fields__")
        ]
        out[field.name] = keys(inner[0]) if inner else None
    return out


def spelled(told) -> dict:
    """Every key that a TOML file spells; rows of a list are taken together."""
    out = {}
    for key, value in told.items():
        inside = value if isinstance(value, list) else [value]
        rows = [spelled(x) for x in inside if isinstance(x, dict)]
        out[key] = {k: v for row in reversed(rows) for k, v in row.items()} if rows else None
    return out


def test_the_example_loads_and_shows_every_key():
    path = ROOT / "deploy" / "sim.toml"
    config = load(path)
    assert [x.market for x in config.venue] == ["binance-spot", "bybit-linear", "okx"]
    told = spelled(tomllib.loads(path.read_text().replace("# cpu = 1", "cpu = 1")))
    told["guard"]["key"] = told["guard"]["key"]["okx"]  # by market
    assert told == keys(Config)


def test_the_example_of_simulated_venues_loads_shows_every_key_and_fits_the_example_of_a_node():
    path = ROOT / "deploy" / "venues.toml"
    sim, node = read_config(path), load(ROOT / "deploy" / "sim.toml")
    told = tomllib.loads(
        re.sub(r"(?m)^# (?=\[\[|\w+ = )", "", path.read_text())
    )  # with what is commented out
    assert set(told) == {x.name for x in msgspec.structs.fields(SimFile)}
    listening = {f"ws://127.0.0.1:{ws}" for ws, _ in sim.ports.values()}
    listening |= {f"http://127.0.0.1:{http}" for _, http in sim.ports.values()}
    for venue in node.venue:
        assert {*venue.streams, venue.rest, venue.orders} <= listening


def test_the_good_config_of_these_tests_is_good(write):
    assert load(write()).instrument[0].limits.max_size == "0.1"


def test_a_missing_file_a_directory_and_what_cannot_be_read_are_named(tickgate, tmp_path):
    for path, why in (
        (tmp_path / "none.toml", "No such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "x" / "y.toml", "No such file"),
    ):
        told = tickgate("run", path)
        assert told.code == 2
        assert told.out == ""
        assert told.err.startswith(f"tickgate: {path}: cannot be read: {why}")
        assert told.err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"mode = \xc3\x28", "not UTF-8"),
        (b"", "missing required field `mode`"),
        (b"mode", "not TOML"),
        (b"mode = 'sim'\nmode = 'sim'", "not TOML"),
        (b"{}", "not TOML"),
        (b"\x00", "not TOML"),
        (b"a = " + b"[" * 100_000, "not TOML"),
    ],
)
def test_what_is_no_toml_is_one_line_and_exit_code_2(tickgate, tmp_path, content, why):
    path = tmp_path / "node.toml"
    path.write_bytes(content)
    for command in ("run", "sim"):
        if command == "sim" and not content:
            continue  # an empty file is a good description of simulated venues
        told = tickgate(command, path)
        assert told.code == 2
        assert told.err.startswith(f"tickgate: {path}: ")
        assert why in told.err or command == "sim"
        assert told.err.count("\n") == 1


BAD = [
    # unknown and missing keys, wrong types
    ('mode = "sim"', 'mode = "sim"\nfrob = 1', "frob"),
    ("orders = 10\n", "orders = 10\nfrob = 1\n", "frob"),
    ('symbol = "BTCUSDT"', 'symbol = "BTCUSDT"\nfrob = 1', "instrument[0]"),
    ('size = "0.0005"', 'size = "0.0005"\nfrob = 1', "instrument[0].quote"),
    ("stale_ms = 2000\n", "", "stale_ms"),
    ("[rate]\norders = 10\nwindow_ms = 1000\n", "", "rate"),
    ("window_ms = 1000\n", "", "window_ms"),
    ('max_size = "0.1"', "max_size = 0.1", "max_size"),
    ("stale_ms = 2000", 'stale_ms = "2000"', "stale_ms"),
    ("stale_ms = 2000", "stale_ms = 1.5", "stale_ms"),
    ("stale_ms = 2000", "stale_ms = nan", "stale_ms"),
    ("stale_ms = 2000", "stale_ms = true", "stale_ms"),
    ('streams = ["ws://127.0.0.1:1"]', 'streams = "ws://127.0.0.1:1"', "streams"),
    ("[[venue]]", "[venue]", "venue"),
    # words
    ('mode = "sim"', 'mode = "live"', "mode 'live'"),
    ('strategy = "quoter"', 'strategy = "oracle"', "strategy 'oracle'"),
    ('mode = "sim"', 'mode = "sim"\nloop = "wait"', "loop 'wait'"),
    ('mode = "sim"', 'mode = "sim"\ndeployment = "tckg1"', "deployment 'tckg1'"),
    ('mode = "sim"', 'mode = "sim"\ndeployment = "Tckg"', "deployment 'Tckg'"),
    ('mode = "sim"', 'mode = "sim"\ndeployment = "tc-k"', "deployment 'tc-k'"),
    ('mode = "sim"', 'mode = "sim"\ndeployment = ""', "deployment ''"),
    ('mode = "sim"', 'mode = "sim"\ndeployment = "wxyB"', "deployment 'wxyB'"),
    ('market = "binance-spot"\nsymbol', 'market = "kraken"\nsymbol', "market 'kraken'"),
    ('market = "binance-spot"\nstreams', 'market = "kraken"\nstreams', "market 'kraken'"),
    ('market = "binance-spot"\nsymbol', 'market = "okx"\nsymbol', "market 'okx'"),
    # numbers as text
    *(
        (f'{key} = "{good}"', f'{key} = "{bad}"', key)
        for key, good in (
            ("max_size", "0.1"),
            ("max_notional", "10000"),
            ("max_position", "0.01"),
            ("size", "0.0005"),
        )
        for bad in (
            "-1",
            "NaN",
            "Infinity",
            "1e3",
            "",
            " 1",
            "1_000",
            "0x1",
            "1.",
            ".1",
            "+1",
            "1,5",
            "١",
            "1" * 40,
        )
    ),
    ("half_spread_ppm = 4", 'half_spread_ppm = 4\nlean = "-1"', "lean"),
    ('size = "0.0005"', 'size = "0.000"', "size"),
    # numbers out of range
    *(
        (f"{key} = {good}", f"{key} = {bad}", key)
        for key, good in (
            ("collar_bps", 50),
            ("stale_ms", 2000),
            ("max_open_orders", 4),
            ("half_spread_ppm", 4),
            ("window_ms", 1000),
        )
        for bad in (-1, 10**7, 10**30)
    ),
    ("orders = 10\n", "orders = 0\n", "orders"),
    ("orders = 10\n", "orders = 10000000\n", "orders"),
    ("max_open_orders = 4", "max_open_orders = 4\nduplicate_ms = -1", "duplicate_ms"),
    ("half_spread_ppm = 4", "half_spread_ppm = 4\nwait_ms = -1", "wait_ms"),
    ("half_spread_ppm = 4", "half_spread_ppm = 4\nrequote_ppm = 0", "requote_ppm"),
    ('mode = "sim"', 'mode = "sim"\nsegment_mb = 0', "segment_mb"),
    ('mode = "sim"', 'mode = "sim"\nsegment_mb = 2048', "segment_mb"),
    ('mode = "sim"', 'mode = "sim"\ncpu = -1', "cpu"),
    ('mode = "sim"', 'mode = "sim"\ndrill_after_ms = -1', "drill_after_ms"),
    ('mode = "sim"', f'mode = "sim"\ndrill_after_ms = {10**30}', "drill_after_ms"),
    ('symbol = "BTCUSDT"', 'symbol = "BTCUSDT"\ndepth = 5', "depth 5"),
    ('symbol = "BTCUSDT"', 'symbol = "BTCUSDT"\ndepth = -1', "depth"),
    ('symbol = "BTCUSDT"', 'symbol = ""', "symbol"),
    ('tape = "', 'tape = ""\ndials = "', "tape"),
    # addresses
    ('rest = "http://127.0.0.1:1"', 'rest = "ws://127.0.0.1:1"', "rest 'ws://127.0.0.1:1'"),
    ('orders = "ws://127.0.0.1:1"', 'orders = "http://127.0.0.1:1"', "'http://127.0.0.1:1'"),
    ('streams = ["ws://127.0.0.1:1"]', "streams = []", "streams"),
    ('streams = ["ws://127.0.0.1:1"]', 'streams = [""]', "''"),
    *(
        ('streams = ["ws://127.0.0.1:1"]', f'streams = ["{url}"]', "127.0.0.1 only")
        for url in (
            "wss://stream.binance.com:9443",
            "ws://127.0.0.1.evil.com:80",
            "ws://192.168.0.1:80",
            "ws://[::2]:80",
        )
    ),
    *(
        ('streams = ["ws://127.0.0.1:1"]', f'streams = ["{url}"]', "venue[0]")
        for url in (
            "ws://",
            "ws://:80",
            "ws://[::1",
            "ws://127.0.0.1:99999",
            "ws://127.0.0.1:http",
            "ws://127.0.0.1:1@evil.com:80",
            "ws://127.0.0.1:80\\\\@evil.com",
            "ws://user:key@127.0.0.1:80",
            "ws://127.0.0.1:80?a=1",
            "ws://127.0.0.1:80#a",
            "ws://127.0.0.1:80/ws path",
        )
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "named"), BAD, ids=[f"{i}-{new[:30]}" for i, (_, new, _) in enumerate(BAD)]
)
def test_a_config_that_cannot_work_is_one_line_with_file_and_key(tickgate, write, old, new, named):
    path = write((old, new))
    told = tickgate("run", path)
    assert told.code == 2
    assert told.out == ""
    assert told.err.startswith(f"tickgate: {path}: ")
    assert named in told.err
    assert told.err.count("\n") == 1
    assert "Traceback" not in told.err


def test_limits_are_needed_where_orders_can_be_sent_and_nowhere_else(write):
    text = write().read_text()
    limits = text[text.index("[instrument.limits]") : text.index("[instrument.quote]")]
    with pytest.raises(UserError, match=r"instrument\[0\] BTCUSDT: has no \[instrument.limits\]"):
        load(write((limits, "")))
    assert load(write((limits, ""), ('orders = "ws://127.0.0.1:1"\n', ""))).instrument[0].limits is None


def test_an_instrument_or_a_venue_that_is_there_twice_is_refused(write):
    text = write().read_text()
    instrument = text[text.index("[[instrument]]") :]
    venue = text[text.index("[[venue]]") : text.index("[[instrument]]")]
    with pytest.raises(UserError, match=r"instrument\[1\] BTCUSDT: is there twice"):
        load(write((instrument, instrument + instrument)))
    with pytest.raises(UserError, match=r"venue\[1\]: binance-spot is there twice"):
        load(write((venue, venue + venue)))
    with pytest.raises(UserError, match=r"no \[\[instrument\]\]"):
        load(write((instrument, ""), ("[rate]", "instrument = []\n[rate]")))


def test_a_watching_node_may_look_anywhere_but_not_trade(write):
    away = (
        ('mode = "sim"', 'mode = "watch"'),
        ("ws://127.0.0.1:1", "wss://stream.binance.com:9443"),
        ("http://127.0.0.1:1", "https://api.binance.com"),
    )
    with pytest.raises(UserError, match=r"venue\[0\]: `orders` in mode 'watch'"):
        load(write(*away))
    config = load(write(*away, ('orders = "wss://stream.binance.com:9443"\n', ""), KEYLESS))
    assert config.venue[0].rest == "https://api.binance.com"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_this_machine_has_three_names(write, host):
    assert load(write(("127.0.0.1", host))).venue[0].streams == [f"ws://{host}:1"]


def test_depths_are_those_that_the_market_has(write):
    for market, good, bad in (
        ("bybit-linear", (50, 200, 1000), 49),
        ("okx", (50, 400), 5),
        ("binance-usdm", (0,), 1000),
    ):
        for depth in good:
            load(write(("binance-spot", market), ('"BTCUSDT"', f'"BTCUSDT"\ndepth = {depth}')))
        with pytest.raises(UserError, match=f"depth {bad}: must be one of"):
            load(write(("binance-spot", market), ('"BTCUSDT"', f'"BTCUSDT"\ndepth = {bad}')))


def test_ports_that_refuse_are_one_line_and_exit_code_4(tickgate, write):
    told = tickgate("run", write())
    assert told.code == 4
    assert told.err.startswith("tickgate: http://127.0.0.1:1/api/v3/exchangeInfo")
    assert told.err.count("\n") == 1


SIM_BAD = [
    ('seed = "x"', "seed"),
    ("frob = 1", "frob"),
    ('venues = ["kraken"]', "'kraken'"),
    ("ports = { kraken = [1, 2] }", "'kraken'"),
    ("ports = { okx = [1] }", "ports"),
    ("ports = { okx = [1, 2, 3] }", "ports"),
    ("ports = { okx = [70000, 0] }", "ports"),
    ("ports = { okx = [0, -1] }", "ports"),
]


@pytest.mark.parametrize(("text", "named"), SIM_BAD)
def test_simulated_venues_that_cannot_be_are_one_line_with_file_and_key(tickgate, tmp_path, text, named):
    path = tmp_path / "sim.toml"
    path.write_text(text)
    told = tickgate("sim", path)
    assert told.code == 2
    assert told.err.startswith(f"tickgate: {path}: ")
    assert named in told.err
    assert told.err.count("\n") == 1


GUARD = '\n[guard]\nstall_ms = 1000\non_stall = "cancel"\nkeep_stops = false\n'


def with_guard(write, text: str, *changes) -> Path:
    path = write(*changes)
    path.write_text(path.read_text() + text)
    return path


def test_a_guard_shares_the_node_s_key_only_in_simulation(write):
    assert load(with_guard(write, GUARD)).guard.on_stall == "cancel"
    assert load(with_guard(write, "")).guard is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("stall_ms = 1000\n", "", "stall_ms"),
        ("keep_stops = false\n", "", "keep_stops"),
        ('"cancel"', '"sell"', "sell"),
        ("stall_ms = 1000", "stall_ms = 10", "stall_ms"),
        ("stall_ms = 1000", "stall_s = 1", "stall_s"),
        (
            "keep_stops = false",
            'keep_stops = false\nkey.okx = { api_key = "env:A", secret = "env:B" }',
            "okx",
        ),
        (
            "keep_stops = false",
            'keep_stops = false\nkey.binance-spot = { api_key = "abc", secret = "env:B" }',
            "not the text itself",
        ),
    ],
)
def test_what_a_guard_cannot_work_with_is_named(write, old, new, said):
    assert old in GUARD
    with pytest.raises(UserError, match=said):
        load(with_guard(write, GUARD.replace(old, new)))

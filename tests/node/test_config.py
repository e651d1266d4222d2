"""The config file: what is good loads, and everything else is one line that names file and key."""

import functools
import re
import tomllib
from decimal import Decimal
from pathlib import Path

import configs
import msgspec
import pytest

from ext.engine import Recorder
from ext.limits import CEILINGS
from node.assembly import Assembly
from node.config import MARKETS, ArchiveConfig, Config, check, load, warnings
from node.errors import UserError
from node.reading import _structs
from node.sim.command import SimFile, read_config
from node.venues.keys import Key
from node.venues.values import InstrumentRow

ROOT = Path(__file__).parents[2]

GOOD = (
    """\
mode = "sim"
strategy = "quoter"
tape = "{folder}/tape"
"""
    + configs.tables_text(orders=10)
    + """\
[[venue]]
market = "binance-spot"
environment = "sim"
streams = ["ws://127.0.0.1:1"]
rest = "http://127.0.0.1:1"
orders = "ws://127.0.0.1:1"
key = {{ environment = "sim", api_key = "plain:simulated", secret = "plain:simulated" }}
"""
    + configs.instrument_text("binance-spot", "BTCUSDT", "0.1", "10000")
    + """\
[instrument.quote]
size_base = "0.0005"
half_spread_ppm = 4
"""
)


KEYLESS = ('key = { environment = "sim", api_key = "plain:simulated", secret = "plain:simulated" }\n', "")


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
    return {x.name: next(map(keys, _structs(x.type)), None) for x in msgspec.structs.fields(kind)}


def spelled(told) -> dict:
    """Every key that a TOML file spells; rows of a list are taken together."""
    out = {}
    for key, value in told.items():
        inside = value if isinstance(value, list) else [value]
        rows = [spelled(x) for x in inside if isinstance(x, dict)]
        out[key] = functools.reduce(together, rows) if rows else None
    return out


def together(one: dict, other: dict) -> dict:
    both = {k: together(one[k], other[k]) for k in one.keys() & other.keys() if one[k] and other[k]}
    return one | other | both


def test_the_example_loads_and_shows_every_key():
    path = ROOT / "deploy" / "sim.toml"
    config = load(path)
    assert [x.market for x in config.venue] == ["binance-spot", "bybit-linear", "okx"]
    told = spelled(
        tomllib.loads(re.sub(r"(?m)^# (?=\w+ = )", "", path.read_text()))
    )  # with what is commented out
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
    assert load(write()).instrument[0].limits.max_order_base == "0.1"


def test_a_missing_file_a_directory_and_what_cannot_be_read_are_named(tickgate, tmp_path):
    for path, why in (
        (tmp_path / "none.toml", "cannot be read: No such file"),
        (tmp_path, "is a directory: name the file itself"),
        (tmp_path / "x" / "y.toml", "cannot be read: No such file"),
    ):
        told = tickgate("run", path)
        assert told.code == 2
        assert told.out == ""
        assert told.err.startswith(f"tickgate: {path}: {why}")
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
    ('size_base = "0.0005"', 'size_base = "0.0005"\nfrob = 1', "instrument[0].quote"),
    ("stale_ms = 2000\n", "", "stale_ms"),
    ("[account]\n", "[foo]\n", "unknown field `foo`"),
    ("[rate]\n", "[rates]\n", "did you mean `rate`?"),
    ("window_ms = 1000\n", "", "window_ms"),
    ('max_order_base = "0.1"', "max_order_base = 0.1", "max_order_base"),
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
    ('market = "binance-spot"\nenv', 'market = "kraken"\nenv', "market 'kraken'"),
    ('market = "binance-spot"\nsymbol', 'market = "okx"\nsymbol', "market 'okx'"),
    # numbers as text
    *(
        (f'{key} = "{good}"', f'{key} = "{bad}"', key)
        for key, good in (
            ("max_order_base", "0.1"),
            ("max_order_quote", "10000"),
            ("max_position_base", "0.1"),
            ("max_leverage", "20"),
            ("max_total_quote", "off"),
            ("size_base", "0.0005"),
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
    ("half_spread_ppm = 4", 'half_spread_ppm = 4\nlean_base = "-1"', "lean_base"),
    ('size_base = "0.0005"', 'size_base = "0.000"', "size_base"),
    # numbers out of range
    *(
        (f"{key} = {good}", f"{key} = {bad}", key)
        for key, good in (
            ("collar_bps", 100),
            ("stale_ms", 2000),
            ("max_open_orders", 4),
            ("half_spread_ppm", 4),
            ("window_ms", 1000),
        )
        for bad in (-1, 10**7, 10**30)
    ),
    ("orders = 10\n", "orders = 0\n", "orders"),
    ("orders = 10\n", "orders = 10000000\n", "orders"),
    ("duplicate_ms = 0", "duplicate_ms = -1", "duplicate_ms"),
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
    ('orders = "ws://127.0.0.1:1"', 'orders = "http://127.0.0.1:1"', "orders 'http://127.0.0.1:1'"),
    ('orders = "ws://127.0.0.1:1"', 'orders = "5"', "venue[0]: orders '5' is not a ws://"),
    (
        'orders = "ws://127.0.0.1:1"',
        'orders = "ws://127.0.0.1:1"\nprivate = "5"',
        "venue[0]: private '5' is not",
    ),
    ('streams = ["ws://127.0.0.1:1"]', "streams = []", "streams"),
    ('streams = ["ws://127.0.0.1:1"]', 'streams = [""]', "streams[0] ''"),
    # a line end behind a number
    ('max_order_base = "0.1"', r'max_order_base = "0.1\n"', "max_order_base"),
    ('max_order_quote = "10000"', r'max_order_quote = "10000\n"', "max_order_quote"),
    ('max_coin_quote = "off"', r'max_coin_quote = "1\n"', "max_coin_quote"),
    # symbols that are none
    (
        'symbol = "BTCUSDT"',
        'symbol = "btcusdt"\nleverage = 20',
        "instrument[0]: symbol 'btcusdt': must be as",
    ),
    ('symbol = "BTCUSDT"', 'symbol = "BTC USDT"', "instrument[0]: symbol 'BTC USDT'"),
    ('symbol = "BTCUSDT"', r'symbol = "BTCUSDT\n"', r"instrument[0]: symbol 'BTCUSDT\n'"),
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
        load(write((instrument, ""), ('mode = "sim"', 'mode = "sim"\ninstrument = []')))


def test_a_watching_node_may_look_anywhere_but_not_trade(write):
    away = (
        ('mode = "sim"', 'mode = "watch"'),
        ('\nenvironment = "sim"', '\nenvironment = "live"'),
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


@pytest.mark.parametrize("symbol", ["BTC-USDT-SWP", "BTCUSDT", "BTC--SWAP", "-USDT", "BTC-USDT-"])
def test_a_symbol_of_okx_that_can_be_none_is_told_as_such_and_not_as_spot(write, symbol):
    path = write(("binance-spot", "okx"), ('"BTCUSDT"\n', f'"{symbol}"\nleverage = 20\n'))
    with pytest.raises(UserError, match=f"symbol '{symbol}': must be as okx writes it, such as BTC-USDT or"):
        load(path)


def test_depths_are_those_that_the_market_has(write):
    perpetual = (
        ('"BTCUSDT"\n', '"BTCUSDT"\nleverage = 5\n'),
        ("stale_ms", 'maintenance_bps = 100\nfunding_max_bps = "off"\nstale_ms'),
    )
    for market, good, bad in (
        ("bybit-linear", (50, 200, 1000), 49),
        ("okx", (50, 400), 5),
        ("binance-usdm", (0,), 1000),
    ):
        more = perpetual if market != "okx" else (('"BTCUSDT"', '"BTC-USDT"'),)
        for depth in good:
            load(
                write(
                    ("binance-spot", market),
                    *more,
                    ("[instrument.limits]", f"depth = {depth}\n[instrument.limits]"),
                )
            )
        with pytest.raises(UserError, match=f"depth {bad}: must be one of"):
            load(
                write(
                    ("binance-spot", market),
                    *more,
                    ("[instrument.limits]", f"depth = {bad}\n[instrument.limits]"),
                )
            )


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
            'keep_stops = false\nkey.okx = { environment = "sim", api_key = "env:A", secret = "env:B" }',
            "okx",
        ),
        (
            "keep_stops = false",
            "keep_stops = false\n"
            'key.binance-spot = { environment = "sim", api_key = "abc", secret = "env:B" }',
            "not the text itself",
        ),
        (
            "keep_stops = false",
            'keep_stops = false\nkey.binance-spot = { api_key = "env:A", secret = "env:B" }',
            "environment",
        ),
        (
            "keep_stops = false",
            "keep_stops = false\n"
            'key.binance-spot = { environment = "live", api_key = "env:A", secret = "env:B" }',
            "the venue's is 'sim'",
        ),
        (
            "keep_stops = false",
            'keep_stops = false\nkey.binance-spot = { environment = "sim", secret = "env:B" }',
            "toml: guard.key.binance-spot: missing required field `api_key`",
        ),
        (
            "keep_stops = false",
            'keep_stops = false\nkey.binance-spot = { environment = "sim", api_key = "" }',
            "toml: guard.key.binance-spot: api_key: ",
        ),
        (
            "keep_stops = false",
            'keep_stops = false\nkey.binance-spot = "env:A"',
            "toml: guard.key.binance-spot: must be a table",
        ),
    ],
)
def test_what_a_guard_cannot_work_with_is_named(write, old, new, said):
    assert old in GUARD
    with pytest.raises(UserError, match=said):
        load(with_guard(write, GUARD.replace(old, new)))


def test_tape_and_dials_are_relative_to_the_config_s_folder_from_wherever_it_is_read(
    write, tmp_path, monkeypatch
):
    path = write((f'tape = "{tmp_path}/tape"', 'tape = "../tapes/x"\ndials = "d"'))
    for here, name in (("/", path), (tmp_path, path.name)):
        monkeypatch.chdir(here)
        config = load(Path(name))
        assert config.tape == str(tmp_path.parent / "tapes" / "x")
        assert config.dials == str(tmp_path / "d")
    assert load(write()).tape == str(tmp_path / "tape")
    assert load(write()).dials == ""
    assert load(ROOT / "deploy" / "sim.toml").tape == str(ROOT / "tapes" / "sim")


def test_a_protective_stop_must_have_something_to_protect_and_be_in_front_of_liquidation(write):
    example = load(ROOT / "deploy" / "sim.toml")

    def refused(**change):
        stops = msgspec.structs.replace(example.stops, protect_bps=change.pop("protect_bps"))
        check(msgspec.structs.replace(example, stops=stops, **change), "x")

    refused(protect_bps=499)
    with pytest.raises(
        UserError, match=r"leverage 20: .*protect_bps 500 is beyond liquidation .*at most 499"
    ):
        refused(protect_bps=500)
    spot = {"instrument": example.instrument[:1], "venue": example.venue[:1], "guard": None}
    refused(protect_bps=0, **spot)
    with pytest.raises(UserError, match="stops: protect_bps 1: only positions of perpetuals"):
        refused(protect_bps=1, **spot)


def test_what_a_person_should_hear_of_at_each_start_is_told():
    example = load(ROOT / "deploy" / "sim.toml")
    replace = msgspec.structs.replace
    assert warnings(example) == []
    outside = [replace(example.venue[0], environment="testnet"), *example.venue[1:]]
    (told,) = warnings(replace(example, guard=None, venue=outside))
    assert told.startswith("there is no [guard]")
    assert warnings(replace(example, guard=None)) == []
    (told,) = warnings(replace(example, strategy_timeout_ms=1000))
    assert told.startswith("guard: stall_ms 1000 is not above strategy_timeout_ms 1000")
    off = dict.fromkeys(("max_coin_quote", "max_venue_quote", "max_total_quote"), "off")
    assert warnings(replace(example, account=replace(example.account, **off))) == []
    off["max_daily_loss_quote"] = "off"
    (told,) = warnings(replace(example, account=replace(example.account, **off)))
    assert "are all off" in told


def test_where_orders_can_be_sent_nobody_trades_by_default(write):
    without = 'strategy = "quoter"\n', ""
    with pytest.raises(UserError, match="missing `strategy`: orders can be sent, so say whose: quoter"):
        load(write(without))
    assert load(write(without, ('orders = "ws://127.0.0.1:1"\n', ""))).venue[0].orders == ""


def test_an_archive_is_where_the_file_says_from_wherever_it_is_read(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(
        EXAMPLE.replace('key = ""  ', 'key = "my.pem"  ').replace('directory = ""', 'directory = "a/b"')
    )
    archive = load(path).archive
    assert (archive.directory, archive.key) == (str(tmp_path / "a" / "b"), str(tmp_path / "my.pem"))
    path.write_text(EXAMPLE)
    assert (load(path).archive.directory, load(path).archive.key) == ("", "")


def test_an_archive_that_flushes_everything_sooner_than_what_matters_is_refused(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(
        EXAMPLE.replace("sync_ms = 5", "sync_ms = 50").replace("sync_max_ms = 1000", "sync_max_ms = 20")
    )
    with pytest.raises(UserError, match="sync_max_ms 20: is below sync_ms 50; raise it"):
        load(path)


def test_a_guard_may_not_take_away_what_protects_the_positions_it_leaves_open():
    example = load(ROOT / "deploy" / "sim.toml")
    assert example.guard.keep_stops

    def checked(protect_bps=300, **change):
        guard = msgspec.structs.replace(example.guard, **change)
        stops = msgspec.structs.replace(example.stops, protect_bps=protect_bps)
        check(msgspec.structs.replace(example, guard=guard, stops=stops), "x")

    with pytest.raises(UserError, match="keep_stops: must be true where on_stall is 'cancel'"):
        checked(keep_stops=False)
    checked(keep_stops=False, on_stall="flatten")
    checked(keep_stops=False, protect_bps=0)


# ---- limits: what a person must have meant --------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("max_size", "max_order_base"),
        ("max_notional", "max_order_quote"),
        ("max_position", "max_position_base"),
    ],
)
def test_a_key_by_its_old_name_is_told_its_new_one(write, old, new):
    told = refusal(write((f"{new} = ", f"{old} = ")))
    assert told == f"instrument[0].limits: unknown field `{old}`: `{old}` is called `{new}` now"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("max_order", "max_order_base"),
        ("collar", "collar_bps"),
        ("collar_pct", "collar_bps"),
        ("collar_percent", "collar_bps"),
        ("stale", "stale_ms"),
        ("stale_s", "stale_ms"),
        ("max_order_usd", "max_order_base"),
        ("max_position_btc", "max_position_base"),
        ("max_open_order", "max_open_orders"),
    ],
)
def test_a_key_without_its_unit_or_with_another_is_told_the_one_there_is(write, old, new):
    path = write()
    path.write_text(path.read_text().replace(f"\n{new} = ", f"\n{old} = ", 1))
    assert f"unknown field `{old}`: did you mean `{new}`?" in refusal(path)


def test_a_key_that_is_missing_says_what_it_must_be(write):
    assert refusal(write(("collar_bps = 100\n", ""))) == (
        "instrument[0].limits: missing required field `collar_bps`: "
        "must be whole basis points, 1 to 2000 (100 = 1 %)"
    )
    assert "in base coins" in refusal(write(('max_order_base = "0.1"\n', "")))


@pytest.mark.parametrize("value", ["0.5", "0", "20000", '"1%"', "1e2", "nan", "inf", "-inf", "true", "[]"])
def test_percent_fractions_and_what_is_no_number_are_told_what_basis_points_are(write, value):
    told = refusal(write(("collar_bps = 100", f"collar_bps = {value}")))
    assert told.startswith("instrument[0].limits.collar_bps: ")
    assert told.endswith("; must be whole basis points, 1 to 2000 (100 = 1 %)")


@pytest.mark.parametrize("name", ["account", "rate", "stops", "compliance"])
def test_limits_over_everything_are_needed_where_orders_can_be_sent_and_nowhere_else(write, name):
    path = write()
    text = re.sub(rf"(?ms)^\[{name}\]\n.*?(?=^\[)", "", path.read_text())
    path.write_text(text)
    assert refusal(path).startswith(f"missing [{name}]: ")
    path.write_text(text.replace('orders = "ws://127.0.0.1:1"\n', ""))
    assert getattr(load(path), name) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            [('max_position_base = "0.1"', 'max_position_base = "0.01"')],
            "max_order_base '0.1': is above max_position_base",
        ),
        (
            [('max_open_quote = "off"', 'max_open_quote = "9999"')],
            "max_order_quote '10000': is above max_open_quote",
        ),
        (
            [('max_order_quote = "10000"', 'max_order_quote = "10000000.01"')],
            "is above the ceiling of 10000000 that",
        ),
        (
            [('max_leverage = "20"', 'max_leverage = "20.001"')],
            "account: max_leverage '20.001': is above the ceiling of 20 times the equity",
        ),
        ([('max_total_quote = "off"', 'max_total_quote = "100000001"')], "account: max_total_quote"),
        (
            [
                ('max_total_quote = "off"', 'max_total_quote = "10"'),
                ('max_coin_quote = "off"', 'max_coin_quote = "11"'),
            ],
            "account: max_coin_quote '11': is above max_total_quote '10'",
        ),
        (
            [('max_range_bps = "off"', "max_range_bps = 10")],
            "missing `range_s`: `max_range_bps` is measured with it",
        ),
        ([('max_jump_bps = "off"', "max_jump_bps = 10\njump_ms = 5")], "missing `jump_pause_s`"),
        (
            [('max_jump_bps = "off"', 'max_jump_bps = "off"\njump_ms = 5')],
            "`max_jump_bps` is not asked for; remove it",
        ),
        ([('max_round_trips = "off"', "max_round_trips = 3")], "rate: missing `repeat_window_s`"),
        ([("stale_ms = 2000", "stale_ms = 2000\nmaintenance_bps = 100")], "this is spot: remove them"),
        ([('"BTCUSDT"\n', '"BTCUSDT"\nleverage = 2\n')], "leverage 2: is spot and paid in full; remove it"),
        (
            [("collar_bps = 100", "collar_bps = 40")],
            "collar_bps 40: must be above [stops] exit_slippage_bps 40",
        ),
        ([('on_drawdown = "flatten"', 'on_drawdown = "sell"')], "stops.on_drawdown"),
    ],
)
def test_limits_that_contradict_each_other_or_the_ceiling_say_which(write, changes, told):
    assert told in refusal(write(*changes))


def test_perpetuals_need_leverage_and_what_their_margin_is_made_of(tmp_path):
    def told(text):
        path = tmp_path / "node.toml"
        path.write_text(text)
        return refusal(path)

    spot = GOOD.format(folder=tmp_path).replace("binance-spot", "bybit-linear")
    assert "missing `leverage`" in told(spot)
    spot = spot.replace('"BTCUSDT"\n', '"BTCUSDT"\nleverage = 5\n')
    assert "missing `funding_max_bps`: perpetuals need it" in told(spot)
    spot = spot.replace("stale_ms", 'funding_max_bps = "off"\nstale_ms')
    assert "missing `maintenance_bps`: perpetuals need it" in told(spot)
    (tmp_path / "node.toml").write_text(spot.replace("stale_ms", "maintenance_bps = 100\nstale_ms"))
    assert load(tmp_path / "node.toml").instrument[0].leverage == 5


# ---- row 138: fuzz --------------------------------------------------------------------------------

EXAMPLE = (ROOT / "deploy" / "sim.toml").read_text()
NUMBER = re.compile(r'^(\w+) = ("?)([0-9]+(?:\.[0-9]+)?)\2(?=\s|$)')
FACTORS = ("0.001", "0.01", "0.1", "10", "100", "1000")
# what is no limit: how the node runs, and when it asks
NO_LIMITS = {
    "segment_mb",
    "drill_after_ms",
    "depth",
    "requote_ppm",
    "wait_ms",
    *ArchiveConfig.__struct_fields__,
}


def numeric_fields() -> list[tuple[int, str, str, str]]:
    """(line, table, key, value) of each number in the example."""
    out, table = [], ""
    for n, line in enumerate(EXAMPLE.splitlines()):
        if line.startswith("["):
            table = line.split("#")[0].strip().strip("[]")
        elif match := NUMBER.match(line):
            out.append((n, table, match[1], match[3]))
    return out


FIELDS = numeric_fields()


def changed(n: int, line: str | None) -> str:
    rows = EXAMPLE.splitlines()
    rows[n : n + 1] = [] if line is None else [line]
    return "\n".join(rows) + "\n"


def effective(text: str, folder: Path):
    """The gate's own table, of a node with this config; UserError where there is none."""
    path = folder / "node.toml"
    path.write_text(text)
    config = load(path)
    rows = {
        (MARKETS[x.market], x.symbol): InstrumentRow(
            MARKETS[x.market],
            x.symbol,
            "0.1",
            "0.01" if x.market == "okx" else "0.0001",
            base="BTC",
            quote="USDT",
            is_perpetual=x.leverage is not None,
            max_leverage="100",
            contract="0.01" if x.market == "okx" else "1",
        )
        for x in config.instrument
    }
    keys = {m: Key("simulated", "simulated", "simulated") for m in MARKETS.values()}
    made = Assembly(
        config, rows, {}, keys, tape=None, epoch=5, outlet=Recorder(), now_ns=1_790_000_000 * 10**9
    )
    return made.engine.risk.table.as_dict()


def inside_the_ceilings(table: dict) -> None:
    places = [("instrument", x) for x in table["instruments"]] + [
        ("account", table["account"]),
        ("flow", table["flow"]),
    ]
    same = {
        "same_side_fills": "fills",
        "round_trips": "trips",
        "repeat_ns": "repeat_window_ns",
        "day_trade_days": "days",
    }
    same["day_trade_below_e8"] = "below_e8"
    for where, row in places:
        for name, value in row.items():
            ceiling = CEILINGS.get(same.get(name, name), 4096)
            assert name in ("allowed", "pad") or value <= ceiling, f"{where}: {name} {value}"


@pytest.mark.parametrize(("n", "table", "key", "value"), FIELDS, ids=[f"{n}-{k}" for n, _, k, _ in FIELDS])
def test_138_a_number_that_slipped_is_refused_with_its_field_or_stays_below_the_ceilings(
    tmp_path, n, table, key, value
):
    quoted = f'{key} = "{value}"' in EXAMPLE.splitlines()[n]
    for factor in FACTORS:
        slipped = Decimal(value) * Decimal(factor)
        text = f"{slipped:f}"
        try:
            inside_the_ceilings(
                effective(changed(n, f'{key} = "{text}"' if quoted else f"{key} = {text}"), tmp_path)
            )
        except UserError as error:
            told = str(error)
        else:
            told = key
        assert key in told, factor


@pytest.mark.parametrize(("n", "table", "key", "value"), FIELDS, ids=[f"{n}-{k}" for n, _, k, _ in FIELDS])
def test_138_a_limit_that_is_missing_misnamed_or_no_number_names_the_field(tmp_path, n, table, key, value):
    path = tmp_path / "node.toml"
    stem = key.rpartition("_")[0] or key
    for line in (
        f"{key} = nan",
        f"{key} = inf",
        f"{key} = true",
        f"{key} = []",
        f'{key} = "much"',
        f"{key} = -1",
        f'{key} = "-1"',
        f'{key} = "1e3"',
        f'{key} = "{value} "',
    ):
        path.write_text(changed(n, line))
        assert key in refusal(path), line
    for wrong in (f"{stem}_pct", f"{stem}_furlongs"):
        path.write_text(changed(n, f"{wrong} = {value}"))
        assert wrong in refusal(path)
    path.write_text(changed(n, None))
    if key in NO_LIMITS | DEFAULTED or (table, key) == ("venue", "window_ms"):
        load(path)
    else:
        assert key in refusal(path)


# have a default that somebody owns, and that costs nothing
DEFAULTED = {
    "ack_timeout_ms",
    "max_unacked",
    "memory_mb",
    "strategy_timeout_ms",
    "slippage_bps",
    "orders_s",
    "positions_s",
    "balances_s",
    "max_leverage",
    "max_drawdown_bps",
}
DEFAULTED |= {"lean_base", "delisting_flat_min"}


def test_138_the_fuzz_sees_every_number_of_the_example():
    assert len(FIELDS) > 80
    assert {"max_order_base", "max_leverage", "collar_walk_s", "protect_bps", "maintenance_bps"} <= {
        x[2] for x in FIELDS
    }

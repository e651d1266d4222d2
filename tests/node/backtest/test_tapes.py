"""`tickgate replay TAPE`: which runs, up to where, what is said of them, and what cannot be replayed."""

import io
import json
import sys

import orjson
import pytest
from configs import instrument_text, tables_text
from retaped import Taker, config_of, run
from rich.console import Console

from ext.tape import RecordType, TapeReader, TapeWriter
from node import cli
from node.backtest.tapes import Moment, moment, print_result, tapes_command
from node.errors import UserError
from node.sim.memory import SEC, START_NS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs on one tape, of one venue that signs its frames."""
    out = tmp_path_factory.mktemp("taped")
    for start in (0, 100):
        config = config_of("binance-usdm", strategy="quoter", quote=QUOTE)
        run(out / "tape", 11.0, config, seed=4, start_ns=START_NS + start * SEC)
    return out


CONFIG = (
    'mode = "sim"\nstrategy = "quoter"\ndeployment = "rp00"\ntape = "tape"\n'
    + tables_text().replace("{", "{{").replace("}", "}}")
    + """[[venue]]
market = "binance-usdm"
environment = "sim"
streams = ["ws://127.0.0.1:1"]
rest = "http://127.0.0.1:1"
orders = "ws://127.0.0.1:1"
key = {{ environment = "sim", api_key = "{key}", secret = "{key}" }}
"""
    + instrument_text("binance-usdm", "BTCUSDT")
)
CONFIG_FIRST = "a replay begins at a CONFIG record"
QUOTE = {"size_base": "0.01", "half_spread_ppm": 20, "requote_ppm": 60, "lean_base": "0.1", "wait_ms": 400}


def command(capsys, monkeypatch, *argv: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["tickgate", *argv])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, *capsys.readouterr()


def firsts(folder) -> list[int]:
    return [x.sequence for x in TapeReader(str(folder / "tape")) if x.type == RecordType.CONFIG]


def test_every_run_is_replayed_and_told_of(folder, capsys, monkeypatch):
    code, out, err = command(capsys, monkeypatch, "replay", str(folder), "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["identical"]
    (tape,) = told["tapes"]
    assert [x["first"] for x in tape["runs"]] == firsts(folder)
    assert all(x["orders"] > 0 and x["marks"] > 5 and x["difference"] is None for x in tape["runs"])
    assert all(x["masked"] == x["orders"] for x in tape["runs"])
    code, out, err = command(capsys, monkeypatch, "replay", str(folder))
    assert code == 0
    assert "signatures were not compared" in out
    assert tape["runs"][0]["order_hash"][:16] in out


def test_a_run_is_named_by_where_it_is_under_way_and_ends_where_it_is_told_to(folder):
    first, second = firsts(folder)
    (tape,) = tapes_command([folder], since=str(second + 5)).tapes
    assert [x.first for x in tape.runs] == [second]
    assert tape.skipped == second - first
    (tape,) = tapes_command([folder], until=str(second - 10)).tapes
    assert [(x.first, x.last) for x in tape.runs] == [(first, second - 10)]
    (tape,) = tapes_command([folder], until="2026-09-21T14:13:21.5Z").tapes
    assert [x.first for x in tape.runs] == [first]
    assert SEC < tape.runs[0].ended_ns - START_NS <= 3 * SEC // 2
    assert tape.is_identical


@pytest.mark.parametrize("text", ["", "0", "-3", "yesterday", "2026-13-01T00:00:00Z", "2026-09-21", "1e3"])
def test_a_moment_is_a_sequence_or_a_time(text):
    with pytest.raises(UserError, match=r"--until .*: must be the sequence of a record"):
        moment("--until", text)


def test_moments_are_exact():
    assert moment("--from", "17") == Moment(sequence=17)
    assert moment("--from", "2026-09-21T14:13:20.000000007Z") == Moment(now_ns=START_NS + 7)


def test_what_is_no_tape_is_one_clear_line(tmp_path, folder, capsys, monkeypatch):
    code, _, err = command(capsys, monkeypatch, "replay", str(tmp_path))
    assert (code, err) == (
        2,
        f"tickgate: {tmp_path}: there is no tape in this directory: name that of one, which a node's config "
        "calls `tape`, or the config\n",
    )
    code, _, err = command(capsys, monkeypatch, "replay", str(folder), "--at", "3")
    assert code == 2
    assert err.count("\n") == 1
    recording = tmp_path / "x.jsonl"
    recording.write_text("")
    code, _, err = command(capsys, monkeypatch, "replay", str(recording), "--until", "3")
    assert (code, err.count("\n")) == (2, 1)


def test_a_config_means_its_tape_and_its_keys_and_a_directory_the_only_tape_below_it(
    folder, capsys, monkeypatch
):
    config = folder / "node.toml"
    config.write_text(CONFIG.format(key="plain:simulated"))
    for path in (config, folder):
        code, out, err = command(capsys, monkeypatch, "replay", str(path), "--json")
        assert (code, err) == (0, "")
        (tape,) = json.loads(out)["tapes"]
        assert tape["notes"] == []
        assert (tape["tape"], len(tape["runs"])) == (str(folder / "tape"), 2)
        assert [x["masked"] > 0 for x in tape["runs"]] == [path == folder] * 2


def test_an_auditor_without_the_secrets_replays_a_config_too_and_is_told_what_was_not_compared(
    folder, capsys, monkeypatch
):
    config = folder / "secret.toml"
    config.write_text(CONFIG.format(key="env:NOT_SET_HERE"))
    code, out, _ = command(capsys, monkeypatch, "replay", str(config))
    assert code == 0
    assert "signatures are not compared: " in out
    code, _, err = command(capsys, monkeypatch, "replay", str(folder / "tape"), "--config", str(config))
    assert (code, err.count("\n")) == (2, 1)


def test_a_config_of_something_else_is_said_to_be_that(tmp_path, capsys, monkeypatch):
    (tmp_path / "x.toml").write_text("[[instruments]]\nmarket = 'okx'\n")
    code, _, err = command(capsys, monkeypatch, "replay", str(tmp_path / "x.toml"))
    assert code == 2
    assert f"{tmp_path / 'x.toml'}: this is no config of a node" in err


def test_one_tape_of_several_that_cannot_be_replayed_does_not_keep_the_others_from_it(
    folder, tmp_path, capsys, monkeypatch
):
    TapeWriter(str(tmp_path), now_ns=1, segment_size=1 << 20).append(RecordType.TIMER, 0, 5, b"")
    code, out, err = command(capsys, monkeypatch, "replay", str(tmp_path), str(folder / "tape"))
    assert code == 1
    assert err == f"tickgate: not replayed: {tmp_path}: no run begins there: {CONFIG_FIRST}\n"
    assert err.removeprefix("tickgate: ") in out
    assert str(folder / "tape") in out
    code, out, _ = command(capsys, monkeypatch, "replay", str(tmp_path), str(folder / "tape"), "--json")
    told = json.loads(out)
    assert (code, told["identical"]) == (1, False)
    assert [len(x["runs"]) for x in told["tapes"]] == [0, 2]


def test_a_tape_without_a_config_or_with_one_of_another_build_is_one_clear_line(tmp_path):
    tape = TapeWriter(str(tmp_path), now_ns=1, segment_size=1 << 20)
    tape.append(RecordType.TIMER, 0, 5, b"")
    with pytest.raises(UserError, match="no run begins there"):
        tapes_command([tmp_path])
    tape.append(RecordType.CONFIG, 0, 6, orjson.dumps({"build": "old", "instruments": []}))
    with pytest.raises(UserError, match="does not tell `epoch`: it is of a build that could not be replayed"):
        tapes_command([tmp_path])
    tape.append(RecordType.CONFIG, 0, 6, b"{")
    with pytest.raises(UserError):
        tapes_command([tmp_path], since="3")


class Gone(Taker):
    """Nobody can import it later."""


Gone.__module__ = "no_such_module"


def test_a_strategy_that_is_not_here_is_one_clear_line(tmp_path):
    run(tmp_path, 0.5, config_of(), strategy=Gone())
    with pytest.raises(UserError, match=r"strategy 'no_such_module:Gone': No module named 'no_such_module'"):
        tapes_command([tmp_path])
    assert tapes_command([tmp_path], strategy=Taker).is_identical


def test_a_torn_tail_is_left_out_and_told(tmp_path, folder):
    (tmp_path / "t").mkdir()
    source = sorted((folder / "tape").glob("*.tape"))[0]
    raw = bytearray(source.read_bytes())
    end = len(bytes(raw).rstrip(b"\0")) // 64 * 64
    raw[end - 128 :] = bytes(len(raw) - end + 128)  # the seal and something before it
    raw[end - 192 : end - 188] = (-40 & 2**32 - 1).to_bytes(4, "little")
    (tmp_path / "t" / source.name).write_bytes(raw)
    (tape,) = tapes_command([tmp_path]).tapes
    assert tape.is_identical
    assert tape.torn > 0


def test_damage_is_replayed_up_to_and_named(tmp_path, folder, capsys, monkeypatch):
    source = sorted((folder / "tape").glob("*.tape"))[0]
    raw = bytearray(source.read_bytes())
    raw[len(bytes(raw).rstrip(b"\0")) // 2] ^= 1
    (tmp_path / source.name).write_bytes(raw)
    code, out, err = command(capsys, monkeypatch, "replay", str(tmp_path))
    assert code == 1
    assert "damaged, replayed up to there" in out
    assert err.count("\n") == 1
    assert "offset" in err


def test_a_difference_is_a_failure_with_both_sides(tmp_path, capsys, monkeypatch):
    run(tmp_path, 9.0, config_of(), seed=4, strategy=Taker())
    monkeypatch.setattr(Taker, "lots", 3)
    code, out, err = command(capsys, monkeypatch, "replay", str(tmp_path))
    assert code == 1
    assert "the replay is not what was recorded: record" in err
    assert "recorded size_lots 2" in out
    assert "replayed size_lots 3" in out


def test_a_result_is_printed_without_markup_of_the_tape_s_own(folder):
    console = Console(record=True, width=100, file=io.StringIO())
    print_result(tapes_command([folder]), console)
    assert "[red]" not in console.export_text()

"""`tickgate tape ...` as a person types it."""

import json
import shutil

import archives
import configs
import pytest
from screen import screen, tells

from ext.tape import RecordType, TapeWriter
from node.slow.signing import public_hex, read_key
from node.tapes import _segments

CONFIG = json.dumps(
    {
        "lines": [{"name": "okx feed A", "kind": 0}],
        "instruments": [{"market": "okx", "symbol": "BTC-USDT-SWAP"}],
    }
).encode()


@pytest.fixture
def tape(tmp_path):
    archives.write(tmp_path / "tape")
    archives.settle(archives.archive_of(tmp_path / "tape"))
    return tmp_path / "tape"


@pytest.fixture
def config(tape, tmp_path):
    """A file of which only the tape and the archive are looked at."""
    path = tmp_path / "node.toml"
    path.write_text('tape = "tape"\n[archive]\n')
    return path


def test_a_whole_tape_is_said_to_be_whole(tickgate, tape, config):
    for target in (tape, config, tape / "archive"):
        told = tickgate("tape", "verify", target)
        assert told.code == 0, told.err
        assert told.out.endswith("whole\n")
        assert "100 records" in told.out


def test_a_restored_tape_that_the_archive_is_ahead_of_is_whole_and_is_read_as_it_is(tickgate, tmp_path):
    tape = tmp_path / "tape"
    archives.write(tape, 50, close=False)
    shutil.copytree(tape, tmp_path / "backup")
    archives.write(tape, 50)
    archives.settle(archives.archive_of(tape))
    archives.put_back(tape, tmp_path / "backup")
    told = tickgate("tape", "verify", tape)
    assert (told.code, told.out.endswith("whole\n")) == (0, True), told.err
    assert "note: the archive is ahead of this tape" in told.out
    assert "50 records, sequence 51 to 100; the next start goes on from sequence 51" in told.out
    assert len(tickgate("tape", "dump", tape).out.splitlines()) == 50


def test_damage_is_told_with_its_place_and_code_1(tickgate, tape):
    archives.flip(tape / "archive" / "00000000.tape.zst", 50)
    told = tickgate("tape", "verify", tape)
    assert told.code == 1
    assert "archive/00000000.tape.zst: offset 0, sequence 1: does not unpack" in told.out
    assert told.err.startswith("tickgate: ")
    assert "1 problems" in told.err
    found = json.loads(tickgate("tape", "verify", tape, "--json").out)
    assert (found["ok"], found["problems"][0]["file"]) == (False, "archive/00000000.tape.zst")


def test_the_key_that_signed_is_shown_and_can_be_asked_for(tickgate, tape):
    key = public_hex(read_key(tape / "archive" / "archive.key"))
    assert tickgate("tape", "key", tape).out == f"{key}\n"
    assert json.loads(tickgate("tape", "key", tape, "--json").out)["key"] == key
    assert tickgate("tape", "verify", tape, "--key", key.upper()).code == 0
    told = tickgate("tape", "verify", tape, "--key", "0" * 64)
    assert (told.code, "by another key" in told.out) == (1, True)
    assert tickgate("tape", "verify", tape, "--key", "abc").code == 2


def test_there_is_no_key_before_the_first_archive(tickgate, tmp_path):
    archives.write(tmp_path / "tape")
    told = tickgate("tape", "key", tmp_path / "tape")
    assert (told.code, "no key yet" in told.err) == (2, True)


def test_segments_are_listed(tickgate, tape):
    rows = json.loads(tickgate("tape", "list", tape, "--json").out)
    assert rows[0]["where"] == "archived"
    assert rows[-1]["where"] == "live and archived"
    table = tickgate("tape", "list", tape).out
    assert f"{rows[-1]['first']}-100" in table
    assert table.count("archived") >= len(rows)


def test_records_are_dumped_by_sequence_type_and_line(tickgate, tape):
    def sequences(*more):
        told = tickgate("tape", "dump", tape, "--json", *more)
        assert told.code == 0, told.err
        return [json.loads(x)["sequence"] for x in told.out.splitlines()]

    assert sequences() == list(range(1, 101))
    assert sequences("--from", 40, "--to", 42) == [40, 41, 42]
    assert sequences("--from", 1, "--to", 9, "--line", 2) == [3, 6, 9]
    assert sequences("--type", "fill") == []
    assert sequences("--type", "frame", "--type", "FILL", "--to", 2) == [1, 2]


def test_a_huge_record_is_cut_in_the_table_and_whole_as_json(tickgate, tmp_path):
    writer = TapeWriter(tmp_path / "tape", now_ns=1, segment_size=archives.PAGE)
    writer.append(RecordType.FRAME, 0, 1, b"f" * 1000)
    writer.append(RecordType.CONFIG, 0, 1, json.dumps({"lines": [], "x": "c" * 1000}).encode())
    writer.close(2)
    frame, config = tickgate("tape", "dump", tmp_path / "tape").out.splitlines()
    assert frame.count("f") == 1000, "a frame is what one looks for"
    assert config.count("c") < 500
    assert config.endswith("more characters: `--from 2 --to 2 --json` shows all")
    told = tickgate("tape", "dump", tmp_path / "tape", "--from", 2, "--to", 2, "--json").out
    assert json.loads(told)["config_record"]["x"] == "c" * 1000


@pytest.mark.parametrize("command", ["verify", "dump", "list", "key"])
def test_a_directory_that_holds_tapes_names_them_and_what_to_type(tickgate, tmp_path, command):
    folder = tmp_path / "all tapes"
    for name in ("node", "sim"):
        archives.write(folder / name)
    (folder / "empty").mkdir()
    told = tickgate("tape", command, folder)
    assert (told.code, told.out) == (2, "")
    assert f"there are 2 tapes below it: name one: {folder}/node, {folder}/sim" in told.err


def test_a_record_is_one_line_whatever_came_and_commands_no_terminal(tickgate, tmp_path):
    writer = TapeWriter(tmp_path / "tape", now_ns=1, segment_size=archives.PAGE)
    writer.append(RecordType.FRAME, 0, 1, "a\r\n\x1b[2J b\u2028\u00e9".encode())
    writer.append(RecordType.NOTE, 0, 1, b'{"text": "\\u001b[2J\\n"}')
    writer.close(2)
    told = tickgate("tape", "dump", tmp_path / "tape").out
    assert told.splitlines()[0].endswith("FRAME     0  a\\r\\n\\x1b[2J b\\u2028\u00e9")
    assert (told.count("\n"), "\x1b" in told) == (2, False)


def test_a_dump_that_begins_in_the_middle_knows_the_names(tickgate, tape):
    writer = TapeWriter(tape, now_ns=1, segment_size=archives.PAGE)
    writer.append(RecordType.CONFIG, 0, 1, CONFIG)
    for _ in range(60):
        writer.append(RecordType.FRAME, 0, 1, b"hello" * 20)
    writer.close(2)
    told = tickgate("tape", "dump", tape, "--from", 150, "--to", 150).out
    assert "FRAME     okx feed A  hellohello" in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify", "nowhere"], "cannot be read"),
        (["verify", "empty"], "no tape and no archive"),
        (["verify", "."], "holds tape: name one, as in `tickgate tape verify tape`"),
        (["dump", "empty"], "no tape"),
        (["list", "empty"], "no tape"),
        (["dump", "tape", "--type", "frames"], "must be one of"),
        (["dump", "tape", "--from", "0"], "--from"),
        (["dump", "tape", "--from", "5", "--to", "2"], "--from 5 --to 2: nothing is between them"),
        (["dump", "tape", "--from", "101"], "--from 101: the tape ends at sequence 100"),
        (["verify", "bad.toml"], "must be paths"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_code_2(tickgate, tape, tmp_path, monkeypatch, arguments, said):
    (tmp_path / "bad.toml").write_text("deployment = 1\n[archive]\ndirectory = 3\n")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    told = tickgate("tape", *arguments)
    assert told.code == 2
    assert said in told.err
    assert told.err.count("\n") == 1


def test_a_hole_that_a_dump_meets_is_one_line_and_code_1(tickgate, tape):
    (tape / "archive" / "00000001.tape.zst").unlink()
    told = tickgate("tape", "dump", tape)
    assert told.code == 1
    assert "00000001.tape" in told.err
    assert "tape verify" in told.err


def test_an_archive_elsewhere_is_found_by_its_config(tickgate, tape, tmp_path):
    (tape / "archive").rename(tmp_path / "disk")
    path = tmp_path / "node.toml"
    path.write_text('tape = "tape"\n[archive]\ndirectory = "disk"\n')
    assert tickgate("tape", "verify", path).code == 0
    assert "there is no archive here" in tickgate("tape", "verify", tape).out
    (tape / "archive").symlink_to(tmp_path / "disk")
    assert "100 records" in tickgate("tape", "verify", tape).out
    (tmp_path / "disk").rename(tmp_path / "unplugged")
    told = tickgate("tape", "verify", tape)
    assert (told.code, "archive: offset 0" in told.out) == (1, True)


def archive_config(tape, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(
        'mode = "watch"\nstrategy = "none"\ntape = "tape"\n[[venue]]\nmarket = "okx"\nenvironment = "sim"\n'
        f'streams = ["{configs.HERE}"]\nrest = "http://127.0.0.1:1"\n[[instrument]]\nmarket = "okx"\n'
        'symbol = "BTC-USDT-SWAP"\n[archive]\n'
    )
    return path


def test_a_tape_at_rest_is_archived_by_hand(tickgate, tmp_path):
    archives.write(tmp_path / "tape")
    path = archive_config(tmp_path / "tape", tmp_path)
    told = tickgate("archive", path, "--once")
    assert told.code == 0, told.err
    assert "the archive ends at sequence 100" in told.out
    assert json.loads(tickgate("archive", path, "--once", "--json").out)["archived"] == 0
    path.write_text(path.read_text().replace("[archive]\n", ""))
    told = tickgate("archive", path, "--once")
    assert (told.code, "no [archive] in this config" in told.err) == (2, True)


def test_the_list_is_read_at_80_columns():
    row = {"index": 12345, "first": 1234567890, "last": 1234999999, "bytes": 2_147_000_000}
    row |= {"opened": "2026-11-20 19:43:13.123456789", "closed": "2026-11-21 19:43:13.123456789"}
    row |= {
        "archived_bytes": 1_147_000_000,
        "where": "live and archived",
        "durable": "partly",
        "history": "fork-0002",
    }
    text = screen(lambda console: console.print(_segments("session dc5063a7a15a", [row])))
    tells(text, "1234567890-1234999999", "11-20", "11-21", "19:43:13", "2147.00", "1147.00")

"""Errors that are lines for a person, and their exit codes."""

import errno
import json

import pytest
import typer

from node import cli
from node.errors import Failed, Unreachable, UserError, cause, of_place


@pytest.mark.parametrize(("kind", "code"), [(Failed, 1), (UserError, 2), (Unreachable, 4)])
def test_an_error_is_one_line_and_its_own_exit_code(tickgate, monkeypatch, kind, code):
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail():
        raise kind("a.toml: key 'x':\n  must be\ta number")

    monkeypatch.setattr(cli, "app", app)
    told = tickgate()
    assert told.code == code
    assert told.out == ""
    assert told.err == "tickgate: a.toml: key 'x': must be a number\n"


def test_what_is_a_fault_of_ours_keeps_its_traceback(monkeypatch):
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail():
        raise AssertionError("an invariant")

    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr("sys.argv", ["tickgate"])
    with pytest.raises(AssertionError, match="an invariant"):
        cli.main()


def test_an_error_of_a_command_that_prints_json_is_an_object_too(tickgate, tmp_path):
    for command in (["audit", tmp_path / "none"], ["run", tmp_path / "none"], ["run"], ["nonsense"]):
        told = tickgate(*command, "--json")
        assert (told.code, told.out) == (2, "")
        error = json.loads(told.err)
        assert set(error) == {"error", "code"}
        assert error["code"] == 2


def test_a_disk_says_what_to_do_and_a_full_one_is_no_bad_usage():
    full = of_place("tape /x", OSError(errno.ENOSPC, "raw"))
    assert (type(full), str(full)) == (
        Failed,
        "tape /x: the disk is full: make room there, or name another place",
    )
    assert type(of_place("x", OSError(errno.EROFS, "raw"))) is UserError
    for number, words in (
        (errno.EDQUOT, "the disk quota is used up: raise it"),
        (errno.EFBIG, "raise `ulimit -f`"),
        (errno.EIO, "the disk reports an I/O error: look at it"),
    ):
        told = of_place("x", OSError(number, "raw"))
        assert (type(told), words in str(told)) == (Failed, True)
    assert cause(OSError(errno.EMFILE, "Too many open files")) == "Too many open files"
    assert cause(OSError("words")) == "words"

"""Errors that are lines for a person, and their exit codes."""

import pytest
import typer

from node import cli
from node.errors import Failed, Unreachable, UserError


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

"""How wide tables are, where there is a terminal and where there is none."""

import pytest
from rich.console import Console
from screen import screen

from node.sheet import narrow_table, sheet


@pytest.mark.parametrize(("columns", "width"), [("", 140), ("wide", 140), ("80", 80)])
def test_a_pipe_is_as_wide_as_is_liked_unless_columns_says_otherwise(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    assert sheet(140, stderr=True).width == width


def test_words_fold_and_numbers_never_do():
    def show(console: Console) -> None:
        table = narrow_table(("what",), ("how\nmany", "price"))
        table.add_row("a long tale of what it was " * 4, "1234567890", "0.000012345678")
        console.print(table)

    text = screen(show)
    assert "1234567890" in text
    assert "0.000012345678" in text

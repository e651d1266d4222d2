"""How wide tables are, where there is a terminal and where there is none."""

import pytest
from rich.console import Console
from screen import screen, tells

from node.sheet import narrow_table, put, sheet


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


@pytest.mark.parametrize(("width", "is_table"), [(60, True), (37, True), (36, False), (23, False)])
def test_a_table_too_wide_for_the_screen_is_printed_row_by_row(width, is_table):
    def show(console: Console) -> None:
        table = narrow_table(("what",), ("how\nmany", "price"))
        table.add_row("okx BTC-USDT-SWAP", "1234567", "0.000012345678")
        put(table, console)

    text = screen(show, width=width)
    tells(text, "1234567", "0.000012345678")
    assert ("\n  how many  1234567\n" in text) is not is_table
    tells(text, "BTC-USDT-S")  # words fold at no less than ten letters

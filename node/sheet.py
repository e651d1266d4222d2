"""What tables for people are printed on: as wide as the terminal, and where there is none, as wide as they
like."""

import os

from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

FOLDED_LEAST = 10  # columns of text that words can be folded into and still be read


def sheet(wide: int, stderr: bool = False) -> Console:
    """The console of standard output or error. In a file or a pipe it has `wide` columns, unless COLUMNS says
    otherwise: nobody is there whose lines would be too long."""
    console = Console(stderr=stderr, highlight=False)
    if console.is_terminal or os.environ.get("COLUMNS", "").isdigit():
        return console
    return Console(stderr=stderr, highlight=False, width=wide)


def narrow_table(words: tuple[str, ...], numbers: tuple[str, ...], title: str | None = None) -> Table:
    """A table that is read at 80 columns: first columns of words, which fold, then columns of numbers, which
    never do. A heading may have several lines."""
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title=title, title_justify="left"
    )
    for name in words:
        table.add_column(name, overflow="fold", vertical="top")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def put(table: Table, console: Console) -> None:
    """Print a table. Where the screen is too narrow for its numbers, print its rows one below the other
    instead, a line for each cell: nothing is cut."""
    if sum(_least(x) + 2 for x in table.columns) <= console.width:
        console.print(table)
        return
    names = [" ".join(_text(x.header).plain.split()) for x in table.columns]
    if table.title:
        console.print(table.title)
    for row in zip(*(x.cells for x in table.columns), strict=True):
        told = [" ".join(_text(x).plain.split("\n")) for x in row]
        console.print(Text(told[0], "bold"), soft_wrap=True)
        for name, value in zip(names[1:], told[1:], strict=True):
            if value:
                console.print(Text(f"  {name}  {value}"), soft_wrap=True)


def _least(column: Column) -> int:
    """Columns of text without which it would be cut."""
    lines = [x for cell in (column.header, *column.cells) for x in _text(cell).split()]
    widest = max((x.cell_len for x in lines), default=0)
    return widest if column.no_wrap else min(widest, FOLDED_LEAST)


def _text(cell: object) -> Text:
    return cell if isinstance(cell, Text) else Text.from_markup(str(cell))

"""What tables for people are printed on: as wide as the terminal, and where there is none, as wide as they
like."""

import os

from rich import box
from rich.console import Console
from rich.table import Table


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

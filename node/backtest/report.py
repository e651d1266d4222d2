"""What a replay found: as JSON, as tables for a person, and the progress bar on the way there."""

import sys
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from node.backtest.sources import Recording
from node.sheet import narrow_table, put

LONG_FILE = 1 << 20  # bytes: a bar is drawn where there is more to read
SHOWN_LEVELS = 20  # per side of a dump printed for a person; JSON has all


@dataclass(frozen=True, slots=True)
class InstrumentResult:
    """One instrument in one file. Counts are of that file; prices, levels and hash are the book at its end.
    `bid` and `ask` are exact decimals, None where the book is not synced or the side is empty."""

    id: str
    frames: int
    levels: int
    trades: int
    gaps: int
    resyncs: int
    synced: bool
    bid: str | None
    ask: str | None
    bid_size: str | None
    ask_size: str | None
    bid_levels: int
    ask_levels: int
    bbo_compared: int
    bbo_different: int
    crossed: int
    book_hash: str
    tick: str
    lot: str


@dataclass(frozen=True, slots=True)
class FileResult:
    """One file: its instruments, the frames that were malformed or nobody's, and a hash over its order
    frames."""

    file: str
    instruments: list[InstrumentResult]
    bad: int
    not_mine: int
    order_hash: str


@dataclass(frozen=True, slots=True)
class Result:
    """A whole replay. `at` is the dump of all books, where one was asked for; `paper` counts what the orders
    did; `refused`: files that were not replayed, and why."""

    files: list[FileResult]
    at: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    paper: dict[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a JSON writer."""
        out: dict[str, Any] = {
            "files": [asdict(x) for x in self.files],
            "paper": self.paper,
            "notes": self.notes,
            "refused": self.refused,
        }
        return out if self.at is None else out | {"at": self.at}

    def print(self, console: Console) -> None:
        """Tables for a person."""

        def say(text: str, style: str) -> None:  # names of files may look like markup
            console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

        for file in self.files:
            say(file.file, "bold")
            for table in _file_tables(file):
                put(table, console)
            counts = f"bad {file.bad}   not mine {file.not_mine}   orders {file.order_hash}"
            say(counts, "red" if file.bad else "dim")
        dump = self.at or {"books": []}
        for book in dump["books"]:
            sides = f"{len(book['bids'])} bids, {len(book['asks'])} asks"
            say(f"{book['id']} after {dump['frames']} frames: {book['state']}, {sides}", "bold")
            console.print(_book_table(book))
        say("paper venue: " + ", ".join(f"{n} {name}" for name, n in self.paper.items()), "")
        for note in self.notes:
            say(f"note: {note}", "dim")
        for why in self.refused:
            say(f"not replayed: {why}", "red")


COUNTS = ("frames", "levels", "trades", "gaps", "resyncs", "crossed", "bbo")
BOOKS = ("bid", "ask", "bids", "asks")


def _file_tables(file: FileResult) -> tuple[Table, Table]:
    """What was counted, and the books at the end, two lines for each. bbo: how often the top of the book was
    held against a bookTicker of the same update id."""
    counted = narrow_table(("instrument",), COUNTS)
    books = narrow_table(("instrument, book hash",), BOOKS)
    for x in file.instruments:
        style = "yellow" if x.gaps or x.crossed or x.bbo_different else None
        compared = str(x.bbo_compared) if x.bbo_compared else "-"
        compared += f"\n({x.bbo_different} differ)" if x.bbo_different else ""
        numbers = map(str, (x.frames, x.levels, x.trades, x.gaps, x.resyncs, x.crossed))
        counted.add_row(x.id, *numbers, compared, style=style)
        state = "" if x.synced else "not synced "
        levels = (str(x.bid_levels), str(x.ask_levels))
        books.add_row(f"{x.id}\n{state}{x.book_hash[:12]}", x.bid or "-", x.ask or "-", *levels, style=style)
    return counted, books


def _book_table(book: dict[str, Any]) -> Table:
    bids, asks = book["bids"], book["asks"]
    table = Table(header_style="bold")
    for name in ("bid size", "bid", "ask", "ask size"):
        table.add_column(name, justify="left" if name.startswith("ask") else "right")
    for i in range(min(max(len(bids), len(asks)), SHOWN_LEVELS)):
        bid, ask = (side[i] if i < len(side) else ("", "") for side in (bids, asks))
        table.add_row(bid[1], bid[0], ask[0], ask[1])
    return table


class Bar:
    """A progress bar on standard error over both passes of long files; nothing where that is no terminal."""

    def __init__(self, recordings: list[Recording], is_wanted: bool):
        sizes = sum(x.path.stat().st_size for x in recordings)
        self.bar: Progress | None = None
        self.task = TaskID(0)
        if is_wanted and sys.stderr.isatty() and sizes >= LONG_FILE:
            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
            self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self.task = self.bar.add_task("", total=2 * sizes)

    def __enter__(self) -> "Bar":
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.bar is not None:
            self.bar.stop()

    def reading(self, recording: Recording, what: str) -> None:
        """A file begins: count what is read of it."""
        if self.bar is not None:
            self.bar.update(self.task, description=f"{what} {recording.path.name}")
            recording.on_read = self._on_read

    def _on_read(self, size: int) -> None:
        if self.bar is not None:
            self.bar.advance(self.task, size)

"""`tickgate replay TAPE`: the runs of a tape again, and whether they came out the same."""

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ext import build_id
from ext.strategy import Strategy
from ext.tape import Record, RecordType, TapeCorrupt, TapeReader
from node.backtest.rerun import Rerun, RunResult
from node.backtest.whatif import GUESS, Beside, Settings
from node.errors import UserError
from node.sheet import narrow_table, put
from node.slow.finding import tape_at
from node.slow.records import opened
from node.venues.keys import Key

CHUNK, HEAD = 4096, 56  # records between two looks at the bar; bytes of one beside its payload, on average
SEC = 10**9


@dataclass(frozen=True, slots=True)
class Moment:
    """A place on a tape: a sequence, or a time."""

    sequence: int = 0
    now_ns: int = 0

    def is_before(self, record: Record) -> bool:
        """Does the record come behind it?"""
        return record.sequence > self.sequence if self.sequence else record.now_ns > self.now_ns


def moment(option: str, text: str) -> Moment:
    """A sequence ("12345"), or a UTC time ("2026-09-22T01:02:03.5Z"). Raises UserError."""
    if text.isascii() and text.isdigit() and int(text) > 0:
        return Moment(sequence=int(text))
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z?", text)
    if match is not None:
        with contextlib.suppress(ValueError):
            at = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
            return Moment(now_ns=int(at.timestamp()) * SEC + int((match[2] or "").ljust(9, "0")))
    raise UserError(
        f"{option} {text!r}: must be the sequence of a record, such as 12345, or a UTC time, "
        "such as 2026-09-22T01:02:03Z"
    )


@dataclass(frozen=True, slots=True)
class Named:
    """A tape that is to be replayed: its directory; by market, the keys that sign again what it signed; the
    folder of its config, where its strategy may lie."""

    tape: Path
    keys: dict[int, Key] | None = None
    folder: Path | None = None
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class TapeResult:
    """One directory. `skipped`: records in front of the first run that was replayed; `torn`: bytes behind
    the last whole record; `damage`: where the tape cannot be read any more; `refused`: why it was not
    replayed at all."""

    tape: str
    runs: list[RunResult] = field(default_factory=list)
    skipped: int = 0
    torn: int = 0
    damage: str = ""
    refused: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def is_identical(self) -> bool:
        return not (self.damage or self.refused) and all(x.difference is None for x in self.runs)


@dataclass(slots=True)
class Result:
    """All tapes that were named."""

    tapes: list[TapeResult]
    is_what_if: bool = False

    @property
    def is_identical(self) -> bool:
        return all(x.is_identical for x in self.tapes)

    def to_json(self) -> dict[str, Any]:
        return {"identical": self.is_identical, "build": build_id(), "tapes": [asdict(x) for x in self.tapes]}

    def first_trouble(self) -> str:
        """The first difference or damage, in one line; "" where there is none."""
        for tape in self.tapes:
            if tape.refused:
                return f"not replayed: {tape.refused}"
            for run in tape.runs:
                if run.difference is not None:
                    return f"{tape.tape}: the replay is not what was recorded: {run.difference}"
            if tape.damage:
                return f"{tape.tape}: {tape.damage}"
        return ""


def tapes_command(
    paths: list[Path],
    *,
    since: str | None = None,
    until: str | None = None,
    named: Callable[[Path], Named] = Named,
    progress: bool = False,
    strategy: Callable[[], Strategy] | None = None,
    settings: Settings | None = None,
) -> Result:
    """Replay every run of the tapes that `paths` mean: each the directory of one, or something that `named`
    knows. `since`: begin with the run that is under way there; `until`: stop behind that record or time;
    `strategy` makes the strategy of each run in the place of the one that its tape names; `settings`: not
    whether it is the same, but what with these would have been done, beside it. Of several tapes, one that
    cannot be replayed does not keep the others from it. Raises UserError where there is nothing to replay."""
    start = moment("--from", since) if since is not None else None
    end = moment("--until", until) if until is not None else None

    def begin(of: Named, config: Record) -> Rerun | Beside:
        made = strategy() if strategy is not None else None
        if settings is None:
            return Rerun(config, keys=of.keys, strategy=made, folder=of.folder)
        return Beside(config, settings, keys=of.keys, strategy=made, folder=of.folder)

    tapes: list[TapeResult] = []
    for path in paths:
        try:
            of = named(path)
            folder = tape_at(of.tape, "tickgate replay")
            with _bar(folder, progress) as advance:
                tapes.append(_tape(folder, start, end, partial(begin, of), advance))
            tapes[-1].notes += of.notes
        except UserError as error:
            if len(paths) == 1:
                raise
            tapes.append(TapeResult(str(path), refused=str(error)))
    return Result(tapes, settings is not None)


def _tape(
    folder: Path,
    start: Moment | None,
    end: Moment | None,
    begin: Callable[[Record], Rerun | Beside],
    advance: Callable[[int], None],
) -> TapeResult:
    out, run = TapeResult(str(folder)), None
    first = _first_run(folder, start)
    reader = opened(folder)
    try:
        for record in _records(reader, advance):
            if end is not None and end.is_before(record):
                break
            if record.type == RecordType.CONFIG and record.sequence >= first:
                if run is not None:
                    out.runs.append(run.finish())
                run = begin(record)
            elif run is None:
                out.skipped += 1
            elif run.result.difference is None:
                run.feed(record)
    except TapeCorrupt as error:
        out.damage = str(error)
    if run is None:
        raise UserError(
            f"{folder}: no run begins there: a replay begins at a CONFIG record"
            + (f"; {out.damage}" if out.damage else "")
        )
    out.runs.append(run.finish())
    out.torn = reader.torn_bytes
    return out


def _first_run(folder: Path, start: Moment | None) -> int:
    """Sequence of the CONFIG that begins the run which is under way at `start`: the first of all without
    one."""
    found = 0
    if start is None:
        return found
    with contextlib.suppress(TapeCorrupt):  # the second look finds it again, and says so
        for record in opened(folder):
            if found and start.is_before(record):
                break
            if record.type == RecordType.CONFIG:
                found = record.sequence
    return found


def _records(reader: TapeReader, advance: Callable[[int], None]) -> Iterator[Record]:
    """One by one: what is whole in front of a damage counts."""
    size = 0
    for i, record in enumerate(reader):
        yield record
        size += len(record.payload) + HEAD
        if i % CHUNK == 0:
            advance(size)
            size = 0


@contextlib.contextmanager
def _bar(folder: Path, shown: bool) -> Iterator[Callable[[int], None]]:
    total = sum(x.stat().st_size for x in folder.glob("*.tape"))
    columns = (TextColumn("replay"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not shown) as bar:
        task = bar.add_task("replay", total=total)
        yield lambda size: bar.advance(task, size)


# ---- for a person ----


def print_result(result: Result, console: Console) -> None:
    """A row for each run; then what is to be said of it."""
    for tape in result.tapes:
        if tape.runs:
            if len(result.tapes) > 1:
                console.print(Text(tape.tape, "bold"), soft_wrap=True)
            put(_runs_table(tape), console)
    for tape in result.tapes:
        for run in tape.runs:
            if run.what_if is not None:
                _print_what_if(run, console)
    for tape in result.tapes:
        for line in _lines(tape):
            console.print(line, soft_wrap=True, highlight=False, markup=False)


def _runs_table(tape: TapeResult) -> Table:
    table = narrow_table((), ("run", "records", "orders", "fills", "marks", "order hash", "same"))
    for run in tape.runs:
        word = "yes" if run.difference is None else "[red]no[/red]"
        counts = map(str, (run.records, run.orders, run.fills, run.marks))
        table.add_row(f"{run.first}-{run.last}", *counts, run.order_hash[:16], word)
    return table


def _print_what_if(run: RunResult, console: Console) -> None:
    assert run.what_if is not None
    sides = run.what_if["recorded"], run.what_if["other"]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=f"run {run.first}", title_justify="left")
    for name in ("", "as recorded", "with the changes"):
        table.add_column(name, justify="right" if name else "left")
    for key in ("orders", "changes", "cancels", "fills", "profit"):
        table.add_row(key, *(str(x[key]) for x in sides))
    for key in ("refused", "positions"):
        for name in sorted(sides[0][key].keys() | sides[1][key].keys()):
            table.add_row(f"{key} {name}", *(str(x[key].get(name, 0)) for x in sides))
    put(table, console)
    console.print(GUESS, highlight=False)
    told = ", ".join(f"{n} {name}" for name, n in run.what_if["dropped"].items())
    console.print(f"not for the other run: {told or 'nothing'}", highlight=False)


def _lines(tape: TapeResult) -> Iterator[str]:
    if tape.refused:
        yield f"not replayed: {tape.refused}"
    for note in tape.notes:
        yield f"{tape.tape}: {note}"
    if tape.skipped:
        yield f"{tape.tape}: {tape.skipped} records in front of the first run were skipped"
    for run in tape.runs:
        for note in run.notes:
            yield f"run {run.first}: {note}"
        if run.masked:
            yield (
                f"run {run.first}: {run.masked} signatures were not compared: no secret is on a tape; "
                "name the node's config in the tape's place to compare them"
            )
        for failure in run.failures:
            yield f"run {run.first}: the engine raised, as a replay of its inputs does: {failure}"
        if run.difference is not None:
            yield f"run {run.first}: first difference: {run.difference}"
    if tape.torn:
        yield f"{tape.tape}: {tape.torn} bytes behind the last whole record are torn, and left out"
    if tape.damage:
        yield f"{tape.tape}: damaged, replayed up to there: {tape.damage}"

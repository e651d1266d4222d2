"""`tickgate tape ...`: what is recorded, checked, listed and read. Nothing here changes a tape, and no node
needs to run."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from node.errors import Failed, UserError, of_place
from node.sheet import narrow_table, sheet

tapes = typer.Typer(no_args_is_help=True, help="The record: check it, list it, read it.")
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Target = Annotated[
    Path, typer.Argument(help="Config file of the node, the directory of its tape, or that of an archive.")
]
BAR_FROM = 8  # segments: fewer are checked before a bar is seen
NAMED = 5  # tapes of a directory that holds several
HUGE = {"CONFIG", "LIMITS"}  # records that would fill screens: only the beginning is printed
HUGE_CHARS = 400


@dataclass(frozen=True, slots=True)
class Where:
    """A tape: its live directory (None: only an archive is here), its archive, and the key that signs."""

    tape: Path | None
    archive: Path
    key: Path


def where_of(target: Path, command: str) -> Where:
    """What a person means: a config, a tape's directory, or an archive that was carried elsewhere. `command`:
    of `tickgate tape`, for what a person may type instead. Raises UserError."""
    from node.operate import tape_of
    from node.reading import beside, read_toml
    from node.slow.chain import CHAIN
    from node.slow.segments import FOLDER
    from node.slow.signing import KEY_NAME

    tape = tape_of(target)
    if target.is_dir():
        if (target / CHAIN).exists() and not any(target.glob("*.tape")):
            return Where(None, target, target / KEY_NAME)
        _is_one(target, command)
        return Where(target, target / FOLDER, target / FOLDER / KEY_NAME)
    told = read_toml(target).get("archive", {})
    directory, key = (told.get(x, "") if isinstance(told, dict) else "" for x in ("directory", "key"))
    if not isinstance(directory, str) or not isinstance(key, str):
        raise UserError(f"{target}: archive: `directory` and `key` must be paths")
    folder = Path(beside(target, directory)) if directory else tape / FOLDER
    return Where(tape, folder, Path(beside(target, key)) if key else folder / KEY_NAME)


def _is_one(target: Path, command: str) -> None:
    """A directory is a tape, and not one that tapes are in. Raises UserError."""
    from node.slow.chain import CHAIN
    from node.slow.segments import FOLDER, LIVE, indexed

    def is_tape(directory: Path) -> bool:
        return bool(indexed(directory, LIVE)) or (directory / FOLDER / CHAIN).exists()

    try:
        inside = [] if is_tape(target) else sorted(x for x in target.iterdir() if x.is_dir() and is_tape(x))
    except OSError as error:
        raise of_place(target, error) from None
    if inside:
        more = f" and {len(inside) - NAMED} more" if len(inside) > NAMED else ""
        raise UserError(
            f"{target}: no tape itself, but it holds {', '.join(x.name for x in inside[:NAMED])}{more}: name "
            f"one, as in `tickgate tape {command} {shlex.quote(str(inside[0]))}`"
        )


def _print_json(result: object) -> None:
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


@contextmanager
def _told() -> Iterator[None]:
    """What a tape says of itself, as an error of the command."""
    from ext.tape import TapeCorrupt, TapeMissing

    try:
        yield
    except TapeMissing as error:
        raise UserError(f"{error.filename}: {error.strerror}") from None
    except TapeCorrupt as error:
        raise Failed(f"{error}: see `tickgate tape verify`") from None


@tapes.command()
def verify(
    target: Target,
    key: Annotated[
        str, typer.Option(help="Public key that must have signed (`tickgate tape key`); else any one key.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Check every record, segment, archived file, chain line and signature; say where something is wrong."""
    from node.slow.verifying import verify_all

    where = where_of(target, "verify")
    trusted = _public(key, where)
    with _told(), _bar(not as_json) as progress:
        found = verify_all(where.tape, where.archive, trusted, progress)
    if as_json:
        _print_json(found.to_json())
    else:
        for x in found.problems:
            at = "?" if x.sequence is None else x.sequence
            print(f"{x.file}: offset {x.offset}, sequence {at}: {x.what}")
        for note in found.notes:
            print(f"note: {note}")
        print(
            f"{found.segments} segments ({found.live} live, {found.archived} archived), {found.records} "
            f"records, "
            f"sequence {found.first_sequence} to {found.last_sequence}; {found.retired} retired, "
            f"{found.checkpoints} checkpoints"
        )
    if not found.ok:
        sys.stdout.flush()
        raise Failed(f"{target}: {len(found.problems)} problems")
    if not as_json:
        print("whole")


def _public(key: str, where: Where) -> str:
    """The key that is trusted: the one named, or the one that lies where the node's config says."""
    from node.slow.signing import public_hex, read_key

    if key:
        if len(key) != 64 or not set(key.lower()) <= set("0123456789abcdef"):
            raise UserError("--key: must be 64 hexadecimal digits, as `tickgate tape key` prints them")
        return key.lower()
    try:
        return public_hex(read_key(where.key))
    except (FileNotFoundError, PermissionError, UserError):
        return ""  # another machine, or another user: told as a note


@contextmanager
def _bar(wanted: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, where somebody looks and it takes long enough."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not (wanted and console.is_terminal):
        yield lambda done, of: None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("segments", total=None, visible=False)
        yield lambda done, of: bar.update(task, completed=done, total=of, visible=of >= BAR_FROM)


@tapes.command()
def dump(
    target: Target,
    begin: Annotated[int | None, typer.Option("--from", min=1, help="First sequence number.")] = None,
    end: Annotated[int | None, typer.Option("--to", min=1, help="Last sequence number.")] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--type", help="Only this type of record. May be repeated.")
    ] = None,
    line: Annotated[int | None, typer.Option(min=0, help="Only records of this line.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Print records: rows with the names and units of their members, frames as text."""
    from ext.tape import RecordType, TapeReader
    from node.slow.dump import Teller, type_of
    from node.slow.records import names_before, read

    if begin is not None and end is not None and end < begin:
        raise UserError(f"--from {begin} --to {end}: nothing is between them: --to must not be below --from")
    where = where_of(target, "dump")
    try:
        types = {type_of(x) for x in kind or []}
    except ValueError as error:
        raise UserError(f"--type: {error}") from None

    def at_end(reader: TapeReader) -> None:
        if begin is not None and begin >= reader.sequence:
            raise UserError(f"--from {begin}: the tape ends at sequence {reader.sequence - 1}")

    teller, wanted = Teller(), types | {int(RecordType.CONFIG)} if types else None
    directory, archive = where.tape or where.archive, where.archive
    with _told():
        if begin is not None:
            for record in names_before(directory, begin, archive):
                teller.tell(record)
        for record in read(directory, wanted, begin, archive, at_end):
            if end is not None and record.sequence > end:
                break
            told = teller.tell(record)
            if (not types or record.type in types) and (line is None or record.line == line):
                print(json.dumps(told) if as_json else _one_line(told))


def _one_line(told: dict[str, Any]) -> str:
    head = f"{told['sequence']:>10}  {told['at']}  {told['type']:<9} {told.get('line_name', told['line'])}"
    rest: dict[str, Any] = {
        k: v for k, v in told.items() if k not in ("sequence", "at", "now_ns", "type", "line", "line_name")
    }
    if list(rest) == ["text"]:
        return f"{head}  {_on_one_line(rest['text'])}"
    text = _on_one_line(_members(rest))
    if told["type"] in HUGE and len(text) > HUGE_CHARS:
        which = f"--from {told['sequence']} --to {told['sequence']} --json"
        text = f"{text[:HUGE_CHARS]}... {len(text) - HUGE_CHARS} more characters: `{which}` shows all"
    return f"{head}  {text}" if rest else head


def _on_one_line(text: str) -> str:
    """What came from outside commands no terminal."""
    return "".join(x if x.isprintable() else ascii(x)[1:-1] for x in text)


def _members(row: dict[str, Any]) -> str:
    """name=value, rows in rows in brackets."""
    return " ".join(f"{k}={{{_members(v)}}}" if isinstance(v, dict) else f"{k}={v}" for k, v in row.items())


@tapes.command(name="list")
def list_segments(target: Target, as_json: Json = False) -> None:
    """Every segment: where it is, its size, times and sequences, session and build, archived and durable or
    not."""
    from node.slow.listing import listed

    where = where_of(target, "list")
    rows = listed(where.tape, where.archive)
    if not rows:
        raise UserError(f"{where.tape or where.archive}: there is no tape in this directory")
    if as_json:
        _print_json(rows)
        return
    console = sheet(100)
    for (session, build, history), group in groupby(rows, lambda x: (x["session"], x["build"], x["history"])):
        of_run = list(group)
        since, fork = of_run[0]["opened"][:10], f", in {history}" if history else ""
        console.print(_segments(f"session {session}, build {build}{fork}, from {since}; UTC", of_run))


def _segments(title: str, rows: list[dict[str, Any]]) -> Table:
    """The segments of one run of a node."""
    table = narrow_table(
        ("segment", "sequence", "opened", "closed", "where"), ("MB", "MB in\narchive"), title
    )
    table.columns[1].no_wrap = True
    for x in rows:
        durable = {"": "", "yes": ", durable", "no": ", not durable", "partly": ", partly durable"}
        table.add_row(
            str(x["index"]),
            f"{x['first']}-{'' if x['last'] is None else x['last']}",
            x["opened"][5:19],
            "being written" if x["closed"] is None else x["closed"][5:19],
            x["where"] + durable[x["durable"]],
            *("" if n is None else f"{n / 1e6:.2f}" for n in (x["bytes"], x["archived_bytes"])),
        )
    return table


@tapes.command()
def key(target: Target, as_json: Json = False) -> None:
    """The public half of the key that signs the archive: keep it where the archive is not."""
    from node.slow.signing import public_hex, read_key

    where = where_of(target, "key")
    try:
        public = public_hex(read_key(where.key))
    except FileNotFoundError:
        raise UserError(f"{where.key}: there is no key yet: `tickgate archive` makes one") from None
    if as_json:
        _print_json({"key": public, "file": str(where.key)})
    else:
        print(public)

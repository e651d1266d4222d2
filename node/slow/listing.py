"""The segments of a tape as a list: where each is, what is in it, and what would be left of it after a
power cut."""

from pathlib import Path
from typing import Any

from ext.segments import inspect
from node.slow.chain import Archived
from node.slow.dump import at_text
from node.slow.forks import FORK, History, history_of, own_history, read_histories
from node.slow.segments import LIVE, PACKED, Header, closed_ns, indexed, newest_in_use, read_header
from node.synced import DISK, Synced, read_synced

Row = dict[str, Any]


def listed(tape: Path | None, folder: Path) -> list[Row]:
    """A row for each segment that was ever started, as far as live directory and chain still know it,
    oldest first, and behind them those that it left when it was put back to an earlier state. "history":
    folder in the archive that has it, "" = the archive itself; "where": live, archived, both, retired or
    missing; "durable": yes, no, partly, or "" where nobody says. Raises OSError."""
    live = {} if tape is None else indexed(tape, LIVE)
    history = own_history(folder) if tape is None else history_of(folder, live)
    page = None if tape is None else read_synced(tape)
    lines, packed = history.segments, history.packed
    newest = newest_in_use(live)
    rows = []
    for index in sorted({*live, *lines}):
        header = read_header(live[index]) if index in live else None
        line = lines.get(index)
        if header is None and line is None:
            continue  # prepared, not started
        places = [n for n, there in (("live", header is not None), ("archived", index in packed)) if there]
        where = " and ".join(places) or ("retired" if history.is_retired(index) else "missing")
        row = _of_chain(line) if line is not None else _of_file(live[index], header)
        if line is not None and index == newest and inspect(live[index]).reason is None:
            row = _of_file(live[index], header)  # the archive is ahead: a backup was put back
        durable = "yes" if "archived" in places else _durable(row, page)
        rows.append(row | {"where": where, "durable": durable, "history": history.owner(index).name})
    return rows + _left(folder, history)


def _left(folder: Path, current: History) -> list[Row]:
    """What came before the tape was put back to an earlier state, and is archived still."""
    if current.name and FORK.fullmatch(folder.name):
        return []
    rows = []
    for history in read_histories(folder):
        packed = indexed(history.folder, PACKED)
        for index, line in history.chain.segments.items():
            if current.segments.get(index) != line:
                where = "archived" if index in packed else "retired"
                row = {"where": where, "durable": "yes" if index in packed else "", "history": history.name}
                rows.append(_of_chain(line) | row)
    return rows


def _of_chain(line: Archived) -> Row:
    return _row(line.index, line.first, line.last, line.session, line.build, line.opened_ns) | {
        "closed": at_text(line.closed_ns),
        "reason": line.reason,
        "bytes": line.bytes,
        "archived_bytes": line.packed_bytes,
    }


def _of_file(path: Path, header: Header | None) -> Row:
    assert header is not None
    found = inspect(path)
    is_closed = found.reason is not None
    row = _row(
        header.index,
        header.first_sequence,
        found.last_sequence,
        header.session,
        header.build,
        header.opened_ns,
    )
    return row | {
        "closed": at_text(closed_ns(path, found.end)) if is_closed else None,
        "reason": ("closed", "rotated", "after a crash")[found.reason] if is_closed else None,
        "bytes": found.end if is_closed else None,
        "archived_bytes": None,
    }


def _row(index: int, first: int, last: int | None, session: str, build: str, opened_ns: int) -> Row:
    return {
        "index": index, "first": first, "last": last, "session": session, "build": build,
        "opened": at_text(opened_ns),
    }  # fmt: skip


def _durable(row: Row, page: Synced | None) -> str:
    """What the archiver's page says of a live segment."""
    if page is None:
        return ""
    if page.level != DISK:
        return "no"
    last = row["first"] if row["last"] is None else row["last"]
    if page.sequence >= last:
        return "yes"
    return "partly" if page.sequence >= row["first"] else "no"

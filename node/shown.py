"""Limits and the state of a node as a person reads them."""

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from node.limits import Change, Effective, Tables, changes, new_scopes
from node.sheet import narrow_table, sheet

Answer = dict[str, Any]
LOG_WIDTH = 140
# A protective order follows its position once a second, and must be answered: so long is usual.
PROTECTED_S = 3


def show_limits(
    effective: Effective, last: Tables | None, looser: list[Change], accepted: bool, as_json: bool
) -> None:
    """The limits in force, on stderr: a table, or one JSON line. `last`: the last ones of each scope that the
    tape knows, `looser`: what is much looser now."""
    if as_json:
        clamped = [{"scope": s, "key": k, "asked": v} for (s, k), v in effective.clamped.items()]
        told = {"limits": effective.tables, "clamped": clamped, "first_run": last is None}
        told |= {"looser": [x.to_json() for x in looser], "accepted": accepted}
        told |= {"new": [] if last is None else new_scopes(last, effective.tables)}
        print(json.dumps(told), file=sys.stderr, flush=True)
        return
    console = sheet(LOG_WIDTH, stderr=True)  # a log is as wide as it is written
    for table in limits_tables(effective, console.width):
        console.print(table)
    if last is None:
        console.print("limits: first run on this tape: there are no earlier ones to compare with")
    elif looser:
        console.print(changes_table(x.to_json() for x in looser))
        console.print("limits: accepted, and recorded" if accepted else "limits: refused")
    elif changes(last, effective.tables):
        console.print("limits: they differ from the last run's, none is much looser")
    for scope in [] if last is None else new_scopes(last, effective.tables):
        console.print(f"limits: {scope}: new on this tape: there are no earlier ones to compare with")


def limits_tables(effective: Effective, width: int) -> Iterator[Table]:
    """A row for each limit and a column for each instrument, in as many tables as `width` columns of text
    need; then those over everything."""
    names = [x for x in effective.tables if " " in x]
    keys = list(dict.fromkeys(k for n in names for k in effective.tables[n]))
    room = width - max(map(len, keys), default=0) - 2
    for group in _groups(names, {n: _column_width(n, effective.tables[n]) for n in names}, room):
        table = narrow_table(("limit",), tuple(x.replace(" ", "\n") for x in group), "limits in force")
        for key in keys:
            table.add_row(key, *(_text(effective.tables[n].get(key, "")) for n in group))
        yield table
    table = narrow_table(("limit", "over everything"), ())
    for scope in effective.tables:
        if " " not in scope:
            for key, value in effective.tables[scope].items():
                asked = effective.clamped.get((scope, key))
                note = "" if asked is None else f" (profile; asked {asked})"
                table.add_row(f"{scope}: {key}", _text(value) + note)
    yield table


def _column_width(name: str, limits: dict[str, Any]) -> int:
    return max(map(len, [*name.split(" "), *map(_text, limits.values())])) + 2


def _groups(names: list[str], widths: dict[str, int], room: int) -> Iterator[list[str]]:
    """The names in order, in groups that fit into `room` (one of its own where one alone is wider)."""
    group: list[str] = []
    for name in names:
        if group and sum(widths[x] for x in [*group, name]) > room:
            yield group
            group = []
        group.append(name)
    if group:
        yield group


def changes_table(rows: Iterable[Answer]) -> Table:
    """Limits that differ: old, new, how many times looser."""
    words = ("of", "limit")
    table = narrow_table(
        words, ("old", "new", "times\nlooser"), "limits that are looser than in the last run"
    )
    for x in rows:
        ratio = "no limit\nany more" if x["ratio"] is None else f"{x['ratio']:g}"
        table.add_row(x["scope"], x["key"], _text(x["old"]), _text(x["new"]), ratio)
    return table


def print_status(answer: Answer, console: Console) -> None:
    """The reply to `status`."""
    up = sum(x["up"] for x in answer["lines"])
    console.print(
        f"running for {answer['uptime_s']:.0f} s: mode {answer['mode']}, strategy {answer['strategy']}, "
        f"{up} of {len(answer['lines'])} lines up"
    )
    down = [x["name"] for x in answer["lines"] if not x["up"]]
    if down:
        console.print(f"down: {', '.join(down)}")
    for line in answer["held"] or ["nothing holds it back"]:
        console.print(line)
    if any(x.startswith("latched: ") for x in answer["held"]):
        console.print("once the cause is known, `tickgate resume --reason TEXT` lets it go on")
    if answer["equity"] is not None:
        worth = answer["equity"]
        console.print(
            f"equity {worth['equity']}, peak {worth['peak']} ({worth['drawdown_bps']} bps "
            f"below it), today {worth['today']}"
        )
    if answer.get("synced") is not None:
        console.print(_durable(answer["synced"]))
    table = Table(box=box.SIMPLE)
    for column in ("instrument", "position", "open orders", "halts"):
        table.add_column(column, justify="left" if column in ("instrument", "halts") else "right")
    for x in answer["instruments"]:
        table.add_row(x["name"], x["position_base"], str(x["open_orders"]), ", ".join(x["halts"]))
    console.print(table)
    for x in answer["instruments"]:
        if x["unprotected_base"].strip("0.") and x["unprotected_s"] >= PROTECTED_S:
            console.print(
                f"{x['name']}: {x['unprotected_base']} of the position has had no protective order for "
                f"{x['unprotected_s']:.0f} s"
            )


def _durable(page: Answer) -> str:
    """What the archiver says of the tape, in one line."""
    if not page["archiver_alive"]:
        return f"tape: the archiver is gone: durable up to sequence {page['sequence']}, and no further"
    where = f"durable up to sequence {page['sequence']}, lag {page['lag_ms']:g} ms"
    if page["level"] == "K":
        where = "in memory: nothing but the archive survives a power cut"
    told = f"tape: {where}; archived up to {page['archived_sequence']}"
    if page["closed_segments_waiting"]:
        told += f", {page['closed_segments_waiting']} closed segments wait"
    return told + ("; SUSPECT: see the log" if page["suspect"] else "")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(value) or "none"
    return str(value)

"""Limits and the state of a node as a person reads them."""

import json
import sys
from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from node.limits import Change, Effective, Tables, changes, new_scopes

Answer = dict[str, Any]
LOG_WIDTH = 140


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
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:  # a log is as wide as it is written
        console = Console(stderr=True, highlight=False, width=LOG_WIDTH)
    console.print(limits_table(effective))
    if last is None:
        console.print("limits: first run on this tape: there are no earlier ones to compare with")
    elif looser:
        console.print(changes_table(x.to_json() for x in looser))
        console.print("limits: accepted, and recorded" if accepted else "limits: refused")
    elif changes(last, effective.tables):
        console.print("limits: they differ from the last run's, none is much looser")
    for scope in [] if last is None else new_scopes(last, effective.tables):
        console.print(f"limits: {scope}: new on this tape: there are no earlier ones to compare with")


def limits_table(effective: Effective) -> Table:
    """A row for each limit, a column for each instrument, and one for those over everything."""
    table = Table(title="limits in force", box=box.SIMPLE, title_justify="left")
    names = [x for x in effective.tables if " " in x]
    for column in ("limit", *names, "everything"):
        table.add_column(column, justify="left" if column == "limit" else "right", no_wrap=column == "limit")
    keys = list(dict.fromkeys(k for n in names for k in effective.tables[n]))
    for key in keys:
        table.add_row(key, *(_text(effective.tables[n].get(key, "")) for n in names), "")
    for scope in effective.tables:
        if " " not in scope:
            for key, value in effective.tables[scope].items():
                asked = effective.clamped.get((scope, key))
                note = "" if asked is None else f" (profile; asked {asked})"
                table.add_row(f"{scope}: {key}", *("" for _ in names), _text(value) + note)
    return table


def changes_table(rows: Iterable[Answer]) -> Table:
    """Limits that differ: old, new, how many times looser."""
    table = Table(title="limits that are looser than in the last run", box=box.SIMPLE, title_justify="left")
    for column in ("of", "limit", "old", "new", "times looser"):
        table.add_column(column, justify="left" if column in ("of", "limit") else "right")
    for x in rows:
        ratio = "no limit any more" if x["ratio"] is None else f"{x['ratio']:g}"
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
        if x["unprotected_base"].strip("0."):
            console.print(f"{x['name']}: {x['unprotected_base']} of the position has no protective order")


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

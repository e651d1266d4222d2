"""Limits and the state of a node as a person reads them."""

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from node.limits import Change, Effective, Tables, changes, new_scopes
from node.phrases import count
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
        rows = (x.to_json() for x in looser)
        console.print(changes_table(rows, "limits that are looser than in the last run"))
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


def changes_table(rows: Iterable[Answer], title: str = "") -> Table:
    """Limits that differ: old, new, how many times looser."""
    table = narrow_table(("of", "limit"), ("old", "new", "times\nlooser"), title or None)
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
        console.print(line, soft_wrap=True, markup=False)  # reasons are people's words
    if answer.get("way_out"):  # a node of an earlier build has none
        console.print(answer["way_out"], soft_wrap=True, markup=False)  # a command is pasted as one line
    if answer.get("refusals"):
        console.print(f"refused so far: {_refused(answer)}")
    if any("first" in x for x in answer.get("feeds", ())):
        console.print(_feeds(answer["feeds"]))
    if answer["equity"] is not None:
        worth = answer["equity"]
        console.print(
            f"equity {worth['equity']}, peak {worth['peak']} ({worth['drawdown_bps']} bps "
            f"below it), today {worth['today']}"
        )
    if answer.get("guard") is not None:
        watches = answer["guard"]["watches"]
        console.print("guard: watches" if watches else f"guard: none for {answer['guard']['gone_s']:.0f} s")
    if answer.get("synced") is not None:
        console.print(_durable(answer["synced"]))
    console.print(_instruments(answer["instruments"]))
    for x in answer["instruments"]:
        if x["unprotected_base"].strip("-0.") and x["unprotected_s"] >= PROTECTED_S:
            bare = x.get("unprotected", x["unprotected_base"])
            console.print(
                f"{x['name']}: {bare} of the position has had no protective order for "
                f"{x['unprotected_s']:.0f} s"
            )


def _instruments(rows: list[Answer]) -> Table:
    """A row for each instrument; stops that rest to protect a position are no open orders."""
    table = narrow_table(("instrument",), ("position", "open\norders", "protective\nstops"))
    table.add_column("held by", overflow="fold")
    for x in rows:
        held = list(x["halted_by"] if "halted_by" in x else x["halts"])
        held += [f"cool-down {x['cooldown_s']} s"] if x.get("cooldown_s") else []
        exits = f" + {count(x['exits'], 'exit')}" if x.get("exits") else ""
        size = (x.get("position") or x["position_base"]).replace(" (", "\n(")  # a name must not fold for it
        stops = str(x.get("protective_stops", "?"))
        table.add_row(x["name"], size, f"{x['open_orders']}{exits}", stops, ", ".join(held))
    return table


def _feeds(rows: list[Answer]) -> Table:
    """A row for each line of market data: who was first, by how much, whose holes it filled."""
    table = narrow_table(
        ("feed",), ("first", "share\n%", "lead us\np50", "lead us\np99", "copies", "filled\nholes", "gaps")
    )
    for x in rows:
        told = [x.get(k) for k in ("first", "share_percent")]
        told += [_us(x.get(k)) for k in ("lead_p50_us", "lead_p99_us")]
        told += [x.get(k) for k in ("copies", "healed", "lost")]
        name = x["name"] if x["up"] else f"{x['name']} (down)"
        table.add_row(name, *("" if v is None else f"{v}" for v in told))
    return table


def _us(value: float | None) -> str | None:
    """Microseconds, as exactly as a factor of two deserves."""
    return None if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _refused(answer: Answer) -> str:
    """Refusals by reason, most first; those of a latch also by latch."""
    out = []
    for reason, number in sorted(answer["refusals"].items(), key=lambda x: -x[1]):
        by = ", ".join(f"{k} {v}" for k, v in answer.get("latched_refusals", {}).items())
        out.append(f"{number} {reason}" + (f" ({by})" if reason == "LATCHED" and by else ""))
    return ", ".join(out)


def print_limits(answer: Answer, console: Console) -> None:
    """The reply to `limits`: what was taken over."""
    changes = answer["changes"]
    if not changes:
        console.print("limits: those of the file are in force already: nothing to take over")
        return
    console.print("limits taken over from the file, tighter from now on:")  # a title is as wide as its table
    console.print(changes_table(changes))
    orders = answer["cancelling"]
    told = f"{count(orders, 'open order')} beyond them {'is' if orders == 1 else 'are'} being cancelled"
    console.print(told if orders else "none of the open orders is beyond them")


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

"""An order's story, and lists of orders, as a person reads them: tables for 80 columns that use up to
100."""

import sys
from collections import Counter
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from node.sheet import narrow_table
from node.slow.audit import Found, order_json, story_json
from node.slow.told import Order

WIDTH = 100
WHAT = {
    "want_cancel": "to cancel",
    "absent": "not there",
    "withdraw": "withdrawn",
    "settle": "settled",
    "unsent": "not sent",
}
STEPS = {
    "frame_to_decision": "frame read -> decided",
    "decision_to_written": "decided -> written",
    "frame_to_written": "frame read -> written",
    "written_to_ack": "written -> first answer",
    "ack_to_first_fill": "first answer -> first fill",
    "written_to_venue": "written -> venue's time of its answer",
    "venue_ack_to_first_fill": "venue: answer -> first fill",
    "venue_fill_to_here": "venue's fill -> here",
}


def print_story(found: Found, console: Console) -> None:
    """The order, and behind it those that it is linked to."""
    for i, order in enumerate(found.orders):
        if i:
            console.print()
        _one(order, story_json(order, found), console)
    _end(found)


def print_list(found: Found, console: Console) -> None:
    """One line for each order; the refused ones are counted by reason."""
    refused = Counter(x.reason for x in found.orders if x.provenance == "refused")
    table = narrow_table(("time (UTC)", "order", "what", "end"), ())
    for column, width in zip(table.columns, (14, 21, None, 18), strict=True):
        column.width = width
    for order in found.orders:
        row = order_json(order)
        name = row["client_id"] or row["venue_id"] or f"#{order.sequence}"
        price = f" at {row['price']}" if row["price"] else ""
        what = f"{row['place']} {row['side']} {row['size']}{price}"
        table.add_row(row["first"][5:19].replace("T", " "), name, Text(what), Text(_short(order, row)))
    console.print(table)
    told = ", ".join(f"{n} {reason}" for reason, n in refused.most_common())
    console.print(f"{len(found.orders)} orders; refused: {told or 'none'}")
    _end(found)


def _short(order: Order, row: dict[str, Any]) -> str:
    """What an order came to, in two or three words."""
    if order.provenance == "refused":
        return f"refused {row['reason']}"
    filled = f" {row['filled']}" if order.filled_lots else ""
    notes = ["" if order.provenance == "decided" else order.provenance]
    notes.append("found at start" if order.found_lots else "")
    whose = ", ".join(filter(None, notes))
    return f"{row['state'].lower()}{filled}{f' ({whose})' if whose else ''}"


def _end(found: Found) -> None:
    if found.torn:
        print(
            f"tickgate: the tape's end is not whole; what lies before it is shown: {found.torn}",
            file=sys.stderr,
        )


def _table(console: Console, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, width=min(WIDTH, console.width), pad_edge=False, padding=(0, 1))
    for name in columns:
        right = name in ("size", "price", "filled", "value", "limit", "ms", "quantity")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    return table


def _one(order: Order, told: dict[str, Any], console: Console) -> None:
    _head(told, console)
    _known(told["known"], console)
    _market(told["book"], console)
    _checks(told["checks"], console)
    _events(told["events"], console)
    _end_of(told, console)


def _line(console: Console, name: str, text: str) -> None:
    """A named line, folded under its name."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=12, style="bold")
    grid.add_column(width=min(WIDTH, console.width) - 14, overflow="fold")
    grid.add_row(name, Text(text))
    console.print(grid)


def _head(told: dict[str, Any], console: Console) -> None:
    name = told["client_id"] or told["venue_id"] or f"record #{told['record']}"
    console.print(f"[bold]order {name}[/bold]", highlight=False)
    if told["client_id"] and told["venue_id"]:
        _line(console, "venue's id", told["venue_id"])
    kind = " ".join(
        x
        for x in (
            told["side"], told["size"], f"at {told['price']}" if told["price"] else "",
            f"trigger {told['trigger']}" if told["trigger"] else "", told["type"], told["time_in_force"],
            told["leg"], "reduce-only" if told["reduce_only"] else "",
        )
        if x
    )  # fmt: skip
    _line(console, "what", f"{told['place']} {kind}")
    by = f" by {told['strategy']}" if told["strategy"] else ""
    _line(console, "origin", f"{told['told']}{by}; run {told['run']}, build {told['build']}")
    for link in told["links"]:
        _line(console, link["how"], link["order"])


def _known(known: dict[str, Any], console: Console) -> None:
    if not known["cause"]:
        return
    _line(console, "cause", _cause(known["cause"]))
    dials = ", ".join(f"{k} {v}" for k, v in known["dials"].items())
    _line(
        console,
        "dials",
        f"{dials}{'' if known['dials_told'] else ' (neutral: none was ever told)'}" if dials else "none",
    )
    signal = known["signal"]
    if signal is None:
        _line(console, "signal", "none: the strategy did not say why")
    else:
        numbers = ", ".join(f"{k} {v}" for k, v in signal["numbers"].items())
        _line(console, "signal", f"{signal['name']}: {numbers}")


def _cause(cause: dict[str, Any]) -> str:
    where = f" on {cause['line']}" if "line" in cause else ""
    age = f", {cause['age_ms']} ms after the venue's time {cause['venue_time']}" if "age_ms" in cause else ""
    stop = f"; a stop fired: {cause['stop']['reason']}" if "stop" in cause else ""
    return f"{cause['what']}{where} (record {cause['sequence']}, {cause['bytes']} bytes){age}{stop}"


def _market(book: dict[str, Any] | None, console: Console) -> None:
    if book is None:
        return
    reference = " and ".join(book["reference"]) or "not asked for"
    _line(console, "book", f"{book['state']}, {book['age_ms']} ms old; reference {reference}")
    table = _table(console, "bid size", "bid", "ask", "ask size")
    for i in range(max(len(book["bids"]), len(book["asks"]))):
        bid = book["bids"][i] if i < len(book["bids"]) else ("", "")
        ask = book["asks"][i] if i < len(book["asks"]) else ("", "")
        table.add_row(bid[1], bid[0], ask[0], ask[1])
    console.print(table)


def _checks(checks: list[dict[str, Any]], console: Console) -> None:
    if not checks:
        return
    table = _table(console, "check", "value", "", "limit", "unit", "")
    for row in checks:
        said = "ok" if row["passed"] else "[bold red]refused[/bold red]"
        table.add_row(row["check"], row["value"], row["sense"], row["limit"], row["unit"], said)
    console.print(table)


def _events(events: list[dict[str, Any]], console: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD, width=min(WIDTH, console.width), pad_edge=False, padding=(0, 1))
    table.add_column("time (UTC)", width=18)
    table.add_column("what", width=10)
    table.add_column("told", overflow="fold")
    for event in events:
        table.add_row(event["at"][11:29], WHAT.get(event["what"], event["what"]), Text(_words(event)))
    console.print(table)


def _words(event: dict[str, Any]) -> str:
    """An event in one line of words."""
    told = {k: v for k, v in event.items() if k not in ("at", "at_ns", "record", "what")}
    if event["what"] in ("decided", "asked"):
        at = f" to {told['size']} at {told['price']}" if "price" in told else ""
        verdict = "passed" if told["verdict"] == "OK" else f"refused: {_refused(told)}"
        checks = f", {len(told['checks'])} checks" if told.get("checks") else ""
        return f"{told['action']}{at} by {told['by']}: {verdict}{checks}; {_cause(told['cause'])}"
    if event["what"] == "written":
        batch = f" (number {told['in_batch'] + 1} of one request)" if told["in_batch"] else ""
        return f"{told['action']} on {told['line']}{batch}: {told['bytes']}"
    if event["what"] == "filled" or told.get("kind") == "fill":
        fee = f"fee {told['fee']} {told['fee_coin']}" if told["fee"] else "fee not told yet"
        maker = "maker" if told["maker"] else "taker"
        again = "" if event["what"] == "filled" else "; counted already"
        again += f"; {told['note']}" if told["note"] else ""
        at = f"{told['size']} at {told['price']}"
        return f"{at}, {maker}, {fee}, trade {told['trade_id']} ({told['way']}){again}"
    return ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in told.items() if v not in ("", None)) or "-"


def _refused(told: dict[str, Any]) -> str:
    row = told.get("refused_by")
    if row is None:
        return told["verdict"]
    return f"{row['check']}: value {row['value']}, limit {row['limit']} {row['unit']}".rstrip()


def _end_of(told: dict[str, Any], console: Console) -> None:
    for doubt in told["unknown"]:
        until = (
            f"until {doubt['until']} ({doubt['lasted_ms']} ms): {doubt['how']}"
            if doubt["until"]
            else doubt["how"]
        )
        _line(console, "unknown", f"from {doubt['from']}: {doubt['why']}; {until}")
    refused = told["refused_by"]
    why = (
        f": {refused['check']}, value {refused['value']}, limit {refused['limit']} {refused['unit']}"
        if refused
        else ""
    )
    reason = f" ({told['reason']})" if told["reason"] and not refused else ""
    average = f", {told['filled']} of {told['size']} at {told['average']}" if told["average"] else ""
    _line(console, "end", f"{told['state']}{average}{why}{reason}")
    if told["found_at_start"] not in ("", "0"):
        _line(console, "", f"{told['found_at_start']} of it found at a start, filled while no run looked")
    if told["filled_before"] not in ("", "0"):
        _line(console, "", f"{told['filled_before']} filled before it was taken in")
    if told["fees"]:
        _line(console, "fees", ", ".join(f"{v} {k}" for k, v in told["fees"].items()))
    slip = told["slippage"]
    if slip is not None:
        text = (
            f"{slip['against_mid_bps']} bps against the mid {slip['mid']} on arrival, "
            f"{slip['against_touch_bps']} bps against the touch {slip['touch']}; above zero is worse"
        )
        _line(console, "slippage", text)
    if told["latency"]:
        _line(console, "latency", "; ".join(f"{STEPS[k]} {v} ms" for k, v in told["latency"].items()))

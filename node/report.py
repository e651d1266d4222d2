"""Tables and reports for people, made of what a Summary added up."""

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ext.records import HaltReason, Latch
from node.slow.summary import BOOK_STATES, HOLDS, InstrumentTally, PurseTally, Summary, percentiles_us

REASONS = {
    "LATCHED": "trading is stopped",
    "INSTRUMENT": "the symbol is not tradable",
    "BOOK_UNSYNCED": "book not synced",
    "BOOK_STALE": "book too old",
    "BOOK_CROSSED": "book is crossed",
    "BOOK_ONE_SIDED": "book has one side only",
    "SIZE_MIN": "smaller than the venue takes",
    "SIZE_MAX": "larger than the size limit",
    "PRICE_RANGE": "outside the venue's price filter",
    "PRICE_COLLAR": "price too far from the reference",
    "NOTIONAL_MIN": "worth less than the venue takes",
    "NOTIONAL_MAX": "worth more than the limit of an order",
    "POSITION": "worst-case position beyond the limit",
    "OPEN_ORDERS": "too many open orders of the symbol",
    "ORDER_RATE": "too many orders",
    "DUPLICATE": "the same order again",
    "TABLE_FULL": "no room for another order",
    "UNKNOWN_ORDER": "cancel of an order that is already done",
    "POST_ONLY_CROSS": "post-only price would take",
    "LINK_DOWN": "no line to send it on",
    "TRIGGER": "a stop whose trigger makes no sense",
    "UNSUPPORTED": "the venue has no such request",
    "PRICE_STEP": "price is not on the venue's grid",
    "SIZE_STEP": "size is not on the venue's grid",
    "NUMBER": "a number beyond any sense",
    "HALTED": "the symbol is stopped",
    "REDUCE_ONLY": "the symbol may only be reduced",
    "RECONCILE_STALE": "no recent reconciliation",
    "CLOCK": "the venue's clock is not known",
    "VENUE_RATE": "the venue's request budget",
    "UNKNOWN_NOTIONAL": "too much of unknown fate",
    "AMENDING": "the order is being amended already",
    "PRIVATE_DOWN": "the private stream is not proven",
    "UNACKED": "too many requests without an answer",
    "OPEN_VENUE": "the venue's cap of open orders",
    "STRATEGY_OFF": "the strategy is switched off",
    "LEASE": "no valid lease",
    "NOT_ALLOWED": "the compliance profile forbids it",
    "NOT_OWNER": "a strategy named an order of somebody else",
    "UNWATCHED": "the stops were not evaluated for too long",
    "NO_REFERENCE": "no reference price",
    "PRICE_WALK": "price too far from where the reference was",
    "SLIPPAGE": "would cost too much, walking the book",
    "SELF_TRADE": "would meet a resting order of our own",
    "OPEN_NOTIONAL": "open orders of the symbol beyond the limit",
    "OPEN_TOTAL": "too many open orders in all",
    "COIN": "worst case of one coin beyond the limit",
    "VENUE": "worst case of one venue beyond the limit",
    "TOTAL": "worst case of everything beyond the limit",
    "EQUITY_UNKNOWN": "not every venue has told its balances yet",
    "LEVERAGE": "worst case to equity beyond the limit",
    "MARGIN": "too little free margin",
    "LIQUIDATION_NEAR": "too near to liquidation",
    "AMEND_RATE": "too many amends",
    "CANCEL_RATE": "too many cancels",
    "CANCEL_RATIO": "too many cancels for so few fills",
    "TRADE_RATIO": "too many orders for so few trades",
    "SPREAD": "the spread is too wide",
    "VOLATILITY": "the mid moved over too wide a range",
    "JUMP": "the mid jumped a moment ago",
    "DAILY_LOSS": "the day's loss is beyond the limit",
    "POSITION_LOSS": "the position's loss is beyond the limit",
    "DRAWDOWN": "too far below the peak",
    "WINDOW": "no new positions at this time",
    "DAY_TRADES": "too many day trades",
    "FUNDING_WINDOW": "a large funding payment is near",
    "LEG": "the leg does not fit the position mode",
    "EXIT_PENDING": "another exit is not finished",
    "COOLDOWN": "cools down after a stop or a flatten",
    "PHASE": "the venue's phase takes no such order",
}
HALTS = {
    HaltReason.HALT_OPERATOR: "by an operator or the guard",
    HaltReason.HALT_DRIFT: "position or balance differs from the venue's",
    HaltReason.HALT_UNKNOWN: "an order of unknown fate",
    HaltReason.HALT_FOREIGN: "somebody else trades here",
    HaltReason.HALT_ODD: "the venue said something unknown",
    HaltReason.HALT_MODE: "the account is not set up as configured",
    HaltReason.HALT_LIQUIDATION: "liquidated by the venue",
    HaltReason.HALT_ACCESS: "the venue refused the key",
    HaltReason.HALT_CLOCK: "the venue's clock is not known yet, or off",
    HaltReason.HALT_VENUE: "the venue does not trade it",
    HaltReason.HALT_START: "not reconciled yet",
    HaltReason.HALT_FILTER: "the venue's filters refused again and again",
    HaltReason.HALT_STOP: "a loss stop fired",
    HaltReason.HALT_WINDOW: "a time to be flat",
    HaltReason.HALT_CAPITAL: "equity is not certain",
    HaltReason.HALT_MARGIN: "too near to liquidation",
    HaltReason.HALT_PHASE: "the venue's phase",
}
LATCHES = {
    Latch.LATCH_OPERATOR: "by an operator",
    Latch.LATCH_TAPE: "no room for the tape, or it failed",
    Latch.LATCH_ENCODE: "an order could not be encoded",
    Latch.LATCH_FAULT: "a fault of our own",
    Latch.LATCH_STOPPING: "shutting down",
    Latch.LATCH_STOP: "a loss stop fired",
    Latch.LATCH_GUARD: "by the guard",
    Latch.LATCH_TWIN: "another node of this name trades",
    Latch.LATCH_LOOP: "one start after the other ended badly",
}


def live_table(summary: Summary, passed_s: float, seconds: float) -> Group:
    """The table that a person watches."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("instrument", "bid", "ask", "orders", "fills", "position", "net"):
        table.add_column(name, justify="left" if name == "instrument" else "right", no_wrap=True)
    for x in summary.instruments:
        state = x.state
        synced = bool(state) and BOOK_STATES[state["state"]] == "synced"
        prices = (x.price(state["bid_ticks"]), x.price(state["ask_ticks"])) if synced else ("not", "synced")
        position = x.size(state["position_lots"]) if state else "-"
        table.add_row(x.name, *prices, str(x.orders), str(x.fills), position, _money(x.profit() - x.fees()))
    lost = [x.name for x in summary.lines if x.down_ns and x.down_ns[-1][1] == 0]
    total = _total(summary)
    worth = _money(total.money("equity")) if total is not None and total.known else "not known yet"
    drawdown = None if total is None else total.drawdown()
    below = "" if drawdown is None else f"   drawdown {_money(drawdown * 100)} %"
    times = percentiles_us(summary.tick_to_order_ns)
    return Group(
        ProgressBar(total=seconds, completed=min(passed_s, seconds), width=60),
        Text(""),
        table,
        Text(f"equity {worth}{below}"),
        Text(
            f"frames {summary.frames}   orders sent {summary.sent}   "
            f"tick to order p50 {times['p50_us']} us   refused {sum(summary.refusals.values())}"
            + (f"   line down: {', '.join(lost)}" if lost else "")
        ),
    )


def _total(summary: Summary) -> PurseTally | None:
    """Everything; None where nobody told of it."""
    return next((x for x in summary.purses() if x.name == "total"), None)


def _fees(summary: Summary) -> Decimal:
    """In any coin, as the account values them; in quote alone where no account was told."""
    total = _total(summary)
    if total is not None:
        return total.money("fees")
    return sum((x.fees() for x in summary.instruments), Decimal(0))


def demo_json(summary: Summary, ledgers: dict, *, seconds: float, seed: int, cut: str) -> dict:
    """The report as data. `agreed`: the venues' own ledgers show the positions that the node thinks it
    has."""
    rows = [_row(x, ledgers) for x in summary.instruments]
    return {
        "seconds": seconds,
        "seed": seed,
        "build": summary.build,
        "frames": summary.frames,
        "tick_to_order": percentiles_us(summary.tick_to_order_ns),
        "instruments": rows,
        "orders_sent": summary.sent,
        "fills": sum(x.fills for x in summary.instruments),
        "profit": str(sum((Decimal(r["profit"]) for r in rows), Decimal(0))),
        "fees": _money(_fees(summary)),
        "account": [_purse(x) for x in summary.purses()],
        "refusals": [
            {"reason": r, "count": n, "first": summary.examples[r], "by": _by(summary, r)}
            for r, n in summary.refusals.most_common()
        ],
        "cut_line": _cut(summary, cut),
        "agreed": bool(rows) and all(r["position"] == r["venue_position"] for r in rows),
    }


def _row(x: InstrumentTally, ledgers: dict) -> dict:
    state = x.state or {}
    key = f"{x.market_number}:{x.symbol}"
    venue_lots = ledgers.get(x.market.partition("-")[0], {}).get("position_lots", {}).get(key, 0)
    return {
        "id": x.name,
        "book": BOOK_STATES[state.get("state", 0)],
        "bid": x.price(state.get("bid_ticks", 0)),
        "ask": x.price(state.get("ask_ticks", 0)),
        "gaps": state.get("gaps", 0),
        "resyncs": state.get("resyncs", 0),
        "trades": state.get("trades", 0),
        "orders": x.orders,
        "acked": x.acked,
        "cancels": x.cancels,
        "rejected": x.rejected,
        "fills": x.fills,
        "position": x.size(state.get("position_lots", 0)),
        "venue_position": x.size(venue_lots),
        "profit": _money(x.profit()),
        "fees": _money(x.fees()),
    }


def _purse(x: PurseTally) -> dict:
    """One wallet or the total. Money as text; `drawdown_percent` is of the total only."""
    drawdown = x.drawdown()
    return {
        "purse": x.name,
        "known": x.known,
        "equity": _money(x.money("equity")) if x.known else "",
        "capital": _money(x.money("capital")) if x.known else "",
        "realised": _money(x.realised()),
        "unrealised": _money(x.money("open")),
        "fees": _money(x.money("fees")),
        "funding": _money(x.money("funding")),
        "margin": _money(x.money("margin")),
        "drawdown_percent": "" if drawdown is None else _money(drawdown * 100),
    }


def _cut(summary: Summary, what: str) -> dict:
    """What the line that was cut half way cost: how long it was gone, and what the books noticed."""
    # lines that went down and came back; at the end of the run all go down
    found = [(x, down) for x in summary.lines for down in x.down_ns if down[1]]
    line, down = found[0] if found else (None, (0, 0))
    return {
        "cut": what,
        "line": line.name if line else "",
        "down_ms": round((down[1] - down[0]) / 1e6, 1),
        "gaps": sum(x.state.get("gaps", 0) for x in summary.instruments if x.state),
        "resyncs": sum(x.state.get("resyncs", 0) for x in summary.instruments if x.state),
    }


def print_report(result: dict, console: Console, kept: Path | None = None) -> None:
    """The report that a person reads in a minute."""
    times = result["tick_to_order"]
    console.print(
        f"\n[bold]Tickgate demo[/bold]  {result['seconds']:g} s, seed {result['seed']}, "
        f"build {result['build']}\n"
    )
    console.print(
        f"Tick to order: p50 {times['p50_us']} us, p99 {times['p99_us']} us, p99.9 {times['p999_us']} us, "
        f"max {times['max_us']} us\n({times['count']} order frames, "
        "from the frame being read to the order being written; "
        "epoll, cores shared with the venues)"
    )
    books = {
        "id": "instrument",
        "book": "book",
        "bid": "bid",
        "ask": "ask",
        "gaps": "gaps",
        "trades": "trades",
    }
    console.print("", _table(result, books), "", sep="\n")
    done = {"id": "instrument", "orders": "sent", "cancels": "cancels", "fills": "fills"}
    money = {"position": "position", "venue_position": "at venue", "profit": "profit", "fees": "quote fees"}
    console.print(_table(result, done | money), "", sep="\n")
    if result["account"]:
        console.print(_account(result["account"]), "", sep="\n")
    console.print(
        f"Net {_money(Decimal(result['profit']) - Decimal(result['fees']))} "
        f"(profit {_money(Decimal(result['profit']))}, fees {_money(Decimal(result['fees']))}); "
        f"{result['orders_sent']} order frames sent, {result['fills']} fills."
    )
    for x in result["refusals"]:
        by = ", ".join(f"{name} {number}" for name, number in x["by"].items())
        why = REASONS.get(x["reason"], "see the tape") + (f" ({by})" if by else "")
        drill = " (a drill: the demo proposes one such order on purpose)" if x["reason"] == "SIZE_MAX" else ""
        console.print(f"Refused {x['count']} x {x['reason']}: {why}{drill}. First: {escape(x['first'])}")
    cut = result["cut_line"]
    if cut["line"]:
        console.print(
            f"Cut line: {cut['line']} was reset half way and was back after {cut['down_ms']} ms. "
            f"Its twin carried on: {cut['gaps']} gaps, {cut['resyncs']} resyncs."
        )
    else:
        console.print("Cut line: it did not come back before the end.")
    verdict = "[green]agree[/green]" if result["agreed"] else "[red]DO NOT AGREE[/red]"
    console.print(f"Positions of the node and of the venues' own ledgers {verdict}.")
    if kept is not None:
        console.print(f"Kept in {escape(str(kept))}: node.toml, node.log, sim.log, tape/")


def _by(summary: Summary, reason: str) -> dict[str, int]:
    """Of a reason that says that something holds: what that was, in words, and how often it refused."""
    words: dict[Any, str] = LATCHES if reason == "LATCHED" else HALTS
    found = summary.held_by.get(reason, Counter())
    return {words[HOLDS[reason](value)]: number for value, number in found.most_common()}


def _table(result: dict, columns: dict[str, str]) -> Table:
    """One table over the instruments; `columns`: key -> heading. Narrow enough for 80 columns."""
    table = Table(pad_edge=False, show_edge=False, padding=0, box=box.SIMPLE_HEAD)
    for key, heading in columns.items():
        table.add_column(heading, justify="left" if key in ("id", "book") else "right", no_wrap=True)
    for row in result["instruments"]:
        table.add_row(*(str(row[key]) for key in columns))
    return table


def _account(rows: list[dict]) -> Table:
    """What each wallet and everything is worth; a wallet whose capital nobody told has no equity."""
    columns = {
        "equity": "equity",
        "realised": "realised",
        "unrealised": "open",
        "fees": "fees",
        "funding": "funding",
    }
    table = Table(pad_edge=False, show_edge=False, padding=0, box=box.SIMPLE_HEAD)
    table.add_column("account", no_wrap=True)
    for heading in (*columns.values(), "drawdown"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        drawdown = f"{row['drawdown_percent']} %" if row["drawdown_percent"] else ""
        table.add_row(row["purse"], *(row[x] or "not known" for x in columns), drawdown)
    return table


def _money(value: Decimal) -> str:
    return f"{value.quantize(Decimal('0.01')) + 0:f}"  # + 0: minus nothing is nothing

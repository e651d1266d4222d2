"""What each redundant line of market data was good for: who was first, by how much, whose holes it filled.

A line that is replaced while it goes on has two numbers, its own and a spare one, and is on either or on
both. Here it is one line.
"""

from collections import Counter
from typing import Any

from ext.engine import Engine, Line, LineKind

SPARE = " spare"  # behind the name of the line that the number is for


def line_rows(engine: Engine) -> list[dict[str, Any]]:
    """For each market line: `first` and `copies` (book messages that it brought first, and those that another
    had brought), `share_percent` of all of its market that were first, `lead_p50_us` and `lead_p99_us` (by
    how much it was first where the copy came, rounded up to a power of two ns; None where no copy came),
    `healed` (holes of other lines that it filled: each a resync avoided), `held` (messages that waited behind
    a hole of its own), `lost` (holes that no line filled), `spilled` (messages that could not wait)."""
    stats = engine.arbiter.stats()
    whole: Counter[int] = Counter()
    for line in engine.lines:
        whole[line.wire.market] += stats.get(line.number, {"won": 0})["won"]
    out = []
    for line, *others in _by_name(engine):
        if line.kind != LineKind.MARKET_LINE:
            continue
        of_line = _sum([stats[x.number] for x in (line, *others) if x.number in stats])
        row: dict[str, Any] = {"name": line.name, "up": any(x.up for x in (line, *others))}
        if of_line is not None:
            row |= {
                "first": of_line["won"],
                "copies": of_line["late"],
                "share_percent": share(of_line["won"], whole[line.wire.market]),
                "lead_p50_us": lead_us(of_line["leads"], 50),
                "lead_p99_us": lead_us(of_line["leads"], 99),
            }
            row |= {x: of_line[x] for x in ("healed", "held", "lost", "spilled")}
        out.append(row)
    return out


def line_states(engine: Engine) -> list[dict[str, Any]]:
    """Name of each line that is a connection, and whether it is up."""
    lines = _by_name(engine)
    # those with a context bring replies to requests: nothing that could be up
    return [{"name": x[0].name, "up": any(y.up for y in x)} for x in lines if x[0].context < 0]


def _by_name(engine: Engine) -> list[list[Line]]:
    """Each line with its spare number behind it."""
    out: dict[str, list[Line]] = {}
    for line in engine.lines:
        out.setdefault(line.name.removesuffix(SPARE), []).append(line)
    return list(out.values())


def _sum(stats: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Counters of the numbers that one line had; None where none of them brought anything."""
    if len(stats) < 2:
        return stats[0] if stats else None
    leads = [sum(x) for x in zip(*(x["leads"] for x in stats), strict=True)]
    return {key: sum(x[key] for x in stats) for key in stats[0] if key != "leads"} | {"leads": leads}


def share(part: int, whole: int) -> float:
    """In per cent, 0 of nothing."""
    return round(100 * part / whole, 1) if whole else 0.0


def lead_us(leads: list[int], percent: int) -> float | None:
    """The lead that so many per cent of leads did not exceed, rounded up to a power of two ns; None where
    there are none. `leads[n]` counts those below 2**n ns."""
    left = -(-sum(leads) * percent // 100)
    for power, number in enumerate(leads):
        left -= number
        if number and left <= 0:
            return round((1 << power) / 1000, 3)
    return None

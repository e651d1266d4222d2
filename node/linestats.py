"""What each redundant line of market data was good for: who was first, by how much, whose holes it filled."""

from collections import Counter
from typing import Any

from ext.engine import Engine, LineKind


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
    for line in engine.lines:
        if line.kind != LineKind.MARKET_LINE:
            continue
        of_line = stats.get(line.number)
        row: dict[str, Any] = {"name": line.name, "up": bool(line.up)}
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

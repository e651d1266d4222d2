"""What people are told of a node in the same words everywhere: how many, what rests, what ends a latch, and
the command that does."""

import shlex
from pathlib import Path

from ext.records import Latch

# Latches that a person's `resume` takes back, and those that only another start does.
RELEASED = (
    Latch.LATCH_OPERATOR,
    Latch.LATCH_GUARD,
    Latch.LATCH_STOP,
    Latch.LATCH_TWIN,
    Latch.LATCH_LOOP,
)
RESTARTED = (Latch.LATCH_ENCODE, Latch.LATCH_FAULT, Latch.LATCH_STOPPING)


def count(number: int, one: str) -> str:
    """As in "no open orders", "1 open order", "2 open orders"."""
    return f"{number or 'no'} {one}{'' if number == 1 else 's'}"


def resting(open_orders: int, stops: int = 0, exits: int = 0) -> str:
    """What is open at the venues: orders that somebody wanted, and what the node itself has there to protect
    or close positions."""
    out = [count(open_orders, "open order")]
    if stops:
        out.append(stops_text(stops))
    if exits:
        out.append(f"{count(exits, 'exit')} under way")
    return "; ".join(out)


def stops_text(stops: int) -> str:
    return f"{count(stops, 'protective stop')} {'rests' if stops == 1 else 'rest'} on purpose"


def command(name: str, place: Path | str, *more: str) -> str:
    """`tickgate NAME PLACE ...` to be pasted; `place`: config file or tape directory."""
    return " ".join(["`tickgate", name, shlex.quote(str(place)), *more]) + "`"


def resume_command(place: Path | str) -> str:
    return command("resume", place, '--reason "TEXT"')


def latch_name(why: int) -> str:
    return Latch(why).name.removeprefix("LATCH_").lower()


def latches_of(mask: int) -> list[Latch]:
    """The latches whose bits are set."""
    return [x for x in Latch if 0 < x < Latch.LATCHES and mask >> int(x) & 1]


def way_out(mask: int, place: Path | str, tape: Path | str) -> str:
    """What lets a node go on that these latches hold; "" where none does. `tape`: where its record is."""
    held = latches_of(mask)
    if ends := [latch_name(x) for x in held if x in RESTARTED]:
        return f"only a restart clears {' and '.join(ends)}: {command('stop', place)}, then start it again"
    steps = []
    if Latch.LATCH_TAPE in held:
        steps.append(
            f"make room on {tape}, mend its disk, or put its directory back: the latch of the tape then goes "
            "by itself (a tape that is full needs a restart)"
        )
    if any(x in RELEASED for x in held):
        then = "then" if steps else "once the cause is known,"
        steps.append(f"{then} {resume_command(place)} lets it go on")
    return "; ".join(steps)

"""How a figure is measured, and what a reader needs to judge it: machine, build, and how quiet it was.

Passes that are compared take turns (`take_turns`), on one CPU, with the garbage collector off: a noisy second
then hits all of them, and the fastest pass of each is the one that was disturbed least. How often the
scheduler took the CPU away is counted (`Watch`), so that a noisy run says so.
"""

import gc
import json
import math
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parent.parent
NOT_AVAILABLE = "not available"
QUIET_PREEMPTIONS_PER_S = 10  # each costs a scheduler slice of some 3 ms: together 3 % of the time measured

Progress = Callable[[str], None]
Pass = Callable[[], int]  # one timed pass: returns its ns


class BenchError(RuntimeError):
    """A benchmark cannot run, or what it timed gave a wrong answer; the text is one line for the user."""


def silent(_: str) -> None:
    """The progress of a run that nobody watches."""


def recordings_dir() -> Path:
    """Where the captures are, if they are there: TICKGATE_RECORDINGS, else beside the repository."""
    return Path(os.environ.get("TICKGATE_RECORDINGS", ROOT.parent / "shared" / "recordings"))


# ---- measuring ---------------------------------------------------------------------------------------------


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """This thread on `core`, and back where it was afterwards. None: left alone."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def last_core() -> int | None:
    """The last CPU this process may use (the first takes most interrupts); None where it has no choice."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


class Watch:
    """What disturbed the passes that were run under it."""

    def __init__(self) -> None:
        self.preempted = 0
        self.seconds = 0.0

    def measure(self, one: Pass) -> int:
        """Runs one pass; its ns."""
        before, began = involuntary_switches(), time.perf_counter()
        taken_ns = one()
        self.seconds += time.perf_counter() - began
        self.preempted += involuntary_switches() - before
        return taken_ns

    @property
    def quiet(self) -> bool:
        return self.preempted <= QUIET_PREEMPTIONS_PER_S * max(self.seconds, 0.1)

    def report(self) -> dict:
        return {"preempted": self.preempted, "seconds": round(self.seconds, 2), "quiet": self.quiet}


def involuntary_switches() -> int:
    """How often the scheduler has taken a CPU from this process, so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


@contextmanager
def watching() -> Iterator[Watch]:
    """Pinned to one CPU, garbage collector off; both as before afterwards. Passes run under the watch."""
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        with pinned(last_core()):
            yield Watch()
    finally:
        if collecting:
            gc.enable()


def take_turns(
    passes: dict[str, Pass], rounds: int, watch: Watch, progress: Progress, in_a_row: int = 1
) -> dict[str, list[int]]:
    """Every pass in turn, `in_a_row` times per round; the ns of each, by name."""
    taken: dict[str, list[int]] = {name: [] for name in passes}
    for turn in range(rounds):
        if turn % max(1, rounds // 10) == 0:
            progress(f"round {turn + 1} of {rounds}")
        for name, one in passes.items():
            taken[name] += [watch.measure(one) for _ in range(in_a_row)]
    return taken


def best_and_median(taken_ns: list[int], units: int) -> tuple[float, float]:
    """ns per unit of the fastest pass and of the median one."""
    return round(min(taken_ns) / units, 2), round(statistics.median(taken_ns) / units, 2)


def percentile(ordered: list[int], q: float) -> int:
    """Nearest rank: a value that was really measured."""
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


# ---- conditions --------------------------------------------------------------------------------------------


def conditions() -> dict:
    """What a reader needs to judge an absolute figure."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "pinned_to": last_core(),
        "kernel": platform.release(),
        "governor": first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "python": platform.python_version(),
        "build": build_flags(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def build_flags() -> str:
    """What the native code was compiled for, as `setup.py` noted it."""
    try:
        stamp = json.loads((ROOT / "ext" / "_build.json").read_text())
    except (OSError, ValueError):
        return NOT_AVAILABLE
    target = "portable" if stamp.get("portable") else "-march=native"
    return f"{target}, AddressSanitizer" if stamp.get("sanitize") else f"-O3, {target}"


def cpu_model() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or NOT_AVAILABLE


def first_line(path: str) -> str:
    try:
        return Path(path).read_text().splitlines()[0]
    except (OSError, IndexError):
        return NOT_AVAILABLE

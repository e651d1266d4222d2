"""Where a process may be killed to see what the next start makes of it: labels in the code, asleep but for tests.

A label costs a load and a compare that always says no. `arm` chooses the label and which pass of it strikes: by raising
`Crashed`, which nothing in a node catches, so that a test in one process can drop the node as it stands; or by a real
SIGKILL of this process. What is armed is one for the process: a test that arms also disarms.
"""

import os
import signal

RAISE, KILL = "raise", "kill"
NAMES = {x.name.lower(): x.value for x in list(Label) if NOWHERE < x.value < LABELS}

cdef int left                # passes that are still let through
cdef bint kills
cdef int passes = 0          # of the armed label so far
cdef bint struck = False


class Crashed(BaseException):
    """The process is dead from here on: no handler of the node may run on. `label` says where."""

    def __init__(self, label):
        super().__init__(f"crashed at {label}")
        self.label = label


cdef int strike(int label) except -1:
    global armed, left, passes, struck
    passes += 1
    if left > 0:
        left -= 1
        return 0
    armed = NOWHERE
    struck = True
    if kills:
        os.kill(os.getpid(), signal.SIGKILL)
    raise Crashed(labels()[label - 1])


def arm(str label, int nth=1, str how=RAISE):
    """Strike at the `nth` pass (from 1) of `label` (a Label's name in lower case). ValueError where there is no such label, pass
    or way."""
    global armed, left, kills, passes, struck
    if label not in NAMES or nth < 1 or how not in (RAISE, KILL):
        raise ValueError(f"crash point {label}:{nth}: must be one of {', '.join(NAMES)}, from its first pass on, by {RAISE} or {KILL}")
    left, kills, passes, struck = nth - 1, how == KILL, 0, False
    armed = NAMES[label]


def arm_text(str text):
    """`arm` for `label:nth` with a real SIGKILL: what TICKGATE_CRASH_AT says. ValueError as `arm`."""
    label, _, nth = text.partition(":")
    if nth and not (nth.isascii() and nth.isdigit() and len(nth) < 9):
        raise ValueError(f"crash point {text}: must be LABEL or LABEL:NTH")
    arm(label, int(nth or "1"), KILL)


def disarm():
    """Let every label pass."""
    global armed, struck
    armed, struck = NOWHERE, False


def has_struck() -> bool:
    """Is this process dead, though it runs on for a test's sake? Then nobody tidies up, and nothing is recorded any more."""
    return struck


def is_armed() -> bool:
    """Has it not struck yet?"""
    return armed != NOWHERE


def passed() -> int:
    """How often the armed label was passed since it was armed, the strike included."""
    return passes


def at(str label):
    """Pass a crash point, for Python callers. KeyError where there is no such label."""
    crash_at(<int>NAMES[label])


def labels() -> list:
    """Names of all crash points, in the order in which an order passes them."""
    return list(NAMES)

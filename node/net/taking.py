"""The lock of a tape, taken by a node that starts: an archiver holds it for moments, a node for good."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from ext.tape import TapeLocked, TapeWriter
from node.beat import read_pulse, state_of
from node.errors import UserError

PATIENCE_S = 5.0  # an archiver deletes one file meanwhile: slow disks take a second
LOOK_S = 0.01
GONE = ("", "Z", "X")


def taken(
    directory: Path, make: Callable[[], TapeWriter], sleep: Callable[[float], None] = time.sleep
) -> TapeWriter:
    """What `make` returns. Where the lock is held, and not by a node that is known to run, again and again
    for PATIENCE_S: whoever holds it has it until it lets go. Raises UserError where that is too long, or it
    is a node, and what `make` raises else."""
    for _ in range(int(PATIENCE_S / LOOK_S)):
        pid = _writer(directory)
        if pid is not None:  # also where somebody took its lock file away
            break
        try:
            return make()
        except TapeLocked as error:
            pid, held = error.pid, is_node(directory, error.pid)
        if held:
            break
        sleep(LOOK_S)
    is_there = pid is not None and state_of(pid)[0] not in GONE
    whose = f"another node (process {pid})" if is_there else "another node, or something that holds its lock,"
    raise UserError(f"tape {directory}: {whose} is writing it; stop it or name another `tape`")


def _writer(directory: Path) -> int | None:
    """Who beats beside this tape, if it is another process that runs and has not ended the tape."""
    pulse = read_pulse(directory)
    if pulse is None or pulse.ended or pulse.pid == os.getpid() or not is_node(directory, pulse.pid):
        return None
    return pulse.pid


def is_node(directory: Path, pid: int | None) -> bool:
    """The process that signed the lock runs, and its heartbeat is beside the tape. The name of one that was
    killed stands there while somebody else holds it, and its number may be another's by now."""
    pulse = read_pulse(directory)
    if pid is None or pulse is None or pulse.pid != pid:
        return False
    state, started = state_of(pid)
    return state not in GONE and started == pulse.started

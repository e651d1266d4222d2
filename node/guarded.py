"""Does anybody guard this node? Whoever does holds a lock beside its tape, and loses it with its life."""

import fcntl
import os
from pathlib import Path

LOCK = "guard.lock"
LOOK_NS = 1_000_000_000  # so often; a look opens a file
LATE_NS = 10_000_000_000  # a guard that is started (again) reads its config and the venues' markets first


class Guarded:
    """Of the node whose tape is in `directory`: `look(now_ns)` from a timer, from `since_ns` on. Nothing here
    raises."""

    def __init__(self, directory: Path, since_ns: int):
        self.path = directory / LOCK
        self.watches = False
        self.since_ns = since_ns  # ... nobody watches
        self.told = False
        self._looked_ns = since_ns - LOOK_NS

    def look(self, now_ns: int) -> list[str]:
        """What is to be told: once when nobody has watched for too long, and when somebody does again."""
        if abs(now_ns - self._looked_ns) < LOOK_NS:  # wall time, which can be set back
            return []
        self._looked_ns = now_ns
        before, self.watches = self.watches, is_locked(self.path)
        if before and not self.watches:
            self.since_ns = now_ns
        if self.watches and self.told:
            self.told = False
            return ["a guard watches this node again"]
        if self.is_missing(now_ns) and not self.told:
            self.told = True
            return [f"ALARM: {self.text(now_ns)}"]
        return []

    def is_missing(self, now_ns: int) -> bool:
        return not self.watches and now_ns - self.since_ns > LATE_NS

    def text(self, now_ns: int) -> str:
        """Since when nobody watches, and what that means."""
        gone_s = (now_ns - self.since_ns) // 10**9
        return (
            f"no guard has watched this node for {gone_s} s: nobody cancels its orders should it stand still"
        )


def is_locked(path: Path) -> bool:
    """Does a process hold it? A shared lock, for an instant: two that ask do not see each other."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks: a guard could not have taken one either
        return False
    finally:
        os.close(fd)

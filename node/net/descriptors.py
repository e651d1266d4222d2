"""File descriptors: counted against what the config needs, and some kept back for what must never lack one.

Each line has one socket, the REST pool a bounded number, the console its callers. What an order line needs to
come back is kept open on /dev/null and handed over when the system has no more. (The tape keeps its own.)
"""

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from node.errors import UserError

SPARE = 4  # kept back: for order lines to come back
CALLERS = 18  # of the console, and its own
SLACK = 8  # the loop's, a file being read, a library's
POOL_MOST, POOL_LEAST = 32, 4  # REST connections
NEARLY = 80  # per cent in use: a person should know


class Descriptors:
    """`lines`: sockets that the config wants at once. `pool` is how many REST connections there is room for.
    Raises UserError where there are too few descriptors to run at all."""

    def __init__(self, lines: int, *, limit: int | None = None, in_use: int | None = None):
        self.limit = raised() if limit is None else limit
        used = open_files() if in_use is None else in_use
        left = self.limit - used - lines - CALLERS - SPARE - SLACK
        if left < POOL_LEAST:
            raise UserError(
                f"file descriptors: the limit is {self.limit}, and this config needs "
                f"{self.limit - left + POOL_LEAST}: raise it (`ulimit -n`, or LimitNOFILE= of the service)"
            )
        self.pool = min(left, POOL_MOST)
        self.held: list[int] = []
        self.lacked = 0  # how often there was none left
        self._told = False
        self.keep()

    def keep(self) -> None:
        """Take back what was handed over, where there is room again."""
        try:
            while len(self.held) < SPARE:
                self.held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise

    @contextmanager
    def handed_over(self) -> Iterator[None]:
        """What is opened inside has descriptors, whoever took the others."""
        self.lacked += 1
        while self.held:
            os.close(self.held.pop())
        try:
            yield
        finally:
            self.keep()

    def trouble(self, in_use: Callable[[], int] | None = None) -> str:
        """What a person should know, once for each time that it gets tight; "" else. Also takes back what was
        handed over."""
        self.keep()
        try:
            used = (in_use or open_files)()
        except OSError:
            used = self.limit
        tight = used * 100 > self.limit * NEARLY or len(self.held) < SPARE
        told, self._told = self._told, tight
        return f"file descriptors: {used} of {self.limit} in use" if tight and not told else ""

    def close(self) -> None:
        while self.held:
            os.close(self.held.pop())


def raised() -> int:
    """The soft limit, made as high as the hard one allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard and hard != resource.RLIM_INFINITY:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            return soft
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


def open_files() -> int:
    """Descriptors that this process has open."""
    return len(os.listdir("/proc/self/fd")) - 1  # one is the look itself


def is_lack(error: OSError) -> bool:
    return error.errno in (errno.EMFILE, errno.ENFILE)

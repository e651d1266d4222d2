"""A process that a node starts beside itself and can do without: watched without a thread or a timer, started
again when it dies, at most `MOST` times in `WITHIN_S`, and where it is needed `again_s` later once more.
"""

import asyncio
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

MOST, WITHIN_S = 3, 300.0
BAD_USAGE = 2  # it would say the same again


def tickgate(*arguments: str) -> list[str]:
    """The command line of `tickgate ARGUMENTS`, as this process runs it."""
    return [sys.executable, "-P", "-m", "node.cli", *arguments]


class Companion:
    """Runs `argv` in a session of its own: what ends the node, by key or by signal, does not end who looks
    after it. `start()` within a running loop; `tell(line, text)` when it dies. `again_s`: so many seconds
    after it was started too often it is tried once more, and so on; 0 = the node goes on without it. Nothing
    here raises."""

    def __init__(self, name: str, argv: list[str], tell: Callable[[str, str], None], again_s: float = 0):
        self.name, self.argv, self.tell = name, argv, tell
        self.process: subprocess.Popen | None = None
        self._deaths: deque[float] = deque(maxlen=MOST + 1)
        self.again_s = again_s
        self._later: asyncio.TimerHandle | None = None
        self._pidfd = -1

    def start(self) -> None:
        here = os.pathsep.join(
            [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        try:
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env=os.environ | {"PYTHONPATH": here},
            )
            self._pidfd = os.pidfd_open(self.process.pid)
        except OSError as error:
            self.tell(self.name, f"ALARM: cannot be started: {error.strerror}: {self._put_off()}")
            return
        asyncio.get_running_loop().add_reader(self._pidfd, self._died)

    def _died(self) -> None:
        assert self.process is not None
        self.let_go()
        code, now_s = self.process.wait(), asyncio.get_running_loop().time()
        self._deaths.append(now_s)
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        is_often = len(self._deaths) > MOST and now_s - self._deaths[0] < WITHIN_S
        if code == BAD_USAGE or is_often:
            why = "it would again" if code == BAD_USAGE else f"{MOST + 1} times in {WITHIN_S / 60:g} minutes"
            self.tell(self.name, f"ALARM: {how}: {why}: {self._put_off()}")
            return
        self.tell(self.name, f"{how}: started again")
        self.start()

    def _put_off(self) -> str:
        """It would only die again now: when it is tried once more, in words."""
        if not self.again_s:
            return "not started any more; the node goes on without it"
        self._later = asyncio.get_running_loop().call_later(self.again_s, self.start)
        return f"the node goes on without it; started again in {self.again_s:g} s"

    def let_go(self) -> None:
        """Watch it no more; it ends by itself when the node is gone."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

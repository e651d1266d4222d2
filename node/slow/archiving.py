"""The archiver as it runs: two threads, one that makes the tape durable in milliseconds and one that
compresses, signs and deletes when there is something to do. What one waits for does not hold up the other;
neither is in the node's process, and the node goes on without them.
"""

import asyncio
import contextlib
import fcntl
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ext.tape import TapeMissing
from node.beat import read_pulse, state_of
from node.config import ArchiveConfig, Config
from node.errors import Failed, UserError, cause, of_place
from node.slow.archive import Archive, Policy, folder_of
from node.slow.signing import KEY_NAME
from node.slow.syncing import Syncer

LOCK = "archiver.lock"  # beside the tape
LOOK_S = 0.05  # for the end of the node
IDLE_S = 0.25  # for a segment that was closed
TROUBLE_S, TROUBLE_MAX_S = 1.0, 60.0
LAGS = 4  # closed segments that wait: more is told
NICE = 10  # of the thread that compresses
SWITCH_S = 0.0005  # one thread's bytecode does not hold up the other for longer
GB = 10**9
Tell = Callable[[str, str], None]


class Archiving:
    """`await run(stop)`, or `once()`. `node_pid`: the node that started this archiver, with which it ends;
    0 = whichever writes the tape, for ever. `make`: of the archive, for tests. Raises UserError, Failed."""

    def __init__(self, config: Config, tell: Tell, node_pid: int = 0, make: Callable[..., Archive] = Archive):
        assert config.archive is not None
        self.settings: ArchiveConfig = config.archive
        self.directory, self.tell, self.node_pid, self.make = Path(config.tape), tell, node_pid, make
        self.syncer = Syncer(self.directory, self.settings.sync_max_ms * 1_000_000, tell)
        self.archive: Archive | None = None
        self._end = threading.Event()  # finish what is due, and stop
        self._now = threading.Event()  # stop behind the step that is being done
        self._trouble = self._sync_trouble = ""
        self._lags = False

    # ---- running ----

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, or, with a node of its own, until that is gone and all is archived."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            lock = await self._lock(stop)
            if lock < 0:
                return
            sys.setswitchinterval(SWITCH_S)
            self.syncer.begin(time.monotonic_ns())
        except OSError as error:
            raise of_place(f"tape {error.filename or self.directory}", error) from None
        threads = [asyncio.create_task(asyncio.to_thread(x)) for x in (self._sync, self._archive)]
        self.tell("archive", f"looks after {self.directory}")
        try:
            while not self._is_over(stop) and not any(x.done() for x in threads):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_S)
        finally:
            await self._finish(threads, stop)
            self.syncer.close()
            os.close(lock)
        for thread in threads:
            thread.result()  # one that died takes the process with it: whoever started it starts another

    async def _finish(self, threads: list[asyncio.Task[None]], stop: asyncio.Event) -> None:
        """Let both come to their ends: where somebody wants that now, behind the step that is being done."""
        self._end.set()
        while not all(x.done() for x in threads):
            if stop.is_set() or any(x.done() and x.exception() is not None for x in threads):
                self._now.set()
            await asyncio.wait(threads, timeout=LOOK_S)

    async def _lock(self, stop: asyncio.Event) -> int:
        """One archiver for a tape. One that a node started waits for that of the last run to be done; any
        other is refused. -1: it was never needed."""
        while not stop.is_set():
            fd = self._try_lock()
            if fd >= 0:
                return fd
            if not self.node_pid:
                raise UserError(f"{self.directory}: another archiver looks after this tape")
            if not _is_alive(self.node_pid):
                break
            await asyncio.sleep(LOOK_S)
        return -1

    def _try_lock(self) -> int:
        fd = os.open(self.directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return -1
        return fd

    def _is_over(self, stop: asyncio.Event) -> bool:
        return stop.is_set() or bool(self.node_pid and not _is_alive(self.node_pid))

    # ---- the two threads ----

    def _sync(self) -> None:
        every_s = self.settings.sync_ms / 2000  # a record waits for the next look, and for the flush
        # an event that is waited for costs more than all of a look: short pauses are slept
        pause = time.sleep if every_s <= LOOK_S else self._end.wait
        while not self._end.is_set():
            self._synced(self.syncer.turn)
            pause(every_s)
        self._synced(self.syncer.finish)

    def _synced(self, turn: Callable[[int], None]) -> None:
        """One turn. A disk that answers an error is told once, and the next turn tries again: a thread that
        dies would take the process with it, and what it looks after would be durable no more."""
        try:
            turn(time.monotonic_ns())
            self._sync_trouble = ""
        except OSError as error:
            text = f"{error.filename or self.directory}: {cause(error)}: nothing more is made durable"
            if text != self._sync_trouble:
                self._sync_trouble = text
                self.tell("archive", f"ALARM: {text}")

    def _archive(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        wait_s = TROUBLE_S
        while not self._now.is_set():
            is_ending = self._end.is_set()
            try:
                self._work()
                wait_s, self._trouble = TROUBLE_S, ""
                pause_s = IDLE_S
            except (OSError, Failed, UserError) as error:
                self._told(error)
                pause_s, wait_s = wait_s, min(2 * wait_s, TROUBLE_MAX_S)
            if is_ending:
                break  # all that was there when the node had gone was tried
            self._end.wait(pause_s)
        self._close()

    def _work(self) -> None:
        """Whatever is due. Raises OSError, Failed, UserError."""
        archive = self._opened()
        while not self._now.is_set() and archive.step(time.time_ns()):
            self._publish(archive)
        self._publish(archive)

    def _opened(self) -> Archive:
        if self.archive is None:
            archive = self._made()
            try:
                archive.open(time.time_ns())
            except (OSError, Failed, UserError):
                archive.let_go()
                raise
            self.archive = archive
        return self.archive

    def _made(self) -> Archive:
        told, folder = self.settings, folder_of(self.directory, self.settings.directory)
        policy = Policy(
            told.checkpoint_segments, told.checkpoint_minutes * 60 * 10**9, told.keep_days * 86_400 * 10**9,
            told.keep_gb * GB, told.hot_segments,
        )  # fmt: skip
        key = Path(told.key) if told.key else folder / KEY_NAME
        return self.make(self.directory, folder, key, policy, self.tell, quiet=self._quiet)

    def _publish(self, archive: Archive) -> None:
        last, waiting = archive.history.last, archive.waiting()
        if last is not None:
            self.syncer.archived(last.index, last.last, waiting, time.monotonic_ns())
        if (waiting > LAGS) != self._lags:
            self._lags = waiting > LAGS
            word = f"lags: {waiting} closed segments wait" if self._lags else "has caught up"
            self.tell("archive", f"the archive {word}")

    def _told(self, error: Exception) -> None:
        """Each trouble once, until it is over."""
        text = str(error)
        if isinstance(error, OSError):
            text = f"{error.filename or self.directory}: {cause(error)}: nothing is archived or deleted"
        if text != self._trouble:
            self._trouble = text
            self.tell("archive", f"ALARM: {text}")

    def _close(self) -> None:
        if self.archive is not None:
            try:
                self.archive.close(time.time_ns())
            except OSError as error:
                self._told(error)

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[bool]:
        """No node is just reading this tape from its beginning, nor starts to, within: its writer is past
        that, or there is none."""
        pulse = read_pulse(self.directory)
        if pulse is not None and pulse.started > 0 and state_of(pulse.pid)[1] == pulse.started:
            yield True
            return
        fd = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield True
                return
            yield False
        finally:
            os.close(fd)

    # ---- a tape at rest ----

    def once(self) -> dict[str, int]:
        """Flush, archive, sign and delete what is due now. {"archived": segments, "sequence", "waiting"}.
        Raises UserError, Failed."""
        if not self.directory.is_dir():
            raise UserError(f"{self.directory}: there is no such tape")
        try:
            lock = self._try_lock()
        except OSError as error:
            raise of_place(self.directory, error) from None
        if lock < 0:
            raise Failed(
                f"{self.directory}: another archiver looks after this tape, most likely that of its node, "
                "which runs: it does what is due as it comes (`tickgate tape list` shows it); --once is for "
                "a tape at rest"
            )
        try:
            self.syncer.begin(time.monotonic_ns())
            before = self._opened().segments
            self._work()
            self._opened().close(time.time_ns())
        except TapeMissing:
            raise UserError(f"{self.directory}: there is no tape in it") from None
        except OSError as error:
            raise Failed(f"{error.filename or self.directory}: {cause(error)}") from None
        finally:
            if self.archive is not None:
                self.archive.let_go()
            os.close(lock)
        if self.syncer.failed:
            raise Failed(f"{self.directory}: the tape cannot be made durable: see above")
        archive = self._opened()
        last = archive.history.last
        return {
            "archived": archive.segments - before,
            "sequence": 0 if last is None else last.last,
            "waiting": archive.waiting(),
        }


def _is_alive(pid: int) -> bool:
    return state_of(pid)[0] not in ("", "Z", "X")

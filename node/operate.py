"""An operator's commands against a running node, over its control socket; and where none runs, the file
that the next
start obeys."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from ext.records import Latch
from node.errors import Failed, UserError, cause
from node.latch import NAME as LATCH_NAME
from node.latch import Latched, read_latch, utc_text, write_latch
from node.net.console import ANSWER_MAX, NAME
from node.reading import beside, read_toml
from node.recall import recall
from node.synced import DISK, read_synced

ANSWER_S = 5.0
POLL_S = 0.02
OF_A_NODE = {"mode", "tape", "venue", "instrument", "strategy", "deployment"}  # any of these is in its config
Answer = dict[str, Any]


class NotRunning(Failed):
    """No node answers on this tape. `is_there`: one holds the socket but says nothing."""

    def __init__(self, text: str, is_there: bool = False):
        super().__init__(text)
        self.is_there = is_there


def tape_of(target: Path) -> Path:
    """The tape's directory that a person means: itself, or the `tape` of a config, which is relative to the
    config's folder, from wherever this is asked. Raises UserError. The
    rest of a config is not
    looked at: to halt a node nobody should have to mend its file first."""
    if target.is_dir():
        return target
    told = read_toml(target)
    if not told.keys() & OF_A_NODE:
        raise UserError(
            f"{target}: this is no config of a node: name the one that `tickgate run` takes, or the "
            "directory of its tape"
        )
    tape = told.get("tape", "tapes/node")
    if not isinstance(tape, str) or not tape:
        raise UserError(f"{target}: tape: must be the path of a directory")
    return Path(beside(target, tape))


def ask(directory: Path, request: dict[str, Any], within_s: float = ANSWER_S) -> Answer:
    """One request to the node that writes this tape. Raises NotRunning, or Failed where it may not be
    asked or answers nonsense."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        _connect(sock, directory, within_s)
        try:
            sock.sendall(orjson.dumps(request) + b"\n")
            text = _line(sock, time.monotonic() + within_s)
        except TimeoutError:
            raise NotRunning(
                f"{directory}: the node does not answer within {within_s:g} s: it stands still", True
            ) from None
        except OSError as error:
            raise NotRunning(f"{directory}: the node hung up: {error.strerror}", True) from None
    try:
        answer = orjson.loads(text)
        answer["code"] = int(answer["code"])
        return answer
    except (ValueError, KeyError, TypeError):
        raise NotRunning(f"{directory}: the node hung up without an answer", True) from None


def at_rest(directory: Path) -> str:
    """What a node that does not run will be held by when it starts, and what clears that; "" = nothing. The
    tape knows the latches of earlier runs, the latch file what a person or the guard wants since."""
    found, held = read_latch(directory), []
    if found is not None:
        word, when = (
            "flatten" if found.flatten else "halt",
            f" at {utc_text(found.at_ns)}" * bool(found.at_ns),
        )
        held.append(f"{word} by the {found.latch}{when}, {found.reason or 'no reason given'}")
    names = [Latch(x).name.removeprefix("LATCH_").lower() for x in sorted(recall(directory).latches)]
    held += [x for x in names if found is None or x != found.latch]
    if not held:
        return ""
    return (
        f"its next start will be latched ({'; '.join(held)}): it cancels what is open and sends nothing new, "
        "until `tickgate resume --reason TEXT` is given to the running node"
    )


def ask_running(directory: Path, request: dict[str, Any]) -> Answer:
    """As `ask`. Where no node runs, the error also says what will hold the next one."""
    try:
        return ask(directory, request)
    except NotRunning as error:
        waiting = "" if error.is_there else at_rest(directory)
        if not waiting:
            raise
        raise NotRunning(f"{error}; {waiting}") from None


def durable(directory: Path) -> Answer | None:
    """How much of the tape survives a power cut, as its archiver says; None where there never was one."""
    page = read_synced(directory)
    if page is None:
        return None
    return {
        "archiver_alive": page.is_alive,
        "level": "F" if page.level == DISK else "K",
        "sequence": page.sequence,
        "lag_ms": round(page.age_ns(time.monotonic_ns()) / 1e6, 1) if page.is_alive else None,
        "suspect": page.suspect,
        "archived_sequence": page.archived,
        "closed_segments_waiting": page.waiting,
    }


def _connect(sock: socket.socket, directory: Path, within_s: float) -> None:
    sock.settimeout(within_s)
    try:
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotRunning(f"{directory}: not running: there is no such tape") from None
    except OSError as error:
        raise Failed(f"{directory}: {error.strerror}") from None
    try:
        sock.connect(f"/proc/self/fd/{folder}/{NAME}")
    except FileNotFoundError:
        raise NotRunning(f"{directory}: not running: no node listens there") from None
    except ConnectionRefusedError:
        raise NotRunning(f"{directory}: not running: its socket is of a node that is gone") from None
    except PermissionError:
        raise Failed(f"{directory / NAME}: permission denied: the node is another user's") from None
    except (TimeoutError, BlockingIOError):
        raise NotRunning(f"{directory}: the node takes no calls: it is busy or stands still", True) from None
    except OSError as error:
        raise Failed(f"{directory / NAME}: {error.strerror}") from None
    finally:
        os.close(folder)


def _line(sock: socket.socket, deadline_s: float) -> bytes:
    out = bytearray()
    while not out.endswith(b"\n") and len(out) <= ANSWER_MAX:
        sock.settimeout(max(deadline_s - time.monotonic(), 0.001))
        data = sock.recv(65536)
        if not data:
            break
        out += data
    return bytes(out)


def hold(directory: Path, name: str, reason: str) -> Answer:
    """`halt` or `flatten`. Where no node answers, the latch file says it to the one that starts next, or
    wakes up. Raises
    Failed, UserError."""
    try:
        answer = ask(directory, {"do": name, "reason": reason})
        if not answer["ok"] and answer.get("busy"):
            raise NotRunning(f"{directory}: the node takes no calls: others hold its socket", True)
        return answer
    except NotRunning as error:
        if not directory.is_dir():
            raise UserError(f"{directory}: there is no such tape: nothing to {name}") from None
        if not error.is_there and not any(directory.glob("*.tape*")):
            raise UserError(f"{directory}: there is no tape in it: nothing to {name}") from None
        try:
            write_latch(directory, Latched("operator", name == "flatten", reason, time.time_ns()))
        except OSError as problem:
            raise Failed(f"{directory / LATCH_NAME}: {cause(problem)}") from None
        when = "when it goes on" if error.is_there else "when it starts"
        told = f"{error}; {directory / LATCH_NAME} is written: the node obeys it {when}"
        return {
            "ok": True,
            "code": 0,
            "running": error.is_there,
            "latch_file": str(directory / LATCH_NAME),
            "warning": told,
        }


def wait_for(directory: Path, done: Callable[[Answer], bool], within_s: float) -> tuple[float, Answer]:
    """Ask for the status until `done` says so: (seconds that it took, the status). Raises Failed where it
    is not in time, or the
    node is gone."""
    began_s = time.monotonic()
    while True:
        answer = ask(directory, {"do": "status"})
        took_s = time.monotonic() - began_s
        if answer["ok"] and done(answer):
            return took_s, answer
        if took_s > within_s:
            raise Failed(
                f"{directory}: after {took_s:.1f} s there are still "
                f"{answer.get('open_orders')} open orders and "
                f"{answer.get('open_positions')} positions; look with `tickgate status`"
            )
        time.sleep(POLL_S)


def wait_gone(directory: Path, within_s: float) -> float:
    """Until no node listens there: seconds that it took. Raises Failed where one still does."""
    began_s = time.monotonic()
    while (took_s := time.monotonic() - began_s) <= within_s:
        try:
            ask(directory, {"do": "status"})
        except NotRunning as error:
            if not error.is_there:
                return took_s
        time.sleep(POLL_S)
    raise Failed(f"{directory}: the node still runs after {within_s:g} s")

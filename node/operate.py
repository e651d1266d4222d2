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

from ext.tape import RecordType, TapeCorrupt, TapeMissing, TapeReader
from node.errors import Failed, UserError, cause
from node.latch import NAME as LATCH_NAME
from node.latch import Latched, read_latch, utc_text, write_latch
from node.net.console import ANSWER_MAX, NAME
from node.phrases import command, count, latch_name, resting, resume_command
from node.reading import beside, read_toml
from node.recall import recall
from node.slow.finding import several, tapes_below
from node.synced import DISK, read_synced

ANSWER_S = 5.0
POLL_S = 0.02
SHOWN = 5
PROGRESS_S = 3.0
UNREACHED = 4  # exit code: a venue cannot be reached
OF_A_NODE = {"mode", "tape", "venue", "instrument", "strategy", "deployment"}  # any of these is in its config
GONE = (
    "the tape's directory is not there: no node has run with it yet, or it was moved or removed while one "
    "runs; look for such a node with `pgrep -af tickgate`; put the directory back, or name the place where "
    "it is now (`kill PID` ends a node in order)"
)
NAMES = "name a node's config file, or the directory that its `tape` key names"
Answer = dict[str, Any]
Progress = Callable[[str], None]


class NotRunning(Failed):
    """No node answers on this tape. `is_there`: one holds the socket but says nothing."""

    def __init__(self, text: str, is_there: bool = False):
        super().__init__(text)
        self.is_there = is_there


def tape_of(target: Path) -> Path:
    """The tape's directory that a person means: itself, the only one below it, or the `tape` of a config,
    which is relative to the config's folder, from wherever this is asked. Raises UserError, also where there
    are several to choose from. The rest of a config is not looked at: to halt a node nobody should have to
    mend its file first."""
    if target.is_dir():
        return target if is_tape(target) or (target / NAME).exists() else _below(target)
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


def _below(directory: Path) -> Path:
    """The only tape below it; itself where there is none, of which whoever asks says more."""
    found = tapes_below(directory)
    if len(found) > 1:
        raise several(directory, found)
    return found[0] if found else directory


def is_tape(directory: Path) -> bool:
    """Did a node ever write there?"""
    return any(directory.glob("*.tape*"))


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
    said = [] if found is None else [*found.behind, found]
    for x in said:
        word, when = (
            "flatten" if x.flatten else "halt",
            f" at {utc_text(x.at_ns)}" * bool(x.at_ns),
        )
        held.append(f"{word} by the {x.latch}{when}, {x.reason or 'no reason given'}")
    names = [latch_name(x) for x in sorted(recall(directory).latches)]
    held += [name for name in names if all(name != x.latch for x in said)]
    if not held:
        return ""
    return (
        f"its next start will be latched ({'; '.join(held)}): it cancels what is open and sends nothing new, "
        f"until {resume_command(directory)} is given to the running node"
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
        raise NotRunning(f"{directory}: {GONE}; {NAMES}") from None
    except OSError as error:
        raise Failed(f"{directory}: {error.strerror}") from None
    try:
        sock.connect(f"/proc/self/fd/{folder}/{NAME}")
    except FileNotFoundError:
        why = "no node listens there" if is_tape(directory) else f"there is no tape in it; {NAMES}"
        raise NotRunning(f"{directory}: not running: {why}") from None
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


def hold(directory: Path, name: str, reason: str, config: Path | None = None) -> Answer:
    """`halt` or `flatten`; `config`: named in what is told. Where no node answers, the latch file says it to
    the one that starts next, or wakes up. Raises Failed, also where the directory is gone, UserError."""
    try:
        answer = ask(directory, {"do": name, "reason": reason})
        if not answer["ok"] and answer.get("busy"):
            raise NotRunning(f"{directory}: the node takes no calls: others hold its socket", True)
        return answer
    except NotRunning as error:
        if not directory.is_dir():
            raise NotRunning(f"{directory}: {name} was given to nobody: {GONE}; {NAMES}") from None
        if not error.is_there and not is_tape(directory):
            raise UserError(f"{directory}: there is no tape in it: nothing to {name}; {NAMES}") from None
        try:
            write_latch(directory, Latched("operator", name == "flatten", reason, time.time_ns()))
        except OSError as problem:
            raise Failed(f"{directory / LATCH_NAME}: {cause(problem)}") from None
        return {
            "ok": True,
            "code": 0,
            "running": error.is_there,
            "latch_file": str(directory / LATCH_NAME),
            "warning": f"{error}; {_left_open(directory, name, error.is_there, config)}",
        }


def _left_open(directory: Path, name: str, is_there: bool, config: Path | None) -> str:
    """What a latch file alone does, and what it does not: nobody has cancelled anything yet."""
    asked = "halt" if name == "halt" else "flatten (close every position)"
    when = "the node obeys it when it goes on" if is_there else "its next start obeys it"
    if is_there:
        then = "its guard, where it has one, cancels by its own policy"
    else:
        does = "cancels what is open" + " and closes positions" * (name == "flatten")
        run, guard = (command(x, config or "CONFIG") for x in ("run", "guard"))
        then = (
            f"start the node ({run}): it {does} and waits, latched; or its guard alone ({guard}): it cancels"
        )
    return (
        f"latched: {asked}, in {directory / LATCH_NAME}: {when}; nothing was cancelled or closed by this "
        "command, and which orders and positions are open at the venues is not known; next: "
        f"{then}; or look at the venues yourself"
    )


def wait_for(
    directory: Path,
    done: Callable[[Answer], bool],
    within_s: float,
    progress: Progress = lambda text: None,
) -> tuple[float, Answer]:
    """Ask for the status until `done` says so, or for `within_s`: (seconds that it took, the status).
    `progress(text)` every PROGRESS_S. Raises NotRunning where the node is gone."""
    began_s = told_s = time.monotonic()
    while True:
        answer = ask(directory, {"do": "status"})
        now_s = time.monotonic()
        if (answer["ok"] and done(answer)) or now_s - began_s > within_s:
            return now_s - began_s, answer
        if answer["ok"] and now_s - told_s >= PROGRESS_S:
            told_s = now_s
            progress(f"waiting for {now_s - began_s:.0f} s: {left_text(answer)}")
        time.sleep(POLL_S)


def hold_done(
    directory: Path, name: str, answer: Answer, within_s: float, progress: Progress = lambda text: None
) -> Answer:
    """`answer` of `hold`, once nothing is open any more and the venues' lists say so: with how long that took
    and what is left. It is an error where no node runs, where it is not in time, and with exit code 4 where a
    venue has not answered since. Raises Failed where the node is gone."""
    if not answer.get("running", True):
        return answer | {"ok": False, "code": 1, "error": answer["warning"]}
    is_flat, asked_ns = name == "flatten", answer.get("asked_ns", 0)

    def is_closed(x: Answer) -> bool:
        return not (x["open_orders"] or (is_flat and (x["open_positions"] or x.get("exits"))))

    try:
        took_s, last = wait_for(
            directory, lambda x: is_closed(x) and not _silent(x, asked_ns), within_s, progress
        )
    except NotRunning as error:
        raise Failed(answer.get("warning") or str(error)) from None
    if not last["ok"]:
        raise Failed(f"{directory}: latched; what is open is not known: {last.get('error', 'no answer')}")
    left = {x: last.get(x, 0) for x in ("open_orders", "protective_stops", "exits", "open_positions")}
    answer = answer | {"took_s": round(took_s, 3), "silent": _silent(last, asked_ns)} | left
    why = _not_done(directory, answer, is_closed(last))
    if not why:
        return answer
    return answer | {"ok": False, "code": UNREACHED if answer["silent"] else 1, "error": why}


def _silent(status: Answer, since_ns: int) -> list[str]:
    """Markets of which no list has come that was asked for behind this moment, and when the last one was."""
    out = []
    for x in status.get("listed", ()):
        if x["at_ns"] <= since_ns:
            when = utc_text(x["at_ns"]) if x["at_ns"] else "the node's start"
            out.append(f"{x['market']} has not answered since {when}")
    return out


def _not_done(directory: Path, answer: Answer, is_closed: bool) -> str:
    """Why what was waited for is not so, "" = it is. What no list has confirmed is nobody's fact."""
    silent, look = "; ".join(answer["silent"]), command("status", directory)
    if is_closed and not silent:
        return ""
    where = f"{directory}: latched; after {answer['took_s']:.1f} s"
    if is_closed:
        return f"{where}, as far as the node knows: {left_text(answer)}; {silent}; look at the venue"
    why = f"; {silent}: look at the venue" if silent else ""
    return f"{where} there are still {left_text(answer)}{why}; look with {look}"


def held_text(answer: Answer) -> str:
    """What `halt` or `flatten` came to, in a line."""
    if "cancelling" not in answer:
        return answer["warning"]
    asked = count(answer["cancelling"], "order")
    told = f"latched; {asked} {'is' if answer['cancelling'] == 1 else 'are'} being cancelled"
    if "took_s" not in answer:
        return f"{told}; {count(answer['open_positions'], 'open position')}"
    return f"{told}; after {answer['took_s']} s: {left_text(answer)}"


def left_text(answer: Answer) -> str:
    """What an answer says is open: "no open orders; 1 protective stop rests on purpose; 2 open positions"."""
    told = resting(*(answer.get(x, 0) for x in ("open_orders", "protective_stops", "exits")))
    return f"{told}; {count(answer.get('open_positions', 0), 'open position')}"


def wait_gone(directory: Path, within_s: float) -> float:
    """Until no node listens there: seconds that it took. Raises Failed where one still does, or the
    directory is gone."""
    began_s = time.monotonic()
    while (took_s := time.monotonic() - began_s) <= within_s:
        try:
            ask(directory, {"do": "status"})
        except NotRunning as error:
            if not error.is_there and not directory.is_dir():
                raise
            if not error.is_there:
                return took_s
        time.sleep(POLL_S)
    raise Failed(f"{directory}: the node still runs after {within_s:g} s")


def stop_done(directory: Path, answer: Answer, since_ns: int, within_s: float) -> Answer:
    """`answer` of `stop` once the node is gone: with how long that took, and what it says it left. Orders
    that are not known to be closed are an error: exit code 4 where a venue could not be reached, else 1.
    `since_ns`: wall time in front of the request. Raises Failed."""
    answer = answer | {"took_s": round(wait_gone(directory, within_s), 3)}
    told = _stop_note(directory, since_ns)
    if told is None:
        why = (
            f"{directory}: the node is gone, and how it ended is not on its tape: it was killed, or the tape "
            "is full or damaged; which orders are open is not known: look at the venues, or start it again"
        )
        return answer | {"ok": False, "code": 1, "error": why}
    left, unreached = told.get("left", []), told.get("unreached", [])
    answer |= {"left": left, "unreached": unreached}
    if not left:
        return answer | {x: 0 for x in ("open_orders", "exits")} | {"protective_stops": told["protecting"]}
    names = ", ".join(left[:SHOWN]) + (f" and {len(left) - SHOWN} more" if len(left) > SHOWN else "")
    why = f"; not reached: {', '.join(unreached)}" if unreached else ""
    error = (
        f"{directory}: stopped after {answer['took_s']} s, and {count(len(left), 'order')} "
        f"{'is' if len(left) == 1 else 'are'} not known to be closed: {names}{why}; look at the venues, or "
        "start it again: the next start asks for them"
    )
    return answer | {"ok": False, "code": UNREACHED if unreached else 1, "error": error}


def _stop_note(directory: Path, since_ns: int) -> Answer | None:
    """What the node wrote on its tape when it ended, at `since_ns` or later."""
    last = max((int(x.stem) for x in directory.glob("[0-9]*.tape")), default=0)
    found = None
    for index in sorted({max(last - 1, 0), last}):
        try:
            for x in TapeReader(str(directory), follow=True, types=[RecordType.NOTE], from_index=index):
                told = orjson.loads(x.payload) if x.now_ns >= since_ns else {}
                found = told if told.get("event") == "stop" else found
        except (TapeMissing, TapeCorrupt, IndexError):
            continue  # the older one is archived; a damaged one is told by whoever reads it all
    return found
